//! Spot-check records: every record by the digests of both readings, and samples of them by another implementation.

use super::report::{CheckResult, Outcome};
use crate::domain::digest::Digest;
use crate::domain::offset::{OffsetMap, SourceOffset};
use crate::domain::partition::TopicPartition;
use crate::domain::planning::{count, grouped};
use crate::machine::fact::PartitionCheckpoint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The check's name in reports.
pub const NAME: &str = "spot_check_records";

/// What the journal says of one partition's two readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestFacts {
    pub partition: TopicPartition,
    /// The first offset that the copy covers.
    pub source_log_start: i64,
    /// The source's log end at the commit.
    pub end_offset: i64,
    /// Everything below was read again from the target.
    pub verified_offset: i64,
    pub source_root: Digest,
    pub target_root: Digest,
    /// Leaves of either tree.
    pub source_leaves: u64,
    pub target_leaves: u64,
    /// Records that the copy carried over.
    pub records: u64,
    /// Whether the topic is compacted, so that either side may lose a record of which there is a later one.
    pub compacts: bool,
    /// Where the records do not keep their offsets: all offsets here are the target's.
    pub map: Option<Arc<OffsetMap>>,
}

impl DigestFacts {
    /// Takes them from a partition's last checkpoint.
    pub fn of(checkpoint: &PartitionCheckpoint, end_offset: i64, compacts: bool) -> Self {
        Self {
            partition: checkpoint.partition.clone(),
            source_log_start: checkpoint.source_log_start,
            end_offset,
            verified_offset: checkpoint.verified_offset,
            source_root: Digest::from_bytes(checkpoint.source_tree.root()),
            target_root: Digest::from_bytes(checkpoint.target_tree.root()),
            source_leaves: checkpoint.source_tree.len(),
            target_leaves: checkpoint.target_tree.len(),
            records: checkpoint.counts.records,
            compacts,
            map: None,
        }
    }

    /// Where one of the source's offsets lies on the target.
    pub fn target_offset(&self, source: i64) -> i64 {
        self.map.as_ref().map_or(source, |map| map.translate(SourceOffset(source)).0)
    }
}

/// One part of a record: how long it is, and its digest, so that no value stays in memory or is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub bytes: usize,
    pub sha256: Digest,
}

impl Part {
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), sha256: Digest::of(bytes) }
    }
}

/// One record as a consumer was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampledRecord {
    pub offset: i64,
    /// Milliseconds since 1970; none where the record has none.
    pub timestamp_ms: Option<i64>,
    /// Whether the timestamp is the broker's, at the append.
    pub append_time: bool,
    /// None is null.
    pub key: Option<Part>,
    pub value: Option<Part>,
    /// Names and values in their order, duplicates too.
    pub headers: Vec<(Part, Option<Part>)>,
}

impl SampledRecord {
    /// The names of what differs between a record of the source and one of the target.
    ///
    /// An append time of the source is the record's own time on the target: nobody can hand a broker an append time.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        // Exhaustive, so that a new part is compared too.
        let Self { offset, timestamp_ms, append_time, key, value, headers } = self;
        let parts = [
            ("offset", *offset == other.offset),
            ("timestamp", *timestamp_ms == other.timestamp_ms),
            ("timestamp type", *append_time || !other.append_time),
            ("key", *key == other.key),
            ("value", *value == other.value),
            ("headers", *headers == other.headers),
        ];
        parts.into_iter().filter(|(_, equal)| !equal).map(|(name, _)| name).collect()
    }
}

/// What was sampled of one partition on both sides at the same places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSamples {
    pub partition: TopicPartition,
    /// In ascending order of their offsets, none below the later of the two logs' starts.
    pub source: Vec<SampledRecord>,
    pub target: Vec<SampledRecord>,
    /// Samples that were wanted and lay below where one of the logs starts by now.
    pub expired: u64,
    /// Why one of the sides could not be read; nothing of the partition is compared then.
    pub unread: Option<String>,
    /// Whether the topic is compacted: a record that one side alone has by now is no difference.
    pub compacts: bool,
}

/// Judges both readings together.
///
/// PASSED where every partition was read again up to its end with the same root on both sides and every sample is equal;
/// WARNING where the other implementation read nothing of something that has records, for another reason than retention.
pub fn check(partitions: &[DigestFacts], samples: &[PartitionSamples]) -> CheckResult {
    let mut digests = Digests::default();
    partitions.iter().for_each(|p| digests.judge(p));
    let mut sampled = Sampled::default();
    samples.iter().for_each(|s| sampled.judge(s));
    let unseen = unseen(partitions, samples);

    let total = partitions.len();
    let differing = digests.differing + sampled.differing;
    let incomplete = digests.incomplete > 0;
    let (outcome, reason) = if differing > 0 {
        let reason = format!(
            "{} of {} differ by digest; {} of {} differ",
            grouped(digests.differing as i64), count(total, "partition"),
            grouped(sampled.differing as i64), count(sampled.compared as usize, "sample"),
        );
        (Outcome::Failed, reason)
    } else if digests.verified == 0 && sampled.compared == 0 {
        (Outcome::NotRun, format!("nothing of {} could be compared, neither by digest nor by sample", count(total, "partition")))
    } else if incomplete {
        (Outcome::Failed, format!("{} of {} were not read again from the target up to their ends", digests.incomplete, count(total, "partition")))
    } else {
        let outcome = if sampled.unread.is_empty() && unseen.is_empty() { Outcome::Passed } else { Outcome::Warning };
        (outcome, passed(&digests, &sampled))
    };
    let mut details = digests.lines;
    details.extend(sampled.lines);
    details.extend(sampled.unread);
    details.extend(unseen);
    details.extend(sampled.expired_lines);
    CheckResult::new(NAME, outcome, reason, digests.verified + sampled.compared, differing, details)
}

fn passed(digests: &Digests, sampled: &Sampled) -> String {
    let mut reason = format!(
        "{} in {} by digest; {} read by librdkafka",
        records(digests.records),
        count(digests.verified as usize, "partition"),
        many(sampled.compared, "sample"),
    );
    if digests.empty > 0 {
        let verb = if digests.empty == 1 { "is" } else { "are" };
        reason.push_str(&format!("; {} {verb} empty", count(digests.empty, "partition")));
    }
    if sampled.expired > 0 {
        reason.push_str(&format!("; {} had expired on one side and could not be compared", many(sampled.expired, "sample")));
    }
    if sampled.compacted > 0 {
        reason.push_str(&format!("; {} had been compacted away on one side and could not be compared", many(sampled.compacted, "sample")));
    }
    if !sampled.unread.is_empty() {
        reason.push_str(&format!("; {} could not be sampled", count(sampled.unread.len(), "partition")));
    }
    reason
}

fn many(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n as i64), if n == 1 { "" } else { "s" })
}

fn records(n: u64) -> String {
    many(n, "record")
}

/// Partitions that have records of which no sample was wanted or read.
fn unseen(partitions: &[DigestFacts], samples: &[PartitionSamples]) -> Vec<String> {
    let sampled: BTreeMap<&TopicPartition, &PartitionSamples> = samples.iter().map(|s| (&s.partition, s)).collect();
    let has_records = partitions.iter().filter(|p| p.records > 0);
    let unseen = has_records.filter(|p| match sampled.get(&p.partition) {
        Some(s) => s.unread.is_none() && s.expired == 0 && s.source.is_empty() && s.target.is_empty(),
        None => true,
    });
    unseen.map(|p| format!("{}: {}, and no sample of them was read", p.partition, records(p.records))).collect()
}

#[derive(Default)]
struct Digests {
    verified: u64,
    differing: u64,
    incomplete: u64,
    empty: usize,
    records: u64,
    lines: Vec<String>,
}

impl Digests {
    fn judge(&mut self, p: &DigestFacts) {
        let name = &p.partition;
        if p.verified_offset < p.end_offset {
            self.incomplete += 1;
            self.lines.push(format!("{name}: read again from the target up to {}, and the log ends at {}", p.verified_offset, p.end_offset));
        } else {
            self.verified += 1;
        }
        // What was read is compared also where it is not all.
        if p.source_root != p.target_root || p.source_leaves != p.target_leaves {
            self.differing += 1;
            self.lines.push(format!(
                "{name}: {}..{} differ: root {} of {} leaves on the source, {} of {} on the target",
                p.source_log_start, p.verified_offset, p.source_root, p.source_leaves, p.target_root, p.target_leaves
            ));
        }
        self.empty += usize::from(p.records == 0);
        self.records += p.records;
    }
}

#[derive(Default)]
struct Sampled {
    compared: u64,
    differing: u64,
    expired: u64,
    compacted: u64,
    lines: Vec<String>,
    unread: Vec<String>,
    expired_lines: Vec<String>,
}

impl Sampled {
    fn judge(&mut self, s: &PartitionSamples) {
        let name = &s.partition;
        if let Some(why) = &s.unread {
            return self.unread.push(format!("{name}: no sample could be compared: {why}"));
        }
        if s.expired > 0 {
            self.expired += s.expired;
            self.expired_lines.push(format!("{name}: {} had expired on one side", many(s.expired, "sample")));
        }
        let mut pairs: BTreeMap<i64, (Option<&SampledRecord>, Option<&SampledRecord>)> = BTreeMap::new();
        s.source.iter().for_each(|record| pairs.entry(record.offset).or_default().0 = Some(record));
        s.target.iter().for_each(|record| pairs.entry(record.offset).or_default().1 = Some(record));
        for (offset, pair) in pairs {
            let difference = match pair {
                (Some(_), None) | (None, Some(_)) if s.compacts => {
                    self.compacted += 1;
                    continue;
                }
                (Some(source), Some(target)) => match source.differences(target) {
                    parts if parts.is_empty() => None,
                    parts => Some(format!("the record differs in its {}", parts.join(", "))),
                },
                (Some(_), None) => Some("the source has a record where the target has none".to_owned()),
                (None, _) => Some("the target has a record where the source has none".to_owned()),
            };
            self.compared += 1;
            if let Some(difference) = difference {
                self.differing += 1;
                self.lines.push(format!("{name} at {offset}: {difference}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
