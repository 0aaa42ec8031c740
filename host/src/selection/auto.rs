//! Which algorithm, level and filter suit data, from what trials on a sample of it measured.
//!
//! Pure functions: what is worth a trial ([`rungs`], [`Places`]), and what to make of the trials ([`choose`]). Whoever measures calls them.

use crate::{algorithm::STORE, benchmark::median, filter::Filter};
use serde::Serialize;
use std::{fmt, str::FromStr};

/// Share of the original that must be saved for [`Objective::Speed`] to compress at all.
pub const LEAST_SAVING: f64 = 0.10;
/// Bandwidth, in MB/s, that [`Objective::Balanced`] delivers at: the flash of a small machine, an SD card, a fast wireless network.
pub const BALANCED_MB_S: f64 = 50.0;
/// What compresses more slowly than this many MB/s is no candidate for [`Objective::Speed`], even where it alone would save enough.
const TOO_SLOW_MB_S: f64 = 25.0;
/// Share of the original below which a saving is not worth decoding for, in [`Objective::Ratio`].
const WORTH_DECODING: f64 = 0.005;
/// What is within this share of the smallest is as small, and the one that decodes fastest of it is taken.
const AS_SMALL: f64 = 0.001;
/// Bits per byte from which on bytes look random.
const RANDOM_BITS: f64 = 7.97;
/// Bits per byte that elements must lose when their bytes are taken apart, for a filter to be tried.
const TYPED_BITS: f64 = 0.08;
/// A sample with fewer bytes tells nothing about elements.
const LEAST_SAMPLE_BYTES: u32 = 4 << 10;
/// And with fewer than these, not whether they are random.
const LEAST_RANDOM_BYTES: u32 = 16 << 10;
/// So many bytes of a sample, in runs of so many, are counted.
const COUNTED_BYTES: usize = 64 << 10;
const COUNTED_RUN: usize = 4 << 10;
/// What a codec that is slower than those tried may be expected to leave at least, of what they do.
const MOST_GAIN: f64 = 0.7;
/// How much later, as a factor, a level must deliver than a lower one for yet higher ones to be given up.
const PAST_BEST: f64 = 1.10;
/// How far, as a factor, an algorithm's speed on some data may be from what is expected of it.
const SURPRISE: f64 = 1.6;

/// How much the benchmark counts beside a trial, for speed. By 100 choices each on text, logs, JSON lines and a mix of files with five benchmarks of
/// one machine, of which processors share their cores with others and are a third slower at times: with less, more choices were wrong.
const BENCHMARK_SHARE: f64 = 0.85;
/// How far, as a natural logarithm, moments make trials differ at most. Where a trial is farther from the benchmark, the data is unlike that
/// of the benchmark.
const MOMENTS_APART: f64 = 0.3;
/// What is within this share of the fastest is as fast, as far as trials can tell, and the smallest of it is taken.
const AS_FAST: f64 = 0.01;
/// How much slower, as a factor, than its benchmark lets expect, beside others, a trial must be for something else on the machine to be to blame.
const DISTURBED: f64 = 1.25;

/// What to choose by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The fastest to compress that still saves [`LEAST_SAVING`]; `store` where nothing fast does.
    Speed,
    /// The least time to deliver one byte at [`BALANCED_MB_S`]: to compress it, to move what is left of it, and to decompress it, one
    /// after the other, on one thread each.
    #[default]
    Balanced,
    /// The smallest.
    Ratio,
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Speed => "speed",
            Self::Balanced => "balanced",
            Self::Ratio => "ratio",
        })
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Speed, Self::Balanced, Self::Ratio];
        let found = all.into_iter().find(|o| o.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no objective; there are speed, balanced, ratio"))
    }
}

/// What a choice must reach, whatever the objective.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Floors {
    /// Decompression, in MB/s, on one thread.
    pub min_decompress_mb_s: Option<f64>,
    /// Memory, in bytes, of either direction on one thread, chunks included.
    pub max_memory_bytes: Option<u64>,
}

/// An algorithm at a level.
#[derive(Clone, PartialEq, Debug)]
pub struct Rung {
    /// Algorithm, by its canonical name.
    pub algorithm: String,
    /// Level of its reference.
    pub level: i32,
    /// Roughly how fast it compresses, in MB/s: tells what to try first, and when to stop.
    pub expected_mb_s: f64,
}

impl Rung {
    /// Whether it is the same algorithm at the same level.
    pub fn is_same(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.level == other.level
    }

    /// Whether it writes bytes that it finds no repetition for as they are. Those of zstd do at levels below 0
    /// (`ZSTD_literalsCompressionIsDisabled`).
    pub fn only_finds_repeats(&self) -> bool {
        only_finds_repeats(&self.algorithm, self.level)
    }
}

fn only_finds_repeats(algorithm: &str, level: i32) -> bool {
    matches!((algorithm, level), ("snappy" | "lz4", _) | ("zstd", ..0))
}

/// What is known about the levels of an installed algorithm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Levels {
    /// Its canonical name.
    pub algorithm: String,
    /// Lowest, default and highest level of any implementation.
    pub lowest: i32,
    /// The default.
    pub default: i32,
    /// The highest.
    pub highest: i32,
}

/// What one candidate made of the sample.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Trial {
    /// Algorithm, by its canonical name.
    pub algorithm: String,
    /// Level of its reference.
    pub level: i32,
    /// Filter before the codec.
    pub filter: Filter,
    /// Bytes of the sample.
    pub raw_bytes: u64,
    /// What was left of them.
    pub compressed_bytes: u64,
    /// Time to compress them on one thread, in seconds, filter included.
    pub compress_s: f64,
    /// Compression, in MB/s, that this machine's benchmark lets expect on data that is alike, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_mb_s: Option<f64>,
    /// Time to decompress them, where it was measured.
    pub decompress_s: Option<f64>,
    /// Memory, in bytes, of a job on one thread, in the direction that takes more.
    pub memory_bytes: u64,
    /// Bytes of a chunk, where fewer than usual are needed to stay within [`Floors::max_memory_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<usize>,
}

impl Trial {
    /// What was tried; nothing is expected of it any more.
    pub(crate) fn rung(&self) -> Rung {
        Rung { algorithm: self.algorithm.clone(), level: self.level, expected_mb_s: 0.0 }
    }

    /// Share of the original that is left.
    pub fn left(&self) -> f64 {
        self.compressed_bytes as f64 / self.raw_bytes.max(1) as f64
    }

    /// Compression, in MB/s.
    pub fn compress_mb_s(&self) -> f64 {
        self.raw_bytes as f64 / 1e6 / self.compress_s.max(1e-9)
    }

    /// Decompression, in MB/s; endless where it was not measured.
    pub fn decompress_mb_s(&self) -> f64 {
        self.decompress_s.map_or(f64::INFINITY, |s| self.raw_bytes as f64 / 1e6 / s.max(1e-9))
    }

    /// Whether enough is saved for [`Objective::Speed`].
    pub fn saves(&self) -> bool {
        self.left() <= 1.0 - LEAST_SAVING
    }

    /// Time, in seconds per MB of the original, to compress, deliver and decompress it.
    pub fn delivery_s(&self) -> f64 {
        let moved = self.left() / BALANCED_MB_S;
        let mb = self.raw_bytes.max(1) as f64 / 1e6;
        (self.compress_s + self.decompress_s.unwrap_or_default()) / mb + moved
    }

    /// Together with a trial of the same on other data.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self {
            raw_bytes: self.raw_bytes + other.raw_bytes,
            compressed_bytes: self.compressed_bytes + other.compressed_bytes,
            compress_s: self.compress_s + other.compress_s,
            decompress_s: self.decompress_s.zip(other.decompress_s).map(|(a, b)| a + b),
            ..self
        }
    }

    /// Why it is out of the question, if it is.
    pub(crate) fn rejected(&self, floors: Floors) -> Option<String> {
        if let Some(floor) = floors.min_decompress_mb_s
            && self.decompress_mb_s() < floor
        {
            return Some(format!("{self} decompresses at {:.0} MB/s", self.decompress_mb_s()));
        }
        if let Some(most) = floors.max_memory_bytes
            && self.memory_bytes > most
        {
            return Some(format!("{self} takes {}", crate::size::binary(self.memory_bytes)));
        }
        None
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(&self.algorithm, self.level, self.filter))
    }
}

/// `zstd 3`, `lz4 1 with shuffle4`, `store`.
fn name(algorithm: &str, level: i32, filter: Filter) -> String {
    match (algorithm, filter) {
        (STORE, _) => STORE.to_owned(),
        (_, Filter::None) => format!("{algorithm} {level}"),
        _ => format!("{algorithm} {level} with {filter}"),
    }
}

/// What to compress with, and why.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Choice {
    /// Algorithm, by its canonical name; `store` where compressing is not worth it.
    pub algorithm: String,
    /// Level of its reference.
    pub level: i32,
    /// Filter before the codec.
    pub filter: Filter,
    /// Bytes of a chunk, where fewer than usual are needed to stay within [`Floors::max_memory_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<usize>,
    /// Why, in words.
    pub why: String,
    /// What was tried, in that order.
    pub trials: Vec<Trial>,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", name(&self.algorithm, self.level, self.filter), self.why)
    }
}

/// Rough compression speeds in MB/s, by level, of one core of a 2020s machine. They are never compared with what is
/// measured; only their order and their distances count.
const EXPECTED: &[(&str, &[(i32, f64)])] = &[
    ("snappy", &[(1, 900.0)]),
    ("lz4", &[(1, 880.0), (3, 120.0), (9, 50.0), (12, 12.0)]),
    (
        "zstd",
        &[
            (-7, 900.0),
            (-4, 800.0),
            (-1, 680.0),
            (1, 500.0),
            (2, 430.0),
            (3, 350.0),
            (5, 150.0),
            (7, 90.0),
            (9, 60.0),
            (12, 25.0),
            (16, 8.0),
            (19, 3.0),
            (22, 2.0),
        ],
    ),
    ("gzip", &[(1, 200.0), (6, 90.0), (9, 30.0), (12, 9.0)]),
    ("bzip2", &[(9, 13.0)]),
    ("lzma", &[(0, 20.0), (3, 8.0), (6, 4.0), (9, 3.0)]),
];
/// The same for algorithms that nothing is known about: their default level, and their highest.
const UNKNOWN_MB_S: (f64, f64) = (60.0, 2.0);

/// What is worth a trial for `objective` of what is installed, fastest first.
pub fn rungs(installed: &[Levels], objective: Objective) -> Vec<Rung> {
    let compressing = || installed.iter().filter(|l| l.algorithm != STORE);
    let least_mb_s = match objective {
        Objective::Speed => TOO_SLOW_MB_S,
        // What alone takes longer than moving the original is no candidate.
        Objective::Balanced => BALANCED_MB_S / SURPRISE,
        Objective::Ratio => 0.0,
    };
    let mut rungs: Vec<Rung> = match objective {
        Objective::Ratio => compressing().flat_map(smallest).collect(),
        _ => compressing().flat_map(all).collect(),
    };
    // Those that only find repetitions do that as fast, and nearly always find more, than levels that are fast because they do no more.
    if objective == Objective::Speed && rungs.iter().any(|r| r.level > 0 && r.only_finds_repeats()) {
        rungs.retain(|r| r.level > 0 || !r.only_finds_repeats());
    }
    // Of slow algorithms the fastest level, where there are no others.
    let fastest = rungs.iter().map(|r| r.expected_mb_s).fold(0.0, f64::max);
    rungs.retain(|rung| rung.expected_mb_s >= least_mb_s.min(fastest));
    rungs.sort_by(|a, b| b.expected_mb_s.total_cmp(&a.expected_mb_s));
    rungs
}

fn all(levels: &Levels) -> Vec<Rung> {
    let rung = |level, expected_mb_s| Rung { algorithm: levels.algorithm.clone(), level, expected_mb_s };
    let known = EXPECTED.iter().find(|(name, _)| *name == levels.algorithm);
    let Some((_, known)) = known else {
        let default = rung(levels.default, UNKNOWN_MB_S.0);
        let highest = (levels.highest > levels.default).then(|| rung(levels.highest, UNKNOWN_MB_S.1));
        return [default].into_iter().chain(highest).collect();
    };
    let has = |level: &i32| (levels.lowest..=levels.highest).contains(level);
    known.iter().filter(|(level, _)| has(level)).map(|(level, speed)| rung(*level, *speed)).collect()
}

/// The two slowest levels: the highest is not always the smallest.
fn smallest(levels: &Levels) -> Vec<Rung> {
    let mut all = all(levels);
    all.split_off(all.len().saturating_sub(2))
}

/// Whether `rung` may still be faster than `best`, whose trial has been the fastest so far.
pub fn may_beat(rung: &Rung, best: &Rung) -> bool {
    rung.expected_mb_s * SURPRISE > best.expected_mb_s
}

/// The least time, in seconds per MB, that `rung` can be expected to deliver in, where the best so far leaves the share `left`.
pub fn least_delivery_s(rung: &Rung, left: f64) -> f64 {
    1.0 / (rung.expected_mb_s * SURPRISE) + left * MOST_GAIN / BALANCED_MB_S
}

/// Whether `rung` and what is slower of its algorithm is given up: the last level among `trials`, fastest first, delivers clearly later than
/// a level before. What is slower still leaves less, but ever less of less. Levels that only find repetitions say nothing of others.
pub fn is_past_best(trials: &[Trial], rung: &Rung) -> bool {
    let is_like = |t: &&Trial| {
        t.algorithm == rung.algorithm
            && only_finds_repeats(&t.algorithm, t.level) == rung.only_finds_repeats()
    };
    let own = || trials.iter().filter(is_like);
    let Some(last) = own().next_back().map(|t| t.level) else { return false };
    let least_s = |of: &dyn Fn(&Trial) -> bool| {
        own().filter(|t| of(t)).map(Trial::delivery_s).fold(f64::INFINITY, f64::min)
    };
    least_s(&|t| t.level == last) > least_s(&|t| t.level != last) * PAST_BEST
}

/// What bytes tell by their place in elements; repetitions are not looked for.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Entropy, in bits per byte, when the data is taken for elements of 1, 2, 4 and 8 bytes.
    pub bits: [f64; 4],
    /// Bytes that were counted.
    counted: u32,
}

impl Places {
    /// Of up to 64 KiB from all over `sample`.
    pub fn of(sample: &[u8]) -> Self {
        let lanes = lanes(sample);
        let bits = [1, 2, 4, 8].map(|places| bits_by_place(&lanes, places));
        Self { bits, counted: lanes.iter().flatten().sum() }
    }

    /// What is left once `filter` has taken elements apart.
    fn bits_after(&self, filter: Filter) -> f64 {
        self.bits[filter.code().trailing_zeros() as usize]
    }

    /// Filters worth a trial: those that take apart bytes which differ by their place.
    pub fn typed(&self) -> Vec<Filter> {
        if self.counted < LEAST_SAMPLE_BYTES {
            return Vec::new();
        }
        let gains =
            |filter: &Filter| self.settled_bits(1) - self.settled_bits(filter.code().into()) >= TYPED_BITS;
        Filter::SHUFFLES.into_iter().filter(gains).collect()
    }

    /// Which of `filters` to try for [`Objective::Speed`]: the first that leaves few enough bits to save [`LEAST_SAVING`] by counting bytes
    /// alone, and where there is none, the one that leaves the fewest.
    pub fn saving(&self, filters: &[Filter]) -> Option<Filter> {
        let saves = |filter: &&Filter| self.bits_after(**filter) / 8.0 <= 1.0 - LEAST_SAVING;
        filters.iter().find(saves).or(filters.last()).copied()
    }

    /// Whether no order is to be seen, whatever elements the data is taken for.
    pub fn looks_random(&self) -> bool {
        let are_random = |places| self.settled_bits(places) >= RANDOM_BITS;
        self.counted >= LEAST_RANDOM_BYTES && [1, 2, 4, 8].into_iter().all(are_random)
    }

    /// Entropy of elements of so many bytes, in bits per byte, with those by which too few bytes make it look smaller (Miller and Madow, for all
    /// 256 values).
    fn settled_bits(&self, places: usize) -> f64 {
        let hidden = 255.0 * places as f64 / (2.0 * f64::from(self.counted) * std::f64::consts::LN_2);
        self.bits[places.trailing_zeros() as usize] + hidden
    }
}

/// How often each byte comes at each place of elements of 8 bytes, in runs from all over `sample`.
fn lanes(sample: &[u8]) -> Vec<[u32; 256]> {
    let mut lanes = vec![[0; 256]; 8];
    let runs = sample.chunks(COUNTED_RUN).step_by(sample.len().div_ceil(COUNTED_BYTES).max(1));
    for element in runs.flat_map(|run| run.as_chunks::<8>().0) {
        for (counts, byte) in lanes.iter_mut().zip(element) {
            counts[usize::from(*byte)] += 1;
        }
    }
    lanes
}

/// Entropy, in bits per byte, when the place in elements of `places` bytes is known.
fn bits_by_place(lanes: &[[u32; 256]], places: usize) -> f64 {
    let merged = |place: usize| {
        let mut counts = [0_u32; 256];
        for lane in lanes.iter().skip(place).step_by(places) {
            counts.iter_mut().zip(lane).for_each(|(sum, count)| *sum += count);
        }
        counts
    };
    (0..places).map(|place| bits(&merged(place))).sum::<f64>() / places as f64
}

/// Entropy of bytes that come so often (Shannon, order 0), in bits per byte.
pub(super) fn bits(counts: &[u32; 256]) -> f64 {
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let share = |count: &u32| f64::from(*count) / total;
    counts.iter().filter(|c| **c > 0).map(|c| -share(c) * share(c).log2()).sum()
}

/// Whether `trials` on a part of the data have one like `trial`, at a higher level, that does as well: on all of it, it looks farther back.
pub fn is_outlooked(trial: &Trial, trials: &[Trial], floors: Floors) -> bool {
    let is_higher =
        |t: &&Trial| (&t.algorithm, t.filter) == (&trial.algorithm, trial.filter) && t.level > trial.level;
    let mut higher = trials.iter().filter(is_higher);
    higher.any(|t| t.rejected(floors).is_none() && t.left() <= trial.left() * (1.0 + AS_SMALL))
}

/// Chooses among `trials`; `store`, where it is allowed, is among them without a trial.
///
/// # Errors
/// Nothing reaches the floors: what came how near.
pub fn choose(
    trials: Vec<Trial>,
    objective: Objective,
    floors: Floors,
    may_store: bool,
) -> Result<Choice, String> {
    let mut rejected = Vec::new();
    let mut fitting: Vec<&Trial> = Vec::new();
    for trial in &trials {
        match trial.rejected(floors) {
            Some(why) => rejected.push(why),
            None => fitting.push(trial),
        }
    }
    let best = best(&fitting, objective, may_store);
    let (algorithm, level, filter, chunk_bytes, why) = match best {
        Some(best) => {
            let why = why(best, &fitting, objective);
            (best.algorithm.clone(), best.level, best.filter, best.chunk_bytes, why)
        }
        None if may_store => {
            (STORE.to_owned(), 0, Filter::None, None, why_store(&fitting, objective, &rejected))
        }
        None if trials.is_empty() => return Err("nothing installed could be tried".into()),
        None => return Err(unreached(&rejected)),
    };
    Ok(Choice { algorithm, level, filter, chunk_bytes, why, trials })
}

/// The best trial; nothing where storing is better.
fn best<'a>(fitting: &[&'a Trial], objective: Objective, may_store: bool) -> Option<&'a Trial> {
    let least =
        |key: &dyn Fn(&Trial) -> f64| fitting.iter().copied().min_by(|a, b| key(a).total_cmp(&key(b)));
    match objective {
        Objective::Speed => {
            let saving: Vec<&Trial> = fitting.iter().copied().filter(|t| t.saves()).collect();
            let speeds = settled_mb_s(&saving);
            let fastest = speeds.iter().copied().fold(0.0, f64::max);
            let as_fast = saving.into_iter().zip(speeds).filter(|(_, s)| *s >= fastest * (1.0 - AS_FAST));
            let smallest = as_fast.map(|(t, _)| t).min_by_key(|t| t.compressed_bytes);
            smallest.or_else(|| least(&|t| -t.compress_mb_s()).filter(|_| !may_store))
        }
        Objective::Balanced => {
            least(&Trial::delivery_s).filter(|t| !may_store || t.delivery_s() < 1.0 / BALANCED_MB_S)
        }
        Objective::Ratio => {
            let smallest = least(&Trial::left)?.left();
            if may_store && smallest > 1.0 - WORTH_DECODING {
                return None;
            }
            let as_small = fitting.iter().copied().filter(|t| t.left() <= smallest * (1.0 + AS_SMALL));
            as_small.max_by(|a, b| a.decompress_mb_s().total_cmp(&b.decompress_mb_s()))
        }
    }
}

/// Speeds, in MB/s, by trials and benchmark together: the geometric mean of both, with [`BENCHMARK_SHARE`]. A trial is of the data, but so short
/// that the moment tells as much as the codec; the benchmark is thorough, but of other data. What they differ by in common is left out, and what
/// they differ by beyond [`MOMENTS_APART`] is the data's.
fn settled_mb_s(trials: &[&Trial]) -> Vec<f64> {
    let apart = |t: &Trial| t.predicted_mb_s.map(|predicted| (predicted / t.compress_mb_s()).ln());
    let known: Vec<f64> = trials.iter().filter_map(|t| apart(t)).collect();
    let common = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let settled = |t: &&Trial| {
        let moment = (apart(t).unwrap_or(common) - common).clamp(-MOMENTS_APART, MOMENTS_APART);
        t.compress_mb_s() * (moment * BENCHMARK_SHARE).exp()
    };
    trials.iter().map(settled).collect()
}

/// Which of `trials` are worth repeating: a timer's interrupt takes as long on some virtual machines as all of a short trial.
pub(crate) fn disturbed(trials: &[Trial]) -> Vec<usize> {
    let share = |t: &Trial| t.predicted_mb_s.map(|predicted| t.compress_mb_s() / predicted);
    let usual = median(&mut trials.iter().filter_map(share).collect::<Vec<f64>>());
    let is_slower = |t: &Trial| share(t).is_some_and(|share| share * DISTURBED < usual);
    (0..trials.len()).filter(|i| is_slower(&trials[*i])).collect()
}

fn why(best: &Trial, fitting: &[&Trial], objective: Objective) -> String {
    let (tried, ratio) = (fitting.len(), 1.0 / best.left().max(1e-9));
    let sample = crate::size::binary(best.raw_bytes);
    let speed = best.compress_mb_s();
    let mut why = match objective {
        Objective::Speed if best.saves() => {
            let is_fastest = fitting.iter().all(|t| !t.saves() || t.compress_s >= best.compress_s);
            let rank = if is_fastest { "the fastest" } else { "by trial and benchmark as fast as any" };
            let least = LEAST_SAVING * 100.0;
            format!(
                "{rank} of {tried} tried that saves {least:.0} %: {speed:.0} MB/s, ratio {ratio:.2} on {sample} of it"
            )
        }
        Objective::Speed => format!("the fastest of {tried} tried; none saves {:.0} %", LEAST_SAVING * 100.0),
        Objective::Balanced => format!(
            "delivers soonest at {BALANCED_MB_S:.0} MB/s of {tried} tried: {speed:.0} MB/s, ratio {ratio:.2}, back at {:.0} MB/s on {sample} of it",
            best.decompress_mb_s()
        ),
        Objective::Ratio => format!("the smallest of {tried} tried: ratio {ratio:.2} on {sample} of it"),
    };
    if let Some(bytes) = best.chunk_bytes {
        why += &format!(", in chunks of {} to take no more memory", crate::size::binary(bytes as u64));
    }
    why
}

fn unreached(rejected: &[String]) -> String {
    format!("nothing reaches what was asked: {}", rejected.join("; "))
}

fn why_store(fitting: &[&Trial], objective: Objective, rejected: &[String]) -> String {
    if fitting.is_empty() && !rejected.is_empty() {
        return unreached(rejected);
    }
    let saved = |t: &&Trial| format!("{t} saves {:.1} %", (1.0 - t.left()) * 100.0);
    let nearest = fitting.iter().min_by(|a, b| a.left().total_cmp(&b.left()));
    let nearest = nearest.map_or_else(|| "its bytes look random".into(), saved);
    let why = match objective {
        Objective::Speed => format!("nothing saves {:.0} %", LEAST_SAVING * 100.0),
        Objective::Balanced => format!("delivered sooner as it is at {BALANCED_MB_S:.0} MB/s"),
        Objective::Ratio => "nothing makes it smaller to speak of".into(),
    };
    let rejected = match rejected.len() {
        0 => String::new(),
        count => format!("; {count} do not reach what was asked, {} among them", rejected[0]),
    };
    format!("{why}: {nearest}{rejected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trial(algorithm: &str, mb_s: f64, left: f64, back_mb_s: f64) -> Trial {
        Trial {
            algorithm: algorithm.into(),
            level: 1,
            filter: Filter::None,
            raw_bytes: 1_000_000,
            compressed_bytes: (left * 1e6) as u64,
            compress_s: 1.0 / mb_s,
            predicted_mb_s: None,
            decompress_s: Some(1.0 / back_mb_s),
            memory_bytes: (1e9 / mb_s) as u64,
            chunk_bytes: None,
        }
    }

    fn chosen(trials: &[Trial], objective: Objective, floors: Floors) -> String {
        choose(trials.to_vec(), objective, floors, true).expect("a choice").algorithm
    }

    fn ordinary() -> Vec<Trial> {
        vec![
            trial("lz4", 850.0, 0.65, 3300.0),
            trial("zstd", 600.0, 0.36, 1600.0),
            trial("bzip2", 13.0, 0.31, 27.0),
            trial("lzma", 4.0, 0.25, 99.0),
        ]
    }

    #[test]
    fn each_objective_has_its_own_best() {
        let none = Floors::default();
        assert_eq!(chosen(&ordinary(), Objective::Speed, none), "lz4");
        assert_eq!(chosen(&ordinary(), Objective::Balanced, none), "zstd");
        assert_eq!(chosen(&ordinary(), Objective::Ratio, none), "lzma");
    }

    #[test]
    fn speed_wants_a_saving_and_stores_without_one() {
        let trials = [trial("lz4", 850.0, 0.95, 3300.0), trial("zstd", 300.0, 0.89, 900.0)];
        assert_eq!(chosen(&trials, Objective::Speed, Floors::default()), "zstd");
        assert_eq!(chosen(&trials[..1], Objective::Speed, Floors::default()), STORE);
        assert_eq!(chosen(&[], Objective::Speed, Floors::default()), STORE);
        let only = choose(trials[..1].to_vec(), Objective::Speed, Floors::default(), false).expect("lz4");
        assert_eq!(only.algorithm, "lz4");
    }

    #[test]
    fn a_trial_that_the_benchmark_finds_odd_counts_less() {
        let of = |algorithm, mb_s, predicted| Trial {
            predicted_mb_s: predicted,
            ..trial(algorithm, mb_s, 0.5, 1000.0)
        };
        let fastest = |trials: &[Trial]| chosen(trials, Objective::Speed, Floors::default());
        // The benchmark is of other data: only its proportions count.
        let (odd, usual) = (of("lz4", 440.0, Some(500.0)), of("zstd", 400.0, Some(800.0)));
        assert_eq!(fastest(&[odd.clone(), usual.clone()]), "zstd");
        assert_eq!(fastest(&[of("lz4", 440.0, Some(780.0)), usual.clone()]), "lz4");
        // What is far from the benchmark is so because of the data.
        let unlike = [of("lz4", 900.0, Some(300.0)), of("zstd", 300.0, Some(500.0))];
        assert_eq!(fastest(&unlike), "lz4");
        // One alone, and one the benchmark knows nothing of, are as they were measured.
        assert_eq!(fastest(&[of("lz4", 440.0, Some(1.0)), of("zstd", 400.0, None)]), "lz4");
        let settled = settled_mb_s(&[&odd, &usual, &of("snappy", 410.0, None)]);
        assert!((settled[2] - 410.0).abs() < 1e-9, "{settled:?}");
        assert!((settled[0] * settled[1] - 440.0 * 400.0).abs() < 1e-6, "{settled:?}");
    }

    #[test]
    fn of_what_is_as_fast_the_smallest_is_taken() {
        let none = Floors::default();
        let with = |smaller| [trial("snappy", 500.0, 0.6, 1000.0), smaller];
        assert_eq!(chosen(&with(trial("lz4", 496.0, 0.5, 1000.0)), Objective::Speed, none), "lz4");
        assert_eq!(chosen(&with(trial("lz4", 490.0, 0.5, 1000.0)), Objective::Speed, none), "snappy");
        let why = |trials: &[Trial]| {
            let choice = choose(trials.to_vec(), Objective::Speed, none, true).expect("a choice");
            choice.why
        };
        let near = with(trial("lz4", 496.0, 0.5, 1000.0));
        assert!(why(&near).starts_with("by trial and benchmark as fast as any of 2 tried"), "{}", why(&near));
        assert!(why(&near[..1]).starts_with("the fastest of 1 tried"), "{}", why(&near[..1]));
    }

    #[test]
    fn a_trial_much_slower_than_its_benchmark_beside_others_was_disturbed() {
        let of = |mb_s, predicted| Trial { predicted_mb_s: predicted, ..trial("lz4", mb_s, 0.5, 1000.0) };
        let usual = [of(500.0, Some(700.0)), of(450.0, Some(600.0)), of(420.0, Some(640.0))];
        assert_eq!(disturbed(&usual), [0_usize; 0]);
        let [a, b, _] = usual.clone();
        assert_eq!(disturbed(&[a.clone(), b.clone(), of(250.0, Some(640.0))]), [2]);
        assert_eq!(disturbed(&[of(250.0, Some(700.0)), b.clone()]), [0]);
        // Of one that the benchmark knows nothing of, nothing can be said.
        assert_eq!(disturbed(&[a, b, of(100.0, None)]), [0_usize; 0]);
        assert_eq!(disturbed(&[of(100.0, Some(900.0))]), [0_usize; 0]);
    }

    #[test]
    fn too_few_bytes_do_not_look_like_elements() {
        let mut state = 1_u32;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let random: Vec<u8> = random.take(64 << 10).collect();
        for bytes in [8 << 10, 16 << 10, 64 << 10] {
            assert_eq!(Places::of(&random[..bytes]).typed(), [], "{bytes}");
        }
    }

    #[test]
    fn of_levels_that_do_as_well_on_a_part_the_highest_goes_on() {
        let at = |level, left| Trial { level, ..trial("lzma", 4.0, left, 99.0) };
        let trials = [at(6, 0.25), at(9, 0.25), Trial { filter: Filter::Shuffle4, ..at(9, 0.20) }];
        let none = Floors::default();
        assert_eq!(trials.each_ref().map(|t| is_outlooked(t, &trials, none)), [true, false, false]);
        let larger = [at(6, 0.25), Trial { memory_bytes: 1 << 40, ..at(9, 0.25) }, at(9, 0.26)];
        let little = Floors { max_memory_bytes: Some(1 << 30), ..none };
        assert!(!is_outlooked(&larger[0], &larger, little), "it takes too much memory, or leaves more");
    }

    #[test]
    fn levels_are_given_up_once_a_higher_one_delivers_clearly_later() {
        let at = |level, mb_s, left| Trial { level, ..trial("zstd", mb_s, left, 99.0) };
        let next = at(5, 30.0, 0.36).rung();
        let trials =
            [at(1, 400.0, 0.40), at(2, 380.0, 0.38), trial("gzip", 10.0, 0.3, 99.0), at(3, 50.0, 0.37)];
        assert_eq!([0, 1, 2, 4].map(|n| is_past_best(&trials[..n], &next)), [false, false, false, true]);
        let filtered =
            [at(1, 400.0, 0.40), at(2, 10.0, 0.40), Trial { filter: Filter::Shuffle4, ..at(2, 380.0, 0.3) }];
        assert!(is_past_best(&filtered[..2], &next) && !is_past_best(&filtered, &next));
        let fast = [at(-7, 900.0, 1.0), at(-4, 90.0, 1.0)];
        assert!(is_past_best(&fast, &at(-1, 600.0, 1.0).rung()) && !is_past_best(&fast, &next));
    }

    #[test]
    fn floors_reject_and_say_what() {
        let slow = Floors { min_decompress_mb_s: Some(200.0), ..Floors::default() };
        assert_eq!(chosen(&ordinary(), Objective::Ratio, slow), "zstd");
        let small = Floors { max_memory_bytes: Some(100_000_000), ..Floors::default() };
        assert_eq!(chosen(&ordinary(), Objective::Ratio, small), "bzip2");
        let impossible = Floors { min_decompress_mb_s: Some(1e6), ..Floors::default() };
        let told = choose(ordinary(), Objective::Ratio, impossible, false).expect_err("impossible");
        assert!(told.contains("lzma 1 decompresses at 99 MB/s"), "{told}");
        assert_eq!(chosen(&ordinary(), Objective::Ratio, impossible), STORE);
    }

    #[test]
    fn trials_come_fastest_first_and_only_of_what_is_installed() {
        let levels = |algorithm: &str, lowest, default, highest| Levels {
            algorithm: algorithm.into(),
            lowest,
            default,
            highest,
        };
        let installed = [
            levels("zstd", 1, 3, 19),
            levels("brotli", 0, 5, 11),
            levels(STORE, 0, 0, 0),
            levels("lz4", 0, 1, 12),
        ];
        for objective in [Objective::Speed, Objective::Balanced, Objective::Ratio] {
            let rungs = rungs(&installed, objective);
            assert!(rungs.is_sorted_by(|a, b| a.expected_mb_s >= b.expected_mb_s));
            assert!(rungs.iter().all(|r| r.algorithm != STORE && r.level >= 0 && r.level <= 19));
            let slow = super::rungs(&[levels("lzma", 0, 6, 9)], objective);
            assert!(!slow.is_empty(), "{objective}: the fastest of slow ones");
        }
        let smallest = rungs(&installed, Objective::Ratio);
        let levels: Vec<_> = smallest.iter().map(|r| (r.algorithm.as_str(), r.level)).collect();
        for wanted in [("zstd", 19), ("zstd", 16), ("brotli", 11), ("lz4", 12)] {
            assert!(levels.contains(&wanted), "{levels:?}");
        }
    }

    /// Bytes without order, the same on every machine.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn numbers_look_typed_and_text_and_noise_do_not() {
        let typed = |sample: &[u8]| Places::of(sample).typed();
        let looks_random = |sample: &[u8]| Places::of(sample).looks_random();
        let noise = noise(64 << 10);
        let floats: Vec<u8> =
            noise.chunks(2).flat_map(|n| (1.0 + f32::from(n[0]) / 256.0).to_le_bytes()).collect();
        assert!(typed(&floats).contains(&Filter::Shuffle4));
        assert!(typed(&noise).is_empty());
        assert!(typed(&floats[..100]).is_empty());
        // Of an odd length, so that no letter keeps its place in elements.
        let text = "Seven bits are more than a letter needs, whatever place it has.".repeat(1000);
        assert!(typed(text.as_bytes()).is_empty());
        assert!(looks_random(&noise) && looks_random(&noise[..16384]));
        assert!(!looks_random(&floats) && !looks_random(text.as_bytes()) && !looks_random(&noise[..100]));
        assert!(!looks_random(&[]) && typed(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn a_choice_is_never_worse_than_a_trial(
            numbers in proptest::collection::vec((1.0..2000_f64, 0.01..1.1_f64, 1.0..5000_f64), 1..12),
        ) {
            let trials: Vec<Trial> = numbers.iter().map(|(c, l, d)| trial("zstd", *c, *l, *d)).collect();
            for objective in [Objective::Speed, Objective::Balanced, Objective::Ratio] {
                let choice = choose(trials.clone(), objective, Floors::default(), true).expect("a choice");
                let best = best(&trials.iter().collect::<Vec<_>>(), objective, true);
                prop_assert_eq!(best.is_none(), choice.algorithm == STORE);
                let Some(best) = best else { continue };
                for t in &trials {
                    match objective {
                        Objective::Speed => prop_assert!(
                            !t.saves() || t.compress_mb_s() * (1.0 - AS_FAST) <= best.compress_mb_s()
                        ),
                        Objective::Balanced => prop_assert!(t.delivery_s() >= best.delivery_s()),
                        Objective::Ratio => prop_assert!(t.left() * (1.0 + AS_SMALL) >= best.left()),
                    }
                }
            }
        }
    }
}
