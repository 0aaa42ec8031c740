//! `doctor`: what is installed, what is missing, and what to do about it.

use super::open;
use crate::{Outcome, arguments::Common, print, print_json};
use clipsmaster_host::{Host, Listed, State, algorithm, machine_key};
use serde::Serialize;

#[derive(Serialize)]
struct Folder {
    path: String,
    origin: &'static str,
    exists: bool,
    plugins: usize,
}

#[derive(Serialize)]
struct Diagnosis {
    folders: Vec<Folder>,
    cache: String,
    /// Why the cache is a temporary one, if it is.
    cache_is_temporary: Option<String>,
    loads_private_copies: bool,
    probe_helper: Option<String>,
    trust: String,
    machine: String,
    algorithms: Vec<String>,
    missing_algorithms: Vec<&'static str>,
    unmeasured: Vec<String>,
    /// Policy files in use.
    policy_files: Vec<String>,
    /// Why policies cannot be used, or what of them cannot be used here.
    policy_problems: Vec<String>,
    troubles: Vec<Trouble>,
}

#[derive(Serialize)]
struct Trouble {
    what: String,
    state: State,
    reason: String,
    remedy: String,
    path: String,
}

pub(crate) fn run(common: &Common) -> Outcome {
    let host = open(common)?;
    let diagnosis = diagnose(&host);
    if common.json { print_json(&diagnosis) } else { print(&text(&diagnosis)) }
}

fn diagnose(host: &Host) -> Diagnosis {
    let snapshot = host.snapshot();
    let lines = host.list();
    let folders = snapshot.searched.iter().map(|dir| Folder {
        path: dir.path.display().to_string(),
        origin: dir.origin,
        exists: dir.path.is_dir(),
        plugins: snapshot.entries.iter().filter(|e| e.path.parent() == Some(&dir.path)).count(),
    });
    let (cache, cache_is_temporary) = host.cache_folder();
    let algorithms = host.algorithms();
    let known = algorithm::KNOWN.iter().map(|k| k.name);
    let unmeasured = lines.iter().filter(|l| l.verdict.is_ok() && l.compress_mb_s.is_none());
    let bad = |l: &&Listed| !l.verdict.is_ok() && l.verdict.state != State::NotAPlugin;
    let trouble = |l: &Listed| Trouble {
        what: l.implementation.clone(),
        state: l.verdict.state,
        reason: l.verdict.reason.clone(),
        remedy: l.verdict.remedy.clone(),
        path: l.path.display().to_string(),
    };
    let (policy_files, policy_problems) = policies(host);
    Diagnosis {
        policy_files,
        policy_problems,
        folders: folders.collect(),
        cache: cache.display().to_string(),
        cache_is_temporary: cache_is_temporary.map(str::to_owned),
        loads_private_copies: host.loads_copies(),
        probe_helper: host.check_probe_helper().err().map(|e| e.to_string()),
        trust: format!("{:?}", host.config().trust).to_lowercase(),
        machine: machine_key(""),
        missing_algorithms: known.filter(|k| !algorithms.iter().any(|a| a == k)).collect(),
        algorithms,
        unmeasured: unmeasured.map(|l| l.implementation.clone()).collect(),
        troubles: lines.iter().filter(bad).map(trouble).collect(),
    }
}

/// The policy files in use, and what is wrong with them here.
fn policies(host: &Host) -> (Vec<String>, Vec<String>) {
    let set = match host.policies() {
        Ok(policies) => policies.current(),
        Err(e) => return (Vec::new(), vec![e.to_string()]),
    };
    let files = set.layers().filter_map(|(_, path)| path.map(|p| p.display().to_string())).collect();
    let findings = set.check(Some(&host.installed()));
    (files, findings.into_iter().map(|f| format!("{}: {}: {}", f.origin, f.severity, f.message)).collect())
}

fn text(d: &Diagnosis) -> String {
    let mut text = String::from("plugins folders, in order of search\n");
    for f in &d.folders {
        let state = if f.exists { format!("{} plugins", f.plugins) } else { "not there".into() };
        text.push_str(&format!("  {} ({}): {state}\n", f.path, f.origin));
    }
    let temporary = d.cache_is_temporary.as_ref().map_or_else(String::new, |why| {
        format!("\n  temporary, so every start proves plugins anew: {why}; mend that, or set CLIPSMASTER_CACHE_DIR")
    });
    text.push_str(&format!("cache\n  {}{temporary}\n", d.cache));
    if !d.loads_private_copies {
        text.push_str("  it is mounted noexec: plugins are loaded in place; do not replace them while a host runs, or set CLIPSMASTER_CACHE_DIR\n");
    }
    let helper = d.probe_helper.as_deref().unwrap_or("found");
    text.push_str(&format!("probe helper\n  {helper}\ntrust\n  {}\nmachine\n  {}\n", d.trust, d.machine));
    text.push_str(&format!("algorithms\n  installed: {}\n", names(&d.algorithms)));
    if !d.missing_algorithms.is_empty() {
        let missing = d.missing_algorithms.join(", ");
        text.push_str(&format!("  missing: {missing}; put their plugins into one of the folders above\n"));
    }
    if !d.unmeasured.is_empty() {
        let names = d.unmeasured.join(", ");
        text.push_str(&format!("  not measured yet: {names}; `clipsmaster-host list-plugins` does it\n"));
    }
    let files =
        if d.policy_files.is_empty() { "the built-in ones".into() } else { d.policy_files.join(", ") };
    text.push_str(&format!("policies\n  {files}\n"));
    for problem in &d.policy_problems {
        text.push_str(&format!("  {}\n", problem.trim_end().replace('\n', "\n  ")));
    }
    if d.troubles.is_empty() && d.policy_problems.is_empty() {
        text.push_str("no troubles found\n");
        return text;
    }
    if !d.troubles.is_empty() {
        text.push_str("troubles\n");
    }
    for t in &d.troubles {
        text.push_str(&format!("  {} ({}): {}\n    {}\n", t.what, t.state, t.reason, t.path));
        if !t.remedy.is_empty() {
            text.push_str(&format!("    remedy: {}\n", t.remedy));
        }
    }
    text
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
