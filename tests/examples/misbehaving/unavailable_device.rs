//! Good, but for a device that no machine has.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, Unavailable, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct UnavailableDevice;

impl Behaviour for UnavailableDevice {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-unavailable-device", "test").hardware("fpga");

    fn probe() -> Result<String, Unavailable> {
        Err(Unavailable { reason: "no such device".into(), remedy: "plug it in".into() })
    }
}

export_plugin! { id: "bad-unavailable-device", codecs: [Identity<UnavailableDevice>] }
