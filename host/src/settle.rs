//! Which of the implementations that are close by measurements of built-in data is the fastest on the data itself.
//!
//! How long slow levels take depends on what repeats, and how far back: libdeflate 10 and zlib-rs 9 change places, by a factor of two, between
//! an archive and weights that look much like the same kind of benchmark data.

use crate::{benchmark::clock::Clock, compressor::Link, pipeline::threads, selection::likeness::Sample};

/// Who is predicted to take longer by this factor is not tried.
const CLOSE: f64 = 3.0;
/// Nor is another level of one that is.
const CLOSE_LEVEL: f64 = 1.5;
/// Share of the time that compressing on all processors is predicted to take, which the trials may take on one.
const MOST_SHARE: f64 = 1.0 / 16.0;
/// Fewer pieces of the sample than this are not tried: the first only warms up.
const FEW_PIECES: u64 = 3;
/// How much less time than the first another must take: trials are short.
const MARGIN: f64 = 0.05;
/// Trials that were over within so many seconds are repeated before another goes first: one moment may have been a slow one.
const MOMENT_S: f64 = 5e-3;

/// Puts the fastest on `sample` first, at the level at which it is, if that is likely to be worth its time. `links` are in order of prediction.
pub(crate) fn settle(links: &mut Vec<Link>, sample: &Sample) {
    let time = |l: &Link| l.predicted_s().unwrap_or(f64::INFINITY);
    let Some(first) = links.first().and_then(Link::predicted_s) else { return };
    let is_close = |l: &&Link| l.hardware() == "cpu" && time(l) <= CLOSE * first;
    let close = links.iter().take_while(is_close).count();
    let all = links[..close].iter().map(time).sum::<f64>();
    // What trials on all of the sample may take, and on fewer pieces of it, as many as there is time for.
    let most = MOST_SHARE * first / (sample.share() * threads(None) as f64);
    let left = |pieces: u64| most * Sample::PIECES as f64 / pieces as f64 - all;
    let pieces = (FEW_PIECES..=Sample::PIECES).rev().find(|pieces| left(*pieces) >= 0.0);
    let Some(pieces) = pieces.filter(|_| close > 0) else { return };
    let mut rest = left(pieces);
    let mut others: Vec<Link> = links[..close].iter().flat_map(Link::at_other_levels).collect();
    others.retain(|l| time(l) <= CLOSE_LEVEL * first);
    others.sort_by(|x, y| time(x).total_cmp(&time(y)));
    // As many as there is time for.
    let fits = |l: &Link| {
        rest -= time(l);
        rest >= 0.0
    };
    let mut rivals: Vec<Link> = links.drain(..close).chain(others.into_iter().take_while(fits)).collect();
    let fastest = if rivals.len() > 1 { fastest_on(&rivals, sample, pieces as usize) } else { 0 };
    let winner = rivals.remove(fastest);
    rivals.truncate(if fastest < close { close - 1 } else { close });
    rivals.retain(|l| l.id() != winner.id());
    rivals.iter().for_each(Link::close_idle);
    links.splice(..0, std::iter::once(winner).chain(rivals));
}

fn fastest_on(links: &[Link], sample: &Sample, pieces: usize) -> usize {
    let mut seconds = race(links, sample, pieces);
    if fastest(&seconds) > 0 && seconds[0] < MOMENT_S {
        let again = race(links, sample, pieces);
        seconds.iter_mut().zip(again).for_each(|(least, again)| *least = least.min(again));
    }
    fastest(&seconds)
}

/// Seconds that each of `links` takes for so many `pieces` of `sample`; none of the first, which warms up. What fails takes for ever.
fn race(links: &[Link], sample: &Sample, pieces: usize) -> Vec<f64> {
    let mut seconds = vec![0.0; links.len()];
    let mut out = Vec::new();
    for (number, piece) in sample.pieces().take(pieces).enumerate() {
        // Into the processor's caches: else the first brings it there for the others, which takes longer than storing it does.
        std::hint::black_box(crc32fast::hash(piece));
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
