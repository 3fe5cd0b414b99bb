//! `access-map.json`: Kafka's ACLs as policies of MSK's IAM access control, for targets where IAM decides, and what IAM cannot say.
//!
//! **Source**: the actions, what each requires, and the resources are those of AWS's page "Semantics of IAM authorization policy
//! actions and resources" (Amazon MSK developer guide).

use super::acl::{AclBinding, CLUSTER_NAME, EVERYBODY, Operation, PatternType, Permission, ResourceType, WILDCARD};
use super::msk::ClusterArn;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Version of the file's shape.
const ACCESS_MAP_VERSION: u32 = 1;

/// Characters of a customer managed policy, white space not counted. Source: IAM quotas.
const POLICY_CHARACTERS_MAX: usize = 6_144;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessMap {
    pub version: u32,
    pub migration_id: String,
    /// The target's; parts in angle brackets are not known yet and have to be filled in.
    pub cluster_arn: String,
    pub principals: Vec<PrincipalAccess>,
    /// Bindings that no policy here stands for, each with the reason.
    pub not_mapped: Vec<NotMapped>,
}

/// One principal's bindings as a policy for the IAM identity that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrincipalAccess {
    pub principal: String,
    /// Who that is in IAM cannot be told from Kafka.
    pub iam_identity: String,
    pub bindings: usize,
    pub policy: Policy,
    /// What to know before it is attached.
    pub remarks: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    pub version: &'static str,
    pub statement: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    pub sid: String,
    pub effect: &'static str,
    pub action: Vec<String>,
    pub resource: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotMapped {
    pub binding: AclBinding,
    pub reason: String,
}

/// Makes the map of these bindings for the cluster with this ARN; None: placeholders stand for it.
pub fn build(migration_id: &str, cluster_arn: Option<&str>, bindings: &[AclBinding]) -> AccessMap {
    let arn = cluster_arn.and_then(ClusterArn::parse).unwrap_or_else(placeholders);
    let (mut by_principal, mut not_mapped) = (BTreeMap::<&str, Vec<(&AclBinding, Meaning)>>::new(), Vec::new());
    for binding in bindings {
        match meaning(binding, &arn) {
            Ok(meaning) => by_principal.entry(&binding.principal).or_default().push((binding, meaning)),
            Err(reason) => not_mapped.push(NotMapped { binding: binding.clone(), reason }),
        }
    }
    AccessMap {
        version: ACCESS_MAP_VERSION,
        migration_id: migration_id.to_owned(),
        cluster_arn: resource(&arn, "cluster", None),
        principals: by_principal.into_iter().map(|(principal, meanings)| of_principal(principal, &meanings, &arn)).collect(),
        not_mapped,
    }
}

fn placeholders() -> ClusterArn {
    let part = |name: &str| format!("<{name}>");
    ClusterArn { partition: "aws".to_owned(), region: part("REGION"), account: part("ACCOUNT_ID"), name: part("CLUSTER_NAME"), uuid: part("CLUSTER_UUID") }
}

/// `arn:aws:kafka:REGION:ACCOUNT:KIND/CLUSTER/UUID`, and the resource's name where it has one.
fn resource(arn: &ClusterArn, kind: &str, name: Option<&str>) -> String {
    let ClusterArn { partition, region, account, name: cluster, uuid } = arn;
    let name = name.map_or(String::new(), |name| format!("/{name}"));
    format!("arn:{partition}:kafka:{region}:{account}:{kind}/{cluster}/{uuid}{name}")
}

/// What a binding permits or denies: resources with their actions.
struct Meaning(Vec<(String, Vec<&'static str>)>);

fn meaning(binding: &AclBinding, arn: &ClusterArn) -> Result<Meaning, String> {
    if binding.principal == EVERYBODY {
        return Err("it is for everybody: a policy is attached to one identity at a time, so that it has to be said for each".to_owned());
    }
    if binding.principal == "User:ANONYMOUS" {
        return Err("clients that do not authenticate do not pass IAM at all".to_owned());
    }
    if !binding.principal.starts_with("User:") {
        return Err(format!("principals of this kind ({}) have no counterpart in IAM", binding.principal.split(':').next().unwrap_or_default()));
    }
    if binding.host != WILDCARD {
        return Err(match binding.permission {
            Permission::Deny => "MSK's actions cannot be denied by host; a security group or a network ACL may serve",
            Permission::Allow => "MSK's actions cannot be allowed by host, and without the host more would be allowed than was; a security group may serve beside a policy",
        }
        .to_owned());
    }
    let denies = binding.permission == Permission::Deny;
    if (binding.resource_type, binding.operation) == (ResourceType::Cluster, Operation::Create) {
        // Kafka's CREATE on the cluster creates any topic; in IAM that is an action on topics.
        return match binding.permission {
            Permission::Allow => Ok(Meaning(vec![(resource(arn, "topic", Some("*")), vec!["CreateTopic"])])),
            Permission::Deny => {
                Err("in Kafka this does not deny who may create a topic by its name, and in IAM it would: deny kafka-cluster:CreateTopic by hand where that is meant".to_owned())
            }
        };
    }
    let found = actions(binding.resource_type, binding.operation, denies);
    if found.is_empty() {
        return Err(format!("IAM has no action for {} on {}", binding.operation.name(), binding.resource_type.name()));
    }
    let (kind, name) = match binding.resource_type {
        ResourceType::Cluster => ("cluster", None),
        ResourceType::Topic => ("topic", Some(pattern(binding))),
        ResourceType::Group => ("group", Some(pattern(binding))),
        ResourceType::TransactionalId => ("transactional-id", Some(pattern(binding))),
        ResourceType::DelegationToken | ResourceType::User => return Err(format!("IAM has no resource of type {}", binding.resource_type.name())),
    };
    let mut meaning = vec![(resource(arn, kind, name.as_deref()), found)];
    if !denies && (binding.resource_type, binding.operation) == (ResourceType::Cluster, Operation::All) {
        meaning.push((resource(arn, "topic", Some("*")), vec!["CreateTopic"]));
    }
    if !denies && binding.resource_type == ResourceType::Topic && binding.operation.implies(Operation::Write) {
        // Since 3.0 whoever may write to a topic may write idempotently (KIP-679), and clients do by default.
        meaning.push((resource(arn, "cluster", None), vec!["WriteDataIdempotently"]));
    }
    Ok(Meaning(meaning))
}

/// IAM's actions for an operation; with an ALLOW, those that AWS requires beside it on the same resource too.
fn actions(resource_type: ResourceType, operation: Operation, denies: bool) -> Vec<&'static str> {
    use Operation::*;
    let (own, required): (&[&str], &[&str]) = match (resource_type, operation) {
        (ResourceType::Topic, Read) => (&["ReadData"], &["DescribeTopic"]),
        (ResourceType::Topic, Write) => (&["WriteData"], &["DescribeTopic"]),
        (ResourceType::Topic, Create) => (&["CreateTopic"], &[]),
        (ResourceType::Topic, Delete) => (&["DeleteTopic"], &["DescribeTopic"]),
        (ResourceType::Topic, Alter) => (&["AlterTopic"], &["DescribeTopic"]),
        (ResourceType::Topic, Describe) => (&["DescribeTopic"], &[]),
        (ResourceType::Topic, DescribeConfigs) => (&["DescribeTopicDynamicConfiguration"], &[]),
        (ResourceType::Topic, AlterConfigs) => (&["AlterTopicDynamicConfiguration"], &["DescribeTopicDynamicConfiguration"]),
        (ResourceType::Topic, All) => (
            &[
                "ReadData", "WriteData", "CreateTopic", "DeleteTopic", "AlterTopic", "DescribeTopic", "DescribeTopicDynamicConfiguration",
                "AlterTopicDynamicConfiguration",
            ],
            &[],
        ),
        (ResourceType::Group, Read) => (&["AlterGroup"], &["DescribeGroup"]),
        (ResourceType::Group, Describe) => (&["DescribeGroup"], &[]),
        (ResourceType::Group, Delete) => (&["DeleteGroup"], &["DescribeGroup"]),
        (ResourceType::Group, All) => (&["AlterGroup", "DescribeGroup", "DeleteGroup"], &[]),
        (ResourceType::TransactionalId, Write) => (&["AlterTransactionalId"], &["DescribeTransactionalId"]),
        (ResourceType::TransactionalId, Describe) => (&["DescribeTransactionalId"], &[]),
        (ResourceType::TransactionalId, All) => (&["AlterTransactionalId", "DescribeTransactionalId"], &[]),
        (ResourceType::Cluster, Describe) => (&["DescribeCluster"], &[]),
        (ResourceType::Cluster, Alter) => (&["AlterCluster"], &["DescribeCluster"]),
        (ResourceType::Cluster, DescribeConfigs) => (&["DescribeClusterDynamicConfiguration"], &[]),
        (ResourceType::Cluster, AlterConfigs) => (&["AlterClusterDynamicConfiguration"], &["DescribeClusterDynamicConfiguration"]),
        (ResourceType::Cluster, IdempotentWrite) => (&["WriteDataIdempotently"], &[]),
        (ResourceType::Cluster, All) => (
            &["DescribeCluster", "AlterCluster", "DescribeClusterDynamicConfiguration", "AlterClusterDynamicConfiguration", "WriteDataIdempotently"],
            &[],
        ),
        // ClusterAction is between brokers; tokens and their users do not exist beside IAM; the others are not operations of that resource.
        (
            ResourceType::Topic | ResourceType::Group | ResourceType::TransactionalId | ResourceType::Cluster | ResourceType::DelegationToken | ResourceType::User,
            _,
        ) => (&[], &[]),
    };
    own.iter().chain(if denies { &[] } else { required }).copied().collect()
}

/// A resource's name as IAM matches it: in names that are meant literally its own wildcards are escaped.
fn pattern(binding: &AclBinding) -> String {
    match (binding.pattern_type, binding.resource_name.as_str()) {
        (PatternType::Literal, WILDCARD) => "*".to_owned(),
        (PatternType::Literal, name) => escaped(name),
        (PatternType::Prefixed, prefix) => escaped(prefix) + "*",
    }
}

/// Source: IAM's policy variables `${*}`, `${?}` and `${$}`, which stand for the characters themselves.
fn escaped(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, c| {
        match c {
            '*' | '?' | '$' => out.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]),
            c => out.push(c),
        }
        out
    })
}

fn of_principal(principal: &str, meanings: &[(&AclBinding, Meaning)], arn: &ClusterArn) -> PrincipalAccess {
    let mut by_resource = BTreeMap::<(Permission, &str), BTreeSet<&str>>::new();
    for (binding, Meaning(meaning)) in meanings {
        for (resource, actions) in meaning {
            by_resource.entry((binding.permission, resource)).or_default().extend(actions);
        }
    }
    let cluster = resource(arn, "cluster", None);
    let allows = by_resource.keys().any(|(permission, _)| *permission == Permission::Allow);
    if allows {
        by_resource.entry((Permission::Allow, &cluster)).or_default().insert("Connect");
    }
    // Resources with the same actions share a statement.
    let mut by_actions = BTreeMap::<(Permission, BTreeSet<&str>), Vec<&str>>::new();
    for ((permission, resource), actions) in by_resource {
        by_actions.entry((permission, actions)).or_default().push(resource);
    }
    let statement: Vec<Statement> = by_actions
        .into_iter()
        .enumerate()
        .map(|(i, ((permission, actions), resources))| Statement {
            sid: format!("Kafka{}", i + 1),
            effect: match permission {
                Permission::Allow => "Allow",
                Permission::Deny => "Deny",
            },
            action: actions.iter().map(|action| format!("kafka-cluster:{action}")).collect(),
            resource: resources.into_iter().map(str::to_owned).collect(),
        })
        .collect();
    let policy = Policy { version: "2012-10-17", statement };
    PrincipalAccess {
        principal: principal.to_owned(),
        iam_identity: format!("<IAM role or user in the place of {principal}>"),
        bindings: meanings.len(),
        remarks: remarks(meanings, &policy, allows),
        policy,
    }
}

fn remarks(meanings: &[(&AclBinding, Meaning)], policy: &Policy, allows: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    let has = |resource_type, operation: Operation| {
        meanings.iter().any(|(b, _)| b.permission == Permission::Allow && b.resource_type == resource_type && b.operation.implies(operation))
    };
    if has(ResourceType::Topic, Operation::Read) && !has(ResourceType::Group, Operation::Read) {
        remarks.push("kafka-cluster:ReadData requires kafka-cluster:AlterGroup on some group, which this principal has not: it read without a group, or under a binding for everybody".to_owned());
    }
    if has(ResourceType::TransactionalId, Operation::Write) && !has(ResourceType::Topic, Operation::Write) {
        remarks.push("kafka-cluster:AlterTransactionalId requires kafka-cluster:WriteData on some topic, which this principal has not".to_owned());
    }
    if meanings.iter().any(|(b, _)| b.resource_type == ResourceType::Cluster && b.operation == Operation::All) {
        remarks.push(format!("ALL on {CLUSTER_NAME} holds ClusterAction too, which IAM has no action for"));
    }
    if !allows {
        remarks.push("nothing is allowed: without another policy this identity cannot connect".to_owned());
    }
    let characters = serde_json::to_string(policy).map_or(0, |text| text.len());
    if characters > POLICY_CHARACTERS_MAX {
        remarks.push(format!("the policy has {characters} characters, and a managed policy takes {POLICY_CHARACTERS_MAX}: split its statements over several policies"));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kafka:eu-west-1:123456789012:cluster/shop/abcd1234-0123-abcd-5678-1234abcd-1";

    fn allow(principal: &str, resource_type: ResourceType, name: &str, pattern_type: PatternType, operation: Operation) -> AclBinding {
        AclBinding::allow(principal, resource_type, name, pattern_type, operation)
    }

    fn deny(binding: AclBinding) -> AclBinding {
        AclBinding { permission: Permission::Deny, ..binding }
    }

    fn from(host: &str, binding: AclBinding) -> AclBinding {
        AclBinding { host: host.to_owned(), ..binding }
    }

    fn bindings() -> Vec<AclBinding> {
        use {Operation::*, PatternType::*, ResourceType::*};
        vec![
            allow("User:reader", Topic, "orders", Literal, Read),
            allow("User:reader", Topic, "payments", Literal, Read),
            allow("User:reader", Group, "billing-", Prefixed, Read),
            allow("User:writer", Topic, "orders", Literal, Write),
            allow("User:writer", TransactionalId, "writer-", Prefixed, Write),
            deny(allow("User:writer", Topic, "payments", Literal, Write)),
            allow("User:admin", Cluster, CLUSTER_NAME, Literal, All),
            allow("User:admin", Topic, "*", Literal, All),
            allow("User:creator", Cluster, CLUSTER_NAME, Literal, Create),
            allow("User:odd", Group, "what?*$", Literal, Describe),
            allow("User:CN=shop.example.com,O=Shop", Topic, "orders", Literal, Describe),
            from("10.0.0.1", allow("User:reader", Topic, "orders", Literal, Describe)),
            deny(from("10.0.0.2", allow("User:reader", Topic, "orders", Literal, Read))),
            allow(EVERYBODY, Topic, "public", Literal, Read),
            allow("User:ANONYMOUS", Topic, "public", Literal, Read),
            allow("Group:ops", Topic, "orders", Literal, Read),
            allow("User:broker", Cluster, CLUSTER_NAME, Literal, ClusterAction),
            deny(allow("User:writer", Cluster, CLUSTER_NAME, Literal, Create)),
            allow("User:tokens", DelegationToken, "t", Literal, Describe),
            allow("User:tokens", User, "User:reader", Literal, CreateTokens),
        ]
    }

    #[test]
    fn the_map_of_every_kind_of_binding() {
        let map = build("m-1", Some(ARN), &bindings());
        assert_eq!(map.not_mapped.len() + map.principals.iter().map(|p| p.bindings).sum::<usize>(), bindings().len(), "a binding is lost");
        insta::assert_snapshot!("access_map", serde_json::to_string_pretty(&map).unwrap());
    }

    #[test]
    fn an_unknown_cluster_leaves_placeholders() {
        let map = build("m-1", None, &bindings()[..1]);
        assert_eq!(map.cluster_arn, "arn:aws:kafka:<REGION>:<ACCOUNT_ID>:cluster/<CLUSTER_NAME>/<CLUSTER_UUID>");
        assert!(map.principals[0].policy.statement.iter().all(|s| s.resource.iter().all(|r| r.contains("/<CLUSTER_NAME>/<CLUSTER_UUID>"))));
    }

    #[test]
    fn no_action_is_made_up() {
        // As AWS lists them.
        const KNOWN: [&str; 19] = [
            "Connect", "DescribeCluster", "AlterCluster", "DescribeClusterDynamicConfiguration", "AlterClusterDynamicConfiguration", "WriteDataIdempotently", "CreateTopic",
            "DescribeTopic", "AlterTopic", "DeleteTopic", "DescribeTopicDynamicConfiguration", "AlterTopicDynamicConfiguration", "ReadData", "WriteData", "DescribeGroup",
            "AlterGroup", "DeleteGroup", "DescribeTransactionalId", "AlterTransactionalId",
        ];
        let map = build("m-1", Some(ARN), &bindings());
        for action in map.principals.iter().flat_map(|p| &p.policy.statement).flat_map(|s| &s.action) {
            assert!(action.strip_prefix("kafka-cluster:").is_some_and(|a| KNOWN.contains(&a)), "{action}");
        }
    }

    #[test]
    fn a_policy_that_is_too_long_is_said_to_be() {
        let many: Vec<AclBinding> = (0..200).map(|n| allow("User:a", ResourceType::Topic, &format!("topic-{n:03}"), PatternType::Literal, Operation::Read)).collect();
        assert!(build("m", Some(ARN), &many).principals[0].remarks.iter().any(|r| r.contains("split its statements")));
    }
}
