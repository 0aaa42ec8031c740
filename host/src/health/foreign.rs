//! Other tools' files: looked at member by member, as far as their format lets them be told apart.

use super::Health;
use crate::{
    Compressor, DETECT_BYTES, Error, Host, Request, Result, algorithm,
    container::{self, Bytes},
    foreign::{Step, splitter},
    pipeline::{self, DecompressOptions, Event, Input, OnEvent, Output, Summary},
};
use memchr::memmem;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Starts of later members that may lie within a member by chance.
const FALSE_STARTS: usize = 8;
/// Places where nothing decodes, after which the rest is given up.
const MAX_FALSE_STARTS: usize = 1 << 12;
/// Most places where a member may begin that are tried.
const MAX_STARTS: usize = 1 << 20;
/// Largest member that is decoded alone, in bytes.
const MAX_PART_BYTES: usize = 256 << 20;
/// Largest original of one.
const MAX_RAW_BYTES: usize = 1 << 30;
/// Bytes looked at first.
const VIEW_BYTES: usize = 1 << 20;

/// Decodes everything; where that fails, each member for itself.
pub(super) fn verify(host: &Host, path: &Path, bytes: &impl Bytes, on_event: OnEvent<'_>) -> Result<Health> {
    let algorithm = detect(host, path, bytes)?;
    let mut health = Health::new(format!("{algorithm} file of another tool"), bytes.len(), true);
    let file = File::open(path).map_err(Error::io("read", path))?;
    let options = DecompressOptions { input: path.to_owned(), ..DecompressOptions::default() };
    match pipeline::decompress(host, Input::File(file), Output::Stream(&mut io::sink()), &options, on_event) {
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
            if health.findings.is_empty() {
                // Every member is sound, and still there should be more.
                health.find(format!("the end of the file is missing: {source}"), Some(bytes.len()), None);
                health.lost.push((0, u64::MAX));
            }
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
    let mut is_part = false;
    each_member(host, &algorithm, bytes, |member| {
        match member {
            Member::Sound { at, raw, frame } => {
                is_part |= container::is_ours(frame);
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
    if is_part {
        summary.lost.push((summary.output_bytes, u64::MAX));
        summary
            .warnings
            .push("its frames are a part of a container, whose records and rest are missing".into());
    }
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

/// Walks the file as its headers say ([`crate::foreign`]), and decodes each part; where they lead nowhere, from one place where the
/// format's magic stands to the next.
struct Walk<'a, B: Bytes> {
    bytes: &'a B,
    algorithm: &'a str,
    decompressor: Compressor,
    /// Where the magic stands, and the end of the file.
    starts: Vec<u64>,
    /// Most bytes of a part, before and after decoding.
    most: usize,
    /// Where lost bytes began.
    lost_from: u64,
}

fn each_member(
    host: &Host,
    algorithm: &str,
    bytes: &impl Bytes,
    mut each: impl FnMut(Member<'_>) -> Result<()>,
) -> Result<()> {
    let magic = algorithm::find(algorithm).map_or(&[][..], |k| k.magic);
    let most =
        usize::try_from(pipeline::default_memory_bytes() / 8).unwrap_or(usize::MAX).min(MAX_PART_BYTES);
    let mut starts = starts(bytes, magic);
    starts.push(bytes.len());
    let decompressor = host.decompressor(&Request::new(algorithm))?;
    let mut walk = Walk { bytes, algorithm, decompressor, starts, most, lost_from: 0 };
    let mut at = walk.starts[0];
    let mut false_starts = 0;
    while at < bytes.len() && false_starts < MAX_FALSE_STARTS {
        let before = walk.lost_from;
        let reached = walk.by_headers(at, &mut each)?;
        let reached = if reached > at { reached } else { walk.by_magic(at, &mut each)? };
        false_starts = if walk.lost_from > before { 0 } else { false_starts + 1 };
        // What does not decode is left for the next place where something may begin.
        at = next_start(&walk.starts, reached.max(at + 1));
    }
    walk.lose_to(bytes.len(), &mut each)
}

impl<B: Bytes> Walk<'_, B> {
    /// Follows the headers from `at` on; how far they led.
    fn by_headers(&mut self, mut at: u64, each: &mut impl FnMut(Member<'_>) -> Result<()>) -> Result<u64> {
        let Some(mut splitter) = splitter(self.algorithm, self.most) else { return Ok(at) };
        let mut view = VIEW_BYTES;
        loop {
            let len = (self.bytes.len() - at).min(view as u64) as usize;
            let bytes = self.bytes.get(at, len).unwrap_or_default();
            match splitter.step(&bytes, at + len as u64 == self.bytes.len()) {
                Step::Need(more) if more > len && more <= self.most.saturating_mul(2) => view = more,
                Step::Unit(cut) if cut.len > 0 && cut.len <= len => {
                    let frame = [&cut.before[..], &bytes[..cut.len], &cut.after].concat();
                    if let Some(raw) = self.decoded(&frame) {
                        self.lose_to(at, each)?;
                        each(Member::Sound { at, frame: &frame, raw: &raw })?;
                        self.lost_from = at + cut.len as u64;
                    }
                    at += cut.len as u64;
                }
                Step::Skip(len) if len > 0 && len <= self.bytes.len() - at => {
                    if self.lost_from == at {
                        self.lost_from += len;
                    }
                    at += len;
                }
                _ => return Ok(at),
            }
        }
    }

    /// Decodes from `at`, where the magic stands, to one of the next places where it does; where that got.
    fn by_magic(&mut self, at: u64, each: &mut impl FnMut(Member<'_>) -> Result<()>) -> Result<u64> {
        let first = self.starts.partition_point(|s| *s <= at);
        for end in self.starts[first..].iter().copied().take(FALSE_STARTS) {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX);
            let frame = if len <= self.most { self.bytes.get(at, len) } else { None };
            let Some(frame) = frame else { break };
            if let Some(raw) = self.decoded(&frame) {
                self.lose_to(at, each)?;
                each(Member::Sound { at, frame: &frame, raw: &raw })?;
                self.lost_from = end;
                return Ok(end);
            }
        }
        Ok(at)
    }

    fn decoded(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let mut raw = Vec::new();
        let room = frame.len().saturating_mul(4);
        let (len, _) =
            self.decompressor.decompress_into(frame, &mut raw, room, MAX_RAW_BYTES, "a member").ok()?;
        raw.truncate(len);
        Some(raw)
    }

    fn lose_to(&mut self, at: u64, each: &mut impl FnMut(Member<'_>) -> Result<()>) -> Result<()> {
        if at > self.lost_from {
            each(Member::Lost { at: self.lost_from, len: at - self.lost_from })?;
            self.lost_from = at;
        }
        Ok(())
    }
}

/// The first of `starts`, which end with the file's end, that is not before `at`.
fn next_start(starts: &[u64], at: u64) -> u64 {
    let next = starts.partition_point(|start| *start < at);
    starts.get(next).or(starts.last()).copied().unwrap_or(at)
}

/// Every place where `magic` stands.
fn starts(bytes: &impl Bytes, magic: &[u8]) -> Vec<u64> {
    const STEP: u64 = 1 << 20;
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() && !magic.is_empty() && found.len() < MAX_STARTS {
        let len = (bytes.len() - at).min(STEP + magic.len() as u64 - 1) as usize;
        let block = bytes.get(at, len).unwrap_or_default();
        found.extend(memmem::find_iter(&block, magic).map(|i| at + i as u64));
        at += STEP;
    }
    found
}
