//! Parity is made, shards are destroyed or moved, and all that can come back does, bit by bit.

mod moved;

use super::*;
use proptest::prelude::*;
use std::time::Instant;

/// Reproducible noise (SplitMix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }

    /// `count` of `len` entries set.
    fn marks(&mut self, len: usize, count: usize) -> Vec<bool> {
        let mut marks = vec![false; len];
        let mut order: Vec<usize> = (0..len).collect();
        for i in 0..count {
            let other = i + self.below(len - i);
            order.swap(i, other);
            marks[order[i]] = true;
        }
        marks
    }
}

/// Sizes at the edges of shards and of shard sizes.
fn group_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(1usize),
        Just(511),
        Just(512),
        Just(513),
        Just(1 << 20),
        Just((1 << 20) + 1),
        Just(1_600_000),
        1..200_000usize,
        1_000_000..3_000_000usize,
    ]
}

/// Destroys the shards marked bad.
fn destroy(group: &mut [u8], geometry: &Geometry, bad: &[bool], noise: &mut Noise) {
    for (shard, _) in group.chunks_mut(geometry.shard_bytes).zip(bad).filter(|(_, bad)| **bad) {
        let junk = noise.bytes(shard.len());
        shard.copy_from_slice(&junk);
    }
}

/// The definition that stripes must not change: whole shards through the coder at once.
fn encode_whole(group: &[u8], geometry: &Geometry) -> Vec<u8> {
    let mut coder = HighRateEncoder::new(
        geometry.originals,
        geometry.recovery,
        geometry.shard_bytes,
        DefaultEngine::new(),
        None,
    )
    .expect("valid");
    for shard in group.chunks(geometry.shard_bytes) {
        let mut shard = shard.to_vec();
        shard.resize(geometry.shard_bytes, 0);
        coder.add_original_shard(shard).expect("fits");
    }
    coder.encode().expect("complete").recovery_iter().flatten().copied().collect()
}

#[test]
fn geometry_follows_the_format() {
    let of = |group_bytes, percent| {
        let g = Geometry::new(group_bytes, percent).expect("in range");
        (g.shard_bytes, g.originals, g.recovery)
    };
    assert_eq!(of(1, 10), (512, 1, 1));
    assert_eq!(of(513, 100), (512, 2, 2));
    assert_eq!(of(1 << 20, 10), (512, 2048, 205));
    assert_eq!(of((1 << 20) + 1, 10), (1024, 1025, 103));
    assert_eq!(of(1_600_000, 10), (1024, 1563, 157));
    assert_eq!(of(64 << 20, 10), (32 << 10, 2048, 205));
    assert_eq!(of(MAX_GROUP_BYTES, 100), (32 << 10, MAX_ORIGINALS, MAX_ORIGINALS));
    for (bytes, percent) in [(0, 10), (MAX_GROUP_BYTES + 1, 10), (usize::MAX, 10), (1000, 0), (1000, 101)] {
        assert!(Geometry::new(bytes, percent).is_err(), "{bytes} {percent}");
    }
}

#[test]
fn records_that_contradict_themselves_are_refused() {
    assert!(Geometry::checked(1_600_000, 1024, 1563, 157).is_some());
    let wrong: [(u64, u64, u64, u64); 10] = [
        (0, 1024, 0, 1),
        (1_600_000, 1024, 1562, 157),
        (1_600_000, 1024, 1563, 0),
        (1_600_000, 1024, 1563, 1565),
        (1_600_000, 1000, 1600, 160),
        (1_600_000, 0, 1563, 157),
        (1_600_000, 256, 6250, 625),
        (2 << 20, 512, 4096, 410),
        (67 << 20, 32 << 10, 2144, 215),
        (u64::MAX, u64::MAX, u64::MAX, u64::MAX),
    ];
    for (group, shard, originals, recovery) in wrong {
        assert_eq!(Geometry::checked(group, shard, originals, recovery), None);
    }
}

#[test]
fn stripes_change_nothing() {
    for (group_bytes, percent) in [(1, 1), (5_000, 50), (1_600_000, 10), (9_000_001, 5)] {
        let group = Noise(1).bytes(group_bytes);
        let geometry = Geometry::new(group_bytes, percent).expect("in range");
        let whole = encode_whole(&group, &geometry);
        for threads in [0, 1, 2, 5] {
            assert!(encode(&group, &geometry, threads).expect("encodes") == whole, "{group_bytes} {threads}");
        }
    }
}

#[test]
fn crcs_are_of_padded_shards() {
    let data = Noise(3).bytes(1300);
    let mut padded = data.clone();
    padded.resize(1536, 0);
    let expected: Vec<u32> = padded.chunks(512).map(crc32fast::hash).collect();
    assert_eq!(shard_crcs(&data, 512), expected);
    assert!(shard_crcs(&[], 512).is_empty());
    assert!(shard_crcs(&data, 0).is_empty());
    assert_eq!(padded_crc(&[7], 20_000), {
        let mut block = vec![0; 20_000];
        block[0] = 7;
        crc32fast::hash(&block)
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any loss up to the number of good recovery shards comes back; one more is refused and changes nothing.
    #[test]
    fn losses_come_back(
        group_bytes in group_bytes(),
        percent in prop_oneof![1..=100u8, Just(10)],
        threads in 0..4usize,
        share in 0.0..=1.0f64,
        last in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut noise = Noise(seed);
        let geometry = Geometry::new(group_bytes, percent).expect("in range");
        let group = noise.bytes(group_bytes);
        let mut recovery = encode(&group, &geometry, threads).expect("encodes");

        let available = 1 + noise.below(geometry.recovery);
        let good = noise.marks(geometry.recovery, available);
        for (shard, _) in recovery.chunks_mut(geometry.shard_bytes).zip(&good).filter(|(_, good)| !**good) {
            shard.fill(0xee);
        }
        let lost = if share > 0.7 { available } else { (available as f64 * share) as usize };
        let mut bad = noise.marks(geometry.originals, lost.min(geometry.originals));
        if last && let Some(first) = bad.iter().position(|bad| *bad) {
            let end = geometry.originals - 1;
            bad.swap(first, end);
        }

        let mut damaged = group.clone();
        destroy(&mut damaged, &geometry, &bad, &mut noise);
        let restored = restore(&mut damaged, &geometry, &bad, &recovery, &good, threads).expect("restores");
        prop_assert_eq!(restored, bad.iter().filter(|bad| **bad).count());
        prop_assert!(damaged == group);

        if available < geometry.originals {
            let bad = noise.marks(geometry.originals, available + 1);
            let refusal = restore(&mut damaged, &geometry, &bad, &recovery, &good, threads);
            let refused =
                matches!(refusal, Err(ParityError::TooDamaged { lost, available: a }) if lost == available + 1 && a == available);
            prop_assert!(refused);
            prop_assert!(damaged == group);
        }
    }

    /// Sizes that do not fit each other are errors, never panics.
    #[test]
    fn what_does_not_fit_is_refused(
        fields in prop::array::uniform4(prop_oneof![0..3000usize, Just(512), Just(1), any::<usize>()]),
        lens in prop::array::uniform5(0..3000usize),
        hints in prop::collection::vec(any::<i64>(), 0..3),
        origin in any::<i64>(),
    ) {
        let [group_bytes, shard_bytes, originals, recovery] = fields;
        let geometry = Geometry { group_bytes, shard_bytes, originals, recovery };
        let [group_len, bad_len, recovery_len, good_len, crc_len] = lens;
        let (mut group, mut bad) = (vec![1; group_len], vec![true; bad_len]);
        let fits = geometry.validated().is_ok() && group_len == group_bytes;
        prop_assert_eq!(encode(&group, &geometry, 1).is_ok(), fits);
        let good = vec![true; good_len];
        let _ = restore(&mut group, &geometry, &bad, &vec![2; recovery_len], &good, 1);
        let haystack = Haystack { bytes: &vec![1; recovery_len], origin };
        let _ = find_shards(&haystack, &geometry, &vec![3; crc_len], &mut group, &mut bad, &hints);
    }
}

#[test]
#[ignore = "a measurement: run it in release mode with --nocapture"]
fn speed() {
    for (group_bytes, rounds) in [(64 << 20, 1), (1_600_000, 40), (100_000, 400)] {
        let mut noise = Noise(5);
        let group = noise.bytes(group_bytes);
        let geometry = Geometry::new(group_bytes, 10).expect("in range");
        let bad = noise.marks(geometry.originals, geometry.recovery);
        let good = vec![true; geometry.recovery];
        for threads in [1, 2] {
            let recovery = encode(&group, &geometry, threads).expect("encodes");
            let mb = (group_bytes * rounds) as f64 / 1e6;
            let start = Instant::now();
            for _ in 0..rounds {
                assert!(encode(&group, &geometry, threads).is_ok());
            }
            let encoding_mb_s = mb / start.elapsed().as_secs_f64();
            let mut damaged = group.clone();
            destroy(&mut damaged, &geometry, &bad, &mut noise);
            let start = Instant::now();
            for _ in 0..rounds {
                assert!(restore(&mut damaged, &geometry, &bad, &recovery, &good, threads).is_ok());
            }
            let restoring_mb_s = mb / start.elapsed().as_secs_f64();
            assert!(damaged == group);
            eprintln!(
                "{group_bytes} bytes, {threads} threads: {encoding_mb_s:.0} / {restoring_mb_s:.0} MB/s"
            );
        }
        let start = Instant::now();
        let crcs = shard_crcs(&group, geometry.shard_bytes);
        eprintln!(
            "{} CRCs: {:.0} MB/s",
            crcs.len(),
            group_bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
        );
    }
}
