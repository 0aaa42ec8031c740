//! The facade: everything an application does with ClipsMaster starts here.

use crate::{
    Benchmarks, Config, Error, Result,
    compressor::{Compressor, Link, Metadata},
    container_raw_bytes,
    kept::Kept,
    policy::Policies,
    registry::{
        CasesOf, Entry, ProgressFn, Registry, Snapshot,
        report::{CodecReport, PluginReport, State, Verdict},
    },
    selection::{self, Candidate, Direction, Likeness, Ranked, Ranking, Request, Wishes},
    settle::settle,
    sync::lock,
};
use clipsmaster_plugin_api::{
    self as api,
    abi::{export, import},
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

/// Finds, proves, measures and ranks plugins, and compresses with them. `Send + Sync`; share it by reference or `Arc`.
#[derive(Debug)]
pub struct Host {
    registry: Arc<Registry>,
    background: Mutex<Option<JoinHandle<()>>>,
    /// Opened when they are first asked for.
    pub(crate) policies: Mutex<Option<Arc<Policies>>>,
    pub(crate) kept: Kept,
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
        let registry = Arc::new(Registry::new(config)?);
        let host = Self {
            registry,
            background: Mutex::default(),
            policies: Mutex::default(),
            kept: Kept::default(),
        };
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
        let mut background = lock(&self.background);
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

    /// Folder of the cache, and if that is a temporary one, why the proper one cannot be used.
    pub fn cache_folder(&self) -> (&Path, Option<&str>) {
        (self.registry.cache().root(), self.registry.cache().why_temporary())
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
        let unmeasured = |c: &[Candidate<'_>]| selection::unmeasured(c, request, self.wishes(request));
        let missing = with_candidates(&snapshot, &request.algorithm, unmeasured);
        if !missing.is_empty() {
            self.registry.measure_levels(&missing, progress)?;
        }
        self.rank(request)
    }

    pub(crate) fn rank_in(&self, snapshot: &Snapshot, request: &Request) -> Ranking {
        with_candidates(snapshot, &request.algorithm, |c| selection::rank(c, request, self.wishes(request)))
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

    /// The best implementation for `algorithm` (any alias) at `level` of its reference, on this machine; any level where it has none.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`], [`Error::NoImplementation`].
    pub fn get_best_hardware(&self, algorithm: &str, level: i32) -> Result<Compressor> {
        self.compressor(&self.request_at(algorithm, Some(level)))
    }

    /// A request for `algorithm` (any alias) at `level` of its reference; at its default where none is asked for, and where no implementation has
    /// more than one.
    pub fn request_at(&self, algorithm: &str, level: Option<i32>) -> Request {
        let request = Request::new(algorithm);
        let has_levels = usable(&self.snapshot())
            .any(|(_, c)| c.info.algorithm == request.algorithm && c.info.level_min < c.info.level_max);
        Request { level: level.filter(|_| has_levels), ..request }
    }

    /// A compressor for `request`; its decoder is the fastest of the algorithm.
    ///
    /// # Errors
    /// As [`get_best_hardware`](Self::get_best_hardware).
    pub fn compressor(&self, request: &Request) -> Result<Compressor> {
        let snapshot = self.snapshot();
        self.check_algorithm(&snapshot, &request.algorithm)?;
        let mut encoders = self.links(&snapshot, request)?;
        let sample = request.likeness.as_ref().and_then(Likeness::sample);
        if let Some(sample) = sample.filter(|_| request.direction == Direction::Compress) {
            settle(&mut encoders, sample);
        }
        let decode = Request { direction: Direction::Decompress, likeness: None, ..request.clone() };
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

    /// A [`Compressor`] that only compresses, as `request` says: for trials, which open many.
    pub(crate) fn encoder(&self, request: &Request) -> Result<Compressor> {
        let encoders = self.links(&self.snapshot(), request)?;
        Ok(Compressor::new(request.algorithm.clone(), encoders, Vec::new()))
    }

    fn links(&self, snapshot: &Snapshot, request: &Request) -> Result<Vec<Link>> {
        let ranking = self.rank_in(snapshot, request);
        if ranking.ranked.is_empty() {
            return Err(self.no_implementation(request, ranking));
        }
        // What the user asked for by name is not tried against others.
        let is_open = request.implementation.is_none() && self.wishes(request).pin.is_none();
        let mut links = Vec::new();
        for ranked in ranking.ranked.iter().chain(&self.stand_ins(snapshot, request, &ranking)) {
            let Some((entry, codec)) = find_usable(snapshot, &ranked.implementation) else { continue };
            let link = Link::new(ranked, Arc::clone(entry), codec.info.index);
            links.push(if is_open { link } else { link.fixed() });
        }
        Ok(links)
    }

    /// Who goes on where the hardware that was named fails in the middle of a job: the CPU.
    fn stand_ins(&self, snapshot: &Snapshot, request: &Request, ranking: &Ranking) -> Vec<Ranked> {
        if request.hardware.is_none() || request.implementation.is_some() {
            return Vec::new();
        }
        let cpu = Request { hardware: Some(api::hardware::CPU.into()), ..request.clone() };
        let is_new = |r: &Ranked| ranking.ranked.iter().all(|x| x.implementation != r.implementation);
        self.rank_in(snapshot, &cpu).ranked.into_iter().filter(is_new).collect()
    }

    /// Why nothing serves `request`, of which `ranking` is the outcome: the error that [`compressor`](Self::compressor) answers.
    pub fn no_implementation(&self, request: &Request, ranking: Ranking) -> Error {
        let mut what = request.algorithm.clone();
        if let Some(level) = request.level {
            what = format!("{what} level {level}");
        }
        if let Some(hardware) = &request.hardware {
            let snapshot = self.snapshot();
            let of_algorithm = usable(&snapshot).filter(|(_, c)| c.info.algorithm == request.algorithm);
            let names: BTreeSet<&str> = of_algorithm.map(|(_, c)| c.info.hardware.as_str()).collect();
            let instead = names.into_iter().collect::<Vec<_>>().join(", ");
            what = format!(
                "{what} on {hardware} (there is: {})",
                if instead.is_empty() { "none" } else { &instead }
            );
        }
        let rejected = ranking.rejected.into_iter().map(|r| (r.implementation, r.reason)).collect();
        Error::NoImplementation { what, rejected }
    }

    /// Compresses `data` with `algorithm` (any alias) at its default level.
    ///
    /// # Errors
    /// As [`get_best_hardware`](Self::get_best_hardware), and the codec's own.
    pub fn compress_data(&self, data: &[u8], algorithm: &str) -> Result<(Vec<u8>, Metadata)> {
        self.shared_compressor(Request::new(algorithm), data)?.compress(data)
    }

    /// Decompresses `data`: by its metadata, or else by what its first bytes say it is, containers included.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::Damaged`], [`Error::Container`], [`Error::Mismatch`].
    pub fn decompress_data(&self, data: &[u8], metadata: Option<&Metadata>) -> Result<Vec<u8>> {
        let Some(m) = metadata else { return self.decompress_chunked(data) };
        if m.is_of_container(data) {
            let out = self.decompress_chunked(data)?;
            return m.check(&out).map(|()| out);
        }
        self.shared_decompressor(&m.algorithm, m.original_size, data.len() as u64)?.decompress(data, metadata)
    }

    /// As [`decompress_data`](Self::decompress_data), to the start of `out`; answers how many bytes. What `out` holds after an error means
    /// nothing. Without metadata, frames outside of containers are decompressed aside first.
    ///
    /// # Errors
    /// As [`decompress_data`](Self::decompress_data), and [`Error::Usage`] where `out` is too short.
    pub fn decompress_into(&self, data: &[u8], metadata: Option<&Metadata>, out: &mut [u8]) -> Result<usize> {
        let room = out.len();
        let declared = metadata.map_or_else(|| container_raw_bytes(data), |m| Some(m.original_size));
        let Some(raw_bytes) = declared else {
            let mut rest = out;
            self.decompress_chunked_to(data, &mut rest).map_err(|e| match e {
                e if e.is_write_zero() => {
                    Error::Usage(format!("the data does not fit into a buffer of {room} bytes"))
                }
                other => other,
            })?;
            return Ok(room - rest.len());
        };
        let out = usize::try_from(raw_bytes).ok().and_then(|len| out.get_mut(..len));
        let out = out.ok_or_else(|| Error::no_room(raw_bytes, room))?;
        match metadata {
            None => self.decompress_chunked_into(data, out)?,
            Some(m) if m.is_of_container(data) => {
                self.decompress_chunked_into(data, out)?;
                m.check(out)?;
            }
            Some(m) => self
                .shared_decompressor(&m.algorithm, m.original_size, data.len() as u64)?
                .decompress_to(data, m, out)?,
        }
        Ok(out.len())
    }

    /// Decompresses frames that no container is around, by what their first bytes say they are.
    pub(crate) fn decompress_bare(&self, data: &[u8]) -> Result<Vec<u8>> {
        let unknown = || Error::UnknownFormat { input: "compressed data".into(), known: self.algorithms() };
        let algorithm = self.detect(data, None).ok_or_else(unknown)?;
        // What comes out is of a size that nobody knows yet.
        let (frame_bytes, raw_bytes) = (data.len() as u64, 3 * data.len() as u64);
        self.shared_decompressor(&algorithm, raw_bytes, frame_bytes)?.decompress(data, None)
    }

    /// Adds the application's own codec as plugin `id`, for those who may not load libraries or bring their own type. It is proven
    /// in this process, before the call returns, and measured and ranked like the others.
    ///
    /// # Errors
    /// [`Error::Usage`] when it does not keep the contract; the message names the case.
    pub fn register<C: api::Codec>(&self, id: &str, version: &str) -> Result<()> {
        self.register_as::<C>(id, version, C::DESCRIPTOR, None).map(drop)
    }

    /// As [`register`](Self::register), for a codec that is described at run time. Its report is what the host of a forked child may be
    /// given as `proven`: then nothing is proven again.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub fn register_as<C: api::Codec>(
        &self,
        id: &str,
        version: &str,
        descriptor: api::Descriptor,
        proven: Option<PluginReport>,
    ) -> Result<PluginReport> {
        let report = self.registry.register(in_process::<C>(id, version, descriptor), proven)?;
        if self.registry.config().benchmarks == Benchmarks::OnOpen {
            self.registry.measure_missing(&|_| {})?;
        } else if self.registry.config().benchmarks == Benchmarks::Background {
            self.measure_in_background();
        }
        Ok(report)
    }

    /// Runs all conformance cases on a plugin file, whatever is known about it: its report, and the cases of each of
    /// its implementations.
    ///
    /// # Errors
    /// When the file cannot be read or there is no helper.
    pub fn validate(&self, path: &Path) -> Result<(PluginReport, CasesOf)> {
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

pub(crate) fn usable(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<Entry>, &CodecReport)> {
    let all = snapshot.entries.iter().flat_map(|e| e.report.codecs.iter().map(move |c| (e, c)));
    all.filter(|(e, c)| e.verdict(c).is_ok())
}

/// The usable codec called `implementation`, and the plugin that it is in.
pub(crate) fn find_usable<'a>(
    snapshot: &'a Snapshot,
    implementation: &str,
) -> Option<(&'a Arc<Entry>, &'a CodecReport)> {
    usable(snapshot).find(|(_, c)| c.info.implementation() == implementation)
}

/// Calls `f` with the candidates for `algorithm` in a snapshot.
fn with_candidates<T>(snapshot: &Snapshot, algorithm: &str, f: impl FnOnce(&[Candidate<'_>]) -> T) -> T {
    let all = snapshot.entries.iter().flat_map(|e| e.report.codecs.iter().map(move |c| (e, c)));
    let codecs: Vec<_> = all.filter(|(_, c)| c.info.algorithm == algorithm).collect();
    let why_not = |v: &Verdict| (!v.is_ok()).then(|| format!("{}: {}", v.state, v.reason));
    let unusable: Vec<_> = codecs.iter().map(|(e, c)| why_not(e.verdict(c))).collect();
    let candidates: Vec<Candidate<'_>> = codecs
        .iter()
        .zip(&unusable)
        .map(|((_, c), unusable)| Candidate {
            info: &c.info,
            unusable: unusable.as_deref(),
            // Reading them takes time, and nobody asks how fast is what cannot be used.
            cells: if unusable.is_none() { &c.cells } else { &[] },
            peak_bytes: &c.peak_bytes,
        })
        .collect();
    f(&candidates)
}

/// A plugin table for a codec of this program. It lives as long as the program, like a loaded library.
fn in_process<C: api::Codec>(id: &str, version: &str, descriptor: api::Descriptor) -> import::Plugin {
    struct One<C>(std::marker::PhantomData<C>);
    impl<C: api::Codec> export::CodecList for One<C> {
        const TABLES: &'static [api::abi::CodecV1] = &[export::codec_table::<C>()];
        const DECODERS: &'static [Option<api::Decoder>] = &[C::DECODER];
        const BATCHES: &'static [api::abi::BatchCodecV1] = &[export::batch_codec::<C>()];
    }
    let manifest = api::Manifest::new(String::leak(id.to_owned()), String::leak(version.to_owned()));
    let codecs = [api::abi::CodecV1 { descriptor, ..export::codec_table::<C>() }];
    let table = api::abi::PluginV1 {
        codecs: Box::leak(Box::new(codecs)).as_slice().into(),
        ..export::plugin_table::<One<C>>(manifest, export::standard_extension::<One<C>>)
    };
    import::Plugin::from_table(Box::leak(Box::new(table))).expect("the table is of this version")
}
