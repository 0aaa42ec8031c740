//! `gzip-libdeflate`: gzip members through libdeflate, whole buffers at a time.
//!
//! The library decodes the first member of its input, ignores what follows, and its safe binding does not say
//! where that member ended. It ends with the checksum and length of its content, so the end is found by
//! looking for these, and proved by decoding again where they occur more than once.

#![forbid(unsafe_code)]

use clipsmaster_plugin_api::{Codec, Descriptor, Error, ErrorKind, Options, Result, export_plugin};
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor, crc32};
use memchr::memmem;
use std::cell::RefCell;

/// Header (10), empty deflate block (2) and trailer (8): RFC 1952.
const SHORTEST_MEMBER: usize = 20;

struct Libdeflate {
    /// Shared, since asking it for a bound takes `&mut`, though it changes nothing.
    compressor: RefCell<Compressor>,
    decompressor: Decompressor,
}

impl Codec for Libdeflate {
    const DESCRIPTOR: Descriptor = Descriptor::new("gzip", "libdeflate")
        .library_version("1.26")
        .levels(0, 12, 6)
        .file("gz", &[0x1f, 0x8b, 0x08]);

    fn open(level: i32, _options: &Options) -> Result<Self> {
        let level = CompressionLvl::new(level);
        let level = level.map_err(|_| Error::new(ErrorKind::Unsupported, "no such level"))?;
        Ok(Self { compressor: RefCell::new(Compressor::new(level)), decompressor: Decompressor::new() })
    }

    fn compress_bound(&self, len: usize) -> usize {
        self.compressor.borrow_mut().gzip_compress_bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let written = self.compressor.get_mut().gzip_compress(src, dst);
        written.map_err(|_| ErrorKind::DestinationTooSmall.into())
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        loop {
            let dst = &mut dst[written..];
            let n = self.member(src, dst)?;
            let end = self.member_end(src, &mut dst[..n]);
            written += n;
            src = &src[end..];
            if src.is_empty() {
                return Ok(written);
            }
        }
    }

    /// What `libdeflate_alloc_compressor` and `libdeflate_alloc_decompressor` take in version 1.26.
    fn scratch_bytes(level: i32, _len: usize) -> u64 {
        const COMMON: u64 = 6_080 + 12_000;
        COMMON
            + match level {
                0 => 0,
                1 => 196_640,
                2..=9 => 662_176,
                _ => 9_005_632,
            }
    }
}

impl Libdeflate {
    /// Decodes the first member of `src`.
    fn member(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.decompressor.gzip_decompress(src, dst).map_err(|e| match e {
            DecompressionError::InsufficientSpace => ErrorKind::DestinationTooSmall.into(),
            DecompressionError::BadData if src.len() < SHORTEST_MEMBER => {
                Error::new(ErrorKind::Truncated, "the input ends within a gzip member")
            }
            DecompressionError::BadData => Error::corrupt("damaged or truncated gzip member"),
        })
    }

    /// Where the member ends that `src` begins with and `content` was decoded from.
    fn member_end(&mut self, src: &[u8], content: &mut [u8]) -> usize {
        let mut trailer = [0; 8];
        trailer[..4].copy_from_slice(&crc32(content).to_le_bytes());
        trailer[4..].copy_from_slice(&(content.len() as u32).to_le_bytes());
        // The true end is one of the occurrences, so none lies beyond the first that decodes.
        let first = memmem::find(src, &trailer).map_or(src.len(), |at| at + trailer.len());
        if first == src.len() || self.ends_within(&src[..first], content) {
            return first;
        }
        let (mut before, mut end) = (first, src.len());
        while before + 1 < end {
            let middle = before.midpoint(end);
            match self.ends_within(&src[..middle], content) {
                true => end = middle,
                false => before = middle,
            }
        }
        // An attempt that failed may have written to the end of the content.
        self.ends_within(&src[..end], content);
        end
    }

    /// Whether the member ends within `src`. True from some length on, so the end can be bisected.
    fn ends_within(&mut self, src: &[u8], content: &mut [u8]) -> bool {
        self.decompressor.gzip_decompress(src, content) == Ok(content.len())
    }
}

export_plugin! { id: "gzip-libdeflate", codecs: [Libdeflate] }
