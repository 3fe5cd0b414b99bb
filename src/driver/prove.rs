//! `prove`: finds one offset's leaf among those in the store, its path to the journaled root, and its batch on the target.

use super::context::Interrupt;
use super::limits::LEAF_FILES_AHEAD;
use super::locating;
use super::pending_leaves;
use crate::config::Config;
use crate::domain::batch::{self, Batch};
use crate::domain::leaf_file::{self, LeafFile, LeafFileName};
use crate::domain::leaf_layout::{Piece, lay_out};
use crate::domain::partition::TopicPartition;
use crate::domain::segment::{Leaf, LeafKind};
use crate::error::{Code, Error, Result};
use crate::evidence::merkle::PathFinder;
use crate::evidence::proof::{PROOF_VERSION, RecordProof, Shown, digests_to};
use crate::journal::Follower;
use crate::kafka::cluster::{Cluster, Side};
use crate::kafka::offsets::OffsetAt;
use crate::kafka::target::Target;
use crate::machine::fact::PartitionCheckpoint;
use crate::machine::fold::Migration;
use crate::store::{self, ObjectStore};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::path::Path;

/// What of a batch is asked for in one fetch; a single batch comes whatever its size.
const FETCH_BYTES: usize = 1 << 20;

fn unavailable(seen: impl Into<String>) -> Error {
    Error::new(Code::ProofUnavailable, seen)
}

/// Whose proof is wanted.
pub struct Wanted {
    pub partition: TopicPartition,
    pub offset: i64,
    /// Whether the offset is the source's, also where the target's differ.
    pub of_source: bool,
    pub with_records: bool,
}

/// Makes the proof of one offset, from the journal, the store and the target; nothing is locked and nothing is changed.
///
/// **Errors**: KF-PROOF-UNAVAILABLE where the offset was not compared, leaves are missing, or the target does not have the batch any
/// more; KF-STORE-CORRUPT where leaves are not what was journaled; the journal's, the store's, the target's.
///
/// Answers the source's offset too.
pub async fn prove(config: &Config, journal_dir: &Path, wanted: Wanted) -> Result<(RecordProof, Shown, i64)> {
    let interrupt = Interrupt::listen()?;
    let migration = Migration::fold(&Follower::new(journal_dir).read_new()?)?;
    let Wanted { partition, offset, of_source, with_records } = wanted;
    let offset = if of_source { on_target(&migration, &partition, offset)? } else { offset };
    let checkpoint = covering(&migration, &partition, offset)?;
    let store = store::open(&config.backup).await?;
    let pending = pending_leaves::read(journal_dir)?.remove(&partition);
    let mut proof = interrupt.or(find(store.as_ref(), migration.id(), checkpoint, pending, offset)).await?;
    if with_records && proof.leaf.kind != LeafKind::Control {
        let batch = interrupt.or(batch_of(config, &migration, &partition, offset)).await?;
        if !digests_to(&batch, &proof.leaf)? {
            let seen = format!("the batch at offset {offset} of {partition} is not the one that was compared: the target has compacted it, or it was changed (of a compacted topic `kferry validate` tells which, by key)");
            return Err(unavailable(seen));
        }
        proof.enclose(&batch);
    }
    let shown = proof.check()?;
    Ok((proof, shown, migration.source_offset(&partition, offset)))
}

/// Where the source's record lies on the target.
fn on_target(migration: &Migration, partition: &TopicPartition, source: i64) -> Result<i64> {
    let target = migration.target_offset(partition, source);
    if migration.source_offset(partition, target) != source {
        let seen = format!("offset {source} of {partition} on the source is not on the target: there was no committed record when it was copied");
        return Err(unavailable(seen));
    }
    Ok(target)
}

/// The partition's last checkpoint, if it covers the offset.
fn covering<'a>(migration: &'a Migration, partition: &TopicPartition, offset: i64) -> Result<&'a PartitionCheckpoint> {
    let Some(checkpoint) = migration.checkpoint(partition) else {
        return Err(unavailable(format!("the journal has no checkpoint of {partition}")));
    };
    let (from, end) = (checkpoint.source_log_start, checkpoint.verified_offset);
    if !(from..end).contains(&offset) {
        return Err(unavailable(format!("offset {offset} of {partition} is not among those that were compared, {from}..{end}")));
    }
    Ok(checkpoint)
}

/// Finds the offset's leaf and its path while all leaves of the partition pass by.
async fn find(
    store: &dyn ObjectStore,
    migration_id: &str,
    checkpoint: &PartitionCheckpoint,
    pending: Option<LeafFile>,
    offset: i64,
) -> Result<RecordProof> {
    let partition = &checkpoint.partition;
    let folder = leaf_file::folder(migration_id, partition);
    let mut files = Vec::new();
    for meta in store.list(&folder).await? {
        let Some(name) = meta.key.strip_prefix(&folder).and_then(LeafFileName::parse) else { continue };
        let Some(count) = leaf_file::count_of(meta.size_bytes) else {
            return Err(corrupt(store, &meta.key, "its length is not that of any count of leaves"));
        };
        files.push(Piece::of(name, count, Some(meta.key)));
    }
    if let Some(file) = &pending {
        files.push(Piece::of(file.name(), file.leaves.len() as u64, None));
    }
    let laid = lay_out(files, checkpoint.source_tree.len())
        .map_err(|gap| unavailable(format!("{}: leaves {}..{} are missing", store.location(&folder), gap.start, gap.end)))?;
    let pending = &pending;
    let mut read = stream::iter(laid).map(|piece| async move { leaves_of(store, piece, pending).await }).buffered(LEAF_FILES_AHEAD);
    let (mut finder, mut found, mut number) = (PathFinder::default(), None::<(u64, Leaf)>, 0);
    while let Some(leaves) = read.try_next().await? {
        for leaf in leaves {
            let covers = found.is_none() && (leaf.base_offset..leaf.next_offset).contains(&offset);
            finder.push(&leaf.digest, covers);
            if covers {
                found = Some((number, leaf));
            }
            number += 1;
        }
    }
    let (leaves, root, path) = finder.finish();
    let journaled = checkpoint.source_tree.root();
    if (leaves, root.bytes()) != (checkpoint.source_tree.len(), &journaled) {
        let seen = format!("{}: the leaves of {partition} make a tree with root {root}, which is not the journal's", store.location(&folder));
        return Err(Error::new(Code::StoreCorrupt, seen));
    }
    let Some((leaf_number, leaf)) = found else {
        return Err(unavailable(format!("no leaf covers offset {offset} of {partition}: it expired before it could be compared")));
    };
    Ok(RecordProof {
        version: PROOF_VERSION,
        migration_id: migration_id.to_owned(),
        topic: partition.topic.to_string(),
        partition: partition.partition,
        offset,
        leaf,
        leaf_number,
        leaves,
        root,
        path,
        batch: None,
    })
}

async fn leaves_of(store: &dyn ObjectStore, piece: Piece<String>, pending: &Option<LeafFile>) -> Result<Vec<Leaf>> {
    let file = match (&piece.key, pending) {
        (Some(key), _) => LeafFile::decode(&store.get(key).await?).map_err(|e| corrupt(store, key, &e.to_string()))?,
        (None, Some(file)) => file.clone(),
        (None, None) => return Ok(Vec::new()),
    };
    if file.name() != piece.name {
        return Err(corrupt(store, piece.key.as_deref().unwrap_or_default(), "its name is not that of its leaves"));
    }
    let (skipped, count) = ((piece.from - file.first) as usize, (piece.to - piece.from) as usize);
    Ok(file.leaves.into_iter().skip(skipped).take(count).collect())
}

fn corrupt(store: &dyn ObjectStore, key: &str, what: &str) -> Error {
    Error::new(Code::StoreCorrupt, format!("{}: {what}", store.location(key)))
}

/// The target's batch that holds an offset.
async fn batch_of(config: &Config, migration: &Migration, partition: &TopicPartition, offset: i64) -> Result<Batch> {
    let located = locating::locate_or_recall(Side::Target, config, Some(migration)).await?;
    let target = Target::new(&Cluster::connect(Side::Target, &located).await?);
    if let Some(planned) = migration.plan.target.as_ref().filter(|planned| planned.cluster_id != target.cluster_id()) {
        let seen = format!("the target is cluster {}, but the journal's plan was made for {}", target.cluster_id(), planned.cluster_id);
        return Err(Error::new(Code::JournalForeign, seen));
    }
    let expired = |log_start: i64| {
        let seen = format!("offset {offset} of {partition} has expired on the target, whose log starts at {log_start}; --without-records proves its leaf alone");
        unavailable(seen)
    };
    let starts = target.offsets(std::slice::from_ref(partition), OffsetAt::Earliest).await?;
    if let Some(log_start) = starts.get(partition).copied().filter(|log_start| *log_start > offset) {
        return Err(expired(log_start));
    }
    let place = BTreeMap::from([(partition.clone(), offset)]);
    let (mut done, mut failed) = target.fetch_samples(&place, FETCH_BYTES).await;
    if let Some(error) = failed.remove(partition) {
        return Err(error);
    }
    let records = done.remove(partition).and_then(|data| data.records).unwrap_or_default();
    let batches = batch::split(records).map_err(|e| Error::new(Code::KafkaProtocol, format!("{partition} at offset {offset}: {e:?}")))?;
    let found = batches.into_iter().find(|batch| (batch.base_offset..batch.next_offset()).contains(&offset));
    found.ok_or_else(|| unavailable(format!("the target has no batch at offset {offset} of {partition}")))
}

#[cfg(test)]
mod tests;
