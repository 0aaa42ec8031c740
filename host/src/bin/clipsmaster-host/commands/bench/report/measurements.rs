//! All numbers, and what is missing among them.

use super::{
    super::threads,
    part::{Direction, Part},
    text::{deviation, escape, number, ratio},
};
use clipsmaster_host::{Row, size};

/// More rows than this are folded away on a screen, never on paper.
const FOLDED: usize = 60;

const HEAD: &str = "<thead><tr><th>Implementation</th><th>Version</th><th>Level</th><th>Ratio</th>\
    <th>Compression MB/s</th><th>±</th><th>Decompression MB/s</th><th>±</th>\
    <th>Memory, peak</th><th>declared</th></tr></thead>";

/// A table for each piece of data, in groups by size of the piece and threads.
pub(super) fn section(parts: &[Part<'_>]) -> String {
    let count: usize = parts.iter().map(|part| part.codecs.len() + part.memcpy.len()).sum();
    let open = if count <= FOLDED { " open" } else { "" };
    let tables: String = parts.iter().map(|part| table(part, open)).collect();
    format!(
        "<section><h2 id=\"measurements\">All measurements</h2>\
         <p class=\"muted\">± is the median absolute deviation over the median. Memory is what the process grew by \
         while one thread worked, and the working memory that the codec declares for a piece.</p>{tables}</section>\n"
    )
}

fn table(part: &Part<'_>, open: &str) -> String {
    let mut rows: Vec<&Row> = part.memcpy.iter().chain(&part.codecs).copied().collect();
    rows.sort_by_key(|row| (row.piece_bytes, row.threads));
    let groups = rows.chunk_by(|a, b| (a.piece_bytes, a.threads) == (b.piece_bytes, b.threads));
    let bodies: String = groups.map(group).collect();
    let (name, count) = (escape(part.name), rows.len());
    format!(
        "<details{open}><summary><span class=\"name\">{name}</span> \
         <span class=\"muted\">{count} rows</span></summary>\
         <div class=\"wide\"><table class=\"all\">{HEAD}{bodies}</table></div></details>\n"
    )
}

fn group(rows: &[&Row]) -> String {
    let conditions = rows
        .first()
        .map(|row| format!("pieces of {}, {}", size::binary(row.piece_bytes), threads(row.threads)));
    let lines: String = rows.iter().map(|row| line(row)).collect();
    format!(
        "<tbody><tr class=\"group\"><th colspan=\"10\" scope=\"rowgroup\"><span>{}</span></th></tr>{lines}</tbody>",
        conditions.unwrap_or_default()
    )
}

fn line(row: &Row) -> String {
    let memcpy = row.is_limit();
    let class = if memcpy { " class=\"limit\"" } else { "" };
    let or_none = |text: String| if memcpy { String::new() } else { text };
    let speeds = Direction::BOTH.map(|direction| {
        let speed = direction.of(row);
        format!(
            "<td>{}</td><td class=\"muted\" title=\"{} runs\">{}</td>",
            number(speed.mb_s),
            speed.runs,
            deviation(speed.deviation)
        )
    });
    let (name, version) = (escape(&row.implementation), escape(&row.library_version));
    let (level, ratio) = (or_none(row.level.to_string()), or_none(ratio(row.ratio)));
    let memory =
        [row.peak_bytes, row.scratch_bytes].map(|bytes| format!("<td>{}</td>", or_none(size::binary(bytes))));
    format!(
        "<tr{class}><th scope=\"row\">{name}</th><td>{version}</td><td>{level}</td><td>{ratio}</td>{}{}</tr>",
        speeds.concat(),
        memory.concat()
    )
}

/// What could not be measured, and why.
pub(super) fn skipped(skipped: &[String]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let items: String = skipped.iter().map(|what| format!("<li>{}</li>", escape(what))).collect();
    format!("<section><h2>Not measured</h2><ul class=\"skipped\">{items}</ul></section>\n")
}
