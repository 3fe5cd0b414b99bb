//! Compacted topics: every record that compaction has left lies at its own offset on the target, and nothing else does.

use std::time::{Duration, Instant};

use crate::lab::{Agent, Load, Topic, Weave};
use crate::migration::Lab;

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
fn wait_until_cleaned(bootstrap: &str, topic: &str, share: f64) {
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
fn hold_still(bootstrap: &str, topic: &str) {
    Agent::shared().alter_topic_configs(bootstrap, topic, &[("min.compaction.lag.ms", "9000000000000"), ("min.cleanable.dirty.ratio", "1.0")], &[]);
}

/// Offsets of the topics that have no record, at neither isolation level.
fn offsets_without_records(bootstrap: &str, topics: &[&str]) -> u64 {
    Agent::shared().dump(bootstrap, topics, false).values().map(|p| (p.log_end - p.log_start) as u64 - p.count).sum()
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
    let verified = migration.expect_verified();
    assert_eq!(verified["outcome"], "PASSED", "{verified:#}");
    assert!(verified["not_covered"].to_string().contains("compacted away"));
    // The cleaner of the target goes over all of it.
    wait_until_cleaned(&target, topic, 0.35);
    agent.expect_same_by_key(&source, &target, &[topic]);
}
