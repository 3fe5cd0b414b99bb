//! Writes objects: one PUT up to a size, in several parts beyond.

use super::super::{Body, ObjectStore, PutOptions, Receipt, StoreError, StoreErrorKind, StoreResult};
use super::error::classify;
use super::{S3Store, STANDARD, body};
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, SdkError};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ObjectLockMode, ServerSideEncryption,
};
use base64::Engine;
use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Up to this size an object is one PUT.
const SINGLE_PUT_MAX_BYTES: u64 = 64 << 20;
/// Size of a part of a larger one; S3 wants at least 5 MiB.
const PART_BYTES: u64 = 32 << 20;
/// S3's limit.
const PARTS_MAX: u64 = 10_000;
/// Parts of one object under way at the same time.
const PARTS_IN_FLIGHT: usize = 3;
/// A body that fits into the sockets' buffers is sent before the answer comes, so that the answer is read.
const UNREAD_ANSWER_BYTES: u64 = 64 << 10;
const REFUSAL_TIMEOUT_MS: u64 = 5_000;
const CONTENT_TYPE: &str = "application/octet-stream";

/// Signs the request with the body's digest as the caller has computed it, so that the body is not hashed again.
///
/// Source: SigV4, `x-amz-content-sha256`. The SDK computes no checksum of its own where `x-amz-checksum-…` is set.
#[derive(Debug)]
struct SignedDigest([u8; 32]);

impl Intercept for SignedDigest {
    fn name(&self) -> &'static str {
        "SignedDigest"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let hex = self.0.iter().map(|b| format!("{b:02x}")).collect();
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(hex));
        Ok(())
    }
}

impl S3Store {
    pub(super) async fn put_object(&self, key: &str, body: Body, options: PutOptions) -> StoreResult<Receipt> {
        if body.len_bytes() > SINGLE_PUT_MAX_BYTES {
            return self.put_in_parts(key, body, options).await;
        }
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .content_type(options.content_type.unwrap_or(CONTENT_TYPE))
            .content_length(body.len_bytes() as i64)
            .checksum_sha256(STANDARD.encode(body.sha256()))
            .set_if_none_match(options.if_absent.then(|| "*".to_owned()))
            .set_object_lock_mode(options.retain_until.map(|_| ObjectLockMode::Compliance))
            .set_object_lock_retain_until_date(options.retain_until.map(date))
            .set_server_side_encryption(self.kms_key_arn.as_ref().map(|_| ServerSideEncryption::AwsKms))
            .set_ssekms_key_id(self.kms_key_arn.clone())
            .body(body::stream(body.parts()));
        let sent = request.customize().interceptor(SignedDigest(body.sha256())).send().await;
        match sent {
            Ok(stored) => Ok(Receipt { version_id: stored.version_id, etag: stored.e_tag }),
            Err(e) => {
                let seen = classify(format!("writing {}", self.location(key)), &e);
                let cut_off = matches!(e, SdkError::DispatchFailure(_)) && body.len_bytes() > UNREAD_ANSWER_BYTES;
                Err(if cut_off { self.refusal_behind(key, &options).await.unwrap_or(seen) } else { seen })
            }
        }
    }

    /// Why the server does not let us write, where it does not.
    ///
    /// A server that refuses a PUT may close the connection before it has read the body, and the answer is lost with it: a
    /// missing permission then looks like a bad line. A write without a body, which is given up at once, gets its answer.
    async fn refusal_behind(&self, key: &str, options: &PutOptions) -> Option<StoreError> {
        let asked = async {
            let upload = self.begin_upload(key, options).await?;
            upload.abort(|| format!("aborting an upload to {}", self.location(key))).await
        };
        let answer = tokio::time::timeout(Duration::from_millis(REFUSAL_TIMEOUT_MS), asked).await.ok()?;
        answer.err().filter(|e| matches!(e.kind(), StoreErrorKind::Permission | StoreErrorKind::NotFound))
    }

    async fn put_in_parts(&self, key: &str, body: Body, options: PutOptions) -> StoreResult<Receipt> {
        let what = || format!("writing {} in parts", self.location(key));
        let upload = self.begin_upload(key, &options).await?;
        let part_bytes = PART_BYTES.max(body.len_bytes().div_ceil(PARTS_MAX));
        let mut parts: Vec<CompletedPart> = futures::stream::iter(body.pieces(part_bytes).into_iter().zip(1..))
            .map(|(piece, number)| upload.put_part(number, piece, what))
            .buffered(PARTS_IN_FLIGHT)
            .try_collect()
            .await?;
        parts.sort_by_key(|p| p.part_number);
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&upload.full_key)
            .upload_id(&upload.id)
            .set_if_none_match(options.if_absent.then(|| "*".to_owned()))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        let stored = request.send().await.map_err(|e| classify(what(), &e))?;
        upload.completed();
        Ok(Receipt { version_id: stored.version_id, etag: stored.e_tag })
    }

    pub(super) async fn begin_upload(&self, key: &str, options: &PutOptions) -> StoreResult<Upload> {
        let full_key = self.full_key(key);
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(&full_key)
            .content_type(options.content_type.unwrap_or(CONTENT_TYPE))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .set_object_lock_mode(options.retain_until.map(|_| ObjectLockMode::Compliance))
            .set_object_lock_retain_until_date(options.retain_until.map(date))
            .set_server_side_encryption(self.kms_key_arn.as_ref().map(|_| ServerSideEncryption::AwsKms))
            .set_ssekms_key_id(self.kms_key_arn.clone());
        let what = || format!("beginning to write {} in parts", self.location(key));
        let begun = request.send().await.map_err(|e| classify(what(), &e))?;
        let id = begun.upload_id.ok_or_else(|| StoreError::new(StoreErrorKind::Permanent, format!("{}: no upload id", what())))?;
        Ok(Upload { client: self.client.clone(), bucket: self.bucket.clone(), full_key, id, open: true })
    }
}

/// Dropped uploads that are being aborted.
static ABORTS: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// A multipart upload that is under way. Dropped before its end, it is aborted, as far as the network allows.
pub(super) struct Upload {
    client: Client,
    bucket: String,
    full_key: String,
    id: String,
    open: bool,
}

impl Upload {
    /// Sends one part; numbers begin at 1.
    pub(super) async fn put_part(&self, number: i32, piece: Vec<Bytes>, what: impl Fn() -> String) -> StoreResult<CompletedPart> {
        let hashed = tokio::task::spawn_blocking(move || {
            let mut hasher = Sha256::new();
            piece.iter().for_each(|part| hasher.update(part));
            (<[u8; 32]>::from(hasher.finalize()), piece)
        });
        let (sha256, piece) = hashed.await.map_err(|e| StoreError::new(StoreErrorKind::Permanent, format!("{}: {e}", what())))?;
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.full_key)
            .upload_id(&self.id)
            .part_number(number)
            .content_length(piece.iter().map(|p| p.len() as i64).sum())
            .checksum_sha256(STANDARD.encode(sha256))
            .body(body::stream(&piece));
        let sent = request.customize().interceptor(SignedDigest(sha256)).send().await;
        let stored = sent.map_err(|e| classify(format!("{}, part {number}", what()), &e))?;
        let part = CompletedPart::builder().part_number(number).checksum_sha256(STANDARD.encode(sha256));
        Ok(part.set_e_tag(stored.e_tag).build())
    }

    /// Gives the upload up; its parts are gone.
    pub(super) async fn abort(mut self, what: impl Fn() -> String) -> StoreResult<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.full_key).upload_id(&self.id);
        let answer = request.send().await;
        self.open = false;
        answer.map_err(|e| classify(what(), &e))?;
        Ok(())
    }

    fn completed(mut self) {
        self.open = false;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.open {
            let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.full_key).upload_id(&self.id);
            // What stays behind is found and removed by the bucket's own lifecycle rule for incomplete uploads.
            let abort = runtime.spawn(async move {
                if let Err(e) = request.send().await {
                    tracing::warn!(error = %classify("aborting an upload", &e), "parts of an unfinished upload stay in the bucket");
                }
            });
            let mut aborts = ABORTS.lock().unwrap_or_else(PoisonError::into_inner);
            aborts.retain(|abort| !abort.is_finished());
            aborts.push(abort);
        }
    }
}

/// Waits until the uploads that were dropped are aborted.
pub(in crate::store) async fn aborted() {
    let aborts = std::mem::take(&mut *ABORTS.lock().unwrap_or_else(PoisonError::into_inner));
    futures::future::join_all(aborts).await;
}

fn date(at: jiff::Timestamp) -> DateTime {
    DateTime::from_secs(at.as_second())
}
