//! ACL bindings as Kafka names them, and which of them wait for the commit.

use serde::{Deserialize, Serialize};

/// Source: `org.apache.kafka.common.resource.ResourceType`; the discriminants are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum PatternType {
    Literal = 3,
    Prefixed = 4,
}

/// Source: `org.apache.kafka.common.acl.AclOperation`; the discriminants are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum Permission {
    Deny = 2,
    Allow = 3,
}

/// One ACL binding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclBinding {
    pub resource_type: ResourceType,
    pub resource_name: String,
    pub pattern_type: PatternType,
    pub principal: String,
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

impl AclBinding {
    /// Whether the binding would let somebody write records before the cutover, so that it is withheld until the commit.
    pub fn lets_write(&self) -> bool {
        self.resource_type == ResourceType::Topic
            && self.permission == Permission::Allow
            && matches!(self.operation, Operation::Write | Operation::All)
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
pub struct AclDiff {
    /// Created in TOPOLOGY_COPY.
    pub create: Vec<AclBinding>,
    /// Created after the commit, because they let somebody write.
    pub withheld: Vec<AclBinding>,
    /// On the target already.
    pub equal: Vec<AclBinding>,
    /// On the target only.
    pub target_only: Vec<AclBinding>,
}

impl AclDiff {
    pub fn between(source: &[AclBinding], target: &[AclBinding]) -> Self {
        let mut diff = Self::default();
        for binding in source {
            let list = match (target.contains(binding), binding.lets_write()) {
                (true, _) => &mut diff.equal,
                (false, true) => &mut diff.withheld,
                (false, false) => &mut diff.create,
            };
            list.push(binding.clone());
        }
        diff.target_only = target.iter().filter(|b| !source.contains(b)).cloned().collect();
        diff
    }
}
