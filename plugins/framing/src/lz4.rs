//! The LZ4 frame format, version 1.6.4
//! (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>).
//!
//! Frames are written with independent blocks, content size and content checksum. Frames of any kind are read, except
//! those that need a dictionary, and the legacy format, which has no end mark.

use crate::{Block, Check, Frames, Layout, Output, Source};
use clipsmaster_plugin_api::{Error, ErrorKind, Result};
use std::hash::Hasher;
use twox_hash::XxHash32;

/// First bytes of a frame.
pub const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Largest block, in bytes; [`compress`] hands out no larger one.
pub const BLOCK_BYTES: usize = 4 << 20;

const HISTORY_BYTES: usize = 64 << 10;
const SKIPPABLE: std::ops::RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;
/// A block without content, as our containers put into frames: one token, of no literals and no match.
const EMPTY: [u8; 1] = [0];
const LEGACY: u32 = 0x184c_2102;
const STORED: u32 = 1 << 31;

const VERSION: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED: u8 = 0x02;
const DICTIONARY: u8 = 0x01;

/// Largest frame for `len` bytes: all blocks stored.
pub const fn bound(len: usize) -> usize {
    bound_in_blocks(len, BLOCK_BYTES)
}

/// As [`bound`], for [`compress_in_blocks`].
pub const fn bound_in_blocks(len: usize, most_bytes: usize) -> usize {
    const HEADER: usize = 4 + 2 + 8 + 1;
    const END: usize = 4 + 4;
    HEADER + len + 4 * len.div_ceil(most_bytes) + END
}

/// Writes `src` as one frame into `dst`, with a checksum of the content if `has_checksum`; the bytes written.
///
/// `block` compresses its first argument into its second, and answers `None` when that is too small
/// or the block does not shrink; the block is then stored as it is.
///
/// # Errors
/// [`ErrorKind::DestinationTooSmall`].
pub fn compress(
    src: &[u8],
    dst: &mut [u8],
    has_checksum: bool,
    block: impl FnMut(&[u8], &mut [u8]) -> Option<usize>,
) -> Result<usize> {
    compress_in_blocks(src, dst, BLOCK_BYTES, has_checksum, block)
}

/// As [`compress`], in blocks of at most `most_bytes`: 64 KiB, 256 KiB, 1 MiB or 4 MiB.
///
/// # Errors
/// As [`compress`].
pub fn compress_in_blocks(
    src: &[u8],
    dst: &mut [u8],
    most_bytes: usize,
    has_checksum: bool,
    mut block: impl FnMut(&[u8], &mut [u8]) -> Option<usize>,
) -> Result<usize> {
    let mut out = Output::new(dst);
    let (code, block_bytes) = block_size_for(src.len().min(most_bytes));
    let checksum = if has_checksum { CONTENT_CHECKSUM } else { 0 };
    let mut descriptor = [VERSION | INDEPENDENT | CONTENT_SIZE | checksum, code << 4, 0, 0, 0, 0, 0, 0, 0, 0];
    descriptor[2..].copy_from_slice(&(src.len() as u64).to_le_bytes());
    out.put(&MAGIC)?;
    out.put(&descriptor)?;
    out.put(&[header_checksum(&descriptor)])?;
    let mut content = XxHash32::with_seed(0);
    for piece in src.chunks(block_bytes) {
        match block(piece, out.after(4)).filter(|n| *n < piece.len()) {
            Some(n) => {
                out.put(&(n as u32).to_le_bytes())?;
                out.len += n;
            }
            None => {
                out.put(&(piece.len() as u32 | STORED).to_le_bytes())?;
                out.put(piece)?;
            }
        }
        if has_checksum {
            content.write(piece);
        }
    }
    out.put(&[0; 4])?;
    if has_checksum {
        out.put(&content.finish_32().to_le_bytes())?;
    }
    Ok(out.len)
}

/// Code and bytes of the smallest block size that holds `len` bytes, or of the largest.
fn block_size_for(len: usize) -> (u8, usize) {
    let code = (4..7).find(|code| len <= block_size(*code)).unwrap_or(7);
    (code, block_size(code))
}

fn block_size(code: u8) -> usize {
    1 << (8 + 2 * code)
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (XxHash32::oneshot(0, descriptor) >> 8) as u8
}

/// Sum of the content sizes in the headers of all frames of `src`, if each has one.
pub fn content_size(mut src: &[u8]) -> Option<u64> {
    let mut total = 0u64;
    while !src.is_empty() {
        let extent = extent(src).ok()?;
        total = total.checked_add(extent.content_bytes?)?;
        src = &src[extent.bytes..];
    }
    Some(total)
}

/// How far a frame reaches, and what it says of its content.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Bytes of the whole frame.
    pub bytes: usize,
    /// Bytes of its content, where the header tells; none in a skippable frame.
    pub content_bytes: Option<u64>,
    checksum: Option<u32>,
}

impl Extent {
    /// Whether `content` is what the frame says it holds, as far as it says anything.
    pub fn is_of(&self, content: &[u8]) -> bool {
        self.content_bytes.is_none_or(|n| n == content.len() as u64)
            && self.checksum.is_none_or(|sum| sum == XxHash32::oneshot(0, content))
    }
}

/// The extent of the frame that `src` begins with; blocks are passed over, not decoded.
///
/// # Errors
/// Those of the frame's structure.
pub fn extent(src: &[u8]) -> Result<Extent> {
    let mut rest = src;
    let Some(frame) = Frame::read(&mut rest)? else {
        return Ok(Extent { bytes: src.len() - rest.len(), content_bytes: Some(0), checksum: None });
    };
    loop {
        let word = rest.take_u32()?;
        if word == 0 {
            break;
        }
        rest.skip((word & !STORED) as usize + frame.checksum_bytes(BLOCK_CHECKSUM))?;
    }
    let checksum = if frame.flags & CONTENT_CHECKSUM != 0 { Some(rest.take_u32()?) } else { None };
    Ok(Extent { bytes: src.len() - rest.len(), content_bytes: frame.content_size, checksum })
}

/// Where the blocks of all frames of `src` are, and what they decode to. Nothing is decoded, but block checksums are
/// compared.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for frames whose blocks cannot be decoded apart (linked ones, no content size, blocks that are not
/// full); damage that shows without decoding.
pub fn layout(mut src: &[u8]) -> Result<Layout<'_>> {
    let unsupported = |what| Error::new(ErrorKind::Unsupported, format!("an lz4 frame {what}"));
    if src.is_empty() {
        return Err(crate::source::truncated());
    }
    let mut layout = Layout::default();
    while !src.is_empty() {
        let Some(frame) = Frame::read(&mut src)? else { continue };
        let size = frame.content_size.ok_or_else(|| unsupported("without content size"))?;
        let start = layout.len;
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let end = end.ok_or_else(|| unsupported("beyond the address space"))?;
        while let Some((bytes, stored)) = frame.next_header(&mut src)? {
            let (data, after) = src.split_at_checked(bytes).ok_or_else(crate::source::truncated)?;
            src = after;
            let data = frame.checked(data)?;
            if !stored && data == EMPTY {
                continue;
            }
            let len = if stored { data.len() } else { frame.block_bytes.min(end - layout.len) };
            if len == 0 || len > end - layout.len {
                return Err(unsupported("whose blocks are not full"));
            }
            layout.blocks.push(Block { data, stored, len });
            layout.len += len;
            let last = layout.len == end;
            if !last && (len < frame.block_bytes || frame.flags & INDEPENDENT == 0) {
                return Err(unsupported("whose blocks cannot be decoded apart"));
            }
        }
        if layout.len != end {
            return Err(unsupported("whose blocks are not full"));
        }
        if frame.flags & CONTENT_CHECKSUM != 0 {
            let expected = src.take_u32()?;
            layout.checks.push(Check {
                range: start..end,
                expected,
                sum: |content| XxHash32::oneshot(0, content),
            });
        }
    }
    Ok(layout)
}

/// Decompresses a raw block: source, destination, and the output before it that it may refer to.
/// `None` when the block is damaged or the destination too small.
pub type DecompressBlock = fn(src: &[u8], dst: &mut [u8], history: &[u8]) -> Option<usize>;

/// Decodes LZ4 frames.
pub struct Lz4Frames {
    decompress: DecompressBlock,
    frame: Option<Frame>,
    began: bool,
    skips_checksum: bool,
}

impl std::fmt::Debug for Lz4Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lz4Frames").field("began", &self.began).finish_non_exhaustive()
    }
}

impl Lz4Frames {
    /// A decoder whose blocks go through `decompress`.
    pub fn new(decompress: DecompressBlock) -> Self {
        Self { decompress, frame: None, began: false, skips_checksum: false }
    }

    /// Whether checksums of content are left to the caller; those of blocks and headers are compared all the same.
    #[must_use]
    pub fn skip_checksum(self, skips_checksum: bool) -> Self {
        Self { skips_checksum, ..self }
    }
}

impl Frames for Lz4Frames {
    const HISTORY_BYTES: usize = HISTORY_BYTES;
    const BLOCK_BYTES: usize = BLOCK_BYTES;

    fn next_block(&mut self, source: &mut impl Source, out: &mut [u8], at: usize) -> Result<Option<usize>> {
        loop {
            if let Some(frame) = &mut self.frame {
                if let Some(n) = frame.next_block(self.decompress, source, out, at)? {
                    return Ok(Some(n));
                }
                self.frame = None;
            } else if self.began && source.at_end()? {
                return Ok(None);
            } else {
                self.frame = Frame::read(source)?.map(|f| Frame { skips_checksum: self.skips_checksum, ..f });
                self.began = true;
            }
        }
    }
}

/// A frame whose header was read.
struct Frame {
    flags: u8,
    block_bytes: usize,
    content_size: Option<u64>,
    decoded: u64,
    content: XxHash32,
    skips_checksum: bool,
}

impl Frame {
    /// Reads a header; `None` when it was a skippable frame, which is passed over.
    fn read(source: &mut impl Source) -> Result<Option<Self>> {
        let magic = source.take_u32()?;
        if SKIPPABLE.contains(&magic) {
            let len = source.take_u32()?;
            source.skip(len as usize)?;
            return Ok(None);
        }
        if magic == LEGACY {
            return Err(Error::new(ErrorKind::Unsupported, "a frame of the legacy lz4 format (lz4 -l)"));
        }
        if magic != u32::from_le_bytes(MAGIC) {
            return Err(Error::corrupt(format!("no lz4 frame: it starts with {magic:#010x}")));
        }
        let mut descriptor = source.take(2)?.to_vec();
        let (flags, block) = (descriptor[0], descriptor[1]);
        if flags & 0xc0 != VERSION || flags & RESERVED != 0 || block & 0x8f != 0 || block >> 4 < 4 {
            return Err(Error::corrupt("invalid lz4 frame descriptor"));
        }
        let extra =
            if flags & CONTENT_SIZE != 0 { 8 } else { 0 } + if flags & DICTIONARY != 0 { 4 } else { 0 };
        descriptor.extend_from_slice(source.take(extra)?);
        if source.take(1)?[0] != header_checksum(&descriptor) {
            return Err(Error::corrupt("lz4 header checksum differs"));
        }
        if flags & DICTIONARY != 0 {
            return Err(Error::new(ErrorKind::Unsupported, "the lz4 frame needs a dictionary"));
        }
        let content_size = descriptor[2..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let (block_bytes, content) = (block_size(block >> 4), XxHash32::with_seed(0));
        Ok(Some(Self { flags, block_bytes, content_size, decoded: 0, content, skips_checksum: false }))
    }

    /// Decodes the next block; `None` after the end mark and what follows it.
    fn next_block(
        &mut self,
        decompress: DecompressBlock,
        source: &mut impl Source,
        out: &mut [u8],
        at: usize,
    ) -> Result<Option<usize>> {
        let Some((bytes, stored)) = self.next_header(source)? else {
            return self.finish(source).map(|()| None);
        };
        let block = self.checked(source.take(bytes)?)?;
        let len = block.len();
        let (before, room) = out.split_at_mut(at);
        let room_bytes = room.len().min(self.block_bytes);
        let room = &mut room[..room_bytes];
        let n = if stored {
            room.get_mut(..len).ok_or(ErrorKind::DestinationTooSmall)?.copy_from_slice(block);
            len
        } else {
            let history = &before[at - self.history_bytes(at)..];
            let decoded = decompress(block, room, history);
            decoded.ok_or_else(|| self.why_not(decompress, block, room.len(), history))?
        };
        self.decoded += n as u64;
        if self.flags & CONTENT_CHECKSUM != 0 && !self.skips_checksum {
            self.content.write(&room[..n]);
        }
        Ok(Some(n))
    }

    /// Bytes of the next block in the frame, its checksum included, and whether it is stored; `None` at the end mark.
    fn next_header(&self, source: &mut impl Source) -> Result<Option<(usize, bool)>> {
        let word = source.take_u32()?;
        if word == 0 {
            return Ok(None);
        }
        let len = (word & !STORED) as usize;
        if len > self.block_bytes {
            return Err(Error::corrupt(format!(
                "lz4 block of {len} bytes in a frame with {}",
                self.block_bytes
            )));
        }
        Ok(Some((len + self.checksum_bytes(BLOCK_CHECKSUM), word & STORED != 0)))
    }

    /// A block without its checksum, which is compared.
    fn checked<'b>(&self, block: &'b [u8]) -> Result<&'b [u8]> {
        let (block, checksum) = block.split_at(block.len() - self.checksum_bytes(BLOCK_CHECKSUM));
        if !checksum.is_empty() && checksum != XxHash32::oneshot(0, block).to_le_bytes() {
            return Err(Error::corrupt("lz4 block checksum differs"));
        }
        Ok(block)
    }

    /// Bytes before `at` that a block may refer to: linked blocks see the frame so far.
    fn history_bytes(&self, at: usize) -> usize {
        if self.flags & INDEPENDENT != 0 {
            return 0;
        }
        at.min(HISTORY_BYTES).min(usize::try_from(self.decoded).unwrap_or(HISTORY_BYTES))
    }

    /// Libraries answer one error for a damaged block and for a small destination: try with room enough.
    fn why_not(&self, decompress: DecompressBlock, block: &[u8], room_bytes: usize, history: &[u8]) -> Error {
        let fits = room_bytes == self.block_bytes;
        if fits || decompress(block, &mut vec![0; self.block_bytes], history).is_none() {
            return Error::corrupt("damaged lz4 block");
        }
        ErrorKind::DestinationTooSmall.into()
    }

    fn finish(&self, source: &mut impl Source) -> Result<()> {
        if self.flags & CONTENT_CHECKSUM != 0 {
            let expected = source.take_u32()?;
            if !self.skips_checksum && expected != self.content.finish_32() {
                return Err(Error::corrupt("lz4 content checksum differs"));
            }
        }
        if let Some(size) = self.content_size.filter(|size| *size != self.decoded) {
            return Err(Error::corrupt(format!("lz4 frame of {} bytes declares {size}", self.decoded)));
        }
        Ok(())
    }

    fn checksum_bytes(&self, flag: u8) -> usize {
        if self.flags & flag != 0 { 4 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompress as decode;
    use lz4_flex::block;

    fn raw(src: &[u8], dst: &mut [u8], history: &[u8]) -> Option<usize> {
        block::decompress_into_with_dict(src, dst, history).ok()
    }

    fn frame(src: &[u8]) -> Vec<u8> {
        frame_by(true, src)
    }

    fn frame_by(has_checksum: bool, src: &[u8]) -> Vec<u8> {
        let mut dst = vec![0; bound(src.len())];
        let n = compress(src, &mut dst, has_checksum, |src, dst| {
            let packed = block::compress(src);
            dst.get_mut(..packed.len())?.copy_from_slice(&packed);
            Some(packed.len())
        });
        dst.truncate(n.expect("the bound holds"));
        dst
    }

    fn decoded(src: &[u8], room: usize) -> Result<Vec<u8>> {
        let mut dst = vec![0; room];
        let n = decode(Lz4Frames::new(raw), src, &mut dst)?;
        dst.truncate(n);
        Ok(dst)
    }

    #[test]
    fn frames_back_to_back_with_a_skippable_one_between() {
        let content = b"abcabcabcabcabcabcabcabcabc".repeat(10_000);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2];
        let src = [frame(&content), skippable.to_vec(), frame(&content), frame(b"")].concat();
        assert_eq!(decoded(&src, 2 * content.len()), Ok(content.repeat(2)));
        assert_eq!(content_size(&src), Some(2 * content.len() as u64));
        let small = decoded(&src, 2 * content.len() - 1).map_err(|e| e.kind);
        assert_eq!(small, Err(ErrorKind::DestinationTooSmall));
    }

    #[test]
    fn the_layout_tells_every_block_and_refuses_what_cannot_be_decoded_apart() {
        let content = b"abcabcabcabcabcabcabcabcabc".repeat(10_000);
        let mut small = vec![0; bound_in_blocks(content.len(), 64 << 10)];
        let n =
            compress_in_blocks(&content, &mut small, 64 << 10, true, |_, _| None).expect("the bound holds");
        let src = [&small[..n], &[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 1], &frame(&content)].concat();
        let found = layout(&src).expect("a valid input");
        assert_eq!((found.blocks.len(), found.checks.len(), found.len), (6, 2, 2 * content.len()));
        let mut out = vec![0; found.len];
        let mut at = 0;
        for block in &found.blocks {
            let dst = &mut out[at..at + block.len];
            at += block.len;
            if block.stored {
                dst.copy_from_slice(block.data);
            } else {
                assert_eq!(raw(block.data, dst, &[]), Some(block.len));
            }
        }
        assert_eq!(crate::verify(&found.checks, &out), Ok(()));
        out[7] ^= 1;
        assert!(crate::verify(&found.checks, &out).is_err());
        for cut in (1..src.len()).filter(|cut| ![n, n + 9].contains(cut)) {
            assert_eq!(layout(&src[..cut]).map_err(|e| e.kind).err(), Some(ErrorKind::Truncated), "at {cut}");
        }
        // A container's mark: an empty block behind the header of 15 bytes.
        let marked = [&src[..15], &[1, 0, 0, 0, 0], &src[15..]].concat();
        assert_eq!(layout(&marked).map(|l| l.len), Ok(found.len));
        let unsized_frame = [MAGIC.as_slice(), &[VERSION | INDEPENDENT, 4 << 4, 0x82, 0, 0, 0, 0]].concat();
        assert_eq!(layout(&unsized_frame).map_err(|e| e.kind).err(), Some(ErrorKind::Unsupported));
    }

    #[test]
    fn without_a_checksum_a_frame_is_four_bytes_shorter_and_reads_the_same() {
        let content = b"abcabcabcabcabcabcabcabcabc".repeat(100);
        let (with, without) = (frame(&content), frame_by(false, &content));
        assert_eq!(without.len() + 4, with.len());
        let both = [&without[..], &with].concat();
        assert_eq!(decoded(&both, 2 * content.len()), Ok(content.repeat(2)));
        assert_eq!(layout(&both).map(|l| l.checks.len()), Ok(1));
        let cut = decoded(&without[..without.len() - 1], content.len());
        assert_eq!(cut.map_err(|e| e.kind), Err(ErrorKind::Truncated));
    }

    #[test]
    fn every_cut_and_every_byte_too_many_is_an_error() {
        let whole = frame(&b"abcd".repeat(100));
        for cut in 0..whole.len() {
            assert_eq!(
                decoded(&whole[..cut], 500).map_err(|e| e.kind),
                Err(ErrorKind::Truncated),
                "at {cut}"
            );
        }
        assert!(decoded(&[&whole[..], &[0]].concat(), 500).is_err());
    }

    #[test]
    fn a_block_beyond_its_declared_size_is_corrupt_not_too_large_for_the_destination() {
        let packed = block::compress(&vec![0; (64 << 10) + 1]);
        let mut src = [MAGIC.as_slice(), &[VERSION | INDEPENDENT, 4 << 4]].concat();
        src.push(header_checksum(&src[4..]));
        src.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        src.extend_from_slice(&packed);
        assert_eq!(decoded(&src, 100).map_err(|e| e.kind), Err(ErrorKind::Corrupt));
    }
}
