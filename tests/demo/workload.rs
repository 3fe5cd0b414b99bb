//! What lies on the source: topics of several kinds, what is in them, who may do what, and who reads.

use crate::groups::Group;
use crate::lab::{Acl, Agent, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

/// Topics that the live producer writes to.
pub const LIVE_TOPICS: [&str; 2] = ["orders", "payments"];

struct Kind {
    name: &'static str,
    partitions: i32,
    codec: &'static str,
    records: u64,
    one_record_batches: bool,
    /// Records of the first partition that are deleted from its beginning.
    trimmed: i64,
    what: &'static str,
}

const fn kind(name: &'static str, partitions: i32, codec: &'static str, records: u64, what: &'static str) -> Kind {
    Kind { name, partitions, codec, records, one_record_batches: false, trimmed: 0, what }
}

const KINDS: [Kind; 7] = [
    Kind { trimmed: 700, ..kind("audit", 1, "snappy", 5_000, "trimmed in the middle of a batch") },
    Kind { trimmed: i64::MAX, ..kind("archive", 1, "none", 1_000, "trimmed to its very end") },
    kind("clicks", 2, "gzip", 40_000, "null keys"),
    kind("empty", 2, "none", 0, "never written to"),
    kind("orders", 3, "lz4", 60_000, "headers: duplicate names, null and empty values; live"),
    kind("payments", 2, "zstd", 30_000, "null values among others; live"),
    Kind { one_record_batches: true, ..kind("ticks", 1, "none", 2_000, "one-record batches") },
];

pub fn names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

/// Groups that read the source and stop in mid-partition.
pub fn groups() -> Vec<Group> {
    vec![
        Group::new("billing", &["orders"], 25_000),
        Group::new("fraud", &["payments", "orders"], 20_000),
        Group::new("reports", &["audit", "clicks", "ticks"], 15_000),
    ]
}

/// Bindings of topics and groups, of both pattern types; WRITE is what kferry keeps back until the cutover.
pub fn acls() -> Vec<Acl> {
    vec![
        Acl::allow("User:shop", "WRITE", "TOPIC", "orders"),
        Acl::allow("User:bank", "ALL", "TOPIC", "payments"),
        Acl::allow("User:billing", "READ", "TOPIC", "orders"),
        Acl::allow("User:billing", "READ", "GROUP", "bill").prefixed(),
        Acl::allow("User:intern", "DELETE", "TOPIC", "audit").deny().host("127.0.0.1"),
    ]
}

pub fn create(bootstrap: &str) {
    let agent = Agent::shared();
    let topics: Vec<Topic> = KINDS.iter().map(|kind| Topic::new(kind.name, kind.partitions as u32)).collect();
    agent.create_topics(bootstrap, &topics);
    agent.create_acls(bootstrap, &acls());
    for kind in &KINDS {
        fill(bootstrap, kind);
        if kind.trimmed > 0 {
            agent.delete_records(bootstrap, kind.name, 0, kind.trimmed.min(kind.records as i64));
        }
        println!("  {:<9} {} partitions, {:>6} records, {:<6} {}", kind.name, kind.partitions, kind.records, kind.codec, kind.what);
    }
    println!("  {} ACL bindings", acls().len());
}

fn fill(bootstrap: &str, kind: &Kind) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", "loader").set("enable.idempotence", "true").set("compression.type", kind.codec);
    config.set("linger.ms", if kind.one_record_batches { "0" } else { "20" }).set("batch.num.messages", if kind.one_record_batches { "1" } else { "10000" });
    config.set("queue.buffering.max.messages", "200000").set("batch.size", "65536");
    let producer: BaseProducer = config.create().expect("librdkafka takes these settings");
    for n in 0..kind.records {
        let key = format!("{}-{}", kind.name, n % 1_000);
        let value = format!(r#"{{"topic":"{}","n":{n},"text":"{}"}}"#, kind.name, text(n));
        let mut record = BaseRecord::<str, str>::to(kind.name).partition((n % kind.partitions as u64) as i32);
        if kind.name != "clicks" || n % 3 > 0 {
            record = record.key(&key);
        }
        if kind.name != "payments" || n % 10 > 0 {
            record = record.payload(&value);
        }
        if kind.name == "orders" {
            let header = |key, value: Option<&'static str>| Header { key, value };
            let headers = OwnedHeaders::new().insert(header("trace", Some("a"))).insert(header("trace", Some("")));
            let headers = headers.insert(header("none", None));
            record = record.headers(headers);
        }
        send(&producer, record);
    }
    producer.flush(Duration::from_secs(60)).unwrap_or_else(|e| panic!("fill {}: {e}", kind.name));
}

/// Some hundred bytes that compress as values do, the same for the same number.
fn text(n: u64) -> String {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x} ")
    };
    (0..6 + n % 20).map(|_| word()).collect()
}

/// Sends one record, waiting while the queue is full.
fn send(producer: &BaseProducer, mut record: BaseRecord<'_, str, str>) {
    loop {
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return;
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(20));
                record = back;
            }
            Err((e, _)) => panic!("send: {e}"),
        }
    }
}
