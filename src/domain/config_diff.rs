//! Which of a topic's settings are carried over, which cannot be, and which stand in their place while kferry copies.

use super::limits::{MESSAGE_FLOOR_BYTES, MESSAGE_HEADROOM_BYTES};
use super::topology::{ClusterSnapshot, ConfigSource, TopicSnapshot};
use std::collections::BTreeMap;

const MIN_ISR: &str = "min.insync.replicas";
const BEFORE_MAX: &str = "message.timestamp.before.max.ms";
const AFTER_MAX: &str = "message.timestamp.after.max.ms";
const DIFFERENCE_MAX: &str = "message.timestamp.difference.max.ms";
const REMOTE_STORAGE: &str = "remote.storage.enable";

/// Settings that name the source's own brokers.
const SOURCE_BOUND: [&str; 2] = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];

/// Lower bounds of topic settings by the version that brings them. Source: KIP-1030 (4.0 in force and read from 4.1.1's own
/// definition; the 5.0 ones announced, and not yet in `LogConfig` as it is developed past 4.2, which raises no other bound).
const LOWER_BOUNDS: [(&str, (u32, u32), i64); 4] = [
    ("segment.bytes", (4, 0), 1024 * 1024),
    ("segment.ms", (5, 0), 60_000),
    ("segment.index.bytes", (5, 0), 1024),
    ("max.compaction.lag.ms", (5, 0), 60_000),
];

/// What the target makes of a topic without settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSettings {
    /// Every key that the target knows, with the value that such a topic gets; None where the value cannot be told.
    pub defaults: BTreeMap<String, Option<String>>,
    /// Major and minor version; None where it cannot be told.
    pub version: Option<(u32, u32)>,
    /// Whether its brokers have tiered storage.
    pub tiered: bool,
}

impl TargetSettings {
    /// Reads the settings from `defaults` or, without them, from the topics that the target has already; None where neither tells.
    pub fn of(target: &ClusterSnapshot, defaults: Option<&BTreeMap<String, String>>) -> Option<Self> {
        let defaults: BTreeMap<String, Option<String>> = match defaults {
            Some(given) => given.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect(),
            None => {
                let mut seen: BTreeMap<String, Option<String>> = BTreeMap::new();
                for (key, value) in target.topics.iter().filter(|t| !t.internal).flat_map(|t| &t.configs) {
                    let inherited = (value.source != ConfigSource::Topic).then(|| value.value.clone()).flatten();
                    let known = seen.entry(key.clone()).or_default();
                    *known = known.take().or(inherited);
                }
                seen
            }
        };
        if defaults.is_empty() {
            return None;
        }
        let tiered = target.broker_configs.get("remote.log.storage.system.enable").is_some_and(|v| v == "true");
        Some(Self { defaults, version: parse_version(&target.version), tiered })
    }

    /// Whether the target has a topic setting of this name.
    pub fn knows(&self, key: &str) -> bool {
        self.defaults.contains_key(key)
    }
}

/// A setting that is carried over with another value, because the target refuses its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    pub key: String,
    pub source_value: String,
    pub target_value: String,
    pub reason: String,
}

/// What becomes of one topic's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Set on the target's topic after the commit.
    pub configs: BTreeMap<String, String>,
    /// Unknown to the target.
    pub unknown: BTreeMap<String, String>,
    /// Known, but bound to the source or to something that the target lacks.
    pub left_out: BTreeMap<String, String>,
    pub adjusted: Vec<Adjustment>,
}

/// `3.9` as `(3, 9)`; None for `unknown`.
pub fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next().unwrap_or("0").parse().ok()?))
}

/// Whether two spellings of a setting's value mean the same.
pub fn same_value(key: &str, a: &str, b: &str) -> bool {
    let (a, b) = (a.trim(), b.trim());
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    if key == "cleanup.policy" {
        let sorted = |list: &str| {
            let mut items: Vec<String> = list.split(',').map(|i| i.trim().to_ascii_lowercase()).collect();
            items.sort();
            items
        };
        return sorted(a) == sorted(b);
    }
    // Integers are compared as integers: 64 bits do not fit a floating-point number.
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b),
    }
}

/// Decides about each setting of a source topic. `target` is None where the target cannot be asked: then only what stands
/// on the topic itself is carried, and nothing can be called unknown.
pub fn carry(topic: &TopicSnapshot, replication_factor: i16, target: Option<&TargetSettings>) -> Carried {
    let mut carried = Carried::default();
    for (key, setting) in &topic.configs {
        let Some(value) = &setting.value else { continue };
        let on_topic = setting.source == ConfigSource::Topic;
        let chosen = on_topic || setting.source == ConfigSource::Broker;
        if SOURCE_BOUND.contains(&key.as_str()) {
            if on_topic && !value.is_empty() {
                carried.left_out.insert(key.clone(), value.clone());
            }
            continue;
        }
        let Some(target) = target else {
            if on_topic {
                carried.configs.insert(key.clone(), value.clone());
            }
            continue;
        };
        if key == REMOTE_STORAGE && value == "true" && !target.tiered {
            carried.left_out.insert(key.clone(), value.clone());
            continue;
        }
        match target.defaults.get(key) {
            None if chosen => {
                carried.unknown.insert(key.clone(), value.clone());
            }
            None => {}
            Some(default) => {
                let differs = !default.as_ref().is_some_and(|d| same_value(key, d, value));
                if on_topic || differs {
                    carried.configs.insert(key.clone(), value.clone());
                }
            }
        }
    }
    if let Some(target) = target {
        carry_timestamp_limits(topic, target, &mut carried);
        raise_to_bounds(target, &mut carried);
    }
    fit_min_insync_replicas(topic, replication_factor, &mut carried);
    carried
}

/// Carries the limits on timestamps by what they do, since the keys changed: until 3.9 `message.timestamp.difference.max.ms`
/// stands for each of the two newer keys that is at its default (KIP-937), and brokers before 3.6 have only that one.
fn carry_timestamp_limits(topic: &TopicSnapshot, target: &TargetSettings, carried: &mut Carried) {
    let limit = |key: &str| topic.config(key).and_then(|v| v.parse::<i64>().ok());
    let difference = limit(DIFFERENCE_MAX).unwrap_or(i64::MAX);
    for key in [BEFORE_MAX, AFTER_MAX] {
        let Some(default) = target.defaults.get(key) else { continue };
        let effective = limit(key).filter(|v| *v != i64::MAX).unwrap_or(difference).to_string();
        let on_topic = topic.configs.get(key).is_some_and(|c| c.source == ConfigSource::Topic);
        if on_topic || !default.as_ref().is_some_and(|d| same_value(key, d, &effective)) {
            carried.configs.insert(key.to_owned(), effective);
        } else {
            carried.configs.remove(key);
        }
    }
}

fn lower_bound(key: &str, target: Option<&TargetSettings>) -> Option<i64> {
    let version = target?.version?;
    LOWER_BOUNDS.iter().find(|(k, since, _)| *k == key && version >= *since).map(|(_, _, bound)| *bound)
}

fn raise_to_bounds(target: &TargetSettings, carried: &mut Carried) {
    for (key, value) in &mut carried.configs {
        let Some(bound) = lower_bound(key, Some(target)) else { continue };
        if value.parse::<i64>().is_ok_and(|v| v < bound) {
            let reason = format!("the target takes no less than {bound}");
            carried.adjusted.push(Adjustment { key: key.clone(), source_value: value.clone(), target_value: bound.to_string(), reason });
            *value = bound.to_string();
        }
    }
}

/// Lowers `min.insync.replicas` where only our smaller replication factor makes it unreachable; a topic whose own replicas
/// never sufficed stays as it is.
fn fit_min_insync_replicas(topic: &TopicSnapshot, replication_factor: i16, carried: &mut Carried) {
    let Some(own) = topic.config(MIN_ISR).and_then(|v| v.parse::<i16>().ok()) else { return };
    if own <= replication_factor || own > topic.replication_factor() {
        return;
    }
    carried.configs.insert(MIN_ISR.to_owned(), replication_factor.to_string());
    carried.adjusted.push(Adjustment {
        key: MIN_ISR.to_owned(),
        source_value: own.to_string(),
        target_value: replication_factor.to_string(),
        reason: format!("the topic has {replication_factor} replicas on the target"),
    });
}

/// What stands on the topic while kferry copies. `batch_bytes_max` is the largest batch that was seen, `broker_max_bytes` the
/// largest that the source's brokers take by default. Batches that are encoded anew may come out larger than their producers
/// made them, by other compressors and levels: twice as much is left for them.
pub fn overrides(
    topic: &TopicSnapshot,
    replication_factor: i16,
    batch_bytes_max: i64,
    broker_max_bytes: i64,
    encoded_anew: bool,
    target: Option<&TargetSettings>,
) -> BTreeMap<String, String> {
    let number = |key: &str| topic.config(key).and_then(|v| v.parse::<i64>().ok());
    let largest = number("max.message.bytes").unwrap_or(0).max(batch_bytes_max).max(broker_max_bytes).max(MESSAGE_FLOOR_BYTES);
    let encoded = if encoded_anew { largest.saturating_mul(2) } else { largest };
    let max_message_bytes = encoded.saturating_add(MESSAGE_HEADROOM_BYTES).min(i64::from(i32::MAX));
    let min_isr = number(MIN_ISR).unwrap_or(1).min(i64::from(replication_factor));
    let mut overrides: BTreeMap<String, String> = [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("max.message.bytes", max_message_bytes.to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
        (MIN_ISR, min_isr.to_string()),
        (BEFORE_MAX, i64::MAX.to_string()),
        (AFTER_MAX, i64::MAX.to_string()),
        (DIFFERENCE_MAX, i64::MAX.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    // Segments roll by the records' own timestamps, so with the source's values the target's log is cut as the source's is,
    // and its retention later removes as much at a time.
    for key in ["segment.bytes", "segment.ms"] {
        if let Some(own) = number(key) {
            overrides.insert(key.to_owned(), own.max(lower_bound(key, target).unwrap_or(own)).to_string());
        }
    }
    match target {
        Some(target) => overrides.retain(|key, _| target.knows(key)),
        // A target that cannot be asked is taken for a current one, which no longer has the old key.
        None => {
            overrides.remove(DIFFERENCE_MAX);
        }
    }
    overrides
}

#[cfg(test)]
#[path = "config_diff_tests.rs"]
mod tests;
