//! The fuzz targets on mutated files, for a few seconds and with a stable compiler.

mod support;

#[path = "../fuzz/targets.rs"]
mod targets;

#[path = "../examples/campaign/damage.rs"]
#[allow(dead_code)]
mod damage;

use clipsmaster_host::{
    Host, Request,
    pipeline::{CompressOptions, Container},
};
use damage::Rng;
use std::time::{Duration, Instant};
use support::{Scratch, text};

const ALGORITHMS: [&str; 6] = ["zstd", "lz4", "gzip", "snappy", "bzip2", "lzma"];
const TIME: Duration = Duration::from_secs(8);

/// Small files of every kind: containers with and without parity, native ones, plain frames.
fn seeds(host: &Host) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for algorithm in ALGORITHMS {
        for (container, parity_percent) in [
            (Container::Standard, 0),
            (Container::Standard, 10),
            (Container::Native, 0),
            (Container::Plain, 0),
        ] {
            let options = CompressOptions {
                chunk_bytes: Some(900),
                container,
                parity_percent,
                threads: Some(1),
                ..CompressOptions::default()
            };
            let made = host.safe_compress_with(&text(2500), &Request::new(algorithm), &options);
            seeds.push(made.expect("sound data").0);
        }
    }
    seeds
}

/// Damage of all kinds, also to the records' own numbers, with their CRCs made right again.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        match rng.below(7) {
            0 => rng.flip(bytes),
            1 => rng.change(bytes),
            2 => rng.many(bytes),
            3 => rng.insert(bytes, 300),
            4 => rng.delete(bytes, 300),
            _ => forge(rng, bytes),
        }
    }
}

/// Changes a field of a record and makes its checksums right: what only a forger does.
fn forge(rng: &mut Rng, bytes: &mut [u8]) {
    const MAGIC: [u8; 8] = [0x89, b'C', b'M', b'C', 0x0d, 0x0a, 0x1a, 0x0a];
    let places: Vec<usize> =
        (0..bytes.len().saturating_sub(64)).filter(|at| bytes[*at..].starts_with(&MAGIC)).collect();
    if places.is_empty() {
        return;
    }
    let at = places[rng.below(places.len())];
    let payload =
        u32::from_le_bytes([bytes[at + 12], bytes[at + 13], bytes[at + 14], bytes[at + 15]]) as usize;
    let record = bytes[at..].len().min(64 + payload);
    let value = [0, 1, 0x7f, 0xff][rng.below(4)];
    let field = [10, 12, 16, 32, 40][rng.below(5)];
    match rng.below(2) {
        0 => bytes[at + field..][..1 + rng.below(8)].fill(value),
        _ if record > 72 => {
            let start = 64 + rng.below(record - 72);
            bytes[at + start..][..1 + rng.below(8)].fill(value);
        }
        _ => {}
    }
    let crc = crc32(&bytes[at + 64..at + record]);
    bytes[at + 48..at + 52].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32(&bytes[at..at + 60]);
    bytes[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
}

/// CRC-32 (IEEE 802.3), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[test]
fn nothing_panics_whatever_the_bytes() {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&["store", "zstd", "lz4", "gzip", "snappy", "bzip2", "lzma"]);
    let host = Host::open(scratch.config()).expect("a host");
    let (seeds, folder) = (seeds(&host), targets::scratch());
    let (mut rng, mut runs) = (Rng(7), 0_u64);
    let start = Instant::now();
    while start.elapsed() < TIME {
        let mut bytes = seeds[rng.below(seeds.len())].clone();
        mutate(&mut rng, &mut bytes);
        targets::reader(&host, &bytes);
        targets::repair(&host, &bytes);
        if runs % 4 == 0 {
            targets::range(&host, &folder, &bytes);
            targets::decoders(&host, &bytes);
        }
        runs += 1;
    }
    let _ = std::fs::remove_dir_all(folder);
    assert!(runs > 20, "only {runs} runs");
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 512 << 10, "{} MiB at most, after {runs} runs", kib >> 10);
}
