//! Chunked parallel compression: each chunk becomes one frame, frames go out back to back and in order.

use super::{OnBytes, Summary};
use crate::{Compressor, Error, Result, sync::lock};
use clipsmaster_plugin_api as api;
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Instant,
};

/// Most memory for chunks beyond those that are worked on, read or written.
const SPARE_BYTES: usize = 32 << 20;

/// How to compress a stream.
#[derive(Clone, Debug, Default)]
pub struct CompressOptions {
    /// Bytes of input in one frame; by algorithm and level when absent.
    pub chunk_bytes: Option<usize>,
    /// Workers at most; all processors when absent. Fewer where memory is short.
    pub threads: Option<usize>,
    /// Size of the input, in bytes, where it is known: small ones then need no threads and no large buffers.
    pub input_bytes: Option<u64>,
    /// Name of the input in errors.
    pub input: PathBuf,
    /// Name of the output in errors.
    pub output: PathBuf,
}

/// Chunk size, in bytes, at which independent frames cost about 1 % of ratio against one long frame: larger
/// windows need larger chunks.
pub fn default_chunk_bytes(algorithm: &str, level: i32) -> usize {
    const MIB: usize = 1 << 20;
    match (algorithm, level) {
        ("zstd", ..=4) => 4 * MIB,
        ("zstd", 5..=12) => 8 * MIB,
        ("zstd", _) => 32 * MIB,
        ("bzip2", _) => 3_600_000,
        // Three dictionaries, as xz -T does; they are 1 to 64 MiB.
        ("lzma", ..=3) => 8 * MIB,
        ("lzma", 4..=6) => 24 * MIB,
        ("lzma", _) => 64 * MIB,
        _ => 4 * MIB,
    }
}

/// One chunk on its way round.
#[derive(Default)]
struct Chunk {
    sequence: u64,
    /// Buffer of the whole chunk's size, filled up to `input_len`.
    input: Vec<u8>,
    input_len: usize,
    output: Vec<u8>,
    output_len: usize,
    implementation: String,
}

/// Compresses all of `input` to `output`.
///
/// Memory: threads + 1 chunks, each with its output, up to 32 MiB more, and the codec's contexts.
///
/// # Errors
/// [`Error::Io`] on either side, [`Error::Codec`] when every implementation failed on a chunk.
pub fn compress<R: Read + Send, W: Write>(
    compressor: &Compressor,
    mut input: R,
    mut output: W,
    options: &CompressOptions,
    on_bytes: OnBytes<'_>,
) -> Result<Summary> {
    let start = Instant::now();
    let chunk_bytes = options
        .chunk_bytes
        .unwrap_or_else(|| default_chunk_bytes(compressor.algorithm(), compressor.level()));
    let threads =
        options.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1);
    if chunk_bytes == 0 {
        return Err(Error::Usage("chunks of 0 bytes hold nothing".into()));
    }
    let threads = fitting(threads, compressor, chunk_bytes);
    let mut done = Done { output: &mut output, options, on_bytes, summary: Summary::default() };
    let mut first = Chunk::default();
    let known = options.input_bytes.and_then(|b| usize::try_from(b).ok()).unwrap_or(chunk_bytes);
    // A small input needs no large buffer: one byte more than is known to come, to meet the end.
    let first_bytes = known.saturating_add(1).min(chunk_bytes);
    fill(&mut input, &mut first, first_bytes, options)?;
    if first.input_len == first_bytes && first_bytes < chunk_bytes {
        // It has grown since its size was asked for.
        first.input.resize(chunk_bytes, 0);
        first.input_len += fill_from(&mut input, &mut first.input[first_bytes..], options)?;
    }
    if threads == 1 || first.input_len < chunk_bytes || known <= chunk_bytes {
        inline(compressor, &mut input, first, chunk_bytes, &mut done)?;
    } else {
        in_parallel(compressor, input, first, chunk_bytes, threads, &mut done)?;
    }
    let mut summary = done.summary;
    output.flush().map_err(Error::io("write", &options.output))?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.failures = compressor.failures();
    Ok(summary)
}

/// As many of `threads` as half of the free memory holds: two buffers of a chunk and a context for each.
fn fitting(threads: usize, compressor: &Compressor, chunk_bytes: usize) -> usize {
    if threads == 1 {
        return 1;
    }
    let each = 2 * chunk_bytes as u64 + compressor.scratch_bytes(chunk_bytes);
    let most = usize::try_from(super::default_memory_bytes() / each).unwrap_or(usize::MAX);
    threads.min(most).max(1)
}

/// Reads up to a whole chunk.
fn fill(
    input: &mut impl Read,
    chunk: &mut Chunk,
    chunk_bytes: usize,
    options: &CompressOptions,
) -> Result<()> {
    if chunk.input.len() != chunk_bytes {
        chunk.input = vec![0; chunk_bytes];
    }
    chunk.input_len = fill_from(input, &mut chunk.input, options)?;
    Ok(())
}

/// Reads until `buffer` is full or the input ends; the bytes read. (`Read::read_to_end` would read in small steps.)
fn fill_from(input: &mut impl Read, buffer: &mut [u8], options: &CompressOptions) -> Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match input.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", &options.input)(e)),
        }
    }
    Ok(len)
}

fn work(compressor: &Compressor, chunk: &mut Chunk) -> Result<()> {
    let written = compressor.compress_into(&chunk.input[..chunk.input_len], &mut chunk.output)?;
    chunk.output_len = written.len;
    if chunk.implementation != written.implementation {
        written.implementation.clone_into(&mut chunk.implementation);
    }
    Ok(())
}

/// Where finished chunks go, in order.
struct Done<'a, W> {
    output: &'a mut W,
    options: &'a CompressOptions,
    on_bytes: OnBytes<'a>,
    summary: Summary,
}

impl<W: Write> Done<'_, W> {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        let frame = &chunk.output[..chunk.output_len];
        self.output.write_all(frame).map_err(Error::io("write", &self.options.output))?;
        let summary = &mut self.summary;
        summary.input_bytes += chunk.input_len as u64;
        summary.output_bytes += frame.len() as u64;
        summary.chunks += 1;
        match summary.implementations.get_mut(&chunk.implementation) {
            Some(count) => *count += 1,
            None => drop(summary.implementations.insert(chunk.implementation.clone(), 1)),
        }
        (self.on_bytes)(summary.input_bytes);
        Ok(())
    }
}

fn inline<R: Read, W: Write>(
    compressor: &Compressor,
    input: &mut R,
    mut chunk: Chunk,
    chunk_bytes: usize,
    done: &mut Done<'_, W>,
) -> Result<()> {
    loop {
        work(compressor, &mut chunk)?;
        done.write(&chunk)?;
        if chunk.input_len < chunk_bytes {
            return Ok(());
        }
        fill(input, &mut chunk, chunk_bytes, done.options)?;
        if chunk.input_len == 0 {
            return Ok(());
        }
    }
}

fn in_parallel<R: Read + Send, W: Write>(
    compressor: &Compressor,
    input: R,
    first: Chunk,
    chunk_bytes: usize,
    threads: usize,
    done: &mut Done<'_, W>,
) -> Result<()> {
    let (free_sender, free) = mpsc::channel();
    let (full_sender, full) = mpsc::channel();
    let (done_sender, finished) = mpsc::channel();
    let full = Mutex::new(full);
    let stop = AtomicBool::new(false);
    let options = done.options;
    // With `first` one more than there are workers: it is read or written while they work. And some to spare: chunks differ,
    // and one that is done early waits for its turn to be written.
    let spare = (SPARE_BYTES / (2 * chunk_bytes)).min(threads);
    for _ in 0..threads + spare {
        let _ = free_sender.send(Chunk::default());
    }
    thread::scope(|scope| {
        let reader_errors = done_sender.clone();
        let stopped = &stop;
        scope.spawn(move || {
            let all = read_chunks(input, first, chunk_bytes, options, &free, &full_sender, stopped);
            if let Err(e) = all {
                let _ = reader_errors.send(Err(e));
            }
        });
        for _ in 0..threads {
            let finished = done_sender.clone();
            scope.spawn(|| serve(compressor, &full, finished));
        }
        drop(done_sender);
        let answer = write_in_order(&finished, &free_sender, done);
        stop.store(true, Ordering::Relaxed);
        // Wakes a reader that waits for a free chunk, and workers that wait for a full one.
        drop(free_sender);
        drop(finished);
        answer
    })
}

fn read_chunks(
    mut input: impl Read,
    first: Chunk,
    chunk_bytes: usize,
    options: &CompressOptions,
    free: &Receiver<Chunk>,
    full: &Sender<Chunk>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut chunk = first;
    for sequence in 0.. {
        let is_last = chunk.input_len < chunk_bytes;
        let is_empty = chunk.input_len == 0;
        chunk.sequence = sequence;
        if is_empty || full.send(chunk).is_err() || is_last {
            break;
        }
        let Ok(next) = free.recv() else { break };
        if stop.load(Ordering::Relaxed) {
            break;
        }
        chunk = next;
        fill(&mut input, &mut chunk, chunk_bytes, options)?;
    }
    Ok(())
}

fn serve(compressor: &Compressor, full: &Mutex<Receiver<Chunk>>, finished: Sender<Result<Chunk>>) {
    loop {
        let next = lock(full).recv();
        let Ok(mut chunk) = next else { return };
        // A chunk that is lost would leave the others waiting for it.
        let answer = catch_unwind(AssertUnwindSafe(|| work(compressor, &mut chunk)));
        let answer = answer.unwrap_or_else(|_| Err(panicked())).map(|()| chunk);
        if finished.send(answer).is_err() {
            return;
        }
    }
}

fn panicked() -> Error {
    let source = api::Error::internal("a worker panicked");
    Error::Codec { implementation: "compressing".into(), source }
}

fn write_in_order<W: Write>(
    finished: &Receiver<Result<Chunk>>,
    free: &Sender<Chunk>,
    done: &mut Done<'_, W>,
) -> Result<()> {
    let mut early: BTreeMap<u64, Chunk> = BTreeMap::new();
    let mut next = 0;
    for chunk in finished {
        let chunk = chunk?;
        early.insert(chunk.sequence, chunk);
        while let Some(chunk) = early.remove(&next) {
            done.write(&chunk)?;
            next += 1;
            // A reader that is done takes no more chunks.
            let _ = free.send(chunk);
        }
    }
    Ok(())
}
