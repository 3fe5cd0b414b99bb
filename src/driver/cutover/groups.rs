//! Carries the groups' committed offsets over: read on the source after the drain, committed on the target, read back.

use crate::domain::partition::TopicPartition;
use crate::domain::selection::group_left_out;
use crate::domain::topology::{CommittedOffset, GroupSnapshot};
use crate::driver::context::Context;
use crate::driver::limits::GROUP_OFFSETS_PATIENCE;
use crate::error::{Code, Error, Result};
use crate::kafka::group_offsets::GroupCommit;
use crate::machine::fact::{Effect, Fact, FrozenPartition, GroupOutcome};
use crate::machine::fold::Migration;
use std::collections::{BTreeMap, BTreeSet};

/// Commits every selected group's offsets on the target and says of each what became of it.
///
/// Only drained partitions are committed. A group with members on the target is left alone and named; its members on the
/// source do not matter: what counts is what it has committed by now.
/// **Errors**: KF-GROUP-REFUSED, also where a transaction keeps a group's offsets open; what the clusters refuse.
pub async fn carry_over(context: &mut Context, attempt: u32, drained: &[FrozenPartition]) -> Result<Vec<GroupOutcome>> {
    let interrupt = context.interrupt.clone();
    let mut listed = interrupt.or(context.clusters.source.list_groups()).await?;
    listed.retain(|g| group_left_out(&context.config.groups, &g.group_id).is_none());
    let mut groups = interrupt.or(context.clusters.source.describe_groups(&listed)).await?;
    let mut decided = interrupt.or(decided_offsets(context, &groups)).await?;
    for group in &mut groups {
        if let Some(offsets) = decided.remove(&group.group_id) {
            group.offsets = offsets;
        }
    }
    let drained: BTreeSet<&TopicPartition> = drained.iter().map(|p| &p.partition).collect();
    let planned: BTreeMap<&str, &str> =
        context.migration()?.plan.groups.iter().map(|g| (g.group_id.as_str(), g.left_alone.as_str())).collect();

    let (mut outcomes, mut wanted) = (Vec::new(), BTreeMap::new());
    for group in &groups {
        let offsets = translate(&group.offsets, &drained, context.migration()?);
        let left_alone = match (group.uncommittable(), planned.get(group.group_id.as_str())) {
            (Some(reason), _) => reason,
            (None, Some(reason)) if !reason.is_empty() && offsets.is_empty() => (*reason).to_owned(),
            _ if offsets.is_empty() => "it has no offsets on the topics of this migration".to_owned(),
            _ => String::new(),
        };
        if left_alone.is_empty() {
            wanted.insert(group.group_id.clone(), offsets);
        } else {
            outcomes.push(GroupOutcome { group_id: group.group_id.clone(), offsets, left_alone });
        }
    }
    let id = context.intend(Effect::CommitGroupOffsets { attempt, groups: wanted.len() })?;
    let commits = if wanted.is_empty() { BTreeMap::new() } else { interrupt.or(async { Ok(context.clusters.target.commit_group_offsets(&wanted).await) }).await? };
    for (group_id, offsets) in &wanted {
        let left_alone = match commits.get(group_id) {
            Some(GroupCommit::Committed) => String::new(),
            Some(GroupCommit::HasMembers { seen }) => format!("it has members on the target: {seen}"),
            Some(GroupCommit::OtherKind { seen }) => format!("it is a group of another kind on the target: {seen}"),
            Some(GroupCommit::Refused { seen }) => return Err(Error::new(Code::GroupRefused, format!("group {group_id}: {seen}"))),
            None => return Err(Error::new(Code::GroupRefused, format!("group {group_id}: no answer"))),
        };
        outcomes.push(GroupOutcome { group_id: group_id.clone(), offsets: offsets.clone(), left_alone });
    }
    let removed = read_back(context, &outcomes, &drained).await?;
    let left_alone = outcomes.iter().filter(|o| !o.left_alone.is_empty()).count();
    context.complete(id, match removed {
        0 => "committed and read back".to_owned(),
        n => format!("committed and read back; {n} offsets that the source does not have were removed"),
    })?;
    context.record(Fact::GroupOffsetsCommitted { attempt, groups: outcomes.len() - left_alone, left_alone })?;
    outcomes.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    Ok(outcomes)
}

/// What the groups have committed, read again: with nothing that a transaction is about to commit left out.
///
/// **Errors**: KF-GROUP-REFUSED naming the group whose offsets stay open or cannot be read.
async fn decided_offsets(context: &Context, groups: &[GroupSnapshot]) -> Result<BTreeMap<String, Vec<CommittedOffset>>> {
    let ids: Vec<String> = groups.iter().filter(|g| g.uncommittable().is_none()).map(|g| g.group_id.clone()).collect();
    let (offsets, failed) = context.clusters.source.with_patience(GROUP_OFFSETS_PATIENCE).group_offsets_each(&ids, true).await;
    match failed.into_iter().next() {
        None => Ok(offsets),
        Some((group_id, error)) => Err(Error::new(Code::GroupRefused, format!("group {group_id}: {}", error.seen()))),
    }
}

fn translate(offsets: &[CommittedOffset], drained: &BTreeSet<&TopicPartition>, migration: &Migration) -> Vec<CommittedOffset> {
    let named = offsets.iter().map(|offset| (TopicPartition::new(offset.topic.as_str(), offset.partition), offset));
    named
        .filter(|(partition, _)| drained.contains(partition))
        .map(|(partition, offset)| CommittedOffset { next_offset: migration.target_offset(&partition, offset.next_offset), ..offset.clone() })
        .collect()
}

/// Looks at what the target has now, and removes what the source does not have: an earlier attempt, or somebody who tried the
/// target out, has left it, and the group would go on there instead of by its `auto.offset.reset`. Answers how many there were.
///
/// **Errors**: KF-GROUP-REFUSED where an offset does not read as it was committed; what the target refuses.
async fn read_back(context: &Context, outcomes: &[GroupOutcome], drained: &BTreeSet<&TopicPartition>) -> Result<usize> {
    let target = &context.clusters.target;
    let ids: Vec<String> = outcomes.iter().filter(|o| o.left_alone.is_empty()).map(|o| o.group_id.clone()).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let seen = target.group_offsets(&ids, false).await?;
    let mut foreign = BTreeMap::new();
    for outcome in outcomes.iter().filter(|o| o.left_alone.is_empty()) {
        let mut found: BTreeMap<TopicPartition, i64> =
            seen.get(&outcome.group_id).into_iter().flatten().map(|o| (TopicPartition::new(o.topic.as_str(), o.partition), o.next_offset)).collect();
        for offset in &outcome.offsets {
            if found.remove(&TopicPartition::new(offset.topic.as_str(), offset.partition)) != Some(offset.next_offset) {
                let seen = format!("group {}: {}-{} was committed at {} but does not read so", outcome.group_id, offset.topic, offset.partition, offset.next_offset);
                return Err(Error::new(Code::GroupRefused, seen));
            }
        }
        let left: Vec<TopicPartition> = found.into_keys().filter(|partition| drained.contains(partition)).collect();
        if !left.is_empty() {
            foreign.insert(outcome.group_id.clone(), left);
        }
    }
    if !foreign.is_empty() {
        let of = |error: Error| {
            let names: Vec<&str> = foreign.keys().map(String::as_str).collect();
            Error::new(Code::GroupRefused, format!("offsets that the source does not have cannot be removed of {}: {}", names.join(", "), error.seen()))
        };
        target.delete_group_offsets(&foreign).await.map_err(of)?;
    }
    Ok(foreign.values().map(Vec::len).sum())
}

/// Groups that still have members on the source, by name.
///
/// **Errors**: the source's unavailability, KF-KAFKA-REFUSED.
pub async fn with_members_on_source(context: &Context) -> Result<Vec<String>> {
    let source = &context.clusters.source;
    let mut listed = source.list_groups().await?;
    listed.retain(|g| group_left_out(&context.config.groups, &g.group_id).is_none());
    let groups = source.describe_groups(&listed).await?;
    // Groups that are not described are known by their state alone.
    let active = |g: &GroupSnapshot| g.members > 0 || (g.uncommittable().is_some() && !matches!(g.state.as_str(), "" | "Empty" | "Dead"));
    Ok(groups.into_iter().filter(active).map(|g| g.group_id).collect())
}
