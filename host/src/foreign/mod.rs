//! Where compressed files of other programs can be cut, so that their parts can be decoded at the same time.
//!
//! A [`Splitter`] looks at the bytes of one format and says what comes next: a unit that decodes on its own,
//! bytes to pass over, the end. It walks headers and never decodes; what they declare decides about cuts, and
//! about nothing else: sizes are hints, and damage is left for the decoder to find wherever it sees the same bytes.
//! Bytes in, decisions out: reading, threads and codecs are the pipeline's.
//!
//! | format | unit | how its end is known |
//! |---|---|---|
//! | zstd | frame | block headers |
//! | lz4 | frame | block sizes; legacy frames cannot be cut |
//! | gzip | BGZF member | its own size in an extra field; other members cannot be cut |
//! | bzip2 | stream | the 48 bits that end one: a guess, see [`Splitter::guesses`] |
//! | lzma | block | sizes in its header, or in its LZMA2 chunks; wrapped as a stream of its own |
//! | snappy | about 1 MiB of chunks | chunk headers; made a stream by the identifier |

mod bytes;
mod bzip2;
mod gzip;
mod lz4;
mod snappy;
#[cfg(test)]
mod tests;
mod walker;
mod xz;
mod zstd;

use clipsmaster_plugin_api as api;
use walker::Walker;

/// Compressed bytes up to which units are joined, so that handing them over costs little.
pub(crate) const JOINED_BYTES: usize = 1 << 20;
/// Decoded bytes up to which they are.
pub(crate) const JOINED_RAW_BYTES: u64 = 4 << 20;

/// What a splitter says about the bytes at the current position.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// This many bytes must be in view, or the end of the input. Never much more than the cap.
    Need(usize),
    /// The next bytes decode on their own.
    Unit(Cut),
    /// The next bytes are a part of a unit beyond the cap: one stream decoder takes its pieces one after the other.
    Piece {
        /// The bytes. `before` is only set for the first piece, `after` only for the last; `raw_bytes` is 0.
        cut: Cut,
        /// Whether the unit ends with it.
        is_last: bool,
    },
    /// From here on nothing can be cut: one stream decoder takes everything to the end of the input, also
    /// what was begun with [`Piece`](Self::Piece)s. Nothing is asked after this.
    Stream {
        /// Bytes to decode before those of the input.
        before: Vec<u8>,
    },
    /// Bytes to pass over: skippable frames, padding, an index.
    Skip(u64),
    /// The rest is not of this format.
    Trailing(Trailing),
    /// Damage that no decoder would see, since it lies outside the units.
    Damaged(api::Error),
    /// The input ended where it may.
    End,
}

/// Bytes that are decoded together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cut {
    /// Bytes of the input.
    pub len: usize,
    /// Declared or estimated size, in bytes, after decoding. Untrusted: a hint for the room to begin with.
    pub raw_bytes: u64,
    /// What must be decoded before the bytes of the input.
    pub before: Vec<u8>,
    /// What must be decoded after them.
    pub after: Vec<u8>,
}

/// How a format's own tool treats bytes behind the last frame.
///
/// Seen with zstd 1.5.4, lz4 1.9.4, gzip 1.12, bzip2 1.0.8, xz 5.4.1 and python-snappy 0.7.3: zstd, lz4, xz and snappy write what they
/// decoded and fail, but xz takes zeros in fours for padding. gzip says nothing about zeros alone, and that it ignores anything
/// else (with exit code 2), but fails on a single byte and on a header that is cut short. bzip2 says that it ignores
/// anything but the beginning of a header. For a gzip file that is one stream, this is up to the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trailing {
    /// It says nothing.
    Silent,
    /// It tells that they were ignored.
    Ignored,
    /// It fails.
    Refused,
}

/// Cuts the bytes of one format.
pub(crate) trait Splitter: Send {
    /// Looks at `view`, the bytes from the current position on; `at_end` when none follow them.
    ///
    /// After a [`Step`] with a length the position moves by it, after [`Step::Need`] the same bytes and more
    /// are shown again.
    fn step(&mut self, view: &[u8], at_end: bool) -> Step;

    /// Whether a unit that does not decode may be a wrong cut. What follows from its start is then one stream.
    fn guesses(&self) -> bool {
        false
    }
}

/// The splitter for `algorithm`, if there is one. Units beyond `cap_bytes`, before or after decoding, come in
/// pieces.
pub(crate) fn splitter(algorithm: &str, cap_bytes: usize) -> Option<Box<dyn Splitter>> {
    Some(match algorithm {
        "zstd" => Box::new(Walker::new(zstd::Zstd::default(), cap_bytes)),
        "lz4" => Box::new(Walker::new(lz4::Lz4::default(), cap_bytes)),
        "gzip" => Box::new(Walker::new(gzip::Gzip::default(), cap_bytes)),
        "bzip2" => Box::new(Walker::new(bzip2::Bzip2::default(), cap_bytes)),
        "lzma" => Box::new(Walker::new(xz::Xz::default(), cap_bytes)),
        "snappy" => Box::new(Walker::new(snappy::Snappy::default(), cap_bytes)),
        _ => return None,
    })
}
