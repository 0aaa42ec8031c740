//! The frame of every record: a 64-byte header that can be found again in damaged data, and a payload.

/// First bytes of every record: no text, and damaged by what damages line ends (after the PNG signature).
pub(crate) const MAGIC: [u8; 8] = [0x89, b'C', b'M', b'C', 0x0d, 0x0a, 0x1a, 0x0a];
/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Largest payload, in bytes: what a gzip FEXTRA subfield holds (RFC 1952: 65,535 less 4) less the header. The same for all
/// carriers, so that no record is ever split.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 65_531 - HEADER_BYTES;
/// Version of the format: readers refuse another major, and ignore what a later minor appends to payloads.
pub(crate) const MAJOR: u8 = 1;
const MINOR: u8 = 0;
/// Flags that a reader must know to read on.
const CRITICAL_FLAGS: u8 = 0xf0;

/// Identity of one container: the same in all of its records.
pub(crate) type Uid = [u8; 16];

/// What a record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// What the whole file is.
    File,
    /// What the frame beside it holds.
    Chunk,
    /// Chunk payloads again, with the places of their frames.
    Index,
    /// CRCs of all shards of a parity group.
    Table,
    /// One recovery shard.
    Recovery,
    /// Where the index is, and the sum of everything.
    Footer,
}

const KINDS: [Kind; 6] = [Kind::File, Kind::Chunk, Kind::Index, Kind::Table, Kind::Recovery, Kind::Footer];

impl Kind {
    fn code(self) -> u8 {
        1 + KINDS.iter().position(|k| *k == self).unwrap_or_default() as u8
    }

    fn of(code: u8) -> Option<Self> {
        KINDS.get(usize::from(code).checked_sub(1)?).copied()
    }
}

/// A header that has been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub kind: Kind,
    pub payload_bytes: usize,
    pub uid: Uid,
    /// Number of the record in its file, from 0.
    pub sequence: u64,
    /// Where the header's first byte was written, in bytes from the start of the file.
    pub offset: u64,
    pub payload_crc: u32,
}

/// Why bytes are no header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoHeader {
    /// Other bytes, or damaged ones.
    Bad,
    /// Sound, but of a version or with a flag this reader does not know.
    Unknown(String),
}

impl Header {
    /// The 64 bytes. All integers of the format are little endian.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&[MAJOR, MINOR, self.kind.code(), 0]);
        bytes[12..16].copy_from_slice(&(self.payload_bytes as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.uid);
        bytes[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.offset.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NoHeader> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or(NoHeader::Bad)?;
        let mut fields = Fields(bytes);
        if fields.array() != MAGIC || crc32fast::hash(&bytes[..60]) != Fields(&bytes[60..]).u32() {
            return Err(NoHeader::Bad);
        }
        let [major, minor, kind, flags] = fields.array();
        if major != MAJOR {
            return Err(NoHeader::Unknown(format!("format {major}.{minor}; this version reads {MAJOR}.x")));
        }
        if flags & CRITICAL_FLAGS != 0 {
            return Err(NoHeader::Unknown(format!("flags {flags:#04x} that this version does not know")));
        }
        let payload_bytes = fields.u32() as usize;
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(NoHeader::Bad);
        }
        let (uid, sequence, offset, payload_crc) = (fields.array(), fields.u64(), fields.u64(), fields.u32());
        let kind = Kind::of(kind).ok_or_else(|| NoHeader::Unknown(format!("record type {kind}")))?;
        Ok(Self { kind, payload_bytes, uid, sequence, offset, payload_crc })
    }

    /// Bytes of the record.
    pub(crate) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes
    }
}

/// Little-endian fields from the front of a slice; zeros where it is too short, which no caller lets happen.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        front
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn u128(&mut self) -> u128 {
        u128::from_le_bytes(self.array())
    }

    /// Text with its length in one byte before it.
    pub(crate) fn text(&mut self) -> String {
        let len = usize::from(self.u8());
        String::from_utf8_lossy(self.bytes(len)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Index,
            payload_bytes: 4711,
            uid: [7; 16],
            sequence: 3,
            offset: 1 << 40,
            payload_crc: 0xdead_beef,
        }
    }

    #[test]
    fn headers_come_back_and_every_flip_is_seen() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Ok(header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), Err(NoHeader::Bad), "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..63]), Err(NoHeader::Bad));
    }

    #[test]
    fn later_versions_and_critical_flags_are_named() {
        for (at, value) in [(8, 2), (11, 0x10), (10, 99)] {
            let mut bytes = header().encode();
            bytes[at] = value;
            let crc = crc32fast::hash(&bytes[..60]);
            bytes[60..].copy_from_slice(&crc.to_le_bytes());
            assert!(matches!(Header::decode(&bytes), Err(NoHeader::Unknown(_))), "byte {at}");
        }
    }
}
