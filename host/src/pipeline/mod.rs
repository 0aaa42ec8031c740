//! Streams of any length through codecs, in bounded memory and in order.
//!
//! Compressing: a reader thread fills chunks, workers compress each to its own frame, the caller's thread writes them in
//! order. Decompressing: one thread pulls through the codec's stream decoder, the caller's thread writes.
//! Buffers go round; nothing is allocated per chunk.

mod compress;
mod decompress;
mod output;

pub use compress::{CompressOptions, compress, default_chunk_bytes};
pub use decompress::{DecompressOptions, decompress};
pub use output::OutputFile;

use serde::Serialize;
use std::collections::BTreeMap;

/// Receives the number of input bytes done so far.
pub type OnBytes<'a> = &'a dyn Fn(u64);

/// What a job did.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// Bytes read.
    pub input_bytes: u64,
    /// Bytes written.
    pub output_bytes: u64,
    /// Pieces of work.
    pub chunks: u64,
    /// Pieces by implementation that did them.
    pub implementations: BTreeMap<String, u64>,
    /// Implementations that failed on the way, and what took over.
    pub failures: Vec<String>,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// Memory that may be used without asking, in bytes: half of what the machine and the control group have left (meminfo(5)
/// `MemAvailable`, cgroup v2 `memory.max`).
pub fn default_memory_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    let machine = kib.map_or(1 << 30, |k| k << 10);
    let number = |path| std::fs::read_to_string(path).ok().and_then(|t| t.trim().parse::<u64>().ok());
    let group = number("/sys/fs/cgroup/memory.max").unwrap_or(u64::MAX);
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    machine.min(group.saturating_sub(used)) / 2
}
