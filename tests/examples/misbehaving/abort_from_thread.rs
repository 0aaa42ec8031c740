//! Aborts from a thread of its own: no guard around a call can catch that.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};
use std::{thread, time::Duration};

#[derive(Default)]
struct AbortFromThread;

impl Behaviour for AbortFromThread {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-abort-from-thread", "test");

    fn open() -> Result<Self> {
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(10));
            std::process::abort();
        });
        Ok(Self)
    }

    // Long enough that the thread strikes in the middle of a call.
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        thread::sleep(Duration::from_millis(100));
        copy(src, dst)
    }
}

export_plugin! { id: "bad-abort-from-thread", codecs: [Identity<AbortFromThread>] }
