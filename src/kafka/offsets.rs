//! Ends of logs, by ListOffsets.

use super::cluster::negotiate;
use super::connection::Connection;
use super::failure::Failure;
use super::limits::LIST_OFFSETS_TIMEOUT;
use super::routing::{self, Answers, by_topic, topic_name};
use super::source::Reader;
use crate::domain::partition::TopicPartition;
use crate::error::{Error, Result};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};
use std::collections::BTreeMap;

/// Which offset of a log is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// Log start offset.
    Earliest,
    /// Everything below is replicated; where a consumer with `read_uncommitted` stops.
    HighWatermark,
    /// Everything below is decided; where a consumer with `read_committed` stops.
    LastStable,
    /// The leader's own log end offset, which may lie above the high watermark.
    LogEnd,
    /// The record with the highest timestamp; offset −1 in an empty log. Brokers from 3.0. Source: KIP-734.
    MaxTimestamp,
    /// The first record that is not older, in milliseconds since 1970; offset −1 where there is none.
    Timestamp(i64),
}

/// One answer of ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    pub offset: i64,
    /// Milliseconds since 1970; −1 where the question was not for a record.
    pub timestamp: i64,
    /// −1 where the broker does not say it.
    pub leader_epoch: i32,
}

/// With this replica id ListOffsets answers "latest" with the log end offset. Any replica would answer, but only the leader
/// agrees to the leader epoch that is sent along. Source: `ListOffsetsRequest.DEBUGGING_REPLICA_ID`.
const DEBUGGING_REPLICA_ID: i32 = -2;
const CONSUMER_REPLICA_ID: i32 = -1;

impl OffsetAt {
    /// Timestamp, replica id, isolation level and lowest version that ask for it.
    fn question(self) -> (i64, i32, i8, i16) {
        match self {
            OffsetAt::Earliest => (-2, CONSUMER_REPLICA_ID, 0, 4),
            OffsetAt::HighWatermark => (-1, CONSUMER_REPLICA_ID, 0, 4),
            OffsetAt::LastStable => (-1, CONSUMER_REPLICA_ID, 1, 4),
            OffsetAt::LogEnd => (-1, DEBUGGING_REPLICA_ID, 0, 4),
            OffsetAt::MaxTimestamp => (-3, CONSUMER_REPLICA_ID, 0, 7),
            OffsetAt::Timestamp(timestamp) => (timestamp, CONSUMER_REPLICA_ID, 0, 4),
        }
    }

    fn name(self) -> &'static str {
        match self {
            OffsetAt::Earliest => "log starts",
            OffsetAt::HighWatermark => "high watermarks",
            OffsetAt::LastStable => "last stable offsets",
            OffsetAt::LogEnd => "log ends",
            OffsetAt::MaxTimestamp => "highest timestamps",
            OffsetAt::Timestamp(_) => "offsets by time",
        }
    }
}

impl Reader {
    /// Asks each partition's leader for an offset; the answer holds every partition.
    ///
    /// Errors: the first partition's that has no answer in time.
    pub async fn list_offsets(&self, partitions: &[TopicPartition], at: OffsetAt) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        let asked = format!("list the {} of {} partitions", at.name(), partitions.len());
        routing::ask_all(&self.cluster, asked, partitions.to_vec(), move |connection, keys| attempt(connection, keys, at)).await
    }

    /// The same with what cannot be read beside what can.
    pub async fn list_offsets_each(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> (BTreeMap<TopicPartition, ListedOffset>, BTreeMap<TopicPartition, Error>) {
        let asked = format!("list the {} of {} partitions", at.name(), partitions.len());
        let outcome =
            routing::ask_each(&self.cluster, asked, partitions.to_vec(), move |connection, keys| attempt(connection, keys, at)).await;
        (outcome.done, outcome.failed)
    }

    /// The offsets alone.
    ///
    /// Errors: as for `list_offsets`.
    pub async fn offsets(&self, partitions: &[TopicPartition], at: OffsetAt) -> Result<BTreeMap<TopicPartition, i64>> {
        Ok(self.list_offsets(partitions, at).await?.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect())
    }
}

async fn attempt(
    connection: Connection,
    keys: Vec<(TopicPartition, i32)>,
    at: OffsetAt,
) -> std::result::Result<Answers<TopicPartition, ListedOffset>, Failure> {
    let (timestamp, replica_id, isolation_level, version_min) = at.question();
    let version = negotiate::<ListOffsetsRequest>(&connection, version_min, 9)?;
    let topics = by_topic(keys.iter().map(|(key, epoch)| (key, *epoch))).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, epoch)| {
            ListOffsetsPartition::default().with_partition_index(partition).with_current_leader_epoch(epoch).with_timestamp(timestamp)
        });
        ListOffsetsTopic::default().with_name(topic_name(&topic)).with_partitions(partitions.collect())
    });
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(replica_id))
        .with_isolation_level(isolation_level)
        .with_topics(topics.collect());
    let response = connection.call_within(LIST_OFFSETS_TIMEOUT, version, &request).await?;
    let mut answers = Vec::with_capacity(keys.len());
    for topic in response.topics {
        let name: std::sync::Arc<str> = topic.name.as_str().into();
        for p in topic.partitions {
            let listed = ListedOffset { offset: p.offset, timestamp: p.timestamp, leader_epoch: p.leader_epoch };
            let answer = Failure::check_code(p.error_code).map(|()| listed);
            answers.push((TopicPartition::new(name.clone(), p.partition_index), answer));
        }
    }
    Ok(answers)
}
