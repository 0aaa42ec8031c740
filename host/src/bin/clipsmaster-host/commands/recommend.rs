//! `recommend`: the best algorithm, level and implementation for each file, by measuring.

use super::{refuse_existing, study::measure, write_file};
use crate::{
    Outcome,
    arguments::{Aim, Common, RecommendArguments},
    print, print_json,
    table::{Align, Table},
};
use clipsmaster_host::{Objective, Recommendation, Study, policy_proposal, size};
use std::io::{self, Write};

pub(crate) fn run(common: &Common, arguments: &RecommendArguments) -> Outcome {
    refuse_existing(arguments.write_policy.as_ref(), arguments.force)?;
    let study = match &arguments.from {
        Some(path) => Study::load(path)?,
        None => measure(common, &arguments.what, vec![1])?,
    };
    let floors = arguments.floors.into();
    let objectives = match arguments.objective.map(Objective::from) {
        Some(only) => vec![only],
        None => vec![Objective::Speed, Objective::Balanced, Objective::Ratio],
    };
    let mut all = Vec::new();
    for objective in objectives {
        all.extend(study.recommend(objective, floors)?);
    }
    if common.json { print_json(&all) } else { print(&text(&study, &all)) }?;
    let Some(path) = &arguments.write_policy else { return Ok(()) };
    let objective = arguments.objective.unwrap_or(Aim::Balanced).into();
    all.retain(|r| r.objective == objective);
    let head = format!(
        "# Proposed for {objective} by `clipsmaster-host recommend`, measured on {}.\n",
        study.machine.processor
    );
    write_file(path, arguments.force, &(head + &policy_proposal(&all)?))?;
    if !common.quiet {
        let path = path.display();
        let _ = writeln!(
            io::stderr(),
            "wrote {path}; `clipsmaster-host policy verify {path}` checks it, --config {path} uses it"
        );
    }
    Ok(())
}

/// By data, then by objective.
fn text(study: &Study, all: &[Recommendation]) -> String {
    let mut table = Table::new(&[
        ("DATA", Align::Left),
        ("FOR", Align::Left),
        ("IMPLEMENTATION", Align::Left),
        ("LEVEL", Align::Right),
        ("RATIO", Align::Right),
        ("COMP MB/s", Align::Right),
        ("DECOMP MB/s", Align::Right),
        ("WHY", Align::Left),
    ]);
    let by_data = study.data.iter().flat_map(|d| all.iter().filter(|r| r.data == d.name));
    for r in by_data {
        let speed = |mb_s: f64| if mb_s > 0.0 { format!("{mb_s:.0}") } else { "-".into() };
        table.row(vec![
            r.data.clone(),
            r.objective.to_string(),
            r.implementation.clone().unwrap_or_else(|| r.algorithm.clone()),
            r.level.to_string(),
            format!("{:.2}", r.ratio),
            speed(r.compress_mb_s),
            speed(r.decompress_mb_s),
            r.why.clone(),
        ]);
    }
    let piece = all.iter().map(|r| r.piece_bytes).max().unwrap_or_default();
    let piece = size::binary(piece);
    table.render()
        + &format!(
            "\non one thread in pieces of {piece} at most; `compress --algorithm auto` chooses for each file anew, with filters\n"
        )
}
