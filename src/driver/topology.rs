//! TOPOLOGY_COPY: ACLs, quotas and topics on the target, each change journaled before and after.

mod drift;

use super::aborters;
use super::acls;
use super::context::Context;
use super::copying::planned_partitions;
use super::rollback::ours;
use super::{quotas, scram_secrets, topics};
use crate::config::model::ScramSecrets;
use crate::domain::acl::DriftPolicy;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::{Plan, TopicAction, TopicPlan};
use crate::error::{Code, Error, Result};
use crate::kafka::topics::{NewTopic, TopicCreated};
use crate::machine::fact::{Effect, Fact};
use std::collections::{BTreeMap, BTreeSet};

/// Creates kferry's own ACLs, those that let nobody write, the quotas that slow nobody down, and the topics with their overrides; safe to repeat.
pub async fn copy(context: &mut Context) -> Result<()> {
    let plan = context.migration()?.plan.clone();
    drift::show(&plan, &context.config);
    let interrupt = context.interrupt.clone();
    let bindings = interrupt.or(copy_acls(context, &plan)).await?;
    interrupt.or(copy_quotas(context, &plan)).await?;
    // Not asked for any more: the way out where one of them can never be associated.
    let secrets = if context.config.scram_secrets == ScramSecrets::Associate { &plan.scram_secrets[..] } else { &[] };
    interrupt.or(scram_secrets::associate(context, secrets)).await?;
    for topic in &plan.topics {
        context.interrupt.check()?;
        match topic.action {
            TopicAction::Create => create(context, topic).await?,
            TopicAction::Adopt => {
                drift::refuse_changed_settings(context, &plan, topic).await?;
                let configs: topics::Changes = while_copying(topic).into_iter().map(|(key, value)| (key, Some(value))).collect();
                topics::set_topic_configs(context, &topic.name, configs).await?;
            }
        }
    }
    let names: Vec<String> = plan.topics.iter().map(|t| t.name.clone()).collect();
    interrupt.or(context.clusters.target.wait_for_topics(&names)).await?;
    context.record(Fact::TopologyCopied { topics: plan.topics.len(), bindings }).map(drop)
}

async fn copy_acls(context: &mut Context, plan: &Plan) -> Result<usize> {
    let Some(diff) = &plan.acls else { return Ok(0) };
    let policy = context.config.on_acl_drift;
    let appeared = drift::appeared_bindings(plan, diff, &context.clusters.target.acls().await?.unwrap_or_default(), context.config.principal_on_target().as_deref());
    drift::tell(&appeared, policy, Code::AclDrift, "ACL bindings")?;
    // First in: whoever is shut out cannot create the others.
    acls::create_acls(context, &diff.own).await?;
    acls::create_acls(context, &diff.create).await?;
    if policy == DriftPolicy::Replace && !diff.target_only.is_empty() {
        acls::delete_acls(context, &diff.target_only).await?;
    }
    Ok(diff.own.len() + diff.create.len())
}

async fn copy_quotas(context: &mut Context, plan: &Plan) -> Result<()> {
    quotas::settle_quotas(context).await?;
    let Some(diff) = &plan.quotas else { return Ok(()) };
    let policy = context.config.on_quota_drift;
    let mut wanted = quotas::set(&diff.set);
    for (entity, key) in diff.removed(policy) {
        wanted.entry(entity).or_default().insert(key, None);
    }
    if !diff.is_empty() || policy == DriftPolicy::Refuse {
        let ours = context.migration()?.footprint.quotas.clone();
        let present = quotas::present(&context.clusters.target).await?;
        let mut appeared: BTreeSet<String> = drift::appeared_limits(plan, &present, &ours).into_iter().collect();
        appeared.extend(quotas::spare_changed(&mut wanted, plan, &present, &ours));
        drift::tell(&appeared.into_iter().collect::<Vec<_>>(), policy, Code::QuotaDrift, "client quotas")?;
    }
    quotas::set_quotas(context, &wanted).await.map(drop)
}

/// The topic's own settings with those on top under which it is copied.
pub(super) fn while_copying(topic: &TopicPlan) -> BTreeMap<String, String> {
    let mut configs = topic.configs.clone();
    configs.extend(topic.overrides.clone());
    configs
}

fn new_topic(topic: &TopicPlan) -> NewTopic {
    NewTopic {
        name: topic.name.clone(),
        partitions: topic.partitions.len() as i32,
        replication_factor: topic.replication_factor,
        configs: while_copying(topic),
    }
}

async fn create(context: &mut Context, topic: &TopicPlan) -> Result<()> {
    if context.migration()?.footprint.topics_created.contains(&topic.name) {
        return Ok(());
    }
    let new = new_topic(topic);
    // An intention that a crash left open is performed again under its own number.
    let pending = pending(context, |effect| matches!(effect, Effect::CreateTopic { topic: name, .. } if *name == topic.name))?;
    let resumed = pending.is_some();
    // Looked at before the intention stands: one that stands is taken for the creation of what is there.
    if !resumed && context.clusters.target.refresh().await?.topic(&topic.name).is_some() {
        return Err(appeared(topic));
    }
    let id = match pending {
        Some(id) => id,
        None => context.intend(Effect::CreateTopic {
            topic: new.name.clone(),
            partitions: new.partitions,
            replication_factor: new.replication_factor,
            configs: new.configs.clone(),
        })?,
    };
    let created = context.clusters.target.create_topics(std::slice::from_ref(&new)).await?;
    let outcome = match created.into_iter().next() {
        Some(Ok(TopicCreated::Created)) => "created",
        Some(Ok(TopicCreated::ExistedAfterDoubt)) => "created by an attempt whose answer was lost",
        Some(Ok(TopicCreated::Existed)) if resumed => "created before the crash",
        Some(Ok(TopicCreated::Existed)) => return Err(appeared(topic)),
        Some(Err(error)) => {
            // Refused for good: who then creates it by hand has one of his own.
            if error.code() == Code::KafkaRefused {
                context.refuse(id, error.seen())?;
            }
            return Err(error.within(format!("topic {}", topic.name)));
        }
        None => return Err(Error::new(Code::KafkaProtocol, format!("no answer for topic {}", topic.name))),
    };
    context.complete(id, outcome)
}

fn appeared(topic: &TopicPlan) -> Error {
    Error::new(Code::TargetNotEmpty, format!("topic {} has appeared on the target since the plan was made", topic.name))
}

fn pending(context: &Context, matches: impl Fn(&Effect) -> bool) -> Result<Option<u64>> {
    Ok(context.migration()?.footprint.pending.iter().find(|(_, effect)| matches(effect)).map(|(id, _)| *id))
}

/// Deletes and creates again the topics of quarantined partitions, as far as we created them; SEED fills them anew.
///
/// **Errors**: KF-COPY-QUARANTINED for a topic that is not ours to delete, or that holds what somebody else wrote.
pub async fn recreate_quarantined(context: &mut Context) -> Result<()> {
    let migration = context.migration()?;
    let plan = migration.plan.clone();
    let mut reasons = BTreeMap::<String, String>::new();
    for (partition, quarantine) in migration.quarantined() {
        reasons.entry(partition.topic.to_string()).or_insert_with(|| format!("{partition}: {}", quarantine.seen));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let ours = migration.footprint.topics_created.clone();
    let names: BTreeSet<String> = reasons.keys().cloned().collect();
    let interrupt = context.interrupt.clone();
    // What its owner has deleted meanwhile may be created.
    let metadata = interrupt.or(context.clusters.target.refresh()).await?;
    if let Some(adopted) = names.iter().find(|name| !ours.contains(*name) && metadata.topic(name).is_some()) {
        let seen = format!("{}; topic {adopted} was on the target before kferry, which does not delete it: delete it yourself if it may go", reasons[adopted]);
        return Err(Error::new(Code::CopyQuarantined, seen));
    }
    eprintln!("note: looking whether anybody else has written to {} before it is deleted", names.iter().cloned().collect::<Vec<_>>().join(", "));
    let foreign = interrupt.or(ours::foreign(context, &names)).await?;
    if !foreign.is_empty() {
        let seen = format!(
            "the target holds what kferry did not write, so its topic is not deleted by kferry: {}; delete the topic yourself if that may go",
            foreign.join("; ")
        );
        return Err(Error::new(Code::CopyQuarantined, seen));
    }
    let partitions: Vec<TopicPartition> = planned_partitions(&plan).into_iter().filter(|p| names.contains(&*p.topic)).collect();
    interrupt.or(aborters::abort_left_open(&context.clusters.target, &plan.migration_id, &partitions)).await?;
    for topic in plan.topics.iter().filter(|t| reasons.contains_key(&t.name)) {
        let reason = reasons[&topic.name].clone();
        eprintln!("note: topic {} is created anew and filled again ({reason})", topic.name);
        let open = pending(context, |effect| matches!(effect, Effect::RecreateTopic { topic: name, .. } if *name == topic.name))?;
        let id = match open {
            Some(id) => id,
            None => context.intend(Effect::RecreateTopic { topic: topic.name.clone(), reason })?,
        };
        context.clusters.target.recreate_topic(&new_topic(topic)).await?;
        context.complete(id, "created anew")?;
    }
    let attempt = context.migration()?.seed_attempt + 1;
    context.record(Fact::SeedStarted { attempt }).map(drop)
}
