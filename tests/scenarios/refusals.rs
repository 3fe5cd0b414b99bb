//! What kferry refuses, with the code and the exit code that say so, and without touching anything.

use serde_json::{Value, json};

use crate::lab::proxy::WRITE_TXN_MARKERS;
use crate::lab::{Agent, Commit, Load, Outcome, Topic, process};
use crate::migration::{Lab, Migration};

/// The codes of one severity with their subjects.
fn found(outcome: &Outcome, severity: &str) -> Vec<(String, String)> {
    let plan = outcome.json();
    let findings = plan["findings"].as_array().unwrap_or_else(|| panic!("no findings: {outcome}"));
    let text = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    findings.iter().filter(|f| f["severity"] == severity).map(|f| (text(f, "code"), text(f, "subject"))).collect()
}

#[track_caller]
fn expect_blocker(outcome: &Outcome, code: &str, subject: &str) {
    assert_eq!(outcome.code, Some(4), "{outcome}");
    let blockers = found(outcome, "blocker");
    assert!(blockers.iter().any(|(c, s)| c == code && s == subject), "no {code} for {subject:?} among {blockers:?}");
    let plan = outcome.json();
    let finding = plan["findings"].as_array().unwrap().iter().find(|f| f["code"] == code).unwrap();
    assert!(!finding["seen"].as_str().unwrap().is_empty() && !finding["remedy"].as_str().unwrap().is_empty());
}

#[track_caller]
fn expect_error(outcome: Outcome, exit: i32, code: &str) -> Outcome {
    let outcome = outcome.expect_code(exit);
    assert!(outcome.stderr.contains(&format!("error[{code}]")), "{code} is not said: {outcome}");
    outcome
}

/// Everything that a command could have changed on a cluster.
fn everything(bootstrap: &str, prefix: &str) -> Value {
    let agent = Agent::shared();
    let topics: Vec<String> = agent.list_topics(bootstrap);
    let ours: Vec<&String> = topics.iter().filter(|t| t.starts_with(prefix)).collect();
    let configs: Vec<_> = ours.iter().map(|t| agent.topic_configs(bootstrap, t)).collect();
    let groups = agent.list_groups(bootstrap);
    let offsets: Vec<String> = groups.iter().map(|g| format!("{g}: {:?}", agent.group_offsets(bootstrap, g))).collect();
    let spans: Vec<String> = agent.offsets(bootstrap).iter().filter(|((t, _), _)| t.starts_with(prefix)).map(|row| format!("{row:?}")).collect();
    json!({"topics": topics, "configs": configs, "groups": groups, "offsets": offsets, "spans": spans})
}

#[test]
fn topics_that_cannot_be_copied_exactly_are_blockers_by_code() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(
        &source,
        &[
            Topic::new("refused-transactional", 1),
            Topic::new("refused-compacted", 1).config("cleanup.policy", "compact"),
            Topic::new("refused-both", 1).config("cleanup.policy", "compact,delete"),
            Topic::new("refused-taken", 2),
            Topic::new("refused-partitions", 2),
            Topic::new("refused-plain", 1),
        ],
    );
    agent.begin_transaction(&source, "refused-t", "refused-transactional", &Load::records(10), 60_000);
    agent.end_transaction("refused-t", true);
    for topic in ["refused-compacted", "refused-taken", "refused-plain"] {
        agent.produce(&source, topic, &Load::records(20));
    }
    agent.create_topics(&target, &[Topic::new("refused-taken", 2), Topic::new("refused-partitions", 3)]);
    agent.produce(&target, "refused-taken", &Load::records(1).partition(1));
    agent.commit_group_offsets(&source, "refused-readers", &[Commit::new("refused-plain", 0, 3, "kept")]);

    let (source_before, target_before) = (everything(&source, "refused"), everything(&target, "refused"));
    let migration = lab.setup("refused").begin();
    let outcome = migration.run("precheck");
    for (code, topic) in [
        ("KF-PRE-TOPIC-HOLDS-RECORDS", "refused-taken"),
        ("KF-PRE-TOPIC-DRIFT-REFUSED", "refused-partitions"),
    ] {
        expect_blocker(&outcome, code, topic);
    }
    let copied = ["refused-plain", "refused-transactional", "refused-compacted", "refused-both"];
    assert!(!found(&outcome, "blocker").iter().any(|(_, subject)| copied.contains(&subject.as_str())), "{outcome}");
    let noted = found(&outcome, "information");
    for (code, topic) in [("TRANSACTIONAL", "refused-transactional"), ("COMPACTED", "refused-compacted"), ("COMPACTED", "refused-both")] {
        assert!(noted.contains(&(format!("KF-PRE-{code}"), topic.to_owned())), "{outcome}");
    }
    // `plan` writes all the same, and says so; neither changes anything.
    let planned = migration.run("plan");
    assert!(matches!(planned.code, Some(0 | 4)), "{planned}");
    let plan: Value = serde_json::from_slice(&std::fs::read(migration.dir().join("plan/plan.json")).unwrap()).unwrap();
    assert_eq!(plan["topics"].as_array().unwrap().len(), 6);
    assert_eq!(everything(&source, "refused"), source_before, "plan or precheck changed the source");
    assert_eq!(everything(&target, "refused"), target_before, "plan or precheck changed the target");
    assert!(!migration.journal_dir().exists());

    // `execute` comes to the same verdict and creates nothing.
    expect_error(migration.run("execute"), 4, "KF-PRECHECK-BLOCKED");
    assert_eq!(everything(&target, "refused"), target_before, "a blocked execute changed the target");
    assert_eq!(everything(&source, "refused"), source_before);

    // Without the troublesome ones it goes through, and a plan changes nothing then either.
    let migration = lab.setup("refused").topics(&["refused-plain"]).begin();
    migration.precheck();
    migration.run("plan").ok();
    assert_eq!(everything(&target, "refused"), target_before);
    assert_eq!(everything(&source, "refused"), source_before);
}

/// WriteTxnMarkers writes control records by the hundred, where the target permits it.
#[test]
fn whether_write_txn_markers_is_permitted_is_asked_without_a_trace() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new("asked-orders", 1)]);
    agent.produce(&source, "asked-orders", &Load::records(20));
    let migration = lab.setup("asked").target(&lab.target.proxied_bootstrap()).begin();
    let permitted = |outcome: &Outcome| outcome.json()["selected"]["write_txn_markers"].clone();
    assert_eq!(permitted(&migration.precheck()), true);
    // Brokers close the connection of who sends what only brokers may.
    lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, true));
    let outcome = migration.precheck();
    lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, false));
    assert_eq!(permitted(&outcome), false);
    let few = found(&outcome, "warning").iter().all(|(code, _)| code != "KF-PRE-WRITE-TXN-MARKERS");
    assert!(few, "nothing has to be written: {outcome}");
    let topics = agent.list_topics(&target);
    assert!(!topics.iter().any(|topic| topic.contains("kferry") || topic.starts_with("asked")), "{topics:?}");
}

#[test]
fn clusters_keys_and_stores_that_are_not_as_they_should_be() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    agent.create_topics(&lab.source.bootstrap(), &[Topic::new("odd-plain", 1)]);
    agent.produce(&lab.source.bootstrap(), "odd-plain", &Load::records(5));
    let nobody = format!("127.0.0.1:{}", process::free_port());
    let blocker = |migration: Migration, code: &str| {
        let outcome = migration.run("precheck");
        assert_eq!(outcome.code, Some(4), "{code}: {outcome}");
        assert!(found(&outcome, "blocker").iter().any(|(c, _)| c == code), "no {code}: {outcome}");
        migration
    };
    blocker(lab.setup("odd").target(&lab.source.bootstrap()).begin(), "KF-PRE-SAME-CLUSTER");
    let migration = blocker(lab.setup("odd").without_signing_key().begin(), "KF-PRE-SIGNING-KEY");
    assert!(migration.run("precheck").stdout.contains("keygen"));
    blocker(lab.setup("odd").set("evidence.object_lock", "true").begin(), "KF-PRE-OBJECT-LOCK");
    blocker(lab.setup("odd").topics(&["odd-none-*"]).begin(), "KF-PRE-NO-TOPICS");

    let migration = lab.setup("odd").source(&nobody).begin();
    let outcome = migration.run("precheck");
    assert!(matches!(outcome.code, Some(4 | 8)) && format!("{}{}", outcome.stdout, outcome.stderr).contains("KF-"), "{outcome}");
    assert!(outcome.took.as_secs() < 60, "{outcome}");
    expect_error(migration.run("execute"), 8, "KF-SOURCE-UNAVAILABLE");
    let migration = lab.setup("odd").target(&nobody).begin();
    let outcome = migration.run("precheck");
    assert!(matches!(outcome.code, Some(4 | 9)), "{outcome}");
    // A plan can be had without a target.
    migration.run("plan").ok();
    expect_error(migration.run("execute"), 9, "KF-TARGET-UNAVAILABLE");

    // Nobody can confirm a manual freeze without a terminal, and nothing is assumed.
    let migration = lab.setup("odd").manual_freeze().begin();
    migration.execute();
    expect_error(migration.run("cutover"), 7, "KF-FREEZE-NEEDS-TERMINAL");
    assert!(matches!(migration.state(), Some("drain_ready" | "tail")), "{:?}", migration.state());
    assert!(migration.fact("producers_frozen").is_none());
    // Commands in a state where they are not legal.
    for command in ["cutover-ack", "validate", "finalize"] {
        expect_error(migration.run(command), 7, "KF-STATE-ILLEGAL");
    }
    migration.run("rollback").ok();
    assert!(!agent.list_topics(&lab.target.bootstrap()).contains(&"odd-plain".to_owned()));
    for command in ["execute", "cutover", "finalize", "rollback"] {
        let outcome = migration.run(command);
        assert!(outcome.code == Some(7) || (command == "rollback" && outcome.code == Some(0)), "{command}: {outcome}");
    }
}

#[test]
fn a_journal_that_is_missing_or_of_another_migration() {
    let lab = Lab::shared();
    let migration = lab.setup("odd").begin();
    for command in ["cutover", "cutover-ack", "validate", "finalize", "rollback"] {
        expect_error(migration.run(command), 7, "KF-JOURNAL-MISSING");
    }
    let other = crate::finished::finished();
    let dir = other.journal_dir().display().to_string();
    for command in ["execute", "validate"] {
        let outcome = migration.kferry().run(&[command, "--config", "kferry.yaml", "--journal-dir", &dir]);
        expect_error(outcome, 7, "KF-JOURNAL-FOREIGN");
    }
}

#[test]
fn a_configuration_is_refused_with_line_and_column() {
    let migration = Lab::shared().setup("odd").begin();
    let path = migration.dir().join("kferry.yaml");
    let sound = std::fs::read_to_string(&path).unwrap();
    let line_of = |text: &str, word: &str| text.lines().position(|line| line.contains(word)).unwrap() + 1;
    for (old, new, said) in [
        ("  cutover:", "  cutovre:", "cutovre"),
        ("drain_timeout: 5m", "drain_timeout: soon", "drain_timeout"),
        ("memory_max_bytes: 64MiB", "memory_max_bytes: 1MiB", "memory_max_bytes"),
    ] {
        let broken = sound.replace(old, new);
        assert_ne!(broken, sound);
        std::fs::write(&path, &broken).unwrap();
        let place = format!("kferry.yaml:{}:", line_of(&broken, new.trim()));
        for command in ["plan", "precheck", "execute"] {
            let outcome = migration.run(command).expect_code(6);
            let printed = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(printed.contains("KF-CONFIG-INVALID") && printed.contains(&place) && printed.contains(said), "{place} is not said: {outcome}");
            assert!(!printed.contains("not-for-logs"), "the webhook's token is printed: {outcome}");
        }
    }
    std::fs::remove_file(&path).unwrap();
    expect_error(migration.run("execute"), 6, "KF-CONFIG-UNREADABLE");
    migration.kferry().run(&["execute", "--config"]).expect_code(2);
    migration.kferry().run(&["migrate-everything"]).expect_code(2);
}
