//! Brokers, connections and the store fail in the middle: kferry waits, says why, goes on, and loses and doubles nothing.

use std::time::{Duration, Instant};

use crate::lab::proxy::SLOW_DOWN;
use crate::lab::{Agent, Cluster, Fault, FaultProxy, KafkaProxy, Load, Options, Running, Topic, Weave};
use crate::migration::{Lab, Migration, full};

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(400);

/// Two topics with a live producer on both, slow enough that SEED and TAIL can be hit.
fn topics(source: &str, id: &str, replication: u32, megabytes: u64) -> Vec<String> {
    let agent = Agent::shared();
    let topics = [Topic::new(&format!("{id}-bulk"), 6), Topic::new(&format!("{id}-single"), 2)].map(|t| t.replication(replication));
    agent.create_topics(source, &topics);
    agent.produce(source, &format!("{id}-bulk"), &Load::records(megabytes << 10).values(1_000, 1_050).random().codec("lz4"));
    agent.produce(source, &format!("{id}-single"), &Load::records(400).values(50, 90).one_record_batches());
    // Decided transactions, so that markers and aborted data are on their way too.
    let woven = Weave { burst: 60, ..Weave::new(id, 120) };
    agent.weave(source, &[&format!("{id}-bulk")], &woven, &Load::records(0).values(1_000, 3_000).random());
    topics.map(|t| t.name).into()
}

fn live(migration: &Migration, source: &str, topics: &[String]) {
    let load = Load::records(0).values(100, 200).codec("zstd").seed(11).prop("delivery.timeout.ms", 300_000).prop("retries", i32::MAX);
    migration.webhook.keep(Agent::shared().live(source, topics, 100.0, &load));
}

fn conclude(migration: &Migration, lab: &Lab, topics: &[String]) {
    migration.finish();
    migration.expect_acknowledged_on(&lab.target.bootstrap());
    migration.expect_same(lab, topics);
    migration.expect_verified();
}

/// Waits until some of SEED is done, but not all.
fn wait_into_seed(migration: &Migration, running: &mut Running) {
    migration.wait_for_fact(running, "seed_started", SOON);
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(migration.fact("seed_completed").is_none(), "SEED is over too soon for this scenario");
}

/// A broker goes with SIGKILL and comes back after so long.
fn bounce(cluster: &Cluster, broker: i32, away: Duration) {
    cluster.kill_broker(broker);
    std::thread::sleep(away);
    cluster.start_broker(broker);
    cluster.wait_ready();
}

fn brokers_bounce(lab: &Lab, id: &str, brokers: &[i32], replication: u32, away: Duration) {
    let source = lab.source.bootstrap();
    let topics = topics(&source, id, replication, 40);
    let migration = lab.setup(id).set("seed.rate_limit", "3MiB/s").set("seed.segment_max_bytes", "1MiB").set("cutover.drain_stable_window", "6s").begin();
    live(&migration, &source, &topics);
    let mut running = migration.spawn("execute");
    wait_into_seed(&migration, &mut running);
    for cluster in [&lab.source, &lab.target] {
        let step = Instant::now();
        bounce(cluster, brokers[0], away);
        println!("SEED: {:?} broker {} was away for {:.1?}", cluster.mode(), brokers[0], step.elapsed());
    }
    migration.wait_for_fact(&mut running, "tail_started", LONG);
    for cluster in [&lab.source, &lab.target] {
        let step = Instant::now();
        bounce(cluster, brokers[brokers.len() - 1], away);
        println!("TAIL: {:?} broker {} was away for {:.1?}", cluster.mode(), brokers[brokers.len() - 1], step.elapsed());
    }
    let outcome = running.wait(LONG).ok();
    println!("execute went through in {:.1?}", outcome.took);
    for cluster in [&lab.source, &lab.target] {
        Agent::shared().wait_in_sync(&cluster.bootstrap(), SOON);
    }
    conclude(&migration, lab, &topics);
}

#[test]
fn the_only_broker_of_either_side_is_killed_and_brought_back() {
    brokers_bounce(Lab::shared(), "bounce", &[1], 1, Duration::from_secs(1));
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn one_of_three_brokers_of_either_side_is_killed_and_brought_back() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    let lab = Lab::start(3, Options::default(), Options::default());
    brokers_bounce(&lab, "bounce", &[1, 2], 3, Duration::from_secs(20));
}

/// While `running` goes on, each proxy drops a produce response every now and then.
fn drop_answers(running: &mut Running, proxies: &[KafkaProxy], count: u64) {
    let deadline = Instant::now() + LONG;
    for round in 0..count {
        proxies[(round % proxies.len() as u64) as usize].drop_produce_responses(1);
        let before: u64 = proxies.iter().map(KafkaProxy::produce_responses_dropped).sum();
        while running.is_running() && proxies.iter().map(KafkaProxy::produce_responses_dropped).sum::<u64>() == before {
            assert!(Instant::now() < deadline, "no produce goes through the proxies any more");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn produce_answers_are_lost_and_nothing_is_doubled() {
    answers_are_lost("answers", 5);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn produce_answers_are_lost_again_and_again_and_nothing_is_doubled() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    answers_are_lost("moreanswers", 20);
}

#[track_caller]
fn answers_are_lost(id: &str, rounds: u64) {
    let lab = Lab::shared();
    let source = lab.source.bootstrap();
    let topics = topics(&source, id, 1, 24);
    let migration = lab
        .setup(id)
        .target(&lab.target.proxied_bootstrap())
        .set("seed.rate_limit", "3MiB/s")
        .set("seed.segment_max_bytes", "1MiB")
        .set("cutover.drain_stable_window", "5s")
        .begin();
    live(&migration, &source, &topics);
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", SOON);
    let dropped = || lab.target.proxies().iter().map(KafkaProxy::produce_responses_dropped).sum::<u64>();
    drop_answers(&mut running, lab.target.proxies(), rounds);
    let in_seed = dropped();
    assert!(lab.target.proxies().iter().map(KafkaProxy::cut).sum::<usize>() > 0);
    migration.wait_for_fact(&mut running, "tail_started", LONG);
    drop_answers(&mut running, lab.target.proxies(), 3);
    println!("{in_seed} answers were lost in SEED, {} in TAIL", dropped() - in_seed);
    assert!(in_seed >= rounds && dropped() > in_seed);
    running.wait(LONG).ok();
    lab.target.proxies().iter().for_each(|proxy| proxy.drop_produce_responses(0));
    conclude(&migration, lab, &topics);
    let reprobes: u64 = migration
        .facts()
        .iter()
        .filter(|fact| fact["fact"] == "copy_checkpointed")
        .flat_map(|fact| fact["partitions"].as_array().cloned().unwrap_or_default())
        .filter_map(|partition| partition["counts"]["reprobes"].as_u64())
        .max()
        .unwrap_or(0);
    assert!(reprobes > 0, "no partition says that it looked at the log end after a lost answer");
}

#[test]
#[ignore = "slow: tests/full runs it, and for minutes"]
fn the_store_refuses_fails_crawls_and_cuts_uploads_off() {
    store_fails("store", 100, Duration::from_secs(10));
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn the_store_refuses_fails_crawls_and_cuts_uploads_off_for_minutes() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    store_fails("longstore", 400, Duration::from_secs(60));
}

#[track_caller]
fn store_fails(id: &str, megabytes: u64, fault_lasts: Duration) {
    let lab = Lab::shared();
    let source = lab.source.bootstrap();
    let topics = topics(&source, id, 1, megabytes);
    let proxy = FaultProxy::start(lab.s3.port());
    let migration = lab.setup(id).store_through(&proxy).set("seed.rate_limit", "3MiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    live(&migration, &source, &topics);
    let mut running = migration.spawn("execute");
    wait_into_seed(&migration, &mut running);
    for fault in [Fault::Refuse, SLOW_DOWN, Fault::CutAfter { upload_bytes: 200_000 }, Fault::Slow { bytes_per_second: 50_000 }] {
        let (step, said) = (Instant::now(), running.printed().1.len());
        proxy.set(fault);
        while step.elapsed() < fault_lasts {
            assert!(running.is_running(), "it gave up under {fault:?}: {:?}", running.printed());
            std::thread::sleep(Duration::from_millis(100));
        }
        proxy.set(Fault::Pass);
        proxy.cut();
        let stderr = running.printed().1;
        let since = &stderr[said..];
        // An upload that crawls is no failure; that it takes its time is all there is to say.
        if !matches!(fault, Fault::Slow { .. }) {
            let told = since.lines().any(|line| line.contains("store") && (line.contains("wait") || line.contains("attempt")));
            assert!(told, "under {fault:?} it does not say that it waits for the store:\n{since}");
        }
        assert!(migration.fact("seed_completed").is_none(), "SEED is over too soon for {fault:?}");
        std::thread::sleep(Duration::from_secs(1));
    }
    println!("{} connections were hit", proxy.faulted());
    assert!(proxy.faulted() >= 3);
    running.wait(LONG).ok();
    conclude(&migration, lab, &topics);
}

#[test]
fn a_store_that_is_not_there_is_said_before_anything_begins() {
    let lab = Lab::shared();
    Agent::shared().create_topics(&lab.source.bootstrap(), &[Topic::new("nostore-plain", 1)]);
    let proxy = FaultProxy::start(lab.s3.port());
    proxy.set(Fault::Refuse);
    let migration = lab.setup("nostore").store_through(&proxy).begin();
    let outcome = migration.run("precheck");
    assert!(matches!(outcome.code, Some(4 | 10)) && outcome.stdout.contains("STORE"), "{outcome}");
    let outcome = migration.run("execute");
    assert!(matches!(outcome.code, Some(4 | 10)), "{outcome}");
    assert!(!Agent::shared().list_topics(&lab.target.bootstrap()).contains(&"nostore-plain".to_owned()), "{outcome}");
    proxy.set(Fault::Pass);
    migration.precheck();
}

fn topic_id(bootstrap: &str, topic: &str) -> serde_json::Value {
    let found = Agent::shared().describe_topics(bootstrap).into_iter().find(|t| t["topic"] == topic);
    found.expect("the topic is there")["topic_id"].clone()
}

/// Runs `execute` until it sees that partition 3 of the first topic does not hold what it sent; what is done to the target
/// meanwhile is `disturb`'s.
fn quarantine(lab: &Lab, id: &str, disturb: impl FnOnce(&str, &str)) -> (Migration, Vec<String>) {
    let source = lab.source.bootstrap();
    let topics = topics(&source, id, 1, 16);
    let migration = lab.setup(id).set("seed.rate_limit", "3MiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    live(&migration, &source, &topics);
    let mut running = migration.spawn("execute");
    wait_into_seed(&migration, &mut running);
    disturb(&lab.target.bootstrap(), &topics[0]);
    let outcome = running.wait(LONG).expect_code(1);
    assert!(outcome.stderr.contains("KF-COPY-QUARANTINED") && outcome.stderr.contains(&topics[0]), "{outcome}");
    assert_eq!(migration.expect_fact("partition_quarantined")["topic"], topics[0].as_str());
    (migration, topics)
}

#[test]
fn a_topic_that_lost_its_records_on_the_target_is_made_anew() {
    let lab = Lab::shared();
    let (migration, topics) = quarantine(lab, "lost", |target, topic| {
        Agent::shared().delete_topics(target, &[topic]);
        Agent::shared().create_topics(target, &[Topic::new(topic, 6)]);
    });
    let before = topic_id(&lab.target.bootstrap(), &topics[0]);
    let outcome = migration.execute();
    assert!(outcome.stderr.contains("lost-bulk is created anew"), "{outcome}");
    assert_ne!(topic_id(&lab.target.bootstrap(), &topics[0]), before);
    assert!(migration.kinds().contains(&"effect_completed:recreate_topic".to_owned()), "{:?}", migration.kinds());
    conclude(&migration, lab, &topics);
}

/// What was copied, proven and deleted again is noticed before the cutover stands.
#[test]
fn a_log_that_was_trimmed_on_the_target_is_made_anew() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let topics = ["trimmed-mapped", "trimmed-plain"];
    agent.create_topics(&source, &topics.map(|topic| Topic::new(topic, 1)));
    for topic in topics {
        agent.produce(&source, topic, &Load::records(500));
    }
    agent.delete_records(&source, topics[0], 0, 100);
    let migration = lab.setup("trimmed").set("topics.mapped", "[trimmed-mapped]").begin();
    migration.execute();
    for topic in topics {
        agent.delete_records(&target, topic, 0, 7);
    }
    let outcome = migration.run("cutover").expect_code(1);
    assert!(outcome.stderr.contains("KF-COPY-QUARANTINED") && outcome.stderr.contains("somebody has deleted records there (and 1 more)"), "{outcome}");
    migration.expect_state("tail");
    let outcome = migration.execute();
    assert!(topics.iter().all(|topic| outcome.stderr.contains(&format!("{topic} is created anew"))), "{outcome}");
    migration.cutover();
    migration.conclude();
    migration.expect_same(lab, &topics[1..]);
    agent.judge_mapped(&source, &target, &topics[..1], &[]).0.expect_equal();
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}

#[test]
fn a_record_of_somebody_else_on_the_target_is_neither_built_upon_nor_deleted() {
    let lab = Lab::shared();
    let target = lab.target.bootstrap();
    let (migration, topics) = quarantine(lab, "stray", |target, topic| {
        Agent::shared().produce(target, topic, &Load::records(1).partition(3));
    });
    assert_eq!(migration.expect_fact("partition_quarantined")["partition"], 3);
    let before = topic_id(&target, &topics[0]);
    for (command, code) in [("execute", 1), ("rollback", 7)] {
        let outcome = migration.run(command).expect_code(code);
        assert!(outcome.stderr.contains("stray-bulk-3: the batch at offset") && outcome.stderr.contains("producer id"), "{outcome}");
    }
    assert_eq!(topic_id(&target, &topics[0]), before);
    Agent::shared().delete_topics(&target, &topics[..1]);
    migration.execute();
    conclude(&migration, lab, &topics);
}
