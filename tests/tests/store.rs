//! The resource store: bytes come back as they went in, whatever became of them meanwhile, and never more is held than the budget allows.

mod support;

use clipsmaster_host::{
    Error, Host,
    policy::{Policies, PolicyFiles, PolicySet, Setting},
    store::{Blob, ResourceStore, StoreOptions},
};
use clipsmaster_plugin_api::{Codec, Descriptor, ErrorKind, Options, Result};
use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{Scratch, noise, text};

const MIB: usize = 1 << 20;

fn host(scratch: &Scratch) -> Arc<Host> {
    scratch.plugins(&["store", "zstd", "lz4_liblz4", "gzip"]);
    Arc::new(Host::open(scratch.config()).expect("a host"))
}

/// Nothing in the background, and no pressure but the store's own.
fn quiet(budget_bytes: usize) -> StoreOptions {
    StoreOptions {
        background: false,
        watch_system: false,
        policies: Some(Arc::new(Policies::fixed(PolicySet::builtin()))),
        ..StoreOptions::with_budget(budget_bytes as u64)
    }
}

/// Text that differs by its number.
fn numbered(len: usize, number: u64) -> Vec<u8> {
    let mut bytes = text(len);
    let mark = number.to_le_bytes();
    bytes.chunks_mut(4096).for_each(|page| page.iter_mut().zip(mark).for_each(|(b, m)| *b = m));
    bytes
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_goes_in_comes_out_in_every_form() {
    let scratch = Scratch::sharing_cache();
    let store = ResourceStore::open(host(&scratch), quiet(64 * MIB)).expect("a store");
    let ids: [&[u8]; 4] = [b"", b"text", b"\xff\x00\n", &[7; 5000]];
    let contents = [Vec::new(), text(3 * MIB + 17), noise(MIB, 1), vec![9; 40 * MIB]];
    for (id, bytes) in ids.iter().zip(&contents) {
        store.insert(id, "file_cache", bytes.clone()).expect("room");
    }
    let same = |form: &str| {
        for (id, bytes) in ids.iter().zip(&contents) {
            assert!(store.get(id).expect("its bytes").expect("is there")[..] == bytes[..], "{form}: {id:?}");
            let range = bytes.len() / 3..bytes.len() / 2;
            let part = store.with_range(id, range.clone(), |part| part == &bytes[range.clone()]);
            assert_eq!(part.expect("its bytes"), Some(true), "{form}: {id:?}");
        }
        assert!(store.get(b"nobody").expect("no error").is_none());
    };
    same("raw");
    let sum = store.compress_all(|_| true, 0);
    assert_eq!((sum.resources, sum.skipped), (3, 1), "all but the noise: {sum:?}");
    assert!(sum.held_bytes * 4 < 3 * MIB as u64, "{sum:?}");
    same("compressed");
    same("decompressed before");
    assert!(store.decompress(b"text").expect("room"));
    same("raw again");
    assert!(store.release(b"text") && !store.release(b"nobody"));
    let stats = store.stats();
    let of = &stats.types["file_cache"];
    assert_eq!((of.resources, of.skipped.values().sum::<u64>()), (4, 1), "the noise: {of:#?}");
    assert!(stats.held_bytes < 20 * MIB as u64, "the repeated byte costs nothing: {stats:#?}");
    assert!(matches!(store.with_range(b"text", 5..4 * MIB, |_| ()), Err(Error::Usage(_))));
    assert!(store.remove(b"text") && !store.remove(b"text"));
    assert!(store.get(b"text").expect("no error").is_none());
}

#[test]
fn a_full_store_compresses_in_line_and_refuses_what_does_not_fit() {
    let scratch = Scratch::sharing_cache();
    let store = ResourceStore::open(host(&scratch), quiet(16 * MIB)).expect("a store");
    // Three times its budget, which only fits compressed; below the threshold of its type.
    for number in 0..48_u64 {
        store
            .insert(&number.to_le_bytes(), "file_cache", numbered(MIB, number))
            .expect("compressed, it fits");
        assert!(store.held_bytes() <= 16 * MIB as u64);
    }
    for number in 0..48_u64 {
        let bytes = store.get(&number.to_le_bytes()).expect("its bytes").expect("is there");
        assert!(bytes[..] == numbered(MIB, number)[..], "{number}");
    }
    let before = store.stats();
    assert!(before.peak_bytes <= 16 * MIB as u64 && before.gain() > 2.5, "{before:#?}");
    let noisy = (0..).map(|n| (n, store.insert(&[1, n], "temp_buffers", noise(MIB, n.into()))));
    let refused = noisy.take(30).find_map(|(n, answer)| answer.err().map(|e| (n, e)));
    let (number, e) = refused.expect("noise does not fit for ever");
    assert!(matches!(e, Error::StoreFull { .. }), "{e}");
    let told = e.to_string();
    assert!(told.contains("cannot be compressed") && told.contains("raise the budget"), "{told}");
    assert!(store.get(&[1, number]).expect("no error").is_none());
    assert!(store.get(&[1, 0]).expect("no error").is_some(), "what was in stays in");
    // A type that must not be compressed stays as it is, and the error names that.
    let store = ResourceStore::open(host(&scratch), quiet(8 * MIB)).expect("a store");
    let kept = (0..20_u8).find_map(|n| store.insert(&[n], "default", text(MIB)).err());
    let told = kept.expect("raw, eight do not fit").to_string();
    assert!(told.contains("auto_compress: false"), "{told}");
    assert!(told.starts_with("no room for 0x") || told.starts_with("no room for \\"), "{told}");
    assert!(store.make_room(0) && !store.make_room(100 * MIB as u64));
}

#[test]
fn the_background_compresses_what_its_policy_says_and_marks_what_it_cannot() {
    let scratch = Scratch::sharing_cache();
    let options = StoreOptions {
        background: true,
        idle: Duration::from_millis(50),
        cpu_share: 1.0,
        ..quiet(256 * MIB)
    };
    let store = ResourceStore::open(host(&scratch), options).expect("a store");
    store.insert(b"large", "log_data", text(3 * MIB)).expect("room");
    store.insert(b"small", "log_data", text(MIB)).expect("room");
    store.insert(b"never", "model_weights", text(60 * MIB)).expect("room");
    store.insert(b"noise", "log_data", noise(3 * MIB, 5)).expect("room");
    wait_until("compressed", || store.stats().types["log_data"].compressed == 1);
    wait_until("marked", || !store.stats().types["log_data"].skipped.is_empty());
    let stats = store.stats();
    assert_eq!(stats.types["model_weights"].uncompressed, 1, "{stats:#?}");
    assert_eq!(stats.types["log_data"].uncompressed, 2, "the small one and the noise: {stats:#?}");
    assert!(stats.types["log_data"].implementations.keys().all(|id| id.starts_with("gzip/")), "{stats:#?}");
    let compressions = stats.types["log_data"].compressions;
    thread::sleep(Duration::from_millis(400));
    assert_eq!(store.stats().types["log_data"].compressions, compressions, "nothing is tried again");
    // Changed, it is new.
    store.insert(b"noise", "log_data", text(3 * MIB)).expect("room");
    wait_until("compressed", || store.stats().types["log_data"].compressed == 2);
    drop(store);
}

#[test]
fn what_is_not_wanted_goes_to_files_and_damage_there_is_mended_or_named() {
    let scratch = Scratch::sharing_cache();
    let policies = PolicySet::builtin().with("temp_buffers", vec![Setting::Parity(10)]).expect("a type");
    let options = StoreOptions {
        spill_dir: Some(scratch.path("spill")),
        policies: Some(Arc::new(Policies::fixed(policies))),
        ..quiet(16 * MIB)
    };
    let store = ResourceStore::open(host(&scratch), options).expect("a store");
    for number in 0..40_u8 {
        let kind = if number % 2 == 0 { "temp_buffers" } else { "subtitle" };
        store.insert(&[number], kind, noise(MIB, number.into())).expect("the rest goes to files");
        assert!(store.held_bytes() <= 16 * MIB as u64);
    }
    let large = noise(20 * MIB, 99);
    store.insert(b"larger than the budget", "subtitle", large.clone()).expect("to a file at once");
    assert!(store.get(b"larger than the budget").expect("its bytes").expect("is there")[..] == large[..]);
    let stats = store.stats();
    assert!(stats.spilled_bytes >= 36 * MIB as u64 && stats.peak_bytes <= 16 * MIB as u64, "{stats:#?}");
    let spilled = |kind: &str| {
        let all = store.resources();
        all.into_iter().filter(|r| r.is_spilled && r.resource_type == kind).map(|r| r.id).collect::<Vec<_>>()
    };
    let (mendable, lost) = (spilled("temp_buffers"), spilled("subtitle"));
    assert!(mendable.len() > 2 && lost.len() > 2, "{mendable:?} {lost:?}");
    for file in files(&scratch.path("spill")) {
        let mut bytes = fs::read(&file).expect("a spill file");
        if bytes.len() > 1000 {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 200].fill(0x55);
            fs::write(&file, bytes).expect("a spill file");
        }
    }
    for id in &mendable {
        let bytes = store.get(id).expect("mended").expect("is there");
        assert!(bytes[..] == noise(MIB, id[0].into())[..]);
    }
    assert!(store.stats().types["temp_buffers"].repairs >= mendable.len() as u64);
    for id in lost.iter().filter(|id| id.len() == 1) {
        let e = store.get(id).expect_err("damaged");
        assert!(e.to_string().starts_with("resource "), "{e}");
        assert!(store.remove(id));
    }
    drop(store);
    assert_eq!(
        fs::read_dir(scratch.path("spill")).expect("the folder").count(),
        0,
        "files go with the store"
    );
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let inside = fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").path());
    inside.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

#[test]
fn codecs_and_buffers_that_nobody_needs_make_room() {
    let scratch = Scratch::sharing_cache();
    let options = StoreOptions { spill_dir: Some(scratch.path("spill")), ..quiet(16 * MIB) };
    let store = ResourceStore::open(host(&scratch), options).expect("a store");
    // Of all lengths, and of types with codecs of their own.
    for number in 0..120_u64 {
        let kind = ["file_cache", "subtitle", "log_data", "attention_cache"][number as usize % 4];
        let bytes = noise(200_000 + number as usize * 7_001, number);
        store.insert(&number.to_le_bytes(), kind, bytes).expect("the rest goes to files");
        assert!(store.held_bytes() <= 16 * MIB as u64);
    }
    for number in 0..120_u64 {
        let bytes = store.get(&number.to_le_bytes()).expect("its bytes").expect("is there");
        assert!(bytes[..] == noise(200_000 + number as usize * 7_001, number)[..], "{number}");
    }
    drop(store);
    let store = ResourceStore::open(host(&scratch), quiet(16 * MIB)).expect("a store");
    let refused = (0..40_u64).find(|n| store.insert(&n.to_le_bytes(), "default", noise(MIB, *n)).is_err());
    assert!(refused.is_some_and(|n| n >= 10), "{refused:?}");
    store.insert(b"small", "default", vec![1, 2, 3]).expect("room for three bytes");
    // What is as it was inserted needs no room to be decompressed.
    assert!(store.decompress(&0_u64.to_le_bytes()).expect("it is raw"));
}

#[test]
fn what_was_full_takes_more_when_something_changed() {
    let scratch = Scratch::sharing_cache();
    let store = ResourceStore::open(host(&scratch), quiet(16 * MIB)).expect("a store");
    for number in 0..6_u8 {
        store.insert(&[number], "file_cache", numbered(3 * MIB / 2, number.into())).expect("room");
        store.compress_with_policy(&[number], "file_cache").expect("compressed");
    }
    for number in 6..10_u8 {
        store.insert(&[number], "default", noise(MIB, number.into())).expect("room");
    }
    for number in 0..4_u8 {
        store.decompress(&[number]).expect("room");
    }
    // What was decompressed is compressed again to make room.
    for number in 10..14_u8 {
        store.insert(&[number], "default", noise(MIB, number.into())).expect("room is made");
    }
    // By another type's policy it saves too little; its own still holds.
    let picky = vec![Setting::MinSavings(0.99), Setting::AutoCompress(true)];
    let policies = PolicySet::builtin().with("picky", picky).expect("a type");
    let options = StoreOptions { policies: Some(Arc::new(Policies::fixed(policies))), ..quiet(16 * MIB) };
    let store = ResourceStore::open(host(&scratch), options).expect("a store");
    store.insert(b"a", "file_cache", numbered(2 * MIB, 1)).expect("room");
    let tried = store.compress_with_policy(b"a", "picky").expect("it works").expect("is there");
    assert_eq!((tried.resources, tried.skipped), (0, 1));
    assert!(store.stats().types["file_cache"].skipped.is_empty());
    let done = store.compress_with_policy(b"a", "file_cache").expect("it works").expect("is there");
    assert_eq!((done.resources, done.skipped), (1, 0));
}

#[test]
fn a_newer_resource_is_never_overwritten_by_an_older_one() {
    let scratch = Scratch::sharing_cache();
    let options = StoreOptions { background: true, idle: Duration::ZERO, cpu_share: 0.5, ..quiet(64 * MIB) };
    let store = ResourceStore::open(host(&scratch), options).expect("a store");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for action in 0..3 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match action {
                        0 => _ = store.decompress(b"x").expect("room"),
                        1 => _ = store.compress_with_policy(b"x", "subtitle"),
                        _ => {
                            store.release(b"x");
                            _ = store.get(b"x").expect("its bytes");
                        }
                    }
                }
            });
        }
        let start = Instant::now();
        let mut number = 0_u64;
        while start.elapsed() < Duration::from_secs(3) {
            number += 1;
            let len = 100_000 + (number % 7) as usize * 10_000;
            // Of one byte, compressible, and not.
            let bytes = match number % 3 {
                0 => vec![number as u8; len],
                1 => numbered(len, number),
                _ => noise(len, number),
            };
            store.insert(b"x", "subtitle", bytes.clone()).expect("room");
            for _ in 0..3 {
                assert!(store.get(b"x").expect("its bytes").expect("is there")[..] == bytes[..], "{number}");
                let end = store.with_range(b"x", len - 1..len, |part| part == &bytes[len - 1..]);
                assert_eq!(end.expect("its bytes"), Some(true));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn folders_of_dead_stores_are_removed_and_those_of_living_ones_stay() {
    let scratch = Scratch::sharing_cache();
    let left_behind = scratch.dir("spill/clipsmaster-spill-1-0");
    fs::write(left_behind.join("lock"), b"").expect("a file");
    let options = || StoreOptions { spill_dir: Some(scratch.path("spill")), ..quiet(8 * MIB) };
    let host = host(&scratch);
    let first = ResourceStore::open(Arc::clone(&host), options()).expect("a store");
    assert!(!left_behind.exists());
    let second = ResourceStore::open(host, options()).expect("a store");
    assert_eq!(fs::read_dir(scratch.path("spill")).expect("the folder").count(), 2);
    drop((first, second));
}

#[test]
fn a_simulation_tells_what_a_store_does_for_files_and_for_a_trace() {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&["store", "zstd", "lz4_liblz4", "gzip"]);
    let dir = scratch.dir("data");
    fs::write(dir.join("file_cache.txt"), numbered(6 * MIB, 7)).expect("a file");
    fs::write(dir.join("temp_buffers.raw"), noise(2 * MIB, 7)).expect("a file");
    let arguments =
        ["store-sim", "--budget", "24MB", "--fill", "40MB", "--seconds", "1", "--spill-dir", "spill", "data"];
    let told = scratch.json(&arguments);
    let number = |key: &str| told[key].as_f64().unwrap_or_else(|| panic!("{key}: {told:#}"));
    assert!(number("raw_bytes") > 24e6 && number("gain") > 1.0 && number("gets") > 100.0, "{told:#}");
    assert!(told["store"]["peak_bytes"].as_u64() <= Some(24 << 20), "{told:#}");
    assert!(told["store"]["types"]["file_cache"]["ratio"].as_f64() > Some(2.0), "{told:#}");
    assert!(
        told["latencies"].as_array().is_some_and(|l| l.iter().any(|l| l["form"] == "decompressed")),
        "{told:#}"
    );
    let text = scratch.run(&arguments);
    assert!(text.contains("original bytes per byte held") && text.contains("file_cache"), "{text}");

    let trace = "insert a file_cache data/file_cache.txt 0..1MB # a comment\ninsert b subtitle data/temp_buffers.raw\n\
                 get a\nget b\nget nobody\nrelease a\nsleep 10\nremove b\nget a\n";
    fs::write(scratch.path("trace"), trace).expect("a trace");
    let told = scratch.json(&["store-sim", "trace"]);
    assert_eq!((told["gets"].as_u64(), told["resources"].as_u64()), (Some(3), Some(1)), "{told:#}");
    fs::write(scratch.path("trace"), "get a\nfetch b\n").expect("a trace");
    let output = scratch.command(&["store-sim", "trace"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        support::stderr(&output).contains("trace:2: `fetch b` is no call"),
        "{}",
        support::stderr(&output)
    );
}

/// What the application's own codec does: 0 works, 1 writes frames of other bytes, 2 panics, 3 fails, 4 takes half a second.
static MOOD: AtomicU64 = AtomicU64::new(0);

/// A frame: the length, whether the second half is the same as the first, and what there is to say.
struct Halves;

impl Codec for Halves {
    const DESCRIPTOR: Descriptor = Descriptor::new("halves", "own");

    fn open(_level: i32, _options: &Options) -> Result<Self> {
        Ok(Self)
    }

    fn compress_bound(&self, len: usize) -> usize {
        len + 9
    }

    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mood = MOOD.load(Ordering::Relaxed);
        match mood {
            2 => panic!("in the codec"),
            3 => return Err(ErrorKind::Internal.into()),
            4 => thread::sleep(Duration::from_millis(500)),
            _ => {}
        }
        let (first, second) = src.split_at(src.len() / 2);
        let body = if first == second { first } else { src };
        let dst = dst.get_mut(..9 + body.len()).ok_or(ErrorKind::DestinationTooSmall)?;
        dst[..8].copy_from_slice(&(src.len() as u64).to_le_bytes());
        dst[8] = u8::from(first == second);
        dst[9..].copy_from_slice(body);
        if mood == 1 && !body.is_empty() {
            dst[9] ^= 1;
        }
        Ok(dst.len())
    }

    fn decompress(&mut self, mut src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let mut filled = 0_usize;
        while !src.is_empty() {
            let (header, rest) = src.split_first_chunk::<8>().ok_or(ErrorKind::Truncated)?;
            let len = usize::try_from(u64::from_le_bytes(*header)).map_err(|_| ErrorKind::Corrupt)?;
            let (kind, rest) = rest.split_first().ok_or(ErrorKind::Truncated)?;
            if *kind > 1 || *kind == 1 && len % 2 == 1 {
                return Err(ErrorKind::Corrupt.into());
            }
            let times = usize::from(*kind) + 1;
            let (body, rest) = rest.split_at_checked(len / times).ok_or(ErrorKind::Truncated)?;
            let end = filled.checked_add(len).ok_or(ErrorKind::Corrupt)?;
            let out = dst.get_mut(filled..end).ok_or(ErrorKind::DestinationTooSmall)?;
            out.chunks_mut(body.len().max(1)).for_each(|part| part.copy_from_slice(body));
            (filled, src) = (end, rest);
        }
        Ok(filled)
    }
}

#[test]
fn a_codec_that_lies_fails_or_is_missing_loses_nothing() {
    let scratch = Scratch::new();
    scratch.plugins(&["store"]);
    let host = Host::open(scratch.config()).expect("a host");
    host.register::<Halves>("own-halves", "1.0.0").expect("a good codec");
    let mut policies = PolicySet::builtin();
    for (kind, algorithm) in [("subtitle", "bzip2"), ("log_data", "halves")] {
        let settings = vec![Setting::Algorithm(algorithm.into()), Setting::Level(None)];
        policies = policies.with(kind, settings).expect("a type");
    }
    let options = StoreOptions {
        background: true,
        idle: Duration::from_millis(20),
        policies: Some(Arc::new(Policies::fixed(policies))),
        ..quiet(32 * MIB)
    };
    let store = ResourceStore::open(Arc::new(host), options).expect("a store");
    let is_whole =
        |id: &[u8], bytes: &[u8]| store.get(id).expect("its bytes").expect("is there")[..] == *bytes;
    store.insert(b"a", "subtitle", text(MIB)).expect("room");
    let e = store.compress_with_policy(b"a", "subtitle").expect_err("bzip2 is not installed");
    assert!(e.to_string().starts_with("resource a: ") && e.to_string().contains("bzip2"), "{e}");
    assert!(is_whole(b"a", &text(MIB)));

    let halves = text(MIB + 512 * 1024).repeat(2);
    for mood in [1, 2, 3] {
        MOOD.store(mood, Ordering::Relaxed);
        let id = [mood as u8];
        store.insert(&id, "log_data", halves.clone()).expect("room");
        wait_until("marked", || store.stats().types["log_data"].skipped.values().sum::<u64>() == mood);
        assert!(is_whole(&id, &halves), "{mood}");
        assert!(store.compress_with_policy(&id, "log_data").is_err());
    }
    assert_eq!(store.stats().types["log_data"].compressed, 0);
    // A store that ends while a codec is at work waits for no more than the chunk it is at.
    MOOD.store(4, Ordering::Relaxed);
    store.insert(b"slow", "log_data", [halves.clone(), halves].concat()).expect("room");
    thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    drop(store);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

/// Threads insert, ask, compress, release and remove at random, in a store that is always full, with files and the background thread at it,
/// while the policies change; for as many seconds as `CLIPSMASTER_STRESS_S` says.
#[test]
fn stress() {
    const BUDGET: usize = 24 * MIB;
    let seconds = env::var("CLIPSMASTER_STRESS_S").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let scratch = Scratch::sharing_cache();
    let policy_file = scratch.path("policies.yaml");
    let files = PolicyFiles { project: Some(policy_file.clone()), ..PolicyFiles::default() };
    let policies = Arc::new(Policies::open(files).expect("no file yet"));
    let options = StoreOptions {
        background: true,
        idle: Duration::from_millis(5),
        cpu_share: 0.5,
        spill_dir: Some(scratch.path("spill")),
        policies: Some(Arc::clone(&policies)),
        ..quiet(BUDGET)
    };
    let store = ResourceStore::open(host(&scratch), options).expect("a store");
    let (stop, refused, done) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let content = |id: u64, generation: u64| {
        let len = (id * 37_337 % (2 * MIB as u64)) as usize + 1;
        match id % 4 {
            0 => noise(len, id + generation),
            1 => vec![generation as u8; len],
            _ => numbered(len, id + generation * 1000),
        }
    };
    thread::scope(|scope| {
        for worker in 0..3_u64 {
            let (store, stop, refused, done) = (&store, &stop, &refused, &done);
            scope.spawn(move || {
                // Ids of its own, so that what must come back is known; and others', of which only some generation must.
                let mut generations = [None; 40];
                let mut state = worker + 1;
                while !stop.load(Ordering::Relaxed) {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (slot, action) = ((state >> 33) % 40, (state >> 50) % 16);
                    let id = slot * 3 + worker;
                    let key = id.to_le_bytes();
                    let kind = ["file_cache", "subtitle", "log_data", "temp_buffers"][(id % 4) as usize];
                    let generation = &mut generations[slot as usize];
                    match action {
                        0..4 => {
                            let next = generation.unwrap_or(0) + 1;
                            match store.insert(&key, kind, content(id, next)) {
                                Ok(()) => *generation = Some(next),
                                Err(Error::StoreFull { .. }) => _ = refused.fetch_add(1, Ordering::Relaxed),
                                Err(e) => panic!("{e}"),
                            }
                        }
                        4 => assert_eq!(store.remove(&key), generation.take().is_some()),
                        5 => _ = store.release(&key),
                        6 => _ = store.compress_with_policy(&key, kind),
                        7 => _ = store.decompress(&key),
                        8 => {
                            let wanted = generation.map(|g| content(id, g));
                            let part = store.with_range(&key, 0..1, |part| part.to_vec()).expect("its bytes");
                            assert_eq!(part, wanted.map(|w| w[..1].to_vec()));
                        }
                        9 => _ = store.get(&((id + 1) % 120).to_le_bytes()).expect("its bytes"),
                        _ => {
                            let got = store.get(&key).expect("its bytes").map(Blob::into_vec);
                            assert!(got == generation.map(|g| content(id, g)), "{id}: other bytes");
                        }
                    }
                    let held = store.held_bytes();
                    assert!(held <= BUDGET as u64, "{held} bytes held");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let start = Instant::now();
        let texts = [
            "compression_policy:\n  log_data: {algorithm: zstd, level: 1, threshold_mb: 0}\n",
            "compression_policy:\n  file_cache: {algorithm: gzip, level: 1, filter: auto, chunk_size: 64KB}\n",
            "compression_policy: {file_cache: {level: never}}\n",
        ];
        for text in texts.iter().cycle() {
            if start.elapsed() > Duration::from_secs(seconds) {
                break;
            }
            fs::write(&policy_file, text).expect("a policy file");
            // What is invalid is refused, here or by the background thread, and changes nothing.
            let _ = policies.reload_if_changed();
            thread::sleep(Duration::from_millis(200));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let stats = store.stats();
    assert!(stats.peak_bytes <= BUDGET as u64, "{stats:#?}");
    assert!(done.load(Ordering::Relaxed) > 100, "{stats:#?}");
    let types: u64 = stats.types.values().map(|t| t.held_bytes).sum();
    assert!(types <= stats.held_bytes, "{stats:#?}");
    for info in store.resources() {
        assert!(store.remove(&info.id));
    }
    assert_eq!(store.stats().spilled_bytes, 0);
    drop(store);
}
