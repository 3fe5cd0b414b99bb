//! Which leaf files of which take make up a partition's trees.

use super::leaf_file::LeafFileName;
use std::ops::Range;

/// One file of leaves, and the part of it that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<K> {
    pub name: LeafFileName,
    /// The numbers of the leaves that count, `from..to`.
    pub from: u64,
    pub to: u64,
    /// The file in the store; None for the one beside the journal.
    pub key: Option<K>,
}

impl<K> Piece<K> {
    /// A whole file.
    pub fn of(name: LeafFileName, count: u64, key: Option<K>) -> Self {
        Self { name, from: name.first, to: name.first + count, key }
    }
}

/// Cuts the files of all takes down to what a tree of so many leaves is made of, in its order: for each leaf the latest take that has it.
///
/// A take goes on where the last checkpoint stood. So what it has of the leaves before is taken over from its predecessors, and what
/// they have stored from there on is in no tree. A topic that was created anew begins again with leaf 0.
/// **Errors:** the first leaves that are in no file.
pub fn lay_out<K: Clone>(mut files: Vec<Piece<K>>, leaves: u64) -> Result<Vec<Piece<K>>, Range<u64>> {
    files.sort_by_key(|piece| (piece.name.take, piece.key.is_none(), piece.name.first));
    // Disjoint, in the order of the leaves.
    let mut laid: Vec<Piece<K>> = Vec::new();
    for piece in files.into_iter().filter(|piece| piece.from < piece.to) {
        let first = laid.partition_point(|other| other.to <= piece.from);
        let behind = first + laid[first..].partition_point(|other| other.from < piece.to);
        let mut joined = Vec::with_capacity(3);
        joined.extend(laid[first..behind].first().filter(|other| other.from < piece.from).map(|other| Piece { to: piece.from, ..other.clone() }));
        let rest = laid[first..behind].last().filter(|other| other.to > piece.to).map(|other| Piece { from: piece.to, ..other.clone() });
        joined.push(piece);
        joined.extend(rest);
        laid.splice(first..behind, joined);
    }
    let mut reached = 0;
    laid.retain_mut(|piece| {
        piece.to = piece.to.min(leaves);
        piece.from < piece.to
    });
    for piece in &laid {
        if piece.from > reached {
            return Err(reached..piece.from);
        }
        reached = piece.to;
    }
    if reached < leaves { Err(reached..leaves) } else { Ok(laid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(take: u32, range: Range<u64>) -> Piece<()> {
        Piece::of(LeafFileName { take, first: range.start }, range.end - range.start, Some(()))
    }

    fn beside(take: u32, range: Range<u64>) -> Piece<()> {
        Piece { key: None, ..piece(take, range) }
    }

    fn laid(files: Vec<Piece<()>>, leaves: u64) -> Result<Vec<(u32, u64, u64)>, Range<u64>> {
        Ok(lay_out(files, leaves)?.into_iter().map(|p| (p.name.take, p.from, p.to)).collect())
    }

    #[test]
    fn the_later_take_counts() {
        let first = [piece(1, 0..10), piece(1, 10..20)];
        assert_eq!(laid(first.to_vec(), 20), Ok(vec![(1, 0, 10), (1, 10, 20)]));
        // What the first take has stored beyond its last checkpoint does not count.
        let with = |pieces: &[_]| [pieces, &first[..]].concat();
        assert_eq!(laid(with(&[piece(2, 14..30)]), 25), Ok(vec![(1, 0, 10), (1, 10, 14), (2, 14, 25)]));
        assert_eq!(laid(with(&[piece(2, 5..8)]), 8), Ok(vec![(1, 0, 5), (2, 5, 8)]));
        // A topic that was created anew starts over.
        assert_eq!(laid(vec![first[0].clone(), piece(3, 0..4), piece(3, 4..9)], 9), Ok(vec![(3, 0, 4), (3, 4, 9)]));
        assert_eq!(laid(vec![], 0), Ok(vec![]));
    }

    #[test]
    fn what_a_take_has_taken_over_displaces_nothing_else() {
        // Killed when it had stored but a part of it.
        assert_eq!(laid(vec![piece(1, 0..6), piece(2, 3..5)], 6), Ok(vec![(1, 0, 3), (2, 3, 5), (1, 5, 6)]));
        assert_eq!(laid(vec![piece(1, 0..4), piece(2, 3..5), beside(1, 3..6)], 6), Ok(vec![(1, 0, 3), (2, 3, 5), (1, 5, 6)]));
        assert_eq!(laid(vec![piece(1, 0..9), piece(2, 3..5), piece(2, 5..8)], 8), Ok(vec![(1, 0, 3), (2, 3, 5), (2, 5, 8)]));
    }

    #[test]
    fn what_lies_beside_the_journal_fills_up() {
        assert_eq!(laid(vec![piece(1, 0..10), beside(1, 10..13)], 12), Ok(vec![(1, 0, 10), (1, 10, 12)]));
        assert_eq!(laid(vec![piece(1, 0..20), beside(2, 15..17)], 17), Ok(vec![(1, 0, 15), (2, 15, 17)]));
        assert_eq!(laid(vec![piece(1, 0..20), piece(2, 15..30), beside(1, 12..18)], 30), Ok(vec![(1, 0, 12), (1, 12, 15), (2, 15, 30)]));
    }

    #[test]
    fn gaps_are_named() {
        assert_eq!(laid(vec![piece(1, 0..10), piece(1, 12..20)], 20), Err(10..12));
        assert_eq!(laid(vec![piece(1, 0..10)], 20), Err(10..20));
        assert_eq!(laid(vec![], 1), Err(0..1));
    }
}
