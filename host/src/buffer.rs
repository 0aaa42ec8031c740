//! Large buffers for reuse: on huge pages where the system has them, and handed round so that few are touched.

#![expect(unsafe_code, reason = "madvise is unsafe in general; the advice given here changes no content")]

use crate::sync::lock;
use rustix::mm::{Advice, madvise};
use std::{collections::TryReserveError, sync::Mutex};

/// A page that saves its faults: 2 MiB on x86-64, and with 4 KiB pages on aarch64.
const HUGE_BYTES: usize = 2 << 20;

/// Makes `buffer` `len` bytes long. Where it has to grow beyond its capacity, what was in it is lost, not copied.
///
/// # Errors
/// There is no memory.
pub(crate) fn resize(buffer: &mut Vec<u8>, len: usize) -> Result<(), TryReserveError> {
    if buffer.capacity() < len {
        *buffer = Vec::new();
        buffer.try_reserve_exact(len)?;
        advise_huge(buffer);
    }
    buffer.resize(len, 0);
    Ok(())
}

/// Asks for huge pages below what is going to be written: the faults of small ones take as long as a fast decoder.
fn advise_huge(buffer: &mut Vec<u8>) {
    let spare = buffer.spare_capacity_mut();
    let before = spare.as_ptr().align_offset(HUGE_BYTES);
    let Some(len) = spare.len().checked_sub(before).map(|len| len - len % HUGE_BYTES).filter(|len| *len > 0)
    else {
        return;
    };
    let start = spare[before..][..len].as_mut_ptr();
    // SAFETY: the range lies within the spare capacity of `buffer`, borrowed here, and this advice changes no content (madvise(2)).
    // A kernel without huge pages refuses it, which is no loss.
    let _ = unsafe { madvise(start.cast(), len, Advice::LinuxHugepage) };
}

/// Buffers that nobody uses: the one used last is handed out first, so that it is still in a cache.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    pub(crate) fn take(&self) -> Vec<u8> {
        lock(&self.0).pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() > 0 {
            lock(&self.0).push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_the_length_asked_for_and_keeps_its_place() {
        let mut buffer = Vec::new();
        for len in [0, 1, 5 << 20, 3 << 20, 0, 5 << 20] {
            resize(&mut buffer, len).expect("memory");
            assert_eq!(buffer.len(), len);
        }
        assert_eq!(buffer.capacity(), 5 << 20);
        assert!(resize(&mut buffer, usize::MAX >> 1).is_err());
    }
}
