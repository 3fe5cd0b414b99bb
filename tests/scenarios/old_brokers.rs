//! Brokers of other times than the lab's own: what precheck refuses, and whole migrations from the oldest that it does not.

use std::time::Duration;

use crate::compacted::{hold_still, wait_until_cleaned};
use crate::lab::{Acl, Agent, Cluster, Consume, Load, Options, Topic, Weave};
use crate::migration::Lab;
use crate::survey::{Desk, expect_found, only};

#[test]
#[ignore = "slow: tests/full runs it"]
fn a_source_before_2_7_and_a_target_before_3_0_are_refused() {
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::zookeeper(1, Options::default().version("2.6.3")));
        (source.join().unwrap(), Cluster::zookeeper(1, Options::default().version("2.8.2")))
    });
    let (agent, source, target) = (Agent::shared(), source.bootstrap(), target.bootstrap());
    agent.create_topics(&source, &[Topic::new("aged-orders", 1)]);
    agent.produce(&source, "aged-orders", &Load::records(100));
    let outcome = Desk::new(&source, &target, &only(&["aged-orders"])).precheck().expect_code(4);
    expect_found(&outcome, "blocker", "KF-PRE-SOURCE-TOO-OLD", "source");
    expect_found(&outcome, "blocker", "KF-PRE-TARGET-TOO-OLD", "target");
}

/// Everything that a log can hold, with producers that go on and a transaction that is open while the copy passes by. What these brokers do not tell is a
/// finding: who writes, before 2.8 (DescribeProducers), and whose transactions are open, before 3.0 (ListTransactions).
fn whole_migration_from(version: &'static str, id: &str, older_than: &str) {
    let lab = Lab::start(1, Options::default().version(version).authorizer(), Options::default().authorizer());
    let (agent, source, target) = (Agent::shared(), lab.source.bootstrap(), lab.target.bootstrap());
    let name = |part: &str| format!("{id}-{part}");
    let names = ["orders", "states", "woven", "trimmed", "ahead"].map(name);
    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    let (weave, readers, open, late) = (name("weave"), name("readers"), name("open"), name("late"));
    let states = Topic::new(topics[1], 2).config("cleanup.policy", "compact").config("min.cleanable.dirty.ratio", 0.001).config("segment.bytes", 20 << 10);
    agent.create_topics(&source, &[Topic::new(topics[0], 3), states, Topic::new(topics[2], 2), Topic::new(topics[3], 1), Topic::new(topics[4], 1)]);
    agent.create_acls(&source, &[Acl::allow("User:shop", "WRITE", "TOPIC", topics[0])]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        agent.produce(&source, topics[0], &Load::records(2_000).values(100, 500).codec(codec).odd_headers());
    }
    agent.produce(&source, topics[1], &Load::records(4_000).values(50, 400).keys(150).nulls(0.0, 0.15).batches(4 << 10, 5));
    let woven = agent.weave(&source, &topics[2..4], &Weave::new(&weave, 150), &Load::records(0).values(50, 400));
    assert!(woven.aborted > 0, "{woven:?}");
    // Between the samples of a log, records that are dated ahead.
    let later = jiff::Timestamp::now().as_millisecond() + 48 * 3_600_000;
    for load in [Load::records(6_000), Load::records(5).timestamps(later, 1_000), Load::records(22_000)] {
        agent.produce(&source, topics[4], &load);
    }
    agent.delete_records(&source, topics[3], 0, 77);
    wait_until_cleaned(&source, topics[1], 0.6);
    hold_still(&source, topics[1]);
    std::thread::sleep(Duration::from_secs(1));
    agent.consume(&source, &Consume::to_end(&readers, &[topics[0], topics[2]]).records_per_partition(300).metadata("half way"));
    let committed = agent.group_offsets(&source, &readers);

    let migration = lab.setup(id).set("seed.segment_max_bytes", "1MiB").set("cutover.max_producer_freeze", "8s").begin();
    migration.webhook.keep(agent.live(&source, &topics[..1], 100.0, &Load::records(1)));
    migration.run("plan").ok();
    let unread = migration.precheck();
    assert!(unread.stdout.contains(&format!("(brokers older than {older_than} do not tell)")), "{unread}");
    expect_found(&unread, "warning", "KF-PRE-FUTURE-TIMESTAMPS", topics[4]);
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", Duration::from_secs(60));
    agent.begin_transaction(&source, &open, topics[2], &Load::records(40), 600_000);
    migration.wait_for_fact(&mut running, "tail_started", Duration::from_secs(60));
    agent.end_transaction(&open, false);
    running.wait(Duration::from_secs(120)).ok();

    // Whose transaction it is these brokers do not tell; that one is open they do.
    agent.begin_transaction(&source, &late, topics[2], &Load::records(20), 600_000);
    let told = migration.run("precheck");
    expect_found(&told, "warning", "KF-PRE-OPEN-TRANSACTIONS", topics[2]);
    assert!(told.stdout.contains(&format!("transaction of which cannot be told whose it is (the brokers are older than {older_than}")), "{told}");
    let refused = migration.run("cutover").expect_code(1);
    assert!(refused.stderr.contains("error[KF-TRANSACTION-OPEN]") && migration.webhook.events().is_empty(), "{refused}");
    agent.end_transaction(&late, true);
    migration.cutover();
    migration.conclude();

    migration.expect_acknowledged_on(&target);
    migration.expect_same(&lab, &topics);
    assert_eq!(agent.group_offsets(&target, &readers), committed);
    assert_eq!(agent.describe_acls(&target), agent.describe_acls(&source));
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn a_whole_migration_from_2_7() {
    whole_migration_from("2.7.2", "aged27", "2.8");
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn a_whole_migration_from_2_8() {
    whole_migration_from("2.8.2", "aged28", "3.0");
}
