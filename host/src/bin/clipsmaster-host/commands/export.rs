//! `export`: a container's frames alone.

use super::{compress::by_extension, open};
use crate::{
    Failure, Outcome,
    arguments::{Common, ExportArguments},
    print_json,
    progress::FileProgress,
};
use clipsmaster_host::{container::CONTAINER_EXTENSION, health};
use std::{
    fs,
    io::{self, Write},
};

pub(crate) fn run(common: &Common, arguments: &ExportArguments) -> Outcome {
    let host = open(common)?;
    let (file, to) = (&arguments.file, &arguments.to);
    if to.output.extension().is_some_and(|e| e.eq_ignore_ascii_case(CONTAINER_EXTENSION)) {
        let name = to.output.display();
        return Err(Failure::usage(format!(
            "{name} would not be what its name says: bare frames are no container; name the output otherwise"
        )));
    }
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
