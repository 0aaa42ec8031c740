//! Panics when an instance ends.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct PanicInDrop;

impl Drop for PanicInDrop {
    fn drop(&mut self) {
        panic!("panic in drop");
    }
}

impl Behaviour for PanicInDrop {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-panic-in-drop", "test");
}

export_plugin! { id: "bad-panic-in-drop", codecs: [Identity<PanicInDrop>] }
