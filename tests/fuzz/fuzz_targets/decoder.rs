//! Fuzzes `fuzz::decoder`.

#![no_main]

clipsmaster_fuzz::fuzz!(decoder);
