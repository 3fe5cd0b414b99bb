//! Proves that the target's topics hold nothing but what kferry wrote there, before anything of them is deleted.
//!
//! Before the commit: what was acknowledged is ours, since every append was answered with the source's own offset. What lies
//! beyond the last checkpoint is ours if each batch carries a producer id that this migration got from the target.
//! A log that ends before its checkpoint is another one than was written, and is looked at from its start.
//! After the commit nothing may have been added at all.

use crate::domain::batch;
use crate::domain::limits::NAMES_SHOWN_MAX;
use crate::domain::partition::TopicPartition;
use crate::driver::context::Context;
use crate::error::{Code, Error, Result};
use crate::journal::Entry;
use crate::kafka::metadata::Metadata;
use crate::kafka::offsets::OffsetAt;
use crate::machine::fact::{Effect, Fact};
use crate::machine::fold::Migration;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Bytes read at a time of what lies beyond a checkpoint.
const WALK_BYTES: usize = 4 << 20;

/// Topics of the target that kferry has created, or may have, or has written to; all others are none of its business.
pub fn touched(migration: &Migration) -> BTreeSet<String> {
    let footprint = &migration.footprint;
    let pending = footprint.pending.values().filter_map(|effect| match effect {
        Effect::CreateTopic { topic, .. } | Effect::RecreateTopic { topic, .. } => Some(topic.clone()),
        _ => None,
    });
    let written = migration.partitions.iter().filter(|(_, progress)| progress.take > 0).map(|(partition, _)| partition.topic.to_string());
    footprint.topics_created.iter().cloned().chain(pending).chain(written).collect()
}

/// Looks at every partition of the topics that kferry has touched on the target.
///
/// **Errors**: KF-ROLLBACK-UNSAFE naming partitions and what somebody else wrote; the target's unavailability.
pub async fn prove(context: &Context) -> Result<()> {
    let migration = context.migration()?;
    let beyond = beyond_known(context, &touched(migration)).await?;
    if migration.state.committed() && !beyond.is_empty() {
        let lines = beyond.iter().map(|(partition, (_, range))| format!("{partition} ends at {}, not where the cutover left it", range.end));
        return Err(unsafe_to_undo("since the cutover the target was written to", lines.collect()));
    }
    let foreign = walk_all(context, beyond).await?;
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(unsafe_to_undo("the target holds what kferry cannot show to have written", foreign)),
    }
}

/// What of these topics on the target, before the commit, kferry cannot show to have written: a line each.
///
/// **Errors**: the target's unavailability.
pub async fn foreign(context: &Context, topics: &BTreeSet<String>) -> Result<Vec<String>> {
    let beyond = beyond_known(context, topics).await?;
    walk_all(context, beyond).await
}

/// By partition: where its log starts, and what of it is in doubt.
type Beyond = BTreeMap<TopicPartition, (i64, Range<i64>)>;

/// What lies on the target beyond what is known to be ours.
async fn beyond_known(context: &Context, topics: &BTreeSet<String>) -> Result<Beyond> {
    let target = &context.clusters.target;
    let metadata = target.refresh().await?;
    let known = known_ends(context.migration()?, topics, &metadata);
    let names: Vec<TopicPartition> = known.keys().cloned().collect();
    let (starts, ends) = futures::try_join!(target.offsets(&names, OffsetAt::Earliest), target.offsets(&names, OffsetAt::LogEnd))?;
    let beyond = beyond(&known, &starts, &ends).into_iter();
    Ok(beyond.map(|(partition, range)| { let start = starts[&partition]; (partition, (start, range)) }).collect())
}

async fn walk_all(context: &Context, beyond: Beyond) -> Result<Vec<String>> {
    let ours = producer_ids(&context.journal.entries()?);
    let mut foreign = Vec::new();
    for (partition, (log_start, range)) in beyond {
        if let Some(seen) = walk(context, &partition, log_start, range, &ours).await? {
            foreign.push(format!("{partition}: {seen}"));
        }
    }
    Ok(foreign)
}

fn unsafe_to_undo(what: &str, lines: Vec<String>) -> Error {
    let more = lines.len().saturating_sub(NAMES_SHOWN_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let named: Vec<String> = lines.into_iter().take(NAMES_SHOWN_MAX).collect();
    Error::new(Code::RollbackUnsafe, format!("{what}, and nothing was deleted: {}{more}", named.join("; ")))
}

/// Up to where each partition's log is known to be ours. A topic that is not there holds nothing to lose.
fn known_ends(migration: &Migration, touched: &BTreeSet<String>, metadata: &Metadata) -> BTreeMap<TopicPartition, i64> {
    let frozen: BTreeMap<&TopicPartition, i64> =
        migration.cutover_report.iter().flat_map(|report| &report.partitions).map(|p| (&p.partition, migration.target_offset(&p.partition, p.frozen_end + 1))).collect();
    let topics = touched.iter().filter_map(|name| metadata.topic(name));
    let partitions = topics.flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(t.name.clone(), p.partition)));
    let known = partitions.map(|partition| {
        let acknowledged = || migration.checkpoint(&partition).map(|c| c.next_offset);
        let end = frozen.get(&partition).copied().or_else(acknowledged).unwrap_or(0);
        (partition, end)
    });
    known.collect()
}

/// What lies beyond the known ends and has not been deleted.
fn beyond(
    known: &BTreeMap<TopicPartition, i64>,
    starts: &BTreeMap<TopicPartition, i64>,
    ends: &BTreeMap<TopicPartition, i64>,
) -> BTreeMap<TopicPartition, Range<i64>> {
    let ranges = known.iter().filter_map(|(partition, known)| {
        let (start, end) = (*starts.get(partition)?, *ends.get(partition)?);
        let from = if end < *known { start } else { start.max(*known) };
        Some((partition.clone(), from..end))
    });
    ranges.filter(|(_, range)| !range.is_empty()).collect()
}

/// The producer ids that this migration has got from the target.
fn producer_ids(entries: &[Entry]) -> BTreeSet<i64> {
    let taken = entries.iter().filter_map(|entry| match &entry.fact {
        Fact::PartitionsTaken { producer_id, .. } | Fact::ProducerRenewed { producer_id, .. } => Some(*producer_id),
        _ => None,
    });
    taken.collect()
}

/// Reads the range batch by batch and says of the first one that is not ours whose it is.
async fn walk(
    context: &Context,
    partition: &TopicPartition,
    log_start: i64,
    range: Range<i64>,
    ours: &BTreeSet<i64>,
) -> Result<Option<String>> {
    let mut offset = range.start;
    while offset < range.end {
        let places = [(partition.clone(), offset)].into();
        let (mut read, failed) = context.clusters.target.fetch_samples(&places, WALK_BYTES).await;
        if let Some(error) = failed.into_values().next() {
            return Err(error);
        }
        let records = read.remove(partition).and_then(|data| data.records).unwrap_or_default();
        match judge(records, offset, ours) {
            // What was acknowledged ended with an append: this is another log than was written, and all of it is looked at.
            Judged::Ours { base_offset, .. } if offset == range.start && base_offset < offset && log_start < offset => offset = log_start,
            Judged::Ours { next_offset, .. } => offset = next_offset,
            Judged::Foreign(seen) => return Ok(Some(seen)),
            // Not replicated yet, or cut: nothing of it was shown to be ours.
            Judged::Nothing => return Ok(Some(format!("offset {offset} cannot be read"))),
        }
    }
    Ok(None)
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Ours { base_offset: i64, next_offset: i64 },
    Foreign(String),
    Nothing,
}

fn judge(records: Bytes, from: i64, ours: &BTreeSet<i64>) -> Judged {
    let batches = match batch::split(records) {
        Ok(batches) => batches,
        Err(error) => return Judged::Foreign(format!("what lies from offset {from} on is no batch of ours ({error:?})")),
    };
    let (mut base_offset, mut next_offset) = (from, from);
    for batch in batches.iter().filter(|b| b.next_offset() > from) {
        base_offset = base_offset.min(batch.base_offset);
        // A control record carries nothing of anybody's.
        if !batch.is_control() && !ours.contains(&batch.producer_id) {
            let whose = match batch.producer_id {
                -1 => "a producer without a producer id".to_owned(),
                id => format!("producer id {id}"),
            };
            return Judged::Foreign(format!("the batch at offset {} is of {whose}", batch.base_offset));
        }
        next_offset = batch.next_offset();
    }
    if next_offset == from { Judged::Nothing } else { Judged::Ours { base_offset, next_offset } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::{Batch, BatchSpec, ProducerStamp};
    use crate::domain::record::{self, Codec};
    use crate::kafka::metadata::{PartitionMetadata, TopicMetadata};
    use crate::machine::sample::{self, entries, partition, planned};

    fn metadata(partitions: i32) -> Metadata {
        let partition = |partition| PartitionMetadata { partition, leader: None, leader_epoch: 0, replicas: vec![], in_sync: vec![], offline: vec![] };
        let topic = TopicMetadata { name: "orders".into(), topic_id: None, internal: false, partitions: (0..partitions).map(partition).collect() };
        Metadata { topics: [(topic.name.clone(), topic)].into(), ..Metadata::default() }
    }

    fn seeding() -> Migration {
        let before = |(state, _): &(crate::machine::state::State, Vec<Fact>)| *state < crate::machine::state::State::Tail;
        Migration::fold(&entries(std::iter::once(planned()).chain(sample::way().into_iter().filter(before).flat_map(|(_, facts)| facts)))).unwrap()
    }

    #[test]
    fn what_is_known_ends_with_the_checkpoint_and_after_the_commit_with_the_sentinel() {
        let known = |migration: &Migration, metadata: &Metadata| known_ends(migration, &touched(migration), metadata).into_values().collect::<Vec<_>>();
        assert_eq!(known(&seeding(), &metadata(3)), [15, 12, 0]);
        let whole = Migration::fold(&entries(sample::journey())).unwrap();
        assert_eq!(known(&whole, &metadata(2)), [21, 21]);
        assert!(known(&whole, &Metadata::default()).is_empty(), "a topic that is gone holds nothing to lose");
        let planned = Migration::fold(&entries([planned()])).unwrap();
        assert!(known(&planned, &metadata(2)).is_empty(), "a topic that was not touched is somebody else's");
    }

    #[test]
    fn only_what_is_there_beyond_the_known_end_is_in_doubt() {
        let known = [(partition(0), 15), (partition(1), 12), (partition(2), 0), (partition(3), 40)].into();
        let starts = [(partition(0), 10), (partition(1), 10), (partition(2), 7), (partition(3), 3)].into();
        let ends = [(partition(0), 15), (partition(1), 20), (partition(2), 7), (partition(3), 30)].into();
        // The last one ends before what was acknowledged: it is another log, and all of it is in doubt.
        assert_eq!(beyond(&known, &starts, &ends), [(partition(1), 12..20), (partition(3), 3..30)].into());
    }

    fn batch(base_offset: i64, producer_id: i64) -> Bytes {
        let mut plain = Vec::new();
        record::encode(&mut plain, 0, 0, None, Some(b"v"), &[]);
        let spec = BatchSpec { base_offset, leader_epoch: 0, codec: Codec::None, base_timestamp: 0, max_timestamp: 0, record_count: 1 };
        let batch = Batch::encode(&spec, &plain);
        let mut bytes = batch.header_for(ProducerStamp { producer_id, producer_epoch: 0, base_sequence: 0 }).to_vec();
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        [bytes, batch.payload().to_vec()].concat().into()
    }

    #[test]
    fn every_batch_has_to_be_of_one_of_our_producers() {
        let ours = producer_ids(&entries([planned(), Fact::PartitionsTaken { producer_id: 17, partitions: vec![] }]));
        let both = |second| Bytes::from([batch(12, 17), batch(13, second)].concat());
        assert_eq!(judge(both(17), 12, &ours), Judged::Ours { base_offset: 12, next_offset: 14 });
        assert_eq!(judge(both(18), 12, &ours), Judged::Foreign("the batch at offset 13 is of producer id 18".into()));
        assert_eq!(judge(both(-1), 12, &ours), Judged::Foreign("the batch at offset 13 is of a producer without a producer id".into()));
        assert_eq!(judge(both(18), 14, &ours), Judged::Nothing, "what lies before is not looked at");
        assert_eq!(judge(Bytes::new(), 12, &ours), Judged::Nothing);
        let mut damaged = batch(12, 17).to_vec();
        damaged[65] ^= 1;
        assert!(matches!(judge(damaged.into(), 12, &ours), Judged::Foreign(_)));
    }
}
