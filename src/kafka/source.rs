//! The source: a cluster that is only read. No method here, and no request that its connections take, changes anything.

use super::cluster::{Cluster, Lane};
use super::connection::{Connection, Pending};
use super::request::ReadRequest;
use crate::error::Result;
use std::time::Duration;

/// A cluster as far as it can be read.
#[derive(Clone, Debug)]
pub struct Source(Cluster);

impl Source {
    pub fn new(cluster: Cluster) -> Self {
        Self(cluster)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.0
    }

    /// As `Cluster::connection`, over which only requests that read can be sent.
    pub async fn connection(&self, broker_id: i32, lane: Lane) -> Result<ReadConnection> {
        Ok(ReadConnection(self.0.connection(broker_id, lane).await?))
    }

    /// As `Cluster::fresh_connection`, over which only requests that read can be sent.
    pub async fn fresh_connection(&self, broker_id: i32) -> Result<ReadConnection> {
        Ok(ReadConnection(self.0.fresh_connection(broker_id).await?))
    }
}

/// A connection over which nothing can be changed: it takes only requests that read.
#[derive(Clone, Debug)]
pub struct ReadConnection(Connection);

impl ReadConnection {
    /// As `Connection::send_within`.
    pub fn send_within<R: ReadRequest>(&self, timeout: Duration, version: i16, request: &R) -> Pending<R> {
        self.0.send_within(timeout, version, request)
    }

    /// As `Connection::send`.
    pub fn send<R: ReadRequest>(&self, version: i16, request: &R) -> Pending<R> {
        self.0.send(version, request)
    }

    pub fn version_for<R: ReadRequest>(&self, min: i16, max: i16) -> Option<i16> {
        self.0.version_for::<R>(min, max)
    }

    pub fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    pub fn address(&self) -> &str {
        self.0.address()
    }
}
