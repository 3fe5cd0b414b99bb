//! What will be done to each selected topic.

use super::adoption::adopt;
use super::markers;
use super::offsets_mode;
use super::report::{count, grouped, names};
use super::Context;
use crate::domain::config_diff::{carry, overrides, Carried};
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::plan::{LeftOut, OffsetMode, PartitionPlan, TopicAction, TopicPlan};
use crate::domain::selection::topic_left_out;
use crate::domain::topology::TopicSnapshot;
use std::collections::BTreeMap;

/// Plans every selected topic, in the order of their names, and names those that are left out.
pub(super) fn plan(context: &Context, findings: &mut Vec<Finding>) -> (Vec<TopicPlan>, Vec<LeftOut>) {
    let (mut plans, mut left_out) = (Vec::new(), Vec::new());
    let mut topics: Vec<&TopicSnapshot> = context.input.source.topics.iter().collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    for topic in topics {
        match topic_left_out(&context.input.config.topics, &topic.name, topic.internal) {
            Some(reason) => left_out.push(LeftOut { kind: "topic".to_owned(), name: topic.name.clone(), reason }),
            None => plans.push(plan_topic(context, topic, findings)),
        }
    }
    for name in &context.input.other_topics {
        let reason = topic_left_out(&context.input.config.topics, name, false).unwrap_or_else(|| "it was not there when the source was read".to_owned());
        left_out.push(LeftOut { kind: "topic".to_owned(), name: name.clone(), reason });
    }
    if plans.is_empty() {
        let seen = format!("{} on the source, none of them selected", count(left_out.len(), "topic"));
        findings.push(Finding::new(FindingCode::NoTopics, "", seen));
    }
    (plans, left_out)
}

fn plan_topic(context: &Context, topic: &TopicSnapshot, findings: &mut Vec<Finding>) -> TopicPlan {
    let existing = context.input.target.as_ref().and_then(|t| t.topic(&topic.name));
    let replication_factor = replication_factor(context, topic, existing, findings);
    let carried = carry(topic, replication_factor, context.settings.as_ref());
    setting_findings(topic, &carried, findings);

    let probe = context.probes.get(topic.name.as_str());
    let batch_bytes_max = probe.and_then(|p| p.partitions.iter().map(|p| p.batch_bytes_max).max()).unwrap_or(0);
    let broker_max_bytes = context.input.source.broker_configs.get("message.max.bytes").and_then(|v| v.parse().ok()).unwrap_or(0);
    let stamped = probe.is_some_and(|p| p.partitions.iter().any(|p| p.log_append_time));
    let encoded_anew = stamped || topic.config("message.timestamp.type") == Some("LogAppendTime");
    let overrides = overrides(topic, replication_factor, batch_bytes_max, broker_max_bytes, encoded_anew, context.settings.as_ref());

    let mut configs = carried.configs;
    let drift = match existing {
        Some(target_topic) => adopt(context, topic, target_topic, &mut configs, findings),
        None => BTreeMap::new(),
    };
    let mut partitions: Vec<PartitionPlan> = topic
        .partitions
        .iter()
        .map(|p| {
            let log_start = p.log_start.unwrap_or(0).max(0);
            PartitionPlan {
                partition: p.partition,
                log_start,
                log_end: p.log_end.unwrap_or(log_start).max(log_start),
                prefix_fillers: log_start,
                markers_estimated: 0,
                holes_estimated: 0,
                runs_estimated: 0,
                size_bytes: p.size_bytes,
            }
        })
        .collect();
    let fillers: i64 = partitions.iter().map(|p| p.prefix_fillers).sum();
    let sampled_offsets = markers::estimate_partitions(probe.copied(), &mut partitions);
    let sum = |count: fn(&PartitionPlan) -> i64| partitions.iter().map(count).fold(0, i64::saturating_add);
    let (markers_estimated, holes_estimated, runs_estimated) = (sum(|p| p.markers_estimated), sum(|p| p.holes_estimated), sum(|p| p.runs_estimated));
    let mut plan = TopicPlan {
        name: topic.name.clone(),
        source_topic_id: topic.topic_id.clone(),
        action: if existing.is_some() { TopicAction::Adopt } else { TopicAction::Create },
        mode: OffsetMode::Identical,
        mode_reason: mode_reason(fillers, markers_estimated, holes_estimated, sampled_offsets),
        markers_estimated,
        holes_estimated,
        runs_estimated,
        sampled_offsets,
        replication_factor,
        source_replication_factor: topic.replication_factor(),
        partitions,
        configs,
        unknown_configs: carried.unknown,
        left_out_configs: carried.left_out,
        overrides,
        drift,
    };
    offsets_mode::choose(&context.input.config.offsets, &mut plan, context.input.write_txn_markers);
    plan
}

/// What identical offsets cost beside the records themselves, as far as it can be told before the copy.
fn mode_reason(fillers: i64, markers: i64, holes: i64, sampled_offsets: u64) -> String {
    let mut costs = Vec::new();
    if fillers > 0 {
        costs.push(format!("{} fillers below the log starts, which DeleteRecords removes again", grouped(fillers)));
    }
    if markers > 0 {
        costs.push(format!("about {} control records where transactions were marked", grouped(markers)));
    }
    if holes > 0 {
        costs.push(format!("about {} control records at offsets without a record", grouped(holes)));
    }
    if costs.is_empty() && sampled_offsets > 0 {
        return "every partition begins at offset 0, so that identical offsets cost nothing".to_owned();
    }
    if costs.is_empty() {
        return "every partition begins at offset 0; no log holds anything that could be sampled, so that what transactions or compaction cost is not known".to_owned();
    }
    format!("identical offsets cost {}", costs.join(" and "))
}

/// An existing topic keeps what it has; otherwise the configured factor or the source's, capped by the target's brokers.
fn replication_factor(context: &Context, topic: &TopicSnapshot, existing: Option<&TopicSnapshot>, findings: &mut Vec<Finding>) -> i16 {
    let source_factor = topic.replication_factor();
    let wanted = context.input.config.replication_factor.unwrap_or(source_factor).max(1);
    let Some(target) = &context.input.target else { return wanted };
    let planned = match existing {
        Some(existing) => existing.replication_factor(),
        None => wanted.min(i16::try_from(target.brokers.len()).unwrap_or(i16::MAX).max(1)),
    };
    if planned < wanted {
        let cause = match existing {
            Some(_) => "the topic that exists on the target has".to_owned(),
            None => format!("the target's {} can hold", count(target.brokers.len(), "broker")),
        };
        let seen = format!("{source_factor} replicas on the source, {wanted} wanted, {cause} {planned}");
        findings.push(Finding::new(FindingCode::ReplicationReduced, &topic.name, seen));
    }
    planned
}

fn setting_findings(topic: &TopicSnapshot, carried: &Carried, findings: &mut Vec<Finding>) {
    let list = |map: &BTreeMap<String, String>| names(&map.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>());
    if !carried.unknown.is_empty() {
        let mut seen = list(&carried.unknown);
        if carried.unknown.contains_key("message.timestamp.difference.max.ms") {
            seen.push_str(" (its limit is carried over as message.timestamp.before.max.ms and message.timestamp.after.max.ms)");
        }
        findings.push(Finding::new(FindingCode::UnknownConfig, &topic.name, seen));
    }
    if !carried.left_out.is_empty() {
        findings.push(Finding::new(FindingCode::ConfigLeftOut, &topic.name, list(&carried.left_out)));
    }
    for a in &carried.adjusted {
        let seen = format!("{} is {} on the source and becomes {}: {}", a.key, a.source_value, a.target_value, a.reason);
        findings.push(Finding::new(FindingCode::ConfigAdjusted, &topic.name, seen));
    }
}
