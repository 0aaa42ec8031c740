//! The plugin for Intel QuickAssist against the double of the vendor's library: no machine of ours has the device.

mod support;

use serde_json::{Value, json};
use std::{fs, process::Command};
use support::{Scratch, built, stderr, succeed, text};

const CODECS: [&str; 2] = ["gzip/qat/qatzip", "lz4/qat/qatzip"];

/// The command, told of the double and these faults.
fn with_double(scratch: &Scratch, arguments: &[&str], faults: &[(&str, &str)]) -> Command {
    let mut command = scratch.command(arguments);
    command.env("CLIPSMASTER_QATZIP", built().library("qatzip_double"));
    for (fault, value) in faults {
        command.env(format!("CLIPSMASTER_DOUBLE_QATZIP_{fault}"), value);
    }
    command
}

fn list(command: &mut Command) -> Vec<Value> {
    let list: Value = serde_json::from_str(&succeed(command)).expect("JSON");
    let lines = list.as_array().expect("a list").iter();
    lines.filter(|l| l["hardware"] == "qat").cloned().collect()
}

/// All lines of the plugin are in this state, for a reason and with a remedy that hold these words.
fn expect_unavailable(lines: &[Value], reason: &str, remedy: &str) {
    assert_eq!(lines.len(), CODECS.len(), "{lines:#?}");
    for line in lines {
        assert_eq!(line["state"], "unavailable", "{line:#}");
        assert!(line["reason"].as_str().is_some_and(|r| r.contains(reason)), "{line:#}");
        assert!(line["remedy"].as_str().is_some_and(|r| r.contains(remedy)), "{line:#}");
    }
}

#[test]
fn without_library_or_device_it_is_unavailable_and_looked_at_again() {
    let scratch = Scratch::new();
    scratch.plugins(&["qat"]);
    let arguments = ["list-plugins", "--json"];
    let mut without = scratch.command(&arguments);
    expect_unavailable(
        &list(without.env("CLIPSMASTER_QATZIP", "/nonexistent/libqatzip.so.3")),
        "/nonexistent/libqatzip.so.3: cannot open shared object file",
        "CLIPSMASTER_QATZIP",
    );
    let lines = list(&mut with_double(&scratch, &arguments, &[]));
    assert!(lines.iter().all(|l| l["state"] == "ok"), "{lines:#?}");
    assert!(lines.iter().all(|l| l["device"] == "simulated QATzip 1.3.1"), "{lines:#?}");
}

#[test]
fn without_a_device_no_software_poses_as_one() {
    let scratch = Scratch::new();
    scratch.plugins(&["qat"]);
    let lines = list(&mut with_double(&scratch, &["list-plugins", "--json"], &[("NO_DEVICE", "1")]));
    expect_unavailable(&lines, "qzInit answered -101", "driver");
    let lines = list(&mut with_double(&scratch, &["list-plugins", "--json"], &[("LOW_MEMORY_AFTER", "0")]));
    // The device is the same to the host, so the verdict stays.
    expect_unavailable(&lines, "qzInit answered -101", "driver");
}

#[test]
fn no_pinned_memory_is_told() {
    let scratch = Scratch::new();
    scratch.plugins(&["qat"]);
    let lines = list(&mut with_double(&scratch, &["list-plugins", "--json"], &[("LOW_MEMORY_AFTER", "0")]));
    expect_unavailable(&lines, "not enough pinned memory", "QATzip");
}

#[test]
fn it_keeps_the_contract() {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip", "lz4"]);
    let plugin = built().library("qat").to_str().expect("a path");
    let report = succeed(&mut with_double(&scratch, &["validate", plugin], &[]));
    for codec in CODECS {
        assert!(report.contains(&format!("{codec}: ok")), "{report}");
    }
    for line in report.lines() {
        let is_expected = !line.contains("skipped")
            || line.contains("no stream/1")
            || line.contains("one chunk at a time")
            || line.contains("declared unsafe")
            || line.contains("every input is valid for it, or it is declared unsafe");
        assert!(is_expected, "{line}");
    }
    for peer in ["gzip/cpu/zlib-rs", "lz4/cpu/lz4_flex"] {
        for case in [format!("passed       reads {peer}"), format!("passed       is read by {peer}")] {
            assert!(report.contains(&case), "`{case}` is not in {report}");
        }
    }
}

#[test]
fn wrong_bytes_are_caught_by_its_own_checks() {
    let scratch = Scratch::new();
    let plugin = built().library("qat").to_str().expect("a path");
    let mut command = with_double(&scratch, &["validate", plugin], &[("WRONG_AFTER", "10")]);
    let output = command.output().expect("run");
    assert!(!output.status.success());
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("gzip/qat/qatzip: failed"), "{report}");
    assert!(report.contains("lz4/qat/qatzip: failed"), "{report}");
    assert!(!report.contains("WRONG BYTES"), "the plugin's own check comes first: {report}");
}

#[test]
fn a_device_that_hangs_is_given_up() {
    let scratch = Scratch::new();
    let plugin = built().library("qat").to_str().expect("a path");
    let mut command = with_double(&scratch, &["validate", plugin], &[("HANG_AFTER", "0")]);
    let output = command.output().expect("run");
    assert!(!output.status.success());
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("no progress, killed after"), "{report}");
}

/// Plugins proven with the double, and a file of 16 chunks.
fn proven() -> (Scratch, Vec<u8>) {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip", "qat"]);
    let lines = list(&mut with_double(&scratch, &["list-plugins", "--json"], &[]));
    assert!(lines.iter().all(|l| l["state"] == "ok"), "{lines:#?}");
    let data = text(1 << 20);
    scratch.file("in.txt", &data);
    (scratch, data)
}

const COMPRESS: &[&str] =
    &["compress", "in.txt", "--force", "--json", "--chunk-size", "64KB", "-T", "2", "-a", "gzip"];
const DECOMPRESS: &[&str] = &["decompress", "in.txt.gz", "-o", "out.txt", "--force", "--json", "-T", "2"];

/// Runs a job that prefers the device; its report and its warnings.
fn job(scratch: &Scratch, arguments: &[&str], faults: &[(&str, &str)]) -> (Value, String) {
    let mut command = with_double(scratch, arguments, faults);
    let output = command.env("CLIPSMASTER_PIN", "gzip=gzip/qat/qatzip").output().expect("run");
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (report[0]["implementations"].clone(), stderr(&output))
}

#[test]
fn the_cpu_takes_over_when_the_device_is_lost_in_mid_job() {
    let (scratch, data) = proven();
    let (done, warnings) = job(&scratch, COMPRESS, &[]);
    assert_eq!(done, json!({"gzip/qat/qatzip": 16}), "{warnings}");
    let (done, warnings) = job(&scratch, COMPRESS, &[("LOST_AFTER", "3")]);
    assert_eq!(done, json!({"gzip/cpu/zlib-rs": 13, "gzip/qat/qatzip": 3}));
    for part in ["gzip/qat/qatzip failed", "device lost", "gzip/cpu/zlib-rs took over"] {
        assert!(warnings.contains(part), "`{part}` is not in: {warnings}");
    }
    let out = || fs::read(scratch.path("out.txt")).expect("output");
    job(&scratch, DECOMPRESS, &[]);
    assert_eq!(out(), data);
}

/// Frames nobody has verified are not for it, so it decodes only where it is asked for by name.
#[test]
fn wrong_bytes_in_decompression_are_blamed_on_the_device() {
    let (scratch, data) = proven();
    job(&scratch, COMPRESS, &[]);
    succeed(Command::new("gzip").arg("-t").arg(scratch.path("in.txt.gz")));
    let out = || fs::read(scratch.path("out.txt")).expect("output");
    job(&scratch, DECOMPRESS, &[("LOST_AFTER", "0")]);
    assert_eq!(out(), data, "not by the device");
    let named = [DECOMPRESS, &["--implementation", CODECS[0]]].concat();
    job(&scratch, &named, &[]);
    assert_eq!(out(), data);
    for (fault, message) in
        [("WRONG_AFTER", "the device returned wrong bytes"), ("LOST_AFTER", "device lost")]
    {
        let output = with_double(&scratch, &named, &[(fault, "2")]).output().expect("run");
        assert!(!output.status.success(), "{fault}");
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
}
