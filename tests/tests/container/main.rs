//! Containers as a user meets them: files, pipes and memory, the formats' own tools, damage, and plugins that lie.

#[path = "../support/mod.rs"]
mod support;

mod auto;
mod damage;
mod export;
mod files;
mod filter;
mod health;
mod liars;
mod library;
mod range;
mod siblings;
mod stock;

use serde_json::Value;
use std::{
    fs,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};
use support::{Scratch, noise, stderr, text};

const PLUGINS: [&str; 9] =
    ["store", "zstd", "lz4", "lz4_liblz4", "gzip", "gzip_libdeflate", "bzip2", "lzma", "snappy"];

/// Algorithm, extension of its files, and what `--container` must say for it.
const CARRIERS: [(&str, &str, &str); 10] = [
    ("zstd", "zst", "auto"),
    ("lz4", "lz4", "auto"),
    ("gzip", "gz", "auto"),
    ("snappy", "sz", "auto"),
    ("bzip2", "bz2", "auto"),
    ("lzma", "xz", "auto"),
    ("zstd", "cmc", "cmc"),
    ("bzip2", "cmc", "cmc"),
    ("lzma", "cmc", "cmc"),
    ("store", "cmc", "cmc"),
];

/// Whether files of that extension are containers.
fn is_container(extension: &str) -> bool {
    !["bz2", "xz"].contains(&extension)
}

fn scratch() -> Scratch {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&PLUGINS);
    scratch
}

/// Sends `input` through a command.
fn pipe(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command runs");
    let mut stdin = child.stdin.take().expect("piped");
    thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("output")
    })
}

/// Sends `input` through the command, which must succeed; its standard output.
fn through(scratch: &Scratch, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = pipe(scratch.command(arguments), input);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    output.stdout
}

/// Compresses `data` through a pipe.
fn packed(scratch: &Scratch, data: &[u8], options: &[&str]) -> Vec<u8> {
    through(scratch, &[&["compress", "-c"], options].concat(), data)
}

/// Decompresses the file, which must succeed.
fn unpacked(scratch: &Scratch, file: &Path) -> Vec<u8> {
    let output = scratch.output(&["decompress", "-c", path_str(file)]);
    assert!(output.status.success(), "{}: {}", file.display(), stderr(&output));
    output.stdout
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("folder").map(|e| e.expect("entry").file_name());
    let mut names: Vec<String> = entries.map(|n| n.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Text with noise in it: chunks of both kinds.
fn mixed(len: usize) -> Vec<u8> {
    let part = len / 3;
    [text(part), noise(part, 7), text(len - 2 * part)].concat()
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    frame: usize,
    frame_len: usize,
    raw: usize,
    raw_len: usize,
}

/// The chunks that `info` lists.
fn places(scratch: &Scratch, file: &Path) -> Vec<Place> {
    let info = scratch.json(&["info", path_str(file)]);
    let number = |v: &Value| usize::try_from(v.as_u64().expect("a number")).expect("small");
    let place = |c: &Value| Place {
        frame: number(&c["frame_offset"]),
        frame_len: number(&c["frame_bytes"]),
        raw: number(&c["raw_offset"]),
        raw_len: number(&c["raw_bytes"]),
    };
    info["chunks"].as_array().expect("chunks").iter().map(place).collect()
}

/// Bytes of a record's header; the version stands at 8, the kind at 10, the length of the payload at 12, its checksum at 48, and the
/// checksum of all before it at 60.
const HEADER_BYTES: usize = 64;

/// Where records begin.
fn records(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len() - HEADER_BYTES).filter(|at| bytes[*at..].starts_with(b"\x89CMC\r\n\x1a\n")).collect()
}

/// Whether the record at `at` is of a chunk.
fn is_of_chunk(bytes: &[u8], at: usize) -> bool {
    bytes[at + 10..at + 12] == [2, 0]
}

/// Where the payload of the record at `at` is.
fn payload(bytes: &[u8], at: usize) -> Range<usize> {
    let len = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().expect("four"));
    at + HEADER_BYTES..at + HEADER_BYTES + len as usize
}

/// Sets the checksums of the record at `at` right.
fn seal(bytes: &mut [u8], at: usize) {
    let crc = crc32fast::hash(&bytes[payload(bytes, at)]).to_le_bytes();
    bytes[at + 48..at + 52].copy_from_slice(&crc);
    let crc = crc32fast::hash(&bytes[at..at + 60]).to_le_bytes();
    bytes[at + 60..at + 64].copy_from_slice(&crc);
}

/// Flips bits of a few bytes in the middle of a chunk's frame: too many to correct without parity.
fn spoil(bytes: &mut [u8], place: &Place) {
    let middle = place.frame + place.frame_len / 2;
    for at in (middle..place.frame + place.frame_len).step_by(97).take(5) {
        bytes[at] ^= 0x5a;
    }
}

/// The tool, if it is installed; the skip is told.
fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok() {
        return Some(Command::new(name));
    }
    println!("Skipped: `{name}` is not installed");
    None
}

/// Path of a file in `dir` that holds `bytes`.
fn file_in(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).expect("file");
    path
}
