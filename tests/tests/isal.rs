//! The plugin for ISA-L in the host: unavailable without the library, at work with it. What needs the library is skipped
//! where the system has none.

mod support;

use serde_json::{Value, json};
use std::{fs, process::Command};
use support::{Scratch, stderr, succeed, text};

const ISAL: &str = "gzip/cpu/isal";
/// Where Debian and Fedora put the library.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/libisal.so.2",
    "/usr/lib/aarch64-linux-gnu/libisal.so.2",
    "/usr/lib64/libisal.so.2",
];

fn library() -> Option<&'static str> {
    let found = LIBRARIES.into_iter().find(|l| fs::exists(l).unwrap_or(false));
    if found.is_none() {
        eprintln!("skipped: no libisal.so.2; apt-get install libisal2");
    }
    found
}

/// The line of the implementation, with the library searched for at `path`.
fn listed(scratch: &Scratch, path: &str) -> Value {
    let mut command = scratch.command(&["list-plugins", "--json"]);
    let list: Value = serde_json::from_str(&succeed(command.env("CLIPSMASTER_ISAL", path))).expect("JSON");
    let line = list.as_array().expect("a list").iter().find(|l| l["implementation"] == ISAL);
    line.expect("the implementation").clone()
}

#[test]
fn without_the_library_it_is_unavailable_and_looked_at_again() {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip_isal"]);
    let missing = scratch.path("libisal.so.2.0.30").display().to_string();
    let line = listed(&scratch, &missing);
    assert_eq!(line["state"], "unavailable", "{line:#}");
    assert!(line["reason"].as_str().is_some_and(|r| r.contains("cannot open shared object")), "{line:#}");
    assert!(line["remedy"].as_str().is_some_and(|r| r.contains("apt-get install libisal2")), "{line:#}");
    let Some(library) = library() else { return };
    // A version that nobody compared the structures of.
    let unknown = scratch.path("libisal.so.2.0.99").display().to_string();
    fs::copy(library, &unknown).expect("a copy");
    let line = listed(&scratch, &unknown);
    assert!(line["reason"].as_str().is_some_and(|r| r.contains("none of the verified versions")), "{line:#}");
    // The file appears at the same path.
    listed(&scratch, &missing);
    fs::copy(library, &missing).expect("a copy");
    let line = listed(&scratch, &missing);
    assert_eq!(line["state"], "ok", "{line:#}");
    assert_eq!(line["device"], "isal 2.30");
}

#[test]
fn its_containers_are_read_by_itself_and_by_gzip() {
    if library().is_none() {
        return;
    }
    let scratch = Scratch::new();
    scratch.plugins(&["gzip_isal", "gzip"]);
    let data = text(3 << 20);
    scratch.file("in.txt", &data);
    let pinned = |arguments: &[&str]| {
        let mut command = scratch.command(arguments);
        let output = command.env("CLIPSMASTER_PIN", format!("gzip={ISAL}")).output().expect("run");
        assert!(output.status.success(), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        report[0]["implementations"].clone()
    };
    let done =
        pinned(&["compress", "in.txt", "--json", "-a", "gzip", "--chunk-size", "256KB", "--parity", "10"]);
    assert_eq!(done, json!({ISAL: 12}));
    succeed(Command::new("gzip").arg("-t").arg(scratch.path("in.txt.gz")));
    pinned(&["decompress", "in.txt.gz", "-o", "parallel.txt", "--json"]);
    assert_eq!(fs::read(scratch.path("parallel.txt")).expect("output"), data);
    // As a stream: members with records in their extra fields are passed over.
    let gz = fs::File::open(scratch.path("in.txt.gz")).expect("the container");
    let arguments = ["decompress", "-", "-o", "stream.txt", "-a", "gzip", "--implementation", ISAL];
    succeed(scratch.command(&arguments).stdin(gz));
    assert_eq!(fs::read(scratch.path("stream.txt")).expect("output"), data);
}
