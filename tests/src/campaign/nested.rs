//! N: containers of containers.

use super::{
    ALGORITHMS, Make, Rng, Row, Setting, data,
    judge::{Outcome, Truth, Way, judge, runs},
    subject::{Kind, Subject},
};
use clipsmaster_host::pipeline::OnDamage;
use std::io;

/// What the inner container is made of, and what the outer one.
const PARITIES: [(u8, u8); 3] = [(0, 0), (10, 0), (0, 10)];

/// Each algorithm within some others: the outer container's original is the inner container, whatever is damaged.
pub(super) fn nested(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let mut subjects: Vec<Subject> = Vec::new();
    for (number, outer) in ALGORITHMS.into_iter().enumerate() {
        for (step, (inside, outside)) in PARITIES.into_iter().enumerate() {
            let mut rng = Rng::of(scale.seed, outer, step as u64);
            let inner = ALGORITHMS[(number + 2 * step) % ALGORITHMS.len()];
            let inner =
                Make::new(inner, scale.small_bytes / 3, inside).of(host, data(&mut rng, scale.small_bytes));
            let chunk_bytes = if step == 0 { 1 << 20 } else { scale.small_bytes / 4 };
            subjects.push(Make::new(outer, chunk_bytes, outside).of(host, inner.bytes));
        }
    }
    let ways = [
        Way::Memory(OnDamage::Error),
        Way::Memory(OnDamage::Skip),
        Way::File(OnDamage::Error),
        Way::File(OnDamage::Zero),
        Way::Pipe,
        Way::Range,
        Way::Repair,
    ];
    type Harm = (&'static str, fn(&mut Rng, &Subject, &mut Vec<u8>));
    let harms: [Harm; 4] = [
        ("not damaged", |_, _, _| {}),
        ("flips and bursts", |rng, _, bytes| rng.many(bytes)),
        ("cut", |rng, _, bytes| bytes.truncate(rng.below(bytes.len()))),
        ("without some kinds of outer records", |rng, subject, bytes| {
            let kinds = [Kind::File, Kind::Chunk, Kind::Index, Kind::Footer, Kind::Table, Kind::Recovery];
            // Without all of them the inner container is the only one there is.
            let kept = [0, 1, 3][rng.below(3)];
            for (number, kind) in kinds.into_iter().enumerate() {
                if number != kept && rng.below(3) > 0 {
                    subject.of(&[kind]).for_each(|range| bytes[range].fill(0));
                }
            }
        }),
    ];
    let row = |(what, harm): Harm| {
        let damaged = |run: u64| {
            let mut rng = Rng::of(scale.seed, what, run);
            let subject = rng.one_of(&subjects);
            let mut bytes = subject.bytes.clone();
            harm(&mut rng, subject, &mut bytes);
            let way = *rng.one_of(&ways);
            judge(host, way, &bytes, Truth::of(subject), &mut rng)
        };
        let is_sound = what == "not damaged";
        let tally = runs(scale.part(20), |o| is_sound && o != Outcome::Intact, damaged);
        let is_met = !is_sound || tally.intact == tally.runs();
        let must = if is_sound { "all intact" } else { "none silent" };
        Row::new('N', format!("container in a container, {what}"), tally, must, is_met)
    };
    Ok(harms.into_iter().map(row).collect())
}
