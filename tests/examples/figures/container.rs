//! Figures of the container: what it costs, how fast it decompresses, how fast recovery data is made.

use super::{Answer, MIB, host, median, rounds, timed, watched};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

pub(super) fn figures(input: &Path, scratch: &Path) -> Answer<()> {
    let work = Work { input: input.to_owned(), scratch: scratch.to_owned() };
    println!("\ncontainer, {:.0} MiB", fs::metadata(input)?.len() as f64 / MIB);
    work.overhead()?;
    work.integrity()?;
    work.parity()?;
    work.decompression()
}

struct Work {
    input: PathBuf,
    scratch: PathBuf,
}

impl Work {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn compress(&self, arguments: &[&str], output: &Path) -> Answer<Command> {
        let mut command = host(&self.scratch)?;
        command.args(["compress", "--force"]).args(arguments).arg(&self.input).arg("-o").arg(output);
        Ok(command)
    }

    fn overhead(&self) -> Answer<()> {
        for (algorithm, name) in [("zstd", "x.zst"), ("lz4", "x.lz4"), ("gzip", "x.gz")] {
            let output = self.path(name);
            let size = |container: &str| -> Answer<f64> {
                timed(self.compress(&["--algorithm", algorithm, "--container", container], &output)?)?;
                Ok(fs::metadata(&output)?.len() as f64)
            };
            let (plain, records) = (size("plain")?, size("auto")?);
            println!("  records in {algorithm}: {:+.3} % of size", (records / plain - 1.0) * 100.0);
        }
        Ok(())
    }

    fn integrity(&self) -> Answer<()> {
        let run = |container: &str| -> Answer<f64> {
            let arguments =
                ["--algorithm", "zstd", "--level", "1", "--threads", "1", "--container", container];
            user_seconds(self.compress(&arguments, Path::new("/dev/null"))?)
        };
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..2 * rounds() {
            with.push(run("auto")?);
            without.push(run("plain")?);
        }
        let (with, without) = (median(&mut with), median(&mut without));
        println!("  both CRCs and XXH3 with zstd 1, CPU time: {:+.1} %", (with / without - 1.0) * 100.0);
        Ok(())
    }

    fn parity(&self) -> Answer<()> {
        let run = |parity: &str| {
            let arguments =
                ["--algorithm", "store", "--container", "cmc", "--chunk-size", "4MB", "--parity", parity];
            timed(self.compress(&arguments, Path::new("/dev/null"))?)
        };
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            with.push(run("10")?);
            without.push(run("0")?);
        }
        let bytes = fs::metadata(&self.input)?.len() as f64 / 1e6;
        let (with, without) = (median(&mut with), median(&mut without));
        println!("  10 % parity: {:.0} MB/s of what it protects", bytes / (with - without));
        match self.par2() {
            Ok(speed) => println!("  par2 create -r10 in the same run: {speed:.1} MB/s"),
            Err(e) => println!("  par2: skipped, it cannot run: {e}"),
        }
        Ok(())
    }

    fn par2(&self) -> Answer<f64> {
        const SAMPLE_BYTES: usize = 8 << 20;
        let sample = self.path("sample");
        let content = fs::read(&self.input)?;
        let content = &content[..content.len().min(SAMPLE_BYTES)];
        fs::write(&sample, content)?;
        let mut command = Command::new("par2");
        command.args(["create", "-q", "-q", "-r10"]).arg(&sample).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(content.len() as f64 / 1e6 / timed(command)?)
    }

    fn decompression(&self) -> Answer<()> {
        for (tool, name) in [("zstd", "x.zst"), ("lz4", "x.lz4"), ("pigz", "x.gz"), ("gzip", "x.gz")] {
            let file = self.path(name);
            let ours = |to: &Path| -> Answer<(f64, u64)> {
                let _ = fs::remove_file(self.path("out"));
                let mut command = host(&self.scratch)?;
                command.args(["decompress", "--threads", "2"]).arg(&file).arg("-o").arg(to);
                watched(command)
            };
            let theirs = |to: &Path| -> Answer<f64> {
                let _ = fs::remove_file(to.with_extension("none"));
                let mut command = Command::new(tool);
                command.arg("-dc").arg(&file).stdout(fs::File::create(to)?).stderr(Stdio::null());
                timed(command)
            };
            if let Err(e) = theirs(Path::new("/dev/null")) {
                println!("  {tool} -d: skipped, it cannot run: {e}");
                continue;
            }
            let (mut null, mut null_peer) = (Vec::new(), Vec::new());
            let (mut to_file, mut to_file_peer, mut peak) = (Vec::new(), Vec::new(), 0);
            for _ in 0..rounds() {
                let (seconds, memory) = ours(Path::new("/dev/null"))?;
                peak = peak.max(memory);
                null.push(seconds);
                null_peer.push(theirs(Path::new("/dev/null"))?);
                to_file.push(ours(&self.path("out"))?.0);
                let _ = fs::remove_file(self.path("theirs"));
                to_file_peer.push(theirs(&self.path("theirs"))?);
            }
            println!(
                "  decompress, 2 threads, against {tool} -d: {:.2}x to /dev/null, {:.2}x to a file; peak memory {:.0} MiB",
                median(&mut null_peer) / median(&mut null),
                median(&mut to_file_peer) / median(&mut to_file),
                peak as f64 / MIB
            );
        }
        Ok(())
    }
}

/// User and system time of a command, in seconds, as the kernel counts it for ended children (proc(5), `cutime` and `cstime`).
fn user_seconds(command: Command) -> Answer<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let ended = || -> Answer<f64> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no process name")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        Ok(fields[13].parse::<f64>()? + fields[14].parse::<f64>()?)
    };
    let before = ended()?;
    let start = Instant::now();
    timed(command)?;
    let ticks = ended()? - before;
    // Too short to count in ticks: the time it took.
    Ok(if ticks < 10.0 { start.elapsed().as_secs_f64() } else { ticks / TICKS_PER_SECOND })
}
