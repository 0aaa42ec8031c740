//! How the time of an implementation is taken.
//!
//! On the CPU it is the time that this process has spent on processors: other programs do not count, however busy the machine, and
//! what several threads of a codec do adds up, as it does where chunks keep all processors busy. Elsewhere it is wall time: the
//! processor idles while a device works.

use rustix::time::{ClockId, clock_gettime};

/// A clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// Of all threads of this process.
    Processors,
    /// Of this thread, which other work on the machine and in this process does not stretch.
    Thread,
    Wall,
}

impl Clock {
    /// The clock for implementations on `hardware`.
    pub(crate) fn of(hardware: &str) -> Self {
        if hardware == "cpu" { Self::Processors } else { Self::Wall }
    }

    /// Seconds since some time in the past.
    pub(crate) fn now(self) -> f64 {
        let time = clock_gettime(match self {
            Self::Processors => ClockId::ProcessCPUTime,
            Self::Thread => ClockId::ThreadCPUTime,
            Self::Wall => ClockId::Monotonic,
        });
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    }
}
