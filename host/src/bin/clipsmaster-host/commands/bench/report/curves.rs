//! Speed against the size of a piece.

use super::{
    super::threads,
    figure::{Figure, HEIGHT, WIDTH},
    labels::{Anchor, LINE, Placed, apart, width},
    names::Names,
    part::{Direction, Part},
    scale::{Scale, drawable},
    text,
};
use clipsmaster_host::{Row, size};

/// Gap between labels, and between the plot and them.
const GAP: f64 = LINE + 1.0;
const ASIDE: f64 = 16.0;

/// A line: one implementation at one level.
struct Curve<'a> {
    row: &'a Row,
    label: String,
    /// Bytes of a piece, and the speed.
    points: Vec<(f64, f64)>,
}

/// Figures for both directions, by so many threads.
pub(super) fn figures(part: &Part<'_>, names: &Names<'_>, count: u32) -> String {
    let figures = Direction::BOTH.map(|direction| {
        let curves = curves(part, names, direction, count);
        let conditions = format!("by size of the piece, {}", threads(count));
        let said = format!("{} of {}: speed against the size of a piece", direction.name(), part.name);
        draw(part, names, &curves).element(direction.name(), &conditions, &said)
    });
    format!("<div class=\"figures\">{}</div>\n", figures.concat())
}

fn curves<'a>(part: &Part<'a>, names: &Names<'_>, direction: Direction, count: u32) -> Vec<Curve<'a>> {
    let sizes = part.piece_sizes();
    let rows = part.middle().into_iter().chain(part.memcpy.first().copied());
    let curve = |row: &'a Row| {
        let at = |&bytes: &u64| Some((bytes as f64, direction.of(part.like(row, bytes, count)?).mb_s));
        let points: Vec<(f64, f64)> = sizes.iter().filter_map(at).filter(|point| drawable(point.1)).collect();
        Curve { row, label: names.label(row), points }
    };
    rows.map(curve).filter(|curve| !curve.points.is_empty()).collect()
}

fn draw(part: &Part<'_>, names: &Names<'_>, curves: &[Curve<'_>]) -> Figure {
    let longest = curves.iter().map(|curve| width(&curve.label)).fold(0.0, f64::max);
    let least = curves.len() as f64 * GAP + 80.0;
    let mut figure = Figure::new(HEIGHT.max(least), (longest + ASIDE).min(WIDTH / 2.0));
    let sizes: Vec<f64> = part.piece_sizes().iter().map(|bytes| *bytes as f64).collect();
    let speeds: Vec<f64> = curves.iter().flat_map(|curve| &curve.points).map(|point| point.1).collect();
    let (left, right) = figure.across();
    let x = Scale::snug(&sizes, (left + 22.0, right - 8.0));
    let y = Scale::log(&speeds, figure.upward());
    figure.vertical(&y, "MB/s");
    figure.horizontal(&ticks(&x, part), "piece");
    for curve in curves {
        line(&mut figure, names, curve, (&x, &y));
    }
    labels(&mut figure, names, curves, (&x, &y));
    figure
}

/// The sizes that were measured; of many, every other one or fewer.
fn ticks(x: &Scale, part: &Part<'_>) -> Vec<(f64, String)> {
    let sizes = part.piece_sizes();
    let stride = sizes.len().div_ceil(5).max(1);
    sizes.iter().step_by(stride).map(|bytes| (x.at(*bytes as f64), size::binary(*bytes))).collect()
}

fn line(figure: &mut Figure, names: &Names<'_>, curve: &Curve<'_>, (x, y): (&Scale, &Scale)) {
    let places: Vec<(f64, f64)> = curve.points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect();
    if curve.row.is_limit() {
        return figure.line("limit", &places);
    }
    figure.line(&format!("curve {}", names.colour(&curve.row.algorithm)), &places);
    for (place, (bytes, mb_s)) in places.iter().zip(&curve.points) {
        let (implementation, level) = (&curve.row.implementation, curve.row.level);
        let (size, speed) = (size::binary(*bytes as u64), text::number(*mb_s));
        let title = format!("{implementation} level {level}, {size}: {speed} MB/s");
        figure.push(&names.mark(curve.row, *place, 0.85, &title));
    }
}

/// At the right, each at the height of its curve's end or near it.
fn labels(figure: &mut Figure, names: &Names<'_>, curves: &[Curve<'_>], (x, y): (&Scale, &Scale)) {
    let end = |curve: &Curve<'_>| curve.points.last().map(|end| (x.at(end.0), y.at(end.1)));
    let ends: Vec<(f64, f64)> = curves.iter().filter_map(end).collect();
    let heights: Vec<f64> = ends.iter().map(|end| end.1).collect();
    let places = apart(&heights, GAP, (figure.plot.top, figure.plot.bottom));
    let right = figure.plot.right;
    for ((curve, end), height) in curves.iter().zip(ends).zip(places) {
        let leader = [(end.0 + 6.0, end.1), (right + ASIDE - 8.0, height)];
        let at = (right + ASIDE - 6.0, height + 4.0);
        let placed = Placed { text: curve.label.clone(), at, anchor: Anchor::Start, leader: Some(leader) };
        figure.label(&placed, &names.colour(&curve.row.algorithm));
    }
}
