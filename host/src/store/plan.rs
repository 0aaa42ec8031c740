//! What to do with a resource, by its policy and the pressure there is: pure functions.

use crate::{
    pipeline::Filtering,
    policy::{Policy, Priority},
    pressure::Pressure,
};
use std::time::Duration;

/// What poorly compressed resources are compressed with when room is short: strong for its speed, and it decodes as fast as its lower levels.
const STRONGER: (&str, i32) = ("zstd", 9);
/// Levels added for what is rarely wanted, and up to which, under [`Pressure::High`].
const HARDER: i32 = 3;
const HARDEST: i32 = 9;
/// Compressed size, as a share of the original, from which on a resource is poorly compressed.
pub(super) const POOR: f64 = 0.5;

/// How to compress now: as `policy` says, shifted within it by `pressure`. What is rarely wanted gets a stronger level while there is time,
/// and what is wanted often or now the fastest when there is none. A choice that the policy leaves to trials, or pins to a device or an
/// implementation, stays.
pub(super) fn under(policy: &Policy, pressure: Pressure) -> Policy {
    let level = match (pressure, policy.priority) {
        _ if is_pinned(policy) => policy.level,
        (Pressure::High, Priority::Low) => harder(policy),
        (Pressure::Critical, Priority::High | Priority::Medium) => fastest(policy),
        _ => policy.level,
    };
    Policy { level, ..policy.clone() }
}

/// How to compress what `policy` left poorly compressed, if there is a stronger way.
pub(super) fn stronger(policy: &Policy) -> Option<Policy> {
    let is_as_strong = policy.algorithm == "lzma" || policy.algorithm == "bzip2";
    let (algorithm, least) = STRONGER;
    let level = policy.level.filter(|_| policy.algorithm == algorithm).map_or(least, |own| own.max(least));
    (!is_pinned(policy) && !is_as_strong).then(|| Policy {
        algorithm: algorithm.into(),
        level: Some(level),
        filter: policy.filter.or(Some(Filtering::Auto)),
        ..policy.clone()
    })
}

/// Whether what `a` and `b` make of the same bytes is the same.
pub(super) fn is_same_way(a: &Policy, b: &Policy) -> bool {
    let way = |p: &Policy| (p.request(), p.objective, p.filter.unwrap_or_default());
    way(a) == way(b)
}

fn is_pinned(policy: &Policy) -> bool {
    policy.hardware.is_some() || policy.implementation.is_some() || policy.is_auto()
}

fn harder(policy: &Policy) -> Option<i32> {
    match (policy.algorithm.as_str(), policy.level) {
        ("zstd" | "gzip", Some(level)) => Some(level.max((level + HARDER).min(HARDEST))),
        _ => policy.level,
    }
}

fn fastest(policy: &Policy) -> Option<i32> {
    let least = match policy.algorithm.as_str() {
        "zstd" | "gzip" => 1,
        "lz4" | "lzma" => 0,
        _ => return policy.level,
    };
    policy.level.map(|level| level.min(least))
}

/// How long a resource must not have been asked for, before it is compressed in the background, where it is `idle` without pressure.
pub(super) fn patience(idle: Duration, pressure: Pressure) -> Duration {
    match pressure {
        Pressure::Low => idle,
        Pressure::Medium => idle / 4,
        Pressure::High | Pressure::Critical => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySet;

    #[test]
    fn pressure_shifts_levels_by_priority_and_never_beyond_the_policy() {
        let set = PolicySet::builtin();
        let level = |kind: &str, pressure| under(set.get(kind), pressure).level;
        // Rarely wanted: harder while there is time.
        assert_eq!(level("file_cache", Pressure::Low), Some(3));
        assert_eq!(level("file_cache", Pressure::High), Some(6));
        assert_eq!(level("file_cache", Pressure::Critical), Some(3));
        assert_eq!(level("log_data", Pressure::High), Some(9));
        // Often wanted: faster when there is none.
        assert_eq!(level("attention_cache", Pressure::High), Some(1));
        assert_eq!(level("intermediate_cache", Pressure::Critical), Some(0));
        let pinned =
            Policy { implementation: Some("zstd/cpu/libzstd".into()), ..set.get("file_cache").clone() };
        assert_eq!(under(&pinned, Pressure::High), pinned);
        assert!(stronger(&pinned).is_none());
    }

    #[test]
    fn stronger_is_never_weaker() {
        let set = PolicySet::builtin();
        let stronger = |policy: &Policy| stronger(policy).expect("not pinned");
        assert_eq!(stronger(set.get("temp_buffers")).level, Some(9));
        let high = Policy { level: Some(15), ..set.get("file_cache").clone() };
        assert_eq!(stronger(&high).level, Some(15));
        let other = Policy { algorithm: "lzma".into(), ..high };
        assert!(super::stronger(&other).is_none());
    }

    #[test]
    fn when_to_compress_is_not_how() {
        let policy = PolicySet::builtin().get("subtitle").clone();
        let later = Policy { threshold_bytes: 1, min_savings: 0.5, ..policy.clone() };
        assert!(is_same_way(&policy, &later));
        assert!(!is_same_way(&policy, &under(&Policy { level: Some(3), ..policy.clone() }, Pressure::Low)));
    }
}
