//! Panics in `decompress`.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct PanicInDecompress;

impl Behaviour for PanicInDecompress {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-panic-in-decompress", "test");

    fn decompress(&mut self, _src: &[u8], _dst: &mut [u8]) -> Result<usize> {
        panic!("panic in decompress")
    }
}

export_plugin! { id: "bad-panic-in-decompress", codecs: [Identity<PanicInDecompress>] }
