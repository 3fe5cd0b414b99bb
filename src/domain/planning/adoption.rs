//! Topics that the target has already: adopted where they are empty.

use super::report::{count, names};
use super::Context;
use crate::domain::acl::DriftPolicy;
use crate::domain::config_diff::same_value;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::topology::{ConfigSource, ConfigValue, TopicSnapshot};
use std::collections::{BTreeMap, BTreeSet};

/// Decides about a topic that the target has already: changes `configs` as the drift policy says and returns where the
/// target differs, among the settings that stand on either topic itself.
pub(super) fn adopt(
    context: &Context,
    topic: &TopicSnapshot,
    existing: &TopicSnapshot,
    configs: &mut BTreeMap<String, String>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, ConfigValue> {
    let policy = context.input.config.on_config_drift;
    let mut refused = Vec::new();
    emptiness(existing, &mut refused, findings);
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

/// Says of the first partition that is not certainly empty from offset 0 on why it is not.
fn emptiness(existing: &TopicSnapshot, refused: &mut Vec<String>, findings: &mut Vec<Finding>) {
    for p in &existing.partitions {
        match (p.log_start, p.log_end) {
            (Some(0), Some(0)) => {}
            (Some(start), Some(end)) if start == end => {
                let seen = format!("partition {} is empty, but its log goes on at offset {end}, so that the offsets below cannot be had", p.partition);
                findings.push(Finding::new(FindingCode::TopicHoldsRecords, &existing.name, seen));
                break;
            }
            (Some(start), Some(end)) => {
                let seen = format!("partition {} holds offsets {start}..{end} on the target", p.partition);
                findings.push(Finding::new(FindingCode::TopicHoldsRecords, &existing.name, seen));
                break;
            }
            _ => {
                refused.push(format!("it cannot be told whether partition {} is empty", p.partition));
                break;
            }
        }
    }
}
