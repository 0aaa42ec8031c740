//! Decompression: finds out what the input is, and which way through it.

use super::{Event, OnEvent, Output, Summary, decode::Decoders, foreign, indexed, sequential};
use crate::{
    DETECT_BYTES, Error, Host, Request, Result, algorithm,
    container::{self, FileBytes, Mender, Opened, Rest, Watched, has_records},
};
use clipsmaster_plugin_api::abi::import::StreamDecoder;
use std::{
    fs::File,
    io::{self, Cursor, Read, Write},
    ops::Range,
    path::PathBuf,
    sync::atomic::Ordering,
    time::Instant,
};

/// What to do about damage that cannot be mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnDamage {
    /// Stop with an error.
    #[default]
    Error,
    /// Leave out what is lost.
    Skip,
    /// Write zeros in its place.
    Zero,
}

/// How to decompress a stream.
#[derive(Clone, Debug, Default)]
pub struct DecompressOptions {
    /// Algorithm, where neither the first bytes nor the name tell: the input is then bare frames, whatever stands between them.
    pub algorithm: Option<String>,
    /// Exactly this implementation.
    pub implementation: Option<String>,
    /// Only these bytes of the original: needs a container in a file or in memory.
    pub range: Option<Range<u64>>,
    /// What to do about damage that cannot be mended.
    pub on_damage: OnDamage,
    /// Workers at most; all processors when absent.
    pub threads: Option<usize>,
    /// Most memory to use, in bytes; half of what is free when absent.
    pub memory_bytes: Option<u64>,
    /// Name of the input in errors; its extension tells formats without magic.
    pub input: PathBuf,
    /// Name of the output in errors.
    pub output: PathBuf,
}

/// What to decompress.
pub enum Input {
    /// A regular file, from its start: its index is used, and damage mended.
    File(File),
    /// A pipe or the like.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Stream(_) => "Stream",
        })
    }
}

/// Decompresses `input`, whoever wrote it, to `output`.
///
/// # Errors
/// [`Error::Container`] and [`Error::Damaged`] when the input is damaged or ends too early: what was written by then must be thrown
/// away. [`Error::UnknownFormat`] when no installed plugin reads it.
pub fn decompress(
    host: &Host,
    input: Input,
    mut output: Output<'_>,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    let start = Instant::now();
    let decoders = Decoders::new(host, options.implementation.clone());
    let mut summary = match input {
        Input::File(file) => from_file(&decoders, file, &mut output, options, on_event)?,
        Input::Stream(stream) => from_stream(&decoders, stream, &mut output, options, on_event)?,
    };
    output.flush().map_err(Error::io("write", &options.output))?;
    summary.warnings.extend(decoders.failures());
    summary.seconds = start.elapsed().as_secs_f64();
    Ok(summary)
}

fn from_file(
    decoders: &Decoders<'_>,
    file: File,
    output: &mut Output<'_>,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    if is_bare(decoders.host(), options) {
        return Ok(foreign(decoders, file, output, options, on_event)?.0);
    }
    let bytes = FileBytes::new(file).map_err(Error::io("read", &options.input))?;
    let mender = Mender::new(bytes, options.threads);
    if let Some(survey) = mender.sound() {
        return indexed::decompress(decoders, &mender, survey, output, options, on_event);
    }
    let reader = || mender.bytes().reader().map_err(Error::io("read", &options.input));
    if !has_records(mender.bytes()) {
        return sequence(decoders, reader()?, output, options, on_event);
    }
    // Several containers one after the other, or a damaged one. Nothing may be written before that is known.
    let whole = DecompressOptions { range: None, ..options.clone() };
    let strict = sequence(decoders, reader()?, &mut Output::Stream(&mut io::sink()), &whole, &|_| {});
    match strict {
        Ok(_) if options.range.is_some() => return Err(no_single_container(options)),
        Ok(_) => return sequence(decoders, reader()?, output, options, on_event),
        // Of the machine, not of the file.
        Err(e @ (Error::Usage(_) | Error::UnknownAlgorithm { .. } | Error::NoImplementation { .. })) => {
            return Err(e);
        }
        Err(_) => {}
    }
    let survey = mender.scanned().ok_or_else(|| no_records(options))?;
    if survey.has_strangers && options.range.is_some() {
        return Err(no_single_container(options));
    }
    let mut summary = indexed::decompress(decoders, &mender, survey, output, options, on_event)?;
    summary.warnings.push("the container is damaged; `clipsmaster-host verify` tells where".into());
    Ok(summary)
}

/// Whether the input is taken for bare frames: because the user names their algorithm, or because its name is that of a
/// format without magic, which has no place for records and may well contain a container.
fn is_bare(host: &Host, options: &DecompressOptions) -> bool {
    options.algorithm.is_some() || host.detect(&[], Some(&options.input)).is_some()
}

fn no_single_container(options: &DecompressOptions) -> Error {
    let name = options.input.display();
    Error::Usage(format!(
        "{name} is not one container: only those can be read by range; decompress all of it, or cut it where each begins"
    ))
}

fn no_records(options: &DecompressOptions) -> Error {
    let problem = "no record of the container can be found any more".into();
    Error::Container { input: options.input.display().to_string(), problem }
}

fn from_stream(
    decoders: &Decoders<'_>,
    input: Box<dyn Read + Send>,
    output: &mut Output<'_>,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    if options.range.is_some() {
        return Err(Error::Usage("a range needs a file to seek in; save the input first".into()));
    }
    if is_bare(decoders.host(), options) {
        return Ok(foreign(decoders, input, output, options, on_event)?.0);
    }
    sequence(decoders, input, output, options, on_event)
}

/// Everything in `input`: containers and other tools' frames, one after the other.
fn sequence(
    decoders: &Decoders<'_>,
    input: impl Read + Send + 'static,
    output: &mut Output<'_>,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    let mut summary = Summary::default();
    let input: Box<dyn Read + Send> = Box::new(input);
    let mut next = Some(container::open(input, &options.input.display().to_string())?);
    while let Some(opened) = next {
        next = match opened {
            Opened::Foreign(rest) => {
                let (part, rest) = foreign(decoders, rest, output, options, on_event)?;
                summary.add(part);
                rest.map(|rest| container::open(rest, &options.input.display().to_string())).transpose()?
            }
            Opened::Container(mut reader) => {
                sequential::decompress(decoders, &mut reader, output, options, on_event, &mut summary)?;
                summary.input_bytes += reader.position();
                on_event(Event::Done(summary.input_bytes));
                reader.after()?
            }
        };
    }
    Ok(summary)
}

/// The original of another tool's file, as a reader.
pub(crate) fn stream_decoder(
    decoders: &Decoders<'_>,
    input: impl Read + Send + 'static,
    options: &DecompressOptions,
) -> Result<StreamDecoder> {
    let (algorithm, input) = detected(decoders.host(), input, options)?;
    let decompressor = decoders.streaming(&algorithm)?;
    let link = decompressor.streaming_link();
    let link = link.ok_or_else(|| Error::Usage(format!("no plugin for {algorithm} decodes streams")))?;
    let memory = options.memory_bytes.unwrap_or_else(super::default_memory_bytes);
    decompressor.decoder(link, input, memory, &options.input)
}

/// Another tool's file.
fn foreign(
    decoders: &Decoders<'_>,
    input: impl Read + Send + 'static,
    output: &mut Output<'_>,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<(Summary, Option<foreign::Rest>)> {
    if options.range.is_some() {
        return Err(Error::Usage(format!(
            "{} is no container: only those can be read by range; compress it with clipsmaster-host first",
            options.input.display()
        )));
    }
    let (algorithm, input) = detected(decoders.host(), input, options)?;
    let (frames, streams) = (decoders.of(&algorithm)?, decoders.streaming(&algorithm)?);
    let decompressors = foreign::Decompressors { frames: &frames, streams: &streams };
    let (input, holds_records) = Watched::new(input);
    // What a bare format contains is nobody's business.
    let is_bare = is_bare(decoders.host(), options);
    let (done, rest) = foreign::decompress(decompressors, input, output, options, on_event)?;
    if holds_records.load(Ordering::Relaxed) && !is_bare {
        let problem =
            "a container whose beginning is damaged; save it as a file, and see `clipsmaster-host verify`";
        let input = options.input.display().to_string();
        return Err(Error::Container { input, problem: problem.into() });
    }
    Ok((done, rest))
}

/// The algorithm of `input`, and all of it again.
fn detected<R: Read>(host: &Host, mut input: R, options: &DecompressOptions) -> Result<(String, Rest<R>)> {
    let mut head = Vec::new();
    let read = (&mut input).take(DETECT_BYTES as u64).read_to_end(&mut head);
    read.map_err(Error::io("read", &options.input))?;
    Ok((detect(host, &head, options)?, Cursor::new(head).chain(input)))
}

fn detect(host: &Host, head: &[u8], options: &DecompressOptions) -> Result<String> {
    if let Some(asked) = &options.algorithm {
        return Ok(algorithm::canonical(asked));
    }
    let input = options.input.display().to_string();
    if head.is_empty() {
        return Err(Error::Container { input, problem: "it is empty: no format has empty files".into() });
    }
    let found = host.detect(head, Some(&options.input));
    found.ok_or_else(|| Error::UnknownFormat { input, known: host.algorithms() })
}

impl Decoders<'_> {
    /// A decompressor of streams of `algorithm`; one that cannot stream is better than none.
    fn streaming(&self, algorithm: &str) -> Result<crate::Compressor> {
        let implementation = self.implementation().map(str::to_owned);
        let request = Request { stream: implementation.is_none(), implementation, ..Request::new(algorithm) };
        self.host().decompressor(&request).or_else(|e| match e {
            Error::NoImplementation { .. } if request.stream => {
                self.host().decompressor(&Request { stream: false, ..request.clone() })
            }
            other => Err(other),
        })
    }
}
