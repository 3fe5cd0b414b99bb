//! A topic's own settings on the target, changed as journaled effects.

use super::context::Context;
use super::effects::{open, read_back};
use crate::domain::config_diff::same_value;
use crate::domain::topology::ConfigSource;
use crate::error::{Code, Error, Result};
use crate::kafka::configs::Configs;
use crate::kafka::target::Target;
use crate::machine::fact::Effect;
use std::collections::BTreeMap;

/// Settings of a topic that are to change: a value, or None for no setting of the topic's own.
pub type Changes = BTreeMap<String, Option<String>>;

/// Sets these settings on the topic itself, leaves the others as they are, and says whether anything had to change.
///
/// What an earlier run has left open on the topic is completed first. **Errors**: KF-KAFKA-REFUSED, with the setting that the
/// broker names, or where the topic does not exist; the target's unavailability.
pub async fn set_topic_configs(context: &mut Context, topic: &str, configs: Changes) -> Result<bool> {
    settle_topic_configs(context, topic).await?;
    let present = configs_of(&context.clusters.target, topic).await?;
    let changes = differing(&present, &configs);
    if changes.is_empty() {
        return Ok(false);
    }
    let before = changes.keys().map(|key| (key.clone(), own(&present, key).map(str::to_owned))).collect();
    let id = context.intend(Effect::SetTopicConfigs { topic: topic.to_owned(), configs: changes.clone(), before })?;
    alter(context, id, topic, &changes).await?;
    Ok(true)
}

/// Completes what an earlier run has left open on the topic: setting the same values again changes nothing.
///
/// **Errors**: as for [`set_topic_configs`].
pub async fn settle_topic_configs(context: &mut Context, topic: &str) -> Result<()> {
    let pending = open(context, |effect| match effect {
        Effect::SetTopicConfigs { topic: of, configs, .. } if of == topic => Some(configs.clone()),
        _ => None,
    })?;
    for (id, configs) in pending {
        alter(context, id, topic, &configs).await?;
    }
    Ok(())
}

async fn alter(context: &mut Context, id: u64, topic: &str, changes: &Changes) -> Result<()> {
    let target = &context.clusters.target;
    target.alter_topic_configs(topic, changes).await?;
    read_back(|| async {
        let present = configs_of(target, topic).await?;
        let left = differing(&present, changes);
        Ok(left.keys().next().map(|key| format!("{key} of topic {topic} is {}", own(&present, key).unwrap_or("not set"))))
    })
    .await?;
    context.complete(id, format!("{} settings are in place", changes.len()))
}

async fn configs_of(target: &Target, topic: &str) -> Result<Configs> {
    let mut described = target.topic_configs(&[topic.to_owned()]).await?;
    described.remove(topic).ok_or_else(|| Error::new(Code::KafkaRefused, format!("target: topic {topic} does not exist")))
}

/// What stands on the topic itself.
pub(super) fn own<'a>(present: &'a Configs, key: &str) -> Option<&'a str> {
    present.get(key).filter(|c| c.source == ConfigSource::Topic)?.value.as_deref()
}

/// Those of the settings that are not as wanted.
fn differing(present: &Configs, wanted: &Changes) -> Changes {
    let as_wanted = |key: &str, value: &Option<String>| match (own(present, key), value) {
        (Some(seen), Some(value)) => same_value(key, seen, value),
        (seen, value) => seen.is_none() && value.is_none(),
    };
    wanted.iter().filter(|(key, value)| !as_wanted(key, value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether all of these settings stand on the topic itself.
pub fn holds(present: &Configs, settings: &BTreeMap<String, String>) -> bool {
    differing(present, &settings.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()).is_empty()
}

/// What has to change so that exactly these settings stand on the topic itself.
pub fn to_exactly(present: &Configs, wanted: &BTreeMap<String, String>) -> Changes {
    let kept = wanted.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
    let on_topic = present.keys().filter(|key| own(present, key).is_some());
    let dropped = on_topic.filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), None));
    differing(present, &kept.chain(dropped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::topology::ConfigValue;

    fn present(settings: &[(&str, &str, ConfigSource)]) -> Configs {
        settings.iter().map(|(key, value, source)| ((*key).to_owned(), ConfigValue { value: Some((*value).to_owned()), source: *source })).collect()
    }

    fn changes(settings: &[(&str, Option<&str>)]) -> Changes {
        settings.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
    }

    #[test]
    fn only_what_stands_on_the_topic_itself_counts_as_set() {
        let present = present(&[
            ("retention.ms", "-1", ConfigSource::Topic),
            ("segment.bytes", "100", ConfigSource::Default),
            ("cleanup.policy", "delete,compact", ConfigSource::Topic),
        ]);
        let wanted = changes(&[
            ("retention.ms", None),
            ("segment.bytes", Some("100")),
            ("cleanup.policy", Some("compact,delete")),
            ("flush.ms", None),
        ]);
        assert_eq!(differing(&present, &wanted), changes(&[("retention.ms", None), ("segment.bytes", Some("100"))]));
    }

    #[test]
    fn the_release_leaves_exactly_the_planned_settings() {
        let present = present(&[
            ("retention.ms", "-1", ConfigSource::Topic),
            ("unclean.leader.election.enable", "false", ConfigSource::Topic),
            ("max.message.bytes", "1000", ConfigSource::Topic),
            ("segment.ms", "5", ConfigSource::Broker),
        ]);
        let wanted = [("retention.ms".to_owned(), "600".to_owned()), ("max.message.bytes".to_owned(), "1000".to_owned())].into();
        assert_eq!(to_exactly(&present, &wanted), changes(&[("retention.ms", Some("600")), ("unclean.leader.election.enable", None)]));
        assert_eq!(to_exactly(&Configs::new(), &BTreeMap::new()), Changes::new());
    }
}
