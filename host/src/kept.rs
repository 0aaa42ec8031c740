//! Compressors of calls that name no compressor, kept so that their contexts serve again.

use crate::{Compressor, Host, Request, Result, registry::Snapshot, sync::lock};
use std::sync::{Arc, Mutex};

/// Most compressors that are kept; then all are given up.
const MOST: usize = 32;
/// Most memory, in bytes, that the contexts of one may take to be kept.
const MOST_CONTEXT_BYTES: u64 = 16 << 20;
/// Smaller data, in bytes, is not looked at: that would take longer than a wrong choice costs.
const LEAST_SAMPLED_BYTES: usize = 256 << 10;
/// Sizes are told apart by powers of two between these, in bytes.
const SIZES: (u64, u64) = (1 << 10, 64 << 20);

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<OfSnapshot>);

/// Compressors by request, all of one snapshot.
#[derive(Debug, Default)]
struct OfSnapshot {
    snapshot: Option<Arc<Snapshot>>,
    compressors: Vec<(Request, Arc<Compressor>)>,
}

impl OfSnapshot {
    fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.snapshot.as_ref().is_some_and(|own| Arc::ptr_eq(own, snapshot))
    }
}

impl Host {
    /// As [`compressor`](Self::compressor), for calls that come again and again: what is answered serves `data` of about
    /// this size, and is shared by all who ask for the like.
    ///
    /// # Errors
    /// As [`compressor`](Self::compressor).
    pub fn shared_compressor(&self, request: Request, data: &[u8]) -> Result<Arc<Compressor>> {
        let request = request.bytes(size_class(data.len() as u64));
        let request = if data.len() < LEAST_SAMPLED_BYTES { request } else { request.like(data) };
        let coarse = Request { likeness: request.likeness.map(|l| l.coarse()), ..request };
        self.keep(coarse, |host, request| host.compressor(request))
    }

    /// As [`decompressor`](Self::decompressor), for calls that come again and again, with frames of `frame_bytes` that hold `raw_bytes`.
    ///
    /// # Errors
    /// As [`decompressor`](Self::decompressor).
    pub fn shared_decompressor(
        &self,
        algorithm: &str,
        raw_bytes: u64,
        frame_bytes: u64,
    ) -> Result<Arc<Compressor>> {
        let likeness = crate::Likeness::of_frame(raw_bytes, frame_bytes);
        let direction = crate::Direction::Decompress;
        let request = Request { likeness, direction, ..Request::new(algorithm).bytes(size_class(raw_bytes)) };
        self.keep(request, |host, request| host.decompressor(request))
    }

    fn keep(
        &self,
        request: Request,
        open: impl FnOnce(&Self, &Request) -> Result<Compressor>,
    ) -> Result<Arc<Compressor>> {
        let now = self.snapshot();
        let mut kept = lock(&self.kept.0);
        if !kept.is_of(&now) {
            *kept = OfSnapshot { snapshot: Some(Arc::clone(&now)), compressors: Vec::new() };
        }
        if let Some((_, compressor)) = kept.compressors.iter().find(|(known, _)| *known == request) {
            return Ok(Arc::clone(compressor));
        }
        drop(kept);
        let compressor = Arc::new(open(self, &request)?);
        let bytes = usize::try_from(request.bytes.unwrap_or_default()).unwrap_or(usize::MAX);
        let is_small = compressor.scratch_bytes(bytes) <= MOST_CONTEXT_BYTES;
        let mut kept = lock(&self.kept.0);
        if is_small && kept.is_of(&now) {
            if kept.compressors.len() == MOST {
                kept.compressors.clear();
            }
            // Who opened the same meanwhile has one of its own.
            kept.compressors.push((request, Arc::clone(&compressor)));
        }
        Ok(compressor)
    }
}

fn size_class(bytes: u64) -> u64 {
    bytes.clamp(SIZES.0, SIZES.1).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_one_class_are_within_a_factor_of_two() {
        assert_eq!(size_class(0), 1 << 10);
        assert_eq!(size_class((1 << 16) + 1), 1 << 17);
        assert_eq!(size_class(1 << 17), 1 << 17);
        assert_eq!(size_class(u64::MAX), 64 << 20);
    }
}
