//! ACL bindings as Kafka names them, and which of them wait for the commit.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Source: `org.apache.kafka.common.resource.ResourceType`; the discriminants are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum ResourceType {
    Topic = 2,
    Group = 3,
    Cluster = 4,
    TransactionalId = 5,
    DelegationToken = 6,
    User = 7,
}

/// Source: KIP-290; the discriminants are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum PatternType {
    Literal = 3,
    Prefixed = 4,
}

/// Source: `org.apache.kafka.common.acl.AclOperation`; the discriminants are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    ClusterAction = 9,
    DescribeConfigs = 10,
    AlterConfigs = 11,
    IdempotentWrite = 12,
    CreateTokens = 13,
    DescribeTokens = 14,
    TwoPhaseCommit = 15,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum Permission {
    Deny = 2,
    Allow = 3,
}

/// One ACL binding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AclBinding {
    pub resource_type: ResourceType,
    pub resource_name: String,
    pub pattern_type: PatternType,
    pub principal: String,
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

/// What serde calls a value, in capitals: Kafka's own names for its ACLs.
macro_rules! kafka_names {
    ($($name:ident: $($variant:ident = $text:literal),*;)*) => {
        $(impl $name {
            /// As Kafka's tools spell it.
            pub fn name(self) -> &'static str { match self { $($name::$variant => $text,)* } }
        })*
    };
}

kafka_names! {
    ResourceType: Topic = "TOPIC", Group = "GROUP", Cluster = "CLUSTER", TransactionalId = "TRANSACTIONAL_ID", DelegationToken = "DELEGATION_TOKEN", User = "USER";
    PatternType: Literal = "LITERAL", Prefixed = "PREFIXED";
    Operation: All = "ALL", Read = "READ", Write = "WRITE", Create = "CREATE", Delete = "DELETE", Alter = "ALTER", Describe = "DESCRIBE",
        ClusterAction = "CLUSTER_ACTION", DescribeConfigs = "DESCRIBE_CONFIGS", AlterConfigs = "ALTER_CONFIGS", IdempotentWrite = "IDEMPOTENT_WRITE",
        CreateTokens = "CREATE_TOKENS", DescribeTokens = "DESCRIBE_TOKENS", TwoPhaseCommit = "TWO_PHASE_COMMIT";
    Permission: Deny = "DENY", Allow = "ALLOW";
}

/// The resource name, and the host, that stand for every one. Source: `ResourcePattern.WILDCARD_RESOURCE`, `AclEntry.WILDCARD_HOST`.
pub const WILDCARD: &str = "*";

/// The brokers' setting that lets everyone at resources without bindings.
pub const ALLOW_EVERYONE: &str = "allow.everyone.if.no.acl.found";

/// The principal that stands for every one. Source: `AclEntry.WILDCARD_PRINCIPAL`.
pub const EVERYBODY: &str = "User:*";

/// The only resource of type cluster. Source: `Resource.CLUSTER_NAME`.
pub const CLUSTER_NAME: &str = "kafka-cluster";

impl Operation {
    pub const ALL: [Operation; 14] = {
        use Operation::*;
        [
            All, Read, Write, Create, Delete, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, CreateTokens, DescribeTokens,
            TwoPhaseCommit,
        ]
    };

    /// What is permitted along with it. Source: `AclEntry`/`StandardAuthorizerData`: READ, WRITE, DELETE and ALTER let describe,
    /// ALTER_CONFIGS lets describe the settings. A DENY denies itself alone.
    pub fn implies(self, other: Operation) -> bool {
        use Operation::*;
        match self {
            All => true,
            Read | Write | Delete | Alter => other == self || other == Describe,
            AlterConfigs => other == self || other == DescribeConfigs,
            Create | Describe | ClusterAction | DescribeConfigs | IdempotentWrite | CreateTokens | DescribeTokens | TwoPhaseCommit => other == self,
        }
    }
}

impl AclBinding {
    /// An ALLOW for every host.
    pub fn allow(principal: &str, resource_type: ResourceType, resource_name: &str, pattern_type: PatternType, operation: Operation) -> Self {
        Self {
            resource_type,
            resource_name: resource_name.to_owned(),
            pattern_type,
            principal: principal.to_owned(),
            host: WILDCARD.to_owned(),
            operation,
            permission: Permission::Allow,
        }
    }

    /// Whether the binding is about that resource; a prefix of the asked kind is so where it lies within the binding's.
    pub fn is_about(&self, resource_type: ResourceType, name: &str, pattern_type: PatternType) -> bool {
        self.resource_type == resource_type
            && match (self.pattern_type, pattern_type) {
                (PatternType::Literal, PatternType::Literal) => self.resource_name == WILDCARD || self.resource_name == name,
                (PatternType::Literal, PatternType::Prefixed) => self.resource_name == WILDCARD,
                (PatternType::Prefixed, _) => name.starts_with(&self.resource_name),
            }
    }

    /// Whether the binding is of that principal, or of everybody.
    pub fn concerns(&self, principal: &str) -> bool {
        self.principal == principal || self.principal == EVERYBODY
    }

    /// Whether the binding would let somebody write records before the cutover, so that it is withheld until the commit.
    pub fn lets_write(&self) -> bool {
        self.resource_type == ResourceType::Topic
            && self.permission == Permission::Allow
            && matches!(self.operation, Operation::Write | Operation::All)
    }
}

impl fmt::Display for AclBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource_type, resource_name, pattern_type, principal, host, operation, permission } = self;
        write!(f, "{principal} {} {} on {} `{resource_name}` ({})", permission.name(), operation.name(), resource_type.name(), pattern_type.name())?;
        if host == WILDCARD { Ok(()) } else { write!(f, " from host {host}") }
    }
}

/// What to do with bindings that the target has and the source has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftPolicy {
    /// Keep them and add the source's.
    #[default]
    Merge,
    /// Remove them (journaled, and put back by a rollback).
    Replace,
    /// Stop before anything is changed.
    Refuse,
}

/// The difference between the source's bindings and the target's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AclDiff {
    /// kferry's own, created before all others and removed after everything else: without them it would be shut out by the
    /// first binding of somebody else's on a resource that was open to everyone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<AclBinding>,
    /// Created in TOPOLOGY_COPY.
    pub create: Vec<AclBinding>,
    /// Created after the commit, because they let somebody write.
    pub withheld: Vec<AclBinding>,
    /// On the target already.
    pub equal: Vec<AclBinding>,
    /// On the target only.
    pub target_only: Vec<AclBinding>,
    /// Of the source cluster itself (`domain/msk.rs`), and of no meaning on another: not carried over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub internal: Vec<AclBinding>,
}

impl AclDiff {
    pub fn between(source: &[AclBinding], target: &[AclBinding]) -> Self {
        let mut diff = Self::default();
        // Clusters have thousands of bindings: each is looked for in a set.
        let (on_source, on_target): (BTreeSet<&AclBinding>, BTreeSet<&AclBinding>) = (source.iter().collect(), target.iter().collect());
        for binding in source {
            let list = match (on_target.contains(binding), binding.lets_write()) {
                (true, _) => &mut diff.equal,
                (false, true) => &mut diff.withheld,
                (false, false) => &mut diff.create,
            };
            list.push(binding.clone());
        }
        diff.target_only = target.iter().filter(|b| !on_source.contains(b)).cloned().collect();
        diff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(name: &str, pattern_type: PatternType) -> AclBinding {
        AclBinding::allow("User:a", ResourceType::Topic, name, pattern_type, Operation::Read)
    }

    #[test]
    fn literals_prefixes_and_wildcards_are_about_what_they_name() {
        use PatternType::*;
        let about = |b: &AclBinding, name: &str, pattern| b.is_about(ResourceType::Topic, name, pattern);
        let (literal, prefixed, every) = (on("orders", Literal), on("ord", Prefixed), on("*", Literal));
        assert!(about(&literal, "orders", Literal) && !about(&literal, "orders-2", Literal) && !about(&literal, "orders", Prefixed));
        assert!(about(&prefixed, "orders", Literal) && about(&prefixed, "order", Prefixed) && !about(&prefixed, "or", Prefixed));
        assert!(about(&every, "anything", Literal) && about(&every, "any", Prefixed));
        assert!(!literal.is_about(ResourceType::Group, "orders", Literal));
        assert!(!on("*", Prefixed).is_about(ResourceType::Topic, "orders", Literal), "a prefix that is an asterisk is just that");
    }

    #[test]
    fn what_is_implied_is_what_kafka_implies() {
        use Operation::*;
        assert!([Read, Write, Delete, Alter, All].iter().all(|op| op.implies(Describe)));
        assert!(AlterConfigs.implies(DescribeConfigs) && !AlterConfigs.implies(Describe) && !Create.implies(Describe) && !Describe.implies(Read));
    }

    #[test]
    fn a_binding_reads_as_kafka_spells_it() {
        let mut binding = on("ord", PatternType::Prefixed);
        assert_eq!(binding.to_string(), "User:a ALLOW READ on TOPIC `ord` (PREFIXED)");
        (binding.permission, binding.host) = (Permission::Deny, "10.0.0.1".to_owned());
        assert_eq!(binding.to_string(), "User:a DENY READ on TOPIC `ord` (PREFIXED) from host 10.0.0.1");
    }
}
