//! What has changed on the target since the plan was made, and the showing of what will.

use crate::config::Config;
use crate::domain::acl::{AclBinding, AclDiff, DriftPolicy};
use crate::domain::config_diff::same_value;
use crate::domain::difference;
use crate::domain::limits::ROWS_SHOWN_MAX;
use crate::domain::plan::{Plan, TopicPlan};
use crate::domain::planning::names;
use crate::domain::quota::Quota;
use crate::domain::topology::{ConfigSource, ConfigValue};
use crate::driver::context::Context;
use crate::driver::quotas;
use crate::error::{Code, Error, Result};
use crate::machine::fact::Effect;
use std::collections::BTreeMap;

/// Shows what is about to be changed.
pub(super) fn show(plan: &Plan, config: &Config) {
    let lines = difference::lines(plan, config);
    if lines.is_empty() {
        return;
    }
    eprintln!("note: on the target, ACLs, quotas and adopted topics' settings change like this:");
    lines.iter().take(ROWS_SHOWN_MAX).for_each(|line| eprintln!("  {line}"));
    if lines.len() > ROWS_SHOWN_MAX {
        eprintln!("  and {} more, all of them in plan.json", lines.len() - ROWS_SHOWN_MAX);
    }
}

/// Fails where the policy is to refuse; otherwise says that nothing becomes of what nobody was shown.
pub(super) fn tell(appeared: &[String], policy: DriftPolicy, code: Code, what: &str) -> Result<()> {
    if appeared.is_empty() {
        return Ok(());
    }
    let seen = format!("the target has {what} that it had not when the plan was made: {}", names(appeared));
    match policy {
        DriftPolicy::Refuse => Err(Error::new(code, seen)),
        DriftPolicy::Merge | DriftPolicy::Replace => {
            eprintln!("note: {seen}; they are left alone");
            Ok(())
        }
    }
}

/// Bindings on the target that neither the plan nor kferry knows of.
pub(super) fn appeared_bindings(plan: &Plan, diff: &AclDiff, present: &[AclBinding], own: Option<&str>) -> Vec<String> {
    let planned = plan.target.as_ref().and_then(|t| t.acls.as_deref()).unwrap_or_default();
    let source = plan.source.acls.as_deref().unwrap_or_default();
    let known = |b: &&AclBinding| planned.contains(b) || source.contains(b) || diff.own.contains(b) || own == Some(b.principal.as_str());
    present.iter().filter(|b| !known(b)).map(ToString::to_string).collect()
}

/// Limits on the target that are neither as they were planned upon, nor as kferry has set them.
pub(super) fn appeared_limits(plan: &Plan, present: &[Quota], ours: &quotas::Changed) -> Vec<String> {
    let limits = present.iter().flat_map(|quota| quota.values.iter().map(move |(key, value)| (&quota.entity, key, value)));
    let appeared = limits.filter(|(entity, key, value)| !quotas::is_known(plan, ours, entity, key, Some(value)));
    appeared.map(|(entity, key, value)| quotas::named(entity, key, Some(value))).collect()
}

/// Fails where an adopted topic's own settings have changed since the plan and the policy is to refuse.
///
/// What kferry itself has set on it is no change. **Errors**: KF-TOPOLOGY-DRIFT; the target's unavailability.
pub(super) async fn refuse_changed_settings(context: &Context, plan: &Plan, topic: &TopicPlan) -> Result<()> {
    let footprint = &context.migration()?.footprint;
    let is_its_own = |effect: &Effect| matches!(effect, Effect::SetTopicConfigs { topic: name, .. } if *name == topic.name);
    let begun = footprint.configs.contains_key(&topic.name) || footprint.pending.values().any(is_its_own);
    if context.config.on_config_drift != DriftPolicy::Refuse || begun {
        return Ok(());
    }
    let present = context.clusters.target.topic_configs(std::slice::from_ref(&topic.name)).await?;
    let planned = plan.target.as_ref().and_then(|t| t.topic(&topic.name)).map(|t| &t.configs);
    let changed = match (present.get(&topic.name), planned) {
        (Some(present), Some(planned)) => changed_settings(planned, present),
        _ => Vec::new(),
    };
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Error::new(Code::TopologyDrift, format!("topic {} on the target has other settings than when the plan was made: {}", topic.name, names(&changed)))),
    }
}

fn changed_settings(planned: &BTreeMap<String, ConfigValue>, present: &BTreeMap<String, ConfigValue>) -> Vec<String> {
    let own = |configs: &BTreeMap<String, ConfigValue>, key: &str| configs.get(key).filter(|c| c.source == ConfigSource::Topic).and_then(|c| c.value.clone());
    let keys: std::collections::BTreeSet<&String> = planned.keys().chain(present.keys()).collect();
    let changed = keys.into_iter().filter_map(|key| match (own(planned, key), own(present, key)) {
        (Some(was), Some(is)) if same_value(key, &was, &is) => None,
        (None, None) => None,
        (was, is) => Some(format!("{key} was {} and is {}", was.as_deref().unwrap_or("not set"), is.as_deref().unwrap_or("not set"))),
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::acl::Operation;
    use crate::machine::sample::{self, binding};

    #[test]
    fn only_what_nobody_was_shown_has_appeared() {
        let plan = sample::plan();
        let diff = plan.acls.clone().unwrap();
        let stranger = AclBinding { principal: "User:stranger".into(), ..binding(Operation::Read) };
        let own = AclBinding { principal: "User:kferry".into(), ..binding(Operation::Read) };
        let present = [binding(Operation::Read), stranger.clone(), own];
        assert_eq!(appeared_bindings(&plan, &diff, &present, Some("User:kferry")), [stranger.to_string()]);
        assert!(tell(&[stranger.to_string()], DriftPolicy::Merge, Code::AclDrift, "x").is_ok());
        assert_eq!(tell(&[stranger.to_string()], DriftPolicy::Refuse, Code::AclDrift, "x").unwrap_err().code(), Code::AclDrift);
    }

    #[test]
    fn changed_limits_are_told_from_those_that_were_set() {
        let (mut plan, change) = (sample::plan(), sample::quota_change());
        let quota = Quota { entity: change.entity.clone(), values: change.values.clone().into_iter().filter_map(|(k, v)| Some((k, v?))).collect() };
        assert_eq!(appeared_limits(&plan, std::slice::from_ref(&quota), &BTreeMap::new()), ["producer_byte_rate 1048576 of client-id (default), user `shop`"]);
        plan.source.quotas = Some(vec![quota.clone()]);
        assert!(appeared_limits(&plan, &[quota], &BTreeMap::new()).is_empty());
    }

    #[test]
    fn only_a_topics_own_settings_count() {
        let of = |value: &str, source| BTreeMap::from([("retention.ms".to_owned(), ConfigValue { value: Some(value.to_owned()), source })]);
        assert!(changed_settings(&of("1", ConfigSource::Default), &of("2", ConfigSource::Broker)).is_empty());
        assert_eq!(changed_settings(&of("1", ConfigSource::Topic), &of("2", ConfigSource::Topic)), ["retention.ms was 1 and is 2"]);
        assert_eq!(changed_settings(&of("1", ConfigSource::Default), &of("2", ConfigSource::Topic)), ["retention.ms was not set and is 2"]);
    }
}
