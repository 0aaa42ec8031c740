//! Good at every size that it is proven with, and dies at one that it is measured with.

mod identity;
mod segv;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};

#[derive(Default)]
struct CrashWhenMeasured;

impl Behaviour for CrashWhenMeasured {
    const DESCRIPTOR: Descriptor = Descriptor::new("store", "crash-when-measured");

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        if src.len() == 16 << 20 {
            segv::segv();
        }
        copy(src, dst)
    }
}

export_plugin! { id: "crash-when-measured", codecs: [Identity<CrashWhenMeasured>] }
