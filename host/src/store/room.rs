//! Who makes room for whom: copies go first, then others are compressed, then compressed harder, then written to files.
//!
//! Here is decided who is next; [`work`](super::work) does it.

use super::{
    budget::{For, Grant},
    inner::Inner,
    plan::{self, POOR},
    table::{Content, Entry, Skipped, now_ms},
};
use crate::{
    policy::{Policy, Priority},
    sync::lock,
};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How room is made, the cheapest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Tier {
    /// Decompressed copies go.
    Copies,
    /// What its policy lets be compressed is, whatever its threshold.
    Compress,
    /// What was compressed poorly is compressed harder.
    Harder,
    /// Buffers and codecs that nobody works with are freed.
    Idle,
    /// What is not wanted goes to files.
    Spill,
}

impl Tier {
    const ALL: [Self; 5] = [Self::Copies, Self::Compress, Self::Harder, Self::Idle, Self::Spill];
}

/// A resource that can make room.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Candidate {
    pub id: Box<[u8]>,
    pub version: u64,
    /// When it had last been asked for, as it was chosen.
    pub used_ms: u64,
}

/// Candidates of each tier, the first to take first.
#[derive(Debug, Default)]
pub(super) struct Queues([Mutex<Queue>; Tier::ALL.len()]);

#[derive(Debug, Default)]
struct Queue {
    candidates: BinaryHeap<Reverse<Ranked>>,
    /// As of which changes that are told of to no queue, and which policies, they were listed.
    as_of: Option<(u64, u64)>,
    /// Whether there may be more than are listed.
    is_partial: bool,
}

/// Most candidates that are listed at once: lists are not accounted for.
const MOST_CANDIDATES: usize = 1024;

/// Order among candidates: what is in use last, then by priority, then by when it was last asked for.
pub(super) type Rank = (bool, Reverse<Priority>, u64);
pub(super) type Ranked = (Rank, Candidate);

impl Queue {
    /// Adds a candidate that has just become one; it is found later where there are too many.
    fn offer(&mut self, ranked: Ranked) {
        if self.candidates.len() < MOST_CANDIDATES {
            self.candidates.push(Reverse(ranked));
        } else {
            self.is_partial = true;
        }
    }
}

/// Work that will make room when it ends.
#[derive(Debug, Default)]
pub(super) struct Flights {
    count: Mutex<usize>,
    ended: Condvar,
    /// Threads that wait for that.
    waiting: AtomicU64,
}

/// One piece of such work, until it is dropped.
pub(super) struct Flight<'a>(&'a Flights);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.ended.notify_all();
    }
}

impl Flights {
    pub(super) fn begin(&self) -> Flight<'_> {
        *lock(&self.count) += 1;
        Flight(self)
    }

    /// Waits until one ends, or for `time`; whether there was one.
    fn wait(&self, time: Duration) -> bool {
        let count = lock(&self.count);
        if *count == 0 {
            return false;
        }
        let before = *count;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.ended.wait_timeout_while(count, time, |count| *count >= before);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Whether somebody waits for work to end.
    pub(super) fn are_urgent(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Inner {
    /// `bytes` to keep something in, made free where they are not.
    pub(super) fn room_for(&self, bytes: u64) -> Option<Grant> {
        self.room_by(bytes, Tier::Spill)
    }

    /// As [`room_for`](Self::room_for), by no dearer means than `most`.
    pub(super) fn room_by(&self, bytes: u64, most: Tier) -> Option<Grant> {
        /// How long to wait for what others are at, before it is refused.
        const PATIENCE: Duration = Duration::from_secs(2);
        if bytes > self.budget.most(For::Keeping) {
            return None;
        }
        let mut began = None;
        loop {
            if let Some(grant) = self.budget.take(bytes, For::Keeping) {
                return Some(grant);
            }
            if self.make_room(bytes, most) {
                continue;
            }
            let began = *began.get_or_insert_with(Instant::now);
            let is_last = most == Tier::Spill;
            if !is_last || began.elapsed() > PATIENCE || !self.flights.wait(PATIENCE / 10) {
                return None;
            }
        }
    }

    /// Makes some room for a larger table; whether it made any.
    pub(super) fn room_for_table(&self) -> bool {
        Tier::ALL.into_iter().any(|tier| self.step(tier))
    }

    pub(super) fn make_room(&self, bytes: u64, most: Tier) -> bool {
        let fits = || self.budget.has_room(bytes, For::Keeping);
        for tier in Tier::ALL.into_iter().filter(|tier| *tier <= most) {
            while !fits() && self.step(tier) {}
        }
        fits()
    }

    /// Does what the next candidate of `tier` can; whether there was one.
    pub(super) fn step(&self, tier: Tier) -> bool {
        match tier {
            Tier::Copies => self.hot.evict(&self.table),
            Tier::Idle => self.codecs.rest() > 0,
            Tier::Compress | Tier::Harder | Tier::Spill => {
                let Some(candidate) = self.next(tier) else { return false };
                self.relieve(&candidate, tier, &mut || true);
                true
            }
        }
    }

    fn next(&self, tier: Tier) -> Option<Candidate> {
        let mut queue = lock(&self.queues.0[tier as usize]);
        if queue.candidates.is_empty() {
            let as_of = Some((self.changes.load(Ordering::Relaxed), self.policies.generation()));
            if queue.as_of == as_of && !queue.is_partial {
                return None;
            }
            queue.as_of = as_of;
            let listed = self.listed(tier, Duration::ZERO, |_, _| true);
            queue.is_partial = listed.len() >= MOST_CANDIDATES;
            queue.candidates = listed.into_iter().map(Reverse).collect();
        }
        queue.candidates.pop().map(|Reverse((_, candidate))| candidate)
    }

    /// Which tiers a resource that has just changed can make room by. To be [offered](Self::offer) when no shard is locked: who lists candidates
    /// locks the list first, and then the shards.
    pub(super) fn chances(&self, id: &[u8], entry: &Entry) -> Vec<(Tier, Ranked)> {
        let generation = self.policies.generation();
        let policies = self.policies.current();
        let policy = policies.get(&entry.kind.name);
        let tiers = [Tier::Compress, Tier::Harder, Tier::Spill].into_iter();
        let suiting = tiers.filter(|tier| self.suits(*tier, entry, policy, generation));
        let used_ms = entry.used_ms();
        let candidate = || Candidate { id: id.into(), version: entry.version, used_ms };
        suiting.map(|tier| (tier, (rank(tier, entry, policy, used_ms), candidate()))).collect()
    }

    /// Adds them to the lists.
    pub(super) fn offer(&self, chances: Vec<(Tier, Ranked)>) {
        for (tier, ranked) in chances {
            lock(&self.queues.0[tier as usize]).offer(ranked);
        }
    }

    /// What `tier` can be done to, of what was idle for `idle` and `wanted`; the first to take comes last.
    pub(super) fn candidates(
        &self,
        tier: Tier,
        idle: Duration,
        wanted: impl Fn(&Entry, &Policy) -> bool,
    ) -> Vec<Candidate> {
        let mut listed = self.listed(tier, idle, wanted).into_sorted_vec();
        listed.reverse();
        listed.into_iter().map(|(_, candidate)| candidate).collect()
    }

    fn listed(
        &self,
        tier: Tier,
        idle: Duration,
        wanted: impl Fn(&Entry, &Policy) -> bool,
    ) -> BinaryHeap<Ranked> {
        let mut listed: BinaryHeap<Ranked> = BinaryHeap::new();
        if tier == Tier::Spill && !self.may_spill() {
            return listed;
        }
        // The generation first: what is done by newer policies than it says is done again, and not the other way round.
        let generation = self.policies.generation();
        let (policies, now) = (self.policies.current(), now_ms());
        self.table.each(|id, entry| {
            let used_ms = entry.used_ms();
            let is_idle = u128::from(now.saturating_sub(used_ms)) >= idle.as_millis();
            let policy = policies.get(&entry.kind.name);
            if !is_idle || !self.suits(tier, entry, policy, generation) || !wanted(entry, policy) {
                return;
            }
            let is_full = listed.len() >= MOST_CANDIDATES;
            let rank = rank(tier, entry, policy, used_ms);
            if !is_full || listed.peek().is_some_and(|(most, _)| rank < *most) {
                listed.push((rank, Candidate { id: id.into(), version: entry.version, used_ms }));
            }
            if listed.len() > MOST_CANDIDATES {
                listed.pop();
            }
        });
        listed
    }

    fn suits(&self, tier: Tier, entry: &Entry, policy: &Policy, generation: u64) -> bool {
        let mark = entry.mark.as_ref().filter(|mark| mark.generation == generation).map(|m| &m.reason);
        let is_open = match mark {
            None => true,
            Some(Skipped::NoRoom { free_bytes }) => {
                self.budget.free() > *free_bytes + entry.len as u64 / MORE_ROOM
            }
            Some(_) => false,
        };
        match (tier, &entry.content) {
            (Tier::Compress, Content::Raw(_)) => policy.auto_compress && is_open,
            (Tier::Harder, Content::Raw(_)) => {
                let is_left = mark == Some(&Skipped::Incompressible);
                policy.auto_compress && is_left && is_worth_it(entry) && plan::stronger(policy).is_some()
            }
            (Tier::Harder, Content::Packed(packed)) => {
                let is_stronger = |s: Policy| !plan::is_same_way(&s, &packed.policy);
                is_open && packed.left() > POOR && plan::stronger(policy).is_some_and(is_stronger)
            }
            (Tier::Spill, Content::Raw(_) | Content::Packed(_)) => self.spill.is_some() && is_worth_it(entry),
            _ => false,
        }
    }
}

fn rank(tier: Tier, entry: &Entry, policy: &Policy, used_ms: u64) -> Rank {
    let priority = if tier == Tier::Spill { reversed(policy.priority) } else { policy.priority };
    (entry.is_in_use(), Reverse(priority), used_ms)
}

/// What there was no room to work on is tried again when a share of its size more is free.
const MORE_ROOM: u64 = 8;

impl Entry {
    /// Whether the application has it, too: giving it up here frees nothing.
    pub(super) fn is_in_use(&self) -> bool {
        matches!(&self.content, Content::Raw(raw) if raw.blob.is_shared())
    }
}

/// Whether more than its own record can be saved.
fn is_worth_it(entry: &Entry) -> bool {
    const LEAST: u64 = 4 << 10;
    entry.held_bytes() >= LEAST
}

/// What is wanted least urgently goes first.
fn reversed(priority: Priority) -> Priority {
    match priority {
        Priority::High => Priority::Low,
        Priority::Medium => Priority::Medium,
        Priority::Low => Priority::High,
    }
}
