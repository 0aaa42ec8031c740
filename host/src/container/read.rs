//! Reads a container from front to back, strictly: whatever is not as it was written is an error.

use super::{
    carrier::Carrier,
    mark::is_marked,
    payload::{Entry, FileInfo, Footer, MAX_CHUNK_BYTES, MAX_FRAME_BYTES},
    record::{HEADER_BYTES, Header, Kind, MAGIC, MAX_PAYLOAD_BYTES, NoHeader},
    writer::Root,
};
use crate::{Error, Result, pipeline::read_full};
use memchr::memmem;
use std::{
    io::{self, Chain, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Bytes read at a time while looking for the first record.
const STEP_BYTES: usize = 256 << 10;

/// An input with some bytes put back.
pub(crate) type Rest<R> = Chain<Cursor<Vec<u8>>, R>;

/// What an input is.
#[derive(Debug)]
pub(crate) enum Opened<R> {
    Container(Box<Reader<R>>),
    /// No container: all of it, to be read from the start.
    Foreign(Rest<R>),
}

/// Bytes in which the first record of a container must be: the largest chunk, not compressed, and its record.
pub(crate) const LOOK_AHEAD_BYTES: usize = MAX_CHUNK_BYTES + (1 << 20);

/// Finds out whether `input`, which errors call `name`, begins with a container.
pub(crate) fn open<R: Read>(mut input: R, name: &str) -> Result<Opened<R>> {
    let mut buffer = Vec::new();
    let mut searched = 0;
    loop {
        // Little inputs, in memory most of all, must not cost a large buffer.
        let step = (&mut input).take(STEP_BYTES as u64).read_to_end(&mut buffer);
        let read = step.map_err(Error::io("read", name))?;
        if let Some((carrier, at, header)) = first_record(&buffer, searched, name)? {
            if header.kind != Kind::File {
                return Err(damaged(name, at as u64, "the first record is missing"));
            }
            let first_frame = buffer[..at - carrier.head_bytes()].to_vec();
            buffer.drain(..first_frame.len());
            let input = Cursor::new(buffer).chain(input);
            return Reader::new(input, name, carrier, first_frame).map(Box::new).map(Opened::Container);
        }
        // A mark says that a record follows; a record without a place says that its container begins elsewhere.
        if !is_ours(&buffer) {
            return Ok(Opened::Foreign(Cursor::new(buffer).chain(input)));
        }
        if read < STEP_BYTES || buffer.len() >= LOOK_AHEAD_BYTES {
            return Err(damaged(
                name,
                0,
                "this is a part of a container, whose beginning or rest is missing; `clipsmaster-host salvage` gets what is there (or, if another tool wrote it, `decompress --algorithm`)",
            ));
        }
        searched = buffer.len().saturating_sub(2 * HEADER_BYTES);
    }
}

/// The first sound record at or behind `from` that stands where it says it does. (Records of a container within a
/// container stand elsewhere.)
fn first_record(buffer: &[u8], from: usize, name: &str) -> Result<Option<(Carrier, usize, Header)>> {
    for at in memmem::find_iter(&buffer[from..], &MAGIC).map(|at| at + from) {
        let header = match Header::decode(&buffer[at..]) {
            Ok(header) if header.offset == at as u64 => header,
            Err(NoHeader::Unknown(why)) if is_ours(buffer) => return Err(unknown(name, &why)),
            _ => continue,
        };
        if let Some(carrier) = carrier_at(buffer, at, header.record_bytes()) {
            return Ok(Some((carrier, at, header)));
        }
    }
    Ok(None)
}

/// Which wrapper there is around the record at `at`.
pub(crate) fn carrier_at(buffer: &[u8], at: usize, record_bytes: usize) -> Option<Carrier> {
    let fits = |carrier: &Carrier| {
        let start = at.checked_sub(carrier.head_bytes());
        start.is_some_and(|start| carrier.announced(&buffer[start..]) == Some(record_bytes))
    };
    let found = [Carrier::Frames, Carrier::Members, Carrier::Chunks].into_iter().find(fits)?;
    // The same wrapper; what comes first tells them apart.
    Some(if found == Carrier::Frames && at == found.head_bytes() { Carrier::Native } else { found })
}

/// Whether a container, or a part of one, begins here: by the mark of its frame, or by a record.
pub(crate) fn is_ours(head: &[u8]) -> bool {
    is_marked(head) || begins_with_record(head)
}

/// Whether a sound record stands in `bytes` where it says it does, counted from their start.
pub(crate) fn holds_records(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, &MAGIC)
        .any(|at| Header::decode(&bytes[at..]).is_ok_and(|header| header.offset == at as u64))
}

/// Whether anything in `bytes` looks like a record, wherever it was written.
pub(crate) fn may_hold_records(bytes: &[u8]) -> bool {
    memmem::find(bytes, &MAGIC).is_some()
}

/// Passes bytes on, and notices records that stand where they say they do: then the bytes are a container, whatever they
/// begin with.
#[derive(Debug)]
pub(crate) struct Watched<R> {
    input: R,
    /// The last bytes passed on, in which a record may have begun.
    tail: Vec<u8>,
    /// Place of the first of `tail`.
    position: u64,
    seen: Arc<AtomicBool>,
}

impl<R: Read> Watched<R> {
    /// The reader, and what becomes true when a record passes.
    pub(crate) fn new(input: R) -> (Self, Arc<AtomicBool>) {
        let seen = Arc::new(AtomicBool::new(false));
        (Self { input, tail: Vec::new(), position: 0, seen: Arc::clone(&seen) }, seen)
    }

    fn look(&mut self, bytes: &[u8]) {
        let kept = self.tail.len();
        self.tail.extend_from_slice(&bytes[..bytes.len().min(HEADER_BYTES)]);
        // What lies across the border, and what lies behind it.
        let is_record = |block: &[u8], at: usize, start: u64| {
            Header::decode(&block[at..]).is_ok_and(|header| header.offset == start + at as u64)
        };
        let start = self.position + kept as u64;
        let across = memmem::find_iter(&self.tail, &MAGIC).any(|at| is_record(&self.tail, at, self.position));
        if across || memmem::find_iter(bytes, &MAGIC).any(|at| is_record(bytes, at, start)) {
            self.seen.store(true, Ordering::Relaxed);
        }
        self.tail.truncate(kept);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(HEADER_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(HEADER_BYTES);
        self.tail.drain(..surplus);
        self.position = start + bytes.len() as u64 - self.tail.len() as u64;
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(dst)?;
        self.look(&dst[..n]);
        Ok(n)
    }
}

/// Whether the first thing is a record, wherever it was written.
fn begins_with_record(head: &[u8]) -> bool {
    [Carrier::Frames, Carrier::Members, Carrier::Chunks].into_iter().any(|carrier| {
        let record = head.get(carrier.head_bytes()..).unwrap_or_default();
        carrier.announced(head).is_some() && record.starts_with(&MAGIC)
    })
}

fn damaged(name: &str, at: u64, what: &str) -> Error {
    Error::Container { input: name.to_owned(), problem: format!("damaged at byte {at}: {what}") }
}

fn unknown(name: &str, why: &str) -> Error {
    let problem = format!("written by a later version: {why}; update clipsmaster-host");
    Error::Container { input: name.to_owned(), problem }
}

/// A container that is being read.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: Rest<R>,
    name: String,
    carrier: Carrier,
    position: u64,
    sequence: u64,
    uid: Option<[u8; 16]>,
    file: FileInfo,
    /// Until it has been asked for.
    first: Option<(Entry, Vec<u8>)>,
    chunks: u64,
    raw_bytes: u64,
    root: Root,
    footer: Option<Footer>,
}

impl<R: Read> Reader<R> {
    fn new(input: Rest<R>, name: &str, carrier: Carrier, first_frame: Vec<u8>) -> Result<Self> {
        let placeholder = FileInfo {
            algorithm: String::new(),
            level: 0,
            chunk_bytes: 1,
            parity_percent: 0,
            written_by: String::new(),
            metadata: Vec::new(),
            carrier,
        };
        let mut reader = Self {
            input,
            name: name.to_owned(),
            carrier,
            position: first_frame.len() as u64,
            sequence: 0,
            uid: None,
            file: placeholder,
            first: None,
            chunks: 0,
            raw_bytes: 0,
            root: Root::default(),
            footer: None,
        };
        let (_, payload) = reader.record()?;
        let file = FileInfo::decode(&payload).filter(|f| f.carrier == carrier);
        reader.file = file.ok_or_else(|| reader.damaged("the file record makes no sense"))?;
        if carrier != Carrier::Native {
            let (header, payload) = reader.record()?;
            let entry = reader.entry(header, &payload, 0)?;
            if entry.chunk.frame_bytes as usize != first_frame.len() {
                return Err(reader.damaged("the first frame is not as long as its record says"));
            }
            reader.first = Some((entry, first_frame));
        }
        Ok(reader)
    }

    /// What the file is.
    pub(crate) fn file(&self) -> &FileInfo {
        &self.file
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next frame into `frame`, unchecked; `None` at the end, once everything has been found to be there.
    pub(crate) fn next(&mut self, frame: &mut Vec<u8>) -> Result<Option<Entry>> {
        if let Some((entry, first)) = self.first.take() {
            *frame = first;
            return Ok(Some(entry));
        }
        if self.footer.is_some() {
            return Ok(None);
        }
        loop {
            let (header, payload) = self.record()?;
            match header.kind {
                Kind::Chunk => {
                    let entry = self.entry(header, &payload, self.position)?;
                    let len = entry.chunk.frame_bytes as usize;
                    self.read(frame, len)?;
                    return Ok(Some(entry));
                }
                Kind::Footer => {
                    self.footer(header, &payload)?;
                    return Ok(None);
                }
                Kind::File if FileInfo::decode(&payload).as_ref() != Some(&self.file) => {
                    return Err(self.damaged("the file records differ"));
                }
                Kind::File | Kind::Index | Kind::Table | Kind::Recovery => {}
            }
        }
    }

    /// What follows the container: nothing, another one, or other tools' frames. Those have no place behind a native one, whose own
    /// frames, displaced, would look the same.
    pub(crate) fn after<'r>(self) -> Result<Option<Opened<Box<dyn Read + Send + 'r>>>>
    where
        R: Send + 'r,
    {
        let mut first = [0];
        let mut input = self.input;
        if read_full(&mut input, &mut first).map_err(Error::io("read", &self.name))? == 0 {
            return Ok(None);
        }
        let rest: Box<dyn Read + Send + 'r> = Box::new(Cursor::new(first).chain(input));
        match open(rest, &self.name)? {
            Opened::Foreign(_) if self.carrier == Carrier::Native => {
                Err(damaged(&self.name, self.position, "something else follows the end of the container"))
            }
            opened => Ok(Some(opened)),
        }
    }

    fn entry(&mut self, header: Header, payload: &[u8], frame_offset: u64) -> Result<Entry> {
        let chunk = super::ChunkInfo::decode(payload).filter(|_| header.kind == Kind::Chunk);
        let chunk = chunk.ok_or_else(|| self.damaged("a chunk record makes no sense"))?;
        if (chunk.number, chunk.raw_offset) != (self.chunks, self.raw_bytes) {
            let (found, expected) = (chunk.number, self.chunks);
            return Err(self.damaged(&format!("chunk {found} stands where chunk {expected} belongs")));
        }
        if u64::from(chunk.raw_bytes) > self.file.chunk_bytes {
            return Err(self.damaged("a chunk is larger than the file's chunks"));
        }
        self.chunks += 1;
        self.raw_bytes = chunk.raw_end();
        let entry = Entry { chunk, frame_offset };
        self.root.add(&entry);
        Ok(entry)
    }

    fn footer(&mut self, header: Header, payload: &[u8]) -> Result<()> {
        let (again, second) = self.record()?;
        let footer = Footer::decode(payload).filter(|_| again.kind == Kind::Footer && second == payload);
        let footer = footer.ok_or_else(|| self.damaged("the footers differ"))?;
        let sums = (footer.chunks, footer.raw_bytes, footer.root);
        let body = header.offset - self.carrier.head_bytes() as u64;
        if sums != (self.chunks, self.raw_bytes, self.root.value()) || footer.body_bytes != body {
            return Err(self.damaged("chunks are missing, doubled or from another file: the sum is wrong"));
        }
        self.footer = Some(footer);
        Ok(())
    }

    fn record(&mut self) -> Result<(Header, Vec<u8>)> {
        let (mut head, mut record) = (Vec::new(), Vec::new());
        self.read(&mut head, self.carrier.head_bytes())?;
        let len = self.carrier.announced(&head);
        let len = len.filter(|len| (HEADER_BYTES..=HEADER_BYTES + MAX_PAYLOAD_BYTES).contains(len));
        let len = len.ok_or_else(|| self.damaged("no record where one belongs"))?;
        let at = self.position;
        self.read(&mut record, len)?;
        let header = Header::decode(&record).map_err(|why| match why {
            NoHeader::Unknown(why) => unknown(&self.name, &why),
            NoHeader::Bad => self.damaged("the header of a record is damaged"),
        })?;
        let payload = record.split_off(HEADER_BYTES);
        let uid = *self.uid.get_or_insert(header.uid);
        if header.record_bytes() != len || crc32fast::hash(&payload) != header.payload_crc {
            return Err(self.damaged("the content of a record is damaged"));
        }
        if (header.uid, header.offset, header.sequence) != (uid, at, self.sequence) {
            return Err(self.damaged("a record is from another place or another file"));
        }
        self.sequence += 1;
        self.read(&mut head, self.carrier.tail_bytes())?;
        if head != self.carrier.tail() {
            return Err(self.damaged("the end of a record's wrapper is damaged"));
        }
        Ok((header, payload))
    }

    /// Reads exactly `len` bytes.
    fn read(&mut self, into: &mut Vec<u8>, len: usize) -> Result<()> {
        if len > MAX_FRAME_BYTES {
            return Err(self.damaged("a length beyond all limits"));
        }
        // Only what has been read is believed to be there: a length alone must not cost memory.
        into.clear();
        let read = (&mut self.input).take(len as u64).read_to_end(into).map_err(|e| self.failed(e))?;
        self.position += read as u64;
        if read < len { Err(self.truncated()) } else { Ok(()) }
    }

    fn failed(&self, e: io::Error) -> Error {
        Error::io("read", &self.name)(e)
    }

    fn truncated(&self) -> Error {
        let (bytes, chunks) = (self.position, self.chunks);
        let problem = format!("ends too early, after {bytes} bytes with {chunks} chunks; the end is missing");
        Error::Container { input: self.name.clone(), problem }
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(&self.name, self.position, what)
    }
}
