//! One of two good plugins with the same id; the host takes the one it finds first.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct TwinA;

impl Behaviour for TwinA {
    const DESCRIPTOR: Descriptor = Descriptor::new("twin-a", "test");
}

export_plugin! { id: "twin", codecs: [Identity<TwinA>] }
