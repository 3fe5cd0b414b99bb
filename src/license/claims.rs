//! What a licence says, and its signature.

use super::{Grant, GrantKind, written};
use crate::error::{Code, Error, Result};
use crate::evidence::envelope::{self, Verified};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

const PAYLOAD_TYPE: &str = "application/vnd.kferry.license+json";

/// How far a host's clock may be behind the issuer's.
const CLOCK_SKEW_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A licence's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub id: String,
    pub licensee: String,
    pub features: Vec<String>,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Issues a licence: the bytes of its file.
pub fn issue(claims: &Claims, key: &SigningKey) -> Vec<u8> {
    // Strings and times: nothing that the serialiser could refuse.
    envelope::seal(PAYLOAD_TYPE, &serde_json::to_vec(claims).unwrap_or_default(), key)
}

impl Claims {
    /// Reads a licence, which is an envelope or its base64, and checks its signature; not its time.
    ///
    /// **Errors**: KF-LICENSE-INVALID.
    pub(super) fn read(text: &str, key: &VerifyingKey) -> Result<Verified<Self>> {
        let invalid = |seen: String| Error::new(Code::LicenseInvalid, seen);
        let text: String = text.trim().into();
        let envelope = if text.starts_with('{') {
            text.into_bytes()
        } else {
            let digits: String = text.split_whitespace().collect();
            STANDARD.decode(digits).map_err(|e| invalid(format!("it is neither an envelope nor base64: {e}")))?
        };
        let payload = envelope::open(&envelope, PAYLOAD_TYPE, key).map_err(|refusal| invalid(refusal.to_string()))?;
        payload.try_map(|payload| serde_json::from_slice(&payload).map_err(|e| invalid(format!("its claims cannot be read: {e}"))))
    }

    /// Checks that the licence is in force.
    ///
    /// **Errors**: KF-LICENSE-EXPIRED; KF-LICENSE-INVALID before it was issued.
    pub fn check_time(&self, now: Timestamp) -> Result<()> {
        let Claims { id, licensee, .. } = self;
        if now >= self.expires_at {
            return Err(Error::new(Code::LicenseExpired, format!("licence {id} of {licensee} ended at {}", written(self.expires_at))));
        }
        if now + CLOCK_SKEW_MAX < self.issued_at {
            let seen = format!("licence {id} of {licensee} begins at {}; this host's clock says {}", written(self.issued_at), written(now));
            return Err(Error::new(Code::LicenseInvalid, seen));
        }
        Ok(())
    }

    pub fn includes(&self, feature: &str) -> bool {
        self.features.iter().any(|f| f == feature)
    }

    /// The grant of a feature.
    ///
    /// **Errors**: KF-LICENSE-MISSING where the licence does not include it, and those of [`Claims::check_time`].
    pub(super) fn grant(&self, feature: &str, now: Timestamp) -> Result<Grant> {
        if !self.includes(feature) {
            let seen = format!("licence {} of {} includes {}, not {feature}", self.id, self.licensee, self.features.join(", "));
            return Err(Error::new(Code::LicenseMissing, seen));
        }
        self.check_time(now)?;
        Ok(Grant {
            kind: GrantKind::License,
            license_id: self.id.clone(),
            licensee: self.licensee.clone(),
            feature: feature.to_owned(),
            granted_at: written(now),
            expires_at: written(self.expires_at),
        })
    }
}
