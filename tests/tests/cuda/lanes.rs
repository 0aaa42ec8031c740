//! The two lanes of an instance: they overlap where there are several rounds, within the memory granted, and
//! a fault on the second costs no data.

use super::{ALGORITHMS, Doubled, compress, noise, pinned};
use crate::support::{stderr, text};
use serde_json::Value;
use std::{collections::BTreeSet, fs, process::Command};

/// Memory of the device, in MiB, of which a quarter is granted: some megabytes take several rounds.
const MEMORY_MIB: usize = 8;

/// What the double of the driver noted.
#[derive(Default, Debug)]
struct Log {
    streams: usize,
    kernels: usize,
    /// Waits for a kernel while the other stream had one.
    overlaps: usize,
    /// Most device memory in use, in bytes.
    memory_bytes: usize,
}

impl Log {
    fn read(doubled: &Doubled) -> Self {
        let mut log = Self::default();
        let mut pending = BTreeSet::new();
        for line in fs::read_to_string(doubled.scratch.path("log")).expect("a log").lines() {
            let (stream, what) = line.split_once(' ').expect("two words");
            match what {
                "create" => log.streams += 1,
                "Kernel" => {
                    log.kernels += 1;
                    assert!(pending.insert(stream.to_owned()), "a round on a lane at a time");
                }
                "Wait" if pending.remove(stream) => log.overlaps += usize::from(!pending.is_empty()),
                bytes if stream == "memory" => {
                    log.memory_bytes = log.memory_bytes.max(bytes.parse().expect("bytes"));
                }
                _ => {}
            }
        }
        assert!(pending.is_empty(), "kernels that nobody waited for");
        log
    }
}

/// A folder with that input.
fn prepared(data: &[u8]) -> Doubled {
    let doubled = Doubled::new("");
    doubled.scratch.file("input", data);
    doubled
}

/// 3 MB of all kinds.
fn mixed() -> Vec<u8> {
    [text(2_000_000), noise(500_000), text(500_000)].concat()
}

/// Runs the command on the device with that little memory, with faults, and with a log: its report and its
/// warnings.
fn run(doubled: &Doubled, algorithm: &str, arguments: &[&str], faults: &[(&str, &str)]) -> (Value, String) {
    let log = doubled.scratch.path("log");
    let _ = fs::remove_file(&log);
    let mut command = doubled.command(arguments);
    pinned(&mut command, algorithm);
    command.env("CLIPSMASTER_DOUBLE_LOG", log);
    command.env("CLIPSMASTER_DOUBLE_MEMORY_MIB", MEMORY_MIB.to_string());
    let fault = |command: &mut Command, (name, value): &(&str, &str)| {
        command.env(format!("CLIPSMASTER_DOUBLE_{name}"), value);
    };
    faults.iter().for_each(|f| fault(&mut command, f));
    let output = command.output().expect("run");
    assert!(output.status.success(), "{algorithm} {faults:?}: {}", stderr(&output));
    (serde_json::from_slice(&output.stdout).expect("JSON"), stderr(&output))
}

fn compress_with(doubled: &Doubled, algorithm: &str, faults: &[(&str, &str)]) -> (Value, String) {
    let arguments = ["compress", "input", "-f", "-a", algorithm, "-o", "out", "--json", "-T", "1"];
    // Of whole pieces.
    let chunk = if algorithm == "gzip" { "1020KB" } else { "1MB" };
    run(doubled, algorithm, &[&arguments[..], &["--chunk-size", chunk]].concat(), faults)
}

fn decompress_with(doubled: &Doubled, algorithm: &str, faults: &[(&str, &str)]) -> (Value, String) {
    let arguments = ["decompress", "out", "-f", "-o", "back", "--json", "-T", "1"];
    run(doubled, algorithm, &arguments, faults)
}

fn assert_restored(doubled: &Doubled, data: &[u8], what: &str) {
    assert!(fs::read(doubled.scratch.path("back")).expect("output") == data, "{what}");
}

/// Whether the device has done all of it.
fn all_on_device(report: &Value, algorithm: &str) -> bool {
    report[0]["implementations"][format!("{algorithm}/cuda/nvcomp")] == report[0]["chunks"]
}

#[test]
fn while_one_round_computes_the_next_is_under_way() {
    let data = mixed();
    let doubled = prepared(&data);
    for (algorithm, _) in ALGORITHMS {
        let (report, _) = compress_with(&doubled, algorithm, &[]);
        let packing = Log::read(&doubled);
        assert!(all_on_device(&report, algorithm), "{report}");
        let (report, _) = decompress_with(&doubled, algorithm, &[]);
        let unpacking = Log::read(&doubled);
        assert!(all_on_device(&report, algorithm), "{report}");
        assert_restored(&doubled, &data, algorithm);
        for log in [packing, unpacking] {
            assert!(log.kernels >= 3, "{algorithm}: {log:?}");
            assert_eq!((log.streams, log.overlaps), (2, log.kernels - 1), "{algorithm}: {log:?}");
            assert!(log.memory_bytes <= (MEMORY_MIB << 20) / 4, "{algorithm}: {log:?}");
        }
    }
}

#[test]
fn a_large_call_is_divided_though_memory_does_not_ask_for_it() {
    let doubled = prepared(&text(256).repeat((34 << 20) / 256));
    let arguments = ["compress", "input", "-f", "-a", "zstd", "-o", "out", "--json", "-T", "1"];
    let arguments = [&arguments[..], &["--chunk-size", "4MB"]].concat();
    run(&doubled, "zstd", &arguments, &[("MEMORY_MIB", "4096")]);
    let log = Log::read(&doubled);
    assert_eq!((log.streams, log.kernels, log.overlaps), (2, 2, 1), "{log:?}");
}

#[test]
fn one_round_takes_one_lane() {
    let doubled = prepared(&text(200_000));
    for (algorithm, _) in ALGORITHMS {
        compress_with(&doubled, algorithm, &[]);
        let log = Log::read(&doubled);
        assert_eq!((log.streams, log.kernels, log.overlaps), (1, 1, 0), "{algorithm}: {log:?}");
    }
}

#[test]
fn a_device_lost_on_the_second_lane_costs_no_data() {
    let data = mixed();
    let doubled = prepared(&data);
    for (algorithm, _) in ALGORITHMS {
        let lost = [("LOST_STREAM", "2")];
        let (report, told) = compress_with(&doubled, algorithm, &lost);
        assert!(told.contains("device lost") && told.contains("took over"), "{algorithm}: {told}");
        assert!(!all_on_device(&report, algorithm), "{report}");
        decompress_with(&doubled, algorithm, &[]);
        assert_restored(&doubled, &data, algorithm);
        compress(&doubled, algorithm, "out", &["--chunk-size", "1MB"]);
        let (_, told) = decompress_with(&doubled, algorithm, &lost);
        assert!(told.contains("device lost") && told.contains("took over"), "{algorithm}: {told}");
        assert_restored(&doubled, &data, algorithm);
    }
}

#[test]
fn without_a_second_lane_the_first_does_all() {
    // Pieces that are all alike, so that the first lane need not grow.
    let doubled = prepared(&[]);
    // A lane's buffers are four allocations: each of the second's fails once, or its first kernel is refused.
    let faults = [4, 5, 6, 7].map(|n: usize| ("ALLOCATIONS", n.to_string()));
    for (algorithm, _) in ALGORITHMS {
        let data = text(256).repeat(if algorithm == "gzip" { 3 * 16 * 255 } else { 3 * 16 * 256 });
        doubled.scratch.file("input", &data);
        for (fault, value) in faults.iter().map(|(f, n)| (*f, n.as_str())).chain([("REFUSED_LAUNCH", "1")]) {
            let what = format!("{algorithm}, {fault}={value}");
            let (report, told) = compress_with(&doubled, algorithm, &[(fault, value)]);
            let packing = Log::read(&doubled);
            assert!(all_on_device(&report, algorithm) && told.is_empty(), "{what}: {report} {told}");
            let (report, told) = decompress_with(&doubled, algorithm, &[(fault, value)]);
            let unpacking = Log::read(&doubled);
            assert!(all_on_device(&report, algorithm) && told.is_empty(), "{what}: {report} {told}");
            assert_restored(&doubled, &data, &what);
            for log in [packing, unpacking] {
                assert_eq!((log.streams, log.overlaps), (2, 0), "{what}: {log:?}");
            }
        }
    }
}

#[test]
fn wrong_bytes_of_the_second_lane_are_caught() {
    let data = mixed();
    let doubled = prepared(&data);
    for (algorithm, _) in ALGORITHMS {
        compress(&doubled, algorithm, "out", &["--chunk-size", "1MB"]);
        decompress_with(&doubled, algorithm, &[]);
        let needed = Log::read(&doubled).kernels;
        let wrong = [("WRONG_BYTES", "decompress"), ("WRONG_LAUNCH", "1")];
        decompress_with(&doubled, algorithm, &wrong);
        assert_restored(&doubled, &data, algorithm);
        // The chunks concerned are decoded again, one by one.
        assert!(Log::read(&doubled).kernels > needed, "{algorithm}: nobody noticed");
    }
}
