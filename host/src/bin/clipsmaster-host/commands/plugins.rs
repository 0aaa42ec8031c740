//! `plugins refresh` and `plugins quarantine`.

use super::{list_plugins, open};
use crate::{
    Failure, Outcome,
    arguments::{Common, ListArguments},
    code, print, print_json,
    progress::HostProgress,
    table::{Align, Table},
};

pub(crate) fn refresh(common: &Common) -> Outcome {
    let host = open(common)?;
    {
        let progress = HostProgress::new(common);
        host.refresh_all(&|p| progress.show(p))?;
    }
    list_plugins::run(common, &ListArguments { verbose: false })
}

pub(crate) fn quarantine_list(common: &Common) -> Outcome {
    let quarantined = open(common)?.quarantined();
    if common.json {
        return print_json(&quarantined);
    }
    if quarantined.is_empty() {
        return print("nothing is in quarantine\n");
    }
    let mut table = Table::new(&[
        ("PLUGIN", Align::Left),
        ("VERSION", Align::Left),
        ("HASH", Align::Left),
        ("REASON", Align::Left),
    ]);
    for (hash, report) in quarantined {
        let hash = hash.get(..12).unwrap_or(&hash).to_owned();
        table.row(vec![report.info.id, report.info.version, hash, report.verdict.reason]);
    }
    print(&table.render())
}

pub(crate) fn quarantine_clear(common: &Common, id: &str) -> Outcome {
    let host = open(common)?;
    let known: Vec<String> = host.quarantined().into_iter().map(|(_, r)| r.info.id).collect();
    if host.clear_quarantine(id)? == 0 {
        let known = if known.is_empty() { "nothing".into() } else { known.join(", ") };
        return Err(Failure::new(code::FAILED, format!("`{id}` is not in quarantine; in it: {known}")));
    }
    print(&format!("{id} is out of quarantine; it is proven again at the next start\n"))
}
