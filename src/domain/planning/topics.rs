//! What will be done to each selected topic.

use super::report::{bytes, count, duration, grouped, names};
use super::Context;
use crate::config::model::OffsetsMode;
use crate::domain::acl::DriftPolicy;
use crate::domain::config_diff::{carry, overrides, same_value, Carried};
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::limits;
use crate::domain::plan::{Estimate, LeftOut, OffsetMode, PartitionPlan, TopicAction, TopicPlan};
use crate::domain::selection::topic_left_out;
use crate::domain::topology::{ConfigSource, ConfigValue, TopicSnapshot};
use std::collections::{BTreeMap, BTreeSet};

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

    let batch_bytes_max = context.probes.get(topic.name.as_str()).and_then(|p| p.partitions.iter().map(|p| p.batch_bytes_max).max()).unwrap_or(0);
    let broker_max_bytes = context.input.source.broker_configs.get("message.max.bytes").and_then(|v| v.parse().ok()).unwrap_or(0);
    let overrides = overrides(topic, replication_factor, batch_bytes_max, broker_max_bytes, context.settings.as_ref());

    let mut configs = carried.configs;
    let drift = match existing {
        Some(target_topic) => adopt(context, topic, target_topic, &mut configs, findings),
        None => BTreeMap::new(),
    };
    let partitions: Vec<PartitionPlan> = topic
        .partitions
        .iter()
        .map(|p| {
            let log_start = p.log_start.unwrap_or(0).max(0);
            PartitionPlan {
                partition: p.partition,
                log_start,
                log_end: p.log_end.unwrap_or(log_start).max(log_start),
                prefix_fillers: log_start,
                size_bytes: p.size_bytes,
            }
        })
        .collect();
    let fillers: i64 = partitions.iter().map(|p| p.prefix_fillers).sum();
    let mode_reason = if fillers == 0 {
        "every partition begins at offset 0, so that identical offsets cost nothing".to_owned()
    } else {
        format!("identical offsets cost {} fillers below the log starts, which DeleteRecords removes again", grouped(fillers))
    };
    TopicPlan {
        name: topic.name.clone(),
        source_topic_id: topic.topic_id.clone(),
        action: if existing.is_some() { TopicAction::Adopt } else { TopicAction::Create },
        mode: OffsetMode::Identical,
        mode_reason,
        replication_factor,
        source_replication_factor: topic.replication_factor(),
        partitions,
        configs,
        unknown_configs: carried.unknown,
        left_out_configs: carried.left_out,
        overrides,
        drift,
    }
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

/// Decides about a topic that the target has already: changes `configs` as the drift policy says and returns where the
/// target differs, among the settings that stand on either topic itself.
fn adopt(
    context: &Context,
    topic: &TopicSnapshot,
    existing: &TopicSnapshot,
    configs: &mut BTreeMap<String, String>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, ConfigValue> {
    let policy = context.input.config.on_config_drift;
    let mut refused = Vec::new();
    for p in &existing.partitions {
        match (p.log_start, p.log_end) {
            (Some(0), Some(0)) => {}
            (Some(start), Some(end)) if start == end => {
                let seen = format!("partition {} is empty, but its log goes on at offset {end}, so that the offsets below cannot be had", p.partition);
                findings.push(Finding::new(FindingCode::TopicHoldsRecords, &topic.name, seen));
                break;
            }
            (Some(start), Some(end)) => {
                let seen = format!("partition {} holds offsets {start}..{end} on the target", p.partition);
                findings.push(Finding::new(FindingCode::TopicHoldsRecords, &topic.name, seen));
                break;
            }
            _ => {
                refused.push(format!("it cannot be told whether partition {} is empty", p.partition));
                break;
            }
        }
    }
    if existing.partitions.len() != topic.partitions.len() {
        refused.push(format!("{} on the source, {} on the target", count(topic.partitions.len(), "partition"), existing.partitions.len()));
    }
    if existing.config("remote.storage.enable") == Some("true") {
        refused.push("tiered storage is on for the target's topic and cannot be turned off while copying".to_owned());
    }

    let default = |key: &str| context.settings.as_ref().and_then(|s| s.defaults.get(key)?.clone());
    let on_topic = |t: &TopicSnapshot, key: &str| t.configs.get(key).is_some_and(|c| c.source == ConfigSource::Topic);
    let mut keys: BTreeSet<&String> = existing.configs.keys().collect();
    keys.retain(|key| on_topic(existing, key) || on_topic(topic, key));
    let mut drift = BTreeMap::new();
    for key in keys {
        let has = &existing.configs[key];
        let wanted = configs.get(key).cloned().or_else(|| default(key));
        let same = match (&has.value, &wanted) {
            (Some(a), Some(b)) => same_value(key, a, b),
            (a, b) => a == b,
        };
        if same {
            continue;
        }
        drift.insert(key.clone(), has.clone());
        // What the target's operator set and the source's did not is kept by `merge`; it has to be put back after the overrides.
        if let (DriftPolicy::Merge, false, Some(value)) = (policy, on_topic(topic, key), &has.value) {
            configs.insert(key.clone(), value.clone());
        }
    }
    if !drift.is_empty() {
        let seen = drift
            .iter()
            .map(|(key, has)| {
                let value = |v: Option<&str>| v.unwrap_or("(not shown)").to_owned();
                format!("{key} is {} on the target, {} on the source", value(has.value.as_deref()), topic.config(key).unwrap_or("not known"))
            })
            .collect::<Vec<_>>();
        match policy {
            DriftPolicy::Refuse => refused.push(names(&seen)),
            DriftPolicy::Merge | DriftPolicy::Replace => findings.push(Finding::new(FindingCode::TopicDrift, &topic.name, names(&seen))),
        }
    }
    if !refused.is_empty() {
        findings.push(Finding::new(FindingCode::TopicDriftRefused, &topic.name, refused.join("; ")));
    }
    drift
}

/// What stands out about the planned topics' content.
pub(super) fn findings(context: &Context, topics: &[TopicPlan], estimate: &Estimate) -> Vec<Finding> {
    let mut found = Vec::new();
    if context.input.config.offsets == OffsetsMode::Mapped {
        found.push(Finding::new(FindingCode::MappedUnsupported, "", "offsets: mapped"));
    }
    let mut not_sampled = Vec::new();
    for plan in topics {
        let Some(topic) = context.input.source.topic(&plan.name) else { continue };
        unreadable(topic, &mut found);
        not_plain(context, topic, &mut found);
        sizes_and_times(context, plan, topic, estimate, &mut found);
        let records: i64 = plan.partitions.iter().map(|p| p.log_end - p.log_start).sum();
        let sampled = context.probes.get(plan.name.as_str()).is_some_and(|p| p.partitions.iter().any(|p| p.batches > 0));
        if records > 0 && !sampled {
            not_sampled.push(plan.name.as_str());
        }
    }
    if !not_sampled.is_empty() {
        let seen = format!("no batch could be sampled of {} with records: {}", count(not_sampled.len(), "topic"), names(&not_sampled));
        found.push(Finding::new(FindingCode::NotProbed, "", seen));
    }
    totals(context, topics, estimate, &mut found);
    found
}

fn unreadable(topic: &TopicSnapshot, found: &mut Vec<Finding>) {
    let partitions: Vec<String> = topic
        .partitions
        .iter()
        .filter(|p| p.leader.is_none() || p.log_start.is_none() || p.log_end.is_none())
        .map(|p| p.partition.to_string())
        .collect();
    if !partitions.is_empty() || topic.partitions.is_empty() {
        let seen = if partitions.is_empty() { "no partition is listed".to_owned() } else { format!("partitions {}", names(&partitions)) };
        found.push(Finding::new(FindingCode::TopicUnreadable, &topic.name, seen));
    }
}

/// What makes a topic other than plain, from its settings and from the sampled batches.
fn not_plain(context: &Context, topic: &TopicSnapshot, found: &mut Vec<Finding>) {
    let probe = context.probes.get(topic.name.as_str());
    let partitions = |wanted: &dyn Fn(&super::PartitionProbe) -> bool| -> Vec<String> {
        probe.into_iter().flat_map(|p| &p.partitions).filter(|p| wanted(p)).map(|p| p.partition.to_string()).collect()
    };
    let mut add = |code: FindingCode, seen: Vec<String>| {
        if !seen.is_empty() {
            found.push(Finding::new(code, &topic.name, seen.join("; ")));
        }
    };
    let in_partitions = |list: Vec<String>, what: &str| (!list.is_empty()).then(|| format!("{what} in partitions {}", names(&list)));

    let transactional = in_partitions(partitions(&|p| p.transactional), "transactional records");
    let control = in_partitions(partitions(&|p| p.control && !p.transactional), "control records");
    add(FindingCode::Transactional, transactional.into_iter().chain(control).collect());

    let compact = topic.config("cleanup.policy").filter(|v| v.contains("compact")).map(|v| format!("cleanup.policy={v}"));
    let holes = in_partitions(partitions(&|p| p.hole), "missing offsets");
    add(FindingCode::Compacted, compact.into_iter().chain(holes).collect());

    let append_time = topic.config("message.timestamp.type").filter(|v| *v == "LogAppendTime").map(|v| format!("message.timestamp.type={v}"));
    let stamped = in_partitions(partitions(&|p| p.log_append_time), "batches with append times");
    add(FindingCode::LogAppendTime, append_time.into_iter().chain(stamped).collect());

    let old = in_partitions(partitions(&|p| p.magic_min.is_some_and(|m| m < 2)), "message sets below v2");
    add(FindingCode::OldFormat, old.into_iter().collect());

    let open = in_partitions(partitions(&|p| p.open_transaction), "the last stable offset lies below the high watermark");
    add(FindingCode::OpenTransactions, open.into_iter().collect());

    let tiered = topic.config("remote.storage.enable").filter(|v| *v == "true");
    add(FindingCode::TieredStorage, tiered.map(|_| "remote.storage.enable=true; the sizes in this plan are those of local storage only".to_owned()).into_iter().collect());
}

fn sizes_and_times(context: &Context, plan: &TopicPlan, topic: &TopicSnapshot, estimate: &Estimate, found: &mut Vec<Finding>) {
    let probe = context.probes.get(plan.name.as_str());
    let now_ms = context.input.now.as_millisecond();
    let latest = probe.and_then(|p| p.partitions.iter().filter_map(|p| p.timestamp_max_ms).max());
    if let Some(ahead_ms) = latest.map(|t| t.saturating_sub(now_ms)).filter(|a| *a > limits::FUTURE_TIMESTAMP_MS) {
        let seen = format!("a record is dated {} ahead of this host's clock", duration(ahead_ms.unsigned_abs() / 1000));
        found.push(Finding::new(FindingCode::FutureTimestamps, &plan.name, seen));
    }

    let deletes = topic.config("cleanup.policy").is_none_or(|v| v.contains("delete"));
    let retention_ms = topic.config("retention.ms").and_then(|v| v.parse::<i64>().ok()).filter(|v| *v >= 0);
    let wanted_ms = i64::try_from(estimate.seed_seconds.saturating_mul(1000 * limits::RETENTION_SEED_FACTOR)).unwrap_or(i64::MAX).max(limits::RETENTION_MIN_MS);
    if let (true, Some(retention_ms)) = (deletes, retention_ms.filter(|r| *r < wanted_ms)) {
        let seen = format!(
            "records are kept for {}, the seed is estimated at {}; what expires before it is copied is left out on both sides, and counted",
            duration(retention_ms.unsigned_abs() / 1000),
            duration(estimate.seed_seconds)
        );
        found.push(Finding::new(FindingCode::ShortRetention, &plan.name, seen));
    }

    let dear: Vec<String> = plan
        .partitions
        .iter()
        .filter(|p| p.prefix_fillers > limits::PREFIX_FILLERS_MAX)
        .map(|p| format!("partition {} begins at offset {} (about {} of fillers)", p.partition, p.log_start, duration(p.prefix_fillers.unsigned_abs() / limits::PREFIX_FILLERS_PER_SECOND)))
        .collect();
    if !dear.is_empty() {
        found.push(Finding::new(FindingCode::PrefixTooDear, &plan.name, format!("{}; the limit is {}", names(&dear), limits::PREFIX_FILLERS_MAX)));
    }

    let request_max = context.input.target.as_ref().and_then(|t| t.broker_configs.get("socket.request.max.bytes")?.parse::<i64>().ok());
    let allowed = topic.config("max.message.bytes").and_then(|v| v.parse::<i64>().ok());
    let (Some(request_max), Some(allowed)) = (request_max, allowed) else { return };
    if allowed > request_max - limits::MESSAGE_HEADROOM_BYTES {
        let largest = probe.and_then(|p| p.partitions.iter().map(|p| p.batch_bytes_max).max()).unwrap_or(0);
        let seen = format!("max.message.bytes is {allowed}, the target's socket.request.max.bytes {request_max}; the largest batch seen has {largest} bytes");
        found.push(Finding::new(FindingCode::RequestSize, &plan.name, seen));
    }
}

/// What concerns all topics together.
fn totals(context: &Context, topics: &[TopicPlan], estimate: &Estimate, found: &mut Vec<Finding>) {
    let prefixed: Vec<&str> = topics.iter().filter(|t| t.partitions.iter().any(|p| p.prefix_fillers > 0)).map(|t| t.name.as_str()).collect();
    if !prefixed.is_empty() {
        let seen = format!(
            "{} offsets in {}, about {} on one connection: {}",
            grouped(estimate.prefix_fillers),
            count(prefixed.len(), "topic"),
            duration(estimate.prefix_fillers.unsigned_abs().div_ceil(limits::PREFIX_FILLERS_PER_SECOND)),
            names(&prefixed)
        );
        found.push(Finding::new(FindingCode::PrefixCost, "", seen));
    }
    let default_max = context.settings.as_ref().and_then(|s| s.defaults.get("max.message.bytes")?.as_deref()?.parse::<i64>().ok());
    let own_max = |t: &TopicPlan| context.input.source.topic(&t.name)?.config("max.message.bytes")?.parse::<i64>().ok();
    let large: Vec<String> = topics
        .iter()
        .filter_map(|t| Some((t, own_max(t)?)))
        .filter(|(_, own)| default_max.is_some_and(|d| *own > d))
        .map(|(t, own)| format!("{} {own}", t.name))
        .collect();
    if let (Some(default_max), false) = (default_max, large.is_empty()) {
        found.push(Finding::new(FindingCode::MessageSize, "", format!("the target's default is {default_max} bytes: {}", names(&large))));
    }
    if topics.iter().any(|t| t.source_topic_id.is_none()) {
        let without = topics.iter().filter(|t| t.source_topic_id.is_none()).count();
        found.push(Finding::new(FindingCode::TopicIdsMissing, "", format!("{} without an id", count(without, "topic"))));
    }
    let replicated: i64 = topics
        .iter()
        .map(|t| t.partitions.iter().filter_map(|p| p.size_bytes).sum::<i64>().saturating_mul(i64::from(t.replication_factor)))
        .fold(0, i64::saturating_add);
    let fillers: i64 = topics
        .iter()
        .map(|t| t.partitions.iter().map(|p| p.prefix_fillers).sum::<i64>().saturating_mul(i64::from(t.replication_factor)))
        .fold(0, i64::saturating_add);
    let mut seen = format!("{} with all replicas", bytes(replicated));
    let filler_bytes = (fillers / 1000).saturating_mul(limits::PREFIX_FILLER_MILLIBYTES);
    if filler_bytes > 0 {
        seen.push_str(&format!(", and for a while at most {} of prefix fillers", bytes(filler_bytes)));
    }
    found.push(Finding::new(FindingCode::DiskRoom, "", seen));
}
