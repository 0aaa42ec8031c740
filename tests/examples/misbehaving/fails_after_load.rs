//! Good until the tests take its device away; from then on it does not open.

#![forbid(unsafe_code)]

mod fragile;

use clipsmaster_plugin_api::{Result, export_plugin};
use fragile::{Fault, Fragile, device_is_lost, lost};

struct AtOpen;

impl Fault for AtOpen {
    const LIBRARY: &'static str = "fragile";

    fn at_open() -> Result<()> {
        if device_is_lost() { Err(lost()) } else { Ok(()) }
    }
}

export_plugin! { id: "bad-fails-after-load", codecs: [Fragile<AtOpen>] }
