//! J: plugins that fail in the middle of a job, and the ones that take over.

use super::{
    Rng, Row, Setting, Tally, data,
    judge::{Outcome, runs},
};
use clipsmaster_host::{
    Config, Host, Request,
    pipeline::{self, CompressOptions, DecompressOptions, Input},
};
use clipsmaster_plugin_api::{Codec, Descriptor, Error, ErrorKind, Options, Result};
use std::{
    io::{self, Cursor},
    panic::resume_unwind,
    sync::atomic::{AtomicI64, AtomicU8, Ordering::SeqCst},
};

const HEADER_BYTES: usize = 8;
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

/// A frame: the length, and every byte inverted.
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
        let len = self.compress_bound(src.len());
        if Self::meets(CompressFails) {
            return Err(Error::new(ErrorKind::DeviceLost, "the device is lost"));
        }
        if Self::meets(CompressPanics) {
            // Without the report on standard error that `panic!` makes.
            resume_unwind(Box::new("the codec panics"));
        }
        let (header, body) =
            dst.get_mut(..len).ok_or(ErrorKind::DestinationTooSmall)?.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&(src.len() as u64).to_le_bytes());
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
        let mut filled = 0;
        while !src.is_empty() {
            let (header, rest) = src.split_first_chunk::<HEADER_BYTES>().ok_or(ErrorKind::Truncated)?;
            let len = usize::try_from(u64::from_le_bytes(*header)).map_err(|_| ErrorKind::Corrupt)?;
            let (body, rest) = rest.split_at_checked(len).ok_or(ErrorKind::Truncated)?;
            let dst = dst.get_mut(filled..filled + len).ok_or(ErrorKind::DestinationTooSmall)?;
            dst.iter_mut().zip(body).for_each(|(to, from)| *to = !from);
            filled += len;
            src = rest;
        }
        if Self::meets(DecompressWritesWrongBytes) {
            dst.fill(0);
        }
        Ok(filled)
    }
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
    let raw = data(&mut Rng::of(setting.scale.seed, "faults", 0), 40_000);
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
    let options =
        CompressOptions { chunk_bytes: Some(4000), verify, threads: Some(2), ..CompressOptions::default() };
    let (mut packed, mut back) = (Vec::new(), Vec::new());
    let Ok(first) = pipeline::compress(&compressor, raw, &mut packed, &options, &|_| {}) else {
        return Outcome::Refused;
    };
    let input = Input::Stream(Box::new(Cursor::new(packed)));
    let options = DecompressOptions { threads: Some(2), ..DecompressOptions::default() };
    let Ok(second) = pipeline::decompress(host, input, &mut back, &options, &|_| {}) else {
        return Outcome::Refused;
    };
    let is_told = [&first.warnings[..], &second.warnings].concat().iter().any(|w| w.contains("took over"));
    // A fault that nobody is told of is one, too.
    Outcome::right(back == raw && is_told, true)
}
