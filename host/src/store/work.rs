//! Gives resources another form: compressed, compressed harder, in a file. Whatever it takes, the bytes stay where they are until the new form is
//! there and proven, and only if they are still the same.

use super::{
    Blob, Compressed,
    budget::For,
    inner::{Inner, name, raw},
    packed::{NotPacked, Packed, pack},
    plan,
    room::{Candidate, Tier},
    stats::Counts,
    table::{Content, Mark, Skipped},
};
use crate::{Error, Result, algorithm, container::group_memory_bytes, policy::Policy, sync::lock};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Nothing is written to files for so long after that has failed.
const SPILL_PAUSE: Duration = Duration::from_secs(5);
/// Chunks that a pipeline with one worker has at a time, in all their forms.
const PIPELINE_CHUNKS: u64 = 12;

/// What is to be done to a resource.
struct Job<'a> {
    candidate: &'a Candidate,
    /// What it is now.
    content: Content,
    policy: Policy,
    /// Of the policies that `policy` is of, where it is its own.
    generation: Option<u64>,
}

impl Inner {
    /// Does what `tier` says to a candidate, for as long as `goes_on`; whether that changed anything about it.
    pub(super) fn relieve(
        &self,
        candidate: &Candidate,
        tier: Tier,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> bool {
        let _flight = self.flights.begin();
        let shard = self.table.read(&candidate.id);
        let entry = shard.entries.get(&candidate.id).filter(|e| e.version == candidate.version);
        let Some(entry) = entry else { return false };
        let (content, kind, len) = (entry.content.clone(), Arc::clone(&entry.kind), entry.len);
        let mark = entry.mark.clone();
        drop(shard);
        let generation = self.policies.generation();
        let policies = self.policies.current();
        let policy = policies.get(&kind.name);
        let job = |policy: Policy| Job {
            candidate,
            content: content.clone(),
            policy,
            generation: Some(generation),
        };
        match tier {
            Tier::Compress => {
                let policy = plan::under(policy, self.watch.level());
                is_changed(&self.compress(&job(policy), Skipped::Incompressible, goes_on))
            }
            Tier::Harder => plan::stronger(policy)
                .is_some_and(|policy| is_changed(&self.compress(&job(policy), Skipped::Exhausted, goes_on))),
            Tier::Spill => {
                let is_incompressible = mark.is_some_and(|m| {
                    m.generation == generation
                        && matches!(m.reason, Skipped::Incompressible | Skipped::Exhausted)
                });
                self.spill(candidate, &content, len, policy, is_incompressible)
            }
            Tier::Copies | Tier::Idle => false,
        }
    }

    /// Compresses a resource. One that cannot be is marked, if the policy is its own, with `reason` where it is too large.
    fn compress(
        &self,
        job: &Job<'_>,
        reason: Skipped,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Arc<Packed>, NotPacked> {
        let start = Instant::now();
        let free_bytes = self.budget.free();
        let mut pack = || match &job.content {
            Content::Raw(raw) => pack(&raw.blob, &job.policy, &self.codecs, goes_on),
            Content::Packed(packed) => self.repack(packed, &job.policy, goes_on),
            Content::Same(_) | Content::Spilled(_) => Err(NotPacked::Stopped),
        };
        let mut answer = pack();
        if let Err(NotPacked::NoRoom) = answer
            && self.codecs.rest() > 0
        {
            answer = pack();
        }
        match answer {
            Ok(packed) => {
                let packed = Arc::new(packed);
                let new = Content::Packed(Arc::clone(&packed));
                let is_new = self.replace(job.candidate, &job.content, new, Some(start.elapsed()));
                is_new.then_some(packed).ok_or(NotPacked::Stopped)
            }
            Err(e) => {
                let reason = match &e {
                    NotPacked::SavesTooLittle => Some(reason),
                    NotPacked::Failed(why) => Some(Skipped::Failed(why.to_string().into())),
                    NotPacked::NoRoom => Some(Skipped::NoRoom { free_bytes }),
                    NotPacked::Stopped => None,
                };
                if let (Some(reason), Some(generation)) = (reason, job.generation) {
                    self.mark(job.candidate, &job.content, Mark { reason, generation });
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
        let grant = self.budget.take(Blob::held_by(old.len), For::Work).ok_or(NotPacked::NoRoom)?;
        let mut original = Vec::new();
        old.unpack(&mut original).map_err(NotPacked::Failed)?;
        let saved = policy.min_savings.max(1.0 - old.left() * (1.0 - policy.min_savings));
        let policy = Policy { min_savings: saved, ..policy.clone() };
        let packed = pack(&original, &policy, &self.codecs, goes_on);
        drop((original, grant));
        packed
    }

    /// Puts `new` in the place of `old`, unless that is no longer what is there.
    fn replace(&self, candidate: &Candidate, old: &Content, new: Content, took: Option<Duration>) -> bool {
        // Whichever is given up is dropped outside of the lock: it may be a file, or large.
        let mut content = new;
        let replaced = self.table.change(&candidate.id, candidate.version, |entry| {
            if !entry.content.is_same(old) {
                return None;
            }
            if let Some(took) = took {
                Counts::add(&entry.kind.counts.compressions, 1);
                Counts::add_time(&entry.kind.counts.compress_ns, took);
                entry.mark = None;
            }
            std::mem::swap(&mut entry.content, &mut content);
            Some(self.chances(&candidate.id, entry))
        });
        drop(content);
        self.retry_short_of_room();
        let replaced = replaced.flatten();
        let is_replaced = replaced.is_some();
        self.offer(replaced.unwrap_or_default());
        is_replaced
    }

    /// Notes why a resource stays as it is, unless it is no longer what was tried.
    fn mark(&self, candidate: &Candidate, tried: &Content, mark: Mark) {
        if matches!(mark.reason, Skipped::NoRoom { .. }) {
            self.is_short_of_room.store(true, Ordering::Relaxed);
        }
        let chances = self.table.change(&candidate.id, candidate.version, |entry| {
            if entry.content.is_same(tried) {
                entry.mark = Some(mark);
            }
            // What is incompressible one way may not be another.
            self.chances(&candidate.id, entry)
        });
        self.offer(chances.unwrap_or_default());
    }

    /// Lists anew what there was no room for, now that there may be some.
    pub(super) fn retry_short_of_room(&self) {
        if self.is_short_of_room.load(Ordering::Relaxed)
            && self.is_short_of_room.swap(false, Ordering::Relaxed)
        {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a resource's codec did what codecs must not.
    pub(super) fn mark_failed(&self, candidate: &Candidate, why: &str) {
        let mark = Mark { reason: Skipped::Failed(why.into()), generation: self.policies.generation() };
        self.table.change(&candidate.id, candidate.version, |entry| entry.mark = Some(mark));
    }

    /// Whether there is a folder for files, and nothing has failed there lately.
    pub(super) fn may_spill(&self) -> bool {
        let failed = lock(&self.spill_failure);
        self.spill.is_some() && failed.as_ref().is_none_or(|(at, _)| at.elapsed() > SPILL_PAUSE)
    }

    fn spill(
        &self,
        candidate: &Candidate,
        content: &Content,
        len: usize,
        policy: &Policy,
        is_incompressible: bool,
    ) -> bool {
        let as_is = || Policy {
            algorithm: algorithm::STORE.into(),
            level: None,
            hardware: None,
            implementation: None,
            ..policy.clone()
        };
        let written = match content {
            // Where there is no such plugin, its own policy does.
            Content::Raw(_) if is_incompressible => {
                self.to_file(content, len, &as_is()).or_else(|_| self.to_file(content, len, policy))
            }
            // What it was chosen by is its content, which need not be looked at again.
            Content::Packed(packed) => {
                let parity_percent = policy.parity_percent;
                self.to_file(content, len, &Policy { parity_percent, ..packed.policy.clone() })
            }
            _ => self.to_file(content, len, policy),
        };
        match written {
            Ok(spilled) => self.replace(candidate, content, spilled, None),
            Err(None) => false,
            Err(Some(e)) => {
                *lock(&self.spill_failure) = Some((Instant::now(), e.to_string()));
                false
            }
        }
    }

    /// Writes `content` of `len` bytes to a file.
    ///
    /// # Errors
    /// What kept it from that; nothing where there is no folder, or no room to work in.
    fn to_file(&self, content: &Content, len: usize, policy: &Policy) -> Result<Content, Option<Error>> {
        let dir = self.spill.as_ref().ok_or(None)?;
        // Sizes in steps: each has a codec of its own.
        let most = (self.budget.most_chunk_bytes() / 2).min(policy.chunk_bytes);
        let chunk_bytes = (len as u64).next_power_of_two().clamp(1, most);
        let policy = Policy { chunk_bytes, ..policy.clone() };
        let percent = policy.parity_percent;
        // A group is no larger than what is in it.
        let grouped = len as u64 * (100 + u64::from(percent)) / 100 + (256 << 10);
        let parity = if percent == 0 { 0 } else { group_memory_bytes(percent).min(grouped) };
        let work = PIPELINE_CHUNKS * chunk_bytes + parity;
        let grant = self.budget.take(work, For::Work).or_else(|| {
            self.codecs.rest();
            self.budget.take(work, For::Work)
        });
        let _grant = grant.ok_or(None)?;
        let spilled = match dir.write(content, len, &policy, &self.codecs) {
            Err(NotPacked::Failed(e)) => return Err(Some(e)),
            Err(_) => return Err(None),
            Ok(spilled) => spilled,
        };
        Ok(Content::Spilled(Arc::new(spilled)))
    }

    /// A new resource's content, in memory however that can be, or in a file.
    ///
    /// # Errors
    /// There is no room; with what kept it from a file, where that was tried.
    pub(super) fn place(&self, blob: Blob, policy: &Policy) -> Result<Content, Option<Error>> {
        let held = blob.held_bytes();
        if let Some(grant) = self.room_by(held, Tier::Compress) {
            return Ok(Content::Raw(raw(blob, grant)));
        }
        if policy.auto_compress
            && let Ok(packed) = pack(&blob, policy, &self.codecs, &mut || true)
            && (self.budget.has_room(0, For::Keeping) || self.make_room(0, Tier::Spill))
        {
            return Ok(Content::Packed(Arc::new(packed)));
        }
        if let Some(grant) = self.room_for(held) {
            return Ok(Content::Raw(raw(blob, grant)));
        }
        // Larger than the budget: never in memory but as the caller's.
        let len = blob.len();
        self.to_file(&Content::Raw(raw(blob, self.budget.nothing())), len, policy)
    }

    /// Compresses the resource `id` now, by the policy of `resource_type`, for whoever asked for that.
    pub(super) fn compress_now(&self, id: &[u8], resource_type: &str) -> Result<Option<Compressed>> {
        let generation = self.policies.generation();
        let policies = self.policies.current();
        let policy = policies.get(resource_type);
        let shard = self.table.read(id);
        let Some(entry) = shard.entries.get(id) else { return Ok(None) };
        let candidate = Candidate { id: id.into(), version: entry.version, used_ms: entry.used_ms() };
        let (content, raw_bytes, held_bytes) = (entry.content.clone(), entry.len as u64, entry.held_bytes());
        let is_own = policies.get(&entry.kind.name) == policy;
        drop(shard);
        let done = Compressed { resources: 1, raw_bytes, held_bytes, skipped: 0 };
        match &content {
            Content::Packed(packed) if plan::is_same_way(&packed.policy, policy) => return Ok(Some(done)),
            Content::Same(_) | Content::Spilled(_) => return Ok(Some(done)),
            _ => {}
        }
        // Decompressed copies are not what was asked for.
        while !self.budget.has_room(raw_bytes / 2, For::Work) && self.step(Tier::Copies) {}
        let _flight = self.flights.begin();
        let job = Job {
            candidate: &candidate,
            content,
            policy: policy.clone(),
            generation: is_own.then_some(generation),
        };
        match self.compress(&job, Skipped::Incompressible, &mut || true) {
            Ok(packed) => Ok(Some(Compressed { held_bytes: packed.held_bytes(), ..done })),
            Err(NotPacked::SavesTooLittle) => {
                Ok(Some(Compressed { resources: 0, raw_bytes: 0, held_bytes: 0, skipped: 1 }))
            }
            Err(e) => Err(Error::from(e).of_resource(name(id))),
        }
    }
}

/// Whether something about a resource is other than before it was compressed, if only that it need not be tried again.
fn is_changed(compressed: &Result<Arc<Packed>, NotPacked>) -> bool {
    !matches!(compressed, Err(NotPacked::NoRoom | NotPacked::Stopped))
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
