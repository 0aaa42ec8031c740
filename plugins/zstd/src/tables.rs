//! What a level means for content of a given size.

#![expect(unsafe_code, reason = "the safe bindings lack `ZSTD_getCParams`")]

use std::io;
use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, zstd_sys},
};

/// Makes `compressor` work on samples as it would on all of the `whole_bytes` that they are of. Of its own accord the library takes other
/// parameters for up to 16, 128 and 256 KiB than for more: for one, matches that are shorter by a byte, at up to a quarter less speed.
pub(super) fn set(compressor: &mut Compressor<'_>, level: i32, whole_bytes: u64) -> io::Result<()> {
    // SAFETY: numbers in, numbers out.
    let known = unsafe { zstd_sys::ZSTD_getCParams(level, whole_bytes, 0) };
    // Not the window: a sample has no farther matches than it is long.
    let parameters = [
        CParameter::HashLog(known.hashLog),
        CParameter::ChainLog(known.chainLog),
        CParameter::SearchLog(known.searchLog),
        CParameter::MinMatch(known.minMatch),
        CParameter::TargetLength(known.targetLength),
        CParameter::Strategy(known.strategy),
    ];
    parameters.into_iter().try_for_each(|parameter| compressor.set_parameter(parameter))
}
