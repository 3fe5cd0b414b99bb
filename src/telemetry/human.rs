//! Numbers as an operator reads them.

/// Bytes in units of 1024 with one decimal: `1.2 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be printed as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count with a comma at every third digit: `12,345`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration in its two largest units: `1d 2h`, `3m 20s`, `450ms`.
///
/// **Units**: takes milliseconds.
pub fn duration(ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let seconds = ms / 1_000;
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = units.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    let shown: Vec<String> = units[first..].iter().take(2).filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([bytes(0), bytes(1023), bytes(1024), bytes(1 << 20), bytes((1 << 30) - 1), bytes(1_288_490_189)].join("|"), "0 B|1023 B|1.0 KiB|1.0 MiB|1.0 GiB|1.2 GiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)].join("|"), "0|999|1,000|1,234,567");
        assert_eq!([duration(450), duration(21_900), duration(200_000), duration(3_600_000), duration(93_600_000)].join("|"), "450ms|21s|3m 20s|1h|1d 2h");
    }
}
