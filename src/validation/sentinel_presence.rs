//! Sentinel presence: the control record that marks each partition's end lies on the source and, at the same offset, on the target.

use super::report::{CheckResult, Outcome};
use crate::domain::partition::TopicPartition;
use crate::domain::planning::count;

/// The check's name in reports.
pub const NAME: &str = "sentinel_presence";

/// The batch that holds a given offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlSeen {
    pub is_control: bool,
    pub producer_id: i64,
    pub base_offset: i64,
}

/// What a look at one offset of one log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    Found(ControlSeen),
    /// The log ends before the offset.
    BeyondEnd,
    /// The log begins after the offset.
    Expired { log_start: i64 },
    Unread { seen: String },
    /// The log leaves it out, as it does all that is not a record: that it ends where the source's end is mapped to stands for it.
    LeftOut { mapped_end: i64, end_at_commit: i64, end_now: i64 },
}

/// What is known of one partition's sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelFacts {
    pub partition: TopicPartition,
    /// Where the sentinel was written: the log end when the freeze was proven.
    pub frozen_end: i64,
    pub source: Looked,
    pub target: Looked,
}

/// Compares every partition. `producer_id` is the one of the sentinel's transaction on the source.
///
/// A sentinel that retention has removed since is a warning: it can no longer be seen.
pub fn check(partitions: &[SentinelFacts], producer_id: i64) -> CheckResult {
    let total = partitions.len();
    let (mut failures, mut remarks) = (Vec::new(), Vec::new());
    let (mut present, mut differing) = (0u64, 0u64);
    for p in partitions {
        let name = format!("{} at {}", p.partition, p.frozen_end);
        let sides = [("source", &p.source, Some(producer_id)), ("target", &p.target, None)];
        let judged = sides.map(|(side, looked, wanted)| judge(looked, p.frozen_end, wanted).map_err(|e| e.on(&name, side)));
        let mut failed = false;
        for refusal in judged.iter().filter_map(|j| j.as_ref().err()) {
            match refusal {
                Refusal::Wrong(line) => {
                    failed = true;
                    failures.push(line.clone());
                }
                Refusal::Gone(line) => remarks.push(line.clone()),
            }
        }
        differing += u64::from(failed);
        present += u64::from(judged.iter().all(Result::is_ok));
    }
    let compared = present + differing;
    let (outcome, reason) = if differing > 0 {
        (Outcome::Failed, format!("{differing} of {} have no sentinel where one was written", count(total, "partition")))
    } else if compared == 0 {
        (Outcome::NotRun, format!("the sentinels of {} could not be looked at on both sides", count(total, "partition")))
    } else if remarks.is_empty() {
        let mapped = match partitions.iter().filter(|p| matches!(p.target, Looked::LeftOut { .. })).count() {
            0 => String::new(),
            n => format!("; {} without one, being mapped, end there", count(n, "partition")),
        };
        let reason = format!("{} have the sentinel of producer {producer_id} on the source and a control record at the same offset on the target{mapped}", count(total, "partition"));
        (Outcome::Passed, reason)
    } else {
        let reason = format!("{present} of {} have their sentinel on both sides; the others can no longer be looked at", count(total, "partition"));
        (Outcome::Warning, reason)
    };
    failures.extend(remarks);
    CheckResult::new(NAME, outcome, reason, compared, differing, failures)
}

enum Refusal {
    Wrong(String),
    Gone(String),
}

impl Refusal {
    fn on(self, name: &str, side: &str) -> Self {
        let line = |text: String| format!("{name}, {side}: {text}");
        match self {
            Refusal::Wrong(text) => Refusal::Wrong(line(text)),
            Refusal::Gone(text) => Refusal::Gone(line(text)),
        }
    }
}

fn judge(looked: &Looked, frozen_end: i64, producer_id: Option<i64>) -> Result<(), Refusal> {
    let wrong = |text: String| Err(Refusal::Wrong(text));
    match looked {
        Looked::Found(seen) if !seen.is_control => wrong(format!("the batch from {} holds records", seen.base_offset)),
        Looked::Found(seen) if seen.base_offset != frozen_end => wrong(format!("the control batch begins at {}", seen.base_offset)),
        Looked::Found(seen) => match producer_id {
            Some(id) if id != seen.producer_id => wrong(format!("the control record is of producer {}, not {id}", seen.producer_id)),
            _ => Ok(()),
        },
        Looked::LeftOut { mapped_end, end_at_commit, end_now } if mapped_end != end_at_commit || end_now < mapped_end => {
            wrong(format!("the log has to end at {mapped_end}; it ended at {end_at_commit} at the commit, and ends at {end_now} now"))
        }
        Looked::LeftOut { .. } => Ok(()),
        Looked::BeyondEnd => wrong("the log ends before it".to_owned()),
        Looked::Expired { log_start } => Err(Refusal::Gone(format!("the log starts at {log_start} by now"))),
        Looked::Unread { seen } => Err(Refusal::Gone(format!("it cannot be read: {seen}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: i64 = 4711;

    fn found(producer_id: i64) -> Looked {
        Looked::Found(ControlSeen { is_control: true, producer_id, base_offset: 200 })
    }

    fn present(n: i32) -> SentinelFacts {
        SentinelFacts { partition: TopicPartition::new("t", n), frozen_end: 200, source: found(ID), target: found(9) }
    }

    fn after(change: impl FnOnce(&mut SentinelFacts)) -> CheckResult {
        let mut p = present(1);
        change(&mut p);
        check(&[present(0), p], ID)
    }

    #[test]
    fn a_marker_on_both_sides_passes() {
        let result = after(|_| ());
        assert_eq!((result.outcome, result.compared, result.differing, result.details.len()), (Outcome::Passed, 2, 0, 0), "{result:?}");
        assert!(result.reason.starts_with("2 partitions have the sentinel of producer 4711"), "{}", result.reason);
    }

    #[test]
    fn every_difference_fails_and_is_named() {
        let cases: [(&str, fn(&mut SentinelFacts)); 6] = [
            ("t-1 at 200, source: the control record is of producer 9, not 4711", |p| p.source = found(9)),
            ("t-1 at 200, source: the log ends before it", |p| p.source = Looked::BeyondEnd),
            ("t-1 at 200, target: the log ends before it", |p| p.target = Looked::BeyondEnd),
            ("t-1 at 200, target: the batch from 190 holds records", |p| {
                p.target = Looked::Found(ControlSeen { is_control: false, producer_id: ID, base_offset: 190 });
            }),
            ("t-1 at 200, source: the batch from 200 holds records", |p| {
                p.source = Looked::Found(ControlSeen { is_control: false, producer_id: ID, base_offset: 200 });
            }),
            ("t-1 at 200, target: the control batch begins at 199", |p| {
                p.target = Looked::Found(ControlSeen { is_control: true, producer_id: ID, base_offset: 199 });
            }),
        ];
        for (line, change) in cases {
            let result = after(change);
            assert_eq!((result.outcome, result.differing, result.details), (Outcome::Failed, 1, vec![line.to_owned()]));
        }
    }

    #[test]
    fn what_can_no_longer_be_seen_is_a_warning_and_never_hides_a_failure() {
        let result = after(|p| p.target = Looked::Expired { log_start: 300 });
        assert_eq!((result.outcome, result.compared), (Outcome::Warning, 1));
        assert_eq!(result.details, ["t-1 at 200, target: the log starts at 300 by now"]);
        let result = after(|p| (p.source, p.target) = (Looked::BeyondEnd, Looked::Expired { log_start: 300 }));
        assert_eq!((result.outcome, result.details.len()), (Outcome::Failed, 2));
    }

    #[test]
    fn nothing_looked_at_is_not_run() {
        assert_eq!(check(&[], ID).outcome, Outcome::NotRun);
        let unread = SentinelFacts { source: Looked::Unread { seen: "no leader".into() }, ..present(0) };
        assert_eq!(check(&[unread], ID).outcome, Outcome::NotRun);
    }
}
