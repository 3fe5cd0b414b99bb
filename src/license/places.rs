//! Where licences are looked for, and what is found.

use super::claims::Claims;
use super::trial::{self, TrialStanding};
use super::{Grant, vendor};
use crate::error::{Code, Error, Result};
use crate::evidence::envelope::Verified;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const KEY_VARIABLE: &str = "KFERRY_LICENSE_KEY";
const FILE_VARIABLE: &str = "KFERRY_LICENSE_FILE";
const NO_TRIAL_VARIABLE: &str = "KFERRY_NO_TRIAL";
const SYSTEM_FILE: &str = "/etc/kferry/license.key";

/// A licence has a few hundred bytes; what is longer is something else.
const LICENSE_BYTES_MAX: u64 = 64 * 1024;

/// The places that are looked at, in their order, and the key that a licence is checked against.
#[derive(Clone, Debug)]
pub struct Places {
    vendor_key: VerifyingKey,
    /// The licence itself, in base64.
    key: Option<String>,
    /// Named by the user, so it must be there.
    file: Option<PathBuf>,
    system_file: PathBuf,
    user_file: Option<PathBuf>,
    /// None where the trial is turned off or has no place.
    trial_file: Option<PathBuf>,
}

/// What the right to migrate rests on, on this host and at this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A licence whose signature holds; whether it is in force is [`Claims::check_time`]'s to say.
    Licensed { claims: Verified<Claims>, found_at: String },
    Trial(TrialStanding),
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl Places {
    /// The places that product and environment name.
    ///
    /// **Errors**: those of the vendor's key.
    pub fn from_environment() -> Result<Self> {
        let home = variable("HOME").map(PathBuf::from);
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let state = state.or_else(|| Some(home.as_ref()?.join(".local/state")));
        let no_trial = variable(NO_TRIAL_VARIABLE).is_some_and(|value| value != "0");
        Ok(Self {
            vendor_key: vendor::vendor_key()?,
            key: variable(KEY_VARIABLE),
            file: variable(FILE_VARIABLE).map(PathBuf::from),
            system_file: SYSTEM_FILE.into(),
            user_file: home.map(|home| home.join(".config/kferry/license.key")),
            trial_file: state.filter(|_| !no_trial).map(|state| state.join("kferry/trial.json")),
        })
    }

    /// Finds the first licence that is there and checks its signature; where none is, looks at the trial.
    ///
    /// **Errors**: KF-LICENSE-INVALID; KF-LICENSE-MISSING where a place cannot be read.
    pub fn standing(&self, now: Timestamp) -> Result<Standing> {
        if let Some((claims, found_at)) = self.find()? {
            return Ok(Standing::Licensed { claims, found_at });
        }
        let trial = self.trial_file.as_ref().map_or(Ok(TrialStanding::Off), |path| trial::standing(path, now))?;
        Ok(Standing::Trial(trial))
    }

    /// Obtains a grant from the licence, or from the trial, which begins here if it has not yet.
    ///
    /// **Errors**: KF-LICENSE-MISSING, KF-LICENSE-INVALID, KF-LICENSE-EXPIRED.
    pub fn obtain(&self, feature: &str, migration_id: &str, now: Timestamp) -> Result<Grant> {
        if let Some((claims, found_at)) = self.find()? {
            return claims.grant(feature, now).map_err(|e| e.within(found_at));
        }
        match &self.trial_file {
            Some(path) => trial::obtain(path, feature, migration_id, now),
            None => Err(Error::new(Code::LicenseMissing, "no licence is found, and no trial: it is turned off or has no home directory")),
        }
    }

    fn find(&self) -> Result<Option<(Verified<Claims>, String)>> {
        if let Some(key) = &self.key {
            let claims = Claims::read(key, &self.vendor_key).map_err(|e| e.within(KEY_VARIABLE))?;
            return Ok(Some((claims, KEY_VARIABLE.to_owned())));
        }
        if let Some(path) = &self.file {
            return Ok(Some((self.read_file(path)?, path.display().to_string())));
        }
        for path in std::iter::once(&self.system_file).chain(&self.user_file) {
            match read(path) {
                Ok(text) => {
                    let claims = Claims::read(&text, &self.vendor_key).map_err(|e| e.within(path.display()))?;
                    return Ok(Some((claims, path.display().to_string())));
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(e) => return Err(unreadable(path, &e)),
            }
        }
        Ok(None)
    }

    /// Reads one licence's file and checks its signature.
    ///
    /// **Errors**: KF-LICENSE-MISSING, KF-LICENSE-INVALID.
    pub fn read_file(&self, path: &Path) -> Result<Verified<Claims>> {
        let text = read(path).map_err(|e| unreadable(path, &e))?;
        Claims::read(&text, &self.vendor_key).map_err(|e| e.within(path.display()))
    }

    /// Installs a licence's file for this user and returns where; nothing is installed that does not hold now.
    ///
    /// **Errors**: KF-LICENSE-MISSING where it cannot be read or there is no home directory, KF-LICENSE-INVALID, KF-LICENSE-EXPIRED.
    pub fn apply(&self, path: &Path, now: Timestamp) -> Result<PathBuf> {
        self.read_file(path)?.check_time(now)?;
        let text = read(path).map_err(|e| unreadable(path, &e))?;
        let Some(user_file) = &self.user_file else {
            return Err(Error::new(Code::LicenseMissing, "HOME is not set, so there is no place to install a licence in"));
        };
        trial::replace(user_file, text.as_bytes()).map_err(|e| unreadable(user_file, &e))?;
        Ok(user_file.clone())
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LICENSE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::LicenseMissing, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
