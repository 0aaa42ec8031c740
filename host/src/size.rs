//! Sizes as people write them.

/// Reads `4MB`, `512KB`, `64KiB`, `10 MiB`, `4096`: all binary, as the product's users wrote them.
///
/// # Errors
/// When `text` is no such size; the message says what is.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("`{text}` is no size; write bytes, or 512KB, 4MB, 1GB (binary units)")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is no size; write bytes, or 512KB, 4MB, 1GB"))?;
    let bytes = number * f64::from(1_u32 << shift);
    if bytes.fract() != 0.0 || bytes >= 2f64.powi(53) {
        return Err(format!("`{text}` is not a whole number of bytes below 8 PiB"));
    }
    Ok(bytes as u64)
}

/// Reads a speed in MB/s, 10^6 bytes a second: `200MB/s`, `1.5 GB/s`, `500KB/s`, or the number alone.
///
/// # Errors
/// When `text` is no such speed; the message says what is.
pub fn parse_speed(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no speed; write MB/s, e.g. 200MB/s or 1.5GB/s");
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.strip_suffix("/s").unwrap_or(&lower);
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor = match number[digits.len()..].trim() {
        "kb" => 1e-3,
        "" | "mb" => 1.0,
        "gb" => 1e3,
        _ => return Err(wrong()),
    };
    let speed = digits.parse::<f64>().map_err(|_| wrong())? * factor;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err(wrong()) }
}

/// `1 MiB`, `1.5 GiB`, `512 B`.
pub fn binary(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary() {
        assert_eq!(parse("4MB"), Ok(4 << 20));
        assert_eq!(parse("512KB"), Ok(512 << 10));
        assert_eq!(parse(" 1.5 GiB "), Ok(3 << 29));
        assert_eq!(parse("4096"), Ok(4096));
        for bad in ["", "MB", "4XB", "-1", "1.0001KB", "1e9", "99999999GB", "1..2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn speeds_are_decimal() {
        for (text, speed) in [("200MB/s", 200.0), ("1.5 GB/s", 1500.0), ("500kb/s", 0.5), ("70", 70.0)] {
            assert_eq!(parse_speed(text), Ok(speed), "{text}");
        }
        for bad in ["", "MB/s", "0", "-5", "fast", "inf", "nan", "200MiB/s", "200MB/h", "1..2"] {
            assert!(parse_speed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn output_rounds_to_a_tenth() {
        assert_eq!(binary(512), "512 B");
        assert_eq!(binary(1 << 20), "1 MiB");
        assert_eq!(binary(1_600_000), "1.5 MiB");
    }
}
