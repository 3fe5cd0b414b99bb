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

/// Version of the plan's shape, which `config/schemas/plan.json` describes; raised where a reader of the last one would be misled. Members may be added without.
pub const PLAN_VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OffsetMode {
    /// Every record at its own offset.
    Identical,
    /// Committed records alone, in order, each at the next offset of the target, by a journaled map.
    Mapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TopicAction {
    Create,
    /// The topic exists on the target and is empty.
    Adopt,
}

/// What will be done to one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

impl TopicPlan {
    /// What its partitions have on the leaders' disks; those whose size is not known count nothing.
    ///
    /// **Units**: bytes.
    pub fn size_bytes(&self) -> i64 {
        self.partitions.iter().filter_map(|p| p.size_bytes).fold(0, i64::saturating_add)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// `topic` or `group`.
    pub kind: String,
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Estimate {
    pub partitions: usize,
    pub records_max: i64,
    pub size_bytes: i64,
    pub prefix_fillers: i64,
    #[serde(default)]
    pub markers: MarkerEstimate,
    /// At the rate that is stated in `basis`.
    pub seed_seconds: u64,
    /// How long the copy will need after the seed to reach the source's producers, at the rate at which they wrote while the plan was made; None
    /// where they were not observed, or write faster than the copy is expected to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_seconds: Option<u64>,
    /// How fast producers wrote while the plan was made; None where the source did not answer twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// How long producers will be frozen; None in plans from before it was estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_ms: Option<u64>,
    /// What that consists of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<FreezeEstimate>,
    /// What the logs were looked at for; None in plans from before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    pub basis: String,
}

/// What producers added to the selected topics between two looks at the log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Written {
    pub records: u64,
    /// Of that many records, if they are as large as those that their topics hold.
    pub bytes: u64,
    /// Of the records, those of topics that do not tell how large theirs are; `bytes` is without them.
    #[serde(default)]
    pub unsized_records: u64,
    /// The time between both looks.
    pub window_ms: u64,
}

impl Written {
    pub fn records_per_second(&self) -> u64 {
        self.per_second(self.records)
    }

    pub fn bytes_per_second(&self) -> u64 {
        self.per_second(self.bytes)
    }

    fn per_second(&self, n: u64) -> u64 {
        u64::try_from(u128::from(n) * 1000 / u128::from(self.window_ms.max(1))).unwrap_or(u64::MAX)
    }
}

/// What producers will wait for, from the moment they are asked to stop to the commit. A receiver's own time to stop them comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FreezeEstimate {
    /// `cutover.freeze_settle_window`: for so long the log ends have to stand still, which proves the freeze.
    pub settle_ms: u64,
    /// Questions to the brokers and entries of the journal, however large the clusters are.
    pub steps_ms: u64,
    /// The sentinels' transaction and the looks at the log ends.
    pub partitions_ms: u64,
    /// What producers have written in the last second before the freeze, copied at the seed's rate; 0 where they were not observed.
    pub drain_ms: u64,
    /// The groups' offsets: read on the source, committed on the target.
    pub groups_ms: u64,
}

impl FreezeEstimate {
    pub fn total_ms(&self) -> u64 {
        // Exhaustive, so that nothing is left out of the sum.
        let Self { settle_ms, steps_ms, partitions_ms, drain_ms, groups_ms } = self;
        [settle_ms, steps_ms, partitions_ms, drain_ms, groups_ms].into_iter().fold(0, |sum, ms| sum.saturating_add(*ms))
    }
}

/// How much of the logs was looked at to see what kind of topics they are, and within which bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sampling {
    /// Partitions of which at least one batch was seen.
    pub partitions: u64,
    pub partitions_with_records: u64,
    /// Places in the logs.
    pub places: u64,
    /// Bytes that came.
    pub bytes: u64,
    pub elapsed_ms: u64,
    /// More than this is not read, however large the cluster is.
    pub bytes_max: u64,
    /// After this no further place is looked at.
    pub elapsed_ms_max: u64,
    /// One of the bounds was met: partitions are left that were not looked at, or not everywhere.
    pub cut_short: bool,
}

/// What control records are estimated to cost: the markers of transactions, and those that take the offsets without a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
