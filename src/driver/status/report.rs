//! A migration's status as one value, made from the journal's facts and a look at the clusters.

use super::look::{Look, SideLook};
use super::throughput::{Throughput, millis};
use super::waiting;
use crate::config::Config;
use crate::config::model::StoreConfig;
use crate::driver::locating::recalled;
use crate::domain::partition::TopicPartition;
use crate::domain::runbook::{Paths, command};
use crate::domain::transaction::OpenTransaction;
use crate::driver::copying::planned_partitions;
use crate::kafka::cluster::Side;
use crate::evidence::comparison::Comparison;
use crate::journal::Writer;
use crate::machine::fold::{Migration, Stage};
use crate::machine::state::State;
use crate::validation::report::{CheckResult, Outcome};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// Failures that are told, the latest first.
const FAILURES_MAX: usize = 5;

/// Everything that a status is made from.
pub(super) struct Facts<'a> {
    pub config: &'a Config,
    pub migration: &'a Migration,
    pub throughput: &'a Throughput,
    pub look: &'a Look,
    pub writer: Writer,
    pub paths: Paths<'a>,
    pub now: Timestamp,
}

impl Facts<'_> {
    /// The source's bootstrap servers, as Kafka's tools take them.
    pub(super) fn source_servers(&self) -> String {
        recalled(Side::Source, self.config, self.migration).bootstrap_servers.join(",")
    }
}

/// Where a migration stands. Times are UTC; durations milliseconds.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    pub migration_id: String,
    pub state: State,
    #[cfg_attr(test, schemars(with = "String"))]
    pub entered_at: Timestamp,
    pub in_state_ms: u64,
    #[cfg_attr(test, schemars(with = "String"))]
    pub now: Timestamp,
    /// The process that holds the journal; None where nobody does, or it cannot be told.
    pub running_pid: Option<u32>,
    /// Why it does not go on by itself; empty where it does.
    pub waiting_because: Vec<String>,
    /// What to type next, ready for a shell; None when nothing is left to do.
    pub next_command: Option<String>,
    pub progress: Progress,
    /// The furthest behind first.
    pub partitions: Vec<PartitionStatus>,
    /// Transactions that hold back what can be copied of the source; None where they could not be read, and after the cutover.
    pub open_transactions: Option<Vec<TransactionStatus>>,
    /// The latest first.
    pub failures: Vec<FailureStatus>,
    /// The cutover attempt that is under way.
    pub cutover: Option<CutoverStatus>,
    pub committed: Option<CommittedStatus>,
    pub groups: Vec<GroupStatus>,
    pub validation: Option<ValidationStatus>,
    /// What was planned beside what came of it, from the end of SEED on.
    pub comparison: Option<Comparison>,
    /// Where the bundle was stored.
    pub bundle: Option<String>,
    pub outcome: Option<String>,
    /// Effects that were intended and not completed; the next run probes them.
    pub pending_effects: usize,
    pub history: Vec<Stage>,
    pub journal_entries: u64,
    #[cfg_attr(test, schemars(with = "String"))]
    pub journaled_at: Timestamp,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub checkpointed_at: Option<Timestamp>,
}

/// The copy as a whole.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Progress {
    /// Offsets that the target has acknowledged, of those that the source has or had since its log start.
    pub records_done: u64,
    /// None while the source cannot be read.
    pub records_total: Option<u64>,
    /// Bytes copied and read again.
    pub bytes_done: u64,
    pub lag_records: Option<u64>,
    pub records_per_s: Option<u64>,
    pub bytes_per_s: Option<u64>,
    /// Only in SEED; later it depends on how fast producers write.
    pub eta_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartitionStatus {
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// As of the last checkpoint; None before the first.
    pub next_offset: Option<i64>,
    pub verified_offset: Option<i64>,
    pub stored_offset: Option<i64>,
    /// Where the source ends now: the last stable offset; after the cutover the high watermark.
    pub source_end: Option<i64>,
    /// None where the source could not be read, and after the cutover.
    pub lag_records: Option<i64>,
    /// Records that the source has taken since the cutover; None before it.
    pub late_records: Option<i64>,
    pub take: u32,
    pub quarantine: Option<String>,
}

impl PartitionStatus {
    pub fn name(&self) -> String {
        self.partition.to_string()
    }
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TransactionStatus {
    #[serde(flatten)]
    pub transaction: OpenTransaction,
    /// Whether nothing will end it by itself.
    pub hanging: bool,
    /// Whether a cutover would refuse to freeze producers while it is open.
    pub outlasts_freeze: bool,
    /// The same in words.
    pub seen: String,
    pub remedy: String,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailureStatus {
    #[cfg_attr(test, schemars(with = "String"))]
    pub at: Timestamp,
    pub state: State,
    pub code: String,
    pub seen: String,
    pub remedy: String,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CutoverStatus {
    pub attempt: u32,
    #[cfg_attr(test, schemars(with = "String"))]
    pub started_at: Timestamp,
    pub expires_at: Option<String>,
    pub freeze_proven: bool,
    pub sentinels_written: bool,
    pub drained: bool,
    pub group_offsets_committed: bool,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CommittedStatus {
    pub attempt: u32,
    pub committed_at: String,
    pub freeze_ms: u64,
    /// Whether the topics have their own settings again, and the withheld ACLs are there.
    pub target_released: bool,
    /// As of the acknowledgement that clients have switched.
    pub late_records: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupStatus {
    pub group_id: String,
    /// `planned`, `carried_over` or `left_alone`.
    pub outcome: &'static str,
    /// Why it is left alone; empty otherwise.
    pub reason: String,
    /// None where it could not be read.
    pub members_on_source: Option<usize>,
    pub members_on_target: Option<usize>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ValidationStatus {
    pub outcome: Outcome,
    pub validated_at: String,
    pub checks: Vec<CheckResult>,
}

impl Status {
    pub(super) fn of(facts: Facts) -> Self {
        let Facts { migration, now, .. } = facts;
        let mut partitions = partitions(migration, facts.look.source.as_ref());
        partitions.sort_by_key(|p| std::cmp::Reverse((p.quarantine.is_some(), p.late_records.max(p.lag_records))));
        Self {
            migration_id: migration.id().to_owned(),
            state: migration.state,
            entered_at: migration.entered_at(),
            in_state_ms: millis(now, migration.entered_at()).max(0).unsigned_abs(),
            now,
            running_pid: match facts.writer {
                Writer::Process(pid) => Some(pid),
                Writer::Nobody | Writer::Unknown => None,
            },
            waiting_because: waiting::reasons(&facts, &partitions),
            next_command: next_command(&facts),
            progress: progress(&facts, &partitions),
            open_transactions: open_transactions(&facts),
            failures: failures(migration),
            cutover: cutover(migration),
            committed: committed(migration),
            groups: groups(migration, facts.look),
            validation: migration.validation.as_ref().map(|v| ValidationStatus {
                outcome: v.outcome,
                validated_at: v.validated_at.clone(),
                checks: v.checks.clone(),
            }),
            comparison: migration.seed.map(|_| Comparison::of(migration)),
            bundle: migration.bundle.as_ref().map(|b| location(&facts.config.evidence.store, &b.key)),
            outcome: migration.outcome.clone(),
            pending_effects: migration.footprint.pending.len(),
            history: migration.history.clone(),
            journal_entries: migration.last_seq,
            journaled_at: migration.last_at,
            checkpointed_at: facts.throughput.last_at(),
            partitions,
        }
    }
}

fn partitions(migration: &Migration, source: Option<&SideLook>) -> Vec<PartitionStatus> {
    let planned: BTreeMap<TopicPartition, i64> = {
        let starts = migration.plan.topics.iter().flat_map(|t| t.partitions.iter().map(|p| p.log_start));
        planned_partitions(&migration.plan).into_iter().zip(starts).collect()
    };
    let frozen: BTreeMap<&TopicPartition, i64> = match &migration.cutover_report {
        // The sentinel itself takes the offset where the log was frozen.
        Some(report) => report.partitions.iter().map(|p| (&p.partition, p.frozen_end + 1)).collect(),
        None => BTreeMap::new(),
    };
    planned
        .into_iter()
        .map(|(partition, log_start)| {
            let progress = migration.partitions.get(&partition);
            let checkpoint = progress.and_then(|p| p.checkpoint.as_ref());
            let source_end = source.and_then(|s| s.ends.get(&partition).copied());
            // In the source's offsets, which the target's are unless the partition is mapped.
            let on_source = |target: i64| migration.source_offset(&partition, target);
            let copied = checkpoint.map_or(log_start, |c| on_source(c.next_offset.max(c.source_log_start)));
            // What was accepted is late no more.
            let accepted = migration.late_accepted.get(&partition).map(|late| late.next_offset);
            let committed_end = accepted.or_else(|| frozen.get(&partition).copied());
            PartitionStatus {
                next_offset: checkpoint.map(|c| on_source(c.next_offset)),
                verified_offset: checkpoint.map(|c| on_source(c.verified_offset)),
                stored_offset: checkpoint.map(|c| on_source(c.stored_offset)),
                source_end,
                lag_records: source_end.filter(|_| committed_end.is_none()).map(|end| (end - copied).max(0)),
                late_records: source_end.zip(committed_end).map(|(end, committed)| (end - committed).max(0)),
                take: progress.map_or(0, |p| p.take),
                quarantine: progress.and_then(|p| p.quarantine.as_ref()).map(|q| format!("{}: {}", q.code, q.seen)),
                partition,
            }
        })
        .collect()
}

fn progress(facts: &Facts, partitions: &[PartitionStatus]) -> Progress {
    let checkpoints = || facts.migration.checkpoints();
    let records_done = checkpoints().map(|c| (c.next_offset - c.source_log_start).max(0)).sum::<i64>().unsigned_abs();
    let lag = || partitions.iter().map(|p| p.lag_records).sum::<Option<i64>>().map(i64::unsigned_abs);
    let lag_records = if facts.migration.state.committed() { None } else { lag() };
    let rate = facts.throughput.rate(facts.now);
    let eta_ms = match (facts.migration.state, lag_records, rate) {
        (State::Seed, Some(lag), Some(rate)) if rate.records_per_s > 0 => Some(lag.saturating_mul(1_000) / rate.records_per_s),
        _ => None,
    };
    Progress {
        records_done,
        records_total: lag_records.map(|lag| records_done + lag),
        bytes_done: checkpoints().map(|c| c.counts.bytes).sum(),
        lag_records,
        records_per_s: rate.map(|r| r.records_per_s),
        bytes_per_s: rate.map(|r| r.bytes_per_s),
        eta_ms,
    }
}

fn open_transactions(facts: &Facts) -> Option<Vec<TransactionStatus>> {
    let open = facts.look.source.as_ref()?.open_transactions.as_ref()?;
    let now_ms = facts.now.as_millisecond();
    let servers = facts.source_servers();
    let status = |t: &OpenTransaction| TransactionStatus {
        hanging: t.hangs(now_ms),
        outlasts_freeze: t.outlasts(now_ms, facts.config.cutover.max_producer_freeze_ms),
        seen: t.describe(now_ms),
        remedy: t.remedy(now_ms, &servers),
        transaction: t.clone(),
    };
    Some(open.iter().map(status).collect())
}

fn failures(migration: &Migration) -> Vec<FailureStatus> {
    let failures = migration.failures.iter().rev().take(FAILURES_MAX).map(|f| FailureStatus {
        at: f.at,
        state: f.state,
        code: f.code.clone(),
        seen: f.seen.clone(),
        remedy: f.remedy.clone(),
    });
    failures.collect()
}

fn cutover(migration: &Migration) -> Option<CutoverStatus> {
    let c = migration.cutover.as_ref().filter(|_| migration.state == State::Cutover)?;
    Some(CutoverStatus {
        attempt: c.attempt,
        started_at: c.started_at,
        expires_at: c.expires_at.clone(),
        freeze_proven: c.freeze_proven,
        sentinels_written: c.sentinel_producer_id.is_some(),
        drained: c.drained,
        group_offsets_committed: c.group_offsets_committed,
    })
}

fn committed(migration: &Migration) -> Option<CommittedStatus> {
    let report = migration.cutover_report.as_ref()?;
    Some(CommittedStatus {
        attempt: report.attempt,
        committed_at: report.committed_at.clone(),
        freeze_ms: report.freeze_ms,
        target_released: migration.target_released,
        late_records: migration.late_records,
    })
}

fn groups(migration: &Migration, look: &Look) -> Vec<GroupStatus> {
    let members = |side: &Option<SideLook>, group_id: &str| {
        let members = side.as_ref()?.members.as_ref()?;
        Some(members.get(group_id).copied().unwrap_or(0))
    };
    let status = |group_id: &str, outcome, reason: &str| GroupStatus {
        group_id: group_id.to_owned(),
        outcome,
        reason: reason.to_owned(),
        members_on_source: members(&look.source, group_id),
        members_on_target: members(&look.target, group_id),
    };
    match &migration.cutover_report {
        Some(report) => {
            let outcome = |reason: &str| if reason.is_empty() { "carried_over" } else { "left_alone" };
            report.groups.iter().map(|g| status(&g.group_id, outcome(&g.left_alone), &g.left_alone)).collect()
        }
        None => {
            let outcome = |reason: &str| if reason.is_empty() { "planned" } else { "left_alone" };
            migration.plan.groups.iter().map(|g| status(&g.group_id, outcome(&g.left_alone), &g.left_alone)).collect()
        }
    }
}

fn next_command(facts: &Facts) -> Option<String> {
    let migration = facts.migration;
    let passed = || migration.validation.as_ref().is_some_and(|v| matches!(v.outcome, Outcome::Passed | Outcome::Warning));
    let name = match migration.state {
        State::Validating if passed() => "finalize",
        State::Validating => "validate",
        State::Finalized if migration.bundle.is_none() => "finalize",
        State::Finalized => return Some("kferry verify BUNDLE --public-key KEY".to_owned()),
        state => state.next_command()?,
    };
    Some(command(name, facts.paths))
}

fn location(store: &StoreConfig, key: &str) -> String {
    match store {
        StoreConfig::S3 { bucket, prefix, .. } => format!("s3://{bucket}/{prefix}{key}"),
        StoreConfig::Directory { path } => path.join(key).display().to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
