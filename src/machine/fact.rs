//! What the journal holds: facts, past tense.

use crate::domain::acl::AclBinding;
use crate::domain::offset::{Mark, encode_marks};
use crate::domain::partition::TopicPartition;
use crate::domain::plan::Plan;
use crate::domain::quota::QuotaChange;
use crate::domain::topology::{ClusterSnapshot, CommittedOffset};
use crate::error::{Code, Error, Result};
use crate::evidence::merkle::Frontier;
use crate::license::Grant;
use crate::validation::report::ValidationReport;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Something that changes the world. Journaled as intended before it is performed and as completed after;
/// an intention without a completion is probed on resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    CreateTopic { topic: String, partitions: i32, replication_factor: i16, configs: BTreeMap<String, String> },
    /// A topic that we created is deleted and created again, to be refilled.
    RecreateTopic { topic: String, reason: String },
    DeleteTopic { topic: String },
    /// Sets exactly these values (None deletes the override), remembering what stood there before.
    SetTopicConfigs { topic: String, configs: BTreeMap<String, Option<String>>, before: BTreeMap<String, Option<String>> },
    CreateAcls { bindings: Vec<AclBinding> },
    DeleteAcls { bindings: Vec<AclBinding> },
    /// Sets exactly these limits (None removes one), remembering what stood there before.
    SetQuotas { changes: Vec<QuotaChange> },
    /// The target's cluster gets the SCRAM user that a secret holds; the secret itself is not read.
    AssociateScramSecret { secret_arn: String },
    /// What we associated is taken from the target's cluster again.
    DisassociateScramSecret { secret_arn: String },
    FreezeProducers { attempt: u32, mode: String, expires_at: String },
    ThawProducers { attempt: u32, reason: String },
    WriteSentinels { attempt: u32, transactional_id: String, partitions: usize },
    CommitGroupOffsets { attempt: u32, groups: usize },
    NotifyCommitted { attempt: u32 },
    UploadBundle { key: String },
}

/// How far one partition's copy has come. All offsets are the target's, which are the source's unless the partition is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCheckpoint {
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// How often the partition has been taken up; segments of one take lie in one folder.
    pub take: u32,
    pub source_log_start: i64,
    /// Everything below was acknowledged by the target at its expected offset.
    pub next_offset: i64,
    /// Everything below (from `source_log_start` on) was read again from the target and equals the source.
    pub verified_offset: i64,
    /// The Merkle tree over the leaves as fetched from the source, up to `verified_offset`.
    pub source_tree: Frontier,
    /// The same over the leaves as read again from the target.
    pub target_tree: Frontier,
    /// Everything below lies in the store.
    pub stored_offset: i64,
    pub counts: CopyCounts,
}

/// What was done to one partition, over all takes as far as journaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CopyCounts {
    pub records: u64,
    pub bytes: u64,
    /// Batches as they lay on the source.
    pub source_batches: u64,
    /// Batches as they were produced.
    pub target_batches: u64,
    /// Source batches that were merged into larger ones.
    pub merged_batches: u64,
    /// Source batches with an append time, which became their records' own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub append_time_batches: u64,
    pub control_records: u64,
    /// Records of aborted transactions, which `read_committed` consumers see on neither side.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub aborted_records: u64,
    pub filler_records: u64,
    /// Offsets without a record on the source, which control records have taken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hole_offsets: u64,
    /// Source batches with holes, which were appended in several parts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub split_batches: u64,
    /// Source batches larger than the target takes, which were appended in several parts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oversized_batches: u64,
    /// Records on the target that compaction has removed from the source before they could be compared.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drifted_records: u64,
    pub segments: u64,
    pub segment_bytes: u64,
    /// Offsets that expired on the source before they could be copied and compared.
    pub expired_offsets: u64,
    /// Of a mapped partition: offsets that expired on the source before they were mapped, so that the map has a gap there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unmapped_expired_offsets: u64,
    /// Produce requests whose outcome was settled by looking at the target's log end.
    pub reprobes: u64,
}

/// What came later and counts nothing is not written, so that what was journaled before it stays what this version writes.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl CopyCounts {
    /// Adds another partition's counts.
    pub fn add(&mut self, other: &CopyCounts) {
        // Exhaustive, so that a new count is added too.
        let CopyCounts {
            records, bytes, source_batches, target_batches, merged_batches, append_time_batches, control_records, aborted_records, filler_records, hole_offsets, split_batches, oversized_batches,
            drifted_records, segments,
            segment_bytes, expired_offsets, unmapped_expired_offsets, reprobes,
        } = other;
        self.records += records;
        self.bytes += bytes;
        self.source_batches += source_batches;
        self.target_batches += target_batches;
        self.merged_batches += merged_batches;
        self.append_time_batches += append_time_batches;
        self.control_records += control_records;
        self.aborted_records += aborted_records;
        self.filler_records += filler_records;
        self.hole_offsets += hole_offsets;
        self.split_batches += split_batches;
        self.oversized_batches += oversized_batches;
        self.drifted_records += drifted_records;
        self.segments += segments;
        self.segment_bytes += segment_bytes;
        self.expired_offsets += expired_offsets;
        self.unmapped_expired_offsets += unmapped_expired_offsets;
        self.reprobes += reprobes;
    }
}

/// One partition that a run has taken up where the target's log ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenPartition {
    #[serde(flatten)]
    pub partition: TopicPartition,
    pub take: u32,
    pub next_offset: i64,
}

/// Where runs of one partition's records begin on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedPartition {
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// [`crate::domain::offset::encode_marks`].
    pub marks: String,
}

impl MappedPartition {
    /// **Errors**: KF-BUG where the marks do not ascend.
    pub fn of(partition: TopicPartition, marks: &[Mark]) -> Result<Self> {
        let marks = encode_marks(marks).map_err(|error| Error::new(Code::Bug, format!("{partition}: {error}")))?;
        Ok(Self { partition, marks })
    }
}

/// One frozen partition of one cutover attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenPartition {
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// The source's log end when the freeze was proven; the sentinel's own offset.
    pub frozen_end: i64,
    /// The source's log start at the same moment.
    pub log_start: i64,
}

/// What of one partition was written to the source after the cutover, and stays there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRange {
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Of the topic that they were seen in: one that is created anew since is another log.
    pub topic_id: Option<String>,
    /// Where the log ended at the cutover, or after what was accepted before.
    pub from: i64,
    pub next_offset: i64,
}

impl LateRange {
    pub fn offsets(&self) -> i64 {
        self.next_offset - self.from
    }
}

/// What became of one group at the cutover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOutcome {
    pub group_id: String,
    pub offsets: Vec<CommittedOffset>,
    /// Empty where the offsets were committed on the target and read back; otherwise the reason why not.
    pub left_alone: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutoverReport {
    pub attempt: u32,
    pub mode: String,
    pub frozen_at: String,
    pub committed_at: String,
    pub freeze_ms: u64,
    /// Producer id of the sentinel transaction.
    pub sentinel_producer_id: i64,
    pub partitions: Vec<FrozenPartition>,
    pub groups: Vec<GroupOutcome>,
    /// Clients that were seen on the source's groups at the cutover.
    pub groups_with_members_on_source: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// `config` is what takes effect, without anything secret ([`Config::effective`](crate::config::Config::effective)); `config_sha256` is its digest.
    MigrationPlanned { plan: Box<Plan>, plan_sha256: String, config_sha256: String, #[serde(default)] config: Value },
    GrantRecorded { grant: Grant },
    PrecheckStarted,
    PrecheckCompleted { blockers: usize, warnings: usize, informations: usize },
    TopologyCopyStarted,
    TopologyCopied { topics: usize, bindings: usize },
    SeedStarted { attempt: u32 },
    /// Each partition has reached the end that it had when SEED began.
    SeedCompleted { records: u64, bytes: u64, elapsed_ms: u64 },
    TailStarted,
    DrainReadyReached { lag_records: i64 },
    /// The copy fell behind again before the cutover.
    DrainReadyLost { lag_records: i64 },
    PartitionsTaken { producer_id: i64, partitions: Vec<TakenPartition> },
    /// Appends of the partition go under this producer id too from here on: the broker did not know what to make of its sequence, or
    /// there is data of aborted transactions, which takes a transactional producer of its own.
    ProducerRenewed { #[serde(flatten)] partition: TopicPartition, producer_id: i64 },
    /// Where records do not keep their offsets: what is produced from here on, and where it comes from. Journaled before it is produced.
    OffsetsMapped { partitions: Vec<MappedPartition> },
    CopyCheckpointed { partitions: Vec<PartitionCheckpoint> },
    PartitionQuarantined { #[serde(flatten)] partition: TopicPartition, code: String, seen: String },
    /// `left_behind`: topics that came to the source after the plan, and that the operator leaves there.
    CutoverStarted {
        attempt: u32,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_behind: Vec<String>,
    },
    ProducersFrozen { attempt: u32, expires_at: String },
    FreezeProven { attempt: u32, settle_ms: u64, producers_seen: usize },
    SentinelsWritten { attempt: u32, producer_id: i64, partitions: Vec<FrozenPartition> },
    Drained { attempt: u32 },
    GroupOffsetsCommitted { attempt: u32, groups: usize, left_alone: usize },
    CutoverAbandoned { attempt: u32, code: String, seen: String, thawed: bool },
    /// The point of no return: durable before the freeze runs out.
    CutoverCommitted { report: Box<CutoverReport> },
    /// Settings and withheld ACLs are in place after the commit.
    TargetReleased { topics: usize, bindings: usize },
    /// The operator takes it upon himself that these records are not on the target.
    LateWritesAccepted { partitions: Vec<LateRange> },
    ClientSwitchAcknowledged { late_records: i64 },
    Validated { report: Box<ValidationReport> },
    BundleStored { key: String, version_id: Option<String>, sha256: String, key_id: String },
    Finalized { outcome: String },
    RolledBack { topics_deleted: usize, bindings_deleted: usize },
    EffectIntended { id: u64, effect: Effect },
    EffectCompleted { id: u64, outcome: String },
    /// It was certainly not made, and is not tried again under this number: what is found there later is somebody else's.
    EffectRefused { id: u64, seen: String },
    AttemptFailed { code: String, seen: String, remedy: String },
    Interrupted { signal: String },
    ClusterObserved { cluster: String, snapshot: Box<ClusterSnapshot> },
}
