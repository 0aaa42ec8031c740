//! Fills in missing measurements: all implementations of one algorithm in turns, in a child process; then what is fast, of all algorithms.

use super::{
    Entry, Progress, ProgressFn, Registry, prove,
    proving::peers_of,
    report::{Cell, CodecReport, PluginReport},
};
use crate::{
    Error, Result,
    benchmark::{self, Contender},
    probe::{
        self, Answer, Deadlines,
        protocol::{self, Event, Peer, Plan, Task},
    },
};
use std::{
    cell::Cell as Shared,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What is over in a moment is measured again, later, as the moment may have been a slow one: all algorithms together, since `auto` chooses among them. So
/// what each was measured by before, in another moment, gives way.
const MORE_VISITS: [Merge; 3] = [Merge::Replace, Merge::Better, Merge::Better];

/// What all tools call the fastest: asked for where there is a choice, and tried by `auto` where there are levels below 0, which do less than others.
const FAST_LEVEL: i32 = 1;

const DEADLINES: Deadlines = Deadlines { silence: Duration::from_secs(60), total: Duration::from_secs(900) };

/// An implementation, and the levels to measure.
#[derive(Clone)]
struct Job {
    entry: Arc<Entry>,
    codec: usize,
    levels: Vec<i32>,
}

impl Job {
    fn report(&self) -> &CodecReport {
        &self.entry.report.codecs[self.codec]
    }

    /// Whether it lives in this program.
    fn is_in_process(&self) -> bool {
        self.entry.path.as_os_str().is_empty()
    }

    fn is_on_cpu(&self) -> bool {
        self.report().info.hardware == "cpu"
    }

    fn contender(&self) -> protocol::Contender {
        let implementation = self.report().info.implementation();
        let peer = Peer { library: self.entry.library.clone(), codec: self.codec, implementation };
        protocol::Contender { peer, levels: self.levels.clone() }
    }
}

impl Registry {
    /// Measures every algorithm of which an implementation that is proven has not been measured on this machine.
    ///
    /// # Errors
    /// When there is no helper to do it.
    pub(crate) fn measure_missing(&self, progress: ProgressFn<'_>) -> Result<()> {
        let snapshot = self.snapshot();
        let mut groups: BTreeMap<&str, Vec<Job>> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for (entry, codec) in crate::host::usable(&snapshot) {
            let i = &codec.info;
            if codec.cells.is_empty() || codec.machine != benchmark::machine_key(&i.device) {
                missing.insert(i.algorithm.as_str());
            }
            let mut levels = vec![i.level_min, i.level_default, i.level_max];
            levels.dedup();
            let job = Job { entry: Arc::clone(entry), codec: i.index, levels };
            groups.entry(&i.algorithm).or_default().push(job);
        }
        groups.retain(|algorithm, _| missing.contains(algorithm));
        for jobs in groups.values_mut() {
            let has_rivals = jobs.len() > 1;
            for job in jobs {
                let i = &job.report().info;
                let is_asked_for = has_rivals || i.level_min < 0;
                if is_asked_for && i.has_level(FAST_LEVEL) && !job.levels.contains(&FAST_LEVEL) {
                    job.levels.insert(1, FAST_LEVEL);
                }
            }
        }
        self.measure(groups.into_values().collect(), &benchmark::SIZES, progress)
    }

    /// Measures further levels of implementations of one algorithm, briefly.
    ///
    /// # Errors
    /// When there is no helper to do it.
    pub(crate) fn measure_levels(
        &self,
        levels: &[(String, Vec<i32>)],
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let job = |(id, levels): &(String, Vec<i32>)| {
            let (entry, codec) = crate::host::find_usable(&snapshot, id)?;
            Some(Job { entry: Arc::clone(entry), codec: codec.info.index, levels: levels.clone() })
        };
        let jobs = levels.iter().filter_map(job).collect();
        self.measure(vec![jobs], &benchmark::BRIEF_SIZES, progress)
    }

    fn measure(&self, groups: Vec<Vec<Job>>, sizes: &[usize], progress: ProgressFn<'_>) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let _lock = self.cache.lock_benchmark().map_err(Error::io("lock", self.cache.root()))?;
        let total = groups.len();
        let mut measured = Vec::new();
        for (done, jobs) in groups.into_iter().enumerate() {
            // Another host may have measured it while this one waited for the lock; a plugin may be out since another codec of it was measured.
            let jobs = jobs.into_iter().filter_map(|job| Some((self.is_missing(&job)?, job)));
            let (is_missing, jobs): (Vec<bool>, Vec<Job>) = jobs.unzip();
            if !is_missing.contains(&true) {
                continue;
            }
            let tell = |name: &str| progress(Progress::Measuring { done, total, name: name.to_owned() });
            let (own, files): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(Job::is_in_process);
            self.measure_files(files.clone(), sizes, Merge::Replace, &tell)?;
            measured.push(files);
            for job in own {
                tell(&job.report().info.implementation());
                self.measure_in_process(&job, sizes);
            }
        }
        let tell = |name: &str| {
            progress(Progress::Measuring { done: total - 1, total, name: name.to_owned() });
        };
        for how in MORE_VISITS {
            let all = measured.iter().flat_map(|jobs| jobs.iter().map(|job| (job, jobs.len() > 1)));
            let momentary = all.filter_map(|(job, has_rivals)| self.momentary(job, has_rivals));
            let (on_cpu, others): (Vec<Job>, Vec<Job>) = momentary.partition(Job::is_on_cpu);
            for jobs in [on_cpu, others] {
                self.measure_files(jobs, &benchmark::BRIEF_SIZES, how, &tell)?;
            }
        }
        Ok(())
    }

    /// `job` with those of its levels that were measured in a moment.
    fn momentary(&self, job: &Job, has_rivals: bool) -> Option<Job> {
        let report = self.current(&job.entry);
        let codec = &report.codecs[job.codec];
        let is_momentary = |level: &&i32| benchmark::is_momentary(&codec.cells, **level, has_rivals);
        let levels: Vec<i32> = job.levels.iter().filter(is_momentary).copied().collect();
        let is_usable = report.verdict.is_ok() && codec.verdict.is_ok();
        (is_usable && !levels.is_empty()).then(|| Job { levels, ..job.clone() })
    }

    /// Measures `jobs` in a child. One that ends it is out, and the others start anew.
    fn measure_files(
        &self,
        mut jobs: Vec<Job>,
        sizes: &[usize],
        how: Merge,
        tell: &dyn Fn(&str),
    ) -> Result<()> {
        while let Some(first) = jobs.first() {
            let algorithms: BTreeSet<&str> =
                jobs.iter().map(|job| job.report().info.algorithm.as_str()).collect();
            let frames_by = algorithms.into_iter().filter_map(|name| self.reference(name)).collect();
            let plan = Plan { sizes: sizes.to_vec(), frames_by };
            let on_cpu = jobs.iter().all(Job::is_on_cpu);
            let task = Task::Measure { contenders: jobs.iter().map(Job::contender).collect(), plan };
            let job = prove::job(&first.entry.library, task, if on_cpu { "cpu" } else { "" });
            let turn = Shared::new(0);
            let answer = probe::run(&self.helper()?, &job, DEADLINES, |event| {
                match event {
                    Event::Turn(number) => turn.set(*number),
                    Event::Step(_) => {
                        let job = jobs.get(turn.get()).unwrap_or(first);
                        tell(&job.report().info.implementation());
                    }
                    _ => {}
                }
                None
            })?;
            for (number, job) in jobs.iter().enumerate() {
                self.note(job, number, &answer, how);
            }
            let last = turn.get().min(jobs.len() - 1);
            let mut ended = self.current(&jobs[last].entry);
            if !prove::apply_ending(&mut ended, &answer) {
                return Ok(());
            }
            let out = jobs.remove(last);
            let _ = self.cache.store_report(&out.entry.hash, &ended);
            self.update(&out.entry.hash, &ended);
        }
        Ok(())
    }

    /// A codec of the application's own is measured where it lives.
    fn measure_in_process(&self, job: &Job, sizes: &[usize]) {
        let Ok(codec) = job.entry.codec(job.codec) else { return };
        let references = self.loaded_references(&job.report().info.algorithm);
        let contender = Contender { number: 0, codec, levels: job.levels.clone() };
        let mut events = Vec::new();
        let frames_by: Vec<_> = references.into_iter().take(1).map(|(_, codec)| codec).collect();
        benchmark::measure(&[contender], &frames_by, sizes, &mut |event| events.push(event));
        let ending = probe::Ending::Complete;
        self.note(job, 0, &Answer { events, ending, stderr: Vec::new() }, Merge::Replace);
    }

    /// Keeps what was measured of `job`, which was contender `number`.
    fn note(&self, job: &Job, number: usize, answer: &Answer, how: Merge) {
        let mut report = self.current(&job.entry);
        let codec = &mut report.codecs[job.codec];
        let machine = benchmark::machine_key(&codec.info.device);
        merge(codec, machine, number, &answer.events, how);
        if !job.is_in_process() {
            let _ = self.cache.store_report(&job.entry.hash, &report);
        }
        self.update(&job.entry.hash, &report);
    }

    /// Whether there are levels without measurements, once it is brought up to date with the cache; `None` where it may not be used.
    fn is_missing(&self, job: &Job) -> Option<bool> {
        let report = self.current(&job.entry);
        self.update(&job.entry.hash, &report);
        let codec = &report.codecs[job.codec];
        let is_known = codec.machine == benchmark::machine_key(&codec.info.device);
        let is_measured = is_known && job.levels.iter().all(|l| codec.cells.iter().any(|c| c.level == *l));
        (report.verdict.is_ok() && codec.verdict.is_ok()).then_some(!is_measured)
    }

    /// What the cache says, or else what this host knows.
    fn current(&self, entry: &Entry) -> PluginReport {
        self.cache.report(&entry.hash).unwrap_or_else(|| {
            let snapshot = self.snapshot();
            let found = snapshot.entries.iter().find(|e| e.hash == entry.hash);
            found.map_or_else(|| entry.report.clone(), |e| e.report.clone())
        })
    }

    /// The reference of `algorithm`, where a child can load it.
    fn reference(&self, algorithm: &str) -> Option<Peer> {
        let snapshot = self.snapshot();
        let mut peers = snapshot.entries.iter().flat_map(|e| peers_of(e));
        let found = peers.find(|(c, _)| c.info.algorithm == algorithm && prove::is_reference(c));
        found.map(|(_, peer)| peer)
    }
}

/// What becomes of measurements that are there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// They were taken at another time, and give way.
    Replace,
    /// They belong to the new ones: the better of both counts.
    Better,
}

/// Takes over what was measured of contender `number`.
fn merge(codec: &mut CodecReport, machine: String, number: usize, events: &[Event], how: Merge) {
    if codec.machine != machine {
        codec.cells.clear();
        codec.peak_bytes.clear();
        codec.machine = machine;
    }
    for event in events {
        match event {
            Event::Cell { contender, cell } if *contender == number => {
                merge_cell(&mut codec.cells, cell, how);
            }
            Event::Peak { contender, level, bytes } if *contender == number => {
                match codec.peak_bytes.iter_mut().find(|(l, _)| l == level) {
                    Some((_, peak)) => *peak = (*peak).max(*bytes),
                    None => codec.peak_bytes.push((*level, *bytes)),
                }
            }
            _ => {}
        }
    }
}

fn merge_cell(cells: &mut Vec<Cell>, new: &Cell, how: Merge) {
    let is_same = |c: &&mut Cell| c.level == new.level && c.kind == new.kind && c.bytes == new.bytes;
    let Some(old) = cells.iter_mut().find(is_same) else { return cells.push(new.clone()) };
    if how == Merge::Replace {
        *old = new.clone();
        return;
    }
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
    fn what_is_measured_anew_replaces_what_was_and_of_visits_the_better_counts() {
        let cell = |level, compress_s, decompress_s| Cell {
            level,
            kind: "text".into(),
            bytes: 4096,
            compressed_bytes: 1000,
            compress_s,
            compress_mad_s: compress_s / 10.0,
            decompress_s,
            decompress_mad_s: decompress_s / 10.0,
        };
        let mut cells = vec![cell(1, 2.0, 1.0)];
        merge_cell(&mut cells, &cell(1, 3.0, 1.0), Merge::Replace);
        merge_cell(&mut cells, &cell(2, 1.0, 1.0), Merge::Better);
        assert_eq!(cells, [cell(1, 3.0, 1.0), cell(2, 1.0, 1.0)]);
        merge_cell(&mut cells, &cell(1, 2.5, 4.0), Merge::Better);
        merge_cell(&mut cells, &cell(2, 4.0, 0.5), Merge::Better);
        assert_eq!(cells, [cell(1, 2.5, 1.0), cell(2, 1.0, 0.5)]);
    }
}
