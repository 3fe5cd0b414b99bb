//! kferry under a principal that may do just what `plan` lists: a whole migration passes, and precheck names what is missing.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Acl, Agent, Cluster, Commit, Load, Options, Topic, Weave};
use crate::migration::{Lab, Migration, Setup};

const PRINCIPAL: &str = "User:kferry";
const PREFIX: &str = "KF-PRE-DENIED-";

/// One broker each, with an authorizer and a listener on which every client is `User:kferry`; the agent is a super user on both.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::start(1, Options::default().user("kferry"), Options::default().user("kferry")))
}

fn as_kferry(setup: Setup) -> Setup {
    setup.set("acl.source_principal", PRINCIPAL).set("acl.target_principal", PRINCIPAL)
}

fn clear_acls(clusters: &[&Cluster]) {
    for cluster in clusters {
        let (agent, bootstrap) = (Agent::shared(), cluster.bootstrap());
        let all = agent.describe_acls(&bootstrap);
        if !all.is_empty() {
            agent.delete_acls(&bootstrap, &all);
        }
    }
}

/// A row of `plan.json`'s permissions as bindings of kferry's.
fn bindings(row: &Value) -> Vec<Acl> {
    bindings_of(PRINCIPAL, row)
}

/// The same of another principal's.
pub fn bindings_of(principal: &str, row: &Value) -> Vec<Acl> {
    let upper = |key: &str| row[key].as_str().unwrap().to_uppercase();
    let names = row["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let acls = names.map(|name| {
        let acl = Acl::allow(principal, &upper("operation"), &upper("resource_type"), name);
        if row["pattern_type"] == "prefixed" { acl.prefixed() } else { acl }
    });
    acls.collect()
}

/// What `plan` lists, made by a super user before anything is granted.
#[track_caller]
pub fn listed(planned: &Migration) -> Vec<Value> {
    planned.run("plan").ok();
    let plan: Value = serde_json::from_slice(&std::fs::read(planned.dir().join("plan/plan.json")).unwrap()).unwrap();
    let rows = plan["permissions"].as_array().unwrap().clone();
    assert!(!rows.is_empty());
    assert_eq!(grants(planned), [""; 0], "a super user has everything");
    rows
}

/// The commands in the runbook of the last plan.
fn grants(migration: &Migration) -> Vec<String> {
    let runbook = std::fs::read_to_string(migration.dir().join("plan/runbook.md")).unwrap();
    runbook.lines().filter(|line| line.starts_with("kafka-acls.sh")).map(str::to_owned).collect()
}

/// The runbook of a plan grants what is missing, on that which it is missing on.
fn one_command(migration: &Migration, rows: &[Value], source: &Cluster) {
    let (agent, bootstrap) = (Agent::shared(), source.bootstrap());
    let row = rows.iter().find(|row| code(row).ends_with("SOURCE-TOPIC-WRITE")).unwrap();
    let taken = bindings(row).pop().unwrap();
    agent.delete_acls(&bootstrap, std::slice::from_ref(&taken));
    expect_denied(migration, &[code(row)], &taken.name, "before a plan");
    migration.run("plan").ok();
    let commands = grants(migration);
    assert!(matches!(&commands[..], [one] if one.ends_with(&format!("--operation Write --topic {}", taken.name)) && one.contains(PRINCIPAL)), "{commands:#?}");
    agent.create_acls(&bootstrap, &[taken]);
    expect_denied(migration, &[], "", "after a plan");
}

fn bootstrap_of(row: &Value, source: &Cluster, target: &Cluster) -> String {
    if row["side"] == "source" { source.bootstrap() } else { target.bootstrap() }
}

/// The codes of the permissions that precheck misses, with what it says of each.
fn denied(migration: &Migration) -> Vec<(String, String)> {
    let outcome = migration.run("precheck").json();
    let findings = outcome["findings"].as_array().cloned().unwrap_or_default();
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    findings.iter().map(|f| (text(f, "code"), text(f, "seen"))).filter(|(code, _)| code.starts_with(PREFIX)).collect()
}

/// Asks again while the brokers have not all heard of a change.
#[track_caller]
fn expect_denied(migration: &Migration, wanted: &[String], named: &str, after: &str) {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let seen = denied(migration);
        let codes: Vec<&String> = seen.iter().map(|(code, _)| code).collect();
        if codes.iter().copied().eq(wanted) && seen.iter().all(|(_, seen)| seen.contains(named)) {
            return;
        }
        assert!(Instant::now() < deadline, "{after}: {seen:#?}, and not {wanted:?} with {named}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The code of a row's being missing.
fn code(row: &Value) -> String {
    let part = |key: &str| row[key].as_str().unwrap().to_uppercase().replace('_', "-");
    format!("{PREFIX}{}-{}-{}", part("side"), part("resource_type"), part("operation"))
}

/// Takes each permission away, looks, and gives it back.
fn one_fewer(migration: &Migration, rows: &[Value], source: &Cluster, target: &Cluster) {
    let agent = Agent::shared();
    for row in rows {
        let bootstrap = bootstrap_of(row, source, target);
        // Of many resources the last: the others are still permitted.
        let taken = bindings(row).pop().unwrap();
        agent.delete_acls(&bootstrap, std::slice::from_ref(&taken));
        expect_denied(migration, &[code(row)], &taken.name, &format!("without {taken:?}"));
        agent.create_acls(&bootstrap, &[taken]);
    }
    expect_denied(migration, &[], "", "with all of them again");
}

#[test]
fn with_exactly_what_is_listed_a_migration_passes_and_one_fewer_is_named() {
    expect_enough(lab());
}

/// Its brokers have fewer requests that a permission could be tried by.
#[test]
#[ignore = "slow: tests/full runs it"]
fn with_exactly_what_is_listed_a_migration_from_2_7_passes() {
    expect_enough(&Lab::start(1, Options::default().version("2.7.2").user("kferry"), Options::default().user("kferry")));
}

fn expect_enough(lab: &Lab) {
    let agent = Agent::shared();
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    clear_acls(&[&lab.source, &lab.target]);
    let names = ["perm-plain", "perm-woven", "perm-compacted"];
    let topics = [Topic::new(names[0], 2), Topic::new(names[1], 2), Topic::new(names[2], 1).config("cleanup.policy", "compact").config("segment.ms", 1_000).config("min.cleanable.dirty.ratio", 0.01)];
    agent.create_topics(&source, &topics);
    agent.produce(&source, names[0], &Load::records(500));
    agent.delete_records(&source, names[0], 0, 20);
    agent.weave(&source, &names[1..2], &Weave::new("perm-producer", 30), &Load::records(0).values(20, 200).seed(5));
    agent.produce(&source, names[2], &Load::records(300).keys(20));
    agent.commit_group_offsets(&source, "perm-group", &[Commit::new(names[0], 0, 100, ""), Commit::new(names[1], 1, 5, "")]);
    agent.create_acls(&source, &[Acl::allow("User:reader", "READ", "TOPIC", names[0]), Acl::allow("User:writer", "WRITE", "TOPIC", "perm-").prefixed()]);
    agent.alter_quotas(&source, &[([("user".to_owned(), Some("reader".to_owned()))].into(), [("consumer_byte_rate".to_owned(), Some(1_000_000.0))].into())]);

    let rows = listed(&lab.setup("perm").begin());
    let all: Vec<Acl> = rows.iter().flat_map(bindings).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len() + shared_between_clusters(&rows), all.len(), "none is listed twice");
    let migration = as_kferry(lab.setup("perm")).source(&lab.source.user_bootstrap()).target(&lab.target.user_bootstrap()).begin();
    let nothing = denied(&migration);
    assert!(!nothing.is_empty(), "without any permission nothing is missed");
    for row in &rows {
        agent.create_acls(&bootstrap_of(row, &lab.source, &lab.target), &bindings(row));
    }
    expect_denied(&migration, &[], "", "with all of them");
    one_fewer(&migration, &rows, &lab.source, &lab.target);
    one_command(&migration, &rows, &lab.source);

    let on_target = agent.describe_acls(&target);
    let rolled_back = as_kferry(lab.setup("perm")).source(&lab.source.user_bootstrap()).target(&lab.target.user_bootstrap()).begin();
    rolled_back.execute();
    rolled_back.run("rollback").ok();
    assert_eq!(agent.describe_acls(&target), on_target, "rolled back");
    assert!(!agent.list_topics(&target).iter().any(|topic| topic.starts_with("perm-")), "rolled back");
    migration.precheck();
    migration.execute();
    let late = late_group(&migration, lab, names[0]);
    migration.cutover();
    migration.conclude();
    agent.delete_acls(&source, &late);
    migration.expect_same(lab, &names[..2]);
    assert_eq!(agent.group_offsets(&target, "perm-late")[&(names[0].to_owned(), 1)].offset, 33);
    agent.expect_same_by_key(&source, &target, &names[2..]);
    assert_eq!(agent.group_offsets(&target, "perm-group")[&(names[0].to_owned(), 0)].offset, 100);
    let carried: BTreeSet<Acl> = agent.describe_acls(&source).into_iter().chain(on_target).chain(late.into_iter().filter(|acl| acl.operation != "DESCRIBE")).collect();
    assert_eq!(agent.describe_acls(&target), carried.into_iter().collect::<Vec<_>>(), "all bindings, and no others");
    let quotas = agent.describe_quotas(&target);
    assert_eq!(quotas, agent.describe_quotas(&source));
    migration.expect_verified();
}

/// A group that came up since the plan, and that kferry is not permitted: the cutover says so before anybody is frozen. Answers
/// the bindings that permit it.
fn late_group(migration: &Migration, lab: &Lab, topic: &str) -> Vec<Acl> {
    let (agent, source, target) = (Agent::shared(), lab.source.bootstrap(), lab.target.bootstrap());
    agent.commit_group_offsets(&source, "perm-late", &[Commit::new(topic, 1, 33, "")]);
    // Nothing of this one will be committed on the target: READ there is not asked for once it can be described.
    agent.create_topics(&source, &[Topic::new("outside-perm", 1)]);
    agent.commit_group_offsets(&source, "perm-elsewhere", &[Commit::new("outside-perm", 0, 0, "")]);
    let refused = migration.run("cutover").expect_code(4);
    assert!(refused.stderr.contains("error[KF-PERMISSION-MISSING]"), "{refused}");
    // Without READ the target does not tell of DELETE.
    for missing in ["source: DESCRIBE on GROUP perm-elsewhere, perm-late", "target: READ on GROUP perm-elsewhere, perm-late"] {
        assert!(refused.stderr.contains(missing), "{missing}: {refused}");
    }
    assert!(migration.fact("cutover_started").is_none() && migration.webhook.events().is_empty(), "nobody was to be frozen");
    let binding = |operation| Acl::allow(PRINCIPAL, operation, "GROUP", "perm-late");
    let late = vec![binding("DESCRIBE"), binding("READ"), binding("DELETE")];
    let elsewhere = Acl::allow(PRINCIPAL, "DESCRIBE", "GROUP", "perm-elsewhere");
    let late: Vec<Acl> = [vec![elsewhere], late].concat();
    agent.create_acls(&source, &late[..2]);
    agent.create_acls(&target, &late[2..]);
    let warned = migration.run("execute").ok();
    agent.delete_groups(&source, &["perm-elsewhere"]);
    assert!(warned.stderr.contains("the source's ACLs have changed since the plan") && warned.stderr.contains("perm-late"), "{warned}");
    late
}

/// Rows on both clusters that make the same binding.
fn shared_between_clusters(rows: &[Value]) -> usize {
    let of = |side: &str| rows.iter().filter(|row| row["side"] == side).flat_map(bindings).collect::<BTreeSet<_>>();
    of("source").intersection(&of("target")).count()
}

/// Without ACLs and quotas to carry less is listed; also for topics that are on the target already.
#[test]
fn what_is_not_done_needs_no_permission() {
    let (lab, plain, agent) = (lab(), Lab::shared(), Agent::shared());
    clear_acls(&[&lab.target]);
    agent.create_topics(&plain.source.bootstrap(), &[Topic::new("less-new", 1), Topic::new("less-there", 1)]);
    agent.create_topics(&lab.target.bootstrap(), &[Topic::new("less-there", 1)]);
    let setup = || plain.setup("less");
    let rows = listed(&setup().target(&lab.target.bootstrap()).begin());
    let rows: Vec<Value> = rows.into_iter().filter(|row| row["side"] == "target").collect();
    let rights: BTreeSet<&str> = rows.iter().map(|row| row["right"].as_str().unwrap()).collect();
    assert!(rights.contains("target_cluster_describe") && rights.contains("target_cluster_describe_configs"), "{rights:?}");
    for unused in ["target_cluster_alter", "target_cluster_alter_configs", "target_group_read"] {
        assert!(!rights.contains(unused), "{rights:?}");
    }
    for row in &rows {
        agent.create_acls(&lab.target.bootstrap(), &bindings(row));
    }
    let migration = as_kferry(setup()).target(&lab.target.user_bootstrap()).begin();
    expect_denied(&migration, &[], "", "with all of them");
    one_fewer(&migration, &rows, &plain.source, &lab.target);
}

/// Where resources are open to everyone as long as they have no bindings, the first one for somebody else would shut kferry out.
#[test]
fn kferrys_own_bindings_are_first_in_and_last_out() {
    let (lab, agent) = (lab(), Agent::shared());
    let target = Cluster::kraft(1, Options::default().user("kferry").prop("allow.everyone.if.no.acl.found", true));
    let source = lab.source.bootstrap();
    clear_acls(&[&lab.source]);
    agent.create_topics(&source, &[Topic::new("own-orders", 1)]);
    agent.produce(&source, "own-orders", &Load::records(50));
    agent.commit_group_offsets(&source, "own-group", &[Commit::new("own-orders", 0, 7, "")]);
    let others = [
        Acl::allow("User:reader", "READ", "TOPIC", "own-orders"),
        Acl::allow("User:reader", "READ", "GROUP", "own-").prefixed(),
        Acl::allow("User:admin", "ALTER", "CLUSTER", "kafka-cluster"),
        Acl::allow("User:tx", "WRITE", "TRANSACTIONAL_ID", "*"),
    ];
    agent.create_acls(&source, &others);
    let setup = || lab.setup("own").target(&target.user_bootstrap()).set("acl.target_principal", PRINCIPAL);

    let rolled_back = setup().begin();
    let outcome = rolled_back.execute();
    assert!(outcome.stderr.contains("first in and last out"), "what is done is not shown before: {outcome}");
    let present = agent.describe_acls(&target.bootstrap());
    let own: Vec<&Acl> = present.iter().filter(|acl| acl.principal == PRINCIPAL).collect();
    assert!(own.iter().any(|acl| acl.operation == "WRITE" && acl.resource_type == "TOPIC"), "{own:?}");
    let made: Vec<String> = rolled_back.facts().iter().filter(|f| f["effect"]["effect"] == "create_acls").map(|f| f["effect"]["bindings"][0]["principal"].as_str().unwrap().to_owned()).collect();
    assert_eq!(made[0], PRINCIPAL, "its own come first");
    let copied = rolled_back.facts().len();
    rolled_back.run("rollback").ok();
    assert!(agent.describe_acls(&target.bootstrap()).is_empty());
    // The last three entries: kferry's own bindings are to go, are gone, rolled back.
    let undone = rolled_back.facts().len() - 1 - copied;

    // Killed when they are gone and the journal does not know.
    let killed = setup().begin();
    killed.execute();
    let gone = killed.facts().len() + undone;
    kill_before(&killed, "rollback", gone);
    assert!(agent.describe_acls(&target.bootstrap()).is_empty());
    killed.run("rollback").ok();
    killed.expect_state("rolled_back");

    // Killed before they go, and then it may not delete them any more: what stays is named.
    let shut_out = setup().begin();
    shut_out.execute();
    let intended = shut_out.facts().len() + undone - 1;
    assert_eq!(shut_out.run_with("rollback", &[("KFERRY_ABORT_AT_ENTRY", format!("after:{intended}"))]).code, None);
    let own = agent.describe_acls(&target.bootstrap());
    let (taken, left): (Vec<Acl>, Vec<Acl>) = own.into_iter().partition(|acl| acl.operation == "ALTER" && acl.resource_type == "CLUSTER");
    assert!(!taken.is_empty() && left.iter().all(|acl| acl.principal == PRINCIPAL), "{taken:?} {left:?}");
    agent.delete_acls(&target.bootstrap(), &taken);
    // Somebody lets it look, so that it knows what is left.
    let looking = Acl::allow(PRINCIPAL, "DESCRIBE", "CLUSTER", "kafka-cluster");
    agent.create_acls(&target.bootstrap(), std::slice::from_ref(&looking));
    let outcome = shut_out.run("rollback").ok();
    shut_out.expect_state("rolled_back");
    assert!(outcome.stderr.contains("kferry may not delete ACLs on the target any more"), "{outcome}");
    assert_eq!(outcome.stderr.matches(&format!("WARNING:   {PRINCIPAL} ALLOW")).count(), left.len(), "{outcome}");
    assert!(outcome.stderr.contains("these stay on the target") && !outcome.stderr.contains("ALTER on CLUSTER"), "{outcome}");
    agent.delete_acls(&target.bootstrap(), &[left, vec![looking]].concat());

    let migration = setup().begin();
    migration.execute();
    migration.cutover();
    migration.run("cutover-ack").ok();
    migration.run("validate").ok();
    // Two observations, the bundle intended, stored and completed; then kferry's own bindings are to go.
    kill_before(&migration, "finalize", migration.facts().len() + 7);
    migration.run("finalize").ok();
    migration.expect_state("finalized");
    let mut wanted = others.to_vec();
    wanted.sort();
    assert_eq!(agent.describe_acls(&target.bootstrap()), wanted, "kferry's own are gone");
    agent.judge(&source, &target.bootstrap(), &["own-orders"]).expect_equal();
    migration.expect_verified();
}

/// Kills a command when kferry's own bindings are deleted, and before the entry that says so.
#[track_caller]
fn kill_before(migration: &Migration, command: &str, entry: usize) {
    assert_eq!(migration.run_with(command, &[("KFERRY_ABORT_AT_ENTRY", format!("before:{entry}"))]).code, None);
    let last = migration.facts().pop().unwrap();
    assert!(last["fact"] == "effect_intended" && last["effect"]["effect"] == "delete_acls" && last["effect"]["bindings"][0]["principal"] == PRINCIPAL, "{last:#}");
}

#[test]
fn a_deny_that_would_lock_kferry_out_is_named_before_anything_is_done() {
    let (lab, agent) = (lab(), Agent::shared());
    let source = lab.source.bootstrap();
    clear_acls(&[&lab.source, &lab.target]);
    agent.create_topics(&source, &[Topic::new("deny-orders", 1)]);
    agent.create_acls(&source, &[Acl::allow("User:*", "WRITE", "TOPIC", "deny-").prefixed().deny(), Acl::allow(PRINCIPAL, "READ", "TOPIC", "deny-orders").deny().host("10.1.1.1")]);
    let found = |migration: &Migration| {
        let outcome = migration.run("precheck").json();
        let codes = |f: &Value| f["code"].as_str().unwrap_or_default().to_owned();
        outcome["findings"].as_array().cloned().unwrap_or_default().iter().map(codes).collect::<BTreeSet<String>>()
    };
    // A super user is locked out by nothing, even where the brokers hide who is one.
    let passing = found(&lab.setup("deny").begin());
    assert!(!passing.contains("KF-PRE-ACL-LOCKOUT"), "{passing:?}");
    let migration = lab.setup("deny").target(&lab.target.user_bootstrap()).set("acl.target_principal", PRINCIPAL).begin();
    let all = ["CLUSTER", "TOPIC", "GROUP", "TRANSACTIONAL_ID"].map(|kind| Acl::allow(PRINCIPAL, "ALL", kind, if kind == "CLUSTER" { "kafka-cluster" } else { "*" }));
    agent.create_acls(&lab.target.bootstrap(), &all);
    let locked = found(&migration);
    assert!(locked.contains("KF-PRE-ACL-LOCKOUT") && locked.contains("KF-PRE-ACL-MAY-LOCK-OUT"), "{locked:?}");
    migration.run("execute").expect_code(4);
    assert_eq!(agent.describe_acls(&lab.target.bootstrap()).len(), all.len(), "nothing was changed");
}
