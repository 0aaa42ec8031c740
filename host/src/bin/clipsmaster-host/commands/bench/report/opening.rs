//! The top of the page: the machine, the versions, how it was measured, and the data.

use super::{
    names::Names,
    part::{Part, distinct},
    scale::drawable,
    text::{self, end, escape, iso_utc},
};
use clipsmaster_host::{Measured, Row, Study, size};

/// Longer names are shown by their ends here; the heading of the data has it all.
const LONGEST: usize = 60;

pub(super) fn header(study: &Study) -> String {
    let machine = &study.machine;
    let facts = [
        ("Processor", machine.processor.clone()),
        ("Threads", machine.processors.to_string()),
        ("Memory", size::binary(machine.memory_bytes)),
        ("System", machine.system.clone()),
        ("ClipsMaster", study.version.clone()),
        ("Libraries", libraries(study)),
    ];
    let facts = facts.map(|(name, value)| (name, escape(&value)));
    let facts = facts.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    let taken = iso_utc(study.taken);
    let taken = format!("<div><dt>Taken</dt><dd><time>{taken}</time></dd></div>");
    format!(
        "<header><h1>Compression measured</h1><dl>{}{taken}</dl>{}</header>\n",
        facts.concat(),
        method(study)
    )
}

fn libraries(study: &Study) -> String {
    let codecs = study.rows.iter().filter(|row| !row.is_limit());
    let library = |row: &Row| {
        let name = row.implementation.rsplit('/').next().unwrap_or_default();
        // Of what is opened at run time it may be unknown.
        format!("{name} {}", row.library_version).trim_end().to_owned()
    };
    let mut all = distinct(codecs.map(library));
    all.sort_unstable();
    if all.is_empty() { "–".into() } else { all.join(", ") }
}

fn method(study: &Study) -> String {
    let hardware = distinct(study.rows.iter().filter(|row| !row.is_limit()).map(|row| &row.hardware));
    let only = match &hardware[..] {
        [one] => format!(" Only <code>{}</code> was measured.", escape(one)),
        _ => String::new(),
    };
    format!(
        "<p>Each piece of the data was compressed to a frame of its own and decompressed again, in memory, \
         for at least {}\u{a0}s in each direction, by codecs that are kept from piece to piece; \
         what came out was compared with what went in. \
         Speeds are medians in MB/s, 10<sup>6</sup> bytes of original data a second, \
         and the dashed line is what copying memory reaches.{only}</p>",
        study.min_time_s
    )
}

/// The data, as a table of contents.
pub(super) fn contents(parts: &[Part<'_>], names: &Names<'_>) -> String {
    let rows: String = parts.iter().enumerate().map(|(i, part)| content(i, part, names)).collect();
    format!(
        "<nav aria-label=\"Data\"><div class=\"wide\"><table><thead><tr><th>Data</th><th>Measured</th>\
         <th>Greatest ratio</th><th>with</th></tr></thead><tbody>{rows}</tbody></table></div></nav>\n\
         <p class=\"muted\">Where ratio is drawn against speed, nobody beats the large marks on the stepped line \
         in both; the small marks are beaten. Thin lines join the levels of an implementation.</p>\n"
    )
}

fn content(i: usize, part: &Part<'_>, names: &Names<'_>) -> String {
    let measured = part.measured.map_or_else(|| "–".into(), measured);
    let rows = part.codecs.iter().filter(|row| drawable(row.ratio));
    let best = rows.max_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let (ratio, with) = best.map_or_else(
        || ("–".into(), String::new()),
        |row| (text::ratio(row.ratio), escape(&names.label(row))),
    );
    let name = escape(&end(part.name, LONGEST));
    format!(
        "<tr><th scope=\"row\" class=\"name\"><a href=\"#data-{i}\">{name}</a></th><td>{measured}</td>\
         <td>{ratio}</td><td class=\"words\">{with}</td></tr>"
    )
}

/// `8 MiB of 212 MiB`.
fn measured(measured: &Measured) -> String {
    let [sampled, all] = [measured.sampled_bytes, measured.bytes].map(size::binary);
    if sampled == all { all } else { format!("{sampled} of {all}") }
}
