//! What records hold.

use super::{
    carrier::Carrier,
    record::{Fields, MAX_PAYLOAD_BYTES},
};
use serde::Serialize;

/// Most bytes of input in one chunk.
pub const MAX_CHUNK_BYTES: usize = 64 << 20;
/// Most bytes of one frame: what the worst codec makes of the largest chunk.
pub(crate) const MAX_FRAME_BYTES: usize = 2 * MAX_CHUNK_BYTES + (1 << 20);
/// Longest name of an algorithm, in bytes.
const ALGORITHM_BYTES: usize = 16;
/// Bytes of a chunk's payload.
pub(crate) const CHUNK_BYTES: usize = 72;
/// Bytes of an entry of the index: a chunk's payload and the place of its frame.
pub(crate) const ENTRY_BYTES: usize = CHUNK_BYTES + 8;
/// Bytes before the entries of an index record.
const INDEX_HEAD_BYTES: usize = 32;
/// Entries in one index record.
pub(crate) const ENTRIES: usize = (MAX_PAYLOAD_BYTES - INDEX_HEAD_BYTES) / ENTRY_BYTES;
/// Bytes of a footer's payload.
pub(crate) const FOOTER_BYTES: usize = 64;
/// Most bytes of user metadata.
pub const MAX_METADATA_BYTES: usize = 60_000;

/// What the whole file is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FileInfo {
    /// Algorithm asked for; chunks that do not shrink may be of another.
    pub algorithm: String,
    /// Its level.
    pub level: i32,
    /// Most bytes of input in one chunk.
    pub chunk_bytes: u64,
    /// Recovery data, in percent; 0 for none.
    pub parity_percent: u8,
    /// Implementation and version that wrote it.
    pub written_by: String,
    /// The user's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<u8>,
    #[serde(skip)]
    pub(crate) carrier: Carrier,
}

impl FileInfo {
    /// What a file must have been whose chunks are `entries`, when its own record is lost.
    pub(crate) fn guessed<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Self {
        let codec = entries.clone().find(|e| e.chunk.algorithm != crate::algorithm::STORE);
        let is_filtered = entries.clone().any(|e| e.chunk.filter != 0);
        // All chunks but the last are as long, which a place tells, too.
        let bytes = |Entry { chunk, .. }: &Entry| {
            let by_place = chunk.raw_offset.checked_div(chunk.number).unwrap_or_default();
            let is_it = by_place * chunk.number == chunk.raw_offset && by_place <= MAX_CHUNK_BYTES as u64;
            u64::from(chunk.raw_bytes).max(if is_it { by_place } else { 0 })
        };
        let chunk_bytes = entries.map(bytes).max().unwrap_or(1).max(1);
        let algorithm = codec.map_or(crate::algorithm::STORE, |e| &e.chunk.algorithm).to_owned();
        Self {
            level: codec.map_or(0, |e| e.chunk.level.into()),
            chunk_bytes,
            parity_percent: 0,
            written_by: String::new(),
            metadata: Vec::new(),
            carrier: if is_filtered { Carrier::Native } else { Carrier::of(&algorithm) },
            algorithm,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.chunk_bytes.to_le_bytes());
        bytes.extend(self.level.to_le_bytes());
        bytes.extend([self.carrier.code(), self.parity_percent, 0, 0]);
        for text in [&self.algorithm, &self.written_by] {
            // A cut letter is replaced when it is read.
            let text = &text.as_bytes()[..text.len().min(255)];
            bytes.push(text.len() as u8);
            bytes.extend(text);
        }
        let len = self.metadata.len().min(MAX_METADATA_BYTES);
        bytes.extend((len as u32).to_le_bytes());
        bytes.extend(&self.metadata[..len]);
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let (chunk_bytes, level) = (fields.u64(), i32::from_le_bytes(fields.array()));
        let [carrier, parity_percent, _, _] = fields.array();
        let (algorithm, written_by) = (fields.text(), fields.text());
        let len = fields.u32() as usize;
        let metadata = fields.bytes(len).to_vec();
        let fits = (1..=MAX_CHUNK_BYTES as u64).contains(&chunk_bytes) && metadata.len() == len;
        let carrier = Carrier::from_code(carrier).filter(|_| fits && parity_percent <= 100)?;
        Some(Self { algorithm, level, chunk_bytes, parity_percent, written_by, metadata, carrier })
    }
}

/// What one frame holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ChunkInfo {
    /// Number of the chunk, from 0.
    pub number: u64,
    /// Place of its first byte in the original, in bytes.
    pub raw_offset: u64,
    /// Original bytes.
    pub raw_bytes: u32,
    /// Compressed bytes.
    pub frame_bytes: u32,
    /// Algorithm of the frame; `store` for the bytes themselves.
    pub algorithm: String,
    /// Level it was compressed with.
    pub level: i16,
    /// Filter before the codec; 0 for none.
    pub filter: u8,
    /// Memory a decoder takes beside its buffers, in KiB.
    pub decoder_kib: u32,
    /// CRC-32 of the frame.
    pub frame_crc: u32,
    /// CRC-32 of the original bytes.
    pub raw_crc: u32,
    /// XXH3-128 of the original bytes.
    #[serde(serialize_with = "hex")]
    pub raw_hash: u128,
}

fn hex<S: serde::Serializer>(hash: &u128, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{hash:032x}"))
}

impl ChunkInfo {
    /// Whether a frame of `algorithm` can be described.
    pub(crate) fn can_name(algorithm: &str) -> bool {
        algorithm.len() <= ALGORITHM_BYTES
    }

    pub(crate) fn encode(&self) -> [u8; CHUNK_BYTES] {
        let mut bytes = [0; CHUNK_BYTES];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.raw_offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.frame_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.frame_crc.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.raw_crc.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.raw_hash.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.decoder_kib.to_le_bytes());
        bytes[52..54].copy_from_slice(&self.level.to_le_bytes());
        bytes[54] = self.filter;
        let name = self.algorithm.as_bytes();
        let len = name.len().min(ALGORITHM_BYTES);
        bytes[56..56 + len].copy_from_slice(&name[..len]);
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload.get(..CHUNK_BYTES)?);
        let (number, raw_offset) = (fields.u64(), fields.u64());
        let (raw_bytes, frame_bytes) = (fields.u32(), fields.u32());
        let (frame_crc, raw_crc, raw_hash) = (fields.u32(), fields.u32(), fields.u128());
        let (decoder_kib, level, [filter, _]) =
            (fields.u32(), i16::from_le_bytes(fields.array()), fields.array());
        let name: [u8; ALGORITHM_BYTES] = fields.array();
        let len = name.iter().position(|b| *b == 0).unwrap_or(ALGORITHM_BYTES);
        let algorithm = std::str::from_utf8(&name[..len]).ok()?.to_owned();
        let fits = raw_bytes as usize <= MAX_CHUNK_BYTES
            && frame_bytes as usize <= MAX_FRAME_BYTES
            && raw_offset.checked_add(u64::from(raw_bytes)).is_some();
        fits.then_some(Self {
            number,
            raw_offset,
            raw_bytes,
            frame_bytes,
            algorithm,
            level,
            filter,
            decoder_kib,
            frame_crc,
            raw_crc,
            raw_hash,
        })
    }

    /// Place of the byte after the chunk's last one, in the original.
    pub(crate) fn raw_end(&self) -> u64 {
        self.raw_offset.saturating_add(u64::from(self.raw_bytes))
    }
}

/// A chunk, and where its frame stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Entry {
    /// What the frame holds.
    #[serde(flatten)]
    pub chunk: ChunkInfo,
    /// Place of the frame's first byte in the file.
    pub frame_offset: u64,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..CHUNK_BYTES].copy_from_slice(&self.chunk.encode());
        bytes[CHUNK_BYTES..].copy_from_slice(&self.frame_offset.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let chunk = ChunkInfo::decode(bytes)?;
        let frame_offset = Fields(bytes.get(CHUNK_BYTES..ENTRY_BYTES)?).u64();
        Some(Self { chunk, frame_offset })
    }
}

/// One record of the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Index {
    /// Entries of consecutive chunks.
    pub entries: Vec<Entry>,
    /// Chunks of the whole file.
    pub chunks: u64,
    /// Original bytes of the whole file.
    pub raw_bytes: u64,
}

impl Index {
    /// Payload of one index record: number of its first entry, their count, the file's chunks and original bytes, then `entries` as they are.
    pub(crate) fn encode(first: u64, chunks: u64, raw_bytes: u64, entries: &[u8]) -> Vec<u8> {
        let count = (entries.len() / ENTRY_BYTES) as u64;
        let head = [first, count, chunks, raw_bytes].map(u64::to_le_bytes);
        [&head.concat(), entries].concat()
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let (first, count, chunks, raw_bytes) = (fields.u64(), fields.u64(), fields.u64(), fields.u64());
        let bytes = fields.bytes(payload.len());
        if count as usize > ENTRIES || bytes.len() != count as usize * ENTRY_BYTES {
            return None;
        }
        let entries: Option<Vec<Entry>> = bytes.chunks_exact(ENTRY_BYTES).map(Entry::decode).collect();
        let numbers = first..first.saturating_add(count).min(chunks);
        let entries = entries.filter(|e| e.iter().map(|e| e.chunk.number).eq(numbers))?;
        Some(Self { entries, chunks, raw_bytes })
    }
}

/// The sum of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    /// Place of the header of the first index record; of the chunk record where there is no index.
    pub index_offset: u64,
    /// Place of the header of the last file record.
    pub file_offset: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Original bytes.
    pub raw_bytes: u64,
    /// Bytes of the file before the first footer.
    pub body_bytes: u64,
    /// XXH3-128 of all index entries.
    pub root: u128,
}

impl Footer {
    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        let fields = [self.index_offset, self.file_offset, self.chunks, self.raw_bytes, self.body_bytes];
        for (bytes, field) in bytes.chunks_exact_mut(8).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        bytes[40..56].copy_from_slice(&self.root.to_le_bytes());
        // Closed properly; anything else is kept for later.
        bytes[56] = 1;
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload.get(..FOOTER_BYTES)?);
        let (index_offset, file_offset, chunks) = (fields.u64(), fields.u64(), fields.u64());
        let (raw_bytes, body_bytes, root) = (fields.u64(), fields.u64(), fields.u128());
        let closed = fields.u8() == 1;
        closed.then_some(Self { index_offset, file_offset, chunks, raw_bytes, body_bytes, root })
    }
}

/// Where a parity group is, how it is cut, and the CRC-32 of each of its shards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Table {
    /// Place of the group's first byte in the file.
    pub start: u64,
    /// Its length, in bytes.
    pub bytes: u64,
    pub shard_bytes: u32,
    /// CRCs of the shards of the data, the last one padded with zeros.
    pub originals: Vec<u32>,
    /// CRCs of the recovery shards.
    pub recovery: Vec<u32>,
}

impl Table {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.start.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        for n in [self.shard_bytes, self.originals.len() as u32, self.recovery.len() as u32, 0] {
            bytes.extend(n.to_le_bytes());
        }
        bytes.extend(self.originals.iter().chain(&self.recovery).flat_map(|crc| crc.to_le_bytes()));
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let (start, bytes, shard_bytes) = (fields.u64(), fields.u64(), fields.u32());
        let (originals, recovery, _) = (fields.u32() as usize, fields.u32() as usize, fields.u32());
        if fields.0.len() != originals.checked_add(recovery)?.checked_mul(4)? {
            return None;
        }
        let mut crcs = |count| (0..count).map(|_| fields.u32()).collect::<Vec<u32>>();
        let (originals, recovery) = (crcs(originals), crcs(recovery));
        Some(Self { start, bytes, shard_bytes, originals, recovery })
    }
}

/// Payload of a recovery shard: its group, its number, and the shard.
pub(crate) fn encode_recovery(group_start: u64, number: u32, shard: &[u8]) -> Vec<u8> {
    [&group_start.to_le_bytes()[..], &number.to_le_bytes(), &[0; 4], shard].concat()
}

pub(crate) fn decode_recovery(payload: &[u8]) -> Option<(u64, u32, &[u8])> {
    let mut fields = Fields(payload.get(..16)?);
    Some((fields.u64(), fields.u32(), &payload[16..]))
}
