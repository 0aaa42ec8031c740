//! What is installed, healthy, and how it measured.
//!
//! [`Registry::scan`] turns folders into a [`Snapshot`]: search, trust, private copy, static check, then, only for
//! files not seen before, probe and conformance in child processes. Nothing is loaded into this process until it is used.

pub(crate) mod cache;
pub(crate) mod elf;
pub(crate) mod load;
mod measure;
mod prove;
pub(crate) mod report;
mod search;
pub(crate) mod trust;

use crate::{
    Config, Error, Result,
    config::SearchDir,
    probe::{CaseResult, Helper, protocol::Peer},
};
use cache::{Cache, FileIdentity, Index};
use clipsmaster_plugin_api::abi::import;
use report::{CodecReport, PluginInfo, PluginReport, State, Verdict};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, RwLock},
    thread,
};
use trust::TrustCheck;

/// What a long scan is doing, for those who show it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// Plugins are proven: how many of how many are done, and which one was last.
    Proving {
        /// Done so far.
        done: usize,
        /// In all.
        total: usize,
        /// Name of the plugin.
        name: String,
    },
    /// Implementations are measured.
    Measuring {
        /// Done so far.
        done: usize,
        /// In all.
        total: usize,
        /// Name of the implementation now measured.
        name: String,
    },
}

/// Outcomes of the conformance cases, by implementation.
pub type CasesOf = Vec<(String, Vec<CaseResult>)>;

/// Receives [`Progress`].
pub type ProgressFn<'a> = &'a (dyn Fn(Progress) + Sync);

/// A plugin file (or a codec the application brought), what is known about it, and its code once it is used.
#[derive(Debug)]
pub struct Entry {
    /// Where it was found.
    pub path: PathBuf,
    /// BLAKE3 of its bytes, in hexadecimal; empty when it was not read.
    pub hash: String,
    /// What is known about it.
    pub report: PluginReport,
    /// What is loaded: the private copy.
    library: PathBuf,
    loaded: Arc<OnceLock<Result<import::Plugin, String>>>,
    /// Held during calls of codecs that are not concurrent.
    pub(crate) serial: Arc<Mutex<()>>,
}

impl Entry {
    /// The codec at `index`, loading the library if it is not yet.
    ///
    /// # Errors
    /// Why it cannot be loaded.
    pub(crate) fn codec(&self, index: usize) -> Result<import::Codec, String> {
        let plugin = self.loaded.get_or_init(|| load::load(&self.library)).clone()?;
        plugin.codec(index).ok_or_else(|| "the library has changed since it was proven".into())
    }

    /// The state of one codec: the file's, unless that is `Ok`.
    pub fn verdict<'a>(&'a self, codec: &'a CodecReport) -> &'a Verdict {
        if self.report.verdict.is_ok() { &codec.verdict } else { &self.report.verdict }
    }

    fn with_report(&self, report: PluginReport) -> Self {
        Self {
            path: self.path.clone(),
            hash: self.hash.clone(),
            report,
            library: self.library.clone(),
            loaded: Arc::clone(&self.loaded),
            serial: Arc::clone(&self.serial),
        }
    }
}

/// All that was found, in search order.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Plugins, usable or not.
    pub entries: Vec<Arc<Entry>>,
    /// Folders that were searched.
    pub searched: Vec<SearchDir>,
}

/// The registry behind a host.
#[derive(Debug)]
pub(crate) struct Registry {
    config: Config,
    cache: Cache,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Codecs the application brought; they come first in every snapshot.
    registered: Mutex<Vec<Arc<Entry>>>,
    /// Hashes that were in any snapshot: somebody may still hold an entry of it and load its library.
    held: Mutex<BTreeSet<String>>,
    /// One scan at a time.
    scanning: Mutex<()>,
}

/// A file that passed trust and the static check, and needs a proof.
struct Unproven {
    entry: usize,
    info: PluginInfo,
    strikes: u32,
}

impl Registry {
    pub(crate) fn new(config: Config) -> Result<Self> {
        let cache = Cache::open(config.cache_dir.as_deref())
            .map_err(Error::io("create a cache folder in", std::env::temp_dir()))?;
        Ok(Self {
            config,
            cache,
            snapshot: RwLock::default(),
            registered: Mutex::default(),
            held: Mutex::default(),
            scanning: Mutex::default(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What is installed now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(snapshot);
    }

    /// Searches the folders, proves what is new, and publishes the result.
    ///
    /// # Errors
    /// When something must be proven and there is no helper to do it.
    pub(crate) fn scan(&self, progress: ProgressFn<'_>) -> Result<()> {
        let _one = lock(&self.scanning);
        let searched = self.config.search_dirs();
        // Where that fails, keeping copies fails too, and says why.
        let _ = self.cache.restore();
        let known = self.cache.index();
        let mut index = known.clone();
        let mut entries = Vec::new();
        let mut unproven = Vec::new();
        let availability = availability();
        let mut check = TrustCheck::new(self.config.trust);
        let allowlist = self.allowlist();
        for path in searched.iter().flat_map(search::libraries) {
            let (entry, info) = self.examine(&path, &mut check, &allowlist, &mut index);
            let stale = entry.report.verdict.is_ok() && entry.report.codecs.is_empty()
                || prove::is_stale(&entry.report, &availability);
            if stale && !entry.hash.is_empty() {
                let strikes = entry.report.strikes;
                unproven.push(Unproven { entry: entries.len(), info, strikes });
            }
            entries.push(entry);
        }
        if !unproven.is_empty() {
            self.prove_all(&mut entries, unproven, &availability, progress)?;
        }
        let mut held = lock(&self.held);
        held.extend(entries.iter().map(|e| e.hash.clone()));
        // A cache that cannot be written costs time at the next start, nothing else.
        let _ = self.cache.update_index(&index, &known, &held);
        drop(held);
        let before = self.snapshot();
        let files = entries.into_iter().map(|e| keep_loaded(e, &before));
        let all: Vec<Entry> =
            lock(&self.registered).iter().map(|e| e.with_report(e.report.clone())).chain(files).collect();
        let entries = shadow(all).into_iter().map(Arc::new).collect();
        self.publish(Snapshot { entries, searched });
        Ok(())
    }

    /// Everything about one file that needs no child: trust, hash, private copy, static check, stored report.
    fn examine(
        &self,
        path: &Path,
        check: &mut TrustCheck,
        allowlist: &[String],
        index: &mut Index,
    ) -> (Entry, PluginInfo) {
        let rejected = |verdict: Verdict| {
            let info = PluginInfo { id: file_id(path), ..PluginInfo::default() };
            (self.entry(path, String::new(), PluginReport::unloaded(info.clone(), verdict)), info)
        };
        let mut file = match check.open(path) {
            Ok(file) => file,
            Err(refused) => return rejected(refused),
        };
        let (hash, bytes) = match self.hash(path, &mut file, index) {
            Ok(found) => found,
            Err(e) => {
                let why = format!("cannot be read or copied to the cache: {e}");
                return rejected(Verdict::new(State::Failed, why, "check the disk and the cache folder"));
            }
        };
        if self.config.trust == crate::config::Trust::Allowlist && !allowlist.contains(&hash) {
            let remedy = format!("add the line {hash} to the file `allowlist` in the configuration folder");
            return rejected(Verdict::new(State::Refused, "is not in the allowlist", remedy));
        }
        if let Some(report) = self.cache.report(&hash) {
            let info = report.info.clone();
            return (self.entry(path, hash, report), info);
        }
        // Without a report the bytes are needed once more, also when the file's identity was known.
        let bytes = bytes.map_or_else(|| fs::read(self.library(path, &hash)), Ok).unwrap_or_default();
        match elf::examine(&bytes) {
            Ok(info) => {
                let info = if info.id.is_empty() { PluginInfo { id: file_id(path), ..info } } else { info };
                let report = PluginReport::unloaded(info.clone(), Verdict::ok());
                (self.entry(path, hash, report), info)
            }
            Err(verdict) => rejected(verdict),
        }
    }

    fn hash(
        &self,
        path: &Path,
        file: &mut File,
        index: &mut Index,
    ) -> std::io::Result<(String, Option<Vec<u8>>)> {
        let identity = FileIdentity::of(file)?;
        if let Some(hash) = index.hash(path, &identity).map(str::to_owned)
            && (self.cache.has_copy(&hash, index) || !self.cache.is_executable())
        {
            return Ok((hash, None));
        }
        let (bytes, hash) = self.cache.keep_copy(file, index)?;
        index.insert(path.to_owned(), identity, hash.clone());
        Ok((hash, Some(bytes)))
    }

    /// What is loaded for a file: its private copy, or the file itself where copies cannot be executed.
    fn library(&self, path: &Path, hash: &str) -> PathBuf {
        if self.cache.is_executable() { self.cache.copy_path(hash) } else { path.to_owned() }
    }

    fn entry(&self, path: &Path, hash: String, report: PluginReport) -> Entry {
        let library = self.library(path, &hash);
        Entry { path: path.to_owned(), hash, report, library, loaded: Arc::default(), serial: Arc::default() }
    }

    fn allowlist(&self) -> Vec<String> {
        let path = self.config.config_dir.as_ref().map(|d| d.join("allowlist"));
        let text = path.and_then(|p| fs::read_to_string(p).ok()).unwrap_or_default();
        text.lines().filter_map(|l| l.split_whitespace().next().map(str::to_owned)).collect()
    }

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
    fn prove_all(
        &self,
        entries: &mut [Entry],
        unproven: Vec<Unproven>,
        availability: &str,
        progress: ProgressFn<'_>,
    ) -> Result<()> {
        let helper = self.helper()?;
        let _lock = self.cache.lock().map_err(Error::io("lock", self.cache.root()))?;
        let total = unproven.len();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let jobs: Vec<(usize, PathBuf, String, PluginInfo, u32)> = unproven
            .into_iter()
            .map(|u| {
                let e = &entries[u.entry];
                (u.entry, e.library.clone(), e.hash.clone(), u.info, u.strikes)
            })
            .collect();
        // First who they are: only then is it known who is the reference for whom.
        let described = in_parallel(&jobs, |(_, library, hash, info, strikes)| {
            // Another host may have proven it while this one waited for the lock.
            if let Some(report) = self.cache.report(hash)
                && !prove::is_stale(&report, availability)
            {
                return Ok((report, true));
            }
            let (_mark, strikes) = self.cache.begin_probe(hash, *strikes);
            if let Some(report) = prove::after_lost_probe(info.clone(), strikes) {
                return Ok((report, false));
            }
            prove::describe(&helper, library, info.clone(), strikes).map(|r| (r, false))
        });
        let mut waiting = Vec::new();
        for ((entry, library, hash, ..), outcome) in jobs.into_iter().zip(described) {
            let (report, is_done) = outcome?;
            entries[entry].report = report;
            if is_done {
                continue;
            }
            waiting.push((entry, library, hash));
        }
        let is_first =
            |entry: usize, entries: &[Entry]| entries[entry].report.codecs.iter().any(prove::is_reference);
        let (first, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(entry, ..)| is_first(*entry, entries));
        let mut unproven: BTreeSet<usize> = first.iter().chain(&rest).map(|(entry, ..)| *entry).collect();
        for wave in [first, rest] {
            let peers = peers(entries, &unproven);
            let reports = in_parallel(&wave, |(entry, library, hash)| {
                let mut report = entries[*entry].report.clone();
                let (_mark, _) = self.cache.begin_probe(hash, report.strikes);
                for codec in 0..report.codecs.len() {
                    if !report.verdict.is_ok() || !report.codecs[codec].verdict.is_ok() {
                        continue;
                    }
                    let algorithm = &report.codecs[codec].info.algorithm;
                    let peers = peers.get(algorithm).cloned().unwrap_or_default();
                    prove::conform(&helper, library, &mut report, codec, peers)?;
                }
                report.availability = availability.to_owned();
                // Written at once: a crash of this host later does not cost the work done.
                let _ = self.cache.store_report(hash, &report);
                let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                progress(Progress::Proving { done, total, name: report.info.id.clone() });
                Ok(report)
            });
            for ((entry, ..), report) in wave.into_iter().zip(reports) {
                entries[entry].report = report?;
                unproven.remove(&entry);
            }
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
            let peers = others.flat_map(|e| peers_of(e)).filter(|(a, _)| *a == algorithm).map(|(_, p)| p);
            let peers = peers.collect();
            cases.push((id, prove::conform(&helper, &path, &mut report, codec, peers)?));
        }
        Ok((report, cases))
    }

    /// Adds a codec of the application's own, proven in this process: it is the application's code already.
    pub(crate) fn register(&self, plugin: import::Plugin) -> Result<()> {
        let info = PluginInfo::from(plugin.manifest());
        let mut report = PluginReport::unloaded(info, Verdict::ok());
        let peers_known = self.snapshot();
        for codec in plugin.codecs() {
            let info = report::CodecInfo::new(&codec);
            let algorithm = info.algorithm.clone();
            report.codecs.push(CodecReport {
                info,
                verdict: Verdict::ok(),
                machine: String::new(),
                cells: Vec::new(),
                peak_bytes: Vec::new(),
            });
            let peers: Vec<(String, import::Codec)> = peers_known
                .entries
                .iter()
                .flat_map(|e| {
                    let codecs = e.report.codecs.iter().filter(|c| e.verdict(c).is_ok());
                    codecs
                        .filter(|c| c.info.algorithm == algorithm && prove::is_reference(c))
                        .filter_map(|c| Some((c.info.implementation(), e.codec(c.info.index).ok()?)))
                })
                .collect();
            let mut cases = Vec::new();
            crate::validate::conform(codec, &peers, &mut |event| {
                if let crate::probe::protocol::Event::Case(case) = event {
                    cases.push(case);
                }
            });
            prove::judge(&mut report, codec.index(), &cases);
            if let Some(bad) =
                [&report.verdict, &report.codecs[codec.index()].verdict].into_iter().find(|v| !v.is_ok())
            {
                return Err(Error::Usage(format!("the codec does not keep the contract: {}", bad.reason)));
            }
        }
        let loaded = Arc::new(OnceLock::from(Ok(plugin)));
        let hash = format!("in-process-{}-{}", report.info.id, report.info.version);
        let entry = Entry {
            path: PathBuf::new(),
            hash,
            report,
            library: PathBuf::new(),
            loaded,
            serial: Arc::default(),
        };
        lock(&self.registered).push(Arc::new(entry));
        let before = self.snapshot();
        let registered = lock(&self.registered).clone();
        let entries = registered.iter().map(|e| e.with_report(e.report.clone()));
        let files = before.entries.iter().filter(|e| !e.path.as_os_str().is_empty());
        let all: Vec<Entry> = entries.chain(files.map(|e| e.with_report(e.report.clone()))).collect();
        let entries = shadow(all).into_iter().map(Arc::new).collect();
        self.publish(Snapshot { entries, searched: before.searched.clone() });
        Ok(())
    }

    /// Takes over what was measured, and a verdict that measuring led to, into the entry with that hash.
    fn update(&self, hash: &str, report: &PluginReport) {
        let mut snapshot = (*self.snapshot()).clone();
        for entry in snapshot.entries.iter_mut().filter(|e| e.hash == hash) {
            let mut merged = entry.report.clone();
            if merged.verdict.is_ok() {
                merged.verdict.clone_from(&report.verdict);
            }
            for (old, new) in merged.codecs.iter_mut().zip(&report.codecs) {
                let verdict = old.verdict.clone();
                *old = CodecReport { verdict, ..new.clone() };
            }
            *entry = Arc::new(entry.with_report(merged));
        }
        self.publish(snapshot);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An entry that is loaded already stays loaded.
fn keep_loaded(entry: Entry, before: &Snapshot) -> Entry {
    let same = before.entries.iter().find(|b| b.hash == entry.hash && b.library == entry.library);
    match same {
        Some(old) => {
            let (loaded, serial) = (Arc::clone(&old.loaded), Arc::clone(&old.serial));
            Entry { loaded, serial, ..entry }
        }
        None => entry,
    }
}

/// The first usable plugin of an id, and the first usable implementation of a name, wins; later ones are marked.
fn shadow(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut ids: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut implementations: BTreeMap<String, String> = BTreeMap::new();
    for entry in &mut entries {
        if !entry.report.verdict.is_ok() {
            continue;
        }
        if let Some(first) = ids.get(&entry.report.info.id) {
            let why = format!("plugin `{}` was found first in {}", entry.report.info.id, first.display());
            entry.report.verdict = Verdict::new(State::Shadowed, why, "remove one of the two files");
            continue;
        }
        ids.insert(entry.report.info.id.clone(), entry.path.clone());
        for codec in entry.report.codecs.iter_mut().filter(|c| c.verdict.is_ok()) {
            let id = codec.info.implementation();
            match implementations.get(&id) {
                Some(first) => {
                    let why = format!("plugin `{first}` offers the same implementation and was found first");
                    codec.verdict = Verdict::new(State::Shadowed, why, "remove one of the two plugins");
                }
                None => {
                    implementations.insert(id, entry.report.info.id.clone());
                }
            }
        }
    }
    entries
}

/// Proven implementations to cross-decode with: per algorithm the reference, or else the first proven one. Never one of the
/// `unproven`, also when it looks good so far: it would take a good one down with it.
fn peers(entries: &[Entry], unproven: &BTreeSet<usize>) -> BTreeMap<String, Vec<Peer>> {
    let mut found: BTreeMap<String, Vec<Peer>> = BTreeMap::new();
    let proven = entries.iter().enumerate().filter(|(i, _)| !unproven.contains(i));
    for (algorithm, peer) in proven.flat_map(|(_, e)| peers_of(e)) {
        found.entry(algorithm).or_default().push(peer);
    }
    for list in found.values_mut() {
        let is_reference = |p: &Peer| {
            let mut parts = p.implementation.split('/');
            let (algorithm, library) =
                (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
            crate::algorithm::is_reference(algorithm, library)
        };
        list.sort_by_key(|p| !is_reference(p));
        list.truncate(1);
    }
    found
}

fn peers_of(entry: &Entry) -> Vec<(String, Peer)> {
    let usable = entry.report.codecs.iter().filter(|c| entry.verdict(c).is_ok());
    let usable = usable.filter(|_| !entry.library.as_os_str().is_empty());
    usable
        .map(|c| {
            let implementation = c.info.implementation();
            let peer = Peer { library: entry.library.clone(), codec: c.info.index, implementation };
            (c.info.algorithm.clone(), peer)
        })
        .collect()
}

/// Runs `work` on all `jobs`, as many at a time as there are processors; answers in the order of the jobs.
fn in_parallel<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<T>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(job) = jobs.get(i) else { return };
                    *lock(&slots[i]) = Some(work(job));
                }
            });
        }
    });
    let answer = |slot: Mutex<Option<T>>| {
        let inner = slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.expect("every job was taken by a worker")
    };
    slots.into_iter().map(answer).collect()
}

/// What a device's presence depends on: the boot, the dynamic loader's cache, the device files.
fn availability() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let loader = fs::metadata("/etc/ld.so.cache").map(|m| (m.mtime(), m.mtime_nsec())).unwrap_or_default();
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut devices: Vec<_> = entries.map(|e| e.file_name()).collect();
    devices.sort();
    let nvcomp = std::env::var_os("CLIPSMASTER_NVCOMP").unwrap_or_default();
    let text = format!("{boot}{loader:?}{devices:?}{nvcomp:?}");
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// Name of a plugin that could not tell its own.
fn file_id(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.strip_prefix("libclipsmaster_plugin_").or(stem.strip_prefix("lib")).unwrap_or(&stem);
    stem.to_owned()
}
