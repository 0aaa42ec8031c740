//! Which implementation serves a request, and why the others do not.
//!
//! Pure functions over descriptors and measurements: no I/O, no handles, the same answer for the same
//! input. The rule is written down at [`rank`].

pub mod auto;
pub(crate) mod likeness;
mod predict;

pub use likeness::Likeness;
pub use predict::Profile;
use predict::Ratios;

use crate::{
    DataSample, algorithm,
    benchmark::data::Kind,
    registry::report::{Cell, CodecInfo},
};
use serde::Serialize;
use std::collections::BTreeSet;

/// Share of the reference's ratio a CPU implementation must reach.
const CPU_RATIO_FLOOR: f64 = 0.99;
/// Share of the reference's ratio an accelerator must reach: its reason to be there is speed.
const ACCELERATOR_RATIO_FLOOR: f64 = 0.85;
/// A challenger must beat the incumbent by this share. Not by more where runs are noisy: the median of several, taken in turns, is far less
/// so, and the margin is time that a wrong incumbent costs.
const INCUMBENT_MARGIN: f64 = 0.02;
/// Ratio, as a factor of the incumbent's, from which on a challenger may even be a little slower, by the difference of both margins: predictions are no
/// better than that, and where they were wrong, something has been gained.
const SMALLER: f64 = 1.03;
const SMALLER_MARGIN: f64 = 0.06;
/// A higher level of the same implementation must be faster by this share. Where nothing repeats, all of its levels take the same time;
/// where the data in question does so a little more than what was measured, the higher take far longer. By more than runs of one level, measured at different
/// times, differ by chance: of many levels the luckiest goes first otherwise.
const HIGHER_LEVEL_MARGIN: f64 = 0.15;
/// Size assumed when a request names none, in bytes.
pub const DEFAULT_BYTES: u64 = 1 << 20;

/// What is asked of an implementation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Compress as fast as possible.
    #[default]
    Compress,
    /// Decompress as fast as possible.
    Decompress,
    /// Both, with equal weight.
    Both,
}

impl Direction {
    fn of(self, compress: f64, decompress: f64) -> f64 {
        match self {
            Self::Compress => compress,
            Self::Decompress => decompress,
            Self::Both => compress + decompress,
        }
    }
}

/// A request for an implementation.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Request {
    /// Algorithm, by its canonical name.
    pub algorithm: String,
    /// Level of the reference implementation; its default when absent.
    pub level: Option<i32>,
    /// Size of one piece of work, in bytes; [`DEFAULT_BYTES`] when absent.
    pub bytes: Option<u64>,
    /// What should be fast.
    pub direction: Direction,
    /// Only this hardware, in upper or lower case; what it starts, the CPU finishes where the device fails.
    pub hardware: Option<String>,
    /// Exactly this implementation, at its own level; bypasses ranking.
    pub implementation: Option<String>,
    /// Least share of the reference's ratio; by kind of hardware when absent.
    pub ratio_floor: Option<f64>,
    /// Most memory, in bytes, an implementation may need.
    pub memory_bytes: Option<u64>,
    /// Whether the frames to decode were found to be as they were written: decoders that trust their input may have them.
    pub verified: bool,
    /// What the data is like, so that measurements of such data count; all kinds alike when absent.
    pub likeness: Option<Likeness>,
    /// Whether the work is decoding a stream of unknown length in bounded memory.
    pub stream: bool,
}

impl Request {
    /// A request for `algorithm` (any alias).
    pub fn new(algorithm: &str) -> Self {
        Self { algorithm: algorithm::canonical(algorithm), ..Self::default() }
    }

    /// Sets the level.
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// Sets the size of one piece of work, in bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Sets what the data is like, by a look at `data`: all of it, or its beginning.
    #[must_use]
    pub fn like(mut self, data: &[u8]) -> Self {
        // What is in memory can be read.
        self.likeness = DataSample::of(data).likeness().ok().flatten();
        self
    }

    fn size(&self) -> u64 {
        self.bytes.unwrap_or(DEFAULT_BYTES)
    }
}

/// An implementation that might serve a request.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What it is.
    pub info: &'a CodecInfo,
    /// Why it cannot be used at all, if so.
    pub unusable: Option<&'a str>,
    /// How it measured on this machine.
    pub cells: &'a [Cell],
    /// Peak memory by level, in bytes.
    pub peak_bytes: &'a [(i32, u64)],
}

impl Candidate<'_> {
    fn is_reference(&self) -> bool {
        algorithm::is_reference(&self.info.algorithm, &self.info.library)
    }

    /// Whether its device only pretends to be one. What it measures says nothing about speed.
    fn is_simulated(&self) -> bool {
        self.info.is_simulated()
    }
}

/// The user's word, above all measurements.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// Implementation pinned for the algorithm.
    pub pin: Option<&'a str>,
    /// Implementations never chosen unless asked for by name.
    pub disabled: &'a BTreeSet<String>,
}

/// An implementation that can serve a request.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Ranked {
    /// `<algorithm>/<hardware>/<library>`.
    pub implementation: String,
    /// Its own level.
    pub level: i32,
    /// All of its own levels that keep the promise of the level asked for, as far as is measured; `level` is the fastest of them.
    pub levels: Vec<i32>,
    /// Predicted time at each of them, in seconds; empty until measured.
    #[serde(skip)]
    pub level_s: Vec<f64>,
    /// Predicted time, in seconds; absent until measured.
    pub predicted_s: Option<f64>,
    /// Ratio on the built-in data at the request's size class.
    pub ratio: Option<f64>,
    /// Why it stands where it stands.
    pub reason: String,
}

/// An implementation that cannot serve a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rejected {
    /// `<algorithm>/<hardware>/<library>`.
    pub implementation: String,
    /// Why.
    pub reason: String,
}

/// The answer to a request: who can serve it, best first, and why the others cannot.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Ranking {
    /// Best first; the next serves when one fails.
    pub ranked: Vec<Ranked>,
    /// The rest.
    pub rejected: Vec<Rejected>,
    /// Implementation whose ratio defines the level.
    pub reference: Option<String>,
    /// Ratio the level asks for.
    pub asked_ratio: Option<f64>,
    /// Whether some eligible implementation has not been measured for this request.
    pub provisional: bool,
}

/// Ranks the candidates of one algorithm.
///
/// A level means *at least the ratio the reference implementation reaches at that level* on every kind of data (a share
/// of it, see [`Request::ratio_floor`]); the fastest pair of implementation and own level by predicted time, on data that is alike where that is
/// known, comes first. The
/// reference, as incumbent, stays first unless beaten by more than 2 %; what leaves 3 % less than it may take 4 % longer. Pins come first, disabled ones not at all,
/// an exact [`Request::implementation`] bypasses all of it. Simulated devices take part only where they are named. Ties end on the name. What has not been
/// measured stands behind what has, the reference first.
pub fn rank(candidates: &[Candidate<'_>], request: &Request, wishes: Wishes<'_>) -> Ranking {
    let mut ranking = Ranking::default();
    let mut eligible = Vec::new();
    for candidate in candidates.iter().filter(|c| c.info.algorithm == request.algorithm) {
        match reject(candidate, request, wishes) {
            Some(reason) => ranking.reject(candidate, reason),
            None => eligible.push(*candidate),
        }
    }
    if request.implementation.is_some() {
        return exact(ranking, &eligible, request);
    }
    let reference = reference(candidates, &eligible);
    let level = request.level.or(reference.map(|r| r.info.level_default)).unwrap_or_default();
    let asked = Asked::new(reference.as_ref(), level, request);
    ranking.reference = reference.map(|r| r.info.implementation());
    ranking.asked_ratio = asked_ratio(reference.as_ref(), &asked);

    let mut scored = Vec::new();
    for candidate in &eligible {
        match score(candidate, &asked, request) {
            Ok(score) => scored.push(score),
            Err(reason) => ranking.reject(candidate, reason),
        }
    }
    ranking.provisional = scored.len() > 1 && scored.iter().any(|s| s.seconds.is_none());
    ranking.ranked = explain(&order(scored, request, wishes.pin), request, wishes.pin);
    ranking
}

/// What to measure before [`rank`] can decide on `request`: implementations and levels; all that compete where anything is missing, since times
/// compare only where they were taken in turns. Empty where there is nothing to choose between.
pub fn unmeasured(
    candidates: &[Candidate<'_>],
    request: &Request,
    wishes: Wishes<'_>,
) -> Vec<(String, Vec<i32>)> {
    let eligible: Vec<Candidate<'_>> = candidates
        .iter()
        .filter(|c| c.info.algorithm == request.algorithm && reject(c, request, wishes).is_none())
        .copied()
        .collect();
    if eligible.len() < 2 || request.implementation.is_some() {
        return Vec::new();
    }
    let reference = reference(candidates, &eligible);
    let asked = request.level.or(reference.map(|r| r.info.level_default)).unwrap_or_default();
    let is_missing = |c: &Candidate<'_>| {
        let is_reference = reference.is_some_and(|r| std::ptr::eq(r.info, c.info));
        let needed = if is_reference { vec![asked] } else { own_levels(c.info) };
        needed.iter().any(|l| c.info.has_level(*l) && Profile::new(c.cells, *l, None).is_none())
    };
    if !eligible.iter().any(is_missing) {
        return Vec::new();
    }
    let levels = |c: &Candidate<'_>| {
        let mut levels = own_levels(c.info);
        if c.info.has_level(asked) && !levels.contains(&asked) {
            levels.push(asked);
        }
        levels
    };
    eligible.iter().map(|c| (c.info.implementation(), levels(c))).collect()
}

/// Own levels worth measuring: all of a short range, the ends and the neighbourhood of the default of a long one.
pub(crate) fn own_levels(info: &CodecInfo) -> Vec<i32> {
    let all = info.level_min..=info.level_max;
    if info.level_max - info.level_min <= 24 {
        return all.collect();
    }
    all.filter(|l| *l == info.level_min || *l == info.level_max || (l - info.level_default).abs() <= 10)
        .collect()
}

fn reject(c: &Candidate<'_>, request: &Request, wishes: Wishes<'_>) -> Option<String> {
    let id = c.info.implementation();
    let named = request.implementation.as_deref() == Some(id.as_str());
    if let Some(why) = c.unusable {
        return Some(why.to_owned());
    }
    if request.implementation.is_some() && !named {
        return Some("another implementation was asked for by name".into());
    }
    if !named && wishes.disabled.contains(&id) {
        return Some("disabled by configuration".into());
    }
    if request.hardware.as_ref().is_some_and(|h| !h.eq_ignore_ascii_case(&c.info.hardware)) {
        return Some(format!("runs on {}", c.info.hardware));
    }
    let pinned = wishes.pin == Some(id.as_str());
    if c.is_simulated() && !named && !pinned && request.hardware.is_none() {
        return Some(format!("its device is simulated ({}): used only where it is named", c.info.device));
    }
    let (needed, what) = match request.direction {
        Direction::Compress => (c.info.compresses, "compress"),
        Direction::Decompress => (c.info.decompresses, "decompress"),
        Direction::Both => (c.info.compresses && c.info.decompresses, "do both directions"),
    };
    if !needed {
        return Some(format!("cannot {what}"));
    }
    let is_at_risk = request.direction != Direction::Compress && !request.verified;
    if !named && is_at_risk && !c.info.safe_on_hostile_input {
        return Some("must not be given frames that nobody has verified".into());
    }
    if request.stream && !c.info.streams {
        return Some("cannot decode streams in bounded memory".into());
    }
    None
}

fn exact(mut ranking: Ranking, eligible: &[Candidate<'_>], request: &Request) -> Ranking {
    for c in eligible {
        let level = request.level.unwrap_or(c.info.level_default);
        if c.info.has_level(level) || request.direction == Direction::Decompress {
            ranking.ranked.push(Ranked {
                implementation: c.info.implementation(),
                level: level.clamp(c.info.level_min, c.info.level_max),
                levels: vec![level],
                level_s: Vec::new(),
                predicted_s: None,
                ratio: None,
                reason: "asked for by name".into(),
            });
        } else {
            ranking.reject(c, out_of_range(c, level));
        }
    }
    ranking
}

/// The reference implementation; where it is not installed, the first eligible one by name stands in.
fn reference<'a>(candidates: &[Candidate<'a>], eligible: &[Candidate<'a>]) -> Option<Candidate<'a>> {
    let algorithm = &eligible.first()?.info.algorithm;
    let defines =
        |c: &&Candidate<'a>| c.is_reference() && c.info.algorithm == *algorithm && c.unusable.is_none();
    let first = || eligible.iter().min_by_key(|c| c.info.implementation());
    candidates.iter().find(defines).or_else(first).copied()
}

/// What a level asks for.
struct Asked {
    reference: Option<String>,
    level: i32,
    /// Whether the level is one of the reference's; otherwise it is each implementation's own.
    comparable: bool,
    /// Size class of the ratios, in bytes, and the ratios; none until measured.
    size: u64,
    ratios: Option<Ratios>,
}

impl Asked {
    fn new(reference: Option<&Candidate<'_>>, level: i32, request: &Request) -> Self {
        let comparable = reference.is_some_and(|r| r.info.has_level(level));
        let profile = reference.and_then(|r| Profile::new(r.cells, level, None)).filter(|_| comparable);
        let size = profile.as_ref().and_then(|p| p.ratio_size(request.size())).unwrap_or_default();
        Self {
            reference: reference.map(|r| r.info.implementation()),
            level,
            comparable,
            size,
            ratios: profile.and_then(|p| p.ratios(size).copied()),
        }
    }

    /// The kind of data on which `profile` comes worst off against what is asked: its share, ratio, what is asked, and the kind.
    fn worst(&self, profile: &Profile) -> Option<(f64, f64, f64, Kind)> {
        let (asked, reached) = (self.ratios.as_ref()?, profile.ratios(self.size)?);
        let shares = Kind::ALL.into_iter().filter_map(|kind| {
            let (asked, ratio) = (asked[kind as usize]?, reached[kind as usize]?);
            Some((ratio / asked, ratio, asked, kind))
        });
        shares.min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Own levels, and the predicted time at each, in seconds.
type Levels = Vec<(i32, f64)>;

struct Score {
    implementation: String,
    is_incumbent: bool,
    level: i32,
    /// Those that keep the promise, with the time of each; none but `level` where that is not known.
    kept: Levels,
    seconds: Option<f64>,
    ratio: Option<f64>,
}

fn score(c: &Candidate<'_>, asked: &Asked, request: &Request) -> Result<Score, String> {
    let id = c.info.implementation();
    let is_incumbent = asked.reference.as_ref() == Some(&id);
    let at = |level: i32| -> Score {
        let profile = Profile::new(c.cells, level, request.likeness.as_ref());
        Score {
            implementation: id.clone(),
            is_incumbent,
            level,
            kept: Levels::new(),
            seconds: profile.as_ref().map(|p| p.seconds(request.size(), request.direction)),
            ratio: profile.as_ref().and_then(|p| p.ratio(p.ratio_size(request.size())?)),
        }
    };
    if request.direction == Direction::Decompress {
        // The frame's level was the writer's choice; what counts is how fast ordinary frames are read.
        return Ok(at(c.info.level_default));
    }
    let fits = |level: i32| {
        let peak = c.peak_bytes.iter().find(|(l, _)| *l == level).map_or(0, |(_, bytes)| *bytes);
        request.memory_bytes.is_none_or(|limit| peak <= limit)
    };
    if is_incumbent || !asked.comparable {
        return match (c.info.has_level(asked.level), fits(asked.level)) {
            (false, _) => Err(out_of_range(c, asked.level)),
            (_, false) => Err(format!("level {} needs more memory than allowed", asked.level)),
            _ => Ok(at(asked.level)),
        };
    }
    // Nothing to compare yet: the nearest level of its own, behind what is measured.
    let unmeasured = || Score { seconds: None, ..at(asked.level.clamp(c.info.level_min, c.info.level_max)) };
    if asked.ratios.is_none() {
        return Ok(unmeasured());
    }
    let found = fastest_level(c, asked, request, &fits)?;
    Ok(found.map_or_else(unmeasured, |(level, kept)| Score { kept, ..at(level) }))
}

/// The lowest own level that reaches the ratio asked for, on every kind of data, in about the least time, and all that reach it, with their
/// times; `None` when no level has been measured.
fn fastest_level(
    c: &Candidate<'_>,
    asked: &Asked,
    request: &Request,
    fits: &dyn Fn(i32) -> bool,
) -> Result<Option<(i32, Levels)>, String> {
    let floor = ratio_floor(c.info, request);
    let levels: BTreeSet<i32> = c.cells.iter().map(|cell| cell.level).collect();
    let mut kept = Levels::new();
    let mut nearest: Option<(f64, String)> = None;
    for level in levels.into_iter().filter(|l| fits(*l)) {
        let Some(profile) = Profile::new(c.cells, level, request.likeness.as_ref()) else { continue };
        let Some((share, ratio, wanted, kind)) = asked.worst(&profile) else { continue };
        if share < floor {
            if nearest.as_ref().is_none_or(|(s, _)| share > *s) {
                let (wanted, kind) = (wanted * floor, kind.name());
                nearest = Some((share, format!("ratio {ratio:.2} < {wanted:.2} asked, on {kind}")));
            }
            continue;
        }
        kept.push((level, profile.seconds(request.size(), request.direction)));
    }
    let least = kept.iter().map(|(_, s)| *s).fold(f64::INFINITY, f64::min);
    let lowest = kept.iter().find(|(_, s)| s * (1.0 - HIGHER_LEVEL_MARGIN) <= least);
    match (lowest, nearest) {
        (Some((level, _)), _) => Ok(Some((*level, kept))),
        (None, Some((_, why))) => Err(why),
        (None, None) => Ok(None),
    }
}

/// Share of the reference's ratio that an implementation must reach.
pub(crate) fn ratio_floor(info: &CodecInfo, request: &Request) -> f64 {
    let floor = if info.hardware == "cpu" { CPU_RATIO_FLOOR } else { ACCELERATOR_RATIO_FLOOR };
    request.ratio_floor.unwrap_or(floor)
}

/// The ratio a level asks for, as people are told it: the mean over the kinds of data.
fn asked_ratio(reference: Option<&Candidate<'_>>, asked: &Asked) -> Option<f64> {
    Profile::new(reference?.cells, asked.level, None).filter(|_| asked.comparable)?.ratio(asked.size)
}

fn out_of_range(c: &Candidate<'_>, level: i32) -> String {
    format!("level {level} is outside its {}..={}", c.info.level_min, c.info.level_max)
}

/// Pin first; then measured ones by time, the incumbent favoured by its margin, and by another what leaves less than it; then the others, the
/// incumbent first.
fn order(scored: Vec<Score>, request: &Request, pin: Option<&str>) -> Vec<Score> {
    let incumbent = scored.iter().find(|s| s.is_incumbent).and_then(|s| s.ratio);
    let is_smaller = |s: &Score| {
        let ratios = incumbent.zip(s.ratio).filter(|_| request.direction != Direction::Decompress);
        ratios.is_some_and(|(incumbent, ratio)| ratio >= incumbent * SMALLER)
    };
    let margin = |s: &Score| match s.is_incumbent {
        true => INCUMBENT_MARGIN,
        false if is_smaller(s) => SMALLER_MARGIN,
        false => 0.0,
    };
    let handicapped = |s: &Score| s.seconds.unwrap_or(f64::INFINITY) * (1.0 - margin(s));
    let pinned = |s: &Score| pin == Some(s.implementation.as_str());
    let mut keyed: Vec<(f64, Score)> = scored.into_iter().map(|s| (handicapped(&s), s)).collect();
    keyed.sort_by(|(t, x), (u, y)| {
        (pinned(y).cmp(&pinned(x)))
            .then(t.total_cmp(u))
            .then(y.is_incumbent.cmp(&x.is_incumbent))
            .then_with(|| x.implementation.cmp(&y.implementation))
    });
    keyed.into_iter().map(|(_, s)| s).collect()
}

fn explain(scored: &[Score], request: &Request, pin: Option<&str>) -> Vec<Ranked> {
    let best = scored.first().and_then(|s| s.seconds);
    let size = request.size();
    let reason = |rank: usize, s: &Score| -> String {
        let incumbent = if s.is_incumbent { "; defines the level" } else { "" };
        if pin == Some(s.implementation.as_str()) {
            return "pinned by configuration".into();
        }
        let Some(seconds) = s.seconds else {
            return format!("not measured yet{incumbent}");
        };
        if rank == 0 {
            let slower = scored.iter().skip(1).filter_map(|o| o.seconds).reduce(f64::min);
            return match slower {
                None => format!("the only one{incumbent}"),
                Some(other) if other < seconds => {
                    let smaller = if s.is_incumbent { "" } else { ", and leaves less" };
                    format!("within the margin of the fastest{smaller}{incumbent}")
                }
                Some(other) => format!(
                    "{:.2}x faster than the next at {}{incumbent}",
                    other / seconds,
                    crate::size::binary(size)
                ),
            };
        }
        match best {
            Some(best) if seconds < best => {
                format!("{:.0} % faster, within the margin for a change", (1.0 - seconds / best) * 100.0)
            }
            Some(best) => {
                format!("{:.2}x slower at {}{incumbent}", seconds / best, crate::size::binary(size))
            }
            None => format!("behind a pin{incumbent}"),
        }
    };
    let ranked = |(rank, s): (usize, &Score)| Ranked {
        implementation: s.implementation.clone(),
        level: s.level,
        levels: if s.kept.is_empty() { vec![s.level] } else { s.kept.iter().map(|(l, _)| *l).collect() },
        level_s: s.kept.iter().map(|(_, seconds)| *seconds).collect(),
        predicted_s: s.seconds,
        ratio: s.ratio,
        reason: reason(rank, s),
    };
    scored.iter().enumerate().map(ranked).collect()
}

impl Ranking {
    fn reject(&mut self, c: &Candidate<'_>, reason: impl Into<String>) {
        self.rejected.push(Rejected { implementation: c.info.implementation(), reason: reason.into() });
    }
}

#[cfg(test)]
mod tests;
