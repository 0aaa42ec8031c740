//! Which filter suits a chunk: what its bytes look like, and then a trial with the codec itself.

use crate::{
    Checksum, Compressor, Result,
    filter::{Filter, planes},
    selection::auto::Places,
};

/// Bytes of a trial: from the middle of the chunk, where headers are behind.
const TRIAL_BYTES: usize = 128 << 10;
/// What a filter must save of what is left without it, to be worth its time and the loss of the format's own file.
const LEAST_GAIN: f64 = 0.02;

/// The filter that makes a sample of `raw` clearly smaller with `compressor`, if one does.
pub(crate) fn best_filter(compressor: &Compressor, raw: &[u8]) -> Result<Filter> {
    // On a boundary of all element sizes.
    let start = raw.len().saturating_sub(TRIAL_BYTES) / 2 / 8 * 8;
    let sample = &raw[start..][..raw.len().min(TRIAL_BYTES)];
    let candidates = Places::of(sample).typed();
    if candidates.is_empty() {
        return Ok(Filter::None);
    }
    let mut out = Vec::new();
    let plain = compressor.compress_into(Checksum::Own, sample, &mut out, 0)?.len;
    let mut best = (Filter::None, ((plain as f64) * (1.0 - LEAST_GAIN)) as usize);
    let mut filtered = vec![0; sample.len()];
    for filter in candidates {
        filter.apply(sample, &mut filtered);
        let mut len = 0;
        // One by one: in a whole chunk planes are long, here several would share a block, and so its statistics.
        for plane in planes(&filtered, filter) {
            len += compressor.compress_into(Checksum::Own, plane, &mut out, 0)?.len;
        }
        if len < best.1 {
            best = (filter, len);
        }
    }
    Ok(best.0)
}
