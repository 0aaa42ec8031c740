//! Runs pairs of implementation and level in turns on the same pieces, and compares those of the same round.
//!
//! Processors that share their cores with other work have fast moments and slow ones, by half as much again. The fastest run of each would compare one's
//! luck with another's; what is had of both within the same round met the same moments, in the middle of many rounds.

use super::{RoundCell, Tried};
use crate::{
    Error, Result,
    benchmark::{PLACE_BYTES, clock::Clock, median, placed},
    registry::{Entry, report::CodecInfo},
    sync::lock,
};
use clipsmaster_plugin_api::{
    Options,
    abi::import::{Codec, Instance},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    sync::Arc,
    time::Instant,
};

/// Pairs this much slower than the fastest of a cell after one run are out of the question.
const OUT_OF_QUESTION: f64 = 1.6;
/// Runs of each pair that might win.
const ROUNDS: u32 = 5;
/// More rounds of what is over sooner, up to this time, in seconds.
const SETTLING_S: f64 = 1.5;
/// From this regret on a cell is looked at twice.
const NOTABLE: f64 = 1.1;
/// Most rounds.
const MAX_ROUNDS: u32 = 40;

/// An implementation at one of its levels.
pub(super) struct Pair<'a> {
    pub entry: &'a Arc<Entry>,
    pub info: &'a CodecInfo,
    pub level: i32,
}

/// What is done to each piece.
enum Work<'a> {
    Compress(&'a [&'a [u8]]),
    Decompress(Vec<Vec<u8>>, usize),
}

/// What a pair has done so far.
struct Done {
    instance: Instance,
    /// Seconds by round; those in which it did not run are left out.
    rounds: BTreeMap<u32, f64>,
    frames: Vec<Vec<u8>>,
}

impl Done {
    /// The fastest run, in seconds.
    fn least_s(&self) -> f64 {
        self.rounds.values().copied().fold(f64::INFINITY, f64::min)
    }
}

/// The pairs, and their runs so far.
pub(super) struct Runs<'a> {
    pairs: Vec<Pair<'a>>,
    done: Vec<Done>,
    /// Number of the round.
    round: u32,
    work: Work<'a>,
    buffer: Vec<u8>,
}

impl<'a> Runs<'a> {
    /// Runs each pair once, and keeps its frames.
    pub(super) fn compressing(pairs: Vec<Pair<'a>>, pieces: &'a [&'a [u8]]) -> Result<Self> {
        Self::new(pairs, Work::Compress(pieces))
    }

    /// As [`compressing`](Self::compressing), in the other direction: `frames` of pieces of `bytes` bytes.
    pub(super) fn decompressing(pairs: Vec<Pair<'a>>, frames: Vec<Vec<u8>>, bytes: usize) -> Result<Self> {
        Self::new(pairs, Work::Decompress(frames, bytes))
    }

    fn new(pairs: Vec<Pair<'a>>, work: Work<'a>) -> Result<Self> {
        let mut runs = Self { pairs, done: Vec::new(), round: 0, work, buffer: Vec::new() };
        for pair in &runs.pairs {
            let mut done = Done { instance: pair.open()?, rounds: BTreeMap::new(), frames: Vec::new() };
            pair.prepare(&mut done, &runs.work, &mut runs.buffer)?;
            runs.done.push(done);
        }
        for i in 0..runs.pairs.len() {
            runs.time(i)?;
        }
        Ok(runs)
    }

    pub(super) fn pairs(&self) -> &[Pair<'a>] {
        &self.pairs
    }

    pub(super) fn find(&self, implementation: &str, level: i32) -> Option<usize> {
        self.pairs.iter().position(|p| p.level == level && p.info.implementation() == implementation)
    }

    pub(super) fn find_any(&self, implementation: &str) -> Option<usize> {
        self.pairs.iter().position(|p| p.info.implementation() == implementation)
    }

    /// Ratio over all pieces.
    pub(super) fn ratio(&self, i: usize) -> Option<f64> {
        let Work::Compress(pieces) = &self.work else { return None };
        let before: usize = pieces.iter().map(|p| p.len()).sum();
        let after: usize = self.done[i].frames.iter().map(Vec::len).sum();
        Some(before as f64 / after.max(1) as f64)
    }

    /// The frames that a pair wrote.
    pub(super) fn frames(&self, implementation: &str, level: i32) -> Option<Vec<Vec<u8>>> {
        self.find(implementation, level).map(|i| self.done[i].frames.clone())
    }

    /// Runs what might win `cells` in turns, until that is settled. Where a choice seems to be wrong, once more with new instances: in which
    /// memory an instance lies is chance, and may make it slow.
    pub(super) fn settle(&mut self, cells: &[RoundCell]) -> Result<()> {
        self.rounds(cells)?;
        let seems_wrong = |cell: &RoundCell| {
            let chosen = self.seconds(cell, cell.choice);
            cell.eligible.iter().any(|i| chosen > NOTABLE * self.seconds(cell, *i))
        };
        if cells.iter().any(seems_wrong) {
            self.open_anew()?;
            self.rounds(cells)?;
        }
        Ok(())
    }

    fn open_anew(&mut self) -> Result<()> {
        // Each is made before the old one ends: in other memory.
        for (pair, done) in self.pairs.iter().zip(&mut self.done) {
            done.instance = pair.open()?;
        }
        self.buffer = vec![0; self.buffer.len()];
        Ok(())
    }

    fn rounds(&mut self, cells: &[RoundCell]) -> Result<()> {
        let mut rest = SETTLING_S.max(f64::from(ROUNDS) * self.round_s(cells));
        for round in 0..MAX_ROUNDS {
            let start = Instant::now();
            self.round += 1;
            for i in self.contenders(cells) {
                self.time(i)?;
            }
            rest -= start.elapsed().as_secs_f64();
            if round >= 2 && rest <= 0.0 {
                break;
            }
        }
        Ok(())
    }

    fn round_s(&self, cells: &[RoundCell]) -> f64 {
        self.contenders(cells).into_iter().map(|i| self.done[i].least_s()).sum()
    }

    /// The choices, and whatever may still turn out to be the fastest.
    fn contenders(&self, cells: &[RoundCell]) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        for cell in cells {
            let least = |i: &usize| self.done[*i].least_s();
            let best = cell.eligible.iter().map(least).fold(f64::INFINITY, f64::min);
            let near = cell.eligible.iter().filter(|i| least(i) <= best * OUT_OF_QUESTION);
            all.extend(near.copied());
            all.insert(cell.choice);
        }
        all
    }

    /// The fastest run of the choice, times the median of how much longer pair `i` took in the rounds of both.
    fn seconds(&self, cell: &RoundCell, i: usize) -> f64 {
        let (choice, other) = (&self.done[cell.choice], &self.done[i]);
        let both = choice.rounds.iter().filter_map(|(round, s)| Some(other.rounds.get(round)? / s));
        let mut factors: Vec<f64> = both.collect();
        choice.least_s() * median(&mut factors)
    }

    /// The choice, the fastest, and all that might have been chosen.
    pub(super) fn outcome(&self, cell: &RoundCell) -> Option<(Tried, Tried, Vec<Tried>)> {
        let tried = |i: usize| Tried {
            implementation: self.pairs[i].info.implementation(),
            level: self.pairs[i].level,
            seconds: self.seconds(cell, i),
            ratio: self.ratio(i),
        };
        let others: Vec<Tried> = cell.eligible.iter().map(|i| tried(*i)).collect();
        let best = others.iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds))?.clone();
        Some((tried(cell.choice), best, others))
    }

    fn time(&mut self, i: usize) -> Result<()> {
        let (pair, done) = (&self.pairs[i], &mut self.done[i]);
        let _alone = (!pair.info.concurrent).then(|| lock(&pair.entry.serial));
        let clock = Clock::of(&pair.info.hardware);
        let start = clock.now();
        match &self.work {
            Work::Compress(pieces) => {
                for (i, piece) in pieces.iter().enumerate() {
                    let written = done.instance.compress(black_box(piece), placed(&mut self.buffer, i));
                    black_box(written.map_err(|e| pair.error(e))?);
                }
            }
            Work::Decompress(frames, bytes) => {
                for (i, frame) in frames.iter().enumerate() {
                    let out = &mut placed(&mut self.buffer, i)[..*bytes];
                    let written = done.instance.decompress(black_box(frame), out);
                    black_box(written.map_err(|e| pair.error(e))?);
                }
            }
        }
        done.rounds.insert(self.round, clock.now() - start);
        Ok(())
    }
}

impl Pair<'_> {
    fn codec(&self) -> Result<Codec> {
        self.entry
            .codec(self.info.index)
            .map_err(|why| Error::Usage(format!("{} cannot be loaded: {why}", self.info.implementation())))
    }

    fn open(&self) -> Result<Instance> {
        self.codec()?.open(self.level, &Options::default()).map_err(|e| self.error(e))
    }

    fn error(&self, source: clipsmaster_plugin_api::Error) -> Error {
        Error::Codec { implementation: self.info.implementation(), source }
    }

    /// The untimed first run: makes the buffer large enough, and keeps the frames.
    fn prepare(&self, done: &mut Done, work: &Work<'_>, buffer: &mut Vec<u8>) -> Result<()> {
        let _alone = (!self.info.concurrent).then(|| lock(&self.entry.serial));
        match work {
            Work::Compress(pieces) => {
                for piece in *pieces {
                    let bound = done.instance.compress_bound(piece.len()).map_err(|e| self.error(e))?;
                    buffer.resize(buffer.len().max(bound + PLACE_BYTES), 0);
                    let len = done.instance.compress(piece, buffer).map_err(|e| self.error(e))?;
                    done.frames.push(buffer[..len].to_vec());
                }
            }
            Work::Decompress(_, bytes) => buffer.resize(buffer.len().max(*bytes + PLACE_BYTES), 0),
        }
        Ok(())
    }
}
