//! Cut files, files with something behind them, and files whose records are gone: never taken for whole.

use crate::*;
use clipsmaster_host::{Error, Host, Restored, pipeline::OnDamage};

const CHUNK: usize = 4 << 10;

fn host(s: &Scratch) -> Host {
    Host::open(s.config()).expect("a host")
}

/// Containers of every kind, small enough to be cut everywhere.
fn small(s: &Scratch, data: &[u8]) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let kinds = CARRIERS.into_iter().filter(|(_, e, _)| is_container(e));
    let make = |(algorithm, extension, container)| {
        let options = ["-a", algorithm, "--container", container, "--chunk-size", "4KB"];
        (algorithm, extension, packed(s, data, &options))
    };
    kinds.map(make).collect()
}

#[test]
fn a_file_that_was_cut_is_never_whole() {
    let s = scratch();
    let host = host(&s);
    // A long one of several chunks, and one that fits one chunk.
    for (data, step) in [(text(3 * CHUNK + 100), 97), (text(500), 11)] {
        for (algorithm, extension, whole) in small(&s, &data) {
            let what = |cut: usize| format!("{algorithm} in .{extension}, cut at {cut} of {}", whole.len());
            // The identifier alone is a stream of nothing, as other tools write it, and nothing tells it apart.
            let is_empty_stream = |cut: usize| extension == "sz" && cut == 10;
            let cuts = (0..whole.len()).filter(|at| at % step == 0 || whole.len() - at < 40);
            for cut in cuts.filter(|at| !is_empty_stream(*at)) {
                let answer = host.decompress_chunked(&whole[..cut]);
                assert!(answer.is_err(), "{}", what(cut));
            }
            let places = places(&s, &s.file(&format!("whole.{extension}"), &whole));
            let ends = places.iter().flat_map(|p| [p.frame, p.frame + p.frame_len]);
            for cut in ends.chain([whole.len() / 2, whole.len() - 1]).filter(|at| *at < whole.len()) {
                assert!(host.decompress_chunked(&whole[..cut]).is_err(), "{}", what(cut));
                match host.safe_decompress(&whole[..cut], OnDamage::Error) {
                    Restored::Repaired { data: back, .. } => assert!(back == data, "{}", what(cut)),
                    Restored::Failed(_) => {}
                    other => panic!("{}: {other:?}", what(cut)),
                }
                let piped = pipe(s.command(&["decompress"]), &whole[..cut]);
                assert_eq!(piped.status.code(), Some(3), "{}: {}", what(cut), stderr(&piped));
            }
        }
    }
}

#[test]
fn what_is_left_of_a_cut_file_is_said_to_be_a_part() {
    let s = scratch();
    let data = text(10 * CHUNK);
    for (algorithm, extension, whole) in small(&s, &data) {
        let name = format!("{algorithm}.{extension}");
        let places = places(&s, &s.file(&name, &whole));
        let cut = s.file(&format!("cut-{name}"), &whole[..places[7].frame + 5]);
        let out = s.path(&format!("out-{name}"));
        let told = s.ends(3, &["decompress", path_str(&cut), "-o", path_str(&out)]);
        assert!(told.contains("lost") && !out.exists(), "{name}: {told}");
        let told = s.ends(4, &["salvage", "-f", path_str(&cut), "-o", path_str(&out)]);
        assert!(told.contains("partial"), "{name}: {told}");
        let left = fs::read(&out).expect("output");
        assert!(left.len() >= 7 * CHUNK && data.starts_with(&left), "{name}: {} bytes are left", left.len());
        let told = String::from_utf8_lossy(&s.output(&["verify", path_str(&cut)]).stdout).into_owned();
        assert!(told.contains("the end of the file is missing"), "{name}: {told}");
    }
}

#[test]
fn something_behind_a_container_is_told() {
    let s = scratch();
    let data = text(3 * CHUNK);
    for (algorithm, extension, whole) in small(&s, &data) {
        let name = format!("{algorithm}.{extension}");
        let garbage = [&whole[..], b"This is something else."].concat();
        let file = s.file(&name, &garbage);
        let dir = s.dir(&format!("garbage-{name}"));
        let to = dir.join("out");
        let told = s.ends(3, &["decompress", path_str(&file), "-o", path_str(&to)]);
        assert!(told.contains("other content stands before or behind"), "{name}: {told}");
        assert_eq!(names(&dir), [""; 0], "{name}");
        let piped = pipe(s.command(&["decompress", "-o", path_str(&to)]), &garbage);
        assert_eq!(piped.status.code(), Some(3), "{name}: {}", stderr(&piped));
        assert_eq!(names(&dir), [""; 0], "{name}");
        let verified = s.output(&["verify", path_str(&file)]);
        assert_eq!(verified.status.code(), Some(3), "{name}");
        // Zeros, as tapes and file systems add them, hide nothing.
        let padded = [&whole[..], &[0; 1000]].concat();
        assert!(unpacked(&s, &s.file(&name, &padded)) == data, "{name}");
        let fixed = s.path("fixed");
        s.run(&["repair", "-f", path_str(&s.path(&name)), "-o", path_str(&fixed)]);
        assert!(fs::read(&fixed).expect("fixed") == whole, "{name}: zeros are taken off");
    }
}

#[test]
fn records_that_are_gone_cost_no_chunk() {
    let s = scratch();
    let data = mixed(6 * CHUNK);
    for (algorithm, extension, whole) in small(&s, &data) {
        let name = format!("{algorithm}.{extension}");
        let last = *places(&s, &s.file(&name, &whole)).last().expect("chunks");
        // Index, second file record and footers.
        let mut bytes = whole.clone();
        bytes[last.frame + last.frame_len..].fill(0);
        let file = s.file(&format!("tail-{name}"), &bytes);
        let out = s.path(&format!("out-{name}"));
        let code = s.output(&["salvage", "-f", path_str(&file), "-o", path_str(&out)]).status.code();
        assert!(fs::read(&out).expect("output") == data, "{name}: all chunks are there");
        assert_eq!(code, Some(4), "{name}: and nothing tells that they are all");
        s.ends(3, &["decompress", "-c", path_str(&file)]);
    }
}

#[test]
fn a_later_version_is_told_apart_from_damage() {
    let s = scratch();
    let whole = packed(&s, &text(20_000), &["--container", "cmc", "--chunk-size", "4KB"]);
    let mut bytes = whole.clone();
    for at in records(&whole) {
        bytes[at + 8] = 2;
        let crc = crc32(&bytes[at..at + 60]).to_le_bytes();
        bytes[at + 60..at + 64].copy_from_slice(&crc);
    }
    let file = s.file("later.cmc", &bytes);
    for told in [
        s.ends(3, &["decompress", "-c", path_str(&file)]),
        stderr(&pipe(s.command(&["decompress"]), &bytes)),
        s.ends(3, &["verify", path_str(&file)]),
    ] {
        assert!(told.contains("later version") && told.contains("update"), "{told}");
    }
    let answer = host(&s).decompress_chunked(&bytes);
    assert!(matches!(&answer, Err(Error::Container { problem, .. }) if problem.contains("later version")));
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    };
    !bytes.iter().fold(!0, step)
}
