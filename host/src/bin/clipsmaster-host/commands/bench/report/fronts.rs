//! Ratio against speed, and the front of those that nobody beats.

use super::{
    super::threads,
    figure::{Figure, HEIGHT, WIDTH},
    labels::{Anchor, Area, Placed, Room, spread, width},
    names::Names,
    pareto::front,
    part::{Direction, Part, distinct},
    scale::{Scale, drawable},
    text,
};
use clipsmaster_host::{MEMCPY, Row, size};

type Place = (f64, f64);

/// One figure under way: the rows that can be drawn, where they lie, and who is on the front.
struct Fronts<'a> {
    names: &'a Names<'a>,
    direction: Direction,
    rows: Vec<&'a Row>,
    places: Vec<Place>,
    front: Vec<usize>,
}

/// Figures for both directions, with pieces of one size by so many threads.
pub(super) fn figures(part: &Part<'_>, names: &Names<'_>, piece_bytes: u64, threads: u32) -> String {
    let figures = Direction::BOTH.map(|direction| figure(part, names, direction, piece_bytes, threads));
    format!("<div class=\"figures\">{}</div>\n", figures.concat())
}

fn figure(part: &Part<'_>, names: &Names<'_>, direction: Direction, piece_bytes: u64, count: u32) -> String {
    let here = |row: &&&Row| row.piece_bytes == piece_bytes && row.threads == count;
    let all: Vec<&Row> = part.codecs.iter().filter(here).copied().collect();
    let shown = |row: &&Row| drawable(direction.of(row).mb_s) && drawable(row.ratio);
    let rows: Vec<&Row> = all.iter().copied().filter(shown).collect();
    let memcpy =
        part.memcpy.iter().find(here).map(|row| direction.of(row).mb_s).filter(|mb_s| drawable(*mb_s));
    let mut conditions = format!("pieces of {}, {}", size::binary(piece_bytes), threads(count));
    if rows.len() < all.len() {
        conditions += &format!("; {} not drawn, without a speed or ratio", all.len() - rows.len());
    }
    let said =
        format!("{} of {}: ratio against speed; the numbers are in the table", direction.name(), part.name);
    draw(names, direction, rows, memcpy).element(direction.name(), &conditions, &said)
}

fn draw(names: &Names<'_>, direction: Direction, rows: Vec<&Row>, memcpy: Option<f64>) -> Figure {
    let mut figure = Figure::new(HEIGHT, 8.0);
    let values: Vec<(f64, f64)> = rows.iter().map(|row| (direction.of(row).mb_s, row.ratio)).collect();
    let speeds: Vec<f64> = values.iter().map(|v| v.0).chain(memcpy).collect();
    let ratios: Vec<f64> = values.iter().map(|v| v.1).collect();
    let (x, y) = (Scale::log(&speeds, figure.across()), Scale::ratio(&ratios, figure.upward()));
    figure.vertical(&y, "ratio");
    let ticks: Vec<(f64, String)> = x.ticks().into_iter().map(|(value, text)| (x.at(value), text)).collect();
    figure.horizontal(&ticks, "MB/s");
    let places = values.iter().map(|(speed, ratio)| (x.at(*speed), y.at(*ratio))).collect();
    let fronts = Fronts { names, direction, rows, places, front: front(&values) };
    fronts.lines(&mut figure);
    let limit = memcpy.map(|mb_s| limit(&mut figure, x.at(mb_s), mb_s));
    fronts.marks(&mut figure);
    fronts.labels(&mut figure, limit);
    figure
}

/// The speed of memcpy, as a line; returns what it takes up.
fn limit(figure: &mut Figure, x: f64, mb_s: f64) -> Area {
    let (top, bottom) = (figure.plot.top, figure.plot.bottom);
    figure.line("limit", &[(x, top - 6.0), (x, bottom)]);
    let text = format!("{MEMCPY} {}", text::number(mb_s));
    let end =
        (x + width(&text) / 2.0).min(figure.plot.right + 6.0).max(figure.plot.left + width(&text) + 10.0);
    figure.text((end, top - 11.0), Anchor::End, "tick", &text);
    Area { left: x - 1.0, top, right: x + 1.0, bottom }
}

impl Fronts<'_> {
    /// Corners of the steps: nobody is above or to the right of them.
    fn steps(&self, plot: &Area) -> Vec<Place> {
        let mut corners = Vec::new();
        let mut x = plot.left;
        for &i in &self.front {
            let place = self.places[i];
            corners.extend([(x, place.1), place]);
            x = place.0;
        }
        corners.push((x, plot.bottom));
        corners
    }

    /// The front, what lies below it, and thin lines through the levels of an implementation.
    fn lines(&self, figure: &mut Figure) {
        let steps = self.steps(&figure.plot);
        let corner = (figure.plot.left, figure.plot.bottom);
        let below: Vec<Place> = std::iter::once(corner).chain(steps.iter().copied()).collect();
        if self.front.is_empty() {
            return;
        }
        figure.line("below", &below);
        figure.line("front", &steps);
        for name in distinct(self.rows.iter().map(|row| row.implementation.as_str())) {
            let mut levels: Vec<usize> = self.of(name);
            levels.sort_by_key(|&i| self.rows[i].level);
            let line: Vec<Place> = levels.iter().map(|&i| self.places[i]).collect();
            let colour = self.names.colour(&self.rows[levels[0]].algorithm);
            if line.len() > 1 {
                figure.line(&format!("levels {colour}"), &line);
            }
        }
    }

    fn of(&self, implementation: &str) -> Vec<usize> {
        (0..self.rows.len()).filter(|&i| self.rows[i].implementation == implementation).collect()
    }

    /// The marks, those of the front over the others.
    fn marks(&self, figure: &mut Figure) {
        let behind = (0..self.rows.len()).filter(|i| !self.front.contains(i)).map(|i| (i, 0.72));
        for (i, mark_size) in behind.chain(self.front.iter().map(|&i| (i, 1.0))) {
            let (row, speed) = (self.rows[i], self.direction.of(self.rows[i]));
            let title = format!(
                "{} level {}: {} MB/s {}, ratio {}",
                row.implementation,
                row.level,
                text::number(speed.mb_s),
                text::deviation(speed.deviation),
                text::ratio(row.ratio)
            );
            figure.push(&self.names.mark(row, self.places[i], mark_size, &title));
        }
    }

    /// Labels of the front, then one for each implementation that got none, where there is room.
    fn labels(&self, figure: &mut Figure, limit: Option<Area>) {
        let steps = self.steps(&figure.plot);
        let marks = self.places.iter().map(|place| Area::around(*place, 4.5));
        let lines = steps.windows(2).map(|ends| Area::between(ends[0], ends[1])).chain(limit).collect();
        let bounds = Area { right: WIDTH, ..figure.plot };
        let mut room = Room::new(bounds, marks.collect(), lines);
        let mut named = Vec::new();
        for i in spread(self.front.len()).into_iter().map(|nth| self.front[nth]) {
            if let Some(placed) = room.anywhere(&self.label(i), self.places[i]) {
                figure.label(&placed, &self.names.colour(&self.rows[i].algorithm));
                named.push(self.rows[i].implementation.as_str());
            }
        }
        let all = distinct(self.rows.iter().map(|row| row.implementation.as_str()));
        for name in all.into_iter().filter(|name| !named.contains(name)) {
            if let Some((i, placed)) = self.one_of(name, &mut room) {
                figure.label(&placed, &self.names.colour(&self.rows[i].algorithm));
            }
        }
    }

    /// A label for any level of an implementation, preferably beside its mark.
    fn one_of(&self, implementation: &str, room: &mut Room) -> Option<(usize, Placed)> {
        let levels = self.of(implementation);
        let beside = levels.iter().find_map(|&i| Some((i, room.near(&self.label(i), self.places[i])?)));
        beside.or_else(|| {
            levels.iter().find_map(|&i| Some((i, room.anywhere(&self.label(i), self.places[i])?)))
        })
    }

    fn label(&self, i: usize) -> String {
        self.names.label(self.rows[i])
    }
}
