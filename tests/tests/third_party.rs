//! A plugin built outside this workspace, of an algorithm that the host has never heard of: dropped into a folder, it is
//! there.

mod support;

use std::{fs, path::Path};
use support::{Scratch, cargo_build, install, target_dir, text};

#[test]
fn a_foreign_plugin_works_when_it_is_dropped_into_a_folder() {
    // A folder of its own within the target folder: another workspace locks and cleans for itself.
    let arguments = ["--release", "--manifest-path", "third-party/Cargo.toml"];
    let artifacts = cargo_build(&arguments, &target_dir().join("third-party"));
    let library = artifacts.iter().find(|a| a.kind == "cdylib" && a.name == "brotli_plugin");
    let library = &library.expect("the plugin is a cdylib").file;

    let scratch = Scratch::new();
    let dir = scratch.dir("plugins");
    install(library, &dir);
    let list = scratch.json(&["list-plugins"]);
    let line = &list.as_array().expect("a list")[0];
    assert_eq!(line["implementation"], "brotli/cpu/brotli", "{list}");
    assert_eq!(line["state"], "ok", "{list}");
    assert_eq!(line["rank"], 1, "{list}");
    assert!(line["compress_mb_s"].as_f64().is_some_and(|speed| speed > 0.0), "{list}");
    let best = scratch.run(&["best-hardware", "--algorithm", "brotli"]);
    assert!(best.starts_with("brotli/cpu/brotli level 5"), "{best}");

    let data = text(3 << 20);
    scratch.file("in.txt", &data);
    scratch.run(&["compress", "in.txt", "--algorithm", "brotli", "--chunk-size", "1MB"]);
    let compressed = scratch.path("in.txt.br");
    assert!(len(&compressed) < len(&scratch.path("in.txt")) / 3);
    // Brotli has no magic bytes: the extension tells.
    scratch.run(&["decompress", "in.txt.br", "-o", "out.txt"]);
    assert_eq!(fs::read(scratch.path("out.txt")).expect("output"), data);
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").len()
}
