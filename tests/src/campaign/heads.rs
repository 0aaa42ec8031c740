//! H: what leads to the chunks is gone.

use super::{
    ALGORITHMS, Make, Rng, Row, Setting, data,
    judge::{Outcome, runs},
    subject::Kind,
};
use clipsmaster_host::{Restored, pipeline::OnDamage};
use std::io;

/// Kinds of records that are zeroed: the chunks' own are left, or the index.
const LOSSES: [(&str, &[Kind]); 2] = [
    ("head, indexes, footers", &[Kind::File, Kind::Index, Kind::Footer]),
    ("head, chunk records, footers", &[Kind::File, Kind::Chunk, Kind::Footer]),
];

/// Without these records and without parity, and with one frame damaged in half of the runs: all other chunks must come back.
pub(super) fn beheaded(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let raw = data(&mut Rng::of(scale.seed, algorithm, 0), scale.small_bytes);
        let subject = Make::new(algorithm, scale.small_bytes / 8, 0).of(host, raw);
        let (chunks, frames): (Vec<_>, Vec<_>) =
            (subject.chunks(), subject.of(&[Kind::Frame]).collect::<Vec<_>>());
        for (what, kinds) in LOSSES {
            let zeroed = |run: u64| {
                let mut rng = Rng::of(scale.seed, algorithm, run);
                let mut bytes = subject.bytes.clone();
                subject.of(kinds).for_each(|range| bytes[range].fill(0));
                let mut left = subject.original.clone();
                if run % 2 == 1 {
                    let lost = rng.below(frames.len());
                    rng.flips(&mut bytes[frames[lost].clone()], 40);
                    left.drain(chunks[lost].clone());
                }
                match host.safe_decompress(&bytes, OnDamage::Skip) {
                    Restored::Partial { data, .. } if data == left => Outcome::Partial,
                    Restored::Repaired { data, .. } => Outcome::right(data == subject.original, true),
                    Restored::Intact(_) => Outcome::Silent,
                    Restored::Partial { .. } | Restored::Failed(_) => Outcome::Refused,
                }
            };
            let tally = runs(6, |o| o == Outcome::Refused, zeroed);
            let is_met = tally.refused == 0;
            rows.push(Row::new(
                'H',
                format!("{what} zeroed, {algorithm}"),
                tally,
                "all whole chunks",
                is_met,
            ));
        }
    }
    Ok(rows)
}
