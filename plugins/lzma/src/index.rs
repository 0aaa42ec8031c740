//! The size that `.xz` streams declare, from the indexes at their ends
//! (<https://tukaani.org/xz/xz-file-format.txt>, sections 2.1.2, 4 and 1.2).

const HEADER_BYTES: usize = 12;
const FOOTER_BYTES: usize = 12;
const FOOTER_MAGIC: &[u8] = b"YZ";

/// Sum of the uncompressed sizes in the indexes of all streams of `src`. Checksums are left to the decoder.
pub(crate) fn content_size(mut src: &[u8]) -> Option<u64> {
    let mut total = 0u64;
    // From the end, since only a stream's footer says how long its index is.
    while !src.is_empty() {
        if let Some(rest) = src.strip_suffix(&[0; 4]) {
            src = rest;
            continue;
        }
        let footer = src.last_chunk::<FOOTER_BYTES>()?;
        if !footer.ends_with(FOOTER_MAGIC) {
            return None;
        }
        let backward = u32::from_le_bytes([footer[4], footer[5], footer[6], footer[7]]);
        let index_bytes = (backward as usize + 1) * 4;
        let index_start = src.len().checked_sub(FOOTER_BYTES + index_bytes)?;
        let (blocks_bytes, size) = read_index(&src[index_start..src.len() - FOOTER_BYTES])?;
        total = total.checked_add(size)?;
        let start =
            index_start.checked_sub(HEADER_BYTES)?.checked_sub(usize::try_from(blocks_bytes).ok()?)?;
        src = &src[..start];
    }
    Some(total)
}

/// Bytes of all blocks in the file, and decoded.
fn read_index(mut index: &[u8]) -> Option<(u64, u64)> {
    index = index.strip_prefix(&[0])?;
    let records = number(&mut index)?;
    let (mut stored, mut decoded) = (0u64, 0u64);
    for _ in 0..records {
        let unpadded = number(&mut index)?;
        stored = stored.checked_add(unpadded.checked_next_multiple_of(4)?)?;
        decoded = decoded.checked_add(number(&mut index)?)?;
    }
    Some((stored, decoded))
}

/// A number in groups of seven bits, the low ones first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
