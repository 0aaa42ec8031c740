//! Stripes, the same columns of every shard, and the threads that share them.
//!
//! The shards to be written are cut into disjoint slices once; whoever takes a stripe from the queue is the only
//! writer of its slices.

use super::ParityError;
use crate::sync::lock;
use std::{sync::Mutex, thread, vec};

/// Columns of a stripe: 2048 shards of it fit a processor's own cache, and the fixed cost of each decoding is small
/// beside it. Half or twice as many are about as fast.
pub(super) const STRIPE_BYTES: usize = 1024;
/// Stripes that make another thread worth its start.
const STRIPES_PER_THREAD: usize = 2;

/// Slices of the shards to be written that cover the same columns.
pub(super) struct Stripe<'a> {
    /// First column.
    pub start: usize,
    /// Index of each shard, and its bytes here; a padded shard has fewer, or none.
    pub targets: Vec<(usize, &'a mut [u8])>,
}

/// Stripes still to be done.
pub(super) struct Queue<'a>(Mutex<vec::IntoIter<Stripe<'a>>>);

impl<'a> Queue<'a> {
    /// Cuts `shards`, each with its index and at most `shard_bytes` long, into stripes `width` columns wide.
    pub(super) fn new(
        shards: impl Iterator<Item = (usize, &'a mut [u8])>,
        shard_bytes: usize,
        width: usize,
    ) -> Self {
        let mut stripes: Vec<Stripe<'a>> =
            (0..shard_bytes).step_by(width).map(|start| Stripe { start, targets: Vec::new() }).collect();
        for (index, shard) in shards {
            for (stripe, slice) in stripes.iter_mut().zip(shard.chunks_mut(width)) {
                stripe.targets.push((index, slice));
            }
        }
        Self(Mutex::new(stripes.into_iter()))
    }

    /// The next stripe that has anything to write.
    pub(super) fn next(&self) -> Option<Stripe<'a>> {
        lock(&self.0).find(|stripe| !stripe.targets.is_empty())
    }

    /// Runs `worker` on up to `threads` threads, this one among them, until it has emptied the queue.
    ///
    /// Threads that the system refuses are done without.
    pub(super) fn work_off(
        &self,
        threads: usize,
        worker: impl Fn() -> Result<(), ParityError> + Sync,
    ) -> Result<(), ParityError> {
        let others = threads.min(lock(&self.0).len() / STRIPES_PER_THREAD).saturating_sub(1);
        thread::scope(|scope| {
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, &worker).ok();
            let handles: Vec<_> = (0..others).filter_map(spawn).collect();
            let own = worker();
            handles
                .into_iter()
                .fold(own, |result, handle| result.and(handle.join().unwrap_or(Err(ParityError::Unfinished))))
        })
    }
}

/// Columns `start..` of `shard`, as many as `padded` has, completed in `padded` with zeros where the shard is short.
pub(super) fn columns<'a>(shard: &'a [u8], start: usize, padded: &'a mut [u8]) -> &'a [u8] {
    let rest = shard.get(start..).unwrap_or_default();
    if let Some(whole) = rest.get(..padded.len()) {
        return whole;
    }
    padded.fill(0);
    if let Some(front) = padded.get_mut(..rest.len()) {
        front.copy_from_slice(rest);
    }
    padded
}
