//! LZ4 frames, version 1.6.4 (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>).

use super::{
    Trailing,
    bytes::{u32_at, u64_at},
    walker::{Element, Format},
};
use crate::algorithm::skippable_frame_len;

const MAGIC: u32 = 0x184d_2204;
/// Frames of `lz4 -l`, which have no end mark.
const LEGACY: u32 = 0x184c_2102;
const STORED: u32 = 1 << 31;

const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const DICTIONARY: u8 = 0x01;

/// Walks frames.
#[derive(Default)]
pub(super) struct Lz4 {
    frame: Option<Frame>,
    began: bool,
}

/// What a header said.
struct Frame {
    header_bytes: usize,
    content_bytes: Option<u64>,
    block_bytes: u64,
    block_checksum_bytes: u64,
    checksum_bytes: u64,
}

impl Format for Lz4 {
    fn element(&mut self, view: &[u8], at_end: bool) -> Element {
        let Some(frame) = &self.frame else {
            return if view.is_empty() && at_end { Element::Finished } else { self.between(view, at_end) };
        };
        match u32_at(view, 0) {
            None => Element::Need(4),
            Some(0) => {
                let len = 4 + frame.checksum_bytes;
                self.frame = None;
                Element::End { len, after: Vec::new() }
            }
            Some(word) => frame.block(word),
        }
    }
}

impl Lz4 {
    fn between(&mut self, view: &[u8], at_end: bool) -> Element {
        let Some(magic) = u32_at(view, 0) else {
            // Too short for any frame.
            return if at_end && self.began {
                Element::Trailing(Trailing::Refused)
            } else {
                Element::Need(4)
            };
        };
        let began = std::mem::replace(&mut self.began, true);
        if magic == MAGIC {
            let Some(frame) = Frame::read(view) else { return Element::Need(view.len() + 1) };
            let (len, raw_bytes) = (frame.header_bytes as u64, frame.content_bytes.unwrap_or(0));
            self.frame = Some(frame);
            return Element::Begin { len, raw_bytes, before: Vec::new() };
        }
        if magic & 0xffff_fff0 == 0x184d_2a50 {
            return skippable_frame_len(view).map_or(Element::Need(8), Element::Skip);
        }
        if began && magic != LEGACY { Element::Trailing(Trailing::Refused) } else { Element::Rest }
    }
}

impl Frame {
    /// Reads a header; `None` when `view` is too short for it.
    fn read(view: &[u8]) -> Option<Self> {
        let (flags, block) = (*view.get(4)?, *view.get(5)?);
        let bytes_if = |flag: u8, bytes: usize| if flags & flag != 0 { bytes } else { 0 };
        let header_bytes = 4 + 2 + bytes_if(CONTENT_SIZE, 8) + bytes_if(DICTIONARY, 4) + 1;
        view.get(..header_bytes)?;
        Some(Self {
            header_bytes,
            content_bytes: u64_at(view, 6).filter(|_| flags & CONTENT_SIZE != 0),
            // Codes 4 to 7: 64 KiB to 4 MiB. Lower ones are refused by decoders.
            block_bytes: 1 << (8 + 2 * ((block >> 4) & 7)),
            block_checksum_bytes: bytes_if(BLOCK_CHECKSUM, 4) as u64,
            checksum_bytes: bytes_if(CONTENT_CHECKSUM, 4) as u64,
        })
    }

    fn block(&self, word: u32) -> Element {
        let len = u64::from(word & !STORED);
        if len > self.block_bytes {
            return Element::Rest;
        }
        let raw_bytes = if word & STORED != 0 { len } else { self.block_bytes };
        let raw_bytes = if self.content_bytes.is_some() { 0 } else { raw_bytes };
        Element::Inside { len: 4 + len + self.block_checksum_bytes, raw_bytes }
    }
}
