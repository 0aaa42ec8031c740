//! Prints how well `--algorithm auto` chooses: for each file of a folder the choice, its time and size with choosing included, and those
//! of all fixed candidates.
//!
//!     cargo build --release
//!     cargo run --release -p clipsmaster-tests --example auto -- CORPUS_DIR [speed] [balanced] [ratio]
//!
//! Files are compressed from memory to nowhere, on one thread, in turns, and measured by processor time, which other work on the machine
//! stretches less than time on the wall. Rounds of all candidates tell which are near the best. Those then run in many more, and before each round
//! `auto` chooses anew: what it costs is the mean, over all rounds, of what its choice of that round takes (the median of that
//! candidate's runs, whoever chose it, so that a choice is not held against itself) and of choosing. For `ratio` one round on all processors
//! does: sizes do not depend on that.

use clipsmaster_host::{
    Choice, Config, DataSample, Filter, Host, Objective, Request,
    pipeline::{self, CompressOptions, Container, Filtering, Summary},
    selection::auto::{BALANCED_MB_S, LEAST_SAVING, Places},
};
use rustix::time::{ClockId, clock_gettime};
use std::{env, fs, io, path::Path};

type Answer<T> = Result<T, Box<dyn std::error::Error>>;

/// Rounds of all candidates, and of those within a factor of the best.
const ROUNDS: usize = 5;
const FINAL_ROUNDS: usize = 121;
/// The same where each decompresses as well, which takes long.
const FINAL_ROUNDS_BOTH_WAYS: usize = 41;
const FINALIST: f64 = 1.3;

/// Fixed candidates: algorithm and level.
const FAST: [(&str, i32); 9] = [
    ("snappy", 1),
    ("lz4", 1),
    ("zstd", -7),
    ("zstd", -4),
    ("zstd", -1),
    ("zstd", 1),
    ("zstd", 3),
    ("gzip", 1),
    ("gzip", 6),
];
const MIDDLE: [(&str, i32); 9] = [
    ("snappy", 1),
    ("lz4", 1),
    ("zstd", -4),
    ("zstd", 1),
    ("zstd", 2),
    ("zstd", 3),
    ("zstd", 5),
    ("zstd", 7),
    ("gzip", 6),
];
const SMALL: [(&str, i32); 7] =
    [("zstd", 16), ("zstd", 19), ("zstd", 22), ("lzma", 6), ("lzma", 9), ("bzip2", 9), ("gzip", 9)];

/// Something to compress with, and how it went.
struct Candidate {
    algorithm: String,
    level: i32,
    filter: Filter,
    bytes: u64,
    /// Of each run: seconds to compress, and to decompress.
    seconds: Vec<(f64, f64)>,
    /// Rounds in which `auto` chose it.
    chosen: usize,
}

fn main() -> Answer<()> {
    clipsmaster_host::probe_entry();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (dir, named) = arguments.split_first().ok_or("name a folder of files")?;
    let mut config = Config::from_env()?;
    config
        .plugin_dirs
        .push(env::current_exe()?.ancestors().nth(2).ok_or("not in target/release")?.to_owned());
    let host = Host::open(config)?;
    let mut files: Vec<_> = fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.is_file() && f.extension().is_some_and(|e| e != "json"));
    files.sort();
    let objectives = [Objective::Speed, Objective::Balanced, Objective::Ratio];
    let is_asked = |o: &Objective| named.is_empty() || named.contains(&o.to_string());
    for objective in objectives.into_iter().filter(is_asked) {
        println!("{objective}");
        let mut worst = f64::INFINITY;
        for file in &files {
            worst = worst.min(compare(&host, file, objective)?);
        }
        println!("  worst: {worst:.3}\n");
    }
    Ok(())
}

/// Processor time of this program so far, in seconds.
fn processor_s() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Compares the choices with all candidates; the best one's merit by theirs.
fn compare(host: &Host, file: &Path, objective: Objective) -> Answer<f64> {
    let data = fs::read(file)?;
    let (fixed, rounds, final_rounds) = match objective {
        Objective::Speed => (&FAST[..], ROUNDS, FINAL_ROUNDS),
        Objective::Balanced => (&MIDDLE[..], ROUNDS, FINAL_ROUNDS_BOTH_WAYS),
        _ => (&SMALL[..], 1, 1),
    };
    let sample = &data[data.len() / 4 / 8 * 8..][..(1 << 20).min(data.len() / 2)];
    let filters: Vec<Filter> = [Filter::None].into_iter().chain(Places::of(sample).typed()).collect();
    let with_filters = |(algorithm, level): &(&'static str, i32)| {
        let (algorithm, level) = (*algorithm, *level);
        filters.iter().map(move |f| Candidate::new(algorithm, level, *f))
    };
    let mut all: Vec<Candidate> = fixed.iter().flat_map(with_filters).collect();
    all.push(Candidate::new("store", 0, Filter::None));
    for _ in 0..rounds {
        for candidate in &mut all {
            candidate.run(host, &data, objective)?;
        }
    }
    let best =
        |all: &[Candidate]| all.iter().map(|c| c.merit(&data, objective)).fold(f64::INFINITY, f64::min);
    // What no candidate saves enough of is stored: there is nothing to compare that with but storing.
    let has_best = best(&all).is_finite();
    // Sizes are known by now.
    let is_run_again = has_best && objective != Objective::Ratio;
    let is_near = |c: &Candidate| is_run_again && c.merit(&data, objective) <= best(&all) * FINALIST;
    let mut finalists: Vec<usize> = (0..all.len()).filter(|i| is_near(&all[*i])).collect();
    let mut choosing_s = Vec::new();
    let mut last = None;
    for number in 0..final_rounds {
        let start = processor_s();
        let choice = host.choose(&DataSample::of(&data), objective)?;
        choosing_s.push(processor_s() - start);
        let chosen = all.iter().position(|c| c.is(&choice)).unwrap_or_else(|| {
            all.push(Candidate::new(&choice.algorithm, choice.level, choice.filter));
            all.len() - 1
        });
        all[chosen].chosen += 1;
        if !finalists.contains(&chosen) {
            finalists.push(chosen);
        }
        last = Some(choice);
        if !is_run_again && !all[chosen].seconds.is_empty() {
            continue;
        }
        // None is always the first.
        let first = number % finalists.len();
        for i in finalists[first..].iter().chain(&finalists[..first]) {
            all[*i].run(host, &data, objective)?;
        }
    }
    let choosing_s = median(choosing_s);
    let merits = all.iter().filter(|c| c.chosen > 0).map(|c| c.merit(&data, objective) * c.chosen as f64);
    let mut mean = merits.sum::<f64>() / final_rounds as f64;
    if objective != Objective::Ratio {
        mean += choosing_s;
    }
    let share = if has_best { best(&all) / mean } else { f64::from(u8::from(mean.is_infinite())) };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    println!("  {name}: {}", last.map(|choice| choice.to_string()).unwrap_or_default());
    all.sort_by(|a, b| a.merit(&data, objective).total_cmp(&b.merit(&data, objective)));
    all.iter().for_each(|c| c.tell(&data, objective, final_rounds));
    println!("    best fixed / auto: {share:.3}, {:.1} ms choosing", choosing_s * 1e3);
    Ok(share)
}

impl Candidate {
    fn new(algorithm: &str, level: i32, filter: Filter) -> Self {
        Self { algorithm: algorithm.into(), level, filter, bytes: 0, seconds: Vec::new(), chosen: 0 }
    }

    fn is(&self, choice: &Choice) -> bool {
        (&self.algorithm, self.level, self.filter) == (&choice.algorithm, choice.level, choice.filter)
    }

    /// Median seconds to compress, and to decompress.
    fn medians(&self) -> (f64, f64) {
        let (compress_s, decompress_s) = self.seconds.iter().copied().unzip();
        (median(compress_s), median(decompress_s))
    }

    /// The less the better: seconds, or bytes for `ratio`; infinite for what saves too little.
    fn merit(&self, data: &[u8], objective: Objective) -> f64 {
        let (compress_s, decompress_s) = self.medians();
        match objective {
            Objective::Speed if self.bytes as f64 > data.len() as f64 * (1.0 - LEAST_SAVING) => f64::INFINITY,
            Objective::Speed => compress_s,
            Objective::Balanced => compress_s + self.bytes as f64 / 1e6 / BALANCED_MB_S + decompress_s,
            _ => self.bytes as f64,
        }
    }

    /// Compresses once, and for `balanced` decompresses.
    fn run(&mut self, host: &Host, data: &[u8], objective: Objective) -> Answer<()> {
        let compressor = host.compressor(&Request::new(&self.algorithm).level(self.level))?;
        let is_own = self.algorithm == "store" || self.filter != Filter::None;
        let options = CompressOptions {
            filter: Filtering::Always(self.filter),
            container: if is_own { Container::Native } else { Container::Standard },
            threads: (objective != Objective::Ratio).then_some(1),
            input_bytes: Some(data.len() as u64),
            ..CompressOptions::default()
        };
        let start = processor_s();
        let mut out = Vec::new();
        let summary: Summary = if objective == Objective::Balanced {
            out.reserve(data.len() + data.len() / 8);
            pipeline::compress(&compressor, data, &mut out, &options, &|_| {})?
        } else {
            pipeline::compress(&compressor, data, io::sink(), &options, &|_| {})?
        };
        self.bytes = summary.output_bytes;
        let compress_s = processor_s() - start;
        let start = processor_s();
        if objective == Objective::Balanced {
            let input = pipeline::Input::Stream(Box::new(io::Cursor::new(out)));
            let mut sink = io::sink();
            let output = pipeline::Output::Stream(&mut sink);
            let options = pipeline::DecompressOptions { threads: Some(1), ..Default::default() };
            pipeline::decompress(host, input, output, &options, &|_| {})?;
        }
        self.seconds.push((compress_s, processor_s() - start));
        Ok(())
    }

    fn tell(&self, data: &[u8], objective: Objective, rounds: usize) {
        let name = format!("{} {} {}", self.algorithm, self.level, self.filter);
        let raw = data.len() as f64;
        let (compress_s, decompress_s) = self.medians();
        let back = match objective {
            Objective::Balanced => format!("back {:>5.0} MB/s, ", raw / 1e6 / decompress_s),
            _ => String::new(),
        };
        let remark = match self.chosen {
            _ if self.merit(data, objective).is_infinite() => "  saves too little".into(),
            0 => String::new(),
            chosen => format!("  <- auto, {chosen} of {rounds}"),
        };
        let (speed, bytes, ratio) = (raw / 1e6 / compress_s, self.bytes, raw / self.bytes as f64);
        println!("    {name:<18}{speed:>5.0} MB/s, {back}{bytes:>9} bytes, ratio {ratio:.3}{remark}");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
