//! What the MSK control plane says of one cluster.

use crate::domain::acl::ALLOW_EVERYONE;
use crate::domain::topology::MetadataMode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kinds of clusters that MSK has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MskKind {
    /// Provisioned, of Standard brokers.
    Standard,
    /// Provisioned, of Express brokers.
    Express,
    Serverless,
    /// A kind that came later than this version.
    Unknown,
}

impl MskKind {
    pub fn name(self) -> &'static str {
        match self {
            MskKind::Standard => "provisioned, Standard brokers",
            MskKind::Express => "provisioned, Express brokers",
            MskKind::Serverless => "Serverless",
            MskKind::Unknown => "of a kind that this version does not know",
        }
    }
}

/// Whether work can go on while a cluster is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    Active,
    /// Something is being done to it that passes by itself; it answers meanwhile.
    Busy,
    /// It does not serve clients, or not any more.
    Unusable,
}

/// One MSK cluster as its control plane describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MskCluster {
    pub arn: String,
    pub name: String,
    pub kind: MskKind,
    /// AWS's own word, such as `ACTIVE`.
    pub state: String,
    /// Why it is in that state, where AWS says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// As AWS writes it, such as `3.9.x.kraft`; None for Serverless.
    pub kafka_version: Option<String>,
    pub metadata_mode: MetadataMode,
    pub brokers: Option<i32>,
    /// Such as `kafka.m7g.large`.
    pub instance_type: Option<String>,
    /// Subnets that brokers lie in, one for each Availability Zone.
    pub zones: Option<usize>,
    /// Of each broker; None where storage is not provisioned.
    pub volume_gib: Option<i32>,
    pub tiered_storage: bool,
    pub public_access: bool,
    pub open_monitoring: bool,
    /// None where the brokers go by MSK's defaults, or it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<MskConfiguration>,
    /// The networks and kinds of authentication that it has bootstrap servers for.
    pub offered: Vec<String>,
    /// Those for this migration's network and `auth.mode`.
    pub bootstrap_servers: Vec<String>,
    /// ARNs of the secrets that SCRAM users are kept in, never their values. None: not read, or there can be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scram_secrets: Option<Vec<String>>,
    /// What could not be read, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_read: Vec<String>,
}

/// One revision of an MSK configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MskConfiguration {
    pub arn: String,
    pub revision: i64,
    /// Its `server.properties`.
    pub server_properties: BTreeMap<String, String>,
}

impl MskCluster {
    pub fn availability(&self) -> Availability {
        match self.state.as_str() {
            "ACTIVE" => Availability::Active,
            "UPDATING" | "MAINTENANCE" | "HEALING" | "REBOOTING_BROKER" => Availability::Busy,
            // CREATING, DELETING, FAILED, and what came later than this version.
            _ => Availability::Unusable,
        }
    }

    /// The state, with its reason where there is one.
    pub fn state_in_words(&self) -> String {
        match &self.state_reason {
            Some(reason) => format!("{} ({reason})", self.state),
            None => self.state.clone(),
        }
    }

    /// `allow.everyone.if.no.acl.found`, and where it is from. None where the configuration could not be read.
    ///
    /// **Source**: "Default Amazon MSK configuration" and "Apache Kafka ACLs" in its developer guide: true where nobody sets it.
    pub fn allow_everyone(&self) -> Option<(String, &'static str)> {
        match &self.configuration {
            Some(configuration) => Some(match configuration.server_properties.get(ALLOW_EVERYONE) {
                Some(value) => (value.to_ascii_lowercase(), "by its MSK configuration"),
                None => ("true".to_owned(), "MSK's default, its configuration does not set it"),
            }),
            None if self.not_read.is_empty() => Some(("true".to_owned(), "MSK's default, it has no configuration of its own")),
            None => None,
        }
    }

    /// What all volumes hold together; None where storage is not provisioned.
    pub fn volumes_bytes(&self) -> Option<i64> {
        Some(i64::from(self.volume_gib?).saturating_mul(i64::from(self.brokers?)) << 30)
    }
}

/// Reads `server.properties`: comments and blank lines are passed over, the last of two lines for one key counts.
///
/// **Source**: `java.util.Properties`, without its escapes and continued lines, which MSK refuses.
pub fn server_properties(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let pairs = lines.map(|line| line.split_once(['=', ':']).unwrap_or((line, "")));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// The settings that differ between two configurations, as `key: source's, target's`.
pub fn configuration_differences(source: &MskConfiguration, target: &MskConfiguration) -> Vec<String> {
    let (source, target) = (&source.server_properties, &target.server_properties);
    let keys: std::collections::BTreeSet<&String> = source.keys().chain(target.keys()).collect();
    let value = |of: &BTreeMap<String, String>, key: &String| of.get(key).cloned().unwrap_or_else(|| "not set".to_owned());
    let differing = keys.into_iter().filter(|key| source.get(*key) != target.get(*key));
    differing.map(|key| format!("{key}: {} on the source, {} on the target", value(source, key), value(target, key))).collect()
}

/// The metadata mode, of which the control plane has no field.
///
/// A version with the suffix `.kraft` or of 4 and later, or a controller among the nodes, is KRaft; a connect string is ZooKeeper's.
pub fn metadata_mode(kafka_version: Option<&str>, zookeeper_connect: Option<&str>, has_controllers: Option<bool>) -> MetadataMode {
    let major = kafka_version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if kafka_version.is_some_and(|version| version.ends_with(".kraft")) || major >= Some(4) || has_controllers == Some(true) {
        MetadataMode::Kraft
    } else if zookeeper_connect.is_some_and(|connect| !connect.is_empty()) {
        MetadataMode::ZooKeeper
    } else {
        MetadataMode::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_told_by_version_controllers_or_connect_string() {
        assert_eq!(metadata_mode(Some("3.9.x.kraft"), None, None), MetadataMode::Kraft);
        assert_eq!(metadata_mode(Some("4.1.x"), None, None), MetadataMode::Kraft);
        assert_eq!(metadata_mode(Some("3.9.x"), None, Some(true)), MetadataMode::Kraft);
        assert_eq!(metadata_mode(Some("3.6.0"), Some("z-1:2181"), Some(false)), MetadataMode::ZooKeeper);
        assert_eq!(metadata_mode(Some("3.6.0"), Some(""), None), MetadataMode::Unknown);
        assert_eq!(metadata_mode(None, None, None), MetadataMode::Unknown);
    }

    #[test]
    fn everyone_is_let_at_what_has_no_bindings_unless_the_configuration_says_otherwise() {
        let mut cluster = crate::domain::planning::fixture::msk("shop", MetadataMode::Kraft);
        let value = |cluster: &MskCluster| cluster.allow_everyone().map(|(value, _)| value);
        assert_eq!(value(&cluster).as_deref(), Some("true"), "a configuration that is silent");
        cluster.configuration.as_mut().unwrap().server_properties.insert(ALLOW_EVERYONE.into(), "FALSE".into());
        assert_eq!(value(&cluster).as_deref(), Some("false"));
        cluster.configuration = None;
        assert_eq!(value(&cluster).as_deref(), Some("true"), "by MSK's defaults alone");
        cluster.not_read.push("kafka:DescribeConfigurationRevision is not permitted".into());
        assert_eq!(value(&cluster), None);
    }

    #[test]
    fn properties_are_read_and_compared() {
        let of = |text: &str| MskConfiguration { arn: "a".into(), revision: 1, server_properties: server_properties(text) };
        let source = of("# a comment\nnum.partitions=1\nauto.create.topics.enable = true\n\nlog.retention.hours=168\nnum.partitions=3\r\n");
        assert_eq!(source.server_properties["num.partitions"], "3");
        let target = of("num.partitions=3\nauto.create.topics.enable=false\nmin.insync.replicas=2");
        assert_eq!(
            configuration_differences(&source, &target),
            [
                "auto.create.topics.enable: true on the source, false on the target",
                "log.retention.hours: 168 on the source, not set on the target",
                "min.insync.replicas: not set on the source, 2 on the target",
            ]
        );
        assert_eq!(configuration_differences(&source, &source), Vec::<String>::new());
    }
}
