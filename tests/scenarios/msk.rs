//! Clusters by ARN: what the control plane's double says is used, told and undone; the brokers behind its addresses are real.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::auth::{between, secured};
use crate::lab::{Acl, Agent, Door, Load, Msk, MskFailure, S3, Topic};
use crate::migration::{Lab, Migration, Setup};

const ACCESS_DENIED: MskFailure = MskFailure { status: 403, error_type: "AccessDeniedException", message: "User: arn:aws:iam::123456789012:user/kferry is not authorized" };
const AWAY: MskFailure = MskFailure { status: 503, error_type: "ServiceUnavailableException", message: "away" };
const THROTTLED: MskFailure = MskFailure { status: 429, error_type: "TooManyRequestsException", message: "Too Many Requests" };

/// The shared pair by ARN in plaintext, with one topic of these many records; answers both ARNs.
fn shared(msk: &Msk, id: &str, records: u64) -> (Setup, String, String) {
    let lab = Lab::shared();
    let topic = format!("{id}-orders");
    if !Agent::shared().offsets(&lab.source.bootstrap()).keys().any(|(name, _)| *name == topic) {
        Agent::shared().create_topics(&lab.source.bootstrap(), &[Topic::new(&topic, 1)]);
        Agent::shared().produce(&lab.source.bootstrap(), &topic, &Load::records(records));
    }
    let source = msk.add("old", "3.9.x", json!({ "bootstrapBrokerString": lab.source.bootstrap() }));
    let target = msk.add("new", "3.9.x.kraft", json!({ "bootstrapBrokerString": lab.target.bootstrap() }));
    (by_arns(id, msk, &source, &target, &[]), source, target)
}

fn by_arns(id: &str, msk: &Msk, source: &str, target: &str, of_target: &[(&'static str, &str)]) -> Setup {
    let endpoint = msk.endpoint();
    let plaintext = [("mode", "plaintext".to_owned())];
    let setup = Lab::shared().setup(id).source_auth(&plaintext).target_auth(&plaintext);
    let more = [&[("endpoint_url", endpoint.as_str())], of_target].concat();
    setup.source_by_arn(source, &more[..1]).target_by_arn(target, &more)
}

fn found(migration: &Migration) -> Vec<(String, String, String, String)> {
    let outcome = migration.run("precheck");
    let text = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    let findings = outcome.json()["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().map(|f| (text(f, "code"), text(f, "severity"), text(f, "subject"), text(f, "seen"))).collect()
}

#[track_caller]
fn expect(found: &[(String, String, String, String)], code: &str, severity: &str, subject: &str, words: &[&str]) {
    let of_code = found.iter().find(|f| f.0 == code && f.2 == subject).unwrap_or_else(|| panic!("no {code} of {subject}: {found:?}"));
    assert_eq!(of_code.1, severity, "{of_code:?}");
    for word in words {
        assert!(of_code.3.contains(word), "{code} does not say {word:?}: {}", of_code.3);
    }
}

#[test]
fn a_whole_migration_by_arns_on_both_sides() {
    let lab = secured();
    let msk = Msk::start();
    let other = "127.0.0.1:1";
    let source = msk.add("old", "3.9.x", json!({ "bootstrapBrokerStringSaslScram": lab.source.door(Door::Scram512), "bootstrapBrokerStringTls": other }));
    let target = msk.add(
        "new",
        "4.1.x.kraft",
        json!({ "bootstrapBrokerStringSaslIam": other, "bootstrapBrokerStringPublicSaslIam": lab.target.door(Door::Iam), "bootstrapBrokerStringTls": other }),
    );
    let users = ["alice", "bob", "carol", "dave", "erin"].map(Msk::secret);
    msk.edit(&source, |c| c.secrets = users.to_vec());
    msk.edit(&target, |c| c.secrets = vec![users[0].clone()]);
    let migration = between("msk-whole", Door::Scram512, Door::Iam)
        .source_by_arn(&source, &[])
        .target_by_arn(&target, &[("network", "public"), ("scram_secrets", "associate")])
        .env("AWS_ENDPOINT_URL_KAFKA", &msk.endpoint())
        .begin();

    migration.run("plan").ok();
    let read = |name: &str| std::fs::read_to_string(migration.dir().join("plan").join(name)).unwrap();
    let plan: Value = serde_json::from_str(&read("plan.json")).unwrap();
    let (of_source, of_target) = (&plan["source_msk"], &plan["target_msk"]);
    assert_eq!((&of_source["metadata_mode"], &of_target["metadata_mode"]), (&plan["source"]["metadata_mode"], &plan["target"]["metadata_mode"]), "as the brokers say");
    assert_eq!((&of_source["kind"], &of_source["volume_gib"], &of_target["configuration"]["server_properties"]["num.partitions"]), (&json!("standard"), &json!(100), &json!("3")));
    assert_eq!(of_target["bootstrap_servers"], json!([lab.target.door(Door::Iam)]), "the public ones");
    assert_eq!(of_source["scram_secrets"].as_array().map(Vec::len), Some(5), "all pages");
    assert_eq!(plan["scram_secrets"], json!(users[1..]), "without the one that is there");
    let runbook = read("runbook.md");
    assert!(runbook.contains("As the MSK control plane describes them") && runbook.contains(&lab.source.door(Door::Scram512)), "{runbook}");
    migration.precheck();
    assert!(!msk.calls().iter().any(|call| call.starts_with("Batch")), "plan and precheck change nothing: {:?}", msk.calls());

    // One of four is refused: it is named with the reason, the others are associated once, and the next run goes on with it.
    msk.refuse_secret(&users[2], Some("SecretEncryptedWithDefaultKey"));
    let refused = migration.run("execute").expect_code(1);
    assert!(refused.stderr.contains("error[KF-MSK-SCRAM-SECRETS]") && refused.stderr.contains(&users[2]) && refused.stderr.contains("SecretEncryptedWithDefaultKey"), "{refused}");
    assert!(!refused.stderr.contains(&users[1]), "{refused}");
    migration.expect_state("topology_copy");
    assert_eq!(msk.secrets(&target).len(), 4);
    msk.refuse_secret(&users[2], None);
    migration.execute();
    let mut there = msk.secrets(&target);
    there.sort();
    assert_eq!(there, users);

    // A migration that is under way does not need the control plane, nor credentials for it.
    msk.fail("GetBootstrapBrokers", "", None, ACCESS_DENIED);
    let outcome = migration.cutover();
    assert!(outcome.stderr.contains("the bootstrap servers that the plan was made with are used"), "{outcome}");
    msk.recover();
    migration.conclude();
    migration.expect_verified();
    migration.expect_same(lab, &["msk-whole-orders", "msk-whole-empty"]);
    let bundle = migration.evidence().to_string();
    assert!(bundle.contains(&users[4]) && !bundle.contains(S3::SECRET_KEY));
    let not_covered = migration.expect_verified()["not_covered"].to_string();
    assert!(not_covered.contains("untried: the source is Amazon MSK") && not_covered.contains("untried: the target is Amazon MSK") && !not_covered.contains("S3 of AWS"), "{not_covered}");
}

/// Waits until the journal has so many effects of this name under way or done, and the double has carried them out.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_kferry_has_associated_is_taken_away_by_a_rollback_and_nothing_else() {
    let msk = Msk::start();
    let (_, source, target) = shared(&msk, "msk-back", 10);
    let users: Vec<String> = (10..23).map(|n| Msk::secret(&format!("user-{n}"))).collect();
    let theirs = vec![Msk::secret("theirs"), users[3].clone()];
    msk.edit(&source, |c| c.secrets = users.clone());
    msk.edit(&target, |c| c.secrets = theirs.clone());
    let migration = by_arns("msk-back", &msk, &source, &target, &[("scram_secrets", "associate")]).begin();
    let batches = |operation: &str| msk.calls().iter().filter(|call| call.starts_with(operation)).count();

    // Killed when the service has done it and not answered: the next run asks, and does not do it twice.
    msk.hold(Some("BatchAssociateScramSecret"));
    let running = migration.spawn("execute");
    wait_for("the first batch", || msk.secrets(&target).len() == 12);
    running.kill();
    msk.hold(None);
    // What the service refuses and somebody then associates by hand is his.
    let by_hand = &users[12];
    msk.refuse_secret(by_hand, Some("SecretEncryptedWithDefaultKey"));
    migration.run("execute").expect_code(1);
    msk.refuse_secret(by_hand, None);
    msk.edit(&target, |c| c.secrets.push(by_hand.clone()));
    migration.execute();
    assert_eq!((msk.secrets(&target).len(), batches("BatchAssociate")), (14, 2), "{:?}", msk.calls());

    msk.hold(Some("BatchDisassociateScramSecret"));
    let running = migration.spawn("rollback");
    wait_for("the first batch", || msk.secrets(&target).len() == 4);
    running.kill();
    msk.hold(None);
    migration.run("rollback").ok();
    migration.expect_state("rolled_back");
    let (mut left, mut expected) = (msk.secrets(&target), [theirs, vec![by_hand.clone()]].concat());
    left.sort();
    expected.sort();
    assert_eq!((left, batches("BatchDisassociate")), (expected, 2));
    assert_eq!(msk.secrets(&source), users);
}

#[test]
fn each_way_in_which_the_control_plane_refuses_has_its_code() {
    type Prepare = fn(&Msk, &str);
    /// What is done to the double, the environment, the Region in the ARN; the code and words of it.
    struct Case {
        prepare: Prepare,
        env: &'static [(&'static str, &'static str)],
        region: Option<&'static str>,
        code: &'static str,
        words: &'static [&'static str],
    }
    const NOTHING: Prepare = |_, _| {};
    let case = |prepare, code, words| Case { prepare, env: &[], region: None, code, words };
    let cases = [
        Case { env: &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")], ..case(NOTHING, "KF-MSK-CREDENTIALS", &["credential"]) },
        Case { env: &[("AWS_ACCESS_KEY_ID", "somebody")], ..case(NOTHING, "KF-MSK-CREDENTIALS", &["UnrecognizedClientException"]) },
        case(|msk, _| msk.fail("DescribeClusterV2", "", None, ACCESS_DENIED), "KF-MSK-ACCESS-DENIED", &["kafka:DescribeClusterV2 on arn:aws:kafka:", "not authorized"]),
        case(|msk, _| msk.fail("GetBootstrapBrokers", "", None, MskFailure { error_type: "ForbiddenException", ..ACCESS_DENIED }), "KF-MSK-ACCESS-DENIED", &["kafka:GetBootstrapBrokers"]),
        case(|msk, arn| msk.fail("DescribeClusterV2", arn, None, MskFailure { status: 404, error_type: "NotFoundException", message: "gone" }), "KF-MSK-NO-SUCH-CLUSTER", &["gone"]),
        Case { region: Some("eu-north-1"), ..case(NOTHING, "KF-MSK-WRONG-REGION", &["valid region"]) },
        case(|msk, _| msk.fail("DescribeClusterV2", "", None, THROTTLED), "KF-MSK-THROTTLED", &["after 5 attempts"]),
        case(|msk, _| msk.fail("GetBootstrapBrokers", "", None, AWAY), "KF-MSK-UNREACHABLE", &["us-east-1 does not answer kafka:GetBootstrapBrokers"]),
        Case { env: &[("AWS_ENDPOINT_URL_KAFKA", "http://127.0.0.1:1")], ..case(NOTHING, "KF-MSK-UNREACHABLE", &["does not answer"]) },
        case(
            |msk, _| msk.fail("DescribeClusterV2", "", None, MskFailure { status: 400, error_type: "BadRequestException", message: "One or more of the parameters are not valid." }),
            "KF-MSK-REFUSED",
            &["parameters"],
        ),
        case(|msk, arn| msk.edit(arn, |c| c.bootstrap = json!({ "bootstrapBrokerStringPublicSaslIam": "b-1:9198" })), "KF-MSK-NO-BOOTSTRAP", &["auth.mode plaintext on network private", "public: iam"]),
        case(|msk, arn| msk.edit(arn, |c| c.info = json!({ "clusterType": "SERVERLESS", "clusterName": "less", "state": "ACTIVE", "serverless": {} })), "KF-MSK-SERVERLESS", &["MSK Serverless"]),
        case(
            |msk, arn| {
                msk.edit(arn, |c| {
                    c.info["state"] = json!("FAILED");
                    c.info["stateInfo"] = json!({ "code": "X", "message": "a quota was exceeded" });
                });
            },
            "KF-MSK-NOT-ACTIVE",
            &["FAILED", "a quota was exceeded"],
        ),
    ];
    let (next, id) = (AtomicUsize::new(0), "msk-refused");
    shared(&Msk::start(), id, 3);
    let try_one = |number: usize| {
        let Case { prepare, env, region, code, words } = &cases[number];
        let msk = Msk::start();
        let (_, source, target) = shared(&msk, id, 3);
        // Half of them befall the source, the others the target.
        let side = if number % 2 == 0 { "source" } else { "target" };
        let befallen = if side == "source" { &source } else { &target };
        prepare(&msk, befallen);
        let elsewhere = befallen.replace(S3::REGION, region.unwrap_or(S3::REGION));
        let named = if side == "source" { (elsewhere.as_str(), target.as_str()) } else { (source.as_str(), elsewhere.as_str()) };
        let mut setup = by_arns(id, &msk, named.0, named.1, &[]);
        for (name, value) in *env {
            setup = setup.env(name, value);
        }
        if env.iter().any(|(name, _)| *name == "AWS_ENDPOINT_URL_KAFKA") {
            setup = setup.source_by_arn(named.0, &[]).target_by_arn(named.1, &[]);
        }
        let migration = setup.begin();
        let found = found(&migration);
        expect(&found, code, "blocker", side, words);
        assert!(found.iter().all(|f| !f.3.contains(S3::SECRET_KEY)), "{found:?}");
        if *code == "KF-MSK-NO-SUCH-CLUSTER" {
            // The command that would begin says it by the same code.
            let outcome = migration.run("execute").expect_code(6);
            assert!(outcome.stderr.contains(&format!("error[{code}]")), "{outcome}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|n| *n < cases.len()) {
                    try_one(number);
                }
            });
        }
    });
}

#[test]
fn what_the_control_plane_says_is_found() {
    let msk = Msk::start();
    let (setup, source, target) = shared(&msk, "msk-found", 50);
    // All is well: nothing of it is found, and throttling passes.
    msk.fail("DescribeClusterV2", "", Some(2), THROTTLED);
    let quiet = found(&setup.begin());
    assert!(!quiet.iter().any(|f| f.0.contains("MSK") || f.0.contains("REGION") || f.0 == "KF-PRE-SAME-CLUSTER"), "{quiet:?}");
    assert!(msk.calls().iter().filter(|call| call.starts_with("DescribeClusterV2")).count() == 4, "two were throttled: {:?}", msk.calls());

    msk.edit(&source, |c| {
        c.info["state"] = json!("UPDATING");
        c.properties = "num.partitions=1\nauto.create.topics.enable=true\n".into();
        c.secrets = vec![Msk::secret("alice"), Msk::secret("bob").replace(S3::REGION, "eu-west-1")];
    });
    msk.edit(&target, |c| {
        c.info["provisioned"]["brokerNodeGroupInfo"]["instanceType"] = json!("express.m7g.large");
        c.info["provisioned"]["brokerNodeGroupInfo"]["storageInfo"] = json!({ "ebsStorageInfo": { "volumeSize": 0 } });
    });
    msk.fail("ListNodes", &target, None, ACCESS_DENIED);
    let listed = found(&by_arns("msk-found", &msk, &source, &target, &[]).begin());
    expect(&listed, "KF-PRE-MSK-BUSY", "warning", "source", &["old is UPDATING"]);
    expect(&listed, "KF-PRE-MSK-EXPRESS", "warning", "target", &["express.m7g.large"]);
    expect(&listed, "KF-PRE-MSK-NOT-READ", "warning", "target", &["kafka:ListNodes"]);
    expect(&listed, "KF-PRE-MSK-CONFIGURATION", "warning", "target", &["num.partitions: 1 on the source, 3 on the target", "auto.create.topics.enable"]);
    expect(&listed, "KF-PRE-MSK-DISK-SHORT", "blocker", "target", &["0 GiB on each of 3 brokers"]);
    expect(&listed, "KF-PRE-MSK-SCRAM-SECRETS", "information", "target", &["2 secrets", "AmazonMSK_alice"]);
    let asked = found(&by_arns("msk-found", &msk, &source, &target, &[("scram_secrets", "associate")]).begin());
    expect(&asked, "KF-PRE-MSK-SCRAM-UNFIT", "blocker", "target", &["lies in Region eu-west-1, the cluster in us-east-1"]);

    let same = found(&by_arns("msk-found", &msk, &source, &source, &[]).begin());
    expect(&same, "KF-PRE-SAME-CLUSTER", "blocker", "", &["both have the ARN"]);
    assert_eq!(same.iter().filter(|f| f.0 == "KF-PRE-SAME-CLUSTER").count(), 1);
}

/// Brokers hide whether they let everyone at what has no bindings, and do not say whose a binding is; that they are MSK's tells both.
#[test]
fn what_only_an_msk_cluster_tells_of_its_bindings_is_found() {
    let (lab, agent, msk, door) = (secured(), Agent::shared(), Msk::start(), Door::Scram512);
    let source = msk.add("old", "3.9.x", json!({ "bootstrapBrokerStringSaslScram": lab.source.door(door) }));
    let target = msk.add("new", "4.1.x.kraft", json!({ "bootstrapBrokerStringSaslScram": lab.target.door(door) }));
    let brokers = Acl::allow("User:CN=*.old.abc123.c2.kafka.us-east-1.amazonaws.com", "READ", "TOPIC", "msk-own-orders");
    agent.create_acls(&lab.source.bootstrap(), std::slice::from_ref(&brokers));
    let of_brokers = |plan: &Value, list: &str| plan["acls"][list].as_array().is_some_and(|all| all.iter().any(|b| b["principal"] == brokers.principal.as_str()));
    let by_hand = |found: &[(String, String, String, String)]| found.iter().any(|f| f.0 == "KF-PRE-NOT-PROBED" && f.3.contains("allow.everyone.if.no.acl.found"));
    let has = |found: &[(String, String, String, String)], code: &str| found.iter().any(|f| f.0 == code);

    let migration = between("msk-own", door, door).source_by_arn(&source, &[]).target_by_arn(&target, &[]).env("AWS_ENDPOINT_URL_KAFKA", &msk.endpoint()).begin();
    let of = |properties: [&str; 2]| {
        for (arn, text) in [&source, &target].into_iter().zip(properties) {
            msk.edit(arn, |c| c.properties = text.into());
        }
        found(&migration)
    };
    let differ = of(["allow.everyone.if.no.acl.found=false\n", "num.partitions=3\n"]);
    expect(&differ, "KF-PRE-ALLOW-EVERYONE", "warning", "", &["false on the source (by its MSK configuration), true on the target (MSK's default"]);
    assert!(!by_hand(&differ), "{differ:?}");
    let agree = of(["allow.everyone.if.no.acl.found=false\n", "allow.everyone.if.no.acl.found=false\n"]);
    assert!(!has(&agree, "KF-PRE-ALLOW-EVERYONE") && !by_hand(&agree), "{agree:?}");
    expect(&agree, "KF-PRE-ACL-INTERNAL", "information", "source", &[&brokers.principal]);
    migration.run("plan").ok();
    let plan = migration.expect_plan();
    assert!(of_brokers(&plan, "internal") && !of_brokers(&plan, "create"), "{}", plan["acls"]);

    // The same brokers by their addresses are anybody's.
    let plain = between("msk-not", door, door).begin();
    let unknown = found(&plain);
    assert!(by_hand(&unknown) && !has(&unknown, "KF-PRE-ALLOW-EVERYONE") && !has(&unknown, "KF-PRE-ACL-INTERNAL"), "{unknown:?}");
    plain.run("plan").ok();
    let plan = plain.expect_plan();
    assert!(of_brokers(&plan, "create") && !of_brokers(&plan, "internal"), "{}", plan["acls"]);
    agent.delete_acls(&lab.source.bootstrap(), std::slice::from_ref(&brokers));
}

#[test]
fn clusters_in_two_regions_are_found() {
    let msk = Msk::start();
    let (_, source, target) = shared(&msk, "msk-regions", 5);
    // The double is of one Region alone, so that the target's description does not come; its ARN tells the Region all the same.
    let elsewhere = target.replace(S3::REGION, "eu-north-1");
    let setup = || by_arns("msk-regions", &msk, &source, &elsewhere, &[]);
    let told = found(&setup().begin());
    expect(&told, "KF-PRE-CROSS-REGION", "warning", "", &["from us-east-1 to eu-north-1"]);
    expect(&told, "KF-MSK-WRONG-REGION", "blocker", "target", &[]);
    // The store's Region counts where its address is AWS's own; here the environment leads that to the lab's.
    assert!(!told.iter().any(|f| f.0 == "KF-PRE-STORE-CROSS-REGION"), "{told:?}");
    let own = setup().set("backup.endpoint_url", "~").env("AWS_ENDPOINT_URL_S3", &Lab::shared().s3.endpoint());
    expect(&found(&own.begin()), "KF-PRE-STORE-CROSS-REGION", "warning", "backup", &["the segments go to us-east-1, the target is in eu-north-1"]);
}
