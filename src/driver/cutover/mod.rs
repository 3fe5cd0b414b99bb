//! `cutover`: freeze → proof of the freeze → sentinels → drain → group offsets → commit, or back to TAIL.
//!
//! Before the commit, whatever fails, dies or runs late leaves producers free to go on at the source. The commit is the
//! journal's `CutoverCommitted`, durable well before the freeze runs out; after it, the cutover stands.

mod freeze_proof;
pub mod groups;
mod left_behind;
mod permissions;
mod transactions;

use super::context::{self, Context};
use super::copying::{Copying, planned_partitions};
use super::execute::{check_source, until_drain_ready, within};
use super::limits::{COMMIT_RESERVE_MAX, COMMIT_RESERVE_MIN, DECISION_POLL_INTERVAL, LAST_SEGMENTS_PATIENCE, LAST_STABLE_PATIENCE, STOP_PATIENCE};
use super::effects::open;
use super::{changes, health, release};
use crate::cli::{flags, print};
use crate::config::Config;
use crate::config::model::FreezeMode;
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Exit, Result};
use crate::freeze::manual::Terminal;
use crate::freeze::{Freeze, FreezeRequest};
use crate::kafka::offsets::OffsetAt;
use crate::kafka::sentinel::{EmptyTransaction, Written};
use crate::machine::fact::{CutoverReport, Effect, Fact, FrozenPartition, GroupOutcome};
use crate::machine::state::State;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Runs the command. `left_behind` are topics that came to the source after the plan and are to stay there.
pub fn run(config: &Config, args: &flags::Migration, left_behind: &[String]) -> Result<Exit> {
    context::block_on(async {
        let legal = |state| matches!(state, State::Tail | State::DrainReady | State::Cutover | State::AwaitingClientSwitch);
        let mut context = Context::resume(config.clone(), args, "cutover", legal).await?;
        match go(&mut context, left_behind).await {
            Ok(()) => report(&context, args),
            Err(error) => {
                let error = context.failed(error);
                Err(if context.migration()?.state.committed() && !matches!(error.code(), Code::StateIllegal | Code::LateWrites) { unfinished(&context, &error)? } else { error })
            }
        }
    })
}

/// What failed behind the commit, told as that: who reads of a failure alone lets producers go on at the source.
fn unfinished(context: &Context, error: &Error) -> Result<Error> {
    let since = context.migration()?.cutover_report.as_ref().map_or("", |report| report.committed_at.as_str());
    Ok(Error::new(Code::CutoverUnfinished, format!("the target is the cluster of record since {since}, and what was to follow is not done: {}: {}", error.code().as_str(), error.seen())))
}

/// Says how the cutover went; a warning where somebody has to see to something that the plan did not foresee.
fn report(context: &Context, args: &flags::Migration) -> Result<Exit> {
    let migration = context.migration()?;
    let Some(report) = &migration.cutover_report else { return Ok(Exit::Done) };
    let carried = report.groups.iter().filter(|g| g.left_alone.is_empty()).count();
    print(&format!(
        "awaiting_client_switch: the target is the cluster of record since {}\nproducers were frozen for {} ms; {carried} groups carried over, {} left alone",
        report.committed_at,
        report.freeze_ms,
        report.groups.len() - carried,
    ));
    for group in report.groups.iter().filter(|g| !g.left_alone.is_empty()) {
        print(&format!("  left alone: {}: {}", group.group_id, group.left_alone));
    }
    let (config, journal) = (args.config.display(), args.journal_dir.display());
    print(&format!("next: point every client at the target, then kferry cutover-ack --config {config} --journal-dir {journal}"));
    let foreseen = |id: &str| migration.plan.groups.iter().any(|g| g.group_id == id && !g.left_alone.is_empty());
    let unforeseen = report.groups.iter().any(|g| !g.left_alone.is_empty() && !g.offsets.is_empty() && !foreseen(&g.group_id));
    Ok(if unforeseen || release::notice_is_open(migration) { Exit::Warning } else { Exit::Done })
}

async fn go(context: &mut Context, left_behind: &[String]) -> Result<()> {
    let freeze = Freeze::open(&context.config.cutover, Terminal::of_process())?;
    match context.migration()?.state {
        // The commit was durable before the last run ended; what follows it is rolled forward.
        State::AwaitingClientSwitch if !release::is_due(context)? => {
            return Err(Error::new(Code::StateIllegal, "the cutover is done; next is `kferry cutover-ack`"));
        }
        State::AwaitingClientSwitch => return release::release_target(context).await,
        State::Cutover => abandon_dead_attempt(context, &freeze).await?,
        _ => {}
    }
    changes::refuse(&context.config, context.migration()?)?;
    refuse_quarantined(context)?;
    let interrupt = context.interrupt.clone();
    interrupt.or(left_behind::check_names(&context.clusters.source, &context.migration()?.plan, left_behind)).await?;
    freeze.ready()?;
    check_source(context).await?;
    refuse_left_behind(context, left_behind).await?;
    health::wait_until_healthy(context, true).await?;
    permissions::check(context).await?;
    let mut copying = Copying::begin(context).await?;
    copying.copier().tail();
    let result = attempt(context, &mut copying, &freeze, left_behind).await;
    // The target is released first: what is left to do for the store keeps nobody waiting.
    let result = match result {
        Ok(()) => release::release_target(context).await,
        Err(error) => Err(error),
    };
    let patience = if context.migration()?.state.committed() { LAST_SEGMENTS_PATIENCE } else { STOP_PATIENCE };
    let ended = copying.end(context, patience).await;
    result.and(ended.map(drop))
}

/// What has to be made anew is made so by `execute`: a freeze would be for nothing.
fn refuse_quarantined(context: &Context) -> Result<()> {
    let migration = context.migration()?;
    let Some((partition, quarantine)) = migration.quarantined().next() else { return Ok(()) };
    Err(Error::new(Code::CopyQuarantined, format!("{partition}: {}; `execute` makes its topic anew", quarantine.seen)))
}

async fn refuse_left_behind(context: &Context, left_behind: &[String]) -> Result<()> {
    let interrupt = context.interrupt.clone();
    interrupt.or(left_behind::refuse(&context.clusters.source, &context.migration()?.plan, &context.config, left_behind)).await
}

/// An attempt whose process died before the commit: its producers are let go again, wherever it stood.
pub async fn abandon_dead_attempt(context: &mut Context, freeze: &Freeze) -> Result<()> {
    let attempt = context.migration()?.cutover_attempt;
    let migration = context.migration()?;
    // As it was asked for, where nobody had confirmed it yet.
    let asked = migration.footprint.pending.values().find_map(|effect| match effect {
        Effect::FreezeProducers { attempt: of, expires_at, .. } if *of == attempt => Some(expires_at),
        _ => None,
    });
    let expires_at = migration.cutover.as_ref().and_then(|c| c.expires_at.as_ref()).or(asked).and_then(|at| at.parse().ok());
    let request = request(context, attempt, expires_at.unwrap_or_else(Timestamp::now))?;
    let error = Error::new(Code::Interrupted, "the process that ran the attempt ended before its commit");
    abandon(context, freeze, &request, &error).await
}

pub fn request(context: &Context, attempt: u32, expires_at: Timestamp) -> Result<FreezeRequest> {
    let plan = &context.migration()?.plan;
    let topics = plan.topics.iter().map(|t| t.name.clone()).collect();
    Ok(FreezeRequest { migration_id: plan.migration_id.clone(), attempt, topics, expires_at })
}

/// Thaws, and folds back to TAIL.
async fn abandon(context: &mut Context, freeze: &Freeze, request: &FreezeRequest, error: &Error) -> Result<()> {
    let reason = error.to_string();
    let intended = context.intend(Effect::ThawProducers { attempt: request.attempt, reason: reason.clone() });
    // Also where the journal cannot be written: this attempt does not commit any more.
    let thawed = freeze.thaw(request, &reason).await;
    let id = intended?;
    match &thawed {
        Ok(()) => context.complete(id, "thawed")?,
        Err(unheard) => {
            eprintln!("warning: producers could not be told to go on: {unheard}; the freeze ends by itself at {}", request.expires_at);
            context.complete(id, format!("not heard: {}", unheard.code().as_str()))?;
        }
    }
    let (attempt, thawed) = (request.attempt, thawed.is_ok());
    context
        .record(Fact::CutoverAbandoned { attempt, code: error.code().as_str().to_owned(), seen: error.seen().to_owned(), thawed })
        .map(drop)
}

async fn attempt(context: &mut Context, copying: &mut Copying, freeze: &Freeze, left_behind: &[String]) -> Result<()> {
    let tolerance = context.config.cutover.drain_max_partition_lag;
    if context.migration()?.state == State::Tail {
        until_drain_ready(context, copying).await?;
    }
    // The copy goes on while transactions are waited for.
    let (names, ended) = (planned_partitions(&context.migration()?.plan), AtomicBool::new(false));
    let (source, config) = (context.clusters.source.clone(), context.config.clone());
    let transactions = async {
        transactions::ended(&source, &names, &config).await?;
        ended.store(true, Ordering::Relaxed);
        Ok(())
    };
    let caught_up = copying.run_until(context, |status| ended.load(Ordering::Relaxed) && within(status, tolerance));
    futures::try_join!(transactions, caught_up)?;
    let number = context.migration()?.cutover_attempt + 1;
    // Warms the transactional id: the first use of one takes about a second.
    let sentinel_id = format!("kferry-{}-sentinel-{number}", context.migration()?.id());
    let interrupt = context.interrupt.clone();
    let sentinels = interrupt.or(EmptyTransaction::begin(&context.clusters.source_cluster, &sentinel_id)).await?;
    end_earlier_sentinels(context).await?;
    let before = freeze_proof::producers(context).await;
    context.record(Fact::CutoverStarted { attempt: number, left_behind: left_behind.to_vec() })?;

    let max_freeze = Duration::from_millis(context.config.cutover.max_producer_freeze_ms);
    // Somebody who stops producers by hand gets the drain's time for it; the freeze itself counts from the confirmation.
    let manual = context.config.cutover.freeze == FreezeMode::Manual;
    let patience = if manual { Duration::from_millis(context.config.cutover.drain_timeout_ms) } else { max_freeze };
    let mut request = request(context, number, after(Timestamp::now(), patience))?;
    match frozen(context, copying, freeze, &sentinels, &before, &mut request, max_freeze).await {
        // An entry that could not be written may be durable all the same: whoever opens the journal next decides, and nobody is thawed here.
        Ok(report) => context.record(Fact::CutoverCommitted { report: Box::new(report) }).map(drop),
        Err(error) => {
            abandon(context, freeze, &request, &error).await?;
            Err(error)
        }
    }
}

/// A sentinels' transaction that an earlier attempt has begun and not ended would be ended by its coordinator a minute later, in the midst of this one.
async fn end_earlier_sentinels(context: &mut Context) -> Result<()> {
    let begun = open(context, |effect| match effect {
        Effect::WriteSentinels { transactional_id, .. } => Some(transactional_id.clone()),
        _ => None,
    })?;
    for (id, transactional_id) in begun {
        let interrupt = context.interrupt.clone();
        interrupt.or(EmptyTransaction::begin(&context.clusters.source_cluster, &transactional_id)).await?;
        context.complete(id, "over: a later attempt has ended its transaction")?;
    }
    Ok(())
}

fn after(from: Timestamp, duration: Duration) -> Timestamp {
    from.checked_add(jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// From the freeze to the brink of the commit.
async fn frozen(
    context: &mut Context,
    copying: &mut Copying,
    freeze: &Freeze,
    sentinels: &EmptyTransaction,
    before: &freeze_proof::Producers,
    request: &mut FreezeRequest,
    max_freeze: Duration,
) -> Result<CutoverReport> {
    let number = request.attempt;
    let asked_at = Instant::now();
    let mode = match context.config.cutover.freeze {
        FreezeMode::Manual => "manual",
        FreezeMode::Webhook => "webhook",
        FreezeMode::Acl => "acl",
    };
    let id = context.intend(Effect::FreezeProducers { attempt: number, mode: mode.to_owned(), expires_at: request.expires_at.to_string() })?;
    let interrupt = context.interrupt.clone();
    // The copy goes on meanwhile, and what it needs of the journal with it.
    let confirmed = tokio::select! {
        biased;
        confirmed = interrupt.or(freeze.freeze(request)) => confirmed?,
        stopped = copying.run_until(context, |_| false) => {
            stopped?;
            return Err(Error::new(Code::Bug, "the copy has ended while the freeze was asked for"));
        }
    };
    context.complete(id, "frozen")?;
    // Producers stand still from the moment they were asked to, unless a person stopped them one by one.
    let (frozen_at, frozen_since) = match mode {
        "manual" => {
            request.expires_at = after(confirmed.confirmed_at, max_freeze);
            (confirmed.confirmed_at, Instant::now())
        }
        _ => (after(confirmed.confirmed_at, Duration::ZERO), asked_at),
    };
    context.record(Fact::ProducersFrozen { attempt: number, expires_at: request.expires_at.to_string() })?;
    let reserve = (max_freeze / 10).clamp(COMMIT_RESERVE_MIN, COMMIT_RESERVE_MAX);
    let deadline = frozen_since + max_freeze.saturating_sub(reserve);
    let work = to_the_brink(context, copying, sentinels, before, number, deadline);
    let (sentinel_producer_id, partitions, groups, groups_with_members_on_source) = match tokio::time::timeout_at(deadline.into(), work).await {
        Ok(done) => done?,
        Err(_) => {
            let step = context.migration()?.cutover.as_ref().map_or("freeze", next_step);
            let seen = format!("{} ms of freeze were not enough; still to do: {step}", max_freeze.as_millis());
            return Err(Error::new(Code::FreezeDeadline, seen));
        }
    };
    context.interrupt.check()?;
    // By the clock that the freeze was announced with, too: a machine that was suspended has not counted that time.
    if Instant::now() >= deadline || after(Timestamp::now(), reserve) > request.expires_at {
        return Err(Error::new(Code::FreezeDeadline, format!("{} ms of freeze were not enough; still to do: the commit", max_freeze.as_millis())));
    }
    Ok(CutoverReport {
        attempt: number,
        mode: mode.to_owned(),
        frozen_at: format!("{frozen_at:.3}"),
        committed_at: format!("{:.3}", Timestamp::now()),
        freeze_ms: frozen_since.elapsed().as_millis() as u64,
        sentinel_producer_id,
        partitions,
        groups,
        groups_with_members_on_source,
    })
}

fn next_step(cutover: &crate::machine::fold::CutoverProgress) -> &'static str {
    match cutover {
        c if !c.freeze_proven => "the proof of the freeze",
        c if c.sentinel_producer_id.is_none() => "the sentinels",
        c if !c.drained => "the drain",
        c if !c.group_offsets_committed => "the groups' offsets",
        _ => "the commit",
    }
}

/// Everything between the freeze and the commit.
async fn to_the_brink(
    context: &mut Context,
    copying: &mut Copying,
    sentinels: &EmptyTransaction,
    before: &freeze_proof::Producers,
    number: u32,
    deadline: Instant,
) -> Result<(i64, Vec<FrozenPartition>, Vec<GroupOutcome>, Vec<String>)> {
    let proof = freeze_proof::prove(context, before, deadline).await?;
    context.record(Fact::FreezeProven { attempt: number, settle_ms: proof.settle_ms, producers_seen: proof.producers_seen })?;
    let partitions = write_sentinels(context, sentinels, number, &proof.ends).await?;
    drain(context, copying, number, &partitions).await?;
    still_frozen(context, &partitions).await?;
    let groups = groups::carry_over(context, number, &partitions).await?;
    // Nothing hangs on it, and the evidence does not say that there are none where nobody could tell.
    let members = groups::with_members_on_source(context).await.unwrap_or_else(|error| vec![format!("could not be told: {}", error.seen())]);
    let left_behind = context.migration()?.cutover.as_ref().map_or(&[][..], |cutover| &cutover.left_behind);
    refuse_left_behind(context, left_behind).await?;
    still_frozen(context, &partitions).await?;
    Ok((sentinels.identity().producer_id, partitions, groups, members))
}

async fn write_sentinels(
    context: &mut Context,
    sentinels: &EmptyTransaction,
    number: u32,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Result<Vec<FrozenPartition>> {
    let transactional_id = sentinels.transactional_id().to_owned();
    let id = context.intend(Effect::WriteSentinels { attempt: number, transactional_id, partitions: ends.len() })?;
    let interrupt = context.interrupt.clone();
    match interrupt.or(sentinels.write(ends, true)).await? {
        Written::Placed => {}
        Written::NotBegun(misplaced) | Written::Overrun(misplaced) => {
            let named: Vec<String> = misplaced.iter().take(5).map(|m| format!("{} (end {} instead of {})", m.partition, m.log_end, m.expected_end)).collect();
            return Err(Error::new(Code::FreezeNotProven, format!("somebody still writes to {}", named.join(", "))));
        }
    }
    context.complete(id, "placed")?;
    let names: Vec<TopicPartition> = ends.keys().cloned().collect();
    let starts = interrupt.or(context.clusters.source.offsets(&names, OffsetAt::Earliest)).await?;
    let partitions: Vec<FrozenPartition> = ends
        .iter()
        .map(|(partition, end)| FrozenPartition {
            partition: partition.clone(),
            frozen_end: *end,
            log_start: starts.get(partition).copied().unwrap_or(0),
        })
        .collect();
    let producer_id = sentinels.identity().producer_id;
    context.record(Fact::SentinelsWritten { attempt: number, producer_id, partitions: partitions.clone() })?;
    Ok(partitions)
}

/// Copies to the end, sentinel included, reads it again, and lets the target's log starts follow the source's.
async fn drain(context: &mut Context, copying: &mut Copying, number: u32, partitions: &[FrozenPartition]) -> Result<()> {
    let ends: BTreeMap<TopicPartition, i64> = partitions.iter().map(|p| (p.partition.clone(), p.frozen_end + 1)).collect();
    copying.run_until(context, |status| status.has_copied(&ends)).await?;
    // The copy ends with the sentinel: nothing that is written to the source after it may reach the target.
    copying.copier().fetch_no_more();
    copying.copier().raise_log_starts(partitions.iter().map(|p| (p.partition.clone(), p.log_start)).collect());
    let on_target = |of: fn(&FrozenPartition) -> i64| -> Result<BTreeMap<TopicPartition, i64>> {
        let migration = context.migration()?;
        Ok(partitions.iter().map(|p| (p.partition.clone(), migration.target_offset(&p.partition, of(p)))).collect())
    };
    let (starts, ends) = (on_target(|p| p.log_start)?, on_target(|p| p.frozen_end + 1)?);
    loop {
        copying.run_until(context, |status| status.partitions.iter().all(|p| p.log_start_settled)).await?;
        // Asked of the brokers, since a DeleteRecords is not durable at once.
        let names: Vec<TopicPartition> = starts.keys().cloned().collect();
        let seen = context.clusters.target.offsets(&names, OffsetAt::Earliest).await?;
        refuse_trimmed(context, &starts, &seen)?;
        if starts.iter().all(|(partition, start)| seen.get(partition).is_some_and(|seen| seen >= start)) {
            break;
        }
        context.clusters.target.delete_records(&starts).await?;
    }
    // Consumers of `read_committed` must not stand before a transaction of ours; each has ended with a control record that was copied.
    let names: Vec<TopicPartition> = ends.keys().cloned().collect();
    let began = Instant::now();
    loop {
        let decided = context.clusters.target.offsets(&names, OffsetAt::LastStable).await?;
        let Some((partition, end)) = ends.iter().find(|(partition, end)| decided.get(*partition) != Some(end)) else { break };
        // A new leader takes a moment to know.
        if began.elapsed() >= LAST_STABLE_PATIENCE {
            let seen = format!("{partition} ends at {end} on the target, but a transaction is open there from {} on", decided.get(partition).copied().unwrap_or(-1));
            return Err(Error::new(Code::CopyQuarantined, seen));
        }
        tokio::time::sleep(DECISION_POLL_INTERVAL).await;
    }
    context.record(Fact::Drained { attempt: number }).map(drop)
}

/// Nothing of a log that we fill is deleted by anybody but us, and never more than the source has let go of.
///
/// **Errors**: KF-COPY-QUARANTINED, journaled: such a topic is made anew.
fn refuse_trimmed(context: &mut Context, starts: &BTreeMap<TopicPartition, i64>, seen: &BTreeMap<TopicPartition, i64>) -> Result<()> {
    let trimmed = starts.iter().filter_map(|(partition, due)| Some((partition, due, seen.get(partition).filter(|seen| *seen > due)?)));
    let trimmed: Vec<(TopicPartition, String)> =
        trimmed.map(|(partition, due, seen)| (partition.clone(), format!("the target's log starts at {seen}, and {due} is due: somebody has deleted records there"))).collect();
    let Some((partition, seen)) = trimmed.first().cloned() else { return Ok(()) };
    let more = if trimmed.len() > 1 { format!(" (and {} more)", trimmed.len() - 1) } else { String::new() };
    for (partition, seen) in trimmed {
        context.record(Fact::PartitionQuarantined { partition, code: Code::CopyQuarantined.as_str().to_owned(), seen })?;
    }
    Err(Error::new(Code::CopyQuarantined, format!("{partition}: {seen}{more}")))
}

/// The source's ends, looked at once more.
async fn still_frozen(context: &Context, partitions: &[FrozenPartition]) -> Result<()> {
    let names: Vec<TopicPartition> = partitions.iter().map(|p| p.partition.clone()).collect();
    let ends = context.clusters.source.offsets(&names, OffsetAt::LogEnd).await?;
    let moved: Vec<String> = partitions
        .iter()
        .filter(|p| ends.get(&p.partition) != Some(&(p.frozen_end + 1)))
        .map(|p| format!("{} (end {} instead of {})", p.partition, ends.get(&p.partition).copied().unwrap_or(-1), p.frozen_end + 1))
        .collect();
    match moved.is_empty() {
        true => Ok(()),
        false => Err(Error::new(Code::FreezeNotProven, format!("somebody wrote after the sentinels: {}", moved.join(", ")))),
    }
}
