//! The streams of the double: what was put on each and not done yet.

use crate::faults::fault;
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    process,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

/// What work on a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Upload,
    Kernel,
    Download,
}

/// Work that was put off.
pub(crate) struct Work {
    pub kind: Kind,
    /// Addresses and lengths of the memory that it reads and writes, as far as that is known.
    pub uses: Vec<(usize, usize)>,
    pub act: Box<dyn FnOnce() + Send>,
}

/// Streams by their numbers, which begin at 1.
static STREAMS: Mutex<BTreeMap<usize, Vec<Work>>> = Mutex::new(BTreeMap::new());

fn streams() -> MutexGuard<'static, BTreeMap<usize, Vec<Work>>> {
    STREAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Another stream: its number.
pub(crate) fn create() -> usize {
    static CREATED: Mutex<usize> = Mutex::new(0);
    let mut created = CREATED.lock().unwrap_or_else(PoisonError::into_inner);
    *created += 1;
    streams().insert(*created, Vec::new());
    log(&format!("{created} create"));
    *created
}

pub(crate) fn destroy(number: usize) {
    log(&format!("{number} destroy"));
    match streams().remove(&number) {
        Some(work) if work.is_empty() => {}
        Some(_) => end("a stream is destroyed with work on it"),
        None => end("a stream is destroyed that is none"),
    }
}

pub(crate) fn put(number: usize, work: Work) {
    log(&format!("{number} {:?}", work.kind));
    match streams().get_mut(&number) {
        Some(stream) => stream.push(work),
        None => end("work on a stream that is none"),
    }
}

/// What is to be done now that the stream is waited for.
pub(crate) fn take(number: usize) -> Vec<Work> {
    log(&format!("{number} Wait"));
    match streams().get_mut(&number) {
        Some(stream) => std::mem::take(stream),
        None => end("a stream is waited for that is none"),
    }
}

/// Ends the program if work that was put off needs this memory.
pub(crate) fn assert_unused(address: usize, len: usize) {
    let overlaps = |(start, n): &(usize, usize)| *start < address + len && address < start + n;
    if streams().values().flatten().flat_map(|work| &work.uses).any(overlaps) {
        end("memory is freed that a copy needs");
    }
}

/// Adds a line to the log, if the tests want one.
pub(crate) fn log(line: &str) {
    static LOG: LazyLock<Option<File>> =
        LazyLock::new(|| File::options().create(true).append(true).open(fault("LOG")?).ok());
    if let Some(mut file) = LOG.as_ref() {
        // A line that is missing fails the test.
        let _ = writeln!(file, "{line}");
    }
}

fn end(why: &str) -> ! {
    let _ = writeln!(std::io::stderr(), "double of the CUDA driver: {why}");
    process::abort();
}
