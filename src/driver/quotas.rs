//! Client quotas of the target, changed as journaled effects.

use super::context::Context;
use super::effects::{open, read_back};
use crate::domain::plan::Plan;
use crate::domain::quota::{Quota, QuotaChange, QuotaEntity, QuotaValue};
use crate::error::{Code, Error, Result};
use crate::kafka::target::Target;
use crate::machine::fact::Effect;
use crate::machine::footprint::LimitChange;
use std::collections::BTreeMap;

/// Limits that are to be as they are here: a value, or None for none.
pub type Wanted = BTreeMap<QuotaEntity, BTreeMap<String, Option<QuotaValue>>>;

/// These quotas, each set as it is.
pub fn set<'a>(quotas: impl IntoIterator<Item = &'a Quota>) -> Wanted {
    let limits = |quota: &Quota| quota.values.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    quotas.into_iter().map(|quota| (quota.entity.clone(), limits(quota))).collect()
}

/// Limits that kferry has changed.
pub type Changed = BTreeMap<QuotaEntity, BTreeMap<String, LimitChange>>;

/// What stood there before kferry, where it is still as kferry has set it; and the names of what somebody has changed since.
fn back(changed: &Changed, present: &[Quota]) -> (Wanted, Vec<String>) {
    let (mut wanted, mut others) = (Wanted::new(), Vec::new());
    for (entity, changes) in changed {
        for (key, change) in changes {
            let has = limit(present, entity, key);
            if has == change.value.as_ref() {
                wanted.entry(entity.clone()).or_default().insert(key.clone(), change.before.clone());
            } else if has != change.before.as_ref() {
                others.push(named(entity, key, has));
            }
        }
    }
    (wanted, others)
}

/// Takes out of `wanted` what somebody has changed on the target since the plan was made, and names it.
pub fn spare_changed(wanted: &mut Wanted, plan: &Plan, present: &[Quota], ours: &Changed) -> Vec<String> {
    let mut spared = Vec::new();
    for (entity, limits) in wanted.iter_mut() {
        limits.retain(|key, _| {
            let has = limit(present, entity, key);
            let known = is_known(plan, ours, entity, key, has);
            if !known {
                spared.push(named(entity, key, has));
            }
            known
        });
    }
    wanted.retain(|_, limits| !limits.is_empty());
    spared
}

/// Whether the limit is as it was planned upon, as it is on the source, or as kferry has set it.
pub fn is_known(plan: &Plan, ours: &Changed, entity: &QuotaEntity, key: &str, has: Option<&QuotaValue>) -> bool {
    let planned = plan.target.as_ref().and_then(|t| t.quotas.as_deref()).unwrap_or_default();
    let source = plan.source.quotas.as_deref().unwrap_or_default();
    let set = ours.get(entity).and_then(|limits| limits.get(key));
    has == limit(planned, entity, key) || has == limit(source, entity, key) || set.is_some_and(|change| has == change.value.as_ref())
}

/// A limit as it is told.
pub fn named(entity: &QuotaEntity, key: &str, value: Option<&QuotaValue>) -> String {
    match value {
        Some(value) => format!("{key} {value} of {entity}"),
        None => format!("{key} (removed) of {entity}"),
    }
}

fn limit<'a>(quotas: &'a [Quota], entity: &QuotaEntity, key: &str) -> Option<&'a QuotaValue> {
    quotas.iter().find(|q| q.entity == *entity)?.values.get(key)
}

/// Puts back what stood there before kferry, and names what somebody has changed since kferry set it: that stays as it is.
///
/// What an earlier run has left open is completed first. **Errors**: as for [`set_quotas`].
pub async fn put_back(context: &mut Context) -> Result<Vec<String>> {
    settle_quotas(context).await?;
    let changed = context.migration()?.footprint.quotas.clone();
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let (wanted, others) = back(&changed, &present(&context.clusters.target).await?);
    set_quotas(context, &wanted).await?;
    Ok(others)
}

/// Sets these limits, leaves all others as they are, and says how many entities had to change.
///
/// What an earlier run has left open is completed first. **Errors**: KF-KAFKA-REFUSED where kferry may not alter quotas, or
/// the target does not tell them; the target's unavailability.
pub async fn set_quotas(context: &mut Context, wanted: &Wanted) -> Result<usize> {
    settle_quotas(context).await?;
    if wanted.is_empty() {
        return Ok(0);
    }
    let changes = differing(&present(&context.clusters.target).await?, wanted);
    if changes.is_empty() {
        return Ok(0);
    }
    let id = context.intend(Effect::SetQuotas { changes: changes.clone() })?;
    alter(context, id, &changes).await?;
    Ok(changes.len())
}

/// Completes what an earlier run has left open: setting the same limits again changes nothing, and what somebody has changed
/// meanwhile stays as it is.
///
/// **Errors**: as for [`set_quotas`].
pub async fn settle_quotas(context: &mut Context) -> Result<()> {
    let pending = open(context, |effect| match effect {
        Effect::SetQuotas { changes } => Some(changes.clone()),
        _ => None,
    })?;
    for (id, changes) in pending {
        let untouched = as_intended(&present(&context.clusters.target).await?, &changes);
        alter(context, id, &untouched).await?;
    }
    Ok(())
}

async fn alter(context: &mut Context, id: u64, changes: &[QuotaChange]) -> Result<()> {
    let target = &context.clusters.target;
    target.alter_quotas(changes).await?;
    let wanted: Wanted = changes.iter().map(|c| (c.entity.clone(), c.values.clone())).collect();
    read_back(|| async {
        let left = differing(&present(target).await?, &wanted);
        Ok(left.first().map(|change| format!("the quota of {} is not as it was set", change.entity)))
    })
    .await?;
    context.complete(id, format!("the quotas of {} entities are in place", changes.len()))
}

/// The target's quotas.
///
/// **Errors**: as for [`set_quotas`].
pub async fn present(target: &Target) -> Result<Vec<Quota>> {
    target.quotas().await?.ok_or_else(|| Error::new(Code::KafkaRefused, "target: client quotas cannot be read"))
}

/// Of these changes those whose limits are still as they were when it was intended.
fn as_intended(present: &[Quota], changes: &[QuotaChange]) -> Vec<QuotaChange> {
    let untouched = changes.iter().map(|change| {
        let is_untouched = |key: &String| limit(present, &change.entity, key) == change.before.get(key).and_then(Option::as_ref);
        let values = change.values.iter().filter(|(key, _)| is_untouched(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
        QuotaChange { values, ..change.clone() }
    });
    untouched.filter(|change| !change.values.is_empty()).collect()
}

/// Those of the limits that are not as wanted, with what is there.
fn differing(present: &[Quota], wanted: &Wanted) -> Vec<QuotaChange> {
    let mut changes = Vec::new();
    for (entity, limits) in wanted {
        let has = |key: &String| limit(present, entity, key).cloned();
        let values: BTreeMap<String, Option<QuotaValue>> = limits.iter().filter(|(key, value)| has(key) != **value).map(|(k, v)| (k.clone(), v.clone())).collect();
        if !values.is_empty() {
            let before = values.keys().map(|key| (key.clone(), has(key))).collect();
            changes.push(QuotaChange { entity: entity.clone(), values, before });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample::quota_change;

    #[test]
    fn what_somebody_has_changed_since_is_neither_put_back_nor_set() {
        let entity = quota_change().entity;
        let value = |n: f64| Some(QuotaValue::new(n));
        let quota = |values: &[(&str, f64)]| [Quota { entity: entity.clone(), values: values.iter().map(|(key, n)| ((*key).to_owned(), QuotaValue::new(*n))).collect() }];
        let change = |n, before| LimitChange { value: value(n), before };
        let changed: Changed = [(entity.clone(), [("a".to_owned(), change(1.0, None)), ("b".to_owned(), change(2.0, value(9.0))), ("c".to_owned(), change(3.0, value(8.0)))].into())].into();
        let (wanted, others) = back(&changed, &quota(&[("a", 1.0), ("b", 7.0), ("c", 8.0)]));
        assert_eq!(wanted, [(entity.clone(), [("a".to_owned(), None)].into())].into(), "c is back already");
        assert_eq!(others, [format!("b 7 of {entity}")]);

        let mut plan = crate::machine::sample::plan();
        plan.source.quotas = Some(quota(&[("a", 1.0), ("b", 2.0), ("c", 3.0)]).into());
        if let Some(target) = &mut plan.target {
            target.quotas = Some(quota(&[("b", 9.0), ("c", 8.0)]).into());
        }
        let mut wanted = set(plan.source.quotas.as_deref().unwrap_or_default());
        let spared = spare_changed(&mut wanted, &plan, &quota(&[("a", 5.0), ("b", 9.0)]), &Changed::new());
        assert_eq!(spared, [format!("a 5 of {entity}"), format!("c (removed) of {entity}")]);
        assert_eq!(wanted, [(entity.clone(), [("b".to_owned(), value(2.0))].into())].into());

        let intended = QuotaChange { entity: entity.clone(), values: [("a".to_owned(), value(1.0)), ("b".to_owned(), value(2.0))].into(), before: [("a".to_owned(), None), ("b".to_owned(), value(9.0))].into() };
        let [left] = &as_intended(&quota(&[("a", 5.0), ("b", 9.0)]), std::slice::from_ref(&intended))[..] else { panic!("one entity") };
        assert_eq!(left.values, [("b".to_owned(), value(2.0))].into());
        assert_eq!(as_intended(&quota(&[("a", 5.0), ("b", 5.0)]), &[intended]), []);
    }

    #[test]
    fn only_what_differs_is_changed_and_what_was_there_is_remembered() {
        let entity = quota_change().entity;
        let value = |n: f64| Some(QuotaValue::new(n));
        let present = [Quota { entity: entity.clone(), values: [("a".to_owned(), QuotaValue::new(1.0)), ("b".to_owned(), QuotaValue::new(2.0))].into() }];
        let wanted: Wanted = [(entity.clone(), [("a".to_owned(), value(1.0)), ("b".to_owned(), None), ("c".to_owned(), value(3.0)), ("d".to_owned(), None)].into())].into();
        let [change] = &differing(&present, &wanted)[..] else { panic!("one entity") };
        assert_eq!(change.values, [("b".to_owned(), None), ("c".to_owned(), value(3.0))].into());
        assert_eq!(change.before, [("b".to_owned(), value(2.0)), ("c".to_owned(), None)].into());
        assert_eq!(differing(&present, &set(&present)), []);
    }
}
