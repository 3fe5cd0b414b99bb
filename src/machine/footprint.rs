//! What kferry has done to the clusters, as its completed effects tell, and what it may have done.

use super::fact::Effect;
use crate::domain::acl::AclBinding;
use crate::domain::quota::{QuotaChange, QuotaEntity, QuotaValue};
use std::collections::{BTreeMap, BTreeSet};

/// What completed effects have left on the clusters, and which intentions are open.
///
/// A completion says that the effect is in the world, whether this run performed it or found it there. What rollback
/// undoes stands here; an open intention must be probed first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Intentions without a completion, by effect number.
    pub pending: BTreeMap<u64, Effect>,
    /// Topics that we created on the target and that are still there.
    pub topics_created: BTreeSet<String>,
    /// Bindings that we created and that are still there.
    pub acls_created: BTreeSet<AclBinding>,
    /// Bindings that we removed and have not put back.
    pub acls_removed: BTreeSet<AclBinding>,
    /// Settings that we changed, by topic and key.
    pub configs: BTreeMap<String, BTreeMap<String, ConfigChange>>,
    /// Limits that we changed, by entity and key.
    pub quotas: BTreeMap<QuotaEntity, BTreeMap<String, LimitChange>>,
    /// SCRAM secrets that we associated with the target and that still are.
    pub scram_secrets: BTreeSet<String>,
    last_effect_id: u64,
}

/// A client quota's limit that differs from what stood there before kferry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitChange {
    /// None where we removed it.
    pub value: Option<QuotaValue>,
    /// None where there was none before our first change.
    pub before: Option<QuotaValue>,
}

/// A topic's setting that differs from what stood there before kferry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// None where we deleted the override.
    pub value: Option<String>,
    /// What stood on the topic before our first change; None where nothing did.
    pub before: Option<String>,
}

impl Footprint {
    /// The number that the next intention gets; numbers start at 1 and are never used again.
    pub fn next_effect_id(&self) -> u64 {
        self.last_effect_id + 1
    }

    pub fn is_pending(&self, id: u64) -> bool {
        self.pending.contains_key(&id)
    }

    pub(super) fn intend(&mut self, id: u64, effect: &Effect) {
        self.last_effect_id = self.last_effect_id.max(id);
        self.pending.insert(id, effect.clone());
    }

    /// Closes the intention of what was not made.
    pub(super) fn give_up(&mut self, id: u64) {
        self.pending.remove(&id);
    }

    /// Closes an intention and returns its effect.
    pub(super) fn complete(&mut self, id: u64) -> Option<Effect> {
        let effect = self.pending.remove(&id)?;
        match &effect {
            Effect::CreateTopic { topic, .. } => {
                self.topics_created.insert(topic.clone());
            }
            Effect::RecreateTopic { topic, .. } => {
                self.configs.remove(topic);
            }
            Effect::DeleteTopic { topic } => {
                self.topics_created.remove(topic);
                self.configs.remove(topic);
            }
            Effect::SetTopicConfigs { topic, configs, before } => self.set_configs(topic, configs, before),
            Effect::CreateAcls { bindings } => {
                for binding in bindings {
                    if !self.acls_removed.remove(binding) {
                        self.acls_created.insert(binding.clone());
                    }
                }
            }
            Effect::DeleteAcls { bindings } => {
                for binding in bindings {
                    if !self.acls_created.remove(binding) {
                        self.acls_removed.insert(binding.clone());
                    }
                }
            }
            Effect::SetQuotas { changes } => changes.iter().for_each(|change| self.set_quota(change)),
            Effect::AssociateScramSecret { secret_arn } => {
                self.scram_secrets.insert(secret_arn.clone());
            }
            Effect::DisassociateScramSecret { secret_arn } => {
                self.scram_secrets.remove(secret_arn);
            }
            Effect::FreezeProducers { .. }
            | Effect::ThawProducers { .. }
            | Effect::WriteSentinels { .. }
            | Effect::CommitGroupOffsets { .. }
            | Effect::NotifyCommitted { .. }
            | Effect::UploadBundle { .. } => {}
        }
        Some(effect)
    }

    fn set_configs(&mut self, topic: &str, configs: &BTreeMap<String, Option<String>>, before: &BTreeMap<String, Option<String>>) {
        let changes = self.configs.entry(topic.to_owned()).or_default();
        for (key, value) in configs {
            let before = match changes.remove(key) {
                Some(earlier) => earlier.before,
                None => before.get(key).cloned().flatten(),
            };
            if *value != before {
                changes.insert(key.clone(), ConfigChange { value: value.clone(), before });
            }
        }
        if changes.is_empty() {
            self.configs.remove(topic);
        }
    }

    fn set_quota(&mut self, change: &QuotaChange) {
        let limits = self.quotas.entry(change.entity.clone()).or_default();
        for (key, value) in &change.values {
            let before = match limits.remove(key) {
                Some(earlier) => earlier.before,
                None => change.before.get(key).cloned().flatten(),
            };
            if *value != before {
                limits.insert(key.clone(), LimitChange { value: value.clone(), before });
            }
        }
        if limits.is_empty() {
            self.quotas.remove(&change.entity);
        }
    }

    /// Settles what an abandoned cutover attempt had open: nobody resumes it. A thaw stays open until it is done.
    pub(super) fn abandon_cutover(&mut self, abandoned: u32) {
        self.pending.retain(|_, effect| match effect {
            Effect::FreezeProducers { attempt, .. }
            | Effect::WriteSentinels { attempt, .. }
            | Effect::CommitGroupOffsets { attempt, .. } => *attempt != abandoned,
            Effect::CreateTopic { .. }
            | Effect::RecreateTopic { .. }
            | Effect::DeleteTopic { .. }
            | Effect::SetTopicConfigs { .. }
            | Effect::CreateAcls { .. }
            | Effect::DeleteAcls { .. }
            | Effect::SetQuotas { .. }
            | Effect::AssociateScramSecret { .. }
            | Effect::DisassociateScramSecret { .. }
            | Effect::ThawProducers { .. }
            | Effect::NotifyCommitted { .. }
            | Effect::UploadBundle { .. } => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::acl::Operation;
    use crate::machine::sample::binding;

    fn perform(footprint: &mut Footprint, effect: Effect) {
        let id = footprint.next_effect_id();
        footprint.intend(id, &effect);
        assert_eq!(footprint.complete(id), Some(effect));
    }

    fn set(value: Option<&str>, before: Option<&str>) -> Effect {
        let owned = |v: Option<&str>| [("retention.ms".to_owned(), v.map(str::to_owned))].into();
        Effect::SetTopicConfigs { topic: "orders".into(), configs: owned(value), before: owned(before) }
    }

    #[test]
    fn the_first_value_before_us_is_remembered_and_setting_it_again_leaves_nothing() {
        let mut footprint = Footprint::default();
        perform(&mut footprint, set(Some("-1"), Some("100")));
        perform(&mut footprint, set(Some("-2"), Some("-1")));
        let change = &footprint.configs["orders"]["retention.ms"];
        assert_eq!((change.value.as_deref(), change.before.as_deref()), (Some("-2"), Some("100")));
        perform(&mut footprint, set(Some("100"), Some("-2")));
        assert!(footprint.configs.is_empty());
    }

    #[test]
    fn deleting_an_override_that_stood_there_is_a_change() {
        let mut footprint = Footprint::default();
        perform(&mut footprint, set(None, Some("100")));
        assert_eq!(footprint.configs["orders"]["retention.ms"].value, None);
        perform(&mut footprint, set(Some("100"), None));
        assert!(footprint.configs.is_empty());
    }

    #[test]
    fn a_limit_goes_back_to_what_it_was_before_us() {
        let mut footprint = Footprint::default();
        let change = crate::machine::sample::quota_change();
        perform(&mut footprint, Effect::SetQuotas { changes: vec![change.clone()] });
        let limit = &footprint.quotas[&change.entity]["producer_byte_rate"];
        assert_eq!((limit.value.as_ref().map(QuotaValue::number), &limit.before), (Some(1048576.0), &None));
        let twice = QuotaChange { values: [("producer_byte_rate".to_owned(), Some(QuotaValue::new(7.0)))].into(), before: change.values.clone(), ..change.clone() };
        perform(&mut footprint, Effect::SetQuotas { changes: vec![twice.clone()] });
        assert_eq!(footprint.quotas[&change.entity]["producer_byte_rate"].before, None, "before our first change");
        let back = QuotaChange { values: change.before, before: twice.values, entity: change.entity };
        perform(&mut footprint, Effect::SetQuotas { changes: vec![back] });
        assert!(footprint.quotas.is_empty());
    }

    #[test]
    fn what_is_created_and_removed_again_leaves_nothing() {
        let mut footprint = Footprint::default();
        let (ours, theirs) = (binding(Operation::Read), binding(Operation::Write));
        perform(&mut footprint, Effect::CreateAcls { bindings: vec![ours.clone()] });
        perform(&mut footprint, Effect::DeleteAcls { bindings: vec![theirs.clone()] });
        perform(&mut footprint, Effect::CreateTopic { topic: "orders".into(), partitions: 1, replication_factor: 1, configs: Default::default() });
        assert_eq!(footprint.acls_created.iter().collect::<Vec<_>>(), [&ours]);
        assert_eq!(footprint.acls_removed.iter().collect::<Vec<_>>(), [&theirs]);
        assert!(footprint.topics_created.contains("orders"));
        perform(&mut footprint, Effect::DeleteAcls { bindings: vec![ours] });
        perform(&mut footprint, Effect::CreateAcls { bindings: vec![theirs] });
        perform(&mut footprint, Effect::DeleteTopic { topic: "orders".into() });
        let secret_arn = crate::machine::sample::scram_secret();
        perform(&mut footprint, Effect::AssociateScramSecret { secret_arn: secret_arn.clone() });
        assert!(footprint.scram_secrets.contains(&secret_arn));
        perform(&mut footprint, Effect::DisassociateScramSecret { secret_arn: secret_arn.clone() });
        // Refused: found there later, it is somebody else's.
        footprint.intend(9, &Effect::AssociateScramSecret { secret_arn });
        footprint.give_up(9);
        assert_eq!(footprint, Footprint { last_effect_id: 9, ..Default::default() });
    }
}
