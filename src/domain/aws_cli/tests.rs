use super::*;
use crate::domain::planning::fixture;
use crate::domain::topology::ScramUser;
use std::process::Command;

fn in_aws(bucket: &str, key: bool) -> StoreConfig {
    StoreConfig::S3 {
        bucket: bucket.to_owned(),
        prefix: "migrations/".to_owned(),
        region: Some("eu-west-1".to_owned()),
        endpoint_url: None,
        kms_key_arn: key.then(|| "arn:aws:kms:eu-west-1:123456789012:key/0000".to_owned()),
    }
}

/// From one MSK cluster to another that is still to be made; buckets apart, the evidence locked.
fn on_msk(mode: AuthMode) -> (Plan, Config) {
    let (mut plan, mut config) = (fixture::plan(), fixture::config());
    plan.target = None;
    plan.kferry_version = "VERSION".to_owned();
    config.source.cluster_arn = Some(
        "arn:aws:kafka:eu-west-1:123456789012:cluster/shop/abcd1234-0123-abcd-5678-1234abcd-1"
            .to_owned(),
    );
    config.target.auth.mode = mode;
    (
        config.backup,
        config.evidence.store,
        config.evidence.object_lock,
    ) = (
        in_aws("shop-segments", true),
        in_aws("shop-evidence", false),
        true,
    );
    plan.source.broker_configs.extend(
        [
            ("log.retention.hours", "72"),
            ("unclean.leader.election.enable", "false"),
            ("allow.everyone.if.no.acl.found", "false"),
            ("inter.broker.protocol.version", "3.9"),
            ("super.users", HIDDEN_USERS),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    plan.source.scram_users = Some(vec![ScramUser {
        user: "billing".to_owned(),
        mechanism: "SCRAM-SHA-512".to_owned(),
        iterations: 4096,
    }]);
    (plan, config)
}

const HIDDEN_USERS: &str = "User:admin";

/// bash reads it through without running it.
fn parses(script: &str) -> Result<(), String> {
    let output = Command::new("bash")
        .args(["-n", "-c", script])
        .output()
        .expect("bash is there");
    if output.status.success() && output.stderr.is_empty() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_migration_on_msk_gets_buckets_a_policy_and_a_cluster() {
    let (plan, config) = on_msk(AuthMode::ScramSha512);
    let script = render(&plan, &config);
    parses(&script).unwrap();
    assert!(
        !script.contains("\nallow.everyone.if.no.acl.found="),
        "the ACLs are not there yet"
    );
    assert!(
        !script.contains("inter.broker.protocol.version") && !script.contains(HIDDEN_USERS),
        "what is the source's own is not carried over"
    );
    insta::assert_snapshot!("aws_cli_msk", script);
}

#[test]
fn a_self_managed_pair_gets_buckets_and_a_policy_and_is_told_so() {
    let mut plan = fixture::plan();
    plan.kferry_version = "VERSION".to_owned();
    let script = render(&plan, &fixture::config());
    parses(&script).unwrap();
    assert!(
        script.contains("the target is not a cluster of Amazon MSK: none is created")
            && !script.contains("create-cluster-v2")
    );
    insta::assert_snapshot!("aws_cli_self_managed", script);
}

#[test]
fn every_way_in_gives_a_script_that_bash_reads() {
    for mode in [
        AuthMode::Iam,
        AuthMode::ScramSha512,
        AuthMode::ScramSha256,
        AuthMode::Plain,
        AuthMode::Mtls,
        AuthMode::Tls,
        AuthMode::Plaintext,
    ] {
        let (plan, config) = on_msk(mode);
        let script = render(&plan, &config);
        parses(&script).unwrap_or_else(|e| panic!("{}: {e}", mode.as_str()));
        let refused = matches!(mode, AuthMode::ScramSha256 | AuthMode::Plain);
        assert_eq!(
            script.contains("create-cluster-v2"),
            !refused,
            "{}",
            mode.as_str()
        );
        assert_eq!(
            script.contains("has no way in by"),
            refused,
            "{}",
            mode.as_str()
        );
        assert_eq!(
            script.contains("CERTIFICATE_AUTHORITY_ARNS"),
            mode == AuthMode::Mtls
        );
    }
}

/// Names that somebody else has chosen end up as text, never as commands.
#[test]
fn nothing_of_the_values_is_run() {
    let (mut plan, mut config) = on_msk(AuthMode::ScramSha512);
    let dir = tempfile::tempdir().unwrap();
    let witness = dir.path().join("was-run");
    let touch = format!("touch {}", witness.display());
    let nasty = format!("x'; {touch}; echo \"$({touch})`{touch}`\n {touch} #");
    plan.migration_id = nasty.clone();
    plan.created_at = nasty.clone();
    plan.source.scram_users.as_mut().unwrap()[0].user = nasty.clone();
    plan.source
        .broker_configs
        .insert("compression.type".to_owned(), format!("$({touch})"));
    config.cost.target_broker_type = Some(format!("kafka.m5.large}}{nasty}"));
    config.source.cluster_arn = Some(format!(
        "arn:aws:kafka:eu-west-1$({touch}):1:cluster/shop/{nasty}"
    ));
    config.target.cluster_arn = Some(format!("arn:aws:kafka:eu-west-1:1:cluster/shop}}{nasty}/u"));
    if let StoreConfig::S3 { prefix, region, .. } = &mut config.backup {
        (*prefix, *region) = (format!("{nasty}/"), Some(nasty.clone()));
    }
    let script = render(&plan, &config);
    parses(&script).unwrap();
    // Everything but the steps: all values are set, all functions defined.
    let (definitions, _) = script.split_once("if wanted buckets").unwrap();
    let path = dir.path().join("aws-cli.sh");
    std::fs::write(&path, format!("{definitions}\nserver_properties >/dev/null; client_authentication >/dev/null; echo whole\n")).unwrap();
    // Nothing is asked of AWS here; the script only looks whether the tool is there.
    std::os::unix::fs::symlink("/bin/true", dir.path().join("aws")).unwrap();
    let tools = format!(
        "{}:{}",
        dir.path().display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .arg(&path)
        .env("PATH", tools)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("whole"),
        "{said}{complained}"
    );
    assert!(!witness.exists(), "a value was run as a command");
}

#[test]
fn one_bucket_for_both_is_locked_by_bundle_and_not_by_default() {
    let (plan, mut config) = on_msk(AuthMode::Iam);
    config.evidence.store = in_aws("shop-segments", true);
    let script = render(&plan, &config);
    assert!(
        script.contains("ensure_bucket \"$BACKUP_BUCKET\" \"$BACKUP_REGION\" yes")
            && script.contains("ensure_locked \"$EVIDENCE_BUCKET\" ''")
    );
    assert!(!script.contains(&format!(
        "ensure_locked \"$EVIDENCE_BUCKET\" {}",
        config.evidence.retention_days
    )));
    config.backup = StoreConfig::Directory {
        path: "/segments".into(),
    };
    config.evidence.store = StoreConfig::Directory {
        path: "/evidence".into(),
    };
    let script = render(&plan, &config);
    parses(&script).unwrap();
    assert!(script.contains("both stores are directories") && !script.contains("aws s3api"));
}

/// AWS has many names for the door to one bucket; two servers of one's own may each have a bucket of that name.
#[test]
fn one_bucket_is_known_by_its_name() {
    let at = |endpoint_url| Bucket {
        name: "BACKUP",
        bucket: "shop",
        prefix: "",
        region: None,
        endpoint_url,
        kms_key_arn: None,
    };
    let aws = "https://s3.eu-west-1.amazonaws.com";
    let vpce = "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com:443/";
    let (mine, yours) = ("http://s3.mine:9000", "http://s3.yours:9000");
    for (a, b, same) in [
        (None, None, true),
        (None, Some(aws), true),
        (Some(vpce), Some(aws), true),
        (Some(mine), None, true),
        (Some(mine), Some("http://S3.mine:9000/"), true),
        (Some(mine), Some(yours), false),
        (Some(mine), Some(aws), false),
    ] {
        assert_eq!(is_same(&at(a), &at(b)), same, "{a:?} {b:?}");
    }
    assert!(!is_same(
        &at(None),
        &Bucket {
            bucket: "other",
            ..at(None)
        }
    ));
}

#[test]
fn volumes_have_room_for_the_data_with_its_replicas() {
    let (mut plan, config) = on_msk(AuthMode::Iam);
    assert!(render(&plan, &config).contains("EBS_GIB_PER_BROKER=\"${EBS_GIB_PER_BROKER:-100}\""));
    plan.topics.truncate(1);
    plan.topics[0].partitions.truncate(1);
    (
        plan.topics[0].replication_factor,
        plan.topics[0].partitions[0].size_bytes,
    ) = (3, Some(1 << 40));
    // 3 TiB on three brokers, and half as much again.
    assert!(render(&plan, &config).contains("EBS_GIB_PER_BROKER=\"${EBS_GIB_PER_BROKER:-1537}\""));
}

/// What MSK says of the source becomes the new cluster's; what KRaft refuses does not.
#[test]
fn a_source_that_msk_describes_is_followed() {
    let (mut plan, config) = on_msk(AuthMode::Iam);
    let mut msk = fixture::msk("shop", crate::domain::topology::MetadataMode::ZooKeeper);
    (msk.instance_type, msk.volume_gib) = (Some("kafka.m5.2xlarge".to_owned()), Some(777));
    let properties = [
        ("num.io.threads", "16"),
        ("zookeeper.session.timeout.ms", "18000"),
        ("log.retention.hours", "1"),
        ("allow.everyone.if.no.acl.found", "false"),
    ];
    msk.configuration = Some(crate::domain::msk::MskConfiguration {
        arn: "arn".to_owned(),
        revision: 1,
        server_properties: properties
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    });
    plan.source_msk = Some(msk.clone());
    let script = render(&plan, &config);
    assert!(
        script.contains("BROKER_INSTANCE_TYPE:-kafka.m5.2xlarge}")
            && script.contains("EBS_GIB_PER_BROKER:-777}")
    );
    assert!(!script.contains("\nallow.everyone.if.no.acl.found="));
    assert!(script.contains("\nnum.io.threads=16\n") && !script.contains("zookeeper.session"));
    assert!(
        script.contains("\nlog.retention.hours=72\n")
            && !script.contains("log.retention.hours=1\n"),
        "what the brokers say counts"
    );
    // A target that MSK knows is not made again, though its brokers do not answer yet.
    plan.target_msk = Some(msk);
    assert!(!render(&plan, &config).contains("create-cluster-v2"));
}
