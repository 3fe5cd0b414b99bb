//! Topic settings and ACLs: all of them arrive, WRITE only with the commit, and a rollback leaves what was there before.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use crate::lab::{Acl, Agent, Load, Options, Topic};
use crate::migration::{Lab, Migration};

/// One broker each with an authorizer, the target's behind a proxy too.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let lab = Lab::start(1, Options::default().authorizer(), Options::default().authorizer().proxied());
        Agent::shared().create_topics(&lab.target.bootstrap(), &[Topic::new("topology-bare", 1)]);
        lab
    })
}

/// Bindings of every resource and pattern type, some of which let their principals write to topics.
fn bindings(prefix: &str) -> (Vec<Acl>, Vec<Acl>) {
    let topic = format!("{prefix}-orders");
    let quiet = vec![
        Acl::allow("User:reader", "READ", "TOPIC", &topic),
        Acl::allow("User:reader", "DESCRIBE", "TOPIC", &topic).host("10.1.2.3"),
        Acl::allow("User:reader", "READ", "GROUP", &format!("{prefix}-group")),
        Acl::allow("User:readers", "READ", "GROUP", prefix).prefixed(),
        Acl::allow("User:admin", "ALTER", "CLUSTER", "kafka-cluster"),
        Acl::allow("User:idem", "IDEMPOTENT_WRITE", "CLUSTER", "kafka-cluster"),
        Acl::allow("User:tx", "WRITE", "TRANSACTIONAL_ID", &format!("{prefix}-tx")),
        Acl::allow("User:tx", "DESCRIBE", "TRANSACTIONAL_ID", prefix).prefixed(),
        Acl::allow("User:tokens", "DESCRIBE", "DELEGATION_TOKEN", &format!("{prefix}-token")),
        Acl::allow("User:tokens", "CREATE_TOKENS", "USER", "User:reader"),
        Acl::allow("User:mallory", "WRITE", "TOPIC", &topic).deny(),
        Acl::allow("User:mallory", "ALL", "TOPIC", prefix).prefixed().deny(),
        Acl::allow("User:everyone", "READ", "TOPIC", "*"),
    ];
    let writing = vec![
        Acl::allow("User:writer", "WRITE", "TOPIC", &topic),
        Acl::allow("User:writer", "WRITE", "TOPIC", prefix).prefixed().host("127.0.0.1"),
        Acl::allow("User:owner", "ALL", "TOPIC", &topic),
        Acl::allow("User:everywhere", "WRITE", "TOPIC", "*"),
    ];
    (quiet, writing)
}

fn sorted(acls: impl IntoIterator<Item = Acl>) -> Vec<Acl> {
    let mut acls: Vec<Acl> = acls.into_iter().collect();
    acls.sort();
    acls.dedup();
    acls
}

fn clear_acls() {
    let agent = Agent::shared();
    for bootstrap in [lab().source.bootstrap(), lab().target.bootstrap()] {
        let all = agent.describe_acls(&bootstrap);
        if !all.is_empty() {
            agent.delete_acls(&bootstrap, &all);
        }
    }
}

fn settings(topic: &str) -> Vec<(&'static str, String)> {
    let all: &[(&str, &str)] = match topic {
        "orders" => &[
            ("retention.ms", "1209600000"),
            ("retention.bytes", "1073741824"),
            ("segment.bytes", "16777216"),
            ("segment.ms", "3600000"),
            ("max.message.bytes", "2097152"),
            ("min.insync.replicas", "1"),
            ("compression.type", "lz4"),
            ("unclean.leader.election.enable", "false"),
            ("flush.messages", "100000"),
            ("message.timestamp.after.max.ms", "7200000"),
        ],
        "plain" => &[],
        // Gone in 4.0.
        "obsolete" => &[("message.format.version", "3.0"), ("delete.retention.ms", "43200000")],
        _ => unreachable!("no such topic"),
    };
    all.iter().map(|(name, value)| (*name, value.to_string())).collect()
}

fn create_topics(prefix: &str) -> Vec<String> {
    let agent = Agent::shared();
    let source = lab().source.bootstrap();
    let topics: Vec<Topic> = [("orders", 5), ("plain", 1), ("obsolete", 2)]
        .into_iter()
        .map(|(name, partitions)| Topic { configs: settings(name).into_iter().map(|(n, v)| (n.to_owned(), v)).collect(), ..Topic::new(&format!("{prefix}-{name}"), partitions) })
        .collect();
    agent.create_topics(&source, &topics);
    for topic in &topics {
        agent.produce(&source, &topic.name, &Load::records(1_000).codec("zstd"));
    }
    topics.into_iter().map(|t| t.name).collect()
}

/// Whatever both versions know has the source's effective value, and nothing stands on the topic that does not have to.
#[track_caller]
fn expect_settings_of_source(topic: &str) {
    let agent = Agent::shared();
    let (there, effective_there) = agent.topic_configs(&lab().source.bootstrap(), topic);
    let (here, effective_here) = agent.topic_configs(&lab().target.bootstrap(), topic);
    for (name, value) in &effective_here {
        if let Some(wanted) = effective_there.get(name) {
            assert_eq!(value, wanted, "{topic}: {name}");
        }
    }
    for (name, value) in there.iter().filter(|(name, _)| effective_here.contains_key(*name)) {
        assert_eq!(here.get(name), Some(value), "{topic}: {name} stands on the source's topic");
    }
    for (name, value) in &here {
        let default = agent.topic_configs(&lab().target.bootstrap(), "topology-bare").1;
        assert!(there.contains_key(name) || default.get(name) != Some(value), "{topic}: {name}={value} is the target's default, and still it stands on the topic");
    }
}

fn partition_counts(bootstrap: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    Agent::shared().offsets(bootstrap).into_keys().for_each(|(topic, _)| *counts.entry(topic).or_default() += 1);
    counts
}

#[test]
fn settings_and_bindings_arrive_and_writes_wait_for_the_commit() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls();
    let topics = create_topics("acl");
    let (quiet, writing) = bindings("acl");
    agent.create_acls(&source, &[quiet.clone(), writing.clone()].concat());
    let theirs = Acl::allow("User:only-on-target", "READ", "TOPIC", "elsewhere");
    agent.create_acls(&target, std::slice::from_ref(&theirs));

    let migration = lab.setup("acl").begin();
    let precheck = migration.precheck();
    assert!(precheck.stdout.contains("message.format.version"), "a setting that the target does not know is not listed: {precheck}");
    migration.execute();
    assert_eq!(agent.describe_acls(&target), sorted([quiet.clone(), vec![theirs.clone()]].concat()), "before the commit");
    let overridden = agent.topic_configs(&target, "acl-orders").0;
    assert_eq!((overridden["cleanup.policy"].as_str(), overridden["compression.type"].as_str(), overridden["retention.ms"].as_str()), ("delete", "producer", "-1"));
    let counts = partition_counts(&target);
    for topic in &topics {
        assert_eq!(counts[topic], partition_counts(&source)[topic], "{topic}");
    }
    agent.alter_topic_configs(&target, "acl-orders", &[("flush.ms", "4711")], &[]);
    let committed = migration.run("cutover").ok();
    assert!(committed.stderr.contains("topic acl-orders: what somebody has set on the target since the plan gives way to the plan's settings: flush.ms was 4711"), "{committed}");
    assert_eq!(committed.stderr.matches("gives way").count(), 1, "what kferry itself has set is told: {committed}");
    assert_eq!(agent.describe_acls(&target), sorted([quiet, writing, vec![theirs]].concat()), "after the commit, merged");
    for topic in &topics {
        expect_settings_of_source(topic);
    }
    assert!(!agent.topic_configs(&target, "acl-obsolete").1.contains_key("message.format.version"));
    migration.conclude();
    let verified = migration.expect_verified();
    assert!(verified["not_covered"].to_string().contains("message.format.version"), "{verified:#}");
    migration.expect_same(lab, &topics);
}

#[test]
fn replace_and_refuse() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls();
    let topics = create_topics("drift");
    let (quiet, writing) = bindings("drift");
    let all = [quiet, writing].concat();
    agent.create_acls(&source, &all);
    let foreign = vec![Acl::allow("User:foreign", "READ", "TOPIC", "drift-orders"), Acl::allow("User:foreign", "WRITE", "TOPIC", "drift").prefixed()];
    agent.create_acls(&target, &foreign);
    let adopted = Topic::new("drift-orders", 5).config("retention.ms", 1_000_000).config("max.compaction.lag.ms", 99_999_999);
    agent.create_topics(&target, &[adopted]);

    let refusing = lab.setup("drift").set("topology.on_config_drift", "refuse").set("acl.on_drift", "refuse").begin();
    let outcome = refusing.run("precheck").expect_code(4);
    for code in ["KF-PRE-ACL-DRIFT-REFUSED", "KF-PRE-TOPIC-DRIFT-REFUSED"] {
        assert!(outcome.stdout.contains(code), "no {code}: {outcome}");
    }
    refusing.run("execute").expect_code(4);
    assert_eq!(agent.describe_acls(&target), sorted(foreign.clone()));

    let replacing = lab.setup("drift").set("topology.on_config_drift", "replace").set("acl.on_drift", "replace").begin();
    replacing.precheck();
    let shown = replacing.execute().stderr;
    for line in [
        "- User:foreign ALLOW READ on TOPIC `drift-orders` (LITERAL) (only on the target, removed; a rollback puts it back)",
        "- User:foreign ALLOW WRITE on TOPIC `drift` (PREFIXED)",
        "+ User:writer ALLOW WRITE on TOPIC `drift` (PREFIXED) from host 127.0.0.1 (after the commit)",
        "~ topic drift-orders: retention.ms=1000000 becomes 1209600000 (after the commit)",
        "- topic drift-orders: max.compaction.lag.ms=99999999 gives way to the target's default",
    ] {
        assert!(shown.contains(line), "{line:?} is not shown before it is done: {shown}");
    }
    replacing.run("plan").ok();
    let runbook = std::fs::read_to_string(replacing.dir().join("plan/runbook.md")).unwrap();
    assert!(runbook.contains("## What changes on the target beside its topics"), "{runbook}");
    replacing.cutover();
    assert_eq!(agent.describe_acls(&target), sorted(all), "the target's own bindings are replaced");
    for topic in &topics {
        expect_settings_of_source(topic);
    }
    replacing.conclude();
    replacing.expect_same(lab, &topics);
}

/// What nobody was shown is neither removed nor passed over where the policy is to refuse.
#[test]
fn what_appears_on_the_target_after_the_plan_is_refused_or_left_alone() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls();
    create_topics("since");
    let adopted = Topic::new("since-plain", 1).config("retention.ms", 604_800_000);
    agent.create_topics(&target, &[adopted]);
    let reader = Acl::allow("User:reader", "READ", "TOPIC", "since-orders");
    agent.create_acls(&source, std::slice::from_ref(&reader));
    let stranger = Acl::allow("User:stranger", "READ", "TOPIC", "since-orders");
    // The fifth entry begins TOPOLOGY_COPY.
    let planned = |policy: &str| {
        let migration = lab.setup("since").set("acl.on_drift", policy).set("topology.on_config_drift", policy).begin();
        assert_eq!(migration.run_with("execute", &[("KFERRY_ABORT_AT_ENTRY", "after:5".to_owned())]).code, None);
        migration.expect_state("topology_copy");
        agent.create_acls(&target, std::slice::from_ref(&stranger));
        migration
    };
    let migration = planned("refuse");
    let outcome = migration.run("execute").expect_code(4);
    assert!(outcome.stderr.contains("KF-ACL-DRIFT") && outcome.stderr.contains("User:stranger"), "{outcome}");
    assert_eq!(agent.describe_acls(&target), [stranger.clone()], "nothing was created");
    agent.delete_acls(&target, std::slice::from_ref(&stranger));
    agent.alter_topic_configs(&target, "since-plain", &[("retention.ms", "77000")], &[]);
    let outcome = migration.run("execute").expect_code(4);
    assert!(outcome.stderr.contains("KF-TOPOLOGY-DRIFT") && outcome.stderr.contains("retention.ms was 604800000 and is 77000"), "{outcome}");
    assert_eq!(agent.topic_configs(&target, "since-plain").0["retention.ms"], "77000");
    agent.alter_topic_configs(&target, "since-plain", &[("retention.ms", "604800000")], &[]);
    migration.execute();
    migration.run("rollback").ok();
    assert!(agent.describe_acls(&target).is_empty());

    agent.delete_topics(&target, &["since-plain"]);
    let migration = planned("replace");
    let outcome = migration.execute();
    assert!(outcome.stderr.contains("they are left alone"), "{outcome}");
    assert_eq!(agent.describe_acls(&target), sorted([reader, stranger.clone()]), "what nobody was shown is not removed");
    migration.run("rollback").ok();
    assert_eq!(agent.describe_acls(&target), [stranger]);
}

#[test]
fn for_an_iam_target_the_plan_has_an_access_map() {
    let (lab, agent) = (lab(), Agent::shared());
    let source = lab.source.bootstrap();
    clear_acls();
    create_topics("map");
    let (quiet, writing) = bindings("map");
    let all = sorted([quiet, writing].concat());
    agent.create_acls(&source, &all);
    let migration = lab.setup("map").begin();
    let path = migration.dir().join("kferry.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, yaml.replacen("  target:\n", "  target:\n    auth:\n      mode: iam\n", 1)).unwrap();
    migration.run("plan").ok();
    let map: serde_json::Value = serde_json::from_slice(&std::fs::read(migration.dir().join("plan/access-map.json")).unwrap()).unwrap();
    let principals = map["principals"].as_array().unwrap();
    let mapped: u64 = principals.iter().map(|p| p["bindings"].as_u64().unwrap()).sum();
    assert_eq!(mapped as usize + map["not_mapped"].as_array().unwrap().len(), all.len(), "{map:#}");
    let of = |name: &str| principals.iter().find(|p| p["principal"] == name).unwrap_or_else(|| panic!("no {name}: {map:#}"))["policy"].to_string();
    assert!(of("User:reader").contains("kafka-cluster:ReadData") && of("User:reader").contains("/map-orders"), "{map:#}");
    assert!(of("User:tx").contains("transactional-id/<CLUSTER_NAME>/<CLUSTER_UUID>/map*"), "{map:#}");
    assert!(of("User:mallory").contains("\"Deny\""), "{map:#}");
    assert!(map["not_mapped"].to_string().contains("10.1.2.3") && map["not_mapped"].to_string().contains("create_tokens"), "{map:#}");
    let precheck = migration.run("precheck").json();
    assert!(precheck.to_string().contains("KF-PRE-ACCESS-MAP"), "{precheck:#}");
}

#[test]
fn a_rollback_removes_exactly_what_was_created() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls();
    create_topics("back");
    let (quiet, writing) = bindings("back");
    agent.create_acls(&source, &[quiet.clone(), writing].concat());
    // Things of others: one binding is the same as one of the source's, one topic will be adopted, one is no concern of ours.
    let theirs = sorted([quiet[0].clone(), Acl::allow("User:foreign", "READ", "TOPIC", "back").prefixed()]);
    agent.create_acls(&target, &theirs);
    agent.create_topics(&target, &[Topic::new("unconcerned", 1).config("retention.ms", 5_000_000), Topic::new("back-plain", 1).config("retention.ms", 6_000_000)]);
    agent.produce(&target, "unconcerned", &Load::records(7));
    let before = agent.topic_configs(&target, "back-plain").0;
    let source_before = (agent.offsets(&source), agent.describe_acls(&source), agent.list_groups(&source));
    let topics_before = agent.list_topics(&target);

    let migration = lab.setup("back").begin();
    migration.execute();
    assert!(agent.list_topics(&target).contains(&"back-orders".to_owned()));
    migration.run("rollback").ok();
    migration.expect_state("rolled_back");
    assert_eq!(agent.list_topics(&target), topics_before);
    assert_eq!(agent.describe_acls(&target), theirs);
    assert_eq!(agent.topic_configs(&target, "back-plain").0, before, "the adopted topic's own settings");
    assert_eq!(agent.dump(&target, &["unconcerned"], false)[&("unconcerned".to_owned(), 0)].count, 7);
    assert_eq!((agent.offsets(&source), agent.describe_acls(&source), agent.list_groups(&source)), source_before, "the source");
}

/// Runs a rollback that is killed at the entry which comes so many after the last, and says what kind the last one is then.
#[track_caller]
fn killed_rollback(migration: &Migration, moment: &str, entries: usize) -> String {
    let at = migration.facts().len() + entries;
    assert_eq!(migration.run_with("rollback", &[("KFERRY_ABORT_AT_ENTRY", format!("{moment}:{at}"))]).code, None);
    migration.kinds().pop().unwrap()
}

#[test]
fn a_rollback_killed_before_it_undoes_something_is_finished_by_the_next() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls();
    create_topics("half");
    let (quiet, writing) = bindings("half");
    agent.create_acls(&source, &[quiet.clone(), writing].concat());
    let theirs = sorted([quiet[0].clone(), Acl::allow("User:foreign", "WRITE", "TOPIC", "half").prefixed(), Acl::allow("User:foreign", "READ", "GROUP", "half-group")]);
    agent.create_acls(&target, &theirs);
    let executed = || {
        agent.create_topics(&target, &[Topic::new("half-plain", 1).config("retention.ms", 6_000_000)]);
        let migration = lab.setup("half").set("acl.on_drift", "replace").begin();
        migration.execute();
        assert_eq!(agent.describe_acls(&target), sorted(quiet.clone()), "before the commit, replaced");
        migration
    };
    let expect_undone = |what: &str| {
        assert_eq!(agent.describe_acls(&target), theirs, "{what}");
        assert_eq!(agent.topic_configs(&target, "half-plain").0, [("retention.ms".to_owned(), "6000000".to_owned())].into(), "{what}");
        agent.delete_topics(&target, &["half-plain"]);
    };
    // An undisturbed run tells where its entries stand.
    let whole = executed();
    let before = whole.facts().len();
    whole.run("rollback").ok();
    expect_undone("undisturbed");
    let deleted = whole.expect_fact("rolled_back")["bindings_deleted"].clone();
    let kinds = whole.kinds();
    for effect in ["delete_acls", "set_topic_configs", "create_acls"] {
        let kind = format!("effect_intended:{effect}");
        let entry = 1 + kinds[before..].iter().position(|k| *k == kind).unwrap_or_else(|| panic!("no {kind}: {kinds:?}"));
        let migration = executed();
        assert_eq!(killed_rollback(&migration, "after", entry), kind);
        migration.run("rollback").ok();
        expect_undone(&kind);
        assert_eq!(migration.expect_fact("rolled_back")["bindings_deleted"], deleted, "{kind}");
    }
}

#[test]
fn a_refused_rollback_leaves_producers_their_access() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls();
    create_topics("stay");
    let (quiet, writing) = bindings("stay");
    let all = sorted([quiet, writing].concat());
    agent.create_acls(&source, &all);
    let limit = |rate: Option<f64>| [([("client-id".to_owned(), Some("kferry".to_owned()))].into(), [("producer_byte_rate".to_owned(), rate)].into())];
    agent.alter_quotas(&source, &limit(Some(300_000_000.0)));
    let migration = lab.setup("stay").begin();
    migration.execute();
    migration.cutover();
    // Whatever becomes of the quotas, producers may write.
    let kinds = migration.kinds();
    let place = |kind: &str| kinds.iter().rposition(|k| k == kind).unwrap_or_else(|| panic!("no {kind}: {kinds:?}"));
    assert!(place("effect_completed:create_acls") < place("effect_intended:set_quotas"), "{kinds:?}");
    assert_eq!(agent.describe_acls(&target), all, "after the commit");

    // A rollback is killed when the bindings are gone, and the operator goes forward.
    assert_eq!(killed_rollback(&migration, "before", 2), "effect_intended:delete_acls");
    assert!(agent.describe_acls(&target).is_empty());
    migration.run("cutover").ok();
    assert_eq!(agent.describe_acls(&target), all, "rolled forward");
    let outcome = migration.run("cutover").expect_code(7);
    assert!(outcome.stderr.contains("KF-STATE-ILLEGAL"), "{outcome}");

    // Killed again, and somebody who needs no binding writes before it is run once more.
    assert_eq!(killed_rollback(&migration, "before", 2), "effect_intended:delete_acls");
    assert!(agent.describe_acls(&target).is_empty());
    agent.produce(&target, "stay-orders", &Load::records(1));
    let outcome = migration.run("rollback").expect_code(7);
    assert!(outcome.stderr.contains("KF-ROLLBACK-UNSAFE"), "{outcome}");
    assert_eq!(agent.describe_acls(&target), all, "refused");
    migration.run("cutover-ack").ok();
    for bootstrap in [&source, &target] {
        agent.alter_quotas(bootstrap, &limit(None));
    }
}

#[test]
fn a_freeze_that_runs_out_is_thawed_and_the_next_attempt_succeeds() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls();
    let topics = create_topics("late");
    let migration = lab.setup("late").target(&lab.target.proxied_bootstrap()).set("cutover.max_producer_freeze", "6s").begin();
    migration.webhook.keep(agent.live(&source, &topics, 60.0, &Load::records(0).seed(3)));
    migration.execute();
    // The target answers nobody while the freeze lasts.
    migration.webhook.before(move |event| {
        if event == "freeze" {
            lab.target.proxies().iter().for_each(|proxy| proxy.stall(Duration::from_secs(12)));
        }
    });
    let outcome = migration.run("cutover").expect_code(1);
    assert!(outcome.stderr.contains("KF-FREEZE-DEADLINE"), "{outcome}");
    migration.expect_state("tail");
    assert_eq!(migration.expect_fact("cutover_abandoned")["code"], "KF-FREEZE-DEADLINE");
    migration.webhook.wait_for("thaw", Duration::from_secs(5));
    let calls = migration.webhook.calls();
    let frozen_for = calls.iter().find(|c| c.event == "thaw").unwrap().at - calls[0].at;
    assert!(frozen_for < Duration::from_secs(9), "thawed after {frozen_for:?}");
    let stopped = migration.webhook.acknowledged();
    std::thread::sleep(Duration::from_millis(800));
    assert!(migration.webhook.acknowledged() > stopped, "the producers stay stopped after the thaw");

    migration.webhook.without_hook();
    // Producers that go on in spite of the freeze are noticed.
    migration.execute();
    migration.webhook.deaf(true);
    let outcome = migration.run("cutover").expect_code(1);
    assert!(outcome.stderr.contains("KF-FREEZE-NOT-PROVEN"), "{outcome}");
    migration.expect_state("tail");
    let proven = migration.facts().iter().any(|f| f["fact"] == "freeze_proven" && f["attempt"] == 2);
    assert!(!proven, "a freeze was taken as proven while a producer went on: {:?}", migration.kinds());
    migration.webhook.deaf(false);

    migration.execute();
    migration.cutover();
    migration.conclude();
    assert_eq!(migration.expect_fact("cutover_committed")["report"]["attempt"], 3);
    migration.expect_acknowledged_on(&target);
    migration.expect_same(lab, &topics);
    migration.expect_verified();
}
