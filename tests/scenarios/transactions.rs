//! Transactional topics: consumers of either isolation level see on the target exactly what they see on the source.

use std::time::{Duration, Instant};

use crate::lab::proxy::{ADD_PARTITIONS_TO_TXN, END_TXN, PRODUCE, WRITE_TXN_MARKERS};
use crate::lab::{Agent, Load, Options, Topic, Weave};
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
    assert_eq!(migration.counted("aborted_records"), aborted);
    assert!(migration.counted("control_records") > 100);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
    let open = agent.offsets(&target).into_iter().filter(|((topic, _), span)| topic.starts_with(id) && span.last_stable != span.log_end);
    assert_eq!(open.count(), 0, "nothing is open on the target");
}

#[test]
fn transactions_are_seen_as_they_were() {
    woven(Lab::shared(), "woven");
}

/// Where the principal may not write markers by itself, empty transactions take their offsets.
#[test]
fn transactions_are_seen_as_they_were_where_only_coordinators_write_markers() {
    let lab = Lab::shared();
    let (source, agent) = (lab.source.bootstrap(), Agent::shared());
    let (first, second) = ("unmarked-orders", "unmarked-runs");
    agent.create_topics(&source, &[Topic::new(first, 3), Topic::new(second, 2)]);
    agent.weave(&source, &[first, second], &Weave::new("unmarked", 80), &Load::records(0).values(50, 400));
    // Control records in a row, without data between them.
    for round in 0..4 {
        let id = format!("unmarked-row-{round}");
        agent.begin_transaction(&source, &id, second, &Load::records(2).values(20, 30), 60_000);
    }
    for round in 0..4 {
        agent.end_transaction(&format!("unmarked-row-{round}"), round % 2 == 0);
    }
    lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, true));
    let migration = lab.setup("unmarked").target(&lab.target.proxied_bootstrap()).begin();
    migration.execute();
    migration.cutover();
    migration.conclude();
    lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, false));
    migration.expect_same(lab, &[first, second]);
    assert!(migration.counted("aborted_records") > 50 && migration.counted("control_records") > 30);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}

/// Every answer that belongs to transactions gets lost now and then.
#[test]
#[ignore = "slow: tests/full runs it"]
fn answers_about_transactions_are_lost_and_nothing_is_doubled() {
    let lab = Lab::shared();
    let (source, agent) = (lab.source.bootstrap(), Agent::shared());
    let topic = "unheard-orders";
    agent.create_topics(&source, &[Topic::new(topic, 2)]);
    let weave = Weave { burst: 40, ..Weave::new("unheard", 200) };
    agent.weave(&source, &[topic], &weave, &Load::records(0).values(900, 2_000).random());
    let migration = lab
        .setup("unheard")
        .target(&lab.target.proxied_bootstrap())
        .set("seed.rate_limit", "400KiB/s")
        .set("seed.segment_max_bytes", "1MiB")
        .begin();
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", SOON);
    let keys = [PRODUCE, ADD_PARTITIONS_TO_TXN, END_TXN, WRITE_TXN_MARKERS];
    let mut dropped = [0; 4];
    while running.is_running() && migration.fact("seed_completed").is_none() {
        for (count, key) in dropped.iter_mut().zip(keys) {
            for proxy in lab.target.proxies().iter().filter(|proxy| proxy.drops_left(key) == 0) {
                proxy.drop_responses(key, 1);
                *count += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(1_500));
    }
    println!("asked to drop {dropped:?} of {keys:?}");
    assert!(dropped.iter().all(|count| *count > 1), "{dropped:?}");
    for (key, proxy) in keys.iter().flat_map(|key| lab.target.proxies().iter().map(move |proxy| (*key, proxy))) {
        proxy.drop_responses(key, 0);
    }
    running.wait(LONG).ok();
    migration.finish();
    assert!(migration.counted("reprobes") > 2);
    migration.expect_same(lab, &[topic]);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}

/// One aborted transaction of which not all fits into memory, then a commit behind it.
fn long_aborted(lab: &Lab, id: &str) -> (Migration, String) {
    let (source, agent) = (lab.source.bootstrap(), Agent::shared());
    let topic = format!("{id}-long");
    agent.create_topics(&source, &[Topic::new(&topic, 1)]);
    agent.produce(&source, &topic, &Load::records(100));
    agent.begin_transaction(&source, id, &topic, &Load::records(16_000).values(1_000, 1_050).random(), 600_000);
    agent.produce(&source, &topic, &Load::records(500));
    agent.end_transaction(id, false);
    let migration = lab.setup(id).set("seed.rate_limit", "2MiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    let mut running = migration.spawn("execute");
    migration.wait_until_copied(&mut running, &lab.target.bootstrap(), 3_000, SOON);
    running.kill();
    let span = agent.offsets(&lab.target.bootstrap())[&(topic.clone(), 0)];
    assert!(span.last_stable < span.log_end && span.log_end < 16_000, "it was to be killed within the transaction: {span:?}");
    (migration, topic)
}

/// Killed in the middle of aborted data: the next run goes on within the same transaction.
#[test]
fn a_run_goes_on_within_the_transaction_that_a_killed_one_has_left_open() {
    let lab = Lab::shared();
    let (migration, topic) = long_aborted(lab, "within");
    migration.finish();
    expect_same_views(&migration, lab, &[&topic], 16_000);
    assert!(migration.fact("partition_quarantined").is_none());
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}

#[test]
fn a_rollback_leaves_no_transaction_open() {
    let lab = Lab::shared();
    let (migration, topic) = long_aborted(lab, "undone");
    migration.run("rollback").ok();
    assert!(!Agent::shared().offsets(&lab.target.bootstrap()).contains_key(&(topic, 0)));
    // A coordinator that still had it would write an abort marker into whatever has the name next.
    let open = Agent::shared().open_transactions(&lab.target.bootstrap());
    assert!(open.iter().all(|id| !id.contains("undone")), "{open:?}");
}

/// The target's coordinator loses patience with what a killed run has left open: the topic is made anew, and the result is the same.
#[test]
fn a_transaction_that_times_out_on_the_target_costs_its_topic_a_second_copy() {
    let target = Options::default().prop("transaction.max.timeout.ms", 5_000).prop("transaction.abort.timed.out.transaction.cleanup.interval.ms", 500);
    let lab = Lab::start(1, Options::default(), target);
    let (migration, topic) = long_aborted(&lab, "timed");
    let partition = (topic.clone(), 0);
    let deadline = Instant::now() + SOON;
    loop {
        let span = Agent::shared().offsets(&lab.target.bootstrap())[&partition];
        if span.last_stable == span.log_end {
            break;
        }
        assert!(Instant::now() < deadline, "{span:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let outcome = migration.run("execute");
    assert!(outcome.code == Some(1) && outcome.stderr.contains("KF-COPY-QUARANTINED") && outcome.stderr.contains(&topic), "{outcome}");
    migration.expect_fact("partition_quarantined");
    // As long as a transaction may last no longer than that here, the data has to go in time.
    let config = migration.dir().join("kferry.yaml");
    let text = std::fs::read_to_string(&config).unwrap().replace("rate_limit: 2MiB/s", "rate_limit: 50MiB/s");
    std::fs::write(&config, text).unwrap();
    migration.finish();
    expect_same_views(&migration, &lab, &[&topic], 16_000);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}

/// A run that is told to stop ends what it has begun: nothing waits for a coordinator's patience.
#[test]
fn an_interrupted_run_leaves_no_transaction_open() {
    let lab = Lab::shared();
    let (source, agent) = (lab.source.bootstrap(), Agent::shared());
    let topics = ["stopped-a", "stopped-b"];
    agent.create_topics(&source, &topics.map(|topic| Topic::new(topic, 2)));
    let weave = Weave { producers: 2, abort_ratio: 0.9, burst: 30, ..Weave::new("stopped", 500) };
    agent.weave(&source, &topics, &weave, &Load::records(0).values(900, 1_500).random());
    let migration = lab.setup("stopped").set("seed.rate_limit", "1MiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    for round in 0..3 {
        let before = migration.copied(&lab.target.bootstrap());
        let mut running = migration.spawn("execute");
        migration.wait_until_copied(&mut running, &lab.target.bootstrap(), before + 300, SOON);
        running.interrupt();
        let outcome = running.wait(SOON);
        assert_eq!(outcome.code, Some(130), "{outcome}");
        let open: Vec<String> = agent.open_transactions(&lab.target.bootstrap()).into_iter().filter(|id| id.contains("stopped")).collect();
        assert!(open.is_empty(), "round {round}: {open:?}");
    }
    migration.finish();
    migration.expect_same(lab, &topics);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}
