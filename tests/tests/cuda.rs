//! The plugin for NVIDIA GPUs: on this machine as it is, and on doubles of the driver and of nvCOMP, which prove the code paths
//! and no speed.

#[path = "cuda/lanes.rs"]
mod lanes;
mod support;

use clipsmaster_host::State;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::{Scratch, built, stderr, succeed, text};

const ALGORITHMS: [(&str, &str); 4] = [("lz4", "lz4"), ("snappy", "sz"), ("zstd", "zst"), ("gzip", "gz")];
/// Plugins that read and write the same formats on the CPU.
const CPU: [&str; 4] = ["lz4", "snappy", "zstd", "gzip"];

/// A folder with the plugin, its colleagues on the CPU, and the doubles.
struct Doubled {
    scratch: Scratch,
    libraries: PathBuf,
}

impl Doubled {
    /// `faults` are those that probe children meet too.
    fn new(faults: &str) -> Self {
        let scratch = if faults.is_empty() { Scratch::sharing_cache() } else { Scratch::new() };
        scratch.plugins(&[&CPU[..], &["cuda"]].concat());
        let libraries = scratch.dir("libraries");
        place("double_cuda", &libraries.join("libcuda.so"));
        place("double_nvcomp", &libraries.join("libnvcomp.so.6"));
        scratch.file("libraries/faults", faults.as_bytes());
        let doubled = Self { scratch, libraries };
        // Lets all plugins be proven, without the faults of the host's own; nothing is measured.
        doubled.json(&["doctor"]);
        doubled
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.command(arguments);
        on_doubles(&mut command, &self.libraries);
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = succeed(&mut self.command(&[arguments, &["--json"]].concat()));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?} printed no JSON ({e}): {text}"))
    }

    /// State, reason and remedy of the plugin's implementations.
    fn verdicts(&self) -> Vec<(String, String, String)> {
        verdicts(&self.json(&["doctor"]))
    }
}

fn place(library: &str, to: &Path) {
    fs::copy(built().library(library), to).expect("library");
}

fn on_doubles(command: &mut Command, libraries: &Path) {
    command.env("LD_LIBRARY_PATH", libraries).env("CLIPSMASTER_NVCOMP", libraries);
}

/// What `doctor` says about the plugin.
fn verdicts(diagnosis: &Value) -> Vec<(String, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let troubles = diagnosis["troubles"].as_array().into_iter().flatten();
    let own = troubles.filter(|t| text(&t["what"]).ends_with("/cuda/nvcomp"));
    own.map(|t| (text(&t["state"]), text(&t["reason"]), text(&t["remedy"]))).collect()
}

fn assert_unavailable(verdicts: &[(String, String, String)], reason: &str, remedy: &str) {
    assert_eq!(verdicts.len(), 4, "{verdicts:?}");
    for verdict in verdicts {
        let (state, why, what) = verdict;
        assert_eq!(*state, State::Unavailable.to_string(), "{verdict:?}");
        assert!(why.contains(reason) && what.contains(remedy), "{verdict:?}");
    }
}

fn pinned(command: &mut Command, algorithm: &str) {
    command.env("CLIPSMASTER_PIN", format!("{algorithm}={algorithm}/cuda/nvcomp"));
}

#[test]
fn without_driver_it_says_what_to_install() {
    if Path::new("/dev/nvidiactl").exists() {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let scratch = Scratch::new();
    scratch.plugins(&["cuda"]);
    assert_unavailable(
        &verdicts(&scratch.json(&["doctor"])),
        "no NVIDIA driver: libcuda.so.1 is not found",
        "nvidia-smi",
    );
}

#[test]
fn what_is_missing_beside_the_driver_is_named() {
    let libraries = |s: &Doubled| s.libraries.clone();
    let no_device = Doubled::new("NO_DEVICE=1\n");
    assert_unavailable(&no_device.verdicts(), "the NVIDIA driver finds no device", "CUDA_VISIBLE_DEVICES");
    let major = Doubled::new("NVCOMP_VERSION=5100\n");
    assert_unavailable(&major.verdicts(), "is nvCOMP 5.1.0, and this plugin needs 6.x", "pip install");
    let memory = Doubled::new("MEMORY_MIB=8\n");
    assert_unavailable(&memory.verdicts(), "too little memory on the device", "nvidia-smi");
    let without = Doubled::new("NAME=Simulated\n");
    fs::remove_file(libraries(&without).join("libnvcomp.so.6")).expect("remove");
    fs::remove_dir_all(without.scratch.cache()).expect("remove");
    assert_unavailable(&without.verdicts(), "nvCOMP 6 is not found", "pip install nvidia-libnvcomp-cu12");
}

#[test]
fn a_driver_that_hangs_is_ended() {
    let hanging = Doubled::new("HANG_AFTER=3\n");
    let told = hanging.json(&["doctor"]);
    assert!(told.to_string().contains("no progress, killed after"), "{told}");
    assert!(told["algorithms"].to_string().contains("zstd"), "{told}");
}

#[test]
fn it_keeps_the_contract_and_names_the_device() {
    let doubled = Doubled::new("");
    let library = built().library("cuda").to_str().expect("plain path");
    let report = succeed(&mut doubled.command(&["validate", library]));
    for (algorithm, _) in ALGORITHMS {
        assert!(report.contains(&format!("{algorithm}/cuda/nvcomp: ok")), "{report}");
    }
    assert!(!report.contains("FAILED") && !report.contains("WRONG"), "{report}");
    let report = doubled.json(&["validate", library]);
    let device = "Double GPU simulated, driver for CUDA 12.8, nvCOMP 6.0.0";
    assert_eq!(report["report"].to_string().matches(device).count(), 4, "{report}");
}

/// Compresses `input` on the double, all in one chunk or in some, and returns the command's report.
fn compress(doubled: &Doubled, algorithm: &str, to: &str, more: &[&str]) -> Value {
    let arguments = ["compress", "input", "-f", "-a", algorithm, "-o", to, "--json"];
    let mut command = doubled.command(&[&arguments[..], more].concat());
    pinned(&mut command, algorithm);
    serde_json::from_str(&succeed(&mut command)).expect("JSON")
}

#[test]
fn processors_and_stock_tools_read_what_the_device_wrote() {
    let doubled = Doubled::new("");
    let data = [text(700_000), built().host.as_os_str().as_encoded_bytes().to_vec(), noise(200_000)].concat();
    doubled.scratch.file("input", &data);
    for (algorithm, extension) in ALGORITHMS {
        let implementation = format!("{algorithm}/cuda/nvcomp");
        for more in [&[][..], &["--chunk-size", "100KB", "-T", "2"], &["--chunk-size", "64KB", "--verify"]] {
            let name = format!("out.{extension}");
            let report = compress(&doubled, algorithm, &name, more);
            assert_eq!(report[0]["implementations"][&implementation], report[0]["chunks"], "{report}");
            doubled.scratch.run(&["decompress", "-f", &name, "-o", "back"]);
            assert!(fs::read(doubled.scratch.path("back")).expect("output") == data, "{algorithm} {more:?}");
            stock_reads(algorithm, &doubled.scratch.path(&name), &data);
        }
    }
}

/// The format's own tool agrees, where it is installed.
fn stock_reads(algorithm: &str, file: &Path, data: &[u8]) {
    let tool = match algorithm {
        "snappy" => return,
        tool => tool,
    };
    match Command::new(tool).arg("-dc").arg(file).output() {
        Err(_) => eprintln!("skipped: {tool} is not installed"),
        Ok(output) => assert!(output.stdout == data, "{tool}: {}", stderr(&output)),
    }
}

/// Bytes that no format shrinks.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn a_device_lost_at_any_call_costs_no_data() {
    let doubled = Doubled::new("");
    let data = text(400_000);
    doubled.scratch.file("input", &data);
    let mut warned = 0;
    for fault in ["LOST_AFTER", "NVCOMP_LOST_AFTER"] {
        for calls in (0..24).chain([30, 40, 60]) {
            let arguments =
                ["compress", "input", "-f", "-a", "zstd", "-o", "out.zst", "--chunk-size", "20KB", "-T", "2"];
            let mut command = doubled.command(&[&arguments[..], &["--json"]].concat());
            pinned(&mut command, "zstd");
            let output =
                command.env(format!("CLIPSMASTER_DOUBLE_{fault}"), calls.to_string()).output().expect("run");
            let told = stderr(&output);
            assert!(output.status.success(), "{fault}={calls}: {told}");
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            if report[0]["implementations"].get("zstd/cpu/libzstd").is_some() {
                warned += 1;
                for part in ["zstd/cuda/nvcomp", "device lost", "zstd/cpu/libzstd took over"] {
                    assert!(told.contains(part), "{fault}={calls}: `{part}` is not in: {told}");
                }
            }
            doubled.scratch.run(&["decompress", "-f", "out.zst", "-o", "back"]);
            assert!(fs::read(doubled.scratch.path("back")).expect("output") == data, "{fault}={calls}");
        }
    }
    assert!(warned > 12, "the device was lost {warned} times only");
}

#[test]
fn without_memory_the_next_implementation_takes_over() {
    let doubled = Doubled::new("");
    let data = text(3_000_000);
    doubled.scratch.file("input", &data);
    for (algorithm, extension) in ALGORITHMS {
        let name = format!("out.{extension}");
        let mut command = doubled.command(&["compress", "input", "-f", "-a", algorithm, "-o", &name]);
        pinned(&mut command, algorithm);
        let output = command.env("CLIPSMASTER_DOUBLE_MEMORY_MIB", "0").output().expect("run");
        let told = stderr(&output);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("out of memory") && told.contains("took over"), "{told}");
        doubled.scratch.run(&["decompress", "-f", &name, "-o", "back"]);
        assert!(fs::read(doubled.scratch.path("back")).expect("output") == data, "{algorithm}");
    }
}

#[test]
fn wrong_bytes_of_the_device_are_caught() {
    let doubled = Doubled::new("");
    doubled.scratch.file("input", &text(300_000));
    for (algorithm, extension) in ALGORITHMS {
        let name = format!("out.{extension}");
        let arguments = ["compress", "input", "-f", "-a", algorithm, "-o", &name, "--verify"];
        let mut command = doubled.command(&arguments);
        pinned(&mut command, algorithm);
        let output = command.env("CLIPSMASTER_DOUBLE_WRONG_BYTES", "compress").output().expect("run");
        assert!(!output.status.success(), "{algorithm}: {}", stderr(&output));
        assert!(!doubled.scratch.path(&name).exists(), "{algorithm}: nothing is published");
    }
}

/// Decompresses a file with the device before the processors: the command's report, and its warnings.
fn decompress(doubled: &Doubled, algorithm: &str, file: &str, wrong: &str) -> (Value, String) {
    let mut command = doubled.command(&["decompress", "-f", file, "-o", "back", "--json"]);
    pinned(&mut command, algorithm);
    let output = command.env("CLIPSMASTER_DOUBLE_WRONG_BYTES", wrong).output().expect("run");
    assert!(output.status.success(), "{algorithm}: {}", stderr(&output));
    (serde_json::from_slice(&output.stdout).expect("JSON"), stderr(&output))
}

#[test]
fn the_device_reads_what_processors_wrote_and_is_left_where_it_misreads() {
    let doubled = Doubled::new("");
    let data = text(700_000);
    doubled.scratch.file("input", &data);
    for (algorithm, extension) in ALGORITHMS {
        let (name, implementation) = (format!("out.{extension}"), format!("{algorithm}/cuda/nvcomp"));
        for writer in ["processor", "device"] {
            if writer == "device" {
                compress(&doubled, algorithm, &name, &["--chunk-size", "100KB"]);
            } else {
                let arguments =
                    ["compress", "input", "-f", "-a", algorithm, "-o", &name, "--chunk-size", "100KB"];
                succeed(&mut doubled.command(&arguments));
            }
            let (report, told) = decompress(&doubled, algorithm, &name, "");
            assert!(fs::read(doubled.scratch.path("back")).expect("output") == data, "{algorithm}");
            let done = &report[0]["implementations"];
            assert!(done[&implementation] == report[0]["chunks"] && told.is_empty(), "{report} {told}");
            let (_, told) = decompress(&doubled, algorithm, &name, "decompress");
            assert!(fs::read(doubled.scratch.path("back")).expect("output") == data, "{algorithm}");
            // Of a gzip member that does not tell its length, the device may have misread the end only: it is asked again.
            let left = told.contains(&implementation) && told.contains("took over");
            assert!(left || (algorithm == "gzip" && writer == "processor"), "{algorithm}, {writer}: {told}");
        }
    }
}

#[test]
fn frames_without_content_size_get_one() {
    let doubled = Doubled::new("NO_CONTENT_SIZE=1\n");
    let data = text(300_000);
    doubled.scratch.file("input", &data);
    let report = compress(&doubled, "zstd", "out.zst", &["--container", "plain"]);
    assert!(report[0]["implementations"].get("zstd/cuda/nvcomp").is_some(), "{report}");
    stock_reads("zstd", &doubled.scratch.path("out.zst"), &data);
}
