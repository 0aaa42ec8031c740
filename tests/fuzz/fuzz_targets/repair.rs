//! Fuzzes `targets::repair`.

#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

use clipsmaster_host::{Config, Host};
use std::sync::LazyLock;

static HOST: LazyLock<Host> =
    LazyLock::new(|| Host::open(Config::from_env().expect("configuration")).expect("plugins"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::repair(&HOST, bytes));
