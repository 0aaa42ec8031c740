//! Filters before the codec: what they save, that everything that reads containers undoes them, and what is refused.

use crate::*;
use clipsmaster_host::{
    Filter, Host, Request, SeekableReader, chunked_header_info,
    pipeline::{CompressOptions, Filtering},
};
use std::io::{Read, Seek, SeekFrom};

const FILTERS: [(&str, u64); 3] = [("shuffle2", 2), ("shuffle4", 4), ("shuffle8", 8)];

/// Numbers of 4 bytes, every other byte noise: no codec sees much in them until they are shuffled.
fn floats(count: usize) -> Vec<u8> {
    noise(2 * count, 5).chunks_exact(2).flat_map(|pair| [pair[0], 0x40, pair[1], 0x3f]).collect()
}

fn filters(scratch: &Scratch, file: &Path) -> Vec<u64> {
    let info = scratch.json(&["info", path_str(file)]);
    let chunks = info["chunks"].as_array().expect("chunks");
    chunks.iter().map(|c| c["filter"].as_u64().expect("a number")).collect()
}

#[test]
fn every_way_of_reading_undoes_every_filter() {
    let s = scratch();
    // Not a multiple of any element.
    let data = [&floats(40_000)[..], b"abc"].concat();
    let algorithms = ["zstd", "lz4", "gzip", "snappy", "bzip2", "lzma"];
    for (algorithm, (filter, code)) in algorithms.into_iter().zip(FILTERS.into_iter().cycle()) {
        let what = format!("{algorithm} with {filter}");
        let options = ["-a", algorithm, "--filter", filter, "--chunk-size", "50001", "--verify", "-T", "1"];
        let whole = packed(&s, &data, &options);
        let file = s.file("data.cmc", &whole);
        assert!(whole.len() < data.len(), "{what}");
        assert!(filters(&s, &file).iter().all(|f| *f == code), "{what}: {:?}", filters(&s, &file));
        assert!(unpacked(&s, &file) == data, "{what}, file");
        assert!(through(&s, &["decompress"], &whole) == data, "{what}, pipe");
        let part = through(&s, &["decompress", "-c", "--range", "49000..111000", path_str(&file)], b"");
        assert!(part == data[49_000..111_000], "{what}, range");
        assert_eq!(s.json(&["verify", "--deep", path_str(&file)])[0]["condition"], "intact", "{what}");
        // One byte is mended, in place and for good.
        let mut damaged = whole.clone();
        damaged[places(&s, &file)[2].frame + 100] ^= 4;
        let light = s.file("light.cmc", &damaged);
        assert!(unpacked(&s, &light) == data, "{what}, mended");
        let fixed = s.path("fixed.cmc");
        s.run(&["repair", "-f", path_str(&light), "-o", path_str(&fixed)]);
        assert!(fs::read(&fixed).expect("repaired") == whole, "{what}, repaired");
        let out = s.path("out.zst");
        s.run(&["export", "-f", path_str(&light), "-o", path_str(&out)]);
        assert!(unpacked(&s, &out) == data, "{what}, exported");
    }
}

#[test]
fn salvage_gets_all_but_what_is_lost() {
    let s = scratch();
    let data = floats(100_000);
    let options = ["--filter", "shuffle4", "--chunk-size", "64KB"];
    let file = s.file("data.cmc", &packed(&s, &data, &options));
    let place = places(&s, &file)[1];
    let mut bytes = fs::read(&file).expect("container");
    spoil(&mut bytes, &place);
    let heavy = s.file("heavy.cmc", &bytes);
    let out = s.path("rest");
    let told = s.output(&["salvage", path_str(&heavy), "-o", path_str(&out)]);
    assert_eq!(told.status.code(), Some(4), "{}", stderr(&told));
    let left = [&data[..place.raw], &data[place.raw + place.raw_len..]].concat();
    assert!(fs::read(&out).expect("rest") == left);
    let file = s.file("parity.cmc", &packed(&s, &data, &[&options[..], &["--parity", "20"]].concat()));
    let mut bytes = fs::read(&file).expect("container");
    spoil(&mut bytes, &places(&s, &file)[1]);
    assert!(unpacked(&s, &s.file("heavy.cmc", &bytes)) == data, "rebuilt from parity");
}

#[test]
fn auto_filters_what_gains_by_it_and_nothing_else() {
    let s = scratch();
    let options = ["-a", "zstd", "--filter", "auto", "--chunk-size", "64KB"];
    let data = [floats(3 << 14), text(3 << 16), noise(3 << 16, 9)].concat();
    let file = s.file("mixed.cmc", &packed(&s, &data, &options));
    let chosen = filters(&s, &file);
    assert_eq!(chosen.len(), 9);
    assert!(chosen[..3].iter().all(|f| *f > 0) && chosen[3..].iter().all(|f| *f == 0), "{chosen:?}");
    let told = s.run(&["info", path_str(&file)]);
    assert!(told.contains("zstd + shuffle"), "{told}");
    assert!(unpacked(&s, &file) == data);
}

#[test]
fn small_inputs_are_filtered_too() {
    let s = scratch();
    for data in [&b""[..], b"x", b"1234567", &floats(9)] {
        for filter in ["none", "auto", "shuffle2", "shuffle4", "shuffle8"] {
            let options = ["--filter", filter, "--container", "cmc"];
            let file = s.file("small.cmc", &packed(&s, data, &options));
            assert!(unpacked(&s, &file) == data, "{} bytes with {filter}", data.len());
        }
    }
}

#[test]
fn a_name_that_promises_another_format_is_refused() {
    let s = scratch();
    let input = s.file("weights.f32", &floats(5000));
    let dir = s.dir("out");
    let refuse = |arguments: &[&str]| {
        let all = [&["compress", path_str(&input)], arguments].concat();
        let told = s.ends(2, &all);
        assert_eq!(names(&dir), [""; 0], "{told}");
        told
    };
    for name in ["x.zst", "x.xz", "x.gz"] {
        let to = dir.join(name);
        assert!(refuse(&["--filter", "shuffle4", "-o", path_str(&to)]).contains("end it in .cmc"));
    }
    assert!(refuse(&["--filter", "shuffle4", "--container", "plain"]).contains("--filter needs"));
    assert!(refuse(&["--filter", "shuffle3"]).contains("shuffle8, and auto"));
    s.run(&["compress", "--filter", "shuffle4", path_str(&input)]);
    let file = s.path("weights.f32.cmc");
    assert!(unpacked(&s, &file) == fs::read(&input).expect("input"));
}

#[test]
fn the_library_filters_and_seeks() {
    let s = scratch();
    let host = Host::open(s.config()).expect("a host");
    let data = floats(80_000);
    for filter in [Filtering::Auto, Filtering::Always(Filter::Shuffle4)] {
        let options = CompressOptions { filter, chunk_bytes: Some(50_000), ..CompressOptions::default() };
        let (bytes, _) = host.safe_compress_with(&data, &Request::new("zstd"), &options).expect("compressed");
        assert!(chunked_header_info(&bytes).expect("sound").chunks.iter().all(|c| c.chunk.filter > 0));
        assert_eq!(host.decompress_chunked(&bytes).expect("decompressed"), data);
        let file = s.file("data.cmc", &bytes);
        let mut reader = SeekableReader::open(&host, &file).expect("a reader");
        let mut part = vec![0; 60_000];
        reader.seek(SeekFrom::Start(77_777)).expect("within");
        reader.read_exact(&mut part).expect("read");
        assert!(part == data[77_777..137_777]);
    }
}

/// As a later version might write it: the chunk's filter is one that nobody knows, and all sums are right.
fn from_the_future(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = records(&bytes).into_iter().find(|at| is_of_chunk(&bytes, *at)).expect("a chunk's record");
    bytes[at + HEADER_BYTES + 54] = 77;
    seal(&mut bytes, at);
    bytes
}

#[test]
fn an_unknown_filter_needs_a_later_version() {
    let s = scratch();
    let data = floats(5000);
    let whole = from_the_future(packed(&s, &data, &["--filter", "shuffle4"]));
    let file = s.file("future.cmc", &whole);
    let out = s.path("out");
    for arguments in [
        &["decompress", path_str(&file), "-o", path_str(&out)][..],
        &["decompress", path_str(&file), "-o", path_str(&out), "--on-damage", "skip"],
        &["verify", "--deep", path_str(&file)],
        &["salvage", path_str(&file), "-o", path_str(&out)],
        &["export", path_str(&file), "-o", path_str(&out)],
    ] {
        let output = s.output(arguments);
        let told = stderr(&output);
        assert!(
            !output.status.success() && told.contains("filter 77 of chunk 0 needs a later version"),
            "{arguments:?}: {told}"
        );
        assert!(!out.exists(), "{arguments:?}");
    }
    let piped = pipe(s.command(&["decompress"]), &whole);
    assert!(!piped.status.success() && piped.stdout.is_empty());
    assert!(stderr(&piped).contains("needs a later version"), "{}", stderr(&piped));
}
