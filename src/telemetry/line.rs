//! The status line, and when a plain one is due.

use super::rate::Snapshot;
use super::{bytes, count, duration};
use crate::machine::state::State;

/// Time between two plain lines while nothing changes but the numbers.
///
/// **Units**: milliseconds.
const INTERVAL_MS: u64 = 10_000;

/// One snapshot in one line; what matters most stands first, because a narrow terminal cuts the end.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let copies = matches!(snapshot.state, State::Seed | State::Tail | State::DrainReady | State::Cutover);
    let moved = snapshot.bytes_done > 0 || snapshot.bytes_total > 0;
    let mut parts = vec![match percent(snapshot) {
        Some(percent) => format!("{} {percent}%", snapshot.state),
        None => snapshot.state.to_string(),
    }];
    if let Some(reason) = &snapshot.waiting_because {
        parts.push(format!("waits: {reason}"));
    }
    if moved {
        parts.push(snapshot.rate_bytes_per_s.map_or_else(|| "rate unknown".to_owned(), |rate| format!("{}/s", bytes(rate))));
    }
    if snapshot.state == State::Seed {
        parts.push(snapshot.eta_ms.map_or_else(|| "ETA unknown".to_owned(), |ms| format!("ETA {}", duration(ms.next_multiple_of(1_000)))));
    }
    if copies {
        parts.push(format!("lag {}", count(snapshot.lag_records)));
    }
    if moved {
        parts.push(of(snapshot.bytes_done, snapshot.bytes_total, bytes));
        parts.push(of(snapshot.records_done, snapshot.records_total, count) + " records");
    }
    parts.join(", ")
}

/// Rounded down, so that 100 % is said when nothing is left; None without a total, or beyond it.
fn percent(snapshot: &Snapshot) -> Option<u128> {
    let (done, total) = (u128::from(snapshot.bytes_done), u128::from(snapshot.bytes_total));
    (total > 0 && done <= total).then(|| done * 100 / total)
}

/// `done of total`, or `done` alone where the total says nothing.
fn of(done: u64, total: u64, show: fn(u64) -> String) -> String {
    if total > 0 && done <= total { format!("{} of {}", show(done), show(total)) } else { show(done) }
}

/// Decides when a plain line is due: at first, every ten seconds, and at once when the state or the reason for waiting changes.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    last: Option<(u64, State, Option<String>)>,
}

impl Schedule {
    pub fn due(&mut self, now_ms: u64, snapshot: &Snapshot) -> bool {
        let due = match &self.last {
            None => true,
            Some((at, state, reason)) => {
                now_ms.saturating_sub(*at) >= INTERVAL_MS || *state != snapshot.state || *reason != snapshot.waiting_because
            }
        };
        if due {
            self.last = Some((now_ms, snapshot.state, snapshot.waiting_because.clone()));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Snapshot {
        Snapshot {
            state: State::Seed,
            records_done: 12_345,
            records_total: 30_000,
            bytes_done: 1 << 30,
            bytes_total: 3 << 30,
            lag_records: 1_234,
            rate_bytes_per_s: Some(80 << 20),
            eta_ms: Some(20_100),
            waiting_because: None,
        }
    }

    #[test]
    fn the_line_says_what_an_operator_asks() {
        assert_eq!(text(&seed()), "seed 33%, 80.0 MiB/s, ETA 21s, lag 1,234, 1.0 GiB of 3.0 GiB, 12,345 of 30,000 records");
        let waiting = Snapshot { rate_bytes_per_s: None, eta_ms: None, waiting_because: Some("broker 2 of the target is away".into()), ..seed() };
        assert_eq!(
            text(&waiting),
            "seed 33%, waits: broker 2 of the target is away, rate unknown, ETA unknown, lag 1,234, 1.0 GiB of 3.0 GiB, 12,345 of 30,000 records"
        );
        // More than the total was when it was taken: the total is left out rather than exceeded.
        let tail = Snapshot { state: State::Tail, records_total: 12_000, bytes_total: 1 << 29, eta_ms: None, ..seed() };
        assert_eq!(text(&tail), "tail, 80.0 MiB/s, lag 1,234, 1.0 GiB, 12,345 records");
        let topology = Snapshot { state: State::TopologyCopy, bytes_done: 0, bytes_total: 0, ..seed() };
        assert_eq!(text(&topology), "topology_copy");
        assert!(text(&Snapshot { bytes_done: (3 << 30) - 1, ..seed() }).starts_with("seed 99%"));
    }

    #[test]
    fn plain_lines_come_every_ten_seconds_and_at_every_change() {
        let mut schedule = Schedule::default();
        let waiting = Snapshot { waiting_because: Some("x".into()), ..seed() };
        let tail = Snapshot { state: State::Tail, ..seed() };
        let due: Vec<bool> = [
            (0, &seed()),
            (1_000, &seed()),
            (9_999, &seed()),
            (10_000, &seed()),
            (11_000, &waiting),
            (12_000, &waiting),
            (13_000, &seed()),
            (14_000, &tail),
            (23_999, &tail),
            (24_000, &tail),
        ]
        .into_iter()
        .map(|(now_ms, snapshot)| schedule.due(now_ms, snapshot))
        .collect();
        assert_eq!(due, [true, false, false, true, true, false, true, true, false, true]);
    }
}
