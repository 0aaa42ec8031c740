//! How many threads and chunks a memory limit allows.

use crate::size;
use std::{fmt, sync::OnceLock, thread, time::Duration};

/// For work on so many bytes nobody asks how much memory is free, unless it was limited: that would take longer than the work.
pub(crate) const LITTLE_BYTES: u64 = 64 << 10;

/// What a job takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// Once, in bytes.
    pub fixed: u64,
    /// For each chunk on the way.
    pub item: u64,
    /// For each worker's codec.
    pub worker: u64,
    /// Most that chunks beyond the necessary ones may take.
    pub spare: u64,
}

impl Need {
    /// What one chunk on one thread takes.
    pub(crate) fn least(&self) -> u64 {
        self.fixed + self.item + self.worker
    }
}

/// Chunks are not cut to less than this, in bytes: shorter ones cost too much of the ratio.
const LEAST_CHUNK_BYTES: usize = 64 << 10;

/// The largest of half of the `usual` bytes, a quarter of them and so on of which a chunk takes no more than `allowed` bytes of memory;
/// `None` where a usual one does, or none.
pub(crate) fn smaller_chunk(usual: usize, allowed: u64, takes: impl Fn(usize) -> u64) -> Option<usize> {
    let fits = |bytes: &usize| takes(*bytes) <= allowed;
    let mut halves = (1..usize::BITS).map(|n| usual >> n).take_while(|bytes| *bytes >= LEAST_CHUNK_BYTES);
    if fits(&usual) { None } else { halves.find(fits) }
}

/// What fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fit {
    pub workers: usize,
    /// Chunks on the way; with fewer than 2 nothing can overlap.
    pub items: usize,
    /// What the limit cost, for the user.
    pub note: Option<String>,
}

/// Not even one chunk fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Short {
    pub needed: u64,
    pub allowed: u64,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, allowed) = (size::binary(self.needed), size::binary(self.allowed));
        write!(f, "needs {needed} of memory, and {allowed} are allowed (--memory-limit)")
    }
}

/// Threads asked for, or as many as there are processors: asked for once, since control groups make the answer costly.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let processors = || *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
    asked.unwrap_or_else(processors).max(1)
}

/// Fits up to `threads` into `limit`, or into what is free where there is none: then one thread is always granted.
pub(crate) fn fit(threads: usize, limit: Option<u64>, need: &Need) -> Result<Fit, Short> {
    let allowed = limit.unwrap_or_else(super::default_memory_bytes);
    let least = need.least();
    if least > allowed {
        let short = Short { needed: least, allowed };
        let note = || format!("{short}: going on with one thread");
        return if limit.is_some() {
            Err(short)
        } else {
            Ok(Fit { workers: 0, items: 1, note: Some(note()) })
        };
    }
    let free = allowed - need.fixed;
    let takes = |workers: u64| workers * need.worker + (workers + 1) * need.item;
    let workers = (1..=threads as u64).rev().find(|w| takes(*w) <= free);
    let Some(workers) = workers else { return Ok(Fit { workers: 0, items: 1, note: None }) };
    let spare = (free - takes(workers)).min(need.spare) / need.item.max(1);
    let items = workers + 1 + spare.min(workers);
    let fewer = || {
        let each = size::binary(need.item + need.worker);
        let allowed = size::binary(allowed);
        format!(
            "{workers} of {threads} threads: each takes {each}, and {allowed} of memory are allowed (--memory-limit)"
        )
    };
    let note = (workers < threads as u64).then(fewer);
    Ok(Fit { workers: workers as usize, items: items as usize, note })
}

/// As [`fit`] for items of `batch` chunks each, or of fewer where memory is short: how many, and what fits. More than a few such
/// items at once would only wait for the device.
pub(crate) fn fit_batches(
    threads: usize,
    limit: Option<u64>,
    need: &Need,
    batch: usize,
) -> Result<(Fit, usize), Short> {
    const WORKERS: usize = 3;
    let mut batch = batch;
    while batch > 1 {
        let need = Need { item: need.item * batch as u64, spare: 0, ..*need };
        match fit(threads.min(WORKERS), limit, &need) {
            Ok(fit) if fit.items > 1 => return Ok((Fit { note: None, ..fit }, batch)),
            _ => batch /= 2,
        }
    }
    fit(threads, limit, need).map(|fit| (fit, 1))
}

/// Time after which work on a chunk of `bytes` is called stalled: far more than the slowest codec takes.
pub(crate) fn patience(bytes: usize) -> Duration {
    Duration::from_secs(30 + (bytes as u64 >> 17))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const NEED: Need = Need { fixed: 0, item: 8 * MIB, worker: 100 * MIB, spare: 32 * MIB };

    #[test]
    fn a_chunk_is_halved_until_it_fits_but_not_cut_to_crumbs() {
        let takes = |bytes: usize| 2 * bytes as u64 + MIB;
        assert_eq!(smaller_chunk(4 << 20, 9 * MIB, takes), None, "a usual one fits");
        assert_eq!(smaller_chunk(4 << 20, 9 * MIB - 1, takes), Some(2 << 20));
        assert_eq!(smaller_chunk(4 << 20, MIB + (128 << 10), takes), Some(64 << 10));
        assert_eq!(smaller_chunk(4 << 20, MIB + (128 << 10) - 1, takes), None);
        assert_eq!(smaller_chunk(4 << 10, MIB + (8 << 10), takes), None, "a usual one fits");
        assert_eq!([smaller_chunk(4 << 10, MIB, takes), smaller_chunk(0, 9 * MIB, takes)], [None, None]);
    }

    #[test]
    fn a_limit_costs_threads_and_says_so() {
        let all = fit(4, Some(1 << 30), &NEED).expect("fits");
        assert_eq!((all.workers, all.items, &all.note), (4, 9, &None));
        let some = fit(4, Some(250 * MIB), &NEED).expect("fits");
        assert_eq!((some.workers, some.items), (2, 5));
        assert!(some.note.expect("a note").contains("2 of 4 threads"));
        let inline = fit(4, Some(110 * MIB), &NEED).expect("fits");
        assert_eq!((inline.workers, inline.items), (0, 1));
        let short = fit(4, Some(100 * MIB), &NEED).expect_err("does not fit");
        assert_eq!(short.needed, 108 * MIB);
    }

    #[test]
    fn batches_shrink_before_the_job_is_refused() {
        let need = Need { worker: 0, ..NEED };
        let of = |limit| fit_batches(8, Some(limit), &need, 16).map(|(fit, batch)| (fit.workers, batch));
        assert_eq!(of(1 << 30), Ok((3, 16)));
        assert_eq!(of(256 * MIB), Ok((1, 16)));
        assert_eq!(of(40 * MIB), Ok((1, 2)));
        assert_eq!(of(16 * MIB), Ok((1, 1)));
        assert!(of(7 * MIB).is_err());
    }

    #[test]
    fn what_fits_is_within_the_limit() {
        for limit in (108..2000).step_by(13) {
            let fit = fit(16, Some(limit * MIB), &NEED).expect("fits");
            let used = fit.workers.max(1) as u64 * NEED.worker + fit.items as u64 * NEED.item;
            assert!(used <= limit * MIB, "{used} of {limit} MiB");
        }
    }
}
