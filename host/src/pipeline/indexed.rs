//! Containers in files and in memory: any range, in parallel, and what is damaged is mended on the way.

use super::{
    DecompressOptions, Event, OnDamage, OnEvent, Output, Summary,
    decode::{Bad, Decoders, Together, no_memory},
    group::Group,
    ordered,
    output::Places,
    sequential,
};
use crate::{
    Error, Result,
    buffer::{self, Pool},
    container::{Bytes, Entry, FileInfo, MAX_CHUNK_BYTES, Mended, Mender, Piece, Survey},
};
use std::{
    io::Write,
    mem,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// One piece on its way.
#[derive(Default)]
struct Item {
    piece: Option<Piece>,
    raw: Vec<u8>,
    state: State,
}

#[derive(Default)]
enum State {
    /// Nothing to be done.
    #[default]
    Idle,
    /// Decoded, by this implementation.
    Sound(String),
    Mended(Mended),
    Lost(String),
}

/// Decompresses the wanted range of what `survey`, of `mender`'s, found.
///
/// # Errors
/// [`Error::Container`] where something is lost and `options` do not allow that; all before it has been written.
pub(crate) fn decompress<B: Bytes>(
    decoders: &Decoders<'_>,
    mender: &Mender<B>,
    survey: &Survey,
    output: &mut Output<'_>,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    let mut summary = Summary { input_bytes: mender.bytes().len(), ..Summary::default() };
    let wanted = wanted(survey, options)?;
    let mut file = survey.file.clone().unwrap_or_else(|| FileInfo::guessed(survey.entries.values()));
    let is_unknown = survey.file.is_none() && survey.entries.is_empty();
    let chunk_bytes = if is_unknown { MAX_CHUNK_BYTES as u64 } else { file.chunk_bytes };
    let largest = survey.entries.values().map(|e| u64::from(e.chunk.raw_bytes)).max();
    file.chunk_bytes = file.chunk_bytes.min(largest.unwrap_or(file.chunk_bytes).max(1));
    let mut pieces = survey.pieces();
    pieces.retain(|p| p.range.start < wanted.end && wanted.start < p.range.end);
    let (lanes, batch) = sequential::lanes(&file, Some(pieces.len()), decoders, options, &mut summary)?;
    let mut pieces = pieces.into_iter();
    let fill = |group: &mut Group<Item>| {
        group.fill(batch, |item| {
            item.piece = pieces.next();
            item.state = State::Idle;
            Ok(item.piece.is_some())
        })
    };
    // Where what is lost is left out, the places of what follows are not known before.
    let places = if options.on_damage == OnDamage::Error { Places::of(output) } else { Ok(None) };
    let places = places.map_err(Error::io("write", &options.output))?;
    let job = Job {
        decoders,
        mender,
        survey,
        options,
        wanted: wanted.clone(),
        algorithm: &file.algorithm,
        chunk_bytes,
        places,
        frames: Pool::default(),
        raws: Pool::default(),
        mending: Mutex::default(),
        lost_at: AtomicU64::new(u64::MAX),
    };
    let mut taker = Taker { output, job: &job, summary: &mut summary, mended: Vec::new() };
    let take = |group: &mut Group<Item>| {
        for item in group.chunks() {
            taker.take(item)?;
            let entry = item.piece.as_ref().and_then(|p| p.entry.as_ref());
            on_event(Event::Done(entry.map_or(0, |e| e.frame_offset)));
        }
        Ok(())
    };
    let work = |group: &mut Group<Item>| job.work(group.chunks());
    ordered(lanes, fill, work, take, &|| decoders.name(&file.algorithm), on_event)?;
    let mended = taker.mended;
    if !mended.is_empty() {
        let how = mended.join("; ");
        summary.warnings.push(format!(
            "damage was mended while reading ({how}); `clipsmaster-host repair` makes a sound file"
        ));
    }
    if let Some(places) = job.places {
        places.close(summary.output_bytes).map_err(Error::io("write", &options.output))?;
    }
    Ok(summary)
}

/// What workers share.
struct Job<'a, B: Bytes> {
    decoders: &'a Decoders<'a>,
    mender: &'a Mender<B>,
    survey: &'a Survey,
    options: &'a DecompressOptions,
    wanted: Range<u64>,
    /// Of most chunks.
    algorithm: &'a str,
    /// Original bytes of a chunk: as recorded, or as those that are left tell; the most there may be where none is.
    chunk_bytes: u64,
    /// Where workers write, if they do.
    places: Option<Places>,
    frames: Pool,
    raws: Pool,
    /// One mends at a time.
    mending: Mutex<()>,
    /// Where the job is lost: the first place, since that is what is told.
    lost_at: AtomicU64,
}

impl<B: Bytes> Job<'_, B> {
    fn work(&self, items: &mut [Item]) -> Result<()> {
        let done = if items.len() > 1 { self.together(items)? } else { vec![None] };
        for (item, done) in items.iter_mut().zip(done) {
            item.state = match done {
                Some(by) => State::Sound(by),
                None => self.state(item)?,
            };
            self.place(item)?;
        }
        Ok(())
    }

    /// Decodes `items` in one call: by whom, for each that came out right.
    fn together(&self, items: &mut [Item]) -> Result<Vec<Option<String>>> {
        let mut frames = Vec::new();
        for item in &mut *items {
            let mut frame = self.frames.take();
            if let Some(entry) = item.piece.as_ref().and_then(|p| p.entry.as_ref()) {
                read_frame(self.mender.bytes(), entry, &mut frame)?;
                item.raw = self.raws.take();
            }
            frames.push(frame);
        }
        let chunks = items.iter_mut().zip(&frames).filter_map(|(item, frame)| {
            let entry = item.piece.as_ref()?.entry.as_ref()?;
            Some(Together { entry, frame, raw: &mut item.raw })
        });
        let mut decoded =
            self.decoders.decode_together(self.algorithm, &mut chunks.collect::<Vec<_>>()).into_iter();
        frames.into_iter().for_each(|frame| self.frames.give(frame));
        let has_frame = |item: &Item| item.piece.as_ref().is_some_and(|p| p.entry.is_some());
        Ok(items.iter().map(|item| if has_frame(item) { decoded.next()? } else { None }).collect())
    }

    /// Decodes `item` by any means.
    fn state(&self, item: &mut Item) -> Result<State> {
        let Some(piece) = &item.piece else { return Ok(State::Idle) };
        let Some(entry) = &piece.entry else { return Ok(State::Lost(self.why_nothing(piece).into())) };
        if item.raw.capacity() == 0 {
            item.raw = self.raws.take();
        }
        let state = self.decode(entry, &mut item.raw)?;
        if self.options.on_damage == OnDamage::Error && matches!(state, State::Lost(_)) {
            self.lost_at.fetch_min(entry.chunk.raw_offset, Ordering::Relaxed);
        }
        Ok(state)
    }

    /// Writes `item` to its place, if there are places: whoever decoded it has it in a cache, and the buffer is free again.
    fn place(&self, item: &mut Item) -> Result<()> {
        let (Some(places), Some(piece)) = (&self.places, &item.piece) else { return Ok(()) };
        if !matches!(item.state, State::Lost(_)) {
            let (wanted, at) = self.wanted_of(piece, &item.raw);
            places.write(wanted, at).map_err(Error::io("write", &self.options.output))?;
        }
        self.raws.give(mem::take(&mut item.raw));
        Ok(())
    }

    fn decode(&self, entry: &Entry, raw: &mut Vec<u8>) -> Result<State> {
        let mut frame = self.frames.take();
        read_frame(self.mender.bytes(), entry, &mut frame)?;
        let decoded = self.decoders.decode(entry, &frame, raw);
        self.frames.give(frame);
        match decoded {
            Ok(by) => Ok(State::Sound(by)),
            // Once the job is lost, what comes behind need not be mended.
            Err(_) if entry.chunk.raw_offset > self.lost_at.load(Ordering::Relaxed) => {
                Ok(State::Lost("not tried".into()))
            }
            Err(bad) => {
                let _alone = crate::sync::lock(&self.mending);
                mend(self.decoders, self.mender, entry, bad, raw)
            }
        }
    }

    fn why_nothing(&self, piece: &Piece) -> &'static str {
        if self.survey.has_strangers && piece.range.end == u64::MAX {
            "other content stands before or behind the container; cut the file where each begins"
        } else {
            "nothing is left of it"
        }
    }

    /// What is wanted of `piece`, which is `raw`, and where in the output it belongs.
    fn wanted_of<'r>(&self, piece: &Piece, raw: &'r [u8]) -> (&'r [u8], u64) {
        let range = self.range(piece);
        let start = (range.start - piece.range.start) as usize;
        let len = range.end.saturating_sub(range.start) as usize;
        (raw.get(start..start + len).unwrap_or_default(), range.start - self.wanted.start)
    }

    /// The wanted part of what `piece` covers of the original.
    fn range(&self, piece: &Piece) -> Range<u64> {
        piece.range.start.max(self.wanted.start)..piece.range.end.min(self.wanted.end)
    }
}

/// Reads the frame of `entry`. What is beyond the end of the file stays short, which the check of its length notices.
fn read_frame(bytes: &impl Bytes, entry: &Entry, frame: &mut Vec<u8>) -> Result<()> {
    frame.clear();
    let len = entry.chunk.frame_bytes as usize;
    if entry.frame_offset.saturating_add(len as u64) <= bytes.len() {
        buffer::resize(frame, len).map_err(|_| no_memory(len))?;
        bytes.read_lossy(frame, entry.frame_offset);
    }
    Ok(())
}

/// The original bytes of `entry` into `raw`, mended if need be.
pub(crate) fn decode_or_mend<B: Bytes>(
    decoders: &Decoders<'_>,
    mender: &Mender<B>,
    entry: &Entry,
    raw: &mut Vec<u8>,
) -> Result<Option<Mended>> {
    let frame = mender.bytes().get(entry.frame_offset, entry.chunk.frame_bytes as usize);
    let frame = frame.unwrap_or_default();
    let Err(bad) = decoders.decode(entry, &frame, raw) else { return Ok(None) };
    match mend(decoders, mender, entry, bad, raw)? {
        State::Mended(how) => Ok(Some(how)),
        _ => Err(Bad::Frame.error(entry)),
    }
}

/// Gets `entry` back into `raw`, by any means.
fn mend<B: Bytes>(
    decoders: &Decoders<'_>,
    mender: &Mender<B>,
    entry: &Entry,
    bad: Bad,
    raw: &mut Vec<u8>,
) -> Result<State> {
    // Of this version or machine, not of the file.
    if let Bad::Decoder(
        e @ (Error::UnknownAlgorithm { .. } | Error::NoImplementation { .. } | Error::Usage(_)),
    ) = bad
    {
        return Err(e);
    }
    let out = Mutex::new(std::mem::take(raw));
    // The frame has been found right by its CRC already, or was corrected to have it.
    let decodes = |frame: &[u8]| decoders.accepts(entry, frame, &mut crate::sync::lock(&out));
    let found = mender.frame(entry, decodes);
    *raw = out.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(match (found, bad) {
        (Some((_, how)), _) => State::Mended(how),
        (None, Bad::Frame) => State::Lost("its frame is damaged beyond repair".into()),
        (None, Bad::Decoder(e)) => State::Lost(e.to_string()),
    })
}

/// The original bytes asked for.
fn wanted(survey: &Survey, options: &DecompressOptions) -> Result<Range<u64>> {
    let Some(range) = &options.range else { return Ok(0..u64::MAX) };
    let end = survey.raw_bytes.unwrap_or(u64::MAX);
    if range.start > range.end || range.start > end {
        let to = if range.end == u64::MAX { String::new() } else { range.end.to_string() };
        return Err(Error::Usage(format!(
            "range {}..{to} is not within the original's {end} bytes",
            range.start
        )));
    }
    Ok(range.clone())
}

struct Taker<'a, B: Bytes, W> {
    output: &'a mut W,
    job: &'a Job<'a, B>,
    summary: &'a mut Summary,
    mended: Vec<String>,
}

impl<B: Bytes, W: Write> Taker<'_, B, W> {
    fn take(&mut self, item: &mut Item) -> Result<()> {
        let Some(piece) = &item.piece else { return Ok(()) };
        let number = piece.entry.as_ref().map(|e| e.chunk.number);
        let range = self.job.range(piece);
        let algorithm = piece.entry.as_ref().map_or("", |e| &e.chunk.algorithm);
        match &item.state {
            State::Lost(why) => return self.lose(number, range, why),
            State::Mended(how) => {
                self.mended.push(format!("chunk {}: {how}", number.unwrap_or_default()));
                self.summary.count(&self.job.decoders.name(algorithm));
            }
            State::Sound(by) => self.summary.count(by),
            State::Idle => {}
        }
        if self.job.places.is_some() {
            self.summary.output_bytes += range.end - range.start;
        } else {
            let (wanted, _) = self.job.wanted_of(piece, &item.raw);
            self.write(wanted)?;
            self.job.raws.give(mem::take(&mut item.raw));
        }
        Ok(())
    }

    fn write(&mut self, raw: &[u8]) -> Result<()> {
        self.summary.output_bytes += raw.len() as u64;
        self.output.write_all(raw).map_err(Error::io("write", &self.job.options.output))
    }

    fn lose(&mut self, number: Option<u64>, range: Range<u64>, why: &str) -> Result<()> {
        let what = match number {
            Some(number) => format!("chunk {number}"),
            None => "a gap".into(),
        };
        let to = if range.end == u64::MAX { "the end".into() } else { range.end.to_string() };
        let problem = format!("{what} is lost (bytes {}..{to} of the original): {why}", range.start);
        if self.job.options.on_damage == OnDamage::Error {
            let input = self.job.options.input.display().to_string();
            let hint = "`--on-damage skip` or `zero` gets the rest, `clipsmaster-host verify` tells more";
            return Err(Error::Container { input, problem: format!("{problem}; {hint}") });
        }
        self.summary.lost.push((range.start, range.end));
        self.summary.warnings.push(problem);
        // An end that nothing tells the place of cannot be filled.
        if self.job.options.on_damage == OnDamage::Zero && range.end != u64::MAX && self.is_believable(&range)
        {
            self.zeros(range.end - range.start)?;
        }
        Ok(())
    }

    /// Sizes come from the file: no more zeros than the chunks there could have held.
    fn is_believable(&self, range: &Range<u64>) -> bool {
        let chunks = self.summary.input_bytes / 64 + 1;
        range.end - range.start <= self.job.chunk_bytes.saturating_mul(chunks)
    }

    fn zeros(&mut self, mut len: u64) -> Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while len > 0 {
            let part = len.min(ZEROS.len() as u64) as usize;
            self.write(&ZEROS[..part])?;
            len -= part as u64;
        }
        Ok(())
    }
}
