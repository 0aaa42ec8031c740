//! How short of memory the system is, so that what holds memory can give some up in time.
//!
//! Data goes one way: [`Sources`] reads a few small files of the kernel into a [`Reading`]; a [`Gauge`] turns readings
//! into a [`Pressure`] that does not flap; a [`Watch`] tells subscribers when that changes. Nothing here decides what to
//! do about it, starts a thread, or knows how often it is asked.
//!
//! ```no_run
//! use clipsmaster_host::pressure::{Pressure, Sources, Watch};
//!
//! let (sources, watch) = (Sources::of_system(), Watch::new());
//! let _subscription = watch.subscribe(|pressure| {
//!     if pressure >= Pressure::High { /* compress harder */ }
//! });
//! // Every second or so:
//! if let Some(reading) = sources.read() {
//!     watch.observe(&reading);
//! }
//! ```

mod cgroup;
mod files;
mod gauge;
mod sources;
#[cfg(test)]
mod tests;
mod watch;

pub use gauge::Gauge;
pub use sources::Sources;
pub use watch::{Subscription, Watch};

use serde::Serialize;
use std::fmt;

/// How short memory is, from plenty to nearly none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pressure {
    /// Nothing need be done.
    #[default]
    Low,
    /// What costs nothing to give up may go.
    Medium,
    /// Memory should be given up now, at some cost.
    High,
    /// Processes are about to be throttled or killed.
    Critical,
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// What was read at one moment, at the limit that is closest to being reached.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Reading {
    /// Memory in use that cannot simply be dropped, in bytes.
    pub used_bytes: u64,
    /// Most that may be used, in bytes.
    pub limit_bytes: u64,
    /// Share of the last 10 seconds in which at least one task under this limit waited for memory, in percent: `some avg10`
    /// of the kernel's pressure stall information (Documentation/accounting/psi.rst). `None` where the kernel does not
    /// tell.
    pub stalled_percent: Option<f64>,
    /// Where the limit was read, for people: `cgroup memory.high`, `cgroup memory.max`, `/proc/meminfo`.
    pub source: &'static str,
}

impl Reading {
    /// Used share of the limit: from 0, and above 1 where `memory.high` is exceeded. A limit of 0 bytes is always used up.
    pub fn used_share(&self) -> f64 {
        if self.limit_bytes == 0 { 1.0 } else { self.used_bytes as f64 / self.limit_bytes as f64 }
    }

    /// What may still be used, in bytes.
    pub fn free_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}
