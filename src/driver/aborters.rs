//! The transactional ids under which data of aborted transactions is appended on the target, one per partition, and what earlier runs have left open there.
//!
//! A transaction that is open when a run ends goes on in the next one, as long as the coordinator keeps it: taking its transactional id anew would
//! abort it at once, and the control record would lie where the source has something else.

use super::limits::{DECISION_POLL_INTERVAL, HEALTH_TOLD_EVERY, UNLISTED_PATIENCE};
use crate::copy::OpenTransaction;
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result};
use crate::kafka::producers::{ActiveProducer, ListedTransaction as Listed};
use crate::kafka::target::Target;
use crate::kafka::transactions::{ProducerIdentity, TransactionalProducer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The transactional id of one partition.
pub fn transactional_id(migration_id: &str, partition: &TopicPartition) -> String {
    format!("kferry-{migration_id}-aborted-{partition}")
}

/// A transaction of ours that is open.
pub struct LeftOpen {
    pub producer: TransactionalProducer,
    pub transaction: OpenTransaction,
}

/// The transactions that are open under this migration's ids, by partition. Waits until none is about to be decided, since its control record is still to
/// land then, and until the coordinator of each that a partition shows as open can be asked.
///
/// Errors: the target's unavailability, also where no coordinator knows what is open.
pub async fn left_open(target: &Target, migration_id: &str, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LeftOpen>> {
    let ids: BTreeMap<String, &TopicPartition> = partitions.iter().map(|p| (transactional_id(migration_id, p), p)).collect();
    let (began, mut told) = (Instant::now(), None::<Instant>);
    let (open, known) = loop {
        let known = target.producers(partitions).await?.unwrap_or_default();
        let all = target.open_transactions().await?.unwrap_or_default();
        let waits = match unsettled(&ids, &known, &all) {
            None => break (all, known),
            Some(Unsettled::Undecided(why)) => why,
            Some(Unsettled::Unlisted(why)) if began.elapsed() < UNLISTED_PATIENCE => why,
            Some(Unsettled::Unlisted(why)) => return Err(Error::new(Code::TargetUnavailable, why)),
        };
        if told.is_none_or(|at| at.elapsed() >= HEALTH_TOLD_EVERY) {
            tracing::info!(waits, "waiting for what an earlier run has left open on the target");
            told = Some(Instant::now());
        }
        tokio::time::sleep(DECISION_POLL_INTERVAL).await;
    };
    let open = open.into_iter().filter_map(|t| Some((*ids.get(&t.transactional_id)?, t)));
    let left = open.map(|(partition, t)| {
        let last = known.get(partition).into_iter().flatten().find(|p| p.producer_id == t.producer_id && p.producer_epoch == i32::from(t.producer_epoch));
        // Sequences wrap to 0; −1 where the id has only written control records.
        let next_sequence = last.map_or(0, |p| p.last_sequence.checked_add(1).unwrap_or(0));
        let identity = ProducerIdentity { producer_id: t.producer_id, producer_epoch: t.producer_epoch };
        let transaction = OpenTransaction { producer_id: t.producer_id, producer_epoch: t.producer_epoch, next_sequence };
        (partition.clone(), LeftOpen { producer: target.resumed_producer(&t.transactional_id, identity), transaction })
    });
    Ok(left.collect())
}

enum Unsettled {
    /// A transaction of ours whose control records are still to land.
    Undecided(String),
    /// A partition with an open transaction that nobody lists: its coordinator is away.
    Unlisted(String),
}

fn unsettled(
    ids: &BTreeMap<String, &TopicPartition>,
    known: &BTreeMap<TopicPartition, Vec<ActiveProducer>>,
    all: &[Listed],
) -> Option<Unsettled> {
    if let Some(t) = all.iter().find(|t| ids.contains_key(&t.transactional_id) && t.state != "Ongoing") {
        return Some(Unsettled::Undecided(format!("the transaction of {} is {}", t.transactional_id, t.state)));
    }
    let is_open = |producers: &Vec<ActiveProducer>| producers.iter().any(|p| p.transaction_start.is_some());
    let mut unlisted = known.iter().filter(|(partition, producers)| is_open(producers) && !all.iter().any(|t| t.partitions.contains(partition)));
    unlisted.next().map(|(partition, _)| Unsettled::Unlisted(format!("{partition} has an open transaction that no coordinator of the target knows of")))
}

/// Aborts what earlier runs have left open in these partitions, before their topics are deleted: coordinators would write to topics of the same names later on.
///
/// What nobody lists, or is somebody else's, goes with the topic.
///
/// Errors: the target's unavailability.
pub async fn abort_left_open(target: &Target, migration_id: &str, partitions: &[TopicPartition]) -> Result<()> {
    let ours: BTreeSet<String> = partitions.iter().map(|p| transactional_id(migration_id, p)).chain([markers_id(migration_id)]).collect();
    let open = target.open_transactions().await?.unwrap_or_default();
    let open: Vec<_> = open.into_iter().filter(|t| ours.contains(&t.transactional_id)).collect();
    if open.is_empty() {
        return Ok(());
    }
    let timeout = transaction_timeout(&target.lowest_broker_configs().await);
    for t in open {
        tracing::info!(t.transactional_id, "aborting what an earlier run has left open");
        target.transactional_producer(&t.transactional_id, timeout).await?;
    }
    Ok(())
}

/// The transactional id of control records that end nothing.
pub fn markers_id(migration_id: &str) -> String {
    format!("kferry-{migration_id}-markers")
}

/// As long as the target's brokers allow a transaction to be open: only an outage of that length, in the middle of aborted data, costs a topic its copy.
pub fn transaction_timeout(broker_configs: &BTreeMap<String, String>) -> Duration {
    let told = broker_configs.get("transaction.max.timeout.ms").and_then(|value| value.parse().ok());
    // Brokers' default.
    Duration::from_millis(told.unwrap_or(900_000).min(i32::MAX as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, state: &str, partition: &TopicPartition) -> Listed {
        Listed {
            transactional_id: id.to_owned(),
            producer_id: 7,
            producer_epoch: 1,
            state: state.to_owned(),
            timeout_ms: 60_000,
            started_at_ms: 0,
            partitions: vec![partition.clone()],
        }
    }

    #[test]
    fn nothing_is_taken_up_before_every_open_transaction_is_accounted_for() {
        let partition = TopicPartition::new("orders", 3);
        let ours = transactional_id("m", &partition);
        let ids = [(ours.clone(), &partition)].into();
        let producer = |transaction_start| ActiveProducer { producer_id: 7, producer_epoch: 1, last_sequence: 4, last_timestamp: 0, transaction_start };
        let open = [(partition.clone(), vec![producer(None), producer(Some(9))])].into();
        let closed = [(partition.clone(), vec![producer(None)])].into();
        assert!(unsettled(&ids, &closed, &[]).is_none());
        assert!(unsettled(&ids, &open, &[listed(&ours, "Ongoing", &partition)]).is_none());
        assert!(matches!(unsettled(&ids, &closed, &[listed(&ours, "PrepareAbort", &partition)]), Some(Unsettled::Undecided(_))));
        assert!(matches!(unsettled(&ids, &open, &[]), Some(Unsettled::Unlisted(_))), "its coordinator is away");
        let elsewhere = TopicPartition::new("orders", 4);
        assert!(matches!(unsettled(&ids, &open, &[listed("another", "Ongoing", &elsewhere)]), Some(Unsettled::Unlisted(_))));
        // Somebody else's is found by the base offsets.
        assert!(unsettled(&ids, &open, &[listed("another", "Ongoing", &partition)]).is_none());
    }
}
