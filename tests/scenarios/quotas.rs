//! Client quotas and SCRAM users: limits arrive, those that would slow kferry down with the commit, and a rollback leaves what was there.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use crate::lab::{Agent, Load, Options, QuotaRow, Topic};
use crate::migration::{Lab, Migration};

/// Quotas are the whole cluster's: this pair is shared with nobody else.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::start(1, Options::default(), Options::default()))
}

/// `user=alice,client-id=` is the user alice with the default of client ids; a limit of None is removed.
fn quota(entity: &str, limits: &[(&str, Option<f64>)]) -> QuotaRow {
    let part = |part: &str| {
        let (kind, name) = part.split_once('=').unwrap();
        (kind.to_owned(), (!name.is_empty()).then(|| name.to_owned()))
    };
    (entity.split(',').map(part).collect(), limits.iter().map(|(key, value)| (key.to_string(), *value)).collect())
}

type Quotas = BTreeMap<BTreeMap<String, Option<String>>, BTreeMap<String, String>>;

fn described(quotas: &[QuotaRow]) -> Quotas {
    let limits = |values: &BTreeMap<String, Option<f64>>| values.iter().filter_map(|(key, value)| Some((key.clone(), serde_json::json!((*value)?).to_string()))).collect();
    quotas.iter().map(|(entity, values)| (entity.clone(), limits(values))).collect()
}

fn clear() {
    let agent = Agent::shared();
    for bootstrap in [lab().source.bootstrap(), lab().target.bootstrap()] {
        let none = |(entity, values): (BTreeMap<String, Option<String>>, BTreeMap<String, String>)| (entity, values.into_keys().map(|key| (key, None)).collect());
        let all: Vec<QuotaRow> = agent.describe_quotas(&bootstrap).into_iter().map(none).collect();
        if !all.is_empty() {
            agent.alter_quotas(&bootstrap, &all);
        }
    }
}

/// Every kind of entity; the last two hold kferry (`User:ANONYMOUS`, client id `kferry`) back.
fn source_quotas() -> Vec<QuotaRow> {
    vec![
        quota("user=alice", &[("producer_byte_rate", Some(1_048_576.0)), ("consumer_byte_rate", Some(2_097_152.0))]),
        quota("user=alice,client-id=app", &[("request_percentage", Some(12.5))]),
        quota("user=bob,client-id=", &[("producer_byte_rate", Some(4096.0))]),
        quota("client-id=batch", &[("controller_mutation_rate", Some(5.0))]),
        quota("ip=10.1.2.3", &[("connection_creation_rate", Some(50.0))]),
        quota("user=,client-id=", &[("consumer_byte_rate", Some(100_000_000.0))]),
        quota("client-id=kferry", &[("producer_byte_rate", Some(300_000_000.0))]),
    ]
}

fn findings(migration: &Migration, code: &str) -> Vec<String> {
    let outcome = migration.run("precheck").json();
    let all = outcome["findings"].as_array().cloned().unwrap_or_default();
    all.iter().filter(|f| f["code"] == code).map(|f| format!("{}: {}", f["subject"].as_str().unwrap(), f["seen"].as_str().unwrap())).collect()
}

fn create_topic(name: &str) {
    let source = lab().source.bootstrap();
    Agent::shared().create_topics(&source, &[Topic::new(name, 1)]);
    Agent::shared().produce(&source, name, &Load::records(20));
}

#[test]
fn quotas_arrive_and_those_that_slow_kferry_wait_for_the_commit() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear();
    create_topic("quota-orders");
    let quotas = source_quotas();
    agent.alter_quotas(&source, &quotas);
    // The same, another value, and one of the target's own.
    let theirs = [
        quota("user=alice", &[("producer_byte_rate", Some(1_048_576.0)), ("consumer_byte_rate", Some(7.0))]),
        quota("user=carol", &[("producer_byte_rate", Some(9.0))]),
    ];
    agent.alter_quotas(&target, &theirs);

    let refusing = lab.setup("quota").set("quotas.on_drift", "refuse").begin();
    assert_eq!(findings(&refusing, "KF-PRE-QUOTA-DRIFT-REFUSED").len(), 1);
    refusing.run("execute").expect_code(4);
    assert_eq!(agent.describe_quotas(&target), described(&theirs));

    // What appears after the plan, whose journal begins TOPOLOGY_COPY with its fifth entry, is refused too.
    agent.alter_quotas(&target, &[quota("user=alice", &[("producer_byte_rate", None), ("consumer_byte_rate", None)]), quota("user=carol", &[("producer_byte_rate", None)])]);
    let refusing = lab.setup("quota").set("quotas.on_drift", "refuse").begin();
    assert_eq!(refusing.run_with("execute", &[("KFERRY_ABORT_AT_ENTRY", "after:5".to_owned())]).code, None);
    refusing.expect_state("topology_copy");
    agent.alter_quotas(&target, &theirs);
    let outcome = refusing.run("execute").expect_code(4);
    assert!(outcome.stderr.contains("KF-QUOTA-DRIFT") && outcome.stderr.contains("carol"), "{outcome}");
    assert_eq!(agent.describe_quotas(&target), described(&theirs));

    let migration = lab.setup("quota").begin();
    let drift = findings(&migration, "KF-PRE-QUOTA-DRIFT");
    assert!(drift[0].contains("consumer_byte_rate of user `alice` is 7 on the target, 2097152 on the source") && drift[0].contains("carol"), "{drift:?}");
    let throttled = findings(&migration, "KF-PRE-QUOTA-THROTTLES");
    assert!(throttled.len() == 1 && throttled[0].starts_with("source: ") && throttled[0].contains("client-id `kferry`"), "{throttled:?}");
    let withheld = findings(&migration, "KF-PRE-QUOTA-WITHHELD");
    assert!(withheld.len() == 1 && withheld[0].starts_with("target: ") && withheld[0].contains("client-id `kferry`"), "{withheld:?}");
    let outcome = migration.execute();
    assert!(outcome.stderr.contains("~ quota of user `alice`: consumer_byte_rate 7 becomes 2097152"), "{outcome}");
    let carol = [quota("user=carol", &[("producer_byte_rate", Some(9.0))])];
    let early = [&quotas[..5], &carol[..]].concat();
    assert_eq!(agent.describe_quotas(&target), described(&early), "before the commit");
    migration.cutover();
    let all = [&quotas[..], &carol[..]].concat();
    assert_eq!(agent.describe_quotas(&target), described(&all), "after the commit, merged");
    migration.conclude();
    migration.expect_verified();
}

/// The number of the entry, after so many, that intends to set quotas.
fn entry_of_quotas(migration: &Migration, after: usize) -> usize {
    let facts = migration.facts();
    let intends = |fact: &Value| fact["fact"] == "effect_intended" && fact["effect"]["effect"] == "set_quotas";
    after + 1 + facts[after..].iter().position(intends).expect("quotas are set")
}

#[test]
fn replaced_quotas_are_put_back_by_a_rollback_also_after_a_kill() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear();
    create_topic("limit-orders");
    let quotas = source_quotas();
    agent.alter_quotas(&source, &quotas);
    let theirs = [quota("user=alice", &[("consumer_byte_rate", Some(7.0)), ("request_percentage", Some(80.0))]), quota("user=carol", &[("producer_byte_rate", Some(9.0))])];
    agent.alter_quotas(&target, &theirs);
    let setup = || lab.setup("limit").set("quotas.on_drift", "replace");

    // An undisturbed run tells where its entries stand: the intention is not performed, performed and not completed, completed.
    let whole = setup().begin();
    whole.execute();
    let (intended, before_rollback) = (entry_of_quotas(&whole, 0), whole.facts().len());
    whole.run("rollback").ok();
    let undone = entry_of_quotas(&whole, before_rollback) - before_rollback;
    assert_eq!(agent.describe_quotas(&target), described(&theirs));
    // The rollback, too, is killed before and after it is performed.
    for (kill, undoing) in [(format!("after:{intended}"), "after"), (format!("before:{}", intended + 1), "before"), (format!("after:{}", intended + 1), "before")] {
        let migration = setup().begin();
        assert_eq!(migration.run_with("execute", &[("KFERRY_ABORT_AT_ENTRY", kill.clone())]).code, None, "{kill}");
        migration.execute();
        assert_eq!(agent.describe_quotas(&target), described(&quotas[..5]), "{kill}: before the commit, replaced");
        let at = migration.facts().len() + undone;
        let (entry, seen) = if undoing == "after" { (at, &quotas[..5]) } else { (at + 1, &theirs[..]) };
        assert_eq!(migration.run_with("rollback", &[("KFERRY_ABORT_AT_ENTRY", format!("{undoing}:{entry}"))]).code, None, "{kill}");
        assert_eq!(migration.facts().last().unwrap()["effect"]["effect"], "set_quotas", "{kill}");
        assert_eq!(agent.describe_quotas(&target), described(seen), "{kill}: killed {undoing}");
        migration.run("rollback").ok();
        assert_eq!(agent.describe_quotas(&target), described(&theirs), "{kill}: rolled back");
    }
    let migration = setup().begin();
    migration.execute();
    migration.cutover();
    assert_eq!(agent.describe_quotas(&target), described(&quotas), "after the commit, replaced");
    migration.run("rollback").ok();
    assert_eq!(agent.describe_quotas(&target), described(&theirs), "rolled back after the commit");
    assert_eq!(agent.describe_quotas(&source), described(&quotas), "the source");
}

#[test]
fn limits_that_somebody_changes_meanwhile_stay() {
    let (lab, agent) = (lab(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear();
    create_topic("meanwhile-orders");
    let quotas = source_quotas();
    agent.alter_quotas(&source, &quotas);
    let migration = lab.setup("meanwhile").begin();
    migration.execute();
    // One that kferry has set, and one that it will set after the commit.
    let theirs = [quota("user=alice", &[("producer_byte_rate", Some(111.0))]), quota("client-id=kferry", &[("producer_byte_rate", Some(222_000_000.0))])];
    agent.alter_quotas(&target, &theirs);
    let outcome = migration.cutover();
    assert!(outcome.stderr.contains("are left as they are: producer_byte_rate 222000000 of client-id `kferry`"), "{outcome}");
    let alice = [quota("user=alice", &[("producer_byte_rate", Some(111.0)), ("consumer_byte_rate", Some(2_097_152.0))])];
    assert_eq!(agent.describe_quotas(&target), described(&[&alice[..], &quotas[1..6], &theirs[1..]].concat()), "after the commit");
    let outcome = migration.run("rollback").ok();
    assert!(outcome.stdout.contains("not undone: producer_byte_rate 111 of user `alice`") && outcome.stderr.contains("producer_byte_rate 111"), "{outcome}");
    assert_eq!(agent.describe_quotas(&target), described(&theirs), "rolled back");

    // The fifth entry begins TOPOLOGY_COPY.
    agent.alter_quotas(&target, &[quota("user=alice", &[("producer_byte_rate", None)]), quota("client-id=kferry", &[("producer_byte_rate", None)])]);
    let migration = lab.setup("meanwhile").begin();
    assert_eq!(migration.run_with("execute", &[("KFERRY_ABORT_AT_ENTRY", "after:5".to_owned())]).code, None);
    let bob = [quota("user=bob,client-id=", &[("producer_byte_rate", Some(5.0))])];
    agent.alter_quotas(&target, &bob);
    let outcome = migration.execute();
    assert!(outcome.stderr.contains("producer_byte_rate 5 of client-id (default), user `bob`; they are left alone"), "{outcome}");
    assert_eq!(agent.describe_quotas(&target), described(&[&quotas[..2], &bob[..], &quotas[3..5]].concat()), "before the commit");
    migration.run("rollback").ok();
    assert_eq!(agent.describe_quotas(&target), described(&bob), "rolled back");
}

#[test]
fn scram_users_who_are_missing_are_named() {
    let (lab, agent) = (lab(), Agent::shared());
    create_topic("scram-orders");
    agent.create_scram_users(&lab.source.bootstrap(), &[("alice", "SCRAM-SHA-512"), ("alice", "SCRAM-SHA-256"), ("bob", "SCRAM-SHA-512")]);
    agent.create_scram_users(&lab.target.bootstrap(), &[("alice", "SCRAM-SHA-512")]);
    let migration = lab.setup("scram").begin();
    let found = findings(&migration, "KF-PRE-SCRAM-USERS");
    assert_eq!(found, ["target: 2 credentials: alice (SCRAM-SHA-256, 4096 iterations), bob (SCRAM-SHA-512, 4096 iterations)"]);
    agent.create_scram_users(&lab.target.bootstrap(), &[("alice", "SCRAM-SHA-256"), ("bob", "SCRAM-SHA-512")]);
    assert_eq!(findings(&migration, "KF-PRE-SCRAM-USERS"), Vec::<String>::new());
    migration.run("plan").ok();
    let plan: Value = serde_json::from_slice(&std::fs::read(migration.dir().join("plan/plan.json")).unwrap()).unwrap();
    assert!(!plan.to_string().contains("secret"), "a password is in the plan");
}
