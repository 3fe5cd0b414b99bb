//! Reads both logs of compacted topics side by side, to tell their drift from damage by key.

use super::super::context::Context;
use super::super::limits::{COMPACTED_AT_ONCE, DELETE_RETENTION_MS, EMPTY_ANSWERS_MAX};
use crate::domain::batch::Batch;
use crate::domain::digest::Digest;
use crate::domain::offset::{OffsetMap, SourceOffset, TargetOffset};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::TopicPlan;
use crate::domain::planning::bytes;
use crate::domain::topology::ClusterSnapshot;
use crate::error::{Code, Error, Result};
use crate::kafka::fetch::batches_of;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::Reader;
use crate::machine::fact::{CutoverReport, FrozenPartition};
use crate::machine::fold::Migration;
use crate::validation::key_drift::{Comparing, KeyDigest, KeyDrift, PARTITION_BYTES_MAX, Seen, Side, TargetCleaning};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// Whether a topic is compacted on the source, so that either side may lose a record of which there is a later one.
pub fn compacts(topic: &TopicPlan) -> bool {
    topic.configs.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
}

/// Where the logs of the compacted topics start and end on both sides.
struct Spans {
    starts: [BTreeMap<TopicPartition, i64>; 2],
    ends: [BTreeMap<TopicPartition, i64>; 2],
}

/// Compares every partition of the compacted topics by key; what could not be read says so in its own line.
pub async fn drift(context: &Context, migration: &Migration, report: &CutoverReport) -> Vec<KeyDrift> {
    let topic_of = |p: &FrozenPartition| migration.plan.topics.iter().find(|t| *t.name == *p.partition.topic && compacts(t));
    let chosen: Vec<(&FrozenPartition, &TopicPlan)> = report.partitions.iter().filter_map(|p| Some((p, topic_of(p)?))).collect();
    if chosen.is_empty() {
        return Vec::new();
    }
    let names: Vec<TopicPartition> = chosen.iter().map(|(p, _)| p.partition.clone()).collect();
    let topics: Vec<&str> = chosen.iter().map(|(_, topic)| topic.name.as_str()).collect();
    let target = context.clusters.target.snapshot(|name| topics.contains(&name), |_| false);
    let (spans, target) = futures::join!(spans(context, &names), target);
    let (spans, target) = match (spans, target) {
        (Ok(spans), Ok(target)) => (spans, target),
        (Err(error), _) | (_, Err(error)) => return names.into_iter().map(|name| unread(name, error.seen().to_owned())).collect(),
    };
    let (spans, target) = (&spans, &target);
    let compared = stream::iter(chosen).map(|(frozen, topic)| async move {
        let ours_end = migration.target_offset(&frozen.partition, frozen.frozen_end + 1);
        let cleaning = cleaning(report, ours_end, topic, target, spans.ends[1].get(&frozen.partition).copied());
        let compared = compare(context, migration, frozen, spans, cleaning).await;
        compared.unwrap_or_else(|error| unread(frozen.partition.clone(), error.seen().to_owned()))
    });
    compared.buffered(COMPACTED_AT_ONCE).collect().await
}

fn unread(partition: TopicPartition, why: String) -> KeyDrift {
    KeyDrift { partition: Some(partition), not_covered: Some(why), ..KeyDrift::default() }
}

async fn spans(context: &Context, names: &[TopicPartition]) -> Result<Spans> {
    let (source, target) = (&context.clusters.source, &context.clusters.target);
    let (source_starts, target_starts, source_ends, target_ends) = futures::try_join!(
        source.offsets(names, OffsetAt::Earliest),
        target.offsets(names, OffsetAt::Earliest),
        source.offsets(names, OffsetAt::LastStable),
        target.offsets(names, OffsetAt::LastStable),
    )?;
    Ok(Spans { starts: [source_starts, target_starts], ends: [source_ends, target_ends] })
}

/// What the target's cleaner, which begins with the release, can have done by now; what we wrote ends at `ours_end`.
fn cleaning(report: &CutoverReport, ours_end: i64, topic: &TopicPlan, target: &ClusterSnapshot, target_end: Option<i64>) -> TargetCleaning {
    let own = target.topic(&topic.name).and_then(|t| t.config("delete.retention.ms")).or_else(|| topic.configs.get("delete.retention.ms").map(String::as_str));
    let retention_ms = own.and_then(|ms| ms.parse().ok()).unwrap_or(DELETE_RETENTION_MS);
    let committed_ms = report.committed_at.parse::<Timestamp>().map_or(i64::MIN, Timestamp::as_millisecond);
    TargetCleaning {
        tombstones_expire: committed_ms.saturating_add(retention_ms) <= Timestamp::now().as_millisecond(),
        written_since: target_end.is_none_or(|end| end > ours_end),
    }
}

/// Compares one partition; all offsets are the target's.
async fn compare(context: &Context, migration: &Migration, frozen: &FrozenPartition, spans: &Spans, cleaning: TargetCleaning) -> Result<KeyDrift> {
    let partition = &frozen.partition;
    let of = |map: &BTreeMap<TopicPartition, i64>| map.get(partition).copied().unwrap_or(0);
    let map = migration.offset_map(partition);
    let frozen_end = migration.target_offset(partition, frozen.frozen_end);
    let from = migration.target_offset(partition, of(&spans.starts[0])).max(of(&spans.starts[1]));
    let mut source = Log::new(&context.clusters.source, partition, migration.source_offset(partition, from), of(&spans.ends[0]), map);
    let mut target = Log::new(&context.clusters.target, partition, from, of(&spans.ends[1]), None);
    let mut comparing = Comparing::new(partition.clone());
    let mut cut = None;
    loop {
        let next = [source.next_offset().await?, target.next_offset().await?];
        let Some(offset) = next.into_iter().flatten().min() else { break };
        // Beyond the cutover both clusters are their own: only what explains something is of interest there.
        if offset >= frozen_end && !comparing.waits() {
            break;
        }
        if source.records.front().is_some_and(|seen| seen.unmapped && seen.offset < frozen_end) {
            source.take().iter().for_each(|seen| comparing.alone(Side::Source, seen));
            continue;
        }
        let [of_source, of_target] = [next[0] == Some(offset), next[1] == Some(offset)];
        let source_seen = if of_source { source.take() } else { None };
        let target_seen = if of_target { target.take() } else { None };
        match (source_seen, target_seen) {
            (source, target) if offset >= frozen_end => {
                source.iter().for_each(|seen| comparing.later(Side::Source, seen));
                target.iter().for_each(|seen| comparing.later(Side::Target, seen));
            }
            (Some(source), Some(target)) => comparing.both(&source, &target),
            (Some(source), None) => comparing.alone(Side::Source, &source),
            (None, Some(target)) => comparing.alone(Side::Target, &target),
            (None, None) => {}
        }
        let read = source.bytes.max(target.bytes);
        if read > PARTITION_BYTES_MAX {
            cut = Some(format!("only the first {} of its log were read, which is the limit", bytes(i64::try_from(read).unwrap_or(i64::MAX))));
        } else if comparing.is_full() {
            cut = Some("the two logs differ by more keys than are remembered".to_owned());
        }
        if let Some(why) = &mut cut {
            why.push_str(&format!("; what lies from offset {offset} on, and before it on one side alone, was not judged"));
            break;
        }
    }
    Ok(comparing.end(migration.target_offset(partition, source.log_start).max(target.log_start), cleaning, cut))
}

/// One log that is read once, decided data only.
struct Log<'a> {
    /// Where its records lie on the target, unless they keep their offsets.
    map: Option<&'a OffsetMap>,
    cluster: &'a Reader,
    partition: &'a TopicPartition,
    from: i64,
    fetch_at: i64,
    end: i64,
    /// The latest that a broker said.
    log_start: i64,
    bytes: u64,
    empty_answers: u32,
    batches: VecDeque<Batch>,
    records: VecDeque<Seen>,
    now_ms: i64,
}

impl<'a> Log<'a> {
    fn new(cluster: &'a Reader, partition: &'a TopicPartition, from: i64, end: i64, map: Option<&'a OffsetMap>) -> Self {
        let now_ms = Timestamp::now().as_millisecond();
        Self { map, cluster, partition, from, fetch_at: from, end, log_start: from, bytes: 0, empty_answers: 0, batches: VecDeque::new(), records: VecDeque::new(), now_ms }
    }

    /// The target's offset of the next record; None at the end.
    async fn next_offset(&mut self) -> Result<Option<i64>> {
        loop {
            if let Some(seen) = self.records.front() {
                return Ok(Some(seen.offset));
            }
            if let Some(batch) = self.batches.pop_front() {
                self.records = self.decode(&batch)?;
            } else if self.fetch_at >= self.end || self.empty_answers >= EMPTY_ANSWERS_MAX {
                return Ok(None);
            } else {
                self.fetch().await?;
            }
        }
    }

    fn take(&mut self) -> Option<Seen> {
        self.records.pop_front()
    }

    async fn fetch(&mut self) -> Result<()> {
        let Some(data) = self.cluster.fetch_decided(self.partition, self.fetch_at).await? else {
            let starts = self.cluster.offsets(std::slice::from_ref(self.partition), OffsetAt::Earliest).await?;
            let log_start = starts.get(self.partition).copied().unwrap_or(0);
            // Where the log is shorter than it was, there is nothing more of it.
            self.fetch_at = if log_start > self.fetch_at { log_start } else { self.end };
            self.log_start = self.log_start.max(log_start);
            return Ok(());
        };
        self.log_start = self.log_start.max(data.log_start_offset);
        let records = data.records.unwrap_or_default();
        self.bytes += records.len() as u64;
        let batches = batches_of(records, data.aborted_transactions).map_err(|e| Error::new(Code::CopyDamaged, format!("{}: {e:?}", self.partition)))?;
        match batches.last() {
            Some(last) => (self.fetch_at, self.empty_answers) = (last.next_offset(), 0),
            None => self.empty_answers += 1,
        }
        self.batches.extend(batches.into_iter().filter(|batch| !batch.is_control() && !batch.aborted));
        Ok(())
    }

    fn decode(&self, batch: &Batch) -> Result<VecDeque<Seen>> {
        let horizon_passed = batch.has_delete_horizon() && batch.base_timestamp <= self.now_ms;
        let mut seen = VecDeque::new();
        let decoded = batch.each_record(|mut record| {
            let is_wanted = record.offset >= self.from && record.offset < self.end;
            let source = SourceOffset(record.offset);
            let place = self.map.map_or(TargetOffset(record.offset), |map| map.translate(source));
            if is_wanted {
                // What another replica still has and the map has not was never copied: it has to have a later record of its key.
                let unmapped = self.map.is_some_and(|map| map.invert(place) != source);
                record.offset = place.0;
                let mut digest = Sha256::new();
                record.canonical(|bytes| digest.update(bytes));
                seen.push_back(Seen {
                    offset: record.offset,
                    unmapped,
                    key: record.key.map(key_digest),
                    digest: Digest::from_bytes(digest.finalize().into()),
                    tombstone: record.value.is_none(),
                    horizon_passed,
                });
            }
        });
        decoded.map_err(|e| Error::new(Code::CopyDamaged, format!("{}: the records at {} cannot be read: {e:?}", self.partition, batch.base_offset)))?;
        Ok(seen)
    }
}

fn key_digest(key: &[u8]) -> KeyDigest {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let mut short = KeyDigest::default();
    short.copy_from_slice(&digest[..16]);
    short
}
