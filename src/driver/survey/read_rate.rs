//! How fast the source hands out its logs, observed for at most about a second.

use super::limits::{PATIENCE, RATE_BYTES_MAX, RATE_BYTES_MIN, RATE_FETCH_BYTES, RATE_PARTITIONS, RATE_ROUNDS, RATE_TIME};
use crate::domain::partition::TopicPartition;
use crate::domain::topology::TopicSnapshot;
use crate::kafka::source::Reader;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Bytes per second, all brokers together; None where the logs hold too little to tell, or do not answer.
pub(super) async fn observe(source: &Reader, topics: &[&TopicSnapshot]) -> Option<u64> {
    let logs = largest(topics);
    if logs.iter().map(|log| log.size_bytes).sum::<i64>() < RATE_BYTES_MIN as i64 {
        return None;
    }
    let hasty = source.with_patience(PATIENCE);
    let (mut bytes, mut elapsed) = (0, Duration::ZERO);
    for round in 0..RATE_ROUNDS {
        let places: BTreeMap<TopicPartition, i64> = logs.iter().map(|log| (log.partition.clone(), log.start + (log.end - log.start) / RATE_ROUNDS * round)).collect();
        let began = Instant::now();
        let (done, _) = hasty.fetch_samples(&places, RATE_FETCH_BYTES).await;
        elapsed += began.elapsed();
        bytes += done.values().filter_map(|data| data.records.as_ref()).map(|records| records.len() as u64).sum::<u64>();
        if elapsed >= RATE_TIME || bytes >= RATE_BYTES_MAX {
            break;
        }
    }
    per_second(bytes, elapsed)
}

fn per_second(bytes: u64, elapsed: Duration) -> Option<u64> {
    let micros = elapsed.as_micros().max(1);
    (bytes >= RATE_BYTES_MIN).then(|| u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX))
}

struct Log {
    partition: TopicPartition,
    start: i64,
    end: i64,
    size_bytes: i64,
}

fn largest(topics: &[&TopicSnapshot]) -> Vec<Log> {
    let logs = topics.iter().flat_map(|topic| {
        topic.partitions.iter().filter_map(|p| {
            let (start, end, size_bytes) = (p.log_start?, p.log_end?, p.size_bytes?);
            let partition = TopicPartition::new(topic.name.as_str(), p.partition);
            (p.leader.is_some() && end > start).then_some(Log { partition, start, end, size_bytes })
        })
    });
    let mut logs: Vec<Log> = logs.collect();
    logs.sort_by_key(|log| std::cmp::Reverse(log.size_bytes));
    logs.truncate(RATE_PARTITIONS);
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_gives_no_rate() {
        assert_eq!(per_second(RATE_BYTES_MIN - 1, Duration::from_millis(10)), None);
        assert_eq!(per_second(20_000_000, Duration::from_millis(500)), Some(40_000_000));
    }
}
