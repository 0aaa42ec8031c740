//! J: plugins that fail in the middle of a job, and the ones that take over.

use super::{
    Rng, Row, Setting, Tally, data,
    judge::{Outcome, runs},
};
use clipsmaster_host::{
    Config, Host, Request,
    pipeline::{self, CompressOptions, DecompressOptions, Input, Output},
};
use clipsmaster_plugin_api::{Codec, Descriptor, Error, ErrorKind, Options, Result};
use std::{
    io::{self, Cursor},
    panic::resume_unwind,
    sync::atomic::{AtomicI64, AtomicU8, Ordering::SeqCst},
};

const HEADER_BYTES: usize = 16;
const CHUNK_BYTES: usize = 4000;
/// Of the frail implementation; the sound one is called `sound`.
const FRAIL: &str = "frail";

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Fault {
    None,
    CompressFails,
    CompressPanics,
    CompressWritesWrongBytes,
    DecompressFails,
    DecompressPanics,
    DecompressWritesWrongBytes,
}

use Fault::{
    CompressFails, CompressPanics, CompressWritesWrongBytes, DecompressFails, DecompressPanics,
    DecompressWritesWrongBytes,
};

/// What happens to the frail implementation, once so many calls are over.
static FAULT: AtomicU8 = AtomicU8::new(Fault::None as u8);
static CALLS_LEFT: AtomicI64 = AtomicI64::new(0);

/// Whether the time for `fault` has come.
fn is_due(fault: Fault) -> bool {
    FAULT.load(SeqCst) == fault as u8 && CALLS_LEFT.fetch_sub(1, SeqCst) <= 0
}

/// A frame: the length, the length without the zeros at the end, and every byte of those inverted.
struct Inverted<const IS_FRAIL: bool>;

impl<const IS_FRAIL: bool> Inverted<IS_FRAIL> {
    fn meets(fault: Fault) -> bool {
        IS_FRAIL && is_due(fault)
    }
}

impl<const IS_FRAIL: bool> Codec for Inverted<IS_FRAIL> {
    const DESCRIPTOR: Descriptor = Descriptor::new("inverted", if IS_FRAIL { FRAIL } else { "sound" });

    fn open(_level: i32, _options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        len + HEADER_BYTES
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let kept = src.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        let len = HEADER_BYTES + kept;
        if Self::meets(CompressFails) {
            return Err(Error::new(ErrorKind::DeviceLost, "the device is lost"));
        }
        if Self::meets(CompressPanics) {
            // Without the report on standard error that `panic!` makes.
            resume_unwind(Box::new("the codec panics"));
        }
        let (header, body) =
            dst.get_mut(..len).ok_or(ErrorKind::DestinationTooSmall)?.split_at_mut(HEADER_BYTES);
        header[..8].copy_from_slice(&(src.len() as u64).to_le_bytes());
        header[8..].copy_from_slice(&(kept as u64).to_le_bytes());
        body.iter_mut().zip(src).for_each(|(to, from)| *to = !from);
        if Self::meets(CompressWritesWrongBytes) {
            body.fill(0);
        }
        Ok(len)
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
        if Self::meets(DecompressFails) {
            return Err(Error::new(ErrorKind::DeviceLost, "the device is lost"));
        }
        if Self::meets(DecompressPanics) {
            resume_unwind(Box::new("the codec panics"));
        }
        let mut filled = 0_usize;
        while !src.is_empty() {
            let (header, rest) = src.split_first_chunk::<HEADER_BYTES>().ok_or(ErrorKind::Truncated)?;
            let (len, kept) = lengths(header)?;
            let (body, rest) = rest.split_at_checked(kept).ok_or(ErrorKind::Truncated)?;
            let end = filled.checked_add(len).ok_or(ErrorKind::Corrupt)?;
            let dst = dst.get_mut(filled..end).ok_or(ErrorKind::DestinationTooSmall)?;
            dst.fill(0);
            dst.iter_mut().zip(body).for_each(|(to, from)| *to = !from);
            filled = end;
            src = rest;
        }
        if Self::meets(DecompressWritesWrongBytes) {
            dst.fill(0);
        }
        Ok(filled)
    }
}

/// Bytes of the original, and those that stand in the frame.
fn lengths(header: &[u8; HEADER_BYTES]) -> Result<(usize, usize)> {
    let number = |bytes: &[u8]| {
        let number = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(number).map_err(|_| ErrorKind::Corrupt)
    };
    let (len, kept) = (number(&header[..8])?, number(&header[8..])?);
    if kept > len { Err(ErrorKind::Corrupt.into()) } else { Ok((len, kept)) }
}

/// A host with both, of which the frail one comes first.
fn host(setting: Setting<'_>) -> Result<Host, clipsmaster_host::Error> {
    let dir = setting.scratch.join("no-plugins");
    let mut config = Config::isolated(&dir, setting.scratch.join("faults-cache"));
    config.benchmarks = clipsmaster_host::Benchmarks::Never;
    config.pins.insert("inverted".into(), format!("inverted/cpu/{FRAIL}"));
    let host = Host::open(config)?;
    host.register::<Inverted<true>>("frail", "1.0.0")?;
    host.register::<Inverted<false>>("sound", "1.0.0")?;
    Ok(host)
}

/// Each fault after any number of chunks: the job succeeds with the right bytes, and tells who took over.
pub(super) fn in_mid_job(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let host = host(setting).map_err(io::Error::other)?;
    let mut raw = data(&mut Rng::of(setting.scale.seed, "faults", 0), 10 * CHUNK_BYTES);
    // Each chunk shrinks, or it would be stored.
    raw.chunks_exact_mut(CHUNK_BYTES).for_each(|chunk| chunk[CHUNK_BYTES / 2..].fill(0));
    let faults = [
        (CompressFails, "an encoder fails"),
        (CompressPanics, "an encoder panics"),
        (CompressWritesWrongBytes, "an encoder writes wrong bytes, --verify"),
        (DecompressFails, "a decoder fails"),
        (DecompressPanics, "a decoder panics"),
        (DecompressWritesWrongBytes, "a decoder writes wrong bytes"),
    ];
    let mut rows = Vec::new();
    for (fault, what) in faults {
        let mut tally = Tally::default();
        for after in 0..10 {
            FAULT.store(Fault::None as u8, SeqCst);
            // One run at a time: the fault is the same for the whole program.
            tally += runs(1, |o| o == Outcome::Refused, |_| meet(&host, &raw, fault, after));
        }
        FAULT.store(Fault::None as u8, SeqCst);
        // Wrong bytes may be refused: nothing tells which of both is wrong, the encoder or the decoder.
        let is_met = fault == CompressWritesWrongBytes || tally.right() == tally.runs();
        let must = if fault == CompressWritesWrongBytes { "none silent" } else { "another takes over" };
        rows.push(Row::new('J', format!("{what} in mid-job"), tally, must, is_met));
    }
    Ok(rows)
}

/// Compresses and decompresses ten chunks, and meets `fault` after so many.
fn meet(host: &Host, raw: &[u8], fault: Fault, after: i64) -> Outcome {
    CALLS_LEFT.store(after, SeqCst);
    FAULT.store(fault as u8, SeqCst);
    let Ok(compressor) = host.compressor(&Request::new("inverted")) else { return Outcome::Refused };
    let verify = fault == CompressWritesWrongBytes;
    let options = CompressOptions {
        chunk_bytes: Some(CHUNK_BYTES),
        verify,
        threads: Some(2),
        ..CompressOptions::default()
    };
    let (mut packed, mut back) = (Vec::new(), Vec::new());
    let Ok(first) = pipeline::compress(&compressor, raw, &mut packed, &options, &|_| {}) else {
        return Outcome::Refused;
    };
    let input = Input::Stream(Box::new(Cursor::new(packed)));
    let options = DecompressOptions { threads: Some(2), ..DecompressOptions::default() };
    let Ok(second) = pipeline::decompress(host, input, Output::Stream(&mut back), &options, &|_| {}) else {
        return Outcome::Refused;
    };
    let is_told = [&first.warnings[..], &second.warnings].concat().iter().any(|w| w.contains("took over"));
    // A fault that nobody is told of is one, too.
    Outcome::right(back == raw && is_told, true)
}
