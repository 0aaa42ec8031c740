//! Claims to have written more than the destination holds.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};

#[derive(Default)]
struct ClaimsMoreThanItWrote;

impl Behaviour for ClaimsMoreThanItWrote {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-claims-more-than-it-wrote", "test");

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        copy(src, dst)?;
        Ok(dst.len() + 1)
    }
}

export_plugin! { id: "bad-claims-more-than-it-wrote", codecs: [Identity<ClaimsMoreThanItWrote>] }
