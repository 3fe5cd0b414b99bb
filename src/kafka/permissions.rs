//! Which of the permissions that a migration needs a cluster does not give us, tried by calls that change nothing.
//!
//! What exists tells by itself what is permitted on it (KIP-430). What does not exist yet is asked for something that it
//! cannot do: a broker says that we may not before it says that there is no such partition, or no such transaction.

use super::cluster::{Cluster, Coordinator, Lane, negotiate};
use super::connection::Connection;
use super::failure::Failure;
use super::routing::{text, topic_name};
use crate::domain::acl::{Operation, ResourceType};
use crate::domain::permissions::{ClusterSide, Missing, Permission, Right};
use crate::error::Result;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, BrokerId, CreateTopicsRequest, DeleteRecordsRequest, DescribeClientQuotasRequest, DescribeGroupsRequest, DescribeTransactionsRequest, EndTxnRequest, FetchRequest, GroupId,
    IncrementalAlterConfigsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, ProduceRequest, ProducerId, TransactionalId,
};
use std::collections::{BTreeMap, BTreeSet};

/// A partition that no topic has: nothing can be written to it, whenever the topic comes into being.
const NOBODYS_PARTITION: i32 = i32::MAX;

/// A topic that nobody has.
const NOBODYS_TOPIC: &str = "__kferry_may_i_commit";

/// Topics and groups that one request asks about.
const ASKED_AT_ONCE_MAX: usize = 500;

/// How long a broker may take to answer, in milliseconds: nothing is waited for.
const TIMEOUT_MS: i32 = 10_000;

/// What of these permissions the cluster does not give, and those that could not be tried, each with why; those of the other cluster are not looked at.
///
/// Errors: the cluster's unavailability at the first question.
pub async fn missing(cluster: &Cluster, side: ClusterSide, needed: &[Permission]) -> Result<(Vec<Missing>, Vec<(Right, String)>)> {
    let needed: Vec<&Permission> = needed.iter().filter(|p| p.side == side).collect();
    let topics: BTreeSet<&str> = names(&needed, ResourceType::Topic);
    // To look for the coordinator of a group makes a broker create the topic of groups' offsets, which the source has and the target may not.
    let groups: BTreeSet<&str> = if side == ClusterSide::Source { names(&needed, ResourceType::Group) } else { BTreeSet::new() };
    let mut patience = cluster.patience("ask what is permitted");
    let told = loop {
        match Told::ask(cluster, side, &topics, &groups).await {
            Ok(told) => break told,
            Err(failure) => patience.wait(failure).await?,
        }
    };
    let (mut missing, mut untried) = (Vec::new(), Vec::new());
    for permission in needed {
        let mut patience = cluster.patience(format!("ask whether {} on {} is permitted", permission.operation.name(), permission.resource_type.name()));
        let names = loop {
            match refused(cluster, permission, &told).await {
                Ok(names) => break Ok(names),
                Err(failure) => match patience.wait(failure).await {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
            }
        };
        match names {
            Ok(names) if names.is_empty() => {}
            Ok(names) => missing.push(Missing { right: permission.right, names }),
            Err(error) => untried.push((permission.right, error.seen().to_owned())),
        }
    }
    Ok((missing, untried))
}

/// What the cluster as a whole permits; None where its brokers do not tell.
///
/// Errors: as for `missing`.
pub async fn on_cluster(cluster: &Cluster) -> Result<Option<Vec<Operation>>> {
    let mut patience = cluster.patience("ask what is permitted on the cluster");
    loop {
        match Told::ask(cluster, ClusterSide::Target, &BTreeSet::new(), &BTreeSet::new()).await {
            Ok(told) => return Ok(told.cluster.map(|bits| Operation::ALL.iter().copied().filter(|op| holds(bits, *op)).collect())),
            Err(failure) => patience.wait(failure).await?,
        }
    }
}

fn names<'a>(needed: &[&'a Permission], resource_type: ResourceType) -> BTreeSet<&'a str> {
    needed.iter().filter(|p| p.resource_type == resource_type).flat_map(|p| p.names.iter().map(String::as_str)).collect()
}

/// Bit fields of operations, by what they are about. Source: KIP-430; the bits are the operations' codes.
#[derive(Default)]
struct Told {
    /// None where the brokers do not say.
    cluster: Option<i32>,
    /// Topics that exist and that we may describe.
    topics: BTreeMap<String, i32>,
    /// None where we may not describe the group.
    groups: BTreeMap<String, Option<i32>>,
}

fn holds(bits: i32, operation: Operation) -> bool {
    bits >> (operation as i8) & 1 == 1
}

impl Told {
    /// The topics of the source exist: a broker that does not know one has just come up, and is asked again.
    async fn ask(cluster: &Cluster, side: ClusterSide, topics: &BTreeSet<&str>, groups: &BTreeSet<&str>) -> std::result::Result<Self, Failure> {
        let connection = cluster.try_any().await?;
        // Later versions tell of topics only, and DescribeCluster of the cluster.
        let version = negotiate::<MetadataRequest>(&connection, 8, 10)?;
        let mut told = Self::default();
        let names: Vec<&str> = topics.iter().copied().collect();
        // Without topics, too, the cluster is asked once.
        let chunks: Vec<&[&str]> = if names.is_empty() { vec![&[]] } else { names.chunks(ASKED_AT_ONCE_MAX).collect() };
        for chunk in chunks {
            let asked = chunk.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))));
            let request = MetadataRequest::default()
                .with_topics(Some(asked.collect()))
                .with_allow_auto_topic_creation(false)
                .with_include_cluster_authorized_operations(true)
                .with_include_topic_authorized_operations(true);
            let answer = connection.call(version, &request).await?;
            told.cluster = Some(answer.cluster_authorized_operations).filter(|bits| *bits != i32::MIN);
            for topic in answer.topics {
                match Failure::check_code(topic.error_code) {
                    Ok(()) if topic.topic_authorized_operations != i32::MIN => {
                        told.topics.extend(topic.name.map(|name| (name.to_string(), topic.topic_authorized_operations)));
                    }
                    Err(failure) if side == ClusterSide::Source && failure.kafka_error() != Some(ResponseError::TopicAuthorizationFailed) => return Err(failure),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        told.ask_groups(cluster, groups).await?;
        Ok(told)
    }

    async fn ask_groups(&mut self, cluster: &Cluster, groups: &BTreeSet<&str>) -> std::result::Result<(), Failure> {
        let ids: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut by_broker: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (id, coordinator) in cluster.try_coordinators(&ids, Coordinator::Group).await? {
            match coordinator {
                Ok(broker) => by_broker.entry(broker).or_default().push(id),
                Err(failure) if failure.kafka_error() == Some(ResponseError::GroupAuthorizationFailed) => drop(self.groups.insert(id, None)),
                Err(failure) => return Err(failure),
            }
        }
        for (broker, ids) in by_broker {
            let connection = cluster.try_connection(broker, Lane::Admin).await?;
            // Later versions know no group that does not exist.
            let version = negotiate::<DescribeGroupsRequest>(&connection, 3, 5)?;
            for chunk in ids.chunks(ASKED_AT_ONCE_MAX) {
                let request = DescribeGroupsRequest::default()
                    .with_groups(chunk.iter().map(|id| GroupId(text(id))).collect())
                    .with_include_authorized_operations(true);
                for group in connection.call(version, &request).await?.groups {
                    let bits = match Failure::check(group.error_code, group.error_message) {
                        Ok(()) => Some(group.authorized_operations),
                        Err(failure) if failure.kafka_error() == Some(ResponseError::GroupAuthorizationFailed) => None,
                        Err(failure) => return Err(failure),
                    };
                    self.groups.insert(group.group_id.to_string(), bits);
                }
            }
        }
        Ok(())
    }
}

/// The permission's resources on which it is not given.
async fn refused(cluster: &Cluster, permission: &Permission, told: &Told) -> std::result::Result<Vec<String>, Failure> {
    let operation = permission.operation;
    match permission.resource_type {
        ResourceType::Cluster => {
            let given = match told.cluster {
                // Who may not describe the cluster is told nothing of it.
                Some(0) => on_undescribed_cluster(cluster, operation).await?,
                Some(bits) => holds(bits, operation),
                None => true,
            };
            Ok(if given { Vec::new() } else { permission.names.clone() })
        }
        ResourceType::Group if permission.side == ClusterSide::Target => target_groups(&cluster.try_any().await?, permission).await,
        ResourceType::Group => {
            let given = |name: &&String| told.groups.get(*name).is_none_or(|bits| bits.is_some_and(|bits| holds(bits, operation)));
            Ok(permission.names.iter().filter(|name| !given(name)).cloned().collect())
        }
        ResourceType::TransactionalId => transactional_ids(cluster, permission).await,
        ResourceType::Topic => {
            let (there, absent): (Vec<&String>, Vec<&String>) = permission.names.iter().partition(|name| told.topics.contains_key(*name));
            let mut refused: Vec<String> = there.into_iter().filter(|name| !holds(told.topics[*name], operation)).cloned().collect();
            for chunk in absent.chunks(ASKED_AT_ONCE_MAX) {
                refused.extend(absent_topics(cluster, permission, chunk).await?);
            }
            refused.sort();
            Ok(refused)
        }
        // No right of ours is on these.
        ResourceType::DelegationToken | ResourceType::User => Ok(Vec::new()),
    }
}

/// Whether an operation is permitted that does not let describe the cluster along with it.
async fn on_undescribed_cluster(cluster: &Cluster, operation: Operation) -> std::result::Result<bool, Failure> {
    let code = match operation {
        Operation::DescribeConfigs => {
            let connection = cluster.try_any().await?;
            let version = negotiate::<DescribeClientQuotasRequest>(&connection, 0, 1)?;
            connection.call(version, &DescribeClientQuotasRequest::default().with_strict(false)).await?.error_code
        }
        Operation::AlterConfigs => {
            let connection = cluster.try_controller().await?;
            let version = negotiate::<AlterClientQuotasRequest>(&connection, 0, 1)?;
            // The removal of a limit that nobody has, and on trial only.
            let nobody = EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text("kferry-nobody")));
            let remove = OpData::default().with_key(text("producer_byte_rate")).with_remove(true);
            let entry = EntryData::default().with_entity(vec![nobody]).with_ops(vec![remove]);
            let request = AlterClientQuotasRequest::default().with_entries(vec![entry]).with_validate_only(true);
            connection.call(version, &request).await?.entries.first().map_or(0, |entry| entry.error_code)
        }
        _ => return Ok(false),
    };
    Ok(ResponseError::try_from_code(code) != Some(ResponseError::ClusterAuthorizationFailed))
}

/// Asks to commit, or to delete, the offset of a partition that no topic has, of a broker that need not be the coordinator.
async fn target_groups(connection: &Connection, permission: &Permission) -> std::result::Result<Vec<String>, Failure> {
    let mut refused = Vec::new();
    for chunk in permission.names.chunks(ASKED_AT_ONCE_MAX) {
        let codes: Vec<i16> = match permission.operation {
            Operation::Delete => {
                let version = negotiate::<OffsetDeleteRequest>(connection, 0, 0)?;
                let partition = OffsetDeleteRequestPartition::default().with_partition_index(NOBODYS_PARTITION);
                let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(NOBODYS_TOPIC)).with_partitions(vec![partition]);
                let request = |name: &String| OffsetDeleteRequest::default().with_group_id(GroupId(text(name))).with_topics(vec![topic.clone()]);
                let sent: Vec<_> = chunk.iter().map(|name| connection.send(version, &request(name))).collect();
                let mut codes = Vec::with_capacity(sent.len());
                for answer in sent {
                    codes.push(answer.await?.error_code);
                }
                codes
            }
            _ => {
                let version = negotiate::<OffsetCommitRequest>(connection, 2, 8)?;
                let partition = OffsetCommitRequestPartition::default().with_partition_index(NOBODYS_PARTITION);
                let topic = OffsetCommitRequestTopic::default().with_name(topic_name(NOBODYS_TOPIC)).with_partitions(vec![partition]);
                let request = |name: &String| OffsetCommitRequest::default().with_group_id(GroupId(text(name))).with_topics(vec![topic.clone()]);
                let sent: Vec<_> = chunk.iter().map(|name| connection.send(version, &request(name))).collect();
                let mut codes = Vec::with_capacity(sent.len());
                for answer in sent {
                    let answer = answer.await?;
                    codes.push(answer.topics.first().and_then(|t| t.partitions.first()).map_or(0, |p| p.error_code));
                }
                codes
            }
        };
        let denied = |code: i16| ResponseError::try_from_code(code) == Some(ResponseError::GroupAuthorizationFailed);
        refused.extend(chunk.iter().zip(codes).filter(|(_, code)| denied(*code)).map(|(name, _)| name.clone()));
    }
    Ok(refused)
}

/// Asks for the end, or for the state, of a transaction under an id that nobody uses.
async fn transactional_ids(cluster: &Cluster, permission: &Permission) -> std::result::Result<Vec<String>, Failure> {
    let connection = cluster.try_any().await?;
    let code = match permission.operation {
        Operation::Write => {
            let Some(prefix) = permission.names.first() else { return Ok(Vec::new()) };
            let version = negotiate::<EndTxnRequest>(&connection, 0, 3)?;
            let request = EndTxnRequest::default()
                .with_transactional_id(TransactionalId(text(&format!("{prefix}never-used"))))
                .with_producer_id(ProducerId(0))
                .with_producer_epoch(0)
                .with_committed(false);
            connection.call(version, &request).await?.error_code
        }
        _ => {
            let Ok(version) = negotiate::<DescribeTransactionsRequest>(&connection, 0, 0) else { return Ok(Vec::new()) };
            let nobodys = format!("nobodys-{:016x}", getrandom::u64().unwrap_or_default());
            let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(&nobodys))]);
            connection.call(version, &request).await?.transaction_states.first().map_or(0, |state| state.error_code)
        }
    };
    let refused = ResponseError::try_from_code(code) == Some(ResponseError::TransactionalIdAuthorizationFailed);
    Ok(if refused { permission.names.clone() } else { Vec::new() })
}

/// Asks for something that topics which are not there, or that we may not describe, cannot do.
async fn absent_topics(cluster: &Cluster, permission: &Permission, names: &[&String]) -> std::result::Result<Vec<String>, Failure> {
    if permission.side == ClusterSide::Source {
        // The topics of the source exist: these we may not even describe.
        return Ok(names.iter().map(|name| (*name).clone()).collect());
    }
    let answers: Vec<(String, i16)> = match permission.right {
        Right::TargetTopicCreate => create(cluster, names).await?,
        Right::TargetTopicRead => fetch(&cluster.try_any().await?, names).await?,
        Right::TargetTopicWrite => produce(&cluster.try_any().await?, names).await?,
        Right::TargetTopicDelete => delete(&cluster.try_any().await?, names).await?,
        Right::TargetTopicAlterConfigs => alter(cluster, names).await?,
        _ => Vec::new(),
    };
    let refused = |code: i16| ResponseError::try_from_code(code) == Some(ResponseError::TopicAuthorizationFailed);
    Ok(answers.into_iter().filter(|(_, code)| refused(*code)).map(|(name, _)| name).collect())
}

/// Creates them on trial only.
async fn create(cluster: &Cluster, names: &[&String]) -> std::result::Result<Vec<(String, i16)>, Failure> {
    let connection = cluster.try_controller().await?;
    let version = negotiate::<CreateTopicsRequest>(&connection, 4, 6)?;
    let topics = names.iter().map(|name| CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(1).with_replication_factor(1));
    let request = CreateTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(TIMEOUT_MS).with_validate_only(true);
    let answer = connection.call(version, &request).await?;
    Ok(answer.topics.into_iter().map(|t| (t.name.to_string(), t.error_code)).collect())
}

async fn fetch(connection: &Connection, names: &[&String]) -> std::result::Result<Vec<(String, i16)>, Failure> {
    let version = negotiate::<FetchRequest>(connection, 4, 12)?;
    let partition = FetchPartition::default().with_partition(NOBODYS_PARTITION).with_partition_max_bytes(1);
    let topics = names.iter().map(|name| FetchTopic::default().with_topic(topic_name(name)).with_partitions(vec![partition.clone()]));
    let request = FetchRequest::default().with_replica_id(BrokerId(-1)).with_max_wait_ms(0).with_max_bytes(1).with_topics(topics.collect());
    let answer = connection.call(version, &request).await?;
    let codes = answer.responses.into_iter().filter_map(|t| Some((t.topic.to_string(), t.partitions.first()?.error_code)));
    Ok(codes.collect())
}

async fn produce(connection: &Connection, names: &[&String]) -> std::result::Result<Vec<(String, i16)>, Failure> {
    let version = negotiate::<ProduceRequest>(connection, 3, 11)?;
    let partition = PartitionProduceData::default().with_index(NOBODYS_PARTITION).with_records(None);
    let topics = names.iter().map(|name| TopicProduceData::default().with_name(topic_name(name)).with_partition_data(vec![partition.clone()]));
    let request = ProduceRequest::default().with_acks(1).with_timeout_ms(TIMEOUT_MS).with_topic_data(topics.collect());
    let answer = connection.call(version, &request).await?;
    let codes = answer.responses.into_iter().filter_map(|t| Some((t.name.to_string(), t.partition_responses.first()?.error_code)));
    Ok(codes.collect())
}

async fn delete(connection: &Connection, names: &[&String]) -> std::result::Result<Vec<(String, i16)>, Failure> {
    let version = negotiate::<DeleteRecordsRequest>(connection, 0, 2)?;
    let partition = DeleteRecordsPartition::default().with_partition_index(NOBODYS_PARTITION).with_offset(0);
    let topics = names.iter().map(|name| DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(vec![partition.clone()]));
    let request = DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(TIMEOUT_MS);
    let answer = connection.call(version, &request).await?;
    let codes = answer.topics.into_iter().filter_map(|t| Some((t.name.to_string(), t.partitions.first()?.error_code)));
    Ok(codes.collect())
}

/// Changes a setting on trial only.
async fn alter(cluster: &Cluster, names: &[&String]) -> std::result::Result<Vec<(String, i16)>, Failure> {
    let connection = cluster.try_any().await?;
    let version = negotiate::<IncrementalAlterConfigsRequest>(&connection, 0, 1)?;
    let set = AlterableConfig::default().with_name(text("retention.ms")).with_config_operation(0).with_value(Some(text("-1")));
    let resources = names.iter().map(|name| {
        // 2: a topic. Source: `ConfigResource.Type`.
        AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(name)).with_configs(vec![set.clone()])
    });
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources.collect()).with_validate_only(true);
    let answer = connection.call(version, &request).await?;
    Ok(answer.responses.into_iter().map(|r| (r.resource_name.to_string(), r.error_code)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_the_operations_codes() {
        let bits = 1 << 3 | 1 << 8 | 1 << 11;
        let held: Vec<Operation> = Operation::ALL.iter().copied().filter(|op| holds(bits, *op)).collect();
        assert_eq!(held, [Operation::Read, Operation::Describe, Operation::AlterConfigs]);
    }
}
