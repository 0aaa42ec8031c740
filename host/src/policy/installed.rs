//! Whether policies go together with themselves, and with what is installed.
//!
//! Pure: a set and descriptors in, problems out. What shows in a file alone is `shape`'s.

use super::{
    AUTO, Key, Layer, Origin, Policy, PolicySet,
    problem::{Place, Problem, Severity, with_lines},
};
use crate::{CodecInfo, spelling};
use std::{collections::BTreeSet, path::Path};

/// The codecs that can be used on a machine, by their descriptors.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Installed {
    codecs: Vec<CodecInfo>,
}

impl Installed {
    /// Those that are usable.
    pub fn new(usable: impl IntoIterator<Item = CodecInfo>) -> Self {
        Self { codecs: usable.into_iter().filter(|c| c.compresses).collect() }
    }

    /// The level of `policy`, or the nearest there is where nothing that serves it has that one: a file serves machines with
    /// different plugins. `None` asks for the algorithm's default.
    pub fn level(&self, policy: &Policy) -> Option<i32> {
        let level = policy.level?;
        let serves = |c: &&CodecInfo| {
            policy.hardware.as_ref().is_none_or(|h| *h == c.hardware)
                && policy.implementation.as_ref().is_none_or(|id| *id == c.implementation())
        };
        let near = |c: &CodecInfo| level.clamp(c.level_min, c.level_max);
        let levels = self.of(&policy.algorithm).filter(serves).map(near);
        Some(levels.min_by_key(|l| l.abs_diff(level)).unwrap_or(level))
    }

    fn of<'a>(&'a self, algorithm: &'a str) -> impl Iterator<Item = &'a CodecInfo> + Clone {
        self.codecs.iter().filter(move |c| c.algorithm == algorithm)
    }
}

/// Something wrong with a type's policy, and the value that is to blame.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// The type.
    pub resource_type: String,
    /// Where the value comes from.
    pub origin: Origin,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl PolicySet {
    /// What does not go together in the policies of all types, or, where `installed` is given, with what there is. Values of the
    /// built-in defaults are never to blame.
    pub fn check(&self, installed: Option<&Installed>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for resource_type in self.types() {
            Check { set: self, resource_type, installed, findings: &mut findings }.run();
        }
        findings.retain(|f| f.origin.layer != Layer::BuiltIn);
        findings
    }

    /// All problems of the text of one policy file over the built-in defaults: what shows in itself, and what shows by what is
    /// installed, where that is given. Sorted by place.
    pub fn problems(text: &str, path: &Path, installed: Option<&Installed>) -> Vec<Problem> {
        let (set, mut problems) = Self::parse(text, Layer::Project, path);
        problems.extend(set.problems_of(Layer::Project, installed));
        with_lines(problems, text)
    }

    /// The findings in one layer, as problems of its file.
    pub(super) fn problems_of(&self, layer: Layer, installed: Option<&Installed>) -> Vec<Problem> {
        let findings = self.check(installed).into_iter().filter(|f| f.origin.layer == layer);
        let place = |f: &Finding| f.origin.place.unwrap_or(Place::START);
        findings.map(|f| Problem { severity: f.severity, ..Problem::error(place(&f), f.message) }).collect()
    }
}

/// One type under examination.
struct Check<'a> {
    set: &'a PolicySet,
    resource_type: &'a str,
    installed: Option<&'a Installed>,
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    fn run(mut self) {
        let policy = self.set.get(self.resource_type).clone();
        if policy.algorithm == AUTO {
            self.automatic(&policy);
        } else {
            self.named(&policy);
        }
        if let Some(installed) = self.installed.filter(|_| policy.algorithm != AUTO) {
            self.here(&policy, installed);
        }
    }

    /// Blames the value of `key`, or the algorithm where that is of a higher layer.
    fn tell(&mut self, severity: Severity, key: Key, message: String) {
        let origins =
            [key, Key::Algorithm].into_iter().filter_map(|k| self.set.origin(self.resource_type, k));
        let Some(origin) = origins.rev().max_by_key(|o| o.layer) else { return };
        let message = format!("{}.{key}: {message}", self.resource_type);
        let (resource_type, origin) = (self.resource_type.to_owned(), origin.clone());
        self.findings.push(Finding { resource_type, origin, severity, message });
    }

    fn automatic(&mut self, policy: &Policy) {
        if policy.level.is_some() {
            self.tell(
                Severity::Error,
                Key::Level,
                "`algorithm: auto` chooses the level; leave it out, or write `default`".into(),
            );
        }
        if let Some(id) = &policy.implementation {
            let message = format!(
                "`algorithm: auto` chooses the implementation; leave it out, or name the algorithm of {id}"
            );
            self.tell(Severity::Error, Key::Implementation, message);
        }
    }

    fn named(&mut self, policy: &Policy) {
        if policy.objective.is_some() {
            let message = format!(
                "it is what `algorithm: auto` chooses by; the algorithm is {}: leave one of them out",
                policy.algorithm
            );
            self.tell(Severity::Error, Key::Objective, message);
        }
        let Some(id) = &policy.implementation else { return };
        let mut parts = id.split('/');
        let (algorithm, hardware) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if algorithm != policy.algorithm {
            let message = format!("`{id}` does {algorithm}, but the algorithm is {}", policy.algorithm);
            self.tell(Severity::Error, Key::Implementation, message);
        }
        if policy.hardware.as_deref().is_some_and(|h| h != hardware) {
            let asked = policy.hardware.as_deref().unwrap_or_default();
            let message =
                format!("`{id}` runs on {hardware}, but the hardware is {asked}; leave one of them out");
            self.tell(Severity::Error, Key::Implementation, message);
        }
    }

    fn here(&mut self, policy: &Policy, installed: &Installed) {
        let of_algorithm = installed.of(&policy.algorithm);
        if of_algorithm.clone().next().is_none() {
            let names: BTreeSet<&str> = installed.codecs.iter().map(|c| c.algorithm.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let (name, there) = (&policy.algorithm, list(&names));
            let meant = spelling::nearest(name, &names).map(|n| format!("did you mean `{n}`? "));
            let message =
                format!("`{name}` is not installed; {}installed: {there}", meant.unwrap_or_default());
            return self.tell(Severity::Error, Key::Algorithm, message);
        }
        let mut serving: Vec<&CodecInfo> = of_algorithm.clone().collect();
        if let Some(id) = &policy.implementation {
            let ids: Vec<String> = of_algorithm.clone().map(CodecInfo::implementation).collect();
            if !ids.contains(id) {
                let message = format!("`{id}` cannot be used on this machine; usable: {}", list(&ids));
                self.tell(Severity::Warning, Key::Implementation, message);
            } else {
                serving.retain(|c| c.implementation() == *id);
            }
        }
        if let Some(hardware) = &policy.hardware {
            let names: BTreeSet<&str> = of_algorithm.clone().map(|c| c.hardware.as_str()).collect();
            if !names.contains(hardware.as_str()) {
                let there = list(&names.into_iter().collect::<Vec<_>>());
                let message =
                    format!("nothing here does {} on {hardware}; usable: {there}", policy.algorithm);
                self.tell(Severity::Warning, Key::Hardware, message);
            } else {
                serving.retain(|c| c.hardware == *hardware);
            }
        }
        self.level(policy, &serving);
    }

    fn level(&mut self, policy: &Policy, serving: &[&CodecInfo]) {
        let Some(level) = policy.level else { return };
        let lowest = serving.iter().map(|c| c.level_min).min();
        let highest = serving.iter().map(|c| c.level_max).max();
        let (Some(lowest), Some(highest)) = (lowest, highest) else { return };
        if serving.iter().any(|c| c.has_level(level)) {
            return;
        }
        let whose = policy.implementation.as_ref().unwrap_or(&policy.algorithm);
        let range =
            if lowest == highest { format!("only {lowest}") } else { format!("{lowest} to {highest}") };
        let message = format!("{whose} has no level {level}; it has {range}, or `default`");
        self.tell(Severity::Error, Key::Level, message);
    }
}

fn list(names: &[impl AsRef<str>]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Setting;
    use proptest::prelude::*;

    fn codec(id: &str, level_min: i32, level_max: i32) -> CodecInfo {
        let mut parts = id.split('/').map(str::to_owned);
        let mut part = || parts.next().expect("three parts");
        CodecInfo {
            index: 0,
            algorithm: part(),
            hardware: part(),
            library: part(),
            library_version: String::new(),
            level_min,
            level_max,
            level_default: level_min,
            extension: String::new(),
            magic: Vec::new(),
            options: Vec::new(),
            max_chunk_bytes: 1 << 30,
            concurrent: true,
            compresses: true,
            decompresses: true,
            safe_on_hostile_input: true,
            streams: true,
            batch: 1,
            device: String::new(),
        }
    }

    fn machine() -> Installed {
        Installed::new([
            codec("gzip/cpu/zlib-rs", 0, 9),
            codec("gzip/cpu/libdeflate", 0, 12),
            codec("zstd/cpu/libzstd", -7, 22),
            codec("snappy/cpu/snap", 1, 1),
        ])
    }

    fn told(entries: &str) -> Vec<String> {
        let text = format!("compression_policy:\n{entries}");
        let problems = PolicySet::problems(&text, Path::new("p.yaml"), Some(&machine()));
        problems.iter().map(|p| format!("{} {}: {}", p.place, p.severity, p.message)).collect()
    }

    #[test]
    fn what_the_machine_lacks_is_told() {
        assert_eq!(
            told("  a:\n    algorithm: zsdt\n  b:\n    algorithm: lz4\n"),
            [
                "3:16 error: a.algorithm: `zsdt` is not installed; did you mean `zstd`? installed: gzip, snappy, zstd",
                "5:16 error: b.algorithm: `lz4` is not installed; installed: gzip, snappy, zstd",
            ]
        );
        assert_eq!(
            told(
                "  a:\n    algorithm: gzip\n    hardware: cuda\n  b:\n    algorithm: gzip\n    implementation: gzip/qat/qatzip\n"
            ),
            [
                "4:15 warning: a.hardware: nothing here does gzip on cuda; usable: cpu",
                "7:21 warning: b.implementation: `gzip/qat/qatzip` cannot be used on this machine; usable: gzip/cpu/zlib-rs, gzip/cpu/libdeflate",
            ]
        );
    }

    #[test]
    fn levels_are_the_descriptors_own() {
        assert_eq!(
            told("  a:\n    algorithm: gzip\n    level: 12\n  b:\n    algorithm: zstd\n    level: -7\n"),
            [""; 0]
        );
        assert_eq!(
            told(
                "  a:\n    algorithm: gzip\n    level: 12\n    implementation: gzip/cpu/zlib-rs\n  b:\n    algorithm: snappy\n    level: 6\n"
            ),
            [
                "4:12 error: a.level: gzip/cpu/zlib-rs has no level 12; it has 0 to 9, or `default`",
                "8:12 error: b.level: snappy has no level 6; it has only 1, or `default`",
            ]
        );
        assert_eq!(told("  model_weights:\n    algorithm: snappy\n"), [""; 0], "zstd's level stays behind");
    }

    #[test]
    fn the_nearest_level_serves_where_that_one_is_not() {
        let policy = |algorithm: &str, level: &str| {
            let settings = [(Key::Algorithm, algorithm), (Key::Level, level)];
            let settings = settings.map(|(k, v)| Setting::read(k, v).expect("a value")).into();
            PolicySet::builtin().with("a", settings).expect("a type").get("a").clone()
        };
        assert_eq!(machine().level(&policy("snappy", "0")), Some(1));
        assert_eq!(machine().level(&policy("gzip", "11")), Some(11));
        assert_eq!(machine().level(&policy("gzip", "99")), Some(12));
        assert_eq!(machine().level(&policy("gzip", "default")), None);
        assert_eq!(
            machine().level(&policy("lz4", "0")),
            Some(0),
            "that it is not there is told when it is used"
        );
        let exact = Policy { implementation: Some("gzip/cpu/zlib-rs".into()), ..policy("gzip", "11") };
        assert_eq!(machine().level(&exact), Some(9));
    }

    #[test]
    fn what_contradicts_itself_is_told_without_a_machine() {
        let text = "compression_policy:\n  a:\n    algorithm: auto\n    level: 3\n  b:\n    algorithm: gzip\n    objective: ratio\n  \
                    c:\n    algorithm: zstd\n    implementation: gzip/cpu/zlib-rs\n    hardware: cuda\n";
        let problems = PolicySet::problems(text, Path::new("p.yaml"), None);
        let told: Vec<String> = problems.iter().map(|p| format!("{} {}", p.place, p.message)).collect();
        assert_eq!(
            told,
            [
                "4:12 a.level: `algorithm: auto` chooses the level; leave it out, or write `default`",
                "7:16 b.objective: it is what `algorithm: auto` chooses by; the algorithm is gzip: leave one of them out",
                "10:21 c.implementation: `gzip/cpu/zlib-rs` does gzip, but the algorithm is zstd",
                "10:21 c.implementation: `gzip/cpu/zlib-rs` runs on cpu, but the hardware is cuda; leave one of them out",
            ]
        );
    }

    #[test]
    fn the_defaults_are_not_to_blame() {
        assert_eq!(PolicySet::builtin().check(Some(&Installed::default())), []);
    }

    proptest! {
        #[test]
        fn any_values_are_checked(
            algorithm in "auto|gzip|zstd|snappy|other",
            level in -100..100_i32,
            implementation in "auto|gzip/cpu/zlib-rs|a/b/c",
            hardware in "auto|cpu|cuda",
        ) {
            let found = told(&format!(
                "  a:\n    algorithm: {algorithm}\n    level: {level}\n    implementation: {implementation}\n    hardware: {hardware}\n"
            ));
            let fits = match algorithm.as_str() {
                "gzip" => implementation != "a/b/c"
                    && !(implementation == "gzip/cpu/zlib-rs" && (hardware == "cuda" || level > 9))
                    && (0..=12).contains(&level),
                "zstd" => implementation == "auto" && (-7..=22).contains(&level),
                "snappy" => implementation == "auto" && level == 1,
                _ => false,
            };
            prop_assert_eq!(!found.iter().any(|f| f.contains(" error: ")), fits, "{:?}", found);
        }
    }
}
