//! The trial: 14 days from the first mutating command on a host, recorded in a file.

use super::{Grant, GrantKind, written};
use crate::error::{Code, Error, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// How long the trial lasts.
pub const TRIAL_DAYS: i64 = 14;

/// The trial's record. It can be deleted, of course; the journal records the trial too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    started_at: Timestamp,
    /// The migration that began it.
    migration_id: String,
    /// A clock that is set back does not bring days back.
    latest_seen_at: Timestamp,
}

/// How the trial stands on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialStanding {
    /// Turned off, or there is no place to record it.
    Off,
    NotStarted,
    Running { started_at: Timestamp, expires_at: Timestamp },
    Ended { started_at: Timestamp, expires_at: Timestamp },
}

impl Record {
    fn expires_at(&self) -> Timestamp {
        self.started_at.saturating_add(SignedDuration::from_hours(TRIAL_DAYS * 24)).unwrap_or(Timestamp::MAX)
    }

    /// The present time, or the latest seen where the clock says less.
    fn time(&self, now: Timestamp) -> Timestamp {
        now.max(self.latest_seen_at).max(self.started_at)
    }
}

/// Looks at the trial without beginning it.
///
/// **Errors**: KF-LICENSE-INVALID where its record cannot be read.
pub(super) fn standing(path: &Path, now: Timestamp) -> Result<TrialStanding> {
    Ok(match read(path)? {
        None => TrialStanding::NotStarted,
        Some(record) => {
            let (started_at, expires_at) = (record.started_at, record.expires_at());
            match record.time(now) < expires_at {
                true => TrialStanding::Running { started_at, expires_at },
                false => TrialStanding::Ended { started_at, expires_at },
            }
        }
    })
}

/// Begins the trial or goes on with it, and records that it was used now.
///
/// **Errors**: KF-LICENSE-EXPIRED; KF-LICENSE-INVALID where the record cannot be read; KF-LICENSE-MISSING where it cannot
/// be written.
pub(super) fn obtain(path: &Path, feature: &str, migration_id: &str, now: Timestamp) -> Result<Grant> {
    let mut record = match read(path)? {
        Some(record) => record,
        None => Record { started_at: now, migration_id: migration_id.to_owned(), latest_seen_at: now },
    };
    record.latest_seen_at = record.time(now);
    write(path, &record).map_err(|e| Error::new(Code::LicenseMissing, format!("the trial cannot be recorded in {}: {e}", path.display())))?;
    let expires_at = record.expires_at();
    if record.latest_seen_at >= expires_at {
        let seen = format!("the {TRIAL_DAYS}-day trial on this host began at {} and ended at {}", written(record.started_at), written(expires_at));
        return Err(Error::new(Code::LicenseExpired, seen));
    }
    Ok(Grant {
        kind: GrantKind::Trial,
        license_id: String::new(),
        licensee: String::new(),
        feature: feature.to_owned(),
        granted_at: written(now),
        expires_at: written(expires_at),
    })
}

fn read(path: &Path) -> Result<Option<Record>> {
    let invalid = |seen: String| Error::new(Code::LicenseInvalid, format!("the trial's record {}: {seen}", path.display()));
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| invalid(e.to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(invalid(e.to_string())),
    }
}

fn write(path: &Path, record: &Record) -> io::Result<()> {
    replace(path, &serde_json::to_vec(record)?)
}

/// Replaces a small file of the user's own in one step, creating its directory.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = Path::new(&temporary);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(temporary, path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(temporary);
    })
}
