//! Reed-Solomon parity over a group of the file's bytes: making it, and rebuilding lost shards from it.
//!
//! A group is cut into equal shards, the last one padded with zeros; each recovery shard can stand in for any lost
//! one. The code is the high-rate one of `reed-solomon-simd` (Leopard, 16-bit field), whatever the counts: the
//! choice of the rate is part of the format. It treats each column of shard bytes by itself, so the work is done
//! in stripes, the same few columns of every shard, that fit a processor's cache and can be shared among threads.
//!
//! Nothing here knows which bytes are right: a bad shard given as good makes wrong bytes without an error, so what is
//! rebuilt must be checked against an independent hash. No input panics; sizes that do not fit are errors.

mod search;
mod stripes;
#[cfg(test)]
mod tests;

pub(crate) use search::{Haystack, find_shards};

use reed_solomon_simd::{
    engine::DefaultEngine,
    rate::{HighRateDecoder, HighRateEncoder, RateDecoder, RateEncoder},
};
use std::ops::Range;
use stripes::{Queue, STRIPE_BYTES, columns};

/// Largest group; a writer's are at most 64 MiB, this leaves room for what must not be split.
pub(crate) const MAX_GROUP_BYTES: usize = 66 << 20;
/// Smallest shard.
pub(crate) const MIN_SHARD_BYTES: usize = 512;
/// Largest shard.
pub(crate) const MAX_SHARD_BYTES: usize = 32 << 10;
/// Most original shards of a group.
pub(crate) const MAX_ORIGINALS: usize = MAX_GROUP_BYTES / MAX_SHARD_BYTES;
/// A group has about this many shards, unless the bounds on a shard's size make it fewer.
const SHARDS_AIMED_AT: usize = 2048;

/// What parity cannot do, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ParityError {
    /// More shards are lost than can be rebuilt; nothing was changed.
    #[error("{lost} shards are lost and only {available} recovery shards are good")]
    TooDamaged {
        /// Bad original shards.
        lost: usize,
        /// Good recovery shards.
        available: usize,
    },
    /// The geometry is outside of the limits, or its parts contradict each other.
    #[error("no such parity: {0:?}")]
    Geometry(Geometry),
    /// An argument does not have the size that the geometry asks for.
    #[error("{what}: expected {expected}, got {found}")]
    Size {
        /// The argument.
        what: &'static str,
        /// Bytes or entries it should have.
        expected: usize,
        /// Bytes or entries it has.
        found: usize,
    },
    /// No memory for the recovery shards.
    #[error("no memory for {0} bytes of parity")]
    Memory(usize),
    /// The Reed-Solomon coder refused.
    #[error("Reed-Solomon coder: {0}")]
    Coder(#[from] reed_solomon_simd::Error),
    /// The coder or one of its threads ended without a result.
    #[error("the Reed-Solomon coder did not finish")]
    Unfinished,
}

/// How a group is cut into shards, and how many recovery shards it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Bytes of the group, without padding.
    pub group_bytes: usize,
    /// Bytes of each shard: a power of two.
    pub shard_bytes: usize,
    /// Shards of the group.
    pub originals: usize,
    /// Shards of its parity.
    pub recovery: usize,
}

impl Geometry {
    /// The geometry of a group of `group_bytes` (1 to [`MAX_GROUP_BYTES`]) with `percent` (1 to 100) of parity.
    ///
    /// # Errors
    ///
    /// [`ParityError::Geometry`] outside of those ranges.
    pub(crate) fn new(group_bytes: usize, percent: u8) -> Result<Self, ParityError> {
        let shard_bytes = group_bytes
            .min(MAX_GROUP_BYTES)
            .div_ceil(SHARDS_AIMED_AT)
            .next_power_of_two()
            .clamp(MIN_SHARD_BYTES, MAX_SHARD_BYTES);
        let originals = group_bytes.div_ceil(shard_bytes);
        let recovery = originals.saturating_mul(percent.into()).div_ceil(100);
        let geometry = Self { group_bytes, shard_bytes, originals, recovery };
        if percent > 100 { Err(ParityError::Geometry(geometry)) } else { geometry.validated() }
    }

    /// The geometry that an untrusted record declares, if it is one that [`Geometry`] can be.
    pub(crate) fn checked(group_bytes: u64, shard_bytes: u64, originals: u64, recovery: u64) -> Option<Self> {
        let geometry = Self {
            group_bytes: usize::try_from(group_bytes).ok()?,
            shard_bytes: usize::try_from(shard_bytes).ok()?,
            originals: usize::try_from(originals).ok()?,
            recovery: usize::try_from(recovery).ok()?,
        };
        geometry.validated().ok()
    }

    /// Bytes of all recovery shards.
    pub(crate) fn recovery_bytes(&self) -> usize {
        self.recovery.saturating_mul(self.shard_bytes)
    }

    /// Where shard `index` lies in the group; the last one without its padding.
    pub(crate) fn shard_range(&self, index: usize) -> Range<usize> {
        let start = index.saturating_mul(self.shard_bytes).min(self.group_bytes);
        start..start.saturating_add(self.shard_bytes).min(self.group_bytes)
    }

    /// The fields are public, so each operation asks again.
    fn validated(self) -> Result<Self, ParityError> {
        let fits = (1..=MAX_GROUP_BYTES).contains(&self.group_bytes)
            && self.shard_bytes.is_power_of_two()
            && (MIN_SHARD_BYTES..=MAX_SHARD_BYTES).contains(&self.shard_bytes)
            && self.originals == self.group_bytes.div_ceil(self.shard_bytes)
            && self.originals <= MAX_ORIGINALS
            && (1..=self.originals + 1).contains(&self.recovery);
        if fits { Ok(self) } else { Err(ParityError::Geometry(self)) }
    }
}

/// CRC-32 of each shard of `data`, the last one as padded with zeros; none where `shard_bytes` is 0.
pub(crate) fn shard_crcs(data: &[u8], shard_bytes: usize) -> Vec<u32> {
    data.chunks(shard_bytes.max(1))
        .map(|shard| padded_crc(shard, shard_bytes))
        .take_while(|_| shard_bytes > 0)
        .collect()
}

/// CRC-32 of `shard` followed by zeros up to `shard_bytes`.
fn padded_crc(shard: &[u8], shard_bytes: usize) -> u32 {
    static ZEROS: [u8; 4096] = [0; 4096];
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(shard);
    let mut missing = shard_bytes.saturating_sub(shard.len());
    while let Some(zeros) = ZEROS.get(..missing.min(ZEROS.len())).filter(|zeros| !zeros.is_empty()) {
        hasher.update(zeros);
        missing -= zeros.len();
    }
    hasher.finalize()
}

/// The recovery shards of `group`, back to back.
///
/// Takes up to `threads` threads, the caller's among them, and beside the result a few MiB for each.
///
/// # Errors
///
/// `group` is not of the geometry's size, or the geometry is impossible, or there is no memory.
pub(crate) fn encode(group: &[u8], geometry: &Geometry, threads: usize) -> Result<Vec<u8>, ParityError> {
    let geometry = geometry.validated()?;
    expect("bytes of the group", geometry.group_bytes, group.len())?;
    let mut recovery = Vec::new();
    recovery
        .try_reserve_exact(geometry.recovery_bytes())
        .map_err(|_| ParityError::Memory(geometry.recovery_bytes()))?;
    recovery.resize(geometry.recovery_bytes(), 0);

    let width = geometry.shard_bytes.min(STRIPE_BYTES);
    let shards: Vec<&[u8]> = group.chunks(geometry.shard_bytes).collect();
    let targets = recovery.chunks_mut(geometry.shard_bytes).enumerate();
    let queue = Queue::new(targets, geometry.shard_bytes, width);
    queue.work_off(threads, || encode_stripes(&shards, &geometry, width, &queue))?;
    Ok(recovery)
}

/// Fills stripes of the recovery shards until there are no more.
fn encode_stripes(
    shards: &[&[u8]],
    geometry: &Geometry,
    width: usize,
    queue: &Queue<'_>,
) -> Result<(), ParityError> {
    let engine = DefaultEngine::new();
    let mut coder = HighRateEncoder::new(geometry.originals, geometry.recovery, width, engine, None)?;
    let mut padded = vec![0; width];
    while let Some(stripe) = queue.next() {
        for shard in shards {
            coder.add_original_shard(columns(shard, stripe.start, &mut padded))?;
        }
        let coded = coder.encode()?;
        for (index, target) in stripe.targets {
            copy_front(target, coded.recovery(index))?;
        }
    }
    Ok(())
}

/// Rebuilds the bad shards of `group` in place and returns how many there were.
///
/// `bad` has an entry for each original shard, `recovery` the recovery shards back to back, `recovery_good` an
/// entry for each of those. Threads and memory are as in [`encode`].
///
/// # Errors
///
/// [`ParityError::TooDamaged`] when more shards are bad than recovery shards are good, or as in [`encode`].
pub(crate) fn restore(
    group: &mut [u8],
    geometry: &Geometry,
    bad: &[bool],
    recovery: &[u8],
    recovery_good: &[bool],
    threads: usize,
) -> Result<usize, ParityError> {
    let geometry = geometry.validated()?;
    expect("bytes of the group", geometry.group_bytes, group.len())?;
    expect("entries for original shards", geometry.originals, bad.len())?;
    expect("bytes of recovery shards", geometry.recovery_bytes(), recovery.len())?;
    expect("entries for recovery shards", geometry.recovery, recovery_good.len())?;
    let lost = bad.iter().filter(|bad| **bad).count();
    let available = recovery_good.iter().filter(|good| **good).count();
    if lost > available {
        return Err(ParityError::TooDamaged { lost, available });
    }
    if lost == 0 {
        return Ok(0);
    }

    let width = geometry.shard_bytes.min(STRIPE_BYTES);
    let (mut good, mut targets) = (Vec::new(), Vec::new());
    for ((index, shard), bad) in group.chunks_mut(geometry.shard_bytes).enumerate().zip(bad) {
        if *bad { targets.push((index, shard)) } else { good.push((index, &*shard)) }
    }
    let parity = recovery.chunks(geometry.shard_bytes).enumerate().zip(recovery_good);
    let parity: Vec<_> = parity.filter(|(_, good)| **good).map(|(shard, _)| shard).take(lost).collect();
    let queue = Queue::new(targets.into_iter(), geometry.shard_bytes, width);
    queue.work_off(threads, || restore_stripes(&good, &parity, &geometry, width, &queue))?;
    Ok(lost)
}

/// Fills stripes of the bad shards until there are no more.
fn restore_stripes(
    good: &[(usize, &[u8])],
    parity: &[(usize, &[u8])],
    geometry: &Geometry,
    width: usize,
    queue: &Queue<'_>,
) -> Result<(), ParityError> {
    let engine = DefaultEngine::new();
    let mut coder = HighRateDecoder::new(geometry.originals, geometry.recovery, width, engine, None)?;
    let mut padded = vec![0; width];
    while let Some(stripe) = queue.next() {
        for (index, shard) in good {
            coder.add_original_shard(*index, columns(shard, stripe.start, &mut padded))?;
        }
        for (index, shard) in parity {
            coder.add_recovery_shard(*index, columns(shard, stripe.start, &mut padded))?;
        }
        let decoded = coder.decode()?;
        for (index, target) in stripe.targets {
            copy_front(target, decoded.restored_original(index))?;
        }
    }
    Ok(())
}

/// Fills `target` from the front of `source`, which is a whole stripe.
fn copy_front(target: &mut [u8], source: Option<&[u8]>) -> Result<(), ParityError> {
    let source = source.and_then(|source| source.get(..target.len())).ok_or(ParityError::Unfinished)?;
    target.copy_from_slice(source);
    Ok(())
}

fn expect(what: &'static str, expected: usize, found: usize) -> Result<(), ParityError> {
    if expected == found { Ok(()) } else { Err(ParityError::Size { what, expected, found }) }
}
