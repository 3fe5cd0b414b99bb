//! Looks at the target's log ends until they stand still.
//!
//! One reading is not enough: a broker that stalled may still append what it had received. Several readings have to
//! agree, and the log end has to equal the high watermark.

use super::limits::PROBE_READINGS;
use crate::domain::partition::TopicPartition;
use crate::kafka::target::Target;
use std::collections::BTreeMap;
use std::time::Duration;

/// The partitions' log ends, each after enough equal readings; waits as long as it takes and tells why.
pub async fn settled_log_ends(
    target: &Target,
    partitions: &[TopicPartition],
    pause: Duration,
    tell: &(dyn Fn(Option<String>) + Sync),
) -> BTreeMap<TopicPartition, i64> {
    let mut settled = BTreeMap::new();
    let mut readings: BTreeMap<TopicPartition, (i64, usize)> = BTreeMap::new();
    let mut left = partitions.to_vec();
    while !left.is_empty() {
        let found = match (target.log_ends(&left).await, target.log_spans(&left).await) {
            (Ok(ends), Ok(spans)) => {
                tell(None);
                ends.into_iter().filter_map(|(name, end)| Some((spans.get(&name)?.high_watermark, (name, end)))).collect()
            }
            (Err(error), _) | (_, Err(error)) => {
                tell(Some(error.to_string()));
                let _ = target.refresh().await;
                Vec::new()
            }
        };
        for (high_watermark, (name, end)) in found {
            if end != high_watermark {
                readings.remove(&name);
                continue;
            }
            let entry = readings.entry(name.clone()).or_insert((end, 0));
            *entry = if entry.0 == end { (end, entry.1 + 1) } else { (end, 1) };
            if entry.1 >= PROBE_READINGS {
                settled.insert(name, end);
            }
        }
        left.retain(|name| !settled.contains_key(name));
        if !left.is_empty() {
            tokio::time::sleep(pause).await;
        }
    }
    settled
}
