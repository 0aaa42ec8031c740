//! Zstandard frames (RFC 8878): one a piece, back to back, each with content size and checksum.
//!
//! nvCOMP's frames get a header of ours, since a reader wants to know their size; the blocks stay as they are. To the device go
//! frames without checksum, which the host compares.

use crate::pieces::{Block, Format, Found, Output, Packed, Sum};
use clipsmaster_plugin_api::{Descriptor, Error, ErrorKind, Result};
use twox_hash::XxHash64;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const CHECKSUM: u8 = 0x04;
const RESERVED: u8 = 0x08;
const SINGLE_SEGMENT: u8 = 0x20;
/// Content size in four bytes.
const SIZE_OF_4: u8 = 0x80;
/// Magic, descriptor, window or nothing, content size; block header; checksum.
const OVERHEAD: usize = 4 + 1 + 1 + 4 + 3 + 4;

pub(crate) struct Zstd;

impl Format for Zstd {
    const DESCRIPTOR: Descriptor = crate::codec::descriptor("zstd").file("zst", &MAGIC);
    const FAMILY: &'static str = "Zstd";

    fn bound(len: usize) -> usize {
        len + OVERHEAD * len.div_ceil(Self::PIECE_BYTES).max(1)
    }

    fn wrap(src: &[u8], dst: &mut [u8], packed: &mut dyn Packed) -> Result<usize> {
        let mut out = Output::new(dst);
        if src.is_empty() {
            put_stored(&mut out, src)?;
        }
        for piece in src.chunks(Self::PIECE_BYTES) {
            let frame = Frame::read(packed.next()?)?;
            if frame.blocks.len() < piece.len() + 3 {
                put_frame(&mut out, frame.window, piece, &[frame.blocks])?;
            } else {
                put_stored(&mut out, piece)?;
            }
        }
        Ok(out.len)
    }

    fn unwrap(mut src: &[u8]) -> Result<Found<'_>> {
        let mut found = Found::default();
        if src.is_empty() {
            return Err(truncated());
        }
        while !src.is_empty() {
            if let Some(after) = skippable(src)? {
                src = after;
                continue;
            }
            let frame = Frame::read(src)?;
            src = &src[frame.frame_bytes..];
            let size = frame.content_bytes.and_then(|n| usize::try_from(n).ok());
            let len = size.ok_or_else(|| unsupported("a zstd frame without content size"))?;
            let check = frame.checksum.map(|expected| (expected, sum as Sum));
            found.put(frame.into_block(len), check);
        }
        Ok(found)
    }
}

fn sum(content: &[u8]) -> u32 {
    XxHash64::oneshot(0, content) as u32
}

fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the input ends within a zstd frame")
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}

fn put_stored(out: &mut Output<'_>, piece: &[u8]) -> Result<()> {
    let header = (piece.len() as u32) << 3 | 1;
    put_frame(out, None, piece, &[&header.to_le_bytes()[..3], piece])
}

/// Writes a frame for `piece`, whose blocks are given.
fn put_frame(out: &mut Output<'_>, window: Option<u8>, piece: &[u8], blocks: &[&[u8]]) -> Result<()> {
    out.put(&MAGIC)?;
    match window {
        Some(window) => out.put(&[SIZE_OF_4 | CHECKSUM, window])?,
        None => out.put(&[SIZE_OF_4 | CHECKSUM | SINGLE_SEGMENT])?,
    }
    out.put(&(piece.len() as u32).to_le_bytes())?;
    blocks.iter().try_for_each(|part| out.put(part))?;
    out.put(&sum(piece).to_le_bytes())
}

/// What follows a skippable frame, if `src` begins with one.
fn skippable(src: &[u8]) -> Result<Option<&[u8]>> {
    let (magic, rest) = src.split_first_chunk().ok_or_else(truncated)?;
    if u32::from_le_bytes(*magic) & 0xffff_fff0 != 0x184d_2a50 {
        return Ok(None);
    }
    let (len, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
    let after = rest.get(u32::from_le_bytes(*len) as usize..).ok_or_else(truncated)?;
    Ok(Some(after))
}

/// A frame, taken apart but not decoded.
struct Frame<'a> {
    /// The descriptor's byte for the window; none where the window is the content.
    window: Option<u8>,
    content_bytes: Option<u64>,
    blocks: &'a [u8],
    /// The only block, when it holds the content itself.
    stored: Option<&'a [u8]>,
    checksum: Option<u32>,
    frame_bytes: usize,
}

impl<'a> Frame<'a> {
    fn read(src: &'a [u8]) -> Result<Self> {
        let mut rest = src;
        if take(&mut rest, 4)? != MAGIC {
            return Err(Error::corrupt("no zstd frame"));
        }
        let flags = take(&mut rest, 1)?[0];
        if flags & RESERVED != 0 {
            return Err(Error::corrupt("invalid zstd frame descriptor"));
        }
        if flags & 3 != 0 {
            return Err(unsupported("a zstd frame with a dictionary"));
        }
        let single = flags & SINGLE_SEGMENT != 0;
        let window = if single { None } else { Some(take(&mut rest, 1)?[0]) };
        let size_bytes = match flags >> 6 {
            0 => usize::from(single),
            n => 1 << n,
        };
        let content_bytes = number(take(&mut rest, size_bytes)?);
        let before = rest;
        let stored = skip_blocks(&mut rest)?;
        let blocks = &before[..before.len() - rest.len()];
        let checksum = if flags & CHECKSUM == 0 {
            None
        } else {
            take(&mut rest, 4)?.first_chunk().map(|b| u32::from_le_bytes(*b))
        };
        Ok(Self { window, content_bytes, blocks, stored, checksum, frame_bytes: src.len() - rest.len() })
    }

    fn into_block(self, len: usize) -> Block<'a> {
        if let Some(body) = self.stored.filter(|body| body.len() == len) {
            return Block { head: Vec::new(), body, stored: true, len };
        }
        let mut head = MAGIC.to_vec();
        head.push(if self.window.is_none() { SIZE_OF_4 | SINGLE_SEGMENT } else { SIZE_OF_4 });
        head.extend(self.window);
        head.extend((len as u32).to_le_bytes());
        Block { head, body: self.blocks, stored: false, len }
    }
}

fn take<'a>(src: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (taken, rest) = src.split_at_checked(len).ok_or_else(truncated)?;
    *src = rest;
    Ok(taken)
}

/// The content size from its field, which counts from 256 where it has two bytes.
fn number(field: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..field.len()].copy_from_slice(field);
    let number = u64::from_le_bytes(bytes);
    match field.len() {
        0 => None,
        2 => Some(number + 256),
        _ => Some(number),
    }
}

/// Passes over the blocks of a frame; the content of the first, if it is the only one and stored.
fn skip_blocks<'a>(src: &mut &'a [u8]) -> Result<Option<&'a [u8]>> {
    for i in 0.. {
        let header = number(&[take(src, 3)?, &[0]].concat()).unwrap_or_default();
        let (last, kind, len) = (header & 1 != 0, header >> 1 & 3, (header >> 3) as usize);
        let body = match kind {
            0 | 2 => take(src, len)?,
            1 => take(src, 1)?,
            _ => return Err(Error::corrupt("zstd block of the reserved type")),
        };
        if last {
            return Ok(Some(body).filter(|_| i == 0 && kind == 0));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::tests::Given;

    /// Frames of 300 bytes: one in an RLE block with the size in two bytes, one with a window and no size.
    const SIZED: [u8; 11] = [0x28, 0xb5, 0x2f, 0xfd, 0x60, 44, 0, 0x63, 9, 0, b'a'];
    const UNSIZED: [u8; 10] = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x30, 0x63, 9, 0, b'a'];

    #[test]
    fn every_frame_gets_its_size_and_checksum() {
        let content = [b'a'; 300];
        for frame in [&SIZED[..], &UNSIZED] {
            let mut out = [0; 400];
            let n = Zstd::wrap(&content, &mut out, &mut Given::new(&[frame])).expect("room enough");
            let found = Zstd::unwrap(&out[..n]).expect("a valid frame");
            assert_eq!((found.len, found.blocks.len(), found.checks.len()), (300, 1, 1));
            assert_eq!(clipsmaster_framing::verify(&found.checks, &content), Ok(()));
            assert_eq!(found.blocks[0].body, [0x63, 9, 0, b'a']);
            for cut in 1..n {
                let kind = Zstd::unwrap(&out[..cut]).map_err(|e| e.kind).err();
                assert_eq!(kind, Some(ErrorKind::Truncated), "at {cut}");
            }
            assert!(Zstd::unwrap(&[&out[..n], b"junk"].concat()).is_err());
        }
        assert_eq!(Zstd::unwrap(&UNSIZED).map_err(|e| e.kind).err(), Some(ErrorKind::Unsupported));
    }

    #[test]
    fn a_piece_that_grows_is_stored_within_the_bound() {
        let content = vec![7; Zstd::PIECE_BYTES + 1];
        let long = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x30][..], &[9, 0, 8], &[0; 1 << 16], &[1, 0, 0]].concat();
        let mut out = vec![0; Zstd::bound(content.len())];
        let n = Zstd::wrap(&content, &mut out, &mut Given::new(&[&long, &long])).expect("the bound holds");
        let found = Zstd::unwrap(&out[..n]).expect("valid frames");
        assert!(found.blocks.iter().all(|b| b.stored) && found.len == content.len());
    }
}
