//! Loading a library into this process: the one place where foreign code enters the host.

#![expect(unsafe_code, reason = "dlopen runs foreign code; only proven copies reach this")]

use clipsmaster_plugin_api::abi::import::Plugin;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::{error::Error, ffi::c_void, mem::ManuallyDrop, path::Path, ptr::NonNull};

/// How the reason begins when the dynamic loader, not the interface check, refused a library.
pub(super) const REFUSED_BY_LOADER: &str = "cannot be loaded";

/// Opens the library at `path` and checks its interface. It stays loaded until the process ends.
///
/// # Errors
/// A sentence that says why the dynamic loader or the interface check refused it.
pub(crate) fn load(path: &Path) -> Result<Plugin, String> {
    // RTLD_NOW: an undefined symbol is an error here, not in the middle of a job. RTLD_LOCAL: two plugins with the
    // same C library inside do not see each other.
    // SAFETY: constructors run now. The file is one that a child process survived (or this is that child).
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| reason(&e))?;
    let library = ManuallyDrop::new(library);
    let symbol = |name: &str| {
        // SAFETY: the symbol is only used as an address.
        let symbol = unsafe { library.get::<*mut c_void>(name.as_bytes()) }.ok()?;
        NonNull::new(symbol.into_raw())
    };
    // SAFETY: `ManuallyDrop` keeps the library loaded for ever.
    unsafe { Plugin::from_library(symbol) }
}

/// What the dynamic loader said: it stands behind an error that only says that it failed.
fn reason(e: &libloading::Error) -> String {
    e.source().map_or_else(|| e.to_string(), |why| format!("{REFUSED_BY_LOADER}: {why}"))
}
