//! Bytes that are cheap to clone.

use std::{fmt, ops::Deref, sync::Arc};

/// Bytes of a resource, shared: a clone copies nothing, and they stay for as long as somebody has one.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub(super) Arc<Vec<u8>>);

impl Blob {
    /// Bytes that it takes, the allocator's spare room included.
    pub(super) fn held_bytes(&self) -> u64 {
        Self::held_by(self.0.capacity())
    }

    /// Bytes that one with room for `capacity` takes, and the grant that is kept for it.
    pub(super) fn held_by(capacity: usize) -> u64 {
        const COUNTS: usize = 2 * size_of::<usize>();
        const HEADERS: usize = size_of::<Vec<u8>>() + COUNTS + size_of::<super::budget::Grant>() + COUNTS;
        (capacity + HEADERS) as u64 + 3 * super::budget::ALLOCATION_BYTES
    }

    /// Whether somebody else has a clone.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Back to the bytes; a copy only if somebody else has a clone.
    pub fn into_vec(self) -> Vec<u8> {
        Arc::unwrap_or_clone(self.0)
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Blob {
    /// Copies only where there is much spare room behind the bytes.
    fn from(mut bytes: Vec<u8>) -> Self {
        if bytes.capacity() - bytes.len() > bytes.len() / 64 {
            bytes.shrink_to_fit();
        }
        Self(Arc::new(bytes))
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(Arc::new(bytes.to_vec()))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.len())
    }
}
