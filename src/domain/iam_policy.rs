//! The policies of the IAM identity that kferry runs under: this migration's own, and a template for any.

use super::access_map::{self, Policy, Statement};
use super::acl::AclBinding;
use super::permissions::ClusterSide;
use super::plan::Plan;
use super::msk::ClusterArn;
use crate::config::model::{AuthMode, ClusterConfig, Config, ScramSecrets, StoreConfig};

const CONTROL_PLANE_ACTIONS: [&str; 4] = ["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers", "kafka:ListNodes", "kafka:ListScramSecrets"];
const CONFIGURATION_ACTION: &str = "kafka:DescribeConfigurationRevision";
const SCRAM_ACTIONS: [&str; 2] = ["kafka:BatchAssociateScramSecret", "kafka:BatchDisassociateScramSecret"];
/// MSK gets a grant on each secret's key, and gives it back. **Source**: service authorization reference, dependent actions.
const SCRAM_KEY_ACTIONS: [&str; 2] = ["kms:CreateGrant", "kms:RetireGrant"];

/// For any migration, with placeholders in angle brackets; `policies/README.md` explains it.
pub const TEMPLATE: &str = include_str!("../../policies/iam-policy-templated.json");

/// What of a bucket is asked for, whatever is stored there.
const BUCKET_ACTIONS: [&str; 3] = ["s3:ListBucket", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning"];
const OBJECT_ACTIONS: [&str; 3] = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"];
/// Objects that are locked when they are written.
const LOCK_ACTION: &str = "s3:PutObjectRetention";
const KEY_ACTIONS: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];

/// Just what this migration needs, with its own names: both clusters where IAM lets kferry in, both stores where they are buckets.
/// Of a side that does not go by IAM only what is asked of the MSK control plane, where it is given by its ARN.
pub fn concrete(plan: &Plan, config: &Config) -> Policy {
    let mut statement = Vec::new();
    for (side, cluster, named) in [(ClusterSide::Source, &config.source, "Source"), (ClusterSide::Target, &config.target, "Target")] {
        let statements = of_cluster(plan, side, cluster).into_iter().flat_map(|policy| policy.statement);
        statement.extend(statements.map(|statement| Statement { sid: format!("{named}{}", statement.sid), ..statement }));
        statement.extend(of_control_plane(plan, side, named, cluster, config.scram_secrets));
    }
    statement.extend(of_store("Segments", &config.backup, false));
    statement.extend(of_store("Evidence", &config.evidence.store, config.evidence.object_lock));
    Policy { version: "2012-10-17", statement }
}

/// What kferry needs on one cluster; None where that does not go by IAM, or nothing is needed.
pub(super) fn of_cluster(plan: &Plan, side: ClusterSide, cluster: &ClusterConfig) -> Option<Policy> {
    if cluster.auth.mode != AuthMode::Iam {
        return None;
    }
    let bindings: Vec<AclBinding> = plan.permissions.iter().filter(|p| p.side == side).flat_map(|p| p.bindings("User:kferry")).collect();
    let map = access_map::build(&plan.migration_id, cluster.cluster_arn.as_deref(), &bindings);
    map.principals.into_iter().next().map(|principal| principal.policy)
}

/// What is asked of the MSK control plane, whose resource is the cluster's own ARN: only where the cluster is given by it.
fn of_control_plane(plan: &Plan, side: ClusterSide, named: &str, cluster: &ClusterConfig, secrets: ScramSecrets) -> Vec<Statement> {
    let Some((text, arn)) = cluster.cluster_arn.as_ref().and_then(|text| Some((text, ClusterArn::parse(text)?))) else { return Vec::new() };
    let (msk, associates) = match side {
        ClusterSide::Source => (&plan.source_msk, false),
        ClusterSide::Target => (&plan.target_msk, secrets == ScramSecrets::Associate),
    };
    let ClusterArn { partition, region, account, .. } = &arn;
    let owned = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect::<Vec<_>>();
    let allow = |what: &str, action: &[&str], resource: String| Statement { sid: format!("{named}{what}"), effect: "Allow", action: owned(action), resource: vec![resource] };
    let configuration = msk.as_ref().and_then(|msk| msk.configuration.as_ref()).map_or_else(|| format!("arn:{partition}:kafka:{region}:{account}:configuration/*"), |c| c.arn.clone());
    let mut statements = vec![
        allow("ControlPlane", &CONTROL_PLANE_ACTIONS, text.clone()),
        allow("Configuration", &[CONFIGURATION_ACTION], configuration),
    ];
    if associates {
        statements.push(allow("ScramSecrets", &SCRAM_ACTIONS, text.clone()));
        // The keys of the secrets, which their ARNs do not tell.
        statements.push(allow("ScramKeys", &SCRAM_KEY_ACTIONS, format!("arn:{partition}:kms:{region}:{account}:key/*")));
    }
    statements
}

fn of_store(named: &str, store: &StoreConfig, locked: bool) -> Vec<Statement> {
    let StoreConfig::S3 { bucket, prefix, region, kms_key_arn, .. } = store else { return Vec::new() };
    let partition = partition_of(region.as_deref());
    let allow = |sid: String, action: Vec<String>, resource: String| Statement { sid, effect: "Allow", action, resource: vec![resource] };
    let owned = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect::<Vec<_>>();
    let mut objects = owned(&OBJECT_ACTIONS);
    if locked {
        objects.push(LOCK_ACTION.to_owned());
    }
    let mut statements = vec![
        allow(format!("{named}Bucket"), owned(&BUCKET_ACTIONS), format!("arn:{partition}:s3:::{bucket}")),
        allow(format!("{named}Objects"), objects, format!("arn:{partition}:s3:::{bucket}/{prefix}*")),
    ];
    statements.extend(kms_key_arn.iter().map(|key| allow(format!("{named}Key"), owned(&KEY_ACTIONS), key.clone())));
    statements
}

/// The partition of a Region, as ARNs begin with it. Source: AWS's partitions; each Region belongs to one.
pub fn partition_of(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        Some(_) | None => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permissions::{Right, Subjects, needed_for};
    use crate::domain::planning::fixture;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Both clusters by IAM, both stores buckets with keys, the evidence locked.
    fn config() -> Config {
        let mut config = fixture::config();
        for (cluster, name) in [(&mut config.source, "old"), (&mut config.target, "new")] {
            cluster.auth.mode = AuthMode::Iam;
            cluster.cluster_arn = Some(format!("arn:aws:kafka:eu-west-1:123456789012:cluster/{name}/abcd1234-0123-abcd-5678-1234abcd-1"));
        }
        let store = |bucket: &str| StoreConfig::S3 {
            bucket: bucket.to_owned(),
            prefix: "migrations/".to_owned(),
            region: Some("eu-west-1".to_owned()),
            endpoint_url: None,
            kms_key_arn: Some("arn:aws:kms:eu-west-1:123456789012:key/0000".to_owned()),
        };
        config.backup = store("segments");
        config.evidence.store = store("evidence");
        config.evidence.object_lock = true;
        config.scram_secrets = ScramSecrets::Associate;
        config
    }

    fn actions(policy: &Value) -> BTreeSet<String> {
        policy["Statement"].as_array().unwrap().iter().flat_map(|s| s["Action"].as_array().unwrap()).map(|action| action.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn this_migrations_policy_names_its_own_and_no_more() {
        let policy = concrete(&fixture::plan(), &config());
        let sids: BTreeSet<&str> = policy.statement.iter().map(|s| s.sid.as_str()).collect();
        assert_eq!(sids.len(), policy.statement.len(), "a policy's Sids are its own");
        assert!(sids.iter().all(|sid| sid.chars().all(|c| c.is_ascii_alphanumeric())), "IAM takes letters and digits");
        assert!(policy.statement.iter().flat_map(|s| &s.resource).all(|r| r.starts_with("arn:aws:") && !r.contains('<')));
        insta::assert_snapshot!(serde_json::to_string_pretty(&policy).unwrap());
    }

    #[test]
    fn a_side_that_does_not_go_by_iam_is_left_out() {
        let mut config = config();
        config.source = ClusterConfig::at(vec!["source-1:9093".into()], crate::config::model::Auth { mode: AuthMode::Mtls, ..crate::config::model::Auth::plaintext() });
        config.backup = StoreConfig::Directory { path: "/var/segments".into() };
        config.evidence.object_lock = false;
        let policy = concrete(&fixture::plan(), &config);
        assert!(policy.statement.iter().all(|s| s.sid.starts_with("Target") || s.sid.starts_with("Evidence")), "{policy:?}");
        assert!(policy.statement.iter().all(|s| !s.action.iter().any(|action| action == LOCK_ACTION)));
        assert_eq!([Some("cn-north-1"), Some("us-gov-west-1"), Some("eu-west-1"), None].map(partition_of), ["aws-cn", "aws-us-gov", "aws", "aws"]);
    }

    /// The template allows every action that any migration may need, and none that no migration needs.
    #[test]
    fn the_template_has_the_actions_of_the_largest_migration() {
        let subjects = Subjects {
            migration_id: "m".into(),
            topics: vec!["t".into()],
            created: vec!["t".into()],
            groups: vec!["g".into()],
            carried: vec!["g".into()],
            alters_acls: true,
            alters_quotas: true,
            many_control_records: true,
            transactions_not_listed: false,
        };
        let mut plan = fixture::plan();
        plan.permissions = needed_for(&subjects);
        let plain = needed_for(&Subjects { alters_acls: false, alters_quotas: false, ..subjects });
        plan.permissions.extend(plain.into_iter().filter(|p| matches!(p.right, Right::TargetClusterDescribe | Right::TargetClusterDescribeConfigs)));
        let template: Value = serde_json::from_str(TEMPLATE).unwrap();
        assert_eq!(actions(&template), actions(&serde_json::to_value(concrete(&plan, &config())).unwrap()));
        assert_eq!(template["Version"], "2012-10-17");
    }

    #[test]
    fn the_control_plane_is_asked_by_arn_alone_and_secrets_only_where_they_are_associated() {
        let mut config = config();
        config.source.auth.mode = AuthMode::ScramSha512;
        config.scram_secrets = ScramSecrets::List;
        let mut plan = fixture::plan();
        plan.source_msk = Some(fixture::msk("old", crate::domain::topology::MetadataMode::ZooKeeper));
        let policy = concrete(&plan, &config);
        let of = |sid: &str| policy.statement.iter().find(|s| s.sid == sid);
        assert_eq!(of("SourceControlPlane").unwrap().resource, [config.source.cluster_arn.clone().unwrap()], "not by IAM, but by its ARN");
        assert_eq!(of("SourceConfiguration").unwrap().resource, [plan.source_msk.as_ref().unwrap().configuration.as_ref().unwrap().arn.clone()]);
        assert_eq!(of("TargetConfiguration").unwrap().resource, ["arn:aws:kafka:eu-west-1:123456789012:configuration/*"], "not read yet");
        assert!(of("TargetScramSecrets").is_none() && of("SourceCluster").is_none());
    }
}
