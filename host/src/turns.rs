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
/// Most turns of each.
const MOST_PAIRS: usize = 17;
/// It is settled when one was the faster in so many more pairs than the other: chunks of a file differ, so that each pair may be wrong.
const LEAD: i32 = 4;
/// How much less time the second must take to be the faster.
const MARGIN: f64 = 0.03;
/// Frames that differ in density by this factor are not compared: how long a byte takes depends on it more than on the decoder.
const ALIKE: f64 = 1.25;

/// The turns of the first two of several decoders.
#[derive(Debug)]
pub(crate) struct Turns {
    are_over: AtomicBool,
    second_won: AtomicBool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    begun: usize,
    ended: usize,
    /// Of turns that came to something.
    pace: [[Option<Pace>; 2]; MOST_PAIRS],
    /// In how many more pairs the second was the faster.
    lead: i32,
}

/// How fast a turn was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Seconds for each byte that came out.
    byte_s: f64,
    /// Bytes that went in for each.
    density: f64,
}

impl Pace {
    /// Of a turn of so many seconds; `None` where nothing came of it.
    pub(crate) fn new(seconds: f64, bytes_in: usize, bytes_out: usize) -> Option<Self> {
        let (byte_s, density) = (seconds / bytes_out as f64, bytes_in as f64 / bytes_out as f64);
        (byte_s.is_normal() && density.is_normal()).then_some(Self { byte_s, density })
    }

    fn is_alike(&self, other: &Self) -> bool {
        self.density.max(other.density) < ALIKE * self.density.min(other.density)
    }
}

/// One turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(usize);

impl Turn {
    /// Whether it is that of the second: each begins every other pair.
    pub(crate) fn is_seconds(self) -> bool {
        (self.0 + self.0 / 2) % 2 == 1
    }
}

impl Turns {
    /// All turns of both.
    pub(crate) const MOST: usize = 2 * MOST_PAIRS;

    /// Between the first two, which are predicted to take so many seconds, where they take part.
    pub(crate) fn new(predicted_s: [Option<f64>; 2]) -> Self {
        let are_close = matches!(predicted_s, [Some(first), Some(second)] if second <= CLOSE * first);
        Self {
            are_over: AtomicBool::new(!are_close),
            second_won: AtomicBool::new(false),
            taken: Mutex::default(),
        }
    }

    /// The next turn, while there are any.
    pub(crate) fn next(&self) -> Option<Turn> {
        if self.are_over.load(Ordering::Relaxed) {
            return None;
        }
        let mut taken = lock(&self.taken);
        let turn = Turn(taken.begun);
        taken.begun += 1;
        (turn.0 < Self::MOST).then_some(turn)
    }

    /// Whether the second goes first from now on.
    pub(crate) fn second_won(&self) -> bool {
        self.second_won.load(Ordering::Relaxed)
    }

    /// Ends a turn.
    pub(crate) fn end(&self, turn: Turn, pace: Option<Pace>) {
        let mut taken = lock(&self.taken);
        let pair = turn.0 / 2;
        taken.pace[pair][usize::from(turn.is_seconds())] = pace;
        taken.ended += 1;
        // The first pair warms up.
        if let ([Some(first), Some(second)], 1..) = (taken.pace[pair], pair)
            && first.is_alike(&second)
        {
            taken.lead += if second.byte_s < first.byte_s * (1.0 - MARGIN) { 1 } else { -1 };
        }
        if taken.lead.abs() >= LEAD || taken.ended == Self::MOST {
            self.second_won.store(taken.lead > 0, Ordering::Relaxed);
            self.are_over.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many turns it took, and whether the second won; `second` is its time by that of the first in each pair.
    fn play(turns: &Turns, second: impl Fn(usize) -> Option<f64>) -> (usize, bool) {
        play_on(turns, |_| 50, second)
    }

    /// The same, on frames of so many bytes, by the number of the turn; a byte takes as much longer as there are more of them.
    fn play_on(
        turns: &Turns,
        frame: impl Fn(usize) -> usize,
        second: impl Fn(usize) -> Option<f64>,
    ) -> (usize, bool) {
        let mut number = 0;
        while let Some(turn) = turns.next() {
            let seconds = frame(number) as f64 * (1 + number / 2 % 5) as f64;
            let factor = if turn.is_seconds() { second(number / 2) } else { Some(1.0) };
            turns.end(turn, factor.and_then(|f| Pace::new(seconds * f, frame(number), 100)));
            number += 1;
        }
        (number, turns.second_won())
    }

    fn close() -> Turns {
        Turns::new([Some(1.0), Some(1.1)])
    }

    #[test]
    fn the_faster_wins_soon_even_if_a_turn_now_and_then_is_disturbed() {
        assert_eq!(play(&close(), |_| Some(0.8)), (2 + 8, true));
        assert_eq!(play(&close(), |_| Some(1.2)), (2 + 8, false));
        assert_eq!(play(&close(), |_| Some(1.0)), (2 + 8, false));
        let (number, second_won) = play(&close(), |pair| Some(if pair % 4 == 1 { 9.0 } else { 0.8 }));
        assert!(second_won && number < Turns::MOST);
    }

    #[test]
    fn frames_that_are_not_alike_are_not_compared() {
        // Every other pair is of two kinds of frames, of which the second always gets the one that takes a tenth of the time.
        let frame = |number: usize| match (number / 2 % 2, Turn(number).is_seconds()) {
            (0, true) => 9,
            _ => 90,
        };
        let (number, second_won) = play_on(&close(), frame, |_| Some(1.2));
        assert!(!second_won);
        assert!(number < Turns::MOST, "the others tell");
        assert!(play_on(&close(), frame, |_| Some(0.8)).1);
    }

    #[test]
    fn each_takes_as_many_turns_and_both_go_first() {
        let seconds: Vec<bool> = (0..8).map(|n| Turn(n).is_seconds()).collect();
        assert_eq!(seconds, [false, true, true, false, false, true, true, false]);
    }

    #[test]
    fn turns_end_also_where_nobody_leads_or_the_second_fails() {
        assert_eq!(play(&close(), |pair| Some([0.8, 1.2][pair % 2])), (Turns::MOST, false));
        assert_eq!(play(&close(), |_| None), (Turns::MOST, false));
    }

    #[test]
    fn who_is_far_behind_or_does_not_take_part_gets_no_turn() {
        for predicted_s in [[Some(1.0), Some(1.5)], [Some(1.0), None], [None, Some(1.0)], [None, None]] {
            assert!(Turns::new(predicted_s).next().is_none());
        }
    }
}
