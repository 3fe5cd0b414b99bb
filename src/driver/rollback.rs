//! `rollback`: undoes on the target what the journal says that kferry did there, as long as no record can be lost by it.

pub(super) mod ours;

use super::aborters;
use super::context::{self, Context};
use super::copying::planned_partitions;
use super::effects::{intend_once, open, read_back};
use super::{acls, cutover, quotas, release, scram_secrets, topics};
use crate::cli::{flags, print};
use crate::config::Config;
use crate::domain::acl::AclBinding;
use crate::domain::config_diff::same_value;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::{Plan, TopicAction};
use crate::domain::quota::{QuotaEntity, QuotaValue};
use crate::domain::topology::ConfigSource;
use crate::error::{Code, Error, Exit, Result};
use crate::freeze::Freeze;
use crate::freeze::manual::Terminal;
use crate::journal::Entry;
use crate::kafka::configs::Configs;
use crate::kafka::offsets::OffsetAt;
use crate::machine::fact::{Effect, Fact};
use crate::machine::footprint::{ConfigChange, Footprint};
use crate::machine::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// Runs the command.
pub fn run(config: &Config, args: &flags::Migration) -> Result<Exit> {
    context::block_on(async {
        let legal = |state| state <= State::AwaitingClientSwitch;
        let mut context = Context::resume(config.clone(), args, "rollback", legal).await?;
        let interrupt = context.interrupt.clone();
        match interrupt.or(roll_back(&mut context)).await {
            Ok(undone) => {
                report(&context, &undone)?;
                Ok(Exit::Done)
            }
            Err(error) => Err(context.failed(error)),
        }
    })
}

/// What was undone, and what could not be put back as it was.
struct Undone {
    topics_deleted: usize,
    bindings_deleted: usize,
    /// Partitions of adopted topics that are empty again, with the offset at which their logs go on.
    emptied: BTreeMap<TopicPartition, i64>,
    /// Topics that were to be created when an earlier run ended, and that somebody else has created.
    strangers: Vec<String>,
    /// Limits that somebody has changed since kferry set them.
    limits_changed: Vec<String>,
    after_commit: bool,
}

async fn roll_back(context: &mut Context) -> Result<Undone> {
    if context.migration()?.state == State::Cutover {
        let freeze = Freeze::open(&context.config.cutover, Terminal::of_process())?;
        cutover::abandon_dead_attempt(context, &freeze).await?;
    }
    let after_commit = context.migration()?.state.committed();
    // An earlier run has come to its last step, after which kferry may be let do nothing any more.
    if acls::own_acls_go(context)? {
        return conclude(context, BTreeMap::new(), Vec::new(), Vec::new(), after_commit).await;
    }
    prove(context).await?;
    let strangers = settle(context).await?;
    let migration = context.migration()?;
    let bindings: Vec<AclBinding> = migration.footprint.acls_created.iter().filter(|b| !migration.plan.own_acls().contains(b)).cloned().collect();
    acls::delete_acls(context, &bindings).await?;
    // Who was let in by these bindings may have written until now.
    prove(context).await?;
    let partitions = planned_partitions(&context.migration()?.plan);
    aborters::abort_left_open(&context.clusters.target, context.migration()?.id(), &partitions).await?;
    delete_topics(context).await?;
    let emptied = empty_adopted(context).await?;
    restore_settings(context).await?;
    let removed: Vec<AclBinding> = context.migration()?.footprint.acls_removed.iter().cloned().collect();
    acls::create_acls(context, &removed).await?;
    let limits_changed = quotas::put_back(context).await?;
    let secrets = scram_secrets::disassociate(context).await?;
    if secrets > 0 {
        eprintln!("note: {secrets} SCRAM secrets that kferry associated with the target are not any more; the secrets themselves stay");
    }
    limits_changed.iter().for_each(|limit| eprintln!("WARNING: {limit} was changed on the target since kferry set it, and is left as it is"));
    conclude(context, emptied, strangers, limits_changed, after_commit).await
}

/// Proves that nothing of anybody's can be lost; a refusal takes nobody's access away, also where an earlier run had begun to.
async fn prove(context: &mut Context) -> Result<()> {
    let Err(refusal) = ours::prove(context).await else { return Ok(()) };
    if refusal.code() == Code::RollbackUnsafe
        && let Err(error) = release::let_in_again(context).await
    {
        shut_out(&error);
    }
    Err(refusal)
}

fn shut_out(error: &Error) {
    eprintln!("WARNING: the rollback is refused, but ACL bindings that it had deleted could not be created again: {error}\nWARNING: clients may lack access to the target until the next command has created them");
}

/// The last steps: kferry's own bindings go, and the journal ends.
async fn conclude(context: &mut Context, emptied: BTreeMap<TopicPartition, i64>, strangers: Vec<String>, limits_changed: Vec<String>, after_commit: bool) -> Result<Undone> {
    if after_commit {
        let_producers_go_on(context).await?;
    }
    acls::delete_own_acls(context).await?;
    let (topics_deleted, bindings_deleted) = undone(&context.journal.entries()?);
    context.record(Fact::RolledBack { topics_deleted, bindings_deleted })?;
    Ok(Undone { topics_deleted, bindings_deleted, emptied, strangers, limits_changed, after_commit })
}

/// Whoever was told that the cutover stands keeps producers off the source until he hears otherwise.
async fn let_producers_go_on(context: &mut Context) -> Result<()> {
    let Some(attempt) = context.migration()?.cutover_report.as_ref().map(|report| report.attempt) else { return Ok(()) };
    let (request, reason) = (release::freeze_request(context, attempt)?, "the migration is rolled back after its cutover");
    let id = intend_once(context, Effect::ThawProducers { attempt, reason: reason.to_owned() })?;
    let told = match Freeze::open(&context.config.cutover, Terminal::of_process()) {
        Ok(freeze) => freeze.thaw(&request, reason).await,
        Err(unusable) => Err(unusable),
    };
    match told {
        Ok(()) => context.complete(id, "thawed"),
        Err(unheard) => {
            eprintln!("WARNING: who stopped the producers could not be told that they go on at the source: {unheard}\nWARNING: see to it by hand that they do");
            context.complete(id, format!("not heard: {}", unheard.code().as_str()))
        }
    }
}

/// Closes what an interrupted run has left open. What was to be done may have happened, so it is undone as if it had; what an
/// earlier rollback was about to undo is performed. Says which topics that were to be created are there and are not ours.
async fn settle(context: &mut Context) -> Result<Vec<String>> {
    let creations = open(context, |effect| match effect {
        Effect::CreateTopic { topic, configs, .. } => Some((topic.clone(), configs.clone())),
        _ => None,
    })?;
    let names: Vec<String> = creations.iter().map(|(_, (topic, _))| topic.clone()).collect();
    let present = context.clusters.target.topic_configs(&names).await?;
    let mut strangers = Vec::new();
    for (id, (topic, configs)) in creations {
        match present.get(&topic) {
            // Whoever created it did not set what we were about to set; the intention stays open.
            Some(seen) if !topics::holds(seen, &configs) => strangers.push(topic),
            Some(_) | None => context.complete(id, "taken as done, since it is undone now")?,
        }
    }
    let footprint = context.migration()?.footprint.clone();
    let doubtful = open(context, |effect| match effect {
        undoing if undoes(&footprint, undoing) => None,
        Effect::SetTopicConfigs { .. } | Effect::CreateAcls { .. } | Effect::DeleteAcls { .. } | Effect::SetQuotas { .. } => Some("taken as done, since it is undone now"),
        Effect::RecreateTopic { .. } => Some("given up: the topic is deleted now"),
        Effect::NotifyCommitted { .. } => Some("given up: the migration is rolled back"),
        Effect::ThawProducers { .. } => Some("told by a later attempt"),
        Effect::FreezeProducers { .. } | Effect::WriteSentinels { .. } | Effect::CommitGroupOffsets { .. } | Effect::UploadBundle { .. } => {
            Some("over: the migration is rolled back")
        }
        // A deletion follows, under the same number; a creation was looked at above, and secrets are where they are undone.
        Effect::DeleteTopic { .. } | Effect::CreateTopic { .. } | Effect::AssociateScramSecret { .. } | Effect::DisassociateScramSecret { .. } => None,
    })?;
    doubtful.into_iter().try_for_each(|(id, outcome)| context.complete(id, outcome))?;
    acls::settle_acls(context).await?;
    quotas::settle_quotas(context).await?;
    settle_settings(context).await?;
    Ok(strangers)
}

/// Whether the effect puts something back as it was before kferry. An earlier rollback has left it open then, and calling it
/// done would leave it undone for good. Whatever else is open may have been refused, and is not attempted again.
fn undoes(footprint: &Footprint, effect: &Effect) -> bool {
    match effect {
        Effect::CreateAcls { bindings } => bindings.iter().any(|b| footprint.acls_removed.contains(b)),
        Effect::DeleteAcls { bindings } => bindings.iter().any(|b| footprint.acls_created.contains(b)),
        Effect::SetTopicConfigs { topic, configs, .. } => {
            footprint.configs.get(topic).is_some_and(|changed| configs.iter().any(|(key, value)| changed.get(key).is_some_and(|c| c.before == *value)))
        }
        Effect::SetQuotas { changes } => {
            let is_back = |limit: (&QuotaEntity, &String, &Option<QuotaValue>)| footprint.quotas.get(limit.0).and_then(|c| c.get(limit.1)).is_some_and(|c| c.before == *limit.2);
            changes.iter().any(|change| change.values.iter().any(|(key, value)| is_back((&change.entity, key, value))))
        }
        Effect::CreateTopic { .. }
        | Effect::RecreateTopic { .. }
        | Effect::DeleteTopic { .. }
        | Effect::AssociateScramSecret { .. }
        | Effect::DisassociateScramSecret { .. }
        | Effect::FreezeProducers { .. }
        | Effect::ThawProducers { .. }
        | Effect::WriteSentinels { .. }
        | Effect::CommitGroupOffsets { .. }
        | Effect::NotifyCommitted { .. }
        | Effect::UploadBundle { .. } => false,
    }
}

async fn settle_settings(context: &mut Context) -> Result<()> {
    let unsettled = open(context, |effect| match effect {
        Effect::SetTopicConfigs { topic, .. } => Some(topic.clone()),
        _ => None,
    })?;
    let present = context.clusters.target.refresh().await?;
    for (id, topic) in unsettled {
        match present.topic(&topic) {
            Some(_) => topics::settle_topic_configs(context, &topic).await?,
            None if context.migration()?.footprint.is_pending(id) => context.complete(id, "given up: the topic is gone")?,
            None => {}
        }
    }
    Ok(())
}

async fn delete_topics(context: &mut Context) -> Result<()> {
    let names: Vec<String> = context.migration()?.footprint.topics_created.iter().cloned().collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::with_capacity(names.len());
    for name in &names {
        ids.push(intend_once(context, Effect::DeleteTopic { topic: name.clone() })?);
    }
    let target = &context.clusters.target;
    target.delete_topics(&names).await?;
    read_back(|| async {
        let metadata = target.refresh().await?;
        Ok(names.iter().find(|name| metadata.topic(name).is_some()).map(|name| format!("topic {name} still shows")))
    })
    .await?;
    ids.into_iter().try_for_each(|id| context.complete(id, "deleted"))
}

/// Deletes what was copied into topics that were there before kferry. They are not deleted themselves: they are not ours.
async fn empty_adopted(context: &mut Context) -> Result<BTreeMap<TopicPartition, i64>> {
    let target = &context.clusters.target;
    let migration = context.migration()?;
    let touched = ours::touched(migration);
    let count = |name: &str| target.metadata().topic(name).filter(|_| touched.contains(name)).map_or(0, |t| t.partitions.len());
    let adopted = adopted_partitions(&migration.plan, count);
    let (starts, ends) =
        futures::try_join!(target.offsets(&adopted, OffsetAt::Earliest), target.offsets(&adopted, OffsetAt::HighWatermark))?;
    let filled: BTreeMap<TopicPartition, i64> = ends.iter().filter(|(p, end)| starts.get(*p) < Some(*end)).map(|(p, end)| (p.clone(), *end)).collect();
    if !filled.is_empty() {
        target.delete_records(&filled).await?;
    }
    Ok(ends.into_iter().filter(|(_, end)| *end > 0).collect())
}

fn adopted_partitions(plan: &Plan, partitions_of: impl Fn(&str) -> usize) -> Vec<TopicPartition> {
    let adopted = plan.topics.iter().filter(|t| t.action == TopicAction::Adopt);
    adopted.flat_map(|t| (0..partitions_of(&t.name) as i32).map(|p| TopicPartition::new(t.name.as_str(), p))).collect()
}

/// Puts back what stood on adopted topics before, save what somebody has changed since kferry set it.
async fn restore_settings(context: &mut Context) -> Result<()> {
    let changed = context.migration()?.footprint.configs.clone();
    let names: Vec<String> = changed.keys().cloned().collect();
    let present = context.clusters.target.topic_configs(&names).await?;
    let (back, spared) = changes_back(&changed, &present);
    for (topic, changes) in back {
        topics::set_topic_configs(context, &topic, changes).await?;
    }
    spared.iter().for_each(|setting| eprintln!("WARNING: {setting} was changed on the target since kferry set it, and is left as it is"));
    Ok(())
}

type Changed = BTreeMap<String, BTreeMap<String, ConfigChange>>;

/// What is to be set on the topics that are there, and the settings that are not kferry's any more.
fn changes_back(changed: &Changed, present: &BTreeMap<String, Configs>) -> (Vec<(String, topics::Changes)>, Vec<String>) {
    let (mut back, mut spared) = (Vec::new(), Vec::new());
    for (topic, changes) in changed {
        let Some(configs) = present.get(topic) else { continue };
        let own = |key: &str| configs.get(key).filter(|c| c.source == ConfigSource::Topic).and_then(|c| c.value.as_deref());
        let is_ours = |key: &str, change: &ConfigChange| match (own(key), change.value.as_deref()) {
            (Some(seen), Some(set)) => same_value(key, seen, set),
            (seen, set) => seen == set,
        };
        let (ours, others): (Vec<_>, Vec<_>) = changes.iter().partition(|(key, change)| is_ours(key, change));
        spared.extend(others.into_iter().map(|(key, _)| format!("topic {topic}: {key}")));
        if !ours.is_empty() {
            back.push((topic.clone(), ours.into_iter().map(|(key, change)| (key.clone(), change.before.clone())).collect()));
        }
    }
    (back, spared)
}

/// Topics deleted and bindings of ours deleted, over all runs of the rollback.
fn undone(entries: &[Entry]) -> (usize, usize) {
    let mut open: BTreeMap<u64, &Effect> = BTreeMap::new();
    let (mut topics, mut ours, mut deleted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        match &entry.fact {
            Fact::EffectIntended { id, effect } => drop(open.insert(*id, effect)),
            Fact::EffectCompleted { id, .. } => match open.remove(id) {
                Some(Effect::DeleteTopic { topic }) => drop(topics.insert(topic)),
                Some(Effect::CreateAcls { bindings }) => ours.extend(bindings),
                Some(Effect::DeleteAcls { bindings }) => deleted.extend(bindings.iter().filter(|b| ours.contains(b))),
                _ => {}
            },
            _ => {}
        }
    }
    (topics.len(), deleted.len())
}

fn report(context: &Context, undone: &Undone) -> Result<()> {
    let migration = context.migration()?;
    print(&format!("rolled_back: {} topics and {} ACL bindings that kferry created on the target are deleted", undone.topics_deleted, undone.bindings_deleted));
    for (partition, end) in &undone.emptied {
        print(&format!("  adopted: {partition} is empty again and goes on at offset {end}; delete its topic before it is migrated to once more"));
    }
    for limit in &undone.limits_changed {
        print(&format!("  not undone: {limit} was changed since kferry set it; it is left as it is"));
    }
    for topic in &undone.strangers {
        print(&format!("  not ours: topic {topic} is on the target, but not as kferry creates it; it is left alone"));
    }
    if undone.after_commit {
        print("  clients: start producers and consumers at the source again; what groups have read at the target they read again there");
    }
    if migration.cutover_attempt > 0 {
        print("  groups: offsets that were committed on the target for topics that stay there stay too; a group without any other is empty");
        print("  source: the sentinels of the cutover stay in its logs; no consumer sees them");
    }
    let segments = context.store.location(&format!("{}/", migration.id()));
    print(&format!("  store: what was stored stays at {segments}; delete it when nobody needs it"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::acl::Operation;
    use crate::domain::quota::QuotaChange;
    use crate::domain::topology::ConfigValue;
    use crate::machine::footprint::LimitChange;
    use crate::machine::sample::{self, binding, entries, planned};

    #[test]
    fn only_adopted_topics_are_emptied() {
        let mut plan = sample::plan();
        assert!(adopted_partitions(&plan, |_| 2).is_empty());
        plan.topics[0].action = TopicAction::Adopt;
        assert_eq!(adopted_partitions(&plan, |_| 3), [0, 1, 2].map(sample::partition));
        assert!(adopted_partitions(&plan, |_| 0).is_empty(), "a topic that is gone");
    }

    #[test]
    fn settings_go_back_to_what_stood_there_before() {
        let change = |before: Option<&str>| ConfigChange { value: Some("-1".into()), before: before.map(str::to_owned) };
        let changed = [("orders".to_owned(), [("retention.ms".to_owned(), change(Some("5"))), ("flush.ms".to_owned(), change(None))].into())].into();
        let present = |of: &[(&str, &str)]| -> BTreeMap<String, Configs> {
            let own = |value: &str| ConfigValue { value: Some(value.to_owned()), source: ConfigSource::Topic };
            [("orders".to_owned(), of.iter().map(|(key, value)| ((*key).to_owned(), own(value))).collect())].into()
        };
        let (back, spared) = changes_back(&changed, &present(&[("retention.ms", "-1"), ("flush.ms", "-1")]));
        let [(topic, changes)] = &back[..] else { panic!("one topic") };
        assert_eq!((topic.as_str(), spared.len()), ("orders", 0));
        assert_eq!(*changes, [("retention.ms".to_owned(), Some("5".to_owned())), ("flush.ms".to_owned(), None)].into());
        // Somebody has set another value, or taken ours away: it is his.
        let (back, spared) = changes_back(&changed, &present(&[("retention.ms", "77")]));
        assert_eq!((back.len(), spared), (0, vec!["topic orders: flush.ms".to_owned(), "topic orders: retention.ms".to_owned()]));
        assert_eq!(changes_back(&changed, &BTreeMap::new()), (vec![], vec![]), "the topic is gone");
    }

    #[test]
    fn only_what_puts_something_back_is_an_undoing() {
        let mut footprint = Footprint::default();
        let change = sample::quota_change();
        let back = QuotaChange { entity: change.entity.clone(), values: change.before.clone(), before: change.values.clone() };
        let (ours, theirs) = (vec![binding(Operation::Read)], vec![binding(Operation::Write)]);
        let settings = |value: &str| [("retention.ms".to_owned(), Some(value.to_owned()))].into();
        let set = |value, before| Effect::SetTopicConfigs { topic: "orders".into(), configs: settings(value), before: settings(before) };
        footprint.acls_created.extend(ours.clone());
        footprint.acls_removed.extend(theirs.clone());
        footprint.configs.insert("orders".into(), [("retention.ms".to_owned(), ConfigChange { value: Some("-1".into()), before: Some("5".into()) })].into());
        let limits = change.values.iter().map(|(key, value)| (key.clone(), LimitChange { value: value.clone(), before: change.before[key].clone() }));
        footprint.quotas.insert(change.entity.clone(), limits.collect());
        let undoing = [Effect::DeleteAcls { bindings: ours.clone() }, Effect::CreateAcls { bindings: theirs.clone() }, Effect::SetQuotas { changes: vec![back] }, set("5", "-1")];
        let doing = [Effect::CreateAcls { bindings: ours }, Effect::DeleteAcls { bindings: theirs }, Effect::SetQuotas { changes: vec![change] }, set("-1", "5")];
        assert!(undoing.iter().all(|effect| undoes(&footprint, effect)));
        assert!(!doing.iter().any(|effect| undoes(&footprint, effect)));
        assert!(!doing.iter().chain(&undoing).any(|effect| undoes(&Footprint::default(), effect)));
    }

    #[test]
    fn what_several_runs_have_undone_is_counted_together() {
        let pair = |id, effect| [Fact::EffectIntended { id, effect }, Fact::EffectCompleted { id, outcome: String::new() }];
        let facts = [
            pair(1, Effect::CreateAcls { bindings: vec![binding(Operation::Read), binding(Operation::Write)] }),
            pair(2, Effect::DeleteAcls { bindings: vec![binding(Operation::Alter)] }),
            pair(3, Effect::DeleteAcls { bindings: vec![binding(Operation::Read)] }),
            pair(4, Effect::DeleteTopic { topic: "a".into() }),
            pair(5, Effect::DeleteTopic { topic: "a".into() }),
            pair(6, Effect::DeleteTopic { topic: "b".into() }),
        ];
        assert_eq!(undone(&entries(std::iter::once(planned()).chain(facts.concat()))), (2, 1));
    }
}
