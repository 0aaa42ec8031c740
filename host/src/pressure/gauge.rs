//! From readings to a level: up at once, down only when it is clearly over. Pure.
//!
//! Where the steps are:
//!
//! - **Used share** 0.70, 0.85, 0.95. On 4 GiB that leaves 1.2 GiB, 600 MiB and 200 MiB. `High` has to bring relief before
//!   the killers act: earlyoom kills at 0.90, systemd-oomd looks at 0.90 of memory and swap (`SwapUsedLimit`), and the
//!   kubelet evicts at 100 MiB left. `Critical` is for what is left when that was not enough, and stays clear of containers
//!   that are sized to run at 0.9.
//! - **Stalls** 10 % and 40 % of the time (`some avg10`). systemd asks services to shed memory at 200 ms in 2 s (10 %,
//!   `MemoryPressureThresholdSec=`), the example of the kernel's psi.rst warns at 15 %, Android's lmkd at 7 % (20 % on
//!   low-RAM devices). Well before systemd-oomd kills, at 60 % of `full`, `some` is at 40 %: it is never below `full`. No step
//!   is `Medium`: who waits for memory already loses time.
//! - **Stalls with half of the limit free** are not about this limit: they come from a smaller one, such as the limit of
//!   another container on the same machine, and giving up memory here would not end them. They are passed over.

use super::{Pressure, Reading};

const MEDIUM_SHARE: f64 = 0.70;
const HIGH_SHARE: f64 = 0.85;
const CRITICAL_SHARE: f64 = 0.95;
const HIGH_STALLED_PERCENT: f64 = 10.0;
const CRITICAL_STALLED_PERCENT: f64 = 40.0;
/// Used share from which stalls count.
const STALLS_COUNT_SHARE: f64 = 0.50;
/// How far below a step a reading must be to count as below it, in points of a hundred.
const MARGIN_POINTS: f64 = 5.0;
/// Readings in a row that must be below a step. At one a second, longer than what one burst of reclaim frees and is at once
/// taken again.
const CALM_READINGS: usize = 3;

/// Turns readings into a level with hysteresis: it rises with the first reading at or above a step (0.70, 0.85, 0.95 of the
/// limit used; 10 %, 40 % of the time stalled), and falls after 3 readings in a row that are more than 5 points below.
///
/// Higher readings never give a lower level, readings that differ by less than 5 points never move it up and down, and the
/// same reading again and again settles it after 3.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gauge {
    level: Pressure,
    /// The lowest levels that the last readings would let stand, in turn.
    floors: [Pressure; CALM_READINGS],
    next: usize,
}

impl Gauge {
    /// At [`Pressure::Low`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The level after the last reading.
    pub fn level(&self) -> Pressure {
        self.level
    }

    /// Takes one more reading; the level after it.
    pub fn update(&mut self, reading: &Reading) -> Pressure {
        let share = reading.used_share();
        // Not a number compares as less than all steps.
        let stalled = reading.stalled_percent.unwrap_or(f64::NAN);
        self.floors[self.next] = rate(share + MARGIN_POINTS / 100.0, stalled + MARGIN_POINTS);
        self.next = (self.next + 1) % CALM_READINGS;
        // Only minima and maxima of what grows with the reading: so the level does, whatever came before.
        let floor = self.floors.into_iter().max().unwrap_or_default();
        self.level = self.level.min(floor).max(rate(share, stalled));
        self.level
    }
}

/// The level of one reading alone.
fn rate(share: f64, stalled_percent: f64) -> Pressure {
    let stalls_count = share >= STALLS_COUNT_SHARE;
    if share >= CRITICAL_SHARE || stalls_count && stalled_percent >= CRITICAL_STALLED_PERCENT {
        Pressure::Critical
    } else if share >= HIGH_SHARE || stalls_count && stalled_percent >= HIGH_STALLED_PERCENT {
        Pressure::High
    } else if share >= MEDIUM_SHARE {
        Pressure::Medium
    } else {
        Pressure::Low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Pressure::{Critical, High, Low, Medium};
    use proptest::prelude::*;

    const LIMIT_BYTES: u64 = 100_000;

    /// `used` of [`LIMIT_BYTES`].
    fn reading(used_bytes: u64, stalled_percent: Option<f64>) -> Reading {
        Reading { used_bytes, limit_bytes: LIMIT_BYTES, stalled_percent, source: "test" }
    }

    fn levels(gauge: &mut Gauge, readings: &[Reading]) -> Vec<Pressure> {
        readings.iter().map(|r| gauge.update(r)).collect()
    }

    fn of_shares(gauge: &mut Gauge, percents: &[u64]) -> Vec<Pressure> {
        percents.iter().map(|p| gauge.update(&reading(p * LIMIT_BYTES / 100, None))).collect()
    }

    #[test]
    fn steps_of_the_used_share() {
        for (used, level) in [
            (0, Low),
            (69_999, Low),
            (70_000, Medium),
            (84_999, Medium),
            (85_000, High),
            (95_000, Critical),
            (100_000, Critical),
            (u64::MAX, Critical),
        ] {
            assert_eq!(Gauge::new().update(&reading(used, None)), level, "{used}");
        }
    }

    #[test]
    fn steps_of_the_stalled_time() {
        let of = |used, stalled| Gauge::new().update(&reading(used, Some(stalled)));
        assert_eq!(of(60_000, 9.99), Low);
        assert_eq!(of(60_000, 10.0), High);
        assert_eq!(of(60_000, 40.0), Critical);
        assert_eq!(of(96_000, 10.0), Critical);
        assert_eq!(of(49_999, 100.0), Low, "half is free");
        assert_eq!(of(60_000, f64::NAN), Low);
        assert_eq!(of(60_000, f64::INFINITY), Critical);
        assert_eq!(of(60_000, f64::NEG_INFINITY), Low);
    }

    #[test]
    fn no_limit_left_is_critical() {
        let nothing = Reading { limit_bytes: 0, ..reading(0, None) };
        assert_eq!(Gauge::new().update(&nothing), Critical);
    }

    #[test]
    fn up_at_once_and_down_after_three_that_are_clearly_below() {
        let mut gauge = Gauge::new();
        assert_eq!(of_shares(&mut gauge, &[10, 96]), [Low, Critical]);
        assert_eq!(of_shares(&mut gauge, &[91, 91, 91, 91]), [Critical; 4], "not clearly below");
        assert_eq!(of_shares(&mut gauge, &[10, 10, 91, 10, 10]), [Critical; 5], "not in a row");
        assert_eq!(of_shares(&mut gauge, &[10]), [Low]);
    }

    #[test]
    fn it_falls_no_further_than_each_of_the_three() {
        let mut gauge = Gauge::new();
        assert_eq!(of_shares(&mut gauge, &[96, 87, 75, 10]), [Critical, Critical, Critical, High]);
        assert_eq!(of_shares(&mut gauge, &[10, 10]), [Medium, Low]);
    }

    #[test]
    fn a_level_from_stalls_falls_as_well() {
        let mut gauge = Gauge::new();
        let stalls = [50.0, 20.0, 20.0, 20.0, 5.1, 4.9, 4.9, 4.9].map(|s| reading(60_000, Some(s)));
        let expected = [Critical, Critical, Critical, High, High, High, High, Low];
        assert_eq!(levels(&mut gauge, &stalls), expected);
    }

    fn any_reading() -> impl Strategy<Value = Reading> {
        let stalled = proptest::option::of(0.0..100.0_f64);
        (0..LIMIT_BYTES * 5 / 4, stalled).prop_map(|(used, stalled)| reading(used, stalled))
    }

    proptest! {
        #[test]
        fn more_use_never_means_less_pressure(
            pairs in proptest::collection::vec((any_reading(), 0_u64..30_000), 1..60),
        ) {
            let (mut lower, mut higher) = (Gauge::new(), Gauge::new());
            for (low, more) in pairs {
                let high = Reading { used_bytes: low.used_bytes + more, ..low };
                prop_assert!(lower.update(&low) <= higher.update(&high));
            }
        }

        #[test]
        fn more_stalls_never_mean_less_pressure(
            pairs in proptest::collection::vec((any_reading(), 0.0..50.0_f64), 1..60),
        ) {
            let (mut lower, mut higher) = (Gauge::new(), Gauge::new());
            for (low, more) in pairs {
                let high = Reading { stalled_percent: low.stalled_percent.map(|s| s + more), ..low };
                prop_assert!(lower.update(&low) <= higher.update(&high));
            }
        }

        #[test]
        fn small_swings_move_it_once_at_most(
            step in proptest::sample::select(vec![50_u64, 70, 85, 95]),
            start in 0_u64..4_900,
            offsets in proptest::collection::vec(prop_oneof![Just(0), Just(4_899), 0_u64..4_900], 1..100),
            stalled in proptest::option::of(proptest::sample::select(vec![5.0, 10.0, 20.0, 40.0, 60.0])),
            before in proptest::collection::vec(any_reading(), 0..5),
        ) {
            let base = step * 1000 - start;
            let mut gauge = Gauge::new();
            levels(&mut gauge, &before);
            // What came before has its say first.
            levels(&mut gauge, &[reading(base, stalled); CALM_READINGS]);
            let readings: Vec<_> = offsets.iter().map(|o| reading(base + o, stalled)).collect();
            let mut told = levels(&mut gauge, &readings);
            prop_assert!(told.is_sorted());
            told.dedup();
            prop_assert!(told.len() <= 2);
        }

        #[test]
        fn small_swings_of_stalls_move_it_once_at_most(
            step in proptest::sample::select(vec![10.0, 40.0]),
            start in 0.0..4.9_f64,
            offsets in proptest::collection::vec(prop_oneof![Just(0.0), Just(4.9), 0.0..4.9_f64], 1..100),
        ) {
            let mut gauge = Gauge::new();
            let readings: Vec<_> =
                offsets.iter().map(|o| reading(60_000, Some(step - start + o))).collect();
            let mut told = levels(&mut gauge, &readings);
            prop_assert!(told.is_sorted());
            told.dedup();
            prop_assert!(told.len() <= 2);
        }

        #[test]
        fn the_same_again_and_again_settles(
            before in proptest::collection::vec(any_reading(), 0..20),
            constant in any_reading(),
        ) {
            let mut gauge = Gauge::new();
            levels(&mut gauge, &before);
            let told = levels(&mut gauge, &[constant; 20]);
            prop_assert!(told[CALM_READINGS - 1..].iter().all(|level| *level == told[19]));
            // Not below what the reading is worth, nor above what it would hold.
            prop_assert!(told[19] >= Gauge::new().update(&constant));
            let share = constant.used_share() + 0.05;
            prop_assert!(told[19] <= rate(share, constant.stalled_percent.map_or(0.0, |s| s + 5.0)));
        }

        #[test]
        fn any_reading_at_all_is_taken(used: u64, limit: u64, stalled: Option<f64>) {
            let any = Reading { used_bytes: used, limit_bytes: limit, stalled_percent: stalled, source: "test" };
            let mut gauge = Gauge::new();
            let level = gauge.update(&any);
            prop_assert_eq!(level, gauge.level());
        }
    }
}
