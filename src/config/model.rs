//! The configuration after defaults, environment and checks. Durations are milliseconds, sizes bytes.

use crate::domain::acl::DriftPolicy;
use crate::domain::cost::prices::{NanoUsd, Price};
use crate::domain::selection::glob_matches;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A value that never shows itself: `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that hands it to a client.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    Plaintext,
    Tls,
    Mtls,
    Plain,
    ScramSha256,
    ScramSha512,
    Iam,
}

impl AuthMode {
    /// The mode as the configuration names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthMode::Plaintext => "plaintext",
            AuthMode::Tls => "tls",
            AuthMode::Mtls => "mtls",
            AuthMode::Plain => "plain",
            AuthMode::ScramSha256 => "scram-sha-256",
            AuthMode::ScramSha512 => "scram-sha-512",
            AuthMode::Iam => "iam",
        }
    }
}

/// Kafka's `security.protocol`: what a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl SecurityProtocol {
    /// The protocol as Kafka names it.
    pub fn as_str(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    pub fn has_tls(self) -> bool {
        matches!(self, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl)
    }
}

/// Who kferry is to a cluster, and how it makes sure of the cluster.
#[derive(Clone, Debug)]
pub struct Auth {
    pub mode: AuthMode,
    pub security_protocol: SecurityProtocol,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The Region that IAM's tokens are signed for; None: the brokers' names tell it, or the environment.
    pub region: Option<String>,
    /// The AWS profile whose credentials sign them, and the calls of the control plane; None: AWS's default chain.
    pub profile: Option<String>,
}

impl Auth {
    /// Neither encryption nor identity: what a listener of Kafka's own defaults speaks.
    pub fn plaintext() -> Self {
        Self {
            mode: AuthMode::Plaintext,
            security_protocol: SecurityProtocol::Plaintext,
            username: None,
            password: None,
            ca: None,
            cert: None,
            key: None,
            region: None,
            profile: None,
        }
    }
}

/// The network by which an MSK cluster is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// The cluster's own VPC.
    #[default]
    Private,
    /// The same by IPv6.
    PrivateIpv6,
    /// The internet, where the cluster's public access is on.
    Public,
    /// MSK's multi-VPC private connectivity.
    VpcConnectivity,
}

impl Network {
    /// The network as the configuration names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Network::Private => "private",
            Network::PrivateIpv6 => "private-ipv6",
            Network::Public => "public",
            Network::VpcConnectivity => "vpc-connectivity",
        }
    }
}

/// What becomes of the secrets that an MSK source's SCRAM users are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScramSecrets {
    /// They are named in the plan.
    #[default]
    List,
    /// They are associated with the target too.
    Associate,
}

impl ScramSecrets {
    pub const fn as_str(self) -> &'static str {
        match self {
            ScramSecrets::List => "list",
            ScramSecrets::Associate => "associate",
        }
    }
}

/// How to reach one cluster: by ARN, or by its bootstrap servers.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    pub cluster_arn: Option<String>,
    /// Those of the configuration; with `cluster_arn` empty until they have been looked up.
    pub bootstrap_servers: Vec<String>,
    /// With `cluster_arn`: which of its bootstrap servers are meant.
    pub network: Network,
    /// With `cluster_arn`: the control plane's address instead of AWS's own.
    pub endpoint_url: Option<String>,
    pub auth: Auth,
}

impl ClusterConfig {
    /// A cluster by its bootstrap servers.
    pub fn at(bootstrap_servers: Vec<String>, auth: Auth) -> Self {
        Self { cluster_arn: None, bootstrap_servers, network: Network::default(), endpoint_url: None, auth }
    }
}

/// Names that a pattern list selects; patterns are globs (`*`, `?`).
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Empty means all.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

/// Where objects lie.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    S3 {
        bucket: String,
        /// Without a leading slash; empty or with a trailing slash.
        prefix: String,
        region: Option<String>,
        endpoint_url: Option<String>,
        kms_key_arn: Option<String>,
    },
    Directory { path: PathBuf },
}

#[derive(Clone, Debug)]
pub struct EvidenceConfig {
    pub store: StoreConfig,
    pub retention_days: u32,
    /// Whether stored bundles get a COMPLIANCE retention (the bucket needs Object Lock).
    pub object_lock: bool,
    pub signing_key_path: Option<PathBuf>,
    /// Time that must pass between the client switch's acknowledgement and `finalize`.
    pub observation_hold_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct SeedConfig {
    pub max_concurrent_partitions: usize,
    pub segment_max_bytes: usize,
    pub memory_max_bytes: usize,
    /// Bytes per second read from the source; None is unlimited.
    pub rate_limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeMode {
    Manual,
    Webhook,
    Acl,
}

/// What marks the cutover's place in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentinelMode {
    /// The control record of an empty transaction; no consumer ever sees it.
    Invisible,
    /// A record that consumers see.
    Visible,
}

#[derive(Clone, Debug)]
pub struct CutoverConfig {
    pub drain_timeout_ms: u64,
    pub drain_max_partition_lag: i64,
    pub drain_stable_window_ms: u64,
    pub freeze_settle_window_ms: u64,
    pub max_producer_freeze_ms: u64,
    pub freeze: FreezeMode,
    pub producer_freeze_webhook: Option<Secret>,
    pub sentinel: SentinelMode,
}

#[derive(Clone, Copy, Debug)]
pub struct ValidationConfig {
    pub count_tolerance: i64,
    pub spot_check_records_per_partition: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetsMode {
    Auto,
    Identical,
    Mapped,
}

impl Config {
    /// kferry's own principal on the source; None where only the brokers know it (certificates, IAM roles).
    pub fn principal_on_source(&self) -> Option<String> {
        self.source_principal.clone().or_else(|| self.source.auth.principal())
    }

    /// The same on the target.
    pub fn principal_on_target(&self) -> Option<String> {
        self.target_principal.clone().or_else(|| self.target.auth.principal())
    }
}

impl Auth {
    /// The principal that Kafka makes of these credentials by itself.
    fn principal(&self) -> Option<String> {
        match self.mode {
            AuthMode::Plaintext | AuthMode::Tls => Some("User:ANONYMOUS".to_owned()),
            AuthMode::Plain | AuthMode::ScramSha256 | AuthMode::ScramSha512 => self.username.as_ref().map(|name| format!("User:{name}")),
            AuthMode::Mtls | AuthMode::Iam => None,
        }
    }
}

/// Whether records keep their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsConfig {
    /// Of topics that no pattern names.
    pub mode: OffsetsMode,
    /// Patterns, as in [`Selection`]; what both name keeps its offsets.
    pub identical: Vec<String>,
    pub mapped: Vec<String>,
}

impl OffsetsConfig {
    /// What is asked for of a topic, and by which pattern.
    pub fn of(&self, topic: &str) -> (OffsetsMode, Option<&str>) {
        let named = |patterns: &'_ [String]| patterns.iter().position(|pattern| glob_matches(pattern, topic));
        match (named(&self.identical), named(&self.mapped)) {
            (Some(at), _) => (OffsetsMode::Identical, Some(&self.identical[at])),
            (None, Some(at)) => (OffsetsMode::Mapped, Some(&self.mapped[at])),
            (None, None) => (self.mode, None),
        }
    }
}

/// What the estimate of costs takes for granted. Nothing of it changes what is migrated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostConfig {
    /// The Region whose prices are meant; None: the clusters' own, where that can be told.
    pub region: Option<String>,
    pub segments_kept_days: u32,
    /// From the target's creation to the cutover.
    pub until_cutover_ms: u64,
    /// From the cutover to the source's end.
    pub soak_ms: u64,
    pub source_broker_type: Option<String>,
    pub target_broker_type: Option<String>,
    /// Own prices; for the others those of the table hold.
    pub prices: BTreeMap<Price, NanoUsd>,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub migration_id: Option<String>,
    pub source: ClusterConfig,
    pub target: ClusterConfig,
    pub topics: Selection,
    pub groups: Selection,
    pub backup: StoreConfig,
    pub evidence: EvidenceConfig,
    pub seed: SeedConfig,
    pub cutover: CutoverConfig,
    pub validation: ValidationConfig,
    pub on_config_drift: DriftPolicy,
    pub on_acl_drift: DriftPolicy,
    /// kferry's own principal as the source's brokers see it, where the credentials do not tell.
    pub source_principal: Option<String>,
    /// The same on the target.
    pub target_principal: Option<String>,
    pub on_quota_drift: DriftPolicy,
    /// `target.scram_secrets`.
    pub scram_secrets: ScramSecrets,
    pub offsets: OffsetsConfig,
    /// None: the source's, capped by the target's brokers.
    pub replication_factor: Option<i16>,
    pub cost: CostConfig,
}
