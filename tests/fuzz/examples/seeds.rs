//! Writes what fuzzing begins with: a folder of small files for each target, under the folder that is named.
//!
//!     cargo run --example seeds -- corpus

use clipsmaster_fuzz::BENCH;
use clipsmaster_tests::fuzz::{TARGETS, seeds};
use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let root = env::args().nth(1).expect("name a folder");
    let seeds = seeds(BENCH.host);
    for (target, _) in TARGETS {
        let folder = Path::new(&root).join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            // What targets take beside the file: a place and a length, or a codec, before it; whether records are sealed, behind it.
            let inputs: Vec<Vec<u8>> = match target {
                "decoder" => (0..BENCH.codecs.len() as u8).map(|codec| [&[codec], &seed[..]].concat()).collect(),
                "range" => [0, 1, 3].map(|seal| [&[100, 0, 0, 1], &seed[..], &[seal]].concat()).into(),
                _ => [0, 1, 3].map(|seal| [&seed[..], &[seal]].concat()).into(),
            };
            for (way, input) in inputs.iter().enumerate() {
                fs::write(folder.join(format!("seed-{number}-{way}")), input)?;
            }
        }
    }
    Ok(())
}
