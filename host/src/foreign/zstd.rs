//! Zstandard frames (RFC 8878, 3.1).

use super::{
    Trailing,
    bytes::{u16_at, u32_at, u64_at},
    walker::{Element, Format},
};
use crate::algorithm::skippable_frame_len;

const MAGIC: u32 = 0xfd2f_b528;
/// Frames of zstd 0.1 and of 0.2 to 0.7.
const LEGACY_0_1: u32 = 0xfd2f_b51e;
const LEGACY: std::ops::RangeInclusive<u32> = 0xfd2f_b522..=0xfd2f_b527;
/// Limit of every block, before and after decoding.
const BLOCK_BYTES: u64 = 128 << 10;
/// Magic number, descriptor, window, dictionary, content size.
const MAX_HEADER_BYTES: usize = 4 + 1 + 1 + 4 + 8;

/// Walks frames.
#[derive(Default)]
pub(super) struct Zstd {
    frame: Option<Frame>,
    began: bool,
}

/// What a header said.
struct Frame {
    header_bytes: usize,
    content_bytes: Option<u64>,
    block_bytes: u64,
    checksum_bytes: u64,
    /// The last block was seen.
    is_over: bool,
}

impl Format for Zstd {
    fn element(&mut self, view: &[u8], at_end: bool) -> Element {
        match &mut self.frame {
            Some(Frame { is_over: true, checksum_bytes, .. }) => {
                let end = Element::End { len: *checksum_bytes, after: Vec::new() };
                self.frame = None;
                end
            }
            Some(frame) => frame.block(view),
            None if view.is_empty() && at_end => Element::Finished,
            None => self.between(view, at_end),
        }
    }
}

impl Zstd {
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
            let Some(frame) = Frame::read(view) else {
                return if view.len() < MAX_HEADER_BYTES {
                    Element::Need(view.len() + 1)
                } else {
                    Element::Rest
                };
            };
            let (len, raw_bytes) = (frame.header_bytes as u64, frame.content_bytes.unwrap_or(0));
            self.frame = Some(frame);
            return Element::Begin { len, raw_bytes, before: Vec::new() };
        }
        if magic & 0xffff_fff0 == 0x184d_2a50 {
            return skippable_frame_len(view).map_or(Element::Need(8), Element::Skip);
        }
        let is_legacy = magic == LEGACY_0_1 || LEGACY.contains(&magic);
        if began && !is_legacy { Element::Trailing(Trailing::Refused) } else { Element::Rest }
    }
}

impl Frame {
    /// Reads a header (3.1.1.1); `None` when `view` is too short for it.
    fn read(view: &[u8]) -> Option<Self> {
        let descriptor = *view.get(4)?;
        let is_single_segment = descriptor & 0x20 != 0;
        let window = if is_single_segment { None } else { Some(*view.get(5)?) };
        let at = 5 + usize::from(!is_single_segment) + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let (content_bytes, content_len) = match descriptor >> 6 {
            0 if is_single_segment => (Some(u64::from(*view.get(at)?)), 1),
            0 => (None, 0),
            1 => (Some(u64::from(u16_at(view, at)?) + 256), 2),
            2 => (Some(u64::from(u32_at(view, at)?)), 4),
            _ => (Some(u64_at(view, at)?), 8),
        };
        view.get(..at + content_len)?;
        let window_bytes = match window {
            Some(w) => (1 << (10 + (w >> 3))) / 8 * (8 + u64::from(w & 7)),
            None => content_bytes.unwrap_or(0),
        };
        Some(Self {
            header_bytes: at + content_len,
            content_bytes,
            block_bytes: window_bytes.min(BLOCK_BYTES),
            checksum_bytes: if descriptor & 4 != 0 { 4 } else { 0 },
            is_over: false,
        })
    }

    /// A block with its header (3.1.1.2).
    fn block(&mut self, view: &[u8]) -> Element {
        let Some(&[a, b, c]) = view.first_chunk() else { return Element::Need(3) };
        let word = u32::from_le_bytes([a, b, c, 0]);
        let size = u64::from(word >> 3);
        let (len, raw_bytes) = match (word >> 1) & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, self.block_bytes),
            _ => return Element::Rest,
        };
        if size > BLOCK_BYTES {
            return Element::Rest;
        }
        self.is_over = word & 1 != 0;
        Element::Inside { len: 3 + len, raw_bytes: if self.content_bytes.is_some() { 0 } else { raw_bytes } }
    }
}
