//! Codecs that the application itself brings: proven like plugins, used by the name of their algorithm.

mod support;

use clipsmaster_host::{
    DataSample, Error, Host, MEMCPY, Objective, Request, StudyData, StudyPlan, Wanted,
    pipeline::{self, CompressOptions},
};
use clipsmaster_plugin_api::{Codec, Descriptor, ErrorKind, OptionSpec, Options, Result};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use support::{Scratch, framed, text};

/// A frame: the length, and every byte changed by `KEY`.
struct Xor<const KEY: u8>;

impl<const KEY: u8> Codec for Xor<KEY> {
    const DESCRIPTOR: Descriptor = Descriptor::new("xor", "own");

    fn open(_level: i32, _options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        framed::bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::write(src, dst, |src, body| body.iter_mut().zip(src).for_each(|(to, from)| *to = from ^ KEY))
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        framed::read(src, dst, |body, dst| dst.iter_mut().zip(body).for_each(|(to, from)| *to = from ^ 0x5a))
    }
}

#[test]
fn a_good_codec_is_listed_and_used_by_the_name_of_its_algorithm() {
    let scratch = Scratch::new();
    scratch.plugins(&["store"]);
    let host = Host::open(scratch.config()).expect("a host");
    host.register::<Xor<0x5a>>("own-xor", "1.2.3").expect("a good codec");
    let check = || {
        let list = host.list();
        let line = list.iter().find(|l| l.implementation == "xor/cpu/own").expect("a line");
        assert!(line.verdict.is_ok(), "{:?}", line.verdict);
        assert_eq!((line.plugin.as_str(), line.version.as_str()), ("own-xor", "1.2.3"));
        assert!(line.path.as_os_str().is_empty());
        let data = text(50_000);
        let (frame, metadata) = host.compress_data(&data, "xor").expect("compress");
        assert_eq!(metadata.implementation, "xor/cpu/own");
        assert_eq!(host.decompress_data(&frame, Some(&metadata)).expect("decompress"), data);
        let decompressor = host.decompressor(&Request::new("xor")).expect("a decompressor");
        assert_eq!(decompressor.decompress(&frame, None).expect("decompress"), data);
    };
    check();
    host.refresh().expect("refresh");
    check();
    assert_eq!(host.algorithms(), ["store", "xor"]);
}

#[test]
fn a_bad_codec_is_refused_with_the_case_it_failed() {
    let scratch = Scratch::new();
    let host = Host::open(scratch.config()).expect("a host");
    // Its two directions use different keys.
    let refused = host.register::<Xor<0x5b>>("own-xor", "1.2.3").expect_err("wrong bytes");
    assert!(matches!(refused, Error::Usage(_)), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("returned wrong bytes: round trip of"), "{text}");
    assert!(host.list().is_empty());
    let unknown = host.compress_data(b"text", "xor").expect_err("not registered");
    assert!(matches!(unknown, Error::UnknownAlgorithm { .. }), "{unknown:?}");
}

/// Modes of a [`Turncoat`]: it gives other bytes back; it compresses only while another thread does, too.
const LIES: usize = 0;
const WAITS: usize = 1;
static IS_ARMED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
static COMPRESSING: AtomicUsize = AtomicUsize::new(0);

/// Keeps the contract, until it is armed.
struct Turncoat<const MODE: usize>(Xor<0x5a>);

impl<const MODE: usize> Turncoat<MODE> {
    fn is(mode: usize) -> bool {
        MODE == mode && IS_ARMED[mode].load(Ordering::Relaxed)
    }
}

impl<const MODE: usize> Codec for Turncoat<MODE> {
    const DESCRIPTOR: Descriptor = Descriptor::new("turncoat", "own");

    fn open(level: i32, options: &Options) -> Result<Self> {
        Xor::open(level, options).map(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        self.0.compress_bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        if Self::is(WAITS) {
            COMPRESSING.fetch_add(1, Ordering::Relaxed);
            let start = Instant::now();
            while COMPRESSING.load(Ordering::Relaxed) < 2 {
                if start.elapsed() > Duration::from_secs(20) {
                    return Err(ErrorKind::Internal.into());
                }
                thread::yield_now();
            }
        }
        self.0.compress(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let len = self.0.decompress(src, dst)?;
        if let Some(first) = dst[..len].first_mut().filter(|_| Self::is(LIES)) {
            *first ^= 1;
        }
        Ok(len)
    }
}

#[test]
fn what_gives_other_bytes_back_has_no_row_and_is_told() {
    let s = Scratch::new();
    s.plugins(&["store"]);
    let host = Host::open(s.config()).expect("a host");
    host.register::<Turncoat<LIES>>("turncoat", "1").expect("it is good still");
    IS_ARMED[LIES].store(true, Ordering::Relaxed);
    let plan = StudyPlan {
        algorithms: vec!["turncoat".into(), "store".into()],
        ..StudyPlan::quick(vec![StudyData::of("text", text(50_000))])
    };
    let study = host.study(&plan, &|_| {}).expect("a study");
    let names: Vec<&str> = study.rows.iter().map(|r| r.implementation.as_str()).collect();
    assert_eq!(names, [MEMCPY, "store/cpu/copy"]);
    let [why] = &study.skipped[..] else { panic!("{:?}", study.skipped) };
    assert!(why.starts_with("turncoat/cpu/own level 0: other bytes came back"), "{why}");
    let best = host.get_recommended_algorithm(&text(50_000), Objective::Ratio).expect("a recommendation");
    assert_eq!((best.algorithm.as_str(), best.implementation), ("store", None), "nothing else is installed");
}

/// Bytes that the last instance to be opened works on samples of; 0 where they are all there is.
static SAMPLES_OF: AtomicUsize = AtomicUsize::new(0);

/// Takes the option [`WHOLE_BYTES`].
struct Sampled(Xor<0x5a>);

impl Codec for Sampled {
    const DESCRIPTOR: Descriptor =
        Descriptor::new("sampled", "own").file("sampled", &[0; 4]).options(&[OptionSpec::whole_bytes()]);

    fn open(level: i32, options: &Options) -> Result<Self> {
        SAMPLES_OF.store(options.whole_bytes().unwrap_or_default() as usize, Ordering::Relaxed);
        Xor::open(level, options).map(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        self.0.compress_bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.0.compress(src, dst)
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.0.decompress(src, dst)
    }
}

#[test]
fn a_codec_on_trial_knows_what_it_sees_samples_of() {
    let s = Scratch::new();
    let host = Host::open(s.config()).expect("a host");
    host.register::<Sampled>("sampled", "1").expect("it is good");
    let wanted = Wanted {
        objective: Objective::Speed,
        algorithm: Some("sampled".into()),
        may_store: false,
        ..Wanted::default()
    };
    let data = text(600_000);
    host.choose_for(&DataSample::of(&data), &wanted).expect("a choice");
    assert_eq!(SAMPLES_OF.load(Ordering::Relaxed), data.len());
    host.compress_data(&data, "sampled").expect("compress");
    assert_eq!(SAMPLES_OF.load(Ordering::Relaxed), 0, "it is all there is");
}

#[test]
fn what_comes_from_a_pipe_is_compressed_by_several_threads() {
    let s = Scratch::new();
    s.plugins(&["store"]);
    let host = Host::open(s.config()).expect("a host");
    host.register::<Turncoat<WAITS>>("turncoat", "1").expect("it is good still");
    IS_ARMED[WAITS].store(true, Ordering::Relaxed);
    let compressor = host.compressor(&Request::new("turncoat")).expect("a compressor");
    let options =
        CompressOptions { threads: Some(2), chunk_bytes: Some(64 << 10), ..CompressOptions::default() };
    let (data, mut out) = (text(400_000), Vec::new());
    // Nobody knows how long a stream is.
    pipeline::compress(&compressor, &data[..], &mut out, &options, &|_| {}).expect("two threads at a time");
    assert!(COMPRESSING.load(Ordering::Relaxed) >= 7, "each chunk was waited for");
}
