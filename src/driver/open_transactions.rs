//! Who holds the last stable offset of partitions below their high watermark.

use crate::domain::partition::TopicPartition;
use crate::domain::transaction::{OpenTransaction, Owner, Place};
use crate::error::Result;
use crate::kafka::offsets::OffsetAt;
use crate::kafka::producers::{ActiveProducer, ListedTransaction};
use crate::kafka::source::Reader;
use std::collections::{BTreeMap, BTreeSet};

/// What the leaders say of their producers.
type Producers = BTreeMap<TopicPartition, Vec<ActiveProducer>>;

/// The transactions that are open on these partitions, those that nobody knows first.
///
/// Costs two questions to the leaders while none is open. A partition that cannot be read is left out.
///
/// **Errors**: the cluster's unavailability; KF-KAFKA-REFUSED where Read on a topic is not permitted.
pub async fn look(reader: &Reader, partitions: &[TopicPartition]) -> Result<Vec<OpenTransaction>> {
    // The high watermark first: a last stable offset below it that is read later tells of a transaction that is open.
    let (ends, _) = reader.list_offsets_each(partitions, OffsetAt::HighWatermark).await;
    let (stable, _) = reader.list_offsets_each(partitions, OffsetAt::LastStable).await;
    let held: Vec<Place> = stable
        .into_iter()
        .filter(|(partition, stable)| ends.get(partition).is_some_and(|end| stable.offset < end.offset))
        .map(|(partition, stable)| Place { partition, start_offset: stable.offset })
        .collect();
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<TopicPartition> = held.iter().map(|p| p.partition.clone()).collect();
    let Some(before) = reader.producers(&names).await? else {
        return Ok(not_told(held, "the brokers are older than 2.8"));
    };
    let Some(listed) = reader.open_transactions().await? else {
        return Ok(not_told(held, &format!("the brokers are older than 3.0; {}", producer_ids(&before))));
    };
    let (mut known, unknown) = attribute(&before, &listed);
    if !unknown.is_empty() {
        // What ended in between is no longer in the list either; what is still open after it should have been there.
        let names: Vec<TopicPartition> = unknown.iter().map(|(place, _)| place.partition.clone()).collect();
        let after = reader.producers(&names).await?.unwrap_or_default();
        known.splice(0..0, unlisted(unknown, &after));
    }
    Ok(known)
}

fn not_told(held: Vec<Place>, reason: &str) -> Vec<OpenTransaction> {
    held.into_iter().map(|place| OpenTransaction { owner: Owner::NotTold { reason: reason.to_owned() }, places: vec![place] }).collect()
}

fn producer_ids(producers: &Producers) -> String {
    let open: BTreeSet<i64> = producers.values().flatten().filter(|p| p.transaction_start.is_some()).map(|p| p.producer_id).collect();
    let open: Vec<String> = open.iter().map(i64::to_string).collect();
    format!("the leaders name producer id {}", crate::domain::planning::names(&open))
}

/// Finds the transaction of each place where one is open, and the places of which no coordinator knows.
fn attribute(producers: &Producers, listed: &[ListedTransaction]) -> (Vec<OpenTransaction>, Vec<(Place, ActiveProducer)>) {
    let mut known: BTreeMap<&str, OpenTransaction> = BTreeMap::new();
    let mut unknown = Vec::new();
    for (partition, active) in producers {
        for (producer, start_offset) in active.iter().filter_map(|p| Some((p, p.transaction_start?))) {
            let place = Place { partition: partition.clone(), start_offset };
            // A producer whose next transaction does not hold this partition has left an earlier one open here.
            let Some(t) = listed.iter().find(|t| t.producer_id == producer.producer_id && t.partitions.contains(partition)) else {
                unknown.push((place, *producer));
                continue;
            };
            let owner = || Owner::Listed {
                transactional_id: t.transactional_id.clone(),
                producer_id: t.producer_id,
                state: t.state.clone(),
                timeout_ms: t.timeout_ms,
                started_at_ms: t.started_at_ms,
            };
            known.entry(&t.transactional_id).or_insert_with(|| OpenTransaction { owner: owner(), places: Vec::new() }).places.push(place);
        }
    }
    (known.into_values().collect(), unknown)
}

/// Those that are still open, one for each producer.
fn unlisted(unknown: Vec<(Place, ActiveProducer)>, after: &Producers) -> Vec<OpenTransaction> {
    let mut open: BTreeMap<i64, OpenTransaction> = BTreeMap::new();
    for (place, producer) in unknown {
        let still = |p: &ActiveProducer| p.producer_id == producer.producer_id && p.transaction_start == Some(place.start_offset);
        if after.get(&place.partition).is_some_and(|active| active.iter().any(still)) {
            let ActiveProducer { producer_id, producer_epoch, last_timestamp: last_timestamp_ms, .. } = producer;
            let owner = Owner::Unlisted { producer_id, producer_epoch, last_timestamp_ms };
            open.entry(producer_id).or_insert_with(|| OpenTransaction { owner, places: Vec::new() }).places.push(place);
        }
    }
    open.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn producer(producer_id: i64, transaction_start: Option<i64>) -> ActiveProducer {
        ActiveProducer { producer_id, producer_epoch: 0, last_sequence: 0, last_timestamp: 7, transaction_start }
    }

    fn listed(id: &str, producer_id: i64, partitions: &[i32]) -> ListedTransaction {
        ListedTransaction {
            transactional_id: id.into(),
            producer_id,
            producer_epoch: 0,
            state: "Ongoing".into(),
            timeout_ms: 60_000,
            started_at_ms: 1,
            partitions: partitions.iter().map(|p| at(*p)).collect(),
        }
    }

    #[test]
    fn a_place_belongs_to_the_listed_transaction_that_holds_its_partition() {
        let producers: Producers =
            [(at(0), vec![producer(1, Some(5)), producer(2, None)]), (at(1), vec![producer(1, Some(6)), producer(3, Some(9))])].into();
        let (known, unknown) = attribute(&producers, &[listed("a", 1, &[0, 1]), listed("c", 3, &[0])]);
        assert_eq!(known.len(), 1);
        assert!(matches!(&known[0].owner, Owner::Listed { transactional_id, producer_id: 1, .. } if transactional_id == "a"));
        let starts: Vec<_> = known[0].places.iter().map(|p| (p.partition.partition, p.start_offset)).collect();
        assert_eq!(starts, [(0, 5), (1, 6)]);
        // Producer 3 is known, but not with this partition.
        assert_eq!(unknown, [(Place { partition: at(1), start_offset: 9 }, producer(3, Some(9)))]);
    }

    #[test]
    fn what_ended_meanwhile_is_nobodys() {
        let place = |partition, start_offset| Place { partition: at(partition), start_offset };
        let unknown = vec![(place(0, 5), producer(1, Some(5))), (place(1, 6), producer(1, Some(6))), (place(2, 1), producer(2, Some(1)))];
        let after: Producers = [(at(0), vec![producer(1, Some(5))]), (at(1), vec![producer(1, Some(8))]), (at(2), vec![])].into();
        let open = unlisted(unknown, &after);
        assert_eq!(open, [OpenTransaction { owner: Owner::Unlisted { producer_id: 1, producer_epoch: 0, last_timestamp_ms: 7 }, places: vec![place(0, 5)] }]);
    }

    #[test]
    fn old_brokers_leave_the_owner_untold() {
        let producers: Producers = [(at(0), vec![producer(8, Some(5)), producer(9, None)])].into();
        assert_eq!(producer_ids(&producers), "the leaders name producer id 8");
        let open = not_told(vec![Place { partition: at(0), start_offset: 5 }], "old");
        assert!(matches!(&open[0].owner, Owner::NotTold { reason } if reason == "old"));
    }
}
