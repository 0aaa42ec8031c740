//! Random access to a file or to memory.

use crate::buffer;
use std::{
    fs::File,
    io::{self, Seek},
    os::unix::fs::FileExt,
};

/// Bytes that can be read anywhere, from several threads.
pub(crate) trait Bytes: Sync {
    /// How many there are.
    fn len(&self) -> u64;

    /// Fills `buffer` with the bytes from `at` on.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// As `read_at`, with zeros for what cannot be read: behind the end, or on a bad sector.
    fn read_lossy(&self, buffer: &mut [u8], at: u64) {
        const SECTORS: usize = 4096;
        let there = usize::try_from(self.len().saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let (there, beyond) = buffer.split_at_mut(there);
        beyond.fill(0);
        if self.read_at(there, at).is_ok() {
            return;
        }
        for (number, sectors) in (0..).zip(there.chunks_mut(SECTORS)) {
            if self.read_at(sectors, at + number * SECTORS as u64).is_err() {
                sectors.fill(0);
            }
        }
    }

    /// The `len` bytes from `at` on, if there are so many. Nothing is allocated for what is not there.
    fn get(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        if at.checked_add(len as u64)? > self.len() {
            return None;
        }
        let mut buffer = Vec::new();
        buffer::resize(&mut buffer, len).ok()?;
        self.read_lossy(&mut buffer, at);
        Some(buffer)
    }
}

impl<B: Bytes + ?Sized> Bytes for &B {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        (**self).read_at(buffer, at)
    }
}

impl Bytes for [u8] {
    fn len(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let there = self.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A regular file of known length.
#[derive(Debug)]
pub(crate) struct FileBytes {
    file: File,
    len: u64,
}

impl FileBytes {
    /// `file`, which keeps its length.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// The file from its start. One reader at a time: they share a place in it.
    pub(crate) fn reader(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}

impl Bytes for FileBytes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }
}
