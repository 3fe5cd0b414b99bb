//! Client quotas as Kafka keeps them (KIP-546): who is limited, in what, and how two clusters' quotas differ.

use super::acl::DriftPolicy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What a quota is for. Source: `ClientQuotaEntity`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct QuotaEntity {
    /// By kind (`user`, `client-id`, `ip`): the name, or None for all that have no quota of their own.
    pub parts: Vec<QuotaPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct QuotaPart {
    pub kind: String,
    /// None: the default of its kind.
    pub name: Option<String>,
}

impl QuotaEntity {
    /// Parts in the order of their kinds, so that two that mean the same are equal.
    pub fn new(mut parts: Vec<QuotaPart>) -> Self {
        parts.sort();
        Self { parts }
    }

    fn part(&self, kind: &str) -> Option<&QuotaPart> {
        self.parts.iter().find(|p| p.kind == kind)
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match &part.name {
                Some(name) => write!(f, "{comma}{} `{name}`", part.kind)?,
                None => write!(f, "{comma}{} (default)", part.kind)?,
            }
        }
        Ok(())
    }
}

/// A limit, in the unit of its key: bytes a second, percent of the request threads, mutations or connections a second.
///
/// It is kept as the shortest decimal number that reads back as the same one, so that plan and journal hold no floating point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct QuotaValue(String);

impl QuotaValue {
    pub fn new(value: f64) -> Self {
        Self(value.to_string())
    }

    /// The number; a journal that was written by hand may hold something else, which is no limit.
    pub fn number(&self) -> f64 {
        self.0.parse().unwrap_or(f64::MAX)
    }
}

impl fmt::Display for QuotaValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Limits of one entity, by Kafka's keys (`producer_byte_rate` …).
pub type QuotaValues = BTreeMap<String, QuotaValue>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Quota {
    pub entity: QuotaEntity,
    pub values: QuotaValues,
}

/// Limits of one entity that are to change: a value, or None for none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaChange {
    pub entity: QuotaEntity,
    pub values: BTreeMap<String, Option<QuotaValue>>,
    /// What stood there before.
    pub before: BTreeMap<String, Option<QuotaValue>>,
}

/// One limit that differs, or that only the target has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct QuotaDrift {
    pub entity: QuotaEntity,
    pub key: String,
    pub source: Option<QuotaValue>,
    pub target: QuotaValue,
}

impl fmt::Display for QuotaDrift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_ref().map_or("not set", |v| v.0.as_str());
        write!(f, "{} of {} is {} on the target, {source} on the source", self.key, self.entity, self.target)
    }
}

/// The difference between the source's quotas and the target's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct QuotaDiff {
    /// Set in TOPOLOGY_COPY.
    pub set: Vec<Quota>,
    /// Set after the commit, because they would slow kferry down.
    pub withheld: Vec<Quota>,
    /// The same on both.
    pub equal: usize,
    pub drift: Vec<QuotaDrift>,
}

impl QuotaDiff {
    /// Compares; `hits_kferry` says which quotas the copier would be held to.
    pub fn between(source: &[Quota], target: &[Quota], hits_kferry: impl Fn(&QuotaEntity) -> bool) -> Self {
        let mut diff = Self::default();
        let of = |quotas: &'_ [Quota], entity: &QuotaEntity, key: &str| quotas.iter().find(|q| q.entity == *entity).and_then(|q| q.values.get(key).cloned());
        for quota in source {
            let mut missing = QuotaValues::new();
            for (key, value) in &quota.values {
                match of(target, &quota.entity, key) {
                    Some(has) if has == *value => diff.equal += 1,
                    has => {
                        missing.insert(key.clone(), value.clone());
                        if let Some(target) = has {
                            diff.drift.push(QuotaDrift { entity: quota.entity.clone(), key: key.clone(), source: Some(value.clone()), target });
                        }
                    }
                }
            }
            if !missing.is_empty() {
                let list = if hits_kferry(&quota.entity) { &mut diff.withheld } else { &mut diff.set };
                list.push(Quota { entity: quota.entity.clone(), values: missing });
            }
        }
        for quota in target {
            for (key, value) in quota.values.iter().filter(|(key, _)| of(source, &quota.entity, key).is_none()) {
                diff.drift.push(QuotaDrift { entity: quota.entity.clone(), key: key.clone(), source: None, target: value.clone() });
            }
        }
        diff
    }

    /// Limits of the target that `policy` removes, since the source has none there.
    pub fn removed(&self, policy: DriftPolicy) -> Vec<(QuotaEntity, String)> {
        match policy {
            DriftPolicy::Replace => self.drift.iter().filter(|d| d.source.is_none()).map(|d| (d.entity.clone(), d.key.clone())).collect(),
            DriftPolicy::Merge | DriftPolicy::Refuse => Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.withheld.is_empty() && self.drift.is_empty()
    }
}

/// A client as brokers look up its quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaClient<'a> {
    /// Without `User:`; None where it is not known, so that any user's quota may be its own.
    pub user: Option<&'a str>,
    pub client_id: &'a str,
}

impl QuotaClient<'_> {
    /// Whether the entity is one of those that brokers look at for this client. Source: `ClientQuotaManager`'s order of
    /// precedence. Which address a broker sees is not known here, so that of the quotas by address only the default's is told.
    pub fn is_held_to(&self, entity: &QuotaEntity) -> bool {
        let matches = |part: &QuotaPart| match (part.kind.as_str(), part.name.as_deref()) {
            ("user", Some(name)) => self.user == Some(name),
            ("client-id", Some(name)) => self.client_id == name,
            ("user" | "client-id" | "ip", None) => true,
            _ => false,
        };
        !entity.parts.is_empty() && entity.parts.iter().all(matches)
    }

    /// The limits that hold for this client among a cluster's quotas: for each key the most specific entity's.
    pub fn limits<'q>(&self, quotas: &'q [Quota]) -> BTreeMap<&'q str, (&'q QuotaEntity, &'q QuotaValue)> {
        let mut limits: BTreeMap<&str, (&QuotaEntity, &QuotaValue)> = BTreeMap::new();
        for quota in quotas.iter().filter(|q| self.is_held_to(&q.entity)) {
            for (key, value) in &quota.values {
                let better = limits.get(key.as_str()).is_none_or(|(has, _)| rank(&quota.entity) < rank(has));
                if better {
                    limits.insert(key, (&quota.entity, value));
                }
            }
        }
        limits
    }
}

/// 0 for what brokers look at first. Source: `ClientQuotaManager.DefaultQuotaCallback`.
fn rank(entity: &QuotaEntity) -> u8 {
    let named = |kind| entity.part(kind).map(|p| p.name.is_some());
    match (named("user"), named("client-id")) {
        (Some(true), Some(true)) => 0,
        (Some(true), Some(false)) => 1,
        (Some(true), None) => 2,
        (Some(false), Some(true)) => 3,
        (Some(false), Some(false)) => 4,
        (Some(false), None) => 5,
        (None, Some(true)) => 6,
        (None, Some(false)) => 7,
        (None, None) => 8,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `user=alice,client-id=` is the user alice with the default of client ids.
    pub(crate) fn quota(entity: &str, values: &[(&str, f64)]) -> Quota {
        let part = |part: &str| {
            let (kind, name) = part.split_once('=').expect("kind=name");
            QuotaPart { kind: kind.to_owned(), name: (!name.is_empty()).then(|| name.to_owned()) }
        };
        Quota { entity: QuotaEntity::new(entity.split(',').map(part).collect()), values: values.iter().map(|(k, v)| ((*k).to_owned(), QuotaValue::new(*v))).collect() }
    }

    #[test]
    fn values_read_back_as_they_were() {
        for value in [0.1, 1048576.0, 50.5, f64::MAX, 1e-300] {
            assert_eq!(QuotaValue::new(value).number(), value);
        }
        assert_eq!(QuotaValue::new(1048576.0).to_string(), "1048576");
    }

    #[test]
    fn what_is_missing_is_set_what_slows_kferry_waits_and_differences_are_drift() {
        let source = [
            quota("user=alice", &[("producer_byte_rate", 100.0), ("consumer_byte_rate", 5.0)]),
            quota("user=", &[("producer_byte_rate", 10.0)]),
            quota("client-id=app", &[("request_percentage", 1.0)]),
        ];
        let target = [quota("user=alice", &[("producer_byte_rate", 100.0), ("consumer_byte_rate", 6.0)]), quota("ip=10.0.0.1", &[("connection_creation_rate", 2.0)])];
        let client = QuotaClient { user: Some("kferry"), client_id: "kferry" };
        let diff = QuotaDiff::between(&source, &target, |e| client.is_held_to(e));
        assert_eq!(diff.set, [quota("user=alice", &[("consumer_byte_rate", 5.0)]), quota("client-id=app", &[("request_percentage", 1.0)])]);
        assert_eq!(diff.withheld, [quota("user=", &[("producer_byte_rate", 10.0)])]);
        assert_eq!(diff.equal, 1);
        let drift: Vec<String> = diff.drift.iter().map(ToString::to_string).collect();
        assert_eq!(
            drift,
            [
                "consumer_byte_rate of user `alice` is 6 on the target, 5 on the source",
                "connection_creation_rate of ip `10.0.0.1` is 2 on the target, not set on the source"
            ]
        );
        assert!(diff.removed(DriftPolicy::Merge).is_empty());
        assert_eq!(diff.removed(DriftPolicy::Replace).len(), 1, "only what the source has not at all");
    }

    #[test]
    fn the_most_specific_limit_holds() {
        let quotas = [
            quota("user=", &[("producer_byte_rate", 1.0)]),
            quota("client-id=kferry", &[("producer_byte_rate", 2.0)]),
            quota("user=kferry,client-id=", &[("producer_byte_rate", 3.0)]),
            quota("user=kferry,client-id=other", &[("producer_byte_rate", 4.0)]),
            quota("user=bob", &[("producer_byte_rate", 5.0)]),
        ];
        let limit = |user: Option<&str>, upto: usize| QuotaClient { user, client_id: "kferry" }.limits(&quotas[..upto]).get("producer_byte_rate").map(|(_, v)| v.number());
        assert_eq!(limit(Some("kferry"), 5), Some(3.0));
        assert_eq!(limit(Some("kferry"), 2), Some(1.0));
        assert_eq!(limit(Some("carol"), 5), Some(1.0));
        assert_eq!(limit(None, 0), None);
        assert!(!QuotaClient { user: None, client_id: "kferry" }.is_held_to(&quota("user=bob", &[]).entity));
    }
}
