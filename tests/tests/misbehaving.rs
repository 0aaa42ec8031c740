//! Plugins that each break one rule, beside good ones: every one is told apart, by the right state and a reason that helps,
//! and none costs a later start anything or harms the others.

mod support;

use clipsmaster_host::{Config, Host, Listed, Progress, State};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};
use support::{Scratch, built, install, line_of, lines_of, write_library};

/// Library, state, and a part of the reason.
const EXPECTED: &[(&str, State, &str)] = &[
    ("abort_from_thread", State::Quarantined, "crashed with SIGABRT while conformance case: round trip"),
    ("accepts_truncated", State::Failed, "truncated frames: cut frames were accepted as whole"),
    ("allocates_all", State::Quarantined, "crashed with SIGABRT while conformance case: round trip"),
    ("bound_that_lies", State::Failed, "wrote past the end of a destination of 0 bytes"),
    ("claims_more_than_it_wrote", State::Failed, "the plugin claims 1 bytes in a buffer of 0"),
    ("crash_on_damage", State::Quarantined, "crashed with SIGSEGV while conformance case: flipped bits"),
    ("exit_in_constructor", State::Quarantined, "left the process with exit code 0 while loading"),
    ("exit_zero_in_compress", State::Quarantined, "exit code 0 while conformance case: round trip"),
    ("exit_zero_in_probe", State::Quarantined, "exit code 0 while probing bad-exit-zero-in-probe/cpu/test"),
    ("not_concurrent", State::Quarantined, "returned wrong bytes: concurrent instances"),
    ("panic_in_bound", State::Failed, "compress_bound: plugin panicked"),
    ("panic_in_compress", State::Failed, "plugin panicked: panic in compress"),
    ("panic_in_decompress", State::Failed, "plugin panicked: panic in decompress"),
    ("panic_in_decompressed_len", State::Failed, "decompressed_len: plugin panicked"),
    ("panic_in_drop", State::Failed, "dropping instances: dropping an instance: plugin panicked"),
    ("panic_in_open", State::Failed, "plugin panicked: panic in open"),
    ("panic_in_probe", State::Failed, "probe: plugin panicked: panic in probe"),
    ("segv_in_constructor", State::Quarantined, "crashed with SIGSEGV while loading"),
    ("short_output", State::Quarantined, "returned wrong bytes"),
    ("spoofs_reference", State::Quarantined, "returned wrong bytes: reference frames"),
    ("unavailable_device", State::Unavailable, "no such device"),
    ("with_extension", State::Ok, ""),
    ("writes_past_dst", State::Failed, "wrote past the end of a destination of 1 bytes"),
    ("writes_to_stdout", State::Ok, ""),
    ("wrong_bytes_on_decompress", State::Quarantined, "returned wrong bytes"),
    ("wrong_extension_layout", State::Ok, ""),
    ("wrong_gzip", State::Failed, "descriptor: magic bytes are not those of gzip"),
    ("wrong_layout", State::Incompatible, ""),
    ("wrong_major", State::Incompatible, ""),
    ("wrong_table_version", State::Incompatible, "plugin table of version 99; this host reads 1"),
    ("gzip", State::Ok, ""),
    ("store", State::Ok, ""),
    ("zstd", State::Ok, ""),
];

/// Libraries with tests of their own, here and in `lifecycle`.
const ELSEWHERE: &[&str] = &[
    "crash_when_measured",
    "double_cuda",
    "double_nvcomp",
    "fails_after_load",
    "fails_in_mid_job",
    "hang_in_compress",
    "hang_in_probe",
    "lies_in_compress",
    "lies_in_decompress",
    "qatzip_double",
    "simulated_device",
    "slow_but_good",
    "twin_a",
    "twin_b",
];

/// Opens a host and counts the plugins it had to prove.
fn open(config: Config) -> (Host, usize) {
    let proven = AtomicUsize::new(0);
    let count = |p| {
        if matches!(p, Progress::Proving { .. }) {
            proven.fetch_add(1, Relaxed);
        }
    };
    let host = Host::open_with(config, &count).expect("a bad plugin is no error of the host");
    let proven = proven.into_inner();
    (host, proven)
}

#[test]
fn every_library_has_a_case() {
    for name in &built().examples {
        let known = EXPECTED.iter().any(|(n, ..)| n == name) || ELSEWHERE.contains(&name.as_str());
        assert!(known, "{name} is in no table");
    }
}

#[test]
fn each_is_told_apart_and_costs_the_next_start_nothing() {
    let scratch = Scratch::new();
    let names: Vec<&str> = EXPECTED.iter().map(|(name, ..)| *name).collect();
    scratch.plugins(&names);
    let (first, proven) = open(scratch.config());
    assert_eq!(proven, EXPECTED.len(), "all were proven");
    let list = first.list();
    let mut wrong = Vec::new();
    for (name, state, reason) in EXPECTED {
        let verdict = &line_of(&list, name).verdict;
        if verdict.state != *state || !verdict.reason.contains(reason) {
            wrong.push(format!("{name}: expected {state}: {reason}, got {verdict:#?}"));
        }
        let said = verdict.stderr.iter().any(|l| l.starts_with("panic in "));
        if name.starts_with("panic_") && !said {
            wrong.push(format!("{name}: its panic is not among its last words: {verdict:#?}"));
        }
        if !verdict.is_ok() && verdict.remedy.is_empty() {
            wrong.push(format!("{name}: no remedy: {verdict:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let states = |list: &[Listed]| -> BTreeMap<String, String> {
        list.iter().map(|l| (l.path.display().to_string(), format!("{:?}", l.verdict))).collect()
    };
    let (second, proven) = open(scratch.config());
    assert_eq!(proven, 0, "nothing is tried again");
    assert_eq!(states(&second.list()), states(&list));
}

#[test]
fn one_that_hangs_is_tried_twice_and_one_that_is_slow_is_good() {
    let scratch = Scratch::new();
    scratch.plugins(&["hang_in_compress", "hang_in_probe", "slow_but_good", "store"]);
    let config = Config { probe_patience: Some(Duration::from_secs(3)), ..scratch.config() };
    let hanging = ["hang_in_compress", "hang_in_probe"];
    let (host, proven) = open(config.clone());
    assert_eq!(proven, 4);
    for name in hanging {
        let verdict = line_of(&host.list(), name).verdict.clone();
        assert_eq!(verdict.state, State::Failed, "{verdict:?}");
        assert!(verdict.reason.contains("no progress, killed after"), "{verdict:?}");
        assert!(verdict.remedy.contains("tried once more"), "{verdict:?}");
    }
    for name in ["slow_but_good", "store"] {
        assert_eq!(line_of(&host.list(), name).verdict.state, State::Ok);
    }
    let (host, proven) = open(config.clone());
    assert_eq!(proven, 2, "only what hung is tried again");
    for name in hanging {
        let verdict = line_of(&host.list(), name).verdict.clone();
        assert_eq!(verdict.state, State::Quarantined, "{verdict:?}");
        assert!(verdict.reason.contains("for the 2. time"), "{verdict:?}");
        assert!(verdict.remedy.contains("quarantine clear"), "{verdict:?}");
    }
    let start = Instant::now();
    let (_, proven) = open(config);
    assert_eq!(proven, 0, "it is not touched again");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn what_is_no_plugin_is_told_without_running_any_of_it() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["store"]);
    let whole = fs::read(built().library("zstd")).expect("library");
    let put = |name: &str, bytes: &[u8]| write_library(&dir.join(format!("lib{name}.so")), bytes);
    put("text", b"this is a text\n");
    put("empty", b"");
    let cuts = [1, 4, 16, 63, 64, 1000, 4096, whole.len() / 4, whole.len() / 2, whole.len() - 1];
    for cut in cuts {
        put(&format!("cut_{cut}"), &whole[..cut]);
    }
    // e_machine, at 18 (elf(5)), of the architecture that this is not.
    let mut foreign = whole.clone();
    foreign[18] = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    foreign[19] = 0;
    put("foreign", &foreign);
    let (host, proven) = open(scratch.config());
    assert_eq!(proven, 1, "no child for what is no plugin");
    let list = host.list();
    assert_eq!(line_of(&list, "store").verdict.state, State::Ok);
    let expect = |name: &str, state: State, reason: &str| {
        let verdict = &line_of(&list, name).verdict;
        assert!(verdict.state == state && verdict.reason.contains(reason), "{name}: {verdict:?}");
    };
    expect("text", State::NotAPlugin, "is not an ELF shared library");
    expect("empty", State::NotAPlugin, "is not an ELF shared library");
    expect("cut_1", State::NotAPlugin, "is not an ELF shared library");
    expect("foreign", State::Incompatible, "is built for another architecture");
    for cut in &cuts[1..] {
        expect(&format!("cut_{cut}"), State::Failed, "is a damaged ELF file");
    }
}

/// The bytes with one name replaced by another of the same length.
fn renamed(bytes: &[u8], name: &str, other: &str) -> Vec<u8> {
    let name = format!("\0{name}\0");
    let at = bytes.windows(name.len()).position(|w| w == name.as_bytes()).expect("the name is there");
    let mut bytes = bytes.to_owned();
    bytes[at + 1..at + 1 + other.len()].copy_from_slice(other.as_bytes());
    bytes
}

#[test]
fn what_the_loader_misses_is_named() {
    let scratch = Scratch::new();
    let dir = scratch.dir("plugins");
    let whole = fs::read(built().library("store")).expect("library");
    write_library(&dir.join("libsymbol.so"), &renamed(&whole, "memcpy", "memcpz"));
    write_library(&dir.join("libneeds.so"), &renamed(&whole, "libgcc_s.so.1", "libgcc_x.so.1"));
    let (host, _) = open(scratch.config());
    for (name, state, reason, remedy) in [
        ("symbol", State::Incompatible, "undefined symbol: memcpz", "build it on this system"),
        (
            "needs",
            State::Unavailable,
            "libgcc_x.so.1: cannot open shared object file",
            "install that library",
        ),
    ] {
        let verdict = &line_of(&host.list(), name).verdict.clone();
        assert_eq!(verdict.state, state, "{name}: {verdict:?}");
        assert!(verdict.reason.contains(reason), "{name}: {verdict:?}");
        assert!(verdict.remedy.contains(remedy), "{name}: {verdict:?}");
    }
    assert_eq!(open(scratch.config()).1, 0, "nothing of the machine has changed");
}

#[test]
fn a_plugin_that_was_cut_where_it_still_looks_whole_does_no_harm() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["store"]);
    let mut whole = fs::read(built().library("gzip")).expect("library");
    // Zeros instead of code: the headers are those of a good library.
    let middle = whole.len() / 3;
    whole[middle..].fill(0);
    write_library(&dir.join("libhollow.so"), &whole);
    let (host, _) = open(scratch.config());
    let list = host.list();
    assert_ne!(line_of(&list, "hollow").verdict.state, State::Ok);
    assert_eq!(line_of(&list, "store").verdict.state, State::Ok);
}

/// Asserts that the file `lib<name>.so` is refused for that reason, and that no child was needed to see it.
fn assert_refused(scratch: &Scratch, name: &str, reason: &str) {
    let (host, proven) = open(scratch.config());
    assert_eq!(proven, 0);
    let verdict = line_of(&host.list(), name).verdict.clone();
    assert_eq!(verdict.state, State::Refused, "{verdict:?}");
    assert!(verdict.reason.contains(reason) && !verdict.remedy.is_empty(), "{verdict:?}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("own process").uid() == 0
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let scratch = Scratch::new();
    let path = install(built().library("store"), &scratch.dir("plugins"));
    set_mode(&path, 0o757);
    assert_refused(&scratch, "store", "is writable by everyone (mode 0757)");
    if is_root() {
        set_mode(&path, 0o775);
        chown(&path, None, Some(12345)).expect("group");
        assert_refused(&scratch, "store", "is writable by group 12345");
    }
    set_mode(&path, 0o755);
    let (host, _) = open(scratch.config());
    assert!(line_of(&host.list(), "store").verdict.is_ok(), "mended, it is taken");
}

#[test]
fn a_file_in_a_folder_that_others_can_write_is_refused() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["store"]);
    set_mode(&dir, 0o777);
    assert_refused(&scratch, "store", "its folder");
    set_mode(&dir, 0o700);
    set_mode(&scratch.path(""), 0o777);
    assert_refused(&scratch, "store", "its folder");
}

#[test]
fn a_file_of_another_user_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let scratch = Scratch::new();
    let path = install(built().library("store"), &scratch.dir("plugins"));
    chown(&path, Some(12345), None).expect("owner");
    assert_refused(&scratch, "store", "belongs to user 12345");
}

#[test]
fn what_is_no_regular_file_is_refused_and_never_waited_for() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["store"]);
    let elsewhere = install(built().library("zstd"), &scratch.dir("elsewhere"));
    symlink(&elsewhere, dir.join("liblink.so")).expect("link");
    symlink(dir.join("nothing"), dir.join("libdangling.so")).expect("link");
    fs::create_dir(dir.join("libfolder.so")).expect("folder");
    support::succeed(Command::new("mkfifo").arg(dir.join("libfifo.so")));
    let (host, proven) = open(scratch.config());
    assert_eq!(proven, 1, "the good one");
    let list = host.list();
    for (name, reason) in [
        ("link", "is a symbolic link"),
        ("dangling", "is a symbolic link"),
        ("folder", "is not a regular file"),
        ("fifo", "is not a regular file"),
    ] {
        let verdict = &line_of(&list, name).verdict;
        assert_eq!(verdict.state, State::Refused, "{name}: {verdict:?}");
        assert!(verdict.reason.contains(reason), "{name}: {verdict:?}");
    }
    assert!(lines_of(&list, "store").iter().all(|l| l.verdict.is_ok()));
}
