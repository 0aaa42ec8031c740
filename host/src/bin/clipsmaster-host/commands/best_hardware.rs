//! `best-hardware`: which implementation serves a request, and why not another.

use super::open_measured;
use crate::{
    Outcome,
    arguments::{BestArguments, Common, What},
    print, print_json,
    progress::HostProgress,
    table::{Align, Table},
};
use clipsmaster_host::{Ranking, Request, size};

pub(crate) fn run(common: &Common, arguments: &BestArguments) -> Outcome {
    let host = open_measured(common)?;
    let request = Request {
        level: arguments.level,
        hardware: arguments.hardware.clone().filter(|h| h != "auto"),
        direction: arguments.direction.into(),
        ..Request::new(&arguments.algorithm).bytes(arguments.size)
    };
    let ranking = {
        let progress = HostProgress::new(common);
        host.rank_measured(&request, &|p| progress.show(p))?
    };
    if common.json {
        print_json(&ranking)?;
    } else {
        print(&text(&ranking, arguments))?;
    }
    if ranking.ranked.is_empty() {
        return Err(host.no_implementation(&request, ranking).into());
    }
    Ok(())
}

fn text(ranking: &Ranking, arguments: &BestArguments) -> String {
    let Some(best) = ranking.ranked.first() else { return String::new() };
    let mut text = format!("{} level {}\n", best.implementation, best.level);
    if !arguments.explain {
        return text;
    }
    if let (Some(reference), Some(ratio)) = (&ranking.reference, ranking.asked_ratio) {
        text.push_str(&format!("asked: ratio {ratio:.2}, what {reference} reaches\n"));
    }
    text.push('\n');
    let mut table = Table::new(&[
        ("RANK", Align::Right),
        ("IMPLEMENTATION", Align::Left),
        ("LEVEL", Align::Right),
        ("MB/s", Align::Right),
        ("RATIO", Align::Right),
        ("WHY", Align::Left),
    ]);
    let dash = || "-".to_owned();
    for (i, r) in ranking.ranked.iter().enumerate() {
        table.row(vec![
            (i + 1).to_string(),
            r.implementation.clone(),
            r.level.to_string(),
            r.predicted_s.map_or_else(dash, |s| format!("{:.0}", arguments.size as f64 / 1e6 / s)),
            r.ratio.map_or_else(dash, |r| format!("{r:.2}")),
            r.reason.clone(),
        ]);
    }
    for r in &ranking.rejected {
        table.row(vec![dash(), r.implementation.clone(), dash(), dash(), dash(), r.reason.clone()]);
    }
    text.push_str(&table.render());
    let what = match arguments.direction {
        What::Compress => "compressing",
        What::Decompress => "decompressing",
        What::Both => "compressing and decompressing",
    };
    text.push_str(&format!("\nMB/s is predicted for {what} pieces of {}\n", size::binary(arguments.size)));
    text
}
