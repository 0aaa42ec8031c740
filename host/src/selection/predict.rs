//! From measured cells to a predicted time and ratio. Pure arithmetic over one implementation's cells at one level.

use super::Direction;
use crate::registry::report::Cell;
use std::collections::BTreeMap;

/// Kinds whose ratio counts: `random` cannot shrink, and `mixed` contains it.
const RATIO_KINDS: [&str; 3] = ["text", "binary", "floats"];

/// What one implementation does at one level.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// By size in bytes: mean over the kinds of data.
    points: BTreeMap<u64, Point>,
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Point {
    compress_s: f64,
    decompress_s: f64,
    compress_mad_s: f64,
    decompress_mad_s: f64,
    /// Ratio by kind, of [`RATIO_KINDS`].
    ratios: BTreeMap<String, f64>,
}

impl Profile {
    /// Summary of the cells at `level`; `None` when there are none.
    pub fn new(cells: &[Cell], level: i32) -> Option<Self> {
        let mut by_size: BTreeMap<u64, Vec<&Cell>> = BTreeMap::new();
        for cell in cells.iter().filter(|c| c.level == level) {
            by_size.entry(cell.bytes).or_default().push(cell);
        }
        let points: BTreeMap<u64, Point> =
            by_size.into_iter().map(|(size, cells)| (size, Point::mean(&cells))).collect();
        (!points.is_empty()).then_some(Self { points })
    }

    /// Predicted seconds for `bytes` bytes in `direction`.
    ///
    /// Linear between measured sizes; below the smallest along the line through the first two (latency plus
    /// bytes over throughput); above the largest at its throughput.
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
        line.max(t0.min(t1) * x / x1)
    }

    /// Noise of the measurement behind [`seconds`](Self::seconds), relative: median absolute deviation over time.
    pub fn noise(&self, bytes: u64, direction: Direction) -> f64 {
        let Some((_, point)) = self.nearest(bytes, |_| true) else { return 0.0 };
        let mad = direction.of(point.compress_mad_s, point.decompress_mad_s);
        let time = point.seconds(direction);
        if time > 0.0 { mad / time } else { 0.0 }
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
    fn mean(cells: &[&Cell]) -> Self {
        let mean = |f: fn(&Cell) -> f64| cells.iter().map(|c| f(c)).sum::<f64>() / cells.len() as f64;
        let counted =
            cells.iter().filter(|c| RATIO_KINDS.contains(&c.kind.as_str()) && c.compressed_bytes > 0);
        let ratios = counted.map(|c| (c.kind.clone(), c.bytes as f64 / c.compressed_bytes as f64)).collect();
        Self {
            compress_s: mean(|c| c.compress_s),
            decompress_s: mean(|c| c.decompress_s),
            compress_mad_s: mean(|c| c.compress_mad_s),
            decompress_mad_s: mean(|c| c.decompress_mad_s),
            ratios,
        }
    }

    fn seconds(&self, direction: Direction) -> f64 {
        direction.of(self.compress_s, self.decompress_s)
    }
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
        let p = Profile::new(&cells, 1).expect("measured");
        let close = |bytes, s: f64| (p.seconds(bytes, Direction::Compress) - s).abs() < 1e-9;
        assert!(close(0, 0.001));
        assert!(close(1000, 0.002));
        assert!(close(5500, 0.0065));
        assert!(close(20_000, 0.022));
        assert_eq!(p.ratio(p.ratio_size(2000).expect("ratio")), Some(2.0));
        assert_eq!(p.ratio(10_000), Some(4.0));
        assert!(Profile::new(&cells, 2).is_none());
    }
}
