//! `policy` and `compress --resource-type` as a user meets them, and the same from the library.

mod support;

use clipsmaster_host::{
    Host, Policies,
    policy::{Installed, Key, PolicyFile, PolicySet, Problem, Setting},
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Arc,
};
use support::{Scratch, stderr, text};

const SHIPPED: &str = include_str!("../../configs/compression_layers.yaml");
const PROJECT: &str = "configs/compression_layers.yaml";

fn scratch() -> Scratch {
    let scratch = Scratch::sharing_cache();
    scratch.plugins(&["store", "zstd", "lz4", "lz4_liblz4", "gzip", "lzma"]);
    scratch
}

fn read(scratch: &Scratch, name: &str) -> String {
    fs::read_to_string(scratch.path(name)).expect(name)
}

/// Writes the project's file.
fn project(scratch: &Scratch, text: &str) {
    scratch.dir("configs");
    scratch.file(PROJECT, text.as_bytes());
}

const USER: &str = "config/compression_layers.yaml";

#[test]
fn the_shipped_file_is_what_holds_without_any() {
    let s = scratch();
    let list = s.json(&["policy", "list"]);
    assert_eq!(list.as_array().map(Vec::len), Some(8));
    let weights = &list[0];
    assert_eq!(weights["resource_type"], "model_weights");
    assert_eq!(weights["threshold_bytes"], 50 << 20);
    assert_eq!(weights["auto_compress"], false);
    let shipped = s.file("shipped.yaml", SHIPPED.as_bytes());
    let report = s.json(&["policy", "verify", shipped.to_str().expect("UTF-8")]);
    assert_eq!((&report["valid"], &report["problems"]), (&Value::Bool(true), &Value::Array(vec![])));
    let from_file = s.json(&["--config", "shipped.yaml", "policy", "show", "log_data"]);
    assert_eq!(from_file["origins"]["level"]["path"], "shipped.yaml");
    assert_eq!(from_file["level"], 6);
}

#[test]
fn changes_go_to_the_project_or_else_to_the_user_and_keep_what_was_written() {
    let s = scratch();
    let create =
        ["policy", "create", "image_data", "--algorithm", "zstd", "--level", "2", "--threshold", "5"];
    assert!(s.run(&create).contains(USER));
    assert_eq!(
        read(&s, USER),
        "compression_policy:\n  image_data:\n    algorithm: zstd\n    level: 2\n    threshold_mb: 5\n"
    );
    project(&s, "# ours\ncompression_policy:\n  model_weights:   # big\n    level: 3  # enough\n# end\n");
    let update = ["policy", "update", "model_weights", "--level", "2", "--auto-compress", "true"];
    assert_eq!(s.run(&update), format!("updated model_weights in {PROJECT}\n"));
    assert_eq!(
        read(&s, PROJECT),
        "# ours\ncompression_policy:\n  model_weights:   # big\n    level: 2  # enough\n    auto_compress: yes\n# end\n"
    );
    let shown = s.run(&["policy", "show", "model_weights", "--origin"]);
    assert!(shown.contains(&format!("{PROJECT}:4:12")), "{shown}");
    assert!(shown.contains("built-in compression_layers.yaml:"), "{shown}");
    let report = s.json(&["policy", "update", "subtitle", "--parity", "5", "--save", "other.yaml"]);
    assert_eq!((&report["file"], &report["action"]), (&"other.yaml".into(), &"updated".into()));
    assert_eq!(read(&s, "other.yaml"), "compression_policy:\n  subtitle:\n    parity: 5\n");
}

#[test]
fn names_that_are_wrong_are_told_with_what_was_meant() {
    let s = scratch();
    let e = s.ends(2, &["policy", "update", "model_wieghts", "--level", "2"]);
    assert!(
        e.contains("unknown resource type `model_wieghts`") && e.contains("did you mean `model_weights`?"),
        "{e}"
    );
    let e = s.ends(2, &["policy", "create", "subtitle", "--level", "1"]);
    assert!(e.contains("`subtitle` exists (built-in defaults)") && e.contains("--force"), "{e}");
    let e = s.ends(2, &["policy", "create", "a:b"]);
    assert!(e.contains("no name of a resource type"), "{e}");
    let e = s.ends(2, &["policy", "update", "subtitle"]);
    assert!(e.contains("nothing to change"), "{e}");
    let e = s.ends(2, &["policy", "delete", "subtitel"]);
    assert!(e.contains("did you mean `subtitle`?"), "{e}");
    let e = s.ends(2, &["policy", "update", "subtitle", "--chunk-size", "65MB"]);
    assert!(e.contains("4KB to 64MB"), "{e}");
    assert!(!s.path(USER).exists() && !s.path(PROJECT).exists());
}

#[test]
fn what_does_not_go_here_needs_force_and_what_never_goes_is_not_written() {
    let s = scratch();
    let e = s.ends(2, &["policy", "create", "x", "--algorithm", "zsdt"]);
    assert!(e.contains("did you mean `zstd`?") && e.contains("installed: gzip, lz4"), "{e}");
    let cuda = ["policy", "create", "x", "--algorithm", "gzip", "--hardware", "cuda"];
    assert!(s.ends(2, &cuda).contains("nothing here does gzip on cuda; usable: cpu"));
    let forced = s.output(&[&cuda[..], &["--force"]].concat());
    assert!(forced.status.success() && stderr(&forced).contains("warning"), "{}", stderr(&forced));
    let e = s.ends(2, &["policy", "create", "y", "--algorithm", "gzip", "--level", "30"]);
    assert!(e.contains("gzip has no level 30; it has 0 to 9"), "{e}");
    let auto = ["policy", "create", "y", "--algorithm", "auto", "--level", "3", "--force"];
    assert!(s.ends(2, &auto).contains("leave it out"));
    assert!(!read(&s, USER).contains("  y:"));
}

#[test]
fn deleting_tells_what_remains() {
    let s = scratch();
    let e = s.ends(2, &["policy", "delete", "subtitle"]);
    assert!(e.contains("one of the built-in defaults") && e.contains("--auto-compress no"), "{e}");
    s.run(&["policy", "update", "subtitle", "--level", "9"]);
    s.run(&["policy", "create", "notes", "--algorithm", "gzip"]);
    let deleted = s.output(&["policy", "delete", "subtitle"]);
    assert!(deleted.status.success() && stderr(&deleted).contains("still defined (built-in defaults)"));
    assert_eq!(s.json(&["policy", "show", "subtitle"])["level"], 0);
    project(&s, "compression_policy:\n  other:\n    level: 1\n");
    let e = s.ends(2, &["policy", "delete", "notes"]);
    assert!(e.contains("--save") && e.contains(USER), "{e}");
    let user = s.path(USER);
    s.run(&["policy", "delete", "notes", "--save", user.to_str().expect("UTF-8")]);
    assert_eq!(read(&s, USER), "compression_policy:\n");
    s.run(&["policy", "list"]);
}

#[test]
fn writers_at_the_same_time_all_succeed() {
    let scratch = scratch();
    scratch.run(&["policy", "list"]);
    let create = |number: u32| {
        let name = format!("type{number}");
        let command =
            ["policy", "create", &name, "--algorithm", "zstd", "--level", "3", "--save", "shared.yaml"];
        scratch.command(&command).spawn().expect("the command runs")
    };
    let writers: Vec<_> = (0..6).map(create).collect();
    assert!(writers.into_iter().all(|mut w| w.wait().expect("it ends").success()));
    let text = read(&scratch, "shared.yaml");
    assert!((0..6).all(|number| text.contains(&format!("type{number}:"))), "{text}");
    let left: Vec<_> = fs::read_dir(scratch.path("")).expect("the folder").flatten().collect();
    assert!(left.iter().all(|e| !e.file_name().to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[test]
fn what_a_file_says_does_not_reach_the_terminal_as_commands() {
    let scratch = scratch();
    scratch.file("p.yaml", b"compression_policy:\n  a:\n    \"x\\e]0;title\\a\\nerror: fake\": 1\n");
    let output = scratch.output(&["policy", "verify", "p.yaml"]);
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(
        told.contains("unknown key") && !told.contains('\x1b') && !told.contains("\nerror: fake"),
        "{told}"
    );
}

#[test]
fn links_are_followed_and_modes_stay() {
    let s = scratch();
    s.dir("config");
    let real = s.file("real.yaml", b"compression_policy: {}\n");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o604)).expect("mode");
    symlink("../real.yaml", s.path(USER)).expect("link");
    s.run(&["policy", "create", "notes", "--level", "1"]);
    assert_eq!(read(&s, "real.yaml"), "compression_policy: {notes: {level: 1}}\n");
    assert_eq!(fs::metadata(&real).expect("there").permissions().mode() & 0o777, 0o604);
    assert!(fs::symlink_metadata(s.path(USER)).expect("there").is_symlink());
}

#[test]
fn verify_tells_every_mistake_and_loading_refuses() {
    let s = scratch();
    s.file(
        "bad.yaml",
        b"compression_policy:\n  subtitle:\n    algoritm: lz4\n    auto_compress: \"no\"\n  log_data:\n    level: 30\n    \
          chunk_size: 0\n    hardware: cuda\n",
    );
    let output = s.output(&["policy", "verify", "bad.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stdout).expect("text");
    for line in [
        "bad.yaml:3:5: error: unknown key `algoritm`; did you mean `algorithm`?\n        algoritm: lz4\n        ^\n",
        "bad.yaml:4:20: error: subtitle.auto_compress: \"no\" in quotes is text",
        "bad.yaml:6:12: error: log_data.level: gzip has no level 30",
        "bad.yaml:7:17: error: log_data.chunk_size",
        "bad.yaml:8:15: warning: log_data.hardware",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(s.ends(2, &["policy", "verify", "bad.yaml"]).contains("4 errors, 1 warning"));
    let e = s.ends(2, &["--config", "bad.yaml", "policy", "list"]);
    assert!(e.contains("bad.yaml:3:5: error") && e.contains("bad.yaml:7:17"), "{e}");
    let e = s.ends(1, &["--config", "none.yaml", "policy", "list"]);
    assert!(e.contains("cannot read none.yaml"), "{e}");
    for (name, bytes, told) in [
        ("large.yaml", vec![b'#'; 10 << 20], "1 MiB at most"),
        ("bytes.yaml", b"compression_policy:\n  a: \xff\n".to_vec(), "no UTF-8"),
        ("tab.yaml", b"compression_policy:\n\ta:\n".to_vec(), "spaces only"),
        ("loop.yaml", b"compression_policy: &a\n  a: *a\n".to_vec(), "aliases"),
        ("twice.yaml", b"compression_policy:\n  a:\n    level: 1\n    level: 2\n".to_vec(), "second time"),
    ] {
        s.file(name, &bytes);
        let report = failing_json(&s, &["policy", "verify", name, "--json"]);
        let message = report["problems"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(told), "{name}: {report}");
    }
    // One that says nothing, all of it commented out perhaps, can be used, and filled.
    s.file("empty.yaml", b"# level: 9\n");
    let report = s.json(&["policy", "verify", "empty.yaml"]);
    let problem = &report["problems"][0];
    assert_eq!((&report["valid"], &problem["severity"]), (&true.into(), &"warning".into()), "{report}");
    s.run(&["policy", "create", "mine", "--algorithm", "zstd", "--save", "empty.yaml"]);
    assert!(read(&s, "empty.yaml").starts_with("# level: 9\n"));
}

/// The JSON of a command that fails.
fn failing_json(scratch: &Scratch, arguments: &[&str]) -> Value {
    let output = scratch.output(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn files_are_compressed_by_policy_and_options_win() {
    let s = scratch();
    let data = text(3 << 20);
    s.file("data.log", &data);
    let report = s.json(&["policy", "apply", "log_data", "data.log"]);
    assert_eq!(report[0]["algorithm"], "gzip");
    assert_eq!(report[0]["output"], "data.log.gz");
    assert!(s.ends(1, &["policy", "apply", "log_data", "data.log"]).contains("--force"));
    s.run(&["policy", "apply", "log_data", "data.log", "--force"]);
    let piped = s.output(&["policy", "apply", "subtitle", "data.log", "--stdout"]);
    assert_eq!(piped.stdout.get(..4), Some(&[0x04, 0x22, 0x4d, 0x18][..]), "an lz4 frame");
    let info = |name: &str| s.json(&["info", name]);
    s.run(&["compress", "--resource-type", "model_weights", "data.log"]);
    assert_eq!(info("data.log.zst")["level"], 3);
    assert_eq!(info("data.log.zst")["chunks"].as_array().map(Vec::len), Some(3), "of 1 MiB");
    let own = [
        "compress",
        "--resource-type",
        "model_weights",
        "--level",
        "5",
        "--chunk-size",
        "2MB",
        "-f",
        "data.log",
    ];
    s.run(&own);
    assert_eq!(info("data.log.zst")["level"], 5);
    // The name of the output is a word, too.
    let report = s.json(&["compress", "--resource-type", "model_weights", "data.log", "-o", "x.xz"]);
    assert_eq!(report[0]["algorithm"], "lzma");
    let e = s.ends(5, &["compress", "--resource-type", "log_data", "--level", "99", "-f", "data.log"]);
    assert!(e.contains("level 99"), "{e}");
    let slip = s.output(&["policy", "apply", "log_dta", "data.log", "--force"]);
    assert!(slip.status.success() && stderr(&slip).contains("did you mean `log_data`?"), "{}", stderr(&slip));
    project(&s, "compression_policy:\n  log_data:\n    hardware: cuda\n");
    let named =
        ["compress", "--resource-type", "log_data", "--implementation", "gzip/cpu/zlib-rs", "-f", "data.log"];
    s.run(&named);
    project(&s, "compression_policy:\n  safe:\n    algorithm: auto\n    objective: speed\n    parity: 10\n");
    let report = s.json(&["policy", "apply", "safe", "data.log", "-o", "safe.cmc"]);
    assert!(report[0]["choice"]["why"].is_string(), "{report}");
    assert_eq!(info("safe.cmc")["parity_percent"], 10);
    s.run(&["decompress", "safe.cmc", "-o", "back"]);
    assert_eq!(fs::read(s.path("back")).expect("output"), data);
}

#[test]
fn the_library_compresses_by_policy_and_follows_its_files() {
    let s = scratch();
    s.dir("config");
    let path = s.path(USER);
    let mut config = s.config();
    config.policy_files.user = Some(path.clone());
    let host = Host::open(config).expect("a host");
    assert_eq!(host.get_resource_policy("subtitle").expect("a policy").algorithm, "lz4");
    let data = text(1 << 20);
    for name in ["subtitle", "model_weights", "log_data", "unheard_of"] {
        let (compressed, metadata) = host.compress_with_policy(&data, name).expect(name);
        assert_eq!(metadata.algorithm, host.get_resource_policy(name).expect("a policy").algorithm);
        assert_eq!(host.decompress_data(&compressed, None).expect(name), data);
    }
    fs::write(&path, "compression_policy:\n  subtitle:\n    algorithm: auto\n    parity: 5\n")
        .expect("write");
    let policies = host.policies().expect("policies");
    assert!(policies.reload_if_changed().expect("a good file"));
    let (compressed, _) = host.compress_with_policy(&data, "subtitle").expect("by trials");
    assert_eq!(host.decompress_data(&compressed, None).expect("back"), data);
    host.set_policies(Arc::new(Policies::fixed(PolicySet::builtin())));
    assert_eq!(host.get_resource_policy("subtitle").expect("a policy").parity_percent, 0);

    fs::write(&path, "compression_policy:\n  subtitle: 3\n").expect("write");
    let mut config = s.config();
    config.policy_files.user = Some(path);
    let host = Host::open(config).expect("opening needs no policy");
    let e = host.get_resource_policy("subtitle").expect_err("a mistake").to_string();
    assert!(e.contains(":2:13: error"), "{e}");
}

/// Files that are changed at random: read or refused with places that exist, and edited rightly or not at all.
#[test]
fn changed_files_never_panic_and_places_are_real() {
    let s = scratch();
    let path = s.path("changed.yaml");
    let mut state = 0x2545_f491_u32;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let change = clipsmaster_host::policy::Change::Set(
        "subtitle".into(),
        vec![Setting::read(Key::Level, "9").expect("a level")],
    );
    for _ in 0..1500 {
        let mut bytes = SHIPPED.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let (at, len) = (random(bytes.len()), random(12));
            let end = (at + len).min(bytes.len());
            match random(3) {
                0 => bytes[at] = b"\t\n:#&*!'\"{}[]-|> \xff\0x"[random(20)],
                1 => drop(bytes.drain(at..end)),
                _ => {
                    let copy = bytes[at..end].to_vec();
                    let to = random(bytes.len());
                    bytes.splice(to..to, copy);
                }
            }
        }
        fs::write(&path, &bytes).expect("write");
        let problems = PolicyFile::verify(&path, Some(&Installed::default())).expect("readable");
        let lines = bytes.split(|b| *b == b'\n').count();
        for Problem { place, .. } in &problems {
            assert!((1..=lines + 1).contains(&place.line) && place.column >= 1, "{place}");
        }
        let Ok(mut file) = PolicyFile::open(Path::new(&path)) else { continue };
        if file.change(&change).is_ok() {
            assert_eq!(
                PolicySet::parse(file.text(), clipsmaster_host::policy::Layer::Project, &path)
                    .0
                    .get("subtitle")
                    .level,
                Some(9)
            );
        }
    }
}

#[test]
fn doctor_names_the_files_and_what_is_wrong_with_them() {
    let s = scratch();
    assert!(s.run(&["doctor"]).contains("policies\n  the built-in ones\n"));
    project(&s, "compression_policy:\n  log_data:\n    hardware: cuda\n");
    let told = s.run(&["doctor"]);
    assert!(
        told.contains(&format!("policies\n  {PROJECT}\n  {PROJECT}:3:15: warning: log_data.hardware")),
        "{told}"
    );
    project(&s, "compression_policy:\n  log_data: 3\n");
    let told = s.run(&["doctor"]);
    assert!(told.contains(&format!("{PROJECT}:2:13: error")), "{told}");
}
