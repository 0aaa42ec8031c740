//! `export`: a container's frames alone.

use super::{compress::by_extension, open};
use crate::{
    Outcome,
    arguments::{Common, ExportArguments},
    print_json,
    progress::FileProgress,
};
use clipsmaster_host::health;
use std::{
    fs,
    io::{self, Write},
};

pub(crate) fn run(common: &Common, arguments: &ExportArguments) -> Outcome {
    let host = open(common)?;
    let (file, to) = (&arguments.file, &arguments.to);
    let algorithm = by_extension(&host, &to.output);
    let bytes = fs::metadata(file).map(|m| m.len()).ok();
    let progress = FileProgress::new(common, &file.display().to_string(), bytes);
    let show = |e| progress.show(&e);
    let summary = health::export(&host, file, &to.output, to.force, algorithm.as_deref(), &show)?;
    drop(progress);
    if common.json {
        return print_json(&summary);
    }
    for warning in &summary.warnings {
        let _ = writeln!(io::stderr(), "clipsmaster-host: note: {warning}");
    }
    Ok(())
}
