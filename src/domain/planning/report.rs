//! Numbers and lists as findings word them.

use crate::domain::limits::NAMES_SHOWN_MAX;

/// A size in decimal units with one digit after the point.
pub(crate) fn bytes(bytes: i64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// A duration in the two largest units that it has.
pub(crate) fn duration(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{m} min {s} s"),
        (0, _, _) => format!("{h} h {m} min"),
        _ => format!("{d} d {h} h"),
    }
}

/// `one thing`, `2 things`: a count with its noun.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Names joined by commas; beyond the limit the rest is counted.
pub(crate) fn names<S: AsRef<str>>(names: &[S]) -> String {
    let mut text = names.iter().take(NAMES_SHOWN_MAX).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_SHOWN_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMES_SHOWN_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_well() {
        assert_eq!([0, 999, 1000, 999_949, 999_950, 5_200_000_000].map(bytes), ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "5.2 GB"]);
        assert_eq!([0, 59, 61, 3660, 90_000].map(duration), ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
