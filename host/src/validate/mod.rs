//! Conformance: proves that a codec keeps the contract of [`clipsmaster_plugin_api::Codec`].
//!
//! Runs inside a probe child. Each case is announced before it begins, so that a crash is blamed on the
//! right one, and reports an outcome; `registry` turns outcomes into a state, `validate PLUGIN.so` prints them.

mod batches;
mod cases;
mod outcome;
mod vectors;

pub(crate) use outcome::Told;
pub use outcome::{CaseResult, Outcome};

use crate::benchmark::data::Kind;
use clipsmaster_plugin_api::{
    Error, ErrorKind, Options, SKIP_CHECKSUM, WHOLE_BYTES,
    abi::import::{Codec, Instance},
};

/// What a case found: `Ok` for passed, or with a note; an error otherwise.
type Finding = Result<Outcome, Outcome>;

/// Runs all cases on `codec`. `peers` are proven implementations of the same algorithm.
pub(crate) fn conform(codec: Codec, peers: &[(String, Codec)], send: &mut dyn FnMut(Told)) {
    let subject = Subject::new(codec);
    let mut run = |name: &str, case: &mut dyn FnMut() -> Finding| {
        send(Told::Begins(name.to_owned()));
        let outcome = case().unwrap_or_else(|bad| bad);
        send(Told::Ended(CaseResult { name: name.to_owned(), outcome }));
    };
    run("descriptor", &mut || cases::descriptor(&subject));
    for level in subject.levels() {
        for kind in [Kind::Text, Kind::Random] {
            run(&format!("round trip of {} data at level {level}", kind.name()), &mut || {
                cases::round_trip(&subject, level, kind)
            });
        }
    }
    run("large round trip", &mut || cases::large(&subject));
    run("small destination", &mut || cases::small_destination(&subject));
    run("frames back to back", &mut || cases::back_to_back(&subject));
    run("trailing bytes", &mut || cases::trailing_bytes(&subject));
    run("empty input to decompress", &mut || cases::empty_frame(&subject));
    run("truncated frames", &mut || cases::truncated(&subject));
    run("flipped bits", &mut || cases::flipped_bits(&subject));
    if subject.has_option(SKIP_CHECKSUM) {
        run("checksums left to the caller", &mut || cases::without_checksums(&subject));
    }
    if subject.has_option(WHOLE_BYTES) {
        run("samples of more", &mut || cases::samples(&subject));
    }
    run("random bytes to decompress", &mut || cases::garbage(&subject));
    run("stream decoder", &mut || cases::stream(&subject));
    run("stream decoder on truncated input", &mut || cases::truncated_stream(&subject));
    run("batches", &mut || batches::batches(&subject));
    run("concurrent instances", &mut || cases::concurrent(&subject));
    run("dropping instances", &mut || cases::dropping(&subject));
    run("reference frames", &mut || cases::reference_frames(&subject));
    for (name, peer) in peers {
        run(&format!("reads {name}"), &mut || cases::cross_decode(*peer, codec));
        run(&format!("is read by {name}"), &mut || cases::cross_decode(codec, *peer));
    }
}

/// The codec under examination.
pub(crate) struct Subject {
    codec: Codec,
    algorithm: String,
}

impl Subject {
    fn new(codec: Codec) -> Self {
        Self { codec, algorithm: codec.descriptor().algorithm.to_string() }
    }

    fn levels(&self) -> Vec<i32> {
        let l = self.codec.descriptor().levels;
        let mut levels = vec![l.min, l.default, l.max];
        levels.dedup();
        levels
    }

    fn default_level(&self) -> i32 {
        self.codec.descriptor().levels.default
    }

    /// Whether damage in a frame must be noticed: known formats carry checksums.
    fn is_checksummed(&self) -> bool {
        crate::algorithm::find(&self.algorithm).is_some_and(|k| k.checksummed)
    }

    fn open(&self) -> Result<Instance, Outcome> {
        open(&self.codec, self.default_level())
    }

    fn has_option(&self, name: &str) -> bool {
        self.codec.descriptor().options.iter().any(|option| option.name == name)
    }

    /// A frame of 5000 bytes of text, with its content.
    fn sample(&self) -> Result<(Vec<u8>, Vec<u8>), Outcome> {
        let data = Kind::Text.generate(5000);
        let frame = compress(&mut self.open()?, &data)?;
        Ok((frame, data))
    }

    /// Whether frames are the data itself, so that damage cannot be seen.
    fn is_identity(&self) -> Result<bool, Outcome> {
        let (frame, data) = self.sample()?;
        Ok(frame == data)
    }
}

fn failed(what: impl Into<String>) -> Outcome {
    Outcome::Failed(what.into())
}

fn unexpected(what: &str) -> impl FnOnce(Error) -> Outcome {
    let what = what.to_owned();
    move |e| failed(format!("{what}: {e}"))
}

fn open(codec: &Codec, level: i32) -> Result<Instance, Outcome> {
    codec.open(level, &Options::default()).map_err(unexpected(&format!("open at level {level}")))
}

/// Bytes after a buffer that no codec may touch.
const CANARY: [u8; 64] = [0xa5; 64];

/// Calls `f` with a buffer of `len` bytes; fails if the bytes behind it were changed.
fn with_canary<T>(
    len: usize,
    f: impl FnOnce(&mut [u8]) -> Result<T, Outcome>,
) -> Result<(T, Vec<u8>), Outcome> {
    let mut buffer = vec![0; len];
    buffer.extend_from_slice(&CANARY);
    let answer = f(&mut buffer[..len]);
    if buffer[len..] != CANARY {
        return Err(failed(format!("wrote past the end of a destination of {len} bytes")));
    }
    buffer.truncate(len);
    Ok((answer?, buffer))
}

/// Compresses into a buffer of exactly the bound.
fn compress(instance: &mut Instance, data: &[u8]) -> Result<Vec<u8>, Outcome> {
    let bound = instance.compress_bound(data.len()).map_err(unexpected("compress_bound"))?;
    let sane = data.len().saturating_mul(2).saturating_add(1 << 20);
    if bound > sane {
        return Err(failed(format!("compress_bound({}) is {bound}: more than twice the input", data.len())));
    }
    let (len, mut buffer) = with_canary(bound, |dst| {
        let what = format!("compress {} bytes into their bound of {bound}", data.len());
        instance.compress(data, dst).map_err(unexpected(&what))
    })?;
    buffer.truncate(len);
    Ok(buffer)
}

/// Decompresses into a buffer of exactly the right size, and compares.
fn expect(instance: &mut Instance, frame: &[u8], data: &[u8], what: &str) -> Result<(), Outcome> {
    let (len, buffer) = with_canary(data.len(), |dst| {
        instance.decompress(frame, dst).map_err(unexpected(&format!("decompress {what}")))
    })?;
    if buffer[..len] == *data {
        return Ok(());
    }
    let detail =
        if len == data.len() { "changed bytes".into() } else { format!("{len} bytes of {}", data.len()) };
    Err(Outcome::WrongBytes(format!("decompress {what}: success with {detail}")))
}

/// Fails on a panic, whatever else an error would mean.
fn no_panic(e: &Error) -> Result<(), Outcome> {
    if e.kind == ErrorKind::Panicked { Err(failed(e.to_string())) } else { Ok(()) }
}
