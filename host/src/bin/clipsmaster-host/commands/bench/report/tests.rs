//! The page as a whole.

use super::html;
use clipsmaster_host::{MEMCPY, Machine, Measured, Row, Speed, Study};

const HOSTILE: &str = "a<script>&\"'\u{7}.txt";

fn row(data: &str, implementation: &str, level: i32, mb_s: f64, ratio: f64) -> Row {
    let mut names = implementation.split('/');
    let algorithm = names.next().unwrap_or_default();
    Row {
        data: data.into(),
        piece_bytes: 65_536,
        threads: 1,
        algorithm: algorithm.into(),
        implementation: implementation.into(),
        hardware: names.next().unwrap_or_default().into(),
        library_version: "1".into(),
        level,
        original_bytes: 1000,
        compressed_bytes: 500,
        ratio,
        compress: Speed { mb_s, deviation: 0.01, runs: 3 },
        decompress: Speed { mb_s: mb_s * 3.0, deviation: f64::NAN, runs: 1 },
        peak_bytes: 1 << 20,
        scratch_bytes: 0,
    }
}

fn study(data: &[&str], rows: Vec<Row>) -> Study {
    let measured = |name: &&str| Measured { name: (*name).into(), bytes: 1000, sampled_bytes: 1000 };
    Study {
        format: 1,
        version: "0.1.0".into(),
        taken: 0,
        machine: Machine {
            processor: "P & Q".into(),
            processors: 2,
            memory_bytes: 1 << 30,
            system: "Linux".into(),
        },
        min_time_s: 0.5,
        data: data.iter().map(measured).collect(),
        rows,
        skipped: vec![format!("{HOSTILE}: empty")],
    }
}

/// All tags are closed in their order, and no number is none.
fn assert_well_formed(page: &str) {
    let body = page.split_once("</head>").map_or("", |(_, body)| body);
    let mut open = vec!["html"];
    for tag in body.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closes");
        } else if name != "br" && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!body.contains("NaN") && !body.contains("inf"), "a number that is none");
}

#[test]
fn an_empty_study_is_a_page() {
    let page = html(&study(&[], Vec::new()));
    assert!(page.contains("Nothing was measured."));
    assert_well_formed(&page);
    assert_well_formed(&html(&study(&["text"], vec![row("text", MEMCPY, 0, 1e4, 1.0)])));
}

#[test]
fn any_measurements_are_a_page() {
    let speeds = [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, 250.0];
    let rows =
        speeds.iter().zip(1..).map(|(mb_s, level)| row(HOSTILE, "zstd/cpu/libzstd", level, *mb_s, 0.9));
    let mut rows: Vec<Row> = rows.collect();
    rows.push(row(HOSTILE, "x<y", 1, 7.0, f64::NAN));
    rows.push(Row { threads: 2, ..row(HOSTILE, "zstd/cpu/libzstd", 3, 0.0, 3.0) });
    rows.push(Row { piece_bytes: 0, ..row(HOSTILE, "lz4/cuda/nvcomp", 1, 9e3, 5e4) });
    let page = html(&study(&[HOSTILE, HOSTILE], rows));
    assert!(!page.contains("<script") && !page.contains("x<y"), "not escaped");
    assert_well_formed(&page);
}

#[test]
fn the_front_is_labelled_and_the_limit_drawn() {
    let rows = vec![
        row("text", MEMCPY, 0, 9000.0, 1.0),
        row("text", "zstd/cpu/libzstd", 3, 250.0, 3.0),
        row("text", "gzip/cpu/zlib-rs", 6, 40.0, 2.6),
        row("text", "gzip/cpu/libdeflate", 6, 60.0, 2.7),
    ];
    let page = html(&study(&["text"], rows));
    for expected in
        [">zstd 3</text>", ">gzip libdeflate 6</text>", "memcpy 9000", "Only <code>cpu</code> was measured."]
    {
        assert!(page.contains(expected), "{expected}");
    }
}
