//! Producer ids, and transactions of our own.

use super::cluster::{Cluster, Coordinator, Lane, negotiate};
use super::connection::{CallError, Connection};
use super::failure::Failure;
use super::routing::{by_topic, text, topic_name};
use super::sentinel::{Written, placed};
use super::source::Reader;
use super::target::Target;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProducerId, TransactionalId};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Who a producer is to the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerIdentity {
    pub producer_id: i64,
    pub producer_epoch: i16,
}

impl Target {
    /// A producer id that nobody else has, for an idempotent producer without transactions.
    ///
    /// Errors: `KF-KAFKA-REFUSED` (IdempotentWrite is not permitted); the target's unavailability.
    pub async fn init_producer_id(&self) -> Result<ProducerIdentity> {
        let mut patience = self.cluster.patience("get a producer id");
        loop {
            let attempt = match self.cluster.try_any().await {
                Ok(connection) => init(&connection, None, Duration::ZERO).await,
                Err(failure) => Err(failure),
            };
            match attempt {
                Ok(identity) => return Ok(identity),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    /// As `TransactionalProducer::begin`, on the target.
    pub async fn transactional_producer(&self, transactional_id: &str, timeout: Duration) -> Result<TransactionalProducer> {
        TransactionalProducer::begin(&self.cluster, transactional_id, timeout).await
    }

    /// As `TransactionalProducer::resume`, on the target.
    pub fn resumed_producer(&self, transactional_id: &str, identity: ProducerIdentity) -> TransactionalProducer {
        TransactionalProducer::resume(&self.cluster, transactional_id, identity)
    }
}

/// A producer that holds a transactional id. Its data, if any, is produced by somebody else.
pub struct TransactionalProducer {
    cluster: Cluster,
    transactional_id: String,
    identity: ProducerIdentity,
    /// The coordinator as last found; −1 when it has to be looked for.
    coordinator: AtomicI32,
}

impl TransactionalProducer {
    /// Takes the transactional id: fences who held it before, and aborts the transaction that was left open under it, whose
    /// abort markers then land at the ends of its partitions.
    ///
    /// `timeout` is how long a transaction stays open before the coordinator aborts it.
    ///
    /// Errors: `KF-KAFKA-REFUSED` (not permitted; a timeout above the broker's `transaction.max.timeout.ms`), or the
    /// cluster's unavailability.
    pub async fn begin(cluster: &Cluster, transactional_id: &str, timeout: Duration) -> Result<Self> {
        let mut producer = Self {
            cluster: cluster.clone(),
            transactional_id: transactional_id.to_owned(),
            identity: ProducerIdentity { producer_id: -1, producer_epoch: -1 },
            coordinator: AtomicI32::new(-1),
        };
        let mut patience = cluster.patience(format!("take the transactional id {transactional_id:?}"));
        loop {
            let attempt = match producer.connect().await {
                Ok(connection) => init(&connection, Some(transactional_id), timeout).await,
                Err(failure) => Err(failure),
            };
            match attempt {
                Ok(identity) => {
                    producer.identity = identity;
                    return Ok(producer);
                }
                Err(failure) => {
                    producer.forget_coordinator(&failure);
                    patience.wait(failure).await?;
                }
            }
        }
    }

    /// Goes on under a transactional id that an earlier process has taken, within the transaction that it has left open.
    pub fn resume(cluster: &Cluster, transactional_id: &str, identity: ProducerIdentity) -> Self {
        Self { cluster: cluster.clone(), transactional_id: transactional_id.to_owned(), identity, coordinator: AtomicI32::new(-1) }
    }

    /// Aborts the open transaction and waits until its marker is the last record of this partition's log, which ends one past `end` then.
    ///
    /// Errors: as for [`TransactionalProducer::end`]; the marker may land yet.
    pub async fn abort_at(&self, partition: &TopicPartition, end: i64) -> Result<Written> {
        self.end(false).await?;
        placed(&Reader::new(self.cluster.clone()), &[(partition.clone(), end + 1)].into()).await
    }

    pub fn identity(&self) -> ProducerIdentity {
        self.identity
    }

    pub fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// Adds partitions to the open transaction, or opens one.
    ///
    /// The former transaction must have been completed first, markers included; until then the coordinator answers
    /// CONCURRENT_TRANSACTIONS and this waits.
    ///
    /// Errors: `KF-KAFKA-REFUSED` (fenced, not permitted), or the cluster's unavailability.
    pub async fn add_partitions(&self, partitions: &[TopicPartition]) -> Result<()> {
        let mut patience = self.cluster.patience(format!("add {} partitions to a transaction of {:?}", partitions.len(), self.transactional_id));
        while let Err(failure) = self.try_add_partitions(partitions).await {
            self.forget_coordinator(&failure);
            patience.wait(failure).await?;
        }
        Ok(())
    }

    async fn try_add_partitions(&self, partitions: &[TopicPartition]) -> std::result::Result<(), Failure> {
        let connection = self.connect().await?;
        // From v4 on only brokers may send it. Source: KIP-890.
        let version = negotiate::<AddPartitionsToTxnRequest>(&connection, 0, 3)?;
        let topics = by_topic(partitions.iter().map(|p| (p, ()))).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, ())| partition).collect();
            AddPartitionsToTxnTopic::default().with_name(topic_name(&topic)).with_partitions(partitions)
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id())
            .with_v3_and_below_producer_id(ProducerId(self.identity.producer_id))
            .with_v3_and_below_producer_epoch(self.identity.producer_epoch)
            .with_v3_and_below_topics(topics.collect());
        let response = connection.call(version, &request).await?;
        let mut not_attempted = Ok(());
        for topic in response.results_by_topic_v3_and_below {
            for p in topic.results_by_partition {
                let place = format!("{}-{}", topic.name.as_str(), p.partition_index);
                match Failure::check(p.partition_error_code, Some(place)) {
                    // Because of another partition, which says why.
                    Err(failure) if failure.kafka_error() == Some(ResponseError::OperationNotAttempted) => not_attempted = Err(failure),
                    checked => checked?,
                }
            }
        }
        not_attempted
    }

    /// Commits or aborts the open transaction. The answer comes before the markers land.
    ///
    /// Repeating it with the same result is harmless, so a lost answer is asked for again.
    ///
    /// Errors: `KF-KAFKA-REFUSED` (fenced, or the transaction had timed out), or the cluster's unavailability.
    pub async fn end(&self, commit: bool) -> Result<()> {
        let mut patience = self.cluster.patience(format!("end a transaction of {:?}", self.transactional_id));
        while let Err(failure) = self.try_end(commit).await {
            self.forget_coordinator(&failure);
            patience.wait(failure).await?;
        }
        Ok(())
    }

    async fn try_end(&self, commit: bool) -> std::result::Result<(), Failure> {
        let connection = self.connect().await?;
        // From v5 on each end raises the epoch. Source: KIP-890.
        let version = negotiate::<EndTxnRequest>(&connection, 0, 4)?;
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id())
            .with_producer_id(ProducerId(self.identity.producer_id))
            .with_producer_epoch(self.identity.producer_epoch)
            .with_committed(commit);
        Failure::check_code(connection.call(version, &request).await?.error_code)
    }

    fn id(&self) -> TransactionalId {
        TransactionalId(text(&self.transactional_id))
    }

    async fn connect(&self) -> std::result::Result<Connection, Failure> {
        let mut broker_id = self.coordinator.load(Ordering::Relaxed);
        if broker_id < 0 {
            let keys = [self.transactional_id.clone()];
            let found = self.cluster.try_coordinators(&keys, Coordinator::Transaction).await?.pop();
            broker_id = found.map_or_else(|| Err(CallError::Protocol("no coordinator is answered".into()).into()), |(_, id)| id)?;
            self.coordinator.store(broker_id, Ordering::Relaxed);
        }
        self.cluster.try_connection(broker_id, Lane::Admin).await
    }

    /// After anything but a transaction that is still being completed, the coordinator may be another.
    fn forget_coordinator(&self, failure: &Failure) {
        if failure.kafka_error() != Some(ResponseError::ConcurrentTransactions) {
            self.coordinator.store(-1, Ordering::Relaxed);
        }
    }
}

async fn init(connection: &Connection, transactional_id: Option<&str>, timeout: Duration) -> std::result::Result<ProducerIdentity, Failure> {
    let version = negotiate::<InitProducerIdRequest>(connection, 0, 4)?;
    let timeout_ms = if transactional_id.is_some() { timeout.as_millis() as i32 } else { i32::MAX };
    let request = InitProducerIdRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let response = connection.call(version, &request).await?;
    Failure::check_code(response.error_code)?;
    Ok(ProducerIdentity { producer_id: response.producer_id.0, producer_epoch: response.producer_epoch })
}
