//! `bzip2`: bzip2 streams through libbz2-rs, a port of the C library to Rust.

#![forbid(unsafe_code)]

use bzip2::{Action, Compress, Compression, Status, bufread::MultiBzDecoder};
use clipsmaster_plugin_api::{
    Codec, Decoder, Descriptor, Error, ErrorKind, Options, Result, export_plugin, read_to_end_into,
};
use std::io::BufReader;

/// The library's choice of when to give up on repetitive blocks.
const DEFAULT_WORK_FACTOR: u32 = 0;

/// Memory to decode the largest blocks; the manual: "100k + ( 4 x block size )".
const DECODER_BYTES: u64 = 100_000 + 4 * 900_000;

/// The library cannot reset its contexts, so there is nothing to keep between calls.
struct Bzip2 {
    level: u32,
}

impl Codec for Bzip2 {
    const DESCRIPTOR: Descriptor =
        Descriptor::new("bzip2", "libbz2-rs").library_version("0.2.6").levels(1, 9, 9).file("bz2", b"BZh");
    const DECODER: Option<Decoder> = Some(|input, limits| {
        if limits.memory_bytes < DECODER_BYTES {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                format!("bzip2 decodes with {DECODER_BYTES} bytes"),
            ));
        }
        Ok(Box::new(MultiBzDecoder::new(BufReader::with_capacity(64 << 10, input))))
    });

    fn open(level: i32, _options: &Options) -> Result<Self> {
        Ok(Self { level: level.unsigned_abs() })
    }

    /// The manual: "1% larger than the uncompressed data, plus six hundred extra bytes".
    fn compress_bound(&self, len: usize) -> usize {
        len + len / 100 + 600
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let level = self.level.min(level_for(src.len()));
        let mut encoder = Compress::new(Compression::new(level), DEFAULT_WORK_FACTOR);
        let (mut read, mut written) = (0, 0);
        // One call does all of it, up to the 4 GiB that the library counts with.
        while written < dst.len() {
            let status = encoder.compress(&src[read..], &mut dst[written..], Action::Finish);
            (read, written) = (encoder.total_in() as usize, encoder.total_out() as usize);
            if status.map_err(Error::internal)? == Status::StreamEnd {
                return Ok(written);
            }
        }
        Err(ErrorKind::DestinationTooSmall.into())
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        read_to_end_into(MultiBzDecoder::new(src), dst)
    }

    /// The manual: "400k + ( 8 x block size )".
    fn scratch_bytes(level: i32, _len: usize) -> u64 {
        400_000 + 8 * 100_000 * u64::from(level.unsigned_abs())
    }
}

/// The lowest level whose block holds all of `len` bytes. The result is that of any higher level, but both
/// sides reserve and clear less memory, which takes longer than decoding a small chunk.
fn level_for(len: usize) -> u32 {
    // The run-length coding before the transform turns 4 bytes into 5 at worst; 19 bytes stay unused.
    let block_bytes = len.saturating_add(len / 4 + 20);
    block_bytes.div_ceil(100_000).clamp(1, 9) as u32
}

export_plugin! { id: "bzip2", codecs: [Bzip2] }
