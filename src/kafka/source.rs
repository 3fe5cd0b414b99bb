//! The source: a cluster that is only read. No method here, and no request that its connections take, changes anything.

use super::cluster::{Cluster, Lane};
use super::connection::{Connection, Pending};
use super::metadata::{Leader, Metadata};
use super::request::ReadRequest;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// What can be read of a cluster, be it the source or the target. Its calls are spread over this folder's files by subject.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) cluster: Cluster,
}

impl Reader {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// The same through calls that are repeated for so long against what passes by itself; zero means one attempt.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { cluster: self.cluster.with_patience(patience) }
    }

    /// As `Cluster::metadata`.
    pub fn metadata(&self) -> Arc<Metadata> {
        self.cluster.metadata()
    }

    /// As `Cluster::refresh`.
    pub async fn refresh(&self) -> Result<Arc<Metadata>> {
        self.cluster.refresh().await
    }

    /// As `Cluster::leader`.
    pub fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        self.cluster.leader(partition)
    }

    pub fn cluster_id(&self) -> String {
        self.cluster.cluster_id()
    }

    /// As `Cluster::connection`, over which only requests that read can be sent.
    pub async fn connection(&self, broker_id: i32, lane: Lane) -> Result<ReadConnection> {
        Ok(ReadConnection(self.cluster.connection(broker_id, lane).await?))
    }

    /// As `Cluster::fresh_connection`, over which only requests that read can be sent.
    pub async fn fresh_connection(&self, broker_id: i32) -> Result<ReadConnection> {
        Ok(ReadConnection(self.cluster.fresh_connection(broker_id).await?))
    }
}

/// The cluster that is copied.
#[derive(Clone, Debug)]
pub struct Source(Reader);

impl Source {
    pub fn new(cluster: &Cluster) -> Self {
        Self(Reader::new(cluster.clone()))
    }
}

impl Deref for Source {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.0
    }
}

/// A connection over which nothing can be changed: it takes only requests that read.
#[derive(Clone, Debug)]
pub struct ReadConnection(Connection);

impl ReadConnection {
    /// As `Connection::send`.
    pub fn send<R: ReadRequest>(&self, version: i16, request: &R) -> Pending<R> {
        self.0.send(version, request)
    }

    /// As `Connection::send_within`.
    pub fn send_within<R: ReadRequest>(&self, timeout: Duration, version: i16, request: &R) -> Pending<R> {
        self.0.send_within(timeout, version, request)
    }

    /// As `Connection::version_for`.
    pub fn version_for<R: ReadRequest>(&self, min: i16, max: i16) -> Option<i16> {
        self.0.version_for::<R>(min, max)
    }

    pub fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    pub fn address(&self) -> &str {
        self.0.address()
    }

    /// As `Connection::close`.
    pub fn close(&self, reason: &str) {
        self.0.close(reason);
    }
}
