//! The arguments, as clap reads them.

mod policy;

pub(crate) use policy::*;

use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use clipsmaster_host::{
    Benchmarks, Config, Direction, Error, Floors, HARDWARE_BENCHMARK_ITERATIONS, Objective, parse_trust,
    pipeline::{Filtering, OnDamage},
    size,
};
use std::{ops::Deref, path::PathBuf};

#[derive(Parser, Debug)]
#[command(
    name = "clipsmaster-host",
    version,
    about = "Compresses with whatever is best on this machine; every algorithm is a plugin",
    after_help = "Exit codes: 0 done, 1 operation failed, 2 usage, 3 data damaged (nothing written), 4 partial output, as --on-damage asked, \
                  5 no usable implementation.\nSizes are binary: 4MB means 4 MiB."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every verb.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Search this plugins folder before all others (may be repeated)
    #[arg(long, global = true, value_name = "DIR")]
    pub plugins_dir: Vec<PathBuf>,
    /// Which plugin files may be loaded: owner, allowlist or any
    #[arg(long, global = true, value_name = "POLICY")]
    pub trust: Option<String>,
    /// The project's policies [default: configs/compression_layers.yaml under the working directory, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl Common {
    /// The configuration of the environment with these options on top. The commands measure when they need to.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let mut config = Config::from_env()?;
        config.benchmarks = Benchmarks::Never;
        let given = self.plugins_dir.iter().map(|d| std::path::absolute(d).unwrap_or_else(|_| d.clone()));
        config.plugin_dirs.splice(0..0, given);
        if let Some(trust) = &self.trust {
            config.trust = parse_trust(trust)?;
        }
        if let Some(path) = &self.config {
            std::fs::metadata(path).map_err(Error::io("read", path))?;
        }
        config.set_project_policy(self.config.clone());
        Ok(config)
    }
}

/// Arguments of one verb, which clap only puts together for the verb that is used: all of them would take a tenth of the time
/// that compressing a small file takes.
#[derive(Debug)]
pub(crate) struct Deferred<T>(T);

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(|verb| keep_about(verb, T::augment_args))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command.defer(|verb| keep_about(verb, T::augment_args_for_update))
    }
}

/// Arguments that are shared between verbs bring a description of their own; the verb's is the one to show.
fn keep_about(verb: clap::Command, augment: fn(clap::Command) -> clap::Command) -> clap::Command {
    let about = verb.get_about().cloned().unwrap_or_default();
    augment(verb).about(about)
}

impl<T: FromArgMatches> FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T> Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// List implementations: state, rank, speed and ratio on this machine
    ListPlugins(Deferred<ListArguments>),
    /// Tell which implementation serves a request best, and why
    BestHardware(Deferred<BestArguments>),
    /// Measure implementations on files or built-in data: speed both ways, ratio, memory
    Bench(Deferred<BenchArguments>),
    /// Tell the best algorithm, level and implementation for each file, by measuring
    Recommend(Deferred<RecommendArguments>),
    /// Measure how much time the choices made here cost against the best ones
    #[command(
        after_help = "All candidates run in turns, and are compared within the same rounds. KEPT is the share of the promised ratio that \
                            the choice reached; below 1 the promise was broken. It takes minutes."
    )]
    Regret(Deferred<RegretArguments>),
    /// Show what a resource store does within a memory budget, for resources cut from files or a trace of calls
    #[command(
        after_help = "A trace has a call a line: insert ID TYPE FILE [START..END], get ID, remove ID, release ID, sleep MS; # begins a comment."
    )]
    StoreSim(Deferred<StoreSimArguments>),
    /// Compress files or standard input
    Compress(Deferred<CompressArguments>),
    /// Decompress files or standard input, whoever wrote them
    Decompress(Deferred<DecompressArguments>),
    /// Tell what a compressed file is, without decoding it
    Info(Deferred<FileArguments>),
    /// Compare all checksums of a file; tell what is damaged, where, and what mends it
    Verify(Deferred<VerifyArguments>),
    /// Write a damaged file anew, as it was
    Repair(Deferred<RepairArguments>),
    /// Write all of the original that can still be had from a damaged file
    Salvage(Deferred<SalvageArguments>),
    /// Write a container's frames alone, as other tools write them
    Export(Deferred<ExportArguments>),
    /// What is done with each type of resource: what is in force, where it comes from, changes to it
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Run all conformance cases on a plugin (for its author)
    Validate(Deferred<ValidateArguments>),
    /// Look after installed plugins
    #[command(subcommand)]
    Plugins(PluginsCommand),
    /// Tell what is installed, what is missing, and what to do about it
    Doctor,
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

#[derive(Args, Debug)]
pub(crate) struct ListArguments {
    /// Add versions, licence, path, limits, and why others cannot be used
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BestArguments {
    /// Algorithm, e.g. zstd, lz4, gzip, bzip2, xz, snappy
    #[arg(short, long)]
    pub algorithm: String,
    /// Level of the algorithm's reference implementation
    #[arg(short, long, allow_negative_numbers = true)]
    pub level: Option<i32>,
    /// Size of one piece of work
    #[arg(short, long, value_parser = size::parse, default_value = "1MB", value_name = "BYTES")]
    pub size: u64,
    /// What should be fast
    #[arg(long, value_enum, default_value_t = What::Compress)]
    pub direction: What,
    /// Only this hardware
    #[arg(long)]
    pub hardware: Option<String>,
    /// Print every candidate with the reason for its place
    #[arg(long)]
    pub explain: bool,
}

/// What `bench` and `recommend` measure.
#[derive(Args, Debug)]
pub(crate) struct StudyArguments {
    /// Data to measure with; without any, seven kinds of built-in data
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only this algorithm (may be repeated)
    #[arg(short, long)]
    pub algorithm: Vec<String>,
    /// Only this implementation (may be repeated)
    #[arg(long, value_name = "ID")]
    pub implementation: Vec<String>,
    /// Level, of each implementation its own (may be repeated) [default: the lowest below zero, 1, the default one, 9 and 19]
    #[arg(short, long, allow_negative_numbers = true)]
    pub level: Vec<i32>,
    /// Bytes compressed at once (may be repeated) [default: 64KB and 1MB]
    #[arg(short, long, value_parser = size::parse, value_name = "BYTES")]
    pub size: Vec<u64>,
    /// Most bytes of each file to measure with: pieces from all over it [default: 4MB]
    #[arg(long, value_parser = size::parse, value_name = "BYTES")]
    pub sample: Option<u64>,
    /// Default levels only, four pieces of 256 KiB, one thread, short runs
    #[arg(long)]
    pub quick: bool,
    /// Shortest time to measure each direction for, in seconds [default: 0.12]
    #[arg(long, value_name = "S")]
    pub min_time: Option<f64>,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    pub what: StudyArguments,
    /// Threads, e.g. 1,2,4 [default: one, and one on each processor]
    #[arg(short = 'T', long, value_name = "N", value_delimiter = ',')]
    pub threads: Vec<std::num::NonZero<usize>>,
    /// Print comma-separated values
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub csv: bool,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Compare with what an earlier `bench --json` printed: ratios, and what lies outside noise
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    pub baseline: Option<PathBuf>,
    /// Write everything as one page (HTML) with pictures
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Replace an existing report
    #[arg(short, long)]
    pub force: bool,
    /// Compare hardware: all healthy implementations on each, at their default levels, as files are compressed; --size is then bytes of
    /// built-in data [default: 50MB]
    #[arg(long, conflicts_with_all = ["files", "algorithm", "implementation", "level", "sample", "quick", "min_time", "threads", "csv", "markdown", "baseline", "report"])]
    pub hardware: bool,
    /// With --hardware: runs of each, in both directions
    #[arg(short, long, default_value_t = HARDWARE_BENCHMARK_ITERATIONS, value_name = "N", requires = "hardware")]
    pub iterations: u32,
}

#[derive(Args, Debug)]
pub(crate) struct RecommendArguments {
    #[command(flatten)]
    pub what: StudyArguments,
    /// Of an earlier `bench --json`, instead of measuring
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "algorithm", "implementation", "level", "size", "sample", "quick", "min_time"])]
    pub from: Option<PathBuf>,
    /// Only for this objective [default: all three; balanced for --write-policy]
    #[arg(long, value_enum)]
    pub objective: Option<Aim>,
    #[command(flatten)]
    pub floors: FloorArguments,
    /// Write a policy file that proposes this: a type for each file, named as the file is up to the first point
    #[arg(long, value_name = "FILE")]
    pub write_policy: Option<PathBuf>,
    /// Replace an existing policy file
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RegretArguments {
    /// Data to try; without any, data generated from another seed than the benchmark's
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only this algorithm (may be repeated)
    #[arg(short, long)]
    pub algorithm: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct StoreSimArguments {
    /// A folder of files, the name of each of which, up to the first point, is the type of the resources cut from it; or a trace
    #[arg(value_name = "DIR|TRACE")]
    pub source: PathBuf,
    /// Most memory for everything the store holds
    #[arg(long, value_parser = size::parse, default_value = "400MB", value_name = "BYTES")]
    pub budget: u64,
    /// Bytes of all resources cut from a folder [default: 1.6 times the budget]
    #[arg(long, value_parser = size::parse, value_name = "BYTES")]
    pub fill: Option<u64>,
    /// Of the budget, most for decompressed copies [default: an eighth]
    #[arg(long, value_parser = size::parse, value_name = "BYTES")]
    pub hot: Option<u64>,
    /// Folder for what does not fit
    #[arg(long, value_name = "DIR")]
    pub spill_dir: Option<PathBuf>,
    /// How long to ask for resources
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub seconds: f64,
    /// Threads that ask
    #[arg(short = 'T', long, default_value = "2", value_name = "N")]
    pub threads: std::num::NonZero<usize>,
    /// How much more often some are asked for than others: the exponent of a Zipf distribution
    #[arg(long, default_value_t = 0.99, value_name = "S")]
    pub zipf: f64,
    /// Most processor time of the background thread, as a share of one processor
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub cpu_share: f64,
    /// Another seed cuts and asks otherwise
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum What {
    Compress,
    Decompress,
    Both,
}

impl From<What> for Direction {
    fn from(what: What) -> Self {
        match what {
            What::Compress => Self::Compress,
            What::Decompress => Self::Decompress,
            What::Both => Self::Both,
        }
    }
}

/// Where results go; for both directions.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OutputArguments {
    /// Output file; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write to standard output
    #[arg(short = 'c', long, conflicts_with = "output")]
    pub stdout: bool,
    /// Replace existing output files; write binary data to a terminal
    #[arg(short, long)]
    pub force: bool,
    /// Keep the input, which is what happens anyway: for the sake of those used to gzip and zstd
    #[arg(short = 'k', long = "keep", hide = true)]
    pub _keep: bool,
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CompressArguments {
    /// Files to compress; `-` or none is standard input
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub to: OutputArguments,
    /// Algorithm, e.g. zstd, lz4, gzip, bzip2, xz, snappy; or `auto`: chosen by trials on a sample of each input, with its level and filter
    /// [default: what the output's name says, or zstd]
    #[arg(short, long)]
    pub algorithm: Option<String>,
    /// Level of the algorithm's reference implementation
    #[arg(short, long, allow_negative_numbers = true)]
    pub level: Option<i32>,
    #[command(flatten)]
    pub auto: AutoArguments,
    /// By the policy of this type of resource; options given here win
    #[arg(long, value_name = "TYPE")]
    pub resource_type: Option<String>,
    /// `auto`, or only this hardware [default: auto]
    #[arg(long)]
    pub hardware: Option<String>,
    /// Exactly this implementation: the same bytes on every machine
    #[arg(long, value_name = "ID")]
    pub implementation: Option<String>,
    /// Input bytes in one frame [default: by algorithm and level]
    #[arg(long, value_parser = size::parse, value_name = "BYTES")]
    pub chunk_size: Option<u64>,
    /// Recovery data in percent of the output, 0 to 100: so much damage can be repaired [default: 0]
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub parity: Option<u8>,
    /// What goes around the frames: `auto`, `plain` (nothing) or `cmc` (our own file)
    #[arg(long, value_enum, default_value_t = Wrapping::Auto)]
    pub container: Wrapping,
    /// What is done before the codec: `none`, `shuffle2`, `shuffle4`, `shuffle8` (bytes of numbers of so many bytes are put side by
    /// side), or `auto`; makes a .cmc file [default: none; auto with --algorithm auto]
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<Filtering>,
    /// Decode each frame and compare it before it is written
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub limits: Limits,
}

/// What `--algorithm auto` chooses by.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AutoArguments {
    /// With --algorithm auto: `speed` (the fastest that saves 10 %), `balanced` (the least time to compress, move at 50 MB/s and
    /// decompress) or `ratio` (the smallest) [default: balanced]
    #[arg(long, value_enum)]
    pub objective: Option<Aim>,
    #[command(flatten)]
    pub floors: FloorArguments,
}

/// What a choice must reach.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct FloorArguments {
    /// Least speed of what is chosen in decompressing on one thread, e.g. 200MB/s
    #[arg(long, value_parser = size::parse_speed, value_name = "SPEED")]
    pub min_decompress_speed: Option<f64>,
    /// Most memory that what is chosen takes to compress or decompress on one thread, e.g. 64MB; chunks become smaller for it
    #[arg(long, value_parser = size::parse, value_name = "BYTES")]
    pub max_memory: Option<u64>,
}

impl From<FloorArguments> for Floors {
    fn from(given: FloorArguments) -> Self {
        Self { min_decompress_mb_s: given.min_decompress_speed, max_memory_bytes: given.max_memory }
    }
}

impl AutoArguments {
    /// The option given that means nothing without `--algorithm auto`.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let options = [
            (self.objective.is_some(), "--objective"),
            (self.floors.min_decompress_speed.is_some(), "--min-decompress-speed"),
            (self.floors.max_memory.is_some(), "--max-memory"),
        ];
        options.into_iter().find_map(|(is_given, name)| is_given.then_some(name))
    }
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Aim {
    Speed,
    Balanced,
    Ratio,
}

impl From<Objective> for Aim {
    fn from(objective: Objective) -> Self {
        match objective {
            Objective::Speed => Self::Speed,
            Objective::Balanced => Self::Balanced,
            Objective::Ratio => Self::Ratio,
        }
    }
}

impl From<Aim> for Objective {
    fn from(aim: Aim) -> Self {
        match aim {
            Aim::Speed => Self::Speed,
            Aim::Balanced => Self::Balanced,
            Aim::Ratio => Self::Ratio,
        }
    }
}

/// What a job may use.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Threads [default: all processors]
    #[arg(short = 'T', long, value_name = "N")]
    pub threads: Option<std::num::NonZero<usize>>,
    /// Most memory to use, e.g. 512MB [default: half of what is free]
    #[arg(long, value_parser = size::parse, value_name = "BYTES")]
    pub memory_limit: Option<u64>,
}

impl Limits {
    pub(crate) fn threads(&self) -> Option<usize> {
        self.threads.map(std::num::NonZero::get)
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Wrapping {
    #[default]
    /// `plain` for .xz, .bz2 and other formats without a place for records; records otherwise, and for --parity
    Auto,
    /// Frames back to back, as other tools write them
    Plain,
    /// Our own file (.cmc), with frames of any format
    Cmc,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Damage {
    /// Stop; nothing is written
    Error,
    /// Leave out what is lost (exit code 4)
    Skip,
    /// Write zeros in its place (exit code 4)
    Zero,
}

impl From<Damage> for OnDamage {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Error => Self::Error,
            Damage::Skip => Self::Skip,
            Damage::Zero => Self::Zero,
        }
    }
}

/// Reads `START..END`, either of which may be left out.
pub(crate) fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let wrong = || format!("`{text}` is no range; write START..END, e.g. 0..64KB or 1GB..");
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let bound = |text: &str, default| if text.is_empty() { Ok(default) } else { size::parse(text) };
    let range = bound(start, 0)?..bound(end, u64::MAX)?;
    if range.start > range.end { Err(wrong()) } else { Ok(range) }
}

#[derive(Args, Debug)]
pub(crate) struct DecompressArguments {
    /// Files to decompress; `-` or none is standard input
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub to: OutputArguments,
    /// Algorithm of bare frames, where neither the first bytes nor the name tell
    #[arg(short, long)]
    pub algorithm: Option<String>,
    /// Exactly this implementation
    #[arg(long, value_name = "ID")]
    pub implementation: Option<String>,
    /// Only these bytes of the original, e.g. 1MB..2MB; reads no more than it needs
    #[arg(long, value_name = "START..END", value_parser = range)]
    pub range: Option<std::ops::Range<u64>>,
    /// What to do about damage that cannot be mended
    #[arg(long, value_enum, default_value_t = Damage::Error)]
    pub on_damage: Damage,
    #[command(flatten)]
    pub limits: Limits,
}

#[derive(Args, Debug)]
pub(crate) struct FileArguments {
    /// Compressed file
    pub file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    /// Compressed files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Decode everything, too
    #[arg(long)]
    pub deep: bool,
}

/// Where a new file goes.
#[derive(Args, Debug)]
pub(crate) struct NewFile {
    /// Output file
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace an existing output file
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RepairArguments {
    /// Damaged file; it stays as it is
    pub file: PathBuf,
    #[command(flatten)]
    pub to: NewFile,
}

#[derive(Args, Debug)]
pub(crate) struct SalvageArguments {
    /// Damaged file; it stays as it is
    pub file: PathBuf,
    #[command(flatten)]
    pub to: NewFile,
    /// Write zeros in place of what is lost, so that the rest keeps its place
    #[arg(long)]
    pub zeros: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArguments {
    /// Container
    pub file: PathBuf,
    #[command(flatten)]
    pub to: NewFile,
}

#[derive(Args, Debug)]
pub(crate) struct ValidateArguments {
    /// Plugin file
    pub plugin: PathBuf,
}

#[derive(Subcommand, Debug)]
pub(crate) enum PluginsCommand {
    /// Plugins that crashed, hung twice, or returned wrong bytes
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Prove and measure all plugins anew
    Refresh,
}

#[derive(Subcommand, Debug)]
pub(crate) enum QuarantineCommand {
    /// List them with their reasons
    List,
    /// Try one again
    Clear {
        /// Plugin id, or the start of the file's hash
        id: String,
    },
}
