//! What a listing says about each implementation: [`Host::list`].

use crate::{
    Host,
    registry::{
        Entry,
        report::{CodecReport, Verdict},
    },
    selection::{self, Direction, Profile, Ranking, Request},
};
use serde::Serialize;
use std::path::PathBuf;

/// One line of [`Host::list`]: an implementation, or a plugin that offers none.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// `<algorithm>/<hardware>/<library>`; the plugin's id where no implementation is known.
    pub implementation: String,
    /// Algorithm; empty where no implementation is known.
    pub algorithm: String,
    /// Hardware.
    pub hardware: String,
    /// Version of the plugin.
    pub version: String,
    /// Version of the library it wraps.
    pub library_version: String,
    /// Identity of the device, empty for the CPU.
    pub device: String,
    /// Id of the plugin.
    pub plugin: String,
    /// SPDX expression.
    pub licence: String,
    /// Authors.
    pub authors: String,
    /// Where to read more.
    pub homepage: String,
    /// File the plugin came from; empty for the application's own.
    pub path: PathBuf,
    /// BLAKE3 of the file.
    pub hash: String,
    /// State, reason and remedy.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Place among the implementations of the algorithm at the default level, from 1; 0 when disabled.
    pub rank: Option<usize>,
    /// Levels: lowest, default, highest.
    pub levels: Option<(i32, i32, i32)>,
    /// Largest chunk, in bytes; absent when there is no limit.
    pub max_chunk_bytes: Option<u64>,
    /// Whether it decodes streams in bounded memory.
    pub streams: bool,
    /// Whether instances work at the same time.
    pub concurrent: bool,
    /// Compression of 1 MiB at the default level, in MB/s.
    pub compress_mb_s: Option<f64>,
    /// Decompression of 1 MiB, in MB/s.
    pub decompress_mb_s: Option<f64>,
    /// Ratio at the default level, on the built-in data.
    pub ratio: Option<f64>,
    /// Peak memory at the default level, buffers included, in bytes.
    pub peak_bytes: Option<u64>,
}

impl Host {
    /// One line per implementation, sorted by algorithm and rank, then the plugins that offer none.
    pub fn list(&self) -> Vec<Listed> {
        let snapshot = self.snapshot();
        let algorithms: std::collections::BTreeSet<&String> =
            snapshot.entries.iter().flat_map(|e| &e.report.codecs).map(|c| &c.info.algorithm).collect();
        let rankings: Vec<Ranking> =
            algorithms.into_iter().map(|a| self.rank_in(&snapshot, &Request::new(a))).collect();
        let mut lines: Vec<Listed> = Vec::new();
        for entry in &snapshot.entries {
            for codec in &entry.report.codecs {
                lines.push(self.line(entry, Some(codec), &rankings));
            }
            if entry.report.codecs.is_empty() {
                lines.push(self.line(entry, None, &rankings));
            }
        }
        lines.sort_by(|a, b| {
            let key = |l: &Listed| {
                (l.algorithm.is_empty(), l.algorithm.clone(), l.rank.filter(|r| *r > 0).unwrap_or(usize::MAX))
            };
            key(a).cmp(&key(b)).then_with(|| a.implementation.cmp(&b.implementation))
        });
        lines
    }

    fn line(&self, entry: &Entry, codec: Option<&CodecReport>, rankings: &[Ranking]) -> Listed {
        let plugin = &entry.report.info;
        let verdict = codec.map_or(&entry.report.verdict, |c| entry.verdict(c)).clone();
        let info = codec.map(|c| &c.info);
        let id = info.map_or_else(|| plugin.id.clone(), |i| i.implementation());
        let profile = codec.and_then(|c| Profile::new(&c.cells, c.info.level_default, None));
        let size = selection::DEFAULT_BYTES;
        let place = || rankings.iter().find_map(|r| r.ranked.iter().position(|x| x.implementation == id));
        let rank = if self.config().disabled.contains(&id) {
            Some(0)
        } else {
            verdict.is_ok().then(place).flatten().map(|p| p + 1)
        };
        let speed = |d| profile.as_ref().map(|p| p.throughput_mb_s(size, d));
        let peak =
            |c: &CodecReport| c.peak_bytes.iter().find(|(l, _)| *l == c.info.level_default).map(|p| p.1);
        Listed {
            implementation: id.clone(),
            algorithm: info.map(|i| i.algorithm.clone()).unwrap_or_default(),
            hardware: info.map(|i| i.hardware.clone()).unwrap_or_default(),
            version: plugin.version.clone(),
            library_version: info.map(|i| i.library_version.clone()).unwrap_or_default(),
            device: info.map(|i| i.device.clone()).unwrap_or_default(),
            plugin: plugin.id.clone(),
            licence: plugin.licence.clone(),
            authors: plugin.authors.clone(),
            homepage: plugin.homepage.clone(),
            path: entry.path.clone(),
            hash: entry.hash.clone(),
            rank,
            levels: info.map(|i| (i.level_min, i.level_default, i.level_max)),
            max_chunk_bytes: info.map(|i| i.max_chunk_bytes).filter(|b| *b != u64::MAX),
            streams: info.is_some_and(|i| i.streams),
            concurrent: info.is_some_and(|i| i.concurrent),
            compress_mb_s: speed(Direction::Compress),
            decompress_mb_s: speed(Direction::Decompress),
            ratio: profile.as_ref().and_then(|p| p.ratio(p.ratio_size(size)?)),
            peak_bytes: codec.and_then(peak),
            verdict,
        }
    }
}
