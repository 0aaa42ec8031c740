//! Loads a plugin into the test's own process.

use abi_stable::library::lib_header_from_path;
use clipsmaster_plugin_api::abi::import::Plugin;
use std::path::Path;

/// Opens the library at `path` for good and checks its interface.
///
/// # Errors
/// Why it cannot be loaded.
pub fn load(path: &Path) -> Result<Plugin, String> {
    Plugin::from_header(lib_header_from_path(path).map_err(|e| e.to_string())?)
}
