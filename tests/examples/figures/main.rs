//! Prints the project's figures: call overhead, start-up, scaling and memory of `compress`, the container, gzip beside its peers.
//!
//!     cargo build --release
//!     cargo run --release -p clipsmaster-tests --example figures -- CORPUS_DIR
//!
//! CORPUS_DIR holds any files; without it 64 MiB of generated text serve. Instructions are counted by
//! valgrind's callgrind, which must be installed for that part. Runs that are compared are interleaved, and medians are shown.

mod container;
mod gzip;

use clipsmaster_plugin_api::{Options, abi::import};
use std::{
    env, fs,
    hint::black_box,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

type Answer<T> = Result<T, Box<dyn std::error::Error>>;

const CHUNK_BYTES: usize = 64 << 10;
const MIB: f64 = 1_048_576.0;

fn main() -> Answer<()> {
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|a| a == "calls") {
        return calls(&arguments[2], arguments[3].parse()?, Path::new(&arguments[4]));
    }
    let scratch = env::temp_dir().join(format!("clipsmaster-figures-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let input = input(arguments.get(1).map(Path::new), &scratch)?;
    let done =
        call_overhead(&input).and_then(|()| start_up(&scratch)).and_then(|()| scaling(&input, &scratch));
    let done = done.and_then(|()| container::figures(&input, &scratch));
    let done = done.and_then(|()| gzip::figures(&input, &scratch));
    fs::remove_dir_all(&scratch)?;
    done
}

/// Runs of each command; fewer where `CLIPSMASTER_FIGURES_ROUNDS` says so.
fn rounds() -> usize {
    const ROUNDS: usize = 7;
    std::env::var("CLIPSMASTER_FIGURES_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS).max(1)
}

/// Folder of the release build: two above this example.
fn release() -> Answer<PathBuf> {
    Ok(env::current_exe()?.ancestors().nth(2).ok_or("not in target/release/examples")?.to_owned())
}

/// All files of a folder in one, or generated text.
fn input(corpus: Option<&Path>, scratch: &Path) -> Answer<PathBuf> {
    let path = scratch.join("input");
    let mut out = fs::File::create(&path)?;
    match corpus {
        Some(dir) => {
            let mut files: Vec<PathBuf> =
                fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
            files.sort();
            for file in files.iter().filter(|f| f.is_file()) {
                std::io::copy(&mut fs::File::open(file)?, &mut out)?;
            }
        }
        None => {
            for n in 0..1_000_000_u32 {
                writeln!(
                    out,
                    "line {n} of the generated text, number {:08x}",
                    n.wrapping_mul(2_654_435_761)
                )?;
            }
        }
    }
    Ok(path)
}

// Call overhead ------------------------------------------------------------------------------------------------

/// Compresses the same chunk `count` times: `direct`, with lz4_flex in this program, or `plugin`, with the plugin
/// that contains the same code. Run under callgrind by [`call_overhead`].
fn calls(how: &str, count: usize, input: &Path) -> Answer<()> {
    let text = fs::read(input)?;
    let chunk = &text[..CHUNK_BYTES];
    let mut out = vec![0; 2 * CHUNK_BYTES];
    if how == "direct" {
        let mut table = lz4_flex::block::CompressTable::small();
        for _ in 0..count {
            let written =
                clipsmaster_framing::lz4::compress(black_box(chunk), &mut out, true, |block, dst| {
                    lz4_flex::block::compress_into_with_table(block, dst, &mut table).ok()
                })?;
            black_box(written);
        }
    } else {
        let mut instance = open("libclipsmaster_plugin_lz4.so", 1)?;
        for _ in 0..count {
            black_box(instance.compress(black_box(chunk), &mut out)?);
        }
    }
    Ok(())
}

fn open(library: &str, level: i32) -> Answer<import::Instance> {
    let codec = clipsmaster_tests::load(&release()?.join(library))?.codec(0).ok_or("no codec")?;
    Ok(codec.open(level, &Options::default())?)
}

fn call_overhead(input: &Path) -> Answer<()> {
    println!("call overhead, 64 KiB chunks, lz4 (lz4_flex)");
    let instructions =
        |how: &str| -> Answer<f64> { Ok((counted(how, 60, input)? - counted(how, 10, input)?) / 50.0) };
    match (instructions("direct"), instructions("plugin")) {
        (Ok(direct), Ok(plugin)) => println!(
            "  instructions per call: direct {direct:.0}, plugin {plugin:.0}: {:+.2} %",
            (plugin / direct - 1.0) * 100.0
        ),
        (Err(e), _) | (_, Err(e)) => println!("  instructions per call: skipped, callgrind cannot run: {e}"),
    }
    let mut store = open("libclipsmaster_plugin_store.so", 0)?;
    let (src, mut dst) = ([7_u8; 64], [0_u8; 64]);
    let mut per_call = |through_plugin: bool| -> Answer<f64> {
        let start = Instant::now();
        for _ in 0..1_000_000 {
            if through_plugin {
                black_box(store.compress(black_box(&src), &mut dst)?);
            } else {
                black_box(&mut dst).copy_from_slice(black_box(&src));
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let (mut through, mut without) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        through.push(per_call(true)?);
        without.push(per_call(false)?);
    }
    println!(
        "  fixed cost of a call: {:.1} ns (store, 64 bytes)\n",
        median(&mut through) - median(&mut without)
    );
    Ok(())
}

fn counted(how: &str, count: usize, input: &Path) -> Answer<f64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["calls", how, &count.to_string()])
        .arg(input)
        .output()?;
    let text = String::from_utf8_lossy(&out.stderr);
    let line = text.lines().find_map(|l| l.split_once("Collected :")).ok_or("no instruction count")?;
    Ok(line.1.trim().parse()?)
}

// Start-up -----------------------------------------------------------------------------------------------------

fn host(cache: &Path) -> Answer<Command> {
    let mut command = Command::new(release()?.join("clipsmaster-host"));
    command
        .env("HOME", cache)
        .env("CLIPSMASTER_CACHE_DIR", cache.join("cache"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

fn timed(mut command: Command) -> Answer<f64> {
    let start = Instant::now();
    let status = command.status()?;
    status
        .success()
        .then(|| start.elapsed().as_secs_f64())
        .ok_or_else(|| format!("{command:?}: {status}").into())
}

fn list(cache: &Path) -> Answer<Command> {
    let mut command = host(cache)?;
    command.arg("list-plugins");
    Ok(command)
}

fn start_up(scratch: &Path) -> Answer<()> {
    println!("list-plugins");
    println!("  first run, all proven and measured: {:.1} s", timed(list(scratch)?)?);
    let mut runs = Vec::new();
    for _ in 0..21 {
        runs.push(timed(list(scratch)?)? * 1e3);
    }
    println!("  cached: {:.1} ms\n", median(&mut runs));
    Ok(())
}

// Scaling and memory -------------------------------------------------------------------------------------------

fn scaling(input: &Path, scratch: &Path) -> Answer<()> {
    let bytes = fs::metadata(input)?.len();
    println!("compress --algorithm zstd --level 3, {:.0} MiB", bytes as f64 / MIB);
    let command = |threads: usize, input: &Path, output: &str| -> Answer<Command> {
        let mut command = host(scratch)?;
        command.args(["compress", "--algorithm", "zstd", "--level", "3", "--force", "--threads"]);
        command.arg(threads.to_string()).arg(input).arg("-o").arg(scratch.join(output));
        Ok(command)
    };
    let compress = |threads: usize, input: &Path| watched(command(threads, input, "out.zst")?);
    let (mut one, mut two, mut both, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..11 {
        one.push(compress(1, input)?.0);
        let (seconds, peak) = compress(2, input)?;
        two.push(seconds);
        memory = memory.max(peak);
        let start = Instant::now();
        let mut other = command(1, input, "other.zst")?.spawn()?;
        compress(1, input)?;
        other.wait()?;
        both.push(start.elapsed().as_secs_f64());
    }
    let (one, two, both) = (median(&mut one), median(&mut two), median(&mut both));
    let mb_s = |seconds: f64| bytes as f64 / 1e6 / seconds;
    println!("  1 thread {:.0} MB/s, 2 threads {:.0} MB/s: {:.2}x", mb_s(one), mb_s(two), one / two);
    println!("  two programs of 1 thread at once, the machine's own limit: {:.2}x", 2.0 * one / both);
    let twice = scratch.join("twice");
    let content = fs::read(input)?;
    fs::write(&twice, [&content[..], &content[..]].concat())?;
    let (_, larger) = compress(2, &twice)?;
    println!(
        "  peak memory, 2 threads: {:.0} MiB; of twice the input: {:.0} MiB",
        memory as f64 / MIB,
        larger as f64 / MIB
    );
    Ok(())
}

/// Wall time in seconds, and peak resident memory in bytes (`VmHWM`, read until the process ends).
fn watched(mut command: Command) -> Answer<(f64, u64)> {
    let start = Instant::now();
    let mut child = command.spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            let seconds = start.elapsed().as_secs_f64();
            return status
                .success()
                .then_some((seconds, peak_kib << 10))
                .ok_or_else(|| format!("{command:?}: {status}").into());
        }
        let text = fs::read_to_string(&status_file).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        peak_kib =
            line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(peak_kib).max(peak_kib);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
