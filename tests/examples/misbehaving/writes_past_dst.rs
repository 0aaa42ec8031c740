//! Honest in all it says, but touches 8 bytes behind a destination that fits exactly, as codecs
//! that copy in wide steps do.

#![expect(unsafe_code, reason = "writing out of bounds is what the library is for")]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};

#[derive(Default)]
struct WritesPastDst;

impl Behaviour for WritesPastDst {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-writes-past-dst", "test");

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let len = copy(src, dst)?;
        if len > 0 && len == dst.len() {
            // SAFETY: one past the end of `dst` is a valid address.
            let behind = unsafe { dst.as_mut_ptr().add(len) };
            // SAFETY: none; this overwrites what lies behind `dst`.
            unsafe { behind.write_bytes(0x5a, 8) };
        }
        Ok(len)
    }
}

export_plugin! { id: "bad-writes-past-dst", codecs: [Identity<WritesPastDst>] }
