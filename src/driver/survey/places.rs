//! Whether the places that a migration writes to can be written: both stores; and whether its evidence can be signed.

use super::limits::STORE_TIMEOUT;
use crate::config::Config;
use crate::config::model::StoreConfig;
use crate::domain::planning::{SigningKey, StoreProbe};
use crate::domain::store_cause::{StoreCause, StoreFailure};
use crate::error::Code;
use crate::evidence::key;
use crate::store::{self, Capabilities, Probed};
use jiff::{SignedDuration, Timestamp};

pub(super) struct Places {
    pub backup: StoreProbe,
    pub evidence: StoreProbe,
    pub signing_key: SigningKey,
}

/// Tries both stores by real calls and reads the signing key; what is wrong is in the answer.
pub(super) async fn probe(config: &Config) -> Places {
    let evidence = &config.evidence;
    let kept = SignedDuration::from_hours(24 * i64::from(evidence.retention_days));
    let retain_until = evidence.object_lock.then(|| Timestamp::now().checked_add(kept).unwrap_or(Timestamp::MAX));
    let (backup, evidence) = futures::join!(try_store(&config.backup, None), try_store(&evidence.store, retain_until));
    Places { backup, evidence, signing_key: signing_key(config) }
}

async fn try_store(config: &StoreConfig, retain_until: Option<Timestamp>) -> StoreProbe {
    let location = match config {
        StoreConfig::S3 { bucket, prefix, .. } => format!("s3://{bucket}/{prefix}"),
        StoreConfig::Directory { path } => path.display().to_string(),
    };
    let failed = |cause, seen: String| StoreProbe { location: location.clone(), failures: vec![StoreFailure { cause, seen }], ..StoreProbe::default() };
    let tried = async {
        let store = match store::open(config).await {
            Ok(store) => store,
            // The one value that the configuration lacks and only the environment could have given.
            Err(e) if e.code() == Code::ConfigInvalid => return failed(StoreCause::Region, e.seen().to_owned()),
            Err(e) => return failed(StoreCause::Other, e.seen().to_owned()),
        };
        let Probed { capabilities, failures, unseen } = store.probe(retain_until).await;
        let Capabilities { versioning, object_lock, default_retention } = capabilities;
        let failures = failures.into_iter().map(StoreFailure::from).collect();
        StoreProbe { location: location.clone(), failures, unseen, object_lock, versioning, default_retention }
    };
    let outcome = tokio::time::timeout(STORE_TIMEOUT, tried).await;
    outcome.unwrap_or_else(|_| failed(StoreCause::Network, format!("no answer within {} s", STORE_TIMEOUT.as_secs())))
}

fn signing_key(config: &Config) -> SigningKey {
    match &config.evidence.signing_key_path {
        None => SigningKey::Unset,
        Some(path) => match key::read_signing_key(path) {
            Ok(_) => SigningKey::Usable,
            Err(error) => SigningKey::Unusable(error.seen().to_owned()),
        },
    }
}
