//! Containers as `Read`, `Write` and `Seek`, on the caller's thread. [`pipeline`](crate::pipeline) works in parallel.

use crate::{
    Compressor, Error, Host, Result,
    container::{self, Entry, FileBytes, Mender, Opened, Piece, Reader, Survey},
    pipeline::{self, CompressOptions, Decoders, DecompressOptions},
};
use clipsmaster_plugin_api::{ErrorKind, abi::import::StreamDecoder};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Compresses what is written to it into a container on `W`. Call [`finish`](Self::finish): a container that is only dropped has no
/// end, and reads as truncated.
pub struct ChunkedWriter<'a, W: Write> {
    sink: pipeline::ChunkSink<'a, W>,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    is_empty: bool,
}

impl<W: Write> std::fmt::Debug for ChunkedWriter<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkedWriter").field("chunk_bytes", &self.chunk_bytes).finish_non_exhaustive()
    }
}

impl<'a, W: Write> ChunkedWriter<'a, W> {
    /// Writes to `output` with `compressor`.
    ///
    /// # Errors
    /// [`Error::Usage`] for options that make no sense.
    pub fn new(output: W, compressor: &'a Compressor, options: &'a CompressOptions) -> Result<Self> {
        let sink = pipeline::ChunkSink::new(output, compressor, options)?;
        let chunk_bytes = sink.chunk_bytes();
        Ok(Self { sink, chunk_bytes, buffer: Vec::new(), is_empty: true })
    }

    /// Writes what is left, the index and the footers; gives `W` back.
    ///
    /// # Errors
    /// Of the codec and of `W`.
    pub fn finish(mut self) -> Result<W> {
        if !self.buffer.is_empty() || self.is_empty {
            self.sink.write(&self.buffer)?;
        }
        self.sink.finish()
    }
}

impl<W: Write> Write for ChunkedWriter<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(self.chunk_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&data[..taken]);
        if self.buffer.len() == self.chunk_bytes {
            self.is_empty = false;
            self.sink.write(&self.buffer).map_err(io::Error::other)?;
            self.buffer.clear();
        }
        Ok(taken)
    }

    /// Nothing: a frame ends where a chunk is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the original of a container, or of other tools' files, from a pipe or the like.
pub struct ChunkedReader<'a, R> {
    decoders: Decoders<'a>,
    source: Source<R>,
    raw: Vec<u8>,
    at: usize,
}

enum Source<R> {
    Container(Box<Reader<R>>, Vec<u8>),
    Foreign(Box<StreamDecoder>),
}

impl<R> std::fmt::Debug for ChunkedReader<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkedReader").finish_non_exhaustive()
    }
}

impl<'a, R: Read + Send + 'static> ChunkedReader<'a, R> {
    /// Reads `input`, which errors call by the name in `options`.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::Container`] for a damaged start.
    pub fn new(host: &'a Host, input: R, options: &DecompressOptions) -> Result<Self> {
        let decoders = Decoders::new(host, options.implementation.clone());
        let name = options.input.display().to_string();
        let source = match container::open(input, &name, pipeline::LOOK_AHEAD_BYTES)? {
            Opened::Container(reader) => Source::Container(reader, Vec::new()),
            Opened::Foreign(rest) => {
                Source::Foreign(Box::new(pipeline::stream_decoder(&decoders, rest, options)?))
            }
        };
        Ok(Self { decoders, source, raw: Vec::new(), at: 0 })
    }
}

impl<R: Read> Read for ChunkedReader<'_, R> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let (reader, frame) = match &mut self.source {
            Source::Foreign(decoder) => {
                let read = decoder.read(dst);
                let is_over = decoder.codec_error().is_some_and(|e| e.kind == ErrorKind::Trailing);
                return if is_over { Ok(0) } else { read };
            }
            Source::Container(reader, frame) => (reader, frame),
        };
        while self.at == self.raw.len() {
            let Some(entry) = reader.next(frame).map_err(invalid)? else { return Ok(0) };
            self.decoders.decode(&entry, frame, &mut self.raw).map_err(|bad| invalid(bad.error(&entry)))?;
            self.at = 0;
        }
        let n = dst.len().min(self.raw.len() - self.at);
        dst[..n].copy_from_slice(&self.raw[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn invalid(e: Error) -> io::Error {
    match e {
        Error::Io { source, .. } => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// Reads the original of a container in a file, from anywhere in it; damage is mended where that is possible.
#[derive(Debug)]
pub struct SeekableReader<'a> {
    decoders: Decoders<'a>,
    bytes: FileBytes,
    pieces: Vec<Piece>,
    len: u64,
    position: u64,
    raw: Vec<u8>,
    /// Number in `pieces` of the piece that `raw` holds.
    held: Option<usize>,
}

impl<'a> SeekableReader<'a> {
    /// Opens the container in the file `path`.
    ///
    /// # Errors
    /// [`Error::Container`] when it is none, or its end is lost.
    pub fn open(host: &'a Host, path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let bytes = FileBytes::new(file).map_err(Error::io("read", path))?;
        let problem = "no container, or one whose end is lost; decompress it instead".to_owned();
        let none = || Error::Container { input: path.display().to_string(), problem };
        let survey = Survey::by_footer(&bytes).or_else(|| Survey::by_scan(&bytes));
        let survey = survey.filter(|s| s.is_complete).ok_or_else(none)?;
        let len = survey.raw_bytes.unwrap_or(0);
        let decoders = Decoders::new(host, None);
        let pieces = survey.pieces();
        Ok(Self { decoders, bytes, pieces, len, position: 0, raw: Vec::new(), held: None })
    }

    /// Bytes of the original.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the original is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn hold(&mut self, number: usize) -> io::Result<()> {
        if self.held == Some(number) {
            return Ok(());
        }
        self.held = None;
        let entry = self.pieces[number].entry.clone();
        let entry: Entry = entry.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a lost chunk"))?;
        let mender = Mender::new(&self.bytes, 1);
        pipeline::decode_or_mend(&self.decoders, &self.bytes, &mender, &entry, &mut self.raw)
            .map_err(invalid)?;
        self.held = Some(number);
        Ok(())
    }
}

impl Read for SeekableReader<'_> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let at = self.position;
        let number = self.pieces.partition_point(|p| p.range.end <= at);
        if dst.is_empty() || number == self.pieces.len() {
            return Ok(0);
        }
        self.hold(number)?;
        let start = (at - self.pieces[number].range.start) as usize;
        let rest = self.raw.get(start..).unwrap_or_default();
        let n = dst.len().min(rest.len());
        dst[..n].copy_from_slice(&rest[..n]);
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for SeekableReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.len.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
