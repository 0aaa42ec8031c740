//! Large buffers for reuse: on huge pages where the system has them, and handed round so that few are touched.

#![expect(
    unsafe_code,
    reason = "memory that the system has zeroed, and advice on it that changes no content"
)]

use crate::sync::lock;
use rustix::mm::{Advice, madvise};
use std::{
    alloc::{Layout, alloc_zeroed},
    collections::TryReserveError,
    sync::Mutex,
};

/// A page that saves its faults: 2 MiB on x86-64, and with 4 KiB pages on aarch64.
const HUGE_BYTES: usize = 2 << 20;

/// Makes `buffer` `len` bytes long. Where it has to grow beyond its capacity, what was in it is lost, not copied.
///
/// # Errors
/// There is no memory.
pub(crate) fn resize(buffer: &mut Vec<u8>, len: usize) -> Result<(), TryReserveError> {
    if buffer.capacity() < len {
        *buffer = Vec::new();
        *buffer = zeroed(len)?;
        advise_huge(buffer);
    }
    buffer.resize(len, 0);
    Ok(())
}

/// Zeros from the system, which take no memory before they are written to: what a frame leaves of the room for it costs nothing.
fn zeroed(len: usize) -> Result<Vec<u8>, TryReserveError> {
    if let Some(layout) = Layout::array::<u8>(len).ok().filter(|_| len > 0) {
        // SAFETY: the layout's size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        if !start.is_null() {
            // SAFETY: `len` bytes, initialised, from the global allocator by the layout that a vector of that capacity has.
            return Ok(unsafe { Vec::from_raw_parts(start, len, len) });
        }
    }
    let mut empty = Vec::new();
    empty.try_reserve_exact(len)?;
    Ok(empty)
}

/// Asks for huge pages below what is going to be written: the faults of small ones take as long as a fast decoder.
fn advise_huge(buffer: &mut [u8]) {
    let before = buffer.as_ptr().align_offset(HUGE_BYTES);
    let Some(len) = buffer.len().checked_sub(before).map(|len| len - len % HUGE_BYTES).filter(|len| *len > 0)
    else {
        return;
    };
    let start = buffer[before..][..len].as_mut_ptr();
    // SAFETY: the range lies within `buffer`, borrowed here, and this advice changes no content (madvise(2)). A kernel without huge pages
    // refuses it, which is no loss.
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
            assert!(buffer.len() == len && buffer.iter().all(|b| *b == 0));
        }
        assert_eq!(buffer.capacity(), 5 << 20);
        assert!(resize(&mut buffer, usize::MAX >> 1).is_err());
    }

    #[test]
    fn what_is_not_written_to_takes_no_memory() {
        let pages = || -> u64 {
            let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
            text.split(' ').nth(1).expect("resident pages").parse().expect("a number")
        };
        let (before, mut buffer) = (pages(), Vec::new());
        resize(&mut buffer, 1 << 30).expect("memory");
        buffer[512 << 20] = 1;
        // Other tests take some meanwhile.
        assert!(pages() < before + (512 << 20) / 4096, "{before} pages before, {} now", pages());
        assert_eq!(buffer.iter().step_by(64 << 20).map(|b| u32::from(*b)).sum::<u32>(), 1);
    }
}
