//! SCRAM secrets of the target's MSK cluster, associated as journaled effects and taken away again by a rollback.
//!
//! One effect for each secret, since the service takes some of a batch and not others; several secrets go in one call.

use super::context::Context;
#[cfg(feature = "aws")]
use super::effects::{intend_once, open};
#[cfg(feature = "aws")]
use crate::error::Code;
use crate::error::Result;
#[cfg(feature = "aws")]
use {
    super::locating::control_plane,
    crate::aws::msk::{BATCH_MAX, ControlPlane, Unprocessed},
    crate::kafka::cluster::Side,
    crate::machine::fact::Effect,
    std::collections::BTreeSet,
};

/// Associates these secrets with the target, save those that are already; safe to repeat.
///
/// **Errors**: KF-MSK-SCRAM-SECRETS naming what the service did not take, which stays to be done; KF-MSK-….
#[cfg(feature = "aws")]
pub async fn associate(context: &mut Context, secrets: &[String]) -> Result<()> {
    let begun = open(context, |effect| match effect {
        Effect::AssociateScramSecret { secret_arn } => Some(secret_arn.clone()),
        _ => None,
    })?;
    if secrets.is_empty() && begun.is_empty() {
        return Ok(());
    }
    let plane = control_plane(Side::Target, &context.config.target).await?;
    let there: BTreeSet<String> = plane.scram_secrets().await?.into_iter().collect();
    // An intention stands only for what was not there: an earlier run has done it.
    for (id, _) in begun.iter().filter(|(_, secret)| there.contains(secret)) {
        context.complete(*id, "associated before the crash")?;
    }
    let missing: Vec<String> = secrets.iter().filter(|secret| !there.contains(*secret)).cloned().collect();
    let left = in_batches(context, &plane, &missing, Way::Associate).await?;
    if left.is_empty() { Ok(()) } else { Err(plane.unprocessed("SCRAM secrets cannot be associated", &left)) }
}

/// Takes away from the target what kferry has associated with it, and says how many secrets that were.
///
/// **Errors**: as for [`associate`].
#[cfg(feature = "aws")]
pub async fn disassociate(context: &mut Context) -> Result<usize> {
    let begun = open(context, |effect| match effect {
        Effect::AssociateScramSecret { secret_arn } | Effect::DisassociateScramSecret { secret_arn } => Some((secret_arn.clone(), effect.clone())),
        _ => None,
    })?;
    if begun.is_empty() && context.migration()?.footprint.scram_secrets.is_empty() {
        return Ok(0);
    }
    let plane = control_plane(Side::Target, &context.config.target).await?;
    let there: BTreeSet<String> = plane.scram_secrets().await?.into_iter().collect();
    for (id, (secret, effect)) in begun {
        match (effect, there.contains(&secret)) {
            (Effect::AssociateScramSecret { .. }, true) => context.complete(id, "associated before the crash, and undone now")?,
            (Effect::DisassociateScramSecret { .. }, false) => context.complete(id, "gone before the crash")?,
            (Effect::AssociateScramSecret { .. }, false) => context.refuse(id, "never associated")?,
            // What is still to go goes below, under its own number.
            _ => {}
        }
    }
    let ours: Vec<String> = context.migration()?.footprint.scram_secrets.iter().cloned().collect();
    let (still, gone): (Vec<String>, Vec<String>) = ours.iter().cloned().partition(|secret| there.contains(secret));
    for secret_arn in gone {
        let id = intend_once(context, Effect::DisassociateScramSecret { secret_arn })?;
        context.complete(id, "somebody else has taken it away")?;
    }
    let left = in_batches(context, &plane, &still, Way::Disassociate).await?;
    if left.is_empty() { Ok(ours.len()) } else { Err(plane.unprocessed("SCRAM secrets cannot be disassociated", &left)) }
}

#[cfg(feature = "aws")]
#[derive(Clone, Copy)]
enum Way {
    Associate,
    Disassociate,
}

#[cfg(feature = "aws")]
impl Way {
    fn effect(self, secret_arn: String) -> Effect {
        match self {
            Way::Associate => Effect::AssociateScramSecret { secret_arn },
            Way::Disassociate => Effect::DisassociateScramSecret { secret_arn },
        }
    }
}

/// Performs one effect for each secret, several in one call; answers those that the service has not taken.
///
/// What it has not taken is no intention of kferry's any more: who associates that by hand finds it untouched by a rollback.
#[cfg(feature = "aws")]
async fn in_batches(context: &mut Context, plane: &ControlPlane, secrets: &[String], way: Way) -> Result<Vec<Unprocessed>> {
    let mut left = Vec::new();
    for batch in secrets.chunks(BATCH_MAX) {
        let ids = batch.iter().map(|secret| intend_once(context, way.effect(secret.clone()))).collect::<Result<Vec<u64>>>()?;
        let (answer, outcome) = match way {
            Way::Associate => (plane.associate(batch).await, "associated"),
            Way::Disassociate => (plane.disassociate(batch).await, "disassociated"),
        };
        let unprocessed = match answer {
            Ok(unprocessed) => unprocessed,
            Err(error) => {
                // Who may not ask has not been served by an earlier attempt either; any other failure may have come after the deed.
                if error.code() == Code::MskAccessDenied {
                    ids.iter().try_for_each(|id| context.refuse(*id, Code::MskAccessDenied.as_str()))?;
                }
                return Err(error);
            }
        };
        // Named otherwise than asked for: which of them it is cannot be told, and all stay to be looked at.
        let told = unprocessed.iter().all(|u| batch.contains(&u.secret_arn));
        for (secret, id) in batch.iter().zip(ids).filter(|_| told) {
            match unprocessed.iter().find(|u| u.secret_arn == *secret) {
                Some(refused) => context.refuse(id, refused.why.as_str())?,
                None => context.complete(id, outcome)?,
            }
        }
        left.extend(unprocessed);
    }
    Ok(left)
}

/// A plan that asks for it cannot be made without AWS, and was not made here.
#[cfg(not(feature = "aws"))]
pub async fn associate(_context: &mut Context, secrets: &[String]) -> Result<()> {
    if secrets.is_empty() { Ok(()) } else { Err(super::locating::without_aws(crate::kafka::cluster::Side::Target)) }
}

#[cfg(not(feature = "aws"))]
pub async fn disassociate(context: &mut Context) -> Result<usize> {
    if context.migration()?.footprint.scram_secrets.is_empty() { Ok(0) } else { Err(super::locating::without_aws(crate::kafka::cluster::Side::Target)) }
}
