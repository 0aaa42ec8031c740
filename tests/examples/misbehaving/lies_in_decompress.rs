//! Good until the tests make it lie; from then on other bytes come out than went in.

#![forbid(unsafe_code)]

mod fragile;

use clipsmaster_plugin_api::export_plugin;
use fragile::{Fault, Fragile, device_is_lost, lie};

struct InDecompress;

impl Fault for InDecompress {
    const LIBRARY: &'static str = "lying-decoder";

    fn at_output(bytes: &mut [u8]) {
        if device_is_lost() {
            lie(bytes);
        }
    }
}

export_plugin! { id: "bad-lies-in-decompress", codecs: [Fragile<InDecompress>] }
