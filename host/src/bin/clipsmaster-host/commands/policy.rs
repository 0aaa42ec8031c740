//! `policy`: what is in force, where it comes from, and changes to the files it comes from.

use super::{compress, open};
use crate::{
    Failure, Outcome,
    arguments::{
        ApplyPolicy, Common, CreatePolicy, DeletePolicy, ListPolicies, SettingsArguments, ShowPolicy,
        UpdatePolicy, VerifyPolicy,
    },
    print, print_json,
    table::{Align, Table},
};
use clipsmaster_host::{
    Error, Host, Policy,
    policy::{
        Change, DEFAULT_TYPE, Key, Layer, Origin, PolicyFile, PolicySet, Problem, Setting, check_type_name,
        is_overtaken, nearest_type,
    },
    size,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What `--json` prints for a type.
#[derive(Serialize)]
struct Shown<'a> {
    resource_type: &'a str,
    #[serde(flatten)]
    policy: &'a Policy,
    origins: BTreeMap<&'static str, &'a Origin>,
}

impl<'a> Shown<'a> {
    fn new(set: &'a PolicySet, resource_type: &'a str) -> Self {
        let origin = |key: Key| set.origin(resource_type, key).map(|o| (key.name(), o));
        let origins = Key::ALL.into_iter().filter_map(origin).collect();
        Self { resource_type, policy: set.get(resource_type), origins }
    }
}

/// What `--json` prints for a change.
#[derive(Serialize)]
struct Changed<'a> {
    resource_type: &'a str,
    action: &'static str,
    file: &'a Path,
    warnings: &'a [Problem],
}

/// What `--json` prints for a file.
#[derive(Serialize)]
struct Verified<'a> {
    file: &'a Path,
    valid: bool,
    problems: &'a [Problem],
}

fn set_in_force(common: &Common) -> Result<PolicySet, Failure> {
    Ok(PolicySet::open(&common.config()?.policy_files)?)
}

pub(crate) fn list(common: &Common, arguments: &ListPolicies) -> Outcome {
    let set = set_in_force(common)?;
    if common.json {
        let shown: Vec<Shown<'_>> = set.types().map(|name| Shown::new(&set, name)).collect();
        return print_json(&shown);
    }
    let mut text = table(&set, arguments.verbose);
    if arguments.verbose {
        text.push_str("\nLayers, later ones win:\n");
        for (layer, path) in set.layers() {
            text.push_str(&format!("  {}\n", layer_name(layer, path)));
        }
    }
    print(&text)
}

fn table(set: &PolicySet, is_verbose: bool) -> String {
    let mut columns = vec![
        ("TYPE", Align::Left),
        ("ALGORITHM", Align::Left),
        ("LEVEL", Align::Right),
        ("CHUNK", Align::Right),
        ("AUTO", Align::Left),
        ("THRESHOLD", Align::Right),
        ("PRIORITY", Align::Left),
    ];
    if is_verbose {
        columns.extend([("MIN SAVINGS", Align::Right), ("MORE", Align::Left), ("LAYERS", Align::Left)]);
    }
    let mut table = Table::new(&columns);
    for name in set.types() {
        let policy = set.get(name);
        let word = |key: Key| Setting::of(policy, key).map_or_else(|| "-".into(), |s| s.to_string());
        let level = if policy.is_auto() { "-".into() } else { word(Key::Level) };
        let mut row = vec![
            name.to_owned(),
            policy.algorithm.clone(),
            level,
            size::binary(policy.chunk_bytes),
            word(Key::AutoCompress),
            size::binary(policy.threshold_bytes),
            policy.priority.to_string(),
        ];
        if is_verbose {
            let layers: Vec<&str> = set.layers_of(name).map(|(layer, _)| short_name(layer)).collect();
            row.extend([format!("{} %", percent(policy.min_savings)), more(policy), layers.join(", ")]);
        }
        table.row(row);
    }
    table.render()
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

/// What few types have.
fn more(policy: &Policy) -> String {
    let keys = [Key::Hardware, Key::Implementation, Key::Parity, Key::Objective, Key::Filter];
    let settings = keys.into_iter().filter_map(|key| Setting::of(policy, key));
    let unusual = settings.filter(|s| *s != Setting::Parity(0));
    let words: Vec<String> = unusual.map(|s| format!("{} {s}", s.key())).collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

fn short_name(layer: Layer) -> &'static str {
    match layer {
        Layer::BuiltIn => "built-in",
        Layer::System => "system",
        Layer::User => "user",
        Layer::Project => "project",
        Layer::Api => "application",
    }
}

fn layer_name(layer: Layer, path: Option<&Path>) -> String {
    match path {
        Some(path) => format!("{}: {}", short_name(layer), path.display()),
        None => format!("{} defaults", short_name(layer)),
    }
}

pub(crate) fn show(common: &Common, arguments: &ShowPolicy) -> Outcome {
    let set = set_in_force(common)?;
    let name = arguments.resource_type.as_str();
    if !set.contains(name) {
        tell_unnamed(common, &set, name);
    }
    if common.json {
        return print_json(&Shown::new(&set, name));
    }
    let lines = Key::ALL.into_iter().filter_map(|key| line(&set, name, key, arguments.origin));
    print(&format!("{name}\n{}", lines.collect::<String>()))
}

/// What a type has for `key`, and where it comes from. `None` where there is nothing to show.
fn line(set: &PolicySet, name: &str, key: Key, with_origin: bool) -> Option<String> {
    let policy = set.get(name);
    let is_chosen = key == Key::Level && policy.is_auto();
    let value = Setting::of(policy, key).filter(|_| !is_chosen).map(|s| s.to_string());
    if !with_origin {
        return Some(format!("  {:<15} {}\n", key.name(), value?));
    }
    // The origins of a type that no file names are those of the one that serves it.
    let served = if set.contains(name) { "" } else { " (default)" };
    let origin = set.origin(name, key).map(|o| format!("{o}{served}"));
    let origin = origin.unwrap_or_else(|| "default of the program".into());
    Some(format!("  {:<15} {:<18} {origin}\n", key.name(), value.as_deref().unwrap_or("-")))
}

pub(crate) fn create(common: &Common, arguments: &CreatePolicy) -> Outcome {
    let name = arguments.resource_type.as_str();
    check_type_name(name).map_err(Failure::usage)?;
    let files = Files::new(common, arguments.save.as_deref())?;
    if files.set.contains(name) && !arguments.force {
        let places: Vec<String> = files.set.layers_of(name).map(|(l, p)| layer_name(l, p)).collect();
        return Err(Failure::usage(format!(
            "`{name}` exists ({}); change it with `policy update {name}`, or replace its entry with --force",
            places.join(", ")
        )));
    }
    let change = Change::Replace(name.to_owned(), arguments.settings.given());
    files.write(common, name, "created", &change, arguments.force)
}

pub(crate) fn update(common: &Common, arguments: &UpdatePolicy) -> Outcome {
    let name = arguments.resource_type.as_str();
    let files = Files::new(common, arguments.save.as_deref())?;
    files.check_known(name, &format!(" (`policy create {name}` makes a new one)"))?;
    let settings = arguments.settings.given();
    if settings.is_empty() {
        return Err(Failure::usage(format!(
            "nothing to change; say what, e.g. `policy update {name} --level 2`"
        )));
    }
    files.write(common, name, "updated", &Change::Set(name.to_owned(), settings), arguments.force)
}

pub(crate) fn delete(common: &Common, arguments: &DeletePolicy) -> Outcome {
    let name = arguments.resource_type.as_str();
    let files = Files::new(common, arguments.save.as_deref())?;
    files.check_known(name, "")?;
    let elsewhere: Vec<(Layer, Option<&Path>)> =
        files.set.layers_of(name).filter(|(_, path)| *path != Some(files.target.as_path())).collect();
    let is_here = files.set.layers_of(name).count() > elsewhere.len();
    if !is_here {
        return Err(not_here(name, &files.target, &elsewhere));
    }
    files.write(common, name, "deleted", &Change::Remove(name.to_owned()), true)?;
    if let Some((layer, path)) = elsewhere.last() {
        let rest = layer_name(*layer, *path);
        tell(
            common,
            "note",
            &format!("`{name}` is still defined ({rest}); what stands there holds from now on"),
        );
    }
    Ok(())
}

/// Why a type that other layers define cannot be deleted from the target.
fn not_here(name: &str, target: &Path, elsewhere: &[(Layer, Option<&Path>)]) -> Failure {
    let files: Vec<String> =
        elsewhere.iter().filter_map(|(_, p)| p.map(|p| p.display().to_string())).collect();
    let target = target.display();
    Failure::usage(match files.last() {
        Some(file) => {
            format!("{target} has no `{name}`; it is defined in {file}: `policy delete {name} --save {file}`")
        }
        None => format!(
            "`{name}` is one of the built-in defaults, which no file can take away; {target} does not change it. To have it left alone: \
             `policy update {name} --auto-compress no`"
        ),
    })
}

/// How often a change is made anew because somebody else was faster.
const MOST_ATTEMPTS: usize = 50;

/// Why a change was not written.
enum Unwritten {
    /// The file is another one by now.
    Overtaken(Error),
    Refused(Failure),
}

impl From<Error> for Unwritten {
    fn from(e: Error) -> Self {
        Self::Refused(e.into())
    }
}

impl From<Failure> for Unwritten {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

/// The layers in force, and the file that a change goes to.
struct Files {
    set: PolicySet,
    target: PathBuf,
    host: Host,
}

impl Files {
    fn new(common: &Common, save: Option<&Path>) -> Result<Self, Failure> {
        let mut files = common.config()?.policy_files;
        if let Some(path) = save {
            // The user's own file is a layer already.
            if files.user.as_deref() != Some(path) {
                files.project = Some(path.to_owned());
            }
        }
        let project = files.project.clone().filter(|path| path.exists());
        let target = save.map(Path::to_owned).or(project).or_else(|| files.user.clone());
        let target = target.ok_or_else(|| {
            Failure::usage(
                "there is no file to write: neither a project's nor a home folder; name one with --save FILE",
            )
        })?;
        Ok(Self { set: PolicySet::open(&files)?, target, host: open(common)? })
    }

    fn check_known(&self, name: &str, hint: &str) -> Outcome {
        if self.set.contains(name) {
            return Ok(());
        }
        let meant = match nearest_type(&self.set, name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", self.set.types().collect::<Vec<_>>().join(", ")),
        };
        Err(Failure::usage(format!("unknown resource type `{name}`{hint}; {meant}")))
    }

    /// As [`write`](Self::write), once; what is not as it should be now.
    fn try_write(&self, change: &Change, force: bool) -> Result<Vec<Problem>, Unwritten> {
        let installed = self.host.installed();
        let mut file = PolicyFile::open(&self.target)?;
        let before = file.problems(Some(&installed));
        file.change(change)?;
        let mut new = file.problems(Some(&installed));
        new.retain(|problem| !before.iter().any(|b| b.message == problem.message));
        let worst = new.iter().find(|p| p.is_error()).or_else(|| new.first());
        if let Some(problem) = worst.filter(|_| !force) {
            // What contradicts itself does so everywhere.
            let is_of_this_machine = file.problems(None).iter().all(|p| p.message != problem.message);
            let hint = if is_of_this_machine { "; --force writes it all the same" } else { "" };
            return Err(Failure::usage(format!("nothing was written: {}{hint}", problem.message)).into());
        }
        match file.save() {
            Err(e) if is_overtaken(&e) => Err(Unwritten::Overtaken(e)),
            Err(e) => Err(e.into()),
            Ok(()) => Ok(new),
        }
    }

    /// Makes the change, unless it brings mistakes. With `force` only those count that are mistakes on any machine.
    fn write(
        &self,
        common: &Common,
        name: &str,
        action: &'static str,
        change: &Change,
        force: bool,
    ) -> Outcome {
        let mut attempts = 0;
        let new = loop {
            match self.try_write(change, force) {
                // Others write there, too: what they wrote is read, and changed in turn.
                Err(Unwritten::Overtaken(_)) if attempts < MOST_ATTEMPTS => attempts += 1,
                Err(Unwritten::Overtaken(e)) => return Err(e.into()),
                Err(Unwritten::Refused(failure)) => return Err(failure),
                Ok(new) => break new,
            }
        };
        if common.json {
            return print_json(&Changed { resource_type: name, action, file: &self.target, warnings: &new });
        }
        for warning in &new {
            tell(common, "warning", &warning.message);
        }
        if common.quiet { Ok(()) } else { print(&format!("{action} {name} in {}\n", self.target.display())) }
    }
}

pub(crate) fn verify(common: &Common, arguments: &VerifyPolicy) -> Outcome {
    let path = arguments.file.as_path();
    let installed = open(common)?.installed();
    let problems = PolicyFile::verify(path, Some(&installed))?;
    let errors = problems.iter().filter(|p| p.is_error()).count();
    let warnings = problems.len() - errors;
    if common.json {
        print_json(&Verified { file: path, valid: errors == 0, problems: &problems })?;
    } else {
        let text: String = problems.iter().map(|p| p.render(path)).collect();
        let fine = if problems.is_empty() { format!("{}: no problems\n", path.display()) } else { text };
        print(if common.quiet && errors == 0 { "" } else { &fine })?;
    }
    if errors == 0 {
        return Ok(());
    }
    let also = if warnings > 0 { format!(", {}", count(warnings, "warning")) } else { String::new() };
    let counted = count(errors, "error") + &also;
    Err(Failure::usage(format!("{}: {counted}", path.display())))
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

pub(crate) fn apply(common: &Common, arguments: &ApplyPolicy) -> Outcome {
    compress::run(common, &arguments.compression())
}

/// Tells that `default` serves a type, which may be a slip.
pub(super) fn tell_unnamed(common: &Common, set: &PolicySet, name: &str) {
    let hint = nearest_type(set, name).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    tell(common, "note", &format!("no file names `{name}`, so `{DEFAULT_TYPE}` serves it{hint}"));
}

/// Tells people what no machine needs to know.
fn tell(common: &Common, kind: &str, text: &str) {
    if !common.quiet {
        let _ = writeln!(io::stderr(), "clipsmaster-host: {kind}: {text}");
    }
}

impl SettingsArguments {
    /// The settings given, in the order of the shipped file.
    fn given(&self) -> Vec<Setting> {
        let all = [
            &self.algorithm,
            &self.level,
            &self.chunk_size,
            &self.auto_compress,
            &self.threshold,
            &self.priority,
            &self.hardware,
            &self.implementation,
            &self.parity,
            &self.objective,
            &self.filter,
            &self.min_savings,
        ];
        all.into_iter().flatten().cloned().collect()
    }
}
