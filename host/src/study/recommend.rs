//! From measurements to advice: the best algorithm, level and implementation for each piece of data, by the same rules as
//! `algorithm: auto` chooses by ([`crate::selection::auto`]).

use super::{Row, Study, StudyData, StudyPlan};
use crate::{
    Error, Floors, Host, Objective, Result, algorithm,
    policy::check_type_name,
    selection::auto::{self, Trial},
};
use serde::Serialize;
use std::{collections::BTreeSet, fmt::Write, path::Path};

/// The best for one piece of data.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Recommendation {
    /// The data, see [`Row::data`].
    pub data: String,
    /// What it is the best for.
    pub objective: Objective,
    /// Algorithm; `store` where nothing is worth its time.
    pub algorithm: String,
    /// Implementation; absent for `store`.
    pub implementation: Option<String>,
    /// The implementation's own level.
    pub level: i32,
    /// Bytes of a piece.
    pub piece_bytes: u64,
    /// Ratio.
    pub ratio: f64,
    /// Compressing, in MB/s on one thread.
    pub compress_mb_s: f64,
    /// Decompressing, in MB/s on one thread.
    pub decompress_mb_s: f64,
    /// Why, in words.
    pub why: String,
}

impl Study {
    /// The best for each piece of data within `floors`, by the measurements with the largest pieces and the fewest threads.
    ///
    /// # Errors
    /// [`Error::Usage`] where nothing reaches the floors, with what came how near.
    pub fn recommend(&self, objective: Objective, floors: Floors) -> Result<Vec<Recommendation>> {
        self.data.iter().map(|d| self.recommend_for(&d.name, objective, floors)).collect()
    }

    fn recommend_for(&self, data: &str, objective: Objective, floors: Floors) -> Result<Recommendation> {
        let of_data = || self.rows.iter().filter(|r| r.data == data && !r.is_limit());
        let piece_bytes = of_data().map(|r| r.piece_bytes).max().unwrap_or_default();
        let threads = of_data().map(|r| r.threads).min().unwrap_or_default();
        let rows: Vec<&Row> =
            of_data().filter(|r| r.piece_bytes == piece_bytes && r.threads == threads).collect();
        let trials = rows.iter().map(|row| trial(row)).collect();
        let choice = auto::choose(trials, objective, floors, true)
            .map_err(|why| Error::Usage(format!("{data}: {why}")))?;
        let row = rows.iter().find(|r| r.implementation == choice.algorithm && r.level == choice.level);
        Ok(Recommendation {
            data: data.to_owned(),
            objective,
            algorithm: row.map_or(algorithm::STORE, |r| &r.algorithm).to_owned(),
            implementation: row.map(|r| r.implementation.clone()),
            level: row.map_or(0, |r| r.level),
            piece_bytes,
            ratio: row.map_or(1.0, |r| r.ratio),
            compress_mb_s: row.map_or(0.0, |r| r.compress.mb_s),
            decompress_mb_s: row.map_or(0.0, |r| r.decompress.mb_s),
            why: choice.why,
        })
    }
}

/// A row as a trial whose algorithm is the implementation.
fn trial(row: &Row) -> Trial {
    let seconds = |mb_s: f64| row.original_bytes as f64 / 1e6 / mb_s;
    Trial {
        algorithm: row.implementation.clone(),
        level: row.level,
        filter: crate::Filter::None,
        raw_bytes: row.original_bytes,
        compressed_bytes: row.compressed_bytes,
        compress_s: seconds(row.compress.mb_s),
        predicted_mb_s: None,
        decompress_s: Some(seconds(row.decompress.mb_s)),
        memory_bytes: 2 * row.piece_bytes + row.scratch_bytes.max(row.peak_bytes),
        chunk_bytes: None,
    }
}

impl Host {
    /// The best for data like `data`, by measuring all that is installed at its usual levels on up to a MiB of it: seconds.
    /// [`choose`](Self::choose) takes milliseconds, looks at fewer candidates, and may add a filter.
    ///
    /// # Errors
    /// As [`study`](Self::study).
    pub fn get_recommended_algorithm(&self, data: &[u8], objective: Objective) -> Result<Recommendation> {
        let plan = StudyPlan {
            only_default_levels: false,
            ..StudyPlan::quick(vec![StudyData::of("data", data.to_vec())])
        };
        let best = self.study(&plan, &|_| {})?.recommend(objective, Floors::default())?;
        best.into_iter().next().ok_or_else(|| Error::Usage("there is no data to recommend for".into()))
    }
}

/// A policy file that proposes `recommendations`: a type for each piece of data, named as its file is up to the first point. Implementations
/// are named where another one is the reference, whose levels policies go by.
///
/// # Errors
/// [`Error::Usage`] where a name is none for a type, or two are the same.
pub fn policy_proposal(recommendations: &[Recommendation]) -> Result<String> {
    let mut text = String::from("compression_policy:\n");
    let mut seen = BTreeSet::new();
    for r in recommendations {
        let name = type_name(&r.data);
        check_type_name(name).map_err(|why| Error::Usage(format!("{}: {why}; rename the file", r.data)))?;
        if !seen.insert(name) {
            return Err(Error::Usage(format!(
                "two files make the type `{name}`: rename one, or leave it out"
            )));
        }
        let _ = write!(text, "  # {}\n  {name}:\n    algorithm: {}\n", r.why, r.algorithm);
        if let Some(id) = &r.implementation {
            let _ = writeln!(text, "    level: {}", r.level);
            let library = id.rsplit('/').next().unwrap_or_default();
            if !algorithm::is_reference(&r.algorithm, library) {
                let _ = writeln!(text, "    implementation: {id}");
            }
        }
    }
    Ok(text)
}

/// The file's name up to the first point.
fn type_name(data: &str) -> &str {
    let name = Path::new(data).file_name().and_then(|n| n.to_str()).unwrap_or(data);
    name.split('.').next().unwrap_or(name)
}
