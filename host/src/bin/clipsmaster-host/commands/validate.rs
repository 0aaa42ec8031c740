//! `validate`: the conformance report for plugin authors.

use super::open;
use crate::{
    Failure, Outcome as Answer,
    arguments::{Common, ValidateArguments},
    code, print, print_json,
};
use clipsmaster_host::{CaseResult, Outcome, PluginReport, State};
use serde::Serialize;

#[derive(Serialize)]
struct Validation<'a> {
    report: &'a PluginReport,
    cases: &'a [(String, Vec<CaseResult>)],
}

pub(crate) fn run(common: &Common, arguments: &ValidateArguments) -> Answer {
    let host = open(common)?;
    let (report, cases) = host.validate(&arguments.plugin)?;
    if common.json {
        print_json(&Validation { report: &report, cases: &cases })?;
    } else {
        print(&text(&report, &cases))?;
    }
    let good = report.verdict.is_ok() && report.codecs.iter().all(|c| c.verdict.is_ok());
    if good {
        return Ok(());
    }
    let what = arguments.plugin.display();
    let bad = report.codecs.iter().map(|c| &c.verdict).chain([&report.verdict]).filter(|v| !v.is_ok());
    if bad.clone().all(|v| v.state == State::Unavailable) {
        let why = "cannot be examined here: what it needs is not there (see above)";
        return Err(Failure::new(code::NO_IMPLEMENTATION, format!("{what} {why}")));
    }
    Err(Failure::new(code::FAILED, format!("{what} does not keep the plugin contract")))
}

fn text(report: &PluginReport, cases: &[(String, Vec<CaseResult>)]) -> String {
    let info = &report.info;
    let mut text = format!("plugin {} {}\n", info.id, info.version);
    for (implementation, cases) in cases {
        text.push_str(&format!("\n{implementation}\n"));
        for case in cases {
            let (mark, detail) = match &case.outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Note(d) => ("note", d.as_str()),
                Outcome::Skipped(d) => ("skipped", d.as_str()),
                Outcome::Failed(d) => ("FAILED", d.as_str()),
                Outcome::WrongBytes(d) => ("WRONG BYTES", d.as_str()),
            };
            let colon = if detail.is_empty() { "" } else { ": " };
            text.push_str(&format!("  {mark:<12} {}{colon}{detail}\n", case.name));
        }
    }
    let verdicts = report.codecs.iter().map(|c| (c.info.implementation(), &c.verdict));
    let all = verdicts.chain((!report.verdict.is_ok()).then(|| (info.id.clone(), &report.verdict)));
    text.push('\n');
    for (name, verdict) in all {
        let colon = if verdict.reason.is_empty() { "" } else { ": " };
        text.push_str(&format!("{name}: {}{colon}{}\n", verdict.state, verdict.reason));
        if !verdict.remedy.is_empty() {
            text.push_str(&format!("  {}\n", verdict.remedy));
        }
        for line in &verdict.stderr {
            text.push_str(&format!("  stderr: {line}\n"));
        }
    }
    text
}
