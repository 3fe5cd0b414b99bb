//! Control records that end nothing, at the ends of the target's partitions: each takes an offset and is shown to no consumer.
//!
//! Two ways lead there. WriteTxnMarkers is what coordinators send to partition leaders, and what `Admin.abortTransaction` sends: one request
//! appends hundreds, but it needs ClusterAction or Alter on the cluster. An empty transaction needs nothing but the right to write, and takes many times as long.

use super::cluster::{Cluster, Lane, negotiate};
use super::connection::CallError;
use super::failure::Failure;
use super::routing::{by_topic, topic_name};
use super::sentinel::{EmptyTransaction, Written, placed};
use super::source::Reader;
use super::target::Target;
use super::transactions::ProducerIdentity;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest};
use std::collections::BTreeMap;

/// A topic that nobody has: asking to mark it says whether the principal may mark at all, and does nothing else.
const NOBODYS_TOPIC: &str = "__kferry_may_i_write_markers";

/// A run of control records: the log's end, where it begins, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub end: i64,
    pub count: i64,
}

/// Writes control records by the quickest way that is permitted.
pub struct Markers {
    reader: Reader,
    cluster: Cluster,
    empty: EmptyTransaction,
    /// Who the control records are of where they are written directly. One id for all and always the same epochs, so that brokers remember one producer and fence none.
    direct: Option<ProducerIdentity>,
}

impl Markers {
    /// Takes the transactional id, as [`EmptyTransaction::begin`] does, and asks whether WriteTxnMarkers is permitted.
    ///
    /// Errors: as for `EmptyTransaction::begin`.
    pub async fn begin(cluster: &Cluster, transactional_id: &str) -> Result<Self> {
        let empty = EmptyTransaction::begin(cluster, transactional_id).await?;
        let target = Target::new(cluster);
        let direct = match may_write_directly(cluster).await? {
            true => Some(target.init_producer_id().await?),
            false => None,
        };
        Ok(Self { reader: Reader::new(cluster.clone()), cluster: cluster.clone(), empty, direct })
    }

    /// Whether requests do not wait for each other: a transactional id carries one transaction at a time.
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Appends these runs, and waits until every replica in sync has them. Before the answer nothing may be produced to these partitions.
    ///
    /// A request whose answer is lost is not repeated: where the logs end says what became of it.
    ///
    /// Errors: `KF-KAFKA-REFUSED`, or the cluster's unavailability; the control records may then land yet.
    pub async fn write(&self, runs: &BTreeMap<TopicPartition, Run>) -> Result<Written> {
        match self.direct {
            Some(producer) => self.write_directly(runs, producer).await,
            None => self.write_in_transactions(runs).await,
        }
    }

    async fn write_in_transactions(&self, runs: &BTreeMap<TopicPartition, Run>) -> Result<Written> {
        let rounds = runs.values().map(|run| run.count).max().unwrap_or(0);
        for round in 0..rounds {
            let ends = runs.iter().filter(|(_, run)| round < run.count).map(|(partition, run)| (partition.clone(), run.end + round)).collect();
            match self.empty.write(&ends, false).await? {
                Written::Placed => {}
                other => return Ok(other),
            }
        }
        Ok(Written::Placed)
    }

    async fn write_directly(&self, runs: &BTreeMap<TopicPartition, Run>, producer: ProducerIdentity) -> Result<Written> {
        let mut by_broker: BTreeMap<i32, BTreeMap<TopicPartition, i64>> = BTreeMap::new();
        for (partition, run) in runs {
            let leader = self.cluster.leader(partition).ok_or_else(|| not_yet(&self.cluster, partition))?;
            by_broker.entry(leader.broker_id).or_default().insert(partition.clone(), run.count);
        }
        let requests = by_broker.into_iter().map(|(broker_id, counts)| self.send(broker_id, counts, producer));
        futures::future::try_join_all(requests).await?;
        // Records of one id share one result per partition, which may be another's: the logs' ends are the proof.
        placed(&self.reader, &runs.iter().map(|(partition, run)| (partition.clone(), run.end + run.count)).collect()).await
    }

    async fn send(&self, broker_id: i32, counts: BTreeMap<TopicPartition, i64>, producer: ProducerIdentity) -> Result<()> {
        let attempt = async {
            let connection = self.cluster.try_connection(broker_id, Lane::Markers).await?;
            let version = negotiate::<WriteTxnMarkersRequest>(&connection, 1, 1)?;
            let response = connection.call(version, &request(&counts, producer)).await?;
            for partition in response.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions) {
                Failure::check_code(partition.error_code)?;
            }
            Ok(())
        };
        attempt.await.map_err(|failure: Failure| failure.into_error(self.cluster.side(), "write control records"))
    }
}

fn not_yet(cluster: &Cluster, partition: &TopicPartition) -> crate::error::Error {
    Failure::NotYet(format!("{partition} has no leader")).into_error(cluster.side(), "write control records")
}

/// So many abort markers for each partition: one entry each, since an entry that names a partition twice is never answered.
fn request(counts: &BTreeMap<TopicPartition, i64>, producer: ProducerIdentity) -> WriteTxnMarkersRequest {
    let rounds = counts.values().copied().max().unwrap_or(0);
    let markers = (0..rounds).map(|round| {
        let due = counts.iter().filter(|(_, count)| round < **count);
        let topics = by_topic(due.map(|(partition, _)| (partition, ()))).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, ())| partition).collect();
            WritableTxnMarkerTopic::default().with_name(topic_name(&topic)).with_partition_indexes(partitions)
        });
        WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(producer.producer_epoch)
            .with_transaction_result(false)
            .with_topics(topics.collect())
            .with_coordinator_epoch(0)
    });
    WriteTxnMarkersRequest::default().with_markers(markers.collect())
}

/// Whether the cluster lets us use WriteTxnMarkers; asking changes nothing. Where it cannot be told, the answer is no.
///
/// A control record is asked for where there is no log, and who may not write any is told so first.
///
/// Errors: the cluster's unavailability.
pub async fn may_write_directly(cluster: &Cluster) -> Result<bool> {
    let mut patience = cluster.patience("ask whether WriteTxnMarkers is permitted");
    loop {
        let attempt = async {
            let connection = cluster.try_any().await?;
            let Ok(version) = negotiate::<WriteTxnMarkersRequest>(&connection, 1, 1) else { return Ok(false) };
            let nobodys = [(TopicPartition::new(NOBODYS_TOPIC, 0), 1)].into();
            let response = connection.call(version, &request(&nobodys, ProducerIdentity { producer_id: 0, producer_epoch: 0 })).await?;
            let code = response.markers.first().and_then(|m| m.topics.first()?.partitions.first()).map(|p| p.error_code);
            match code.and_then(ResponseError::try_from_code) {
                Some(ResponseError::UnknownTopicOrPartition) => Ok(true),
                Some(ResponseError::ClusterAuthorizationFailed) => Ok(false),
                other => {
                    tracing::debug!(?other, "whether WriteTxnMarkers is permitted cannot be told; empty transactions are written instead");
                    Ok(false)
                }
            }
        };
        match attempt.await {
            Ok(may) => return Ok(may),
            // Brokers close the connection of who sends what only brokers may.
            Err(Failure::Call(CallError::Lost(_))) if patience.is_in_doubt() => return Ok(false),
            Err(failure) => patience.wait(failure).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_entry_names_a_partition_twice() {
        let counts = [(TopicPartition::new("a", 0), 3), (TopicPartition::new("a", 1), 1), (TopicPartition::new("b", 0), 2)].into();
        let built = request(&counts, ProducerIdentity { producer_id: 7, producer_epoch: 2 });
        let mut seen: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        for marker in &built.markers {
            assert_eq!((marker.producer_id.0, marker.producer_epoch, marker.transaction_result), (7, 2, false));
            let mut of_entry = std::collections::BTreeSet::new();
            for topic in &marker.topics {
                for partition in &topic.partition_indexes {
                    let partition = TopicPartition::new(topic.name.as_str(), *partition);
                    assert!(of_entry.insert(partition.clone()));
                    *seen.entry(partition).or_default() += 1;
                }
            }
        }
        assert_eq!((built.markers.len(), seen), (3, counts));
    }
}
