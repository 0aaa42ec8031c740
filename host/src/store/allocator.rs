//! What the C library does with memory that is given back to it.

/// Makes this process give freed blocks of 256 KiB and more back to the system at once, so that its memory follows what it holds.
///
/// glibc keeps freed blocks for reuse, and larger ones the larger the blocks are that it has seen: a store whose resources come and go then takes up to
/// a fifth more than it holds. This is for the whole process, and costs page faults in return: call it first thing in a program whose
/// memory counts. Whether it did anything: elsewhere than with glibc it does not. (mallopt(3), `M_MMAP_THRESHOLD`.)
pub fn give_freed_memory_back() -> bool {
    give_back()
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the one call of mallopt")]
fn give_back() -> bool {
    const THRESHOLD_BYTES: libc::c_int = 256 << 10;
    // SAFETY: mallopt takes two numbers, and may be called at any time (mallopt(3): MT-Unsafe only in the race with its own first
    // initialisation, which has been through: the runtime of this program has allocated).
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, THRESHOLD_BYTES) == 1 }
}

#[cfg(not(target_env = "gnu"))]
fn give_back() -> bool {
    false
}
