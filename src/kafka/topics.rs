//! Creates, awaits, alters and deletes topics on the target.

use super::cluster::negotiate;
use super::connection::CallError;
use super::failure::Failure;
use super::limits::{BROKER_TIMEOUT, CREATIONS_PER_REQUEST_MAX};
use super::metadata::TopicMetadata;
use super::offsets::OffsetAt;
use super::routing::{text, topic_name};
use super::target::Target;
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest};
use std::collections::BTreeMap;

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: BTreeMap<String, String>,
}

/// What became of a topic that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCreated {
    Created,
    /// It had been there before.
    Existed,
    /// It is there, and an earlier attempt of ours had no answer: that one or somebody else created it.
    ExistedAfterDoubt,
}

const TOPIC: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;

impl Target {
    /// Creates topics and says of each, in the given order, what became of it; they are not awaited (see `wait_for_topics`).
    ///
    /// Errors: per topic `KF-KAFKA-REFUSED` (a setting, the replication factor, a policy); of all, the target's unavailability.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Result<TopicCreated>>> {
        let mut created = Vec::with_capacity(topics.len());
        let mut rest = topics;
        while !rest.is_empty() {
            let mut creations = 0;
            let fitting = rest.iter().take_while(|t| {
                creations += t.partitions.max(0) as usize + t.configs.len() + 1;
                creations <= CREATIONS_PER_REQUEST_MAX
            });
            let (chunk, later) = rest.split_at(fitting.count().max(1));
            created.extend(self.create_chunk(chunk).await?);
            rest = later;
        }
        Ok(created)
    }

    async fn create_chunk(&self, topics: &[NewTopic]) -> Result<Vec<Result<TopicCreated>>> {
        let mut patience = self.cluster.patience(format!("create {} topics", topics.len()));
        let mut outcomes: Vec<Option<Result<TopicCreated>>> = topics.iter().map(|_| None).collect();
        let mut in_doubt = false;
        loop {
            let open: Vec<&NewTopic> = topics.iter().zip(&outcomes).filter(|(_, done)| done.is_none()).map(|(t, _)| t).collect();
            let mut again = None;
            match self.try_create(&open).await {
                Ok(mut answers) => {
                    for (topic, outcome) in topics.iter().zip(&mut outcomes).filter(|(_, done)| done.is_none()) {
                        let answer = answers.remove(&topic.name).unwrap_or_else(|| Err(left_out()));
                        match answer {
                            Ok(()) => *outcome = Some(Ok(TopicCreated::Created)),
                            Err(failure) => match failure.kafka_error() {
                                Some(ResponseError::TopicAlreadyExists) if in_doubt => *outcome = Some(Ok(TopicCreated::ExistedAfterDoubt)),
                                Some(ResponseError::TopicAlreadyExists) => *outcome = Some(Ok(TopicCreated::Existed)),
                                _ if failure.is_transient() => again = Some(failure),
                                _ => *outcome = Some(Err(patience.error(failure, &format!("topic {}", topic.name)))),
                            },
                        }
                    }
                }
                Err(failure) => again = Some(failure),
            }
            let Some(failure) = again else { return Ok(outcomes.into_iter().flatten().collect()) };
            // The controller goes on with what it answers to be late.
            in_doubt |= failure.is_in_doubt() || failure.kafka_error() == Some(ResponseError::RequestTimedOut);
            patience.wait(failure).await?;
        }
    }

    async fn try_create(
        &self,
        topics: &[&NewTopic],
    ) -> std::result::Result<BTreeMap<String, std::result::Result<(), Failure>>, Failure> {
        let connection = self.cluster.try_controller().await?;
        let version = negotiate::<CreateTopicsRequest>(&connection, 2, 7)?;
        let creatable = topics.iter().map(|t| {
            let configs =
                t.configs.iter().map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
            CreatableTopic::default()
                .with_name(topic_name(&t.name))
                .with_num_partitions(t.partitions)
                .with_replication_factor(t.replication_factor)
                .with_configs(configs.collect())
        });
        let request =
            CreateTopicsRequest::default().with_topics(creatable.collect()).with_timeout_ms(BROKER_TIMEOUT.as_millis() as i32);
        let response = connection.call(version, &request).await?;
        let answers = response.topics.into_iter().map(|t| (t.name.to_string(), Failure::check(t.error_code, t.error_message)));
        Ok(answers.collect())
    }

    /// Waits until every partition of these topics has a leader that answers for it.
    ///
    /// Errors: `KF-TARGET-UNAVAILABLE` where that does not come in time.
    pub async fn wait_for_topics(&self, names: &[String]) -> Result<Vec<TopicMetadata>> {
        let mut patience = self.cluster.patience(format!("wait for {} topics", names.len()));
        let topics = loop {
            let metadata = self.cluster.refresh().await?;
            let missing = names.iter().find(|name| {
                let led = |t: &TopicMetadata| !t.partitions.is_empty() && t.partitions.iter().all(|p| p.leader.is_some());
                !metadata.topic(name).is_some_and(led)
            });
            match missing {
                None => break names.iter().filter_map(|name| metadata.topic(name).cloned()).collect::<Vec<_>>(),
                Some(name) => patience.wait(Failure::NotYet(format!("topic {name} is not there or has no leader yet"))).await?,
            }
        };
        let partitions: Vec<TopicPartition> =
            topics.iter().flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(t.name.clone(), p.partition))).collect();
        self.list_offsets(&partitions, OffsetAt::LogEnd).await?;
        Ok(topics)
    }

    /// Deletes topics and waits until the cluster no longer shows them; one that is not there is as good as deleted.
    ///
    /// Errors: `KF-KAFKA-REFUSED` (not permitted, `delete.topic.enable=false`); the target's unavailability.
    pub async fn delete_topics(&self, names: &[String]) -> Result<()> {
        let mut patience = self.cluster.patience(format!("delete {} topics", names.len()));
        while let Err(failure) = self.try_delete(names).await {
            patience.wait(failure).await?;
        }
        loop {
            let metadata = self.cluster.refresh().await?;
            match names.iter().find(|name| metadata.topic(name).is_some()) {
                None => return Ok(()),
                Some(name) => patience.wait(Failure::NotYet(format!("topic {name} is still there"))).await?,
            }
        }
    }

    async fn try_delete(&self, names: &[String]) -> std::result::Result<(), Failure> {
        let connection = self.cluster.try_controller().await?;
        let version = negotiate::<DeleteTopicsRequest>(&connection, 1, 6)?;
        let request = DeleteTopicsRequest::default().with_timeout_ms(BROKER_TIMEOUT.as_millis() as i32);
        let request = if version >= 6 {
            request.with_topics(names.iter().map(|name| DeleteTopicState::default().with_name(Some(topic_name(name)))).collect())
        } else {
            request.with_topic_names(names.iter().map(|name| topic_name(name)).collect())
        };
        let response = connection.call(version, &request).await?;
        for result in response.responses {
            match Failure::check(result.error_code, result.error_message) {
                Err(failure) if failure.kafka_error() == Some(ResponseError::UnknownTopicOrPartition) => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    /// Deletes a topic, creates it anew, empty, and waits until it can be used.
    ///
    /// Errors: as for `delete_topics` and `create_topics`.
    pub async fn recreate_topic(&self, topic: &NewTopic) -> Result<TopicMetadata> {
        let names = [topic.name.clone()];
        self.delete_topics(&names).await?;
        // A ZooKeeper controller may keep the name for a while after the brokers have forgotten it.
        let mut patience = self.cluster.patience(format!("create topic {} anew", topic.name));
        loop {
            let created = self.create_topics(std::slice::from_ref(topic)).await?.pop();
            match created.unwrap_or(Ok(TopicCreated::Existed))? {
                TopicCreated::Created | TopicCreated::ExistedAfterDoubt => break,
                TopicCreated::Existed => patience.wait(Failure::NotYet("the deleted topic's name is not free yet".into())).await?,
            }
        }
        let mut topics = self.wait_for_topics(&names).await?;
        topics.pop().ok_or_else(|| left_out().into_error(self.cluster.side(), "wait for the topic"))
    }

    /// Sets a topic's own settings; none removes one, so that the broker's default shows again. Others stay as they are.
    ///
    /// Errors: `KF-KAFKA-REFUSED`, with the setting that the broker names; the target's unavailability.
    pub async fn alter_topic_configs(&self, topic: &str, configs: &BTreeMap<String, Option<String>>) -> Result<()> {
        if configs.is_empty() {
            return Ok(());
        }
        let mut patience = self.cluster.patience(format!("alter {} settings of topic {topic}", configs.len()));
        while let Err(failure) = self.try_alter(topic, configs).await {
            patience.wait(failure).await?;
        }
        Ok(())
    }

    async fn try_alter(&self, topic: &str, configs: &BTreeMap<String, Option<String>>) -> std::result::Result<(), Failure> {
        let connection = self.cluster.try_controller().await?;
        let version = negotiate::<IncrementalAlterConfigsRequest>(&connection, 0, 1)?;
        let alterations = configs.iter().map(|(name, value)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(text))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(alterations.collect());
        let response = connection.call(version, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource])).await?;
        response.responses.into_iter().try_for_each(|r| Failure::check(r.error_code, r.error_message))
    }
}

impl Target {
    /// What a topic without settings of its own would get, as the controller answers a creation that it is told only to
    /// validate; nothing is created. Source: KIP-195, KIP-525.
    ///
    /// None where the broker does not tell: an old version, or permissions that are missing.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where such a topic may not be created; the target's unavailability.
    pub async fn topic_defaults(&self, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        let mut patience = self.cluster.patience(format!("validate a creation of topic {name}"));
        loop {
            match self.try_topic_defaults(name).await {
                Ok(defaults) => return Ok(defaults),
                Err(Failure::NotOffered(_)) => return Ok(None),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    async fn try_topic_defaults(&self, name: &str) -> std::result::Result<Option<BTreeMap<String, String>>, Failure> {
        let connection = self.cluster.try_controller().await?;
        let version = negotiate::<CreateTopicsRequest>(&connection, 5, 7)?;
        let topic = CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(1).with_replication_factor(1);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(BROKER_TIMEOUT.as_millis() as i32)
            .with_validate_only(true);
        let response = connection.call(version, &request).await?;
        let Some(answer) = response.topics.into_iter().next() else { return Err(left_out()) };
        Failure::check(answer.error_code, answer.error_message)?;
        let configs = answer.configs.unwrap_or_default().into_iter();
        let defaults: BTreeMap<_, _> = configs.filter_map(|c| Some((c.name.to_string(), c.value?.to_string()))).collect();
        Ok((!defaults.is_empty()).then_some(defaults))
    }
}

fn left_out() -> Failure {
    CallError::Protocol("the answer leaves out the topic".into()).into()
}
