//! What frames in memory consist of, before anything is decoded: for libraries that take many blocks at once.

use clipsmaster_plugin_api::{Error, Result};
use std::ops::Range;

/// A block of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its bytes, as in the frame.
    pub data: &'a [u8],
    /// Whether they are the content itself.
    pub stored: bool,
    /// Bytes of content it is to decode to.
    pub len: usize,
}

/// A checksum over decoded content.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which bytes of the content, over all frames.
    pub range: Range<usize>,
    /// The checksum in the frame.
    pub expected: u32,
    /// How it is computed.
    pub sum: fn(&[u8]) -> u32,
}

/// Blocks and checksums of all frames of an input, in order; contents follow each other without gaps.
#[derive(Clone, Default, Debug)]
pub struct Layout<'a> {
    /// The blocks.
    pub blocks: Vec<Block<'a>>,
    /// The checksums.
    pub checks: Vec<Check>,
    /// Bytes of content in all.
    pub len: usize,
}

/// Compares `content`, which all blocks were decoded to, with its checksums.
///
/// # Errors
/// [`ErrorKind::Corrupt`](clipsmaster_plugin_api::ErrorKind::Corrupt) when one differs.
pub fn verify(checks: &[Check], content: &[u8]) -> Result<()> {
    let right = |check: &Check| {
        content.get(check.range.clone()).is_some_and(|content| (check.sum)(content) == check.expected)
    };
    if checks.iter().all(right) { Ok(()) } else { Err(Error::corrupt("a checksum of the content differs")) }
}
