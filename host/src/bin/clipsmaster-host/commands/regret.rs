//! `regret`: how much time the ranking's choices cost against the best ones, on data the benchmark has not seen.

use super::{files::Input, open_measured};
use crate::{
    Failure, Outcome,
    arguments::{Common, RegretArguments},
    code, print, print_json,
    progress::HostProgress,
    table::{Align, Table},
};
use clipsmaster_host::{Direction, Error, Regret, Sample, Tried, size};
use std::{io::Read, path::Path};

/// Most bytes of one file that are looked at.
const MAX_FILE_BYTES: u64 = 64 << 20;

pub(crate) fn run(common: &Common, arguments: &RegretArguments) -> Outcome {
    let samples = if arguments.files.is_empty() {
        Sample::generated()
    } else {
        arguments.files.iter().map(|path| sample(path)).collect::<Result<Vec<_>, _>>()?
    };
    let host = open_measured(common)?;
    let regret = {
        let progress = HostProgress::new(common);
        host.regret(&arguments.algorithm, &samples, &|p| progress.show(p))?
    };
    if common.json {
        print_json(&regret)?;
    } else {
        print(&text(&regret, arguments.files.is_empty()))?;
    }
    if regret.cells.is_empty() {
        let why = regret.skipped.join("; ");
        return Err(Failure::new(
            code::FAILED,
            format!("no cell has two implementations to choose from: {why}"),
        ));
    }
    Ok(())
}

fn sample(path: &Path) -> Result<Sample, Failure> {
    let input = Input::open(path, "measure")?;
    let name = input.name.display().to_string();
    let mut data = Vec::new();
    input.reader().take(MAX_FILE_BYTES).read_to_end(&mut data).map_err(Error::io("read", path))?;
    Ok(Sample { name, data })
}

fn text(regret: &Regret, is_generated: bool) -> String {
    let mut text = String::new();
    if is_generated {
        text.push_str(
            "data: generated as the built-in benchmark data is, from another seed (name files to try data of your own)\n\n",
        );
    }
    let mut table = Table::new(&[
        ("ALGORITHM", Align::Left),
        ("LEVEL", Align::Right),
        ("SIZE", Align::Right),
        ("DIRECTION", Align::Left),
        ("CHOICE", Align::Left),
        ("BEST", Align::Left),
        ("REGRET", Align::Right),
        ("KEPT", Align::Right),
        ("DATA", Align::Left),
    ]);
    for c in &regret.cells {
        let (direction, pair): (_, fn(&Tried) -> String) = match c.direction {
            Direction::Decompress => ("decompress", |t| t.implementation.clone()),
            _ => ("compress", |t| format!("{} level {}", t.implementation, t.level)),
        };
        table.row(vec![
            c.algorithm.clone(),
            c.level.to_string(),
            size::binary(c.bytes),
            direction.into(),
            pair(&c.choice),
            pair(&c.best),
            format!("{:.3}", c.regret),
            format!("{:.3}", c.kept),
            c.sample.clone(),
        ]);
    }
    text.push_str(&table.render());
    for skipped in &regret.skipped {
        text.push_str(&format!("left out: {skipped}\n"));
    }
    if let (Some(median), Some(p95), Some(worst)) = (regret.median, regret.percentile_95, regret.worst) {
        text.push_str(&format!(
            "\nregret over {} cells: median {median:.3}, 95th percentile {p95:.3}, worst {worst:.3}\n",
            regret.cells.len()
        ));
    }
    if let Some(least) = regret.least_kept.filter(|_| regret.broken_promises > 0) {
        text.push_str(&format!(
            "promised ratio missed on this data: {} cells, at worst {:.1} % of it was reached\n",
            regret.broken_promises,
            100.0 * least
        ));
    }
    text
}
