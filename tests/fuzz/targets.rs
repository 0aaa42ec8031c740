//! What is fuzzed. The targets and `tests/fuzz_smoke.rs`, which runs them on mutated files with a stable compiler, share this.
//!
//! Whatever the bytes are, nothing may panic, hang, or take memory that the bytes do not pay for.

use clipsmaster_host::{
    Host, Request, Restored, chunked_header_info, health,
    pipeline::{DecompressOptions, Input, OnDamage, decompress},
};
use std::{
    fs::{self, File},
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

/// Most a run may write: beyond it the output is cut off.
const MOST_BYTES: usize = 64 << 20;

struct Limited(usize);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn options() -> DecompressOptions {
    DecompressOptions { threads: Some(1), memory_bytes: Some(256 << 20), ..DecompressOptions::default() }
}

/// The container reader, front to back, as from a pipe.
pub(crate) fn reader(host: &Host, bytes: &[u8]) {
    let input = Input::Stream(Box::new(Cursor::new(bytes.to_vec())));
    let _ = decompress(host, input, &mut Limited(MOST_BYTES), &options(), &|_| {});
    let _ = chunked_header_info(bytes);
}

/// Mending in memory; what is given back as partial must be no longer than what was there.
pub(crate) fn repair(host: &Host, bytes: &[u8]) {
    if let Restored::Partial { lost, .. } = host.safe_decompress(bytes, OnDamage::Skip) {
        assert!(lost.iter().all(|range| range.start <= range.end));
    }
}

/// Ranges of files, with zeros for what is lost, and the verbs that write new files.
pub(crate) fn range(host: &Host, scratch: &Path, bytes: &[u8]) {
    let [a, b, rest @ ..] = bytes else { return };
    let (start, len) = (u64::from(*a) * 97, u64::from(*b) * 131);
    let (path, fixed) = (scratch.join("file"), scratch.join("fixed"));
    let write = || -> std::io::Result<File> {
        fs::write(&path, rest)?;
        File::open(&path)
    };
    let Ok(file) = write() else { return };
    let asked = DecompressOptions { range: Some(start..start + len), on_damage: OnDamage::Zero, ..options() };
    let mut out = Limited(MOST_BYTES);
    if decompress(host, Input::File(file), &mut out, &asked, &|_| {}).is_ok() {
        assert!((MOST_BYTES - out.0) as u64 <= len);
    }
    let _ = health::verify(host, &path, true, &|_| {});
    let _ = health::repair(host, &path, &fixed, true, &|_| {});
    let _ = health::salvage(host, &path, &fixed, true, false, &|_| {});
    let _ = health::export(host, &path, &fixed, true, None, &|_| {});
}

/// Every decoder there is, on the bytes as they are.
pub(crate) fn decoders(host: &Host, bytes: &[u8]) {
    for algorithm in host.algorithms() {
        if let Ok(decompressor) = host.decompressor(&Request::new(&algorithm)) {
            let _ = decompressor.decompress(bytes, None);
        }
        let input = Input::Stream(Box::new(Cursor::new(bytes.to_vec())));
        let named = DecompressOptions { algorithm: Some(algorithm), ..options() };
        let _ = decompress(host, input, &mut Limited(MOST_BYTES), &named, &|_| {});
    }
}

/// A folder for `range`, of this process alone.
pub(crate) fn scratch() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("clipsmaster-fuzz-{}", std::process::id()));
    let _ = fs::create_dir_all(&dir);
    dir
}
