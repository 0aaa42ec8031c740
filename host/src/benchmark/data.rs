//! The built-in benchmark data: seven kinds, the same bytes everywhere.
//!
//! The statistics matter, not the content. Text is real (`text.txt`: this project's licence, documentation and source as they once
//! were), since generated text ranks the levels of two gzip libraries otherwise than real text does; what is longer goes on with subtitles
//! of its words. The others are generated from fixed seeds: a log (lines of few forms), records as JSON lines (keys
//! that come again, numbers that do not), structured binary records (columns that change slowly), floats (noisy mantissas, quiet
//! exponents), an image (gradients under noise), and bytes that cannot shrink.

/// Version of the generators and of how they are measured; measurements of another version are not compared.
pub(crate) const VERSION: u32 = 7;

/// Real text; never changed without [`VERSION`].
const TEXT: &str = include_str!("text.txt");

/// A kind of data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Text,
    Log,
    Records,
    Binary,
    Floats,
    Image,
    Random,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Text, Self::Log, Self::Records, Self::Binary, Self::Floats, Self::Image, Self::Random];

    /// Name in measurements.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Log => "log",
            Self::Records => "records",
            Self::Binary => "binary",
            Self::Floats => "floats",
            Self::Image => "image",
            Self::Random => "random",
        }
    }

    /// That of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Exactly `len` bytes of this kind.
    pub(crate) fn generate(self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 1024);
        if self == Self::Text {
            out.extend_from_slice(&TEXT.as_bytes()[..TEXT.len().min(len)]);
        }
        self.fill(Rng(0x9e37_79b9_7f4a_7c15 ^ self.name().len() as u64), len, out)
    }

    /// The same kind from another seed: none of what [`generate`](Self::generate) makes, but for words of text, in another order.
    pub(crate) fn unseen(self, len: usize) -> Vec<u8> {
        self.fill(Rng(0x5851_f42d_4c95_7f2d ^ self.name().len() as u64), len, Vec::with_capacity(len + 1024))
    }

    fn fill(self, mut rng: Rng, len: usize, mut out: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Text => text(&mut rng, len, &mut out),
            Self::Log => log(&mut rng, len, &mut out),
            Self::Records => records(&mut rng, len, &mut out),
            Self::Binary => binary(&mut rng, len, &mut out),
            Self::Floats => floats(&mut rng, len, &mut out),
            Self::Image => image(&mut rng, len, &mut out),
            Self::Random => {
                while out.len() < len {
                    out.extend_from_slice(&rng.next().to_le_bytes());
                }
            }
        }
        out.truncate(len);
        out
    }
}

/// `len` bytes in which all kinds have the same share, one after the other.
pub(crate) fn mixed(len: usize) -> Vec<u8> {
    let each = len.div_ceil(Kind::ALL.len());
    let mut mixed: Vec<u8> = Kind::ALL.iter().flat_map(|k| k.generate(each)).collect();
    mixed.truncate(len);
    mixed
}

/// SplitMix64 (Steele, Lea, Flood 2014): fast, seedable, good enough for data.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Index below `n`, small ones far more often, as words of a language are.
    fn skewed(&mut self, n: u64) -> usize {
        let u = self.below(1 << 20) as f64 / f64::from(1 << 20);
        ((n as f64).powf(u) - 1.0) as usize
    }
}

/// Subtitles of the words of the lines of the text, shuffled. The lines themselves would repeat, which no text does: codecs that look back
/// farther than it is long took a third less time for it than for any other.
fn text(rng: &mut Rng, len: usize, out: &mut Vec<u8>) {
    const WIDTH: usize = 42;
    let mut lines: Vec<&str> = TEXT.lines().collect();
    let (mut number, mut ms) = (0, 0);
    while out.len() < len {
        // Fisher and Yates.
        for last in (1..lines.len()).rev() {
            lines.swap(last, rng.below(last as u64 + 1) as usize);
        }
        let mut words = lines.iter().flat_map(|line| line.split_whitespace()).peekable();
        while words.peek().is_some() && out.len() < len {
            number += 1;
            let start = ms + 80 + rng.below(800);
            ms = start + 700 + rng.below(2500);
            let time = |ms: u64| {
                let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
                format!("{hour:02}:{minute:02}:{second:02},{:03}", ms % 1000)
            };
            out.extend_from_slice(format!("{number}\n{} --> {}\n", time(start), time(ms)).as_bytes());
            for _ in 0..=rng.below(3) / 2 {
                let mut width = 0;
                while let Some(word) = words.next_if(|word| width == 0 || width + word.len() < WIDTH) {
                    out.extend_from_slice(if width == 0 { b"" } else { b" " });
                    out.extend_from_slice(word.as_bytes());
                    width += 1 + word.len();
                }
                out.push(b'\n');
            }
            out.push(b'\n');
        }
    }
}

/// Lines as a server writes them: a time that advances, a few levels and messages, numbers that differ.
fn log(rng: &mut Rng, len: usize, out: &mut Vec<u8>) {
    const LEVELS: [&str; 4] = ["INFO ", "INFO ", "DEBUG", "WARN "];
    const MESSAGES: [&str; 6] = [
        "frame decoded in",
        "cache hit for segment",
        "cache miss for segment",
        "request finished after",
        "worker picked up task",
        "buffer returned to pool, bytes free:",
    ];
    let mut ms = 0;
    while out.len() < len {
        ms += rng.below(200);
        let (second, of_second) = (ms / 1000, ms % 1000);
        let (level, message) = (LEVELS[rng.below(4) as usize], MESSAGES[rng.skewed(6)]);
        let (worker, number) = (rng.below(8), rng.below(100_000));
        let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
        let line = format!(
            "2024-03-01T{hour:02}:{minute:02}:{second:02}.{of_second:03}Z {level} [worker-{worker}] {message} {number}\n"
        );
        out.extend_from_slice(line.as_bytes());
    }
}

/// What a program found in the frames of a video, one JSON object a line: the same keys again and again, few words, lists of numbers, of
/// which some are long and some are not.
fn records(rng: &mut Rng, len: usize, out: &mut Vec<u8>) {
    const LABELS: [&str; 8] = ["person", "car", "dog", "bicycle", "bird", "traffic light", "boat", "kite"];
    for frame in 0_u64.. {
        if out.len() >= len {
            return;
        }
        let mut below = |n| rng.below(n);
        let (label, confidence) = (LABELS[below(8) as usize], below(10_001) as f64 / 1e4);
        let is_hidden = below(6) == 0;
        let tracks: Vec<u64> = (0..below(5)).map(|_| below(50)).collect();
        let corners: Vec<f64> = (0..4).map(|_| below(19_200) as f64 / 10.0).collect();
        // Sums of two uniforms, about zero.
        let mut feature = || ((below(5001) + below(5001)) as f64 - 5e3) / 1e4;
        let features: Vec<f64> = (0..12).map(|_| feature()).collect();
        let line = format!(
            "{{\"frame\": {frame}, \"label\": \"{label}\", \"confidence\": {confidence}, \"tracks\": {tracks:?}, \
             \"box\": {corners:?}, \"features\": {features:?}, \"hidden\": {is_hidden}}}\n"
        );
        out.extend_from_slice(line.as_bytes());
    }
}

/// Records of 32 bytes: sequence number, time, a code, flags, and a payload that often repeats.
fn binary(rng: &mut Rng, len: usize, out: &mut Vec<u8>) {
    let (mut time, mut payload) = (1_700_000_000_000_u64, [0u8; 8]);
    for sequence in 0_u32.. {
        if out.len() >= len {
            return;
        }
        time += rng.below(1000);
        if rng.below(3) == 0 {
            payload = (rng.below(1 << 40)).to_le_bytes();
        }
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&time.to_le_bytes());
        out.extend_from_slice(&(rng.skewed(200) as u32).to_le_bytes());
        out.extend_from_slice(&(rng.below(4) as u32 * 0x0101).to_le_bytes());
        out.extend_from_slice(&payload);
        out.extend_from_slice(&[0; 4]);
    }
}

/// Like trained weights: small, centred on zero, one tensor's scale after the other.
fn floats(rng: &mut Rng, len: usize, out: &mut Vec<u8>) {
    let mut scale = 0.05_f32;
    for n in 0_u32.. {
        if out.len() >= len {
            return;
        }
        if n % 16_384 == 0 {
            scale = 0.01 + rng.below(100) as f32 / 500.0;
        }
        // Sum of four uniforms: close enough to a bell.
        let sum: u64 = (0..4).map(|_| rng.below(1 << 16)).sum();
        let bell = sum as f32 / 65_536.0 - 2.0;
        out.extend_from_slice(&(bell * scale).to_le_bytes());
    }
}

/// Rows of 8-bit luma: a gradient that differs from row to row, under the noise of a sensor.
fn image(rng: &mut Rng, len: usize, out: &mut Vec<u8>) {
    const WIDTH: u64 = 960;
    for row in 0_u64.. {
        if out.len() >= len {
            return;
        }
        let slope = 64 + row / 16 % 64;
        for column in 0..WIDTH {
            let noise = rng.below(4) + rng.below(4);
            out.push(((row / 8 + column * slope / WIDTH + noise) & 0xff) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_reproducible_and_of_the_length_asked() {
        for kind in Kind::ALL {
            for len in [0, 1, 4095, 65_537] {
                assert_eq!(kind.generate(len).len(), len);
            }
            let long = kind.generate(100_000);
            assert_eq!(long[..5000], kind.generate(5000), "{kind:?}: a prefix is a prefix");
            let unseen = kind.unseen(100_000);
            assert_eq!(unseen.len(), 100_000);
            assert_ne!(long[..4096], unseen[..4096], "{kind:?}: another seed makes other data");
        }
    }
}
