//! What the source has that the plan has not: a cutover would leave it behind.

use crate::config::Config;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Plan;
use crate::domain::planning::names;
use crate::domain::selection::topic_left_out;
use crate::error::{Code, Error, Result};
use crate::kafka::metadata::Metadata;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::source::Source;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Grown {
    /// Planned topics with more partitions than planned, in words.
    partitions: Vec<String>,
    /// Selected topics that the plan does not have, save those that are to be left behind.
    topics: Vec<String>,
}

/// Refuses names that can be left behind by nobody: of planned topics, and of topics that are not there.
///
/// **Errors**: KF-USAGE; the source's unavailability.
pub async fn check_names(source: &Source, plan: &Plan, left_behind: &[String]) -> Result<()> {
    if left_behind.is_empty() {
        return Ok(());
    }
    let metadata = source.refresh().await?;
    for name in left_behind {
        if plan.topics.iter().any(|planned| planned.name == *name) {
            return Err(Error::new(Code::UsageInvalid, format!("--leave-behind {name}: this topic is planned, and has been copied")));
        }
        if metadata.topic(name).is_none() {
            return Err(Error::new(Code::UsageInvalid, format!("--leave-behind {name}: the source has no such topic")));
        }
    }
    Ok(())
}

/// Refuses a cutover that would leave records behind: those of partitions and topics that were added after the plan. `left_behind` are topics that the operator leaves there.
///
/// A new topic that has never had a record is not refused. **Errors**: KF-SOURCE-GREW, KF-TOPIC-CHANGED; the source's unavailability.
pub async fn refuse(source: &Source, plan: &Plan, config: &Config, left_behind: &[String]) -> Result<()> {
    let metadata = source.refresh().await?;
    let mut grown = grown(plan, config, left_behind, &metadata)?;
    if !grown.topics.is_empty() {
        let of = |name: &String| metadata.topic(name).into_iter().flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(t.name.clone(), p.partition)).collect::<Vec<_>>());
        let partitions: Vec<TopicPartition> = grown.topics.iter().flat_map(of).collect();
        let ends = source.offsets(&partitions, OffsetAt::LogEnd).await?;
        grown.topics.retain(|topic| ends.iter().any(|(partition, end)| *partition.topic == **topic && *end > 0));
    }
    let mut seen = grown.partitions;
    if !grown.topics.is_empty() {
        seen.push(format!("topics that came after the plan hold records: {}", names(&grown.topics)));
    }
    if seen.is_empty() { Ok(()) } else { Err(Error::new(Code::SourceGrew, seen.join("; "))) }
}

fn grown(plan: &Plan, config: &Config, left_behind: &[String], metadata: &Metadata) -> Result<Grown> {
    let mut grown = Grown::default();
    for planned in &plan.topics {
        let Some(now) = metadata.topic(&planned.name) else { continue };
        if now.is_another_than(planned.source_topic_id.as_deref()) {
            return Err(Error::new(Code::TopicChanged, format!("topic {} was created anew on the source", planned.name)));
        }
        if now.partitions.len() > planned.partitions.len() {
            grown.partitions.push(format!("topic {} has {} partitions on the source, {} when planned", planned.name, now.partitions.len(), planned.partitions.len()));
        }
    }
    let is_new = |name: &str| plan.source.topic(name).is_none() && !left_behind.iter().any(|left| left == name);
    let selected = metadata.topics.values().filter(|t| !t.internal && topic_left_out(&config.topics, &t.name, t.internal).is_none());
    grown.topics = selected.filter(|t| is_new(&t.name)).map(|t| t.name.to_string()).collect();
    grown.topics.sort();
    Ok(grown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::metadata::{PartitionMetadata, TopicMetadata};
    use crate::machine::sample;

    #[test]
    fn partitions_and_topics_that_came_after_the_plan_are_found() {
        let config = crate::config::parse("m.yaml", include_str!("../../../config/minimal.yaml"), std::path::Path::new("."), &|_| None).unwrap();
        let partition = |partition| PartitionMetadata { partition, leader: None, leader_epoch: 0, replicas: vec![], in_sync: vec![], offline: vec![] };
        let topic = |name: &str, partitions: i32, internal| TopicMetadata { name: name.into(), topic_id: None, internal, partitions: (0..partitions).map(partition).collect() };
        let of = |topics: Vec<TopicMetadata>, left: &[&str]| {
            let metadata = Metadata { topics: topics.into_iter().map(|t| (t.name.clone(), t)).collect(), ..Metadata::default() };
            grown(&sample::plan(), &config, &left.iter().map(ToString::to_string).collect::<Vec<_>>(), &metadata).unwrap()
        };
        assert_eq!(of(vec![topic("orders", 2, false), topic("__consumer_offsets", 50, true)], &[]), Grown::default());
        assert_eq!(of(vec![topic("orders", 3, false)], &[]).partitions, ["topic orders has 3 partitions on the source, 2 when planned"]);
        assert_eq!(of(vec![topic("orders", 2, false), topic("refunds", 1, false)], &[]).topics, ["refunds"]);
        assert_eq!(of(vec![topic("orders", 2, false), topic("refunds", 1, false)], &["refunds"]), Grown::default());
    }
}
