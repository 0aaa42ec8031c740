//! Gzip members that tell their size: BGZF, as bgzip and its libraries write it
//! (<https://samtools.github.io/hts-specs/SAMv1.pdf>, 4.1; RFC 1952). Other members end where their data says, which only
//! a decoder can read.

use super::{
    Trailing,
    bytes::{u16_at, u32_at},
    walker::{Element, Format},
};

const MAGIC: &[u8] = &[0x1f, 0x8b];
const FEXTRA: u8 = 0x04;
/// Up to and with the length of the extra field.
const HEADER_BYTES: usize = 12;
const TRAILER_BYTES: usize = 8;

/// Walks members.
#[derive(Default)]
pub(super) struct Gzip {
    /// Length of the member whose beginning was told.
    member_bytes: Option<u64>,
    began: bool,
    /// Zeros were passed over, behind which no member is looked for.
    in_padding: bool,
}

impl Format for Gzip {
    fn element(&mut self, view: &[u8], at_end: bool) -> Element {
        if let Some(len) = self.member_bytes.take() {
            return Element::End { len, after: Vec::new() };
        }
        if view.is_empty() && at_end {
            return Element::Finished;
        }
        if self.in_padding {
            return self.trailing(view, at_end);
        }
        if view.len() < HEADER_BYTES && !at_end {
            return Element::Need(HEADER_BYTES);
        }
        if self.began && !view.starts_with(MAGIC) {
            return self.trailing(view, at_end);
        }
        let len = match extra(view) {
            Extra::Need(len) => return Element::Need(len),
            Extra::Size(len) => len,
            Extra::None => return Element::Rest,
        };
        let Some(member) = view.get(..len) else { return Element::Need(len) };
        let Some(raw_bytes) = u32_at(member, len - 4) else { return Element::Rest };
        self.began = true;
        self.member_bytes = Some(len as u64);
        Element::Begin { len: 0, raw_bytes: raw_bytes.into(), before: Vec::new() }
    }
}

impl Gzip {
    /// Whether anything but zeros follows is told by what follows them.
    fn trailing(&mut self, view: &[u8], at_end: bool) -> Element {
        if view.is_empty() {
            return Element::Need(1);
        }
        let is_zeros = view.iter().all(|b| *b == 0);
        if is_zeros && !at_end {
            self.in_padding = true;
            return Element::Skip(view.len() as u64);
        }
        if self.in_padding && !is_zeros {
            return Element::Trailing(Trailing::Ignored);
        }
        Element::Trailing(trailing(view))
    }
}

/// What the extra field of a member tells.
enum Extra {
    /// It takes this many bytes to tell.
    Need(usize),
    /// Length of the member.
    Size(usize),
    /// No BGZF.
    None,
}

fn extra(view: &[u8]) -> Extra {
    let has_extra = view.starts_with(MAGIC) && view.get(3).is_some_and(|flags| flags & FEXTRA != 0);
    let Some(extra_len) = u16_at(view, 10).filter(|_| has_extra) else { return Extra::None };
    let extra_end = HEADER_BYTES + usize::from(extra_len);
    let Some(mut fields) = view.get(HEADER_BYTES..extra_end) else { return Extra::Need(extra_end) };
    while let (Some([a, b]), Some(len)) = (fields.first_chunk(), u16_at(fields, 2)) {
        let Some((field, rest)) = fields[4..].split_at_checked(usize::from(len)) else { break };
        if (*a, *b, len) == (b'B', b'C', 2) {
            let size = u16_at(field, 0).map_or(0, |size| usize::from(size) + 1);
            // Room for the header and the trailer; the decoder judges what is between.
            return if size >= extra_end + TRAILER_BYTES { Extra::Size(size) } else { Extra::None };
        }
        fields = rest;
    }
    Extra::None
}

/// What gzip 1.12 does with bytes behind the last member.
fn trailing(rest: &[u8]) -> Trailing {
    match rest {
        _ if rest.iter().all(|b| *b == 0) => Trailing::Silent,
        // A magic number needs two.
        [_] => Trailing::Refused,
        _ if rest.starts_with(MAGIC) => Trailing::Refused,
        _ => Trailing::Ignored,
    }
}
