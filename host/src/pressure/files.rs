//! Small text files of the kernel, read without allocating.

use crate::pipeline::read_full;
use std::{fs::File, path::Path};

/// Most of a file that is looked at: memory.stat and /proc/meminfo take about 2 KiB.
const TEXT_BYTES: usize = 8 << 10;

/// What `parse` makes of the text of a file; `None` where it cannot be read. Of a longer file, the first whole lines.
pub(super) fn parse<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; TEXT_BYTES];
    let len = read_full(&mut File::open(path).ok()?, &mut buffer).ok()?;
    let mut text = &buffer[..len];
    if len == TEXT_BYTES {
        // A number cut in two would be read as a smaller one.
        let lines = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        text = &text[..lines];
    }
    parse(str::from_utf8(text).ok()?)
}

/// The number that a file holds. `max`, and what is no number, is none.
pub(super) fn number(path: &Path) -> Option<u64> {
    parse(path, |text| text.trim().parse().ok())
}

/// The number after `key` at the start of a line.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key).filter(|rest| rest.starts_with(' ')))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// `some avg10` of a file of pressure stall information (Documentation/accounting/psi.rst), in percent.
pub(super) fn stalled_percent(path: &Path) -> Option<f64> {
    parse(path, |text| {
        let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
        let value = some.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
        value.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
    })
}
