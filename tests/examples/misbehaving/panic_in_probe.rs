//! Panics in the probe.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, Unavailable, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct PanicInProbe;

impl Behaviour for PanicInProbe {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-panic-in-probe", "test");

    fn probe() -> Result<String, Unavailable> {
        panic!("panic in probe")
    }
}

export_plugin! { id: "bad-panic-in-probe", codecs: [Identity<PanicInProbe>] }
