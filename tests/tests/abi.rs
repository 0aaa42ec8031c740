//! Version 1 of the plugin interface is frozen: its layout is the recorded one, and plugins built when it was frozen load for ever.
//!
//! `tests/fixtures/abi-v1` holds both. Nothing in it is ever made anew: a change that needs that is a new version of the interface.

mod support;

use abi_stable::{StableAbi, library::RootModule, std_types::utypeid::UTypeId, type_layout::TypeLayout};
use clipsmaster_plugin_api::abi::{BatchRef, PluginV1, RootRef, StreamRef};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/abi-v1")
}

/// What a host compares, of all types that the interface reaches: sizes, alignments, fields and functions, not where in the source they stand.
fn layouts() -> String {
    let mut text = String::new();
    let mut seen = HashSet::new();
    let roots = [RootRef::LAYOUT, <&PluginV1>::LAYOUT, StreamRef::LAYOUT, BatchRef::LAYOUT];
    roots.into_iter().for_each(|layout| describe(layout, &mut seen, &mut text));
    text
}

fn describe(layout: &'static TypeLayout, seen: &mut HashSet<UTypeId>, text: &mut String) {
    if !seen.insert(layout.get_utypeid()) {
        return;
    }
    let lines = layout.to_string();
    let lines =
        lines.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("line:"));
    lines.for_each(|line| text.push_str(&format!("{line}\n")));
    text.push('\n');
    for reached in layout.shared_vars().type_layouts() {
        describe(reached(), seen, text);
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_layout_is_the_recorded_one() {
    let path = fixtures().join("layout.txt");
    let recorded = std::fs::read_to_string(&path).expect("the recorded layout");
    let now = layouts();
    for (number, (was, is)) in recorded.lines().zip(now.lines()).enumerate() {
        assert_eq!(was, is, "line {} of {}: version 1 is frozen", number + 1, path.display());
    }
    assert_eq!(recorded.lines().count(), now.lines().count(), "version 1 is frozen");
    assert_eq!(RootRef::VERSION_STRINGS.version.as_str().split('.').next(), Some("1"));
}

/// For the machines that the fixtures were built for.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod fixtures_load {
    use super::{fixtures, support};
    use clipsmaster_host::{Host, State};
    use clipsmaster_plugin_api::{
        Options,
        abi::{BATCH, BatchRef, STREAM, StreamRef, import::Plugin},
    };
    use std::path::PathBuf;
    use support::{Scratch, install, line_of, lines_of, text};

    fn file(name: &str) -> PathBuf {
        fixtures().join(format!("libclipsmaster_plugin_{name}.so"))
    }

    fn load(name: &str) -> Plugin {
        clipsmaster_tests::load(&file(name)).expect("version 1 loads for ever")
    }

    #[test]
    fn a_host_proves_and_uses_them() {
        let (first_day, today) = (Scratch::new(), Scratch::new());
        let dir = first_day.dir("plugins");
        for name in ["store", "lz4", "cuda"] {
            install(&file(name), &dir);
        }
        today.plugins(&["store", "lz4"]);
        let old = Host::open(first_day.config()).expect("a host");
        let new = Host::open(today.config()).expect("a host");
        let data = text(300_000);
        for (plugin, algorithm) in [("store", "store"), ("lz4", "lz4")] {
            let line = line_of(&old.list(), plugin).clone();
            assert!(line.verdict.is_ok(), "{line:?}");
            for (writer, reader) in [(&old, &old), (&old, &new), (&new, &old)] {
                let (frame, metadata) = writer.compress_data(&data, algorithm).expect("compress");
                assert_eq!(reader.decompress_data(&frame, Some(&metadata)).expect("decompress"), data);
            }
        }
        for line in lines_of(&old.list(), "cuda") {
            // Without a device it says so; with one it is proven.
            assert!(matches!(line.verdict.state, State::Ok | State::Unavailable), "{line:?}");
        }
    }

    #[test]
    fn their_extensions_are_those_of_today() {
        assert!(load("lz4").extension::<StreamRef>(STREAM).expect("same layout").is_some());
        assert!(load("cuda").extension::<BatchRef>(BATCH).expect("same layout").is_some());
    }

    #[test]
    fn options_and_messages_cross_the_boundary() {
        let cuda = load("cuda");
        let codec = cuda.codec(0).expect("a codec");
        let names: Vec<String> = codec.descriptor().options.iter().map(|o| o.name.to_string()).collect();
        assert_eq!(names, ["device", "max_memory_mib", "min_size_bytes", "pinned"]);
        let store = load("store");
        let mut instance = store.codec(0).expect("a codec").open(0, &Options::default()).expect("open");
        let error = instance.compress(&[1; 100], &mut [0; 10]).expect_err("too small");
        assert_eq!(error.kind, clipsmaster_plugin_api::ErrorKind::DestinationTooSmall);
    }
}
