//! What other tools change on the way stays what it was.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Agent, Load, Options, Topic};
use crate::migration::{Lab, Migration};

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(300);

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
    let counted: u64 = checkpoints(&migration, "stamp-single").iter().filter_map(|c| c["counts"]["append_time_batches"].as_u64()).sum();
    assert_eq!(counted, 300);

    // The topics' own settings are back.
    for topic in topics {
        let (settings, _) = agent.topic_configs(&target, topic);
        assert_eq!(settings["message.timestamp.type"], "LogAppendTime", "{topic}");
    }
}

/// The last checkpoint of each partition of a topic, in the order of their numbers.
fn checkpoints(migration: &Migration, topic: &str) -> Vec<Value> {
    migration.checkpoints().into_iter().filter(|checkpoint| checkpoint["topic"] == topic).collect()
}

#[test]
fn what_expires_on_the_source_in_mid_copy_is_named_and_nothing_is_invented() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let topic = "expire-bulk";
    agent.create_topics(&source, &[Topic::new(topic, 5)]);
    for partition in 0..5 {
        agent.produce(&source, topic, &Load::records(8_000).partition(partition).values(1_000, 1_050).random().codec("lz4"));
    }
    let migration = lab.setup("expire").set("seed.rate_limit", "3MiB/s").set("seed.segment_max_bytes", "1MiB").set("cutover.drain_stable_window", "6s").begin();
    migration.webhook.keep(agent.live(&source, &[topic], 100.0, &Load::records(0).values(60, 90)));
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "copy_checkpointed", SOON);
    // Far ahead of the copy and in the middle of a batch; to the very end; behind the copy; and what a killed process had appended.
    agent.delete_records(&source, topic, 0, 7_777);
    let end = agent.offsets(&source)[&(topic.to_owned(), 1)].log_end;
    agent.delete_records(&source, topic, 1, end);
    agent.delete_records(&source, topic, 2, 5);
    std::thread::sleep(Duration::from_millis(700));
    running.kill();
    let copied = agent.offsets(&target)[&(topic.to_owned(), 3)].log_end;
    assert!((1..7_000).contains(&copied), "{copied}");
    agent.delete_records(&source, topic, 3, copied - 1);
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "tail_started", LONG);
    agent.delete_records(&source, topic, 4, 7_999);
    running.wait(LONG).ok();
    migration.cutover();
    migration.conclude();

    migration.expect_acknowledged_on(&target);
    migration.expect_same(lab, &[topic]);
    let starts: Vec<i64> = (0..5).map(|p| agent.offsets(&target)[&(topic.to_owned(), p)].log_start).collect();
    assert_eq!(starts, [7_777, end, 5, copied - 1, 7_999]);
    let expired: Vec<u64> = checkpoints(&migration, topic).iter().map(|c| c["counts"]["expired_offsets"].as_u64().unwrap()).collect();
    assert!(expired[0] > 1_000 && expired[1] > 1_000, "what was never copied is not counted as such: {expired:?}");
    assert_eq!((expired[2], expired[4]), (0, 0), "what was copied before it expired is not lost: {expired:?}");
    let verified = migration.expect_verified();
    let not_covered = verified["not_covered"].to_string();
    for partition in [0, 1] {
        assert!(not_covered.contains(&format!("{topic}-{partition}: {} offsets", expired[partition])), "{not_covered}");
    }
}

/// A replica that had been away becomes the leader and its shorter log the truth: what was copied of the other one is no copy of this.
#[test]
fn an_unclean_election_on_the_source_is_noticed() {
    let lab = Lab::start(3, Options::default(), Options::default());
    let agent = Agent::shared();
    let (source, topic) = (lab.source.bootstrap(), "unclean-orders");
    let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
    agent.create_topics(&source, &[settings.iter().fold(Topic::new(topic, 1).replication(2), |t, (name, value)| t.config(name, value))]);
    agent.produce(&source, topic, &Load::records(500));
    let migration = lab.setup("unclean").set("cutover.drain_stable_window", "4m").begin();
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "tail_started", SOON);

    let row = agent.describe_topics(&source).into_iter().find(|row| row["topic"] == topic).expect("the topic is there");
    let leader = row["leader"].as_i64().unwrap() as i32;
    let follower = row["replicas"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap() as i32).find(|id| *id != leader).unwrap();
    lab.source.kill_broker(follower);
    agent.produce(&source, topic, &Load::records(50).prop("acks", "1").not_idempotent());
    let copied = || agent.offsets(&lab.target.bootstrap())[&(topic.to_owned(), 0)].log_end;
    let deadline = std::time::Instant::now() + SOON;
    while copied() < 550 {
        assert!(running.is_running() && std::time::Instant::now() < deadline, "{:?}", running.printed());
        std::thread::sleep(Duration::from_millis(100));
    }
    lab.source.kill_broker(leader);
    lab.source.start_broker(follower);
    let outcome = running.wait(LONG);
    assert!(outcome.code != Some(0) && outcome.stderr.contains("KF-SOURCE-DIVERGED") && outcome.stderr.contains(topic), "{outcome}");
    assert_eq!(copied(), 550, "nothing is built on a log that is no longer the source's");
    // It does not pass with time either.
    lab.source.start_broker(leader);
    lab.source.wait_ready();
    let outcome = migration.run("execute");
    assert!(outcome.code != Some(0) && outcome.stderr.contains("KF-SOURCE-DIVERGED"), "{outcome}");
}
