//! Streams of any length through codecs, in bounded memory and in order.
//!
//! One engine (`ordered`) moves items from a reader thread through workers to the caller's thread: chunks to compress, or
//! frames to decompress. Buffers go round; nothing is allocated per chunk.

mod compress;
mod decode;
mod decompress;
mod foreign;
mod group;
mod indexed;
mod memory;
mod ordered;
mod output;
mod sequential;
mod stream;
mod trial;

pub use compress::{CompressOptions, Container, Filtering, compress, default_chunk_bytes};
pub use decompress::{DecompressOptions, Input, OnDamage, decompress};
pub(crate) use memory::{smaller_chunk, threads};
pub use output::{Output, OutputFile};

pub(crate) use compress::ChunkSink;
pub(crate) use decode::{Bad, Decoders};
pub(crate) use decompress::stream_decoder;
pub(crate) use indexed::{decode_or_mend, decompress as decompress_indexed};
pub(crate) use ordered::{Lanes, ordered};
pub(crate) use sequential::decompress as decompress_sequential;
pub(crate) use trial::best_filter;

use crate::pressure::Sources;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

/// What a job tells while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// So many bytes of the input are done.
    Done(u64),
    /// One piece of work has taken far too long; the plugin may hang. It cannot be stopped from within the process.
    Stalled {
        /// Implementation at work.
        implementation: String,
        /// For how long, in seconds.
        seconds: u64,
    },
}

/// Receives what a job tells.
pub type OnEvent<'a> = &'a dyn Fn(Event);

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
    /// What the user should know: implementations that failed and what took over, threads that a memory limit cost, damage
    /// that was repaired.
    pub warnings: Vec<String>,
    /// Original bytes that could not be had, as ranges of first byte and the byte after the last.
    pub lost: Vec<(u64, u64)>,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Whether what follows the last frame was passed over.
    #[serde(skip)]
    pub(crate) ignored_rest: bool,
}

impl Summary {
    /// What another part of the same job did.
    fn add(&mut self, part: Self) {
        self.input_bytes += part.input_bytes;
        self.output_bytes += part.output_bytes;
        self.chunks += part.chunks;
        for (implementation, count) in part.implementations {
            *self.implementations.entry(implementation).or_default() += count;
        }
        self.warnings.extend(part.warnings);
        self.lost.extend(part.lost);
    }

    /// One more piece, done by `implementation`.
    fn count(&mut self, implementation: &str) {
        self.chunks += 1;
        match self.implementations.get_mut(implementation) {
            Some(count) => *count += 1,
            None => drop(self.implementations.insert(implementation.to_owned(), 1)),
        }
    }
}

/// Reads until `buffer` is full or the input ends; the bytes read.
pub(crate) fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match input.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}

/// Memory that may be used without asking, in bytes: half of what the machine and the control groups have left
/// ([`Sources::free_bytes`]), or of 1 GiB where that cannot be told.
pub fn default_memory_bytes() -> u64 {
    Sources::of_system().free_bytes().unwrap_or(1 << 30) / 2
}
