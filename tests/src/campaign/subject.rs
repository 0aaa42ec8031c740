//! Containers to damage.

use super::damage::Rng;
use clipsmaster_host::{
    Filter, Host, Request, chunked_header_info,
    pipeline::{CompressOptions, Container, Filtering},
};
use std::ops::Range;

/// All algorithms, and so all carriers; and filters before some of them.
pub(crate) const ALGORITHMS: [&str; 9] =
    ["zstd", "lz4", "gzip", "snappy", "bzip2", "lzma", "store", "zstd+shuffle4", "gzip+shuffle2"];

/// First bytes of a record, and the bytes of its header.
pub(crate) const MAGIC: [u8; 8] = [0x89, b'C', b'M', b'C', 0x0d, 0x0a, 0x1a, 0x0a];
pub(crate) const HEADER_BYTES: usize = 64;

/// What a part of a container is: a frame, or a record of one of the types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Frame,
    File,
    Chunk,
    Index,
    Table,
    Recovery,
    Footer,
}

impl Kind {
    fn of(code: u8) -> Self {
        match code {
            1 => Self::File,
            2 => Self::Chunk,
            3 => Self::Index,
            4 => Self::Table,
            5 => Self::Recovery,
            _ => Self::Footer,
        }
    }
}

/// A frame, or a record with its wrapper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub kind: Kind,
    pub range: Range<usize>,
}

/// A container, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub original: Vec<u8>,
    pub bytes: Vec<u8>,
    /// All of `bytes`, in order.
    pub parts: Vec<Part>,
}

impl Subject {
    /// The parts of these kinds.
    pub(crate) fn of(&self, kinds: &[Kind]) -> impl Iterator<Item = Range<usize>> {
        self.parts.iter().filter(|p| kinds.contains(&p.kind)).map(|p| p.range.clone())
    }

    /// Bytes of the original in each chunk.
    pub(crate) fn chunks(&self) -> Vec<Range<usize>> {
        let info = chunked_header_info(&self.bytes).expect("sound");
        let range = |offset: u64, len: u32| offset as usize..offset as usize + len as usize;
        info.chunks.iter().map(|e| range(e.chunk.raw_offset, e.chunk.raw_bytes)).collect()
    }
}

/// How a container is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Make {
    /// One of [`ALGORITHMS`].
    pub algorithm: &'static str,
    pub chunk_bytes: usize,
    pub parity: u8,
}

impl Make {
    pub(crate) const fn new(algorithm: &'static str, chunk_bytes: usize, parity: u8) -> Self {
        Self { algorithm, chunk_bytes, parity }
    }

    pub(crate) fn of(self, host: &Host, original: Vec<u8>) -> Subject {
        let (request, options) = (self.request(), self.options());
        let (bytes, _) =
            host.safe_compress_with(&original, &request, &options).expect("sound data compresses");
        let parts = parts(&bytes, self.algorithm);
        Subject { original, bytes, parts }
    }

    pub(crate) fn request(self) -> Request {
        Request::new(self.algorithm.split('+').next().unwrap_or_default())
    }

    pub(crate) fn options(self) -> CompressOptions {
        let filter = self.algorithm.split('+').nth(1).map_or(Ok(Filter::None), str::parse);
        CompressOptions {
            filter: Filtering::Always(filter.expect("a filter there is")),
            chunk_bytes: Some(self.chunk_bytes),
            parity_percent: self.parity,
            container: Container::Standard,
            threads: Some(1),
            memory_bytes: Some(1 << 30),
            ..CompressOptions::default()
        }
    }
}

/// Takes a sound container apart: a record says where it stands, what is between records are frames.
fn parts(bytes: &[u8], algorithm: &str) -> Vec<Part> {
    let (head, tail) = match algorithm {
        "gzip" => (16, 10),
        "snappy" => (4, 0),
        _ => (8, 0),
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut end = 0;
    let frame = |range: Range<usize>| (!range.is_empty()).then_some(Part { kind: Kind::Frame, range });
    for at in records(bytes) {
        let payload = u32::from_le_bytes([bytes[at + 12], bytes[at + 13], bytes[at + 14], bytes[at + 15]]);
        let range = at - head..at + HEADER_BYTES + payload as usize + tail;
        parts.extend(frame(end..range.start));
        end = range.end;
        parts.push(Part { kind: Kind::of(bytes[at + 10]), range });
    }
    assert_eq!(end, bytes.len(), "a container ends with a record");
    parts
}

/// Where the headers of records stand that say so themselves.
pub(crate) fn records(bytes: &[u8]) -> Vec<usize> {
    let is_own = |at: &usize| {
        let header = &bytes[*at..];
        header.starts_with(&MAGIC) && header[40..48] == (*at as u64).to_le_bytes()
    };
    (0..bytes.len().saturating_sub(HEADER_BYTES - 1)).filter(is_own).collect()
}

/// Half text, half noise: `len` bytes that shrink to something over a half.
pub(crate) fn data(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(len + 64);
    while data.len() < len {
        let number = rng.next();
        data.extend(format!("entry {} of {:04x}; ", number % 1000, number >> 48).into_bytes());
        data.extend(rng.bytes(12));
    }
    data.truncate(len);
    data
}
