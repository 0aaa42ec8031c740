//! Containers to damage, and the judgement on what comes back.

use crate::damage::Rng;
use clipsmaster_host::{
    Host, Request, Restored,
    pipeline::{CompressOptions, Container, DecompressOptions, Input, OnDamage, decompress},
};
use std::{
    io::Cursor,
    ops::AddAssign,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// All algorithms, and so all carriers.
pub(crate) const ALGORITHMS: [&str; 6] = ["zstd", "lz4", "gzip", "snappy", "bzip2", "lzma"];

/// A container, and what is in it.
pub(crate) struct Subject {
    pub original: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// How a container is made.
#[derive(Clone, Copy)]
pub(crate) struct Make {
    pub algorithm: &'static str,
    pub chunk_bytes: usize,
    pub parity: u8,
}

impl Make {
    pub(crate) const fn new(algorithm: &'static str, chunk_bytes: usize, parity: u8) -> Self {
        Self { algorithm, chunk_bytes, parity }
    }

    pub(crate) fn of(self, host: &Host, original: Vec<u8>) -> Subject {
        let options = CompressOptions {
            chunk_bytes: Some(self.chunk_bytes),
            parity_percent: self.parity,
            container: Container::Standard,
            threads: Some(1),
            ..CompressOptions::default()
        };
        let request = Request::new(self.algorithm);
        let (bytes, _) =
            host.safe_compress_with(&original, &request, &options).expect("sound data compresses");
        Subject { original, bytes }
    }
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

/// What came of damaged containers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Read without a word; the right bytes.
    pub intact: u64,
    /// Read with a warning; the right bytes.
    pub repaired: u64,
    /// Refused, or told to be partial.
    pub refused: u64,
    /// Other bytes than were written, without an error.
    pub silent: u64,
    pub panicked: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.intact += other.intact;
        self.repaired += other.repaired;
        self.refused += other.refused;
        self.silent += other.silent;
        self.panicked += other.panicked;
    }
}

impl Tally {
    pub(crate) fn runs(&self) -> u64 {
        self.right() + self.refused + self.silent + self.panicked
    }

    pub(crate) fn right(&self) -> u64 {
        self.intact + self.repaired
    }

    pub(crate) fn is_honest(&self) -> bool {
        self.silent + self.panicked == 0
    }

    fn of(is_right: bool, is_loud: bool) -> Self {
        Self {
            intact: u64::from(is_right && !is_loud),
            repaired: u64::from(is_right && is_loud),
            silent: u64::from(!is_right),
            ..Self::default()
        }
    }

    pub(crate) fn refusal() -> Self {
        Self { refused: 1, ..Self::default() }
    }
}

/// Decompresses `bytes` and compares.
pub(crate) fn judge(host: &Host, bytes: &[u8], original: &[u8]) -> Tally {
    let restored = catch_unwind(AssertUnwindSafe(|| host.safe_decompress(bytes, OnDamage::Error)));
    match restored {
        Err(_) => Tally { panicked: 1, ..Tally::default() },
        Ok(Restored::Intact(data)) => Tally::of(data == original, false),
        Ok(Restored::Repaired { data, .. }) => Tally::of(data == original, true),
        Ok(Restored::Partial { .. } | Restored::Failed(_)) => Tally::refusal(),
    }
}

/// The same through a pipe, front to back.
pub(crate) fn judge_pipe(host: &Host, bytes: &[u8], original: &[u8]) -> Tally {
    let input = Input::Stream(Box::new(Cursor::new(bytes.to_vec())));
    let options = DecompressOptions { threads: Some(1), ..DecompressOptions::default() };
    let mut out = Vec::new();
    let done = catch_unwind(AssertUnwindSafe(|| decompress(host, input, &mut out, &options, &|_| {})));
    match done {
        Err(_) => Tally { panicked: 1, ..Tally::default() },
        Ok(Err(_)) => Tally::refusal(),
        Ok(Ok(summary)) => Tally::of(out == original, !summary.warnings.is_empty()),
    }
}

/// What is left when losses are allowed: whether every byte that was given is right, and how many there were.
pub(crate) fn left(host: &Host, bytes: &[u8], original: &[u8]) -> Option<usize> {
    match host.safe_decompress(bytes, OnDamage::Skip) {
        Restored::Intact(data) | Restored::Repaired { data, .. } => (data == original).then_some(data.len()),
        Restored::Partial { data, lost, .. } => {
            let mut kept = Vec::new();
            let mut at = 0;
            for range in &lost {
                kept.extend_from_slice(original.get(at..range.start as usize)?);
                at = usize::try_from(range.end).unwrap_or(usize::MAX).min(original.len());
            }
            kept.extend_from_slice(&original[at..]);
            (kept == data).then_some(data.len())
        }
        Restored::Failed(_) => Some(0),
    }
}
