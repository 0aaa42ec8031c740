//! Takes memory without end, and uses it. To be run under a memory limit only.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};
use std::hint::black_box;

#[derive(Default)]
struct AllocatesAll;

impl Behaviour for AllocatesAll {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-allocates-all", "test");

    fn compress(&mut self, _src: &[u8], _dst: &mut [u8]) -> Result<usize> {
        let mut hoard = Vec::new();
        loop {
            // Not zeros: those would only be promised by the system, not taken.
            hoard.push(vec![0xa5_u8; 16 << 20]);
            black_box(&hoard);
        }
    }
}

export_plugin! { id: "bad-allocates-all", codecs: [Identity<AllocatesAll>] }
