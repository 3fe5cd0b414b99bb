//! Who writes to the source and reads from it, beyond its groups: two looks, before and after everything else is read.

use super::limits::PATIENCE;
use super::written::LogEnds;
use crate::domain::partition::TopicPartition;
use crate::domain::practice::{Clients, Tie};
use crate::kafka::producers::ActiveProducer;
use crate::kafka::source::Reader;
use std::collections::{BTreeMap, BTreeSet};

/// What the leaders say of their producers.
type Producers = BTreeMap<TopicPartition, Vec<ActiveProducer>>;

/// The first look. It comes before the first look at the log ends, so that who wrote between both ends has changed between both looks at the producers.
pub(super) struct Before {
    producers: Option<Producers>,
    not_read: Vec<String>,
}

pub(super) async fn look(reader: &Reader, partitions: &[TopicPartition]) -> Before {
    let mut not_read = Vec::new();
    let producers = match reader.with_patience(PATIENCE).producers(partitions).await {
        Ok(Some(producers)) => Some(producers),
        Ok(None) => {
            not_read.push("who writes to the selected topics, and which transactions span others (brokers older than 2.8 do not tell)".to_owned());
            None
        }
        Err(error) => {
            not_read.push(format!("who writes to the selected topics ({})", error.seen()));
            None
        }
    };
    Before { producers, not_read }
}

/// The second look, after the second one at the log ends. `other_topics` are those of the source that are not selected, `consumer_groups` those whose members are asked how they speak.
pub(super) async fn compare(reader: &Reader, before: Before, ends: [&LogEnds; 2], partitions: &[TopicPartition], other_topics: &[String], consumer_groups: &[String]) -> Clients {
    let hasty = reader.with_patience(PATIENCE);
    let mut clients = Clients { not_read: before.not_read, ..Clients::default() };
    if !consumer_groups.is_empty() {
        let versions = hasty.protocol_versions(consumer_groups).await;
        clients.first_protocol = versions.into_iter().filter(|(_, version)| *version <= 0).map(|(group, _)| group).collect();
    }
    let Some(first) = before.producers else { return clients };
    let [first_ends, ends] = ends;
    clients.watched_ms = u64::try_from(ends.since(first_ends).as_millis()).unwrap_or(u64::MAX);
    let second = match hasty.producers(partitions).await {
        Ok(second) => second.unwrap_or_default(),
        Err(error) => {
            clients.not_read.push(format!("who writes to the selected topics ({})", error.seen()));
            return clients;
        }
    };
    let growing: Vec<&TopicPartition> = ends.ends.iter().filter(|(p, end)| first_ends.ends.get(p).is_some_and(|before| before < end)).map(|(p, _)| p).collect();
    clients.unnamed = growing.iter().filter(|p| nobody_wrote(first.get(p), second.get(p))).map(ToString::to_string).collect();
    clients.growing = growing.iter().map(ToString::to_string).collect();
    clients.producer_ids = second.values().flatten().map(|p| p.producer_id).collect::<BTreeSet<i64>>().len();
    match hasty.transactional_ids().await {
        Ok(None) => clients.not_read.push("which transactions span topics that are not selected (brokers older than 3.0 do not tell)".to_owned()),
        Ok(Some(by_id)) if !by_id.is_empty() => {
            let others = partitions_of(reader, other_topics);
            match hasty.producers_each(&others).await {
                Ok(others) => clients.ties = ties(&by_id, &second, &others),
                Err(error) => clients.not_read.push(format!("who writes to topics that are not selected ({})", error.seen())),
            }
        }
        Ok(Some(_)) => {}
        Err(error) => clients.not_read.push(format!("transactional ids ({})", error.seen())),
    }
    clients
}

fn partitions_of(reader: &Reader, topics: &[String]) -> Vec<TopicPartition> {
    let metadata = reader.metadata();
    // Groups' offsets and transactions are Kafka's own: every transaction that commits offsets writes there.
    let chosen = topics.iter().filter_map(|name| metadata.topic(name)).filter(|t| !t.internal);
    chosen.flat_map(|t| t.partitions.iter().filter(|p| p.leader.is_some()).map(|p| TopicPartition::new(t.name.clone(), p.partition))).collect()
}

/// Whether a partition's producers stand as they stood.
fn nobody_wrote(first: Option<&Vec<ActiveProducer>>, second: Option<&Vec<ActiveProducer>>) -> bool {
    let first: BTreeMap<i64, &ActiveProducer> = first.into_iter().flatten().map(|p| (p.producer_id, p)).collect();
    second.is_none_or(|second| second.iter().all(|p| first.get(&p.producer_id) == Some(&p)))
}

fn topics_by_id(producers: &Producers) -> BTreeMap<i64, BTreeSet<&str>> {
    let mut topics = BTreeMap::<i64, BTreeSet<&str>>::new();
    for (partition, producers) in producers {
        for p in producers {
            topics.entry(p.producer_id).or_default().insert(&partition.topic);
        }
    }
    topics
}

/// The transactional ids whose producers wrote on both sides.
fn ties(by_id: &BTreeMap<i64, String>, selected: &Producers, others: &Producers) -> Vec<Tie> {
    let mut ties: BTreeMap<&str, Tie> = BTreeMap::new();
    let others = topics_by_id(others);
    for (id, selected) in topics_by_id(selected) {
        let (Some(name), Some(others)) = (by_id.get(&id), others.get(&id)) else { continue };
        let tie = ties.entry(name).or_insert_with(|| Tie { transactional_id: name.clone(), selected: BTreeSet::new(), others: BTreeSet::new() });
        tie.selected.extend(selected.iter().map(|topic| (*topic).to_owned()));
        tie.others.extend(others.iter().map(|topic| (*topic).to_owned()));
    }
    ties.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(producer_id: i64, last_sequence: i32) -> ActiveProducer {
        ActiveProducer { producer_id, producer_epoch: 0, last_sequence, last_timestamp: 7, transaction_start: None }
    }

    #[test]
    fn a_partition_that_grows_while_its_producers_stand_still_has_a_writer_without_a_name() {
        let (one, two) = (producer(1, 5), producer(2, 0));
        assert!(nobody_wrote(Some(&vec![one, two]), Some(&vec![one, two])));
        assert!(nobody_wrote(Some(&vec![one, two]), Some(&vec![one])), "who is forgotten has not written");
        assert!(nobody_wrote(None, Some(&vec![])));
        assert!(!nobody_wrote(Some(&vec![one]), Some(&vec![producer(1, 6)])));
        assert!(!nobody_wrote(Some(&vec![one]), Some(&vec![one, two])));
    }

    #[test]
    fn only_a_transactional_id_that_wrote_on_both_sides_ties_topics() {
        let at = |topic: &str, producers: &[i64]| (TopicPartition::new(topic, 0), producers.iter().map(|id| producer(*id, 0)).collect());
        let selected: Producers = [at("orders", &[1, 2, 4]), at("payments", &[1])].into();
        let others: Producers = [at("audit", &[1, 3, 4])].into();
        let by_id = [(1, "shop".to_owned()), (2, "alone".to_owned()), (3, "elsewhere".to_owned())].into();
        let set = |topics: &[&str]| topics.iter().map(|t| (*t).to_owned()).collect();
        // Producer 4 is idempotent and no more.
        assert_eq!(ties(&by_id, &selected, &others), [Tie { transactional_id: "shop".into(), selected: set(&["orders", "payments"]), others: set(&["audit"]) }]);
    }
}
