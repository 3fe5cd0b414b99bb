//! The partition's own transactional producer on the target: data of aborted transactions is appended under it, in a transaction that is
//! aborted where the source has its next control record.
//!
//! One is enough, however many transactions of the source interleave: each control record's offset ends what is open, and what follows begins anew.
//! All of it stays unseen by `read_committed` consumers, as on the source, and nothing stays open longer than it must.

use super::sequence;
use crate::domain::batch::ProducerStamp;

/// A transaction that an earlier take has left open, as the target's brokers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub next_sequence: i32,
}

/// See the module's comment.
pub(super) struct Aborter {
    producer_id: i64,
    producer_epoch: i16,
    next_sequence: i32,
    /// Whether the target's log holds data of its transaction that is not yet decided.
    pub open: bool,
}

impl Aborter {
    pub fn new(producer_id: i64, producer_epoch: i16) -> Self {
        Self { producer_id, producer_epoch, next_sequence: 0, open: false }
    }

    pub fn resumed(transaction: OpenTransaction) -> Self {
        let OpenTransaction { producer_id, producer_epoch, next_sequence } = transaction;
        Self { producer_id, producer_epoch, next_sequence, open: true }
    }

    pub fn allot(&mut self, count: i32) -> i32 {
        sequence::allot(&mut self.next_sequence, count)
    }

    pub fn stamp(&self, base_sequence: i32) -> ProducerStamp {
        ProducerStamp { producer_id: self.producer_id, producer_epoch: self.producer_epoch, base_sequence }
    }
}
