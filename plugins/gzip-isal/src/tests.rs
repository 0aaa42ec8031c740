//! The library's behaviour that the plugin counts on; skipped where it is not installed.

use super::*;

fn isal(level: i32) -> Option<Isal> {
    match Isal::probe() {
        Ok(_) => Some(Isal::open(level, &Options::default()).expect("an instance")),
        Err(missing) => {
            eprintln!("skipped: {}", missing.reason);
            None
        }
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i / 5) ^ ((i * i) >> 9)) as u8).collect()
}

fn member(isal: &mut Isal, content: &[u8]) -> Vec<u8> {
    let mut member = vec![0; isal.compress_bound(content.len())];
    let len = isal.compress(content, &mut member).expect("the bound holds");
    member.truncate(len);
    member
}

/// A member with everything a header may have.
fn with_long_header(member: &[u8]) -> Vec<u8> {
    let mut long = vec![0x1f, 0x8b, 8, 4 | 8 | 16, 0, 0, 0, 0, 0, 255];
    long.extend(3000_u16.to_le_bytes());
    long.extend([7; 3000]);
    long.extend(b"name\0comment\0");
    long.extend_from_slice(&member[HEADER_BYTES..]);
    long
}

#[test]
fn in_pieces_all_is_as_whole() {
    let Some(mut isal) = isal(1) else { return };
    for len in [0, 1, 1000, 70_000, 300_000] {
        let content = content(len);
        let member = member(&mut isal, &content);
        let deflated = &member[HEADER_BYTES..];
        let mut out = vec![0; len];
        assert_eq!(isal.in_pieces(deflated, &mut out), Ok((deflated.len(), len)));
        assert_eq!(out, content);
        let cut = isal.in_pieces(&deflated[..deflated.len() - 1], &mut out);
        assert_eq!(cut.map_err(|e| e.kind), Err(ErrorKind::Truncated));
        if len > 0 {
            let small = isal.in_pieces(deflated, &mut out[1..]);
            assert_eq!(small.map_err(|e| e.kind), Err(ErrorKind::DestinationTooSmall));
        }
    }
}

#[test]
fn kinds_of_errors() {
    let Some(mut isal) = isal(3) else { return };
    let content = content(50_000);
    let good = with_long_header(&member(&mut isal, &content));
    let mut out = vec![0; content.len() + 10];
    for cut in (0..4000).chain(good.len() - 20..good.len()) {
        let answer = isal.decompress(&good[..cut], &mut out).map_err(|e| e.kind);
        assert_eq!(answer, Err(ErrorKind::Truncated), "cut at {cut}");
    }
    for room in [0, 1, 49_999] {
        let answer = isal.decompress(&good, &mut out[..room]).map_err(|e| e.kind);
        assert_eq!(answer, Err(ErrorKind::DestinationTooSmall), "{room}");
    }
    for at in 1..=TRAILER_BYTES {
        let mut bad = good.clone();
        let len = bad.len();
        bad[len - at] ^= 1;
        let answer = isal.decompress(&bad, &mut out).map_err(|e| e.kind);
        assert_eq!(answer, Err(ErrorKind::Corrupt), "{at} bytes before the end");
    }
    let trailing = [&good[..], b"\0"].concat();
    assert!(isal.decompress(&trailing, &mut out).is_err());
    assert_eq!(isal.decompress(&good, &mut out[..content.len()]), Ok(content.len()));
}

/// The end of deflate data comes after the destination is full: empty blocks of each kind behind the content.
#[test]
fn a_full_destination_with_empty_blocks_to_come_is_enough() {
    let Some(mut isal) = isal(1) else { return };
    // Stored "abc", not final; then stored, fixed and stored empty blocks, the last one final.
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0, 3, 0, 0xfc, 0xff];
    member.extend(b"abc");
    member.extend([0, 0, 0, 0xff, 0xff]);
    // Fixed block: bits 0, 1 0, then seven zeros; the stored block's header follows in the same byte.
    member.extend([0b0000_0010, 0b0000_0100, 0, 0, 0xff, 0xff]);
    member.extend(0x3524_41c2_u32.to_le_bytes());
    member.extend(3_u32.to_le_bytes());
    let mut out = [0; 3];
    assert_eq!(isal.decompress(&member, &mut out), Ok(3));
    assert_eq!(&out, b"abc");
    let deflated = &member[HEADER_BYTES..];
    assert_eq!(isal.in_pieces(deflated, &mut out), Ok((deflated.len(), 3)));
    let small = isal.decompress(&member, &mut out[..2]).map_err(|e| e.kind);
    assert_eq!(small, Err(ErrorKind::DestinationTooSmall));
}
