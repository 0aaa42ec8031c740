//! What the tests across crates share: what cargo built, folders of their own, the command in a clean environment.
//!
//! Nothing here looks at the machine's own plugins, cache or configuration.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod framed;

use clipsmaster_host::{Benchmarks, Config, Listed};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Command, Output},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// What cargo built for the tests.
#[derive(Debug)]
pub(crate) struct Built {
    /// The command, in a folder without plugins: beside it, it would find those of the workspace.
    pub host: PathBuf,
    /// Shared libraries by the name of their plugin (`zstd`) or example (`segv_in_constructor`).
    libraries: BTreeMap<String, PathBuf>,
    /// Names of the examples among them.
    pub examples: Vec<String>,
}

impl Built {
    /// The shared library of a plugin of the workspace, or of an example.
    pub(crate) fn library(&self, name: &str) -> &Path {
        let known = || format!("no library `{name}` among {:?}", self.libraries.keys());
        self.libraries.get(name).unwrap_or_else(|| panic!("{}", known()))
    }
}

/// Builds what `cargo test` leaves out (the command, and plugins beside it) or has just built (the examples).
pub(crate) fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        // The same packages and targets as `cargo test --workspace`, so that features are unified as there and
        // everything is fresh.
        let profile = profile_dir();
        let profile = match profile.file_name().and_then(|n| n.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let arguments = ["--workspace", "--lib", "--bins", "--examples", "--profile", profile];
        let artifacts = cargo_build(&arguments, &target_dir());
        let mut built = Built { host: PathBuf::new(), libraries: BTreeMap::new(), examples: Vec::new() };
        for artifact in artifacts {
            let name = artifact.name.strip_prefix("clipsmaster_plugin_").unwrap_or(&artifact.name);
            if artifact.kind == "example" && artifact.file.extension().is_some_and(|e| e == "so") {
                built.examples.push(name.to_owned());
            }
            if artifact.file.extension().is_some_and(|e| e == "so") {
                built.libraries.insert(name.replace('-', "_"), artifact.file);
            } else if artifact.kind == "bin" {
                built.host = without_plugins(&artifact.file);
            }
        }
        built
    })
}

/// A library or program that cargo built.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub name: String,
    pub kind: String,
    pub file: PathBuf,
}

/// Runs `cargo build` in this package's folder; what it built.
pub(crate) fn cargo_build(arguments: &[&str], target_dir: &Path) -> Vec<Artifact> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--message-format=json", "-q"]);
    command.arg("--target-dir").arg(target_dir).args(arguments);
    let output = command.output().expect("cargo can be executed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo build {arguments:?} failed:\n{errors}");
    let messages = output.stdout.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok());
    messages.flat_map(|m: Value| artifacts(&m)).collect()
}

fn artifacts(message: &Value) -> Vec<Artifact> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    if message["reason"] != "compiler-artifact" {
        return Vec::new();
    }
    let (name, kind) = (text(&message["target"]["name"]), text(&message["target"]["kind"][0]));
    let files = message["filenames"].as_array().into_iter().flatten();
    files.map(|f| Artifact { name: name.clone(), kind: kind.clone(), file: text(f).into() }).collect()
}

/// Folder of this test's profile, `target/debug` for example.
fn profile_dir() -> PathBuf {
    let own = env::current_exe().expect("path of this test");
    own.ancestors().nth(2).expect("tests lie in <profile>/deps").to_owned()
}

/// The folder that cargo builds in.
pub(crate) fn target_dir() -> PathBuf {
    profile_dir().parent().expect("profiles lie in the target folder").to_owned()
}

/// A name for the program where no plugin lies beside it.
fn without_plugins(program: &Path) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bin");
    fs::create_dir_all(&dir).expect("folder for the program");
    let (own, temporary) = (dir.join("clipsmaster-host"), dir.join(format!("{}.tmp", process::id())));
    fs::hard_link(program, &temporary).expect("second name of the program");
    fs::rename(&temporary, &own).expect("name of the program");
    // Does nothing when both names were the same file already.
    let _ = fs::remove_file(&temporary);
    own
}

/// A folder of a test's own, with the test's home, cache and configuration; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    root: PathBuf,
    /// A cache that other tests of the same program use too.
    shared_cache: Option<PathBuf>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("clipsmaster-tests-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
        let scratch = Self { root: env::temp_dir().join(name), shared_cache: None };
        scratch.dir("");
        scratch
    }

    /// As [`new`](Self::new), with one cache for all tests of this program, so that plugins are proven once.
    pub(crate) fn sharing_cache() -> Self {
        static CACHE: OnceLock<PathBuf> = OnceLock::new();
        let cache = CACHE.get_or_init(|| {
            let own = env::current_exe().expect("path of this test");
            let name = own.file_stem().expect("tests have names").to_string_lossy().into_owned();
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cache-{name}"));
            let _ = fs::remove_dir_all(&cache);
            cache
        });
        let mut scratch = Self::new();
        scratch.shared_cache = Some(cache.clone());
        scratch
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A folder in the folder, which the trust rule accepts under any umask.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).expect("folder");
        path
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("file");
        path
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.shared_cache.clone().unwrap_or_else(|| self.path("cache"))
    }

    /// A plugins folder with copies of these libraries.
    pub(crate) fn plugins(&self, names: &[&str]) -> PathBuf {
        let dir = self.dir("plugins");
        for name in names {
            install(built().library(name), &dir);
        }
        dir
    }

    /// Only this test's plugins and cache; nothing is measured.
    pub(crate) fn config(&self) -> Config {
        Config {
            config_dir: Some(self.dir("config")),
            probe_helper: Some(built().host.clone()),
            benchmarks: Benchmarks::Never,
            ..Config::isolated(self.dir("plugins"), self.cache())
        }
    }

    /// The command, with nothing of this process's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&built().host);
        command.env_clear().current_dir(&self.root);
        command.env("HOME", self.dir("home"));
        for (variable, name) in
            [("XDG_DATA_HOME", "data"), ("XDG_CACHE_HOME", "xdg-cache"), ("XDG_CONFIG_HOME", "xdg-config")]
        {
            command.env(variable, self.dir(name));
        }
        command.env("CLIPSMASTER_CACHE_DIR", self.cache());
        command.env("CLIPSMASTER_CONFIG_DIR", self.dir("config"));
        command.arg("--plugins-dir").arg(self.dir("plugins")).args(arguments);
        command
    }

    /// Runs the command.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command runs")
    }

    /// Runs the command, which must end with `code`; its standard error.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    /// Runs the command, which must succeed; its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.command(arguments))
    }

    /// Runs the command, which must succeed and print JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?} printed no JSON ({e}): {text}"))
    }
}

/// Copies a library into a plugins folder, with the mode of an installed one.
pub(crate) fn install(library: &Path, dir: &Path) -> PathBuf {
    let path = dir.join(library.file_name().expect("libraries have names"));
    write_library(&path, &fs::read(library).expect("library"));
    path
}

/// Writes a library, in place where it is there already.
pub(crate) fn write_library(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("library");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("mode of a library");
}

/// Runs a command that must succeed; its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("the command can be executed");
    assert!(output.status.success(), "{command:?} failed: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The lines of a listing that came from the file `lib<name>.so`.
pub(crate) fn lines_of<'a>(list: &'a [Listed], name: &str) -> Vec<&'a Listed> {
    let file = format!("lib{name}.so");
    let own = format!("libclipsmaster_plugin_{name}.so");
    let of_file = |l: &&Listed| {
        let name = l.path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name == file || name == own
    };
    list.iter().filter(of_file).collect()
}

/// The only line from that file.
pub(crate) fn line_of<'a>(list: &'a [Listed], name: &str) -> &'a Listed {
    match lines_of(list, name)[..] {
        [line] => line,
        ref lines => panic!("{name}: one line expected, not {lines:#?}"),
    }
}

/// Words in an order that repeats late: like prose to a codec, and the same on every machine.
pub(crate) fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["the ", "frame ", "of ", "a ", "chunk ", "reads ", "what ", "it wrote, "];
    let mut state = 1_u32;
    let mut words = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        WORDS[(state >> 29) as usize]
    });
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        text.extend_from_slice(words.next().unwrap_or_default().as_bytes());
    }
    text.truncate(len);
    text
}

/// Bytes that no codec makes smaller, other ones for each seed, the same on every machine.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
