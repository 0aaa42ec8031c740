//! J: inputs and outputs that fail, at every call and at any byte.

use super::{
    ALGORITHMS, Make, Rng, Row, Setting, data,
    judge::{Outcome, runs},
    subject::Subject,
};
use clipsmaster_host::pipeline::{self, DecompressOptions, Input, Output};
use std::io::{self, Cursor, Read, Write};

const CHUNK_BYTES: usize = 20_000;
/// ENOSPC and EIO (errno(3)).
const FULL: i32 = 28;
const IO: i32 = 5;

/// A writer that is full after so many calls, or so many bytes.
#[derive(Default)]
struct Full {
    calls: usize,
    bytes: usize,
    most_calls: usize,
    most_bytes: usize,
}

impl Full {
    fn after(most_calls: usize, most_bytes: usize) -> Self {
        Self { most_calls, most_bytes, ..Self::default() }
    }
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.most_bytes - self.bytes;
        if self.calls == self.most_calls || room == 0 {
            return Err(io::Error::from_raw_os_error(FULL));
        }
        self.calls += 1;
        let taken = bytes.len().min(room);
        self.bytes += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that gives a few bytes at a time, and fails at a place if there is one.
struct Meagre {
    inner: Cursor<Vec<u8>>,
    fails_at: Option<u64>,
}

impl Meagre {
    fn of(bytes: &[u8], fails_at: Option<usize>) -> Self {
        Self { inner: Cursor::new(bytes.to_vec()), fails_at: fails_at.map(|at| at as u64) }
    }
}

impl Read for Meagre {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let at = self.inner.position();
        let left = self.fails_at.map_or(u64::MAX, |end| end - at);
        if left == 0 {
            return Err(io::Error::from_raw_os_error(IO));
        }
        let most = (bytes.len() as u64).min(left).min(1 + at % 977) as usize;
        self.inner.read(&mut bytes[..most])
    }
}

/// Compresses and decompresses `subject` with ends like these.
struct Job<'a> {
    setting: Setting<'a>,
    subject: &'a Subject,
    make: Make,
}

impl Job<'_> {
    fn compress(&self, input: Meagre, output: impl Write) -> bool {
        let compressor = self.setting.host.compressor(&self.make.request()).expect("it is installed");
        pipeline::compress(&compressor, input, output, &self.make.options(), &|_| {}).is_ok()
    }

    fn decompress(&self, input: Meagre, mut output: impl Write) -> bool {
        let options = DecompressOptions { threads: Some(1), ..DecompressOptions::default() };
        let input = Input::Stream(Box::new(input));
        pipeline::decompress(self.setting.host, input, Output::Stream(&mut output), &options, &|_| {}).is_ok()
    }

    /// Whether an output that is full there, or an input that fails there, is told.
    fn is_told(&self, run: u64) -> bool {
        let Subject { original, bytes, .. } = self.subject;
        let mut rng = Rng::of(self.setting.scale.seed, "ends", run);
        let (sound, decoded) = (Meagre::of(original, None), Meagre::of(bytes, None));
        let most = usize::MAX;
        !match run % 6 {
            0 => self.compress(sound, Full::after(most, rng.below(bytes.len()))),
            1 => self.decompress(decoded, Full::after(most, rng.below(original.len()))),
            2 => self.compress(sound, Full::after(rng.below(self.calls(true)), most)),
            3 => self.decompress(decoded, Full::after(rng.below(self.calls(false)), most)),
            4 => self.compress(Meagre::of(original, Some(rng.below(original.len()))), io::sink()),
            _ => self.decompress(Meagre::of(bytes, Some(rng.below(bytes.len()))), io::sink()),
        }
    }

    /// Calls of `write` that the job makes when there is room.
    fn calls(&self, compresses: bool) -> usize {
        let mut output = Full::after(usize::MAX, usize::MAX);
        if compresses {
            self.compress(Meagre::of(&self.subject.original, None), &mut output);
        } else {
            self.decompress(Meagre::of(&self.subject.bytes, None), &mut output);
        }
        output.calls
    }

    /// Few bytes at a time: the same container and the same original come out.
    fn is_same(&self) -> bool {
        let (mut bytes, mut original) = (Vec::new(), Vec::new());
        self.compress(Meagre::of(&self.subject.original, None), &mut bytes)
            && bytes == self.subject.bytes
            && self.decompress(Meagre::of(&bytes, None), &mut original)
            && original == self.subject.original
    }
}

/// A full output and a failing input, and one that gives little at a time.
pub(super) fn failing(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let (mut told, mut same) = (super::Tally::default(), super::Tally::default());
    let raw = data(&mut Rng::of(setting.scale.seed, "ends", 0), 3 * CHUNK_BYTES);
    for algorithm in ALGORITHMS {
        let make = Make::new(algorithm, CHUNK_BYTES, 10);
        let subject = make.of(setting.host, raw.clone());
        let job = Job { setting, subject: &subject, make };
        let count = setting.scale.part(200).min(3000);
        told +=
            runs(count, |_| false, |run| if job.is_told(run) { Outcome::Refused } else { Outcome::Silent });
        same += runs(1, |_| false, |_| Outcome::right(job.is_same(), false));
    }
    let is_same = same.right() == same.runs();
    Ok(vec![
        Row::new('J', "output full, input fails: any byte, any call", told, "all told", true),
        Row::new('J', "input in small pieces", same, "the same bytes", is_same),
    ])
}
