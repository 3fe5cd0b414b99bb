//! Commits groups' offsets on the target, from outside of the groups, and removes such as do not belong there.

use super::cluster::negotiate;
use super::connection::Connection;
use super::failure::Failure;
use super::limits::OFFSETS_PER_COMMIT_MAX;
use super::routing::{self, Answers, CommitKey, GroupKey, by_topic, text, topic_name};
use super::target::Target;
use crate::domain::partition::TopicPartition;
use crate::domain::topology::CommittedOffset;
use crate::error::Result;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetDeleteRequest};
use std::collections::BTreeMap;

/// What became of a group's offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupCommit {
    /// Every offset was taken.
    Committed,
    /// The group has members, which alone may commit: nothing was changed.
    HasMembers { seen: String },
    /// The group is of a kind that has no committed offsets, such as a share group: nothing was changed.
    OtherKind { seen: String },
    /// Refused for another reason, or not answered in time; a part of the offsets may have been taken.
    Refused { seen: String },
}

impl Target {
    /// Commits offsets of many groups, as nobody's member, with their metadata and without leader epochs.
    ///
    /// A group that does not exist comes into being, empty.
    pub async fn commit_group_offsets(&self, groups: &BTreeMap<String, Vec<CommittedOffset>>) -> BTreeMap<String, GroupCommit> {
        let keys = groups.keys().cloned().map(|group| CommitKey(GroupKey(group))).collect();
        let asked = format!("commit the offsets of {} groups", groups.len());
        let outcome = routing::ask_each(&self.cluster, asked, keys, |connection, keys| {
            let offsets_of = |key: &CommitKey| groups.get(&key.0.0).cloned().unwrap_or_default();
            attempt(connection, keys.into_iter().map(|(key, _)| (offsets_of(&key), key)).collect())
        })
        .await;
        let failed = outcome.failed.into_iter().map(|(key, error)| (key.0.0, GroupCommit::Refused { seen: error.seen().to_owned() }));
        outcome.done.into_iter().map(|(key, commit)| (key.0.0, commit)).chain(failed).collect()
    }

    /// Removes committed offsets of groups without members. Source: KIP-496.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where a group has members (NON_EMPTY_GROUP, GROUP_SUBSCRIBED_TO_TOPIC) or Delete on it is not
    /// permitted, or the cluster's unavailability.
    pub async fn delete_group_offsets(&self, groups: &BTreeMap<String, Vec<TopicPartition>>) -> Result<()> {
        let keys = groups.keys().cloned().map(GroupKey).collect();
        let asked = format!("delete offsets of {} groups", groups.len());
        let attempt = |connection, keys: Vec<(GroupKey, i32)>| {
            let requests = keys.into_iter().map(|(key, _)| (delete_request(&key.0, groups.get(&key.0).map_or(&[], Vec::as_slice)), key));
            delete(connection, requests.collect())
        };
        routing::ask_all(&self.cluster, asked, keys, attempt).await.map(drop)
    }
}

fn delete_request(group_id: &str, partitions: &[TopicPartition]) -> OffsetDeleteRequest {
    let topics = by_topic(partitions.iter().map(|partition| (partition, ()))).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, ())| OffsetDeleteRequestPartition::default().with_partition_index(partition));
        OffsetDeleteRequestTopic::default().with_name(topic_name(&topic)).with_partitions(partitions.collect())
    });
    OffsetDeleteRequest::default().with_group_id(GroupId(text(group_id))).with_topics(topics.collect())
}

async fn delete(connection: Connection, requests: Vec<(OffsetDeleteRequest, GroupKey)>) -> std::result::Result<Answers<GroupKey, ()>, Failure> {
    let version = negotiate::<OffsetDeleteRequest>(&connection, 0, 0)?;
    let mut answers = Vec::with_capacity(requests.len());
    for (request, key) in requests {
        let response = connection.call(version, &request).await?;
        let codes = response.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
        answers.push((key, std::iter::once(response.error_code).chain(codes).try_for_each(Failure::check_code)));
    }
    Ok(answers)
}

async fn attempt(
    connection: Connection,
    groups: Vec<(Vec<CommittedOffset>, CommitKey)>,
) -> std::result::Result<Answers<CommitKey, GroupCommit>, Failure> {
    let version = negotiate::<OffsetCommitRequest>(&connection, 2, 8)?;
    let mut asked = Vec::with_capacity(groups.len());
    for (offsets, key) in groups {
        let requests = offsets.chunks(OFFSETS_PER_COMMIT_MAX).map(|chunk| request(&key.0.0, chunk));
        let pending: Vec<_> = requests.map(|request| connection.send(version, &request)).collect();
        asked.push((key, pending));
    }
    let mut answers = Vec::with_capacity(asked.len());
    for (key, pending) in asked {
        let mut outcome = Ok(GroupCommit::Committed);
        for answer in pending {
            for topic in answer.await?.topics {
                for p in topic.partitions {
                    if let (Ok(GroupCommit::Committed), Err(failure)) = (&outcome, Failure::check_code(p.error_code)) {
                        outcome = judge(failure, topic.name.as_str(), p.partition_index);
                    }
                }
            }
        }
        answers.push((key, outcome));
    }
    Ok(answers)
}

fn request(group_id: &str, offsets: &[CommittedOffset]) -> OffsetCommitRequest {
    let partitions: Vec<_> =
        offsets.iter().map(|o| (TopicPartition::new(o.topic.as_str(), o.partition), o)).collect();
    let topics = by_topic(partitions.iter().map(|(partition, offset)| (partition, *offset))).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, offset)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition)
                .with_committed_offset(offset.next_offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(text(offset.metadata.as_deref().unwrap_or(""))))
        });
        OffsetCommitRequestTopic::default().with_name(topic_name(&topic)).with_partitions(partitions.collect())
    });
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group_id)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect())
}

/// A commit from outside is answered by these errors where the group has members, by kind and state of the group.
fn judge(failure: Failure, topic: &str, partition: i32) -> std::result::Result<GroupCommit, Failure> {
    match failure.kafka_error() {
        Some(
            ResponseError::UnknownMemberId
            | ResponseError::IllegalGeneration
            | ResponseError::RebalanceInProgress
            | ResponseError::FencedInstanceId
            | ResponseError::StaleMemberEpoch
            | ResponseError::FencedMemberEpoch,
        ) => Ok(GroupCommit::HasMembers { seen: failure.to_string() }),
        // To a commit in no generation, an unknown group is a new one: this one exists.
        Some(ResponseError::GroupIdNotFound) => Ok(GroupCommit::OtherKind { seen: failure.to_string() }),
        _ if failure.is_transient() => Err(failure),
        _ => Ok(GroupCommit::Refused { seen: format!("{topic}-{partition}: {failure}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_with_members_is_told_from_a_refusal_and_from_what_passes() {
        let judged = |code| judge(Failure::from_code(code, None::<&str>).unwrap(), "t", 0);
        assert!(matches!(judged(25), Ok(GroupCommit::HasMembers { .. })));
        assert!(matches!(judged(27), Ok(GroupCommit::HasMembers { .. })));
        assert!(matches!(judged(69), Ok(GroupCommit::OtherKind { .. })));
        assert!(matches!(judged(30), Ok(GroupCommit::Refused { .. })));
        assert!(judged(16).is_err());
    }
}
