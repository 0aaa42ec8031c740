//! Measures one codec on this machine: time both ways and size, by level, kind of data and size.
//!
//! Runs inside a probe child (or, for codecs registered by the application, in its process). What the numbers
//! mean for a choice is decided in [`crate::selection`].

pub(crate) mod data;
pub(crate) mod hardware;

use crate::registry::report::Cell;
use clipsmaster_plugin_api::{Options, Result, abi::import};
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
const PATIENCE: f64 = 16.0;
/// Most runs of one cell.
const MAX_RUNS: usize = 25;

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
            let cell = measure_cell(&mut instance, level, kind, &input, cell_s)?;
            peak = peak.max(memory.growth());
            slowest = slowest.max(cell.compress_s + cell.decompress_s);
            found(cell);
        }
        seconds_per_byte = slowest / size as f64;
    }
    Ok(peak)
}

fn inputs(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    if size < COMPOSITE_FROM {
        return Kind::ALL.iter().map(|k| (k.name(), k.generate(size))).collect();
    }
    let quarter = size / Kind::ALL.len();
    vec![(MIXED, Kind::ALL.iter().flat_map(|k| k.generate(quarter)).collect())]
}

fn measure_cell(
    instance: &mut import::Instance,
    level: i32,
    kind: &str,
    input: &[u8],
    cell_s: f64,
) -> Result<Cell> {
    let mut frame = vec![0; instance.compress_bound(input.len())?];
    let mut output = vec![0; input.len()];
    let mut len = 0;
    let compress = sample(cell_s / 2.0, || {
        len = instance.compress(black_box(input), &mut frame)?;
        Ok(())
    })?;
    let decompress =
        sample(cell_s / 2.0, || instance.decompress(black_box(&frame[..len]), &mut output).map(|_| ()))?;
    Ok(Cell {
        level,
        kind: kind.to_owned(),
        bytes: input.len() as u64,
        compressed_bytes: len as u64,
        compress_s: compress.0,
        compress_mad_s: compress.1,
        decompress_s: decompress.0,
        decompress_mad_s: decompress.1,
    })
}

/// Median and median absolute deviation of several runs after a warm-up, in seconds. A run that alone
/// exceeds the budget is its own measurement.
fn sample(budget_s: f64, mut run: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    let mut time = || -> Result<f64> {
        let start = Instant::now();
        run()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let warm_up = time()?;
    if warm_up > budget_s {
        return Ok((warm_up, 0.0));
    }
    let mut runs = Vec::with_capacity(MAX_RUNS);
    let start = Instant::now();
    while runs.len() < 3 || (runs.len() < MAX_RUNS && start.elapsed().as_secs_f64() < budget_s) {
        runs.push(time()?);
    }
    let median = median(&mut runs);
    let mut deviations: Vec<f64> = runs.iter().map(|r| (r - median).abs()).collect();
    Ok((median, self::median(&mut deviations)))
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
        let slow = sample(0.0, || {
            runs += 1;
            Ok(())
        });
        assert!(slow.is_ok());
        assert_eq!(runs, 1);
    }
}
