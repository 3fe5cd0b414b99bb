//! Raw Fetch: many partitions per request, records as they lie in the log.

use super::connection::Connection;
use super::failure::Failure;
use super::limits::{DECIDED_BYTES_MAX, DECIDED_WAIT_MS, SAMPLE_BYTES_MAX, SAMPLES_PER_REQUEST_MAX};
use super::routing::{self, Answers};
use super::source::Reader;
use crate::domain::batch::{self, Batch, BatchError};
use crate::domain::partition::TopicPartition;
use crate::error::{Error, Result};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Carries `last_fetched_epoch` and names topics by name.
pub const FETCH_VERSION: i16 = 12;

/// A partition's place in a fetch request: topic, partition, leader epoch, offset, last fetched epoch.
pub struct Wanted {
    pub topic: Arc<str>,
    pub partition: i32,
    pub leader_epoch: i32,
    pub offset: i64,
    pub last_fetched_epoch: i32,
}

/// Builds one fetch over several partitions.
pub fn fetch_request(wanted: &[Wanted], partition_bytes_max: usize, bytes_max: usize, wait_ms: i32, isolation_level: i8) -> FetchRequest {
    let mut topics: BTreeMap<Arc<str>, Vec<FetchPartition>> = BTreeMap::new();
    for want in wanted {
        topics.entry(want.topic.clone()).or_default().push(
            FetchPartition::default()
                .with_partition(want.partition)
                .with_current_leader_epoch(want.leader_epoch)
                .with_fetch_offset(want.offset)
                .with_last_fetched_epoch(want.last_fetched_epoch)
                .with_partition_max_bytes(partition_bytes_max.min(bytes_max) as i32),
        );
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| {
            FetchTopic::default().with_topic(TopicName(StrBytes::from_string(topic.to_string()))).with_partitions(partitions)
        })
        .collect();
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(bytes_max as i32)
        .with_isolation_level(isolation_level)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics)
}

/// Reads the partitions of a response, in order of topic and partition.
pub fn partitions_of(response: FetchResponse) -> BTreeMap<(String, i32), PartitionData> {
    let mut found = BTreeMap::new();
    for topic in response.responses {
        for partition in topic.partitions {
            found.insert((topic.topic.to_string(), partition.partition_index), partition);
        }
    }
    found
}

impl Reader {
    /// Reads a few bytes of each partition's log from the offset beside it on, undecided data included, with what cannot
    /// be read beside what can.
    ///
    /// A batch larger than `partition_bytes_max` comes only where it is the first of an answer, otherwise the records are empty.
    pub async fn fetch_samples(
        &self,
        places: &BTreeMap<TopicPartition, i64>,
        partition_bytes_max: usize,
    ) -> (BTreeMap<TopicPartition, PartitionData>, BTreeMap<TopicPartition, Error>) {
        let (mut done, mut failed) = (BTreeMap::new(), BTreeMap::new());
        let keys: Vec<TopicPartition> = places.keys().cloned().collect();
        let per_request = (SAMPLE_BYTES_MAX / partition_bytes_max.max(1)).clamp(1, SAMPLES_PER_REQUEST_MAX);
        for chunk in keys.chunks(per_request) {
            let asked = format!("fetch samples of {} partitions", chunk.len());
            let attempt = |connection, keys| fetch_at(connection, keys, places, partition_bytes_max);
            let outcome = routing::ask_each(&self.cluster, asked, chunk.to_vec(), attempt).await;
            done.extend(outcome.done);
            failed.extend(outcome.failed);
        }
        (done, failed)
    }

    /// Reads one partition's log from an offset on, decided data only, with what was aborted beside it. None: the log starts later by now.
    ///
    /// Errors: the cluster's unavailability, `KF-KAFKA-REFUSED` where Read on the topic is not permitted.
    pub async fn fetch_decided(&self, partition: &TopicPartition, offset: i64) -> Result<Option<PartitionData>> {
        let asked = format!("fetch {partition} from offset {offset} on");
        let attempt = |connection, keys| fetch_one(connection, keys, offset);
        Ok(routing::ask_all(&self.cluster, asked, vec![partition.clone()], attempt).await?.remove(partition).flatten())
    }
}

/// The batches of one partition's answer, checksums verified, with what the answer says was aborted marked.
///
/// Errors: as [`batch::split`].
pub fn batches_of(records: Bytes, aborted: Option<Vec<AbortedTransaction>>) -> std::result::Result<Vec<Batch>, BatchError> {
    let mut batches = batch::split(records)?;
    batch::mark_aborted(&mut batches, aborted.unwrap_or_default().iter().map(|t| (t.producer_id.0, t.first_offset)).collect());
    Ok(batches)
}

async fn fetch_one(
    connection: Connection,
    keys: Vec<(TopicPartition, i32)>,
    offset: i64,
) -> std::result::Result<Answers<TopicPartition, Option<PartitionData>>, Failure> {
    let version = super::cluster::negotiate::<FetchRequest>(&connection, FETCH_VERSION, FETCH_VERSION)?;
    let wanted = |(key, leader_epoch): (TopicPartition, i32)| Wanted { topic: key.topic, partition: key.partition, leader_epoch, offset, last_fetched_epoch: -1 };
    let wanted: Vec<Wanted> = keys.into_iter().map(wanted).collect();
    let response = connection.call(version, &fetch_request(&wanted, DECIDED_BYTES_MAX, DECIDED_BYTES_MAX, DECIDED_WAIT_MS, 1)).await?;
    Failure::check_code(response.error_code)?;
    let answers = partitions_of(response).into_iter().map(|((topic, partition), data)| {
        let answer = match ResponseError::try_from_code(data.error_code) {
            Some(ResponseError::OffsetOutOfRange) => Ok(None),
            Some(_) | None => Failure::check_code(data.error_code).map(|()| Some(data)),
        };
        (TopicPartition::new(topic, partition), answer)
    });
    Ok(answers.collect())
}

async fn fetch_at(
    connection: Connection,
    keys: Vec<(TopicPartition, i32)>,
    places: &BTreeMap<TopicPartition, i64>,
    partition_bytes_max: usize,
) -> std::result::Result<Answers<TopicPartition, PartitionData>, Failure> {
    let version = super::cluster::negotiate::<FetchRequest>(&connection, FETCH_VERSION, FETCH_VERSION)?;
    let wanted: Vec<Wanted> = keys
        .into_iter()
        .filter_map(|(key, leader_epoch)| {
            let offset = *places.get(&key)?;
            Some(Wanted { topic: key.topic, partition: key.partition, leader_epoch, offset, last_fetched_epoch: -1 })
        })
        .collect();
    let bytes_max = partition_bytes_max.saturating_mul(wanted.len()).min(SAMPLE_BYTES_MAX);
    let response = connection.call(version, &fetch_request(&wanted, partition_bytes_max, bytes_max, 0, 0)).await?;
    Failure::check_code(response.error_code)?;
    let answers = partitions_of(response).into_iter().map(|((topic, partition), data)| {
        let checked = Failure::check_code(data.error_code);
        (TopicPartition::new(topic, partition), checked.map(|()| data))
    });
    Ok(answers.collect())
}
