//! After the commit: whoever stopped the producers is told, and the target's topics get their own settings and ACLs.
//!
//! The cutover stands whatever fails here, so it is only ever rolled forward, by the command that committed or by any later one.

use super::context::Context;
use super::effects::{self, intend_once};
use super::{acls, cutover, late_writes, quotas, topics, topology};
use crate::domain::acl::AclBinding;
use crate::domain::partition::TopicPartition;
use crate::domain::config_diff::same_value;
use crate::domain::plan::{Plan, TopicPlan};
use crate::domain::planning::names;
use crate::error::{Code, Error, Result};
use crate::freeze::manual::Terminal;
use crate::freeze::{Freeze, FreezeRequest};
use crate::journal::Entry;
use crate::kafka::configs::Configs;
use crate::kafka::offsets::OffsetAt;
use crate::machine::fact::{Effect, Fact};
use crate::machine::fold::Migration;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Whether something is still to be done after the commit.
pub fn is_due(context: &Context) -> Result<bool> {
    let migration = context.migration()?;
    Ok(migration.state.committed() && (unfinished(migration) || (may_be_missed(migration) && !taken_back(migration, &context.journal.entries()?).is_empty())))
}

/// Whether bindings of clients are not ours by now, or are about to be deleted: only then the journal is read for the reason.
fn may_be_missed(migration: &Migration) -> bool {
    let footprint = &migration.footprint;
    let is_doomed = |binding: &AclBinding| footprint.pending.values().any(|effect| matches!(effect, Effect::DeleteAcls { bindings } if bindings.contains(binding)));
    clients_bindings(migration).any(|binding| !footprint.acls_created.contains(binding) || is_doomed(binding))
}

fn unfinished(migration: &Migration) -> bool {
    !migration.target_released || notice_is_open(migration)
}

/// Creates again the bindings of clients that a rollback has deleted which was refused, or never came to its end.
///
/// Nothing is done once it has begun to delete topics: from there only the rollback goes on. **Errors**: as for
/// [`acls::create_acls`].
pub async fn let_in_again(context: &mut Context) -> Result<()> {
    if !may_be_missed(context.migration()?) {
        return Ok(());
    }
    let entries = context.journal.entries()?;
    let bindings = taken_back(context.migration()?, &entries);
    if bindings.is_empty() {
        return Ok(());
    }
    let created = acls::create_acls(context, &bindings).await?;
    eprintln!("note: {created} ACL bindings that a rollback had deleted on the target are there again");
    Ok(())
}

fn clients_bindings(migration: &Migration) -> impl Iterator<Item = &AclBinding> {
    migration.plan.acls.iter().flat_map(|acls| acls.create.iter().chain(&acls.withheld).filter(|b| !acls.own.contains(b)))
}

/// Clients' bindings that a rollback has deleted, or was about to, and that were not created again since; none once it has begun to delete topics. What others took away is
/// not among them.
fn taken_back(migration: &Migration, entries: &[Entry]) -> Vec<AclBinding> {
    let mut creations = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for entry in entries {
        match &entry.fact {
            Fact::EffectIntended { effect: Effect::DeleteTopic { .. }, .. } => return Vec::new(),
            Fact::EffectIntended { effect: Effect::DeleteAcls { bindings }, .. } => gone.extend(bindings),
            Fact::EffectIntended { id, effect: Effect::CreateAcls { bindings } } => drop(creations.insert(id, bindings)),
            Fact::EffectCompleted { id, .. } => {
                let created = creations.remove(id).into_iter().flatten();
                created.for_each(|binding| _ = gone.remove(binding));
            }
            _ => {}
        }
    }
    clients_bindings(migration).filter(|b| gone.contains(b)).cloned().collect()
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
    if !is_due(context)? {
        return Ok(());
    }
    refuse_run_out(context).await?;
    // First: the freeze ends by itself, and then producers would go on at the source.
    tell_committed(context).await?;
    let_in_again(context).await?;
    if context.migration()?.target_released {
        return Ok(());
    }
    hold_log_starts(context).await?;
    restore_settings(context).await?;
    let plan = context.migration()?.plan.clone();
    // Before the quotas: without these producers are shut out, without those nobody is.
    let withheld = plan.acls.as_ref().map_or(&[][..], |acls| &acls.withheld);
    acls::create_acls(context, withheld).await?;
    set_withheld_quotas(context, &plan).await?;
    context.record(Fact::TargetReleased { topics: plan.topics.len(), bindings: withheld.len() }).map(drop)
}

/// Where the freeze has run out before anybody was told of the commit, producers may have gone on at the source, and the target is closed to them still:
/// as long as it is, a rollback loses nothing.
///
/// **Errors**: KF-LATE-WRITES; the source's unavailability.
async fn refuse_run_out(context: &Context) -> Result<()> {
    let migration = context.migration()?;
    let Some(report) = migration.cutover_report.as_ref().filter(|_| !migration.target_released) else { return Ok(()) };
    if notice_was_heard(&context.journal.entries()?, report.attempt) || freeze_request(context, report.attempt)?.expires_at > Timestamp::now() {
        return Ok(());
    }
    let closed = "the freeze ran out before the commit could be told, and the target is still closed, so that `rollback` loses nothing now";
    late_writes::refuse(context).await.map(drop).map_err(|error| if error.code() == Code::LateWrites { error.within(closed) } else { error })
}

/// Sets the limits that would have slowed the copy down, save where somebody has changed them on the target since the plan.
async fn set_withheld_quotas(context: &mut Context, plan: &Plan) -> Result<()> {
    quotas::settle_quotas(context).await?;
    let withheld = plan.quotas.as_ref().map_or(&[][..], |quotas| &quotas.withheld);
    if withheld.is_empty() {
        return Ok(());
    }
    let mut wanted = quotas::set(withheld);
    let changed = quotas::spare_changed(&mut wanted, plan, &quotas::present(&context.clusters.target).await?, &context.migration()?.footprint.quotas);
    if !changed.is_empty() {
        eprintln!("WARNING: client quotas were changed on the target since the plan was made, and are left as they are: {}", names(&changed));
    }
    quotas::set_quotas(context, &wanted).await.map(drop)
}

fn is_notice(effect: &Effect, of: u32) -> bool {
    matches!(effect, Effect::NotifyCommitted { attempt } if *attempt == of)
}

/// Whether who stopped the producers was to be told of the commit, and has not heard it.
pub fn notice_is_open(migration: &Migration) -> bool {
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
pub fn freeze_request(context: &Context, attempt: u32) -> Result<FreezeRequest> {
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
    let of_plan: Vec<String> = plan.topics.iter().map(|t| t.name.clone()).collect();
    let present = context.clusters.target.topic_configs(&of_plan).await?;
    for topic in &plan.topics {
        let Some(configs) = present.get(&topic.name) else {
            return Err(Error::new(Code::KafkaRefused, format!("target: topic {} does not exist any more", topic.name)));
        };
        let changes = topics::to_exactly(configs, &topic.configs);
        if !changes.is_empty() {
            let others = set_by_others(&plan, topic, configs, &changes);
            if !others.is_empty() {
                eprintln!("warning: topic {}: what somebody has set on the target since the plan gives way to the plan's settings: {}", topic.name, names(&others));
            }
            topics::set_topic_configs(context, &topic.name, changes).await?;
        }
    }
    Ok(())
}

/// Those of the settings to be changed that neither kferry has set, nor the plan has seen on the topic.
fn set_by_others(plan: &Plan, topic: &TopicPlan, present: &Configs, changes: &topics::Changes) -> Vec<String> {
    let copying = topology::while_copying(topic);
    let planned_on = plan.target.as_ref().and_then(|t| t.topic(&topic.name)).map(|t| &t.configs);
    let is_known = |key: &String, value: &str| {
        let seen = planned_on.and_then(|configs| topics::own(configs, key));
        [copying.get(key).map(String::as_str), seen].into_iter().flatten().any(|known| same_value(key, known, value))
    };
    let set = changes.keys().filter_map(|key| Some((key, topics::own(present, key)?)));
    set.filter(|(key, value)| !is_known(key, value)).map(|(key, value)| format!("{key} was {value}")).collect()
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
    use crate::domain::topology::{ConfigSource, ConfigValue};
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
        assert!(unfinished(&folded(facts.clone())));
        facts.push(Fact::EffectIntended { id: 9, effect: Effect::NotifyCommitted { attempt: 1 } });
        facts.push(Fact::TargetReleased { topics: 1, bindings: 1 });
        assert!(unfinished(&folded(facts.clone())), "the notice is not heard yet");
        facts.push(Fact::EffectCompleted { id: 9, outcome: "told".into() });
        assert!(!unfinished(&folded(facts)));
    }

    #[test]
    fn what_a_rollback_has_deleted_is_missed_until_it_is_created_again() {
        let mut facts = committed();
        let migration = folded(facts.clone());
        let mut clients: Vec<AclBinding> = clients_bindings(&migration).cloned().collect();
        assert!(!clients.is_empty());
        let missed = |facts: &[Fact]| {
            let missed = !taken_back(&migration, &entries(facts.to_vec())).is_empty();
            assert!(!missed || may_be_missed(&folded(facts.to_vec())), "the journal would not be looked at");
            missed
        };
        assert!(!missed(&facts));
        let stranger = AclBinding { principal: "User:stranger".into(), ..clients[0].clone() };
        facts.push(Fact::EffectIntended { id: 90, effect: Effect::DeleteAcls { bindings: vec![stranger] } });
        assert!(!missed(&facts), "nobody of ours");
        facts.push(Fact::EffectIntended { id: 91, effect: Effect::DeleteAcls { bindings: clients.clone() } });
        assert!(missed(&facts));
        facts.push(Fact::EffectCompleted { id: 91, outcome: "gone".into() });
        facts.push(Fact::EffectIntended { id: 92, effect: Effect::CreateAcls { bindings: clients.clone() } });
        assert!(missed(&facts), "about to be created");
        let mut back = taken_back(&migration, &entries(facts.clone()));
        (back.sort(), clients.sort());
        assert_eq!(back, clients);
        let deleting = [facts.clone(), vec![Fact::EffectIntended { id: 93, effect: Effect::DeleteTopic { topic: "orders".into() } }]].concat();
        assert!(!missed(&deleting), "there is only the way back");
        facts.push(Fact::EffectCompleted { id: 92, outcome: "there".into() });
        assert!(!missed(&facts));
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
    fn what_gives_way_at_the_release_is_named_unless_it_is_ours() {
        let plan = sample::plan();
        let topic = &plan.topics[0];
        let (key, ours) = topic.overrides.iter().next().expect("the sample has overrides");
        let on_topic = |value: &str| -> Configs { [(key.clone(), ConfigValue { value: Some(value.to_owned()), source: ConfigSource::Topic })].into() };
        let changes: topics::Changes = [(key.clone(), None)].into();
        assert_eq!(set_by_others(&plan, topic, &on_topic(ours), &changes), Vec::<String>::new());
        assert_eq!(set_by_others(&plan, topic, &on_topic("4711"), &changes), [format!("{key} was 4711")]);
    }

    #[test]
    fn only_log_starts_that_fell_back_are_raised() {
        let due = [(partition(0), 10), (partition(1), 15)].into();
        let starts = [(partition(0), 9), (partition(1), 15)].into();
        assert_eq!(fallen_back(due, &starts), [(partition(0), 10)].into());
    }
}
