//! Data of aborted transactions: appended within a transaction of the partition's own, which is aborted where the source has its next control record.

use super::appending::{AppendOutcome, PRODUCE_VERSION, outcomes, produce_body};
use super::engine::{Engine, Event};
use super::limits::*;
use crate::domain::partition::TopicPartition;
use crate::driver::aborters::transactional_id;
use crate::error::{Code, Error};
use crate::kafka::cluster::Lane;
use crate::kafka::sentinel::Written;
use crate::kafka::target::Target;
use crate::kafka::transactions::TransactionalProducer;
use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ProduceResponse};
use kafka_protocol::protocol::Decodable;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One step of the partition's own transaction.
pub(super) enum Step {
    Append { header: Bytes, payload: Bytes, begins: bool },
    /// Aborts it.
    End,
}

impl Engine {
    /// Takes the transactional ids of partitions that have aborted data before them for the first time.
    pub(super) fn schedule_aborters(&mut self) {
        let now = Instant::now();
        for index in 0..self.partitions.len() {
            let entry = &self.partitions[index];
            if !entry.copy.needs_aborter() || entry.aborter_retry_at > now || self.awaits_journal(index) {
                continue;
            }
            let entry = &mut self.partitions[index];
            // Asked again should the answer get lost.
            entry.aborter_retry_at = now + Duration::from_secs(120);
            let id = transactional_id(&self.setup.migration_id, entry.copy.partition());
            let (target, timeout, events) = (self.setup.target.clone(), self.setup.transaction_timeout, self.events.clone());
            tokio::spawn(async move {
                let producer = target.transactional_producer(&id, timeout).await;
                let _ = events.send(Event::AborterTaken { index, producer });
            });
        }
    }

    pub(super) fn send_aborted(&mut self, index: usize, base_offset: i64, step: Step) {
        let entry = &mut self.partitions[index];
        let Some(producer) = entry.aborter.clone() else { return entry.copy.append_lost(base_offset) };
        self.aborting += 1;
        let (target, partition, events) = (self.setup.target.clone(), entry.copy.partition().clone(), self.events.clone());
        tokio::spawn(async move {
            let taken = match step {
                Step::Append { header, payload, begins } => append_aborted(&target, &producer, &partition, header, payload, begins).await,
                Step::End => producer.abort_at(&partition, base_offset).await.map(|written| match written {
                    Written::Placed => AppendOutcome::At(base_offset),
                    other => AppendOutcome::InDoubt(format!("{other:?}")),
                }),
            };
            let _ = events.send(Event::AbortedAppended { index, base_offset, outcome: taken.unwrap_or_else(in_doubt) });
        });
    }
}

/// A coordinator that refuses has fenced the producer, or has forgotten it, unless it is not permitted at all.
fn in_doubt(error: Error) -> AppendOutcome {
    match error.code() {
        Code::KafkaRefused if error.seen().contains("AUTHORIZATION") => AppendOutcome::Refused(error.seen().to_owned()),
        Code::KafkaRefused => AppendOutcome::SequenceRefused,
        _ => AppendOutcome::InDoubt(error.seen().to_owned()),
    }
}

async fn append_aborted(
    target: &Target,
    producer: &TransactionalProducer,
    partition: &TopicPartition,
    header: Bytes,
    payload: Bytes,
    begins: bool,
) -> crate::error::Result<AppendOutcome> {
    if begins {
        producer.add_partitions(std::slice::from_ref(partition)).await?;
    }
    let Some(leader) = target.leader(partition) else { return Ok(AppendOutcome::InDoubt("the partition has no leader".to_owned())) };
    let connection = target.connection(leader.broker_id, Lane::Produce).await?;
    let name = (partition.topic.clone(), partition.partition);
    let body = produce_body([(name.clone(), (0, 0, header, payload))].into(), Some(producer.transactional_id()));
    let pending = connection.send_frames_within(PRODUCE_TIMEOUT, ApiKey::Produce as i16, PRODUCE_VERSION, body);
    let response = match pending.await {
        Ok(mut body) => ProduceResponse::decode(&mut body, PRODUCE_VERSION).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    Ok(match response {
        Ok(response) => outcomes(&response, &[((Arc::clone(&name.0), name.1), (0, 0))].into()).pop().map_or_else(
            || AppendOutcome::InDoubt("there is no answer".to_owned()),
            |(_, _, outcome)| outcome,
        ),
        Err(why) => AppendOutcome::InDoubt(why),
    })
}
