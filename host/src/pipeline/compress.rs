//! Chunked parallel compression: each chunk becomes one frame, frames go out in order, alone or in a container.

use super::{
    Event, Lanes, OnEvent, Summary,
    group::Group,
    memory::{self, Fit, Need},
    ordered, trial,
};
use crate::{
    Checksum, Compressor, Error, Result, algorithm, buffer,
    compressor::Written,
    container::{
        self, Carrier, ChunkInfo, FileInfo, MARK_BYTES, MAX_CHUNK_BYTES, Writer, group_memory_bytes,
    },
    filter::Filter,
    size,
};
use serde::Serialize;
use std::{
    fmt,
    io::{self, Read, Write},
    path::PathBuf,
    slice,
    str::FromStr,
    time::Instant,
};
use twox_hash::XxHash3_128;

/// Most memory for chunks beyond those that are worked on, read or written.
const SPARE_BYTES: u64 = 32 << 20;

/// What goes around the frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Container {
    /// Nothing: frames back to back, as other tools write them.
    Plain,
    /// Records where the format lets other tools pass over them; our own file where it does not.
    #[default]
    Standard,
    /// Our own file, whatever the format.
    Native,
}

impl Container {
    /// Whether files of `algorithm` have a place for records that other tools pass over.
    pub fn has_place_in(algorithm: &str) -> bool {
        Carrier::of(algorithm) != Carrier::Native
    }
}

/// What is to be done before the codec.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(into = "String")]
pub enum Filtering {
    /// The same to every chunk.
    Always(Filter),
    /// To each chunk what makes a sample of it clearly smaller.
    Auto,
}

impl Default for Filtering {
    fn default() -> Self {
        Self::Always(Filter::None)
    }
}

impl Filtering {
    fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Filtering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(filter) => write!(f, "{filter}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl From<Filtering> for String {
    fn from(filtering: Filtering) -> Self {
        filtering.to_string()
    }
}

impl FromStr for Filtering {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Always).map_err(|e| format!("{e}, and auto"))
    }
}

/// How to compress a stream.
#[derive(Clone, Debug, Default)]
pub struct CompressOptions {
    /// Bytes of input in one frame; by algorithm and level when absent, and smaller where `memory_bytes` asks for it.
    pub chunk_bytes: Option<usize>,
    /// Workers at most; all processors when absent. Fewer where memory is short.
    pub threads: Option<usize>,
    /// Most memory to use, in bytes; half of what is free when absent. A job that cannot do with what is given is refused.
    pub memory_bytes: Option<u64>,
    /// What goes around the frames.
    pub container: Container,
    /// What is done before the codec. Anything but nothing makes our own file: other tools know no filters.
    pub filter: Filtering,
    /// Recovery data, in percent of the compressed bytes, 0 to 100; needs a container.
    pub parity_percent: u8,
    /// Whether each frame is decoded and compared before it is written.
    pub verify: bool,
    /// The user's own, kept in the container; at most 60,000 bytes.
    pub metadata: Vec<u8>,
    /// Size of the input, in bytes, where it is known: small ones then need no threads and no large buffers.
    pub input_bytes: Option<u64>,
    /// Name of the input in errors.
    pub input: PathBuf,
    /// Name of the output in errors.
    pub output: PathBuf,
}

/// Chunk size, in bytes, at which independent frames cost at most 1 % of ratio against one long frame, measured on text, logs,
/// code, images and weights: larger windows need larger chunks.
///
/// Known to cost more: code with xz 9 (1.07 % at the largest chunk there is), 8-bit images with zstd 9 and 12 (up to 4 % with less than
/// 16 MiB).
pub fn default_chunk_bytes(algorithm: &str, level: i32) -> usize {
    const MIB: usize = 1 << 20;
    match (algorithm, level) {
        // Fast ones gain more by what stays in the processor's caches than they lose at the borders of chunks.
        ("store" | "snappy", _) | ("lz4", ..=2) | ("gzip", ..=6) => MIB,
        ("zstd", ..=1) => 2 * MIB,
        ("zstd", 2..=5) => 4 * MIB,
        ("zstd", 6..=12) => 16 * MIB,
        ("zstd", 13..=19) => 32 * MIB,
        ("zstd", 20..) => 64 * MIB,
        // Whole blocks of 900 kB.
        ("bzip2", _) => 3_600_000,
        // Dictionaries are 256 KiB to 64 MiB.
        ("lzma", ..=2) => 8 * MIB,
        ("lzma", 3..=6) => 24 * MIB,
        ("lzma", _) => 64 * MIB,
        // Less would do for the ratio; the records cost less this way.
        _ => 4 * MIB,
    }
}

/// A little less than `chunk_bytes`, so that as many chunks as `workers` end at about the same time: an input of few chunks
/// would keep some waiting at its end.
fn balanced(chunk_bytes: usize, input_bytes: Option<u64>, workers: usize) -> usize {
    const STEP: u64 = 64 << 10;
    let chunks = input_bytes.map_or(0, |len| len.div_ceil(chunk_bytes as u64));
    let rounds = chunks.div_ceil(workers as u64);
    if chunks < 2 || rounds > 4 {
        return chunk_bytes;
    }
    let even = input_bytes.unwrap_or(0).div_ceil(rounds * workers as u64).next_multiple_of(STEP);
    chunk_bytes.min(usize::try_from(even).unwrap_or(chunk_bytes))
}

/// One chunk on its way round.
#[derive(Default)]
struct Chunk {
    /// Buffer of the whole chunk's size, filled up to `input_len`.
    input: Vec<u8>,
    input_len: usize,
    output: Vec<u8>,
    /// Where the frame begins in it: there is room for a mark before it.
    output_start: usize,
    output_len: usize,
    filter: Filter,
    /// What the filter made of the input, if there is one.
    filtered: Vec<u8>,
    /// For comparing, where that is asked for.
    decoded: Vec<u8>,
    implementation: String,
    info: Option<ChunkInfo>,
}

impl Chunk {
    fn frame(&self) -> &[u8] {
        &self.output[self.output_start..][..self.output_len]
    }

    /// Chooses the filter and applies it: what the codec is given, and where its frame goes.
    fn filtered(&mut self, compressor: &Compressor, filtering: Filtering) -> Result<(&[u8], &mut Vec<u8>)> {
        let raw = &self.input[..self.input_len];
        self.filter = match filtering {
            Filtering::Always(filter) => filter,
            Filtering::Auto => trial::best_filter(compressor, raw)?,
        };
        if self.filter == Filter::None {
            return Ok((raw, &mut self.output));
        }
        buffer::resize(&mut self.filtered, raw.len()).map_err(|_| no_memory(raw.len()))?;
        self.filter.apply(raw, &mut self.filtered);
        Ok((&self.filtered, &mut self.output))
    }

    /// What the codec is given.
    fn codec_input(&self) -> &[u8] {
        if self.filter == Filter::None { &self.input[..self.input_len] } else { &self.filtered }
    }

    /// Decodes the frame as it will be written, mark included, and compares.
    fn verify(&mut self, compressor: &Compressor) -> Result<()> {
        let mut decoded = std::mem::take(&mut self.decoded);
        compressor.verify(Checksum::Own, self.codec_input(), self.frame(), &mut decoded)?;
        if self.filter != Filter::None {
            self.filter.undo(&self.filtered, &mut decoded);
            if decoded != self.input[..self.input_len] {
                return Err(Error::Mismatch(format!("{} cannot be undone", self.filter)));
            }
        }
        self.decoded = decoded;
        Ok(())
    }
}

/// Compresses all of `input` to `output`.
///
/// Memory: threads + 2 chunks, each with its output, up to 32 MiB more, the codec's contexts, and 1.3 parity groups of 64 MiB where there
/// is parity; never more than allowed.
///
/// # Errors
/// [`Error::Io`] on either side, [`Error::Codec`] when every implementation failed on a chunk, [`Error::Usage`] when the
/// options make no sense or the memory does not suffice.
pub fn compress<R: Read + Send, W: Write>(
    compressor: &Compressor,
    mut input: R,
    output: W,
    options: &CompressOptions,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    let start = Instant::now();
    let mut chunk_bytes = checked(compressor, options)?;
    let smaller = smaller_chunk(compressor, options, chunk_bytes);
    let note = smaller.map(|(fits, allowed)| {
        let [fits, usual, allowed] = [fits as u64, chunk_bytes as u64, allowed].map(size::binary);
        format!("chunks of {fits} instead of {usual}: {allowed} of memory are allowed (--memory-limit)")
    });
    chunk_bytes = smaller.map_or(chunk_bytes, |(fits, _)| fits);
    if options.chunk_bytes.is_none() && !is_one_chunk(options.input_bytes, chunk_bytes) {
        chunk_bytes = balanced(chunk_bytes, options.input_bytes, memory::threads(options.threads));
    }
    let known = options.input_bytes.and_then(|b| usize::try_from(b).ok()).unwrap_or(chunk_bytes);
    let (fit, batch) = fitting(compressor, options, chunk_bytes, known)?;
    // A small input needs no large buffer: one byte more than is known to come, to meet the end.
    let first_bytes = known.saturating_add(1).min(chunk_bytes);
    let mut first = Chunk::default();
    fill(&mut input, &mut first, first_bytes, options)?;
    if first.input_len == first_bytes && first_bytes < chunk_bytes {
        // It has grown since its size was asked for.
        first.input.resize(chunk_bytes, 0);
        first.input_len += fill_from(&mut input, &mut first.input[first_bytes..], options)?;
    }
    // What is announced is what readers plan memory for: a lone chunk says how small it is.
    let announced = if first.input_len < chunk_bytes { first.input_len.max(1) } else { chunk_bytes };
    let sink = Sink::new(output, compressor, options, announced, fit.workers.max(1));
    let mut done = Done { sink, options, on_event, summary: Summary::default() };
    done.summary.warnings.extend(note.into_iter().chain(fit.note));
    let is_short = first.input_len < chunk_bytes || is_one_chunk(options.input_bytes, chunk_bytes);
    let lanes = Lanes {
        workers: if is_short || fit.items < 2 { 0 } else { fit.workers },
        items: fit.items,
        patience: memory::patience(batch * chunk_bytes),
    };
    let mut source = Source { input, options, chunk_bytes, first: Some(first), is_ended: false };
    let fill = |group: &mut Group<Chunk>| group.fill(batch, |chunk| source.next(chunk));
    let work = |group: &mut Group<Chunk>| work(compressor, options, group.chunks());
    let take = |group: &mut Group<Chunk>| group.chunks().iter_mut().try_for_each(|chunk| done.write(chunk));
    let who = || compressor.implementation().to_owned();
    ordered(lanes, fill, work, take, &who, on_event)?;
    let mut summary = done.finish()?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.warnings.extend(compressor.failures());
    Ok(summary)
}

/// Whether no second chunk is to be expected; of a pipe one always is.
fn is_one_chunk(input_bytes: Option<u64>, chunk_bytes: usize) -> bool {
    input_bytes.is_some_and(|bytes| bytes <= chunk_bytes as u64)
}

/// The chunk size, once the options have been found to make sense.
fn checked(compressor: &Compressor, options: &CompressOptions) -> Result<usize> {
    let algorithm = compressor.algorithm();
    let chunk_bytes =
        options.chunk_bytes.unwrap_or_else(|| default_chunk_bytes(algorithm, compressor.level()));
    let usage = |text: String| Err(Error::Usage(text));
    if chunk_bytes == 0 || chunk_bytes > MAX_CHUNK_BYTES {
        return usage(format!("chunks of {chunk_bytes} bytes; they may be 1 byte to 64 MiB"));
    }
    if options.parity_percent > 100 {
        return usage(format!("parity of {} %; it may be 0 to 100", options.parity_percent));
    }
    if options.metadata.len() > crate::container::MAX_METADATA_BYTES {
        return usage(format!("metadata of {} bytes; at most 60,000 fit", options.metadata.len()));
    }
    if options.container == Container::Plain {
        if options.parity_percent > 0 {
            return usage("parity needs a container; plain frames have no place for it".into());
        }
        if !options.filter.is_none() {
            return usage("a filter needs our own container; other tools could not undo it".into());
        }
    } else if !ChunkInfo::can_name(algorithm) {
        return usage(format!(
            "`{algorithm}` is too long a name for a container, which holds 16 bytes; ask for plain frames"
        ));
    }
    Ok(chunk_bytes)
}

/// What the usual chunks are cut to, where a limit of memory that is given with it does not allow for one of them.
fn smaller_chunk(compressor: &Compressor, options: &CompressOptions, usual: usize) -> Option<(usize, u64)> {
    let allowed = options.memory_bytes.filter(|_| options.chunk_bytes.is_none())?;
    let takes = |bytes| need_of(compressor, options, bytes).least();
    memory::smaller_chunk(usual, allowed, takes).map(|fits| (fits, allowed))
}

/// What chunks of so many bytes take, or all of the input, where it is known to be shorter.
fn need_of(compressor: &Compressor, options: &CompressOptions, chunk_bytes: usize) -> Need {
    let known = options.input_bytes.unwrap_or(u64::MAX).max(1);
    let filled = (chunk_bytes as u64).min(known);
    let copies = 2 + u64::from(options.verify) + u64::from(!options.filter.is_none());
    Need {
        fixed: group_memory_bytes(options.parity_percent),
        item: copies * filled + (64 << 10),
        worker: compressor.scratch_bytes(filled as usize),
        spare: SPARE_BYTES,
    }
}

fn fitting(
    compressor: &Compressor,
    options: &CompressOptions,
    chunk_bytes: usize,
    known: usize,
) -> Result<(Fit, usize)> {
    let need = need_of(compressor, options, chunk_bytes);
    let is_little = is_one_chunk(options.input_bytes, chunk_bytes.min(memory::LITTLE_BYTES as usize));
    if is_little && options.memory_bytes.is_none() && options.parity_percent == 0 {
        return Ok((Fit { workers: 0, items: 1, note: None }, 1));
    }
    let threads = memory::threads(options.threads);
    let chunks = known.div_ceil(chunk_bytes).max(1);
    let batch =
        if options.input_bytes.is_some() { compressor.batch().min(chunks) } else { compressor.batch() };
    memory::fit_batches(threads, options.memory_bytes, &need, batch).map_err(|short| {
        let takes = |bytes| need_of(compressor, options, bytes).least();
        let hint = match memory::smaller_chunk(chunk_bytes, short.allowed, takes) {
            Some(bytes) => format!("--chunk-size {}KB would fit", bytes >> 10),
            None if need.fixed > 0 => {
                format!("parity alone takes {}; without it less is needed", size::binary(need.fixed))
            }
            None => "a lower level needs less".into(),
        };
        Error::Usage(format!("{} at level {}: {short}; {hint}", compressor.algorithm(), compressor.level()))
    })
}

/// Where chunks come from.
struct Source<'a, R> {
    input: R,
    options: &'a CompressOptions,
    chunk_bytes: usize,
    first: Option<Chunk>,
    is_ended: bool,
}

impl<R: Read> Source<'_, R> {
    /// Fills the next chunk; an empty input has one, an empty one.
    fn next(&mut self, chunk: &mut Chunk) -> Result<bool> {
        if let Some(first) = self.first.take() {
            *chunk = first;
        } else if self.is_ended {
            return Ok(false);
        } else {
            fill(&mut self.input, chunk, self.chunk_bytes, self.options)?;
            if chunk.input_len == 0 {
                return Ok(false);
            }
        }
        self.is_ended = chunk.input_len < self.chunk_bytes;
        Ok(true)
    }
}

/// Reads up to a whole chunk.
fn fill(
    input: &mut impl Read,
    chunk: &mut Chunk,
    chunk_bytes: usize,
    options: &CompressOptions,
) -> Result<()> {
    if chunk.input.len() != chunk_bytes {
        buffer::resize(&mut chunk.input, chunk_bytes).map_err(|_| no_memory(chunk_bytes))?;
    }
    chunk.input_len = fill_from(input, &mut chunk.input, options)?;
    Ok(())
}

fn no_memory(len: usize) -> Error {
    Error::Usage(format!("no memory for a chunk of {len} bytes; a smaller --chunk-size needs less"))
}

/// Reads until `buffer` is full or the input ends; the bytes read. (`Read::read_to_end` would read in small steps.)
fn fill_from(input: &mut impl Read, buffer: &mut [u8], options: &CompressOptions) -> Result<usize> {
    super::read_full(input, buffer).map_err(Error::io("read", &options.input))
}

/// Compresses `chunks`, in one call where the codec wants that. What then is not done is done one by one, by another implementation if need
/// be.
fn work(compressor: &Compressor, options: &CompressOptions, chunks: &mut [Chunk]) -> Result<()> {
    if let [chunk] = chunks {
        let (source, output) = chunk.filtered(compressor, options.filter)?;
        let written = compressor.compress_into(Checksum::Own, source, output, MARK_BYTES)?;
        return finish(compressor, options, chunk, &written);
    }
    let filtered = chunks.iter_mut().map(|c| c.filtered(compressor, options.filter));
    let mut jobs = filtered.collect::<Result<Vec<_>>>()?;
    let done = compressor.compress_batch(&mut jobs, MARK_BYTES);
    for (chunk, done) in chunks.iter_mut().zip(done) {
        match done {
            Some(written) => finish(compressor, options, chunk, &written)?,
            None => work(compressor, options, slice::from_mut(chunk))?,
        }
    }
    Ok(())
}

/// Makes a frame of the container of what was `written` of `chunk`.
fn finish(
    compressor: &Compressor,
    options: &CompressOptions,
    chunk: &mut Chunk,
    written: &Written<'_>,
) -> Result<()> {
    chunk.output_start = MARK_BYTES;
    chunk.output_len = written.len;
    if chunk.implementation != written.implementation {
        written.implementation.clone_into(&mut chunk.implementation);
    }
    if options.container != Container::Plain {
        // Also in our own files, of which a first frame without what stood before it would else be another tool's.
        let carrier = Carrier::of(compressor.algorithm());
        let len = chunk.output_len;
        (chunk.output_start, chunk.output_len) =
            container::mark_in_place(carrier, &mut chunk.output, len, chunk.input_len);
        chunk.info = Some(describe(compressor, options, chunk));
    }
    if options.verify {
        chunk.verify(compressor)?;
    }
    Ok(())
}

fn describe(compressor: &Compressor, options: &CompressOptions, chunk: &Chunk) -> ChunkInfo {
    let raw = &chunk.input[..chunk.input_len];
    // Where frames may be of any format, what does not shrink is kept as it is.
    let is_stored = carrier(compressor, options) == Carrier::Native && chunk.output_len >= chunk.input_len;
    let algorithm = if is_stored { algorithm::STORE } else { compressor.algorithm() };
    let frame = if is_stored { raw } else { chunk.frame() };
    ChunkInfo {
        number: 0,
        raw_offset: 0,
        raw_bytes: raw.len() as u32,
        frame_bytes: frame.len() as u32,
        algorithm: algorithm.to_owned(),
        level: compressor.level() as i16,
        filter: if is_stored { 0 } else { chunk.filter.code() },
        decoder_kib: (algorithm::decoder_bytes(algorithm, compressor.level(), u64::MAX) >> 10) as u32,
        frame_crc: crc32fast::hash(frame),
        raw_crc: crc32fast::hash(raw),
        raw_hash: XxHash3_128::oneshot(raw),
    }
}

fn carrier(compressor: &Compressor, options: &CompressOptions) -> Carrier {
    match options.container {
        Container::Native => Carrier::Native,
        _ if !options.filter.is_none() => Carrier::Native,
        _ => Carrier::of(compressor.algorithm()),
    }
}

/// What frames are written to.
enum Sink<W: Write> {
    Plain(W, u64),
    Container(Writer<W>),
}

impl<W: Write> Sink<W> {
    fn new(
        output: W,
        compressor: &Compressor,
        options: &CompressOptions,
        chunk_bytes: usize,
        threads: usize,
    ) -> Self {
        if options.container == Container::Plain {
            return Self::Plain(output, 0);
        }
        let file = FileInfo {
            algorithm: compressor.algorithm().to_owned(),
            level: compressor.level(),
            chunk_bytes: chunk_bytes as u64,
            parity_percent: options.parity_percent,
            written_by: compressor.signature(),
            metadata: options.metadata.clone(),
            carrier: carrier(compressor, options),
        };
        Self::Container(Writer::new(output, file, threads))
    }

    fn write(&mut self, chunk: &mut Chunk) -> io::Result<u64> {
        let info = chunk.info.take();
        let frame = chunk.frame();
        match (self, info) {
            (Self::Container(writer), Some(info)) => {
                let is_stored = info.algorithm == algorithm::STORE;
                writer.chunk(info, if is_stored { &chunk.input[..chunk.input_len] } else { frame })?;
                Ok(writer.position())
            }
            (Self::Container(_), None) => Err(io::Error::other("a chunk without a description")),
            (Self::Plain(output, written), _) => {
                output.write_all(frame)?;
                *written += frame.len() as u64;
                Ok(*written)
            }
        }
    }

    fn finish(self) -> io::Result<(W, u64)> {
        match self {
            Self::Plain(mut output, written) => output.flush().map(|()| (output, written)),
            Self::Container(writer) => writer.finish(),
        }
    }
}

/// Chunks one at a time, on the caller's thread.
pub(crate) struct ChunkSink<'a, W: Write> {
    sink: Sink<W>,
    compressor: &'a Compressor,
    options: &'a CompressOptions,
    chunk_bytes: usize,
    chunk: Chunk,
}

impl<'a, W: Write> ChunkSink<'a, W> {
    pub(crate) fn new(output: W, compressor: &'a Compressor, options: &'a CompressOptions) -> Result<Self> {
        let chunk_bytes = checked(compressor, options)?;
        let sink = Sink::new(output, compressor, options, chunk_bytes, 1);
        Ok(Self { sink, compressor, options, chunk_bytes, chunk: Chunk::default() })
    }

    pub(crate) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Compresses and writes one chunk: all but the last of `chunk_bytes`.
    pub(crate) fn write(&mut self, raw: &[u8]) -> Result<()> {
        self.chunk.input.clear();
        self.chunk.input.extend_from_slice(raw);
        self.chunk.input_len = raw.len();
        work(self.compressor, self.options, slice::from_mut(&mut self.chunk))?;
        self.sink.write(&mut self.chunk).map_err(Error::io("write", &self.options.output))?;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<W> {
        let (output, _) = self.sink.finish().map_err(Error::io("write", &self.options.output))?;
        Ok(output)
    }
}

/// Where finished chunks go, in order.
struct Done<'a, W: Write> {
    sink: Sink<W>,
    options: &'a CompressOptions,
    on_event: OnEvent<'a>,
    summary: Summary,
}

impl<W: Write> Done<'_, W> {
    fn write(&mut self, chunk: &mut Chunk) -> Result<()> {
        self.sink.write(chunk).map_err(Error::io("write", &self.options.output))?;
        self.summary.input_bytes += chunk.input_len as u64;
        self.summary.count(&chunk.implementation);
        (self.on_event)(Event::Done(self.summary.input_bytes));
        Ok(())
    }

    fn finish(mut self) -> Result<Summary> {
        let (_, written) = self.sink.finish().map_err(Error::io("write", &self.options.output))?;
        self.summary.output_bytes = written;
        Ok(self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_chunks_are_shared_out_evenly() {
        const MIB: usize = 1 << 20;
        assert_eq!(balanced(8 * MIB, Some(30 * MIB as u64), 2), 30 * MIB / 4);
        assert_eq!(balanced(8 * MIB, Some(9 * MIB as u64), 2), 9 * MIB / 2);
        assert_eq!(balanced(8 * MIB, Some(8 * MIB as u64), 2), 8 * MIB, "one chunk stays one");
        assert_eq!(balanced(8 * MIB, Some(500 * MIB as u64), 2), 8 * MIB);
        assert_eq!(balanced(8 * MIB, None, 2), 8 * MIB);
    }
}
