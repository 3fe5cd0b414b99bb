//! Two small clusters and a configuration, for tests of what is made from a plan.

use super::*;
use crate::config::model::*;
use crate::domain::acl::{AclBinding, DriftPolicy, Operation, PatternType, Permission, ResourceType};
use crate::domain::msk::{MskCluster, MskConfiguration, MskKind};
use crate::domain::topology::*;

pub(crate) fn config() -> Config {
    let cluster = |servers: &str| ClusterConfig::at(vec![servers.to_owned()], Auth::plaintext());
    let store = |prefix: &str| StoreConfig::S3 {
        bucket: "migration".to_owned(),
        prefix: prefix.to_owned(),
        region: None,
        endpoint_url: None,
        kms_key_arn: None,
    };
    Config {
        migration_id: None,
        source: cluster("source-1:9092"),
        target: cluster("target-1:9092"),
        topics: Selection::default(),
        groups: Selection::default(),
        backup: store("segments/"),
        evidence: EvidenceConfig {
            store: store("evidence/"),
            retention_days: 2555,
            object_lock: false,
            signing_key_path: Some("kferry.key".into()),
            observation_hold_ms: 0,
        },
        seed: SeedConfig { max_concurrent_partitions: 16, segment_max_bytes: 64 << 20, memory_max_bytes: 512 << 20, rate_limit: None },
        cutover: CutoverConfig {
            drain_timeout_ms: 1_800_000,
            drain_max_partition_lag: 100,
            drain_stable_window_ms: 30_000,
            freeze_settle_window_ms: 500,
            max_producer_freeze_ms: 60_000,
            freeze: FreezeMode::Manual,
            producer_freeze_webhook: None,
            sentinel: crate::config::model::SentinelMode::Invisible,
        },
        validation: ValidationConfig { count_tolerance: 0, spot_check_records_per_partition: 3 },
        on_config_drift: DriftPolicy::Merge,
        on_acl_drift: DriftPolicy::Merge,
        source_principal: None,
        target_principal: None,
        on_quota_drift: DriftPolicy::Merge,
        scram_secrets: ScramSecrets::List,
        offsets: OffsetsConfig { mode: OffsetsMode::Auto, identical: vec![], mapped: vec![] },
        replication_factor: None,
        cost: CostConfig {
            region: None,
            segments_kept_days: 90,
            until_cutover_ms: 7 * 86_400_000,
            soak_ms: 7 * 86_400_000,
            source_broker_type: None,
            target_broker_type: None,
            prices: BTreeMap::new(),
        },
    }
}

fn setting(value: &str, source: ConfigSource) -> ConfigValue {
    ConfigValue { value: Some(value.to_owned()), source }
}

/// Kafka's defaults for a topic, as `version` lists them.
pub(crate) fn defaults(version: (u32, u32)) -> BTreeMap<String, String> {
    let mut all = vec![
        ("cleanup.policy", "delete"),
        ("compression.type", "producer"),
        ("follower.replication.throttled.replicas", ""),
        ("leader.replication.throttled.replicas", ""),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.after.max.ms", if version >= (4, 0) { "3600000" } else { "9223372036854775807" }),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.type", "CreateTime"),
        ("min.insync.replicas", "1"),
        ("remote.storage.enable", "false"),
        ("retention.bytes", "-1"),
        ("retention.ms", "604800000"),
        ("segment.bytes", "1073741824"),
        ("segment.ms", "604800000"),
        ("unclean.leader.election.enable", "false"),
    ];
    if version < (4, 0) {
        all.extend([
            ("message.downconversion.enable", "true"),
            ("message.format.version", "3.0-IV1"),
            ("message.timestamp.difference.max.ms", "9223372036854775807"),
        ]);
    }
    all.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// A healthy topic with these logs (start and end per partition, 100 bytes per record) and these settings of its own.
pub(crate) fn topic(name: &str, version: (u32, u32), replicas: i32, logs: &[(i64, i64)], own: &[(&str, &str)]) -> TopicSnapshot {
    let mut configs: BTreeMap<String, ConfigValue> =
        defaults(version).into_iter().map(|(k, v)| (k, ConfigValue { value: Some(v), source: ConfigSource::Default })).collect();
    configs.extend(own.iter().map(|(k, v)| ((*k).to_owned(), setting(v, ConfigSource::Topic))));
    let partition = |(i, (start, end)): (usize, &(i64, i64))| PartitionSnapshot {
        partition: i as i32,
        leader: Some(1),
        leader_epoch: 0,
        replicas: (1..=replicas).collect(),
        in_sync: (1..=replicas).collect(),
        log_start: Some(*start),
        log_end: Some(*end),
        size_bytes: Some((end - start) * 100),
    };
    TopicSnapshot {
        name: name.to_owned(),
        topic_id: Some(format!("id-of-{name}")),
        internal: false,
        partitions: logs.iter().enumerate().map(partition).collect(),
        configs,
    }
}

pub(crate) fn group(group_id: &str, members: usize, offsets: &[(&str, i32, i64)]) -> GroupSnapshot {
    GroupSnapshot {
        group_id: group_id.to_owned(),
        state: if members > 0 { "Stable" } else { "Empty" }.to_owned(),
        group_type: "classic".to_owned(),
        protocol_type: "consumer".to_owned(),
        members,
        static_members: 0,
        offsets: offsets
            .iter()
            .map(|(topic, partition, next_offset)| CommittedOffset { topic: (*topic).to_owned(), partition: *partition, next_offset: *next_offset, metadata: None })
            .collect(),
    }
}

pub(crate) fn binding(principal: &str, topic: &str, operation: Operation) -> AclBinding {
    AclBinding {
        resource_type: ResourceType::Topic,
        resource_name: topic.to_owned(),
        pattern_type: PatternType::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation,
        permission: Permission::Allow,
    }
}

/// Three Standard brokers of 100 GiB each, reached by IAM.
pub(crate) fn msk(name: &str, metadata_mode: MetadataMode) -> MskCluster {
    MskCluster {
        arn: format!("arn:aws:kafka:eu-west-1:123456789012:cluster/{name}/abcd1234-0123-abcd-5678-1234abcd-1"),
        name: name.to_owned(),
        kind: MskKind::Standard,
        state: "ACTIVE".to_owned(),
        state_reason: None,
        kafka_version: Some(if metadata_mode == MetadataMode::Kraft { "3.9.x.kraft" } else { "3.9.x" }.to_owned()),
        metadata_mode,
        brokers: Some(3),
        instance_type: Some("kafka.m7g.large".to_owned()),
        zones: Some(3),
        volume_gib: Some(100),
        tiered_storage: false,
        public_access: false,
        open_monitoring: false,
        configuration: Some(MskConfiguration {
            arn: format!("arn:aws:kafka:eu-west-1:123456789012:configuration/{name}/abcd1234-0123-abcd-5678-1234abcd-1"),
            revision: 2,
            server_properties: BTreeMap::from([("num.partitions".to_owned(), "3".to_owned())]),
        }),
        offered: vec!["private: iam".to_owned()],
        bootstrap_servers: vec![format!("b-1.{name}.abc123.c2.kafka.eu-west-1.amazonaws.com:9098")],
        scram_secrets: Some(Vec::new()),
        not_read: Vec::new(),
    }
}

fn brokers(cluster: &str) -> Vec<Broker> {
    (1..=3).map(|id| Broker { id, host: format!("{cluster}-{id}"), port: 9092, rack: None }).collect()
}

/// A 3.9 cluster in ZooKeeper mode: three plain topics, one of Kafka's own, three groups, three bindings.
pub(crate) fn source() -> ClusterSnapshot {
    let own = [("retention.ms", "86400000"), ("segment.bytes", "65536"), ("message.format.version", "2.8-IV1"), ("leader.replication.throttled.replicas", "0:1")];
    let mut offsets = topic("__consumer_offsets", (3, 9), 3, &[(0, 40)], &[("cleanup.policy", "compact")]);
    offsets.internal = true;
    ClusterSnapshot {
        cluster_id: "source-cluster-id".to_owned(),
        metadata_mode: MetadataMode::ZooKeeper,
        version: "3.9".to_owned(),
        brokers: brokers("source"),
        topics: vec![
            topic("payments", (3, 9), 3, &[(137, 941), (0, 500)], &own),
            topic("orders", (3, 9), 3, &[(0, 1_000_000), (0, 2_000_000), (0, 0)], &[]),
            offsets,
            topic("scratch.tmp", (3, 9), 1, &[(0, 5)], &[]),
        ],
        acls: Some(vec![
            binding("User:reader", "orders", Operation::Read),
            binding("User:writer", "orders", Operation::Write),
            binding("User:admin", "payments", Operation::All),
        ]),
        groups: vec![
            group("billing", 2, &[("orders", 0, 999_000), ("orders", 1, 2_000_000), ("scratch.tmp", 0, 5)]),
            group("audit", 0, &[("payments", 0, 137)]),
            GroupSnapshot { group_type: "share".to_owned(), ..group("queue", 0, &[]) },
        ],
        broker_configs: BTreeMap::from([("message.max.bytes".to_owned(), "1048588".to_owned())]),
        quotas: Some(Vec::new()),
        scram_users: Some(Vec::new()),
    }
}

/// An empty 4.1 cluster in KRaft mode with an authorizer.
pub(crate) fn target() -> ClusterSnapshot {
    ClusterSnapshot {
        cluster_id: "target-cluster-id".to_owned(),
        metadata_mode: MetadataMode::Kraft,
        version: "4.1".to_owned(),
        brokers: brokers("target"),
        topics: Vec::new(),
        acls: Some(Vec::new()),
        groups: Vec::new(),
        broker_configs: BTreeMap::new(),
        quotas: Some(Vec::new()),
        scram_users: Some(Vec::new()),
    }
}

/// The first 200 offsets.
fn sampled(p: &PartitionSnapshot) -> std::ops::Range<i64> {
    let start = p.log_start.unwrap_or_default();
    start..start + 200
}

fn plain(topic: &TopicSnapshot) -> TopicProbe {
    let partitions = topic
        .partitions
        .iter()
        .map(|p| PartitionProbe {
            partition: p.partition,
            batches: u64::from(p.log_end > p.log_start),
            magic_min: Some(2),
            timestamp_max_ms: Some(1_750_000_000_000),
            batch_bytes_max: 16_384,
            samples: (p.log_end > p.log_start).then(|| Sample { range: sampled(p), counts: Counts::default() }).into_iter().collect(),
            ..PartitionProbe::default()
        })
        .collect();
    TopicProbe { topic: topic.name.clone(), partitions }
}

pub(crate) fn probes(source: &ClusterSnapshot) -> Vec<TopicProbe> {
    source.topics.iter().map(plain).collect()
}

/// All logs were looked at.
fn sampling() -> Sampling {
    Sampling { partitions: 5, partitions_with_records: 5, places: 40, bytes: 2_621_440, elapsed_ms: 120, bytes_max: 268_435_456, elapsed_ms_max: 60_000, cut_short: false }
}

/// Everything in order: nothing that blocks.
pub(crate) fn input<'a>(config: &'a Config, probes: &'a [TopicProbe]) -> PlanInput<'a> {
    let store = |location: &str| Some(StoreProbe { location: location.to_owned(), ..StoreProbe::default() });
    PlanInput {
        config,
        source: source(),
        other_topics: Vec::new(),
        other_groups: Vec::new(),
        source_health: Some(HealthProbe::default()),
        target: Some(target()),
        source_msk: None,
        target_msk: None,
        target_health: Some(HealthProbe::default()),
        target_error: None,
        witnesses: Vec::new(),
        target_defaults: Some(defaults((4, 1))),
        probes,
        source_bytes_per_second: None,
        clients: Some(Clients::default()),
        written: Some(Written { records: 1_500, bytes: 150_000, unsized_records: 0, window_ms: 1_500 }),
        sampling: Some(sampling()),
        write_txn_markers: Some(true),
        target_operations: None,
        open_transactions: Ok(Vec::new()),
        backup_store: store("s3://migration/segments/"),
        evidence_store: store("s3://migration/evidence/"),
        signing_key: SigningKey::Usable,
        now: "2026-11-21T10:00:00Z".parse().expect("a fixed time"),
        migration_id: None,
    }
}

/// The plan of the two clusters as they are, with `*.tmp` excluded.
pub(crate) fn plan() -> Plan {
    let mut config = config();
    config.topics.exclude = vec!["*.tmp".to_owned()];
    let probes = probes(&source());
    build(input(&config, &probes))
}
