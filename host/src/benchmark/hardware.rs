//! What each hardware of this machine does with a larger piece of data, on the way that applications use: chunks of the default
//! sizes, all processors.
//!
//! These figures are for people. Ranking has its own, see [`crate::benchmark`].

use super::data;
use crate::{
    Compressor, Error, Host, Progress, ProgressFn, Request, Result, State,
    pipeline::{self, CompressOptions, DecompressOptions, Input, Output, default_memory_bytes},
    registry::report::{CodecInfo, CodecReport, Verdict},
};
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Seek, SeekFrom, Write},
};

/// What one implementation did, at its default level.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Algorithm of the frames.
    pub algorithm: String,
    /// `<algorithm>/<hardware>/<library>`.
    pub implementation: String,
    /// Its own level.
    pub level: i32,
    /// Median speed of compressing, in MB/s (10^6 bytes of original a second).
    pub compression_speed: f64,
    /// Median speed of decompressing, in MB/s (10^6 bytes of original a second).
    pub decompression_speed: f64,
    /// Original bytes over compressed bytes, container included.
    pub ratio: f64,
}

/// An implementation that was not measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotMeasured {
    /// `<algorithm>/<hardware>/<library>`.
    pub implementation: String,
    /// Why, and what to do about it where that is known.
    pub reason: String,
}

/// What one hardware did.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct HardwareFigures {
    /// The device; for the CPU its model.
    pub device: String,
    /// The fastest in both directions together, of those that make the data smaller; absent when nothing could be measured.
    #[serde(flatten)]
    pub best: Option<Figures>,
    /// All that were measured, fastest first.
    pub implementations: Vec<Figures>,
    /// The others: without their device or library, unhealthy, or simulated.
    pub not_measured: Vec<NotMeasured>,
}

/// Bytes that [`Host::benchmark_hardware`] is usually given.
pub const HARDWARE_BENCHMARK_BYTES: usize = 50 << 20;
/// Iterations that [`Host::benchmark_hardware`] is usually given.
pub const HARDWARE_BENCHMARK_ITERATIONS: u32 = 3;

impl Host {
    /// Measures every healthy implementation on each hardware of this machine with `data_size` bytes of the built-in data
    /// ([`HARDWARE_BENCHMARK_BYTES`] are usual), `iterations` times each ([`HARDWARE_BENCHMARK_ITERATIONS`]). Hardware that is
    /// not available is in the answer, with the reason. Takes a minute with the usual numbers: lzma is slow.
    ///
    /// # Errors
    /// [`Error::Usage`] for no data, no iterations, or more data than fits into memory.
    pub fn benchmark_hardware(
        &self,
        data_size: usize,
        iterations: u32,
    ) -> Result<BTreeMap<String, HardwareFigures>> {
        self.benchmark_hardware_with(data_size, iterations, &|_| {})
    }

    /// As [`benchmark_hardware`](Self::benchmark_hardware), telling `progress` which implementation is measured.
    ///
    /// # Errors
    /// As [`benchmark_hardware`](Self::benchmark_hardware).
    pub fn benchmark_hardware_with(
        &self,
        data_size: usize,
        iterations: u32,
        progress: ProgressFn<'_>,
    ) -> Result<BTreeMap<String, HardwareFigures>> {
        let data = benchmark_data(data_size, iterations)?;
        let snapshot = self.snapshot();
        let reports: Vec<(&CodecReport, &Verdict)> = snapshot
            .entries
            .iter()
            .flat_map(|e| e.report.codecs.iter().map(move |c| (c, e.verdict(c))))
            .filter(|(_, v)| v.state != State::Shadowed)
            .collect();
        let mut all: BTreeMap<String, HardwareFigures> = BTreeMap::new();
        for (done, (codec, verdict)) in reports.iter().enumerate() {
            let name = codec.info.implementation();
            progress(Progress::Measuring { done, total: reports.len(), name });
            let hardware = all.entry(codec.info.hardware.clone()).or_default();
            if verdict.is_ok() {
                hardware.device = device(&codec.info);
            }
            match why_not(&codec.info, verdict)
                .map_or_else(|| measure(self, &codec.info, &data, iterations), Err)
            {
                Ok(figures) => hardware.implementations.push(figures),
                Err(reason) => hardware
                    .not_measured
                    .push(NotMeasured { implementation: codec.info.implementation(), reason }),
            }
        }
        for figures in all.values_mut() {
            figures.implementations.sort_by(|a, b| seconds_per_mb(a).total_cmp(&seconds_per_mb(b)));
            figures.best = figures.implementations.iter().find(|f| f.ratio > 1.0).cloned();
        }
        Ok(all)
    }
}

/// Time for both directions, in seconds a MB.
fn seconds_per_mb(figures: &Figures) -> f64 {
    1.0 / figures.compression_speed + 1.0 / figures.decompression_speed
}

fn device(info: &CodecInfo) -> String {
    if info.device.is_empty() && info.hardware == "cpu" { super::processor() } else { info.device.clone() }
}

fn why_not(info: &CodecInfo, verdict: &Verdict) -> Option<String> {
    if !verdict.is_ok() {
        let remedy = if verdict.remedy.is_empty() { String::new() } else { format!("; {}", verdict.remedy) };
        return Some(format!("{}: {}{remedy}", verdict.state, verdict.reason));
    }
    info.why_not_measured()
}

/// All kinds in turn.
fn benchmark_data(bytes: usize, iterations: u32) -> Result<Vec<u8>> {
    if bytes == 0 || iterations == 0 {
        return Err(Error::Usage("a benchmark needs data and iterations: 1 byte and 1 at least".into()));
    }
    // The data, what becomes of it, and what comes back.
    let most = default_memory_bytes() / 3;
    if bytes as u64 > most {
        let most = crate::size::binary(most);
        return Err(Error::Usage(format!(
            "{bytes} bytes of benchmark data do not fit into memory; at most {most} do"
        )));
    }
    Ok(data::mixed(bytes))
}

fn measure(host: &Host, info: &CodecInfo, data: &[u8], iterations: u32) -> Result<Figures, String> {
    let implementation = info.implementation();
    let request = Request { implementation: Some(implementation.clone()), ..Request::new(&info.algorithm) };
    let told = |e: Error| e.to_string();
    let compressor = host.compressor(&request).map_err(told)?;
    let options = CompressOptions { input_bytes: Some(data.len() as u64), ..CompressOptions::default() };
    let mut frames = Vec::new();
    let (mut compressing, mut decompressing) = (Vec::new(), Vec::new());
    for _ in 0..iterations {
        frames.clear();
        compressing.push(compress(&compressor, data, &mut frames, &options).map_err(told)?);
    }
    let file = in_memory(&frames).map_err(|e| format!("no file in memory: {e}"))?;
    let decoding = DecompressOptions {
        implementation: Some(implementation.clone()),
        algorithm: None,
        ..DecompressOptions::default()
    };
    let mut back = Vec::with_capacity(data.len());
    for _ in 0..iterations {
        back.clear();
        let rewound = file.try_clone().and_then(|mut f| f.seek(SeekFrom::Start(0)).map(|_| f));
        let input = Input::File(rewound.map_err(|e| e.to_string())?);
        let done = pipeline::decompress(host, input, Output::Stream(&mut back), &decoding, &|_| {});
        decompressing.push(done.map_err(told)?.seconds);
        if back != data {
            return Err("other bytes came back".into());
        }
    }
    let speed =
        |seconds: &mut Vec<f64>| data.len() as f64 / 1e6 / super::median(seconds).max(super::SHORTEST_S);
    Ok(Figures {
        algorithm: info.algorithm.clone(),
        implementation,
        level: compressor.level(),
        compression_speed: speed(&mut compressing),
        decompression_speed: speed(&mut decompressing),
        ratio: data.len() as f64 / frames.len().max(1) as f64,
    })
}

fn compress(
    compressor: &Compressor,
    data: &[u8],
    out: &mut Vec<u8>,
    options: &CompressOptions,
) -> Result<f64> {
    let summary = pipeline::compress(compressor, data, out, options, &|_| {})?;
    let by_others = summary.implementations.keys().any(|i| i != compressor.implementation());
    let failed = || Error::Usage(format!("failed on the way: {}", summary.warnings.join("; ")));
    if by_others { Err(failed()) } else { Ok(summary.seconds) }
}

fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("benchmark", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_no_iterations_and_too_much_data_are_usage_errors() {
        for (bytes, iterations) in [(0, 3), (1 << 20, 0), (usize::MAX, 1)] {
            let refused = benchmark_data(bytes, iterations).expect_err("refused");
            assert!(matches!(refused, Error::Usage(_)), "{refused}");
        }
        assert_eq!(benchmark_data(10_001, 1).expect("data").len(), 10_001);
    }
}
