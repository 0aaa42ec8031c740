//! The host's errors. Each says what failed, on what, what there was instead, and what to do.

use crate::policy::Problem;
use clipsmaster_plugin_api as api;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// `Result` of the host's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No installed plugin has the algorithm.
    #[error(
        "unknown algorithm `{asked}`; installed: {}; plugins folders searched: {}",
        list(known),
        paths(searched)
    )]
    UnknownAlgorithm {
        /// The name asked for.
        asked: String,
        /// Algorithms with a usable implementation.
        known: Vec<String>,
        /// Plugins folders that were searched.
        searched: Vec<PathBuf>,
    },
    /// The algorithm is known, but nothing installed can serve the request.
    #[error("no usable implementation of {what}: {}", candidates(rejected))]
    NoImplementation {
        /// The request, in words.
        what: String,
        /// Candidates and why each cannot be used.
        rejected: Vec<(String, String)>,
    },
    /// The input is no format that an installed plugin reads.
    #[error(
        "{input}: format not recognised; installed formats: {}; name it with --algorithm, or check the file",
        list(known)
    )]
    UnknownFormat {
        /// The input, as the user named it.
        input: String,
        /// Formats that could be read.
        known: Vec<String>,
    },
    /// The request itself makes no sense.
    #[error("{0}")]
    Usage(String),
    /// An output file is there already.
    #[error("{} exists; use --force to replace it, or -o for another name", .0.display())]
    Exists(PathBuf),
    /// Compressed data is damaged or cut short.
    #[error("{input}: {} ({implementation}: {source}); nothing was kept", damage(source))]
    Damaged {
        /// The input, as the user named it.
        input: String,
        /// Implementation that noticed.
        implementation: String,
        /// Its error.
        source: api::Error,
    },
    /// A container is damaged, or cut short, or not as its records say.
    #[error("{input}: {problem}")]
    Container {
        /// The input, as the user named it.
        input: String,
        /// What is wrong, where, and what can be done.
        problem: String,
    },
    /// Decompressed data is not what the metadata says was compressed.
    #[error("decompressed data does not match its metadata: {0}")]
    Mismatch(String),
    /// A codec failed for a reason other than the data.
    #[error("{implementation}: {source}")]
    Codec {
        /// Implementation that failed.
        implementation: String,
        /// Its error.
        source: api::Error,
    },
    /// An operation on a file or pipe failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted: "read", "create", ...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Plugins could not be probed at all.
    #[error(
        "no probe helper: {0}; call clipsmaster_host::probe_entry() first thing in main, or put clipsmaster-host beside the program, or set CLIPSMASTER_PROBE_HELPER"
    )]
    NoProbeHelper(String),
    /// A resource does not fit into the budget of a store, whatever is compressed.
    #[error(
        "no room for {resource} ({}): {} of {} are taken; {why}; raise the budget, or remove what is not needed",
        crate::size::binary(*bytes), crate::size::binary(*held), crate::size::binary(*budget)
    )]
    StoreFull {
        /// Its id.
        resource: String,
        /// Its size, in bytes.
        bytes: u64,
        /// What the store holds, in bytes.
        held: u64,
        /// What it may hold, in bytes.
        budget: u64,
        /// Who holds it, and what would help.
        why: String,
    },
    /// Something went wrong with a resource of a store.
    #[error("resource {resource}: {source}")]
    Resource {
        /// Its id.
        resource: String,
        /// What went wrong.
        source: Box<Self>,
    },
    /// The configuration cannot be used.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong in it, and where.
        problem: String,
    },
    /// A policy file cannot be used.
    #[error("{}", policy_problems(path, problems))]
    Policy {
        /// The file.
        path: PathBuf,
        /// Everything that makes it unusable.
        problems: Vec<Problem>,
    },
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A buffer of `room` bytes is too short.
    pub fn no_room(bytes: u64, room: usize) -> Self {
        Self::Usage(format!("{bytes} bytes do not fit into a buffer of {room} bytes"))
    }

    /// What went wrong with the resource of that name.
    pub(crate) fn of_resource(self, resource: String) -> Self {
        Self::Resource { resource, source: Box::new(self) }
    }

    /// Whether a buffer in memory was too short to write to.
    pub(crate) fn is_write_zero(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::WriteZero)
    }

    /// A codec's error as the host's: damage where the input is to blame.
    pub fn codec(implementation: &str, input: &str, source: api::Error) -> Self {
        let implementation = implementation.to_owned();
        match source.kind {
            api::ErrorKind::Corrupt | api::ErrorKind::Truncated => {
                Self::Damaged { input: input.to_owned(), implementation, source }
            }
            _ => Self::Codec { implementation, source },
        }
    }
}

/// The first few problems; the command tells all.
fn policy_problems(path: &Path, problems: &[Problem]) -> String {
    const SHOWN: usize = 3;
    let shown: String = problems.iter().take(SHOWN).map(|p| p.render(path)).collect();
    let name = path.display();
    match problems.len().saturating_sub(SHOWN) {
        0 => format!("cannot use the policy file {name}\n{}", shown.trim_end()),
        more => format!(
            "cannot use the policy file {name}\n{shown}and {more} more; `clipsmaster-host policy verify {name}` lists all"
        ),
    }
}

fn damage(source: &api::Error) -> &'static str {
    if source.kind == api::ErrorKind::Truncated { "data ends too early" } else { "data is damaged" }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn paths(paths: &[PathBuf]) -> String {
    list(&paths.iter().map(|p| display(p)).collect::<Vec<_>>())
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

fn candidates(rejected: &[(String, String)]) -> impl fmt::Display {
    if rejected.is_empty() {
        return "no plugin offers it; see `clipsmaster-host doctor`".to_owned();
    }
    rejected.iter().map(|(id, why)| format!("{id}: {why}")).collect::<Vec<_>>().join("; ")
}
