//! Whether the places that a migration writes to can be written: both stores; and whether its evidence can be signed.

use super::limits::STORE_TIMEOUT;
use crate::config::Config;
use crate::config::model::StoreConfig;
use crate::domain::planning::{SigningKey, StoreProbe};
use crate::error::Result;
use crate::evidence::key;
use crate::store;

pub(super) struct Places {
    pub backup: StoreProbe,
    pub evidence: StoreProbe,
    pub signing_key: SigningKey,
}

/// Tries both stores by real calls and reads the signing key; what is wrong is in the answer.
pub(super) async fn probe(config: &Config) -> Result<Places> {
    let (backup, evidence) = futures::join!(try_store(&config.backup), try_store(&config.evidence.store));
    Ok(Places { backup, evidence, signing_key: signing_key(config) })
}

async fn try_store(config: &StoreConfig) -> StoreProbe {
    let location = match config {
        StoreConfig::S3 { bucket, prefix, .. } => format!("s3://{bucket}/{prefix}"),
        StoreConfig::Directory { path } => path.display().to_string(),
    };
    let tried = async {
        let store = store::open(config).await.map_err(|e| e.seen().to_owned())?;
        store.probe().await.map_err(|e| e.seen().to_owned())
    };
    let outcome = tokio::time::timeout(STORE_TIMEOUT, tried).await;
    match outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", STORE_TIMEOUT.as_secs()))) {
        Ok(capabilities) => StoreProbe { location, error: None, object_lock: capabilities.object_lock },
        Err(error) => StoreProbe { location, error: Some(error), object_lock: None },
    }
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
