//! How fast producers write to the source, by two looks at the log ends.

use super::limits::{PATIENCE, UNSAMPLED_RECORD_BYTES_MAX, WRITTEN_WINDOW_MIN};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Written;
use crate::domain::planning::TopicProbe;
use crate::domain::topology::TopicSnapshot;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::Reader;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Where the logs ended, and when.
pub(super) struct LogEnds {
    at: Instant,
    pub ends: BTreeMap<TopicPartition, i64>,
}

impl LogEnds {
    pub fn since(&self, first: &LogEnds) -> Duration {
        self.at.saturating_duration_since(first.at)
    }
}

/// Where the logs end now. The snapshot's ends are older than what has been read since.
pub(super) async fn look(source: &Reader, partitions: &[TopicPartition]) -> LogEnds {
    let at = Instant::now();
    if partitions.is_empty() {
        return LogEnds { at, ends: BTreeMap::new() };
    }
    let (ends, _) = source.with_patience(PATIENCE).list_offsets_each(partitions, OffsetAt::HighWatermark).await;
    LogEnds { at, ends: ends.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect() }
}

/// The second look, long enough after the first to tell how fast producers write.
pub(super) async fn look_again(source: &Reader, partitions: &[TopicPartition], first: &LogEnds) -> LogEnds {
    if !first.ends.is_empty() {
        tokio::time::sleep_until((first.at + WRITTEN_WINDOW_MIN).into()).await;
    }
    look(source, partitions).await
}

/// What has been added between two looks; None where the source did not answer one of them.
pub(super) fn observed(topics: &[&TopicSnapshot], first: &LogEnds, last: &LogEnds, probes: &[TopicProbe]) -> Option<Written> {
    if first.ends.is_empty() || last.ends.is_empty() {
        return None;
    }
    Some(between(topics, &first.ends, &last.ends, last.since(first), probes))
}

fn between(topics: &[&TopicSnapshot], first: &BTreeMap<TopicPartition, i64>, now: &BTreeMap<TopicPartition, i64>, window: Duration, probes: &[TopicProbe]) -> Written {
    let mut written = Written { records: 0, bytes: 0, unsized_records: 0, window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX) };
    for topic in topics {
        let added = topic.partitions.iter().filter_map(|p| {
            let partition = TopicPartition::new(topic.name.as_str(), p.partition);
            Some((now.get(&partition)? - first.get(&partition)?).max(0).unsigned_abs())
        });
        let added = added.fold(0, u64::saturating_add);
        written.records = written.records.saturating_add(added);
        match record_size(topic, probes.iter().find(|p| p.topic == topic.name)) {
            Some((bytes, records)) => {
                let added_bytes = u128::from(added) * u128::from(bytes) / u128::from(records.max(1));
                written.bytes = written.bytes.saturating_add(u64::try_from(added_bytes).unwrap_or(u64::MAX));
            }
            None => written.unsized_records = written.unsized_records.saturating_add(added),
        }
    }
    written
}

/// Bytes, and how many records they are: of the samples where there are any, otherwise of the whole logs where that can be told from them.
fn record_size(topic: &TopicSnapshot, probe: Option<&TopicProbe>) -> Option<(u64, u64)> {
    let sampled = probe.into_iter().flat_map(|p| &p.partitions).fold((0, 0), |(bytes, records), p| (bytes + p.sampled_bytes, records + p.sampled_records));
    if sampled.1 > 0 {
        return Some(sampled);
    }
    let (mut offsets, mut bytes) = (0i64, 0i64);
    for p in &topic.partitions {
        if let (Some(start), Some(end), Some(size_bytes)) = (p.log_start, p.log_end, p.size_bytes) {
            offsets = offsets.saturating_add((end - start).max(0));
            bytes = bytes.saturating_add(size_bytes.max(0));
        }
    }
    (offsets > 0 && bytes > 0 && bytes / offsets <= UNSAMPLED_RECORD_BYTES_MAX).then_some((bytes.unsigned_abs(), offsets.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::{PartitionProbe, fixture};

    fn ends(of: &[(i32, i64)]) -> BTreeMap<TopicPartition, i64> {
        of.iter().map(|(partition, end)| (TopicPartition::new("orders", *partition), *end)).collect()
    }

    #[test]
    fn what_was_added_is_as_large_as_the_samples_or_as_what_was_there() {
        let plan = fixture::plan();
        let topics: Vec<&TopicSnapshot> = plan.source.topics.iter().filter(|t| t.name == "orders").collect();
        let [orders] = topics[..] else { panic!("{topics:?}") };
        let held: i64 = orders.partitions.iter().map(|p| p.log_end.unwrap() - p.log_start.unwrap()).sum();
        let bytes: i64 = orders.partitions.iter().filter_map(|p| p.size_bytes).sum();
        // The ends of the first look count, not the snapshot's; what has no end in one of them does not.
        let (first, now) = (ends(&[(0, 5_000), (1, 70)]), ends(&[(0, 6_000), (1, 65), (2, 9)]));
        let written = between(&topics, &first, &now, Duration::from_secs(2), &[]);
        assert_eq!(written, Written { records: 1_000, bytes: (1_000 * bytes / held) as u64, unsized_records: 0, window_ms: 2_000 });
        assert_eq!((written.records_per_second(), written.bytes_per_second()), (500, written.bytes / 2));
        let of = |sampled_bytes, sampled_records| PartitionProbe { sampled_bytes, sampled_records, ..PartitionProbe::default() };
        let probe = TopicProbe { topic: "orders".to_owned(), partitions: vec![of(5_000, 10), of(0, 0), of(1_000, 5)] };
        assert_eq!(between(&topics, &first, &now, Duration::from_secs(2), &[probe]).bytes, 400_000);
    }

    #[test]
    fn what_a_trimmed_log_still_has_in_its_files_is_not_taken_for_its_records() {
        let mut orders = fixture::topic("orders", (3, 9), 3, &[(999_950, 1_000_000)], &[]);
        orders.partitions[0].size_bytes = Some(100_000_000);
        let (first, now) = (ends(&[(0, 1_000_000)]), ends(&[(0, 1_004_000)]));
        let of = |topic: &TopicSnapshot| between(&[topic], &first, &now, Duration::from_secs(1), &[]);
        assert_eq!(of(&orders), Written { records: 4_000, bytes: 0, unsized_records: 4_000, window_ms: 1_000 });
        orders.partitions[0].log_start = Some(1_000_000);
        assert_eq!(of(&orders).unsized_records, 4_000, "nothing is left of it");
    }
}
