//! Measures implementations at chosen levels on chosen data, for people to look at: speed both ways, ratio, memory. A [`Study`] can be kept,
//! compared with an earlier one ([`Study::compare`]), and asked what is best for what ([`Study::recommend`]).
//!
//! Ranking has its own, brief measurements; see [`crate::benchmark`]. Here codecs are called as a worker of the pipeline calls them: piece by piece, each
//! thread with an instance of its own that is kept.

mod compare;
mod measure;
mod plan;
mod recommend;
mod work;

pub use compare::{Change, Comparison};
pub use plan::{StudyData, StudyPlan};
pub use recommend::{Recommendation, policy_proposal};

use serde::{Deserialize, Serialize};

/// Version of [`Study`] as JSON.
pub const STUDY_FORMAT: u32 = 1;

/// Name of the row that copies memory: nothing that touches all bytes is faster.
pub const MEMCPY: &str = "memcpy";

/// What was measured, where and how.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Study {
    /// [`STUDY_FORMAT`].
    pub format: u32,
    /// Version of this library.
    pub version: String,
    /// When, in seconds since 1970 (UTC).
    pub taken: u64,
    /// What it ran on.
    pub machine: Machine,
    /// Shortest time that one cell was measured for in each direction, in seconds.
    pub min_time_s: f64,
    /// The data, in the order of the rows.
    pub data: Vec<Measured>,
    /// The measurements: by data, bytes of a piece, threads; then memcpy, and the others as they were asked for.
    pub rows: Vec<Row>,
    /// What could not be measured, and why.
    pub skipped: Vec<String>,
}

/// A machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Threads that can run at a time.
    pub processors: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Kernel, e.g. `Linux 6.1.0 x86_64`.
    pub system: String,
}

/// A piece of data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Of a file the path as it was given; of built-in data the kind.
    pub name: String,
    /// All of it, in bytes.
    pub bytes: u64,
    /// What was measured of it at most, in bytes: pieces from all over it.
    pub sampled_bytes: u64,
}

/// One implementation at one level, on one piece of data, in pieces of one size, by so many threads.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// [`Measured::name`].
    pub data: String,
    /// Bytes of a piece, each compressed to one frame; the last one may be shorter.
    pub piece_bytes: u64,
    /// Threads that worked, each on pieces of its own.
    pub threads: u32,
    /// Algorithm of the frames; [`MEMCPY`] for the limit.
    pub algorithm: String,
    /// `<algorithm>/<hardware>/<library>`; [`MEMCPY`] for the limit.
    pub implementation: String,
    /// `cpu`, `cuda`, ...
    pub hardware: String,
    /// Version of the library.
    pub library_version: String,
    /// Its own level.
    pub level: i32,
    /// Bytes before.
    pub original_bytes: u64,
    /// Bytes after: the frames alone.
    pub compressed_bytes: u64,
    /// `original_bytes` over `compressed_bytes`.
    pub ratio: f64,
    /// Compressing.
    pub compress: Speed,
    /// Decompressing its own frames; what came out was compared before.
    pub decompress: Speed,
    /// Growth of the process's resident set while one thread set up and worked both ways, buffers for the data left out, in bytes.
    pub peak_bytes: u64,
    /// Working memory that the codec declares for a piece, in bytes.
    pub scratch_bytes: u64,
}

/// A speed.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Speed {
    /// Median, in MB/s: 10^6 bytes of original a second.
    pub mb_s: f64,
    /// Median absolute deviation over the median; 0 of a single run.
    pub deviation: f64,
    /// Runs, in turns with the other implementations.
    pub runs: u32,
}
