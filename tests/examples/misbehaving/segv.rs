//! A real segmentation fault.

#![expect(unsafe_code, reason = "a crash of this kind is what the library is for")]

/// Writes to the first page, which is never mapped. Not to address 0: debug builds check for null and
/// abort instead, which is another signal.
pub(crate) fn segv() {
    // SAFETY: none; the write faults, and the process ends here.
    unsafe { std::ptr::dangling_mut::<u8>().write_volatile(1) }
}
