//! Consumer groups: they read some on the source, stop in mid-partition, and go on at the target under the same ids.

use crate::reading::{Place, config, digest};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one group has read, in the order in which it did.
pub struct Group {
    pub id: &'static str,
    pub topics: &'static [&'static str],
    /// Records that it reads before it stops.
    portion: usize,
    pub before: Vec<(Place, [u8; 32])>,
    pub after: Vec<(Place, [u8; 32])>,
}

impl Group {
    pub fn new(id: &'static str, topics: &'static [&'static str], portion: usize) -> Self {
        Self { id, topics, portion, before: Vec::new(), after: Vec::new() }
    }

    /// Joins, reads a portion, commits what it read, and leaves.
    pub fn read_some(&mut self, bootstrap: &str) {
        let consumer = self.join(bootstrap);
        let wanted = self.before.len() + self.portion;
        let deadline = Instant::now() + super::PATIENCE;
        while self.before.len() < wanted {
            assert!(Instant::now() < deadline, "group {} does not get to read {} records", self.id, self.portion);
            if let Some(record) = poll(&consumer, self.id) {
                self.before.push(record);
            }
        }
        commit(&consumer, self.id);
    }

    /// Goes on reading in the background.
    pub fn go_on(self, bootstrap: &str) -> Member {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (mut group, bootstrap, stop) = (self, bootstrap.to_owned(), stop.clone());
            move || {
                group.read_to_end(&bootstrap, &stop);
                group
            }
        });
        Member { stop, thread }
    }

    fn read_to_end(&mut self, bootstrap: &str, stop: &AtomicBool) {
        let consumer = self.join(bootstrap);
        let (mut quiet_since, mut told_at) = (Instant::now(), None);
        // Once it is told to stop nobody writes any more: it has read everything when nothing arrives and it stands at the ends.
        loop {
            if stop.load(Ordering::SeqCst) {
                let told_at: &Instant = told_at.get_or_insert_with(Instant::now);
                if quiet_since.elapsed() > Duration::from_millis(500) && at_ends(&consumer) {
                    break;
                }
                assert!(told_at.elapsed() < super::PATIENCE, "group {} does not get to the end of its topics", self.id);
            }
            if let Some(record) = poll(&consumer, self.id) {
                self.after.push(record);
                quiet_since = Instant::now();
            }
        }
        commit(&consumer, self.id);
    }

    fn join(&self, bootstrap: &str) -> BaseConsumer {
        let consumer: BaseConsumer = config(bootstrap, self.id).create().expect("librdkafka takes these settings");
        consumer.subscribe(self.topics).expect("topics can be subscribed to");
        consumer
    }

    /// The next record of each partition, as the cluster has it of the group; none where it has no offset.
    pub fn committed(&self, bootstrap: &str) -> BTreeMap<(String, i32), Option<i64>> {
        let consumer: BaseConsumer = config(bootstrap, self.id).create().expect("librdkafka takes these settings");
        let mut asked = TopicPartitionList::new();
        for topic in self.topics {
            let metadata = consumer.fetch_metadata(Some(topic), super::PATIENCE).expect("the cluster tells its metadata");
            for partition in metadata.topics()[0].partitions() {
                asked.add_partition(topic, partition.id());
            }
        }
        let committed = consumer.committed_offsets(asked, super::PATIENCE).unwrap_or_else(|e| panic!("offsets of group {}: {e}", self.id));
        let next = |offset| if let Offset::Offset(next) = offset { Some(next) } else { None };
        committed.elements().iter().map(|e| ((e.topic().to_owned(), e.partition()), next(e.offset()))).collect()
    }
}

/// A group at work on the target.
pub struct Member {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Group>,
}

impl Member {
    /// Reads what there is yet, commits and leaves.
    pub fn stop_at_end(self) -> Group {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the consumer's thread ends well")
    }
}

fn poll(consumer: &BaseConsumer, group: &str) -> Option<(Place, [u8; 32])> {
    match consumer.poll(Duration::from_millis(100))? {
        Ok(message) => Some(((message.topic().to_owned(), message.partition(), message.offset()), digest(&message))),
        Err(e @ KafkaError::MessageConsumptionFatal(_)) => panic!("group {group}: {e}"),
        // An end of partition, or what librdkafka gets over by itself.
        Err(_) => None,
    }
}

/// Commits where it stands, synchronously.
fn commit(consumer: &BaseConsumer, group: &str) {
    let mut positions = consumer.position().expect("a consumer knows its positions");
    let held: Vec<(String, i32, Offset)> =
        positions.elements().iter().filter(|e| matches!(e.offset(), Offset::Offset(_))).map(|e| (e.topic().to_owned(), e.partition(), e.offset())).collect();
    positions = TopicPartitionList::new();
    for (topic, partition, next) in held {
        positions.add_partition_offset(&topic, partition, next).expect("a partition and an offset");
    }
    if positions.count() > 0 {
        consumer.commit(&positions, CommitMode::Sync).unwrap_or_else(|e| panic!("group {group} commits: {e}"));
    }
}

/// Whether every partition that it holds has been read to its end.
fn at_ends(consumer: &BaseConsumer) -> bool {
    let (Ok(positions), Ok(committed)) = (consumer.position(), consumer.committed(super::PATIENCE)) else { return false };
    let at_end = |topic: &str, partition, position| {
        let Ok((start, end)) = consumer.fetch_watermarks(topic, partition, super::PATIENCE) else { return false };
        let next = match (position, committed.find_partition(topic, partition).map(|e| e.offset())) {
            // Where nothing has been read of it on this cluster, it stands where it was committed.
            (Offset::Offset(next), _) | (_, Some(Offset::Offset(next))) => next,
            _ => start,
        };
        // A control record at the very end is nothing to a consumer.
        next + 1 >= end
    };
    positions.count() > 0 && positions.elements().iter().all(|e| at_end(e.topic(), e.partition(), e.offset()))
}
