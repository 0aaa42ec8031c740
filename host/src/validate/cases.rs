//! The conformance cases, one function each.

use super::{
    Finding, Outcome, Subject, compress, expect, failed, no_panic, open, unexpected, vectors, with_canary,
};
use crate::benchmark::data::Kind;
use clipsmaster_plugin_api::{
    ErrorKind, Options, SKIP_CHECKSUM, Threads, WHOLE_BYTES,
    abi::import::{Codec, Instance},
};
use std::{
    io::{self, Cursor, Read},
    thread,
};

/// Sizes around the blocks that formats use, in bytes.
pub(super) const SIZES: [usize; 12] = [0, 1, 2, 63, 64, 65, 4095, 4097, 65_535, 65_536, 65_537, 200_000];
/// More than one block of every format.
const LARGE: usize = (4 << 20) + 17;
/// Memory granted to stream decoders, in bytes.
const STREAM_MEMORY: u64 = 256 << 20;
/// Cuts at which a format without an end mark may look whole (snappy: after its stream identifier).
const MOST_WHOLE_CUTS: usize = 2;

pub(super) fn passed() -> Finding {
    Ok(Outcome::Passed)
}

pub(super) fn skipped(why: &str) -> Finding {
    Ok(Outcome::Skipped(why.to_owned()))
}

const IDENTITY: &str = "frames are the data itself: damage cannot be seen";

pub(super) fn descriptor(s: &Subject) -> Finding {
    let d = s.codec.descriptor();
    let name_is_plain = |n: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        !n.is_empty() && n.len() <= 64 && n.chars().all(plain)
    };
    for (what, name) in [("algorithm", d.algorithm), ("hardware", d.hardware), ("library", d.library)] {
        if !name_is_plain(&name) {
            return Err(failed(format!("{what} `{name}` must be 1 to 64 of a-z 0-9 - _ .")));
        }
    }
    let l = d.levels;
    if l.min > l.default || l.default > l.max || l.max.saturating_sub(l.min) > 1000 {
        return Err(failed(format!("levels {}..={} with default {} make no range", l.min, l.max, l.default)));
    }
    if !d.compresses && !d.decompresses {
        return Err(failed("neither compresses nor decompresses"));
    }
    if !d.compresses || !d.decompresses {
        return Err(failed("codecs of one direction cannot be proven by this version"));
    }
    if d.max_chunk_bytes < 4096 {
        return Err(failed("max_chunk_bytes is below 4096"));
    }
    let known = crate::algorithm::find(&s.algorithm);
    if let Some(known) = known
        && !known.magic.is_empty()
        && d.magic.as_slice() != known.magic
    {
        return Err(failed(format!("magic bytes are not those of {}", known.name)));
    }
    passed()
}

pub(super) fn round_trip(s: &Subject, level: i32, kind: Kind) -> Finding {
    let mut instance = open(&s.codec, level)?;
    let magic = s.codec.descriptor().magic;
    // Up and, for the small ones, down again with one instance: what a call leaves behind must not matter.
    for size in SIZES.iter().chain(SIZES[..8].iter().rev()) {
        let size = (*size as u64).min(s.codec.descriptor().max_chunk_bytes) as usize;
        let data = kind.generate(size);
        let frame = compress(&mut instance, &data)?;
        if !frame.starts_with(magic.as_slice()) {
            return Err(failed(format!("the frame of {size} bytes does not start with the magic bytes")));
        }
        expect(&mut instance, &frame, &data, &format!("a frame of {size} bytes"))?;
        let declared = s.codec.decompressed_len(&frame).map_err(unexpected("decompressed_len"))?;
        if declared.is_some_and(|n| n != size as u64) {
            return Err(failed(format!("decompressed_len says {declared:?} for {size} bytes")));
        }
    }
    passed()
}

pub(super) fn large(s: &Subject) -> Finding {
    let mut instance = s.open()?;
    let len = (LARGE as u64).min(s.codec.descriptor().max_chunk_bytes) as usize;
    for data in [Kind::Binary.generate(len), vec![0; len]] {
        let frame = compress(&mut instance, &data)?;
        expect(&mut instance, &frame, &data, &format!("a frame of {len} bytes"))?;
    }
    passed()
}

pub(super) fn small_destination(s: &Subject) -> Finding {
    let (frame, data) = s.sample()?;
    let too_small = |what: String, answer: Result<usize, clipsmaster_plugin_api::Error>| match answer {
        Ok(n) => Err(failed(format!("{what}: success with {n} bytes"))),
        Err(e) if e.kind == ErrorKind::DestinationTooSmall => Ok(()),
        Err(e) => Err(failed(format!("{what}: `{e}` instead of `destination too small`"))),
    };
    let mut instance = s.open()?;
    for room in [0, 1, frame.len() / 2, frame.len() - 1] {
        with_canary(room, |dst| {
            too_small(format!("compress into {room} of {} bytes", frame.len()), instance.compress(&data, dst))
        })?;
    }
    for room in [0, 1, data.len() / 2, data.len() - 1] {
        with_canary(room, |dst| {
            let answer = instance.decompress(&frame, dst);
            too_small(format!("decompress into {room} of {} bytes", data.len()), answer)
        })?;
    }
    expect(&mut instance, &frame, &data, "after calls that failed")?;
    passed()
}

pub(super) fn back_to_back(s: &Subject) -> Finding {
    let mut instance = s.open()?;
    let parts =
        [Kind::Text.generate(3000), Vec::new(), Kind::Random.generate(70_000), Kind::Text.generate(1)];
    let mut frames = Vec::new();
    for part in &parts {
        frames.extend(compress(&mut instance, part)?);
    }
    let data = parts.concat();
    let mut out = vec![0; data.len()];
    if let Err(e) = instance.decompress(&frames, &mut out)
        && e.kind == ErrorKind::Unsupported
    {
        return Ok(Outcome::Note(format!("more than one frame a call is not supported ({e})")));
    }
    expect(&mut instance, &frames, &data, "four frames back to back")?;
    // The same frame twice: a decoder that looks for the end by content may stop after the first.
    let twice = compress(&mut instance, &parts[0])?.repeat(2);
    expect(&mut instance, &twice, &parts[0].repeat(2), "the same frame twice")?;
    passed()
}

pub(super) fn trailing_bytes(s: &Subject) -> Finding {
    if s.is_identity()? {
        return skipped(IDENTITY);
    }
    let (mut frame, data) = s.sample()?;
    frame.extend_from_slice(b"these bytes are no frame");
    let answer = s.open()?.decompress(&frame, &mut vec![0; data.len() + 100]);
    match answer {
        Ok(_) => Err(failed("bytes after the last frame were ignored")),
        Err(e) => no_panic(&e).and_then(|()| passed()),
    }
}

pub(super) fn empty_frame(s: &Subject) -> Finding {
    match s.open()?.decompress(&[], &mut [0; 16]) {
        Ok(0) if s.is_identity()? || !s.is_checksummed() => passed(),
        Ok(n) => Err(failed(format!("no input at all gave success with {n} bytes"))),
        Err(e) => no_panic(&e).and_then(|()| passed()),
    }
}

/// Positions 0..len, all of the first and last 32 and some between.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (1..len).filter(move |&at| at < 32 || len - at <= 32 || at % 37 == 0)
}

pub(super) fn truncated(s: &Subject) -> Finding {
    if s.is_identity()? {
        return skipped(IDENTITY);
    }
    let (frame, data) = s.sample()?;
    let mut instance = s.open()?;
    let mut accepted = Vec::new();
    for cut in cuts(frame.len()) {
        let (answer, out) = with_canary(data.len(), |dst| Ok(instance.decompress(&frame[..cut], dst)))?;
        match answer {
            Ok(n) if out[..n] != data[..n] => {
                return Err(Outcome::WrongBytes(format!("cut at {cut} of {}: wrong bytes", frame.len())));
            }
            Ok(_) => accepted.push(cut),
            Err(e) => no_panic(&e)?,
        }
    }
    judge_cuts(s, &accepted, frame.len())
}

fn judge_cuts(s: &Subject, accepted: &[usize], len: usize) -> Finding {
    if accepted.len() > MOST_WHOLE_CUTS {
        return Err(failed(format!("cut frames were accepted as whole, of {len} bytes at {accepted:?}")));
    }
    if accepted.is_empty() || s.algorithm == "snappy" {
        return passed();
    }
    Ok(Outcome::Note(format!("a frame of {len} bytes cut at {accepted:?} looks whole")))
}

/// What an instance makes of samples is read as ever, however much they are said to be of.
pub(super) fn samples(s: &Subject) -> Finding {
    for whole_bytes in [1, 1 << 20, i64::MAX] {
        let mut options = Options::default();
        options.set(WHOLE_BYTES, whole_bytes);
        let mut instance =
            s.codec.open(s.default_level(), &options).map_err(unexpected("open for samples"))?;
        for data in [Kind::Text.generate(0), Kind::Text.generate(70_000), Kind::Random.generate(5000)] {
            let frame = compress(&mut instance, &data)?;
            expect(&mut s.open()?, &frame, &data, "a sample")?;
        }
    }
    passed()
}

/// What an instance that leaves checksums of content to the caller still has to do.
pub(super) fn without_checksums(s: &Subject) -> Finding {
    let mut options = Options::default();
    options.set(SKIP_CHECKSUM, 1);
    let opened = s.codec.open(s.default_level(), &options);
    let mut instance = opened.map_err(unexpected("open with checksums left to the caller"))?;
    let (frame, data) = s.sample()?;
    for noise in [Kind::Random.generate(0), Kind::Random.generate(70_000)] {
        let frames = [frame.clone(), compress(&mut instance, &noise)?].concat();
        let data = [&data[..], &noise].concat();
        expect(&mut instance, &frames, &data, "without checksums")?;
        // What was written so is read by those who look at checksums.
        expect(&mut s.open()?, &frames, &data, "frames that may lack a checksum")?;
    }
    let mut accepted = Vec::new();
    for cut in cuts(frame.len()) {
        let (answer, _) = with_canary(data.len(), |dst| Ok(instance.decompress(&frame[..cut], dst)))?;
        match answer {
            Ok(_) => accepted.push(cut),
            Err(e) => no_panic(&e)?,
        }
    }
    for at in 0..frame.len().min(512) {
        let mut damaged = frame.clone();
        damaged[at] ^= 1 << (at % 8);
        // Other bytes may come out now, but nowhere else.
        let (answer, _) = with_canary(data.len(), |dst| Ok(instance.decompress(&damaged, dst)))?;
        answer.map_or_else(|e| no_panic(&e), |_| Ok(()))?;
    }
    judge_cuts(s, &accepted, frame.len())
}

pub(super) fn flipped_bits(s: &Subject) -> Finding {
    if s.is_identity()? {
        return skipped(IDENTITY);
    }
    if !s.codec.descriptor().safe_on_hostile_input {
        return skipped("declared unsafe on damaged input: the host verifies it first");
    }
    let (frame, data) = s.sample()?;
    let mut instance = s.open()?;
    let mut silent = 0;
    // Every bit of the first and last 16 bytes, one bit of every few bytes between.
    let step = (frame.len() / 200).max(1);
    let dense = |at: usize| at < 16 || frame.len() - at <= 16;
    for bit in (0..frame.len() * 8).filter(|b| dense(b / 8) || b / 8 % step == 0 && b % 8 == b / 8 % 7) {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (answer, out) = with_canary(data.len() + 64, |dst| Ok(instance.decompress(&damaged, dst)))?;
        match answer {
            Ok(n) => silent += usize::from(out[..n] != data[..]),
            Err(e) => no_panic(&e)?,
        }
    }
    match silent {
        0 => passed(),
        n if s.is_checksummed() => {
            Err(Outcome::WrongBytes(format!("{n} flipped bits gave wrong bytes without an error")))
        }
        n => Ok(Outcome::Note(format!("{n} flipped bits went unnoticed: the format has no checksum"))),
    }
}

pub(super) fn garbage(s: &Subject) -> Finding {
    if s.is_identity()? || !s.codec.descriptor().safe_on_hostile_input {
        return skipped("every input is valid for it, or it is declared unsafe on damaged input");
    }
    let mut instance = s.open()?;
    for size in [1, 7, 64, 1000, 100_000] {
        let mut bytes = s.codec.descriptor().magic.to_vec();
        bytes.extend(Kind::Random.generate(size));
        for input in [&bytes[..], &bytes[s.codec.descriptor().magic.len()..]] {
            match instance.decompress(input, &mut vec![0; 200_000]) {
                Ok(_) if s.is_checksummed() => {
                    return Err(failed(format!("{size} random bytes were decoded")));
                }
                Ok(_) => {}
                Err(e) => no_panic(&e)?,
            }
        }
    }
    passed()
}

/// Hands out odd numbers of bytes at a time, as pipes do.
struct Dribble(Cursor<Vec<u8>>, usize);

impl Read for Dribble {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 * 7 % 8191 + 1;
        let len = dst.len().min(self.1);
        self.0.read(&mut dst[..len])
    }
}

fn read_stream(s: &Subject, frames: Vec<u8>) -> Result<io::Result<Vec<u8>>, Outcome> {
    let input = Dribble(Cursor::new(frames), 1);
    let mut decoder = s.codec.decoder(input, STREAM_MEMORY).map_err(unexpected("opening a decoder"))?;
    let mut out = Vec::new();
    let mut piece = vec![0; 10_007];
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(Ok(out)),
            Ok(n) => out.extend_from_slice(&piece[..n]),
            Err(e) => {
                if let Some(e) = decoder.codec_error() {
                    no_panic(e)?;
                }
                return Ok(Err(e));
            }
        }
    }
}

const NO_STREAM: &str = "no stream/1: frames that do not fit into memory cannot be decoded";

pub(super) fn stream(s: &Subject) -> Finding {
    if !s.codec.streams() {
        return skipped(NO_STREAM);
    }
    let mut instance = s.open()?;
    let parts = [Kind::Text.generate(300_000), Vec::new(), Kind::Random.generate(70_000)];
    let mut frames = Vec::new();
    for part in &parts {
        frames.extend(compress(&mut instance, part)?);
    }
    let out = read_stream(s, frames)?.map_err(|e| failed(format!("frames back to back: {e}")))?;
    if out == parts.concat() {
        return passed();
    }
    Err(Outcome::WrongBytes(format!("{} bytes of {} came out", out.len(), parts.concat().len())))
}

pub(super) fn truncated_stream(s: &Subject) -> Finding {
    if !s.codec.streams() {
        return skipped(NO_STREAM);
    }
    if s.is_identity()? {
        return skipped(IDENTITY);
    }
    let (frame, data) = s.sample()?;
    let mut accepted = Vec::new();
    for cut in cuts(frame.len()) {
        if let Ok(out) = read_stream(s, frame[..cut].to_vec())? {
            if !data.starts_with(&out) {
                return Err(Outcome::WrongBytes(format!("cut at {cut} of {}: wrong bytes", frame.len())));
            }
            accepted.push(cut);
        }
    }
    judge_cuts(s, &accepted, frame.len())
}

pub(super) fn concurrent(s: &Subject) -> Finding {
    if s.codec.descriptor().threads != Threads::CONCURRENT {
        return skipped("declared serialised");
    }
    let work = |seed: usize| -> Result<(), Outcome> {
        let mut instance = s.open()?;
        for round in 0..6 {
            let mut data = Kind::Text.generate(20_000 + 999 * (seed + round));
            data.iter_mut().for_each(|b| *b ^= seed as u8);
            let frame = compress(&mut instance, &data)?;
            expect(&mut instance, &frame, &data, "with other instances at work")?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || work(seed))).collect();
        let answers =
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(failed("a thread panicked"))));
        answers.collect::<Result<(), Outcome>>()
    })?;
    passed()
}

pub(super) fn dropping(s: &Subject) -> Finding {
    let end = |i: Instance| i.close().map_err(unexpected("dropping an instance"));
    let mut used = s.open()?;
    compress(&mut used, b"used once")?;
    end(used)?;
    end(s.open()?)?;
    passed()
}

pub(super) fn reference_frames(s: &Subject) -> Finding {
    let Some(frame) = vectors::frame(&s.algorithm) else {
        return skipped("no reference frames of this algorithm");
    };
    expect(&mut s.open()?, frame, vectors::PLAIN, "the frame of the format's own tool")?;
    passed()
}

/// What `writer` writes, `reader` must read.
pub(super) fn cross_decode(writer: Codec, reader: Codec) -> Finding {
    for (level, size) in
        [(writer.descriptor().levels.default, 150_000), (writer.descriptor().levels.max, 20_000)]
    {
        for kind in [Kind::Text, Kind::Binary, Kind::Random] {
            let data = kind.generate(size);
            let frame = compress(&mut open(&writer, level)?, &data)?;
            expect(
                &mut open(&reader, reader.descriptor().levels.default)?,
                &frame,
                &data,
                "the other's frame",
            )?;
        }
    }
    let empty = compress(&mut open(&writer, writer.descriptor().levels.default)?, &[])?;
    expect(&mut open(&reader, reader.descriptor().levels.default)?, &empty, &[], "the other's empty frame")?;
    passed()
}
