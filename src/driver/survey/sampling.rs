//! Samples the logs: a few batches at each log's start, at its end and between, to see what kind of topic it is.

use super::limits::*;
use crate::copy::largest_record;
use crate::domain::batch::{self, Batch, BatchError};
use crate::domain::limits::FUTURE_TIMESTAMP_MS;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Sampling;
use crate::domain::planning::{PartitionProbe, Sample, TopicProbe};
use crate::domain::record;
use crate::domain::topology::TopicSnapshot;
use crate::error::{Code, Error};
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::Reader;
use crate::telemetry::steps::Steps;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

/// One partition with records, and what is known of it so far.
struct Log {
    partition: TopicPartition,
    start: i64,
    end: i64,
    /// Where the first batch lies, as far as known: compaction may have left nothing for long before it.
    first: i64,
    /// The largest batch that the topic lets in.
    batch_bytes_max: usize,
    /// Offsets whose batches have been looked at.
    seen: Vec<Range<i64>>,
    /// Offsets at which nothing came, because the batch is larger than what was asked for.
    too_large: Vec<i64>,
    /// The first control record that was seen.
    control_at: Option<i64>,
    /// Its leader did not answer for as long as there was patience; it is not asked again.
    unreachable: bool,
    probe: PartitionProbe,
}

/// Looks into the logs of these topics, as far as the budget of bytes and time goes.
pub(super) async fn sample(source: &Reader, topics: &[&TopicSnapshot], shown: &Steps) -> (Vec<TopicProbe>, Sampling) {
    let hasty = source.with_patience(PATIENCE);
    let (mut logs, first_of_topics) = logs(topics);
    let partitions: Vec<TopicPartition> = logs.iter().map(|log| log.partition.clone()).collect();
    let latest = hasty.list_offsets_each(&partitions, OffsetAt::MaxTimestamp);
    let mut sampler = Sampler::new(&hasty, shown);
    let ((mut latest, untold), ()) = futures::join!(latest, sampler.read(&mut logs, first_of_topics));
    // Brokers before 3.0 do not tell the latest timestamp (KIP-734). That a record is dated ahead they tell by time.
    let untold: Vec<TopicPartition> = logs.iter().filter(|log| !log.unreachable && untold.contains_key(&log.partition)).map(|log| log.partition.clone()).collect();
    if !untold.is_empty() {
        let ahead = OffsetAt::Timestamp(jiff::Timestamp::now().as_millisecond() + FUTURE_TIMESTAMP_MS + 1);
        latest.extend(hasty.list_offsets_each(&untold, ahead).await.0);
    }
    for log in &mut logs {
        let timestamp = latest.get(&log.partition).map(|l| l.timestamp).filter(|t| *t >= 0);
        log.probe.timestamp_max_ms = log.probe.timestamp_max_ms.max(timestamp);
    }
    let sampling = sampler.came_to(&logs);
    (by_topic(topics, logs), sampling)
}

/// Every partition with records, the largest ones of all topics before the second largest ones, and how many are the largest of a topic.
fn logs(topics: &[&TopicSnapshot]) -> (Vec<Log>, usize) {
    let mut ranked: Vec<(usize, Log)> = Vec::new();
    for topic in topics {
        let batch_bytes_max = topic.config("max.message.bytes").and_then(|v| v.parse().ok()).unwrap_or(SAMPLE_BYTES);
        let mut of_topic: Vec<(i64, Log)> = topic
            .partitions
            .iter()
            .filter_map(|p| {
                let (start, end) = (p.log_start?, p.log_end?);
                let probe = PartitionProbe { partition: p.partition, ..PartitionProbe::default() };
                let partition = TopicPartition::new(topic.name.as_str(), p.partition);
                let log = Log { partition, start, end, first: start, batch_bytes_max, seen: Vec::new(), too_large: Vec::new(), control_at: None, unreachable: false, probe };
                (p.leader.is_some() && end > start).then_some((p.size_bytes.unwrap_or(0), log))
            })
            .collect();
        // Stable: of the same size, the first partition comes first.
        of_topic.sort_by_key(|(size_bytes, _)| std::cmp::Reverse(*size_bytes));
        ranked.extend(of_topic.into_iter().enumerate().map(|(rank, (_, log))| (rank, log)));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    let first_of_topics = ranked.iter().filter(|(rank, _)| *rank == 0).count();
    (ranked.into_iter().map(|(_, log)| log).collect(), first_of_topics)
}

/// Reads samples until the budget is spent.
struct Sampler<'a> {
    source: &'a Reader,
    shown: &'a Steps,
    began: Instant,
    /// Bytes that may still come.
    bytes_left: usize,
    places: u64,
    bytes: u64,
    cut_short: bool,
}

impl<'a> Sampler<'a> {
    fn new(source: &'a Reader, shown: &'a Steps) -> Self {
        Self { source, shown, began: Instant::now(), bytes_left: SAMPLES_BYTES_MAX, places: 0, bytes: 0, cut_short: false }
    }

    /// Each topic's largest log at all its places first, then the others; then what the first look has left open.
    async fn read(&mut self, logs: &mut [Log], first_of_topics: usize) {
        let (first, others) = logs.split_at_mut(first_of_topics);
        for part in [first, others] {
            for round in 0..SAMPLES_BETWEEN + 2 {
                self.read_round(part, SAMPLE_BYTES, |log| log.unseen(log.place(round)?)).await;
            }
        }
        for before in BEFORE_CONTROL {
            self.read_round(logs, SAMPLE_BYTES, |log| log.unseen(log.before_control(before)?)).await;
        }
        // Where nothing came, the batch does not fit into a sample.
        let largest = logs.iter().map(|log| log.batch_bytes_max).max().unwrap_or(0);
        self.bytes_left = LARGE_SAMPLES_BYTES;
        for bytes_max in LARGER_SAMPLES.into_iter().filter(|bytes| *bytes < largest).chain([largest]) {
            let too_large: Vec<Vec<i64>> = logs.iter_mut().map(|log| std::mem::take(&mut log.too_large)).collect();
            let rounds = too_large.iter().map(Vec::len).max().unwrap_or(0);
            for round in 0..rounds {
                let place = |index: usize, log: &Log| log.unseen(*too_large.get(index)?.get(round)?);
                self.read_places(logs, bytes_max, place).await;
            }
        }
    }

    /// Looks at one place of each log where there is something to see.
    async fn read_round(&mut self, logs: &mut [Log], bytes_max: usize, place: impl Fn(&Log) -> Option<i64>) {
        self.read_places(logs, bytes_max, |_, log| place(log)).await;
    }

    /// The same with the log's index. Never more is asked for at once than the budget still has, whatever comes.
    async fn read_places(&mut self, logs: &mut [Log], bytes_max: usize, place: impl Fn(usize, &Log) -> Option<i64>) {
        let chosen: Vec<(usize, i64)> = logs.iter().enumerate().filter(|(_, log)| !log.unreachable).filter_map(|(index, log)| Some((index, place(index, log)?))).collect();
        let mut rest = &chosen[..];
        while !rest.is_empty() {
            let affordable = (self.bytes_left / bytes_max.max(1)).min(SAMPLES_AT_ONCE_MAX);
            if affordable == 0 || self.began.elapsed() >= SAMPLING_TIME_MAX {
                self.cut_short = true;
                return;
            }
            let (now, later) = rest.split_at(affordable.min(rest.len()));
            rest = later;
            let places: BTreeMap<TopicPartition, i64> = now.iter().map(|(index, offset)| (logs[*index].partition.clone(), *offset)).collect();
            let (mut done, mut failed) = self.source.fetch_samples(&places, bytes_max).await;
            self.places += now.len() as u64;
            for (index, offset) in now {
                let log = &mut logs[*index];
                match (done.remove(&log.partition), failed.remove(&log.partition)) {
                    (Some(data), _) => {
                        let records = data.records.unwrap_or_default();
                        self.bytes += records.len() as u64;
                        self.bytes_left = self.bytes_left.saturating_sub(records.len());
                        log.absorb(*offset, records);
                    }
                    (None, Some(error)) => log.failed(&error),
                    (None, None) => {}
                }
            }
            self.shown.counted("sampling the source's logs", self.places, "places");
        }
    }

    fn came_to(&self, logs: &[Log]) -> Sampling {
        Sampling {
            partitions: logs.iter().filter(|log| log.probe.batches > 0).count() as u64,
            partitions_with_records: logs.len() as u64,
            places: self.places,
            bytes: self.bytes,
            elapsed_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes_max: (SAMPLES_BYTES_MAX + LARGE_SAMPLES_BYTES) as u64,
            elapsed_ms_max: SAMPLING_TIME_MAX.as_millis() as u64,
            cut_short: self.cut_short,
        }
    }
}

impl Log {
    /// The place of a round: the start, the last record, then evenly between the first batch and the end.
    fn place(&self, round: i64) -> Option<i64> {
        match round {
            0 => Some(self.start),
            1 => Some(self.end - 1),
            _ => {
                let step = i128::from(self.end - self.first) * i128::from(round - 1) / i128::from(SAMPLES_BETWEEN + 1);
                i64::try_from(step).ok().map(|step| self.first + step)
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

    /// A place could not be looked at. What a broker refuses there it may hand out at another.
    fn failed(&mut self, error: &Error) {
        self.unreachable |= !matches!(error.code(), Code::KafkaRefused | Code::KafkaProtocol);
        self.probe.error = Some(error.seen().to_owned());
    }

    /// Takes in the bytes that were fetched at `offset`.
    fn absorb(&mut self, offset: i64, records: Bytes) {
        if records.is_empty() {
            self.too_large.push(offset);
            return;
        }
        match batch::split(records) {
            Ok(batches) => {
                self.count(offset, &batches);
                if let Some(first) = batches.first().filter(|_| offset == self.start) {
                    self.first = first.base_offset.clamp(self.start, self.end - 1);
                }
                let probe = &mut self.probe;
                let mut expected = offset;
                for batch in &batches {
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
                let probe = &mut self.probe;
                probe.batches += 1;
                probe.magic_min = Some(probe.magic_min.map_or(magic, |m| m.min(magic)));
            }
            Err(BatchError::Crc { base_offset }) => self.probe.error = Some(format!("the checksum of the batch at {base_offset} does not hold")),
            Err(BatchError::Malformed { base_offset, what }) => self.probe.error = Some(format!("the batch at {base_offset} is malformed: {what}")),
        }
    }
}

impl Log {
    /// Counts what the batches that came for `offset` show of its log, each offset once: two places may lie so close together that one fetch reaches
    /// into the other's.
    fn count(&mut self, offset: i64, batches: &[Batch]) {
        let long = ((self.end - self.start) / LONG_HOLES_MAX).max(LONG_HOLE_MIN);
        let mut tally = Tally::at(batches.first().map_or(offset, |batch| batch.base_offset.min(offset)));
        for batch in batches {
            let from = tally.sample.range.end;
            let seen_at = self.seen.iter().map(|range| range.start).filter(|start| *start >= from).min().unwrap_or(i64::MAX);
            tally.hole(batch.base_offset.min(seen_at), long);
            match self.seen.iter().any(|range| range.contains(&batch.base_offset)) {
                true => tally.begin(batch.next_offset()),
                false => tally.batch(batch),
            }
        }
        tally.begin(offset);
        self.probe.samples.extend(tally.done);
        self.probe.samples.sort_by_key(|sample| sample.range.start);
    }
}

/// Counts along a log.
struct Tally {
    done: Vec<Sample>,
    /// The one under way.
    sample: Sample,
    /// Whether it ends with offsets that have no record.
    in_hole: bool,
    /// Whether it is a long hole, which stands by itself.
    long: bool,
}

impl Tally {
    fn at(offset: i64) -> Self {
        Self { done: Vec::new(), sample: Sample { range: offset..offset, ..Sample::default() }, in_hole: false, long: false }
    }

    /// Ends the sample under way; the next one begins at `offset`.
    fn begin(&mut self, offset: i64) {
        let next = Self::at(offset);
        let ended = std::mem::replace(&mut self.sample, next.sample);
        self.done.extend((!ended.range.is_empty()).then_some(ended));
        (self.in_hole, self.long) = (false, false);
    }

    /// Nothing lies before `end_offset`.
    fn hole(&mut self, end_offset: i64, long: i64) {
        let from = self.sample.range.end;
        if end_offset - from >= long {
            self.begin(from);
            self.long = true;
        }
        if end_offset > from {
            self.sample.range.end = end_offset;
            self.sample.counts.holes += (end_offset - from).unsigned_abs();
            self.in_hole = true;
        }
    }

    fn run_begins(&mut self) {
        self.sample.counts.runs += u64::from(self.in_hole);
        self.in_hole = false;
    }

    /// A batch lies where the sample ends.
    fn batch(&mut self, batch: &Batch) {
        if self.long {
            self.run_begins();
            self.begin(batch.base_offset);
        }
        let offsets = (batch.next_offset() - batch.base_offset).unsigned_abs();
        if batch.is_control() {
            self.run_begins();
            self.sample.counts.markers += offsets;
        } else if batch.has_holes() {
            self.sample.counts.holes += offsets.saturating_sub(u64::from(batch.record_count.unsigned_abs()));
            self.runs_within(batch);
        } else {
            self.run_begins();
        }
        self.sample.range.end = batch.next_offset();
    }

    /// Counts the runs of a batch with holes. One that cannot be decoded stops the copy with a code of its own; here it counts as one run.
    fn runs_within(&mut self, batch: &Batch) {
        let plain = batch.codec().and_then(|codec| record::decompress(codec, &batch.payload()).ok()).unwrap_or_default();
        let mut next_offset = batch.base_offset;
        for record in record::walk(&plain, batch.base_offset, batch.base_timestamp).map_while(|record| record.ok()) {
            self.in_hole |= record.offset > next_offset;
            self.run_begins();
            next_offset = record.offset + 1;
        }
        self.in_hole |= next_offset < batch.next_offset();
    }
}

fn look_at(probe: &mut PartitionProbe, batch: &Batch) {
    probe.batches += 1;
    probe.magic_min = Some(probe.magic_min.map_or(2, |m| m.min(2)));
    probe.batch_bytes_max = probe.batch_bytes_max.max(batch.bytes().len() as i64);
    if batch.record_count > 0 {
        probe.sampled_bytes += batch.bytes().len() as u64;
        probe.sampled_records += u64::from(batch.record_count.unsigned_abs());
    }
    if batch.is_control() {
        probe.control = true;
        return;
    }
    if batch.bytes().len() > LARGE_BATCH_BYTES {
        // One that cannot be decoded stops the copy with a code of its own.
        let largest = largest_record(batch).ok().flatten().map(|(offset, bytes)| (offset, bytes as i64));
        let largest = largest.filter(|(_, bytes)| probe.record_bytes_max.is_none_or(|(_, most)| *bytes > most));
        probe.record_bytes_max = largest.or(probe.record_bytes_max);
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
    use crate::domain::batch::BatchSpec;
    use crate::domain::record::Codec;

    fn log(start: i64, end: i64) -> Log {
        Log {
            partition: TopicPartition::new("t", 0),
            start,
            end,
            first: start,
            batch_bytes_max: SAMPLE_BYTES,
            seen: Vec::new(),
            too_large: Vec::new(),
            control_at: None,
            unreachable: false,
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
    fn each_topics_largest_log_comes_before_all_others() {
        let mut topics = crate::domain::planning::fixture::plan().source.topics;
        for topic in &mut topics {
            let count = topic.partitions.len() as i64;
            topic.partitions.iter_mut().for_each(|p| (p.log_start, p.log_end, p.size_bytes) = (Some(0), Some(10), Some(1_000 + i64::from(p.partition) % count)));
        }
        topics[0].partitions[0].log_end = Some(0);
        let refs: Vec<&TopicSnapshot> = topics.iter().collect();
        let (logs, first_of_topics) = logs(&refs);
        let filled = topics.iter().filter(|t| t.partitions.iter().any(|p| p.log_end > Some(0))).count();
        assert_eq!((first_of_topics, logs.len()), (filled, topics.iter().map(|t| t.partitions.len()).sum::<usize>() - 1));
        let last_of = |name: &str| topics.iter().find(|t| t.name == name).unwrap().partitions.iter().map(|p| p.partition).max().unwrap();
        let mut names: Vec<&str> = logs[..first_of_topics].iter().map(|log| &*log.partition.topic).collect();
        assert!(logs[..first_of_topics].iter().all(|log| log.partition.partition == last_of(&log.partition.topic)), "the last partition was made the largest");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), filled);
    }

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

    /// The samples: range, markers, offsets without a record, runs.
    fn samples(log: &Log) -> Vec<(Range<i64>, u64, u64, u64)> {
        log.probe.samples.iter().map(|s| (s.range.clone(), s.counts.markers, s.counts.holes, s.counts.runs)).collect()
    }

    #[test]
    fn offsets_are_counted_once_and_markers_among_them() {
        let mut log = log(0, 100);
        log.absorb(15, [batch(10, 10, 10, TRANSACTIONAL), batch(20, 1, 1, CONTROL | TRANSACTIONAL)].concat().into());
        assert_eq!(samples(&log), [(10..21, 1, 0, 0)]);
        // The next place's fetch begins before what was seen and reaches into it.
        log.absorb(5, [batch(5, 5, 5, 0), batch(10, 10, 10, TRANSACTIONAL), batch(20, 1, 1, CONTROL | TRANSACTIONAL), batch(21, 4, 4, 0)].concat().into());
        assert_eq!(samples(&log), [(5..10, 0, 0, 0), (10..21, 1, 0, 0), (21..25, 0, 0, 0)]);
    }

    /// A batch over ten offsets, of which compaction has left these.
    fn compacted(base_offset: i64, kept: &[i32], codec: Codec) -> Vec<u8> {
        let mut plain = Vec::new();
        kept.iter().for_each(|delta| record::encode(&mut plain, 0, *delta, Some(b"key"), Some(b"value"), &[]));
        let spec = BatchSpec { base_offset, leader_epoch: 0, codec, base_timestamp: 1_000, max_timestamp: 1_000, record_count: kept.len() as i32 };
        Batch::encode(&spec, &record::compress(codec, &plain).unwrap()).covering(10).bytes().to_vec()
    }

    #[test]
    fn runs_and_offsets_without_a_record_are_counted_within_and_between_batches() {
        for codec in [Codec::None, Codec::Lz4] {
            let compacted = |base, kept: &[i32]| compacted(base, kept, codec);
            let mut log = log(0, 50_000);
            // 0-1, 5 and 9 go on in 10-11; 15 to 19 are missing at its end and 20 to 29 between two batches; an emptied batch follows.
            let batches = [compacted(0, &[0, 1, 5, 9]), compacted(10, &[0, 1, 4]), compacted(30, &[0, 9]), compacted(40, &[]), batch(50, 1, 1, CONTROL | TRANSACTIONAL), batch(51, 9, 9, 0)];
            log.absorb(0, batches.concat().into());
            let holes = 6 + 7 + 10 + 8 + 10;
            assert_eq!(samples(&log), [(0..60, 1, holes, 6)], "behind 2-4, 6-8, 12-13, 15-29, 31-38 and 40-49");
            assert!(log.probe.hole);
        }
    }

    #[test]
    fn a_long_hole_stands_by_itself_and_the_places_lie_behind_it() {
        let billion = 1_000_000_000;
        let mut old = log(0, billion + 7_000);
        old.absorb(0, [batch(billion, 10, 10, 0), batch(billion + 10, 2, 1, 0)].concat().into());
        assert_eq!(samples(&old), [(0..billion, 0, billion as u64, 1), (billion..billion + 12, 0, 1, 0)]);
        assert_eq!(places(&old), [0, billion + 6_999, billion + 1_000, billion + 2_000, billion + 3_000, billion + 4_000, billion + 5_000, billion + 6_000]);
        // Between two batches, too; and a place within one sees the rest of it.
        let mut between = log(0, 2_000_000);
        between.absorb(0, [batch(0, 10, 10, 0), batch(1_000_000, 10, 10, 0)].concat().into());
        assert_eq!(samples(&between), [(0..10, 0, 0, 0), (10..1_000_000, 0, 999_990, 1), (1_000_000..1_000_010, 0, 0, 0)]);
        let mut within = log(0, 2_000_000);
        within.absorb(500_000, [batch(1_000_000, 10, 10, 0)].concat().into());
        within.absorb(250_000, [batch(1_000_000, 10, 10, 0), batch(1_000_010, 5, 5, 0)].concat().into());
        assert_eq!(samples(&within), [(250_000..500_000, 0, 250_000, 0), (500_000..1_000_000, 0, 500_000, 1), (1_000_000..1_000_010, 0, 0, 0), (1_000_010..1_000_015, 0, 0, 0)]);
    }

    #[test]
    fn a_log_whose_leader_does_not_answer_is_not_asked_again() {
        let mut silent = log(0, 10);
        silent.failed(&Error::new(Code::KafkaRefused, "OFFSET_OUT_OF_RANGE"));
        assert!(!silent.unreachable, "the log may begin later by now");
        silent.failed(&Error::new(Code::SourceUnavailable, "no answer"));
        assert!(silent.unreachable && silent.probe.error.is_some());
    }

    #[test]
    fn samples_tell_how_large_records_are() {
        let (data, emptied) = (batch(0, 10, 10, 0), compacted(10, &[], Codec::None));
        let mut log = log(0, 30);
        log.absorb(0, [data.clone(), emptied].concat().into());
        assert_eq!((log.probe.sampled_bytes, log.probe.sampled_records), (data.len() as u64, 10));
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
