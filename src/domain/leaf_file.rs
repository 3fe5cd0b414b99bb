//! The leaves of one partition's trees in tree order, in files: what a root alone cannot give back.
//!
//! A file holds a run of leaves of one take. All numbers are big-endian:
//!
//! | bytes | |
//! |---|---|
//! | 8 | `kfleaves` |
//! | 4 | version, 1 |
//! | 4 | take |
//! | 8 | number of the first leaf in its tree |
//! | 4 | count of leaves |
//! | 49 for each leaf | base offset (8), next offset (8), kind (1: `b`atch, `r`ecords, `c`ontrol), digest (32) |
//! | 32 | SHA-256 of everything before |
//!
//! The sum tells damage. That the leaves are the right ones is told by the root in the journal.

use super::digest::Digest;
use super::partition::TopicPartition;
use super::segment::{Leaf, LeafKind};
use std::fmt;

/// Version of the file's shape.
pub const LEAF_FILE_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"kfleaves";
const HEADER_BYTES: usize = 28;
const LEAF_BYTES: usize = 49;
const SUM_BYTES: usize = 32;

/// A run of leaves of one partition's trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFile {
    /// The take that compared them, or took them over from the one before.
    pub take: u32,
    /// The number of the first in its tree.
    pub first: u64,
    pub leaves: Vec<Leaf>,
}

/// Why bytes are no leaf file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafFileError {
    #[error("it is not a file of leaves")]
    NotLeaves,
    #[error("its version is {0}; this kferry reads version {LEAF_FILE_VERSION}")]
    Version(u32),
    #[error("its length is not that of its count of leaves")]
    Length,
    #[error("its checksum does not hold")]
    Sum,
    #[error("leaf {0} is of an unknown kind")]
    Kind(u64),
}

impl LeafFile {
    /// The number after the last leaf's.
    pub fn next(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    pub fn name(&self) -> LeafFileName {
        LeafFileName { take: self.take, first: self.first }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.leaves.len() * LEAF_BYTES + SUM_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&LEAF_FILE_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.take.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&(self.leaves.len() as u32).to_be_bytes());
        for leaf in &self.leaves {
            bytes.extend_from_slice(&leaf.base_offset.to_be_bytes());
            bytes.extend_from_slice(&leaf.next_offset.to_be_bytes());
            bytes.push(letter(leaf.kind));
            bytes.extend_from_slice(leaf.digest.bytes());
        }
        let sum = Digest::of(&bytes);
        bytes.extend_from_slice(sum.bytes());
        bytes
    }

    /// **Errors:** what [`LeafFileError`] names.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafFileError> {
        let header = bytes.first_chunk::<HEADER_BYTES>().filter(|header| header.starts_with(MAGIC)).ok_or(LeafFileError::NotLeaves)?;
        let version = u32_at(header, 8);
        if version != LEAF_FILE_VERSION {
            return Err(LeafFileError::Version(version));
        }
        let (take, first, count) = (u32_at(header, 12), u64_at(header, 16), u32_at(header, 24));
        if count_of(bytes.len() as u64) != Some(u64::from(count)) {
            return Err(LeafFileError::Length);
        }
        let (content, sum) = bytes.split_at(bytes.len() - SUM_BYTES);
        if Digest::of(content).bytes() != sum {
            return Err(LeafFileError::Sum);
        }
        let leaves = content[HEADER_BYTES..].chunks_exact(LEAF_BYTES).zip(first..).map(|(leaf, number)| {
            let mut digest = [0; 32];
            digest.copy_from_slice(&leaf[17..]);
            Ok(Leaf {
                base_offset: u64_at(leaf, 0) as i64,
                next_offset: u64_at(leaf, 8) as i64,
                kind: kind(leaf[16]).ok_or(LeafFileError::Kind(number))?,
                digest: Digest::from_bytes(digest),
            })
        });
        Ok(Self { take, first, leaves: leaves.collect::<Result<_, _>>()? })
    }
}

/// How many leaves a file of this size holds; None where no file has this size.
pub fn count_of(size_bytes: u64) -> Option<u64> {
    let leaves = size_bytes.checked_sub((HEADER_BYTES + SUM_BYTES) as u64)?;
    leaves.is_multiple_of(LEAF_BYTES as u64).then_some(leaves / LEAF_BYTES as u64)
}

/// Where all leaf files of a migration lie.
pub fn root(migration_id: &str) -> String {
    format!("{migration_id}/proofs/")
}

/// Where those of one partition lie, each take's in a folder of its own (`leaf_layout.rs` says which count).
pub fn folder(migration_id: &str, partition: &TopicPartition) -> String {
    format!("{}{}/{}/", root(migration_id), partition.topic, partition.partition)
}

/// Names a file of leaves in its partition's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafFileName {
    pub take: u32,
    pub first: u64,
}

impl LeafFileName {
    /// Reads a name as it is displayed.
    pub fn parse(name: &str) -> Option<Self> {
        let (take, first) = name.strip_suffix(".leaves")?.split_once('/')?;
        Some(Self { take: take.parse().ok()?, first: first.parse().ok()? })
    }
}

impl fmt::Display for LeafFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}/{:020}.leaves", self.take, self.first)
    }
}

fn letter(kind: LeafKind) -> u8 {
    match kind {
        LeafKind::Batch => b'b',
        LeafKind::Records => b'r',
        LeafKind::Control => b'c',
    }
}

fn kind(letter: u8) -> Option<LeafKind> {
    match letter {
        b'b' => Some(LeafKind::Batch),
        b'r' => Some(LeafKind::Records),
        b'c' => Some(LeafKind::Control),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::frozen::frozen;

    fn sample() -> LeafFile {
        let leaf = |base_offset, next_offset, kind| Leaf { base_offset, next_offset, kind, digest: Digest::of([next_offset as u8]) };
        let leaves = vec![leaf(10, 15, LeafKind::Batch), leaf(15, 16, LeafKind::Control), leaf(1 << 40, (1 << 40) + 500, LeafKind::Records)];
        LeafFile { take: 3, first: 70_000, leaves }
    }

    #[test]
    fn the_format_is_frozen() {
        let bytes = frozen("evidence/leaves.leaves", &sample().encode());
        assert_eq!(bytes.len(), 28 + 3 * 49 + 32);
        assert_eq!(LeafFile::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn whatever_is_altered_is_noticed() {
        let bytes = sample().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(LeafFile::decode(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(LeafFile::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_file_is_known_by_its_name_and_size() {
        let name = sample().name().to_string();
        assert_eq!(name, "000003/00000000000000070000.leaves");
        assert_eq!(LeafFileName::parse(&name), Some(sample().name()));
        assert_eq!(LeafFileName::parse("000003/x.leaves"), None);
        assert_eq!(count_of(sample().encode().len() as u64), Some(3));
        assert_eq!(count_of(59), None);
    }
}
