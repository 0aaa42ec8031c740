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

/// What is over in a moment is measured again, so often, as the moment may have been a slow one: all algorithms together, since `auto` chooses among
/// them. So what each was measured by before, in another moment, gives way.
const VISITS: usize = 3;

/// What all tools call the fastest: asked for where there is a choice, and tried by `auto`, for which that of each algorithm is a rival of the others'.
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

    fn implementation(&self) -> String {
        self.report().info.implementation()
    }

    fn is_on_cpu(&self) -> bool {
        self.report().info.hardware == "cpu"
    }

    fn contender(&self) -> protocol::Contender {
        let implementation = self.implementation();
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
            self.measure_files(files.clone(), sizes, &tell, &mut |job, number, answer| {
                self.note(job, &cells_of(number, answer), &peaks_of(number, answer));
            })?;
            measured.push(files);
            for job in own {
                tell(&job.implementation());
                self.measure_in_process(&job, sizes);
            }
        }
        let tell = |name: &str| {
            progress(Progress::Measuring { done: total - 1, total, name: name.to_owned() });
        };
        let all = measured.iter().flat_map(|jobs| jobs.iter().map(|job| (job, jobs.len() > 1)));
        let momentary = all.filter_map(|(job, has_rivals)| self.momentary(job, has_rivals));
        let (on_cpu, others): (Vec<Job>, Vec<Job>) = momentary.partition(Job::is_on_cpu);
        for jobs in [on_cpu, others] {
            self.visit(&jobs, &tell)?;
        }
        Ok(())
    }

    /// Measures `jobs` together, several times.
    fn visit(&self, jobs: &[Job], tell: &dyn Fn(&str)) -> Result<()> {
        let mut visits = Vec::new();
        for _ in 0..VISITS {
            let mut visit = BTreeMap::new();
            // One that ended the child in an earlier visit is out.
            let is_in = |job: &&Job| is_usable(&self.current(&job.entry), job.codec);
            let jobs = jobs.iter().filter(is_in).cloned().collect();
            self.measure_files(jobs, &benchmark::BRIEF_SIZES, tell, &mut |job, number, answer| {
                // In place of what it did before another ended the child.
                visit.insert(job.implementation(), cells_of(number, answer));
            })?;
            visits.push(visit);
        }
        let best = at_their_best(&visits);
        for job in jobs {
            self.note(job, best.get(&job.implementation()).map_or(&[], Vec::as_slice), &[]);
        }
        Ok(())
    }

    /// `job` with those of its levels that were measured in a moment.
    fn momentary(&self, job: &Job, has_rivals: bool) -> Option<Job> {
        let report = self.current(&job.entry);
        let codec = &report.codecs[job.codec];
        let is_momentary = |level: &&i32| {
            benchmark::is_momentary(&codec.cells, **level, has_rivals || **level == FAST_LEVEL)
        };
        let levels: Vec<i32> = job.levels.iter().filter(is_momentary).copied().collect();
        (is_usable(&report, job.codec) && !levels.is_empty()).then(|| Job { levels, ..job.clone() })
    }

    /// Measures `jobs` in a child, and gives `note` each with its number, and the answer. One that ends the child is out, and the others start anew.
    fn measure_files(
        &self,
        mut jobs: Vec<Job>,
        sizes: &[usize],
        tell: &dyn Fn(&str),
        note: &mut dyn FnMut(&Job, usize, &Answer),
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
                        tell(&job.implementation());
                    }
                    _ => {}
                }
                None
            })?;
            for (number, job) in jobs.iter().enumerate() {
                note(job, number, &answer);
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
        let answer = Answer { events, ending: probe::Ending::Complete, stderr: Vec::new() };
        self.note(job, &cells_of(0, &answer), &peaks_of(0, &answer));
    }

    /// Keeps what was measured of `job`: cells, in place of those before, and peak memory by level, in bytes.
    fn note(&self, job: &Job, cells: &[Cell], peaks: &[(i32, u64)]) {
        let mut report = self.current(&job.entry);
        let codec = &mut report.codecs[job.codec];
        let machine = benchmark::machine_key(&codec.info.device);
        merge(codec, machine, cells, peaks);
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
        is_usable(&report, job.codec).then_some(!is_measured)
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

/// Whether neither the plugin nor its codec of that number was found wanting.
fn is_usable(report: &PluginReport, codec: usize) -> bool {
    report.verdict.is_ok() && report.codecs[codec].verdict.is_ok()
}

/// The cells of contender `number`.
fn cells_of(number: usize, answer: &Answer) -> Vec<Cell> {
    let cell = |event: &Event| match event {
        Event::Cell { contender, cell } if *contender == number => Some(cell.clone()),
        _ => None,
    };
    answer.events.iter().filter_map(cell).collect()
}

/// The peak memory of contender `number`, by level, in bytes.
fn peaks_of(number: usize, answer: &Answer) -> Vec<(i32, u64)> {
    let peak = |event: &Event| match event {
        Event::Peak { contender, level, bytes } if *contender == number => Some((*level, *bytes)),
        _ => None,
    };
    answer.events.iter().filter_map(peak).collect()
}

/// Takes over what was measured.
fn merge(codec: &mut CodecReport, machine: String, cells: &[Cell], peaks: &[(i32, u64)]) {
    if codec.machine != machine {
        codec.cells.clear();
        codec.peak_bytes.clear();
        codec.machine = machine;
    }
    cells.iter().for_each(|new| merge_cell(&mut codec.cells, new));
    for (level, bytes) in peaks {
        match codec.peak_bytes.iter_mut().find(|(l, _)| l == level) {
            Some((_, peak)) => *peak = (*peak).max(*bytes),
            None => codec.peak_bytes.push((*level, *bytes)),
        }
    }
}

fn merge_cell(cells: &mut Vec<Cell>, new: &Cell) {
    let is_same = |c: &&mut Cell| c.level == new.level && c.kind == new.kind && c.bytes == new.bytes;
    match cells.iter_mut().find(is_same) {
        Some(old) => *old = new.clone(),
        None => cells.push(new.clone()),
    }
}

/// What one visit measured, by implementation.
type Visit = BTreeMap<String, Vec<Cell>>;

/// Of several visits, by kind and size what was measured in the one in which all were the fastest together. Not each by its own fastest: where other
/// work shares a processor's caches, some are slower by a third and others hardly, so that they compare only within a visit.
fn at_their_best(visits: &[Visit]) -> Visit {
    let cells = visits.iter().flat_map(BTreeMap::values).flatten();
    let keys: BTreeSet<(&str, u64)> = cells.map(|c| (c.kind.as_str(), c.bytes)).collect();
    let mut best = Visit::new();
    for key in keys {
        let by_visit: Vec<Beside<'_>> = visits.iter().map(|visit| beside(visit, key)).collect();
        for (id, cell) in best_of(&by_visit) {
            best.entry(id).or_default().push(cell);
        }
    }
    best
}

/// What one visit measured of one kind and size.
type Beside<'a> = Vec<(&'a String, &'a Cell)>;

fn beside<'a>(visit: &'a Visit, key: (&str, u64)) -> Beside<'a> {
    let all = visit.iter().flat_map(|(id, cells)| cells.iter().map(move |cell| (id, cell)));
    all.filter(|(_, cell)| (cell.kind.as_str(), cell.bytes) == key).collect()
}

fn best_of(visits: &[Beside<'_>]) -> Vec<(String, Cell)> {
    let of = |visit: usize, id: &str, level: i32| {
        visits[visit].iter().find(|(i, cell)| *i == id && cell.level == level).map(|(_, cell)| *cell)
    };
    // Of those that are in all.
    let fastest = |seconds: fn(&Cell) -> f64| {
        let is_in_all = |(id, cell): &&(&String, &Cell)| {
            (0..visits.len()).all(|visit| of(visit, id, cell.level).is_some())
        };
        let logs = |visit: usize| -> f64 {
            visits[visit].iter().filter(is_in_all).map(|(_, cell)| seconds(cell).ln()).sum()
        };
        (0..visits.len()).min_by(|x, y| logs(*x).total_cmp(&logs(*y))).unwrap_or_default()
    };
    let (compress, decompress) = (fastest(|c| c.compress_s), fastest(|c| c.decompress_s));
    let merged = |(id, latest): &(&String, &Cell)| {
        let [compress, decompress] =
            [compress, decompress].map(|visit| of(visit, id, latest.level).unwrap_or(latest));
        let Cell { decompress_s, decompress_mad_s, .. } = *decompress;
        ((*id).clone(), Cell { decompress_s, decompress_mad_s, ..compress.clone() })
    };
    visits.last().into_iter().flatten().map(merged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(level: i32, compress_s: f64, decompress_s: f64) -> Cell {
        Cell {
            level,
            kind: "text".into(),
            bytes: 4096,
            compressed_bytes: 1000,
            compress_s,
            compress_mad_s: compress_s / 10.0,
            decompress_s,
            decompress_mad_s: decompress_s / 10.0,
        }
    }

    #[test]
    fn what_is_measured_anew_replaces_what_was() {
        let mut cells = vec![cell(1, 2.0, 1.0)];
        merge_cell(&mut cells, &cell(1, 3.0, 1.0));
        merge_cell(&mut cells, &cell(2, 1.0, 1.0));
        assert_eq!(cells, [cell(1, 3.0, 1.0), cell(2, 1.0, 1.0)]);
    }

    #[test]
    fn of_visits_that_counts_in_which_all_were_the_fastest_together() {
        let text = |compress_s, decompress_s| cell(1, compress_s, decompress_s);
        let log = |compress_s, decompress_s| Cell { kind: "log".into(), ..text(compress_s, decompress_s) };
        let visit = |all: &[(&str, Vec<Cell>)]| -> Visit {
            all.iter().map(|(id, cells)| ((*id).to_owned(), cells.clone())).collect()
        };
        let visits = [
            // b is lucky in the first visit, where all are slow, but for decompression.
            visit(&[
                ("a", vec![text(3.0, 1.0), log(3.0, 1.0)]),
                ("b", vec![text(1.9, 1.0)]),
                ("c", vec![text(9.0, 1.0)]),
            ]),
            visit(&[
                ("a", vec![text(2.0, 2.0), log(4.0, 2.0)]),
                ("b", vec![text(2.0, 0.9)]),
                ("c", vec![text(6.0, 2.0)]),
            ]),
            visit(&[
                ("a", vec![text(2.5, 2.0), log(4.0, 2.0)]),
                ("b", vec![text(2.5, 2.0)]),
                ("d", vec![log(0.1, 0.1)]),
            ]),
        ];
        // What is out by then is not told of, and who came late says nothing about the others.
        let best = visit(&[
            ("a", vec![log(3.0, 1.0), text(2.0, 1.0)]),
            ("b", vec![text(2.0, 1.0)]),
            ("d", vec![log(0.1, 0.1)]),
        ]);
        assert_eq!(at_their_best(&visits), best);
        assert_eq!(at_their_best(&[]), Visit::new());
    }
}
