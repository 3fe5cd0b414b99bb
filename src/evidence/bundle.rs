//! The evidence of one migration, as one value that is signed.

use super::comparison::Comparison;
use super::envelope;
use super::merkle::Frontier;
use crate::domain::acl::AclDiff;
use crate::domain::digest::Digest;
use crate::domain::offset::OffsetMap;
use crate::domain::partition::TopicPartition;
use crate::domain::plan::{OffsetMode, TopicAction};
use crate::domain::topology::{ClusterSnapshot, ConfigValue};
use crate::machine::fact::{CopyCounts, CutoverReport};
use crate::machine::fold::{SeedTotals, Stage};
use crate::validation::report::ValidationReport;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the bundle's shape and of how its parts derive from the journal; raised with every change of either.
pub const BUNDLE_VERSION: u32 = 1;

/// The envelope's payload type.
pub const PAYLOAD_TYPE: &str = "application/vnd.kferry.evidence+json";

/// Everything that an auditor gets. All of it but `created_at`, `kferry_version`, `leaves` and additions to `not_covered` derives
/// from the journal, and verification derives it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    pub version: u32,
    pub kferry_version: String,
    pub created_at: String,
    pub migration_id: String,
    pub source_cluster_id: String,
    /// None while no target was seen.
    pub target_cluster_id: Option<String>,
    /// Each state that was entered, with its time; the last is the one that the journal ends in.
    pub states: Vec<Stage>,
    pub plan_sha256: String,
    pub config_sha256: String,
    /// The journal's lines, verbatim, without their line feeds.
    pub journal: Vec<String>,
    /// The last line's hash.
    pub journal_head: Digest,
    pub snapshots: Snapshots,
    pub topology: Vec<TopicDifference>,
    /// None where the source has no authorizer.
    pub acls: Option<AclDiff>,
    pub statistics: Statistics,
    /// The plan's prediction beside the outcome. None in bundles from before it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    pub offset_map: Vec<PartitionMap>,
    /// None before the commit.
    pub cutover: Option<CutoverReport>,
    /// None before the first validation.
    pub validation: Option<ValidationReport>,
    pub roots: Vec<PartitionRoots>,
    /// Where the trees' leaves lie in the store, which `prove` reads; the roots vouch for them. None in bundles from before they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<String>,
    /// What this evidence does not show, each with its reason.
    pub not_covered: Vec<String>,
}

/// Both clusters as they were last observed, else as they were planned with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    pub source: ClusterSnapshot,
    pub target: Option<ClusterSnapshot>,
}

/// How one topic of the target differs from the source's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDifference {
    pub topic: String,
    pub action: TopicAction,
    pub mode: OffsetMode,
    pub partitions: usize,
    pub source_replication_factor: i16,
    pub target_replication_factor: i16,
    /// Set on the target.
    pub configs: BTreeMap<String, String>,
    /// Settings of the source that the target does not know.
    pub unknown_configs: BTreeMap<String, String>,
    /// Where an adopted topic differed before.
    pub drift: BTreeMap<String, ConfigValue>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// None before SEED came to its end.
    pub seed: Option<SeedTotals>,
    /// What was copied beyond SEED's totals.
    pub tail: CopyTotals,
    pub total: CopyCounts,
    pub partitions: Vec<PartitionStatistics>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTotals {
    pub records: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStatistics {
    #[serde(flatten)]
    pub partition: TopicPartition,
    pub takes: u32,
    pub source_log_start: i64,
    pub next_offset: i64,
    pub verified_offset: i64,
    pub stored_offset: i64,
    pub counts: CopyCounts,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMap {
    #[serde(flatten)]
    pub partition: TopicPartition,
    #[serde(flatten)]
    pub map: OffsetMap,
}

/// The roots of one partition's two Merkle trees over `from_offset..verified_offset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRoots {
    #[serde(flatten)]
    pub partition: TopicPartition,
    pub from_offset: i64,
    pub verified_offset: i64,
    pub source: TreeRoot,
    pub target: TreeRoot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRoot {
    pub leaves: u64,
    pub root: Digest,
}

impl From<&Frontier> for TreeRoot {
    fn from(tree: &Frontier) -> Self {
        Self { leaves: tree.len(), root: Digest::from_bytes(tree.root()) }
    }
}

/// What the journal does not tell.
#[derive(Clone, Debug)]
pub struct Extra {
    pub created_at: jiff::Timestamp,
    pub leaves: Option<String>,
    /// Added to what the journal shows as not covered.
    pub not_covered: Vec<String>,
}

impl Bundle {
    /// The bundle's bytes, which are what is signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Structs, strings and whole numbers: nothing that the serialiser could refuse.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The name that a bundle's file should have.
    pub fn file_name(&self) -> String {
        format!("{}.dsse.json", self.migration_id)
    }
}

/// Signs a bundle's bytes and returns the envelope's.
pub fn sign(bundle: &[u8], key: &SigningKey) -> Vec<u8> {
    envelope::seal(PAYLOAD_TYPE, bundle, key)
}
