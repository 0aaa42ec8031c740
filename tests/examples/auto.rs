//! Prints how well `--algorithm auto` chooses: for each file of a folder the choice, its time and size with choosing included, and those
//! of all fixed candidates.
//!
//!     cargo build --release
//!     cargo run --release -p clipsmaster-tests --example auto -- CORPUS_DIR [speed] [balanced] [ratio]
//!
//! Files are compressed from memory to nowhere, on one thread, in turns; the least processor time of five rounds counts, which other work
//! on the machine stretches less than time on the wall. Those near the best then run in pairs with the choice, which is made anew each
//! time, and the median of a pair's ratio counts: the machine changes its speed from one minute to the next, but rarely within a pair.
//! For `ratio` one round on all processors does: sizes do not depend on that.

use clipsmaster_host::{
    Choice, Config, DataSample, Filter, Host, Objective, Request,
    pipeline::{self, CompressOptions, Container, Filtering, Summary},
    selection::auto::{BALANCED_MB_S, LEAST_SAVING, Places},
};
use rustix::time::{ClockId, clock_gettime};
use std::{env, fs, io, path::Path};

type Answer<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 5;
/// Pairs of the choice and each of those within a factor of the best.
const PAIRS: usize = 61;
/// The same where each decompresses as well, which takes long.
const PAIRS_BOTH_WAYS: usize = 21;
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
#[derive(Clone)]
struct Run {
    name: String,
    algorithm: String,
    level: i32,
    filter: Filter,
    compress_s: f64,
    decompress_s: f64,
    bytes: u64,
    /// Median of its merit over that of the choice next to it.
    pair: Option<f64>,
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

/// Compares the choice with all candidates; its share of the best one's merit.
fn compare(host: &Host, file: &Path, objective: Objective) -> Answer<f64> {
    let data = fs::read(file)?;
    let (candidates, rounds, pairs) = match objective {
        Objective::Speed => (&FAST[..], ROUNDS, PAIRS),
        Objective::Balanced => (&MIDDLE[..], ROUNDS, PAIRS_BOTH_WAYS),
        _ => (&SMALL[..], 1, 0),
    };
    let sample = &data[data.len() / 4 / 8 * 8..][..(1 << 20).min(data.len() / 2)];
    let filters: Vec<Filter> = [Filter::None].into_iter().chain(Places::of(sample).typed()).collect();
    let mut runs: Vec<Run> = candidates
        .iter()
        .flat_map(|(algorithm, level)| filters.iter().map(|f| Run::new(algorithm, *level, *f)))
        .collect();
    runs.push(Run::new("store", 0, Filter::None));
    let choice = host.choose(&DataSample::of(&data), objective)?;
    let mut chosen =
        Chosen { run: Run::new(&choice.algorithm, choice.level, choice.filter), choosing_s: f64::INFINITY };
    for _ in 0..rounds {
        chosen.once(host, &data, objective)?;
        for run in &mut runs {
            run.once(host, &data, objective)?;
        }
    }
    let best = runs.iter().map(|r| r.merit(&data, objective)).fold(f64::INFINITY, f64::min);
    // What no candidate saves enough of is stored: there is nothing to compare that with but storing.
    let mut share = if best.is_finite() { f64::INFINITY } else { 1.0 };
    let near = |r: &&mut Run| best.is_finite() && r.merit(&data, objective) <= best * FINALIST;
    for run in runs.iter_mut().filter(near) {
        if pairs == 0 {
            share = share.min(run.merit(&data, objective) / chosen.run.merit(&data, objective));
            continue;
        }
        let mut ratios = Vec::new();
        for number in 0..pairs {
            // Neither is always the first.
            ratios.push(if number % 2 == 0 {
                let fixed = run.once(host, &data, objective)?;
                fixed / chosen.once(host, &data, objective)?
            } else {
                let own = chosen.once(host, &data, objective)?;
                run.once(host, &data, objective)? / own
            });
        }
        ratios.sort_by(f64::total_cmp);
        run.pair = Some(ratios[pairs / 2]);
        share = share.min(ratios[pairs / 2]);
    }
    tell(file, &data, objective, &choice, &chosen, runs, share);
    Ok(share)
}

/// The best of what was chosen, which may differ from round to round: all of it is the user's.
struct Chosen {
    run: Run,
    /// The shortest time that a choice took.
    choosing_s: f64,
}

impl Chosen {
    /// Chooses, and compresses with that; the merit of this time.
    fn once(&mut self, host: &Host, data: &[u8], objective: Objective) -> Answer<f64> {
        let start = processor_s();
        let choice = host.choose(&DataSample::of(data), objective)?;
        let seconds = processor_s() - start;
        self.choosing_s = self.choosing_s.min(seconds);
        let mut run = Run::new(&choice.algorithm, choice.level, choice.filter);
        run.once(host, data, objective)?;
        run.compress_s += seconds;
        let merit = run.merit(data, objective);
        if run.compress_s < self.run.compress_s {
            self.run = run;
        }
        Ok(merit)
    }
}

fn tell(
    file: &Path,
    data: &[u8],
    objective: Objective,
    choice: &Choice,
    Chosen { run: chosen, choosing_s }: &Chosen,
    mut runs: Vec<Run>,
    share: f64,
) {
    let raw = data.len() as f64;
    let merit = |run: &Run| run.merit(data, objective);
    runs.sort_by(|a, b| merit(a).total_cmp(&merit(b)));
    let line = |run: &Run| {
        format!(
            "{:>7.0} MB/s, back {:>6.0} MB/s, {:>9} bytes, ratio {:.3}",
            raw / 1e6 / run.compress_s,
            raw / 1e6 / run.decompress_s,
            run.bytes,
            raw / run.bytes as f64
        )
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    println!("  {name}: {choice}");
    println!("    {:<24}{}  <- auto, of it {:.1} ms choosing", chosen.name, line(chosen), choosing_s * 1e3);
    for run in &runs {
        let rank = match run.pair {
            _ if merit(run).is_infinite() => "  saves too little".into(),
            Some(pair) => format!("  in pairs {pair:.3} of auto's"),
            None => String::new(),
        };
        println!("    {:<24}{}{rank}", run.name, line(run));
    }
    println!("    best fixed / auto: {share:.3}");
}

impl Run {
    fn new(algorithm: &str, level: i32, filter: Filter) -> Self {
        Self {
            name: format!("{algorithm} {level} {filter}"),
            algorithm: algorithm.into(),
            level,
            filter,
            compress_s: f64::INFINITY,
            decompress_s: f64::INFINITY,
            bytes: 0,
            pair: None,
        }
    }

    /// The less the better: seconds, or bytes for `ratio`; infinite for what saves too little.
    fn merit(&self, data: &[u8], objective: Objective) -> f64 {
        match objective {
            Objective::Speed if self.bytes as f64 > data.len() as f64 * (1.0 - LEAST_SAVING) => f64::INFINITY,
            Objective::Speed => self.compress_s,
            Objective::Balanced => {
                self.compress_s + self.bytes as f64 / 1e6 / BALANCED_MB_S + self.decompress_s
            }
            _ => self.bytes as f64,
        }
    }

    /// Compresses once, and for `balanced` decompresses; the merit of this time, of which the better counts.
    fn once(&mut self, host: &Host, data: &[u8], objective: Objective) -> Answer<f64> {
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
        let mut this =
            Self { compress_s: processor_s() - start, bytes: summary.output_bytes, ..self.clone() };
        if objective == Objective::Balanced {
            let start = processor_s();
            let input = pipeline::Input::Stream(Box::new(io::Cursor::new(out)));
            let mut sink = io::sink();
            let output = pipeline::Output::Stream(&mut sink);
            let options = pipeline::DecompressOptions { threads: Some(1), ..Default::default() };
            pipeline::decompress(host, input, output, &options, &|_| {})?;
            this.decompress_s = processor_s() - start;
        }
        let merit = this.merit(data, objective);
        self.compress_s = self.compress_s.min(this.compress_s);
        self.decompress_s = self.decompress_s.min(this.decompress_s);
        self.bytes = this.bytes;
        Ok(merit)
    }
}
