//! The fault campaign: damages containers in every way there is a name for, and judges what comes back.
//!
//! Each case makes rows for a table: what was done how often, what came of it, and what must hold. All damage comes from one
//! seed; a run that came to something else than it must is told by its number.
//!
//! The program `campaign` among the examples does all of it, in a short and in a long form; `cargo test` does a shorter one.

mod cuts;
mod damage;
mod ends;
mod faults;
mod flips;
mod heads;
mod judge;
mod killed;
mod large;
mod matrix;
mod moved;
mod nested;
mod parity;
mod subject;

pub use judge::{Tally, keep_bad_in};

pub(crate) use damage::Rng;
pub(crate) use judge::in_memory;
pub(crate) use large::peak_kib;
pub(crate) use subject::{ALGORITHMS, HEADER_BYTES, MAGIC, Make, data};

use clipsmaster_host::Host;
use std::{fmt, io, path::Path};

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// What all damage comes from.
    pub seed: u64,
    /// Runs of the random cases.
    pub runs: u64,
    /// Bytes of the small originals.
    pub small_bytes: usize,
    /// Only every so many bits, or bytes, of the exhaustive cases.
    pub stride: usize,
    /// MiB of the large stream, 0 for none.
    pub large_mib: u64,
    /// The stream's memory limit, in MiB.
    pub limit_mib: u64,
    /// Whether par2 and other slow company is asked.
    pub compares: bool,
}

impl Scale {
    /// What `cargo test` can afford.
    pub const TEST: Self = Self {
        seed: 1,
        runs: 1200,
        small_bytes: 3000,
        stride: 307,
        large_mib: 300,
        limit_mib: 512,
        compares: false,
    };
    /// A few minutes.
    pub const SHORT: Self = Self {
        seed: 1,
        runs: 20_000,
        small_bytes: 6000,
        stride: 41,
        large_mib: 384,
        limit_mib: 512,
        compares: true,
    };
    /// Hours.
    pub const LONG: Self = Self {
        seed: 1,
        runs: 1_000_000,
        small_bytes: 64 << 10,
        stride: 1,
        large_mib: 10 << 10,
        limit_mib: 1 << 10,
        compares: true,
    };

    /// `1 / part` of the runs, at least a few.
    pub(crate) fn part(self, part: u64) -> u64 {
        (self.runs / part).max(3)
    }
}

/// What the cases work with.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Has all plugins.
    pub host: &'a Host,
    /// The command.
    pub program: &'a Path,
    /// Folder of the plugins, for the command.
    pub plugins: &'a Path,
    /// An empty folder.
    pub scratch: &'a Path,
    /// How much is done.
    pub scale: Scale,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) case: char,
    pub(crate) what: String,
    pub(crate) tally: Tally,
    /// What must hold, in words.
    pub(crate) must: String,
    pub(crate) is_met: bool,
}

impl Row {
    /// What must hold beside `is_met`: nothing silent, and no panic.
    pub(crate) fn new(case: char, what: impl Into<String>, tally: Tally, must: &str, is_met: bool) -> Self {
        let is_met = is_met && tally.is_honest();
        Self { case, what: what.into(), tally, must: must.into(), is_met }
    }

    /// Whether what must hold does.
    pub fn is_met(&self) -> bool {
        self.is_met
    }

    /// The line above the rows.
    pub fn head() -> String {
        format!(
            "CASE {:<50}{:>9}{:>9}{:>9}{:>8}{:>8}{:>7}{:>6}  MUST",
            "WHAT", "RUNS", "INTACT", "REPAIRED", "PARTIAL", "REFUSED", "SILENT", "PANIC"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, what, tally: t, must, is_met } = self;
        write!(
            f,
            "  {case}  {what:<50}{:>9}{:>9}{:>9}{:>8}{:>8}{:>7}{:>6}  {must}",
            t.runs(),
            t.intact,
            t.repaired,
            t.partial,
            t.refused,
            t.silent,
            t.panicked
        )?;
        if !is_met {
            write!(f, "   <-- NOT MET: {}", t.bad.join(", "))?;
        }
        Ok(())
    }
}

/// A case: its letter and what it does.
pub type Case = (char, fn(Setting<'_>) -> io::Result<Vec<Row>>);

/// All cases.
pub const CASES: [Case; 17] = [
    ('A', flips::every_bit),
    ('B', flips::random),
    ('C', cuts::truncation),
    ('D', moved::moved),
    ('D', moved::concatenated),
    ('E', flips::one_byte),
    ('F', parity::shards),
    ('G', matrix::matrix),
    ('H', heads::beheaded),
    ('I', parity::damaged_parity),
    ('J', ends::failing),
    ('J', killed::full),
    ('J', killed::killed),
    ('J', faults::in_mid_job),
    ('K', crate::fuzz::smoke),
    ('L', large::large),
    ('N', nested::nested),
];
