//! Writes a container: chunks in, in order; records, parity and footers on its own. The same chunks and [`FileInfo`] make
//! the same bytes, which is what repair rests on.

use super::{
    carrier::Carrier,
    parity::{self, Geometry},
    payload::{ChunkInfo, ENTRIES, ENTRY_BYTES, Entry, FileInfo, Footer, Index, Table, encode_recovery},
    record::{HEADER_BYTES, Header, Kind, Uid},
};
use std::{io, mem};
use twox_hash::XxHash3_128;

/// Most bytes in a parity group, unless a single chunk is larger.
const GROUP_BYTES: usize = 64 << 20;

/// Bytes that a container has beside its frames, for jobs that plan memory.
pub(crate) const fn group_memory_bytes(percent: u8) -> u64 {
    if percent == 0 { 0 } else { (GROUP_BYTES as u64) * (100 + percent as u64) / 100 + (8 << 20) }
}

/// A container under construction.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    file: FileInfo,
    uid: Uid,
    position: u64,
    sequence: u64,
    /// Encoded entries so far.
    index: Vec<u8>,
    raw_bytes: u64,
    /// Header of the first chunk's record.
    first_chunk_offset: u64,
    /// Bytes since the last parity, while they are to be protected.
    group: Vec<u8>,
    is_protected: bool,
    group_start: u64,
    threads: usize,
}

impl<W: io::Write> Writer<W> {
    /// Parity, where `file` asks for it, is computed on up to `threads` threads.
    pub(crate) fn new(out: W, file: FileInfo, threads: usize) -> Self {
        let is_protected = file.parity_percent > 0;
        Self {
            out,
            file,
            uid: Uid::default(),
            position: 0,
            sequence: 0,
            index: Vec::new(),
            raw_bytes: 0,
            first_chunk_offset: 0,
            group: Vec::new(),
            is_protected,
            group_start: 0,
            threads,
        }
    }

    /// Bytes written so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Writes the next chunk: its number and place are the writer's to know.
    pub(crate) fn chunk(&mut self, mut chunk: ChunkInfo, frame: &[u8]) -> io::Result<()> {
        chunk.number = (self.index.len() / ENTRY_BYTES) as u64;
        chunk.raw_offset = self.raw_bytes;
        chunk.frame_bytes = frame.len() as u32;
        self.raw_bytes += u64::from(chunk.raw_bytes);
        if chunk.number == 0 {
            self.uid = uid(&self.file, &chunk);
        } else if self.is_protected && self.group.len() + frame.len() + (1 << 10) > GROUP_BYTES {
            self.close_group()?;
        }
        let frame_offset = match (chunk.number, self.file.carrier) {
            // One-shot decoders stop after the first frame: it must be the data.
            (0, Carrier::Frames | Carrier::Members | Carrier::Chunks) => {
                self.emit(frame)?;
                self.file_record()?;
                self.chunk_record(&chunk)?;
                0
            }
            (0, Carrier::Native) => {
                self.file_record()?;
                self.chunk_then_frame(&chunk, frame)?
            }
            _ => self.chunk_then_frame(&chunk, frame)?,
        };
        self.index.extend(Entry { chunk, frame_offset }.encode());
        Ok(())
    }

    fn chunk_then_frame(&mut self, chunk: &ChunkInfo, frame: &[u8]) -> io::Result<u64> {
        self.chunk_record(chunk)?;
        let offset = self.position;
        self.emit(frame)?;
        Ok(offset)
    }

    fn chunk_record(&mut self, chunk: &ChunkInfo) -> io::Result<()> {
        let offset = self.record(Kind::Chunk, &chunk.encode())?;
        if chunk.number == 0 {
            self.first_chunk_offset = offset;
        }
        Ok(())
    }

    fn file_record(&mut self) -> io::Result<u64> {
        self.record(Kind::File, &self.file.encode())
    }

    /// Writes index, last parity and footers; the bytes of the whole file.
    pub(crate) fn finish(mut self) -> io::Result<(W, u64)> {
        let mut index_offset = self.first_chunk_offset;
        let mut file_offset = None;
        // With one chunk and no parity, its own record is all that an index could say.
        if self.index.len() != ENTRY_BYTES || self.is_protected {
            let entries = mem::take(&mut self.index);
            let chunks = (entries.len() / ENTRY_BYTES) as u64;
            for (number, part) in entries.chunks(ENTRIES * ENTRY_BYTES).enumerate() {
                let payload = Index::encode((number * ENTRIES) as u64, chunks, self.raw_bytes, part);
                if self.is_protected && self.group.len() + payload.len() + (1 << 10) > GROUP_BYTES {
                    self.close_group()?;
                }
                let offset = self.record(Kind::Index, &payload)?;
                if number == 0 {
                    index_offset = offset;
                }
            }
            self.index = entries;
            self.close_group()?;
            self.is_protected = false;
            file_offset = Some(self.file_record()?);
        }
        let footer = Footer {
            index_offset,
            // Without a second one: the first, before the first chunk's record.
            file_offset: file_offset.unwrap_or_else(|| self.only_file_offset()),
            chunks: (self.index.len() / ENTRY_BYTES) as u64,
            raw_bytes: self.raw_bytes,
            body_bytes: self.position,
            root: root(&self.index),
        };
        self.record(Kind::Footer, &footer.encode())?;
        self.record(Kind::Footer, &footer.encode())?;
        self.out.flush()?;
        Ok((self.out, self.position))
    }

    fn only_file_offset(&self) -> u64 {
        let carrier = self.file.carrier;
        let record = HEADER_BYTES + self.file.encode().len();
        self.first_chunk_offset - (carrier.head_bytes() + carrier.tail_bytes() + record) as u64
    }

    /// Writes a record; the place of its header.
    fn record(&mut self, kind: Kind, payload: &[u8]) -> io::Result<u64> {
        let carrier = self.file.carrier;
        let mut bytes = carrier.head(HEADER_BYTES + payload.len());
        let offset = self.position + bytes.len() as u64;
        let header = Header {
            kind,
            payload_bytes: payload.len(),
            uid: self.uid,
            sequence: self.sequence,
            offset,
            payload_crc: crc32fast::hash(payload),
        };
        bytes.extend(header.encode());
        bytes.extend(payload);
        bytes.extend(carrier.tail());
        self.sequence += 1;
        self.emit(&bytes)?;
        Ok(offset)
    }

    fn emit(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_protected {
            reserve(&mut self.group, bytes.len())?;
            self.group.extend_from_slice(bytes);
        }
        self.position += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes the parity of all bytes since the last one: table, recovery shards, table again.
    fn close_group(&mut self) -> io::Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        // Parity is not protected by parity.
        self.is_protected = false;
        let mut group = mem::take(&mut self.group);
        let geometry = Geometry::new(group.len(), self.file.parity_percent).map_err(io::Error::other)?;
        let recovery = parity::encode(&group, &geometry, self.threads).map_err(io::Error::other)?;
        let table = Table {
            start: self.group_start,
            bytes: group.len() as u64,
            shard_bytes: geometry.shard_bytes as u32,
            originals: parity::shard_crcs(&group, geometry.shard_bytes),
            recovery: parity::shard_crcs(&recovery, geometry.shard_bytes),
        };
        self.record(Kind::Table, &table.encode())?;
        for (number, shard) in (0..).zip(recovery.chunks_exact(geometry.shard_bytes)) {
            self.record(Kind::Recovery, &encode_recovery(self.group_start, number, shard))?;
        }
        self.record(Kind::Table, &table.encode())?;
        group.clear();
        self.group = group;
        self.group_start = self.position;
        self.is_protected = true;
        Ok(())
    }
}

/// Room for `more` bytes, in steps of 8 MiB: doubling would take twice a group.
fn reserve(group: &mut Vec<u8>, more: usize) -> io::Result<()> {
    const STEP: usize = 8 << 20;
    if group.capacity() - group.len() < more {
        let needed = (group.len() + more).max(2 * group.len().min(STEP)).max(64 << 10);
        let target = if needed > STEP { needed.next_multiple_of(STEP) } else { needed };
        group.try_reserve_exact(target - group.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
    }
    Ok(())
}

/// The container's identity, from what it is and its first chunk: the same input makes the same bytes.
fn uid(file: &FileInfo, first: &ChunkInfo) -> Uid {
    XxHash3_128::oneshot(&[&file.encode()[..], &first.encode()].concat()).to_le_bytes()
}

/// The sum in the footer: XXH3-128 of all index entries.
pub(crate) fn root(entries: &[u8]) -> u128 {
    XxHash3_128::oneshot(entries)
}

/// The same, as entries come.
#[derive(Default, Clone)]
pub(crate) struct Root(XxHash3_128);

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root")
    }
}

impl Root {
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.0.write(&entry.encode());
    }

    pub(crate) fn value(&self) -> u128 {
        self.0.finish_128()
    }
}
