//! The calls of an application: containers in memory, in files, and as readers and writers.

use crate::*;
use clipsmaster_host::{
    Checksum, ChunkedReader, ChunkedWriter, Error, Host, Metadata, Request, Restored, SAFE_PARITY_PERCENT,
    SeekableReader, chunked_file_info, chunked_header_info, container_raw_bytes,
    pipeline::{CompressOptions, Container, DecompressOptions, OnDamage},
};
use std::io::{Cursor, Read, Seek, SeekFrom};

const CHUNK: usize = 16 << 10;
const ALGORITHMS: [&str; 7] = ["store", "zstd", "lz4", "gzip", "bzip2", "xz", "snappy"];

fn host(s: &Scratch) -> Host {
    Host::open(s.config()).expect("a host")
}

fn options(parity_percent: u8) -> CompressOptions {
    CompressOptions { chunk_bytes: Some(CHUNK), parity_percent, ..CompressOptions::default() }
}

#[test]
fn memory_round_trips_and_headers_tell() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(5 * CHUNK + 3);
    for algorithm in ALGORITHMS {
        for len in [0, 1, CHUNK, CHUNK + 1, data.len()] {
            let packed = host.compress_chunked(&data[..len], algorithm, Some(CHUNK)).expect("compress");
            assert!(host.decompress_chunked(&packed).expect("sound") == data[..len], "{algorithm}, {len}");
            assert!(host.decompress_data(&packed, None).expect("sound") == data[..len], "{algorithm}, {len}");
            let info = chunked_header_info(&packed).expect("a container");
            assert_eq!((info.raw_bytes, info.bytes), (len as u64, packed.len() as u64));
            assert_eq!(info.chunks.len(), len.div_ceil(CHUNK).max(1), "{algorithm}, {len}");
            assert!(info.file.written_by.contains("/cpu/"), "{:?}", info.file);
            let again = host.compress_chunked(&data[..len], algorithm, Some(CHUNK)).expect("compress");
            assert!(again == packed, "{algorithm}, {len}: the same bytes");
            // What other calls make of it: the same.
            match host.safe_decompress(&packed, OnDamage::Error) {
                Restored::Intact(back) => assert!(back == data[..len], "{algorithm}, {len}"),
                other => panic!("{algorithm}, {len}: {other:?}"),
            }
        }
        let default = host.compress_chunked(&data, algorithm, None).expect("compress");
        assert!(host.decompress_chunked(&default).expect("sound") == data, "{algorithm}");
    }
    for impossible in [0, (64 << 20) + 1] {
        let refused = host.compress_chunked(&data, "zstd", Some(impossible)).expect_err("no such chunk");
        assert!(matches!(refused, Error::Usage(_)), "{refused}");
    }
    assert!(matches!(host.compress_chunked(&data, "zpaq", None), Err(Error::UnknownAlgorithm { .. })));
    assert!(matches!(chunked_header_info(b"no container"), Err(Error::Container { .. })));
    assert!(matches!(host.decompress_chunked(b"no container at all"), Err(Error::UnknownFormat { .. })));
}

#[test]
fn frames_may_leave_their_checksum_to_the_metadata() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(100_000);
    let (mut out, mut metadata) = (Vec::new(), Metadata::default());
    assert_eq!(host.get_best_hardware("sz", 3).expect("no levels to choose from").level(), 1);
    host.get_best_hardware("zstd", 30).expect_err("no such level");
    for (algorithm, saved) in [("zstd", 4), ("lz4", 4), ("gzip", 0), ("snappy", 0), ("store", 0), ("zstd", 4)]
    {
        // The CPU's, which every machine has.
        let request = Request { hardware: Some("cpu".into()), ..Request::new(algorithm) };
        let compressor = host.compressor(&request).expect("a compressor");
        let whole = compressor.compress_to(&data, &mut out).expect("compress").compressed_size;
        compressor.compress_again(Checksum::Callers, &data, &mut out, &mut metadata).expect("compress");
        assert_eq!((&*metadata.algorithm, metadata.original_size), (algorithm, 100_000));
        assert_eq!(metadata.implementation, compressor.implementation());
        assert_eq!(whole - metadata.compressed_size, saved, "{algorithm}");
        let frame = &mut out[..metadata.compressed_size as usize];
        assert!(host.decompress_data(frame, Some(&metadata)).expect("sound") == data, "{algorithm}");
        if algorithm != "store" {
            assert!(host.decompress_data(frame, None).expect("sound") == data, "{algorithm}");
        }
        for at in (0..frame.len()).step_by(frame.len() / 300 + 1) {
            frame[at] ^= 0x10;
            let back = host.decompress_data(frame, Some(&metadata));
            assert!(back.is_err() || back.is_ok_and(|b| b == data), "{algorithm}, a flip at {at}");
            frame[at] ^= 0x10;
        }
    }
}

#[test]
fn what_is_kept_safe_survives_damage_of_a_tenth() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(400_000);
    let (packed, metadata) = host.safe_compress(&data).expect("compress");
    assert_eq!((metadata.original_size, metadata.compressed_size), (400_000, packed.len() as u64));
    assert_eq!(chunked_header_info(&packed).expect("container").file.parity_percent, SAFE_PARITY_PERCENT);
    for start in [0, packed.len() / 3, packed.len() / 2] {
        let mut damaged = packed.clone();
        let burst = packed.len() / 16;
        damaged[start..start + burst].fill(0xff);
        match host.safe_decompress(&damaged, OnDamage::Error) {
            Restored::Repaired { data: back, what } => {
                assert!(back == data, "burst at {start}");
                assert!(!what.is_empty() && what.iter().all(|w| !w.is_empty()), "{what:?}");
            }
            other => panic!("burst at {start}: {other:?}"),
        }
        host.decompress_chunked(&damaged).expect_err("the strict call does not mend");
    }
}

#[test]
fn chunks_are_decoded_to_their_places_as_strictly_as_front_to_back() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(5 * CHUNK + 3);
    for algorithm in ALGORITHMS {
        for len in [0, 1, CHUNK, data.len()] {
            let packed = host.compress_chunked(&data[..len], algorithm, Some(CHUNK)).expect("compress");
            assert_eq!(container_raw_bytes(&packed), Some(len as u64), "{algorithm}, {len}");
            let mut out = vec![0xaa; len];
            host.decompress_chunked_into(&packed, &mut out).expect("sound");
            assert!(out == data[..len], "{algorithm}, {len}");
            for wrong in [len + 1, len.saturating_sub(1)].into_iter().filter(|w| *w != len) {
                host.decompress_chunked_into(&packed, &mut vec![0; wrong]).expect_err("another length");
            }
            let two = packed.repeat(2);
            let mut out = vec![0; 2 * len];
            host.decompress_chunked_into(&two, &mut out).expect("one behind the other");
            assert!(out == data[..len].repeat(2), "{algorithm}, {len}, twice");
            let mut room = vec![0xaa; 2 * len + 1];
            let done = host.decompress_into(&two, None, &mut room).expect("into a longer buffer");
            assert!(done == 2 * len && room[..done] == out && room[done] == 0xaa, "{algorithm}, {len}");
            let done = host.decompress_into(&packed, None, &mut room).expect("into a longer buffer");
            assert!(done == len && room[..done] == data[..len], "{algorithm}, {len}");
            if len > 0 {
                let told = host.decompress_into(&packed, None, &mut room[..len - 1]).expect_err("too short");
                assert!(told.to_string().contains("fit into a buffer"), "{told}");
            }
        }
        let request = Request::new(algorithm);
        let (packed, _) = host.safe_compress_with(&data, &request, &options(5)).expect("compress");
        for at in (0..packed.len()).step_by(packed.len() / 300 + 1) {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            let mut out = vec![0; data.len()];
            let to_places = host.decompress_chunked_into(&damaged, &mut out);
            let front_to_back = host.decompress_chunked(&damaged);
            assert_eq!(to_places.is_ok(), front_to_back.is_ok(), "{algorithm}, a flip at {at}");
            assert!(to_places.is_err() || out == data, "{algorithm}, a flip at {at}");
        }
    }
}

#[test]
fn what_is_lost_is_told_by_its_range() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(6 * CHUNK + 100);
    for algorithm in ALGORITHMS {
        let request = Request::new(algorithm);
        let (packed, _) = host.safe_compress_with(&data, &request, &options(0)).expect("compress");
        let chunks = chunked_header_info(&packed).expect("container").chunks;
        let mut damaged = packed.clone();
        for number in [1, 2, 6] {
            let entry = &chunks[number];
            let (frame, frame_len) = (entry.frame_offset as usize, entry.chunk.frame_bytes as usize);
            spoil(&mut damaged, &Place { frame, frame_len: frame_len.max(600), raw: 0, raw_len: 0 });
            damaged[frame..frame + 8].fill(0xee);
        }
        let lost = vec![
            CHUNK as u64..2 * CHUNK as u64,
            2 * CHUNK as u64..3 * CHUNK as u64,
            6 * CHUNK as u64..data.len() as u64,
        ];
        match host.safe_decompress(&damaged, OnDamage::Error) {
            Restored::Failed(Error::Container { problem, .. }) => {
                assert!(problem.contains("lost"), "{problem}");
            }
            other => panic!("{algorithm}: {other:?}"),
        }
        let mut filled = data.clone();
        filled[CHUNK..3 * CHUNK].fill(0);
        filled[6 * CHUNK..].fill(0);
        let left = [&data[..CHUNK], &data[3 * CHUNK..6 * CHUNK]].concat();
        for (on_damage, expected) in [(OnDamage::Skip, left), (OnDamage::Zero, filled)] {
            match host.safe_decompress(&damaged, on_damage) {
                Restored::Partial { data: back, lost: told, what } => {
                    assert_eq!(told, lost, "{algorithm}: {what:?}");
                    assert!(back == expected, "{algorithm}, {on_damage:?}");
                }
                other => panic!("{algorithm}: {other:?}"),
            }
        }
    }
    assert!(matches!(host.safe_decompress(b"", OnDamage::Skip), Restored::Failed(_)));
    assert!(matches!(host.safe_decompress(&noise(5000, 1), OnDamage::Skip), Restored::Failed(_)));
}

#[test]
fn a_place_that_cannot_be_is_not_filled_up_to() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(6 * CHUNK + 100);
    let (mut packed, _) =
        host.safe_compress_with(&data, &Request::new("zstd"), &options(0)).expect("compress");
    let info = chunked_header_info(&packed).expect("container");
    // Nothing tells any more what the file is, and the last chunk says that it belongs a GiB behind the others.
    let (of_chunks, others): (Vec<_>, Vec<_>) =
        records(&packed).into_iter().partition(|at| is_of_chunk(&packed, *at));
    for at in others {
        let end = payload(&packed, at).end;
        packed[at..end].fill(0xee);
    }
    let last = *of_chunks.last().expect("chunks");
    let start = payload(&packed, last).start;
    assert_eq!(packed[start..start + 8], 6_u64.to_le_bytes());
    packed[start + 8..start + 16].copy_from_slice(&(1_u64 << 30).to_le_bytes());
    seal(&mut packed, last);
    assert_eq!(info.chunks.len(), 7);
    match host.safe_decompress(&packed, OnDamage::Zero) {
        Restored::Partial { data: back, lost, what } => {
            assert!(back[..] == data, "{} bytes: {what:?}", back.len());
            assert_eq!(lost[0], 6 * CHUNK as u64..1 << 30);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_come_and_go_and_metadata_stays() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(5 * CHUNK);
    let input = s.file("input", &data);
    let metadata = noise(60_000, 4);
    for (algorithm, extension, wrap) in CARRIERS.into_iter().filter(|(_, e, _)| is_container(e)) {
        let container = if wrap == "cmc" { Container::Native } else { Container::Standard };
        let options = CompressOptions { metadata: metadata.clone(), container, ..options(10) };
        let (file, back) = (s.path(&format!("{algorithm}.{extension}")), s.path("back"));
        let request = Request::new(algorithm);
        let summary =
            host.compress_file(&input, &file, false, &request, &options, &|_| ()).expect("compress");
        assert_eq!((summary.input_bytes, summary.chunks), (data.len() as u64, 5), "{algorithm}");
        assert_eq!(summary.output_bytes, fs::metadata(&file).expect("file").len(), "{algorithm}");
        let info = chunked_file_info(&file).expect("container");
        assert!(info.file.metadata == metadata, "{algorithm}: metadata");
        let read = DecompressOptions::default();
        host.decompress_file(&file, &back, true, &read, &|_| ()).expect("decompress");
        assert!(fs::read(&back).expect("output") == data, "{algorithm}");
        let again = host.decompress_file(&file, &back, false, &read, &|_| ()).expect_err("it exists");
        assert!(matches!(again, Error::Exists(_)), "{again}");
        // Repaired, the metadata is there too.
        let mut bytes = fs::read(&file).expect("container");
        let at = bytes.len() / 2;
        bytes[at..at + 100].fill(0);
        let damaged = s.file(&format!("damaged.{extension}"), &bytes);
        clipsmaster_host::health::repair(&host, &damaged, &back, true, &|_| ()).expect("repair");
        assert!(chunked_file_info(&back).expect("container").file.metadata == metadata, "{algorithm}");
    }
    let much = CompressOptions { metadata: vec![0; 60_001], ..options(0) };
    let refused = host.safe_compress_with(&data, &Request::new("zstd"), &much).expect_err("too much");
    assert!(refused.to_string().contains("60,000"), "{refused}");
    // A name promises its format here, too.
    let xz = s.path("input.xz");
    host.compress_file(&input, &xz, false, &Request::new("xz"), &CompressOptions::default(), &|_| ())
        .expect("compress");
    assert!(fs::read(&xz).expect("output").starts_with(b"\xfd7zXZ\0"), "an .xz file is an .xz file");
}

#[test]
fn writers_and_readers_are_streams() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(4 * CHUNK + 77);
    for algorithm in ALGORITHMS {
        for len in [0, 1, CHUNK, 2 * CHUNK, data.len()] {
            let compressor = host.compressor(&Request::new(algorithm)).expect("a compressor");
            let options = options(5);
            let mut writer = ChunkedWriter::new(Vec::new(), &compressor, &options).expect("a writer");
            // In pieces that fit nothing.
            for piece in data[..len].chunks(1013) {
                writer.write_all(piece).expect("write");
            }
            let packed = writer.finish().expect("finish");
            let (once, _) =
                host.safe_compress_with(&data[..len], &Request::new(algorithm), &options).expect("compress");
            // A lone short chunk announces its own size where that is known.
            if len >= CHUNK {
                assert!(packed == once, "{algorithm}, {len}: as in one call");
            }
            assert!(host.decompress_chunked(&packed).expect("sound") == data[..len], "{algorithm}, {len}");
            let read = DecompressOptions::default();
            let mut reader = ChunkedReader::new(&host, Cursor::new(packed), &read).expect("a reader");
            let mut back = Vec::new();
            let mut piece = [0; 777];
            loop {
                let n = reader.read(&mut piece).expect("read");
                if n == 0 {
                    break;
                }
                back.extend_from_slice(&piece[..n]);
            }
            assert!(back == data[..len], "{algorithm}, {len}");
        }
    }
    // Dropped without an end, it reads as cut.
    let compressor = host.compressor(&Request::new("zstd")).expect("a compressor");
    let options = options(0);
    let mut kept = Vec::new();
    let mut writer = ChunkedWriter::new(&mut kept, &compressor, &options).expect("a writer");
    writer.write_all(&data).expect("write");
    drop(writer);
    host.decompress_chunked(&kept).expect_err("no end");
}

/// Takes some bytes, then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(data.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_failed_has_no_end() {
    let s = scratch();
    let host = host(&s);
    let compressor = host.compressor(&Request::new("store")).expect("a compressor");
    let options = options(0);
    let mut writer = ChunkedWriter::new(Full(2 * CHUNK), &compressor, &options).expect("a writer");
    let data = noise(8 * CHUNK, 2);
    writer.write_all(&data).expect_err("full");
    writer.write_all(&data[..10]).expect_err("still");
    assert!(writer.finish().is_err(), "a container with a hole is not finished");
}

#[test]
fn any_place_can_be_read() {
    let s = scratch();
    let host = host(&s);
    let data = mixed(9 * CHUNK + 501);
    let len = data.len() as u64;
    for (algorithm, extension, wrap) in CARRIERS.into_iter().filter(|(_, e, _)| is_container(e)) {
        let options = ["-a", algorithm, "--container", wrap, "--chunk-size", "16KB", "--parity", "10"];
        let mut bytes = packed(&s, &data, &options);
        let name = format!("data.{extension}");
        let place = places(&s, &s.file(&name, &bytes))[4];
        // Damage that parity mends is not noticed by who reads.
        bytes[place.frame + 20..place.frame + 60].fill(0x11);
        let file = s.file(&name, &bytes);
        let mut reader = SeekableReader::open(&host, &file).expect("a reader");
        assert_eq!((reader.len(), reader.is_empty()), (len, false));
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |most: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % most
        };
        let mut position = 0_u64;
        for turn in 0..120 {
            let target = random(len + 2000);
            let to = match random(3) {
                0 => SeekFrom::Start(target),
                1 => SeekFrom::End(target as i64 - len as i64),
                _ => SeekFrom::Current(target as i64 - position as i64),
            };
            assert_eq!(reader.seek(to).expect("seek"), target, "{algorithm}, turn {turn}");
            // Over two borders of chunks now and then.
            let mut piece = vec![0; random(CHUNK as u64 * 5 / 2) as usize];
            let mut read = 0;
            while read < piece.len() {
                match reader.read(&mut piece[read..]).expect("read") {
                    0 => break,
                    n => read += n,
                }
            }
            let start = target.min(len) as usize;
            let end = (start + piece.len()).min(data.len());
            assert!(piece[..read] == data[start..end], "{algorithm}, turn {turn}: {to:?}");
            position = target + read as u64;
        }
        assert!(reader.seek(SeekFrom::Current(-(position as i64) - 1)).is_err(), "before the start");
    }
    assert!(SeekableReader::open(&host, &s.file("text", b"no container")).is_err());
}
