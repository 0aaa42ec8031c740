//! The format itself, with frames of stored bytes: no codec takes part.

use super::{
    Carrier, ChunkInfo, FileInfo, Mended, Mender, Opened, Survey, Writer, has_records, open,
    payload::{ENTRIES, ENTRY_BYTES},
    record::HEADER_BYTES,
};
use proptest::prelude::*;
use twox_hash::XxHash3_128;

const CARRIERS: [Carrier; 4] = [Carrier::Frames, Carrier::Members, Carrier::Chunks, Carrier::Native];

fn file(carrier: Carrier, parity_percent: u8) -> FileInfo {
    FileInfo {
        algorithm: "store".into(),
        level: 0,
        chunk_bytes: 4096,
        parity_percent,
        written_by: "store/cpu/copy 1".into(),
        metadata: b"of the user".to_vec(),
        carrier,
    }
}

fn chunk(raw: &[u8]) -> ChunkInfo {
    let crc = crc32fast::hash(raw);
    ChunkInfo {
        number: 0,
        raw_offset: 0,
        raw_bytes: raw.len() as u32,
        frame_bytes: raw.len() as u32,
        algorithm: "store".into(),
        level: 0,
        filter: 0,
        decoder_kib: 0,
        frame_crc: crc,
        raw_crc: crc,
        raw_hash: XxHash3_128::oneshot(raw),
    }
}

fn data(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Frames of an imagined format that stores: what makes them the carrier's, a mark, the bytes.
fn frames(raw: &[u8], carrier: Carrier) -> Vec<Vec<u8>> {
    let head: &[u8] = match carrier {
        Carrier::Frames => &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 1, 0, 0, 0, 0],
        Carrier::Members => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, b'M'],
        Carrier::Chunks => b"\xff\x06\x00\x00sNaPpY\xc5\x04\x00\x00more",
        Carrier::Native => &[],
    };
    raw.chunks(4000).map(|part| [head, part].concat()).collect()
}

/// What is compressed: the frames themselves, as nothing decodes them.
fn original(raw: &[u8], carrier: Carrier) -> Vec<u8> {
    frames(raw, carrier).concat()
}

fn container(raw: &[u8], carrier: Carrier, parity: u8) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), file(carrier, parity), 1);
    for frame in frames(raw, carrier) {
        writer.chunk(chunk(&frame), &frame).expect("memory");
    }
    writer.finish().expect("memory").0
}

fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let Opened::Container(mut reader) = open(bytes, "test").map_err(|e| e.to_string())? else {
        return Err("no container".into());
    };
    let (mut out, mut frame) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.next(&mut frame).map_err(|e| e.to_string())? {
        if XxHash3_128::oneshot(&frame) != entry.chunk.raw_hash {
            return Err("a damaged frame".into());
        }
        out.extend_from_slice(&frame);
    }
    Ok(out)
}

/// All of the original that mending gets.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let mender = Mender::new(bytes, Some(1));
    let survey = mender.scanned()?;
    let mut out = Vec::new();
    for piece in survey.pieces() {
        let entry = piece.entry?;
        let (frame, _) = mender.frame(&entry, |frame| XxHash3_128::oneshot(frame) == entry.chunk.raw_hash)?;
        out.extend_from_slice(&frame);
    }
    Some(out)
}

#[test]
fn what_is_written_is_read() {
    for carrier in CARRIERS {
        for len in [1, 4096, 4097, 50_000] {
            for parity in [0, 10] {
                let raw = data(len);
                let bytes = container(&raw, carrier, parity);
                let original = original(&raw, carrier);
                assert!(read(&bytes).as_ref() == Ok(&original), "{carrier:?} {len} {parity}");
                let survey = Survey::by_footer(&bytes[..]).expect("sound");
                assert_eq!(survey.carrier, Some(carrier));
                assert_eq!(survey.raw_bytes, Some(original.len() as u64));
                assert_eq!(survey.file.map(|f| f.metadata).as_deref(), Some(&b"of the user"[..]));
                let scanned = Survey::by_scan(&bytes[..]).expect("records");
                assert!(scanned.is_complete && !scanned.has_strangers);
                assert_eq!(scanned.entries, survey.entries);
                assert_eq!(scanned.counts, scanned.expected(), "{carrier:?} {len} {parity}");
            }
        }
    }
}

#[test]
fn the_format_does_not_change_unnoticed() {
    let hashes = CARRIERS.map(|carrier| XxHash3_128::oneshot(&container(&data(10_000), carrier, 10)));
    let known = [
        325_778_797_745_512_860_336_779_700_820_534_554_286,
        118_052_016_128_680_197_275_130_539_365_348_229_904,
        145_799_823_997_493_079_745_855_330_072_772_872_700,
        67_665_627_861_398_206_769_239_269_492_744_102_366,
    ];
    assert_eq!(hashes, known, "a change of the format needs a new version, or readers of old files break");
}

#[test]
fn the_index_comes_in_parts() {
    let count = 2 * ENTRIES + 1;
    let mut writer = Writer::new(Vec::new(), file(Carrier::Frames, 0), 1);
    for number in 0..count {
        let raw = (number as u32).to_le_bytes();
        writer.chunk(chunk(&raw), &raw).expect("memory");
    }
    let (bytes, _) = writer.finish().expect("memory");
    let survey = Survey::by_footer(&bytes[..]).expect("sound");
    assert_eq!(survey.entries.len(), count);
    assert_eq!(Survey::by_scan(&bytes[..]).expect("records").counts.index, 3);
    assert!(bytes.len() > count * (ENTRY_BYTES + HEADER_BYTES));
}

#[test]
fn a_container_within_a_frame_is_not_taken_for_the_outer_one() {
    for carrier in CARRIERS {
        let inner = container(&data(9000), carrier, 0);
        let outer = container(&inner, carrier, 0);
        let inner = original(&inner, carrier);
        assert!(read(&outer).as_ref() == Ok(&inner), "{carrier:?}");
        // Without the outer footers the records must be told apart by their places.
        let cut = &outer[..outer.len() - 2 * (HEADER_BYTES + 64)];
        assert!(read(cut).is_err());
        assert!(mended(cut).as_ref() == Some(&inner), "{carrier:?}");
    }
}

#[test]
fn two_containers_in_one_file_are_never_one() {
    let (first, second) = (data(9000), data(5000));
    let mut both = container(&first, Carrier::Frames, 0);
    let len = both.len();
    both.extend(container(&second, Carrier::Frames, 0));
    assert!(Survey::by_footer(&both[..]).is_none());
    for at in [5000, len + 100] {
        let mut damaged = both.clone();
        damaged[at] ^= 1;
        assert!(Survey::by_scan(&damaged[..]).expect("records").has_strangers);
    }
}

#[test]
fn half_of_one_container_over_another_is_always_taken_for_the_same() {
    let [new, old] = [1, 2].map(|by| data(18_000).iter().map(|b| b ^ by).collect::<Vec<u8>>());
    let [new, old] = [new, old].map(|raw| container(&raw, Carrier::Native, 0));
    assert_eq!(new.len(), old.len());
    let uid = |bytes: &[u8]| Survey::by_scan(bytes).expect("records").uid;
    let mut last = uid(&new);
    assert_ne!(last, uid(&old));
    let mut turns = 0;
    // Somewhere both have as many records.
    for cut in (0..new.len()).step_by(100).rev() {
        let mixed = [&new[..cut], &old[cut..]].concat();
        let one = uid(&mixed);
        assert!((0..8).all(|_| uid(&mixed) == one), "one time the new, one time the old, cut at {cut}");
        turns += usize::from(one != last);
        last = one;
    }
    assert_eq!(turns, 1, "the new first, then the old");
}

#[test]
fn every_damaged_byte_is_mended_without_parity() {
    for (carrier, len) in CARRIERS.into_iter().flat_map(|c| [(c, 300), (c, 9000)]) {
        let (raw, bytes) = (data(len), container(&data(len), carrier, 0));
        let original = original(&raw, carrier);
        for at in (0..bytes.len()).step_by(if len > 1000 { 7 } else { 1 }) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x5a;
            assert!(mended(&damaged).as_ref() == Some(&original), "{carrier:?} {len} byte {at}");
        }
    }
}

#[test]
fn a_frame_that_moved_is_found() {
    let raw = data(20_000);
    let mut bytes = container(&raw, Carrier::Frames, 0);
    bytes.splice(6000..6000, [7; 33]);
    let mender = Mender::new(&bytes[..], Some(1));
    let survey = mender.scanned().expect("records");
    let entry = &survey.entries[&4];
    let (_, how) =
        mender.frame(entry, |f| XxHash3_128::oneshot(f) == entry.chunk.raw_hash).expect("still there");
    assert_eq!(how, Mended::Found);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_readers_panic_or_lie(
        seed in any::<u64>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..600, any::<u8>()), 1..6),
        carrier in 0..4_usize,
        parity in prop::sample::select(vec![0_u8, 10]),
    ) {
        let raw = data(12_000 + (seed % 5000) as usize);
        let mut bytes = container(&raw, CARRIERS[carrier], parity);
        let original = original(&raw, CARRIERS[carrier]);
        for (at, len, kind) in cuts {
            let at = at.index(bytes.len());
            let end = (at + len).min(bytes.len());
            match kind % 4 {
                0 => bytes[at..end].fill(kind),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, vec![kind; len])),
                _ => bytes.truncate(end.max(1)),
            }
            if bytes.is_empty() { bytes.push(0); }
        }
        let _ = has_records(&bytes[..]);
        if let Ok(out) = read(&bytes) {
            prop_assert!(out == original);
        }
        if let Some(out) = mended(&bytes) {
            prop_assert!(out == original);
        }
    }

    #[test]
    fn noise_with_records_in_it_is_no_container(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut bytes = noise;
        bytes.extend(super::record::MAGIC);
        bytes.resize(bytes.len() + 100, 1);
        prop_assert!(read(&bytes).is_err());
        prop_assert!(mended(&bytes).is_none());
    }
}
