//! Measures one codec on this machine: time both ways and size, by level, kind of data and size.
//!
//! Runs inside a probe child (or, for codecs registered by the application, in its process). What the numbers
//! mean for a choice is decided in [`crate::selection`].

pub(crate) mod clock;
pub(crate) mod data;
pub(crate) mod hardware;

use crate::registry::report::Cell;
use clipsmaster_plugin_api::{Options, Result, abi::import};
use clock::Clock;
use data::Kind;
use std::{fs, hint::black_box, sync::OnceLock, time::Instant};

/// Sizes of the first benchmark, in bytes.
pub(crate) const SIZES: [usize; 4] = [4 << 10, 64 << 10, 1 << 20, 16 << 20];
/// Sizes of the brief benchmark of a further level, in bytes.
pub(crate) const BRIEF_SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// From this size on, one composite of all kinds stands for them.
const COMPOSITE_FROM: usize = 4 << 20;
/// Name of that composite in measurements.
pub(crate) const MIXED: &str = "mixed";
/// A cell predicted to take this many times its budget is left out.
const PATIENCE: f64 = 32.0;
/// Most runs of one cell.
const MAX_RUNS: usize = 25;
/// Small pieces are measured as many as make this many bytes: a single one would soon be known by heart to caches and branch
/// predictors, which serves one implementation more than another.
const SPREAD_BYTES: usize = 256 << 10;
/// A piece that takes longer, in seconds, is one of few.
const SLOW_PIECE_S: f64 = 2e-3;
const FEW_PIECES: usize = 8;
/// A busy machine may stretch a cell's time to this many times its budget.
const STRETCH: f64 = 10.0;

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
fn processor() -> String {
    cpuinfo(&["model name", "CPU part"])
}

/// The first field of /proc/cpuinfo that starts with one of `names`.
fn cpuinfo(names: &[&str]) -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| names.iter().any(|n| l.starts_with(n)));
    line.and_then(|l| l.split_once(':')).map_or("", |(_, v)| v.trim()).to_owned()
}

/// Measures `level` at `sizes` (ascending), about `cell_s` seconds a cell; hands each cell to `found`, and returns the peak memory in
/// bytes above what the process held before.
///
/// # Errors
/// The codec's own: it cannot be opened, or fails on the data.
pub(crate) fn measure_level(
    codec: &import::Codec,
    level: i32,
    sizes: &[usize],
    cell_s: f64,
    found: &mut dyn FnMut(Cell),
) -> Result<u64> {
    let mut instance = codec.open(level, &Options::default())?;
    let clock = Clock::of(codec.descriptor().hardware.as_str());
    let mut seconds_per_byte = 0.0;
    let mut peak = 0;
    for &size in sizes {
        if size as u64 > codec.descriptor().max_chunk_bytes
            || seconds_per_byte * size as f64 > PATIENCE * cell_s
        {
            break;
        }
        let mut slowest = 0.0_f64;
        for (kind, input) in inputs(size) {
            let memory = PeakMemory::start();
            let pieces: Vec<&[u8]> = input.chunks_exact(size).collect();
            let cell = measure_cell(&mut instance, clock, level, kind, &pieces, cell_s)?;
            peak = peak.max(memory.growth());
            slowest = slowest.max(cell.compress_s + cell.decompress_s);
            found(cell);
        }
        seconds_per_byte = slowest / size as f64;
    }
    Ok(peak)
}

/// The data by kind: one piece of `size` bytes, or several where they are small.
fn inputs(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    if size < COMPOSITE_FROM {
        let bytes = SPREAD_BYTES.max(size) / size * size;
        return Kind::ALL.iter().map(|k| (k.name(), k.generate(bytes))).collect();
    }
    let quarter = size / Kind::ALL.len();
    vec![(MIXED, Kind::ALL.iter().flat_map(|k| k.generate(quarter)).collect())]
}

fn measure_cell(
    instance: &mut import::Instance,
    clock: Clock,
    level: i32,
    kind: &str,
    pieces: &[&[u8]],
    cell_s: f64,
) -> Result<Cell> {
    let bytes = pieces.first().map_or(0, |p| p.len());
    let mut frame = vec![0; instance.compress_bound(bytes)?];
    let mut output = vec![0; bytes];
    let mut frames = Vec::new();
    let mut pieces = pieces;
    for (i, piece) in pieces.iter().enumerate() {
        let start = clock.now();
        let len = instance.compress(piece, &mut frame)?;
        frames.push(frame[..len].to_vec());
        if i == 1 && clock.now() - start > SLOW_PIECE_S {
            pieces = &pieces[..FEW_PIECES.min(pieces.len())];
        }
        if frames.len() == pieces.len() {
            break;
        }
    }
    let compress = sample(clock, cell_s / 2.0, || {
        for piece in pieces {
            black_box(instance.compress(black_box(piece), &mut frame)?);
        }
        Ok(())
    })?;
    let decompress = sample(clock, cell_s / 2.0, || {
        for frame in &frames {
            black_box(instance.decompress(black_box(frame), &mut output)?);
        }
        Ok(())
    })?;
    let count = frames.len() as f64;
    let compressed: usize = frames.iter().map(Vec::len).sum();
    Ok(Cell {
        level,
        kind: kind.to_owned(),
        bytes: bytes as u64,
        compressed_bytes: (compressed as f64 / count).round() as u64,
        compress_s: compress.0 / count,
        compress_mad_s: compress.1 / count,
        decompress_s: decompress.0 / count,
        decompress_mad_s: decompress.1 / count,
    })
}

/// The fastest of several runs, and their median absolute deviation, in seconds: what disturbs a run only ever makes it slower. A
/// run that alone exceeds the budget is its own measurement.
fn sample(clock: Clock, budget_s: f64, mut run: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    let mut time = || -> Result<f64> {
        let start = clock.now();
        run()?;
        Ok(clock.now() - start)
    };
    let first = time()?;
    if first > budget_s {
        return Ok((first, 0.0));
    }
    let mut runs = Vec::with_capacity(MAX_RUNS);
    let (mut spent, start) = (0.0, Instant::now());
    while runs.len() < 3
        || (runs.len() < MAX_RUNS && spent < budget_s && start.elapsed().as_secs_f64() < STRETCH * budget_s)
    {
        let run = time()?;
        spent += run;
        runs.push(run);
    }
    let median = median(&mut runs);
    let fastest = runs[0];
    let mut deviations: Vec<f64> = runs.iter().map(|r| (r - median).abs()).collect();
    Ok((fastest, self::median(&mut deviations)))
}

/// Middle value (the upper one of two).
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Growth of the resident set, by the kernel's high-water mark (proc(5): `VmHWM`, reset by writing 5 to
/// `clear_refs`).
struct PeakMemory {
    before: u64,
}

impl PeakMemory {
    fn start() -> Self {
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { before: status_bytes("VmRSS:") }
    }

    fn growth(&self) -> u64 {
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
    fn a_slow_run_is_measured_once() {
        let mut runs = 0;
        let slow = sample(Clock::Wall, -1.0, || {
            runs += 1;
            Ok(())
        });
        assert!(slow.is_ok());
        assert_eq!(runs, 1);
    }
}
