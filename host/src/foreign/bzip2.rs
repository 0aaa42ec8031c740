//! bzip2 streams, as pbzip2 and `cat` put them one behind the other.
//!
//! Blocks tell no lengths, and begin at any bit; only the magic number at a stream's end shows where that is. The same 48
//! bits may come up within a block by chance, once in some 30 TB: hence a cut is a guess, and a unit that does not
//! decode becomes a stream with all that follows. Within one stream nothing is cut: the checksum of the
//! whole stream depends on all its blocks.

use super::{
    Trailing,
    walker::{Element, Format},
};

/// In front of a block: digits of pi.
const BLOCK: u64 = 0x3141_5926_5359;
/// In front of a stream's checksum: digits of the root of pi.
const END: u64 = 0x1772_4538_5090;
const MAGIC: &[u8; 3] = b"BZh";
/// Magic number and size of blocks.
const HEADER_BYTES: usize = 4;
/// Bits of the mark and of the checksum at a stream's end, which are filled up to whole bytes with zeros.
const END_BITS: usize = 48 + 32;
/// As many bytes as the end takes from whatever bit it begins at.
const END_BYTES: usize = END_BITS / 8 + 1;
/// Decoded bytes, for each 100 kB of a block, that are reckoned with: it holds a bit more where bytes repeat.
const RAW_BYTES: u64 = 112_500;

/// Looks for the ends of streams.
#[derive(Default)]
pub(super) struct Bzip2 {
    /// What a block of the stream decodes to, about.
    block_bytes: Option<u64>,
    began: bool,
}

impl Format for Bzip2 {
    const GUESSES: bool = true;

    fn element(&mut self, view: &[u8], at_end: bool) -> Element {
        let Some(block_bytes) = self.block_bytes else { return self.between(view, at_end) };
        // Marks that may not be in view as a whole are looked for the next time.
        let starts = (view.len() + 1).saturating_sub(if at_end { END_BYTES - 1 } else { END_BYTES });
        let mut blocks = 0;
        for at in marks(view, starts) {
            match mark_at(view, at) {
                Some(Mark::End(end)) if at == 0 => {
                    self.block_bytes = None;
                    return Element::End { len: end as u64, after: Vec::new() };
                }
                Some(Mark::End(_)) => {
                    return Element::Inside { len: at as u64, raw_bytes: blocks * block_bytes };
                }
                Some(Mark::Block) => blocks += 1,
                None => {}
            }
        }
        if starts == 0 {
            return Element::Need(view.len().max(END_BYTES - 1) + 1);
        }
        Element::Inside { len: starts as u64, raw_bytes: blocks * block_bytes }
    }
}

impl Bzip2 {
    fn between(&mut self, view: &[u8], at_end: bool) -> Element {
        if view.is_empty() && at_end {
            return Element::Finished;
        }
        let Some((magic, digit)) =
            view.first_chunk::<HEADER_BYTES>().and_then(|h| h.split_first_chunk::<3>())
        else {
            let is_trailing = at_end && self.began;
            return if is_trailing { Element::Trailing(trailing(view)) } else { Element::Need(HEADER_BYTES) };
        };
        let Some(size) = digit.first().filter(|d| magic == MAGIC && (b'1'..=b'9').contains(d)) else {
            return if self.began { Element::Trailing(trailing(view)) } else { Element::Rest };
        };
        self.began = true;
        self.block_bytes = Some(u64::from(size - b'0') * RAW_BYTES);
        Element::Begin { len: HEADER_BYTES as u64, raw_bytes: 0, before: Vec::new() }
    }
}

/// What begins within a byte.
enum Mark {
    Block,
    /// The end of the stream, with the bytes up to there.
    End(usize),
}

/// Whether the second byte of either mark, whatever bit it begins at, may have this value.
const SECOND: [bool; 256] = {
    let mut second = [false; 256];
    let mut shift = 0;
    while shift < 8 {
        second[(BLOCK >> (32 + shift)) as usize & 0xff] = true;
        second[(END >> (32 + shift)) as usize & 0xff] = true;
        shift += 1;
    }
    second
};

/// Of the first `starts` bytes, those in which a mark may begin: about one in sixteen.
fn marks(view: &[u8], starts: usize) -> impl Iterator<Item = usize> {
    let seconds = view.get(1..).unwrap_or_default().iter().take(starts).enumerate();
    seconds.filter(|(_, byte)| SECOND[usize::from(**byte)]).map(|(at, _)| at)
}

fn mark_at(view: &[u8], at: usize) -> Option<Mark> {
    let word = u64::from_be_bytes(*view.get(at..)?.first_chunk()?);
    (0..8).find_map(|shift| match (word << shift) >> 16 {
        BLOCK => Some(Mark::Block),
        END => stream_end(view, 8 * at + shift).map(Mark::End),
        _ => None,
    })
}

/// Where the stream ends whose mark begins at a bit of `view`.
fn stream_end(view: &[u8], mark_bit: usize) -> Option<usize> {
    let end_bit = mark_bit + END_BITS;
    let end = end_bit.div_ceil(8);
    let last = *view.get(end - 1)?;
    let used = end_bit % 8;
    let is_padded = used == 0 || last << used == 0;
    is_padded.then_some(end)
}

/// What bzip2 1.0.8 does with bytes behind the last stream.
fn trailing(rest: &[u8]) -> Trailing {
    match rest {
        [] => Trailing::Silent,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Trailing::Refused,
        _ if MAGIC.starts_with(rest) => Trailing::Refused,
        _ => Trailing::Ignored,
    }
}
