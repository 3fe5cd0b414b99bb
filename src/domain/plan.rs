//! The plan: what will be done to each topic, group and ACL, as one value that `execute` journals and follows.

use super::acl::{AclBinding, AclDiff};
use super::digest::Digest;
use super::finding::Finding;
use super::msk::MskCluster;
use super::permissions::Permission;
use super::quota::QuotaDiff;
use super::topology::{ClusterSnapshot, ConfigValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the plan's shape; raised with every change that a reader could notice.
pub const PLAN_VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetMode {
    /// Every record at its own offset.
    Identical,
    /// Committed records alone, in order, each at the next offset of the target, by a journaled map.
    Mapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicAction {
    Create,
    /// The topic exists on the target and is empty.
    Adopt,
}

/// What will be done to one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPlan {
    pub partition: i32,
    pub log_start: i64,
    pub log_end: i64,
    /// Offsets below the log start, taken on the target by fillers that DeleteRecords then removes.
    pub prefix_fillers: i64,
    /// Control records in the log, estimated from samples: the markers of transactions, each of which takes an offset.
    #[serde(default)]
    pub markers_estimated: i64,
    /// Offsets without a record, which control records take on the target: known where they were seen, else estimated from samples.
    #[serde(default)]
    pub holes_estimated: i64,
    /// Uninterrupted runs of records behind such offsets, estimated likewise.
    #[serde(default)]
    pub runs_estimated: i64,
    pub size_bytes: Option<i64>,
}

/// What will be done to one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPlan {
    pub name: String,
    pub source_topic_id: Option<String>,
    pub action: TopicAction,
    pub mode: OffsetMode,
    pub mode_reason: String,
    /// Of all partitions.
    #[serde(default)]
    pub markers_estimated: i64,
    /// Of all partitions.
    #[serde(default)]
    pub holes_estimated: i64,
    /// Of all partitions.
    #[serde(default)]
    pub runs_estimated: i64,
    /// Offsets that were looked at for these three, long holes not counted.
    #[serde(default)]
    pub sampled_offsets: u64,
    pub replication_factor: i16,
    pub source_replication_factor: i16,
    pub partitions: Vec<PartitionPlan>,
    /// Set on the target after the commit: the source's settings on the topic, and those that the target's defaults would change.
    /// After the release these are all the settings that stand on the topic itself; any other is removed.
    pub configs: BTreeMap<String, String>,
    /// Settings of the source that the target does not know, with their values: listed, not carried over.
    pub unknown_configs: BTreeMap<String, String>,
    /// Settings that the target knows but that are bound to the source's brokers, or need what the target lacks: listed, not carried over.
    #[serde(default)]
    pub left_out_configs: BTreeMap<String, String>,
    /// On the topic while kferry copies; replaced by `configs` after the commit.
    pub overrides: BTreeMap<String, String>,
    /// Where an adopted topic differs: setting, target's value.
    pub drift: BTreeMap<String, ConfigValue>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    pub group_id: String,
    pub group_type: String,
    pub state: String,
    pub members: usize,
    /// Partitions of selected topics with a committed offset.
    pub partitions: usize,
    /// Partitions with a committed offset whose topic is not selected, as `topic-partition`: not carried over.
    #[serde(default)]
    pub not_carried: Vec<String>,
    /// Empty where its offsets will be carried over; otherwise the reason why not.
    pub left_alone: String,
}

/// Something of the source that the migration does not touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// `topic` or `group`.
    pub kind: String,
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    pub partitions: usize,
    pub records_max: i64,
    pub size_bytes: i64,
    pub prefix_fillers: i64,
    #[serde(default)]
    pub markers: MarkerEstimate,
    /// At the rate that is stated in `basis`.
    pub seed_seconds: u64,
    /// How long producers will be frozen; None in plans from before it was estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_ms: Option<u64>,
    pub basis: String,
}

/// What control records are estimated to cost: the markers of transactions, and those that take the offsets without a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkerEstimate {
    pub markers_estimated: i64,
    /// Offsets without a record.
    #[serde(default)]
    pub holes_estimated: i64,
    /// Uninterrupted runs of records behind such offsets.
    #[serde(default)]
    pub runs_estimated: i64,
    /// Offsets that were looked at for these three, long holes not counted.
    pub sampled_offsets: u64,
    /// With one empty transaction per control record, which every principal may write that may write to the topics.
    pub seconds_by_transactions: u64,
    /// With WriteTxnMarkers, which needs ClusterAction or Alter on the target.
    pub seconds_by_write_txn_markers: u64,
    /// Whether the target lets us use WriteTxnMarkers. None: it could not be asked, and the slower way is counted.
    pub write_txn_markers: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    pub migration_id: String,
    pub created_at: String,
    pub kferry_version: String,
    pub source: ClusterSnapshot,
    /// None where the target does not exist yet or cannot be reached.
    pub target: Option<ClusterSnapshot>,
    /// What the MSK control plane says of the source, where that is given by its ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_msk: Option<MskCluster>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_msk: Option<MskCluster>,
    pub topics: Vec<TopicPlan>,
    /// None where either cluster has no authorizer.
    pub acls: Option<AclDiff>,
    /// None where the quotas of either cluster could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<QuotaDiff>,
    /// ARNs of the source's SCRAM secrets that are to be associated with the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scram_secrets: Vec<String>,
    /// What kferry's own principal has to be permitted, on either cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    pub groups: Vec<GroupPlan>,
    pub estimate: Estimate,
    pub findings: Vec<Finding>,
    /// What kferry will write on the source, and when.
    pub source_changes: Vec<String>,
    /// Topics and groups of the source that are not selected.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

impl Plan {
    /// kferry's own bindings on the target, first in and last out.
    pub fn own_acls(&self) -> &[AclBinding] {
        self.acls.as_ref().map_or(&[], |acls| &acls.own)
    }

    /// The SHA-256 of the plan's compact JSON, which is how it stands in the journal.
    pub fn sha256(&self) -> Digest {
        // Structs, strings and whole numbers: nothing that the serialiser could refuse.
        Digest::of(serde_json::to_vec(self).unwrap_or_default())
    }
}
