//! Changes to the text of a policy file that leave everything else as it is: comments, order, quotes, blank lines.
//!
//! Pure. The tree says which bytes a value takes; only these are replaced, or lines put in behind them. The result is read again and
//! must mean the old text with the one change, or it is refused: what this module does not understand, it does not touch.

use crate::policy::{
    Problem, ROOT_KEY, Setting, shape,
    tree::{self, Node, Value},
};
use std::ops::Range;

/// A change to one file.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// The type has these settings; those it has already are replaced, and others stay.
    Set(String, Vec<Setting>),
    /// The type has these settings and no others.
    Replace(String, Vec<Setting>),
    /// The type has no entry.
    Remove(String),
}

/// What a text says, as it is compared: types with their keys and values, in order.
type Meaning = Vec<(String, Vec<(String, String)>)>;

/// Makes `change` in `text`, which may be empty.
///
/// # Errors
/// When the text has mistakes, or is written in a way that cannot be changed safely; the message says what to do.
pub(super) fn edit(text: &str, change: &Change) -> Result<String, String> {
    let before = meaning(text)?;
    let edited = match change {
        Change::Set(name, settings) => {
            let mut text = text.to_owned();
            for setting in settings {
                text = set(&text, name, setting)?;
            }
            if settings.is_empty() { with_type(&text, name)? } else { text }
        }
        Change::Replace(name, settings) => {
            let mut text = with_type(text, name)?;
            for key in keys_of(&text, name)? {
                if !settings.iter().any(|s| s.key().name() == key) {
                    text = remove(&text, &[name, &key])?;
                }
            }
            edit(&text, &Change::Set(name.clone(), settings.clone()))?
        }
        Change::Remove(name) => remove(text, &[name])?,
    };
    if meaning(&edited)? == changed(before, change) {
        return Ok(edited);
    }
    Err("it is written in a way that cannot be changed without harm; change it by hand".into())
}

/// What `text` says.
fn meaning(text: &str) -> Result<Meaning, String> {
    if is_blank(text) {
        return Ok(Vec::new());
    }
    let (_, problems) = shape::read(text);
    if let Some(problem) = problems.into_iter().find(Problem::is_error) {
        return Err(format!("line {}: {}; mend that first", problem.place.line, problem.message));
    }
    let (root, _) = tree::parse(text);
    let pairs = |node: &Node| -> Vec<(String, Node)> {
        let entries = node.entries().unwrap_or_default().iter();
        entries.map(|(k, v)| (k.text().unwrap_or_default().to_owned(), v.clone())).collect()
    };
    let types = root.iter().flat_map(pairs).flat_map(|(_, types)| pairs(&types));
    let values = |node: &Node| -> Vec<(String, String)> {
        let of = |(key, value): (String, Node)| (key, value.text().unwrap_or_default().to_owned());
        pairs(node).into_iter().map(of).collect()
    };
    Ok(types.map(|(name, keys)| (name, values(&keys))).collect())
}

/// What the text must say after `change`.
fn changed(mut meaning: Meaning, change: &Change) -> Meaning {
    let (name, settings) = match change {
        Change::Remove(name) => {
            meaning.retain(|(n, _)| n != name);
            return meaning;
        }
        Change::Set(name, settings) | Change::Replace(name, settings) => (name, settings),
    };
    let at = meaning.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
        meaning.push((name.clone(), Vec::new()));
        meaning.len() - 1
    });
    let keys = &mut meaning[at].1;
    if matches!(change, Change::Replace(..)) {
        keys.retain(|(k, _)| settings.iter().any(|s| s.key().name() == k));
    }
    for setting in settings {
        let (key, value) = (setting.key().name(), setting.to_string());
        match keys.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => keys.push((key.to_owned(), value)),
        }
    }
    meaning
}

/// Whether nothing but comments stands there.
fn is_blank(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'))
}

/// Where a path below the root key leads.
enum Walk<'a> {
    /// To an entry of the mapping `around`.
    Found { around: &'a Node, at: usize },
    /// Nowhere: `around`, the value of `key`, has no entry of the next name.
    Missing { around: &'a Node, key: Option<&'a Node> },
}

fn walk<'a>(root: &'a Node, path: &[&str]) -> Walk<'a> {
    let mut walk = Walk::Missing { around: root, key: None };
    for name in std::iter::once(&ROOT_KEY).chain(path) {
        let (around, key) = match walk {
            Walk::Missing { around, key } => (around, key),
            Walk::Found { around, at } => {
                let (key, value) = &around.entries().unwrap_or_default()[at];
                (value, Some(key))
            }
        };
        let at = around.entries().unwrap_or_default().iter().position(|(k, _)| k.text() == Some(name));
        match at {
            Some(at) => walk = Walk::Found { around, at },
            None => return Walk::Missing { around, key },
        }
    }
    walk
}

fn tree(text: &str) -> Result<Node, String> {
    tree::parse(text).0.ok_or_else(|| "there is nothing in it".to_owned())
}

fn keys_of(text: &str, name: &str) -> Result<Vec<String>, String> {
    let types = meaning(text)?;
    let entry = types.into_iter().find(|(n, _)| n == name);
    Ok(entry.map(|(_, keys)| keys.into_iter().map(|(k, _)| k).collect()).unwrap_or_default())
}

/// `text` with one setting of a type: in place of the old value, or as a new line.
fn set(text: &str, name: &str, setting: &Setting) -> Result<String, String> {
    let text = with_type(text, name)?;
    let (key, value) = (setting.key().name(), setting.to_string());
    match walk(&tree(&text)?, &[name, key]) {
        Walk::Found { around, at } => {
            let span = around.entries().unwrap_or_default()[at].1.span.clone();
            Ok(spliced(&text, span, &value))
        }
        Walk::Missing { around, key: parent } => insert(&text, around, parent, &format!("{key}: {value}")),
    }
}

/// `text` with an entry of the type, perhaps an empty one.
fn with_type(text: &str, name: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    if is_blank(&text) {
        let newline = newline(&text);
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(newline);
        }
        text.push_str(&format!("{ROOT_KEY}:{newline}"));
    }
    match walk(&tree(&text)?, &[name]) {
        Walk::Found { .. } => Ok(text),
        Walk::Missing { around, key } => insert(&text, around, key, &format!("{name}:")),
    }
}

/// Puts `line`, a key with its value if it has one, at the end of the mapping `around`, the value of the key `parent`.
fn insert(text: &str, around: &Node, parent: Option<&Node>, line: &str) -> Result<String, String> {
    let newline = newline(text);
    let entry = |line: &str| if line.ends_with(':') { format!("{line} {{}}") } else { line.to_owned() };
    match &around.value {
        Value::Mapping { entries, is_flow: true } => {
            let (at, comma) = match entries.last() {
                Some((key, value)) => (value.span.end.max(key.span.end), ", "),
                None => (around.span.start + 1, ""),
            };
            Ok(spliced(text, at..at, &format!("{comma}{}", entry(line))))
        }
        Value::Mapping { entries, is_flow: false } => {
            let (first, last) = entries.first().zip(entries.last()).ok_or("an empty mapping")?;
            let indent = indent(text, &first.0)?;
            let end = line_end(text, last.1.span.end.max(last.0.span.end));
            // As apart from the one before as that is from its own.
            let is_apart = entries.len() > 1 && line.ends_with(':') && {
                let before = &entries[entries.len() - 2];
                let between = &text[before.1.span.end.max(before.0.span.end)..last.0.span.start];
                between.lines().skip(1).any(|l| l.trim().is_empty()) && between.lines().count() > 2
            };
            let gap = if is_apart { newline } else { "" };
            Ok(spliced(text, end..end, &format!("{newline}{gap}{indent}{line}")))
        }
        _ if around.is_null() => {
            let parent = parent.ok_or("no key above it")?;
            let indent = format!("{}  ", indent(text, parent)?);
            // `~` and `null` make room for what comes below.
            let text = spliced(text, around.span.clone(), "");
            let end = line_end(&text, around.span.start);
            Ok(spliced(&text, end..end, &format!("{newline}{indent}{line}")))
        }
        _ => Err("there is a value where keys should be".into()),
    }
}

/// `text` without the entry of `path`.
fn remove(text: &str, path: &[&str]) -> Result<String, String> {
    let tree = tree(text)?;
    let Walk::Found { around, at } = walk(&tree, path) else {
        return Err(format!("there is no `{}` in it", path.join(".")));
    };
    match &around.value {
        Value::Mapping { entries, is_flow: true } => Ok(spliced(text, span_in_flow(entries, at), "")),
        Value::Mapping { entries, is_flow: false } => {
            let span = lines_of(text, &entries[at])?;
            // The blank line that set a type apart goes with it, unless it now keeps others apart.
            let rest = &text[span.end..];
            let is_apart = path.len() == 1 && (rest.is_empty() || rest.starts_with(['\n', '\r']));
            let blank = if is_apart { blank_line_before(text, span.start) } else { 0 };
            Ok(spliced(text, span.start - blank..span.end, ""))
        }
        _ => Err("not in a mapping".into()),
    }
}

/// What an entry takes of a line, with the comma that goes with it.
fn span_in_flow(entries: &[(Node, Node)], at: usize) -> Range<usize> {
    let end = |(key, value): &(Node, Node)| value.span.end.max(key.span.end);
    let start = entries[at].0.span.start;
    match (at.checked_sub(1), entries.get(at + 1)) {
        (Some(before), _) => end(&entries[before])..end(&entries[at]),
        (None, Some((next, _))) => start..next.span.start,
        (None, None) => start..end(&entries[at]),
    }
}

/// The lines that an entry stands on.
fn lines_of(text: &str, (key, value): &(Node, Node)) -> Result<Range<usize>, String> {
    let start = key.span.start - indent(text, key)?.len();
    let end = line_end(text, value.span.end.max(key.span.end));
    Ok(start..end + text[end..].find('\n').map_or(0, |at| at + 1))
}

/// Bytes of the blank line that ends at `at`, if there is one.
fn blank_line_before(text: &str, at: usize) -> usize {
    let before = &text[..at];
    match (before.ends_with("\r\n\r\n"), before.ends_with("\n\n")) {
        (true, _) => 2,
        (_, true) => 1,
        _ => 0,
    }
}

/// The spaces before a key, which must begin its line.
fn indent<'a>(text: &'a str, key: &Node) -> Result<&'a str, String> {
    let start = text[..key.span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[start..key.span.start];
    if before.trim_start_matches('\u{feff}').chars().all(|c| c == ' ') {
        return Ok(before.trim_start_matches('\u{feff}'));
    }
    Err(format!("line {}: more than a key begins here; change it by hand", key.place.line))
}

/// The end of the line that `at` is on, without its line break.
fn line_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let line = rest.split('\n').next().unwrap_or(rest);
    at + line.trim_end_matches('\r').len()
}

/// How lines end in `text`.
fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

fn spliced(text: &str, span: Range<usize>, new: &str) -> String {
    let (before, after) = (&text[..span.start], &text[span.end..]);
    // A value that was not there needs a space before it.
    let space =
        if span.is_empty() && before.ends_with(':') && !new.is_empty() && !new.starts_with(['\n', '\r']) {
            " "
        } else {
            ""
        };
    format!("{before}{space}{new}{after}")
}

#[cfg(test)]
mod tests;
