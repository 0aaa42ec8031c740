//! `info`, `verify`, `repair` and `salvage`: what a file is, what is wrong with it, and what is left.

use crate::*;
use serde_json::json;

const CHUNK: usize = 64 << 10;

fn containers(s: &Scratch, data: &[u8], parity: &str) -> Vec<(String, PathBuf)> {
    let kinds = CARRIERS.into_iter().filter(|(_, e, _)| is_container(e));
    let make = |(algorithm, extension, container): (&str, &str, &str)| {
        let name = format!("{algorithm}-{parity}.{extension}");
        let options = ["-a", algorithm, "--container", container, "--chunk-size", "64KB", "--parity", parity];
        let path = s.file(&name, &packed(s, data, &options));
        (name, path)
    };
    kinds.map(make).collect()
}

/// What `verify` says of the file, and its exit code.
fn verify(s: &Scratch, file: &Path, more: &[&str]) -> (i32, Value) {
    let output = s.output(&[&["verify", "--json", path_str(file)], more].concat());
    let reports: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code().expect("a code"), reports[0].clone())
}

#[test]
fn a_sound_file_is_called_sound_and_its_repair_is_a_copy() {
    let s = scratch();
    let data = mixed(3 * CHUNK + 10);
    for (name, path) in containers(&s, &data, "5") {
        for deep in [&[][..], &["--deep"]] {
            let (code, report) = verify(&s, &path, deep);
            assert_eq!((code, &report["condition"]), (0, &json!("intact")), "{name}: {report}");
            assert_eq!((&report["chunks"], &report["raw_bytes"]), (&json!(4), &json!(data.len())), "{name}");
            assert_eq!((&report["findings"], &report["lost"]), (&json!([]), &json!([])), "{name}");
            assert_eq!((&report["deep"], &report["parity_percent"]), (&json!(!deep.is_empty()), &json!(5)));
        }
        let copy = s.path("copy");
        let told = s.run(&["repair", "-f", path_str(&path), "-o", path_str(&copy)]);
        assert!(told.contains("intact") && told.contains("copied"), "{told}");
        assert!(fs::read(&copy).expect("copy") == fs::read(&path).expect("container"), "{name}");
        s.run(&["salvage", "-f", path_str(&path), "-o", path_str(&copy)]);
        assert!(fs::read(&copy).expect("original") == data, "{name}");
    }
}

#[test]
fn light_damage_is_told_and_repaired_bit_for_bit() {
    let s = scratch();
    let data = mixed(3 * CHUNK + 10);
    // One byte needs no parity; a stretch does.
    for (parity, len) in [("0", 1), ("25", 2000)] {
        for (name, path) in containers(&s, &data, parity) {
            let sound = fs::read(&path).expect("container");
            let place = places(&s, &path)[1];
            let mut bytes = sound.clone();
            let at = place.frame + place.frame_len / 3;
            bytes[at..at + len].iter_mut().for_each(|b| *b ^= 0x81);
            let damaged = s.file(&format!("damaged-{name}"), &bytes);
            let (code, report) = verify(&s, &damaged, &["--deep"]);
            assert_eq!((code, &report["condition"]), (3, &json!("mendable")), "{name}: {report}");
            assert_eq!(report["lost"], json!([]), "{name}");
            let text =
                String::from_utf8_lossy(&s.output(&["verify", path_str(&damaged)]).stdout).into_owned();
            assert!(text.contains("chunk 1 (bytes 65536..131072 of the original)"), "{text}");
            assert!(text.contains("clipsmaster-host repair"), "the remedy: {text}");
            // Reading mends on the way, and says so.
            let report = s.json(&["decompress", "-f", path_str(&damaged), "-o", path_str(&s.path("back"))]);
            assert!(fs::read(s.path("back")).expect("original") == data, "{name}");
            assert!(report[0]["warnings"][0].as_str().is_some_and(|w| w.contains("mended")), "{report}");
            let fixed = s.path("fixed");
            let told = s.run(&["repair", "-f", path_str(&damaged), "-o", path_str(&fixed)]);
            assert!(told.contains("repaired completely, bit for bit"), "{told}");
            assert!(fs::read(&fixed).expect("fixed") == sound, "{name}: the bytes that were");
            assert!(fs::read(&damaged).expect("damaged") == bytes, "{name}: the input stays");
        }
    }
}

#[test]
fn heavy_damage_costs_what_it_hit() {
    let s = scratch();
    let data = mixed(4 * CHUNK + 10);
    for (name, path) in containers(&s, &data, "0") {
        let places = places(&s, &path);
        let mut bytes = fs::read(&path).expect("container");
        spoil(&mut bytes, &places[2]);
        let damaged = s.file(&format!("damaged-{name}"), &bytes);
        let lost = 2 * CHUNK..3 * CHUNK;
        let (code, report) = verify(&s, &damaged, &[]);
        assert_eq!((code, &report["condition"]), (3, &json!("partial")), "{name}: {report}");
        assert_eq!(report["lost"], json!([[lost.start, lost.end]]), "{name}");
        let out = s.path(&format!("out-{name}"));
        let told = s.ends(3, &["repair", path_str(&damaged), "-o", path_str(&out)]);
        assert!(told.contains("salvage") && !out.exists(), "{name}: {told}");
        let left = [&data[..lost.start], &data[lost.end..]].concat();
        let mut filled = data.clone();
        filled[lost.clone()].fill(0);
        for (zeros, skip, expected) in [(&[][..], "skip", &left), (&["--zeros"], "zero", &filled)] {
            let salvage = ["salvage", "-f", path_str(&damaged), "-o", path_str(&out)];
            let told = s.ends(4, &[&salvage, zeros].concat());
            assert!(told.contains("partial") && told.contains("chunk 2 is lost"), "{name}: {told}");
            assert!(fs::read(&out).expect("output") == *expected, "{name}");
            let told = s.ends(
                4,
                &["decompress", "-f", "--on-damage", skip, path_str(&damaged), "-o", path_str(&out)],
            );
            assert!(told.contains("chunk 2 is lost"), "{name}: {told}");
            assert!(fs::read(&out).expect("output") == *expected, "{name}");
        }
        let dir = s.dir(&format!("empty-{name}"));
        let to = dir.join("out");
        let told = s.ends(3, &["decompress", path_str(&damaged), "-o", path_str(&to)]);
        assert!(told.contains("--on-damage skip") && told.contains(path_str(&damaged)), "{name}: {told}");
        assert_eq!(names(&dir), [""; 0], "{name}");
        let piped = pipe(s.command(&["decompress", "--on-damage", "skip", "-o", path_str(&to)]), &bytes);
        assert_eq!(piped.status.code(), Some(3), "{name}: a pipe cannot be searched");
        assert!(stderr(&piped).contains("save the input as a file"), "{name}: {}", stderr(&piped));
        assert_eq!(names(&dir), [""; 0], "{name}");
    }
}

#[test]
fn the_file_itself_is_never_the_output() {
    let s = scratch();
    let path = s.file("data.zst", &packed(&s, &text(1000), &[]));
    let before = fs::read(&path).expect("container");
    for verb in ["repair", "salvage", "export"] {
        let told = s.ends(2, &[verb, "--force", path_str(&path), "-o", path_str(&path)]);
        assert!(told.contains("is the input itself"), "{verb}: {told}");
        let there = s.file("there.zst", b"theirs");
        let told = s.ends(1, &[verb, path_str(&path), "-o", path_str(&there)]);
        assert!(told.contains("--force") && fs::read(&there).expect("theirs") == b"theirs", "{verb}: {told}");
    }
    assert!(fs::read(&path).expect("container") == before);
}

#[test]
fn what_is_no_compressed_file_is_told() {
    let s = scratch();
    let text = s.file("notes.txt", b"just a text, and long enough to be looked at\n");
    for verb in ["info", "verify"] {
        let told = s.ends(3, &[verb, path_str(&text)]);
        assert!(told.contains("notes.txt"), "{verb}: {told}");
    }
    for verb in ["repair", "salvage", "export"] {
        let out = s.path("out.zst");
        let told = s.ends(3, &[verb, path_str(&text), "-o", path_str(&out)]);
        assert!(told.contains("notes.txt") && !out.exists(), "{verb}: {told}");
    }
    let missing = s.path("missing");
    for verb in ["info", "verify"] {
        assert!(s.ends(1, &[verb, path_str(&missing)]).contains("No such file"));
    }
    assert!(s.ends(2, &["verify", path_str(&s.dir("folder"))]).contains("no regular file"));
}

/// Programs rely on these names; more may come.
#[test]
fn reports_have_the_fields_that_programs_rely_on() {
    const HEALTH: &str = "format condition deep bytes raw_bytes chunks parity_percent findings lost";
    const SUMMARY: &str = "input_bytes output_bytes chunks implementations warnings lost seconds";
    const INFO: &str = "algorithm level chunk_bytes parity_percent written_by raw_bytes bytes chunks";
    const ENTRY: &str = "number raw_offset raw_bytes frame_bytes frame_offset algorithm level filter decoder_kib frame_crc \
                         raw_crc raw_hash";
    let s = scratch();
    let data = text(200_000);
    let path = s.file("data.zst", &packed(&s, &data, &["--chunk-size", "64KB", "--parity", "10"]));
    let out = s.path("out.zst");
    let (file, to) = (path_str(&path), path_str(&out));
    let has = |value: &Value, names: &str, more: &str| {
        for name in names.split_whitespace().chain(more.split_whitespace()) {
            assert!(value.get(name).is_some(), "{name} is not in {value:#}");
        }
    };
    let info = s.json(&["info", file]);
    has(&info, INFO, "");
    has(&info["chunks"][0], ENTRY, "");
    has(&s.json(&["verify", file])[0], HEALTH, "file");
    has(&s.json(&["repair", "-f", file, "-o", to]), HEALTH, "");
    has(&s.json(&["salvage", "-f", file, "-o", to]), SUMMARY, "");
    has(&s.json(&["export", "-f", file, "-o", to]), SUMMARY, "");
    has(&s.json(&["decompress", "-f", file, "-o", to])[0], SUMMARY, "input output");
    has(&s.json(&["compress", "-f", file, "-o", to])[0], SUMMARY, "input output algorithm");
}
