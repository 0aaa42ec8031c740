//! `bench` and `recommend` as a user meets them, and the library below them.

mod support;

use clipsmaster_host::{MEMCPY, Study};
use serde_json::Value;
use std::{collections::BTreeSet, fs};
use support::{Scratch, text};

fn scratch() -> Scratch {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&["store", "zstd", "lz4", "lz4_liblz4"]);
    scratch.file("notes.v2.txt", &text(300_000));
    scratch.file("noise.bin", &support::noise(100_000, 7));
    scratch
}

const BRIEF: [&str; 4] = ["--size", "64KB", "--min-time", "0.001"];

/// `verb`, some files, and a brief measurement of them.
fn brief<'a>(verb: &[&'a str]) -> Vec<&'a str> {
    verb.iter().chain(&BRIEF).copied().collect()
}

fn rows(study: &Value) -> &Vec<Value> {
    study["rows"].as_array().expect("rows")
}

#[test]
fn every_implementation_and_level_asked_for_is_measured_on_every_file_and_thread_count() {
    let s = scratch();
    let bench =
        brief(&["bench", "notes.v2.txt", "noise.bin", "--threads", "1,2", "--level", "1", "--level", "3"]);
    let study = s.json(&bench);
    let key = |r: &Value| {
        let field = |name: &str| r[name].to_string();
        [field("data"), field("threads"), field("implementation"), field("level")]
    };
    let all: BTreeSet<_> = rows(&study).iter().map(key).collect();
    assert_eq!(all.len(), rows(&study).len(), "each once");
    // memcpy, lz4_flex 1, liblz4 1 and 3, zstd 1 and 3; by two threads counts and two files.
    assert_eq!(all.len(), 6 * 2 * 2, "{all:?}");
    for row in rows(&study) {
        let of_text = row["data"] == "notes.v2.txt";
        let (ratio, is_limit) = (row["ratio"].as_f64().expect("a ratio"), row["algorithm"] == MEMCPY);
        assert_eq!(ratio > 1.5, of_text && !is_limit, "{row}");
        assert_eq!(row["original_bytes"], if of_text { 300_000 } else { 100_000 });
        assert_eq!(row["piece_bytes"], 64 << 10);
        for direction in ["compress", "decompress"] {
            assert!(row[direction]["mb_s"].as_f64() > Some(0.1), "{row}");
            assert!(row[direction]["runs"].as_u64() >= Some(1), "{row}");
        }
        assert_eq!(
            row["peak_bytes"].as_u64() > Some(0) || row["scratch_bytes"].as_u64() > Some(0),
            !is_limit,
            "{row}"
        );
    }
    assert_eq!(study["format"], 1);
    assert!(study["machine"]["memory_bytes"].as_u64() > Some(1 << 28), "{study}");
}

#[test]
fn tables_say_the_same_in_text_markdown_and_csv() {
    let s = scratch();
    let bench = brief(&["bench", "notes.v2.txt", "--algorithm", "lz4", "--level", "1", "--threads", "1"]);
    let with = |more: &[&'static str]| s.run(&bench.iter().chain(more).copied().collect::<Vec<_>>());
    let plain = with(&[]);
    assert!(
        plain.starts_with("notes.v2.txt: 293 KiB in pieces of 64 KiB, 1 thread\nIMPLEMENTATION "),
        "{plain}"
    );
    for (table, line) in [(plain, "lz4/cpu/liblz4 "), (with(&["--markdown"]), "| lz4/cpu/liblz4 | 1 | ")] {
        assert_eq!(table.lines().filter(|l| l.starts_with(line)).count(), 1, "{table}");
    }
    let csv = with(&["--csv"]);
    let fields: Vec<usize> = csv.lines().map(|l| l.split(',').count()).collect();
    assert_eq!(fields, [19; 4], "{csv}");
    let page = s.run(&bench.iter().copied().chain(["--report", "out.html"]).collect::<Vec<_>>());
    assert!(page.starts_with("notes.v2.txt"), "the table is printed, too");
    let page = fs::read_to_string(s.path("out.html")).expect("a report");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("lz4/cpu/liblz4"), "{page}");
    assert!(!page.contains("http://") && !page.contains("<script src"), "it needs no network");
    s.ends(1, &bench.iter().copied().chain(["--report", "out.html"]).collect::<Vec<_>>());
}

#[test]
fn a_baseline_is_compared_row_by_row_and_only_what_is_outside_noise_is_flagged() {
    let s = scratch();
    let bench =
        brief(&["bench", "notes.v2.txt", "--algorithm", "zstd", "--level", "1", "--threads", "1", "--json"]);
    let mut study: Value = serde_json::from_str(&s.run(&bench)).expect("JSON");
    // As if compressing, and only that, had been a hundred times as fast then.
    for row in study["rows"].as_array_mut().expect("rows") {
        let mb_s = row["compress"]["mb_s"].as_f64().expect("a speed");
        row["compress"] = serde_json::json!({"mb_s": 100.0 * mb_s, "deviation": 0.0, "runs": 9});
        row["decompress"]["deviation"] = 0.3.into();
        row["decompress"]["runs"] = 1.into();
    }
    s.file("before.json", study.to_string().as_bytes());
    let with = brief(&[
        "bench",
        "notes.v2.txt",
        "--algorithm",
        "zstd",
        "--level",
        "1",
        "--threads",
        "1",
        "--baseline",
        "before.json",
    ]);
    let told = s.run(&with);
    let line = told
        .lines()
        .find(|l| l.starts_with("notes.v2.txt") && l.contains("zstd/cpu/libzstd"))
        .expect("a line");
    assert!(line.contains("compresses slower") && !line.contains("decompresses"), "{told}");
    let markdown = s.run(&[&with[..], &["--markdown"]].concat());
    let table = markdown.split("```").nth(1).expect("a table");
    assert!(table.starts_with("text\n") && table.contains("compresses slower"), "{markdown}");
    assert!(s.ends(2, &[&with[..], &["--csv"]].concat()).contains("--csv"));
    let json = s.json(&with);
    let change = &json["comparison"]["changes"][1];
    assert_eq!(
        (&change["compress_is_outside_noise"], &change["decompress_is_outside_noise"]),
        (&true.into(), &false.into())
    );
    assert_eq!(change["ratio"], 1.0, "the same bytes by the same code");
    assert_eq!(json["comparison"]["only"], serde_json::json!([0, 0]));
}

#[test]
fn what_cannot_be_measured_is_said_before_minutes_of_measuring() {
    let s = scratch();
    s.file("empty", b"");
    s.file("other.json", b"{\"format\": 1}");
    let cases: [(&[&str], i32, &str); 8] = [
        (&["bench", "--algorithm", "zsdt"], 2, "did you mean `zstd`?"),
        (&["bench", "--implementation", "zstd/cpu/libzst"], 2, "did you mean `zstd/cpu/libzstd`?"),
        (&["bench", "--level", "77"], 2, "it has levels 0..=12, none of those asked for"),
        (&["bench", "--size", "0"], 2, "pieces have 1 byte"),
        (&["bench", "empty"], 2, "empty is empty"),
        (&["bench", "."], 2, ". is no regular file"),
        (
            &["bench", "--baseline", "other.json"],
            2,
            "other.json is no result of `bench --json`: missing field",
        ),
        (&["recommend", "--from", "missing.json"], 1, "cannot read missing.json"),
    ];
    for (arguments, code, why) in cases {
        let told = s.ends(code, arguments);
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
}

#[test]
fn recommendations_come_from_the_measurements_and_make_a_policy_that_is_used() {
    let s = scratch();
    let bench = brief(&[
        "bench",
        "notes.v2.txt",
        "noise.bin",
        "--threads",
        "1",
        "--level",
        "1",
        "--level",
        "19",
        "--json",
    ]);
    s.file("study.json", s.run(&bench).as_bytes());
    let all = s.json(&["recommend", "--from", "study.json", "--write-policy", "proposed.yaml"]);
    let of = |data: &str, objective: &str| {
        let all = all.as_array().expect("a list");
        all.iter()
            .find(|r| r["data"] == data && r["objective"] == objective)
            .expect("a recommendation")
            .clone()
    };
    assert_eq!(of("notes.v2.txt", "ratio")["algorithm"], "zstd");
    assert_eq!(of("notes.v2.txt", "ratio")["level"], 19);
    assert_eq!(of("noise.bin", "balanced")["algorithm"], "store");
    let study = Study::load(&s.path("study.json")).expect("a study");
    let saving = study.rows.iter().filter(|r| r.data == "notes.v2.txt" && r.ratio > 1.0 / 0.9);
    let fastest = saving.max_by(|a, b| a.compress.mb_s.total_cmp(&b.compress.mb_s)).expect("one");
    assert_eq!(of("notes.v2.txt", "speed")["implementation"], *fastest.implementation);
    s.run(&["policy", "verify", "proposed.yaml"]);
    let shown = s.json(&["--config", "proposed.yaml", "policy", "show", "noise"]);
    assert_eq!(shown["algorithm"], "store");
    s.ends(1, &["recommend", "--from", "study.json", "--write-policy", "proposed.yaml"]);
    let none = s.json(&["recommend", "--from", "study.json", "--max-memory", "1KB", "--objective", "ratio"]);
    assert_eq!(none[0]["algorithm"], "store", "nothing fits");
}
