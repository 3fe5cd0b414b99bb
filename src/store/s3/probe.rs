//! Shows with real calls that the bucket can be used, and leaves nothing behind even where nothing can be deleted.

use super::super::{Capabilities, ObjectStore, PutOptions, StoreError, StoreErrorKind, StoreResult};
use super::S3Store;
use super::error::classify;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{BucketVersioningStatus, ObjectLockEnabled};
use bytes::Bytes;
use std::time::Duration;

/// Time for each of the probe's calls, credentials included.
const CALL_TIMEOUT_MS: u64 = 20_000;

impl S3Store {
    /// Lists, reads what is not there, and begins an upload that it aborts: a version that retention holds never comes to be.
    pub(super) async fn probe_bucket(&self) -> StoreResult<Capabilities> {
        let here = self.location("");
        let listing = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1);
        let listed = async { listing.send().await.map_err(|e| classify(format!("listing {here}"), &e)) };
        within(&here, listed).await?;

        let random = getrandom::u64().map_err(|e| StoreError::new(StoreErrorKind::Permanent, format!("no random number: {e}")))?;
        let key = format!("kferry-probe-{random:016x}");
        match within(&here, self.get_ranged(&key, None)).await {
            Err(e) if e.kind() == StoreErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(_) => return Err(StoreError::new(StoreErrorKind::Permanent, format!("{here} answers for an object that nobody wrote"))),
        }

        let what = || format!("writing {here}");
        let upload = within(&here, self.begin_upload(&key, &PutOptions::default())).await?;
        let written = within(&here, upload.put_part(1, vec![Bytes::from_static(b"probe")], what)).await;
        let aborted = within(&here, upload.abort(|| format!("aborting an upload to {here}"))).await;
        written?;
        aborted?;
        Ok(Capabilities { versioning: self.versioning().await, object_lock: self.object_lock().await })
    }

    async fn versioning(&self) -> Option<bool> {
        let call = async { Ok(self.client.get_bucket_versioning().bucket(&self.bucket).send().await.ok()) };
        let answer = within("", call).await.ok()??;
        Some(answer.status == Some(BucketVersioningStatus::Enabled))
    }

    async fn object_lock(&self) -> Option<bool> {
        let call = async { Ok(self.client.get_object_lock_configuration().bucket(&self.bucket).send().await) };
        match within("", call).await.ok()? {
            Ok(answer) => {
                let enabled = answer.object_lock_configuration.and_then(|c| c.object_lock_enabled);
                Some(enabled == Some(ObjectLockEnabled::Enabled))
            }
            Err(e) if e.code() == Some("ObjectLockConfigurationNotFoundError") => Some(false),
            Err(_) => None,
        }
    }
}

async fn within<T>(what: &str, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
    match tokio::time::timeout(Duration::from_millis(CALL_TIMEOUT_MS), call).await {
        Ok(ended) => ended,
        Err(_) => Err(StoreError::new(StoreErrorKind::Transient, format!("{what}: no answer within {} s", CALL_TIMEOUT_MS / 1000))),
    }
}
