//! Hand-made files of every format: what is cut, with views of any size.

use super::*;
use proptest::prelude::*;

const CAP_BYTES: usize = 100_000;

/// How a walk ended.
#[derive(Debug, PartialEq)]
enum Ended {
    Well,
    Stream,
    Trailing(Trailing),
    Damaged(api::ErrorKind),
}

/// What decoders would be given, each with its hint, and how it ended. Views grow by `grow` bytes.
fn walk(algorithm: &str, data: &[u8], grow: usize, cap_bytes: usize) -> (Vec<(Vec<u8>, u64)>, Ended) {
    let mut splitter = splitter(algorithm, cap_bytes).expect("known");
    let (mut at, mut seen, mut units, mut long) = (0, 0, Vec::new(), Vec::new());
    loop {
        let (view, at_end) = (&data[at.min(seen)..seen], seen == data.len());
        let taken = |cut: &Cut| [&cut.before[..], &view[..cut.len], &cut.after[..]].concat();
        match splitter.step(view, at_end) {
            Step::Need(len) => {
                assert!(len > view.len() && !at_end, "{len} bytes asked with {} in view", view.len());
                assert!(len <= cap_bytes + (70 << 10), "{len} bytes asked");
                seen = data.len().min(seen.max(at + 1) + grow);
            }
            Step::Unit(cut) => {
                assert!(cut.raw_bytes <= cap_bytes as u64 && cut.len <= cap_bytes);
                units.push((taken(&cut), cut.raw_bytes));
                at += cut.len;
            }
            Step::Piece { cut, is_last } => {
                long.extend(taken(&cut));
                at += cut.len;
                if is_last {
                    units.push((std::mem::take(&mut long), 0));
                }
            }
            Step::Stream { before } => {
                long.extend([&before[..], &data[at.min(data.len())..]].concat());
                units.push((long, 0));
                return (units, Ended::Stream);
            }
            Step::Skip(len) => {
                at = at.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
                if at > data.len() {
                    return (units, Ended::Damaged(api::ErrorKind::Truncated));
                }
                seen = seen.max(at);
            }
            Step::Trailing(trailing) => return (units, Ended::Trailing(trailing)),
            Step::Damaged(e) => return (units, Ended::Damaged(e.kind)),
            Step::End => return (units, Ended::Well),
        }
    }
}

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A frame of a stored and a repeated block, without content size, with a checksum.
fn zstd_frame(len: u8) -> Vec<u8> {
    let stored = (u32::from(len) << 3).to_le_bytes();
    let repeated = (1000_u32 << 3 | 1 << 1 | 1).to_le_bytes();
    bytes(&[
        &[0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58],
        &stored[..3],
        &vec![7; len.into()],
        &repeated[..3],
        &[9],
        &[1, 2, 3, 4],
    ])
}

/// A frame of two stored blocks with all checksums.
fn lz4_frame(len: u8) -> Vec<u8> {
    let block = bytes(&[&(u32::from(len) | 1 << 31).to_le_bytes(), &vec![7; len.into()], b"sum1"]);
    bytes(&[&[0x04, 0x22, 0x4d, 0x18, 0x74, 0x40, 0], &block, &block, &[0; 4], b"sum2"])
}

const SKIPPABLE: &[u8] = &[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 0x28, 0xb5, 0x2f];

/// A BGZF member of a stored block.
fn bgzf_member(len: u8) -> Vec<u8> {
    let size = 12 + 10 + 5 + u16::from(len) + 8;
    let fields = bytes(&[b"XY\x00\x00BC\x02\x00", &(size - 1).to_le_bytes()]);
    let head = bytes(&[&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 10, 0], &fields]);
    bytes(&[&head, &[1, len, 0, !len, 255], &vec![7; len.into()], b"crc.", &u32::from(len).to_le_bytes()])
}

/// "hello" by bzip2 1.0.8.
const BZIP2: &[u8] = &[
    0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x19, 0x31, 0x65, 0x3d, 0x00, 0x00, 0x00,
    0x81, 0x00, 0x02, 0x44, 0xa0, 0x00, 0x21, 0x9a, 0x68, 0x33, 0x4d, 0x07, 0x33, 0x8b, 0xb9, 0x22, 0x9c,
    0x28, 0x48, 0x0c, 0x98, 0xb2, 0x9e, 0x80,
];
const BZIP2_EMPTY: &[u8] = &[0x42, 0x5a, 0x68, 0x39, 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0, 0, 0, 0];

const SNAPPY_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// A stored chunk.
fn snappy_chunk(len: u16) -> Vec<u8> {
    let size = (u32::from(len) + 4).to_le_bytes();
    bytes(&[&[1], &size[..3], b"crc.", &vec![7; len.into()]])
}

fn good(algorithm: &str) -> (Vec<u8>, Vec<(Vec<u8>, u64)>) {
    match algorithm {
        "zstd" => {
            let (a, b) = (zstd_frame(3), zstd_frame(200));
            (bytes(&[SKIPPABLE, &a, SKIPPABLE, &b]), vec![(a, 1003), (b, 1200)])
        }
        "lz4" => {
            let (a, b) = (lz4_frame(3), lz4_frame(200));
            (bytes(&[&a, SKIPPABLE, &b]), vec![(a, 6), (b, 400)])
        }
        "gzip" => {
            let (a, b) = (bgzf_member(3), bgzf_member(0));
            (bytes(&[&a, &b]), vec![(a, 3), (b, 0)])
        }
        "bzip2" => {
            let units = [BZIP2, BZIP2_EMPTY, BZIP2].map(<[u8]>::to_vec);
            let hints = [900_000 / 8 * 9, 0, 900_000 / 8 * 9];
            (units.concat(), units.into_iter().zip(hints).collect())
        }
        _ => {
            let chunks = bytes(&[&snappy_chunk(60_000).repeat(18), &[0xfe, 1, 0, 0, 0], &snappy_chunk(9)]);
            let (first, second) = chunks.split_at(18 * 60_008);
            let unit = |chunks| bytes(&[SNAPPY_IDENTIFIER, chunks]);
            let units = [(unit(first), 18 * 60_000), (unit(second), 9)];
            // The identifier of the file is a chunk as any other.
            let units = [(bytes(&[SNAPPY_IDENTIFIER, &units[0].0]), units[0].1), units[1].clone()];
            (unit(&chunks), units.to_vec())
        }
    }
}

#[test]
fn every_unit_is_cut_whatever_is_in_view() {
    for algorithm in ["zstd", "lz4", "gzip", "bzip2", "snappy"] {
        let (data, units) = good(algorithm);
        for grow in [1, 2, 7, 50, 10_000, usize::MAX / 2] {
            // A byte more at a time is too slow for a megabyte.
            let grow = if data.len() > 1000 { grow.max(1000) } else { grow };
            let (cut, ended) = walk(algorithm, &data, grow, 2_000_000);
            assert!(cut == units && ended == Ended::Well, "{algorithm} in steps of {grow}: {ended:?}");
        }
    }
}

#[test]
fn what_is_cut_short_goes_to_the_decoder() {
    for algorithm in ["zstd", "lz4", "gzip", "bzip2"] {
        let (data, units) = good(algorithm);
        let ends: Vec<usize> = (0..=data.len())
            .filter(|len| {
                let (_, ended) = walk(algorithm, &data[..*len], 11, 2_000_000);
                ended == Ended::Well
            })
            .collect();
        // Between frames, a skippable one included, a file may end.
        assert!((units.len()..=2 * units.len()).contains(&ends.len()), "{algorithm}: {ends:?}");
        assert!(!ends.contains(&0), "{algorithm}: an empty file is for the decoder to judge");
    }
}

#[test]
fn a_unit_beyond_the_cap_comes_in_pieces_and_cutting_goes_on() {
    for algorithm in ["zstd", "lz4", "gzip", "bzip2"] {
        let (data, units) = good(algorithm);
        for grow in [1, 20, 1000] {
            let (cut, ended) = walk(algorithm, &data, grow, 20);
            let frames: Vec<_> = cut.iter().map(|(bytes, _)| bytes).collect();
            assert_eq!(frames, units.iter().map(|(bytes, _)| bytes).collect::<Vec<_>>(), "{algorithm}");
            assert_eq!(ended, Ended::Well);
        }
    }
}

#[test]
fn trailing_bytes_are_treated_as_by_the_formats_own_tool() {
    use Trailing::{Ignored, Refused, Silent};
    let garbage: [&[u8]; 5] = [b"some garbage", &[0; 3], &[0; 4], b"BZ", &[0, 0, 0, 0, 0, 1]];
    for (algorithm, expected) in [
        ("zstd", [Refused, Refused, Refused, Refused, Refused]),
        ("lz4", [Refused, Refused, Refused, Refused, Refused]),
        ("gzip", [Ignored, Silent, Silent, Ignored, Ignored]),
        ("bzip2", [Ignored, Ignored, Ignored, Refused, Ignored]),
    ] {
        let (data, units) = good(algorithm);
        for (garbage, expected) in garbage.iter().zip(expected) {
            for grow in [1, 5, 1000] {
                let (cut, ended) = walk(algorithm, &bytes(&[&data, garbage]), grow, 2_000_000);
                assert_eq!(cut, units);
                assert!(
                    ended == Ended::Trailing(expected) || (ended, expected) == (Ended::Well, Silent),
                    "{algorithm} {garbage:?}"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_cut_is_one_stream() {
    let plain_gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let legacy_lz4 = bytes(&[&[0x02, 0x21, 0x4c, 0x18], &[0; 40]]);
    for (algorithm, rest) in [("gzip", &plain_gzip[..]), ("lz4", &legacy_lz4[..])] {
        let (data, mut units) = good(algorithm);
        units.push((rest.to_vec(), 0));
        assert_eq!(walk(algorithm, &bytes(&[&data, rest]), 9, 2_000_000), (units, Ended::Stream));
        assert_eq!(walk(algorithm, rest, 9, 2_000_000), (vec![(rest.to_vec(), 0)], Ended::Stream));
    }
}

/// A block of one stored chunk, with or without sizes in its header, and its record.
fn xz_block(len: u8, has_sizes: bool) -> (Vec<u8>, [u8; 2]) {
    let data = bytes(&[&[1, 0, len - 1], &vec![7; len.into()], &[0]]);
    let mut header = if has_sizes {
        vec![3, 0xc0, data.len() as u8, len, 0x21, 1, 22, 0, 0, 0, 0, 0]
    } else {
        vec![2, 0, 0x21, 1, 22, 0, 0, 0]
    };
    header.extend(crc32fast::hash(&header).to_le_bytes());
    let unpadded = (header.len() + data.len() + 4) as u8;
    let padding = vec![0; (4 - data.len() % 4) % 4];
    (bytes(&[&header, &data, &padding, b"crc."]), [unpadded, len])
}

fn xz_stream(blocks: &[(Vec<u8>, [u8; 2])]) -> Vec<u8> {
    let mut stream = bytes(&[b"\xfd7zXZ\0\0\x01", &crc32fast::hash(&[0, 1]).to_le_bytes()]);
    let mut index = vec![0, blocks.len() as u8];
    for (block, record) in blocks {
        stream.extend(block);
        index.extend(record);
    }
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc32fast::hash(&index).to_le_bytes());
    let fields = [(index.len() / 4 - 1) as u8, 0, 0, 0, 0, 1];
    bytes(&[&stream, &index, &crc32fast::hash(&fields).to_le_bytes(), &fields, b"YZ"])
}

#[test]
fn xz_blocks_become_streams_of_their_own() {
    let blocks = [xz_block(5, true), xz_block(100, false), xz_block(2, true)];
    let data = bytes(&[&xz_stream(&blocks), &[0; 8], &xz_stream(&[]), &xz_stream(&blocks[..1])]);
    let unit = |i: usize| (xz_stream(&blocks[i..=i]), u64::from(blocks[i].1[1]));
    let units = vec![unit(0), unit(1), unit(2), unit(0)];
    for grow in [1, 2, 3, 30, 1000] {
        assert_eq!(walk("lzma", &data, grow, CAP_BYTES), (units.clone(), Ended::Well));
        let (pieces, ended) = walk("lzma", &data, grow, 10);
        assert!(pieces.iter().map(|p| &p.0).eq(units.iter().map(|u| &u.0)) && ended == Ended::Well);
    }
    for (trailing, expected) in [
        (&[0; 3][..], Ended::Trailing(Trailing::Refused)),
        (&[0, 0, 0, 0, 1], Ended::Trailing(Trailing::Refused)),
        (b"garbage", Ended::Trailing(Trailing::Refused)),
        (b"\xfd7zX", Ended::Damaged(api::ErrorKind::Truncated)),
    ] {
        let (cut, ended) = walk("lzma", &bytes(&[&data, trailing]), 3, CAP_BYTES);
        assert_eq!((cut, ended), (units.clone(), expected), "{trailing:?}");
    }
}

#[test]
fn damage_outside_the_blocks_of_xz_is_noticed() {
    let blocks = [xz_block(5, true), xz_block(100, false)];
    let data = xz_stream(&blocks);
    let blocks_end = data.len() - 12 - 12;
    for at in 0..data.len() * 8 {
        let mut damaged = data.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        let (_, ended) = walk("lzma", &damaged, 1000, CAP_BYTES);
        let outside = at / 8 < 12 || at / 8 >= blocks_end;
        assert!(!outside || ended != Ended::Well, "bit {at}");
    }
    // A block that is lost, with an index that does not know.
    let lost = bytes(&[&data[..12], &data[12 + blocks[0].0.len()..]]);
    assert_eq!(walk("lzma", &lost, 1000, CAP_BYTES).1, Ended::Damaged(api::ErrorKind::Corrupt));
    for len in 12..data.len() {
        assert_ne!(walk("lzma", &data[..len], 50, CAP_BYTES).1, Ended::Well, "cut at {len}");
    }
}

fn any_file() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    const ALGORITHMS: [&str; 6] = ["zstd", "lz4", "gzip", "bzip2", "lzma", "snappy"];
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(&ALGORITHMS[..]), damage, prop::collection::vec(any::<u8>(), 0..40)).prop_map(
        |(algorithm, damage, tail)| {
            let mut data = match algorithm {
                "lzma" => xz_stream(&[xz_block(5, true), xz_block(100, false)]),
                "snappy" => bytes(&[SNAPPY_IDENTIFIER, &snappy_chunk(9), &snappy_chunk(300)]),
                _ => good(algorithm).0,
            };
            for (at, byte) in damage {
                let at = at.index(data.len());
                data[at] = byte;
            }
            data.extend(tail);
            (algorithm, data)
        },
    )
}

proptest! {
    #[test]
    fn cuts_do_not_depend_on_what_is_in_view((algorithm, data) in any_file(), grow in 1_usize..200) {
        let whole = walk(algorithm, &data, data.len(), CAP_BYTES);
        prop_assert_eq!(walk(algorithm, &data, grow, CAP_BYTES), whole);
    }
}
