//! Locks whose holder panicked are used all the same: what they guard here is whole between any two statements.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes `mutex`.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
