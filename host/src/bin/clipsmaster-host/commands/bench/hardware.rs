//! `bench --hardware`: what each hardware does with a larger piece of data.

use crate::{
    Failure, Outcome,
    arguments::{BenchArguments, Common},
    commands::open,
    print, print_json,
    progress::HostProgress,
    table::{Align, Table},
};
use clipsmaster_host::{HARDWARE_BENCHMARK_BYTES, HardwareFigures, size};
use std::collections::BTreeMap;

pub(crate) fn run(common: &Common, arguments: &BenchArguments) -> Outcome {
    let bytes = match arguments.what.size[..] {
        [] => HARDWARE_BENCHMARK_BYTES,
        [bytes] => usize::try_from(bytes).map_err(|_| Failure::usage("--size is too large"))?,
        _ => return Err(Failure::usage("bench --hardware takes one --size")),
    };
    let iterations = arguments.iterations;
    let host = open(common)?;
    let figures = {
        let progress = HostProgress::new(common);
        host.benchmark_hardware_with(bytes, iterations, &|p| progress.show(p))?
    };
    if common.json { print_json(&figures) } else { print(&text(&figures, bytes, iterations)) }
}

fn text(all: &BTreeMap<String, HardwareFigures>, bytes: usize, iterations: u32) -> String {
    if all.is_empty() {
        return "no plugins found; `clipsmaster-host doctor` shows the folders searched\n".into();
    }
    let mut text = String::new();
    for (name, hardware) in all {
        let device = if hardware.device.is_empty() { "not available" } else { &hardware.device };
        text.push_str(&format!("{name}: {device}\n"));
        let mut table = Table::new(&[
            ("  IMPLEMENTATION", Align::Left),
            ("LEVEL", Align::Right),
            ("COMP MB/s", Align::Right),
            ("DECOMP MB/s", Align::Right),
            ("RATIO", Align::Right),
        ]);
        for f in &hardware.implementations {
            table.row(vec![
                format!("  {}", f.implementation),
                f.level.to_string(),
                format!("{:.0}", f.compression_speed),
                format!("{:.0}", f.decompression_speed),
                format!("{:.2}", f.ratio),
            ]);
        }
        if !hardware.implementations.is_empty() {
            text.push_str(&table.render());
        }
        for missing in &hardware.not_measured {
            text.push_str(&format!("  {}: {}\n", missing.implementation, missing.reason));
        }
    }
    let size = size::binary(bytes as u64);
    text.push_str(&format!("\nmedians of {iterations} with {size} of the built-in data, all processors\n"));
    text
}
