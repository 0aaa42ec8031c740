//! The simplest of frames, for codecs that the tests bring: the length in 8 bytes, then as many bytes, whatever became of them.

use clipsmaster_plugin_api::{ErrorKind, Result};

const HEADER_BYTES: usize = 8;

/// Bytes of the frame of `len` bytes.
pub(crate) fn bound(len: usize) -> usize {
    len + HEADER_BYTES
}

/// Writes the frame of `src` to the start of `dst`; `fill` makes its body of `src`.
pub(crate) fn write(src: &[u8], dst: &mut [u8], fill: impl FnOnce(&[u8], &mut [u8])) -> Result<usize> {
    let len = bound(src.len());
    let (header, body) = dst.get_mut(..len).ok_or(ErrorKind::DestinationTooSmall)?.split_at_mut(HEADER_BYTES);
    header.copy_from_slice(&(src.len() as u64).to_be_bytes());
    fill(src, body);
    Ok(len)
}

/// Reads all frames of `src` into `dst`; `fill` makes the original of a body.
pub(crate) fn read(mut src: &[u8], dst: &mut [u8], mut fill: impl FnMut(&[u8], &mut [u8])) -> Result<usize> {
    let mut filled = 0;
    while !src.is_empty() {
        let (header, rest) = src.split_first_chunk::<HEADER_BYTES>().ok_or(ErrorKind::Truncated)?;
        let len = usize::try_from(u64::from_be_bytes(*header)).map_err(|_| ErrorKind::Corrupt)?;
        let (body, rest) = rest.split_at_checked(len).ok_or(ErrorKind::Truncated)?;
        fill(body, dst.get_mut(filled..filled + len).ok_or(ErrorKind::DestinationTooSmall)?);
        filled += len;
        src = rest;
    }
    Ok(filled)
}
