//! Panics when it is asked for the bound.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct PanicInBound;

impl Behaviour for PanicInBound {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-panic-in-bound", "test");

    fn bound(&self, _len: usize) -> usize {
        panic!("panic in bound")
    }
}

export_plugin! { id: "bad-panic-in-bound", codecs: [Identity<PanicInBound>] }
