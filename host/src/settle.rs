//! Which of the implementations that are close by measurements of built-in data is the fastest on the data itself.
//!
//! How long slow levels take depends on what repeats, and how far back: libdeflate 10 and zlib-rs 9 change places, by a factor of two, between
//! an archive and weights that look much like the same kind of benchmark data.

use crate::{benchmark::clock::Clock, compressor::Link, pipeline::threads, selection::likeness::Sample};

/// Who is predicted to take longer by this factor is not tried.
const CLOSE: f64 = 3.0;
/// Share of the time that compressing on all processors is predicted to take, which the trials may take on one.
const MOST_SHARE: f64 = 1.0 / 16.0;
/// How much less time than the first another must take: trials are short.
const MARGIN: f64 = 0.05;

/// Trials that were over within so many seconds are repeated before another goes first: one moment may have been a slow one.
const MOMENT_S: f64 = 5e-3;

/// Puts the fastest on `sample` first, if that is likely to be worth its time. `links` are in order of prediction, of implementations on the CPU.
pub(crate) fn settle(links: &mut [Link], sample: &Sample) {
    let Some(Some(first)) = links.first().map(Link::predicted_s) else { return };
    let is_close = |l: &&Link| l.hardware() == "cpu" && l.predicted_s().is_some_and(|s| s <= CLOSE * first);
    let predicted: Vec<f64> = links.iter().take_while(is_close).filter_map(Link::predicted_s).collect();
    let share = predicted.iter().sum::<f64>() / first * sample.share() * threads(None) as f64;
    if predicted.len() < 2 || share > MOST_SHARE {
        return;
    }
    let links = &mut links[..predicted.len()];
    let mut seconds = race(links, sample);
    if fastest(&seconds) > 0 && seconds[0] < MOMENT_S {
        let again = race(links, sample);
        seconds.iter_mut().zip(again).for_each(|(least, again)| *least = least.min(again));
    }
    links[..=fastest(&seconds)].rotate_right(1);
    links[1..].iter().for_each(Link::close_idle);
}

/// Seconds that each of `links` takes for `sample`; none of the first piece, which warms up. What fails takes for ever.
fn race(links: &[Link], sample: &Sample) -> Vec<f64> {
    let mut seconds = vec![0.0; links.len()];
    let mut out = Vec::new();
    for (number, piece) in sample.pieces().enumerate() {
        for (link, seconds) in links.iter().zip(&mut seconds) {
            let start = Clock::Thread.now();
            let answer = link.compress(piece, &mut out);
            *seconds += if number > 0 { Clock::Thread.now() - start } else { 0.0 };
            if answer.is_err() {
                *seconds = f64::INFINITY;
            }
        }
    }
    seconds
}

/// Which is the fastest, clearly; otherwise the first.
fn fastest(seconds: &[f64]) -> usize {
    let least = (0..seconds.len()).min_by(|a, b| seconds[*a].total_cmp(&seconds[*b])).unwrap_or_default();
    if seconds[least] < seconds[0] * (1.0 - MARGIN) { least } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_goes_first_only_when_it_is_clearly_faster() {
        assert_eq!(fastest(&[1.0, 0.97, 2.0]), 0);
        assert_eq!(fastest(&[1.0, 0.97, 0.5]), 2);
        assert_eq!(fastest(&[f64::INFINITY, 3.0]), 1);
        assert_eq!(fastest(&[1.0, f64::INFINITY]), 0);
    }
}
