//! The trait a plugin author writes.

use crate::{Descriptor, Error, ErrorKind, Result};
use std::io::Read;

/// Where a stream decoder reads from: the host's file, pipe or memory.
pub type Input = Box<dyn Read + Send>;

/// Opens a decoder over `input` (see [`Codec::DECODER`]).
pub type Decoder = fn(input: Input, limits: DecoderLimits) -> Result<Box<dyn Read + Send>>;

/// What a stream decoder may use.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DecoderLimits {
    /// Most memory, in bytes, for windows and dictionaries. A frame that needs more is answered
    /// with [`ErrorKind::OutOfMemory`].
    pub memory_bytes: u64,
}

impl DecoderLimits {
    /// Limits with `memory_bytes` for windows and dictionaries.
    pub const fn new(memory_bytes: u64) -> Self {
        Self { memory_bytes }
    }
}

/// One chunk of a batch (see [`Codec::BATCH`]).
#[derive(Debug)]
pub struct BatchItem<'a> {
    /// What to compress, or the frames to decompress.
    pub src: &'a [u8],
    /// Where the result goes.
    pub dst: &'a mut [u8],
    /// Bytes written to `dst`, or why there are none: for the codec to set.
    pub result: Result<usize>,
}

impl<'a> BatchItem<'a> {
    /// An item that nothing has been done to.
    pub fn new(src: &'a [u8], dst: &'a mut [u8]) -> Self {
        Self { src, dst, result: Err(Error::internal("not done")) }
    }
}

/// Why a codec cannot be used on this machine, and how to change that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unavailable {
    /// What is missing.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// Values of the options declared in the descriptor. The host has checked names and ranges.
#[derive(Clone, Default, Debug)]
pub struct Options {
    values: Vec<(String, i64)>,
}

impl Options {
    /// The value given for `name`, if one was given.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.values.iter().rev().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// How many bytes what is compressed is a sample of, where it is one ([`WHOLE_BYTES`](crate::WHOLE_BYTES)).
    pub fn whole_bytes(&self) -> Option<u64> {
        self.get(crate::WHOLE_BYTES).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
    }

    /// Whether checksums of content are left to the caller ([`SKIP_CHECKSUM`](crate::SKIP_CHECKSUM)).
    pub fn skips_checksum(&self) -> bool {
        self.get(crate::SKIP_CHECKSUM) == Some(1)
    }

    /// Adds a value; a later one of the same name wins.
    pub fn set(&mut self, name: impl Into<String>, value: i64) {
        self.values.push((name.into(), value));
    }

    /// Names and values, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.values.iter().map(|(n, v)| (n.as_str(), *v))
    }

    /// Whether no value was given.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// One way of doing one algorithm: bytes in, bytes out.
///
/// An implementor *is* an open instance at one level. The host keeps instances and calls them many
/// times, so put contexts and scratch buffers into `Self`. The buffers are the host's.
///
/// What the host relies on, and proves before it uses a codec:
///
/// - `compress` turns any input of at most `max_chunk_bytes`, the empty one included, into one or
///   more whole frames of the algorithm's standard format, and never needs more than
///   [`compress_bound`](Self::compress_bound) bytes for it.
/// - Frames written back to back are a valid input of `decompress` and of the stream decoder, and
///   decode to the inputs back to back. A codec that cannot know where a frame ends may answer
///   [`ErrorKind::Unsupported`] to more than one.
/// - `decompress` consumes all of `src`: bytes after the last frame are an error, and a
///   truncated or damaged frame is an error wherever the format can tell.
/// - A destination that is too small is [`ErrorKind::DestinationTooSmall`], never a shorter result.
/// - The number returned is at most `dst.len()`.
/// - A panic becomes an error, and the instance is dropped.
pub trait Codec: Sized + Send + 'static {
    /// What this codec is.
    const DESCRIPTOR: Descriptor;

    /// How to decode a stream in bounded memory (extension `stream/1`), if the codec can.
    ///
    /// The reader it returns yields the decoded bytes of *all* frames in `input`, to its end. It
    /// pulls: when it needs bytes it reads `input`, which blocks until there are some. Input
    /// that ends within a frame is `UnexpectedEof`, damage `InvalidData`, and memory beyond
    /// `limits` `OutOfMemory`. The input's own errors are passed on unchanged.
    const DECODER: Option<Decoder> = None;

    /// How many chunks the codec wants in one call (extension `batch/1`): more than 1 for a device that one chunk does not fill. The host
    /// gives as many as it has, which may be fewer; it may also use [`compress`](Self::compress) and
    /// [`decompress`](Self::decompress) on the same instance.
    const BATCH: usize = 1;

    /// Whether the codec can work on this machine: the identity of the device (empty for the CPU),
    /// or what is missing. Called in a separate process, so it may be slow or crash.
    ///
    /// # Errors
    /// [`Unavailable`] when a device or library is missing.
    fn probe() -> Result<String, Unavailable> {
        Ok(String::new())
    }

    /// Opens an instance. `level` lies within [`Descriptor::levels`].
    ///
    /// # Errors
    /// When the context cannot be made: out of memory, device lost.
    fn open(level: i32, options: &Options) -> Result<Self>;

    /// Largest size, in bytes, that `compress` may need for `len` bytes of input.
    fn compress_bound(&self, len: usize) -> usize;

    /// Compresses all of `src` into `dst`; returns the bytes written.
    ///
    /// # Errors
    /// [`ErrorKind::DestinationTooSmall`] and whatever the library reports.
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize>;

    /// Decompresses all frames in `src` into `dst`; returns the bytes written.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], [`ErrorKind::Truncated`], [`ErrorKind::DestinationTooSmall`].
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize>;

    /// Does to each of `items` what [`compress`](Self::compress) does, and sets its result. One item's failure is no other's.
    ///
    /// # Errors
    /// Of the whole call, a lost device for example: then no result counts.
    fn compress_batch(&mut self, items: &mut [BatchItem<'_>]) -> Result<()> {
        for item in items {
            item.result = self.compress(item.src, item.dst);
        }
        Ok(())
    }

    /// As [`compress_batch`](Self::compress_batch), the other way.
    ///
    /// # Errors
    /// As there.
    fn decompress_batch(&mut self, items: &mut [BatchItem<'_>]) -> Result<()> {
        for item in items {
            item.result = self.decompress(item.src, item.dst);
        }
        Ok(())
    }

    /// Decompressed size, in bytes, where the frames in `src` declare it. Not to be trusted by
    /// the caller: it comes from the input.
    fn decompressed_len(src: &[u8]) -> Option<u64> {
        let _ = src;
        None
    }

    /// Memory, in bytes, an instance at `level` holds when it compresses `len` bytes; 0 if unknown.
    fn scratch_bytes(level: i32, len: usize) -> u64 {
        let _ = (level, len);
        0
    }
}

/// Reads `decoder` to its end into `dst`: what [`Codec::decompress`] is for a library that only streams.
///
/// # Errors
/// [`ErrorKind::DestinationTooSmall`] when `decoder` yields more than `dst` holds, and its own errors.
pub fn read_to_end_into(mut decoder: impl Read, dst: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < dst.len() {
        match decoder.read(&mut dst[filled..]) {
            Ok(0) => return Ok(filled),
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    // The destination is full: one more byte tells whether that was all, and lets the decoder
    // check what follows the data (checksums, trailing bytes).
    match decoder.read(&mut [0]) {
        Ok(0) => Ok(filled),
        Ok(_) => Err(Error::from(ErrorKind::DestinationTooSmall)),
        Err(e) => Err(e.into()),
    }
}
