//! The health of compressed files: what they are, whether they are sound, and how to get back what is not.
//!
//! Nothing is ever changed in place: repair, salvage and export write new files.

mod export;
mod foreign;
mod repair;
mod verify;

pub use export::export;
pub use repair::{repair, salvage};
pub use verify::verify;

use crate::{Error, Result, container::FileBytes, pipeline::OutputFile};
use serde::Serialize;
use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Whether a file is what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// All of it.
    Intact,
    /// Not all of it, but the original can be had completely.
    Mendable,
    /// Some of the original is lost.
    Partial,
    /// All of it is lost.
    Lost,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Intact => "intact",
            Self::Mendable => "damaged, can be repaired completely",
            Self::Partial => "damaged, part of the original is lost",
            Self::Lost => "damaged beyond recovery",
        })
    }
}

/// One damaged thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What is damaged, in words.
    pub what: String,
    /// Where in the file, in bytes, if it has one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How it can be mended; nothing where it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mended: Option<String>,
}

/// What was found out about a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Health {
    /// What kind of file it is, in words.
    pub format: String,
    /// Whether it is what was written.
    pub condition: Condition,
    /// Whether everything was decoded, and not only compared with checksums.
    pub deep: bool,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of the original, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_bytes: Option<u64>,
    /// Chunks, frames or members that were looked at.
    pub chunks: u64,
    /// Recovery data, in percent.
    pub parity_percent: u8,
    /// Whether repair makes it bit for bit what it was; otherwise it may lose the record of what the file is, with the user's metadata.
    pub exact: bool,
    /// Everything that is damaged.
    pub findings: Vec<Finding>,
    /// Lost stretches of the original: first byte, and the byte after the last.
    pub lost: Vec<(u64, u64)>,
}

impl Health {
    fn new(format: String, bytes: u64, deep: bool) -> Self {
        let condition = Condition::Intact;
        let (findings, lost) = (Vec::new(), Vec::new());
        Self {
            format,
            condition,
            deep,
            bytes,
            raw_bytes: None,
            chunks: 0,
            parity_percent: 0,
            exact: true,
            findings,
            lost,
        }
    }

    fn find(&mut self, what: impl Into<String>, offset: Option<u64>, mended: Option<String>) {
        self.findings.push(Finding { what: what.into(), offset, mended });
    }

    /// Draws the conclusion from what was found, of which `sound` chunks were good or mended.
    fn conclude(&mut self, sound: u64) {
        self.condition = match (self.findings.is_empty(), self.lost.is_empty(), sound) {
            (true, true, _) => Condition::Intact,
            (false, true, _) => Condition::Mendable,
            (_, false, 1..) => Condition::Partial,
            (_, false, 0) => Condition::Lost,
        };
    }
}

/// Begins the new file `output` made from `input`, which must be another one.
fn create(input: &Path, output: &Path, overwrite: bool) -> Result<OutputFile> {
    let place = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    if place(output).is_some_and(|p| place(input) == Some(p)) {
        let name = output.display();
        return Err(Error::Usage(format!("{name} is the input itself; name another output")));
    }
    Ok(OutputFile::create(output, overwrite)?.synced())
}

fn open(path: &Path) -> Result<FileBytes> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let is_file = file.metadata().map_err(Error::io("read", path))?.is_file();
    if !is_file {
        return Err(Error::Usage(format!("{} is no regular file; save it as one first", path.display())));
    }
    FileBytes::new(file).map_err(Error::io("read", path))
}
