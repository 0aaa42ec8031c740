//! The cases: each damages, judges, and says what must hold.

use crate::{
    damage::Rng,
    subject::{ALGORITHMS, Make, Subject, Tally, data, judge, judge_pipe, left},
};
use clipsmaster_host::{Host, chunked_header_info};

/// One line of the table.
pub(crate) struct Row {
    pub case: char,
    pub what: String,
    pub tally: Tally,
    /// What must hold, in words.
    pub must: String,
    pub is_met: bool,
}

/// How much is done.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub seed: u64,
    /// Runs of the random cases.
    pub runs: u64,
    /// Bytes of the small containers.
    pub small_bytes: usize,
    /// Only every so many bits, or bytes, of the exhaustive cases.
    pub stride: usize,
}

fn row(case: char, what: impl Into<String>, tally: Tally, must: &str, is_met: bool) -> Row {
    Row { case, what: what.into(), tally, must: must.into(), is_met: is_met && tally.is_honest() }
}

/// A: every flip of a bit, from memory and through a pipe.
pub(crate) fn flips(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let mut rng = Rng(scale.seed);
        let raw = data(&mut rng, scale.small_bytes);
        let subject = Make::new(algorithm, scale.small_bytes / 3, 0).of(host, raw);
        let (mut memory, mut pipe) = (Tally::default(), Tally::default());
        let mut bytes = subject.bytes.clone();
        for bit in (0..bytes.len() * 8).step_by(scale.stride) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            memory += judge(host, &bytes, &subject.original);
            if bit % 8 == 3 || scale.stride > 1 {
                pipe += judge_pipe(host, &bytes, &subject.original);
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let all = memory.right() == memory.runs();
        rows.push(row('A', format!("bit flips, {algorithm}"), memory, "all repaired", all));
        rows.push(row('A', format!("bit flips, {algorithm}, pipe"), pipe, "none silent", true));
    }
    rows
}

/// B: flips, bursts, zeros, FF and noise at random, with and without parity.
pub(crate) fn random(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rng = Rng(scale.seed ^ 0xb);
    let mut rows = Vec::new();
    for parity in [0, 10] {
        let mut tally = Tally::default();
        for algorithm in ALGORITHMS {
            let raw = data(&mut rng, scale.small_bytes);
            let subject = Make::new(algorithm, scale.small_bytes / 5, parity).of(host, raw);
            for run in 0..scale.runs / 12 {
                let mut bytes = subject.bytes.clone();
                rng.many(&mut bytes);
                tally += judge(host, &bytes, &subject.original);
                if run % 8 == 0 {
                    tally += judge_pipe(host, &bytes, &subject.original);
                }
            }
        }
        rows.push(row('B', format!("flips and bursts, parity {parity} %"), tally, "none silent", true));
    }
    rows
}

/// C: cut at every byte, and at the ends of frames.
pub(crate) fn truncation(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let mut rng = Rng(scale.seed ^ 0xc);
        let raw = data(&mut rng, 6000);
        let subject = Make::new(algorithm, 2500, 0).of(host, raw);
        let info = chunked_header_info(&subject.bytes).expect("sound");
        let frames = info.chunks.iter();
        let ends = frames.flat_map(|e| [e.frame_offset, e.frame_offset + u64::from(e.chunk.frame_bytes)]);
        let cuts = (0..subject.bytes.len()).step_by(scale.stride).chain(ends.map(|e| e as usize));
        let (mut memory, mut pipe) = (Tally::default(), Tally::default());
        for cut in cuts {
            memory += judge(host, &subject.bytes[..cut], &subject.original);
            pipe += judge_pipe(host, &subject.bytes[..cut], &subject.original);
        }
        let honest = memory.intact == 0 && pipe.intact == 0;
        rows.push(row('C', format!("truncation, {algorithm}"), memory, "none intact", honest));
        rows.push(row('C', format!("truncation, {algorithm}, pipe"), pipe, "all refused", pipe.right() == 0));
    }
    rows
}

/// D: parts dropped, doubled, swapped, from other containers, inserted and deleted.
pub(crate) fn moved(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rng = Rng(scale.seed ^ 0xd);
    let mut rows: Vec<Row> = Vec::new();
    let kinds =
        ["drop", "double", "swap", "splice", "splice of a sibling", "insert", "delete", "concatenate"];
    for (kind, what) in kinds.into_iter().enumerate() {
        let mut tally = Tally::default();
        for run in 0..scale.runs / 64 {
            let algorithm = ALGORITHMS[run as usize % ALGORITHMS.len()];
            let parity = [0, 0, 10][run as usize % 3];
            let raw = data(&mut rng, scale.small_bytes);
            let make = Make::new(algorithm, scale.small_bytes / 6, parity);
            let subject = make.of(host, raw);
            // The same first chunk, other ones after it.
            let mut other = subject.original.clone();
            let from = if kind == 4 || rng.below(2) == 0 { other.len() / 6 } else { 0 };
            let noise = data(&mut rng, other.len() - from);
            other[from..].copy_from_slice(&noise);
            let other = make.of(host, other);
            for _ in 0..8 {
                let (bytes, original) = displaced(&mut rng, kind, &subject, &other);
                tally += judge(host, &bytes, &original);
                tally += judge_pipe(host, &bytes, &original);
            }
        }
        rows.push(row('D', what, tally, "none silent", true));
    }
    rows
}

/// One displacement; the bytes, and what the original would have to be if they were read without an error.
fn displaced(rng: &mut Rng, kind: usize, subject: &Subject, other: &Subject) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = subject.bytes.clone();
    // Whole units, record and frame, or any bytes.
    let info = chunked_header_info(&subject.bytes).expect("sound");
    let places: Vec<usize> =
        info.chunks.iter().map(|e| e.frame_offset as usize).chain([bytes.len()]).collect();
    let unit = |rng: &mut Rng| {
        let n = rng.below(places.len() - 1);
        let head = if n == 0 { 0 } else { 150.min(places[n]) };
        if rng.below(2) == 0 {
            places[n]..places[n + 1]
        } else {
            places[n] - head..places[n + 1].saturating_sub(head)
        }
    };
    let range = unit(rng);
    match kind {
        0 => drop(bytes.drain(range)),
        1 => {
            let copy = bytes[range.clone()].to_vec();
            drop(bytes.splice(range.end..range.end, copy));
        }
        2 => {
            let second = unit(rng);
            let (a, b) = if range.start < second.start { (range, second) } else { (second, range) };
            if a.end <= b.start {
                let (first, last) = (bytes[a.clone()].to_vec(), bytes[b.clone()].to_vec());
                drop(bytes.splice(b, first));
                drop(bytes.splice(a, last));
            } else {
                rng.change(&mut bytes);
            }
        }
        3 | 4 => {
            let end = range.end.min(other.bytes.len());
            let start = range.start.min(end);
            let part = other.bytes[start..end].to_vec();
            drop(bytes.splice(range, part));
        }
        5 => rng.insert(&mut bytes, 4096),
        6 => rng.delete(&mut bytes, 4096),
        _ => return concatenated(rng, subject, other),
    }
    (bytes, subject.original.clone())
}

/// Two containers, one of them damaged: neither may be left out in silence.
fn concatenated(rng: &mut Rng, subject: &Subject, other: &Subject) -> (Vec<u8>, Vec<u8>) {
    // Not the same one twice: without its middle that is what doubling a part makes, and is read as one.
    let mut both = [&subject.bytes[..], &other.bytes].concat();
    match rng.below(4) {
        0 => rng.many(&mut both),
        1 => rng.change(&mut both),
        2 => rng.delete(&mut both, 4096),
        _ => {
            // The seam.
            let at = subject.bytes.len();
            let len = 1 + rng.below(600);
            let start = at.saturating_sub(rng.below(600));
            let end = (start + len).min(both.len());
            both[start..end].fill(0);
        }
    }
    (both, [&subject.original[..], &other.original].concat())
}

/// E: one damaged byte anywhere, no parity.
pub(crate) fn one_byte(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rng = Rng(scale.seed ^ 0xe);
    let mut rows = Vec::new();
    for (what, chunks) in [("one byte, one chunk", 1), ("one byte, many chunks", 6)] {
        let mut tally = Tally::default();
        for algorithm in ALGORITHMS {
            let raw = data(&mut rng, scale.small_bytes);
            let subject = Make::new(algorithm, scale.small_bytes.div_ceil(chunks), 0).of(host, raw);
            for _ in 0..scale.runs / 100 {
                let mut bytes = subject.bytes.clone();
                rng.change(&mut bytes);
                tally += judge(host, &bytes, &subject.original);
            }
        }
        let share = tally.right() as f64 / tally.runs().max(1) as f64;
        rows.push(row('E', what, tally, ">= 99.9 % restored", share >= 0.999));
    }
    rows
}

/// H: the head, the index and the footers zeroed, no parity.
pub(crate) fn beheaded(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let mut rng = Rng(scale.seed ^ 0x48);
        let raw = data(&mut rng, scale.small_bytes);
        let subject = Make::new(algorithm, scale.small_bytes / 8, 0).of(host, raw);
        let info = chunked_header_info(&subject.bytes).expect("sound");
        let last = info.chunks.last().expect("chunks");
        let mut bytes = subject.bytes.clone();
        bytes[(last.frame_offset + u64::from(last.chunk.frame_bytes)) as usize..].fill(0);
        bytes[..512].fill(0);
        // All but the first chunk are whole.
        let whole = subject.original.len() - info.chunks[0].chunk.raw_bytes as usize;
        let got = left(host, &bytes, &subject.original);
        let tally = Tally {
            repaired: u64::from(got.is_some_and(|n| n >= whole)),
            refused: u64::from(got.is_some_and(|n| n < whole)),
            silent: u64::from(got.is_none()),
            ..Tally::default()
        };
        rows.push(row(
            'H',
            format!("head and tail zeroed, {algorithm}"),
            tally,
            "all whole chunks",
            tally.right() == 1,
        ));
    }
    rows
}

/// B again, for partial output: what is given must be right, whatever is lost.
pub(crate) fn partial(host: &Host, scale: Scale) -> Vec<Row> {
    let mut rng = Rng(scale.seed ^ 0x50);
    let mut tally = Tally::default();
    for algorithm in ALGORITHMS {
        let raw = data(&mut rng, scale.small_bytes);
        let subject = Make::new(algorithm, scale.small_bytes / 8, 0).of(host, raw);
        for _ in 0..scale.runs / 60 {
            let mut bytes = subject.bytes.clone();
            rng.many(&mut bytes);
            match left(host, &bytes, &subject.original) {
                Some(0) => tally.refused += 1,
                Some(n) if n == subject.original.len() => tally.repaired += 1,
                Some(_) => tally.intact += 1,
                None => tally.silent += 1,
            }
        }
    }
    vec![row('B', "partial output (intact: some)", tally, "lost ranges exact", true)]
}
