//! What the fuzz targets do with any bytes, and case K: the same with seeds that are changed at random, on any toolchain.
//!
//! The targets themselves, for cargo-fuzz, lie in the folder `fuzz` beside this one.

use crate::campaign::{
    ALGORITHMS, HEADER_BYTES, MAGIC, Make, Rng, Row, Setting, Tally, data, in_memory, keep_bytes, peak_kib,
};
use clipsmaster_host::{
    ChunkedReader, Host, Restored, SeekableReader, chunked_header_info, health,
    pipeline::{self, DecompressOptions, Input, OnDamage, Output},
};
use clipsmaster_plugin_api::{Options, abi::import::Codec};
use std::{
    io::{self, Cursor, Read, Seek, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

/// Most memory that the host may use for one input, in bytes.
const MEMORY_BYTES: u64 = 256 << 20;
/// Most bytes that are taken from a decoder.
const OUTPUT_BYTES: u64 = 16 << 20;
/// Most memory that this program may have taken after all of case K, in MiB.
const PEAK_MIB: u64 = 512;
/// Longest time for one input; more is called a hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// A host, and the codecs of its plugins.
#[derive(Debug)]
pub struct Bench<'a> {
    /// Has all plugins.
    pub host: &'a Host,
    /// Codecs to fuzz one by one.
    pub codecs: Vec<Codec>,
}

/// What a target is called, and what it does with any bytes: panics where a promise is broken.
pub type Target = (&'static str, fn(&Bench<'_>, &[u8]));

/// All targets.
pub const TARGETS: [Target; 4] =
    [("container", container), ("salvage", salvage), ("range", range), ("decoder", decoder)];

impl<'a> Bench<'a> {
    /// Loads the codecs in the folder `plugins` into this program, too: those with names like ours.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn new(host: &'a Host, plugins: &Path) -> io::Result<Self> {
        let mut paths: Vec<_> = std::fs::read_dir(plugins)?.flatten().map(|e| e.path()).collect();
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libclipsmaster_plugin_") && name.ends_with(".so")
        });
        paths.sort();
        let loaded = paths.iter().filter_map(|path| crate::load(path).ok());
        Ok(Self { host, codecs: loaded.flat_map(|plugin| plugin.codecs()).collect() })
    }
}

fn options(on_damage: OnDamage) -> DecompressOptions {
    let (threads, memory_bytes) = (Some(1), Some(MEMORY_BYTES));
    DecompressOptions { threads, memory_bytes, on_damage, ..DecompressOptions::default() }
}

/// Keeps what is written up to a limit, then is full: declared sizes may be honest and large.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES as usize {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn decompressed(host: &Host, input: Input, options: &DecompressOptions) -> Option<Vec<u8>> {
    let mut out = Limited(Vec::new());
    pipeline::decompress(host, input, Output::Stream(&mut out), options, &|_| {}).ok().map(|_| out.0)
}

/// The reader of containers, in memory, in files and from pipes: those that succeed agree.
pub fn container(bench: &Bench<'_>, data: &[u8]) {
    let data = &sealed(data);
    let _ = chunked_header_info(data);
    let stream = || Box::new(Cursor::new(data.clone()));
    let piped = decompressed(bench.host, Input::Stream(stream()), &options(OnDamage::Error));
    let filed = decompressed(bench.host, Input::File(in_memory(data).0), &options(OnDamage::Error));
    if let (Some(piped), Some(filed)) = (&piped, &filed) {
        assert_eq!(piped, filed, "a pipe and a file give different bytes");
    }
    assert!(piped.is_none() || filed.is_some(), "a file is refused that is sound in a pipe");
    if let Ok(reader) = ChunkedReader::new(bench.host, Cursor::new(data.clone()), &options(OnDamage::Error)) {
        let mut read = Vec::new();
        let done = reader.take(OUTPUT_BYTES).read_to_end(&mut read).is_ok();
        if let Some(piped) = piped.filter(|_| done) {
            assert_eq!(read, piped, "a reader and a pipe give different bytes");
        }
    }
}

/// Repair and salvage: nothing is called restored that is not, and nothing is left behind.
pub fn salvage(bench: &Bench<'_>, data: &[u8]) {
    let data = &sealed(data);
    let skipped = bench.host.safe_decompress(data, OnDamage::Skip);
    let zeroed = bench.host.safe_decompress(data, OnDamage::Zero);
    if let (Restored::Partial { data: left, .. }, Restored::Partial { data: filled, .. }) =
        (&skipped, &zeroed)
    {
        assert!(left.len() <= filled.len(), "less with zeros than without");
    }
    let (_file, path) = in_memory(data);
    let _ = health::verify(bench.host, &path, true, &|_| {});
    let output = std::env::temp_dir().join(format!("clipsmaster-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_file(&output);
    let repaired = health::repair(bench.host, &path, &output, false, &|_| {});
    if repaired.as_ref().is_ok_and(|health| health.condition == health::Condition::Mendable) {
        // By its checksums; what a forger made of its frames is another matter.
        let again = health::verify(bench.host, &output, false, &|_| {});
        assert!(
            again.is_ok_and(|h| h.condition == health::Condition::Intact),
            "what was repaired is not sound"
        );
    }
    assert!(repaired.is_ok() || !output.exists(), "a failed repair left a file");
    let _ = health::salvage(bench.host, &path, &output, true, true, &|_| {});
    let _ = health::export(bench.host, &path, &output, true, None, &|_| {});
    let _ = std::fs::remove_file(&output);
}

/// Parts of containers: the same bytes as those of the whole.
pub fn range(bench: &Bench<'_>, data: &[u8]) {
    let Some((place, data)) = data.split_first_chunk::<4>() else { return };
    let data = &sealed(data);
    let [start, len] = [&place[..2], &place[2..]].map(|p| u64::from(u16::from_le_bytes([p[0], p[1]])));
    let (file, path) = in_memory(data);
    let whole = decompressed(bench.host, Input::File(file), &options(OnDamage::Error));
    let part = DecompressOptions { range: Some(start..start + len), ..options(OnDamage::Error) };
    let part = decompressed(bench.host, Input::File(in_memory(data).0), &part);
    let expected = |whole: &[u8]| {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(whole.len());
        whole[place(start)..place(start + len)].to_vec()
    };
    if let (Some(whole), Some(part)) = (&whole, &part) {
        assert_eq!(*part, expected(whole), "a range and the whole differ");
    }
    let Ok(mut reader) = SeekableReader::open(bench.host, &path) else { return };
    let mut read = Vec::new();
    let done = reader.seek(SeekFrom::Start(start)).and_then(|_| reader.take(len).read_to_end(&mut read));
    if let (Some(whole), Ok(_)) = (&whole, done) {
        assert_eq!(read, expected(whole), "a reader that seeks and the whole differ");
    }
}

/// The decoder of one plugin, which the first byte chooses: blocks and streams.
pub fn decoder(bench: &Bench<'_>, data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    if bench.codecs.is_empty() {
        return;
    }
    let codec = &bench.codecs[usize::from(*choice) % bench.codecs.len()];
    let mut out = vec![0; 1 << 20];
    if let Ok(mut instance) = codec.open(codec.descriptor().levels.default, &Options::default()) {
        let done = instance.decompress(data, &mut out);
        assert!(done.is_ok_and(|n| n <= out.len()) || !instance.is_poisoned(), "a decoder panicked");
    }
    let _ = codec.decompressed_len(data);
    if let Ok(decoder) = codec.decoder(Cursor::new(data.to_vec()), MEMORY_BYTES) {
        let _ = io::copy(&mut decoder.take(OUTPUT_BYTES), &mut io::sink());
    }
}

/// All but the last byte of `data`, which says whether the places and checksums in its records are set right: so that damage
/// gets past them.
fn sealed(data: &[u8]) -> Vec<u8> {
    let Some((flags, data)) = data.split_last() else { return Vec::new() };
    let mut data = data.to_vec();
    if flags & 1 == 0 {
        return data;
    }
    let mut at = 0;
    while let Some(found) = data[at..].windows(HEADER_BYTES).position(|w| w.starts_with(&MAGIC)) {
        at += found;
        let len = u32::from_le_bytes([data[at + 12], data[at + 13], data[at + 14], data[at + 15]]) as usize;
        let payload = data.get(at + HEADER_BYTES..).and_then(|rest| rest.get(..len));
        if let Some(crc) = payload.map(crc32fast::hash) {
            data[at + 48..at + 52].copy_from_slice(&crc.to_le_bytes());
        }
        if flags & 2 != 0 {
            let place = (at as u64).to_le_bytes();
            data[at + 40..at + 48].copy_from_slice(&place);
        }
        let crc = crc32fast::hash(&data[at..at + 60]);
        data[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
        at += MAGIC.len();
    }
    data
}

/// Small containers of all algorithms, and bare frames: where fuzzing begins.
pub fn seeds(host: &Host) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for algorithm in ALGORITHMS {
        let raw = data(&mut Rng::of(1, algorithm, 0), 700);
        for (chunk_bytes, parity) in [(300, 0), (300, 20), (700, 0)] {
            seeds.push(Make::new(algorithm, chunk_bytes, parity).of(host, raw.clone()).bytes);
        }
        seeds.extend(host.compress_data(&raw, algorithm).ok().map(|(frame, _)| frame));
    }
    seeds
}

/// A seed, changed here and there: bytes, and the numbers that records are made of.
fn changed(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX];
    let mut bytes = rng.one_of(seeds).clone();
    for _ in 0..rng.up_to(8) {
        match rng.below(6) {
            0 => rng.insert(&mut bytes, 100),
            1 => rng.delete(&mut bytes, 100),
            2 => rng.burst(&mut bytes, 30),
            3 => {
                let (number, len) = (rng.one_of(&NUMBERS).to_le_bytes(), 1 << rng.below(4));
                let at = rng.below(bytes.len().saturating_sub(len));
                if let Some(place) = bytes.get_mut(at..at + len) {
                    place.copy_from_slice(&number[..len]);
                }
            }
            _ => rng.change(&mut bytes),
        }
    }
    // Whether places and checksums are set right.
    let last = rng.next() as u8;
    bytes.push(last);
    bytes
}

/// Case K: every target, with changed seeds.
pub(crate) fn smoke(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let bench = Bench::new(setting.host, setting.plugins)?;
    let seeds = seeds(setting.host);
    let mut rows = Vec::new();
    for (name, target) in TARGETS {
        let mut tally = Tally::default();
        let mut longest = Duration::ZERO;
        let before = peak_mib();
        for run in 0..setting.scale.part(if name == "salvage" { 16 } else { 4 }) {
            let bytes = changed(&mut Rng::of(setting.scale.seed, name, run), &seeds);
            let start = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&bench, &bytes)));
            longest = longest.max(start.elapsed());
            tally.note(run, outcome.is_err());
            if outcome.is_err() {
                keep_bytes(&format!("{name}-{run}"), &bytes);
            }
        }
        let peak = peak_mib();
        let what = format!("target {name}, up to {} ms, {peak} MiB", longest.as_millis());
        let is_met = longest < PATIENCE && peak <= PEAK_MIB.max(before);
        rows.push(Row::new('K', what, tally, "no crash, hang; <= 512 MiB", is_met));
    }
    Ok(rows)
}

/// Most memory that this program has had resident, in MiB.
fn peak_mib() -> u64 {
    peak_kib(std::process::id()) >> 10
}
