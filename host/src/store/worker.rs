//! The background thread: compresses what its policy says and nobody asks for, at the lowest priority and within a share of one processor.

use super::{
    inner::Inner,
    plan::patience,
    room::{Candidate, Tier},
    table::{Content, Entry},
};
use crate::{Error, Result, benchmark::clock::Clock, policy::Policy, pressure::Pressure, sync::lock};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Between two looks at what there is to do, at least and at most.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(1);
/// Between two looks at the system's memory, and at the policy files.
const OBSERVE: Duration = Duration::from_millis(500);
/// While it rests.
const LOOK: Duration = Duration::from_millis(20);
const RELOAD: Duration = Duration::from_secs(1);
/// Lowest there is (nice(2)).
const NICE: i32 = 19;

/// The thread.
#[derive(Debug)]
pub(super) struct Worker {
    signal: Arc<Signal>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    news: bool,
}

impl Signal {
    /// Waits until something is new, `time` is over, or the thread is to end; whether it is not.
    fn wait(&self, time: Duration, for_news: bool) -> bool {
        let is_over = |state: &mut State| !(state.stop || for_news && state.news);
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, time, is_over);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.news = state.news && !for_news;
        !state.stop
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }
}

impl Worker {
    pub(super) fn start(inner: &Arc<Inner>, cpu_share: f64) -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let mut round = Round {
            inner: Arc::clone(inner),
            signal: Arc::clone(&signal),
            pace: Pace { share: cpu_share, since: 0 },
            observed: None,
            reloaded: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("clipsmaster-store".into())
            .spawn(move || round.run())
            .map_err(Error::io("start", "the store's thread"))?;
        Ok(Self { signal, thread })
    }

    /// Says that there may be something to do.
    pub(super) fn notify(&self) {
        let is_known = lock(&self.signal.state).news;
        if !is_known {
            self.signal.set(|state| state.news = true);
        }
    }

    /// Ends it, after the chunk it is at.
    pub(super) fn stop(self) {
        self.signal.set(|state| state.stop = true);
        // Where it is itself who drops the store, in what it calls, it ends when it comes back from there.
        if thread::current().id() != self.thread.thread().id() {
            // It catches what it calls; there is nothing to tell.
            let _ = self.thread.join();
        }
    }
}

/// Rests so long after work that it is a share of the time.
#[derive(Debug)]
struct Pace {
    share: f64,
    /// Processor time up to which there has been rest, in nanoseconds.
    since: u64,
}

impl Pace {
    /// How long to rest now.
    fn rest(&mut self, now_ns: u64) -> Duration {
        let worked = now_ns.saturating_sub(self.since);
        self.since = now_ns;
        Duration::from_nanos((worked as f64 * (1.0 - self.share) / self.share) as u64)
    }
}

struct Round {
    inner: Arc<Inner>,
    signal: Arc<Signal>,
    pace: Pace,
    observed: Option<Instant>,
    reloaded: Instant,
}

impl Round {
    fn run(&mut self) {
        // For this thread alone, as Linux has it; where it is not allowed the share still holds.
        let _ = rustix::process::nice(NICE);
        self.pace.since = thread_ns();
        while self.breathe() {
            let pressure = self.inner.watch.level();
            let has_worked = self.work(pressure);
            if !has_worked {
                self.inner.codecs.rest();
            }
            let pause = if has_worked { SOON } else { (self.inner.idle / 4).clamp(SOON, LATE) };
            // Of a burst of inserts only the first is news.
            if !self.signal.wait(SOON, false) || !self.signal.wait(pause, true) {
                return;
            }
        }
    }

    /// Compresses what is due; whether there was anything.
    fn work(&mut self, pressure: Pressure) -> bool {
        let tiers: &[Tier] =
            if pressure >= Pressure::High { &[Tier::Compress, Tier::Harder] } else { &[Tier::Compress] };
        let idle = patience(self.inner.idle, pressure);
        for tier in tiers {
            let is_due = |entry: &Entry, policy: &Policy| match tier {
                Tier::Compress => entry.len as u64 >= policy.threshold_bytes && !entry.is_in_use(),
                _ => true,
            };
            let mut due = self.inner.candidates(*tier, idle, is_due);
            let mut has_worked = false;
            while let Some(candidate) = due.pop() {
                if !self.breathe() {
                    return true;
                }
                has_worked |= self.relieve(&candidate, *tier);
                if self.inner.watch.level() != pressure {
                    return true;
                }
            }
            if has_worked {
                return true;
            }
        }
        false
    }

    fn relieve(&mut self, candidate: &Candidate, tier: Tier) -> bool {
        let inner = Arc::clone(&self.inner);
        if !is_due(&inner, candidate) {
            return false;
        }
        let mut goes_on = || self.breathe() && is_there(&inner, candidate);
        // Plugins' panics are errors already; whatever else panics leaves the bytes where they are, and the thread alive.
        let survived = catch_unwind(AssertUnwindSafe(|| inner.relieve(candidate, tier, &mut goes_on)));
        survived.unwrap_or_else(|_| {
            inner.mark_failed(candidate, "it panicked");
            true
        })
    }

    /// Rests as its share of the processor asks, looking about meanwhile; whether to go on. Who waits for its work is not kept waiting.
    fn breathe(&mut self) -> bool {
        let now = thread_ns();
        self.inner.worker_ns.store(now, Ordering::Relaxed);
        let mut rest = self.pace.rest(now);
        loop {
            let slice = if self.inner.flights.are_urgent() { Duration::ZERO } else { rest.min(LOOK) };
            if !self.signal.wait(slice, false) {
                return false;
            }
            self.observe();
            rest = rest.saturating_sub(slice);
            if rest.is_zero() || slice.is_zero() {
                return true;
            }
        }
    }

    fn observe(&mut self) {
        if self.reloaded.elapsed() >= RELOAD {
            self.reloaded = Instant::now();
            // An invalid file changes nothing; whoever wrote it asks `policy verify`.
            let _ = self.inner.policies.reload_if_changed();
        }
        if self.observed.is_none_or(|at| at.elapsed() >= OBSERVE) {
            self.observed = Some(Instant::now());
            self.inner.observe();
        }
    }
}

/// Whether nobody has asked for a candidate since it was chosen.
fn is_due(inner: &Inner, candidate: &Candidate) -> bool {
    let shard = inner.table.read(&candidate.id);
    let entry = shard.entries.get(&candidate.id);
    entry
        .is_some_and(|e| e.version == candidate.version && e.used_ms() <= candidate.used_ms && !e.is_in_use())
}

/// Whether a candidate still is what it was chosen for.
fn is_there(inner: &Inner, candidate: &Candidate) -> bool {
    let shard = inner.table.read(&candidate.id);
    let entry = shard.entries.get(&candidate.id);
    entry.is_some_and(|e| {
        e.version == candidate.version && matches!(e.content, Content::Raw(_) | Content::Packed(_))
    })
}

/// Processor time of this thread, in nanoseconds.
fn thread_ns() -> u64 {
    (Clock::Thread.now() * 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_what_leaves_the_share() {
        let mut pace = Pace { share: 0.25, since: 1_000 };
        assert_eq!(pace.rest(11_000), Duration::from_nanos(30_000));
        assert_eq!(pace.rest(11_000), Duration::ZERO);
        let mut all = Pace { share: 1.0, since: 0 };
        assert_eq!(all.rest(1_000_000), Duration::ZERO);
    }
}
