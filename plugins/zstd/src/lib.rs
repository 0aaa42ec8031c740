//! `zstd`: Zstandard through the C library.

#![deny(unsafe_code)]

mod decoder;
mod tables;

use clipsmaster_plugin_api::{
    Codec, Decoder, Descriptor, Error, ErrorKind, OptionSpec, Options, Result, export_plugin,
};
use std::io;
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{self, CParameter, DParameter, zstd_sys::ZSTD_ErrorCode},
};

/// Smallest window that zstd takes, as a power of two.
const MIN_WINDOW_LOG: i64 = 10;

struct Zstd {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

impl Codec for Zstd {
    const DESCRIPTOR: Descriptor = Descriptor::new("zstd", "libzstd")
        .library_version("1.5.7")
        .levels(-7, 22, 3)
        .file("zst", &[0x28, 0xb5, 0x2f, 0xfd])
        .options(&[
            OptionSpec::new(
                "window_log",
                0,
                27,
                0,
                "largest distance of a match, as a power of two of bytes, 10 to 27; 0 leaves it to the level",
            ),
            OptionSpec::skip_checksum(),
            OptionSpec::whole_bytes(),
        ]);
    const DECODER: Option<Decoder> = Some(decoder::open);

    fn open(level: i32, options: &Options) -> Result<Self> {
        let mut compressor = Compressor::new(level).map_err(zstd_error)?;
        compressor.include_checksum(!options.skips_checksum()).map_err(zstd_error)?;
        if let Some(bytes) = options.whole_bytes() {
            tables::set(&mut compressor, level, bytes).map_err(zstd_error)?;
        }
        match options.get("window_log").unwrap_or(0) {
            0 => {}
            log if log < MIN_WINDOW_LOG => {
                let text = format!("window_log {log}: at least {MIN_WINDOW_LOG}, or 0");
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            log => compressor.set_parameter(CParameter::WindowLog(log as u32)).map_err(zstd_error)?,
        }
        let mut decompressor = Decompressor::new().map_err(zstd_error)?;
        if options.skips_checksum() {
            decompressor.set_parameter(DParameter::ForceIgnoreChecksum(true)).map_err(zstd_error)?;
        }
        Ok(Self { compressor, decompressor })
    }

    fn compress_bound(&self, len: usize) -> usize {
        zstd_safe::compress_bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.compressor.compress_to_buffer(src, dst).map_err(zstd_error)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        if src.is_empty() {
            return Err(Error::new(ErrorKind::Truncated, "no zstd frame"));
        }
        self.decompressor.decompress_to_buffer(src, dst).map_err(|e| match zstd_error(e) {
            Error { kind: ErrorKind::Corrupt, message } if ends_within_frame(src) => {
                Error::new(ErrorKind::Truncated, message)
            }
            e => e,
        })
    }

    fn decompressed_len(mut src: &[u8]) -> Option<u64> {
        let mut total = 0u64;
        while !src.is_empty() {
            let frame_bytes = zstd_safe::find_frame_compressed_size(src).ok()?;
            total = total.checked_add(zstd_safe::get_frame_content_size(src).ok()??)?;
            src = src.get(frame_bytes..)?;
        }
        Some(total)
    }

    /// Upper limits of `ZSTD_sizeof_CCtx` in libzstd 1.5.7, measured: tables grow with the chunk up to a size
    /// given by the level. A window set by option may exceed them.
    fn scratch_bytes(level: i32, len: usize) -> u64 {
        const DECOMPRESSOR_KIB: u64 = 160;
        let most_kib = usize::try_from(level).map_or(FAST_CONTEXT_KIB, |level| CONTEXT_KIB[level.min(22)]);
        let by_len_kib = 640 + 17 * (len as u64 >> 10);
        (most_kib.min(by_len_kib) + DECOMPRESSOR_KIB) << 10
    }
}

/// Memory of a compressor at the negative levels.
const FAST_CONTEXT_KIB: u64 = 537;
/// Memory of a compressor at each level from 0, which is the default level, on.
const CONTEXT_KIB: [u64; 23] = [
    1_273, 569, 761, 1_273, 2_553, 3_065, 3_065, 5_625, 5_625, 10_745, 20_985, 20_985, 41_465, 33_273,
    49_657, 66_041, 33_418, 50_432, 50_432, 83_200, 165_120, 328_960, 656_640,
];

/// Whether `src` lacks the end of its last frame. The library calls a cut checksum a wrong one.
fn ends_within_frame(mut src: &[u8]) -> bool {
    while !src.is_empty() {
        match zstd_safe::find_frame_compressed_size(src) {
            Ok(frame_bytes) => src = src.get(frame_bytes..).unwrap_or_default(),
            Err(code) => return zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_srcSize_wrong),
        }
    }
    false
}

/// The kind behind one of the library's errors, which all come as `io::ErrorKind::Other`.
fn zstd_error(e: io::Error) -> Error {
    use ZSTD_ErrorCode as Code;
    let kinds = [
        (Code::ZSTD_error_dstSize_tooSmall, ErrorKind::DestinationTooSmall),
        (Code::ZSTD_error_srcSize_wrong, ErrorKind::Truncated),
        (Code::ZSTD_error_memory_allocation, ErrorKind::OutOfMemory),
        (Code::ZSTD_error_frameParameter_windowTooLarge, ErrorKind::OutOfMemory),
        (Code::ZSTD_error_frameParameter_unsupported, ErrorKind::Unsupported),
        (Code::ZSTD_error_version_unsupported, ErrorKind::Unsupported),
        (Code::ZSTD_error_dictionary_wrong, ErrorKind::Unsupported),
    ];
    let Some(source) = e.get_ref().and_then(|e| e.downcast_ref::<zstd::Error>()) else { return e.into() };
    let kind = kinds.iter().find(|(code, _)| source.is(*code)).map_or(ErrorKind::Corrupt, |(_, kind)| *kind);
    Error::new(kind, e.to_string())
}

export_plugin! { id: "zstd", codecs: [Zstd] }
