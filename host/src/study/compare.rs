//! Two studies side by side: what became faster, slower, smaller or larger, and which of that is more than noise.

use super::{Row, STUDY_FORMAT, Speed, Study};
use crate::{Error, Result, benchmark};
use serde::Serialize;
use std::{collections::BTreeMap, fs, path::Path};

/// Changes within this share, and within three standard errors of both medians, are noise.
const FLOOR: f64 = 0.05;
/// Standard deviation of a normal distribution over its median absolute deviation.
const SIGMA_OF_MAD: f64 = 1.4826;
/// Standard error of a median over that of a mean, of a normal distribution.
const MEDIAN_ERROR: f64 = 1.2533;

/// What changed from an earlier study to a later one.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// How fast the later one ran as a whole, over the earlier one: the median over all cells, both directions. Changes are judged beside this:
    /// the machine itself may be faster or slower today.
    pub pace: f64,
    /// Whether both were taken on machines of one kind.
    pub is_same_machine: bool,
    /// Of each row that both have.
    pub changes: Vec<Change>,
    /// Rows that only the later one has, and that only the earlier one has.
    pub only: (usize, usize),
}

/// What changed in one row; all values are those of the later study over those of the earlier.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Change {
    /// [`Row::data`].
    pub data: String,
    /// [`Row::piece_bytes`].
    pub piece_bytes: u64,
    /// [`Row::threads`].
    pub threads: u32,
    /// [`Row::implementation`].
    pub implementation: String,
    /// [`Row::level`].
    pub level: i32,
    /// Speeds of compressing.
    pub compress: f64,
    /// Whether that, beside [`Comparison::pace`], is more than noise.
    pub compress_is_outside_noise: bool,
    /// Speeds of decompressing.
    pub decompress: f64,
    /// Whether that, beside [`Comparison::pace`], is more than noise.
    pub decompress_is_outside_noise: bool,
    /// Ratios; of the same data by the same code exactly 1.
    pub ratio: f64,
}

impl Study {
    /// Reads what was kept as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Usage`] when it is no study, or one of another [`STUDY_FORMAT`].
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let name = path.display();
        let no_study = |e| Error::Usage(format!("{name} is no result of `bench --json`: {e}"));
        let study: Self = serde_json::from_str(&text).map_err(no_study)?;
        if study.format != STUDY_FORMAT {
            let format = study.format;
            return Err(Error::Usage(format!(
                "{name} has format {format}, and this version reads {STUDY_FORMAT}: measure anew"
            )));
        }
        Ok(study)
    }

    /// What changed since `before`.
    pub fn compare(&self, before: &Self) -> Comparison {
        let earlier: BTreeMap<_, &Row> = before.rows.iter().map(|r| (key(r), r)).collect();
        let pairs: Vec<(&Row, &Row)> =
            self.rows.iter().filter_map(|now| Some((now, *earlier.get(&key(now))?))).collect();
        let both = |(now, before): &(&Row, &Row)| {
            [now.compress.mb_s / before.compress.mb_s, now.decompress.mb_s / before.decompress.mb_s]
        };
        let mut paces: Vec<f64> = pairs.iter().flat_map(both).filter(|r| r.is_finite() && *r > 0.0).collect();
        let pace = if paces.is_empty() { 1.0 } else { benchmark::median(&mut paces) };
        let changes: Vec<Change> = pairs.iter().map(|(now, before)| Change::new(now, before, pace)).collect();
        let only = (self.rows.len() - changes.len(), before.rows.len().saturating_sub(changes.len()));
        let is_same_machine = self.machine.processor == before.machine.processor
            && self.machine.processors == before.machine.processors;
        Comparison { pace, is_same_machine, changes, only }
    }
}

impl Change {
    fn new(now: &Row, before: &Row, pace: f64) -> Self {
        Self {
            data: now.data.clone(),
            piece_bytes: now.piece_bytes,
            threads: now.threads,
            implementation: now.implementation.clone(),
            level: now.level,
            compress: now.compress.mb_s / before.compress.mb_s,
            compress_is_outside_noise: is_outside_noise(now.compress, before.compress, pace),
            decompress: now.decompress.mb_s / before.decompress.mb_s,
            decompress_is_outside_noise: is_outside_noise(now.decompress, before.decompress, pace),
            ratio: now.ratio / before.ratio,
        }
    }
}

fn key(row: &Row) -> (&str, u64, u32, &str, i32) {
    (&row.data, row.piece_bytes, row.threads, &row.implementation, row.level)
}

fn is_outside_noise(now: Speed, before: Speed, pace: f64) -> bool {
    let error = |s: Speed| MEDIAN_ERROR * SIGMA_OF_MAD * s.deviation / f64::from(s.runs.max(1)).sqrt();
    let limit = FLOOR + 3.0 * (error(now).powi(2) + error(before).powi(2)).sqrt();
    (now.mb_s / before.mb_s / pace).ln().abs() > limit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(mb_s: f64, deviation: f64) -> Speed {
        Speed { mb_s, deviation, runs: 9 }
    }

    #[test]
    fn noise_is_what_the_runs_scatter_by_and_the_pace_of_the_machine() {
        assert!(!is_outside_noise(speed(104.0, 0.0), speed(100.0, 0.0), 1.0));
        assert!(is_outside_noise(speed(110.0, 0.0), speed(100.0, 0.0), 1.0));
        assert!(!is_outside_noise(speed(110.0, 0.1), speed(100.0, 0.0), 1.0));
        assert!(is_outside_noise(speed(200.0, 0.1), speed(100.0, 0.1), 1.0));
        assert!(!is_outside_noise(speed(50.0, 0.0), speed(100.0, 0.0), 0.5));
        assert!(is_outside_noise(speed(100.0, 0.0), speed(100.0, 0.0), 0.5));
    }
}
