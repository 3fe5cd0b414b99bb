//! One cluster at one moment, for plan, precheck and evidence.

use super::cluster::Lane;
use super::limits::SNAPSHOT_PATIENCE;
use super::offsets::OffsetAt;
use super::release;
use super::source::Reader;
use crate::domain::partition::TopicPartition;
use crate::domain::topology::{Broker, ClusterSnapshot, MetadataMode, PartitionSnapshot, TopicSnapshot};
use crate::error::Result;
use futures::future::join_all;
use std::collections::BTreeMap;

/// The settings of brokers that matter to a migration.
const BROKER_CONFIGS: &[&str] = &[
    "allow.everyone.if.no.acl.found",
    "authorizer.class.name",
    "auto.create.topics.enable",
    "compression.type",
    "control.plane.listener.name",
    "default.replication.factor",
    "group.max.session.timeout.ms",
    "group.max.size",
    "group.min.session.timeout.ms",
    "inter.broker.protocol.version",
    "log.cleanup.policy",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.hours",
    "log.retention.minutes",
    "log.retention.ms",
    "log.segment.bytes",
    "message.max.bytes",
    "min.insync.replicas",
    "num.partitions",
    "offset.metadata.max.bytes",
    "offsets.retention.minutes",
    "offsets.topic.replication.factor",
    "producer.id.expiration.ms",
    "remote.log.storage.system.enable",
    "socket.request.max.bytes",
    "super.users",
    "transaction.max.timeout.ms",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
    "transactional.id.expiration.ms",
    "unclean.leader.election.enable",
    "zookeeper.metadata.migration.enable",
];

/// What the brokers' versions say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub metadata_mode: MetadataMode,
    /// Of the oldest broker.
    pub version: String,
    /// Whether a KRaft controller is ready for a migration from ZooKeeper: the cluster may be in one itself.
    pub zk_migration_ready: bool,
}

impl Reader {
    /// Which Kafka the cluster is, by every broker that answers.
    ///
    /// Errors: the cluster's unavailability where none does.
    pub async fn identity(&self) -> Result<Identity> {
        let metadata = self.cluster.metadata();
        let connections = join_all(metadata.brokers.keys().map(|id| self.cluster.connection(*id, Lane::Admin))).await;
        let (mut identity, mut last) = (None::<Identity>, None);
        for connection in connections {
            let versions = match &connection {
                Ok(connection) => connection.versions(),
                Err(_) => {
                    last = connection.err();
                    continue;
                }
            };
            let one = Identity {
                metadata_mode: versions.metadata_mode(),
                version: versions.release().to_owned(),
                zk_migration_ready: versions.zk_migration_ready,
            };
            identity = Some(match identity {
                None => one,
                Some(all) => Identity {
                    // Brokers of both kinds live together only while the cluster is being migrated in place.
                    metadata_mode: if all.metadata_mode == one.metadata_mode { one.metadata_mode } else { MetadataMode::Unknown },
                    version: if release::rank(&one.version) < release::rank(&all.version) { one.version } else { all.version },
                    zk_migration_ready: all.zk_migration_ready || one.zk_migration_ready,
                },
            });
        }
        match (identity, last) {
            (Some(identity), _) => Ok(identity),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Identity { metadata_mode: MetadataMode::Unknown, version: "unknown".into(), zk_migration_ready: false }),
        }
    }

    /// The cluster as it is now, with the topics and groups that are chosen by name.
    ///
    /// What cannot be read of a partition within a few seconds is left empty; groups and ACLs are whole or an error.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where describing is not permitted, or the cluster's unavailability.
    pub async fn snapshot(
        &self,
        topics: impl Fn(&str) -> bool + Send,
        groups: impl Fn(&str) -> bool + Send,
    ) -> Result<ClusterSnapshot> {
        let metadata = self.cluster.refresh().await?;
        let names: Vec<String> = metadata.topics.keys().filter(|name| topics(name)).map(|name| name.to_string()).collect();
        let partitions: Vec<TopicPartition> = metadata
            .topics
            .values()
            .filter(|t| topics(&t.name))
            .flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(t.name.clone(), p.partition)))
            .collect();
        let mut listed = self.list_groups().await?;
        listed.retain(|g| groups(&g.group_id));
        let hasty = self.with_patience(SNAPSHOT_PATIENCE);
        let (identity, mut configs, acls, groups, quotas, scram_users) = futures::try_join!(
            Box::pin(self.identity()),
            Box::pin(self.topic_configs(&names)),
            Box::pin(self.acls()),
            Box::pin(self.describe_groups(&listed)),
            Box::pin(self.quotas()),
            Box::pin(self.scram_users())
        )?;
        let ((log_starts, _), (log_ends, _), sizes, broker_configs) = futures::join!(
            hasty.list_offsets_each(&partitions, OffsetAt::Earliest),
            hasty.list_offsets_each(&partitions, OffsetAt::HighWatermark),
            self.log_sizes(),
            self.lowest_broker_configs(),
        );
        let topics = metadata.topics.values().filter(|t| names.binary_search_by(|n| n.as_str().cmp(&t.name)).is_ok()).map(|t| {
            let partitions = t.partitions.iter().map(|p| {
                let partition = TopicPartition::new(t.name.clone(), p.partition);
                PartitionSnapshot {
                    partition: p.partition,
                    leader: p.leader.map(|l| l.broker_id),
                    leader_epoch: p.leader_epoch,
                    replicas: p.replicas.clone(),
                    in_sync: p.in_sync.clone(),
                    log_start: log_starts.get(&partition).map(|l| l.offset),
                    log_end: log_ends.get(&partition).map(|l| l.offset),
                    size_bytes: sizes.get(&partition).copied(),
                }
            });
            TopicSnapshot {
                name: t.name.to_string(),
                topic_id: t.topic_id_text(),
                internal: t.internal,
                partitions: partitions.collect(),
                configs: configs.remove(&*t.name).unwrap_or_default(),
            }
        });
        let brokers = metadata.brokers.values().map(|b| Broker { id: b.id, host: b.host.clone(), port: b.port, rack: b.rack.clone() });
        Ok(ClusterSnapshot {
            cluster_id: metadata.cluster_id.clone(),
            metadata_mode: identity.metadata_mode,
            version: identity.version,
            brokers: brokers.collect(),
            topics: topics.collect(),
            acls,
            groups,
            broker_configs,
            quotas,
            scram_users,
        })
    }

    /// The settings that matter, from the lowest broker id; empty where describing them is not permitted.
    pub async fn lowest_broker_configs(&self) -> BTreeMap<String, String> {
        let Some(id) = self.cluster.metadata().brokers.keys().next().copied() else { return BTreeMap::new() };
        match self.with_patience(SNAPSHOT_PATIENCE).broker_configs(id).await {
            Ok(mut configs) => {
                let chosen = BROKER_CONFIGS.iter().filter_map(|name| {
                    let value = configs.remove(*name)?.value?;
                    Some(((*name).to_owned(), value))
                });
                chosen.collect()
            }
            Err(error) => {
                tracing::warn!(cluster = %self.cluster.side(), %error, "the brokers' settings cannot be read");
                BTreeMap::new()
            }
        }
    }
}
