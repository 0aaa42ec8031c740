#![doc = include_str!("format.md")]

mod bytes;
mod carrier;
mod crc;
mod mark;
mod mend;
mod parity;
mod payload;
mod read;
mod record;
mod survey;
#[cfg(test)]
mod tests;
mod writer;

/// Extension of our own files, without the dot.
pub const CONTAINER_EXTENSION: &str = "cmc";

pub use payload::{ChunkInfo, Entry, FileInfo, MAX_CHUNK_BYTES, MAX_METADATA_BYTES};

pub use mend::Mended;

pub(crate) use bytes::{Bytes, FileBytes};
pub(crate) use carrier::Carrier;
pub(crate) use mark::{MARK_BYTES, mark_in_place, unmark};
pub(crate) use mend::Mender;
pub(crate) use read::{Opened, Reader, Rest, Watched, holds_records, is_ours, may_hold_records, open};
pub(crate) use survey::{Piece, Survey, has_records};
pub(crate) use writer::{Writer, group_memory_bytes};
