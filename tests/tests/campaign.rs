//! The fault campaign as far as a test can take it: the program `campaign` among the examples does more of everything.

mod support;

use clipsmaster_host::Host;
use clipsmaster_tests::campaign::{CASES, Row, Scale, Setting};
use support::{Scratch, built};

const PLUGINS: [&str; 7] = ["store", "zstd", "lz4", "gzip", "snappy", "bzip2", "lzma"];

/// Runs the cases of these letters; everything that must hold does.
fn run(letters: &str) {
    let scratch = Scratch::sharing_cache();
    let plugins = scratch.plugins(&PLUGINS);
    let host = Host::open(scratch.config()).expect("a host");
    let folder = scratch.dir("campaign");
    let setting = Setting {
        host: &host,
        program: &built().host,
        plugins: &plugins,
        scratch: &folder,
        scale: Scale::TEST,
    };
    let mut missed = Vec::new();
    println!("{}", Row::head());
    for (_, case) in CASES.iter().filter(|(letter, _)| letters.contains(*letter)) {
        for row in case(setting).expect("the machine lets it") {
            println!("{row}");
            missed.extend((!row.is_met()).then(|| row.to_string()));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn flips_bursts_and_single_bytes() {
    run("ABE");
}

#[test]
fn cuts_moves_and_concatenations() {
    run("CD");
}

#[test]
fn parity_and_lost_heads() {
    run("FGHI");
}

#[test]
fn ends_that_fail_and_little_memory() {
    run("JL");
}

#[test]
fn containers_in_containers() {
    run("N");
}
