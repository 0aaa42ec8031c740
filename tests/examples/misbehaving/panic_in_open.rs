//! Panics when it is opened.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct PanicInOpen;

impl Behaviour for PanicInOpen {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-panic-in-open", "test");

    fn open() -> Result<Self> {
        panic!("panic in open")
    }
}

export_plugin! { id: "bad-panic-in-open", codecs: [Identity<PanicInOpen>] }
