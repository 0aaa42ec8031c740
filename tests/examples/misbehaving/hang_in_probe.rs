//! Never answers the probe.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, Unavailable, export_plugin};
use identity::{Behaviour, Identity};
use std::{thread, time::Duration};

#[derive(Default)]
struct HangInProbe;

impl Behaviour for HangInProbe {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-hang-in-probe", "test");

    fn probe() -> Result<String, Unavailable> {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
}

export_plugin! { id: "bad-hang-in-probe", codecs: [Identity<HangInProbe>] }
