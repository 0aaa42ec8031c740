//! The one host of this process: opened when it is first needed, and anew in a forked child.

use crate::{errors::raise, own_codec};
use clipsmaster_host::{Config, Host, Result};
use pyo3::prelude::*;
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicPtr, AtomicU64, Ordering},
    },
};

/// What belongs to one process. A forked child gets another: locks of this one may be held by threads that the child does not have.
#[derive(Default)]
struct Process {
    opening: Mutex<()>,
    host: OnceLock<Arc<Host>>,
}

static PROGRAM_DIR: OnceLock<PathBuf> = OnceLock::new();
static CURRENT: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between this process and the one that imported the module.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Says where the program and the plugins of the package are.
#[pyfunction]
pub(crate) fn set_program_dir(path: PathBuf) {
    let _ = PROGRAM_DIR.set(path);
}

/// Leaves what belonged to the parent as it is, and starts with nothing. For `os.register_at_fork`.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    // What was there stays allocated: nobody can say in which state its locks are.
    CURRENT.store(Box::into_raw(Box::default()), Ordering::Release);
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "the pointer is to what is never freed")]
fn current() -> &'static Process {
    // SAFETY: the module stores a leaked `Process` when it is made, before any call, and only such are stored later.
    unsafe { &*CURRENT.load(Ordering::Acquire) }
}

/// The host of this process.
pub(crate) fn host(py: Python<'_>) -> PyResult<&'static Arc<Host>> {
    let process = current();
    if let Some(host) = process.host.get() {
        return Ok(host);
    }
    py.detach(|| {
        let _alone = process.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = process.host.get() {
            return Ok(host);
        }
        let host = Arc::new(open()?);
        own_codec::register_all(&host)?;
        Ok(process.host.get_or_init(|| host))
    })
    .map_err(raise)
}

fn open() -> Result<Host> {
    let mut config = Config::from_env()?;
    config.set_project_policy(None);
    if let Some(dir) = PROGRAM_DIR.get() {
        config.probe_helper.get_or_insert_with(|| dir.join("clipsmaster-host"));
        config.program_dir = Some(dir.clone());
    }
    Host::open(config)
}
