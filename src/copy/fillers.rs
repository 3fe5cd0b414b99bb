//! Filler records: they take the offsets below the source's log start and are deleted at once.

use super::limits::FILLERS_PER_BATCH;
use crate::domain::batch::{Batch, BatchSpec};
use crate::domain::record::{self, Codec};
use std::sync::OnceLock;

fn payload(count: i32) -> Vec<u8> {
    let mut plain = Vec::with_capacity(count as usize * 10);
    for delta in 0..count {
        record::encode(&mut plain, 0, delta, None, None, &[]);
    }
    // Compression into memory has no way to fail; an empty payload would be refused by the broker.
    record::compress(Codec::Zstd, &plain).unwrap_or_default()
}

/// A batch of `count` records without key and value.
pub(super) fn filler_batch(count: i32, timestamp: i64) -> Batch {
    static FULL: OnceLock<Vec<u8>> = OnceLock::new();
    let spec = BatchSpec { base_offset: 0, leader_epoch: -1, codec: Codec::Zstd, base_timestamp: timestamp, max_timestamp: timestamp, record_count: count };
    if count == FILLERS_PER_BATCH {
        Batch::encode(&spec, FULL.get_or_init(|| payload(FILLERS_PER_BATCH)))
    } else {
        Batch::encode(&spec, &payload(count))
    }
}
