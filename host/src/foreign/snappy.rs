//! Chunks of the Snappy framing format (<https://github.com/google/snappy/blob/main/framing_format.txt>). Each decodes on
//! its own, so any run of them behind a stream identifier is a stream.

use super::{
    bytes::number,
    walker::{Element, Format},
};

const IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";
const COMPRESSED: u8 = 0x00;
const STORED: u8 = 0x01;
const SKIPPABLE: u8 = 0x80;
const CHECKSUM_BYTES: usize = 4;
const HEADER_BYTES: usize = 4;
/// Most bytes a chunk decodes to.
const CHUNK_BYTES: u64 = 64 << 10;
/// Most bytes of the number of them.
const SIZE_BYTES: usize = 3;
/// Decoded bytes at which a unit is large enough.
const UNIT_BYTES: u64 = 1 << 20;

/// Walks chunks.
#[derive(Default)]
pub(super) struct Snappy {
    /// Decoded bytes of the unit so far.
    unit: Option<u64>,
    began: bool,
}

impl Format for Snappy {
    fn element(&mut self, view: &[u8], at_end: bool) -> Element {
        let is_over = view.is_empty() && at_end;
        if self.unit.is_some_and(|raw_bytes| raw_bytes >= UNIT_BYTES || is_over) {
            self.unit = None;
            return Element::End { len: 0, after: Vec::new() };
        }
        if is_over {
            return Element::Finished;
        }
        if view.len() < IDENTIFIER.len() && !at_end && !self.began {
            return Element::Need(IDENTIFIER.len());
        }
        if !self.began && !view.starts_with(IDENTIFIER) {
            return Element::Rest;
        }
        self.began = true;
        let Some(raw_bytes) = &mut self.unit else {
            self.unit = Some(0);
            return Element::Begin { len: 0, raw_bytes: 0, before: IDENTIFIER.to_vec() };
        };
        let chunk = chunk(view);
        if let Element::Inside { raw_bytes: more, .. } = chunk {
            *raw_bytes += more;
        }
        chunk
    }
}

/// The chunk at the start of `view`. Identifiers and padding may be among the others.
fn chunk(view: &[u8]) -> Element {
    let Some(&[kind, a, b, c]) = view.first_chunk() else { return Element::Need(HEADER_BYTES) };
    let content_bytes = u64::from(u32::from_le_bytes([a, b, c, 0]));
    let len = HEADER_BYTES as u64 + content_bytes;
    let block_bytes = content_bytes.saturating_sub(CHECKSUM_BYTES as u64);
    let raw_bytes = match kind {
        COMPRESSED => {
            let block = view.get(HEADER_BYTES + CHECKSUM_BYTES..).unwrap_or_default();
            match number(&block[..block.len().min(SIZE_BYTES)]) {
                Some((raw_bytes, _)) => raw_bytes,
                None if block.len() < SIZE_BYTES => return Element::Need(view.len() + 1),
                None => return Element::Rest,
            }
        }
        STORED => block_bytes,
        SKIPPABLE.. => 0,
        _ => return Element::Rest,
    };
    if raw_bytes > CHUNK_BYTES {
        return Element::Rest;
    }
    Element::Inside { len, raw_bytes }
}
