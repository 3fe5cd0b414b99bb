//! The target: a cluster that is read and written. Its calls are spread over this folder's files by subject.

use super::cluster::{Cluster, Lane};
use super::connection::Connection;
use super::source::Reader;
use crate::error::Result;
use std::ops::Deref;
use std::time::Duration;

/// The cluster that is copied to.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) cluster: Cluster,
    reader: Reader,
}

impl Target {
    pub fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone(), reader: Reader::new(cluster.clone()) }
    }

    /// The same through calls that are repeated for so long against what passes by itself; zero means one attempt.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self::new(&self.cluster.with_patience(patience))
    }

    /// As `Cluster::connection`.
    pub async fn connection(&self, broker_id: i32, lane: Lane) -> Result<Connection> {
        self.cluster.connection(broker_id, lane).await
    }

    /// As `Cluster::fresh_connection`.
    pub async fn fresh_connection(&self, broker_id: i32) -> Result<Connection> {
        self.cluster.fresh_connection(broker_id).await
    }
}

impl Deref for Target {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}
