//! `store`: the identity codec. Copy this folder to begin a new plugin.
//!
//! It is also what data that does not shrink is kept with.

#![forbid(unsafe_code)]

use clipsmaster_plugin_api::{Codec, Descriptor, ErrorKind, Options, Result, export_plugin};

struct Store;

impl Codec for Store {
    const DESCRIPTOR: Descriptor = Descriptor::new("store", "copy").library_version("1").file("store", &[]);
    const DECODER: Option<clipsmaster_plugin_api::Decoder> = Some(|input, _limits| Ok(input));

    fn open(_level: i32, _options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        len
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        dst.get_mut(..src.len()).ok_or(ErrorKind::DestinationTooSmall)?.copy_from_slice(src);
        Ok(src.len())
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.compress(src, dst)
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        Some(src.len() as u64)
    }
}

export_plugin! { id: "store", codecs: [Store] }
