//! What a simulated application does: resources cut from files, or a trace of its calls.

use crate::Failure;
use clipsmaster_host::Error;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Sizes of resources cut from files; each makes up the same share of all bytes.
const SIZES: [u64; 5] = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];

/// A piece of a file.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub path: PathBuf,
    pub start: u64,
    pub len: u64,
}

impl Piece {
    pub(super) fn read(&self) -> Result<Vec<u8>, Failure> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; self.len as usize];
            File::open(&self.path)?.read_exact_at(&mut bytes, self.start)?;
            Ok(bytes)
        };
        Ok(read().map_err(Error::io("read", &self.path))?)
    }
}

/// A resource as it is inserted.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub id: String,
    pub resource_type: String,
    pub piece: Piece,
}

/// One call of an application.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Insert(Resource),
    Get(String),
    Remove(String),
    Release(String),
    Sleep(u64),
}

/// Numbers without order, the same for the same seed (xorshift64*: S. Vigna, 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks that come as often as `1 / rank^exponent` (Zipf).
#[derive(Debug)]
pub(super) struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    pub(super) fn new(ranks: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += 1.0 / (rank as f64).powf(exponent);
            sum
        };
        Self { cumulated: (1..=ranks).map(add).collect() }
    }

    /// A rank from 0 on.
    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulated.last().copied().unwrap_or_default();
        let at = random.unit() * total;
        self.cumulated.partition_point(|sum| *sum <= at).min(self.cumulated.len().saturating_sub(1))
    }
}

/// Cuts resources of `bytes` in all from the files of `dir`, the name of each of which, up to the first point, is their type.
pub(super) fn cut(dir: &Path, bytes: u64, random: &mut Random) -> Result<Vec<Resource>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let entry = entry.map_err(Error::io("read", dir))?;
        let meta = fs::metadata(entry.path()).map_err(Error::io("read", entry.path()))?;
        if meta.is_file() && meta.len() >= SIZES[0] {
            files.push((entry.path(), meta.len()));
        }
    }
    files.sort();
    let total: u64 = files.iter().map(|(_, len)| len).sum();
    if total == 0 {
        let least = clipsmaster_host::size::binary(SIZES[0]);
        return Err(Failure::usage(format!("{}: no file of {least} or more to cut from", dir.display())));
    }
    let mut resources = Vec::new();
    for size in SIZES {
        let share = bytes / SIZES.len() as u64;
        let mut left = share;
        while left >= size / 2 {
            // Each file by its size.
            let mut at = random.below(total);
            let (path, file_len) = files
                .iter()
                .find(|(_, len)| {
                    let is_here = at < *len;
                    at = at.saturating_sub(*len);
                    is_here
                })
                .unwrap_or(&files[0]);
            let len = size.min(*file_len);
            // On boundaries of all elements.
            let start = random.below((file_len - len) / 8 + 1) * 8;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let resource_type = name.split('.').next().unwrap_or_default().to_owned();
            let id = format!("{resource_type}/{}", resources.len());
            resources.push(Resource { id, resource_type, piece: Piece { path: path.clone(), start, len } });
            left = left.saturating_sub(len);
        }
    }
    // In no order of size.
    for i in (1..resources.len()).rev() {
        resources.swap(i, random.below(i as u64 + 1) as usize);
    }
    Ok(resources)
}

/// Reads a trace, a call a line: `insert ID TYPE FILE [START..END]`, `get ID`, `remove ID`, `release ID`, `sleep MS`; `#` begins a comment. Files are
/// looked for beside the trace.
pub(super) fn trace(path: &Path) -> Result<Vec<Call>, Failure> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).enumerate();
    let calls = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| {
        call(line, folder)
            .map_err(|problem| Failure::usage(format!("{}:{}: {problem}", path.display(), number + 1)))
    });
    calls.collect()
}

fn call(line: &str, folder: &Path) -> Result<Call, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words[..] {
        ["get", id] => Call::Get(id.into()),
        ["remove", id] => Call::Remove(id.into()),
        ["release", id] => Call::Release(id.into()),
        ["sleep", ms] => Call::Sleep(ms.parse().map_err(|_| format!("`{ms}` is no number of milliseconds"))?),
        ["insert", id, resource_type, file, ref range @ ..] if range.len() < 2 => {
            let path = folder.join(file);
            let file_len = fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?.len();
            let range = match range {
                [range] => crate::arguments::range(range)?,
                _ => 0..file_len,
            };
            let end = range.end.min(file_len);
            let start = range.start.min(end);
            let piece = Piece { path, start, len: end - start };
            Call::Insert(Resource { id: id.into(), resource_type: resource_type.into(), piece })
        }
        _ => {
            let known = "insert ID TYPE FILE [START..END], get ID, remove ID, release ID, sleep MS";
            return Err(format!("`{line}` is no call; there are: {known}"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_as_often_as_zipf_says() {
        let zipf = Zipf::new(100, 1.0);
        let mut random = Random::new(7);
        let mut counts = [0_u32; 100];
        (0..200_000).for_each(|_| counts[zipf.draw(&mut random)] += 1);
        let share = |rank: usize| f64::from(counts[rank - 1]) / f64::from(counts[0]);
        assert!((share(2) - 0.5).abs() < 0.03 && (share(10) - 0.1).abs() < 0.02, "{counts:?}");
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert!(matches!(call("get a", Path::new("")), Ok(Call::Get(id)) if id == "a"));
        assert!(call("fetch a", Path::new("")).expect_err("no call").contains("insert ID TYPE FILE"));
        assert!(call("sleep long", Path::new("")).expect_err("no number").contains("long"));
        assert!(call("insert a b /nowhere/at/all", Path::new("")).is_err());
    }
}
