//! `snappy`: the Snappy framing format (`.sz`) through snap.

#![forbid(unsafe_code)]

use clipsmaster_framing::{decoder, decompress, snappy};
use clipsmaster_plugin_api::{Codec, Decoder, Descriptor, Error, OptionSpec, Options, Result, export_plugin};
use snap::raw::{self, max_compress_len};

struct Snappy {
    encoder: raw::Encoder,
    /// For blocks whose destination is smaller than snap wants to begin with.
    scratch: Vec<u8>,
    skips_checksum: bool,
}

impl Codec for Snappy {
    const DESCRIPTOR: Descriptor = Descriptor::new("snappy", "snap")
        .library_version("1.1.2")
        .levels(1, 1, 1)
        .file("sz", snappy::MAGIC)
        .options(&[OptionSpec::skip_checksum()]);
    const DECODER: Option<Decoder> =
        Some(|input, limits| Ok(decoder(snappy::SnappyFrames::new(decompress_block), input, limits)));

    fn open(_level: i32, options: &Options) -> Result<Self> {
        let skips_checksum = options.skips_checksum();
        Ok(Self { encoder: raw::Encoder::new(), scratch: Vec::new(), skips_checksum })
    }

    /// What the last block needs to be compressed in place; the result is never longer than `snappy::bound`.
    fn compress_bound(&self, len: usize) -> usize {
        let block = len.min(snappy::BLOCK_BYTES);
        snappy::bound(len) + max_compress_len(block) - block
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        snappy::compress(src, dst, |block, dst| self.block(block, dst))
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let frames = snappy::SnappyFrames::new(decompress_block).skip_checksum(self.skips_checksum);
        decompress(frames, src, dst)
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        snappy::content_size(src)
    }

    /// The table, and a block in scratch at worst.
    fn scratch_bytes(_level: i32, len: usize) -> u64 {
        (32 << 10) + max_compress_len(len.min(snappy::BLOCK_BYTES)) as u64
    }
}

impl Snappy {
    fn block(&mut self, block: &[u8], dst: &mut [u8]) -> Option<usize> {
        let most = max_compress_len(block.len());
        if dst.len() >= most {
            return self.encoder.compress(block, dst).ok();
        }
        if self.scratch.len() < most {
            self.scratch.resize(most, 0);
        }
        let n = self.encoder.compress(block, &mut self.scratch).ok()?;
        dst.get_mut(..n)?.copy_from_slice(&self.scratch[..n]);
        Some(n)
    }
}

fn decompress_block(src: &[u8], dst: &mut [u8]) -> Result<()> {
    raw::Decoder::new().decompress(src, dst).map(|_| ()).map_err(Error::corrupt)
}

export_plugin! { id: "snappy", codecs: [Snappy] }
