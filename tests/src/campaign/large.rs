//! L: a stream larger than the memory that may be used.

use super::{Rng, Row, Setting, Tally, data, judge::Outcome};
use std::{
    fs,
    io::{self, Read, Write},
    process::{Child, Command, Stdio},
    thread,
};

const MIB: usize = 1 << 20;

/// Through compression and decompression at once, each with the limit; peak memory is what the kernel counts.
pub(super) fn large(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let (mib, limit) = (setting.scale.large_mib, setting.scale.limit_mib);
    let jobs = [("zstd", "3", "5"), ("lz4", "1", "0")];
    for (algorithm, level, parity) in jobs.into_iter().filter(|_| mib > 0) {
        let options = ["compress", "-a", algorithm, "-l", level, "--parity", parity];
        let mut first = start(setting, &options, Stdio::piped())?;
        let between = first.stdout.take().map_or(Stdio::null(), Stdio::from);
        let mut second = start(setting, &["decompress"], between)?;
        let mut into = first.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let block = data(&mut Rng::of(setting.scale.seed, "large", 0), MIB);
        let content = block.clone();
        let writer = thread::spawn(move || -> io::Result<()> {
            for number in 0..mib {
                into.write_all(&number.to_le_bytes())?;
                into.write_all(&content[8..])?;
            }
            Ok(())
        });
        let mut from = second.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (is_right, peaks) = compare(&mut from, mib, &block, [first.id(), second.id()])?;
        drop(from);
        let is_written = writer.join().is_ok_and(|written| written.is_ok());
        let is_done = first.wait()?.success() & second.wait()?.success();
        let what = format!("{mib} MiB of {algorithm}, peaks {} and {} MiB", peaks[0] >> 10, peaks[1] >> 10);
        let tally = Tally::one(Outcome::right(is_right && is_written && is_done, false));
        let must = format!("right, <= {limit} MiB");
        rows.push(Row::new('L', what, tally, &must, peaks[0].max(peaks[1]) >> 10 <= limit));
    }
    Ok(rows)
}

fn start(setting: Setting<'_>, arguments: &[&str], from: Stdio) -> io::Result<Child> {
    let mut command = Command::new(setting.program);
    command.arg("--plugins-dir").arg(setting.plugins).arg("-q").args(arguments);
    command.env("CLIPSMASTER_CACHE_DIR", setting.host.cache_folder().0);
    command.args(["--memory-limit", &format!("{}MB", setting.scale.limit_mib)]);
    command.stdin(from).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// Whether the stream comes back, and the most memory of both processes on the way, in KiB.
fn compare(
    from: &mut impl Read,
    mib: u64,
    block: &[u8],
    processes: [u32; 2],
) -> io::Result<(bool, [u64; 2])> {
    let mut found = vec![0; MIB];
    let mut peaks = [0; 2];
    for number in 0..mib {
        for (peak, process) in peaks.iter_mut().zip(processes).filter(|_| number % 16 == 0) {
            *peak = peak_kib(process).max(*peak);
        }
        let is_right = from.read_exact(&mut found).is_ok()
            && found[..8] == number.to_le_bytes()
            && found[8..] == block[8..];
        if !is_right {
            return Ok((false, peaks));
        }
    }
    for (peak, process) in peaks.iter_mut().zip(processes) {
        *peak = peak_kib(process).max(*peak);
    }
    Ok((from.read(&mut found)? == 0, peaks))
}

/// Most memory that a process has had resident (proc(5), `VmHWM`); 0 once it has ended.
pub(crate) fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
