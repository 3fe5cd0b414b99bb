//! Samples the logs: a few batches at each log's start, at its end and between, to see what kind of topic it is.

use super::limits::*;
use crate::domain::batch::{self, Batch, BatchError};
use crate::domain::partition::TopicPartition;
use crate::domain::planning::{PartitionProbe, TopicProbe};
use crate::domain::topology::TopicSnapshot;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::Reader;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;

/// One partition with records, and what is known of it so far.
struct Log {
    partition: TopicPartition,
    start: i64,
    end: i64,
    /// The largest batch that the topic lets in.
    batch_bytes_max: usize,
    /// Offsets whose batches have been looked at.
    seen: Vec<Range<i64>>,
    /// Offsets at which nothing came, because the batch is larger than what was asked for.
    too_large: Vec<i64>,
    /// The first control record that was seen.
    control_at: Option<i64>,
    probe: PartitionProbe,
}

/// Looks into the logs of these topics, at most `SAMPLES_MAX` times in all.
pub(super) async fn sample(source: &Reader, topics: &[&TopicSnapshot]) -> Vec<TopicProbe> {
    let hasty = source.with_patience(PATIENCE);
    let mut logs = logs(topics);
    let partitions: Vec<TopicPartition> = logs.iter().map(|log| log.partition.clone()).collect();
    let latest = hasty.list_offsets_each(&partitions, OffsetAt::MaxTimestamp);
    let ((latest, _), ()) = futures::join!(latest, read_samples(&hasty, &mut logs));

    for log in &mut logs {
        let timestamp = latest.get(&log.partition).map(|l| l.timestamp).filter(|t| *t >= 0);
        log.probe.timestamp_max_ms = log.probe.timestamp_max_ms.max(timestamp);
    }
    by_topic(topics, logs)
}

/// Every partition with records, the first partitions of all topics before the second ones.
fn logs(topics: &[&TopicSnapshot]) -> Vec<Log> {
    let mut logs: Vec<Log> = topics
        .iter()
        .flat_map(|topic| {
            let batch_bytes_max = topic.config("max.message.bytes").and_then(|v| v.parse().ok()).unwrap_or(SAMPLE_BYTES);
            topic.partitions.iter().filter_map(move |p| {
                let (start, end) = (p.log_start?, p.log_end?);
                let probe = PartitionProbe { partition: p.partition, ..PartitionProbe::default() };
                let partition = TopicPartition::new(topic.name.as_str(), p.partition);
                (p.leader.is_some() && end > start).then_some(Log { partition, start, end, batch_bytes_max, seen: Vec::new(), too_large: Vec::new(), control_at: None, probe })
            })
        })
        .collect();
    logs.sort_by(|a, b| (a.partition.partition, &a.partition.topic).cmp(&(b.partition.partition, &b.partition.topic)));
    logs
}

async fn read_samples(source: &Reader, logs: &mut [Log]) {
    let mut left = SAMPLES_MAX;
    for round in 0..SAMPLES_BETWEEN + 2 {
        read_round(source, logs, SAMPLE_BYTES, &mut left, |log| log.unseen(log.place(round)?)).await;
    }
    for before in BEFORE_CONTROL {
        read_round(source, logs, SAMPLE_BYTES, &mut left, |log| log.unseen(log.before_control(before)?)).await;
    }
    // Where nothing came, the batch does not fit into a sample.
    let largest = logs.iter().map(|log| log.batch_bytes_max).max().unwrap_or(0);
    let mut bytes_left = LARGE_SAMPLES_BYTES;
    for bytes_max in LARGER_SAMPLES.into_iter().filter(|bytes| *bytes < largest).chain([largest]) {
        let too_large: Vec<Vec<i64>> = logs.iter_mut().map(|log| std::mem::take(&mut log.too_large)).collect();
        let rounds = too_large.iter().map(Vec::len).max().unwrap_or(0);
        for round in 0..rounds {
            let mut left = bytes_left / bytes_max.max(1);
            let before = left;
            let place = |index: usize, log: &Log| log.unseen(*too_large.get(index)?.get(round)?);
            read_places(source, logs, bytes_max, &mut left, place).await;
            bytes_left -= (before - left) * bytes_max;
        }
    }
}

/// Looks at one place of each log where there is something to see, as far as `left` goes.
async fn read_round(source: &Reader, logs: &mut [Log], bytes_max: usize, left: &mut usize, place: impl Fn(&Log) -> Option<i64>) {
    read_places(source, logs, bytes_max, left, |_, log| place(log)).await;
}

/// The same with the log's index.
async fn read_places(source: &Reader, logs: &mut [Log], bytes_max: usize, left: &mut usize, place: impl Fn(usize, &Log) -> Option<i64>) {
    let chosen: Vec<(usize, i64)> =
        logs.iter().enumerate().filter_map(|(index, log)| Some((index, place(index, log)?))).take(*left).collect();
    *left -= chosen.len();
    let places: BTreeMap<TopicPartition, i64> = chosen.iter().map(|(index, offset)| (logs[*index].partition.clone(), *offset)).collect();
    let (mut done, mut failed) = source.fetch_samples(&places, bytes_max).await;
    for (index, offset) in chosen {
        let log = &mut logs[index];
        match (done.remove(&log.partition), failed.remove(&log.partition)) {
            (Some(data), _) => log.absorb(offset, data.records.unwrap_or_default()),
            (None, Some(error)) => log.probe.error = Some(error.seen().to_owned()),
            (None, None) => {}
        }
    }
}

impl Log {
    /// The place of a round: the start, the last record, then evenly between.
    fn place(&self, round: i64) -> Option<i64> {
        match round {
            0 => Some(self.start),
            1 => Some(self.end - 1),
            _ => {
                let step = i128::from(self.end - self.start) * i128::from(round - 1) / i128::from(SAMPLES_BETWEEN + 1);
                i64::try_from(step).ok().map(|step| self.start + step)
            }
        }
    }

    /// A place before the control record, where no transactional data has been seen yet.
    fn before_control(&self, before: i64) -> Option<i64> {
        let control_at = self.control_at.filter(|at| !self.probe.transactional && *at > self.start)?;
        Some((control_at - before).max(self.start))
    }

    /// The offset, unless its batch has been looked at.
    fn unseen(&self, offset: i64) -> Option<i64> {
        (!self.seen.iter().any(|range| range.contains(&offset))).then_some(offset)
    }

    /// Takes in the bytes that were fetched at `offset`.
    fn absorb(&mut self, offset: i64, records: Bytes) {
        if records.is_empty() {
            self.too_large.push(offset);
            return;
        }
        // The last record is a marker wherever transactions are used, and says nothing of the log before it.
        let counts = offset != self.end - 1 || offset == self.start;
        let probe = &mut self.probe;
        match batch::split(records) {
            Ok(batches) => {
                let mut expected = offset;
                for batch in &batches {
                    // Two places may lie so close together that one fetch reaches into the other's.
                    if counts && self.seen.iter().all(|range| !range.contains(&batch.base_offset)) {
                        let offsets = (batch.next_offset() - batch.base_offset).unsigned_abs();
                        probe.offsets += offsets;
                        probe.control_offsets += if batch.is_control() { offsets } else { 0 };
                    }
                    probe.hole |= batch.base_offset > expected;
                    expected = batch.next_offset();
                    if batch.is_control() {
                        self.control_at = self.control_at.or(Some(batch.base_offset));
                    }
                    look_at(probe, batch);
                }
                if let Some(first) = batches.first().map(|b| b.base_offset.min(offset)).filter(|first| expected > *first) {
                    self.seen.push(first..expected);
                }
            }
            Err(BatchError::Magic { magic, .. }) => {
                probe.batches += 1;
                probe.magic_min = Some(probe.magic_min.map_or(magic, |m| m.min(magic)));
            }
            Err(BatchError::Crc { base_offset }) => probe.error = Some(format!("the checksum of the batch at {base_offset} does not hold")),
            Err(BatchError::Malformed { base_offset, what }) => probe.error = Some(format!("the batch at {base_offset} is malformed: {what}")),
        }
    }
}

fn look_at(probe: &mut PartitionProbe, batch: &Batch) {
    probe.batches += 1;
    probe.magic_min = Some(probe.magic_min.map_or(2, |m| m.min(2)));
    probe.batch_bytes_max = probe.batch_bytes_max.max(batch.bytes().len() as i64);
    if batch.is_control() {
        probe.control = true;
        return;
    }
    probe.transactional |= batch.is_transactional();
    probe.log_append_time |= batch.append_time().is_some();
    probe.hole |= batch.has_holes() || batch.has_delete_horizon();
    probe.timestamp_max_ms = probe.timestamp_max_ms.max(Some(batch.max_timestamp).filter(|t| *t >= 0));
}

/// The probes in the topics' order, with the partitions that have no records.
fn by_topic(topics: &[&TopicSnapshot], logs: Vec<Log>) -> Vec<TopicProbe> {
    let mut probes: BTreeMap<TopicPartition, PartitionProbe> = logs.into_iter().map(|log| (log.partition, log.probe)).collect();
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|p| {
            let empty = || PartitionProbe { partition: p.partition, ..PartitionProbe::default() };
            probes.remove(&TopicPartition::new(topic.name.as_str(), p.partition)).unwrap_or_else(empty)
        });
        TopicProbe { topic: topic.name.clone(), partitions: partitions.collect() }
    });
    topics.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(start: i64, end: i64) -> Log {
        Log {
            partition: TopicPartition::new("t", 0),
            start,
            end,
            batch_bytes_max: SAMPLE_BYTES,
            seen: Vec::new(),
            too_large: Vec::new(),
            control_at: None,
            probe: PartitionProbe::default(),
        }
    }

    fn places(log: &Log) -> Vec<i64> {
        (0..SAMPLES_BETWEEN + 2).filter_map(|round| log.place(round)).collect()
    }

    /// A batch's header (61 bytes) with these attributes and as many records as offsets, and no payload.
    fn batch(base_offset: i64, records: i32, count: i32, attributes: i16) -> Vec<u8> {
        let mut b = Vec::new();
        b.extend_from_slice(&base_offset.to_be_bytes());
        b.extend_from_slice(&49i32.to_be_bytes());
        b.extend_from_slice(&0i32.to_be_bytes());
        b.push(2);
        b.extend_from_slice(&[0; 4]);
        b.extend_from_slice(&attributes.to_be_bytes());
        b.extend_from_slice(&(records - 1).to_be_bytes());
        b.extend_from_slice(&1_000i64.to_be_bytes());
        b.extend_from_slice(&(1_000 + base_offset).to_be_bytes());
        b.extend_from_slice(&[0; 14]);
        b.extend_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&b[21..]);
        b[17..21].copy_from_slice(&crc.to_be_bytes());
        b
    }

    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;

    #[test]
    fn places_lie_within_the_log_however_short_or_long() {
        assert_eq!(places(&log(0, 701)), [0, 700, 100, 200, 300, 400, 500, 600]);
        assert!(places(&log(9, 10)).iter().all(|p| *p == 9));
        assert!(places(&log(5, i64::MAX)).iter().all(|p| (5..i64::MAX).contains(p)));
    }

    #[test]
    fn what_was_seen_is_not_looked_at_again() {
        let mut log = log(0, 30);
        log.absorb(0, [batch(0, 10, 10, 0), batch(10, 10, 10, 0)].concat().into());
        assert_eq!((log.unseen(19), log.unseen(20)), (None, Some(20)));
        assert_eq!((log.probe.batches, log.probe.magic_min, log.probe.timestamp_max_ms), (2, Some(2), Some(1_010)));
        assert!(!log.probe.hole && !log.probe.transactional && !log.probe.control);
        log.absorb(20, Bytes::new());
        assert_eq!(log.too_large, [20]);
    }

    #[test]
    fn holes_before_within_and_between_batches_are_seen() {
        let hole = |offset, batches: &[Vec<u8>]| {
            let mut log = log(0, 100);
            log.absorb(offset, batches.concat().into());
            log.probe.hole
        };
        assert!(hole(0, &[batch(1, 2, 2, 0)]));
        assert!(hole(0, &[batch(0, 3, 2, 0)]));
        assert!(hole(0, &[batch(0, 2, 2, 0), batch(3, 1, 1, 0)]));
        assert!(!hole(1, &[batch(0, 2, 2, 0), batch(2, 1, 1, 0)]), "the first batch may begin before the place");
    }

    #[test]
    fn a_control_record_alone_is_looked_behind() {
        let mut alone = log(0, 2_000);
        alone.absorb(1_999, batch(1_999, 1, 1, CONTROL | TRANSACTIONAL).into());
        assert!(alone.probe.control && !alone.probe.transactional);
        assert_eq!(BEFORE_CONTROL.map(|n| alone.before_control(n)), [Some(1_998), Some(999)]);
        alone.absorb(1_998, batch(1_990, 9, 9, TRANSACTIONAL).into());
        assert!(alone.probe.transactional);
        assert_eq!(alone.before_control(1), None);
        let mut first = log(7, 8);
        first.absorb(7, batch(7, 1, 1, CONTROL | TRANSACTIONAL).into());
        assert_eq!(first.before_control(1), None);
    }

    #[test]
    fn offsets_are_counted_once_and_markers_among_them() {
        let mut log = log(0, 100);
        log.absorb(15, [batch(10, 10, 10, TRANSACTIONAL), batch(20, 1, 1, CONTROL | TRANSACTIONAL)].concat().into());
        assert_eq!((log.probe.offsets, log.probe.control_offsets), (11, 1));
        // The next place's fetch begins before what was seen and reaches into it.
        log.absorb(5, [batch(5, 5, 5, 0), batch(10, 10, 10, TRANSACTIONAL), batch(20, 1, 1, CONTROL | TRANSACTIONAL), batch(21, 4, 4, 0)].concat().into());
        assert_eq!((log.probe.offsets, log.probe.control_offsets), (20, 1));
    }

    #[test]
    fn the_last_marker_by_itself_says_nothing_of_the_log() {
        let marker = |log: &mut Log, at| log.absorb(at, batch(at, 1, 1, CONTROL | TRANSACTIONAL).into());
        let mut long = log(0, 100);
        marker(&mut long, 99);
        assert_eq!((long.probe.control, long.probe.offsets, long.probe.control_offsets), (true, 0, 0));
        let mut lone = log(7, 8);
        marker(&mut lone, 7);
        assert_eq!((lone.probe.offsets, lone.probe.control_offsets), (1, 1));
    }

    #[test]
    fn old_formats_and_damage_are_told() {
        let mut old = batch(0, 1, 1, 0);
        old[16] = 1;
        let mut seen = log(0, 1);
        seen.absorb(0, old.into());
        assert_eq!((seen.probe.batches, seen.probe.magic_min), (1, Some(1)));
        let mut damaged = batch(0, 1, 1, 0);
        damaged[30] ^= 1;
        let mut seen = log(0, 1);
        seen.absorb(0, damaged.into());
        assert!(seen.probe.error.unwrap().contains("checksum"));
    }
}
