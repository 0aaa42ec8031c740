//! Decompressed copies: a bounded number of bytes, the ones not asked for the longest going first.

use super::{
    budget::{ALLOCATION_BYTES, Budget, For, Grant},
    table::{Raw, Table},
};
use crate::sync::lock;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// A decompressed copy, as the store keeps it.
#[derive(Debug)]
pub(super) struct Hot {
    pub raw: Raw,
    _share: Grant,
}

/// Which copies there are, roughly in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct HotCache {
    share: Arc<Budget>,
    order: Mutex<Order>,
}

#[derive(Debug, Default)]
struct Order {
    places: VecDeque<Place>,
    /// From how many places on it is worth looking which of them have outlived their copies.
    enough: usize,
}

#[derive(Debug)]
struct Place {
    id: Box<[u8]>,
    version: u64,
    /// When the resource had last been asked for as it came to this place.
    used_ms: u64,
}

/// Room for a copy.
#[derive(Debug)]
pub(super) struct HotRoom {
    grant: Grant,
    share: Grant,
}

impl HotRoom {
    pub(super) fn fill(self, blob: super::Blob) -> Hot {
        Hot { raw: super::inner::raw(blob, self.grant), _share: self.share }
    }
}

impl HotCache {
    pub(super) fn new(bytes: u64) -> Self {
        Self { share: Budget::new(bytes, 0), order: Mutex::default() }
    }

    /// Room for a copy of `bytes` of the resource `id`, where others can make it.
    pub(super) fn room(&self, id: &[u8], bytes: u64, budget: &Arc<Budget>, table: &Table) -> Option<HotRoom> {
        let bytes = bytes + (size_of::<Place>() + id.len()) as u64 + ALLOCATION_BYTES;
        if bytes > self.share.limit() {
            return None;
        }
        loop {
            let share = self.share.take(bytes, For::Keeping);
            let grant = share.as_ref().and_then(|_| budget.take(bytes, For::Keeping));
            if let (Some(share), Some(grant)) = (share, grant) {
                return Some(HotRoom { grant, share });
            }
            if !self.evict(table) {
                return None;
            }
        }
    }

    /// Puts a copy that was just made at the end.
    pub(super) fn put(&self, id: &[u8], version: u64, used_ms: u64, table: &Table) {
        const FEW: usize = 1024;
        let mut order = lock(&self.order);
        order.places.push_back(Place { id: id.into(), version, used_ms });
        if order.places.len() <= order.enough.max(FEW) {
            return;
        }
        let mut places = std::mem::take(&mut order.places);
        drop(order);
        // Copies also go with their resources, which leaves their places behind.
        places.retain(|place| table.has_copy(&place.id, place.version));
        let mut order = lock(&self.order);
        places.append(&mut order.places);
        order.enough = places.len() * 2;
        order.places = places;
    }

    /// Drops the copy that was not asked for the longest; whether there was one. (A second chance for what was asked for since it was looked at last:
    /// F. J. Corbato, A Paging Experiment with the Multics System, 1968.)
    pub(super) fn evict(&self, table: &Table) -> bool {
        loop {
            let Some(place) = lock(&self.order).places.pop_front() else { return false };
            let judged = table.change(&place.id, place.version, |entry| {
                let used_ms = entry.used_ms();
                if entry.hot.is_some() && used_ms > place.used_ms {
                    Err(used_ms)
                } else {
                    Ok(entry.hot.take())
                }
            });
            match judged {
                Some(Err(used_ms)) => lock(&self.order).places.push_back(Place { used_ms, ..place }),
                Some(Ok(Some(_))) => return true,
                // Its place outlived it.
                Some(Ok(None)) | None => {}
            }
        }
    }
}
