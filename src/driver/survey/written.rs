//! How fast producers write to the source, by two looks at the log ends.

use super::limits::{PATIENCE, WRITTEN_WINDOW_MIN};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Written;
use crate::domain::topology::TopicSnapshot;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::Reader;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What has been added since the snapshot was taken, at `since`; None where that is too short ago to tell, or the source does not answer.
pub(super) async fn observe(source: &Reader, topics: &[&TopicSnapshot], since: Instant) -> Option<Written> {
    let partitions = |t: &&TopicSnapshot| t.partitions.iter().filter(|p| p.leader.is_some() && p.log_end.is_some()).map(|p| TopicPartition::new(t.name.as_str(), p.partition)).collect::<Vec<_>>();
    let partitions: Vec<TopicPartition> = topics.iter().flat_map(partitions).collect();
    if partitions.is_empty() {
        return None;
    }
    let (ends, _) = source.with_patience(PATIENCE).list_offsets_each(&partitions, OffsetAt::HighWatermark).await;
    let ends = ends.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect();
    between(topics, &ends, since.elapsed())
}

fn between(topics: &[&TopicSnapshot], ends: &BTreeMap<TopicPartition, i64>, window: Duration) -> Option<Written> {
    if window < WRITTEN_WINDOW_MIN {
        return None;
    }
    let mut written = Written { records: 0, bytes: 0, window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX) };
    for topic in topics {
        let (mut added, mut offsets, mut bytes) = (0i64, 0i64, 0i64);
        for p in &topic.partitions {
            let (Some(start), Some(end)) = (p.log_start, p.log_end) else { continue };
            offsets += (end - start).max(0);
            bytes += p.size_bytes.unwrap_or(0);
            let now = ends.get(&TopicPartition::new(topic.name.as_str(), p.partition));
            added += now.map_or(0, |now| (now - end).max(0));
        }
        // As large as those that the topic holds.
        let added_bytes = i128::from(added) * i128::from(bytes) / i128::from(offsets.max(1));
        written.records = written.records.saturating_add(added.unsigned_abs());
        written.bytes = written.bytes.saturating_add(u64::try_from(added_bytes).unwrap_or(u64::MAX));
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    #[test]
    fn what_was_added_is_as_large_as_what_was_there() {
        let plan = fixture::plan();
        let topics: Vec<&TopicSnapshot> = plan.source.topics.iter().filter(|t| t.name == "orders").collect();
        let [orders] = topics[..] else { panic!("{topics:?}") };
        let end = |p: usize| orders.partitions[p].log_end.unwrap();
        let held: i64 = orders.partitions.iter().map(|p| p.log_end.unwrap() - p.log_start.unwrap()).sum();
        let bytes: i64 = orders.partitions.iter().filter_map(|p| p.size_bytes).sum();
        let ends: BTreeMap<TopicPartition, i64> = [(TopicPartition::new("orders", 0), end(0) + 1_000), (TopicPartition::new("orders", 1), end(1) - 5)].into();
        let written = between(&topics, &ends, Duration::from_secs(2)).unwrap();
        assert_eq!(written, Written { records: 1_000, bytes: (1_000 * bytes / held) as u64, window_ms: 2_000 });
        assert_eq!((written.records_per_second(), written.bytes_per_second()), (500, written.bytes / 2));
        assert_eq!(between(&topics, &ends, Duration::from_millis(100)), None);
    }
}
