//! Brokers' settings that differ between the clusters: what new topics get, and what clients are allowed.

use super::Context;
use crate::domain::config_diff::same_value;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::topology::{ClusterSnapshot, HIDDEN};

/// What a topic gets that says nothing itself, and whether it comes into being by itself.
const DEFAULTS: [&str; 13] = [
    "auto.create.topics.enable",
    "compression.type",
    "default.replication.factor",
    "log.cleanup.policy",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.hours",
    "log.retention.minutes",
    "log.retention.ms",
    "message.max.bytes",
    "min.insync.replicas",
    "num.partitions",
];

/// The same, where a difference may lose records.
const UNCLEAN: &str = "unclean.leader.election.enable";

/// Bounds of clients, which side is the narrow one, and what comes of it.
const LIMITS: [(&str, Narrow, &str); 7] = [
    ("group.max.session.timeout.ms", Narrow::Lower, "a consumer with a longer session.timeout.ms is refused"),
    ("group.max.size", Narrow::Lower, "members beyond it are refused"),
    ("group.min.session.timeout.ms", Narrow::Higher, "a consumer with a shorter session.timeout.ms is refused"),
    ("offset.metadata.max.bytes", Narrow::Lower, "a commit with longer metadata is refused"),
    ("offsets.retention.minutes", Narrow::Lower, "a group that stands still loses its offsets sooner"),
    ("transaction.max.timeout.ms", Narrow::Lower, "a producer with a longer transaction.timeout.ms is refused"),
    ("transactional.id.expiration.ms", Narrow::Lower, "a transactional id that rests is forgotten sooner"),
];

#[derive(Clone, Copy)]
enum Narrow {
    Lower,
    Higher,
}

pub(super) fn findings(context: &Context) -> Vec<Finding> {
    let source = &context.input.source;
    let Some(target) = &context.input.target else { return Vec::new() };
    let mut found = Vec::new();
    let defaults: Vec<String> = DEFAULTS
        .iter()
        .chain([&UNCLEAN])
        .filter_map(|key| {
            let (source, target) = both(source, target, key)?;
            (!same_value(key, source, target)).then(|| format!("{key} is {source} on the source, {target} on the target"))
        })
        .collect();
    if !defaults.is_empty() {
        found.push(Finding::new(FindingCode::BrokerDefaults, "target", defaults.join("; ")));
    }
    let limits: Vec<String> = LIMITS
        .iter()
        .filter_map(|(key, narrow, consequence)| {
            let (source, target) = both(source, target, key)?;
            let (from, to) = (source.parse::<i64>().ok()?, target.parse::<i64>().ok()?);
            let narrower = match narrow {
                Narrow::Lower => to < from,
                Narrow::Higher => to > from,
            };
            narrower.then(|| format!("{key} is {from} on the source, {to} on the target: {consequence}"))
        })
        .collect();
    if !limits.is_empty() {
        found.push(Finding::new(FindingCode::ClientLimits, "target", limits.join("; ")));
    }
    found
}

/// What both clusters show.
fn both<'a>(source: &'a ClusterSnapshot, target: &'a ClusterSnapshot, key: &str) -> Option<(&'a str, &'a str)> {
    let shown = |c: &'a ClusterSnapshot| c.broker_configs.get(key).map(String::as_str).filter(|v| *v != HIDDEN);
    Some((shown(source)?, shown(target)?))
}
