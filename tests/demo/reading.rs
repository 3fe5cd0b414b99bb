//! Reads whole topics through librdkafka, independently of kferry.

use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Offset, TopicPartitionList};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Topic, partition, offset.
pub type Place = (String, i32, i64);

/// A record's digest and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub digest: [u8; 32],
    pub key: Option<Vec<u8>>,
}

/// What is in the topics of one cluster.
pub struct Content {
    pub records: BTreeMap<Place, Seen>,
    /// Log start and high watermark.
    pub logs: BTreeMap<(String, i32), (i64, i64)>,
}

impl Content {
    pub fn read(bootstrap: &str, topics: &[&str]) -> Self {
        let consumer: BaseConsumer = config(bootstrap, "demo-reader").create().expect("librdkafka takes these settings");
        let mut content = Self { records: BTreeMap::new(), logs: BTreeMap::new() };
        // Topic by topic: an end of partition names only the partition.
        topics.iter().for_each(|topic| content.read_topic(&consumer, topic));
        content
    }

    fn read_topic(&mut self, consumer: &BaseConsumer, topic: &str) {
        let metadata = consumer.fetch_metadata(Some(topic), super::PATIENCE).expect("the cluster tells its metadata");
        let mut assignment = TopicPartitionList::new();
        let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
        for partition in &partitions {
            let log = consumer.fetch_watermarks(topic, *partition, super::PATIENCE).expect("the cluster tells its log ends");
            self.logs.insert((topic.into(), *partition), log);
            assignment.add_partition_offset(topic, *partition, Offset::Beginning).expect("a partition and an offset");
        }
        consumer.assign(&assignment).expect("partitions can be assigned");
        let mut open = partitions;
        let deadline = Instant::now() + super::PATIENCE;
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "{topic} cannot be read to its end");
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    let place = (topic.to_owned(), message.partition(), message.offset());
                    let seen = Seen { digest: digest(&message), key: message.key().map(<[u8]>::to_vec) };
                    assert!(self.records.insert(place, seen).is_none(), "a log has one record at an offset");
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|p| *p != partition),
                Some(Err(e)) => panic!("read {topic}: {e}"),
                None => {}
            }
        }
        consumer.unassign().expect("partitions can be given back");
    }

    /// Count and digest of a topic's records below an end per partition.
    pub fn summary(&self, topic: &str, ends: &BTreeMap<(String, i32), i64>) -> (u64, String) {
        let (mut count, mut hash) = (0, Sha256::new());
        for ((t, partition, offset), seen) in self.of(topic) {
            if *offset < ends.get(&(t.clone(), *partition)).copied().unwrap_or(i64::MAX) {
                count += 1;
                hash.update(partition.to_be_bytes());
                hash.update(seen.digest);
            }
        }
        (count, hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The records of one topic.
    pub fn of(&self, topic: &str) -> impl Iterator<Item = (&Place, &Seen)> {
        self.records.range((topic.to_owned(), i32::MIN, i64::MIN)..=(topic.to_owned(), i32::MAX, i64::MAX))
    }
}

/// Settings of a consumer that commits only when told to.
pub fn config(bootstrap: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group).set("client.id", format!("demo-{group}"));
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    config.set("check.crcs", "true").set("session.timeout.ms", "10000").set("fetch.wait.max.ms", "50");
    // Little at a time of each partition, so that a reader is in the middle of all of them when it stops.
    config.set("fetch.message.max.bytes", "65536").set("queued.min.messages", "1000").set("fetch.queue.backoff.ms", "5");
    config
}

/// Of everything that a consumer sees of a record.
pub fn digest(message: &BorrowedMessage<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(message.offset().to_be_bytes());
    hash.update(message.timestamp().to_millis().unwrap_or(-1).to_be_bytes());
    let mut part = |bytes: Option<&[u8]>| {
        hash.update(bytes.map_or(-1, |b| b.len() as i64).to_be_bytes());
        hash.update(bytes.unwrap_or_default());
    };
    part(message.key());
    part(message.payload());
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        part(Some(header.key.as_bytes()));
        part(header.value);
    }
    hash.finalize().into()
}
