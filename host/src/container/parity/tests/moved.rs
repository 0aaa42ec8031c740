//! Insertions and deletions: every shard that is still whole somewhere is found.

use super::*;

/// A change of the file: so many bytes deleted at an offset, so many inserted instead.
#[derive(Debug, Clone, Copy)]
struct Edit {
    at: usize,
    delete: usize,
    insert: usize,
}

/// A file that lies around a group, before and after damage, and what is to be found.
struct Case {
    geometry: Geometry,
    group: Vec<u8>,
    crcs: Vec<u32>,
    /// The damaged file.
    file: Vec<u8>,
    /// Bytes of the file before the group.
    before: usize,
}

/// What a search left.
struct Outcome {
    found: usize,
    missing: usize,
}

impl Case {
    /// `edits` are offsets into the group, ascending; those at 0 with nothing deleted are before it.
    fn new(group: Vec<u8>, edits: &[Edit], noise: &mut Noise) -> Self {
        let geometry = Geometry::new(group.len(), 10).expect("in range");
        let before = 5000;
        let (mut file, after) = (noise.bytes(before), noise.bytes(5000));
        let mut kept = 0;
        for edit in edits {
            file.extend(&group[kept..edit.at.clamp(kept, group.len())]);
            file.extend(noise.bytes(edit.insert));
            kept = (edit.at + edit.delete).clamp(kept, group.len());
        }
        file.extend(&group[kept..]);
        file.extend(after);
        let crcs = shard_crcs(&group, geometry.shard_bytes);
        Self { geometry, group, crcs, file, before }
    }

    /// Searches from what lies at the group's place, and checks that all that counts as good is right.
    fn run(&self, hints: &[i64]) -> Outcome {
        let mut group =
            self.file.iter().skip(self.before).take(self.group.len()).copied().collect::<Vec<_>>();
        group.resize(self.group.len(), 0);
        let mut bad: Vec<bool> = shard_crcs(&group, self.geometry.shard_bytes)
            .iter()
            .zip(&self.crcs)
            .map(|(actual, expected)| actual != expected)
            .collect();
        let haystack = Haystack { bytes: &self.file, origin: -(self.before as i64) };
        let found = find_shards(&haystack, &self.geometry, &self.crcs, &mut group, &mut bad, hints)
            .expect("sizes fit");
        for (index, _) in bad.iter().enumerate().filter(|(_, bad)| !**bad) {
            let range = self.geometry.shard_range(index);
            assert!(group[range.clone()] == self.group[range], "shard {index} is wrong");
        }
        Outcome { found, missing: bad.iter().filter(|bad| **bad).count() }
    }

    /// Shards that are lost: each insertion cuts one at most, a deletion those it touches, and a single shard between
    /// two edits, or between one and an end of the group, is not recognised.
    fn lost_at_most(&self, edits: &[Edit]) -> usize {
        let shard = self.geometry.shard_bytes;
        let cut: usize = edits.iter().map(|edit| 1 + edit.delete.div_ceil(shard)).sum();
        let starts = edits.iter().map(|edit| edit.at).chain([self.group.len()]);
        let ends = [0].into_iter().chain(edits.iter().map(|edit| edit.at + edit.delete));
        cut + starts.zip(ends).filter(|(start, end)| *start < end + 3 * shard).count()
    }
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let size = prop_oneof![
        Just((1, 0)),
        Just((0, 1)),
        (1..=4096usize).prop_map(|n| (n, 0)),
        (1..=4096usize).prop_map(|n| (0, n))
    ];
    prop::collection::vec((0..1_600_000usize, size), 1..8).prop_map(|mut edits| {
        edits.sort();
        edits.into_iter().map(|(at, (delete, insert))| Edit { at, delete, insert }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn edits_cost_only_what_they_cut(edits in edits(), seed in any::<u64>()) {
        let mut noise = Noise(seed);
        let case = Case::new(noise.bytes(1_600_000), &edits, &mut noise);
        let outcome = case.run(&[]);
        prop_assert!(outcome.missing <= case.lost_at_most(&edits), "{} missing", outcome.missing);
    }
}

#[test]
fn one_byte_before_everything() {
    for group_bytes in [1000, 100_000, 3_000_000] {
        for (delete, insert) in [(0, 1), (1, 0), (0, 4096)] {
            let mut noise = Noise(9);
            let edits = [Edit { at: 0, delete, insert }];
            let case = Case::new(noise.bytes(group_bytes), &edits, &mut noise);
            let outcome = case.run(&[]);
            assert!(outcome.missing <= delete, "{group_bytes} {delete} {insert}: {}", outcome.missing);
            assert!(outcome.found > 0);
        }
    }
}

#[test]
fn a_hint_reaches_beyond_the_window() {
    let mut noise = Noise(10);
    let edits = [Edit { at: 0, delete: 0, insert: 700_000 }];
    let case = Case::new(noise.bytes(300_000), &edits, &mut noise);
    assert_eq!(case.run(&[]).found, 0);
    assert_eq!(case.run(&[700_000]).missing, 0);
    // A hint that is nearly right is a place to search around.
    assert_eq!(case.run(&[1, 699_000]).missing, 0);
}

#[test]
fn repetition_does_not_mislead() {
    let mut noise = Noise(11);
    let edits = [Edit { at: 70_000, delete: 0, insert: 77 }, Edit { at: 500_000, delete: 1000, insert: 0 }];
    // Zeros, a short period and a repeated block, with noise between.
    let mut group = noise.bytes(100_000);
    group.extend(vec![0; 200_000]);
    group.extend(noise.bytes(100_000));
    group.extend((0..200_000).map(|i| (i % 10) as u8));
    let block = noise.bytes(4096);
    group.extend(block.iter().cycle().take(300_000));
    group.extend(noise.bytes(100_000));
    let case = Case::new(group, &edits, &mut noise);
    let outcome = case.run(&[]);
    assert!(outcome.missing <= case.lost_at_most(&edits), "{} missing", outcome.missing);
}

#[test]
fn one_block_over_and_over() {
    let mut noise = Noise(12);
    let block = noise.bytes(300);
    let group: Vec<u8> = block.iter().cycle().take(500_000).copied().collect();
    let edits = [Edit { at: 1, delete: 0, insert: 5 }, Edit { at: 250_000, delete: 7, insert: 0 }];
    let case = Case::new(group, &edits, &mut noise);
    let outcome = case.run(&[]);
    assert!(outcome.missing <= case.lost_at_most(&edits), "{} missing", outcome.missing);
}

#[test]
fn a_burst_and_an_insertion_in_it() {
    let mut noise = Noise(13);
    let edits = [Edit { at: 300_000, delete: 128_000, insert: 129_234 }];
    let case = Case::new(noise.bytes(1_600_000), &edits, &mut noise);
    let outcome = case.run(&[]);
    assert!(outcome.missing <= case.lost_at_most(&edits), "{} missing", outcome.missing);
    assert!(outcome.found > 1000);
}

#[test]
fn the_file_ends_early() {
    let mut noise = Noise(14);
    let mut case = Case::new(noise.bytes(1_600_000), &[Edit { at: 9, delete: 0, insert: 33 }], &mut noise);
    case.file.truncate(800_000);
    let outcome = case.run(&[]);
    let whole = (800_000 - case.before - 33) / case.geometry.shard_bytes;
    assert_eq!(outcome.found, whole - 1);
    case.file.clear();
    assert_eq!(case.run(&[]).found, 0);
}

#[test]
#[ignore = "a measurement: run it in release mode with --nocapture"]
fn speed() {
    for (group_bytes, edits) in [
        (
            1_600_000,
            vec![Edit { at: 10, delete: 0, insert: 1 }, Edit { at: 900_000, delete: 4096, insert: 0 }],
        ),
        (1_600_000, vec![Edit { at: 0, delete: 1_600_000, insert: 1_600_000 }]),
        (
            64 << 20,
            vec![Edit { at: 10, delete: 0, insert: 1 }, Edit { at: 9_000_000, delete: 4096, insert: 0 }],
        ),
        (64 << 20, vec![Edit { at: 0, delete: 64 << 20, insert: 64 << 20 }]),
    ] {
        let mut noise = Noise(15);
        let case = Case::new(noise.bytes(group_bytes), &edits, &mut noise);
        let start = Instant::now();
        let outcome = case.run(&[]);
        eprintln!(
            "{group_bytes} bytes: {} found, {} missing in {:?}",
            outcome.found,
            outcome.missing,
            start.elapsed()
        );
    }
}
