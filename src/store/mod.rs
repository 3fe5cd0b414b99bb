//! Where segments, manifests and evidence lie: S3, or a directory on this machine.

mod body;
pub mod directory;
mod error;
pub mod patient;
#[cfg(feature = "aws")]
pub mod s3;

pub use body::Body;
pub use error::{StoreError, StoreErrorKind, StoreResult};

use crate::config::model::StoreConfig;
use crate::error::Result;
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What a put asks for beside the content.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Refuses with `AlreadyExists` where the key is taken; of several that try at once, one wins.
    pub if_absent: bool,
    /// COMPLIANCE retention: nobody deletes this version before then. The store must be able to (`Capabilities`).
    pub retain_until: Option<Timestamp>,
    /// Media type; None is `application/octet-stream`.
    pub content_type: Option<&'static str>,
}

/// What a store says of an object that it has taken durably.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// None where the store keeps no versions.
    pub version_id: Option<String>,
    pub etag: Option<String>,
}

/// One object, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub key: String,
    pub size_bytes: u64,
    pub etag: Option<String>,
    /// None where the store keeps no versions, and in a listing.
    pub version_id: Option<String>,
    /// SHA-256 of the whole content, where the store has checked and kept it; never in a listing.
    pub sha256: Option<[u8; 32]>,
}

/// What a store can do, as seen by a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Every version of an object is kept. None where it could not be read, or the store has no such thing.
    pub versioning: Option<bool>,
    /// Objects can be put under retention. None where it could not be read.
    pub object_lock: Option<bool>,
    /// The retention that every new object gets by itself, in words; None where there is none, or it could not be read.
    pub default_retention: Option<String>,
}

/// What a probe has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    pub capabilities: Capabilities,
    /// What stands in the way. Several only where each is a permission that is missing.
    pub failures: Vec<StoreError>,
    /// Settings that may not be read, each with the action and the resource that would permit it.
    pub unseen: Vec<String>,
}

impl Probed {
    /// What a store that can be used is able to; the first failure of one that cannot.
    pub fn usable(self) -> StoreResult<Capabilities> {
        self.failures.into_iter().next().map_or(Ok(self.capabilities), Err)
    }
}

/// A flat space of objects under string keys.
///
/// Keys are relative to the configured prefix or root, have `/` between their components, and no component is empty, `.` or `..`.
/// All calls may run in parallel. An acknowledged put is durable, and appears whole or not at all. Repeating a put with
/// the same content is harmless, save that `if_absent` finds its own first try there (`patient` sees to that).
/// A key must not be the prefix folder of another (`a` beside `a/b`).
/// **Errors**: `StoreError`, whose kind says whether trying again can help. Messages never hold a secret.
pub trait ObjectStore: Send + Sync {
    /// Stores an object; returns once it is durable.
    fn put<'a>(&'a self, key: &'a str, body: Body, options: PutOptions) -> BoxFuture<'a, StoreResult<Receipt>>;

    /// Reads a whole object. **Errors**: `NotFound` where there is none.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Bytes>>;

    /// Reads the bytes `range` of an object; what lies beyond its end is left out.
    /// **Errors**: `NotFound` where there is no object.
    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> BoxFuture<'a, StoreResult<Bytes>>;

    /// Looks at an object; None where there is none.
    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<Option<Meta>>>;

    /// Lists every object whose key begins with `prefix`, in the order of the keys' bytes.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, StoreResult<Vec<Meta>>>;

    /// Deletes an object, which need not exist; for the clean-up after probes only.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, StoreResult<()>>;

    /// Tries by real calls whether objects can be written, under retention until then where one is given, and read; leaves nothing behind.
    fn probe(&self, retain_until: Option<Timestamp>) -> BoxFuture<'_, Probed>;

    /// Where an object lies, for people: `s3://bucket/prefix/key`, or a path.
    fn location(&self, key: &str) -> String;
}

/// Waits until the uploads that were given up on the way are taken back, `patience` at most.
pub async fn given_up(patience: Duration) {
    #[cfg(feature = "aws")]
    let _ = tokio::time::timeout(patience, s3::aborted()).await;
    #[cfg(not(feature = "aws"))]
    let _ = patience;
}

/// Opens the configured store. Touches no object; for S3 the AWS chain is asked for Region and credentials.
///
/// **Errors**: KF-CONFIG-UNSUPPORTED for S3 in a build without feature `aws`; KF-CONFIG-INVALID where no Region is to be found.
pub async fn open(config: &StoreConfig) -> Result<Arc<dyn ObjectStore>> {
    match config {
        StoreConfig::Directory { path } => Ok(Arc::new(directory::DirectoryStore::new(path.clone()))),
        #[cfg(feature = "aws")]
        StoreConfig::S3 { bucket, prefix, region, endpoint_url, kms_key_arn } => {
            let client = crate::aws::s3_client(region.as_deref(), endpoint_url.as_deref()).await?;
            Ok(Arc::new(s3::S3Store::new(client, bucket, prefix, kms_key_arn.clone())))
        }
        #[cfg(not(feature = "aws"))]
        StoreConfig::S3 { .. } => Err(crate::error::Error::new(
            crate::error::Code::ConfigUnsupported,
            "this build has no S3 support; build with feature `aws`, or set `directory`",
        )),
    }
}
