//! Where the host looks for plugins, what it trusts, where it keeps what it learnt, and what the user
//! pinned or disabled.
//!
//! Layers, later ones win: defaults, the user's `config.yaml`, the environment, the application.

use crate::{
    Error, Result, algorithm,
    policy::{self, PolicyFiles},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

/// When missing measurements are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Benchmarks {
    /// In `Host::open` and `Host::refresh`, before they return.
    OnOpen,
    /// In a background thread at low priority; ranks are provisional until it is done.
    #[default]
    Background,
    /// Not at all: ranks come from what was measured before.
    Never,
}

/// Which plugin files may be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Owned by root or the user, and writable by nobody else, like every folder above.
    #[default]
    Owner,
    /// `Owner`, and the BLAKE3 hash is listed in the `allowlist` file of the configuration folder.
    Allowlist,
    /// Every file.
    Any,
}

/// How a host is set up. `Config::default()` looks at nothing outside; [`Config::from_env`] is what the command uses.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Folders searched before all others.
    pub plugin_dirs: Vec<PathBuf>,
    /// Whether the standard folders are searched after `plugin_dirs`.
    pub standard_dirs: bool,
    /// Folder of the program, beside which plugins are searched; that of the running one when absent. For an application that runs inside
    /// another program, such as an interpreter.
    pub program_dir: Option<PathBuf>,
    /// Folder for private copies of plugins, verdicts and measurements. `None`: a temporary one, forgotten at exit.
    pub cache_dir: Option<PathBuf>,
    /// Folder of `config.yaml` and `allowlist`, and of the user's `compression_layers.yaml`.
    pub config_dir: Option<PathBuf>,
    /// Which plugin files may be loaded.
    pub trust: Trust,
    /// Program that probes plugins; see [`crate::probe_entry`].
    pub probe_helper: Option<PathBuf>,
    /// When missing measurements are taken.
    pub benchmarks: Benchmarks,
    /// Algorithm to the implementation that must serve it.
    pub pins: BTreeMap<String, String>,
    /// Implementations never chosen unless asked for by name.
    pub disabled: BTreeSet<String>,
    /// Where policies come from. An application names its project's file, if it has one.
    pub policy_files: PolicyFiles,
    /// Longest silence of a probe child, where the built-in deadlines are longer. For tests of plugins that hang: a
    /// machine under load needs the built-in ones.
    #[doc(hidden)]
    pub probe_patience: Option<Duration>,
}

/// `config.yaml`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct File {
    plugin_dirs: Vec<PathBuf>,
    trust: Option<Trust>,
    pin: BTreeMap<String, String>,
    disable: BTreeSet<String>,
}

impl Config {
    /// Only the plugins in `dir`, with a cache of its own in `cache`: for tests and closed installations.
    pub fn isolated(dir: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Self {
        Self { plugin_dirs: vec![dir.into()], cache_dir: Some(cache.into()), ..Self::default() }
    }

    /// The standard folders, the user's `config.yaml`, and the environment:
    /// `CLIPSMASTER_PLUGIN_PATH`, `CLIPSMASTER_CACHE_DIR`, `CLIPSMASTER_CONFIG_DIR`, `CLIPSMASTER_TRUST`,
    /// `CLIPSMASTER_PROBE_HELPER`, `CLIPSMASTER_PIN` (`gzip=gzip/cpu/zlib-rs,...`), `CLIPSMASTER_DISABLE` (`id,...`).
    ///
    /// # Errors
    /// A `config.yaml` or a variable that cannot be read, with the place and the problem.
    pub fn from_env() -> Result<Self> {
        let raised = raised_privileges();
        let config_dir = from_var("CLIPSMASTER_CONFIG_DIR")
            .or_else(|| xdg("XDG_CONFIG_HOME", ".config"))
            .filter(|_| !raised);
        let file = config_dir.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let mut config = Self {
            standard_dirs: true,
            // What lies in the cache is loaded, so it does not come from the caller of a privileged program either.
            cache_dir: from_var("CLIPSMASTER_CACHE_DIR")
                .or_else(|| xdg("XDG_CACHE_HOME", ".cache"))
                .filter(|_| !raised),
            policy_files: PolicyFiles {
                system: system_config_dirs().map(|dir| policy::file_in(&dir)).collect(),
                user: config_dir.as_deref().map(policy::file_in),
                project: None,
            },
            config_dir,
            probe_helper: from_var("CLIPSMASTER_PROBE_HELPER").filter(|_| !raised),
            trust: file.trust.unwrap_or_default(),
            plugin_dirs: file.plugin_dirs,
            disabled: file.disable,
            pins: file.pin.into_iter().map(|(a, id)| (algorithm::canonical(&a), id)).collect(),
            ..Self::default()
        };
        config.read_variables(raised)?;
        Ok(config)
    }

    /// Takes the project's policies from `path`, or else from `configs/compression_layers.yaml` under the working directory. A program
    /// with more rights than its caller does not look there: the caller chose that folder.
    pub fn set_project_policy(&mut self, path: Option<PathBuf>) {
        let usual = || (!raised_privileges()).then(|| PolicyFiles::project_file_in(Path::new("")));
        self.policy_files.project = path.or_else(usual);
    }

    fn read_variables(&mut self, raised: bool) -> Result<()> {
        if let Ok(trust) = env::var("CLIPSMASTER_TRUST")
            && !raised
        {
            self.trust = parse_trust(&trust)?;
        }
        for id in list_var("CLIPSMASTER_DISABLE") {
            self.disabled.insert(id);
        }
        for pin in list_var("CLIPSMASTER_PIN") {
            let (name, id) = pin.split_once('=').ok_or_else(|| {
                Error::Usage(format!("CLIPSMASTER_PIN: `{pin}` is not algorithm=implementation"))
            })?;
            self.pins.insert(algorithm::canonical(name.trim()), id.trim().to_owned());
        }
        Ok(())
    }

    /// The folders searched, in order, with the reason each is in the list. The first plugin id found wins.
    pub fn search_dirs(&self) -> Vec<SearchDir> {
        let raised = raised_privileges();
        let mut dirs: Vec<SearchDir> =
            self.plugin_dirs.iter().map(|p| SearchDir::new(p, "given explicitly")).collect();
        if self.standard_dirs {
            if !raised {
                let listed = env::var_os("CLIPSMASTER_PLUGIN_PATH").unwrap_or_default();
                dirs.extend(env::split_paths(&listed).map(|p| SearchDir::new(&p, "CLIPSMASTER_PLUGIN_PATH")));
                let home = data_home().map(|p| p.join("clipsmaster/plugins"));
                dirs.extend(home.map(|p| SearchDir::new(&p, "user's plugins")));
            }
            if let Some(exe_dir) = self.program_dir.as_deref().or(running_program_dir()) {
                dirs.push(SearchDir { beside: true, ..SearchDir::new(exe_dir, "beside the program") });
                let installed = exe_dir.parent().map(|prefix| prefix.join("lib/clipsmaster/plugins"));
                dirs.extend(installed.map(|p| SearchDir::new(&p, "installed with the program")));
            }
            for system in ["/usr/local/lib/clipsmaster/plugins", "/usr/lib/clipsmaster/plugins"] {
                dirs.push(SearchDir::new(Path::new(system), "system"));
            }
        }
        // An empty or relative entry would mean the working directory. What is installed with a program in /usr/bin is the system's,
        // too, and no copy of itself.
        let mut seen = BTreeSet::new();
        dirs.retain(|d| d.path.is_absolute() && seen.insert(d.path.clone()));
        dirs
    }
}

/// A folder that is searched for plugins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchDir {
    /// The folder, absolute.
    pub path: PathBuf,
    /// Why it is searched.
    pub origin: &'static str,
    /// Whether only files named `libclipsmaster_plugin_*` count, because other libraries live there.
    pub beside: bool,
}

impl SearchDir {
    fn new(path: &Path, origin: &'static str) -> Self {
        Self { path: path.to_owned(), origin, beside: false }
    }
}

fn read_file(dir: &Path) -> Result<File> {
    let path = dir.join("config.yaml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_saphyr::from_str(&text).map_err(|e| Error::Config { path, problem: e.to_string() })
}

/// Reads the name of a trust policy.
///
/// # Errors
/// When `name` is none of them.
pub fn parse_trust(name: &str) -> Result<Trust> {
    match name {
        "owner" => Ok(Trust::Owner),
        "allowlist" => Ok(Trust::Allowlist),
        "any" => Ok(Trust::Any),
        _ => Err(Error::Usage(format!("unknown trust policy `{name}`; known: owner, allowlist, any"))),
    }
}

fn list_var(name: &str) -> Vec<String> {
    let value = env::var(name).unwrap_or_default();
    value.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

fn from_var(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute())
}

fn home() -> Option<PathBuf> {
    from_var("HOME")
}

fn data_home() -> Option<PathBuf> {
    from_var("XDG_DATA_HOME").or_else(|| home().map(|h| h.join(".local/share")))
}

/// The folder of the running program.
fn running_program_dir() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(|| env::current_exe().ok()).as_deref().and_then(Path::parent)
}

/// Where an administrator configures the machine, and then what is installed under the program's own prefix.
fn system_config_dirs() -> impl Iterator<Item = PathBuf> {
    let prefix = running_program_dir().and_then(Path::parent);
    [Path::new("/etc/clipsmaster").to_owned()].into_iter().chain(prefix.map(|p| p.join("etc/clipsmaster")))
}

fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let base = from_var(variable).or_else(|| home().map(|h| h.join(below_home)));
    base.map(|b| b.join("clipsmaster"))
}

/// Whether the program runs with more rights than its caller (set-user-ID and the like): the kernel says so in
/// the auxiliary vector (`AT_SECURE`, getauxval(3)). Then nothing from the caller's environment names code to load.
pub(crate) fn raised_privileges() -> bool {
    static IS_RAISED: OnceLock<bool> = OnceLock::new();
    *IS_RAISED.get_or_init(are_privileges_raised)
}

fn are_privileges_raised() -> bool {
    const AT_SECURE: usize = 23;
    use rustix::process::{getegid, geteuid, getgid, getuid};
    if getuid() != geteuid() || getgid() != getegid() {
        return true;
    }
    let auxv = match fs::read("/proc/self/auxv") {
        Ok(auxv) => auxv,
        // The kernel hides it from privileged programs that are not root.
        Err(e) => return e.kind() != std::io::ErrorKind::NotFound,
    };
    let word = size_of::<usize>();
    let entries = auxv.chunks_exact(2 * word);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, usize::from_ne_bytes);
    entries.into_iter().any(|e| number(&e[..word]) == AT_SECURE && number(&e[word..]) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_configuration_is_valid() {
        let text = include_str!("../../configs/config.yaml");
        let file: File = serde_saphyr::from_str(text).expect("valid");
        assert_eq!(file.trust, Some(Trust::Owner));
        assert_eq!(file.pin["gzip"], "gzip/cpu/zlib-rs");
        // And every line that is commented out, too.
        let all: String =
            text.lines().map(|l| l.strip_prefix("#: ").unwrap_or(l).to_owned() + "\n").collect();
        let file: File = serde_saphyr::from_str(&all).expect("valid");
        assert_eq!(file.plugin_dirs, [PathBuf::from("/opt/my-plugins")]);
        assert!(file.disable.contains("lz4/cpu/lz4_flex"));
        assert!(serde_saphyr::from_str::<File>("pins: {}").is_err(), "unknown keys are errors");
    }

    #[test]
    fn relative_and_empty_folders_are_not_searched_and_none_twice() {
        let config = Config {
            plugin_dirs: vec!["".into(), ".".into(), "plugins".into(), "/a".into(), "/a".into()],
            ..Config::default()
        };
        let dirs: Vec<_> = config.search_dirs().into_iter().map(|d| d.path).collect();
        assert_eq!(dirs, [PathBuf::from("/a")]);
    }

    #[test]
    fn an_ordinary_process_has_no_raised_privileges() {
        assert!(!raised_privileges());
    }

    #[test]
    fn unknown_trust_names_are_listed() {
        let e = parse_trust("everyone").expect_err("not a policy");
        assert!(e.to_string().contains("owner, allowlist, any"));
    }
}
