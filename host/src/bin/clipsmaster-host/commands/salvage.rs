//! `salvage`: what can still be had of a damaged file's original.

use super::open;
use crate::{
    Failure, Outcome,
    arguments::{Common, SalvageArguments},
    code, print_json,
    progress::FileProgress,
};
use clipsmaster_host::{health, size};
use std::{
    fs,
    io::{self, Write},
};

pub(crate) fn run(common: &Common, arguments: &SalvageArguments) -> Outcome {
    let host = open(common)?;
    let (file, to) = (&arguments.file, &arguments.to);
    let bytes = fs::metadata(file).map(|m| m.len()).ok();
    let progress = FileProgress::new(common, &file.display().to_string(), bytes);
    let show = |e| progress.show(&e);
    let summary = health::salvage(&host, file, &to.output, to.force, arguments.zeros, &show)?;
    drop(progress);
    if common.json {
        print_json(&summary)?;
    } else {
        for warning in &summary.warnings {
            let _ = writeln!(io::stderr(), "clipsmaster-host: warning: {warning}");
        }
    }
    if summary.lost.is_empty() {
        return Ok(());
    }
    let (kept, lost) = (size::binary(summary.output_bytes), summary.lost.len());
    let name = to.output.display();
    Err(Failure::new(code::PARTIAL, format!("{name} is partial: {kept} written, {lost} stretches are lost")))
}
