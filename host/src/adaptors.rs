//! Containers as `Read`, `Write` and `Seek`, on the caller's thread. [`pipeline`](crate::pipeline) works in parallel.

use crate::{
    Compressor, Error, Host, Result,
    container::{self, Entry, FileBytes, Mender, Opened, Piece, Reader},
    pipeline::{self, CompressOptions, Decoders, DecompressOptions},
};
use clipsmaster_plugin_api::{ErrorKind, abi::import::StreamDecoder};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    mem,
    path::Path,
};

/// Compresses what is written to it into a container on `W`. Call [`finish`](Self::finish): a container that is only dropped has no
/// end, and reads as truncated.
pub struct ChunkedWriter<'a, W: Write> {
    sink: pipeline::ChunkSink<'a, W>,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    is_empty: bool,
    /// A chunk could not be written: what there is has a hole.
    has_failed: bool,
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
        Ok(Self { sink, chunk_bytes, buffer: Vec::new(), is_empty: true, has_failed: false })
    }

    /// Writes what is left, the index and the footers; gives `W` back.
    ///
    /// # Errors
    /// Of the codec and of `W`.
    pub fn finish(mut self) -> Result<W> {
        if self.has_failed {
            let problem = "the container is incomplete: an earlier chunk could not be written".into();
            return Err(Error::Container { input: "output".into(), problem });
        }
        if !self.buffer.is_empty() || self.is_empty {
            self.sink.write(&self.buffer)?;
        }
        self.sink.finish()
    }
}

impl<W: Write> Write for ChunkedWriter<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(io::Error::other("an earlier chunk could not be written"));
        }
        let taken = data.len().min(self.chunk_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&data[..taken]);
        if self.buffer.len() == self.chunk_bytes {
            self.is_empty = false;
            let written = self.sink.write(&self.buffer);
            self.has_failed = written.is_err();
            written.map_err(io::Error::other)?;
            self.buffer.clear();
        }
        Ok(taken)
    }

    /// Nothing: a frame ends where a chunk is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the original of containers and of other tools' files, one after the other, from a pipe or the like.
pub struct ChunkedReader<'a> {
    decoders: Decoders<'a>,
    options: DecompressOptions,
    source: Source,
    frame: Vec<u8>,
    raw: Vec<u8>,
    at: usize,
}

type Input = Box<dyn Read + Send>;

enum Source {
    Container(Box<Reader<Input>>),
    Foreign(Box<StreamDecoder>),
    /// All has been read, or reading has failed.
    Ended(io::Result<()>),
}

impl std::fmt::Debug for ChunkedReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkedReader").field("input", &self.options.input).finish_non_exhaustive()
    }
}

impl<'a> ChunkedReader<'a> {
    /// Reads `input`, which errors call by the name in `options`.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::Container`] for a damaged start.
    pub fn new(
        host: &'a Host,
        input: impl Read + Send + 'static,
        options: &DecompressOptions,
    ) -> Result<Self> {
        let decoders = Decoders::new(host, options.implementation.clone());
        let input: Input = Box::new(input);
        let opened = container::open(input, &options.input.display().to_string())?;
        let source = Source::new(&decoders, opened, options)?;
        let options = options.clone();
        Ok(Self { decoders, options, source, frame: Vec::new(), raw: Vec::new(), at: 0 })
    }

    /// Decodes the next chunk, of the next container if need be; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        self.raw.clear();
        self.at = 0;
        while let Source::Container(reader) = &mut self.source {
            if let Some(entry) = reader.next(&mut self.frame)? {
                let decoded = self.decoders.decode(&entry, &self.frame, &mut self.raw);
                decoded.map_err(|bad| bad.error(&entry))?;
                return Ok(true);
            }
            let ended = Source::Ended(Ok(()));
            let Source::Container(reader) = mem::replace(&mut self.source, ended) else { break };
            if let Some(next) = reader.after()? {
                self.source = Source::new(&self.decoders, next, &self.options)?;
            }
        }
        Ok(false)
    }
}

impl Source {
    fn new(decoders: &Decoders<'_>, opened: Opened<Input>, options: &DecompressOptions) -> Result<Self> {
        Ok(match opened {
            Opened::Container(reader) => Self::Container(reader),
            Opened::Foreign(rest) => {
                Self::Foreign(Box::new(pipeline::stream_decoder(decoders, rest, options)?))
            }
        })
    }
}

impl Read for ChunkedReader<'_> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        while self.at == self.raw.len() {
            match &mut self.source {
                Source::Foreign(decoder) => {
                    let read = decoder.read(dst);
                    let is_over = decoder.codec_error().is_some_and(|e| e.kind == ErrorKind::Trailing);
                    return if is_over { Ok(0) } else { read };
                }
                Source::Ended(Ok(())) => return Ok(0),
                Source::Ended(Err(e)) => return Err(io::Error::new(e.kind(), e.to_string())),
                Source::Container(_) => {}
            }
            if let Err(e) = self.advance().map_err(invalid) {
                // What follows a lost chunk must not look as if it followed the one before.
                self.raw.clear();
                self.source = Source::Ended(Err(io::Error::new(e.kind(), e.to_string())));
                return Err(e);
            }
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
    mender: Mender<FileBytes>,
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
        let mender = Mender::new(bytes, Some(1));
        let survey = mender.survey().filter(|s| s.is_complete).ok_or_else(none)?;
        let len = survey.raw_bytes.unwrap_or(0);
        let decoders = Decoders::new(host, None);
        let pieces = survey.pieces();
        Ok(Self { decoders, mender, pieces, len, position: 0, raw: Vec::new(), held: None })
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
        pipeline::decode_or_mend(&self.decoders, &self.mender, &entry, &mut self.raw).map_err(invalid)?;
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
