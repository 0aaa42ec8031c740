//! How good the ranking's choices are, measured on data that the benchmark has never seen.
//!
//! A request is a promise made before the data is known: at least the ratio that the reference reaches at that level. What may be
//! chosen are the pairs of implementation and own level that keep it on the built-in data ([`crate::selection::Ranked::levels`]); that is
//! what a promise means. In each cell (data, algorithm, level of the reference, size, direction) the choice is compared with all of
//! these that keep it *on this data, too*: **regret** is the time of the choice over the time of the fastest of them, which is known
//! only afterwards. (Whatever happens to keep it on this data alone is no candidate: on bytes that cannot shrink that is storing
//! them, at level 9.) Pairs are run in turns, and compared within the same rounds: the median of how much longer one took is what counts, since
//! slow moments of the machine meet all of a round. A cell counts where two implementations or more can serve it. Decompressing, the choice is
//! what decodes once a few frames of the data have been, as with the chunks of a file. A choice that misses the ratio on this data is counted
//! as a broken promise.

mod rounds;

use crate::{
    Host, Likeness, Progress, ProgressFn, Request, Result,
    benchmark::{PLACE_BYTES, placed},
    registry::{Entry, report::CodecInfo},
    selection::{self, Direction, Ranking},
    size,
};
use rounds::{Pair, Runs};
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc};

/// Size classes, in bytes.
const SIZES: [usize; 4] = crate::benchmark::SIZES;
/// Most bytes of one piece of data that are looked at.
pub(crate) const MAX_SAMPLE_BYTES: usize = 64 << 20;

/// Data to try choices on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// What it is called in the report.
    pub name: String,
    /// The bytes; of more than 64 MiB, the first.
    pub data: Vec<u8>,
}

impl Sample {
    /// Data of the kinds that the built-in benchmark has, from another seed: what it measured, on bytes it did not see.
    pub fn generated() -> Vec<Self> {
        crate::benchmark::data::Kind::ALL
            .iter()
            .map(|k| Self { name: format!("generated {}", k.name()), data: k.unseen(SIZES[SIZES.len() - 1]) })
            .collect()
    }
}

/// An implementation at one of its levels, as it did in a cell.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Tried {
    /// `<algorithm>/<hardware>/<library>`.
    pub implementation: String,
    /// Its own level.
    pub level: i32,
    /// Seconds for all pieces of the cell: of the choice, its fastest run; of others, that by how much longer they took in the same rounds.
    pub seconds: f64,
    /// Original bytes over compressed bytes; absent for decompression.
    pub ratio: Option<f64>,
}

/// One cell.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RegretCell {
    /// Name of the data.
    pub sample: String,
    /// Algorithm.
    pub algorithm: String,
    /// Level of the reference that was asked for; of the frames, for decompression.
    pub level: i32,
    /// Size of one piece, in bytes.
    pub bytes: u64,
    /// Direction.
    pub direction: Direction,
    /// What the ranking chose.
    pub choice: Tried,
    /// The fastest that keeps the promise on this data.
    pub best: Tried,
    /// All that keep the promise on this data; the slow ones were run only once.
    pub eligible: Vec<Tried>,
    /// Time of the choice over time of the best; at least 1.
    pub regret: f64,
    /// Share of the promised ratio that the choice reached on this data; below 1 the promise was broken.
    pub kept: f64,
}

/// What became of all choices.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Regret {
    /// The cells.
    pub cells: Vec<RegretCell>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// Middle regret.
    pub median: Option<f64>,
    /// Regret that 95 of 100 cells do not exceed.
    pub percentile_95: Option<f64>,
    /// Largest regret.
    pub worst: Option<f64>,
    /// Cells whose choice missed the promised ratio on this data.
    pub broken_promises: usize,
    /// The smallest share of the promised ratio that was reached.
    pub least_kept: Option<f64>,
}

impl Regret {
    fn summarise(mut self) -> Self {
        let mut regrets: Vec<f64> = self.cells.iter().map(|c| c.regret).collect();
        regrets.sort_by(f64::total_cmp);
        // Nearest rank (the smallest value that so many of 100 do not exceed).
        let percentile = |p: f64| {
            let rank = (p / 100.0 * regrets.len() as f64).ceil() as usize;
            regrets.get(rank.saturating_sub(1)).copied()
        };
        self.median = percentile(50.0);
        self.percentile_95 = percentile(95.0);
        self.worst = regrets.last().copied();
        self.broken_promises = self.cells.iter().filter(|c| c.kept < 1.0).count();
        self.least_kept = self.cells.iter().map(|c| c.kept).min_by(f64::total_cmp);
        self
    }
}

impl Host {
    /// Measures the regret of the ranking's choices for `algorithms` (all that have two implementations, when empty) on `samples`. What the
    /// ranking needs and does not have yet is measured first. Takes minutes.
    ///
    /// # Errors
    /// [`crate::Error::UnknownAlgorithm`], [`crate::Error::NoProbeHelper`], and the codecs' own.
    pub fn regret(
        &self,
        algorithms: &[String],
        samples: &[Sample],
        progress: ProgressFn<'_>,
    ) -> Result<Regret> {
        let algorithms: Vec<String> = if algorithms.is_empty() {
            self.algorithms()
        } else {
            algorithms.iter().map(|a| crate::algorithm::canonical(a)).collect()
        };
        let mut regret = Regret::default();
        let mut jobs = Vec::new();
        for algorithm in &algorithms {
            self.rank_measured(&Request::new(algorithm), progress)?;
            match Contest::new(self, algorithm, progress)? {
                Some(contest) => jobs.push(contest),
                None => regret.skipped.push(format!("{algorithm}: nothing to choose between")),
            }
        }
        let total = jobs.len() * samples.len();
        for (n, sample) in samples.iter().enumerate() {
            let pieces = pieces(sample, &mut regret.skipped);
            for (m, contest) in jobs.iter().enumerate() {
                let name = format!("{} on {}", contest.algorithm, sample.name);
                progress(Progress::Measuring { done: n * jobs.len() + m, total, name });
                for (bytes, pieces) in &pieces {
                    contest.run(sample, *bytes, pieces, &mut regret)?;
                }
            }
        }
        Ok(regret.summarise())
    }
}

/// Pieces of each size class, spread over the data: enough of the small ones that caches and branch predictors do not know them by heart.
fn pieces<'a>(sample: &'a Sample, skipped: &mut Vec<String>) -> Vec<(usize, Vec<&'a [u8]>)> {
    const SPREAD_BYTES: usize = 512 << 10;
    let data = &sample.data[..sample.data.len().min(MAX_SAMPLE_BYTES)];
    let mut all = Vec::new();
    if data.is_empty() {
        skipped.push(format!("{}: empty", sample.name));
        return all;
    }
    for bytes in SIZES {
        let most = data.len() / bytes;
        if most == 0 {
            let (has, class) = (size::binary(data.len() as u64), size::binary(bytes as u64));
            skipped.push(format!("{}: {has} are too few for pieces of {class}", sample.name));
            continue;
        }
        let count = (SPREAD_BYTES / bytes).clamp(1, 64).min(most);
        let stride = most / count * bytes;
        all.push((bytes, (0..count).map(|i| &data[i * stride..][..bytes]).collect()));
    }
    all
}

/// The implementations of one algorithm, and what the ranking says about them.
struct Contest<'a> {
    host: &'a Host,
    algorithm: String,
    reference: String,
    levels: Vec<i32>,
    codecs: Vec<(Arc<Entry>, CodecInfo)>,
}

impl<'a> Contest<'a> {
    /// `None` where there is nothing to choose between.
    fn new(host: &'a Host, algorithm: &str, progress: ProgressFn<'_>) -> Result<Option<Self>> {
        let snapshot = host.snapshot();
        let ranking = host.rank(&Request::new(algorithm))?;
        // Those that are installed and healthy; who may not be used for a request is told by its ranking.
        let codecs: Vec<(Arc<Entry>, CodecInfo)> = crate::host::usable(&snapshot)
            .filter(|(_, c)| c.info.algorithm == algorithm && !c.info.is_simulated())
            .filter(|(_, c)| !host.config().disabled.contains(&c.info.implementation()))
            .map(|(e, c)| (Arc::clone(e), c.info.clone()))
            .collect();
        let Some(reference) = ranking.reference.filter(|_| codecs.len() > 1) else { return Ok(None) };
        let Some((_, info)) = codecs.iter().find(|(_, c)| c.implementation() == reference) else {
            return Ok(None);
        };
        let levels = selection::own_levels(info);
        for level in &levels {
            host.rank_measured(&Request::new(algorithm).level(*level), progress)?;
        }
        Ok(Some(Self { host, algorithm: algorithm.to_owned(), reference, levels, codecs }))
    }

    fn run(&self, sample: &Sample, bytes: usize, pieces: &[&[u8]], regret: &mut Regret) -> Result<()> {
        let of_any_size = Request::new(&self.algorithm).bytes(bytes as u64);
        // Large pieces are chunks of a file, on which close calls are settled; small ones come alone.
        let like = if bytes as u64 >= selection::DEFAULT_BYTES {
            of_any_size.like(&sample.data)
        } else {
            Request { likeness: Likeness::of(&sample.data), ..of_any_size }
        };
        let request = |level: i32| like.clone().level(level);
        let mut rankings = Vec::new();
        for level in &self.levels {
            rankings.push((*level, self.host.rank(&request(*level))?));
        }
        let fits = |info: &CodecInfo| bytes as u64 <= info.max_chunk_bytes;
        let codecs: Vec<&(Arc<Entry>, CodecInfo)> = self.codecs.iter().filter(|(_, i)| fits(i)).collect();
        let wanted = |id: &str, level: i32| {
            let is_asked = id == self.reference && self.levels.contains(&level);
            is_asked || rankings.iter().any(|(_, r)| may_serve(r, id, level))
        };
        let mut pairs = Vec::new();
        for (entry, info) in codecs.iter().filter(|(_, i)| i.compresses) {
            let levels = (info.level_min..=info.level_max).filter(|l| wanted(&info.implementation(), *l));
            pairs.extend(levels.map(|level| Pair { entry, info, level }));
        }
        let mut runs = Runs::compressing(pairs, pieces)?;
        let cells: Vec<RoundCell> =
            rankings.iter().filter_map(|(l, r)| self.compress_cell(&request(*l), *l, r, &runs)).collect();
        runs.settle(&cells)?;
        for cell in &cells {
            regret.cells.extend(runs.outcome(cell).map(|o| self.report(&sample.name, bytes, cell, o)));
        }
        for level in &self.levels {
            let Some(frames) = runs.frames(&self.reference, *level) else { continue };
            let (raw, frame) = (bytes * frames.len(), frames.iter().map(Vec::len).sum::<usize>());
            let request = Request {
                direction: Direction::Decompress,
                likeness: Likeness::of_frame(raw as u64, frame as u64),
                ..Request::new(&self.algorithm).bytes(bytes as u64)
            };
            let ranking = self.host.rank(&request)?;
            let choice = self.decoder(&request, &frames, bytes)?;
            let readers = codecs
                .iter()
                .filter(|(_, i)| ranking.ranked.iter().any(|r| r.implementation == i.implementation()));
            let pairs =
                readers.map(|(entry, info)| Pair { entry, info, level: info.level_default }).collect();
            let mut runs = Runs::decompressing(pairs, frames, bytes)?;
            let Some(cell) = decompress_cell(*level, &choice, &runs) else { continue };
            runs.settle(std::slice::from_ref(&cell))?;
            regret.cells.extend(runs.outcome(&cell).map(|o| self.report(&sample.name, bytes, &cell, o)));
        }
        Ok(())
    }

    /// What decodes `frames` of `bytes` bytes, once there have been enough of them that close ones have had their turns.
    fn decoder(&self, request: &Request, frames: &[Vec<u8>], bytes: usize) -> Result<String> {
        let decompressor = self.host.decompressor(request)?;
        let mut out = vec![0; bytes + PLACE_BYTES];
        for number in (0..).take_while(|_| decompressor.decoders_take_turns()) {
            // Where there are few, the next round of them begins two later, so that each is decoded by both in turns.
            let place = number + 2 * (number / frames.len());
            let frame = &frames[place % frames.len()];
            decompressor.decode_frame(frame, &mut placed(&mut out, number)[..bytes], |_| true)?;
        }
        Ok(decompressor.decoder_id().to_owned())
    }

    /// What was chosen, and what else keeps the promise of `level` on this data.
    fn compress_cell(
        &self,
        request: &Request,
        level: i32,
        ranking: &Ranking,
        runs: &Runs<'_>,
    ) -> Option<RoundCell> {
        let opened = self.host.compressor(request).ok()?;
        let choice = runs.find(opened.implementation(), opened.level())?;
        let asked = runs.find(&self.reference, level).and_then(|i| runs.ratio(i))?;
        let share = |i: usize| {
            let pair = &runs.pairs()[i];
            if pair.info.implementation() == self.reference && pair.level == level {
                return 1.0;
            }
            let floor = selection::ratio_floor(pair.info, request);
            runs.ratio(i).map_or(0.0, |r| r / (asked * floor))
        };
        let may = |i: &usize| {
            let pair = &runs.pairs()[*i];
            may_serve(ranking, &pair.info.implementation(), pair.level) && share(*i) >= 1.0
        };
        let eligible = (0..runs.pairs().len()).filter(may).collect();
        RoundCell { level, direction: Direction::Compress, choice, kept: share(choice), eligible }
            .contested(runs)
    }

    fn report(
        &self,
        sample: &str,
        bytes: usize,
        cell: &RoundCell,
        outcome: (Tried, Tried, Vec<Tried>),
    ) -> RegretCell {
        let (choice, best, eligible) = outcome;
        RegretCell {
            sample: sample.to_owned(),
            algorithm: self.algorithm.clone(),
            level: cell.level,
            bytes: bytes as u64,
            direction: cell.direction,
            regret: (choice.seconds / best.seconds).max(1.0),
            kept: cell.kept,
            choice,
            best,
            eligible,
        }
    }
}

/// Whether a pair keeps the promise on the built-in data.
fn may_serve(ranking: &Ranking, implementation: &str, level: i32) -> bool {
    ranking.ranked.iter().any(|r| r.implementation == implementation && r.levels.contains(&level))
}

fn decompress_cell(level: i32, choice: &str, runs: &Runs<'_>) -> Option<RoundCell> {
    let choice = runs.find_any(choice)?;
    let eligible = (0..runs.pairs().len()).collect();
    RoundCell { level, direction: Direction::Decompress, choice, kept: 1.0, eligible }.contested(runs)
}

/// A cell before its times are settled: places of pairs.
#[derive(Clone, Debug)]
pub(super) struct RoundCell {
    level: i32,
    direction: Direction,
    choice: usize,
    kept: f64,
    /// Those that keep the promise on this data.
    eligible: Vec<usize>,
}

impl RoundCell {
    /// Itself, if two implementations can serve it.
    fn contested(self, runs: &Runs<'_>) -> Option<Self> {
        let of = |i: &usize| runs.pairs()[*i].info.implementation();
        let implementations: BTreeSet<String> = self.eligible.iter().chain([&self.choice]).map(of).collect();
        (implementations.len() > 1 && !self.eligible.is_empty()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(regret: f64, kept: f64) -> RegretCell {
        let tried = Tried { implementation: "a/cpu/b".into(), level: 1, seconds: 1.0, ratio: None };
        RegretCell {
            sample: String::new(),
            algorithm: "a".into(),
            level: 1,
            bytes: 4096,
            direction: Direction::Compress,
            choice: tried.clone(),
            best: tried,
            eligible: Vec::new(),
            regret,
            kept,
        }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let cells = (1..=100).map(|n| cell(1.0 + f64::from(n) / 100.0, 2.0 - f64::from(n) / 90.0)).collect();
        let regret = Regret { cells, ..Regret::default() }.summarise();
        assert_eq!((regret.median, regret.percentile_95, regret.worst), (Some(1.5), Some(1.95), Some(2.0)));
        assert_eq!(regret.broken_promises, 10);
        assert_eq!(Regret::default().summarise().worst, None);
    }

    #[test]
    fn data_too_small_for_a_size_class_is_told() {
        let mut skipped = Vec::new();
        let sample = Sample { name: "small".into(), data: vec![0; 100_000] };
        let pieces = pieces(&sample, &mut skipped);
        let sizes: Vec<(usize, usize)> = pieces.iter().map(|(bytes, p)| (*bytes, p.len())).collect();
        assert_eq!(sizes, [(4096, 24), (65_536, 1)]);
        assert_eq!(skipped.len(), 2);
        assert_eq!(skipped[0], "small: 97.7 KiB are too few for pieces of 1 MiB");
    }
}
