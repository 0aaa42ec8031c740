//! Has plugins proven: files in child processes, the application's own codecs in this one.

use super::{
    Entry, Progress, ProgressFn, Registry,
    cache::ProbeMark,
    elf, prove,
    report::{CodecInfo, CodecReport, PluginInfo, PluginReport, Verdict},
};
use crate::{
    Error, Result,
    probe::{Helper, protocol::Peer},
    sync::lock,
    validate::{self, CaseResult, Told},
};
use clipsmaster_plugin_api::abi::import;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Outcomes of the conformance cases, by implementation.
pub type CasesOf = Vec<(String, Vec<CaseResult>)>;

/// A file that passed trust and the static check, and needs a proof.
pub(super) struct Unproven {
    /// Its place among the entries.
    pub entry: usize,
    pub library: PathBuf,
    pub hash: String,
    /// Who it says it is, by its manifest section.
    pub info: PluginInfo,
    /// Timeouts so far.
    pub strikes: u32,
}

impl Registry {
    /// The program that probes plugins.
    pub(crate) fn helper(&self) -> Result<Helper> {
        let dirs: Vec<PathBuf> = self.config.search_dirs().into_iter().map(|d| d.path).collect();
        let helper = Helper::find(self.config.probe_helper.as_deref(), &dirs)?;
        Ok(match self.config.probe_patience {
            Some(patience) => helper.with_patience(patience),
            None => helper,
        })
    }

    /// Proves files under the cache's lock, references first, the others against them; several at a time.
    pub(super) fn prove_all(
        &self,
        entries: &mut [Entry],
        unproven: Vec<Unproven>,
        availability: &str,
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        let helper = self.helper()?;
        let _lock = self.cache.lock().map_err(Error::io("lock", self.cache.root()))?;
        let total = unproven.len();
        // First who they are: only then is it known who is the reference for whom.
        let described = in_parallel(&unproven, |u| self.describe(&helper, u, availability));
        let mut waiting = Vec::new();
        for (file, outcome) in unproven.into_iter().zip(described) {
            let (report, mark) = outcome?;
            entries[file.entry].report = report;
            waiting.extend(mark.map(|mark| (file, mark)));
        }
        let is_first = |file: &Unproven, entries: &[Entry]| {
            entries[file.entry].report.codecs.iter().any(prove::is_reference)
        };
        let (first, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(file, _)| is_first(file, entries));
        let mut unproven: BTreeSet<usize> = first.iter().chain(&rest).map(|(file, _)| file.entry).collect();
        let done = AtomicUsize::new(total - unproven.len());
        for wave in [first, rest] {
            let peers = peers(entries, &unproven);
            let reports = in_parallel(&wave, |(file, _mark)| {
                let mut report = entries[file.entry].report.clone();
                self.conform_all(&helper, file, &mut report, &peers)?;
                report.availability = availability.to_owned();
                // Written at once: a crash of this host later does not cost the work done.
                let _ = self.cache.store_report(&file.hash, &report);
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                progress(Progress::Proving { done, total, name: report.info.id.clone() });
                Ok::<_, Error>(report)
            });
            for ((file, _), report) in wave.into_iter().zip(reports) {
                entries[file.entry].report = report?;
                unproven.remove(&file.entry);
            }
        }
        Ok(())
    }

    /// Who a file is; and a mark to hold while it is proven, unless another host has done that already.
    fn describe(
        &self,
        helper: &Helper,
        file: &Unproven,
        availability: &str,
    ) -> Result<(PluginReport, Option<ProbeMark>)> {
        // Another host may have proven it while this one waited for the lock.
        if let Some(report) = self.cache.report(&file.hash)
            && !prove::is_stale(&report, availability)
        {
            return Ok((report, None));
        }
        let (mark, lost) = self.cache.begin_probe(&file.hash);
        let report = match prove::after_lost_probes(file.info.clone(), lost) {
            Some(quarantined) => quarantined,
            None => prove::describe(helper, &file.library, file.info.clone(), file.strikes)?,
        };
        Ok((report, Some(mark)))
    }

    fn conform_all(
        &self,
        helper: &Helper,
        file: &Unproven,
        report: &mut PluginReport,
        peers: &BTreeMap<String, Vec<Peer>>,
    ) -> Result<()> {
        for codec in 0..report.codecs.len() {
            if report.verdict.is_ok() && report.codecs[codec].verdict.is_ok() {
                let algorithm = &report.codecs[codec].info.algorithm;
                let peers = peers.get(algorithm).cloned().unwrap_or_default();
                prove::conform(helper, &file.library, report, codec, peers)?;
            }
        }
        if report.verdict.is_ok() {
            report.strikes = 0;
        }
        Ok(())
    }

    /// Conformance of one library, with all cases, whatever is cached; against the peers installed.
    pub(crate) fn validate(&self, path: &Path) -> Result<(PluginReport, CasesOf)> {
        let helper = self.helper()?;
        let path = path.canonicalize().map_err(Error::io("read", path))?;
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let info = match elf::examine(&bytes) {
            Ok(info) => info,
            Err(verdict) => return Ok((PluginReport::unloaded(PluginInfo::default(), verdict), Vec::new())),
        };
        let snapshot = self.snapshot();
        let own = blake3::hash(&bytes).to_hex().to_string();
        let mut report = prove::describe(&helper, &path, info, 0)?;
        let mut cases = Vec::new();
        for codec in 0..report.codecs.len() {
            if !report.verdict.is_ok() || !report.codecs[codec].verdict.is_ok() {
                continue;
            }
            let id = report.codecs[codec].info.implementation();
            let algorithm = report.codecs[codec].info.algorithm.clone();
            let others = snapshot.entries.iter().filter(|e| e.hash != own);
            let peers = others.flat_map(|e| peers_of(e)).filter(|(c, _)| c.info.algorithm == algorithm);
            let peers = peers.map(|(_, peer)| peer).collect();
            cases.push((id, prove::conform(&helper, &path, &mut report, codec, peers)?));
        }
        Ok((report, cases))
    }

    /// Adds a plugin of the application's own, proven in this process, or before it was forked: it is the application's code already.
    pub(crate) fn register(
        &self,
        plugin: import::Plugin,
        proven: Option<PluginReport>,
    ) -> Result<PluginReport> {
        let report = proven.map_or_else(|| self.prove_in_process(plugin), Ok)?;
        let _one = lock(&self.scanning);
        lock(&self.registered).push(Arc::new(Entry::in_process(plugin, report.clone())));
        let before = self.snapshot();
        let files = before.entries.iter().filter(|e| !e.path.as_os_str().is_empty());
        let files = files.map(|e| e.with_report(e.report.clone())).collect();
        self.publish_all(files, before.searched.clone());
        Ok(report)
    }

    fn prove_in_process(&self, plugin: import::Plugin) -> Result<PluginReport> {
        let mut report = PluginReport::unloaded(PluginInfo::from(plugin.manifest()), Verdict::ok());
        for codec in plugin.codecs() {
            report.codecs.push(CodecReport::unproven(CodecInfo::new(&codec)));
            let peers = self.loaded_references(&codec.descriptor().algorithm);
            let mut cases = Vec::new();
            validate::conform(codec, &peers, &mut |told| {
                if let Told::Ended(case) = told {
                    cases.push(case);
                }
            });
            prove::judge(&mut report, codec.index(), &cases);
            let verdicts = [&report.verdict, &report.codecs[codec.index()].verdict];
            if let Some(bad) = verdicts.into_iter().find(|v| !v.is_ok()) {
                return Err(Error::Usage(format!("the codec does not keep the contract: {}", bad.reason)));
            }
        }
        Ok(report)
    }

    /// The proven reference of an algorithm, loaded into this process.
    pub(super) fn loaded_references(&self, algorithm: &str) -> Vec<(String, import::Codec)> {
        let snapshot = self.snapshot();
        let all = snapshot.entries.iter().flat_map(|e| e.report.codecs.iter().map(move |c| (e, c)));
        let references = all
            .filter(|(e, c)| c.info.algorithm == algorithm && e.verdict(c).is_ok() && prove::is_reference(c));
        references.filter_map(|(e, c)| Some((c.info.implementation(), e.codec(c.info.index).ok()?))).collect()
    }
}

/// Proven implementations to cross-decode with: per algorithm the reference, or else the first proven one. Never one of the
/// `unproven`, also when it looks good so far: it would take a good one down with it.
fn peers(entries: &[Entry], unproven: &BTreeSet<usize>) -> BTreeMap<String, Vec<Peer>> {
    let proven = entries.iter().enumerate().filter(|(i, _)| !unproven.contains(i));
    let mut candidates: Vec<_> = proven.flat_map(|(_, e)| peers_of(e)).collect();
    candidates.sort_by_key(|(codec, _)| !prove::is_reference(codec));
    let mut found: BTreeMap<String, Vec<Peer>> = BTreeMap::new();
    for (codec, peer) in candidates {
        found.entry(codec.info.algorithm.clone()).or_insert_with(|| vec![peer]);
    }
    found
}

/// The usable codecs of a plugin that a child process can load.
pub(super) fn peers_of(entry: &Entry) -> impl Iterator<Item = (&CodecReport, Peer)> {
    let codecs = entry.report.codecs.iter();
    let usable = codecs.filter(|c| entry.verdict(c).is_ok() && !entry.library.as_os_str().is_empty());
    usable.map(|c| {
        let implementation = c.info.implementation();
        (c, Peer { library: entry.library.clone(), codec: c.info.index, implementation })
    })
}

/// Runs `work` on all `jobs`, as many at a time as there are processors; answers in the order of the jobs.
fn in_parallel<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let workers = crate::pipeline::threads(None).min(jobs.len());
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<T>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(i) else { return };
                    *lock(&slots[i]) = Some(work(job));
                }
            });
        }
    });
    let answer = |slot: Mutex<Option<T>>| {
        let inner = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        inner.expect("every job was taken by a worker")
    };
    slots.into_iter().map(answer).collect()
}
