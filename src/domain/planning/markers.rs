//! How many markers of transactions the logs hold, estimated from samples, and what they cost.

use super::report::{duration, grouped};
use super::{PartitionProbe, TopicProbe};
use crate::domain::limits;
use crate::domain::plan::{MarkerEstimate, PartitionPlan, TopicPlan};
use crate::domain::topology::ClusterSnapshot;

/// Sets each partition's estimate, and says how many offsets stand behind them. What was sampled of a partition speaks for it;
/// where nothing was, what was sampled of the topic does.
pub(super) fn estimate_partitions(probe: Option<&TopicProbe>, partitions: &mut [PartitionPlan]) -> u64 {
    let Some(probe) = probe else { return 0 };
    let sum = |count: fn(&PartitionProbe) -> u64| probe.partitions.iter().map(count).sum::<u64>();
    let whole = (sum(|p| p.control_offsets), sum(|p| p.offsets));
    for plan in partitions {
        let own = probe.partitions.iter().find(|p| p.partition == plan.partition).map(|p| (p.control_offsets, p.offsets));
        let (control, offsets) = own.filter(|(_, offsets)| *offsets > 0).unwrap_or(whole);
        plan.markers_estimated = scaled(control, offsets, (plan.log_end - plan.log_start).max(0));
    }
    whole.1
}

/// The share of control records, over so many offsets, rounded up.
fn scaled(control: u64, offsets: u64, span: i64) -> i64 {
    if offsets == 0 {
        return 0;
    }
    // A sample may reach past the end that the snapshot saw.
    let markers = (u128::from(control) * u128::from(span.unsigned_abs())).div_ceil(u128::from(offsets));
    i64::try_from(markers).unwrap_or(i64::MAX).min(span)
}

/// What the markers of all topics cost, either way.
pub(super) fn estimate(target: Option<&ClusterSnapshot>, topics: &[TopicPlan]) -> MarkerEstimate {
    let partitions = || topics.iter().flat_map(|t| &t.partitions).map(|p| p.markers_estimated.unsigned_abs());
    MarkerEstimate {
        markers_estimated: i64::try_from(partitions().sum::<u64>()).unwrap_or(i64::MAX),
        sampled_offsets: topics.iter().map(|t| t.sampled_offsets).sum(),
        seconds_by_transactions: seconds_by_transactions(partitions()),
        seconds_by_write_txn_markers: partitions().sum::<u64>().div_ceil(limits::MARKERS_PER_SECOND_BY_REQUESTS),
        // Without an authorizer everybody may do everything; with one, only a trial would tell.
        write_txn_markers: target.filter(|t| t.acls.is_none()).map(|_| true),
    }
}

/// The longest of one partition's markers one after another, and of all markers together.
fn seconds_by_transactions(markers: impl Iterator<Item = u64>) -> u64 {
    let (longest, total) = markers.fold((0, 0u64), |(longest, total), n| (n.max(longest), total.saturating_add(n)));
    let alone = longest.div_ceil(limits::MARKERS_PER_SECOND_BY_TRANSACTIONS);
    alone.max(total.div_ceil(limits::MARKERS_PER_SECOND_BY_TRANSACTIONS_MAX))
}

/// What the seed's time counts: the slower way, unless the faster one is known to be allowed.
pub(super) fn seconds(markers: &MarkerEstimate) -> u64 {
    match markers.write_txn_markers {
        Some(true) => markers.seconds_by_write_txn_markers,
        Some(false) | None => markers.seconds_by_transactions,
    }
}

/// How the seed's time counts them.
pub(super) fn basis(markers: &MarkerEstimate) -> String {
    let way = match markers.write_txn_markers {
        Some(true) => "by WriteTxnMarkers",
        Some(false) | None => "by empty transactions, much less if the target lets kferry use WriteTxnMarkers",
    };
    format!("{} for {} markers {way}", duration(seconds(markers)), grouped(markers.markers_estimated))
}

/// How many there are, and how long they take either way.
pub(crate) fn words(markers: &MarkerEstimate) -> String {
    let sampled = grouped(i64::try_from(markers.sampled_offsets).unwrap_or(i64::MAX));
    if markers.markers_estimated == 0 {
        return format!("no markers of transactions in a sample of {sampled} offsets");
    }
    format!(
        "about {} markers, estimated from a sample of {sampled} offsets: {} by empty transactions, {} by WriteTxnMarkers",
        grouped(markers.markers_estimated),
        duration(markers.seconds_by_transactions),
        duration(markers.seconds_by_write_txn_markers)
    )
}

/// The same for one topic by itself.
pub(super) fn words_of(topic: &TopicPlan) -> String {
    words(&estimate(None, std::slice::from_ref(topic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: i32, log_start: i64, log_end: i64) -> PartitionPlan {
        PartitionPlan { partition, log_start, log_end, prefix_fillers: 0, markers_estimated: 0, size_bytes: None }
    }

    fn probe(samples: &[(u64, u64)]) -> TopicProbe {
        let partitions = samples.iter().enumerate().map(|(i, (control_offsets, offsets))| PartitionProbe {
            partition: i as i32,
            offsets: *offsets,
            control_offsets: *control_offsets,
            ..PartitionProbe::default()
        });
        TopicProbe { topic: "t".into(), partitions: partitions.collect() }
    }

    #[test]
    fn a_partitions_own_sample_speaks_for_it_and_else_the_topics() {
        let mut plans = [partition(0, 100, 1_100), partition(1, 0, 1_000), partition(2, 0, 1_000), partition(3, 5, 5)];
        let sampled = estimate_partitions(Some(&probe(&[(10, 100), (0, 100), (0, 0), (0, 0)])), &mut plans);
        assert_eq!(sampled, 200);
        assert_eq!(plans.map(|p| p.markers_estimated), [100, 0, 50, 0]);
        let mut unsampled = [partition(0, 0, 10)];
        assert_eq!((estimate_partitions(None, &mut unsampled), unsampled[0].markers_estimated), (0, 0));
    }

    #[test]
    fn estimates_round_up_and_never_exceed_the_log() {
        assert_eq!([scaled(1, 3, 10), scaled(3, 3, 10), scaled(4, 3, 10), scaled(0, 9, 10), scaled(1, 2, i64::MAX)], [4, 10, 10, 0, i64::MAX / 2 + 1]);
    }

    #[test]
    fn one_long_partition_or_all_together_set_the_time() {
        assert_eq!(seconds_by_transactions([10_000, 0].into_iter()), 200);
        assert_eq!(seconds_by_transactions([10_000; 100].into_iter()), 770, "a million together take longer than ten thousand alone");
        assert_eq!(seconds_by_transactions(std::iter::empty()), 0);
    }
}
