//! A good codec that prints to its standard output and to all descriptors up to 10, where the host
//! may have put its report.

#![expect(unsafe_code, reason = "writing to descriptors that it does not own is what the library is for")]

mod identity;

use clipsmaster_plugin_api::{Descriptor, Result, export_plugin};
use identity::{Behaviour, Identity, copy};
use std::{fs::File, io::Write, os::fd::BorrowedFd};

/// Few bytes, so that a pipe that nobody empties does not fill soon.
fn print_to(descriptor: i32) {
    // SAFETY: not -1; where it is not open, the copy below fails.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let _ = borrowed.try_clone_to_owned().and_then(|copy| File::from(copy).write_all(b"garbage\n"));
}

#[derive(Default)]
struct WritesToStdout;

impl Behaviour for WritesToStdout {
    const DESCRIPTOR: Descriptor = Descriptor::new("bad-writes-to-stdout", "test");

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        for descriptor in [1, 3, 4, 5, 6, 7, 8, 9, 10] {
            print_to(descriptor);
        }
        copy(src, dst)
    }
}

export_plugin! { id: "bad-writes-to-stdout", codecs: [Identity<WritesToStdout>] }
