//! Growth of the interface: an extension that both sides know works, one that only one side knows is absent, one of
//! another layout is refused.

mod support;

use clipsmaster_host::Host;
use clipsmaster_plugin_api::{
    Options, WHOLE_BYTES,
    abi::{STREAM, StreamRef, import::Plugin},
};
use clipsmaster_tests::counter::{COUNTER, CounterRef};
use support::{Scratch, built, line_of, text};

fn load(name: &str) -> Plugin {
    clipsmaster_tests::load(built().library(name)).expect("a plugin")
}

#[test]
fn an_extension_that_both_sides_know_works() {
    let plugin = load("with_extension");
    let counter = plugin.extension::<CounterRef>(COUNTER).expect("same layout").expect("it is there");
    let calls = counter.compress_calls();
    let before = calls();
    let codec = plugin.codec(0).expect("a codec");
    let mut instance = codec.open(0, &Options::default()).expect("open");
    for _ in 0..3 {
        instance.compress(b"data", &mut [0; 16]).expect("compress");
    }
    assert_eq!(calls() - before, 3);
    let stream = plugin.extension::<StreamRef>(STREAM).expect("same layout");
    assert!(stream.is_some(), "the standard extensions are there beside it");
}

#[test]
fn zstd_works_on_a_sample_as_on_the_whole() {
    let plugin = load("zstd");
    let codec = plugin.codec(0).expect("a codec");
    let text = text(20_000);
    for level in [-7, 1, 9] {
        let frame_of = |whole_bytes: Option<usize>| {
            let mut options = Options::default();
            whole_bytes.into_iter().for_each(|bytes| options.set(WHOLE_BYTES, bytes as i64));
            let mut frame = vec![0; 30_000];
            let len =
                codec.open(level, &options).expect("open").compress(&text, &mut frame).expect("compress");
            frame.truncate(len);
            frame
        };
        assert_eq!(frame_of(Some(text.len())), frame_of(None), "level {level}: it is the whole");
        assert_ne!(frame_of(Some(64 << 20)), frame_of(None), "level {level}");
    }
}

#[test]
fn an_extension_that_the_plugin_does_not_know_is_absent() {
    for name in ["store", "gzip"] {
        let found = load(name).extension::<CounterRef>(COUNTER).expect("no table, no layout to differ");
        assert!(found.is_none(), "{name}");
    }
}

#[test]
fn an_extension_of_another_layout_is_refused() {
    let plugin = load("wrong_extension_layout");
    let Err(why) = plugin.extension::<CounterRef>(COUNTER) else { panic!("the function takes another type") };
    assert!(!why.is_empty() && why.lines().count() == 1, "{why}");
    // And the other way round: a table under a name that means something else here.
    assert!(load("with_extension").extension::<StreamRef>(COUNTER).is_err());
}

#[test]
fn a_host_that_does_not_know_an_extension_uses_the_plugin() {
    let scratch = Scratch::new();
    scratch.plugins(&["with_extension", "wrong_extension_layout"]);
    let host = Host::open(scratch.config()).expect("a host");
    for (library, algorithm) in
        [("with_extension", "bad-with-extension"), ("wrong_extension_layout", "bad-wrong-extension-layout")]
    {
        assert!(line_of(&host.list(), library).verdict.is_ok());
        let (frame, metadata) = host.compress_data(b"data", algorithm).expect("compress");
        assert_eq!(host.decompress_data(&frame, Some(&metadata)).expect("decompress"), b"data");
    }
}
