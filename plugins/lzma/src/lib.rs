//! `lzma`: `.xz` files through liblzma.

#![forbid(unsafe_code)]

mod index;

use clipsmaster_plugin_api::{
    Codec, Decoder, Descriptor, Error, ErrorKind, Options, Result, export_plugin, read_to_end_into,
};
use liblzma::{
    bufread::XzDecoder,
    stream::{Action, CONCATENATED, Check, Filters, LzmaOptions, Status, Stream},
};
use std::io::{self, BufRead, BufReader, Read};

/// Most memory for decoding one buffer: any preset's dictionary and far more, yet no 4 GiB on a header's word.
const DECOMPRESS_MEMORY_BYTES: u64 = 1 << 30;

/// Dictionary of each preset, in KiB (man xz).
const DICTIONARY_KIB: [usize; 10] = [256, 1024, 2048, 4096, 4096, 8192, 8192, 16384, 32768, 65536];

/// The binding makes a new context for each stream, so there is nothing to keep between calls.
struct Lzma {
    level: i32,
}

impl Codec for Lzma {
    const DESCRIPTOR: Descriptor = Descriptor::new("lzma", "liblzma")
        .library_version("5.8.4")
        .levels(0, 9, 6)
        .file("xz", &[0xfd, b'7', b'z', b'X', b'Z', 0]);
    const DECODER: Option<Decoder> = Some(|input, limits| {
        let input = BufReader::with_capacity(64 << 10, input);
        Ok(Box::new(Streams::new(input, limits.memory_bytes)?))
    });

    fn open(level: i32, _options: &Options) -> Result<Self> {
        Ok(Self { level })
    }

    /// Chunks of up to 64 KiB are stored with 3 bytes each (`lzma_stream_buffer_bound`); half that size is
    /// assumed, since the streaming encoder may close a chunk early. Headers, index and check fit into 256.
    fn compress_bound(&self, len: usize) -> usize {
        len + 3 * (len >> 15) + 256
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut options = LzmaOptions::new_preset(self.level.unsigned_abs()).map_err(lzma_error)?;
        options.dict_size(dictionary_bytes(self.level, src.len()) as u32);
        let mut encoder =
            Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64).map_err(lzma_error)?;
        match encoder.process(src, dst, Action::Finish).map_err(lzma_error)? {
            Status::StreamEnd => Ok(encoder.total_out() as usize),
            _ => Err(ErrorKind::DestinationTooSmall.into()),
        }
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        read_to_end_into(Streams::new(src, DECOMPRESS_MEMORY_BYTES)?, dst)
    }

    fn decompressed_len(src: &[u8]) -> Option<u64> {
        index::content_size(src)
    }

    /// 7.5 (hash chain, presets 0 to 3) or 11.5 times the dictionary (binary tree): man xz, "mf=".
    fn scratch_bytes(level: i32, len: usize) -> u64 {
        let halves = if level < 4 { 15 } else { 23 };
        (2 << 20) + dictionary_bytes(level, len) as u64 * halves / 2
    }
}

/// No larger than the input needs: the encoder's tables grow with it, the result stays the same.
fn dictionary_bytes(level: i32, len: usize) -> usize {
    const SMALLEST: usize = 4096;
    let preset = DICTIONARY_KIB[level.clamp(0, 9) as usize] << 10;
    len.clamp(SMALLEST, preset).next_power_of_two()
}

/// All streams of an input, with errors of the right kind.
struct Streams<R>(XzDecoder<R>);

impl<R: BufRead> Streams<R> {
    fn new(input: R, memory_bytes: u64) -> Result<Self> {
        let stream = Stream::new_stream_decoder(memory_bytes, CONCATENATED).map_err(lzma_error)?;
        Ok(Self(XzDecoder::new_stream(input, stream)))
    }
}

impl<R: BufRead> Read for Streams<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        use liblzma::stream::Error as Lzma;
        self.0.read(buf).map_err(|e| {
            let kind = match e.get_ref().and_then(|source| source.downcast_ref()) {
                Some(Lzma::MemLimit | Lzma::Mem) => io::ErrorKind::OutOfMemory,
                Some(Lzma::Options | Lzma::UnsupportedCheck) => io::ErrorKind::Unsupported,
                _ => return e,
            };
            io::Error::new(kind, e)
        })
    }
}

fn lzma_error(e: liblzma::stream::Error) -> Error {
    use liblzma::stream::Error as Lzma;
    match e {
        Lzma::MemLimit | Lzma::Mem => Error::new(ErrorKind::OutOfMemory, e.to_string()),
        _ => Error::internal(e),
    }
}

export_plugin! { id: "lzma", codecs: [Lzma] }
