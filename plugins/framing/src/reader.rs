//! Decodes the frames of any format here: all of them into one buffer, or as a stream.

use crate::source::{Source, Stream};
use clipsmaster_plugin_api::{DecoderLimits, Error, ErrorKind, Input, Result};
use std::io::{self, Read};

/// State of decoding one format, block by block.
pub trait Frames {
    /// How far back, in bytes, a block may refer to earlier output.
    const HISTORY_BYTES: usize;
    /// Most bytes one block decodes to.
    const BLOCK_BYTES: usize;

    /// Decodes the next block into `out[at..]`, where `out[..at]` is the output so far, or as much
    /// of its end as history needs. `None` at the end of the input.
    ///
    /// # Errors
    /// Truncated or damaged input; [`ErrorKind::DestinationTooSmall`] when the block does not fit.
    fn next_block(&mut self, source: &mut impl Source, out: &mut [u8], at: usize) -> Result<Option<usize>>;
}

/// Decodes all frames of `src` into `dst`; the bytes written.
///
/// # Errors
/// Those of [`Frames::next_block`].
pub fn decompress(mut frames: impl Frames, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
    let mut written = 0;
    while let Some(n) = frames.next_block(&mut src, dst, written)? {
        written += n;
    }
    Ok(written)
}

/// Decodes `input` as a stream: what [`Codec::DECODER`](clipsmaster_plugin_api::Codec::DECODER) returns.
///
/// Half of the memory is for the window, the other half for the compressed block.
pub fn decoder<F>(frames: F, input: Input, limits: DecoderLimits) -> Box<dyn Read + Send>
where
    F: Frames + Send + 'static,
{
    let most = F::HISTORY_BYTES + F::BLOCK_BYTES;
    let room = usize::try_from(limits.memory_bytes / 2).map_or(most, |half| half.min(most));
    Box::new(FrameReader { frames, source: Stream::new(input), window: vec![0; room], start: 0, end: 0 })
}

struct FrameReader<F> {
    frames: F,
    source: Stream,
    /// History, then what was decoded but not yet read (`start..end`), then free room.
    window: Vec<u8>,
    start: usize,
    end: usize,
}

impl<F: Frames> FrameReader<F> {
    /// Decodes the next block; whether there was one.
    fn fill(&mut self) -> Result<bool> {
        if self.window.len() - self.end < F::BLOCK_BYTES {
            let history = self.end.min(F::HISTORY_BYTES);
            self.window.copy_within(self.end - history..self.end, 0);
            self.end = history;
        }
        self.start = self.end;
        let block = self.frames.next_block(&mut self.source, &mut self.window, self.end);
        let len = block.map_err(|e| match e.kind {
            ErrorKind::DestinationTooSmall => {
                Error::new(ErrorKind::OutOfMemory, "block beyond the memory limit")
            }
            _ => e,
        })?;
        self.end += len.unwrap_or(0);
        Ok(len.is_some())
    }
}

impl<F: Frames> Read for FrameReader<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // A block may be empty, so only the end of the input is the end.
        while self.start == self.end {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let n = buf.len().min(self.end - self.start);
        buf[..n].copy_from_slice(&self.window[self.start..self.start + n]);
        self.start += n;
        Ok(n)
    }
}
