//! Reads brotli streams back to back, from memory or as they arrive.

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, enc::StandardAlloc};
use std::io::{self, BufRead, Read};

/// Memory for one stream: the largest window of RFC 7932 (16 MiB), and tables.
pub const MEMORY_BYTES: u64 = 18 << 20;

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Yields the content of all streams in `input`.
pub struct Streams<R> {
    input: R,
    /// The stream being read; `None` between two.
    state: Option<Box<State>>,
    began: bool,
}

impl<R: BufRead> Streams<R> {
    /// A reader that has read nothing yet.
    pub fn new(input: R) -> Self {
        Self { input, state: None, began: false }
    }
}

impl<R: BufRead> Read for Streams<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.input.fill_buf()?;
            if input.is_empty() && self.began && self.state.is_none() {
                return Ok(0);
            }
            self.began = true;
            let state = self.state.get_or_insert_with(new_state);
            let (mut available_in, mut read) = (input.len(), 0);
            let (mut available_out, mut written) = (buf.len(), 0);
            let result = BrotliDecompressStream(
                &mut available_in,
                &mut read,
                input,
                &mut available_out,
                &mut written,
                buf,
                &mut 0,
                state,
            );
            let at_end = input.is_empty();
            self.input.consume(read);
            match result {
                BrotliResult::ResultSuccess => self.state = None,
                BrotliResult::ResultFailure => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged brotli stream"));
                }
                BrotliResult::NeedsMoreInput if at_end && written == 0 => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "brotli stream cut short"));
                }
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            }
            if written > 0 || (buf.is_empty() && self.state.is_some()) {
                return Ok(written);
            }
        }
    }
}

/// Strict: windows beyond RFC 7932, up to 1 GiB, are an error.
fn new_state() -> Box<State> {
    let alloc = StandardAlloc::default;
    Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()))
}
