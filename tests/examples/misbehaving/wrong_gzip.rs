//! Says it writes gzip, but writes frames that only it can read.

#![forbid(unsafe_code)]

mod framed;
mod identity;

use clipsmaster_plugin_api::{Decoder, Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct WrongGzip;

impl Behaviour for WrongGzip {
    const DESCRIPTOR: Descriptor = Descriptor::new("gzip", "bogus").levels(1, 9, 6).file("gz", &[0x1f, 0x8b]);
    const DECODER: Option<Decoder> = None;

    fn bound(&self, len: usize) -> usize {
        framed::bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::compress(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::decompress(src, dst, |frame| frame.check())
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        framed::declared_len(src)
    }
}

export_plugin! { id: "bad-wrong-gzip", codecs: [Identity<WrongGzip>] }
