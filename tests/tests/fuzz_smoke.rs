//! The fuzz targets on changed files, with a stable compiler: in a program of its own, whose memory is watched.

mod support;

use clipsmaster_host::Host;
use clipsmaster_tests::campaign::{CASES, Scale, Setting};
use support::{Scratch, built};

#[test]
fn nothing_panics_hangs_or_takes_too_much_whatever_the_bytes() {
    let scratch = Scratch::sharing_cache();
    let plugins = scratch.plugins(&["store", "zstd", "lz4", "gzip", "snappy", "bzip2", "lzma"]);
    let host = Host::open(scratch.config()).expect("a host");
    let folder = scratch.dir("campaign");
    let scale = Scale { runs: 6000, ..Scale::TEST };
    let setting = Setting { host: &host, program: &built().host, plugins: &plugins, scratch: &folder, scale };
    for (_, case) in CASES.iter().filter(|(letter, _)| *letter == 'K') {
        for row in case(setting).expect("the machine lets it") {
            println!("{row}");
            assert!(row.is_met(), "{row}");
        }
    }
}
