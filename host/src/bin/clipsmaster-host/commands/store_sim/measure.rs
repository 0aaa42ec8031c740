//! Times of gets by form and size, and the memory of this process.

use crate::{Failure, code};
use clipsmaster_host::{
    size,
    store::{ResourceStore, Served},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Every so many bytes that were there as they are, one resource is compared.
const COMPARE_EVERY_BYTES: u64 = 64 << 20;

/// Times of gets.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// In nanoseconds, by form and the size's next power of two.
    times: BTreeMap<(Served, u64), Vec<u64>>,
    not_compared_bytes: u64,
}

/// Times of gets of one form and size, in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Latencies {
    pub form: String,
    pub size: String,
    pub count: u64,
    pub p50_s: f64,
    pub p99_s: f64,
    pub p999_s: f64,
}

impl Tally {
    /// Asks for a resource, and compares it with the CRC-32 of what went in; always, where it was decompressed.
    pub(super) fn get(&mut self, store: &ResourceStore, id: &str, crc: Option<u32>) -> Result<(), Failure> {
        let start = Instant::now();
        let got = store.fetch(id.as_bytes())?;
        let took = start.elapsed();
        let Some((blob, served)) = got else { return Ok(()) };
        let key = (served, (blob.len() as u64).next_power_of_two());
        self.times.entry(key).or_default().push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.not_compared_bytes += blob.len() as u64;
        let is_compared = served != Served::Held || self.not_compared_bytes >= COMPARE_EVERY_BYTES;
        if is_compared {
            self.not_compared_bytes = 0;
        }
        if is_compared && crc.is_some_and(|crc| crc != crc32fast::hash(&blob)) {
            return Err(Failure::new(code::DAMAGED, format!("{id}: other bytes came out than went in")));
        }
        Ok(())
    }

    pub(super) fn with(mut self, other: Self) -> Self {
        for (key, times) in other.times {
            self.times.entry(key).or_default().extend(times);
        }
        self
    }

    pub(super) fn gets(&self) -> u64 {
        self.times.values().map(|t| t.len() as u64).sum()
    }

    pub(super) fn hit_rate(&self) -> f64 {
        let held = self.times.iter().filter(|((served, _), _)| *served == Served::Held);
        held.map(|(_, t)| t.len()).sum::<usize>() as f64 / self.gets().max(1) as f64
    }

    pub(super) fn latencies(self) -> Vec<Latencies> {
        let line = |((served, bytes), mut times): ((Served, u64), Vec<u64>)| {
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize] as f64 / 1e9;
            Latencies {
                form: served.to_string(),
                size: size::binary(bytes),
                count: times.len() as u64,
                p50_s: at(0.5),
                p99_s: at(0.99),
                p999_s: at(0.999),
            }
        };
        self.times.into_iter().map(line).collect()
    }
}

/// Watches how much memory this process has.
#[derive(Debug)]
pub(super) struct Rss {
    before: u64,
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rss {
    pub(super) fn start() -> Self {
        let before = resident_bytes();
        let (most, stop) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let (sum, end) = (Arc::clone(&most), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                sum.fetch_max(resident_bytes(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self { before, most, stop, thread: Some(thread) }
    }

    /// By how many bytes it grew at most.
    pub(super) fn growth(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
        self.most.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

/// Memory of this process that is in RAM, in bytes (`/proc/self/statm`, proc_pid_statm(5)).
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|p| p.parse::<u64>().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}
