//! What changed on the source since the plan was made.

use crate::domain::config_diff::same_value;
use crate::domain::finding::Severity;
use crate::domain::plan::Plan;
use super::report::names;
use crate::domain::quota::{Quota, QuotaEntity, QuotaValue};
use crate::domain::topology::{ClusterSnapshot, ConfigSource, ScramUser, TopicSnapshot};
use crate::error::Code;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One change on the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// The snapshot is of another cluster.
    ClusterChanged { planned: String, seen: String },
    /// A planned topic no longer exists.
    TopicDeleted { topic: String },
    /// A planned topic was deleted and created again: its id differs or, without ids, it has fewer partitions.
    TopicRecreated { topic: String, planned: String, seen: String },
    /// The copy does not know these partitions yet.
    PartitionsAdded { topic: String, planned: usize, seen: usize },
    /// A topic that the plan's snapshot did not hold.
    TopicAdded { topic: String },
    /// Settings that stand on the topic itself differ from the plan's snapshot.
    SettingsChanged { topic: String, keys: Vec<String> },
    /// A high watermark lies below the planned one: for a moment after a change of leader, or for good after an unclean
    /// election. The copy itself tells these apart by leader epochs.
    LogShrunk { topic: String, partition: i32, planned_end: i64, seen_end: i64 },
    /// ACL bindings that came or went on the source: the target has those of the plan.
    AclsChanged { added: Vec<String>, removed: Vec<String> },
    /// Limits that came, went or changed on the source, each as it is now: the target has those of the plan.
    QuotasChanged { limits: Vec<String> },
    /// SCRAM credentials that came or went on the source; kferry cannot carry them over.
    ScramUsersChanged { added: Vec<String>, removed: Vec<String> },
}

impl Drift {
    /// The error that the change amounts to; None where it is a normal event, to be named only.
    pub fn failure(&self) -> Option<Code> {
        match self {
            Drift::ClusterChanged { .. } => Some(Code::JournalForeign),
            Drift::TopicDeleted { .. } | Drift::TopicRecreated { .. } => Some(Code::TopicChanged),
            Drift::PartitionsAdded { .. } | Drift::TopicAdded { .. } | Drift::SettingsChanged { .. } | Drift::LogShrunk { .. } => None,
            Drift::AclsChanged { .. } | Drift::QuotasChanged { .. } | Drift::ScramUsersChanged { .. } => None,
        }
    }

    /// How urgent the change is to whoever reads of it.
    pub fn severity(&self) -> Severity {
        match self {
            _ if self.failure().is_some() => Severity::Blocker,
            Drift::TopicAdded { .. } => Severity::Information,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drift::ClusterChanged { planned, seen } => write!(f, "the source is cluster {seen}, the plan was made for {planned}"),
            Drift::TopicDeleted { topic } => write!(f, "topic {topic} no longer exists on the source"),
            Drift::TopicRecreated { topic, planned, seen } => write!(f, "topic {topic} was created anew on the source: {planned} when planned, {seen} now"),
            Drift::PartitionsAdded { topic, planned, seen } => write!(f, "topic {topic} has {seen} partitions on the source, {planned} when planned: a cutover is refused (KF-SOURCE-GREW)"),
            Drift::TopicAdded { topic } => write!(f, "topic {topic} is new on the source and not in the plan: once it holds records, a cutover is refused (KF-SOURCE-GREW)"),
            Drift::SettingsChanged { topic, keys } => write!(f, "topic {topic} has changed settings on the source: {}", keys.join(", ")),
            Drift::LogShrunk { topic, partition, planned_end, seen_end } => {
                write!(f, "the log of {topic}-{partition} ends at {seen_end} on the source, {planned_end} when planned")
            }
            Drift::AclsChanged { added, removed } => {
                write!(f, "the source's ACLs have changed since the plan, and the target has those of the plan; {}", came_and_went(added, removed))
            }
            Drift::QuotasChanged { limits } => {
                write!(f, "client quotas have changed on the source since the plan, and the target has those of the plan; on the source it is now: {}", names(limits))
            }
            Drift::ScramUsersChanged { added, removed } => {
                write!(f, "the source's SCRAM users have changed since the plan: see to them on the target yourself; {}", came_and_went(added, removed))
            }
        }
    }
}

fn came_and_went(added: &[String], removed: &[String]) -> String {
    let of = |what: &str, rows: &[String]| (!rows.is_empty()).then(|| format!("{what}: {}", names(rows)));
    [of("new", added), of("gone", removed)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Compares the plan with the source as it is now; failures come first, then by topic.
///
/// What the source did not tell, at the plan or now, is not compared.
pub fn reconcile(plan: &Plan, now_source: &ClusterSnapshot) -> Vec<Drift> {
    if plan.source.cluster_id != now_source.cluster_id {
        return vec![Drift::ClusterChanged { planned: plan.source.cluster_id.clone(), seen: now_source.cluster_id.clone() }];
    }
    let mut drifts = Vec::new();
    for topic in &plan.topics {
        let name = &topic.name;
        let Some(now) = now_source.topic(name) else {
            drifts.push(Drift::TopicDeleted { topic: name.clone() });
            continue;
        };
        let (planned, seen) = (topic.partitions.len(), now.partitions.len());
        match (&topic.source_topic_id, &now.topic_id) {
            (Some(a), Some(b)) if a != b => {
                drifts.push(Drift::TopicRecreated { topic: name.clone(), planned: format!("id {a}"), seen: format!("id {b}") });
                continue;
            }
            _ if seen < planned => {
                drifts.push(Drift::TopicRecreated { topic: name.clone(), planned: format!("{planned} partitions"), seen: format!("{seen} partitions") });
                continue;
            }
            _ if seen > planned => drifts.push(Drift::PartitionsAdded { topic: name.clone(), planned, seen }),
            _ => {}
        }
        for p in &topic.partitions {
            let seen_end = now.partitions.iter().find(|n| n.partition == p.partition).and_then(|n| n.log_end);
            if let Some(seen_end) = seen_end.filter(|end| *end < p.log_end) {
                drifts.push(Drift::LogShrunk { topic: name.clone(), partition: p.partition, planned_end: p.log_end, seen_end });
            }
        }
        if let Some(before) = plan.source.topic(name) {
            let keys = changed_settings(before, now);
            if !keys.is_empty() {
                drifts.push(Drift::SettingsChanged { topic: name.clone(), keys });
            }
        }
    }
    let known: BTreeSet<&str> = plan.source.topics.iter().map(|t| t.name.as_str()).collect();
    let added = now_source.topics.iter().filter(|t| !t.internal && !known.contains(t.name.as_str()));
    drifts.extend(added.map(|t| Drift::TopicAdded { topic: t.name.clone() }));
    drifts.extend(changed_access(plan, now_source));
    drifts.sort_by_key(|d| std::cmp::Reverse(d.severity()));
    drifts
}

/// ACLs, quotas and SCRAM users, each where both times the source has told them.
fn changed_access(plan: &Plan, now: &ClusterSnapshot) -> Vec<Drift> {
    let before = &plan.source;
    let mut drifts = Vec::new();
    if let (Some(was), Some(is)) = (&before.acls, &now.acls) {
        let (added, removed) = (missing_from(is, was), missing_from(was, is));
        if !(added.is_empty() && removed.is_empty()) {
            drifts.push(Drift::AclsChanged { added, removed });
        }
    }
    if let (Some(was), Some(is)) = (&before.quotas, &now.quotas) {
        let (was, is) = (limits(was), limits(is));
        let keys: BTreeSet<_> = was.keys().chain(is.keys()).collect();
        let changed = keys.into_iter().filter(|key| was.get(key) != is.get(key));
        let limits: Vec<String> = changed.map(|(entity, key)| match is.get(&(*entity, *key)) {
            Some(value) => format!("{key} {value} of {entity}"),
            None => format!("no {key} of {entity}"),
        }).collect();
        if !limits.is_empty() {
            drifts.push(Drift::QuotasChanged { limits });
        }
    }
    if let (Some(was), Some(is)) = (&before.scram_users, &now.scram_users) {
        let named = |users: &[ScramUser]| -> Vec<String> { users.iter().map(|u| format!("{} ({})", u.user, u.mechanism)).collect() };
        let (was, is) = (named(was), named(is));
        let (added, removed) = (missing_from(&is, &was), missing_from(&was, &is));
        if !(added.is_empty() && removed.is_empty()) {
            drifts.push(Drift::ScramUsersChanged { added, removed });
        }
    }
    drifts
}

/// Those of `of` that `from` has not.
fn missing_from<T: Ord + ToString>(of: &[T], from: &[T]) -> Vec<String> {
    let from: BTreeSet<&T> = from.iter().collect();
    of.iter().filter(|row| !from.contains(row)).map(ToString::to_string).collect()
}

fn limits(quotas: &[Quota]) -> BTreeMap<(&QuotaEntity, &String), &QuotaValue> {
    quotas.iter().flat_map(|quota| quota.values.iter().map(move |(key, value)| ((&quota.entity, key), value))).collect()
}

fn changed_settings(before: &TopicSnapshot, now: &TopicSnapshot) -> Vec<String> {
    let keys: BTreeSet<&String> = before.configs.keys().chain(now.configs.keys()).collect();
    let own = |t: &TopicSnapshot, key: &str| t.configs.get(key).filter(|c| c.source == ConfigSource::Topic).and_then(|c| c.value.clone());
    keys.into_iter()
        .filter(|key| match (own(before, key), own(now, key)) {
            (Some(a), Some(b)) => !same_value(key, &a, &b),
            (a, b) => a != b,
        })
        .cloned()
        .collect()
}
