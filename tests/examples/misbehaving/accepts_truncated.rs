//! Takes a frame that was cut for a shorter one, with success.

#![forbid(unsafe_code)]

mod framed;
mod identity;

use clipsmaster_plugin_api::{Decoder, Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct AcceptsTruncated;

impl Behaviour for AcceptsTruncated {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-accepts-truncated", "test");
    const DECODER: Option<Decoder> = None;

    fn bound(&self, len: usize) -> usize {
        framed::bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::compress(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::decompress(src, dst, |frame| if frame.is_truncated() { Ok(()) } else { frame.check() })
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        framed::declared_len(src)
    }
}

export_plugin! { id: "bad-accepts-truncated", codecs: [Identity<AcceptsTruncated>] }
