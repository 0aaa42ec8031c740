//! `info`: what a compressed file is.

use super::open;
use crate::{
    Failure, Outcome,
    arguments::{Common, FileArguments},
    code, print, print_json,
    table::{Align, Table},
};
use clipsmaster_host::{DETECT_BYTES, Error, Filter, HeaderInfo, Host, chunked_file_info, size};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write, fs::File, io::Read, path::Path};

/// Chunks listed without being asked for all (`--json`).
const LISTED: usize = 16;

/// Another tool's file: what can be told without decoding it.
#[derive(Serialize)]
struct Foreign {
    algorithm: String,
    container: bool,
    bytes: u64,
}

pub(crate) fn run(common: &Common, arguments: &FileArguments) -> Outcome {
    let path = &arguments.file;
    match chunked_file_info(path) {
        Ok(info) if common.json => print_json(&info),
        Ok(info) => print(&describe(path, &info)),
        Err(Error::Container { input, problem }) => {
            foreign(common, path)?.ok_or_else(|| Failure::new(code::DAMAGED, format!("{input}: {problem}")))
        }
        Err(other) => Err(other.into()),
    }
}

fn foreign(common: &Common, path: &Path) -> Result<Option<()>, Failure> {
    let fail = |e| Failure::from(Error::io("read", path)(e));
    let mut file = File::open(path).map_err(fail)?;
    let mut head = Vec::new();
    (&mut file).take(DETECT_BYTES as u64).read_to_end(&mut head).map_err(fail)?;
    let host: Host = open(common)?;
    let Some(algorithm) = host.detect(&head, Some(path)) else { return Ok(None) };
    let bytes = file.metadata().map_err(fail)?.len();
    if common.json {
        print_json(&Foreign { algorithm, container: false, bytes })?;
    } else {
        let size = size::binary(bytes);
        print(&format!(
            "{}: {algorithm} frames, {size}; no container, or one whose end is damaged (verify tells)\n",
            path.display()
        ))?;
    }
    Ok(Some(()))
}

fn describe(path: &Path, info: &HeaderInfo) -> String {
    let file = &info.file;
    let mut text = String::new();
    let ratio = info.raw_bytes as f64 / info.bytes.max(1) as f64;
    let (bytes, raw) = (size::binary(info.bytes), size::binary(info.raw_bytes));
    let _ =
        writeln!(text, "{}: container of {} frames, level {}", path.display(), file.algorithm, file.level);
    let _ = writeln!(text, "  original    {raw} ({} bytes)", info.raw_bytes);
    let _ = writeln!(text, "  compressed  {bytes} ({} bytes), ratio {ratio:.3}", info.bytes);
    let chunk = size::binary(file.chunk_bytes);
    let _ = writeln!(text, "  chunks      {} of up to {chunk}{}", info.chunks.len(), mixture(info));
    let _ = writeln!(text, "  written by  {}", file.written_by);
    let parity = match file.parity_percent {
        0 => "none: damage is seen, and a single damaged byte can be repaired".to_owned(),
        percent => format!("{percent} %"),
    };
    let _ = writeln!(text, "  parity      {parity}");
    if !file.metadata.is_empty() {
        let _ = writeln!(text, "  metadata    {} bytes", file.metadata.len());
    }
    text.push('\n');
    text + &chunks(info)
}

/// Which algorithms the chunks are of, where there are several.
fn mixture(info: &HeaderInfo) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &info.chunks {
        *counts.entry(&entry.chunk.algorithm).or_default() += 1;
    }
    if counts.len() < 2 {
        return String::new();
    }
    let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!(" ({})", parts.join(", "))
}

fn chunks(info: &HeaderInfo) -> String {
    let columns = [
        ("CHUNK", Align::Right),
        ("ORIGINAL AT", Align::Right),
        ("BYTES", Align::Right),
        ("FRAME AT", Align::Right),
        ("BYTES", Align::Right),
        ("RATIO", Align::Right),
        ("ALGORITHM", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for entry in info.chunks.iter().take(LISTED) {
        let chunk = &entry.chunk;
        table.row(vec![
            chunk.number.to_string(),
            chunk.raw_offset.to_string(),
            chunk.raw_bytes.to_string(),
            entry.frame_offset.to_string(),
            chunk.frame_bytes.to_string(),
            format!("{:.3}", f64::from(chunk.raw_bytes) / f64::from(chunk.frame_bytes.max(1))),
            match chunk.filter {
                0 => chunk.algorithm.clone(),
                code => {
                    let known = Filter::from_code(code);
                    let name = known.map_or_else(|| format!("filter {code}"), |f| f.to_string());
                    format!("{} + {name}", chunk.algorithm)
                }
            },
        ]);
    }
    let more = info.chunks.len().saturating_sub(LISTED);
    let rest = if more > 0 { format!("and {more} more (--json lists all)\n") } else { String::new() };
    table.render() + &rest
}
