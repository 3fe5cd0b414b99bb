//! What will be done to each consumer group.

use super::report::{count, names};
use super::Context;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::plan::{GroupPlan, LeftOut, TopicPlan};
use crate::domain::selection::group_left_out;
use crate::domain::topology::{ClusterSnapshot, CommittedOffset, GroupSnapshot};
use std::collections::BTreeSet;

/// Partitions of selected topics where the group stands beyond the log's end, with both numbers.
fn beyond_end(source: &ClusterSnapshot, selected: &BTreeSet<&str>, group: &GroupSnapshot) -> Vec<String> {
    let end = |o: &CommittedOffset| source.topic(&o.topic)?.partitions.iter().find(|p| p.partition == o.partition)?.log_end;
    let beyond = group.offsets.iter().filter(|o| selected.contains(o.topic.as_str())).filter_map(|o| {
        let end = end(o).filter(|end| o.next_offset > *end)?;
        Some(format!("{}-{} at {} of {end}", o.topic, o.partition, o.next_offset))
    });
    beyond.collect()
}

/// Why a group of the same name on the target keeps the offsets from being carried over; None where it does not.
fn in_the_way(there: &GroupSnapshot) -> Option<String> {
    match (there.uncommittable(), there.members) {
        (Some(_), _) => Some(format!("it is a group of type {} on the target", there.group_type)),
        (None, 0) => None,
        (None, members) => Some(format!("it has {} on the target", count(members, "member"))),
    }
}

/// Plans every selected group, in the order of their ids, and names those that are left out.
pub(super) fn plan(context: &Context, topics: &[TopicPlan], findings: &mut Vec<Finding>) -> (Vec<GroupPlan>, Vec<LeftOut>) {
    let selected: BTreeSet<&str> = topics.iter().map(|t| t.name.as_str()).collect();
    let (mut plans, mut left_out) = (Vec::new(), Vec::new());
    let (mut active, mut with_static, mut partly) = (Vec::new(), Vec::new(), Vec::new());
    let mut groups: Vec<&GroupSnapshot> = context.input.source.groups.iter().collect();
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    for group in groups {
        // A dead group is one that the coordinator no longer holds.
        if group.state.eq_ignore_ascii_case("dead") && group.offsets.is_empty() {
            continue;
        }
        if let Some(reason) = group_left_out(&context.input.config.groups, &group.group_id) {
            left_out.push(LeftOut { kind: "group".to_owned(), name: group.group_id.clone(), reason });
            continue;
        }
        let not_carried: Vec<String> =
            group.offsets.iter().filter(|o| !selected.contains(o.topic.as_str())).map(|o| format!("{}-{}", o.topic, o.partition)).collect();
        if !not_carried.is_empty() {
            partly.push(format!("{} ({} of {})", group.group_id, not_carried.len(), group.offsets.len()));
        }
        let beyond = beyond_end(&context.input.source, &selected, group);
        if !beyond.is_empty() {
            findings.push(Finding::new(FindingCode::GroupBeyondEnd, &group.group_id, format!("its next offset lies beyond the log's end: {}", names(&beyond))));
        }
        if group.members > 0 {
            active.push(format!("{} ({})", group.group_id, count(group.members, "member")));
        }
        if group.static_members > 0 {
            with_static.push(format!("{} ({})", group.group_id, group.static_members));
        }
        let on_target = context.input.target.as_ref().and_then(|t| t.groups.iter().find(|g| g.group_id == group.group_id));
        let left_alone = if let Some(reason) = group.uncommittable() {
            findings.push(Finding::new(FindingCode::UncommittableGroups, &group.group_id, reason.clone()));
            reason
        } else if let Some(reason) = on_target.and_then(in_the_way) {
            findings.push(Finding::new(FindingCode::GroupOnTarget, &group.group_id, reason.clone()));
            reason
        } else {
            String::new()
        };
        plans.push(GroupPlan {
            group_id: group.group_id.clone(),
            group_type: group.group_type.clone(),
            state: group.state.clone(),
            members: group.members,
            partitions: group.offsets.len() - not_carried.len(),
            not_carried,
            left_alone,
        });
    }
    for group_id in &context.input.other_groups {
        let reason = group_left_out(&context.input.config.groups, group_id).unwrap_or_else(|| "it was not there when the source was read".to_owned());
        left_out.push(LeftOut { kind: "group".to_owned(), name: group_id.clone(), reason });
    }
    for (code, list) in [(FindingCode::ActiveGroups, active), (FindingCode::StaticMembers, with_static), (FindingCode::GroupPartly, partly)] {
        if !list.is_empty() {
            findings.push(Finding::new(code, "", format!("{}: {}", count(list.len(), "group"), names(&list))));
        }
    }
    (plans, left_out)
}
