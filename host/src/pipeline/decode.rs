//! Decoding and checking the chunks of containers.

use crate::{
    Compressor, Error, Host, Likeness, Request, Result, algorithm,
    buffer::{self, Pool},
    container::{ChunkInfo, Entry},
    filter::Filter,
    sync::lock,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex},
};
use twox_hash::XxHash3_128;

/// The decoders that a container's chunks need, found as they are needed.
#[derive(Debug)]
pub(crate) struct Decoders<'a> {
    host: &'a Host,
    /// Use exactly this implementation for its algorithm.
    implementation: Option<String>,
    by_algorithm: Mutex<HashMap<(String, Frames), Arc<Compressor>>>,
    /// For chunks on their way through a filter.
    filtered: Pool,
}

/// What is known of frames before they are decoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Frames {
    /// They may be anything.
    Any,
    /// Their checksum was found right.
    Verified,
    /// And their content did not shrink: it is in them as it is, most likely.
    Stored,
}

impl Frames {
    fn of(chunk: &ChunkInfo) -> Self {
        let is_stored = Likeness::is_stored(chunk.raw_bytes.into(), chunk.frame_bytes.into());
        if is_stored { Self::Stored } else { Self::Verified }
    }
}

/// A chunk to decode with others.
pub(super) struct Together<'a> {
    pub entry: &'a Entry,
    pub frame: &'a [u8],
    pub raw: &'a mut Vec<u8>,
}

/// Why a frame is not the chunk it should be.
#[derive(Debug)]
pub(crate) enum Bad {
    /// Its bytes are not those that were written.
    Frame,
    /// The bytes are, and still nothing decodes them to what they were.
    Decoder(Error),
}

impl Bad {
    /// The same, as an error about the chunk of `entry`.
    pub(crate) fn error(self, entry: &Entry) -> Error {
        match self {
            Self::Decoder(e) => e,
            Self::Frame => {
                let (number, at) = (entry.chunk.number, entry.frame_offset);
                let problem = format!("the frame of chunk {number} at byte {at} is damaged");
                Error::Container { input: "container".into(), problem }
            }
        }
    }
}

impl<'a> Decoders<'a> {
    pub(crate) fn new(host: &'a Host, implementation: Option<String>) -> Self {
        Self { host, implementation, by_algorithm: Mutex::default(), filtered: Pool::default() }
    }

    pub(crate) fn host(&self) -> &'a Host {
        self.host
    }

    /// The implementation asked for.
    pub(crate) fn implementation(&self) -> Option<&str> {
        self.implementation.as_deref()
    }

    /// The decompressor of `algorithm` for frames that may be anything.
    pub(crate) fn of(&self, algorithm: &str) -> Result<Arc<Compressor>> {
        self.find(algorithm, Frames::Any)
    }

    fn find(&self, algorithm: &str, frames: Frames) -> Result<Arc<Compressor>> {
        let key = (algorithm.to_owned(), frames);
        if let Some(known) = lock(&self.by_algorithm).get(&key) {
            return Ok(Arc::clone(known));
        }
        let pinned = self.implementation.clone().filter(|id| id.split('/').next() == Some(algorithm));
        let verified = frames != Frames::Any;
        let likeness = (frames == Frames::Stored).then(Likeness::incompressible);
        let request = Request { implementation: pinned, verified, likeness, ..Request::new(algorithm) };
        let decompressor = Arc::new(self.host.decompressor(&request)?);
        lock(&self.by_algorithm).insert(key, Arc::clone(&decompressor));
        Ok(decompressor)
    }

    /// How many chunks of `algorithm` its decompressor wants in one call.
    pub(crate) fn batch(&self, algorithm: &str) -> usize {
        if algorithm == algorithm::STORE {
            1
        } else {
            self.find(algorithm, Frames::Verified).map_or(1, |d| d.decoder_batch())
        }
    }

    /// Decodes in one call those of `chunks` that are of `algorithm` and as they were written. The implementation, for each that came out right;
    /// the others are to be decoded one by one.
    pub(super) fn decode_together(
        &self,
        algorithm: &str,
        chunks: &mut [Together<'_>],
    ) -> Vec<Option<String>> {
        let Ok(decoder) = self.find(algorithm, Frames::Verified) else { return vec![None; chunks.len()] };
        let fits = |c: &mut Together<'_>| {
            let chunk = &c.entry.chunk;
            chunk.algorithm == algorithm
                && chunk.filter == 0
                && is_as_written(c.entry, c.frame)
                && buffer::resize(c.raw, chunk.raw_bytes as usize).is_ok()
        };
        let fit: Vec<bool> = chunks.iter_mut().map(fits).collect();
        let all = chunks.iter_mut().zip(&fit).filter(|(_, fits)| **fits);
        let mut jobs: Vec<(&[u8], &mut [u8])> = all.map(|(c, _)| (c.frame, &mut c.raw[..])).collect();
        let mut whole = decoder.decode_batch(&mut jobs).into_iter();
        let mut by = |c: &Together<'_>| whole.next()?.filter(|_| is_original(&c.entry.chunk, c.raw));
        let all = chunks.iter().zip(fit);
        all.map(|(chunk, fits)| if fits { by(chunk).map(str::to_owned) } else { None }).collect()
    }

    /// What took over from what.
    pub(crate) fn failures(&self) -> Vec<String> {
        lock(&self.by_algorithm).values().flat_map(|d| d.failures()).collect()
    }

    /// Whether `frame`, one of several that may be that of `entry`, decodes into `raw` to what it should.
    pub(crate) fn accepts(&self, entry: &Entry, frame: &[u8], raw: &mut Vec<u8>) -> bool {
        let chunk = &entry.chunk;
        if chunk.algorithm == algorithm::STORE {
            return self.decode(entry, frame, raw).is_ok();
        }
        let Ok(filter) = filter_of(chunk) else { return false };
        if buffer::resize(raw, chunk.raw_bytes as usize).is_err() || crc32fast::hash(frame) != chunk.frame_crc
        {
            return false;
        }
        let Ok(decoder) = self.of(&chunk.algorithm) else { return false };
        let accepts = |out: &mut [u8], is_right: &dyn Fn(&[u8]) -> bool| {
            Ok(decoder.accepts_frame(frame, out, is_right))
        };
        self.through(filter, chunk, raw, accepts).unwrap_or(false)
    }

    /// Decodes `frame` into `raw`, and checks both against what `entry` says. Answers the implementation that did it.
    pub(crate) fn decode(&self, entry: &Entry, frame: &[u8], raw: &mut Vec<u8>) -> Result<String, Bad> {
        if !is_as_written(entry, frame) {
            return Err(Bad::Frame);
        }
        let len = entry.chunk.raw_bytes as usize;
        buffer::resize(raw, len).map_err(|_| Bad::Decoder(no_memory(len)))?;
        self.decode_written(entry, frame, raw)
    }

    /// As [`decode`](Self::decode), into `raw`, which is as long as the chunk.
    pub(crate) fn decode_to(&self, entry: &Entry, frame: &[u8], raw: &mut [u8]) -> Result<String, Bad> {
        if is_as_written(entry, frame) { self.decode_written(entry, frame, raw) } else { Err(Bad::Frame) }
    }

    fn decode_written(&self, entry: &Entry, frame: &[u8], raw: &mut [u8]) -> Result<String, Bad> {
        let chunk = &entry.chunk;
        let filter = filter_of(chunk).map_err(Bad::Decoder)?;
        if chunk.algorithm == algorithm::STORE {
            if frame.len() != raw.len() {
                return Err(Bad::Frame);
            }
            filter.undo(frame, raw);
            return if is_original(chunk, raw) { Ok(chunk.algorithm.clone()) } else { Err(Bad::Frame) };
        }
        let decoder = self.find(&chunk.algorithm, Frames::of(chunk)).map_err(Bad::Decoder)?;
        let decode = |out: &mut [u8], is_right: &dyn Fn(&[u8]) -> bool| {
            decoder.decode_frame(frame, out, is_right).map(str::to_owned)
        };
        self.through(filter, chunk, raw, decode).map_err(Bad::Decoder)
    }

    /// Lets `decode` fill a buffer and judge it by the original that `filter` makes of it in `raw`.
    fn through<T>(
        &self,
        filter: Filter,
        chunk: &ChunkInfo,
        raw: &mut [u8],
        decode: impl FnOnce(&mut [u8], &dyn Fn(&[u8]) -> bool) -> Result<T>,
    ) -> Result<T> {
        if filter == Filter::None {
            return decode(raw, &|raw| is_original(chunk, raw));
        }
        let mut filtered = self.filtered.take();
        buffer::resize(&mut filtered, raw.len()).map_err(|_| no_memory(raw.len()))?;
        let raw = RefCell::new(raw);
        let is_right = |filtered: &[u8]| {
            let mut raw = raw.borrow_mut();
            filter.undo(filtered, &mut raw);
            is_original(chunk, &raw)
        };
        let decoded = decode(&mut filtered, &is_right);
        self.filtered.give(filtered);
        decoded
    }

    /// Name of what decodes `algorithm` now.
    pub(crate) fn name(&self, algorithm: &str) -> String {
        let known = lock(&self.by_algorithm);
        let of = |frames| known.get(&(algorithm.to_owned(), frames));
        let first = of(Frames::Verified).or_else(|| of(Frames::Stored)).or_else(|| of(Frames::Any));
        first.map_or_else(|| algorithm.to_owned(), |d| d.decoder_id().to_owned())
    }
}

/// Whether `frame` is that of `entry`, by its length and CRC-32.
fn is_as_written(entry: &Entry, frame: &[u8]) -> bool {
    frame.len() == entry.chunk.frame_bytes as usize && crc32fast::hash(frame) == entry.chunk.frame_crc
}

fn is_original(chunk: &ChunkInfo, raw: &[u8]) -> bool {
    XxHash3_128::oneshot(raw) == chunk.raw_hash
}

/// The filter of `chunk`.
fn filter_of(chunk: &ChunkInfo) -> Result<Filter> {
    Filter::from_code(chunk.filter).ok_or_else(|| {
        let (code, number) = (chunk.filter, chunk.number);
        Error::Usage(format!("filter {code} of chunk {number} needs a later version of clipsmaster-host"))
    })
}

/// A buffer that could not be had.
pub(super) fn no_memory(len: usize) -> Error {
    Error::Usage(format!("no memory for a chunk of {len} bytes"))
}
