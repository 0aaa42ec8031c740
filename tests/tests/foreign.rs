//! Files that other programs wrote: every way they put frames into files, with any number of threads.

mod support;

use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{Scratch, stderr, text};

const PLUGINS: [&str; 7] = ["zstd", "lz4", "gzip", "gzip_libdeflate", "bzip2", "lzma", "snappy"];

fn scratch() -> Scratch {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&PLUGINS);
    scratch
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What the tool makes of `input`, if it is installed; the skip is told.
fn tool(arguments: &str, input: &[u8]) -> Option<Vec<u8>> {
    let mut words = arguments.split(' ');
    let name = words.next().expect("a name");
    let mut command = Command::new(name);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        println!("Skipped: `{name}` is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("writer");
    assert!(output.status.success(), "{arguments}");
    Some(output.stdout)
}

/// Decompresses `file` with 1 and 3 threads, from a file and from a pipe; the last report.
fn read(s: &Scratch, name: &str, file: &[u8], expected: &[u8], more: &[&str]) -> Value {
    let input = s.file(name, file);
    let out = s.path("out");
    let mut report = Value::Null;
    for threads in ["1", "3"] {
        let arguments = ["decompress", "--force", "-T", threads, path_str(&input), "-o", path_str(&out)];
        report = s.json(&[&arguments, more].concat())[0].take();
        assert!(fs::read(&out).expect("output") == expected, "{name} with {threads} threads");
    }
    assert_eq!(report["input_bytes"], file.len(), "{report}");
    assert_eq!(report["output_bytes"], expected.len(), "{report}");
    let output = s.command(&["decompress", "-c"]).stdin(fs::File::open(&input).expect("input")).output();
    let output = output.expect("the command runs");
    assert!(output.status.success(), "{name}: {}", stderr(&output));
    assert!(output.stdout == expected, "{name} through a pipe");
    report
}

fn chunks(report: &Value) -> u64 {
    report["chunks"].as_u64().expect("a number")
}

/// Several members one after the other, as `cat` makes them, of ever larger pieces of `data`.
fn members(arguments: &str, data: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let (mut rest, mut len) = (data, 10_000);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(len));
        all.extend(tool(arguments, piece)?);
        (rest, len) = (after, len * 3);
    }
    Some(all)
}

#[test]
fn files_of_the_formats_own_tools_are_read() {
    let s = scratch();
    let data = [text(2_500_000), (0..=255).cycle().take(70_000).collect(), vec![0; 2_000_000]].concat();
    for (name, arguments, at_least) in [
        ("one.zst", "zstd -c", 1),
        ("no-size.zst", "zstd -c --no-content-size --no-check", 1),
        ("adapt.zst", "zstd -c --adapt", 1),
        ("long.zst", "zstd -c --long=27 -T2", 1),
        ("fast.zst", "pzstd -c -1 -p 4", 1),
        ("one.lz4", "lz4 -c", 1),
        ("linked.lz4", "lz4 -c -B4 -BD", 1),
        ("sums.lz4", "lz4 -c -B5 -BX --content-size", 1),
        ("no-sum.lz4", "lz4 -c -9 --no-frame-crc", 1),
        ("one.gz", "gzip -c", 1),
        ("pigz.gz", "pigz -c", 1),
        ("blocks.gz", "bgzip -c", 2),
        ("one.bz2", "bzip2 -c", 1),
        ("parallel.bz2", "pbzip2 -c -b1", 2),
        ("one.xz", "xz -c -2", 1),
        ("threads.xz", "xz -c -2 -T2 --block-size=512KiB", 2),
        ("blocks.xz", "xz -c -2 -T1 --block-size=512KiB", 2),
        ("list.xz", "xz -c -2 --block-list=1MiB,100KiB,512KiB --check=sha256", 2),
        ("filters.xz", "xz -c --check=none --delta=dist=4 --lzma2=preset=1", 1),
    ] {
        let Some(file) = tool(arguments, &data) else { continue };
        let report = read(&s, name, &file, &data, &[]);
        assert!(chunks(&report) >= at_least, "{arguments}: {report}");
        assert!(report["warnings"].as_array().expect("a list").is_empty(), "{report}");
        let program = arguments.split(" -").next().expect("a name");
        if let Some(file) = members(arguments, &data).filter(|_| program != "pbzip2") {
            read(&s, &format!("members-{name}"), &file, &data, &[]);
        }
    }
}

/// Frames of `data`, with a skippable one before each.
fn zstd_frames(data: &[u8], piece_bytes: usize) -> Vec<u8> {
    let frame = |piece: &[u8]| {
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        [&skippable[..], &zstd::encode_all(piece, 1).expect("in memory")].concat()
    };
    data.chunks(piece_bytes).flat_map(frame).collect()
}

/// A BGZF member with `piece` stored.
fn bgzf_member(piece: &[u8]) -> Vec<u8> {
    let crc = !piece.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 != 0 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    });
    let len = piece.len() as u16;
    let head = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, b'B', b'C', 2, 0];
    let tail = [crc.to_le_bytes(), u32::from(len).to_le_bytes()].concat();
    let stored = [&[1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), piece].concat();
    let size = (head.len() + 2 + stored.len() + tail.len() - 1) as u16;
    [&head[..], &size.to_le_bytes(), &stored, &tail].concat()
}

fn bgzf(data: &[u8]) -> Vec<u8> {
    data.chunks(60_000).chain([&[][..]]).flat_map(bgzf_member).collect()
}

fn snappy(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; clipsmaster_framing::snappy::bound(data.len())];
    let len = clipsmaster_framing::snappy::compress(data, &mut out, |_, _| None).expect("the bound holds");
    out.truncate(len);
    out
}

#[test]
fn what_was_made_here_is_cut_too() {
    let s = scratch();
    let data = text(6_000_000);
    for (name, file, at_least) in [
        ("frames.zst", zstd_frames(&data, 3_000_000), 2),
        // Frames of little but many.
        ("small.zst", zstd_frames(&data, 1_000), 2),
        ("blocks.gz", bgzf(&data), 4),
        ("one.sz", snappy(&data), 4),
        ("two.sz", [snappy(&data[..100_000]), snappy(&data[100_000..])].concat(), 4),
    ] {
        let report = read(&s, name, &file, &data, &[]);
        assert!(chunks(&report) >= at_least, "{name}: {report}");
    }
}

#[test]
fn units_beyond_the_memory_for_them_come_through_one_decoder_and_cutting_goes_on() {
    let s = scratch();
    let data = text(12_000_000);
    let limit = ["--memory-limit", "60MB"];
    let parts = [&data[..1_000_000], &data[1_000_000..10_000_000], &data[10_000_000..]];
    let frames: Vec<u8> = parts.iter().flat_map(|p| zstd_frames(p, p.len())).collect();
    read(&s, "large.zst", &frames, &data, &limit);
    for (name, arguments) in [
        ("large.xz", "xz -c -0 --block-list=1MiB,9MiB,1MiB"),
        ("sizes.xz", "xz -c -0 -T2 --block-list=1MiB,9MiB,1MiB"),
    ] {
        let Some(file) = tool(arguments, &data) else { continue };
        // A decoder may need 64 MiB of it.
        let report = read(&s, name, &file, &data, &["--memory-limit", "280MB"]);
        assert!(chunks(&report) >= 3, "{report}");
    }
    // Far more than was to be expected from so few bytes.
    let zeros = vec![0; 20_000_000];
    if let Some(file) = tool("bzip2 -c", &zeros) {
        let file = [&file[..], &file].concat();
        read(&s, "zeros.bz2", &file, &zeros.repeat(2), &limit);
    }
}

/// Data whose alphabet, as a bzip2 block lists it, looks like a stream's end.
fn with_an_end_mark_in_its_alphabet() -> Vec<u8> {
    // The mark, two words for a checksum, and one that begins with the zeros behind it.
    const USED: [u16; 6] = [0x1772, 0x4538, 0x5090, 0x8001, 0x8001, 0x0001];
    let used = |byte: &u8| {
        let word = USED.get(usize::from(byte >> 4)).copied().unwrap_or(0);
        word & (0x8000 >> (byte & 15)) != 0
    };
    let alphabet: Vec<u8> = (0..=255).filter(used).collect();
    let words = text(60_000);
    words.iter().enumerate().map(|(i, b)| alphabet[(usize::from(*b) * 7 + i) % alphabet.len()]).collect()
}

#[test]
fn a_bzip2_stream_cut_at_what_only_looks_like_its_end_is_put_together_again() {
    let s = scratch();
    let data = with_an_end_mark_in_its_alphabet();
    let input = s.file("letters", &data);
    let file = s.path("letters.bz2");
    s.run(&["compress", "-a", "bzip2", "--container", "plain", path_str(&input), "-o", path_str(&file)]);
    let stream = fs::read(&file).expect("output");
    let word = |bit: usize| {
        let bytes = stream[bit / 8..][..8].try_into().expect("8 bytes");
        u64::from_be_bytes(bytes) << (bit % 8)
    };
    let marks: Vec<usize> = (0..8 * 64).filter(|bit| word(*bit) >> 16 == 0x1772_4538_5090).collect();
    let &[mark] = &marks[..] else { panic!("one mark in the block's header, not {marks:?}") };
    let end = mark + 80;
    assert_eq!(word(end) >> 1 >> (63 - (8 - end % 8) % 8), 0, "filled up with zeros, as at an end");
    read(&s, "letters.bz2", &stream, &data, &[]);
    let other = text(10_000);
    let plain = s.file("other", &other);
    let file = s.path("other.bz2");
    s.run(&["compress", "-a", "bzip2", "--container", "plain", path_str(&plain), "-o", path_str(&file)]);
    let others = fs::read(&file).expect("output").repeat(3);
    let all = [&others[..], &stream, &others].concat();
    read(&s, "all.bz2", &all, &[other.repeat(3), data, other.repeat(3)].concat(), &[]);
}

/// Runs a decompression; its exit code, its standard error, and what it wrote.
fn outcome(s: &Scratch, name: &str, file: &[u8]) -> (Option<i32>, String, Option<Vec<u8>>) {
    let (input, out): (PathBuf, PathBuf) = (s.file(name, file), s.path("outcome"));
    let _ = fs::remove_file(&out);
    let output = s.command(&["decompress", path_str(&input), "-o", path_str(&out)]).output();
    let output = output.expect("the command runs");
    (output.status.code(), stderr(&output), fs::read(&out).ok())
}

#[test]
fn bytes_behind_the_last_frame_are_treated_as_by_the_formats_own_tool() {
    let s = scratch();
    let data = text(300_000);
    let bzip2 = tool("bzip2 -c", &data).unwrap_or_default();
    let xz = tool("xz -c", &data).unwrap_or_default();
    let gzip = tool("gzip -c", &data).unwrap_or_default();
    let zstd = zstd_frames(&data, 100_000);
    // Whether it is read, and whether the user is told.
    for (name, file, tail, expected) in [
        ("zeros.gz", &bgzf(&data), &[0; 600][..], (true, false)),
        ("garbage.gz", &bgzf(&data), b"some garbage", (true, true)),
        ("both.gz", &bgzf(&data), b"\0\0\0\0garbage", (true, true)),
        ("stream.gz", &gzip, &[0; 600], (true, false)),
        ("zeros-member.gz", &gzip, &[&[0; 9][..], &gzip].concat(), (true, true)),
        ("stream-garbage.gz", &gzip, b"some garbage", (true, true)),
        ("zeros.bz2", &bzip2, &[0; 600], (true, true)),
        ("garbage.bz2", &bzip2, b"garbage", (true, true)),
        ("header.bz2", &bzip2, b"BZh9 no stream", (false, true)),
        ("padding.xz", &xz, &[0; 600], (true, false)),
        ("zeros.xz", &xz, &[0; 601], (false, true)),
        ("garbage.xz", &xz, b"garbage", (false, true)),
        ("zeros.zst", &zstd, &[0; 600], (false, true)),
        ("garbage.zst", &zstd, b"garbage", (false, true)),
        ("garbage.sz", &snappy(&data), b"garbage", (false, true)),
    ] {
        if file.is_empty() {
            continue;
        }
        let (code, told, out) = outcome(&s, name, &[file, tail].concat());
        let (is_read, is_told) = expected;
        assert_eq!(code, Some(if is_read { 0 } else { 3 }), "{name}: {told}");
        assert_eq!(!told.is_empty(), is_told, "{name}: {told}");
        assert!(out == is_read.then(|| data.clone()), "{name}");
    }
}

#[test]
fn damage_in_any_unit_is_noticed() {
    let s = scratch();
    let data = text(4_000_000);
    let mut files = vec![("damaged.gz", bgzf(&data)), ("damaged.sz", snappy(&data))];
    files.push(("damaged.zst", tool("zstd -c", &data).unwrap_or_default().repeat(3)));
    files.push(("damaged.lz4", tool("lz4 -c", &data).unwrap_or_default().repeat(3)));
    files.push(("damaged.bz2", tool("bzip2 -c", &data).unwrap_or_default().repeat(3)));
    files.push(("damaged.xz", tool("xz -c -0 --block-size=1MiB", &data).unwrap_or_default()));
    for (name, file) in files.iter().filter(|(_, file)| !file.is_empty()) {
        // Sevenths: no unit ends there.
        for part in 1..7 {
            let at = file.len() * part / 7;
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            for (what, file) in [("damaged", &damaged[..]), ("cut", &file[..at])] {
                let (code, told, out) = outcome(&s, name, file);
                assert_eq!((code, out.is_some()), (Some(3), false), "{name} {what} at {at}: {told}");
            }
        }
    }
}
