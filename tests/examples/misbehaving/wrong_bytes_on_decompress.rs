//! Gives back other bytes than it was given, in inputs of more than 1000 bytes.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};

#[derive(Default)]
struct WrongBytesOnDecompress;

impl Behaviour for WrongBytesOnDecompress {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-wrong-bytes-on-decompress", "test");

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let len = copy(src, dst)?;
        if len > 1000 {
            dst[len / 2] ^= 1;
        }
        Ok(len)
    }
}

export_plugin! { id: "bad-wrong-bytes-on-decompress", codecs: [Identity<WrongBytesOnDecompress>] }
