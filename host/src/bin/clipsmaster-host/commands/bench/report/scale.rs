//! Axes: from values to places in the drawing, and where their ticks stand.

/// Values outside of this say nothing that can be drawn.
const DRAWABLE: std::ops::RangeInclusive<f64> = 1e-6..=1e12;
/// A logarithmic axis shows at least this factor, for two ticks or more.
const LEAST_FACTOR: f64 = 8.0;
/// A linear axis shows at least this much: noise must not fill the figure.
const LEAST_SPAN: f64 = 0.1;

/// Whether a speed or a ratio has a place on an axis.
pub(super) fn drawable(value: f64) -> bool {
    DRAWABLE.contains(&value)
}

/// One axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// Logarithmic, with room beside all `values`, drawn from `from` to `to`.
    pub(super) fn log(values: &[f64], (from, to): (f64, f64)) -> Self {
        let (low, high) = extremes(values, (1.0, 1000.0));
        let widen = (LEAST_FACTOR / (high / low)).max(1.0).sqrt();
        Self { low: low / widen / 1.4, high: high * widen * 1.5, from, to, log: true }
    }

    /// Linear, otherwise as [`Self::log`].
    pub(super) fn linear(values: &[f64], (from, to): (f64, f64)) -> Self {
        let (low, high) = extremes(values, (1.0, 2.0));
        let widen = (LEAST_SPAN - (high - low)).max(0.0) / 2.0;
        let (low, high) = (low - widen, high + widen);
        let span = high - low;
        Self { low: low - 0.05 * span, high: high + 0.1 * span, from, to, log: false }
    }

    /// For ratios: linear from 1 where that shows them all.
    pub(super) fn ratio(values: &[f64], ends: (f64, f64)) -> Self {
        let all: Vec<f64> = values.iter().copied().chain([1.0]).collect();
        let (low, high) = extremes(&all, (1.0, 2.0));
        if high / low > 20.0 { Self::log(values, ends) } else { Self::linear(&all, ends) }
    }

    /// Logarithmic, the least of `values` at `from` and the greatest at `to`.
    pub(super) fn snug(values: &[f64], (from, to): (f64, f64)) -> Self {
        let (low, high) = extremes(values, (1.0, 2.0));
        Self { low, high: if high > low { high } else { low * 2.0 }, from, to, log: true }
    }

    /// Place of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Values that deserve a tick, with their text.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if self.log { self.log_ticks() } else { self.linear_ticks() }
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = ((decades / 7.0).ceil() as usize).max(1);
        (first..=last)
            .step_by(stride)
            .flat_map(|power| steps.iter().map(move |step| (step * 10f64.powi(power), power)))
            .filter(|(value, _)| (self.low..=self.high).contains(value))
            .map(|(value, power)| (value, log_text(value, power)))
            .collect()
    }

    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / 7.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * power).into_iter().find(|s| *s >= rough);
        let step = step.unwrap_or(rough);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|i| i as f64 * step).map(|value| (value, format!("{value:.decimals$}"))).collect()
    }
}

/// Least and greatest of those that can be drawn.
fn extremes(values: &[f64], otherwise: (f64, f64)) -> (f64, f64) {
    let drawn = values.iter().copied().filter(|v| drawable(*v));
    let (low, high) =
        drawn.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low <= high { (low, high) } else { otherwise }
}

fn log_text(value: f64, power: i32) -> String {
    match power {
        6.. => format!("{:.0}M", value / 1e6),
        4.. => format!("{:.0}k", value / 1e3),
        _ => format!("{value:.0$}", power.min(0).unsigned_abs() as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(texts(&Scale::log(&[3.0, 12_000.0], (0.0, 1.0))), ["10", "100", "1000", "10k"]);
        assert_eq!(texts(&Scale::log(&[120.0], (0.0, 1.0))), ["50", "100", "200", "500"]);
        assert_eq!(texts(&Scale::linear(&[1.0, 4.2], (0.0, 1.0))), ["1", "2", "3", "4"]);
        assert_eq!(texts(&Scale::ratio(&[1.0, 0.999], (0.0, 1.0))), ["0.96", "0.98", "1.00", "1.02", "1.04"]);
    }

    #[test]
    fn any_values_give_places_within_the_axis() {
        let odd = [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, 1e300];
        for values in [&odd[..], &[], &[5.0], &[1e-6, 1e12]] {
            for scale in [Scale::log(values, (10.0, 90.0)), Scale::ratio(values, (90.0, 10.0))] {
                let ticks = scale.ticks();
                assert!((2..=12).contains(&ticks.len()), "{values:?}: {ticks:?}");
                assert!(ticks.iter().all(|(v, _)| (9.9..=90.1).contains(&scale.at(*v))), "{ticks:?}");
            }
        }
    }
}
