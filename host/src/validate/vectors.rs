//! Frames of the well-known formats, written by the formats' own tools (zstd 1.5, lz4 1.9, gzip 1.12, bzip2 1.0.8,
//! xz 5.4, cramjam's snappy framing), all of the same content.

/// What the frames decode to: text, every byte value, zeros.
pub(super) const PLAIN: &[u8] = include_bytes!("vectors/plain.bin");

/// The frame of `algorithm`, if it is well known.
pub(super) fn frame(algorithm: &str) -> Option<&'static [u8]> {
    Some(match algorithm {
        "zstd" => include_bytes!("vectors/zstd.bin"),
        "lz4" => include_bytes!("vectors/lz4.bin"),
        "gzip" => include_bytes!("vectors/gzip.bin"),
        "bzip2" => include_bytes!("vectors/bzip2.bin"),
        "lzma" => include_bytes!("vectors/lzma.bin"),
        "snappy" => include_bytes!("vectors/snappy.bin"),
        _ => return None,
    })
}
