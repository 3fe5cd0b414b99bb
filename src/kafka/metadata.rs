//! What a cluster says of its brokers, topics and leaders, as of one moment.

use crate::domain::partition::TopicPartition;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::MetadataResponse;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// One broker's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerNode {
    pub id: i32,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
}

impl BrokerNode {
    /// `host:port`, with an IPv6 host in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

/// Who leads a partition, and since which election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leader {
    pub broker_id: i32,
    /// −1 from brokers that do not say it.
    pub epoch: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    pub partition: i32,
    /// None while nobody leads.
    pub leader: Option<Leader>,
    /// The epoch of the last election, also while nobody leads.
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
    pub offline: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    pub name: Arc<str>,
    /// None from brokers older than 2.8, and from 2.8 to 3.x with an older `inter.broker.protocol.version`.
    pub topic_id: Option<Uuid>,
    pub internal: bool,
    /// Ascending by number.
    pub partitions: Vec<PartitionMetadata>,
}

impl TopicMetadata {
    /// The topic id as Kafka's tools print it.
    pub fn topic_id_text(&self) -> Option<String> {
        self.topic_id.map(topic_id_text)
    }

    /// Whether it was created anew since it had this id; false where either id is not known.
    pub fn is_another_than(&self, topic_id: Option<&str>) -> bool {
        matches!((topic_id, self.topic_id_text()), (Some(before), Some(now)) if before != now)
    }
}

/// A topic id as Kafka's tools print it: base64url without padding.
pub fn topic_id_text(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// A cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub cluster_id: String,
    /// With ZooKeeper the controller; with KRaft some broker, which forwards what is the controller's. None while there is none.
    pub controller_id: Option<i32>,
    pub brokers: BTreeMap<i32, BrokerNode>,
    pub topics: BTreeMap<Arc<str>, TopicMetadata>,
}

impl Metadata {
    pub(super) fn from_response(response: &MetadataResponse) -> Self {
        let brokers = response.brokers.iter().map(|b| BrokerNode {
            id: b.node_id.0,
            host: b.host.to_string(),
            port: u16::try_from(b.port).unwrap_or(0),
            rack: b.rack.as_ref().map(|r| r.to_string()),
        });
        // A topic with an error of its own is being created or deleted; one whose partitions have errors is there.
        let topics = response.topics.iter().filter(|t| t.error_code == 0 || t.error_code == LEADER_NOT_AVAILABLE);
        let topics = topics.filter_map(|t| {
            let name: Arc<str> = t.name.as_ref()?.as_str().into();
            let mut partitions: Vec<_> = t.partitions.iter().map(partition).collect();
            partitions.sort_by_key(|p| p.partition);
            let topic_id = (!t.topic_id.is_nil()).then_some(t.topic_id);
            Some((name.clone(), TopicMetadata { name, topic_id, internal: t.is_internal, partitions }))
        });
        Self {
            cluster_id: response.cluster_id.as_ref().map(|id| id.to_string()).unwrap_or_default(),
            controller_id: Some(response.controller_id.0).filter(|id| *id >= 0),
            brokers: brokers.map(|b| (b.id, b)).collect(),
            topics: topics.collect(),
        }
    }

    pub fn topic(&self, name: &str) -> Option<&TopicMetadata> {
        self.topics.get(name)
    }

    pub fn partition(&self, partition: &TopicPartition) -> Option<&PartitionMetadata> {
        let partitions = &self.topic(&partition.topic)?.partitions;
        let index = partitions.binary_search_by_key(&partition.partition, |p| p.partition).ok()?;
        partitions.get(index)
    }

    /// Who leads a partition; none while nobody does or the partition is not known.
    pub fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        self.partition(partition)?.leader
    }
}

const LEADER_NOT_AVAILABLE: i16 = ResponseError::LeaderNotAvailable.code();

fn partition(p: &kafka_protocol::messages::metadata_response::MetadataResponsePartition) -> PartitionMetadata {
    let ids = |nodes: &[kafka_protocol::messages::BrokerId]| nodes.iter().map(|id| id.0).collect();
    PartitionMetadata {
        partition: p.partition_index,
        leader: (p.leader_id.0 >= 0).then_some(Leader { broker_id: p.leader_id.0, epoch: p.leader_epoch }),
        leader_epoch: p.leader_epoch,
        replicas: ids(&p.replica_nodes),
        in_sync: ids(&p.isr_nodes),
        offline: ids(&p.offline_replicas),
    }
}
