//! Producers and transactions that a cluster knows of. Source: KIP-664.

use super::cluster::{Lane, negotiate};
use super::connection::Connection;
use super::failure::Failure;
use super::request::Request;
use super::routing::{self, Answers, by_topic, text, topic_name};
use super::source::Reader;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::{DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest, TransactionalId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A producer id that a partition's leader remembers. Producers without idempotence do not appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: i64,
    pub producer_epoch: i32,
    /// −1 where only control records were written.
    pub last_sequence: i32,
    /// Of the last record written, in milliseconds since 1970: the record's own time, not that of its arrival.
    pub last_timestamp: i64,
    /// First offset of the open transaction; none where there is none.
    pub transaction_start: Option<i64>,
}

/// A transaction that is not yet decided, or decided and not yet marked everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// As the broker says it: `Ongoing`, `PrepareCommit`, `PrepareAbort`.
    pub state: String,
    pub timeout_ms: i32,
    /// Milliseconds since 1970.
    pub started_at_ms: i64,
    pub partitions: Vec<TopicPartition>,
}

impl Reader {
    /// The producers that each partition's leader remembers; none from brokers older than 2.8.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where Read on a topic is not permitted, or the cluster's unavailability.
    pub async fn producers(&self, partitions: &[TopicPartition]) -> Result<Option<BTreeMap<TopicPartition, Vec<ActiveProducer>>>> {
        if !self.offers::<DescribeProducersRequest>().await? {
            return Ok(None);
        }
        let asked = format!("describe the producers of {} partitions", partitions.len());
        routing::ask_all(&self.cluster, asked, partitions.to_vec(), describe_producers).await.map(Some)
    }

    /// The same for each partition that may be read.
    pub async fn producers_each(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Vec<ActiveProducer>>> {
        if !self.offers::<DescribeProducersRequest>().await? {
            return Ok(BTreeMap::new());
        }
        let asked = format!("describe the producers of {} partitions", partitions.len());
        Ok(routing::ask_each(&self.cluster, asked, partitions.to_vec(), describe_producers).await.done)
    }

    /// The transactional ids that the coordinators remember, by producer id, whether a transaction is open or not; none from brokers older than 3.0.
    ///
    /// Only those are listed that may be described.
    ///
    /// Errors: the cluster's unavailability.
    pub async fn transactional_ids(&self) -> Result<Option<BTreeMap<i64, String>>> {
        if !self.offers::<ListTransactionsRequest>().await? {
            return Ok(None);
        }
        let mut patience = self.cluster.patience("list the transactional ids");
        loop {
            let metadata = self.cluster.metadata();
            let lists = join_all(metadata.brokers.keys().map(|id| self.transactional_ids_of(*id))).await;
            match lists.into_iter().collect::<std::result::Result<Vec<_>, _>>() {
                Ok(lists) => return Ok(Some(lists.into_iter().flatten().collect())),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    async fn transactional_ids_of(&self, broker_id: i32) -> std::result::Result<Vec<(i64, String)>, Failure> {
        let connection = self.cluster.try_connection(broker_id, Lane::Admin).await?;
        let version = negotiate::<ListTransactionsRequest>(&connection, 0, 0)?;
        let listed = connection.call(version, &ListTransactionsRequest::default()).await?;
        Failure::check_code(listed.error_code)?;
        Ok(listed.transaction_states.into_iter().map(|t| (t.producer_id.0, id_text(&t.transactional_id))).collect())
    }

    /// Every transaction of the cluster that is not over, sorted by its id; none from brokers older than 3.0.
    ///
    /// Only those are listed whose transactional id may be described.
    ///
    /// Errors: the cluster's unavailability.
    pub async fn open_transactions(&self) -> Result<Option<Vec<ListedTransaction>>> {
        if !self.offers::<ListTransactionsRequest>().await? {
            return Ok(None);
        }
        let mut patience = self.cluster.patience("list the open transactions");
        loop {
            let metadata = self.cluster.metadata();
            let lists = join_all(metadata.brokers.keys().map(|id| self.open_transactions_of(*id))).await;
            match lists.into_iter().collect::<std::result::Result<Vec<_>, _>>() {
                Ok(lists) => {
                    let all: BTreeMap<_, _> = lists.into_iter().flatten().map(|t| (t.transactional_id.clone(), t)).collect();
                    return Ok(Some(all.into_values().collect()));
                }
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    async fn open_transactions_of(&self, broker_id: i32) -> std::result::Result<Vec<ListedTransaction>, Failure> {
        let connection = self.cluster.try_connection(broker_id, Lane::Admin).await?;
        let version = negotiate::<ListTransactionsRequest>(&connection, 0, 0)?;
        let states = ["Ongoing", "PrepareCommit", "PrepareAbort"].map(text).to_vec();
        let listed = connection.call(version, &ListTransactionsRequest::default().with_state_filters(states)).await?;
        Failure::check_code(listed.error_code)?;
        if listed.transaction_states.is_empty() {
            return Ok(Vec::new());
        }
        let version = negotiate::<DescribeTransactionsRequest>(&connection, 0, 0)?;
        let ids = listed.transaction_states.into_iter().map(|t| t.transactional_id).collect();
        let described = connection.call(version, &DescribeTransactionsRequest::default().with_transactional_ids(ids)).await?;
        let mut open = Vec::new();
        for t in described.transaction_states {
            match Failure::check_code(t.error_code) {
                Ok(()) => {}
                // Over and forgotten since it was listed.
                Err(failure) if failure.kafka_error() == Some(ResponseError::TransactionalIdNotFound) => continue,
                Err(failure) => return Err(failure),
            }
            let mut partitions = Vec::new();
            for topic in &t.topics {
                let name: Arc<str> = topic.topic.as_str().into();
                partitions.extend(topic.partitions.iter().map(|p| TopicPartition::new(name.clone(), *p)));
            }
            partitions.sort();
            open.push(ListedTransaction {
                transactional_id: id_text(&t.transactional_id),
                producer_id: t.producer_id.0,
                producer_epoch: t.producer_epoch,
                state: t.transaction_state.to_string(),
                timeout_ms: t.transaction_timeout_ms,
                started_at_ms: t.transaction_start_time_ms,
                partitions,
            });
        }
        Ok(open)
    }

    /// Whether the cluster's brokers (one of them stands for all) offer a request at all.
    pub(super) async fn offers<R: Request>(&self) -> Result<bool> {
        let mut patience = self.cluster.patience(format!("look whether {} is offered", R::NAME));
        loop {
            match self.cluster.try_any().await {
                Ok(connection) => return Ok(connection.versions().offers(R::KEY)),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }
}

fn id_text(id: &TransactionalId) -> String {
    id.0.to_string()
}

async fn describe_producers(
    connection: Connection,
    keys: Vec<(TopicPartition, i32)>,
) -> std::result::Result<Answers<TopicPartition, Vec<ActiveProducer>>, Failure> {
    let version = negotiate::<DescribeProducersRequest>(&connection, 0, 0)?;
    let topics = by_topic(keys.iter().map(|(key, _)| (key, ()))).into_iter().map(|(topic, partitions)| {
        let indexes = partitions.into_iter().map(|(partition, ())| partition).collect();
        TopicRequest::default().with_name(topic_name(&topic)).with_partition_indexes(indexes)
    });
    let response = connection.call(version, &DescribeProducersRequest::default().with_topics(topics.collect())).await?;
    let mut answers = Vec::with_capacity(keys.len());
    for topic in response.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for p in topic.partitions {
            let producers = p.active_producers.iter().map(|a| ActiveProducer {
                producer_id: a.producer_id.0,
                producer_epoch: a.producer_epoch,
                last_sequence: a.last_sequence,
                last_timestamp: a.last_timestamp,
                transaction_start: Some(a.current_txn_start_offset).filter(|offset| *offset >= 0),
            });
            let answer = Failure::check(p.error_code, p.error_message).map(|()| producers.collect());
            answers.push((TopicPartition::new(name.clone(), p.partition_index), answer));
        }
    }
    Ok(answers)
}
