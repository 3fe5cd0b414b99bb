//! The second reading: what the target holds is fetched again, behind the copy, and compared with what the source gave.

use super::engine::{Engine, Event};
use super::fetching::{FetchedPartition, malformed};
use super::limits::*;
use crate::domain::batch::{self, Batch};
use crate::error::{Code, Error};
use crate::kafka::cluster::Lane;
use crate::kafka::failure::KafkaName;
use crate::kafka::fetch::{FETCH_VERSION, Wanted, fetch_request, partitions_of};
use kafka_protocol::ResponseError;
use std::collections::BTreeMap;
use std::time::Instant;

pub(super) struct ReadBack {
    pub broker: i32,
    pub results: Vec<(usize, ReadBackPartition)>,
}

pub(super) enum ReadBackPartition {
    Data(Vec<Batch>),
    Later(String),
    Unreadable(Code, String),
}

impl Engine {
    pub(super) fn schedule_proofs(&mut self) {
        let now = Instant::now();
        for broker in self.target_routes.keys().copied().collect::<Vec<_>>() {
            if self.proof_reads.get(&broker).copied().unwrap_or(false) {
                continue;
            }
            let mut wanted = Vec::new();
            let mut indices = BTreeMap::new();
            for &index in self.target_routes.get(&broker).into_iter().flatten() {
                let entry = &mut self.partitions[index];
                if entry.proving || entry.target_retry_at > now {
                    continue;
                }
                let Some(offset) = entry.copy.next_proof() else { continue };
                entry.proving = true;
                let name = entry.copy.partition();
                indices.insert((name.topic.to_string(), name.partition), index);
                wanted.push(Wanted { topic: name.topic.clone(), partition: name.partition, leader_epoch: -1, offset, last_fetched_epoch: -1 });
                if wanted.len() >= FETCH_PARTITIONS_MAX {
                    break;
                }
            }
            if wanted.is_empty() {
                continue;
            }
            self.proof_reads.insert(broker, true);
            let (target, events) = (self.setup.target.clone(), self.events.clone());
            let bytes_max = FETCH_BYTES_MAX.min(self.budget.bytes_max() / 8);
            tokio::spawn(async move {
                let answer = match target.connection(broker, Lane::Verify).await {
                    Ok(connection) => {
                        let request = fetch_request(&wanted, FETCH_PARTITION_BYTES_MAX, bytes_max, 50, 0);
                        connection.send_within(FETCH_TIMEOUT, FETCH_VERSION, &request).await.map_err(|e| e.to_string())
                    }
                    Err(error) => Err(error.to_string()),
                };
                let mut found = match answer {
                    Ok(response) => Ok(partitions_of(response)),
                    Err(why) => Err(why),
                };
                let results = indices
                    .into_iter()
                    .map(|(name, index)| {
                        let outcome = match &mut found {
                            Err(why) => ReadBackPartition::Later(why.clone()),
                            Ok(found) => match found.remove(&name) {
                                None => ReadBackPartition::Later("the answer leaves the partition out".to_owned()),
                                Some(data) => match ResponseError::try_from_code(data.error_code) {
                                    Some(error) => ReadBackPartition::Later(KafkaName(error).to_string()),
                                    None => read(data.records.unwrap_or_default()),
                                },
                            },
                        };
                        (index, outcome)
                    })
                    .collect();
                let _ = events.send(Event::ReadBack(ReadBack { broker, results }));
            });
        }
    }

    pub(super) fn on_read_back(&mut self, read: ReadBack) {
        self.proof_reads.insert(read.broker, false);
        for (index, outcome) in read.results {
            let entry = &mut self.partitions[index];
            entry.proving = false;
            match outcome {
                ReadBackPartition::Data(batches) => {
                    if batches.is_empty() {
                        entry.target_retry_at = entry.target_retry_at.max(Instant::now() + PARTITION_BACKOFF / 4);
                    }
                    entry.copy.read_back(&batches);
                }
                ReadBackPartition::Later(why) => {
                    tracing::debug!(partition = %entry.copy.partition(), why, "a second reading is tried again");
                    entry.target_retry_at = Instant::now() + PARTITION_BACKOFF;
                    self.refresh_target_if(true);
                }
                ReadBackPartition::Unreadable(code, seen) => self.halt(index, Error::new(code, format!("on the target, {seen}"))),
            }
        }
    }
}

fn read(records: bytes::Bytes) -> ReadBackPartition {
    match batch::split(records) {
        Ok(batches) => ReadBackPartition::Data(batches),
        Err(error) => match malformed(error) {
            FetchedPartition::Unreadable { code, seen } => ReadBackPartition::Unreadable(code, seen),
            _ => ReadBackPartition::Later("malformed".to_owned()),
        },
    }
}
