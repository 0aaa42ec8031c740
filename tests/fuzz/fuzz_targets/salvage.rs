//! Fuzzes `fuzz::salvage`.

#![no_main]

clipsmaster_fuzz::fuzz!(salvage);
