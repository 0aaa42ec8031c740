//! Measures codecs on this machine: time both ways and size, by level, kind of data and size. They run in turns, so that slow moments of the
//! machine meet all alike.
//!
//! Runs inside a probe child (or, for codecs registered by the application, in its process). What the numbers
//! mean for a choice is decided in [`crate::selection`].

pub(crate) mod clock;
pub(crate) mod data;
pub(crate) mod hardware;

use crate::{probe::protocol::Event, registry::report::Cell};
use clipsmaster_plugin_api::{Options, Result, abi::import};
use clock::Clock;
use data::Kind;
use std::{fs, hint::black_box, sync::OnceLock};

/// Sizes of the first benchmark, in bytes.
pub(crate) const SIZES: [usize; 4] = [4 << 10, 64 << 10, 1 << 20, 16 << 20];
/// Sizes of the brief benchmark of a further level, in bytes.
pub(crate) const BRIEF_SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// From this size on, one composite of all kinds stands for them.
const COMPOSITE_FROM: usize = 4 << 20;
/// Name of that composite in measurements.
pub(crate) const MIXED: &str = "mixed";
/// Runs of one cell and direction: at least so many, up to so many within so many seconds.
const RUNS: std::ops::Range<usize> = 3..25;
const RUNS_S: f64 = 5e-3;
/// One run, in seconds, of what is worth further moments for the sake of its rivals: 32 MiB/s.
const RIVAL_RUN_S: f64 = 1.0 / 32.0;
/// Shorter runs count as so long, in seconds.
pub(crate) const SHORTEST_S: f64 = 1e-9;
/// One run that takes longer, in seconds, is enough.
const LONG_RUN_S: f64 = 0.05;
/// A level is not measured at sizes at which a piece is predicted to take longer, in seconds.
const PATIENCE_S: f64 = 0.64;
/// Small pieces are measured as many as make this many bytes: a single one would soon be known by heart to caches and branch
/// predictors, which serves one implementation more than another.
const SPREAD_BYTES: usize = 512 << 10;
/// But only as many as take this long, in seconds, and a few at least.
const SPREAD_S: f64 = 64e-3;
const FEW_PIECES: usize = 8;
/// Room for [`placed`].
pub(crate) const PLACE_BYTES: usize = 4 << 10;

/// Whether `cells` at `level` are of runs so short that all of them were over in a moment, which may have been a slow one. With rivals,
/// what is much slower counts, too: of two, one must not be measured in more moments than the other.
pub(crate) fn is_momentary(cells: &[Cell], level: i32, has_rivals: bool) -> bool {
    let most_s = if has_rivals { RIVAL_RUN_S } else { RUNS_S };
    let of_level = || cells.iter().filter(|c| c.level == level && c.bytes < COMPOSITE_FROM as u64);
    of_level().next().is_some() && of_level().all(|c| c.compress_s.max(c.decompress_s) <= most_s)
}

/// Identity of what measurements depend on besides the plugin: processor, its features, device, benchmark data.
pub fn machine_key(device: &str) -> String {
    static CPU: OnceLock<String> = OnceLock::new();
    let cpu = CPU.get_or_init(|| {
        let features = blake3::hash(cpuinfo(&["flags", "Features"]).as_bytes()).to_hex();
        format!("{}+{}", processor(), &features[..8])
    });
    format!("{cpu}|{device}|data{}", data::VERSION)
}

/// Model of the processor.
pub(crate) fn processor() -> String {
    cpuinfo(&["model name", "CPU part"])
}

/// The first field of /proc/cpuinfo that starts with one of `names`.
fn cpuinfo(names: &[&str]) -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| names.iter().any(|n| l.starts_with(n)));
    line.and_then(|l| l.split_once(':')).map_or("", |(_, v)| v.trim()).to_owned()
}

/// What takes part.
#[derive(Debug)]
pub(crate) struct Contender {
    /// By which events name it.
    pub number: usize,
    /// The codec.
    pub codec: import::Codec,
    /// Its levels to measure.
    pub levels: Vec<i32>,
}

/// Measures `contenders` at `sizes` in bytes, ascending. Tells `found` whose turn it is and what came of it: cells, and the peak
/// memory of each level above what the process held before. At their default levels they decode frames of those of `frames_by` that are of their algorithm.
pub(crate) fn measure(
    contenders: &[Contender],
    frames_by: &[import::Codec],
    sizes: &[usize],
    found: &mut dyn FnMut(Event),
) {
    let levels = |c: &Contender| c.levels.clone().into_iter();
    let mut entrants: Vec<Entrant<'_>> =
        contenders.iter().flat_map(|c| levels(c).map(|level| Entrant::new(c, level))).collect();
    for &size in sizes {
        let mut entering: Vec<&mut Entrant<'_>> = entrants.iter_mut().filter(|e| e.enters(size)).collect();
        if entering.is_empty() {
            break;
        }
        for (kind, input) in generate(size) {
            let pieces: Vec<&[u8]> = input.chunks_exact(size).collect();
            round_robin(&mut entering, frames_by, kind, &pieces, found);
        }
    }
    for e in entrants.iter().filter(|e| e.peak_bytes.is_some()) {
        let (contender, level, bytes) = (e.contender.number, e.level, e.peak_bytes.unwrap_or_default());
        found(Event::Peak { contender, level, bytes });
    }
}

/// A contender at one level.
struct Entrant<'a> {
    contender: &'a Contender,
    level: i32,
    clock: Clock,
    /// Of the slowest piece at the largest size so far: its size in bytes, and the seconds.
    slowest: (usize, f64),
    has_failed: bool,
    peak_bytes: Option<u64>,
}

impl<'a> Entrant<'a> {
    fn new(contender: &'a Contender, level: i32) -> Self {
        let clock = Clock::of(contender.codec.descriptor().hardware.as_str());
        Self { contender, level, clock, slowest: (1, 0.0), has_failed: false, peak_bytes: None }
    }

    fn enters(&self, size: usize) -> bool {
        let (bytes, seconds) = self.slowest;
        !self.has_failed
            && size as u64 <= self.contender.codec.descriptor().max_chunk_bytes
            && seconds / bytes as f64 * size as f64 <= PATIENCE_S
    }

    fn implementation(&self) -> String {
        self.contender.codec.descriptor().implementation()
    }

    /// Whether it decodes frames of `writer`: its own are what the writer decodes in any case.
    fn decodes_frames_of(&self, writer: &import::Codec) -> bool {
        let (own, other) = (self.contender.codec.descriptor(), writer.descriptor());
        let is_rival = own.algorithm == other.algorithm && own.implementation() != other.implementation();
        is_rival && self.level == own.levels.default
    }

    fn note(&mut self, cell: &Cell, peak_bytes: u64) {
        let (size, seconds) = (cell.bytes as usize, cell.compress_s + cell.decompress_s);
        let before = if size > self.slowest.0 { 0.0 } else { self.slowest.1 };
        self.slowest = (size, seconds.max(before));
        self.peak_bytes = Some(peak_bytes.max(self.peak_bytes.unwrap_or_default()));
    }
}

/// One cell of all `entrants`.
fn round_robin(
    entrants: &mut [&mut Entrant<'_>],
    frames_by: &[import::Codec],
    kind: &str,
    pieces: &[&[u8]],
    found: &mut dyn FnMut(Event),
) {
    let size = pieces.first().map_or(0, |p| p.len());
    let mut usual = Vec::new();
    for writer in frames_by.iter().filter(|w| entrants.iter().any(|e| e.decodes_frames_of(w))) {
        let descriptor = writer.descriptor();
        if let Some(e) = entrants.iter().find(|e| e.implementation() == descriptor.implementation()) {
            found(Event::Turn(e.contender.number));
        }
        let instance = writer.open(descriptor.levels.default, &Options::default());
        let frames = instance.and_then(|mut instance| frames(&mut instance, Clock::Processors, pieces));
        usual.extend(frames.ok().map(|(frames, _)| (writer, frames)));
    }
    let mut buffer = Vec::new();
    let mut runs = Vec::new();
    for (i, e) in entrants.iter_mut().enumerate().filter(|(_, e)| !e.has_failed) {
        let id = e.implementation();
        found(Event::Turn(e.contender.number));
        found(Event::Step(format!("measuring {id} at level {} on {kind}", e.level)));
        let decoded = usual.iter().find(|(writer, _)| e.decodes_frames_of(writer)).map(|(_, f)| f.as_slice());
        match Run::prepare(e, pieces, decoded, &mut buffer) {
            Ok(run) => runs.push((i, run)),
            Err(why) => {
                e.has_failed = true;
                found(Event::Step(format!("{id} cannot be measured at level {}: {why}", e.level)));
            }
        }
    }
    while runs.iter().any(|(_, run)| run.wants_more()) {
        for (i, run) in runs.iter_mut().filter(|(_, run)| run.wants_more()) {
            found(Event::Turn(entrants[*i].contender.number));
            if let Err(why) = run.turn(pieces, &mut buffer) {
                entrants[*i].has_failed = true;
                run.is_over = true;
                found(Event::Step(format!("a run failed: {why}")));
            }
        }
    }
    let paces = [
        Paces::of(runs.iter().map(|(_, run)| &run.compress)),
        Paces::of(runs.iter().map(|(_, run)| &run.decompress)),
    ];
    for (i, run) in runs {
        let e = &mut entrants[i];
        if !e.has_failed {
            let cell = run.cell(e.level, kind, size, &paces);
            e.note(&cell, run.peak_bytes);
            found(Event::Cell { contender: e.contender.number, cell });
        }
    }
}

/// An entrant in a cell.
struct Run {
    instance: import::Instance,
    clock: Clock,
    /// Its own frames, and those that it decodes.
    own: Vec<Vec<u8>>,
    decoded: Option<Vec<Vec<u8>>>,
    compress: Times,
    decompress: Times,
    peak_bytes: u64,
    is_over: bool,
}

impl Run {
    /// Opens an instance, and lets it work on all once: that sets up what it needs, and tells how slow it is.
    fn prepare(
        e: &Entrant<'_>,
        pieces: &[&[u8]],
        usual: Option<&[Vec<u8>]>,
        buffer: &mut Vec<u8>,
    ) -> Result<Self> {
        let clock = e.clock;
        let memory = PeakMemory::start();
        let mut instance = e.contender.codec.open(e.level, &Options::default())?;
        let (own, seconds) = frames(&mut instance, clock, pieces)?;
        let compress = Times::new(seconds, own.len());
        let bytes = pieces.first().map_or(0, |p| p.len());
        grow(buffer, bytes.max(instance.compress_bound(bytes)?) + PLACE_BYTES);
        let start = clock.now();
        decode(&mut instance, &own, bytes, buffer)?;
        let mut decompress = Times::new(clock.now() - start, own.len());
        let peak_bytes = memory.growth();
        // Frames that it cannot read are none of its business.
        let decoded = usual.filter(|frames| decode(&mut instance, frames, bytes, buffer).is_ok());
        if let Some(frames) = decoded {
            let start = clock.now();
            decode(&mut instance, frames, bytes, buffer)?;
            decompress = Times::new(clock.now() - start, frames.len());
        }
        let decoded = decoded.map(<[_]>::to_vec);
        Ok(Self { instance, clock, own, decoded, compress, decompress, peak_bytes, is_over: false })
    }

    fn wants_more(&self) -> bool {
        !self.is_over && (self.compress.want_more() || self.decompress.want_more())
    }

    /// One run in each direction.
    fn turn(&mut self, pieces: &[&[u8]], buffer: &mut [u8]) -> Result<()> {
        let bytes = pieces.first().map_or(0, |p| p.len());
        if self.compress.want_more() {
            let start = self.clock.now();
            for (i, piece) in pieces[..self.own.len()].iter().enumerate() {
                black_box(self.instance.compress(black_box(piece), placed(buffer, i))?);
            }
            self.compress.push(self.clock.now() - start);
        }
        if self.decompress.want_more() {
            let start = self.clock.now();
            decode(&mut self.instance, self.decoded.as_ref().unwrap_or(&self.own), bytes, buffer)?;
            self.decompress.push(self.clock.now() - start);
        }
        Ok(())
    }

    /// By the `paces` of compression and decompression.
    fn cell(&self, level: i32, kind: &str, size: usize, paces: &[Paces; 2]) -> Cell {
        let compressed: usize = self.own.iter().map(Vec::len).sum();
        let (compress_s, compress_mad_s) = self.compress.typical_and_mad(&paces[0]);
        let (decompress_s, decompress_mad_s) = self.decompress.typical_and_mad(&paces[1]);
        Cell {
            level,
            kind: kind.to_owned(),
            bytes: size as u64,
            compressed_bytes: (compressed as f64 / self.own.len() as f64).round() as u64,
            compress_s: digits(compress_s),
            compress_mad_s: digits(compress_mad_s),
            decompress_s: digits(decompress_s),
            decompress_mad_s: digits(decompress_mad_s),
        }
    }
}

/// To five digits: what is kept is read at each start, and more digits are noise.
fn digits(seconds: f64) -> f64 {
    format!("{seconds:.4e}").parse().unwrap_or(seconds)
}

fn decode(
    instance: &mut import::Instance,
    frames: &[Vec<u8>],
    bytes: usize,
    buffer: &mut [u8],
) -> Result<()> {
    for (i, frame) in frames.iter().enumerate() {
        black_box(instance.decompress(black_box(frame), &mut placed(buffer, i)[..bytes])?);
    }
    Ok(())
}

fn grow(buffer: &mut Vec<u8>, len: usize) {
    buffer.resize(buffer.len().max(len), 0);
}

/// How long runs took, in seconds, each of several calls.
struct Times {
    first_s: f64,
    runs: Vec<f64>,
    calls: usize,
}

impl Times {
    /// `first_s`: of a run that also set up; it counts only where it was so long that it does not matter.
    fn new(first_s: f64, calls: usize) -> Self {
        Self { first_s, runs: Vec::new(), calls }
    }

    fn want_more(&self) -> bool {
        let is_short = self.runs.iter().sum::<f64>() < RUNS_S && self.runs.len() < RUNS.end;
        self.first_s < LONG_RUN_S && (self.runs.len() < RUNS.start || is_short)
    }

    fn push(&mut self, seconds: f64) {
        self.runs.push(seconds.max(SHORTEST_S));
    }

    /// What the middle one of the runs would have taken in a fast moment, and the median absolute deviation, by call, in seconds.
    fn typical_and_mad(&self, paces: &Paces) -> (f64, f64) {
        if self.runs.is_empty() {
            return (self.first_s / self.calls as f64, 0.0);
        }
        let (middle, mad) = median_and_mad(&mut self.steady(paces));
        let calls = self.calls as f64;
        (middle / calls, mad / calls)
    }

    /// The runs at the same pace.
    fn steady(&self, paces: &Paces) -> Vec<f64> {
        self.runs.iter().zip(&paces.0).map(|(seconds, pace)| seconds / pace).collect()
    }
}

/// How slow the machine was in each round, by a fast moment. Processors that share their cores with other work have such moments, and slow ones, by half as
/// much again: the fastest run of each would compare one's luck with another's.
struct Paces(Vec<f64>);

impl Paces {
    /// By the middle one of all that took part.
    fn of<'a>(all: impl Iterator<Item = &'a Times>) -> Self {
        let all: Vec<&Times> = all.filter(|times| !times.runs.is_empty()).collect();
        let rounds = all.iter().map(|times| times.runs.len()).max().unwrap_or_default();
        let by_the_first = |round: usize| {
            let shares = all.iter().filter_map(|times| Some(times.runs.get(round)? / times.runs[0]));
            median(&mut shares.collect::<Vec<f64>>())
        };
        let mut paces = Self((0..rounds).map(by_the_first).collect());
        let fastest = all.iter().map(|times| {
            let least = times.runs.iter().copied().fold(f64::INFINITY, f64::min);
            least / median(&mut times.steady(&paces))
        });
        let fast = median(&mut fastest.collect::<Vec<f64>>());
        paces.0.iter_mut().for_each(|pace| *pace /= fast);
        paces
    }
}

/// Data by kind.
type Inputs = Vec<(&'static str, Vec<u8>)>;

/// One piece of `size` bytes of each kind, or several where they are small.
fn generate(size: usize) -> Inputs {
    if size < COMPOSITE_FROM {
        let bytes = SPREAD_BYTES.max(size) / size * size;
        return Kind::ALL.iter().map(|k| (k.name(), k.generate(bytes))).collect();
    }
    vec![(MIXED, data::mixed(size))]
}

/// The frames of all `pieces`, or of a few where they are slow, and how long they took, in seconds: without making room for them, which takes as long as
/// a fast codec does for a large piece.
fn frames(instance: &mut import::Instance, clock: Clock, pieces: &[&[u8]]) -> Result<(Vec<Vec<u8>>, f64)> {
    let mut frame = Vec::new();
    let mut frames = Vec::new();
    let mut most = pieces.len();
    let mut all_s = 0.0;
    for (i, piece) in pieces.iter().enumerate() {
        if i >= most {
            break;
        }
        frame.resize(instance.compress_bound(piece.len())?, 0);
        let start = clock.now();
        let len = instance.compress(piece, &mut frame)?;
        let seconds = clock.now() - start;
        all_s += seconds;
        frames.push(frame[..len].to_vec());
        // The first call sets up.
        if i == 1 {
            most = most.min((SPREAD_S / seconds) as usize).max(FEW_PIECES);
        }
    }
    Ok((frames, all_s))
}

/// The destination of the call with that `number` in `buffer`, which is [`PLACE_BYTES`] larger than it need be. How far source and destination lie
/// apart, modulo the size of a page, makes a difference of up to two (loads wait for stores that only look as if they overlapped), and
/// where an allocator puts them is chance: each call of a run gets another distance.
pub(crate) fn placed(buffer: &mut [u8], number: usize) -> &mut [u8] {
    const STEP: usize = 17 * 64;
    &mut buffer[number * STEP % PLACE_BYTES..]
}

/// Middle value (the upper one of two).
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The median and the median absolute deviation from it; sorts `values`.
pub(crate) fn median_and_mad(values: &mut [f64]) -> (f64, f64) {
    let middle = median(values);
    let mut deviations: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    (middle, median(&mut deviations))
}

/// Growth of the resident set, by the kernel's high-water mark (proc(5): `VmHWM`, reset by writing 5 to
/// `clear_refs`).
pub(crate) struct PeakMemory {
    before: u64,
}

impl PeakMemory {
    pub(crate) fn start() -> Self {
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { before: status_bytes("VmRSS:") }
    }

    pub(crate) fn growth(&self) -> u64 {
        status_bytes("VmHWM:").saturating_sub(self.before)
    }
}

fn status_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_robust() {
        assert_eq!(median(&mut [5.0, 1.0, 900.0]), 5.0);
        assert_eq!(median(&mut []), 0.0);
    }

    #[test]
    fn what_takes_a_moment_is_told_by_its_slowest_piece() {
        let cell = |level, bytes: usize, compress_s| Cell {
            level,
            kind: "text".into(),
            bytes: bytes as u64,
            compressed_bytes: 1000,
            compress_s,
            compress_mad_s: 0.0,
            decompress_s: 1e-3,
            decompress_mad_s: 0.0,
        };
        let fast = [cell(1, 4096, 1e-5), cell(1, 1 << 20, 4e-3), cell(1, COMPOSITE_FROM, 0.06)];
        assert!(is_momentary(&fast, 1, false) && !is_momentary(&fast, 2, false));
        let slower = [cell(1, 4096, 1e-5), cell(1, 1 << 20, 6e-3)];
        assert!(!is_momentary(&slower, 1, false) && is_momentary(&slower, 1, true));
        assert!(!is_momentary(&[cell(1, 4096, 1e-5), cell(1, 1 << 20, 6e-2)], 1, true));
    }

    #[test]
    fn long_runs_are_measured_once_and_short_ones_often() {
        let long = Times::new(2.0 * LONG_RUN_S, 2);
        assert!(!long.want_more());
        assert_eq!(long.typical_and_mad(&Paces::of([&long].into_iter())), (LONG_RUN_S, 0.0));
        let mut short = Times::new(1e-3, 1);
        for run in [3e-3, 1e-3, 2e-3] {
            assert!(short.want_more());
            short.push(run);
        }
        assert!(!short.want_more());
        let alone = Paces::of([&short].into_iter());
        // Nobody tells a slow moment from a slow run: the fastest counts, and nothing deviates.
        let (typical, mad) = short.typical_and_mad(&alone);
        assert!((typical - 1e-3).abs() < 1e-9 && mad < 1e-9, "{typical} {mad}");
        let mut tiny = Times::new(1e-6, 1);
        while tiny.want_more() {
            tiny.push(1e-6);
        }
        assert_eq!(tiny.runs.len(), RUNS.end);
    }

    #[test]
    fn neither_slow_rounds_nor_lucky_runs_change_the_order() {
        let times = |runs: [f64; 3]| {
            let mut times = Times::new(0.0, 1);
            runs.iter().for_each(|seconds| times.push(*seconds));
            times
        };
        // All but the first round were slow, by half; the last of these four, a third slower than the others, was lucky once.
        let all = [[2.0, 3.0, 3.0], [2.0, 3.0, 3.0], [2.0, 3.0, 3.1], [3.0, 4.5, 1.8]].map(times);
        let paces = Paces::of(all.iter());
        for (times, seconds) in all.iter().zip([2.0, 2.0, 2.0, 3.0]) {
            let (typical, mad) = times.typical_and_mad(&paces);
            assert!((typical - seconds).abs() < 1e-9 && mad < 1e-9, "{typical} {mad}, not {seconds}");
        }
    }
}
