//! Close calls are settled on the data itself. Alone in its process: codecs of the application's own are measured by the processor time of all of it.

mod support;

use clipsmaster_host::{Direction, Host, Request};
use clipsmaster_plugin_api::{Codec, Descriptor, ErrorKind, Options, Result};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};
use support::{Scratch, framed, text};

const FIRST: &str = "slow/cpu/first";
const SECOND: &str = "slow/cpu/second";

/// Data that begins with this is hard for one codec; the benchmark has none of it.
const HARD: u8 = 0xd7;

/// How often each of [`Slow`] has decoded.
static DECODED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Which of them fails.
static FAILS: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

/// A frame is the length and the bytes, which take a while: longer where they are hard for it. The second has a level that takes longer, but
/// for what is hard.
struct Slow<const IS_SECOND: bool> {
    level: i32,
}

/// Copies, and works for some time by `times` and byte: on nothing in memory, where chance makes a difference.
fn copy(from: &[u8], to: &mut [u8], times: usize) {
    to.copy_from_slice(from);
    for n in 0..from.len() / 1024 * times {
        std::hint::black_box(n);
    }
}

fn is_hard(data: &[u8]) -> bool {
    data.len() >= 64 && data[..64].iter().all(|b| *b == HARD)
}

impl<const IS_SECOND: bool> Codec for Slow<IS_SECOND> {
    const DESCRIPTOR: Descriptor = Descriptor::new("slow", if IS_SECOND { "second" } else { "first" })
        .levels(1, if IS_SECOND { 2 } else { 1 }, 1);

    fn open(level: i32, _options: &Options) -> Result<Self> {
        Ok(Self { level })
    }

    fn compress_bound(&self, len: usize) -> usize {
        framed::bound(len)
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let times = match (IS_SECOND, self.level, is_hard(src)) {
            (false, _, false) => 60,
            (false, _, true) => 300,
            (true, 1, false) => 72,
            (true, 1, true) => 150,
            (true, _, false) => 74,
            (true, _, true) => 72,
        };
        framed::write(src, dst, |src, body| copy(src, body, times))
    }

    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        DECODED[usize::from(IS_SECOND)].fetch_add(1, Ordering::Relaxed);
        if FAILS[usize::from(IS_SECOND)].load(Ordering::Relaxed) {
            return Err(ErrorKind::Internal.into());
        }
        framed::read(src, dst, |body, dst| {
            let times = match (IS_SECOND, is_hard(body)) {
                (false, false) => 80,
                (false, true) => 300,
                (true, _) => 100,
            };
            copy(body, dst, times);
        })
    }
}

/// A host that measured them as close as they are: they are measured one after the other, and the machine may have been disturbed.
fn measured(scratch: &Scratch, requests: &[Request]) -> Host {
    for _ in 0..40 {
        let host = Host::open(scratch.config()).expect("a host");
        host.register::<Slow<false>>("first", "1.2.3").expect("a good codec");
        host.register::<Slow<true>>("second", "1.2.3").expect("a good codec");
        host.rank_measured(&Request::new("slow"), &|_| {}).expect("measure");
        let is_close = |request: &Request| {
            let ranked = host.rank(request).expect("a ranking").ranked;
            let [first, second] = &ranked[..] else { return false };
            let (Some(least), Some(more)) = (first.predicted_s, second.predicted_s) else { return false };
            let all = second.level_s.iter().chain([&more]);
            first.implementation == FIRST && all.clone().all(|s| (1.06 * least..1.38 * least).contains(s))
        };
        if requests.iter().all(is_close) {
            return host;
        }
    }
    panic!("the machine is too busy to measure anything");
}

#[test]
fn close_calls_are_settled_on_the_data_itself() {
    // So much that trials on one processor take little of the time that all of them take.
    let bytes = (24 << 20) * thread::available_parallelism().map_or(2, usize::from).max(2);
    let (easy, hard) = (text(bytes), vec![HARD; bytes]);
    let of = |data: &[u8]| Request::new("slow").like(data);
    let decoding = Request { direction: Direction::Decompress, ..Request::new("slow") };
    let host = measured(&Scratch::new(), &[of(&easy), of(&hard), of(&hard[..1 << 20]), decoding.clone()]);
    let chosen = |data: &[u8]| {
        let compressor = host.compressor(&of(data)).expect("a compressor");
        (compressor.implementation().to_owned(), compressor.level())
    };
    assert_eq!(chosen(&easy), (FIRST.to_owned(), 1));
    assert_eq!(chosen(&hard), (SECOND.to_owned(), 2));
    // Too little for a trial to be worth its time.
    assert_eq!(chosen(&hard[..1 << 20]), (FIRST.to_owned(), 1));
    let named = Request { implementation: Some(FIRST.to_owned()), ..of(&hard) };
    assert_eq!(host.compressor(&named).expect("a compressor").implementation(), FIRST);

    // Decoders take turns, until one leads.
    for (data, faster) in [(&easy[..64 << 10], 0), (&hard[..64 << 10], 1)] {
        let (frame, metadata) = host.compress_data(data, "slow").expect("compress");
        let decompressor = host.decompressor(&decoding).expect("a decompressor");
        let decode = |times: usize| {
            let before = DECODED.each_ref().map(|n| n.load(Ordering::Relaxed));
            for _ in 0..times {
                assert_eq!(decompressor.decompress(&frame, Some(&metadata)).expect("decompress"), data);
            }
            [0, 1].map(|n| DECODED[n].load(Ordering::Relaxed) - before[n])
        };
        assert_eq!(decode(4), [2, 2]);
        decode(40);
        assert_eq!(decode(3)[faster], 3);
        // Who leads and fails gives way to the other.
        FAILS[faster].store(true, Ordering::Relaxed);
        assert_eq!(decompressor.decompress(&frame, Some(&metadata)).expect("the other"), data);
        let names = if faster == 0 { [FIRST, SECOND] } else { [SECOND, FIRST] };
        let told = decompressor.failures().concat();
        assert!(told.starts_with(names[0]) && told.ends_with(&format!("{} took over", names[1])), "{told}");
        FAILS[faster].store(false, Ordering::Relaxed);
    }
}
