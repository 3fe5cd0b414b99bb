//! Shows with real calls that the bucket can be used, and leaves nothing behind even where nothing can be deleted.

use super::super::{ObjectStore, Probed, PutOptions, StoreError, StoreErrorKind, StoreResult};
use super::S3Store;
use super::error::classify;
use super::put::Upload;
use crate::domain::iam_policy::partition_of;
use crate::domain::store_cause::StoreCause;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{BucketVersioningStatus, DefaultRetention, ObjectLockEnabled};
use bytes::Bytes;
use jiff::Timestamp;
use std::time::Duration;

/// Time for each of the probe's calls, credentials included.
const CALL_TIMEOUT_MS: u64 = 20_000;

impl S3Store {
    /// Lists, reads what is not there, and begins an upload that it aborts: a version that retention holds never comes to be.
    ///
    /// The upload is begun as a real write would be, with the same key of KMS's and the same retention. A permission that is missing does not end
    /// the probe, so that one run names all of them; anything else does.
    pub(super) async fn probe_bucket(&self, retain_until: Option<Timestamp>) -> Probed {
        let mut probed = Probed::default();
        if let Err(error) = self.probe_calls(retain_until, &mut probed).await {
            probed.failures.push(error);
        }
        if probed.failures.iter().all(|failure| failure.cause() == StoreCause::Denied) {
            self.probe_settings(&mut probed).await;
        }
        probed
    }

    async fn probe_calls(&self, retain_until: Option<Timestamp>, probed: &mut Probed) -> StoreResult<()> {
        let here = self.location("");
        let listing = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1);
        let listed = within(&here, async { listing.send().await.map_err(|e| classify(format!("listing {here}"), &e)) }).await;
        let may_list = listed.is_ok();
        self.note(probed, listed.map(drop), "s3:ListBucket", &self.bucket_arn())?;

        let random = getrandom::u64().map_err(|e| StoreError::new(StoreErrorKind::Permanent, format!("no random number: {e}")))?;
        let key = format!("kferry-probe-{random:016x}");
        match within(&here, self.get_ranged(&key, None)).await {
            Err(e) if e.kind() == StoreErrorKind::NotFound && e.cause() != StoreCause::BucketMissing => {}
            // Who may not list is not told that an object is not there, so that this says nothing of reading.
            Err(e) if !may_list && e.cause() == StoreCause::Denied => {}
            Err(e) => self.note(probed, Err(e), "s3:GetObject", &self.objects_arn())?,
            Ok(_) => return Err(StoreError::new(StoreErrorKind::Permanent, format!("{here} answers for an object that nobody wrote"))),
        }

        let options = PutOptions { retain_until, ..PutOptions::default() };
        match within(&here, self.begin_upload(&key, &options)).await {
            Ok(upload) => self.probe_upload(&here, upload, probed).await,
            Err(e) if e.cause() == StoreCause::Denied && retain_until.is_some() => {
                // One answer for two permissions: without retention, it is told which of them is missing.
                match within(&here, self.begin_upload(&key, &PutOptions::default())).await {
                    Ok(upload) => {
                        self.note(probed, Err(e), "s3:PutObjectRetention", &self.objects_arn())?;
                        self.probe_upload(&here, upload, probed).await
                    }
                    Err(_) => self.note(probed, Err(e), "s3:PutObject", &self.objects_arn()),
                }
            }
            Err(e) => self.note(probed, Err(e), "s3:PutObject", &self.objects_arn()),
        }
    }

    /// Writes a part and gives the upload up, whatever became of the part.
    async fn probe_upload(&self, here: &str, upload: Upload, probed: &mut Probed) -> StoreResult<()> {
        let written = within(here, upload.put_part(1, vec![Bytes::from_static(b"probe")], || format!("writing {here}"))).await;
        let aborted = within(here, upload.abort(|| format!("aborting the upload of a probe, of which one part of 5 bytes stays in {here}"))).await;
        self.note(probed, written.map(drop), "s3:PutObject", &self.objects_arn())?;
        self.note(probed, aborted, "s3:AbortMultipartUpload", &self.objects_arn())
    }

    /// Notes a permission that is missing with the action and the resource that are to be allowed; any other failure ends the probe.
    fn note(&self, probed: &mut Probed, ended: StoreResult<()>, action: &str, resource: &str) -> StoreResult<()> {
        match ended {
            Err(e) if e.cause() == StoreCause::Denied => {
                probed.failures.push(StoreError::new(e.kind(), format!("{action} on {resource} is not permitted: {}", e.seen())).with_cause(StoreCause::Denied));
                Ok(())
            }
            ended => ended,
        }
    }

    /// Reads what the bucket does with objects by itself.
    async fn probe_settings(&self, probed: &mut Probed) {
        let versions = async { self.client.get_bucket_versioning().bucket(&self.bucket).send().await.map_err(|e| classify("reading the bucket's versioning", &e)) };
        probed.capabilities.versioning = match within("", versions).await {
            Ok(answer) => Some(answer.status == Some(BucketVersioningStatus::Enabled)),
            Err(e) => self.unseen(probed, &e, "s3:GetBucketVersioning"),
        };
        let lock = async { Ok(self.client.get_object_lock_configuration().bucket(&self.bucket).send().await) };
        match within("", lock).await {
            Ok(Ok(answer)) => {
                let found = answer.object_lock_configuration;
                let enabled = found.as_ref().and_then(|c| c.object_lock_enabled.clone()) == Some(ObjectLockEnabled::Enabled);
                let retention = found.and_then(|c| c.rule).and_then(|r| r.default_retention).filter(|_| enabled);
                probed.capabilities.object_lock = Some(enabled);
                probed.capabilities.default_retention = retention.as_ref().and_then(in_words);
            }
            Ok(Err(e)) if e.code() == Some("ObjectLockConfigurationNotFoundError") => probed.capabilities.object_lock = Some(false),
            Ok(Err(e)) => {
                let seen = classify("reading the bucket's Object Lock configuration", &e);
                probed.capabilities.object_lock = self.unseen(probed, &seen, "s3:GetBucketObjectLockConfiguration");
            }
            Err(_) => {}
        }
    }

    /// Notes a setting that may not be read. Servers that do not have it at all answer otherwise, and there is nothing to be said.
    fn unseen(&self, probed: &mut Probed, error: &StoreError, action: &str) -> Option<bool> {
        if error.cause() == StoreCause::Denied {
            probed.unseen.push(format!("{action} on {} is not permitted: {}", self.bucket_arn(), error.seen()));
        }
        None
    }

    fn bucket_arn(&self) -> String {
        let region = self.client.config().region().map(|region| region.as_ref());
        format!("arn:{}:s3:::{}", partition_of(region), self.bucket)
    }

    fn objects_arn(&self) -> String {
        format!("{}/{}*", self.bucket_arn(), self.prefix)
    }
}

fn in_words(retention: &DefaultRetention) -> Option<String> {
    let mode = retention.mode.as_ref()?.as_str();
    let counted = |n: i32, unit: &str| format!("{mode}, {n} {unit}{}", if n == 1 { "" } else { "s" });
    retention.days.map(|days| counted(days, "day")).or_else(|| retention.years.map(|years| counted(years, "year")))
}

async fn within<T>(what: &str, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
    match tokio::time::timeout(Duration::from_millis(CALL_TIMEOUT_MS), call).await {
        Ok(ended) => ended,
        Err(_) => {
            let seen = format!("{what}: no answer within {} s", CALL_TIMEOUT_MS / 1000);
            Err(StoreError::new(StoreErrorKind::Transient, seen).with_cause(StoreCause::Network))
        }
    }
}
