//! What is wrong in a policy file, where, and what to do about it.

use serde::Serialize;
use std::{fmt, path::Path};

/// A place in a text: line and column, both from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but perhaps not as it was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Something wrong in a policy file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The line of the file, without the spaces at its end.
    pub text: String,
}

impl Problem {
    pub(super) fn error(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, message: message.into(), text: String::new() }
    }

    /// Whether the file cannot be used for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// As people read it: the place in `path`, what is wrong, the line, and a mark below the column.
    pub fn render(&self, path: &Path) -> String {
        let head = format!("{}:{}: {}: {}\n", path.display(), self.place, self.severity, self.message);
        if self.text.trim().is_empty() {
            return head;
        }
        // Tabs stay tabs, so that the mark stands below its letter in any terminal.
        let before = self.text.chars().take(self.place.column - 1);
        let pad: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!("{head}    {}\n    {pad}^\n", self.text)
    }
}

/// Gives each problem its line of `text`, and sorts them by place. Of those at the same place that say the same, one stays.
pub(super) fn with_lines(mut problems: Vec<Problem>, text: &str) -> Vec<Problem> {
    /// Longer lines are no policy's, and no help.
    const MOST_CHARS: usize = 160;
    problems.sort_by(|a, b| (a.place, a.severity, &a.message).cmp(&(b.place, b.severity, &b.message)));
    problems.dedup();
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in &mut problems {
        let line = problem.place.line.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or("");
        problem.text = shown(line.trim_end(), MOST_CHARS);
        problem.message = shown(&problem.message, 4 * MOST_CHARS);
    }
    problems
}

/// The first `most_chars` of `text`, without what a terminal would obey.
fn shown(text: &str, most_chars: usize) -> String {
    let chars = text.chars().take(most_chars);
    chars.map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
