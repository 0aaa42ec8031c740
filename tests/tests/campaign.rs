//! The fault campaign in short: its binary (`examples/campaign`) has more of everything.

mod support;

#[path = "../examples/campaign/cases.rs"]
mod cases;
#[path = "../examples/campaign/damage.rs"]
mod damage;
#[path = "../examples/campaign/parity.rs"]
mod parity;
#[path = "../examples/campaign/streams.rs"]
mod streams;
#[path = "../examples/campaign/subject.rs"]
mod subject;

use cases::{Row, Scale};
use clipsmaster_host::Host;
use support::Scratch;

const SCALE: Scale = Scale { seed: 1, runs: 240, small_bytes: 2000, stride: 997 };

fn host() -> (Scratch, Host) {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&["store", "zstd", "lz4", "gzip", "snappy", "bzip2", "lzma"]);
    let host = Host::open(scratch.config()).expect("a host");
    (scratch, host)
}

fn all_met(rows: Vec<Row>) {
    for row in rows {
        assert!(row.is_met, "{} {}: {:?}, must: {}", row.case, row.what, row.tally, row.must);
    }
}

#[test]
fn flips_bursts_and_cuts() {
    let (_scratch, host) = host();
    all_met(cases::flips(&host, SCALE));
    all_met(cases::random(&host, SCALE));
    all_met(cases::partial(&host, SCALE));
    all_met(cases::truncation(&host, SCALE));
}

#[test]
fn parts_moved_and_single_bytes() {
    let (_scratch, host) = host();
    all_met(cases::moved(&host, SCALE));
    all_met(cases::one_byte(&host, SCALE));
    all_met(cases::beheaded(&host, Scale { small_bytes: 8000, ..SCALE }));
}

#[test]
fn recovery_data() {
    let (scratch, host) = host();
    let scale = Scale { runs: 1, ..SCALE };
    all_met(parity::shards(&host, scale));
    all_met(parity::damaged_parity(&host, scale));
    all_met(parity::matrix(&host, scale, &scratch.dir("matrix"), true).0);
}

#[test]
fn ends_that_fail_and_little_memory() {
    let (scratch, host) = host();
    all_met(streams::failing_ends(&host, SCALE));
    let program = || scratch.command(&[]);
    all_met(streams::killed(&program, SCALE, &scratch.dir("killed")).expect("runs"));
    all_met(streams::large(&program, 96, "512MB", 512 << 10).expect("runs"));
}
