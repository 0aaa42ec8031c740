//! Who makes room for whom: copies go first, then others are compressed, then compressed harder, then written to files.

use super::{
    Blob, Compressed, Inner,
    budget::{For, Grant},
    name,
    packed::{NotPacked, Packed, pack},
    plan::{self, POOR},
    raw,
    stats::Counts,
    table::{Content, Entry, Mark, Skipped, now_ms},
};
use crate::{
    Result, algorithm,
    policy::{Policy, Priority},
    sync::lock,
};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, atomic::Ordering},
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
    /// What is not wanted goes to files.
    Spill,
}

impl Tier {
    const ALL: [Self; 4] = [Self::Copies, Self::Compress, Self::Harder, Self::Spill];
}

/// A resource that can make room.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Candidate {
    pub id: Box<[u8]>,
    pub version: u64,
}

/// Candidates of each tier, the best last, as of some number of changes.
#[derive(Debug, Default)]
pub(super) struct Queues([Mutex<Queue>; 3]);

#[derive(Debug, Default)]
struct Queue {
    candidates: Vec<Candidate>,
    changes: Option<u64>,
}

/// Most candidates that are listed at once: lists are not accounted for.
const MOST_CANDIDATES: usize = 1024;

/// Order among candidates: what is least is taken first.
type Rank = (bool, Reverse<Priority>, u64);

impl Inner {
    /// `bytes` to keep something in, made free where they are not.
    pub(super) fn room_for(&self, bytes: u64) -> Option<Grant> {
        self.room_by(bytes, Tier::Spill)
    }

    /// As [`room_for`](Self::room_for), by no dearer means than `most`.
    fn room_by(&self, bytes: u64, most: Tier) -> Option<Grant> {
        if bytes > self.budget.most(For::Keeping) {
            return None;
        }
        loop {
            if let Some(grant) = self.budget.take(bytes, For::Keeping) {
                return Some(grant);
            }
            if !self.make_room(bytes, most) {
                return None;
            }
        }
    }

    /// Makes some room for a larger table; whether it made any.
    pub(super) fn room_for_table(&self) -> bool {
        Tier::ALL.into_iter().any(|tier| self.step(tier))
    }

    fn make_room(&self, bytes: u64, most: Tier) -> bool {
        let fits = || self.budget.has_room(bytes, For::Keeping);
        for tier in Tier::ALL.into_iter().filter(|tier| *tier <= most) {
            while !fits() && self.step(tier) {}
        }
        fits()
    }

    /// Does what the next candidate of `tier` can; whether there was one.
    fn step(&self, tier: Tier) -> bool {
        if tier == Tier::Copies {
            return self.hot.evict(&self.table);
        }
        let Some(candidate) = self.next(tier) else { return false };
        self.relieve(&candidate, tier, &mut || true);
        true
    }

    fn next(&self, tier: Tier) -> Option<Candidate> {
        let mut queue = lock(&self.queues.0[tier as usize - 1]);
        if queue.candidates.is_empty() {
            let changes = Some(self.changes.load(Ordering::Relaxed));
            if queue.changes == changes {
                return None;
            }
            queue.changes = changes;
            queue.candidates = self.candidates(tier, Duration::ZERO, |_, _| true);
        }
        queue.candidates.pop()
    }

    /// What `tier` can be done to, of what was idle for `idle` and `wanted`; the first to take comes last.
    pub(super) fn candidates(
        &self,
        tier: Tier,
        idle: Duration,
        wanted: impl Fn(&Entry, &Policy) -> bool,
    ) -> Vec<Candidate> {
        let (policies, generation, now) = (self.policies.current(), self.policies.generation(), now_ms());
        let mut ranked: BinaryHeap<(Rank, Candidate)> = BinaryHeap::new();
        self.table.each(|id, entry| {
            let is_idle = u128::from(now.saturating_sub(entry.used_ms())) >= idle.as_millis();
            let policy = policies.get(&entry.kind.name);
            if is_idle && self.suits(tier, entry, policy, generation) && wanted(entry, policy) {
                let priority = if tier == Tier::Spill { reversed(policy.priority) } else { policy.priority };
                let rank = (entry.is_in_use(), Reverse(priority), entry.used_ms());
                if ranked.len() < MOST_CANDIDATES || ranked.peek().is_some_and(|(most, _)| rank < *most) {
                    ranked.push((rank, Candidate { id: id.into(), version: entry.version }));
                }
                if ranked.len() > MOST_CANDIDATES {
                    ranked.pop();
                }
            }
        });
        let mut candidates = ranked.into_sorted_vec();
        candidates.reverse();
        candidates.into_iter().map(|(_, candidate)| candidate).collect()
    }

    fn suits(&self, tier: Tier, entry: &Entry, policy: &Policy, generation: u64) -> bool {
        let mark = entry.mark.as_ref().filter(|mark| mark.generation == generation).map(|m| &m.reason);
        match (tier, &entry.content) {
            (Tier::Compress, Content::Raw(_)) => policy.auto_compress && mark.is_none(),
            (Tier::Harder, Content::Raw(_)) => {
                policy.auto_compress && mark == Some(&Skipped::Incompressible) && is_worth_it(entry)
            }
            (Tier::Harder, Content::Packed(packed)) => {
                mark.is_none()
                    && packed.left() > POOR
                    && plan::stronger(policy)
                        .is_some_and(|stronger| !plan::is_same_way(&stronger, &packed.policy))
            }
            (Tier::Spill, Content::Raw(_) | Content::Packed(_)) => self.spill.is_some() && is_worth_it(entry),
            _ => false,
        }
    }

    /// Does what `tier` says to a candidate, for as long as `goes_on`.
    pub(super) fn relieve(&self, candidate: &Candidate, tier: Tier, goes_on: &mut dyn FnMut() -> bool) {
        let shard = self.table.read(&candidate.id);
        let entry = shard.entries.get(&candidate.id).filter(|e| e.version == candidate.version);
        let Some(entry) = entry else { return };
        let (content, kind, len) = (entry.content.clone(), Arc::clone(&entry.kind), entry.len);
        let is_incompressible = entry.mark.is_some();
        drop(shard);
        let policies = self.policies.current();
        let policy = policies.get(&kind.name);
        match tier {
            Tier::Copies => {}
            Tier::Compress => {
                let policy = plan::under(policy, self.watch.level());
                // What cannot be is marked, and that is all there is to say here.
                let _ = self.compress(candidate, &content, &policy, Skipped::Incompressible, goes_on);
            }
            Tier::Harder => {
                let Some(policy) = plan::stronger(policy) else { return };
                let _ = self.compress(candidate, &content, &policy, Skipped::Exhausted, goes_on);
            }
            Tier::Spill => self.spill(candidate, &content, len, policy, is_incompressible),
        }
    }

    /// Compresses a resource that is `content` now, as `policy` says. One that cannot be is marked, with `reason` where it is too large.
    fn compress(
        &self,
        candidate: &Candidate,
        content: &Content,
        policy: &Policy,
        reason: Skipped,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Arc<Packed>, NotPacked> {
        let generation = self.policies.generation();
        let start = Instant::now();
        let mut pack = || match content {
            Content::Raw(raw) => pack(&raw.blob, policy, &self.codecs, &self.budget, goes_on),
            Content::Packed(packed) => self.repack(packed, policy, goes_on),
            Content::Same(_) | Content::Spilled(_) => Err(NotPacked::Stopped),
        };
        let mut answer = pack();
        if let Err(NotPacked::NoRoom) = answer {
            self.codecs.rest();
            answer = pack();
        }
        match answer {
            Ok(packed) => {
                let packed = Arc::new(packed);
                let new = Content::Packed(Arc::clone(&packed));
                self.replace(candidate, content, new, Some(start.elapsed()))
                    .then_some(packed)
                    .ok_or(NotPacked::Stopped)
            }
            Err(e) => {
                let reason = match &e {
                    NotPacked::SavesTooLittle => Some(reason),
                    NotPacked::Failed(why) => Some(Skipped::Failed(why.to_string().into())),
                    NotPacked::NoRoom | NotPacked::Stopped => None,
                };
                if let Some(reason) = reason {
                    let mark = Some(Mark { reason, generation });
                    self.table.change(&candidate.id, candidate.version, |entry| entry.mark = mark);
                    self.changes.fetch_add(1, Ordering::Relaxed);
                }
                Err(e)
            }
        }
    }

    /// Compresses anew what was compressed; only what is smaller for it counts.
    fn repack(
        &self,
        old: &Packed,
        policy: &Policy,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Packed, NotPacked> {
        // The original is there for as long as that takes.
        let bytes = Blob::held_by(old.len);
        let grant = self.budget.take(bytes, For::Work).ok_or(NotPacked::NoRoom)?;
        let mut original = Vec::new();
        old.unpack(&mut original).map_err(NotPacked::Failed)?;
        let saved = policy.min_savings.max(1.0 - old.left() * (1.0 - policy.min_savings));
        let policy = Policy { min_savings: saved, ..policy.clone() };
        let packed = pack(&original, &policy, &self.codecs, &self.budget, goes_on);
        drop((original, grant));
        packed
    }

    /// Puts `new` in the place of `old`, unless that is no longer what is there.
    fn replace(&self, candidate: &Candidate, old: &Content, new: Content, took: Option<Duration>) -> bool {
        let replaced = self.table.change(&candidate.id, candidate.version, |entry| {
            if !entry.content.is_same(old) {
                return None;
            }
            if let Some(took) = took {
                Counts::add(&entry.kind.counts.compressions, 1);
                Counts::add_time(&entry.kind.counts.compress_ns, took);
                entry.mark = None;
            }
            // What it was is dropped outside of the lock.
            Some(std::mem::replace(&mut entry.content, new))
        });
        self.changes.fetch_add(1, Ordering::Relaxed);
        replaced.flatten().is_some()
    }

    fn spill(
        &self,
        candidate: &Candidate,
        content: &Content,
        len: usize,
        policy: &Policy,
        is_incompressible: bool,
    ) {
        let as_is = || Policy {
            algorithm: algorithm::STORE.into(),
            level: None,
            hardware: None,
            implementation: None,
            ..policy.clone()
        };
        let written = if is_incompressible {
            self.to_file(content, len, &as_is())
        } else {
            self.to_file(content, len, policy)
        };
        match written {
            Ok(spilled) => _ = self.replace(candidate, content, spilled, None),
            Err(None) => {}
            Err(Some(e)) => self.mark_failed(candidate, &format!("to spill: {e}")),
        }
    }

    /// Notes that nothing more is to be tried with a resource.
    pub(super) fn mark_failed(&self, candidate: &Candidate, why: &str) {
        let mark = Mark { reason: Skipped::Failed(why.into()), generation: self.policies.generation() };
        self.table.change(&candidate.id, candidate.version, |entry| entry.mark = Some(mark));
    }

    /// A new resource's content, in memory however that can be, or in a file.
    ///
    /// # Errors
    /// There is no room; with what kept it from a file, where that was tried.
    pub(super) fn place(&self, blob: Blob, policy: &Policy) -> Result<Content, Option<crate::Error>> {
        let held = blob.held_bytes();
        if let Some(grant) = self.room_by(held, Tier::Compress) {
            return Ok(Content::Raw(raw(blob, grant)));
        }
        if let Ok(packed) = pack(&blob, policy, &self.codecs, &self.budget, &mut || true)
            && (self.budget.has_room(0, For::Keeping) || self.make_room(0, Tier::Spill))
        {
            return Ok(Content::Packed(Arc::new(packed)));
        }
        if let Some(grant) = self.room_for(held) {
            return Ok(Content::Raw(raw(blob, grant)));
        }
        // Larger than the budget: never in memory but as the caller's.
        let nothing = self.budget.take(0, For::Work).ok_or(None)?;
        let len = blob.len();
        self.to_file(&Content::Raw(raw(blob, nothing)), len, policy)
    }

    /// Writes `content` of `len` bytes to a file.
    fn to_file(
        &self,
        content: &Content,
        len: usize,
        policy: &Policy,
    ) -> Result<Content, Option<crate::Error>> {
        let dir = self.spill.as_ref().ok_or(None)?;
        // The pipeline's buffers are a few chunks.
        let chunk_bytes = policy.chunk_bytes.min(len as u64).clamp(1, self.budget.most_chunk_bytes());
        let policy = Policy { chunk_bytes, ..policy.clone() };
        let _work = self.budget.take(5 * chunk_bytes, For::Work).ok_or(None)?;
        let spilled = dir.write(content, len, &policy, &self.codecs)?;
        Ok(Content::Spilled(Arc::new(spilled)))
    }

    /// Compresses the resource `id` now, as `policy` says, for whoever asked for that.
    pub(super) fn compress_now(&self, id: &[u8], policy: &Policy) -> Result<Option<Compressed>> {
        let shard = self.table.read(id);
        let Some(entry) = shard.entries.get(id) else { return Ok(None) };
        let candidate = Candidate { id: id.into(), version: entry.version };
        let (content, raw_bytes, held_bytes) = (entry.content.clone(), entry.len as u64, entry.held_bytes());
        drop(shard);
        let done = Compressed { resources: 1, raw_bytes, held_bytes, skipped: 0 };
        match &content {
            Content::Packed(packed) if plan::is_same_way(&packed.policy, policy) => return Ok(Some(done)),
            Content::Same(_) | Content::Spilled(_) => return Ok(Some(done)),
            _ => {}
        }
        // Its decompressed copies are not what was asked for, either.
        while !self.budget.has_room(raw_bytes / 2, For::Work) && self.step(Tier::Copies) {}
        match self.compress(&candidate, &content, policy, Skipped::Incompressible, &mut || true) {
            Ok(packed) => Ok(Some(Compressed { held_bytes: packed.held_bytes(), ..done })),
            Err(NotPacked::SavesTooLittle) => {
                Ok(Some(Compressed { resources: 0, raw_bytes: 0, held_bytes: 0, skipped: 1 }))
            }
            Err(e) => Err(crate::Error::from(e).of_resource(name(id))),
        }
    }
}

impl Content {
    /// Whether it is the very same.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Raw(a), Self::Raw(b)) => Arc::ptr_eq(&a.grant, &b.grant),
            (Self::Packed(a), Self::Packed(b)) => Arc::ptr_eq(a, b),
            (Self::Spilled(a), Self::Spilled(b)) => Arc::ptr_eq(a, b),
            (Self::Same(a), Self::Same(b)) => a == b,
            _ => false,
        }
    }
}

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
