//! What the plan predicted beside what came of it, topic by topic, and where the two differ. A function of the journal alone.

use crate::domain::planning::{bytes, duration, grouped};
use crate::domain::plan::{OffsetMode, TopicPlan};
use crate::machine::fact::CopyCounts;
use crate::machine::fold::Migration;
use serde::{Deserialize, Serialize};

/// How many times one number has to be the other before a difference is worth a line.
const FACTOR_MIN: u64 = 2;
/// Differences below these are never worth a line, whatever their factor: samples are small, and so are some topics.
const COUNT_MIN: u64 = 200;
const BYTES_MIN: u64 = 10_000_000;
const SECONDS_MIN: u64 = 10;
const FREEZE_MS_MIN: u64 = 1_000;

/// One number as it was predicted and as it turned out. None: it was not predicted, or has not come about yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pair {
    pub predicted: Option<u64>,
    pub outcome: Option<u64>,
}

/// One topic's prediction and outcome, over all its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TopicComparison {
    pub topic: String,
    /// From the log starts to the log ends, when the plan was made and when the copy ended: producers go on meanwhile.
    pub offsets: Pair,
    pub records: Pair,
    pub bytes: Pair,
    /// Markers of transactions, and one sentinel for each partition.
    pub control_records: Pair,
    /// Offsets without a record.
    pub hole_offsets: Pair,
    /// Offsets below the log starts, which fillers take. A run that is killed loses its own count of them, so this goes by where the copy begins.
    pub prefix_fillers: Pair,
    /// Everything that was counted, also what nobody can predict: batches merged, taken apart and encoded anew, aborted and drifted records.
    pub counted: CopyCounts,
}

/// Prediction and outcome of a whole migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Of SEED, with the pauses between its runs.
    pub seed_seconds: Pair,
    /// For how long producers were frozen.
    pub freeze_ms: Pair,
    pub topics: Vec<TopicComparison>,
    /// What differs by much, one line each; growth that the source's own producers explain is no difference.
    pub notable: Vec<String>,
}

impl Comparison {
    /// Compares the journaled plan with the journaled counts and times.
    pub fn of(migration: &Migration) -> Self {
        let plan = &migration.plan;
        let topics: Vec<TopicComparison> = plan.topics.iter().map(|topic| compare(topic, migration)).collect();
        let seed_seconds = Pair { predicted: Some(plan.estimate.seed_seconds), outcome: migration.seed.map(|s| s.elapsed_ms.div_ceil(1_000)) };
        let freeze_ms = Pair { predicted: plan.estimate.freeze_ms, outcome: migration.cutover_report.as_ref().map(|r| r.freeze_ms) };
        let mut notable: Vec<String> = topics.iter().flat_map(notable_of).collect();
        notable.extend(seed_seconds.differs(0, SECONDS_MIN).map(|times| seed_seconds.line("the seed", times, duration)));
        notable.extend(freeze_ms.differs(0, FREEZE_MS_MIN).map(|times| freeze_ms.line("the freeze", times, |ms| format!("{} ms", count(ms)))));
        Self { seed_seconds, freeze_ms, topics, notable }
    }
}

fn compare(topic: &TopicPlan, migration: &Migration) -> TopicComparison {
    let (mut counted, mut offsets, mut below) = (CopyCounts::default(), 0, 0);
    for c in migration.checkpoints().filter(|c| *c.partition.topic == *topic.name) {
        counted.add(&c.counts);
        below += c.source_log_start;
        offsets += (c.next_offset - c.source_log_start).max(0);
    }
    let planned: i64 = topic.partitions.iter().map(|p| p.log_end - p.log_start).sum();
    let fillers: i64 = topic.partitions.iter().map(|p| p.prefix_fillers).sum();
    let records = planned.saturating_sub(topic.markers_estimated).saturating_sub(topic.holes_estimated);
    // Of a partition whose size could not be read nothing was predicted.
    let size = topic.partitions.iter().map(|p| p.size_bytes).sum::<Option<i64>>();
    let pair = |predicted: i64, outcome: u64| Pair { predicted: Some(positive(predicted)), outcome: Some(outcome) };
    // A mapped topic loses what is not a committed record: how much that is was not estimated, and no sentinel goes along.
    let mapped = topic.mode == OffsetMode::Mapped;
    let sentinels = if mapped { 0 } else { topic.partitions.len() as i64 };
    TopicComparison {
        topic: topic.name.clone(),
        offsets: pair(planned, positive(offsets)),
        records: Pair { predicted: (!mapped).then_some(positive(records)), outcome: Some(counted.records) },
        bytes: Pair { predicted: size.map(positive), outcome: Some(counted.bytes) },
        control_records: pair(topic.markers_estimated.saturating_add(sentinels), counted.control_records),
        hole_offsets: pair(topic.holes_estimated, counted.hole_offsets),
        prefix_fillers: pair(fillers, positive(below)),
        counted,
    }
}

/// What of one topic turned out otherwise by much.
fn notable_of(topic: &TopicComparison) -> Vec<String> {
    // Exhaustive, so that a new number is judged too.
    let TopicComparison { topic, offsets, records, bytes: size, control_records, hole_offsets, prefix_fillers, counted } = topic;
    let (planned, copied) = (offsets.predicted.unwrap_or(0), offsets.outcome.unwrap_or(0));
    let grown = copied.saturating_sub(planned);
    let grown_bytes = u64::try_from(u128::from(counted.bytes) * u128::from(grown) / u128::from(copied.max(1))).unwrap_or(u64::MAX);
    let mut lines = Vec::new();
    for (what, pair) in [("records", records), ("control records", control_records), ("offsets without a record", hole_offsets), ("prefix fillers", prefix_fillers)] {
        lines.extend(pair.differs(grown, COUNT_MIN).map(|times| pair.line(&format!("topic {topic}: {what}"), times, count)));
    }
    let decimal = |n: u64| bytes(i64::try_from(n).unwrap_or(i64::MAX));
    lines.extend(size.differs(grown_bytes, BYTES_MIN).map(|times| size.line(&format!("topic {topic}: size"), times, decimal)));
    if counted.expired_offsets > 0 {
        lines.push(format!("topic {topic}: {} offsets expired on the source before they could be copied; none was predicted", count(counted.expired_offsets)));
    }
    lines
}

fn positive(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn count(n: u64) -> String {
    grouped(i64::try_from(n).unwrap_or(i64::MAX))
}

impl Pair {
    /// How many tenths the larger number is of the smaller one, where they differ by much: by `FACTOR_MIN` and by more than `min`. Up to `grown` more
    /// than was predicted has come since. A number that should have been 0 has no factor: 0.
    fn differs(&self, grown: u64, min: u64) -> Option<u64> {
        let (predicted, outcome) = (self.predicted?, self.outcome?);
        let explained = outcome.saturating_sub(grown).max(predicted.min(outcome));
        let (small, large) = (predicted.min(explained), predicted.max(explained));
        let much = large - small > min && large >= small.saturating_mul(FACTOR_MIN);
        much.then(|| large.saturating_mul(10).checked_div(small).unwrap_or(0))
    }

    fn line(&self, what: &str, tenths: u64, show: impl Fn(u64) -> String) -> String {
        let (predicted, outcome) = (self.predicted.unwrap_or(0), self.outcome.unwrap_or(0));
        let factor = match tenths {
            0 => String::new(),
            _ => format!(", {}.{} times as {}", tenths / 10, tenths % 10, if outcome > predicted { "much" } else { "little" }),
        };
        format!("{what}: {} predicted, {} in the end{factor}", show(predicted), show(outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fact::{Fact, PartitionCheckpoint};
    use crate::machine::sample::{self, checkpoint, entries, journey};

    fn pair(predicted: u64, outcome: u64) -> Pair {
        Pair { predicted: Some(predicted), outcome: Some(outcome) }
    }

    #[test]
    fn prediction_and_outcome_stand_side_by_side() {
        let migration = Migration::fold(&entries(journey())).unwrap();
        let compared = Comparison::of(&migration);
        let [orders] = &compared.topics[..] else { panic!("{compared:?}") };
        assert_eq!((orders.offsets, orders.records), (pair(20, 22), pair(20, 22)));
        assert_eq!((orders.control_records, orders.prefix_fillers, orders.bytes), (pair(2, 0), pair(20, 20), pair(2_000, 2_000)));
        assert_eq!((compared.seed_seconds, orders.counted.source_batches), (pair(1, 1), 4));
        assert_eq!(compared.freeze_ms, Pair { predicted: None, outcome: Some(5_000) }, "an older plan has predicted nothing");
        assert!(compared.notable.is_empty(), "{:?}", compared.notable);
        let planned = Migration::fold(&entries(vec![sample::planned()])).unwrap();
        assert_eq!(Comparison::of(&planned).seed_seconds.outcome, None);
    }

    #[test]
    fn what_differs_by_much_is_told_with_its_factor() {
        let mut facts = journey();
        let counts = CopyCounts { control_records: 3_000, hole_offsets: 500, expired_offsets: 7, ..checkpoint(0, 21).counts };
        facts.push(Fact::CopyCheckpointed { partitions: vec![PartitionCheckpoint { counts, ..checkpoint(0, 21) }] });
        let mut migration = Migration::fold(&entries(facts)).unwrap();
        let mut plan = (*migration.plan).clone();
        plan.topics[0].markers_estimated = 1_000;
        plan.estimate.freeze_ms = Some(1_250);
        plan.estimate.seed_seconds = 600;
        migration.plan = plan.into();
        assert_eq!(
            Comparison::of(&migration).notable,
            [
                "topic orders: control records: 1,002 predicted, 3,000 in the end, 2.9 times as much",
                "topic orders: offsets without a record: 0 predicted, 500 in the end",
                "topic orders: 7 offsets expired on the source before they could be copied; none was predicted",
                "the seed: 10 min predicted, 1 s in the end, 600.0 times as little",
                "the freeze: 1,250 ms predicted, 5,000 ms in the end, 4.0 times as much",
            ]
        );
    }

    #[test]
    fn growth_explains_more_and_never_less() {
        assert_eq!(pair(1_000, 5_000).differs(0, 200), Some(50));
        assert_eq!(pair(1_000, 5_000).differs(4_000, 200), None, "as many came since");
        assert_eq!(pair(1_000, 5_000).differs(3_500, 200), None);
        assert_eq!(pair(1_000, 5_000).differs(2_000, 200), Some(30));
        assert_eq!(pair(5_000, 1_000).differs(4_000, 200), Some(50));
        assert_eq!(pair(100, 290).differs(0, 200), None, "small");
        assert_eq!(pair(10_000, 19_999).differs(0, 200), None, "less than twice");
        assert_eq!(pair(0, 201).differs(0, 200), Some(0));
        assert_eq!(Pair { predicted: None, outcome: Some(9_999) }.differs(0, 0), None);
    }
}
