//! Compacted topics: every record that compaction has left lies at its own offset on the target, and nothing else does.

use std::time::{Duration, Instant};

use crate::lab::{Agent, Load, Topic, Weave};
use crate::migration::{Lab, Migration};

const SOON: Duration = Duration::from_secs(60);

/// A topic that the broker's cleaner cleans eagerly.
fn eager(name: &str, partitions: u32, policy: &str) -> Topic {
    Topic::new(name, partitions)
        .config("cleanup.policy", policy)
        .config("min.cleanable.dirty.ratio", 0.001)
        .config("segment.bytes", 20 << 10)
        .config("retention.ms", -1)
}

/// Waits until the cleaner has left at most this share of the topic's offsets with records.
pub fn wait_until_cleaned(bootstrap: &str, topic: &str, share: f64) {
    let deadline = Instant::now() + SOON;
    loop {
        let dumped = Agent::shared().dump(bootstrap, &[topic], false);
        let (records, offsets) = dumped.values().fold((0, 0), |(records, offsets), p| (records + p.count, offsets + (p.log_end - p.log_start) as u64));
        if records as f64 <= offsets as f64 * share {
            return;
        }
        assert!(Instant::now() < deadline, "{topic}: {records} records at {offsets} offsets are left");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Keeps the cleaner away, on the target too, since the setting goes along: what is compared holds still.
pub fn hold_still(bootstrap: &str, topic: &str) {
    Agent::shared().alter_topic_configs(bootstrap, topic, &[("min.compaction.lag.ms", "9000000000000"), ("min.cleanable.dirty.ratio", "1.0")], &[]);
}

/// Offsets of the topics that have no record, at neither isolation level.
fn offsets_without_records(bootstrap: &str, topics: &[&str]) -> u64 {
    Agent::shared().dump(bootstrap, topics, false).values().map(|p| (p.log_end - p.log_start) as u64 - p.count).sum()
}

/// The bundle puts the plan's numbers beside what consumers of the source count, and says what differs; `status` says the same.
fn predicted_and_counted(migration: &Migration, source: &str, topics: &[&str]) {
    let (plan, evidence) = (migration.expect_fact("migration_planned")["plan"].clone(), migration.evidence());
    let comparison = &evidence["comparison"];
    assert_eq!(migration.status()["comparison"], *comparison);
    println!("{:#}", serde_json::json!([comparison["notable"], comparison["seed_seconds"], comparison["freeze_ms"]]));
    let dumped = Agent::shared().dump(source, topics, false);
    for topic in topics {
        let compared = comparison["topics"].as_array().unwrap().iter().find(|t| t["topic"] == *topic).unwrap();
        let planned = plan["topics"].as_array().unwrap().iter().find(|t| t["name"] == *topic).unwrap();
        let of = |number: &str, side: &str| compared[number][side].as_u64().unwrap();
        let logs = || dumped.iter().filter(|((name, _), _)| name == topic).map(|(_, log)| log);
        let (records, offsets): (u64, u64) = logs().fold((0, 0), |(r, o), log| (r + log.count, o + (log.log_end - log.log_start) as u64));
        assert_eq!((of("records", "outcome"), of("offsets", "outcome")), (records, offsets), "{topic}");
        assert_eq!(of("records", "outcome") + of("control_records", "outcome") + of("hole_offsets", "outcome"), offsets, "{compared:#}");
        assert_eq!(of("hole_offsets", "predicted"), planned["holes_estimated"].as_u64().unwrap());
        assert_eq!(of("prefix_fillers", "predicted"), of("prefix_fillers", "outcome"), "{topic}");
    }
    assert!(comparison["freeze_ms"]["predicted"].as_u64().unwrap() > 300);
    assert_eq!(comparison["freeze_ms"]["outcome"], evidence["cutover"]["freeze_ms"]);
    assert!(comparison["seed_seconds"]["outcome"].as_u64().unwrap() > 0 && comparison["seed_seconds"]["predicted"].as_u64().unwrap() > 0);
}

#[test]
fn every_record_that_is_left_keeps_its_offset() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let topics = ["compact-keys", "compact-both", "compact-former", "compact-woven", "compact-stamped"];
    agent.create_topics(
        &source,
        &[
            eager(topics[0], 3, "compact"),
            eager(topics[1], 2, "compact,delete"),
            eager(topics[2], 1, "compact"),
            eager(topics[3], 2, "compact"),
            eager(topics[4], 1, "compact").config("message.timestamp.type", "LogAppendTime"),
        ],
    );
    let load = |records| Load::records(records).values(50, 400).keys(150).nulls(0.0, 0.15).batches(4 << 10, 5).odd_headers();
    for (codec, topic) in ["lz4", "none", "zstd"].iter().zip(topics) {
        agent.produce(&source, topic, &load(4_000).codec(codec));
    }
    agent.weave(&source, &[topics[3]], &Weave { burst: 30, ..Weave::new("compact", 200) }, &Load::records(0).values(100, 600).keys(40).batches(4 << 10, 5));
    agent.produce(&source, topics[4], &load(1_500).codec("gzip"));
    // The segment that is written to is never cleaned: how much of a log lies there depends on how well its batches are compressed.
    topics.iter().for_each(|topic| wait_until_cleaned(&source, topic, 0.6));
    agent.delete_records(&source, topics[1], 0, 700);
    // No longer compacted; what comes behind may have no key.
    agent.alter_topic_configs(&source, topics[2], &[("cleanup.policy", "delete")], &[]);
    // The broker hears of it a moment later.
    std::thread::sleep(Duration::from_secs(1));
    agent.produce(&source, topics[2], &Load::records(300).nulls(0.5, 0.1).batches(8 << 10, 5));
    topics.iter().for_each(|topic| hold_still(&source, topic));
    std::thread::sleep(Duration::from_secs(1));

    let migration = lab.setup("compact").set("seed.rate_limit", "700KiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    let outcome = migration.precheck();
    assert!(outcome.stdout.contains("KF-PRE-COMPACTED"), "{outcome}");
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", SOON);
    std::thread::sleep(Duration::from_millis(1_200));
    running.kill();
    migration.execute();
    let late = Load::records(200).values(50, 90).keys(20).seed(77);
    for topic in [topics[0], topics[2]] {
        agent.produce(&source, topic, &late);
    }
    migration.cutover();
    migration.conclude();

    predicted_and_counted(&migration, &source, &topics);
    let judged = agent.judge_but_timestamp_types(&source, &target, &topics);
    judged.expect_equal();
    assert_eq!(offsets_without_records(&target, &topics), offsets_without_records(&source, &topics));
    assert!(migration.counted("hole_offsets") > 2_000 && migration.counted("split_batches") > 20, "{:?}", migration.fact("copy_checkpointed"));
    assert_eq!(migration.counted("drifted_records"), 0);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
    for (topic, policy) in topics.iter().zip(["compact", "compact,delete", "delete", "compact", "compact"]) {
        assert_eq!(agent.topic_configs(&target, topic).0["cleanup.policy"], policy, "{topic}");
    }
}

/// The source goes on compacting what was copied, while producers write; afterwards the target's cleaner does as well.
#[test]
#[ignore = "slow: tests/full runs it"]
fn compaction_goes_on_meanwhile_on_both_sides() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let topic = "drift-keys";
    agent.create_topics(&source, &[eager(topic, 2, "compact")]);
    let load = |seed| Load::records(5_000).values(1_000, 2_000).keys(2_500).nulls(0.0, 0.1).batches(8 << 10, 5).seed(seed);
    agent.produce(&source, topic, &load(1));
    let migration = lab.setup("drift").set("seed.rate_limit", "700KiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    migration.webhook.keep(agent.live(&source, &[topic], 150.0, &Load::records(0).values(100, 300).keys(120)));
    // Each run finds the source compacted further behind and before the place where it goes on.
    for round in 0..2 {
        let before = migration.copied(&target);
        let mut running = migration.spawn("execute");
        migration.wait_until_copied(&mut running, &target, before + 700, SOON);
        running.kill();
        agent.produce(&source, topic, &load(10 + round));
        std::thread::sleep(Duration::from_millis(1_000));
    }
    migration.execute();
    migration.cutover();
    migration.conclude();
    migration.expect_acknowledged_on(&target);
    assert!(migration.counted("hole_offsets") > 500);
    assert!(migration.counted("drifted_records") > 0, "nothing was compacted between an append and its proof");
    agent.expect_same_by_key(&source, &target, &[topic]);
    let by_key = all_records(&migration);
    assert!(by_key.0 == "PASSED" && by_key.1.contains("that only the target still has are superseded on the source"), "{by_key:?}");
    let verified = migration.expect_verified();
    assert_eq!(verified["outcome"], "PASSED", "{verified:#}");
    assert!(verified["not_covered"].to_string().contains("compacted away"));
    // The cleaner of the target goes over all of it.
    wait_until_cleaned(&target, topic, 0.35);
    agent.expect_same_by_key(&source, &target, &[topic]);
}

/// Outcome, reason and details of the check that stands for all records, in the last validation.
fn all_records(migration: &Migration) -> (String, String, String) {
    let report = migration.expect_fact("validated")["report"].clone();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "spot_check_records").unwrap().clone();
    (check["outcome"].as_str().unwrap().into(), check["reason"].as_str().unwrap().into(), check["details"].to_string())
}

/// What the source's cleaner takes away after the cutover is drift, and counted; a key that is gone from the target although nobody can have cleaned it away is
/// damage, and named.
#[test]
fn drift_is_told_from_damage_by_key() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let topic = "bykey-keys";
    agent.create_topics(&source, &[eager(topic, 1, "compact")]);
    hold_still(&source, topic);
    let value = |round: usize| Some(format!("{round} {}", "x".repeat(600)));
    let row = |round: usize, keys: std::ops::Range<usize>| keys.map(|key| (format!("key {key}"), value(round))).collect::<Vec<_>>();
    (0..4).for_each(|round| agent.put(&source, topic, &row(round, 0..30)));
    let migration = lab.setup("bykey").begin();
    migration.execute();
    migration.cutover();
    migration.run("cutover-ack").ok();
    migration.run("validate").ok();
    assert!(!all_records(&migration).1.contains("superseded"), "nothing was cleaned yet: {:?}", all_records(&migration));

    let eagerly = [("min.compaction.lag.ms", "0"), ("min.cleanable.dirty.ratio", "0.001")];
    agent.alter_topic_configs(&source, topic, &eagerly, &[]);
    wait_until_cleaned(&source, topic, 0.7);
    hold_still(&source, topic);
    std::thread::sleep(Duration::from_secs(2));
    let records = |bootstrap: &str| agent.dump(bootstrap, &[topic], false).values().map(|log| log.count).sum::<u64>();
    let (left, copied) = (records(&source), records(&target));
    migration.run("validate").ok();
    let drift = all_records(&migration);
    assert_eq!((drift.0.as_str(), copied), ("PASSED", 120), "{drift:?}");
    assert!(drift.1.contains(&format!("{left} records on both sides are equal, {} that only the target still has are superseded on the source", copied - left)), "{drift:?}");

    // The least segment.bytes of 4.x is a megabyte, so segments roll by time there. A tombstone and its key vanish from the target, and nothing is left to say that it was a client's doing.
    let lost = agent.read(&source, topic, true).into_iter().rev().find(|record| record.key_text() == "key 7").unwrap();
    agent.alter_topic_configs(&target, topic, &[&eagerly[..], &[("delete.retention.ms", "0"), ("segment.ms", "500")]].concat(), &[]);
    agent.put(&target, topic, &[("key 7", None::<&str>)]);
    let deadline = Instant::now() + SOON;
    let mut round = 4;
    while agent.read(&target, topic, true).iter().any(|record| record.key_text() == "key 7") {
        assert!(Instant::now() < deadline, "the target's cleaner leaves the key");
        agent.put(&target, topic, &row(round, 100..125));
        std::thread::sleep(Duration::from_secs(1));
        round += 1;
    }
    agent.alter_topic_configs(&target, topic, &[("delete.retention.ms", "86400000")], &[]);
    std::thread::sleep(Duration::from_secs(1));
    let outcome = migration.run("validate").expect_code(4);
    let damage = all_records(&migration);
    assert_eq!(damage.0, "FAILED", "{damage:?}");
    assert!(damage.1.contains("1 are missing or differ where cleaning does not explain it"), "{damage:?}");
    assert!(damage.2.contains(&format!("{topic}-0 at {}: the source has a record", lost.offset)), "{damage:?}");
    assert!(outcome.stdout.contains(&format!("{topic}-0 at {}", lost.offset)), "{outcome}");
    migration.run("finalize").expect_code(4);
}
