//! From the commit to the end, and the way back: what refuses, what is repeated, and what a rollback does and does not undo.

use std::time::Duration;

use crate::journal;
use crate::lab::{Agent, Load, Outcome, Topic};
use crate::migration::{Lab, Migration};

/// One topic of two partitions with records, and its name.
fn topic(lab: &Lab, id: &str) -> String {
    let (agent, name) = (Agent::shared(), format!("{id}-orders"));
    agent.create_topics(&lab.source.bootstrap(), &[Topic::new(&name, 2)]);
    agent.produce(&lab.source.bootstrap(), &name, &Load::records(400).codec("lz4"));
    name
}

fn on_target(lab: &Lab, topic: &str) -> bool {
    Agent::shared().list_topics(&lab.target.bootstrap()).iter().any(|t| t == topic)
}

#[track_caller]
fn refused(outcome: Outcome, code: i32, said: &[&str]) {
    let outcome = outcome.expect_code(code);
    for word in said {
        assert!(outcome.stderr.contains(word), "{word:?} is not said: {outcome}");
    }
}

#[test]
fn a_notice_of_the_commit_that_nobody_hears_is_repeated() {
    let lab = Lab::shared();
    let topic = topic(lab, "notice");
    let migration = lab.setup("notice").begin();
    migration.execute();
    migration.webhook.refuse("committed", true);
    let outcome = migration.run("cutover").expect_code(3);
    assert!(outcome.stderr.contains("WARNING: the cutover stands") && outcome.stderr.contains("answers 404"), "{outcome}");
    assert!(migration.fact("target_released").is_some(), "the rest is released all the same");
    // The cutover itself is done; running it again repeats the notice and nothing else.
    migration.run("cutover").expect_code(3);
    assert_eq!(migration.webhook.events(), ["freeze", "committed", "committed"]);
    migration.webhook.refuse("committed", false);
    migration.run("cutover-ack").ok();
    migration.run("validate").ok();
    assert_eq!(migration.webhook.events(), ["freeze", "committed", "committed", "committed"], "it was heard, so it is not repeated");
    let ids: Vec<String> = migration.webhook.calls()[1..].iter().map(|c| c.idempotency_id.clone()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    migration.run("finalize").ok();
    migration.expect_same(lab, &[topic]);
    migration.expect_verified();
}

#[test]
fn late_writes_and_the_observation_hold_keep_the_migration_open() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    let early = topic(lab, "lateack");
    let migration = lab.setup("lateack").begin();
    migration.execute();
    migration.cutover();
    let end = agent.offsets(&source)[&(early.clone(), 1)].log_end;
    agent.produce(&source, &early, &Load::records(7).partition(1));
    let named = format!("{early}-1: 7 from offset {end} on (by producer id ");
    refused(migration.run("cutover-ack"), 4, &["KF-LATE-WRITES", "7 offsets of 1 partitions", &named]);
    migration.expect_state("awaiting_client_switch");
    agent.produce(&source, &early, &Load::records(2).partition(0).not_idempotent());
    refused(migration.run("cutover-ack"), 4, &["9 offsets of 2 partitions", "by a producer without a producer id"]);
    // Somebody decides that they may stay there, and says how many.
    let accept = |migration: &Migration, offsets: &str| {
        migration.kferry().run(&["cutover-ack", "--config", "kferry.yaml", "--journal-dir", "journal", "--accept-late-writes", offsets])
    };
    refused(accept(&migration, "7"), 4, &["KF-LATE-WRITES", "7 were stated to be accepted, but beyond what was accepted before, 9 offsets of 2 partitions"]);
    migration.expect_state("awaiting_client_switch");
    accept(&migration, "9").ok();
    migration.expect_state("validating");
    assert_eq!(migration.expect_fact("client_switch_acknowledged")["late_records"], 9);
    // Said once more it is no contradiction.
    accept(&migration, "9").ok();
    migration.run("validate").ok();
    agent.produce(&source, &early, &Load::records(1).partition(1));
    refused(migration.run("finalize"), 4, &["KF-LATE-WRITES", "1 offsets of 1 partitions"]);
    accept(&migration, "1").ok();
    refused(migration.run("finalize"), 4, &["KF-VALIDATION-FAILED", "no validation was run"]);
    migration.run("validate").ok();
    migration.run("finalize").ok();
    let not_covered = migration.expect_verified()["not_covered"].to_string();
    assert!(not_covered.contains(&format!("{early}-1: offsets {end}..{} came to the source after the cutover", end + 8)), "{not_covered}");

    let late = topic(lab, "latefin");
    let migration = lab.setup("latefin").set("evidence.observation_hold", "1h").begin();
    migration.execute();
    migration.cutover();
    migration.run("cutover-ack").ok();
    refused(migration.run("finalize"), 4, &["KF-VALIDATION-FAILED", "no validation was run"]);
    migration.run("validate").ok();
    refused(migration.run("finalize"), 7, &["KF-STATE-ILLEGAL", "the observation hold of 1h has"]);
    let entries = migration.facts().len();
    refused(migration.run("finalize"), 7, &["KF-STATE-ILLEGAL"]);
    assert_eq!(migration.facts().len(), entries, "a refusal that needs no look at a cluster leaves no trace");
    let config = migration.dir().join("kferry.yaml");
    let text = std::fs::read_to_string(&config).unwrap().replace("observation_hold: 1h", "observation_hold: 0s");
    std::fs::write(&config, text).unwrap();
    agent.produce(&source, &late, &Load::records(3).partition(0));
    refused(migration.run("finalize"), 4, &["KF-LATE-WRITES"]);
    migration.expect_state("validating");
    // A partition that came to be after the plan has to be empty too.
    let added = topic(lab, "lateadd");
    let migration = lab.setup("lateadd").begin();
    migration.execute();
    migration.cutover();
    agent.add_partitions(&source, &added, 3);
    migration.run("validate").ok();
    let report = migration.expect_fact("validated")["report"].clone();
    assert!(report["not_covered"].to_string().contains("has 3 partitions on the source, 2 when planned"), "{report:#}");
    agent.produce(&source, &added, &Load::records(5).partition(2));
    refused(migration.run("cutover-ack"), 4, &[&format!("{added}-2: 5 from offset 0 on")]);
}

#[test]
fn what_came_to_the_source_after_the_plan_is_not_left_behind_unasked() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    topic(lab, "grown");
    let migration = lab.setup("grown").begin();
    migration.execute();
    agent.create_topics(&source, &[Topic::new("grown-new", 2), Topic::new("grown-empty", 1)]);
    agent.produce(&source, "grown-new", &Load::records(5));
    let outcome = migration.run("cutover").expect_code(4);
    assert!(outcome.stderr.contains("error[KF-SOURCE-GREW]") && outcome.stderr.contains("hold records: grown-new\n"), "{outcome}");
    assert!(migration.webhook.events().is_empty(), "nobody is frozen for nothing");
    let leave = |topic: &str| migration.kferry().run(&["cutover", "--config", "kferry.yaml", "--journal-dir", "journal", "--leave-behind", topic]);
    refused(leave("grown-orders"), 2, &["KF-USAGE", "this topic is planned"]);
    refused(leave("grown-nwe"), 2, &["KF-USAGE", "no such topic"]);
    // Where the operator says so it stays there, and the evidence says that, too.
    leave("grown-new").ok();
    assert_eq!(migration.expect_fact("cutover_started")["left_behind"], serde_json::json!(["grown-new"]));
    // What was validated before the clients' switch is not what the evidence is to say.
    migration.run("validate").ok();
    migration.run("cutover-ack").ok();
    refused(migration.run("finalize"), 4, &["KF-VALIDATION-FAILED", "no validation was run"]);
    migration.run("validate").ok();
    migration.run("finalize").ok();
    assert!(migration.expect_verified()["not_covered"].to_string().contains("grown-new"));

    // Keys would go to other partitions than on the source; and in the freeze it is looked at once more.
    let wider = topic(lab, "wider");
    let migration = lab.setup("wider").begin();
    migration.execute();
    let (bootstrap, added) = (source.clone(), wider.clone());
    migration.webhook.before(move |event| {
        if event == "freeze" {
            Agent::shared().add_partitions(&bootstrap, &added, 3);
        }
    });
    refused(migration.run("cutover"), 4, &["KF-SOURCE-GREW", "has 3 partitions on the source, 2 when planned"]);
    assert_eq!(migration.webhook.events(), ["freeze", "thaw"]);
    migration.webhook.without_hook();
    refused(migration.run("cutover"), 4, &["KF-SOURCE-GREW"]);
    assert_eq!(migration.webhook.events(), ["freeze", "thaw"]);
    migration.run("rollback").ok();
}

#[test]
fn a_commit_of_which_nobody_was_told_before_the_freeze_ran_out_is_not_rolled_forward_over_late_records() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, topic) = (lab.source.bootstrap(), topic(lab, "ranout"));
    let migration = lab.setup("ranout").set("cutover.max_producer_freeze", "10s").begin();
    migration.execute();
    // The process dies when the commit is durable, and before anybody hears of it.
    migration.webhook.before(|event| {
        if event == "committed" {
            std::thread::sleep(Duration::from_secs(4));
        }
    });
    migration.webhook.refuse("committed", true);
    let mut running = migration.spawn("cutover");
    migration.wait_for_fact(&mut running, "cutover_committed", Duration::from_secs(60));
    running.kill();
    migration.webhook.without_hook();
    migration.webhook.refuse("committed", false);
    assert!(migration.fact("target_released").is_none());
    // The freeze runs out, and producers go on where they were.
    std::thread::sleep(Duration::from_secs(11));
    agent.produce(&source, &topic, &Load::records(3).partition(0));
    for command in ["cutover", "cutover-ack", "validate"] {
        refused(migration.run(command), 4, &["error[KF-LATE-WRITES]", "the target is still closed", "3 offsets of 1 partitions"]);
    }
    assert!(migration.fact("target_released").is_none() && !migration.webhook.events().contains(&"thaw".to_owned()));
    // Nothing is lost by going back, and who was told of the freeze hears of it.
    migration.run("rollback").ok();
    migration.expect_state("rolled_back");
    assert_eq!(migration.webhook.events().last().map(String::as_str), Some("thaw"));
    assert!(!on_target(lab, &topic));
}

/// Who read of a failure alone would let producers go on at the source.
#[test]
#[ignore = "slow: tests/full runs it"]
fn what_fails_behind_the_commit_says_that_the_cutover_stands() {
    let lab = Lab::shared();
    let (target, topic) = (lab.target.bootstrap(), topic(lab, "behind"));
    let migration = lab.setup("behind").begin();
    migration.execute();
    migration.webhook.before(move |event| {
        if event == "committed" {
            Agent::shared().delete_topics(&target, &[&topic]);
        }
    });
    refused(migration.run("cutover"), 3, &["error[KF-CUTOVER-UNFINISHED]", "the target is the cluster of record since 20", "KF-TARGET-UNAVAILABLE: target: list the log starts of 2 partitions, behind-orders-"]);
    migration.expect_state("awaiting_client_switch");
    assert!(!migration.webhook.events().contains(&"thaw".to_owned()), "{:?}", migration.webhook.events());
}

#[test]
fn validation_says_what_differs_and_blocks_the_end() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let target = lab.target.bootstrap();
    let topic = topic(lab, "differs");
    let migration = lab.setup("differs").begin();
    migration.execute();
    migration.cutover();
    migration.run("cutover-ack").ok();
    agent.alter_topic_configs(&target, &topic, &[("flush.ms", "9999")], &[]);
    agent.delete_records(&target, &topic, 0, 10);
    let json = |migration: &Migration| migration.kferry().run(&["validate", "--config", "kferry.yaml", "--journal-dir", "journal", "--output", "json"]);
    // What was added on the target is a warning.
    let report = json(&migration).expect_code(3).json();
    assert_eq!(report["outcome"], "WARNING", "{report:#}");
    assert!(report.to_string().contains("the target's log starts at 10 now, and the source still has what lies from 0 on"), "{report:#}");
    agent.delete_topics(&target, &[&topic]);
    let outcome = json(&migration).expect_code(4);
    let report = outcome.json();
    let check = |name: &str| report["checks"].as_array().unwrap().iter().find(|c| c["check"] == name).unwrap().clone();
    assert_eq!((&report["outcome"], &check("topic_parity")["outcome"], &check("counts_and_offsets")["outcome"]), (&"FAILED".into(), &"FAILED".into(), &"NOT_RUN".into()), "{report:#}");
    refused(migration.run("validate"), 4, &["KF-VALIDATION-FAILED", "topic_parity: 1 of 1 topics are not as planned"]);
    refused(migration.run("finalize"), 4, &["KF-VALIDATION-FAILED", "ended as FAILED"]);
}

#[test]
fn a_killed_execute_is_rolled_back() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    for (number, after) in ["partitions_taken", "copy_checkpointed", "seed_completed"].into_iter().enumerate() {
        let id = format!("undo{number}");
        let topic = topic(lab, &id);
        agent.produce(&lab.source.bootstrap(), &topic, &Load::records(8_000).values(900, 1_000).random());
        let migration = lab.setup(&id).set("seed.rate_limit", "2MB/s").set("seed.segment_max_bytes", "1MiB").begin();
        let mut running = migration.spawn("execute");
        migration.wait_for_fact(&mut running, after, Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(700));
        running.kill();
        let outcome = migration.run("rollback").ok();
        assert!(outcome.stdout.contains("rolled_back: 1 topics and 0 ACL bindings") && outcome.stdout.contains("stays at s3://"), "{outcome}");
        migration.expect_state("rolled_back");
        assert!(!on_target(lab, &topic));
        journal::check_chain(&migration.journal_dir());
    }
}

#[test]
fn a_rollback_that_is_killed_goes_on() {
    let lab = Lab::shared();
    let topic = topic(lab, "undone");
    let migration = lab.setup("undone").begin();
    migration.execute();
    let mut kills = 0;
    while migration.state() != Some("rolled_back") {
        let at = migration.facts().len() + 1;
        let outcome = migration.run_with("rollback", &[("KFERRY_ABORT_AT_ENTRY", format!("after:{at}"))]);
        assert!(matches!(outcome.code, None | Some(0)), "{outcome}");
        kills += 1;
        assert!(kills < 20, "no end in sight: {:?}", migration.kinds());
    }
    assert!(kills > 2, "{:?}", migration.kinds());
    assert_eq!(migration.expect_fact("rolled_back")["topics_deleted"], 1);
    assert!(!on_target(lab, &topic));
    journal::check_chain(&migration.journal_dir());
}

#[test]
fn an_adopted_topic_is_emptied_and_kept() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let target = lab.target.bootstrap();
    let adopted = topic(lab, "adopted");
    agent.create_topics(&target, &[Topic::new(&adopted, 2).config("retention.ms", 6_000_000).config("cleanup.policy", "compact")]);
    let before = agent.topic_configs(&target, &adopted).0;
    let migration = lab.setup("adopted").begin();
    migration.execute();
    let copied = agent.offsets(&target)[&(adopted.clone(), 0)].log_end;
    assert!(copied > 0);
    let outcome = migration.run("rollback").ok();
    assert!(outcome.stdout.contains(&format!("{adopted}-0 is empty again and goes on at offset {copied}")), "{outcome}");
    assert_eq!(agent.topic_configs(&target, &adopted).0, before);
    let span = &agent.offsets(&target)[&(adopted.clone(), 0)];
    assert_eq!((span.log_start, span.log_end), (copied, copied));
    // Its offsets below are gone, so the next migration wants it gone too.
    let again = lab.setup("adopted").begin();
    assert!(again.run("precheck").expect_code(4).stdout.contains("KF-PRE-TOPIC-HOLDS-RECORDS"));
    agent.delete_topics(&target, &[&adopted]);
    again.finish_from_the_start();
}

#[test]
fn nothing_of_others_is_rolled_back() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let target = lab.target.bootstrap();
    let written = topic(lab, "foreign");
    let migration = lab.setup("foreign").begin();
    migration.execute();
    agent.produce(&target, &written, &Load::records(3).partition(1));
    refused(migration.run("rollback"), 7, &["KF-ROLLBACK-UNSAFE", &format!("{written}-1: the batch at offset"), "is of producer id"]);
    assert!(on_target(lab, &written));
    // Whoever wrote them has saved them.
    agent.delete_topics(&target, &[&written]);
    migration.run("rollback").ok();
    migration.expect_state("rolled_back");

    // After the commit, and as long as nobody has written.
    let switched = topic(lab, "switched");
    let migration = lab.setup("switched").begin();
    migration.execute();
    migration.cutover();
    agent.produce(&target, &switched, &Load::records(1).partition(0));
    refused(migration.run("rollback"), 7, &["KF-ROLLBACK-UNSAFE", &format!("{switched}-0 ends at")]);
    assert!(on_target(lab, &switched));
    migration.expect_state("awaiting_client_switch");
    migration.conclude();

    let back = topic(lab, "backagain");
    let migration = lab.setup("backagain").begin();
    migration.execute();
    migration.cutover();
    let outcome = migration.run("rollback").ok();
    assert!(outcome.stdout.contains("start producers and consumers at the source again"), "{outcome}");
    assert!(!on_target(lab, &back));
    // The source goes on where it was, and can be migrated again.
    agent.produce(&lab.source.bootstrap(), &back, &Load::records(100));
    let again = lab.setup("backagain").begin();
    again.finish_from_the_start();
    again.expect_same(lab, &[back]);
}

impl Migration {
    #[track_caller]
    fn finish_from_the_start(&self) {
        self.execute();
        self.cutover();
        self.conclude();
        self.expect_verified();
    }
}

#[test]
fn nothing_is_copied_after_the_commit() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let topic = topic(lab, "aftercommit");
    let migration = lab.setup("aftercommit").begin();
    migration.execute();
    let late = topic.clone();
    // The target's first client, and a producer at the source that has heard of nothing.
    migration.webhook.before(move |event| {
        if event == "committed" {
            agent.produce(&target, &late, &Load::records(1).partition(0));
            agent.produce(&source, &late, &Load::records(1).partition(0));
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    migration.cutover();
    let frozen = migration.expect_fact("cutover_committed")["report"]["partitions"][0]["frozen_end"].as_i64().unwrap();
    let target = lab.target.bootstrap();
    assert_eq!(agent.offsets(&target)[&(topic, 0)].log_end, frozen + 2, "the client's record stands alone behind the sentinel");
    assert!(migration.fact("partition_quarantined").is_none());
    refused(migration.run("cutover-ack"), 4, &["KF-LATE-WRITES"]);
}
