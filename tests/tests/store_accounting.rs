//! What a store says it holds is what it holds: compared with what this program has allocated.
//!
//! A program of its own, with an allocator that counts. What plugins allocate is not seen by it: the store counts that apart.

#![expect(unsafe_code, reason = "an allocator that counts")]

mod support;

use clipsmaster_host::{
    Host,
    policy::{Policies, PolicySet},
    store::{ResourceStore, StoreOptions, StoreStats},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use support::{Scratch, text};

const MIB: usize = 1 << 20;

/// Counts bytes that are allocated, as asked for.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Compares what the store says with what was allocated since `before`.
#[track_caller]
fn compare(stats: &StoreStats, before: usize, what: &str) {
    let allocated = ALLOCATED.load(Ordering::Relaxed) - before;
    let held = stats.held_bytes - stats.codec_bytes;
    let ratio = allocated as f64 / held as f64;
    assert!(
        (0.98..=1.02).contains(&ratio),
        "{what}: {allocated} allocated, {held} held ({ratio:.3}): {stats:#?}"
    );
}

#[test]
fn what_is_accounted_for_is_what_is_allocated() {
    let scratch = Scratch::new();
    scratch.plugins(&["store", "zstd", "lz4_liblz4", "gzip"]);
    let host = Arc::new(Host::open(scratch.config()).expect("a host"));
    let options = || StoreOptions {
        background: false,
        watch_system: false,
        hot_bytes: Some(8 * MIB as u64),
        policies: Some(Arc::new(Policies::fixed(PolicySet::builtin()))),
        ..StoreOptions::with_budget(128 * MIB as u64)
    };
    let kinds = ["file_cache", "log_data", "subtitle", "default"];
    // Codecs are opened, and everything that is made once is there.
    let warm = ResourceStore::open(Arc::clone(&host), options()).expect("a store");
    for kind in kinds {
        warm.insert(kind.as_bytes(), kind, text(3 * MIB)).expect("room");
        warm.compress_with_policy(kind.as_bytes(), kind).expect("compressed");
        warm.get(kind.as_bytes()).expect("its bytes");
    }
    drop(warm);

    let before = ALLOCATED.load(Ordering::Relaxed);
    let store = ResourceStore::open(Arc::clone(&host), options()).expect("a store");
    for number in 0..40_usize {
        let kind = kinds[number % 4];
        store.insert(&number.to_le_bytes(), kind, text(2 * MIB + number * 1000)).expect("room");
    }
    compare(&store.stats(), before, "as inserted");
    store.compress_all(|_| true, 0);
    for number in 0..10_usize {
        store.get(&number.to_le_bytes()).expect("its bytes");
    }
    let stats = store.stats();
    assert!(stats.hot_bytes > 2 * MIB as u64, "{stats:#?}");
    compare(&stats, before, "compressed");
    drop(store);
    let after = ALLOCATED.load(Ordering::Relaxed);
    assert!(after < before + MIB, "{before} bytes before, {after} after");

    // Where tables and ids weigh more than bytes.
    let before = ALLOCATED.load(Ordering::Relaxed);
    let store = ResourceStore::open(host, options()).expect("a store");
    for number in 0..100_000_u64 {
        store
            .insert(format!("resource {number}").as_bytes(), "default", vec![number as u8, 1, 2])
            .expect("room");
    }
    // What an allocation costs beyond its bytes is in the one and not in the other.
    let stats = store.stats();
    let allocations = stats.types["default"].resources * 5;
    let held = StoreStats { held_bytes: stats.held_bytes - 16 * allocations, ..stats };
    let allocated = ALLOCATED.load(Ordering::Relaxed) - before;
    let ratio = allocated as f64 / held.held_bytes as f64;
    assert!((0.95..=1.05).contains(&ratio), "{allocated} allocated ({ratio:.3}): {held:#?}");
}
