//! Sends each key's part of a question to the broker that can answer it, and asks again for the parts that failed.

use super::cluster::{Cluster, Coordinator, Lane};
use super::connection::{CallError, Connection};
use super::failure::{Failure, Patience};
use super::limits::{COMMIT_LANES, COMMITS_PER_TURN_MAX, GROUPS_PER_REQUEST_MAX, PARTITIONS_PER_REQUEST_MAX};
use crate::domain::partition::TopicPartition;
use crate::error::{Error, Result};
use futures::future::join_all;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// What became of each key in one attempt.
pub(super) type Answers<K, T> = Vec<(K, std::result::Result<T, Failure>)>;

/// Keys by broker, each with its leader's epoch or −1, and the keys that no broker is known for at present.
pub(super) type Routes<K> = (BTreeMap<i32, Vec<(K, i32)>>, Vec<(K, Failure)>);

/// Something that one broker of the cluster answers for.
pub(super) trait Routed: Clone + Ord + fmt::Display + Send + Sync {
    /// Keys that one attempt at one broker is given.
    const PER_REQUEST_MAX: usize;

    /// Connections to one broker over which its attempts are spread.
    const LANES: usize = 1;

    /// Sorts keys by broker.
    fn route(cluster: &Cluster, keys: Vec<Self>) -> impl Future<Output = Routes<Self>> + Send;
}

impl Routed for TopicPartition {
    const PER_REQUEST_MAX: usize = PARTITIONS_PER_REQUEST_MAX;

    async fn route(cluster: &Cluster, keys: Vec<Self>) -> Routes<Self> {
        let metadata = cluster.metadata();
        let (mut routes, mut lost) = (BTreeMap::<i32, Vec<_>>::new(), Vec::new());
        for key in keys {
            match metadata.partition(&key) {
                Some(partition) => match partition.leader {
                    Some(leader) => routes.entry(leader.broker_id).or_default().push((key, leader.epoch)),
                    None => lost.push((key, Failure::NotYet("the partition has no leader".into()))),
                },
                None => lost.push((key, Failure::NotYet("the cluster does not know the partition".into()))),
            }
        }
        (routes, lost)
    }
}

/// A group, which its coordinator answers for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey(pub String);

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {:?}", self.0)
    }
}

impl Routed for GroupKey {
    const PER_REQUEST_MAX: usize = GROUPS_PER_REQUEST_MAX;

    async fn route(cluster: &Cluster, keys: Vec<Self>) -> Routes<Self> {
        let (mut routes, mut lost) = (BTreeMap::<i32, Vec<_>>::new(), Vec::new());
        for chunk in keys.chunks(GROUPS_PER_REQUEST_MAX) {
            let names: Vec<String> = chunk.iter().map(|key| key.0.clone()).collect();
            match cluster.try_coordinators(&names, Coordinator::Group).await {
                Ok(found) => {
                    let mut found: BTreeMap<String, _> = found.into_iter().collect();
                    for key in chunk {
                        match found.remove(&key.0).unwrap_or_else(|| Err(left_out())) {
                            Ok(broker_id) => routes.entry(broker_id).or_default().push((key.clone(), -1)),
                            Err(failure) => lost.push((key.clone(), failure)),
                        }
                    }
                }
                Err(failure) => lost.extend(chunk.iter().map(|key| (key.clone(), failure.clone()))),
            }
        }
        (routes, lost)
    }
}

/// A group whose offsets are committed. A broker carries out one request of a connection at a time, and waits for the
/// replicas in each of these: several connections are used at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CommitKey(pub GroupKey);

impl fmt::Display for CommitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Routed for CommitKey {
    const PER_REQUEST_MAX: usize = COMMITS_PER_TURN_MAX;
    const LANES: usize = COMMIT_LANES;

    async fn route(cluster: &Cluster, keys: Vec<Self>) -> Routes<Self> {
        let (routes, lost) = GroupKey::route(cluster, keys.into_iter().map(|key| key.0).collect()).await;
        let wrap = |keys: Vec<(GroupKey, i32)>| keys.into_iter().map(|(key, epoch)| (CommitKey(key), epoch)).collect();
        let routes = routes.into_iter().map(|(broker_id, keys)| (broker_id, wrap(keys)));
        (routes.collect(), lost.into_iter().map(|(key, failure)| (CommitKey(key), failure)).collect())
    }
}

/// What became of all keys in the end.
pub(super) struct Outcome<K, T> {
    pub done: BTreeMap<K, T>,
    pub failed: BTreeMap<K, Error>,
}

/// Asks about every key until each is answered, refused for good, or the cluster handle's patience is over.
pub(super) async fn ask_each<K, T, F, Fut>(cluster: &Cluster, asked: String, keys: Vec<K>, attempt: F) -> Outcome<K, T>
where
    K: Routed,
    T: Send,
    F: Fn(Connection, Vec<(K, i32)>) -> Fut + Sync,
    Fut: Future<Output = std::result::Result<Answers<K, T>, Failure>> + Send,
{
    run(cluster, asked, keys, &attempt, false).await
}

/// The same where all or nothing is wanted.
///
/// Errors: the first key's that is refused for good or not answered in time.
pub(super) async fn ask_all<K, T, F, Fut>(cluster: &Cluster, asked: String, keys: Vec<K>, attempt: F) -> Result<BTreeMap<K, T>>
where
    K: Routed,
    T: Send,
    F: Fn(Connection, Vec<(K, i32)>) -> Fut + Sync,
    Fut: Future<Output = std::result::Result<Answers<K, T>, Failure>> + Send,
{
    let outcome = run(cluster, asked, keys, &attempt, true).await;
    match outcome.failed.into_values().next() {
        Some(error) => Err(error),
        None => Ok(outcome.done),
    }
}

async fn run<K, T, F, Fut>(cluster: &Cluster, asked: String, keys: Vec<K>, attempt: &F, all_or_nothing: bool) -> Outcome<K, T>
where
    K: Routed,
    T: Send,
    F: Fn(Connection, Vec<(K, i32)>) -> Fut + Sync,
    Fut: Future<Output = std::result::Result<Answers<K, T>, Failure>> + Send,
{
    let mut patience: Patience<'_> = cluster.patience(asked);
    let mut outcome = Outcome { done: BTreeMap::new(), failed: BTreeMap::new() };
    let mut pending = keys;
    loop {
        let mut again = Vec::new();
        for (key, answer) in round(cluster, pending, attempt).await {
            match answer {
                Ok(value) => {
                    outcome.done.insert(key, value);
                }
                Err(failure) if failure.is_transient() => again.push((key, failure)),
                Err(failure) => {
                    let error = patience.error(failure, &key);
                    outcome.failed.insert(key, error);
                }
            }
        }
        if again.is_empty() || (all_or_nothing && !outcome.failed.is_empty()) {
            return outcome;
        }
        if patience.is_over() {
            for (key, failure) in again {
                let error = patience.give_up(failure, &key);
                outcome.failed.insert(key, error);
            }
            return outcome;
        }
        tracing::debug!(cluster = %cluster.side(), keys = again.len(), first = %again[0].1, "trying again");
        pending = again.into_iter().map(|(key, _)| key).collect();
        patience.pause().await;
    }
}

/// One attempt at every key, at all brokers at once.
async fn round<K, T, F, Fut>(cluster: &Cluster, keys: Vec<K>, attempt: &F) -> Answers<K, T>
where
    K: Routed,
    T: Send,
    F: Fn(Connection, Vec<(K, i32)>) -> Fut + Sync,
    Fut: Future<Output = std::result::Result<Answers<K, T>, Failure>> + Send,
{
    let (routes, lost) = K::route(cluster, keys).await;
    let mut requests = Vec::new();
    for (broker_id, keys) in routes {
        for (index, chunk) in keys.chunks(K::PER_REQUEST_MAX).enumerate() {
            let chunk = chunk.to_vec();
            let lane = if K::LANES == 1 { Lane::Admin } else { Lane::Commit((index % K::LANES) as u8) };
            requests.push(async move {
                let mut missing: BTreeMap<K, ()> = chunk.iter().map(|(key, _)| (key.clone(), ())).collect();
                let answers = match cluster.try_connection(broker_id, lane).await {
                    Ok(connection) => attempt(connection, chunk).await,
                    Err(failure) => Err(failure),
                };
                let (mut answers, failure) = match answers {
                    Ok(answers) => (answers, left_out()),
                    Err(failure) => (Vec::new(), failure),
                };
                answers.retain(|(key, _)| missing.remove(key).is_some());
                answers.extend(missing.into_keys().map(|key| (key, Err(failure.clone()))));
                answers
            });
        }
    }
    let mut answers: Answers<K, T> = lost.into_iter().map(|(key, failure)| (key, Err(failure))).collect();
    answers.extend(join_all(requests).await.into_iter().flatten());
    answers
}

fn left_out() -> Failure {
    CallError::Protocol("the answer leaves out what was asked".into()).into()
}

/// Partitions sorted by topic, as requests want them.
pub(super) fn by_topic<'a, V>(partitions: impl IntoIterator<Item = (&'a TopicPartition, V)>) -> BTreeMap<Arc<str>, Vec<(i32, V)>> {
    let mut topics = BTreeMap::<Arc<str>, Vec<_>>::new();
    for (partition, value) in partitions {
        topics.entry(partition.topic.clone()).or_default().push((partition.partition, value));
    }
    topics
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
