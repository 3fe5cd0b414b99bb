//! Counts and offsets: each target log begins and ends where the source's did, and holds as many records.

use super::report::{CheckResult, Outcome};
use crate::domain::partition::TopicPartition;

/// The check's name in reports.
pub const NAME: &str = "counts_and_offsets";

/// What is known of one partition of both clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCounts {
    pub partition: TopicPartition,
    /// The source's log start when the freeze was proven.
    pub source_start: i64,
    /// Where the source's log starts now, as an offset of the target. None where it could not be read.
    pub source_start_now: Option<i64>,
    /// Whether the topic's settings delete nothing by age or size.
    pub keeps_everything: bool,
    /// The source's log end at the cutover: the frozen end, and one more for the sentinel.
    pub source_end: i64,
    /// The target's log end at the commit.
    pub target_end_at_commit: i64,
    /// None where it could not be read.
    pub target_start: Option<i64>,
    /// None where it could not be read.
    pub target_end: Option<i64>,
    /// The first offset that the copy covers, and how many offsets from there to the end are accounted for: records, control
    /// records and holes read again from the target, and what expired on the source first. None where this was not counted.
    pub counted: Option<Counted>,
}

/// What the offsets from `from_offset` on are accounted for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub from_offset: i64,
    pub records: u64,
    pub control_records: u64,
    /// Offsets that have no record on the source; control records take them on the target.
    pub hole_offsets: u64,
    pub expired_offsets: u64,
}

/// Compares every partition. `tolerance` is how many offsets or records may be missing or too many in one partition; what
/// lies within it is a warning.
///
/// After clients have switched, the target's end may have grown and its start may have moved up by retention. What the source still has and the target has not
/// any more is a warning. A start or an end below what it was is a failure.
pub fn check(partitions: &[PartitionCounts], tolerance: i64) -> CheckResult {
    let tolerance = tolerance.unsigned_abs();
    let (mut failures, mut remarks, mut differing, mut compared) = (Vec::new(), Vec::new(), 0, 0);
    let (mut records, mut uncounted, mut grown, mut trimmed) = (0u64, 0, 0, 0);
    for p in partitions {
        let name = &p.partition;
        let (Some(target_start), Some(target_end)) = (p.target_start, p.target_end) else {
            failures.push(format!("{name}: the target's log could not be read"));
            differing += 1;
            continue;
        };
        compared += 1;
        let before = failures.len();
        let mut within = |difference: u64, line: String| match difference {
            0 => {}
            d if d <= tolerance => remarks.push(format!("{line}, within the tolerance of {tolerance}")),
            _ => failures.push(line),
        };
        within(
            p.target_end_at_commit.abs_diff(p.source_end),
            format!("{name}: the target's log ended at {} at the commit, the source's at {}", p.target_end_at_commit, p.source_end),
        );
        match p.counted {
            None => uncounted += 1,
            Some(c) => {
                let span = u64::try_from(p.source_end.saturating_sub(c.from_offset)).unwrap_or(0);
                let accounted = c.records + c.control_records + c.hole_offsets + c.expired_offsets;
                records += c.records;
                within(
                    accounted.abs_diff(span),
                    format!(
                        "{name}: {span} offsets from {} on, {accounted} accounted for ({} records, {} control records, {} without a record, {} expired)",
                        c.from_offset, c.records, c.control_records, c.hole_offsets, c.expired_offsets
                    ),
                );
            }
        }
        if target_end < p.target_end_at_commit {
            failures.push(format!("{name}: the target's log ends at {target_end} now, at {} at the commit: records are gone", p.target_end_at_commit));
        }
        if target_start < p.source_start {
            failures.push(format!("{name}: the target's log starts at {target_start}, the source's at {}", p.source_start));
        }
        let still_there = p.source_start_now.map_or(target_start, |now| now.max(p.source_start).min(target_start));
        if still_there < target_start {
            let line = format!("{name}: the target's log starts at {target_start} now, and the source still has what lies from {still_there} on");
            // Kafka Streams purges what it has read of its repartition topics.
            remarks.push(format!("{line}; {}", if p.keeps_everything { "nothing of this topic expires, so some client has deleted it" } else { "by retention, or because some client has deleted it" }));
        }
        grown += usize::from(target_end > p.target_end_at_commit);
        trimmed += usize::from(target_start > p.source_start);
        differing += u64::from(failures.len() > before);
    }
    let total = partitions.len();
    if uncounted > 0 && compared > 0 {
        remarks.push(format!("{uncounted} partitions: their records were not counted, only their offsets were compared"));
    }
    let (outcome, reason) = if compared == 0 {
        (Outcome::NotRun, format!("none of {total} partitions could be compared"))
    } else if differing > 0 {
        (Outcome::Failed, format!("{differing} of {total} partitions differ"))
    } else {
        let outcome = if remarks.is_empty() { Outcome::Passed } else { Outcome::Warning };
        let reason = format!(
            "{compared} partitions with {records} counted records end where the source's did; since then {grown} have grown and {trimmed} start later by retention"
        );
        (outcome, reason)
    };
    failures.extend(remarks);
    CheckResult::new(NAME, outcome, reason, compared, differing, failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 offsets from 100 on: 69 records, 30 holes and the sentinel.
    fn equal() -> PartitionCounts {
        PartitionCounts {
            partition: TopicPartition::new("t", 0),
            source_start: 100,
            source_start_now: Some(100),
            keeps_everything: false,
            source_end: 200,
            target_end_at_commit: 200,
            target_start: Some(100),
            target_end: Some(200),
            counted: Some(Counted { from_offset: 100, records: 69, control_records: 1, hole_offsets: 30, expired_offsets: 0 }),
        }
    }

    fn after(tolerance: i64, change: impl FnOnce(&mut PartitionCounts)) -> CheckResult {
        let mut p = equal();
        change(&mut p);
        check(&[equal(), p], tolerance)
    }

    #[test]
    fn equal_logs_pass() {
        let result = after(0, |_| ());
        assert_eq!((result.outcome, result.compared, result.differing, result.details.len()), (Outcome::Passed, 2, 0, 0), "{result:?}");
        assert!(result.reason.contains("138 counted records"), "{}", result.reason);
    }

    #[test]
    fn growth_and_retention_after_the_switch_are_fine() {
        let result = after(0, |p| (p.source_start_now, p.target_start, p.target_end) = (Some(160), Some(150), Some(1000)));
        assert_eq!(result.outcome, Outcome::Passed);
        assert!(result.reason.contains("1 have grown and 1 start later"), "{}", result.reason);
    }

    #[test]
    fn what_the_source_still_has_and_the_target_has_not_is_told() {
        let gone = |keeps_everything, source_start_now| {
            after(0, |p| (p.source_start_now, p.target_start, p.keeps_everything) = (source_start_now, Some(150), keeps_everything))
        };
        assert_eq!(gone(false, Some(120)).outcome, Outcome::Warning);
        assert!(gone(false, Some(120)).details[0].contains("starts at 150 now, and the source still has what lies from 120 on"));
        assert!(gone(true, Some(120)).outcome == Outcome::Warning && gone(true, Some(120)).details[0].ends_with("so some client has deleted it"));
        assert_eq!(gone(true, Some(150)).outcome, Outcome::Passed);
        assert_eq!(gone(true, None).outcome, Outcome::Passed, "nobody can tell");
    }

    #[test]
    fn every_difference_fails() {
        let cases: [fn(&mut PartitionCounts); 6] = [
            |p| p.target_end_at_commit = 199,
            |p| (p.target_end_at_commit, p.target_end) = (201, Some(201)),
            |p| p.target_end = Some(199),
            |p| p.target_start = Some(99),
            |p| p.counted.as_mut().unwrap().records = 68,
            |p| p.target_end = None,
        ];
        for (n, change) in cases.into_iter().enumerate() {
            let result = after(0, change);
            assert_eq!((result.outcome, result.differing, result.details.len()), (Outcome::Failed, 1, 1), "case {n}: {result:?}");
        }
    }

    #[test]
    fn what_the_tolerance_covers_is_a_warning_and_a_shrunken_log_never_is() {
        assert_eq!(after(1, |p| p.counted.as_mut().unwrap().records = 68).outcome, Outcome::Warning);
        assert_eq!(after(1, |p| p.counted.as_mut().unwrap().records = 97).outcome, Outcome::Failed);
        assert_eq!(after(9, |p| p.target_end = Some(199)).outcome, Outcome::Failed);
        assert_eq!(after(9, |p| p.target_start = Some(99)).outcome, Outcome::Failed);
    }

    #[test]
    fn what_expired_before_it_was_copied_is_accounted_for() {
        let result = after(0, |p| {
            p.source_start = 150;
            p.target_start = Some(150);
            p.counted = Some(Counted { from_offset: 100, records: 49, control_records: 1, hole_offsets: 0, expired_offsets: 50 });
        });
        assert_eq!(result.outcome, Outcome::Passed, "{result:?}");
    }

    #[test]
    fn offsets_alone_are_a_warning_and_nothing_at_all_is_not_run() {
        assert_eq!(after(0, |p| p.counted = None).outcome, Outcome::Warning);
        assert_eq!(check(&[], 0).outcome, Outcome::NotRun);
        assert_eq!(check(&[PartitionCounts { target_end: None, ..equal() }], 0).outcome, Outcome::NotRun);
    }
}
