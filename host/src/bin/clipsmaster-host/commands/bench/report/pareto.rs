//! Who is beaten by nobody: the Pareto front of speed and ratio.

use std::cmp::Ordering;

/// Indices of the points (speed, ratio) for which no other has at least both and one of them more; slowest first.
pub(super) fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| fastest_first(points[a], points[b]));
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        let beaten = kept.last().is_some_and(|&k| points[i].1 <= points[k].1 && points[i] != points[k]);
        if !beaten {
            kept.push(i);
        }
    }
    kept.reverse();
    kept
}

fn fastest_first(a: (f64, f64), b: (f64, f64)) -> Ordering {
    b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nobody_beats() {
        let points = [(100.0, 3.0), (100.0, 2.9), (50.0, 3.0), (10.0, 5.0), (900.0, 1.0), (9.0, 4.9)];
        assert_eq!(front(&points), [3, 0, 4]);
    }

    #[test]
    fn equals_do_not_beat_each_other() {
        assert_eq!(front(&[(1.0, 1.0), (1.0, 1.0)]).len(), 2);
        assert_eq!(front(&[(7.0, 0.9)]), [0]);
        assert_eq!(front(&[]), [0_usize; 0]);
    }
}
