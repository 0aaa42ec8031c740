//! What happens to plugins over time: they come, go, change, clash and fail, the cache is damaged or shared, and the user
//! has wishes. Work in progress goes on through all of it.

mod support;

use clipsmaster_host::{
    Benchmarks, Compressor, Config, Error, Host, Progress, Request, State, Trust,
    pipeline::{self, CompressOptions},
};
use clipsmaster_tests::FAIL_FILE_VARIABLE;
use serde_json::Value;
use std::{
    env,
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use support::{Scratch, built, install, line_of, lines_of, stderr, succeed, text, write_library};

fn open(config: Config) -> Host {
    Host::open(config).expect("a host")
}

fn state(host: &Host, library: &str) -> State {
    line_of(&host.list(), library).verdict.state
}

fn compressor(host: &Host, algorithm: &str) -> Compressor {
    host.compressor(&Request::new(algorithm)).expect("a compressor")
}

fn assert_works(compressor: &Compressor) {
    let data = text(100_000);
    let (frames, metadata) = compressor.compress(&data).expect("compress");
    assert_eq!(compressor.decompress(&frames, Some(&metadata)).expect("decompress"), data);
    assert_eq!(compressor.failures(), Vec::<String>::new());
}

#[test]
fn a_plugin_comes_and_goes_while_a_host_lives() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["store"]);
    let host = open(scratch.config());
    assert_eq!(lines_of(&host.list(), "gzip").len(), 0);
    let path = install(built().library("gzip"), &dir);
    host.refresh().expect("refresh");
    assert_eq!(state(&host, "gzip"), State::Ok);
    let used = compressor(&host, "gzip");
    assert_works(&used);
    fs::remove_file(path).expect("remove");
    host.refresh().expect("refresh");
    assert_eq!(lines_of(&host.list(), "gzip").len(), 0);
    let gone = host.compressor(&Request::new("gzip")).expect_err("no gzip any more");
    assert!(matches!(gone, Error::UnknownAlgorithm { .. }), "{gone}");
    assert_works(&used);
}

/// Libraries are loaded when they are first used: the copies that will be must not go before.
#[test]
fn a_plugin_that_is_gone_before_its_first_use_still_works() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["gzip", "store", "twin_a"]);
    let host = open(scratch.config());
    let (first, second) = (compressor(&host, "gzip"), compressor(&host, "twin-a"));
    fs::remove_file(dir.join("libclipsmaster_plugin_gzip.so")).expect("remove");
    host.refresh().expect("refresh");
    fs::remove_file(dir.join("libtwin_a.so")).expect("remove");
    // Another host on the same cache, in another process even, finds both gone.
    assert_eq!(scratch.json(&["doctor"])["algorithms"], serde_json::json!(["store"]));
    assert_works(&first);
    assert_works(&second);
}

#[test]
fn copies_of_plugins_that_are_gone_go_with_the_next_host() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["gzip", "store"]);
    drop(open(scratch.config()));
    let copies = || fs::read_dir(scratch.cache().join("plugins")).expect("copies").count();
    let reports = || fs::read_dir(scratch.cache().join("reports")).expect("reports").count();
    assert_eq!((copies(), reports()), (2, 2));
    fs::remove_file(dir.join("libclipsmaster_plugin_gzip.so")).expect("remove");
    drop(open(scratch.config()));
    assert_eq!((copies(), reports()), (1, 1));
}

#[test]
fn a_file_replaced_in_place_hurts_nobody_who_uses_the_old_one() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["gzip", "store"]);
    let path = dir.join("libclipsmaster_plugin_gzip.so");
    let host = open(scratch.config());
    let old = compressor(&host, "gzip");
    assert_works(&old);
    let hash = line_of(&host.list(), "gzip").hash.clone();
    // Another build of the same plugin: the loader must not take it for the one it knows.
    let mut bytes = fs::read(&path).expect("library");
    bytes.extend_from_slice(b"another build");
    write_library(&path, &bytes);
    assert_works(&old);
    host.refresh().expect("refresh");
    assert_eq!(state(&host, "gzip"), State::Ok);
    assert_ne!(line_of(&host.list(), "gzip").hash, hash);
    assert_works(&compressor(&host, "gzip"));
    // Another plugin altogether.
    write_library(&path, &fs::read(built().library("twin_a")).expect("library"));
    host.refresh().expect("refresh");
    assert_eq!(line_of(&host.list(), "gzip").plugin, "twin");
    assert_works(&compressor(&host, "twin-a"));
    assert_works(&old);
}

#[test]
fn of_two_plugins_with_one_id_the_first_found_wins() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["twin_a", "twin_b"]);
    let host = open(scratch.config());
    assert_eq!(state(&host, "twin_a"), State::Ok);
    let list = host.list();
    let other = line_of(&list, "twin_b");
    assert_eq!(other.verdict.state, State::Shadowed);
    let first = dir.join("libtwin_a.so").display().to_string();
    assert!(other.verdict.reason.contains(&first), "{:?}", other.verdict);
    // The order of the folders is stronger than that of the names.
    let before = scratch.dir("before");
    install(built().library("twin_b"), &before);
    let config = Config { plugin_dirs: vec![before.clone(), dir.clone()], ..scratch.config() };
    let host = open(config);
    let states = |host: &Host| -> Vec<(bool, State)> {
        let of = |dir: &Path| host.list().into_iter().filter(|l| l.path.parent() == Some(dir)).collect();
        let (first, second): (Vec<_>, Vec<_>) = (of(&before), of(&dir));
        let all = first.iter().map(|l| (true, l)).chain(second.iter().map(|l| (false, l)));
        all.map(|(first, l)| (first, l.verdict.state)).collect()
    };
    assert_eq!(states(&host), [(true, State::Ok), (false, State::Shadowed), (false, State::Shadowed)]);
    fs::remove_file(before.join("libtwin_b.so")).expect("remove");
    host.refresh().expect("refresh");
    assert_eq!(states(&host), [(false, State::Ok), (false, State::Shadowed)]);
}

#[test]
fn one_that_dies_while_it_is_measured_is_out_and_the_others_are_measured() {
    let scratch = Scratch::new();
    scratch.plugins(&["store", "crash_when_measured"]);
    let host = open(Config { benchmarks: Benchmarks::OnOpen, ..scratch.config() });
    let list = host.list();
    let (bad, good) = (line_of(&list, "crash_when_measured"), line_of(&list, "store"));
    assert_eq!(bad.verdict.state, State::Quarantined, "{bad:?}");
    assert!(bad.verdict.reason.contains("measuring store/cpu/crash-when-measured"), "{bad:?}");
    assert!(good.verdict.is_ok() && good.compress_mb_s.is_some_and(|speed| speed > 0.0), "{good:?}");
    assert_eq!(good.rank, Some(1));
}

/// Ids of the plugins that the command lists in quarantine.
fn quarantined(scratch: &Scratch) -> Vec<String> {
    let list = scratch.json(&["plugins", "quarantine", "list"]);
    let ids = list.as_array().expect("a list").iter();
    ids.map(|entry| entry[1]["info"]["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn quarantine_is_listed_cleared_and_entered_again() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["segv_in_constructor", "store"]);
    const ID: &str = "bad-segv-in-constructor";
    assert_eq!(quarantined(&scratch), [ID]);
    let shown = scratch.run(&["plugins", "quarantine", "list"]);
    assert!(shown.contains(ID) && shown.contains("SIGSEGV"), "{shown}");
    let unknown = scratch.command(&["plugins", "quarantine", "clear", "nobody"]).output().expect("run");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains(ID), "it names who is in quarantine: {}", stderr(&unknown));
    scratch.run(&["plugins", "quarantine", "clear", ID]);
    let reports = fs::read_dir(scratch.cache().join("reports")).expect("reports").count();
    assert_eq!(reports, 1, "only the good one's");
    assert_eq!(quarantined(&scratch), [ID], "proven anew, it crashed anew");
    // Other bytes are another plugin, which has done nothing yet.
    write_library(
        &dir.join("libsegv_in_constructor.so"),
        &fs::read(built().library("twin_a")).expect("library"),
    );
    let doctor = scratch.json(&["doctor"]);
    assert_eq!(doctor["troubles"], Value::Array(Vec::new()));
    assert_eq!(quarantined(&scratch), [ID], "what is known about the old bytes is kept");
}

#[test]
fn one_more_byte_is_another_file_to_be_proven() {
    let scratch = Scratch::new();
    let dir = scratch.plugins(&["segv_in_constructor"]);
    let proven = AtomicUsize::new(0);
    let count = |p| {
        if matches!(p, Progress::Proving { .. }) {
            proven.fetch_add(1, Relaxed);
        }
    };
    let open = || Host::open_with(scratch.config(), &count).expect("a host");
    assert_eq!(state(&open(), "segv_in_constructor"), State::Quarantined);
    assert_eq!(state(&open(), "segv_in_constructor"), State::Quarantined);
    assert_eq!(proven.load(Relaxed), 1);
    let mut file = File::options().append(true).open(dir.join("libsegv_in_constructor.so")).expect("open");
    file.write_all(b"x").expect("append");
    drop(file);
    assert_eq!(state(&open(), "segv_in_constructor"), State::Quarantined);
    assert_eq!(proven.load(Relaxed), 2);
}

/// Every file below `dir` whose name ends that way.
fn files(dir: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path(), ending));
        } else if entry.file_name().to_string_lossy().ends_with(ending) {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip", "store"]);
    let cache = scratch.cache();
    let each = |ending: &str, damage: &dyn Fn(&Path)| files(&cache, ending).iter().for_each(|f| damage(f));
    let cut = |f: &Path| {
        let bytes = fs::read(f).expect("read");
        fs::write(f, &bytes[..bytes.len() / 2]).expect("cut");
    };
    let garbage = |f: &Path| fs::write(f, b"{\"format\": [").expect("garbage");
    let foreign = |f: &Path| fs::write(f, b"{\"files\": {}, \"format\": 1}").expect("other json");
    // Copies are read-only, as a rule that root does not know.
    let replace = |f: &Path| {
        fs::remove_file(f).expect("remove");
        fs::write(f, b"not the library").expect("replace");
    };
    let remove = |f: &Path| fs::remove_file(f).expect("remove");
    let damages: [(&str, &dyn Fn()); 9] = [
        ("nothing", &|| ()),
        ("json cut", &|| each(".json", &cut)),
        ("json garbage", &|| each(".json", &garbage)),
        ("json of something else", &|| each(".json", &foreign)),
        ("json gone", &|| each(".json", &remove)),
        ("copies gone", &|| each(".so", &remove)),
        ("copies replaced", &|| each(".so", &replace)),
        ("folders gone", &|| fs::remove_dir_all(cache.join("plugins")).expect("remove")),
        ("all gone", &|| fs::remove_dir_all(&cache).expect("remove")),
    ];
    for (name, damage) in damages {
        damage();
        let host = open(scratch.config());
        for library in ["gzip", "store"] {
            let verdict = &line_of(&host.list(), library).verdict.clone();
            assert!(verdict.is_ok(), "{name}: {library}: {verdict:?}");
        }
        assert_works(&compressor(&host, "gzip"));
    }
}

#[test]
fn a_cache_damaged_under_a_living_host_is_mended_by_its_refresh() {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip"]);
    let host = open(scratch.config());
    fs::remove_dir_all(scratch.cache()).expect("remove");
    host.refresh().expect("refresh");
    assert_eq!(state(&host, "gzip"), State::Ok);
    assert_works(&compressor(&host, "gzip"));
}

#[test]
fn hosts_that_start_at_once_share_one_cache() {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip", "panic_in_compress", "segv_in_constructor", "store", "zstd"]);
    let start = |_| -> Child {
        let mut command = scratch.command(&["doctor", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start")
    };
    let children: Vec<Child> = (0..4).map(start).collect();
    let outputs: Vec<_> = children.into_iter().map(|c| c.wait_with_output().expect("wait")).collect();
    for output in &outputs {
        assert!(output.status.success(), "{}", stderr(output));
        assert_eq!(output.stdout, outputs[0].stdout, "all see the same");
    }
    let diagnosis: Value = serde_json::from_slice(&outputs[0].stdout).expect("JSON");
    assert_eq!(diagnosis["algorithms"], serde_json::json!(["gzip", "store", "zstd"]));
    assert_eq!(diagnosis["troubles"].as_array().map(Vec::len), Some(2), "{diagnosis}");
    assert_eq!(files(&scratch.cache(), ".json").len(), 5 + 1, "a report each, and the index");
    assert_eq!(files(&scratch.cache(), ".so").len(), 5);
    assert_eq!(files(&scratch.cache().join("probing"), "").len(), 0, "no probe was lost");
    assert_eq!(files(&scratch.cache(), ".tmp").len(), 0);
    let start = Instant::now();
    assert_eq!(scratch.json(&["doctor"]), diagnosis, "and so does who comes later");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn hosts_of_different_folders_do_not_forget_each_others_plugins() {
    let scratch = Scratch::new();
    let folders = [["gzip", "store"], ["zstd", "twin_a"]].map(|names| {
        let dir = scratch.dir(names[0]);
        names.iter().for_each(|name| drop(install(built().library(name), &dir)));
        dir
    });
    thread::scope(|scope| {
        for dir in &folders {
            let config = Config { plugin_dirs: vec![dir.clone()], ..scratch.config() };
            scope.spawn(|| open(config));
        }
    });
    let none = |p: Progress| assert!(!matches!(p, Progress::Proving { .. }), "proven again: {p:?}");
    for dir in &folders {
        let config = Config { plugin_dirs: vec![dir.clone()], ..scratch.config() };
        let host = Host::open_with(config, &none).expect("a host");
        assert!(host.list().iter().all(|l| l.verdict.is_ok()));
    }
}

/// Starts a host on a plugin that hangs and kills it while it probes: when its mark says that so many were lost before.
fn lose_a_probe(scratch: &Scratch, before: u32) {
    let probing = scratch.cache().join("probing");
    let marks = || -> Vec<String> {
        files(&probing, "").iter().map(|f| fs::read_to_string(f).unwrap_or_default()).collect()
    };
    let mut host = scratch.command(&["doctor"]).stdout(Stdio::null()).spawn().expect("start");
    let start = Instant::now();
    while marks() != [before.to_string()] && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(2));
    }
    host.kill().expect("kill");
    host.wait().expect("wait");
    assert_eq!(marks(), [before.to_string()], "its mark is left");
}

#[test]
fn a_plugin_whose_hosts_keep_dying_is_not_tried_for_ever() {
    let scratch = Scratch::new();
    scratch.plugins(&["hang_in_probe"]);
    (0..5).for_each(|before| lose_a_probe(&scratch, before));
    assert_eq!(quarantined(&scratch), ["bad-hang-in-probe"]);
    let shown = scratch.run(&["plugins", "quarantine", "list"]);
    assert!(shown.contains("5 hosts in a row ended while they probed it"), "{shown}");
    assert_eq!(files(&scratch.cache().join("probing"), "").len(), 0);
}

#[test]
fn an_interrupted_start_is_no_verdict() {
    let scratch = Scratch::new();
    scratch.plugins(&["store"]);
    let hash = line_of(&open(scratch.config()).list(), "store").hash.clone();
    for mark in ["", "0", "3"] {
        fs::remove_dir_all(scratch.cache()).expect("remove");
        let path = scratch.dir("cache/probing").join(&hash);
        // Of a host that died; the empty one, before it could write anything.
        fs::write(&path, mark).expect("mark");
        let host = open(scratch.config());
        assert_eq!(state(&host, "store"), State::Ok, "after {mark:?}");
        assert!(!path.exists());
    }
}

#[test]
fn with_an_allowlist_only_known_bytes_are_loaded() {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip", "store"]);
    let config = Config { trust: Trust::Allowlist, ..scratch.config() };
    let host = open(config);
    let verdict = line_of(&host.list(), "gzip").verdict.clone();
    assert_eq!(verdict.state, State::Refused);
    let hash = verdict.remedy.split_whitespace().find(|w| w.len() == 64).expect("the remedy names the hash");
    scratch.file("config/allowlist", format!("{hash} gzip, looked at by me\n").as_bytes());
    host.refresh().expect("refresh");
    assert_eq!(state(&host, "gzip"), State::Ok);
    assert_eq!(state(&host, "store"), State::Refused);
    let doctor = scratch.json(&["doctor", "--trust", "allowlist"]);
    assert_eq!(doctor["algorithms"], serde_json::json!(["gzip"]));
}

/// Implementation that the command chooses for gzip, with that variable.
fn gzip_choice(scratch: &Scratch, variable: &str, value: &str, arguments: &[&str]) -> String {
    let mut command = scratch.command(&["compress", "in.txt", "--force", "--json", "-a", "gzip"]);
    let text = succeed(command.args(arguments).env(variable, value));
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<&String> = report[0]["implementations"].as_object().expect("names").keys().collect();
    assert_eq!(names.len(), 1, "{report}");
    names[0].clone()
}

#[test]
fn pins_and_switches_of_the_user_decide() {
    let scratch = Scratch::new();
    scratch.plugins(&["gzip", "gzip_libdeflate"]);
    scratch.file("in.txt", &text(10_000));
    const BOTH: [&str; 2] = ["gzip/cpu/zlib-rs", "gzip/cpu/libdeflate"];
    for (wanted, other) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        assert_eq!(gzip_choice(&scratch, "CLIPSMASTER_PIN", &format!("gz={wanted}"), &[]), wanted);
        assert_eq!(gzip_choice(&scratch, "CLIPSMASTER_DISABLE", other, &[]), wanted);
        // A name given here and now is stronger than what was switched off.
        let named = ["--implementation", other];
        assert_eq!(gzip_choice(&scratch, "CLIPSMASTER_DISABLE", other, &named), other);
    }
    let mut command = scratch.command(&["compress", "in.txt", "--force", "-a", "gzip"]);
    let output = command.env("CLIPSMASTER_DISABLE", BOTH.join(",")).output().expect("run");
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("disabled by configuration"), "{}", stderr(&output));
}

#[test]
fn a_missing_device_is_no_fault_of_the_plugin() {
    let scratch = Scratch::new();
    scratch.plugins(&["unavailable_device", "store"]);
    scratch.file("in.txt", b"text");
    for _ in 0..3 {
        let host = open(scratch.config());
        let verdict = line_of(&host.list(), "unavailable_device").verdict.clone();
        assert_eq!(verdict.state, State::Unavailable);
        assert_eq!((verdict.reason.as_str(), verdict.remedy.as_str()), ("no such device", "plug it in"));
        assert!(host.quarantined().is_empty());
    }
    let arguments = ["compress", "in.txt", "-o", "out", "-a", "bad-unavailable-device"];
    let output = scratch.command(&arguments).output().expect("run");
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("no such device"), "{}", stderr(&output));
}

/// Compresses 16 chunks with an implementation whose device is lost, and returns the command's report. It is pinned, unless `by` names its
/// hardware.
fn compress_without_device(library: &str, implementation: &str, by: &[&str]) -> Value {
    let scratch = Scratch::new();
    scratch.plugins(&["zstd", library]);
    let data = text(1 << 20);
    scratch.file("in.txt", &data);
    let lost = scratch.file("lost", b"");
    let arguments = ["compress", "in.txt", "--json", "--chunk-size", "64KB", "-T", "2", "-a", "zstd"];
    let mut command = scratch.command(&[&arguments, by].concat());
    command.env(FAIL_FILE_VARIABLE, &lost);
    if by.is_empty() {
        command.env("CLIPSMASTER_PIN", format!("zstd={implementation}"));
    }
    let output = command.output().expect("run");
    assert!(output.status.success(), "{}", stderr(&output));
    let warnings = stderr(&output);
    let warning = warnings.lines().find(|l| l.contains("warning")).expect("a warning");
    for part in [implementation, "device lost", "the test device is lost", "zstd/cpu/libzstd took over"] {
        assert!(warning.contains(part), "`{part}` is not in: {warning}");
    }
    scratch.run(&["decompress", "in.txt.zst", "-o", "out.txt"]);
    assert_eq!(fs::read(scratch.path("out.txt")).expect("output"), data);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report[0]["chunks"], 16);
    report[0]["implementations"].clone()
}

#[test]
fn the_next_implementation_takes_over_where_the_first_does_not_open() {
    let done = compress_without_device("fails_after_load", "zstd/npu/fragile", &[]);
    assert_eq!(done, serde_json::json!({"zstd/cpu/libzstd": 16}));
}

#[test]
fn the_next_implementation_takes_over_in_the_middle_of_a_job() {
    let done = compress_without_device("fails_in_mid_job", "zstd/npu/mid-job", &[]);
    assert_eq!(done, serde_json::json!({"zstd/cpu/libzstd": 13, "zstd/npu/mid-job": 3}));
}

#[test]
fn what_named_hardware_starts_the_cpu_finishes() {
    let done = compress_without_device("fails_in_mid_job", "zstd/npu/mid-job", &["--hardware", "NPU"]);
    assert_eq!(done, serde_json::json!({"zstd/cpu/libzstd": 13, "zstd/npu/mid-job": 3}));
}

#[test]
fn hardware_that_is_not_there_is_told_with_what_is() {
    let scratch = Scratch::new();
    scratch.plugins(&["unavailable_device", "store", "zstd"]);
    scratch.file("in.txt", b"text");
    let refused = |arguments: &[&str], parts: &[&str]| {
        let output = scratch.command(arguments).output().expect("run");
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {}", stderr(&output));
        let told = stderr(&output);
        assert!(parts.iter().all(|p| told.contains(p)), "{arguments:?}: {told}");
    };
    for verb in [&["compress", "in.txt", "--stdout"][..], &["best-hardware"]] {
        let named = |algorithm, hardware| [verb, &["-a", algorithm, "--hardware", hardware]].concat();
        refused(&named("zstd", "qat"), &["zstd on qat (there is: cpu)", "zstd/cpu/libzstd: runs on cpu"]);
        let parts = ["on fpga (there is: none)", "no such device"];
        refused(&named("bad-unavailable-device", "fpga"), &parts);
    }
    scratch.run(&["compress", "in.txt", "--hardware", "cpu"]);
    let bench = scratch.json(&["bench", "--hardware", "--size", "1MB", "--iterations", "1"]);
    assert_eq!(bench["cpu"]["implementation"], "zstd/cpu/libzstd", "{bench}");
    assert!(bench["cpu"]["compression_speed"].as_f64().is_some_and(|s| s > 0.0), "{bench}");
    assert!(bench["cpu"]["ratio"].as_f64().is_some_and(|r| r > 1.0), "{bench}");
    assert!(bench["cpu"]["device"].as_str().is_some_and(|d| !d.is_empty()), "{bench}");
    assert_eq!(bench["cpu"]["implementations"].as_array().map(Vec::len), Some(2), "{bench}");
    let reason = bench["fpga"]["not_measured"][0]["reason"].as_str().expect("a reason");
    assert_eq!(reason, "unavailable: no such device; plug it in");
    assert!(bench["fpga"].get("implementation").is_none(), "{bench}");
}

#[test]
fn a_simulated_device_works_only_where_it_is_named() {
    let scratch = Scratch::new();
    scratch.plugins(&["simulated_device", "store"]);
    scratch.file("in", b"text");
    let by = |options: &[&str]| {
        let arguments = [&["compress", "in", "-a", "store", "--force"][..], options].concat();
        scratch.json(&arguments[..arguments.len()])[0]["implementations"].clone()
    };
    assert_eq!(by(&[]), serde_json::json!({"store/cpu/copy": 1}));
    assert_eq!(by(&["--hardware", "fpga"]), serde_json::json!({"store/fpga/pretence": 1}));
    let named = ["--implementation", "store/fpga/pretence"];
    assert_eq!(by(&named), serde_json::json!({"store/fpga/pretence": 1}));
    let list = scratch.json(&["list-plugins"]);
    let lines = list.as_array().expect("a list");
    let line = lines.iter().find(|l| l["implementation"] == "store/fpga/pretence").expect("a line");
    assert_eq!((&line["rank"], &line["state"]), (&Value::Null, &"ok".into()), "{line}");
    let bench = scratch.json(&["bench", "--hardware", "--size", "64KB", "--iterations", "1"]);
    let reason = bench["fpga"]["not_measured"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("simulated FPGA 0"), "{reason}");
}

/// The device is lost by a file that an environment variable names: the test runs itself again with one.
#[test]
fn a_compressor_tells_who_failed_and_who_took_over() {
    let Some(lost) = env::var_os(FAIL_FILE_VARIABLE) else {
        let scratch = Scratch::new();
        let mut again = Command::new(env::current_exe().expect("path of this test"));
        again.args(["--exact", "a_compressor_tells_who_failed_and_who_took_over"]);
        succeed(again.env(FAIL_FILE_VARIABLE, scratch.path("lost")));
        return;
    };
    let scratch = Scratch::new();
    scratch.plugins(&["zstd", "fails_in_mid_job"]);
    let mut config = scratch.config();
    config.pins.insert("zstd".into(), "zstd/npu/mid-job".into());
    let host = open(config);
    let compressor = compressor(&host, "zstd");
    let data = text(1 << 20);
    let options = CompressOptions { chunk_bytes: Some(64 << 10), threads: Some(2), ..Default::default() };
    let compress = || {
        let mut out = Vec::new();
        let summary =
            pipeline::compress(&compressor, &data[..], &mut out, &options, &|_| ()).expect("compress");
        assert_eq!(compressor.decompress(&out, None).expect("decompress"), data);
        summary
    };
    assert_eq!(compress().implementations["zstd/npu/mid-job"], 16);
    assert_eq!(compressor.failures(), Vec::<String>::new());
    fs::write(lost, b"").expect("the device is lost");
    let summary = compress();
    assert_eq!(summary.implementations["zstd/npu/mid-job"], 3);
    assert_eq!(summary.implementations["zstd/cpu/libzstd"], 13);
    let failures = compressor.failures();
    assert_eq!(failures, summary.warnings);
    assert!(failures.iter().any(|f| f.contains("zstd/npu/mid-job failed")), "{failures:?}");
    assert!(failures.iter().any(|f| f.contains("zstd/cpu/libzstd took over")), "{failures:?}");
    assert_eq!(compressor.implementation(), "zstd/cpu/libzstd", "it stays with the one that works");
}
