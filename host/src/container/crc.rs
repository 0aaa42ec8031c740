//! CRC-32 (IEEE, reflected) beyond hashing: where one wrong byte is, and the CRC of a window that slides.
//!
//! Repair calls this on blocks whose CRC is known and wrong. What it answers are candidates: an error of several
//! bytes looks like one wrong byte somewhere in about 6 % of 1 MiB blocks, so an independent hash has the last word.
//!
//! The CRC is linear: `crc(a) ^ crc(b)` of two blocks of one length depends on `a ^ b` alone. If those differ in
//! one byte, that value is the byte's table entry pushed through one zero byte for each byte after it, and such a
//! push can be undone.

const POLYNOMIAL: u32 = 0xedb8_8320;

/// `TABLE[b]`: what a register holding `b` becomes when pushed through one zero byte.
static TABLE: [u32; 256] = forward_table();

/// A register whose top byte is `b`, pulled back through one zero byte, is itself moved up a byte, xor `BACK_1[b]`.
static BACK_1: [u32; 256] = backward_table();

/// `BACK_4[k][b]`: the register `b << 8k` pulled back through four zero bytes.
static BACK_4: [[u32; 256]; 4] = [backward_4(0), backward_4(1), backward_4(2), backward_4(3)];

const fn forward_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 1 == 1 { (register >> 1) ^ POLYNOMIAL } else { register >> 1 };
            bit += 1;
        }
        table[byte] = register;
        byte += 1;
    }
    table
}

/// The top bytes of the forward entries are a permutation, so a register's top byte names the byte that went in.
const fn backward_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[(TABLE[byte] >> 24) as usize] = (TABLE[byte] << 8) ^ byte as u32;
        byte += 1;
    }
    table
}

const fn backward_4(position: usize) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = back(back(back(back((byte as u32) << (8 * position)))));
        byte += 1;
    }
    table
}

/// Undoes one zero byte.
const fn back(register: u32) -> u32 {
    (register << 8) ^ BACK_1[(register >> 24) as usize]
}

/// Undoes four zero bytes; the four lookups do not wait for each other.
fn back_4(register: u32) -> u32 {
    let [a, b, c, d] = register.to_le_bytes().map(usize::from);
    BACK_4[0][a] ^ BACK_4[1][b] ^ BACK_4[2][c] ^ BACK_4[3][d]
}

/// The CRC of a block without its last `zeros` bytes, from the CRC of the whole, where those bytes are zero.
pub(crate) fn strip_zeros(crc: u32, zeros: usize) -> u32 {
    let quads = (0..zeros / 4).fold(!crc, |register, _| back_4(register));
    !(0..zeros % 4).fold(quads, |register, _| back(register))
}

/// Every single byte that explains a wrong CRC: (offset, value to xor into the byte there), the last offset first.
///
/// `syndrome` is `crc(actual) ^ crc(expected)` of a block of `len` bytes; nothing explains a syndrome of 0. Time is
/// proportional to `len`, which a caller must have bounded; nothing is allocated.
pub(crate) fn one_byte_errors(len: usize, syndrome: u32) -> impl Iterator<Item = (usize, u8)> {
    OneByteErrors { register: syndrome, left: if syndrome == 0 { 0 } else { len } }
}

struct OneByteErrors {
    /// The syndrome, pulled back through the bytes passed so far.
    register: u32,
    /// Bytes not yet passed.
    left: usize,
}

impl Iterator for OneByteErrors {
    type Item = (usize, u8);

    /// Pulling `TABLE[e]` back gives `e` itself: a register below 256 is the wrong byte's difference.
    fn next(&mut self) -> Option<Self::Item> {
        self.skip_quads();
        while self.left > 0 {
            self.register = back(self.register);
            self.left -= 1;
            if let Ok(difference) = u8::try_from(self.register) {
                return Some((self.left, difference));
            }
        }
        None
    }
}

impl OneByteErrors {
    /// Passes four bytes at a time while none of them can be the wrong one.
    fn skip_quads(&mut self) {
        while self.left >= 4 {
            let one = back(self.register);
            let two = back(one);
            let three = back(two);
            let four = back_4(self.register);
            if one.min(two).min(three).min(four) < 256 {
                return;
            }
            self.register = four;
            self.left -= 4;
        }
    }
}

/// The CRC-32 of a window of fixed length that slides over data, two lookups a byte.
#[derive(Debug, Clone)]
pub(crate) struct Rolling {
    window: usize,
    register: u32,
    /// What a byte leaving the window takes with it, the start value's move by one byte included.
    leaving: Box<[u32; 256]>,
}

impl Rolling {
    /// For windows of `window` bytes; allocates that much for a moment.
    pub(crate) fn new(window: usize) -> Self {
        let mut block = vec![0; window.saturating_add(1)];
        let zeros = crc32fast::hash(&block);
        let shift = zeros ^ crc32fast::hash(block.get(1..).unwrap_or_default());
        let bits: [u32; 8] = std::array::from_fn(|bit| {
            if let Some(first) = block.first_mut() {
                *first = 1 << bit;
            }
            crc32fast::hash(&block) ^ zeros
        });
        let entry = |byte: usize| {
            (0..8).filter(|bit| byte >> bit & 1 == 1).fold(shift, |entry, bit| entry ^ bits[bit])
        };
        Self { window, register: !0, leaving: Box::new(std::array::from_fn(entry)) }
    }

    /// Puts the window over the first `window` bytes of `data`, which has no fewer.
    pub(crate) fn start(&mut self, data: &[u8]) {
        self.register = !crc32fast::hash(data.get(..self.window).unwrap_or(data));
    }

    /// Slides by one byte: `leaving` was the window's first, `entering` comes after its last.
    pub(crate) fn roll(&mut self, leaving: u8, entering: u8) {
        let [low, ..] = self.register.to_le_bytes();
        let rest = (self.register >> 8) ^ self.leaving[usize::from(leaving)];
        self.register = rest ^ TABLE[usize::from(low ^ entering)];
    }

    /// The CRC-32 of the window.
    pub(crate) fn value(&self) -> u32 {
        !self.register
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reproducible noise (SplitMix64).
    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
    }

    fn explained(block: &mut [u8], offset: usize, difference: u8) -> Vec<(usize, u8)> {
        let expected = crc32fast::hash(block);
        block[offset] ^= difference;
        let found = one_byte_errors(block.len(), crc32fast::hash(block) ^ expected).collect();
        block[offset] ^= difference;
        found
    }

    #[test]
    fn finds_random_errors_in_large_blocks() {
        let mut block = noise(1 << 20, 7);
        for case in noise(40 * 8, 8).chunks_exact(8) {
            let offset = u32::from_le_bytes(case[..4].try_into().expect("4 of 8")) as usize % block.len();
            let difference = case[4].max(1);
            let found = explained(&mut block, offset, difference);
            assert!(found.contains(&(offset, difference)), "{offset} {difference} not in {found:?}");
            // False candidates are rare: 255 x 2^20 of 2^32.
            assert!(found.len() <= 4);
        }
    }

    #[test]
    fn every_byte_of_a_short_block() {
        for len in 1..20 {
            let mut block = noise(len, len as u64);
            for offset in 0..len {
                for difference in 1..=255 {
                    assert_eq!(explained(&mut block, offset, difference), [(offset, difference)]);
                }
            }
        }
    }

    #[test]
    fn nothing_explains_no_error() {
        assert_eq!(one_byte_errors(1000, 0).count(), 0);
        assert_eq!(one_byte_errors(0, 1).count(), 0);
    }

    proptest! {
        #[test]
        fn finds_the_error(
            mut block in prop::collection::vec(any::<u8>(), 1..5000),
            at in any::<prop::sample::Index>(),
            difference in 1..=255u8,
        ) {
            let offset = at.index(block.len());
            prop_assert!(explained(&mut block, offset, difference).contains(&(offset, difference)));
        }

        /// Whatever the syndrome, each answer is true: that change alone has that syndrome.
        #[test]
        fn answers_are_true(len in 1..70_000usize, syndrome in any::<u32>()) {
            let mut block = vec![0; len];
            let right = crc32fast::hash(&block);
            for (offset, difference) in one_byte_errors(len, syndrome) {
                block[offset] = difference;
                prop_assert_eq!(crc32fast::hash(&block) ^ right, syndrome);
                block[offset] = 0;
            }
        }

        #[test]
        fn rolls(data in prop::collection::vec(any::<u8>(), 1..3000), window in 1..600usize) {
            let window = window.min(data.len());
            let mut rolling = Rolling::new(window);
            rolling.start(&data);
            prop_assert_eq!(rolling.value(), crc32fast::hash(&data[..window]));
            for (i, expected) in data.windows(window).enumerate().skip(1) {
                rolling.roll(data[i - 1], data[i + window - 1]);
                prop_assert_eq!(rolling.value(), crc32fast::hash(expected));
            }
        }

        #[test]
        fn strips_zeros(data in prop::collection::vec(any::<u8>(), 0..200), zeros in 0..600usize) {
            let mut padded = data.clone();
            padded.resize(data.len() + zeros, 0);
            prop_assert_eq!(strip_zeros(crc32fast::hash(&padded), zeros), crc32fast::hash(&data));
        }
    }

    #[test]
    #[ignore = "a measurement: run it in release mode with --nocapture"]
    fn speed() {
        let start = std::time::Instant::now();
        let found = one_byte_errors(64 << 20, 0x1234_5678).count();
        let ns = start.elapsed().as_nanos() as f64 / f64::from(64 << 20);
        eprintln!("one_byte_errors: {ns:.2} ns/byte, {found} candidates in 64 MiB");
        let data = noise(16 << 20, 1);
        let start = std::time::Instant::now();
        let mut rolling = Rolling::new(32 << 10);
        rolling.start(&data);
        let mut hits = 0;
        for (leaving, entering) in data.iter().zip(&data[32 << 10..]) {
            rolling.roll(*leaving, *entering);
            hits += usize::from(rolling.value() == 0x1234_5678);
        }
        let ns = start.elapsed().as_nanos() as f64 / data.len() as f64;
        eprintln!("rolling: {ns:.2} ns/byte, {hits} hits");
    }
}
