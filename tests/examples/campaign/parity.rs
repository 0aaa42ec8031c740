//! Cases with recovery data, and the same damage to par2's files.

use crate::{
    cases::{Row, Scale},
    damage::Rng,
    subject::{ALGORITHMS, Make, Subject, Tally, judge},
};
use clipsmaster_host::{Host, chunked_header_info};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Bytes of the matrix's file.
const MATRIX_BYTES: usize = 1_600_000;

fn row(case: char, what: impl Into<String>, tally: Tally, must: &str, is_met: bool) -> Row {
    Row { case, what: what.into(), tally, must: must.into(), is_met: is_met && tally.is_honest() }
}

/// Data that shrinks to `bytes` of container at best: noise.
fn noise(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    rng.bytes(bytes)
}

/// F: as many shards lost as there are for recovery, one less, one more.
pub(crate) fn shards(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, extra, must) in
        [("R - 1", -1, "all restored"), ("R", 0, "all restored"), ("R + 1", 1, "all refused")]
    {
        let mut rng = Rng(scale.seed ^ 0xf);
        let mut tally = Tally::default();
        for algorithm in ALGORITHMS {
            let raw = noise(&mut rng, 300_000);
            let subject = Make::new(algorithm, 100_000, 10).of(host, raw);
            // Up to 1 MiB a shard has 512 bytes; the group is what precedes the parity.
            let info = chunked_header_info(&subject.bytes).expect("sound");
            let last = info.chunks.last().expect("chunks");
            let shards = (last.frame_offset + u64::from(last.chunk.frame_bytes)) as usize / 512;
            // The index, one record of 96 + 80 bytes a chunk and its wrapper, belongs to the group.
            let group = (shards * 512 + 500).div_ceil(512);
            let recovery = group.div_ceil(10);
            for _ in 0..scale.runs / 500 + 2 {
                let mut bytes = subject.bytes.clone();
                let mut order: Vec<usize> = (0..shards).collect();
                for n in 0..order.len() {
                    let other = n + rng.below(order.len() - n);
                    order.swap(n, other);
                }
                let lost = (recovery as i64 + extra * 3) as usize;
                for shard in &order[..lost] {
                    // Several bytes, or they would be corrected one by one.
                    bytes[shard * 512..][..16].iter_mut().for_each(|b| *b ^= 0x55);
                }
                tally += judge(host, &bytes, &subject.original);
            }
        }
        let met = if extra > 0 { tally.refused == tally.runs() } else { tally.right() == tally.runs() };
        rows.push(row('F', format!("{what} shards lost (within 3)"), tally, must, met));
    }
    rows
}

/// One way of the matrix to damage a file.
struct Harm {
    what: &'static str,
    apply: fn(&mut Rng, &mut Vec<u8>),
}

fn flips(rng: &mut Rng, bytes: &mut [u8], count: usize) {
    for _ in 0..count {
        rng.flip(bytes);
    }
}

const MATRIX: [Harm; 9] = [
    Harm { what: "1 flip", apply: |rng, b| flips(rng, b, 1) },
    Harm { what: "10 flips", apply: |rng, b| flips(rng, b, 10) },
    Harm { what: "50 flips", apply: |rng, b| flips(rng, b, 50) },
    Harm { what: "150 flips", apply: |rng, b| flips(rng, b, 150) },
    Harm {
        what: "burst of 8 %",
        apply: |rng, b| {
            let len = b.len() * 8 / 100;
            rng.burst(b, len);
        },
    },
    Harm { what: "truncated by 5 %", apply: |_, b| b.truncate(b.len() * 95 / 100) },
    Harm { what: "insert", apply: |rng, b| rng.insert(b, 4096) },
    Harm { what: "delete", apply: |rng, b| rng.delete(b, 4096) },
    Harm {
        what: "garbage in the first 4 KiB",
        apply: |rng, b| {
            let garbage = rng.bytes(4096);
            b[..4096].copy_from_slice(&garbage);
        },
    },
];

const BURST: Harm = Harm {
    what: "burst of 9.5 %",
    apply: |rng, b| {
        let len = b.len() * 95 / 1000;
        rng.burst(b, len);
    },
};

/// G: par2's matrix, on a container of 10 %, on one of par2's size, and on par2's own files.
/// Short, it is left at the former, once each.
pub(crate) fn matrix(host: &Host, scale: Scale, scratch: &Path, is_short: bool) -> (Vec<Row>, Vec<String>) {
    let mut rng = Rng(scale.seed ^ 0x67);
    let raw = noise(&mut rng, MATRIX_BYTES);
    let make = |parity| Make::new("zstd", 400_000, parity).of(host, raw.clone());
    let (bare, ten) = (make(0), make(10));
    let overhead = |s: &Subject| (s.bytes.len() as f64 / bare.bytes.len() as f64 - 1.0) * 100.0;
    let mut notes = vec![format!("10 % parity of {MATRIX_BYTES} bytes takes {:.1} %", overhead(&ten))];
    let par2 =
        if is_short { Err("the short form is without".into()) } else { Par2::create(&bare.bytes, scratch) };
    // The percentage that comes nearest to what par2 takes, from below.
    let budget = match &par2 {
        Ok(par2) => par2.bytes as f64 / bare.bytes.len() as f64 * 100.0 - 100.0,
        Err(why) => {
            notes.push(format!("par2 is not compared with: {why}"));
            31.7
        }
    };
    notes.push(format!("par2 -r10 takes {budget:.1} %"));
    let largest = if is_short { 10 } else { 70 };
    let equal = (10..=largest).rev().map(make).find(|s| overhead(s) <= budget).unwrap_or_else(|| make(10));
    notes.push(format!("the container of equal size takes {:.1} %", overhead(&equal)));
    let mut rows = vec![row(
        'G',
        "size of 10 % parity",
        judge(host, &ten.bytes, &ten.original),
        "<= 13 % more",
        overhead(&ten) <= 13.0,
    )];
    let runs = (scale.runs / 200).max(1);
    let harms = MATRIX.iter().map(|h| (h, false)).chain([(&BURST, true)]);
    for (harm, equal_only) in harms.filter(|(_, equal_only)| !(is_short && *equal_only)) {
        let mut subjects = if is_short { vec![] } else { vec![("at par2's size", &equal)] };
        if !equal_only {
            subjects.insert(0, ("10 %", &ten));
        }
        let theirs =
            par2.as_ref().ok().map(|p| (0..runs.min(6)).filter(|_| p.repairs(&mut rng, harm.apply)).count());
        for (size, subject) in subjects {
            let mut tally = Tally::default();
            for _ in 0..runs {
                let mut bytes = subject.bytes.clone();
                (harm.apply)(&mut rng, &mut bytes);
                tally += judge(host, &bytes, &subject.original);
            }
            let must = theirs.map_or("all".into(), |t| format!("all (par2: {t} of {})", runs.min(6)));
            let met = tally.right() == tally.runs();
            rows.push(row('G', format!("{}, {size}", harm.what), tally, &must, met));
        }
    }
    (rows, notes)
}

/// par2's files, made once.
struct Par2 {
    dir: std::path::PathBuf,
    /// Names and contents: the data file first.
    files: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Par2 {
    fn create(data: &[u8], scratch: &Path) -> Result<Self, String> {
        let dir = scratch.join("par2");
        fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        fs::write(dir.join("data"), data).map_err(|e| e.to_string())?;
        let status =
            quiet(Command::new("par2").args(["create", "-q", "-q", "-r10", "data"]).current_dir(&dir));
        if !status.map_err(|e| format!("it cannot run: {e}"))? {
            return Err("it failed".into());
        }
        let mut files = vec![("data".to_owned(), data.to_vec())];
        for entry in fs::read_dir(&dir).map_err(|e| e.to_string())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "data" {
                files.push((name, fs::read(entry.path()).map_err(|e| e.to_string())?));
            }
        }
        let bytes = files.iter().map(|(_, content)| content.len()).sum();
        Ok(Self { dir, files, bytes })
    }

    /// Damages the data and its recovery files as if they were one, and lets par2 try.
    fn repairs(&self, rng: &mut Rng, apply: fn(&mut Rng, &mut Vec<u8>)) -> bool {
        let mut data = self.files[0].1.clone();
        apply(rng, &mut data);
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::create_dir_all(&self.dir);
        for (name, content) in &self.files {
            let content = if name == "data" { &data } else { content };
            let _ = fs::write(self.dir.join(name), content);
        }
        let _ = quiet(Command::new("par2").args(["repair", "-q", "-q", "data.par2"]).current_dir(&self.dir));
        fs::read(self.dir.join("data")).is_ok_and(|found| found == self.files[0].1)
    }
}

fn quiet(command: &mut Command) -> std::io::Result<bool> {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().map(|s| s.success())
}

/// I: damage to tables and recovery shards, beside damage that they are needed for.
pub(crate) fn damaged_parity(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rng = Rng(scale.seed ^ 0x49);
    let raw = noise(&mut rng, 300_000);
    let subject = Make::new("zstd", 100_000, 10).of(host, raw);
    let info = chunked_header_info(&subject.bytes).expect("sound");
    let last = info.chunks.last().expect("chunks");
    let parity_from = (last.frame_offset + u64::from(last.chunk.frame_bytes)) as usize + 500;
    let mut rows = Vec::new();
    let whole = subject.bytes.len() - parity_from;
    for (what, harmed, must) in
        [("a tenth of", 10, "all restored"), ("half of", 2, "all restored"), ("all", 1, "honest")]
    {
        let mut tally = Tally::default();
        for _ in 0..scale.runs / 100 + 2 {
            let mut bytes = subject.bytes.clone();
            let start = parity_from + if harmed == 1 { 0 } else { rng.below(whole - whole / harmed) };
            bytes[start..][..whole / harmed].fill(0xaa);
            // A few shards of data, for which what is left must do.
            let data = &mut bytes[1000..90_000];
            rng.burst(data, 3000);
            tally += judge(host, &bytes, &subject.original);
        }
        let met = harmed == 1 || tally.right() == tally.runs();
        rows.push(row('I', format!("{what} the parity damaged, and data"), tally, must, met));
    }
    rows
}
