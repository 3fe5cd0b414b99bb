//! What a plan predicts, beside what then happens; and the plan's files as a reader gets them.

use regex_lite::Regex;
use serde_json::Value;

use crate::lab::{Agent, Commit, Load, Options, Topic, Weave};
use crate::migration::{Lab, Migration};

/// Panics unless one is at most twice the other; below `few`, anything may be anything.
#[track_caller]
fn expect_within_factor_two(what: &str, pair: &Value, few: u64) {
    let (predicted, outcome) = (pair["predicted"].as_u64().unwrap(), pair["outcome"].as_u64().unwrap());
    println!("{what}: {predicted} predicted, {outcome} in the end");
    let (small, large) = (predicted.min(outcome), predicted.max(outcome));
    assert!(large <= 2 * small || large <= few, "{what}: {predicted} predicted, {outcome} in the end");
}

fn comparison(migration: &Migration) -> Value {
    migration.status()["comparison"].clone()
}

#[test]
fn what_a_plan_counts_is_within_a_factor_of_two() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    let topics = ["estimate-plain", "estimate-woven", "estimate-trimmed"];
    agent.create_topics(&source, &[Topic::new(topics[0], 3), Topic::new(topics[1], 2), Topic::new(topics[2], 2)]);
    agent.produce(&source, topics[0], &Load::records(20_000).values(100, 900).codec("lz4"));
    let woven = agent.weave(&source, &[topics[1]], &Weave { burst: 20, ..Weave::new("estimate", 400) }, &Load::records(0).values(100, 300).batches(4 << 10, 5));
    agent.produce(&source, topics[2], &Load::records(4_000).values(200, 200));
    agent.delete_records(&source, topics[2], 0, 1_500);
    agent.commit_group_offsets(&source, "estimate-readers", &[Commit::new(topics[0], 0, 17, "")]);

    let migration = lab.setup("estimate").begin();
    migration.execute();
    migration.cutover();
    let compared = comparison(&migration);
    let of = |topic: &str| compared["topics"].as_array().unwrap().iter().find(|t| t["topic"] == topic).unwrap().clone();
    for topic in topics {
        for number in ["offsets", "records", "bytes"] {
            expect_within_factor_two(&format!("{topic}: {number}"), &of(topic)[number], 0);
        }
        expect_within_factor_two(&format!("{topic}: prefix fillers"), &of(topic)["prefix_fillers"], 0);
    }
    // Thousands of markers would be none if nobody had looked for them.
    let markers = &of(topics[1])["control_records"];
    assert!(markers["outcome"].as_u64().unwrap() >= woven.transactions, "{markers}, {woven:?}");
    expect_within_factor_two("markers", markers, 0);
    assert_eq!(of(topics[2])["prefix_fillers"]["predicted"], 1_500);
    // How long a freeze takes is told by its parts, which are its sum; how long it took is for tests/full.
    let estimate = &migration.expect_fact("migration_planned")["plan"]["estimate"];
    let parts: u64 = estimate["freeze"].as_object().unwrap().values().map(|ms| ms.as_u64().unwrap()).sum();
    assert_eq!(estimate["freeze_ms"], parts);
    assert!(estimate["freeze"]["settle_ms"] == 300 && estimate["freeze"]["groups_ms"].as_u64() > Some(0), "{estimate:#}");
    assert_eq!(compared["freeze_ms"]["predicted"], parts);
    assert_eq!((&estimate["sampling"]["partitions"], &estimate["sampling"]["cut_short"]), (&7.into(), &false.into()), "{estimate:#}");
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn a_seed_at_a_given_rate_and_its_freeze_take_what_was_predicted_within_a_factor_of_two() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("medium-log", 12)]);
    for seed in 0..3 {
        agent.produce(&source, "medium-log", &Load::records(130_000).values(300, 700).codec("none").batches(256 << 10, 20).seed(seed));
    }
    for group in 0..20 {
        agent.commit_group_offsets(&source, &format!("medium-{group}"), &[Commit::new("medium-log", 0, 17, "")]);
    }
    let live = agent.live(&source, &["medium-log"], 500.0, &Load::records(0).values(300, 700));
    // The rate decides, not the machine nor the build: those are the benchmark's affair, which prints prediction and outcome too.
    let migration = lab.setup("medium").set("seed.segment_max_bytes", "16MiB").set("seed.rate_limit", "8MB/s").begin();
    migration.run("plan").ok();
    println!("{}", std::fs::read_to_string(migration.dir().join("plan/runbook.md")).unwrap().lines().take(25).collect::<Vec<_>>().join("\n"));
    migration.execute();
    live.stop();
    migration.cutover();
    let (compared, plan) = (comparison(&migration), migration.expect_fact("migration_planned")["plan"]["estimate"].clone());
    println!("{plan:#}");
    expect_within_factor_two("seed_seconds", &compared["seed_seconds"], 0);
    expect_within_factor_two("freeze_ms", &compared["freeze_ms"], 0);
    expect_within_factor_two("bytes", &compared["topics"][0]["bytes"], 0);
    let per_second = plan["written"]["records"].as_u64().unwrap() * 1_000 / plan["written"]["window_ms"].as_u64().unwrap();
    assert!((250..=1_000).contains(&per_second), "producers wrote 500 records a second, the plan saw {per_second}");
}

/// Takes away what differs from run to run: ids, times, ports, places, sizes, and what was timed.
fn settled(text: &str, migration: &Migration) -> String {
    let ids = [("source-id", &migration.expect_plan()["source"]["cluster_id"]), ("target-id", &migration.expect_plan()["target"]["cluster_id"])];
    let text = ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(id.as_str().unwrap(), name));
    let text = text.replace(&migration.dir().display().to_string(), "DIR");
    let rules = [
        (r"127\.0\.0\.1:\d+", "HOST:PORT"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r#""port": \d+"#, r#""port": PORT"#),
        (r#""(topic_id|source_topic_id)": "[^"]+""#, r#""$1": "ID""#),
        (r#""(size_bytes|bytes|elapsed_ms|window_ms|drain_ms|freeze_ms|places|leader_epoch)": \d+"#, r#""$1": N"#),
        (r"\d+(\.\d+)? (B|kB|MB|GB)\b", "SIZE"),
        (r"about \d+ ms", "about N ms"),
        (r"\d+ ms drain", "N ms drain"),
        (r"at \d+ places", "at N places"),
        (r"\| seed \| [^|]+\|", "| seed | … |"),
        (r"\*\*Takes\*\*: SEED [^\n]+", "**Takes**: SEED …"),
        (r"\| findings \| [^|]+\|", "| findings | … |"),
        (r"by kferry \d+\.\d+\.\d+", "by kferry VERSION"),
        (r#""kferry_version": "[^"]+""#, r#""kferry_version": "VERSION""#),
    ];
    rules.iter().fold(text, |text, (pattern, with)| Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned())
}

/// `plan.json` and `runbook.md` of two small clusters, as they are written; its schema is published beside the configuration's.
#[test]
fn the_plans_files_are_what_they_were() {
    // A pair of its own: what other scenarios leave on a shared one would stand in the files.
    let (lab, agent) = (Lab::start(1, Options::default(), Options::default()), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("written-orders", 2).config("retention.ms", 604_800_000), Topic::new("written-trimmed", 1)]);
    agent.produce(&source, "written-orders", &Load::records(60).values(100, 100));
    agent.produce(&source, "written-trimmed", &Load::records(40).values(100, 100));
    agent.delete_records(&source, "written-trimmed", 0, 15);
    agent.commit_group_offsets(&source, "written-readers", &[Commit::new("written-orders", 0, 7, "")]);
    let migration = lab.setup("written").begin();
    migration.run("plan").ok();
    let file = |name: &str| std::fs::read_to_string(migration.dir().join("plan").join(name)).unwrap();
    let mut plan = migration.expect_plan();
    // What the rest of a shared cluster holds is not this plan's.
    for member in ["left_out", "findings"] {
        plan[member] = Value::from(format!("{} of them", if plan[member].is_array() { "some" } else { "none" }));
    }
    for member in ["written", "catch_up_seconds"] {
        plan["estimate"].as_object_mut().unwrap().shift_remove(member);
    }
    for side in ["source", "target"] {
        for member in ["quotas", "scram_users", "acls", "broker_configs"] {
            plan[side][member] = Value::from("the shared cluster's");
        }
    }
    let runbook = file("runbook.md");
    let runbook = runbook.split("\n## Not selected").next().unwrap_or_default();
    insta::assert_snapshot!("plan_json", settled(&serde_json::to_string_pretty(&plan).unwrap(), &migration));
    insta::assert_snapshot!("runbook", settled(runbook, &migration));
}
