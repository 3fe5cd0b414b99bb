//! Licences: a signed file, or the trial; checked offline.
//!
//! A licence is looked for in `KFERRY_LICENSE_KEY` (base64), the file that `KFERRY_LICENSE_FILE` names,
//! `/etc/kferry/license.key` and `~/.config/kferry/license.key`; the first that is there decides. Where none is, a trial
//! of 14 days begins by itself, unless `KFERRY_NO_TRIAL=1`. A grant that stands in a migration's journal is enough to
//! finish or roll back that migration, whatever has expired since.

mod claims;
mod places;
mod trial;
mod vendor;

pub use claims::{Claims, issue};
pub use places::{Places, Standing};
pub use trial::{TRIAL_DAYS, TrialStanding};

use crate::error::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The feature that a migration's mutating commands need.
pub const FEATURE: &str = "migrations:msk-kraft";

/// What a grant rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    License,
    Trial,
}

/// The right to run a migration's mutating commands, as the journal records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub kind: GrantKind,
    /// The licence's id; empty for the trial.
    pub license_id: String,
    /// Empty for the trial.
    pub licensee: String,
    pub feature: String,
    pub granted_at: String,
    /// Of the licence or the trial; the grant itself lasts as long as the migration.
    pub expires_at: String,
}

/// Obtains the grant to run a migration's mutating commands, beginning the trial if need be.
///
/// `journaled` is the grant of a migration that has begun; it is returned as it is, without a look at any licence.
///
/// **Errors**: KF-LICENSE-MISSING, KF-LICENSE-INVALID, KF-LICENSE-EXPIRED.
pub fn obtain(feature: &str, migration_id: &str, now: Timestamp, journaled: Option<&Grant>) -> Result<Grant> {
    match journaled {
        Some(grant) if grant.feature == feature => Ok(grant.clone()),
        _ => Places::from_environment()?.obtain(feature, migration_id, now),
    }
}

/// A time as the journal writes it.
fn written(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample;

    #[test]
    fn a_journaled_grant_is_enough_however_old_it_is() {
        let grant = Grant { expires_at: "1999-01-01T00:00:00.000Z".into(), ..sample::grant() };
        assert_eq!(obtain(FEATURE, "m", Timestamp::MAX, Some(&grant)).unwrap(), grant);
    }
}
