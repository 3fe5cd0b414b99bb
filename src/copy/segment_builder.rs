//! Gathers a partition's batches into a segment until it is sealed and stored.

use crate::domain::batch::Batch;
use crate::domain::segment::Leaf;
use bytes::Bytes;

/// A segment that grows.
#[derive(Default)]
pub(super) struct SegmentBuilder {
    parts: Vec<Bytes>,
    leaves: Vec<Leaf>,
    bytes: usize,
    records: u64,
    span: Option<(i64, i64)>,
    timestamps: Option<(i64, i64)>,
    /// When its first batch came, in milliseconds of the caller's clock.
    opened_at_ms: u64,
}

/// A segment that is complete and waits for the store.
#[derive(Clone, Debug)]
pub struct SealedSegment {
    pub base_offset: i64,
    pub next_offset: i64,
    /// The batches' bytes in order.
    pub parts: Vec<Bytes>,
    pub leaves: Vec<Leaf>,
    pub bytes: usize,
    pub records: u64,
    pub batches: u64,
    pub min_timestamp: i64,
    pub max_timestamp: i64,
}

impl SegmentBuilder {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub fn opened_at_ms(&self) -> u64 {
        self.opened_at_ms
    }

    pub fn push(&mut self, batch: &Batch, leaf: Leaf, now_ms: u64) {
        if self.parts.is_empty() {
            self.opened_at_ms = now_ms;
        }
        self.bytes += batch.bytes().len();
        self.records += if batch.is_control() { 0 } else { batch.record_count as u64 };
        let start = self.span.map_or(batch.base_offset, |(start, _)| start);
        self.span = Some((start, batch.next_offset()));
        let first_timestamp = batch.first_timestamp();
        let (low, high) = self.timestamps.unwrap_or((first_timestamp, batch.max_timestamp));
        self.timestamps = Some((low.min(first_timestamp), high.max(batch.max_timestamp)));
        self.parts.push(batch.bytes().clone());
        self.leaves.push(leaf);
    }

    /// Takes offsets without records, behind its last batch.
    pub fn reach_to(&mut self, next_offset: i64) {
        self.span = self.span.map(|(base_offset, end)| (base_offset, end.max(next_offset)));
    }

    /// Closes the segment and leaves an empty one; None where it holds nothing.
    pub fn seal(&mut self) -> Option<SealedSegment> {
        let builder = std::mem::take(self);
        let (base_offset, next_offset) = builder.span?;
        let (min_timestamp, max_timestamp) = builder.timestamps?;
        Some(SealedSegment {
            base_offset,
            next_offset,
            batches: builder.parts.len() as u64,
            parts: builder.parts,
            leaves: builder.leaves,
            bytes: builder.bytes,
            records: builder.records,
            min_timestamp,
            max_timestamp,
        })
    }
}
