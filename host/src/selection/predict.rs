//! From measured cells to a predicted time and ratio. Pure arithmetic over one implementation's cells at one level.

use super::{Direction, Likeness};
use crate::{
    benchmark::{MIXED, SHORTEST_S, data::Kind},
    registry::report::Cell,
};
use std::collections::BTreeMap;

/// What one implementation does at one level.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// By size in bytes: the kinds of data together, by what the data in question is like.
    points: BTreeMap<u64, Point>,
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Point {
    compress_s: f64,
    decompress_s: f64,
    /// Ratio by kind, of those [that count](ratio_counts).
    ratios: BTreeMap<String, f64>,
}

impl Profile {
    /// Summary of the cells at `level` for data of this `likeness`; `None` when there are none.
    pub fn new(cells: &[Cell], level: i32, likeness: Option<&Likeness>) -> Option<Self> {
        let mut by_size: BTreeMap<u64, Vec<&Cell>> = BTreeMap::new();
        for cell in cells.iter().filter(|c| c.level == level) {
            by_size.entry(cell.bytes).or_default().push(cell);
        }
        let mut points: BTreeMap<u64, Point> =
            by_size.iter().map(|(size, cells)| (*size, Point::typical(cells, likeness))).collect();
        // Where kinds were measured only together, their times have been summed: as the largest size at which they were measured apart has it.
        let apart = by_size.iter().rev().find(|(_, cells)| cells.iter().all(|c| c.kind != MIXED));
        let factors = apart.map(|(size, cells)| {
            let sum = |f: fn(&Cell) -> f64| cells.iter().map(|c| f(c)).sum::<f64>() / cells.len() as f64;
            let typical = &points[size];
            (typical.compress_s / sum(|c| c.compress_s), typical.decompress_s / sum(|c| c.decompress_s))
        });
        for (size, _) in by_size.iter().filter(|(_, cells)| cells.iter().any(|c| c.kind == MIXED)) {
            if let (Some((compress, decompress)), Some(point)) = (factors, points.get_mut(size)) {
                point.compress_s *= compress;
                point.decompress_s *= decompress;
            }
        }
        (!points.is_empty()).then_some(Self { points })
    }

    /// Predicted seconds for `bytes` bytes in `direction`.
    ///
    /// Linear between measured sizes; below the smallest along the line through the first two (latency plus
    /// bytes over throughput), but at no more than the smallest's throughput; above the largest at its throughput.
    pub fn seconds(&self, bytes: u64, direction: Direction) -> f64 {
        let times: Vec<(f64, f64)> =
            self.points.iter().map(|(size, p)| (*size as f64, p.seconds(direction))).collect();
        let x = bytes as f64;
        let (last_size, last_time) = times[times.len() - 1];
        if x >= last_size || times.len() == 1 {
            return last_time * x / last_size;
        }
        let above = times.iter().position(|(size, _)| *size >= x).unwrap_or(times.len() - 1).max(1);
        let ((x0, t0), (x1, t1)) = (times[above - 1], times[above]);
        let line = t0 + (t1 - t0) * (x - x0) / (x1 - x0);
        // Where time grows faster than size, the line would cross zero.
        line.max(t0.min(t1) * (x / x0).min(1.0))
    }

    /// Size class at which ratios for `bytes` bytes are compared: the nearest measured size that has one.
    pub fn ratio_size(&self, bytes: u64) -> Option<u64> {
        self.nearest(bytes, |p| !p.ratios.is_empty()).map(|(size, _)| size)
    }

    /// Ratio at a measured size: geometric mean over the kinds of data that can shrink.
    pub fn ratio(&self, size: u64) -> Option<f64> {
        let ratios = self.ratios(size)?;
        let logs: f64 = ratios.values().map(|r| r.ln()).sum();
        Some((logs / ratios.len() as f64).exp())
    }

    /// Ratio by kind of data at a measured size; none where nothing that can shrink was measured.
    pub fn ratios(&self, size: u64) -> Option<&BTreeMap<String, f64>> {
        self.points.get(&size).map(|p| &p.ratios).filter(|r| !r.is_empty())
    }

    /// Throughput in MB/s (10^6 bytes) for `bytes` bytes.
    pub fn throughput_mb_s(&self, bytes: u64, direction: Direction) -> f64 {
        bytes as f64 / 1e6 / self.seconds(bytes, direction)
    }

    fn nearest(&self, bytes: u64, wanted: impl Fn(&Point) -> bool) -> Option<(u64, &Point)> {
        let distance = |size: u64| ((size.max(1) as f64).ln() - (bytes.max(1) as f64).ln()).abs();
        let points = self.points.iter().filter(|(_, p)| wanted(p));
        points.min_by(|a, b| distance(*a.0).total_cmp(&distance(*b.0))).map(|(s, p)| (*s, p))
    }
}

impl Point {
    /// The kinds together. Compressing: the mean of the times, by likeness. Decompressing: the geometric mean, so that no kind outweighs others by
    /// being slow, without what cannot shrink, which frames tell by their size ([`Likeness::of_frame`]).
    fn typical(cells: &[&Cell], likeness: Option<&Likeness>) -> Self {
        let weight = |c: &Cell| match likeness {
            Some(likeness) if c.kind != MIXED => likeness.weight(&c.kind),
            _ => 1.0,
        };
        let shrinks =
            |c: &Cell| if likeness.is_none() && c.kind == Kind::Random.name() { 0.0 } else { weight(c) };
        let sum = |weight: &dyn Fn(&Cell) -> f64, f: &dyn Fn(&Cell) -> f64| {
            cells.iter().map(|c| weight(c) * f(c)).sum::<f64>()
        };
        let all = sum(&weight, &|_| 1.0);
        let mean = |f: &dyn Fn(&Cell) -> f64| sum(&weight, f) / all;
        let logs = sum(&shrinks, &|c| c.decompress_s.max(SHORTEST_S).ln());
        let shrinking = sum(&shrinks, &|_| 1.0);
        // Nothing but what cannot shrink was measured.
        let decompress_s = if shrinking > 0.0 { (logs / shrinking).exp() } else { mean(&|c| c.decompress_s) };
        let counted = cells.iter().filter(|c| ratio_counts(&c.kind) && c.compressed_bytes > 0);
        let ratios = counted.map(|c| (c.kind.clone(), c.bytes as f64 / c.compressed_bytes as f64)).collect();
        Self { compress_s: mean(&|c| c.compress_s), decompress_s, ratios }
    }

    fn seconds(&self, direction: Direction) -> f64 {
        direction.of(self.compress_s, self.decompress_s)
    }
}

/// Whether the ratio on this kind counts: random data cannot shrink, and what is mixed contains it.
fn ratio_counts(kind: &str) -> bool {
    Kind::ALL.iter().any(|k| *k != Kind::Random && k.name() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(bytes: u64, compress_s: f64, compressed_bytes: u64) -> Cell {
        Cell {
            level: 1,
            kind: "text".into(),
            bytes,
            compressed_bytes,
            compress_s,
            compress_mad_s: 0.0,
            decompress_s: compress_s / 2.0,
            decompress_mad_s: 0.0,
        }
    }

    #[test]
    fn time_is_latency_plus_bytes_over_throughput() {
        // 1 ms latency, 1 MB/s.
        let cells = [cell(1000, 0.002, 500), cell(10_000, 0.011, 2500)];
        let p = Profile::new(&cells, 1, None).expect("measured");
        let close = |bytes, s: f64| (p.seconds(bytes, Direction::Compress) - s).abs() < 1e-9;
        assert!(close(0, 0.001));
        assert!(close(1000, 0.002));
        assert!(close(5500, 0.0065));
        assert!(close(20_000, 0.022));
        // Per byte the larger takes longer: a window that fills.
        let steep = [cell(4000, 0.004, 500), cell(64_000, 0.64, 2500)];
        let p_steep = Profile::new(&steep, 1, None).expect("measured");
        assert!((p_steep.seconds(1000, Direction::Compress) - 0.001).abs() < 1e-9);
        assert!((p_steep.seconds(4000, Direction::Compress) - 0.004).abs() < 1e-9);
        assert_eq!(p.ratio(p.ratio_size(2000).expect("ratio")), Some(2.0));
        assert_eq!(p.ratio(10_000), Some(4.0));
        assert!(Profile::new(&cells, 2, None).is_none());
    }

    #[test]
    fn kinds_count_by_likeness_also_where_they_were_measured_together() {
        let of = |kind: &str, bytes, seconds| Cell {
            kind: kind.into(),
            decompress_s: seconds,
            ..cell(bytes, seconds, bytes / 2)
        };
        let cells = [
            of("text", 1000, 1e-3),
            of("log", 1000, 4e-3),
            of("random", 1000, 7e-3),
            of(MIXED, 16_000, 64e-3),
        ];
        let any = Profile::new(&cells, 1, None).expect("measured");
        let close = |p: &Profile, bytes, direction, s: f64| {
            let seconds = p.seconds(bytes, direction);
            assert!((seconds - s).abs() < 1e-6, "{seconds} s, not {s} s");
        };
        close(&any, 1000, Direction::Compress, 4e-3);
        close(&any, 1000, Direction::Decompress, 2e-3);
        close(&any, 16_000, Direction::Compress, 64e-3);
        close(&any, 16_000, Direction::Decompress, 32e-3);
        let stored = Profile::new(&cells, 1, Some(&Likeness::incompressible())).expect("measured");
        close(&stored, 1000, Direction::Decompress, 7e-3);
        close(&stored, 16_000, Direction::Compress, 112e-3);
    }
}
