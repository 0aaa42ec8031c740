//! Filters before the codec: byte-shuffle, which puts like bytes of numbers side by side, so that codecs find what they have in common.
//!
//! The layout is part of the container's format (`container/format.md`). Pure functions over slices; what to filter, and with
//! what, is for `pipeline` and `selection` to say.

use serde::Serialize;
use std::{fmt, str::FromStr};

/// Elements in one step, a number the compiler makes vectors of.
const LANES: usize = 64;
/// Bytes of an element that are moved at once: narrowing 32-bit words to bytes is what all vector units do well.
const WORD: usize = 4;

/// What is done to the bytes of each chunk before the codec sees them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(into = "String")]
#[non_exhaustive]
pub enum Filter {
    /// Nothing.
    #[default]
    None,
    /// Bytes of elements of 2 bytes are shuffled: half precision, 16-bit samples.
    Shuffle2,
    /// Of 4 bytes: single precision, 32-bit integers.
    Shuffle4,
    /// Of 8 bytes: double precision, 64-bit integers.
    Shuffle8,
}

impl Filter {
    /// All that do something.
    pub const SHUFFLES: [Self; 3] = [Self::Shuffle2, Self::Shuffle4, Self::Shuffle8];

    /// Its number in the container.
    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Shuffle2 => 2,
            Self::Shuffle4 => 4,
            Self::Shuffle8 => 8,
        }
    }

    /// The filter of that number in the container, unless a later version has defined it.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::None, Self::Shuffle2, Self::Shuffle4, Self::Shuffle8].into_iter().find(|f| f.code() == code)
    }

    /// Writes `raw`, filtered, to `out`, which is as long.
    pub(crate) fn apply(self, raw: &[u8], out: &mut [u8]) {
        match self {
            Self::None => out.copy_from_slice(raw),
            Self::Shuffle2 => shuffle::<2>(raw, out),
            Self::Shuffle4 => shuffle::<4>(raw, out),
            Self::Shuffle8 => shuffle::<8>(raw, out),
        }
    }

    /// Writes to `raw` what was filtered to `filtered`, which is as long.
    pub(crate) fn undo(self, filtered: &[u8], raw: &mut [u8]) {
        match self {
            Self::None => raw.copy_from_slice(filtered),
            Self::Shuffle2 => unshuffle::<2>(filtered, raw),
            Self::Shuffle4 => unshuffle::<4>(filtered, raw),
            Self::Shuffle8 => unshuffle::<8>(filtered, raw),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            shuffle => write!(f, "shuffle{}", shuffle.code()),
        }
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.to_string()
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::None].into_iter().chain(Self::SHUFFLES);
        let found = all.into_iter().find(|f| f.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no filter; there are none, shuffle2, shuffle4, shuffle8"))
    }
}

/// The parts of `filtered` whose bytes have something in common: a plane each, the last with the tail; all of it without a filter.
pub(crate) fn planes(filtered: &[u8], filter: Filter) -> impl Iterator<Item = &[u8]> {
    let size = usize::from(filter.code()).max(1);
    let count = filtered.len() / size;
    (0..size).map(move |j| {
        let end = if j + 1 == size { filtered.len() } else { (j + 1) * count };
        &filtered[j * count..end]
    })
}

/// Puts the first bytes of all elements of `N` bytes first, then all second bytes, and so on; bytes that are no whole element stay
/// at the end.
fn shuffle<const N: usize>(raw: &[u8], out: &mut [u8]) {
    let count = raw.len() / N;
    let (elements, tail) = raw.split_at(count * N);
    let (planes, out_tail) = out.split_at_mut(count * N);
    out_tail.copy_from_slice(tail);
    let mut planes = split_mut::<N>(planes, count);
    let (elements, _) = elements.as_chunks::<N>();
    let (blocks, rest) = elements.as_chunks::<LANES>();
    for (number, block) in blocks.iter().enumerate() {
        for (part, planes) in planes.chunks_mut(WORD).enumerate() {
            let mut words = [0_u32; LANES];
            for (word, element) in words.iter_mut().zip(block) {
                *word = word_of(element, part);
            }
            for (j, plane) in planes.iter_mut().enumerate() {
                for (byte, word) in plane[number * LANES..][..LANES].iter_mut().zip(&words) {
                    *byte = (word >> (8 * j)) as u8;
                }
            }
        }
    }
    for (at, element) in (blocks.len() * LANES..).zip(rest) {
        for (plane, byte) in planes.iter_mut().zip(element) {
            plane[at] = *byte;
        }
    }
}

/// Undoes [`shuffle`].
fn unshuffle<const N: usize>(filtered: &[u8], raw: &mut [u8]) {
    let count = raw.len() / N;
    let (planes, tail) = filtered.split_at(count * N);
    let (elements, raw_tail) = raw.split_at_mut(count * N);
    raw_tail.copy_from_slice(tail);
    let planes: [&[u8]; N] = std::array::from_fn(|j| &planes[j * count..][..count]);
    let (elements, _) = elements.as_chunks_mut::<N>();
    let (blocks, rest) = elements.as_chunks_mut::<LANES>();
    let whole = blocks.len() * LANES;
    for (number, block) in blocks.iter_mut().enumerate() {
        for (part, planes) in planes.chunks(WORD).enumerate() {
            let mut words = [0_u32; LANES];
            for (j, plane) in planes.iter().enumerate() {
                for (byte, word) in plane[number * LANES..][..LANES].iter().zip(&mut words) {
                    *word |= u32::from(*byte) << (8 * j);
                }
            }
            for (word, element) in words.iter().zip(block.iter_mut()) {
                put_word(*word, element, part);
            }
        }
    }
    for (at, element) in (whole..).zip(rest) {
        for (plane, byte) in planes.iter().zip(element) {
            *byte = plane[at];
        }
    }
}

/// The `part`-th bytes of an element, as many as fit a word.
fn word_of<const N: usize>(element: &[u8; N], part: usize) -> u32 {
    let len = N.min(WORD);
    let mut bytes = [0; WORD];
    bytes[..len].copy_from_slice(&element[part * len..][..len]);
    u32::from_le_bytes(bytes)
}

/// Undoes [`word_of`].
fn put_word<const N: usize>(word: u32, element: &mut [u8; N], part: usize) {
    let len = N.min(WORD);
    element[part * len..][..len].copy_from_slice(&word.to_le_bytes()[..len]);
}

fn split_mut<const N: usize>(mut planes: &mut [u8], count: usize) -> [&mut [u8]; N] {
    std::array::from_fn(|_| {
        let (plane, rest) = std::mem::take(&mut planes).split_at_mut(count);
        planes = rest;
        plane
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filtered(filter: Filter, raw: &[u8]) -> Vec<u8> {
        let mut out = vec![0xa5; raw.len()];
        filter.apply(raw, &mut out);
        out
    }

    fn undone(filter: Filter, filtered: &[u8]) -> Vec<u8> {
        let mut raw = vec![0x5a; filtered.len()];
        filter.undo(filtered, &mut raw);
        raw
    }

    #[test]
    fn planes_come_one_after_the_other_and_the_tail_stays() {
        assert_eq!(filtered(Filter::Shuffle2, b"AaBbCcx"), b"ABCabcx");
        assert_eq!(filtered(Filter::Shuffle4, b"A123B123C123xyz"), b"ABC111222333xyz");
        assert_eq!(filtered(Filter::Shuffle8, b"A1234567B1234567tail"), b"AB11223344556677tail");
        assert_eq!(filtered(Filter::Shuffle8, b"short"), b"short");
        assert_eq!(filtered(Filter::None, b"AaBb"), b"AaBb");
    }

    #[test]
    fn names_and_numbers_are_those_of_the_format() {
        for (filter, code, name) in [
            (Filter::None, 0, "none"),
            (Filter::Shuffle2, 2, "shuffle2"),
            (Filter::Shuffle4, 4, "shuffle4"),
            (Filter::Shuffle8, 8, "shuffle8"),
        ] {
            assert_eq!((filter.code(), filter.to_string().as_str()), (code, name));
            assert_eq!(Filter::from_code(code), Some(filter));
            assert_eq!(name.parse(), Ok(filter));
        }
        assert!([1, 3, 5, 6, 7, 9, 16, 255].into_iter().all(|code| Filter::from_code(code).is_none()));
        assert!("shuffle3".parse::<Filter>().is_err_and(|e| e.contains("shuffle8")));
    }

    proptest! {
        #[test]
        fn what_is_filtered_is_defined_by_its_place_and_comes_back(
            raw in proptest::collection::vec(any::<u8>(), 0..3000),
        ) {
            for filter in Filter::SHUFFLES {
                let size = usize::from(filter.code());
                let out = filtered(filter, &raw);
                let count = raw.len() / size;
                for at in 0..count * size {
                    prop_assert_eq!(out[at % size * count + at / size], raw[at]);
                }
                prop_assert_eq!(&out[count * size..], &raw[count * size..]);
                prop_assert_eq!(&undone(filter, &out), &raw);
            }
        }
    }
}
