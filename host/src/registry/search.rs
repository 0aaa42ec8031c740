//! Which files lie in the plugins folders.

use crate::config::SearchDir;
use std::{fs, os::unix::ffi::OsStrExt, path::PathBuf};

/// Name of plugins where other libraries live too.
const OWN_PREFIX: &[u8] = b"libclipsmaster_plugin_";

/// Shared libraries in `dir`, not below it, sorted by the bytes of their names. A folder that is not
/// there has none.
pub(super) fn libraries(dir: &SearchDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(&dir.path).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|e| {
            let name = e.file_name();
            let name = name.as_bytes();
            name.ends_with(b".so") && (!dir.beside || name.starts_with(OWN_PREFIX))
        })
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}
