//! The frames the device writes and reads.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use lz4_flex::block;
use std::hash::Hasher;
use twox_hash::XxHash32;

const GZIP_HEADER: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 12, 0, b'Q', b'Z', 8, 0];
const GZIP_TRAILER_BYTES: usize = 8;
const LZ4_HEADER: [u8; 6] = [0x04, 0x22, 0x4d, 0x18, 0x4c, 0x40];
const STORED: u32 = 1 << 31;

/// A frame to be decoded.
pub(crate) struct Frame<'a> {
    pub bytes: usize,
    packed: &'a [u8],
    content_bytes: usize,
    decode: fn(&[u8], usize) -> Option<Vec<u8>>,
}

impl Frame<'_> {
    pub(crate) fn content(&self) -> Option<Vec<u8>> {
        (self.decode)(self.packed, self.content_bytes)
    }
}

fn number(src: &[u8], at: usize) -> Option<usize> {
    src.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b) as usize)
}

pub(crate) fn gzip(content: &[u8], level: u32) -> Vec<u8> {
    let mut deflated = vec![0; content.len() + content.len() / 8 + 64];
    let mut deflate = Compress::new(Compression::new(level), false);
    let status = deflate.compress(content, &mut deflated, FlushCompress::Finish);
    assert!(matches!(status, Ok(Status::StreamEnd)), "there is room enough");
    deflated.truncate(deflate.total_out() as usize);
    let mut frame = GZIP_HEADER.to_vec();
    frame.extend((content.len() as u32).to_le_bytes());
    frame.extend((deflated.len() as u32).to_le_bytes());
    frame.extend(deflated);
    frame.extend(crc32fast::hash(content).to_le_bytes());
    frame.extend((content.len() as u32).to_le_bytes());
    frame
}

pub(crate) fn gzip_at(src: &[u8]) -> Option<Frame<'_>> {
    let (content_bytes, deflated) = (number(src, 16)?, number(src, 20)?);
    let packed = src.get(24..24 + deflated)?;
    let bytes = 24 + deflated + GZIP_TRAILER_BYTES;
    let whole = src.starts_with(&GZIP_HEADER) && bytes <= src.len();
    whole.then_some(Frame { bytes, packed, content_bytes, decode: inflate })
}

/// The device compares no checksum.
fn inflate(packed: &[u8], content_bytes: usize) -> Option<Vec<u8>> {
    let mut content = vec![0; content_bytes];
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress(packed, &mut content, FlushDecompress::Finish).ok()?;
    (status == Status::StreamEnd && inflate.total_out() == content_bytes as u64).then_some(content)
}

pub(crate) fn lz4(content: &[u8]) -> Vec<u8> {
    let mut frame = LZ4_HEADER.to_vec();
    frame.extend((content.len() as u64).to_le_bytes());
    frame.push((XxHash32::oneshot(0, &frame[4..]) >> 8) as u8);
    let packed = block::compress(content);
    if packed.len() < content.len() {
        frame.extend((packed.len() as u32).to_le_bytes());
        frame.extend(packed);
    } else {
        frame.extend((content.len() as u32 | STORED).to_le_bytes());
        frame.extend_from_slice(content);
    }
    frame.extend([0; 4]);
    let mut hash = XxHash32::with_seed(0);
    hash.write(content);
    frame.extend(hash.finish_32().to_le_bytes());
    frame
}

pub(crate) fn lz4_at(src: &[u8]) -> Option<Frame<'_>> {
    let (content_bytes, word) = (number(src, 6)?, number(src, 15)? as u32);
    let len = (word & !STORED) as usize;
    let packed = src.get(19..19 + len)?;
    let bytes = 19 + len + 8;
    let whole = src.starts_with(&LZ4_HEADER) && number(src, 19 + len)? == 0 && bytes <= src.len();
    let decode = if word & STORED == 0 { unpack } else { |packed: &[u8], _| Some(packed.to_vec()) };
    whole.then_some(Frame { bytes, packed, content_bytes, decode })
}

fn unpack(packed: &[u8], content_bytes: usize) -> Option<Vec<u8>> {
    block::decompress(packed, content_bytes).ok().filter(|c| c.len() == content_bytes)
}
