//! Good and fast, on a device that says of itself that it is simulated.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, Unavailable, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct SimulatedDevice;

impl Behaviour for SimulatedDevice {
    const DESCRIPTOR: Descriptor = Descriptor::new("store", "pretence").hardware("fpga");

    fn probe() -> Result<String, Unavailable> {
        Ok("simulated FPGA 0".into())
    }
}

export_plugin! { id: "simulated-device", codecs: [Identity<SimulatedDevice>] }
