//! `execute`: PLANNED … DRAIN_READY, then halts. Run again, it goes on where the journal ends.

use super::context::{self, Clusters, Context, Interrupt};
use super::copier::{CopyStatus, PartitionProgress};
use super::copying::{Copying, planned_partitions};
use super::limits::{PARTITIONS_NAMED_MAX, STOP_PATIENCE, UNPROVEN_OFFSETS_MAX};
use super::{health, locating, survey, topology};
use crate::cli::{findings, flags, print};
use crate::config::Config;
use crate::domain::finding::Severity;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Plan;
use crate::domain::planning;
use crate::domain::selection::topic_left_out;
use crate::error::{Code, Error, Exit, Result};
use crate::journal::Journal;
use crate::kafka::offsets::OffsetAt;
use crate::license;
use crate::machine::fact::Fact;
use crate::machine::state::State;
use crate::store;
use crate::telemetry::steps::Steps;
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// Runs the command.
pub fn run(config: &Config, args: &flags::Migration) -> Result<Exit> {
    context::block_on(async {
        let mut context = open(config, args).await?;
        match go(&mut context).await {
            Ok(()) => {
                print(&format!(
                    "drain_ready: every partition is within {} records of the source\nnext: kferry cutover --config {} --journal-dir {}",
                    context.config.cutover.drain_max_partition_lag,
                    args.config.display(),
                    args.journal_dir.display()
                ));
                Ok(Exit::Done)
            }
            Err(error) => Err(context.failed(error)),
        }
    })
}

/// Opens the journal, beginning it with the plan where it is new.
async fn open(config: &Config, args: &flags::Migration) -> Result<Context> {
    let mut journal = Journal::open(&args.journal_dir)?;
    if let Some(state) = journal.state() {
        drop(journal);
        tracing::info!(%state, "the migration is resumed");
        return Context::resume(config.clone(), args, "execute", |state| state <= State::DrainReady).await;
    }
    let interrupt = Interrupt::listen()?;
    // What cannot be reached is told by its own code; precheck would only call it a blocker.
    let config = &interrupt.or(locating::locate_both(config, None)).await?;
    let clusters = interrupt.or(Clusters::connect(config)).await?;
    let store = store::open(&config.backup).await?;
    interrupt.or(async { store.probe(None).await.usable().map_err(Error::from) }).await?;
    let plan = interrupt.or(survey::survey(config, None, &Steps::start())).await?;
    refuse_blockers(&plan)?;
    // Nothing is journaled before the licence is known to hold.
    license::obtain(license::FEATURE, &plan.migration_id, Timestamp::now(), None)?;
    let plan_json = findings::plan_json(&plan).map_err(|e| Error::new(Code::Bug, format!("the plan cannot be written: {e}")))?;
    let plan_sha256 = plan.sha256().to_string();
    let (config_sha256, effective) = (config.digest(), config.effective());
    journal.append(&Fact::MigrationPlanned { plan: Box::new(plan), plan_sha256, config_sha256, config: effective }, Timestamp::now())?;
    let _ = std::fs::write(args.journal_dir.join("plan.json"), plan_json);
    let mut context = Context { config: config.clone(), journal, clusters, store, interrupt };
    context.grant()?;
    Ok(context)
}


fn refuse_blockers(plan: &Plan) -> Result<()> {
    let blockers = planning::blockers(plan);
    if blockers.is_empty() {
        return Ok(());
    }
    print(&findings::precheck(plan, findings::Colour::Plain));
    Err(Error::new(Code::PrecheckBlocked, format!("precheck finds {}; nothing was changed", counted(blockers.len(), "blocker"))))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

async fn go(context: &mut Context) -> Result<()> {
    if context.migration()?.state <= State::Precheck {
        // On the heap, as the other large ones: unoptimised, their frames would together be too much for the main thread's stack.
        Box::pin(precheck(context)).await?;
    }
    check_source(context).await?;
    if context.migration()?.state == State::TopologyCopy {
        health::wait_until_healthy(context, false).await?;
        Box::pin(topology::copy(context)).await?;
        context.record(Fact::SeedStarted { attempt: 1 })?;
    }
    topology::recreate_quarantined(context).await?;
    health::wait_until_healthy(context, true).await?;
    let mut copying = Copying::begin(context).await?;
    let result = copy(context, &mut copying).await;
    copying.end(context, STOP_PATIENCE).await?;
    result
}

async fn precheck(context: &mut Context) -> Result<()> {
    context.record(Fact::PrecheckStarted)?;
    let interrupt = context.interrupt.clone();
    // The plan that was journaled a moment ago holds its findings; a resumed one is looked at again.
    let id = context.migration()?.id().to_owned();
    let plan = interrupt.or(survey::survey(&context.config, Some(id), &Steps::start())).await?;
    let count = |severity| plan.findings.iter().filter(|f| f.severity == severity).count();
    context.record(Fact::PrecheckCompleted {
        blockers: count(Severity::Blocker),
        warnings: count(Severity::Warning),
        informations: count(Severity::Information),
    })?;
    refuse_blockers(&plan)?;
    context.record(Fact::TopologyCopyStarted).map(drop)
}

/// Looks at what has changed on the source since the plan; a topic that was deleted or created anew ends the run.
pub async fn check_source(context: &mut Context) -> Result<()> {
    let interrupt = context.interrupt.clone();
    let config = context.config.clone();
    let snapshot = interrupt
        .or(context.clusters.source.snapshot(|t| topic_left_out(&config.topics, t, false).is_none(), |_| false))
        .await?;
    for drift in planning::reconcile(&context.migration()?.plan, &snapshot) {
        match drift.failure() {
            Some(code) => return Err(Error::new(code, drift.to_string())),
            None if drift.severity() >= Severity::Warning => eprintln!("warning: {drift}"),
            None => eprintln!("note: {drift}"),
        }
    }
    Ok(())
}

/// SEED where it is not done, then TAIL until DRAIN_READY.
async fn copy(context: &mut Context, copying: &mut Copying) -> Result<()> {
    if context.migration()?.state == State::Seed {
        seed(context, copying).await?;
    }
    copying.copier().tail();
    until_drain_ready(context, copying).await
}

async fn seed(context: &mut Context, copying: &mut Copying) -> Result<()> {
    let names = planned_partitions(&context.migration()?.plan);
    let interrupt = context.interrupt.clone();
    let ends = interrupt.or(context.clusters.source.offsets(&names, OffsetAt::LastStable)).await?;
    copying.copier().seed_ends(ends.clone());
    copying
        .run_until(context, |status| {
            status.partitions.iter().all(|p| p.next_offset >= ends.get(&p.partition).copied().unwrap_or(i64::MAX) && p.log_start_settled)
        })
        .await?;
    let (records, bytes) = copying.copied();
    // Over all runs that SEED took, and the pauses between them.
    let elapsed_ms = (Timestamp::now().as_millisecond() - context.migration()?.entered_at().as_millisecond()).max(0) as u64;
    context.record(Fact::SeedCompleted { records, bytes, elapsed_ms })?;
    context.record(Fact::TailStarted).map(drop)
}

/// Tails until every partition has been within the tolerance for the stable window.
///
/// **Errors**: KF-DRAIN-TIMEOUT, naming the partitions that are furthest behind.
pub async fn until_drain_ready(context: &mut Context, copying: &mut Copying) -> Result<()> {
    let cutover = context.config.cutover.clone();
    let window = Duration::from_millis(cutover.drain_stable_window_ms);
    let deadline = Instant::now() + Duration::from_millis(cutover.drain_timeout_ms) + window;
    let mut stable_since = None::<Instant>;
    let mut behind = Vec::<(i64, TopicPartition)>::new();
    let mut timed_out = false;
    let mut lag_records = 0;
    copying
        .run_until(context, |status| {
            let ready = within(status, cutover.drain_max_partition_lag);
            lag_records = status.partitions.iter().filter_map(|p| p.lag()).sum();
            match (ready, stable_since) {
                (false, _) => stable_since = None,
                (true, None) => stable_since = Some(Instant::now()),
                (true, Some(_)) => {}
            }
            timed_out = Instant::now() >= deadline && stable_since.is_none();
            if timed_out {
                behind = status.partitions.iter().map(|p| (p.lag().unwrap_or(i64::MAX), p.partition.clone())).collect();
                behind.sort_unstable_by(|a, b| b.cmp(a));
            }
            timed_out || stable_since.is_some_and(|since| since.elapsed() >= window)
        })
        .await?;
    if timed_out {
        let named: Vec<String> = behind.iter().take(PARTITIONS_NAMED_MAX).map(|(lag, p)| format!("{p} ({lag} records)")).collect();
        let seen = format!("after {} s in TAIL partitions are still behind: {}", cutover.drain_timeout_ms / 1000, named.join(", "));
        return Err(Error::new(Code::DrainTimeout, seen));
    }
    if context.migration()?.state == State::Tail {
        context.record(Fact::DrainReadyReached { lag_records })?;
    }
    Ok(())
}

/// Whether every partition is close enough to the source's end, read again nearly as far, its log start in place, and nothing
/// waits for anybody.
pub fn within(status: &CopyStatus, lag_max: i64) -> bool {
    let close = |p: &PartitionProgress| {
        let unproven = p.next_offset - p.verified_offset;
        p.stop.is_none() && p.log_start_settled && p.lag().is_some_and(|lag| lag <= lag_max) && unproven <= lag_max.max(UNPROVEN_OFFSETS_MAX)
    };
    status.waiting_because.is_none() && status.partitions.iter().all(close)
}
