//! Moves log starts forward on the target, by DeleteRecords.

use super::cluster::negotiate;
use super::connection::Connection;
use super::failure::Failure;
use super::limits::BROKER_TIMEOUT;
use super::routing::{self, Answers, by_topic, topic_name};
use super::target::Target;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Target {
    /// Deletes each partition's records before an offset and gives the low watermark of all its replicas.
    ///
    /// The new log start is not durable at once: a broker that dies within the next 60 s may come back with the former one.
    ///
    /// Errors: `KF-KAFKA-REFUSED` (beyond the high watermark; a topic that is only compacted); the target's unavailability.
    pub async fn delete_records(&self, before: &BTreeMap<TopicPartition, i64>) -> Result<BTreeMap<TopicPartition, i64>> {
        let asked = format!("delete the records before given offsets of {} partitions", before.len());
        let keys = before.keys().cloned().collect();
        routing::ask_all(&self.cluster, asked, keys, |connection, keys| {
            let wanted = keys.into_iter().filter_map(|(key, _)| before.get(&key).map(|offset| (key.clone(), *offset)));
            attempt(connection, wanted.collect())
        })
        .await
    }
}

async fn attempt(
    connection: Connection,
    wanted: Vec<(TopicPartition, i64)>,
) -> std::result::Result<Answers<TopicPartition, i64>, Failure> {
    let version = negotiate::<DeleteRecordsRequest>(&connection, 0, 2)?;
    let topics = by_topic(wanted.iter().map(|(key, offset)| (key, *offset))).into_iter().map(|(topic, partitions)| {
        let partitions = partitions
            .into_iter()
            .map(|(partition, offset)| DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset));
        DeleteRecordsTopic::default().with_name(topic_name(&topic)).with_partitions(partitions.collect())
    });
    let request =
        DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(BROKER_TIMEOUT.as_millis() as i32);
    let response = connection.call(version, &request).await?;
    let mut answers = Vec::with_capacity(wanted.len());
    for topic in response.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for p in topic.partitions {
            let answer = Failure::check_code(p.error_code).map(|()| p.low_watermark);
            answers.push((TopicPartition::new(name.clone(), p.partition_index), answer));
        }
    }
    Ok(answers)
}
