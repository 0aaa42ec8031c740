//! Panics in `compress`.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct PanicInCompress;

impl Behaviour for PanicInCompress {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-panic-in-compress", "test");

    fn compress(&mut self, _src: &[u8], _dst: &mut [u8]) -> Result<usize> {
        panic!("panic in compress")
    }
}

export_plugin! { id: "bad-panic-in-compress", codecs: [Identity<PanicInCompress>] }
