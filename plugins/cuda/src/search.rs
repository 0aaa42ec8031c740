//! Where nvCOMP may lie. Nothing is opened here.
//!
//! The places depend on the variables that the host passes to its probe children and on nothing else, so that the child and the
//! host find the same file.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Name of the library; its number is the major version.
pub(crate) const SONAME: &str = "libnvcomp.so.6";
/// Path of the library, or of the folder with it.
pub(crate) const VARIABLE: &str = "CLIPSMASTER_NVCOMP";

/// Files to try, in order: only the one that `CLIPSMASTER_NVCOMP` names if it is set; the Python packages of the user and the system;
/// what the system's loader finds.
pub(crate) fn candidates() -> Vec<PathBuf> {
    // A program that runs with another's privileges must not load what its caller names.
    if is_privileged() {
        return vec![SONAME.into()];
    }
    if let Some(given) = env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
        let given = PathBuf::from(given);
        return vec![if given.is_dir() { given.join(SONAME) } else { given }];
    }
    let mut found: Vec<PathBuf> = prefixes().iter().flat_map(|prefix| in_python(prefix)).collect();
    found.push(SONAME.into());
    found
}

/// Folders that Python may be installed below: those that programs are executed from, of environments too.
fn prefixes() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut prefixes: Vec<PathBuf> =
        env::split_paths(&path).filter_map(|bin| Some(bin.parent()?.to_owned())).collect();
    prefixes.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".local")));
    prefixes.extend(["/usr/local", "/usr"].map(PathBuf::from));
    prefixes
}

/// Libraries in the package folders of every Python below `prefix`.
fn in_python(prefix: &Path) -> Vec<PathBuf> {
    if !prefix.is_absolute() {
        return Vec::new();
    }
    let mut folders = vec![prefix.join("lib/python3")];
    let versions = prefix.join("lib").read_dir().into_iter().flatten().flatten();
    folders.extend(
        versions
            .map(|e| e.path())
            .filter(|p| p.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3."))),
    );
    let packages = ["site-packages", "dist-packages"];
    let files = folders.iter().flat_map(|folder| packages.map(|p| folder.join(p)));
    files.map(|p| p.join("nvidia/libnvcomp/lib64").join(SONAME)).filter(|p| p.is_file()).collect()
}

/// Whether the kernel started this program with raised privileges (`AT_SECURE` of getauxval(3)).
fn is_privileged() -> bool {
    const AT_SECURE: usize = 23;
    const PAIR: usize = 2 * size_of::<usize>();
    let Ok(vector) = std::fs::read("/proc/self/auxv") else { return true };
    let number = |bytes: &[u8]| bytes.first_chunk().map(|b| usize::from_ne_bytes(*b));
    let pairs = vector.chunks_exact(PAIR).map(|pair| pair.split_at(PAIR / 2));
    pairs.into_iter().any(|(key, value)| number(key) == Some(AT_SECURE) && number(value) != Some(0))
}
