//! Reads damaged containers in every way there is, and judges what comes back.

use super::{damage::Rng, subject::Subject};
use clipsmaster_host::{
    Host, Restored, SeekableReader, health,
    pipeline::{DecompressOptions, Input, OnDamage, Output, Summary, decompress},
};
use std::{
    fs::{self, File},
    io::{Cursor, Read, Seek, SeekFrom, Write},
    ops::{AddAssign, Range},
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// Bad runs that are told by number.
const MOST_BAD: usize = 5;

/// What came of one damaged container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The right bytes, without a word.
    Intact,
    /// The right bytes, and a warning.
    Repaired,
    /// What is given is right, and what is missing is told.
    Partial,
    /// An error.
    Refused,
    /// Other bytes than were written, without an error.
    Silent,
    Panicked,
}

impl Outcome {
    pub(crate) fn right(is_right: bool, is_loud: bool) -> Self {
        match (is_right, is_loud) {
            (false, _) => Self::Silent,
            (true, true) => Self::Repaired,
            (true, false) => Self::Intact,
        }
    }
}

/// How many runs came to what.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    pub(crate) intact: u64,
    pub(crate) repaired: u64,
    pub(crate) partial: u64,
    pub(crate) refused: u64,
    pub(crate) silent: u64,
    pub(crate) panicked: u64,
    /// The first runs that did not come to what they should.
    pub(crate) bad: Vec<String>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.intact += other.intact;
        self.repaired += other.repaired;
        self.partial += other.partial;
        self.refused += other.refused;
        self.silent += other.silent;
        self.panicked += other.panicked;
        self.bad.extend(other.bad);
        self.bad.truncate(MOST_BAD);
    }
}

impl Tally {
    pub(crate) fn one(outcome: Outcome) -> Self {
        let mut tally = Self::default();
        tally.add(outcome);
        tally
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Intact => &mut self.intact,
            Outcome::Repaired => &mut self.repaired,
            Outcome::Partial => &mut self.partial,
            Outcome::Refused => &mut self.refused,
            Outcome::Silent => &mut self.silent,
            Outcome::Panicked => &mut self.panicked,
        } += 1;
    }

    /// Counts run `run`, which panicked or came to what it should.
    pub(crate) fn note(&mut self, run: u64, panicked: bool) {
        self.add(if panicked { Outcome::Panicked } else { Outcome::Intact });
        if panicked && self.bad.len() < MOST_BAD {
            self.bad.push(format!("run {run} panicked"));
        }
    }

    /// All of them.
    pub(crate) fn runs(&self) -> u64 {
        self.right() + self.partial + self.refused + self.silent + self.panicked
    }

    pub(crate) fn right(&self) -> u64 {
        self.intact + self.repaired
    }

    /// Whether nothing was wrong in silence, and nothing panicked.
    pub(crate) fn is_honest(&self) -> bool {
        self.silent + self.panicked == 0
    }
}

/// Does run 0, 1, ... up to `count` on all processors. Runs whose outcome `is_bad` are told by number.
pub(crate) fn runs(
    count: u64,
    is_bad: impl Fn(Outcome) -> bool + Sync,
    one: impl Fn(u64) -> Outcome + Sync,
) -> Tally {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut tally = Tally::default();
        loop {
            let run = next.fetch_add(1, Relaxed);
            if run >= count {
                return tally;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| one(run))).unwrap_or(Outcome::Panicked);
            if is_bad(outcome) || matches!(outcome, Outcome::Silent | Outcome::Panicked) {
                tally.bad.push(format!("run {run}: {outcome:?}"));
                tally.bad.truncate(MOST_BAD);
            }
            tally.add(outcome);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let all: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        for one in all {
            tally += one.join().unwrap_or_else(|_| Tally::one(Outcome::Panicked));
        }
    });
    tally
}

/// A way to get at the original.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// `safe_decompress`.
    Memory(OnDamage),
    /// A file, with its index.
    File(OnDamage),
    /// A pipe, front to back.
    Pipe,
    /// Any part of it.
    Range,
    /// `repair`, which must make the container as it was, or refuse, or tell that it cannot be quite as it was.
    Repair,
}

/// What the bytes may be read as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth<'a> {
    /// What must come back, unless something is said.
    pub whole: &'a [u8],
    /// What parts may be of, beside that: where of several containers one is left.
    pub parts: &'a [&'a [u8]],
    /// The container before it was damaged.
    pub container: &'a [u8],
}

impl<'a> Truth<'a> {
    pub(crate) fn of(subject: &'a Subject) -> Self {
        Self { whole: &subject.original, parts: &[], container: &subject.bytes }
    }
}

/// Reads `bytes` and judges; what must be chosen is chosen by `rng`.
pub(crate) fn judge(host: &Host, way: Way, bytes: &[u8], truth: Truth<'_>, rng: &mut Rng) -> Outcome {
    let read = || match way {
        Way::Memory(on_damage) => memory(host, bytes, on_damage, truth),
        Way::File(on_damage) => file(host, bytes, on_damage, truth),
        Way::Pipe => pipe(host, bytes, truth.whole),
        Way::Range => range(host, bytes, truth.whole, rng),
        Way::Repair => repair(host, bytes, truth),
    };
    let outcome = catch_unwind(AssertUnwindSafe(read)).unwrap_or(Outcome::Panicked);
    if matches!(outcome, Outcome::Silent | Outcome::Panicked) {
        keep(way, bytes, truth);
    }
    outcome
}

/// Where containers are kept that came to something that must not be.
static KEPT: OnceLock<PathBuf> = OnceLock::new();

/// From now on, writes each container that is read as something else in silence, or at which something panics, to `dir`; and
/// what is in it.
pub fn keep_bad_in(dir: PathBuf) {
    // A second folder is none of the campaign's wishes.
    let _ = KEPT.set(dir);
}

fn keep(way: Way, bytes: &[u8], truth: Truth<'_>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("{:03}-{way:?}", NEXT.fetch_add(1, Relaxed));
    for (content, extension) in [(bytes, "damaged"), (truth.whole, "original"), (truth.container, "sound")] {
        keep_bytes(&format!("{name}.{extension}"), content);
    }
}

/// Writes a file to the folder of what is kept, if there is one.
pub(crate) fn keep_bytes(name: &str, bytes: &[u8]) {
    let Some(path) = KEPT.get().map(|dir| dir.join(name)) else { return };
    if let Err(e) = fs::write(&path, bytes) {
        eprintln!("cannot keep {}: {e}", path.display());
    }
}

fn memory(host: &Host, bytes: &[u8], on_damage: OnDamage, truth: Truth<'_>) -> Outcome {
    match host.safe_decompress(bytes, on_damage) {
        Restored::Intact(data) => Outcome::right(data == truth.whole, false),
        Restored::Repaired { data, .. } => Outcome::right(data == truth.whole, true),
        Restored::Partial { data, lost, .. } => partial(&data, &lost, on_damage, truth),
        Restored::Failed(_) => Outcome::Refused,
    }
}

/// A file in memory, and a path that leads to it.
pub(crate) fn in_memory(bytes: &[u8]) -> (File, PathBuf) {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = rustix::fs::memfd_create("campaign", flags).map(File::from).expect("a file in memory");
    (&file).write_all(bytes).and_then(|()| (&file).seek(SeekFrom::Start(0))).expect("room in memory");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    (file, path)
}

fn file(host: &Host, bytes: &[u8], on_damage: OnDamage, truth: Truth<'_>) -> Outcome {
    let options = DecompressOptions { threads: Some(1), on_damage, ..DecompressOptions::default() };
    let (summary, out) = match file_to_file(host, bytes, &options) {
        Ok(done) => done,
        Err(outcome) => return outcome,
    };
    let lost: Vec<Range<u64>> = summary.lost.iter().map(|(start, end)| *start..*end).collect();
    if lost.is_empty() {
        Outcome::right(out == truth.whole, !summary.warnings.is_empty())
    } else {
        partial(&out, &lost, on_damage, truth)
    }
}

/// Into a file of the scratch folder, which must not be there when it failed.
fn file_to_file(
    host: &Host,
    bytes: &[u8],
    options: &DecompressOptions,
) -> Result<(Summary, Vec<u8>), Outcome> {
    let (_file, path) = in_memory(bytes);
    let output = new_path();
    let done = host.decompress_file(&path, &output, false, options, &|_| {});
    let out = fs::read(&output);
    discard(&output);
    match (done, out) {
        (Ok(summary), Ok(out)) => Ok((summary, out)),
        (Err(_), Err(_)) => Err(Outcome::Refused),
        _ => Err(Outcome::Silent),
    }
}

/// A path that nothing is at.
fn new_path() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("clipsmaster-judged-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    std::env::temp_dir().join(name)
}

/// What was given must be all that was not lost, of one of the originals.
fn partial(data: &[u8], lost: &[Range<u64>], on_damage: OnDamage, truth: Truth<'_>) -> Outcome {
    let mut originals = [truth.whole].into_iter().chain(truth.parts.iter().copied());
    let is_right = originals.any(|original| what_is_left(original, lost, on_damage).as_deref() == Some(data));
    if is_right && on_damage != OnDamage::Error { Outcome::Partial } else { Outcome::Silent }
}

/// `original` without what is lost of it, or with zeros there.
fn what_is_left(original: &[u8], lost: &[Range<u64>], on_damage: OnDamage) -> Option<Vec<u8>> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(original.len());
    let mut left = Vec::new();
    let mut at = 0;
    for range in lost {
        let (start, end) = (place(range.start), place(range.end));
        left.extend_from_slice(original.get(at..start)?);
        if on_damage == OnDamage::Zero && range.end != u64::MAX {
            left.resize(left.len() + usize::try_from(range.end - range.start).ok()?, 0);
        }
        at = end.max(start);
    }
    left.extend_from_slice(&original[at..]);
    Some(left)
}

/// Through a pipe; what was given before an error must be right, too, where it came from a container.
fn pipe(host: &Host, bytes: &[u8], original: &[u8]) -> Outcome {
    let input = Input::Stream(Box::new(Cursor::new(bytes.to_vec())));
    let options = DecompressOptions { threads: Some(1), ..DecompressOptions::default() };
    let mut out = Vec::new();
    match decompress(host, input, Output::Stream(&mut out), &options, &|_| {}) {
        Err(_) => Outcome::Refused,
        Ok(summary) => Outcome::right(out == original, !summary.warnings.is_empty()),
    }
}

/// Some bytes from the middle, through a reader that seeks or as the command does it.
fn range(host: &Host, bytes: &[u8], original: &[u8], rng: &mut Rng) -> Outcome {
    let start = rng.below(original.len() + 1);
    let end = (start + rng.up_to(original.len() + 1)).min(original.len());
    if rng.below(2) == 0 {
        let range = Some(start as u64..end as u64);
        let options = DecompressOptions { threads: Some(1), range, ..DecompressOptions::default() };
        return match file_to_file(host, bytes, &options) {
            Ok((summary, out)) => Outcome::right(out == original[start..end], !summary.warnings.is_empty()),
            Err(outcome) => outcome,
        };
    }
    let (_file, path) = in_memory(bytes);
    let read = || {
        let mut reader = SeekableReader::open(host, &path).ok()?;
        let mut out = vec![0; end - start];
        reader.seek(SeekFrom::Start(start as u64)).ok()?;
        reader.read_exact(&mut out).ok()?;
        Some(out == original[start..end] && reader.len() == original.len() as u64)
    };
    read().map_or(Outcome::Refused, |is_right| Outcome::right(is_right, false))
}

fn repair(host: &Host, bytes: &[u8], truth: Truth<'_>) -> Outcome {
    let (_file, path) = in_memory(bytes);
    let output = new_path();
    let done = health::repair(host, &path, &output, false, &|_| {});
    let outcome = match done {
        Err(_) if output.exists() => Outcome::Silent,
        Err(_) => Outcome::Refused,
        // Another tool's frames: those that are sound are kept, which is told.
        Ok(health) if health.condition == health::Condition::Partial => Outcome::Partial,
        Ok(health) if health.exact => {
            let is_right = fs::read(&output).is_ok_and(|repaired| repaired == truth.container);
            Outcome::right(is_right, health.condition != health::Condition::Intact)
        }
        // What the file was is lost, and that is told; all of the original must be there.
        Ok(_) => {
            let repaired = fs::read(&output).unwrap_or_default();
            match memory(host, &repaired, OnDamage::Error, truth) {
                Outcome::Intact => Outcome::Repaired,
                _ => Outcome::Silent,
            }
        }
    };
    discard(&output);
    outcome
}

fn discard(path: &Path) {
    // Where nothing was written there is nothing to remove.
    let _ = fs::remove_file(path);
}
