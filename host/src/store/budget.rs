//! Accounting: every byte the store holds belongs to a [`Grant`], and grants never add up to more than the budget.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What an allocation costs beyond its bytes: the allocator's header, and rounding up (glibc: 8 bytes, and to 16).
pub(super) const ALLOCATION_BYTES: u64 = 16;

/// A number of bytes, and how many of them are granted.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    /// Bytes that only work in progress may use, so that what makes room has room itself.
    reserve: u64,
    used: AtomicU64,
    peak: AtomicU64,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// What stays.
    Keeping,
    /// What makes room for others and ends soon.
    Work,
}

impl Budget {
    pub(super) fn new(limit: u64, reserve: u64) -> Arc<Self> {
        Arc::new(Self { limit, reserve, used: AtomicU64::new(0), peak: AtomicU64::new(0) })
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Most bytes to work on at once: of the reserve that takes a few buffers of that size, and a codec's contexts.
    pub(super) fn most_chunk_bytes(&self) -> u64 {
        (self.reserve / 16).max(64 << 10)
    }

    /// Bytes granted now.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that are not granted.
    pub(super) fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// Most bytes ever granted at a time.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Bytes granted at most to who asks for `what`.
    pub(super) fn most(&self, what: For) -> u64 {
        match what {
            For::Keeping => self.limit - self.reserve,
            For::Work => self.limit,
        }
    }

    /// Whether `bytes` more would be granted now.
    pub(super) fn has_room(&self, bytes: u64, what: For) -> bool {
        self.used().checked_add(bytes).is_some_and(|sum| sum <= self.most(what))
    }

    /// A grant of nothing yet, to be resized.
    pub(super) fn nothing(self: &Arc<Self>) -> Grant {
        Grant { budget: Arc::clone(self), bytes: 0 }
    }

    /// Grants `bytes`, where they are free.
    pub(super) fn take(self: &Arc<Self>, bytes: u64, what: For) -> Option<Grant> {
        self.add(bytes, what).then(|| Grant { budget: Arc::clone(self), bytes })
    }

    fn add(&self, bytes: u64, what: For) -> bool {
        let most = self.most(what);
        let sum = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= most || bytes == 0);
        let Ok(before) = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum) else {
            return false;
        };
        self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        true
    }
}

/// Bytes of a budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Grant {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Grant {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it `bytes`; whether that was granted. Less always is.
    pub(super) fn resize(&mut self, bytes: u64, what: For) -> bool {
        if bytes > self.bytes {
            if !self.budget.add(bytes - self.bytes, what) {
                return false;
            }
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_granted_never_exceeds_the_budget_and_comes_back() {
        let budget = Budget::new(100, 20);
        let kept = budget.take(80, For::Keeping).expect("room");
        assert!(budget.take(1, For::Keeping).is_none() && !budget.has_room(1, For::Keeping));
        let mut work = budget.take(10, For::Work).expect("the reserve");
        assert!(!work.resize(21, For::Work) && work.bytes() == 10);
        assert!(work.resize(20, For::Work) && budget.used() == 100);
        drop(kept);
        assert_eq!((budget.used(), budget.peak()), (20, 100));
        assert!(budget.take(u64::MAX, For::Work).is_none());
    }

    proptest! {
        #[test]
        fn sums_hold_for_any_sequence(steps in proptest::collection::vec((0_u64..200, any::<bool>()), 1..60)) {
            let budget = Budget::new(1000, 100);
            let mut grants: Vec<Grant> = Vec::new();
            for (bytes, keeps) in steps {
                let what = if keeps { For::Keeping } else { For::Work };
                match grants.last_mut() {
                    Some(last) if bytes % 3 == 0 => {
                        last.resize(bytes, what);
                    }
                    Some(_) if bytes % 7 == 0 => {
                        grants.pop();
                    }
                    _ => grants.extend(budget.take(bytes, what)),
                }
                let sum: u64 = grants.iter().map(Grant::bytes).sum();
                prop_assert_eq!(sum, budget.used());
                prop_assert!(sum <= 1000 && budget.peak() <= 1000);
            }
        }
    }
}
