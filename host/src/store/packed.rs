//! A resource in its compressed form: one frame per chunk, each with the CRC-32 of what it holds.

use super::{
    budget::{ALLOCATION_BYTES, For, Grant},
    codecs::{Chosen, Codec, Codecs, NoCodec, Scratch, filter_for},
};
use crate::{Checksum, Error, Filter, Result, buffer, pipeline::Filtering, policy::Policy};
use std::{ops::Range, sync::Arc};

/// Share of the original that must be gone after a quarter of a resource, for the rest to be tried.
const HOPELESS: f64 = 0.005;

/// Allocator's share of the record, and the names in its policy.
const NAMES_BYTES: u64 = 4 * ALLOCATION_BYTES + 64;

/// The compressed form.
#[derive(Debug)]
pub(super) struct Packed {
    codec: Arc<Codec>,
    pub len: usize,
    chunk_bytes: usize,
    frames: Vec<Frame>,
    /// What it was compressed with.
    pub policy: Policy,
    grant: Grant,
}

#[derive(Debug)]
struct Frame {
    bytes: Box<[u8]>,
    filter: Filter,
    crc: u32,
}

/// Why a resource was not compressed.
#[derive(Debug)]
pub(super) enum NotPacked {
    /// Less is saved than its policy asks for.
    SavesTooLittle,
    /// What comes out, or the work itself, does not fit into the budget.
    NoRoom,
    /// Whoever asked for it no longer wants it.
    Stopped,
    /// The codec failed.
    Failed(Error),
}

impl From<NoCodec> for NotPacked {
    fn from(e: NoCodec) -> Self {
        match e {
            NoCodec::NoRoom => Self::NoRoom,
            NoCodec::Failed(e) => Self::Failed(e),
        }
    }
}

/// Compresses `raw` as `policy` says, proving each frame: what comes back from it is compared. `goes_on` is asked before each chunk.
pub(super) fn pack(
    raw: &[u8],
    policy: &Policy,
    codecs: &Codecs,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Packed, NotPacked> {
    let budget = codecs.budget();
    let most = budget.most_chunk_bytes();
    let bounded = Policy { chunk_bytes: policy.chunk_bytes.clamp(1, most), ..policy.clone() };
    let chosen = codecs.choose(&bounded, raw)?;
    let chunk_bytes = usize::try_from(bounded.chunk_bytes).unwrap_or(usize::MAX);
    let _context = chosen.codec.work(budget).ok_or(NotPacked::NoRoom)?;
    let mut scratch = codecs.scratch(chunk_bytes.min(raw.len())).ok_or(NotPacked::NoRoom)?;
    let count = raw.len().div_ceil(chunk_bytes);
    let record = (size_of::<Packed>() + count * size_of::<Frame>()) as u64 + NAMES_BYTES;
    let grant = budget.take(record, For::Work);
    let mut frames = Vec::new();
    let (Some(grant), Ok(())) = (grant, frames.try_reserve_exact(count)) else {
        codecs.give_back(scratch);
        return Err(NotPacked::NoRoom);
    };
    let mut packed = Packed {
        codec: Arc::clone(&chosen.codec),
        len: raw.len(),
        chunk_bytes,
        frames,
        policy: policy.clone(),
        grant,
    };
    let answer = packed.fill(raw, &chosen, &mut scratch, goes_on);
    codecs.give_back(scratch);
    answer.map(|()| packed)
}

impl Packed {
    /// Bytes that it takes.
    pub(super) fn held_bytes(&self) -> u64 {
        self.grant.bytes()
    }

    /// What it takes, as a share of what it holds.
    pub(super) fn left(&self) -> f64 {
        self.held_bytes() as f64 / self.len.max(1) as f64
    }

    /// The codec that `policy` asks for; where it leaves that to trials, the one that they once chose.
    pub(super) fn codec_for(&self, policy: &Policy, codecs: &Codecs) -> Result<Chosen, NoCodec> {
        if !policy.is_auto() {
            return codecs.choose(policy, &[]);
        }
        let filter = self.frames.first().map_or(Filter::None, |frame| frame.filter);
        Ok(Chosen { codec: Arc::clone(&self.codec), filter: Filtering::Always(filter) })
    }

    /// Who compressed it.
    pub(super) fn implementation(&self) -> &str {
        self.codec.compressor.implementation()
    }

    fn fill(
        &mut self,
        raw: &[u8],
        chosen: &Chosen,
        scratch: &mut Scratch,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), NotPacked> {
        let most = (raw.len() as f64 * (1.0 - self.policy.min_savings)) as u64;
        let mut done = 0;
        for chunk in raw.chunks(self.chunk_bytes) {
            if !goes_on() {
                return Err(NotPacked::Stopped);
            }
            self.add(chunk, chosen, scratch)?;
            done += chunk.len();
            let is_hopeless = self.held_bytes() as f64 > done as f64 * (1.0 - HOPELESS);
            if self.held_bytes() > most || is_hopeless && done >= raw.len() / 4 {
                return Err(NotPacked::SavesTooLittle);
            }
        }
        Ok(())
    }

    fn add(&mut self, chunk: &[u8], chosen: &Chosen, scratch: &mut Scratch) -> Result<(), NotPacked> {
        let no_memory = |_| NotPacked::NoRoom;
        let compressor = &chosen.codec.compressor;
        let filter = filter_for(chosen.filter, compressor, chunk).map_err(NotPacked::Failed)?;
        let source = if filter == Filter::None {
            chunk
        } else {
            buffer::resize(&mut scratch.filtered, chunk.len()).map_err(no_memory)?;
            filter.apply(chunk, &mut scratch.filtered);
            &scratch.filtered
        };
        let written = compressor
            .compress_into(Checksum::Callers, source, &mut scratch.out, 0)
            .map_err(NotPacked::Failed)?;
        let frame = &scratch.out[..written.len];
        compressor.verify(Checksum::Callers, source, frame, &mut scratch.back).map_err(NotPacked::Failed)?;
        if filter != Filter::None {
            filter.undo(&scratch.back, &mut scratch.filtered);
            if scratch.filtered != chunk {
                return Err(NotPacked::Failed(Error::Mismatch(format!("{filter} cannot be undone"))));
            }
        }
        if !self.grant.resize(self.grant.bytes() + frame.len() as u64 + ALLOCATION_BYTES, For::Work) {
            return Err(NotPacked::NoRoom);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(frame.len()).map_err(no_memory)?;
        bytes.extend_from_slice(frame);
        self.frames.push(Frame { bytes: bytes.into(), filter, crc: crc32fast::hash(chunk) });
        Ok(())
    }

    /// All of it, behind what is in `out`.
    pub(super) fn unpack(&self, out: &mut Vec<u8>) -> Result<()> {
        self.unpack_range(0..self.len, out).map(drop)
    }

    /// The chunks that hold `range`, to the start of `out`; where in it the range begins.
    pub(super) fn unpack_range(&self, range: Range<usize>, out: &mut Vec<u8>) -> Result<usize> {
        let first = range.start / self.chunk_bytes;
        let chunks = first..range.end.div_ceil(self.chunk_bytes).max(first);
        let start = first * self.chunk_bytes;
        let end = (chunks.end * self.chunk_bytes).min(self.len);
        let len = end.saturating_sub(start);
        buffer::resize(out, len).map_err(|_| no_memory(len))?;
        let mut filtered = Vec::new();
        for (number, part) in chunks.zip(out.chunks_mut(self.chunk_bytes)) {
            self.unpack_chunk(number, part, &mut filtered)?;
        }
        Ok(range.start - start)
    }

    fn unpack_chunk(&self, number: usize, out: &mut [u8], filtered: &mut Vec<u8>) -> Result<()> {
        let Frame { bytes, filter, crc } = &self.frames[number];
        let compressor = &self.codec.compressor;
        if *filter == Filter::None {
            return compressor.decode_frame(bytes, out, |out| crc32fast::hash(out) == *crc).map(drop);
        }
        buffer::resize(filtered, out.len()).map_err(|_| no_memory(out.len()))?;
        compressor.decode_frame(bytes, filtered, |_| true)?;
        filter.undo(filtered, out);
        if crc32fast::hash(out) == *crc {
            return Ok(());
        }
        Err(Error::Mismatch(format!("chunk {number}: other bytes came out of it than went in")))
    }
}

/// There is no memory for so many decompressed bytes.
pub(super) fn no_memory(bytes: usize) -> Error {
    Error::Usage(format!("there is no memory for {bytes} decompressed bytes"))
}

/// Reads what `Packed` holds, chunk by chunk.
pub(super) struct Reader<'a> {
    packed: &'a Packed,
    next: usize,
    chunk: Vec<u8>,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(packed: &'a Packed) -> Self {
        Self { packed, next: 0, chunk: Vec::new(), at: 0 }
    }
}

impl std::io::Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.chunk.len() {
            let start = self.next * self.packed.chunk_bytes;
            if start >= self.packed.len {
                return Ok(0);
            }
            let end = (start + self.packed.chunk_bytes).min(self.packed.len);
            self.packed.unpack_range(start..end, &mut self.chunk).map_err(std::io::Error::other)?;
            self.next += 1;
            self.at = 0;
        }
        let len = out.len().min(self.chunk.len() - self.at);
        out[..len].copy_from_slice(&self.chunk[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}
