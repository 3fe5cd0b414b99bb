//! Sample values for tests: a small plan, and every fact and effect once.

use super::state::State;
use super::fact::{CopyCounts, CutoverReport, Effect, Fact, FrozenPartition, GroupOutcome, LateRange, MappedPartition, PartitionCheckpoint, TakenPartition};
use crate::domain::acl::{AclBinding, AclDiff, Operation, PatternType, Permission, ResourceType};
use crate::domain::digest::Digest;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::{Estimate, GroupPlan, OffsetMode, PLAN_VERSION, PartitionPlan, Plan, TopicAction, TopicPlan};
use crate::domain::quota::{QuotaChange, QuotaEntity, QuotaPart, QuotaValue};
use crate::domain::topology::{
    Broker, ClusterSnapshot, CommittedOffset, ConfigSource, ConfigValue, GroupSnapshot, MetadataMode, PartitionSnapshot, TopicSnapshot,
};
use crate::evidence::merkle::Frontier;
use crate::journal::Entry;
use crate::license::{Grant, GrantKind};
use crate::validation::report::{CheckResult, Outcome, ValidationReport};

pub fn partition(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

pub fn binding(operation: Operation) -> AclBinding {
    AclBinding {
        resource_type: ResourceType::Topic,
        resource_name: "orders".into(),
        pattern_type: PatternType::Literal,
        principal: "User:shop".into(),
        host: "*".into(),
        operation,
        permission: Permission::Allow,
    }
}

pub fn cluster(cluster_id: &str, metadata_mode: MetadataMode) -> ClusterSnapshot {
    let partition = |partition| PartitionSnapshot {
        partition,
        leader: Some(1),
        leader_epoch: 0,
        replicas: vec![1],
        in_sync: vec![1],
        log_start: Some(10),
        log_end: Some(20),
        size_bytes: Some(1000),
    };
    ClusterSnapshot {
        cluster_id: cluster_id.into(),
        metadata_mode,
        version: "3.9".into(),
        brokers: vec![Broker { id: 1, host: "broker-1".into(), port: 9092, rack: None }],
        topics: vec![TopicSnapshot {
            name: "orders".into(),
            topic_id: Some("sDMvLnJKQvm4xdOnPoLnLQ".into()),
            internal: false,
            partitions: vec![partition(0), partition(1)],
            configs: [("retention.ms".to_owned(), ConfigValue { value: Some("604800000".into()), source: ConfigSource::Topic })].into(),
        }],
        acls: Some(vec![binding(Operation::Read), binding(Operation::Write)]),
        groups: vec![GroupSnapshot {
            group_id: "shop".into(),
            state: "Empty".into(),
            group_type: "classic".into(),
            protocol_type: "consumer".into(),
            members: 0,
            static_members: 0,
            offsets: vec![CommittedOffset { topic: "orders".into(), partition: 0, next_offset: 15, metadata: Some("m".into()) }],
        }],
        broker_configs: [("log.retention.ms".to_owned(), "-1".to_owned())].into(),
        quotas: None,
        scram_users: None,
    }
}

/// A plan of one topic with two partitions, `10..20` each.
pub fn plan() -> Plan {
    let partition = |partition| PartitionPlan { partition, log_start: 10, log_end: 20, prefix_fillers: 10, markers_estimated: 0, holes_estimated: 0, runs_estimated: 0, size_bytes: Some(1000) };
    Plan {
        version: PLAN_VERSION,
        migration_id: "m-0123456789".into(),
        created_at: "2026-01-02T03:04:05.678Z".into(),
        kferry_version: "0.1.0".into(),
        source: cluster("source-cluster", MetadataMode::ZooKeeper),
        target: Some(ClusterSnapshot { topics: vec![], groups: vec![], acls: Some(vec![]), ..cluster("target-cluster", MetadataMode::Kraft) }),
        topics: vec![TopicPlan {
            name: "orders".into(),
            source_topic_id: Some("sDMvLnJKQvm4xdOnPoLnLQ".into()),
            action: TopicAction::Create,
            mode: OffsetMode::Identical,
            mode_reason: "plain topic".into(),
            markers_estimated: 0,
            holes_estimated: 0,
            runs_estimated: 0,
            sampled_offsets: 0,
            replication_factor: 1,
            source_replication_factor: 1,
            partitions: vec![partition(0), partition(1)],
            configs: [("retention.ms".to_owned(), "604800000".to_owned())].into(),
            unknown_configs: [("message.format.version".to_owned(), "3.0-IV1".to_owned())].into(),
            left_out_configs: Default::default(),
            overrides: [("retention.ms".to_owned(), "-1".to_owned())].into(),
            drift: Default::default(),
        }],
        acls: Some(AclDiff {
            create: vec![binding(Operation::Read)],
            withheld: vec![binding(Operation::Write)],
            ..Default::default()
        }),
        quotas: None,
        source_msk: None,
        target_msk: None,
        scram_secrets: Vec::new(),
        permissions: Vec::new(),
        groups: vec![
            GroupPlan { group_id: "shop".into(), group_type: "classic".into(), state: "Empty".into(), members: 0, partitions: 1, left_alone: String::new(), not_carried: Vec::new() },
            GroupPlan { group_id: "share".into(), group_type: "share".into(), state: "Empty".into(), members: 0, partitions: 0, left_alone: "a share group".into(), not_carried: Vec::new() },
        ],
        estimate: Estimate { partitions: 2, records_max: 20, size_bytes: 2000, prefix_fillers: 20, markers: Default::default(), seed_seconds: 1, basis: "100 MB/s".into(), ..Estimate::default() },
        left_out: Vec::new(),
        findings: vec![Finding::new(FindingCode::MetadataModes, "", "source zookeeper, target kraft")],
        source_changes: vec!["sentinels: one control record per partition, at the cutover".into()],
    }
}

pub fn planned() -> Fact {
    planned_with(plan())
}

pub fn planned_with(plan: Plan) -> Fact {
    Fact::MigrationPlanned { plan_sha256: plan.sha256().to_string(), plan: Box::new(plan), config_sha256: "c0".repeat(32), config: serde_json::json!({ "topics": { "include": ["*"], "exclude": [] } }) }
}

pub fn grant() -> Grant {
    Grant {
        kind: GrantKind::Trial,
        license_id: String::new(),
        licensee: String::new(),
        feature: "migrations:msk-kraft".into(),
        granted_at: "2026-01-02T03:04:05.678Z".into(),
        expires_at: "2026-01-16T03:04:05.678Z".into(),
    }
}

/// One leaf per offset from 10 on.
fn tree(next_offset: i64) -> Frontier {
    let mut tree = Frontier::default();
    (10..next_offset).for_each(|offset| tree.push([offset as u8; 32]));
    tree
}

pub fn checkpoint(partition_number: i32, next_offset: i64) -> PartitionCheckpoint {
    PartitionCheckpoint {
        partition: partition(partition_number),
        take: 1,
        source_log_start: 10,
        next_offset,
        verified_offset: next_offset,
        source_tree: tree(next_offset),
        target_tree: tree(next_offset),
        stored_offset: next_offset,
        counts: CopyCounts { records: (next_offset - 10) as u64, bytes: 1000, source_batches: 2, target_batches: 2, filler_records: 10, segments: 1, segment_bytes: 1000, ..Default::default() },
    }
}

pub fn frozen() -> Vec<FrozenPartition> {
    [0, 1].map(|p| FrozenPartition { partition: partition(p), frozen_end: 20, log_start: 10 }).into()
}

pub fn cutover_report() -> CutoverReport {
    CutoverReport {
        attempt: 1,
        mode: "manual".into(),
        frozen_at: "2026-01-02T04:00:00.000Z".into(),
        committed_at: "2026-01-02T04:00:05.000Z".into(),
        freeze_ms: 5000,
        sentinel_producer_id: 4711,
        partitions: frozen(),
        groups: vec![
            GroupOutcome {
                group_id: "shop".into(),
                offsets: vec![CommittedOffset { topic: "orders".into(), partition: 0, next_offset: 15, metadata: None }],
                left_alone: String::new(),
            },
            GroupOutcome { group_id: "share".into(), offsets: vec![], left_alone: "a share group".into() },
        ],
        groups_with_members_on_source: vec![],
    }
}

pub fn validation_report() -> ValidationReport {
    let checks: Vec<_> = ["topic_parity", "counts_and_offsets", "spot_check_records", "sentinel_presence", "consumer_group_reconciliation"]
        .map(|check| CheckResult { check: check.into(), outcome: Outcome::Passed, reason: "2 of 2 agree".into(), compared: 2, differing: 0, details: vec![] })
        .into();
    ValidationReport { validated_at: "2026-01-02T05:00:00.000Z".into(), outcome: ValidationReport::worst(&checks), checks, not_covered: vec!["tiered segments".into()] }
}

pub fn quota_change() -> QuotaChange {
    let limits = |value: Option<f64>| [("producer_byte_rate".to_owned(), value.map(QuotaValue::new))].into();
    let entity = QuotaEntity::new(vec![QuotaPart { kind: "user".into(), name: Some("shop".into()) }, QuotaPart { kind: "client-id".into(), name: None }]);
    QuotaChange { entity, values: limits(Some(1048576.0)), before: limits(None) }
}

pub fn scram_secret() -> String {
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_shop-AbCdEf".into()
}

/// Every effect once.
pub fn effects() -> Vec<Effect> {
    vec![
        Effect::CreateTopic { topic: "orders".into(), partitions: 2, replication_factor: 1, configs: [("retention.ms".to_owned(), "-1".to_owned())].into() },
        Effect::RecreateTopic { topic: "orders".into(), reason: "quarantined".into() },
        Effect::DeleteTopic { topic: "orders".into() },
        Effect::SetTopicConfigs {
            topic: "orders".into(),
            configs: [("retention.ms".to_owned(), Some("-1".to_owned())), ("cleanup.policy".to_owned(), None)].into(),
            before: [("retention.ms".to_owned(), None), ("cleanup.policy".to_owned(), Some("compact".to_owned()))].into(),
        },
        Effect::CreateAcls { bindings: vec![binding(Operation::Read)] },
        Effect::DeleteAcls { bindings: vec![binding(Operation::Read)] },
        Effect::SetQuotas { changes: vec![quota_change()] },
        Effect::AssociateScramSecret { secret_arn: scram_secret() },
        Effect::DisassociateScramSecret { secret_arn: scram_secret() },
        Effect::FreezeProducers { attempt: 1, mode: "manual".into(), expires_at: "2026-01-02T04:01:00.000Z".into() },
        Effect::ThawProducers { attempt: 1, reason: "deadline".into() },
        Effect::WriteSentinels { attempt: 1, transactional_id: "kferry-m-1".into(), partitions: 2 },
        Effect::CommitGroupOffsets { attempt: 1, groups: 1 },
        Effect::NotifyCommitted { attempt: 1 },
        Effect::UploadBundle { key: "evidence/m.dsse.json".into() },
    ]
}

/// Every fact once, in no particular order but for the first.
pub fn facts() -> Vec<Fact> {
    let mut facts = vec![
        planned(),
        Fact::GrantRecorded { grant: grant() },
        Fact::PrecheckStarted,
        Fact::PrecheckCompleted { blockers: 0, warnings: 1, informations: 2 },
        Fact::TopologyCopyStarted,
        Fact::TopologyCopied { topics: 1, bindings: 1 },
        Fact::SeedStarted { attempt: 1 },
        Fact::SeedCompleted { records: 20, bytes: 2000, elapsed_ms: 10 },
        Fact::TailStarted,
        Fact::DrainReadyReached { lag_records: 0 },
        Fact::DrainReadyLost { lag_records: 1000 },
        Fact::PartitionsTaken { producer_id: 17, partitions: vec![TakenPartition { partition: partition(0), take: 1, next_offset: 10 }] },
        Fact::ProducerRenewed { partition: partition(0), producer_id: 18 },
        Fact::OffsetsMapped { partitions: vec![MappedPartition { partition: partition(1), marks: "ZAAKBQ".into() }] },
        Fact::CopyCheckpointed { partitions: vec![checkpoint(0, 20), checkpoint(1, 20)] },
        Fact::PartitionQuarantined { partition: partition(1), code: "KF-COPY-QUARANTINED".into(), seen: "base offset 12 instead of 11".into() },
        Fact::CutoverStarted { attempt: 1, left_behind: vec![] },
        Fact::ProducersFrozen { attempt: 1, expires_at: "2026-01-02T04:01:00.000Z".into() },
        Fact::FreezeProven { attempt: 1, settle_ms: 500, producers_seen: 0 },
        Fact::SentinelsWritten { attempt: 1, producer_id: 4711, partitions: frozen() },
        Fact::Drained { attempt: 1 },
        Fact::GroupOffsetsCommitted { attempt: 1, groups: 1, left_alone: 1 },
        Fact::CutoverAbandoned { attempt: 1, code: "KF-FREEZE-DEADLINE".into(), seen: "60 s are over".into(), thawed: true },
        Fact::CutoverCommitted { report: Box::new(cutover_report()) },
        Fact::TargetReleased { topics: 1, bindings: 1 },
        Fact::LateWritesAccepted { partitions: vec![LateRange { partition: partition(1), topic_id: None, from: 21, next_offset: 24 }] },
        Fact::ClientSwitchAcknowledged { late_records: 0 },
        Fact::Validated { report: Box::new(validation_report()) },
        Fact::BundleStored { key: "evidence/m.dsse.json".into(), version_id: Some("v1".into()), sha256: "ab".repeat(32), key_id: "cd".repeat(32) },
        Fact::Finalized { outcome: "PASSED".into() },
        Fact::RolledBack { topics_deleted: 1, bindings_deleted: 1 },
        Fact::AttemptFailed { code: "KF-TARGET-UNAVAILABLE".into(), seen: "no broker answers".into(), remedy: "bring one up".into() },
        Fact::Interrupted { signal: "SIGINT".into() },
        Fact::ClusterObserved { cluster: "target".into(), snapshot: Box::new(cluster("target-cluster", MetadataMode::Kraft)) },
    ];
    for (id, effect) in effects().into_iter().enumerate() {
        let id = id as u64 + 1;
        facts.push(Fact::EffectIntended { id, effect });
        facts.push(Fact::EffectCompleted { id, outcome: "done".into() });
    }
    let id = effects().len() as u64 + 1;
    facts.push(Fact::EffectIntended { id, effect: Effect::AssociateScramSecret { secret_arn: scram_secret() } });
    facts.push(Fact::EffectRefused { id, seen: "InvalidSecret".into() });
    facts
}

/// The way of a migration without trouble, as (state, facts journaled in it, the last of which leaves it).
pub fn way() -> Vec<(State, Vec<Fact>)> {
    use State::*;
    let effect = |id, effect| [Fact::EffectIntended { id, effect }, Fact::EffectCompleted { id, outcome: String::new() }];
    let mut effects = effects();
    effects.truncate(1);
    vec![
        (Planned, vec![Fact::GrantRecorded { grant: grant() }, Fact::PrecheckStarted]),
        (Precheck, vec![Fact::PrecheckCompleted { blockers: 0, warnings: 1, informations: 2 }, Fact::TopologyCopyStarted]),
        (TopologyCopy, [effect(1, effects.remove(0)).to_vec(), vec![Fact::TopologyCopied { topics: 1, bindings: 0 }, Fact::SeedStarted { attempt: 1 }]].concat()),
        (
            Seed,
            vec![
                Fact::PartitionsTaken { producer_id: 17, partitions: vec![TakenPartition { partition: partition(0), take: 1, next_offset: 10 }] },
                Fact::CopyCheckpointed { partitions: vec![checkpoint(0, 15), checkpoint(1, 12)] },
                Fact::SeedCompleted { records: 7, bytes: 700, elapsed_ms: 10 },
                Fact::TailStarted,
            ],
        ),
        (Tail, vec![Fact::CopyCheckpointed { partitions: vec![checkpoint(0, 20)] }, Fact::DrainReadyReached { lag_records: 0 }]),
        (DrainReady, vec![Fact::CutoverStarted { attempt: 1, left_behind: vec![] }]),
        (
            Cutover,
            vec![
                Fact::ProducersFrozen { attempt: 1, expires_at: "later".into() },
                Fact::FreezeProven { attempt: 1, settle_ms: 500, producers_seen: 0 },
                Fact::SentinelsWritten { attempt: 1, producer_id: 4711, partitions: frozen() },
                Fact::Drained { attempt: 1 },
                Fact::CopyCheckpointed { partitions: vec![checkpoint(0, 21), checkpoint(1, 21)] },
                Fact::GroupOffsetsCommitted { attempt: 1, groups: 1, left_alone: 1 },
                Fact::CutoverCommitted { report: Box::new(cutover_report()) },
            ],
        ),
        (AwaitingClientSwitch, vec![Fact::TargetReleased { topics: 1, bindings: 1 }, Fact::ClientSwitchAcknowledged { late_records: 3 }]),
        (Validating, vec![Fact::Validated { report: Box::new(validation_report()) }, Fact::Finalized { outcome: "PASSED".into() }]),
        (Finalized, vec![Fact::BundleStored { key: "k".into(), version_id: None, sha256: "s".into(), key_id: "i".into() }]),
    ]
}

/// The facts of a whole migration, finalized.
pub fn journey() -> Vec<Fact> {
    std::iter::once(planned()).chain(way().into_iter().flat_map(|(_, facts)| facts)).collect()
}

/// The entries that `facts` make, a second apart.
pub fn entries(facts: impl IntoIterator<Item = Fact>) -> Vec<Entry> {
    let (mut seq, mut prev) = (0, Digest::ZERO);
    let entry = |fact| {
        seq += 1;
        let at = jiff::Timestamp::from_second(1_767_323_045 + seq as i64).unwrap();
        let entry = Entry::seal(seq, at, prev, &fact).unwrap();
        prev = entry.hash;
        entry
    };
    facts.into_iter().map(entry).collect()
}

#[test]
fn every_fact_is_among_the_samples() {
    // A new variant does not compile here until it is named; then the count below asks for its sample.
    let number = |fact: &Fact| match fact {
        Fact::MigrationPlanned { .. } => 0,
        Fact::GrantRecorded { .. } => 1,
        Fact::PrecheckStarted => 2,
        Fact::PrecheckCompleted { .. } => 3,
        Fact::TopologyCopyStarted => 4,
        Fact::TopologyCopied { .. } => 5,
        Fact::SeedStarted { .. } => 6,
        Fact::SeedCompleted { .. } => 7,
        Fact::TailStarted => 8,
        Fact::DrainReadyReached { .. } => 9,
        Fact::DrainReadyLost { .. } => 10,
        Fact::PartitionsTaken { .. } => 11,
        Fact::CopyCheckpointed { .. } => 12,
        Fact::PartitionQuarantined { .. } => 13,
        Fact::CutoverStarted { .. } => 14,
        Fact::ProducersFrozen { .. } => 15,
        Fact::FreezeProven { .. } => 16,
        Fact::SentinelsWritten { .. } => 17,
        Fact::Drained { .. } => 18,
        Fact::GroupOffsetsCommitted { .. } => 19,
        Fact::CutoverAbandoned { .. } => 20,
        Fact::CutoverCommitted { .. } => 21,
        Fact::TargetReleased { .. } => 22,
        Fact::ClientSwitchAcknowledged { .. } => 23,
        Fact::Validated { .. } => 24,
        Fact::BundleStored { .. } => 25,
        Fact::Finalized { .. } => 26,
        Fact::RolledBack { .. } => 27,
        Fact::EffectIntended { .. } => 28,
        Fact::EffectCompleted { .. } => 29,
        Fact::AttemptFailed { .. } => 30,
        Fact::Interrupted { .. } => 31,
        Fact::ClusterObserved { .. } => 32,
        Fact::ProducerRenewed { .. } => 33,
        Fact::LateWritesAccepted { .. } => 34,
        Fact::OffsetsMapped { .. } => 35,
        Fact::EffectRefused { .. } => 36,
    };
    let numbers: std::collections::BTreeSet<i32> = facts().iter().map(number).collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), (0..=36).collect::<Vec<_>>());
}

#[test]
fn every_fact_survives_its_json() {
    for fact in facts() {
        let text = serde_json::to_string(&fact).unwrap();
        let read: Fact = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(read, fact);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(!fact.name().is_empty());
    }
}
