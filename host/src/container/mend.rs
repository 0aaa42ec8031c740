//! Gets at the frames of a damaged container: from other places, by correcting one byte, from parity.

use super::{
    Entry,
    bytes::Bytes,
    crc::one_byte_errors,
    parity::{self, Geometry, Haystack},
    payload::Table,
    survey::Survey,
};
use crate::{buffer, sync::lock};
use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Corrections of one byte that are tried: damage of several bytes looks like one about four times in a 64 MiB frame.
const MAX_CORRECTIONS: usize = 64;
/// Bytes that are looked at in search of frames, for each byte of the file: a forged file has no right to more.
const SEARCH_FACTOR: u64 = 16;
/// And so many in any case.
const SEARCH_BYTES: u64 = 1 << 30;
/// Bytes around a group in which shards are looked for that have moved.
const AROUND_BYTES: u64 = 256 << 10;

/// How a frame was got back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mended {
    /// It stood elsewhere in the file.
    Found,
    /// One byte of it was wrong.
    OneByte,
    /// Rebuilt from recovery data.
    Parity,
}

impl std::fmt::Display for Mended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Found => "found at another place",
            Self::OneByte => "one byte corrected by its CRC",
            Self::Parity => "rebuilt from parity",
        })
    }
}

/// A container of which some may be damaged.
#[derive(Debug)]
pub(crate) struct Mender<B: Bytes> {
    bytes: B,
    /// At most; all processors when absent.
    threads: Option<usize>,
    /// What footers and index say.
    sound: OnceLock<Option<Survey>>,
    /// What a full scan found; only made when something is missing.
    scanned: OnceLock<Option<Survey>>,
    /// The group restored last.
    group: Mutex<Option<Group>>,
    /// Bytes looked at so far.
    searched: AtomicU64,
}

/// A parity group as it was written, as far as that could be had.
#[derive(Debug)]
struct Group {
    start: u64,
    image: Vec<u8>,
}

impl<B: Bytes> Mender<B> {
    pub(crate) fn new(bytes: B, threads: Option<usize>) -> Self {
        Self {
            bytes,
            threads,
            sound: OnceLock::new(),
            scanned: OnceLock::new(),
            group: Mutex::default(),
            searched: AtomicU64::new(0),
        }
    }

    pub(crate) fn bytes(&self) -> &B {
        &self.bytes
    }

    /// What footers and index say, if they are sound and the container is all there is.
    pub(crate) fn sound(&self) -> Option<&Survey> {
        self.sound.get_or_init(|| Survey::by_footer(&self.bytes)).as_ref()
    }

    /// The container, sound or not.
    pub(crate) fn survey(&self) -> Option<&Survey> {
        self.sound().or_else(|| self.scanned())
    }

    /// What there is, found by looking at every record, with what parity can bring back.
    pub(crate) fn scanned(&self) -> Option<&Survey> {
        let scanned = self.scanned.get_or_init(|| {
            let mut survey = Survey::by_scan(&self.bytes)?;
            if !survey.is_complete {
                self.add_groups(&mut survey);
            }
            Some(survey)
        });
        scanned.as_ref()
    }

    /// Adds the records in all parity groups to `survey`.
    fn add_groups(&self, survey: &mut Survey) {
        for table in survey.tables.clone().values() {
            if let Some(group) = self.restore(survey, table) {
                survey.add_restored(&group.image, group.start);
            }
        }
    }

    /// The frame of `entry`, by any means, once `decodes` has judged it right.
    pub(crate) fn frame(&self, entry: &Entry, decodes: impl Fn(&[u8]) -> bool) -> Option<(Vec<u8>, Mended)> {
        let len = entry.chunk.frame_bytes as usize;
        let places = self.places(entry);
        let most = self.bytes.len().saturating_mul(SEARCH_FACTOR).saturating_add(SEARCH_BYTES);
        let frames = || {
            let may = |_: &&u64| self.searched.fetch_add(len as u64, Ordering::Relaxed) < most;
            places.iter().take_while(may).filter_map(|at| self.bytes.get(*at, len))
        };
        let is_sound = |frame: &[u8]| crc32fast::hash(frame) == entry.chunk.frame_crc && decodes(frame);
        if let Some(frame) = frames().find(|frame| is_sound(frame)) {
            return Some((frame, Mended::Found));
        }
        if let Some(frame) = frames().find_map(|frame| corrected(frame, entry.chunk.frame_crc, &decodes)) {
            return Some((frame, Mended::OneByte));
        }
        let frame = self.rebuilt(entry)?;
        if is_sound(&frame) {
            return Some((frame, Mended::Parity));
        }
        corrected(frame, entry.chunk.frame_crc, &decodes).map(|frame| (frame, Mended::Parity))
    }

    /// Where the frame may stand: where it was written, beside its record, and at the shifts of other content.
    fn places(&self, entry: &Entry) -> Vec<u64> {
        let mut places = vec![entry.frame_offset];
        if let Some(survey) = self.scanned() {
            places.extend(survey.places.get(&entry.chunk.number).into_iter().flatten());
            places.extend(survey.shifts.iter().filter_map(|s| entry.frame_offset.checked_add_signed(*s)));
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    fn rebuilt(&self, entry: &Entry) -> Option<Vec<u8>> {
        let survey = self.scanned()?;
        let (start, table) = survey.tables.range(..=entry.frame_offset).next_back()?;
        let mut cached = lock(&self.group);
        if cached.as_ref().is_none_or(|g| g.start != *start) {
            // One group in memory at a time.
            *cached = None;
            *cached = self.restore(survey, table);
        }
        let group = cached.as_ref()?;
        let at = usize::try_from(entry.frame_offset - start).ok()?;
        let range = at..at.checked_add(entry.chunk.frame_bytes as usize)?;
        // Where not all could be restored, what is left may still be one byte away.
        group.image.get(range).map(<[u8]>::to_vec)
    }

    /// The group of `table`: read, searched for what has moved, rebuilt.
    fn restore(&self, survey: &Survey, table: &Table) -> Option<Group> {
        let (originals, recovery) = (table.originals.len() as u64, table.recovery.len() as u64);
        let geometry = Geometry::checked(table.bytes, table.shard_bytes.into(), originals, recovery)?;
        if table.start.checked_add(table.bytes)? > self.bytes.len().saturating_mul(2) {
            return None;
        }
        let mut image = zeroed(geometry.group_bytes)?;
        self.bytes.read_lossy(&mut image, table.start);
        let crcs = parity::shard_crcs(&image, geometry.shard_bytes);
        let mut bad: Vec<bool> = crcs.iter().zip(&table.originals).map(|(is, was)| is != was).collect();
        if bad.contains(&true) {
            self.find_moved(survey, table, &geometry, &mut image, &mut bad);
        }
        if bad.contains(&true) {
            let (shards, good) = self.recovery(survey, table, &geometry)?;
            // What cannot be rebuilt stays as it is; whoever uses it checks it.
            let processors = || thread::available_parallelism().map_or(1, usize::from);
            let threads = self.threads.unwrap_or_else(processors).max(1);
            let _ = parity::restore(&mut image, &geometry, &bad, &shards, &good, threads);
        }
        Some(Group { start: table.start, image })
    }

    fn find_moved(
        &self,
        survey: &Survey,
        table: &Table,
        geometry: &Geometry,
        image: &mut [u8],
        bad: &mut [bool],
    ) {
        let farthest =
            survey.shifts.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0).min(AROUND_BYTES * 64);
        let around = AROUND_BYTES + farthest;
        let start = table.start.saturating_sub(around);
        let end = (table.start + table.bytes).saturating_add(around).min(self.bytes.len());
        let Some(len) = end.checked_sub(start) else { return };
        let Some(bytes) = self.bytes.get(start, len as usize) else { return };
        let haystack = Haystack { bytes: &bytes, origin: start as i64 - table.start as i64 };
        // What cannot be found stays bad.
        let _ = parity::find_shards(&haystack, geometry, &table.originals, image, bad, &survey.shifts);
    }

    /// The recovery shards there are, back to back, and which of them are sound.
    fn recovery(&self, survey: &Survey, table: &Table, geometry: &Geometry) -> Option<(Vec<u8>, Vec<bool>)> {
        let mut shards = zeroed(geometry.recovery_bytes())?;
        let mut good = Vec::new();
        for ((number, shard), crc) in (0..).zip(shards.chunks_mut(geometry.shard_bytes)).zip(&table.recovery)
        {
            let place = survey.recovery.get(&(table.start, number));
            if let Some(at) = place {
                self.bytes.read_lossy(shard, *at);
            }
            good.push(place.is_some() && crc32fast::hash(shard) == *crc);
        }
        Some((shards, good))
    }
}

fn zeroed(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    buffer::resize(&mut bytes, len).ok()?;
    Some(bytes)
}

/// `frame` with one byte corrected so that it has the CRC and `decodes`.
fn corrected(mut frame: Vec<u8>, crc: u32, decodes: &impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let syndrome = crc32fast::hash(&frame) ^ crc;
    for (at, xor) in one_byte_errors(frame.len(), syndrome).take(MAX_CORRECTIONS) {
        frame[at] ^= xor;
        if decodes(&frame) {
            return Some(frame);
        }
        frame[at] ^= xor;
    }
    None
}
