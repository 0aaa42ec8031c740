//! `lz4`: LZ4 frames through lz4_flex, in safe Rust from end to end.
//!
//! Its block functions are used with our own framing: its frame reader takes a file cut at a block
//! boundary for a whole one, and its frame writer cannot be reused when it is to write the content size.

#![forbid(unsafe_code)]

use clipsmaster_framing::{decoder, decompress, lz4};
use clipsmaster_plugin_api::{Codec, Decoder, Descriptor, Options, Result, export_plugin};
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};

struct Lz4 {
    table: CompressTable,
    /// For blocks whose destination is smaller than lz4_flex wants to begin with.
    scratch: Vec<u8>,
}

impl Codec for Lz4 {
    const DESCRIPTOR: Descriptor =
        Descriptor::new("lz4", "lz4_flex").library_version("0.14.0").levels(1, 1, 1).file("lz4", &lz4::MAGIC);
    const DECODER: Option<Decoder> =
        Some(|input, limits| Ok(decoder(lz4::Lz4Frames::new(decompress_block), input, limits)));

    fn open(_level: i32, _options: &Options) -> Result<Self> {
        Ok(Self { table: CompressTable::small(), scratch: Vec::new() })
    }

    /// What the last block needs to be compressed in place; the result is never longer than `lz4::bound`.
    fn compress_bound(&self, len: usize) -> usize {
        let block = len.min(lz4::BLOCK_BYTES);
        lz4::bound(len) + get_maximum_output_size(block) - block
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        lz4::compress(src, dst, true, |block, dst| self.block(block, dst))
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        decompress(lz4::Lz4Frames::new(decompress_block), src, dst)
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        lz4::content_size(src)
    }

    /// The table, and a block in scratch at worst.
    fn scratch_bytes(_level: i32, len: usize) -> u64 {
        (16 << 10) + get_maximum_output_size(len.min(lz4::BLOCK_BYTES)) as u64
    }
}

impl Lz4 {
    fn block(&mut self, block: &[u8], dst: &mut [u8]) -> Option<usize> {
        let most = get_maximum_output_size(block.len());
        if dst.len() >= most {
            return compress_into_with_table(block, dst, &mut self.table).ok();
        }
        if self.scratch.len() < most {
            self.scratch.resize(most, 0);
        }
        let n = compress_into_with_table(block, &mut self.scratch, &mut self.table).ok()?;
        dst.get_mut(..n)?.copy_from_slice(&self.scratch[..n]);
        Some(n)
    }
}

fn decompress_block(src: &[u8], dst: &mut [u8], history: &[u8]) -> Option<usize> {
    let decoded = match history {
        [] => decompress_into(src, dst),
        _ => decompress_into_with_dict(src, dst, history),
    };
    decoded.ok()
}

export_plugin! { id: "lz4", codecs: [Lz4] }
