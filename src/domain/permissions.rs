//! What kferry's own principal has to be permitted on either cluster, neither more nor less, and what each is for.

use super::acl::{AclBinding, CLUSTER_NAME, Operation, PatternType, ResourceType, WILDCARD};
use super::config_diff::parse_version;
use super::finding::FindingCode;
use super::limits::CONTROLS_HANDFUL;
use super::plan::{GroupPlan, Plan, TopicAction};
use super::quota::QuotaDiff;
use crate::config::model::Config;
use crate::domain::acl::DriftPolicy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClusterSide {
    Source,
    Target,
}

impl ClusterSide {
    pub fn name(self) -> &'static str {
        match self {
            ClusterSide::Source => "source",
            ClusterSide::Target => "target",
        }
    }
}

macro_rules! rights {
    ($($variant:ident, $side:ident, $resource:ident, $operation:ident, $code:ident, $phases:literal, $why:literal;)*) => {
        /// One kind of permission that a migration may need.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum Right { $($variant,)* }

        impl Right {
            pub const ALL: &'static [Right] = &[$(Right::$variant,)*];

            pub fn side(self) -> ClusterSide { match self { $(Right::$variant => ClusterSide::$side,)* } }

            pub fn resource_type(self) -> ResourceType { match self { $(Right::$variant => ResourceType::$resource,)* } }

            pub fn operation(self) -> Operation { match self { $(Right::$variant => Operation::$operation,)* } }

            /// The finding of its being missing.
            pub fn code(self) -> FindingCode { match self { $(Right::$variant => FindingCode::$code,)* } }

            /// The phases that need it, by the states' names.
            pub fn phases(self) -> &'static str { match self { $(Right::$variant => $phases,)* } }

            /// What is done with it.
            pub fn why(self) -> &'static str { match self { $(Right::$variant => $why,)* } }
        }
    };
}

// What Kafka permits along with another is not listed: READ and WRITE let describe, ALTER_CONFIGS lets read settings.
rights! {
    SourceClusterDescribe, Source, Cluster, Describe, DeniedSourceClusterDescribe, "precheck, validating", "read the ACLs, the SCRAM users, sizes on disk, reassignments and the quorum";
    SourceClusterDescribeConfigs, Source, Cluster, DescribeConfigs, DeniedSourceClusterDescribeConfigs, "precheck", "read the client quotas and the brokers' settings";
    SourceTopicRead, Source, Topic, Read, DeniedSourceTopicRead, "precheck … validating", "fetch records, find log ends and producers";
    SourceTopicWrite, Source, Topic, Write, DeniedSourceTopicWrite, "cutover", "write the sentinel: one empty transaction";
    SourceTopicDescribeConfigs, Source, Topic, DescribeConfigs, DeniedSourceTopicDescribeConfigs, "precheck, validating", "read the topics' settings";
    SourceGroupDescribe, Source, Group, Describe, DeniedSourceGroupDescribe, "precheck, cutover, validating", "read the groups, their members and their offsets";
    SourceTransactionalIdWrite, Source, TransactionalId, Write, DeniedSourceTransactionalIdWrite, "cutover", "write the sentinel: one empty transaction";
    SourceTransactionalIdDescribe, Source, TransactionalId, Describe, DeniedSourceTransactionalIdDescribe, "precheck, drain_ready, cutover", "tell whose the transactions are that are open, before anybody is frozen";
    TargetClusterAlter, Target, Cluster, Alter, DeniedTargetClusterAlter, "topology_copy, awaiting_client_switch, rolled_back", "create and delete ACLs (and write control records by WriteTxnMarkers)";
    TargetClusterAlterForMarkers, Target, Cluster, Alter, WriteTxnMarkersForbidden, "seed, tail, cutover", "write control records by WriteTxnMarkers instead of one empty transaction each; optional, it saves time";
    TargetClusterDescribe, Target, Cluster, Describe, DeniedTargetClusterDescribe, "precheck, validating", "read the ACLs, the SCRAM users, sizes on disk, reassignments and the quorum";
    TargetClusterAlterConfigs, Target, Cluster, AlterConfigs, DeniedTargetClusterAlterConfigs, "topology_copy, awaiting_client_switch, rolled_back", "set client quotas";
    TargetClusterDescribeConfigs, Target, Cluster, DescribeConfigs, DeniedTargetClusterDescribeConfigs, "precheck, seed", "read the client quotas and the brokers' settings";
    TargetTopicCreate, Target, Topic, Create, DeniedTargetTopicCreate, "topology_copy", "create the topics";
    TargetTopicRead, Target, Topic, Read, DeniedTargetTopicRead, "seed … validating", "read back what was written, commit groups' offsets";
    TargetTopicWrite, Target, Topic, Write, DeniedTargetTopicWrite, "seed, tail, cutover", "write records and control records";
    TargetTopicDelete, Target, Topic, Delete, DeniedTargetTopicDelete, "seed, tail, cutover, rolled_back", "delete prefix fillers (DeleteRecords), and topics in a rollback";
    TargetTopicAlterConfigs, Target, Topic, AlterConfigs, DeniedTargetTopicAlterConfigs, "topology_copy, awaiting_client_switch, rolled_back", "read the topics' settings and replace the overrides";
    TargetGroupRead, Target, Group, Read, DeniedTargetGroupRead, "cutover, validating", "commit the groups' offsets and read them back";
    TargetGroupDelete, Target, Group, Delete, DeniedTargetGroupDelete, "cutover", "remove offsets of carried groups that the source no longer has, where an earlier attempt has committed them";
    TargetTransactionalIdWrite, Target, TransactionalId, Write, DeniedTargetTransactionalIdWrite, "seed, tail, cutover", "write control records and aborted data";
}

/// One right on the resources that it is needed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Permission {
    pub right: Right,
    pub side: ClusterSide,
    pub resource_type: ResourceType,
    pub pattern_type: PatternType,
    pub names: Vec<String>,
    pub operation: Operation,
    pub phases: String,
    pub why: String,
    /// Of the names, those on which the cluster did not permit it when it was tried; None where it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
}

impl Permission {
    fn new(right: Right, pattern_type: PatternType, names: Vec<String>) -> Self {
        Self {
            right,
            side: right.side(),
            resource_type: right.resource_type(),
            pattern_type,
            names,
            operation: right.operation(),
            phases: right.phases().to_owned(),
            why: right.why().to_owned(),
            missing: None,
        }
    }

    /// The bindings that give it to a principal.
    pub fn bindings(&self, principal: &str) -> Vec<AclBinding> {
        self.names.iter().map(|name| AclBinding::allow(principal, self.resource_type, name, self.pattern_type, self.operation)).collect()
    }
}

/// What a migration touches, as far as permissions go.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    /// Empty where it is not known yet: then its transactional ids are not, either.
    pub migration_id: String,
    pub topics: Vec<String>,
    /// Of these topics, those that the target has not.
    pub created: Vec<String>,
    /// Groups of the source.
    pub groups: Vec<String>,
    /// Of these groups, those whose offsets are carried over.
    pub carried: Vec<String>,
    pub alters_acls: bool,
    pub alters_quotas: bool,
    pub many_control_records: bool,
    /// The source's brokers list no transactions (before 3.0, KIP-664).
    pub transactions_not_listed: bool,
}

impl Subjects {
    fn of(plan: &Plan, config: &Config) -> Self {
        let names = |pick: &dyn Fn(&TopicAction) -> bool| plan.topics.iter().filter(|t| pick(&t.action)).map(|t| t.name.clone()).collect();
        let removes_acls = config.on_acl_drift == DriftPolicy::Replace;
        let removes_quotas = config.on_quota_drift == DriftPolicy::Replace;
        let sets = |q: &QuotaDiff| !q.set.is_empty() || !q.withheld.is_empty() || (removes_quotas && !q.drift.is_empty());
        let controls = plan.estimate.markers.markers_estimated.saturating_add(plan.estimate.markers.holes_estimated);
        // Who is in the way on the target may be gone by the cutover; a group of a type that is not committed stays what it is.
        let uncommittable: BTreeSet<&str> = plan.source.groups.iter().filter(|g| g.uncommittable().is_some()).map(|g| g.group_id.as_str()).collect();
        let is_carried = |g: &&GroupPlan| g.left_alone.is_empty() || (g.partitions > 0 && !uncommittable.contains(g.group_id.as_str()));
        Self {
            migration_id: plan.migration_id.clone(),
            topics: names(&|_| true),
            created: names(&|action| *action == TopicAction::Create),
            groups: plan.groups.iter().map(|g| g.group_id.clone()).collect(),
            carried: plan.groups.iter().filter(is_carried).map(|g| g.group_id.clone()).collect(),
            alters_acls: plan.acls.as_ref().is_some_and(|a| {
                !(a.own.is_empty() && a.create.is_empty() && a.withheld.is_empty()) || (removes_acls && !a.target_only.is_empty())
            }),
            // What cannot be read because this is missing has to be taken for different.
            alters_quotas: plan.quotas.as_ref().map_or(plan.source.quotas.as_ref().is_some_and(|q| !q.is_empty()), sets),
            many_control_records: controls > CONTROLS_HANDFUL,
            transactions_not_listed: parse_version(&plan.source.version).is_some_and(|version| version < (3, 0)),
        }
    }
}

/// Lists what the plan needs, by cluster and in the order in which a migration comes to it.
pub fn needed(plan: &Plan, config: &Config) -> Vec<Permission> {
    needed_for(&Subjects::of(plan, config))
}

/// The same with the groups that came up on the source since the plan, and those of them whose offsets will be carried over.
pub fn needed_at_cutover(plan: &Plan, config: &Config, late: &[String], late_carried: &[String]) -> Vec<Permission> {
    let mut subjects = Subjects::of(plan, config);
    subjects.groups.extend_from_slice(late);
    subjects.carried.extend_from_slice(late_carried);
    needed_for(&subjects)
}

/// The same where there is no plan: what it needs at least.
pub fn needed_for(subjects: &Subjects) -> Vec<Permission> {
    let literal = |right, names: &[String]| (!names.is_empty()).then(|| Permission::new(right, PatternType::Literal, names.to_vec()));
    let cluster = |right, needed: bool| needed.then(|| Permission::new(right, PatternType::Literal, vec![CLUSTER_NAME.to_owned()]));
    let id = &subjects.migration_id;
    let own_ids = |right| (!id.is_empty()).then(|| Permission::new(right, PatternType::Prefixed, vec![format!("kferry-{id}-")]));
    let Subjects { topics, created, groups, carried, alters_acls, alters_quotas, many_control_records, transactions_not_listed, .. } = subjects;
    let all = Right::ALL.iter().map(|right| match right {
        Right::SourceClusterDescribe | Right::SourceClusterDescribeConfigs => cluster(*right, true),
        Right::SourceTopicRead | Right::SourceTopicWrite | Right::SourceTopicDescribeConfigs => literal(*right, topics),
        Right::SourceGroupDescribe => literal(*right, groups),
        Right::SourceTransactionalIdWrite | Right::TargetTransactionalIdWrite => own_ids(*right),
        Right::SourceTransactionalIdDescribe if *transactions_not_listed => None,
        Right::SourceTransactionalIdDescribe => literal(*right, &[WILDCARD.to_owned()]),
        Right::TargetClusterAlter => cluster(*right, *alters_acls),
        Right::TargetClusterAlterForMarkers => cluster(*right, !alters_acls && *many_control_records),
        // ALTER lets describe.
        Right::TargetClusterDescribe => cluster(*right, !alters_acls),
        Right::TargetClusterAlterConfigs => cluster(*right, *alters_quotas),
        Right::TargetClusterDescribeConfigs => cluster(*right, !alters_quotas),
        Right::TargetTopicCreate => literal(*right, created),
        Right::TargetTopicRead | Right::TargetTopicWrite | Right::TargetTopicDelete | Right::TargetTopicAlterConfigs => literal(*right, topics),
        Right::TargetGroupRead | Right::TargetGroupDelete => literal(*right, carried),
    });
    all.flatten().collect()
}

/// A permission that is missing, with those of its resources on which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub right: Right,
    pub names: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Severity;
    use crate::domain::planning::fixture;

    fn lines(permissions: &[Permission]) -> Vec<String> {
        permissions.iter().map(|p| format!("{} {} {} {}", p.side.name(), p.operation.name(), p.resource_type.name(), p.names.join(" "))).collect()
    }

    #[test]
    fn what_the_plan_of_two_small_clusters_needs() {
        let plan = fixture::plan();
        assert_eq!(
            lines(&needed(&plan, &fixture::config())),
            [
                "source DESCRIBE CLUSTER kafka-cluster".to_owned(),
                "source DESCRIBE_CONFIGS CLUSTER kafka-cluster".to_owned(),
                "source READ TOPIC orders payments".to_owned(),
                "source WRITE TOPIC orders payments".to_owned(),
                "source DESCRIBE_CONFIGS TOPIC orders payments".to_owned(),
                "source DESCRIBE GROUP audit billing queue".to_owned(),
                format!("source WRITE TRANSACTIONAL_ID kferry-{}-", plan.migration_id),
                "source DESCRIBE TRANSACTIONAL_ID *".to_owned(),
                "target ALTER CLUSTER kafka-cluster".to_owned(),
                "target DESCRIBE_CONFIGS CLUSTER kafka-cluster".to_owned(),
                "target CREATE TOPIC orders payments".to_owned(),
                "target READ TOPIC orders payments".to_owned(),
                "target WRITE TOPIC orders payments".to_owned(),
                "target DELETE TOPIC orders payments".to_owned(),
                "target ALTER_CONFIGS TOPIC orders payments".to_owned(),
                "target READ GROUP audit billing".to_owned(),
                "target DELETE GROUP audit billing".to_owned(),
                format!("target WRITE TRANSACTIONAL_ID kferry-{}-", plan.migration_id),
            ]
        );
    }

    #[test]
    fn nothing_is_listed_that_is_not_used() {
        let mut plan = fixture::plan();
        plan.acls = None;
        plan.groups.clear();
        plan.topics.retain_mut(|t| {
            t.action = TopicAction::Adopt;
            t.name == "orders"
        });
        plan.estimate.markers.markers_estimated = 1_000_000;
        let rights: Vec<Right> = needed(&plan, &fixture::config()).iter().map(|p| p.right).collect();
        for unused in [Right::TargetClusterAlter, Right::TargetTopicCreate, Right::TargetGroupRead, Right::TargetGroupDelete, Right::SourceGroupDescribe, Right::TargetClusterAlterConfigs] {
            assert!(!rights.contains(&unused), "{unused:?}");
        }
        assert!(rights.contains(&Right::TargetClusterDescribe) && rights.contains(&Right::TargetClusterAlterForMarkers));
        assert!(rights.contains(&Right::SourceTransactionalIdDescribe));
        plan.source.version = "2.8".into();
        assert!(!needed(&plan, &fixture::config()).iter().any(|p| p.right == Right::SourceTransactionalIdDescribe));
    }

    #[test]
    fn each_missing_right_has_a_code_of_its_own_that_stops_or_warns() {
        let codes: std::collections::BTreeSet<&str> = Right::ALL.iter().map(|r| r.code().as_str()).collect();
        assert_eq!(codes.len(), Right::ALL.len());
        assert!(Right::ALL.iter().all(|r| r.code().severity() >= Severity::Warning));
    }
}
