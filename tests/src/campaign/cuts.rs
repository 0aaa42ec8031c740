//! C: files that end too early.

use super::{
    ALGORITHMS, Make, Rng, Row, Setting, data,
    judge::{Outcome, Truth, Way, judge, runs},
    subject::Subject,
};
use clipsmaster_host::pipeline::OnDamage;
use std::io;

/// Cut at every byte, and at the end of every frame and record.
pub(super) fn truncation(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let subjects: Vec<Subject> = [(2500, 0), (2500, 10), (9000, 0), (9000, 10)]
            .map(|(chunk_bytes, parity)| {
                let raw = data(&mut Rng::of(scale.seed, algorithm, 0), 6000);
                Make::new(algorithm, chunk_bytes, parity).of(host, raw)
            })
            .into();
        let cuts = |subject: &Subject| -> Vec<usize> {
            let ends = subject.parts.iter().map(|p| p.range.end).filter(|end| *end < subject.bytes.len());
            (0..subject.bytes.len()).step_by(scale.stride.min(101)).chain(ends).collect()
        };
        let all: Vec<(usize, usize)> = (0..subjects.len())
            .flat_map(|n| cuts(&subjects[n]).into_iter().map(move |cut| (n, cut)))
            .collect();
        let ways = [
            ("memory", Way::Memory(OnDamage::Skip), 1),
            ("file", Way::File(OnDamage::Error), 2),
            ("pipe", Way::Pipe, 2),
        ];
        for (name, way, step) in ways {
            let is_bad = |o| o == Outcome::Intact || way == Way::Pipe && o != Outcome::Refused;
            let cut = |run: u64| {
                let (number, cut) = all[run as usize * step];
                let subject = &subjects[number];
                let mut rng = Rng::of(scale.seed, algorithm, run);
                judge(host, way, &subject.bytes[..cut], Truth::of(subject), &mut rng)
            };
            let tally = runs(all.len().div_ceil(step) as u64, is_bad, cut);
            let is_met = tally.bad.is_empty();
            let must = if way == Way::Pipe { "all refused" } else { "none intact" };
            rows.push(Row::new('C', format!("truncation, {algorithm}, {name}"), tally, must, is_met));
        }
    }
    Ok(rows)
}
