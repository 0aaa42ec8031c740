//! Streams: all frames of the input, with a window no larger than the memory limit.

use clipsmaster_plugin_api::{DecoderLimits, Error, ErrorKind, Input, Result};
use std::io::{self, BufRead, BufReader, Read};
use zstd::{stream::read, zstd_safe::DCtx};

/// Largest window the library can decode, as a power of two.
const MAX_WINDOW_LOG: u32 = 31;

/// Opens a decoder (`Codec::DECODER`).
pub(crate) fn open(input: Input, limits: DecoderLimits) -> Result<Box<dyn Read + Send>> {
    let window_log = limits.memory_bytes.checked_ilog2().unwrap_or(0);
    let window_log = window_log.clamp(super::MIN_WINDOW_LOG as u32, MAX_WINDOW_LOG);
    let mut frames = read::Decoder::with_buffer(BufReader::with_capacity(DCtx::in_size(), input))?;
    frames.window_log_max(window_log).map_err(super::zstd_error)?;
    Ok(Box::new(Frames { frames, began: false }))
}

/// The library's reader, with an error for input without any frame, and errors of the right kind.
struct Frames {
    frames: read::Decoder<'static, BufReader<Input>>,
    began: bool,
}

impl Read for Frames {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.began && self.frames.get_mut().fill_buf()?.is_empty() {
            return Err(Error::new(ErrorKind::Truncated, "no zstd frame").into());
        }
        self.began = true;
        self.frames.read(buf).map_err(|e| match e.get_ref() {
            Some(source) if source.is::<zstd::Error>() => super::zstd_error(e).into(),
            _ => e,
        })
    }
}
