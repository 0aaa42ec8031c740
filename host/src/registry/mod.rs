//! What is installed, healthy, and how it measured.
//!
//! [`Registry::scan`] turns folders into a [`Snapshot`]: search, trust, private copy, static check, then, only for
//! files not seen before, probe and conformance in child processes. Nothing is loaded into this process until it is used.

pub(crate) mod cache;
mod cells;
pub(crate) mod elf;
pub(crate) mod load;
mod measure;
mod prove;
mod proving;
pub(crate) mod report;
mod search;
pub(crate) mod trust;

use crate::{Config, Error, Result, config::SearchDir, sync::lock};
pub use cells::Cells;
pub use proving::CasesOf;

use cache::{Cache, FileIdentity, Index};
use clipsmaster_plugin_api::abi::import;
use proving::Unproven;
use report::{CodecReport, PluginInfo, PluginReport, State, Verdict};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, RwLock},
};
use trust::TrustCheck;
use twox_hash::XxHash3_128;

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

    /// An entry for a plugin that lives in this program.
    fn in_process(plugin: import::Plugin, report: PluginReport) -> Self {
        Self {
            path: PathBuf::new(),
            hash: format!("in-process-{}-{}", report.info.id, report.info.version),
            report,
            library: PathBuf::new(),
            loaded: Arc::new(OnceLock::from(Ok(plugin))),
            serial: Arc::default(),
        }
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

    /// Publishes the application's own codecs and these files, with what shadows what.
    fn publish_all(&self, files: Vec<Entry>, searched: Vec<SearchDir>) {
        let registered = lock(&self.registered).clone();
        let own = registered.iter().map(|e| e.with_report(e.report.clone()));
        let entries = shadow(own.chain(files).collect()).into_iter().map(Arc::new).collect();
        self.publish(Snapshot { entries, searched });
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
                unproven.push(Unproven {
                    entry: entries.len(),
                    library: entry.library.clone(),
                    hash: entry.hash.clone(),
                    strikes: entry.report.strikes,
                    info,
                });
            }
            entries.push(entry);
        }
        if !unproven.is_empty() {
            self.prove_all(&mut entries, unproven, &availability, progress)?;
        }
        let mut held = lock(&self.held);
        held.extend(entries.iter().map(|e| e.hash.clone()));
        let met = entries.iter().filter(|e| !e.hash.is_empty()).map(|e| e.path.as_path()).collect();
        if index != known || known.has_lost(self.cache.root(), &met) {
            // A cache that cannot be written costs time at the next start, nothing else.
            let _ = self.cache.update_index(&index, &known, &held);
        }
        drop(held);
        let before = self.snapshot();
        let files = entries.into_iter().map(|e| keep_loaded(e, &before));
        self.publish_all(files.collect(), searched);
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

    /// Takes over what was measured, and a verdict that measuring led to, into the entry with that hash.
    fn update(&self, hash: &str, report: &PluginReport) {
        let merged = |entry: &mut Arc<Entry>| {
            if entry.hash == hash {
                *entry = Arc::new(entry.with_report(entry.report.with_measurements(report)));
            }
        };
        lock(&self.registered).iter_mut().for_each(merged);
        // Under the lock from reading to writing: a scan may publish meanwhile.
        let mut current = self.snapshot.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut snapshot = (**current).clone();
        snapshot.entries.iter_mut().for_each(merged);
        *current = Arc::new(snapshot);
    }
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

/// Variables that name files of vendor libraries.
const VENDOR_PATHS: [&str; 3] = ["CLIPSMASTER_NVCOMP", "CLIPSMASTER_ISAL", "CLIPSMASTER_QATZIP"];

/// What a variable says, and when the file it names was changed, if there is one.
fn vendor_file(variable: &str) -> Option<(OsString, Option<(i64, i64)>)> {
    let path = std::env::var_os(variable)?;
    let changed = fs::metadata(&path).ok().map(|m| (m.mtime(), m.mtime_nsec()));
    Some((path, changed))
}

/// What a device's presence depends on: the boot, the dynamic loader's cache, the device files that come and go, the vendor libraries named.
fn availability() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let changed = |path| fs::metadata(path).map(|m| (m.mtime(), m.mtime_nsec())).unwrap_or_default();
    let (loader, devices) = (changed("/etc/ld.so.cache"), changed("/dev"));
    let named: Vec<_> = VENDOR_PATHS.iter().map(|variable| vendor_file(variable)).collect();
    let text = format!("{boot}{loader:?}{devices:?}{named:?}");
    format!("{:032x}", XxHash3_128::oneshot(text.as_bytes()))
}

/// Name of a plugin that could not tell its own.
fn file_id(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.strip_prefix("libclipsmaster_plugin_").or(stem.strip_prefix("lib")).unwrap_or(&stem);
    stem.to_owned()
}
