//! The fault campaign: damages containers in every way there is a name for, and counts what comes back.
//!
//!     cargo build --release
//!     cargo run --release -p clipsmaster-tests --example campaign [-- --long] [--seed N] [--case X]
//!
//! Fails when something that must hold does not. par2, if installed, is given the same damage.

mod cases;
mod damage;
mod parity;
mod streams;
mod subject;

use cases::{Row, Scale};
use clipsmaster_host::{Benchmarks, Config, Host, probe_entry};
use std::{
    env,
    error::Error,
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

const SHORT: Scale = Scale { seed: 1, runs: 12_000, small_bytes: 6000, stride: 41 };
const LONG: Scale = Scale { seed: 1, runs: 1_000_000, small_bytes: 64 << 10, stride: 1 };

fn main() -> ExitCode {
    probe_entry();
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("campaign: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1));
    let is_long = arguments.iter().any(|a| a == "--long");
    let mut scale = if is_long { LONG } else { SHORT };
    if let Some(seed) = value("--seed") {
        scale.seed = seed.parse()?;
    }
    let only = value("--case").and_then(|c| c.chars().next());
    let wanted = |case: char| only.is_none_or(|o| o == case);
    let scratch = env::temp_dir().join(format!("clipsmaster-campaign-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let program = release()?.join("clipsmaster-host");
    let config = Config::from_env()?;
    let config = Config { benchmarks: Benchmarks::Never, plugin_dirs: vec![release()?], ..config };
    let host = Host::open(config)?;
    println!("seed {}, {} random runs", scale.seed, scale.runs);
    println!(
        "CASE  {:<44}{:>9}{:>9}{:>9}{:>9}{:>8}{:>7}  MUST",
        "WHAT", "RUNS", "INTACT", "REPAIRED", "REFUSED", "SILENT", "PANIC"
    );
    let mut all_met = true;
    let mut show = |rows: Vec<Row>| {
        for row in rows {
            all_met &= row.is_met;
            print(&row);
        }
    };
    type Case = fn(&Host, Scale) -> Vec<Row>;
    let in_memory: [(char, Case); 10] = [
        ('A', cases::flips),
        ('B', cases::random),
        ('B', cases::partial),
        ('C', cases::truncation),
        ('D', cases::moved),
        ('E', cases::one_byte),
        ('F', parity::shards),
        ('H', cases::beheaded),
        ('I', parity::damaged_parity),
        ('J', streams::failing_ends),
    ];
    for (_, case) in in_memory.iter().filter(|(name, _)| wanted(*name)) {
        let start = Instant::now();
        show(case(&host, scale));
        println!("      {:.1} s", start.elapsed().as_secs_f64());
    }
    if wanted('G') {
        let (rows, notes) = parity::matrix(&host, scale, &scratch, false);
        show(rows);
        notes.iter().for_each(|note| println!("      {note}"));
    }
    if wanted('J') {
        show(streams::killed(&|| Command::new(&program), scale, &scratch)?);
    }
    if wanted('L') {
        let (mib, limit, most_mib) = if is_long { (10 << 10, "1GB", 1 << 10) } else { (384, "512MB", 512) };
        show(streams::large(&|| Command::new(&program), mib, limit, most_mib << 10)?);
    }
    fs::remove_dir_all(&scratch)?;
    println!("{}", if all_met { "all met" } else { "NOT all met" });
    Ok(all_met)
}

fn print(row: &Row) {
    let t = &row.tally;
    println!(
        "   {}  {:<44}{:>9}{:>9}{:>9}{:>9}{:>8}{:>7}  {}{}",
        row.case,
        row.what,
        t.runs(),
        t.intact,
        t.repaired,
        t.refused,
        t.silent,
        t.panicked,
        row.must,
        if row.is_met { "" } else { "   <-- NOT MET" }
    );
}

/// Folder of the build: two above this example.
fn release() -> Result<PathBuf, Box<dyn Error>> {
    Ok(env::current_exe()?.ancestors().nth(2).ok_or("not in target/release/examples")?.to_owned())
}
