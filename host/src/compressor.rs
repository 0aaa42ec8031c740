//! Compressing and decompressing with the best implementation, and with the next one when it fails.

use crate::{
    Error, Result, algorithm,
    benchmark::clock::Clock,
    buffer, is_container,
    registry::Entry,
    selection::Ranked,
    sync::lock,
    turns::{Turn, Turns},
};
use clipsmaster_plugin_api::{
    self as api, BatchItem, ErrorKind, Options, SKIP_CHECKSUM, WHOLE_BYTES,
    abi::import::{self, Batch, Instance, StreamDecoder},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::TryReserveError,
    io::Read,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Most bytes decompressed in memory when neither metadata nor the frame tell the size.
const MAX_UNDECLARED_BYTES: usize = 2 << 30;
/// Declared sizes up to this are believed at once; larger ones are approached step by step.
const BELIEVED_BYTES: u64 = 64 << 20;

/// Most chunks in one call, whatever a codec wishes.
const MOST_IN_BATCH: usize = 256;

/// What is known about a piece of compressed data; keep it beside the data.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Algorithm of the frames.
    pub algorithm: String,
    /// Implementation that wrote them.
    pub implementation: String,
    /// Hardware it ran on.
    pub hardware: String,
    /// Its own level.
    pub level: i32,
    /// Size before, in bytes.
    pub original_size: u64,
    /// Size after, in bytes.
    pub compressed_size: u64,
    /// `original_size / compressed_size`.
    pub ratio: f64,
    /// CRC-32 (IEEE) of the original bytes.
    pub crc32: u32,
    /// Time it took, in seconds.
    pub seconds: f64,
}

impl Metadata {
    /// Whether `data` is a container, and not a stored copy of one.
    pub fn is_of_container(&self, data: &[u8]) -> bool {
        let is_copy = self.algorithm == algorithm::STORE && self.original_size == data.len() as u64;
        !is_copy && is_container(data)
    }

    /// Whether `out` is what was compressed, by size and CRC-32.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check(&self, out: &[u8]) -> Result<()> {
        if out.len() as u64 != self.original_size {
            return Err(Error::Mismatch(format!("{} bytes instead of {}", out.len(), self.original_size)));
        }
        let crc = crc32fast::hash(out);
        if crc != self.crc32 {
            return Err(Error::Mismatch(format!("CRC-32 {crc:08x} instead of {:08x}", self.crc32)));
        }
        Ok(())
    }
}

/// Compresses with the best implementation for one request and decompresses with the best decoder of the same
/// algorithm. `Send + Sync`; instances are kept and reused.
#[derive(Debug)]
pub struct Compressor {
    algorithm: String,
    encoders: Chain,
    decoders: Chain,
}

impl Compressor {
    pub(crate) fn new(algorithm: String, encoders: Vec<Link>, decoders: Vec<Link>) -> Self {
        let (encoders, decoders) = (Chain::new(encoders, false), Chain::new(decoders, true));
        Self { algorithm, encoders, decoders }
    }

    /// For samples of `bytes` bytes: codecs that would set themselves up otherwise for so much do so for them.
    #[must_use]
    pub(crate) fn for_samples_of(mut self, bytes: u64) -> Self {
        self.encoders.links.iter_mut().for_each(|link| link.whole_bytes = Some(bytes));
        self
    }

    /// How many times as fast as the reference the first implementation was predicted to compress; 1 where that is not known, or a pin decides.
    pub(crate) fn gain(&self) -> f64 {
        let links = &self.encoders.links;
        let reference = links.iter().find(|l| algorithm::is_reference(&self.algorithm, &l.info().library));
        let predicted_s = |link: Option<&Link>| link.and_then(Link::predicted_s);
        predicted_s(reference)
            .zip(predicted_s(links.first()))
            .map_or(1.0, |(reference, first)| reference / first)
    }

    /// Algorithm of the frames.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Implementation that compresses now: the first that has not failed.
    pub fn implementation(&self) -> &str {
        self.encoders.current().map_or("", |l| &l.id)
    }

    /// Hardware that compresses now.
    pub fn hardware(&self) -> &str {
        self.encoders.current().map_or("", Link::hardware)
    }

    /// The compressing implementation's own level.
    pub fn level(&self) -> i32 {
        self.encoders.current().map_or(0, |l| l.level)
    }

    /// What failed so far, and why the next implementation took over.
    pub fn failures(&self) -> Vec<String> {
        [&self.encoders, &self.decoders].iter().flat_map(|c| lock(&c.failures).clone()).collect()
    }

    /// Memory, in bytes, that compressing chunks of `len` bytes takes beside the buffers; 0 if unknown.
    pub(crate) fn scratch_bytes(&self, len: usize) -> u64 {
        let link = self.encoders.current();
        let known = link.and_then(|l| l.codec().ok()?.scratch_bytes(l.level, len).ok());
        known.unwrap_or_default()
    }

    /// Compresses `data` into whole frames.
    ///
    /// # Errors
    /// [`Error::Codec`] of the last implementation, when all fail.
    pub fn compress(&self, data: &[u8]) -> Result<(Vec<u8>, Metadata)> {
        let mut out = Vec::new();
        let metadata = self.compress_to(data, &mut out)?;
        out.truncate(metadata.compressed_size as usize);
        out.shrink_to_fit();
        Ok((out, metadata))
    }

    /// As [`compress`](Self::compress), to the start of `out`, a buffer for reuse: it is grown where it is too short, and what follows the
    /// compressed bytes in it means nothing.
    ///
    /// # Errors
    /// As [`compress`](Self::compress).
    pub fn compress_to(&self, data: &[u8], out: &mut Vec<u8>) -> Result<Metadata> {
        let mut metadata = Metadata::default();
        self.compress_again(Checksum::Own, data, out, &mut metadata)?;
        Ok(metadata)
    }

    /// As [`compress_to`](Self::compress_to), with `metadata` for reuse too, and `checksum` as what damage will be noticed by: the CRC-32 of the
    /// metadata may be the caller's.
    ///
    /// # Errors
    /// As [`compress`](Self::compress).
    pub fn compress_again(
        &self,
        checksum: Checksum,
        data: &[u8],
        out: &mut Vec<u8>,
        metadata: &mut Metadata,
    ) -> Result<()> {
        let start = Instant::now();
        let written = self.compress_into(checksum, data, out, 0)?;
        self.describe(data, &written, start, metadata);
        Ok(())
    }

    /// Metadata of `data` that was compressed since `start`.
    pub(crate) fn metadata(&self, data: &[u8], written: &Written<'_>, start: Instant) -> Metadata {
        let mut metadata = Metadata::default();
        self.describe(data, written, start, &mut metadata);
        metadata
    }

    fn describe(&self, data: &[u8], written: &Written<'_>, start: Instant, to: &mut Metadata) {
        to.algorithm.clone_from(&self.algorithm);
        written.implementation.clone_into(&mut to.implementation);
        written.hardware.clone_into(&mut to.hardware);
        to.level = written.level;
        to.original_size = data.len() as u64;
        to.compressed_size = written.len as u64;
        to.ratio = data.len() as f64 / written.len.max(1) as f64;
        to.crc32 = crc32fast::hash(data);
        to.seconds = start.elapsed().as_secs_f64();
    }

    /// Compresses `data` into `out` behind its first `front` bytes. It is grown where it is too short and keeps its length otherwise: a
    /// buffer for reuse.
    ///
    /// # Errors
    /// As [`compress`](Self::compress).
    pub(crate) fn compress_into(
        &self,
        checksum: Checksum,
        data: &[u8],
        out: &mut Vec<u8>,
        front: usize,
    ) -> Result<Written<'_>> {
        let compress = |link: &Link, instance: &mut Instance| link.compress_with(instance, data, out, front);
        let (len, link) = self.encoders.run(&self.algorithm, data.len(), checksum, compress)?;
        Ok(Written { len, implementation: &link.id, hardware: link.hardware(), level: link.level })
    }

    /// Chunks that the compressing implementation wants in one call.
    pub(crate) fn batch(&self) -> usize {
        self.encoders.current().map_or(1, |l| l.info().batch.clamp(1, MOST_IN_BATCH))
    }

    /// Chunks that the decompressing implementation wants in one call.
    pub(crate) fn decoder_batch(&self) -> usize {
        self.decoders.current().map_or(1, |l| l.info().batch.clamp(1, MOST_IN_BATCH))
    }

    /// As [`compress_into`](Self::compress_into) for each of `jobs`, in one call of the first implementation. What it does not do is `None`, and
    /// to be tried one by one, where the reason shows.
    pub(crate) fn compress_batch(
        &self,
        jobs: &mut [(&[u8], &mut Vec<u8>)],
        front: usize,
    ) -> Vec<Option<Written<'_>>> {
        let lens = self.encoders.current().and_then(|link| {
            let compress = |instance: &mut Instance, batch: &Batch| {
                for (src, out) in jobs.iter_mut() {
                    if src.len() as u64 > link.info().max_chunk_bytes {
                        return Err(ErrorKind::Unsupported.into());
                    }
                    grow(out, front + checked_bound(instance, src.len())?)?;
                }
                let items = jobs.iter_mut().map(|(src, out)| BatchItem::new(src, &mut out[front..]));
                let mut items: Vec<_> = items.collect();
                instance.compress_batch(batch, &mut items)?;
                Ok(items.into_iter().map(|item| item.result.ok()).collect::<Vec<_>>())
            };
            Some((link, link.call_batch(compress)?))
        });
        let Some((link, lens)) = lens else { return jobs.iter().map(|_| None).collect() };
        let written =
            |len| Written { len, implementation: &link.id, hardware: link.hardware(), level: link.level };
        lens.into_iter().map(|len| len.map(written)).collect()
    }

    /// Decodes each frame of `jobs`, known to be as it was written, into its buffer, in one call of the first implementation, which it
    /// answers for each of which so many bytes as the buffer holds came out; what they are is to be judged.
    pub(crate) fn decode_batch(&self, jobs: &mut [(&[u8], &mut [u8])]) -> Vec<Option<&str>> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let decoded = self.decoders.current().and_then(|link| {
            let by = |is_whole: bool| is_whole.then_some(link.id.as_str());
            link.call_batch(|instance, batch| {
                let items = jobs.iter_mut().map(|(frame, out)| BatchItem::new(frame, out));
                let mut items: Vec<_> = items.collect();
                instance.decompress_batch(batch, &mut items)?;
                Ok(items.iter().map(|item| by(item.result == Ok(item.dst.len()))).collect())
            })
        });
        decoded.unwrap_or_else(|| vec![None; jobs.len()])
    }

    /// Which implementation compresses, with the version of its library, for the records.
    pub(crate) fn signature(&self) -> String {
        let link = self.encoders.current();
        link.map_or_else(String::new, |l| format!("{} {}", l.id, l.info().library_version))
    }

    /// Decodes `frame` into `decoded`, a buffer for reuse, and compares.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when other bytes come back.
    pub(crate) fn verify(
        &self,
        checksum: Checksum,
        raw: &[u8],
        frame: &[u8],
        decoded: &mut Vec<u8>,
    ) -> Result<()> {
        let no_memory = |_| Error::Usage(format!("no memory to verify a chunk of {} bytes", raw.len()));
        buffer::resize(decoded, raw.len()).map_err(no_memory)?;
        self.decode_frame_by(checksum, frame, decoded, |out| out == raw).map(drop).map_err(|e| {
            Error::Mismatch(format!(
                "{} wrote a frame that does not decode to its input ({e})",
                self.implementation()
            ))
        })
    }

    /// Decodes frames known to be as they were written into exactly `out`, which `is_right` judges, whatever checksum frames carry. A decoder that makes
    /// something else of them is at fault, so the next one takes over. Answers the implementation that got it right.
    ///
    /// # Errors
    /// [`Error::Codec`] of the last one, when none gets it right.
    pub(crate) fn decode_frame(
        &self,
        frame: &[u8],
        out: &mut [u8],
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Result<&str> {
        self.decode_frame_by(Checksum::Callers, frame, out, is_right)
    }

    fn decode_frame_by(
        &self,
        checksum: Checksum,
        frame: &[u8],
        out: &mut [u8],
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Result<&str> {
        let wrong =
            |e: api::Error| api::Error::internal(format!("cannot decode a frame whose CRC is right: {e}"));
        let (_, link) = self.decoders.run("a frame", frame.len(), checksum, |_, instance| {
            let written = instance
                .decompress(frame, out)
                .map_err(|e| if blames_data(e.kind) { wrong(e) } else { e })?;
            let is_right = written == out.len() && is_right(out);
            is_right.then_some(written).ok_or_else(|| wrong(api::Error::internal("other bytes came out")))
        })?;
        Ok(&link.id)
    }

    /// Decompresses all frames of `data`, which errors call `name`, to the start of `out`, a buffer for reuse that grows from `room`
    /// bytes up to `most`. Answers the bytes and the implementation.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Codec`] of kind `DestinationTooSmall` when `most` bytes do not hold it.
    pub(crate) fn decompress_into(
        &self,
        data: &[u8],
        out: &mut Vec<u8>,
        room: usize,
        most: usize,
        name: &str,
    ) -> Result<(usize, &str)> {
        const SMALLEST: usize = 4 << 10;
        let (len, link) = self.decoders.run(name, data.len(), Checksum::Own, |_, instance| {
            let mut room = room.max(SMALLEST).min(most);
            loop {
                grow(out, room)?;
                match instance.decompress(data, &mut out[..room]) {
                    Err(e) if e.kind == ErrorKind::DestinationTooSmall && room < most => {
                        room = room.saturating_mul(4).min(most);
                    }
                    answer => return answer,
                }
            }
        })?;
        Ok((len, &link.id))
    }

    /// Whether `frame`, which may be damaged, decodes into exactly `out` as `is_right` judges. Nobody is blamed if not.
    pub(crate) fn accepts_frame(
        &self,
        frame: &[u8],
        out: &mut [u8],
        is_right: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let decoded = self
            .decoders
            .run("a frame", frame.len(), Checksum::Own, |_, instance| instance.decompress(frame, out));
        decoded.is_ok_and(|(written, _)| written == out.len() && is_right(out))
    }

    /// Whether decoders that are close still take turns.
    pub(crate) fn decoders_take_turns(&self) -> bool {
        !self.decoders.turns.are_over()
    }

    /// Implementation that decodes now.
    pub(crate) fn decoder_id(&self) -> &str {
        self.decoders.current().map_or("", |l| &l.id)
    }

    /// Decompresses all frames in `data`. With `metadata` the result is checked against its size and CRC-32.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the data is, [`Error::Mismatch`] when it does not fit the metadata.
    pub fn decompress(&self, data: &[u8], metadata: Option<&Metadata>) -> Result<Vec<u8>> {
        self.decompress_named(data, metadata).map(|(out, _)| out)
    }

    /// Decompresses all frames in `data` into `out`, of just the size that `metadata` says, and checks that it is what was compressed.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress).
    pub fn decompress_to(&self, data: &[u8], metadata: &Metadata, out: &mut [u8]) -> Result<()> {
        self.check_algorithm(metadata)?;
        let (len, _) =
            self.decoders.run("compressed data", data.len(), Checksum::Callers, |_, instance| {
                decompress_all(instance, data, out)
            })?;
        metadata.check(out.get(..len).unwrap_or_default())
    }

    fn check_algorithm(&self, metadata: &Metadata) -> Result<()> {
        if metadata.algorithm == self.algorithm || algorithm::canonical(&metadata.algorithm) == self.algorithm
        {
            return Ok(());
        }
        let (its, own) = (&metadata.algorithm, &self.algorithm);
        Err(Error::Mismatch(format!("it is {its}, this compressor reads {own}")))
    }

    /// As [`decompress`](Self::decompress), and the implementation that did it.
    pub(crate) fn decompress_named(
        &self,
        data: &[u8],
        metadata: Option<&Metadata>,
    ) -> Result<(Vec<u8>, String)> {
        if let Some(m) = metadata {
            self.check_algorithm(m)?;
        }
        let known = metadata.map(|m| m.original_size);
        let checksum = if metadata.is_some() { Checksum::Callers } else { Checksum::Own };
        let mut out = Vec::new();
        let (_, link) = self.decoders.run("compressed data", data.len(), checksum, |link, instance| {
            let codec = link.codec()?;
            out = match known.or(codec.decompressed_len(data)?) {
                Some(len) if known.is_some() || len <= BELIEVED_BYTES => {
                    decompress_sized(instance, data, len)?
                }
                _ => decompress_growing(instance, data)?,
            };
            Ok(out.len())
        })?;
        if let Some(m) = metadata {
            m.check(&out)?;
        }
        Ok((out, link.id.clone()))
    }

    /// The best implementation that decodes streams in bounded memory and can be loaded. A codec that wants one call at a
    /// time is not among them: a stream is one long call.
    pub(crate) fn streaming_link(&self) -> Option<&Link> {
        self.decoders.links.iter().find(|l| l.info().streams && l.info().concurrent && l.codec().is_ok())
    }

    /// A reader of the decoded bytes of all frames in `input`, which errors call `name`.
    ///
    /// # Errors
    /// When the decoder cannot be opened.
    pub(crate) fn decoder(
        &self,
        link: &Link,
        input: impl Read + Send + 'static,
        memory_bytes: u64,
        name: &Path,
    ) -> Result<StreamDecoder> {
        let opened = link.codec().and_then(|c| c.decoder(input, memory_bytes));
        opened.map_err(|e| Error::codec(&link.id, &name.display().to_string(), e))
    }
}

/// What one call of `compress_into` did.
pub(crate) struct Written<'a> {
    pub len: usize,
    pub implementation: &'a str,
    pub hardware: &'a str,
    pub level: i32,
}

/// Space for a chunk of `len` bytes. Conformance has seen the bound of a few sizes only.
fn checked_bound(instance: &Instance, len: usize) -> api::Result<usize> {
    let bound = instance.compress_bound(len)?;
    let most = len.saturating_mul(2).saturating_add(1 << 20);
    if bound > most {
        return Err(api::Error::internal(format!(
            "compress_bound({len}) is {bound}: more than twice the input"
        )));
    }
    Ok(bound)
}

fn zeroed(len: usize) -> api::Result<Vec<u8>> {
    let mut out = Vec::new();
    grow(&mut out, len)?;
    Ok(out)
}

/// Makes `out` at least `len` bytes long; what was in it may be lost.
fn grow(out: &mut Vec<u8>, len: usize) -> api::Result<()> {
    let no_memory = |e: TryReserveError| api::Error::new(ErrorKind::OutOfMemory, e.to_string());
    if out.len() < len { buffer::resize(out, len).map_err(no_memory) } else { Ok(()) }
}

fn decompress_sized(instance: &mut Instance, data: &[u8], len: u64) -> api::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(api::Error::internal)?;
    let mut out = zeroed(len)?;
    let written = decompress_all(instance, data, &mut out)?;
    out.truncate(written);
    Ok(out)
}

/// Into a buffer of the size that was declared.
fn decompress_all(instance: &mut Instance, data: &[u8], out: &mut [u8]) -> api::Result<usize> {
    instance.decompress(data, out).map_err(|e| match e.kind {
        ErrorKind::DestinationTooSmall => {
            api::Error::corrupt(format!("more data than the {} bytes declared", out.len()))
        }
        _ => e,
    })
}

/// Without a size: ever larger buffers, since a call that meets a full one starts again.
fn decompress_growing(instance: &mut Instance, data: &[u8]) -> api::Result<Vec<u8>> {
    let mut len = data.len().saturating_mul(4).max(64 << 10);
    loop {
        let mut out = zeroed(len.min(MAX_UNDECLARED_BYTES))?;
        match instance.decompress(data, &mut out) {
            Ok(written) => {
                out.truncate(written);
                out.shrink_to_fit();
                return Ok(out);
            }
            Err(e) if e.kind == ErrorKind::DestinationTooSmall && len < MAX_UNDECLARED_BYTES => len *= 4,
            Err(e) if e.kind == ErrorKind::DestinationTooSmall => {
                let what =
                    format!("more than {MAX_UNDECLARED_BYTES} bytes in memory; decompress it as a stream");
                return Err(api::Error::new(ErrorKind::OutOfMemory, what));
            }
            Err(e) => return Err(e),
        }
    }
}

/// By what it is told that the right bytes came out of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// The frame's own, if its format has one.
    Own,
    /// One that the caller has: the frame's own need not be computed, nor written where the format allows that (zstd, lz4).
    Callers,
}

/// One implementation at one level, with its idle instances.
pub(crate) struct Link {
    id: String,
    level: i32,
    entry: Arc<Entry>,
    index: usize,
    can_skip_checksum: bool,
    /// What comes is a sample of so many bytes.
    whole_bytes: Option<u64>,
    predicted_s: Option<f64>,
    /// Own levels that would do as well, with the times predicted for them, in seconds.
    levels: Vec<(i32, f64)>,
    /// Instances; those that skip checksums are the second.
    idle: [Mutex<Vec<Instance>>; 2],
    batch: OnceLock<Option<Batch>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("id", &self.id).field("level", &self.level).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(ranked: &Ranked, entry: Arc<Entry>, index: usize) -> Self {
        let can_skip_checksum = entry.report.codecs[index].info.has_option(SKIP_CHECKSUM);
        Self {
            id: ranked.implementation.clone(),
            level: ranked.level,
            entry,
            index,
            can_skip_checksum,
            whole_bytes: None,
            predicted_s: ranked.predicted_s,
            levels: ranked.levels.iter().copied().zip(ranked.level_s.iter().copied()).collect(),
            idle: Default::default(),
            batch: OnceLock::new(),
        }
    }

    /// Not to be tried against others: the user's word put it where it stands.
    pub(crate) fn fixed(self) -> Self {
        Self { predicted_s: None, levels: Vec::new(), ..self }
    }

    /// The same implementation at each of its own levels that would do as well.
    pub(crate) fn at_other_levels(&self) -> impl Iterator<Item = Self> {
        let others = self.levels.iter().filter(|(level, _)| *level != self.level);
        others.map(|(level, predicted_s)| Self {
            id: self.id.clone(),
            level: *level,
            entry: Arc::clone(&self.entry),
            predicted_s: Some(*predicted_s),
            levels: Vec::new(),
            idle: Default::default(),
            batch: OnceLock::new(),
            ..*self
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn hardware(&self) -> &str {
        &self.info().hardware
    }

    /// How long it was predicted to take for the request that it serves, in seconds.
    pub(crate) fn predicted_s(&self) -> Option<f64> {
        self.predicted_s
    }

    /// Compresses `data` to the start of `out`, a buffer for reuse; answers how many bytes it became.
    pub(crate) fn compress(&self, data: &[u8], out: &mut Vec<u8>) -> api::Result<usize> {
        self.call(Checksum::Own, &mut |link, instance| link.compress_with(instance, data, out, 0))
    }

    /// Compresses `data`, in as many frames as it takes, into `out` behind its first `front` bytes.
    fn compress_with(
        &self,
        instance: &mut Instance,
        data: &[u8],
        out: &mut Vec<u8>,
        front: usize,
    ) -> api::Result<usize> {
        let most = usize::try_from(self.info().max_chunk_bytes).unwrap_or(usize::MAX);
        let mut len = 0;
        let mut rest = data;
        // Once, also for no data: an empty frame.
        loop {
            let (chunk, after) = rest.split_at(rest.len().min(most));
            let needed = front + len + checked_bound(instance, chunk.len())?;
            if len == 0 {
                grow(out, needed)?;
            } else if out.len() < needed {
                out.resize(needed, 0);
            }
            len += instance.compress(chunk, &mut out[front + len..])?;
            rest = after;
            if rest.is_empty() {
                return Ok(len);
            }
        }
    }

    /// Closes the instances that nobody uses.
    pub(crate) fn close_idle(&self) {
        self.idle.iter().for_each(|idle| lock(idle).clear());
    }

    fn info(&self) -> &crate::registry::report::CodecInfo {
        &self.entry.report.codecs[self.index].info
    }

    fn codec(&self) -> api::Result<import::Codec> {
        self.entry.codec(self.index).map_err(|why| api::Error::new(ErrorKind::DeviceLost, why))
    }

    /// Does `work` with the codec's functions on batches, if it has any; `None` when that failed.
    fn call_batch<T>(&self, mut work: impl FnMut(&mut Instance, &Batch) -> api::Result<T>) -> Option<T> {
        let batch = (*self.batch.get_or_init(|| self.codec().ok()?.batch()))?;
        self.call(Checksum::Own, &mut |_, instance| work(instance, &batch)).ok()
    }

    fn call<T>(
        &self,
        checksum: Checksum,
        work: &mut impl FnMut(&Self, &mut Instance) -> api::Result<T>,
    ) -> api::Result<T> {
        // Declared first: an instance that is not kept ends before the lock does.
        let _alone = (!self.info().concurrent).then(|| lock(&self.entry.serial));
        let skips_checksum = checksum == Checksum::Callers && self.can_skip_checksum;
        let idle = &self.idle[usize::from(skips_checksum)];
        let waiting = lock(idle).pop();
        let mut instance = match waiting {
            Some(instance) => instance,
            None => self.open(skips_checksum)?,
        };
        let answer = work(self, &mut instance);
        if !instance.is_poisoned() {
            lock(idle).push(instance);
        }
        answer
    }

    fn open(&self, skips_checksum: bool) -> api::Result<Instance> {
        let mut options = Options::default();
        if skips_checksum {
            options.set(SKIP_CHECKSUM, 1);
        }
        if let Some(bytes) = self.whole_bytes.filter(|_| self.info().has_option(WHOLE_BYTES)) {
            options.set(WHOLE_BYTES, i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        self.codec()?.open(self.level, &options)
    }
}

/// Implementations in order of rank. One that fails for its own reasons is left for good; the next takes over.
#[derive(Debug)]
struct Chain {
    links: Vec<Link>,
    first_good: AtomicUsize,
    failures: Mutex<Vec<String>>,
    /// Whether the input may be to blame for an error: frames may be damaged, data to compress may not.
    decodes: bool,
    /// Between the first two decoders.
    turns: Turns,
}

impl Chain {
    fn new(links: Vec<Link>, decodes: bool) -> Self {
        let takes_part = |l: &&Link| decodes && l.hardware() == api::hardware::CPU;
        let predicted_s = [0, 1].map(|rank| links.get(rank).filter(takes_part).and_then(Link::predicted_s));
        let turns = Turns::new(predicted_s);
        Self { links, first_good: AtomicUsize::new(0), failures: Mutex::default(), decodes, turns }
    }

    fn current(&self) -> Option<&Link> {
        let rank = self.first_good.load(Ordering::Relaxed).min(self.links.len().saturating_sub(1));
        self.in_order(self.turns.second_won()).nth(rank)
    }

    /// The links, best first; or the second of them first.
    fn in_order(&self, is_second_first: bool) -> impl Iterator<Item = &Link> {
        let place = move |rank: usize| if is_second_first && rank < 2 { 1 - rank } else { rank };
        (0..self.links.len()).map(move |rank| &self.links[place(rank)])
    }

    /// Does `work` on `len` bytes of `input`, which answers how many bytes it wrote, with the best implementation that can.
    fn run(
        &self,
        input: &str,
        len: usize,
        checksum: Checksum,
        mut work: impl FnMut(&Link, &mut Instance) -> api::Result<usize>,
    ) -> Result<(usize, &Link)> {
        let first = self.first_good.load(Ordering::Relaxed);
        if let Some(turn) = (first == 0).then(|| self.turns.next()).flatten() {
            let link = &self.links[usize::from(turn == Turn::Second)];
            let start = Clock::Thread.now();
            let answer = link.call(checksum, &mut work);
            let seconds = Clock::Thread.now() - start;
            self.turns.end(turn, seconds, len, *answer.as_ref().unwrap_or(&0));
            if let Ok(written) = answer {
                return Ok((written, link));
            }
        }
        let mut last = None;
        for (rank, link) in self.in_order(self.turns.second_won()).enumerate().skip(first) {
            match link.call(checksum, &mut work) {
                Ok(value) => return Ok((value, link)),
                Err(e) if self.decodes && blames_data(e.kind) => {
                    return Err(Error::codec(&link.id, input, e));
                }
                Err(e) => {
                    if e.kind != ErrorKind::Unsupported {
                        self.leave(rank, &link.id, &e);
                    }
                    last = Some(Error::Codec { implementation: link.id.clone(), source: e });
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::NoImplementation {
            what: input.to_owned(),
            rejected: vec![("all ranks".into(), self.failures_text())],
        }))
    }

    fn leave(&self, rank: usize, id: &str, e: &api::Error) {
        // The last one stays: better an honest error each time than none at all.
        let next = (rank + 1).min(self.links.len().saturating_sub(1));
        if self.first_good.fetch_max(next, Ordering::Relaxed) < next {
            let successor = self.current().map_or("", |link| &link.id);
            lock(&self.failures).push(format!("{id} failed ({e}); {successor} took over"));
        }
    }

    fn failures_text(&self) -> String {
        lock(&self.failures).join("; ")
    }
}

/// Whether another implementation would fail the same way.
fn blames_data(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::DestinationTooSmall | ErrorKind::Read
    )
}
