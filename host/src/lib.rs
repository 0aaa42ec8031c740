//! ClipsMaster: finds compression plugins, proves and measures them on this machine, and compresses with the
//! best.
//!
//! ```no_run
//! use clipsmaster_host::{Config, Host, probe_entry};
//!
//! fn main() -> Result<(), clipsmaster_host::Error> {
//!     probe_entry(); // first thing: this program may serve as its own probe helper
//!     let host = Host::open(Config::from_env()?)?;
//!     let best = host.get_best_hardware("zstd", 3)?;
//!     let (compressed, metadata) = best.compress(b"hello hello hello")?;
//!     assert_eq!(best.decompress(&compressed, Some(&metadata))?, b"hello hello hello");
//!     Ok(())
//! }
//! ```
//!
//! Data flows one way: [`policy`] says what is done with each type of resource; [`Host`] asks [`selection`], which ranks what the
//! registry knows; [`pipeline`] moves files and pipes through the chosen codecs in bounded memory. Plugins are loaded when they
//! are first used, and only after a child process has proven them.

mod adaptors;
pub mod algorithm;
mod auto;
mod benchmark;
mod buffer;
mod chunked;
mod compressor;
mod config;
pub mod container;
mod error;
mod filter;
mod foreign;
mod formats;
pub mod health;
mod host;
mod kept;
mod list;
pub mod pipeline;
pub mod policy;
pub mod pressure;
mod probe;
mod registry;
mod regret;
mod sample;
pub mod selection;
mod settle;
pub mod size;
mod spelling;
pub mod store;
mod study;
mod sync;
mod turns;
mod validate;

pub use adaptors::{ChunkedReader, ChunkedWriter, SeekableReader};
pub use auto::Wanted;
pub use benchmark::{
    hardware::{
        Figures, HARDWARE_BENCHMARK_BYTES, HARDWARE_BENCHMARK_ITERATIONS, HardwareFigures, NotMeasured,
    },
    machine_key,
};
pub use chunked::{
    HeaderInfo, Restored, SAFE_PARITY_PERCENT, chunked_file_info, chunked_header_info, container_raw_bytes,
    is_container,
};
pub use compressor::{Checksum, Compressor, Metadata};
pub use config::{Benchmarks, Config, SearchDir, Trust, parse_trust};
pub use error::{Error, Result};
pub use filter::Filter;
pub use formats::DETECT_BYTES;
pub use host::Host;
pub use list::Listed;
pub use policy::{Policies, Policy, PolicyFiles, PolicySet, Priority};
pub use probe::probe_entry;
pub use registry::{
    CasesOf, Cells, Entry, Progress, ProgressFn, Snapshot,
    report::{Cell, CodecInfo, CodecReport, PluginInfo, PluginReport, State, Verdict},
};
pub use regret::{Regret, RegretCell, Sample, Tried};
pub use sample::DataSample;
pub use selection::{
    Direction, Likeness, Ranking, Request,
    auto::{Choice, Floors, Objective},
};
pub use study::{
    Change, Comparison, MEMCPY, Machine, Measured, Recommendation, Row, STUDY_FORMAT, Speed, Study,
    StudyData, StudyPlan, policy_proposal,
};
pub use validate::{CaseResult, Outcome};
