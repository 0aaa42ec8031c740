//! A, B and E: flips of bits, bursts, single bytes.

use super::{
    ALGORITHMS, Make, Rng, Row, Setting, data,
    judge::{Outcome, Truth, Way, judge, runs},
    subject::Subject,
};
use clipsmaster_host::pipeline::OnDamage;
use std::io;

/// A: every flip of a bit, from memory, in a file and through a pipe.
pub(super) fn every_bit(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let mut rng = Rng::of(scale.seed, algorithm, 0);
        let raw = data(&mut rng, scale.small_bytes);
        let subject = Make::new(algorithm, scale.small_bytes / 3, 0).of(host, raw);
        let ways = [
            ("memory", Way::Memory(OnDamage::Error), 1),
            ("file", Way::File(OnDamage::Error), 8),
            ("pipe", Way::Pipe, 8),
        ];
        for (name, way, part) in ways {
            // An odd step, so that all bits of bytes get their turn.
            let step = scale.stride * part + usize::from((scale.stride * part).is_multiple_of(2));
            let flip = |run: u64| {
                let bit = run as usize * step;
                let mut bytes = subject.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                judge(host, way, &bytes, Truth::of(&subject), &mut Rng::of(scale.seed, algorithm, run))
            };
            let count = (subject.bytes.len() * 8).div_ceil(step) as u64;
            let is_pipe = way == Way::Pipe;
            let tally = runs(count, |o| !is_pipe && o == Outcome::Refused, flip);
            let all = is_pipe || tally.right() == tally.runs();
            let must = if is_pipe { "none silent" } else { "all repaired" };
            rows.push(Row::new('A', format!("bit flips, {algorithm}, {name}"), tally, must, all));
        }
    }
    Ok(rows)
}

/// Small containers of all algorithms, with and without parity, of one chunk and of many.
pub(super) fn subjects(setting: Setting<'_>, parities: &[u8]) -> Vec<Subject> {
    let bytes = setting.scale.small_bytes;
    let mut subjects = Vec::new();
    for algorithm in ALGORITHMS {
        for (parity, chunk_bytes) in parities.iter().flat_map(|p| [(*p, bytes), (*p, bytes / 5)]) {
            let mut rng = Rng::of(setting.scale.seed, algorithm, u64::from(parity));
            subjects.push(Make::new(algorithm, chunk_bytes, parity).of(setting.host, data(&mut rng, bytes)));
        }
    }
    subjects
}

/// B: flips, bursts, zeros, FF and noise at random, read in every way.
pub(super) fn random(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let subjects = subjects(setting, &[0, 10]);
    let ways = [
        ("memory", Way::Memory(OnDamage::Error), 2),
        ("memory, skip", Way::Memory(OnDamage::Skip), 4),
        ("memory, zero", Way::Memory(OnDamage::Zero), 8),
        ("file", Way::File(OnDamage::Error), 16),
        ("file, skip", Way::File(OnDamage::Skip), 16),
        ("pipe", Way::Pipe, 16),
        ("range", Way::Range, 16),
        ("repair", Way::Repair, 32),
    ];
    let row = |(name, way, part)| {
        let damaged = |run: u64| {
            let mut rng = Rng::of(scale.seed, name, run);
            let subject = rng.one_of(&subjects);
            let mut bytes = subject.bytes.clone();
            rng.many(&mut bytes);
            judge(host, way, &bytes, Truth::of(subject), &mut rng)
        };
        let tally = runs(scale.part(part), |_| false, damaged);
        Row::new('B', format!("flips and bursts, {name}"), tally, "none silent", true)
    };
    Ok(ways.into_iter().map(row).collect())
}

/// E: one damaged byte anywhere, no parity.
pub(super) fn one_byte(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let mut rows = Vec::new();
    for (what, chunks) in [("one chunk", 1), ("six chunks", 6)] {
        let mut rng = Rng::of(scale.seed, what, 0);
        let make = |algorithm| {
            Make::new(algorithm, scale.small_bytes.div_ceil(chunks), 0)
                .of(host, data(&mut rng, scale.small_bytes))
        };
        let subjects: Vec<Subject> = ALGORITHMS.into_iter().map(make).collect();
        let ways = [("memory", Way::Memory(OnDamage::Error)), ("repair", Way::Repair)];
        for (name, way) in ways {
            let damaged = |run: u64| {
                let mut rng = Rng::of(scale.seed, what, run);
                let subject = rng.one_of(&subjects);
                let mut bytes = subject.bytes.clone();
                rng.change(&mut bytes);
                judge(host, way, &bytes, Truth::of(subject), &mut rng)
            };
            let part = if way == Way::Repair { 60 } else { 20 };
            let tally = runs(scale.part(part), |o| o == Outcome::Refused, damaged);
            let share = tally.right() as f64 / tally.runs() as f64;
            let what = format!("one byte, {what}, {name}");
            rows.push(Row::new('E', what, tally, ">= 99.9 % restored", share >= 0.999));
        }
    }
    Ok(rows)
}
