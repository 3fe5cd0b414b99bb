//! What the target would refuse as it is: batches that are too large, and records dated in the future.

use std::sync::OnceLock;
use std::time::Duration;

use crate::lab::{Agent, Cluster, Load, Options, Topic, Weave};
use crate::migration::Lab;

const SOON: Duration = Duration::from_secs(60);

/// What a request to the small target may take; a batch may take three quarters of it, less a header.
const REQUEST_BYTES_MAX: i64 = 400_000;
const BATCH_BYTES_MAX: u64 = 300_000 - 1024;

/// A target whose brokers take small requests.
fn small() -> &'static Cluster {
    static SMALL: OnceLock<Cluster> = OnceLock::new();
    SMALL.get_or_init(|| Cluster::kraft(1, Options::default().prop("socket.request.max.bytes", REQUEST_BYTES_MAX)))
}

fn large(name: &str, partitions: u32) -> Topic {
    Topic::new(name, partitions).config("max.message.bytes", 3_000_000).config("retention.ms", -1)
}

/// Batches several times as large as the target's requests, of plain records, with append times, and of transactions, go in parts, and two runs are killed meanwhile. Records
/// dated ahead keep their dates, and the limit on those is the source's afterwards.
#[test]
fn batches_larger_than_the_targets_requests_keep_every_record_at_its_offset() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), small().bootstrap());
    let topics = ["large-plain", "large-bare", "large-stamped", "large-woven", "large-ahead"];
    let stamped = large(topics[2], 1).config("message.timestamp.type", "LogAppendTime");
    agent.create_topics(&source, &[large(topics[0], 2), large(topics[1], 1), stamped, large(topics[3], 1), large(topics[4], 1)]);
    let load = |records, seed| Load::records(records).values(2_000, 9_000).random().batches(1 << 20, 300).nulls(0.05, 0.05).odd_headers().seed(seed);
    agent.produce(&source, topics[0], &load(1_100, 1).codec("lz4"));
    agent.produce(&source, topics[1], &load(160, 2));
    agent.produce(&source, topics[2], &load(160, 3).codec("gzip"));
    agent.weave(&source, &[topics[3]], &Weave { burst: 120, ..Weave::new("large", 4) }, &load(0, 4).codec("zstd"));
    let ahead = jiff::Timestamp::now().as_millisecond() + 48 * 3_600_000;
    agent.produce(&source, topics[4], &load(60, 5).timestamps(ahead, 1_000).codec("snappy"));

    let migration = lab.setup("large").target(&target).set("seed.rate_limit", "3MiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    let outcome = migration.precheck();
    for code in ["KF-PRE-REQUEST-SIZE", "KF-PRE-FUTURE-TIMESTAMPS"] {
        assert!(outcome.stdout.contains(code), "{outcome}");
    }
    let mut running = migration.spawn("execute");
    migration.wait_until_copied(&mut running, &target, 200, SOON);
    running.kill();
    let mut running = migration.spawn("execute");
    let before = migration.copied(&target);
    migration.wait_until_copied(&mut running, &target, before + 120, SOON);
    running.kill();
    migration.execute();
    // There is enough to see how fast the source hands it out.
    let plan = migration.expect_fact("migration_planned")["plan"].clone();
    assert!(plan["estimate"]["basis"].as_str().unwrap().contains("(seed.rate_limit; the source was read at "), "{}", plan["estimate"]["basis"]);
    agent.produce(&source, topics[0], &load(150, 6).codec("zstd"));
    migration.cutover();
    migration.conclude();

    agent.judge_but_timestamp_types(&source, &target, &topics).expect_equal();
    assert!(migration.counted("oversized_batches") > 5, "{:?}", migration.fact("copy_checkpointed"));
    assert!(migration.counted("aborted_records") > 0);
    let counted: u64 = migration.evidence()["comparison"]["topics"].as_array().unwrap().iter().map(|t| t["counted"]["oversized_batches"].as_u64().unwrap_or(0)).sum();
    assert_eq!(counted, migration.counted("oversized_batches"));
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
    let after_max = |bootstrap: &str| agent.topic_configs(bootstrap, topics[4]).1["message.timestamp.after.max.ms"].clone();
    assert_eq!((after_max(&source), after_max(&target)), (i64::MAX.to_string(), i64::MAX.to_string()));
}

/// One record that is too large by itself stops its partition by name, and blocks the next precheck, which sees it.
#[test]
fn a_record_that_is_too_large_by_itself_is_refused_by_name() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), small().bootstrap());
    let topic = "huge-plain";
    agent.create_topics(&source, &[large(topic, 1)]);
    agent.produce(&source, topic, &Load::records(50));
    let migration = lab.setup("huge").target(&target).begin();
    assert!(!migration.precheck().stdout.contains("KF-PRE-RECORD-SIZE"));
    migration.execute();
    agent.produce(&source, topic, &Load::records(1).values(350_000, 350_000).random());
    let outcome = migration.run("execute").expect_code(4);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("KF-COPY-RECORD-SIZE") && said.contains("the record at offset 50") && said.contains(&BATCH_BYTES_MAX.to_string()), "{outcome}");
    assert_eq!(migration.copied(&target), 50, "nothing behind it was copied");
    let outcome = migration.run("precheck").expect_code(4);
    assert!(outcome.stdout.contains("KF-PRE-RECORD-SIZE") && outcome.stdout.contains("the record at offset 50 of partition 0"), "{outcome}");
    migration.run("rollback").ok();
}
