//! Tells what is damaged, where, and whether it can be mended.

use super::{Health, foreign, open};
use crate::{
    Error, Host, Result,
    container::{self, Bytes, Entry, Mender, Opened, Reader, Survey, has_records},
    pipeline::{self, Decoders, DecompressOptions, Event, Input, OnEvent, Output},
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Compares every checksum in the file at `path` and, if `deep`, decodes everything. For what is damaged, mending is tried.
///
/// # Errors
/// [`Error::Io`], and [`Error::UnknownFormat`] when it is nothing an installed plugin reads; damage is no error.
pub fn verify(host: &Host, path: &Path, deep: bool, on_event: OnEvent<'_>) -> Result<Health> {
    let bytes = open(path)?;
    if !has_records(&bytes) {
        return foreign::verify(host, path, &bytes, on_event);
    }
    let decoders = Decoders::new(host, None);
    let mut health = Health::new(String::new(), bytes.len(), deep);
    let first = match strict(path, &decoders, &mut health, on_event)? {
        Ok(()) => return Ok(health),
        Err(first) => first,
    };
    // Another tool's file that holds a container, or comes after one: what decompresses without fault is no damaged container.
    if let Some(sound) = decoded(host, path, bytes.len(), on_event)? {
        return Ok(sound);
    }
    diagnose(&decoders, &bytes, deep, first, on_event)
}

/// The verdict on a file that is not containers alone, and can be decoded from front to back without fault.
fn decoded(host: &Host, path: &Path, bytes: u64, on_event: OnEvent<'_>) -> Result<Option<Health>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let options = DecompressOptions { input: path.to_owned(), ..DecompressOptions::default() };
    // As a stream: in a file, damage would be mended.
    match pipeline::decompress(
        host,
        Input::Stream(Box::new(file)),
        Output::Stream(&mut io::sink()),
        &options,
        on_event,
    ) {
        Ok(summary) => {
            let format = "frames of other tools, with containers among or within them".to_owned();
            let mut health = Health::new(format, bytes, true);
            health.raw_bytes = Some(summary.output_bytes);
            health.chunks = summary.chunks;
            Ok(Some(health))
        }
        Err(Error::Io { action, path, source }) => Err(Error::Io { action, path, source }),
        Err(_) => Ok(None),
    }
}

/// Reads everything front to back; the first thing that is not as it was written.
fn strict(
    path: &Path,
    decoders: &Decoders<'_>,
    health: &mut Health,
    on_event: OnEvent<'_>,
) -> Result<Result<(), Error>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let name = path.display().to_string();
    match containers(file, &name, decoders, health, on_event) {
        // A frame that no decoder makes right was written wrong.
        Err(
            e @ (Error::Container { .. }
            | Error::Damaged { .. }
            | Error::UnknownFormat { .. }
            | Error::Codec { .. }),
        ) => Ok(Err(e)),
        Err(other) => Err(other),
        Ok(()) => Ok(Ok(())),
    }
}

/// One container after the other.
fn containers(
    input: impl Read + Send + 'static,
    name: &str,
    decoders: &Decoders<'_>,
    health: &mut Health,
    on_event: OnEvent<'_>,
) -> Result<()> {
    let input: Box<dyn Read + Send> = Box::new(input);
    let mut next = Some(container::open(input, name)?);
    let mut done = 0;
    while let Some(opened) = next {
        let Opened::Container(mut reader) = opened else {
            let problem = format!("what stands at byte {done}, behind a container, is none");
            return Err(Error::Container { input: name.to_owned(), problem });
        };
        one(&mut reader, decoders, health, done, on_event)?;
        done += reader.position();
        next = reader.after()?;
    }
    Ok(())
}

fn one<R: Read>(
    reader: &mut Reader<R>,
    decoders: &Decoders<'_>,
    health: &mut Health,
    before: u64,
    on_event: OnEvent<'_>,
) -> Result<()> {
    let file = reader.file().clone();
    health.format = format!("container of {} frames", file.algorithm);
    health.parity_percent = file.parity_percent;
    let (mut frame, mut raw) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.next(&mut frame)? {
        check(decoders, &entry, &frame, &mut raw, health.deep)?;
        health.chunks += 1;
        *health.raw_bytes.get_or_insert(0) += u64::from(entry.chunk.raw_bytes);
        on_event(Event::Done(before + reader.position()));
    }
    Ok(())
}

/// Whether `frame` is that of `entry`; if `deep`, whether it decodes to what it should.
fn check(decoders: &Decoders<'_>, entry: &Entry, frame: &[u8], raw: &mut Vec<u8>, deep: bool) -> Result<()> {
    if deep {
        return decoders.decode(entry, frame, raw).map(drop).map_err(|bad| bad.error(entry));
    }
    let is_sound = crc32fast::hash(frame) == entry.chunk.frame_crc;
    if is_sound { Ok(()) } else { Err(pipeline::Bad::Frame.error(entry)) }
}

/// Everything that is damaged, and what can be done about it.
fn diagnose<B: Bytes>(
    decoders: &Decoders<'_>,
    bytes: &B,
    deep: bool,
    first: Error,
    on_event: OnEvent<'_>,
) -> Result<Health> {
    let mender = Mender::new(bytes, Some(2));
    let Some(survey) = mender.scanned() else { return Err(first) };
    let algorithm = survey.file.as_ref().map_or("unknown", |f| f.algorithm.as_str());
    let mut health = Health::new(format!("container of {algorithm} frames"), bytes.len(), deep);
    health.raw_bytes = survey.raw_bytes;
    health.parity_percent = survey.file.as_ref().map_or(0, |f| f.parity_percent);
    let mut sound = 0;
    for piece in survey.pieces() {
        let range = (piece.range.start, piece.range.end);
        let Some(entry) = &piece.entry else {
            health.find(gap(survey, range), None, None);
            health.lost.push(range);
            continue;
        };
        health.chunks += 1;
        let (mut raw, frame) = (Vec::new(), bytes.get(entry.frame_offset, entry.chunk.frame_bytes as usize));
        let is_sound = check(decoders, entry, &frame.unwrap_or_default(), &mut raw, deep).is_ok();
        let mended =
            (!is_sound).then(|| mender.frame(entry, |frame| decoders.accepts(entry, frame, &mut Vec::new())));
        sound += u64::from(!matches!(mended, Some(None)));
        if let Some(mended) = mended {
            let what =
                format!("chunk {} (bytes {}..{} of the original)", entry.chunk.number, range.0, range.1);
            let how = mended.map(|(_, how)| how.to_string());
            if how.is_none() {
                health.lost.push(range);
            }
            health.find(what, Some(entry.frame_offset), how);
        }
        on_event(Event::Done(entry.frame_offset));
    }
    records(survey, &mut health);
    if survey.file.is_none() {
        health.exact = false;
        let lost = "guessed; what wrote it, parity and the user's metadata are lost";
        health.find("the record of what the file is", None, Some(lost.into()));
    }
    if health.findings.is_empty() {
        // Between records and frames, where nothing is counted.
        health.find(first.to_string(), None, Some("written anew".into()));
    }
    health.conclude(sound);
    Ok(health)
}

fn gap(survey: &Survey, (start, end): (u64, u64)) -> String {
    match end {
        u64::MAX if survey.has_strangers => {
            "other content stands before or behind the container; cut the file in two".into()
        }
        u64::MAX => {
            format!("everything from byte {start} of the original on: the end of the file is missing")
        }
        _ => format!("bytes {start}..{end} of the original: no trace of them is left"),
    }
}

/// Compares the records there are with those there should be.
fn records(survey: &Survey, health: &mut Health) {
    let expected = survey.expected();
    let counts = &survey.counts;
    let kinds = [
        ("file records", counts.file, expected.file),
        ("chunk records", counts.chunk, expected.chunk),
        ("index records", counts.index, expected.index),
        ("parity tables", counts.table, expected.table),
        ("recovery shards", counts.recovery, expected.recovery),
        ("footers", counts.footer, expected.footer),
    ];
    for (what, found, expected) in kinds {
        if found < expected {
            let missing = expected - found;
            health.find(format!("{missing} of {expected} {what}"), None, Some("written anew".into()));
        }
    }
}
