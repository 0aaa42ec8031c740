//! The standard frames of LZ4 ([`lz4`]) and Snappy ([`snappy`]) around raw blocks, and gzip members ([`gzip`]) around an inflate.
//!
//! Many libraries and all accelerators compress *blocks*; files and other programs want *frames*. A
//! plugin hands in the function that compresses or decompresses one block, and gets the rest: sizes,
//! checksums, blocks that do not shrink, frames back to back, skippable frames, truncation, and the
//! pull decoder for streams. Blocks go straight from the source into the destination.
//!
//! This is a library for plugins, not a plugin.

#![forbid(unsafe_code)]

pub mod gzip;
pub mod lz4;
mod reader;
pub mod snappy;
mod source;

pub use reader::{Frames, decoder, decompress};
pub use source::Source;

use clipsmaster_plugin_api::{ErrorKind, Result};

/// A destination that is filled from the front.
struct Output<'a> {
    dst: &'a mut [u8],
    len: usize,
}

impl<'a> Output<'a> {
    fn new(dst: &'a mut [u8]) -> Self {
        Self { dst, len: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.len + bytes.len();
        self.dst.get_mut(self.len..end).ok_or(ErrorKind::DestinationTooSmall)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// What is left after `gap` bytes, which are filled later.
    fn after(&mut self, gap: usize) -> &mut [u8] {
        self.dst.get_mut(self.len + gap..).unwrap_or_default()
    }
}
