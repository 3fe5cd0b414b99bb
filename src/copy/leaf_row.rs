//! The leaves of a partition's trees that the store does not have yet, in tree order.

use crate::domain::leaf_file::LeafFile;
use crate::domain::segment::Leaf;
use std::collections::VecDeque;

/// A row of leaves that grows with the trees and shrinks as the store takes them.
pub(super) struct LeafRow {
    /// The number of the front leaf in its tree; everything before it lies in the store.
    first: u64,
    leaves: VecDeque<Leaf>,
    /// How many of the front are on their way to the store.
    under_way: usize,
}

impl LeafRow {
    /// An empty row behind so many leaves.
    pub fn behind(leaves: u64) -> Self {
        Self { first: leaves, leaves: VecDeque::new(), under_way: 0 }
    }

    pub fn push(&mut self, leaf: Leaf) {
        self.leaves.push_back(leaf);
    }

    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Takes over what an earlier take has compared and not stored. Leaves that the journal does not know of are left out; false
    /// where those are missing that the journal does know of.
    pub fn take_over(&mut self, file: LeafFile) -> bool {
        let known = self.first;
        if !self.leaves.is_empty() || file.next() < known {
            return false;
        }
        if file.first < known {
            self.first = file.first;
            self.leaves = file.leaves.into_iter().take((known - file.first) as usize).collect();
        }
        true
    }

    /// The front of the row as the next file for the store; None where it is empty or a file is on its way.
    pub fn next_file(&mut self, take: u32, leaves_max: usize) -> Option<LeafFile> {
        if self.under_way > 0 || self.leaves.is_empty() {
            return None;
        }
        self.under_way = self.leaves.len().min(leaves_max);
        Some(LeafFile { take, first: self.first, leaves: self.leaves.range(..self.under_way).cloned().collect() })
    }

    /// The file on its way has arrived, or has not.
    pub fn file_ended(&mut self, stored: bool) {
        let count = std::mem::take(&mut self.under_way);
        if stored {
            self.leaves.drain(..count);
            self.first += count as u64;
        }
    }

    /// All that the store does not have.
    pub fn pending(&self, take: u32) -> LeafFile {
        LeafFile { take, first: self.first, leaves: self.leaves.iter().cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::segment::LeafKind;

    fn leaf(number: u64) -> Leaf {
        Leaf { base_offset: number as i64, next_offset: number as i64 + 1, kind: LeafKind::Batch, digest: Digest::ZERO }
    }

    fn file(range: std::ops::Range<u64>) -> LeafFile {
        LeafFile { take: 1, first: range.start, leaves: range.map(leaf).collect() }
    }

    #[test]
    fn files_follow_each_other_and_what_is_lost_goes_again() {
        let mut row = LeafRow::behind(7);
        assert_eq!(row.next_file(1, 3), None);
        (7..12).for_each(|n| row.push(leaf(n)));
        assert_eq!(row.next_file(1, 3), Some(file(7..10)));
        assert_eq!(row.next_file(1, 3), None, "one at a time");
        assert_eq!(row.pending(1), file(7..12));
        row.file_ended(false);
        assert_eq!(row.next_file(1, 3), Some(file(7..10)));
        row.push(leaf(12));
        row.file_ended(true);
        assert_eq!((row.pending(1), row.next_file(1, 3)), (file(10..13), Some(file(10..13))));
        row.file_ended(true);
        assert_eq!((row.len(), row.pending(1)), (0, file(13..13)));
    }

    #[test]
    fn what_an_earlier_take_has_left_is_taken_over_as_far_as_the_journal_knows_it() {
        for (left, known, taken, ok) in [(5..9, 9, 5..9, true), (5..12, 9, 5..9, true), (10..12, 9, 9..9, true), (5..8, 9, 9..9, false), (0..4, 0, 0..0, true)] {
            let mut row = LeafRow::behind(known);
            assert_eq!(row.take_over(file(left.clone())), ok, "{left:?} behind {known}");
            assert_eq!(row.pending(1), file(taken));
        }
    }
}
