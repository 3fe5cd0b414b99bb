//! A copier under the journal: taken up, watched, checkpointed, ended.

use super::aborters;
use super::context::Context;
use super::copier::limits::{PROBE_PAUSE, PROBE_PAUSE_OLD_RECORDS};
use super::copier::probing::settled_log_ends;
use super::copier::{Checkpoint, Copier, CopierSetup, CopyStatus};
use super::pending_leaves;
use super::limits::{CHECKPOINT_INTERVAL_MAX, CHECKPOINT_INTERVAL_MIN, CHECKPOINT_SHARE, MARKS_INTERVAL, PARTITIONS_NAMED_MAX, STATUS_INTERVAL};
use crate::copy::limits::SEQUENCE_MEMORY_MS;
use crate::copy::{PartitionCopy, TakeUp};
use crate::domain::append_limit;
use crate::domain::limits::MAP_RUNS_MAX;
use crate::domain::offset::{Mark, OffsetMap, SourceOffset, TargetOffset};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::{OffsetMode, Plan};
use crate::error::{Code, Error, Result};
use crate::kafka::offsets::OffsetAt;
use crate::kafka::markers::Markers;
use crate::kafka::transactions::TransactionalProducer;
use crate::machine::fact::{Fact, MappedPartition, PartitionCheckpoint, TakenPartition};
use crate::machine::state::State;
use crate::telemetry::Observation;
use crate::telemetry::progress::Progress;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Every partition of the plan.
pub fn planned_partitions(plan: &Plan) -> Vec<TopicPartition> {
    plan.topics
        .iter()
        .flat_map(|topic| {
            let name: Arc<str> = topic.name.as_str().into();
            topic.partitions.iter().map(move |p| TopicPartition::new(name.clone(), p.partition))
        })
        .collect()
}

fn planned_ends(plan: &Plan) -> BTreeMap<TopicPartition, i64> {
    let ends = plan.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (TopicPartition::new(t.name.as_str(), p.partition), p.log_end)));
    ends.collect()
}

/// The time between two checkpoints of a run that has gone on for so long.
fn checkpoint_interval(elapsed: Duration) -> Duration {
    (elapsed / CHECKPOINT_SHARE).clamp(CHECKPOINT_INTERVAL_MIN, CHECKPOINT_INTERVAL_MAX)
}

/// A running copier and what the journal knows of it.
pub struct Copying {
    copier: Copier,
    progress: Progress,
    /// Each partition's end when the plan was made, until a fetch says more.
    planned_ends: BTreeMap<TopicPartition, i64>,
    /// What an offset takes on average, as far as it can be told; one number for the whole run, so that progress never goes back.
    bytes_per_offset: Option<f64>,
    /// Offsets that earlier runs have copied.
    done_before: Option<u64>,
    journaled: BTreeMap<TopicPartition, PartitionCheckpoint>,
    renewals_journaled: usize,
    began_at: Instant,
    journaled_at: Instant,
    marks_journaled_at: Instant,
}

impl Copying {
    /// Takes every partition up where the target's log ends, journals it, and starts to copy.
    ///
    /// **Errors**: KF-TARGET-NOT-EMPTY where records lie on a partition that was never taken up; what the clusters refuse.
    pub async fn begin(context: &mut Context) -> Result<Self> {
        let interrupt = context.interrupt.clone();
        let Taken { copies, markers, left_open, transaction_timeout, request_batches_bytes, facts } = interrupt.or(take_up(context)).await?;
        for fact in facts {
            context.record(fact)?;
        }
        let setup = CopierSetup {
            source: context.clusters.source.clone(),
            target: context.clusters.target.clone(),
            store: context.store.clone(),
            migration_id: context.migration()?.id().to_owned(),
            seed: context.config.seed,
            markers: Arc::new(markers),
            left_open,
            transaction_timeout,
            request_batches_bytes,
        };
        let journaled = context.migration()?.checkpoints().map(|c| (c.partition.clone(), c.clone())).collect();
        let plan = &context.migration()?.plan;
        let planned_ends = planned_ends(plan);
        let (size, offsets) = (plan.estimate.size_bytes, plan.estimate.records_max);
        let bytes_per_offset = (size > 0 && offsets > 0).then(|| size as f64 / offsets as f64);
        let copier = Copier::start(setup, copies);
        let now = Instant::now();
        Ok(Self {
            copier,
            progress: Progress::start(),
            planned_ends,
            bytes_per_offset,
            done_before: None,
            journaled,
            renewals_journaled: 0,
            began_at: now,
            journaled_at: now,
            marks_journaled_at: now,
        })
    }

    /// Records and bytes that were compared with the target so far.
    pub fn copied(&self) -> (u64, u64) {
        self.journaled.values().fold((0, 0), |(records, bytes), c| (records + c.counts.records, bytes + c.counts.bytes))
    }

    pub fn copier(&self) -> &Copier {
        &self.copier
    }

    /// Goes on copying until `done` holds; journals checkpoints and shows progress meanwhile.
    ///
    /// **Errors**: KF-INTERRUPTED; a partition's own stop. The copier runs on; end it.
    pub async fn run_until(&mut self, context: &mut Context, mut done: impl FnMut(&CopyStatus) -> bool) -> Result<()> {
        let mut status = self.copier.status();
        loop {
            let seen = status.borrow_and_update().clone();
            self.show(context, &seen)?;
            self.journal_renewals(context, &seen)?;
            self.journal_marks(context, &seen).await?;
            self.check_stops(context, &seen).await?;
            if let Some(stop) = &seen.kept_out {
                self.checkpoint(context).await?;
                return Err(stop.clone().into());
            }
            // The first status comes before the first look at the partitions.
            if !seen.partitions.is_empty() && done(&seen) {
                return self.checkpoint(context).await;
            }
            if self.journaled_at.elapsed() >= checkpoint_interval(self.began_at.elapsed()) {
                self.checkpoint(context).await?;
            }
            context.interrupt.check()?;
            let _ = tokio::time::timeout(STATUS_INTERVAL, status.changed()).await;
        }
    }

    fn show(&mut self, context: &Context, seen: &CopyStatus) -> Result<()> {
        let (mut done, mut total, mut lag) = (0, 0, 0);
        for p in &seen.partitions {
            let end = p.source_end.or_else(|| self.planned_ends.get(&p.partition).copied()).unwrap_or(0).max(p.next_offset);
            total += (end - p.source_log_start).max(0) as u64;
            done += (p.next_offset - p.source_log_start).max(0) as u64;
            lag += (end - p.next_offset.max(p.source_log_start)).max(0) as u64;
        }
        let done_before = *self.done_before.get_or_insert(done);
        if self.bytes_per_offset.is_none() && seen.bytes_produced > 0 && done > done_before {
            self.bytes_per_offset = Some(seen.bytes_produced as f64 / (done - done_before) as f64);
        }
        // By offsets: a run that resumes has produced only what was left.
        let bytes = |offsets: u64| (offsets as f64 * self.bytes_per_offset.unwrap_or(0.0)) as u64;
        self.progress.update(Observation {
            state: context.migration()?.state,
            records_done: done,
            records_total: total,
            bytes_done: bytes(done),
            bytes_total: bytes(total),
            lag_records: lag,
            waiting_because: seen.waiting_because.clone(),
        });
        Ok(())
    }

    /// Ends the run when a partition cannot go on: the others would only run ahead of a migration that cannot be finished.
    async fn check_stops(&mut self, context: &mut Context, seen: &CopyStatus) -> Result<()> {
        let stopped: Vec<_> = seen.partitions.iter().filter_map(|p| Some((&p.partition, p.stop.as_ref()?))).collect();
        let Some((first, stop)) = stopped.first() else { return Ok(()) };
        self.checkpoint(context).await?;
        for (partition, stop) in &stopped {
            // What differs without a misplaced append is left as it lies, to be looked at.
            if stop.code == Code::CopyQuarantined {
                context.record(Fact::PartitionQuarantined {
                    partition: (*partition).clone(),
                    code: stop.code.as_str().to_owned(),
                    seen: stop.seen.clone(),
                })?;
            }
        }
        let others: Vec<String> = stopped.iter().skip(1).take(PARTITIONS_NAMED_MAX).map(|(p, _)| p.to_string()).collect();
        let also = if others.is_empty() { String::new() } else { format!(" (and {} more: {})", stopped.len() - 1, others.join(", ")) };
        Err(Error::new(stop.code, format!("{first}: {}{also}", stop.seen)))
    }

    /// Journals the producer ids that partitions have gone over to: what they append is ours.
    fn journal_renewals(&mut self, context: &mut Context, seen: &CopyStatus) -> Result<()> {
        for (partition, producer_id) in &seen.renewed[self.renewals_journaled..] {
            context.record(Fact::ProducerRenewed { partition: partition.clone(), producer_id: *producer_id })?;
            self.renewals_journaled += 1;
            self.copier.journaled(self.renewals_journaled);
        }
        Ok(())
    }

    /// Journals where runs of records begin that do not keep their offsets: they are not produced before.
    async fn journal_marks(&mut self, context: &mut Context, seen: &CopyStatus) -> Result<()> {
        // Gathered while nobody waits for them but the copy: each entry is mirrored to the store, and stands in the bundle.
        let hurried = context.migration()?.state == State::Cutover;
        if !seen.marks_due || (!hurried && self.marks_journaled_at.elapsed() < MARKS_INTERVAL) {
            return Ok(());
        }
        self.marks_journaled_at = Instant::now();
        let mut partitions = Vec::new();
        for (partition, marks) in self.copier.marks().await? {
            partitions.push(MappedPartition::of(partition, &marks)?);
        }
        if !partitions.is_empty() {
            context.record(Fact::OffsetsMapped { partitions })?;
            self.copier.marks_journaled();
        }
        let runs = context.migration()?.map_runs();
        match i64::try_from(runs) {
            Ok(runs) if runs <= MAP_RUNS_MAX => Ok(()),
            _ => Err(Error::new(Code::MapTooLarge, format!("the offset maps have {runs} runs, and {MAP_RUNS_MAX} is the limit"))),
        }
    }

    /// Journals how far the source is copied where nothing was left to be produced: what was committed there goes to the target's end.
    fn journal_positions(&self, context: &mut Context) -> Result<()> {
        let mut partitions = Vec::new();
        for p in &self.copier.status().borrow().partitions {
            let Some(map) = context.migration()?.offset_map(&p.partition) else { continue };
            let (source, target) = (SourceOffset(p.next_offset), TargetOffset(p.target_end));
            if map.translate(source) != target {
                partitions.push(MappedPartition::of(p.partition.clone(), &[Mark { source, target }])?);
            }
        }
        match partitions.is_empty() {
            true => Ok(()),
            false => context.record(Fact::OffsetsMapped { partitions }).map(drop),
        }
    }

    /// Journals what has changed since the last checkpoint.
    pub async fn checkpoint(&mut self, context: &mut Context) -> Result<()> {
        let now = self.copier.checkpoint().await?;
        self.journal(context, now)
    }

    fn journal(&mut self, context: &mut Context, now: Checkpoint) -> Result<()> {
        self.journaled_at = Instant::now();
        self.journal_positions(context)?;
        // First the leaves, then the trees over them.
        pending_leaves::write(context.journal.dir(), &now.pending_leaves)?;
        let changed: Vec<PartitionCheckpoint> = now.partitions.into_iter().filter(|c| self.journaled.get(&c.partition) != Some(c)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.journaled.extend(changed.iter().map(|c| (c.partition.clone(), c.clone())));
        context.record(Fact::CopyCheckpointed { partitions: changed }).map(drop)
    }

    /// Stops the copier and journals how far it came; what is still open is given so long to reach the store.
    pub async fn end(mut self, context: &mut Context, patience: Duration) -> Result<()> {
        let last = self.copier.stop(patience).await?;
        let seen = self.copier.status().borrow().clone();
        self.journal_renewals(context, &seen)?;
        self.journal(context, last)
    }
}

/// Every partition as it was taken up.
struct Taken {
    copies: Vec<PartitionCopy>,
    markers: Markers,
    left_open: BTreeMap<TopicPartition, TransactionalProducer>,
    transaction_timeout: Duration,
    request_batches_bytes: usize,
    facts: Vec<Fact>,
}

async fn take_up(context: &Context) -> Result<Taken> {
    let migration = context.migration()?;
    let plan = migration.plan.clone();
    let names = planned_partitions(&plan);
    let clusters = &context.clusters;
    // Before the log ends are looked at: what a predecessor left open under this id is decided now, where it was due.
    let markers = Markers::begin(&clusters.target_cluster, &aborters::markers_id(&plan.migration_id)).await?;
    // Nothing of theirs is to land any more when the log ends are looked at.
    aborters::left_open(&clusters.target, &plan.migration_id, &names).await?;
    // Appends of a process that was killed may still be on their way, and the broker may have forgotten its producer id.
    let taken_before = migration.partitions.values().any(|p| p.take > 0);
    let pause = if taken_before { PROBE_PAUSE_OLD_RECORDS } else { PROBE_PAUSE };
    let tell = |why: Option<String>| {
        if let Some(why) = why {
            tracing::warn!(why, "the target's log ends cannot be read yet");
        }
    };
    let topics: Vec<String> = plan.topics.iter().map(|t| t.name.clone()).collect();
    let (target_ends, target_starts, source_starts, source_configs, broker_configs) = futures::join!(
        settled_log_ends(&clusters.target, &names, pause, &tell),
        clusters.target.offsets(&names, OffsetAt::Earliest),
        clusters.source.offsets(&names, OffsetAt::Earliest),
        clusters.source.topic_configs(&topics),
        clusters.target.lowest_broker_configs(),
    );
    let (target_starts, source_starts, source_configs) = (target_starts?, source_starts?, source_configs?);
    let sequence_memory_ms = sequence_memory_ms(&broker_configs);
    let request_bytes_max = append_limit::request_bytes_max(&broker_configs);
    // Asked once more: appends that were still on their way have been counted by now.
    let mut open = aborters::left_open(&clusters.target, &plan.migration_id, &names).await?;
    let producer = clusters.target.init_producer_id().await?;
    let mut pending = pending_leaves::read(context.journal.dir())?;
    let (mut copies, mut taken, mut left_open, mut mapped) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
    for topic in &plan.topics {
        let batch_bytes_max = usize::try_from(append_limit::batch_bytes_max(&topic.overrides, request_bytes_max)).unwrap_or(usize::MAX);
        // It may have been switched on since the plan.
        let tiered = source_configs.get(&topic.name).and_then(|configs| configs.get("remote.storage.enable")).is_some_and(|v| v.value.as_deref() == Some("true"));
        for planned in &topic.partitions {
            let partition = TopicPartition::new(topic.name.as_str(), planned.partition);
            let progress = migration.partitions.get(&partition);
            let take = progress.map_or(0, |p| p.take) + 1;
            let target_end = target_ends.get(&partition).copied().unwrap_or(0);
            if take == 1 && target_end > 0 {
                let seen = format!("{partition} ends at {target_end} on the target, but kferry has not written to it");
                return Err(Error::new(Code::TargetNotEmpty, seen));
            }
            taken.push(TakenPartition { partition: partition.clone(), take, next_offset: target_end });
            let open_transaction = open.remove(&partition).map(|left| {
                left_open.insert(partition.clone(), left.producer);
                left.transaction
            });
            let left = pending.remove(&partition);
            let source_log_start = source_starts.get(&partition).copied().unwrap_or(0);
            let map = match topic.mode {
                OffsetMode::Identical => None,
                OffsetMode::Mapped => Some(resumed_map(progress.and_then(|p| p.map.as_ref()), &partition, source_log_start, target_end, &mut mapped)?),
            };
            let mut copy = PartitionCopy::take_up(TakeUp {
                take,
                target_end,
                target_log_start: target_starts.get(&partition).copied().unwrap_or(0),
                source_log_start,
                checkpoint: progress.and_then(|p| p.checkpoint.clone()),
                batch_bytes_max,
                sequence_memory_ms,
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                open_transaction,
                tiered,
                map,
                partition,
            });
            if left.is_some_and(|left| !copy.take_over_leaves(left)) {
                tracing::warn!(partition = %copy.partition(), "leaves of its trees are missing beside the journal; its records cannot be proved one by one");
            }
            copies.push(copy);
        }
    }
    let transaction_timeout = aborters::transaction_timeout(&broker_configs);
    let mut facts = vec![Fact::PartitionsTaken { producer_id: producer.producer_id, partitions: taken }];
    let anew: Vec<PartitionCheckpoint> = copies.iter().filter(|copy| copy.began_anew()).map(PartitionCopy::checkpoint).collect();
    if !anew.is_empty() {
        facts.push(Fact::CopyCheckpointed { partitions: anew });
    }
    if !mapped.is_empty() {
        facts.push(Fact::OffsetsMapped { partitions: mapped });
    }
    let request_batches_bytes = usize::try_from(append_limit::request_batches_bytes(request_bytes_max)).unwrap_or(usize::MAX);
    Ok(Taken { copies, markers, left_open, transaction_timeout, request_batches_bytes, facts })
}

/// The map as far as the target's log goes; one that begins now is to be journaled.
fn resumed_map(journaled: Option<&OffsetMap>, partition: &TopicPartition, log_start: i64, target_end: i64, begun: &mut Vec<MappedPartition>) -> Result<OffsetMap> {
    let mut map = journaled.cloned().unwrap_or_default();
    map.truncate(TargetOffset(target_end));
    if map.is_empty() {
        let first = Mark { source: SourceOffset(log_start), target: TargetOffset(target_end) };
        map.mark(first).map_err(|error| Error::new(Code::Bug, format!("{partition}: {error}")))?;
        begun.push(MappedPartition::of(partition.clone(), &[first])?);
    }
    Ok(map)
}

/// Half of what the target's broker of the lowest id says, so that neither its clock nor ours matters.
fn sequence_memory_ms(broker_configs: &BTreeMap<String, String>) -> i64 {
    let told = broker_configs.get("producer.id.expiration.ms").and_then(|value| value.parse::<i64>().ok());
    told.map_or(SEQUENCE_MEMORY_MS, |expiration| SEQUENCE_MEMORY_MS.min(expiration / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_copying_takes_a_few_hundred_checkpoints() {
        let (mut at, mut checkpoints) = (Duration::ZERO, 0);
        while at < Duration::from_secs(86_400) {
            at += checkpoint_interval(at);
            checkpoints += 1;
        }
        assert!((300..500).contains(&checkpoints), "{checkpoints}");
        assert_eq!(checkpoint_interval(Duration::from_secs(60)), Duration::from_secs(5));
        assert_eq!(checkpoint_interval(Duration::from_secs(1_200)), Duration::from_secs(60));
    }
}
