//! A store for an application's resources that keeps them within a memory budget: by compressing what is not wanted now, by the policy of
//! each one's type.
//!
//! ```no_run
//! # use clipsmaster_host::{Config, Host, store::{ResourceStore, StoreOptions}};
//! # use std::sync::Arc;
//! # fn main() -> Result<(), clipsmaster_host::Error> {
//! let host = Arc::new(Host::open(Config::from_env()?)?);
//! let store = ResourceStore::open(host, StoreOptions::with_budget(640 << 20))?;
//! store.insert(b"clip-17/subtitles", "subtitle", std::fs::read("17.srt").expect("a file"))?;
//! let subtitles = store.get(b"clip-17/subtitles")?.expect("inserted");
//! # drop(subtitles); Ok(()) }
//! ```
//!
//! A client of policy and pipeline like any other: `plan` says what to do with a resource, `work` and `packed` do it, `table` holds what came of it, `budget`
//! counts, `room` decides who makes room for whom, `worker` does in the background what can wait. What is never done: to hold more than the
//! budget, or to give up bytes before their compressed form has been decoded and compared.

mod allocator;
mod blob;
mod budget;
mod codecs;
mod hot;
mod inner;
mod packed;
mod plan;
mod read;
mod room;
mod spill;
mod stats;
mod table;
mod work;
mod worker;

pub use allocator::give_freed_memory_back;
pub use blob::Blob;
pub use read::Served;
pub use stats::{StoreStats, TypeStats};

use crate::{
    Host, Result,
    policy::Policies,
    pressure::{Pressure, Subscription},
};
use inner::Inner;
use stats::Counts;
use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use table::Content;
use worker::Worker;

/// Smallest budget that the store can work in.
pub const LEAST_BUDGET_BYTES: u64 = 4 << 20;

/// How a store is set up.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most memory, in bytes, for everything the store holds: resources, decompressed copies, tables, codecs and work in progress. Copies
    /// that the application has are its own. At least [`LEAST_BUDGET_BYTES`].
    pub budget_bytes: u64,
    /// Most of it for decompressed copies; an eighth when absent.
    pub hot_bytes: Option<u64>,
    /// Where resources go when nothing else makes room: into files of a folder made there, removed with the store. Nowhere when absent.
    pub spill_dir: Option<PathBuf>,
    /// Whether a background thread compresses, watches the pressure and follows policy files. Without one, room is made when it is needed, and that is
    /// all.
    pub background: bool,
    /// Most processor time of that thread, as a share of one processor, 0.01 to 1.
    pub cpu_share: f64,
    /// How long a resource must not have been asked for before the background thread compresses it, without pressure.
    pub idle: Duration,
    /// Whether the system's memory pressure counts, beside how full the store is.
    pub watch_system: bool,
    /// Policies by resource type; those of the host when absent.
    pub policies: Option<Arc<Policies>>,
}

impl StoreOptions {
    /// The defaults, with this budget: an eighth for decompressed copies, a background thread that takes at most 15 % of a processor and
    /// compresses what was idle for 2 s, no files.
    pub fn with_budget(budget_bytes: u64) -> Self {
        Self {
            budget_bytes,
            hot_bytes: None,
            spill_dir: None,
            background: true,
            cpu_share: 0.15,
            idle: Duration::from_secs(2),
            watch_system: true,
            policies: None,
        }
    }
}

/// What was made of one resource, or of many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compressed {
    /// How many were compressed.
    pub resources: u64,
    /// Their original size, in bytes.
    pub raw_bytes: u64,
    /// What they take now, in bytes.
    pub held_bytes: u64,
    /// How many stay as they are: what they would save is too little, or the codec failed.
    pub skipped: u64,
}

/// What is known about a resource without asking for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourceInfo {
    /// Its id.
    pub id: Vec<u8>,
    /// Its type.
    pub resource_type: String,
    /// Its original size, in bytes.
    pub raw_bytes: u64,
    /// What it takes in memory now, in bytes, decompressed copies not included.
    pub held_bytes: u64,
    /// Whether it is in a file.
    pub is_spilled: bool,
    /// How long ago it was last asked for.
    pub idle: Duration,
}

/// Resources by id, within a memory budget. `Send + Sync`; share it by reference or `Arc`. Dropping it ends the background thread and
/// removes its files.
#[derive(Debug)]
pub struct ResourceStore {
    inner: Arc<Inner>,
    worker: Option<Worker>,
}

impl ResourceStore {
    /// An empty store.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for a budget or share that makes no sense, [`Error::Io`](crate::Error::Io) when the spill folder cannot be made.
    pub fn open(host: Arc<Host>, options: StoreOptions) -> Result<Self> {
        let (background, cpu_share) = (options.background, options.cpu_share);
        let inner = Arc::new(Inner::open(host, options)?);
        let worker = background.then(|| Worker::start(&inner, cpu_share)).transpose()?;
        Ok(Self { inner, worker })
    }

    /// Takes a resource in, in place of one of the same id. A `Vec` without spare room is not copied. Where it does not fit, others are compressed
    /// first, those of high priority before others, then it itself; what still does not fit is refused, and nothing has changed. A
    /// resource in place of another needs room beside it until it is in.
    ///
    /// # Errors
    /// [`Error::StoreFull`](crate::Error::StoreFull).
    pub fn insert(&self, id: &[u8], resource_type: &str, bytes: impl Into<Blob>) -> Result<()> {
        self.inner.insert(id, resource_type, bytes.into())?;
        if let Some(worker) = &self.worker {
            worker.notify();
        }
        Ok(())
    }

    /// The bytes of a resource; `None` if there is none of that id. Without a copy where it is not compressed or was asked for lately.
    ///
    /// # Errors
    /// [`Error::Resource`](crate::Error::Resource) with its id, when its bytes cannot be had back: no memory, or a damaged file that cannot be mended.
    pub fn get(&self, id: &[u8]) -> Result<Option<Blob>> {
        Ok(self.inner.fetch(id)?.map(|(blob, _)| blob))
    }

    /// As [`get`](Self::get), and what it took.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn fetch(&self, id: &[u8]) -> Result<Option<(Blob, Served)>> {
        self.inner.fetch(id)
    }

    /// Calls `f` with bytes `range` of a resource, of which only the chunks around them are decompressed; `None` if there is no such resource.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for a range beyond its end, and as [`get`](Self::get).
    pub fn with_range<T>(
        &self,
        id: &[u8],
        range: std::ops::Range<usize>,
        f: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        self.inner.with_range(id, range, f)
    }

    /// Whether there is a resource of that id. Does not count as asking for it.
    pub fn contains(&self, id: &[u8]) -> bool {
        self.inner.table.read(id).entries.contains_key(id)
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        let mut len = 0;
        self.inner.table.each(|_, _| len += 1);
        len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives a resource up; whether there was one.
    pub fn remove(&self, id: &[u8]) -> bool {
        let removed = self.inner.table.remove(id);
        if removed.is_some() {
            self.inner.retry_short_of_room();
        }
        if let Some(entry) = &removed {
            Counts::add(&entry.kind.counts.past_gets, entry.gets.load(Ordering::Relaxed));
        }
        removed.is_some()
    }

    /// Compresses a resource now, by the policy of `resource_type`, whatever its threshold; `None` if there is no resource of that id.
    ///
    /// # Errors
    /// [`Error::Resource`](crate::Error::Resource), when the codec fails or has no room to work in.
    pub fn compress_with_policy(&self, id: &[u8], resource_type: &str) -> Result<Option<Compressed>> {
        self.inner.compress_now(id, resource_type)
    }

    /// Compresses all resources that `filter` wants, of at least `min_bytes`, by the policies of their types, now.
    pub fn compress_all(&self, filter: impl Fn(&ResourceInfo) -> bool, min_bytes: u64) -> Compressed {
        let mut sum = Compressed::default();
        for info in self.resources() {
            if info.raw_bytes < min_bytes || !filter(&info) {
                continue;
            }
            // One that has gone meanwhile, or cannot be compressed now, is not among them.
            match self.compress_with_policy(&info.id, &info.resource_type) {
                Ok(Some(one)) => {
                    sum.resources += one.resources;
                    sum.raw_bytes += one.raw_bytes;
                    sum.held_bytes += one.held_bytes;
                    sum.skipped += one.skipped;
                }
                Ok(None) => {}
                Err(_) => sum.skipped += 1,
            }
        }
        sum
    }

    /// Keeps a resource decompressed from now on, until it is idle again; whether there is one of that id.
    ///
    /// # Errors
    /// [`Error::StoreFull`](crate::Error::StoreFull), and as [`get`](Self::get).
    pub fn decompress(&self, id: &[u8]) -> Result<bool> {
        self.inner.decompress(id)
    }

    /// Says that a resource is not wanted for now: its decompressed copy goes, and it is the first that is compressed or spilled. Whether there
    /// is one of that id.
    pub fn release(&self, id: &[u8]) -> bool {
        let shard = self.inner.table.read(id);
        let Some(entry) = shard.entries.get(id) else { return false };
        entry.forget_use();
        let version = entry.version;
        drop(shard);
        let hot = self.inner.table.change(id, version, |entry| entry.hot.take());
        drop(hot);
        if let Some(worker) = &self.worker {
            worker.notify();
        }
        true
    }

    /// Makes `bytes` of the budget free, as an insert of that size would; whether there are so many now.
    pub fn make_room(&self, bytes: u64) -> bool {
        self.inner.room_for(bytes).is_some()
    }

    /// All resources, in no order, as they are while it is called.
    pub fn resources(&self) -> Vec<ResourceInfo> {
        let mut all = Vec::new();
        let now = table::now_ms();
        self.inner.table.each(|id, entry| {
            all.push(ResourceInfo {
                id: id.to_vec(),
                resource_type: entry.kind.name.clone(),
                raw_bytes: entry.len as u64,
                held_bytes: entry.held_bytes(),
                is_spilled: matches!(entry.content, Content::Spilled(_)),
                idle: Duration::from_millis(now.saturating_sub(entry.used_ms())),
            });
        });
        all
    }

    /// What it holds and did, by resource type.
    pub fn stats(&self) -> StoreStats {
        self.inner.stats()
    }

    /// Bytes of the budget that are taken.
    pub fn held_bytes(&self) -> u64 {
        self.inner.budget.used()
    }

    /// The memory pressure, of the store itself or of the system, that the background thread saw last.
    pub fn pressure(&self) -> Pressure {
        self.inner.watch.level()
    }

    /// Calls `callback` on the background thread whenever the pressure changes, until what is returned is dropped.
    pub fn on_pressure(&self, callback: impl Fn(Pressure) + Send + Sync + 'static) -> Subscription {
        self.inner.watch.subscribe(callback)
    }
}

impl Drop for ResourceStore {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}
