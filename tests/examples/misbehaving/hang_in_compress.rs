//! Never returns from `compress`.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};
use std::{thread, time::Duration};

#[derive(Default)]
struct HangInCompress;

impl Behaviour for HangInCompress {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-hang-in-compress", "test");

    fn compress(&mut self, _src: &[u8], _dst: &mut [u8]) -> Result<usize> {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
}

export_plugin! { id: "bad-hang-in-compress", codecs: [Identity<HangInCompress>] }
