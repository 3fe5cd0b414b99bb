//! `plan` and `precheck`: what they find on real clusters, and that they change nothing there.

use serde_json::{Value, json};

use crate::lab::{Acl, Agent, Cluster, Commit, Consume, Kferry, Load, Options, Outcome, Topic, WorkDir, process};

/// A directory with a configuration and a signing key.
pub struct Desk {
    pub dir: WorkDir,
}

impl Desk {
    pub fn new(source: &str, target: &str, more: &str) -> Self {
        let dir = WorkDir::new("survey");
        dir.file("kferry.yaml", &yaml(source, target, more));
        let desk = Self { dir };
        desk.kferry().run(&["keygen", "--out", "kferry.key"]).ok();
        desk
    }

    pub fn kferry(&self) -> Kferry {
        Kferry::new(self.dir.path()).env("HOME", self.dir.path().display())
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        self.kferry().run(&[args, &["--config", "kferry.yaml"]].concat())
    }

    pub fn precheck(&self) -> Outcome {
        self.run(&["precheck", "--output", "json"])
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }
}

fn yaml(source: &str, target: &str, more: &str) -> String {
    format!(
        "kferry:\n  source:\n    bootstrap_servers: \"{source}\"\n  target:\n    bootstrap_servers: \"{target}\"\n  backup:\n    directory: segments\n  \
         evidence:\n    directory: evidence\n    signing_key_path: kferry.key\n{more}"
    )
}

pub fn only(topics: &[&str]) -> String {
    let list: Vec<String> = topics.iter().map(|t| format!("\"{t}\"")).collect();
    format!("  topics:\n    include: [{}]\n", list.join(", "))
}

/// Codes with subjects of one severity.
pub fn found(outcome: &Outcome, severity: &str) -> Vec<(String, String)> {
    let answer = outcome.json();
    let text = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    let findings = answer["findings"].as_array().unwrap_or_else(|| panic!("no findings: {outcome}"));
    findings.iter().filter(|f| f["severity"] == severity).map(|f| (text(f, "code"), text(f, "subject"))).collect()
}

#[track_caller]
pub fn expect_found(outcome: &Outcome, severity: &str, code: &str, subject: &str) {
    let list = found(outcome, severity);
    assert!(list.iter().any(|(c, s)| c == code && s == subject), "no {severity} {code} for {subject:?}: {outcome}");
}

/// Everything that a client could have changed on a cluster, internal topics included.
pub fn everything(bootstrap: &str) -> Value {
    let agent = Agent::shared();
    let topics: Vec<Value> = agent.describe_topics(bootstrap);
    let names = agent.list_topics(bootstrap);
    let configs: Vec<_> = names.iter().map(|t| agent.topic_configs(bootstrap, t)).collect();
    let groups = agent.list_groups(bootstrap);
    let offsets: Vec<String> = groups.iter().map(|g| format!("{g}: {:?}", agent.group_offsets(bootstrap, g))).collect();
    let spans: Vec<String> = agent.offsets(bootstrap).iter().map(|row| format!("{row:?}")).collect();
    // A cluster without an authorizer refuses to be asked.
    let acls = agent.try_call("describe_acls", json!({"bootstrap": bootstrap})).unwrap_or_default();
    let quotas = format!("{:?}", agent.describe_quotas(bootstrap));
    json!({
        "acls": acls, "topics": topics, "names": names, "configs": configs, "groups": groups, "offsets": offsets, "spans": spans, "quotas": quotas,
        "transactional ids": agent.transactional_ids(bootstrap),
    })
}

#[test]
fn a_healthy_pair_and_every_kind_of_topic_that_is_not_plain() {
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::zookeeper(1, Options::default().authorizer()));
        let target = scope.spawn(|| Cluster::kraft(1, Options::default().authorizer()));
        scope.spawn(Agent::shared);
        (source.join().unwrap(), target.join().unwrap())
    });
    let (lab, one, other) = (Agent::shared(), source.bootstrap(), target.bootstrap());
    lab.create_topics(
        &one,
        &[
            Topic::new("plain", 6).config("retention.ms", 86_400_000),
            Topic::new("trimmed", 2),
            Topic::new("empty", 3),
            Topic::new("large", 2).config("max.message.bytes", 3 << 20),
            Topic::new("tiny", 1),
            Topic::new("lone-marker", 1),
            Topic::new("transactional", 2),
            Topic::new("hanging", 1),
            Topic::new("compacted", 1).config("cleanup.policy", "compact"),
            Topic::new("append-time", 1).config("message.timestamp.type", "LogAppendTime"),
            Topic::new("was-append-time", 1).config("message.timestamp.type", "LogAppendTime"),
            Topic::new("taken", 2),
            Topic::new("future", 1),
        ],
    );
    lab.produce(&one, "plain", &Load::records(60_000).codec("lz4"));
    lab.produce(&one, "trimmed", &Load::records(2_000));
    lab.delete_records(&one, "trimmed", 0, 137);
    lab.delete_records(&one, "trimmed", 1, 1_000);
    lab.produce(&one, "large", &Load::records(6).values(2 << 20, 2 << 20).random());
    lab.produce(&one, "tiny", &Load::records(300).one_record_batches());
    lab.begin_transaction(&one, "t-lone", "lone-marker", &Load::records(2).partition(0), 60_000);
    lab.end_transaction("t-lone", true);
    lab.delete_records(&one, "lone-marker", 0, 2);
    // Transactional data between plain data: neither the log's start nor its last record shows it.
    lab.produce(&one, "transactional", &Load::records(400).partition(1));
    lab.begin_transaction(&one, "t-commit", "transactional", &Load::records(400).partition(1), 60_000);
    lab.end_transaction("t-commit", true);
    lab.produce(&one, "transactional", &Load::records(400).partition(1));
    lab.begin_transaction(&one, "t-hang", "hanging", &Load::records(3).partition(0), 600_000);
    lab.abandon_transaction("t-hang");
    for topic in ["compacted", "append-time", "was-append-time", "taken"] {
        lab.produce(&one, topic, &Load::records(50));
    }
    lab.alter_topic_configs(&one, "was-append-time", &[("message.timestamp.type", "CreateTime")], &[]);
    lab.produce(&one, "future", &Load::records(3).timestamps(4_000_000_000_000, 1));
    lab.commit_group_offsets(&one, "readers", &[Commit::new("plain", 0, 5, "kept"), Commit::new("taken", 1, 3, "")]);
    lab.consume(&one, &Consume::to_end("others", &["tiny"]));
    lab.create_topics(&other, &[Topic::new("taken", 2)]);
    lab.produce(&other, "taken", &Load::records(1).partition(1));
    lab.create_acls(&one, &[Acl::allow("User:shop", "WRITE", "TOPIC", "plain"), Acl::allow("User:shop", "READ", "TOPIC", "plain")]);
    let before = (everything(&one), everything(&other));

    // What is plain, or nearly so, is planned without a blocker.
    let desk = Desk::new(&one, &other, &only(&["plain", "trimmed", "empty", "large", "tiny", "lone-marker", "future"]));
    let outcome = desk.precheck();
    assert_eq!(found(&outcome, "blocker"), [], "{outcome}");
    assert_eq!(outcome.code, Some(3), "a record from the future is a warning: {outcome}");
    expect_found(&outcome, "warning", "KF-PRE-FUTURE-TIMESTAMPS", "future");
    expect_found(&outcome, "information", "KF-PRE-CONTROL-RECORDS", "lone-marker");
    expect_found(&outcome, "information", "KF-PRE-IN-PLACE", "source");
    expect_found(&outcome, "information", "KF-PRE-GROUP-PARTLY", "");
    assert!(outcome.stdout.contains("sampled in 12 of 12 partitions with records"), "{outcome}");
    assert!(!outcome.stdout.contains("no batch could be sampled"), "{outcome}");
    let answer = outcome.json();
    assert_eq!((&answer["source"]["metadata_mode"], &answer["target"]["metadata_mode"]), (&json!("zoo_keeper"), &json!("kraft")));
    assert_eq!(answer["selected"]["partitions"], 16);
    println!("precheck of 16 partitions took {:.1?}", outcome.took);
    // Without that topic there is nothing to warn of but a single controller and what brokers hide, by text as by code.
    let calm = Desk::new(&one, &other, &only(&["plain", "trimmed", "empty", "large", "tiny", "lone-marker"]));
    // Both have an authorizer, and stock brokers hide whether they are open where there are no bindings.
    assert_eq!(found(&calm.precheck(), "warning"), [("KF-PRE-NOT-PROBED".to_owned(), String::new()), ("KF-PRE-CONTROLLERS".to_owned(), "target".to_owned())]);
    let text = calm.run(&["precheck"]).expect_code(3).stdout;
    assert!(text.ends_with("nothing forbids `execute`\n") && text.contains("\n0 blockers, 2 warnings, "), "{text}");

    let planned = desk.run(&["plan", "--out-dir", "out"]).ok();
    assert!(planned.stdout.contains("0 blockers") && planned.stdout.contains("next: kferry precheck --config kferry.yaml"), "{planned}");
    for file in ["plan.json", "runbook.md", "cost-estimate.json", "aws-cli.sh", "iam-policy-concrete.json", "iam-policy-templated.json"] {
        assert!(planned.stdout.contains(&format!("written: out/{file}\n")) && !desk.read(&format!("out/{file}")).is_empty(), "{file}: {planned}");
    }
    let plan: Value = serde_json::from_str(&desk.read("out/plan.json")).unwrap();
    let planned_topics: Vec<&str> = plan["topics"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(planned_topics, ["empty", "future", "large", "lone-marker", "plain", "tiny", "trimmed"]);
    assert_eq!(plan["estimate"]["prefix_fillers"], 137 + 1_000 + 2);
    let topic = |name: &str| plan["topics"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap();
    assert_eq!(topic("plain")["configs"]["retention.ms"], "86400000");
    let acls = |which: &str| plan["acls"][which].as_array().map(|list| list.iter().map(|b| b["operation"].clone()).collect::<Vec<_>>());
    assert_eq!((acls("create"), acls("withheld")), (Some(vec![json!("read")]), Some(vec![json!("write")])));
    // What a default topic gets on the target was told by the target itself.
    assert_eq!(topic("plain")["unknown_configs"], json!({}));
    let left_out = plan["left_out"].as_array().unwrap();
    let reason = |name: &str| left_out.iter().find(|l| l["name"] == name).map(|l| l["reason"].as_str().unwrap());
    assert_eq!(reason("compacted"), Some("no include pattern covers it"));
    assert_eq!(reason("__consumer_offsets"), Some("kept by Kafka itself"));
    let runbook = desk.read("out/runbook.md");
    assert!(runbook.contains("kferry execute --config kferry.yaml --journal-dir ./journal"));

    // Of directories and brokers of one's own nothing here knows the price, which is told rather than counted as nothing.
    let cost: Value = serde_json::from_str(&desk.read("out/cost-estimate.json")).unwrap();
    let items = cost["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["usd"].is_null() != item["unknown"].is_null()), "{cost}");
    for unknown in ["segments_storage", "source_cross_az", "target_brokers"] {
        assert!(cost["unknown"].as_array().unwrap().contains(&json!(unknown)), "{unknown}: {cost}");
    }

    // An earlier plan is not overwritten unawares.
    let refused = desk.run(&["plan", "--out-dir", "out"]).expect_code(2);
    assert!(refused.stderr.contains("--force") && refused.took.as_secs() < 5, "{refused}");
    desk.run(&["plan", "--out-dir", "out", "--force", "--migration-id", "mine"]).ok();
    assert!(desk.read("out/plan.json").contains("\"migration_id\": \"mine\""));
    desk.run(&["plan", "--out-dir", "one", "--format", "json"]).ok();
    assert!(desk.dir.path().join("one/plan.json").is_file() && !desk.dir.path().join("one/runbook.md").exists());
    desk.run(&["plan", "--out-dir", "cost", "--format", "cost"]).ok();
    assert_eq!(std::fs::read_dir(desk.dir.path().join("cost")).unwrap().count(), 1);
    desk.run(&["plan", "--out-dir", "iam", "--format", "iam-policy"]).ok();
    let policies = ["iam/iam-policy-concrete.json", "iam/iam-policy-templated.json"].map(|file| serde_json::from_str::<Value>(&desk.read(file)).unwrap());
    assert!(policies.iter().all(|policy| policy["Version"] == "2012-10-17"));

    // All of them: what cannot be copied is a blocker by its code.
    let desk = Desk::new(&one, &other, "");
    let outcome = desk.precheck();
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert_eq!(found(&outcome, "blocker"), [("KF-PRE-TOPIC-HOLDS-RECORDS".to_owned(), "taken".to_owned())], "{outcome}");
    expect_found(&outcome, "information", "KF-PRE-COMPACTED", "compacted");
    assert_eq!(outcome.json()["selected"]["write_txn_markers"], true, "{outcome}");
    for topic in ["hanging", "transactional"] {
        expect_found(&outcome, "information", "KF-PRE-TRANSACTIONAL", topic);
    }
    expect_found(&outcome, "warning", "KF-PRE-OPEN-TRANSACTIONS", "hanging");
    expect_found(&outcome, "information", "KF-PRE-LOG-APPEND-TIME", "append-time");
    expect_found(&outcome, "information", "KF-PRE-LOG-APPEND-TIME", "was-append-time");
    let text = desk.run(&["precheck"]).expect_code(4).stdout;
    assert!(text.starts_with("precheck of migration kf-") && text.contains("BLOCKER  KF-PRE-TOPIC-HOLDS-RECORDS"), "{text}");
    let planned = desk.run(&["plan"]).ok();
    assert!(planned.stdout.contains("1 blocker,") && planned.stdout.contains("next: resolve the blockers"), "{planned}");

    // The same cluster twice, and clusters that nobody answers for.
    let outcome = Desk::new(&one, &one, &only(&["plain"])).precheck().expect_code(4);
    expect_found(&outcome, "blocker", "KF-PRE-SAME-CLUSTER", "");
    let nobody = format!("127.0.0.1:{}", process::free_port());
    let desk = Desk::new(&nobody, &other, "");
    let outcome = desk.precheck().expect_code(4);
    expect_found(&outcome, "blocker", "KF-PRE-SOURCE-UNREACHABLE", "source");
    assert!(found(&outcome, "blocker").len() == 1 && outcome.stdout.contains("the target beyond its metadata, which was read"), "{outcome}");
    // What does not hang on the source is told at once: the other firewall, a store, the key.
    let lonely = Desk::new(&nobody, &nobody, "");
    let yaml = lonely.read("kferry.yaml").replace("directory: segments", "directory: kferry.key/below").replace("signing_key_path: kferry.key", "signing_key_path: nothing.key");
    lonely.dir.file("kferry.yaml", &yaml);
    let outcome = lonely.precheck().expect_code(4);
    for (code, subject) in [("SOURCE-UNREACHABLE", "source"), ("TARGET-UNREACHABLE", "target"), ("STORE-UNREACHABLE", "backup"), ("SIGNING-KEY", "evidence")] {
        expect_found(&outcome, "blocker", &format!("KF-PRE-{code}"), subject);
    }
    // Serverless is told by its address, before anybody asks for it.
    let serverless = "boot-abc123.c1.kafka-serverless.eu-west-1.amazonaws.com:9098";
    expect_found(&Desk::new(serverless, &other, "").precheck().expect_code(4), "blocker", "KF-MSK-SERVERLESS", "source");
    expect_found(&Desk::new(&one, serverless, &only(&["plain"])).precheck().expect_code(4), "blocker", "KF-MSK-SERVERLESS", "target");
    let refused = desk.run(&["plan"]).expect_code(8);
    assert!(refused.stderr.contains("error[KF-SOURCE-UNAVAILABLE]") && !desk.dir.path().join("migration-plan").exists(), "{refused}");
    let desk = Desk::new(&one, &nobody, &only(&["plain"]));
    expect_found(&desk.precheck().expect_code(4), "blocker", "KF-PRE-TARGET-UNREACHABLE", "target");
    let planned = desk.run(&["plan"]).ok();
    assert!(planned.stdout.contains("not read; what depends on it"), "{planned}");
    let plan: Value = serde_json::from_str(&desk.read("migration-plan/plan.json")).unwrap();
    assert!(plan["target"].is_null() && plan["migration_id"].as_str().unwrap().ends_with("-no-target"));

    assert_eq!((everything(&one), everything(&other)), before, "plan or precheck changed a cluster");
}

/// A log that was seen as a whole (fetches end with a segment, and the last record is looked at) is counted as it is: what a consumer does not get is without a record.
#[test]
fn offsets_without_a_record_are_counted_as_the_log_has_them() {
    let source = Cluster::kraft(1, Options::default().prop("log.cleaner.backoff.ms", 500));
    let (agent, one) = (Agent::shared(), source.bootstrap());
    let eager = |name| Topic::new(name, 1).config("min.cleanable.dirty.ratio", 0.01).config("segment.ms", 500);
    agent.create_topics(&one, &[eager("cleaned").config("cleanup.policy", "compact"), eager("plain")]);
    // Few of the first keys are written again, so that runs of them stay, then all of the second.
    let tick = || std::thread::sleep(std::time::Duration::from_millis(700));
    for load in [Load { keys: 300, ..Load::records(300).batches(4_096, 5) }, Load { keys: 20, ..Load::records(400).batches(4_096, 5) }, Load::records(1)] {
        agent.produce(&one, "cleaned", &load);
        agent.produce(&one, "plain", &load);
        tick();
    }
    let visible = || agent.read(&one, "cleaned", false).iter().map(|record| record.offset).collect::<Vec<i64>>();
    let mut offsets = visible();
    // Nothing more is cleaned once two looks, further apart than the cleaner's, are the same.
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let now = visible();
        if now == std::mem::replace(&mut offsets, now.clone()) && now.len() < 600 {
            break;
        }
    }
    let span = agent.offsets(&one)[&("cleaned".to_owned(), 0)].clone();
    let (start, end) = (span.log_start, span.log_end);
    let runs = offsets.windows(2).filter(|pair| pair[1] > pair[0] + 1).count() + usize::from(offsets[0] > start);
    assert!(offsets.len() < 600 && runs > 3, "{runs} runs: {offsets:?}");
    let desk = Desk::new(&one, &format!("127.0.0.1:{}", process::free_port()), "");
    desk.run(&["plan", "--out-dir", "out"]).ok();
    let plan: Value = serde_json::from_str(&desk.read("out/plan.json")).unwrap();
    let holes = end - start - offsets.len() as i64;
    let (cleaned, plain) = (&plan["topics"][0], &plan["topics"][1]);
    assert_eq!((&cleaned["holes_estimated"], &cleaned["runs_estimated"]), (&json!(holes), &json!(runs)), "{offsets:?}");
    assert_eq!((&plain["holes_estimated"], &plain["runs_estimated"]), (&json!(0), &json!(0)));
    assert_eq!(plan["estimate"]["markers"]["write_txn_markers"], Value::Null, "nobody could be asked");
    let outcome = desk.precheck().expect_code(4);
    expect_found(&outcome, "information", "KF-PRE-COMPACTED", "cleaned");
    assert!(outcome.stdout.contains(&format!("about {holes} offsets without a record, before {runs} runs of records")), "{outcome}");
}
