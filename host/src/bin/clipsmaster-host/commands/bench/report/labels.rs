//! Where labels of marks go without touching each other, the marks, or a line.

/// Height of a line of text, and an upper bound for the width of one character, in the units of the drawing.
pub(super) const LINE: f64 = 12.5;
const CHARACTER: f64 = 6.3;

/// Places near a mark, best first: the step to the baseline's start, and how the text is anchored.
const NEAR: [(f64, f64, Anchor); 8] = [
    (6.0, -5.0, Anchor::Start),
    (8.5, 4.0, Anchor::Start),
    (0.0, -8.5, Anchor::Middle),
    (-6.0, -5.0, Anchor::End),
    (6.0, 13.0, Anchor::Start),
    (-8.5, 4.0, Anchor::End),
    (0.0, 16.5, Anchor::Middle),
    (-6.0, 13.0, Anchor::End),
];
/// Directions and distances of places that need a line to the mark.
const FAR: [(f64, f64); 7] =
    [(0.7, -0.7), (0.95, -0.3), (0.3, -0.95), (1.0, 0.2), (-0.3, -0.95), (-0.7, -0.7), (0.7, 0.7)];
const DISTANCES: [f64; 4] = [20.0, 32.0, 46.0, 62.0];

/// Which point of a text is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A part of the drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    pub(super) fn around((x, y): (f64, f64), radius: f64) -> Self {
        Self { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }

    pub(super) fn between(a: (f64, f64), b: (f64, f64)) -> Self {
        Self { left: a.0.min(b.0), top: a.1.min(b.1), right: a.0.max(b.0), bottom: a.1.max(b.1) }
    }

    fn of_text(text: &str, (x, y): (f64, f64), anchor: Anchor) -> Self {
        let width = width(text);
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        Self { left, top: y - LINE * 0.8, right: left + width, bottom: y + LINE * 0.2 }
    }

    fn touches(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn within(&self, other: &Self) -> bool {
        self.left >= other.left
            && self.right <= other.right
            && self.top >= other.top
            && self.bottom <= other.bottom
    }
}

/// A bound for the width of a text.
pub(super) fn width(text: &str) -> f64 {
    text.chars().map(|c| if c.is_ascii() { CHARACTER } else { 2.0 * CHARACTER }).sum()
}

/// A text that has its place.
pub(super) struct Placed {
    pub(super) text: String,
    pub(super) at: (f64, f64),
    pub(super) anchor: Anchor,
    /// Both ends of the line to the mark, where the text is not beside it.
    pub(super) leader: Option<[(f64, f64); 2]>,
}

/// The room for labels.
pub(super) struct Room {
    bounds: Area,
    taken: Vec<Area>,
    lines: Vec<Area>,
}

impl Room {
    /// Nothing may touch what is `taken`; `lines` may be written over where nothing else is free.
    pub(super) fn new(bounds: Area, taken: Vec<Area>, lines: Vec<Area>) -> Self {
        Self { bounds, taken, lines }
    }

    /// Gives the label of the mark at `at` a place beside it, if there is one.
    pub(super) fn near(&mut self, text: &str, at: (f64, f64)) -> Option<Placed> {
        self.beside(text, at, true)
    }

    /// The same, or farther away with a line to the mark, or over a line.
    pub(super) fn anywhere(&mut self, text: &str, at: (f64, f64)) -> Option<Placed> {
        self.near(text, at)
            .or_else(|| DISTANCES.iter().find_map(|distance| self.far(text, at, *distance)))
            .or_else(|| self.beside(text, at, false))
    }

    fn beside(&mut self, text: &str, at: (f64, f64), heed_lines: bool) -> Option<Placed> {
        NEAR.iter().find_map(|(dx, dy, anchor)| {
            let at = (at.0 + dx, at.1 + dy);
            let area = Area::of_text(text, at, *anchor);
            let free = area.within(&self.bounds) && self.free(&area, heed_lines);
            free.then(|| {
                self.taken.push(area);
                Placed { text: text.into(), at, anchor: *anchor, leader: None }
            })
        })
    }

    fn far(&mut self, text: &str, mark: (f64, f64), distance: f64) -> Option<Placed> {
        FAR.iter().find_map(|(dx, dy)| {
            let leader = [6.0, distance].map(|away| (mark.0 + away * dx, mark.1 + away * dy));
            let (anchor, aside) = if *dx < 0.0 { (Anchor::End, -2.0) } else { (Anchor::Start, 2.0) };
            let at = (leader[1].0 + aside, leader[1].1 + 3.5);
            let area = Area::of_text(text, at, anchor);
            let line = along(leader[0], leader[1]);
            let free = area.within(&self.bounds)
                && std::iter::once(&area).chain(&line).all(|area| self.free(area, true));
            free.then(|| {
                self.taken.push(area);
                self.taken.extend(line);
                Placed { text: text.into(), at, anchor, leader: Some(leader) }
            })
        })
    }

    fn free(&self, area: &Area, heed_lines: bool) -> bool {
        let lines = if heed_lines { &self.lines[..] } else { &[] };
        !self.taken.iter().chain(lines).any(|taken| taken.touches(area))
    }
}

/// Small areas that cover a line.
fn along(a: (f64, f64), b: (f64, f64)) -> Vec<Area> {
    let dots = (((b.0 - a.0).powi(2) + (b.1 - a.1).powi(2)).sqrt() / 3.0).ceil().max(1.0);
    let at = |i: f64| (a.0 + (b.0 - a.0) * i / dots, a.1 + (b.1 - a.1) * i / dots);
    (0..=dots as usize).map(|i| Area::around(at(i as f64), 0.8)).collect()
}

/// The order in which labels of a row of marks are placed: ends, then middles, so that a crowd loses them evenly.
pub(super) fn spread(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = [0, count.saturating_sub(1)].into_iter().take(count.min(2)).collect();
    let mut gaps = std::collections::VecDeque::from([(0, count.saturating_sub(1))]);
    while let Some((low, high)) = gaps.pop_front() {
        if high - low > 1 {
            let middle = low.midpoint(high);
            order.push(middle);
            gaps.extend([(low, middle), (middle, high)]);
        }
    }
    order
}

/// Moves places on a vertical line apart, to `gap` between neighbours; who would touch gathers around the middle.
pub(super) fn apart(places: &[f64], gap: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
    let mut groups: Vec<Group> = Vec::new();
    for &i in &order {
        let mut group = Group { first: places[i], count: 1 }.between(gap, (top, bottom));
        while let Some(above) = groups.pop_if(|above| above.first + above.count as f64 * gap > group.first) {
            group = above.with(&group, gap).between(gap, (top, bottom));
        }
        groups.push(group);
    }
    let all = groups.iter().flat_map(|group| (0..group.count).map(|nth| group.first + nth as f64 * gap));
    let mut moved = places.to_vec();
    order.into_iter().zip(all).for_each(|(i, place)| moved[i] = place);
    moved
}

/// Places one gap apart.
struct Group {
    first: f64,
    count: usize,
}

impl Group {
    /// Both in a row, where their members want to be on average.
    fn with(&self, below: &Self, gap: f64) -> Self {
        let (own, other) = (self.count as f64, below.count as f64);
        let first = (own * self.first + other * (below.first - own * gap)) / (own + other);
        Self { first, count: self.count + below.count }
    }

    fn between(self, gap: f64, (top, bottom): (f64, f64)) -> Self {
        let lowest = bottom - (self.count - 1) as f64 * gap;
        Self { first: self.first.min(lowest).max(top), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_crowd_do_not_touch() {
        let bounds = Area { left: 0.0, top: 0.0, right: 400.0, bottom: 300.0 };
        let marks: Vec<_> =
            (0..60).map(|i| (100.0 + f64::from(i) * 4.0, 100.0 + f64::from(i) * 2.0)).collect();
        let mut room = Room::new(bounds, marks.iter().map(|m| Area::around(*m, 5.0)).collect(), Vec::new());
        let placed: Vec<Area> = spread(60)
            .into_iter()
            .filter_map(|i| room.anywhere("zstd 19", marks[i]))
            .map(|p| Area::of_text(&p.text, p.at, p.anchor))
            .collect();
        assert!(placed.len() > 8, "{}", placed.len());
        for (i, a) in placed.iter().enumerate() {
            assert!(a.within(&bounds) && !placed[..i].iter().any(|b| b.touches(a)));
        }
    }

    #[test]
    fn all_have_a_turn_once() {
        for count in 0..9 {
            let mut order = spread(count);
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn neighbours_move_apart_within_the_ends() {
        assert_eq!(apart(&[50.0, 10.0, 52.0, 51.0], 10.0, (0.0, 60.0)), [40.0, 10.0, 60.0, 50.0]);
    }
}
