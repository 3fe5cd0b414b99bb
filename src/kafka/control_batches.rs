//! Looks at the batch that holds a given offset, control batches included, which no consumer is ever shown.

use super::cluster::negotiate;
use super::connection::{CallError, Connection};
use super::failure::Failure;
use super::fetch::{FETCH_VERSION, Wanted, fetch_request, partitions_of};
use super::limits::SAMPLE_BYTES_MAX;
use super::offsets::OffsetAt;
use super::routing::{self, Answers};
use super::source::Reader;
use crate::domain::batch::{self, BatchError};
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use crate::validation::sentinel_presence::{ControlSeen, Looked};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_response::PartitionData;
use std::collections::BTreeMap;

/// A control batch has some 80 bytes. What does not fit is asked for again alone, and comes whole then. Source: KIP-74.
const PARTITION_BYTES_MAX: usize = 1024;

impl Reader {
    /// What lies at one offset of each partition; the answer holds every partition.
    ///
    /// Errors: the cluster's unavailability, `KF-KAFKA-REFUSED` where Read on a topic is not permitted.
    pub async fn batches_at(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<BTreeMap<TopicPartition, Looked>> {
        let asked = format!("fetch the batches at given offsets of {} partitions", offsets.len());
        let keys = offsets.keys().cloned().collect();
        let mut looked = routing::ask_all(&self.cluster, asked, keys, |connection, keys| attempt(connection, keys, offsets)).await?;
        // Out of range is either of two things; where the log starts tells which.
        let out_of_range: Vec<TopicPartition> =
            looked.iter().filter(|(_, l)| **l == Looked::BeyondEnd).map(|(partition, _)| partition.clone()).collect();
        if !out_of_range.is_empty() {
            for (partition, log_start) in self.offsets(&out_of_range, OffsetAt::Earliest).await? {
                if offsets.get(&partition).is_some_and(|offset| *offset < log_start) {
                    looked.insert(partition, Looked::Expired { log_start });
                }
            }
        }
        Ok(looked)
    }
}

type Asked = Vec<(TopicPartition, i32)>;

async fn attempt(
    connection: Connection,
    keys: Asked,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> std::result::Result<Answers<TopicPartition, Looked>, Failure> {
    let mut answers = Vec::with_capacity(keys.len());
    let mut cut = Vec::new();
    let mut found = fetch(&connection, &keys, offsets, PARTITION_BYTES_MAX).await?;
    for (key, epoch) in keys {
        let Some(data) = found.remove(&key) else { continue };
        match looked(data, offset_of(offsets, &key)) {
            Some(answer) => answers.push((key, answer)),
            None => cut.push((key, epoch)),
        }
    }
    for (key, epoch) in cut {
        let alone = vec![(key.clone(), epoch)];
        let data = fetch(&connection, &alone, offsets, SAMPLE_BYTES_MAX).await?.remove(&key);
        let answer = data.and_then(|data| looked(data, offset_of(offsets, &key)));
        let whole = Failure::Call(CallError::Protocol("a batch is cut although it is asked for alone".into()));
        answers.push((key, answer.unwrap_or(Err(whole))));
    }
    Ok(answers)
}

fn offset_of(offsets: &BTreeMap<TopicPartition, i64>, key: &TopicPartition) -> i64 {
    offsets.get(key).copied().unwrap_or(0)
}

async fn fetch(
    connection: &Connection,
    keys: &Asked,
    offsets: &BTreeMap<TopicPartition, i64>,
    partition_bytes_max: usize,
) -> std::result::Result<BTreeMap<TopicPartition, PartitionData>, Failure> {
    let version = negotiate::<FetchRequest>(connection, FETCH_VERSION, FETCH_VERSION)?;
    let wanted: Vec<Wanted> = keys
        .iter()
        .map(|(key, leader_epoch)| Wanted {
            topic: key.topic.clone(),
            partition: key.partition,
            leader_epoch: *leader_epoch,
            offset: offset_of(offsets, key),
            last_fetched_epoch: -1,
        })
        .collect();
    // Undecided data too: a control record of an open transaction's neighbour lies beyond the last stable offset.
    let response = connection.call(version, &fetch_request(&wanted, partition_bytes_max, SAMPLE_BYTES_MAX, 0, 0)).await?;
    Failure::check_code(response.error_code)?;
    Ok(partitions_of(response).into_iter().map(|((topic, partition), data)| (TopicPartition::new(topic, partition), data)).collect())
}

/// What a partition's answer says of the offset; none where its batch did not fit.
fn looked(data: PartitionData, offset: i64) -> Option<std::result::Result<Looked, Failure>> {
    if ResponseError::try_from_code(data.error_code) == Some(ResponseError::OffsetOutOfRange) {
        return Some(Ok(Looked::BeyondEnd));
    }
    if let Err(failure) = Failure::check_code(data.error_code) {
        return Some(Err(failure));
    }
    let high_watermark = data.high_watermark;
    let batches = match batch::split(data.records.unwrap_or_default()) {
        Ok(batches) => batches,
        Err(error) => return Some(Ok(Looked::Unread { seen: damage(&error) })),
    };
    match batches.iter().find(|batch| batch.next_offset() > offset) {
        Some(batch) => Some(Ok(Looked::Found(ControlSeen {
            is_control: batch.is_control(),
            producer_id: batch.producer_id,
            base_offset: batch.base_offset,
        }))),
        None if high_watermark <= offset => Some(Ok(Looked::BeyondEnd)),
        None => None,
    }
}

fn damage(error: &BatchError) -> String {
    match error {
        BatchError::Magic { base_offset, magic } => format!("the batch at {base_offset} has format v{magic}"),
        BatchError::Crc { base_offset } => format!("the checksum of the batch at {base_offset} does not hold"),
        BatchError::Malformed { base_offset, what } => format!("the batch at {base_offset} is malformed: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::{Batch, BatchSpec};
    use crate::domain::record::{self, Codec};

    fn data(base_offset: i64, values: &[&[u8]], high_watermark: i64) -> PartitionData {
        let mut plain = Vec::new();
        for (n, value) in values.iter().enumerate() {
            record::encode(&mut plain, 0, n as i32, None, Some(value), &[]);
        }
        let spec = BatchSpec { base_offset, leader_epoch: 0, codec: Codec::None, base_timestamp: 0, max_timestamp: 0, record_count: values.len() as i32 };
        PartitionData::default().with_high_watermark(high_watermark).with_records(Some(Batch::encode(&spec, &plain).bytes().clone()))
    }

    fn found(data: PartitionData, offset: i64) -> Option<Looked> {
        looked(data, offset).map(|l| l.expect("no error in the answer"))
    }

    #[test]
    fn the_batch_that_holds_the_offset_is_looked_at() {
        let seen = Looked::Found(ControlSeen { is_control: false, producer_id: -1, base_offset: 5 });
        assert_eq!(found(data(5, &[b"a", b"b"], 7), 6), Some(seen));
        assert_eq!(found(data(5, &[b"a", b"b"], 7), 7), Some(Looked::BeyondEnd));
    }

    #[test]
    fn a_batch_that_is_cut_is_no_answer() {
        let mut answer = data(5, &[b"a", b"b"], 7);
        answer.records = answer.records.map(|r| r.slice(..r.len() - 1));
        assert_eq!(found(answer, 5), None);
        assert_eq!(found(PartitionData::default().with_high_watermark(7), 5), None);
        assert_eq!(found(PartitionData::default().with_high_watermark(5), 5), Some(Looked::BeyondEnd));
    }

    #[test]
    fn errors_are_told_apart() {
        let answer = |code| looked(PartitionData::default().with_error_code(code), 5);
        assert!(matches!(answer(1), Some(Ok(Looked::BeyondEnd))));
        assert!(matches!(answer(6), Some(Err(failure)) if failure.is_transient()));
        let mut damaged = data(5, &[b"a"], 7);
        damaged.records = damaged.records.map(|r| { let mut bytes = r.to_vec(); *bytes.last_mut().unwrap() ^= 1; bytes.into() });
        assert_eq!(found(damaged, 5), Some(Looked::Unread { seen: "the checksum of the batch at 5 does not hold".into() }));
    }
}
