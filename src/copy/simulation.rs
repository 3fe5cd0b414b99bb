//! One partition's copy against a simulated store and broker that lose answers, stall, forget producers and restart.
//!
//! Whatever happens, the target's log must in the end be the source's: every record once, at its own offset.

use super::partition_copy::{Append, AppendBody, PartitionCopy, TakeUp};
use super::segment_builder::SealedSegment;
use crate::domain::batch::{self, Batch, BatchSpec};
use crate::domain::partition::TopicPartition;
use crate::domain::record::{self, Codec};
use crate::machine::fact::PartitionCheckpoint;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Small and repeatable.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

fn data(base_offset: i64, timestamp: i64, count: i32, size: usize) -> Batch {
    let mut plain = Vec::new();
    for delta in 0..count {
        record::encode(&mut plain, i64::from(delta), delta, None, Some(&vec![base_offset as u8; size]), &[]);
    }
    let max_timestamp = timestamp + i64::from(count) - 1;
    let spec =
        BatchSpec { base_offset, leader_epoch: 1, codec: Codec::None, base_timestamp: timestamp, max_timestamp, record_count: count };
    Batch::encode(&spec, &plain)
}

/// Stands for a moment at which retention deletes up to any offset.
const EXPIRY_SIDES: u64 = 150;

/// A log `[137 or 0, …)`, with tiny and larger batches, old and young ones, with times of their own and append times.
fn source_log(dice: &mut Dice, batches: usize) -> (Vec<Batch>, i64) {
    let mut next = if dice.roll(2) == 0 { 0 } else { 137 };
    let log_start = next + if next > 0 { dice.roll(3) as i64 } else { 0 };
    let mut log = Vec::new();
    for index in 0..batches {
        let count = if index == 0 { 5 } else { 1 + dice.roll(4) as i32 };
        let timestamp = if dice.roll(3) == 0 { 10_000 } else { NOW_MS - 1_000 };
        let batch = data(next, timestamp + next, count, if dice.roll(3) == 0 { 6000 } else { 20 });
        next = batch.next_offset();
        let batch = if dice.roll(4) == 0 { batch.stamped(timestamp + 50_000 + next) } else { batch };
        log.push(batch);
    }
    (log, log_start)
}

const NOW_MS: i64 = 1_000_000;
/// The broker remembers a producer for twice as long.
const SEQUENCE_MEMORY_MS: i64 = 100_000;

/// A broker's side of one partition: what was appended, and which producer's sequence it remembers.
#[derive(Default)]
struct Broker {
    log: Vec<Batch>,
    end: i64,
    log_start: i64,
    /// By id, next sequence, and the newest timestamp, by which it is forgotten.
    remembers: Option<(i64, i32, i64)>,
    /// Takes 0 alone as an unknown producer's first sequence.
    strict: bool,
    /// Requests that arrived but were not handled yet: a stalled broker.
    stalled: VecDeque<Vec<u8>>,
}

impl Broker {
    fn append(&mut self, bytes: &[u8]) -> Result<i64, ()> {
        let sequence = i32::from_be_bytes(bytes[53..57].try_into().unwrap());
        let mut placed = bytes.to_vec();
        placed[..8].copy_from_slice(&self.end.to_be_bytes());
        let batch = batch::split(placed.into()).unwrap().remove(0);
        match self.remembers {
            Some((producer, expected, _)) if producer == batch.producer_id => {
                if sequence != expected {
                    return Err(());
                }
            }
            _ if self.strict && sequence != 0 => return Err(()),
            _ => {}
        }
        self.remembers = Some((batch.producer_id, sequence + batch.record_count, batch.max_timestamp));
        self.end = batch.next_offset();
        let base = batch.base_offset;
        self.log.push(batch);
        Ok(base)
    }

    fn forget(&mut self) {
        self.remembers.take_if(|(.., timestamp)| *timestamp < NOW_MS - 2 * SEQUENCE_MEMORY_MS);
    }

    fn handle_stalled(&mut self) {
        while let Some(bytes) = self.stalled.pop_front() {
            let _ = self.append(&bytes);
        }
    }
}

struct World {
    dice: Dice,
    /// Appends that were sent on the connection and have not reached the broker.
    wire: VecDeque<(i64, Vec<u8>)>,
    source: Vec<Batch>,
    source_log_start: i64,
    source_end: i64,
    broker: Broker,
    copy: PartitionCopy,
    takes: u32,
    checkpoint: Option<PartitionCheckpoint>,
    /// Segments on their way to the store.
    uploads: Vec<SealedSegment>,
    /// What the store has acknowledged, in all takes.
    stored: Vec<(i64, i64)>,
}

fn take_up(broker: &Broker, source_log_start: i64, take: u32, checkpoint: Option<PartitionCheckpoint>) -> PartitionCopy {
    PartitionCopy::take_up(TakeUp {
        partition: TopicPartition::new("t", 0),
        take,
        target_end: broker.end,
        target_log_start: broker.log_start,
        source_log_start,
        checkpoint,
        batch_bytes_max: 1 << 20,
        sequence_memory_ms: SEQUENCE_MEMORY_MS,
        producer_id: i64::from(take),
        producer_epoch: 0,
    })
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let batches = 1 + dice.roll(40) as usize;
        let (source, source_log_start) = source_log(&mut dice, batches);
        let source_end = source.last().map_or(0, Batch::next_offset);
        let broker = Broker { strict: dice.roll(2) == 0, ..Broker::default() };
        let copy = take_up(&broker, source_log_start, 1, None);
        Self {
            dice,
            source,
            source_log_start,
            source_end,
            broker,
            copy,
            takes: 1,
            checkpoint: None,
            wire: VecDeque::new(),
            uploads: Vec::new(),
            stored: Vec::new(),
        }
    }

    fn fetch(&mut self) {
        let Some(position) = self.copy.next_fetch() else { return };
        self.copy.fetch_sent();
        if self.dice.roll(8) == 0 {
            self.copy.fetch_failed();
            return;
        }
        let many = 1 + self.dice.roll(6) as usize;
        if position.offset < self.source_log_start {
            return self.copy.fetch_out_of_range(self.source_log_start, self.source_end);
        }
        let due = self.source.partition_point(|b| b.next_offset() <= position.offset);
        // The batch before is there again now and then.
        let from = due.saturating_sub(usize::from(self.dice.roll(8) == 0));
        let found: Vec<_> = self.source[from..].iter().take(many).map(|b| (b.clone(), b.leaf())).collect();
        self.copy.fetched(found, self.source_log_start, self.source_end, 0);
    }

    fn store(&mut self) {
        self.copy.seal_if_due(if self.dice.roll(2) == 0 { 1 } else { 20_000 }, u64::MAX, 0);
        self.uploads.extend(std::iter::from_fn(|| self.copy.next_segment()));
        // Acknowledged in any order.
        if self.dice.roll(3) > 0 && !self.uploads.is_empty() {
            let index = self.dice.roll(self.uploads.len() as u64) as usize;
            let segment = self.uploads.swap_remove(index);
            self.stored.push((segment.base_offset, segment.next_offset));
            self.copy.stored_segment(segment.next_offset, segment.bytes as u64);
        }
    }

    fn send(&mut self) {
        let Some(Append { base_offset, body }) = self.copy.next_append(NOW_MS) else { return };
        let AppendBody::Batch { header, payload } = body else { panic!("no markers here") };
        self.wire.push_back((base_offset, [&header[..], &payload[..]].concat()));
    }

    /// The oldest append reaches the broker, or not.
    fn deliver(&mut self) {
        let Some((base_offset, bytes)) = self.wire.pop_front() else { return };
        match self.dice.roll(12) {
            // The connection is cut: this one and all behind it never arrive.
            0 => {
                self.copy.append_lost(base_offset);
                self.wire.drain(..).for_each(|(base_offset, _)| self.copy.append_lost(base_offset));
            }
            // It is appended, and the answer is lost with the connection.
            1 => {
                self.arrive(bytes);
                self.copy.append_lost(base_offset);
                self.wire.drain(..).for_each(|(base_offset, _)| self.copy.append_lost(base_offset));
            }
            // It arrives, waits in the broker, and the answers are given up.
            2 => {
                self.broker.stalled.push_back(bytes);
                self.copy.append_lost(base_offset);
                for (base_offset, bytes) in self.wire.drain(..) {
                    self.broker.stalled.push_back(bytes);
                    self.copy.append_lost(base_offset);
                }
            }
            // The broker refuses it: it is not the leader for a moment. What comes behind may find it leading again.
            3 => self.copy.append_lost(base_offset),
            _ if !self.broker.stalled.is_empty() => {
                self.broker.stalled.push_back(bytes);
                self.copy.append_lost(base_offset);
            }
            _ => match self.broker.append(&bytes) {
                Ok(offset) => self.copy.appended(base_offset, offset),
                Err(()) => self.copy.sequence_refused(base_offset),
            },
        }
    }

    fn arrive(&mut self, bytes: Vec<u8>) {
        match self.broker.stalled.is_empty() {
            true => drop(self.broker.append(&bytes)),
            false => self.broker.stalled.push_back(bytes),
        }
    }

    /// Retention deletes on the source, also in the middle of a batch and up to the end.
    fn expire(&mut self) {
        let span = (self.source_end - self.source_log_start) as u64;
        self.source_log_start += self.dice.roll(span.min(40) + 1) as i64;
        self.source.retain(|batch| batch.next_offset() > self.source_log_start);
    }

    fn step(&mut self) {
        if self.dice.roll(EXPIRY_SIDES) == 0 {
            self.expire();
        }
        match self.dice.roll(40) {
            0 => self.broker.forget(),
            // Not for ever: nothing may need a fresh process to go on.
            1 if self.takes < 10 => {
                // The process dies: what had arrived at the broker is handled, the rest is forgotten.
                self.broker.handle_stalled();
                self.wire.clear();
                self.uploads.clear();
                self.takes += 1;
                let checkpoint = self.checkpoint.clone();
                self.copy = take_up(&self.broker, self.source_log_start, self.takes, checkpoint);
            }
            2..=4 => self.checkpoint = Some(self.copy.checkpoint()),
            5 => self.copy.append_before_store(),
            6..=12 => self.fetch(),
            13..=18 => self.store(),
            19..=23 => self.send(),
            24..=28 => self.deliver(),
            29..=32 => {
                if let Some(from) = self.copy.next_proof() {
                    let returned: Vec<_> = self.broker.log.iter().filter(|b| b.next_offset() > from).take(3).cloned().collect();
                    self.copy.read_back(&returned);
                }
            }
            33..=35 => {
                if let Some(offset) = self.copy.next_truncation() {
                    self.copy.truncation_sent();
                    assert!(offset <= self.broker.end, "brokers refuse to delete beyond the end");
                    self.broker.log_start = self.broker.log_start.max(offset);
                    self.copy.truncated(Some(self.broker.log_start));
                }
            }
            _ => {
                if self.copy.needs_probe() {
                    self.copy.probe_sent();
                    // The readings agree only once the stall is over.
                    self.broker.handle_stalled();
                    self.copy.probed(self.broker.end);
                }
                if self.copy.needs_producer() {
                    self.takes += 1;
                    self.copy.producer_renewed(i64::from(self.takes), 0);
                }
            }
        }
    }

    /// Copied and proven to the end, and the log start as the source's by then, as the drain does it.
    fn done(&mut self) -> bool {
        if self.copy.acknowledged() != self.source_end || self.copy.verified() != self.source_end {
            return false;
        }
        self.copy.raise_log_start(self.source_log_start);
        self.copy.log_start_settled()
    }
}

/// The records of a log from an offset on, whatever its batches.
fn records(log: &[Batch], from: i64) -> Vec<(i64, i64, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for batch in log {
        let plain = record::decompress(batch.codec().unwrap(), &batch.payload()).unwrap();
        for item in record::walk(&plain, batch.base_offset, batch.base_timestamp) {
            let record = item.unwrap();
            if record.offset >= from {
                found.push((record.offset, batch.append_time().unwrap_or(record.timestamp), record.value.map(<[u8]>::to_vec)));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_target_becomes_the_source_whatever_happens(seed: u64) {
        let mut world = World::new(seed);
        let mut steps = 0;
        while !world.done() {
            world.step();
            prop_assert_eq!(world.copy.stop(), None);
            steps += 1;
            prop_assert!(steps < 200_000, "no end: {:?}", world.copy.checkpoint());
        }
        prop_assert_eq!(world.broker.log_start, world.source_log_start);
        prop_assert_eq!(records(&world.broker.log, world.source_log_start), records(&world.source, world.source_log_start));
        while !world.source.is_empty() && world.copy.stored() < world.source_end {
            world.fetch();
            world.copy.seal();
            world.store();
            steps += 1;
            prop_assert!(steps < 400_000, "never stored");
        }
        for batch in &world.source {
            let covered = world.stored.iter().any(|(base, next)| *base <= batch.base_offset && batch.next_offset() <= *next);
            prop_assert!(covered, "{}..{} is in no segment", batch.base_offset, batch.next_offset());
        }
        let last = world.copy.checkpoint();
        prop_assert_eq!(last.source_tree.root(), last.target_tree.root());
        let accounted = last.counts.records + last.counts.expired_offsets;
        prop_assert_eq!(accounted as i64, world.source_end - last.source_log_start, "{:?}", last.counts);
    }
}

/// A copier that was refilled, with one record changed on the target.
#[test]
fn a_changed_record_is_found() {
    let mut world = World::new(7);
    while world.copy.acknowledged() < world.source_end {
        world.fetch();
        world.store();
        world.dice = Dice(u64::from(world.takes));
        world.send();
        world.deliver();
        if world.copy.needs_probe() {
            world.copy.probe_sent();
            world.broker.handle_stalled();
            world.copy.probed(world.broker.end);
        }
        world.takes += 1;
    }
    let last = world.broker.log.last_mut().unwrap();
    let changed = data(last.base_offset, last.base_timestamp, last.record_count, 7);
    *last = changed;
    while let (Some(from), None) = (world.copy.next_proof(), world.copy.stop()) {
        let returned: Vec<_> = world.broker.log.iter().filter(|b| b.next_offset() > from).cloned().collect();
        world.copy.read_back(&returned);
    }
    assert_eq!(world.copy.stop().map(|s| s.code), Some(crate::error::Code::DigestMismatch));
}

/// Whatever the reason: an append that is not where it was due is never counted as copied.
#[test]
fn an_append_at_another_offset_stops_the_partition() {
    let mut world = World::new(7);
    while world.wire.is_empty() {
        world.fetch();
        world.store();
        world.send();
    }
    let (base_offset, _) = world.wire.remove(0).unwrap();
    world.copy.appended(base_offset, base_offset + 1);
    assert_eq!(world.copy.stop().map(|s| s.code), Some(crate::error::Code::CopyQuarantined));
    assert_eq!(world.copy.acknowledged(), base_offset);
    assert!(world.copy.next_append(NOW_MS).is_none());
}
