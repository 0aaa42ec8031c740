//! The fault campaign: damages containers in every way there is a name for, and judges what comes back.
//!
//!     cargo build --release
//!     cargo run --release -p clipsmaster-tests --example campaign -- [--scale short|long] [--seed N] [--case X]
//!
//! Fails when something that must hold does not. par2, if installed, is given the same damage. With `--keep DIR`, containers that
//! were read as something else are kept there. With `--seeds DIR` it only writes the files that fuzzing begins with.

use clipsmaster_host::{Benchmarks, Config, Host, probe_entry};
use clipsmaster_tests::{
    campaign::{CASES, Row, Scale, Setting, keep_bad_in},
    fuzz,
};
use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

type Answer<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    probe_entry();
    // Panics are counted, and told by the number of their run.
    std::panic::set_hook(Box::new(|_| {}));
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("campaign: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What the arguments ask for.
struct Wanted {
    scale: Scale,
    case: Option<char>,
    seeds: Option<PathBuf>,
}

fn wanted() -> Answer<Wanted> {
    let mut wanted = Wanted { scale: Scale::SHORT, case: None, seeds: None };
    let mut seed = None;
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match (name.as_str(), value.as_str()) {
            ("--scale", "short") => wanted.scale = Scale::SHORT,
            ("--scale", "long") => wanted.scale = Scale::LONG,
            ("--runs", runs) => wanted.scale.runs = runs.parse()?,
            ("--seed", number) => seed = Some(number.parse()?),
            ("--case", letter) => wanted.case = letter.to_ascii_uppercase().chars().next(),
            ("--keep", dir) => {
                fs::create_dir_all(dir)?;
                keep_bad_in(dir.into());
            }
            ("--seeds", dir) => wanted.seeds = Some(dir.into()),
            _ => return Err(format!("{name} {value}: see the head of examples/campaign.rs").into()),
        }
    }
    wanted.scale.seed = seed.unwrap_or(wanted.scale.seed);
    Ok(wanted)
}

fn run() -> Answer<bool> {
    let wanted = wanted()?;
    let release = release()?;
    let config = Config::isolated(&release, release.join("tmp/campaign-cache"));
    let host = Host::open(Config { benchmarks: Benchmarks::Never, ..config })?;
    if let Some(dir) = &wanted.seeds {
        return write_seeds(&host, dir).map(|()| true);
    }
    let scratch = env::temp_dir().join(format!("clipsmaster-campaign-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let program = release.join("clipsmaster-host");
    let scale = wanted.scale;
    let setting = Setting { host: &host, program: &program, plugins: &release, scratch: &scratch, scale };
    println!("seed {}, {} random runs\n{}", scale.seed, scale.runs, Row::head());
    let mut all_met = true;
    for (_, case) in CASES.iter().filter(|(letter, _)| wanted.case.is_none_or(|w| w == *letter)) {
        let start = Instant::now();
        for row in case(setting)? {
            all_met &= row.is_met();
            println!("{row}");
        }
        println!("     {:.1} s", start.elapsed().as_secs_f64());
    }
    fs::remove_dir_all(&scratch)?;
    println!("{}", if all_met { "all met" } else { "NOT all met" });
    Ok(all_met)
}

fn write_seeds(host: &Host, dir: &Path) -> Answer<()> {
    fs::create_dir_all(dir)?;
    for (number, seed) in fuzz::seeds(host).into_iter().enumerate() {
        fs::write(dir.join(format!("seed-{number:02}")), seed)?;
    }
    Ok(())
}

/// Folder of the build: two above this example.
fn release() -> Answer<PathBuf> {
    Ok(env::current_exe()?.ancestors().nth(2).ok_or("not in target/release/examples")?.to_owned())
}
