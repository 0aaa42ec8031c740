//! gzip members (RFC 1952): one a piece, each with its length in an extra field, as bgzip writes them
//! (BGZF, <https://samtools.github.io/hts-specs/SAMv1.pdf>, section 4.1). So the members can be found again without decoding.

use crate::{
    nvcomp::Opts,
    pieces::{Block, Format, Found, Output, Packed},
};
use clipsmaster_plugin_api::{Descriptor, Error, ErrorKind, Result};

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const HEADER_CRC: u8 = 0x02;
const EXTRA: u8 = 0x04;
const NAME: u8 = 0x08;
const COMMENT: u8 = 0x10;
const UNKNOWN_FLAGS: u8 = 0xe0;
/// Magic, flags, time, extra flags, system (unknown).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Length of the extra field; its only subfield and that one's length.
const BGZF_FIELD: [u8; 6] = [6, 0, b'B', b'C', 2, 0];
/// Header, field, member's length.
const BGZF_HEADER_BYTES: usize = 10 + 6 + 2;
const TRAILER_BYTES: usize = 8;
/// Header of a deflate block that is stored.
const STORED_BYTES: usize = 5;
/// A deflate stream without content.
const NOTHING: [u8; 2] = [3, 0];
/// Most bytes in a member that tells its length.
const MOST_MEMBER_BYTES: usize = 1 << 16;

pub(crate) struct Gzip;

impl Format for Gzip {
    const DESCRIPTOR: Descriptor = crate::codec::descriptor("gzip").levels(0, 5, 1).file("gz", &MAGIC);
    const FAMILY: &'static str = "Gzip";
    /// As bgzip: whatever the content, the member's length fits into its field.
    const PIECE_BYTES: usize = 0xff00;
    const SLOT_BYTES: usize = 145 << 10;

    fn opts(level: i32) -> Opts {
        Opts::first(level)
    }

    fn bound(len: usize) -> usize {
        let members = len.div_ceil(Self::PIECE_BYTES).max(1);
        len + members * (BGZF_HEADER_BYTES + STORED_BYTES + TRAILER_BYTES)
    }

    fn wrap(src: &[u8], dst: &mut [u8], packed: &mut dyn Packed) -> Result<usize> {
        let mut out = Output::new(dst);
        if src.is_empty() {
            put_member(&mut out, &[&NOTHING], src, 0)?;
        }
        for piece in src.chunks(Self::PIECE_BYTES) {
            let member = packed.next()?;
            let (body, trailer) = body_of(member)?;
            let crc = crc32fast::hash(piece);
            if trailer[..4] != crc.to_le_bytes() {
                return Err(Error::internal(
                    "nvcomp: the checksum of a gzip member is not that of its content",
                ));
            }
            if body.len() < STORED_BYTES + piece.len() {
                put_member(&mut out, &[body], piece, crc)?;
            } else {
                let [low, high] = (piece.len() as u16).to_le_bytes();
                put_member(&mut out, &[&[1, low, high, !low, !high], piece], piece, crc)?;
            }
        }
        Ok(out.len)
    }

    fn unwrap(mut src: &[u8]) -> Result<Found<'_>> {
        let mut found = Found::default();
        if src.is_empty() {
            return Err(truncated());
        }
        while !src.is_empty() {
            let header = Header::read(src)?;
            let member_bytes = match header.member_bytes {
                Some(bytes) => bytes,
                None if src[header.len..].starts_with(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => {
                    header.len + NOTHING.len() + TRAILER_BYTES
                }
                None => {
                    found.guessed = true;
                    only_member(&src[header.len..])?;
                    src.len()
                }
            };
            let (member, after) = src.split_at_checked(member_bytes).ok_or_else(truncated)?;
            let rest = member.get(header.len..).ok_or_else(truncated)?;
            let (body, trailer) = rest.split_last_chunk::<TRAILER_BYTES>().ok_or_else(truncated)?;
            let (crc, len) = (word(&trailer[..4]), word(&trailer[4..]) as usize);
            let block = match stored(body, len) {
                Some(body) => Block { head: Vec::new(), body, stored: true, len },
                None => Block { head: HEADER.to_vec(), body: rest, stored: false, len },
            };
            found.put(block, Some((crc, crc32fast::hash)));
            src = after;
        }
        Ok(found)
    }
}

fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the input ends within a gzip member")
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

/// The content of a deflate stream of one block that is stored.
fn stored(body: &[u8], len: usize) -> Option<&[u8]> {
    let (header, content) = body.split_first_chunk::<STORED_BYTES>()?;
    (header[0] == 1 && content.len() == len).then_some(content)
}

/// Refuses what looks like several members: only a decoder could tell where the first ends.
fn only_member(body: &[u8]) -> Result<()> {
    let begins = |at: &[u8]| at[..3] == MAGIC && at[3] & UNKNOWN_FLAGS == 0;
    if body.windows(4).any(begins) {
        return Err(Error::new(ErrorKind::Unsupported, "gzip members that do not tell their lengths"));
    }
    Ok(())
}

fn put_member(out: &mut Output<'_>, body: &[&[u8]], content: &[u8], crc: u32) -> Result<()> {
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    let member_bytes = BGZF_HEADER_BYTES + body_bytes + TRAILER_BYTES;
    assert!(member_bytes <= MOST_MEMBER_BYTES, "a piece fits into a member, stored at worst");
    let mut header = HEADER;
    header[3] = EXTRA;
    out.put(&header)?;
    out.put(&BGZF_FIELD)?;
    out.put(&((member_bytes - 1) as u16).to_le_bytes())?;
    body.iter().try_for_each(|part| out.put(part))?;
    out.put(&crc.to_le_bytes())?;
    out.put(&(content.len() as u32).to_le_bytes())
}

/// Deflate stream and trailer of a member.
fn body_of(member: &[u8]) -> Result<(&[u8], &[u8; TRAILER_BYTES])> {
    let header = Header::read(member)?;
    member[header.len..].split_last_chunk().ok_or_else(truncated)
}

struct Header {
    len: usize,
    /// Bytes of the whole member, where it tells.
    member_bytes: Option<usize>,
}

impl Header {
    fn read(src: &[u8]) -> Result<Self> {
        let (start, mut rest) = src.split_first_chunk::<10>().ok_or_else(|| {
            let begins = src.len() < 3 && MAGIC.starts_with(src) || src.starts_with(&MAGIC);
            if begins { truncated() } else { Error::corrupt("no gzip member") }
        })?;
        if start[..3] != MAGIC || start[3] & UNKNOWN_FLAGS != 0 {
            return Err(Error::corrupt("no gzip member"));
        }
        let flags = start[3];
        let mut member_bytes = None;
        if flags & EXTRA != 0 {
            let (len, after) = rest.split_first_chunk().ok_or_else(truncated)?;
            let (field, after) =
                after.split_at_checked(u16::from_le_bytes(*len).into()).ok_or_else(truncated)?;
            member_bytes = length_in(field);
            rest = after;
        }
        for _ in 0..(flags & NAME != 0) as u8 + (flags & COMMENT != 0) as u8 {
            let end = rest.iter().position(|b| *b == 0).ok_or_else(truncated)?;
            rest = &rest[end + 1..];
        }
        if flags & HEADER_CRC != 0 {
            rest = rest.get(2..).ok_or_else(truncated)?;
        }
        Ok(Self { len: src.len() - rest.len(), member_bytes })
    }
}

/// The member's length in the subfield of bgzip.
fn length_in(mut field: &[u8]) -> Option<usize> {
    while let Some((head, rest)) = field.split_first_chunk::<4>() {
        let (value, after) = rest.split_at_checked(u16::from_le_bytes([head[2], head[3]]).into())?;
        if head[..2] == *b"BC" && value.len() == 2 {
            return Some(usize::from(u16::from_le_bytes([value[0], value[1]])) + 1);
        }
        field = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::tests::Given;

    /// What `gzip -n` writes for `hello\n`.
    const HELLO: [u8; 26] = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 2, 0, 0x20, 0x30, 0x3a, 0x36,
        6, 0, 0, 0,
    ];

    #[test]
    fn a_member_tells_its_length_and_is_cut_nowhere() {
        let mut out = [0; 100];
        let n = Gzip::wrap(b"hello\n", &mut out, &mut Given::new(&[&HELLO])).expect("room enough");
        let twice = out[..n].repeat(2);
        let found = Gzip::unwrap(&twice).expect("valid members");
        assert_eq!((found.blocks.len(), found.len, found.guessed), (2, 12, false));
        let block = &found.blocks[1];
        assert_eq!([&block.head[..], block.body].concat()[10..], HELLO[10..]);
        assert_eq!(clipsmaster_framing::verify(&found.checks, b"hello\nhello\n"), Ok(()));
        for cut in (1..twice.len()).filter(|cut| *cut != n) {
            let kind = Gzip::unwrap(&twice[..cut]).map_err(|e| e.kind).err();
            assert_eq!(kind, Some(ErrorKind::Truncated), "at {cut}");
        }
    }

    #[test]
    fn of_members_without_length_only_a_single_one_is_taken() {
        assert!(Gzip::unwrap(&HELLO).is_ok_and(|found| found.guessed && found.len == 6));
        let twice = HELLO.repeat(2);
        assert_eq!(Gzip::unwrap(&twice).map_err(|e| e.kind).err(), Some(ErrorKind::Unsupported));
    }

    #[test]
    fn a_wrong_checksum_of_the_device_is_noticed_at_once() {
        let mut wrong = HELLO;
        wrong[18] ^= 1;
        let answer = Gzip::wrap(b"hello\n", &mut [0; 100], &mut Given::new(&[&wrong]));
        assert_eq!(answer.map_err(|e| e.kind), Err(ErrorKind::Internal));
    }

    #[test]
    fn the_largest_piece_fits_stored() {
        let content = vec![7; Gzip::PIECE_BYTES];
        let mut member = HEADER.to_vec();
        member.resize(70_000, 0);
        member.extend(crc32fast::hash(&content).to_le_bytes());
        member.extend((content.len() as u32).to_le_bytes());
        let mut out = vec![0; Gzip::bound(content.len())];
        let n = Gzip::wrap(&content, &mut out, &mut Given::new(&[&member])).expect("the bound holds");
        assert!(n <= MOST_MEMBER_BYTES);
        assert!(Gzip::unwrap(&out[..n]).is_ok_and(|found| found.blocks[0].stored));
    }
}
