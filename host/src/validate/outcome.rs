//! How conformance cases end: plain data, which the probe carries and `validate` prints.

use serde::{Deserialize, Serialize};

/// What [`conform`](super::conform) tells while it runs.
pub(crate) enum Told {
    /// This case begins; a crash now is its doing.
    Begins(String),
    /// A case ended.
    Ended(CaseResult),
}

/// How one conformance case ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CaseResult {
    /// Name of the case.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// Outcome of a conformance case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// As the contract wants.
    Passed,
    /// Allowed, but worth an author's look.
    Note(String),
    /// Could not be tried, and why.
    Skipped(String),
    /// Against the contract.
    Failed(String),
    /// Data came back changed without an error: the worst there is.
    WrongBytes(String),
}
