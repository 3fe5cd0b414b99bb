//! What precheck finds and what it does not: a code for each cause on real brokers, nothing else on a calm pair, and nothing changed by looking.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::proxy::WRITE_TXN_MARKERS;
use crate::lab::wire::OldConsumer;
use crate::auth::{self, secured};
use crate::lab::{Acl, Agent, Cluster, Commit, Door, Load, Msk, Options, Outcome, Topic, Weave, WorkDir};
use crate::migration::{BUCKET, Lab, Setup};
use crate::survey::{Desk, everything, expect_found, found, only};

/// Codes that one scenario makes from the plan's own list, one permission after the other: `permissions::each_permission_…`.
const MADE_FROM_THE_PLAN: &str = "KF-PRE-DENIED-";

/// What is said of every pair that was read, and of the bucket that scenarios share; `what_is_said_of_every_pair_…` sees each of them absent, save one.
const ALWAYS: [&str; 5] = ["KF-PRE-DISK-ROOM", "KF-PRE-METADATA-MODES", "KF-PRE-NOT-PROBED", "KF-PRE-SIZING", "KF-PRE-STORE-VERSIONS"];

/// The code that is never absent: it names what this version does not look at, whatever the clusters are. What it says besides of a pair is seen absent by `msk`.
const NEVER_ABSENT: &str = "KF-PRE-NOT-PROBED";

/// Where a new code has no scenario, this test fails and says so.
#[test]
fn every_code_of_precheck_has_a_scenario_that_provokes_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("src/domain/finding.rs")).unwrap();
    let codes: BTreeSet<&str> = table.split('"').filter(|word| word.starts_with("KF-PRE-") && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-')).collect();
    assert!(codes.len() > 100, "the table is not read: {codes:?}");
    let mut scenarios = String::new();
    for entry in std::fs::read_dir(root.join("tests/scenarios")).unwrap().flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        let text = if entry.file_name() == "precheck.rs" { text.split_once("];").unwrap().1.to_owned() } else { text };
        scenarios.extend(text.lines().filter(|line| !line.trim_start().starts_with("//")));
    }
    // In quotes, within a text in quotes, or without what all of them begin with.
    let quoted = |word: &str| scenarios.contains(&format!("\"{word}\"")) || scenarios.contains(&format!("\\\"{word}\\\""));
    let named = |code: &str| quoted(code) || code.strip_prefix("KF-PRE-").is_some_and(quoted);
    assert!(scenarios.contains(&format!("\"{MADE_FROM_THE_PLAN}\"")));
    let missing: Vec<&&str> = codes.iter().filter(|code| !code.starts_with(MADE_FROM_THE_PLAN) && !named(code)).collect();
    assert!(missing.is_empty(), "no scenario provokes {missing:?}");
}

fn codes(outcome: &Outcome) -> BTreeSet<String> {
    ["blocker", "warning", "information"].iter().flat_map(|severity| found(outcome, severity)).map(|(code, _)| code).collect()
}

fn set(codes: &[&str]) -> BTreeSet<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

/// What was seen under a code.
#[track_caller]
fn seen(outcome: &Outcome, code: &str) -> String {
    let answer = outcome.json();
    let finding = answer["findings"].as_array().unwrap().iter().find(|f| f["code"] == code).unwrap_or_else(|| panic!("no {code}: {outcome}"));
    finding["seen"].as_str().unwrap().to_owned()
}

/// A pair of this module's own: the shared one holds what other scenarios have left.
fn calm() -> &'static Lab {
    static CALM: OnceLock<Lab> = OnceLock::new();
    CALM.get_or_init(|| Lab::start(1, Options::default(), Options::default()))
}

/// Two calm pairs say exactly so much. What the one says and the other does not comes of what they are; so each code is seen absent somewhere.
#[test]
fn a_calm_pair_says_no_more_than_what_it_is() {
    let (lab, kraft, agent) = (calm(), Lab::kraft(), Agent::shared());
    for (lab, topic) in [(lab, "calm-orders"), (kraft, "calm-kraft-orders")] {
        agent.create_topics(&lab.source.bootstrap(), &[Topic::new(topic, 2)]);
    }
    let outcome = lab.setup("calm").topics(&["calm-orders"]).begin().run("precheck").expect_code(3);
    let of_zookeeper = ["KF-PRE-IN-PLACE", "KF-PRE-KRAFT-OPERATIONS", "KF-PRE-OLD-CLIENTS", "KF-PRE-BROKER-DEFAULTS", "KF-PRE-CONTROLLERS", "KF-PRE-OTHERS-MAY-WRITE"];
    assert_eq!(codes(&outcome), set(&[&ALWAYS[..], &of_zookeeper].concat()), "{outcome}");
    let answer = outcome.json();
    assert_eq!(answer["findings"][0]["severity"], "warning", "{outcome}");
    let said = |f: &Value| ["why", "seen", "remedy", "title", "page"].iter().all(|name| f[name].as_str().is_some_and(|text| text.len() > 10));
    assert!(answer["findings"].as_array().unwrap().iter().all(said), "{outcome}");
    let in_place = seen(&outcome, "KF-PRE-IN-PLACE");
    assert!(in_place.contains("applies to this cluster, as far as its brokers show") && in_place.contains("yes: Kafka 3.9, ") && !in_place.contains("NO: "), "{in_place}");
    assert!(in_place.contains("yes: inter.broker.protocol.version is 3.9 (3.9 is set)") && in_place.contains("yes: every broker is there"), "{in_place}");
    let room = seen(&outcome, "KF-PRE-DISK-ROOM");
    assert!(room.contains("the target's volumes have ") && room.ends_with(" free"), "{room}");

    // Another controller set-up, or another client, does not come with a KRaft source.
    let outcome = kraft.setup("calm-kraft").topics(&["calm-kraft-orders"]).begin().run("precheck").expect_code(3);
    // A KRaft cluster sets min.insync.replicas for itself (KIP-966).
    let of_kraft = ["KF-PRE-CONTROLLERS", "KF-PRE-DYNAMIC-SETTINGS", "KF-PRE-FEATURE-LEVEL", "KF-PRE-OTHERS-MAY-WRITE"];
    let said = codes(&outcome);
    assert!(said.is_subset(&set(&[&ALWAYS[..], &of_kraft].concat())), "{outcome}");
    assert!(["KF-PRE-IN-PLACE", "KF-PRE-KRAFT-OPERATIONS", "KF-PRE-OLD-CLIENTS", "KF-PRE-BROKER-DEFAULTS"].iter().all(|code| !said.contains(*code)), "{outcome}");

    // As people read it: whether a copy is wanted at all comes first.
    let migration = lab.setup("calm").topics(&["calm-orders"]).begin();
    let text = migration.kferry().run(&["precheck", "--config", "kferry.yaml"]).expect_code(3).stdout;
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words:?} is not said:\n{text}"));
    assert!(at("before you copy\n") < at("note     KF-PRE-IN-PLACE") && at("KF-PRE-IN-PLACE") < at("warning  KF-PRE-CONTROLLERS"), "{text}");
    assert!(at("warning  KF-PRE-CONTROLLERS") < at("note     KF-PRE-METADATA-MODES") && text.contains("    why: "), "{text}");
    // Each finding names the command that explains it, which needs nothing but the binary.
    let named: Vec<&str> = text.split("(kferry explain ").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert_eq!(named.iter().map(|code| (*code).to_owned()).collect::<BTreeSet<_>>(), set(&[&ALWAYS[..], &of_zookeeper].concat()), "{text}");
    for code in named {
        let page = migration.kferry().run(&["explain", code]).ok().stdout;
        assert!(page.starts_with(&format!("# {code}: ")) && page.contains("**What to do**"), "{page}");
    }
    let mistyped = migration.kferry().run(&["explain", "KF-PRE-CONTROLERS"]).expect_code(2);
    assert!(mistyped.stderr.contains("did you mean KF-PRE-CONTROLLERS?"), "{mistyped}");
}

/// A pair of which one side lets nobody in has less to be told, and a bucket with Object Lock keeps versions.
#[test]
fn what_is_said_of_every_pair_is_said_of_what_was_read_alone() {
    let (lab, door) = (secured(), Door::Scram512);
    Agent::shared().create_topics(&lab.source.bootstrap(), &[Topic::new("always-orders", 1)]);
    lab.s3.create_locked_bucket("kferry-always");
    let nobody = auth::with(door.auth(), "username", "nobody");
    let setup = || auth::setup(lab, "always", door, door).set("evidence.object_lock", "true").set("evidence.s3_bucket", "kferry-always");
    let said = |setup: Setup| codes(&setup.begin().run("precheck"));
    let of_all = |said: &BTreeSet<String>| ALWAYS.into_iter().filter(|code| said.contains(*code)).collect::<Vec<_>>();

    assert_eq!(of_all(&said(setup())), ["KF-PRE-DISK-ROOM", "KF-PRE-METADATA-MODES", "KF-PRE-NOT-PROBED", "KF-PRE-SIZING"]);
    let no_target = said(setup().target_auth(&nobody));
    assert_eq!(of_all(&no_target), ["KF-PRE-DISK-ROOM", "KF-PRE-METADATA-MODES", "KF-PRE-NOT-PROBED"], "{no_target:?}");
    let no_source = said(setup().source_auth(&nobody));
    assert_eq!(of_all(&no_source), [NEVER_ABSENT], "{no_source:?}");
    assert!(no_source.iter().any(|code| code.starts_with("KF-AUTH-")), "{no_source:?}");
}

/// A producer that the brokers can name, one that they cannot, and one that ties a topic to another that stays behind.
#[test]
fn who_writes_is_told_as_far_as_brokers_know() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    let topics = ["writers-named", "writers-unnamed", "writers-shop", "writers-still", "writers-outside"];
    agent.create_topics(&source, &topics.map(|name| Topic::new(name, 1)));
    let weave = Weave::new("writers-tx", 30);
    agent.weave(&source, &["writers-shop", "writers-outside"], &weave, &Load::records(10));
    agent.produce(&source, "writers-still", &Load::records(10));
    let migration = lab.setup("writers").topics(&["writers-named", "writers-unnamed", "writers-shop", "writers-still"]).begin();
    let quiet = migration.precheck();
    assert!(!codes(&quiet).contains("KF-PRE-PRODUCERS-UNNAMED"), "{quiet}");
    assert!(seen(&quiet, "KF-PRE-PRODUCERS").contains("no partition grew within"), "{quiet}");

    let named = agent.live(&source, &["writers-named"], 200.0, &Load::records(1));
    let unnamed = agent.live(&source, &["writers-unnamed"], 200.0, &Load::records(1).not_idempotent());
    let busy = migration.precheck();
    named.stop();
    unnamed.stop();
    let who = seen(&busy, "KF-PRE-PRODUCERS");
    assert!(who.contains("2 partitions grew within") && who.contains("writers-named-0, writers-unnamed-0"), "{who}");
    let nobody = seen(&busy, "KF-PRE-PRODUCERS-UNNAMED");
    assert!(nobody.starts_with("1 partition grew") && nobody.ends_with(": writers-unnamed-0"), "{nobody}");

    // What was written in one transaction stays together where all of it is selected.
    let tied = found(&busy, "warning").into_iter().filter(|(code, _)| code == "KF-PRE-TRANSACTIONS-SPAN").collect::<Vec<_>>();
    assert!(!tied.is_empty() && tied.iter().all(|(_, id)| id.starts_with("writers-tx")), "{busy}");
    assert!(seen(&busy, "KF-PRE-TRANSACTIONS-SPAN").contains("writers-shop (selected) and to writers-outside (not selected)"), "{busy}");
    let whole = lab.setup("writers").begin().precheck();
    assert!(!codes(&whole).contains("KF-PRE-TRANSACTIONS-SPAN"), "{whole}");
}

/// Which versions a client speaks is told by no request; what it said when it joined is.
#[test]
fn groups_that_speak_as_old_clients_do_are_named() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("elders-orders", 1)]);
    // The groups' coordinator comes into being with the first commit.
    agent.commit_group_offsets(&source, "elders-young", &[Commit::new("elders-orders", 0, 0, "")]);
    agent.hold_group(&source, "elders-young", &["elders-orders"]);
    let port = source.rsplit_once(':').unwrap().1.parse().unwrap();
    let elder = OldConsumer::join(port, "elders-elder", "elders-orders").expect("a 3.9 broker takes JoinGroup v0");
    let migration = lab.setup("elders").begin();
    let told = seen(&migration.precheck(), "KF-PRE-OLD-CLIENTS");
    assert!(told.starts_with("the target is 4.1, the source 3.9") && told.ends_with("1 group with members that speak the consumers' protocol in its first version, as Java clients from before 2.4 and some other libraries do, look at these first: elders-elder"), "{told}");
    drop(elder);
    agent.release_group(&source, "elders-young");
}

/// What Streams, Connect and registries keep is known by its names; `apps` has them at work.
#[test]
fn applications_that_are_selected_in_part_are_named() {
    let (lab, agent) = (calm(), Agent::shared());
    let source = lab.source.bootstrap();
    let own = ["parts-app-totals-changelog", "parts-app-by-key-repartition", "parts-connect-configs", "parts-connect-offsets", "parts-connect-status"];
    agent.create_topics(&source, &own.map(|name| Topic::new(name, 1)));
    agent.create_topics(&source, &[Topic::new("parts-orders", 1)]);
    agent.produce(&source, "parts-orders", &Load::records(5));
    agent.commit_group_offsets(&source, "parts-app", &[Commit::new("parts-orders", 0, 3, "")]);
    let partly = lab.setup("parts").topics(&["parts-orders", "parts-app-totals-*", "parts-connect-configs"]).begin().precheck();
    let named: Vec<String> = found(&partly, "warning").into_iter().filter(|(code, _)| code == "KF-PRE-APP-PARTLY").map(|(_, subject)| subject).collect();
    assert_eq!(named, ["parts-app", "connect"], "{partly}");
    assert!(seen(&partly, "KF-PRE-APP-PARTLY").contains("selected: parts-app-totals-changelog, not selected: parts-app-by-key-repartition"), "{partly}");
    let whole = lab.setup("parts").begin().precheck();
    assert!(!codes(&whole).contains("KF-PRE-APP-PARTLY"), "{whole}");
    assert!(seen(&whole, "KF-PRE-STREAMS").starts_with("1 application: parts-app (2 topics of its own: "), "{whole}");
    let mapped = lab.setup("parts").offsets("mapped").begin().precheck();
    assert!(seen(&mapped, "KF-PRE-STREAMS").contains("local state (state.dir, with its checkpoints) has to be deleted"), "{mapped}");
}

/// Files of a directory, each with its size and what it holds.
fn files(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(format!("{} {:?}", path.display(), std::fs::read(&path).map(|bytes| bytes.len()))),
        }
    }
    all.sort();
    all
}

/// An old and oddly kept source, and a target that was set up in haste. Both are this scenario's alone, so that all of them can be compared afterwards.
#[test]
fn an_old_source_and_a_hasty_target_are_told_by_code_and_looking_changes_nothing() {
    let dirs = WorkDir::new("log-dirs");
    let (one, two) = (dirs.dir("one"), dirs.dir("two"));
    let lab = Lab::start(
        1,
        Options::default()
            .authorizer()
            .prop("inter.broker.protocol.version", "2.7")
            .prop("log.dirs", format!("{},{}", one.display(), two.display()))
            .prop("delegation.token.master.key", "not-for-logs-token-key")
            .prop("password.encoder.secret", "not-for-logs-encoder")
            .prop("num.partitions", 6)
            .prop("transaction.max.timeout.ms", 1_800_000)
            .prop("log.retention.check.interval.ms", 3_600_000),
        Options::default().release("4.0-IV3").prop("transaction.state.log.replication.factor", 3),
    );
    let (agent, source, target) = (Agent::shared(), lab.source.bootstrap(), lab.target.bootstrap());
    agent.alter_broker_configs(&source, "1", &[("log.cleaner.threads", "2")], &[]);
    agent.create_topics(
        &source,
        &[
            Topic::new("odd-old", 1).config("message.format.version", "0.10.2"),
            Topic::new("odd-settings", 1).config("leader.replication.throttled.replicas", "0:1").config("segment.bytes", 65_536).config("max.message.bytes", 3 << 20),
            Topic::new("odd-brief", 1).config("retention.ms", 60_000),
            Topic::new("odd-trimmed", 1),
            Topic::new("odd-large", 1),
            Topic::new("_schemas", 1).config("cleanup.policy", "compact"),
            Topic::new("__CruiseControlMetrics", 1),
        ],
    );
    agent.produce(&source, "odd-old", &Load::records(20).not_idempotent());
    agent.produce(&source, "odd-trimmed", &Load::records(20));
    agent.delete_records(&source, "odd-trimmed", 0, 7);
    agent.commit_group_offsets(&source, "odd-readers", &[Commit::new("odd-trimmed", 0, 9, "")]);
    agent.commit_group_offsets(&source, "KMOffsetCache-host", &[Commit::new("odd-trimmed", 0, 9, "")]);
    agent.create_acls(&source, &[Acl::allow("User:shop", "READ", "TOPIC", "odd-trimmed")]);
    agent.begin_transaction(&source, "odd-tx", "odd-brief", &Load::records(3), 60_000);
    agent.end_transaction("odd-tx", true);
    agent.create_topics(&target, &[Topic::new("odd-elsewhere", 1), Topic::new("odd-large", 1).config("retention.ms", 1_000_000)]);
    agent.hold_group(&target, "odd-readers", &["odd-elsewhere"]);
    let setup = || lab.setup("odd").topics(&["odd-*", "_schemas"]);
    let stores = || (files(&lab.s3.bucket_dir(BUCKET)), files(&lab.s3.dir().join("versions")));
    let before = (everything(&source), everything(&target), stores());

    let migration = setup().set("topology.replication_factor", "3").begin();
    let outcome = migration.run("precheck").expect_code(4);
    let expected = [
        ("blocker", "KF-PRE-OLD-FORMAT", "odd-old"),
        ("information", "KF-PRE-NO-TOPIC-IDS", ""),
        ("warning", "KF-PRE-ZOOKEEPER-TOOLS", "source"),
        ("information", "KF-PRE-DYNAMIC-SETTINGS", "source"),
        ("warning", "KF-PRE-DELEGATION-TOKENS", "source"),
        ("information", "KF-PRE-BROKER-DEFAULTS", "target"),
        ("warning", "KF-PRE-CLIENT-LIMITS", "target"),
        ("warning", "KF-PRE-CONTROLLERS", "target"),
        ("information", "KF-PRE-FEATURE-LEVEL", "target"),
        ("warning", "KF-PRE-UNKNOWN-CONFIG", "odd-old"),
        ("information", "KF-PRE-CONFIG-LEFT-OUT", "odd-settings"),
        ("warning", "KF-PRE-CONFIG-ADJUSTED", "odd-settings"),
        ("information", "KF-PRE-MESSAGE-SIZE", ""),
        ("warning", "KF-PRE-SHORT-RETENTION", "odd-brief"),
        ("information", "KF-PRE-PREFIX-COST", ""),
        ("warning", "KF-PRE-REPLICATION-REDUCED", "odd-trimmed"),
        ("warning", "KF-PRE-TOPIC-DRIFT", "odd-large"),
        ("warning", "KF-PRE-AUTHORIZER-MISSING", "target"),
        ("warning", "KF-PRE-OTHERS-MAY-WRITE", "target"),
        ("warning", "KF-PRE-TRANSACTION-STATE", "target"),
        ("warning", "KF-PRE-GROUP-ON-TARGET", "odd-readers"),
        ("information", "KF-PRE-SCHEMA-REGISTRY", "source"),
    ];
    for (severity, code, subject) in expected {
        expect_found(&outcome, severity, code, subject);
    }
    let in_place = seen(&outcome, "KF-PRE-IN-PLACE");
    for said in [
        "does not apply to this cluster as it stands",
        "NO: inter.broker.protocol.version is 3.9 (2.7 is set)",
        "yes: one log directory per broker, or 3.7 (KIP-858) (1 broker with several)",
        "yes: 3.6 or later, because there may be delegation tokens",
        "NO: no tool and no client speaks to ZooKeeper directly (look at topic __CruiseControlMetrics",
        "yes: authorizer.class.name is kafka.security.authorizer.AclAuthorizer",
    ] {
        assert!(in_place.contains(said), "{said}: {in_place}");
    }
    assert!(seen(&outcome, "KF-PRE-ZOOKEEPER-TOOLS").contains("group KMOffsetCache-host (CMAK"), "{outcome}");
    assert_eq!(seen(&outcome, "KF-PRE-DYNAMIC-SETTINGS"), "1 setting: log.cleaner.threads (on broker 1)");
    assert!(seen(&outcome, "KF-PRE-CLIENT-LIMITS").contains("transaction.max.timeout.ms is 1800000 on the source, 900000 on the target"), "{outcome}");
    assert!(seen(&outcome, "KF-PRE-BROKER-DEFAULTS").contains("num.partitions is 6 on the source, 1 on the target"), "{outcome}");
    assert!(seen(&outcome, "KF-PRE-KRAFT-OPERATIONS").contains("that the target's do not know: password.encoder.secret"), "{outcome}");

    // Everything that a plan is written as, and precheck again, as people read it.
    migration.run("plan").ok();
    let text = migration.kferry().run(&["precheck", "--config", "kferry.yaml"]).expect_code(4);
    setup().set("cutover.freeze_settle_window", "200ms").offsets("mapped").begin().run("precheck").expect_code(4);
    for printed in [outcome.to_string(), text.to_string(), std::fs::read_to_string(migration.dir().join("plan/plan.json")).unwrap()] {
        assert!(!printed.contains("not-for-logs"), "a secret is printed");
    }
    let after = (everything(&source), everything(&target), stores());
    for (name, before, after) in [("source", &before.0, &after.0), ("target", &before.1, &after.1)] {
        for (part, was) in before.as_object().unwrap() {
            assert_eq!(after[part], *was, "looking changed {part} of the {name}");
        }
    }
    assert_eq!(after.2, before.2, "looking changed the bucket");
    assert!(before.0["transactional ids"].to_string().contains("odd-tx"), "the coordinators were not asked: {}", before.0["transactional ids"]);
    agent.release_group(&target, "odd-readers");
}

/// More than a million offsets without a record, and a target that lets kferry write markers one by one only.
#[test]
fn holes_that_cost_a_working_day_are_refused_or_mapped_and_those_that_cost_a_minute_are_not() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    let topic = Topic::new("dear-states", 1).config("cleanup.policy", "compact").config("min.cleanable.dirty.ratio", 0.01).config("segment.ms", 1_000);
    agent.create_topics(&source, &[topic]);
    agent.produce(&source, "dear-states", &Load::records(1_300_000).keys(20).values(8, 16).codec("lz4"));
    std::thread::sleep(Duration::from_millis(1_200));
    // The segment before the last is the last one that is compacted.
    agent.produce(&source, "dear-states", &Load::records(20).keys(20).values(8, 16));
    let proxied = || lab.setup("dear").target(&lab.target.proxied_bootstrap());
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let cheap = loop {
        let outcome = proxied().offsets("identical").begin().precheck();
        if outcome.json()["selected"]["holes_estimated"].as_i64() > Some(1_200_000) {
            break outcome;
        }
        assert!(std::time::Instant::now() < deadline, "the log is not compacted: {outcome}");
        std::thread::sleep(Duration::from_secs(1));
    };
    assert!(!codes(&cheap).contains("KF-PRE-HOLES-TOO-DEAR") && !codes(&cheap).contains("KF-PRE-MAPPED-FOR-COST"), "{cheap}");
    lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, true));
    let (identical, auto) = (proxied().offsets("identical").begin().run("precheck"), proxied().begin().run("precheck"));
    lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, false));
    expect_found(&identical, "blocker", "KF-PRE-HOLES-TOO-DEAR", "dear-states");
    expect_found(&auto, "warning", "KF-PRE-MAPPED-FOR-COST", "dear-states");
    assert!(!codes(&auto).contains("KF-PRE-HOLES-TOO-DEAR"), "{auto}");
}

/// What the configuration, the stores and the host alone can be asked.
#[test]
fn stores_and_settings_that_cannot_be_used_are_told() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new("unusable-orders", 1)]);
    let with = |more: &str| Desk::new(&source, &target, &format!("{}{more}", only(&["unusable-orders"])));
    let desk = with("");
    let blockers: Vec<String> = found(&desk.precheck(), "blocker").into_iter().map(|(code, _)| code).collect();
    assert!(blockers.is_empty(), "{blockers:?}");
    let yaml = desk.read("kferry.yaml");
    for (at, store) in [("  backup:\n    directory: segments", "backup"), ("  evidence:\n    directory: evidence", "evidence")] {
        // A file where a directory would have to be.
        let (folder, _) = at.rsplit_once(' ').unwrap();
        desk.dir.file("kferry.yaml", &yaml.replace(at, &format!("{folder} kferry.key/below")));
        let outcome = desk.precheck().expect_code(4);
        let blockers = found(&outcome, "blocker");
        assert!(blockers.iter().any(|(code, subject)| code == "KF-PRE-STORE-UNREACHABLE" && subject == store), "{store}: {outcome}");
    }
    let outcome = with("  cutover:\n    freeze: acl\n").precheck();
    expect_found(&outcome, "blocker", "KF-PRE-FREEZE-UNSUPPORTED", "");
    let outcome = with("  cutover:\n    sentinel: visible\n").precheck();
    expect_found(&outcome, "blocker", "KF-PRE-SENTINEL-UNSUPPORTED", "");
    let outcome = with("  cutover:\n    freeze: manual\n    sentinel: invisible\n").precheck();
    assert!(!codes(&outcome).iter().any(|code| code.ends_with("-UNSUPPORTED")), "{outcome}");
}

/// Most of the log lies in remote storage alone; the copy has all of it, transactions too.
#[test]
#[ignore = "slow: tests/full runs it"]
fn tiered_storage_is_told_and_all_of_the_log_is_copied() {
    let source = Options::default().tiered().prop("log.initial.task.delay.ms", 500).prop("log.retention.check.interval.ms", 500).prop("log.segment.delete.delay.ms", 100);
    let lab = Lab::start(1, source, Options::default());
    let (agent, source) = (Agent::shared(), lab.source.bootstrap());
    let topics = ["tiered-orders", "tiered-woven", "tiered-local"];
    let tiered = |name| Topic::new(name, 2).config("remote.storage.enable", true).config("local.retention.bytes", 1).config("segment.bytes", 20 << 10);
    agent.create_topics(&source, &[tiered(topics[0]), tiered(topics[1]), Topic::new(topics[2], 1)]);
    agent.produce(&source, topics[0], &Load::records(5_000).values(100, 400).batches(4 << 10, 5).codec("lz4").odd_headers());
    let woven = agent.weave(&source, &topics[1..2], &Weave::new("tiered-weave", 300), &Load::records(0).values(100, 400));
    agent.produce(&source, topics[2], &Load::records(100));
    assert!(woven.aborted > 100, "{woven:?}");
    // Where a partition's local segments begin, by the first one's name.
    let first_local = |partition: &str| -> i64 {
        let names = std::fs::read_dir(lab.source.log_dir(1).join(partition)).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).min().unwrap_or(0)
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let partitions = ["tiered-orders-0", "tiered-orders-1", "tiered-woven-0", "tiered-woven-1"];
    while partitions.iter().any(|p| first_local(p) < 200) {
        assert!(std::time::Instant::now() < deadline, "local segments begin at {:?}", partitions.map(first_local));
        std::thread::sleep(Duration::from_millis(500));
    }
    std::thread::sleep(Duration::from_secs(2));

    let migration = lab.setup("tiered").begin();
    let outcome = migration.precheck();
    expect_found(&outcome, "warning", "KF-PRE-TIERED-STORAGE", topics[0]);
    assert!(!found(&outcome, "warning").contains(&("KF-PRE-TIERED-STORAGE".into(), topics[2].into())), "{outcome}");
    let told = seen(&outcome, "KF-PRE-TIERED-STORAGE");
    assert!(told.ends_with("what is in remote storage is in none of them"), "{told}");
    migration.execute();
    migration.cutover();
    migration.conclude();
    migration.expect_same(&lab, &topics);
    assert_eq!(migration.expect_verified()["outcome"], "PASSED");
}

/// Ten million records of which compaction leaves every second one: as many runs as records.
#[test]
#[ignore = "slow: tests/full runs it"]
fn an_offset_map_that_nobody_could_hold_is_refused() {
    // The cleaner remembers 24 bytes of every key, in a heap that has room for them.
    let lab = Lab::start(1, Options::default().throughput().prop("log.cleaner.dedupe.buffer.size", 200 << 20), Options::default());
    let (agent, source) = (Agent::shared(), lab.source.bootstrap());
    // Compacted once all of it is there, so that it is cleaned once.
    agent.create_topics(&source, &[Topic::new("runs-states", 1).config("segment.ms", 1_000).config("retention.ms", -1)]);
    let began = std::time::Instant::now();
    agent.produce(&source, "runs-states", &Load::records(10_400_000).alternating_keys().values(1, 1).codec("lz4").batches(256 << 10, 20));
    println!("produced after {:.1?}", began.elapsed());
    let mapped = || lab.setup("runs").offsets("mapped").begin();
    let whole = mapped().precheck();
    assert!(!codes(&whole).contains("KF-PRE-MAP-TOO-LARGE"), "{whole}");
    agent.alter_topic_configs(&source, "runs-states", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")], &[]);
    std::thread::sleep(Duration::from_millis(1_200));
    // The segment before the last is the last one that is compacted.
    agent.produce(&source, "runs-states", &Load::records(2));
    let outcome = loop {
        let outcome = mapped().run("precheck");
        if codes(&outcome).contains("KF-PRE-MAP-TOO-LARGE") {
            break outcome;
        }
        assert!(began.elapsed() < Duration::from_secs(240), "the log is not compacted: {outcome}");
        std::thread::sleep(Duration::from_secs(2));
    };
    println!("compacted after {:.1?}: {}", began.elapsed(), seen(&outcome, "KF-PRE-MAP-TOO-LARGE"));
    expect_found(&outcome, "blocker", "KF-PRE-MAP-TOO-LARGE", "");
    assert!(seen(&outcome, "KF-PRE-MAP-TOO-LARGE").starts_with("about 5,"), "{outcome}");
    let identical = lab.setup("runs").offsets("identical").begin().run("precheck");
    assert!(!codes(&identical).contains("KF-PRE-MAP-TOO-LARGE"), "{identical}");
}

/// A broker that says that it is ready for its own migration, whose controllers are not there yet.
#[test]
#[ignore = "slow: tests/full runs it"]
fn a_source_in_a_migration_of_its_own_is_told() {
    let nobody = crate::lab::process::free_port();
    let source = Cluster::zookeeper(
        1,
        Options::default()
            .prop("zookeeper.metadata.migration.enable", true)
            .prop("controller.quorum.voters", format!("3000@127.0.0.1:{nobody}"))
            .prop("controller.listener.names", "CONTROLLER"),
    );
    let agent = Agent::shared();
    agent.create_topics(&source.bootstrap(), &[Topic::new("migrating-orders", 1)]);
    let target = format!("127.0.0.1:{}", crate::lab::process::free_port());
    let outcome = Desk::new(&source.bootstrap(), &target, &only(&["migrating-orders"])).precheck();
    expect_found(&outcome, "warning", "KF-PRE-SOURCE-MIGRATING", "source");
    let seen = seen(&outcome, "KF-PRE-SOURCE-MIGRATING");
    assert!(seen.contains("zookeeper.metadata.migration.enable is true") && seen.contains("brokers that say zkMigrationReady: 1"), "{seen}");
}

/// A source whose segments have holes in the file system: its brokers tell more bytes than the target's volumes have free, or just as many as MSK's hold.
#[test]
#[ignore = "slow: tests/full runs it"]
fn a_copy_that_the_targets_volumes_can_hardly_hold_or_not_at_all_is_told() {
    const HOLLOW_BYTES: u64 = 2_000_000_000;
    /// Of 1 GiB that is 93 %.
    const TIGHT_BYTES: u64 = 1_000_000_000;
    let lab = Lab::start(1, Options::default(), Options::default());
    let (agent, source) = (Agent::shared(), lab.source.bootstrap());
    let migration = lab.setup("room").begin();
    for topic in ["room-orders", "tight-orders"] {
        agent.create_topics(&source, &[Topic::new(topic, 1).config("segment.bytes", 400)]);
        agent.produce(&source, topic, &Load::records(500).one_record_batches().values(100, 150));
    }
    let (msk, plaintext) = (Msk::start(), [("mode", "plaintext".to_owned())]);
    let arn = msk.add("new", "4.1.x.kraft", json!({ "bootstrapBrokerString": lab.target.bootstrap() }));
    let by_arn = lab.setup("tight").source_auth(&plaintext).target_auth(&plaintext).target_by_arn(&arn, &[("endpoint_url", &msk.endpoint())]).begin();
    let volume_gib = |size: i32| {
        msk.edit(&arn, |c| {
            c.info["provisioned"]["numberOfBrokerNodes"] = json!(1);
            c.info["provisioned"]["brokerNodeGroupInfo"]["storageInfo"]["ebsStorageInfo"]["volumeSize"] = json!(size);
        });
    };
    let roomy = migration.precheck();
    assert!(!codes(&roomy).contains("KF-PRE-DISK-SHORT"), "{roomy}");
    lab.source.stop_broker(1);
    let hollow = |topic: &str, bytes: u64, most: usize| {
        let mut segments: Vec<_> = std::fs::read_dir(lab.source.log_dir(1).join(format!("{topic}-0"))).unwrap().flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
        segments.sort();
        // The last ones are read to find the log's end.
        for segment in segments[..segments.len() - 5].iter().take(most) {
            std::fs::File::options().write(true).open(segment).unwrap().set_len(bytes).unwrap();
        }
    };
    hollow("room-orders", HOLLOW_BYTES, usize::MAX);
    hollow("tight-orders", TIGHT_BYTES, 1);
    lab.source.start_broker(1);
    lab.source.wait_ready();
    let outcome = migration.run("precheck").expect_code(4);
    expect_found(&outcome, "blocker", "KF-PRE-DISK-SHORT", "target");
    let told = seen(&outcome, "KF-PRE-DISK-SHORT");
    assert!(told.contains("with all replicas; the target's volumes have "), "{told}");

    volume_gib(1);
    // A hole that is sampled is taken for an old format, which is a finding of its own.
    let tight = by_arn.run("precheck");
    expect_found(&tight, "warning", "KF-PRE-MSK-DISK-TIGHT", "target");
    let told = seen(&tight, "KF-PRE-MSK-DISK-TIGHT");
    assert!(told.ends_with("there: 1 GiB on each of 1 broker"), "{told}");
    volume_gib(2);
    let roomy = by_arn.run("precheck");
    assert!(!codes(&roomy).iter().any(|code| code.starts_with("KF-PRE-MSK-DISK")), "{roomy}");
}

/// Ten thousand million offsets below a log's start are the most that are filled.
#[test]
fn a_log_that_begins_far_on_is_refused_or_mapped() {
    const AT_MOST: i64 = 10_000_000_000;
    let (source, agent) = (Cluster::zookeeper(1, Options::default()), Agent::shared());
    let one = source.bootstrap();
    let logs = [("far-enough", AT_MOST), ("far-too-far", AT_MOST + 1)];
    agent.create_topics(&one, &logs.map(|(name, _)| Topic::new(name, 1)));
    source.stop_broker(1);
    for (topic, offset) in logs {
        source.begin_log_at(1, topic, 0, offset);
    }
    source.start_broker(1);
    source.wait_ready();
    for (topic, offset) in logs {
        agent.produce(&one, topic, &Load::records(5));
        let span = &agent.offsets(&one)[&(topic.to_owned(), 0)];
        let first = agent.read(&one, topic, false)[0].offset;
        assert_eq!((span.log_start, first, span.log_end), (offset, offset, offset + 5));
    }

    let precheck = |mode: &str| Desk::new(&one, &calm().target.bootstrap(), &format!("{}  offsets: {mode}\n", only(&["far-*"]))).precheck();
    let of = |outcome: &Outcome, code: &str| -> Vec<String> {
        let all = ["blocker", "warning"].map(|severity| found(outcome, severity)).concat();
        all.into_iter().filter(|(found, _)| found == code).map(|(_, subject)| subject).collect()
    };
    let identical = precheck("identical").expect_code(4);
    assert_eq!(of(&identical, "KF-PRE-PREFIX-TOO-DEAR"), ["far-too-far"], "{identical}");
    assert!(seen(&identical, "KF-PRE-PREFIX-TOO-DEAR").starts_with("partition 0 begins at offset 10000000001 (about "), "{identical}");
    let auto = precheck("auto").expect_code(3);
    assert!(of(&auto, "KF-PRE-PREFIX-TOO-DEAR").is_empty(), "{auto}");
    assert_eq!(of(&auto, "KF-PRE-MAPPED-FOR-COST"), ["far-too-far"], "{auto}");
}

/// Three brokers on each side are calm; then one of each goes.
#[test]
#[ignore = "slow: tests/full runs it"]
fn brokers_that_are_missing_are_told_by_number_with_what_they_leave_behind() {
    let lab = Lab::start(3, Options::default(), Options::default());
    let (agent, source, target) = (Agent::shared(), lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new("gone-safe", 3).replication(3), Topic::new("gone-alone", 6).replication(1)]);
    agent.create_topics(&target, &[Topic::new("gone-elsewhere", 6).replication(1)]);
    agent.produce(&source, "gone-safe", &Load::records(100));
    let migration = lab.setup("gone").begin();
    let calm = migration.precheck();
    let troubles = ["KF-PRE-SOURCE-UNHEALTHY", "KF-PRE-TARGET-UNHEALTHY", "KF-PRE-TOPIC-UNREADABLE"];
    assert!(troubles.iter().all(|code| !codes(&calm).contains(*code)), "{calm}");
    // Three voters are a quorum; that they are brokers, too, is told and no warning.
    expect_found(&calm, "information", "KF-PRE-CONTROLLERS", "target");

    lab.source.kill_broker(3);
    lab.target.kill_broker(3);
    std::thread::sleep(Duration::from_secs(12));
    let outcome = migration.run("precheck").expect_code(4);
    expect_found(&outcome, "blocker", "KF-PRE-TOPIC-UNREADABLE", "gone-alone");
    expect_found(&outcome, "warning", "KF-PRE-SOURCE-UNHEALTHY", "source");
    expect_found(&outcome, "warning", "KF-PRE-TARGET-UNHEALTHY", "target");
    for code in ["KF-PRE-SOURCE-UNHEALTHY", "KF-PRE-TARGET-UNHEALTHY"] {
        let seen = seen(&outcome, code);
        assert!(seen.contains("that are not there: 3") && seen.contains("without a leader"), "{seen}");
    }
    assert!(seen(&outcome, "KF-PRE-TARGET-UNHEALTHY").contains("KRaft voter 3 has "), "{outcome}");
    assert!(seen(&outcome, "KF-PRE-IN-PLACE").contains("NO: every broker is there"), "{outcome}");
}
