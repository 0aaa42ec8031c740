//! LZ4 frames: one a chunk, of blocks of 64 KiB.

use crate::pieces::{Format, Found, PIECE_BYTES, Packed, frame};
use clipsmaster_framing::lz4 as frames;
use clipsmaster_plugin_api::{Descriptor, Result};

pub(crate) struct Lz4;

impl Format for Lz4 {
    const DESCRIPTOR: Descriptor = crate::codec::descriptor("lz4").file("lz4", &frames::MAGIC);
    const FAMILY: &'static str = "LZ4";

    fn bound(len: usize) -> usize {
        frames::bound_in_blocks(len, PIECE_BYTES)
    }

    fn wrap(src: &[u8], dst: &mut [u8], packed: &mut dyn Packed) -> Result<usize> {
        frame(packed, |block| frames::compress_in_blocks(src, dst, PIECE_BYTES, true, block))
    }

    fn unwrap(src: &[u8]) -> Result<Found<'_>> {
        frames::layout(src).map(Found::from)
    }
}
