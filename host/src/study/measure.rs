//! Runs a [`StudyPlan`]: cell by cell, and in each all entrants in turns, so that slow moments of the machine meet all alike.

use super::{
    MEMCPY, Machine, Measured, Row, STUDY_FORMAT, Speed, Study, StudyPlan,
    plan::Entrant,
    work::{Cell, Copier, LONG_RUN_S, Timing},
};
use crate::{Host, Progress, ProgressFn, Result, benchmark, pipeline::threads};
use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

/// How often each entrant's turn comes in a cell.
const TURNS: u32 = 3;

impl Host {
    /// Measures what `plan` says, in this process, telling `progress` what is measured. What fails on the way is told in
    /// [`Study::skipped`].
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for a plan that makes no sense, with the names there are; [`Error::Io`](crate::Error::Io) when data cannot be read.
    pub fn study(&self, plan: &StudyPlan, progress: ProgressFn<'_>) -> Result<Study> {
        let (entrants, mut skipped) = plan.entrants(&self.snapshot())?;
        let cells = cells(plan);
        let total = cells.len() * entrants.len();
        let mut rows = Vec::new();
        for (done, (data, piece, threads)) in cells.iter().copied().enumerate() {
            let data = &plan.data[data];
            let sample = data.sample(piece, plan.sample_bytes)?;
            let pieces: Vec<&[u8]> = sample.chunks(piece as usize).collect();
            let tell = |number: usize, entrant: &Entrant| {
                let name = format!("{} {}", entrant.info.implementation(), entrant.level);
                progress(Progress::Measuring { done: done * entrants.len() + number, total, name });
            };
            let cell = Cell { data: &data.name, piece_bytes: piece, pieces: &pieces, threads };
            rows.extend(in_turns(&cell, &entrants, plan.min_time_s, &tell, &mut skipped));
        }
        let measured = |d: &super::StudyData| {
            let longest = plan.piece_bytes.iter().copied().max().unwrap_or_default();
            let sampled_bytes = d.bytes.min(plan.sample_bytes.max(longest));
            Measured { name: d.name.clone(), bytes: d.bytes, sampled_bytes }
        };
        Ok(Study {
            format: STUDY_FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            taken: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            machine: Machine::this(),
            min_time_s: plan.min_time_s,
            data: plan.data.iter().map(measured).collect(),
            rows,
            skipped,
        })
    }
}

impl Machine {
    /// The one that this runs on.
    pub fn this() -> Self {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let (system, release, machine) =
            (text(uname.sysname()), text(uname.release()), text(uname.machine()));
        let info = rustix::system::sysinfo();
        Self {
            processor: benchmark::processor(),
            processors: threads(None) as u32,
            memory_bytes: info.totalram * u64::from(info.mem_unit),
            system: format!("{system} {release} {machine}"),
        }
    }
}

/// Number of the data, bytes of a piece, and threads, of each cell. Data shorter than a piece is one piece.
fn cells(plan: &StudyPlan) -> Vec<(usize, u64, usize)> {
    let mut cells = Vec::new();
    for (number, data) in plan.data.iter().enumerate() {
        let pieces: BTreeSet<u64> = plan.piece_bytes.iter().map(|p| (*p).min(data.bytes)).collect();
        let threads: BTreeSet<usize> = plan.threads.iter().copied().collect();
        cells.extend(pieces.iter().flat_map(|p| threads.iter().map(move |t| (number, *p, *t))));
    }
    cells
}

/// An entrant in a cell.
struct Running<'a> {
    entrant: &'a Entrant,
    row: Option<Row>,
    compress: Timing,
    decompress: Timing,
    is_over: bool,
}

impl<'a> Running<'a> {
    fn new(entrant: &'a Entrant) -> Self {
        let (compress, decompress) = (Timing::default(), Timing::default());
        Self { entrant, row: None, compress, decompress, is_over: false }
    }

    /// Its turn. What fails is out, without a row.
    fn turn(&mut self, cell: &Cell<'_>, budget_s: f64) -> Result<(), String> {
        let visit = cell.visit(self.entrant, budget_s, self.row.is_none()).inspect_err(|_| {
            self.is_over = true;
            self.row = None;
        })?;
        self.is_over = visit.compress.longest() > LONG_RUN_S;
        self.compress.add(visit.compress);
        self.decompress.add(visit.decompress);
        self.row.get_or_insert(visit.row);
        Ok(())
    }

    fn finish(self, bytes: u64) -> Option<Row> {
        let (compress, decompress) = (self.compress.speed(bytes), self.decompress.speed(bytes));
        Some(Row { compress, decompress, ..self.row? })
    }
}

/// One cell of all entrants, and of memcpy.
fn in_turns(
    cell: &Cell<'_>,
    entrants: &[Entrant],
    min_time_s: f64,
    tell: &dyn Fn(usize, &Entrant),
    skipped: &mut Vec<String>,
) -> Vec<Row> {
    let budget_s = min_time_s / f64::from(TURNS);
    let mut copies = Timing::default();
    let mut all: Vec<Running<'_>> = entrants.iter().map(Running::new).collect();
    for turn in 0..TURNS {
        copies.add(Copier::new(cell).times(cell, budget_s));
        for (number, running) in all.iter_mut().enumerate().filter(|(_, r)| !r.is_over) {
            let entrant = running.entrant;
            if turn == 0 {
                tell(number, entrant);
            }
            if let Err(why) = running.turn(cell, budget_s) {
                let why = format!("{} level {}: {why}", entrant.info.implementation(), entrant.level);
                if !skipped.contains(&why) {
                    skipped.push(why);
                }
            }
        }
    }
    let copies = copies.speed(cell.bytes());
    let limit = Row { compress: copies, decompress: copies, ..cell.limit() };
    std::iter::once(limit).chain(all.into_iter().filter_map(|r| r.finish(cell.bytes()))).collect()
}

impl Row {
    /// Whether this is the limit, and no implementation.
    pub fn is_limit(&self) -> bool {
        self.algorithm == MEMCPY
    }
}

impl Timing {
    /// The median speed of runs over `bytes` bytes.
    fn speed(&self, bytes: u64) -> Speed {
        let (median, mad) = benchmark::median_and_mad(&mut self.runs_s.clone());
        let median = median.max(f64::MIN_POSITIVE);
        Speed { mb_s: bytes as f64 / 1e6 / median, deviation: mad / median, runs: self.runs_s.len() as u32 }
    }
}
