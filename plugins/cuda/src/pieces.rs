//! What a format has to know: how content is cut, how pieces are wrapped into its standard frames, and how they are found again.

use crate::nvcomp::Opts;
use clipsmaster_framing::{Check, Layout};
use clipsmaster_plugin_api::{Descriptor, ErrorKind, Result};

/// Usual length of a piece: what nvCOMP recommends.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Most content of a piece that is worth the device: each is decoded by a few of its many processors.
pub(crate) const MOST_PIECE_BYTES: usize = 1 << 20;

/// A format that nvCOMP writes and reads in pieces.
pub(crate) trait Format: Send + 'static {
    /// What the codec is.
    const DESCRIPTOR: Descriptor;
    /// nvCOMP's name of it.
    const FAMILY: &'static str;
    /// Content of a piece, in bytes.
    const PIECE_BYTES: usize = PIECE_BYTES;
    /// About what nvCOMP 6.0 asks for the output of a piece, in bytes.
    const SLOT_BYTES: usize = 75 << 10;

    /// nvCOMP's options for a level.
    fn opts(level: i32) -> Opts {
        let _ = level;
        Opts::first(0)
    }

    /// Largest result of [`wrap`](Self::wrap) for `len` bytes, whatever the device makes of them.
    fn bound(len: usize) -> usize;

    /// Writes `src` as frames into `dst`; its pieces, compressed, come from `packed`.
    fn wrap(src: &[u8], dst: &mut [u8], packed: &mut dyn Packed) -> Result<usize>;

    /// The pieces in the frames of `src`.
    fn unwrap(src: &[u8]) -> Result<Found<'_>>;
}

/// Compressed pieces, one after the other.
pub(crate) trait Packed {
    /// The next one.
    fn next(&mut self) -> Result<&[u8]>;
}

/// A piece in a frame.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    /// What the device gets before `body`.
    pub head: Vec<u8>,
    pub body: &'a [u8],
    /// Whether `body` is the content itself.
    pub stored: bool,
    /// Bytes of content.
    pub len: usize,
}

/// What frames consist of.
#[derive(Clone, Default, Debug)]
pub(crate) struct Found<'a> {
    pub blocks: Vec<Block<'a>>,
    pub checks: Vec<Check>,
    /// Bytes of content in all.
    pub len: usize,
    /// Whether the end of a piece was guessed: what fails then may be no damage.
    pub guessed: bool,
}

/// How a checksum is computed.
pub(crate) type Sum = fn(&[u8]) -> u32;

impl<'a> Found<'a> {
    /// Adds a piece with a checksum of its content.
    pub(crate) fn put(&mut self, block: Block<'a>, check: Option<(u32, Sum)>) {
        let range = self.len..self.len + block.len;
        self.len = range.end;
        self.checks.extend(check.map(|(expected, sum)| Check { range, expected, sum }));
        if block.len > 0 {
            self.blocks.push(block);
        }
    }
}

impl<'a> From<Layout<'a>> for Found<'a> {
    fn from(layout: Layout<'a>) -> Self {
        let block = |b: clipsmaster_framing::Block<'a>| Block {
            head: Vec::new(),
            body: b.data,
            stored: b.stored,
            len: b.len,
        };
        let blocks = layout.blocks.into_iter().filter(|b| b.len > 0).map(block).collect();
        Self { blocks, checks: layout.checks, len: layout.len, guessed: false }
    }
}

/// The function that wrappers of `plugins/framing` call for each block, and the error that ended it, if one did.
pub(crate) fn frame(
    packed: &mut dyn Packed,
    write: impl FnOnce(&mut dyn FnMut(&[u8], &mut [u8]) -> Option<usize>) -> Result<usize>,
) -> Result<usize> {
    let mut failed = None;
    let written = write(&mut |_, room| {
        if failed.is_some() {
            return None;
        }
        match packed.next() {
            Ok(piece) => {
                room.get_mut(..piece.len())?.copy_from_slice(piece);
                Some(piece.len())
            }
            Err(e) => {
                failed = Some(e);
                None
            }
        }
    });
    failed.map_or(written, Err)
}

/// A destination that is filled from the front.
pub(crate) struct Output<'a> {
    dst: &'a mut [u8],
    pub len: usize,
}

impl<'a> Output<'a> {
    pub(crate) fn new(dst: &'a mut [u8]) -> Self {
        Self { dst, len: 0 }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.len + bytes.len();
        self.dst.get_mut(self.len..end).ok_or(ErrorKind::DestinationTooSmall)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Pieces that were compressed before.
    pub(crate) struct Given<'a>(std::slice::Iter<'a, &'a [u8]>);

    impl<'a> Given<'a> {
        pub(crate) fn new(pieces: &'a [&'a [u8]]) -> Self {
            Self(pieces.iter())
        }
    }

    impl Packed for Given<'_> {
        fn next(&mut self) -> Result<&[u8]> {
            Ok(self.0.next().expect("as many as there are pieces"))
        }
    }
}
