//! What stands out about the content of the planned topics: what is not plain, too large, too short-lived or dear.

use super::markers;
use super::offsets_mode;
use super::report::{bytes, count, duration, grouped, names};
use super::{Context, PartitionProbe};
use crate::domain::append_limit;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::limits;
use crate::domain::plan::{Estimate, TopicPlan};
use crate::domain::topology::TopicSnapshot;
use crate::domain::transaction::OpenTransaction;

/// What stands out about the planned topics' content.
pub(super) fn findings(context: &Context, topics: &[TopicPlan], estimate: &Estimate) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(offsets_mode::findings(&context.input.config.offsets, topics));
    let mut not_sampled = Vec::new();
    let (mut sampled_partitions, mut filled_partitions, mut unreadable_samples) = (0, 0, Vec::new());
    for plan in topics {
        let Some(topic) = context.input.source.topic(&plan.name) else { continue };
        unreadable(topic, &mut found);
        not_plain(context, plan, topic, &mut found);
        open_transactions(context, &plan.name, &mut found);
        sizes_and_times(context, plan, topic, estimate, &mut found);
        let probes = context.probes.get(plan.name.as_str()).map_or(&[][..], |p| &p.partitions);
        let filled = plan.partitions.iter().filter(|p| p.log_end > p.log_start).count();
        let sampled = probes.iter().filter(|p| p.batches > 0).count();
        filled_partitions += filled;
        sampled_partitions += sampled.min(filled);
        unreadable_samples.extend(probes.iter().filter_map(|p| Some(format!("{}-{}: {}", plan.name, p.partition, p.error.as_ref()?))));
        if filled > 0 && sampled == 0 {
            not_sampled.push(plan.name.as_str());
        }
    }
    if filled_partitions > 0 {
        let seen = format!(
            "batches between the samples: the logs were sampled in {sampled_partitions} of {filled_partitions} partitions with records, and the copy stops at what is not plain"
        );
        found.push(Finding::new(FindingCode::NotProbed, "", seen));
    }
    if !unreadable_samples.is_empty() {
        found.push(Finding::new(FindingCode::NotProbed, "", format!("samples that could not be read: {}", names(&unreadable_samples))));
    }
    let emptied: Vec<&str> = topics.iter().filter(|t| emptied(t)).map(|t| t.name.as_str()).collect();
    if !emptied.is_empty() {
        let seen = format!(
            "what will be written to {} that held records once, now with nothing to sample (it may be transactional, as in repartition topics, which Kafka Streams purges): {}",
            count(emptied.len(), "topic"),
            names(&emptied)
        );
        found.push(Finding::new(FindingCode::NotProbed, "", seen));
    }
    if let Err(error) = &context.input.open_transactions {
        found.push(Finding::new(FindingCode::NotProbed, "", format!("open transactions: {error}")));
    }
    if !not_sampled.is_empty() {
        let seen = format!("no batch could be sampled of {} with records: {}", count(not_sampled.len(), "topic"), names(&not_sampled));
        found.push(Finding::new(FindingCode::NotProbed, "", seen));
    }
    totals(context, topics, estimate, &mut found);
    found
}

/// Whether nothing is left of what a topic's logs held.
fn emptied(plan: &TopicPlan) -> bool {
    plan.partitions.iter().all(|p| p.log_start == p.log_end) && plan.partitions.iter().any(|p| p.log_end > 0)
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
fn not_plain(context: &Context, plan: &TopicPlan, topic: &TopicSnapshot, found: &mut Vec<Finding>) {
    let probe = context.probes.get(topic.name.as_str());
    let partitions = |wanted: &dyn Fn(&PartitionProbe) -> bool| -> Vec<String> {
        probe.into_iter().flat_map(|p| &p.partitions).filter(|p| wanted(p)).map(|p| p.partition.to_string()).collect()
    };
    let mut add = |code: FindingCode, seen: Vec<String>| {
        if !seen.is_empty() {
            found.push(Finding::new(code, &topic.name, seen.join("; ")));
        }
    };
    let in_partitions = |list: Vec<String>, what: &str| (!list.is_empty()).then(|| format!("{what} in partitions {}", names(&list)));

    let transactional = in_partitions(partitions(&|p| p.transactional), "transactional records");
    let cost = |needed: i64| (needed > 0).then(|| markers::words_of(plan));
    add(FindingCode::Transactional, transactional.map(|seen| [Some(seen), cost(plan.markers_estimated)].into_iter().flatten().collect()).unwrap_or_default());

    // A marker without data, such as the sentinel of an earlier attempt, is copied by itself.
    let control = in_partitions(partitions(&|p| p.control && !p.transactional), "control records without transactional data near them");
    add(FindingCode::ControlRecords, control.into_iter().collect());

    let compact = topic.config("cleanup.policy").filter(|v| v.contains("compact")).map(|v| format!("cleanup.policy={v}"));
    let holes = in_partitions(partitions(&|p| p.hole), "traces of compaction");
    let compacted: Vec<String> = compact.into_iter().chain(holes).collect();
    let cost = cost(plan.holes_estimated).filter(|_| !compacted.is_empty());
    add(FindingCode::Compacted, compacted.into_iter().chain(cost).collect());
    add(FindingCode::HolesTooDear, markers::too_dear(plan, context.input.write_txn_markers).into_iter().collect());

    let append_time = topic.config("message.timestamp.type").filter(|v| *v == "LogAppendTime").map(|v| format!("message.timestamp.type={v}"));
    let stamped = in_partitions(partitions(&|p| p.log_append_time), "batches with append times");
    add(FindingCode::LogAppendTime, append_time.into_iter().chain(stamped).collect());

    let formats: std::collections::BTreeSet<i8> = probe.into_iter().flat_map(|p| &p.partitions).filter_map(|p| p.magic_min.filter(|m| *m < 2)).collect();
    let formats: Vec<String> = formats.iter().map(|magic| format!("v{magic}")).collect();
    let what = format!("message sets of format {} among the samples of {} at offsets from {} on:", formats.join(" and "), count(plan.partitions.len(), "partition"), plan.partitions.iter().map(|p| p.log_start).min().unwrap_or(0));
    add(FindingCode::OldFormat, in_partitions(partitions(&|p| p.magic_min.is_some_and(|m| m < 2)), &what).into_iter().collect());

    let tiered = is_tiered(topic).then(|| {
        format!("remote.storage.enable=true; {} are on the brokers' own disks and counted in this plan's sizes and times, what is in remote storage is in none of them", bytes(plan.size_bytes()))
    });
    add(FindingCode::TieredStorage, tiered.into_iter().collect());
}

/// The transactions that are open on a topic, each with whom it belongs to; what would end those that hang.
fn open_transactions(context: &Context, topic: &str, found: &mut Vec<Finding>) {
    let Ok(all) = &context.input.open_transactions else { return };
    let open: Vec<OpenTransaction> = all.iter().filter_map(|t| t.on_topic(topic)).collect();
    if open.is_empty() {
        return;
    }
    let now_ms = context.input.now.as_millisecond();
    let seen: Vec<String> = open.iter().map(|t| t.describe(now_ms)).collect();
    let mut finding = Finding::new(FindingCode::OpenTransactions, topic, names(&seen));
    let servers = context.input.config.source.bootstrap_servers.join(",");
    let remedies: Vec<String> = open.iter().filter(|t| t.hangs(now_ms)).map(|t| t.remedy(now_ms, &servers)).collect();
    if !remedies.is_empty() {
        finding.remedy = names(&remedies);
    }
    found.push(finding);
}

fn sizes_and_times(context: &Context, plan: &TopicPlan, topic: &TopicSnapshot, estimate: &Estimate, found: &mut Vec<Finding>) {
    let probe = context.probes.get(plan.name.as_str());
    let now_ms = context.input.now.as_millisecond();
    let latest = probe.and_then(|p| p.partitions.iter().filter_map(|p| p.timestamp_max_ms).max());
    if let Some(ahead_ms) = latest.map(|t| t.saturating_sub(now_ms)).filter(|a| *a > limits::FUTURE_TIMESTAMP_MS) {
        let seen = format!("a record is dated {} ahead of this host's clock", duration(ahead_ms.unsigned_abs() / 1000));
        found.push(Finding::new(FindingCode::FutureTimestamps, &plan.name, seen));
    }

    let mut short = Vec::new();
    let deletes = topic.config("cleanup.policy").is_none_or(|v| v.contains("delete"));
    let retention_ms = topic.config("retention.ms").and_then(|v| v.parse::<i64>().ok()).filter(|v| *v >= 0);
    let wanted_ms = i64::try_from(estimate.seed_seconds.saturating_mul(1000 * limits::RETENTION_SEED_FACTOR)).unwrap_or(i64::MAX).max(limits::RETENTION_MIN_MS);
    if let (true, Some(retention_ms)) = (deletes, retention_ms.filter(|r| *r < wanted_ms)) {
        short.push(format!("records are kept for {}, the seed is estimated at {}", duration(retention_ms.unsigned_abs() / 1000), duration(estimate.seed_seconds)));
    }
    short.extend(short_by_size(plan, topic, estimate).filter(|_| deletes));
    if !short.is_empty() {
        let seen = format!("{}; what expires before it is copied is left out on both sides, and counted", short.join("; "));
        found.push(Finding::new(FindingCode::ShortRetention, &plan.name, seen));
    }

    found.extend(offsets_mode::too_long_a_prefix(plan).map(|seen| Finding::new(FindingCode::PrefixTooDear, &plan.name, seen)));

    let Some(target) = &context.input.target else { return };
    let request_max = append_limit::request_bytes_max(&target.broker_configs);
    let batch_max = append_limit::batch_bytes_max(&plan.overrides, request_max);
    let limits = format!("the target takes batches of up to {batch_max} bytes while kferry copies (socket.request.max.bytes={request_max})");
    let probes = || probe.into_iter().flat_map(|p| &p.partitions);
    let too_large: Vec<String> = probes()
        .filter_map(|p| Some((p.partition, p.record_bytes_max?)))
        .filter(|(_, (_, bytes))| *bytes > batch_max)
        .map(|(partition, (offset, bytes))| format!("the record at offset {offset} of partition {partition} takes {bytes} bytes"))
        .collect();
    if !too_large.is_empty() {
        found.push(Finding::new(FindingCode::RecordSize, &plan.name, format!("{}; {limits}", names(&too_large))));
    }
    let largest = probes().map(|p| p.batch_bytes_max).max().unwrap_or(0);
    let allowed = topic.config("max.message.bytes").and_then(|v| v.parse::<i64>().ok()).unwrap_or(0);
    // A topic whose segments are hardly larger than its batches is nothing to tell by itself.
    if allowed > append_limit::by_request(request_max) || largest > batch_max {
        let seen = format!("max.message.bytes is {allowed}, the largest batch seen has {largest} bytes; {limits}: larger ones go in several parts, at the same offsets");
        found.push(Finding::new(FindingCode::RequestSize, &plan.name, seen));
    }
}

/// Where a partition is as large as `retention.bytes` lets it be, or will be during the seed: from then on each write pushes out the oldest records.
///
/// How fast a single partition grows was not observed: each is taken to grow as its share of all bytes.
fn short_by_size(plan: &TopicPlan, topic: &TopicSnapshot, estimate: &Estimate) -> Option<String> {
    let most = topic.config("retention.bytes").and_then(|v| v.parse::<i64>().ok()).filter(|v| *v >= 0)?;
    let written = estimate.written.map_or(0, |written| written.bytes_per_second());
    let grown = i128::from(written) * i128::from(estimate.seed_seconds.saturating_mul(limits::RETENTION_SEED_FACTOR));
    let in_the_end = |size: i64| i128::from(size) + grown * i128::from(size) / i128::from(estimate.size_bytes.max(1));
    let full: Vec<(i32, i64)> = plan.partitions.iter().filter_map(|p| Some((p.partition, p.size_bytes?))).filter(|(_, size)| *size > 0 && in_the_end(*size) >= i128::from(most)).collect();
    let (partition, largest) = full.iter().copied().max_by_key(|(_, size)| *size)?;
    let others = if full.len() > 1 { format!(", and {} alike", count(full.len() - 1, "partition")) } else { String::new() };
    Some(format!("partition {partition} holds {} of the {} that retention.bytes lets it keep{others}", bytes(largest), bytes(most)))
}

/// Whether a topic's history may lie in remote storage, which no size tells (KIP-405).
pub(super) fn is_tiered(topic: &TopicSnapshot) -> bool {
    topic.config("remote.storage.enable") == Some("true")
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
    if let Some(seen) = markers::missing_right(&estimate.markers) {
        found.push(Finding::new(FindingCode::WriteTxnMarkersForbidden, "target", seen));
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
}

/// What the target has to hold at the end, with all replicas.
///
/// **Units**: bytes.
pub(super) fn needed_bytes(topics: &[TopicPlan]) -> i64 {
    replicated_bytes(topics).saturating_add(control_bytes(topics))
}

/// What the topics have on disk, times their replicas on the target.
///
/// **Units**: bytes.
pub(in crate::domain) fn replicated_bytes(topics: &[TopicPlan]) -> i64 {
    let of = |t: &TopicPlan| t.size_bytes().saturating_mul(i64::from(t.replication_factor));
    topics.iter().map(of).fold(0, i64::saturating_add)
}

/// Of the control records at offsets without a record.
pub(super) fn control_bytes(topics: &[TopicPlan]) -> i64 {
    let holes = topics.iter().map(|t| t.holes_estimated.saturating_mul(i64::from(t.replication_factor))).fold(0, i64::saturating_add);
    holes.saturating_mul(limits::CONTROL_RECORD_BYTES)
}
