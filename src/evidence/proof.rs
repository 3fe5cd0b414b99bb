//! The proof of one record: its batch, its batch's leaf, and the path from there to the root in the signed journal.

use super::bundle::{Bundle, PartitionRoots};
use super::merkle::root_by_path;
use crate::domain::batch::{self, Batch, control_leaf, records_leaf_from};
use crate::domain::digest::Digest;
use crate::domain::record;
use crate::domain::segment::{Leaf, LeafKind};
use crate::error::{Code, Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Version of the proof's shape.
pub const PROOF_VERSION: u32 = 1;

/// Shows that one offset of one partition is among what was compared. It needs no signature: the bundle's roots vouch for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordProof {
    pub version: u32,
    pub migration_id: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub leaf: Leaf,
    /// The leaf's number in the tree, from 0.
    pub leaf_number: u64,
    /// How many leaves the tree has.
    pub leaves: u64,
    pub root: Digest,
    /// From the leaf to the root: the sibling on each level (RFC 6962, section 2.1.1).
    pub path: Vec<Digest>,
    /// The batch as it lies in the log, base64, without what no leaf digests (producer, leader epoch, transaction). None where it was
    /// left out, and for a control record, whose leaf is its place.
    pub batch: Option<String>,
}

/// What a proof has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The record lies in the batch that was compared.
    Record(RecordDigests),
    /// The offset is a control record's, which no consumer sees.
    Control,
    /// The leaf is among those that were compared; that it is this offset's is the proof's word, as its batch was left out.
    LeafOnly,
}

/// A record without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordDigests {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// None is Kafka's null.
    pub key: Option<BytesDigest>,
    pub value: Option<BytesDigest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BytesDigest {
    pub bytes: usize,
    pub sha256: Digest,
}

impl From<&[u8]> for BytesDigest {
    fn from(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), sha256: Digest::of(bytes) }
    }
}

fn invalid(seen: impl Into<String>) -> Error {
    Error::new(Code::ProofInvalid, seen)
}

impl RecordProof {
    /// The proof's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, whole numbers and lists: nothing that the serialiser could refuse.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a proof's file. Nothing of it is believed yet.
    ///
    /// **Errors**: KF-PROOF-INVALID.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let unreadable = |e: serde_json::Error| invalid(format!("it is not a proof: {e}"));
        let Version { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version != PROOF_VERSION {
            return Err(invalid(format!("the proof has version {version}; this kferry reads version {PROOF_VERSION}")));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    /// Puts a batch into the proof.
    pub fn enclose(&mut self, batch: &Batch) {
        self.batch = Some(STANDARD.encode(batch.bare()));
    }

    /// Checks the proof against a bundle that has been verified.
    ///
    /// **Errors**: KF-PROOF-INVALID, naming what does not hold.
    pub fn verify(&self, bundle: &Bundle) -> Result<Shown> {
        if self.migration_id != bundle.migration_id {
            return Err(invalid(format!("the proof is of migration {}, the bundle of {}", self.migration_id, bundle.migration_id)));
        }
        let name = format!("{}-{}", self.topic, self.partition);
        let roots = bundle.roots.iter().find(|r| *r.partition.topic == *self.topic && r.partition.partition == self.partition);
        let Some(PartitionRoots { source, from_offset, .. }) = roots else { return Err(invalid(format!("the bundle has no roots of {name}"))) };
        if (self.leaves, self.root) != (source.leaves, source.root) {
            let seen = format!(
                "the proof is for a tree of {} leaves with root {}, but the bundle's of {name} has {} leaves and root {}",
                self.leaves, self.root, source.leaves, source.root
            );
            return Err(invalid(seen));
        }
        if self.offset < *from_offset {
            return Err(invalid(format!("offset {} lies before the source's log start, {from_offset}", self.offset)));
        }
        self.check()
    }

    /// Checks the proof against itself: from the batch to the root that it names.
    ///
    /// **Errors**: KF-PROOF-INVALID, naming what does not hold.
    pub fn check(&self) -> Result<Shown> {
        let Leaf { base_offset, next_offset, kind, digest } = self.leaf;
        if root_by_path(&digest, self.leaf_number, self.leaves, &self.path) != Some(self.root) {
            return Err(invalid(format!("the path does not lead from leaf {} to the root", self.leaf_number)));
        }
        if !(base_offset..next_offset).contains(&self.offset) {
            return Err(invalid(format!("offset {} is not among those of the leaf, {base_offset}..{next_offset}", self.offset)));
        }
        match (kind, &self.batch) {
            (LeafKind::Control, None) if control_leaf(base_offset) == digest && next_offset - base_offset == 1 => Ok(Shown::Control),
            (LeafKind::Control, None) => Err(invalid(format!("the leaf is not that of a control record at offset {base_offset}"))),
            (LeafKind::Control, Some(_)) => Err(invalid("a control record's proof has no batch: its leaf is its place")),
            (LeafKind::Batch | LeafKind::Records, None) => Ok(Shown::LeafOnly),
            (LeafKind::Batch | LeafKind::Records, Some(text)) => self.check_batch(text).map(Shown::Record),
        }
    }

    fn check_batch(&self, text: &str) -> Result<RecordDigests> {
        let bytes = STANDARD.decode(text).map_err(|e| invalid(format!("the batch is not base64: {e}")))?;
        let whole = bytes.len();
        let batches = batch::split(bytes.into()).map_err(|e| invalid(format!("the batch cannot be read: {e:?}")))?;
        let [batch] = &batches[..] else { return Err(invalid(format!("the proof holds {} batches, not one", batches.len()))) };
        if batch.bytes().len() != whole || batch.bare() != batch.bytes() {
            return Err(invalid("the batch holds more than what its leaf digests"));
        }
        if !digests_to(batch, &self.leaf)? {
            return Err(invalid(format!("the batch of {}..{} does not digest to the leaf", batch.base_offset, batch.next_offset())));
        }
        self.record(batch)
    }

    fn record(&self, batch: &Batch) -> Result<RecordDigests> {
        let unreadable = |e: record::RecordError| invalid(format!("the batch's records cannot be read: {e:?}"));
        let mut found = None;
        let show = |record: record::Record<'_>| {
            if record.offset == self.offset {
                let (key, value) = (record.key.map(BytesDigest::from), record.value.map(BytesDigest::from));
                found = Some(RecordDigests { timestamp: record.timestamp, key, value });
            }
        };
        batch.each_record(show).map_err(unreadable)?;
        found.ok_or_else(|| invalid(format!("the batch of {}..{} holds no record at offset {}", batch.base_offset, batch.next_offset(), self.offset)))
    }
}

/// Whether a batch is what was compared as this leaf.
///
/// **Errors**: KF-PROOF-INVALID where its records cannot be read.
pub fn digests_to(batch: &Batch, leaf: &Leaf) -> Result<bool> {
    let seen = match leaf.kind {
        LeafKind::Batch | LeafKind::Control if batch.base_offset != leaf.base_offset => return Ok(false),
        LeafKind::Batch | LeafKind::Control => batch.leaf(),
        // The front of a batch may have been left out, where the source had let go of it.
        LeafKind::Records => {
            let from = if batch.base_offset < leaf.base_offset { leaf.base_offset } else { i64::MIN };
            records_leaf_from(std::slice::from_ref(batch), from).map_err(|e| invalid(format!("the batch's records cannot be read: {e:?}")))?
        }
    };
    let is_control = leaf.kind == LeafKind::Control;
    Ok(seen == leaf.digest && batch.next_offset() == leaf.next_offset && batch.base_offset <= leaf.base_offset && batch.is_control() == is_control)
}

#[cfg(test)]
mod tests;
