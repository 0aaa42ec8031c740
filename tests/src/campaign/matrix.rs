//! G: par2's matrix, for containers and for par2 itself.

use super::{
    Make, Rng, Row, Setting,
    judge::{Outcome, Truth, Way, judge, runs},
    subject::Subject,
};
use clipsmaster_host::pipeline::OnDamage;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Bytes of the matrix's file.
const BYTES: usize = 1_600_000;
/// What `par2 create -r10` takes beside such a file, in percent, where it is not there to be asked.
const PAR2_PERCENT: f64 = 31.7;
/// Most parity that a container of par2's size is looked for with.
const MOST_PERCENT: u8 = 40;

/// One way of the matrix to damage a file.
#[derive(Clone, Copy)]
struct Harm {
    what: &'static str,
    apply: fn(&mut Rng, &mut Vec<u8>),
}

const MATRIX: [Harm; 10] = [
    Harm { what: "1 flip", apply: |rng, b| rng.flips(b, 1) },
    Harm { what: "10 flips", apply: |rng, b| rng.flips(b, 10) },
    Harm { what: "50 flips", apply: |rng, b| rng.flips(b, 50) },
    Harm { what: "150 flips", apply: |rng, b| rng.flips(b, 150) },
    Harm { what: "burst of 8 %", apply: |rng, b| burst(rng, b, 80) },
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
    BURST,
];

/// As much as par2 can bear; too much for 10 % of parity.
const BURST: Harm = Harm { what: "burst of 9.5 %", apply: |rng, b| burst(rng, b, 95) };

fn burst(rng: &mut Rng, bytes: &mut [u8], thousandths: usize) {
    let len = bytes.len() * thousandths / 1000;
    rng.burst(bytes, len);
}

/// All of the matrix, on a container of 10 %, on one of par2's size, and on par2's own files.
pub(super) fn matrix(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let raw = Rng::of(scale.seed, "matrix", 0).bytes(BYTES);
    let make = |parity| Make::new("zstd", 400_000, parity).of(host, raw.clone());
    let (bare, ten) = (make(0), make(10));
    let overhead = |s: &Subject| (s.bytes.len() as f64 / bare.bytes.len() as f64 - 1.0) * 100.0;
    let par2 =
        if scale.compares { Par2::create(&bare.bytes, setting.scratch) } else { Err("not asked".into()) };
    let budget = par2.as_ref().map_or(PAR2_PERCENT, |par2| par2.overhead_percent());
    // The percentage that comes nearest to what par2 takes, from below.
    let equal =
        (10..=MOST_PERCENT).rev().map(make).find(|s| overhead(s) <= budget).unwrap_or_else(|| make(10));
    let sizes = format!("size of 10 % parity: {:.1} % (par2 -r10: {budget:.1} %)", overhead(&ten));
    let mut rng = Rng::of(scale.seed, "size", 0);
    let outcome = judge(host, Way::Memory(OnDamage::Error), &ten.bytes, Truth::of(&ten), &mut rng);
    let mut rows = vec![Row::new('G', sizes, super::Tally::one(outcome), "<= 13 %", overhead(&ten) <= 13.0)];
    for harm in MATRIX {
        if harm.what != BURST.what {
            rows.push(row(setting, harm, "10 %", &ten));
        }
        rows.push(row(setting, harm, "par2's size", &equal));
        rows.extend(par2.as_ref().ok().map(|par2| par2.row(setting, harm)));
    }
    if let Err(why) = par2 {
        let what = format!("par2 itself: skipped, {why}");
        rows.push(Row::new('G', what, super::Tally::default(), "-", true));
    }
    Ok(rows)
}

fn row(setting: Setting<'_>, harm: Harm, size: &str, subject: &Subject) -> Row {
    let Setting { host, scale, .. } = setting;
    let damaged = |run: u64| {
        let mut rng = Rng::of(scale.seed, harm.what, run);
        let mut bytes = subject.bytes.clone();
        (harm.apply)(&mut rng, &mut bytes);
        judge(host, Way::Memory(OnDamage::Error), &bytes, Truth::of(subject), &mut rng)
    };
    let tally = runs(scale.part(1000).min(200), |o| o == Outcome::Refused, damaged);
    let is_met = tally.right() == tally.runs();
    Row::new('G', format!("{}, {size}", harm.what), tally, "all restored", is_met)
}

/// par2's files, made once.
struct Par2 {
    dir: PathBuf,
    /// Names and contents: the data file first.
    files: Vec<(String, Vec<u8>)>,
}

impl Par2 {
    fn create(data: &[u8], scratch: &Path) -> Result<Self, String> {
        let dir = scratch.join("par2");
        let made = fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join("data"), data));
        made.map_err(|e| e.to_string())?;
        let done =
            quiet(Command::new("par2").args(["create", "-q", "-q", "-r10", "-n1", "data"]).current_dir(&dir));
        if !done.map_err(|e| format!("it cannot run: {e}"))? {
            return Err("it failed".into());
        }
        let mut files = vec![("data".to_owned(), data.to_vec())];
        for entry in fs::read_dir(&dir).map_err(|e| e.to_string())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "data" {
                files.push((name, fs::read(entry.path()).map_err(|e| e.to_string())?));
            }
        }
        Ok(Self { dir, files })
    }

    fn overhead_percent(&self) -> f64 {
        let all: usize = self.files.iter().map(|(_, content)| content.len()).sum();
        (all as f64 / self.files[0].1.len() as f64 - 1.0) * 100.0
    }

    /// A few runs: one takes most of a second.
    fn row(&self, setting: Setting<'_>, harm: Harm) -> Row {
        let mut tally = super::Tally::default();
        for run in 0..setting.scale.part(4000).min(10) {
            let mut rng = Rng::of(setting.scale.seed, harm.what, run);
            let is_restored = self.repairs(&mut rng, harm).unwrap_or(false);
            tally.add(if is_restored { Outcome::Repaired } else { Outcome::Refused });
        }
        Row::new('G', format!("{}, par2 -r10 (data only)", harm.what), tally, "for comparison", true)
    }

    /// Damages the data alone, which is the most that can be asked of the others, and lets par2 try.
    fn repairs(&self, rng: &mut Rng, harm: Harm) -> io::Result<bool> {
        let mut data = self.files[0].1.clone();
        (harm.apply)(rng, &mut data);
        fs::remove_dir_all(&self.dir)?;
        fs::create_dir_all(&self.dir)?;
        for (name, content) in &self.files {
            fs::write(self.dir.join(name), if name == "data" { &data } else { content })?;
        }
        quiet(Command::new("par2").args(["repair", "-q", "-q", "data.par2"]).current_dir(&self.dir))?;
        Ok(fs::read(self.dir.join("data"))? == self.files[0].1)
    }
}

fn quiet(command: &mut Command) -> io::Result<bool> {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().map(|s| s.success())
}
