//! Objects in an S3 bucket.

mod body;
mod error;
mod probe;
mod put;

pub(super) use put::aborted;

use super::{Body, Meta, ObjectStore, Probed, PutOptions, Receipt, StoreErrorKind, StoreResult};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::ChecksumMode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use error::{classify, classify_body};
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use std::ops::Range;

/// Stores objects in one bucket below one prefix.
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
    /// Encrypts with this KMS key; None leaves it to the bucket's default.
    kms_key_arn: Option<String>,
}

impl S3Store {
    /// `prefix` is empty or ends with a slash.
    pub fn new(client: Client, bucket: impl Into<String>, prefix: impl Into<String>, kms_key_arn: Option<String>) -> Self {
        Self { client, bucket: bucket.into(), prefix: prefix.into(), kms_key_arn }
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn get_ranged(&self, key: &str, range: Option<String>) -> StoreResult<Bytes> {
        let what = || format!("reading {}", self.location(key));
        let request = self.client.get_object().bucket(&self.bucket).key(self.full_key(key)).set_range(range);
        let output = request.send().await.map_err(|e| classify(what(), &e))?;
        Ok(output.body.collect().await.map_err(|e| classify_body(what(), &e))?.into_bytes())
    }

    async fn head_object(&self, key: &str) -> StoreResult<Option<Meta>> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.full_key(key));
        let output = match request.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(output) => output,
            Err(e) => {
                let seen = classify(format!("looking at {}", self.location(key)), &e);
                // HEAD answers without a body: a missing bucket looks like a missing object here.
                return if seen.kind() == StoreErrorKind::NotFound { Ok(None) } else { Err(seen) };
            }
        };
        Ok(Some(Meta {
            key: key.to_owned(),
            size_bytes: output.content_length().unwrap_or(0).max(0) as u64,
            // A multipart object's checksum is that of its parts' checksums, with their number behind: not 32 bytes of base64.
            sha256: output.checksum_sha256().and_then(|c| STANDARD.decode(c).ok()?.try_into().ok()),
            etag: output.e_tag,
            version_id: output.version_id,
        }))
    }

    async fn list_pages(&self, prefix: &str) -> StoreResult<Vec<Meta>> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.full_key(prefix));
        let mut pages = request.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| classify(format!("listing {}", self.location(prefix)), &e))?;
            for object in page.contents.unwrap_or_default() {
                let Some(key) = object.key.as_deref().and_then(|k| k.strip_prefix(&self.prefix)) else { continue };
                found.push(Meta {
                    key: key.to_owned(),
                    size_bytes: object.size.unwrap_or(0).max(0) as u64,
                    etag: object.e_tag,
                    version_id: None,
                    sha256: None,
                });
            }
        }
        // S3 lists in this order already; a directory bucket, and some others' servers, do not.
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }
}

impl ObjectStore for S3Store {
    fn put<'a>(&'a self, key: &'a str, body: Body, options: PutOptions) -> BoxFuture<'a, StoreResult<Receipt>> {
        self.put_object(key, body, options).boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Bytes>> {
        self.get_ranged(key, None).boxed()
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> BoxFuture<'a, StoreResult<Bytes>> {
        async move {
            if range.is_empty() {
                return Ok(Bytes::new());
            }
            let header = format!("bytes={}-{}", range.start, range.end - 1);
            match self.get_ranged(key, Some(header)).await {
                Err(e) if error::beyond_end(&e) => Ok(Bytes::new()),
                read => read,
            }
        }
        .boxed()
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Option<Meta>>> {
        self.head_object(key).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, StoreResult<Vec<Meta>>> {
        self.list_pages(prefix).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<()>> {
        async move {
            let request = self.client.delete_object().bucket(&self.bucket).key(self.full_key(key));
            request.send().await.map_err(|e| classify(format!("deleting {}", self.location(key)), &e))?;
            Ok(())
        }
        .boxed()
    }

    fn probe(&self, retain_until: Option<Timestamp>) -> BoxFuture<'_, Probed> {
        self.probe_bucket(retain_until).boxed()
    }

    fn location(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests;
