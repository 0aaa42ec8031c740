//! The keys of an entry, and their values as people write them: the one place where both are read.

use super::{AUTO, Policy, Priority};
use crate::{Objective, algorithm, container::MAX_CHUNK_BYTES, pipeline::Filtering, size, spelling};
use std::{fmt, str::FromStr};

/// What a level is called that is the algorithm's own.
const DEFAULT_LEVEL: &str = "default";
/// Smallest chunk, in bytes: less costs more in records than it gains.
const MIN_CHUNK_BYTES: u64 = 4 << 10;
const MIB: f64 = (1 << 20) as f64;

/// A key of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// `algorithm`.
    Algorithm,
    /// `level`.
    Level,
    /// `chunk_size`.
    ChunkSize,
    /// `auto_compress`.
    AutoCompress,
    /// `threshold_mb`.
    ThresholdMb,
    /// `priority`.
    Priority,
    /// `hardware`.
    Hardware,
    /// `implementation`.
    Implementation,
    /// `parity`.
    Parity,
    /// `objective`.
    Objective,
    /// `filter`.
    Filter,
    /// `min_savings`.
    MinSavings,
}

impl Key {
    /// All, in the order of the shipped file.
    pub const ALL: [Self; 12] = [
        Self::Algorithm,
        Self::Level,
        Self::ChunkSize,
        Self::AutoCompress,
        Self::ThresholdMb,
        Self::Priority,
        Self::Hardware,
        Self::Implementation,
        Self::Parity,
        Self::Objective,
        Self::Filter,
        Self::MinSavings,
    ];

    /// As it stands in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm",
            Self::Level => "level",
            Self::ChunkSize => "chunk_size",
            Self::AutoCompress => "auto_compress",
            Self::ThresholdMb => "threshold_mb",
            Self::Priority => "priority",
            Self::Hardware => "hardware",
            Self::Implementation => "implementation",
            Self::Parity => "parity",
            Self::Objective => "objective",
            Self::Filter => "filter",
            Self::MinSavings => "min_savings",
        }
    }

    /// Whether its values are words: quotes around them change nothing then.
    pub(super) fn is_word(self) -> bool {
        !matches!(
            self,
            Self::Level | Self::AutoCompress | Self::ThresholdMb | Self::Parity | Self::MinSavings
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|k| k.name() == text);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|k| k.name()).collect();
            format!("unknown key `{text}`; {}", spelling::instead(text, &names))
        })
    }
}

/// A key with a value that is possible for it.
#[derive(Clone, PartialEq, Debug)]
pub enum Setting {
    /// Canonical name, or [`AUTO`].
    Algorithm(String),
    /// A level, or the algorithm's default.
    Level(Option<i32>),
    /// In bytes.
    ChunkSize(u64),
    /// Whether to.
    AutoCompress(bool),
    /// In bytes.
    ThresholdMb(u64),
    /// How urgent.
    Priority(Priority),
    /// Only this one, or any.
    Hardware(Option<String>),
    /// Exactly this one, or any.
    Implementation(Option<String>),
    /// In percent.
    Parity(u8),
    /// What to choose by.
    Objective(Objective),
    /// What is done before the codec.
    Filter(Filtering),
    /// A share, 0 to 1.
    MinSavings(f64),
}

impl Setting {
    /// Reads the value of `key` as it stands in a file or on a command line.
    ///
    /// # Errors
    /// When it is none: why, and what would be one.
    pub fn read(key: Key, text: &str) -> Result<Self, String> {
        let any = |text: &str| Some(text.to_owned()).filter(|t| t != AUTO);
        Ok(match key {
            Key::Algorithm => Self::Algorithm(read_algorithm(text)?),
            Key::Level => Self::Level(read_level(text)?),
            Key::ChunkSize => Self::ChunkSize(read_chunk(text)?),
            Key::AutoCompress => Self::AutoCompress(read_bool(text)?),
            Key::ThresholdMb => Self::ThresholdMb(read_threshold(text)?),
            Key::Priority => Self::Priority(text.parse()?),
            Key::Hardware => Self::Hardware(any(&read_name(text, "hardware")?.to_ascii_lowercase())),
            Key::Implementation => Self::Implementation(any(&read_implementation(text)?)),
            Key::Parity => Self::Parity(read_parity(text)?),
            Key::Objective => Self::Objective(text.parse()?),
            Key::Filter => Self::Filter(text.parse()?),
            Key::MinSavings => Self::MinSavings(read_share(text)?),
        })
    }

    /// Which key it is for.
    pub fn key(&self) -> Key {
        match self {
            Self::Algorithm(_) => Key::Algorithm,
            Self::Level(_) => Key::Level,
            Self::ChunkSize(_) => Key::ChunkSize,
            Self::AutoCompress(_) => Key::AutoCompress,
            Self::ThresholdMb(_) => Key::ThresholdMb,
            Self::Priority(_) => Key::Priority,
            Self::Hardware(_) => Key::Hardware,
            Self::Implementation(_) => Key::Implementation,
            Self::Parity(_) => Key::Parity,
            Self::Objective(_) => Key::Objective,
            Self::Filter(_) => Key::Filter,
            Self::MinSavings(_) => Key::MinSavings,
        }
    }

    /// Puts it into `policy`.
    pub(super) fn put(&self, policy: &mut Policy) {
        match self.clone() {
            Self::Algorithm(name) => policy.algorithm = name,
            Self::Level(level) => policy.level = level,
            Self::ChunkSize(bytes) => policy.chunk_bytes = bytes,
            Self::AutoCompress(is_on) => policy.auto_compress = is_on,
            Self::ThresholdMb(bytes) => policy.threshold_bytes = bytes,
            Self::Priority(priority) => policy.priority = priority,
            Self::Hardware(name) => policy.hardware = name,
            Self::Implementation(id) => policy.implementation = id,
            Self::Parity(percent) => policy.parity_percent = percent,
            Self::Objective(objective) => policy.objective = Some(objective),
            Self::Filter(filter) => policy.filter = Some(filter),
            Self::MinSavings(share) => policy.min_savings = share,
        }
    }

    /// What `policy` says for `key`; `None` where it says nothing.
    pub fn of(policy: &Policy, key: Key) -> Option<Self> {
        Some(match key {
            Key::Algorithm => Self::Algorithm(policy.algorithm.clone()),
            Key::Level => Self::Level(policy.level),
            Key::ChunkSize => Self::ChunkSize(policy.chunk_bytes),
            Key::AutoCompress => Self::AutoCompress(policy.auto_compress),
            Key::ThresholdMb => Self::ThresholdMb(policy.threshold_bytes),
            Key::Priority => Self::Priority(policy.priority),
            Key::Hardware => Self::Hardware(Some(policy.hardware.clone()?)),
            Key::Implementation => Self::Implementation(Some(policy.implementation.clone()?)),
            Key::Parity => Self::Parity(policy.parity_percent),
            Key::Objective => Self::Objective(policy.objective?),
            Key::Filter => Self::Filter(policy.filter?),
            Key::MinSavings => Self::MinSavings(policy.min_savings),
        })
    }
}

/// The value, as it stands in a file.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(name) => f.write_str(name),
            Self::Level(None) => f.write_str(DEFAULT_LEVEL),
            Self::Level(Some(level)) => write!(f, "{level}"),
            Self::ChunkSize(bytes) if bytes % (1 << 20) == 0 => write!(f, "{}MB", bytes >> 20),
            Self::ChunkSize(bytes) if bytes % (1 << 10) == 0 => write!(f, "{}KB", bytes >> 10),
            Self::ChunkSize(bytes) => write!(f, "{bytes}"),
            Self::AutoCompress(is_on) => f.write_str(if *is_on { "yes" } else { "no" }),
            // Exact: a power of two divides a number of less than 53 bits.
            Self::ThresholdMb(bytes) => write!(f, "{}", *bytes as f64 / MIB),
            Self::Priority(priority) => write!(f, "{priority}"),
            Self::Hardware(name) | Self::Implementation(name) => f.write_str(name.as_deref().unwrap_or(AUTO)),
            Self::Parity(percent) => write!(f, "{percent}"),
            Self::Objective(objective) => write!(f, "{objective}"),
            Self::Filter(filter) => write!(f, "{filter}"),
            Self::MinSavings(share) => write!(f, "{share}"),
        }
    }
}

/// A word that needs no quotes in YAML.
fn read_name<'a>(text: &'a str, what: &str) -> Result<&'a str, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./+".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && text.len() <= 200 && text.chars().all(is_plain) {
        return Ok(text);
    }
    Err(format!("`{text}` is no name of {what}; names are of letters, digits, `_`, `-`, `.`"))
}

fn read_algorithm(text: &str) -> Result<String, String> {
    read_name(text, "an algorithm").map(algorithm::canonical)
}

fn read_implementation(text: &str) -> Result<String, String> {
    let id = read_name(text, "an implementation")?;
    let is_id = id.split('/').count() == 3 && id.split('/').all(|part| !part.is_empty());
    if is_id || id == AUTO {
        return Ok(id.to_owned());
    }
    Err(format!(
        "`{id}` is no implementation; write algorithm/hardware/library, as `list-plugins` shows them"
    ))
}

fn read_level(text: &str) -> Result<Option<i32>, String> {
    if text == DEFAULT_LEVEL {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("`{text}` is no level; write a whole number, or `default`"))
}

fn read_chunk(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text)?;
    if (MIN_CHUNK_BYTES..=MAX_CHUNK_BYTES as u64).contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!("chunks of {} are not possible; write 4KB to 64MB", size::binary(bytes)))
}

fn read_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("`{text}` is neither yes nor no; write yes or no (or true, false)")),
    }
}

fn read_threshold(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no number of MB; write e.g. 5, or 0.5 for 512 KiB");
    let mb: f64 = text.parse().map_err(|_| wrong())?;
    if mb < 0.0 {
        return Err(format!("a threshold of {text} is negative; write 0 for data of any size"));
    }
    let bytes = (mb * MIB).round();
    if bytes < 2f64.powi(53) { Ok(bytes as u64) } else { Err(wrong()) }
}

fn read_parity(text: &str) -> Result<u8, String> {
    let percent = text.parse::<u8>().ok().filter(|p| *p <= 100);
    percent
        .ok_or_else(|| format!("`{text}` is no parity; write percent of the result, a whole number 0 to 100"))
}

fn read_share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|s| (0.0..=1.0).contains(s));
    share.ok_or_else(|| format!("`{text}` is no share; write 0 to 1, e.g. 0.05 for 5 %"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (key, texts) in [
            (Key::Algorithm, &["zstd", "auto", "brotli"][..]),
            (Key::Level, &["3", "-7", "default"]),
            (Key::ChunkSize, &["1MB", "512KB", "4097"]),
            (Key::AutoCompress, &["yes", "no"]),
            (Key::ThresholdMb, &["50", "0", "0.5"]),
            (Key::Priority, &["low", "medium", "high"]),
            (Key::Hardware, &["cuda", "auto"]),
            (Key::Implementation, &["gzip/cpu/zlib-rs", "auto"]),
            (Key::Parity, &["0", "100"]),
            (Key::Objective, &["speed", "balanced", "ratio"]),
            (Key::Filter, &["none", "shuffle4", "auto"]),
            (Key::MinSavings, &["0", "0.05", "1"]),
        ] {
            for text in texts {
                let setting = Setting::read(key, text).expect(text);
                assert_eq!((setting.key(), setting.to_string()), (key, (*text).to_owned()));
            }
        }
        assert_eq!(Setting::read(Key::Algorithm, "XZ"), Ok(Setting::Algorithm("lzma".into())));
        assert_eq!(Setting::read(Key::AutoCompress, "True"), Ok(Setting::AutoCompress(true)));
    }

    #[test]
    fn what_is_no_value_is_refused_with_what_would_be() {
        for (key, text, told) in [
            (Key::Algorithm, "zstd: 3", "no name"),
            (Key::Level, "fast", "whole number"),
            (Key::Level, "99999999999", "whole number"),
            (Key::ChunkSize, "0", "4KB to 64MB"),
            (Key::ChunkSize, "65MB", "4KB to 64MB"),
            (Key::ChunkSize, "4XB", "512KB"),
            (Key::AutoCompress, "maybe", "yes or no"),
            (Key::ThresholdMb, "-1", "negative"),
            (Key::ThresholdMb, "inf", "no number"),
            (Key::ThresholdMb, "nan", "no number"),
            (Key::Priority, "urgent", "high, medium, low"),
            (Key::Implementation, "zlib-rs", "algorithm/hardware/library"),
            (Key::Parity, "101", "0 to 100"),
            (Key::Objective, "size", "speed, balanced, ratio"),
            (Key::Filter, "shuffle3", "shuffle4"),
            (Key::MinSavings, "5", "0.05"),
            (Key::MinSavings, "nan", "0.05"),
        ] {
            let e = Setting::read(key, text).expect_err(text);
            assert!(e.contains(told), "{key}: {e}");
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        assert!("compression".parse::<Key>().is_err());
        let e = "chunksize".parse::<Key>().expect_err("unknown");
        assert_eq!(e, "unknown key `chunksize`; did you mean `chunk_size`?");
    }
}
