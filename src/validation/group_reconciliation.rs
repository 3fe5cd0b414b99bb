//! Consumer group reconciliation: each group stands on the target where it was put at the cutover, or further on.

use super::report::{CheckResult, Outcome};
use crate::domain::partition::TopicPartition;
use crate::domain::topology::CommittedOffset;
use crate::machine::fact::GroupOutcome;
use std::collections::BTreeMap;

/// The check's name in reports.
pub const NAME: &str = "consumer_group_reconciliation";

/// How many groups the source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceGroups {
    pub all: usize,
    /// Of them, those that the configuration selects.
    pub selected: usize,
}

/// Committed offsets by group id.
pub type Committed = BTreeMap<String, Vec<CommittedOffset>>;

/// What was read of both clusters.
#[derive(Clone, Debug)]
pub struct GroupFacts {
    pub source: SourceGroups,
    /// Of the selected groups that a commit can move.
    pub source_now: Committed,
    pub target_now: Committed,
    /// Where each partition ended at the cutover, the sentinel included.
    pub ends: BTreeMap<TopicPartition, i64>,
}

impl GroupFacts {
    fn at(committed: &Committed, group_id: &str, offset: &CommittedOffset) -> Option<i64> {
        let same = |o: &&CommittedOffset| (o.topic.as_str(), o.partition) == (offset.topic.as_str(), offset.partition);
        committed.get(group_id)?.iter().find(same).map(|o| o.next_offset)
    }

    fn end(&self, offset: &CommittedOffset) -> Option<i64> {
        self.ends.get(&TopicPartition::new(offset.topic.as_str(), offset.partition)).copied()
    }
}

/// Offsets of the groups that were carried over, by how they are found.
#[derive(Default)]
struct Tally {
    compared: u64,
    differing: u64,
    equal: u64,
    ahead: u64,
    failures: Vec<String>,
    /// What a person should know although nothing is lost.
    remarks: Vec<String>,
}

/// Compares what was committed at the cutover with what both clusters say now, by group id.
///
/// A group that has moved on at the target is counted and fine; one that stands lower, or whose offset is gone, fails. Warned
/// of, by name, is a group that was left alone; that has come up on the source since, or read on there further than at the
/// target; or that stands beyond the log's end. What lies between a commit and the end does not matter: where only control
/// records do, both clusters hold the same ones.
pub fn check(outcomes: &[GroupOutcome], facts: &GroupFacts) -> CheckResult {
    if outcomes.is_empty() {
        let (outcome, reason) = match facts.source {
            SourceGroups { all: 0, .. } => (Outcome::Passed, "compared 0 groups: the source has none".to_owned()),
            // By the operator's choice; each is listed as not covered.
            SourceGroups { all, selected: 0 } => (Outcome::Passed, format!("compared 0 groups: none of the source's {all} is selected")),
            SourceGroups { selected, .. } => (Outcome::NotRun, format!("compared 0 groups, and {selected} were to be carried over")),
        };
        return CheckResult::new(NAME, outcome, reason, 0, 0, Vec::new());
    }
    let mut tally = Tally::default();
    let mut left_alone = 0;
    for group in outcomes {
        if group.left_alone.is_empty() {
            reconcile(group, facts, &mut tally);
        } else {
            left_alone += 1;
            tally.remarks.push(format!("{}: left alone, {}", group.group_id, group.left_alone));
        }
    }
    tally.remarks.extend(come_up_since(outcomes, facts));
    let Tally { compared, differing, equal, ahead, mut failures, remarks } = tally;
    let mut reason = match differing {
        0 if compared == 0 => "compared 0 groups".to_owned(),
        0 => format!("{compared} groups stand where they were put: {equal} offsets equal, {ahead} further on"),
        n => format!("{n} of {compared} groups stand lower than they were put, or have lost an offset"),
    };
    if left_alone > 0 {
        reason.push_str(&format!("; {left_alone} groups were left alone and not compared"));
    }
    if remarks.len() > left_alone {
        reason.push_str(&format!("; {} more remarks", remarks.len() - left_alone));
    }
    let outcome = match (differing, remarks.is_empty()) {
        (0, true) => Outcome::Passed,
        (0, false) => Outcome::Warning,
        _ => Outcome::Failed,
    };
    failures.extend(remarks);
    CheckResult::new(NAME, outcome, reason, compared, differing, failures)
}

fn reconcile(group: &GroupOutcome, facts: &GroupFacts, tally: &mut Tally) {
    let before = tally.failures.len();
    for expected in &group.offsets {
        let name = format!("{}: {}-{}", group.group_id, expected.topic, expected.partition);
        let put = expected.next_offset;
        let now = GroupFacts::at(&facts.target_now, &group.group_id, expected);
        match now {
            None => tally.failures.push(format!("{name} has no offset on the target, {put} expected")),
            Some(seen) if seen < put => tally.failures.push(format!("{name} stands at {seen}, {put} expected")),
            Some(seen) if seen > put => tally.ahead += 1,
            Some(_) => tally.equal += 1,
        }
        let Some(now) = now else { continue };
        if let Some(on_source) = GroupFacts::at(&facts.source_now, &group.group_id, expected).filter(|s| *s > now && *s > put) {
            tally.remarks.push(format!("{name} was put at {put}, has read on to {on_source} on the source since, and reads from {now} on at the target"));
        }
        if let Some(end) = facts.end(expected).filter(|end| put > *end && now == put) {
            tally.remarks.push(format!("{name} stands at {put}, beyond the log's end at the cutover ({end}), as on the source"));
        }
    }
    tally.compared += 1;
    tally.differing += u64::from(tally.failures.len() > before);
}

/// Groups, and partitions of groups, that had nothing committed when the offsets were carried over.
fn come_up_since(outcomes: &[GroupOutcome], facts: &GroupFacts) -> Vec<String> {
    let known: BTreeMap<&str, &GroupOutcome> = outcomes.iter().map(|g| (g.group_id.as_str(), g)).collect();
    let mut lines = Vec::new();
    for (group_id, offsets) in &facts.source_now {
        let carried = |o: &CommittedOffset| {
            let same = |c: &CommittedOffset| (c.topic.as_str(), c.partition) == (o.topic.as_str(), o.partition);
            known.get(group_id.as_str()).is_some_and(|g| g.offsets.iter().any(same))
        };
        for offset in offsets.iter().filter(|o| facts.end(o).is_some() && !carried(o)) {
            let name = format!("{group_id}: {}-{}", offset.topic, offset.partition);
            // Where the group has begun at the target by itself, it is at home there.
            if GroupFacts::at(&facts.target_now, group_id, offset).is_none() {
                lines.push(format!("{name} has stood at {} on the source since the cutover, and has no offset on the target", offset.next_offset));
            }
        }
    }
    lines
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

    /// The source as it was at the cutover, its partitions ending at 100.
    fn facts(target_now: BTreeMap<String, Vec<CommittedOffset>>) -> GroupFacts {
        let ends = (0..3).map(|p| (TopicPartition::new("t", p), 100)).collect();
        GroupFacts { source: SourceGroups { all: 2, selected: 2 }, source_now: BTreeMap::new(), target_now, ends }
    }

    #[test]
    fn equal_or_further_on_passes() {
        let result = check(&[outcome("g", &[("t", 0, 5), ("t", 1, 7)], "")], &facts(now(&[("g", &[("t", 0, 5), ("t", 1, 9)])])));
        assert_eq!((result.outcome, result.compared, result.differing), (Outcome::Passed, 1, 0));
        assert_eq!(result.reason, "1 groups stand where they were put: 1 offsets equal, 1 further on");
    }

    #[test]
    fn behind_or_gone_fails() {
        for seen in [&[("t", 0, 4)][..], &[("t", 1, 5)], &[]] {
            let result = check(&[outcome("g", &[("t", 0, 5)], "")], &facts(now(&[("g", seen)])));
            assert_eq!((result.outcome, result.differing, result.details.len()), (Outcome::Failed, 1, 1));
        }
        assert_eq!(check(&[outcome("g", &[("t", 0, 5)], "")], &facts(now(&[]))).outcome, Outcome::Failed);
    }

    #[test]
    fn left_alone_is_a_warning_by_name_and_does_not_hide_a_failure() {
        let alone = outcome("share", &[], "share groups keep their place per record");
        let result = check(&[outcome("g", &[("t", 0, 5)], ""), alone.clone()], &facts(now(&[("g", &[("t", 0, 5)])])));
        assert_eq!((result.outcome, result.compared), (Outcome::Warning, 1));
        assert_eq!(result.details, ["share: left alone, share groups keep their place per record"]);
        assert_eq!(check(&[outcome("g", &[("t", 0, 5)], ""), alone], &facts(now(&[]))).outcome, Outcome::Failed);
    }

    #[test]
    fn no_groups_pass_only_where_none_was_to_be_carried_over() {
        let of = |all, selected| check(&[], &GroupFacts { source: SourceGroups { all, selected }, ..facts(now(&[])) });
        assert_eq!((of(0, 0).outcome, of(0, 0).reason.as_str()), (Outcome::Passed, "compared 0 groups: the source has none"));
        assert_eq!((of(3, 0).outcome, of(3, 0).reason.as_str()), (Outcome::Passed, "compared 0 groups: none of the source's 3 is selected"));
        assert_eq!(of(3, 2).outcome, Outcome::NotRun);
    }

    #[test]
    fn nothing_compared_never_passes_where_there_are_groups() {
        let result = check(&[outcome("share", &[], "share groups keep their place per record")], &facts(now(&[])));
        assert_eq!((result.outcome, result.compared), (Outcome::Warning, 0));
        assert_eq!(result.reason, "compared 0 groups; 1 groups were left alone and not compared");
    }

    #[test]
    fn what_was_read_on_the_source_since_is_a_warning_until_the_target_has_it_too() {
        let carried = [outcome("g", &[("t", 0, 5)], "")];
        let of = |source: i64, target: i64| {
            check(&carried, &GroupFacts { source_now: now(&[("g", &[("t", 0, source)])]), ..facts(now(&[("g", &[("t", 0, target)])])) })
        };
        let late = of(9, 5);
        assert_eq!((late.outcome, late.differing), (Outcome::Warning, 0));
        assert_eq!(late.details, ["g: t-0 was put at 5, has read on to 9 on the source since, and reads from 5 on at the target"]);
        assert_eq!((of(9, 9).outcome, of(9, 12).outcome, of(5, 5).outcome, of(3, 5).outcome), (Outcome::Passed, Outcome::Passed, Outcome::Passed, Outcome::Passed));
        assert_eq!(of(9, 4).outcome, Outcome::Failed);
    }

    #[test]
    fn what_came_up_on_the_source_since_is_a_warning_by_name() {
        let carried = [outcome("g", &[("t", 0, 5)], "")];
        let target = now(&[("g", &[("t", 0, 5), ("t", 2, 1)])]);
        let source = now(&[("g", &[("t", 0, 5), ("t", 1, 7), ("t", 2, 3), ("elsewhere", 0, 1)]), ("new", &[("t", 0, 2)])]);
        let result = check(&carried, &GroupFacts { source_now: source, ..facts(target) });
        assert_eq!(result.outcome, Outcome::Warning);
        assert_eq!(
            result.details,
            [
                "g: t-1 has stood at 7 on the source since the cutover, and has no offset on the target",
                "new: t-0 has stood at 2 on the source since the cutover, and has no offset on the target",
            ]
        );
    }

    #[test]
    fn beyond_the_end_is_a_warning_and_anywhere_up_to_it_is_not() {
        let of = |offset: i64| check(&[outcome("g", &[("t", 0, offset)], "")], &facts(now(&[("g", &[("t", 0, offset)])])));
        assert_eq!((of(0).outcome, of(99).outcome, of(100).outcome), (Outcome::Passed, Outcome::Passed, Outcome::Passed));
        assert_eq!((of(101).outcome, of(101).compared), (Outcome::Warning, 1));
        assert_eq!(of(101).details, ["g: t-0 stands at 101, beyond the log's end at the cutover (100), as on the source"]);
    }
}
