//! What somebody meant who wrote something else.

/// `did you mean ...?` where one of `known` is near, or else what there is.
pub(crate) fn instead(written: &str, known: &[&str]) -> String {
    match nearest(written, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there is none".into(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// The nearest of `known`, unless all are far: a third of the letters may be wrong, or one of few, but never all.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    // Far more than a name; the comparison takes time by the product of the lengths.
    if written.len() > 100 {
        return None;
    }
    let folded = written.to_ascii_lowercase();
    let distances = known.iter().map(|name| (distance(&folded, &name.to_ascii_lowercase()), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    let shorter = written.chars().count().min(name.chars().count());
    (distance <= (shorter / 3).max(1) && distance < shorter).then_some(name)
}

/// Letters to put in, take out, replace, or swap with their neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["zstd", "lz4", "gzip", "algorithm", "level"];
        for (written, meant) in [
            ("zsdt", "zstd"),
            ("GZIP", "gzip"),
            ("lz5", "lz4"),
            ("algoritm", "algorithm"),
            ("levels", "level"),
        ] {
            assert_eq!(nearest(written, &known), Some(meant), "{written}");
        }
        assert_eq!(nearest("brotli", &known), None);
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
        assert_eq!(nearest("", &[]), None);
        assert_eq!(instead("q", &["a", "bc"]), "there are: a, bc");
    }
}
