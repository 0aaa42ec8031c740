//! One module a verb.

pub(crate) mod bench;
pub(crate) mod best_hardware;
mod by_policy;
pub(crate) mod completions;
pub(crate) mod compress;
pub(crate) mod decompress;
pub(crate) mod doctor;
pub(crate) mod export;
mod files;
pub(crate) mod info;
pub(crate) mod list_plugins;
pub(crate) mod man;
pub(crate) mod plugins;
pub(crate) mod policy;
pub(crate) mod recommend;
pub(crate) mod regret;
pub(crate) mod repair;
pub(crate) mod salvage;
pub(crate) mod store_sim;
mod study;
pub(crate) mod validate;
pub(crate) mod verify;

use crate::{Failure, arguments::Common, progress::HostProgress};
use clipsmaster_host::{Error, Host, pipeline::OutputFile};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Opens the host, with progress while plugins are proven.
fn open(common: &Common) -> Result<Host, Failure> {
    let progress = HostProgress::new(common);
    Ok(Host::open_with(common.config()?, &|p| progress.show(p))?)
}

/// Opens the host and measures what has not been measured yet.
fn open_measured(common: &Common) -> Result<Host, Failure> {
    let host = open(common)?;
    let progress = HostProgress::new(common);
    host.measure_missing(&|p| progress.show(p))?;
    Ok(host)
}

/// Refuses early what [`write_file`] would refuse after minutes of work.
fn refuse_existing(path: Option<&PathBuf>, force: bool) -> Result<(), Failure> {
    match path.filter(|path| path.exists() && !force) {
        Some(path) => Err(Error::Exists(path.clone()).into()),
        None => Ok(()),
    }
}

/// Writes a text to a file, whole or not at all.
fn write_file(path: &Path, force: bool, text: &str) -> Result<(), Failure> {
    let mut file = OutputFile::create(path, force)?;
    file.write_all(text.as_bytes()).map_err(Error::io("write", path))?;
    file.publish(None)?;
    Ok(())
}
