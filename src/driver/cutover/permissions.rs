//! kferry's permissions, tried once more before anybody is frozen: what was granted at the plan may be gone by the cutover.

use crate::domain::finding::Severity;
use crate::domain::partition::TopicPartition;
use crate::domain::permissions::{self, Missing};
use crate::domain::planning::names;
use crate::domain::selection::group_left_out;
use crate::domain::topology::GroupSnapshot;
use crate::driver::context::Context;
use crate::driver::copying::planned_partitions;
use crate::driver::survey::limits::PATIENCE;
use crate::driver::survey::rights;
use crate::error::{Code, Error, Result};
use std::collections::BTreeSet;

/// Tries every permission that the cutover and what follows it need, with those for groups that the plan did not know.
///
/// What a cluster does not tell, and what the cutover may do without, is named, and holds nothing up.
/// **Errors**: KF-PERMISSION-MISSING naming them; the clusters' unavailability.
pub async fn check(context: &Context) -> Result<()> {
    let (interrupt, clusters, plan) = (&context.interrupt, &context.clusters, &context.migration()?.plan);
    let known: BTreeSet<&str> = plan.groups.iter().map(|g| g.group_id.as_str()).collect();
    let mut late = interrupt.or(clusters.source.list_groups()).await?;
    late.retain(|g| group_left_out(&context.config.groups, &g.group_id).is_none() && !known.contains(g.group_id.as_str()));
    let ids: Vec<String> = late.iter().map(|g| g.group_id.clone()).collect();
    let planned: BTreeSet<TopicPartition> = planned_partitions(plan).into_iter().collect();
    let carried = match interrupt.or(async { Ok(clusters.source.with_patience(PATIENCE).describe_groups(&late).await) }).await? {
        Ok(groups) => groups.iter().filter(|g| is_carried(g, &planned)).map(|g| g.group_id.clone()).collect(),
        // Most likely for want of a permission: then what they have is not known, and they are taken for groups that are.
        Err(error) => {
            tracing::debug!(%error, "the groups that came up since the plan cannot be described");
            ids.clone()
        }
    };
    let needed = permissions::needed_at_cutover(plan, &context.config, &ids, &carried);
    let tried = interrupt.or(async { Ok(rights::missing(Some(&clusters.source_cluster), Some(&clusters.target_cluster), &needed).await) }).await?;
    for finding in &tried.not_told {
        eprintln!("warning: not tried before the freeze: {}", finding.seen);
    }
    let (blocking, others): (Vec<&Missing>, Vec<&Missing>) = tried.missing.iter().partition(|m| m.right.code().severity() == Severity::Blocker);
    others.iter().for_each(|missing| eprintln!("warning: not permitted: {}", in_words(missing)));
    match blocking.is_empty() {
        true => Ok(()),
        false => Err(Error::new(Code::PermissionMissing, blocking.into_iter().map(in_words).collect::<Vec<_>>().join("; "))),
    }
}

/// Whether the cutover will commit offsets of the group.
fn is_carried(group: &GroupSnapshot, planned: &BTreeSet<TopicPartition>) -> bool {
    group.uncommittable().is_none() && group.offsets.iter().any(|o| planned.contains(&TopicPartition::new(o.topic.as_str(), o.partition)))
}

fn in_words(missing: &Missing) -> String {
    let right = missing.right;
    format!("{}: {} on {} {} (to {})", right.side().name(), right.operation().name(), right.resource_type().name(), names(&missing.names), right.why())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permissions::Right;
    use crate::domain::topology::CommittedOffset;

    #[test]
    fn only_groups_whose_offsets_will_be_committed_need_the_target() {
        let planned = [TopicPartition::new("orders", 0)].into();
        let group = |group_type: &str, topic: &str| GroupSnapshot {
            group_id: "late".into(),
            state: "Empty".into(),
            group_type: group_type.into(),
            protocol_type: "consumer".into(),
            members: 0,
            static_members: 0,
            offsets: vec![CommittedOffset { topic: topic.into(), partition: 0, next_offset: 1, metadata: None }],
        };
        assert!(is_carried(&group("classic", "orders"), &planned));
        assert!(!is_carried(&group("classic", "elsewhere"), &planned));
        assert!(!is_carried(&group("streams", "orders"), &planned));
    }

    #[test]
    fn what_is_missing_is_named_with_its_cluster_and_purpose() {
        let missing = Missing { right: Right::TargetGroupRead, names: vec!["late".into()] };
        assert_eq!(in_words(&missing), "target: READ on GROUP late (to commit the groups' offsets and read them back)");
    }
}
