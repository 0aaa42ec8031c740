//! Ways to damage bytes, all from one seed.

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same campaign.
pub(crate) struct Rng(pub u64);

impl Rng {
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

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// A stretch of `len` bytes within `bytes`.
    fn stretch<'a>(&mut self, bytes: &'a mut [u8], len: usize) -> &'a mut [u8] {
        let len = len.min(bytes.len());
        let start = self.below(bytes.len() - len + 1);
        &mut bytes[start..start + len]
    }

    pub(crate) fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        bytes[at] ^= 1 << self.below(8);
    }

    /// Another value for one byte.
    pub(crate) fn change(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        bytes[at] ^= 1 + self.below(255) as u8;
    }

    /// A stretch of zeros, of FF, or of noise.
    pub(crate) fn burst(&mut self, bytes: &mut [u8], len: usize) {
        let kind = self.below(3);
        let noise = self.bytes(len);
        let stretch = self.stretch(bytes, len);
        match kind {
            0 => stretch.fill(0),
            1 => stretch.fill(0xff),
            _ => stretch.copy_from_slice(&noise[..stretch.len()]),
        }
    }

    /// Case B: up to a thousand flips, or a burst of up to a tenth.
    pub(crate) fn many(&mut self, bytes: &mut [u8]) {
        if self.below(2) == 0 {
            let most = [1, 10, 100, 1000][self.below(4)];
            for _ in 0..=self.below(most) {
                self.flip(bytes);
            }
        } else {
            let len = 1 + self.below(bytes.len() / 10);
            self.burst(bytes, len);
        }
    }

    pub(crate) fn insert(&mut self, bytes: &mut Vec<u8>, most: usize) {
        let (at, len) = (self.below(bytes.len() + 1), 1 + self.below(most));
        let noise = self.bytes(len);
        bytes.splice(at..at, noise);
    }

    pub(crate) fn delete(&mut self, bytes: &mut Vec<u8>, most: usize) {
        let len = (1 + self.below(most)).min(bytes.len() - 1);
        let at = self.below(bytes.len() - len + 1);
        bytes.drain(at..at + len);
    }
}
