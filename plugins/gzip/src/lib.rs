//! `gzip`: gzip members through zlib-rs.

#![forbid(unsafe_code)]

mod members;

use clipsmaster_plugin_api::{Codec, Decoder, Descriptor, Error, ErrorKind, Options, Result, export_plugin};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use members::Members;
use std::io::BufReader;

const WINDOW_BITS: u8 = 15;
/// A gzip member's header and trailer are longer than zlib's by this much.
const GZIP_EXTRA_BYTES: usize = 18 - 6;

struct Gzip {
    deflate: Compress,
    inflate: Decompress,
}

impl Codec for Gzip {
    const DESCRIPTOR: Descriptor = Descriptor::new("gzip", "zlib-rs")
        .library_version("0.6.8")
        .levels(0, 9, 6)
        .file("gz", &[0x1f, 0x8b, 0x08]);
    const DECODER: Option<Decoder> =
        Some(|input, _limits| Ok(Box::new(Members::new(BufReader::with_capacity(64 << 10, input)))));

    fn open(level: i32, _options: &Options) -> Result<Self> {
        let deflate = Compress::new_gzip(Compression::new(level.unsigned_abs()), WINDOW_BITS);
        Ok(Self { deflate, inflate: Decompress::new_gzip(WINDOW_BITS) })
    }

    fn compress_bound(&self, len: usize) -> usize {
        zlib_rs::compress_bound(len) + GZIP_EXTRA_BYTES
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.deflate.reset();
        let (mut read, mut written) = (0, 0);
        // One call does all of it, up to the 4 GiB that zlib counts with.
        loop {
            let status = self.deflate.compress(&src[read..], &mut dst[written..], FlushCompress::Finish);
            let status = status.map_err(Error::internal)?;
            let before = (read, written);
            (read, written) = (self.deflate.total_in() as usize, self.deflate.total_out() as usize);
            match status {
                Status::StreamEnd => return Ok(written),
                _ if written == dst.len() || before == (read, written) => {
                    return Err(ErrorKind::DestinationTooSmall.into());
                }
                _ => {}
            }
        }
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let (mut read, mut written) = self.member(src, dst)?;
        while read < src.len() {
            let (r, w) = self.member(&src[read..], &mut dst[written..])?;
            read += r;
            written += w;
        }
        Ok(written)
    }

    /// The window and tables of both directions (`deflate_state` and `inflate_state`).
    fn scratch_bytes(_level: i32, _len: usize) -> u64 {
        400 << 10
    }
}

impl Gzip {
    /// Decodes the first member of `src`: bytes read and written.
    fn member(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(usize, usize)> {
        self.inflate.reset(true);
        let (mut read, mut written) = (0, 0);
        while !self.inflate_some(&src[read..], &mut dst[written..])? {
            let before = (read, written);
            (read, written) = (self.inflate.total_in() as usize, self.inflate.total_out() as usize);
            if before == (read, written) {
                return Err(self.why_stuck(&src[read..], dst.len() - written));
            }
        }
        Ok((self.inflate.total_in() as usize, self.inflate.total_out() as usize))
    }

    /// Whether the member ended.
    fn inflate_some(&mut self, src: &[u8], dst: &mut [u8]) -> Result<bool> {
        let status = self.inflate.decompress(src, dst, FlushDecompress::Finish);
        Ok(status.map_err(Error::corrupt)? == Status::StreamEnd)
    }

    /// Neither input nor output moved: with room for one more byte, is there one?
    fn why_stuck(&mut self, src: &[u8], room: usize) -> Error {
        let before = self.inflate.total_out();
        match self.inflate_some(src, &mut [0]) {
            Err(e) => e,
            Ok(_) if room == 0 && self.inflate.total_out() > before => ErrorKind::DestinationTooSmall.into(),
            Ok(_) => Error::new(ErrorKind::Truncated, "the input ends within a gzip member"),
        }
    }
}

export_plugin! { id: "gzip", codecs: [Gzip] }
