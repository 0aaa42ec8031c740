//! Looks for shards that an insertion or a deletion moved away from their place.
//!
//! Each edit of the file moves everything after it by one more shift, so a shard is looked for at the shifts seen so
//! far, the last one first. Where those fail, a rolling CRC looks for it and the shards after it at every place
//! nearby. So many comparisons of 32 bits find something by chance once in a thousand damaged groups, so a find counts
//! only if a neighbour fits at the same shift; a shard alone between two edits, or between one and an end of
//! the group, stays lost, for parity to rebuild.

use super::{Geometry, ParityError, expect, padded_crc};
use crate::container::crc::{Rolling, strip_zeros};
use std::ops::Range;

/// Shards looked for in one pass.
const BATCH: usize = 16;
/// How far from the expected place: most edits are small, so the first pass is short.
const REACHES_BYTES: [i64; 2] = [8 << 10, 128 << 10];
/// Shifts tried for each shard.
const MAX_SHIFTS: usize = 64;
/// Shifts around which places are searched.
const MAX_CENTRES: usize = 4;
/// CRC matches looked into in one pass: repetitive data has one at every place.
const MAX_MATCHES: usize = 256;
/// Groups of this many shards may have no neighbours to ask, and little to compare: there a find alone counts.
const SMALL_GROUP: usize = 8;

/// The bytes in which to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Haystack<'a> {
    /// The bytes of the file from around where the group should be.
    pub bytes: &'a [u8],
    /// Where they begin, in bytes from where the group should begin.
    pub origin: i64,
}

impl<'a> Haystack<'a> {
    /// Index of the byte at `place`, in bytes from where the group should begin.
    fn index(&self, place: i64) -> Option<usize> {
        usize::try_from(place.checked_sub(self.origin)?).ok()
    }

    fn get(&self, place: i64, len: usize) -> Option<&'a [u8]> {
        let start = self.index(place)?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    /// The bytes of all windows `len` long that begin at `from..to`, and the place of the first.
    fn windows(&self, from: i64, to: i64, len: usize) -> Option<(&'a [u8], i64)> {
        let from = from.max(self.origin);
        let end = self.index(to)?.saturating_add(len).saturating_sub(1).min(self.bytes.len());
        let region = self.bytes.get(self.index(from)?..end)?;
        (region.len() >= len).then_some((region, from))
    }
}

/// Finds bad shards in `haystack` at other places than their own, copies them into `group` and clears their entry in
/// `bad`; returns how many.
///
/// `crcs` has the right CRC-32 of each original shard (see [`super::shard_crcs`]), `bad` an entry for each, `hints`
/// shifts that are likely, the likeliest first: positive where bytes were inserted before the group. What is
/// found has the right CRC and no more.
///
/// # Errors
///
/// An argument is not of the geometry's size, or the geometry is impossible.
pub(crate) fn find_shards(
    haystack: &Haystack<'_>,
    geometry: &Geometry,
    crcs: &[u32],
    group: &mut [u8],
    bad: &mut [bool],
    hints: &[i64],
) -> Result<usize, ParityError> {
    let geometry = geometry.validated()?;
    expect("bytes of the group", geometry.group_bytes, group.len())?;
    expect("CRCs of original shards", geometry.originals, crcs.len())?;
    expect("entries for original shards", geometry.originals, bad.len())?;
    let mut search = Search::new(*haystack, geometry, crcs, hints);
    let zeros = padded_crc(&[], geometry.shard_bytes);
    let mut found = 0;
    for index in 0..geometry.originals {
        if bad.get(index) != Some(&true) {
            continue;
        }
        let target = group.get_mut(geometry.shard_range(index)).unwrap_or_default();
        if crcs.get(index) == Some(&zeros) {
            target.fill(0);
        } else if let Some(shard) = search.find(index, bad) {
            target.copy_from_slice(shard);
        } else {
            continue;
        }
        bad.get_mut(index).into_iter().for_each(|bad| *bad = false);
        found += 1;
    }
    Ok(found)
}

struct Search<'a> {
    haystack: Haystack<'a>,
    geometry: Geometry,
    crcs: &'a [u32],
    /// Shifts to try, the last that fitted first.
    shifts: Vec<i64>,
    /// Shards below this one have been searched for.
    searched: usize,
}

impl<'a> Search<'a> {
    fn new(haystack: Haystack<'a>, geometry: Geometry, crcs: &'a [u32], hints: &[i64]) -> Self {
        let mut shifts = hints.iter().copied().take(MAX_SHIFTS - 1).collect::<Vec<_>>();
        shifts.push(0);
        Self { haystack, geometry, crcs, shifts, searched: 0 }
    }

    /// The bytes of shard `index`, without padding.
    fn find(&mut self, index: usize, bad: &[bool]) -> Option<&'a [u8]> {
        if let Some(shard) = self.try_shifts(index) {
            return Some(shard);
        }
        if index < self.searched {
            return None;
        }
        let mut batch = Batch::new(self.geometry, self.crcs, bad, index..index + BATCH);
        // What is found first may be a later shard, in repetitive data even one that lies before this one.
        while let Some((hit, shift)) = self.search(&batch) {
            self.remember(shift);
            let shard = self.try_shifts(index);
            if shard.is_some() {
                return shard;
            }
            batch = Batch::new(self.geometry, self.crcs, bad, index..hit);
        }
        self.searched = batch.end;
        None
    }

    fn try_shifts(&mut self, index: usize) -> Option<&'a [u8]> {
        let fitting = |shift: &i64| self.at(index, *shift).map(|shard| (*shift, shard));
        let (shift, shard) = self.shifts.iter().find_map(fitting)?;
        self.remember(shift);
        Some(shard)
    }

    /// Puts `shift` before the others.
    fn remember(&mut self, shift: i64) {
        if self.shifts.first() != Some(&shift) {
            self.shifts.retain(|known| *known != shift);
            self.shifts.insert(0, shift);
            self.shifts.truncate(MAX_SHIFTS);
        }
    }

    /// What lies where shard `index` would at `shift`, if it has its CRC.
    fn at(&self, index: usize, shift: i64) -> Option<&'a [u8]> {
        let range = self.geometry.shard_range(index);
        let place = i64::try_from(range.start).ok()?.checked_add(shift)?;
        let bytes = self.haystack.get(place, range.len())?;
        let crc = self.crcs.get(index)?;
        (!bytes.is_empty() && padded_crc(bytes, self.geometry.shard_bytes) == *crc).then_some(bytes)
    }

    /// The first shard of `batch` that lies somewhere near, and its shift.
    fn search(&self, batch: &Batch) -> Option<(usize, i64)> {
        let rolling = Rolling::new(batch.len);
        for reach in REACHES_BYTES {
            for centre in self.centres(reach) {
                let hit = self.pass(batch, rolling.clone(), centre, reach);
                if hit.is_some() {
                    return hit;
                }
            }
        }
        None
    }

    /// Shifts around which to search: the first of those known that do not cover each other.
    fn centres(&self, reach: i64) -> Vec<i64> {
        let mut centres: Vec<i64> = Vec::new();
        for shift in &self.shifts {
            if centres.iter().all(|centre| centre.saturating_sub(*shift).saturating_abs() > reach) {
                centres.push(*shift);
            }
        }
        centres.truncate(MAX_CENTRES);
        centres
    }

    /// Compares every place within `reach` of where the batch would be at shift `centre`.
    fn pass(&self, batch: &Batch, mut rolling: Rolling, centre: i64, reach: i64) -> Option<(usize, i64)> {
        let from = batch.first_place.saturating_add(centre).saturating_sub(reach);
        let to = batch.last_place.saturating_add(centre).saturating_add(reach);
        let (region, first) = self.haystack.windows(from, to, batch.len)?;
        rolling.start(region);
        let mut bytes = region.iter().zip(region.get(batch.len..)?);
        let mut matches = Vec::new();
        for step in 0.. {
            if let Some((index, place)) = batch.target(rolling.value()) {
                let hit = (index, first.saturating_add(step).saturating_sub(place));
                if self.has_neighbour(hit) {
                    return Some(hit);
                }
                matches.push(hit);
            }
            let Some((leaving, entering)) = bytes.next().filter(|_| matches.len() < MAX_MATCHES) else {
                break;
            };
            rolling.roll(*leaving, *entering);
        }
        matches.into_iter().find(|_| self.geometry.originals <= SMALL_GROUP)
    }

    /// Whether a shard beside the one found lies beside it here too.
    fn has_neighbour(&self, (index, shift): (usize, i64)) -> bool {
        let before = index.checked_sub(1).and_then(|before| self.at(before, shift));
        before.or_else(|| self.at(index + 1, shift)).is_some()
    }
}

/// Shards looked for in one pass, all of the same length.
struct Batch {
    /// Bytes of each.
    len: usize,
    /// Where the first one should be, in bytes from where the group should begin.
    first_place: i64,
    last_place: i64,
    /// Index after the last one.
    end: usize,
    /// CRC without padding, index and place of each.
    targets: Vec<(u32, usize, i64)>,
    /// Whether any CRC ends in this byte: spares most comparisons.
    ends: [bool; 256],
}

impl Batch {
    /// The bad ones of the shards `wanted`, as far as they are as long as the first.
    fn new(geometry: Geometry, crcs: &[u32], bad: &[bool], wanted: Range<usize>) -> Self {
        let range = geometry.shard_range(wanted.start);
        let (len, place) = (range.len(), i64::try_from(range.start).unwrap_or(i64::MAX));
        let mut batch = Self {
            len,
            first_place: place,
            last_place: place,
            end: wanted.start + 1,
            targets: Vec::new(),
            ends: [false; 256],
        };
        let shards = crcs.iter().zip(bad).enumerate().skip(wanted.start).take(wanted.len());
        for (index, (crc, bad)) in shards {
            let range = geometry.shard_range(index);
            if *bad && range.len() == len {
                batch.last_place = i64::try_from(range.start).unwrap_or(i64::MAX);
                batch.end = index + 1;
                let crc = strip_zeros(*crc, geometry.shard_bytes - len);
                batch.targets.push((crc, index, batch.last_place));
                batch.ends[usize::from(crc.to_le_bytes()[0])] = true;
            }
        }
        batch
    }

    /// Index and place of the shard that has this CRC.
    fn target(&self, crc: u32) -> Option<(usize, i64)> {
        if !self.ends[usize::from(crc.to_le_bytes()[0])] {
            return None;
        }
        self.targets.iter().find(|(target, ..)| *target == crc).map(|(_, index, place)| (*index, *place))
    }
}
