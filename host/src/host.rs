//! The facade: everything an application does with ClipsMaster starts here.

use crate::{
    Benchmarks, Config, Error, Result, algorithm,
    compressor::{Compressor, Link, Metadata},
    probe::CaseResult,
    registry::{
        Entry, ProgressFn, Registry, Snapshot,
        report::{CodecReport, PluginReport, State, Verdict},
    },
    selection::{self, Candidate, Direction, Profile, Ranking, Request, Wishes},
};
use clipsmaster_plugin_api::{
    self as api,
    abi::{export, import},
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

/// Bytes of a file's head that [`Host::detect`] wants to see.
pub const DETECT_BYTES: usize = 64 << 10;

/// One line of [`Host::list`]: an implementation, or a plugin that offers none.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// `<algorithm>/<hardware>/<library>`; the plugin's id where no implementation is known.
    pub implementation: String,
    /// Algorithm; empty where no implementation is known.
    pub algorithm: String,
    /// Hardware.
    pub hardware: String,
    /// Version of the plugin.
    pub version: String,
    /// Version of the library it wraps.
    pub library_version: String,
    /// Identity of the device, empty for the CPU.
    pub device: String,
    /// Id of the plugin.
    pub plugin: String,
    /// SPDX expression.
    pub licence: String,
    /// Authors.
    pub authors: String,
    /// Where to read more.
    pub homepage: String,
    /// File the plugin came from; empty for the application's own.
    pub path: PathBuf,
    /// BLAKE3 of the file.
    pub hash: String,
    /// State, reason and remedy.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Place among the implementations of the algorithm at the default level, from 1; 0 when disabled.
    pub rank: Option<usize>,
    /// Levels: lowest, default, highest.
    pub levels: Option<(i32, i32, i32)>,
    /// Largest chunk, in bytes; absent when there is no limit.
    pub max_chunk_bytes: Option<u64>,
    /// Whether it decodes streams in bounded memory.
    pub streams: bool,
    /// Whether instances work at the same time.
    pub concurrent: bool,
    /// Compression of 1 MiB at the default level, in MB/s.
    pub compress_mb_s: Option<f64>,
    /// Decompression of 1 MiB, in MB/s.
    pub decompress_mb_s: Option<f64>,
    /// Ratio at the default level, on the built-in data.
    pub ratio: Option<f64>,
    /// Peak memory at the default level, buffers included, in bytes.
    pub peak_bytes: Option<u64>,
}

/// Finds, proves, measures and ranks plugins, and compresses with them. `Send + Sync`; share it by reference or `Arc`.
#[derive(Debug)]
pub struct Host {
    registry: Arc<Registry>,
    background: Mutex<Option<JoinHandle<()>>>,
}

impl Host {
    /// Searches the plugins folders and proves what is new there, in child processes. Returns at once when nothing is new.
    ///
    /// # Errors
    /// [`Error::NoProbeHelper`] when something must be proven and nothing can do it, and what the file system refuses.
    pub fn open(config: Config) -> Result<Self> {
        Self::open_with(config, &|_| {})
    }

    /// As [`open`](Self::open), telling `progress` what is going on.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(config: Config, progress: ProgressFn<'_>) -> Result<Self> {
        let host = Self { registry: Arc::new(Registry::new(config)?), background: Mutex::default() };
        host.refresh_with(progress)?;
        Ok(host)
    }

    /// Looks again: new files are proven, changed ones proven anew, missing ones gone. Work in progress goes on with what
    /// it had.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn refresh(&self) -> Result<()> {
        self.refresh_with(&|_| {})
    }

    /// As [`refresh`](Self::refresh), telling `progress` what is going on.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn refresh_with(&self, progress: ProgressFn<'_>) -> Result<()> {
        self.registry.scan(progress)?;
        match self.registry.config().benchmarks {
            Benchmarks::OnOpen => self.registry.measure_missing(progress),
            Benchmarks::Background => {
                self.measure_in_background();
                Ok(())
            }
            Benchmarks::Never => Ok(()),
        }
    }

    /// Measures, in the foreground, what has not been measured on this machine.
    ///
    /// # Errors
    /// [`Error::NoProbeHelper`].
    pub fn measure_missing(&self, progress: ProgressFn<'_>) -> Result<()> {
        self.registry.measure_missing(progress)
    }

    fn measure_in_background(&self) {
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        if background.as_ref().is_some_and(|b| !b.is_finished()) {
            return;
        }
        // Weak: a host that ends does not wait for its benchmark; the children end with their deadlines.
        let registry = Arc::downgrade(&self.registry);
        *background = Some(thread::spawn(move || {
            if let Some(registry) = registry.upgrade() {
                // Without measurements ranks stay provisional; the next start tries again.
                let _ = registry.measure_missing(&|_| {});
            }
        }));
    }

    /// Forgets the verdicts on plugins that are not `ok`, and the measurements of all, then proves and measures anew.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn refresh_all(&self, progress: ProgressFn<'_>) -> Result<()> {
        for hash in self.registry.cache().reports() {
            let quarantined =
                self.registry.cache().report(&hash).is_some_and(|r| r.verdict.state == State::Quarantined);
            if !quarantined {
                self.registry
                    .cache()
                    .forget_report(&hash)
                    .map_err(Error::io("clear", self.registry.cache().root()))?;
            }
        }
        self.refresh_with(progress)
    }

    /// What is installed now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.snapshot()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        self.registry.config()
    }

    /// Folder of the cache, and whether it is a temporary one because the proper one cannot be written.
    pub fn cache_folder(&self) -> (&Path, bool) {
        (self.registry.cache().root(), self.registry.cache().is_temporary())
    }

    /// Whether private copies can be loaded; otherwise plugins are loaded in place.
    pub fn loads_copies(&self) -> bool {
        self.registry.cache().is_executable()
    }

    /// Finds the program that probes plugins.
    ///
    /// # Errors
    /// [`Error::NoProbeHelper`].
    pub fn check_probe_helper(&self) -> Result<()> {
        self.registry.helper().map(|_| ())
    }

    /// One line per implementation, sorted by algorithm and rank, then the plugins that offer none.
    pub fn list(&self) -> Vec<Listed> {
        let snapshot = self.snapshot();
        let algorithms: std::collections::BTreeSet<&String> =
            snapshot.entries.iter().flat_map(|e| &e.report.codecs).map(|c| &c.info.algorithm).collect();
        let rankings: Vec<Ranking> =
            algorithms.into_iter().map(|a| self.rank_in(&snapshot, &Request::new(a))).collect();
        let mut lines: Vec<Listed> = Vec::new();
        for entry in &snapshot.entries {
            for codec in &entry.report.codecs {
                lines.push(self.line(entry, Some(codec), &rankings));
            }
            if entry.report.codecs.is_empty() {
                lines.push(self.line(entry, None, &rankings));
            }
        }
        lines.sort_by(|a, b| {
            let key = |l: &Listed| {
                (l.algorithm.is_empty(), l.algorithm.clone(), l.rank.filter(|r| *r > 0).unwrap_or(usize::MAX))
            };
            key(a).cmp(&key(b)).then_with(|| a.implementation.cmp(&b.implementation))
        });
        lines
    }

    fn line(&self, entry: &Entry, codec: Option<&CodecReport>, rankings: &[Ranking]) -> Listed {
        let plugin = &entry.report.info;
        let verdict = codec.map_or(&entry.report.verdict, |c| entry.verdict(c)).clone();
        let info = codec.map(|c| &c.info);
        let id = info.map_or_else(|| plugin.id.clone(), |i| i.implementation());
        let profile = codec.and_then(|c| Profile::new(&c.cells, c.info.level_default));
        let size = selection::DEFAULT_BYTES;
        let place = || rankings.iter().find_map(|r| r.ranked.iter().position(|x| x.implementation == id));
        let rank = if self.config().disabled.contains(&id) {
            Some(0)
        } else {
            verdict.is_ok().then(place).flatten().map(|p| p + 1)
        };
        let speed = |d| profile.as_ref().map(|p| p.throughput_mb_s(size, d));
        let peak =
            |c: &CodecReport| c.peak_bytes.iter().find(|(l, _)| *l == c.info.level_default).map(|p| p.1);
        Listed {
            implementation: id.clone(),
            algorithm: info.map(|i| i.algorithm.clone()).unwrap_or_default(),
            hardware: info.map(|i| i.hardware.clone()).unwrap_or_default(),
            version: plugin.version.clone(),
            library_version: info.map(|i| i.library_version.clone()).unwrap_or_default(),
            device: info.map(|i| i.device.clone()).unwrap_or_default(),
            plugin: plugin.id.clone(),
            licence: plugin.licence.clone(),
            authors: plugin.authors.clone(),
            homepage: plugin.homepage.clone(),
            path: entry.path.clone(),
            hash: entry.hash.clone(),
            rank,
            levels: info.map(|i| (i.level_min, i.level_default, i.level_max)),
            max_chunk_bytes: info.map(|i| i.max_chunk_bytes).filter(|b| *b != u64::MAX),
            streams: info.is_some_and(|i| i.streams),
            concurrent: info.is_some_and(|i| i.concurrent),
            compress_mb_s: speed(Direction::Compress),
            decompress_mb_s: speed(Direction::Decompress),
            ratio: profile.as_ref().and_then(|p| p.ratio(p.ratio_size(size)?)),
            peak_bytes: codec.and_then(peak),
            verdict,
        }
    }

    /// Ranks what is installed for `request`, by the measurements there are.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`].
    pub fn rank(&self, request: &Request) -> Result<Ranking> {
        let snapshot = self.snapshot();
        self.check_algorithm(&snapshot, &request.algorithm)?;
        Ok(self.rank_in(&snapshot, request))
    }

    /// As [`rank`](Self::rank), measuring first what the decision needs: seconds, once per machine.
    ///
    /// # Errors
    /// As [`rank`](Self::rank), and [`Error::NoProbeHelper`].
    pub fn rank_measured(&self, request: &Request, progress: ProgressFn<'_>) -> Result<Ranking> {
        let snapshot = self.snapshot();
        self.check_algorithm(&snapshot, &request.algorithm)?;
        let missing = with_candidates(&snapshot, |c| selection::unmeasured(c, request, self.wishes(request)));
        if !missing.is_empty() {
            self.registry.measure_levels(&missing, progress)?;
        }
        self.rank(request)
    }

    fn rank_in(&self, snapshot: &Snapshot, request: &Request) -> Ranking {
        with_candidates(snapshot, |c| selection::rank(c, request, self.wishes(request)))
    }

    fn wishes(&self, request: &Request) -> Wishes<'_> {
        let config = self.config();
        Wishes { pin: config.pins.get(&request.algorithm).map(String::as_str), disabled: &config.disabled }
    }

    fn check_algorithm(&self, snapshot: &Snapshot, name: &str) -> Result<()> {
        let codecs = snapshot.entries.iter().flat_map(|e| &e.report.codecs);
        if codecs.clone().any(|c| c.info.algorithm == name) {
            return Ok(());
        }
        Err(Error::UnknownAlgorithm {
            asked: name.to_owned(),
            known: self.algorithms(),
            searched: snapshot.searched.iter().map(|d| d.path.clone()).collect(),
        })
    }

    /// Algorithms with a usable implementation, sorted.
    pub fn algorithms(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let mut names: Vec<String> = usable(&snapshot).map(|(_, c)| c.info.algorithm.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The best implementation for `algorithm` (any alias) at `level` of its reference, on this machine.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`], [`Error::NoImplementation`].
    pub fn get_best_hardware(&self, algorithm: &str, level: i32) -> Result<Compressor> {
        self.compressor(&Request::new(algorithm).level(level))
    }

    /// A compressor for `request`; its decoder is the fastest of the algorithm.
    ///
    /// # Errors
    /// As [`get_best_hardware`](Self::get_best_hardware).
    pub fn compressor(&self, request: &Request) -> Result<Compressor> {
        let snapshot = self.snapshot();
        self.check_algorithm(&snapshot, &request.algorithm)?;
        let encoders = self.links(&snapshot, request)?;
        let decode = Request { direction: Direction::Decompress, ..request.clone() };
        let decoders = self.links(&snapshot, &Request { hardware: None, implementation: None, ..decode })?;
        Ok(Compressor::new(request.algorithm.clone(), encoders, decoders))
    }

    /// A decompressor for `algorithm` (any alias): a [`Compressor`] that is only asked to decompress.
    ///
    /// # Errors
    /// As [`get_best_hardware`](Self::get_best_hardware).
    pub fn decompressor(&self, request: &Request) -> Result<Compressor> {
        let snapshot = self.snapshot();
        self.check_algorithm(&snapshot, &request.algorithm)?;
        let request = Request { direction: Direction::Decompress, level: None, ..request.clone() };
        Ok(Compressor::new(request.algorithm.clone(), Vec::new(), self.links(&snapshot, &request)?))
    }

    fn links(&self, snapshot: &Snapshot, request: &Request) -> Result<Vec<Link>> {
        let ranking = self.rank_in(snapshot, request);
        if ranking.ranked.is_empty() {
            return Err(no_implementation(request, ranking));
        }
        let mut links = Vec::new();
        for ranked in &ranking.ranked {
            let found = usable(snapshot).find(|(_, c)| c.info.implementation() == ranked.implementation);
            links.extend(found.map(|(entry, c)| Link::new(ranked, Arc::clone(entry), c.info.index)));
        }
        Ok(links)
    }

    /// Compresses `data` with `algorithm` (any alias) at its default level.
    ///
    /// # Errors
    /// As [`get_best_hardware`](Self::get_best_hardware), and the codec's own.
    pub fn compress_data(&self, data: &[u8], algorithm: &str) -> Result<(Vec<u8>, Metadata)> {
        let request = Request::new(algorithm).bytes(data.len() as u64);
        self.compressor(&request)?.compress(data)
    }

    /// Decompresses `data`: by its metadata, or else by what its first bytes say it is.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::Damaged`], [`Error::Mismatch`].
    pub fn decompress_data(&self, data: &[u8], metadata: Option<&Metadata>) -> Result<Vec<u8>> {
        let algorithm = match metadata {
            Some(m) => algorithm::canonical(&m.algorithm),
            None => self.detect(data, None).ok_or_else(|| Error::UnknownFormat {
                input: "compressed data".into(),
                known: self.algorithms(),
            })?,
        };
        let request = Request::new(&algorithm).bytes(metadata.map_or(data.len() as u64, |m| m.original_size));
        self.decompressor(&request)?.decompress(data, metadata)
    }

    /// Algorithm of a file by its first bytes (give [`DETECT_BYTES`] of them, or all), or else by the extension of `name`.
    pub fn detect(&self, head: &[u8], name: Option<&Path>) -> Option<String> {
        let snapshot = self.snapshot();
        let infos: Vec<_> = snapshot.entries.iter().flat_map(|e| &e.report.codecs).map(|c| &c.info).collect();
        let installed = infos.iter().map(|i| (&i.magic[..], i.algorithm.as_str()));
        let known = algorithm::KNOWN.iter().map(|k| (k.magic, k.name));
        let magics: Vec<(&[u8], &str)> = installed.chain(known).filter(|(m, _)| !m.is_empty()).collect();
        let by_magic =
            |head: &[u8]| magics.iter().find(|(m, _)| head.starts_with(m)).map(|(_, a)| (*a).to_owned());
        let mut rest = head;
        let mut skipped = false;
        // Skippable frames may come first, and do not tell whose they are.
        while let Some(len) = algorithm::skippable_frame_len(rest) {
            skipped = true;
            rest = rest.get(usize::try_from(len).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        let extension = name.and_then(Path::extension).and_then(|e| e.to_str());
        let by_extension = || {
            let extension = extension?;
            let installed = infos.iter().filter(|i| !i.extension.is_empty() && i.extension == extension);
            // A known magic at the start would have been found: a format with one does not match by name.
            let mut nameable = installed.filter(|i| i.magic.is_empty() || skipped);
            nameable.next().map(|i| i.algorithm.clone())
        };
        by_magic(rest).or_else(by_extension).or_else(|| skipped.then(|| algorithm::DEFAULT.to_owned()))
    }

    /// Usual extension of files of `algorithm`, without the dot, if it has one.
    pub fn extension(&self, algorithm: &str) -> Option<String> {
        let snapshot = self.snapshot();
        let infos = snapshot.entries.iter().flat_map(|e| &e.report.codecs).map(|c| &c.info);
        let mut named = infos.filter(|i| i.algorithm == algorithm && !i.extension.is_empty());
        named.next().map(|i| i.extension.clone())
    }

    /// All extensions that installed plugins use.
    pub fn extensions(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let codecs = snapshot.entries.iter().flat_map(|e| &e.report.codecs);
        let mut all: Vec<String> =
            codecs.map(|c| c.info.extension.clone()).filter(|e| !e.is_empty()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Adds the application's own codec as plugin `id`, for those who may not load libraries or bring their own type. It is proven
    /// in this process, before the call returns, and measured and ranked like the others.
    ///
    /// # Errors
    /// [`Error::Usage`] when it does not keep the contract; the message names the case.
    pub fn register<C: api::Codec>(&self, id: &str, version: &str) -> Result<()> {
        self.registry.register(in_process::<C>(id, version))?;
        if self.registry.config().benchmarks == Benchmarks::OnOpen {
            self.registry.measure_missing(&|_| {})?;
        } else if self.registry.config().benchmarks == Benchmarks::Background {
            self.measure_in_background();
        }
        Ok(())
    }

    /// Runs all conformance cases on a plugin file, whatever is known about it: its report, and the cases of each of
    /// its implementations.
    ///
    /// # Errors
    /// When the file cannot be read or there is no helper.
    pub fn validate(&self, path: &Path) -> Result<(PluginReport, Vec<(String, Vec<CaseResult>)>)> {
        self.registry.validate(path)
    }

    /// Plugins in quarantine: content hash and what is known.
    pub fn quarantined(&self) -> Vec<(String, PluginReport)> {
        let cache = self.registry.cache();
        let reports = cache.reports().into_iter().filter_map(|h| cache.report(&h).map(|r| (h, r)));
        reports.filter(|(_, r)| r.verdict.state == State::Quarantined).collect()
    }

    /// Takes a plugin out of quarantine, by its id or the start of its hash; it is proven anew by the next `refresh`. How many
    /// files that were.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn clear_quarantine(&self, id_or_hash: &str) -> Result<usize> {
        let matching = |(hash, r): &(String, PluginReport)| {
            r.info.id == id_or_hash || id_or_hash.len() >= 8 && hash.starts_with(id_or_hash)
        };
        let found: Vec<_> = self.quarantined().into_iter().filter(matching).collect();
        for (hash, _) in &found {
            let cache = self.registry.cache();
            cache.forget_report(hash).map_err(Error::io("clear quarantine in", cache.root()))?;
        }
        Ok(found.len())
    }
}

fn no_implementation(request: &Request, ranking: Ranking) -> Error {
    let mut what = request.algorithm.clone();
    if let Some(level) = request.level {
        what = format!("{what} level {level}");
    }
    let rejected = ranking.rejected.into_iter().map(|r| (r.implementation, r.reason)).collect();
    Error::NoImplementation { what, rejected }
}

fn usable(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<Entry>, &CodecReport)> {
    let all = snapshot.entries.iter().flat_map(|e| e.report.codecs.iter().map(move |c| (e, c)));
    all.filter(|(e, c)| e.verdict(c).is_ok())
}

/// Calls `f` with the candidates of a snapshot.
fn with_candidates<T>(snapshot: &Snapshot, f: impl FnOnce(&[Candidate<'_>]) -> T) -> T {
    let unusable: Vec<Option<String>> = snapshot
        .entries
        .iter()
        .flat_map(|e| e.report.codecs.iter().map(move |c| e.verdict(c)))
        .map(|v| (!v.is_ok()).then(|| format!("{}: {}", v.state, v.reason)))
        .collect();
    let codecs = snapshot.entries.iter().flat_map(|e| &e.report.codecs);
    let candidates: Vec<Candidate<'_>> = codecs
        .zip(&unusable)
        .map(|(c, unusable)| Candidate {
            info: &c.info,
            unusable: unusable.as_deref(),
            cells: &c.cells,
            peak_bytes: &c.peak_bytes,
        })
        .collect();
    f(&candidates)
}

/// A plugin table for a codec of this program. It lives as long as the program, like a loaded library.
fn in_process<C: api::Codec>(id: &str, version: &str) -> import::Plugin {
    struct One<C>(std::marker::PhantomData<C>);
    impl<C: api::Codec> export::CodecList for One<C> {
        const TABLES: &'static [api::abi::CodecV1] = &[export::codec_table::<C>()];
        const DECODERS: &'static [Option<api::Decoder>] = &[C::DECODER];
    }
    let manifest = api::Manifest::new(String::leak(id.to_owned()), String::leak(version.to_owned()));
    let table = export::plugin_table::<One<C>>(manifest, export::standard_extension::<One<C>>);
    import::Plugin::from_table(Box::leak(Box::new(table))).expect("the table is of this version")
}
