//! Small tables beside the figures: more threads against fewer, and one hardware against another.

use super::{
    super::threads,
    names::Names,
    part::{Direction, Part},
    scale::drawable,
    text::{self, escape, number},
};
use clipsmaster_host::{Row, size};

/// More columns of bars do not fit on paper.
const MOST_BARS: usize = 2;
/// Width of a bar that fills its track.
const TRACK: f64 = 72.0;

/// What more threads do against the fewest that were measured, with the largest pieces.
pub(super) fn scaling(part: &Part<'_>, names: &Names<'_>) -> String {
    let (counts, sizes) = (part.thread_counts(), part.piece_sizes());
    let ([fewest, more @ ..], Some(piece_bytes)) = (&counts[..], sizes.last()) else {
        return String::new();
    };
    let base = threads(*fewest);
    let each = |direction: Direction| {
        let more = more.iter().map(|count| format!("<th class=\"with-bar\">{}</th>", threads(*count)));
        format!("<th>{}, {base}</th>{}", direction.name(), more.collect::<String>())
    };
    let head = Direction::BOTH.map(each).concat();
    let rows: String = part
        .middle()
        .into_iter()
        .chain(part.memcpy.first().copied())
        .map(|row| {
            let name = escape(&names.label(row));
            let cells =
                Direction::BOTH.map(|direction| scaled(part, row, direction, (*piece_bytes, &counts)));
            format!("<tr><th scope=\"row\">{name}</th>{}</tr>", cells.concat())
        })
        .collect();
    let bars = if more.len() > MOST_BARS { "" } else { "; a full bar stands for as many times as threads" };
    let note = format!("Pieces of {}; MB/s, and how many times that{bars}.", size::binary(*piece_bytes));
    format!(
        "<h3>Threads</h3><p class=\"muted\">{note}</p><div class=\"wide\"><table>\
         <thead><tr><th>Implementation</th>{head}</tr></thead>\
         <tbody>{rows}</tbody></table></div>\n"
    )
}

/// Cells of one implementation in one direction: MB/s by the fewest threads, then times that.
fn scaled(part: &Part<'_>, row: &Row, direction: Direction, (piece_bytes, counts): (u64, &[u32])) -> String {
    let mb_s = |count: u32| part.like(row, piece_bytes, count).map(|row| direction.of(row).mb_s);
    let fewest = counts.first().copied().unwrap_or(1);
    let base = mb_s(fewest).filter(|speed| drawable(*speed));
    let mut cells = format!("<td>{}</td>", base.map_or_else(|| "–".into(), number));
    for count in &counts[1..] {
        let times = base.zip(mb_s(*count)).map(|(base, speed)| speed / base).filter(|times| drawable(*times));
        let text = times.map_or_else(|| "–".into(), |times| format!("×{}", text::ratio(times)));
        let part_of_ideal = times.unwrap_or(0.0) * f64::from(fewest) / f64::from((*count).max(1));
        let bar = if counts.len() - 1 > MOST_BARS { String::new() } else { bar(part_of_ideal) };
        cells += &format!("<td class=\"with-bar\">{text}{bar}</td>");
    }
    cells
}

fn bar(part: f64) -> String {
    let filled = TRACK * part.clamp(0.0, 1.0);
    format!(
        " <svg class=\"bar\" viewBox=\"0 0 {TRACK} 9\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" width=\"{TRACK}\" height=\"9\"/>\
         <rect class=\"filled\" width=\"{filled:.1}\" height=\"9\"/></svg>"
    )
}

/// The best speed of each hardware for each algorithm, whatever the level, the size of a piece and the threads.
pub(super) fn hardware(part: &Part<'_>) -> String {
    let hardware = part.hardware();
    let each = |direction: Direction| {
        let columns = hardware.iter().map(|name| format!("<th>{}, {}</th>", direction.name(), escape(name)));
        columns.collect::<String>()
    };
    let head = Direction::BOTH.map(each).concat();
    let rows: String = part
        .algorithms()
        .into_iter()
        .map(|algorithm| {
            let cells = Direction::BOTH.map(|direction| {
                hardware.iter().map(|name| best(part, algorithm, name, direction)).collect::<String>()
            });
            format!("<tr><th scope=\"row\">{}</th>{}</tr>", escape(algorithm), cells.concat())
        })
        .collect();
    format!(
        "<h3>Hardware</h3><p class=\"muted\">\
         Best MB/s of each algorithm, at any level, size of the piece and number of threads.</p>\
         <div class=\"wide\"><table><thead><tr><th>Algorithm</th>{head}</tr></thead>\
         <tbody>{rows}</tbody></table></div>\n"
    )
}

fn best(part: &Part<'_>, algorithm: &str, hardware: &str, direction: Direction) -> String {
    let rows = part.codecs.iter().filter(|row| row.algorithm == algorithm && row.hardware == hardware);
    let measured = rows.filter(|row| drawable(direction.of(row).mb_s));
    let best = measured.max_by(|a, b| direction.of(a).mb_s.total_cmp(&direction.of(b).mb_s));
    best.map_or_else(
        || "<td>–</td>".into(),
        |row| {
            let library = escape(row.implementation.rsplit('/').next().unwrap_or_default());
            let (mb_s, ratio) = (number(direction.of(row).mb_s), text::ratio(row.ratio));
            let (level, size, threads) = (row.level, size::binary(row.piece_bytes), threads(row.threads));
            format!("<td>{mb_s}<br><small>{library} {level}, ratio {ratio}<br>{size}, {threads}</small></td>")
        },
    )
}
