//! Chooses algorithm, level and filter for data by trials on a sample of it.
//!
//! Measures; what to try, and what to make of it, is for [`selection::auto`](crate::selection::auto) to say.

use crate::{
    Checksum, Compressor, DataSample, Direction, Error, Filter, Host, Likeness, Request, Result, algorithm,
    benchmark::clock::Clock,
    container::MAX_CHUNK_BYTES,
    filter::planes,
    host::find_usable,
    pipeline::{default_chunk_bytes, smaller_chunk, threads},
    registry::report::CodecInfo,
    sample::longest,
    selection::{
        Profile,
        auto::{
            self, BALANCED_MB_S, Choice, Floors, Levels, Objective, Places, Rung, Trial, may_beat, rungs,
        },
    },
};
use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
    thread,
};

/// Fewer bytes are not worth a trial.
const LEAST_BYTES: usize = 512;
/// What a codec that finds repetitions leaves at most of data that has any to speak of.
const HARDLY_SMALLER: f64 = 0.99;
/// What the first codec that counts bytes must leave at most, for slower ones to be able to save what [`Objective::Speed`] asks.
const HOPELESS: f64 = 0.97;
/// What share of a sample, as a divisor, warms a codec up.
const WARM_UP: usize = 4;
/// A race is run in blocks of so many bytes: in shorter ones counts what some codecs do once in a block, as it does not in the whole; in
/// longer ones codecs that see far find that the pieces of a sample do not belong together.
const BLOCK_BYTES: usize = 128 << 10;
/// What a racer starts with, of at least so many bytes, is not timed.
const RACE_WARM_UP_BYTES: RangeInclusive<usize> = 8 << 10..=32 << 10;
const LEAST_RACE_BYTES: usize = 32 << 10;
/// What the benchmark says is asked for pieces of so many bytes, whatever chunks a codec gets: larger ones it has measured in other caches.
const PREDICTED_BYTES: u64 = 1 << 20;
/// What a filter must save of what is left without it.
const LEAST_GAIN: f64 = 0.02;
/// For [`Objective::Ratio`]: how near to the smallest, as a factor, the first trials must come for a longer one.
const FINALIST: f64 = 1.06;
/// The same where data repeats itself from afar, so that what sees far leaves less of more.
const FAR_FINALIST: f64 = 1.3;
/// And how many do at most.
const FINALISTS: usize = 4;
/// Bytes of the longer trials where it does not: a share of the data.
const FINAL_BYTES: RangeInclusive<u64> = 1 << 20..=4 << 20;
/// What must be saved of data as a whole, of what is left of it in pieces, for it to repeat itself from afar.
const FAR_GAIN: f64 = 0.03;
/// A fast level that sees a few MiB.
const FAR_LEVEL: i32 = 9;

/// What to choose by, and among what.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// What is best.
    pub objective: Objective,
    /// What must be reached.
    pub floors: Floors,
    /// Only this algorithm (any alias): just the level is chosen.
    pub algorithm: Option<String>,
    /// Exactly this filter; chosen when absent.
    pub filter: Option<Filter>,
    /// Only this hardware.
    pub hardware: Option<String>,
    /// Whether data that is not worth compressing may be stored.
    pub may_store: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            floors: Floors::default(),
            algorithm: None,
            filter: None,
            hardware: None,
            may_store: true,
        }
    }
}

impl Host {
    /// Chooses what to compress data like `sample` with, by trials on this machine: milliseconds, or for [`Objective::Ratio`] seconds.
    ///
    /// # Errors
    /// [`Error::Usage`] when nothing can be chosen, [`Error::Io`] when the sample cannot be read.
    pub fn choose(&self, sample: &DataSample<'_>, objective: Objective) -> Result<Choice> {
        self.choose_for(sample, &Wanted { objective, ..Wanted::default() })
    }

    /// As [`choose`](Self::choose), within limits.
    ///
    /// # Errors
    /// As [`choose`](Self::choose), also when nothing reaches the floors; the message says what came how near.
    pub fn choose_for(&self, sample: &DataSample<'_>, wanted: &Wanted) -> Result<Choice> {
        let read = |e| Error::io("read", "the sample")(e);
        let data = sample.first(wanted.objective).map_err(read)?;
        let mut chooser = Chooser::new(self, sample, wanted)?;
        if data.len() < LEAST_BYTES {
            return chooser.by_default(&data);
        }
        let places = Places::of(&data);
        if chooser.may_store && places.looks_random() && chooser.is_random(&data)? {
            return chooser.conclude();
        }
        let filters = chooser.filters(&data, &places);
        match wanted.objective {
            Objective::Speed => {
                chooser.fastest(&data, &filters);
                chooser.predict(&data);
                chooser.repeat_disturbed(&data);
            }
            Objective::Balanced => chooser.balanced(&data, &filters),
            Objective::Ratio => {
                chooser.all(&data, &filters);
                if sample.len > data.len() as u64 {
                    chooser.finals(&sample.stretch(longest(Objective::Ratio)).map_err(read)?);
                }
            }
        }
        chooser.conclude()
    }

    /// What is known about the levels of what is installed and can be recognised again.
    fn levels(&self) -> Vec<Levels> {
        let snapshot = self.snapshot();
        let usable = self.algorithms();
        let codecs = snapshot.entries.iter().flat_map(|e| &e.report.codecs).map(|c| &c.info);
        let mut all: Vec<Levels> = Vec::new();
        for info in codecs.filter(|i| i.compresses && usable.contains(&i.algorithm)) {
            match all.iter_mut().find(|l| l.algorithm == info.algorithm) {
                Some(known) => {
                    known.lowest = known.lowest.min(info.level_min);
                    known.highest = known.highest.max(info.level_max);
                }
                None if is_recognised(info) => all.push(Levels {
                    algorithm: info.algorithm.clone(),
                    lowest: info.level_min,
                    default: info.level_default,
                    highest: info.level_max,
                }),
                None => {}
            }
        }
        all
    }
}

/// Whether files can be told by their first bytes, and have a usual name.
fn is_recognised(info: &CodecInfo) -> bool {
    info.algorithm == algorithm::STORE || !info.magic.is_empty() && !info.extension.is_empty()
}

/// A choice under way.
struct Chooser<'a> {
    host: &'a Host,
    wanted: &'a Wanted,
    total: u64,
    installed: Vec<Levels>,
    may_store: bool,
    opened: Vec<(Rung, Arc<Compressor>)>,
    trials: Vec<Trial>,
    /// Those that the choice is no longer among.
    eliminated: Vec<Trial>,
    buffers: Buffers,
}

#[derive(Default)]
struct Buffers {
    filtered: Vec<u8>,
    out: Vec<u8>,
    back: Vec<u8>,
    /// Where in `out` frames stand, and how long what is in them is.
    frames: Vec<(Range<usize>, usize)>,
}

impl<'a> Chooser<'a> {
    fn new(host: &'a Host, sample: &DataSample<'_>, wanted: &'a Wanted) -> Result<Self> {
        let mut installed = host.levels();
        let may_store = wanted.may_store && installed.iter().any(|l| l.algorithm == algorithm::STORE);
        if let Some(only) = &wanted.algorithm {
            let only = algorithm::canonical(only);
            // Says what there is, where it is not installed.
            host.rank(&Request::new(&only))?;
            installed.retain(|l| l.algorithm == only);
        }
        Ok(Self {
            host,
            wanted,
            total: sample.total.unwrap_or(u64::MAX),
            installed,
            may_store,
            opened: Vec::new(),
            trials: Vec::new(),
            eliminated: Vec::new(),
            buffers: Buffers::default(),
        })
    }

    fn rungs(&self, objective: Objective) -> Vec<Rung> {
        rungs(&self.installed, objective)
    }

    /// A codec that counts bytes as well as finding repetitions, and is fast: for what need not be exact.
    fn scout(&self) -> Option<Rung> {
        let all = self.rungs(Objective::Speed);
        let scout = all.iter().find(|r| r.algorithm == algorithm::DEFAULT && r.level == 1);
        scout.or(all.first()).cloned()
    }

    /// Opened once: what a codec sets up takes as long as a trial.
    fn kept_compressor(&mut self, rung: &Rung) -> Option<Arc<Compressor>> {
        if let Some((_, kept)) = self.opened.iter().find(|(of, _)| of.is_same(rung)) {
            return Some(Arc::clone(kept));
        }
        let opened = if self.decompresses() { Arc::new(self.compressor(rung)?) } else { self.encoder(rung)? };
        self.opened.push((rung.clone(), Arc::clone(&opened)));
        Some(opened)
    }

    fn compressor(&self, rung: &Rung) -> Option<Compressor> {
        let compressor = self.host.compressor(&self.request(rung)).ok()?;
        Some(compressor.for_samples_of(self.chunk_bytes(rung)))
    }

    /// What only compresses, and serves other choices as well.
    fn encoder(&self, rung: &Rung) -> Option<Arc<Compressor>> {
        self.host.shared_sampler(self.request(rung), self.chunk_bytes(rung)).ok()
    }

    fn request(&self, rung: &Rung) -> Request {
        let hardware = self.wanted.hardware.clone();
        Request { level: Some(rung.level), hardware, ..Request::new(&rung.algorithm) }
    }

    fn chunk_bytes(&self, rung: &Rung) -> u64 {
        chunk_bytes(&rung.algorithm, rung.level, self.total)
    }

    /// Whether how fast what was compressed comes back matters.
    fn decompresses(&self) -> bool {
        self.wanted.objective != Objective::Speed || self.wanted.floors.min_decompress_mb_s.is_some()
    }

    /// Tries `rung`; what cannot be tried is no candidate.
    fn trial(&mut self, rung: &Rung, filter: Filter, data: &[u8], exact: bool) -> Option<Trial> {
        let compressor = self.kept_compressor(rung)?;
        let runs = self.runs(exact, self.decompresses());
        measure(&compressor, rung, filter, data, runs, &mut self.buffers).ok()
    }

    fn runs(&self, exact: bool, decompresses: bool) -> Runs {
        let most_memory_bytes = self.wanted.floors.max_memory_bytes;
        Runs { exact, decompresses, total: self.total, most_memory_bytes }
    }

    /// Where there is too little to try anything with.
    fn by_default(mut self, data: &[u8]) -> Result<Choice> {
        let default = self.wanted.algorithm.clone().unwrap_or_else(|| algorithm::DEFAULT.into());
        let default = algorithm::canonical(&default);
        let known = self.installed.iter().find(|l| l.algorithm == default).or(self.installed.first());
        let known = known.ok_or_else(|| Error::Usage("nothing installed can compress".into()))?;
        let (algorithm, level) = (known.algorithm.clone(), known.default);
        self.trials.clear();
        let why = format!("the default: {} bytes are too few to choose by", data.len());
        let filter = self.wanted.filter.unwrap_or_default();
        Ok(Choice { algorithm, level, filter, chunk_bytes: None, why, trials: Vec::new() })
    }

    /// Whether a trial finds nothing, either, in what looks random.
    fn is_random(&mut self, data: &[u8]) -> Result<bool> {
        let Some(rung) = self.rungs(Objective::Speed).first().cloned() else { return Ok(true) };
        let Some(trial) = self.trial(&rung, Filter::None, data, false) else { return Ok(false) };
        if trial.left() < HARDLY_SMALLER {
            return Ok(false);
        }
        self.trials.push(trial);
        Ok(true)
    }

    /// Filters to try everything with: none, and the best of those that fit what the data looks like, by a trial, or for speed by its
    /// bytes alone.
    fn filters(&mut self, data: &[u8], places: &Places) -> Vec<Filter> {
        if let Some(only) = self.wanted.filter {
            return vec![only];
        }
        let candidates = places.typed();
        if candidates.is_empty() {
            return vec![Filter::None];
        }
        if self.wanted.objective == Objective::Speed {
            return [Filter::None].into_iter().chain(places.saving(&candidates)).collect();
        }
        let Some(scout) = self.scout() else { return vec![Filter::None] };
        let Some(plain) = self.trial(&scout, Filter::None, data, false) else { return vec![Filter::None] };
        let tried = candidates.into_iter().filter_map(|f| self.trial(&scout, f, data, false));
        let smaller = tried.filter(|t| t.left() < plain.left() * (1.0 - LEAST_GAIN));
        let smallest = smaller.min_by(|a, b| a.left().total_cmp(&b.left()));
        [Filter::None].into_iter().chain(smallest.map(|t| t.filter)).collect()
    }

    /// Fastest first, until nothing faster can come.
    fn fastest(&mut self, data: &[u8], filters: &[Filter]) {
        let floors = self.wanted.floors;
        let fits = |t: &Trial| t.saves() && t.rejected(floors).is_none();
        let mut best: Option<(Rung, f64)> = None;
        let scout = self.scout();
        let mut lacks_repeats = false;
        for rung in self.rungs(Objective::Speed) {
            // Levels come fastest first.
            let is_served = self.trials.iter().any(|t| t.algorithm == rung.algorithm && fits(t));
            if is_served || lacks_repeats && rung.only_finds_repeats() {
                continue;
            }
            let mut is_in_time = |best: &Rung| may_beat(&rung, best) || self.may_beat_by_proxy(&rung, best);
            if best.as_ref().is_some_and(|(best, _)| !is_in_time(best)) {
                continue;
            }
            let mut least = f64::INFINITY;
            for filter in filters {
                let Some(trial) = self.race(&rung, *filter, data) else { continue };
                // A filter that takes repetitions apart makes a codec fast that then finds nothing.
                if trial.left() > least {
                    self.eliminated.push(trial);
                    continue;
                }
                least = trial.left();
                if fits(&trial) && best.as_ref().is_none_or(|(_, seconds)| trial.compress_s < *seconds) {
                    best = Some((rung.clone(), trial.compress_s));
                }
                self.trials.push(trial);
            }
            if least.is_infinite() {
                continue;
            }
            lacks_repeats |= rung.only_finds_repeats() && least > HARDLY_SMALLER;
            if scout.as_ref() == Some(&rung) && best.is_none() && least > HOPELESS && self.may_store {
                return;
            }
        }
    }

    /// Whether `rung` may be faster than `best` because another implementation serves it than the reference, of which that much is expected.
    fn may_beat_by_proxy(&mut self, rung: &Rung, best: &Rung) -> bool {
        let Some(compressor) = self.kept_compressor(rung) else { return false };
        may_beat(&Rung { expected_mb_s: rung.expected_mb_s * compressor.gain(), ..rung.clone() }, best)
    }

    /// Sets what the benchmark lets expect of those that the choice is among, where there are several. It knows no filters.
    fn predict(&mut self, data: &[u8]) {
        let is_asked = |t: &Trial| t.filter == Filter::None && t.saves();
        if self.trials.iter().filter(|t| is_asked(t)).count() < 2 {
            return;
        }
        let likeness = Likeness::of(data);
        let mut trials = std::mem::take(&mut self.trials);
        for trial in trials.iter_mut().filter(|t| is_asked(t)) {
            trial.predicted_mb_s = self.predicted_mb_s(&trial.rung(), likeness.as_ref());
        }
        self.trials = trials;
    }

    /// Runs trials again that something else on the machine has made slow; the better counts.
    fn repeat_disturbed(&mut self, data: &[u8]) {
        for i in auto::disturbed(&self.trials) {
            let (rung, filter) = (self.trials[i].rung(), self.trials[i].filter);
            if let Some(again) = self.race(&rung, filter, data) {
                let trial = &mut self.trials[i];
                trial.compress_s = trial.compress_s.min(again.compress_s);
            }
        }
    }

    fn predicted_mb_s(&mut self, rung: &Rung, likeness: Option<&Likeness>) -> Option<f64> {
        let compressor = self.kept_compressor(rung)?;
        let snapshot = self.host.snapshot();
        let (_, codec) = find_usable(&snapshot, compressor.implementation())?;
        let profile = Profile::new(&codec.cells, compressor.level(), likeness)?;
        Some(profile.throughput_mb_s(PREDICTED_BYTES.min(self.total), Direction::Compress))
    }

    /// A trial of `rung` after a short one that warms it up. Within it no bytes come twice: in data that comes again a processor foresees the
    /// branches, which some codecs gain far more by than others. Only where there is too little for that it is all of it, twice.
    fn race(&mut self, rung: &Rung, filter: Filter, data: &[u8]) -> Option<Trial> {
        if data.len() < LEAST_RACE_BYTES {
            return self.trial(rung, filter, data, true);
        }
        let (least, most) = RACE_WARM_UP_BYTES.into_inner();
        let (warm_up, timed) = data.split_at((data.len() / 8).clamp(least, most) / 8 * 8);
        make_room(&mut self.buffers.out, timed.len().min(BLOCK_BYTES)).ok()?;
        self.trial(rung, filter, warm_up, false)?;
        let mut all: Option<Trial> = None;
        for block in timed.chunks(BLOCK_BYTES) {
            let one = self.trial(rung, filter, block, false)?;
            all = Some(match all {
                None => one,
                Some(before) => before.and(&one),
            });
        }
        all
    }

    /// Fastest first, until what is slower could hardly leave so much less that it delivers sooner.
    fn balanced(&mut self, data: &[u8], filters: &[Filter]) {
        let mut least_s = if self.may_store { 1.0 / BALANCED_MB_S } else { f64::INFINITY };
        let mut least_left: f64 = 1.0;
        for rung in self.rungs(Objective::Balanced) {
            if auto::least_delivery_s(&rung, least_left) > least_s {
                return;
            }
            if auto::is_past_best(&self.trials, &rung) {
                continue;
            }
            for filter in filters {
                let Some(trial) = self.race(&rung, *filter, data) else { continue };
                if trial.rejected(self.wanted.floors).is_none() {
                    least_s = least_s.min(trial.delivery_s());
                }
                least_left = least_left.min(trial.left());
                self.trials.push(trial);
            }
        }
    }

    /// Everything, whatever it takes.
    fn all(&mut self, data: &[u8], filters: &[Filter]) {
        let jobs: Vec<(Rung, Filter)> = self
            .rungs(Objective::Ratio)
            .into_iter()
            .flat_map(|rung| filters.iter().map(move |filter| (rung.clone(), *filter)))
            .collect();
        self.trials = self.together(&jobs, data);
    }

    /// Those that came near the smallest, once more on a longer stretch: some codecs see farther than others.
    fn finals(&mut self, data: &[u8]) {
        let floors = self.wanted.floors;
        self.trials.sort_by(|a, b| a.left().total_cmp(&b.left()));
        let fits = |t: &&Trial| t.rejected(floors).is_none();
        let Some(smallest) = self.trials.iter().find(fits).cloned() else { return };
        let (least, most) = FINAL_BYTES.into_inner();
        let bytes = (self.total / 8).clamp(least, most).min(data.len() as u64) as usize;
        let is_far = self.repeats_from_afar(data, bytes, smallest.filter);
        let part = &data[(data.len() - bytes) / 2 / 8 * 8..][..bytes];
        let (data, factor) = if is_far { (data, FAR_FINALIST) } else { (part, FINALIST) };
        let is_near = |t: &&Trial| t.left() <= smallest.left() * factor;
        // On so much they take long.
        let is_last = |t: &&Trial| !is_far || !auto::is_outlooked(t, &self.trials, floors);
        let near = self.trials.iter().filter(fits).filter(is_near).filter(is_last).take(FINALISTS);
        let jobs: Vec<(Rung, Filter)> = near.map(|t| (t.rung(), t.filter)).collect();
        let finals = self.together(&jobs, data);
        if !finals.iter().any(|t| fits(&t)) {
            return;
        }
        let is_part = (data.len() as u64) < self.total;
        let is_outlooked = |t: &Trial| is_part && auto::is_outlooked(t, &finals, floors);
        let (outlooked, best): (Vec<_>, Vec<_>) = finals.iter().cloned().partition(is_outlooked);
        self.eliminated = std::mem::replace(&mut self.trials, best);
        self.eliminated.extend(outlooked);
    }

    /// Whether `data` repeats itself over more than `bytes`.
    fn repeats_from_afar(&mut self, data: &[u8], bytes: usize, filter: Filter) -> bool {
        let all = self.rungs(Objective::Balanced);
        let rung = all.iter().find(|r| r.algorithm == algorithm::DEFAULT && r.level == FAR_LEVEL);
        let Some(compressor) = rung.filter(|_| data.len() > bytes).and_then(|r| self.compressor(r)) else {
            return false;
        };
        let trying = Trying { compressor: &compressor, filter, chunk_bytes: usize::MAX };
        let mut left = |data: &[u8]| Ok(trying.compress(data, &mut self.buffers)?.1);
        let Ok(whole) = left(data) else { return false };
        let pieces: Result<usize> = data.chunks(bytes).map(left).sum();
        pieces.is_ok_and(|pieces| (whole as f64) < pieces as f64 * (1.0 - FAR_GAIN))
    }

    /// Does trials on all processors: for sizes, which do not depend on what else runs.
    fn together(&self, jobs: &[(Rung, Filter)], data: &[u8]) -> Vec<Trial> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        // The slowest first, so that none is left for the end.
        let worker = || {
            let (mut buffers, mut done) = (Buffers::default(), Vec::new());
            let runs = self.runs(false, true);
            loop {
                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some((rung, filter)) = jobs.len().checked_sub(number + 1).map(|n| &jobs[n]) else {
                    return done;
                };
                let compressor = self.compressor(rung);
                let trial =
                    compressor.and_then(|c| measure(&c, rung, *filter, data, runs, &mut buffers).ok());
                done.extend(trial);
            }
        };
        let workers = threads(None).min(jobs.len());
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect()
        })
    }

    fn conclude(self) -> Result<Choice> {
        let Wanted { objective, floors, .. } = self.wanted;
        let mut choice =
            auto::choose(self.trials, *objective, *floors, self.may_store).map_err(Error::Usage)?;
        choice.trials.extend(self.eliminated);
        Ok(choice)
    }
}

/// How to measure.
#[derive(Clone, Copy)]
struct Runs {
    /// Warmed up, and the better of two.
    exact: bool,
    decompresses: bool,
    /// Bytes of all that a sample is of.
    total: u64,
    /// Most memory that a job may take, in bytes.
    most_memory_bytes: Option<u64>,
}

/// What `compressor` makes of `data`.
fn measure(
    compressor: &Compressor,
    rung: &Rung,
    filter: Filter,
    data: &[u8],
    runs: Runs,
    buffers: &mut Buffers,
) -> Result<Trial> {
    let usual = chunk_bytes(&rung.algorithm, rung.level, runs.total) as usize;
    let takes = |chunk_bytes| memory_bytes(compressor, filter, chunk_bytes);
    let chunk_bytes = runs.most_memory_bytes.and_then(|most| smaller_chunk(usual, most, takes));
    let trying = Trying { compressor, filter, chunk_bytes: chunk_bytes.unwrap_or(usize::MAX) };
    if runs.exact {
        trying.compress(&data[..data.len() / WARM_UP], buffers)?;
    }
    let (mut compress_s, len) = trying.compress(data, buffers)?;
    if runs.exact {
        compress_s = compress_s.min(trying.compress(data, buffers)?.0);
    }
    let mut decompress_s = None;
    for _ in 0..usize::from(runs.decompresses) * (1 + usize::from(runs.exact)) {
        let seconds = trying.decompress(data.len(), buffers)?;
        decompress_s = Some(decompress_s.map_or(seconds, |least: f64| least.min(seconds)));
    }
    Ok(Trial {
        algorithm: rung.algorithm.clone(),
        level: rung.level,
        filter,
        raw_bytes: data.len() as u64,
        compressed_bytes: len as u64,
        compress_s,
        predicted_mb_s: None,
        decompress_s,
        memory_bytes: takes(chunk_bytes.unwrap_or(usual)),
        chunk_bytes,
    })
}

/// What is tried: a codec after a filter, on chunks that are shorter than a sample only where there is little memory.
struct Trying<'a> {
    compressor: &'a Compressor,
    filter: Filter,
    chunk_bytes: usize,
}

impl Trying<'_> {
    /// Compresses `data`; seconds, and what is left. What is shuffled goes to the codec plane by plane: in a whole chunk planes are long, in a
    /// sample several would share a block, and so its statistics.
    fn compress(
        &self,
        data: &[u8],
        Buffers { filtered, out, frames, .. }: &mut Buffers,
    ) -> Result<(f64, usize)> {
        make_room(out, data.len())?;
        frames.clear();
        let clock = clock_of(self.compressor);
        let start = clock.now();
        let mut end = 0;
        for chunk in data.chunks(self.chunk_bytes) {
            let source = if self.filter == Filter::None {
                chunk
            } else {
                filtered.resize(chunk.len(), 0);
                self.filter.apply(chunk, filtered);
                filtered.as_slice()
            };
            for plane in planes(source, self.filter) {
                let len = self.compressor.compress_into(Checksum::Own, plane, out, end)?.len;
                frames.push((end..end + len, plane.len()));
                end += len;
            }
        }
        Ok((clock.now() - start, end))
    }

    /// Undoes the last [`compress`](Self::compress), of `len` bytes; seconds.
    fn decompress(&self, len: usize, Buffers { filtered, out, back, frames }: &mut Buffers) -> Result<f64> {
        back.resize(len, 0);
        filtered.resize(len, 0);
        let clock = clock_of(self.compressor);
        let start = clock.now();
        let mut at = 0;
        for (frame, len) in frames.iter() {
            self.compressor.decode_frame(&out[frame.clone()], &mut back[at..at + len], |_| true)?;
            at += len;
        }
        if self.filter != Filter::None {
            let chunks = back.chunks(self.chunk_bytes).zip(filtered.chunks_mut(self.chunk_bytes));
            chunks.for_each(|(chunk, raw)| self.filter.undo(chunk, raw));
        }
        Ok(clock.now() - start)
    }
}

/// Makes room in `out` for all frames of `len` bytes, and for what codecs ask for beyond them: a buffer that grows loses what was in it.
fn make_room(out: &mut Vec<u8>, len: usize) -> Result<()> {
    let room = 2 * len + (64 << 10);
    if out.len() < room {
        crate::buffer::resize(out, room)
            .map_err(|_| Error::Usage(format!("no memory for a trial of {len} bytes")))?;
        // So that the system need not find memory in the time of a trial; hardly anything is written beyond.
        out[..len].fill(0);
    }
    Ok(())
}

/// Bytes of a chunk of `total` bytes.
fn chunk_bytes(algorithm: &str, level: i32, total: u64) -> u64 {
    (default_chunk_bytes(algorithm, level) as u64).min(total).min(MAX_CHUNK_BYTES as u64)
}

/// Memory of a job on one thread: chunks and codec, in the direction that takes more.
fn memory_bytes(compressor: &Compressor, filter: Filter, chunk_bytes: usize) -> u64 {
    let copies = 2 + u64::from(filter != Filter::None);
    let chunk = chunk_bytes as u64;
    let decoder = algorithm::decoder_bytes(compressor.algorithm(), compressor.level(), chunk);
    copies * chunk + compressor.scratch_bytes(chunk_bytes).max(decoder)
}

/// Time on the processor, which other work on the machine does not stretch; for devices, time on the wall.
fn clock_of(compressor: &Compressor) -> Clock {
    if compressor.hardware() == "cpu" { Clock::Thread } else { Clock::Wall }
}
