//! Promises to need half of what it then writes, and, as a C codec would, does not look
//! at the size of the destination.

#![expect(unsafe_code, reason = "writing out of bounds is what the library is for")]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct BoundThatLies;

impl Behaviour for BoundThatLies {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-bound-that-lies", "test");

    fn bound(&self, len: usize) -> usize {
        len / 2
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        // SAFETY: none; where `dst` is shorter, this overwrites what lies behind it.
        unsafe { std::ptr::copy_nonoverlapping(src.as_ptr(), dst.as_mut_ptr(), src.len()) };
        Ok(src.len())
    }
}

export_plugin! { id: "bad-bound-that-lies", codecs: [Identity<BoundThatLies>] }
