//! F and I: as many shards lost as can be rebuilt, and damage to what they are rebuilt from.

use super::{
    ALGORITHMS, Make, Rng, Row, Setting,
    judge::{Outcome, Truth, Way, judge, runs},
    subject::{HEADER_BYTES, Kind, Subject},
};
use clipsmaster_host::pipeline::OnDamage;
use std::{io, ops::Range};

/// Bytes before the shard in the payload of a recovery record.
const RECOVERY_HEAD_BYTES: usize = 16;

/// A container with parity, and how its first group is cut.
struct Group {
    subject: Subject,
    shard_bytes: usize,
    /// Shards that hold nothing but frames.
    of_frames: Vec<usize>,
    recovery: Vec<Range<usize>>,
    tables: Vec<Range<usize>>,
}

impl Group {
    fn new(subject: Subject) -> Self {
        let recovery: Vec<_> = subject.of(&[Kind::Recovery]).collect();
        let tables: Vec<_> = subject.of(&[Kind::Table]).collect();
        let shard_bytes = shard_bytes(&subject.bytes[recovery[0].clone()]);
        let is_frame = |shard: &usize| {
            let range = shard * shard_bytes..(shard + 1) * shard_bytes;
            subject.of(&[Kind::Frame]).any(|frame| frame.start <= range.start && range.end <= frame.end)
        };
        let of_frames = (0..tables[0].start / shard_bytes).filter(is_frame).collect();
        Self { subject, shard_bytes, of_frames, recovery, tables }
    }

    /// Damages `count` shards: so many bytes of each that they cannot be corrected one by one.
    fn lose(&self, rng: &mut Rng, bytes: &mut [u8], count: usize) {
        let first = rng.below(self.of_frames.len() - count + 1);
        // One after the other, or all over the place.
        let is_burst = rng.below(2) == 0;
        let chosen = rng.some(count, self.of_frames.len());
        let chosen = chosen.into_iter().enumerate().map(|(n, i)| if is_burst { first + n } else { i });
        for shard in chosen.map(|i| self.of_frames[i]) {
            let start = shard * self.shard_bytes + rng.below(self.shard_bytes - 16);
            bytes[start..start + 16].iter_mut().for_each(|b| *b ^= 0x55);
        }
    }
}

/// From the header of a recovery record: the length of its payload.
fn shard_bytes(record: &[u8]) -> usize {
    let at = record.windows(8).position(|w| w == super::MAGIC).expect("a record has a header");
    let len = u32::from_le_bytes([record[at + 12], record[at + 13], record[at + 14], record[at + 15]]);
    debug_assert!(at + HEADER_BYTES + len as usize <= record.len());
    len as usize - RECOVERY_HEAD_BYTES
}

fn groups(setting: Setting<'_>) -> Vec<Group> {
    let is_long = setting.scale.stride == 1;
    let bytes = (setting.scale.small_bytes * 20).min(300_000);
    let mut groups = Vec::new();
    for algorithm in ALGORITHMS {
        let mut rng = Rng::of(setting.scale.seed, algorithm, 0);
        // Noise: a container as large as its original. Shards of more than 512 bytes where there is time for it.
        let large = if is_long && algorithm == "zstd" { Some(3_000_000) } else { None };
        for bytes in [Some(bytes), large].into_iter().flatten() {
            let make = Make::new(algorithm, bytes / 3, 10);
            groups.push(Group::new(make.of(setting.host, rng.bytes(bytes))));
        }
    }
    groups
}

/// F: one shard, as many as there are for recovery, one more.
pub(super) fn shards(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let groups = groups(setting);
    let mut rows = Vec::new();
    type Count = fn(&mut Rng, usize) -> usize;
    let counts: [(&str, Count); 3] = [
        ("up to R shards lost", |rng, all| 1 + rng.below(all)),
        ("R shards lost", |_, all| all),
        ("R + 1 shards lost", |_, all| all + 1),
    ];
    for (what, count) in counts {
        let is_too_much = what.contains('+');
        let damaged = |run: u64| {
            let mut rng = Rng::of(scale.seed, what, run);
            let group = rng.one_of(&groups);
            let lost = count(&mut rng, group.recovery.len());
            let mut bytes = group.subject.bytes.clone();
            group.lose(&mut rng, &mut bytes, lost);
            let ways = [Way::Memory(OnDamage::Error), Way::File(OnDamage::Error), Way::Repair];
            let way = *rng.one_of(&ways);
            judge(host, way, &bytes, Truth::of(&group.subject), &mut rng)
        };
        let is_bad = |o| (o == Outcome::Refused) != is_too_much;
        let tally = runs(scale.part(100), is_bad, damaged);
        let is_met = if is_too_much { tally.refused == tally.runs() } else { tally.right() == tally.runs() };
        rows.push(Row::new(
            'F',
            what,
            tally,
            if is_too_much { "all refused" } else { "all restored" },
            is_met,
        ));
    }
    Ok(rows)
}

/// What else is lost, and how many shards can be rebuilt then.
type Harm = (&'static str, fn(&mut Rng, &Group, &mut [u8]) -> usize);

const HARMS: [Harm; 5] = [
    ("some recovery shards, and as many as the rest", |rng, group, bytes| {
        let all = group.recovery.len();
        let lost = 1 + rng.below(all - 1);
        for record in rng.some(lost, all) {
            let record = &mut bytes[group.recovery[record].clone()];
            rng.flips(record, 30);
        }
        all - lost
    }),
    ("one table, and R shards", |rng, group, bytes| {
        let table = rng.one_of(&group.tables).clone();
        rng.flips(&mut bytes[table], 30);
        group.recovery.len()
    }),
    ("both tables, data whole", |rng, group, bytes| {
        group.tables.iter().for_each(|table| rng.flips(&mut bytes[table.clone()], 30));
        0
    }),
    ("all parity and its tables, data whole", |_, group, bytes| {
        bytes[group.tables[0].start..group.tables[1].end].fill(0xaa);
        0
    }),
    ("all parity and its tables, one byte of data", |rng, group, bytes| {
        bytes[group.tables[0].start..group.tables[1].end].fill(0xaa);
        rng.change(&mut bytes[..group.tables[0].start]);
        0
    }),
];

/// I: damage to tables and recovery shards, beside damage that they are needed for.
pub(super) fn damaged_parity(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let groups = groups(setting);
    let row = |(what, harm): Harm| {
        let damaged = |run: u64| {
            let mut rng = Rng::of(scale.seed, what, run);
            let group = rng.one_of(&groups);
            let mut bytes = group.subject.bytes.clone();
            let shards = harm(&mut rng, group, &mut bytes);
            if shards > 0 {
                group.lose(&mut rng, &mut bytes, shards);
            }
            let way = *rng.one_of(&[Way::Memory(OnDamage::Error), Way::File(OnDamage::Error)]);
            judge(host, way, &bytes, Truth::of(&group.subject), &mut rng)
        };
        let tally = runs(scale.part(200), |o| o == Outcome::Refused, damaged);
        let is_met = tally.right() == tally.runs();
        Row::new('I', what, tally, "all restored", is_met)
    };
    Ok(HARMS.into_iter().map(row).collect())
}
