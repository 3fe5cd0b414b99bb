//! The leaves of the partitions' trees on their way to the store.
//!
//! Nothing waits for them: what the store does not have yet is kept beside the journal with each checkpoint (`driver/pending_leaves.rs`).

use super::engine::{Engine, Event};
use super::limits::*;
use crate::domain::leaf_file::{self, LeafFile};
use crate::domain::partition::TopicPartition;
use crate::error::{Error, Result};
use crate::store::patient::put_patiently;
use crate::store::{Body, ObjectStore, PutOptions};
use std::time::Instant;

impl Engine {
    /// Sends leaves to the store that fill a file or are due; answers whether there is room for more.
    pub(super) fn schedule_leaves(&mut self) -> bool {
        let held: usize = self.partitions.iter().map(|p| p.copy.unstored_leaves()).sum();
        if held > LEAVES_HELD_MAX || Instant::now() >= self.leaves_due_at {
            self.make_leaves_due();
        }
        for index in 0..self.partitions.len() {
            if self.leaf_stores_under_way >= LEAF_STORES_MAX {
                break;
            }
            let entry = &mut self.partitions[index];
            if entry.copy.stop().is_some() {
                entry.leaves_due = false;
                continue;
            }
            if !entry.leaves_due && entry.copy.unstored_leaves() < LEAVES_PER_FILE {
                continue;
            }
            let Some(file) = entry.copy.next_leaves(LEAVES_PER_FILE) else { continue };
            entry.leaves_due = entry.copy.unstored_leaves() > file.leaves.len();
            self.leaf_stores_under_way += 1;
            let (store, events) = (self.setup.store.clone(), self.events.clone());
            let (migration_id, partition) = (self.setup.migration_id.clone(), entry.copy.partition().clone());
            tokio::spawn(async move {
                let on_wait = |why: &str| { let _ = events.send(Event::Waiting { who: "leaf store", why: Some(format!("object store: {why}")) }); };
                let failed = put(store.as_ref(), &migration_id, &partition, &file, &on_wait).await.err();
                let _ = events.send(Event::LeavesStored { index, failed });
            });
        }
        held < LEAVES_UNSTORED_MAX
    }

    /// Lets all leaves that there are go to the store, whole files or not.
    pub(super) fn make_leaves_due(&mut self) {
        self.leaves_due_at = Instant::now() + LEAVES_INTERVAL;
        self.partitions.iter_mut().for_each(|p| p.leaves_due |= p.copy.unstored_leaves() > 0);
    }

    pub(super) fn on_leaves_stored(&mut self, index: usize, failed: Option<Error>) {
        self.leaf_stores_under_way -= 1;
        self.partitions[index].copy.leaves_ended(failed.is_none());
        match failed {
            None => self.waits("leaf store", None),
            Some(error) => self.halt(index, error),
        }
    }

    /// Whether no leaves are on their way that were to be.
    pub(super) fn leaves_settled(&self) -> bool {
        self.leaf_stores_under_way == 0 && self.partitions.iter().all(|p| !p.leaves_due)
    }

    /// The leaves that the store does not have.
    pub(super) fn pending_leaves(&self) -> Vec<(TopicPartition, LeafFile)> {
        let pending = self.partitions.iter().filter(|p| p.copy.unstored_leaves() > 0);
        pending.map(|p| (p.copy.partition().clone(), p.copy.pending_leaves())).collect()
    }
}

/// Puts a leaf file into the store, however long that takes. The same file may be put again.
pub async fn put(
    store: &dyn ObjectStore,
    migration_id: &str,
    partition: &TopicPartition,
    file: &LeafFile,
    on_wait: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let key = format!("{}{}", leaf_file::folder(migration_id, partition), file.name());
    let stored = put_patiently(store, &key, Body::hashed(file.encode()), PutOptions::default(), std::future::pending(), on_wait).await;
    stored.map(drop).map_err(Error::from)
}
