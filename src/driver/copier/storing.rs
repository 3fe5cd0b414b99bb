//! Segments and their manifests on their way to the store.

use super::engine::{Engine, Event};
use super::limits::*;
use crate::copy::SealedSegment;
use crate::domain::digest::Digest;
use crate::domain::partition::TopicPartition;
use crate::domain::segment::{self, MANIFEST_VERSION, Manifest};
use crate::error::{Error, Result};
use crate::store::patient::put_patiently;
use crate::store::{Body, ObjectStore, PutOptions};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

pub(super) struct Stored {
    pub index: usize,
    pub next_offset: i64,
    pub bytes: u64,
    pub failed: Option<Error>,
}

impl Engine {
    /// Closes segments that are full, old, or hold memory that the fetches need.
    pub(super) fn schedule_seals(&mut self) {
        let now_ms = self.now_ms();
        let bytes_max = self.setup.seed.segment_max_bytes;
        for entry in &mut self.partitions {
            // What came after SEED began is TAIL's: its appends need not wait, and its segments may grow.
            if entry.seed_end.is_some_and(|end| entry.copy.source_position(entry.copy.acknowledged()) >= end) {
                entry.seed_end = None;
                entry.copy.append_before_store();
            }
            entry.copy.seal_if_due(bytes_max, SEGMENT_AGE_MS_MAX, now_ms);
        }
        // A fetch waits for memory and nothing on its way will give any back soon: the larger half of the open segments goes.
        if self.starved && self.stores_under_way < STORES_MAX && self.partitions.iter().all(|p| !p.copy.waits_for_store()) {
            let mut open: Vec<(usize, usize)> =
                self.partitions.iter().enumerate().map(|(i, p)| (p.copy.open_segment_bytes(), i)).filter(|(b, _)| *b > 0).collect();
            open.sort_unstable_by(|a, b| b.cmp(a));
            let half: usize = open.iter().map(|(bytes, _)| bytes).sum::<usize>() / 2;
            let mut sealed = 0;
            for (bytes, index) in open {
                self.partitions[index].copy.seal();
                sealed += bytes;
                if sealed > half {
                    break;
                }
            }
        }
    }

    pub(super) fn schedule_stores(&mut self) {
        let (count, first) = (self.partitions.len(), self.store_turn);
        for index in (0..count).map(|i| (i + first) % count) {
            while self.stores_under_way < STORES_MAX {
                let entry = &mut self.partitions[index];
                let Some(segment) = entry.copy.next_segment() else { break };
                let (partition, take) = (entry.copy.partition().clone(), entry.copy.take());
                self.stores_under_way += 1;
                // The next look begins behind this one, so that each partition gets its turn.
                self.store_turn = (index + 1) % count;
                let (store, events) = (self.setup.store.clone(), self.events.clone());
                let folder = segment::folder("", &self.setup.migration_id, &partition, take);
                tokio::spawn(async move {
                    let (next_offset, bytes) = (segment.next_offset, segment.bytes as u64);
                    let on_wait = |why: &str| { let _ = events.send(Event::Waiting { who: "store", why: Some(format!("object store: {why}")) }); };
                    let failed = put(&store, &folder, partition, take, segment, &on_wait).await.err();
                    let _ = events.send(Event::Stored(Stored { index, next_offset, bytes, failed }));
                });
            }
        }
    }

    pub(super) fn on_stored(&mut self, stored: Stored) {
        self.stores_under_way -= 1;
        match stored.failed {
            None => {
                self.waits("store", None);
                self.partitions[stored.index].copy.stored_segment(stored.next_offset, stored.bytes);
            }
            Some(error) => self.halt(stored.index, error),
        }
    }
}

/// Stores a segment, then its manifest: a segment without one is not there.
async fn put(
    store: &Arc<dyn ObjectStore>,
    folder: &str,
    partition: TopicPartition,
    take: u32,
    segment: SealedSegment,
    on_wait: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let mut hash = Sha256::new();
    segment.parts.iter().for_each(|part| hash.update(part));
    let sha256: [u8; 32] = hash.finalize().into();
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        partition,
        take,
        base_offset: segment.base_offset,
        next_offset: segment.next_offset,
        records: segment.records,
        batches: segment.batches,
        min_timestamp: segment.min_timestamp,
        max_timestamp: segment.max_timestamp,
        bytes: segment.bytes as u64,
        sha256: Digest::from_bytes(sha256),
        leaves: segment.leaves,
    };
    let log_key = format!("{folder}{}", segment::log_name(segment.base_offset));
    let manifest_key = format!("{folder}{}", segment::manifest_name(segment.base_offset));
    let manifest = serde_json::to_vec(&manifest).map_err(|e| Error::new(crate::error::Code::Bug, format!("a manifest cannot be written: {e}")))?;
    for (key, body) in [(log_key, Body::new(segment.parts, sha256)), (manifest_key, Body::hashed(manifest))] {
        put_patiently(store.as_ref(), &key, body, PutOptions::default(), std::future::pending(), on_wait).await.map_err(Error::from)?;
    }
    Ok(())
}
