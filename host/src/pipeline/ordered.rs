//! The engine under every job: one thread fills items, workers transform them, the caller's thread takes them in order.
//!
//! Items go round with their buffers, so memory is bounded by their number and nothing is allocated per item. Errors
//! keep their place in the order: all that came before one has been taken when it ends the job.

use super::{Event, OnEvent};
use crate::{Error, Result, sync::lock};
use clipsmaster_plugin_api as api;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// How often somebody looks whether a worker hangs.
const LOOK: Duration = Duration::from_secs(1);

/// How many work, on how many items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes {
    /// Worker threads; with 0 everything happens on the caller's thread, with one item.
    pub workers: usize,
    /// Items at most, whatever they wait for. At least `workers` + 2 keep all busy.
    pub items: usize,
    /// Time that work on one item may take before it is reported as [`Event::Stalled`].
    pub patience: Duration,
}

/// Takes items through `fill` (whether there is one more), `work` and `take`, in order. `who` names what works, for reports of
/// work that does not end.
///
/// # Errors
/// The first in order of any of the three.
pub(crate) fn ordered<T: Default + Send>(
    lanes: Lanes,
    mut fill: impl FnMut(&mut T) -> Result<bool> + Send,
    work: impl Fn(&mut T) -> Result<()> + Sync,
    mut take: impl FnMut(&mut T) -> Result<()>,
    who: &dyn Fn() -> String,
    on_event: OnEvent<'_>,
) -> Result<()> {
    if lanes.workers == 0 {
        let mut item = T::default();
        while fill(&mut item)? {
            work(&mut item)?;
            take(&mut item)?;
        }
        return Ok(());
    }
    let (free_sender, free) = mpsc::channel();
    let (full_sender, full) = mpsc::channel();
    let (done_sender, done) = mpsc::channel();
    for _ in 0..lanes.items.max(1) {
        let _ = free_sender.send(T::default());
    }
    let full = Mutex::new(full);
    let stop = AtomicBool::new(false);
    let busy: Vec<Busy> = (0..lanes.workers).map(|_| Busy::default()).collect();
    thread::scope(|scope| {
        let (stop, full, work) = (&stop, &full, &work);
        let from_reader = done_sender.clone();
        scope.spawn(move || {
            let mut sequence = 0;
            let filled = catch_unwind(AssertUnwindSafe(|| {
                fill_all(&mut fill, &free, &full_sender, stop, &mut sequence)
            }));
            if let Err(e) = filled.unwrap_or_else(|_| Err(panicked("reading"))) {
                let _ = from_reader.send((sequence, Err(e)));
            }
        });
        for busy in &busy {
            let done = done_sender.clone();
            scope.spawn(move || serve(work, full, &done, busy));
        }
        drop(done_sender);
        let look = || report_stalled(&busy, lanes.patience, who, on_event);
        let answer = take_in_order(&done, &free_sender, &mut take, &look);
        stop.store(true, Ordering::Relaxed);
        // Wakes a reader that waits for a free item, and so the workers that wait for a full one.
        drop(free_sender);
        drop(done);
        answer
    })
}

type Done<T> = (u64, Result<T>);

fn fill_all<T>(
    fill: &mut impl FnMut(&mut T) -> Result<bool>,
    free: &Receiver<T>,
    full: &Sender<(u64, T)>,
    stop: &AtomicBool,
    sequence: &mut u64,
) -> Result<()> {
    while let Ok(mut item) = free.recv() {
        if stop.load(Ordering::Relaxed) || !fill(&mut item)? || full.send((*sequence, item)).is_err() {
            break;
        }
        *sequence += 1;
    }
    Ok(())
}

fn serve<T>(
    work: &impl Fn(&mut T) -> Result<()>,
    full: &Mutex<Receiver<(u64, T)>>,
    done: &Sender<Done<T>>,
    busy: &Busy,
) {
    loop {
        let next = lock(full).recv();
        let Ok((sequence, mut item)) = next else { return };
        busy.begin();
        // An item that is lost would leave the others waiting for it.
        let answer = catch_unwind(AssertUnwindSafe(|| work(&mut item)));
        busy.end();
        let answer = answer.unwrap_or_else(|_| Err(panicked("a worker"))).map(|()| item);
        if done.send((sequence, answer)).is_err() {
            return;
        }
    }
}

fn panicked(who: &str) -> Error {
    let source = api::Error::internal("panicked");
    Error::Codec { implementation: who.into(), source }
}

fn take_in_order<T>(
    done: &Receiver<Done<T>>,
    free: &Sender<T>,
    take: &mut impl FnMut(&mut T) -> Result<()>,
    look: &dyn Fn(),
) -> Result<()> {
    let mut early: BTreeMap<u64, Result<T>> = BTreeMap::new();
    let mut next = 0;
    loop {
        match done.recv_timeout(LOOK) {
            Ok((sequence, item)) => drop(early.insert(sequence, item)),
            Err(RecvTimeoutError::Timeout) => look(),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        while let Some(item) = early.remove(&next) {
            let mut item = item?;
            take(&mut item)?;
            next += 1;
            // A reader that is done takes no more items.
            let _ = free.send(item);
        }
    }
}

/// Since when a worker has been at its item, and whether that was reported.
#[derive(Default)]
struct Busy(Mutex<Option<(Instant, bool)>>);

impl Busy {
    fn begin(&self) {
        *lock(&self.0) = Some((Instant::now(), false));
    }

    fn end(&self) {
        *lock(&self.0) = None;
    }
}

fn report_stalled(busy: &[Busy], patience: Duration, who: &dyn Fn() -> String, on_event: OnEvent<'_>) {
    for worker in busy {
        let mut since = lock(&worker.0);
        if let Some((start, reported @ false)) = since.as_mut()
            && start.elapsed() > patience
        {
            *reported = true;
            on_event(Event::Stalled { implementation: who(), seconds: start.elapsed().as_secs() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    const LANES: Lanes = Lanes { workers: 3, items: 5, patience: Duration::from_secs(60) };

    fn numbers(lanes: Lanes, count: u64, fails: impl Fn(u64) -> bool + Sync) -> (Result<()>, Vec<u64>) {
        let (mut next, mut taken) = (0, Vec::new());
        let fill = |item: &mut u64| {
            *item = next;
            next += 1;
            Ok(*item < count)
        };
        let work = |item: &mut u64| {
            thread::sleep(Duration::from_micros(*item * 7919 % 300));
            if fails(*item) { Err(Error::Usage(format!("item {item}"))) } else { Ok(()) }
        };
        let take = |item: &mut u64| {
            taken.push(*item);
            Ok(())
        };
        let answer = ordered(lanes, fill, work, take, &String::new, &|_| {});
        (answer, taken)
    }

    #[test]
    fn items_come_in_order_with_any_number_of_workers() {
        for workers in [0, 1, 3] {
            let (answer, taken) = numbers(Lanes { workers, ..LANES }, 200, |_| false);
            assert!(answer.is_ok());
            assert_eq!(taken, (0..200).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_comes_after_all_that_precedes_it() {
        let (answer, taken) = numbers(LANES, 200, |n| n == 100 || n == 101);
        assert_eq!(answer.expect_err("item 100 fails").to_string(), "item 100");
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_of_a_worker_is_an_error() {
        let (answer, taken) = numbers(LANES, 50, |n| if n == 20 { panic!("on purpose") } else { false });
        assert!(answer.is_err());
        assert_eq!(taken.len(), 20);
    }

    #[test]
    fn a_taker_that_fails_ends_an_endless_source() {
        let (filled, mut taken) = (AtomicU64::new(0), 0);
        let fill = |_: &mut u64| {
            filled.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        };
        let take = |_: &mut u64| {
            taken += 1;
            if taken < 10 { Ok(()) } else { Err(Error::Usage("enough".into())) }
        };
        assert!(ordered(LANES, fill, |_| Ok(()), take, &String::new, &|_| {}).is_err());
        assert!(filled.load(Ordering::Relaxed) < 10 + 2 * LANES.items as u64);
    }

    #[test]
    fn work_that_does_not_end_is_reported_once() {
        let lanes = Lanes { patience: Duration::from_millis(500), ..LANES };
        let stalled = Mutex::new(Vec::new());
        let mut first = true;
        let fill = |_: &mut u64| Ok(std::mem::take(&mut first));
        let work = |_: &mut u64| {
            thread::sleep(Duration::from_millis(3500));
            Ok(())
        };
        let on_event = |e: Event| lock(&stalled).push(e);
        assert!(ordered(lanes, fill, work, |_| Ok(()), &|| "x/cpu/y".into(), &on_event).is_ok());
        let events = lock(&stalled);
        assert!(
            matches!(&events[..], [Event::Stalled { implementation, .. }] if implementation == "x/cpu/y")
        );
    }
}
