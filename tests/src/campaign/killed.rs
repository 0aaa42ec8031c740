//! J: the command on a full disk, and killed at any moment.

use super::{Rng, Row, Setting, Tally, data, judge::Outcome};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The command with the campaign's plugins, its cache and nothing to say.
fn command(setting: Setting<'_>, arguments: &[&str]) -> Command {
    let mut command = Command::new(setting.program);
    command.arg("--plugins-dir").arg(setting.plugins).arg("-q").args(arguments);
    command.env("CLIPSMASTER_CACHE_DIR", setting.host.cache_folder().0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other("a scratch folder whose name is no text"))
}

/// A file, and the container it becomes.
struct Pair {
    dir: PathBuf,
    raw: PathBuf,
    packed: PathBuf,
}

impl Pair {
    fn new(setting: Setting<'_>, name: &str, bytes: usize) -> io::Result<Self> {
        let dir = setting.scratch.join(name);
        fs::create_dir_all(&dir)?;
        let pair = Self { raw: dir.join("input"), packed: dir.join("input.zst"), dir };
        fs::write(&pair.raw, data(&mut Rng::of(setting.scale.seed, name, 0), bytes))?;
        let done = pair.compress(setting)?.status()?;
        done.success().then_some(pair).ok_or_else(|| io::Error::other("the command does not work"))
    }

    fn compress(&self, setting: Setting<'_>) -> io::Result<Command> {
        let raw = text(&self.raw)?;
        let options = ["compress", "--force", "--parity", "5", "--chunk-size", "256KB", "-a", "zstd"];
        Ok(command(setting, &[&options[..], &[raw]].concat()))
    }

    fn decompress(&self, setting: Setting<'_>) -> io::Result<Command> {
        let (packed, raw) = (text(&self.packed)?, text(&self.raw)?);
        Ok(command(setting, &["decompress", "--force", packed, "-o", raw]))
    }
}

/// Standard output that is full, and files that may not become as large as they must.
pub(super) fn full(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let pair = Pair::new(setting, "full", 1_000_000)?;
    let mut device = Tally::default();
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        for arguments in [["compress", "-c", text(&pair.raw)?], ["decompress", "-c", text(&pair.packed)?]] {
            let done = command(setting, &arguments).stdout(full.try_clone()?).status()?;
            device.add(told(!done.success()));
        }
    }
    let mut limited = Tally::default();
    for run in 0..setting.scale.part(2000).min(60) {
        let mut rng = Rng::of(setting.scale.seed, "full", run);
        // Blocks of 512 bytes; the whole would take more than a thousand.
        let (output, blocks) = (pair.dir.join("output"), 1 + rng.below(1000));
        let (verb, input) = *rng.one_of(&[("compress", &pair.raw), ("decompress", &pair.packed)]);
        let own = command(setting, &[verb, text(input)?, "-o", text(&output)?]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks} && exec \"$0\" \"$@\"")]);
        shell.arg(own.get_program()).args(own.get_args());
        shell.env("CLIPSMASTER_CACHE_DIR", setting.host.cache_folder().0);
        let done = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        let is_clean = !output.exists() && fs::read_dir(&pair.dir)?.count() == 2;
        limited.add(told(!done.success() && is_clean));
        let _ = fs::remove_file(&output);
    }
    Ok(vec![
        Row::new('J', "the command, /dev/full", device, "all told", true),
        Row::new('J', "the command, file too large", limited, "told, no file", true),
    ])
}

fn told(is_told: bool) -> Outcome {
    if is_told { Outcome::Refused } else { Outcome::Silent }
}

/// The file is the old one, or the new one as a whole, and nothing else is left in its folder.
pub(super) fn killed(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let pair = Pair::new(setting, "killed", 6_000_000)?;
    let (raw, packed) = (fs::read(&pair.raw)?, fs::read(&pair.packed)?);
    let mut rows = Vec::new();
    for (verb, output, new) in [("compress", &pair.packed, &packed), ("decompress", &pair.raw, &raw)] {
        let job = || if verb == "compress" { pair.compress(setting) } else { pair.decompress(setting) };
        let start = Instant::now();
        let works = job()?.stderr(Stdio::inherit()).status()?.success();
        let whole = start.elapsed();
        let mut tally = Tally::default();
        let mut left_over = 0;
        for run in 0..setting.scale.part(100).min(400) {
            // The input of one is the output of the other.
            fs::write(&pair.raw, &raw)?;
            fs::write(&pair.packed, &packed)?;
            fs::write(output, b"the old file")?;
            let mut rng = Rng::of(setting.scale.seed, verb, run);
            let outcome = kill(job()?, rng.below(1200) as u32, whole).and_then(|()| {
                Ok(match &fs::read(output)? {
                    old if old == b"the old file" => Outcome::Refused,
                    found => Outcome::right(found == new, false),
                })
            })?;
            tally.add(outcome);
            left_over += discard_rest(&pair)?;
        }
        let what = format!("{verb} killed at any moment, {left_over} left over");
        // Between the two names of a finished file a kill leaves the first.
        let is_met = works && left_over * 10 <= tally.runs();
        rows.push(Row::new('J', what, tally, "the old (refused) or the new", is_met));
    }
    Ok(rows)
}

/// Kills the command after so many thousandths of the time it takes.
fn kill(mut command: Command, thousandths: u32, whole: Duration) -> io::Result<()> {
    let mut child = command.spawn()?;
    thread::sleep(whole * thousandths / 1000);
    child.kill()?;
    child.wait().map(drop)
}

/// Removes what is neither the input nor the output; how much that is.
fn discard_rest(pair: &Pair) -> io::Result<u64> {
    let mut found = 0;
    for entry in fs::read_dir(&pair.dir)? {
        let path = entry?.path();
        if path != pair.raw && path != pair.packed {
            fs::remove_file(path)?;
            found += 1;
        }
    }
    Ok(found)
}
