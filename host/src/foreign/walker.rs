//! What all formats share: elements are walked one by one, and what lies between the first and the last of a
//! unit becomes one cut, or pieces where it is too long.

use super::{Cut, Splitter, Step, Trailing};
use clipsmaster_plugin_api::{Error, ErrorKind};

/// What a format says about the bytes behind the element before.
#[derive(Debug)]
pub(super) enum Element {
    /// It takes this many bytes to tell. At the end of the input this means that it came too early.
    Need(usize),
    /// A unit begins with the next `len` bytes; `before` must be decoded before them.
    Begin { len: u64, raw_bytes: u64, before: Vec<u8> },
    /// The next `len` bytes belong to the unit, and decode to about `raw_bytes` that were not counted yet.
    Inside { len: u64, raw_bytes: u64 },
    /// The unit ends after the next `len` bytes; `after` must be decoded after them.
    End { len: u64, after: Vec<u8> },
    /// Nothing can be told from here on. Within a unit, everything belongs to it.
    Rest,
    /// Between units: bytes to pass over.
    Skip(u64),
    /// Between units: the rest is something else.
    Trailing(Trailing),
    /// Between units: damage.
    Damaged(Error),
    /// Between units: the input ended as it should.
    Finished,
}

/// A format whose elements tell their lengths.
pub(super) trait Format: Send {
    /// Whether its cuts are guesses ([`Splitter::guesses`]).
    const GUESSES: bool = false;

    /// Looks at the bytes behind the element before, and takes the answer for done. `Need` changes nothing.
    fn element(&mut self, view: &[u8], at_end: bool) -> Element;
}

/// A unit that was begun.
#[derive(Default)]
struct Open {
    raw_bytes: u64,
    before: Vec<u8>,
    /// Whether it goes out in pieces.
    is_long: bool,
    /// Known once its last element was seen.
    after: Option<Vec<u8>>,
}

/// A splitter by walking.
pub(super) struct Walker<F> {
    format: F,
    cap_bytes: u64,
    /// Bytes that were walked and not yet handed out. They may end beyond the view.
    walked: u64,
    open: Option<Open>,
    /// Whether anything of the format was seen.
    began: bool,
}

impl<F: Format> Walker<F> {
    pub(super) fn new(format: F, cap_bytes: usize) -> Self {
        Self { format, cap_bytes: cap_bytes as u64, walked: 0, open: None, began: false }
    }

    fn walk(&mut self, len: u64, raw_bytes: u64) {
        self.walked = self.walked.saturating_add(len);
        let cap_bytes = self.cap_bytes;
        if let Some(open) = &mut self.open {
            open.raw_bytes = open.raw_bytes.saturating_add(raw_bytes);
            open.is_long |= open.raw_bytes > cap_bytes || self.walked > cap_bytes;
        }
    }

    /// What can be said without another element, if anything.
    fn settled(&mut self, view: &[u8]) -> Option<Step> {
        let in_view = usize::try_from(self.walked).ok().filter(|walked| *walked <= view.len());
        let open = self.open.as_mut()?;
        match in_view {
            Some(len) => {
                let after = open.after.take()?;
                Some(self.close(len, after))
            }
            None if open.is_long && view.is_empty() => Some(Step::Need(1)),
            None if open.is_long => Some(self.piece(view.len())),
            // Within the cap, or it would be long.
            None => Some(Step::Need(usize::try_from(self.walked).unwrap_or(usize::MAX))),
        }
    }

    fn close(&mut self, len: usize, after: Vec<u8>) -> Step {
        self.walked = 0;
        let open = self.open.take().unwrap_or_default();
        if open.is_long {
            return Step::Piece { cut: Cut { len, raw_bytes: 0, before: open.before, after }, is_last: true };
        }
        Step::Unit(Cut { len, raw_bytes: open.raw_bytes, before: open.before, after })
    }

    /// The next `len` bytes of a long unit, all of them walked.
    fn piece(&mut self, len: usize) -> Step {
        self.walked = self.walked.saturating_sub(len as u64);
        let before = self.open.as_mut().map(|o| std::mem::take(&mut o.before)).unwrap_or_default();
        Step::Piece { cut: Cut { len, before, ..Cut::default() }, is_last: false }
    }

    fn need(&mut self, len: usize, view: &[u8], at_end: bool) -> Step {
        // In view: `settled` has seen to it.
        let walked = usize::try_from(self.walked).unwrap_or(usize::MAX);
        let is_long = self.open.as_ref().is_some_and(|o| o.is_long);
        if is_long && walked > 0 {
            return self.piece(walked.min(view.len()));
        }
        if !at_end {
            return Step::Need(walked.saturating_add(len));
        }
        if self.open.is_some() || !self.began {
            return self.rest();
        }
        Step::Damaged(Error::new(ErrorKind::Truncated, "the input ends within a header"))
    }

    fn rest(&mut self) -> Step {
        Step::Stream { before: self.open.take().map(|o| o.before).unwrap_or_default() }
    }
}

impl<F: Format> Splitter for Walker<F> {
    fn step(&mut self, view: &[u8], at_end: bool) -> Step {
        loop {
            match self.settled(view) {
                // A unit that is cut short: the decoder says so.
                Some(Step::Need(_)) if at_end => return self.rest(),
                Some(step) => return step,
                None => {}
            }
            let walked = usize::try_from(self.walked).unwrap_or(usize::MAX);
            let element = self.format.element(view.get(walked..).unwrap_or_default(), at_end);
            match element {
                Element::Need(len) => return self.need(len, view, at_end),
                Element::Begin { len, raw_bytes, before } => {
                    self.open = Some(Open { before, ..Open::default() });
                    self.walk(len, raw_bytes);
                }
                Element::Inside { len, raw_bytes } => self.walk(len, raw_bytes),
                Element::End { len, after } => {
                    self.walk(len, 0);
                    if let Some(open) = &mut self.open {
                        open.after = Some(after);
                    }
                }
                Element::Rest => return self.rest(),
                Element::Finished if !self.began => return self.rest(),
                Element::Finished => return Step::End,
                Element::Trailing(trailing) => return Step::Trailing(trailing),
                Element::Damaged(e) => return Step::Damaged(e),
                Element::Skip(len) => {
                    self.began = true;
                    return Step::Skip(len);
                }
            }
            self.began = true;
        }
    }

    fn guesses(&self) -> bool {
        F::GUESSES
    }
}
