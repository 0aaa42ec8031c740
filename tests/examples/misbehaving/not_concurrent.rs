//! Declares that instances work at once, but all of them share one buffer.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, ErrorKind, Result, export_plugin};
use identity::{Behaviour, Identity};
use std::{
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// Atomic, so that only the result is wrong, not the program undefined.
static SCRATCH: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

#[derive(Default)]
struct NotConcurrent;

impl Behaviour for NotConcurrent {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-not-concurrent", "test");

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let dst = dst.get_mut(..src.len()).ok_or(ErrorKind::DestinationTooSmall)?;
        for (src, dst) in src.chunks(SCRATCH.len()).zip(dst.chunks_mut(SCRATCH.len())) {
            SCRATCH.iter().zip(src).for_each(|(scratch, byte)| scratch.store(*byte, Relaxed));
            // Makes sure that another instance gets in between.
            thread::sleep(Duration::from_micros(50));
            dst.iter_mut().zip(&SCRATCH).for_each(|(byte, scratch)| *byte = scratch.load(Relaxed));
        }
        Ok(src.len())
    }
}

export_plugin! { id: "bad-not-concurrent", codecs: [Identity<NotConcurrent>] }
