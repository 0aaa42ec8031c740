//! From measured cells to a predicted time and ratio. Pure arithmetic over one implementation's cells at one level.

use super::{Direction, Likeness};
use crate::{
    benchmark::{MIXED, SHORTEST_S, data::Kind},
    registry::report::Cell,
};

/// Ratio by kind of data, in the order of [`Kind::ALL`]; none of what cannot shrink, or was not measured.
pub(super) type Ratios = [Option<f64>; Kind::ALL.len()];

/// What one implementation does at one level.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// By size in bytes, smallest first: the kinds of data together, by what the data in question is like.
    points: Vec<(u64, Point)>,
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Point {
    compress_s: f64,
    decompress_s: f64,
    ratios: Ratios,
}

impl Profile {
    /// Summary of the cells at `level` for data of this `likeness`; `None` when there are none.
    pub fn new(cells: &[Cell], level: i32, likeness: Option<&Likeness>) -> Option<Self> {
        let mut own: Vec<&Cell> = cells.iter().filter(|c| c.level == level).collect();
        own.sort_by_key(|c| c.bytes);
        let by_size = || own.chunk_by(|x, y| x.bytes == y.bytes);
        let mut points: Vec<(u64, Point)> =
            by_size().map(|cells| (cells[0].bytes, Point::typical(cells, likeness))).collect();
        // Where kinds were measured only together, their times have been summed: as the largest size at which they were measured apart has it.
        let is_apart = |cells: &[&Cell]| cells.iter().all(|c| c.kind != MIXED);
        let apart = by_size().zip(&points).filter(|(cells, _)| is_apart(cells)).last();
        let factors = apart.map(|(cells, (_, typical))| {
            let sum = |f: fn(&Cell) -> f64| cells.iter().map(|c| f(c)).sum::<f64>() / cells.len() as f64;
            (typical.compress_s / sum(|c| c.compress_s), typical.decompress_s / sum(|c| c.decompress_s))
        });
        if let Some((compress, decompress)) = factors {
            for (_, (_, point)) in by_size().zip(&mut points).filter(|(cells, _)| !is_apart(cells)) {
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
        let at = |place: usize| {
            let (size, point) = &self.points[place];
            (*size as f64, point.seconds(direction))
        };
        let (x, last) = (bytes as f64, self.points.len() - 1);
        let (last_size, last_time) = at(last);
        if x >= last_size || last == 0 {
            return last_time * x / last_size;
        }
        let above = self.points.iter().position(|(size, _)| *size >= bytes).unwrap_or(last).max(1);
        let ((x0, t0), (x1, t1)) = (at(above - 1), at(above));
        let line = t0 + (t1 - t0) * (x - x0) / (x1 - x0);
        // Where time grows faster than size, the line would cross zero.
        line.max(t0.min(t1) * (x / x0).min(1.0))
    }

    /// Size class at which ratios for `bytes` bytes are compared: the nearest measured size that has one.
    pub fn ratio_size(&self, bytes: u64) -> Option<u64> {
        let distance = |size: u64| ((size.max(1) as f64).ln() - (bytes.max(1) as f64).ln()).abs();
        let with_ratios = self.points.iter().filter(|(_, p)| p.has_ratios()).map(|(size, _)| *size);
        with_ratios.min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
    }

    /// Ratio at a measured size: geometric mean over the kinds of data that can shrink.
    pub fn ratio(&self, size: u64) -> Option<f64> {
        let ratios = || self.ratios(size).into_iter().flatten().flatten();
        let logs: f64 = ratios().map(|r| r.ln()).sum();
        let count = ratios().count();
        (count > 0).then(|| (logs / count as f64).exp())
    }

    /// Ratios at a measured size; `None` where nothing that can shrink was measured.
    pub(super) fn ratios(&self, size: u64) -> Option<&Ratios> {
        self.points.iter().find(|(s, p)| *s == size && p.has_ratios()).map(|(_, p)| &p.ratios)
    }

    /// Throughput in MB/s (10^6 bytes) for `bytes` bytes.
    pub fn throughput_mb_s(&self, bytes: u64, direction: Direction) -> f64 {
        bytes as f64 / 1e6 / self.seconds(bytes, direction)
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
        let mut ratios = Ratios::default();
        for cell in cells.iter().filter(|c| c.compressed_bytes > 0) {
            // Random data cannot shrink, and what is mixed contains it.
            if let Some(kind) = Kind::named(&cell.kind).filter(|kind| *kind != Kind::Random) {
                ratios[kind as usize] = Some(cell.bytes as f64 / cell.compressed_bytes as f64);
            }
        }
        Self { compress_s: mean(&|c| c.compress_s), decompress_s, ratios }
    }

    fn has_ratios(&self) -> bool {
        self.ratios.iter().any(Option::is_some)
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
