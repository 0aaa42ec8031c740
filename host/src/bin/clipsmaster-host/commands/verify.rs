//! `verify`: what is damaged, where, and which command mends it.

use super::{files::each, open};
use crate::{
    Failure, Outcome,
    arguments::{Common, VerifyArguments},
    code, print, print_json,
    progress::FileProgress,
};
use clipsmaster_host::{
    health::{self, Condition, Health},
    size,
};
use serde::Serialize;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Findings shown without being asked for all (`--json`).
const SHOWN: usize = 20;

/// What `--json` prints for each file.
#[derive(Serialize)]
struct Report {
    file: PathBuf,
    #[serde(flatten)]
    health: Health,
}

pub(crate) fn run(common: &Common, arguments: &VerifyArguments) -> Outcome {
    let host = open(common)?;
    let mut reports = Vec::new();
    let outcome = each(&arguments.files, |file| {
        let bytes = fs::metadata(file).map(|m| m.len()).ok();
        let progress = FileProgress::new(common, &file.display().to_string(), bytes);
        let health = health::verify(&host, file, arguments.deep, &|e| progress.show(&e))?;
        drop(progress);
        if !common.json && !common.quiet {
            print(&(describe(file, &health) + &advice(file, &health)))?;
        }
        reports.push(Report { file: file.to_owned(), health });
        Ok(())
    });
    let damaged = reports.iter().filter(|r| r.health.condition != Condition::Intact).count();
    if common.json {
        print_json(&reports)?;
    }
    outcome?;
    if damaged == 0 {
        return Ok(());
    }
    Err(Failure::new(code::DAMAGED, format!("{damaged} of {} files are damaged", reports.len())))
}

/// The answer in words.
pub(super) fn describe(file: &Path, health: &Health) -> String {
    let name = file.display();
    let mut text = String::new();
    let raw = health.raw_bytes.map_or_else(|| "unknown".into(), size::binary);
    let how = if health.deep { "decoded" } else { "compared with their checksums" };
    let _ = writeln!(text, "{name}: {}", health.condition);
    let _ = writeln!(
        text,
        "  {}, {} for {raw} of original, {} chunks {how}, parity {} %",
        health.format,
        size::binary(health.bytes),
        health.chunks,
        health.parity_percent
    );
    for finding in health.findings.iter().take(SHOWN) {
        let place = finding.offset.map_or_else(String::new, |at| format!(" at byte {at}"));
        let fate =
            finding.mended.as_deref().map_or_else(|| "lost".to_owned(), |how| format!("mendable: {how}"));
        let _ = writeln!(text, "  damaged{place}: {}: {fate}", finding.what);
    }
    if health.findings.len() > SHOWN {
        let _ = writeln!(text, "  and {} more (--json lists all)", health.findings.len() - SHOWN);
    }
    text
}

/// Which command helps.
fn advice(file: &Path, health: &Health) -> String {
    let name = file.display();
    let command = match health.condition {
        Condition::Intact => None,
        Condition::Mendable => Some(format!("to mend it: clipsmaster-host repair {name} -o FIXED")),
        Condition::Partial => Some(format!("to get the rest: clipsmaster-host salvage {name} -o REST")),
        Condition::Lost => None,
    };
    command.map_or_else(String::new, |command| format!("  {command}\n"))
}
