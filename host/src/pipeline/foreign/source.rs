//! Reads another program's file and cuts it: units for the workers, or a reader for what one decoder must take.

use crate::{
    Error, Result, container,
    foreign::{Cut, JOINED_BYTES, JOINED_RAW_BYTES, Splitter, Step, Trailing},
    pipeline::DecompressOptions,
    sync::lock,
};
use clipsmaster_plugin_api as api;
use std::{
    io::{self, Chain, Cursor, Read},
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// Bytes that are read at once; the buffer grows from here as units need it.
const READ_BYTES: usize = 256 << 10;

/// One or several units on their way.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// Frames as a decoder takes them.
    pub frames: Vec<u8>,
    /// What they decode to, about, in bytes. Untrusted.
    pub raw_hint: u64,
    /// Bytes of the input up to here.
    pub position: u64,
}

/// Why there are no more units.
#[derive(Debug)]
pub(super) enum Stop {
    /// The input ended.
    End,
    /// The rest is something else.
    Trailing(Trailing),
    /// One decoder must go on; it gets a [`Long`].
    Long,
    /// It cannot be read, or is damaged between the units.
    Failed(Error),
    /// A container begins here.
    Container,
}

/// An input with what was read of it and not yet handed out.
pub(super) struct Source<R> {
    input: R,
    name: PathBuf,
    splitter: Box<dyn Splitter>,
    cap_bytes: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    position: u64,
    /// A step whose bytes are still in the buffer, all of them.
    held: Option<Step>,
    pub stop: Option<Stop>,
    /// Whether a [`Long`] was begun and not read to its end.
    pub in_long: bool,
}

/// Bytes in which a mark or the beginning of a record must be.
const HEAD_BYTES: usize = 128;

impl<R: Read> Source<R> {
    pub(super) fn new(
        input: R,
        splitter: Box<dyn Splitter>,
        cap_bytes: usize,
        options: &DecompressOptions,
    ) -> Self {
        let name = options.input.clone();
        let buffer = vec![0; READ_BYTES];
        Self {
            input,
            name,
            splitter,
            cap_bytes,
            buffer,
            start: 0,
            end: 0,
            at_end: false,
            position: 0,
            held: None,
            stop: None,
            in_long: false,
        }
    }

    /// Bytes of the input handed out or passed over.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn guesses(&self) -> bool {
        self.splitter.guesses()
    }

    /// Whether all of the input is in one small buffer: threads would take longer to start than it to decode.
    pub(super) fn is_small(&mut self) -> Result<bool> {
        while !self.at_end && self.end < READ_BYTES {
            self.read_more()?;
        }
        Ok(self.at_end)
    }

    /// Puts the next units into `units`; whether there were any. If not, [`stop`](Self::stop) tells why.
    pub(super) fn next(&mut self, units: &mut Units) -> bool {
        units.frames.clear();
        units.raw_hint = 0;
        while self.stop.is_none() && units.frames.len() < JOINED_BYTES {
            let step = match self.held.take() {
                Some(step) => step,
                None if self.begins_container() => {
                    self.stop = Some(Stop::Container);
                    Step::End
                }
                None => self.step().unwrap_or_else(|e| {
                    self.stop = Some(Stop::Failed(e));
                    Step::End
                }),
            };
            match step {
                Step::Unit(cut) if self.joins(units, &cut) => self.push(units, &cut),
                step @ Step::Unit(_) => {
                    self.held = Some(step);
                    break;
                }
                other => self.stop_at(other),
            }
        }
        units.position = self.position;
        !units.frames.is_empty()
    }

    /// Whether what comes, behind other frames, is a container: its records are not to be passed over.
    fn begins_container(&mut self) -> bool {
        while self.position > 0 && self.end - self.start < HEAD_BYTES && !self.at_end {
            if let Err(e) = self.read_more() {
                self.stop = Some(Stop::Failed(e));
                return false;
            }
        }
        self.position > 0 && container::is_ours(&self.buffer[self.start..self.end])
    }

    /// What has not been handed out.
    pub(super) fn into_rest(self) -> Chain<Cursor<Vec<u8>>, R> {
        Cursor::new(self.buffer[self.start..self.end].to_vec()).chain(self.input)
    }

    fn joins(&self, units: &Units, cut: &Cut) -> bool {
        let raw_bytes = units.raw_hint.saturating_add(cut.raw_bytes);
        let is_small = units.frames.len() + cut.len <= JOINED_BYTES && raw_bytes <= JOINED_RAW_BYTES;
        // What they decode to is only estimated: the room for it may be more.
        units.frames.is_empty() || is_small && raw_bytes <= self.cap_bytes as u64
    }

    fn push(&mut self, units: &mut Units, cut: &Cut) {
        let frame_bytes = cut.before.len() + cut.len + cut.after.len();
        units.frames.reserve_exact(frame_bytes);
        units.frames.extend_from_slice(&cut.before);
        units.frames.extend_from_slice(&self.buffer[self.start..self.end][..cut.len]);
        units.frames.extend_from_slice(&cut.after);
        units.raw_hint = units.raw_hint.saturating_add(cut.raw_bytes);
        self.advance(cut.len);
    }

    fn stop_at(&mut self, step: Step) {
        let stop = match step {
            Step::Trailing(trailing) => Stop::Trailing(trailing),
            Step::Damaged(e) => Stop::Failed(self.damaged(e)),
            Step::Piece { .. } | Step::Stream { .. } => {
                self.held = Some(step);
                Stop::Long
            }
            _ => Stop::End,
        };
        self.stop.get_or_insert(stop);
    }

    fn damaged(&self, source: api::Error) -> Error {
        Error::codec("between the frames", &self.name.display().to_string(), source)
    }

    /// What the splitter says, once it has seen enough; what is to be passed over has been.
    fn step(&mut self) -> Result<Step> {
        loop {
            match self.splitter.step(&self.buffer[self.start..self.end], self.at_end) {
                Step::Need(len) => {
                    while self.end - self.start < len && !self.at_end {
                        self.read_more()?;
                    }
                }
                Step::Skip(len) => self.skip(len)?,
                step => return Ok(step),
            }
        }
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        let mut left = len;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.end - self.start);
            self.advance(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            if self.at_end {
                let what = format!("the input ends within {len} bytes to be skipped");
                return Err(self.damaged(api::Error::new(api::ErrorKind::Truncated, what)));
            }
            self.read_more()?;
        }
    }

    fn advance(&mut self, len: usize) {
        self.start += len;
        self.position += len as u64;
    }

    /// Reads what comes at once into the buffer, which is emptied of what was handed out, and doubled when it is full.
    fn read_more(&mut self) -> Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            let most = self.cap_bytes + READ_BYTES;
            let more = self.buffer.len().min(most.saturating_sub(self.buffer.len())).max(READ_BYTES);
            self.buffer.reserve_exact(more);
            self.buffer.resize(self.buffer.len() + more, 0);
        }
        let read = read_some(&mut self.input, &mut self.buffer[self.end..]);
        let len = read.map_err(Error::io("read", &self.name))?;
        self.end += len;
        self.at_end = len == 0;
        Ok(())
    }

    /// Reads bytes as they stand, through the buffer as long as there are any in it.
    fn read_raw(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        if self.start < self.end || self.at_end {
            let len = dst.len().min(self.end - self.start);
            dst[..len].copy_from_slice(&self.buffer[self.start..][..len]);
            self.advance(len);
            return Ok(len);
        }
        let len = read_some(&mut self.input, dst)?;
        self.position += len as u64;
        self.at_end = len == 0 && !dst.is_empty();
        Ok(len)
    }
}

fn read_some(input: &mut impl Read, dst: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(dst) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// What one stream decoder must take, up to the end of a long unit or of the input. After it, cutting goes on.
pub(super) struct Long<R> {
    source: Arc<Mutex<Source<R>>>,
    /// Bytes to give before any others.
    before: Cursor<Vec<u8>>,
    /// Bytes of the input to give then.
    left: usize,
    /// Bytes to give after them.
    after: Vec<u8>,
    until: Until,
}

#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// Another piece comes.
    Pieces,
    /// The bytes at hand are the last.
    Here,
    /// The end of the input.
    End,
}

impl<R: Read> Long<R> {
    pub(super) fn new(source: Arc<Mutex<Source<R>>>) -> Self {
        lock(&source).in_long = true;
        Self { source, before: Cursor::default(), left: 0, after: Vec::new(), until: Until::Pieces }
    }

    /// Everything up to the end of the input, as it stands.
    pub(super) fn everything(source: Arc<Mutex<Source<R>>>) -> Self {
        {
            let mut source = lock(&source);
            (source.held, source.stop) = (None, None);
        }
        Self { until: Until::End, ..Self::new(source) }
    }

    /// Takes the next piece.
    fn advance(&mut self) {
        let mut source = lock(&self.source);
        let step = match source.held.take() {
            Some(step) => Ok(step),
            None => source.step(),
        };
        match step {
            Ok(Step::Piece { cut, is_last }) => {
                self.before = Cursor::new(cut.before);
                self.left = cut.len;
                self.after = cut.after;
                self.until = if is_last { Until::Here } else { Until::Pieces };
            }
            Ok(Step::Stream { before }) => {
                self.before = Cursor::new(before);
                self.until = Until::End;
            }
            // A splitter says nothing else within a unit.
            Ok(other) => {
                source.stop_at(other);
                self.until = Until::Here;
            }
            Err(e) => {
                source.stop = Some(Stop::Failed(e));
                self.until = Until::Here;
            }
        }
    }
}

impl<R: Read> Read for Long<R> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        if dst.is_empty() {
            return Ok(0);
        }
        loop {
            let len = self.before.read(dst)?;
            if len > 0 {
                return Ok(len);
            }
            if self.until == Until::End {
                let mut source = lock(&self.source);
                let len = source.read_raw(dst)?;
                if len == 0 {
                    source.in_long = false;
                    // The splitter has said its last word.
                    source.stop.get_or_insert(Stop::End);
                }
                return Ok(len);
            }
            if self.left > 0 {
                let most = dst.len().min(self.left);
                let len = lock(&self.source).read_raw(&mut dst[..most])?;
                self.left -= len;
                return Ok(len);
            }
            if !self.after.is_empty() {
                self.before = Cursor::new(std::mem::take(&mut self.after));
            } else if self.until == Until::Here {
                lock(&self.source).in_long = false;
                return Ok(0);
            } else {
                self.advance();
            }
        }
    }
}
