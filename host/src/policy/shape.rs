//! What a policy file says, and every mistake that shows without knowing what is installed.
//!
//! Pure: a text in, entries and problems out.

use super::{
    Key, ROOT_KEY, Setting,
    problem::{Place, Problem, Severity, with_lines},
    tree::{self, Node, Value},
};
use crate::spelling;
use std::collections::BTreeMap;

/// Longest name of a type, in bytes.
const MOST_NAME_BYTES: usize = 64;

/// One type's keys, with their values and where these stand.
pub(super) type Entry = BTreeMap<Key, (Setting, Option<Place>)>;

/// The types of one layer with their keys, in order.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Entries {
    order: Vec<String>,
    by_type: BTreeMap<String, Entry>,
}

impl Entries {
    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    pub(super) fn get(&self, resource_type: &str) -> Option<&Entry> {
        self.by_type.get(resource_type)
    }

    /// The entry of a type, made where there is none.
    pub(super) fn entry(&mut self, resource_type: &str) -> &mut Entry {
        if !self.by_type.contains_key(resource_type) {
            self.order.push(resource_type.to_owned());
        }
        self.by_type.entry(resource_type.to_owned()).or_default()
    }
}

/// Whether a type can be called that.
///
/// # Errors
/// When it cannot: why.
pub fn check_type_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if starts_well && name.len() <= MOST_NAME_BYTES && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name of a resource type; names are of letters, digits, `_`, `-`, `.`, {MOST_NAME_BYTES} at most"
    ))
}

/// Reads the text of a policy file. What is wrong is left out of the entries.
pub(super) fn read(text: &str) -> (Entries, Vec<Problem>) {
    let (root, problems) = tree::parse(text);
    let mut reader = Reader { is_whole: problems.is_empty(), problems, ..Reader::default() };
    reader.root(root.as_ref());
    (reader.entries, with_lines(reader.problems, text))
}

#[derive(Default)]
struct Reader {
    entries: Entries,
    problems: Vec<Problem>,
    /// Whether all of the text was understood: only then something is missing that is not there.
    is_whole: bool,
}

impl Reader {
    fn error(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(Problem::error(node.place, message));
    }

    fn root(&mut self, root: Option<&Node>) {
        let missing = format!("a policy file has the root key `{ROOT_KEY}:` with the types below it");
        let Some(root) = root.filter(|r| !r.is_null()) else {
            if self.is_whole {
                let message = format!("there is nothing in it; {missing}");
                let severity = Severity::Warning;
                self.problems.push(Problem { severity, ..Problem::error(Place::START, message) });
            }
            return;
        };
        let Some(entries) = root.entries() else {
            self.error(root, format!("{} is no policy; {missing}", kind(root)));
            return;
        };
        let mut is_found = false;
        for (key, value) in self.unique(entries) {
            if key.text() == Some(ROOT_KEY) {
                is_found = true;
                self.types(value);
                continue;
            }
            let name = key.text().unwrap_or_default();
            let message = match spelling::nearest(name, &[ROOT_KEY]) {
                Some(_) => format!("unknown key `{name}`; did you mean `{ROOT_KEY}`?"),
                None => format!("unknown key `{name}`; types stand below `{ROOT_KEY}:`, indented"),
            };
            is_found |= spelling::nearest(name, &[ROOT_KEY]).is_some();
            self.error(key, message);
        }
        if !is_found && self.is_whole {
            self.error(root, format!("`{ROOT_KEY}` is missing; {missing}"));
        }
    }

    fn types(&mut self, value: &Node) {
        if value.is_null() {
            return;
        }
        let Some(entries) = value.entries() else {
            let what = kind(value);
            self.error(
                value,
                format!("`{ROOT_KEY}` wants types below it, each with its keys; this is {what}"),
            );
            return;
        };
        for (key, value) in self.unique(entries) {
            let Some(name) = key.text() else { continue };
            match check_type_name(name) {
                Ok(()) => self.keys(name, value),
                Err(message) => self.error(key, message),
            }
        }
    }

    fn keys(&mut self, name: &str, value: &Node) {
        self.entries.entry(name);
        if value.is_null() {
            return;
        }
        let Some(entries) = value.entries() else {
            self.error(
                value,
                format!("`{name}` wants keys below it, like `algorithm: zstd`; this is {}", kind(value)),
            );
            return;
        };
        for (key, value) in self.unique(entries) {
            match key.text().unwrap_or_default().parse::<Key>() {
                Err(message) => self.error(key, message),
                Ok(known) => match setting(known, value) {
                    Err(message) => self.error(value, format!("{name}.{known}: {message}")),
                    Ok(setting) => {
                        self.entries.entry(name).insert(known, (setting, Some(value.place)));
                    }
                },
            }
        }
    }

    /// The entries whose keys are words that stand there for the first time.
    fn unique<'a>(&mut self, entries: &'a [(Node, Node)]) -> Vec<&'a (Node, Node)> {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for entry in entries {
            let key = &entry.0;
            let Some(name) = key.text().filter(|n| !n.is_empty()) else {
                self.error(key, format!("{} is no key; write a word", kind(key)));
                continue;
            };
            match first.get(name) {
                None => {
                    first.insert(name, key.place.line);
                    kept.push(entry);
                }
                Some(line) => {
                    let message = format!(
                        "`{name}` stands here a second time; the first is in line {line}: leave one out"
                    );
                    self.error(key, message);
                }
            }
        }
        kept
    }
}

fn setting(key: Key, value: &Node) -> Result<Setting, String> {
    let Value::Scalar { text, is_plain } = &value.value else {
        return Err(format!("this is {}; write one value", kind(value)));
    };
    if value.is_null() {
        return Err("there is no value; write one, or leave the key out".into());
    }
    if *is_plain || key.is_word() {
        return Setting::read(key, text);
    }
    match Setting::read(key, text) {
        Ok(_) => Err(format!("\"{text}\" in quotes is text; leave the quotes out: {text}")),
        Err(why) => Err(format!("\"{text}\" in quotes is text: {why}")),
    }
}

/// What YAML makes of it.
fn kind(node: &Node) -> String {
    match &node.value {
        Value::Mapping { .. } => "a mapping of keys".into(),
        Value::Sequence => "a list".into(),
        Value::Scalar { .. } if node.is_null() => "nothing".into(),
        Value::Scalar { text, .. } => {
            let short: String = text.chars().take(40).collect();
            format!("the text `{short}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> Vec<String> {
        read(text).1.iter().map(|p| format!("{}: {}", p.place, p.message)).collect()
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place() {
        let text = "compression_policy:\n  subtitle:\n    algoritm: lz4\n    level: fast\n    chunk_size: 65MB\n    \
                    auto_compress: \"no\"\n    threshold_mb: -1\n    parity: 101\n    level: 3\n  subtitle:\n    level: 1\n  \
                    a b: {}\n  images: [1]\n  notes:\n    priority:\n    filter: {a: 1}\n    min_savings: 5\n";
        assert_eq!(
            told(text),
            [
                "3:5: unknown key `algoritm`; did you mean `algorithm`?",
                "4:12: subtitle.level: `fast` is no level; write a whole number, or `default`",
                "5:17: subtitle.chunk_size: chunks of 65 MiB are not possible; write 4KB to 64MB",
                "6:20: subtitle.auto_compress: \"no\" in quotes is text; leave the quotes out: no",
                "7:19: subtitle.threshold_mb: a threshold of -1 is negative; write 0 for data of any size",
                "8:13: subtitle.parity: `101` is no parity; write percent of the result, a whole number 0 to 100",
                "9:5: `level` stands here a second time; the first is in line 4: leave one out",
                "10:3: `subtitle` stands here a second time; the first is in line 2: leave one out",
                "12:3: `a b` is no name of a resource type; names are of letters, digits, `_`, `-`, `.`, 64 at most",
                "13:11: `images` wants keys below it, like `algorithm: zstd`; this is a list",
                "15:14: notes.priority: there is no value; write one, or leave the key out",
                "16:13: notes.filter: this is a mapping of keys; write one value",
                "17:18: notes.min_savings: `5` is no share; write 0 to 1, e.g. 0.05 for 5 %",
            ]
        );
    }

    #[test]
    fn roots_that_are_none() {
        assert!(told("")[0].starts_with("1:1: there is nothing in it"));
        assert!(told("# only a comment\n")[0].starts_with("1:1: there is nothing in it"));
        assert_eq!(told("compresion_policy:\n").len(), 1);
        assert!(told("compresion_policy:\n")[0].contains("did you mean `compression_policy`?"));
        let lost = told("subtitle:\n  level: 1\n");
        assert!(lost[0].contains("is missing") && lost[1].contains("types stand below"), "{lost:?}");
        assert!(told("- a\n")[0].contains("a list is no policy"));
        assert!(told("hello\n")[0].contains("the text `hello` is no policy"));
        assert!(told("compression_policy: 3\n")[0].contains("wants types below it"));
        assert_eq!(told("compression_policy:\n"), [""; 0], "no types are no mistake");
        assert_eq!(told("compression_policy: {subtitle: {level: 1}}\n"), [""; 0]);
        assert_eq!(told("\u{feff}compression_policy:\n  subtitle:\n    level: 1\n"), [""; 0]);
    }

    #[test]
    fn a_syntax_error_does_not_hide_what_stands_before_it() {
        let found = told("compression_policy:\n  subtitle:\n    levle: 1\n    priority: 'high\n");
        assert!(found[0].contains("did you mean `level`?"), "{found:?}");
        assert_eq!(found.len(), 2, "{found:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}|[ \\n\\ta-z:{}\\[\\]'\"&*!|>#,-]{0,120}") {
            let _ = read(&text);
            let _ = read(&format!("compression_policy:\n  {text}"));
        }
    }
}
