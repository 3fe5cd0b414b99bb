//! Transactional topics: consumers of either isolation level see on the target exactly what they see on the source.

use std::time::Duration;

use crate::lab::{Agent, Load, Topic, Weave};
use crate::migration::{Lab, Migration};

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(300);

/// Retention is Kafka's own: five days are kept.
const OLD: i64 = 5 * 24 * 3_600 * 1_000;

/// Both logs are the same at both isolation levels, and there is aborted data in them.
#[track_caller]
fn expect_same_views(migration: &Migration, lab: &Lab, topics: &[&str], aborted: u64) {
    migration.expect_same(lab, topics);
    let agent = Agent::shared();
    let count = |committed| agent.dump(&lab.target.bootstrap(), topics, committed).values().map(|p| p.count).sum::<u64>();
    assert_eq!(count(false) - count(true), aborted, "what read_committed consumers do not see");
}

fn counted(migration: &Migration, count: &str) -> u64 {
    let mut last = std::collections::BTreeMap::new();
    for fact in migration.facts().into_iter().filter(|fact| fact["fact"] == "copy_checkpointed") {
        for checkpoint in fact["partitions"].as_array().into_iter().flatten() {
            last.insert((checkpoint["topic"].to_string(), checkpoint["partition"].as_i64()), checkpoint["counts"][count].as_u64().unwrap_or(0));
        }
    }
    last.into_values().sum()
}

/// Interleaved transactions, committed and aborted, before and during the copy, over topics that they share; a plain topic that becomes transactional.
fn woven(lab: &Lab, id: &str) {
    let agent = Agent::shared();
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let name = |topic: &str| format!("{id}-{topic}");
    let names = [name("orders"), name("tiny"), name("trimmed"), name("plain")];
    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    let partitions = [4, 2, 2, 2];
    let created: Vec<Topic> = topics.iter().zip(partitions).map(|(topic, partitions)| Topic::new(topic, partitions).config("retention.ms", -1)).collect();
    agent.create_topics(&source, &created);
    let first = jiff::Timestamp::now().as_millisecond() - OLD;
    let weave = |name: &str, steps| Weave::new(&format!("{id}-{name}"), steps);
    let bulk = agent.weave(&source, &topics[..1], &weave("bulk", 200), &Load::records(0).values(200, 2_000).odd_headers().nulls(0.1, 0.1).seed(11));
    let tiny = agent.weave(&source, &topics[1..3], &weave("tiny", 200), &Load::records(0).values(10, 60).one_record_batches().timestamps(first, 7).seed(12));
    agent.produce(&source, topics[3], &Load::records(500));
    // The log starts within what belongs to transactions.
    agent.delete_records(&source, topics[2], 0, 77);
    agent.delete_records(&source, topics[2], 1, 101);

    let migration = lab.setup(id).set("seed.segment_max_bytes", "1MiB").set("cutover.drain_stable_window", "4s").begin();
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", SOON);
    // Open while SEED and TAIL pass by.
    agent.begin_transaction(&source, &format!("{id}-open"), topics[0], &Load::records(40).values(50, 90), 600_000);
    let live = agent.weave(&source, &topics, &weave("live", 150), &Load::records(0).values(20, 400).seed(13));
    agent.end_transaction(&format!("{id}-open"), false);
    running.wait(LONG).ok();
    migration.expect_state("drain_ready");
    let late = agent.weave(&source, &topics, &weave("late", 60), &Load::records(0).values(20, 400).seed(14));
    migration.cutover();
    migration.conclude();

    println!("{bulk:?} {tiny:?} {live:?} {late:?}");
    let dumped = |committed| agent.dump(&source, &topics, committed).values().map(|p| p.count).sum::<u64>();
    let aborted = dumped(false) - dumped(true);
    assert!(aborted > 500, "{aborted}");
    expect_same_views(&migration, lab, &topics, aborted);
    assert_eq!(counted(&migration, "aborted_records"), aborted);
    assert!(counted(&migration, "control_records") > 100);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
    let open = agent.offsets(&target).into_iter().filter(|((topic, _), span)| topic.starts_with(id) && span.last_stable != span.log_end);
    assert_eq!(open.count(), 0, "nothing is open on the target");
}

#[test]
fn transactions_are_seen_as_they_were() {
    woven(Lab::shared(), "woven");
}
