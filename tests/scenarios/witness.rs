//! The witness against real brokers: what librdkafka samples of two clusters, and what lies where sentinels were written.

use crate::lab::{Agent, Cluster, Load, Options, Topic};
use kferry::config::model::{Auth, ClusterConfig};
use kferry::domain::digest::Digest;
use kferry::domain::partition::TopicPartition;
use kferry::error::Code;
use kferry::kafka::cluster::{self, Side};
use kferry::kafka::sentinel::{EmptyTransaction, Written};
use kferry::kafka::source::Source;
use kferry::kafka::target::Target;
use kferry::kafka::witness::{SampleRequest, Witness, spot_check};
use kferry::validation::report::Outcome;
use kferry::validation::sentinel_presence::{self, Looked, SentinelFacts};
use kferry::validation::spot_check::DigestFacts;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn config(bootstrap: &str) -> ClusterConfig {
    let auth = Auth::plaintext();
    ClusterConfig::at(bootstrap.split(',').map(String::from).collect(), auth)
}

/// As if the copier had read everything and found it equal: the samples alone decide.
fn facts(partition: &TopicPartition, log_start: i64, end_offset: i64, records: u64) -> DigestFacts {
    let root = Digest::of("equal");
    DigestFacts {
        partition: partition.clone(),
        source_log_start: log_start,
        end_offset,
        verified_offset: end_offset,
        source_root: root,
        target_root: root,
        source_leaves: 1,
        target_leaves: 1,
        records,
        compacts: false,
        map: None,
    }
}

/// Topics and what goes into them, the same on both sides.
fn loads() -> Vec<(Topic, Load)> {
    let big = Topic::new("big", 1).config("max.message.bytes", 6_000_000);
    let plain = |records| Load::records(records).timestamps(1_700_000_000_000, 7);
    // Old timestamps: nothing may expire by itself.
    let kept = |topic: Topic| topic.config("retention.ms", -1);
    vec![
        (kept(big), plain(12).values(5_000_000, 5_000_000).random()),
        (kept(Topic::new("empty", 2)), plain(0)),
        (kept(Topic::new("odd", 4)), plain(4_000).odd_headers().nulls(0.1, 0.1).codec("lz4")),
        (kept(Topic::new("single", 1)), plain(300).one_record_batches()),
        (kept(Topic::new("trimmed", 1)), plain(2_000).codec("zstd")),
    ]
}

#[test]
fn librdkafka_samples_both_sides_and_sees_a_difference() {
    let started = Instant::now();
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::zookeeper(1, Options::default()));
        let target = scope.spawn(|| Cluster::kraft(1, Options::default()));
        scope.spawn(Agent::shared);
        (source.join().unwrap(), target.join().unwrap())
    });
    let (lab, one, other) = (Agent::shared(), source.bootstrap(), target.bootstrap());
    for bootstrap in [&one, &other] {
        let topics: Vec<Topic> = loads().into_iter().map(|(topic, _)| topic).collect();
        lab.create_topics(bootstrap, &topics);
        for (topic, load) in loads() {
            lab.produce(bootstrap, &topic.name, &load);
        }
        lab.delete_records(bootstrap, "trimmed", 0, 777);
    }
    println!("loaded after {:.1?}", started.elapsed());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(scenario(lab, &one, &other));
    println!("all of it after {:.1?}", started.elapsed());
}

async fn scenario(lab: &Agent, one: &str, other: &str) {
    let spans = lab.offsets(one);
    assert_eq!(spans, lab.offsets(other), "the loads are the same");
    let ends: BTreeMap<TopicPartition, i64> =
        spans.iter().map(|((topic, partition), span)| (TopicPartition::new(topic.as_str(), *partition), span.log_end)).collect();

    // Sentinels on both sides, by two producers of their own.
    let source = cluster::Cluster::connect(Side::Source, &config(one)).await.unwrap();
    let target = cluster::Cluster::connect(Side::Target, &config(other)).await.unwrap();
    let writer = EmptyTransaction::begin(&source, "sentinel").await.unwrap();
    let sentinel_id = writer.identity().producer_id;
    assert_eq!(writer.write(&ends, true).await.unwrap(), Written::Placed);
    for id in ["another", "third"] {
        let writer = EmptyTransaction::begin(&target, id).await.unwrap();
        if id == "third" {
            assert_eq!(writer.write(&ends, false).await.unwrap(), Written::Placed);
        }
    }

    let (reader, target_reader) = (Source::new(&source), Target::new(&target));
    let (on_source, on_target) = (reader.batches_at(&ends).await.unwrap(), target_reader.batches_at(&ends).await.unwrap());
    let facts_of = |on_source: &BTreeMap<TopicPartition, Looked>, on_target: &BTreeMap<TopicPartition, Looked>| -> Vec<SentinelFacts> {
        let sentinel = |(partition, end): (&TopicPartition, &i64)| SentinelFacts {
            partition: partition.clone(),
            frozen_end: *end,
            source: on_source[partition].clone(),
            target: on_target[partition].clone(),
        };
        ends.iter().map(sentinel).collect()
    };
    let present = sentinel_presence::check(&facts_of(&on_source, &on_target), sentinel_id);
    assert_eq!((present.outcome, present.compared), (Outcome::Passed, ends.len() as u64), "{present:?}");
    println!("{}", present.reason);
    assert_eq!(sentinel_presence::check(&facts_of(&on_target, &on_source), sentinel_id).outcome, Outcome::Failed, "the source's is known by its producer");

    // One offset too early there are records, also where their batch is far larger than a marker; one too late there is nothing.
    let shifted = |by: i64| ends.iter().filter(|(p, _)| &*p.topic != "empty").map(|(p, end)| (p.clone(), end + by)).collect::<BTreeMap<_, _>>();
    for (partition, looked) in reader.batches_at(&shifted(-1)).await.unwrap() {
        assert!(matches!(&looked, Looked::Found(seen) if !seen.is_control && seen.base_offset < ends[&partition]), "{partition}: {looked:?}");
    }
    for by in [1, 2, 1_000] {
        assert!(target_reader.batches_at(&shifted(by)).await.unwrap().values().all(|l| *l == Looked::BeyondEnd), "{by}");
    }
    let trimmed = TopicPartition::new("trimmed", 0);
    let expired = target_reader.batches_at(&BTreeMap::from([(trimmed.clone(), 700)])).await.unwrap();
    assert_eq!(expired[&trimmed], Looked::Expired { log_start: 777 });

    let (witness, target_witness) = (Witness::open(Side::Source, &config(one)).unwrap(), Witness::open(Side::Target, &config(other)).unwrap());
    let digests: Vec<DigestFacts> = ends
        .iter()
        .map(|(p, end)| {
            let span = spans[&(p.topic.to_string(), p.partition)];
            facts(p, span.log_start, end + 1, (span.log_end - span.log_start) as u64)
        })
        .collect();
    let step = Instant::now();
    let equal = spot_check(&witness, &target_witness, &digests, 20).await;
    println!("spot check after {:.1?}: {equal:?}", step.elapsed());
    assert_eq!((equal.outcome, equal.differing, equal.details.len()), (Outcome::Passed, 0, 0), "{equal:?}");
    // 7 partitions of twenty, the last place of each being the sentinel, for which the last record before it stands in.
    let records: u64 = 12 + 6 * 20;
    assert!(equal.reason.contains(&format!("{records} samples read by librdkafka; 2 partitions are empty")), "{}", equal.reason);

    // First, last readable, and everything of each record.
    let odd = TopicPartition::new("odd", 0);
    let end = ends[&odd];
    let request = [SampleRequest { partition: odd.clone(), offsets: 0..end + 1, map: None, records: 1_000_000 }];
    let (witness, sample) = tokio::task::spawn_blocking(move || { let sample = witness.sample(&request); (witness, sample) }).await.unwrap();
    let whole = sample.unwrap().remove(0);
    assert_eq!((whole.records.len() as i64, whole.records[0].offset, whole.records.last().unwrap().offset), (end, 0, end - 1));
    assert!(whole.records.iter().any(|r| r.key.is_none()) && whole.records.iter().any(|r| r.value.is_none()));
    assert!(whole.records[0].headers.len() > 2 && whole.records[0].headers.iter().any(|(_, value)| value.is_none()), "{:?}", whole.records[0].headers);
    assert!(whole.records.iter().all(|r| !r.append_time && r.timestamp_ms.is_some_and(|t| t >= 1_700_000_000_000)));

    // Nobody was asked for a group.
    for bootstrap in [one, other] {
        let internal: Vec<_> = lab.describe_topics(bootstrap).into_iter().filter(|row| row["topic"] == "__consumer_offsets").collect();
        assert!(internal.is_empty(), "a group's coordinator was looked for: {internal:?}");
    }

    differences(lab, one, other, &witness, &target_witness).await;
    retention(lab, other, &witness, &target_witness, &digests).await;
    outages(&digests).await;
}

/// One field of one record differs at a time.
async fn differences(lab: &Agent, one: &str, other: &str, witness: &Witness, target_witness: &Witness) {
    let plain = Load::records(50).timestamps(1_700_000_000_000, 7).partition(0);
    let different = [
        ("timestamp", plain.clone().timestamps(1_700_000_000_000, 8)),
        ("value", plain.clone().values(201, 201)),
        ("headers", plain.clone().odd_headers()),
        ("key", plain.clone().nulls(1.0, 0.0)),
        ("has a record where", Load { records: 49, ..plain.clone() }),
    ];
    for bootstrap in [one, other] {
        let topics: Vec<Topic> = (0..different.len()).map(|n| Topic::new(&format!("differs-{n}"), 1).config("retention.ms", -1)).collect();
        lab.create_topics(bootstrap, &topics);
    }
    for (n, (field, load)) in different.iter().enumerate() {
        let topic = format!("differs-{n}");
        lab.produce(one, &topic, &plain);
        lab.produce(other, &topic, load);
        let digests = [facts(&TopicPartition::new(topic.as_str(), 0), 0, 50, 50)];
        let result = spot_check(witness, target_witness, &digests, 20).await;
        assert_eq!(result.outcome, Outcome::Failed, "{field}: {result:?}");
        assert!(result.details.iter().any(|d| d.starts_with(&format!("differs-{n}-0 at ")) && d.contains(field)), "{field}: {result:?}");
    }
}

/// Records that one side has deleted since are said, and are no difference.
async fn retention(lab: &Agent, other: &str, witness: &Witness, target_witness: &Witness, digests: &[DigestFacts]) {
    lab.delete_records(other, "trimmed", 0, 1_500);
    lab.delete_records(other, "single", 0, 300);
    let result = spot_check(witness, target_witness, digests, 20).await;
    assert_eq!((result.outcome, result.differing), (Outcome::Passed, 0), "{result:?}");
    assert_eq!(result.details, ["single-0: 20 samples had expired on one side"]);
    // Asked for by itself, the witness says where it could not look.
    let trimmed = SampleRequest { partition: TopicPartition::new("trimmed", 0), offsets: 1_000..2_000, map: None, records: 5 };
    let gone = SampleRequest { partition: TopicPartition::new("nowhere", 3), offsets: 0..10, map: None, records: 5 };
    let witness = target_witness.with_patience(Duration::from_secs(5));
    let asked = [trimmed.clone()];
    let sample = tokio::task::spawn_blocking(move || witness.sample(&asked)).await.unwrap().unwrap().remove(0);
    assert_eq!((sample.expired, sample.records.iter().map(|r| r.offset).collect::<Vec<_>>()), (3, vec![1_749, 1_999]));
    let witness = target_witness.with_patience(Duration::from_secs(3));
    let partition = gone.partition.clone();
    let unknown = tokio::task::spawn_blocking(move || (witness.sample(&[gone]), witness.watermarks(&[partition]))).await.unwrap();
    println!("a partition that is not there: {unknown:?}");
    let (sample, watermarks) = (unknown.0.unwrap(), unknown.1.unwrap());
    assert!(sample[0].unread.as_ref().is_some_and(|why| why.contains("Unknown")), "{sample:?}");
    assert!(watermarks.values().all(|log| log.as_ref().is_err_and(|why| why.contains("Unknown"))), "{watermarks:?}");
}

/// A cluster that is not there is named with librdkafka's own reason.
async fn outages(digests: &[DigestFacts]) {
    let witness = Witness::open(Side::Target, &config("127.0.0.1:1")).unwrap().with_patience(Duration::from_secs(2));
    let partitions: Vec<TopicPartition> = digests.iter().map(|d| d.partition.clone()).collect();
    let error = tokio::task::spawn_blocking(move || witness.watermarks(&partitions)).await.unwrap().unwrap_err();
    println!("an outage: {error}");
    assert_eq!(error.code(), Code::TargetUnavailable);
    assert!(error.seen().contains("Connection refused"), "{error}");
}
