//! What a store is made of, behind its calls: taking resources in, telling what there is, and why something does not fit.

use super::{
    Blob, LEAST_BUDGET_BYTES, StoreOptions, StoreStats,
    budget::{Budget, For, Grant},
    codecs::Codecs,
    hot::HotCache,
    packed::NotPacked,
    room::{Flights, Queues},
    spill::SpillDir,
    stats::{Counts, Kind, Tally},
    table::{Content, Entry, Raw, Table},
};
use crate::{
    Error, Host, Result,
    policy::Policies,
    pressure::{Reading, Sources, Watch},
    sync::lock,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What work in progress needs at least, if that is not more than a quarter of the budget: codecs' contexts take megabytes.
const LEAST_RESERVE_BYTES: u64 = 12 << 20;

/// What calls and the background thread share.
#[derive(Debug)]
pub(super) struct Inner {
    pub budget: Arc<Budget>,
    pub table: Table,
    pub hot: HotCache,
    pub codecs: Codecs,
    pub policies: Arc<Policies>,
    pub kinds: Mutex<BTreeMap<String, Arc<Kind>>>,
    pub queues: Queues,
    pub flights: Flights,
    pub spill: Option<SpillDir>,
    /// When writing to a file failed last, and why.
    pub spill_failure: Mutex<Option<(Instant, String)>>,
    pub watch: Watch,
    pub system: Option<Sources>,
    pub idle: Duration,
    pub worker_ns: AtomicU64,
    /// Changes after which lists of candidates may lack something.
    pub changes: AtomicU64,
    /// Whether something was left for lack of room to work in.
    pub is_short_of_room: AtomicBool,
}

impl Inner {
    pub(super) fn open(host: Arc<Host>, options: StoreOptions) -> Result<Self> {
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
        Ok(Self {
            table: Table::new(&budget),
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
        })
    }

    fn kind(&self, name: &str) -> Arc<Kind> {
        let mut kinds = lock(&self.kinds);
        if let Some(kind) = kinds.get(name) {
            return Arc::clone(kind);
        }
        let kind = Arc::new(Kind { name: name.to_owned(), counts: Counts::default() });
        kinds.insert(name.to_owned(), Arc::clone(&kind));
        kind
    }

    pub(super) fn insert(&self, id: &[u8], resource_type: &str, blob: Blob) -> Result<()> {
        let len = blob.len();
        let policies = self.policies.current();
        let full = |spilling| self.full(id, len as u64, spilling);
        let own = self.room_for(Entry::overhead_bytes(id.len())).ok_or_else(|| full(None))?;
        let content = match repeated(&blob) {
            Some(byte) => Content::Same(byte),
            None => self.place(blob, policies.get(resource_type)).map_err(full)?,
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

    pub(super) fn observe(&self) {
        let own = Reading {
            used_bytes: self.budget.used(),
            limit_bytes: self.budget.most(For::Keeping),
            stalled_percent: None,
            source: "the store's budget",
        };
        let system = self.system.as_ref().and_then(Sources::read);
        let tightest = system.filter(|s| s.used_share() > own.used_share()).unwrap_or(own);
        let stalled_percent = system.and_then(|s| s.stalled_percent);
        self.watch.observe(&Reading { stalled_percent, ..tightest });
    }

    pub(super) fn stats(&self) -> StoreStats {
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
    pub(super) fn full(&self, id: &[u8], bytes: u64, spilling: Option<Error>) -> Error {
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

/// The byte that all of `bytes` are; any, where there is none.
fn repeated(bytes: &[u8]) -> Option<u8> {
    let Some((first, rest)) = bytes.split_first() else { return Some(0) };
    (rest == &bytes[..rest.len()]).then_some(*first)
}

/// An id for people: as text where it is, in hexadecimal where it is not, and not too long.
pub(super) fn name(id: &[u8]) -> String {
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
    pub(super) fn held_bytes(&self) -> u64 {
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
pub(super) fn raw(blob: Blob, grant: Grant) -> Raw {
    Raw { blob, grant: Arc::new(grant) }
}
