//! Segments: runs of one partition's batches, byte for byte as Kafka's own log segments, each with a manifest.

use super::digest::Digest;
use super::partition::TopicPartition;
use serde::{Deserialize, Serialize};

/// Version of the manifest's shape.
pub const MANIFEST_VERSION: u32 = 1;

/// How a leaf was computed; the letter stands in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeafKind {
    /// Over one batch that was passed through undecoded.
    #[serde(rename = "batch")]
    Batch,
    /// Over the records of several batches that were merged, in canonical form.
    #[serde(rename = "records")]
    Records,
    /// A control record's place.
    #[serde(rename = "control")]
    Control,
}

/// The digest of what lies at `base_offset..next_offset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    pub base_offset: i64,
    pub next_offset: i64,
    pub kind: LeafKind,
    pub digest: Digest,
}

/// What lies in one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    #[serde(flatten)]
    pub partition: TopicPartition,
    pub take: u32,
    pub base_offset: i64,
    pub next_offset: i64,
    pub records: u64,
    pub batches: u64,
    /// Milliseconds since the epoch.
    pub min_timestamp: i64,
    pub max_timestamp: i64,
    pub bytes: u64,
    pub sha256: Digest,
    pub leaves: Vec<Leaf>,
}

/// The folder of all segments of a migration; proofs lie beside it.
pub fn all_segments(prefix: &str, migration_id: &str) -> String {
    format!("{prefix}{migration_id}/segments/")
}

/// The folder of one take of one partition: no segment is ever overwritten, and takes may overlap.
pub fn folder(prefix: &str, migration_id: &str, partition: &TopicPartition, take: u32) -> String {
    format!("{}{}/{}/{take:06}/", all_segments(prefix, migration_id), partition.topic, partition.partition)
}

/// The segment's file name, as Kafka names its own: the first offset in 20 digits.
pub fn log_name(base_offset: i64) -> String {
    format!("{base_offset:020}.log")
}

pub fn manifest_name(base_offset: i64) -> String {
    format!("{base_offset:020}.manifest.json")
}
