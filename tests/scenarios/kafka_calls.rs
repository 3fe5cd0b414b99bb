//! Every raw protocol call, against a ZooKeeper cluster and a KRaft cluster.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kferry::config::model::{Auth, ClusterConfig};
use kferry::domain::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};
use kferry::domain::partition::TopicPartition;
use kferry::domain::topology::{CommittedOffset, ConfigSource, MetadataMode};
use kferry::error::Code;
use kferry::kafka::cluster::{Cluster, Coordinator, Side};
use kferry::kafka::group_offsets::GroupCommit;
use kferry::kafka::offsets::OffsetAt;
use kferry::kafka::sentinel::{EmptyTransaction, Written};
use kferry::kafka::source::Source;
use kferry::kafka::target::Target;
use kferry::kafka::topics::{NewTopic, TopicCreated};

use crate::lab::{Agent, Cluster as Lab, Commit, Consume, Load, Options, Topic};

fn config(bootstrap: &str) -> ClusterConfig {
    let auth = Auth::plaintext();
    ClusterConfig::at(bootstrap.split(',').map(String::from).collect(), auth)
}

fn run<F: Future<Output = ()> + Send + 'static>(scenario: F) {
    // Spawned, so that the futures are seen to be `Send`.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(scenario).await.unwrap() });
}

/// Runs what blocks.
async fn lab<T: Send + 'static>(work: impl FnOnce(&'static Agent) -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(|| work(Agent::shared())).await.unwrap()
}

fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|p| TopicPartition::new(topic, p)).collect()
}

fn topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> NewTopic {
    let configs = configs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    NewTopic { name: name.into(), partitions, replication_factor: 1, configs }
}

#[test]
fn every_call_works_with_zookeeper() {
    let lab = Lab::zookeeper(1, Options::default().authorizer());
    run(every_call(lab.bootstrap(), MetadataMode::ZooKeeper, "3.9"));
}

#[test]
fn every_call_works_with_kraft() {
    let lab = Lab::kraft(1, Options::default().authorizer());
    run(every_call(lab.bootstrap(), MetadataMode::Kraft, "4.1"));
}

async fn every_call(bootstrap: String, mode: MetadataMode, version: &'static str) {
    let cluster = Cluster::connect(Side::Target, &config(&bootstrap)).await.unwrap();
    let target = Target::new(&cluster);
    let identity = target.identity().await.unwrap();
    assert_eq!((identity.metadata_mode, identity.version.as_str()), (mode, version), "{identity:?}");
    topics(&target).await;
    offsets_and_transactions(&target, bootstrap.clone()).await;
    settings(&target).await;
    acls(&target).await;
    groups(&target, bootstrap.clone()).await;
    empty_transactions(&cluster).await;
    snapshot(&cluster, mode).await;
    health(&target, mode).await;
}

async fn topics(target: &Target) {
    let wanted = [
        topic("plain", 3, &[("retention.ms", "-1")]),
        topic("wrong", 1, &[("retention.ms", "soon")]),
        topic("many", 60, &[]),
    ];
    let created = target.create_topics(&wanted).await.unwrap();
    assert_eq!(*created[0].as_ref().unwrap(), TopicCreated::Created);
    let refused = created[1].as_ref().unwrap_err();
    assert_eq!(refused.code(), Code::KafkaRefused);
    assert!(refused.seen().contains("INVALID_CONFIG (40)") && refused.seen().contains("wrong"), "{refused}");
    assert_eq!(*created[2].as_ref().unwrap(), TopicCreated::Created);
    target.wait_for_topics(&["plain".into(), "many".into()]).await.unwrap();
    let created = target.create_topics(&wanted[..1]).await.unwrap();
    assert_eq!(*created[0].as_ref().unwrap(), TopicCreated::Existed);

    let id = target.refresh().await.unwrap().topic("plain").unwrap().topic_id;
    let started = Instant::now();
    let again = target.recreate_topic(&wanted[0]).await.unwrap();
    assert!(again.topic_id.is_some() && again.topic_id != id);
    println!("a topic is created anew in {:.0?}", started.elapsed());
    target.delete_topics(&["wrong".into(), "never-was".into()]).await.unwrap();
}

async fn offsets_and_transactions(target: &Target, bootstrap: String) {
    let one = vec![TopicPartition::new("plain", 0)];
    let at = |at| {
        let one = one.clone();
        async move { target.offsets(&one, at).await.unwrap()[&one[0]] }
    };
    assert_eq!((at(OffsetAt::Earliest).await, at(OffsetAt::HighWatermark).await, at(OffsetAt::MaxTimestamp).await), (0, 0, -1));
    let servers = bootstrap.clone();
    lab(move |lab| {
        lab.produce(&servers, "plain", &Load::records(100).partition(0).timestamps(1_700_000_000_000, 10));
        lab.begin_transaction(&servers, "open-one", "plain", &Load::records(5).partition(0).timestamps(1_700_000_001_000, 0), 60_000);
    })
    .await;
    assert_eq!((at(OffsetAt::LastStable).await, at(OffsetAt::HighWatermark).await, at(OffsetAt::LogEnd).await), (100, 105, 105));
    assert_eq!(at(OffsetAt::Timestamp(1_700_000_000_500)).await, 50);
    let latest = target.list_offsets(&one, OffsetAt::MaxTimestamp).await.unwrap()[&one[0]];
    assert_eq!(latest.timestamp, 1_700_000_001_000);

    let open = target.open_transactions().await.unwrap().unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((open[0].transactional_id.as_str(), open[0].state.as_str(), &open[0].partitions), ("open-one", "Ongoing", &one));
    let producers = target.producers(&one).await.unwrap().unwrap().remove(&one[0]).unwrap();
    let within: Vec<_> = producers.iter().filter(|p| p.transaction_start.is_some()).collect();
    assert_eq!((producers.len(), within.len()), (2, 1), "{producers:?}");
    assert_eq!((within[0].producer_id, within[0].transaction_start), (open[0].producer_id, Some(100)));
    lab(|lab| lab.end_transaction("open-one", true)).await;
    // The answer comes before the marker lands.
    while at(OffsetAt::LogEnd).await < 106 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((at(OffsetAt::LastStable).await, at(OffsetAt::LogEnd).await), (106, 106));

    let low = target.delete_records(&[(one[0].clone(), 17)].into()).await.unwrap();
    assert_eq!((low[&one[0]], at(OffsetAt::Earliest).await), (17, 17));
    let beyond = target.delete_records(&[(one[0].clone(), 1000)].into()).await.unwrap_err();
    assert!(beyond.code() == Code::KafkaRefused && beyond.seen().contains("OFFSET_OUT_OF_RANGE (1)"), "{beyond}");

    let absent = [one[0].clone(), TopicPartition::new("absent", 0)];
    let (done, failed) = target.with_patience(Duration::ZERO).list_offsets_each(&absent, OffsetAt::LogEnd).await;
    assert_eq!((done.len(), failed[&absent[1]].code()), (1, Code::TargetUnavailable));
}

async fn settings(target: &Target) {
    let names = ["plain".to_owned(), "absent".to_owned()];
    let configs = target.topic_configs(&names).await.unwrap();
    assert_eq!(configs.len(), 1);
    let retention = &configs["plain"]["retention.ms"];
    assert_eq!((retention.value.as_deref(), retention.source), (Some("-1"), ConfigSource::Topic));
    assert_eq!(configs["plain"]["compression.type"].source, ConfigSource::Default);

    let set = [("retention.ms".to_owned(), None), ("max.message.bytes".to_owned(), Some("2000000".to_owned()))].into();
    target.alter_topic_configs("plain", &set).await.unwrap();
    let configs = target.topic_configs(&names).await.unwrap().remove("plain").unwrap();
    assert_eq!((configs["max.message.bytes"].value.as_deref(), configs["max.message.bytes"].source), (Some("2000000"), ConfigSource::Topic));
    assert_ne!(configs["retention.ms"].source, ConfigSource::Topic);
    let wrong = [("retention.ms".to_owned(), Some("soon".to_owned()))].into();
    let refused = target.alter_topic_configs("plain", &wrong).await.unwrap_err();
    assert!(refused.code() == Code::KafkaRefused && refused.seen().contains("retention.ms"), "{refused}");
}

async fn acls(target: &Target) {
    assert_eq!(target.acls().await.unwrap(), Some(vec![]));
    let binding = |name: &str, pattern_type, operation| AclBinding {
        resource_type: ResourceType::Topic,
        resource_name: name.into(),
        pattern_type,
        principal: "User:alice".into(),
        host: "*".into(),
        operation,
        permission: Permission::Allow,
    };
    let mut bindings = vec![
        binding("plain", PatternType::Literal, Operation::Read),
        binding("plain", PatternType::Prefixed, Operation::Read),
        binding("plain", PatternType::Literal, Operation::All),
        AclBinding { permission: Permission::Deny, host: "10.0.0.1".into(), ..binding("*", PatternType::Literal, Operation::Write) },
        AclBinding { resource_type: ResourceType::Cluster, ..binding("kafka-cluster", PatternType::Literal, Operation::ClusterAction) },
    ];
    bindings.sort();
    target.create_acls(&bindings).await.unwrap();
    target.create_acls(&bindings[..2]).await.unwrap();
    assert_eq!(target.acls().await.unwrap().unwrap(), bindings);
    assert_eq!(target.delete_acls(&bindings[1..]).await.unwrap(), 4);
    assert_eq!(target.acls().await.unwrap().unwrap(), bindings[..1]);
    assert_eq!(target.delete_acls(&bindings).await.unwrap(), 1);
}

async fn groups(target: &Target, bootstrap: String) {
    let offset = |partition, next_offset, metadata: &str| CommittedOffset {
        topic: "plain".into(),
        partition,
        next_offset,
        metadata: Some(metadata.into()),
    };
    let servers = bootstrap.clone();
    lab(move |lab| {
        lab.commit_group_offsets(&servers, "simple", &[Commit::new("plain", 0, 42, "note"), Commit::new("plain", 2, 0, "")]);
        lab.hold_group(&servers, "held", &["plain"]);
        lab.consume(&servers, &Consume::to_end("gone", &["plain"]));
    })
    .await;
    let listed = target.list_groups().await.unwrap();
    assert_eq!(listed.iter().map(|g| g.group_id.as_str()).collect::<Vec<_>>(), ["gone", "held", "simple"], "{listed:?}");
    let described = target.describe_groups(&listed).await.unwrap();
    let state = |index: usize| (described[index].state.as_str(), described[index].group_type.as_str(), described[index].members);
    assert_eq!((state(0), state(1), state(2)), (("Empty", "classic", 0), ("Stable", "classic", 1), ("Empty", "classic", 0)));
    assert_eq!(described[2].offsets, [offset(0, 42, "note"), offset(2, 0, "")]);
    assert_eq!(described[0].offsets.iter().find(|o| o.partition == 0).unwrap().next_offset, 106);

    let mut wanted: BTreeMap<String, Vec<CommittedOffset>> =
        ["simple", "held", "new"].map(|group| (group.to_owned(), vec![offset(0, 77, "moved"), offset(1, 0, "")])).into();
    wanted.insert("astray".into(), vec![CommittedOffset { topic: "absent".into(), ..offset(0, 1, "") }]);
    let started = Instant::now();
    let outcome = target.with_patience(Duration::from_secs(1)).commit_group_offsets(&wanted).await;
    println!("offsets of {} groups in {:.0?}: {outcome:?}", wanted.len(), started.elapsed());
    assert_eq!((&outcome["simple"], &outcome["new"]), (&GroupCommit::Committed, &GroupCommit::Committed));
    assert!(matches!(&outcome["held"], GroupCommit::HasMembers { seen } if seen.contains("UNKNOWN_MEMBER_ID")));
    assert!(matches!(&outcome["astray"], GroupCommit::Refused { seen } if seen.contains("UNKNOWN_TOPIC_OR_PARTITION")));
    let read = target.group_offsets(&["simple".into(), "new".into()], true).await.unwrap();
    assert_eq!(read["simple"], [offset(0, 77, "moved"), offset(1, 0, ""), offset(2, 0, "")]);
    assert_eq!(read["new"], wanted["new"]);

    let many: BTreeMap<String, Vec<CommittedOffset>> = (0..200)
        .map(|g| (format!("many-{g}"), (0..60).map(|p| CommittedOffset { topic: "many".into(), ..offset(p, 0, "") }).collect()))
        .collect();
    let started = Instant::now();
    let outcome = target.commit_group_offsets(&many).await;
    assert!(outcome.values().all(|o| *o == GroupCommit::Committed));
    println!("200 groups × 60 offsets are committed in {:.0?}", started.elapsed());
    let started = Instant::now();
    let read = target.group_offsets(&many.keys().cloned().collect::<Vec<_>>(), true).await.unwrap();
    assert_eq!(read, many);
    println!("and read back in {:.0?}", started.elapsed());
    lab(move |lab| lab.release_group(&bootstrap, "held")).await;
}

async fn empty_transactions(cluster: &Cluster) {
    let target = Target::new(cluster);
    let all = partitions("many", 60);
    let ends = target.offsets(&all, OffsetAt::LogEnd).await.unwrap();
    let first = EmptyTransaction::begin(cluster, "kferry-test").await.unwrap();
    for round in 0..5 {
        let started = Instant::now();
        let here = ends.iter().map(|(p, end)| (p.clone(), end + round)).collect();
        assert_eq!(first.write(&here, round % 2 == 0).await.unwrap(), Written::Placed);
        println!("60 markers in {:.0?}", started.elapsed());
    }
    let Written::NotBegun(elsewhere) = first.write(&ends, true).await.unwrap() else { panic!("written at the wrong place") };
    assert_eq!((elsewhere.len(), elsewhere[0].expected_end, elsewhere[0].log_end), (60, 0, 5));
    let one: BTreeMap<_, _> = [(all[7].clone(), 5)].into();
    let started = Instant::now();
    for round in 0..20 {
        let here = one.iter().map(|(p, end)| (p.clone(), end + round)).collect();
        assert_eq!(first.write(&here, true).await.unwrap(), Written::Placed);
    }
    println!("20 markers one after the other in one partition in {:.0?}", started.elapsed());

    // A predecessor that died between adding its partitions and ending: its marker lands where it was due.
    let target_producer = target.transactional_producer("kferry-test", Duration::from_secs(60)).await.unwrap();
    let fenced = first.write(&[(all[0].clone(), 5)].into(), true).await.unwrap_err();
    assert_eq!(fenced.code(), Code::KafkaRefused, "{fenced}");
    target_producer.add_partitions(&all[..2]).await.unwrap();
    let next = EmptyTransaction::begin(cluster, "kferry-test").await.unwrap();
    let ends = target.offsets(&all[..3], OffsetAt::LogEnd).await.unwrap();
    assert_eq!(ends.values().copied().collect::<Vec<_>>(), [6, 6, 5]);
    assert!(next.identity().producer_id == first.identity().producer_id && next.identity().producer_epoch > first.identity().producer_epoch);

    let (a, b) = (target.init_producer_id().await.unwrap(), target.init_producer_id().await.unwrap());
    assert!(a.producer_id != b.producer_id && a.producer_epoch == 0, "{a:?} {b:?}");
    cluster.coordinator("kferry-test", Coordinator::Transaction).await.unwrap();
    cluster.coordinator("simple", Coordinator::Group).await.unwrap();
}

async fn snapshot(cluster: &Cluster, mode: MetadataMode) {
    let started = Instant::now();
    let snapshot = Source::new(cluster).snapshot(|name| name != "many", |group| !group.starts_with("many")).await.unwrap();
    println!("snapshot in {:.0?}: {:#?}", started.elapsed(), snapshot.broker_configs);
    assert_eq!(snapshot.metadata_mode, mode);
    let plain = snapshot.topic("plain").unwrap();
    assert!(plain.topic_id.as_ref().is_some_and(|id| id.len() == 22) && snapshot.topic("many").is_none());
    let first = &plain.partitions[0];
    assert_eq!((first.leader, first.log_start, first.log_end), (Some(1), Some(17), Some(106)));
    assert!(first.size_bytes.unwrap() > 0);
    assert!(snapshot.topic("__consumer_offsets").unwrap().internal);
    assert_eq!(snapshot.groups.iter().map(|g| g.group_id.as_str()).collect::<Vec<_>>(), ["gone", "held", "new", "simple"]);
    assert_eq!(snapshot.acls, Some(vec![]));
    assert!(snapshot.broker_configs["authorizer.class.name"].ends_with("Authorizer"));
}

async fn health(target: &Target, mode: MetadataMode) {
    let quorum = target.quorum().await.unwrap();
    assert_eq!(quorum.is_some(), mode == MetadataMode::Kraft, "{quorum:?}");
    assert_eq!(target.reassignments().await.unwrap(), Some(vec![]));
    let troubled = target.metadata().troubled(|_| true);
    assert_eq!((troubled.offline.len(), troubled.under_replicated.len()), (0, 0));
}

#[test]
fn calls_survive_brokers_that_go_and_come_back() {
    let lab_cluster = std::sync::Arc::new(Lab::kraft(3, Options::default()));
    run(async move {
        let cluster = Cluster::connect(Side::Source, &config(&lab_cluster.bootstrap())).await.unwrap();
        let servers = lab_cluster.bootstrap();
        lab(move |lab| {
            lab.create_topics(&servers, &[Topic::new("orders", 12).replication(3)]);
            lab.produce(&servers, "orders", &Load::records(1_000));
            lab.commit_group_offsets(&servers, "group", &[Commit::new("orders", 0, 1, "")]);
        })
        .await;
        let source = Source::new(&cluster);
        source.refresh().await.unwrap();
        let all = partitions("orders", 12);
        let mut ends = source.offsets(&all, OffsetAt::LogEnd).await.unwrap();
        assert_eq!(ends.values().sum::<i64>(), 1_000);
        let sentinel = EmptyTransaction::begin(&cluster, "kferry-test").await.unwrap();
        for broker in 1..=3 {
            let dying = lab_cluster.clone();
            tokio::task::spawn_blocking(move || dying.kill_broker(broker)).await.unwrap();
            let started = Instant::now();
            assert_eq!(source.offsets(&all, OffsetAt::LogEnd).await.unwrap(), ends);
            println!("log ends {:.1?} after broker {broker} was killed", started.elapsed());
            assert_eq!(sentinel.write(&ends, true).await.unwrap(), Written::Placed);
            ends.values_mut().for_each(|end| *end += 1);
            assert_eq!(source.group_offsets(&["group".into()], true).await.unwrap()["group"].len(), 1);
            source.list_groups().await.unwrap();
            println!("markers and groups after {:.1?}", started.elapsed());
            assert!(!source.refresh().await.unwrap().troubled(|t| t == "orders").under_replicated.is_empty());
            let reviving = lab_cluster.clone();
            tokio::task::spawn_blocking(move || {
                reviving.start_broker(broker);
                reviving.wait_ready();
            })
            .await
            .unwrap();
            while !source.refresh().await.unwrap().troubled(|t| t == "orders").under_replicated.is_empty() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
}

#[test]
fn each_marker_is_written_once_while_connections_are_cut() {
    let lab_cluster = std::sync::Arc::new(Lab::zookeeper(1, Options::default().proxied()));
    run(async move {
        let cluster = Cluster::connect(Side::Target, &config(&lab_cluster.proxied_bootstrap())).await.unwrap();
        let target = Target::new(&cluster);
        target.create_topics(&[topic("marked", 3, &[])]).await.unwrap().pop().unwrap().unwrap();
        target.wait_for_topics(&["marked".into()]).await.unwrap();
        let sentinel = EmptyTransaction::begin(&cluster, "kferry-test").await.unwrap();
        let (knives, cut) = (lab_cluster.clone(), std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let count = cut.clone();
        let cutting = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(37)).await;
                let cut = knives.proxies()[0].cut();
                count.fetch_add(cut, std::sync::atomic::Ordering::SeqCst);
            }
        });
        let mut ends = target.offsets(&partitions("marked", 3), OffsetAt::LogEnd).await.unwrap();
        for round in 0..40 {
            assert_eq!(sentinel.write(&ends, true).await.unwrap(), Written::Placed, "round {round}");
            ends.values_mut().for_each(|end| *end += 1);
        }
        cutting.abort();
        println!("40 × 3 markers while {} connections were cut", cut.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(target.offsets(&partitions("marked", 3), OffsetAt::LogEnd).await.unwrap(), ends);
    });
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    run(async {
        let started = Instant::now();
        let error = Cluster::connect(Side::Source, &config("127.0.0.1:1")).await.unwrap_err();
        assert_eq!(error.code(), Code::SourceUnavailable);
        assert!(error.seen().contains("127.0.0.1:1") && started.elapsed() < Duration::from_secs(8), "{error}");
    });
}
