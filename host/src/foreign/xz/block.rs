//! Headers of blocks and of the LZMA2 chunks in them.

use super::super::bytes::{number, u32_at};

const COMPRESSED_SIZE: u8 = 0x40;
const UNCOMPRESSED_SIZE: u8 = 0x80;
const RESERVED: u8 = 0x3c;
const LZMA2: u64 = 0x21;

/// A block as far as it was walked.
pub(super) struct Block {
    header_bytes: u64,
    /// Compressed and decoded size, when the header has both.
    sizes: Option<(u64, u64)>,
    data_bytes: u64,
    raw_bytes: u64,
}

/// The next chunk of a block's data.
pub(super) enum Chunk {
    /// It takes this many bytes to tell.
    Need(usize),
    Some {
        len: u64,
        raw_bytes: u64,
    },
    /// The data ends after so many bytes.
    Last(u64),
    Unknown,
}

impl Block {
    /// Reads a whole header (3.1); `None` when it is damaged, or not of a block that ends as LZMA2 does.
    pub(super) fn read(header: &[u8]) -> Option<Self> {
        let end = header.len().checked_sub(4)?;
        if u32_at(header, end)? != crc32fast::hash(&header[..end]) {
            return None;
        }
        let flags = *header.get(1)?;
        let mut rest = header.get(2..end)?;
        let compressed = optional(flags & COMPRESSED_SIZE != 0, &mut rest)?;
        let uncompressed = optional(flags & UNCOMPRESSED_SIZE != 0, &mut rest)?;
        let mut filter = 0;
        for _ in 0..=flags & 3 {
            filter = take(&mut rest)?;
            let properties = usize::try_from(take(&mut rest)?).ok()?;
            rest = rest.get(properties..)?;
        }
        let is_known = flags & RESERVED == 0 && filter == LZMA2;
        is_known.then(|| Self {
            header_bytes: header.len() as u64,
            sizes: compressed.zip(uncompressed),
            data_bytes: 0,
            raw_bytes: 0,
        })
    }

    /// Looks at a chunk, and counts it. A declared size makes one chunk of all the data.
    pub(super) fn chunk(&mut self, view: &[u8]) -> Chunk {
        if let Some((data_bytes, raw_bytes)) = self.sizes {
            (self.data_bytes, self.raw_bytes) = (data_bytes, raw_bytes);
            return Chunk::Last(data_bytes);
        }
        let chunk = lzma2_chunk(view);
        match chunk {
            Chunk::Some { len, raw_bytes } => {
                self.data_bytes = self.data_bytes.saturating_add(len);
                self.raw_bytes = self.raw_bytes.saturating_add(raw_bytes);
            }
            Chunk::Last(len) => self.data_bytes = self.data_bytes.saturating_add(len),
            Chunk::Need(_) | Chunk::Unknown => {}
        }
        chunk
    }

    /// What the header says of the decoded size where the chunks will not be counted; else 0.
    pub(super) fn declared_raw_bytes(&self) -> u64 {
        self.sizes.map_or(0, |(_, raw_bytes)| raw_bytes)
    }

    /// Header and data.
    pub(super) fn bytes(&self) -> u64 {
        self.header_bytes.saturating_add(self.data_bytes)
    }

    /// Decoded size of the data.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }
}

/// The chunk at the start of `view`, as liblzma's `lzma2_decoder.c` reads its header.
fn lzma2_chunk(view: &[u8]) -> Chunk {
    let Some(control) = view.first() else { return Chunk::Need(1) };
    let size_at = |at: usize| view.get(at..)?.first_chunk().map(|b| u64::from(u16::from_be_bytes(*b)) + 1);
    match control {
        0 => Chunk::Last(1),
        // Stored.
        1 | 2 => match size_at(1) {
            Some(size) => Chunk::Some { len: 3 + size, raw_bytes: size },
            None => Chunk::Need(3),
        },
        3..0x80 => Chunk::Unknown,
        _ => match (size_at(1), size_at(3)) {
            (Some(raw_low), Some(size)) => {
                let properties = u64::from(*control >= 0xc0);
                let raw_bytes = (u64::from(control & 0x1f) << 16) + raw_low;
                Chunk::Some { len: 5 + properties + size, raw_bytes }
            }
            _ => Chunk::Need(5),
        },
    }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (value, len) = number(bytes)?;
    *bytes = &bytes[len..];
    Some(value)
}

fn optional(is_there: bool, bytes: &mut &[u8]) -> Option<Option<u64>> {
    if is_there { take(bytes).map(Some) } else { Some(None) }
}
