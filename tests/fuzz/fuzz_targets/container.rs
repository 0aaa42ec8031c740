//! Fuzzes `fuzz::container`.

#![no_main]

clipsmaster_fuzz::fuzz!(container);
