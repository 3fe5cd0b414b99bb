//! `status` says where a migration stands, from the journal and while another process writes it.

use std::time::Duration;

use crate::finished::finished;
use crate::lab::{Agent, Load, Topic};
use crate::migration::Lab;

#[test]
fn status_follows_a_migration_and_never_disturbs_it() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("status-orders", 3)]);
    agent.produce(&source, "status-orders", &Load::records(12_000).values(900, 1_100).random());
    let migration = lab.setup("status").set("seed.rate_limit", "4MiB/s").set("seed.segment_max_bytes", "1MiB").begin();
    let missing = migration.run("status").expect_code(7);
    assert!(missing.stdout.contains("KF-JOURNAL-MISSING"), "{missing}");

    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", Duration::from_secs(60));
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(migration.status()["state"], "seed", "whoever only reads is not refused");
    running.wait(Duration::from_secs(120)).ok();
    let status = migration.status();
    assert_eq!(status["state"], "drain_ready");
    assert!(status.to_string().contains("kferry cutover"), "the next command is not named: {status:#}");
    let text = migration.kferry().run(&["status", "--config", "kferry.yaml", "--journal-dir", "journal"]).ok();
    for word in ["drain_ready", "kferry cutover", "status-orders"] {
        assert!(text.stdout.contains(word), "{word:?} is not said: {text}");
    }
    let lines = migration.facts().len();
    migration.status();
    assert_eq!(migration.facts().len(), lines, "status wrote to the journal");
    assert_eq!(finished().status()["state"], "finalized");
}
