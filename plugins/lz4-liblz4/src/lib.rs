//! `lz4-liblz4`: LZ4 frames through the C library, with its high-compression levels.
//!
//! The C library's blocks are used with our own framing, because no safe binding of its frame functions
//! decodes into the caller's buffer and tells where a frame ended.

#![forbid(unsafe_code)]

use clipsmaster_framing::{decoder, decompress, lz4 as frames};
use clipsmaster_plugin_api::{Codec, Decoder, Descriptor, OptionSpec, Options, Result, export_plugin};
use lzzzz::{lz4, lz4_hc};

/// Levels from here on are the library's high-compression ones, as in its `lz4frame.c`.
const FIRST_HC_LEVEL: i32 = 2;

/// The library's state lives in the thread, where the binding keeps it between calls.
struct LibLz4 {
    level: i32,
    skips_checksum: bool,
}

impl Codec for LibLz4 {
    const DESCRIPTOR: Descriptor = Descriptor::new("lz4", "liblz4")
        .library_version("1.10.0")
        .levels(0, 12, 1)
        .file("lz4", &frames::MAGIC)
        .options(&[OptionSpec::skip_checksum()]);
    const DECODER: Option<Decoder> =
        Some(|input, limits| Ok(decoder(frames::Lz4Frames::new(decompress_block), input, limits)));

    fn open(level: i32, options: &Options) -> Result<Self> {
        Ok(Self { level, skips_checksum: options.skips_checksum() })
    }

    fn compress_bound(&self, len: usize) -> usize {
        frames::bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        frames::compress(src, dst, !self.skips_checksum, |block, dst| {
            // No more room than shrinks the block: the library gives up on random data sooner.
            let room = dst.len().min(block.len() - 1);
            let dst = &mut dst[..room];
            match self.level {
                FIRST_HC_LEVEL.. => lz4_hc::compress(block, dst, self.level).ok(),
                _ => lz4::compress(block, dst, lz4::ACC_LEVEL_DEFAULT).ok(),
            }
        })
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let frames = frames::Lz4Frames::new(decompress_block).skip_checksum(self.skips_checksum);
        decompress(frames, src, dst)
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        frames::content_size(src)
    }

    /// `LZ4_sizeofState` and `LZ4_sizeofStateHC`.
    fn scratch_bytes(level: i32, _len: usize) -> u64 {
        if level < FIRST_HC_LEVEL { 16_416 } else { 262_200 }
    }
}

fn decompress_block(src: &[u8], dst: &mut [u8], history: &[u8]) -> Option<usize> {
    let decoded = match history {
        [] => lz4::decompress(src, dst),
        _ => lz4::decompress_with_dict(src, dst, history),
    };
    decoded.ok()
}

export_plugin! { id: "lz4-liblz4", codecs: [LibLz4] }
