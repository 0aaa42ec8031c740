//! `gzip/qat/qatzip`: members with QATzip's extra field, which tells their sizes, so that the device can decode them again.
//!
//! All other members, and small ones, are decoded on the CPU.

use crate::{
    FEWEST_BYTES, HIGHEST_LEVEL, blame,
    ffi::{Format, Session},
    wrong_bytes,
};
use clipsmaster_framing::gzip::{MAGIC, TRAILER_BYTES};
use clipsmaster_plugin_api::{
    Codec, Descriptor, Error, ErrorKind, Options, Result, Unavailable, hardware, read_to_end_into,
};
use flate2::{Compress, Compression, FlushCompress, Status, bufread::GzDecoder};

/// Flags with nothing but an extra field, then time, flags and system, then the field: 12 bytes of `QZ`, 8, and two sizes.
const EXTRA: u8 = 4;
const HEADER_BYTES: usize = 24;
const WINDOW_BITS: u8 = 15;

pub(crate) struct QatGzip {
    device: Session,
    deflate: Compress,
}

impl Codec for QatGzip {
    const DESCRIPTOR: Descriptor = Descriptor::new("gzip", "qatzip")
        .hardware(hardware::QAT)
        .levels(1, HIGHEST_LEVEL, 1)
        .file("gz", &MAGIC)
        .max_chunk_bytes(Session::MOST_BYTES as u64)
        .trusted_input_only();

    fn probe() -> Result<String, Unavailable> {
        Session::probe(Format::GzipExt)
    }

    fn open(level: i32, _options: &Options) -> Result<Self> {
        let level = level.unsigned_abs();
        let deflate = Compress::new_gzip(Compression::new(level), WINDOW_BITS);
        Ok(Self { device: Session::open(Format::GzipExt, level)?, deflate })
    }

    fn compress_bound(&self, len: usize) -> usize {
        self.device.compress_bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        if src.len() < FEWEST_BYTES {
            return self.small_member(src, dst);
        }
        let written = self.device.compress(src, dst)?;
        check(src, &dst[..written])?;
        Ok(written)
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        loop {
            let dst = &mut dst[written..];
            let run = Run::of(src, dst.len(), self.device.largest_frame_bytes());
            written += if run.bytes > 0 { self.run(src, &run, dst)? } else { member(&mut src, dst)? };
            src = &src[run.bytes..];
            if src.is_empty() {
                return Ok(written);
            }
        }
    }
}

impl QatGzip {
    fn small_member(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.deflate.reset();
        let status = self.deflate.compress(src, dst, FlushCompress::Finish).map_err(Error::internal)?;
        match status {
            Status::StreamEnd => Ok(self.deflate.total_out() as usize),
            _ => Err(ErrorKind::DestinationTooSmall.into()),
        }
    }

    /// Decodes a run of members on the device.
    fn run(&mut self, src: &[u8], run: &Run, dst: &mut [u8]) -> Result<usize> {
        let (src, dst) = (&src[..run.bytes], &mut dst[..run.content_bytes]);
        let answer = self.device.decompress(src, dst).and_then(|()| check(dst, src));
        answer.map_err(|e| blame(e, || members(src, dst)))?;
        Ok(dst.len())
    }
}

/// Compares members with their content, by the lengths and checksums in them.
fn check(mut content: &[u8], mut members: &[u8]) -> Result<()> {
    while let Some(sizes) = Sizes::of(members) {
        let (member, rest) = members.split_at(sizes.bytes);
        let piece = content.split_at_checked(sizes.content_bytes);
        let (piece, more) = piece.ok_or_else(|| wrong_bytes("more content than there was"))?;
        if member[sizes.bytes - TRAILER_BYTES..][..4] != crc32fast::hash(piece).to_le_bytes() {
            return Err(wrong_bytes("a gzip checksum differs"));
        }
        (content, members) = (more, rest);
    }
    if content.is_empty() && members.is_empty() { Ok(()) } else { Err(wrong_bytes("lengths differ")) }
}

/// Decodes the member that `src` begins with, on the CPU.
fn member(src: &mut &[u8], dst: &mut [u8]) -> Result<usize> {
    read_to_end_into(GzDecoder::new(src), dst)
}

/// Decodes members on the CPU into exactly `dst`.
fn members(mut src: &[u8], dst: &mut [u8]) -> Result<()> {
    let mut written = 0;
    while !src.is_empty() {
        written += member(&mut src, &mut dst[written..])?;
    }
    if written == dst.len() { Ok(()) } else { Err(Error::corrupt("gzip lengths differ")) }
}

/// What QATzip's extra field says of a member, if the whole member is there.
struct Sizes {
    bytes: usize,
    content_bytes: usize,
}

impl Sizes {
    fn of(src: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = src.first_chunk()?;
        let is_qatzip =
            header.starts_with(&MAGIC) && header[3] == EXTRA && header[10..16] == [12, 0, b'Q', b'Z', 8, 0];
        let number = |at: usize| header[at..].first_chunk().map(|b| u32::from_le_bytes(*b) as usize);
        let (content_bytes, deflated) = (number(16)?, number(20)?);
        let bytes = HEADER_BYTES + deflated + TRAILER_BYTES;
        let length = src.get(bytes - 4..bytes)?;
        (is_qatzip && length == (content_bytes as u32).to_le_bytes()).then_some(Self { bytes, content_bytes })
    }
}

/// Members in a row that the device can decode.
#[derive(Default)]
struct Run {
    bytes: usize,
    content_bytes: usize,
}

impl Run {
    /// The longest one at the start of `src` that decodes into `room` bytes.
    fn of(src: &[u8], room: usize, largest_frame_bytes: usize) -> Self {
        let mut run = Self::default();
        while let Some(sizes) = Sizes::of(&src[run.bytes..]) {
            let fits = (FEWEST_BYTES..=largest_frame_bytes).contains(&sizes.content_bytes)
                && run.content_bytes + sizes.content_bytes <= room.min(Session::MOST_BYTES)
                && run.bytes + sizes.bytes <= Session::MOST_BYTES;
            if !fits {
                break;
            }
            run.bytes += sizes.bytes;
            run.content_bytes += sizes.content_bytes;
        }
        run
    }
}
