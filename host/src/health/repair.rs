//! Writes sound files from damaged ones.

use super::{Condition, Health, create, foreign, open, verify};
use crate::{
    Error, Host, Result,
    container::{Bytes, Carrier, FileInfo, Mender, Writer, has_records},
    pipeline::{self, Decoders, DecompressOptions, Event, OnDamage, OnEvent, Output, OutputFile},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

/// Writes the file at `path`, as it was before it was damaged, to `output`. A container becomes bit for bit what it was, or
/// is refused; of other tools' files the sound members are kept, and the answer tells what is lost.
///
/// # Errors
/// [`Error::Container`] when something is lost, [`Error::Exists`], [`Error::Io`].
pub fn repair(
    host: &Host,
    path: &Path,
    output: &Path,
    overwrite: bool,
    on_event: OnEvent<'_>,
) -> Result<Health> {
    let bytes = open(path)?;
    let health = verify(host, path, false, &|_| {})?;
    let mut out = create(path, output, overwrite)?;
    let is_container = has_records(&bytes);
    match health.condition {
        Condition::Intact => copy(&bytes, &mut out).map_err(Error::io("write", output))?,
        _ if !is_container => foreign::keep_sound(host, path, &bytes, &mut out, on_event)?,
        Condition::Mendable => rewrite(host, path, &bytes, &mut out, output, on_event)?,
        Condition::Partial | Condition::Lost => return Err(refused(path, &health)),
    }
    check(host, path, &health, &mut out)?;
    out.publish(None)?;
    Ok(health)
}

/// Reads what was written once more: only what is sound is published.
fn check(host: &Host, path: &Path, health: &Health, out: &mut OutputFile) -> Result<()> {
    if health.condition == Condition::Intact {
        return Ok(());
    }
    out.flush().map_err(Error::io("write", path))?;
    let again = verify(host, &out.own_path(), true, &|_| {});
    if again.is_ok_and(|again| again.condition == Condition::Intact) {
        return Ok(());
    }
    let problem = "its records contradict each other: nothing sound can be made of them".into();
    Err(Error::Container { input: path.display().to_string(), problem })
}

fn refused(path: &Path, health: &Health) -> Error {
    let lost = health.lost.len();
    let problem = format!(
        "cannot be repaired completely: {lost} stretches of the original are lost; \
         `clipsmaster-host salvage {0} -o OUT` gets the rest, `verify {0}` tells more",
        path.display()
    );
    Error::Container { input: path.display().to_string(), problem }
}

/// The same chunks through the same writer: the same bytes.
fn rewrite<B: Bytes>(
    host: &Host,
    path: &Path,
    bytes: &B,
    out: &mut impl Write,
    output: &Path,
    on_event: OnEvent<'_>,
) -> Result<()> {
    let decoders = Decoders::new(host, None);
    let mender = Mender::new(bytes, Some(2));
    let name = || path.display().to_string();
    let lost = |what: String| Error::Container { input: name(), problem: what };
    let survey = mender.scanned().ok_or_else(|| lost("no record is left".into()))?;
    let carrier = survey.carrier;
    let guessed = || FileInfo {
        carrier: carrier
            .filter(|_| survey.entries.get(&0).is_none_or(|first| first.frame_offset == 0))
            .unwrap_or(Carrier::Native),
        ..FileInfo::guessed(survey.entries.values())
    };
    let file = survey.file.clone().unwrap_or_else(guessed);
    let mut writer = Writer::new(out, file, 2);
    for entry in survey.entries.values() {
        let len = entry.chunk.frame_bytes as usize;
        let sound = bytes.get(entry.frame_offset, len);
        let sound = sound.filter(|frame| crc32fast::hash(frame) == entry.chunk.frame_crc);
        let decodes = |frame: &[u8]| decoders.accepts(entry, frame, &mut Vec::new());
        let frame = sound.or_else(|| mender.frame(entry, decodes).map(|(frame, _)| frame));
        let frame = frame.ok_or_else(|| lost(format!("chunk {} is lost", entry.chunk.number)))?;
        writer.chunk(entry.chunk.clone(), &frame).map_err(Error::io("write", output))?;
        on_event(Event::Done(entry.frame_offset));
    }
    writer.finish().map_err(Error::io("write", output))?;
    Ok(())
}

fn copy(bytes: &impl Bytes, out: &mut impl Write) -> std::io::Result<()> {
    const STEP: u64 = 1 << 20;
    let mut at = 0;
    while at < bytes.len() {
        let mut part = vec![0; STEP.min(bytes.len() - at) as usize];
        bytes.read_at(&mut part, at)?;
        out.write_all(&part)?;
        at += part.len() as u64;
    }
    Ok(())
}

/// Writes all of the original that can still be had and proven to `output`; where `zeros` are asked for, in their old places.
///
/// # Errors
/// [`Error::Container`] when nothing can be had, [`Error::Exists`], [`Error::Io`].
pub fn salvage(
    host: &Host,
    path: &Path,
    output: &Path,
    overwrite: bool,
    zeros: bool,
    on_event: OnEvent<'_>,
) -> Result<pipeline::Summary> {
    let start = Instant::now();
    let bytes = open(path)?;
    let mut out = create(path, output, overwrite)?;
    let options = DecompressOptions {
        on_damage: if zeros { OnDamage::Zero } else { OnDamage::Skip },
        input: path.to_owned(),
        output: PathBuf::from(output),
        ..DecompressOptions::default()
    };
    let mender = Mender::new(&bytes, Some(2));
    let mut summary = match mender.survey() {
        Some(survey) => {
            let decoders = Decoders::new(host, None);
            pipeline::decompress_indexed(
                &decoders,
                &mender,
                survey,
                &mut Output::File(&mut out),
                &options,
                on_event,
            )?
        }
        None => foreign::salvage(host, path, &bytes, &mut out, on_event)?,
    };
    if summary.chunks == 0 && !summary.lost.is_empty() {
        let problem = "nothing of it can be had any more; nothing was written".into();
        return Err(Error::Container { input: path.display().to_string(), problem });
    }
    out.publish(None)?;
    summary.seconds = start.elapsed().as_secs_f64();
    Ok(summary)
}
