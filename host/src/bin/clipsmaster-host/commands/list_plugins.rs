//! `list-plugins`: one line per implementation.

use super::open_measured;
use crate::{
    Outcome,
    arguments::{Common, ListArguments},
    print, print_json,
    table::{Align, Table},
};
use clipsmaster_host::{Listed, State, size};

pub(crate) fn run(common: &Common, arguments: &ListArguments) -> Outcome {
    let host = open_measured(common)?;
    let lines = host.list();
    if common.json {
        return print_json(&lines);
    }
    let shown: Vec<&Listed> = lines.iter().filter(|l| arguments.verbose || is_of_interest(l)).collect();
    let mut text = table(&shown);
    if arguments.verbose {
        for line in &shown {
            text.push_str(&details(line));
        }
    } else {
        text.push_str(&notes(&shown));
    }
    if lines.is_empty() {
        text = "no plugins found; `clipsmaster-host doctor` shows the folders searched\n".into();
    }
    print(&text)
}

fn is_of_interest(line: &Listed) -> bool {
    !matches!(line.verdict.state, State::NotAPlugin | State::Shadowed)
}

fn table(lines: &[&Listed]) -> String {
    let mut table = Table::new(&[
        ("IMPLEMENTATION", Align::Left),
        ("HARDWARE", Align::Left),
        ("VERSION", Align::Left),
        ("STATE", Align::Left),
        ("RANK", Align::Right),
        ("LEVELS", Align::Right),
        ("COMP MB/s", Align::Right),
        ("DECOMP MB/s", Align::Right),
        ("RATIO", Align::Right),
    ]);
    for l in lines {
        let rank = match l.rank {
            Some(0) => "off".into(),
            Some(rank) => rank.to_string(),
            None => "-".into(),
        };
        table.row(vec![
            l.implementation.clone(),
            or_dash(&l.hardware),
            or_dash(if l.library_version.is_empty() { &l.version } else { &l.library_version }),
            l.verdict.state.to_string(),
            rank,
            l.levels.map_or_else(|| "-".into(), |(min, default, max)| format!("{min}..{max} ({default})")),
            number(l.compress_mb_s, 0),
            number(l.decompress_mb_s, 0),
            number(l.ratio, 2),
        ]);
    }
    table.render()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"))
}

/// Why some cannot be used, below the table; those with the same reason together.
fn notes(lines: &[&Listed]) -> String {
    let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
    for l in lines.iter().filter(|l| !l.verdict.is_ok()) {
        let remedy =
            if l.verdict.remedy.is_empty() { String::new() } else { format!("; {}", l.verdict.remedy) };
        let why = format!("{}: {}{remedy}", l.verdict.state, l.verdict.reason);
        match notes.iter_mut().find(|(other, _)| *other == why) {
            Some((_, names)) => names.push(&l.implementation),
            None => notes.push((why, vec![&l.implementation])),
        }
    }
    let notes: String = notes.iter().map(|(why, names)| format!("{}: {why}\n", names.join(", "))).collect();
    if notes.is_empty() { notes } else { format!("\n{notes}") }
}

fn details(l: &Listed) -> String {
    let mut text = format!("\n{}\n", l.implementation);
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<12} {value}\n"));
        }
    };
    field("state", l.verdict.state.to_string());
    field("reason", l.verdict.reason.clone());
    field("remedy", l.verdict.remedy.clone());
    field("stderr", l.verdict.stderr.join("\n               "));
    field("plugin", format!("{} {}", l.plugin, l.version));
    field("library", l.library_version.clone());
    field("licence", l.licence.clone());
    field("authors", l.authors.clone());
    field("homepage", l.homepage.clone());
    field("device", l.device.clone());
    field("path", l.path.display().to_string());
    field("blake3", l.hash.clone());
    if let Some((min, default, max)) = l.levels {
        field("levels", format!("{min} to {max}, default {default}"));
        field("largest", l.max_chunk_bytes.map(size::binary).unwrap_or_default());
        field("streams", if l.streams { "yes".into() } else { "no: frames must fit into memory".into() });
        field("concurrent", if l.concurrent { "yes".into() } else { "no: one call at a time".into() });
        field(
            "peak memory",
            l.peak_bytes
                .map(|b| format!("{} at level {default}, buffers included", size::binary(b)))
                .unwrap_or_default(),
        );
    }
    text
}
