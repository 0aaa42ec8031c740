//! Which kinds of the built-in benchmark data some bytes are like, so that measurements of those kinds count most for them.
//!
//! Two libraries that take the same time on text may differ twofold on weights or images. What tells the kinds apart for compressors is
//! how unevenly bytes are distributed, how much repeats within a short distance, and whether it is text at all; that is had from a few pages
//! in microseconds.

use super::auto::bits;
use crate::benchmark::data::Kind;
use std::{fmt, ops::RangeInclusive, sync::Arc};

/// Bytes of one page that is looked at.
pub(crate) const PAGE_BYTES: usize = 4 << 10;
/// Pages at most, spread over the data: one for each so many bytes, so that looking takes a small share of what compressing does.
const MAX_PAGES: RangeInclusive<usize> = 4..=16;
const BYTES_PER_PAGE: usize = 512 << 10;
/// Distance in [`Features`] at which a kind's weight has fallen to 61 %; or that of the nearest kind, if larger: what is unlike all kinds is like
/// several. A smooth picture in colour, under noise, is no weights, though nearest to them: a compressor may take twice as long for it.
const NEARNESS: f64 = 0.04;
/// How much a difference in entropy counts.
const ENTROPY_WEIGHT: f64 = 1.5;
/// How much one in the logarithm of repetition does: from none to a little makes more of a difference to a compressor than from much to more.
const REPEATED_WEIGHT: f64 = 0.6;
/// So much repetition makes none.
const BY_CHANCE: f64 = 0.03;
/// How much it counts that bytes are text where those of a kind are none. Text is not like what is none.
const TEXT_WEIGHT: f64 = 0.3;
/// And the other way round: what is no text, as a program, may well compress like it.
const BINARY_WEIGHT: f64 = 0.1;
/// Share of control bytes from which on they are not.
const BINARY_CONTROLS: f64 = 0.05;

/// How much the measurements of each kind of benchmark data count.
#[derive(Clone, PartialEq, Debug)]
pub struct Likeness {
    /// In the order of [`Kind::ALL`]; the sum is 1.
    weights: Vec<f64>,
    /// Some of much data: where measurements leave two implementations close, a trial tells.
    sample: Option<Sample>,
}

/// Pieces from all over much data.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    bytes: Arc<[u8]>,
    of_bytes: u64,
}

impl Sample {
    pub(crate) const PIECES: u64 = 4;
    /// Longer than the window of gzip, which takes longest once it is full, and than what lz4 has smaller tables for.
    pub(crate) const PIECE_BYTES: u64 = 68 << 10;
    /// Less data is never worth trials of two.
    pub(crate) const LEAST_BYTES: u64 = 8 << 20;

    /// The pieces, back to back, of `of_bytes` bytes of data.
    pub(crate) fn new(bytes: &[u8], of_bytes: u64) -> Self {
        Self { bytes: bytes.into(), of_bytes }
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(Self::PIECE_BYTES as usize)
    }

    /// Its share of the data.
    pub(crate) fn share(&self) -> f64 {
        self.bytes.len() as f64 / self.of_bytes as f64
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.bytes.len(), self.of_bytes)
    }
}

impl Likeness {
    /// So many bytes of the beginning of a pipe are worth reading before they are looked at.
    pub const HEAD_BYTES: usize = PAGE_BYTES * *MAX_PAGES.start();

    /// Of `data`, of which 4 to 16 pages at most are looked at; `None` for less than a page (4 KiB).
    pub fn of(data: &[u8]) -> Option<Self> {
        Self::of_parts(pages(data))
    }

    /// Of pages from all over the data, back to back.
    pub(crate) fn of_pages(pages: &[u8]) -> Option<Self> {
        Self::of_parts(pages.chunks_exact(PAGE_BYTES))
    }

    /// Each by itself: half text and half weights are between them like an image, which neither is.
    fn of_parts<'a>(pages: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut sum = vec![0.0; KINDS.len()];
        for page in pages {
            let weights = Self::of_features(Features::of_page(page)).weights;
            sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        }
        // The weights of a page are never all nothing.
        sum.iter().any(|weight| *weight > 0.0).then(|| Self::weighted(sum))
    }

    fn of_features(features: Features) -> Self {
        let distances: Vec<f64> = KINDS.iter().map(|kind| features.squared_distance(*kind)).collect();
        // Relative to the nearest, which then counts however far it is.
        let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let variance = nearest.max(NEARNESS * NEARNESS);
        let near = |d: &f64| (-(d - nearest) / (2.0 * variance)).exp();
        Self::weighted(distances.iter().map(near).collect())
    }

    /// Of what a frame of `frame_bytes` holds that stands for `raw_bytes`: known only where it holds them as they are.
    pub fn of_frame(raw_bytes: u64, frame_bytes: u64) -> Option<Self> {
        Self::is_stored(raw_bytes, frame_bytes).then(Self::incompressible)
    }

    /// Whether a frame is just as much larger than its content as headers are.
    pub(crate) fn is_stored(raw_bytes: u64, frame_bytes: u64) -> bool {
        frame_bytes.checked_sub(raw_bytes).is_some_and(|more| more <= raw_bytes / 64 + 64)
    }

    /// Of what does not shrink.
    pub(crate) fn incompressible() -> Self {
        Self::weighted(Kind::ALL.iter().map(|k| if *k == Kind::Random { 1.0 } else { 0.0 }).collect())
    }

    pub(crate) fn with(self, sample: Sample) -> Self {
        Self { sample: Some(sample), ..self }
    }

    /// Some of the data, where there is much.
    pub(crate) fn sample(&self) -> Option<&Sample> {
        self.sample.as_ref()
    }

    /// The same to within a sixteenth, so that much data has the same, and no sample.
    pub(crate) fn coarse(&self) -> Self {
        let steps: Vec<f64> = self.weights.iter().map(|w| (w * 8.0).round()).collect();
        Self::weighted(steps)
    }

    fn weighted(weights: Vec<f64>) -> Self {
        let sum: f64 = weights.iter().sum();
        Self { weights: weights.into_iter().map(|w| w / sum).collect(), sample: None }
    }

    /// Weight of the kind with this name; 0 for others.
    pub(super) fn weight(&self, kind: &str) -> f64 {
        Kind::named(kind).map_or(0.0, |kind| self.weights[kind as usize])
    }
}

/// Pages from the middle of each part of `data`, since what comes first is often a header.
fn pages(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let len = data.len() as u64;
    middles(len, page_count(len), PAGE_BYTES as u64).map(|at| &data[at as usize..][..PAGE_BYTES])
}

/// Where `pieces` pieces of `piece` bytes begin, each in the middle of its part of `len` bytes, on boundaries of all element sizes.
pub(crate) fn middles(len: u64, pieces: u64, piece: u64) -> impl Iterator<Item = u64> {
    let part = len.checked_div(pieces).unwrap_or_default();
    (0..pieces).map(move |number| (number * part + part.saturating_sub(piece) / 2) / 8 * 8)
}

/// How many pages of `len` bytes are looked at.
pub(crate) fn page_count(len: u64) -> u64 {
    let (least, most) = MAX_PAGES.into_inner();
    (len / BYTES_PER_PAGE as u64).clamp(least as u64, most as u64).min(len / PAGE_BYTES as u64)
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Features {
    /// Entropy of single bytes (Shannon, order 0), over that of random ones.
    entropy: f64,
    /// Share of bytes in repetitions of 4 bytes and more.
    pub(crate) repeated: f64,
    /// From 0, for text in whatever script, to 1, for what is none: by the share of bytes below a space but for tabs and line ends.
    binary: f64,
}

impl Features {
    /// On average of the pages that are looked at.
    pub(crate) fn of(data: &[u8]) -> Option<Self> {
        let all: Vec<Self> = pages(data).map(Self::of_page).collect();
        let mean = |feature: fn(&Self) -> f64| all.iter().map(feature).sum::<f64>() / all.len() as f64;
        (!all.is_empty()).then(|| Self {
            entropy: mean(|f| f.entropy),
            repeated: mean(|f| f.repeated),
            binary: mean(|f| f.binary),
        })
    }

    fn of_page(page: &[u8]) -> Self {
        let counts = counts(page);
        let controls = (0..b' ').filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r'));
        let controls: u32 = controls.map(|byte| counts[usize::from(byte)]).sum();
        Self {
            entropy: bits(&counts) / 8.0,
            repeated: repeated(page),
            binary: (f64::from(controls) / page.len() as f64 / BINARY_CONTROLS).min(1.0),
        }
    }

    /// From these to those of a `kind`.
    fn squared_distance(self, kind: Self) -> f64 {
        let log = |features: Self| (features.repeated + BY_CHANCE).ln();
        let (entropy, repeated) = (self.entropy - kind.entropy, log(self) - log(kind));
        let binary = match kind.binary - self.binary {
            more @ 0.0.. => TEXT_WEIGHT * more,
            less => BINARY_WEIGHT * less,
        };
        let weighted = [ENTROPY_WEIGHT * entropy, REPEATED_WEIGHT * repeated, binary];
        weighted.iter().map(|d| d.powi(2)).sum()
    }
}

/// The features of the kinds, in their order: written down, since generating them would take a fifth of what compressing a small file takes.
const KINDS: [Features; Kind::ALL.len()] = [
    Features { entropy: 0.5671, repeated: 0.6394, binary: 0.0 },
    Features { entropy: 0.6242, repeated: 0.8552, binary: 0.0 },
    Features { entropy: 0.5891, repeated: 0.7748, binary: 0.0 },
    Features { entropy: 0.4912, repeated: 0.7672, binary: 1.0 },
    Features { entropy: 0.9082, repeated: 0.00458, binary: 1.0 },
    Features { entropy: 0.7553, repeated: 0.1380, binary: 1.0 },
    Features { entropy: 0.9939, repeated: 0.0, binary: 1.0 },
];

fn counts(page: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    for byte in page {
        counts[usize::from(*byte)] += 1;
    }
    counts
}

/// Share of bytes in greedy matches with what came before, as the fastest compressors look for them.
fn repeated(page: &[u8]) -> f64 {
    const HASH_BITS: u32 = 11;
    let word = |at: usize| page[at..].first_chunk::<4>().map(|w| u32::from_le_bytes(*w));
    let mut seen = [0_u16; 1 << HASH_BITS];
    let (mut at, mut covered) = (0, 0);
    while let Some(here) = word(at) {
        // Fibonacci hashing (Knuth 6.4).
        let slot = &mut seen[(here.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize];
        let before = usize::from(std::mem::replace(slot, at as u16));
        if before < at && word(before) == Some(here) {
            let len = page[at..].iter().zip(&page[before..]).take_while(|(x, y)| x == y).count();
            covered += len;
            at += len;
        } else {
            at += 1;
        }
    }
    covered as f64 / page.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_features_of_the_kinds_are_those_written_down() {
        for (kind, written) in Kind::ALL.iter().zip(KINDS) {
            let features = Features::of(&kind.generate(Likeness::HEAD_BYTES)).expect("enough of it");
            let is_near = features.squared_distance(written) < 1e-7;
            assert!(is_near, "{kind:?}: {features:?}; change them with data::VERSION");
        }
    }

    #[test]
    fn each_kind_is_most_like_itself() {
        for kind in Kind::ALL {
            let likeness = Likeness::of(&kind.unseen(1 << 20)).expect("enough of it");
            let own = likeness.weight(kind.name());
            for other in Kind::ALL {
                assert!(likeness.weight(other.name()) <= own, "{kind:?}, {other:?}: {likeness:?}");
            }
            assert!((likeness.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_text_is_not_like_binary_data_however_much_of_it_repeats() {
        let record = |n: u32| {
            let id = n.wrapping_mul(2_654_435_761);
            format!("{{\"id\": {id}, \"clip\": \"кадр {}\", \"score\": {}}}\n", id % 977, n % 13)
        };
        let likeness =
            Likeness::of((0..5000).map(record).collect::<String>().as_bytes()).expect("enough of it");
        assert!(likeness.weight(Kind::Binary.name()) < 0.05, "{likeness:?}");
    }

    #[test]
    fn an_image_under_more_noise_is_still_one() {
        // Raw video of the benchmark corpus, and smooth colours of a picture, interleaved, which are farther from all kinds.
        for ((entropy, repeated, binary), least) in [((0.873, 0.08, 1.0), 0.7), ((0.96, 0.26, 0.57), 0.4)] {
            let likeness = Likeness::of_features(Features { entropy, repeated, binary });
            let image = likeness.weight(Kind::Image.name());
            assert!(image > least, "{likeness:?}");
            let others = Kind::ALL.iter().filter(|kind| **kind != Kind::Image);
            assert!(others.map(|kind| likeness.weight(kind.name())).all(|w| w < image / 2.0), "{likeness:?}");
        }
    }

    #[test]
    fn what_is_unlike_all_kinds_is_like_several() {
        // A smooth picture in colour, under noise.
        let features = Features { entropy: 0.946, repeated: 0.05, binary: 1.0 };
        let likeness = Likeness::of_features(features);
        for kind in [Kind::Image, Kind::Floats, Kind::Random] {
            assert!(likeness.weight(kind.name()) > 0.2, "{kind:?}: {likeness:?}");
        }
    }

    #[test]
    fn a_mixture_is_like_what_is_in_it() {
        for (one, other) in [(Kind::Log, Kind::Random), (Kind::Binary, Kind::Floats)] {
            let mixture = [one.unseen(1 << 20), other.unseen(1 << 20)].concat();
            let likeness = Likeness::of(&mixture).expect("enough of it");
            let weights = [one, other].map(|kind| likeness.weight(kind.name()));
            assert!(weights.iter().all(|w| *w > 0.3), "{one:?}, {other:?}: {likeness:?}");
            assert!(likeness.weight(Kind::Image.name()) < 0.1, "{one:?}, {other:?}: {likeness:?}");
        }
    }

    #[test]
    fn little_data_is_like_nothing_and_odd_data_like_something() {
        assert_eq!(Likeness::of(&[0; PAGE_BYTES - 1]), None);
        for data in
            [vec![0; PAGE_BYTES], vec![7; 3 * PAGE_BYTES + 1], (0..=255).cycle().take(99_999).collect()]
        {
            let likeness = Likeness::of(&data).expect("enough of it");
            assert!(likeness.weights.iter().all(|w| w.is_finite()), "{likeness:?}");
        }
        assert_eq!(Likeness::incompressible().weight("random"), 1.0);
        assert_eq!(Likeness::incompressible().weight("mixed"), 0.0);
        assert!(Likeness::of_frame(1 << 20, (1 << 20) + 80).is_some());
        assert!(Likeness::of_frame(1 << 20, (1 << 20) - 1).is_none());
        assert!(Likeness::of_frame(1 << 20, (1 << 20) + (1 << 16)).is_none(), "a codec that made it larger");
    }
}
