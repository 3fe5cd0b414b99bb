//! Durations, sizes and rates as people write them.
//!
//! Each function returns what is wrong in words that follow "is `…`: ".

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 86_400 * SECOND_MS;

/// Parses `500ms`, `30s`, `1h30m`, `7d`, `7y` (a year is 365 days) into milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    refuse_sign("a duration", text)?;
    let mut rest = text;
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = leading_number(rest).ok_or("a duration is written as 500ms, 30s, 30m, 12h, 7d or 7y")?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let unit_ms = match unit.trim() {
            "ms" => 1,
            "s" => SECOND_MS,
            "m" => 60 * SECOND_MS,
            "h" => 3_600 * SECOND_MS,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            "y" => 365 * DAY_MS,
            "" => return Err("a duration needs a unit: ms, s, m, h, d, w or y".into()),
            unit if unit.starts_with(['.', ',']) => return Err("a duration has no fraction; use the next smaller unit (1500ms, 90m)".into()),
            _ => return Err("a duration's unit is ms, s, m, h, d, w or y".into()),
        };
        total_ms = number.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms)).ok_or("the duration is too long")?;
        rest = next;
    }
    if text.is_empty() { Err("a duration is written as 500ms, 30s, 30m, 12h, 7d or 7y".into()) } else { Ok(total_ms) }
}

/// Parses `16MiB`, `256MB`, `1048576` into bytes; units in i are powers of 1024, the others of 1000.
pub(super) fn size_bytes(text: &str) -> Result<u64, String> {
    const SHAPE: &str = "a size is written as 16MiB, 256MB or in plain bytes";
    refuse_sign("a size", text)?;
    let (number, unit) = leading_number(text).ok_or(SHAPE)?;
    let unit_bytes: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "k" | "K" | "Ki" | "M" | "Mi" | "G" | "Gi" | "m" | "mb" | "g" | "gb" | "kb" => {
            return Err("a size's unit is written out: KiB, MiB, GiB, TiB (1024) or kB, MB, GB, TB (1000)".into());
        }
        unit if unit.starts_with(['.', ',']) => return Err("a size has no fraction; use the next smaller unit (1536KiB)".into()),
        _ => return Err(SHAPE.into()),
    };
    number.checked_mul(unit_bytes).ok_or_else(|| "the size is too large".into())
}

/// Parses `50MiB/s` into bytes per second; `none` is unlimited.
pub(super) fn rate_bytes_per_s(text: &str) -> Result<Option<u64>, String> {
    if text == "none" {
        return Ok(None);
    }
    let size = text.strip_suffix("/s").ok_or("a rate is written as 50MiB/s, or none")?;
    let rate = size_bytes(size.trim_end()).map_err(|e| e.replace("a size", "a rate"))?;
    if rate == 0 { Err("a rate of nothing would never finish; none is unlimited".into()) } else { Ok(Some(rate)) }
}

/// Parses a whole number without a sign.
pub(super) fn count(text: &str) -> Result<u64, String> {
    refuse_sign("the number", text)?;
    text.parse().map_err(|_| "a whole number is expected".into())
}

/// `true` or `false`, and nothing that merely looks like it.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("write true or false".into()),
    }
}

fn refuse_sign(what: &str, text: &str) -> Result<(), String> {
    if text.starts_with('-') { Err(format!("{what} is not negative")) } else { Ok(()) }
}

/// Splits off the digits at the front; None without any, or with more than a u64 holds.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("2 h", 7_200_000),
            ("7d", 604_800_000),
            ("7y", 7 * 365 * 86_400_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "30", "-30s", "s", "1.5h", "30x", "30min", "99999999999999999999s", "9999999999999y", "30s ago"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_know_both_kinds_of_units() {
        for (text, bytes) in [("16MiB", 16 << 20), ("256MB", 256_000_000), ("1048576", 1 << 20), ("1 GiB", 1 << 30), ("2kB", 2_000), ("5B", 5)] {
            assert_eq!(size_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "16M", "1.5GiB", "MiB", "16 MiB/s", "99999999TiB"] {
            assert!(size_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_sizes_per_second_or_none() {
        assert_eq!(rate_bytes_per_s("50MiB/s"), Ok(Some(50 << 20)));
        assert_eq!(rate_bytes_per_s("none"), Ok(None));
        for text in ["50MiB", "0B/s", "-1MiB/s", "fast"] {
            assert!(rate_bytes_per_s(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_are_strict() {
        assert_eq!(boolean("true"), Ok(true));
        assert!(boolean("yes").is_err() && boolean("True").is_err() && boolean("on").is_err());
    }
}
