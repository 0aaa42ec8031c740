//! The arguments, as clap reads them.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clipsmaster_host::{Benchmarks, Config, Direction, Error, parse_trust, size};
use std::path::PathBuf;

#[derive(Parser, Debug)]
#[command(
    name = "clipsmaster-host",
    version,
    about = "Compresses with whatever is best on this machine; every algorithm is a plugin",
    after_help = "Exit codes: 0 done, 1 operation failed, 2 usage, 3 data damaged (nothing written), \
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
        Ok(config)
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// List implementations: state, rank, speed and ratio on this machine
    ListPlugins(ListArguments),
    /// Tell which implementation serves a request best, and why
    BestHardware(BestArguments),
    /// Compress files or standard input
    Compress(CompressArguments),
    /// Decompress files or standard input, whoever wrote them
    Decompress(DecompressArguments),
    /// Run all conformance cases on a plugin (for its author)
    Validate(ValidateArguments),
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
#[derive(Args, Debug)]
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
}

#[derive(Args, Debug)]
pub(crate) struct CompressArguments {
    /// Files to compress; `-` or none is standard input
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub to: OutputArguments,
    /// Algorithm, e.g. zstd, lz4, gzip, bzip2, xz, snappy [default: what the output's name says, or zstd]
    #[arg(short, long)]
    pub algorithm: Option<String>,
    /// Level of the algorithm's reference implementation
    #[arg(short, long, allow_negative_numbers = true)]
    pub level: Option<i32>,
    /// `auto`, or only this hardware
    #[arg(long, default_value = "auto")]
    pub hardware: String,
    /// Exactly this implementation: the same bytes on every machine
    #[arg(long, value_name = "ID")]
    pub implementation: Option<String>,
    /// Input bytes in one frame [default: by algorithm and level]
    #[arg(long, value_parser = size::parse, value_name = "BYTES")]
    pub chunk_size: Option<u64>,
    /// Threads [default: all processors]
    #[arg(short = 'T', long)]
    pub threads: Option<usize>,
}

#[derive(Args, Debug)]
pub(crate) struct DecompressArguments {
    /// Files to decompress; `-` or none is standard input
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub to: OutputArguments,
    /// Algorithm, where neither the first bytes nor the name tell
    #[arg(short, long)]
    pub algorithm: Option<String>,
    /// Exactly this implementation
    #[arg(long, value_name = "ID")]
    pub implementation: Option<String>,
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
