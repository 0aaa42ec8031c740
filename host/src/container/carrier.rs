//! How records hide in standard streams.

use super::record::Fields;

/// The place of records in a stream of some format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    /// Skippable frames between zstd or LZ4 frames (RFC 8878, 3.1.2; LZ4 frame format, "Skippable Frames").
    Frames,
    /// Empty gzip members, the record in an FEXTRA subfield (RFC 1952, 2.3.1.1).
    Members,
    /// Skippable chunks of the snappy framing format (type 0x80 to 0xfd).
    Chunks,
    /// Our own file: as `Frames`, but a record comes first and the frames may be of any format.
    Native,
}

const SKIPPABLE_MAGIC: [u8; 4] = 0x184d_2a5c_u32.to_le_bytes();
const MEMBER_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
const SUBFIELD: [u8; 2] = *b"CM";
/// An empty final deflate block, the CRC-32 and the size of nothing.
const MEMBER_TAIL: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const SNAPPY_CHUNK: u8 = 0xc5;

impl Carrier {
    /// The carrier of files whose frames are all of `algorithm`.
    pub(crate) fn of(algorithm: &str) -> Self {
        match algorithm {
            "zstd" | "lz4" => Self::Frames,
            "gzip" => Self::Members,
            "snappy" => Self::Chunks,
            _ => Self::Native,
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Frames => 0,
            Self::Members => 1,
            Self::Chunks => 2,
            Self::Native => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Frames, Self::Members, Self::Chunks, Self::Native].get(usize::from(code)).copied()
    }

    /// Bytes before a record.
    pub(crate) fn head_bytes(self) -> usize {
        match self {
            Self::Frames | Self::Native => 8,
            Self::Members => 16,
            Self::Chunks => 4,
        }
    }

    /// Bytes after a record.
    pub(crate) fn tail_bytes(self) -> usize {
        self.tail().len()
    }

    /// What goes before a record of `len` bytes.
    pub(crate) fn head(self, len: usize) -> Vec<u8> {
        let long = (len as u32).to_le_bytes();
        match self {
            Self::Frames | Self::Native => [SKIPPABLE_MAGIC, long].concat(),
            Self::Chunks => vec![SNAPPY_CHUNK, long[0], long[1], long[2]],
            Self::Members => {
                let extra = ((len + 4) as u16).to_le_bytes();
                [&MEMBER_HEAD[..], &extra, &SUBFIELD, &long[..2]].concat()
            }
        }
    }

    /// What goes after a record.
    pub(crate) fn tail(self) -> &'static [u8] {
        if self == Self::Members { &MEMBER_TAIL } else { &[] }
    }

    /// Length of the record that a wrapper at the start of `bytes` announces.
    pub(crate) fn announced(self, bytes: &[u8]) -> Option<usize> {
        let mut fields = Fields(bytes.get(..self.head_bytes())?);
        let len = match self {
            Self::Frames | Self::Native if fields.array() == SKIPPABLE_MAGIC => fields.u32() as usize,
            Self::Chunks if fields.u8() == SNAPPY_CHUNK => {
                let [a, b, c] = fields.array();
                u32::from_le_bytes([a, b, c, 0]) as usize
            }
            Self::Members if fields.array() == MEMBER_HEAD => {
                let extra = usize::from(fields.u16());
                let subfield: [u8; 2] = fields.array();
                let len = usize::from(fields.u16());
                (subfield == SUBFIELD && extra == len + 4).then_some(len)?
            }
            _ => return None,
        };
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_announce_what_they_wrap() {
        for carrier in [Carrier::Frames, Carrier::Members, Carrier::Chunks, Carrier::Native] {
            for len in [64, 200, 65_531] {
                let head = carrier.head(len);
                assert_eq!(head.len(), carrier.head_bytes());
                assert_eq!(carrier.announced(&head), Some(len), "{carrier:?}");
            }
            assert_eq!(carrier.announced(&[0; 64]), None);
            assert_eq!(Carrier::from_code(carrier.code()), Some(carrier));
        }
    }
}
