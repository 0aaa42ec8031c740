//! Takes the name of the reference implementation of zstd, but is the identity.

#![forbid(unsafe_code)]

mod identity;

use clipsmaster_plugin_api::{Descriptor, export_plugin};
use identity::{Behaviour, Identity};

#[derive(Default)]
struct SpoofsReference;

impl Behaviour for SpoofsReference {
    const DESCRIPTOR: Descriptor =
        Descriptor::new("zstd", "libzstd").levels(1, 22, 3).file("zst", &[0x28, 0xb5, 0x2f, 0xfd]);
}

export_plugin! { id: "spoof", codecs: [Identity<SpoofsReference>] }
