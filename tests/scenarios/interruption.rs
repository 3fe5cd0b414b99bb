//! Interrupted by a signal: exit code 130, nothing half done on the target's groups, and the next run goes on.

use std::time::Duration;

use crate::lab::{Agent, Commit, Load, Topic};
use crate::migration::{BUCKET, Lab, Migration};

const SOON: Duration = Duration::from_secs(60);

fn prepared(id: &'static str) -> Migration {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, topic) = (lab.source.bootstrap(), format!("{id}-orders"));
    agent.create_topics(&source, &[Topic::new(&topic, 4)]);
    agent.produce(&source, &topic, &Load::records(24_000).values(900, 1_100).random());
    agent.commit_group_offsets(&source, &format!("{id}-readers"), &[Commit::new(&topic, 0, 1_000, "")]);
    let migration = lab.setup(id).set("seed.rate_limit", "4MiB/s").set("seed.segment_max_bytes", "1MiB").set("cutover.freeze_settle_window", "2s").begin();
    migration.webhook.keep(agent.live(&source, &[&topic], 50.0, &Load::records(0).seed(5)));
    migration
}

#[track_caller]
fn expect_no_groups(migration: &Migration) {
    let group = format!("{}-readers", migration.id());
    let committed = Agent::shared().group_offsets(&Lab::shared().target.bootstrap(), &group);
    assert!(committed.is_empty(), "the group has offsets on the target before the drain: {committed:?}");
}

fn conclude(migration: &Migration) {
    let lab = Lab::shared();
    migration.finish();
    migration.expect_acknowledged_on(&lab.target.bootstrap());
    migration.expect_same(lab, &[format!("{}-orders", migration.id())]);
    migration.expect_verified();
}

#[test]
fn in_seed_and_a_second_process_is_refused() {
    let migration = prepared("sigint");
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", SOON);
    std::thread::sleep(Duration::from_millis(1_500));
    for command in ["execute", "cutover", "rollback"] {
        let refused = migration.run(command).expect_code(7);
        assert!(refused.stderr.contains("KF-JOURNAL-LOCKED") && refused.stderr.contains(&running.pid().to_string()), "{refused}");
    }
    running.interrupt();
    let outcome = running.wait(Duration::from_secs(20)).expect_code(130);
    assert!(outcome.stderr.contains("KF-INTERRUPTED"), "{outcome}");
    assert!(outcome.took < Duration::from_secs(30));
    migration.expect_state("seed");
    expect_no_groups(&migration);

    // What the plan has settled does not change on the way: neither what is copied, nor where it is stored.
    let path = migration.dir().join("kferry.yaml");
    let configuration = std::fs::read_to_string(&path).unwrap();
    let bucket = format!("s3_bucket: {BUCKET}");
    for (planned, now, key) in [("  topics:\n", "  topics:\n    exclude: [\"sigint-none\"]\n", "topics.exclude was []"), (bucket.as_str(), "s3_bucket: kferry-elsewhere", "backup.s3_bucket was")] {
        std::fs::write(&path, configuration.replacen(planned, now, 1)).unwrap();
        let refused = migration.run("execute").expect_code(6);
        assert!(refused.stderr.contains("error[KF-CONFIG-CHANGED]") && refused.stderr.contains(key), "{refused}");
    }
    // What else is changed is told, and taken.
    std::fs::write(&path, configuration.replacen("drain_stable_window: 1s", "drain_stable_window: 1500ms", 1)).unwrap();

    let mut running = migration.spawn("execute");
    std::thread::sleep(Duration::from_millis(1_500));
    running.terminate();
    let outcome = running.wait(Duration::from_secs(20)).expect_code(130);
    assert!(outcome.stderr.contains("cutover.drain_stable_window_ms was 1000 and is 1500"), "{outcome}");
    migration.expect_state("seed");
    expect_no_groups(&migration);
    conclude(&migration);
    assert_eq!(migration.facts().iter().filter(|fact| fact["fact"] == "interrupted").count(), 2, "{:?}", migration.kinds());
}

#[test]
fn in_cutover() {
    let migration = prepared("sigterm");
    migration.execute();
    let before = migration.webhook.acknowledged();

    // While the producers are being stopped.
    migration.webhook.before(|event| {
        if event == "freeze" {
            std::thread::sleep(Duration::from_secs(3));
        }
    });
    let mut running = migration.spawn("cutover");
    migration.wait_for_fact(&mut running, "cutover_started", SOON);
    std::thread::sleep(Duration::from_millis(700));
    running.interrupt();
    running.wait(Duration::from_secs(30)).expect_code(130);
    expect_no_groups(&migration);
    migration.webhook.without_hook();

    // While the freeze is being proven.
    if migration.state() != Some("drain_ready") {
        migration.execute();
    }
    let mut running = migration.spawn("cutover");
    let frozen = migration.facts().iter().filter(|fact| fact["fact"] == "producers_frozen").count();
    let deadline = std::time::Instant::now() + SOON;
    while migration.facts().iter().filter(|fact| fact["fact"] == "producers_frozen").count() == frozen {
        assert!(running.is_running() && std::time::Instant::now() < deadline, "no freeze: {:?}", migration.kinds());
        std::thread::sleep(Duration::from_millis(20));
    }
    running.terminate();
    let outcome = running.wait(Duration::from_secs(30)).expect_code(130);
    expect_no_groups(&migration);
    assert!(migration.fact("cutover_committed").is_none(), "{outcome}");

    // Either way the producers go on at the source, and a later attempt comes through.
    let deadline = std::time::Instant::now() + Duration::from_secs(45);
    let stopped = migration.webhook.acknowledged();
    while migration.webhook.acknowledged() == stopped {
        assert!(std::time::Instant::now() < deadline, "the producers stay stopped: {:?}", migration.webhook.events());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(stopped > before);
    conclude(&migration);
    assert!(migration.expect_fact("cutover_committed")["report"]["attempt"].as_u64() > Some(1));
}
