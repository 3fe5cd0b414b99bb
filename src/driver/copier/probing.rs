//! Looks at the target's log ends until they stand still.
//!
//! One reading is not enough: a broker that stalled may still append what it had received. Several readings have to
//! agree, and the log end has to equal the high watermark.

use super::limits::{PROBE_PATIENCE, PROBE_READINGS};
use crate::domain::partition::TopicPartition;
use crate::kafka::offsets::OffsetAt;
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
    let hasty = target.with_patience(PROBE_PATIENCE);
    while !left.is_empty() {
        // The log end first: a high watermark that is read later and equals it was reached by every replica in sync.
        let (ends, mut failed) = hasty.list_offsets_each(&left, OffsetAt::LogEnd).await;
        let (high_watermarks, failed_too) = hasty.list_offsets_each(&left, OffsetAt::HighWatermark).await;
        failed.extend(failed_too);
        tell(failed.into_values().next().map(|error| error.to_string()));
        for (name, end) in ends {
            let end = end.offset;
            if high_watermarks.get(&name).map(|listed| listed.offset) != Some(end) {
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
