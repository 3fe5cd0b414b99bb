//! Consumer groups: which there are, who is in them, what they have committed.

use super::cluster::{Lane, negotiate};
use super::connection::Connection;
use super::failure::Failure;
use super::routing::{self, Answers, GroupKey};
use super::source::Reader;
use crate::domain::topology::{CommittedOffset, GroupSnapshot};
use crate::error::{Error, Result};
use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest, OffsetFetchRequest};
use std::collections::BTreeMap;

/// A group as its coordinator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    pub group_id: String,
    /// Empty where offsets were committed without a group protocol; `consumer`, `connect` …
    pub protocol_type: String,
    /// Empty from brokers older than 2.6.
    pub state: String,
    /// `classic` from brokers that know no other type.
    pub group_type: String,
}

/// Members of a group: all, and those with an instance id of their own.
type Members = (String, usize, usize);

impl Reader {
    /// Every group of the cluster, sorted.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where Describe on the cluster is not permitted, or the cluster's unavailability: the groups
    /// of a broker that does not answer would be missing.
    pub async fn list_groups(&self) -> Result<Vec<ListedGroup>> {
        let mut patience = self.cluster.patience("list the groups");
        loop {
            let metadata = self.cluster.metadata();
            let lists = join_all(metadata.brokers.keys().map(|id| self.list_groups_of(*id))).await;
            match lists.into_iter().collect::<std::result::Result<Vec<_>, _>>() {
                Ok(lists) => {
                    // A coordinator that moves may have been listed twice.
                    let groups: BTreeMap<_, _> = lists.into_iter().flatten().map(|g| (g.group_id.clone(), g)).collect();
                    return Ok(groups.into_values().collect());
                }
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    async fn list_groups_of(&self, broker_id: i32) -> std::result::Result<Vec<ListedGroup>, Failure> {
        let connection = self.cluster.try_connection(broker_id, Lane::Admin).await?;
        let version = negotiate::<ListGroupsRequest>(&connection, 0, 5)?;
        let response = connection.call(version, &ListGroupsRequest::default()).await?;
        Failure::check_code(response.error_code)?;
        let groups = response.groups.into_iter().map(|g| ListedGroup {
            group_id: g.group_id.to_string(),
            protocol_type: g.protocol_type.to_string(),
            state: g.group_state.to_string(),
            group_type: if version >= 5 { g.group_type.to_lowercase() } else { "classic".into() },
        });
        Ok(groups.collect())
    }

    /// State, members and committed offsets of groups. A share group comes without members and offsets.
    ///
    /// Errors: as for `group_offsets`.
    pub async fn describe_groups(&self, groups: &[ListedGroup]) -> Result<Vec<GroupSnapshot>> {
        let of_type = |wanted: &str| groups.iter().filter(|g| g.group_type == wanted).map(|g| GroupKey(g.group_id.clone())).collect();
        let (classic, consumer): (Vec<GroupKey>, Vec<GroupKey>) = (of_type("classic"), of_type("consumer"));
        let mut members = routing::ask_all(&self.cluster, format!("describe {} groups", classic.len()), classic, describe_classic).await?;
        let asked = format!("describe {} groups", consumer.len());
        members.extend(routing::ask_all(&self.cluster, asked, consumer, describe_consumer).await?);
        let with_offsets: Vec<String> = groups.iter().filter(|g| g.group_type != "share").map(|g| g.group_id.clone()).collect();
        let mut offsets = self.group_offsets(&with_offsets, false).await?;
        let snapshots = groups.iter().map(|g| {
            let (state, members, static_members) = members.remove(&GroupKey(g.group_id.clone())).unwrap_or((g.state.clone(), 0, 0));
            GroupSnapshot {
                group_id: g.group_id.clone(),
                state,
                group_type: g.group_type.clone(),
                protocol_type: g.protocol_type.clone(),
                members,
                static_members,
                offsets: offsets.remove(&g.group_id).unwrap_or_default(),
            }
        });
        Ok(snapshots.collect())
    }

    /// The lowest version of the consumers' protocol that a member of each classic group speaks; groups without such members are left out.
    pub async fn protocol_versions(&self, groups: &[String]) -> BTreeMap<String, i16> {
        let keys = groups.iter().cloned().map(GroupKey).collect();
        let asked = format!("describe the members of {} groups", groups.len());
        let outcome = routing::ask_each(&self.cluster, asked, keys, lowest_protocol).await;
        outcome.done.into_iter().filter_map(|(key, version)| Some((key.0, version?))).collect()
    }

    /// Every committed offset of each group, sorted by topic and partition.
    ///
    /// With `stable`, offsets that an open transaction is about to commit are waited for. Source: KIP-447.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where Describe on a group is not permitted, or the cluster's unavailability.
    pub async fn group_offsets(&self, groups: &[String], stable: bool) -> Result<BTreeMap<String, Vec<CommittedOffset>>> {
        let keys = groups.iter().cloned().map(GroupKey).collect();
        let asked = format!("read the committed offsets of {} groups", groups.len());
        let attempt = move |connection, keys| fetch_offsets(connection, keys, stable);
        let offsets = routing::ask_all(&self.cluster, asked, keys, attempt).await?;
        Ok(offsets.into_iter().map(|(key, offsets)| (key.0, offsets)).collect())
    }

    /// The same with the groups that cannot be read beside those that can.
    pub async fn group_offsets_each(
        &self,
        groups: &[String],
        stable: bool,
    ) -> (BTreeMap<String, Vec<CommittedOffset>>, BTreeMap<String, Error>) {
        let keys = groups.iter().cloned().map(GroupKey).collect();
        let asked = format!("read the committed offsets of {} groups", groups.len());
        let attempt = move |connection, keys| fetch_offsets(connection, keys, stable);
        let outcome = routing::ask_each(&self.cluster, asked, keys, attempt).await;
        let done = outcome.done.into_iter().map(|(key, offsets)| (key.0, offsets)).collect();
        (done, outcome.failed.into_iter().map(|(key, error)| (key.0, error)).collect())
    }
}

fn group_id(key: &GroupKey) -> GroupId {
    GroupId(routing::text(&key.0))
}

async fn describe_classic(connection: Connection, keys: Vec<(GroupKey, i32)>) -> std::result::Result<Answers<GroupKey, Members>, Failure> {
    let version = negotiate::<DescribeGroupsRequest>(&connection, 0, 5)?;
    let request = DescribeGroupsRequest::default().with_groups(keys.iter().map(|(key, _)| group_id(key)).collect());
    let response = connection.call(version, &request).await?;
    let answers = response.groups.into_iter().map(|g| {
        let static_members = g.members.iter().filter(|m| m.group_instance_id.is_some()).count();
        let members = (g.group_state.to_string(), g.members.len(), static_members);
        (GroupKey(g.group_id.to_string()), Failure::check(g.error_code, g.error_message).map(|()| members))
    });
    Ok(answers.collect())
}

/// What a consumer sends when it joins begins with its protocol's version. Source: `ConsumerProtocol`.
async fn lowest_protocol(connection: Connection, keys: Vec<(GroupKey, i32)>) -> std::result::Result<Answers<GroupKey, Option<i16>>, Failure> {
    let version = negotiate::<DescribeGroupsRequest>(&connection, 0, 5)?;
    let request = DescribeGroupsRequest::default().with_groups(keys.iter().map(|(key, _)| group_id(key)).collect());
    let response = connection.call(version, &request).await?;
    let answers = response.groups.into_iter().map(|g| {
        let versions = g.members.iter().filter_map(|m| m.member_metadata.first_chunk::<2>().map(|bytes| i16::from_be_bytes(*bytes)));
        let lowest = versions.min().filter(|_| &*g.protocol_type == "consumer");
        (GroupKey(g.group_id.to_string()), Failure::check(g.error_code, g.error_message).map(|()| lowest))
    });
    Ok(answers.collect())
}

async fn describe_consumer(connection: Connection, keys: Vec<(GroupKey, i32)>) -> std::result::Result<Answers<GroupKey, Members>, Failure> {
    let version = negotiate::<ConsumerGroupDescribeRequest>(&connection, 0, 1)?;
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(keys.iter().map(|(key, _)| group_id(key)).collect());
    let response = connection.call(version, &request).await?;
    let answers = response.groups.into_iter().map(|g| {
        let static_members = g.members.iter().filter(|m| m.instance_id.is_some()).count();
        let checked = match Failure::check(g.error_code, g.error_message) {
            // Deleted since it was listed.
            Err(failure) if failure.kafka_error() == Some(ResponseError::GroupIdNotFound) => Ok(("Dead".to_owned(), 0, 0)),
            checked => checked.map(|()| (g.group_state.to_string(), g.members.len(), static_members)),
        };
        (GroupKey(g.group_id.to_string()), checked)
    });
    Ok(answers.collect())
}

/// One partition of an answer, in whichever version: topic, partition, offset, metadata, error code.
type Fetched = (String, i32, i64, Option<String>, i16);

async fn fetch_offsets(
    connection: Connection,
    keys: Vec<(GroupKey, i32)>,
    stable: bool,
) -> std::result::Result<Answers<GroupKey, Vec<CommittedOffset>>, Failure> {
    let version = negotiate::<OffsetFetchRequest>(&connection, 2, 9)?;
    if version < 8 {
        return fetch_offsets_one_by_one(&connection, version, keys, stable).await;
    }
    let groups = keys.iter().map(|(key, _)| OffsetFetchRequestGroup::default().with_group_id(group_id(key)).with_topics(None));
    let request = OffsetFetchRequest::default().with_groups(groups.collect()).with_require_stable(stable);
    let response = connection.call(version, &request).await?;
    let answers = response.groups.into_iter().map(|group| {
        let fetched = group.topics.into_iter().flat_map(|topic| {
            let name = topic.name.to_string();
            topic.partitions.into_iter().map(move |p| {
                let metadata = p.metadata.map(|m| m.to_string());
                (name.clone(), p.partition_index, p.committed_offset, metadata, p.error_code)
            })
        });
        (GroupKey(group.group_id.to_string()), Failure::check_code(group.error_code).and_then(|()| committed(fetched)))
    });
    Ok(answers.collect())
}

async fn fetch_offsets_one_by_one(
    connection: &Connection,
    version: i16,
    keys: Vec<(GroupKey, i32)>,
    stable: bool,
) -> std::result::Result<Answers<GroupKey, Vec<CommittedOffset>>, Failure> {
    let asked: Vec<_> = keys
        .into_iter()
        .map(|(key, _)| {
            let request = OffsetFetchRequest::default().with_group_id(group_id(&key)).with_topics(None);
            let request = request.with_require_stable(stable && version >= 7);
            (key, connection.send(version, &request))
        })
        .collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (key, answer) in asked {
        let response = answer.await?;
        let fetched = response.topics.into_iter().flat_map(|topic| {
            let name = topic.name.to_string();
            topic.partitions.into_iter().map(move |p| {
                let metadata = p.metadata.map(|m| m.to_string());
                (name.clone(), p.partition_index, p.committed_offset, metadata, p.error_code)
            })
        });
        answers.push((key, Failure::check_code(response.error_code).and_then(|()| committed(fetched))));
    }
    Ok(answers)
}

fn committed(fetched: impl Iterator<Item = Fetched>) -> std::result::Result<Vec<CommittedOffset>, Failure> {
    let mut offsets = Vec::new();
    for (topic, partition, next_offset, metadata, error_code) in fetched {
        Failure::check_code(error_code)?;
        // −1: nothing is committed.
        if next_offset >= 0 {
            offsets.push(CommittedOffset { topic, partition, next_offset, metadata });
        }
    }
    offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_committed_is_left_out_and_an_error_is_not() {
        let fetched = |offset, code| ("t".to_owned(), 0, offset, None, code);
        assert_eq!(committed([fetched(-1, 0), fetched(0, 0)].into_iter()).unwrap().len(), 1);
        let failure = committed([fetched(5, 0), fetched(-1, 88)].into_iter()).unwrap_err();
        assert_eq!(failure.kafka_error(), Some(ResponseError::UnstableOffsetCommit));
    }
}
