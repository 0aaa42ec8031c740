//! `brotli`: RFC 7932 streams through the Rust port of Google's library.
//!
//! A stream ends itself, so streams back to back can be told apart. It has no magic bytes and no checksum.

#![forbid(unsafe_code)]

mod decoder;

use brotli::enc::{
    BrotliEncoderMaxCompressedSize, StandardAlloc,
    encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct},
};
use clipsmaster_plugin_api::{
    Codec, Decoder, Descriptor, Error, ErrorKind, Options, Result, export_plugin, read_to_end_into,
};
use std::io::BufReader;

/// Windows that the encoder takes, as powers of two; the largest one is the library's default.
const WINDOW_BITS: std::ops::RangeInclusive<u32> = 10..=22;

/// The library has no way to reset an encoder, so only the level is kept between calls.
struct Brotli {
    level: u32,
}

impl Codec for Brotli {
    const DESCRIPTOR: Descriptor =
        Descriptor::new("brotli", "brotli").library_version("9.1.1").levels(0, 11, 5).file("br", &[]);
    const DECODER: Option<Decoder> = Some(|input, limits| {
        if limits.memory_bytes < decoder::MEMORY_BYTES {
            let text = format!("brotli decodes with up to {} bytes", decoder::MEMORY_BYTES);
            return Err(Error::new(ErrorKind::OutOfMemory, text));
        }
        Ok(Box::new(decoder::Streams::new(BufReader::with_capacity(64 << 10, input))))
    });

    fn open(level: i32, _options: &Options) -> Result<Self> {
        Ok(Self { level: level.unsigned_abs() })
    }

    fn compress_bound(&self, len: usize) -> usize {
        BrotliEncoderMaxCompressedSize(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut encoder = self.encoder(src.len());
        let (mut available_in, mut read) = (src.len(), 0);
        let (mut available_out, mut written) = (dst.len(), 0);
        while !encoder.is_finished() {
            let went_on = encoder.compress_stream(
                BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
                &mut available_in,
                src,
                &mut read,
                &mut available_out,
                dst,
                &mut written,
                &mut None,
                &mut |_, _, _, _| (),
            );
            match (went_on, available_out) {
                (false, _) => return Err(Error::internal("the brotli encoder failed")),
                (true, 0) if !encoder.is_finished() => return Err(ErrorKind::DestinationTooSmall.into()),
                _ => {}
            }
        }
        Ok(written)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        read_to_end_into(decoder::Streams::new(src), dst)
    }
}

impl Brotli {
    /// An encoder for `len` bytes, with a window no larger than they need.
    fn encoder(&self, len: usize) -> BrotliEncoderStateStruct<StandardAlloc> {
        use BrotliEncoderParameter::{BROTLI_PARAM_LGWIN, BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT};
        let bits = (usize::BITS - len.leading_zeros()).clamp(*WINDOW_BITS.start(), *WINDOW_BITS.end());
        let mut encoder = BrotliEncoderStateStruct::new(StandardAlloc::default());
        encoder.set_parameter(BROTLI_PARAM_QUALITY, self.level);
        encoder.set_parameter(BROTLI_PARAM_LGWIN, bits);
        encoder.set_parameter(BROTLI_PARAM_SIZE_HINT, u32::try_from(len).unwrap_or(u32::MAX));
        encoder
    }
}

export_plugin! { id: "brotli", codecs: [Brotli] }
