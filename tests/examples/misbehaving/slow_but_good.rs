//! Slow, but does nothing wrong: not to be taken for one that hangs.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};
use std::{thread, time::Duration};

const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct SlowButGood;

impl Behaviour for SlowButGood {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-slow-but-good", "test");

    fn open() -> Result<Self> {
        thread::sleep(PAUSE);
        Ok(Self)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        thread::sleep(PAUSE);
        copy(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        thread::sleep(PAUSE);
        copy(src, dst)
    }
}

export_plugin! { id: "bad-slow-but-good", codecs: [Identity<SlowButGood>] }
