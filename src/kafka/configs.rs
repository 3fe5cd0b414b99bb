//! Settings of topics and brokers, by DescribeConfigs.

use super::cluster::{Lane, negotiate};
use super::connection::Connection;
use super::failure::Failure;
use super::limits::CONFIGS_PER_REQUEST_MAX;
use super::routing::text;
use super::source::Reader;
use crate::domain::topology::{ConfigSource, ConfigValue};
use crate::domain::topology::HIDDEN;
use crate::error::Result;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use std::collections::BTreeMap;

/// Settings by key.
pub type Configs = BTreeMap<String, ConfigValue>;

/// Where a broker has its settings from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Changed at run time, for this broker or for all.
    pub dynamic: Vec<String>,
    /// Secret, and set to something.
    pub secrets_set: Vec<String>,
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Source: `DescribeConfigsResponse.ConfigSource`.
const DYNAMIC_BROKER: i8 = 2;
const DYNAMIC_DEFAULT_BROKER: i8 = 3;
const STATIC_BROKER: i8 = 4;

impl Reader {
    /// The effective settings of topics, with their sources; a topic that does not exist (any more) is left out.
    ///
    /// Errors: `KF-KAFKA-REFUSED` (DescribeConfigs on the topics is not permitted), or the cluster's unavailability.
    pub async fn topic_configs(&self, topics: &[String]) -> Result<BTreeMap<String, Configs>> {
        let mut described = BTreeMap::new();
        for chunk in topics.chunks(CONFIGS_PER_REQUEST_MAX) {
            let mut patience = self.cluster.patience(format!("describe the settings of {} topics", chunk.len()));
            let configs = loop {
                let attempt = match self.cluster.try_any().await {
                    Ok(connection) => describe(&connection, TOPIC, chunk).await,
                    Err(failure) => Err(failure),
                };
                match attempt {
                    Ok(configs) => break configs,
                    Err(failure) => patience.wait(failure).await?,
                }
            };
            described.extend(configs);
        }
        Ok(described)
    }

    /// The settings of one broker; `HIDDEN` stands for a value that it does not show.
    ///
    /// Errors: as for `topic_configs`.
    pub async fn broker_configs(&self, broker_id: i32) -> Result<Configs> {
        let mut patience = self.cluster.patience(format!("describe the settings of broker {broker_id}"));
        let name = broker_id.to_string();
        loop {
            let attempt = match self.cluster.try_connection(broker_id, Lane::Admin).await {
                Ok(connection) => describe(&connection, BROKER, std::slice::from_ref(&name)).await,
                Err(failure) => Err(failure),
            };
            match attempt {
                Ok(mut configs) => return Ok(configs.remove(&name).unwrap_or_default()),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    /// Where a broker has its settings from; values are not asked for.
    ///
    /// Errors: as for `topic_configs`.
    pub async fn origins(&self, broker_id: i32) -> Result<Origins> {
        let mut patience = self.cluster.patience(format!("ask where broker {broker_id} has its settings from"));
        loop {
            match self.try_origins(broker_id).await {
                Ok(origins) => return Ok(origins),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    async fn try_origins(&self, broker_id: i32) -> std::result::Result<Origins, Failure> {
        let connection = self.cluster.try_connection(broker_id, Lane::Admin).await?;
        let mut origins = Origins::default();
        for result in ask(&connection, BROKER, &[broker_id.to_string()]).await? {
            Failure::check(result.error_code, result.error_message)?;
            for config in result.configs {
                let dynamic = matches!(config.config_source, DYNAMIC_BROKER | DYNAMIC_DEFAULT_BROKER);
                let set = dynamic || config.config_source == STATIC_BROKER;
                if config.is_sensitive && set {
                    origins.secrets_set.push(config.name.to_string());
                }
                if dynamic {
                    origins.dynamic.push(config.name.to_string());
                }
            }
        }
        Ok(origins)
    }
}

/// **Errors**: those of the call; each result has its own.
async fn ask(connection: &Connection, resource_type: i8, names: &[String]) -> std::result::Result<Vec<DescribeConfigsResult>, Failure> {
    let version = negotiate::<DescribeConfigsRequest>(connection, 1, 4)?;
    let resources = names.iter().map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(text(name))
            .with_configuration_keys(None)
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.collect());
    Ok(connection.call(version, &request).await?.results)
}

async fn describe(
    connection: &Connection,
    resource_type: i8,
    names: &[String],
) -> std::result::Result<BTreeMap<String, Configs>, Failure> {
    let mut described = BTreeMap::new();
    for result in ask(connection, resource_type, names).await? {
        match Failure::check(result.error_code, result.error_message) {
            Ok(()) => {}
            Err(failure) if failure.kafka_error() == Some(ResponseError::UnknownTopicOrPartition) => continue,
            Err(failure) => return Err(failure),
        }
        let configs = result.configs.into_iter().map(|c| {
            let hidden = c.is_sensitive.then(|| HIDDEN.to_owned());
            let value = c.value.map(|v| v.to_string()).or(hidden);
            (c.name.to_string(), ConfigValue { value, source: source(c.config_source) })
        });
        described.insert(result.resource_name.to_string(), configs.collect());
    }
    Ok(described)
}

/// Source: `DescribeConfigsResponse.ConfigSource`.
fn source(code: i8) -> ConfigSource {
    match code {
        1 => ConfigSource::Topic,
        DYNAMIC_BROKER | DYNAMIC_DEFAULT_BROKER | STATIC_BROKER => ConfigSource::Broker,
        5 => ConfigSource::Default,
        _ => ConfigSource::Other,
    }
}
