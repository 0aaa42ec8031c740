//! All types of resources with their policies, merged from layers, and where each value comes from.
//!
//! Pure: layers in, policies out. The rule is written down at [`PolicySet`].

use super::{
    AUTO, DEFAULT_TYPE, Key, Policy, Priority, Setting,
    problem::{Place, Problem},
    shape::{self, Entries},
};
use crate::spelling;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The text of the built-in defaults.
pub const BUILTIN_TEXT: &str = include_str!("../../../configs/compression_layers.yaml");
/// What the built-in defaults are called where a file would be named.
const BUILTIN_NAME: &str = "built-in compression_layers.yaml";
/// Share of the original that must be saved, where no layer says.
const DEFAULT_MIN_SAVINGS: f64 = 0.05;

/// Where values come from; later ones win.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The defaults of this version.
    BuiltIn,
    /// The machine's file, of its administrator.
    System,
    /// The user's file.
    User,
    /// The project's file.
    Project,
    /// The application, or the command line.
    Api,
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Origin {
    /// The layer.
    pub layer: Layer,
    /// The file, where it is one.
    pub path: Option<PathBuf>,
    /// The place in it.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The type it is written for: the one asked for, or [`DEFAULT_TYPE`].
    pub resource_type: String,
    /// Whether the type asked for has it from [`DEFAULT_TYPE`].
    pub is_inherited: bool,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.layer) {
            (Some(path), _) => write!(f, "{}", path.display())?,
            (None, Layer::Api) => f.write_str("set by the application")?,
            (None, _) => f.write_str(BUILTIN_NAME)?,
        }
        if let Some(place) = self.place {
            write!(f, ":{place}")?;
        }
        if self.is_inherited { write!(f, " ({})", self.resource_type) } else { Ok(()) }
    }
}

/// One layer: what a file says, or an application.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Source {
    pub layer: Layer,
    pub path: Option<PathBuf>,
    pub entries: Entries,
}

/// All types with their policies. It never changes; what changes is which set is in force ([`Policies`](super::Policies)).
///
/// A value of a type is the highest layer's for that type, or else the highest layer's for [`DEFAULT_TYPE`]. A level and an
/// implementation belong to the algorithm they were written for: where a higher layer, or a type of its own, names another
/// algorithm and says nothing about them, the algorithm's default level holds, and any implementation. In the same way an objective
/// belongs to [`AUTO`].
#[derive(Clone, PartialEq, Debug)]
pub struct PolicySet {
    sources: Vec<Source>,
    order: Vec<String>,
    resolved: BTreeMap<String, Resolved>,
}

#[derive(Clone, PartialEq, Debug)]
struct Resolved {
    policy: Policy,
    origins: BTreeMap<Key, Origin>,
}

impl PolicySet {
    /// The defaults of this version, the file `configs/compression_layers.yaml` of its source.
    pub fn builtin() -> Self {
        static BUILTIN: LazyLock<PolicySet> = LazyLock::new(|| {
            let (entries, _) = shape::read(BUILTIN_TEXT);
            PolicySet::merge(vec![Source { layer: Layer::BuiltIn, path: None, entries }])
        });
        BUILTIN.clone()
    }

    /// The defaults with the text of one file over them, and all that is wrong with it but for what is installed.
    pub fn parse(text: &str, layer: Layer, path: &Path) -> (Self, Vec<Problem>) {
        Self::builtin().over(text, layer, path)
    }

    /// As [`parse`](Self::parse), over this set.
    pub(super) fn over(mut self, text: &str, layer: Layer, path: &Path) -> (Self, Vec<Problem>) {
        let (entries, problems) = shape::read(text);
        self.sources.push(Source { layer, path: Some(path.to_owned()), entries });
        (Self::merge(self.sources), problems)
    }

    /// This set with `settings` of one type on top, as an application or a command line has them.
    ///
    /// # Errors
    /// When `resource_type` is no name of a type.
    pub fn with(&self, resource_type: &str, settings: Vec<Setting>) -> Result<Self, String> {
        shape::check_type_name(resource_type)?;
        let mut sources = self.sources.clone();
        if sources.last().is_none_or(|s| s.layer != Layer::Api) {
            sources.push(Source { layer: Layer::Api, path: None, entries: Entries::default() });
        }
        if let Some(top) = sources.last_mut() {
            let entry = top.entries.entry(resource_type);
            entry.extend(settings.into_iter().map(|s| (s.key(), (s, None))));
        }
        Ok(Self::merge(sources))
    }

    /// Merges `sources`, the lowest first.
    fn merge(sources: Vec<Source>) -> Self {
        let mut order: Vec<String> = Vec::new();
        let mut set = Self { sources: Vec::new(), order: Vec::new(), resolved: BTreeMap::new() };
        for name in sources.iter().flat_map(|s| s.entries.types()) {
            if set.resolved.contains_key(name) {
                continue;
            }
            set.resolved.insert(name.to_owned(), resolve(&sources, name));
            if name != DEFAULT_TYPE {
                order.push(name.to_owned());
            }
        }
        set.resolved.entry(DEFAULT_TYPE.to_owned()).or_insert_with(|| resolve(&sources, DEFAULT_TYPE));
        order.push(DEFAULT_TYPE.to_owned());
        Self { sources, order, ..set }
    }

    /// The policy of a type; that of [`DEFAULT_TYPE`] for types that no layer names.
    pub fn get(&self, resource_type: &str) -> &Policy {
        &self.resolved(resource_type).policy
    }

    fn resolved(&self, resource_type: &str) -> &Resolved {
        // `merge` gives every set a default.
        self.resolved.get(resource_type).unwrap_or_else(|| &self.resolved[DEFAULT_TYPE])
    }

    /// All types that a layer names, in the order of the files; [`DEFAULT_TYPE`] is the last.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Whether a layer names the type.
    pub fn contains(&self, resource_type: &str) -> bool {
        self.resolved.contains_key(resource_type)
    }

    /// Where the value of `key` comes from; `None` where no layer says anything that holds for the type.
    pub fn origin(&self, resource_type: &str, key: Key) -> Option<&Origin> {
        self.resolved(resource_type).origins.get(&key)
    }

    /// The layers that have an entry for the type, the lowest first, each with its file.
    pub fn layers_of(&self, resource_type: &str) -> impl Iterator<Item = (Layer, Option<&Path>)> {
        let named = self.sources.iter().filter(move |s| s.entries.get(resource_type).is_some());
        named.map(|s| (s.layer, s.path.as_deref()))
    }

    /// The layers, the lowest first, each with its file.
    pub fn layers(&self) -> impl Iterator<Item = (Layer, Option<&Path>)> {
        self.sources.iter().map(|s| (s.layer, s.path.as_deref()))
    }
}

/// The type whose name is nearest to `written`, if one is near.
pub fn nearest_type<'a>(set: &'a PolicySet, written: &str) -> Option<&'a str> {
    let names: Vec<&str> = set.types().collect();
    spelling::nearest(written, &names)
}

/// One place where a value may stand.
type Candidate<'a> = (&'a Source, &'a str, &'a BTreeMap<Key, (Setting, Option<Place>)>);

/// The places where values of a type may stand, the strongest first.
fn candidates<'a>(sources: &'a [Source], resource_type: &'a str) -> Vec<Candidate<'a>> {
    let entries = |name: &'a str| {
        sources.iter().rev().filter_map(move |s| s.entries.get(name).map(|entry| (s, name, entry)))
    };
    let default = (resource_type != DEFAULT_TYPE).then_some(DEFAULT_TYPE);
    entries(resource_type).chain(default.into_iter().flat_map(entries)).collect()
}

fn resolve(sources: &[Source], resource_type: &str) -> Resolved {
    let candidates = candidates(sources, resource_type);
    let mut resolved = Resolved { policy: bare(), origins: BTreeMap::new() };
    let from = |key: Key, start: usize| {
        let mut places = candidates.iter().enumerate().skip(start);
        places.find_map(|(at, (_, _, entry))| entry.get(&key).map(|(setting, _)| (at, setting)))
    };
    let algorithm_at = from(Key::Algorithm, 0);
    let algorithm = algorithm_at.map(|(_, setting)| setting);
    let is_auto = matches!(algorithm, Some(Setting::Algorithm(name)) if name == AUTO);
    for key in Key::ALL {
        let Some((at, setting)) = from(key, 0) else { continue };
        // What is written below the algorithm was written for what was the algorithm there.
        let is_below = algorithm_at.is_some_and(|(top, _)| at > top);
        let is_for_another = || from(Key::Algorithm, at).map(|(_, s)| s) != algorithm;
        let belongs = match key {
            Key::Level | Key::Implementation => !is_below || !is_auto && !is_for_another(),
            Key::Objective => !is_below || is_auto,
            _ => true,
        };
        if belongs
            && !contradicts(setting, candidates[at].0, algorithm_at.map(|(top, s)| (candidates[top].0, s)))
        {
            let (source, name, entry) = candidates[at];
            setting.put(&mut resolved.policy);
            let origin = Origin {
                layer: source.layer,
                path: source.path.clone(),
                place: entry.get(&key).and_then(|(_, place)| *place),
                resource_type: name.to_owned(),
                is_inherited: name != resource_type,
            };
            resolved.origins.insert(key, origin);
        }
    }
    resolved
}

/// Whether a value makes no sense with the algorithm, which another file names: nobody wrote the two together. What one file says twice is a mistake
/// of that file's, and what a caller asks for is told.
fn contradicts(setting: &Setting, source: &Source, algorithm: Option<(&Source, &Setting)>) -> bool {
    let Some((named_by, Setting::Algorithm(name))) = algorithm else { return false };
    if std::ptr::eq(source, named_by) || source.layer == Layer::Api || named_by.layer == Layer::Api {
        return false;
    }
    match setting {
        Setting::Level(Some(_)) => name == AUTO,
        Setting::Implementation(Some(id)) => id.split('/').next() != Some(name.as_str()),
        Setting::Objective(_) => name != AUTO,
        _ => false,
    }
}

/// What holds where no layer says anything.
fn bare() -> Policy {
    Policy {
        algorithm: crate::algorithm::DEFAULT.to_owned(),
        level: None,
        chunk_bytes: 4 << 20,
        auto_compress: false,
        threshold_bytes: 0,
        priority: Priority::Low,
        hardware: None,
        implementation: None,
        parity_percent: 0,
        objective: None,
        filter: None,
        min_savings: DEFAULT_MIN_SAVINGS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(set: &PolicySet, name: &str) -> String {
        let p = set.get(name);
        let level = p.level.map_or("-".into(), |l| l.to_string());
        let (chunk, mb) = (p.chunk_bytes >> 10, p.threshold_bytes >> 20);
        let auto = if p.auto_compress { "yes" } else { "no" };
        format!("{name} {} {level} {auto} {mb} {} {chunk}", p.algorithm, p.priority)
    }

    #[test]
    fn the_defaults_are_those_of_the_product() {
        let (_, problems) = shape::read(BUILTIN_TEXT);
        assert_eq!(problems, []);
        let set = PolicySet::builtin();
        let rows: Vec<String> = set.types().map(|t| row(&set, t)).collect();
        assert_eq!(
            rows,
            [
                "model_weights zstd 3 no 50 low 1024",
                "subtitle lz4 0 yes 1 high 512",
                "intermediate_cache lz4 1 yes 5 medium 4096",
                "attention_cache zstd 1 yes 10 medium 2048",
                "file_cache zstd 3 yes 20 low 8192",
                "temp_buffers lz4 0 yes 5 high 1024",
                "log_data gzip 6 yes 2 low 10240",
                "default gzip 6 no 10 low 4096",
            ]
        );
        assert_eq!(row(&set, "unheard_of"), "unheard_of gzip 6 no 10 low 4096");
        assert_eq!(set.get("subtitle").min_savings, 0.05);
        assert_eq!(set.get("subtitle").parity_percent, 0);
    }

    fn layered(user: &str, project: &str) -> PolicySet {
        let (set, problems) = PolicySet::parse(user, Layer::User, Path::new("/user.yaml"));
        assert_eq!(problems, []);
        let (set, problems) = set.over(project, Layer::Project, Path::new("/project.yaml"));
        assert_eq!(problems, []);
        set
    }

    #[test]
    fn later_layers_win_key_by_key_and_each_value_is_traced() {
        let set = layered(
            "compression_policy:\n  subtitle:\n    level: 9\n    priority: low\n  default:\n    threshold_mb: 7\n",
            "compression_policy:\n  subtitle:\n    priority: medium\n  images:\n    parity: 5\n",
        );
        assert_eq!(row(&set, "subtitle"), "subtitle lz4 9 yes 1 medium 512");
        assert_eq!(row(&set, "images"), "images gzip 6 no 7 low 4096");
        let origin = |name, key| set.origin(name, key).map(ToString::to_string);
        assert_eq!(origin("subtitle", Key::Level).as_deref(), Some("/user.yaml:3:12"));
        assert_eq!(origin("subtitle", Key::Priority).as_deref(), Some("/project.yaml:3:15"));
        let builtin = origin("subtitle", Key::Algorithm).expect("built in");
        assert!(builtin.starts_with("built-in compression_layers.yaml:4"), "{builtin}");
        assert_eq!(origin("images", Key::ThresholdMb).as_deref(), Some("/user.yaml:6:19 (default)"));
        assert_eq!(origin("images", Key::Parity).as_deref(), Some("/project.yaml:5:13"));
        assert_eq!(origin("images", Key::Hardware), None);
        assert_eq!(set.types().last(), Some("default"));
    }

    #[test]
    fn what_belongs_to_another_algorithm_does_not_follow() {
        let set = layered(
            "compression_policy:\n  model_weights:\n    algorithm: snappy\n  log_data:\n    implementation: gzip/cpu/zlib-rs\n",
            "compression_policy:\n  log_data:\n    algorithm: gzip\n  photos:\n    algorithm: zstd\n  notes:\n    algorithm: gzip\n  subtitle:\n    algorithm: auto\n    objective: speed\n",
        );
        assert_eq!(set.get("model_weights").level, None, "zstd's level is not snappy's");
        assert_eq!(set.origin("model_weights", Key::Level), None);
        assert_eq!(set.get("photos").level, None, "the default's level is gzip's");
        assert_eq!(set.get("notes").level, Some(6));
        assert_eq!(set.get("log_data").level, Some(6), "the same algorithm again changes nothing");
        assert_eq!(set.get("log_data").implementation.as_deref(), Some("gzip/cpu/zlib-rs"));
        assert_eq!(set.get("subtitle").level, None);
        let named = set.with("subtitle", vec![Setting::Algorithm("gzip".into())]).expect("a type");
        assert_eq!(named.get("subtitle").objective, None);
        let origin = named.origin("subtitle", Key::Algorithm).expect("set").to_string();
        assert_eq!(origin, "set by the application");
    }

    #[test]
    fn files_that_are_each_right_are_right_together() {
        let set = layered(
            "compression_policy:\n  default: {algorithm: auto}\n  log_data: {algorithm: zstd}\n  notes: {algorithm: gzip}\n",
            "compression_policy:\n  images: {level: 3}\n  log_data: {implementation: gzip/cpu/isal}\n  notes: {objective: ratio}\n",
        );
        assert_eq!((set.get("images").algorithm.as_str(), set.get("images").level), ("auto", None));
        assert_eq!(set.get("log_data").implementation, None);
        assert_eq!(set.get("notes").objective, None);
        assert!(set.check(None).iter().all(|p| p.severity != super::super::Severity::Error));
        let asked = set.with("images", vec![Setting::Level(Some(3))]).expect("a type");
        assert_eq!(asked.get("images").level, Some(3), "what a caller asks for is told, not dropped");
    }

    #[test]
    fn a_lower_value_can_be_undone() {
        let set = layered(
            "compression_policy:\n  log_data:\n    hardware: cuda\n    level: 9\n",
            "compression_policy:\n  log_data:\n    hardware: auto\n    level: default\n",
        );
        assert_eq!((set.get("log_data").hardware.as_deref(), set.get("log_data").level), (None, None));
        assert!(set.origin("log_data", Key::Level).is_some());
    }
}
