//! ACL bindings of the target, created and deleted as journaled effects.

use super::context::Context;
use super::effects::{intend_once, open, read_back};
use crate::domain::acl::AclBinding;
use crate::error::{Code, Result};
use crate::kafka::target::Target;
use crate::machine::fact::Effect;
use std::collections::BTreeSet;

/// Creates those of the bindings that the target has not, and says how many they were; from then on the journal calls them
/// ours.
///
/// What an earlier run has left open is completed first. **Errors**: KF-KAFKA-REFUSED where the target has no authorizer or
/// kferry may not alter ACLs; the target's unavailability.
pub async fn create_acls(context: &mut Context, bindings: &[AclBinding]) -> Result<usize> {
    settle_acls(context).await?;
    let present = present(&context.clusters.target).await?;
    let missing = distinct(bindings, |b| !present.contains(b));
    if missing.is_empty() {
        return Ok(0);
    }
    let id = context.intend(Effect::CreateAcls { bindings: missing.clone() })?;
    create(context, id, &missing).await?;
    Ok(missing.len())
}

/// Deletes those of the bindings that the target has, and says how many they were.
///
/// **Errors**: as for [`create_acls`].
pub async fn delete_acls(context: &mut Context, bindings: &[AclBinding]) -> Result<usize> {
    settle_acls(context).await?;
    let present = present(&context.clusters.target).await?;
    let doomed = distinct(bindings, |b| present.contains(b));
    if doomed.is_empty() {
        return Ok(0);
    }
    let id = context.intend(Effect::DeleteAcls { bindings: doomed.clone() })?;
    delete(context, id, &doomed).await?;
    Ok(doomed.len())
}

/// Deletes those of kferry's own bindings that it has created: the last thing that is done on the target.
///
/// What is left without them may not even be read back. **Errors**: as for [`create_acls`].
pub async fn delete_own_acls(context: &mut Context) -> Result<()> {
    let migration = context.migration()?;
    let created = &migration.footprint.acls_created;
    // The right to delete bindings is the last to go.
    let doomed: Vec<AclBinding> = migration.plan.own_acls().iter().rev().filter(|b| created.contains(*b)).cloned().collect();
    if doomed.is_empty() {
        return Ok(());
    }
    let id = intend_once(context, Effect::DeleteAcls { bindings: doomed.clone() })?;
    let outcome = match context.clusters.target.delete_acls_if_permitted(&doomed).await? {
        true => "kferry's own bindings are gone",
        false => {
            warn_of_left(&context.clusters.target, &doomed).await?;
            "kferry is shut out: its own bindings are gone, or it has no right to delete them any more"
        }
    };
    context.complete(id, outcome)
}

/// Names those of kferry's own bindings that stay on the target, as far as that can be seen.
async fn warn_of_left(target: &Target, own: &[AclBinding]) -> Result<()> {
    let (left, seen) = match target.acls().await {
        Ok(present) => (distinct(own, |b| present.iter().flatten().any(|p| p == b)), "stay on the target"),
        // Where they are gone, what is there cannot be read either.
        Err(error) if error.code() == Code::KafkaRefused => (own.to_vec(), "may be left on the target, whose ACLs it may not read either"),
        Err(error) => return Err(error),
    };
    if !left.is_empty() {
        eprintln!("WARNING: kferry may not delete ACLs on the target any more; of its own, these {seen}; delete those that are there:");
        left.iter().for_each(|binding| eprintln!("WARNING:   {binding}"));
    }
    Ok(())
}

/// Whether the last step, the removal of kferry's own bindings, was begun.
pub fn own_acls_go(context: &Context) -> Result<bool> {
    let plan = context.migration()?.plan.clone();
    let begun = open(context, |effect| matches!(effect, Effect::DeleteAcls { bindings } if is_own(bindings, plan.own_acls())).then_some(()))?;
    Ok(!begun.is_empty())
}

fn is_own(bindings: &[AclBinding], own: &[AclBinding]) -> bool {
    !own.is_empty() && bindings.iter().all(|b| own.contains(b))
}

/// Completes what an earlier run has left open: both calls may be repeated.
///
/// **Errors**: as for [`create_acls`].
pub async fn settle_acls(context: &mut Context) -> Result<()> {
    let pending = open(context, |effect| match effect {
        Effect::CreateAcls { bindings } => Some((true, bindings.clone())),
        Effect::DeleteAcls { bindings } => Some((false, bindings.clone())),
        _ => None,
    })?;
    let plan = context.migration()?.plan.clone();
    // `delete_own_acls` goes on with its own.
    let pending = pending.into_iter().filter(|(_, (creates, bindings))| *creates || !is_own(bindings, plan.own_acls()));
    for (id, (creates, bindings)) in pending {
        match creates {
            true => create(context, id, &bindings).await?,
            false => delete(context, id, &bindings).await?,
        }
    }
    Ok(())
}

async fn create(context: &mut Context, id: u64, bindings: &[AclBinding]) -> Result<()> {
    let target = &context.clusters.target;
    target.create_acls(bindings).await?;
    read_back(|| async {
        let present = present(target).await?;
        let missing = bindings.iter().filter(|b| !present.contains(b)).count();
        Ok((missing > 0).then(|| format!("{missing} of {} created ACL bindings do not show", bindings.len())))
    })
    .await?;
    context.complete(id, format!("{} bindings are there", bindings.len()))
}

async fn delete(context: &mut Context, id: u64, bindings: &[AclBinding]) -> Result<()> {
    let target = &context.clusters.target;
    target.delete_acls(bindings).await?;
    read_back(|| async {
        let present = present(target).await?;
        let left = bindings.iter().filter(|b| present.contains(b)).count();
        Ok((left > 0).then(|| format!("{left} of {} deleted ACL bindings still show", bindings.len())))
    })
    .await?;
    context.complete(id, format!("{} bindings are gone", bindings.len()))
}

/// The target's bindings; none without an authorizer, which refuses the call that follows.
async fn present(target: &Target) -> Result<BTreeSet<AclBinding>> {
    Ok(target.acls().await?.unwrap_or_default().into_iter().collect())
}

/// Each of them once, in the order in which they are given: kferry's own right to create bindings comes first.
fn distinct(bindings: &[AclBinding], wanted: impl Fn(&AclBinding) -> bool) -> Vec<AclBinding> {
    let mut seen = BTreeSet::new();
    bindings.iter().filter(|b| wanted(b) && seen.insert(*b)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::acl::Operation;
    use crate::machine::sample::binding;

    #[test]
    fn each_binding_is_named_once_and_only_if_wanted() {
        let (read, write) = (binding(Operation::Read), binding(Operation::Write));
        let given = [write.clone(), read.clone(), write.clone()];
        assert_eq!(distinct(&given, |_| true), [write.clone(), read]);
        assert_eq!(distinct(&given, |b| b.operation == Operation::Write), [write]);
    }
}
