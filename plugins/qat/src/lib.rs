//! `qat`: gzip and lz4 through Intel QuickAssist, by QATzip's `libqatzip.so.3`, which is opened at run time.
//!
//! QATzip likes to do the work in software and call it success. Here it never may: its software is switched off, what it would
//! not give to the device (small inputs, other programs' frames) is done by this plugin's own codecs, and every answer is
//! compared with the lengths and checksums in the frames. Without a device the codecs are unavailable.

#![deny(unsafe_code)]

mod ffi;
mod gzip;
mod lz4;

use clipsmaster_plugin_api::{Error, ErrorKind, Result, export_plugin};

/// Inputs below this many bytes are not given to the device.
const FEWEST_BYTES: usize = 1024;

/// Level 9 is left out: with older drivers QATzip does it in software, whatever it was told (`qzCompressCrcExt`).
const HIGHEST_LEVEL: i32 = 8;

/// The error of a device whose output does not fit its input.
fn wrong_bytes(what: &str) -> Error {
    Error::internal(format!("the device returned wrong bytes: {what}"))
}

/// Who is to blame when the device did not decode `run`: decodes it on the CPU, whose error tells that the input is; otherwise
/// it is the device.
fn blame(device: Error, on_cpu: impl FnOnce() -> Result<()>) -> Error {
    match device.kind {
        ErrorKind::DeviceLost | ErrorKind::OutOfMemory | ErrorKind::Unsupported => device,
        _ => on_cpu().err().unwrap_or_else(|| wrong_bytes(&device.to_string())),
    }
}

export_plugin! { id: "qat", codecs: [gzip::QatGzip, lz4::QatLz4] }

#[cfg(test)]
mod layout;
