//! Marks on the frames of a container, within what their formats allow, so that a frame found alone is known to be a part
//! of something: a file cut behind its first frame, or before another one, is a sound file of its format otherwise.
//!
//! | format | mark |
//! |---|---|
//! | zstd | content size in 8 bytes where fewer would do (RFC 8878, 3.1.1.1.4) |
//! | lz4 | a first block of one byte, which decodes to nothing (LZ4 block format: a token without literals and match) |
//! | gzip | operating system 0x4d in the header (RFC 1952, 2.3.1: such values are undefined, and ignored) |
//! | snappy | a skippable chunk behind the stream identifier |

use super::{carrier::Carrier, payload::MAX_CHUNK_BYTES, record::Fields};
use twox_hash::XxHash32;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const GZIP_MAGIC: [u8; 4] = [0x1f, 0x8b, 8, 0];
const SNAPPY_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";
const SNAPPY_MARK: &[u8] = b"\xc5\x04\x00\x00more";
/// Place of the operating system in a gzip member's header.
const GZIP_OS: usize = 9;
const GZIP_MARK: u8 = b'M';
const GZIP_UNKNOWN: u8 = 255;
/// An LZ4 block of one byte: a token that says nothing follows.
const LZ4_MARK: [u8; 5] = [1, 0, 0, 0, 0];
/// Most bytes by which a mark makes a frame longer.
pub(crate) const MARK_BYTES: usize = 16;
/// Most bytes of a frame before the end of its mark.
const HEAD_BYTES: usize = 32;

/// Marks the frame of `len` bytes that stands behind the first [`MARK_BYTES`] of `buffer`; where it begins now, and its
/// length.
pub(crate) fn mark_in_place(
    carrier: Carrier,
    buffer: &mut [u8],
    len: usize,
    raw_bytes: usize,
) -> (usize, usize) {
    let mut head = buffer[MARK_BYTES..][..len.min(HEAD_BYTES)].to_vec();
    let before = head.len();
    mark(carrier, &mut head, raw_bytes);
    let grown = head.len() - before;
    buffer[MARK_BYTES - grown..][..head.len()].copy_from_slice(&head);
    (MARK_BYTES - grown, len + grown)
}

/// Marks the frame at the start of `frame`; whether that could be done, or had been.
fn mark(carrier: Carrier, frame: &mut Vec<u8>, raw_bytes: usize) -> bool {
    if is_marked(frame) {
        return true;
    }
    match carrier {
        Carrier::Frames => mark_zstd(frame, raw_bytes) || mark_lz4(frame),
        Carrier::Members => mark_gzip(frame),
        Carrier::Chunks => mark_snappy(frame),
        Carrier::Native => false,
    }
}

/// Takes the mark off the frame, for a file in which no record is.
pub(crate) fn unmark(frame: &mut Vec<u8>) {
    if !is_marked(frame) {
        return;
    }
    if frame.starts_with(&ZSTD_MAGIC) {
        unmark_zstd(frame);
    } else if let Some(at) = lz4_header_bytes(frame) {
        let checksum_bytes = if frame[4] & 0x10 != 0 { 4 } else { 0 };
        let end = (at + LZ4_MARK.len() + checksum_bytes).min(frame.len());
        frame.drain(at..end);
    } else if frame.starts_with(&GZIP_MAGIC) {
        frame[GZIP_OS] = GZIP_UNKNOWN;
    } else {
        let at = SNAPPY_IDENTIFIER.len();
        frame.drain(at..at + SNAPPY_MARK.len());
    }
}

/// Writes the content size in as few bytes as do.
fn unmark_zstd(frame: &mut Vec<u8>) {
    let Some((size_bytes, at)) = zstd_content_size(frame) else { return };
    let is_single_segment = frame[4] & 0x20 != 0;
    let declared = frame.get(at..at + size_bytes).map_or(0, little);
    let (flag, field) = match declared {
        0..256 if is_single_segment => (0, vec![declared as u8]),
        // The field of two bytes counts from 256.
        256..65_792 => (1, ((declared - 256) as u16).to_le_bytes().to_vec()),
        _ => (2, (declared as u32).to_le_bytes().to_vec()),
    };
    frame[4] = frame[4] & 0x3f | flag << 6;
    frame.splice(at..at + size_bytes, field);
}

/// Whether the first frame in `head` has a mark, and so belongs to a container.
pub(crate) fn is_marked(head: &[u8]) -> bool {
    let zstd = || {
        let (size, at) = zstd_content_size(head)?;
        let value = Fields(head.get(at..at + 8)?).u64();
        Some(size == 8 && value <= MAX_CHUNK_BYTES as u64)
    };
    let lz4 = || Some(head.get(lz4_header_bytes(head)?..)?.starts_with(&LZ4_MARK));
    let gzip = || Some(head.starts_with(&GZIP_MAGIC) && *head.get(GZIP_OS)? == GZIP_MARK);
    let snappy = || Some(head.strip_prefix(SNAPPY_IDENTIFIER)?.starts_with(SNAPPY_MARK));
    [zstd(), lz4(), gzip(), snappy()].contains(&Some(true))
}

/// Bytes of the content size field of a zstd frame, and its place.
fn zstd_content_size(head: &[u8]) -> Option<(usize, usize)> {
    let flags = *head.strip_prefix(&ZSTD_MAGIC)?.first()?;
    let is_single_segment = flags & 0x20 != 0;
    let dictionary_bytes = [0, 1, 2, 4][usize::from(flags & 3)];
    let size_bytes = match flags >> 6 {
        0 => usize::from(is_single_segment),
        n => 1 << n,
    };
    Some((size_bytes, 5 + usize::from(!is_single_segment) + dictionary_bytes))
}

fn mark_zstd(frame: &mut Vec<u8>, raw_bytes: usize) -> bool {
    let Some((size_bytes, at)) = zstd_content_size(frame) else { return false };
    let Some(field) = frame.get(at..at + size_bytes) else { return false };
    let declared = match size_bytes {
        0 => raw_bytes as u64,
        // The field of two bytes counts from 256.
        2 => little(field) + 256,
        _ => little(field),
    };
    // Several frames, of which the first does not tell: there is nothing to say for it.
    if declared > raw_bytes as u64 || size_bytes == 0 && declared != raw_bytes as u64 {
        return false;
    }
    frame[4] |= 0xc0;
    frame.splice(at..at + size_bytes, declared.to_le_bytes());
    true
}

fn little(field: &[u8]) -> u64 {
    field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Bytes of the header of an LZ4 frame (LZ4 frame format: magic, FLG, BD, content size, dictionary, checksum).
fn lz4_header_bytes(head: &[u8]) -> Option<usize> {
    let flags = *head.strip_prefix(&LZ4_MAGIC)?.first()?;
    Some(7 + if flags & 8 != 0 { 8 } else { 0 } + if flags & 1 != 0 { 4 } else { 0 })
}

fn mark_lz4(frame: &mut Vec<u8>) -> bool {
    let Some(at) = lz4_header_bytes(frame).filter(|at| *at < frame.len()) else { return false };
    let has_block_checksums = frame[4] & 0x10 != 0;
    let mut block = LZ4_MARK.to_vec();
    if has_block_checksums {
        block.extend(XxHash32::oneshot(0, &LZ4_MARK[4..]).to_le_bytes());
    }
    frame.splice(at..at, block);
    true
}

fn mark_gzip(frame: &mut [u8]) -> bool {
    let is_plain = frame.starts_with(&GZIP_MAGIC) && frame.len() > GZIP_OS;
    if is_plain {
        frame[GZIP_OS] = GZIP_MARK;
    }
    is_plain
}

fn mark_snappy(frame: &mut Vec<u8>) -> bool {
    let at = SNAPPY_IDENTIFIER.len();
    let is_plain = frame.starts_with(SNAPPY_IDENTIFIER);
    if is_plain {
        frame.splice(at..at, SNAPPY_MARK.iter().copied());
    }
    is_plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header, mark where it has one, and something behind it.
    fn marked(carrier: Carrier, head: &[u8], raw_bytes: usize) -> Vec<u8> {
        let mut frame = [head, &[0x77; 40]].concat();
        assert!(!is_marked(&frame), "{head:x?}");
        assert!(mark(carrier, &mut frame, raw_bytes), "{head:x?}");
        assert!(is_marked(&frame), "{frame:x?}");
        let once = frame.clone();
        assert!(mark(carrier, &mut frame, raw_bytes));
        assert_eq!(frame, once, "marking twice changes nothing");
        let mut plain = frame.clone();
        unmark(&mut plain);
        assert!(!is_marked(&plain), "{plain:x?}");
        assert!(mark(carrier, &mut plain, raw_bytes));
        assert_eq!(plain, once, "the mark goes and comes");
        frame
    }

    #[test]
    fn content_sizes_of_zstd_stay_the_same() {
        // Single segment, 1 byte; 2 bytes with a window; 4 bytes with a dictionary; none with a window.
        let size = |head: &[u8], raw_bytes, at| {
            let frame = marked(Carrier::Frames, &[&ZSTD_MAGIC[..], head].concat(), raw_bytes);
            Fields(&frame[at..]).u64()
        };
        assert_eq!(size(&[0x24, 200], 200, 5), 200);
        assert_eq!(size(&[0x44, 0x58, 44, 1], 556, 6), 556);
        assert_eq!(size(&[0xa1, 9, 0, 0, 1, 0], 65536, 6), 65536);
        assert_eq!(size(&[0x04, 0x58], 777, 6), 777);
    }

    #[test]
    fn other_formats_have_a_place_for_marks() {
        marked(Carrier::Frames, &[&LZ4_MAGIC[..], &[0x6c, 0x70, 1, 2, 3, 4, 5, 6, 7, 8, 9]].concat(), 9);
        marked(Carrier::Frames, &[&LZ4_MAGIC[..], &[0x70, 0x70, 9]].concat(), 9);
        marked(Carrier::Members, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], 9);
        marked(Carrier::Chunks, SNAPPY_IDENTIFIER, 9);
    }

    #[test]
    fn short_and_strange_frames_are_left_alone() {
        for carrier in [Carrier::Frames, Carrier::Members, Carrier::Chunks] {
            for bytes in [
                &[][..],
                &ZSTD_MAGIC,
                &LZ4_MAGIC,
                &GZIP_MAGIC,
                b"BZh9",
                &[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3],
            ] {
                let mut frame = bytes.to_vec();
                unmark(&mut frame);
                assert!(!mark(carrier, &mut frame, 9));
                assert_eq!(frame, bytes);
            }
        }
    }
}
