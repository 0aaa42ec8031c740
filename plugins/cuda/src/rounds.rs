//! The rounds of one call, over the lanes of an instance: while the device works on one, the next is staged
//! and uploaded on the other lane, and results are read.
//!
//! Results come in the order of the pieces. What goes wrong ahead of its turn is tried again in its turn,
//! alone, so that it costs no results that are there already. When a call ends, in whatever way, nothing of
//! it is under way any more.

use crate::{
    engine::{Done, Engine, LANES, Pending, Way},
    plan::{Piece, Plan},
};
use clipsmaster_plugin_api::Result;
use std::{collections::VecDeque, ops::Range};

/// Most content of a round, in bytes, give or take a piece.
pub(crate) const MOST_BYTES: usize = 32 << 20;
/// Least content of a round that is made only to overlap: to start one, and to wait for it, takes time too.
const FEWEST_BYTES: usize = 16 << 20;
/// Pieces of the smallest round that is worth a device.
pub(crate) const FEWEST_PIECES: usize = 64;
/// Rounds that calls are divided into where they are large enough: the first upload and the last download
/// overlap with nothing, and these get smaller.
const WANTED: usize = 4;

/// How a call uses the lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Course {
    /// All memory for one round at a time: there is no other, or two do not fit.
    Single,
    /// Half of the memory for each of two rounds.
    Paired,
    /// `Paired` until what was started ahead failed.
    Alone,
}

/// Pieces that go to the device round by round.
pub(crate) struct Rounds<'e, 'p> {
    engine: &'e mut Engine,
    way: Way,
    pieces: &'p [Piece<'p>],
    /// Content of a round, in bytes.
    content_bytes: usize,
    /// None before the first round.
    course: Option<Course>,
    /// First piece that has not gone to the device.
    next: usize,
    /// Rounds under way, each on a lane of its own, with their pieces; the oldest first.
    pending: VecDeque<(Range<usize>, Pending)>,
    /// The round whose results are there.
    done: Option<(Range<usize>, Done)>,
}

impl<'e, 'p> Rounds<'e, 'p> {
    pub(crate) fn new(engine: &'e mut Engine, way: Way, pieces: &'p [Piece<'p>]) -> Self {
        let bytes = pieces.iter().map(|piece| piece.content_bytes).sum();
        Self {
            engine,
            way,
            pieces,
            content_bytes: content_of_round(bytes, pieces.len()),
            course: None,
            next: 0,
            pending: VecDeque::new(),
            done: None,
        }
    }

    /// Waits for the round with the piece at `index`; what follows it goes to the device meanwhile. Indices
    /// ascend, and some may be left out.
    ///
    /// # Errors
    /// When the round as a whole fails: the device is lost, or not even one piece fits into its memory.
    /// Another call begins anew.
    pub(crate) fn reach(&mut self, index: usize) -> Result<()> {
        while !self.done.as_ref().is_some_and(|(pieces, _)| pieces.contains(&index)) {
            // From here on its lane is free.
            self.done = None;
            if let Err(e) = self.advance(index) {
                self.abandon();
                return Err(e);
            }
        }
        Ok(())
    }

    /// What became of a piece of the round that was reached.
    pub(crate) fn output(&self, index: usize) -> Result<&[u8]> {
        let (pieces, done) = self.done.as_ref().expect("its round was reached");
        self.engine.output(done, index - pieces.start)
    }

    /// Waits for the oldest round, with the next one under way by then. If none is, `index` begins one.
    fn advance(&mut self, index: usize) -> Result<()> {
        self.engine.enter()?;
        if self.pending.is_empty() {
            self.next = index;
            self.start()?;
        }
        self.start_ahead();
        if let Some((pieces, pending)) = self.pending.pop_front() {
            self.done = Some((pieces, self.engine.finish(&pending)?));
        }
        Ok(())
    }

    /// Starts a round when nothing is under way.
    fn start(&mut self) -> Result<()> {
        let course = match self.course {
            Some(course) => course,
            None => self.choose()?,
        };
        self.course = Some(course);
        if course == Course::Alone {
            self.engine.shrink();
        }
        self.launch(0, course)
    }

    /// Starts a round on the lane that is free, if there is more to do.
    fn start_ahead(&mut self) {
        if self.course != Some(Course::Paired) || self.next == self.pieces.len() {
            return;
        }
        let taken = |lane: &usize| self.pending.iter().any(|(_, pending)| pending.lane() == *lane);
        let Some(lane) = (0..LANES).find(|lane| !taken(lane)) else { return };
        if self.launch(lane, Course::Paired).is_err() {
            // Its turn will come, and then it fails or not.
            self.engine.give_up(lane);
            self.course = Some(Course::Alone);
        }
    }

    fn choose(&self) -> Result<Course> {
        let all = self.plan(Course::Single)?.len() == self.pieces.len() - self.next;
        let paired = !all && self.plan(Course::Paired).is_ok();
        Ok(if paired { Course::Paired } else { Course::Single })
    }

    fn plan(&self, course: Course) -> Result<Plan> {
        let memory_bytes = match course {
            Course::Single => self.engine.memory_bytes(),
            Course::Paired | Course::Alone => self.engine.share_bytes(),
        };
        self.engine.fit(self.way, &self.pieces[self.next..], self.content_bytes, memory_bytes)
    }

    fn launch(&mut self, lane: usize, course: Course) -> Result<()> {
        let plan = self.plan(course)?;
        let pieces = self.next..self.next + plan.len();
        let pending = self.engine.launch(lane, self.way, plan, &self.pieces[pieces.clone()])?;
        self.next = pieces.end;
        self.pending.push_back((pieces, pending));
        Ok(())
    }

    /// Leaves nothing under way.
    fn abandon(&mut self) {
        self.pending.clear();
        self.engine.abandon();
    }
}

impl Drop for Rounds<'_, '_> {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.abandon();
        }
    }
}

/// Content of each round, in bytes, of a call of so many bytes in so many pieces: in equal parts.
fn content_of_round(bytes: usize, pieces: usize) -> usize {
    let worth_it = (bytes / FEWEST_BYTES).min(pieces / FEWEST_PIECES).min(WANTED);
    bytes.div_ceil(worth_it.max(bytes.div_ceil(MOST_BYTES)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_divided_where_that_is_worth_it() {
        const MIB: usize = 1 << 20;
        let rounds = |mib: usize, pieces| {
            let bytes = mib * MIB;
            if bytes == 0 { 0 } else { bytes.div_ceil(content_of_round(bytes, pieces)) }
        };
        assert_eq!(rounds(0, 0), 0);
        assert_eq!(rounds(1, 16), 1);
        assert_eq!(rounds(31, 31 * 16), 1);
        assert_eq!(rounds(32, 32 * 16), 2);
        assert_eq!(rounds(32, FEWEST_PIECES), 1);
        assert_eq!(rounds(64, 64 * 16), 4);
        assert_eq!(rounds(128, 128 * 16), 4);
        assert_eq!(rounds(1024, 1024 * 16), 32);
    }
}
