//! Ends the process in the probe, with the exit code of success.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, Unavailable, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct ExitZeroInProbe;

impl Behaviour for ExitZeroInProbe {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-exit-zero-in-probe", "test");

    fn probe() -> Result<String, Unavailable> {
        std::process::exit(0)
    }
}

export_plugin! { id: "bad-exit-zero-in-probe", codecs: [Identity<ExitZeroInProbe>] }
