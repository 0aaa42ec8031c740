//! Panics when it is asked for the decompressed length.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct PanicInDecompressedLen;

impl Behaviour for PanicInDecompressedLen {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-panic-in-decompressed-len", "test");

    fn decompressed_len(_src: &[u8]) -> Option<u64> {
        panic!("panic in decompressed_len")
    }
}

export_plugin! { id: "bad-panic-in-decompressed-len", codecs: [Identity<PanicInDecompressedLen>] }
