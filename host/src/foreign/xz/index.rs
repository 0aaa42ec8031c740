//! The index of a stream and its footer: compared without being kept, and made for one block.

use super::super::bytes::put_number;
use crc32fast::Hasher;

pub(super) const FOOTER_BYTES: usize = 12;

/// The sizes of the blocks of a stream, as its index lists them (4.3): not kept, but their checksum.
#[derive(Default)]
pub(super) struct Records {
    count: u64,
    bytes: u64,
    checksum: Hasher,
    /// Over the index that was read.
    seen: Hasher,
}

impl Records {
    /// Adds a block.
    pub(super) fn push(&mut self, unpadded: u64, raw_bytes: u64) {
        let record = record(unpadded, raw_bytes);
        self.count += 1;
        self.bytes += record.len() as u64;
        self.checksum.update(&record);
    }

    /// Length of the index, with its padding and without its checksum.
    pub(super) fn index_bytes(&self) -> u64 {
        (self.head().len() as u64 + self.bytes).next_multiple_of(4)
    }

    /// Takes notice of bytes of the index.
    pub(super) fn see(&mut self, index: &[u8]) {
        self.seen.update(index);
    }

    /// Whether the index that was read, which had this checksum, is that of the blocks.
    pub(super) fn are_those_seen(&self, checksum: u32) -> bool {
        let expected = self.index_checksum();
        expected == checksum && expected == self.seen.clone().finalize()
    }

    fn index_checksum(&self) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&self.head());
        hasher.combine(&self.checksum);
        hasher.update(self.padding());
        hasher.finalize()
    }

    /// The index's first byte and the number of records.
    fn head(&self) -> Vec<u8> {
        let mut head = vec![0];
        put_number(&mut head, self.count);
        head
    }

    fn padding(&self) -> &'static [u8] {
        let len = self.head().len() as u64 + self.bytes;
        &[0; 4][..(len.wrapping_neg() % 4) as usize]
    }

    /// The footer (2.1.2) behind this index.
    pub(super) fn footer(&self, flags: [u8; 2]) -> [u8; FOOTER_BYTES] {
        // "Backward size": of the index with its checksum, in fours, less one.
        let [a, b, c, d] = ((self.index_bytes() / 4) as u32).to_le_bytes();
        let fields = [a, b, c, d, flags[0], flags[1]];
        let mut footer = [0; FOOTER_BYTES];
        footer[..4].copy_from_slice(&crc32fast::hash(&fields).to_le_bytes());
        footer[4..10].copy_from_slice(&fields);
        footer[10..].copy_from_slice(b"YZ");
        footer
    }
}

fn record(unpadded: u64, raw_bytes: u64) -> Vec<u8> {
    let mut record = Vec::new();
    put_number(&mut record, unpadded);
    put_number(&mut record, raw_bytes);
    record
}

/// Index and footer of a stream with one block.
pub(super) fn of_one_block(unpadded: u64, raw_bytes: u64, flags: [u8; 2]) -> Vec<u8> {
    let mut records = Records::default();
    records.push(unpadded, raw_bytes);
    let mut index = records.head();
    index.extend(record(unpadded, raw_bytes));
    index.extend(records.padding());
    index.extend(records.index_checksum().to_le_bytes());
    index.extend(records.footer(flags));
    index
}
