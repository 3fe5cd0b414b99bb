//! Consumer group reconciliation: each group stands on the target where it was put at the cutover, or further on.

use super::report::{CheckResult, Outcome};
use crate::domain::topology::CommittedOffset;
use crate::machine::fact::GroupOutcome;
use std::collections::BTreeMap;

/// The check's name in reports.
pub const NAME: &str = "consumer_group_reconciliation";

/// How many groups the source had at the cutover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceGroups {
    pub all: usize,
    /// Of them, those that the configuration selects.
    pub selected: usize,
}

/// Compares what was committed at the cutover with what the target says now, by group id.
///
/// A group that has moved on since is counted and fine; one that stands lower, or whose offset is gone, fails. A group that
/// was left alone is a warning by its name.
pub fn check(outcomes: &[GroupOutcome], target_now: &BTreeMap<String, Vec<CommittedOffset>>, source: SourceGroups) -> CheckResult {
    if outcomes.is_empty() {
        let (outcome, reason) = match source {
            SourceGroups { all: 0, .. } => (Outcome::Passed, "compared 0 groups: the source has none".to_owned()),
            // By the operator's choice; each is listed as not covered.
            SourceGroups { all, selected: 0 } => (Outcome::Passed, format!("compared 0 groups: none of the source's {all} is selected")),
            SourceGroups { selected, .. } => (Outcome::NotRun, format!("compared 0 groups, and {selected} were to be carried over")),
        };
        return CheckResult::new(NAME, outcome, reason, 0, 0, Vec::new());
    }
    let (mut failures, mut remarks) = (Vec::new(), Vec::new());
    let (mut compared, mut differing, mut equal, mut ahead) = (0, 0, 0u64, 0u64);
    for group in outcomes {
        if !group.left_alone.is_empty() {
            remarks.push(format!("{}: left alone, {}", group.group_id, group.left_alone));
            continue;
        }
        compared += 1;
        let now: BTreeMap<(&str, i32), i64> = target_now
            .get(&group.group_id)
            .into_iter()
            .flatten()
            .map(|o| ((o.topic.as_str(), o.partition), o.next_offset))
            .collect();
        let before = failures.len();
        for expected in &group.offsets {
            let name = format!("{}: {}-{}", group.group_id, expected.topic, expected.partition);
            match now.get(&(expected.topic.as_str(), expected.partition)) {
                None => failures.push(format!("{name} has no offset on the target, {} expected", expected.next_offset)),
                Some(seen) if *seen < expected.next_offset => failures.push(format!("{name} stands at {seen}, {} expected", expected.next_offset)),
                Some(seen) if *seen > expected.next_offset => ahead += 1,
                Some(_) => equal += 1,
            }
        }
        differing += u64::from(failures.len() > before);
    }
    let left_alone = remarks.len();
    let mut reason = match differing {
        0 => format!("{compared} groups stand where they were put: {equal} offsets equal, {ahead} further on"),
        n => format!("{n} of {compared} groups stand lower than they were put, or have lost an offset"),
    };
    if left_alone > 0 {
        reason.push_str(&format!("; {left_alone} groups were left alone and not compared"));
    }
    let outcome = match (differing, left_alone) {
        (0, 0) => Outcome::Passed,
        (0, _) => Outcome::Warning,
        _ => Outcome::Failed,
    };
    failures.extend(remarks);
    CheckResult::new(NAME, outcome, reason, compared, differing, failures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    fn outcome(group_id: &str, offsets: &[(&str, i32, i64)], left_alone: &str) -> GroupOutcome {
        GroupOutcome { group_id: group_id.to_owned(), offsets: fixture::group(group_id, 0, offsets).offsets, left_alone: left_alone.to_owned() }
    }

    type Offsets<'a> = &'a [(&'a str, i32, i64)];

    fn now(groups: &[(&str, Offsets)]) -> BTreeMap<String, Vec<CommittedOffset>> {
        groups.iter().map(|(id, offsets)| ((*id).to_owned(), fixture::group(id, 0, offsets).offsets)).collect()
    }

    const SOME: SourceGroups = SourceGroups { all: 2, selected: 2 };

    #[test]
    fn equal_or_further_on_passes() {
        let result = check(&[outcome("g", &[("t", 0, 5), ("t", 1, 7)], "")], &now(&[("g", &[("t", 0, 5), ("t", 1, 9)])]), SOME);
        assert_eq!((result.outcome, result.compared, result.differing), (Outcome::Passed, 1, 0));
        assert_eq!(result.reason, "1 groups stand where they were put: 1 offsets equal, 1 further on");
    }

    #[test]
    fn behind_or_gone_fails() {
        for seen in [&[("t", 0, 4)][..], &[("t", 1, 5)], &[]] {
            let result = check(&[outcome("g", &[("t", 0, 5)], "")], &now(&[("g", seen)]), SOME);
            assert_eq!((result.outcome, result.differing, result.details.len()), (Outcome::Failed, 1, 1));
        }
        assert_eq!(check(&[outcome("g", &[("t", 0, 5)], "")], &now(&[]), SOME).outcome, Outcome::Failed);
    }

    #[test]
    fn left_alone_is_a_warning_by_name_and_does_not_hide_a_failure() {
        let alone = outcome("share", &[], "share groups keep their place per record");
        let result = check(&[outcome("g", &[("t", 0, 5)], ""), alone.clone()], &now(&[("g", &[("t", 0, 5)])]), SOME);
        assert_eq!((result.outcome, result.compared), (Outcome::Warning, 1));
        assert_eq!(result.details, ["share: left alone, share groups keep their place per record"]);
        assert_eq!(check(&[outcome("g", &[("t", 0, 5)], ""), alone], &now(&[]), SOME).outcome, Outcome::Failed);
    }

    #[test]
    fn no_groups_pass_only_where_none_was_to_be_carried_over() {
        let of = |all, selected| check(&[], &now(&[]), SourceGroups { all, selected });
        assert_eq!((of(0, 0).outcome, of(0, 0).reason.as_str()), (Outcome::Passed, "compared 0 groups: the source has none"));
        assert_eq!((of(3, 0).outcome, of(3, 0).reason.as_str()), (Outcome::Passed, "compared 0 groups: none of the source's 3 is selected"));
        assert_eq!(of(3, 2).outcome, Outcome::NotRun);
    }
}
