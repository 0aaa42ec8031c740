//! Containers in memory and in files: the calls of an application.

use crate::{
    Compressor, DataSample, Error, Host, Metadata, Request, Result, algorithm,
    compressor::Written,
    container::{self, Bytes, Entry, FileBytes, FileInfo, Mender, Opened, Survey},
    pipeline::{
        self, CompressOptions, Container, Decoders, DecompressOptions, Filtering, Input, OnDamage, OnEvent,
        Output, OutputFile, Summary,
    },
    sync::lock,
};
use serde::Serialize;
use std::{
    fs::File,
    io::{Cursor, Read, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Recovery data of [`Host::safe_compress`], in percent.
pub const SAFE_PARITY_PERCENT: u8 = 10;
/// Name of data in memory in errors.
const IN_MEMORY: &str = "compressed data";

/// What [`Host::safe_decompress`] found.
#[derive(Debug)]
pub enum Restored {
    /// Every byte, records included, is as it was written.
    Intact(Vec<u8>),
    /// The original, from damaged data: proven by its hashes.
    Repaired {
        /// The original.
        data: Vec<u8>,
        /// What was damaged, and how it was mended.
        what: Vec<String>,
    },
    /// What is left, because that was asked for.
    Partial {
        /// The original without what is lost, or with zeros in its place.
        data: Vec<u8>,
        /// Lost bytes of the original. An end of `u64::MAX` says that nothing tells where it ended.
        lost: Vec<Range<u64>>,
        /// What was damaged.
        what: Vec<String>,
    },
    /// Nothing that could be trusted.
    Failed(Error),
}

/// What a container is, by its records.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HeaderInfo {
    /// What the whole file is.
    #[serde(flatten)]
    pub file: FileInfo,
    /// Original bytes.
    pub raw_bytes: u64,
    /// Bytes of the container.
    pub bytes: u64,
    /// Every chunk, in order.
    pub chunks: Vec<Entry>,
}

impl Host {
    /// Compresses `data` into a container with `algorithm` (any alias) at its default level, in chunks of `chunk_bytes` (by algorithm and level
    /// when absent), on all processors.
    ///
    /// # Errors
    /// As [`compressor`](Self::compressor), and [`Error::Usage`] for impossible chunks.
    pub fn compress_chunked(
        &self,
        data: &[u8],
        algorithm: &str,
        chunk_bytes: Option<usize>,
    ) -> Result<Vec<u8>> {
        let compressor = self.compressor(&Request::new(algorithm).like(data))?;
        let options = CompressOptions { chunk_bytes, ..CompressOptions::default() };
        compress_in_memory(&compressor, data, &options)
    }

    /// Decompresses a container, or other tools' frames; [`safe_decompress`](Self::safe_decompress) also mends.
    ///
    /// # Errors
    /// [`Error::Container`] for a container that is not as it was written; [`Error::Damaged`] and [`Error::UnknownFormat`] for other data.
    pub fn decompress_chunked(&self, data: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.decompress_chunked_to(data, &mut out)?;
        Ok(out)
    }

    /// As [`decompress_chunked`](Self::decompress_chunked), to `out`: front to back, so that what was written before an error is right.
    ///
    /// # Errors
    /// As [`decompress_chunked`](Self::decompress_chunked), and [`Error::Io`] of `out`.
    pub fn decompress_chunked_to(&self, data: &[u8], mut out: &mut dyn Write) -> Result<()> {
        let decoders = Decoders::new(self, None);
        let options = DecompressOptions { input: IN_MEMORY.into(), ..DecompressOptions::default() };
        let input: Box<dyn Read + Send + '_> = Box::new(Cursor::new(data));
        let mut next = Some(container::open(input, IN_MEMORY)?);
        while let Some(opened) = next {
            next = match opened {
                Opened::Foreign(mut rest) => {
                    let mut frames = Vec::new();
                    rest.read_to_end(&mut frames).map_err(Error::io("read", IN_MEMORY))?;
                    if container::holds_records(&frames) {
                        let problem = "a container whose beginning is damaged".into();
                        return Err(Error::Container { input: IN_MEMORY.into(), problem });
                    }
                    if container::may_hold_records(&frames) {
                        // Whether they stand between the frames, as those of a container without its beginning do, or
                        // within one that has a container for content, shows on the way through.
                        let input = Input::Stream(Box::new(Cursor::new(frames)));
                        pipeline::decompress(self, input, Output::Stream(&mut out), &options, &|_| {})?;
                    } else {
                        let raw = self.decompress_bare(&frames)?;
                        out.write_all(&raw).map_err(Error::io("write", "memory"))?;
                    }
                    None
                }
                Opened::Container(mut reader) => {
                    let mut summary = Summary::default();
                    pipeline::decompress_sequential(
                        &decoders,
                        &mut reader,
                        &mut out,
                        &options,
                        &|_| {},
                        &mut summary,
                    )?;
                    reader.after()?
                }
            };
        }
        Ok(())
    }

    /// As [`decompress_chunked`](Self::decompress_chunked), into all of `out`, whose length is what [`container_raw_bytes`] says: chunks are
    /// decoded to their places, on all processors.
    ///
    /// # Errors
    /// As [`decompress_chunked`](Self::decompress_chunked), and [`Error::Mismatch`] where `out` has another length.
    pub fn decompress_chunked_into(&self, data: &[u8], out: &mut [u8]) -> Result<()> {
        let len = out.len();
        let survey = Survey::by_footer(data).filter(|s| s.raw_bytes == Some(len as u64));
        if survey.is_some_and(|survey| is_as_written(data) && self.decode_to_places(data, &survey, out)) {
            return Ok(());
        }
        // Whatever is wrong with it, or special about it, who reads front to back can tell.
        let mut rest = out;
        self.decompress_chunked_to(data, &mut rest).map_err(|e| match e {
            e if e.is_write_zero() => Error::Mismatch(format!("more than {len} bytes")),
            other => other,
        })?;
        match rest.len() {
            0 => Ok(()),
            missing => Err(Error::Mismatch(format!("{} bytes instead of {len}", len - missing))),
        }
    }

    /// Decodes all chunks of a sound container; whether that went well.
    fn decode_to_places(&self, data: &[u8], survey: &Survey, mut out: &mut [u8]) -> bool {
        let decoders = Decoders::new(self, None);
        if survey.file.as_ref().is_none_or(|file| decoders.batch(&file.algorithm) > 1) {
            return false;
        }
        let mut places = Vec::with_capacity(survey.entries.len());
        for entry in survey.entries.values() {
            let place = out.split_off_mut(..entry.chunk.raw_bytes as usize);
            let start = usize::try_from(entry.frame_offset).unwrap_or(usize::MAX);
            let frame = data.get(start..start.saturating_add(entry.chunk.frame_bytes as usize));
            let Some((place, frame)) = place.zip(frame) else { return false };
            places.push((entry, frame, place));
        }
        let workers = pipeline::threads(None).min(places.len());
        let places = Mutex::new(places.into_iter());
        let is_good = AtomicBool::new(true);
        let work = || {
            while is_good.load(Ordering::Relaxed) {
                let Some((entry, frame, place)) = lock(&places).next() else { return };
                if decoders.decode_to(entry, frame, place).is_err() {
                    is_good.store(false, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..workers {
                // Without a thread the others do it.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        is_good.into_inner()
    }

    /// Compresses `data` with the default algorithm, so that damage to up to 10 % of the result can be repaired.
    ///
    /// # Errors
    /// As [`compressor`](Self::compressor).
    pub fn safe_compress(&self, data: &[u8]) -> Result<(Vec<u8>, Metadata)> {
        let options = CompressOptions {
            parity_percent: SAFE_PARITY_PERCENT,
            verify: true,
            ..CompressOptions::default()
        };
        self.safe_compress_with(data, &Request::new(crate::algorithm::DEFAULT).like(data), &options)
    }

    /// As [`safe_compress`](Self::safe_compress), with a choice of algorithm, level and options.
    ///
    /// # Errors
    /// As [`compressor`](Self::compressor), and [`Error::Usage`] for options that make no sense.
    pub fn safe_compress_with(
        &self,
        data: &[u8],
        request: &Request,
        options: &CompressOptions,
    ) -> Result<(Vec<u8>, Metadata)> {
        let start = std::time::Instant::now();
        let compressor = self.compressor(request)?;
        let out = compress_in_memory(&compressor, data, options)?;
        let written = Written {
            len: out.len(),
            implementation: compressor.implementation(),
            hardware: compressor.hardware(),
            level: compressor.level(),
        };
        let metadata = compressor.metadata(data, &written, start);
        Ok((out, metadata))
    }

    /// Decompresses `data`, mends what is damaged, and tells. What cannot be mended is an error, or a partial result
    /// where `on_damage` asks for one.
    pub fn safe_decompress(&self, data: &[u8], on_damage: OnDamage) -> Restored {
        let mut out = Vec::new();
        let error = match self.decompress_chunked_to(data, &mut out) {
            Ok(()) => return Restored::Intact(out),
            Err(e) => e,
        };
        out.clear();
        let mender = Mender::new(data, Some(1));
        let options =
            DecompressOptions { on_damage, input: IN_MEMORY.into(), ..DecompressOptions::default() };
        let Some(survey) = mender.survey() else {
            return Restored::Failed(error);
        };
        match pipeline::decompress_indexed(
            &Decoders::new(self, None),
            &mender,
            survey,
            &mut Output::Stream(&mut out),
            &options,
            &|_| {},
        ) {
            Err(e) => Restored::Failed(e),
            Ok(summary) => {
                let mut what = vec![error.to_string()];
                what.extend(summary.warnings);
                let lost: Vec<_> = summary.lost.iter().map(|(start, end)| *start..*end).collect();
                if lost.is_empty() {
                    Restored::Repaired { data: out, what }
                } else {
                    Restored::Partial { data: out, lost, what }
                }
            }
        }
    }

    /// Compresses the file `input` into the file `output`, which appears whole or not at all. What its name says is what it is: an
    /// .xz file is without records, a .cmc file is our own, whatever [`Container::Standard`] is otherwise.
    ///
    /// # Errors
    /// [`Error::Usage`] when the name and the options contradict each other,
    /// [`Error::Exists`] unless `overwrite`, [`Error::Io`], and as [`compressor`](Self::compressor).
    pub fn compress_file(
        &self,
        input: &Path,
        output: &Path,
        overwrite: bool,
        request: &Request,
        options: &CompressOptions,
        on_event: OnEvent<'_>,
    ) -> Result<Summary> {
        let file = File::open(input).map_err(Error::io("read", input))?;
        let meta = file.metadata().map_err(Error::io("read", input))?;
        let mut request = request.clone();
        if meta.is_file() && request.likeness.is_none() {
            request.likeness = DataSample::of_file(&file)
                .and_then(|sample| sample.likeness())
                .map_err(Error::io("read", input))?;
        }
        let compressor = self.compressor(&request)?;
        let options = CompressOptions {
            container: container_for(&compressor, output, options)?,
            input_bytes: meta.is_file().then_some(meta.len()),
            input: input.to_owned(),
            output: output.to_owned(),
            ..options.clone()
        };
        let mut out = OutputFile::create(output, overwrite)?;
        let summary = pipeline::compress(&compressor, file, &mut out, &options, on_event)?;
        out.publish(Some(&meta))?;
        Ok(summary)
    }

    /// Decompresses the file `input`, whoever wrote it, into the file `output`, which appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Exists`] unless `overwrite`, and as [`pipeline::decompress`].
    pub fn decompress_file(
        &self,
        input: &Path,
        output: &Path,
        overwrite: bool,
        options: &DecompressOptions,
        on_event: OnEvent<'_>,
    ) -> Result<Summary> {
        let file = File::open(input).map_err(Error::io("read", input))?;
        let meta = file.metadata().map_err(Error::io("read", input))?;
        let source = if meta.is_file() { Input::File(file) } else { Input::Stream(Box::new(file)) };
        let options =
            DecompressOptions { input: input.to_owned(), output: output.to_owned(), ..options.clone() };
        let mut out = OutputFile::create(output, overwrite)?;
        let summary = pipeline::decompress(self, source, Output::File(&mut out), &options, on_event)?;
        out.publish(Some(&meta))?;
        Ok(summary)
    }
}

/// What goes around the frames of a file of that name: what a name says is what the file is.
fn container_for(compressor: &Compressor, output: &Path, options: &CompressOptions) -> Result<Container> {
    let extension = output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let is_own = extension == container::CONTAINER_EXTENSION;
    let is_standard = algorithm::KNOWN.iter().any(|k| k.extension == extension);
    let has_place = Container::has_place_in(compressor.algorithm());
    let is_filtered = options.filter != Filtering::default();
    let is_bare = options.parity_percent == 0 && options.metadata.is_empty() && !is_filtered;
    match options.container {
        Container::Standard if is_own => Ok(Container::Native),
        Container::Standard if is_filtered && !is_standard => Ok(Container::Native),
        Container::Standard if !is_filtered && (has_place || !is_standard) => Ok(Container::Standard),
        Container::Standard if is_bare => Ok(Container::Plain),
        Container::Native if !is_standard => Ok(Container::Native),
        Container::Plain if !is_own => Ok(Container::Plain),
        Container::Plain => Err(Error::Usage(format!("{}: a .cmc file is a container", output.display()))),
        Container::Standard | Container::Native => Err(Error::Usage(format!(
            "{}: .{extension} files have no place for what was asked for; end the name in .cmc",
            output.display()
        ))),
    }
}

fn compress_in_memory(compressor: &Compressor, data: &[u8], options: &CompressOptions) -> Result<Vec<u8>> {
    let options = CompressOptions {
        input_bytes: Some(data.len() as u64),
        input: PathBuf::from("data in memory"),
        output: PathBuf::from("memory"),
        ..options.clone()
    };
    let mut out = Vec::new();
    pipeline::compress(compressor, data, &mut out, &options, &|_| {})?;
    Ok(out)
}

/// Whether every record of the one container in `data` is as it was written; frames are not looked at.
fn is_as_written(data: &[u8]) -> bool {
    let Ok(Opened::Container(mut reader)) = container::open(data, IN_MEMORY) else { return false };
    let mut frame = Vec::new();
    loop {
        match reader.next(&mut frame) {
            Ok(Some(_)) => {}
            Ok(None) => return reader.after().is_ok_and(|next| next.is_none()),
            Err(_) => return false,
        }
    }
}

/// Whether a container, or a part of one, begins in `data`.
pub fn is_container(data: &[u8]) -> bool {
    container::is_ours(data)
}

/// Original bytes of the container that all of `data` is, as its index says; `None` where that cannot be told.
pub fn container_raw_bytes(data: &[u8]) -> Option<u64> {
    Survey::by_footer(data)?.raw_bytes
}

/// What the container in `data` is, without decoding it.
///
/// # Errors
/// [`Error::Container`] when it is none, or so damaged that its index cannot be used.
pub fn chunked_header_info(data: &[u8]) -> Result<HeaderInfo> {
    header_info(data, IN_MEMORY)
}

/// What the container in the file `path` is, without decoding it.
///
/// # Errors
/// As [`chunked_header_info`], and [`Error::Io`].
pub fn chunked_file_info(path: &Path) -> Result<HeaderInfo> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let bytes = FileBytes::new(file).map_err(Error::io("read", path))?;
    header_info(&bytes, &path.display().to_string())
}

fn header_info(bytes: &(impl Bytes + ?Sized), name: &str) -> Result<HeaderInfo> {
    let survey = Survey::by_footer(bytes);
    let found = survey.and_then(|s| Some((s.file?, s.raw_bytes?, s.entries)));
    let (file, raw_bytes, entries) = found.ok_or_else(|| {
        let problem = "no container, or one whose end is damaged; `clipsmaster-host verify` tells".into();
        Error::Container { input: name.to_owned(), problem }
    })?;
    Ok(HeaderInfo { file, raw_bytes, bytes: bytes.len(), chunks: entries.into_values().collect() })
}
