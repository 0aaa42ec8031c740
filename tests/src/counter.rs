//! An extension that no released plugin has: how a host meets one that it knows and one that it does not.

// Derives of abi_stable generate items without docs.
#![allow(missing_docs, reason = "abi_stable's derives generate undocumented public items")]
#![allow(missing_debug_implementations, reason = "a table of function pointers has nothing to show")]

use abi_stable::StableAbi;

/// Name of the extension whose table is [`CounterV1`].
pub const COUNTER: &str = "test.counter/1";

/// Counts what the plugin did since it was loaded.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = CounterRef)))]
#[sabi(missing_field(panic))]
pub struct CounterV1 {
    /// Calls of `compress`, over all instances.
    #[sabi(last_prefix_field)]
    pub compress_calls: extern "C" fn() -> u64,
}
