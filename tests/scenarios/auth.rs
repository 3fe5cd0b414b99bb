//! Every way into a cluster: whole migrations by a principal with ACLs, what is said where one is not let in, and sessions that end.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kferry::config::model::{Auth, AuthMode, ClusterConfig, Secret, SecurityProtocol};
use kferry::error::Code;
use kferry::kafka::cluster::Side;
use kferry::kafka::witness::Witness;
use serde_json::{Value, json};

use crate::lab::secured::{PASSWORD_VARIABLE, USER, papers, password};
use crate::lab::{Acl, Agent, Commit, Door, Load, Options, S3, Topic, WorkDir};
use crate::migration::{Lab, Migration, Setup};
use crate::permissions;

/// The secured pair of clusters, with the users and the ACLs of whoever migrates.
pub fn secured() -> &'static Lab {
    static SECURED: OnceLock<Lab> = OnceLock::new();
    SECURED.get_or_init(|| {
        let lab = Lab::start(1, Options::default().secured(), Options::default().secured());
        for cluster in [&lab.source, &lab.target] {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let user = json!({"bootstrap": cluster.bootstrap(), "mechanism": mechanism, "user": USER, "password": password()});
                Agent::shared().call("upsert_scram", user);
            }
        }
        let principals = [Door::Open, Door::Mtls, Door::Plain, Door::Iam].map(Door::principal);
        for principal in &principals {
            Agent::shared().create_acls(&lab.source.bootstrap(), &of_source(principal));
            Agent::shared().create_acls(&lab.target.bootstrap(), &of_target(principal));
        }
        lab
    })
}

/// What a migration needs on the source.
fn of_source(principal: &str) -> Vec<Acl> {
    [
        ("READ", "TOPIC", "*"),
        ("DESCRIBE_CONFIGS", "TOPIC", "*"),
        // The sentinels.
        ("WRITE", "TOPIC", "*"),
        ("WRITE", "TRANSACTIONAL_ID", "*"),
        ("READ", "GROUP", "*"),
        ("DESCRIBE", "CLUSTER", "kafka-cluster"),
        ("DESCRIBE_CONFIGS", "CLUSTER", "kafka-cluster"),
    ]
    .map(|(operation, resource, name)| Acl::allow(principal, operation, resource, name))
    .into()
}

/// What a migration needs on the target.
fn of_target(principal: &str) -> Vec<Acl> {
    [("TOPIC", "*"), ("GROUP", "*"), ("TRANSACTIONAL_ID", "*"), ("CLUSTER", "kafka-cluster")]
        .map(|(resource, name)| Acl::allow(principal, "ALL", resource, name))
        .into()
}

/// A migration in by these two doors, of small topics that are filled here.
pub fn between(id: &str, source: Door, target: Door) -> Setup {
    let (lab, agent) = (secured(), Agent::shared());
    let inside = lab.source.bootstrap();
    agent.create_topics(&inside, &[Topic::new(&format!("{id}-orders"), 3), Topic::new(&format!("{id}-empty"), 1)]);
    agent.produce(&inside, &format!("{id}-orders"), &Load::records(600).values(50, 400).codec("lz4"));
    agent.commit_group_offsets(&inside, &format!("{id}-readers"), &[Commit::new(&format!("{id}-orders"), 0, 17, "kept")]);
    setup(lab, id, source, target)
}

/// A migration in by these two doors; its topics are the caller's to make.
pub fn setup(lab: &Lab, id: &str, source: Door, target: Door) -> Setup {
    let setup = lab
        .setup(id)
        .source(&lab.source.door(source))
        .target(&lab.target.door(target))
        .source_auth(&source.auth())
        .target_auth(&target.auth())
        .env(PASSWORD_VARIABLE, password());
    // Only the brokers know whom a certificate stands for.
    if matches!(target, Door::Mtls) { setup.set("acl.target_principal", &target.principal()) } else { setup }
}

/// Both principals may do just what `plan` lists, made by a super user: first on the source, whose bindings are then copied too.
fn permit_exactly(id: &str, source: Door, target: Door) {
    let (lab, agent) = (secured(), Agent::shared());
    for (cluster, door, side, standing) in [(&lab.source, source, "source", of_source as fn(&str) -> Vec<Acl>), (&lab.target, target, "target", of_target)] {
        let planned = lab.setup(id).set("acl.source_principal", &source.principal()).set("acl.target_principal", &target.principal()).begin();
        let rows = permissions::listed(&planned);
        let exact: Vec<Acl> = rows.iter().filter(|row| row["side"] == side).flat_map(|row| permissions::bindings_of(&door.principal(), row)).collect();
        agent.delete_acls(&cluster.bootstrap(), &standing(&door.principal()));
        agent.create_acls(&cluster.bootstrap(), &exact);
    }
}

fn put_back(bootstrap: &str, before: &[Acl]) {
    let agent = Agent::shared();
    let now = agent.describe_acls(bootstrap);
    let only_in = |of: &[Acl], other: &[Acl]| of.iter().filter(|acl| !other.contains(acl)).cloned().collect::<Vec<_>>();
    let (added, gone) = (only_in(&now, before), only_in(before, &now));
    if !added.is_empty() {
        agent.delete_acls(bootstrap, &added);
    }
    if !gone.is_empty() {
        agent.create_acls(bootstrap, &gone);
    }
}

/// From `plan` to `verify` with just the permissions that it needs, and both clusters hold the same.
fn whole(id: &str, source: Door, target: Door) -> Migration {
    let migration = between(id, source, target).begin();
    let lab = secured();
    let before = [&lab.source, &lab.target].map(|cluster| Agent::shared().describe_acls(&cluster.bootstrap()));
    permit_exactly(id, source, target);
    migration.run("plan").ok();
    migration.precheck();
    migration.finish();
    for (cluster, before) in [&lab.source, &lab.target].into_iter().zip(before) {
        put_back(&cluster.bootstrap(), &before);
    }
    migration.expect_state("finalized");
    migration.expect_verified();
    migration.expect_same(secured(), &[format!("{id}-orders"), format!("{id}-empty")]);
    migration
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn iam_to_iam() {
    whole("auth-i-i", Door::Iam, Door::Iam);
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn scram_sha_512_to_scram_sha_512() {
    whole("auth-s5-s5", Door::Scram512, Door::Scram512);
}

#[test]
fn scram_sha_512_to_iam() {
    whole("auth-s5-i", Door::Scram512, Door::Iam);
}

#[test]
fn iam_to_scram_sha_512() {
    whole("auth-i-s5", Door::Iam, Door::Scram512);
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn mtls_to_iam() {
    whole("auth-m-i", Door::Mtls, Door::Iam);
}

#[test]
fn mtls_to_mtls() {
    whole("auth-m-m", Door::Mtls, Door::Mtls);
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn plaintext_to_iam() {
    whole("auth-o-i", Door::Open, Door::Iam);
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn plaintext_to_scram_sha_512() {
    whole("auth-o-s5", Door::Open, Door::Scram512);
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn plaintext_to_mtls() {
    whole("auth-o-m", Door::Open, Door::Mtls);
}

#[test]
fn tls_to_tls() {
    whole("auth-t-t", Door::Tls, Door::Tls);
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn plain_to_plain() {
    whole("auth-p-p", Door::Plain, Door::Plain);
}

#[test]
fn plain_without_tls_to_scram_sha_256() {
    whole("auth-pc-s2", Door::PlainClear, Door::Scram256);
}

#[test]
#[ignore = "both of its ways in are gone through by other rows: tests/full"]
fn scram_sha_256_to_scram_sha_256() {
    whole("auth-s2-s2", Door::Scram256, Door::Scram256);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn scram_beside_a_certificate_to_the_same() {
    whole("auth-sm-sm", Door::ScramBesideMtls, Door::ScramBesideMtls);
}

#[test]
fn a_certificate_that_is_asked_for_besides_a_password_is_given_or_missed_by_name() {
    let door = Door::ScramBesideMtls;
    between("auth-beside", door, door).begin().precheck();
    let lab = secured();
    let without = setup(lab, "auth-beside", door, door).source_auth(&Door::Scram512.auth()).begin();
    let found = blockers(&without);
    assert!(found.iter().any(|(code, side, _)| code == "KF-AUTH-CLIENT-CERT" && side == "source"), "{found:?}");
}

/// Lines below `auth:` with one of them changed, or with one more.
pub fn with(mut lines: Vec<(&'static str, String)>, key: &'static str, value: impl ToString) -> Vec<(&'static str, String)> {
    lines.retain(|(have, _)| *have != key);
    lines.push((key, value.to_string()));
    lines
}

/// The blockers of a precheck: code, cluster, and what was seen.
fn blockers(migration: &Migration) -> Vec<(String, String, String)> {
    let outcome = migration.run("precheck").expect_code(4);
    let text = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    let found = outcome.json()["findings"].as_array().cloned().unwrap_or_default();
    found.iter().filter(|f| f["severity"] == "blocker").map(|f| (text(f, "code"), text(f, "subject"), text(f, "seen"))).collect()
}

/// An AWS profile whose credentials, and with them the tokens, expire after so many seconds.
fn short_lived_profile(dir: &Path, seconds: u64) -> String {
    short_lived(dir, seconds, S3::SECRET_KEY)
}

fn short_lived(dir: &Path, seconds: u64, secret: &str) -> String {
    let script = dir.join("credentials.sh");
    let key = S3::ACCESS_KEY;
    let text = format!(
        "#!/bin/sh\nuntil=$(date -u -d '+{seconds} seconds' +%Y-%m-%dT%H:%M:%SZ)\n\
         echo '{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"{secret}\",\"Expiration\":\"'$until'\"}}'\n"
    );
    std::fs::write(&script, text).unwrap();
    let config = dir.join("aws-config");
    std::fs::write(&config, format!("[profile short]\ncredential_process = /bin/sh {}\n", script.display())).unwrap();
    config.display().to_string()
}

/// Sessions of four seconds and tokens of ten, while a copy of a quarter of a minute runs.
#[test]
fn sessions_are_renewed_while_requests_are_in_flight() {
    let (lab, agent) = (secured(), Agent::shared());
    let id = "auth-session";
    agent.create_topics(&lab.source.bootstrap(), &[Topic::new("auth-session-orders", 4)]);
    agent.produce(&lab.source.bootstrap(), "auth-session-orders", &Load::records(9_000).values(900, 1_100).random().batches(32 << 10, 5));
    let dir = WorkDir::new("short-lived");
    let migration = setup(lab, id, Door::Scram512, Door::Iam)
        .target_auth(&with(Door::Iam.auth(), "profile", "short"))
        .env("AWS_CONFIG_FILE", &short_lived_profile(dir.path(), 10))
        .set("seed.rate_limit", "600KiB/s")
        .begin();
    let log = [("KFERRY_LOG", "kferry=debug".to_owned())];
    let outcome = migration.run_with("execute", &log).ok();
    assert!(outcome.took.as_secs() >= 12, "the copy is too quick to need a second session: {outcome}");
    let ports = [&lab.source.door(Door::Scram512), &lab.target.door(Door::Iam)];
    for port in ports {
        let renewed = outcome.stderr.lines().filter(|l| l.contains("session renewed") && l.contains(port.as_str())).count();
        assert!(renewed >= 6, "{renewed} sessions were renewed at {port}: {outcome}");
    }
    // Nothing was lost by it, not even for a moment.
    for word in ["connection lost", "cannot be renewed", "closed the connection"] {
        assert!(!outcome.stderr.contains(word), "{outcome}");
    }
    migration.finish();
    migration.expect_verified();
    migration.expect_same(lab, &["auth-session-orders"]);
}

/// Credentials that are withdrawn in mid-copy: the brokers are not asked again and again for ever, and the run ends with its reason.
#[test]
#[ignore = "slow: tests/full runs it"]
fn a_run_that_is_kept_out_for_a_minute_ends_with_the_reason() {
    let (lab, agent) = (secured(), Agent::shared());
    let id = "auth-kept-out";
    agent.create_topics(&lab.source.bootstrap(), &[Topic::new("auth-kept-out-orders", 4)]);
    agent.produce(&lab.source.bootstrap(), "auth-kept-out-orders", &Load::records(25_000).values(900, 1_100).random().batches(32 << 10, 5));
    let dir = WorkDir::new("withdrawn");
    let config = short_lived_profile(dir.path(), 10);
    let migration = setup(lab, id, Door::Scram512, Door::Iam)
        .target_auth(&with(Door::Iam.auth(), "profile", "short"))
        .env("AWS_CONFIG_FILE", &config)
        .set("seed.rate_limit", "600KiB/s")
        .set("seed.segment_max_bytes", "1MiB")
        .begin();
    let mut running = migration.spawn("execute");
    migration.wait_until_copied(&mut running, &lab.target.bootstrap(), 1_000, Duration::from_secs(60));
    short_lived(dir.path(), 10, "a-secret-that-was-withdrawn");
    let began = Instant::now();
    let outcome = running.wait(Duration::from_secs(180)).expect_code(6);
    assert!(outcome.stderr.contains("error[KF-AUTH-TOKEN]"), "{outcome}");
    assert!(began.elapsed() > Duration::from_secs(40), "it did not wait for it to pass: {outcome}");
    migration.expect_state("seed");
    short_lived_profile(dir.path(), 10);
    migration.finish();
    migration.expect_verified();
    migration.expect_same(lab, &["auth-kept-out-orders"]);
}

/// Who is let in again and who is not is a broker's first word after a restart: it must not be taken for a refusal too soon.
#[test]
#[ignore = "slow: tests/full runs it"]
fn brokers_that_go_and_come_back_let_us_in_again() {
    let (lab, agent) = (secured(), Agent::shared());
    let id = "auth-bounced";
    agent.create_topics(&lab.source.bootstrap(), &[Topic::new("auth-bounced-orders", 4)]);
    agent.produce(&lab.source.bootstrap(), "auth-bounced-orders", &Load::records(20_000).values(900, 1_100).random().batches(32 << 10, 5));
    let setup = setup(lab, id, Door::Scram512, Door::Scram256).set("seed.rate_limit", "1MiB/s");
    let migration = setup.set("seed.segment_max_bytes", "1MiB").begin();
    let mut running = migration.spawn("execute");
    for (cluster, at_least) in [(&lab.target, 2_000), (&lab.source, 6_000)] {
        migration.wait_until_copied(&mut running, &lab.target.bootstrap(), at_least, Duration::from_secs(120));
        cluster.kill_broker(1);
        cluster.start_broker(1);
        cluster.wait_ready();
    }
    running.wait(Duration::from_secs(200)).ok();
    migration.finish();
    migration.expect_verified();
    migration.expect_same(lab, &["auth-bounced-orders"]);
}

/// Every file below a directory that holds one of these.
fn holders(dir: &Path, secrets: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holders(&path, secrets));
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let held = secrets.iter().filter(|s| bytes.windows(s.len()).any(|w| w == s.as_bytes()));
            found.extend(held.map(|_| path.display().to_string()));
        }
    }
    found
}

#[test]
fn no_secret_is_in_journal_bundle_logs_or_errors() {
    let id = "auth-secret";
    let migration = between(id, Door::Plain, Door::Iam).begin();
    // Whatever a token is, it begins with this: `https://kafka.` in base64.
    let secrets = [password(), S3::SECRET_KEY, "aHR0cHM6Ly9rYWZrYS"];
    let everything = [("KFERRY_LOG", "kferry=trace,librdkafka=trace,rdkafka=trace,rustls=trace,aws_config=trace".to_owned())];
    let mut printed = String::new();
    for command in ["plan", "precheck", "execute", "status", "cutover", "cutover-ack", "validate", "finalize"] {
        let outcome = migration.run_with(command, &everything);
        assert!(matches!(outcome.code, Some(0 | 3)), "{}", outcome.code.unwrap_or(-1));
        printed += &format!("{outcome}");
    }
    migration.expect_state("finalized");
    for (name, value) in [(PASSWORD_VARIABLE, "not-this-one"), ("AWS_SECRET_ACCESS_KEY", "nor-that-one")] {
        let mut all = everything.to_vec();
        all.push((name, value.to_owned()));
        let outcome = migration.run_with("precheck", &all);
        printed += &format!("{outcome}");
        assert!(!printed.contains(value), "{value} is printed");
    }
    let at = secrets.iter().find_map(|s| printed.find(s)).map(|at| &printed[at.saturating_sub(300)..at]);
    assert_eq!(at, None, "a secret is printed after this");
    for expected in ["KF-AUTH-CREDENTIALS", "session renewed"] {
        assert!(printed.contains(expected), "the searched text is not what it should be");
    }
    assert_eq!(holders(migration.dir(), &secrets), Vec::<String>::new());
    assert_eq!(holders(migration.bundle().parent().unwrap(), &secrets), Vec::<String>::new());
    assert_eq!(holders(&migration.segments(), &secrets), Vec::<String>::new());
    // The search itself finds what is there.
    std::fs::write(migration.dir().join("planted"), password()).unwrap();
    assert_eq!(holders(migration.dir(), &secrets).len(), 1);
}

#[test]
fn a_password_that_changes_in_mid_migration_ends_the_next_command_with_its_code() {
    let migration = between("auth-change", Door::Scram512, Door::Scram256).begin();
    migration.execute();
    let wrong = [(PASSWORD_VARIABLE, "not-this-one".to_owned())];
    for command in ["execute", "cutover"] {
        let outcome = migration.run_with(command, &wrong).expect_code(6);
        assert!(outcome.stderr.contains("error[KF-AUTH-CREDENTIALS]"), "{outcome}");
    }
    migration.expect_state("drain_ready");
    // A target that refuses beside a source that does not.
    let migration = setup(secured(), "auth-change", Door::Scram512, Door::Plain).target_auth(&with(Door::Plain.auth(), "username", "nobody")).begin();
    let found = blockers(&migration);
    assert!(matches!(&found[..], [(code, side, _)] if code == "KF-AUTH-CREDENTIALS" && side == "target"), "{found:?}");
    migration.run("plan").ok();
}

/// librdkafka's calls say that a cluster is down, its error callback that it does not let us in, and that is what is said.
#[test]
fn the_witness_says_why_it_is_not_let_in() {
    let (lab, papers) = (secured(), papers());
    let auth = |mode, security_protocol, password: &str| Auth {
        mode,
        security_protocol,
        username: Some(USER.into()),
        password: Some(Secret::new(password)),
        ca: Some(papers.ca.clone()),
        ..Auth::plaintext()
    };
    let tls = || Auth { mode: AuthMode::Tls, security_protocol: SecurityProtocol::Ssl, ca: Some(papers.ca.clone()), ..Auth::plaintext() };
    let mtls = |cert: &Path, key: &Path| Auth { mode: AuthMode::Mtls, cert: Some(cert.into()), key: Some(key.into()), ..tls() };
    let greet = |door: Door, auth: Auth| {
        let config = ClusterConfig::at(vec![lab.source.door(door)], auth);
        Witness::open(Side::Source, &config).and_then(|witness| witness.with_patience(Duration::from_secs(5)).greet())
    };
    let scram = |password: &str| auth(AuthMode::ScramSha512, SecurityProtocol::SaslSsl, password);
    greet(Door::Scram512, scram(password())).unwrap();
    greet(Door::Mtls, mtls(&papers.client_cert, &papers.client_key)).unwrap();
    greet(Door::PlainClear, Auth { ca: None, ..auth(AuthMode::Plain, SecurityProtocol::SaslPlaintext, password()) }).unwrap();
    for (door, auth, code) in [
        (Door::Scram512, scram("not-this-one"), Code::AuthCredentials),
        (Door::Plain, auth(AuthMode::Plain, SecurityProtocol::SaslSsl, "not-this-one"), Code::AuthCredentials),
        (Door::Scram512, Auth { ca: Some(papers.other_ca.clone()), ..scram(password()) }, Code::AuthUnknownCa),
        // OpenSSL's reason for a certificate does not come up through librdkafka; the copier's own client, which comes first, tells.
        (Door::Expired, tls(), Code::AuthUnknownCa),
        (Door::Elsewhere, tls(), Code::AuthUnknownCa),
        (Door::Mtls, tls(), Code::AuthClientCertificate),
        (Door::Mtls, mtls(&papers.stranger_cert, &papers.stranger_key), Code::AuthClientCertificate),
        (Door::Plain, scram(password()), Code::AuthMechanism),
        (Door::Mtls, mtls(&papers.client_cert, &papers.stranger_key), Code::AuthFile),
    ] {
        let error = greet(door, auth).unwrap_err();
        assert_eq!(error.code(), code, "{door:?}: {error}");
        assert!(!error.seen().contains("not-this-one"), "{error}");
    }
}

#[test]
fn whoever_is_not_let_in_is_told_why_by_precheck_on_both_sides() {
    let (lab, papers) = (secured(), papers());
    Agent::shared().create_topics(&lab.source.bootstrap(), &[Topic::new("auth-wrong-orders", 1)]);
    let mtls = Door::Mtls.auth();
    let ca = |path: &Path| path.display().to_string();
    let wrong_secret = [("AWS_SECRET_ACCESS_KEY", "not-this-one")];
    let no_credentials = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let none: [(&str, &str); 0] = [];
    let dir = WorkDir::new("expired");
    let profile = short_lived_profile(dir.path(), 0);
    let expired = [("AWS_CONFIG_FILE", profile.as_str())];
    type Case<'a> = (&'a str, Door, Vec<(&'static str, String)>, &'a [(&'a str, &'a str)], &'a str);
    let cases: Vec<Case> = vec![
        ("CREDENTIALS", Door::Scram512, Door::Scram512.auth(), &[(PASSWORD_VARIABLE, "not-this-one")], "SCRAM-SHA-512"),
        ("CREDENTIALS", Door::Scram256, with(Door::Scram256.auth(), "username", "nobody"), &none, "SCRAM-SHA-256"),
        ("CREDENTIALS", Door::Plain, Door::Plain.auth(), &[(PASSWORD_VARIABLE, "not-this-one")], "PLAIN"),
        ("UNKNOWN-CA", Door::Scram512, with(Door::Scram512.auth(), "ca", ca(&papers.other_ca)), &none, "UnknownIssuer"),
        ("CERT-EXPIRED", Door::Expired, Door::Tls.auth(), &none, "expired"),
        ("HOSTNAME", Door::Elsewhere, Door::Tls.auth(), &none, "kafka.elsewhere.example"),
        ("CLIENT-CERT", Door::Mtls, Door::Tls.auth(), &none, ""),
        ("CLIENT-CERT", Door::Mtls, with(with(mtls.clone(), "cert", ca(&papers.stranger_cert)), "key", ca(&papers.stranger_key)), &none, ""),
        ("CLIENT-CERT", Door::Mtls, with(mtls.clone(), "cert", ca(&papers.expired_client_cert)), &none, ""),
        ("NOT-TLS", Door::Open, Door::Tls.auth(), &none, "TLS"),
        ("NOT-TLS", Door::PlainClear, Door::Plain.auth(), &none, "TLS"),
        ("TLS-EXPECTED", Door::Tls, Door::Open.auth(), &none, "TLS"),
        ("TLS-EXPECTED", Door::Plain, Door::PlainClear.auth(), &none, "TLS"),
        ("SASL-EXPECTED", Door::Scram512, Door::Tls.auth(), &none, "SASL"),
        ("MECHANISM", Door::Scram512, Door::Plain.auth(), &none, "SCRAM-SHA-512"),
        ("MECHANISM", Door::Tls, Door::Scram512.auth(), &none, "without SASL"),
        ("AWS-CREDENTIALS", Door::Iam, Door::Iam.auth(), &no_credentials, "credential"),
        ("AWS-CREDENTIALS", Door::Iam, with(Door::Iam.auth(), "profile", "nobody"), &none, "of profile nobody"),
        ("AWS-CREDENTIALS", Door::Iam, with(Door::Iam.auth(), "profile", "short"), &expired, "expired"),
        ("TOKEN", Door::Iam, Door::Iam.auth(), &wrong_secret, "signature"),
        ("TOKEN", Door::Iam, with(Door::Iam.auth(), "region", "eu-north-1"), &none, "host"),
        ("FILE", Door::Tls, with(Door::Tls.auth(), "ca", ca(&papers.client_key)), &none, "no certificate"),
        ("FILE", Door::Mtls, with(mtls.clone(), "key", ca(&papers.stranger_key)), &none, "auth.key"),
    ];
    let tried = |(code, door, auth, env, words): &Case| {
        let code = format!("KF-AUTH-{code}");
        let mut setup = setup(lab, "auth-wrong", *door, *door).source_auth(auth).target_auth(auth);
        for (name, value) in *env {
            setup = setup.env(name, value);
        }
        let found = blockers(&setup.begin());
        for side in ["source", "target"] {
            let seen = found.iter().find(|(c, s, _)| *c == code && s == side).map(|(_, _, seen)| seen);
            let seen = seen.unwrap_or_else(|| panic!("no {code} for the {side} at {door:?}: {found:?}"));
            assert!(seen.contains(words), "{code} at {door:?} does not say {words:?}: {seen}");
            assert!(!seen.contains("not-this-one") && !seen.contains(password()), "{seen}");
        }
    };
    // Some wait for what may pass by itself, so several go at a time.
    std::thread::scope(|scope| {
        for share in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(|| share.iter().for_each(tried));
        }
    });
    // Whom a certificate stands for has to be said where bindings are to be removed.
    let unknown = setup(lab, "auth-wrong", Door::Mtls, Door::Mtls).set("acl.on_drift", "replace");
    let known = setup(lab, "auth-wrong", Door::Mtls, Door::Mtls).set("acl.on_drift", "replace").begin();
    let is_unknown = |migration: &Migration| migration.run("precheck").stdout.contains("\"KF-PRE-PRINCIPAL-UNKNOWN\"");
    assert!(!is_unknown(&known));
    assert!(is_unknown(&unknown.without("acl.target_principal").begin()));
}
