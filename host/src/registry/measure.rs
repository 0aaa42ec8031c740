//! Fills in missing measurements, one implementation at a time, each in a child process.

use super::{
    Entry, Progress, ProgressFn, Registry, prove,
    report::{Cell, CodecReport, PluginReport},
};
use crate::{
    Error, Result, benchmark,
    probe::{
        self, Answer, Deadlines, Ending,
        protocol::{Event, Plan, Task},
    },
};
use std::{sync::Arc, time::Duration};

const DEADLINES: Deadlines = Deadlines { silence: Duration::from_secs(60), total: Duration::from_secs(300) };
/// Time for one cell of the first benchmark, in seconds: three levels of thirteen cells come to about two seconds.
const CELL_S: f64 = 0.04;
/// Time for one cell of a further level, in seconds.
const BRIEF_CELL_S: f64 = 0.02;

/// All are measured so many times in turn, and the fastest counts: what slows the machine down for a while then meets not one alone.
const PASSES: usize = 2;

/// An implementation, the levels to measure, and whether briefly.
type Job = (Arc<Entry>, usize, Vec<i32>, bool);
type Wanted = Vec<Job>;

impl Registry {
    /// Measures every proven implementation that has not been measured on this machine.
    ///
    /// # Errors
    /// When there is no helper to do it.
    pub(crate) fn measure_missing(&self, progress: ProgressFn<'_>) -> Result<()> {
        let snapshot = self.snapshot();
        let mut wanted: Wanted = Vec::new();
        for entry in &snapshot.entries {
            for codec in &entry.report.codecs {
                let key = benchmark::machine_key(&codec.info.device);
                if entry.verdict(codec).is_ok() && (codec.cells.is_empty() || codec.machine != key) {
                    let i = &codec.info;
                    let mut levels = vec![i.level_min, i.level_default, i.level_max];
                    levels.dedup();
                    wanted.push((Arc::clone(entry), i.index, levels, false));
                }
            }
        }
        self.measure(&wanted, progress)
    }

    /// Measures further levels, briefly: implementation and its levels.
    ///
    /// # Errors
    /// When there is no helper to do it.
    pub(crate) fn measure_levels(
        &self,
        levels: &[(String, Vec<i32>)],
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let mut wanted: Wanted = Vec::new();
        for (id, levels) in levels {
            let found = snapshot.entries.iter().find_map(|e| {
                let mut codecs = e.report.codecs.iter().filter(|c| e.verdict(c).is_ok());
                codecs.find(|c| c.info.implementation() == *id).map(|c| (Arc::clone(e), c.info.index))
            });
            wanted.extend(found.map(|(entry, codec)| (entry, codec, levels.clone(), true)));
        }
        self.measure(&wanted, progress)
    }

    fn measure(&self, wanted: &Wanted, progress: ProgressFn<'_>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let _lock = self.cache.lock_benchmark().map_err(Error::io("lock", self.cache.root()))?;
        // Another host may have measured it while this one waited for the lock.
        let wanted: Vec<Job> =
            wanted.iter().map(|w| self.still_missing(w)).filter(|w| !w.2.is_empty()).collect();
        let total = wanted.len() * PASSES;
        let jobs = (0..PASSES).flat_map(|_| &wanted).enumerate();
        for (done, job) in jobs {
            let (entry, index) = (&job.0, job.1);
            progress(Progress::Measuring {
                done,
                total,
                name: entry.report.codecs[index].info.implementation(),
            });
            let mut report = self.cache.report(&entry.hash).unwrap_or_else(|| self.current(entry));
            if !report.verdict.is_ok() {
                continue;
            }
            let key = benchmark::machine_key(&report.codecs[index].info.device);
            let answer = self.measure_one(job)?;
            prove::apply_ending(&mut report, &answer);
            merge(&mut report.codecs[index], key, answer.events);
            if !entry.path.as_os_str().is_empty() {
                let _ = self.cache.store_report(&entry.hash, &report);
            }
            self.update(&entry.hash, &report);
        }
        Ok(())
    }

    /// The levels of a job without measurements, which are first brought up to date with the cache.
    fn still_missing(&self, (entry, index, levels, brief): &Job) -> Job {
        let report = self.cache.report(&entry.hash).unwrap_or_else(|| self.current(entry));
        self.update(&entry.hash, &report);
        let codec = &report.codecs[*index];
        let key = benchmark::machine_key(&codec.info.device);
        let missing = |l: &i32| codec.machine != key || !codec.cells.iter().any(|c| c.level == *l);
        (Arc::clone(entry), *index, levels.iter().copied().filter(missing).collect(), *brief)
    }

    fn current(&self, entry: &Entry) -> PluginReport {
        let snapshot = self.snapshot();
        let found = snapshot.entries.iter().find(|e| e.hash == entry.hash);
        found.map_or_else(|| entry.report.clone(), |e| e.report.clone())
    }

    fn measure_one(&self, (entry, index, levels, brief): &Job) -> Result<Answer> {
        let index = *index;
        let (sizes, cell_s) = if *brief {
            (benchmark::BRIEF_SIZES.to_vec(), BRIEF_CELL_S)
        } else {
            (benchmark::SIZES.to_vec(), CELL_S)
        };
        let plan = Plan { levels: levels.clone(), sizes, cell_s: cell_s / PASSES as f64 };
        if entry.path.as_os_str().is_empty() {
            let events = measure_in_process(entry, index, &plan);
            return Ok(Answer { events, ending: Ending::Complete, stderr: Vec::new() });
        }
        let hardware = &entry.report.codecs[index].info.hardware;
        let job = prove::job(&entry.library, Task::Measure { codec: index, plan }, hardware);
        probe::run(&self.helper()?, &job, DEADLINES, |_| None)
    }
}

/// A codec of the application's own is measured where it lives.
fn measure_in_process(entry: &Entry, index: usize, plan: &Plan) -> Vec<Event> {
    let mut events = Vec::new();
    let Ok(codec) = entry.codec(index) else { return events };
    for &level in &plan.levels {
        let peak = benchmark::measure_level(&codec, level, &plan.sizes, plan.cell_s, &mut |cell| {
            events.push(Event::Cell(cell));
        });
        events.extend(peak.ok().map(|bytes| Event::Peak { level, bytes }));
    }
    events
}

fn merge(codec: &mut CodecReport, machine: String, events: Vec<Event>) {
    if codec.machine != machine {
        codec.cells.clear();
        codec.peak_bytes.clear();
        codec.machine = machine;
    }
    for event in events {
        match event {
            Event::Cell(cell) => merge_cell(&mut codec.cells, cell),
            Event::Peak { level, bytes } => match codec.peak_bytes.iter_mut().find(|(l, _)| *l == level) {
                Some((_, peak)) => *peak = bytes.max(*peak),
                None => codec.peak_bytes.push((level, bytes)),
            },
            _ => {}
        }
    }
}

/// Another pass over a point that is known: the faster times stay.
fn merge_cell(cells: &mut Vec<Cell>, new: Cell) {
    let is_same = |c: &&mut Cell| c.level == new.level && c.kind == new.kind && c.bytes == new.bytes;
    let Some(old) = cells.iter_mut().find(is_same) else {
        cells.push(new);
        return;
    };
    if new.compress_s < old.compress_s {
        (old.compress_s, old.compress_mad_s) = (new.compress_s, new.compress_mad_s);
    }
    if new.decompress_s < old.decompress_s {
        (old.decompress_s, old.decompress_mad_s) = (new.decompress_s, new.decompress_mad_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pass_keeps_the_faster_times() {
        let cell = |compress_s, decompress_s| Cell {
            level: 1,
            kind: "text".into(),
            bytes: 4096,
            compressed_bytes: 1000,
            compress_s,
            compress_mad_s: compress_s / 10.0,
            decompress_s,
            decompress_mad_s: 0.0,
        };
        let mut cells = vec![cell(2.0, 1.0)];
        merge_cell(&mut cells, cell(1.0, 3.0));
        merge_cell(&mut cells, Cell { level: 2, ..cell(1.0, 1.0) });
        assert_eq!(cells.len(), 2);
        assert_eq!((cells[0].compress_s, cells[0].compress_mad_s, cells[0].decompress_s), (1.0, 0.1, 1.0));
    }
}
