//! Effects around their two entries in the journal: what a crash has left open is found again, what was changed is read back.

use super::context::Context;
use super::limits::{READ_BACK_PATIENCE, READ_BACK_PAUSE};
use crate::error::{Code, Error, Result};
use crate::machine::fact::Effect;
use std::future::Future;
use std::time::Instant;

/// Effects that are intended and not completed, with their numbers in their order, as far as `pick` takes them.
pub fn open<T>(context: &Context, pick: impl Fn(&Effect) -> Option<T>) -> Result<Vec<(u64, T)>> {
    Ok(context.migration()?.footprint.pending.iter().filter_map(|(id, effect)| Some((*id, pick(effect)?))).collect())
}

/// The number of this very effect: of its open intention, else of a new one.
pub fn intend_once(context: &mut Context, effect: Effect) -> Result<u64> {
    match open(context, |e| (*e == effect).then_some(()))?.first() {
        Some((id, ())) => Ok(*id),
        None => context.intend(effect),
    }
}

/// Looks until a look finds nothing that differs any more; a look says what does.
///
/// **Errors**: the look's own; KF-KAFKA-REFUSED where the difference stays.
pub async fn read_back<Look>(mut look: impl FnMut() -> Look) -> Result<()>
where
    Look: Future<Output = Result<Option<String>>>,
{
    let started = Instant::now();
    while let Some(differs) = look().await? {
        if started.elapsed() >= READ_BACK_PATIENCE {
            let seen = format!("target: {differs}, {} s after the target has taken the change", READ_BACK_PATIENCE.as_secs());
            return Err(Error::new(Code::KafkaRefused, seen));
        }
        tokio::time::sleep(READ_BACK_PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_difference_is_waited_for() {
        let mut looks = 0;
        let slow = read_back(|| {
            looks += 1;
            let differs = (looks < 3).then(|| "not yet".to_owned());
            async move { Ok(differs) }
        });
        slow.await.unwrap();
        assert_eq!(looks, 3);
    }
}
