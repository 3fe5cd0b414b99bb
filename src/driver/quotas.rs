//! Client quotas of the target, changed as journaled effects.

use super::context::Context;
use super::effects::{open, read_back};
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

/// What stood there before kferry.
pub fn back(changed: &BTreeMap<QuotaEntity, BTreeMap<String, LimitChange>>) -> Wanted {
    let limits = |changes: &BTreeMap<String, LimitChange>| changes.iter().map(|(key, change)| (key.clone(), change.before.clone())).collect();
    changed.iter().map(|(entity, changes)| (entity.clone(), limits(changes))).collect()
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

/// Completes what an earlier run has left open: setting the same limits again changes nothing.
///
/// **Errors**: as for [`set_quotas`].
pub async fn settle_quotas(context: &mut Context) -> Result<()> {
    let pending = open(context, |effect| match effect {
        Effect::SetQuotas { changes } => Some(changes.clone()),
        _ => None,
    })?;
    for (id, changes) in pending {
        alter(context, id, &changes).await?;
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

/// Those of the limits that are not as wanted, with what is there.
fn differing(present: &[Quota], wanted: &Wanted) -> Vec<QuotaChange> {
    let mut changes = Vec::new();
    for (entity, limits) in wanted {
        let has = |key: &String| present.iter().find(|q| q.entity == *entity).and_then(|q| q.values.get(key).cloned());
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
