//! What the host knows about one plugin file: who it is, how it was judged, how it measured.
//! Plain data; it is what the cache stores and what listings show.

use super::cells::Cells;
use clipsmaster_plugin_api as api;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a plugin, or one codec of it, can be used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// Proven; may be chosen.
    Ok,
    /// A device or vendor library is missing; looked at again when the machine changes.
    Unavailable,
    /// Built for another interface or architecture.
    Incompatible,
    /// Did not pass conformance.
    Failed,
    /// Crashed, hung twice, or returned wrong bytes: not touched again until its bytes change or it is cleared.
    Quarantined,
    /// Not loaded, because the trust policy does not accept the file.
    Refused,
    /// Another plugin of the same id or implementation was found first.
    Shadowed,
    /// A shared library, but no plugin.
    NotAPlugin,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Unavailable => "unavailable",
            Self::Incompatible => "incompatible",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Refused => "refused",
            Self::Shadowed => "shadowed",
            Self::NotAPlugin => "not-a-plugin",
        })
    }
}

/// A state with its reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// Why; empty when the state is `Ok`.
    #[serde(default)]
    pub reason: String,
    /// What to do about it; may be empty.
    #[serde(default)]
    pub remedy: String,
    /// Last lines the plugin wrote to its standard error while it was probed.
    #[serde(default)]
    pub stderr: Vec<String>,
}

impl Verdict {
    /// Proven.
    pub fn ok() -> Self {
        Self::new(State::Ok, "", "")
    }

    /// A state, why, and what to do.
    pub fn new(state: State, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state, reason: reason.into(), remedy: remedy.into(), stderr: Vec::new() }
    }

    /// Whether the state is `Ok`.
    pub fn is_ok(&self) -> bool {
        self.state == State::Ok
    }
}

/// Who a plugin is; the owned form of [`api::Manifest`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Unique name.
    pub id: String,
    /// Version.
    pub version: String,
    /// Authors.
    pub authors: String,
    /// SPDX expression.
    pub licence: String,
    /// Where to read more.
    pub homepage: String,
}

impl From<&api::Manifest> for PluginInfo {
    fn from(m: &api::Manifest) -> Self {
        Self {
            id: m.id.to_string(),
            version: m.version.to_string(),
            authors: m.authors.to_string(),
            licence: m.licence.to_string(),
            homepage: m.homepage.to_string(),
        }
    }
}

/// What a codec is; the owned form of [`api::Descriptor`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CodecInfo {
    /// Position in its plugin.
    pub index: usize,
    /// Byte-level standard.
    pub algorithm: String,
    /// Where it runs.
    pub hardware: String,
    /// Library that does the work.
    pub library: String,
    /// Its version.
    pub library_version: String,
    /// Lowest level.
    pub level_min: i32,
    /// Highest level.
    pub level_max: i32,
    /// Level when none is asked for.
    pub level_default: i32,
    /// Usual file name extension, or empty.
    pub extension: String,
    /// Bytes every frame starts with, or empty.
    pub magic: Vec<u8>,
    /// Options beside the level: name, smallest, largest, default, help.
    pub options: Vec<(String, i64, i64, i64, String)>,
    /// Largest chunk, in bytes.
    pub max_chunk_bytes: u64,
    /// Whether instances work at the same time.
    pub concurrent: bool,
    /// Whether it compresses.
    pub compresses: bool,
    /// Whether it decompresses.
    pub decompresses: bool,
    /// Whether damaged input is safe for it.
    pub safe_on_hostile_input: bool,
    /// Whether it decodes streams in bounded memory.
    pub streams: bool,
    /// Chunks it wants in one call.
    #[serde(default = "one")]
    pub batch: usize,
    /// Identity of the device, empty for the CPU.
    #[serde(default)]
    pub device: String,
}

fn one() -> usize {
    1
}

impl CodecInfo {
    /// Whether it takes the option `name`.
    pub(crate) fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|(known, ..)| known == name)
    }

    /// Whether it has this level.
    pub(crate) fn has_level(&self, level: i32) -> bool {
        (self.level_min..=self.level_max).contains(&level)
    }

    /// Reads the descriptor of a loaded codec.
    pub fn new(codec: &api::abi::import::Codec) -> Self {
        let d = codec.descriptor();
        let option = |o: &api::OptionSpec| (o.name.into(), o.min, o.max, o.default, o.help.into());
        Self {
            index: codec.index(),
            algorithm: d.algorithm.into(),
            hardware: d.hardware.into(),
            library: d.library.into(),
            library_version: d.library_version.into(),
            level_min: d.levels.min,
            level_max: d.levels.max,
            level_default: d.levels.default,
            extension: d.extension.into(),
            magic: d.magic.to_vec(),
            options: d.options.iter().map(option).collect(),
            max_chunk_bytes: d.max_chunk_bytes,
            concurrent: d.threads == api::Threads::CONCURRENT,
            compresses: d.compresses,
            decompresses: d.decompresses,
            safe_on_hostile_input: d.safe_on_hostile_input,
            streams: codec.streams(),
            batch: codec.batch().map_or(1, |batch| batch.chunks()),
            device: String::new(),
        }
    }

    /// Whether the device says of itself that it only pretends to be one, as test doubles do.
    pub fn is_simulated(&self) -> bool {
        self.device.to_ascii_lowercase().contains("simulated")
    }

    /// Why its speed is not shown to people, if there is a reason.
    pub(crate) fn why_not_measured(&self) -> Option<String> {
        if self.is_simulated() {
            return Some(format!("its device is simulated ({}): its speed means nothing", self.device));
        }
        (!self.compresses || !self.decompresses).then(|| "does not do both directions".into())
    }

    /// `<algorithm>/<hardware>/<library>`.
    pub fn implementation(&self) -> String {
        format!("{}/{}/{}", self.algorithm, self.hardware, self.library)
    }
}

/// One measured point: a level on one kind of data of one size.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The implementation's own level.
    pub level: i32,
    /// Kind of data, as `text` or `image`; `mixed`: all of them in one.
    pub kind: String,
    /// Size of the input, in bytes.
    pub bytes: u64,
    /// Size of the output, in bytes.
    pub compressed_bytes: u64,
    /// Median time to compress, in seconds, without what slowed all runs of a round down.
    pub compress_s: f64,
    /// Median absolute deviation of it, in seconds.
    pub compress_mad_s: f64,
    /// Median time to decompress, likewise.
    pub decompress_s: f64,
    /// Median absolute deviation of it, in seconds.
    pub decompress_mad_s: f64,
}

/// One codec of a plugin: what it is, how it was judged, how it measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CodecReport {
    /// What it is.
    pub info: CodecInfo,
    /// How it was judged.
    pub verdict: Verdict,
    /// Machine the cells were measured on; see [`crate::machine_key`].
    #[serde(default)]
    pub machine: String,
    /// Measurements; the cache keeps them apart.
    #[serde(skip_deserializing)]
    pub cells: Cells,
    /// Peak memory while measuring, above what the process had before, in bytes, by level.
    #[serde(default)]
    pub peak_bytes: Vec<(i32, u64)>,
}

impl CodecReport {
    /// A report on a codec that has been described, and found nothing wrong with yet.
    pub(crate) fn unproven(info: CodecInfo) -> Self {
        Self {
            info,
            verdict: Verdict::ok(),
            machine: String::new(),
            cells: Cells::default(),
            peak_bytes: Vec::new(),
        }
    }
}

/// Everything known about the plugin file with one content hash.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PluginReport {
    /// Version of this record and of the conformance suite behind it; another version is proven anew.
    pub format: u32,
    /// Who the plugin is, as far as it could tell.
    pub info: PluginInfo,
    /// Verdict on the file as a whole.
    pub verdict: Verdict,
    /// Its codecs; empty when it could not be loaded.
    pub codecs: Vec<CodecReport>,
    /// State of the machine when a codec was unavailable; looked at again when it differs.
    #[serde(default)]
    pub availability: String,
    /// Timeouts so far; the second one quarantines.
    #[serde(default)]
    pub strikes: u32,
}

impl PluginReport {
    /// Version of the record. Raise it when its fields or the conformance cases change.
    pub const FORMAT: u32 = 2;

    /// A report on a file that could not be loaded.
    pub fn unloaded(info: PluginInfo, verdict: Verdict) -> Self {
        Self {
            format: Self::FORMAT,
            info,
            verdict,
            codecs: Vec::new(),
            availability: String::new(),
            strikes: 0,
        }
    }

    /// This report with what `measured` found on the same codecs, and with its verdict if that is worse.
    pub(crate) fn with_measurements(&self, measured: &Self) -> Self {
        let mut merged = self.clone();
        if merged.verdict.is_ok() {
            merged.verdict.clone_from(&measured.verdict);
        }
        for (old, new) in merged.codecs.iter_mut().zip(&measured.codecs) {
            let verdict = old.verdict.clone();
            *old = CodecReport { verdict, ..new.clone() };
        }
        merged
    }

    /// Whether some codec lacks its device, or the plugin a library.
    pub fn is_unavailable(&self) -> bool {
        self.verdict.state == State::Unavailable
            || self.codecs.iter().any(|c| c.verdict.state == State::Unavailable)
    }
}
