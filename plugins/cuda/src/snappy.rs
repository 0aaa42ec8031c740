//! The Snappy framing format: one frame a chunk, of blocks of 64 KiB.

use crate::pieces::{Format, Found, Packed, frame};
use clipsmaster_framing::snappy as frames;
use clipsmaster_plugin_api::{Descriptor, Result};

pub(crate) struct Snappy;

impl Format for Snappy {
    const DESCRIPTOR: Descriptor =
        crate::codec::descriptor("snappy").levels(1, 1, 1).file("sz", frames::MAGIC);
    const FAMILY: &'static str = "Snappy";

    fn bound(len: usize) -> usize {
        frames::bound(len)
    }

    fn wrap(src: &[u8], dst: &mut [u8], packed: &mut dyn Packed) -> Result<usize> {
        frame(packed, |block| frames::compress(src, dst, block))
    }

    fn unwrap(src: &[u8]) -> Result<Found<'_>> {
        frames::layout(src).map(Found::from)
    }
}
