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
    Error, Host, Result,
    policy::Policies,
    pressure::{Pressure, Reading, Sources, Subscription, Watch},
    sync::lock,
};
use budget::{Budget, For};
use codecs::Codecs;
use hot::HotCache;
use packed::NotPacked;
use room::{Flights, Queues};
use spill::SpillDir;
use stats::{Counts, Kind, Tally};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use table::{Content, Entry, Raw, Table};
use worker::Worker;

/// Smallest budget that the store can work in.
pub const LEAST_BUDGET_BYTES: u64 = 4 << 20;

/// What work in progress needs at least, if that is not more than a quarter of the budget: codecs' contexts take megabytes.
const LEAST_RESERVE_BYTES: u64 = 12 << 20;

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

/// What calls and the background thread share.
#[derive(Debug)]
struct Inner {
    budget: Arc<Budget>,
    table: Table,
    hot: HotCache,
    codecs: Codecs,
    policies: Arc<Policies>,
    kinds: Mutex<BTreeMap<String, Arc<Kind>>>,
    queues: Queues,
    flights: Flights,
    spill: Option<SpillDir>,
    /// When writing to a file failed last, and why.
    spill_failure: Mutex<Option<(Instant, String)>>,
    watch: Watch,
    system: Option<Sources>,
    idle: Duration,
    worker_ns: AtomicU64,
    /// Changes after which lists of candidates may lack something.
    changes: AtomicU64,
    /// Whether something was left for lack of room to work in.
    is_short_of_room: AtomicBool,
}

impl ResourceStore {
    /// An empty store.
    ///
    /// # Errors
    /// [`Error::Usage`] for a budget or share that makes no sense, [`Error::Io`] when the spill folder cannot be made.
    pub fn open(host: Arc<Host>, options: StoreOptions) -> Result<Self> {
        if options.budget_bytes < LEAST_BUDGET_BYTES {
            let least = crate::size::binary(LEAST_BUDGET_BYTES);
            return Err(Error::Usage(format!("a store needs a budget of {least} or more")));
        }
        if !(0.01..=1.0).contains(&options.cpu_share) {
            return Err(Error::Usage("the background thread's share of a processor is 0.01 to 1".into()));
        }
        let reserve = (options.budget_bytes / 16).max(LEAST_RESERVE_BYTES).min(options.budget_bytes / 4);
        let budget = Budget::new(options.budget_bytes, reserve);
        let hot_bytes = options.hot_bytes.unwrap_or(options.budget_bytes / 8).min(options.budget_bytes);
        let policies = match options.policies {
            Some(policies) => policies,
            None => host.policies()?,
        };
        let spill = options.spill_dir.as_deref().map(SpillDir::create).transpose()?;
        let table = Table::new(&budget).ok_or_else(|| Error::Usage("the budget is too small".into()))?;
        let inner = Arc::new(Inner {
            table,
            hot: HotCache::new(hot_bytes),
            codecs: Codecs::new(host, Arc::clone(&budget)),
            budget,
            policies,
            kinds: Mutex::default(),
            queues: Queues::default(),
            flights: Flights::default(),
            spill,
            spill_failure: Mutex::default(),
            watch: Watch::new(),
            system: options.watch_system.then(Sources::of_system),
            idle: options.idle,
            worker_ns: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            is_short_of_room: AtomicBool::new(false),
        });
        let worker = options.background.then(|| Worker::start(&inner, options.cpu_share)).transpose()?;
        Ok(Self { inner, worker })
    }

    /// Takes a resource in, in place of one of the same id. A `Vec` without spare room is not copied. Where it does not fit, others are compressed
    /// first, those of high priority before others, then it itself; what still does not fit is refused, and nothing has changed. A
    /// resource in place of another needs room beside it until it is in.
    ///
    /// # Errors
    /// [`Error::StoreFull`].
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
    /// [`Error::Resource`] with its id, when its bytes cannot be had back: no memory, or a damaged file that cannot be mended.
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
    /// [`Error::Usage`] for a range beyond its end, and as [`get`](Self::get).
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
    /// [`Error::Resource`], when the codec fails or has no room to work in.
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
    /// [`Error::StoreFull`], and as [`get`](Self::get).
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

impl Inner {
    fn kind(&self, name: &str) -> Arc<Kind> {
        let mut kinds = lock(&self.kinds);
        if let Some(kind) = kinds.get(name) {
            return Arc::clone(kind);
        }
        let kind = Arc::new(Kind { name: name.to_owned(), counts: Counts::default() });
        kinds.insert(name.to_owned(), Arc::clone(&kind));
        kind
    }

    fn insert(&self, id: &[u8], resource_type: &str, blob: Blob) -> Result<()> {
        let len = blob.len();
        let policy = self.policies.current().get(resource_type).clone();
        let full = |spilling| self.full(id, len as u64, spilling);
        let own = self.room_for(Entry::overhead_bytes(id.len())).ok_or_else(|| full(None))?;
        let content = match repeated(&blob) {
            Some(byte) => Content::Same(byte),
            None => self.place(blob, &policy).map_err(full)?,
        };
        let kind = self.kind(resource_type);
        let entry = Entry::new(self.table.next_version(), kind, len, content, own);
        loop {
            let mut shard = self.table.write(id);
            if shard.entries.contains_key(id) || shard.reserve() {
                let old = shard.entries.insert(id.into(), entry);
                let chances = shard.entries.get(id).map(|entry| self.chances(id, entry));
                drop(shard);
                self.offer(chances.unwrap_or_default());
                if let Some(old) = &old {
                    Counts::add(&old.kind.counts.past_gets, old.gets.load(Ordering::Relaxed));
                }
                return Ok(());
            }
            drop(shard);
            // The table grows in steps, and so does what it needs.
            if !self.room_for_table() {
                return Err(full(None));
            }
        }
    }

    fn observe(&self) -> Pressure {
        let own = Reading {
            used_bytes: self.budget.used(),
            limit_bytes: self.budget.most(For::Keeping),
            stalled_percent: None,
            source: "the store's budget",
        };
        let system = self.system.as_ref().and_then(Sources::read);
        let tightest = system.filter(|s| s.used_share() > own.used_share()).unwrap_or(own);
        let stalled_percent = system.and_then(|s| s.stalled_percent);
        self.watch.observe(&Reading { stalled_percent, ..tightest })
    }

    fn stats(&self) -> StoreStats {
        let mut tally = Tally::default();
        self.table.each(|_, entry| tally.add(entry));
        for kind in lock(&self.kinds).values() {
            tally.add_kind(kind);
        }
        StoreStats {
            budget_bytes: self.budget.limit(),
            held_bytes: self.budget.used(),
            peak_bytes: self.budget.peak(),
            codec_bytes: self.codecs.open_bytes(),
            spilled_bytes: self.spill.as_ref().map_or(0, SpillDir::bytes),
            pressure: self.watch.level(),
            worker_s: self.worker_ns.load(Ordering::Relaxed) as f64 / 1e9,
            ..tally.stats
        }
    }

    /// Why the resource `id` of `bytes` is refused: who holds what, and what would help.
    fn full(&self, id: &[u8], bytes: u64, spilling: Option<Error>) -> Error {
        let binary = crate::size::binary;
        let (policies, mut kept, mut incompressible) = (self.policies.current(), 0, 0);
        self.table.each(|_, entry| {
            let held = entry.held_bytes();
            if entry.mark.is_some() {
                incompressible += held;
            } else if matches!(entry.content, Content::Raw(_))
                && !policies.get(&entry.kind.name).auto_compress
            {
                kept += held;
            }
        });
        let mut why = Vec::new();
        if incompressible > 0 {
            why.push(format!("{} cannot be compressed", binary(incompressible)));
        }
        if kept > 0 {
            why.push(format!("{} are of types with auto_compress: false", binary(kept)));
        }
        why.push(match (&self.spill, spilling) {
            (Some(_), Some(e)) => format!("to spill it failed: {e}"),
            (Some(_), None) => match &*lock(&self.spill_failure) {
                Some((_, e)) => format!("to spill others failed: {e}"),
                None => "the spill folder made no more room".into(),
            },
            (None, _) => "a spill folder would take what is not wanted now".into(),
        });
        Error::StoreFull {
            resource: name(id),
            bytes,
            held: self.budget.used(),
            budget: self.budget.limit(),
            why: why.join("; "),
        }
    }
}

impl Drop for ResourceStore {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}

/// The byte that all of `bytes` are; any, where there is none.
fn repeated(bytes: &[u8]) -> Option<u8> {
    let Some((first, rest)) = bytes.split_first() else { return Some(0) };
    (rest == &bytes[..rest.len()]).then_some(*first)
}

/// An id for people: as text where it is, in hexadecimal where it is not, and not too long.
fn name(id: &[u8]) -> String {
    const MOST: usize = 120;
    match std::str::from_utf8(id) {
        Ok("") => "``".into(),
        Ok(text) if text.chars().count() > MOST => {
            format!("{}...", text.chars().take(MOST).collect::<String>().escape_debug())
        }
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => {
            let digits: String = id.iter().take(MOST / 2).map(|byte| format!("{byte:02x}")).collect();
            format!("0x{digits}{}", if id.len() > MOST / 2 { "..." } else { "" })
        }
    }
}

impl Entry {
    /// What its content takes in memory.
    fn held_bytes(&self) -> u64 {
        match &self.content {
            Content::Raw(raw) => raw.grant.bytes(),
            Content::Packed(packed) => packed.held_bytes(),
            Content::Same(_) | Content::Spilled(_) => 0,
        }
    }
}

impl From<NotPacked> for Error {
    fn from(e: NotPacked) -> Self {
        match e {
            NotPacked::Failed(e) => e,
            NotPacked::NoRoom => Self::Usage("the budget has no room to compress it in".into()),
            NotPacked::SavesTooLittle => Self::Usage("compressing it saves too little".into()),
            NotPacked::Stopped => Self::Usage("it was changed meanwhile".into()),
        }
    }
}

/// A raw resource, in a grant that fits it.
fn raw(blob: Blob, grant: budget::Grant) -> Raw {
    Raw { blob, grant: Arc::new(grant) }
}
