//! `status`: a reader that disturbs nobody, and says where a migration stands from its first run to its end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{Agent, Commit, Load, Topic, process};
use crate::migration::{Lab, Migration};

const SOON: Duration = Duration::from_secs(60);

fn text(migration: &Migration) -> String {
    migration.kferry().run(&["status", "--config", "kferry.yaml", "--journal-dir", "journal"]).ok().stdout
}

fn partition<'a>(status: &'a Value, topic: &str, number: i64) -> &'a Value {
    let list = status["partitions"].as_array().expect("a list of partitions");
    list.iter().find(|p| p["topic"] == topic && p["partition"] == number).unwrap_or_else(|| panic!("no {topic}-{number}: {status:#}"))
}

#[test]
fn all_through_a_migration() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new("status-orders", 3)]);
    agent.produce(&source, "status-orders", &Load::records(60_000).values(400, 400).random());
    agent.commit_group_offsets(&source, "status-readers", &[Commit::new("status-orders", 0, 17, "kept")]);
    agent.hold_group(&source, "status-held", &["status-orders"]);
    // Slow enough to be looked at: some 26 MB at 1 MB/s.
    let migration = lab.setup("status").set("seed.rate_limit", "1MB/s").begin();
    migration.kferry().run(&["status", "--config", "kferry.yaml", "--journal-dir", "journal"]).expect_code(7);

    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", SOON);
    let mut seen = migration.status();
    let deadline = Instant::now() + SOON;
    while seen["progress"]["records_done"] == 0 {
        assert!(Instant::now() < deadline, "nothing is copied: {seen:#}");
        std::thread::sleep(Duration::from_millis(300));
        seen = migration.status();
    }
    println!("{}", text(&migration));
    assert_eq!((&seen["state"], &seen["running_pid"]), (&json!("seed"), &json!(running.pid())), "{seen:#}");
    assert_eq!(seen["waiting_because"], json!([]), "{seen:#}");
    let (done, total) = (seen["progress"]["records_done"].as_u64().unwrap(), seen["progress"]["records_total"].as_u64().unwrap());
    assert!(0 < done && done < total && total == 60_000, "{seen:#}");
    let worst: Vec<i64> = seen["partitions"].as_array().unwrap().iter().map(|p| p["lag_records"].as_i64().unwrap()).collect();
    assert!(worst.is_sorted_by(|a, b| a >= b) && worst.iter().sum::<i64>() as u64 == total - done, "{seen:#}");
    let watcher = migration.kferry();
    let mut watching = watcher.spawn(&["status", "--config", "kferry.yaml", "--journal-dir", "journal", "--watch", "--output", "json"]);
    watching.wait_until(SOON, |stdout, _| stdout.lines().count() >= 2);
    running.interrupt();
    running.wait(SOON).expect_code(130);
    let idle = migration.status();
    assert!(idle["running_pid"].is_null() && idle["waiting_because"][0] == "no kferry process is at work on this journal", "{idle:#}");
    assert_eq!(idle["next_command"], "kferry execute --config kferry.yaml --journal-dir journal", "{idle:#}");
    watching.interrupt();
    let watched = watching.wait(SOON).expect_code(130);
    let lines: Vec<Value> = watched.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|s| s["migration_id"] == migration.id()) && lines.len() >= 2, "{watched}");

    let path = migration.dir().join("kferry.yaml");
    let faster = std::fs::read_to_string(&path).unwrap().replace("1MB/s", "100MB/s");
    std::fs::write(&path, faster).unwrap();
    migration.execute();
    let ready = migration.status();
    assert_eq!((&ready["state"], &ready["progress"]["lag_records"]), (&json!("drain_ready"), &json!(0)), "{ready:#}");
    assert_eq!(partition(&ready, "status-orders", 0)["next_offset"], partition(&ready, "status-orders", 0)["source_end"]);
    // What comes now is lag at once, though no process is there to journal it.
    agent.produce(&source, "status-orders", &Load::records(5).partition(1));
    let behind = migration.status();
    assert_eq!((partition(&behind, "status-orders", 1)["lag_records"].as_i64(), behind["partitions"][0]["partition"].as_i64()), (Some(5), Some(1)), "{behind:#}");
    assert!(text(&migration).contains("status-orders-1: 5 behind"));
    let group = |status: &Value, id: &str| status["groups"].as_array().unwrap().iter().find(|g| g["group_id"] == id).cloned().unwrap_or_default();
    assert_eq!(group(&ready, "status-held")["members_on_source"], 1, "{ready:#}");

    migration.cutover();
    let switched = migration.status();
    assert_eq!(switched["state"], "awaiting_client_switch");
    assert_eq!(group(&switched, "status-readers")["outcome"], "carried_over");
    assert_eq!(group(&switched, "status-held")["members_on_source"], 1, "{switched:#}");
    assert!(switched["committed"]["freeze_ms"].as_u64().is_some() && switched["progress"]["lag_records"].is_null(), "{switched:#}");
    agent.release_group(&source, "status-held");
    agent.hold_group(&target, "status-held", &["status-orders"]);
    let moved = migration.status();
    let held = group(&moved, "status-held");
    assert_eq!((&held["members_on_source"], &held["members_on_target"]), (&json!(0), &json!(1)), "{moved:#}");
    println!("{}", text(&migration));
    agent.release_group(&target, "status-held");
    // A source that is gone is said to be, and soon.
    let unreachable = std::fs::read_to_string(migration.dir().join("kferry.yaml")).unwrap().replace(&source, &format!("127.0.0.1:{}", process::free_port()));
    std::fs::write(migration.dir().join("elsewhere.yaml"), unreachable).unwrap();
    let outcome = migration.kferry().run(&["status", "--config", "elsewhere.yaml", "--journal-dir", "journal", "--output", "json"]).ok();
    assert!(outcome.json()["waiting_because"].to_string().contains("the source cannot be read") && outcome.took < Duration::from_secs(8), "{outcome}");
}
