//! How fast a migration moves, as its journaled checkpoints tell.

use crate::domain::partition::TopicPartition;
use crate::machine::fact::{Effect, Fact};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// How far back the rate looks. **Units**: milliseconds.
const WINDOW_MS: i64 = 60_000;

/// Age of the last checkpoint beyond which nothing is said of the rate: the copy has ended, or has nothing to do. It is more
/// where checkpoints lie further apart.
/// **Units**: milliseconds.
const FRESH_MS: i64 = 15_000;

/// Per second, over the last minute of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub records_per_s: u64,
    pub bytes_per_s: u64,
    pub span_ms: u64,
}

/// Sums over all partitions, checkpoint by checkpoint.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    /// Offsets acknowledged and bytes, by partition.
    partitions: BTreeMap<TopicPartition, (i64, u64)>,
    /// Time, offsets and bytes, oldest first.
    samples: VecDeque<(Timestamp, i64, u64)>,
    last_at: Option<Timestamp>,
}

impl Throughput {
    /// Takes in one journaled fact.
    pub fn absorb(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::CopyCheckpointed { partitions } => {
                for c in partitions {
                    self.partitions.insert(c.partition.clone(), ((c.next_offset - c.source_log_start).max(0), c.counts.bytes));
                }
                self.last_at = Some(at);
                self.sample(at);
            }
            // A run takes up again, or a topic is refilled: what came before says nothing about the rate.
            Fact::PartitionsTaken { .. } => {
                self.samples.clear();
                self.sample(at);
            }
            Fact::EffectIntended { effect: Effect::RecreateTopic { topic, .. }, .. } => {
                self.partitions.retain(|p, _| *p.topic != **topic);
                self.samples.clear();
            }
            _ => {}
        }
    }

    fn sample(&mut self, at: Timestamp) {
        let (offsets, bytes) = self.partitions.values().fold((0, 0), |(offsets, bytes), p| (offsets + p.0, bytes + p.1));
        self.samples.push_back((at, offsets, bytes));
        // One sample older than the window stays, as the edge that the rate is taken from.
        while self.samples.get(1).is_some_and(|(then, ..)| millis(at, *then) >= WINDOW_MS) {
            self.samples.pop_front();
        }
    }

    /// When the last checkpoint was journaled.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// For how long nothing need be heard of a copy that goes on: twice the time between the last two checkpoints.
    pub fn pause_max_ms(&self) -> i64 {
        let mut latest = self.samples.iter().rev().map(|(at, ..)| *at);
        latest.next().zip(latest.next()).map_or(0, |(last, previous)| 2 * millis(last, previous))
    }

    /// None without two recent checkpoints.
    pub fn rate(&self, now: Timestamp) -> Option<Rate> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let span_ms = millis(last.0, first.0);
        if span_ms < 1_000 || millis(now, last.0) > FRESH_MS.max(self.pause_max_ms()) {
            return None;
        }
        let per_second = |amount: u64| u64::try_from(u128::from(amount) * 1_000 / span_ms.unsigned_abs() as u128).unwrap_or(u64::MAX);
        Some(Rate {
            records_per_s: per_second((last.1 - first.1).max(0).unsigned_abs()),
            bytes_per_s: per_second(last.2.saturating_sub(first.2)),
            span_ms: span_ms.unsigned_abs(),
        })
    }
}

pub(super) fn millis(later: Timestamp, earlier: Timestamp) -> i64 {
    later.as_millisecond() - earlier.as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_323_045 + second).unwrap()
    }

    fn checkpoint(partition: i32, next_offset: i64, bytes: u64) -> Fact {
        let mut c = sample::checkpoint(partition, next_offset);
        c.counts.bytes = bytes;
        Fact::CopyCheckpointed { partitions: vec![c] }
    }

    fn taken() -> Fact {
        Fact::PartitionsTaken { producer_id: 1, partitions: Vec::new() }
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute_over_all_partitions() {
        let mut t = Throughput::default();
        t.absorb(at(0), &taken());
        assert_eq!(t.rate(at(0)), None);
        t.absorb(at(5), &checkpoint(0, 510, 5_000));
        t.absorb(at(10), &checkpoint(1, 510, 5_000));
        assert_eq!(t.rate(at(10)), Some(Rate { records_per_s: 100, bytes_per_s: 1_000, span_ms: 10_000 }));
        assert_eq!(t.rate(at(26)), None, "nothing was heard for too long");
        for second in 11..=200 {
            t.absorb(at(second), &checkpoint(0, 510 + (second - 10) * 10, 5_000));
        }
        assert_eq!(t.rate(at(200)), Some(Rate { records_per_s: 10, bytes_per_s: 0, span_ms: 60_000 }));
        assert!(t.samples.len() <= 62);
        // A run of many hours has a checkpoint every five minutes.
        t.absorb(at(500), &checkpoint(0, 5_410, 5_000));
        assert_eq!(t.rate(at(800)).map(|r| (r.records_per_s, r.span_ms)), Some((10, 300_000)));
        assert_eq!(t.rate(at(1_101)), None);
    }

    #[test]
    fn a_new_run_and_a_refilled_topic_begin_anew() {
        let mut t = Throughput::default();
        t.absorb(at(0), &taken());
        t.absorb(at(5), &checkpoint(0, 1_010, 1));
        t.absorb(at(600), &taken());
        assert_eq!(t.rate(at(600)), None);
        t.absorb(at(610), &checkpoint(0, 1_110, 1));
        assert_eq!(t.rate(at(610)).map(|r| r.records_per_s), Some(10));
        let recreate = Effect::RecreateTopic { topic: "orders".into(), reason: String::new() };
        t.absorb(at(611), &Fact::EffectIntended { id: 9, effect: recreate });
        assert_eq!(t.rate(at(611)), None);
        t.absorb(at(612), &taken());
        t.absorb(at(622), &checkpoint(0, 60, 1));
        assert_eq!(t.rate(at(622)).map(|r| r.records_per_s), Some(5));
    }
}
