//! What happened, in numbers, and what is not as promised.

use crate::groups::Group;
use crate::lab::Agent;
use crate::live::{Acknowledged, key};
use crate::reading::{Content, Place};
use crate::workload;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Default)]
pub struct Report {
    pub broken: Vec<String>,
}

/// What the journal says of the cutover.
pub struct Cutover {
    pub freeze_ms: u64,
    pub attempt: u64,
    pub frozen_ends: BTreeMap<(String, i32), i64>,
}

/// Reads the report of the cutover that stands out of the journal.
pub fn cutover(journal_dir: &Path) -> Cutover {
    let text = std::fs::read_to_string(journal_dir.join("journal.jsonl")).expect("the journal can be read");
    let facts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fact = facts.map(|entry| entry["fact"].clone()).find(|fact| fact["fact"] == "cutover_committed").expect("the cutover is journaled");
    let report = &fact["report"];
    let end = |p: &Value| {
        let partition = p["partition"].as_i64().expect("a partition's number") as i32;
        ((p["topic"].as_str().expect("a topic's name").to_owned(), partition), p["frozen_end"].as_i64().expect("an offset"))
    };
    Cutover {
        freeze_ms: report["freeze_ms"].as_u64().expect("the freeze's length"),
        attempt: report["attempt"].as_u64().expect("the attempt's number"),
        frozen_ends: report["partitions"].as_array().into_iter().flatten().map(end).collect(),
    }
}

impl Report {
    pub fn check(&mut self, holds: bool, promise: &str) {
        if !holds {
            self.broken.push(promise.to_owned());
        }
    }

    pub fn groups_stand(&mut self, where_: &str, bootstrap: &str, groups: &[Group]) {
        println!("\nconsumer groups {where_}: the next record of each partition");
        for group in groups {
            println!("  {:<8} {}", group.id, places(&group.committed(bootstrap)));
        }
    }

    /// Each group's next record on both sides, before any of them reads on the target.
    pub fn groups_moved(&mut self, one: &str, other: &str, groups: &[Group]) {
        println!("the next record of each partition, before on the source and after on the target");
        for group in groups {
            let (before, after) = (group.committed(one), group.committed(other));
            println!("  {:<8} before {}\n  {:<8} after  {}", group.id, places(&before), "", places(&after));
            self.check(before == after, &format!("group {} stands on the target where it stood on the source", group.id));
        }
    }

    /// Counts and digests of both sides up to where the source was frozen.
    pub fn topics(&mut self, source: &Content, target: &Content, cutover: &Cutover, acknowledged: &[Acknowledged]) {
        println!("topics, read whole by librdkafka on both sides, up to the freeze:");
        println!("  {:<9} {:>9} {:<17} {:>9} {:<17} {:<6} {:>14}", "topic", "source", "digest", "target", "digest", "", "written since");
        for topic in workload::names() {
            let (one, other) = (source.summary(topic, &cutover.frozen_ends), target.summary(topic, &cutover.frozen_ends));
            let since = target.of(topic).count() as u64 - other.0;
            let frozen_end = |r: &Acknowledged| cutover.frozen_ends.get(&(r.topic.clone(), r.partition)).copied().unwrap_or(i64::MAX);
            let sent = acknowledged.iter().filter(|r| r.topic == topic && r.offset >= frozen_end(r)).count() as u64;
            self.check(since == sent, &format!("{topic} holds nothing but what its producer sent since the freeze: {since}, {sent} were sent"));
            let equal = one == other;
            println!("  {topic:<9} {:>9} {:<17} {:>9} {:<17} {:<6} {since:>14}", one.0, one.1, other.0, other.1, if equal { "equal" } else { "DIFFER" });
            self.check(equal, &format!("{topic} is the same on both sides"));
            self.check(source.of(topic).count() as u64 == one.0, &format!("nothing was written to {topic} on the source after the freeze"));
        }
        for (partition, (start, end)) in &source.logs {
            let there = target.logs.get(partition);
            let name = format!("{}-{}", partition.0, partition.1);
            self.check(there.is_some_and(|t| t.0 == *start), &format!("{name} starts at {start} on the target as on the source: {there:?}"));
            self.check(there.is_some_and(|t| t.1 >= *end), &format!("{name} ends at {end} or later on the target: {there:?}"));
        }
    }

    /// Each record that a broker acknowledged to the live producer, on either cluster, is on the target once.
    pub fn live(&mut self, target: &Content, acknowledged: &[Acknowledged]) {
        let mut by_key: BTreeMap<&[u8], Vec<&Place>> = BTreeMap::new();
        for topic in workload::LIVE_TOPICS {
            for (place, seen) in target.of(topic) {
                if let Some(key) = seen.key.as_deref().filter(|key| key.starts_with(b"live-")) {
                    by_key.entry(key).or_default().push(place);
                }
            }
        }
        let mut wrong = Vec::new();
        for record in acknowledged {
            let place = (record.topic.clone(), record.partition, record.offset);
            match by_key.get(key(record.number).as_bytes()).map(Vec::as_slice) {
                Some([at]) if **at == place => {}
                at => wrong.push(format!("record {} acknowledged at {place:?} is found at {at:?}", record.number)),
            }
        }
        println!(
            "\nlive producer: {} records acknowledged by either cluster, {} of them on the target once and at their own offset",
            acknowledged.len(),
            acknowledged.len() - wrong.len()
        );
        self.check(by_key.len() == acknowledged.len(), &format!("{} acknowledged, {} on the target", acknowledged.len(), by_key.len()));
        self.broken.extend(wrong.into_iter().take(5));
    }

    /// The union of what each group has read before and after the move is every record once.
    pub fn groups(&mut self, target: &Content, groups: &[Group]) {
        println!("\nconsumer groups: what each has read before and after the move, against every record of its topics");
        for group in groups {
            let mut read: BTreeMap<&Place, usize> = BTreeMap::new();
            let (mut changed, mut unknown) = (0, 0);
            for (place, digest) in group.before.iter().chain(&group.after) {
                *read.entry(place).or_default() += 1;
                match target.records.get(place) {
                    Some(seen) => changed += usize::from(seen.digest != *digest),
                    None => unknown += 1,
                }
            }
            let all: BTreeSet<&Place> = group.topics.iter().flat_map(|topic| target.of(topic)).map(|(place, _)| place).collect();
            let lost = all.iter().filter(|place| !read.contains_key(*place)).count();
            let doubled = read.values().filter(|times| **times > 1).count();
            println!(
                "  {:<8} {:>7} before + {:>7} after = {:>7} of {:>7} records; lost {lost}, doubled {doubled}, other content {}",
                group.id,
                group.before.len(),
                group.after.len(),
                read.len(),
                all.len(),
                changed + unknown,
            );
            self.check(lost + doubled + changed + unknown == 0, &format!("group {} has read every record once", group.id));
        }
    }

    pub fn acls(&mut self, one: &str, other: &str) {
        let (source, target) = (Agent::shared().describe_acls(one), Agent::shared().describe_acls(other));
        println!("\nACLs: {} bindings on the source, {} on the target, {}", source.len(), target.len(), if source == target { "equal" } else { "DIFFERENT" });
        self.check(source == target, "the target has the source's ACLs");
    }

    pub fn cutover(&mut self, cutover: &Cutover, bundle: &Path) {
        println!("\nproducers were frozen for {} ms (attempt {})", cutover.freeze_ms, cutover.attempt);
        println!("bundle: {}", bundle.display());
    }
}

fn places(offsets: &BTreeMap<(String, i32), Option<i64>>) -> String {
    let place = |((topic, partition), next): (&(String, i32), &Option<i64>)| format!("{topic}-{partition}:{}", next.map_or("-".to_owned(), |n| n.to_string()));
    offsets.iter().map(place).collect::<Vec<_>>().join(" ")
}
