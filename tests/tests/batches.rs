//! Codecs that want several chunks in one call: they get them, and what a call does not do is done one by one.

mod support;

use clipsmaster_host::{
    Host, Request, Restored,
    pipeline::{self, CompressOptions, DecompressOptions, Input, OnDamage, Output},
};
use clipsmaster_plugin_api::{BatchItem, Codec, Descriptor, Error, ErrorKind, Options, Result};
use lz4_flex::block;
use std::{
    fs::File,
    io::{Cursor, Write},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use support::{Scratch, text};

const HEADER_BYTES: usize = 8;
const CHUNK_BYTES: usize = 10_000;
/// Which call fails where calls do.
const FAILS: usize = 7;

/// A frame: both lengths, and an LZ4 block. Every call of several chunks is counted, and every `EVERY`th of each direction is a lost device.
struct Flip<const EVERY: usize>;

/// Calls of several chunks and chunks in them, compressing and decompressing, for each `EVERY`.
static CALLS: [[AtomicUsize; 4]; FAILS + 1] = [const { [const { AtomicUsize::new(0) }; 4] }; FAILS + 1];

impl<const EVERY: usize> Flip<EVERY> {
    fn count(&self, direction: usize, items: &[BatchItem<'_>]) -> Result<()> {
        CALLS[EVERY][direction + 1].fetch_add(items.len(), Relaxed);
        let calls = CALLS[EVERY][direction].fetch_add(1, Relaxed);
        if EVERY > 0 && calls % EVERY == EVERY - 1 {
            return Err(Error::new(ErrorKind::DeviceLost, "gone for now"));
        }
        Ok(())
    }
}

impl<const EVERY: usize> Codec for Flip<EVERY> {
    const DESCRIPTOR: Descriptor = match EVERY {
        0 => Descriptor::new("flip", "steady"),
        _ => Descriptor::new("flip", "loses-calls"),
    };
    const BATCH: usize = 8;

    fn open(_level: i32, _options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        block::get_maximum_output_size(len) + HEADER_BYTES
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let (header, body) = dst.split_at_mut_checked(HEADER_BYTES).ok_or(ErrorKind::DestinationTooSmall)?;
        let len = block::compress_into(src, body).map_err(|_| ErrorKind::DestinationTooSmall)?;
        header[..4].copy_from_slice(&(src.len() as u32).to_le_bytes());
        header[4..].copy_from_slice(&(len as u32).to_le_bytes());
        Ok(HEADER_BYTES + len)
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while !src.is_empty() {
            let (header, rest) = src.split_first_chunk::<HEADER_BYTES>().ok_or(ErrorKind::Truncated)?;
            let [raw, packed] =
                [0, 4].map(|at| u32::from_le_bytes([0, 1, 2, 3].map(|n| header[at + n])) as usize);
            let (body, rest) = rest.split_at_checked(packed).ok_or(ErrorKind::Truncated)?;
            let dst = dst.get_mut(filled..filled + raw).ok_or(ErrorKind::DestinationTooSmall)?;
            let len = block::decompress_into(body, dst).map_err(|e| Error::corrupt(e.to_string()))?;
            if len != raw {
                return Err(ErrorKind::Corrupt.into());
            }
            filled += raw;
            src = rest;
        }
        Ok(filled)
    }

    fn compress_batch(&mut self, items: &mut [BatchItem<'_>]) -> Result<()> {
        self.count(0, items)?;
        items.iter_mut().for_each(|item| item.result = self.compress(item.src, item.dst));
        Ok(())
    }

    fn decompress_batch(&mut self, items: &mut [BatchItem<'_>]) -> Result<()> {
        self.count(2, items)?;
        items.iter_mut().for_each(|item| item.result = self.decompress(item.src, item.dst));
        Ok(())
    }
}

/// Compresses 25 chunks, reads them back in every way, and answers the container.
fn there_and_back(host: &Host, scratch: &Scratch) -> Vec<u8> {
    let data = text(25 * CHUNK_BYTES - 1234);
    let compressor = host.compressor(&Request::new("flip")).expect("a compressor");
    let options = CompressOptions { chunk_bytes: Some(CHUNK_BYTES), threads: Some(2), ..Default::default() };
    let mut packed = Vec::new();
    let summary =
        pipeline::compress(&compressor, &data[..], &mut packed, &options, &|_| {}).expect("compress");
    assert_eq!((summary.chunks, summary.input_bytes), (25, data.len() as u64));
    assert_eq!(summary.warnings, Vec::<String>::new());

    let piped = Input::Stream(Box::new(Cursor::new(packed.clone())));
    let path = scratch.path("packed.cmc");
    File::create(&path).and_then(|mut file| file.write_all(&packed)).expect("a file");
    let filed = Input::File(File::open(&path).expect("a file"));
    for input in [piped, filed] {
        let mut back = Vec::new();
        let options = DecompressOptions { threads: Some(2), ..Default::default() };
        pipeline::decompress(host, input, Output::Stream(&mut back), &options, &|_| {}).expect("decompress");
        assert!(back == data, "other bytes came back");
    }
    let out = scratch.path("out");
    host.decompress_file(&path, &out, false, &DecompressOptions::default(), &|_| {}).expect("decompress");
    assert!(std::fs::read(out).expect("a file") == data, "other bytes came back");
    packed
}

fn calls(fails: usize) -> [usize; 4] {
    std::array::from_fn(|n| CALLS[fails][n].load(Relaxed))
}

#[test]
fn several_chunks_go_into_one_call_and_damage_stays_in_its_chunk() {
    let scratch = Scratch::new();
    let host = Host::open(scratch.config()).expect("a host");
    host.register::<Flip<0>>("flip", "1.0.0").expect("a good codec");
    let proven = calls(0);
    let mut packed = there_and_back(&host, &scratch);
    let [compressed, chunks, decompressed, frames] = calls(0);
    // 25 chunks in calls of up to 8, the last one alone, once compressed and three times decompressed.
    assert_eq!([compressed - proven[0], chunks - proven[1]], [3, 24]);
    assert_eq!([decompressed - proven[2], frames - proven[3]], [9, 72]);

    let lost = 12 * CHUNK_BYTES..13 * CHUNK_BYTES;
    let mut frame = vec![0; 2 * CHUNK_BYTES];
    let len = Flip::<0>.compress(&text(lost.end)[lost.clone()], &mut frame).expect("room");
    let at = packed.windows(len).position(|w| w == &frame[..len]).expect("chunk 12 stands there");
    packed[at + 100..at + 400].fill(7);
    let Restored::Partial { data, lost: told, .. } = host.safe_decompress(&packed, OnDamage::Skip) else {
        panic!("chunk 12 is lost");
    };
    assert_eq!(told, [lost.start as u64..lost.end as u64]);
    assert_eq!(data.len(), 25 * CHUNK_BYTES - 1234 - CHUNK_BYTES);
}

#[test]
fn a_call_that_fails_is_made_up_for_chunk_by_chunk() {
    let scratch = Scratch::new();
    let host = Host::open(scratch.config()).expect("a host");
    // Conformance makes fewer calls of several chunks than that.
    host.register::<Flip<FAILS>>("flip", "1.0.0").expect("a good codec");
    let proven = calls(FAILS);
    for _ in 0..10 {
        there_and_back(&host, &Scratch::new());
    }
    let failed = |n: usize| calls(FAILS)[n] / FAILS - proven[n] / FAILS;
    assert!(failed(0) > 0 && failed(2) > 0, "{:?}", calls(FAILS));
}
