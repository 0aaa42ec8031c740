//! Loses the last byte, with success.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};

#[derive(Default)]
struct ShortOutput;

impl Behaviour for ShortOutput {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-short-output", "test");

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        Ok(copy(src, dst)?.saturating_sub(1))
    }
}

export_plugin! { id: "bad-short-output", codecs: [Identity<ShortOutput>] }
