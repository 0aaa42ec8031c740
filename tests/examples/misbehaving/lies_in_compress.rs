//! Good until the tests make it lie; from then on its frames hold other bytes than it was given.

#![forbid(unsafe_code)]

mod fragile;

use clipsmaster_plugin_api::export_plugin;
use fragile::{Fault, Fragile, device_is_lost, lie};

struct InCompress;

impl Fault for InCompress {
    const LIBRARY: &'static str = "lying-encoder";

    fn at_input(bytes: &mut [u8]) {
        if device_is_lost() {
            lie(bytes);
        }
    }
}

export_plugin! { id: "bad-lies-in-compress", codecs: [Fragile<InCompress>] }
