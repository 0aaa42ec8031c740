//! A frame format that can tell damage and truncation, which the identity cannot: magic bytes, an
//! FNV-1a checksum of the payload (u32), the payload's length (u64), both little-endian, the payload.

use clipsmaster_plugin_api::{ErrorKind, Result};

const MAGIC: [u8; 4] = *b"FRMD";
const HEADER_BYTES: usize = 16;

pub(crate) fn bound(len: usize) -> usize {
    len.saturating_add(HEADER_BYTES)
}

pub(crate) fn compress(src: &[u8], dst: &mut [u8]) -> Result<usize> {
    let len = bound(src.len());
    let dst = dst.get_mut(..len).ok_or(ErrorKind::DestinationTooSmall)?;
    dst[..4].copy_from_slice(&MAGIC);
    dst[4..8].copy_from_slice(&checksum(src).to_le_bytes());
    dst[8..HEADER_BYTES].copy_from_slice(&(src.len() as u64).to_le_bytes());
    dst[HEADER_BYTES..].copy_from_slice(src);
    Ok(len)
}

/// Decodes all frames of `src`; `judge` decides on each of them before its payload is copied.
pub(crate) fn decompress(
    mut src: &[u8],
    dst: &mut [u8],
    judge: impl Fn(&Frame<'_>) -> Result<()>,
) -> Result<usize> {
    let mut filled = 0;
    loop {
        let frame = Frame::parse(src)?;
        judge(&frame)?;
        let end = filled + frame.payload.len();
        dst.get_mut(filled..end).ok_or(ErrorKind::DestinationTooSmall)?.copy_from_slice(frame.payload);
        filled = end;
        src = frame.rest;
        if src.is_empty() {
            return Ok(filled);
        }
    }
}

/// Sum of the lengths that the headers in `src` declare.
pub(crate) fn declared_len(mut src: &[u8]) -> Option<u64> {
    let mut total = 0_u64;
    loop {
        let frame = Frame::parse(src).ok()?;
        total = total.checked_add(frame.declared_bytes)?;
        src = frame.rest;
        if src.is_empty() {
            return Some(total);
        }
    }
}

pub(crate) struct Frame<'a> {
    declared_bytes: u64,
    checksum: u32,
    /// As much of it as there is.
    payload: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Frame<'a> {
    fn parse(src: &'a [u8]) -> Result<Self> {
        let (header, body) = src.split_first_chunk::<HEADER_BYTES>().ok_or(ErrorKind::Truncated)?;
        let [m0, m1, m2, m3, c0, c1, c2, c3, length @ ..] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(ErrorKind::Corrupt.into());
        }
        let declared_bytes = u64::from_le_bytes(length);
        let present = usize::try_from(declared_bytes).unwrap_or(usize::MAX).min(body.len());
        let (payload, rest) = body.split_at(present);
        Ok(Self { declared_bytes, checksum: u32::from_le_bytes([c0, c1, c2, c3]), payload, rest })
    }

    pub(crate) fn is_truncated(&self) -> bool {
        (self.payload.len() as u64) < self.declared_bytes
    }

    /// What an honest codec answers.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_truncated() {
            return Err(ErrorKind::Truncated.into());
        }
        if checksum(self.payload) == self.checksum { Ok(()) } else { Err(ErrorKind::Corrupt.into()) }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
