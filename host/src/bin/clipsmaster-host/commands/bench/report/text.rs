//! Text of the page: escaped, and numbers as people read them.

/// Text that means nothing to HTML, in elements and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // File names may hold them; in HTML some are errors.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Three digits that count, thousands apart; a dash for what is no number.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let decimals = match value.abs() {
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    thousands(&format!("{value:.decimals$}"))
}

/// A ratio; those of nearly empty data may be in the thousands.
pub(super) fn ratio(value: f64) -> String {
    if value.is_finite() && value.abs() < 99.995 { format!("{value:.2}") } else { number(value) }
}

/// `±1.2 %`.
pub(super) fn deviation(part: f64) -> String {
    if part.is_finite() { format!("±{:.1}\u{202f}%", part * 100.0) } else { "–".into() }
}

/// At most so many characters; the end is what is cut.
pub(super) fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.into();
    }
    let kept: String = text.chars().take(characters.saturating_sub(1)).collect();
    kept + "…"
}

/// The end of a text: of a path what tells it from others.
pub(super) fn end(text: &str, characters: usize) -> String {
    let excess = text.chars().count().saturating_sub(characters);
    if excess == 0 {
        text.into()
    } else {
        std::iter::once('…').chain(text.chars().skip(excess + 1)).collect()
    }
}

fn thousands(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let whole = digits.split('.').next().unwrap_or(digits);
    if whole.len() < 5 {
        return format!("{sign}{digits}");
    }
    let mut text = String::from(sign);
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(c);
    }
    text
}

/// Seconds since 1970 as `2026-01-31T12:00:00Z`.
pub(super) fn iso_utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, of days since 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March have their leap day last; 719468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes() {
        assert_eq!(escape("a<b>&\"c'\0.txt"), "a&lt;b&gt;&amp;&quot;c&#39;\u{fffd}.txt");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.125, 9.996, 54.32, 99.96, 1234.5, 12_345.6, 1_234_567.0, f64::NAN].map(number);
        let expected =
            ["0.00", "0.12", "10.0", "54.3", "100", "1234", "12\u{202f}346", "1\u{202f}234\u{202f}567", "–"];
        assert_eq!(shown, expected);
        assert_eq!((deviation(0.0123), ratio(2.5)), ("±1.2\u{202f}%".into(), "2.50".into()));
        assert_eq!(cut("zstd 3", 4), "zst…");
        assert_eq!((end("a/b/c", 4), end("a/b/c", 5)), ("…b/c".into(), "a/b/c".into()));
    }

    #[test]
    fn dates_know_leap_years() {
        assert_eq!(iso_utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso_utc(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(iso_utc(1_767_225_599), "2025-12-31T23:59:59Z");
    }
}
