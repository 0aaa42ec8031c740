//! The Snappy framing format (<https://github.com/google/snappy/blob/main/framing_format.txt>).
//!
//! The format has no end mark: input cut between two chunks is valid, and only a container can tell.

use crate::{Block, Check, Frames, Layout, Output, Source};
use clipsmaster_plugin_api::{Error, ErrorKind, Result};

/// First bytes of a frame: the stream identifier.
pub const MAGIC: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// Most bytes in one chunk; [`compress`] hands out no larger block.
pub const BLOCK_BYTES: usize = 64 << 10;

const COMPRESSED: u8 = 0x00;
const STORED: u8 = 0x01;
const SKIPPABLE: u8 = 0x80;
const IDENTIFIER: u8 = 0xff;
/// Type, length and checksum.
const HEADER_BYTES: usize = 1 + 3 + 4;
/// Longest valid raw block of [`BLOCK_BYTES`] (formula of `snappy::MaxCompressedLength`).
const RAW_BYTES: usize = 32 + BLOCK_BYTES + BLOCK_BYTES / 6;

/// Largest frame for `len` bytes: all chunks stored.
pub const fn bound(len: usize) -> usize {
    MAGIC.len() + len + HEADER_BYTES * len.div_ceil(BLOCK_BYTES)
}

/// Writes `src` as one frame into `dst`; the bytes written.
///
/// `block` compresses its first argument into its second, and answers `None` when that is too small;
/// the block is then stored as it is, as are those that shrink by less than an eighth.
///
/// # Errors
/// [`ErrorKind::DestinationTooSmall`].
pub fn compress(
    src: &[u8],
    dst: &mut [u8],
    mut block: impl FnMut(&[u8], &mut [u8]) -> Option<usize>,
) -> Result<usize> {
    let mut out = Output::new(dst);
    out.put(MAGIC)?;
    for piece in src.chunks(BLOCK_BYTES) {
        let worth = |n: &usize| *n < piece.len() - piece.len() / 8;
        match block(piece, out.after(HEADER_BYTES)).filter(worth) {
            Some(n) => {
                put_header(&mut out, COMPRESSED, n, piece)?;
                out.len += n;
            }
            None => {
                put_header(&mut out, STORED, piece.len(), piece)?;
                out.put(piece)?;
            }
        }
    }
    Ok(out.len)
}

fn put_header(out: &mut Output<'_>, kind: u8, len: usize, content: &[u8]) -> Result<()> {
    let [low, middle, high, ..] = (len + 4).to_le_bytes();
    out.put(&[kind, low, middle, high])?;
    out.put(&checksum(content).to_le_bytes())
}

/// CRC-32C, masked as the format says, since data may hold checksums of itself.
fn checksum(content: &[u8]) -> u32 {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Where the blocks of all chunks of `src` are, and what they decode to. Nothing is decoded.
///
/// # Errors
/// Damage that shows without decoding.
pub fn layout(mut src: &[u8]) -> Result<Layout<'_>> {
    let mut layout = Layout::default();
    let mut began = false;
    while !began || !src.is_empty() {
        let word = src.take_u32()?;
        let (kind, len) = (word as u8, (word >> 8) as usize);
        let (chunk, after) = src.split_at_checked(len).ok_or_else(crate::source::truncated)?;
        src = after;
        match kind {
            IDENTIFIER if *chunk == MAGIC[4..] => began = true,
            _ if !began || kind == IDENTIFIER => return Err(Error::corrupt("no snappy stream identifier")),
            COMPRESSED | STORED => layout.put_chunk(kind == STORED, chunk)?,
            SKIPPABLE.. => {}
            _ => return Err(Error::corrupt(format!("snappy chunk of reserved type {kind:#04x}"))),
        }
    }
    Ok(layout)
}

impl<'a> Layout<'a> {
    fn put_chunk(&mut self, stored: bool, chunk: &'a [u8]) -> Result<()> {
        let checksum = chunk.split_first_chunk().filter(|_| chunk.len() <= 4 + RAW_BYTES);
        let Some((expected, data)) = checksum else {
            return Err(Error::corrupt(format!("snappy chunk of {} bytes", chunk.len())));
        };
        let len = if stored { data.len() } else { raw_size(data)? };
        if len > BLOCK_BYTES {
            return Err(Error::corrupt(format!("snappy chunk decodes to {len} bytes")));
        }
        let range = self.len..self.len + len;
        self.checks.push(Check { range, expected: u32::from_le_bytes(*expected), sum: self::checksum });
        self.blocks.push(Block { data, stored, len });
        self.len += len;
        Ok(())
    }
}

/// Decompresses a raw block, which tells its size, into exactly that much room.
pub type DecompressBlock = fn(src: &[u8], dst: &mut [u8]) -> Result<()>;

/// Decodes Snappy frames.
pub struct SnappyFrames {
    decompress: DecompressBlock,
    began: bool,
    skips_checksum: bool,
}

impl std::fmt::Debug for SnappyFrames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnappyFrames").field("began", &self.began).finish_non_exhaustive()
    }
}

impl SnappyFrames {
    /// A decoder whose blocks go through `decompress`.
    pub fn new(decompress: DecompressBlock) -> Self {
        Self { decompress, began: false, skips_checksum: false }
    }

    /// Whether checksums of content are left to the caller.
    #[must_use]
    pub fn skip_checksum(self, skips_checksum: bool) -> Self {
        Self { skips_checksum, ..self }
    }
}

impl Frames for SnappyFrames {
    const HISTORY_BYTES: usize = 0;
    const BLOCK_BYTES: usize = BLOCK_BYTES;

    fn next_block(&mut self, source: &mut impl Source, out: &mut [u8], at: usize) -> Result<Option<usize>> {
        while !self.began || !source.at_end()? {
            let word = source.take_u32()?;
            let (kind, len) = (word as u8, (word >> 8) as usize);
            match kind {
                IDENTIFIER if len == 6 && source.take(len)? == &MAGIC[4..] => self.began = true,
                _ if !self.began || kind == IDENTIFIER => {
                    return Err(Error::corrupt("no snappy stream identifier"));
                }
                COMPRESSED | STORED => return self.chunk(kind, len, source, &mut out[at..]).map(Some),
                SKIPPABLE.. => source.skip(len)?,
                _ => return Err(Error::corrupt(format!("snappy chunk of reserved type {kind:#04x}"))),
            }
        }
        Ok(None)
    }
}

impl SnappyFrames {
    fn chunk(&self, kind: u8, len: usize, source: &mut impl Source, out: &mut [u8]) -> Result<usize> {
        if !(4..=4 + RAW_BYTES).contains(&len) {
            return Err(Error::corrupt(format!("snappy chunk of {len} bytes")));
        }
        let expected = source.take_u32()?;
        let block = source.take(len - 4)?;
        let size = if kind == STORED { block.len() } else { raw_size(block)? };
        if size > BLOCK_BYTES {
            return Err(Error::corrupt(format!("snappy chunk decodes to {size} bytes")));
        }
        let out = out.get_mut(..size).ok_or(ErrorKind::DestinationTooSmall)?;
        match kind {
            STORED => out.copy_from_slice(block),
            _ => (self.decompress)(block, out)?,
        }
        if !self.skips_checksum && checksum(out) != expected {
            return Err(Error::corrupt("snappy checksum differs"));
        }
        Ok(size)
    }
}

/// The size a raw block declares: a number in groups of seven bits, the low ones first. Three groups
/// hold the largest one allowed here.
fn raw_size(block: &[u8]) -> Result<usize> {
    let mut size = 0;
    for (i, byte) in block.iter().take(3).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
    Err(Error::corrupt("snappy block without a size"))
}

/// Sum of the sizes that the chunks of `src` declare.
pub fn content_size(mut src: &[u8]) -> Option<u64> {
    let mut total = 0u64;
    while !src.is_empty() {
        let word = src.take_u32().ok()?;
        let (kind, len) = (word as u8, (word >> 8) as usize);
        let chunk = src.take(len).ok()?;
        let size = match kind {
            COMPRESSED => raw_size(chunk.get(4..)?).ok()?,
            STORED => len.checked_sub(4)?,
            SKIPPABLE.. => 0,
            _ => return None,
        };
        total = total.checked_add(size as u64)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompress as decode;
    use snap::raw;
    use std::io::Read;

    fn frame(src: &[u8]) -> Vec<u8> {
        let mut dst = vec![0; bound(src.len())];
        let n = compress(src, &mut dst, |src, dst| {
            let packed = raw::Encoder::new().compress_vec(src).ok()?;
            dst.get_mut(..packed.len())?.copy_from_slice(&packed);
            Some(packed.len())
        });
        dst.truncate(n.expect("the bound holds"));
        dst
    }

    fn block(src: &[u8], dst: &mut [u8]) -> Result<()> {
        raw::Decoder::new().decompress(src, dst).map(|_| ()).map_err(Error::corrupt)
    }

    fn decoded(src: &[u8], room: usize) -> Result<Vec<u8>> {
        let mut dst = vec![0; room];
        let n = decode(SnappyFrames::new(block), src, &mut dst)?;
        dst.truncate(n);
        Ok(dst)
    }

    #[test]
    fn another_reader_agrees() {
        let content = b"snappy, snappier, snappiest; ".repeat(5_000);
        let mut back = Vec::new();
        snap::read::FrameDecoder::new(&frame(&content)[..]).read_to_end(&mut back).expect("a valid frame");
        assert_eq!(back, content);
    }

    #[test]
    fn the_layout_tells_every_block() {
        let content = b"snappy, snappier, snappiest; ".repeat(5_000);
        let src = [frame(&content), vec![0x80, 2, 0, 0, 9, 9], frame(b"x")].concat();
        let found = layout(&src).expect("a valid input");
        assert_eq!((found.blocks.len(), found.len), (4, content.len() + 1));
        assert!(found.blocks[3].stored);
        assert_eq!(crate::verify(&found.checks, &[&content[..], b"x"].concat()), Ok(()));
        for cut in 0..MAGIC.len() {
            assert_eq!(layout(&src[..cut]).map_err(|e| e.kind).err(), Some(ErrorKind::Truncated), "at {cut}");
        }
        assert!(layout(&[&src[..], &[7, 0, 0, 0]].concat()).is_err());
    }

    #[test]
    fn padding_and_skippable_chunks_are_passed_over_and_others_refused() {
        let with = |kind: u8| [frame(b"one"), vec![kind, 2, 0, 0, 9, 9], frame(b"two")].concat();
        for kind in [0x80, 0xfd, 0xfe] {
            assert_eq!(decoded(&with(kind), 6), Ok(b"onetwo".to_vec()));
            assert_eq!(content_size(&with(kind)), Some(6));
        }
        for kind in [0x02, 0x7f] {
            assert_eq!(decoded(&with(kind), 6).map_err(|e| e.kind), Err(ErrorKind::Corrupt));
        }
    }

    #[test]
    fn a_cut_within_a_chunk_and_a_wrong_checksum_are_errors() {
        let whole = frame(&b"abcd".repeat(100));
        for cut in (0..whole.len()).filter(|cut| *cut != MAGIC.len()) {
            assert_eq!(
                decoded(&whole[..cut], 500).map_err(|e| e.kind),
                Err(ErrorKind::Truncated),
                "at {cut}"
            );
        }
        let mut damaged = whole;
        damaged[MAGIC.len() + 4] ^= 1;
        assert_eq!(decoded(&damaged, 500).map_err(|e| e.kind), Err(ErrorKind::Corrupt));
    }
}
