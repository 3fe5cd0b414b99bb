use super::*;
use crate::config::model::*;
use crate::domain::acl::DriftPolicy;
use std::path::PathBuf;

pub(super) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn env(name: &str) -> Option<String> {
    match name {
        "SOURCE_PASSWORD" => Some(" 0123 ".into()),
        "TARGET_PASSWORD" => Some("4567".into()),
        "KFERRY_TEST_SECRET" => Some("hunter2".into()),
        "KFERRY_TEST_INJECTION" => Some("x\n  offsets: mapped".into()),
        "HOME" => Some("/home/someone".into()),
        _ => None,
    }
}

fn example(name: &str) -> Config {
    let text = std::fs::read_to_string(repository().join("config").join(name)).expect("the example exists");
    parse(name, &text, Path::new("/base"), &env).unwrap_or_else(|e| panic!("{e}"))
}

fn complete_with(more: &str) -> Config {
    let text = std::fs::read_to_string(repository().join("config/minimal.yaml")).expect("the example exists") + more;
    parse("test.yaml", &text, Path::new("/base"), &env).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_invalid_fixture_is_refused_in_words_that_help() {
    let folder = repository().join("tests/fixtures/config/invalid");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the fixtures exist")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".yaml")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() > 50, "the fixtures are not where they belong");
    for name in names {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("listed above");
        let error = parse("migration.yaml", &text, Path::new("/base"), &env).expect_err(&name);
        assert_eq!(error.code(), Code::ConfigInvalid, "{name}");
        assert!(error.seen().starts_with("migration.yaml:"), "{name} names no place: {error}");
        assert!(!error.seen().contains("hunter2"), "{name} shows a secret: {error}");
        insta::with_settings!({ snapshot_path => folder.join("messages"), prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, error.seen());
        });
    }
}

#[test]
fn every_example_parses() {
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("config")).expect("the examples exist") {
        let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
        if name.ends_with(".yaml") {
            example(&name);
            count += 1;
        }
    }
    assert_eq!(count, 14);
}

#[test]
fn every_row_of_the_authentication_matrix_has_an_example_that_means_it() {
    use AuthMode::{Iam, Mtls, Plain, Plaintext, ScramSha256, ScramSha512, Tls};
    for (name, source, target) in [
        ("iam-to-iam", Iam, Iam),
        ("scram-to-scram", ScramSha512, ScramSha512),
        ("scram-to-iam", ScramSha512, Iam),
        ("iam-to-scram", Iam, ScramSha512),
        ("mtls-to-iam", Mtls, Iam),
        ("mtls-to-mtls", Mtls, Mtls),
        ("plaintext-to-scram", Plaintext, ScramSha512),
        ("tls-to-tls", Tls, Tls),
        ("plain-to-scram-256", Plain, ScramSha256),
    ] {
        let config = example(&format!("auth-{name}.yaml"));
        assert_eq!((config.source.auth.mode, config.target.auth.mode), (source, target), "{name}");
        for auth in [&config.source.auth, &config.target.auth] {
            let expected = match auth.mode {
                Plaintext => SecurityProtocol::Plaintext,
                Tls | Mtls => SecurityProtocol::Ssl,
                Plain => SecurityProtocol::SaslPlaintext,
                ScramSha256 | ScramSha512 | Iam => SecurityProtocol::SaslSsl,
            };
            assert_eq!(auth.security_protocol, expected, "{name}");
            assert!(!format!("{auth:?}").contains("0123") && !format!("{auth:?}").contains("4567"), "{name} shows a password");
        }
    }
    let accounts = example("auth-iam-to-iam.yaml");
    assert_eq!((accounts.source.auth.profile.as_deref(), accounts.target.auth.profile.as_deref()), (Some("old-account"), Some("new-account")));
}

#[test]
fn a_cluster_by_its_arn_takes_its_region_from_it() {
    let config = example("msk-by-arn.yaml");
    assert_eq!((config.source.network, config.target.network), (Network::Private, Network::VpcConnectivity));
    assert_eq!((config.source.auth.profile.as_deref(), config.source.auth.region.as_deref()), (Some("old-account"), None), "a profile for the control plane");
    assert_eq!(config.target.auth.region.as_deref(), Some("eu-central-1"), "the ARN's, for the tokens");
    let located = Config { target: ClusterConfig { bootstrap_servers: vec!["b-1:9098".into()], ..config.target.clone() }, ..config.clone() };
    assert_eq!(located.digest(), config.digest(), "what is looked up is no part of what was asked for");
}

#[test]
fn the_quick_start_means_what_it_says() {
    let config = example("quick-start.yaml");
    assert_eq!(config.source.cluster_arn.as_deref(), Some("arn:aws:kafka:us-east-1:123456789012:cluster/my-zk-cluster/abc-123"));
    assert_eq!(config.target.auth.mode, AuthMode::Iam);
    assert!(matches!(&config.backup, StoreConfig::S3 { bucket, prefix, region: None, .. } if bucket == "my-migration-segments" && prefix == "migrations/"));
    assert!(matches!(&config.evidence.store, StoreConfig::S3 { bucket, prefix, .. } if bucket == "my-migration-evidence" && prefix == "evidence/"));
    assert!(config.evidence.signing_key_path.is_none());
}

#[test]
fn the_annotated_example_states_the_defaults() {
    let annotated = example("annotated.yaml");
    let minimal = example("minimal.yaml");
    for section in ["topics", "groups", "seed", "cutover", "validation", "topology", "acl", "offsets"] {
        assert_eq!(annotated.effective()[section], minimal.effective()[section], "{section}");
    }
    assert_eq!(annotated.evidence.retention_days, minimal.evidence.retention_days);
    assert_eq!(annotated.source.auth.password.as_ref().map(Secret::reveal), Some(" 0123 "));
    assert_eq!(annotated.target.bootstrap_servers.len(), 2);
    assert_eq!(annotated.source.auth.ca.as_deref(), Some(Path::new("/base/certs/source-ca.pem")));
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&example("minimal.yaml").effective()).expect("JSON"));
    let config = example("minimal.yaml");
    assert_eq!(config.cutover.freeze, FreezeMode::Manual);
    assert_eq!(config.evidence.retention_days, 2555);
    assert_eq!(config.evidence.signing_key_path.as_deref(), Some(Path::new("/base/kferry.key")));
}

#[test]
fn values_are_read_as_they_are_meant() {
    let config = complete_with(
        "  migration_id: 007
  offsets: mapped
  topology: {on_config_drift: refuse, replication_factor: \"3\"}
  acl: {on_drift: replace}
  topics: {include: 'orders-*', exclude: [a, b.c], identical: '*payments*', mapped: [orders-*]}
  seed: {rate_limit: 50MiB/s, memory_max_bytes: 1GiB, segment_max_bytes: 33554432}
  cutover: {producer_freeze_webhook: 'https://x/?t=${KFERRY_TEST_SECRET}', sentinel: visible}
",
    );
    assert_eq!(config.migration_id.as_deref(), Some("007"));
    assert_eq!((config.offsets.mode, config.on_config_drift, config.on_acl_drift), (OffsetsMode::Mapped, DriftPolicy::Refuse, DriftPolicy::Replace));
    assert_eq!(config.offsets.of("orders-1"), (OffsetsMode::Mapped, Some("orders-*")));
    assert_eq!(config.offsets.of("orders-payments"), (OffsetsMode::Identical, Some("*payments*")), "what both name keeps its offsets");
    assert_eq!(config.offsets.of("clicks"), (OffsetsMode::Mapped, None));
    assert_eq!(config.replication_factor, Some(3));
    assert_eq!((config.topics.include.as_slice(), config.topics.exclude.as_slice()), (&["orders-*".to_owned()][..], &["a".to_owned(), "b.c".to_owned()][..]));
    assert_eq!((config.seed.rate_limit, config.seed.memory_max_bytes, config.seed.segment_max_bytes), (Some(50 << 20), 1 << 30, 32 << 20));
    // A webhook's URL says which freeze is meant; no sentinel loosens a check.
    assert_eq!((config.cutover.freeze, config.validation.count_tolerance), (FreezeMode::Webhook, 0));
    assert_eq!(config.cutover.producer_freeze_webhook.as_ref().map(Secret::reveal), Some("https://x/?t=hunter2"));
}

#[test]
fn the_digest_covers_what_is_migrated_and_no_secret() {
    let minimal = complete_with("");
    let same = complete_with("  seed: {memory_max_bytes: 268435456}\n");
    let other = complete_with("  topics: {exclude: a}\n");
    let with_webhook = complete_with("  cutover: {freeze: manual, producer_freeze_webhook: 'https://x/hunter2'}\n");
    assert_eq!(minimal.digest().len(), 64);
    assert_eq!(minimal.digest(), same.digest());
    assert_ne!(minimal.digest(), other.digest());
    assert_eq!(minimal.digest(), with_webhook.digest());
    assert!(!with_webhook.effective().to_string().contains("hunter2"));
    assert!(!format!("{with_webhook:?}").contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_has_its_own_code() {
    let missing = load(Path::new("/nonexistent/migration.yaml")).expect_err("missing");
    assert_eq!(missing.code(), Code::ConfigUnreadable);
    let dir = tempfile::tempdir().expect("a directory");
    let binary = dir.path().join("binary.yaml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("written");
    assert_eq!(load(&binary).expect_err("binary").code(), Code::ConfigUnreadable);
    assert_eq!(load(dir.path()).expect_err("a directory").code(), Code::ConfigUnreadable);
}

#[test]
fn relative_paths_begin_at_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("migration.yaml");
    std::fs::copy(repository().join("config/minimal.yaml"), &path).expect("copied");
    let config = load(&path).expect("valid");
    assert!(matches!(config.backup, StoreConfig::Directory { path } if path == dir.path().join("segments")));
}

#[test]
fn every_key_is_explained_and_shown() {
    let readme = std::fs::read_to_string(repository().join("config/README.md")).expect("the page exists");
    let annotated = std::fs::read_to_string(repository().join("config/annotated.yaml")).expect("the example exists");
    let raw = include_str!("raw.rs");
    let keys: Vec<&str> = raw.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": ").map(|(key, _)| key)).collect();
    assert!(keys.len() > 40);
    for key in keys {
        if matches!(key, "enterprise" | "kferry" | "msk_kraft_migration") {
            continue;
        }
        let in_readme = readme.contains(&format!("`{key}`")) || readme.contains(&format!(".{key}`")) || readme.contains(&format!("`{key}."));
        assert!(in_readme, "config/README.md does not explain {key}");
        let shown = annotated.contains(&format!("{key}:"));
        assert!(shown, "config/annotated.yaml does not show {key}");
    }
}
