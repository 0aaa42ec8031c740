//! What to measure: data, implementations and their levels, pieces, threads.

use crate::{
    DataSample, Error, Result, Snapshot, algorithm,
    benchmark::data::Kind,
    host::usable,
    pipeline::{default_memory_bytes, threads},
    registry::{Entry, report::CodecInfo},
    size, spelling,
};
use std::{collections::BTreeSet, fs::File, io, path::Path, sync::Arc};

/// Data to measure with.
#[derive(Debug)]
pub struct StudyData {
    pub(super) name: String,
    pub(super) bytes: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    BuiltIn(Kind),
    File(File),
    Bytes(Vec<u8>),
}

impl StudyData {
    /// The kinds of data that ranking measures with: prose, log, records, structured binary, floats, image, and what cannot shrink.
    pub fn built_in() -> Vec<Self> {
        const BYTES: u64 = 64 << 20;
        let of =
            |kind: &Kind| Self { name: kind.name().into(), bytes: BYTES, source: Source::BuiltIn(*kind) };
        Kind::ALL.iter().map(of).collect()
    }

    /// A regular file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened; [`Error::Usage`] when it is no regular file, or empty.
    pub fn file(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let meta = file.metadata().map_err(Error::io("read", path))?;
        let name = path.display().to_string();
        if !meta.is_file() || meta.len() == 0 {
            let what = if meta.is_file() { "is empty" } else { "is no regular file" };
            return Err(Error::Usage(format!("{name} {what}: there is nothing to measure with")));
        }
        Ok(Self { name, bytes: meta.len(), source: Source::File(file) })
    }

    /// Bytes in memory, with a name for the results.
    pub fn of(name: impl Into<String>, data: Vec<u8>) -> Self {
        Self { name: name.into(), bytes: data.len() as u64, source: Source::Bytes(data) }
    }

    /// Pieces of `piece` bytes from all over it, back to back, `most` bytes in all or one piece; everything where there is no more.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read.
    pub(super) fn sample(&self, piece: u64, most: u64) -> Result<Vec<u8>> {
        let most = most.max(piece);
        let read = |e| Error::io("read", &self.name)(e);
        let whole = match &self.source {
            Source::BuiltIn(kind) => return Ok(kind.generate(most.min(self.bytes) as usize)),
            Source::Bytes(data) => DataSample::of(data),
            Source::File(file) => DataSample::of_file(file).map_err(read)?,
        };
        let (starts, len) = match self.bytes.checked_sub(most) {
            None | Some(0) => (vec![0], self.bytes),
            Some(_) => (starts(self.bytes - piece, most / piece), piece),
        };
        let mut out = Vec::new();
        for start in &starts {
            whole.read(*start, len, &mut out).map_err(read)?;
        }
        if out.len() as u64 != starts.len() as u64 * len {
            return Err(read(io::Error::other("it became shorter")));
        }
        Ok(out)
    }
}

/// Where so many pieces start, from the first byte to `last`, or a single one in the middle. On boundaries of numbers, as a typed file
/// would be cut.
fn starts(last: u64, pieces: u64) -> Vec<u64> {
    let at = |number| match pieces {
        1 => last / 2,
        // In 128 bits: a file may be large.
        _ => (u128::from(last) * u128::from(number) / u128::from(pieces - 1)) as u64,
    };
    (0..pieces).map(|number: u64| at(number) / 8 * 8).collect()
}

/// What to measure, and how thoroughly.
#[derive(Debug)]
pub struct StudyPlan {
    /// The data.
    pub data: Vec<StudyData>,
    /// Only these algorithms, by any of their names; all but `store` when empty.
    pub algorithms: Vec<String>,
    /// Only these implementations; all when empty.
    pub implementations: Vec<String>,
    /// Levels, of each implementation those that it has; when empty the lowest below zero, 1, the default, 9 and 19.
    pub levels: Vec<i32>,
    /// When no levels are named: only the default one.
    pub only_default_levels: bool,
    /// Bytes of a piece.
    pub piece_bytes: Vec<u64>,
    /// Threads.
    pub threads: Vec<usize>,
    /// Most bytes of each piece of data to measure with.
    pub sample_bytes: u64,
    /// Shortest time to measure one cell for in each direction, in seconds.
    pub min_time_s: f64,
}

impl StudyPlan {
    /// Pieces of 64 KiB and 1 MiB, one thread and one on each processor: minutes for the built-in data.
    pub fn new(data: Vec<StudyData>) -> Self {
        let processors = threads(None);
        let mut counts = vec![1, processors];
        counts.dedup();
        Self {
            data,
            algorithms: Vec::new(),
            implementations: Vec::new(),
            levels: Vec::new(),
            only_default_levels: false,
            piece_bytes: vec![64 << 10, 1 << 20],
            threads: counts,
            sample_bytes: 4 << 20,
            min_time_s: 0.12,
        }
    }

    /// Default levels on one thread in four pieces of 256 KiB: half a minute for the built-in data.
    pub fn quick(data: Vec<StudyData>) -> Self {
        Self {
            only_default_levels: true,
            piece_bytes: vec![256 << 10],
            threads: vec![1],
            sample_bytes: 1 << 20,
            min_time_s: 0.03,
            ..Self::new(data)
        }
    }

    /// Implementations and levels to measure, and what is left out and why.
    pub(super) fn entrants(&self, snapshot: &Snapshot) -> Result<(Vec<Entrant>, Vec<String>)> {
        self.check()?;
        let known: Vec<(&Arc<Entry>, &CodecInfo)> = usable(snapshot).map(|(e, c)| (e, &c.info)).collect();
        self.check_names(&known)?;
        let (mut entrants, mut skipped) = (Vec::new(), Vec::new());
        for (entry, info) in known.iter().filter(|(_, info)| self.is_asked(info)) {
            let id = info.implementation();
            if let Some(why) = info.why_not_measured() {
                skipped.push(format!("{id}: {why}"));
                continue;
            }
            let levels = self.levels_of(info);
            if levels.is_empty() {
                let range = format!("{}..={}", info.level_min, info.level_max);
                skipped.push(format!("{id}: it has levels {range}, none of those asked for"));
            }
            let entrant = |level| Entrant { entry: Arc::clone(entry), info: (*info).clone(), level };
            entrants.extend(levels.into_iter().map(entrant));
        }
        if entrants.is_empty() {
            return Err(Error::Usage(format!("nothing to measure: {}", skipped.join("; "))));
        }
        let key = |e: &Entrant| (e.info.algorithm.clone(), e.info.implementation(), e.level);
        entrants.sort_by_key(key);
        Ok((entrants, skipped))
    }

    fn check(&self) -> Result<()> {
        let longest = self.piece_bytes.iter().max().copied().unwrap_or_default();
        let most = default_memory_bytes() / 4;
        let wrong = if self.data.is_empty() || self.piece_bytes.is_empty() || self.threads.is_empty() {
            "a study needs data, bytes of a piece and threads".into()
        } else if self.piece_bytes.contains(&0) || self.threads.contains(&0) {
            "pieces have 1 byte and studies 1 thread at least".into()
        } else if longest.max(self.sample_bytes) > most {
            format!(
                "the data to measure with must fit into memory four times: {} at most",
                size::binary(most)
            )
        } else {
            return Ok(());
        };
        Err(Error::Usage(wrong))
    }

    fn check_names(&self, known: &[(&Arc<Entry>, &CodecInfo)]) -> Result<()> {
        let algorithms = known.iter().map(|(_, i)| i.algorithm.clone()).collect();
        let ids = known.iter().map(|(_, i)| i.implementation()).collect();
        let check = |what: &str, name: &str, meant: &str, known: &BTreeSet<String>| {
            if known.contains(meant) {
                return Ok(());
            }
            let hint = spelling::instead(name, &known.iter().map(String::as_str).collect::<Vec<_>>());
            Err(Error::Usage(format!("no usable {what} `{name}`: {hint}")))
        };
        self.algorithms
            .iter()
            .try_for_each(|a| check("algorithm", a, &algorithm::canonical(a), &algorithms))?;
        self.implementations.iter().try_for_each(|i| check("implementation", i, i, &ids))
    }

    fn is_asked(&self, info: &CodecInfo) -> bool {
        let by_algorithm = if self.algorithms.is_empty() {
            info.algorithm != algorithm::STORE || !self.implementations.is_empty()
        } else {
            self.algorithms.iter().any(|a| algorithm::canonical(a) == info.algorithm)
        };
        by_algorithm
            && (self.implementations.is_empty() || self.implementations.contains(&info.implementation()))
    }

    fn levels_of(&self, info: &CodecInfo) -> Vec<i32> {
        let default = info.level_default;
        let mut levels = match (&self.levels[..], self.only_default_levels) {
            ([], true) => vec![default],
            ([], false) if info.level_min < 0 => vec![info.level_min, 1, default, 9, 19],
            ([], false) => vec![1, default, 9, 19],
            (asked, _) => asked.to_vec(),
        };
        levels.retain(|l| info.has_level(*l));
        levels.sort_unstable();
        levels.dedup();
        levels
    }
}

/// An implementation at a level.
#[derive(Clone, Debug)]
pub(super) struct Entrant {
    pub entry: Arc<Entry>,
    pub info: CodecInfo,
    pub level: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_whole_pieces_from_all_over_the_data() {
        let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 4000) as u8).collect();
        let data = StudyData::of("steps", data);
        let sample = data.sample(1000, 10_000).expect("in memory");
        assert_eq!(sample.len(), 10_000);
        assert_eq!((sample[0], sample[9999]), (0, 249), "from the first byte to the last");
        assert_eq!(data.sample(4 << 20, 1).expect("in memory").len(), 1_000_000);
        let middle = data.sample(600_000, 1).expect("in memory");
        assert_eq!((middle.len(), middle[0], middle[599_999]), (600_000, 50, 199));
    }

    #[test]
    fn built_in_data_is_what_ranking_uses() {
        let all = StudyData::built_in();
        assert_eq!(all.len(), Kind::ALL.len());
        let sample = all[0].sample(1 << 16, 1 << 16).expect("generated");
        assert!(sample == Kind::Text.generate(1 << 16), "the bytes that ranking has seen");
    }
}
