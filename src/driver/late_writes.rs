//! Records that reach the source after the cutover: they are not on the target, and nobody shall overlook them.

use super::context::Context;
use crate::domain::limits::NAMES_SHOWN_MAX;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Plan;
use crate::error::{Code, Error, Result};
use crate::kafka::metadata::Metadata;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::producers::ActiveProducer;
use crate::machine::fact::{CutoverReport, Fact, FrozenPartition, LateRange};
use crate::validation::sentinel_presence::Looked;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Looks at every planned topic of the source, and says what of it cannot be looked at any more, and what was accepted before.
///
/// **Errors**: KF-LATE-WRITES naming partitions, how much was written and by whom; the source's unavailability.
pub async fn refuse(context: &Context) -> Result<Vec<String>> {
    let (late, remarks) = look(context).await?;
    if late.is_empty() { Ok(remarks) } else { Err(refusal(context, &late, "").await?) }
}

/// Journals that what came late stays on the source alone, where it is as much as the operator has stated.
///
/// **Errors**: KF-LATE-WRITES where it is another number of offsets; the source's unavailability.
pub async fn accept(context: &mut Context, stated: u64) -> Result<()> {
    let (late, _) = look(context).await?;
    let accepted: i64 = context.migration()?.late_accepted.values().map(LateRange::offsets).sum();
    if late.is_empty() && stated == accepted.unsigned_abs() {
        return Ok(());
    }
    if total(&late) != stated {
        return Err(refusal(context, &late, &format!("{stated} were stated to be accepted, but beyond what was accepted before, ")).await?);
    }
    let range = |l: Late| LateRange { partition: l.partition, topic_id: l.topic_id, from: l.from, next_offset: l.from + l.count };
    context.record(Fact::LateWritesAccepted { partitions: late.into_iter().map(range).collect() }).map(drop)
}

fn total(late: &[Late]) -> u64 {
    late.iter().map(|l| l.count.unsigned_abs()).sum()
}

async fn look(context: &Context) -> Result<(Vec<Late>, Vec<String>)> {
    let migration = context.migration()?;
    let Some(report) = &migration.cutover_report else { return Ok((Vec::new(), Vec::new())) };
    let source = &context.clusters.source;
    let metadata = source.refresh().await?;
    let watched = watched(&migration.plan, &report.partitions, &migration.late_accepted, &metadata);
    let names: Vec<TopicPartition> = watched.ends.keys().cloned().collect();
    let (mut late, mut remarks) = compare(&watched.ends, &source.offsets(&names, OffsetAt::LogEnd).await?);
    late.iter_mut().for_each(|l| l.topic_id = metadata.topic(&l.partition.topic).and_then(|t| t.topic_id_text()));
    remarks.extend(watched.remarks);
    Ok((late, remarks))
}

async fn refusal(context: &Context, late: &[Late], before: &str) -> Result<Error> {
    let Some(report) = &context.migration()?.cutover_report else { return Err(Error::new(Code::StateIllegal, "there was no cutover")) };
    let source = &context.clusters.source;
    let places: BTreeMap<TopicPartition, i64> = late.iter().map(|l| (l.partition.clone(), l.from)).collect();
    let names: Vec<TopicPartition> = places.keys().cloned().collect();
    // Both only help to find the writer: the refusal does not wait for them to succeed.
    let (first, producers) = futures::join!(source.batches_at(&places), source.producers(&names));
    let (first, producers) = (first.unwrap_or_default(), producers.ok().flatten().unwrap_or_default());
    let writers = |l: &Late| {
        let known = producers.get(&l.partition).map_or(&[][..], Vec::as_slice);
        writers(report, first.get(&l.partition), known)
    };
    let named: Vec<String> = late.iter().take(NAMES_SHOWN_MAX).map(|l| format!("{} ({})", l.describe(), writers(l))).collect();
    let more = late.len().saturating_sub(NAMES_SHOWN_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let named = if named.is_empty() { String::new() } else { format!(": {}", named.join("; ")) };
    let seen = format!("{before}{} offsets of {} partitions were written on the source after the cutover{named}{more}", total(late), late.len());
    Ok(Error::new(Code::LateWrites, seen))
}

/// What is looked at, each with where it ended at the cutover, and what cannot be.
struct Watched {
    ends: BTreeMap<TopicPartition, i64>,
    remarks: Vec<String>,
}

/// A partition that came to be since the cutover, or since the plan, has to be empty; so has a topic that was created anew.
fn watched(plan: &Plan, frozen: &[FrozenPartition], accepted: &BTreeMap<TopicPartition, LateRange>, metadata: &Metadata) -> Watched {
    let frozen: BTreeMap<&TopicPartition, i64> = frozen.iter().map(|p| (&p.partition, p.frozen_end + 1)).collect();
    let stays = |late: &LateRange| {
        let LateRange { partition, from, next_offset, .. } = late;
        format!("{partition}: offsets {from}..{next_offset} came to the source after the cutover and are not on the target; the operator has accepted that")
    };
    let mut watched = Watched { ends: BTreeMap::new(), remarks: accepted.values().map(stays).collect() };
    for topic in &plan.topics {
        let Some(now) = metadata.topic(&topic.name) else {
            watched.remarks.push(format!("topic {} does not exist on the source any more, so nobody can tell whether it was written to", topic.name));
            continue;
        };
        let anew = now.is_another_than(topic.source_topic_id.as_deref());
        if anew {
            watched.remarks.push(format!("topic {} was deleted on the source and created anew", topic.name));
        }
        for p in &now.partitions {
            let partition = TopicPartition::new(now.name.clone(), p.partition);
            let frozen = if anew { None } else { frozen.get(&partition).copied() };
            let accepted = accepted.get(&partition).filter(|late| late.topic_id == now.topic_id_text()).map(|late| late.next_offset);
            watched.ends.insert(partition, accepted.or(frozen).unwrap_or(0));
        }
    }
    watched
}

#[derive(Debug, PartialEq, Eq)]
struct Late {
    partition: TopicPartition,
    topic_id: Option<String>,
    from: i64,
    count: i64,
}

impl Late {
    fn describe(&self) -> String {
        format!("{}: {} from offset {} on", self.partition, self.count, self.from)
    }
}

fn compare(ends: &BTreeMap<TopicPartition, i64>, now: &BTreeMap<TopicPartition, i64>) -> (Vec<Late>, Vec<String>) {
    let (mut late, mut remarks) = (Vec::new(), Vec::new());
    for (partition, end) in ends {
        let Some(now) = now.get(partition) else { continue };
        if now > end {
            late.push(Late { partition: partition.clone(), topic_id: None, from: *end, count: now - end });
        } else if now < end {
            remarks.push(format!("{partition} ends at {now} on the source and ended at {end} before: the source has lost what lay between"));
        }
    }
    (late, remarks)
}

/// Who wrote: the first late batch tells its producer, and the leader remembers those that wrote lately.
fn writers(report: &CutoverReport, first: Option<&Looked>, known: &[ActiveProducer]) -> String {
    let committed_ms = report.committed_at.parse::<Timestamp>().map_or(i64::MAX, |at| at.as_millisecond());
    let mut ids: BTreeSet<i64> =
        known.iter().filter(|p| p.last_timestamp >= committed_ms && p.producer_id != report.sentinel_producer_id).map(|p| p.producer_id).collect();
    let mut nameless = false;
    if let Some(Looked::Found(batch)) = first {
        match batch.producer_id {
            -1 => nameless = true,
            id => drop(ids.insert(id)),
        }
    }
    let mut named: Vec<String> = ids.iter().map(|id| format!("producer id {id}")).collect();
    if nameless {
        named.push("a producer without a producer id".to_owned());
    }
    match named.is_empty() {
        true => "by whom is not known".to_owned(),
        false => format!("by {}", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::metadata::{PartitionMetadata, TopicMetadata};
    use crate::machine::sample::{self, partition};
    use crate::validation::sentinel_presence::ControlSeen;

    fn metadata(topic_id: Option<uuid::Uuid>, partitions: i32) -> Metadata {
        let partition = |partition| PartitionMetadata { partition, leader: None, leader_epoch: 0, replicas: vec![], in_sync: vec![], offline: vec![] };
        let topic = TopicMetadata { name: "orders".into(), topic_id, internal: false, partitions: (0..partitions).map(partition).collect() };
        Metadata { topics: [(topic.name.clone(), topic)].into(), ..Metadata::default() }
    }

    fn watched_ends(metadata: &Metadata) -> (Vec<i64>, usize) {
        let watched = watched(&sample::plan(), &sample::frozen(), &BTreeMap::new(), metadata);
        (watched.ends.into_values().collect(), watched.remarks.len())
    }

    #[test]
    fn every_partition_of_a_planned_topic_is_watched() {
        assert_eq!(watched_ends(&metadata(None, 2)), (vec![21, 21], 0));
        assert_eq!(watched_ends(&metadata(None, 3)), (vec![21, 21, 0], 0), "a partition that was added has to be empty");
        assert_eq!(watched_ends(&metadata(Some(uuid::Uuid::from_u128(7)), 2)), (vec![0, 0], 1), "so has a topic that was created anew");
        assert_eq!(watched_ends(&Metadata::default()), (vec![], 1));
    }

    #[test]
    fn what_was_accepted_is_late_no_more() {
        let accepted = |topic_id: Option<uuid::Uuid>, next_offset| {
            let late = LateRange { partition: partition(1), topic_id: metadata(topic_id, 1).topic("orders").unwrap().topic_id_text(), from: 0, next_offset };
            [(partition(1), late)].into()
        };
        let ends = |accepted, topic_id| {
            let watched = watched(&sample::plan(), &sample::frozen(), &accepted, &metadata(topic_id, 2));
            (watched.ends.into_values().collect::<Vec<_>>(), watched.remarks)
        };
        let (known, remarks) = ends(accepted(None, 24), None);
        assert_eq!(known, [21, 24], "what comes on top is late again");
        assert!(remarks[0].starts_with("orders-1: offsets 0..24 "), "{remarks:?}");
        let (one, other) = (Some(uuid::Uuid::from_u128(7)), Some(uuid::Uuid::from_u128(8)));
        assert_eq!(ends(accepted(one, 5), one).0, [0, 5], "also where the topic was created anew");
        assert_eq!(ends(accepted(one, 5), other).0, [0, 0], "a topic that was created anew since is another one");
    }

    #[test]
    fn an_end_that_went_on_is_late_and_one_that_fell_back_is_a_remark() {
        let ends = [(partition(0), 21), (partition(1), 21), (partition(2), 21)].into();
        let (late, remarks) = compare(&ends, &[(partition(0), 21), (partition(1), 33), (partition(2), 20)].into());
        assert_eq!(late, [Late { partition: partition(1), topic_id: None, from: 21, count: 12 }]);
        assert_eq!(late[0].describe(), "orders-1: 12 from offset 21 on");
        assert_eq!(remarks.len(), 1);
    }

    #[test]
    fn the_writers_are_named_as_far_as_they_can_be() {
        let report = CutoverReport { committed_at: "2026-01-02T04:00:05Z".into(), sentinel_producer_id: 1, ..sample::cutover_report() };
        let producer = |producer_id, after_ms| ActiveProducer {
            producer_id,
            producer_epoch: 0,
            last_sequence: 0,
            last_timestamp: "2026-01-02T04:00:05Z".parse::<Timestamp>().unwrap().as_millisecond() + after_ms,
            transaction_start: None,
        };
        let batch = |producer_id| Looked::Found(ControlSeen { is_control: false, producer_id, base_offset: 21 });
        let known = [producer(1, 1), producer(2, -1), producer(3, 0)];
        assert_eq!(writers(&report, None, &known), "by producer id 3");
        assert_eq!(writers(&report, Some(&batch(2)), &known), "by producer id 2, producer id 3");
        assert_eq!(writers(&report, Some(&batch(-1)), &known), "by producer id 3, a producer without a producer id");
        assert_eq!(writers(&report, Some(&Looked::BeyondEnd), &[]), "by whom is not known");
    }
}
