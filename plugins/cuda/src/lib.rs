//! `cuda`: LZ4, Snappy, Zstandard and gzip on NVIDIA GPUs, through nvCOMP.
//!
//! The library is built and loaded everywhere; driver and nvCOMP are looked for at run time, and `probe` says what is missing.
//! A chunk is cut into pieces of 64 KiB, which go to the device many at a time (`engine`), in rounds that
//! overlap where there are several (`rounds`), and the results are wrapped into the algorithm's standard
//! frames (`lz4`, `snappy`, `zstd`, `gzip`), so that every CPU implementation reads them. What the device
//! should not decode is answered with `Unsupported`, so that the next implementation does.
//!
//! Damaged input is undefined behaviour for nvCOMP: the codecs are declared for trusted input, and checksums of frames are compared
//! on the host.

mod codec;
mod device;
mod engine;
mod gzip;
#[cfg(test)]
mod layout;
mod lz4;
mod nvcomp;
mod pieces;
mod plan;
mod probe;
mod rounds;
mod search;
mod snappy;
mod zstd;

use clipsmaster_plugin_api::export_plugin;
use codec::Nvcomp;

export_plugin! {
    id: "cuda",
    codecs: [Nvcomp<lz4::Lz4>, Nvcomp<snappy::Snappy>, Nvcomp<zstd::Zstd>, Nvcomp<gzip::Gzip>],
}
