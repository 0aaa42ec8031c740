//! `gzip-isal`: gzip members through ISA-L, the system's `libisal.so.2`, which is opened at run time.
//!
//! ISA-L does deflate and the trailers; headers of members are read by `clipsmaster-framing`, because the library (2.30)
//! forgets the flags of a header that arrives in pieces.

#![deny(unsafe_code)]

mod ffi;

use clipsmaster_framing::gzip::{self, Inflate as _, Members, TRAILER_BYTES, skip_header, truncated};
use clipsmaster_plugin_api::{
    Codec, Decoder, Descriptor, ErrorKind, Options, Result, Unavailable, export_plugin,
};
use ffi::{Deflate, Inflate, MOST_AT_ONCE};
use std::io::BufReader;

const HEADER_BYTES: usize = 10;
/// Largest stored block of deflate, and its header (RFC 1951, 3.2.4), in bytes.
const STORED_BYTES: usize = 65_535;
const STORED_HEADER_BYTES: usize = 5;

struct Isal {
    deflate: Deflate,
    inflate: Inflate,
}

impl Codec for Isal {
    const DESCRIPTOR: Descriptor = Descriptor::new("gzip", "isal")
        .levels(0, 3, 1)
        .file("gz", &gzip::MAGIC)
        .max_chunk_bytes(MOST_AT_ONCE as u64);
    const DECODER: Option<Decoder> = Some(|input, _limits| {
        Ok(Box::new(Members::new(BufReader::with_capacity(64 << 10, input), Inflate::new()?)))
    });

    /// The library's version, so that another one is measured anew.
    fn probe() -> Result<String, Unavailable> {
        ffi::version()
    }

    fn open(level: i32, _options: &Options) -> Result<Self> {
        Ok(Self { deflate: Deflate::new(level.unsigned_abs())?, inflate: Inflate::new()? })
    }

    /// All stored: the library falls back to that, so it never needs more.
    fn compress_bound(&self, len: usize) -> usize {
        HEADER_BYTES + len + STORED_HEADER_BYTES * len.div_ceil(STORED_BYTES).max(1) + TRAILER_BYTES
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.deflate.member(src, dst)
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        loop {
            skip_header(&mut src)?;
            let dst = &mut dst[written..];
            let (r, w) = if src.len().max(dst.len()) <= MOST_AT_ONCE {
                self.inflate.whole(src, dst)?
            } else {
                self.in_pieces(src, dst)?
            };
            src = &src[r..];
            written += w;
            if src.is_empty() {
                return Ok(written);
            }
        }
    }

    fn scratch_bytes(level: i32, _len: usize) -> u64 {
        ffi::scratch_bytes(level.unsigned_abs())
    }
}

impl Isal {
    /// Decodes the deflate data that `src` begins with, and its trailer: bytes read and written. For what is larger than
    /// the library's 32 bits count.
    fn in_pieces(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(usize, usize)> {
        self.inflate.begin();
        let (mut read, mut written) = (0, 0);
        loop {
            let step = self.inflate.inflate(&src[read..], &mut dst[written..])?;
            read += step.read;
            written += step.written;
            if step.ended {
                return Ok((read, written));
            }
            if step.read == 0 && step.written == 0 {
                // Nothing moved: with room for one more byte, is there one?
                let more = self.inflate.inflate(&src[read..], &mut [0])?.written > 0;
                return Err(if more { ErrorKind::DestinationTooSmall.into() } else { truncated() });
            }
        }
    }
}

export_plugin! { id: "gzip-isal", codecs: [Isal] }

#[cfg(test)]
mod layout;
#[cfg(test)]
mod tests;
