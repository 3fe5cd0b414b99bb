use super::fixture::*;
use super::*;
use crate::config::model::{AuthMode, FreezeMode, OffsetsMode, SentinelMode, StoreConfig};
use crate::error::{Code, Error};
use crate::domain::acl::{ALLOW_EVERYONE, DriftPolicy, Operation};
use crate::domain::finding::FindingCode;
use crate::domain::msk::{MskCluster, MskKind};
use crate::domain::acl::{AclBinding, Permission};
use crate::domain::permissions::{Missing, Right};
use crate::domain::plan::{OffsetMode, TopicAction};
use crate::domain::practice::Tie;
use crate::domain::quota::tests::quota;
use crate::domain::store_cause::{StoreCause, StoreFailure};
use crate::domain::topology::{ConfigSource, GroupSnapshot, HIDDEN, MetadataMode, ScramUser, TopicSnapshot};
use crate::domain::transaction::sample;

/// Both clusters by ARN, as the control plane describes them.
fn by_arns(config: &mut Config, input: &mut PlanInput, change: impl FnOnce(&mut MskCluster, &mut MskCluster)) {
    let (mut source, mut target) = (msk("old", MetadataMode::ZooKeeper), msk("new", MetadataMode::Kraft));
    change(&mut source, &mut target);
    (config.source.cluster_arn, config.target.cluster_arn) = (Some(source.arn.clone()), Some(target.arn.clone()));
    (input.source_msk, input.target_msk) = (Some(source), Some(target));
}

/// The fixture's plan after `change`.
fn planned(change: impl FnOnce(&mut Config, &mut PlanInput, &mut Vec<TopicProbe>)) -> Plan {
    let mut probes = probes(&source());
    let mut config = config();
    config.topics.exclude = vec!["*.tmp".to_owned()];
    let base = config.clone();
    let mut changed = input(&base, &[]);
    change(&mut config, &mut changed, &mut probes);
    build(PlanInput {
        config: &config,
        probes: &probes,
        source_bytes_per_second: changed.source_bytes_per_second,
        clients: changed.clients,
        written: changed.written,
        sampling: changed.sampling,
        source: changed.source,
        other_topics: changed.other_topics,
        other_groups: changed.other_groups,
        source_health: changed.source_health,
        target: changed.target,
        target_health: changed.target_health,
        target_error: changed.target_error,
        witnesses: changed.witnesses,
        source_msk: changed.source_msk,
        target_msk: changed.target_msk,
        target_defaults: changed.target_defaults,
        write_txn_markers: changed.write_txn_markers,
        target_operations: changed.target_operations,
        open_transactions: changed.open_transactions,
        backup_store: changed.backup_store,
        evidence_store: changed.evidence_store,
        signing_key: changed.signing_key,
        now: changed.now,
        migration_id: changed.migration_id,
    })
}

fn codes(plan: &Plan) -> Vec<FindingCode> {
    plan.findings.iter().map(|f| f.code).collect()
}

fn store_fails(input: &mut PlanInput, cause: StoreCause) {
    input.evidence_store.as_mut().unwrap().failures.push(StoreFailure { cause, seen: "seen".into() });
}

fn source_topic<'a>(input: &'a mut PlanInput, name: &str) -> &'a mut TopicSnapshot {
    input.source.topics.iter_mut().find(|t| t.name == name).unwrap()
}

/// Puts `topic` on the target, its settings spelt as 4.1 spells them.
fn on_target(input: &mut PlanInput, topic: TopicSnapshot) {
    input.target.as_mut().unwrap().topics.push(topic);
}

#[test]
fn a_healthy_pair_is_planned_without_blockers() {
    let plan = plan();
    assert!(blockers(&plan).is_empty(), "{:?}", blockers(&plan));
    assert_eq!(plan.topics.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["orders", "payments"]);
    assert!(plan.topics.iter().all(|t| t.action == TopicAction::Create && t.replication_factor == 3));
    let left_out: Vec<&str> = plan.left_out.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(left_out, ["__consumer_offsets", "scratch.tmp"]);
    assert_eq!(plan.estimate.partitions, 5);
    assert_eq!(plan.estimate.records_max, 3_000_000 + 804 + 500);
    assert_eq!(plan.estimate.prefix_fillers, 137);
    assert_eq!(plan.estimate.seed_seconds, 4, "300 MB at 100 MB/s and five partitions: {}", plan.estimate.basis);
}

type Change = fn(&mut Config, &mut PlanInput, &mut Vec<TopicProbe>);

fn source_practice<'a>(input: &'a mut PlanInput) -> &'a mut Practice {
    &mut input.source_health.as_mut().unwrap().practice
}

fn target_practice<'a>(input: &'a mut PlanInput) -> &'a mut Practice {
    &mut input.target_health.as_mut().unwrap().practice
}

/// What how the clusters are run and who uses them provokes.
fn causes_by_practice() -> Vec<(FindingCode, Change)> {
    use FindingCode as C;
    vec![
        (C::ZookeeperTools, |_, i, _| i.other_groups.push("KMOffsetCache-host".into())),
        (C::Controllers, |_, i, _| target_practice(i).voters = Some([100].into())),
        (C::FeatureLevel, |_, i, _| target_practice(i).features = [("metadata.version".to_owned(), (21, 27))].into()),
        (C::DynamicSettings, |_, i, _| drop(source_practice(i).dynamic_settings.insert("log.cleaner.threads".into(), [1, 2].into()))),
        (C::DelegationTokens, |_, i, _| source_practice(i).secrets_set = ["delegation.token.master.key".to_owned()].into()),
        (C::BrokerDefaults, |_, i, _| {
            i.source.broker_configs.insert("num.partitions".into(), "6".into());
            i.target.as_mut().unwrap().broker_configs.insert("num.partitions".into(), "1".into());
        }),
        (C::ClientLimits, |_, i, _| {
            i.source.broker_configs.insert("transaction.max.timeout.ms".into(), "900000".into());
            i.target.as_mut().unwrap().broker_configs.insert("transaction.max.timeout.ms".into(), "60000".into());
        }),
        (C::DiskShort, |_, i, _| target_practice(i).free_bytes = [(1, 300_000_000), (2, 300_000_000), (3, 300_000_000)].into()),
        (C::Streams, |_, i, _| i.source.topics.push(topic("billing-totals-changelog", (3, 9), 3, &[(0, 1)], &[]))),
        (C::Connect, |_, i, _| i.source.groups.push(GroupSnapshot { protocol_type: "connect".into(), ..group("workers", 1, &[]) })),
        (C::SchemaRegistry, |_, i, _| i.source.topics.push(topic("_schemas", (3, 9), 3, &[(0, 1)], &[]))),
        (C::ApplicationPartly, |c, i, _| {
            c.topics.exclude.push("*-repartition".into());
            i.source.topics.push(topic("billing-totals-changelog", (3, 9), 3, &[(0, 1)], &[]));
            i.source.topics.push(topic("billing-by-key-repartition", (3, 9), 3, &[(0, 1)], &[]));
        }),
        (C::TransactionsSpan, |_, i, _| {
            let tie = Tie { transactional_id: "shop".into(), selected: ["orders".to_owned()].into(), others: ["audit".to_owned()].into() };
            i.clients.as_mut().unwrap().ties.push(tie);
        }),
        (C::Producers, |_, i, _| i.clients.as_mut().unwrap().producer_ids = 3),
        (C::ProducersUnnamed, |_, i, _| i.clients.as_mut().unwrap().unnamed.push("orders-0".into())),
    ]
}

#[test]
fn every_code_is_provoked_by_its_cause_and_by_nothing_in_a_healthy_pair() {
    use FindingCode as C;
    let mut causes: Vec<(FindingCode, Change)> = vec![
        (C::TargetUnreachable, |_, i, _| i.target = None),
        (C::SameCluster, |_, i, _| i.target.as_mut().unwrap().cluster_id = "source-cluster-id".into()),
        (C::SourceTooOld, |_, i, _| i.source.version = "2.6".into()),
        (C::TargetTooOld, |_, i, _| i.target.as_mut().unwrap().version = "2.8".into()),
        (C::SourceUnhealthy, |_, i, _| source_topic(i, "orders").partitions[0].in_sync.truncate(2)),
        (C::SourceMigrating, |_, i, _| drop(i.source.broker_configs.insert("zookeeper.metadata.migration.enable".into(), "true".into()))),
        (C::TargetUnhealthy, |_, i, _| {
            let mut t = topic("elsewhere", (4, 1), 3, &[(0, 0)], &[]);
            t.partitions[0].in_sync.pop();
            on_target(i, t);
        }),
        (C::NoTopics, |c, _, _| c.topics.include = vec!["nothing".into()]),
        (C::TopicHoldsRecords, |_, i, _| on_target(i, topic("orders", (4, 1), 3, &[(0, 0), (0, 1), (0, 0)], &[]))),
        (C::TopicDrift, |_, i, _| on_target(i, topic("orders", (4, 1), 3, &[(0, 0); 3], &[("retention.ms", "1")]))),
        (C::TopicDriftRefused, |_, i, _| on_target(i, topic("orders", (4, 1), 3, &[(0, 0); 4], &[]))),
        (C::Transactional, |_, _, p| p[1].partitions[0].transactional = true),
        (C::ControlRecords, |_, _, p| p[1].partitions[0].control = true),
        (C::Compacted, |_, _, p| p[1].partitions[0].hole = true),
        (C::HolesTooDear, |c, i, p| {
            c.offsets.mode = OffsetsMode::Identical;
            i.write_txn_markers = Some(false);
            p[1].partitions[1].samples[0].counts.holes = 180;
        }),
        (C::WriteTxnMarkersForbidden, |_, i, p| {
            i.write_txn_markers = Some(false);
            p[1].partitions[0].samples[0].counts.markers = 1;
        }),
        (C::LogAppendTime, |_, _, p| p[1].partitions[0].log_append_time = true),
        (C::OldFormat, |_, _, p| p[1].partitions[0].magic_min = Some(1)),
        (C::TieredStorage, |_, i, _| *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(0, 1)], &[("remote.storage.enable", "true")])),
        (C::FutureTimestamps, |_, i, p| p[1].partitions[0].timestamp_max_ms = Some(i.now.as_millisecond() + 3_600_001)),
        (C::OpenTransactions, |_, i, _| i.open_transactions = Ok(vec![sample::listed("orders", &i.now)])),
        (C::ShortRetention, |_, i, _| *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(0, 1)], &[("retention.ms", "60000")])),
        (C::PrefixTooDear, |c, i, _| {
            c.offsets.mode = OffsetsMode::Identical;
            source_topic(i, "orders").partitions[0] = topic("x", (3, 9), 3, &[(10_000_000_001, 10_000_000_002)], &[]).partitions.remove(0);
        }),
        (C::Mapped, |c, _, _| c.offsets.mapped = vec!["ord*".into()]),
        (C::MappedForCost, |_, i, _| source_topic(i, "orders").partitions[0] = topic("x", (3, 9), 3, &[(10_000_000_001, 10_000_000_002)], &[]).partitions.remove(0)),
        (C::MapTooLarge, |c, i, p| {
            c.offsets.mode = OffsetsMode::Mapped;
            source_topic(i, "orders").partitions[0] = topic("x", (3, 9), 3, &[(0, 1_000_000_000)], &[]).partitions.remove(0);
            p[1].partitions[0].samples[0].counts.markers = 10;
        }),
        (C::ReplicationReduced, |_, i, _| i.target.as_mut().unwrap().brokers.truncate(2)),
        (C::MessageSize, |_, i, _| *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(0, 1)], &[("max.message.bytes", "5000000")])),
        (C::RequestSize, |_, i, _| drop(i.target.as_mut().unwrap().broker_configs.insert("socket.request.max.bytes".into(), "1048588".into()))),
        (C::RecordSize, |_, i, p| {
            i.target.as_mut().unwrap().broker_configs.insert("socket.request.max.bytes".into(), "1048588".into());
            p[1].partitions[0].record_bytes_max = Some((17, 900_000));
        }),
        (C::TopicUnreadable, |_, i, _| source_topic(i, "orders").partitions[0].log_start = None),
        (C::TopicIdsMissing, |_, i, _| source_topic(i, "orders").topic_id = None),
        (C::AuthorizerMissing, |_, i, _| i.target.as_mut().unwrap().acls = None),
        (C::AclDrift, |_, i, _| i.target.as_mut().unwrap().acls = Some(vec![binding("User:other", "orders", Operation::Read)])),
        (C::AclDriftRefused, |c, i, _| {
            c.on_acl_drift = DriftPolicy::Refuse;
            i.target.as_mut().unwrap().acls = Some(vec![binding("User:other", "orders", Operation::Read)]);
        }),
        (C::AclInternal, |c, i, _| {
            c.source.auth.mode = AuthMode::Iam;
            i.source.brokers[0].host = "b-1.shop.abc123.c2.kafka.eu-west-1.amazonaws.com".into();
            i.source.acls.as_mut().unwrap().push(binding("User:ANONYMOUS", "orders", Operation::Write));
        }),
        (C::AclLockout, |_, i, _| i.source.acls.as_mut().unwrap().push(denied("User:*", "*"))),
        (C::AclMayLockOut, |_, i, _| i.source.acls.as_mut().unwrap().push(denied("User:ANONYMOUS", "10.0.0.1"))),
        (C::PrincipalUnknown, |c, i, _| {
            (c.target.auth.mode, c.on_acl_drift) = (AuthMode::Mtls, DriftPolicy::Replace);
            i.target.as_mut().unwrap().acls = Some(vec![binding("User:other", "orders", Operation::Read)]);
        }),
        (C::AccessMap, |c, _, _| c.target.auth.mode = AuthMode::Iam),
        (C::QuotaDrift, |_, i, _| i.target.as_mut().unwrap().quotas = Some(vec![quota("user=bob", &[("producer_byte_rate", 1.0)])])),
        (C::QuotaDriftRefused, |c, i, _| {
            c.on_quota_drift = DriftPolicy::Refuse;
            i.target.as_mut().unwrap().quotas = Some(vec![quota("user=bob", &[("producer_byte_rate", 1.0)])]);
        }),
        (C::QuotaWithheld, |_, i, _| i.source.quotas = Some(vec![quota("client-id=", &[("producer_byte_rate", 1.0)])])),
        (C::QuotaThrottles, |_, i, _| i.target.as_mut().unwrap().quotas = Some(vec![quota("user=ANONYMOUS", &[("producer_byte_rate", 1.0)])])),
        (C::ScramUsers, |_, i, _| i.source.scram_users = Some(vec![ScramUser { user: "shop".into(), mechanism: "SCRAM-SHA-512".into(), iterations: 4096 }])),
        (C::OthersMayWrite, |_, i, _| i.target.as_mut().unwrap().acls = Some(vec![binding("User:writer", "orders", Operation::Write)])),
        (C::AllowEveryoneDiffers, |_, i, _| {
            let key = "allow.everyone.if.no.acl.found";
            i.source.broker_configs.insert(key.into(), "true".into());
            i.target.as_mut().unwrap().broker_configs.insert(key.into(), "false".into());
        }),
        (C::StaticMembers, |_, i, _| i.source.groups[0].static_members = 1),
        (C::GroupBeyondEnd, |_, i, _| i.source.groups[0].offsets[0].next_offset = 1_000_001),
        (C::GroupOnTarget, |_, i, _| i.target.as_mut().unwrap().groups.push(group("billing", 1, &[]))),
        (C::StoreUnreachable, |_, i, _| store_fails(i, StoreCause::Other)),
        (C::StoreBucketMissing, |_, i, _| store_fails(i, StoreCause::BucketMissing)),
        (C::StoreDenied, |_, i, _| store_fails(i, StoreCause::Denied)),
        (C::StoreRegion, |_, i, _| store_fails(i, StoreCause::Region)),
        (C::StoreHostName, |_, i, _| store_fails(i, StoreCause::HostName)),
        (C::StoreNetwork, |_, i, _| store_fails(i, StoreCause::Network)),
        (C::StoreTls, |_, i, _| store_fails(i, StoreCause::Tls)),
        (C::StoreCredentialsMissing, |_, i, _| store_fails(i, StoreCause::CredentialsMissing)),
        (C::StoreCredentialsRefused, |_, i, _| store_fails(i, StoreCause::CredentialsRefused)),
        (C::StoreCredentialsExpired, |_, i, _| store_fails(i, StoreCause::CredentialsExpired)),
        (C::StoreClock, |_, i, _| store_fails(i, StoreCause::Clock)),
        (C::StoreKeyDisabled, |_, i, _| store_fails(i, StoreCause::KeyDisabled)),
        (C::StoreKeyMissing, |_, i, _| store_fails(i, StoreCause::KeyMissing)),
        (C::StoreKeyDenied, |_, i, _| store_fails(i, StoreCause::KeyDenied)),
        (C::StoreSettingsUnseen, |_, i, _| i.backup_store.as_mut().unwrap().unseen.push("s3:GetBucketVersioning is not permitted".into())),
        (C::StoreVersions, |_, i, _| i.evidence_store.as_mut().unwrap().versioning = Some(false)),
        (C::StoreRetention, |_, i, _| i.backup_store.as_mut().unwrap().default_retention = Some("COMPLIANCE, 7 years".into())),
        (C::ObjectLockMissing, |c, i, _| (c.evidence.object_lock, i.evidence_store.as_mut().unwrap().object_lock) = (true, Some(false))),
        (C::SigningKeyMissing, |_, i, _| i.signing_key = SigningKey::Unset),
        (C::TransactionState, |_, i, _| drop(i.source.broker_configs.insert("transaction.state.log.replication.factor".into(), "4".into()))),
        (C::FreezeUnsupported, |c, _, _| c.cutover.freeze = FreezeMode::Acl),
        (C::SentinelUnsupported, |c, _, _| c.cutover.sentinel = SentinelMode::Visible),
        (C::MskBusy, |c, i, _| by_arns(c, i, |_, target| target.state = "HEALING".into())),
        (C::MskExpress, |c, i, _| by_arns(c, i, |source, _| source.kind = MskKind::Express)),
        (C::MskNotRead, |c, i, _| by_arns(c, i, |source, _| source.not_read.push("kafka:ListNodes is not permitted".into()))),
        (C::MskConfiguration, |c, i, _| by_arns(c, i, |_, target| target.configuration.as_mut().unwrap().server_properties.clear())),
        (C::MskDiskShort, |c, i, _| by_arns(c, i, |_, target| (target.brokers, target.volume_gib) = (Some(1), Some(0)))),
        (C::MskDiskTight, |c, i, _| {
            by_arns(c, i, |_, target| (target.brokers, target.volume_gib) = (Some(1), Some(1)));
            // 1 GiB holds the 930 MB of three replicas barely.
            i.source.topics[1].partitions[0].size_bytes = Some(110_000_000);
        }),
        (C::CrossRegion, |c, i, _| {
            by_arns(c, i, |_, _| ());
            c.target.cluster_arn = c.target.cluster_arn.take().map(|arn| arn.replace("eu-west-1", "us-east-1"));
        }),
        (C::StoreCrossRegion, |c, i, _| {
            i.target.as_mut().unwrap().brokers[0].rack = Some("eu-west-1a".into());
            c.backup = StoreConfig::S3 { bucket: "segments".into(), prefix: String::new(), region: Some("us-east-1".into()), kms_key_arn: None, endpoint_url: None };
        }),
        (C::MskScramSecrets, |c, i, _| by_arns(c, i, |source, _| source.scram_secrets = Some(vec![crate::machine::sample::scram_secret()]))),
        (C::MskScramUnfit, |c, i, _| {
            by_arns(c, i, |source, _| source.scram_secrets = Some(vec!["arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-AbCdEf".into()]));
            c.scram_secrets = crate::config::model::ScramSecrets::Associate;
        }),
    ];
    causes.extend(causes_by_practice());
    let in_fixture = [
        C::MetadataModes, C::UnknownConfig, C::ConfigLeftOut, C::ConfigAdjusted, C::PrefixCost, C::ActiveGroups, C::UncommittableGroups, C::GroupPartly,
        C::DiskRoom, C::InPlace, C::NotProbed, C::KraftOperations, C::Sizing, C::OldClients,
    ];
    let base = codes(&plan());
    let of_errors: Vec<C> = Code::ALL.iter().filter_map(|code| C::of_error(*code)).collect();
    // The one comes without a plan, the others after it.
    let elsewhere = |code: &FindingCode| {
        *code == C::SourceUnreachable || of_errors.contains(code) || Right::ALL.iter().any(|right| right.code() == *code && *code != C::WriteTxnMarkersForbidden)
    };
    for code in FindingCode::ALL.iter().filter(|code| !elsewhere(code)) {
        let provoked = causes.iter().any(|(c, _)| c == code);
        assert!(provoked != in_fixture.contains(code), "{} is provoked here or in the fixture, and in one of them", code.as_str());
        assert_eq!(base.contains(code), in_fixture.contains(code), "{} in the fixture", code.as_str());
    }
    for (code, change) in causes {
        assert!(codes(&planned(change)).contains(&code), "{} by its cause", code.as_str());
    }
    let unreachable = |code| (source_unreachable(&Error::new(code, "seen")).code, target_unreachable(&Error::new(code, "seen")).code);
    assert_eq!(unreachable(Code::KafkaProtocol), (C::SourceUnreachable, C::TargetUnreachable));
    for code in Code::ALL.iter().filter(|code| C::of_error(**code).is_some()) {
        let (source, target) = unreachable(*code);
        assert_eq!((source.as_str(), target.as_str()), (code.as_str(), code.as_str()));
    }
}

#[test]
fn blockers_come_first_and_keep_their_order() {
    let plan = planned(|c, i, _| {
        c.cutover.freeze = FreezeMode::Acl;
        i.signing_key = SigningKey::Unusable("not a key".into());
    });
    assert_eq!(blockers(&plan).iter().map(|f| f.code).collect::<Vec<_>>(), [FindingCode::FreezeUnsupported, FindingCode::SigningKeyMissing]);
    assert!(plan.findings.windows(2).all(|w| w[0].severity >= w[1].severity));
}

#[test]
fn compaction_is_seen_in_the_settings_and_control_records_in_the_samples() {
    let plan = planned(|_, i, p| {
        *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(0, 10)], &[("cleanup.policy", "compact,delete"), ("message.timestamp.type", "LogAppendTime")]);
        p[0].partitions[1].control = true;
    });
    assert_eq!(blockers(&plan), Vec::<&Finding>::new());
    let compacted = plan.findings.iter().find(|f| f.code == FindingCode::Compacted).unwrap();
    assert_eq!((compacted.severity, compacted.subject.as_str(), compacted.seen.as_str()), (Severity::Information, "orders", "cleanup.policy=compact,delete"));
    let stamped = plan.findings.iter().find(|f| f.code == FindingCode::LogAppendTime).unwrap();
    assert_eq!((stamped.severity, stamped.seen.as_str()), (Severity::Information, "message.timestamp.type=LogAppendTime"));
    let note = plan.findings.iter().find(|f| f.code == FindingCode::ControlRecords).unwrap();
    assert_eq!((note.severity, note.seen.as_str()), (Severity::Information, "control records without transactional data near them in partitions 1"));
    // With data beside it, it is a transaction's.
    let plan = planned(|_, _, p| (p[0].partitions[1].control, p[0].partitions[1].transactional) = (true, true));
    assert_eq!(blockers(&plan), Vec::<&Finding>::new());
    let note = plan.findings.iter().find(|f| f.code == FindingCode::Transactional).unwrap();
    assert_eq!((note.severity, note.seen.as_str()), (Severity::Information, "transactional records in partitions 1"));
    assert!(!codes(&plan).contains(&FindingCode::ControlRecords));
}

#[test]
fn markers_are_estimated_and_their_time_is_stated_both_ways() {
    // A tenth of the 2,000,000 offsets in orders-1: 200,000 markers.
    let marked = |may: Option<bool>| {
        planned(|_, i, p| {
            let of = &mut p[1].partitions[1];
            (of.control, of.transactional, of.samples[0].counts.markers) = (true, true, 20);
            i.write_txn_markers = may;
        })
    };
    let plan = marked(None);
    let orders = &plan.topics[0];
    assert_eq!((orders.markers_estimated, orders.sampled_offsets, orders.partitions[1].markers_estimated), (200_000, 400, 200_000));
    assert!(orders.mode_reason.contains("about 200,000 control records"), "{}", orders.mode_reason);
    let finding = plan.findings.iter().find(|f| f.code == FindingCode::Transactional).unwrap();
    let cost = "about 200,000 markers, estimated from a sample of 400 offsets: 1 h 6 min by empty transactions, 6 min 47 s by WriteTxnMarkers";
    assert_eq!(finding.seen, format!("transactional records in partitions 1; {cost}"));
    let markers = &plan.estimate.markers;
    assert_eq!((markers.markers_estimated, markers.seconds_by_transactions, markers.seconds_by_write_txn_markers), (200_000, 4_000, 407));
    assert_eq!((markers.write_txn_markers, plan.estimate.seed_seconds), (None, 4_004), "the slower way is counted: {}", plan.estimate.basis);
    let plan = marked(Some(true));
    assert_eq!((plan.estimate.markers.write_txn_markers, plan.estimate.seed_seconds), (Some(true), 411), "{}", plan.estimate.basis);
}

#[test]
fn offsets_without_a_record_are_estimated_and_their_time_is_in_the_seeds() {
    // Half of what is nearest to the sample of orders-1, in ten runs of a hundred each; a hole from the log's start to half of orders-0.
    let holes = |p: &mut Vec<TopicProbe>| {
        p[1].partitions[1].samples[0].counts = Counts { markers: 0, holes: 100, runs: 2 };
        let old = Sample { range: 0..500_000, counts: Counts { markers: 0, holes: 500_000, runs: 1 } };
        p[1].partitions[0].samples = vec![old, Sample { range: 500_000..500_100, counts: Counts::default() }];
        p[1].partitions[1].hole = true;
    };
    let plan = planned(|_, _, p| holes(p));
    let orders = &plan.topics[0];
    assert_eq!((orders.holes_estimated, orders.runs_estimated, orders.sampled_offsets), (1_500_000, 20_001, 300));
    let of = |n: usize| (orders.partitions[n].holes_estimated, orders.partitions[n].runs_estimated);
    assert_eq!([of(0), of(1), of(2)], [(500_000, 1), (1_000_000, 20_000), (0, 0)], "what was seen from end to end is not extrapolated");
    let markers = &plan.estimate.markers;
    assert_eq!((markers.holes_estimated, markers.runs_estimated, markers.seconds_by_transactions, markers.seconds_by_write_txn_markers), (1_500_000, 20_001, 20_000, 74));
    assert_eq!(plan.estimate.seed_seconds, 78, "{}", plan.estimate.basis);
    assert!(plan.estimate.basis.contains("1 min 14 s for 1,500,000 control records by WriteTxnMarkers"), "{}", plan.estimate.basis);
    let finding = plan.findings.iter().find(|f| f.code == FindingCode::Compacted).unwrap();
    let cost = "about 1,500,000 offsets without a record, before 20,001 runs of records, estimated from a sample of 300 offsets: 5 h 33 min by empty transactions, 1 min 14 s by WriteTxnMarkers";
    assert_eq!(finding.seen, format!("traces of compaction in partitions 1; {cost}"));
    let room = plan.findings.iter().find(|f| f.code == FindingCode::DiskRoom).unwrap();
    assert!(room.seen.contains("351.0 MB of control records"), "three replicas of 1.5 million: {}", room.seen);
    assert!(!codes(&plan).contains(&FindingCode::WriteTxnMarkersForbidden) && blockers(&plan).is_empty());

    let forbidden = planned(|_, i, p| {
        holes(p);
        i.write_txn_markers = Some(false);
    });
    let warned = forbidden.findings.iter().find(|f| f.code == FindingCode::WriteTxnMarkersForbidden).unwrap();
    assert!(warned.seen.contains("neither Alter nor ClusterAction") && warned.seen.contains("5 h 32 min less"), "{}", warned.seen);
    assert_eq!((warned.severity, forbidden.estimate.seed_seconds), (Severity::Warning, 20_004));
    // Next to nothing to write is no reason for another permission.
    let few = planned(|_, i, p| {
        p[1].partitions[0].samples = vec![Sample { range: 0..1_000_000, counts: Counts { markers: 0, holes: 1_000, runs: 3 } }];
        i.write_txn_markers = Some(false);
    });
    assert!(!codes(&few).contains(&FindingCode::WriteTxnMarkersForbidden));
}

#[test]
fn holes_that_are_too_dear_block_by_the_way_that_is_permitted() {
    let blocked = |may: Option<bool>, logs: &[(i64, i64)], counts: Counts| {
        let plan = planned(|c, i, p| {
            c.offsets.mode = OffsetsMode::Identical;
            *source_topic(i, "orders") = topic("orders", (3, 9), 3, logs, &[]);
            p[1].partitions[0].samples[0].counts = counts;
            i.write_txn_markers = may;
        });
        let found: Vec<String> = blockers(&plan).iter().map(|f| f.seen.clone()).collect();
        assert!(blockers(&plan).iter().all(|f| f.code == FindingCode::HolesTooDear && f.subject == "orders"));
        found
    };
    let long = Counts { markers: 0, holes: 180, runs: 1 };
    let (short, large) = ([(0, 2_000_000)], [(0, 600_000_000)]);
    assert_eq!(blocked(Some(false), &short, long), ["10 h for 1,800,000 control records by empty transactions, since the target does not let kferry use WriteTxnMarkers; the limit is 6 h"]);
    assert!(blocked(Some(true), &short, long).is_empty());
    assert!(blocked(None, &short, long).is_empty(), "it may be permitted");
    let seen = blocked(Some(true), &large, long);
    assert!(seen[0].starts_with("6 h 40 min for 540,000,000 control records by WriteTxnMarkers; the limit is 6 h; "), "{seen:?}");
    assert!(seen[0].ends_with("; partition 0 needs 540,000,000 control records, 42.1 GB on each replica; the limit is 500,000,000"), "{seen:?}");
    assert_eq!(blocked(Some(false), &short, Counts { markers: 180, holes: 0, runs: 0 }), Vec::<String>::new(), "transactions alone take their time, and are no holes");
}

#[test]
fn where_identity_is_too_dear_auto_maps_and_says_why() {
    let dear = |change: fn(&mut crate::config::model::OffsetsConfig)| {
        planned(|c, i, p| {
            change(&mut c.offsets);
            *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(10_000_000_001, 10_600_000_001)], &[]);
            p[1].partitions[0].samples[0].counts = Counts { markers: 0, holes: 180, runs: 1 };
            i.write_txn_markers = Some(true);
        })
    };
    let orders = |plan: &Plan| plan.topics.iter().find(|t| t.name == "orders").unwrap().clone();
    let plan = dear(|_| ());
    let topic = orders(&plan);
    assert_eq!((topic.mode, topic.markers_estimated, topic.holes_estimated, topic.partitions[0].prefix_fillers), (OffsetMode::Mapped, 0, 0, 0));
    assert!(topic.mode_reason.starts_with("identical offsets are too dear: partition 0 begins at offset 10000000001 (about 8 min 20 s of fillers)"), "{}", topic.mode_reason);
    assert!(topic.mode_reason.contains("; 6 h 40 min for 540,000,000 control records"), "{}", topic.mode_reason);
    let codes = |plan: &Plan, code| plan.findings.iter().filter(|f| f.code == code).count();
    assert_eq!((codes(&plan, FindingCode::MappedForCost), codes(&plan, FindingCode::Mapped), blockers(&plan).len()), (1, 0, 0), "{:?}", plan.findings);
    assert_eq!(plan.estimate.markers.holes_estimated, 0);
    let asked = dear(|offsets| offsets.mapped = vec!["ord*".into()]);
    assert_eq!((orders(&asked).mode_reason.as_str(), codes(&asked, FindingCode::MappedForCost), codes(&asked, FindingCode::Mapped)), ("asked for by the pattern `ord*`", 0, 1));
    let refused = dear(|offsets| (offsets.mode, offsets.identical) = (OffsetsMode::Mapped, vec!["orders".into()]));
    assert_eq!(orders(&refused).mode, OffsetMode::Identical);
    assert_eq!(blockers(&refused).iter().map(|f| f.code).collect::<Vec<_>>(), [FindingCode::HolesTooDear, FindingCode::PrefixTooDear]);
}

#[test]
fn an_empty_log_is_no_proof_of_a_plain_topic() {
    let plan = planned(|_, i, p| {
        *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(700, 700), (0, 0)], &[]);
        p[1].partitions.iter_mut().for_each(|p| p.samples.clear());
    });
    let seen: Vec<&str> = plan.findings.iter().filter(|f| f.code == FindingCode::NotProbed).map(|f| f.seen.as_str()).collect();
    assert!(seen.iter().any(|s| s.contains("1 topic that held records once") && s.ends_with(": orders")), "{seen:?}");
    let plan = planned(|_, i, p| {
        *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(0, 0)], &[]);
        p[1].partitions.iter_mut().for_each(|p| p.samples.clear());
    });
    assert!(plan.topics[0].mode_reason.contains("not known"), "{}", plan.topics[0].mode_reason);
    assert!(!plan.findings.iter().any(|f| f.seen.contains("held records once")));
}

#[test]
fn open_transactions_are_named_by_topic_and_the_remedy_of_those_that_hang_is_told() {
    let open = |plan: &Plan| {
        let found: Vec<Finding> = plan.findings.iter().filter(|f| f.code == FindingCode::OpenTransactions).cloned().collect();
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].subject.clone(), found[0].seen.clone(), found[0].remedy.clone())
    };
    let young = planned(|_, i, _| i.open_transactions = Ok(vec![sample::listed("orders", &i.now)]));
    let (subject, seen, remedy) = open(&young);
    assert_eq!((subject.as_str(), remedy.as_str()), ("orders", FindingCode::OpenTransactions.remedy()));
    assert!(seen.contains("`billing-7`") && seen.contains("producer id 41"), "{seen}");
    let hanging = planned(|_, i, _| i.open_transactions = Ok(vec![sample::listed("orders", &i.now), sample::unlisted("orders")]));
    let (_, seen, remedy) = open(&hanging);
    assert!(seen.contains("`billing-7`") && seen.contains("producer id 42") && seen.contains("hanging"), "{seen}");
    assert!(remedy.contains("kafka-transactions.sh --bootstrap-server source-1:9092 abort --topic orders --partition 1 --start-offset 17"), "{remedy}");
    let unread = planned(|_, i, _| i.open_transactions = Err("no answer".into()));
    assert!(unread.findings.iter().any(|f| f.code == FindingCode::NotProbed && f.seen == "open transactions: no answer"));
}

#[test]
fn the_whole_clusters_health_is_told_once() {
    let plan = planned(|_, i, _| {
        source_topic(i, "orders").partitions[0].in_sync.pop();
        i.source_health = Some(HealthProbe {
            under_replicated: vec!["orders-0".into(), "elsewhere-1".into()],
            reassigning: vec!["elsewhere-1".into()],
            quorum: vec!["KRaft voter 2 has been behind for 10 s".into()],
            ..HealthProbe::default()
        });
        i.target_health = None;
    });
    let seen = |code, subject: &str| plan.findings.iter().find(|f| f.code == code && f.subject == subject).map(|f| f.seen.as_str());
    assert_eq!(
        seen(FindingCode::SourceUnhealthy, "source"),
        Some("KRaft voter 2 has been behind for 10 s; 2 partitions under-replicated: elsewhere-1, orders-0; 1 partition being reassigned: elsewhere-1")
    );
    assert_eq!(seen(FindingCode::NotProbed, "target"), Some("partition reassignments under way, and the KRaft quorum's health"));
}

#[test]
fn what_the_snapshot_leaves_out_is_named_with_its_reason() {
    let plan = planned(|c, i, _| {
        c.groups.exclude = vec!["console-*".into()];
        i.other_topics = vec!["debug.tmp".into(), "new".into()];
        i.other_groups = vec!["console-1".into()];
    });
    let reason = |name: &str| plan.left_out.iter().find(|l| l.name == name).map(|l| l.reason.as_str());
    assert_eq!(reason("debug.tmp"), Some("excluded by `*.tmp`"));
    assert_eq!(reason("new"), Some("it was not there when the source was read"));
    assert_eq!(reason("console-1"), Some("excluded by `console-*`"));
}

#[test]
fn merge_keeps_what_the_target_set_and_replace_takes_the_sources() {
    let change = |policy: DriftPolicy| {
        planned(move |c, i, _| {
            c.on_config_drift = policy;
            let own = [("retention.ms", "1"), ("retention.bytes", "7"), ("segment.bytes", "2097152")];
            on_target(i, topic("payments", (4, 1), 2, &[(0, 0); 2], &own));
        })
    };
    let merged = change(DriftPolicy::Merge);
    let payments = &merged.topics[1];
    assert_eq!(payments.action, TopicAction::Adopt);
    assert_eq!(payments.replication_factor, 2, "an adopted topic keeps its replicas");
    assert_eq!(payments.drift.keys().collect::<Vec<_>>(), ["retention.bytes", "retention.ms", "segment.bytes"]);
    assert_eq!(payments.configs["retention.ms"], "86400000", "set on the source's topic itself");
    assert_eq!(payments.configs["retention.bytes"], "7", "set on the target only, and put back after the overrides");

    let replaced = change(DriftPolicy::Replace);
    assert!(!replaced.topics[1].configs.contains_key("retention.bytes"), "removed, since the target's default is the source's value");
    assert!(blockers(&replaced).is_empty());

    let refused = change(DriftPolicy::Refuse);
    assert_eq!(blockers(&refused).iter().map(|f| f.code).collect::<Vec<_>>(), [FindingCode::TopicDriftRefused]);
}

#[test]
fn an_empty_topic_whose_log_goes_on_later_cannot_be_adopted() {
    let plan = planned(|_, i, _| on_target(i, topic("orders", (4, 1), 3, &[(0, 0), (9, 9), (0, 0)], &[])));
    assert_eq!(blockers(&plan)[0].code, FindingCode::TopicHoldsRecords);
    assert!(blockers(&plan)[0].seen.contains("offset 9"), "{}", blockers(&plan)[0].seen);
}

#[test]
fn writes_are_withheld_and_our_own_binding_is_no_drift() {
    let plan = planned(|_, i, _| {
        i.target.as_mut().unwrap().acls = Some(vec![binding("User:ANONYMOUS", "*", Operation::All), binding("User:reader", "orders", Operation::Read)]);
    });
    let acls = plan.acls.as_ref().unwrap();
    assert_eq!((acls.create.len(), acls.withheld.len(), acls.equal.len(), acls.target_only.len()), (0, 2, 1, 0));
    assert!(!codes(&plan).contains(&FindingCode::OthersMayWrite));
    assert_eq!(planned(|_, i, _| i.target.as_mut().unwrap().acls = None).acls, None, "nothing can be created without an authorizer");
}

fn denied(principal: &str, host: &str) -> AclBinding {
    AclBinding { permission: Permission::Deny, host: host.to_owned(), ..binding(principal, "orders", Operation::Write) }
}

#[test]
fn internal_principals_are_left_out_on_authenticated_msk_only() {
    let bindings = |msk: bool, mode: AuthMode| {
        let plan = planned(|c, i, _| {
            c.source.auth.mode = mode;
            if msk {
                i.source.brokers[0].host = "b-1.shop.abc123.c2.kafka.eu-west-1.amazonaws.com".into();
            }
            i.source.acls = Some(vec![binding("User:ANONYMOUS", "orders", Operation::Read), binding("User:reader", "orders", Operation::Read)]);
        });
        let acls = plan.acls.unwrap();
        (acls.create.len(), acls.internal.len())
    };
    assert_eq!(bindings(true, AuthMode::ScramSha512), (1, 1));
    assert_eq!(bindings(true, AuthMode::Plaintext), (2, 0), "without authentication everybody is ANONYMOUS");
    assert_eq!(bindings(false, AuthMode::ScramSha512), (2, 0), "not MSK's");
}

#[test]
fn a_deny_that_does_not_reach_kferry_is_no_lockout() {
    let found = |binding: AclBinding, change: fn(&mut Config, &mut PlanInput)| {
        let plan = planned(|c, i, _| {
            i.source.acls.as_mut().unwrap().push(binding);
            change(c, i);
        });
        codes(&plan).contains(&FindingCode::AclLockout)
    };
    let unchanged: fn(&mut Config, &mut PlanInput) = |_, _| {};
    assert!(found(denied("User:ANONYMOUS", "*"), unchanged));
    assert!(!found(denied("User:mallory", "*"), unchanged), "somebody else");
    assert!(!found(AclBinding { resource_name: "elsewhere".into(), ..denied("User:*", "*") }, unchanged), "another topic");
    assert!(!found(AclBinding { operation: Operation::ClusterAction, ..denied("User:*", "*") }, unchanged), "not needed");
    assert!(!found(denied("User:ANONYMOUS", "*"), |c, _| c.target_principal = Some("User:kferry".into())), "another principal");
    assert!(!found(denied("User:*", "*"), |_, i| drop(i.target.as_mut().unwrap().broker_configs.insert("super.users".into(), "User:a;User:ANONYMOUS".into()))), "a super user");
    assert!(!found(denied("User:*", "*"), |_, i| i.target_operations = Some(vec![Operation::ClusterAction])), "what no binding gives: a super user");
}

#[test]
fn who_kferry_is_has_to_be_known_where_the_first_binding_would_shut_it_out() {
    let found = |value: Option<&str>, principal: Option<&str>| {
        let plan = planned(|c, i, _| {
            c.target.auth.mode = AuthMode::Mtls;
            c.target_principal = principal.map(str::to_owned);
            let target = i.target.as_mut().unwrap();
            target.acls = Some(Vec::new());
            target.broker_configs.extend(value.map(|v| ("allow.everyone.if.no.acl.found".to_owned(), v.to_owned())));
        });
        assert!(!plan.acls.unwrap().create.is_empty());
        plan.findings.iter().filter(|f| f.code == FindingCode::PrincipalUnknown).count()
    };
    assert_eq!([Some("true"), Some(HIDDEN), Some("false"), None].map(|value| found(value, None)), [1, 1, 0, 0]);
    assert_eq!(found(Some("true"), Some("User:CN=kferry")), 0);
}

#[test]
fn a_setting_that_brokers_hide_is_to_be_compared_by_hand() {
    let plan = planned(|_, i, _| {
        let key = "allow.everyone.if.no.acl.found";
        i.source.broker_configs.insert(key.into(), HIDDEN.into());
        i.target.as_mut().unwrap().broker_configs.insert(key.into(), HIDDEN.into());
    });
    let told = plan.findings.iter().find(|f| f.code == FindingCode::NotProbed && f.seen.contains("compare it by hand")).unwrap();
    assert_eq!(told.severity, Severity::Warning);
}

#[test]
fn a_target_with_an_authorizer_may_refuse_what_a_source_without_one_let_in() {
    let said = |value: &str| {
        let plan = planned(|_, i, _| {
            i.source.acls = None;
            i.target.as_mut().unwrap().broker_configs.insert(ALLOW_EVERYONE.into(), value.into());
        });
        let about = plan.findings.into_iter().filter(|f| f.seen.contains("the source has no authorizer"));
        about.map(|f| (f.code, f.severity)).collect::<Vec<_>>()
    };
    assert_eq!(said("true"), []);
    assert_eq!(said("false"), [(FindingCode::AllowEveryoneDiffers, Severity::Warning)]);
    assert_eq!(said(HIDDEN), [(FindingCode::NotProbed, Severity::Warning)]);
}

#[test]
fn what_brokers_hide_is_told_by_msks_control_plane() {
    // The values in both configurations, None where they are silent; whether the brokers of the target show `false`.
    let plan_of = |[source, target]: [Option<&str>; 2], shown: bool, mode: AuthMode, read: bool| {
        planned(|c, i, _| {
            c.target.auth.mode = mode;
            i.target.as_mut().unwrap().acls = Some(Vec::new());
            i.source.broker_configs.insert(ALLOW_EVERYONE.into(), HIDDEN.into());
            i.target.as_mut().unwrap().broker_configs.insert(ALLOW_EVERYONE.into(), if shown { "false" } else { HIDDEN }.into());
            by_arns(c, i, |s, t| {
                for (msk, value) in [(&mut *s, source), (&mut *t, target)] {
                    msk.configuration.as_mut().unwrap().server_properties.extend(value.map(|v| (ALLOW_EVERYONE.to_owned(), v.to_owned())));
                }
                if !read {
                    (t.configuration, t.not_read) = (None, vec!["denied".into()]);
                }
            });
        })
    };
    let seen = |plan: &Plan, code| plan.findings.iter().filter(|f| f.code == code && f.seen.contains("on the target")).map(|f| f.seen.clone()).collect::<Vec<_>>();
    let by_hand = |plan: &Plan| plan.findings.iter().any(|f| f.code == FindingCode::NotProbed && f.seen.contains("compare it by hand"));
    let scram = AuthMode::ScramSha512;

    let differs = plan_of([Some("false"), None], false, scram, true);
    assert_eq!(seen(&differs, FindingCode::AllowEveryoneDiffers), ["false on the source (by its MSK configuration), true on the target (MSK's default, its configuration does not set it)"]);
    assert!(!by_hand(&differs) && seen(&differs, FindingCode::OthersMayWrite)[0].starts_with("allow.everyone.if.no.acl.found is true on the target (MSK's default"));
    for same in [[None, None], [Some("true"), None], [Some("false"), Some("false")]] {
        let plan = plan_of(same, false, scram, true);
        assert!(!by_hand(&plan) && seen(&plan, FindingCode::AllowEveryoneDiffers).is_empty(), "{same:?}");
    }
    // What the brokers show goes before; what nobody tells is compared by hand.
    assert_eq!(seen(&plan_of([None, None], true, scram, true), FindingCode::AllowEveryoneDiffers), ["true on the source (MSK's default, its configuration does not set it), false on the target"]);
    assert!(by_hand(&plan_of([None, None], false, scram, false)));
    assert!(seen(&plan_of([None, None], false, AuthMode::Iam, true), FindingCode::OthersMayWrite).is_empty(), "IAM lets nobody at a topic for want of bindings");
    // Where it is known to be closed, kferry needs no bindings before the others'.
    let blocked = |target| codes(&plan_of([None, target], false, AuthMode::Mtls, true)).contains(&FindingCode::PrincipalUnknown);
    assert!(blocked(None) && !blocked(Some("false")));
}

#[test]
fn kferrys_own_bindings_come_first_where_resources_are_open_to_everyone() {
    let own = |value: Option<&str>| {
        let plan = planned(|c, i, _| {
            c.target_principal = Some("User:kferry".into());
            let target = i.target.as_mut().unwrap();
            target.acls = Some(vec![binding("User:kferry", "orders", Operation::Write)]);
            target.broker_configs.extend(value.map(|v| ("allow.everyone.if.no.acl.found".to_owned(), v.to_owned())));
        });
        plan.acls.unwrap().own
    };
    assert!(own(None).is_empty() && own(Some("false")).is_empty());
    let own = own(Some("true"));
    assert_eq!((own[0].resource_type, own[0].operation), (crate::domain::acl::ResourceType::Cluster, Operation::Alter), "the right to create the others");
    assert!(own.iter().all(|b| b.principal == "User:kferry" && b.permission == Permission::Allow));
    let writes: Vec<&str> = own.iter().filter(|b| b.lets_write()).map(|b| b.resource_name.as_str()).collect();
    assert_eq!(writes, ["payments"], "what it has already is not created");
}

#[test]
fn a_missing_permission_is_a_finding_with_the_binding_that_denies_it() {
    let mut plan = planned(|_, i, _| i.source.acls.as_mut().unwrap().push(AclBinding { operation: Operation::Read, ..denied("User:*", "*") }));
    let missing = [Missing { right: Right::SourceTopicRead, names: vec!["orders".into()] }, Missing { right: Right::TargetClusterAlterForMarkers, names: vec![] }];
    let before = plan.findings.len();
    add_missing(&mut plan, &config(), &[Right::SourceTopicRead, Right::SourceTopicWrite], &missing);
    let of = |right| plan.permissions.iter().find(|p| p.right == right).unwrap().missing.clone();
    assert_eq!([Right::SourceTopicRead, Right::SourceTopicWrite, Right::TargetTopicRead].map(of), [Some(vec!["orders".to_owned()]), Some(vec![]), None]);
    let unreachable = |plan: &Plan| plan.findings.iter().find(|f| f.code == FindingCode::TargetUnreachable).map(|f| f.remedy.clone()).unwrap_or_default();
    assert_eq!(plan.findings.len(), before + 1, "what would only save time is told elsewhere");
    let mut unread = planned(|_, i, _| i.target = None);
    assert!(unreachable(&unread).contains("network"));
    add_missing(&mut unread, &config(), &[], &[Missing { right: Right::TargetClusterDescribe, names: vec!["kafka-cluster".into()] }]);
    assert!(unreachable(&unread).contains("KF-PRE-DENIED-TARGET"), "{}", unreachable(&unread));
    let found = plan.findings.iter().find(|f| f.code == FindingCode::DeniedSourceTopicRead).unwrap();
    assert!(found.seen.contains("orders") && found.seen.ends_with("denied by User:* DENY READ on TOPIC `orders` (LITERAL)"), "{}", found.seen);
}

#[test]
fn groups_are_carried_left_alone_or_named() {
    let plan = planned(|c, i, _| {
        c.groups.exclude = vec!["console-*".into()];
        i.source.groups.push(group("console-consumer-1", 0, &[]));
        i.source.groups.push(GroupSnapshot { state: "Dead".into(), ..group("gone", 0, &[]) });
        i.target.as_mut().unwrap().groups.push(group("audit", 3, &[]));
    });
    let groups: Vec<(&str, usize, usize, &str)> =
        plan.groups.iter().map(|g| (g.group_id.as_str(), g.partitions, g.not_carried.len(), g.left_alone.as_str())).collect();
    assert_eq!(
        groups,
        [
            ("audit", 1, 0, "it has 3 members on the target"),
            ("billing", 2, 1, ""),
            ("queue", 0, 0, "share groups keep their place per record, not as committed offsets"),
        ]
    );
    assert_eq!(plan.groups[1].not_carried, ["scratch.tmp-0"]);
    assert_eq!(plan.left_out.last().map(|l| l.name.as_str()), Some("console-consumer-1"));
}

#[test]
fn a_group_of_another_kind_on_the_target_is_named() {
    let plan = planned(|_, i, _| i.target.as_mut().unwrap().groups.push(GroupSnapshot { group_type: "share".into(), ..group("audit", 0, &[]) }));
    assert_eq!(plan.groups[0].left_alone, "it is a group of type share on the target");
    assert!(plan.findings.iter().any(|f| f.code == FindingCode::GroupOnTarget && f.subject == "audit"));
}

#[test]
fn a_group_beyond_the_end_is_named_with_both_numbers() {
    let plan = planned(|_, i, _| i.source.groups.push(group("lost", 0, &[("orders", 0, 1_000_000), ("orders", 1, 2_000_001), ("scratch.tmp", 0, 99)])));
    let seen: Vec<(&str, &str)> = plan.findings.iter().filter(|f| f.code == FindingCode::GroupBeyondEnd).map(|f| (f.subject.as_str(), f.seen.as_str())).collect();
    assert_eq!(seen, [("lost", "its next offset lies beyond the log's end: orders-1 at 2000001 of 2000000")]);
}

#[test]
fn groups_of_the_streams_protocol_are_left_alone_by_name() {
    let plan = planned(|_, i, _| i.source.groups.push(GroupSnapshot { group_type: "Streams".into(), ..group("app", 0, &[("orders", 0, 1)]) }));
    assert!(plan.groups.iter().any(|g| g.group_id == "app" && g.left_alone.contains("streams protocol")), "{:?}", plan.groups);
    assert!(plan.findings.iter().any(|f| f.code == FindingCode::UncommittableGroups && f.subject == "app"));
}

#[test]
fn without_a_target_the_plan_stands_and_says_so() {
    let plan = planned(|_, i, _| {
        (i.target, i.target_defaults, i.target_error) = (None, None, Some(Error::new(Code::TargetUnavailable, "connection refused")));
    });
    assert!(plan.migration_id.ends_with("-no-target"));
    assert_eq!(blockers(&plan).iter().map(|f| f.code).collect::<Vec<_>>(), [FindingCode::TargetUnreachable]);
    assert_eq!(plan.topics[1].configs["segment.bytes"], "65536", "what a target refuses is not known yet");
    assert!(plan.topics[1].unknown_configs.is_empty());
}

#[test]
fn the_migration_id_is_the_commands_the_configurations_or_derived() {
    assert_eq!(planned(|_, i, _| i.migration_id = Some("mine".into())).migration_id, "mine");
    assert_eq!(planned(|c, _, _| c.migration_id = Some("configured".into())).migration_id, "configured");
    assert!(plan().migration_id.starts_with("kf-"));
}

#[test]
fn in_place_is_checked_condition_by_condition() {
    let seen = |change: fn(&mut Config, &mut PlanInput, &mut Vec<TopicProbe>)| {
        planned(change).findings.into_iter().find(|f| f.code == FindingCode::InPlace).map(|f| f.seen)
    };
    let own = seen(|_, _, _| ()).unwrap();
    assert!(own.contains("KIP-866") && own.contains("applies to this cluster, as far as its brokers show"), "{own}");
    let old = seen(|_, i, _| {
        i.source.version = "3.6".into();
        i.source.broker_configs.insert("inter.broker.protocol.version".into(), "2.7-IV2".into());
        source_practice(i).log_dirs = [(1, 2), (2, 1)].into();
        i.source.scram_users = Some(vec![ScramUser { user: "shop".into(), mechanism: "SCRAM-SHA-512".into(), iterations: 4096 }]);
        source_practice(i).absent.insert(3);
    })
    .unwrap();
    for said in [
        "does not apply to this cluster as it stands: 4 of ",
        "NO: Kafka 3.9, to which an older cluster is upgraded first, broker by broker (3.6 is seen)",
        "NO: inter.broker.protocol.version is 3.9 (2.7 is set)",
        "NO: one log directory per broker, or 3.7 (KIP-858) (1 broker with several)",
        "yes: 3.5 or later, because there are SCRAM users",
        "NO: every broker is there",
    ] {
        assert!(old.contains(said), "{said}: {old}");
    }
    let ready = seen(|_, i, _| {
        let set = [("inter.broker.protocol.version", "3.9-IV0"), ("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer")];
        i.source.broker_configs.extend(set.map(|(key, value)| (key.to_owned(), value.to_owned())));
    })
    .unwrap();
    for said in ["yes: Kafka 3.9", "yes: inter.broker.protocol.version is 3.9", "yes: authorizer.class.name is kafka.security.authorizer.AclAuthorizer", "applies to this cluster"] {
        assert!(ready.contains(said), "{said}: {ready}");
    }
    let authorizer = |class: &str, acls: bool| {
        let plan = planned(|_, i, _| {
            i.source.broker_configs.insert("authorizer.class.name".into(), class.into());
            i.source.acls = i.source.acls.take().filter(|_| acls);
        });
        plan.findings.into_iter().find(|f| f.code == FindingCode::InPlace).unwrap().seen
    };
    assert!(authorizer("com.example.Ranger", true).contains("not seen: your own authorizer works without ZooKeeper (com.example.Ranger)"));
    assert!(authorizer(HIDDEN, true).contains("not seen: authorizer.class.name is"));
    for none in [authorizer("", false), authorizer(HIDDEN, false)] {
        assert!(!none.contains("authorizer"), "{none}");
    }
    let msk = seen(|_, i, _| {
        for (n, b) in i.source.brokers.iter_mut().enumerate() {
            b.host = format!("b-{n}.x.kafka.eu-west-1.amazonaws.com");
            b.rack = Some(format!("euw1-az{}", n % 2));
        }
        source_practice(i).log_dirs = [(1, 1)].into();
        source_practice(i).dynamic_settings.insert("advertised.listeners".into(), [1].into());
    })
    .unwrap();
    for said in ["2 of 9 conditions not met", "yes: Kafka 3.9.x", "NO: three Availability Zones, for Standard brokers (2 seen)", "NO: advertised.listeners is not set at run time (it is)", "not seen: no brokers of type kafka.t3.small"] {
        assert!(msk.contains(said), "{said}: {msk}");
    }
    // What the control plane tells is seen, too.
    let by_arn = seen(|c, i, _| {
        by_arns(c, i, |source, _| {
            (source.zones, source.instance_type) = (Some(3), Some("kafka.t3.small".into()));
            (source.public_access, source.open_monitoring, source.state) = (true, true, "UPDATING".into());
        })
    })
    .unwrap();
    for said in ["yes: three Availability Zones", "NO: no brokers of type kafka.t3.small", "NO: not public access together with open monitoring", "NO: the cluster is ACTIVE", "(UPDATING is seen)"] {
        assert!(by_arn.contains(said), "{said}: {by_arn}");
    }
    assert_eq!(seen(|_, i, _| i.source.metadata_mode = MetadataMode::Kraft), None);
    assert_eq!(seen(|_, i, _| i.target.as_mut().unwrap().metadata_mode = MetadataMode::ZooKeeper), None);
}

#[test]
fn who_is_away_what_lags_and_what_is_nearly_full_is_told_in_words() {
    let told = |code: FindingCode, change: Change| planned(change).findings.into_iter().find(|f| f.code == code).unwrap_or_else(|| panic!("no {}", code.as_str()));
    let absent = told(FindingCode::SourceUnhealthy, |_, i, _| {
        source_practice(i).absent = [7].into();
        source_topic(i, "orders").configs.get_mut("min.insync.replicas").unwrap().value = Some("3".into());
        source_topic(i, "orders").partitions[1].in_sync.truncate(2);
    });
    assert!(absent.seen.contains("brokers that replicas are assigned to and that are not there: 7") && absent.seen.contains("fewer in-sync replicas than min.insync.replicas"), "{}", absent.seen);
    let migrating = told(FindingCode::SourceMigrating, |_, i, _| source_practice(i).migrating = [1, 2].into());
    assert_eq!(migrating.seen, "brokers that say zkMigrationReady: 1, 2");
    let nearly = told(FindingCode::DiskShort, |_, i, _| target_practice(i).free_bytes = [(1, 1_000_000_000), (2, 0), (3, 0)].into());
    assert_eq!(nearly.severity, Severity::Warning, "{}", nearly.seen);
    let three = told(FindingCode::Controllers, |_, i, _| target_practice(i).voters = Some([1, 2, 3].into()));
    assert_eq!((three.severity, three.seen.as_str()), (Severity::Information, "nodes that are broker and controller at once: 1, 2, 3"));
    assert!(told(FindingCode::Controllers, |_, i, _| target_practice(i).voters = Some([101, 102, 103, 104].into())).seen.contains("stand no more failures (1) than 3 would"));
    let full = told(FindingCode::Sizing, |_, i, _| target_practice(i).replicas = [(1, 12_001)].into());
    assert_eq!(full.severity, Severity::Warning, "{}", full.seen);
    let led = told(FindingCode::Sizing, |_, i, _| (source_practice(i).partitions, source_practice(i).not_preferred) = (10, 2));
    assert!(led.seen.contains("2 of the source's 10 partitions are not led by their first replica"), "{}", led.seen);
    let old = told(FindingCode::OldClients, |_, i, _| i.clients.as_mut().unwrap().first_protocol = vec!["billing".into()]);
    assert!(old.seen.contains("look at these first: billing"), "{}", old.seen);
}

#[test]
fn a_copy_is_too_large_only_where_every_broker_told_its_room() {
    let room = |free: &[(i32, i64)], absent: &[i32], change: fn(&mut PlanInput)| {
        let plan = planned(|_, i, _| {
            target_practice(i).free_bytes = free.iter().copied().collect();
            target_practice(i).absent = absent.iter().copied().collect();
            change(i);
        });
        let of = |code| plan.findings.iter().find(|f| f.code == code).cloned();
        (of(FindingCode::DiskRoom).unwrap(), of(FindingCode::DiskShort))
    };
    let all = [(1, 300_000_000), (2, 0), (3, 0)];
    assert_eq!(room(&all, &[], |_| {}).1.unwrap().severity, Severity::Blocker);
    for (free, absent, who) in [(&all[..2], &[][..], "brokers 3"), (&all[..1], &[], "brokers 2, 3"), (&all, &[7], "brokers 7")] {
        let (told, short) = room(free, absent, |_| {});
        assert!(short.is_none() && told.seen.ends_with(&format!("have 300.0 MB free, which is not told by {who}")), "{}", told.seen);
        assert_eq!(told.severity, Severity::Warning);
    }
    let (told, short) = room(&[(1, 3_000_000_000)], &[], |_| {});
    assert_eq!((told.severity, short), (Severity::Information, None));
    // Fillers for 100 million offsets are deleted as the copy goes: what needs hardly any room does not block for them.
    let filled = |i: &mut PlanInput| *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(100_000_000, 100_000_010)], &[]);
    let (_, short) = room(&[(1, 10_000_000), (2, 0), (3, 0)], &[], filled);
    let short = short.unwrap();
    assert!(short.severity == Severity::Warning && short.seen.contains("prefix fillers"), "{}", short.seen);
    assert_eq!(room(&[(1, 1_000_000_000_000), (2, 0), (3, 0)], &[], filled).1, None);
}

#[test]
fn topics_of_an_application_belong_to_the_longest_name_that_fits() {
    let plan = planned(|_, i, _| {
        for name in ["app-counts-changelog", "app-2-counts-changelog", "app-2-keys-repartition"] {
            i.source.topics.push(topic(name, (3, 9), 3, &[(0, 1)], &[]));
        }
        i.source.groups.extend(["app", "app-2"].map(|id| group(id, 0, &[])));
    });
    let streams = plan.findings.iter().find(|f| f.code == FindingCode::Streams).unwrap();
    let list = "2 applications: app (1 topic of its own: app-counts-changelog), app-2 (2 topics of its own: app-2-counts-changelog, app-2-keys-repartition)";
    assert!(streams.seen.starts_with(list), "{}", streams.seen);
    assert!(!codes(&plan).contains(&FindingCode::ApplicationPartly));
}

#[test]
fn access_that_changed_on_the_source_since_the_plan_is_named() {
    let mut before = source();
    before.acls = Some(vec![binding("User:gone", "orders", Operation::Read), binding("User:stays", "orders", Operation::Read)]);
    let limit = |n| quota("user=shop", &[("producer_byte_rate", n)]);
    before.quotas = Some(vec![limit(1.0)]);
    before.scram_users = Some(vec![]);
    let mut plan = fixture::plan();
    plan.source = before.clone();
    assert_eq!(reconcile(&plan, &before), []);
    let mut now = before.clone();
    now.acls = Some(vec![binding("User:stays", "orders", Operation::Read), binding("User:came", "orders", Operation::Read)]);
    now.quotas = Some(vec![limit(2.0)]);
    now.scram_users = Some(vec![ScramUser { user: "shop".into(), mechanism: "SCRAM-SHA-512".into(), iterations: 4096 }]);
    let told: Vec<String> = reconcile(&plan, &now).iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("new: ") && told[0].contains("User:came") && told[0].contains("gone: ") && told[0].contains("User:gone") && !told[0].contains("User:stays"), "{}", told[0]);
    assert!(told[1].ends_with("on the source it is now: producer_byte_rate 2 of user `shop`"), "{}", told[1]);
    assert!(told[2].ends_with("new: shop (SCRAM-SHA-512)"), "{}", told[2]);
    assert!(reconcile(&plan, &now).iter().all(|d| d.failure().is_none() && d.severity() == Severity::Warning));
    now.quotas = None;
    now.acls = None;
    assert_eq!(reconcile(&plan, &now).len(), 1, "what is not told is not compared");
}

#[test]
fn what_changed_on_the_source_since_the_plan() {
    let plan = plan();
    assert_eq!(reconcile(&plan, &source()), []);

    let mut now = source();
    now.topics.push(topic("new", (3, 9), 3, &[(0, 0)], &[]));
    now.topics[0].partitions.push(topic("x", (3, 9), 3, &[(0, 0); 3], &[]).partitions.remove(2));
    now.topics[1].topic_id = Some("another".into());
    now.topics[0].configs.get_mut("retention.ms").unwrap().value = Some("1".into());
    now.topics[0].partitions[1].log_end = Some(400);
    let drifts = reconcile(&plan, &now);
    let words: Vec<String> = drifts.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "topic orders was created anew on the source: id id-of-orders when planned, id another now",
            "topic payments has 3 partitions on the source, 2 when planned: a cutover is refused (KF-SOURCE-GREW)",
            "the log of payments-1 ends at 400 on the source, 500 when planned",
            "topic payments has changed settings on the source: retention.ms",
            "topic new is new on the source and not in the plan: once it holds records, a cutover is refused (KF-SOURCE-GREW)",
        ]
    );
    assert_eq!(drifts.iter().filter(|d| d.failure().is_some()).count(), 1);

    now.topics.remove(1);
    assert_eq!(reconcile(&plan, &now)[0], Drift::TopicDeleted { topic: "orders".into() });
    now.cluster_id = "other".into();
    assert!(matches!(reconcile(&plan, &now)[..], [Drift::ClusterChanged { .. }]));
}

#[test]
fn fewer_partitions_mean_a_recreated_topic_where_there_are_no_ids() {
    let (plan, mut now) = (planned(|_, i, _| source_topic(i, "orders").topic_id = None), source());
    now.topics[1].partitions.pop();
    assert!(matches!(&reconcile(&plan, &now)[0], Drift::TopicRecreated { topic, .. } if topic == "orders"));
}

#[test]
fn settings_of_brokers_differ_from_settings_of_the_topic() {
    let plan = planned(|_, i, _| {
        let retention = source_topic(i, "orders").configs.get_mut("retention.ms").unwrap();
        (retention.value, retention.source) = (Some("1000000000".into()), ConfigSource::Broker);
    });
    assert_eq!(plan.topics[0].configs["retention.ms"], "1000000000");
}

#[test]
fn the_plan_as_json() {
    let mut plan = plan();
    plan.kferry_version = "VERSION".into();
    let json = serde_json::to_string_pretty(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan, "what execute journals is what was planned");
    // The two snapshots are the input, not the plan: they are left out of the picture.
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    for cluster in ["source", "target"] {
        value[cluster] = value[cluster]["cluster_id"].clone();
    }
    insta::assert_snapshot!("plan_json", serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn the_seeds_time_goes_by_what_the_source_was_seen_to_hand_out() {
    let basis = |observed, limit| {
        let plan = planned(|config, input, _| {
            config.seed.rate_limit = limit;
            input.source_bytes_per_second = observed;
        });
        (plan.estimate.seed_seconds, plan.estimate.basis.split(';').next().unwrap().to_owned())
    };
    assert_eq!(basis(Some(10_000_000), None), (31, "300.1 MB at 10.0 MB/s (as the source was read for this plan)".to_owned()));
    assert!(basis(Some(300_000_000), None).1.contains("at 100.0 MB/s (assumed of the target and the store, which are not written to"));
    assert!(basis(Some(10_000_000), Some(5_000_000)).1.contains("at 5.0 MB/s (seed.rate_limit"));
    assert!(basis(Some(10_000_000), Some(50_000_000)).1.contains("at 10.0 MB/s (as the source was read"));
    let freeze = |groups: usize| {
        let plan = planned(|_, input, _| {
            let group = input.source.groups[0].clone();
            input.source.groups = vec![group; groups];
        });
        plan.estimate.freeze_ms.unwrap()
    };
    assert_eq!(freeze(101) - freeze(1), 800);
}

fn of_code(plan: &Plan, code: FindingCode) -> Vec<(String, String)> {
    plan.findings.iter().filter(|f| f.code == code).map(|f| (f.subject.clone(), f.seen.clone())).collect()
}

#[test]
fn regions_are_told_by_brokers_too_and_segments_elsewhere_are_told() {
    let of = |source: &str, target: &str, bucket: Option<&str>| {
        planned(|c, i, _| {
            c.source.bootstrap_servers = vec![format!("b-1.old.abc123.c2.kafka.{source}.amazonaws.com:9096")];
            i.target.as_mut().unwrap().brokers[0].rack = Some(format!("{target}a"));
            c.backup = StoreConfig::S3 { bucket: "segments".into(), prefix: String::new(), region: bucket.map(str::to_owned), kms_key_arn: None, endpoint_url: None };
        })
    };
    let (apart, none) = (of("eu-west-1", "us-east-1", Some("us-east-1")), of("eu-west-1", "eu-west-1", None));
    assert!(of_code(&apart, FindingCode::CrossRegion)[0].1.starts_with("from eu-west-1 to us-east-1: at least "));
    assert_eq!(of_code(&apart, FindingCode::StoreCrossRegion), [], "kferry runs beside the target");
    assert_eq!((of_code(&none, FindingCode::CrossRegion), of_code(&none, FindingCode::StoreCrossRegion)), (vec![], vec![]));
    let bucket = of_code(&of("eu-west-1", "us-east-1", Some("eu-west-1")), FindingCode::StoreCrossRegion);
    assert!(bucket[0].0 == "backup" && bucket[0].1.starts_with("the segments go to eu-west-1, the target is in us-east-1: "), "{bucket:?}");
}

#[test]
fn a_log_that_is_as_large_as_it_may_be_is_told_and_one_with_room_is_not() {
    let of = |bytes: i64, written: u64, policy: &str| {
        let plan = planned(|_, i, _| {
            let configs = [("retention.bytes", "1000000"), ("cleanup.policy", policy), ("retention.ms", "-1")];
            *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(0, 10), (0, 0)], &configs);
            source_topic(i, "orders").partitions[0].size_bytes = Some(bytes);
            i.written = Some(crate::domain::plan::Written { records: written, bytes: written, unsized_records: 0, window_ms: 1_000 });
        });
        of_code(&plan, FindingCode::ShortRetention).into_iter().filter(|(topic, _)| topic == "orders").collect::<Vec<_>>()
    };
    let full = of(1_000_000, 0, "delete");
    assert!(full[0].1.starts_with("partition 0 holds 1.0 MB of the 1.0 MB that retention.bytes lets it keep; what expires"), "{full:?}");
    assert_eq!((of(900_000, 0, "delete"), of(1_000_000, 0, "compact")), (vec![], vec![]));
    assert_eq!(of(900_000, 50_000_000, "delete").len(), 1, "it grows beyond");
}

#[test]
fn what_is_in_remote_storage_is_said_to_be_in_no_size() {
    let plan = planned(|_, i, _| *source_topic(i, "orders") = topic("orders", (3, 9), 3, &[(0, 10_000)], &[("remote.storage.enable", "true")]));
    let tiered = of_code(&plan, FindingCode::TieredStorage);
    assert!(tiered[0].1.starts_with("remote.storage.enable=true; 1.0 MB are on the brokers' own disks"), "{tiered:?}");
    let room = of_code(&plan, FindingCode::DiskRoom);
    assert!(room[0].1.contains("without the remote part of 1 topic with tiered storage: orders"), "{room:?}");
}

#[test]
fn a_source_that_cannot_be_read_does_not_hide_the_target_the_stores_and_the_key() {
    let config = config();
    let down = |cluster: &str| Error::new(Code::SourceUnavailable, format!("{cluster}: connection refused"));
    let failing = StoreProbe { failures: vec![crate::domain::store_cause::StoreFailure { cause: StoreCause::Denied, seen: "s3:PutObject".into() }], ..StoreProbe::default() };
    let found = |target: Option<&Error>| {
        let places = places_findings(&config, Some(&failing), Some(&StoreProbe::default()), &SigningKey::Unset);
        without_source(&config, &down("source"), target, places)
    };
    let codes_of = |found: &[Finding]| found.iter().map(|f| f.code).collect::<Vec<_>>();
    use FindingCode as C;
    let both = found(Some(&down("target")));
    assert_eq!(codes_of(&both), [C::SourceUnreachable, C::TargetUnreachable, C::StoreDenied, C::SigningKeyMissing, C::NotProbed]);
    let one = found(None);
    assert_eq!(codes_of(&one), [C::SourceUnreachable, C::StoreDenied, C::SigningKeyMissing, C::NotProbed]);
    assert!(one[3].seen.starts_with("the target beyond its metadata"), "{one:?}");
}
