//! Ends the process in `compress`, with the exit code of success.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct ExitZeroInCompress;

impl Behaviour for ExitZeroInCompress {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-exit-zero-in-compress", "test");

    fn compress(&mut self, _src: &[u8], _dst: &mut [u8]) -> Result<usize> {
        std::process::exit(0)
    }
}

export_plugin! { id: "bad-exit-zero-in-compress", codecs: [Identity<ExitZeroInCompress>] }
