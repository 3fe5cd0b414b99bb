//! Transactions on the source as an operator is told of them: what their markers cost, who has one open, and that nobody is frozen in vain.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use kferry::config::model::{Auth, ClusterConfig};
use kferry::domain::partition::TopicPartition;
use kferry::kafka::cluster::{Cluster, Lane, Side};
use kferry::kafka::target::Target;
use serde_json::{Value, json};

use crate::lab::{Agent, Load, Outcome, Topic};
use crate::migration::{Lab, Migration};

/// The finding of this code; there has to be one.
#[track_caller]
fn finding(outcome: &Outcome, code: &str) -> Value {
    let answer = outcome.json();
    let found: Vec<Value> = answer["findings"].as_array().unwrap().iter().filter(|f| f["code"] == code).cloned().collect();
    assert_eq!(found.len(), 1, "{code}: {outcome}");
    found[0].clone()
}

/// Cutover ends with this code before it has asked anybody for anything.
#[track_caller]
fn expect_refused_before_the_freeze(migration: &Migration) -> Outcome {
    let outcome = migration.run("cutover").expect_code(1);
    assert!(outcome.stderr.contains("error[KF-TRANSACTION-OPEN]"), "{outcome}");
    migration.expect_state("drain_ready");
    for fact in ["cutover_started", "producers_frozen"] {
        assert!(migration.fact(fact).is_none(), "{:?}", migration.kinds());
    }
    assert_eq!(migration.webhook.events(), Vec::<String>::new());
    outcome
}

/// Puts a record of a transaction into the log that no coordinator knows, as a produce does that comes after its transaction's end; says its
/// producer's id. Source: KIP-890, "hanging transactions".
fn hang(bootstrap: &str, topic: &str, partition: i32) -> i64 {
    let auth = Auth::plaintext();
    let config = ClusterConfig::at(vec![bootstrap.to_owned()], auth);
    let verify = |on: &str| Agent::shared().alter_broker_configs(bootstrap, "1", &[("transaction.partition.verification.enable", on)], &[]);
    verify("false");
    let produced = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let cluster = Cluster::connect(Side::Target, &config).await.unwrap();
        let target = Target::new(&cluster);
        let leader = target.leader(&TopicPartition::new(topic, partition)).expect("a leader");
        let producer = target.init_producer_id().await.unwrap();
        let record = Record {
            transactional: true,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            timestamp_type: TimestampType::Creation,
            offset: 0,
            sequence: 0,
            timestamp: 1_767_323_045_000,
            key: None,
            value: Some("late".into()),
            headers: Default::default(),
        };
        let mut records = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut records, [&record], &options).unwrap();
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(records.freeze()));
        let topic = TopicProduceData::default().with_name(TopicName(StrBytes::from(topic.to_owned()))).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(StrBytes::from("gone").into()))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let connection = target.connection(leader.broker_id, Lane::Admin).await.unwrap();
        // INVALID_PRODUCER_ID_MAPPING, for as long as the broker has not heard that it is not to verify.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = connection.call(9, &request).await.unwrap();
            let answer = &answer.responses[0].partition_responses[0];
            if answer.error_code == 0 {
                return producer.producer_id;
            }
            assert!(answer.error_code == 49 && Instant::now() < deadline, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    verify("true");
    produced
}

#[test]
fn markers_are_counted_from_samples() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("marks-orders", 2), Topic::new("marks-plain", 1)]);
    agent.produce(&source, "marks-orders", &Load::records(200).partition(0));
    agent.produce(&source, "marks-plain", &Load::records(10));
    for number in 0..5 {
        let id = format!("marks-{number}");
        agent.begin_transaction(&source, &id, "marks-orders", &Load::records(10).partition(1), 60_000);
        agent.end_transaction(&id, number != 3);
    }
    let migration = lab.setup("marks").begin();
    let outcome = migration.precheck();
    let found = finding(&outcome, "KF-PRE-TRANSACTIONAL");
    assert_eq!((&found["severity"], &found["subject"]), (&json!("information"), &json!("marks-orders")), "{outcome}");
    let seen = "transactional records in partitions 1; about 5 markers, estimated from a sample of 255 offsets: 1 s by empty transactions, 1 s by WriteTxnMarkers";
    assert_eq!(found["seen"], seen);

    let planned = migration.run("plan").ok();
    assert!(planned.stdout.contains("controls about 5 markers, estimated from a sample of 265 offsets"), "{planned}");
    assert!(planned.stdout.contains("marks-orders: about 5 markers, estimated from a sample of 255 offsets"), "{planned}");
    let plan: Value = serde_json::from_slice(&std::fs::read(migration.dir().join("plan/plan.json")).unwrap()).unwrap();
    let topic = &plan["topics"][0];
    assert_eq!((&topic["name"], &topic["mode"]), (&json!("marks-orders"), &json!("identical")));
    assert_eq!((&topic["markers_estimated"], &topic["sampled_offsets"]), (&json!(5), &json!(255)));
    assert!(topic["mode_reason"].as_str().unwrap().contains("about 5 control records"), "{topic}");
    let partitions: Vec<&Value> = topic["partitions"].as_array().unwrap().iter().map(|p| &p["markers_estimated"]).collect();
    assert_eq!(partitions, [0, 5]);
    assert_eq!(plan["estimate"]["markers"]["markers_estimated"], 5);
}

#[test]
fn one_that_is_open_for_too_long_is_named_and_nobody_is_frozen() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("seen-orders", 2)]);
    agent.produce(&source, "seen-orders", &Load::records(100));
    let migration = lab.setup("seen").set("cutover.max_producer_freeze", "10s").begin();
    migration.execute();
    assert_eq!(migration.status()["open_transactions"], json!([]));
    let end = agent.offsets(&source)[&("seen-orders".to_owned(), 1)].log_end;
    agent.begin_transaction(&source, "seen-t", "seen-orders", &Load::records(5).partition(1), 600_000);
    agent.abandon_transaction("seen-t");
    let begun = Instant::now();

    let outcome = migration.run("precheck");
    let found = finding(&outcome, "KF-PRE-OPEN-TRANSACTIONS");
    assert_eq!((&found["severity"], &found["subject"]), (&json!("warning"), &json!("seen-orders")), "{outcome}");
    let seen = found["seen"].as_str().unwrap();
    assert!(seen.starts_with("transaction of `seen-t` (producer id "), "{seen}");
    assert!(seen.contains(", Ongoing), open for ") && seen.ends_with(&format!("its timeout is 10 min: seen-orders-1 from offset {end} on")), "{seen}");

    let status = migration.status();
    let open = &status["open_transactions"][0];
    let known = (&open["transactional_id"], &open["state"], &open["timeout_ms"], &open["hanging"]);
    assert_eq!(known, (&json!("seen-t"), &json!("Ongoing"), &json!(600_000), &json!(false)), "{status:#}");
    assert_eq!(open["places"], json!([{"topic": "seen-orders", "partition": 1, "start_offset": end}]), "{status:#}");

    // A young one is waited for; when it has become too old, nobody has been frozen.
    let outcome = expect_refused_before_the_freeze(&migration);
    assert!(begun.elapsed() >= Duration::from_secs(9), "{outcome}");
    assert!(outcome.stderr.contains("transaction of `seen-t` (producer id ") && outcome.stderr.contains("seen-orders-1 from offset"), "{outcome}");
    assert!(outcome.stderr.contains("its coordinator aborts it at "), "{outcome}");
    println!("refused after {:.1?}: {}", begun.elapsed(), outcome.stderr);

    // Now it is old from the start, and status has said so.
    let status = migration.status();
    let waits = status["waiting_because"].to_string();
    assert!(status["open_transactions"][0]["outlasts_freeze"] == true && waits.contains("`cutover` does not freeze") && waits.contains("`seen-t`"), "{status:#}");
    let outcome = expect_refused_before_the_freeze(&migration);
    assert!(outcome.took < Duration::from_secs(8), "{outcome}");

    // A producer that begins with its id ends it, and is young: it is waited for, and the cutover goes through.
    agent.begin_transaction(&source, "seen-t", "seen-orders", &Load::records(7).partition(0), 600_000);
    let running = migration.spawn("cutover");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!((migration.state(), migration.fact("cutover_started")), (Some("drain_ready"), None));
    agent.end_transaction("seen-t", true);
    running.wait(Duration::from_secs(60)).ok();
    migration.expect_state("awaiting_client_switch");
    agent.judge(&source, &lab.target.bootstrap(), &["seen-orders"]).expect_equal();
}

#[test]
fn one_that_nobody_knows_is_named_with_the_command_that_ends_it() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("hung-orders", 1)]);
    agent.produce(&source, "hung-orders", &Load::records(20));
    let migration = lab.setup("hung").set("cutover.max_producer_freeze", "10s").begin();
    migration.execute();
    let producer_id = hang(&source, "hung-orders", 0);

    let outcome = migration.run("precheck");
    let found = finding(&outcome, "KF-PRE-OPEN-TRANSACTIONS");
    let seen = found["seen"].as_str().unwrap();
    let named = format!("hanging transaction of producer id {producer_id} (epoch 0), whose last record is of 2026-01-02T03:04:05Z");
    assert!(seen.starts_with(&named) && seen.ends_with("lists: hung-orders-0 from offset 20 on"), "{seen}");
    let remedy = found["remedy"].as_str().unwrap().to_owned();
    let (_, arguments) = remedy.split_once("kafka-transactions.sh ").unwrap();
    assert_eq!(arguments, format!("--bootstrap-server {source} abort --topic hung-orders --partition 0 --start-offset 20"));

    let status = migration.status();
    assert!(status["open_transactions"][0]["hanging"] == true && status["open_transactions"][0]["known_as"] == "unlisted", "{status:#}");
    assert!(status["waiting_because"].to_string().contains(arguments), "{status:#}");

    let outcome = expect_refused_before_the_freeze(&migration);
    assert!(outcome.stderr.contains(&named) && outcome.stderr.contains(arguments), "{outcome}");
    assert!(outcome.took > Duration::from_secs(9), "it has to be watched first: {outcome}");
    println!("{}", outcome.stderr);

    // The command does what is said of it.
    let arguments: Vec<String> = arguments.split(' ').map(String::from).collect();
    let aborted = lab.source.tool("org.apache.kafka.tools.TransactionsCommand", &arguments);
    assert!(aborted.status.success(), "{aborted:?}");
    assert_eq!(migration.status()["open_transactions"], json!([]));
    let outcome = migration.run("precheck");
    assert!(!outcome.stdout.contains("KF-PRE-OPEN-TRANSACTIONS"), "{outcome}");
    migration.cutover();
    agent.judge(&source, &lab.target.bootstrap(), &["hung-orders"]).expect_equal();
}

#[test]
fn one_that_begins_with_the_freeze_is_named_by_its_proof() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("begun-orders", 1)]);
    agent.produce(&source, "begun-orders", &Load::records(20));
    let migration = lab.setup("begun").set("cutover.max_producer_freeze", "10s").begin();
    migration.execute();
    migration.webhook.before(move |event| {
        if event == "freeze" {
            agent.begin_transaction(&source, "begun-t", "begun-orders", &Load::records(3).partition(0), 600_000);
            agent.abandon_transaction("begun-t");
        }
    });
    let outcome = migration.run("cutover").expect_code(1);
    assert!(outcome.stderr.contains("error[KF-FREEZE-NOT-PROVEN]"), "{outcome}");
    assert!(outcome.stderr.contains("a transaction is open on begun-orders-0; transaction of `begun-t` (producer id "), "{outcome}");
    migration.expect_state("tail");
    assert_eq!(migration.webhook.events(), ["freeze", "thaw"]);
}
