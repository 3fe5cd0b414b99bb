//! Throughput over a sliding window, and the time left where it can be told.

use crate::machine::state::State;
use serde::Serialize;
use std::collections::VecDeque;

/// How far back the rate looks.
///
/// **Units**: milliseconds.
const WINDOW_MS: u64 = 30_000;

/// Shortest span that gives a rate; below it one batch more or less would make the number jump.
///
/// **Units**: milliseconds.
const SPAN_MIN_MS: u64 = 2_000;

/// Samples closer together than this are merged, which bounds the window's memory.
///
/// **Units**: milliseconds.
const SPACING_MS: u64 = 250;

/// Longest time left that is shown; a longer one only says that next to nothing moves.
///
/// **Units**: milliseconds.
const ETA_MAX_MS: u64 = 30 * 86_400_000;

/// What a running command knows of itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub state: State,
    pub records_done: u64,
    /// 0 where it is not known.
    pub records_total: u64,
    pub bytes_done: u64,
    /// 0 where it is not known.
    pub bytes_total: u64,
    pub lag_records: u64,
    /// Why nothing moves, in a few words; None while it moves.
    pub waiting_because: Option<String>,
}

/// An observation with its rate and the time left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    pub state: State,
    pub records_done: u64,
    pub records_total: u64,
    pub bytes_done: u64,
    pub bytes_total: u64,
    pub lag_records: u64,
    /// None until the window is wide enough.
    pub rate_bytes_per_s: Option<u64>,
    /// None where it is unknown.
    pub eta_ms: Option<u64>,
    pub waiting_because: Option<String>,
}

/// Turns observations into snapshots.
#[derive(Debug, Default)]
pub struct RateWindow {
    /// Time and bytes done, oldest first.
    samples: VecDeque<(u64, u64)>,
}

impl RateWindow {
    /// Takes one observation at `now_ms` of a clock that never goes back.
    pub fn snapshot(&mut self, now_ms: u64, seen: Observation) -> Snapshot {
        self.sample(now_ms, seen.bytes_done);
        let rate_bytes_per_s = self.rate(now_ms, seen.bytes_done);
        let eta_ms = match rate_bytes_per_s {
            Some(rate @ 1..) if seen.waiting_because.is_none() && seen.bytes_total >= seen.bytes_done && seen.bytes_total > 0 => {
                let left = u128::from(seen.bytes_total - seen.bytes_done) * 1_000 / u128::from(rate);
                u64::try_from(left).ok().filter(|ms| *ms <= ETA_MAX_MS)
            }
            _ => None,
        };
        let Observation { state, records_done, records_total, bytes_done, bytes_total, lag_records, waiting_because } = seen;
        Snapshot { state, records_done, records_total, bytes_done, bytes_total, lag_records, rate_bytes_per_s, eta_ms, waiting_because }
    }

    fn sample(&mut self, now_ms: u64, bytes_done: u64) {
        // A partition that is refilled takes its bytes back: what came before says nothing about the rate.
        if self.samples.back().is_some_and(|(_, last)| *last > bytes_done) {
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|(at, _)| now_ms.saturating_sub(*at) >= SPACING_MS) {
            self.samples.push_back((now_ms, bytes_done));
        }
        // One sample older than the window stays, as the edge that the rate is taken from.
        while self.samples.get(1).is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= WINDOW_MS) {
            self.samples.pop_front();
        }
    }

    fn rate(&self, now_ms: u64, bytes_done: u64) -> Option<u64> {
        let (at, then) = self.samples.front()?;
        let span_ms = now_ms.saturating_sub(*at);
        if span_ms < SPAN_MIN_MS {
            return None;
        }
        u64::try_from(u128::from(bytes_done.saturating_sub(*then)) * 1_000 / u128::from(span_ms)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn at(bytes_done: u64, bytes_total: u64) -> Observation {
        Observation { state: State::Seed, records_done: 0, records_total: 0, bytes_done, bytes_total, lag_records: 0, waiting_because: None }
    }

    #[test]
    fn the_rate_is_that_of_the_last_half_minute() {
        let mut window = RateWindow::default();
        assert_eq!(window.snapshot(0, at(0, 1_000 * MB)).rate_bytes_per_s, None);
        assert_eq!(window.snapshot(1_000, at(MB, 1_000 * MB)).rate_bytes_per_s, None);
        let mut last = window.snapshot(2_000, at(2 * MB, 1_000 * MB));
        assert_eq!((last.rate_bytes_per_s, last.eta_ms), (Some(MB), Some(998_000)));
        // Ten times faster from here: half a minute later only that counts.
        for second in 3..=60 {
            last = window.snapshot(second * 1_000, at(2 * MB + (second - 2) * 10 * MB, 1_000 * MB));
        }
        assert_eq!((last.rate_bytes_per_s, last.eta_ms), (Some(10 * MB), Some(41_800)));
        assert!(window.samples.len() <= (WINDOW_MS / SPACING_MS + 2) as usize);
    }

    #[test]
    fn the_time_left_is_unknown_rather_than_nonsense() {
        let mut window = RateWindow::default();
        window.snapshot(0, at(0, 0));
        assert_eq!(window.snapshot(5_000, at(5 * MB, 0)).eta_ms, None, "no total");
        assert_eq!(window.snapshot(6_000, at(6 * MB, 3 * MB)).eta_ms, None, "more than the total");
        assert_eq!(window.snapshot(6_500, at(6 * MB, u64::MAX)).eta_ms, None, "a million years");
        let waiting = Observation { waiting_because: Some("a broker is away".into()), ..at(7 * MB, 9 * MB) };
        assert_eq!(window.snapshot(7_000, waiting).eta_ms, None, "it waits");
        // Nothing moved for the whole window.
        window.snapshot(60_000, at(7 * MB, 9 * MB));
        window.snapshot(80_000, at(7 * MB, 9 * MB));
        let still = window.snapshot(91_000, at(7 * MB, 9 * MB));
        assert_eq!((still.rate_bytes_per_s, still.eta_ms), (Some(0), None));
        assert_eq!(window.snapshot(92_000, at(9 * MB, 9 * MB)).eta_ms, Some(0), "nothing is left");
        // A refill takes bytes back and starts the window anew.
        assert_eq!(window.snapshot(93_000, at(MB, 9 * MB)).rate_bytes_per_s, None);
    }
}
