//! `bench`: what implementations do with files or built-in data.

mod hardware;
mod report;
mod tables;

use super::{refuse_existing, study::measure, write_file};
use crate::{
    Outcome,
    arguments::{BenchArguments, Common},
    print, print_json,
};
use clipsmaster_host::{Comparison, Study};
use serde::Serialize;

/// What `--json` prints: a study, which a later `--baseline` reads, and how it compares with an earlier one.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    study: &'a Study,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

pub(crate) fn run(common: &Common, arguments: &BenchArguments) -> Outcome {
    if arguments.hardware {
        return hardware::run(common, arguments);
    }
    // Before minutes of measuring.
    let baseline = arguments.baseline.as_deref().map(Study::load).transpose()?;
    refuse_existing(arguments.report.as_ref(), arguments.force)?;
    let threads = arguments.threads.iter().map(|n| n.get()).collect();
    let study = measure(common, &arguments.what, threads)?;
    if let Some(path) = &arguments.report {
        write_file(path, arguments.force, &report::html(&study))?;
    }
    let comparison = baseline.map(|before| study.compare(&before));
    if common.json {
        print_json(&Answer { study: &study, comparison: comparison.as_ref() })
    } else if arguments.csv {
        print(&tables::csv(&study))
    } else if arguments.markdown {
        let fenced = |c| format!("\n```text\n{}```\n", tables::changes(&c));
        print(&(tables::markdown(&study) + &comparison.map(fenced).unwrap_or_default()))
    } else {
        let below = |c| format!("\n{}", tables::changes(&c));
        print(&(tables::text(&study) + &comparison.map(below).unwrap_or_default()))
    }
}

/// `1 thread`, `2 threads`.
fn threads(count: u32) -> String {
    if count == 1 { "1 thread".into() } else { format!("{count} threads") }
}
