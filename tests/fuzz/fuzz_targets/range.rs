//! Fuzzes `targets::range`.

#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code)]
mod targets;

use clipsmaster_host::{Config, Host};
use std::{path::PathBuf, sync::LazyLock};

static HOST: LazyLock<Host> =
    LazyLock::new(|| Host::open(Config::from_env().expect("configuration")).expect("plugins"));

static SCRATCH: LazyLock<PathBuf> = LazyLock::new(targets::scratch);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::range(&HOST, &SCRATCH, bytes));
