//! The measurements of one piece of data, and which of them a figure shows.

use clipsmaster_host::{Measured, Row, Speed, Study};

/// All of one piece of data.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) measured: Option<&'a Measured>,
    /// Implementations at levels.
    pub(super) codecs: Vec<&'a Row>,
    /// The limit.
    pub(super) memcpy: Vec<&'a Row>,
}

/// The data in its order; behind it what only rows name.
pub(super) fn parts(study: &Study) -> Vec<Part<'_>> {
    let named = study.data.iter().map(|measured| measured.name.as_str());
    let names = distinct(named.chain(study.rows.iter().map(|row| row.data.as_str())));
    names.into_iter().map(|name| part(study, name)).collect()
}

fn part<'a>(study: &'a Study, name: &'a str) -> Part<'a> {
    let rows = study.rows.iter().filter(|row| row.data == name);
    let (memcpy, codecs) = rows.partition(|row| row.is_limit());
    Part { name, measured: study.data.iter().find(|m| m.name == name), codecs, memcpy }
}

impl<'a> Part<'a> {
    pub(super) fn piece_sizes(&self) -> Vec<u64> {
        sorted(self.codecs.iter().map(|row| row.piece_bytes))
    }

    pub(super) fn thread_counts(&self) -> Vec<u32> {
        sorted(self.codecs.iter().map(|row| row.threads))
    }

    pub(super) fn hardware(&self) -> Vec<&'a str> {
        distinct(self.codecs.iter().map(|row| row.hardware.as_str()))
    }

    pub(super) fn algorithms(&self) -> Vec<&'a str> {
        distinct(self.codecs.iter().map(|row| row.algorithm.as_str()))
    }

    /// One row of each implementation: at the level that was measured most, nearest the middle of its levels.
    pub(super) fn middle(&self) -> Vec<&'a Row> {
        let names = distinct(self.codecs.iter().map(|row| row.implementation.as_str()));
        names.into_iter().filter_map(|name| self.middle_of(name)).collect()
    }

    fn middle_of(&self, implementation: &str) -> Option<&'a Row> {
        let rows: Vec<&'a Row> =
            self.codecs.iter().copied().filter(|row| row.implementation == implementation).collect();
        let levels = sorted(rows.iter().map(|row| row.level));
        let count = |level: i32| rows.iter().filter(|row| row.level == level).count();
        let middle = (levels.len().max(1) - 1) / 2;
        let best =
            (0..levels.len()).max_by_key(|&i| (count(levels[i]), std::cmp::Reverse(i.abs_diff(middle))))?;
        rows.into_iter().find(|row| row.level == levels[best])
    }

    /// The same implementation at the same level, under other conditions.
    pub(super) fn like(&self, row: &Row, piece_bytes: u64, threads: u32) -> Option<&'a Row> {
        self.codecs.iter().chain(&self.memcpy).copied().find(|other| {
            other.implementation == row.implementation
                && other.level == row.level
                && other.piece_bytes == piece_bytes
                && other.threads == threads
        })
    }
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Compress,
    Decompress,
}

impl Direction {
    pub(super) const BOTH: [Self; 2] = [Self::Compress, Self::Decompress];

    pub(super) fn of(self, row: &Row) -> Speed {
        match self {
            Self::Compress => row.compress,
            Self::Decompress => row.decompress,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Compress => "Compression",
            Self::Decompress => "Decompression",
        }
    }
}

/// Each once, in the order of their first.
pub(super) fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

fn sorted<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let once: std::collections::BTreeSet<T> = all.collect();
    once.into_iter().collect()
}
