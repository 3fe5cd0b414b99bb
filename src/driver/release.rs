//! After the commit: whoever stopped the producers is told, and the target's topics get their own settings and ACLs.
//!
//! The cutover stands whatever fails here, so it is only ever rolled forward, by the command that committed or by any later one.

use super::context::Context;
use super::effects::{self, intend_once};
use super::{acls, cutover, quotas, topics};
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result};
use crate::freeze::manual::Terminal;
use crate::freeze::{Freeze, FreezeRequest};
use crate::journal::Entry;
use crate::kafka::offsets::OffsetAt;
use crate::machine::fact::{Effect, Fact};
use crate::machine::fold::Migration;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Whether something is still to be done after the commit.
pub fn is_due(migration: &Migration) -> bool {
    migration.state.committed() && (!migration.target_released || notice_is_open(migration))
}

/// Does what is still to be done after the commit; safe to repeat, and done at once where nothing is.
///
/// Who stopped the producers and cannot be told is a warning, and is told by the next command.
/// **Errors**: KF-KAFKA-REFUSED naming the topic's setting, or where ACLs may not be altered; the target's unavailability.
pub async fn release_target(context: &mut Context) -> Result<()> {
    let interrupt = context.interrupt.clone();
    interrupt.or(roll_forward(context)).await
}

async fn roll_forward(context: &mut Context) -> Result<()> {
    if !is_due(context.migration()?) {
        return Ok(());
    }
    // First: the freeze ends by itself, and then producers would go on at the source.
    tell_committed(context).await?;
    if context.migration()?.target_released {
        return Ok(());
    }
    hold_log_starts(context).await?;
    restore_settings(context).await?;
    let plan = context.migration()?.plan.clone();
    let limits = plan.quotas.as_ref().map_or(&[][..], |quotas| &quotas.withheld);
    quotas::set_quotas(context, &quotas::set(limits)).await?;
    let withheld = plan.acls.as_ref().map_or(&[][..], |acls| &acls.withheld);
    acls::create_acls(context, withheld).await?;
    context.record(Fact::TargetReleased { topics: plan.topics.len(), bindings: withheld.len() }).map(drop)
}

fn is_notice(effect: &Effect, of: u32) -> bool {
    matches!(effect, Effect::NotifyCommitted { attempt } if *attempt == of)
}

fn notice_is_open(migration: &Migration) -> bool {
    let Some(report) = &migration.cutover_report else { return false };
    migration.footprint.pending.values().any(|effect| is_notice(effect, report.attempt))
}

/// Whether the journal says that the notice of this attempt's commit was heard.
fn notice_was_heard(entries: &[Entry], attempt: u32) -> bool {
    let mut sent = BTreeSet::new();
    entries.iter().any(|entry| match &entry.fact {
        Fact::EffectIntended { id, effect } if is_notice(effect, attempt) => {
            sent.insert(*id);
            false
        }
        Fact::EffectCompleted { id, .. } => sent.contains(id),
        _ => false,
    })
}

async fn tell_committed(context: &mut Context) -> Result<()> {
    let migration = context.migration()?;
    let Some(attempt) = migration.cutover_report.as_ref().map(|report| report.attempt) else { return Ok(()) };
    let open = notice_is_open(migration);
    if !open && (migration.target_released || notice_was_heard(&context.journal.entries()?, attempt)) {
        return Ok(());
    }
    let request = freeze_request(context, attempt)?;
    let id = intend_once(context, Effect::NotifyCommitted { attempt })?;
    let told = match Freeze::open(&context.config.cutover, Terminal::of_process()) {
        Ok(freeze) => freeze.committed(&request).await,
        Err(unusable) => Err(unusable),
    };
    match told {
        Ok(()) => context.complete(id, "told"),
        Err(unheard) => {
            eprintln!(
                "WARNING: the cutover stands, but who stopped the producers could not be told: {unheard}\n\
                 WARNING: see to it by hand that no producer starts again at the source (the freeze ends by itself at {}); the next command tells it again",
                request.expires_at
            );
            Ok(())
        }
    }
}

/// The committed attempt's freeze, as it was asked for.
fn freeze_request(context: &Context, attempt: u32) -> Result<FreezeRequest> {
    let migration = context.migration()?;
    let expires_at = migration.cutover.as_ref().and_then(|c| c.expires_at.as_ref()?.parse().ok());
    cutover::request(context, attempt, expires_at.unwrap_or_else(Timestamp::now))
}

/// A DeleteRecords is not durable at once: a broker that died since may have come back with an earlier log start.
async fn hold_log_starts(context: &mut Context) -> Result<()> {
    let Some(report) = &context.migration()?.cutover_report else { return Ok(()) };
    let target = &context.clusters.target;
    let names: Vec<TopicPartition> = report.partitions.iter().map(|p| p.partition.clone()).collect();
    let migration = context.migration()?;
    let due = report.partitions.iter().map(|p| (p.partition.clone(), migration.target_offset(&p.partition, p.log_start))).collect();
    let fallen = fallen_back(due, &target.offsets(&names, OffsetAt::Earliest).await?);
    if !fallen.is_empty() {
        eprintln!("note: the log starts of {} partitions on the target had fallen back and are raised again", fallen.len());
        target.delete_records(&fallen).await?;
    }
    Ok(())
}

/// Partitions whose log starts before the source's did, each with where it has to start.
fn fallen_back(mut due: BTreeMap<TopicPartition, i64>, starts: &BTreeMap<TopicPartition, i64>) -> BTreeMap<TopicPartition, i64> {
    due.retain(|partition, due| starts.get(partition).is_some_and(|start| start < due));
    due
}

/// Leaves on each topic exactly the settings that were planned for it.
async fn restore_settings(context: &mut Context) -> Result<()> {
    let plan = context.migration()?.plan.clone();
    for topic in unsettled_topics(context)? {
        topics::settle_topic_configs(context, &topic).await?;
    }
    let names: Vec<String> = plan.topics.iter().map(|t| t.name.clone()).collect();
    let present = context.clusters.target.topic_configs(&names).await?;
    for topic in &plan.topics {
        let Some(configs) = present.get(&topic.name) else {
            return Err(Error::new(Code::KafkaRefused, format!("target: topic {} does not exist any more", topic.name)));
        };
        let changes = topics::to_exactly(configs, &topic.configs);
        if !changes.is_empty() {
            topics::set_topic_configs(context, &topic.name, changes).await?;
        }
    }
    Ok(())
}

fn unsettled_topics(context: &Context) -> Result<BTreeSet<String>> {
    let open = effects::open(context, |effect| match effect {
        Effect::SetTopicConfigs { topic, .. } => Some(topic.clone()),
        _ => None,
    })?;
    Ok(open.into_iter().map(|(_, topic)| topic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample::{self, entries, partition, planned};
    use crate::machine::state::State;

    fn committed() -> Vec<Fact> {
        let committed = |(state, _): &(State, Vec<Fact>)| *state < State::AwaitingClientSwitch;
        std::iter::once(planned()).chain(sample::way().into_iter().filter(committed).flat_map(|(_, facts)| facts)).collect()
    }

    fn folded(facts: Vec<Fact>) -> Migration {
        Migration::fold(&entries(facts)).unwrap()
    }

    #[test]
    fn the_release_is_due_from_the_commit_until_all_of_it_is_done() {
        let mut facts = committed();
        assert!(is_due(&folded(facts.clone())));
        assert!(!is_due(&folded(facts[..facts.len() - 1].to_vec())), "before the commit");
        facts.push(Fact::EffectIntended { id: 9, effect: Effect::NotifyCommitted { attempt: 1 } });
        facts.push(Fact::TargetReleased { topics: 1, bindings: 1 });
        assert!(is_due(&folded(facts.clone())), "the notice is not heard yet");
        facts.push(Fact::EffectCompleted { id: 9, outcome: "told".into() });
        assert!(!is_due(&folded(facts)));
    }

    #[test]
    fn a_notice_is_heard_once_it_is_completed() {
        let sent = |attempt| Fact::EffectIntended { id: 9, effect: Effect::NotifyCommitted { attempt } };
        let heard = Fact::EffectCompleted { id: 9, outcome: "told".into() };
        let journal = |more: Vec<Fact>| entries(committed().into_iter().chain(more));
        assert!(!notice_was_heard(&journal(vec![]), 1));
        assert!(!notice_was_heard(&journal(vec![sent(1)]), 1));
        assert!(notice_was_heard(&journal(vec![sent(1), heard.clone()]), 1));
        assert!(!notice_was_heard(&journal(vec![sent(2), heard]), 1));
    }

    #[test]
    fn only_log_starts_that_fell_back_are_raised() {
        let due = [(partition(0), 10), (partition(1), 15)].into();
        let starts = [(partition(0), 9), (partition(1), 15)].into();
        assert_eq!(fallen_back(due, &starts), [(partition(0), 10)].into());
    }
}
