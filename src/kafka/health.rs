//! Whether a cluster is at rest and how full it is: quorum, reassignments, partitions in trouble, log sizes.

use super::cluster::{Lane, negotiate};
use super::failure::Failure;
use super::metadata::Metadata;
use super::source::Reader;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeQuorumRequest, ListPartitionReassignmentsRequest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A node that holds the cluster's metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    pub id: i32,
    /// −1 where it is not known.
    pub log_end: i64,
    /// When it last held all that the leader did, in milliseconds since 1970; −1 where it is not known.
    pub last_caught_up_ms: i64,
}

/// The KRaft quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    pub leader_id: i32,
    pub leader_epoch: i32,
    pub high_watermark: i64,
    pub voters: Vec<QuorumReplica>,
    /// Brokers that are no controllers.
    pub observers: Vec<QuorumReplica>,
}

/// Partitions in trouble.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubled {
    /// Without a leader.
    pub offline: Vec<TopicPartition>,
    /// With fewer in-sync replicas than replicas.
    pub under_replicated: Vec<TopicPartition>,
}

impl Metadata {
    /// The partitions of the chosen topics that are in trouble.
    pub fn troubled(&self, chosen: impl Fn(&str) -> bool) -> Troubled {
        let mut troubled = Troubled::default();
        for topic in self.topics.values().filter(|t| chosen(&t.name)) {
            for p in &topic.partitions {
                let partition = || TopicPartition::new(topic.name.clone(), p.partition);
                if p.leader.is_none() {
                    troubled.offline.push(partition());
                } else if p.in_sync.len() < p.replicas.len() {
                    troubled.under_replicated.push(partition());
                }
            }
        }
        troubled
    }
}

impl Reader {
    /// The KRaft quorum; none with ZooKeeper, or where describing it is not permitted.
    ///
    /// Errors: the cluster's unavailability.
    pub async fn quorum(&self) -> Result<Option<Quorum>> {
        if !self.offers::<DescribeQuorumRequest>().await? {
            return Ok(None);
        }
        let mut patience = self.cluster.patience("describe the quorum");
        loop {
            match self.try_quorum().await {
                Ok(quorum) => return Ok(Some(quorum)),
                Err(failure) => match failure.kafka_error() {
                    Some(ResponseError::ClusterAuthorizationFailed | ResponseError::UnsupportedVersion | ResponseError::InvalidRequest) => {
                        return Ok(None);
                    }
                    _ => patience.wait(failure).await?,
                },
            }
        }
    }

    async fn try_quorum(&self) -> std::result::Result<Quorum, Failure> {
        let connection = self.cluster.try_any().await?;
        let version = negotiate::<DescribeQuorumRequest>(&connection, 0, 2)?;
        let topic = TopicData::default()
            .with_topic_name(super::routing::topic_name("__cluster_metadata"))
            .with_partitions(vec![PartitionData::default().with_partition_index(0)]);
        let response = connection.call(version, &DescribeQuorumRequest::default().with_topics(vec![topic])).await?;
        Failure::check(response.error_code, response.error_message)?;
        let partition = response.topics.into_iter().flat_map(|t| t.partitions).next();
        let Some(p) = partition else { return Err(Failure::NotYet("the quorum is not described".into())) };
        Failure::check(p.error_code, p.error_message)?;
        let replicas = |states: Vec<kafka_protocol::messages::describe_quorum_response::ReplicaState>| {
            let replica = states.into_iter().map(|r| QuorumReplica {
                id: r.replica_id.0,
                log_end: r.log_end_offset,
                last_caught_up_ms: r.last_caught_up_timestamp,
            });
            replica.collect()
        };
        Ok(Quorum {
            leader_id: p.leader_id.0,
            leader_epoch: p.leader_epoch,
            high_watermark: p.high_watermark,
            voters: replicas(p.current_voters),
            observers: replicas(p.observers),
        })
    }

    /// The partitions whose replicas are being moved; none where listing them is not permitted or not offered.
    ///
    /// Errors: the cluster's unavailability.
    pub async fn reassignments(&self) -> Result<Option<Vec<TopicPartition>>> {
        let mut patience = self.cluster.patience("list the partition reassignments");
        loop {
            match self.try_reassignments().await {
                Ok(partitions) => return Ok(Some(partitions)),
                Err(Failure::NotOffered(_)) => return Ok(None),
                Err(failure) if failure.kafka_error() == Some(ResponseError::ClusterAuthorizationFailed) => return Ok(None),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    async fn try_reassignments(&self) -> std::result::Result<Vec<TopicPartition>, Failure> {
        let connection = self.cluster.try_controller().await?;
        let version = negotiate::<ListPartitionReassignmentsRequest>(&connection, 0, 0)?;
        let response = connection.call(version, &ListPartitionReassignmentsRequest::default().with_topics(None)).await?;
        Failure::check(response.error_code, response.error_message)?;
        let mut partitions = Vec::new();
        for topic in response.topics {
            let name: Arc<str> = topic.name.as_str().into();
            partitions.extend(topic.partitions.iter().map(|p| TopicPartition::new(name.clone(), p.partition_index)));
        }
        partitions.sort();
        Ok(partitions)
    }

    /// The size of each leader's replica on disk, in bytes, as far as the brokers tell it.
    pub async fn log_sizes(&self) -> BTreeMap<TopicPartition, i64> {
        let metadata = self.cluster.metadata();
        let answers = join_all(metadata.brokers.keys().map(|id| async move { (*id, self.log_sizes_of(*id).await) })).await;
        let mut sizes = BTreeMap::new();
        for (broker_id, answer) in answers {
            match answer {
                Ok(of_broker) => {
                    let led = of_broker.into_iter().filter(|(p, _)| metadata.leader(p).is_some_and(|l| l.broker_id == broker_id));
                    sizes.extend(led);
                }
                Err(failure) => tracing::warn!(cluster = %self.cluster.side(), broker_id, %failure, "the broker does not tell its logs' sizes"),
            }
        }
        sizes
    }

    async fn log_sizes_of(&self, broker_id: i32) -> std::result::Result<Vec<(TopicPartition, i64)>, Failure> {
        let connection = self.cluster.try_connection(broker_id, Lane::Admin).await?;
        let version = negotiate::<DescribeLogDirsRequest>(&connection, 1, 4)?;
        let response = connection.call(version, &DescribeLogDirsRequest::default().with_topics(None)).await?;
        Failure::check_code(response.error_code)?;
        let mut sizes = Vec::new();
        for directory in response.results {
            Failure::check_code(directory.error_code)?;
            for topic in directory.topics {
                let name: Arc<str> = topic.name.as_str().into();
                // A future replica is one that is being moved between disks.
                let present = topic.partitions.into_iter().filter(|p| !p.is_future_key);
                sizes.extend(present.map(|p| (TopicPartition::new(name.clone(), p.partition_index), p.partition_size)));
            }
        }
        Ok(sizes)
    }
}
