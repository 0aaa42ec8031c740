//! Asking for resources, whatever form they are in.

use super::{
    Blob,
    budget::For,
    inner::{Inner, name, raw},
    packed::no_memory,
    stats::{Counts, Kind},
    table::{Content, Entry},
};
use crate::{Error, Result, sync::lock};
use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, Weak, atomic::Ordering},
    time::Instant,
};

/// Share of what may be kept that may be taken for a resource to come back from a file.
const ROOMY: f64 = 0.7;

/// What it took to get a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Served {
    /// Nothing: it was in memory, as it is or as a copy that had been decompressed before.
    Held,
    /// It was decompressed, or made of a repeated byte.
    Decompressed,
    /// It was read from a file.
    FromFile,
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::Decompressed => "decompressed",
            Self::FromFile => "from file",
        })
    }
}

impl Content {
    fn served(&self) -> Served {
        match self {
            Self::Raw(_) => Served::Held,
            Self::Same(_) | Self::Packed(_) => Served::Decompressed,
            Self::Spilled(_) => Served::FromFile,
        }
    }
}

/// What is needed to decompress a resource without its shard's lock.
struct Found {
    version: u64,
    kind: Arc<Kind>,
    len: usize,
    content: Content,
    decoded: Arc<Mutex<Weak<Vec<u8>>>>,
}

impl Found {
    fn of(entry: &Entry) -> Self {
        Self {
            version: entry.version,
            kind: Arc::clone(&entry.kind),
            len: entry.len,
            content: entry.content.clone(),
            decoded: Arc::clone(&entry.decoded),
        }
    }
}

impl Entry {
    /// Its bytes, where they need not be made first.
    fn ready(&self) -> Option<&Blob> {
        match (&self.content, &self.hot) {
            (Content::Raw(raw), _) => Some(&raw.blob),
            (_, Some(hot)) => Some(&hot.raw.blob),
            _ => None,
        }
    }
}

impl Inner {
    pub(super) fn fetch(&self, id: &[u8]) -> Result<Option<(Blob, Served)>> {
        Ok(self.fetch_version(id)?.map(|(blob, served, _)| (blob, served)))
    }

    /// As [`fetch`](Self::fetch), and the version of the resource that the bytes are of.
    fn fetch_version(&self, id: &[u8]) -> Result<Option<(Blob, Served, u64)>> {
        let shard = self.table.read(id);
        let Some(entry) = shard.entries.get(id) else { return Ok(None) };
        entry.touch();
        if let Some(blob) = entry.ready() {
            return Ok(Some((blob.clone(), Served::Held, entry.version)));
        }
        let found = Found::of(entry);
        drop(shard);
        let (blob, served) = self.decoded(id, &found).map_err(|e| e.of_resource(name(id)))?;
        Ok(Some((blob, served, found.version)))
    }

    /// The bytes of what was found, and a copy for those who ask next. Who else asks meanwhile waits for it.
    fn decoded(&self, id: &[u8], found: &Found) -> Result<(Blob, Served)> {
        let (mut latest, has_waited) = match found.decoded.try_lock() {
            Ok(latest) => (latest, false),
            Err(_) => (lock(&found.decoded), true),
        };
        if let Some(bytes) = latest.upgrade() {
            let served = if has_waited { found.content.served() } else { Served::Held };
            return Ok((Blob(bytes), served));
        }
        // Counted before it is made: what is made is within the budget, or the caller's alone.
        let room = self.hot.room(id, Blob::held_by(found.len), &self.budget, &self.table);
        let blob = Blob::from(self.decode(found, 0..found.len)?);
        *latest = Arc::downgrade(&blob.0);
        let served = found.content.served();
        let Some(room) = room else { return Ok((blob, served)) };
        let hot = room.fill(blob.clone());
        // What was there is dropped outside of the lock: it may be a file.
        let (mut spilled, mut old) = (None, None);
        let used_ms = self.table.change(id, found.version, |entry| {
            match &entry.content {
                Content::Raw(_) => {}
                Content::Spilled(_) if self.is_roomy() => {
                    let raw = Content::Raw(hot.raw);
                    spilled = Some(std::mem::replace(&mut entry.content, raw));
                }
                _ => old = entry.hot.replace(hot),
            }
            entry.used_ms()
        });
        if spilled.is_some() {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        drop((spilled, old));
        if let Some(used_ms) = used_ms {
            self.hot.put(id, found.version, used_ms, &self.table);
        }
        Ok((blob, served))
    }

    /// Whether what was spilled may come back.
    fn is_roomy(&self) -> bool {
        self.budget.used() as f64 <= self.budget.most(For::Keeping) as f64 * ROOMY
    }

    fn decode(&self, found: &Found, range: Range<usize>) -> Result<Vec<u8>> {
        let start = Instant::now();
        let counts = &found.kind.counts;
        let mut out = Vec::new();
        match &found.content {
            Content::Raw(raw) => out.extend_from_slice(&raw.blob[range]),
            Content::Same(byte) => {
                out.try_reserve_exact(range.len()).map_err(|_| no_memory(range.len()))?;
                out.resize(range.len(), *byte);
            }
            Content::Packed(packed) => {
                let len = range.len();
                let front = packed.unpack_range(range, &mut out)?;
                out.truncate(front + len);
                out.drain(..front);
                Counts::add(&counts.decompressions, 1);
                Counts::add_time(&counts.decompress_ns, start.elapsed());
            }
            Content::Spilled(spilled) => {
                let (bytes, mended) = spilled.read(range, &self.codecs)?;
                out = bytes;
                Counts::add(&counts.spill_reads, 1);
                Counts::add(&counts.repairs, u64::from(!mended.is_empty()));
                Counts::add_time(&counts.decompress_ns, start.elapsed());
            }
        }
        Ok(out)
    }

    pub(super) fn with_range<T>(
        &self,
        id: &[u8],
        range: Range<usize>,
        f: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let shard = self.table.read(id);
        let Some(entry) = shard.entries.get(id) else { return Ok(None) };
        if range.start > range.end || range.end > entry.len {
            let (len, name) = (entry.len, name(id));
            return Err(Error::Usage(format!(
                "{name}: bytes {}..{} of a resource of {len}",
                range.start, range.end
            )));
        }
        entry.touch();
        if let Some(blob) = entry.ready().cloned() {
            drop(shard);
            return Ok(Some(f(&blob[range])));
        }
        let found = Found::of(entry);
        drop(shard);
        // A copy that somebody still has is as good.
        let latest = found.decoded.try_lock().ok().and_then(|latest| latest.upgrade());
        if let Some(bytes) = latest {
            return Ok(Some(f(&bytes[range])));
        }
        let part = self.decode(&found, range).map_err(|e| e.of_resource(name(id)))?;
        Ok(Some(f(&part)))
    }

    fn is_raw(&self, id: &[u8], version: u64) -> bool {
        let shard = self.table.read(id);
        let entry = shard.entries.get(id).filter(|entry| entry.version == version);
        entry.is_some_and(|entry| matches!(entry.content, Content::Raw(_)))
    }

    pub(super) fn decompress(&self, id: &[u8]) -> Result<bool> {
        loop {
            let Some((blob, _, version)) = self.fetch_version(id)? else { return Ok(false) };
            // What is as it was inserted needs no more room.
            if self.is_raw(id, version) {
                return Ok(true);
            }
            let bytes = blob.len() as u64;
            let grant = self.room_for(blob.held_bytes()).ok_or_else(|| self.full(id, bytes, None))?;
            // Dropped outside of the lock.
            let (mut content, mut copy) = (Content::Raw(raw(blob, grant)), None);
            let is_done = self.table.change(id, version, |entry| {
                if !matches!(entry.content, Content::Raw(_)) {
                    std::mem::swap(&mut entry.content, &mut content);
                    copy = entry.hot.take();
                }
            });
            drop((content, copy));
            // Another one in its place meanwhile is to be decompressed just as well.
            if is_done.is_some() {
                self.changes.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
        }
    }
}
