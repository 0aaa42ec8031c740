//! Other tools' files: looked at member by member, as far as their format lets them be told apart.

use super::Health;
use crate::{
    Compressor, DETECT_BYTES, Error, Host, Request, Result, algorithm,
    container::Bytes,
    pipeline::{self, DecompressOptions, Event, Input, OnEvent, Summary},
};
use memchr::memmem;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Starts of later members that may lie within a member by chance.
const FALSE_STARTS: usize = 8;

/// Decodes everything; where that fails, each member for itself.
pub(super) fn verify(host: &Host, path: &Path, bytes: &impl Bytes, on_event: OnEvent<'_>) -> Result<Health> {
    let algorithm = detect(host, path, bytes)?;
    let mut health = Health::new(format!("{algorithm} file of another tool"), bytes.len(), true);
    let file = File::open(path).map_err(Error::io("read", path))?;
    let options = DecompressOptions { input: path.to_owned(), ..DecompressOptions::default() };
    match pipeline::decompress(host, Input::File(file), &mut io::sink(), &options, on_event) {
        Ok(summary) => {
            health.raw_bytes = Some(summary.output_bytes);
            health.chunks = summary.chunks;
            for warning in summary.warnings {
                health.find(warning, None, Some("harmless".into()));
            }
            Ok(health)
        }
        Err(Error::Damaged { source, .. }) => {
            let mut sound = 0;
            each_member(host, &algorithm, bytes, |member| {
                match member {
                    Member::Sound { .. } => sound += 1,
                    Member::Lost { at, len } => {
                        health.find(format!("{len} bytes that do not decode: {source}"), Some(at), None);
                        health.lost.push((0, u64::MAX));
                    }
                }
                Ok(())
            })?;
            health.chunks = sound;
            health.conclude(sound);
            Ok(health)
        }
        Err(other) => Err(other),
    }
}

/// Writes the sound members as they are.
pub(super) fn keep_sound(
    host: &Host,
    path: &Path,
    bytes: &impl Bytes,
    out: &mut impl Write,
    on_event: OnEvent<'_>,
) -> Result<()> {
    let algorithm = detect(host, path, bytes)?;
    let mut kept = 0;
    each_member(host, &algorithm, bytes, |member| {
        if let Member::Sound { at, frame, .. } = member {
            kept += 1;
            out.write_all(frame).map_err(Error::io("write", path))?;
            on_event(Event::Done(at));
        }
        Ok(())
    })?;
    if kept == 0 { Err(nothing(path)) } else { Ok(()) }
}

/// Writes what the sound members hold.
pub(super) fn salvage(
    host: &Host,
    path: &Path,
    bytes: &impl Bytes,
    out: &mut impl Write,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    let algorithm = detect(host, path, bytes)?;
    let mut summary = Summary { input_bytes: bytes.len(), ..Summary::default() };
    each_member(host, &algorithm, bytes, |member| {
        match member {
            Member::Sound { at, raw, .. } => {
                out.write_all(raw).map_err(Error::io("write", path))?;
                summary.output_bytes += raw.len() as u64;
                summary.chunks += 1;
                on_event(Event::Done(at));
            }
            Member::Lost { at, len } => {
                summary.lost.push((summary.output_bytes, u64::MAX));
                summary.warnings.push(format!("{len} bytes at byte {at} of the file do not decode"));
            }
        }
        Ok(())
    })?;
    if summary.chunks == 0 { Err(nothing(path)) } else { Ok(summary) }
}

fn nothing(path: &Path) -> Error {
    let problem = "not one of its members is sound; nothing was written".into();
    Error::Container { input: path.display().to_string(), problem }
}

fn detect(host: &Host, path: &Path, bytes: &impl Bytes) -> Result<String> {
    let head = bytes.get(0, bytes.len().min(DETECT_BYTES as u64) as usize).unwrap_or_default();
    let found = host.detect(&head, Some(path));
    found.ok_or_else(|| Error::UnknownFormat { input: path.display().to_string(), known: host.algorithms() })
}

/// A stretch of the file.
enum Member<'a> {
    Sound { at: u64, frame: &'a [u8], raw: &'a [u8] },
    Lost { at: u64, len: u64 },
}

/// Cuts the file where its format's magic stands, and decodes each part. A part that only decodes together with the next
/// ones was cut by chance.
fn each_member(
    host: &Host,
    algorithm: &str,
    bytes: &impl Bytes,
    mut each: impl FnMut(Member<'_>) -> Result<()>,
) -> Result<()> {
    let magic = algorithm::find(algorithm).map_or(&[][..], |k| k.magic);
    let decompressor = host.decompressor(&Request::new(algorithm))?;
    let most = pipeline::default_memory_bytes() / 8;
    let mut starts = starts(bytes, magic);
    starts.push(bytes.len());
    let mut first = 0;
    let mut lost_from = 0;
    while first + 1 < starts.len() {
        let at = starts[first];
        let found = starts[first + 1..].iter().take(FALSE_STARTS).enumerate().find_map(|(more, end)| {
            decoded(&decompressor, bytes, at, *end, most).map(|(frame, raw)| (more, frame, raw))
        });
        if let Some((more, frame, raw)) = found {
            if at > lost_from {
                each(Member::Lost { at: lost_from, len: at - lost_from })?;
            }
            each(Member::Sound { at, frame: &frame, raw: &raw })?;
            first += more + 1;
            lost_from = starts[first];
        } else {
            first += 1;
        }
    }
    if bytes.len() > lost_from {
        each(Member::Lost { at: lost_from, len: bytes.len() - lost_from })?;
    }
    Ok(())
}

fn decoded(
    decompressor: &Compressor,
    bytes: &impl Bytes,
    at: u64,
    end: u64,
    most: u64,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let len = end.checked_sub(at).filter(|len| *len <= most)?;
    let frame = bytes.get(at, usize::try_from(len).ok()?)?;
    let raw = decompressor.decompress(&frame, None).ok()?;
    Some((frame, raw))
}

/// Every place where `magic` stands.
fn starts(bytes: &impl Bytes, magic: &[u8]) -> Vec<u64> {
    const STEP: u64 = 1 << 20;
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() && !magic.is_empty() {
        let len = (bytes.len() - at).min(STEP + magic.len() as u64 - 1) as usize;
        let block = bytes.get(at, len).unwrap_or_default();
        found.extend(memmem::find_iter(&block, magic).map(|i| at + i as u64));
        at += STEP;
    }
    found
}
