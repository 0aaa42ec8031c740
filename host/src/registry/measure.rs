//! Fills in missing measurements, one implementation at a time, each in a child process.

use super::{
    Entry, Progress, ProgressFn, Registry, prove,
    report::{CodecReport, PluginReport},
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

/// Implementations and levels to measure.
type Wanted = Vec<(Arc<Entry>, usize, Vec<i32>, bool)>;

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
        let total = wanted.len();
        for (done, (entry, index, levels, brief)) in wanted.iter().enumerate() {
            let name = entry.report.codecs[*index].info.implementation();
            progress(Progress::Measuring { done, total, name });
            let stored = self.cache.report(&entry.hash);
            let mut report = stored.unwrap_or_else(|| self.current(entry));
            let key = benchmark::machine_key(&report.codecs[*index].info.device);
            let codec = &report.codecs[*index];
            // Another host may have measured it while this one waited for the lock.
            let missing = |l: &i32| codec.machine != key || !codec.cells.iter().any(|c| c.level == *l);
            let levels: Vec<i32> = levels.iter().copied().filter(missing).collect();
            if !levels.is_empty() {
                let answer = self.measure_one(entry, *index, &levels, *brief)?;
                prove::apply_ending(&mut report, &answer);
                merge(&mut report.codecs[*index], key, answer.events);
                if !entry.path.as_os_str().is_empty() {
                    let _ = self.cache.store_report(&entry.hash, &report);
                }
            }
            self.update(&entry.hash, &report);
        }
        Ok(())
    }

    fn current(&self, entry: &Entry) -> PluginReport {
        let snapshot = self.snapshot();
        let found = snapshot.entries.iter().find(|e| e.hash == entry.hash);
        found.map_or_else(|| entry.report.clone(), |e| e.report.clone())
    }

    fn measure_one(&self, entry: &Entry, index: usize, levels: &[i32], brief: bool) -> Result<Answer> {
        let (sizes, cell_s) = if brief {
            (benchmark::BRIEF_SIZES.to_vec(), BRIEF_CELL_S)
        } else {
            (benchmark::SIZES.to_vec(), CELL_S)
        };
        let plan = Plan { levels: levels.to_vec(), sizes, cell_s };
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
            Event::Cell(cell) => codec.cells.push(cell),
            Event::Peak { level, bytes } => codec.peak_bytes.push((level, bytes)),
            _ => {}
        }
    }
}
