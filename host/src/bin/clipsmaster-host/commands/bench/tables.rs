//! A study as text, Markdown and comma-separated values.

use super::threads;
use crate::table::{Align, Table};
use clipsmaster_host::{Change, Comparison, Row, Speed, Study, size};

const COLUMNS: [(&str, Align); 8] = [
    ("IMPLEMENTATION", Align::Left),
    ("LEVEL", Align::Right),
    ("COMP MB/s", Align::Right),
    ("±", Align::Right),
    ("DECOMP MB/s", Align::Right),
    ("±", Align::Right),
    ("RATIO", Align::Right),
    ("MEMORY", Align::Right),
];

/// Rows of one cell: the same data, piece and threads.
fn cells(study: &Study) -> impl Iterator<Item = (String, &[Row])> {
    let is_same =
        |a: &Row, b: &Row| a.data == b.data && a.piece_bytes == b.piece_bytes && a.threads == b.threads;
    study.rows.chunk_by(is_same).map(|rows| (heading(&rows[0]), rows))
}

fn heading(row: &Row) -> String {
    let threads = threads(row.threads);
    let (of, piece) = (size::binary(row.original_bytes), size::binary(row.piece_bytes));
    format!("{}: {of} in pieces of {piece}, {threads}", row.data)
}

fn fields(row: &Row) -> Vec<String> {
    let level = if row.is_limit() { "-".into() } else { row.level.to_string() };
    let memory =
        if row.is_limit() { "-".into() } else { size::binary(row.peak_bytes.max(row.scratch_bytes)) };
    let speed = |s: Speed| format!("{:.*}", usize::from(s.mb_s < 10.0), s.mb_s);
    let deviation = |s: Speed| if s.runs > 1 { format!("{:.0} %", 100.0 * s.deviation) } else { "-".into() };
    vec![
        row.implementation.clone(),
        level,
        speed(row.compress),
        deviation(row.compress),
        speed(row.decompress),
        deviation(row.decompress),
        format!("{:.3}", row.ratio),
        memory,
    ]
}

/// A table a cell.
pub(super) fn text(study: &Study) -> String {
    let mut text = String::new();
    for (heading, rows) in cells(study) {
        let mut table = Table::new(&COLUMNS);
        for row in rows {
            table.row(fields(row));
        }
        text.push_str(&format!("{heading}\n{}\n", table.render()));
    }
    text + &left_out(study) + &method(study) + "\n"
}

/// The same in Markdown.
pub(super) fn markdown(study: &Study) -> String {
    let mut text = String::new();
    let line = |fields: &[String]| format!("| {} |\n", fields.join(" | "));
    for (heading, rows) in cells(study) {
        let names: Vec<String> =
            COLUMNS.iter().map(|(name, _)| name.to_lowercase().replace("mb/s", "MB/s")).collect();
        let rules = COLUMNS.map(|(_, align)| if align == Align::Left { "---" } else { "---:" }.to_owned());
        text.push_str(&format!("### {}\n\n{}{}", heading.replace('|', "\\|"), line(&names), line(&rules)));
        rows.iter().for_each(|row| text.push_str(&line(&fields(row))));
        text.push('\n');
    }
    text + &left_out(study).replace('\n', "\n\n") + &method(study) + "\n"
}

fn left_out(study: &Study) -> String {
    study.skipped.iter().map(|why| format!("left out: {why}\n")).collect()
}

fn method(study: &Study) -> String {
    let machine = &study.machine;
    format!(
        "MB/s: medians over {:.0} ms at least and their median absolute deviation, 10^6 bytes of the original; every round trip compared\n{}, {} processors, {}",
        study.min_time_s * 1e3,
        machine.processor,
        machine.processors,
        machine.system
    )
}

/// One line a row, all fields (RFC 4180).
pub(super) fn csv(study: &Study) -> String {
    let mut text = String::from(
        "data,piece_bytes,threads,algorithm,implementation,hardware,library_version,level,original_bytes,compressed_bytes,ratio,\
         compress_mb_s,compress_deviation,compress_runs,decompress_mb_s,decompress_deviation,decompress_runs,peak_bytes,scratch_bytes\n",
    );
    for r in &study.rows {
        let speed = |s: Speed| [s.mb_s.to_string(), s.deviation.to_string(), s.runs.to_string()];
        let mut fields = vec![
            quoted(&r.data),
            r.piece_bytes.to_string(),
            r.threads.to_string(),
            quoted(&r.algorithm),
            quoted(&r.implementation),
            quoted(&r.hardware),
            quoted(&r.library_version),
            r.level.to_string(),
            r.original_bytes.to_string(),
            r.compressed_bytes.to_string(),
            r.ratio.to_string(),
        ];
        fields.extend(speed(r.compress));
        fields.extend(speed(r.decompress));
        fields.extend([r.peak_bytes.to_string(), r.scratch_bytes.to_string()]);
        text.push_str(&(fields.join(",") + "\n"));
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}

/// What changed, beside the pace of the machine.
pub(super) fn changes(comparison: &Comparison) -> String {
    let mut table = Table::new(&[
        ("DATA", Align::Left),
        ("SIZE", Align::Right),
        ("T", Align::Right),
        ("IMPLEMENTATION", Align::Left),
        ("LEVEL", Align::Right),
        ("COMP", Align::Right),
        ("DECOMP", Align::Right),
        ("RATIO", Align::Right),
        ("OUTSIDE NOISE", Align::Left),
    ]);
    for c in &comparison.changes {
        table.row(vec![
            c.data.clone(),
            size::binary(c.piece_bytes),
            c.threads.to_string(),
            c.implementation.clone(),
            c.level.to_string(),
            format!("{:.2}x", c.compress),
            format!("{:.2}x", c.decompress),
            format!("{:.3}x", c.ratio),
            outside(c, comparison.pace),
        ]);
    }
    let outside = |c: &&Change| c.compress_is_outside_noise || c.decompress_is_outside_noise;
    let (count, all) = (comparison.changes.iter().filter(outside).count(), comparison.changes.len());
    let mut text = table.render();
    text.push_str(&format!("\nspeeds now over those of the baseline: {:.2}x in the median, by which all are judged; {count} of {all} rows lie outside noise\n", comparison.pace));
    let (now, before) = comparison.only;
    if now + before > 0 {
        text.push_str(&format!(
            "not compared: {now} rows that the baseline has not, {before} that only it has\n"
        ));
    }
    if !comparison.is_same_machine {
        text.push_str("the baseline was taken on another machine\n");
    }
    text
}

fn outside(change: &Change, pace: f64) -> String {
    let word = |ratio: f64| if ratio > pace { "faster" } else { "slower" };
    let both = [
        (change.compress_is_outside_noise, "compresses", change.compress),
        (change.decompress_is_outside_noise, "decompresses", change.decompress),
    ];
    let told: Vec<String> =
        both.into_iter().filter(|b| b.0).map(|(_, does, ratio)| format!("{does} {}", word(ratio))).collect();
    told.join(", ")
}
