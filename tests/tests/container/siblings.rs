//! Containers one after the other, beside other tools' frames, and within each other.

use crate::*;
use clipsmaster_host::{ChunkedReader, Host, pipeline::DecompressOptions};
use std::io::{Cursor, Read};

const CHUNK: &str = "8KB";

fn container(s: &Scratch, algorithm: &str, data: &[u8]) -> Vec<u8> {
    packed(s, data, &["-a", algorithm, "--chunk-size", CHUNK])
}

fn open(s: &Scratch) -> Host {
    Host::open(s.config()).expect("a host")
}

/// Reads `bytes` by file, by pipe, in memory and as a reader: always the same.
fn assert_reads(s: &Scratch, host: &Host, name: &str, bytes: &[u8], expected: &[u8]) {
    let file = s.file(name, bytes);
    assert!(unpacked(s, &file) == expected, "{name}: file");
    assert!(through(s, &["decompress"], bytes) == expected, "{name}: pipe");
    assert!(host.decompress_chunked(bytes).expect("sound") == expected, "{name}: memory");
    let input = Cursor::new(bytes.to_vec());
    let mut reader = ChunkedReader::new(host, input, &DecompressOptions::default()).expect("sound");
    let mut read = Vec::new();
    reader.read_to_end(&mut read).expect("sound");
    assert!(read == expected, "{name}: reader, {} of {} bytes", read.len(), expected.len());
}

#[test]
fn containers_one_after_the_other_are_read_in_turn() {
    let s = scratch();
    let host = open(&s);
    let (one, two) = (mixed(40_000), text(9_000));
    for (algorithm, extension) in [("zstd", "zst"), ("lz4", "lz4"), ("gzip", "gz"), ("snappy", "sz")] {
        let (a, b) = (container(&s, algorithm, &one), container(&s, algorithm, &two));
        let empty = container(&s, algorithm, b"");
        let all = [&a[..], &empty, &b, &a].concat();
        let name = format!("all.{extension}");
        assert_reads(&s, &host, &name, &all, &[&one[..], &two, &one].concat());
        // Twice the same: the same marks in both.
        assert_reads(&s, &host, &name, &[&a[..], &a].concat(), &[&one[..], &one].concat());
        let file = s.file(&name, &all);
        assert_eq!(s.json(&["verify", path_str(&file)])[0]["condition"], "intact", "{algorithm}");
        let copy = s.path("copy");
        s.run(&["repair", "-f", path_str(&file), "-o", path_str(&copy)]);
        assert!(fs::read(&copy).expect("copy") == all, "{algorithm}");
    }
    // Our own files, of different formats.
    let parts = ["bzip2", "zstd", "lzma"].map(|a| packed(&s, &one, &["-a", a, "--container", "cmc"]));
    assert_reads(&s, &host, "all.cmc", &parts.concat(), &[&one[..], &one, &one].concat());
}

#[test]
fn other_tools_frames_may_stand_beside_a_container() {
    let s = scratch();
    let host = open(&s);
    let (one, two) = (mixed(40_000), text(30_000));
    for (algorithm, extension, name) in
        [("zstd", "zst", "zstd"), ("lz4", "lz4", "lz4"), ("gzip", "gz", "gzip")]
    {
        let Some(mut stock) = tool(name) else { continue };
        stock.arg("-c");
        let theirs = pipe(stock, &two).stdout;
        let ours = container(&s, algorithm, &one);
        let both = [&one[..], &two].concat();
        let after = [&ours[..], &theirs].concat();
        assert_reads(&s, &host, &format!("after.{extension}"), &after, &both);
        let file = s.file(&format!("after.{extension}"), &after);
        assert_eq!(s.json(&["verify", path_str(&file)])[0]["condition"], "intact", "{algorithm}");
        assert_reads(
            &s,
            &host,
            &format!("before.{extension}"),
            &[&theirs[..], &ours].concat(),
            &[&two[..], &one].concat(),
        );
        let Some(mut stock) = tool(name) else { continue };
        stock.args(["-d", "-c"]);
        assert!(pipe(stock, &after).stdout == both, "{name} reads it too");
        // Cut within what is theirs, or within what is ours.
        for cut in [after.len() - 3, ours.len() - 3, ours.len() / 2] {
            let cut_file = s.file(&format!("cut.{extension}"), &after[..cut]);
            let piped = pipe(s.command(&["decompress"]), &after[..cut]);
            assert_eq!(piped.status.code(), Some(3), "{algorithm}: {}", stderr(&piped));
            let read = s.output(&["decompress", "-c", path_str(&cut_file)]);
            let is_mended = read.status.success() && read.stdout == one && cut == ours.len() - 3;
            assert!(
                is_mended || read.status.code() == Some(3),
                "{algorithm} cut at {cut}: {}",
                stderr(&read)
            );
        }
    }
}

#[test]
fn damage_in_one_of_several_is_not_passed_over() {
    let s = scratch();
    let (one, two) = (text(40_000), text(20_000));
    let (a, b) = (container(&s, "zstd", &one), container(&s, "zstd", &two));
    for (which, at) in [("first", a.len() / 3), ("second", a.len() + b.len() / 3)] {
        let mut all = [&a[..], &b].concat();
        all[at..at + 20].iter_mut().for_each(|byte| *byte ^= 0x33);
        let file = s.file("all.zst", &all);
        let dir = s.dir(which);
        s.ends(3, &["decompress", path_str(&file), "-o", path_str(&dir.join("out"))]);
        assert_eq!(names(&dir), [""; 0], "{which}");
        assert_eq!(pipe(s.command(&["decompress"]), &all).status.code(), Some(3), "{which}");
        s.ends(3, &["verify", path_str(&file)]);
        let host = open(&s);
        host.decompress_chunked(&all).expect_err("damaged");
        let input = Cursor::new(all.clone());
        let mut reader = ChunkedReader::new(&host, input, &DecompressOptions::default()).expect("a start");
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect_err("damaged");
        assert!([&one[..], &two].concat().starts_with(&read), "{which}: nothing unproven came out");
        let mut more = Vec::new();
        reader.read_to_end(&mut more).expect_err("it stays so");
        assert!(more.is_empty(), "{which}: nothing comes after a lost chunk");
    }
}

#[test]
fn a_container_within_a_container_is_what_comes_out() {
    let s = scratch();
    let host = open(&s);
    // What does not shrink lies in the outer file as it is, records and all.
    for chunk in ["4KB", "64KB"] {
        let innermost = noise(40_000, 9);
        let inner = packed(&s, &innermost, &["--chunk-size", chunk]);
        for (algorithm, extension, wrap) in CARRIERS.into_iter().filter(|(_, e, _)| is_container(e)) {
            let outer = packed(&s, &inner, &["-a", algorithm, "--container", wrap]);
            let what = format!("{algorithm} in .{extension} around chunks of {chunk}");
            assert_reads(&s, &host, &format!("outer.{extension}"), &outer, &inner);
            let place = places(&s, &s.file(&format!("outer.{extension}"), &outer))[0];
            let mut flipped = outer.clone();
            flipped[place.frame + place.frame_len / 2] ^= 4;
            for (damage, bytes) in [("cut", &outer[..outer.len() - 1]), ("flipped", &flipped)] {
                let file = s.file(&format!("damaged.{extension}"), bytes);
                assert!(unpacked(&s, &file) == inner, "{what}, {damage}");
                let fixed = s.path("fixed");
                s.run(&["repair", "-f", path_str(&file), "-o", path_str(&fixed)]);
                assert!(fs::read(&fixed).expect("fixed") == outer, "{what}, {damage}");
            }
            // More is gone than can be mended: whatever comes out, it is not the innermost, with success.
            let half = s.file(&format!("half.{extension}"), &outer[..outer.len() - 600]);
            let read = s.output(&["decompress", "-c", path_str(&half)]);
            assert!(!read.status.success() || read.stdout == inner, "{what}");
        }
    }
}

#[test]
fn a_container_that_another_tool_packed_is_not_unpacked_twice() {
    let s = scratch();
    let host = open(&s);
    let innermost = noise(30_000, 11);
    for algorithm in ["zstd", "gzip"] {
        let inner = container(&s, algorithm, &innermost);
        for (name, extension) in [("zstd", "zst"), ("lz4", "lz4"), ("gzip", "gz"), ("xz", "xz")] {
            let Some(mut stock) = tool(name) else { continue };
            stock.arg("-c");
            let outer = pipe(stock, &inner).stdout;
            assert_reads(&s, &host, &format!("outer.{extension}"), &outer, &inner);
            let file = s.file(&format!("outer.{extension}"), &outer);
            assert_eq!(s.json(&["verify", path_str(&file)])[0]["condition"], "intact", "{name}");
            for cut in [1, 4, 8, 20, outer.len() / 2] {
                let file = s.file(&format!("cut.{extension}"), &outer[..outer.len() - cut]);
                let read = s.output(&["decompress", "-c", path_str(&file)]);
                assert_eq!(read.status.code(), Some(3), "{name} around {algorithm}, {cut} bytes short");
                s.ends(3, &["verify", path_str(&file)]);
            }
        }
    }
}
