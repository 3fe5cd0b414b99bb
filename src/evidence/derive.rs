//! How a bundle's parts derive from the journal.

use super::bundle::{
    BUNDLE_VERSION, Bundle, CopyTotals, Extra, PartitionMap, PartitionRoots, PartitionStatistics, Snapshots, Statistics, TopicDifference,
};
use super::comparison::Comparison;
use crate::domain::digest::Digest;
use crate::domain::msk::MskKind;
use crate::domain::offset::{OffsetMap, SourceOffset, TargetOffset};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Plan;
use crate::journal::Entry;
use crate::machine::fact::CopyCounts;
use crate::machine::fold::Migration;

/// The names under which `ClusterObserved` facts are journaled.
const SOURCE: &str = "source";
const TARGET: &str = "target";

impl Bundle {
    /// Derives the evidence from a journal's entries and their fold.
    pub fn build(entries: &[Entry], migration: &Migration, extra: Extra) -> Self {
        let plan = &migration.plan;
        let snapshots = snapshots(migration);
        let mut not_covered = not_covered(migration);
        for line in extra.not_covered {
            add(&mut not_covered, line);
        }
        Self {
            version: BUNDLE_VERSION,
            kferry_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: format!("{:.3}", extra.created_at),
            migration_id: plan.migration_id.clone(),
            source_cluster_id: snapshots.source.cluster_id.clone(),
            target_cluster_id: snapshots.target.as_ref().map(|t| t.cluster_id.clone()),
            states: migration.history.clone(),
            plan_sha256: migration.plan_sha256.clone(),
            config_sha256: migration.config_sha256.clone(),
            journal: entries.iter().map(|e| e.line().to_owned()).collect(),
            journal_head: entries.last().map_or(Digest::ZERO, |e| e.hash),
            snapshots,
            topology: topology(plan),
            acls: plan.acls.clone(),
            statistics: statistics(migration),
            comparison: Some(Comparison::of(migration)),
            offset_map: offset_map(migration),
            cutover: migration.cutover_report.clone(),
            validation: migration.validation.clone(),
            roots: roots(migration),
            leaves: extra.leaves,
            not_covered,
        }
    }
}

fn snapshots(migration: &Migration) -> Snapshots {
    let observed = |name: &str| migration.observed.get(name).cloned();
    Snapshots {
        source: observed(SOURCE).unwrap_or_else(|| migration.plan.source.clone()),
        target: observed(TARGET).or_else(|| migration.plan.target.clone()),
    }
}

fn topology(plan: &Plan) -> Vec<TopicDifference> {
    let difference = |topic: &crate::domain::plan::TopicPlan| TopicDifference {
        topic: topic.name.clone(),
        action: topic.action,
        mode: topic.mode,
        partitions: topic.partitions.len(),
        source_replication_factor: topic.source_replication_factor,
        target_replication_factor: topic.replication_factor,
        configs: topic.configs.clone(),
        unknown_configs: topic.unknown_configs.clone(),
        drift: topic.drift.clone(),
    };
    plan.topics.iter().map(difference).collect()
}

fn statistics(migration: &Migration) -> Statistics {
    let mut total = CopyCounts::default();
    let mut partitions = Vec::new();
    for (partition, progress) in &migration.partitions {
        let Some(checkpoint) = &progress.checkpoint else { continue };
        total.add(&checkpoint.counts);
        partitions.push(PartitionStatistics {
            partition: partition.clone(),
            takes: progress.take,
            source_log_start: checkpoint.source_log_start,
            next_offset: checkpoint.next_offset,
            verified_offset: checkpoint.verified_offset,
            stored_offset: checkpoint.stored_offset,
            counts: checkpoint.counts,
        });
    }
    let tail = migration.seed.map_or(CopyTotals::default(), |seed| CopyTotals {
        records: total.records.saturating_sub(seed.records),
        bytes: total.bytes.saturating_sub(seed.bytes),
    });
    Statistics { seed: migration.seed, tail, total, partitions }
}

fn offset_map(migration: &Migration) -> Vec<PartitionMap> {
    let map = |c: &crate::machine::fact::PartitionCheckpoint| PartitionMap {
        partition: c.partition.clone(),
        map: match migration.offset_map(&c.partition) {
            None => OffsetMap::identity(SourceOffset(c.source_log_start), SourceOffset(c.next_offset)),
            Some(map) => map.closed(TargetOffset(c.next_offset)),
        },
    };
    migration.checkpoints().map(map).collect()
}

fn roots(migration: &Migration) -> Vec<PartitionRoots> {
    let roots = |c: &crate::machine::fact::PartitionCheckpoint| PartitionRoots {
        partition: c.partition.clone(),
        from_offset: c.source_log_start,
        verified_offset: c.verified_offset,
        source: (&c.source_tree).into(),
        target: (&c.target_tree).into(),
    };
    migration.checkpoints().map(roots).collect()
}

/// What the journal itself shows as not covered.
pub(super) fn not_covered(migration: &Migration) -> Vec<String> {
    let plan = &migration.plan;
    let mut lines = Vec::new();
    for topic in plan.source.topics.iter().filter(|t| !plan.topics.iter().any(|p| p.name == t.name)) {
        add(&mut lines, format!("topic {}: not selected, not copied", topic.name));
    }
    for topic in &plan.topics {
        for (key, value) in &topic.unknown_configs {
            add(&mut lines, format!("topic {}: setting {key}={value} is unknown to the target and left out", topic.name));
        }
        for partition in &topic.partitions {
            let partition = TopicPartition::new(topic.name.as_str(), partition.partition);
            uncovered_offsets(&mut lines, migration, &partition);
        }
    }
    let outcomes = migration.cutover_report.as_ref().map(|r| r.groups.iter().map(|g| (&g.group_id, &g.left_alone)).collect::<Vec<_>>());
    let groups = outcomes.unwrap_or_else(|| plan.groups.iter().map(|g| (&g.group_id, &g.left_alone)).collect());
    for (group, reason) in groups.into_iter().filter(|(_, reason)| !reason.is_empty()) {
        add(&mut lines, format!("group {group}: offsets not carried over: {reason}"));
    }
    untried(migration).into_iter().for_each(|line| add(&mut lines, line));
    match &migration.validation {
        Some(report) => report.not_covered.iter().for_each(|line| add(&mut lines, line.clone())),
        None => add(&mut lines, "validation: the five checks have not run".to_owned()),
    }
    lines
}

/// What this migration rests on and this version of kferry was never run against: its tests have doubles of these alone.
fn untried(migration: &Migration) -> Vec<String> {
    let mut lines = Vec::new();
    let (plan, config) = (&migration.plan, &migration.config);
    for (side, msk) in [("source", &plan.source_msk), ("target", &plan.target_msk)] {
        if let Some(msk) = msk {
            lines.push(format!("untried: the {side} is Amazon MSK; this version was tried with stock brokers behind a double of MSK's control plane"));
            if msk.kind == MskKind::Express {
                lines.push(format!("untried: the {side} has Express brokers, of which this version has seen none"));
            }
        }
        if config[side]["auth_mode"] == "iam" {
            lines.push(format!("untried: AWS's own IAM on the {side}; this version was tried with brokers that verify its tokens, not with policies for each call"));
        }
    }
    for (name, store) in [("backup", &config["backup"]), ("evidence", &config["evidence"]["store"])] {
        if store["s3_bucket"].is_string() && store["endpoint_url"].is_null() {
            lines.push(format!("untried: the {name} store is S3 of AWS; this version was tried with another server of the same protocol"));
        }
        if store["kms_key_arn"].is_string() {
            lines.push(format!("untried: KMS for the {name} store; this version was tried with its documented answers alone"));
        }
    }
    lines
}

/// The offsets of one partition that were not read again from the target, and those that expired before the copy.
fn uncovered_offsets(lines: &mut Vec<String>, migration: &Migration, partition: &TopicPartition) {
    let Some(checkpoint) = migration.checkpoint(partition) else {
        return add(lines, format!("{partition}: nothing of it is checkpointed"));
    };
    let frozen = migration.cutover_report.as_ref().and_then(|r| r.partitions.iter().find(|f| f.partition == *partition));
    // The sentinel at `frozen_end` itself is not a record.
    let end = frozen.map_or(checkpoint.next_offset, |f| migration.target_offset(partition, f.frozen_end));
    let verified = checkpoint.verified_offset;
    if verified < end {
        add(lines, format!("{partition}: offsets {verified}..{end} were not read again from the target"));
    }
    let drifted = checkpoint.counts.drifted_records;
    if drifted > 0 {
        add(lines, format!("{partition}: {drifted} records were compacted away on the source after they had been copied, and before they were compared"));
    }
    let expired = checkpoint.counts.expired_offsets + checkpoint.counts.unmapped_expired_offsets;
    if expired > 0 {
        add(lines, format!("{partition}: {expired} offsets expired on the source before they could be copied and compared"));
    }
}

fn add(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;
    use crate::domain::topology::MetadataMode;
    use crate::machine::sample;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn what_this_version_was_never_run_against_is_listed() {
        let mut migration = Migration::fold(&sample::entries([sample::planned()])).unwrap();
        let store = |endpoint: Option<&str>, key: Option<&str>| json!({ "s3_bucket": "b", "endpoint_url": endpoint, "kms_key_arn": key });
        let sides = |mode: &str| json!({ "auth_mode": mode });
        migration.config = json!({ "source": sides("mtls"), "target": sides("plain"), "backup": store(Some("http://s3"), None), "evidence": { "store": { "directory": "/e" } } });
        assert_eq!(untried(&migration), Vec::<String>::new());

        let mut plan = sample::plan();
        plan.target_msk = Some(fixture::msk("payments", MetadataMode::Kraft));
        plan.target_msk.as_mut().unwrap().kind = MskKind::Express;
        migration.plan = Arc::new(plan);
        migration.config = json!({ "source": sides("mtls"), "target": sides("iam"), "backup": store(None, Some("arn:aws:kms:…")), "evidence": { "store": store(None, None) } });
        let lines = untried(&migration);
        let named = ["target is Amazon MSK", "Express brokers", "IAM on the target", "backup store is S3 of AWS", "KMS for the backup store", "evidence store is S3 of AWS"];
        assert_eq!(lines.len(), named.len(), "{lines:?}");
        assert!(named.iter().zip(&lines).all(|(part, line)| line.contains(part) && line.starts_with("untried: ")), "{lines:?}");
        assert!(named.iter().all(|part| not_covered(&migration).iter().any(|line| line.contains(part))));
    }
}
