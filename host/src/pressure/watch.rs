//! Tells whoever wants to know when the pressure changes.

use super::{Gauge, Pressure, Reading};
use crate::sync::lock;
use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, Weak},
};

type Callback = Arc<dyn Fn(Pressure) + Send + Sync>;

/// A [`Gauge`] with subscribers. `Send + Sync`; share it by reference or `Arc`.
///
/// Subscribers are told in the order in which they came, one after the other, on the thread that brought the reading, and
/// only when the level has changed. No lock is held meanwhile: a subscriber may use the watch, and may be slow. What
/// changes while they are being told is told by the same thread afterwards, and only what it came to in the end.
#[derive(Default)]
pub struct Watch {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    gauge: Gauge,
    /// The level that was told last.
    told: Pressure,
    /// Whether a thread is telling.
    telling: bool,
    subscribers: BTreeMap<u64, Callback>,
    next_id: u64,
}

impl Watch {
    /// At [`Pressure::Low`], without subscribers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The level after the last reading.
    pub fn level(&self) -> Pressure {
        lock(&self.state).gauge.level()
    }

    /// Takes one more reading and tells subscribers if that changed the level; the level after it.
    ///
    /// Returns before they are told where another thread, or a caller up this one's stack, is telling already.
    pub fn observe(&self, reading: &Reading) -> Pressure {
        let mut state = lock(&self.state);
        let level = state.gauge.update(reading);
        let busy = std::mem::replace(&mut state.telling, true);
        drop(state);
        if !busy {
            self.tell();
        }
        level
    }

    /// Calls `callback` with the level whenever it changes, until the subscription is dropped. One that panics is caught and
    /// dropped. It is not called for the level that already is: see [`level`](Self::level).
    pub fn subscribe(&self, callback: impl Fn(Pressure) + Send + Sync + 'static) -> Subscription {
        let mut state = lock(&self.state);
        let id = state.next_id;
        state.next_id += 1;
        state.subscribers.insert(id, Arc::new(callback));
        Subscription { state: Arc::downgrade(&self.state), id }
    }

    /// Tells until all is told. Whoever calls this has set `telling`.
    fn tell(&self) {
        while let Some((level, ids)) = self.news() {
            for id in ids {
                // Asked for one by one: a subscription may have been dropped since.
                let Some(callback) = lock(&self.state).subscribers.get(&id).map(Arc::clone) else { continue };
                if !survives(move || callback(level)) {
                    let failed = lock(&self.state).subscribers.remove(&id);
                    survives(move || drop(failed));
                }
            }
        }
    }

    /// A level that was not told yet, and whom to tell. `None` ends the telling, under the same lock: a reading is either
    /// seen here, or finds that nobody is telling.
    fn news(&self) -> Option<(Pressure, Vec<u64>)> {
        let mut state = lock(&self.state);
        let level = state.gauge.level();
        if level == state.told {
            state.telling = false;
            return None;
        }
        state.told = level;
        Some((level, state.subscribers.keys().copied().collect()))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Watch")
            .field("gauge", &state.gauge)
            .field("subscribers", &state.subscribers.len())
            .finish_non_exhaustive()
    }
}

/// Ends when dropped: no call begins afterwards, but one that has begun on another thread may still be going on.
#[must_use = "a subscription ends when it is dropped"]
pub struct Subscription {
    state: Weak<Mutex<State>>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            // What the callback owns is dropped after the lock: it may hold a subscription itself.
            let callback = lock(&state).subscribers.remove(&self.id);
            drop(callback);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether `run` returns. Subscribers share nothing with the watch, so nothing of it is left half done.
fn survives(run: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => true,
        Err(payload) => {
            // Dropping what it panicked with could panic again, and leave the watch telling for ever.
            std::mem::forget(payload);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Pressure::{Critical, High, Low, Medium};
    use std::{
        sync::{
            OnceLock,
            atomic::{AtomicUsize, Ordering::SeqCst},
            mpsc,
        },
        thread,
    };

    fn percent(used_bytes: u64) -> Reading {
        Reading { used_bytes, limit_bytes: 100, stalled_percent: None, source: "test" }
    }

    /// A callback that notes what it is told.
    fn noting() -> (Arc<Mutex<Vec<Pressure>>>, impl Fn(Pressure) + Send + Sync + 'static) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        (told, move |level| lock(&notes).push(level))
    }

    #[test]
    fn only_changes_are_told() {
        let watch = Watch::new();
        let (told, note) = noting();
        let _subscription = watch.subscribe(note);
        for used in [10, 20, 71, 75, 99, 99, 10, 10, 10, 10] {
            watch.observe(&percent(used));
        }
        assert_eq!(*lock(&told), [Medium, Critical, Low]);
        assert_eq!(watch.level(), Low);
    }

    #[test]
    fn a_dropped_subscription_hears_nothing_and_others_do() {
        let watch = Watch::new();
        let ((gone, note_gone), (told, note)) = (noting(), noting());
        let subscription = watch.subscribe(note_gone);
        let _other = watch.subscribe(note);
        watch.observe(&percent(71));
        drop(subscription);
        assert_eq!(watch.observe(&percent(99)), Critical);
        assert_eq!((lock(&gone).len(), lock(&told).len()), (1, 2));
        assert_eq!(Arc::strong_count(&gone), 1, "the callback is gone, too");
    }

    #[test]
    fn a_subscription_may_outlive_the_watch() {
        let watch = Watch::new();
        let subscription = watch.subscribe(|_| ());
        drop(watch);
        drop(subscription);
    }

    #[test]
    fn one_that_panics_is_dropped_and_the_rest_goes_on() {
        let watch = Watch::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let _bad = watch.subscribe(move |_| {
            counted.fetch_add(1, SeqCst);
            // As `panic!`, without the message in the test's output.
            std::panic::resume_unwind(Box::new("of a test"));
        });
        let (told, note) = noting();
        let _good = watch.subscribe(note);
        watch.observe(&percent(71));
        watch.observe(&percent(86));
        assert_eq!(*lock(&told), [Medium, High]);
        assert_eq!((calls.load(SeqCst), Arc::strong_count(&calls)), (1, 1));
    }

    #[test]
    fn a_subscriber_may_use_the_watch() {
        let watch = Arc::new(Watch::new());
        let own: Arc<OnceLock<Subscription>> = Arc::default();
        let (told, note) = noting();
        let (inner, kept) = (Arc::downgrade(&watch), Arc::clone(&own));
        let _first = watch.subscribe(move |level| {
            let watch = inner.upgrade().expect("a watch that tells exists");
            assert_eq!(watch.level(), level);
            let (_, another) = noting();
            kept.get_or_init(|| watch.subscribe(another));
            watch.observe(&percent(99));
        });
        let _second = watch.subscribe(note);
        watch.observe(&percent(71));
        assert_eq!(*lock(&told), [Medium, Critical], "each in turn");
        assert!(own.get().is_some());
    }

    #[test]
    fn the_last_change_is_told_last_whatever_threads_bring_readings() {
        let watch = Arc::new(Watch::new());
        let (told, note) = noting();
        let _subscription = watch.subscribe(note);
        let bring = |start: u64| {
            let watch = Arc::clone(&watch);
            thread::spawn(move || {
                for i in 0..2000 {
                    watch.observe(&percent((start + i * 7) % 100));
                }
            })
        };
        let threads: Vec<_> = (0..4).map(|t| bring(t * 13)).collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        let told = lock(&told);
        assert_eq!(told.last(), Some(&watch.level()));
        assert!(told.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_slow_subscriber_holds_no_other_thread_up() {
        let watch = Arc::new(Watch::new());
        let (entered, in_callback) = mpsc::channel();
        let (release, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let _subscription = watch.subscribe(move |level| {
            entered.send(level).expect("the test listens");
            lock(&wait).recv().expect("the test releases");
        });
        let other = Arc::clone(&watch);
        let slow = thread::spawn(move || other.observe(&percent(71)));
        assert_eq!(in_callback.recv(), Ok(Medium));
        assert_eq!(watch.observe(&percent(99)), Critical, "returns at once");
        release.send(()).expect("waits");
        assert_eq!(in_callback.recv(), Ok(Critical), "told by the first thread");
        release.send(()).expect("waits");
        assert_eq!(slow.join().expect("no panic"), Medium);
    }
}
