//! What survives between runs: private copies of plugins, reports by content hash, file identities.
//!
//! Layout below the cache folder: `plugins/<hash>.so` (what is loaded), `reports/<hash>.json` (a line without the measurements,
//! then a line for those of each codec), `index.json` (file identity to hash, so that unchanged files are not read again), `probing/<hash>` (the journal: a
//! probe that began, and how often it was lost), `lock`, `benchmark.lock`, `index.lock`, and `in-use`, on which every
//! living host holds a shared lock. Everything is written to a temporary file, synced and renamed; what cannot be read is
//! treated as absent and made anew.

use super::{
    cells::Cells,
    report::{PluginReport, State},
    trust::TrustCheck,
};
use crate::config::Trust;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// About so long is a report without its measurements.
const BRIEF_BYTES: usize = 4 << 10;

/// Identity of a file's content as the file system sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    dev: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl FileIdentity {
    /// Identity of an open file.
    ///
    /// # Errors
    /// When it cannot be examined.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|m| Self::new(&m))
    }

    /// Identity of the file that `path` names, or leads to.
    ///
    /// # Errors
    /// When there is none, or it cannot be examined.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|m| Self::new(&m))
    }

    fn new(m: &fs::Metadata) -> Self {
        Self {
            dev: m.dev(),
            inode: m.ino(),
            size: m.size(),
            mtime: (m.mtime(), m.mtime_nsec()),
            ctime: (m.ctime(), m.ctime_nsec()),
        }
    }
}

/// Known files: path to identity and hash. Holds the plugins found and the private copies of them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Index {
    files: BTreeMap<PathBuf, (FileIdentity, String)>,
}

impl Index {
    /// Hash of the file at `path`, if it is still the file that was hashed.
    pub(crate) fn hash(&self, path: &Path, identity: &FileIdentity) -> Option<&str> {
        self.files.get(path).filter(|(known, _)| known == identity).map(|(_, hash)| hash.as_str())
    }

    /// Remembers the hash of a file.
    pub(crate) fn insert(&mut self, path: PathBuf, identity: FileIdentity, hash: String) {
        self.files.insert(path, (identity, hash));
    }

    /// Forgets files that are gone.
    pub(crate) fn prune(&mut self) {
        self.files.retain(|path, _| path.exists());
    }

    /// Takes over what `learnt` has and `known` had not.
    fn merge(&mut self, learnt: &Self, known: &Self) {
        let new = learnt.files.iter().filter(|(path, file)| known.files.get(*path) != Some(file));
        self.files.extend(new.map(|(path, file)| (path.clone(), file.clone())));
    }

    /// Whether a known file outside of `folder` is gone, leaving aside those just `met`. Others that were not met may be of another set.
    pub(crate) fn has_lost(&self, folder: &Path, met: &BTreeSet<&Path>) -> bool {
        let is_lost = |path: &Path| !path.starts_with(folder) && !met.contains(path) && !path.exists();
        self.files.keys().any(|path| is_lost(path))
    }

    /// Hashes of all known files outside of `folder`.
    pub(crate) fn hashes_outside(&self, folder: &Path) -> BTreeSet<&str> {
        let outside = self.files.iter().filter(|(path, _)| !path.starts_with(folder));
        outside.map(|(_, (_, hash))| hash.as_str()).collect()
    }
}

/// The cache folder.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Why it is a temporary one, removed with the value; `None` for the proper folder.
    temporary: Option<String>,
    /// Locked, shared, while this host lives: nobody else may remove copies that it may still load.
    in_use: File,
    is_executable: OnceLock<bool>,
}

impl Drop for Cache {
    fn drop(&mut self) {
        if self.temporary.is_some() {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

impl Cache {
    /// Opens or makes the folder; without one, or where it cannot be used, a temporary one.
    ///
    /// # Errors
    /// When not even a temporary folder can be made.
    pub(crate) fn open(root: Option<&Path>) -> io::Result<Self> {
        let why_not = match root.map(|root| (root, Self::prepare(root))) {
            Some((root, Ok(in_use))) => {
                return Ok(Self {
                    root: root.to_owned(),
                    temporary: None,
                    in_use,
                    is_executable: OnceLock::new(),
                });
            }
            Some((root, Err(e))) => format!("{}: {e}", root.display()),
            None => "no cache folder is configured".to_owned(),
        };
        let unique = format!("clipsmaster-{}-{}", std::process::id(), unique_number());
        let root = std::env::temp_dir().join(unique);
        // Not if it exists: in a folder that all may write, somebody else may have made it.
        DirBuilder::new().mode(0o700).create(&root)?;
        let in_use = Self::prepare(&root)?;
        Ok(Self { root, temporary: Some(why_not), in_use, is_executable: OnceLock::new() })
    }

    fn prepare(root: &Path) -> io::Result<File> {
        make_folders(root)?;
        // What lies here is loaded: the rule for plugins holds for it too.
        TrustCheck::new(Trust::Owner).folder(root).map_err(io::Error::other)?;
        // Probing whether it can be written: a read-only cache would fail at every step later.
        rustix::fs::access(root, rustix::fs::Access::WRITE_OK)?;
        let in_use = open_lock(&root.join("in-use"))?;
        in_use.lock_shared()?;
        Ok(in_use)
    }

    /// Makes the folders again where somebody removed them while this host lived.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(crate) fn restore(&self) -> io::Result<()> {
        make_folders(&self.root)
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Why the folder is one that is forgotten when the host ends; `None` for the proper one.
    pub(crate) fn why_temporary(&self) -> Option<&str> {
        self.temporary.as_deref()
    }

    /// The file identities known; empty when the record is damaged.
    pub(crate) fn index(&self) -> Index {
        read_json(&self.root.join("index.json")).unwrap_or_default()
    }

    /// Stores what a scan `learnt` beyond what was `known` before it, then removes what no file has any more; `held` are
    /// hashes that this host may still use. Other hosts may have stored what they learnt in the meantime.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn update_index(
        &self,
        learnt: &Index,
        known: &Index,
        held: &BTreeSet<String>,
    ) -> io::Result<()> {
        let _lock = self.lock_file("index.lock")?;
        let stored = self.index();
        let mut index = stored.clone();
        index.merge(learnt, known);
        index.prune();
        if index != stored {
            write_json(&self.root.join("index.json"), &index)?;
        }
        self.prune(&index, held);
        Ok(())
    }

    /// Whether libraries in the folder can be loaded: not where it is mounted `noexec`.
    pub(crate) fn is_executable(&self) -> bool {
        *self.is_executable.get_or_init(|| {
            let flags = rustix::fs::statvfs(&self.root).map(|s| s.f_flag);
            !flags.is_ok_and(|f| f.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
        })
    }

    /// Where the private copy of a plugin lies.
    pub(crate) fn copy_path(&self, hash: &str) -> PathBuf {
        self.root.join("plugins").join(format!("{hash}.so"))
    }

    /// Reads `file` to its end and stores a private copy under its hash; the bytes and the hash.
    ///
    /// # Errors
    /// When the file cannot be read or the copy not written.
    pub(crate) fn keep_copy(&self, file: &mut File, index: &mut Index) -> io::Result<(Vec<u8>, String)> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        let path = self.copy_path(&hash);
        if !self.has_copy(&hash, index) {
            write_atomically(&path, 0o500, &bytes)?;
            index.insert(path.clone(), FileIdentity::of(&File::open(&path)?)?, hash.clone());
        }
        Ok((bytes, hash))
    }

    /// Whether the private copy is there and still what was written.
    pub(crate) fn has_copy(&self, hash: &str, index: &Index) -> bool {
        let path = self.copy_path(hash);
        FileIdentity::at(&path).is_ok_and(|identity| index.hash(&path, &identity) == Some(hash))
    }

    /// What is known about the plugin with that content.
    pub(crate) fn report(&self, hash: &str) -> Option<PluginReport> {
        let path: Arc<Path> = self.report_path(hash).into();
        let mut brief = String::new();
        BufReader::with_capacity(BRIEF_BYTES, File::open(&path).ok()?).read_line(&mut brief).ok()?;
        let mut report: PluginReport = serde_json::from_str(&brief).ok()?;
        for (codec, line) in report.codecs.iter_mut().zip(1..) {
            codec.cells = Cells::stored(Arc::clone(&path), line);
        }
        (report.format == PluginReport::FORMAT).then_some(report)
    }

    /// Stores what is known about a plugin.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn store_report(&self, hash: &str, report: &PluginReport) -> io::Result<()> {
        let mut brief = report.clone();
        brief.codecs.iter_mut().for_each(|codec| codec.cells = Cells::default());
        let mut bytes = serde_json::to_vec(&brief)?;
        for codec in &report.codecs {
            bytes.push(b'\n');
            serde_json::to_writer(&mut bytes, &codec.cells)?;
        }
        write_atomically(&self.report_path(hash), 0o600, &bytes)
    }

    /// Forgets what is known about a plugin, so that it is proven anew.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub(crate) fn forget_report(&self, hash: &str) -> io::Result<()> {
        match fs::remove_file(self.report_path(hash)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn report_path(&self, hash: &str) -> PathBuf {
        self.root.join("reports").join(format!("{hash}.json"))
    }

    /// Hashes of all stored reports.
    pub(crate) fn reports(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join("reports")).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        names.filter_map(|n| n.strip_suffix(".json").map(str::to_owned)).collect()
    }

    /// Removes copies and reports of plugins that no known file has any more, but for the reports on quarantined ones.
    /// While another host lives, nothing: plugins are loaded when they are first used, long after they were found.
    fn prune(&self, index: &Index, held: &BTreeSet<String>) {
        let live = index.hashes_outside(&self.root);
        let is_dead = |hash: &str| !live.contains(hash) && !held.contains(hash);
        let _ = self.in_use.unlock();
        if self.in_use.try_lock().is_ok() {
            for hash in self.reports().iter().filter(|h| is_dead(h)) {
                let quarantined = self.report(hash).is_some_and(|r| r.verdict.state == State::Quarantined);
                if !quarantined {
                    let _ = self.forget_report(hash);
                }
            }
            for copy in fs::read_dir(self.root.join("plugins")).into_iter().flatten().flatten() {
                let path = copy.path();
                // Also what a host that was killed left half written.
                let hash = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                if is_dead(hash) {
                    let _ = fs::remove_file(&path);
                }
            }
        }
        let _ = self.in_use.lock_shared();
    }

    /// Notes that probing begins; the mark goes when the value is dropped, and stays when this process is killed. How
    /// often that has happened in a row.
    pub(crate) fn begin_probe(&self, hash: &str) -> (ProbeMark, u32) {
        let path = self.root.join("probing").join(hash);
        let before: Option<u32> =
            fs::read_to_string(&path).ok().map(|t| t.trim().parse().unwrap_or_default());
        let lost = before.map_or(0, |lost| lost.saturating_add(1));
        let _ = fs::write(&path, lost.to_string());
        (ProbeMark { path }, lost)
    }

    /// Takes the lock under which plugins are probed; other hosts with this cache wait.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub(crate) fn lock(&self) -> io::Result<File> {
        self.lock_file("lock")
    }

    /// Takes the lock under which measurements are made: one at a time on a machine.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub(crate) fn lock_benchmark(&self) -> io::Result<File> {
        self.lock_file("benchmark.lock")
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        let file = open_lock(&self.root.join(name))?;
        file.lock()?;
        Ok(file)
    }
}

fn make_folders(root: &Path) -> io::Result<()> {
    for dir in [root.join("plugins"), root.join("reports"), root.join("probing")] {
        if !dir.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        }
    }
    Ok(())
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Journal entry of a probe in progress.
#[derive(Debug)]
pub(crate) struct ProbeMark {
    path: PathBuf,
}

impl Drop for ProbeMark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn unique_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_atomically(path, 0o600, &serde_json::to_vec(value)?)
}

fn write_atomically(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let name = format!(".{}-{}.tmp", std::process::id(), unique_number());
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::report::{CodecReport, PluginInfo, Verdict};

    #[test]
    fn a_report_survives_and_a_damaged_one_is_absent() {
        let cache = Cache::open(None).expect("temporary cache");
        let verdict = Verdict::new(State::Failed, "why", "what to do");
        let report = PluginReport::unloaded(PluginInfo::default(), verdict);
        cache.store_report("abc", &report).expect("store");
        assert_eq!(cache.report("abc"), Some(report.clone()));
        let path = cache.report_path("abc");
        let bytes = fs::read(&path).expect("read");
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).expect("cut");
            assert_eq!(cache.report("abc"), None);
        }
        fs::write(&path, serde_json::to_vec(&PluginReport { format: 0, ..report }).expect("json"))
            .expect("old format");
        assert_eq!(cache.report("abc"), None);
    }

    #[test]
    fn measurements_survive_and_damaged_ones_are_none() {
        let cache = Cache::open(None).expect("temporary cache");
        let cell = serde_json::json!({
            "level": 1, "kind": "text", "bytes": 4096, "compressed_bytes": 999,
            "compress_s": 2e-6, "compress_mad_s": 0.0, "decompress_s": 1e-6, "decompress_mad_s": 0.0,
        });
        let info = serde_json::json!({
            "index": 0, "algorithm": "a", "hardware": "cpu", "library": "l", "library_version": "1",
            "level_min": 1, "level_max": 1, "level_default": 1, "extension": "", "magic": [], "options": [],
            "max_chunk_bytes": 1, "concurrent": true, "compresses": true, "decompresses": true,
            "safe_on_hostile_input": true, "streams": false,
        });
        let codec = CodecReport::unproven(serde_json::from_value(info).expect("info"));
        let mut report = PluginReport::unloaded(PluginInfo::default(), Verdict::ok());
        report.codecs = vec![codec.clone(), codec];
        report.codecs[1].cells.push(serde_json::from_value(cell).expect("cell"));
        cache.store_report("abc", &report).expect("store");
        assert_eq!(cache.report("abc"), Some(report.clone()));
        let bytes = fs::read(cache.report_path("abc")).expect("read");
        fs::write(cache.report_path("abc"), &bytes[..bytes.len() - 1]).expect("cut");
        report.codecs[1].cells.clear();
        assert_eq!(cache.report("abc"), Some(report), "what it is survives");
    }

    #[test]
    fn a_copy_that_was_changed_is_made_anew() {
        let cache = Cache::open(None).expect("temporary cache");
        let source = cache.root().join("source");
        fs::write(&source, b"library").expect("write");
        let mut index = Index::default();
        let (_, hash) = cache.keep_copy(&mut File::open(&source).expect("open"), &mut index).expect("copy");
        assert!(cache.has_copy(&hash, &index));
        fs::remove_file(cache.copy_path(&hash)).expect("remove");
        fs::write(cache.copy_path(&hash), b"libRary").expect("change");
        assert!(!cache.has_copy(&hash, &index));
        cache.keep_copy(&mut File::open(&source).expect("open"), &mut index).expect("copy");
        assert!(cache.has_copy(&hash, &index));
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let own = Cache::open(None).expect("temporary cache");
        let open_to_all = own.root().join("open");
        fs::create_dir(&open_to_all).expect("folder");
        fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).expect("mode");
        let cache = Cache::open(Some(&open_to_all)).expect("another one");
        assert_ne!(cache.root(), open_to_all);
        assert!(cache.why_temporary().is_some_and(|why| why.contains("writable by everyone")));
    }

    #[test]
    fn a_probe_that_died_leaves_its_mark() {
        let cache = Cache::open(None).expect("temporary cache");
        // Lost again and again: they add up, though no report was ever written.
        for lost in 0..3 {
            let (mark, so_far) = cache.begin_probe("h");
            assert_eq!(so_far, lost);
            std::mem::forget(mark);
        }
        drop(cache.begin_probe("h"));
        assert_eq!(cache.begin_probe("h").1, 0);
    }

    #[test]
    fn only_files_that_are_gone_are_lost_not_those_of_another_set() {
        let cache = Cache::open(None).expect("temporary cache");
        let here = cache.root().join("index.lock");
        fs::write(&here, "").expect("write");
        let identity = FileIdentity::of(&File::open(&here).expect("open")).expect("identity");
        let gone = cache.root().join("gone");
        let mut index = Index::default();
        index.insert(here.clone(), identity, "h".into());
        let (elsewhere, none) = (Path::new("/elsewhere"), BTreeSet::new());
        assert!(!index.has_lost(elsewhere, &none), "it is there, though not met");
        index.insert(gone.clone(), identity, "g".into());
        assert!(
            index.has_lost(elsewhere, &none) && index.has_lost(elsewhere, &BTreeSet::from([here.as_path()]))
        );
        assert!(!index.has_lost(elsewhere, &BTreeSet::from([gone.as_path()])), "met a moment ago");
        assert!(!index.has_lost(cache.root(), &none), "copies are not files of a set");
    }

    #[test]
    fn what_another_host_may_load_or_has_stored_is_kept() {
        let own = Cache::open(None).expect("temporary cache");
        let root = own.root().to_owned();
        let copy = |hash: &str| {
            fs::write(own.copy_path(hash), hash).expect("write");
            own.copy_path(hash)
        };
        let (dead, held) = (copy("dead"), copy("held"));
        let other = Cache::open(Some(&root)).expect("same cache");
        let mut learnt = Index::default();
        let file = root.join("index.lock");
        let update = |learnt: &Index, cache: &Cache| {
            let held = BTreeSet::from(["held".to_owned()]);
            cache.update_index(learnt, &Index::default(), &held).expect("update");
        };
        update(&learnt, &own);
        assert!(dead.exists(), "the other host lives");
        let identity = FileIdentity::of(&File::open(&file).expect("open")).expect("identity");
        learnt.insert(file.clone(), identity, "h".into());
        update(&learnt, &other);
        drop(other);
        update(&Index::default(), &own);
        assert_eq!(own.index().hash(&file, &identity), Some("h"), "what the other learnt");
        assert!(!dead.exists() && held.exists());
    }
}
