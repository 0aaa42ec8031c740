//! Who holds what: resources by id, in shards, so that reads of different ones do not wait for each other.

use super::{
    blob::Blob,
    budget::{ALLOCATION_BYTES, Budget, For, Grant},
    hot::Hot,
    packed::Packed,
    spill::Spilled,
    stats::Kind,
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// Enough for the threads of small machines; each takes a few hundred bytes.
const SHARDS: usize = 64;

/// Bytes in memory that are accounted for, for as long as the store or its work has them.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub blob: Blob,
    pub grant: Arc<Grant>,
}

/// Where the bytes of a resource are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In memory as they are.
    Raw(Raw),
    /// All the same byte.
    Same(u8),
    /// Compressed.
    Packed(Arc<Packed>),
    /// In a file.
    Spilled(Arc<Spilled>),
}

/// Why a resource is left as it is, by the policies of so many reloads ago.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub reason: Skipped,
    /// Generation of the policies that it was tried under.
    pub generation: u64,
}

/// Why a resource stays as it is until it changes, or its policy does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Skipped {
    /// Compressing it saves too little.
    Incompressible,
    /// Also with a strong codec.
    Exhausted,
    /// There was no room to work in, with so many bytes free.
    NoRoom {
        /// Of the whole budget.
        free_bytes: u64,
    },
    /// The codec failed.
    Failed(Box<str>),
}

/// A resource.
#[derive(Debug)]
pub(super) struct Entry {
    /// Which of all that were ever inserted it is.
    pub version: u64,
    pub kind: Arc<Kind>,
    pub len: usize,
    pub content: Content,
    /// Its decompressed form.
    pub hot: Option<Hot>,
    pub mark: Option<Mark>,
    /// When it was last asked for, in milliseconds of [`now_ms`].
    used_ms: AtomicU64,
    pub gets: AtomicU64,
    /// What was decompressed last, for as long as somebody has it; held while it is decompressed, so that one does it for all.
    pub decoded: Arc<Mutex<Weak<Vec<u8>>>>,
    _grant: Grant,
}

impl Entry {
    /// Bytes, beside the content, of an entry with an id of `id_bytes`.
    pub(super) fn overhead_bytes(id_bytes: usize) -> u64 {
        let decoded = size_of::<Mutex<Weak<Vec<u8>>>>() + 2 * size_of::<usize>();
        (id_bytes + decoded) as u64 + 2 * ALLOCATION_BYTES
    }

    pub(super) fn new(version: u64, kind: Arc<Kind>, len: usize, content: Content, grant: Grant) -> Self {
        Self {
            version,
            kind,
            len,
            content,
            hot: None,
            mark: None,
            used_ms: AtomicU64::new(now_ms()),
            gets: AtomicU64::new(0),
            decoded: Arc::default(),
            _grant: grant,
        }
    }

    /// Notes that it was asked for.
    pub(super) fn touch(&self) {
        let now = now_ms();
        // A store that changes nothing still takes the line from other readers.
        if self.used_ms.load(Ordering::Relaxed) != now {
            self.used_ms.store(now, Ordering::Relaxed);
        }
        self.gets.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    /// Makes it the first that has not been used for long.
    pub(super) fn forget_use(&self) {
        self.used_ms.store(0, Ordering::Relaxed);
    }
}

type Map = HashMap<Box<[u8]>, Entry>;

/// A part of all resources.
#[derive(Debug)]
pub(super) struct Shard {
    pub entries: Map,
    table: Grant,
}

impl Shard {
    /// Makes room in the table for one more, as far as the budget allows.
    pub(super) fn reserve(&mut self) -> bool {
        if self.entries.len() < self.entries.capacity() {
            return true;
        }
        let wanted = (self.entries.capacity() * 2).max(3);
        // Both are there while entries move from one to the other.
        let (old, new) = (self.table.bytes(), table_bytes(wanted));
        if !self.table.resize(old + new, For::Work) {
            return false;
        }
        let is_done = self.entries.try_reserve(wanted - self.entries.len()).is_ok();
        let held = if is_done { table_bytes(self.entries.capacity()) } else { old };
        self.table.resize(held, For::Work) && is_done
    }

    /// Gives back most of a table that is nearly empty.
    fn shrink(&mut self) {
        const FEW: usize = 64;
        let (len, capacity) = (self.entries.len(), self.entries.capacity());
        if capacity <= FEW || len > capacity / 8 {
            return;
        }
        let new = table_bytes(len * 2);
        if self.table.resize(self.table.bytes() + new, For::Work) {
            self.entries.shrink_to(len * 2);
            self.table.resize(table_bytes(self.entries.capacity()), For::Work);
        }
    }
}

/// Bytes of a table for `capacity` entries (std's is a SwissTable: a power of two of buckets, 7/8 of them used, a byte of control each and 16 more).
fn table_bytes(capacity: usize) -> u64 {
    const BUCKET: usize = size_of::<(Box<[u8]>, Entry)>() + 1;
    let buckets = if capacity < 4 { 4 } else { (capacity * 8).div_ceil(7).next_power_of_two() };
    (buckets * BUCKET + 16) as u64 + ALLOCATION_BYTES
}

/// All resources.
#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<RwLock<Shard>>,
    hasher: RandomState,
    versions: AtomicU64,
}

impl Table {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        let shard = || RwLock::new(Shard { entries: Map::new(), table: budget.nothing() });
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { shards, hasher: RandomState::new(), versions: AtomicU64::new(0) }
    }

    pub(super) fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed)
    }

    fn shard(&self, id: &[u8]) -> &RwLock<Shard> {
        &self.shards[self.hasher.hash_one(id) as usize % SHARDS]
    }

    pub(super) fn read(&self, id: &[u8]) -> RwLockReadGuard<'_, Shard> {
        self.shard(id).read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, id: &[u8]) -> RwLockWriteGuard<'_, Shard> {
        self.shard(id).write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `f` with every resource; only its shard is locked.
    pub(super) fn each(&self, mut f: impl FnMut(&[u8], &Entry)) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.entries.iter().for_each(|(id, entry)| f(id, entry));
        }
    }

    /// Whether the resource `id` still is of `version`, and has a decompressed copy.
    pub(super) fn has_copy(&self, id: &[u8], version: u64) -> bool {
        self.read(id).entries.get(id).is_some_and(|entry| entry.version == version && entry.hot.is_some())
    }

    /// Does `change` to the resource `id`, if it still is of `version`. Where it is not, `change` is dropped outside of the lock.
    pub(super) fn change<T>(
        &self,
        id: &[u8],
        version: u64,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let mut shard = self.write(id);
        match shard.entries.get_mut(id).filter(|entry| entry.version == version) {
            Some(entry) => Some(change(entry)),
            None => {
                drop(shard);
                None
            }
        }
    }

    /// Takes the resource `id` out.
    pub(super) fn remove(&self, id: &[u8]) -> Option<Entry> {
        let mut shard = self.write(id);
        let removed = shard.entries.remove(id);
        shard.shrink();
        removed
    }
}

/// Milliseconds of a clock that never goes back and costs next to nothing to read; it ticks every few milliseconds.
pub(super) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
