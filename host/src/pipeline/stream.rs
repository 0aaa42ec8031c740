//! Other tools' files of any length through one stream decoder: a decoder thread pulls, the caller's thread writes.

use super::{DecompressOptions, Event, OnEvent, Summary, default_memory_bytes};
use crate::{Compressor, Error, Result};
use clipsmaster_plugin_api as api;
use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

/// Size of the pieces that go from decoder to writer, in bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces on the way.
const PIECES: usize = 4;
/// Largest input for a codec that cannot decode in pieces, in bytes.
const MAX_WHOLE_BYTES: u64 = 1 << 30;

/// Counts what a decoder reads.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(dst)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Decompresses all frames of `input` to `output`.
///
/// # Errors
/// [`Error::Damaged`] when the input is damaged or ends too early: what was written by then must be thrown away.
pub(crate) fn decompress<R: Read + Send + 'static>(
    decompressor: &Compressor,
    input: R,
    output: &mut impl Write,
    options: &DecompressOptions,
    on_event: OnEvent<'_>,
) -> Result<Summary> {
    let count = Arc::new(AtomicU64::new(0));
    let input = Counted { inner: input, count: Arc::clone(&count) };
    let memory = options.memory_bytes.unwrap_or_else(default_memory_bytes);
    let mut summary = Summary::default();
    let implementation = if let Some(link) = decompressor.streaming_link() {
        let decoder = decompressor.decoder(link, input, memory, &options.input)?;
        let progress = || on_event(Event::Done(count.load(Ordering::Relaxed)));
        (summary.output_bytes, summary.ignored_rest) =
            stream(decoder, link.id(), output, options, &progress)?;
        if summary.ignored_rest {
            summary.warnings.push("what follows its last frame is something else and was ignored".into());
        }
        link.id().to_owned()
    } else {
        let (out, id) = whole(decompressor, input, options)?;
        output.write_all(&out).map_err(Error::io("write", &options.output))?;
        summary.output_bytes = out.len() as u64;
        id
    };
    summary.count(&implementation);
    summary.input_bytes = count.load(Ordering::Relaxed);
    summary.warnings.extend(decompressor.failures());
    Ok(summary)
}

type Piece = (Vec<u8>, usize);

fn stream(
    decoder: api::abi::import::StreamDecoder,
    id: &str,
    output: &mut impl Write,
    options: &DecompressOptions,
    progress: &dyn Fn(),
) -> Result<(u64, bool)> {
    let (full_sender, full) = mpsc::channel::<Result<Piece>>();
    let (free_sender, free) = mpsc::channel::<Vec<u8>>();
    for _ in 0..PIECES {
        let _ = free_sender.send(Vec::new());
    }
    // All ends of the channels move in: a write that fails drops them, which wakes the decoder.
    thread::scope(move |scope| {
        scope.spawn(move || decode(decoder, id, options, &free, &full_sender));
        let mut total = 0;
        for piece in full {
            let (piece, len) = match piece {
                Err(Error::Codec { source, .. }) if source.kind == api::ErrorKind::Trailing => {
                    return Ok((total, true));
                }
                piece => piece?,
            };
            output.write_all(&piece[..len]).map_err(Error::io("write", &options.output))?;
            total += len as u64;
            progress();
            let _ = free_sender.send(piece);
        }
        Ok((total, false))
    })
}

fn decode(
    mut decoder: api::abi::import::StreamDecoder,
    id: &str,
    options: &DecompressOptions,
    free: &Receiver<Vec<u8>>,
    full: &Sender<Result<Piece>>,
) {
    while let Ok(mut piece) = free.recv() {
        piece.resize(PIECE_BYTES, 0);
        let (mut len, mut failed) = (0, None);
        // Whole pieces: decoders return a block at a time, and each handover costs a wake-up.
        while len < piece.len() {
            match decoder.read(&mut piece[len..]) {
                Ok(0) if len == 0 => return,
                Ok(0) => break,
                Ok(n) => len += n,
                Err(e) => {
                    failed = Some(failure(&decoder, e, id, options));
                    break;
                }
            }
        }
        // What was decoded before an error counts.
        if full.send(Ok((piece, len))).is_err() {
            return;
        }
        if let Some(e) = failed {
            let _ = full.send(Err(e));
            return;
        }
    }
}

fn failure(
    decoder: &api::abi::import::StreamDecoder,
    e: io::Error,
    id: &str,
    options: &DecompressOptions,
) -> Error {
    let input = options.input.display().to_string();
    match decoder.codec_error() {
        Some(codec) => Error::codec(id, &input, codec.clone()),
        None => Error::io("read", &options.input)(e),
    }
}

/// A codec without `stream/1`: everything in memory.
fn whole(
    decompressor: &Compressor,
    mut input: impl Read,
    options: &DecompressOptions,
) -> Result<(Vec<u8>, String)> {
    let mut data = Vec::new();
    let mut limited = (&mut input).take(MAX_WHOLE_BYTES + 1);
    limited.read_to_end(&mut data).map_err(Error::io("read", &options.input))?;
    if data.len() as u64 > MAX_WHOLE_BYTES {
        let what = "its plugin cannot decode streams, and the input is larger than 1 GiB";
        let too_large = io::Error::new(io::ErrorKind::OutOfMemory, what);
        return Err(Error::io("decompress", &options.input)(too_large));
    }
    decompressor.decompress_named(&data, None).map_err(|e| match e {
        Error::Damaged { implementation, source, .. } => {
            Error::Damaged { input: options.input.display().to_string(), implementation, source }
        }
        other => other,
    })
}
