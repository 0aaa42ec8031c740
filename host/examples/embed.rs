//! A complete embedding application: keeps a few resources in memory, compressed with the best of this machine.
//!
//!     cargo build --release && cargo run --release -p clipsmaster-host --example embed
//!
//! The first line of `main` lets the host run this program again as its own probe helper, so that an
//! application needs nothing beside itself and the plugins folder.

use clipsmaster_host::{Benchmarks, Config, Host, Metadata, probe_entry};
use std::{collections::BTreeMap, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    probe_entry();

    // The plugins of this build lie one folder above target/<profile>/examples; an argument names another.
    let beside = std::env::current_exe()?.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    let plugins = std::env::args_os().nth(1).map_or(beside, PathBuf::from);
    let mut config = Config::from_env()?;
    config.plugin_dirs.insert(0, plugins);
    config.benchmarks = Benchmarks::Never;
    let host = Host::open(config)?;
    println!("algorithms: {}", host.algorithms().join(", "));

    let resources: [(&str, &str, i32, Vec<u8>); 3] = [
        ("captions", "lz4", 1, b"00:00:01,000 --> 00:00:02,000\nHello.\n\n".repeat(500)),
        ("weights", "zstd", 3, (0..50_000_u32).flat_map(|i| (i as f32).sqrt().to_le_bytes()).collect()),
        ("log", "gzip", 6, b"INFO clip rendered in 12 ms\n".repeat(2000)),
    ];
    let mut kept: BTreeMap<&str, (Vec<u8>, Metadata)> = BTreeMap::new();
    for (name, algorithm, level, data) in &resources {
        let best = host.get_best_hardware(algorithm, *level)?;
        let (compressed, metadata) = best.compress(data)?;
        println!(
            "{name}: {} -> {} bytes with {} level {}",
            data.len(),
            compressed.len(),
            metadata.implementation,
            metadata.level
        );
        kept.insert(name, (compressed, metadata));
    }
    for (name, _, _, data) in &resources {
        let (compressed, metadata) = &kept[name];
        assert_eq!(&host.decompress_data(compressed, Some(metadata))?, data);
    }
    println!("all restored");
    Ok(())
}
