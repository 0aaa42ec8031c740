//! Good until the tests take its device away; from then on three more chunks, of all instances together, succeed.

#![forbid(unsafe_code)]

mod fragile;

use clipsmaster_plugin_api::{Result, export_plugin};
use fragile::{Fault, Fragile, device_is_lost, lost};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Calls since the device was lost.
static CALLS: AtomicU32 = AtomicU32::new(0);

struct InMidJob;

impl Fault for InMidJob {
    const LIBRARY: &'static str = "mid-job";

    fn at_compress() -> Result<()> {
        if !device_is_lost() {
            CALLS.store(0, Relaxed);
            return Ok(());
        }
        if CALLS.fetch_add(1, Relaxed) < 3 { Ok(()) } else { Err(lost()) }
    }
}

export_plugin! { id: "bad-fails-in-mid-job", codecs: [Fragile<InMidJob>] }
