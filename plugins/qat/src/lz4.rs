//! `lz4/qat/qatzip`: LZ4 frames of one block each, as the device writes and reads them.
//!
//! All other frames, and small ones, are done on the CPU.

use crate::{
    FEWEST_BYTES, HIGHEST_LEVEL, blame,
    ffi::{Format, Session},
    wrong_bytes,
};
use clipsmaster_framing::{decompress, lz4 as frames};
use clipsmaster_plugin_api::{Codec, Descriptor, Error, Options, Result, Unavailable, hardware};
use lz4_flex::block;

/// Flags and block size of the frames the device writes: linked blocks of up to 64 KiB, content size and checksum.
const DEVICE_DESCRIPTOR: [u8; 2] = [0x4c, 0x40];

pub(crate) struct QatLz4 {
    device: Session,
}

impl Codec for QatLz4 {
    const DESCRIPTOR: Descriptor = Descriptor::new("lz4", "qatzip")
        .hardware(hardware::QAT)
        .levels(1, HIGHEST_LEVEL, 1)
        .file("lz4", &frames::MAGIC)
        .max_chunk_bytes(Session::MOST_BYTES as u64)
        .trusted_input_only();

    fn probe() -> Result<String, Unavailable> {
        Session::probe(Format::Lz4)
    }

    fn open(level: i32, _options: &Options) -> Result<Self> {
        Ok(Self { device: Session::open(Format::Lz4, level.unsigned_abs())? })
    }

    fn compress_bound(&self, len: usize) -> usize {
        self.device.compress_bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        if src.len() < FEWEST_BYTES {
            return frames::compress(src, dst, true, |src, dst| block::compress_into(src, dst).ok());
        }
        let written = self.device.compress(src, dst)?;
        check(src, &dst[..written])?;
        Ok(written)
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        loop {
            let dst = &mut dst[written..];
            let run = self.run(src, dst.len(), true);
            let bytes = if run.bytes > 0 {
                written += self.decode(&src[..run.bytes], &mut dst[..run.content_bytes])?;
                run.bytes
            } else {
                let bytes = self.run(src, dst.len(), false).bytes;
                written += on_cpu(&src[..bytes], dst)?;
                bytes
            };
            src = &src[bytes..];
            if src.is_empty() {
                return Ok(written);
            }
        }
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        frames::content_size(src)
    }
}

/// Frames in a row.
#[derive(Default)]
struct Run {
    bytes: usize,
    content_bytes: usize,
}

impl QatLz4 {
    /// The longest run at the start of `src` that is for the device, or that is not. What is no whole frame belongs to the
    /// latter, to its end: the CPU says what is wrong with it.
    fn run(&self, src: &[u8], room: usize, for_device: bool) -> Run {
        let mut run = Run::default();
        while run.bytes < src.len() {
            let rest = &src[run.bytes..];
            let extent = frames::extent(rest).ok();
            let content = extent.and_then(|e| usize::try_from(e.content_bytes?).ok());
            let suits = rest.get(4..).is_some_and(|r| r.starts_with(&DEVICE_DESCRIPTOR))
                && content.is_some_and(|n| {
                    (FEWEST_BYTES..=self.device.largest_frame_bytes()).contains(&n)
                        && run.content_bytes.saturating_add(n) <= room.min(Session::MOST_BYTES)
                });
            let bytes = extent.map_or(rest.len(), |e| e.bytes);
            if suits != for_device || for_device && run.bytes + bytes > Session::MOST_BYTES {
                break;
            }
            run.bytes += bytes;
            run.content_bytes = run.content_bytes.saturating_add(content.unwrap_or(0));
        }
        run
    }

    /// Decodes a run on the device into exactly `dst`.
    fn decode(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let answer = self.device.decompress(src, dst).and_then(|()| check(dst, src));
        answer.map_err(|e| blame(e, || on_cpu(src, dst).and_then(|n| exactly(n, dst.len()))))?;
        Ok(dst.len())
    }
}

fn exactly(written: usize, expected: usize) -> Result<()> {
    if written == expected { Ok(()) } else { Err(Error::corrupt("lz4 lengths differ")) }
}

fn on_cpu(src: &[u8], dst: &mut [u8]) -> Result<usize> {
    decompress(frames::Lz4Frames::new(decompress_block), src, dst)
}

fn decompress_block(src: &[u8], dst: &mut [u8], history: &[u8]) -> Option<usize> {
    block::decompress_into_with_dict(src, dst, history).ok()
}

/// Compares frames with their content, by the lengths and checksums in them.
fn check(mut content: &[u8], mut src: &[u8]) -> Result<()> {
    while !src.is_empty() {
        let extent = frames::extent(src).map_err(|e| wrong_bytes(&e.to_string()))?;
        let len = extent.content_bytes.and_then(|n| usize::try_from(n).ok());
        let piece = len.and_then(|n| content.split_at_checked(n));
        let (piece, more) = piece.ok_or_else(|| wrong_bytes("a length is missing or differs"))?;
        if !extent.is_of(piece) {
            return Err(wrong_bytes("an lz4 checksum differs"));
        }
        (content, src) = (more, &src[extent.bytes..]);
    }
    if content.is_empty() { Ok(()) } else { Err(wrong_bytes("lengths differ")) }
}
