//! The copy of one partition: what was fetched, stored, acknowledged, refused or lost goes in; what to do next comes out.
//!
//! The target's log is built append by append. Each append's base offset is known beforehand and the broker's answer
//! has to confirm it. After a lost answer nothing is sent before the log end has been looked at.

use super::aborter::{Aborter, OpenTransaction};
use super::limits::{ABORTED_HOLD_MS, CONTROLS_PER_APPEND, EMPTY_ANSWERS, EMPTY_ANSWERS_MS, FILLERS_PER_BATCH, FILLERS_PER_DELETE, IN_FLIGHT_APPENDS_MAX, UNPROVEN_LEAVES_MAX};
use super::mapping::{Mapping, Projected, Projector};
use super::merge::{self, Group};
use super::pieces::{Piece, pieces};
use super::proof::{Expected, Proof, Share, SourceCounts};
use super::segment_builder::{SealedSegment, SegmentBuilder};
use super::sequence;
use crate::domain::batch::{Batch, ProducerStamp, control_leaf, records_leaf};
use crate::domain::partition::TopicPartition;
use crate::domain::digest::Digest;
use crate::domain::leaf_file::LeafFile;
use crate::domain::offset::{Mark, OffsetMap};
use crate::domain::record::RecordError;
use crate::domain::segment::{Leaf, LeafKind};
use crate::error::{Code, Error};
use crate::machine::fact::{CopyCounts, PartitionCheckpoint};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

/// Why a partition's copy cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub code: Code,
    pub seen: String,
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        Error::new(stop.code, stop.seen)
    }
}

/// Where a partition's copy starts.
#[derive(Clone, Debug)]
pub struct TakeUp {
    pub partition: TopicPartition,
    pub take: u32,
    /// The target's log end and log start, settled.
    pub target_end: i64,
    pub target_log_start: i64,
    pub source_log_start: i64,
    /// What an earlier take has journaled.
    pub checkpoint: Option<PartitionCheckpoint>,
    /// The largest batch that the target takes while we copy; larger ones of the source go in several parts.
    pub batch_bytes_max: usize,
    /// Records' age, in milliseconds, up to which the brokers certainly remember a producer's sequence.
    pub sequence_memory_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Whether the source keeps history of the topic in tiered storage (KIP-405).
    pub tiered: bool,
    /// Aborted data of an earlier take, whose transaction waits for its end on the target.
    pub open_transaction: Option<OpenTransaction>,
    /// Where records do not keep their offsets: the map as journaled, cut off at the target's end.
    pub map: Option<OffsetMap>,
}

/// What to fetch next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub offset: i64,
    /// KIP-595; -1 where no batch has been fetched yet.
    pub last_fetched_epoch: i32,
}

/// One append to send: header and payload follow each other on the wire.
#[derive(Clone, Debug)]
pub struct Append {
    pub base_offset: i64,
    pub body: AppendBody,
}

#[derive(Clone, Debug)]
pub enum AppendBody {
    Batch { header: Bytes, payload: Bytes },
    /// Data of an aborted transaction, under the partition's own transactional producer; `begins` where no transaction is open yet.
    Aborted { header: Bytes, payload: Bytes, begins: bool },
    /// So many control records that end nothing.
    Controls { count: i64 },
    /// The one control record that ends the open transaction by aborting it.
    EndAborted,
}

#[derive(Clone, Debug)]
enum Unit {
    Batch(Batch),
    /// Offsets that a control record takes each.
    Controls { base_offset: i64, next_offset: i64 },
    Fillers { base_offset: i64, next_offset: i64, timestamp: i64 },
}

impl Unit {
    fn base_offset(&self) -> i64 {
        match self {
            Unit::Batch(batch) => batch.base_offset,
            Unit::Controls { base_offset, .. } | Unit::Fillers { base_offset, .. } => *base_offset,
        }
    }

    fn next_offset(&self) -> i64 {
        match self {
            Unit::Batch(batch) => batch.next_offset(),
            Unit::Controls { next_offset, .. } | Unit::Fillers { next_offset, .. } => *next_offset,
        }
    }

    fn is_aborted(&self) -> bool {
        matches!(self, Unit::Batch(batch) if batch.aborted)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    Acknowledged,
    Lost,
}

struct InFlight {
    unit: Unit,
    sequence: Option<i32>,
    fate: Fate,
}

/// The copy of one partition. See the module's comment.
///
/// All offsets within are the target's. Where they differ from the source's, [`Mapping`] stands before everything else, and what
/// it makes of the source's log is what is copied.
pub struct PartitionCopy {
    partition: TopicPartition,
    take: u32,
    mapping: Option<Mapping>,
    producer_id: i64,
    producer_epoch: i16,
    next_sequence: i32,
    renew_producer: bool,
    /// The last append that the broker confirmed under this producer id: end and newest timestamp. While it remembers that
    /// one, it refuses an append whose predecessor it refused; without, it takes any sequence as a producer's first.
    /// Source: `ProducerAppendInfo.checkSequence`.
    remembered: Option<(i64, i64)>,
    aborter: Option<Aborter>,
    /// The target's coordinator has let go of the aborter.
    aborter_lost: bool,
    /// Aborted data lies open on the target, or is queued, without a control record behind it.
    unclosed: bool,
    batch_bytes_max: usize,
    sequence_memory_ms: i64,

    first_log_start: i64,
    source_log_start: i64,
    last_stable: Option<i64>,
    next_fetch: i64,
    last_fetched_epoch: i32,
    /// The source's producers with data behind their last marker, and whether that was told as aborted.
    undecided: HashMap<i64, bool>,
    fetching: bool,
    /// Since when, and how often, a fetch below the last stable offset has found nothing.
    empty_since: Option<(u64, u32)>,
    tiered: bool,

    /// The offset after everything that is queued, sent or acknowledged.
    head: i64,
    /// Seed: segments hold the appends back until they are stored.
    store_first: bool,
    segment: SegmentBuilder,
    sealed: VecDeque<SealedSegment>,
    /// Segments on their way to the store, in order: end, and whether it has arrived.
    storing: VecDeque<(i64, bool)>,
    stored_offset: i64,
    unstored: VecDeque<Unit>,
    ready: VecDeque<(Unit, Option<i32>)>,
    /// Where the last control record ends that is ready, and since when aborted data waits for one.
    control_ready_to: i64,
    held_since_ms: Option<i64>,
    /// The run ends: no aborted transaction begins any more.
    closing: bool,
    in_flight: VecDeque<InFlight>,
    probing: bool,
    acknowledged: i64,

    target_log_start: i64,
    truncate_to: i64,
    truncating: bool,

    proof: Proof,
    counts: CopyCounts,
    began_anew: bool,
    stop: Option<Stop>,
}

impl PartitionCopy {
    /// Takes the partition up where the target's log ends.
    pub fn take_up(mut from: TakeUp) -> Self {
        let mut mapping = from.map.take().map(|map| Mapping::resume(map, from.source_log_start, from.target_end));
        let expired = mapping.as_ref().map_or(0, Mapping::expired_before);
        from.source_log_start = mapping.as_ref().map_or(from.source_log_start, |mapping| mapping.target_of(from.source_log_start));
        let checkpoint = from.checkpoint;
        let first_log_start = checkpoint.as_ref().map_or(from.source_log_start, |c| c.source_log_start);
        let proven = checkpoint.as_ref().map_or(first_log_start, |c| c.verified_offset);
        let counts = checkpoint.as_ref().map(|c| c.counts).unwrap_or_default();
        // In TAIL appends go ahead of their segments: what an earlier take appended and did not store is stored now.
        let stored = checkpoint.as_ref().map_or(first_log_start, |c| c.stored_offset).max(from.source_log_start);
        // Where offsets are mapped, the records that were stored ahead of their appends may be gone, and others take their places.
        let stored = if mapping.is_some() { stored.min(from.target_end).max(from.source_log_start) } else { stored };
        // A topic that was created anew is shorter than what was proven of the one before.
        let began_anew = checkpoint.as_ref().is_some_and(|c| c.verified_offset > from.target_end);
        let (proven, counts, trees) = match checkpoint {
            Some(c) if c.verified_offset <= from.target_end => (proven, counts, (c.source_tree, c.target_tree)),
            _ => (first_log_start, CopyCounts::default(), Default::default()),
        };
        let next_fetch = proven.min(stored).min(from.target_end).max(from.source_log_start);
        if let Some(mapping) = &mut mapping {
            mapping.read_again(next_fetch);
        }
        let mut counts = counts;
        counts.unmapped_expired_offsets += expired;
        let mut copy = Self {
            partition: from.partition,
            take: from.take,
            mapping,
            producer_id: from.producer_id,
            producer_epoch: from.producer_epoch,
            next_sequence: 0,
            renew_producer: false,
            remembered: None,
            unclosed: from.open_transaction.is_some(),
            aborter: from.open_transaction.map(Aborter::resumed),
            aborter_lost: false,
            batch_bytes_max: from.batch_bytes_max,
            sequence_memory_ms: from.sequence_memory_ms,
            first_log_start,
            source_log_start: from.source_log_start,
            last_stable: None,
            next_fetch,
            last_fetched_epoch: -1,
            undecided: HashMap::new(),
            fetching: false,
            empty_since: None,
            tiered: from.tiered,
            head: from.target_end,
            store_first: true,
            segment: SegmentBuilder::default(),
            sealed: VecDeque::new(),
            storing: VecDeque::new(),
            stored_offset: stored,
            unstored: VecDeque::new(),
            ready: VecDeque::new(),
            control_ready_to: 0,
            held_since_ms: None,
            closing: false,
            in_flight: VecDeque::new(),
            probing: false,
            acknowledged: from.target_end,
            target_log_start: from.target_log_start,
            truncate_to: from.source_log_start,
            truncating: false,
            proof: Proof::new(proven, first_log_start, trees.0, trees.1),
            counts,
            began_anew,
            stop: None,
        };
        if copy.proof.verified_offset < from.source_log_start.min(from.target_end) {
            // It expired on the source since, so it cannot be compared; the target lets go of it too.
            copy.expect(Expected::Gap { next_offset: from.source_log_start.min(from.target_end) });
        }
        copy
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Stops the partition; the first reason stays.
    pub fn halt(&mut self, code: Code, seen: impl Into<String>) {
        let seen = seen.into();
        self.stop.get_or_insert(Stop { code, seen });
    }

    /// Everything below lies on the target.
    pub fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    pub fn verified(&self) -> i64 {
        self.proof.verified_offset
    }

    pub fn stored(&self) -> i64 {
        self.stored_offset
    }

    /// The source's log start and last stable offset as last heard, in its own offsets.
    pub fn source_span(&self) -> (i64, Option<i64>) {
        self.mapping.as_ref().map_or((self.source_log_start, self.last_stable), |mapping| (mapping.log_start, mapping.last_stable))
    }

    /// The source's offset up to which nothing is missing but the journal's word, where appends wait for that.
    pub fn awaits_journal_to(&self) -> Option<i64> {
        self.mapping.as_ref().filter(|mapping| mapping.awaits_journal()).map(|mapping| mapping.frontier.source)
    }

    /// The source's offset up to which everything is done that is done up to this one of the target's.
    pub fn source_position(&self, target: i64) -> i64 {
        self.mapping.as_ref().map_or(target, |mapping| mapping.source_of(target))
    }

    pub fn counts(&self) -> &CopyCounts {
        &self.counts
    }

    /// Bytes that wait in the open segment.
    pub fn open_segment_bytes(&self) -> usize {
        self.segment.bytes()
    }

    pub fn take(&self) -> u32 {
        self.take
    }

    /// Whether a closed segment waits for its turn at the store.
    pub fn waits_for_store(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Lets appends go ahead of their segments, as TAIL does.
    pub fn append_before_store(&mut self) {
        self.store_first = false;
        while let Some(unit) = self.unstored.pop_front() {
            self.make_ready(unit);
        }
    }

    // ---- fetch

    /// What to fetch next; None while a fetch is under way, or while too much waits to be proven.
    pub fn next_fetch(&self) -> Option<Position> {
        let open = self.stop.is_none() && !self.fetching && self.proof.pending() < UNPROVEN_LEAVES_MAX;
        open.then_some(Position { offset: self.source_next(), last_fetched_epoch: self.last_fetched_epoch })
    }

    /// What to fetch next, in the source's offsets.
    fn source_next(&self) -> i64 {
        self.mapping.as_ref().map_or(self.next_fetch, |mapping| mapping.next_source)
    }

    /// What maps the next answer's batches, where records do not keep their offsets; its outcome goes into [`Self::fetched_mapped`].
    pub fn projector(&self) -> Option<Projector> {
        self.mapping.as_ref().map(Mapping::projector)
    }

    pub fn fetch_sent(&mut self) {
        self.fetching = true;
    }

    /// The fetch gave nothing, for a reason that passes.
    pub fn fetch_failed(&mut self) {
        self.fetching = false;
    }

    /// The source no longer has what was asked for; both bounds in its own offsets.
    pub fn fetch_out_of_range(&mut self, log_start: i64, log_end: i64) {
        self.fetching = false;
        let position = self.source_next();
        if log_end < position {
            self.halt(Code::SourceDiverged, format!("the source ends at {log_end}, but was copied up to {position}"));
        } else if log_start > position {
            let log_start = self.hear_log_start(log_start);
            if self.next_fetch < self.head {
                self.expect(Expected::Gap { next_offset: log_start.min(self.head) });
            }
            self.source_log_start = log_start;
            self.next_fetch = log_start;
            self.undecided.clear();
        }
    }

    /// The source's log start, as it stands for in the target's offsets. What expired there and was never mapped is counted.
    fn hear_log_start(&mut self, log_start: i64) -> i64 {
        let Some(mapping) = &mut self.mapping else { return log_start };
        mapping.log_start = mapping.log_start.max(log_start);
        let target = mapping.target_of(mapping.log_start);
        self.counts.unmapped_expired_offsets += (mapping.log_start - mapping.frontier.source).max(0) as u64;
        mapping.skip_to(mapping.log_start);
        target
    }

    /// Takes what a fetch gave: whole batches in order, with their digests, the source's log start and last stable offset. `to_the_end` says that
    /// nothing but the lack of records has kept the answer from going on up to there.
    pub fn fetched(&mut self, batches: Vec<(Batch, Digest)>, log_start: i64, last_stable: i64, to_the_end: bool, now_ms: u64) {
        self.fetching = false;
        self.source_log_start = self.source_log_start.max(log_start);
        self.last_stable = Some(last_stable);
        if self.stop.is_some() {
            return;
        }
        if !batches.is_empty() || self.next_fetch.min(self.head) >= last_stable {
            self.empty_since = None;
        } else if self.is_empty_for_good(to_the_end, now_ms) {
            self.nothing_between(self.next_fetch.min(self.head), last_stable, 0);
            self.next_fetch = self.next_fetch.max(last_stable);
            self.empty_since = None;
        }
        self.take_batches(batches, now_ms);
    }

    /// The same where records do not keep their offsets: the batches as they were fetched, and what [`Self::projector`] has made of them.
    pub fn fetched_mapped(&mut self, batches: &[Batch], projected: Projected, log_start: i64, last_stable: i64, to_the_end: bool, now_ms: u64) {
        self.fetching = false;
        let Some(mapping) = &mut self.mapping else { return };
        mapping.last_stable = Some(last_stable);
        let first = mapping.next_source;
        let mut position = first;
        if self.stop.is_some() {
            return;
        }
        if !batches.is_empty() || position >= last_stable {
            self.empty_since = None;
        }
        for batch in batches.iter().filter(|batch| batch.next_offset() > first) {
            if batch.base_offset > position {
                // A marker may have been there.
                self.undecided.clear();
            }
            position = batch.next_offset();
            self.last_fetched_epoch = batch.leader_epoch;
            if let Err(stop) = self.check_decision(batch) {
                self.stop.get_or_insert(stop);
                return;
            }
        }
        let is_empty = batches.is_empty() && position < last_stable && self.is_empty_for_good(to_the_end, now_ms);
        let Some(mapping) = &mut self.mapping else { return };
        let known = mapping.frontier.target;
        if let Err(error) = mapping.take(&projected) {
            self.halt(Code::CopyQuarantined, error.to_string());
            return;
        }
        if is_empty {
            mapping.skip_to(last_stable);
            self.empty_since = None;
        }
        let passed = mapping.next_source >= mapping.frontier.source;
        self.last_stable = Some(mapping.target_end());
        let log_start = self.hear_log_start(log_start);
        self.source_log_start = self.source_log_start.max(log_start);
        let fresh_at = projected.batches.partition_point(|(batch, _)| batch.base_offset < known);
        let mut again = projected.batches;
        let fresh = again.split_off(fresh_at);
        self.take_batches(again, now_ms);
        // Of what was mapped before, the source has nothing more.
        if passed && self.next_fetch < known {
            self.nothing_between(self.next_fetch, known, 0);
            self.next_fetch = known;
        }
        self.take_batches(fresh, now_ms);
    }

    /// The journal is to know these before anything is appended that they describe.
    pub fn next_marks(&mut self) -> Vec<Mark> {
        self.mapping.as_mut().map(Mapping::next_marks).unwrap_or_default()
    }

    pub fn has_marks(&self) -> bool {
        self.mapping.as_ref().is_some_and(Mapping::awaits_journal)
    }

    /// The journal knows the marks that were handed out.
    pub fn marks_journaled(&mut self) {
        self.mapping.iter_mut().for_each(Mapping::journaled);
    }

    fn take_batches(&mut self, batches: Vec<(Batch, Digest)>, now_ms: u64) {
        if self.stop.is_some() {
            return;
        }
        let mut fresh: Vec<(Batch, Digest)> = Vec::with_capacity(batches.len());
        for (batch, digest) in batches {
            if batch.next_offset() <= self.next_fetch {
                continue;
            }
            let due = fresh.last().map_or(self.head, |(last, _)| last.next_offset()).min(self.next_fetch);
            if due < batch.base_offset {
                self.enqueue(std::mem::take(&mut fresh), now_ms);
                self.nothing_between(due, batch.base_offset, batch.first_timestamp());
            }
            self.next_fetch = batch.next_offset();
            if self.mapping.is_none() {
                self.last_fetched_epoch = batch.leader_epoch;
            }
            if let Err(stop) = self.check_decision(&batch) {
                self.enqueue(fresh, now_ms);
                self.stop.get_or_insert(stop);
                return;
            }
            let head = fresh.last().map_or(self.head, |(last, _)| last.next_offset());
            let taken = if batch.has_holes() || self.goes_in_parts(&batch, head) {
                self.enqueue(std::mem::take(&mut fresh), now_ms);
                self.take_apart(batch, digest, now_ms)
            } else if batch.next_offset() <= head {
                self.keep(&batch, digest, now_ms);
                self.catch_up(batch, Share::Whole);
                Ok(())
            } else if batch.codec().is_none() {
                Err(unreadable(&batch, RecordError::UnknownCodec))
            } else {
                fresh.push((batch, digest));
                Ok(())
            };
            if let Err(stop) = taken {
                self.enqueue(fresh, now_ms);
                self.stop.get_or_insert(stop);
                return;
            }
        }
        self.enqueue(fresh, now_ms);
    }

    /// Whether what the source's index says of a transaction, which came with the data, is what its marker says.
    fn check_decision(&mut self, batch: &Batch) -> Result<(), Stop> {
        if !batch.is_transactional() {
            return Ok(());
        }
        let (told, said) = if !batch.is_control() {
            (*self.undecided.entry(batch.producer_id).or_insert(batch.aborted), batch.aborted)
        } else if batch.record_count > 0 {
            let aborts = !batch.is_commit_marker();
            (self.undecided.remove(&batch.producer_id).unwrap_or(aborts), aborts)
        } else {
            // Cleaning has emptied it: nobody can tell any more.
            self.undecided.remove(&batch.producer_id);
            return Ok(());
        };
        if told == said {
            return Ok(());
        }
        let decision = |aborted| if aborted { "aborted" } else { "committed" };
        let seen = format!("a transaction of producer id {} is told as {}, but the batch at {} says {}", batch.producer_id, decision(told), batch.base_offset, decision(said));
        Err(Stop { code: Code::CopyDamaged, seen })
    }

    /// Whether several answers in a row, over some time, have said that there is nothing up to the last stable offset. What is below the source's log
    /// start is known to be gone. Where history is in tiered storage an answer without records only says that it has not been read yet.
    fn is_empty_for_good(&mut self, to_the_end: bool, now_ms: u64) -> bool {
        if self.mapping.is_none() && self.next_fetch <= self.source_log_start && self.last_stable.is_some_and(|end| end <= self.source_log_start) {
            return true;
        }
        if !to_the_end {
            return false;
        }
        let (since, answers) = self.empty_since.unwrap_or((now_ms, 0));
        self.empty_since = Some((since, answers + 1));
        !self.tiered && answers + 1 >= EMPTY_ANSWERS && now_ms.saturating_sub(since) >= EMPTY_ANSWERS_MS
    }

    /// Whether the last answers held nothing although there is something to come: no need to ask again at once.
    pub fn found_nothing(&self) -> bool {
        self.empty_since.is_some()
    }

    /// Why nothing comes although there is something to come, where that has lasted for so long.
    pub fn starved_because(&self, now_ms: u64, patience_ms: u64) -> Option<String> {
        let (since, _) = self.empty_since.filter(|(since, _)| now_ms.saturating_sub(*since) >= patience_ms)?;
        let (offset, end) = (self.source_next(), self.source_span().1?);
        let why = if self.tiered { "; its history is in tiered storage, so that this is not taken for the end of its records" } else { "" };
        Some(format!("{}: for {} s the source has given no records from offset {offset} on, and its last stable offset is {end}{why}", self.partition, (now_ms - since) / 1_000))
    }

    /// Puts the batch, as it came, into the segment that is on its way to the store, unless it is there already.
    fn keep(&mut self, batch: &Batch, digest: Digest, now_ms: u64) {
        let (base_offset, next_offset) = (batch.base_offset, batch.next_offset());
        if next_offset > self.stored_offset {
            let kind = if batch.is_control() { LeafKind::Control } else { LeafKind::Batch };
            self.segment.push(batch, Leaf { base_offset, next_offset, kind, digest }, now_ms);
        }
    }

    /// Takes a batch that an earlier take has appended: it is proven if it was not.
    fn catch_up(&mut self, batch: Batch, share: Share) {
        if batch.next_offset() > self.proof.verified_offset {
            self.expect(Expected::CaughtUp(batch, share));
        }
    }

    /// Whether the target does not take the batch as it is, or has a part of it already.
    fn goes_in_parts(&self, batch: &Batch, head: i64) -> bool {
        let fresh = head < batch.next_offset() && batch.codec().is_some() && !batch.is_control();
        fresh && (batch.base_offset < head || batch.bytes().len() > self.batch_bytes_max)
    }

    /// Takes a batch that does not go as it is: its records in as many appends as they adjoin each other and the target takes, and what lies between.
    fn take_apart(&mut self, batch: Batch, digest: Digest, now_ms: u64) -> Result<(), Stop> {
        self.keep(&batch, digest, now_ms);
        self.append_parts(&batch)
    }

    fn append_parts(&mut self, batch: &Batch) -> Result<(), Stop> {
        let parts = pieces(batch, self.batch_bytes_max, Some(self.head)).map_err(|error| unreadable(batch, error))?;
        // What goes as one after all was not taken apart.
        let whole = parts.len() == 1;
        let mut share = if whole { Share::Whole } else { Share::first_of(batch) };
        let mut from = batch.base_offset;
        for piece in parts {
            match piece {
                Piece::Hole { next_offset } => {
                    self.hole(from, next_offset);
                    from = next_offset;
                }
                Piece::Data(data) => {
                    from = data.next_offset();
                    let share = share.taken_by(&data, self.first_log_start);
                    if data.next_offset() <= self.head {
                        self.catch_up(data, share);
                    } else if data.base_offset < self.head {
                        let seen = format!("offset {} is due, but the source's next records are {}..{}", self.head, data.base_offset, data.next_offset());
                        return Err(Stop { code: Code::CopyQuarantined, seen });
                    } else {
                        self.enqueue_piece(data, share)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The source has nothing between these offsets: they expired, or compaction has left them without records.
    fn nothing_between(&mut self, from: i64, to: i64, timestamp: i64) {
        // A marker may have been there.
        self.undecided.clear();
        let expired = to.min(self.source_log_start);
        if from < expired && from < self.head {
            self.expect(Expected::Gap { next_offset: expired.min(self.head) });
        }
        if self.head < expired {
            self.fill(expired, timestamp);
        }
        if from.max(expired) < to {
            self.hole(from.max(expired), to);
        }
    }

    /// Offsets without records, at or above the log start: control records take them, which nobody sees either.
    fn hole(&mut self, from: i64, to: i64) {
        if from < self.head && to.min(self.head) > self.proof.verified_offset {
            self.expect(Expected::CaughtUpHole { next_offset: to.min(self.head) });
        }
        if to > self.head {
            let base_offset = self.head;
            self.expect(Expected::Hole { next_offset: to });
            self.push_unit(Unit::Controls { base_offset, next_offset: to });
        }
        self.store_hole(to);
    }

    /// There is nothing to store of a hole: what is stored before it reaches over it.
    fn store_hole(&mut self, to: i64) {
        if to <= self.stored_offset {
            return;
        }
        if !self.segment.is_empty() {
            self.segment.reach_to(to);
        } else if let Some(last) = self.sealed.back_mut() {
            last.next_offset = last.next_offset.max(to);
        } else if self.storing.is_empty() {
            self.stored_offset = to;
        } else {
            self.storing.push_back((to, true));
        }
    }

    /// Takes the offsets up to `next_offset` by fillers: they lie below the source's log start.
    fn fill(&mut self, next_offset: i64, timestamp: i64) {
        let mut base_offset = self.head;
        self.truncate_to = self.truncate_to.max(self.source_log_start);
        self.expect(Expected::Gap { next_offset });
        if self.unclosed {
            // The control record expired that would have ended the transaction.
            self.push_unit(Unit::Controls { base_offset, next_offset: base_offset + 1 });
            base_offset += 1;
        }
        if base_offset == next_offset {
            return;
        }
        self.counts.filler_records += (next_offset - base_offset) as u64;
        self.push_unit(Unit::Fillers { base_offset, next_offset, timestamp });
    }

    fn enqueue(&mut self, fresh: Vec<(Batch, Digest)>, now_ms: u64) {
        let digests: HashMap<i64, Digest> = fresh.iter().map(|(b, digest)| (b.base_offset, *digest)).collect();
        fresh.iter().for_each(|(batch, digest)| self.keep(batch, *digest, now_ms));
        for group in merge::group(fresh.into_iter().map(|(batch, _)| batch).collect(), self.batch_bytes_max) {
            match group {
                Group::AsIs(batch) => self.enqueue_one(batch, &digests),
                Group::Encoded(batches) => {
                    if self.enqueue_encoded(&batches).is_ok() {
                        continue;
                    }
                    let several = batches.len() > 1;
                    for batch in batches {
                        match batch.append_time() {
                            None => self.enqueue_one(batch, &digests),
                            Some(_) => {
                                if several && self.enqueue_encoded(std::slice::from_ref(&batch)).is_ok() {
                                    continue;
                                }
                                if let Err(stop) = self.append_parts(&batch) {
                                    self.stop.get_or_insert(stop);
                                    return;
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Enqueues the batches as one that is encoded anew; nothing is enqueued where that cannot be.
    fn enqueue_encoded(&mut self, batches: &[Batch]) -> Result<(), Stop> {
        let Some(first) = batches.first() else { return Ok(()) };
        let digest = records_leaf(batches).map_err(|error| unreadable(first, error))?;
        let encoded = merge::encode(batches).map_err(|error| unreadable(first, error))?;
        self.check_size(&encoded)?;
        let leaf = Leaf { base_offset: encoded.base_offset, next_offset: encoded.next_offset(), kind: LeafKind::Records, digest };
        self.expect_leaf(batches, leaf);
        self.push_unit(Unit::Batch(encoded));
        Ok(())
    }

    /// Enqueues a part of a batch.
    fn enqueue_piece(&mut self, piece: Batch, share: Share) -> Result<(), Stop> {
        self.check_size(&piece)?;
        let digest = records_leaf(std::slice::from_ref(&piece)).map_err(|error| unreadable(&piece, error))?;
        let (base_offset, next_offset) = (piece.base_offset, piece.next_offset());
        let records = (next_offset - base_offset.max(self.first_log_start)).max(0) as u64;
        let leaf = Leaf { base_offset, next_offset, kind: LeafKind::Records, digest };
        self.expect(Expected::Leaf { leaf, aborted: piece.aborted, source: SourceCounts::of_parts(std::iter::once((&piece, share)), records) });
        self.push_unit(Unit::Batch(piece));
        Ok(())
    }

    fn check_size(&self, encoded: &Batch) -> Result<(), Stop> {
        let (size, size_max) = (encoded.bytes().len(), self.batch_bytes_max);
        if size > size_max {
            let (base_offset, next_offset) = (encoded.base_offset, encoded.next_offset());
            let seen = format!(
                "the record at offset {base_offset} (the next is {next_offset}) takes {size} bytes in a batch of its own, and the target takes {size_max}: the smallest of max.message.bytes and segment.bytes of the topic and what socket.request.max.bytes of its brokers leaves"
            );
            return Err(Stop { code: Code::CopyRecordTooLarge, seen });
        }
        Ok(())
    }

    fn enqueue_one(&mut self, batch: Batch, digests: &HashMap<i64, Digest>) {
        let (base_offset, next_offset) = (batch.base_offset, batch.next_offset());
        let (kind, unit, digest) = if batch.is_control() {
            (LeafKind::Control, Unit::Controls { base_offset, next_offset }, control_leaf(base_offset))
        } else {
            let digest = digests.get(&base_offset).copied().unwrap_or_else(|| batch.leaf());
            (LeafKind::Batch, Unit::Batch(batch.clone()), digest)
        };
        self.expect_leaf(std::slice::from_ref(&batch), Leaf { base_offset, next_offset, kind, digest });
        self.push_unit(unit);
    }

    fn expect_leaf(&mut self, batches: &[Batch], leaf: Leaf) {
        let from = leaf.base_offset.max(self.first_log_start);
        let records = if leaf.kind == LeafKind::Control { 0 } else { (leaf.next_offset - from).max(0) as u64 };
        let aborted = batches.iter().any(|batch| batch.aborted);
        self.expect(Expected::Leaf { leaf, aborted, source: SourceCounts::of(batches, records) });
    }

    fn expect(&mut self, expected: Expected) {
        self.proof.expect(expected, &mut self.counts);
    }

    fn push_unit(&mut self, unit: Unit) {
        self.head = unit.next_offset();
        self.unclosed = unit.is_aborted() || (self.unclosed && !matches!(unit, Unit::Controls { .. }));
        // What holds no records needs no store, and an earlier take may have stored what it did not come to append.
        let needs_store = matches!(unit, Unit::Batch(_)) && unit.next_offset() > self.stored_offset;
        let waits = self.store_first && (needs_store || !self.unstored.is_empty());
        match waits {
            true => self.unstored.push_back(unit),
            false => self.make_ready(unit),
        }
    }

    /// Lets the unit be appended, behind those that are ready. Control records in a row travel together.
    fn make_ready(&mut self, unit: Unit) {
        if let Unit::Controls { base_offset, next_offset } = unit {
            self.control_ready_to = next_offset;
            if let Some((Unit::Controls { next_offset: end, .. }, _)) = self.ready.back_mut()
                && *end == base_offset
            {
                *end = next_offset;
                return;
            }
        }
        self.ready.push_back((unit, None));
    }

    // ---- store

    /// Prepares for the run's end: what is there goes to the store, and no transaction is begun; one that is open may still end.
    pub fn close(&mut self) {
        self.closing = true;
        self.seal();
    }

    /// Closes the open segment, whatever its size.
    pub fn seal(&mut self) {
        self.sealed.extend(self.segment.seal());
    }

    /// Closes the open segment where it is full or has been open too long.
    pub fn seal_if_due(&mut self, segment_bytes_max: usize, age_ms_max: u64, now_ms: u64) {
        let old = !self.segment.is_empty() && now_ms.saturating_sub(self.segment.opened_at_ms()) >= age_ms_max;
        let caught_up = self.store_first && self.last_stable.is_some_and(|end| self.next_fetch >= end);
        // What waits to be stored waits to be proven too, and fetching pauses when that is too much.
        let unproven = self.proof.pending() >= UNPROVEN_LEAVES_MAX / 2;
        if self.segment.bytes() >= segment_bytes_max || old || caught_up || unproven {
            self.seal();
        }
    }

    /// The next segment to put into the store.
    pub fn next_segment(&mut self) -> Option<SealedSegment> {
        let segment = self.sealed.pop_front()?;
        self.storing.push_back((segment.next_offset, false));
        Some(segment)
    }

    /// The store has acknowledged a segment and its manifest.
    pub fn stored_segment(&mut self, next_offset: i64, bytes: u64) {
        self.counts.segments += 1;
        self.counts.segment_bytes += bytes;
        for entry in self.storing.iter_mut().filter(|entry| entry.0 == next_offset) {
            entry.1 = true;
        }
        while let Some((end, true)) = self.storing.front() {
            self.stored_offset = *end;
            self.storing.pop_front();
        }
        while self.unstored.front().is_some_and(|u| u.next_offset() <= self.stored_offset || !matches!(u, Unit::Batch(_))) {
            if let Some(unit) = self.unstored.pop_front() {
                self.make_ready(unit);
            }
        }
    }

    // ---- append

    fn sending_halted(&self) -> bool {
        self.stop.is_some() || self.probing || self.renew_producer || self.in_flight.iter().any(|f| f.fate == Fate::Lost)
    }

    /// Whether appends are on their way.
    pub fn awaits_answers(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The next append to send, oldest first; it counts as on its way from now on.
    pub fn next_append(&mut self, now_ms: i64) -> Option<Append> {
        if self.sending_halted() || self.needs_aborter() || self.holds_aborted(now_ms) {
            return None;
        }
        // Several go at once only where the broker remembers each one's predecessor when it comes to it.
        let pipelined = |unit: &Unit| matches!(unit, Unit::Batch(batch) if !batch.aborted && self.outlives(batch.max_timestamp, now_ms));
        let alone = !pipelined(&self.ready.front()?.0) || !self.in_flight.iter().all(|f| pipelined(&f.unit)) || !self.is_remembered(now_ms);
        let in_flight_max = if alone { 1 } else { IN_FLIGHT_APPENDS_MAX };
        if self.in_flight.len() >= in_flight_max {
            return None;
        }
        let journaled_to = self.mapping.as_ref().map_or(i64::MAX, Mapping::journaled_to);
        let (unit, sequence) = self.ready.pop_front_if(|(unit, _)| unit.next_offset() <= journaled_to)?;
        let ends = self.aborter.as_ref().is_some_and(|aborter| aborter.open);
        let (unit, rest) = cut(unit, if ends { 1 } else { CONTROLS_PER_APPEND });
        if let Some(rest) = rest {
            self.ready.push_front((rest, None));
        }
        let base_offset = unit.base_offset();
        let count = (unit.next_offset() - base_offset) as i32;
        let (body, sequence) = match &unit {
            Unit::Controls { .. } if ends => (AppendBody::EndAborted, None),
            Unit::Controls { .. } => (AppendBody::Controls { count: i64::from(count) }, None),
            Unit::Batch(batch) if batch.aborted => {
                let aborter = self.aborter.as_mut()?;
                let sequence = sequence.unwrap_or_else(|| aborter.allot(count));
                let header = batch.header_for(aborter.stamp(sequence));
                (AppendBody::Aborted { header, payload: batch.payload(), begins: !aborter.open }, Some(sequence))
            }
            Unit::Batch(batch) => {
                let sequence = sequence.unwrap_or_else(|| self.allot_sequence(count));
                (AppendBody::Batch { header: batch.header_for(self.stamp(sequence)), payload: batch.payload() }, Some(sequence))
            }
            Unit::Fillers { timestamp, .. } => {
                let sequence = sequence.unwrap_or_else(|| self.allot_sequence(count));
                let batch = super::fillers::filler_batch(count, *timestamp);
                (AppendBody::Batch { header: batch.header_for(self.stamp(sequence)), payload: batch.payload() }, Some(sequence))
            }
        };
        self.in_flight.push_back(InFlight { unit, sequence, fate: Fate::Sent });
        Some(Append { base_offset, body })
    }

    /// Whether aborted data had better wait until what ends its transaction can follow at once. A transaction that stays open when the process dies
    /// is aborted by its coordinator in the end, at a wrong place: the shorter it is open, the less likely.
    fn holds_aborted(&mut self, now_ms: i64) -> bool {
        let is_open = self.aborter.as_ref().is_some_and(|aborter| aborter.open);
        let due = self.ready.front().filter(|(unit, _)| unit.is_aborted()).map(|(unit, _)| unit.base_offset());
        if due.is_some() && !is_open && self.closing {
            return true;
        }
        if due.is_none_or(|offset| is_open || self.control_ready_to > offset) {
            self.held_since_ms = None;
            return false;
        }
        // The clock may be set back.
        let since_ms = self.held_since_ms.map_or(now_ms, |since_ms| since_ms.min(now_ms));
        self.held_since_ms = Some(since_ms);
        now_ms - since_ms < ABORTED_HOLD_MS
    }

    /// Whether the broker remembers a producer by an append with this timestamp.
    fn outlives(&self, timestamp: i64, now_ms: i64) -> bool {
        timestamp >= now_ms - self.sequence_memory_ms
    }

    /// Whether the broker certainly knows our sequence, also after a crash: what it confirmed last is still in its log.
    fn is_remembered(&self, now_ms: i64) -> bool {
        let log_start = self.target_log_start.max(self.truncate_to);
        self.remembered.is_some_and(|(end, timestamp)| end > log_start && self.outlives(timestamp, now_ms))
    }

    fn stamp(&self, base_sequence: i32) -> ProducerStamp {
        ProducerStamp { producer_id: self.producer_id, producer_epoch: self.producer_epoch, base_sequence }
    }

    fn allot_sequence(&mut self, count: i32) -> i32 {
        sequence::allot(&mut self.next_sequence, count)
    }

    /// The broker has appended what was sent as `base_offset`, at `appended_at`.
    pub fn appended(&mut self, base_offset: i64, appended_at: i64) {
        if appended_at != base_offset {
            self.halt(Code::CopyQuarantined, format!("the append due at offset {base_offset} was made at {appended_at}"));
            return;
        }
        self.set_fate(base_offset, Fate::Acknowledged);
        while self.in_flight.front().is_some_and(|f| f.fate == Fate::Acknowledged) {
            self.front_is_appended();
        }
    }

    /// The oldest append on its way lies in the target's log.
    fn front_is_appended(&mut self) {
        let Some(InFlight { unit, .. }) = self.in_flight.pop_front() else { return };
        self.acknowledged = unit.next_offset();
        match unit {
            Unit::Batch(batch) if batch.aborted => self.set_open(true),
            Unit::Batch(batch) => self.remembered = Some((self.acknowledged, batch.max_timestamp)),
            // They are deleted, and the producer goes by their timestamp meanwhile.
            Unit::Fillers { .. } => self.remembered = None,
            Unit::Controls { .. } => self.set_open(false),
        }
    }

    fn set_open(&mut self, open: bool) {
        if let Some(aborter) = &mut self.aborter {
            aborter.open = open;
        }
    }

    /// Nobody knows whether the append was made: no answer, or one that leaves it open.
    pub fn append_lost(&mut self, base_offset: i64) {
        self.set_fate(base_offset, Fate::Lost);
    }

    /// The target did not know what to make of the append: of its sequence, so that the next attempt goes under a fresh producer id, or of the transaction
    /// that it belongs to, which its coordinator has aborted by itself or no longer knows.
    pub fn sequence_refused(&mut self, base_offset: i64) {
        let refused = self.in_flight.iter().position(|f| f.unit.base_offset() == base_offset);
        match refused.map(|at| (at, &self.in_flight[at].unit)) {
            // A control record is refused only as the end of a transaction.
            Some((_, unit)) if unit.is_aborted() || matches!(unit, Unit::Controls { .. }) => self.aborter_lost = true,
            Some((0, _)) => self.renew_producer = true,
            Some(_) | None => {}
        }
        self.append_lost(base_offset);
    }

    fn set_fate(&mut self, base_offset: i64, fate: Fate) {
        if let Some(entry) = self.in_flight.iter_mut().find(|f| f.unit.base_offset() == base_offset) {
            entry.fate = fate;
        }
    }

    /// Whether the target's log end has to be looked at: an append was lost and no answer is awaited any more.
    pub fn needs_probe(&self) -> bool {
        self.stop.is_none()
            && !self.probing
            && self.in_flight.iter().any(|f| f.fate == Fate::Lost)
            && self.in_flight.iter().all(|f| f.fate != Fate::Sent)
    }

    /// Whether the records under way are so old that the broker may have forgotten our sequence.
    pub fn probes_old_records(&self, now_ms: i64) -> bool {
        self.in_flight.iter().any(|f| match &f.unit {
            // While its transaction is open, a producer is not forgotten.
            Unit::Batch(batch) if batch.aborted => self.aborter.as_ref().is_none_or(|aborter| !aborter.open),
            Unit::Batch(batch) => !self.outlives(batch.max_timestamp, now_ms),
            Unit::Fillers { .. } | Unit::Controls { .. } => true,
        })
    }

    pub fn probe_sent(&mut self) {
        self.probing = true;
    }

    /// The target's log end after it has stood still: what lies below was appended, the rest is sent again.
    pub fn probed(&mut self, log_end: i64) {
        self.probing = false;
        self.counts.reprobes += 1;
        while self.in_flight.front().is_some_and(|f| f.unit.next_offset() <= log_end) {
            self.front_is_appended();
        }
        if let Some(InFlight { unit: Unit::Controls { base_offset, .. }, .. }) = self.in_flight.front_mut()
            && *base_offset < log_end
        {
            // Some of the row were written.
            *base_offset = log_end;
            self.acknowledged = log_end;
        }
        if self.acknowledged != log_end || self.in_flight.iter().any(|f| f.fate == Fate::Acknowledged) {
            self.halt(Code::CopyQuarantined, format!("the target's log ends at {log_end}, but {} is due", self.acknowledged));
            return;
        }
        while let Some(entry) = self.in_flight.pop_back() {
            self.ready.push_front((entry.unit, entry.sequence));
        }
        if std::mem::take(&mut self.aborter_lost) {
            if self.aborter.take().is_some_and(|aborter| aborter.open) {
                self.halt(Code::CopyQuarantined, format!("the target's coordinator has aborted the transaction that was open at {log_end}, where it does not end"));
            }
            self.ready.iter_mut().for_each(|(_, sequence)| *sequence = None);
        }
    }

    /// Whether the open transaction on the target can be ended with what is there already: worth a moment's patience before a stop.
    pub fn ends_soon(&self) -> bool {
        self.stop.is_none()
            && self.aborter.as_ref().is_some_and(|aborter| aborter.open)
            && self.ready.iter().any(|(unit, _)| matches!(unit, Unit::Controls { .. }))
    }

    /// Whether aborted data is due and no transactional producer is there to append it.
    pub fn needs_aborter(&self) -> bool {
        self.aborter.is_none() && !self.sending_halted() && self.ready.front().is_some_and(|(unit, _)| unit.is_aborted())
    }

    /// The transactional producer, whose transactional id has been taken just now: nothing is open under it.
    pub fn aborter_taken(&mut self, producer_id: i64, producer_epoch: i16) {
        self.aborter = Some(Aborter::new(producer_id, producer_epoch));
    }

    /// Whether a fresh producer id is needed before anything is sent.
    pub fn needs_producer(&self) -> bool {
        self.renew_producer && !self.probing && self.in_flight.is_empty() && self.stop.is_none()
    }

    pub fn producer_renewed(&mut self, producer_id: i64, producer_epoch: i16) {
        (self.producer_id, self.producer_epoch) = (producer_id, producer_epoch);
        self.next_sequence = 0;
        self.remembered = None;
        self.renew_producer = false;
        self.ready.iter_mut().for_each(|(_, sequence)| *sequence = None);
    }

    // ---- log start

    /// Raises the target's log start to what this offset of the source is there, once everything below is acknowledged.
    pub fn raise_log_start(&mut self, log_start: i64) {
        let log_start = self.mapping.as_ref().map_or(log_start, |mapping| mapping.target_of(log_start));
        self.truncate_to = self.truncate_to.max(log_start);
    }

    /// The offset up to which the target's records are to be deleted now.
    pub fn next_truncation(&self) -> Option<i64> {
        let goal = self.truncate_to.min(self.acknowledged);
        let final_step = goal == self.truncate_to && goal > self.target_log_start;
        let early_step = goal - self.target_log_start >= FILLERS_PER_DELETE;
        (self.stop.is_none() && !self.truncating && (final_step || early_step)).then_some(goal)
    }

    pub fn truncation_sent(&mut self) {
        self.truncating = true;
    }

    /// The target's log start as the broker says it; None where the request is to be made again.
    pub fn truncated(&mut self, log_start: Option<i64>) {
        self.truncating = false;
        self.target_log_start = log_start.unwrap_or(self.target_log_start);
        self.proof.let_go(self.target_log_start, &mut self.counts);
    }

    /// Whether the target's log start is where it should be.
    pub fn log_start_settled(&self) -> bool {
        self.target_log_start >= self.truncate_to
    }

    // ---- proof

    /// Where to read the target again; None where nothing is there to be compared.
    pub fn next_proof(&self) -> Option<i64> {
        let from = self.proof.verified_offset.max(self.target_log_start);
        (self.stop.is_none() && self.proof.pending() > 0 && from < self.acknowledged).then_some(from)
    }

    /// Compares what the target returned.
    pub fn read_back(&mut self, batches: &[Batch]) {
        if let Err(stop) = self.proof.compare(batches, &mut self.counts) {
            self.stop.get_or_insert(stop);
        }
    }

    /// Takes over the leaves that an earlier take has compared and not stored; false where some are missing that the journal knows of.
    pub fn take_over_leaves(&mut self, left: LeafFile) -> bool {
        self.proof.leaves.take_over(left)
    }

    /// How many leaves the store does not have yet.
    pub fn unstored_leaves(&self) -> usize {
        self.proof.leaves.len()
    }

    /// The next leaves to put into the store; None while some are on their way.
    pub fn next_leaves(&mut self, leaves_max: usize) -> Option<LeafFile> {
        self.proof.leaves.next_file(self.take, leaves_max)
    }

    /// The leaves on their way have reached the store, or have not.
    pub fn leaves_ended(&mut self, stored: bool) {
        self.proof.leaves.file_ended(stored);
    }

    /// The leaves of [`Self::checkpoint`]'s trees that the store does not have.
    pub fn pending_leaves(&self) -> LeafFile {
        self.proof.leaves.pending(self.take)
    }

    /// Whether what was journaled of the proof does not hold any more, so that it begins anew. [`Self::checkpoint`] is to be journaled before
    /// anything is proven: leaves of the new trees would hide those of the journaled ones.
    pub fn began_anew(&self) -> bool {
        self.began_anew
    }

    /// What is durable of this partition, for the journal.
    pub fn checkpoint(&self) -> PartitionCheckpoint {
        PartitionCheckpoint {
            partition: self.partition.clone(),
            take: self.take,
            source_log_start: self.first_log_start,
            next_offset: self.acknowledged,
            verified_offset: self.proof.verified_offset,
            source_tree: self.proof.source_tree.clone(),
            target_tree: self.proof.target_tree.clone(),
            stored_offset: self.stored_offset,
            counts: self.counts,
        }
    }
}

/// What stops a partition whose records cannot be read.
pub fn unreadable(batch: &Batch, error: RecordError) -> Stop {
    let (base_offset, next_offset) = (batch.base_offset, batch.next_offset());
    let code = match error {
        RecordError::UnknownCodec => Code::CopyUnsupportedFormat,
        RecordError::Malformed | RecordError::Compression => Code::CopyDamaged,
    };
    Stop { code, seen: format!("the records of the batch {base_offset}..{next_offset} cannot be read: {error:?}") }
}

/// Cuts off what one append takes of fillers or control records.
fn cut(unit: Unit, controls_max: i64) -> (Unit, Option<Unit>) {
    match unit {
        Unit::Fillers { base_offset, next_offset, timestamp } if next_offset - base_offset > i64::from(FILLERS_PER_BATCH) => {
            let at = base_offset + i64::from(FILLERS_PER_BATCH);
            (Unit::Fillers { base_offset, next_offset: at, timestamp }, Some(Unit::Fillers { base_offset: at, next_offset, timestamp }))
        }
        Unit::Controls { base_offset, next_offset } if next_offset - base_offset > controls_max => {
            let at = base_offset + controls_max;
            (Unit::Controls { base_offset, next_offset: at }, Some(Unit::Controls { base_offset: at, next_offset }))
        }
        other => (other, None),
    }
}
