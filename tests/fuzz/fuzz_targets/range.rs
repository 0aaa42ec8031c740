//! Fuzzes `fuzz::range`.

#![no_main]

clipsmaster_fuzz::fuzz!(range);
