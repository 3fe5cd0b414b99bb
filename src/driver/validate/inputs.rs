//! What each of the five checks compares, read from the journal and from both clusters.
//!
//! A check whose side of a cluster cannot be read has not run, and says why; the others run all the same.

use super::super::context::Context;
use super::super::late_writes;
use super::compacted;
use crate::domain::limits::DETAILS_MAX;
use crate::domain::offset::TargetOffset;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::{LeftOut, Plan};
use crate::domain::planning;
use crate::domain::selection::{group_left_out, topic_left_out};
use crate::domain::topology::{ClusterSnapshot, CommittedOffset};
use crate::error::{Code, Error, Result};
use crate::kafka::cluster::Side;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::Reader;
use crate::kafka::witness::{self, Witness};
use crate::machine::fact::{CutoverReport, FrozenPartition, PartitionCheckpoint};
use crate::machine::fold::Migration;
use crate::validation::counts_and_offsets::{self, Counted, PartitionCounts};
use crate::validation::group_reconciliation::{self, Committed, GroupFacts, SourceGroups};
use crate::validation::key_drift;
use crate::validation::report::{CheckResult, Outcome};
use crate::validation::sentinel_presence::{self, Looked, SentinelFacts};
use crate::validation::spot_check::{self, DigestFacts};
use crate::validation::topic_parity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Runs the five checks; beside them, what none of them covers.
pub async fn checks(context: &Context) -> Result<(Vec<CheckResult>, Vec<String>)> {
    let migration = context.migration()?;
    let Some(report) = &migration.cutover_report else {
        return Err(Error::new(Code::StateIllegal, "there is no cutover to validate"));
    };
    let plan = &migration.plan;
    let topics: BTreeSet<&str> = plan.topics.iter().map(|t| t.name.as_str()).collect();
    let target = context.clusters.target.snapshot(|name| topics.contains(name), |_| false);
    let names: Vec<TopicPartition> = report.partitions.iter().map(|p| p.partition.clone()).collect();
    let (target, starts, spot_check, by_key, sentinels, groups, late) = futures::join!(
        Box::pin(target),
        context.clusters.source.offsets(&names, OffsetAt::Earliest),
        Box::pin(spot_check(context, migration, report)),
        Box::pin(compacted::drift(context, migration, report)),
        Box::pin(sentinels(context, migration, report)),
        Box::pin(groups(context, migration, report)),
        Box::pin(late_writes::refuse(context)),
    );
    let (parity, counts) = match &target {
        Ok(target) => {
            let tolerance = context.config.validation.count_tolerance;
            (topic_parity::check(&plan.topics, target), counts_and_offsets::check(&partition_counts(migration, report, target, &starts.unwrap_or_default()), tolerance))
        }
        Err(error) => (not_run(topic_parity::NAME, error), not_run(counts_and_offsets::NAME, error)),
    };
    let spot_check = key_drift::added_to(spot_check, &by_key);
    let mut not_covered = not_covered(plan);
    not_covered.extend(by_key.iter().filter_map(|p| Some(format!("{}: not compared by key to the end: {}", p.partition.as_ref()?, p.not_covered.as_ref()?))));
    not_covered.extend(unstored(migration, report));
    not_covered.extend(append_times(migration));
    match late {
        Ok(remarks) => not_covered.extend(remarks),
        Err(error) => not_covered.push(error.seen().to_owned()),
    }
    not_covered.extend(drift(context, plan).await);
    Ok((vec![parity, counts, spot_check, sentinels, groups], not_covered))
}

fn not_run(check: &str, error: &Error) -> CheckResult {
    CheckResult::new(check, Outcome::NotRun, error.seen().to_owned(), 0, 0, Vec::new())
}

/// `source_starts` are those that could be read.
fn partition_counts(migration: &Migration, report: &CutoverReport, target: &ClusterSnapshot, source_starts: &BTreeMap<TopicPartition, i64>) -> Vec<PartitionCounts> {
    let counts = report.partitions.iter().map(|frozen| {
        let partition = &frozen.partition;
        let seen = target.topic(&partition.topic).and_then(|t| t.partitions.iter().find(|p| p.partition == partition.partition));
        let checkpoint = migration.checkpoint(partition);
        PartitionCounts {
            partition: partition.clone(),
            source_start: migration.target_offset(partition, frozen.log_start),
            source_start_now: source_starts.get(partition).map(|start| migration.target_offset(partition, *start)),
            keeps_everything: target.topic(&partition.topic).is_some_and(|t| t.config("cleanup.policy") == Some("compact") || ["retention.ms", "retention.bytes"].iter().all(|key| t.config(key) == Some("-1"))),
            source_end: migration.target_offset(partition, frozen.frozen_end + 1),
            // Without a checkpoint nothing was acknowledged.
            target_end_at_commit: checkpoint.map_or(0, |c| c.next_offset),
            target_start: seen.and_then(|p| p.log_start),
            target_end: seen.and_then(|p| p.log_end),
            counted: checkpoint.map(counted),
        }
    });
    counts.collect()
}

fn counted(checkpoint: &PartitionCheckpoint) -> Counted {
    Counted {
        from_offset: checkpoint.source_log_start,
        records: checkpoint.counts.records,
        control_records: checkpoint.counts.control_records,
        hole_offsets: checkpoint.counts.hole_offsets,
        expired_offsets: checkpoint.counts.expired_offsets,
    }
}

async fn spot_check(context: &Context, migration: &Migration, report: &CutoverReport) -> CheckResult {
    // The sentinel at `frozen_end` itself is no record.
    let compacts = |topic: &str| {
        migration.plan.topics.iter().any(|t| t.name == topic && compacted::compacts(t))
    };
    let facts = |p: &FrozenPartition| {
        let (checkpoint, end) = (migration.checkpoint(&p.partition)?, migration.target_offset(&p.partition, p.frozen_end));
        let map = migration.offset_map(&p.partition).map(|map| Arc::new(map.closed(TargetOffset(end))));
        Some(DigestFacts { map, ..DigestFacts::of(checkpoint, end, compacts(&p.partition.topic)) })
    };
    let digests: Vec<DigestFacts> = report.partitions.iter().filter_map(facts).collect();
    if digests.len() < report.partitions.len() {
        let missing = report.partitions.len() - digests.len();
        let error = Error::new(Code::Bug, format!("{missing} of {} partitions have no checkpoint in the journal", report.partitions.len()));
        return not_run(spot_check::NAME, &error);
    }
    let witnesses = Witness::open(Side::Source, &context.config.source)
        .and_then(|source| Ok((source, Witness::open(Side::Target, &context.config.target)?)));
    match witnesses {
        Ok((source, target)) => witness::spot_check(&source, &target, &digests, context.config.validation.spot_check_records_per_partition).await,
        Err(error) => not_run(spot_check::NAME, &error),
    }
}

async fn sentinels(context: &Context, migration: &Migration, report: &CutoverReport) -> CheckResult {
    let places: BTreeMap<TopicPartition, i64> = report.partitions.iter().map(|p| (p.partition.clone(), p.frozen_end)).collect();
    let (mapped, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = places.clone().into_iter().partition(|(partition, _)| migration.offset_map(partition).is_some());
    let (mut source, mut target, ends) =
        futures::join!(look(&context.clusters.source, &places), look(&context.clusters.target, &kept), mapped_ends(context, migration, &mapped));
    target.extend(ends);
    let unasked = || Looked::Unread { seen: "there is no answer".to_owned() };
    let facts: Vec<SentinelFacts> = report
        .partitions
        .iter()
        .map(|p| SentinelFacts {
            partition: p.partition.clone(),
            frozen_end: p.frozen_end,
            source: source.remove(&p.partition).unwrap_or_else(unasked),
            target: target.remove(&p.partition).unwrap_or_else(unasked),
        })
        .collect();
    sentinel_presence::check(&facts, report.sentinel_producer_id)
}

/// Where the target's logs end that leave the sentinels out, as they do all that is not a record.
async fn mapped_ends(context: &Context, migration: &Migration, frozen_ends: &BTreeMap<TopicPartition, i64>) -> BTreeMap<TopicPartition, Looked> {
    let names: Vec<TopicPartition> = frozen_ends.keys().cloned().collect();
    let ends = match names.is_empty() {
        true => return BTreeMap::new(),
        false => context.clusters.target.offsets(&names, OffsetAt::HighWatermark).await,
    };
    let ends = match ends {
        Ok(ends) => ends,
        Err(error) => return unread(frozen_ends, &error),
    };
    let looked = frozen_ends.iter().map(|(partition, frozen_end)| {
        let end_at_commit = migration.checkpoint(partition).map_or(0, |c| c.next_offset);
        let mapped_end = migration.target_offset(partition, frozen_end + 1);
        let looked = match ends.get(partition) {
            Some(end_now) => Looked::LeftOut { mapped_end, end_at_commit, end_now: *end_now },
            None => Looked::Unread { seen: "there is no answer".to_owned() },
        };
        (partition.clone(), looked)
    });
    looked.collect()
}

/// Looks at one offset of each partition; what cannot be read says why.
async fn look(cluster: &Reader, places: &BTreeMap<TopicPartition, i64>) -> BTreeMap<TopicPartition, Looked> {
    let metadata = match cluster.refresh().await {
        Ok(metadata) => metadata,
        Err(error) => return unread(places, &error),
    };
    let (there, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        places.iter().map(|(partition, offset)| (partition.clone(), *offset)).partition(|(partition, _)| metadata.partition(partition).is_some());
    let mut looked = match cluster.batches_at(&there).await {
        Ok(looked) => looked,
        Err(error) => unread(&there, &error),
    };
    looked.extend(unread(&gone, &Error::new(Code::KafkaRefused, "the partition does not exist any more")));
    looked
}

fn unread(places: &BTreeMap<TopicPartition, i64>, error: &Error) -> BTreeMap<TopicPartition, Looked> {
    places.keys().map(|partition| (partition.clone(), Looked::Unread { seen: error.seen().to_owned() })).collect()
}

async fn groups(context: &Context, migration: &Migration, report: &CutoverReport) -> CheckResult {
    let carried: Vec<String> = report.groups.iter().filter(|g| g.left_alone.is_empty()).map(|g| g.group_id.clone()).collect();
    let ends = report.partitions.iter().map(|p| (p.partition.clone(), migration.target_offset(&p.partition, p.frozen_end + 1))).collect();
    // Compared where they lie on the target.
    let translated = |mut offsets: Vec<CommittedOffset>| {
        offsets.iter_mut().for_each(|o| o.next_offset = migration.target_offset(&TopicPartition::new(o.topic.as_str(), o.partition), o.next_offset));
        offsets
    };
    let read = async {
        let mut listed = context.clusters.source.list_groups().await?;
        let all = listed.len();
        listed.retain(|g| group_left_out(&context.config.groups, &g.group_id).is_none());
        let source = SourceGroups { all, selected: listed.len() };
        let described = context.clusters.source.describe_groups(&listed).await?;
        let committable = described.into_iter().filter(|g| g.uncommittable().is_none());
        let source_now: Committed = committable.map(|g| (g.group_id, translated(g.offsets))).collect();
        // Groups of other topics are none of this migration's, and kferry need not be permitted to look at them on the target.
        let copied: BTreeSet<&TopicPartition> = report.partitions.iter().map(|p| &p.partition).collect();
        let of_copy = |offsets: &[CommittedOffset]| offsets.iter().any(|o| copied.contains(&TopicPartition::new(o.topic.as_str(), o.partition)));
        let concerned = source_now.iter().filter(|(_, offsets)| of_copy(offsets)).map(|(group, _)| group);
        let on_target: BTreeSet<String> = carried.iter().chain(concerned).cloned().collect();
        let target_now = context.clusters.target.group_offsets(&on_target.into_iter().collect::<Vec<_>>(), false).await?;
        Ok(GroupFacts { source, source_now, target_now, ends })
    };
    match read.await {
        Ok(facts) => group_reconciliation::check(&report.groups, &facts),
        Err(error) => not_run(group_reconciliation::NAME, &error),
    }
}

/// What the plan shows that no check looks at.
fn not_covered(plan: &Plan) -> Vec<String> {
    let mut lines = vec!["SCRAM users' secrets, delegation tokens and broker settings are neither copied nor compared".to_owned()];
    lines.push(match &plan.quotas {
        Some(_) => "client quotas were read back when they were set and are not compared again".to_owned(),
        None => "client quotas are not carried over: one of the clusters does not tell them".to_owned(),
    });
    lines.push(match &plan.acls {
        Some(_) => "ACL bindings were read back when they were created and are not compared again".to_owned(),
        None => "ACL bindings are not carried over: one of the clusters has no authorizer, or the target goes by IAM".to_owned(),
    });
    for topic in &plan.topics {
        lines.extend(topic.left_out_configs.iter().map(|(key, value)| format!("topic {}: setting {key}={value} is bound to the source and left out", topic.name)));
    }
    for group in plan.groups.iter().filter(|g| g.left_alone.is_empty() && !g.not_carried.is_empty()) {
        lines.push(format!("group {}: offsets on {} are not carried over, their topics are not selected", group.group_id, listed(&group.not_carried)));
    }
    // The bundle names what the plan's snapshot holds and the plan does not.
    let named = |l: &&LeftOut| l.kind == "topic" && plan.source.topic(&l.name).is_some();
    let left_out: Vec<String> = plan.left_out.iter().filter(|l| !named(l)).map(left_out).collect();
    lines.extend(left_out.iter().take(DETAILS_MAX).cloned());
    if left_out.len() > DETAILS_MAX {
        lines.push(format!("{} more topics and groups of the source are not selected; the plan lists them", left_out.len() - DETAILS_MAX));
    }
    lines
}

fn left_out(left_out: &LeftOut) -> String {
    let LeftOut { kind, name, reason } = left_out;
    let what = if kind == "group" { "its offsets are not carried over" } else { "not copied" };
    format!("{kind} {name}: {what}, {reason}")
}

/// Topics whose records could not keep the kind of their timestamps.
fn append_times(migration: &Migration) -> Vec<String> {
    let mut batches = BTreeMap::<&str, u64>::new();
    for checkpoint in migration.checkpoints() {
        *batches.entry(&checkpoint.partition.topic).or_default() += checkpoint.counts.append_time_batches;
    }
    let topics = batches.into_iter().filter(|(_, batches)| *batches > 0);
    topics
        .map(|(topic, batches)| {
            let what = "append times of the source stand as the records' own (CreateTime instead of LogAppendTime)";
            format!("topic {topic}: in {batches} batch{} {what}", if batches == 1 { "" } else { "es" })
        })
        .collect()
}

/// Partitions whose segments in the store do not reach to the cutover.
fn unstored(migration: &Migration, report: &CutoverReport) -> Vec<String> {
    let short = report.partitions.iter().filter_map(|p| {
        let (stored, end) = (migration.checkpoint(&p.partition)?.stored_offset, migration.target_offset(&p.partition, p.frozen_end));
        (stored < end).then(|| format!("{}: its segments in the store end at {stored}, its log at {end}", p.partition))
    });
    short.collect()
}

fn listed(names: &[String]) -> String {
    match names {
        [first, second, third, rest @ ..] if !rest.is_empty() => format!("{first}, {second}, {third} and {} more partitions", rest.len()),
        few => few.join(", "),
    }
}

/// What has changed on the source since the plan was made.
async fn drift(context: &Context, plan: &Plan) -> Vec<String> {
    let selected = |name: &str| topic_left_out(&context.config.topics, name, false).is_none();
    match context.clusters.source.snapshot(selected, |_| false).await {
        Ok(now) => planning::reconcile(plan, &now).iter().map(|drift| format!("since the plan: {drift}")).collect(),
        Err(error) => vec![format!("whether the source has changed since the plan cannot be told: {}", error.seen())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample::{self, checkpoint, cutover_report, entries, journey, partition};

    #[test]
    fn a_partition_is_counted_by_its_last_checkpoint() {
        let migration = Migration::fold(&entries(journey())).unwrap();
        let mut target = sample::plan().source;
        target.topics[0].partitions[1].log_end = None;
        let counts = partition_counts(&migration, &cutover_report(), &target, &BTreeMap::new());
        let [first, second] = &counts[..] else { panic!("{counts:?}") };
        assert_eq!((&first.partition, first.source_start, first.source_end, first.target_end_at_commit), (&partition(0), 10, 21, 21));
        assert_eq!((first.target_start, first.target_end, second.target_end), (Some(10), Some(20), None));
        assert_eq!(first.counted.unwrap(), counted(&checkpoint(0, 21)));
    }

    #[test]
    fn segments_that_do_not_reach_the_cutover_are_said() {
        let mut facts = journey();
        let short = PartitionCheckpoint { stored_offset: 17, ..checkpoint(1, 21) };
        facts.push(crate::machine::fact::Fact::CopyCheckpointed { partitions: vec![short] });
        let migration = Migration::fold(&entries(facts)).unwrap();
        assert_eq!(unstored(&migration, &cutover_report()), ["orders-1: its segments in the store end at 17, its log at 20"]);
    }

    #[test]
    fn what_was_left_out_is_said() {
        let mut plan = sample::plan();
        let out = |kind: &str, name: &str| LeftOut { kind: kind.into(), name: name.into(), reason: "excluded by `o*`".into() };
        plan.left_out = vec![out("topic", "orders"), out("topic", "other"), out("group", "others")];
        plan.topics[0].left_out_configs = [("follower.replication.throttled.replicas".to_owned(), "*".to_owned())].into();
        plan.groups[0].not_carried = (0..5).map(|n| format!("other-{n}")).collect();
        let lines = not_covered(&plan);
        assert!(lines.iter().any(|l| l.contains("is bound to the source")), "{lines:?}");
        assert!(lines.iter().any(|l| l == "group shop: offsets on other-0, other-1, other-2 and 2 more partitions are not carried over, their topics are not selected"), "{lines:?}");
        let ends = |end: &str| lines.iter().filter(|l| l.ends_with(end)).cloned().collect::<Vec<_>>();
        assert_eq!(ends("excluded by `o*`"), ["topic other: not copied, excluded by `o*`", "group others: its offsets are not carried over, excluded by `o*`"]);
        plan.acls = None;
        assert!(not_covered(&plan)[2].contains("no authorizer"));
    }
}
