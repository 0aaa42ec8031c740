//! D: parts dropped, doubled, swapped, taken from other containers; bytes inserted and deleted; containers one after the other.

use super::{
    ALGORITHMS, Make, Rng, Row, Setting, data,
    judge::{Truth, Way, judge, runs},
    subject::Subject,
};
use clipsmaster_host::pipeline::OnDamage;
use std::{io, ops::Range};

/// A container, one that begins with the same chunk, and another.
struct Family {
    subject: Subject,
    sibling: Subject,
    other: Subject,
}

fn families(setting: Setting<'_>) -> Vec<Family> {
    let bytes = setting.scale.small_bytes;
    let mut families = Vec::new();
    for (algorithm, parity) in ALGORITHMS.into_iter().flat_map(|a| [(a, 0), (a, 10)]) {
        let mut rng = Rng::of(setting.scale.seed, algorithm, parity.into());
        let mut rng = || data(&mut rng, bytes);
        let make = Make::new(algorithm, bytes / 6, parity);
        let (original, other) = (rng(), rng());
        let mut sibling = original.clone();
        sibling[bytes / 6..].copy_from_slice(&other[bytes / 6..]);
        let [subject, sibling, other] = [original, sibling, other].map(|raw| make.of(setting.host, raw));
        families.push(Family { subject, sibling, other });
    }
    families
}

/// One or more parts that follow each other.
fn stretch(rng: &mut Rng, subject: &Subject) -> Range<usize> {
    let first = rng.below(subject.parts.len());
    let last = (first + rng.below(3)).min(subject.parts.len() - 1);
    subject.parts[first].range.start..subject.parts[last].range.end
}

/// The name of a displacement, and what it does with the container.
type Displacement = (&'static str, fn(&mut Rng, &Family) -> Vec<u8>);

const DISPLACEMENTS: [Displacement; 7] = [
    ("drop", |rng, family| {
        let mut bytes = family.subject.bytes.clone();
        bytes.drain(stretch(rng, &family.subject));
        bytes
    }),
    ("double", |rng, family| {
        let mut bytes = family.subject.bytes.clone();
        let range = stretch(rng, &family.subject);
        let copy = bytes[range.clone()].to_vec();
        // Behind itself, or anywhere.
        let at = if rng.below(2) == 0 { range.end } else { stretch(rng, &family.subject).end };
        bytes.splice(at..at, copy);
        bytes
    }),
    ("swap", |rng, family| {
        let mut bytes = family.subject.bytes.clone();
        let (a, b) = (stretch(rng, &family.subject), stretch(rng, &family.subject));
        let (a, b) = if a.start < b.start { (a, b) } else { (b, a) };
        let b = b.start.max(a.end)..b.end.max(a.end);
        let (first, last) = (bytes[a.clone()].to_vec(), bytes[b.clone()].to_vec());
        bytes.splice(b, first);
        bytes.splice(a, last);
        bytes
    }),
    ("splice of a sibling", |rng, family| spliced(rng, &family.subject, &family.sibling)),
    ("splice of another", |rng, family| spliced(rng, &family.subject, &family.other)),
    ("insert", |rng, family| {
        let mut bytes = family.subject.bytes.clone();
        rng.insert(&mut bytes, 4096);
        bytes
    }),
    ("delete", |rng, family| {
        let mut bytes = family.subject.bytes.clone();
        rng.delete(&mut bytes, 4096);
        bytes
    }),
];

/// Parts of `subject` replaced by those of the same number in `other`.
fn spliced(rng: &mut Rng, subject: &Subject, other: &Subject) -> Vec<u8> {
    let mut bytes = subject.bytes.clone();
    // The first parts are those of the sibling anyway, and it must not become a whole one.
    let last = subject.parts.len().min(other.parts.len()) - 2;
    let first = rng.below(last);
    let end = (first + 1 + rng.below(3)).min(last);
    let range = |s: &Subject| s.parts[first].range.start..s.parts[end - 1].range.end;
    bytes.splice(range(subject), other.bytes[range(other)].iter().copied());
    bytes
}

/// Parts that are not where they belong.
pub(super) fn moved(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let families = families(setting);
    let row = |(name, displace): Displacement| {
        let displaced = |run: u64| {
            let mut rng = Rng::of(scale.seed, name, run);
            let family = rng.one_of(&families);
            let bytes = displace(&mut rng, family);
            let way = *rng.one_of(&WAYS);
            // What is left may be of the sibling as a whole: that chunks of two are mixed is what must not be.
            let parts = [&family.sibling.original[..], &family.other.original];
            judge(host, way, &bytes, Truth { parts: &parts, ..Truth::of(&family.subject) }, &mut rng)
        };
        Row::new('D', name, runs(scale.part(25), |_| false, displaced), "none silent", true)
    };
    Ok(DISPLACEMENTS.into_iter().map(row).collect())
}

const WAYS: [Way; 7] = [
    Way::Memory(OnDamage::Error),
    Way::Memory(OnDamage::Skip),
    Way::Memory(OnDamage::Zero),
    Way::File(OnDamage::Error),
    Way::File(OnDamage::Skip),
    Way::Pipe,
    Way::Range,
];

/// Two or three containers, some of them damaged: none may be left out in silence.
pub(super) fn concatenated(setting: Setting<'_>) -> io::Result<Vec<Row>> {
    let Setting { host, scale, .. } = setting;
    let families = families(setting);
    let both = |run: u64| {
        let mut rng = Rng::of(scale.seed, "concatenated", run);
        let family = rng.one_of(&families);
        // Not the same one twice: without its middle that is what doubling a part makes, and is read as one.
        let second = *rng.one_of(&[&family.sibling, &family.other]);
        let first = &family.subject;
        let mut bytes = [&first.bytes[..], &second.bytes].concat();
        harm(&mut rng, &mut bytes, first.bytes.len());
        let whole = [&first.original[..], &second.original].concat();
        let parts = [&first.original[..], &second.original];
        let truth = Truth { whole: &whole, parts: &parts, container: &[] };
        // Which bytes a range means in two containers nothing says.
        let way = *rng.one_of(&WAYS[..6]);
        judge(host, way, &bytes, truth, &mut rng)
    };
    let tally = runs(scale.part(10), |_| false, both);
    Ok(vec![Row::new('D', "one after the other, damaged", tally, "none silent", true)])
}

/// Anywhere, or at the seam.
fn harm(rng: &mut Rng, bytes: &mut Vec<u8>, seam: usize) {
    match rng.below(6) {
        0 => rng.many(bytes),
        1 => rng.change(bytes),
        2 => rng.delete(bytes, 4096),
        3 => {
            // The second one, cut; not all of it.
            let rest = bytes.len() - seam;
            bytes.truncate(seam + 1 + rng.below(rest - 1));
        }
        _ => {
            let start = seam.saturating_sub(rng.below(600));
            let end = (start + rng.up_to(1200)).min(bytes.len());
            bytes[start..end].fill(0);
        }
    }
}
