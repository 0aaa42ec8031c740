//! What is done with each type of resource: with which algorithm, at which level, from which size on, how urgently.
//!
//! Policies come from files in layers ([`PolicyFiles`]), later ones over earlier ones, key by key. Data goes one way: a file's text
//! becomes a `tree`, `shape` makes a layer and a list of [`Problem`]s of it, [`PolicySet`] merges layers, and [`Policies`] holds the
//! set in force and follows its files. `edit` changes a text and leaves what the user wrote around it as it is. Only `file` and `live`
//! touch the disk.

mod apply;
mod document;
mod edit;
mod file;
mod installed;
mod key;
mod live;
mod problem;
mod set;
mod shape;
mod tree;

pub use document::PolicyFile;
pub use edit::Change;
pub use file::{MAX_FILE_BYTES, is_overtaken};
pub use installed::{Finding, Installed};
pub use key::{Key, Setting};
pub use live::{FILE_NAME, Policies, PolicyFiles};
pub use problem::{Place, Problem, Severity};
pub use set::{BUILTIN_TEXT, Layer, Origin, PolicySet, nearest_type};
pub use shape::check_type_name;

pub(crate) use apply::file_in;

use crate::{Objective, pipeline::Filtering};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The type that serves all types that are named nowhere, and gives what others leave out.
pub const DEFAULT_TYPE: &str = "default";
/// The root key of a policy file.
pub const ROOT_KEY: &str = "compression_policy";
/// What an algorithm is called that is chosen by trials.
pub const AUTO: &str = "auto";

/// How urgent it is to have data of a type at hand: where memory is short, the lowest goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// May wait.
    Low,
    /// Between the two.
    Medium,
    /// Wanted at once.
    High,
}

impl Priority {
    /// All, the lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|p| p.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no priority; there are high, medium, low"))
    }
}

/// What is done with one type of resource, all layers merged. Plain data.
///
/// `algorithm` to `chunk_bytes`, `hardware` to `parity_percent`, `objective` and `filter` say how to compress;
/// `auto_compress`, `threshold_bytes`, `priority` and `min_savings` tell whoever keeps resources when to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Policy {
    /// Canonical name, or [`AUTO`].
    pub algorithm: String,
    /// Level of the algorithm's reference implementation; the algorithm's default when absent.
    pub level: Option<i32>,
    /// Bytes compressed at once.
    pub chunk_bytes: u64,
    /// Whether such resources are compressed without being asked for it.
    pub auto_compress: bool,
    /// Smaller resources, in bytes, are left alone unless it is asked for.
    pub threshold_bytes: u64,
    /// How urgent it is to have them at hand.
    pub priority: Priority,
    /// Only this hardware.
    pub hardware: Option<String>,
    /// Exactly this implementation.
    pub implementation: Option<String>,
    /// Recovery data, in percent of the compressed bytes.
    pub parity_percent: u8,
    /// What [`AUTO`] chooses by.
    pub objective: Option<Objective>,
    /// What is done before the codec; nothing when absent, except with [`AUTO`], which then chooses.
    pub filter: Option<Filtering>,
    /// Share of the original, 0 to 1, that must be saved for the result to be kept.
    pub min_savings: f64,
}
