//! What a store holds and what it did, by resource type.

use super::table::{Content, Entry, Mark, Skipped};
use crate::pressure::Pressure;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A resource type, and what was done to all resources of it.
#[derive(Debug, Default)]
pub(super) struct Kind {
    pub name: String,
    pub counts: Counts,
}

/// Counters; times in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Of those that are no longer there.
    pub past_gets: AtomicU64,
    pub decompressions: AtomicU64,
    pub spill_reads: AtomicU64,
    pub compressions: AtomicU64,
    pub compress_ns: AtomicU64,
    pub decompress_ns: AtomicU64,
    pub repairs: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn add_time(counter: &AtomicU64, time: Duration) {
        Self::add(counter, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// What a store holds. All sizes in bytes, all times in seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct StoreStats {
    /// What it may hold.
    pub budget_bytes: u64,
    /// What it holds, its own tables, caches and codecs included.
    pub held_bytes: u64,
    /// The most it ever held.
    pub peak_bytes: u64,
    /// Of what it holds: decompressed copies.
    pub hot_bytes: u64,
    /// Of what it holds: what codecs that are open say that they take.
    pub codec_bytes: u64,
    /// In files.
    pub spilled_bytes: u64,
    /// The original size of all resources.
    pub raw_bytes: u64,
    /// Memory pressure, of the store itself and of the system.
    pub pressure: Pressure,
    /// Processor time of the background worker.
    pub worker_s: f64,
    /// By resource type.
    pub types: BTreeMap<String, TypeStats>,
}

impl StoreStats {
    /// Original bytes per byte held in memory.
    pub fn gain(&self) -> f64 {
        self.raw_bytes as f64 / self.held_bytes.max(1) as f64
    }
}

/// What a store holds of one resource type.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct TypeStats {
    /// How many there are.
    pub resources: u64,
    /// How many of them are as they were inserted.
    pub uncompressed: u64,
    /// How many are compressed, or a single byte repeated.
    pub compressed: u64,
    /// How many are in files.
    pub spilled: u64,
    /// Their original size.
    pub raw_bytes: u64,
    /// What they take in memory, decompressed copies not included.
    pub held_bytes: u64,
    /// `raw_bytes / held_bytes` of the compressed ones; 1 without any.
    pub ratio: f64,
    /// How often one was asked for,
    pub gets: u64,
    /// had to be decompressed for that,
    pub decompressions: u64,
    /// or read from a file.
    pub spill_reads: u64,
    /// How often one was compressed.
    pub compressions: u64,
    /// Time that took, on any thread.
    pub compress_s: f64,
    /// And decompressing.
    pub decompress_s: f64,
    /// Files that were damaged and mended.
    pub repairs: u64,
    /// How many stay as they are, by the reason.
    pub skipped: BTreeMap<String, u64>,
    /// How many were compressed by whom.
    pub implementations: BTreeMap<String, u64>,
}

/// Sums while the table is walked.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub stats: StoreStats,
    /// Of the compressed resources of each type.
    packed: BTreeMap<String, (u64, u64)>,
}

impl Tally {
    pub(super) fn add(&mut self, entry: &Entry) {
        let types = &mut self.stats.types;
        if !types.contains_key(&entry.kind.name) {
            types.insert(entry.kind.name.clone(), TypeStats::default());
        }
        let Some(of) = types.get_mut(&entry.kind.name) else { return };
        of.resources += 1;
        of.raw_bytes += entry.len as u64;
        of.gets += entry.gets.load(Ordering::Relaxed);
        self.stats.raw_bytes += entry.len as u64;
        self.stats.hot_bytes += entry.hot.as_ref().map_or(0, |hot| hot.raw.grant.bytes());
        match &entry.content {
            Content::Raw(raw) => {
                of.uncompressed += 1;
                of.held_bytes += raw.grant.bytes();
            }
            Content::Same(_) => of.compressed += 1,
            Content::Packed(packed) => {
                of.compressed += 1;
                of.held_bytes += packed.held_bytes();
                *of.implementations.entry(packed.implementation().to_owned()).or_default() += 1;
                let sums = self.packed.entry(entry.kind.name.clone()).or_default();
                *sums = (sums.0 + entry.len as u64, sums.1 + packed.held_bytes());
            }
            Content::Spilled(_) => of.spilled += 1,
        }
        if let Some(Mark { reason, .. }) = &entry.mark {
            *of.skipped.entry(reason.to_string()).or_default() += 1;
        }
    }

    /// Adds what was done to all of a type so far.
    pub(super) fn add_kind(&mut self, kind: &Kind) {
        let of = self.stats.types.entry(kind.name.clone()).or_default();
        let counts = &kind.counts;
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seconds = |counter: &AtomicU64| number(counter) as f64 / 1e9;
        of.gets += number(&counts.past_gets);
        of.decompressions = number(&counts.decompressions);
        of.spill_reads = number(&counts.spill_reads);
        of.compressions = number(&counts.compressions);
        of.compress_s = seconds(&counts.compress_ns);
        of.decompress_s = seconds(&counts.decompress_ns);
        of.repairs = number(&counts.repairs);
        let (raw, held) = self.packed.get(&kind.name).copied().unwrap_or((1, 1));
        of.ratio = raw as f64 / held.max(1) as f64;
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Incompressible => f.write_str("saves too little"),
            Self::Exhausted => f.write_str("saves too little, also with a stronger codec"),
            Self::NoRoom { .. } => f.write_str("the budget has no room to compress it in"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}
