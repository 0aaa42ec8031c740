//! Compressors of calls that name no compressor, kept so that their contexts serve again; and choices, which take far longer than
//! compressing a little data by them.

use crate::{
    Choice, Compressor, DataSample, Host, Likeness, Request, Result,
    auto::Wanted,
    registry::Snapshot,
    selection::{auto::Places, likeness::Features},
    sync::lock,
};
use std::sync::{Arc, Mutex};

/// Most compressors that are kept; then all are given up.
const MOST: usize = 32;
/// Most memory, in bytes, that the contexts of one may take to be kept.
const MOST_CONTEXT_BYTES: u64 = 16 << 20;
/// Smaller data, in bytes, is not looked at: that would take longer than a wrong choice costs.
const LEAST_SAMPLED_BYTES: usize = 256 << 10;
/// Sizes are told apart by powers of two between these, in bytes.
const SIZES: (u64, u64) = (1 << 10, 64 << 20);
/// Larger data, in bytes, is worth a choice of its own.
const MOST_LIKE_BYTES: usize = 8 << 20;
/// After so many uses a choice is made anew.
const MOST_USES: u32 = 64;
/// Most choices that are kept; then all are given up.
const MOST_CHOICES: usize = 64;

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<OfSnapshot>);

/// What a compressor is for: a request, and the bytes that what it compresses is a sample of, where it is for trials.
type Asked = (Request, Option<u64>);

/// Compressors and choices, all of one snapshot.
#[derive(Debug, Default)]
struct OfSnapshot {
    snapshot: Option<Arc<Snapshot>>,
    compressors: Vec<(Asked, Arc<Compressor>)>,
    choices: Vec<Chosen>,
}

impl OfSnapshot {
    fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.snapshot.as_ref().is_some_and(|own| Arc::ptr_eq(own, snapshot))
    }

    /// Given up, where it is of another snapshot.
    fn renewed(&mut self, now: &Arc<Snapshot>) -> &mut Self {
        if !self.is_of(now) {
            *self = Self { snapshot: Some(Arc::clone(now)), ..Self::default() };
        }
        self
    }
}

#[derive(Debug)]
struct Chosen {
    wanted: Wanted,
    looks: Looks,
    choice: Arc<Choice>,
    uses: u32,
}

impl Chosen {
    fn is_for(&self, looks: &Looks, wanted: &Wanted) -> bool {
        self.looks == *looks && self.wanted == *wanted
    }
}

/// What data looks like that one choice is for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Looks {
    /// Bytes, or their class where memory is not limited, which grows with them.
    size: u64,
    /// Share of bytes in repetitions, in steps of a sixteenth.
    repeated: u8,
    /// Entropy by place in elements, in steps of half a bit.
    places: [u8; 4],
}

impl Looks {
    /// `None` where there is too little to tell.
    fn of(data: &[u8], wanted: &Wanted) -> Option<Self> {
        let bytes = data.len() as u64;
        Some(Self {
            size: if wanted.floors.max_memory_bytes.is_some() { bytes } else { size_class(bytes) },
            repeated: (Features::of(data)?.repeated * 16.0).round() as u8,
            places: Places::of(data).bits.map(|bits| (bits * 2.0).round() as u8),
        })
    }
}

impl Host {
    /// As [`compressor`](Self::compressor), for calls that come again and again: what is answered serves `data` of about
    /// this size, and is shared by all who ask for the like.
    ///
    /// # Errors
    /// As [`compressor`](Self::compressor).
    pub fn shared_compressor(&self, request: Request, data: &[u8]) -> Result<Arc<Compressor>> {
        let request = request.bytes(size_class(data.len() as u64));
        let is_looked_at = data.len() >= LEAST_SAMPLED_BYTES;
        let likeness = if is_looked_at { Likeness::of(data) } else { request.likeness };
        let coarse = Request { likeness: likeness.as_ref().map(Likeness::coarse), ..request };
        // Pieces for trials are only taken where something is opened.
        self.keep((coarse, None), |host, (coarse, _)| match is_looked_at {
            true => host.compressor(&coarse.clone().like(data)),
            false => host.compressor(coarse),
        })
    }

    /// As [`decompressor`](Self::decompressor), for calls that come again and again, with frames of `frame_bytes` that hold `raw_bytes`.
    ///
    /// # Errors
    /// As [`decompressor`](Self::decompressor).
    pub fn shared_decompressor(
        &self,
        algorithm: &str,
        raw_bytes: u64,
        frame_bytes: u64,
    ) -> Result<Arc<Compressor>> {
        let likeness = Likeness::of_frame(raw_bytes, frame_bytes);
        let direction = crate::Direction::Decompress;
        let request = Request { likeness, direction, ..Request::new(algorithm).bytes(size_class(raw_bytes)) };
        self.keep((request, None), |host, (request, _)| host.decompressor(request))
    }

    /// What only compresses, for trials on samples of about `whole_bytes`: opening codecs takes as long as a short trial.
    ///
    /// # Errors
    /// As [`encoder`](Self::encoder).
    pub(crate) fn shared_sampler(&self, request: Request, whole_bytes: u64) -> Result<Arc<Compressor>> {
        self.keep((request, Some(size_class(whole_bytes))), |host, (request, _)| {
            Ok(host.encoder(request)?.for_samples_of(whole_bytes))
        })
    }

    /// As [`choose_for`](Self::choose_for), for pieces of which there are many: what was chosen for one serves others that look like it.
    ///
    /// # Errors
    /// As [`choose_for`](Self::choose_for).
    pub(crate) fn choose_for_like(&self, data: &[u8], wanted: &Wanted) -> Result<Arc<Choice>> {
        let choose = || self.choose_for(&DataSample::of(data), wanted).map(Arc::new);
        let looks = if data.len() > MOST_LIKE_BYTES { None } else { Looks::of(data, wanted) };
        let Some(looks) = looks else { return choose() };
        let now = self.snapshot();
        let is_it = |c: &&mut Chosen| c.is_for(&looks, wanted) && c.uses < MOST_USES;
        if let Some(known) = lock(&self.kept.0).renewed(&now).choices.iter_mut().find(is_it) {
            known.uses += 1;
            return Ok(Arc::clone(&known.choice));
        }
        let choice = choose()?;
        let mut kept = lock(&self.kept.0);
        if kept.is_of(&now) {
            kept.choices.retain(|c| !c.is_for(&looks, wanted));
            if kept.choices.len() == MOST_CHOICES {
                kept.choices.clear();
            }
            kept.choices.push(Chosen { wanted: wanted.clone(), looks, choice: Arc::clone(&choice), uses: 0 });
        }
        Ok(choice)
    }

    fn keep(
        &self,
        asked: Asked,
        open: impl FnOnce(&Self, &Asked) -> Result<Compressor>,
    ) -> Result<Arc<Compressor>> {
        let now = self.snapshot();
        let mut kept = lock(&self.kept.0);
        if let Some((_, compressor)) =
            kept.renewed(&now).compressors.iter().find(|(known, _)| *known == asked)
        {
            return Ok(Arc::clone(compressor));
        }
        drop(kept);
        let compressor = Arc::new(open(self, &asked)?);
        let (request, whole_bytes) = &asked;
        let bytes = usize::try_from(whole_bytes.or(request.bytes).unwrap_or_default()).unwrap_or(usize::MAX);
        let is_small = compressor.scratch_bytes(bytes) <= MOST_CONTEXT_BYTES;
        let mut kept = lock(&self.kept.0);
        if is_small && kept.is_of(&now) {
            if kept.compressors.len() == MOST {
                kept.compressors.clear();
            }
            // Who opened the same meanwhile has one of its own.
            kept.compressors.push((asked, Arc::clone(&compressor)));
        }
        Ok(compressor)
    }
}

fn size_class(bytes: u64) -> u64 {
    bytes.clamp(SIZES.0, SIZES.1).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Floors;

    #[test]
    fn sizes_of_one_class_are_within_a_factor_of_two() {
        assert_eq!(size_class(0), 1 << 10);
        assert_eq!(size_class((1 << 16) + 1), 1 << 17);
        assert_eq!(size_class(1 << 17), 1 << 17);
        assert_eq!(size_class(u64::MAX), 64 << 20);
    }

    #[test]
    fn looks_are_the_same_for_pieces_of_one_kind_and_differ_by_size_and_elements() {
        let text = "[info] 200 GET /clips/{n}/thumbnail took {n} ms\n".repeat(4000);
        let floats = |bytes: usize| -> Vec<u8> {
            let values =
                (0..40_000_u32).map(|n| 1.0 + (n.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0);
            values.flat_map(|v| v.to_le_bytes()[4 - bytes..].to_vec()).collect()
        };
        let any = Wanted::default();
        let looks = |data: &[u8]| Looks::of(data, &any).expect("enough data");
        assert_eq!(looks(&text.as_bytes()[..70_000]), looks(&text.as_bytes()[3000..76_000]));
        assert_ne!(looks(&text.as_bytes()[..70_000]), looks(&text.as_bytes()[..60_000]));
        assert_ne!(looks(&floats(4)[..80_000]).places, looks(&floats(2)[..80_000]).places);
        assert!(Looks::of(&[0; 100], &any).is_none());
        let floors = Floors { max_memory_bytes: Some(1 << 20), ..Floors::default() };
        let limited = Wanted { floors, ..Wanted::default() };
        let of = |len: usize| Looks::of(&text.as_bytes()[..len], &limited);
        assert_ne!(of(70_000), of(70_001));
    }
}
