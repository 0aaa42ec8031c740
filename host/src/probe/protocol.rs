//! What host and probe child tell each other: one job in, events out, one JSON value a line.
//!
//! The answer counts only with its [`Event::End`]: a child that dies or leaves early cannot fake it by
//! accident.

use crate::{
    registry::report::{Cell, CodecInfo, PluginInfo},
    validate::CaseResult,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Argument by which a program becomes a probe child in [`crate::probe_entry`].
pub(crate) const CHILD_ARGUMENT: &str = "__clipsmaster-probe";

/// What a child is to do with one library.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Library under examination.
    pub library: PathBuf,
    /// What to find out.
    pub task: Task,
    /// Most address space, in bytes; none for devices, whose drivers map more than they use.
    pub memory_bytes: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Load it, read descriptors, probe devices.
    Describe,
    /// Prove one codec.
    Conform { codec: usize, peers: Vec<Peer> },
    /// Measure implementations in turns.
    Measure { contenders: Vec<Contender>, plan: Plan },
}

/// A proven implementation of the same algorithm, for cross-decoding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub library: PathBuf,
    pub codec: usize,
    pub implementation: String,
}

/// A proven implementation to measure, and at which levels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Contender {
    pub peer: Peer,
    pub levels: Vec<i32>,
}

/// How to measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Sizes in bytes, ascending.
    pub sizes: Vec<usize>,
    /// Whose frames the default levels of their algorithms decode: those that are usual, whatever a codec's own are like. Each its own when absent.
    pub frames_by: Vec<Peer>,
}

/// What a child reports, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// About to do this; the last one is what a crash is blamed on.
    Step(String),
    /// The library does not fit this host.
    Incompatible(String),
    /// Who the plugin is and what it offers; probing of its devices follows.
    Described { info: PluginInfo, codecs: Vec<CodecInfo> },
    /// A codec's device.
    Device { codec: usize, outcome: DeviceOutcome },
    /// A conformance case ended.
    Case(CaseResult),
    /// That contender's turn: a crash is its own.
    Turn(usize),
    /// A measured point of a contender.
    Cell { contender: usize, cell: Cell },
    /// Peak memory of a level, in bytes.
    Peak { contender: usize, level: i32, bytes: u64 },
    /// All done.
    End,
}

/// What a codec's probe said.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum DeviceOutcome {
    /// There; its identity, empty for the CPU.
    Found(String),
    Missing {
        reason: String,
        remedy: String,
    },
    /// The probe itself failed.
    Failed(String),
}
