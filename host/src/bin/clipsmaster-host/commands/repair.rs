//! `repair`: a damaged file written anew, as it was.

use super::{open, verify::describe};
use crate::{
    Failure, Outcome,
    arguments::{Common, RepairArguments},
    code, print, print_json,
    progress::FileProgress,
};
use clipsmaster_host::health::{self, Condition};
use std::fs;

pub(crate) fn run(common: &Common, arguments: &RepairArguments) -> Outcome {
    let host = open(common)?;
    let (file, output) = (&arguments.file, &arguments.to.output);
    let bytes = fs::metadata(file).map(|m| m.len()).ok();
    let progress = FileProgress::new(common, &file.display().to_string(), bytes);
    let health = health::repair(&host, file, output, arguments.to.force, &|e| progress.show(&e))?;
    drop(progress);
    if common.json {
        print_json(&health)?;
    } else if !common.quiet {
        let done = match health.condition {
            Condition::Intact => "it was intact; copied",
            Condition::Mendable if health.exact => "repaired completely, bit for bit",
            Condition::Mendable => "all of the original is there; the file itself is not what it was",
            _ => "its sound members were kept",
        };
        print(&format!("{}  {}: {done}\n", describe(file, &health), output.display()))?;
    }
    match health.condition {
        Condition::Intact | Condition::Mendable if health.exact => Ok(()),
        _ => Err(Failure::new(code::PARTIAL, format!("{} is partial: see above", output.display()))),
    }
}
