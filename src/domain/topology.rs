//! What a cluster says of itself: brokers, topics, configurations, ACLs, groups.

use super::acl::AclBinding;
use super::quota::Quota;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What stands for a setting that is set and not shown: brokers hide the values of settings that they do not know the type
/// of, among them the authorizer's. Source: `ConfigHelper`, `KafkaConfig.maybeSensitive`.
pub const HIDDEN: &str = "(not shown by the broker)";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MetadataMode {
    ZooKeeper,
    Kraft,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
}

/// Where a topic's configuration value comes from. Source: DescribeConfigs v1+, `config_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConfigSource {
    /// Set on the topic itself.
    Topic,
    /// From a broker, set dynamically or in its file.
    Broker,
    Default,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigValue {
    pub value: Option<String>,
    pub source: ConfigSource,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartitionSnapshot {
    pub partition: i32,
    /// None while the partition has no leader.
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
    /// None where it could not be read.
    pub log_start: Option<i64>,
    /// High watermark.
    pub log_end: Option<i64>,
    /// Size of the leader's replica on disk (DescribeLogDirs); None where it could not be read.
    pub size_bytes: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TopicSnapshot {
    pub name: String,
    /// Base64url as Kafka's tools print it; None from brokers that have no topic ids.
    pub topic_id: Option<String>,
    pub internal: bool,
    pub partitions: Vec<PartitionSnapshot>,
    /// Effective configuration: every key that the broker lists.
    pub configs: BTreeMap<String, ConfigValue>,
}

impl TopicSnapshot {
    /// The effective value of a configuration key.
    pub fn config(&self, key: &str) -> Option<&str> {
        self.configs.get(key)?.value.as_deref()
    }

    pub fn replication_factor(&self) -> i16 {
        self.partitions.iter().map(|p| p.replicas.len()).max().unwrap_or(1) as i16
    }
}

/// A group's committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CommittedOffset {
    pub topic: String,
    pub partition: i32,
    /// The offset of the next record that the group reads.
    pub next_offset: i64,
    pub metadata: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupSnapshot {
    pub group_id: String,
    /// As the broker says it: `Empty`, `Stable`, `Dead` …
    pub state: String,
    /// `classic`, `consumer` (KIP-848), `share` …
    pub group_type: String,
    pub protocol_type: String,
    pub members: usize,
    pub static_members: usize,
    pub offsets: Vec<CommittedOffset>,
}

impl GroupSnapshot {
    /// Why offsets are not committed for a group of this type from outside; None where they are.
    pub fn uncommittable(&self) -> Option<String> {
        match self.group_type.to_ascii_lowercase().as_str() {
            // Brokers from before KIP-848 name no type: theirs are classic.
            "" | "classic" | "consumer" => None,
            // KIP-932.
            "share" => Some("share groups keep their place per record, not as committed offsets".to_owned()),
            // KIP-1071. Measured on 4.1.1: the application ends with GROUP_ID_NOT_FOUND, "is not a streams group".
            "streams" => Some("a commit would make a classic group of this name, which an application of the streams protocol may not join on brokers of 4.1".to_owned()),
            other => Some(format!("groups of type `{other}` are not known to this version")),
        }
    }
}

/// One cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClusterSnapshot {
    pub cluster_id: String,
    pub metadata_mode: MetadataMode,
    /// Derived from the API versions that the brokers offer, for example `3.9` or `4.1`; `unknown` where it cannot be told.
    pub version: String,
    pub brokers: Vec<Broker>,
    pub topics: Vec<TopicSnapshot>,
    /// None where the cluster has no authorizer.
    pub acls: Option<Vec<AclBinding>>,
    pub groups: Vec<GroupSnapshot>,
    /// Settings of the brokers that matter here, by name, from the lowest broker id.
    pub broker_configs: BTreeMap<String, String>,
    /// None where they could not be read, or the brokers have no such request (before 2.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Vec<Quota>>,
    /// None where they could not be read, or the brokers have no such request (before 2.7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scram_users: Option<Vec<ScramUser>>,
}

/// A SCRAM credential that a cluster holds: everything of it but the secret, which no broker gives away. Source: KIP-554.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScramUser {
    pub user: String,
    /// `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    pub iterations: i32,
}

impl ClusterSnapshot {
    pub fn topic(&self, name: &str) -> Option<&TopicSnapshot> {
        self.topics.iter().find(|t| t.name == name)
    }
}
