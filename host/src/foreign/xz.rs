//! Blocks of `.xz` streams (<https://tukaani.org/xz/xz-file-format.txt>).
//!
//! A block's end follows from its header, where that has sizes (`xz -T` writes them), or from the headers of its
//! LZMA2 chunks. Each block becomes a stream of its own, with the stream's header before it and an index of one
//! record behind it. The stream's own index is compared with the blocks that were seen and passed over.

mod block;
mod index;

use super::{
    Trailing,
    walker::{Element, Format},
};
use block::{Block, Chunk};
use clipsmaster_plugin_api::{Error, ErrorKind};
use index::{FOOTER_BYTES, Records};

const MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const HEADER_BYTES: usize = 12;
/// Bytes of each check, by its number (2.1.1.2).
const CHECK_BYTES: [u64; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/// Walks streams.
#[derive(Default)]
pub(super) struct Xz {
    state: State,
    began: bool,
    /// Header of the stream.
    header: [u8; HEADER_BYTES],
    records: Records,
}

/// What comes next.
#[derive(Default)]
enum State {
    /// A stream, padding or the end.
    #[default]
    Between,
    /// A block or the index.
    Blocks,
    /// A chunk of a block.
    Chunks(Block),
    /// Padding and check of a block.
    Check(Block),
    /// The rest of the index, of so many bytes without its checksum.
    Index(u64),
    Footer,
    /// Something unknown.
    Lost,
}

impl Format for Xz {
    fn element(&mut self, view: &[u8], at_end: bool) -> Element {
        match std::mem::take(&mut self.state) {
            State::Between => self.between(view, at_end),
            State::Blocks => self.block(view),
            State::Chunks(block) => self.chunk(block, view),
            State::Check(block) => self.check(&block),
            State::Index(left) => self.index(left, view),
            State::Footer => self.footer(view),
            State::Lost => Element::Rest,
        }
    }
}

impl Xz {
    fn need(&mut self, state: State, len: usize) -> Element {
        self.state = state;
        Element::Need(len)
    }

    fn between(&mut self, view: &[u8], at_end: bool) -> Element {
        if view.is_empty() && at_end {
            return Element::Finished;
        }
        if self.began && view.first().is_none_or(|b| *b == 0) {
            let zeros = view.iter().take_while(|b| **b == 0).count();
            return match zeros / 4 * 4 {
                0 if zeros == view.len() && !at_end => Element::Need(4),
                0 => Element::Trailing(Trailing::Refused),
                padding => Element::Skip(padding as u64),
            };
        }
        let Some(header) = view.first_chunk::<HEADER_BYTES>() else {
            let is_other = self.began && !view.starts_with(&MAGIC[..view.len().min(MAGIC.len())]);
            return if is_other { Element::Trailing(Trailing::Refused) } else { Element::Need(HEADER_BYTES) };
        };
        if !is_stream_header(header) {
            let is_stream = header.starts_with(MAGIC);
            return match self.began {
                true if is_stream => damaged("damaged header of an xz stream"),
                true => Element::Trailing(Trailing::Refused),
                false => Element::Rest,
            };
        }
        self.began = true;
        self.header = *header;
        self.records = Records::default();
        self.state = State::Blocks;
        Element::Skip(HEADER_BYTES as u64)
    }

    fn block(&mut self, view: &[u8]) -> Element {
        let Some(first) = view.first() else { return self.need(State::Blocks, 1) };
        if *first == 0 {
            return self.index(self.records.index_bytes(), view);
        }
        let header_bytes = 4 * (usize::from(*first) + 1);
        let Some(header) = view.get(..header_bytes) else { return self.need(State::Blocks, header_bytes) };
        let before = self.header.to_vec();
        let Some(block) = Block::read(header) else {
            // The decoder says what is wrong with it.
            self.state = State::Lost;
            return Element::Begin { len: 0, raw_bytes: 0, before };
        };
        let raw_bytes = block.declared_raw_bytes();
        self.state = State::Chunks(block);
        Element::Begin { len: header_bytes as u64, raw_bytes, before }
    }

    fn chunk(&mut self, mut block: Block, view: &[u8]) -> Element {
        match block.chunk(view) {
            Chunk::Need(len) => self.need(State::Chunks(block), len),
            Chunk::Some { len, raw_bytes } => {
                self.state = State::Chunks(block);
                Element::Inside { len, raw_bytes }
            }
            Chunk::Last(len) => {
                self.state = State::Check(block);
                Element::Inside { len, raw_bytes: 0 }
            }
            Chunk::Unknown => {
                self.state = State::Lost;
                Element::Rest
            }
        }
    }

    fn check(&mut self, block: &Block) -> Element {
        let check_bytes = CHECK_BYTES[usize::from(self.header[7] & 0xf)];
        let unpadded = block.bytes().saturating_add(check_bytes);
        let padding = block.bytes().wrapping_neg() % 4;
        self.records.push(unpadded, block.raw_bytes());
        self.state = State::Blocks;
        let after = index::of_one_block(unpadded, block.raw_bytes(), self.flags());
        Element::End { len: padding + check_bytes, after }
    }

    /// Passes over the index, of which `left` bytes and its checksum are to come.
    fn index(&mut self, left: u64, view: &[u8]) -> Element {
        if left > 0 {
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(view.len());
            if len == 0 {
                return self.need(State::Index(left), 1);
            }
            self.records.see(&view[..len]);
            self.state = State::Index(left - len as u64);
            return Element::Skip(len as u64);
        }
        let Some(checksum) = view.first_chunk() else { return self.need(State::Index(0), 4) };
        if !self.records.are_those_seen(u32::from_le_bytes(*checksum)) {
            return damaged("the index of an xz stream differs from its blocks");
        }
        self.state = State::Footer;
        Element::Skip(4)
    }

    fn footer(&mut self, view: &[u8]) -> Element {
        let Some(footer) = view.first_chunk::<FOOTER_BYTES>() else {
            return self.need(State::Footer, FOOTER_BYTES);
        };
        if *footer != self.records.footer(self.flags()) {
            return damaged("damaged footer of an xz stream");
        }
        Element::Skip(FOOTER_BYTES as u64)
    }

    fn flags(&self) -> [u8; 2] {
        [self.header[6], self.header[7]]
    }
}

/// Whether a stream begins like this (2.1.1).
fn is_stream_header(header: &[u8; HEADER_BYTES]) -> bool {
    let checksum = crc32fast::hash(&header[6..8]).to_le_bytes();
    header.starts_with(MAGIC) && header[8..] == checksum && header[6] == 0 && header[7] < 16
}

fn damaged(what: &str) -> Element {
    Element::Damaged(Error::new(ErrorKind::Corrupt, what))
}
