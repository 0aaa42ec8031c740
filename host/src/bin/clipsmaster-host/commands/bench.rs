//! `bench --hardware`: what each hardware does with a larger piece of data.

use super::open;
use crate::{
    Failure, Outcome,
    arguments::{BenchArguments, Common},
    print, print_json,
    progress::HostProgress,
    table::{Align, Table},
};
use clipsmaster_host::{HardwareFigures, size};
use std::collections::BTreeMap;

pub(crate) fn run(common: &Common, arguments: &BenchArguments) -> Outcome {
    if !arguments.hardware {
        return Err(Failure::usage("bench measures hardware only so far: use `bench --hardware`"));
    }
    let bytes = usize::try_from(arguments.size).map_err(|_| Failure::usage("--size is too large"))?;
    let host = open(common)?;
    let figures = {
        let progress = HostProgress::new(common);
        host.benchmark_hardware_with(bytes, arguments.iterations, &|p| progress.show(p))?
    };
    if common.json { print_json(&figures) } else { print(&text(&figures, arguments)) }
}

fn text(all: &BTreeMap<String, HardwareFigures>, arguments: &BenchArguments) -> String {
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
    let size = size::binary(arguments.size);
    text.push_str(&format!(
        "\nmedians of {} with {size} of the built-in data, all processors\n",
        arguments.iterations
    ));
    text
}
