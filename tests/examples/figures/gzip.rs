//! Figures of gzip, beside pigz and igzip (ISA-L's program), which must be installed: compression, and decompression of our files and of
//! one long member.

use super::{Answer, MIB, host, median, rounds, timed};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(super) fn figures(input: &Path, scratch: &Path) -> Answer<()> {
    println!("\ngzip, 2 threads, {:.0} MiB", fs::metadata(input)?.len() as f64 / MIB);
    // What is asked for the first time is measured first; `compress` itself never waits for that.
    let mut measure = host(scratch)?;
    measure.args(["best-hardware", "--algorithm", "gzip", "--level", "1"]);
    timed(measure)?;
    let work = Work { scratch };
    let peers = [("pigz", "6", &["-6", "-p2", "-c"][..]), ("igzip", "1", &["-1", "-T2", "-c"][..])];
    for (peer, level, arguments) in peers {
        let (ours, theirs) = (work.path(&format!("{level}.gz")), work.path(&format!("{peer}.gz")));
        let compress = || work.ours(&["compress", "--algorithm", "gzip", "--level", level], input, &ours);
        let faster = work.pair(compress, peer, arguments, input, &theirs)?;
        let Some(faster) = faster else { continue };
        let sizes = fs::metadata(&ours)?.len() as f64 / fs::metadata(&theirs)?.len() as f64;
        println!("  gzip {level} against {peer} {}: {faster:.2}x, output {sizes:.3}x", arguments.join(" "));
    }
    for (file, what) in [("6.gz", "our own file"), ("pigz.gz", "one long member")] {
        let (file, ours, theirs) = (work.path(file), work.path("ours"), work.path("theirs"));
        for (ours, theirs, to) in
            [(Path::new("/dev/null"), Path::new("/dev/null"), "/dev/null"), (&ours, &theirs, "a file")]
        {
            let decompress = || work.ours(&["decompress"], &file, ours);
            if let Some(faster) = work.pair(decompress, "igzip", &["-d", "-c"], &file, theirs)? {
                println!("  decompress, {what}, to {to}, against igzip -d: {faster:.2}x");
            }
        }
    }
    Ok(())
}

struct Work<'a> {
    scratch: &'a Path,
}

impl Work<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn ours(&self, arguments: &[&str], input: &Path, output: &Path) -> Answer<Command> {
        let mut command = host(self.scratch)?;
        command.args(arguments).args(["--force", "--threads", "2"]).arg(input).arg("-o").arg(output);
        Ok(command)
    }

    /// How many times as fast as the peer, by medians of runs in turns to new files; none where the peer cannot run.
    fn pair(
        &self,
        ours: impl Fn() -> Answer<Command>,
        peer: &str,
        arguments: &[&str],
        input: &Path,
        output: &Path,
    ) -> Answer<Option<f64>> {
        let theirs = || -> Answer<f64> {
            let mut command = Command::new(peer);
            command.args(arguments).arg(input).stdout(File::create(output)?).stderr(Stdio::null());
            timed(command)
        };
        if let Err(e) = theirs() {
            println!("  {peer}: skipped, it cannot run: {e}");
            return Ok(None);
        }
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let command = ours()?;
            if let Some(old) = command.get_args().last().map(Path::new).filter(|p| p.is_file()) {
                fs::remove_file(old)?;
            }
            own.push(timed(command)?);
            if output.is_file() {
                fs::remove_file(output)?;
            }
            other.push(theirs()?);
        }
        Ok(Some(median(&mut other) / median(&mut own)))
    }
}
