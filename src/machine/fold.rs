//! Folds the journal's facts into the migration as it stands.

use super::fact::{CutoverReport, Effect, Fact, FrozenPartition, LateRange, PartitionCheckpoint};
use super::footprint::Footprint;
use super::state::State;
use crate::domain::offset::{OffsetMap, SourceOffset, TargetOffset, decode_marks};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Plan;
use crate::domain::topology::ClusterSnapshot;
use crate::error::{Code, Error, Result};
use crate::journal::Entry;
use crate::license::Grant;
use crate::validation::report::{Outcome, ValidationReport};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A migration as its facts tell it; nothing in here comes from anywhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub state: State,
    /// Each state that was entered, with its time; the last is the present one.
    pub history: Vec<Stage>,
    pub plan: Arc<Plan>,
    pub plan_sha256: String,
    pub config_sha256: String,
    /// The configuration that the plan was made with, as it takes effect.
    pub config: Value,
    pub grant: Option<Grant>,
    /// The last precheck that came to its end.
    pub precheck: Option<PrecheckCounts>,
    /// Number of the last SEED that was started, 0 before the first.
    pub seed_attempt: u32,
    /// The last SEED that came to its end.
    pub seed: Option<SeedTotals>,
    pub partitions: BTreeMap<TopicPartition, PartitionProgress>,
    /// Number of the last cutover that was started, 0 before the first.
    pub cutover_attempt: u32,
    /// The cutover under way, or the one that was committed; None after one was abandoned.
    pub cutover: Option<CutoverProgress>,
    /// Present from the commit on.
    pub cutover_report: Option<CutoverReport>,
    pub target_released: bool,
    /// What came late to the source and was accepted, by partition: from the cutover's end up to what was accepted last.
    pub late_accepted: BTreeMap<TopicPartition, LateRange>,
    /// Records that came late to the source, as of the acknowledgement that clients have switched.
    pub late_records: Option<i64>,
    /// The latest validation.
    pub validation: Option<ValidationReport>,
    /// The latest bundle that was stored.
    pub bundle: Option<StoredBundle>,
    /// The outcome that `finalize` recorded.
    pub outcome: Option<String>,
    /// The latest observation of each cluster, by the name it was journaled under.
    pub observed: BTreeMap<String, ClusterSnapshot>,
    /// What kferry has done to the clusters and not undone.
    pub footprint: Footprint,
    pub failures: Vec<Failure>,
    pub last_seq: u64,
    pub last_at: Timestamp,
}

/// One state and when it was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stage {
    pub state: State,
    #[cfg_attr(test, schemars(with = "String"))]
    pub entered_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrecheckCounts {
    pub blockers: usize,
    pub warnings: usize,
    pub informations: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedTotals {
    pub records: u64,
    pub bytes: u64,
    pub elapsed_ms: u64,
}

/// How far one partition has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Number of the last time that the partition was taken up, 0 before the first.
    pub take: u32,
    /// The producer id of that take.
    pub producer_id: Option<i64>,
    /// None before the first checkpoint, and again once the topic was created anew.
    pub checkpoint: Option<PartitionCheckpoint>,
    /// Where records do not keep their offsets: what has been journaled of where they went.
    pub map: Option<OffsetMap>,
    /// Set until the topic was created anew.
    pub quarantine: Option<Quarantine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub code: String,
    pub seen: String,
    pub at: Timestamp,
}

/// What one cutover attempt has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutoverProgress {
    pub attempt: u32,
    /// New topics that the operator leaves on the source.
    pub left_behind: Vec<String>,
    pub started_at: Timestamp,
    /// When the freeze ends by itself, once producers are frozen.
    pub expires_at: Option<String>,
    pub freeze_proven: bool,
    /// Producer id of the sentinel transaction, once it is written.
    pub sentinel_producer_id: Option<i64>,
    /// Where each partition's log ended when the freeze was proven; empty before the sentinels are written.
    pub frozen: Vec<FrozenPartition>,
    pub drained: bool,
    pub group_offsets_committed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBundle {
    pub key: String,
    pub version_id: Option<String>,
    pub sha256: String,
    pub key_id: String,
}

/// An attempt that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub at: Timestamp,
    pub state: State,
    pub code: String,
    pub seen: String,
    pub remedy: String,
}

impl Migration {
    /// Folds a whole journal.
    ///
    /// **Errors**: KF-JOURNAL-MISSING where there is no entry; KF-JOURNAL-CORRUPT, naming the line, where a fact may not
    /// happen where it stands.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self> {
        let mut migration = None;
        for entry in entries {
            Self::step(&mut migration, entry.seq, entry.at, &entry.fact)
                .map_err(|e| Error::new(Code::JournalCorrupt, format!("journal line {}: {}", entry.seq, e.seen())))?;
        }
        migration.ok_or_else(|| Error::new(Code::JournalMissing, "the journal has no entry"))
    }

    /// Applies the next fact to what was folded so far, which is None before the first.
    ///
    /// **Errors**: KF-STATE-ILLEGAL; then nothing has changed.
    pub fn step(migration: &mut Option<Self>, seq: u64, at: Timestamp, fact: &Fact) -> Result<()> {
        match migration {
            Some(migration) => migration.apply(seq, at, fact),
            None => {
                *migration = Some(Self::begin(seq, at, fact)?);
                Ok(())
            }
        }
    }

    /// Begins with a journal's first fact, which is the plan.
    ///
    /// **Errors**: KF-STATE-ILLEGAL for any other.
    pub fn begin(seq: u64, at: Timestamp, fact: &Fact) -> Result<Self> {
        let Fact::MigrationPlanned { plan, plan_sha256, config_sha256, config } = fact else {
            return Err(illegal(fact, "as a journal's first fact"));
        };
        Ok(Self {
            state: State::Planned,
            history: vec![Stage { state: State::Planned, entered_at: at }],
            plan: Arc::new((**plan).clone()),
            plan_sha256: plan_sha256.clone(),
            config_sha256: config_sha256.clone(),
            config: config.clone(),
            grant: None,
            precheck: None,
            seed_attempt: 0,
            seed: None,
            partitions: BTreeMap::new(),
            cutover_attempt: 0,
            cutover: None,
            cutover_report: None,
            target_released: false,
            late_accepted: BTreeMap::new(),
            late_records: None,
            validation: None,
            bundle: None,
            outcome: None,
            observed: BTreeMap::new(),
            footprint: Footprint::default(),
            failures: Vec::new(),
            last_seq: seq,
            last_at: at,
        })
    }

    /// The state after `fact`, if it may happen now.
    ///
    /// Beyond [`State::after`]: an effect completes or is refused once, after its intention; the steps of a cutover name the attempt
    /// under way; a cutover is committed only with its freeze proven, its sentinels written and its drain done; only
    /// what passed validation is finalized.
    ///
    /// **Errors**: KF-STATE-ILLEGAL.
    pub fn check(&self, fact: &Fact) -> Result<State> {
        let state = self.state.after(fact)?.unwrap_or(self.state);
        match fact {
            Fact::EffectIntended { id, .. } if *id < self.footprint.next_effect_id() => {
                return Err(illegal(fact, format!("with the effect number {id}, which was used before")));
            }
            Fact::EffectCompleted { id, .. } | Fact::EffectRefused { id, .. } if !self.footprint.is_pending(*id) => {
                return Err(illegal(fact, format!("for effect {id}, which is not under way")));
            }
            Fact::CutoverStarted { attempt, .. } if *attempt <= self.cutover_attempt => {
                return Err(illegal(fact, format!("with attempt {attempt}, which was used before")));
            }
            Fact::ProducersFrozen { attempt, .. }
            | Fact::FreezeProven { attempt, .. }
            | Fact::SentinelsWritten { attempt, .. }
            | Fact::Drained { attempt }
            | Fact::CutoverAbandoned { attempt, .. } => {
                self.cutover_under_way(fact, *attempt)?;
            }
            Fact::CutoverCommitted { report } => {
                let cutover = self.cutover_under_way(fact, report.attempt)?;
                if cutover.expires_at.is_none() || !cutover.freeze_proven {
                    return Err(illegal(fact, "before the freeze is proven"));
                }
                if cutover.sentinel_producer_id.is_none() {
                    return Err(illegal(fact, "before the sentinels are written"));
                }
                if !cutover.drained {
                    return Err(illegal(fact, "before the drain is done"));
                }
            }
            Fact::OffsetsMapped { partitions } => {
                for mapped in partitions {
                    let marks = decode_marks(&mapped.marks).map_err(|error| illegal(fact, error))?;
                    let map = self.partitions.get(&mapped.partition).and_then(|progress| progress.map.as_ref());
                    if marks.first().is_some_and(|mark| map.is_some_and(|map| !map.takes(*mark))) {
                        return Err(illegal(fact, format!("for {}, whose map goes on elsewhere", mapped.partition)));
                    }
                }
            }
            Fact::TargetReleased { .. } if !self.state.committed() => {
                return Err(illegal(fact, "before the cutover is committed"));
            }
            Fact::Finalized { .. } => match self.validation.as_ref().map(|v| v.outcome) {
                Some(Outcome::Passed | Outcome::Warning) => {}
                Some(Outcome::NotRun | Outcome::Failed) => return Err(illegal(fact, "while the last validation did not pass")),
                None => return Err(illegal(fact, "before a validation")),
            },
            _ => {}
        }
        Ok(state)
    }

    fn cutover_under_way(&self, fact: &Fact, attempt: u32) -> Result<&CutoverProgress> {
        match &self.cutover {
            Some(cutover) if self.state == State::Cutover && cutover.attempt == attempt => Ok(cutover),
            _ => Err(illegal(fact, format!("for cutover attempt {attempt}, which is not under way"))),
        }
    }

    /// Applies the next fact.
    ///
    /// **Errors**: KF-STATE-ILLEGAL; then nothing has changed.
    pub fn apply(&mut self, seq: u64, at: Timestamp, fact: &Fact) -> Result<()> {
        let next = self.check(fact)?;
        self.absorb(at, fact);
        if next != self.state {
            self.history.push(Stage { state: next, entered_at: at });
            self.state = next;
        }
        self.last_seq = seq;
        self.last_at = at;
        Ok(())
    }

    /// Takes over what a fact says; it may happen.
    fn absorb(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::MigrationPlanned { .. }
            | Fact::PrecheckStarted
            | Fact::TopologyCopyStarted
            | Fact::TopologyCopied { .. }
            | Fact::TailStarted
            | Fact::DrainReadyReached { .. }
            | Fact::DrainReadyLost { .. }
            | Fact::RolledBack { .. }
            | Fact::Interrupted { .. } => {}
            Fact::GrantRecorded { grant } => self.grant = Some(grant.clone()),
            &Fact::PrecheckCompleted { blockers, warnings, informations } => {
                self.precheck = Some(PrecheckCounts { blockers, warnings, informations });
            }
            Fact::SeedStarted { attempt } => self.seed_attempt = *attempt,
            &Fact::SeedCompleted { records, bytes, elapsed_ms } => self.seed = Some(SeedTotals { records, bytes, elapsed_ms }),
            Fact::PartitionsTaken { producer_id, partitions } => {
                for taken in partitions {
                    let progress = self.partition_mut(&taken.partition);
                    progress.take = taken.take;
                    progress.producer_id = Some(*producer_id);
                    let Some(map) = &mut progress.map else { continue };
                    map.truncate(TargetOffset(taken.next_offset));
                    // Other records may take the places of those that were stored ahead of their appends, or that the target has lost.
                    progress.checkpoint.iter_mut().for_each(|c| c.stored_offset = c.stored_offset.min(taken.next_offset));
                }
            }
            Fact::OffsetsMapped { partitions } => {
                for mapped in partitions {
                    let map = self.partition_mut(&mapped.partition).map.get_or_insert_default();
                    // Both were checked.
                    for mark in decode_marks(&mapped.marks).unwrap_or_default() {
                        let _ = map.mark(mark);
                    }
                }
            }
            Fact::ProducerRenewed { partition, producer_id } => self.partition_mut(partition).producer_id = Some(*producer_id),
            Fact::CopyCheckpointed { partitions } => {
                for checkpoint in partitions {
                    let progress = self.partition_mut(&checkpoint.partition);
                    progress.take = progress.take.max(checkpoint.take);
                    progress.checkpoint = Some(checkpoint.clone());
                }
            }
            Fact::PartitionQuarantined { partition, code, seen } => {
                self.partition_mut(partition).quarantine = Some(Quarantine { code: code.clone(), seen: seen.clone(), at });
            }
            Fact::CutoverStarted { attempt, left_behind } => {
                self.cutover_attempt = *attempt;
                self.cutover = Some(CutoverProgress {
                    attempt: *attempt,
                    left_behind: left_behind.clone(),
                    started_at: at,
                    expires_at: None,
                    freeze_proven: false,
                    sentinel_producer_id: None,
                    frozen: Vec::new(),
                    drained: false,
                    group_offsets_committed: false,
                });
            }
            Fact::ProducersFrozen { .. }
            | Fact::FreezeProven { .. }
            | Fact::SentinelsWritten { .. }
            | Fact::Drained { .. }
            | Fact::GroupOffsetsCommitted { .. } => {
                if let Some(cutover) = &mut self.cutover {
                    cutover.absorb(fact);
                }
            }
            Fact::CutoverAbandoned { attempt, code, seen, .. } => {
                self.cutover = None;
                self.footprint.abandon_cutover(*attempt);
                let remedy = Code::ALL.iter().find(|c| c.as_str() == code).map_or("", |c| c.remedy());
                self.fail(at, code, seen, remedy);
            }
            Fact::CutoverCommitted { report } => self.cutover_report = Some((**report).clone()),
            Fact::TargetReleased { .. } => self.target_released = true,
            Fact::LateWritesAccepted { partitions } => {
                for late in partitions {
                    let accepted = self.late_accepted.entry(late.partition.clone()).or_insert_with(|| late.clone());
                    let from = if accepted.topic_id == late.topic_id { accepted.from } else { late.from };
                    *accepted = LateRange { from, ..late.clone() };
                }
                // Whatever was validated before is not what the evidence is to say now.
                self.validation = None;
            }
            Fact::ClientSwitchAcknowledged { late_records } => {
                self.late_records = Some(*late_records);
                self.validation = None;
            }
            Fact::Validated { report } => self.validation = Some((**report).clone()),
            Fact::BundleStored { key, version_id, sha256, key_id } => {
                self.bundle =
                    Some(StoredBundle { key: key.clone(), version_id: version_id.clone(), sha256: sha256.clone(), key_id: key_id.clone() });
            }
            Fact::Finalized { outcome } => self.outcome = Some(outcome.clone()),
            Fact::EffectIntended { id, effect } => self.footprint.intend(*id, effect),
            Fact::EffectCompleted { id, .. } => {
                if let Some(Effect::RecreateTopic { topic, .. }) = self.footprint.complete(*id) {
                    self.forget_copy(&topic);
                }
            }
            Fact::EffectRefused { id, .. } => self.footprint.give_up(*id),
            Fact::AttemptFailed { code, seen, remedy } => self.fail(at, code, seen, remedy),
            Fact::ClusterObserved { cluster, snapshot } => {
                self.observed.insert(cluster.clone(), (**snapshot).clone());
            }
        }
    }

    fn partition_mut(&mut self, partition: &TopicPartition) -> &mut PartitionProgress {
        self.partitions.entry(partition.clone()).or_default()
    }

    /// A topic that was created anew is empty: only the number of takes goes on.
    fn forget_copy(&mut self, topic: &str) {
        for (_, progress) in self.partitions.iter_mut().filter(|(p, _)| &*p.topic == topic) {
            *progress = PartitionProgress { take: progress.take, ..Default::default() };
        }
    }

    fn fail(&mut self, at: Timestamp, code: &str, seen: &str, remedy: &str) {
        let state = self.state;
        self.failures.push(Failure { at, state, code: code.to_owned(), seen: seen.to_owned(), remedy: remedy.to_owned() });
    }

    pub fn id(&self) -> &str {
        &self.plan.migration_id
    }

    /// When the present state was entered.
    pub fn entered_at(&self) -> Timestamp {
        self.history.last().map_or(self.last_at, |stage| stage.entered_at)
    }

    /// A partition's latest checkpoint.
    pub fn checkpoint(&self, partition: &TopicPartition) -> Option<&PartitionCheckpoint> {
        self.partitions.get(partition)?.checkpoint.as_ref()
    }

    /// Where the records of a partition have gone that do not keep their offsets; None where they do.
    pub fn offset_map(&self, partition: &TopicPartition) -> Option<&OffsetMap> {
        self.partitions.get(partition)?.map.as_ref()
    }

    /// Runs of all partitions' maps.
    pub fn map_runs(&self) -> usize {
        self.partitions.values().filter_map(|p| p.map.as_ref()).map(|map| map.runs().len()).sum()
    }

    /// Where one of the source's offsets lies on the target.
    pub fn target_offset(&self, partition: &TopicPartition, source: i64) -> i64 {
        self.offset_map(partition).map_or(source, |map| map.translate(SourceOffset(source)).0)
    }

    /// Where on the source the target's record comes from, or the next one at its end.
    pub fn source_offset(&self, partition: &TopicPartition, target: i64) -> i64 {
        self.offset_map(partition).map_or(target, |map| map.invert(TargetOffset(target)).0)
    }

    /// The latest checkpoints of all partitions that have one.
    pub fn checkpoints(&self) -> impl Iterator<Item = &PartitionCheckpoint> {
        self.partitions.values().filter_map(|p| p.checkpoint.as_ref())
    }

    /// Partitions whose topics have to be created anew.
    pub fn quarantined(&self) -> impl Iterator<Item = (&TopicPartition, &Quarantine)> {
        self.partitions.iter().filter_map(|(partition, p)| Some((partition, p.quarantine.as_ref()?)))
    }
}

impl CutoverProgress {
    fn absorb(&mut self, fact: &Fact) {
        match fact {
            Fact::ProducersFrozen { expires_at, .. } => self.expires_at = Some(expires_at.clone()),
            Fact::FreezeProven { .. } => self.freeze_proven = true,
            Fact::SentinelsWritten { producer_id, partitions, .. } => {
                self.sentinel_producer_id = Some(*producer_id);
                self.frozen = partitions.clone();
            }
            Fact::Drained { .. } => self.drained = true,
            Fact::GroupOffsetsCommitted { attempt, .. } if *attempt == self.attempt => self.group_offsets_committed = true,
            _ => {}
        }
    }
}

fn illegal(fact: &Fact, how: impl std::fmt::Display) -> Error {
    Error::new(Code::StateIllegal, format!("{} may not happen {how}", fact.name()))
}

#[cfg(test)]
mod tests;
