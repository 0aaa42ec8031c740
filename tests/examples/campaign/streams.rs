//! J and L: inputs and outputs that fail, and large streams in little memory.

use crate::{
    cases::{Row, Scale},
    damage::Rng,
    subject::{ALGORITHMS, Make, Tally, data},
};
use clipsmaster_host::{
    Host, Request,
    pipeline::{self, CompressOptions, DecompressOptions, Input},
};
use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// A writer that is full after so many bytes, a reader that fails there.
struct Fails<T> {
    inner: T,
    left: usize,
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(28)
}

impl<W: Write> Write for Fails<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(full());
        }
        let n = self.inner.write(&bytes[..bytes.len().min(self.left)])?;
        self.left -= n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Fails<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::from_raw_os_error(5));
        }
        // Short reads, too.
        let most = bytes.len().min(self.left).min(1 + self.left % 977);
        let n = self.inner.read(&mut bytes[..most])?;
        self.left -= n;
        Ok(n)
    }
}

/// J: a full disk and a failing input at many places.
pub(crate) fn failing_ends(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rng = Rng(scale.seed ^ 0x4a);
    let (mut output, mut input) = (Tally::default(), Tally::default());
    for algorithm in ALGORITHMS {
        let raw = data(&mut rng, 60_000);
        let subject = Make::new(algorithm, 20_000, 10).of(host, raw.clone());
        let compressor = host.compressor(&Request::new(algorithm)).expect("installed");
        let options =
            CompressOptions { chunk_bytes: Some(20_000), parity_percent: 10, ..CompressOptions::default() };
        for _ in 0..scale.runs / 200 + 2 {
            let room = rng.below(subject.bytes.len());
            let out = Fails { inner: io::sink(), left: room };
            let done = pipeline::compress(&compressor, &raw[..], out, &options, &|_| {});
            output += told(done.is_err());
            let from = Fails { inner: &raw[..], left: rng.below(raw.len()) };
            let done = pipeline::compress(&compressor, from, io::sink(), &options, &|_| {});
            input += told(done.is_err());
            let left = rng.below(subject.bytes.len());
            let from = Fails { inner: io::Cursor::new(subject.bytes.clone()), left };
            let reading = DecompressOptions::default();
            let done =
                pipeline::decompress(host, Input::Stream(Box::new(from)), &mut io::sink(), &reading, &|_| {});
            input += told(done.is_err());
            let mut out = Fails { inner: io::sink(), left: rng.below(raw.len()) };
            let from = Input::Stream(Box::new(io::Cursor::new(subject.bytes.clone())));
            output += told(pipeline::decompress(host, from, &mut out, &reading, &|_| {}).is_err());
        }
    }
    let row = |what: &str, tally: Tally| Row {
        case: 'J',
        what: what.into(),
        tally,
        must: "all told".into(),
        is_met: tally.is_honest(),
    };
    vec![row("output full at any byte", output), row("input fails at any byte", input)]
}

fn told(is_error: bool) -> Tally {
    if is_error { Tally::refusal() } else { Tally { silent: 1, ..Tally::default() } }
}

/// J: the program is killed at any moment; the output file is the old one, or the new one, whole.
pub(crate) fn killed(program: &dyn Fn() -> Command, scale: Scale, scratch: &Path) -> io::Result<Vec<Row>> {
    let mut rng = Rng(scale.seed ^ 0x4b);
    let (input, output) = (scratch.join("input"), scratch.join("input.zst"));
    fs::write(&input, data(&mut rng, 6_000_000))?;
    let run = || {
        let mut command = program();
        command.args(["compress", "--force", "--parity", "5", "--chunk-size", "256KB", "-q"]).arg(&input);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    run().status()?;
    let new = fs::read(&output)?;
    let old = b"the old file".to_vec();
    let mut tally = Tally::default();
    let files = fs::read_dir(scratch)?.count();
    for _ in 0..(scale.runs / 200).clamp(5, 400) {
        fs::write(&output, &old)?;
        let mut child = run().spawn()?;
        std::thread::sleep(Duration::from_micros(rng.below(60_000) as u64));
        child.kill()?;
        child.wait()?;
        let found = fs::read(&output)?;
        tally.repaired += u64::from(found == old);
        tally.intact += u64::from(found == new);
        tally.silent += u64::from(found != old && found != new);
    }
    let is_met = tally.is_honest() && fs::read_dir(scratch)?.count() == files;
    let must = "old (repaired) or new (intact), nothing left".into();
    Ok(vec![Row { case: 'J', what: "killed at any moment".into(), tally, must, is_met }])
}

/// L: a stream of `mib` through a memory limit; peak memory as the kernel counts it.
pub(crate) fn large(
    program: &dyn Fn() -> Command,
    mib: u64,
    limit: &str,
    most_kib: u64,
) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (algorithm, level) in [("zstd", "3"), ("lz4", "1")] {
        let start = |arguments: &[&str], from: Stdio, to: Stdio| {
            program().args(arguments).args(["--memory-limit", limit]).stdin(from).stdout(to).spawn()
        };
        let mut first = start(
            &["compress", "-a", algorithm, "-l", level, "--parity", "5"],
            Stdio::piped(),
            Stdio::piped(),
        )?;
        let through = first.stdout.take().map_or(Stdio::null(), Stdio::from);
        let mut second = start(&["decompress"], through, Stdio::piped())?;
        let mut into = first.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let writer = std::thread::spawn(move || -> io::Result<()> {
            let mut rng = Rng(0x4c);
            let block = data(&mut rng, 1 << 20);
            for number in 0..mib {
                into.write_all(&number.to_le_bytes())?;
                into.write_all(&block[8..])?;
            }
            Ok(())
        });
        let mut from = second.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (right, peaks) = compare(&mut from, mib, [first.id(), second.id()])?;
        let done =
            writer.join().is_ok_and(|r| r.is_ok()) && first.wait()?.success() && second.wait()?.success();
        let tally = if right && done {
            Tally { intact: 1, ..Tally::default() }
        } else {
            Tally { silent: 1, ..Tally::default() }
        };
        let peak = peaks[0].max(peaks[1]);
        rows.push(Row {
            case: 'L',
            what: format!(
                "{mib} MiB of {algorithm}, limit {limit}, peaks {} and {} MiB",
                peaks[0] >> 10,
                peaks[1] >> 10
            ),
            tally,
            must: format!("right, <= {} MiB", most_kib >> 10),
            is_met: tally.is_honest() && peak <= most_kib,
        });
    }
    Ok(rows)
}

/// Whether the stream comes back, and the most memory of both processes on the way, in KiB.
fn compare(from: &mut impl Read, mib: u64, processes: [u32; 2]) -> io::Result<(bool, [u64; 2])> {
    let mut rng = Rng(0x4c);
    let block = data(&mut rng, 1 << 20);
    let mut found = vec![0; 1 << 20];
    let mut peaks = [0; 2];
    for number in 0..mib {
        if from.read_exact(&mut found).is_err()
            || found[..8] != number.to_le_bytes()
            || found[8..] != block[8..]
        {
            return Ok((false, peaks));
        }
        for (peak, process) in peaks.iter_mut().zip(processes).filter(|_| number % 16 == 0) {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let kib = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
            *peak = kib.unwrap_or(0).max(*peak);
        }
    }
    Ok((from.read(&mut found)? == 0, peaks))
}
