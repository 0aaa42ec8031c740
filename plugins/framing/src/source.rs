//! Where frames are read from: a slice without copying, or the host's input.

use clipsmaster_plugin_api::{Error, ErrorKind, Input, Result};
use std::io::{BufRead, BufReader, Read};

/// Compressed bytes, taken from the front.
pub trait Source {
    /// The next `len` bytes. The caller has checked `len` against what its format allows.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] when there are fewer.
    fn take(&mut self, len: usize) -> Result<&[u8]>;

    /// Whether all bytes were taken.
    ///
    /// # Errors
    /// Those of the input.
    fn at_end(&mut self) -> Result<bool>;

    /// The next four bytes as a little-endian number.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    fn take_u32(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Passes over `len` bytes, however many.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    fn skip(&mut self, mut len: usize) -> Result<()> {
        while len > 0 {
            len -= self.take(len.min(PIECE_BYTES))?.len();
        }
        Ok(())
    }
}

const PIECE_BYTES: usize = 64 << 10;

impl Source for &[u8] {
    fn take(&mut self, len: usize) -> Result<&[u8]> {
        let (head, tail) = self.split_at_checked(len).ok_or_else(truncated)?;
        *self = tail;
        Ok(head)
    }

    fn at_end(&mut self) -> Result<bool> {
        Ok(self.is_empty())
    }
}

/// The host's input, with a buffer for the piece taken last.
pub(crate) struct Stream {
    input: BufReader<Input>,
    piece: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(input: Input) -> Self {
        Self { input: BufReader::with_capacity(PIECE_BYTES, input), piece: Vec::new() }
    }
}

impl Source for Stream {
    fn take(&mut self, len: usize) -> Result<&[u8]> {
        if self.piece.len() < len {
            self.piece.resize(len, 0);
        }
        let piece = &mut self.piece[..len];
        self.input.read_exact(piece)?;
        Ok(piece)
    }

    fn at_end(&mut self) -> Result<bool> {
        Ok(self.input.fill_buf()?.is_empty())
    }
}

pub(crate) fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the input ends within a frame")
}
