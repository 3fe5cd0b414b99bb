//! Fetches from the source: many partitions per request, batches split, checked and digested where they arrive.

use super::budget::{Hold, held};
use super::engine::{Engine, Event};
use super::limits::*;
use crate::copy::{Projected, Projector, Stop, unreadable};
use crate::domain::batch::{Batch, BatchError};
use crate::domain::digest::Digest;
use crate::error::Code;
use crate::kafka::source::ReadConnection;
use crate::kafka::connection::CallError;
use crate::kafka::fetch::{FETCH_VERSION, Wanted, batches_of, fetch_request, partitions_of};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::FetchResponse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One connection to one broker for fetches.
#[derive(Default)]
pub(super) struct FetchSlot {
    connection: Option<ReadConnection>,
    opening: bool,
    retry_at: Option<Instant>,
    busy: bool,
}

impl FetchSlot {
    pub fn opened(&mut self, connection: Option<ReadConnection>, pause: Duration) {
        self.opening = false;
        self.retry_at = connection.is_none().then(|| Instant::now() + pause);
        self.connection = connection;
    }
}

/// What a fetch gave for one partition.
pub(super) enum FetchedPartition {
    Data { content: Content, log_start: i64, last_stable: i64, to_the_end: bool, bytes: usize },
    OutOfRange,
    Diverged { seen: String },
    Unreadable { code: Code, seen: String },
    Later { why: String },
}

/// The batches of one partition.
pub(super) enum Content {
    /// At their own offsets, with their digests.
    AsIs(Vec<(Batch, Digest)>),
    /// As they came, and as they lie on the target.
    Mapped { batches: Vec<Batch>, projected: Projected },
}

pub(super) struct Fetched {
    pub broker: i32,
    pub slot: usize,
    pub results: Vec<(usize, FetchedPartition)>,
    pub lost: Option<String>,
}

impl Engine {
    pub(super) fn schedule_fetches(&mut self) {
        let now = Instant::now();
        if !self.rate_allows(now) {
            return;
        }
        let active = self.active_partitions();
        self.starved = false;
        let mut brokers: Vec<i32> = self.source_routes.keys().copied().collect();
        // Nobody is first every time: where memory is short, each broker gets its turn.
        let first = self.turn as usize % brokers.len().max(1);
        brokers.rotate_left(first);
        for broker in brokers {
            for slot in 0..FETCHES_PER_BROKER {
                if !self.slot_ready(broker, slot, now) {
                    continue;
                }
                let (behind, caught_up) = self.fetchable(broker, now, &active);
                let is_behind = !behind.is_empty();
                let (mut chosen, wait, bytes_max) = match is_behind {
                    false => (caught_up, FETCH_WAIT, POLL_BYTES_MAX),
                    true => (behind, FETCH_BEHIND_WAIT, FETCH_BYTES_MAX),
                };
                if chosen.is_empty() {
                    break;
                }
                chosen.sort_by_key(|index| self.partitions[*index].fetch_turn);
                if is_behind {
                    chosen.truncate(FETCH_PARTITIONS_MAX);
                }
                let bytes_max = bytes_max.min(self.budget.bytes_max() / 4);
                let Some(hold) = self.budget.try_reserve(bytes_max) else {
                    self.starved = true;
                    break;
                };
                self.send_fetch(broker, slot, chosen, bytes_max, wait.as_millis() as i32, hold);
            }
        }
    }

    /// SEED copies a bounded number of partitions at a time; TAIL all.
    fn active_partitions(&self) -> Option<Vec<bool>> {
        if self.tailing || self.partitions.len() <= self.setup.seed.max_concurrent_partitions {
            return None;
        }
        let mut left = self.setup.seed.max_concurrent_partitions;
        let is_behind = |index: usize| {
            let copy = &self.partitions[index].copy;
            copy.stop().is_none() && copy.source_span().1.is_none_or(|end| copy.source_position(copy.acknowledged()) < end)
        };
        Some(
            (0..self.partitions.len())
                .map(|index| {
                    let active = left > 0 && is_behind(index);
                    left -= usize::from(active);
                    active
                })
                .collect(),
        )
    }

    fn rate_allows(&mut self, now: Instant) -> bool {
        let Some(rate) = self.setup.seed.rate_limit else { return true };
        let elapsed = now.duration_since(self.rate_at).as_secs_f64();
        self.rate_at = now;
        self.rate_tokens = (self.rate_tokens + elapsed * rate as f64).min(rate as f64);
        self.rate_tokens > 0.0
    }

    fn slot_ready(&mut self, broker: i32, slot: usize, now: Instant) -> bool {
        let entry = self.fetch_slots.entry((broker, slot)).or_default();
        if entry.busy || entry.opening || entry.retry_at.is_some_and(|at| at > now) {
            return false;
        }
        if entry.connection.as_ref().is_some_and(ReadConnection::is_alive) {
            return true;
        }
        entry.opening = true;
        let (source, events) = (self.setup.source.clone(), self.events.clone());
        tokio::spawn(async move {
            let opened = source.fresh_connection(broker).await;
            let why = opened.as_ref().err().map(|e| format!("source broker {broker}: {}", e.seen()));
            let _ = events.send(Event::Waiting { who: "source broker", why });
            if let Some(error) = opened.as_ref().err().filter(|e| e.code().keeps_out()) {
                let _ = events.send(Event::NotLetIn { side: "source", code: error.code(), seen: error.seen().to_owned() });
            }
            let _ = events.send(Event::SlotOpened { broker, slot, connection: opened.ok() });
        });
        false
    }

    /// The broker's partitions that can be fetched now: those with data waiting, and those that are caught up.
    fn fetchable(&self, broker: i32, now: Instant, active: &Option<Vec<bool>>) -> (Vec<usize>, Vec<usize>) {
        let (mut behind, mut caught_up) = (Vec::new(), Vec::new());
        for &index in self.source_routes.get(&broker).into_iter().flatten() {
            let entry = &self.partitions[index];
            if entry.source_retry_at > now || active.as_ref().is_some_and(|active| !active[index]) {
                continue;
            }
            let Some(position) = entry.copy.next_fetch() else { continue };
            match entry.copy.source_span().1 {
                Some(end) if position.offset >= end => caught_up.push(index),
                _ => behind.push(index),
            }
        }
        (behind, caught_up)
    }

    fn send_fetch(&mut self, broker: i32, slot: usize, chosen: Vec<usize>, bytes_max: usize, wait_ms: i32, hold: Hold) {
        let mut wanted = Vec::with_capacity(chosen.len());
        let mut indices = BTreeMap::new();
        for index in chosen {
            let leader_epoch = self.setup.source.leader(self.partitions[index].copy.partition()).map_or(-1, |l| l.epoch);
            let entry = &mut self.partitions[index];
            let Some(position) = entry.copy.next_fetch() else { continue };
            entry.copy.fetch_sent();
            self.turn += 1;
            entry.fetch_turn = self.turn;
            let name = entry.copy.partition();
            indices.insert((name.topic.to_string(), name.partition), Asked { index, offset: position.offset, projector: entry.copy.projector() });
            wanted.push(Wanted {
                topic: name.topic.clone(),
                partition: name.partition,
                leader_epoch,
                offset: position.offset,
                last_fetched_epoch: position.last_fetched_epoch,
            });
        }
        let Some(slot_entry) = self.fetch_slots.get_mut(&(broker, slot)) else { return };
        let Some(connection) = slot_entry.connection.clone() else { return };
        slot_entry.busy = true;
        // Never past the last stable offset: only decided data is copied.
        let request = fetch_request(&wanted, FETCH_PARTITION_BYTES_MAX, bytes_max, wait_ms, 1);
        let pending = connection.send_within(FETCH_TIMEOUT, FETCH_VERSION, &request);
        let events = self.events.clone();
        tokio::spawn(async move {
            let fetched = match pending.await {
                Ok(response) => read_response(broker, slot, response, indices, &hold),
                Err(error) => lost(broker, slot, indices, &error),
            };
            let _ = events.send(Event::Fetched(fetched));
        });
    }

    pub(super) fn on_fetched(&mut self, fetched: Fetched) {
        if let Some(slot) = self.fetch_slots.get_mut(&(fetched.broker, fetched.slot)) {
            slot.busy = false;
        }
        self.refresh_source_if(fetched.lost.is_some());
        self.waits("source", fetched.lost.map(|why| format!("source broker {}: {why}", fetched.broker)));
        let mut out_of_range = Vec::new();
        let before = self.bytes_fetched;
        for (index, outcome) in fetched.results {
            // What was asked for before the end and comes after it is not the copy's.
            match self.stopping {
                true => self.partitions[index].copy.fetch_failed(),
                false => self.take_fetched(index, outcome, &mut out_of_range),
            }
        }
        self.rate_tokens -= (self.bytes_fetched - before) as f64;
        if !out_of_range.is_empty() {
            self.read_spans(out_of_range);
        }
    }
}

/// One partition's part of a request.
struct Asked {
    index: usize,
    offset: i64,
    projector: Option<Projector>,
}

type Indices = BTreeMap<(String, i32), Asked>;

fn lost(broker: i32, slot: usize, indices: Indices, error: &CallError) -> Fetched {
    let results = indices.into_values().map(|asked| (asked.index, FetchedPartition::Later { why: error.to_string() })).collect();
    Fetched { broker, slot, results, lost: Some(error.to_string()) }
}

fn read_response(broker: i32, slot: usize, response: FetchResponse, indices: Indices, reserved: &Hold) -> Fetched {
    let mut found = partitions_of(response);
    // An answer without any bytes is not cut short by its size: there are no records up to the last stable offset.
    let to_the_end = found.values().all(|p| p.records.as_ref().is_none_or(Bytes::is_empty));
    // One partition's slice would hold the whole response in memory for as long as it is needed itself.
    let shared = found.values().filter(|p| p.records.as_ref().is_some_and(|r| !r.is_empty())).count() > 1;
    let results = indices
        .into_iter()
        .map(|(name, asked)| {
            let index = asked.index;
            let outcome = match found.remove(&name) {
                Some(data) => read_partition(data, asked, to_the_end, shared, reserved),
                None => FetchedPartition::Later { why: "the answer leaves the partition out".to_owned() },
            };
            (index, outcome)
        })
        .collect();
    Fetched { broker, slot, results, lost: None }
}

fn read_partition(data: PartitionData, asked: Asked, to_the_end: bool, shared: bool, reserved: &Hold) -> FetchedPartition {
    match ResponseError::try_from_code(data.error_code) {
        Some(ResponseError::OffsetOutOfRange) => return FetchedPartition::OutOfRange,
        Some(error) => return FetchedPartition::Later { why: crate::kafka::failure::KafkaName(error).to_string() },
        None => {}
    }
    if data.diverging_epoch.epoch >= 0 {
        let (epoch, end) = (data.diverging_epoch.epoch, data.diverging_epoch.end_offset);
        let seen = format!("the source's log was cut at {end} (leader epoch {epoch}), but was copied up to {}", asked.offset);
        return FetchedPartition::Diverged { seen };
    }
    let records = data.records.unwrap_or_default();
    let bytes = records.len();
    let records = match (bytes, shared) {
        (0, _) => records,
        (_, true) => held(Bytes::copy_from_slice(&records), reserved.beside(bytes)),
        (_, false) => held(records, reserved.beside(bytes)),
    };
    let batches = match batches_of(records, data.aborted_transactions) {
        Ok(batches) => batches,
        Err(error) => return malformed(error),
    };
    let content = match asked.projector {
        None => Content::AsIs(batches.into_iter().map(|batch| { let leaf = batch.leaf(); (batch, leaf) }).collect()),
        Some(projector) => {
            // What is made anew counts as memory, too.
            let keep = |batch: Batch| batch.with_bytes(|bytes| { let size = bytes.len(); held(bytes, reserved.beside(size)) });
            match projector.project(&batches, keep) {
                Ok(projected) => Content::Mapped { batches, projected },
                Err((batch, error)) => {
                    let Stop { code, seen } = unreadable(&batch, error);
                    return FetchedPartition::Unreadable { code, seen };
                }
            }
        }
    };
    FetchedPartition::Data { content, log_start: data.log_start_offset, last_stable: data.last_stable_offset, to_the_end, bytes }
}

pub(super) fn malformed(error: BatchError) -> FetchedPartition {
    let (code, seen) = match error {
        BatchError::Magic { base_offset, magic } => (Code::CopyUnsupportedFormat, format!("the batch at {base_offset} has format v{magic}")),
        BatchError::Crc { base_offset } => (Code::CopyDamaged, format!("the checksum of the batch at {base_offset} does not hold")),
        BatchError::Malformed { base_offset, what } => (Code::CopyDamaged, format!("the batch at {base_offset} is malformed: {what}")),
    };
    FetchedPartition::Unreadable { code, seen }
}
