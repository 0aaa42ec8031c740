//! What the C library does with memory that is given back to it.

/// Makes this process give freed blocks of 2 MiB and more back to the system at once, so that its memory follows what it holds.
///
/// glibc keeps freed blocks for reuse, and larger ones the larger the blocks are that it has seen: a store whose resources come and go then takes up to
/// an eighth more than it holds, and a twentieth with this. It is for the whole process: call it first thing in a program whose memory counts. Whether it did anything: elsewhere than with glibc it does not. (mallopt(3), `M_MMAP_THRESHOLD`.)
pub fn give_freed_memory_back() -> bool {
    give_back()
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the one call of mallopt")]
fn give_back() -> bool {
    const THRESHOLD_BYTES: libc::c_int = 2 << 20;
    // SAFETY: mallopt takes two numbers, and may be called at any time (mallopt(3): MT-Unsafe only in the race with its own first
    // initialisation, which has been through: the runtime of this program has allocated).
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, THRESHOLD_BYTES) == 1 }
}

#[cfg(not(target_env = "gnu"))]
fn give_back() -> bool {
    false
}
