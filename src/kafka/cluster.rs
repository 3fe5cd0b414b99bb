//! One cluster: its metadata, kept fresh, and connections to its brokers, kept open.

use super::auth::AuthProblem;
use super::connection::{CallError, Connection, ConnectionOptions};
use super::failure::{Failure, Patience};
use super::limits::{ADMIN_PATIENCE, BACKOFF_MIN, CONNECT_PATIENCE, METADATA_TIMEOUT, REFRESH_INTERVAL_MIN};
use super::metadata::{Leader, Metadata};
use super::request::Request;
use crate::config::model::ClusterConfig;
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result, Retry};
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Which of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Source,
    Target,
}

impl Side {
    /// As the configuration names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
        }
    }

    /// The code for a cluster that does not answer.
    pub fn unavailable(self) -> Code {
        match self {
            Side::Source => Code::SourceUnavailable,
            Side::Target => Code::TargetUnavailable,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a connection is for: one broker has one connection per lane, so that a long fetch never holds up another call.
///
/// A broker carries out one request of a connection at a time, pipelined or not: a Produce that waits for its replicas holds up
/// the one behind it. Who wants more at once takes more connections. Source: `SocketServer`, which mutes a channel meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    Admin,
    Fetch,
    Verify,
    Produce,
    /// Control records.
    Markers,
    /// One of several for committing groups' offsets.
    Commit(u8),
}

/// Which kind of coordinator. The discriminants are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum Coordinator {
    Group = 0,
    Transaction = 1,
}

/// A handle to one cluster; clones share its metadata and its connections.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    /// How long this handle's calls are repeated against what passes by itself.
    patience: Duration,
}

struct Inner {
    side: Side,
    options: ConnectionOptions,
    bootstrap_servers: Vec<String>,
    metadata: Mutex<Arc<Metadata>>,
    /// The last refresh; held during one, so that there is one at a time.
    refreshed: tokio::sync::Mutex<Option<Refreshed>>,
    connections: Mutex<HashMap<(i32, Lane), Slot>>,
}

/// When a refresh began, and why it failed, if it did.
struct Refreshed {
    began_at: Instant,
    failure: Option<(Code, String)>,
}

/// Held while its connection is opened, so that it is opened once.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

impl Cluster {
    /// Reaches the cluster by one of its bootstrap servers and reads its metadata.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE` where none answers within a few seconds; `KF-AUTH-…` where one
    /// answers and the two sides do not agree on who they are; `KF-CONFIG-UNSUPPORTED` for what this version cannot speak.
    pub async fn connect(side: Side, config: &ClusterConfig) -> Result<Self> {
        let options = ConnectionOptions::from_config(config).map_err(|e| e.within(side))?;
        if config.bootstrap_servers.is_empty() {
            return Err(Error::new(Code::Bug, format!("{side}: the bootstrap servers were not looked up")));
        }
        let inner = Inner {
            side,
            options,
            bootstrap_servers: config.bootstrap_servers.clone(),
            metadata: Mutex::default(),
            refreshed: tokio::sync::Mutex::default(),
            connections: Mutex::default(),
        };
        let cluster = Self { inner: Arc::new(inner), patience: ADMIN_PATIENCE };
        let started = Instant::now();
        loop {
            match cluster.refresh().await {
                Ok(_) => return Ok(cluster),
                Err(error) if error.code().retry() != Retry::Transient || started.elapsed() > CONNECT_PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(BACKOFF_MIN * 4).await,
            }
        }
    }

    /// The same cluster through a handle whose calls are repeated for so long; zero means one attempt.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { inner: self.inner.clone(), patience }
    }

    pub fn side(&self) -> Side {
        self.inner.side
    }

    /// The metadata as last read.
    pub fn metadata(&self) -> Arc<Metadata> {
        self.inner.metadata.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn cluster_id(&self) -> String {
        self.metadata().cluster_id.clone()
    }

    /// Who leads a partition, as last read; none while nobody does or the partition is not known.
    pub fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        self.metadata().leader(partition)
    }

    /// Reads the metadata anew: what is returned was asked for after this call began. Calls at the same time share one request.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE` where no broker answers, `KF-AUTH-…`; there is no second attempt here.
    pub async fn refresh(&self) -> Result<Arc<Metadata>> {
        let asked_at = Instant::now();
        let mut refreshed = self.inner.refreshed.lock().await;
        if let Some(last) = &*refreshed {
            if last.began_at >= asked_at {
                return match &last.failure {
                    None => Ok(self.metadata()),
                    Some((code, seen)) => Err(Error::new(*code, seen)),
                };
            }
            tokio::time::sleep(REFRESH_INTERVAL_MIN.saturating_sub(last.began_at.elapsed())).await;
        }
        let began_at = Instant::now();
        let outcome = self.read_metadata().await.map(Arc::new);
        if let Ok(metadata) = &outcome {
            *self.inner.metadata.lock().unwrap_or_else(PoisonError::into_inner) = metadata.clone();
        }
        *refreshed = Some(Refreshed { began_at, failure: outcome.as_ref().err().map(|e| (e.code(), e.seen().to_owned())) });
        outcome
    }

    async fn read_metadata(&self) -> Result<Metadata> {
        let known = self.metadata();
        let mut seen = Vec::new();
        let mut problems: Vec<AuthProblem> = Vec::new();
        // Brokers with an open connection first: of the others, some may be dead and take long to show it.
        let mut broker_ids: Vec<i32> = known.brokers.keys().copied().collect();
        broker_ids.sort_by_key(|id| !self.has_connection(*id));
        for id in broker_ids {
            let answer = match self.try_connection(id, Lane::Admin).await {
                Ok(connection) => ask_metadata(&connection).await,
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(metadata) if metadata.cluster_id == known.cluster_id => return Ok(metadata),
                Ok(metadata) => seen.push(format!("broker {id} belongs to cluster {} now", metadata.cluster_id)),
                Err(failure) => {
                    problems.extend(failure.auth_problem());
                    seen.push(format!("broker {id}: {failure}"));
                }
            }
        }
        for address in &self.inner.bootstrap_servers {
            let answer = match Connection::open(address, &self.inner.options).await {
                Ok(connection) => ask_metadata(&connection).await,
                Err(error) => Err(error.into()),
            };
            match answer {
                // Who has no broker to show yet is still starting.
                Ok(metadata) if metadata.brokers.is_empty() => seen.push(format!("{address} knows no brokers yet")),
                Ok(metadata) if known.cluster_id.is_empty() || metadata.cluster_id == known.cluster_id => return Ok(metadata),
                Ok(metadata) => seen.push(format!("{address} belongs to cluster {} instead of {}", metadata.cluster_id, known.cluster_id)),
                Err(failure) => {
                    problems.extend(failure.auth_problem());
                    seen.push(failure.to_string());
                }
            }
        }
        let side = self.side();
        // What is certain before what may pass; and a cluster that has answered before is more likely down than another kind.
        let certain = problems.iter().find(|p| !p.may_pass());
        let code = match certain.or(problems.first().filter(|_| known.cluster_id.is_empty())) {
            Some(problem) => problem.code(),
            None => side.unavailable(),
        };
        Err(Error::new(code, format!("{side}: no broker tells its metadata: {}", seen.join("; "))))
    }

    fn has_connection(&self, broker_id: i32) -> bool {
        let slot = self.slot(broker_id, Lane::Admin);
        slot.try_lock().is_ok_and(|open| open.as_ref().is_some_and(Connection::is_alive))
    }

    fn slot(&self, broker_id: i32, lane: Lane) -> Slot {
        let mut connections = self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.entry((broker_id, lane)).or_default().clone()
    }

    /// The connection to a broker in a lane, opened where there is none or it has ended.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE` where the broker is not known or does not answer; one attempt.
    pub async fn connection(&self, broker_id: i32, lane: Lane) -> Result<Connection> {
        let failure = match self.try_connection(broker_id, lane).await {
            Ok(connection) => return Ok(connection),
            Err(failure) => failure,
        };
        Err(failure.into_error(self.side(), &format!("connect to broker {broker_id}")))
    }

    /// The same for a caller that repeats its attempts itself.
    pub async fn try_connection(&self, broker_id: i32, lane: Lane) -> std::result::Result<Connection, Failure> {
        let address = self.address_of(broker_id)?;
        let slot = self.slot(broker_id, lane);
        let mut open = slot.lock().await;
        if let Some(connection) = open.as_ref().filter(|c| c.is_alive() && c.address() == address) {
            return Ok(connection.clone());
        }
        *open = None;
        let connection = Connection::open(&address, &self.inner.options).await.map_err(CallError::at_a_known_cluster)?;
        *open = Some(connection.clone());
        Ok(connection)
    }

    /// A new connection to a broker that nobody else is given.
    ///
    /// Errors: as for `connection`.
    pub async fn fresh_connection(&self, broker_id: i32) -> Result<Connection> {
        let open = match self.address_of(broker_id) {
            Ok(address) => Connection::open(&address, &self.inner.options).await.map_err(|e| Failure::from(e.at_a_known_cluster())),
            Err(failure) => Err(failure),
        };
        open.map_err(|failure| failure.into_error(self.side(), &format!("connect to broker {broker_id}")))
    }

    fn address_of(&self, broker_id: i32) -> std::result::Result<String, Failure> {
        match self.metadata().brokers.get(&broker_id) {
            Some(broker) => Ok(broker.address()),
            None => Err(Failure::NotYet(format!("broker {broker_id} is not in the cluster's metadata"))),
        }
    }

    /// A connection to the controller, or with KRaft to a broker, which forwards to it.
    pub(super) async fn try_controller(&self) -> std::result::Result<Connection, Failure> {
        let metadata = self.metadata();
        let Some(id) = metadata.controller_id else { return Err(Failure::NotYet("the cluster has no controller at present".into())) };
        self.try_connection(id, Lane::Admin).await
    }

    /// The controller's connection. With ZooKeeper it may have moved: on NOT_CONTROLLER refresh and ask again.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE`.
    pub async fn controller(&self) -> Result<Connection> {
        self.try_controller().await.map_err(|failure| failure.into_error(self.side(), "connect to the controller"))
    }

    /// A connection to some broker, one that is connected already if there is one.
    pub(super) async fn try_any(&self) -> std::result::Result<Connection, Failure> {
        let metadata = self.metadata();
        let mut ids: Vec<i32> = metadata.brokers.keys().copied().collect();
        ids.sort_by_key(|id| !self.has_connection(*id));
        let mut last = Failure::NotYet("the cluster has no brokers at present".into());
        for id in ids {
            match self.try_connection(id, Lane::Admin).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// The broker that coordinates a group or a transactional id.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE` while there is none; `KF-KAFKA-REFUSED`.
    pub async fn coordinator(&self, key: &str, kind: Coordinator) -> Result<i32> {
        let mut patience = self.patience(format!("find the coordinator of {key:?}"));
        let keys = [key.to_owned()];
        loop {
            let found = match self.try_coordinators(&keys, kind).await {
                Ok(mut found) => found.pop().map_or(Err(no_coordinator()), |(_, broker_id)| broker_id),
                Err(failure) => Err(failure),
            };
            match found {
                Ok(broker_id) => return Ok(broker_id),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    /// The coordinators of many groups or transactional ids, in one request where the broker takes several. Source: KIP-699.
    pub(super) async fn try_coordinators(
        &self,
        keys: &[String],
        kind: Coordinator,
    ) -> std::result::Result<Vec<(String, std::result::Result<i32, Failure>)>, Failure> {
        let connection = self.try_any().await?;
        let version = negotiate::<FindCoordinatorRequest>(&connection, 1, 4)?;
        let request = FindCoordinatorRequest::default().with_key_type(kind as i8);
        if version < 4 {
            let asked: Vec<_> = keys
                .iter()
                .map(|key| (key, connection.send(version, &request.clone().with_key(StrBytes::from_string(key.clone())))))
                .collect();
            let mut found = Vec::with_capacity(keys.len());
            for (key, answer) in asked {
                let answer = answer.await?;
                let checked = Failure::check(answer.error_code, answer.error_message);
                found.push((key.clone(), checked.map(|()| answer.node_id.0)));
            }
            return Ok(found);
        }
        let keys = keys.iter().map(|key| StrBytes::from_string(key.clone())).collect();
        let answer = connection.call(version, &request.with_coordinator_keys(keys)).await?;
        let found = answer.coordinators.into_iter().map(|c| {
            (c.key.to_string(), Failure::check(c.error_code, c.error_message).map(|()| c.node_id.0))
        });
        Ok(found.collect())
    }

    /// Repeats what `asked` describes for as long as this handle's patience lasts.
    pub fn patience(&self, asked: impl Into<String>) -> Patience<'_> {
        Patience::new(self, asked.into(), self.patience)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("side", &self.side()).field("cluster_id", &self.cluster_id()).finish()
    }
}

fn no_coordinator() -> Failure {
    CallError::Protocol("FindCoordinator is answered without a coordinator".into()).into()
}

async fn ask_metadata(connection: &Connection) -> std::result::Result<Metadata, Failure> {
    let version = negotiate::<MetadataRequest>(connection, 4, 12)?;
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let answer = connection.call_within(METADATA_TIMEOUT, version, &request).await.map_err(|e| connection.explained(e))?;
    Ok(Metadata::from_response(&answer))
}

/// The version in which to send a request.
pub(super) fn negotiate<R: Request>(connection: &Connection, min: i16, max: i16) -> std::result::Result<i16, Failure> {
    connection.version_for::<R>(min, max).ok_or(Failure::NotOffered(R::NAME))
}
