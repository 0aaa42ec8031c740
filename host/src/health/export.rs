//! Writes what other tools read: bare frames, without records.

use super::{create, open};
use crate::{
    Compressor, Error, Host, Request, Result,
    container::{self, Bytes, Entry, Mender},
    pipeline::{self, Decoders, Event, OnEvent, Summary},
};
use std::{io::Write, path::Path, time::Instant};

/// Writes the frames of the container at `path`, all of `algorithm` (that of the file when absent), to `output`. Frames of
/// another algorithm, stored ones for example, are compressed anew; damaged ones are mended.
///
/// # Errors
/// [`Error::Container`] when it is none or something is lost, [`Error::Exists`], [`Error::Io`].
pub fn export(
    host: &Host,
    path: &Path,
    output: &Path,
    overwrite: bool,
    algorithm: Option<&str>,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    let start = Instant::now();
    let bytes = open(path)?;
    let mender = Mender::new(&bytes, Some(2));
    let problem = |problem: String| Error::Container { input: path.display().to_string(), problem };
    let survey = mender
        .survey()
        .ok_or_else(|| problem("it is no container: it is plain already, or damaged".into()))?;
    let file = survey.file.as_ref();
    let algorithm = algorithm.or(file.map(|f| f.algorithm.as_str())).unwrap_or_default().to_owned();
    let level = file.filter(|f| f.algorithm == algorithm).map(|f| f.level);
    let compressor = host.compressor(&Request { level, ..Request::new(&algorithm) })?;
    let mut out = create(path, output, overwrite)?;
    let mut exporter = Exporter { decoders: Decoders::new(host, None), mender: &mender, compressor };
    let mut summary = Summary { input_bytes: bytes.len(), ..Summary::default() };
    if survey.has_strangers {
        return Err(problem(
            "other content stands before or behind the container; cut the file in two".into(),
        ));
    }
    for piece in survey.pieces() {
        let lost = || problem(format!("bytes {}.. of the original are lost; see verify", piece.range.start));
        let entry = piece.entry.as_ref().ok_or_else(lost)?;
        let (frame, how) = exporter.frame(entry)?;
        out.write_all(&frame).map_err(Error::io("write", output))?;
        summary.output_bytes += frame.len() as u64;
        summary.chunks += 1;
        if let Some(how) = how {
            summary.warnings.push(format!("chunk {}: {how}", entry.chunk.number));
        }
        on_event(Event::Done(entry.frame_offset));
    }
    out.publish(None)?;
    summary.seconds = start.elapsed().as_secs_f64();
    Ok(summary)
}

struct Exporter<'a, B: Bytes> {
    decoders: Decoders<'a>,
    mender: &'a Mender<B>,
    compressor: Compressor,
}

impl<B: Bytes> Exporter<'_, B> {
    /// The frame of `entry` in the format asked for, and what had to be done for it, if anything had.
    fn frame(&mut self, entry: &Entry) -> Result<(Vec<u8>, Option<String>)> {
        let same = entry.chunk.algorithm == self.compressor.algorithm() && entry.chunk.filter == 0;
        let frame = self.mender.bytes().get(entry.frame_offset, entry.chunk.frame_bytes as usize);
        let is_sound = |frame: &Vec<u8>| crc32fast::hash(frame) == entry.chunk.frame_crc;
        if let Some(mut frame) = frame.filter(is_sound).filter(|_| same) {
            container::unmark(&mut frame);
            return Ok((frame, None));
        }
        let mut raw = Vec::new();
        let how =
            pipeline::decode_or_mend(&self.decoders, self.mender, entry, &mut raw)?.map(|h| h.to_string());
        let (frame, _) = self.compressor.compress(&raw)?;
        Ok((frame, how.or(Some("compressed anew".into()))))
    }
}
