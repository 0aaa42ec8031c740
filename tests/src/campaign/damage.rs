//! Ways to damage bytes, all from one seed.

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same campaign.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The numbers of run `run` of a case that is called `name`.
    pub(crate) fn of(seed: u64, name: &str, run: u64) -> Self {
        let mut rng = Self(seed);
        for byte in name.bytes() {
            rng.0 = rng.next() ^ u64::from(byte);
        }
        rng.0 = rng.next() ^ run;
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Up to `most`, small numbers as often as large ones: 1 to 9, 10 to 99, and so on.
    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        let digits = most.max(1).ilog10() + 1;
        let power = 10_usize.pow(self.below(digits as usize) as u32);
        (power + self.below(9 * power)).min(most)
    }

    pub(crate) fn one_of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// `count` different numbers below `bound`, in no order.
    pub(crate) fn some(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..bound).collect();
        for n in 0..count.min(bound) {
            let other = n + self.below(bound - n);
            order.swap(n, other);
        }
        order.truncate(count);
        order
    }

    pub(crate) fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
    }

    pub(crate) fn flips(&mut self, bytes: &mut [u8], count: usize) {
        for _ in 0..count {
            self.flip(bytes);
        }
    }

    /// Another value for one byte.
    pub(crate) fn change(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 + self.below(255) as u8;
        }
    }

    /// `len` bytes of zeros, of FF, or of noise.
    pub(crate) fn burst(&mut self, bytes: &mut [u8], len: usize) {
        let len = len.min(bytes.len());
        let start = self.below(bytes.len() - len + 1);
        let stretch = &mut bytes[start..start + len];
        match self.below(3) {
            0 => stretch.fill(0),
            1 => stretch.fill(0xff),
            _ => stretch.copy_from_slice(&self.bytes(len)),
        }
    }

    /// Case B: up to a thousand flips, or up to three bursts of up to a tenth.
    pub(crate) fn many(&mut self, bytes: &mut [u8]) {
        if self.below(2) == 0 {
            let count = self.up_to(1000);
            self.flips(bytes, count);
        } else {
            for _ in 0..=self.below(3) {
                let len = self.up_to(bytes.len() / 10);
                self.burst(bytes, len);
            }
        }
    }

    pub(crate) fn insert(&mut self, bytes: &mut Vec<u8>, most: usize) {
        let (at, len) = (self.below(bytes.len() + 1), self.up_to(most));
        let noise = self.bytes(len);
        bytes.splice(at..at, noise);
    }

    pub(crate) fn delete(&mut self, bytes: &mut Vec<u8>, most: usize) {
        let len = self.up_to(most).min(bytes.len().saturating_sub(1));
        let at = self.below(bytes.len() - len + 1);
        bytes.drain(at..at + len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_differ_and_come_again() {
        let first = |name, run| Rng::of(1, name, run).next();
        assert_eq!(first("A", 0), first("A", 0));
        assert_ne!(first("A", 0), first("A", 1));
        assert_ne!(first("A", 0), first("B", 0));
    }

    #[test]
    fn numbers_keep_their_bounds() {
        let mut rng = Rng::of(1, "bounds", 0);
        assert!((0..1000).map(|_| rng.up_to(37)).all(|n| (1..=37).contains(&n)));
        let mut some = rng.some(20, 30);
        some.sort_unstable();
        some.dedup();
        assert_eq!((some.len(), some.iter().max() < Some(&30)), (20, true));
    }
}
