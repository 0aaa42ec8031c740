//! Which of two decoders that are close by measurements of built-in data is the faster on the frames that come.
//!
//! ISA-L is a fifth slower than libdeflate on gzip frames of floats, and a quarter faster on those of JSON lines at level 9: nothing that
//! is known of frames tells. So the two take turns on the first of them, which does no work twice.

use crate::sync::lock;
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

/// Who is predicted to take longer by this factor gets no turn.
const CLOSE: f64 = 1.4;
/// A turn goes on until so many bytes have come out: the first of them find the processor's caches and branch predictors full of the other's.
const TURN_BYTES: usize = 64 << 10;
/// Smaller frames count as so many bytes: else there would be many, and looking at the clock takes as long as they do.
const LEAST_FRAME_BYTES: usize = 1 << 10;
/// Frames that end within the first so many bytes of a turn are not compared.
const WARM_UP_BYTES: usize = 16 << 10;
/// The first turn of each is not compared either.
const WARM_UP_TURNS: u32 = 2;
/// Fewest turns of both, and most.
const LEAST_TURNS: u32 = WARM_UP_TURNS + 10;
const MOST_TURNS: u32 = 34;
/// Who leads by so many standard deviations of chance is the faster.
const SURE: f64 = 2.2;
/// How much less time the second must take to be the faster.
const MARGIN: f64 = 0.03;
/// Frames that differ in density by this factor are not compared: how long a byte takes depends on it more than on the decoder.
const ALIKE: f64 = 1.25;
/// Frames that wait for one of the other that is alike, at most: the latest.
const MOST_WAITING: usize = 64;
/// One that takes longer than another by more than this factor was disturbed.
const DISTURBED: f64 = 1.5;

/// The turns of the first two of several decoders.
#[derive(Debug)]
pub(crate) struct Turns {
    are_over: AtomicBool,
    second_won: AtomicBool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// Turns that are over.
    turns: u32,
    /// Bytes that came out in the present turn so far.
    bytes: usize,
    /// Frames that wait for one of the other that is alike.
    waiting: Vec<(Turn, Pace)>,
    /// In how much less time the second decoded a byte of frames that are alike, in seconds, and the squares of that.
    lead_s: f64,
    squares: f64,
}

/// How fast a frame was decoded.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Seconds for each byte that came out.
    byte_s: f64,
    /// Bytes that went in for each.
    density: f64,
}

impl Pace {
    fn is_alike(&self, other: &Self) -> bool {
        self.density.max(other.density) < ALIKE * self.density.min(other.density)
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    First,
    Second,
}

impl Turn {
    /// Each begins every other pair.
    fn of(number: u32) -> Self {
        if (number + number / 2).is_multiple_of(2) { Self::First } else { Self::Second }
    }
}

impl Turns {
    /// Between the first two, which are predicted to take so many seconds, where they take part.
    pub(crate) fn new(predicted_s: [Option<f64>; 2]) -> Self {
        let are_close = matches!(predicted_s, [Some(first), Some(second)] if second <= CLOSE * first);
        Self {
            are_over: AtomicBool::new(!are_close),
            second_won: AtomicBool::new(false),
            taken: Mutex::default(),
        }
    }

    /// Whether it is settled who is the faster.
    pub(crate) fn are_over(&self) -> bool {
        self.are_over.load(Ordering::Relaxed)
    }

    /// Whose turn the next frame is, while they take turns.
    pub(crate) fn next(&self) -> Option<Turn> {
        (!self.are_over()).then(|| Turn::of(lock(&self.taken).turns))
    }

    /// Whether the second goes first from now on.
    pub(crate) fn second_won(&self) -> bool {
        self.second_won.load(Ordering::Relaxed)
    }

    /// Tells how long a frame of `bytes_in` bytes took, in seconds, and how many bytes came out: none where it could not be decoded.
    pub(crate) fn end(&self, turn: Turn, seconds: f64, bytes_in: usize, bytes_out: usize) {
        let (byte_s, density) = (seconds / bytes_out as f64, bytes_in as f64 / bytes_out as f64);
        let mut taken = lock(&self.taken);
        taken.bytes += bytes_out.max(LEAST_FRAME_BYTES);
        let is_warm = taken.turns >= WARM_UP_TURNS && taken.bytes > WARM_UP_BYTES;
        if is_warm && byte_s.is_normal() && density.is_normal() {
            taken.compare(turn, Pace { byte_s, density });
        }
        if taken.bytes >= TURN_BYTES || bytes_out == 0 {
            taken.turns += 1;
            taken.bytes = 0;
        }
        if taken.turns >= MOST_TURNS || taken.turns >= LEAST_TURNS && taken.is_sure() {
            self.second_won.store(taken.lead_s > 0.0, Ordering::Relaxed);
            self.are_over.store(true, Ordering::Relaxed);
        }
    }
}

impl Taken {
    /// With a frame of the other that is alike, the latest there is.
    fn compare(&mut self, turn: Turn, pace: Pace) {
        let is_match = |(whose, other): &(Turn, Pace)| *whose != turn && pace.is_alike(other);
        let Some(place) = self.waiting.iter().rposition(is_match) else {
            if self.waiting.len() == MOST_WAITING {
                self.waiting.remove(0);
            }
            return self.waiting.push((turn, pace));
        };
        let other = self.waiting.remove(place).1.byte_s;
        let (first, second) = if turn == Turn::First { (pace.byte_s, other) } else { (other, pace.byte_s) };
        let most = DISTURBED * first.min(second);
        let lead_s = first.min(most) * (1.0 - MARGIN) - second.min(most);
        self.lead_s += lead_s;
        self.squares += lead_s * lead_s;
    }

    fn is_sure(&self) -> bool {
        self.squares > 0.0 && self.lead_s.abs() >= SURE * self.squares.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many turns frames of `bytes` bytes took, and whether the second won; `second` is its time by that of the first in each pair of turns.
    fn play(bytes: usize, second: impl Fn(u32) -> Option<f64>) -> (u32, bool) {
        play_on(bytes, |_| 50, second)
    }

    /// The same, on frames of so many percent, by their number; a byte takes as much longer as there are more of them.
    fn play_on(
        bytes: usize,
        percent: impl Fn(usize) -> usize,
        second: impl Fn(u32) -> Option<f64>,
    ) -> (u32, bool) {
        let turns = Turns::new([Some(1.0), Some(1.1)]);
        for number in 0.. {
            let Some(turn) = turns.next() else { break };
            let pair = lock(&turns.taken).turns / 2;
            let percent = percent(number);
            let seconds = (bytes * percent) as f64 * f64::from(1 + pair % 5);
            let factor = if turn == Turn::Second { second(pair) } else { Some(1.0) };
            let bytes_out = factor.map_or(0, |_| bytes);
            turns.end(turn, seconds * factor.unwrap_or(1.0), bytes * percent / 100, bytes_out);
        }
        let taken = lock(&turns.taken).turns;
        (taken, turns.second_won())
    }

    #[test]
    fn the_faster_wins_soon_even_if_a_turn_now_and_then_is_disturbed() {
        for bytes in [100, 4 << 10, TURN_BYTES, 1 << 20] {
            for (second, has_won) in [(0.8, true), (1.2, false), (1.0, false)] {
                let (turns, second_won) = play(bytes, |_| Some(second));
                assert!(turns <= LEAST_TURNS + 2 && second_won == has_won, "{second}: {turns}");
            }
            assert!(play(bytes, |pair| Some(if pair % 8 == 1 { 9.0 } else { 0.8 })).1);
            assert!(!play(bytes, |pair| Some(if pair % 8 == 1 { 0.1 } else { 1.2 })).1);
        }
    }

    #[test]
    fn frames_however_small_end_turns() {
        let turns = Turns::new([Some(1.0), Some(1.0)]);
        let mut frames = 0;
        while let Some(turn) = turns.next() {
            frames += 1;
            turns.end(turn, if turn == Turn::Second { 0.7 } else { 1.0 }, 50, 100);
            assert!(lock(&turns.taken).waiting.len() <= MOST_WAITING);
        }
        assert!(turns.second_won() && frames <= LEAST_TURNS * 64, "{frames}");
    }

    #[test]
    fn frames_that_are_not_alike_are_not_compared() {
        // The second mostly gets frames that take a tenth of the time.
        let percent = |number: usize| match (Turn::of(number as u32), number % 9) {
            (Turn::Second, 1..) | (_, 0) => 9,
            _ => 90,
        };
        assert!(!play_on(1 << 20, percent, |_| Some(1.2)).1);
        assert!(play_on(1 << 20, percent, |_| Some(0.8)).1);
        // Of small ones, each turn has some of both.
        let mixed = |number: usize| if number.is_multiple_of(3) { 90 } else { 9 };
        assert_eq!(play_on(4 << 10, mixed, |_| Some(0.8)), (LEAST_TURNS, true));
        assert_eq!(play_on(4 << 10, mixed, |_| Some(1.2)), (LEAST_TURNS, false));
    }

    #[test]
    fn what_takes_longer_counts_for_more() {
        // The second is slower on what takes hardly any time, which most frames do, and faster on what takes long.
        let turns = Turns::new([Some(1.0), Some(1.0)]);
        for number in 0.. {
            let Some(turn) = turns.next() else { break };
            let (seconds, bytes_in, factor) =
                if number % 3 == 0 { (10.0, 3 << 10, 0.8) } else { (1.0, 4 << 10, 1.3) };
            turns.end(turn, seconds * if turn == Turn::Second { factor } else { 1.0 }, bytes_in, 4 << 10);
        }
        assert!(turns.second_won());
    }

    #[test]
    fn what_a_turn_begins_with_is_not_compared() {
        let turns = Turns::new([Some(1.0), Some(1.0)]);
        while let Some(turn) = turns.next() {
            let is_cold = lock(&turns.taken).bytes < WARM_UP_BYTES;
            let factor = match (turn, is_cold) {
                (Turn::First, _) => 1.0,
                (Turn::Second, true) => 9.0,
                (Turn::Second, false) => 0.9,
            };
            turns.end(turn, factor, 2 << 10, 4 << 10);
        }
        assert!(turns.second_won());
    }

    #[test]
    fn each_takes_as_many_turns_and_both_go_first() {
        use Turn::{First, Second};
        let all: Vec<Turn> = (0..8).map(Turn::of).collect();
        assert_eq!(all, [First, Second, Second, First, First, Second, Second, First]);
    }

    #[test]
    fn turns_end_also_where_nobody_leads_or_the_second_fails() {
        assert_eq!(play(1 << 20, |pair| Some([0.8, 1.15][pair as usize % 2])).0, MOST_TURNS);
        assert!(!play(1 << 20, |pair| Some([0.8, 1.2][pair as usize % 2])).1);
        assert_eq!(play(1 << 20, |_| None), (MOST_TURNS, false));
        assert_eq!(play(4 << 10, |_| None), (MOST_TURNS, false));
    }

    #[test]
    fn who_is_far_behind_or_does_not_take_part_gets_no_turn() {
        for predicted_s in [[Some(1.0), Some(1.5)], [Some(1.0), None], [None, Some(1.0)], [None, None]] {
            assert!(Turns::new(predicted_s).next().is_none());
        }
    }
}
