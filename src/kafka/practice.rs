//! How a cluster is run, as its brokers show it.

use super::cluster::{Lane, negotiate};
use super::failure::Failure;
use super::metadata::Metadata;
use super::source::Reader;
use crate::domain::practice::Practice;
use crate::error::Result;
use futures::future::join_all;
use kafka_protocol::messages::DescribeLogDirsRequest;
use std::collections::BTreeSet;

impl Metadata {
    /// Counts replicas, leaders that are not the preferred ones, and brokers that are not there.
    fn count_into(&self, practice: &mut Practice) {
        for p in self.topics.values().flat_map(|t| &t.partitions) {
            practice.partitions += 1;
            if p.leader.is_some_and(|l| p.replicas.first().is_some_and(|first| *first != l.broker_id)) {
                practice.not_preferred += 1;
            }
            for id in &p.replicas {
                *practice.replicas.entry(*id).or_default() += 1;
                if !self.brokers.contains_key(id) {
                    practice.absent.insert(*id);
                }
            }
        }
    }
}

impl Reader {
    /// How the cluster is run, by every broker; what a broker does not tell is named in the answer.
    pub async fn practice(&self) -> Practice {
        let metadata = self.cluster.metadata();
        let mut practice = Practice::default();
        metadata.count_into(&mut practice);
        let ids: Vec<i32> = metadata.brokers.keys().copied().collect();
        let answers = join_all(ids.iter().map(|id| async move { (*id, futures::join!(self.origins(*id), self.log_dirs_of(*id), self.features_of(*id))) })).await;
        for (id, (origins, log_dirs, features)) in answers {
            match origins {
                Ok(origins) => {
                    for key in origins.dynamic {
                        practice.dynamic_settings.entry(key).or_default().insert(id);
                    }
                    practice.secrets_set.extend(origins.secrets_set);
                }
                Err(error) => practice.not_read.push(format!("where broker {id} has its settings from ({})", error.seen())),
            }
            match log_dirs {
                Ok((directories, free_bytes)) => {
                    practice.log_dirs.insert(id, directories);
                    practice.free_bytes.extend(free_bytes.map(|bytes| (id, bytes)));
                }
                Err(failure) => practice.not_read.push(format!("the log directories of broker {id} ({failure})")),
            }
            match features {
                Ok((features, migrating)) => {
                    for (name, level) in features {
                        let known = practice.features.entry(name).or_insert(level);
                        *known = (known.0.max(level.0), known.1.min(level.1));
                    }
                    practice.migrating.extend(migrating.then_some(id));
                }
                Err(error) => practice.not_read.push(format!("the features of broker {id} ({})", error.seen())),
            }
        }
        practice
    }

    /// How many log directories a broker has, and the free bytes of their volumes; none from brokers older than 3.3.
    async fn log_dirs_of(&self, broker_id: i32) -> std::result::Result<(usize, Option<i64>), Failure> {
        let connection = self.cluster.try_connection(broker_id, Lane::Admin).await?;
        let version = negotiate::<DescribeLogDirsRequest>(&connection, 1, 4)?;
        // No topic is named, so that the directories come by themselves.
        let response = connection.call(version, &DescribeLogDirsRequest::default().with_topics(Some(Vec::new()))).await?;
        Failure::check_code(response.error_code)?;
        let working: Vec<_> = response.results.iter().filter(|d| d.error_code == 0).collect();
        let volumes: Vec<(i64, i64)> = working.iter().map(|d| (d.usable_bytes, d.total_bytes)).collect();
        Ok((working.len(), free_bytes(&volumes)))
    }

    /// A broker's features, finalized and at most supported, and whether it takes part in a migration from ZooKeeper.
    async fn features_of(&self, broker_id: i32) -> Result<(Vec<(String, (i16, i16))>, bool)> {
        let connection = self.cluster.connection(broker_id, Lane::Admin).await?;
        let versions = connection.versions();
        let level = |name: &String, finalized: i16| Some((name.clone(), (finalized, versions.supported_features.get(name)?.1)));
        let features = versions.finalized_features.iter().filter_map(|(name, finalized)| level(name, *finalized));
        Ok((features.collect(), versions.zk_migration_ready))
    }
}

/// What is free, by the usable and total bytes that each directory tells of its volume: none where one does not tell.
///
/// Directories are taken for volumes of their own, which is what several are for, save where both numbers are the same: these share one.
fn free_bytes(directories: &[(i64, i64)]) -> Option<i64> {
    let volumes: BTreeSet<(i64, i64)> = directories.iter().copied().collect();
    let told = !volumes.is_empty() && volumes.iter().all(|(usable, _)| *usable >= 0);
    told.then(|| volumes.iter().map(|(usable, _)| *usable).fold(0, i64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_on_one_volume_are_counted_once() {
        assert_eq!(free_bytes(&[(40, 100), (40, 100)]), Some(40));
        assert_eq!(free_bytes(&[(40, 100), (40, 200), (30, 100), (40, 100)]), Some(110));
        assert_eq!(free_bytes(&[(0, 100)]), Some(0), "full, and it says so");
        assert_eq!([free_bytes(&[]), free_bytes(&[(-1, -1)]), free_bytes(&[(40, 100), (-1, -1)])], [None; 3]);
    }
    use crate::kafka::metadata::{BrokerNode, Leader, PartitionMetadata, TopicMetadata};

    #[test]
    fn brokers_that_hold_replicas_and_are_not_there_are_counted_and_leaders_that_are_not_the_first() {
        let broker = |id| (id, BrokerNode { id, host: "h".into(), port: 1, rack: None });
        let partition = |partition, leader: i32, replicas: &[i32]| PartitionMetadata {
            partition,
            leader: (leader > 0).then_some(Leader { broker_id: leader, epoch: 0 }),
            leader_epoch: 0,
            replicas: replicas.to_vec(),
            in_sync: Vec::new(),
            offline: Vec::new(),
        };
        let partitions = vec![partition(0, 1, &[1, 2]), partition(1, 2, &[3, 2]), partition(2, -1, &[3, 1])];
        let topic = TopicMetadata { name: "t".into(), topic_id: None, internal: false, partitions };
        let metadata = Metadata { brokers: [broker(1), broker(2)].into(), topics: [("t".into(), topic)].into(), ..Metadata::default() };
        let mut practice = Practice::default();
        metadata.count_into(&mut practice);
        assert_eq!((practice.partitions, practice.not_preferred), (3, 1), "who has no leader is told elsewhere");
        assert_eq!((practice.absent, practice.replicas), ([3].into(), [(1, 2), (2, 2), (3, 2)].into()));
    }
}
