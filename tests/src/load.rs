//! Loads a plugin into the test's own process, as the host does.

#![expect(unsafe_code, reason = "dlopen; the tests load only libraries of this workspace")]

use clipsmaster_plugin_api::abi::import::Plugin;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::{ffi::c_void, mem::ManuallyDrop, path::Path, ptr::NonNull};

/// Opens the library at `path` for good and checks its interface.
///
/// # Errors
/// Why it cannot be loaded.
pub fn load(path: &Path) -> Result<Plugin, String> {
    // SAFETY: a library of this workspace, whose constructors the caller chose to run.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| e.to_string())?;
    let library = ManuallyDrop::new(library);
    let symbol = |name: &str| {
        // SAFETY: the symbol is only used as an address.
        let symbol = unsafe { library.get::<*mut c_void>(name.as_bytes()) }.ok()?;
        NonNull::new(symbol.into_raw())
    };
    // SAFETY: the library is never unloaded.
    unsafe { Plugin::from_library(symbol) }
}
