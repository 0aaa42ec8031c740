//! From what probe children said to a verdict.

use super::{
    load,
    report::{CodecReport, PluginInfo, PluginReport, State, Verdict},
};
use crate::{
    Result, algorithm,
    probe::{
        self, Answer, Deadlines, Ending, Helper,
        protocol::{DeviceOutcome, Event, Job, Peer, Task},
    },
    validate::{CaseResult, Outcome},
};
use std::{path::Path, time::Duration};

const DESCRIBE: Deadlines = Deadlines { silence: Duration::from_secs(2), total: Duration::from_secs(60) };
const CONFORM: Deadlines = Deadlines { silence: Duration::from_secs(30), total: Duration::from_secs(120) };
/// A driver may take long to wake its device.
const DEVICE_SILENCE: Duration = Duration::from_secs(15);
/// Address space of a probe child, in bytes: three times what the hungriest codec needs (xz at level 9, 700 MiB), and
/// half of a small machine.
const PROBE_MEMORY_BYTES: u64 = 2 << 30;
const FOR_AUTHORS: &str = "for its author: `clipsmaster-host validate FILE` prints every case";
/// Timeouts until a file is not touched again.
const MOST_STRIKES: u32 = 2;
/// Probes that may be lost in a row, their host killed, until a file is not touched again.
const MOST_LOST_PROBES: u32 = 5;

/// A job with the memory limit that fits the hardware.
pub(super) fn job(library: &Path, task: Task, hardware: &str) -> Job {
    let memory_bytes = (hardware == "cpu").then_some(PROBE_MEMORY_BYTES);
    Job { library: library.to_owned(), task, memory_bytes }
}

/// Loads a library in a child, and asks who it is and whether its devices are there.
pub(super) fn describe(
    helper: &Helper,
    library: &Path,
    known_as: PluginInfo,
    strikes: u32,
) -> Result<PluginReport> {
    let job = Job { library: library.to_owned(), task: Task::Describe, memory_bytes: None };
    let mut devices = false;
    let answer = probe::run(helper, &job, DESCRIBE, |event| {
        if let Event::Described { codecs, .. } = event {
            devices = codecs.iter().any(|c| c.hardware != "cpu");
        }
        devices.then_some(DEVICE_SILENCE)
    })?;
    Ok(described(answer, known_as, strikes))
}

fn described(answer: Answer, known_as: PluginInfo, strikes: u32) -> PluginReport {
    let mut report = PluginReport::unloaded(known_as, Verdict::ok());
    report.strikes = strikes;
    for event in &answer.events {
        match event {
            Event::Incompatible(why) => report.verdict = not_loaded(why),
            Event::Described { info, codecs } => {
                report.info = info.clone();
                report.codecs = codecs.iter().cloned().map(CodecReport::unproven).collect();
            }
            Event::Device { codec, outcome } => {
                let Some(codec) = report.codecs.get_mut(*codec) else { continue };
                match outcome {
                    DeviceOutcome::Found(device) => codec.info.device.clone_from(device),
                    DeviceOutcome::Missing { reason, remedy } => {
                        codec.verdict = Verdict::new(State::Unavailable, reason, remedy);
                    }
                    DeviceOutcome::Failed(why) => {
                        codec.verdict = Verdict::new(State::Failed, format!("probe: {why}"), FOR_AUTHORS);
                        codec.verdict.stderr.clone_from(&answer.stderr);
                    }
                }
            }
            _ => {}
        }
    }
    apply_ending(&mut report, &answer);
    let empty = report.verdict.is_ok() && report.codecs.is_empty();
    if empty {
        report.verdict = Verdict::new(State::Failed, "offers no codec", "");
    }
    report
}

/// What it means that the dynamic loader (dlerror(3), in English: no locale is set) or the interface check refused a library.
fn not_loaded(why: &str) -> Verdict {
    if why.contains("cannot open shared object file") {
        let remedy = "install that library; the plugin is looked at again when the system's libraries change";
        return Verdict::new(State::Unavailable, why, remedy);
    }
    let remedy = if why.starts_with(load::REFUSED_BY_LOADER) {
        "build it on this system, or on an older one"
    } else {
        "build it against clipsmaster-plugin-api 1.x"
    };
    Verdict::new(State::Incompatible, why, remedy)
}

/// Proves the codec at `index` in a child, and notes the outcome in `report`; the cases, for those who print them.
pub(super) fn conform(
    helper: &Helper,
    library: &Path,
    report: &mut PluginReport,
    index: usize,
    peers: Vec<Peer>,
) -> Result<Vec<CaseResult>> {
    let hardware = report.codecs[index].info.hardware.clone();
    let job = job(library, Task::Conform { codec: index, peers }, &hardware);
    let answer = probe::run(helper, &job, CONFORM, |_| None)?;
    let cases: Vec<CaseResult> = answer
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Case(case) => Some(case.clone()),
            _ => None,
        })
        .collect();
    let refused = answer.events.iter().find_map(|e| match e {
        Event::Incompatible(why) => Some(format!("cannot be loaded to be proven: {why}")),
        _ => None,
    });
    judge(report, index, &cases);
    if let Some(why) = refused {
        report.codecs[index].verdict = Verdict::new(State::Failed, why, "");
    }
    if !apply_ending(report, &answer) && !report.codecs[index].verdict.is_ok() {
        report.codecs[index].verdict.stderr = answer.stderr;
    }
    Ok(cases)
}

/// Notes what the cases of one codec mean: wrong bytes condemn the file, a failed case the codec.
pub(super) fn judge(report: &mut PluginReport, index: usize, cases: &[CaseResult]) {
    let find = |wanted: fn(&Outcome) -> Option<&String>| {
        cases.iter().find_map(|c| wanted(&c.outcome).map(|detail| format!("{}: {detail}", c.name)))
    };
    let wrong = find(|o| if let Outcome::WrongBytes(d) = o { Some(d) } else { None });
    let failed = find(|o| if let Outcome::Failed(d) = o { Some(d) } else { None });
    if let Some(why) = wrong {
        let id = report.codecs[index].info.implementation();
        report.verdict = quarantine(report, &format!("{id} returned wrong bytes: {why}"));
    } else if let Some(why) = failed {
        report.codecs[index].verdict = Verdict::new(State::Failed, why, FOR_AUTHORS);
    } else if cases.is_empty() {
        report.codecs[index].verdict =
            Verdict::new(State::Failed, "no conformance case was run", FOR_AUTHORS);
    }
}

fn quarantine(report: &PluginReport, why: &str) -> Verdict {
    let remedy = format!(
        "replace the file, or try it again with `clipsmaster-host plugins quarantine clear {}`",
        report.info.id
    );
    Verdict::new(State::Quarantined, why, remedy)
}

/// Notes how the child ended; whether that changed the verdict on the file.
pub(super) fn apply_ending(report: &mut PluginReport, answer: &Answer) -> bool {
    let mut verdict = match &answer.ending {
        Ending::Complete => return false,
        Ending::Crashed(why) => quarantine(report, why),
        Ending::TimedOut(why) => {
            report.strikes += 1;
            if report.strikes >= MOST_STRIKES {
                quarantine(report, &format!("{why}, for the {}. time", report.strikes))
            } else {
                Verdict::new(State::Failed, why, "it is tried once more at the next start")
            }
        }
    };
    verdict.stderr.clone_from(&answer.stderr);
    report.verdict = verdict;
    true
}

/// What it means that hosts were killed while they probed this file: nothing at first (people interrupt programs), but
/// not for ever.
pub(super) fn after_lost_probes(known_as: PluginInfo, lost: u32) -> Option<PluginReport> {
    if lost < MOST_LOST_PROBES {
        return None;
    }
    let mut report = PluginReport::unloaded(known_as, Verdict::ok());
    let why = format!("{lost} hosts in a row ended while they probed it");
    report.verdict = quarantine(&report, &why);
    Some(report)
}

/// Whether a stored report must be made anew.
pub(super) fn is_stale(report: &PluginReport, availability: &str) -> bool {
    let to_be_tried_again = report.verdict.state == State::Failed && report.strikes > 0;
    let machine_changed = report.is_unavailable() && report.availability != availability;
    to_be_tried_again || machine_changed
}

/// Whether the codec's library defines its algorithm's levels, so that it is proven first and others against it.
pub(super) fn is_reference(codec: &CodecReport) -> bool {
    algorithm::is_reference(&codec.info.algorithm, &codec.info.library)
}
