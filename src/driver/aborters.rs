//! The transactional ids under which data of aborted transactions is appended on the target, one per partition, and what earlier runs have left open there.
//!
//! A transaction that is open when a run ends goes on in the next one, as long as the coordinator keeps it: taking its transactional id anew would
//! abort it at once, and the control record would lie where the source has something else.

use super::limits::DECISION_POLL_INTERVAL;
use crate::copy::OpenTransaction;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use crate::kafka::target::Target;
use crate::kafka::transactions::{ProducerIdentity, TransactionalProducer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The transactional id of one partition.
pub fn transactional_id(migration_id: &str, partition: &TopicPartition) -> String {
    format!("kferry-{migration_id}-aborted-{partition}")
}

/// A transaction of ours that is open.
pub struct LeftOpen {
    pub producer: TransactionalProducer,
    pub transaction: OpenTransaction,
}

/// The transactions that are open under this migration's ids, by partition. Waits until none is about to be decided, since its control record is still to land then.
///
/// Errors: the target's unavailability.
pub async fn left_open(target: &Target, migration_id: &str, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LeftOpen>> {
    let ids: BTreeMap<String, &TopicPartition> = partitions.iter().map(|p| (transactional_id(migration_id, p), p)).collect();
    let open = loop {
        let all = target.open_transactions().await?.unwrap_or_default();
        let ours: Vec<_> = all.into_iter().filter_map(|t| Some((*ids.get(&t.transactional_id)?, t))).collect();
        match ours.iter().find(|(_, t)| t.state != "Ongoing") {
            None => break ours,
            Some((partition, t)) => tracing::info!(%partition, state = t.state, "waiting for a transaction of an earlier run to be decided"),
        }
        tokio::time::sleep(DECISION_POLL_INTERVAL).await;
    };
    let names: Vec<TopicPartition> = open.iter().map(|(partition, _)| (*partition).clone()).collect();
    let known = if names.is_empty() { BTreeMap::new() } else { target.producers(&names).await?.unwrap_or_default() };
    let left = open.into_iter().map(|(partition, t)| {
        let last = known.get(partition).into_iter().flatten().find(|p| p.producer_id == t.producer_id && p.producer_epoch == i32::from(t.producer_epoch));
        // Sequences wrap to 0; −1 where the id has only written control records.
        let next_sequence = last.map_or(0, |p| p.last_sequence.checked_add(1).unwrap_or(0));
        let identity = ProducerIdentity { producer_id: t.producer_id, producer_epoch: t.producer_epoch };
        let transaction = OpenTransaction { producer_id: t.producer_id, producer_epoch: t.producer_epoch, next_sequence };
        (partition.clone(), LeftOpen { producer: target.resumed_producer(&t.transactional_id, identity), transaction })
    });
    Ok(left.collect())
}

/// Aborts what earlier runs have left open in these topics, before they are deleted: their coordinators would write to topics of the same names later on.
///
/// Errors: the target's unavailability.
pub async fn abort_left_open(target: &Target, migration_id: &str, topics: &BTreeSet<String>) -> Result<()> {
    let metadata = target.refresh().await?;
    let partitions: Vec<TopicPartition> = topics
        .iter()
        .filter_map(|name| metadata.topic(name))
        .flat_map(|topic| topic.partitions.iter().map(|p| TopicPartition::new(topic.name.clone(), p.partition)))
        .collect();
    for partition in left_open(target, migration_id, &partitions).await?.into_keys() {
        let id = transactional_id(migration_id, &partition);
        tracing::info!(%partition, "aborting what an earlier run has left open");
        target.transactional_producer(&id, transaction_timeout(target).await).await?;
    }
    Ok(())
}

/// As long as the target's brokers allow a transaction to be open: only an outage of that length, in the middle of aborted data, costs a topic its copy.
pub async fn transaction_timeout(target: &Target) -> Duration {
    let told = target.lowest_broker_configs().await.get("transaction.max.timeout.ms").and_then(|value| value.parse().ok());
    // Brokers' default.
    Duration::from_millis(told.unwrap_or(900_000).min(i32::MAX as u64))
}
