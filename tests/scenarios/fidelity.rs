//! What other tools change on the way stays what it was.

use std::time::Duration;

use crate::lab::{Agent, Load, Topic};
use crate::migration::Lab;

const SOON: Duration = Duration::from_secs(60);

/// Days before the broker's append time: whoever hands on the records' own times is found out.
const OLD: i64 = 5 * 24 * 3_600 * 1_000;

#[test]
fn append_times_stay_what_they_were() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let stamped = |name: &str, partitions| Topic::new(name, partitions).config("message.timestamp.type", "LogAppendTime").config("retention.ms", -1);
    let topics = ["stamp-bulk", "stamp-single", "stamp-later", "stamp-trimmed", "stamp-live"];
    agent.create_topics(
        &source,
        &[
            stamped(topics[0], 5),
            stamped(topics[1], 1),
            // Its first half keeps the producers' times.
            Topic::new(topics[2], 1).config("retention.ms", -1),
            stamped(topics[3], 1),
            stamped(topics[4], 2),
        ],
    );
    let first = jiff::Timestamp::now().as_millisecond() - OLD;
    for (partition, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let load = Load::records(3_000).partition(partition as i32).values(200, 900).codec(codec).odd_headers().nulls(0.1, 0.1);
        agent.produce(&source, topics[0], &load.timestamps(first, 7));
    }
    agent.produce(&source, topics[1], &Load::records(300).values(10, 60).one_record_batches().timestamps(first, 7));
    agent.produce(&source, topics[2], &Load::records(500).batches(4 << 10, 20).timestamps(first, 7));
    agent.alter_topic_configs(&source, topics[2], &[("message.timestamp.type", "LogAppendTime")], &[]);
    agent.produce(&source, topics[2], &Load::records(500).batches(4 << 10, 20).timestamps(first, 7));
    agent.produce(&source, topics[3], &Load::records(2_000).batches(32 << 10, 50).codec("lz4").timestamps(first, 7));
    agent.delete_records(&source, topics[3], 0, 777);

    let migration = lab.setup("stamp").set("seed.rate_limit", "2MiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    migration.webhook.keep(agent.live(&source, &topics[4..], 80.0, &Load::records(0).values(60, 90).timestamps(first, 3)));
    let outcome = migration.precheck();
    assert!(outcome.stdout.contains("KF-PRE-LOG-APPEND-TIME"), "{outcome}");
    // What was appended by a process that was killed is proven by the next one.
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "copy_checkpointed", SOON);
    running.kill();
    migration.execute();
    migration.cutover();
    migration.conclude();

    migration.expect_acknowledged_on(&target);
    let judged = agent.judge_but_timestamp_types(&source, &target, &topics);
    judged.expect_equal();
    assert!(judged.records() > 18_000, "{}", judged.records());
    assert!(!agent.judge(&source, &target, &topics).equal, "the type of the copied history differs, as the README says");

    let verified = migration.expect_verified();
    assert_eq!(verified["outcome"], "PASSED", "{verified:#}");
    let not_covered = verified["not_covered"].to_string();
    for topic in topics {
        assert!(not_covered.contains(&format!("topic {topic}: in ")), "{topic} is not named in {not_covered}");
    }
    let counted: u64 = migration
        .facts()
        .iter()
        .rfind(|fact| fact["fact"] == "copy_checkpointed" && fact.to_string().contains("stamp-single"))
        .into_iter()
        .flat_map(|fact| fact["partitions"].as_array().cloned().unwrap_or_default())
        .filter(|partition| partition["topic"] == "stamp-single")
        .filter_map(|partition| partition["counts"]["append_time_batches"].as_u64())
        .sum();
    assert_eq!(counted, 300);

    // The topics' own settings are back.
    for topic in topics {
        let (settings, _) = agent.topic_configs(&target, topic);
        assert_eq!(settings["message.timestamp.type"], "LogAppendTime", "{topic}");
    }
}
