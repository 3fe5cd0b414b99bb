//! How many control records the logs need, estimated from samples, and what they cost: markers of transactions, and those that take the offsets
//! without a record.

use super::report::{bytes, duration, grouped, names};
use super::samples::{self, Sample};
use super::TopicProbe;
use crate::domain::limits;
use crate::domain::plan::{MarkerEstimate, OffsetMode, PartitionPlan, TopicPlan};

/// Sets each partition's estimates, and says how many offsets stand behind them. What was sampled of a partition speaks for it;
/// where nothing was, what was sampled of the topic does.
pub(super) fn estimate_partitions(probe: Option<&TopicProbe>, partitions: &mut [PartitionPlan]) -> u64 {
    let Some(probe) = probe else { return 0 };
    let others = samples::pooled(probe.partitions.iter().flat_map(|p| &p.samples));
    let whole_number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for plan in partitions {
        let own: &[Sample] = probe.partitions.iter().find(|p| p.partition == plan.partition).map_or(&[], |p| &p.samples);
        let counts = samples::whole(own, plan.log_start..plan.log_end, others);
        let offsets = (plan.log_end - plan.log_start).max(0);
        plan.markers_estimated = whole_number(counts.markers).min(offsets);
        plan.holes_estimated = whole_number(counts.holes).min(offsets - plan.markers_estimated);
        plan.runs_estimated = whole_number(counts.runs).min(plan.holes_estimated);
    }
    others.1
}

/// What one partition needs.
#[derive(Clone, Copy, Debug, Default)]
struct Need {
    /// Control records.
    records: u64,
    /// Runs of records that have control records before them.
    runs: u64,
}

impl Need {
    fn of(plan: &PartitionPlan) -> Self {
        let (markers, holes) = (plan.markers_estimated.unsigned_abs(), plan.holes_estimated.unsigned_abs());
        Self { records: markers.saturating_add(holes), runs: markers.saturating_add(plan.runs_estimated.unsigned_abs()) }
    }
}

/// What the control records of all these topics cost, either way.
pub(super) fn estimate(topics: &[TopicPlan], write_txn_markers: Option<bool>) -> MarkerEstimate {
    let topics: Vec<&TopicPlan> = topics.iter().filter(|t| t.mode == OffsetMode::Identical).collect();
    let sum = |count: fn(&PartitionPlan) -> i64| topics.iter().flat_map(|t| &t.partitions).map(count).fold(0, i64::saturating_add);
    let needs: Vec<Need> = topics.iter().flat_map(|t| &t.partitions).map(Need::of).collect();
    MarkerEstimate {
        markers_estimated: sum(|p| p.markers_estimated),
        holes_estimated: sum(|p| p.holes_estimated),
        runs_estimated: sum(|p| p.runs_estimated),
        sampled_offsets: topics.iter().map(|t| t.sampled_offsets).fold(0, u64::saturating_add),
        seconds_by_transactions: seconds_by_transactions(&needs),
        seconds_by_write_txn_markers: seconds_by_requests(&needs),
        write_txn_markers,
    }
}

/// The control records in all.
pub(super) fn records(of: &MarkerEstimate) -> i64 {
    of.markers_estimated.saturating_add(of.holes_estimated)
}

fn longest_and_total(times: impl Iterator<Item = u64>) -> (u64, u64) {
    times.fold((0, 0), |(longest, total): (u64, u64), n| (n.max(longest), total.saturating_add(n)))
}

/// The longest of one partition's control records one after another, and of all together.
fn seconds_by_transactions(needs: &[Need]) -> u64 {
    let (longest, total) = longest_and_total(needs.iter().map(|n| n.records));
    let alone = longest.div_ceil(limits::CONTROLS_PER_SECOND_BY_TRANSACTIONS);
    alone.max(total.div_ceil(limits::CONTROLS_PER_SECOND_BY_TRANSACTIONS_MAX))
}

/// Likewise: each run of records is an append and a request, and each control record takes its time.
fn seconds_by_requests(needs: &[Need]) -> u64 {
    let ms = |need: &Need, runs_per_second: u64| {
        let runs = need.runs.saturating_mul(1000) / runs_per_second;
        runs.saturating_add(need.records.saturating_mul(1000).div_ceil(limits::CONTROLS_PER_SECOND_BY_REQUESTS))
    };
    let (longest, _) = longest_and_total(needs.iter().map(|need| ms(need, limits::RUNS_PER_SECOND_BY_REQUESTS)));
    let (_, total) = longest_and_total(needs.iter().map(|need| ms(need, limits::RUNS_PER_SECOND_BY_REQUESTS_MAX)));
    longest.max(total).div_ceil(1000)
}

/// What the seed's time counts: the slower way, unless the faster one is known to be allowed.
pub(super) fn seconds(of: &MarkerEstimate) -> u64 {
    match of.write_txn_markers {
        Some(true) => of.seconds_by_write_txn_markers,
        Some(false) | None => of.seconds_by_transactions,
    }
}

/// How the seed's time counts them.
pub(super) fn basis(of: &MarkerEstimate) -> String {
    let way = match of.write_txn_markers {
        Some(true) => "by WriteTxnMarkers",
        Some(false) => "by empty transactions, since the target does not let kferry use WriteTxnMarkers",
        None => "by empty transactions, much less if the target lets kferry use WriteTxnMarkers",
    };
    format!("{} for {} control records {way}", duration(seconds(of)), grouped(records(of)))
}

/// How many there are, and how long they take either way.
pub(crate) fn words(of: &MarkerEstimate) -> String {
    let sampled = grouped(i64::try_from(of.sampled_offsets).unwrap_or(i64::MAX));
    if records(of) == 0 {
        return match of.sampled_offsets {
            0 => "not estimated, since no log holds anything that could be sampled".to_owned(),
            _ => format!("no markers of transactions and no missing offsets in a sample of {sampled} offsets"),
        };
    }
    let mut what = Vec::new();
    if of.markers_estimated > 0 {
        what.push(format!("{} markers", grouped(of.markers_estimated)));
    }
    if of.holes_estimated > 0 {
        let runs = if of.runs_estimated == 1 { "run" } else { "runs" };
        what.push(format!("{} offsets without a record, before {} {runs} of records", grouped(of.holes_estimated), grouped(of.runs_estimated)));
    }
    format!(
        "about {}, estimated from a sample of {sampled} offsets: {} by empty transactions, {} by WriteTxnMarkers",
        what.join(" and "),
        duration(of.seconds_by_transactions),
        duration(of.seconds_by_write_txn_markers)
    )
}

/// The same for one topic by itself.
pub(crate) fn words_of(topic: &TopicPlan) -> String {
    words(&estimate(std::slice::from_ref(topic), None))
}

/// What is missing, and the time that it would save; None where nothing is, or where there is next to nothing to write.
pub(super) fn missing_right(of: &MarkerEstimate) -> Option<String> {
    let needed = of.write_txn_markers == Some(false) && records(of) > limits::CONTROLS_HANDFUL;
    needed.then(|| {
        format!(
            "WriteTxnMarkers is refused: kferry's principal seems to have neither Alter nor ClusterAction on the target's cluster. About {} control records take {} by empty transactions, and would take {} \
             by WriteTxnMarkers, {} less",
            grouped(records(of)),
            duration(of.seconds_by_transactions),
            duration(of.seconds_by_write_txn_markers),
            duration(of.seconds_by_transactions.saturating_sub(of.seconds_by_write_txn_markers))
        )
    })
}

/// Why the control records of a topic with missing offsets are too many; None where they are not. Where it is not known what is permitted, the
/// quicker way is taken for it.
pub(super) fn too_dear(topic: &TopicPlan, write_txn_markers: Option<bool>) -> Option<String> {
    if topic.holes_estimated == 0 {
        return None;
    }
    let cost = estimate(std::slice::from_ref(topic), Some(write_txn_markers.unwrap_or(true)));
    let mut why = Vec::new();
    if seconds(&cost) > limits::CONTROLS_SECONDS_MAX {
        why.push(format!("{}; the limit is {}", basis(&cost), duration(limits::CONTROLS_SECONDS_MAX)));
    }
    let many = |p: &&PartitionPlan| p.markers_estimated.saturating_add(p.holes_estimated) > limits::CONTROLS_PER_PARTITION_MAX;
    let large: Vec<String> = topic
        .partitions
        .iter()
        .filter(many)
        .map(|p| {
            let records = p.markers_estimated.saturating_add(p.holes_estimated);
            format!("partition {} needs {} control records, {} on each replica", p.partition, grouped(records), bytes(records.saturating_mul(limits::CONTROL_RECORD_BYTES)))
        })
        .collect();
    if !large.is_empty() {
        why.push(format!("{}; the limit is {}", names(&large), grouped(limits::CONTROLS_PER_PARTITION_MAX)));
    }
    (!why.is_empty()).then(|| why.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::{Counts, PartitionProbe};

    fn partition(partition: i32, log_start: i64, log_end: i64) -> PartitionPlan {
        PartitionPlan { partition, log_start, log_end, prefix_fillers: 0, markers_estimated: 0, holes_estimated: 0, runs_estimated: 0, size_bytes: None }
    }

    fn needs(of: &[(u64, u64)]) -> Vec<Need> {
        of.iter().map(|(records, runs)| Need { records: *records, runs: *runs }).collect()
    }

    #[test]
    fn a_partitions_own_sample_speaks_for_it_and_else_the_topics() {
        let sample = |markers, holes, runs| Sample { range: 100..200, counts: Counts { markers, holes, runs } };
        let samples = [vec![sample(10, 20, 3)], vec![sample(0, 0, 0)], vec![], vec![]];
        let partitions = samples.into_iter().enumerate().map(|(i, samples)| PartitionProbe { partition: i as i32, samples, ..PartitionProbe::default() });
        let probe = TopicProbe { topic: "t".into(), partitions: partitions.collect() };
        let mut plans = [partition(0, 100, 1_100), partition(1, 0, 1_000), partition(2, 0, 1_000), partition(3, 5, 5)];
        assert_eq!(estimate_partitions(Some(&probe), &mut plans), 200);
        assert_eq!(plans.map(|p| (p.markers_estimated, p.holes_estimated, p.runs_estimated)), [(100, 200, 30), (0, 0, 0), (50, 100, 15), (0, 0, 0)]);
        let mut unsampled = [partition(0, 0, 10)];
        assert_eq!((estimate_partitions(None, &mut unsampled), unsampled[0].markers_estimated), (0, 0));
    }

    #[test]
    fn one_long_partition_or_all_together_set_the_time() {
        assert_eq!(seconds_by_transactions(&needs(&[(10_000, 1), (0, 0)])), 200);
        assert_eq!(seconds_by_transactions(&needs(&[(10_000, 1); 100])), 770, "a million together take longer than ten thousand alone");
        assert_eq!((seconds_by_transactions(&[]), seconds_by_requests(&[])), (0, 0));
        assert_eq!(seconds_by_requests(&needs(&[(3_000_000, 1)])), 101, "a long hole");
        assert_eq!(seconds_by_requests(&needs(&[(50_000, 50_000), (0, 0)])), 102, "as many runs: two round trips each");
        assert_eq!(seconds_by_requests(&needs(&[(50_000, 50_000); 100])), 667, "all together");
        assert_eq!(seconds_by_requests(&needs(&[(5, 5)])), 1);
    }
}
