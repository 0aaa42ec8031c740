//! Other programs' files: in parallel where they can be cut, through one decoder where not.
//!
//! The splitter of the format ([`crate::foreign`]) tells units, which go through the engine as chunks do. What is too long
//! for memory or cannot be cut is pulled through a stream decoder ([`stream`]); behind a long unit, cutting goes on.

mod source;

use super::{
    DecompressOptions, Event, Lanes, OnEvent, Summary, default_memory_bytes, memory, ordered, stream,
};
use crate::{
    Compressor, Error, Result, algorithm,
    foreign::{Splitter, Trailing, splitter},
    sync::lock,
};
use clipsmaster_plugin_api as api;
use source::{Long, Source, Stop, Units};
use std::{
    io::{Cursor, Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// Largest unit that is held in memory, in bytes, before and after decoding.
const MAX_UNIT_BYTES: u64 = 64 << 20;
/// With units smaller than this, few files would still be cut.
const MIN_UNIT_BYTES: u64 = 4 << 20;

/// What decodes a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decompressors<'a> {
    /// Whole frames.
    pub frames: &'a Compressor,
    /// Streams of any length.
    pub streams: &'a Compressor,
}

/// What follows other programs' frames: a container.
pub(crate) type Rest = Box<dyn Read + Send>;

/// Decompresses all of `input` to `output`, up to a container if one follows.
///
/// # Errors
/// As [`stream::decompress`]; and [`Error::Damaged`] for bytes behind the last frame, where the format's own tool
/// fails on them too.
pub(crate) fn decompress<R: Read + Send + 'static>(
    decompressors: Decompressors<'_>,
    input: R,
    output: &mut impl Write,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<(Summary, Option<Rest>)> {
    let algorithm = decompressors.frames.algorithm();
    let plan = plan(algorithm, options);
    let Some((plan, splitter)) = plan.and_then(|p| Some((p, splitter(algorithm, p.unit_bytes)?))) else {
        let done = stream::decompress(decompressors.streams, input, output, options, on_event)?;
        return Ok((done, None));
    };
    let job = Job { decompressors, options, on_event, plan };
    job.run(input, splitter, output)
}

/// How many work on units of what size.
#[derive(Clone, Copy, Debug)]
struct Plan {
    workers: usize,
    items: usize,
    unit_bytes: usize,
}

/// As many workers as memory allows with units of a useful size; `None` when that is not even one.
fn plan(algorithm: &str, options: &DecompressOptions) -> Option<Plan> {
    const HIGHEST_LEVEL: i32 = 9;
    let threads = memory::threads(options.threads);
    let allowed = options.memory_bytes.unwrap_or_else(default_memory_bytes);
    let worker_bytes = algorithm::decoder_bytes(algorithm, HIGHEST_LEVEL, u64::MAX);
    (1..=threads as u64).rev().find_map(|workers| {
        let items = workers + 2;
        // Each item has its frames and what they decode to; the reader's buffer may be copied once to grow.
        let unit_bytes = allowed.checked_sub(workers * worker_bytes)? / (2 * items + 2);
        let plan = || Plan {
            workers: workers as usize,
            items: items as usize,
            unit_bytes: unit_bytes.min(MAX_UNIT_BYTES) as usize,
        };
        (unit_bytes >= MIN_UNIT_BYTES).then(plan)
    })
}

/// Units, and what they decode to.
#[derive(Default)]
struct Item {
    units: Units,
    raw: Vec<u8>,
    decoded: Decoded,
}

#[derive(Default)]
enum Decoded {
    #[default]
    Nothing,
    /// So many bytes, by this implementation.
    Whole(usize, String),
    /// More than a unit may have.
    TooLarge,
    Failed(Error),
}

/// What all steps of one decompression share.
struct Job<'a> {
    decompressors: Decompressors<'a>,
    options: &'a DecompressOptions,
    on_event: OnEvent<'a>,
    plan: Plan,
}

impl Job<'_> {
    fn run<R: Read + Send + 'static>(
        mut self,
        input: R,
        splitter: Box<dyn Splitter>,
        output: &mut impl Write,
    ) -> Result<(Summary, Option<Rest>)> {
        let mut source = Source::new(input, splitter, self.plan.unit_bytes, self.options);
        if source.is_small()? {
            self.plan.workers = 0;
        }
        let source = Arc::new(Mutex::new(source));
        let mut summary = Summary::default();
        let mut is_container = false;
        loop {
            if let Some(frames) = self.cut(&source, output, &mut summary)? {
                let rest = Cursor::new(frames).chain(Long::everything(Arc::clone(&source)));
                self.stream(rest, &source, output, &mut summary)?;
                break;
            }
            let stop = lock(&source).stop.take();
            match stop {
                Some(Stop::Long) => {
                    self.stream(Long::new(Arc::clone(&source)), &source, output, &mut summary)?;
                }
                Some(Stop::Failed(e)) => return Err(e),
                Some(Stop::Container) => {
                    is_container = true;
                    break;
                }
                Some(Stop::Trailing(trailing)) => {
                    self.trailing(trailing, lock(&source).position(), &mut summary)?;
                    break;
                }
                Some(Stop::End) | None => break,
            }
        }
        summary.input_bytes = lock(&source).position();
        summary.warnings.extend(self.decompressors.frames.failures());
        let source = Arc::into_inner(source).and_then(|source| source.into_inner().ok());
        let rest = source.filter(|_| is_container).map(|source| Box::new(source.into_rest()) as Rest);
        Ok((summary, rest))
    }

    /// Decodes units until there are no more. Answers with frames that may have been cut wrongly, and
    /// all that was cut after them: they must be decoded as one with what follows.
    fn cut<R: Read + Send>(
        &self,
        source: &Arc<Mutex<Source<R>>>,
        output: &mut impl Write,
        summary: &mut Summary,
    ) -> Result<Option<Vec<u8>>> {
        let is_doubtful = AtomicBool::new(false);
        let mut doubtful: Option<Vec<u8>> = None;
        let guesses = lock(source).guesses();
        let fill =
            |item: &mut Item| Ok(!is_doubtful.load(Ordering::Relaxed) && lock(source).next(&mut item.units));
        let (frames, Plan { workers, items, unit_bytes }) = (self.decompressors.frames, self.plan);
        let name = self.options.input.display().to_string();
        let work = |item: &mut Item| {
            item.decoded = decode(frames, &item.units, &mut item.raw, unit_bytes, &name);
            Ok(())
        };
        let take = |item: &mut Item| {
            if let Some(frames) = &mut doubtful {
                frames.extend_from_slice(&item.units.frames);
                return Ok(());
            }
            match std::mem::take(&mut item.decoded) {
                Decoded::Failed(Error::Damaged { .. }) if guesses => {
                    is_doubtful.store(true, Ordering::Relaxed);
                    doubtful = Some(std::mem::take(&mut item.units.frames));
                    Ok(())
                }
                decoded => self.take(item, decoded, output, summary),
            }
        };
        let lanes = Lanes { workers, items, patience: memory::patience(unit_bytes) };
        let who = || frames.decoder_id().to_owned();
        ordered(lanes, fill, work, take, &who, self.on_event)?;
        Ok(doubtful)
    }

    fn take(
        &self,
        item: &mut Item,
        decoded: Decoded,
        output: &mut impl Write,
        summary: &mut Summary,
    ) -> Result<()> {
        match decoded {
            Decoded::Nothing => {}
            Decoded::Failed(e) => return Err(e),
            Decoded::Whole(len, implementation) => {
                output.write_all(&item.raw[..len]).map_err(Error::io("write", &self.options.output))?;
                summary.output_bytes += len as u64;
                summary.count(&implementation);
            }
            Decoded::TooLarge => {
                let frames = Cursor::new(std::mem::take(&mut item.units.frames));
                let streams = self.decompressors.streams;
                summary.add(stream::decompress(streams, frames, output, self.options, &|_| {})?);
            }
        }
        (self.on_event)(Event::Done(item.units.position));
        Ok(())
    }

    /// Pulls `input`, which comes from `source`, through one decoder.
    fn stream<R: Read>(
        &self,
        input: impl Read + Send + 'static,
        source: &Arc<Mutex<Source<R>>>,
        output: &mut impl Write,
        summary: &mut Summary,
    ) -> Result<()> {
        let before = lock(source).position();
        let on_event = |event: Event| match event {
            Event::Done(bytes) => (self.on_event)(Event::Done(before + bytes)),
            other => (self.on_event)(other),
        };
        let decoded = stream::decompress(self.decompressors.streams, input, output, self.options, &on_event);
        // A decoder that met the end of what could be read knows nothing of the reason.
        if let Some(Stop::Failed(e)) = lock(source).stop.take_if(|stop| matches!(stop, Stop::Failed(_))) {
            return Err(e);
        }
        let decoded = decoded?;
        let is_over = decoded.ignored_rest;
        summary.add(decoded);
        if is_over {
            lock(source).stop = Some(Stop::End);
        } else if lock(source).in_long {
            let e = api::Error::corrupt("the decoder stopped before the end of what it was given");
            return Err(self.damaged(e));
        }
        Ok(())
    }

    fn damaged(&self, e: api::Error) -> Error {
        let input = self.options.input.display().to_string();
        Error::codec(self.decompressors.frames.algorithm(), &input, e)
    }

    fn trailing(&self, trailing: Trailing, position: u64, summary: &mut Summary) -> Result<()> {
        let what = format!("what follows its last frame, from byte {position} on");
        match trailing {
            Trailing::Silent => {}
            Trailing::Ignored => summary.warnings.push(format!("{what}, is something else and was ignored")),
            Trailing::Refused => {
                return Err(self.damaged(api::Error::corrupt(format!("{what}, is something else"))));
            }
        }
        Ok(())
    }
}

/// Decodes `units` into `raw`, which grows up to `most` bytes; errors call the input `name`.
fn decode(frames: &Compressor, units: &Units, raw: &mut Vec<u8>, most: usize, name: &str) -> Decoded {
    let room = usize::try_from(units.raw_hint).unwrap_or(usize::MAX);
    match frames.decompress_into(&units.frames, raw, room, most, name) {
        Ok((len, implementation)) => Decoded::Whole(len, implementation.to_owned()),
        Err(Error::Codec { source, .. }) if source.kind == api::ErrorKind::DestinationTooSmall => {
            Decoded::TooLarge
        }
        Err(e) => Decoded::Failed(e),
    }
}
