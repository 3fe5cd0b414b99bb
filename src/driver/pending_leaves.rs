//! The leaves that are journaled in their trees and not yet in the store, in one file beside the journal.
//!
//! It is replaced, and durable, before each checkpoint is journaled: so the leaves below a checkpoint lie in the store or here, and
//! neither the copy nor the freeze waits for the store. After `kfpend` and two bytes of version, big-endian, there is for each
//! partition: the topic's length (2), the topic, the partition (4), the length of what follows (4), a file of `domain/leaf_file.rs`.

use crate::domain::leaf_file::LeafFile;
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

const FILE_NAME: &str = "leaves.pending";
const MAGIC: &[u8; 8] = b"kfpend\0\x01";

/// Makes these the pending leaves, durably.
///
/// **Errors**: KF-JOURNAL-UNWRITABLE.
pub fn write(dir: &Path, pending: &[(TopicPartition, LeafFile)]) -> Result<()> {
    let path = dir.join(FILE_NAME);
    let failed = |e: std::io::Error| Error::new(Code::JournalUnwritable, format!("{}: {e}", path.display()));
    if pending.is_empty() && !path.exists() {
        return Ok(());
    }
    let partial = dir.join(format!("{FILE_NAME}.partial"));
    let mut file = File::create(&partial).map_err(failed)?;
    file.write_all(&encode(pending)).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, &path).and_then(|()| File::open(dir)?.sync_all()).map_err(failed)
}

/// Reads the pending leaves; none where there is no file.
///
/// **Errors**: KF-JOURNAL-CORRUPT where it is damaged, KF-JOURNAL-UNWRITABLE where it cannot be read.
pub fn read(dir: &Path) -> Result<BTreeMap<TopicPartition, LeafFile>> {
    let path = dir.join(FILE_NAME);
    match fs::read(&path) {
        Ok(bytes) => decode(&bytes).map_err(|what| Error::new(Code::JournalCorrupt, format!("{}: {what}", path.display()))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(e) => Err(Error::new(Code::JournalUnwritable, format!("{}: {e}", path.display()))),
    }
}

fn encode(pending: &[(TopicPartition, LeafFile)]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (partition, file) in pending {
        bytes.extend_from_slice(&(partition.topic.len() as u16).to_be_bytes());
        bytes.extend_from_slice(partition.topic.as_bytes());
        bytes.extend_from_slice(&partition.partition.to_be_bytes());
        let file = file.encode();
        bytes.extend_from_slice(&(file.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&file);
    }
    bytes
}

fn decode(bytes: &[u8]) -> std::result::Result<BTreeMap<TopicPartition, LeafFile>, String> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or("it does not hold pending leaves")?;
    let mut pending = BTreeMap::new();
    while !rest.is_empty() {
        let entry = entry(&mut rest).ok_or("it ends too early")?;
        let file = LeafFile::decode(entry.1).map_err(|e| format!("{}: {e}", entry.0))?;
        pending.insert(entry.0, file);
    }
    Ok(pending)
}

/// The next partition and its file's bytes.
fn entry<'a>(rest: &mut &'a [u8]) -> Option<(TopicPartition, &'a [u8])> {
    let length = u16::from_be_bytes(*rest.split_off(..2)?.first_chunk()?);
    let topic = std::str::from_utf8(rest.split_off(..usize::from(length))?).ok()?;
    let partition = i32::from_be_bytes(*rest.split_off(..4)?.first_chunk()?);
    let length = u32::from_be_bytes(*rest.split_off(..4)?.first_chunk()?);
    Some((TopicPartition::new(topic, partition), rest.split_off(..length as usize)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::segment::{Leaf, LeafKind};

    fn sample() -> Vec<(TopicPartition, LeafFile)> {
        let leaf = |n: i64| Leaf { base_offset: n, next_offset: n + 1, kind: LeafKind::Records, digest: Digest::of(n.to_be_bytes()) };
        let file = |count| LeafFile { take: 2, first: 40, leaves: (0..count).map(leaf).collect() };
        vec![(TopicPartition::new("orders", 0), file(3)), (TopicPartition::new("ü", 17), file(1))]
    }

    #[test]
    fn what_is_written_is_read_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().is_empty());
        write(dir.path(), &[]).unwrap();
        assert!(!dir.path().join(FILE_NAME).exists());
        write(dir.path(), &sample()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), sample().into_iter().collect());
        write(dir.path(), &[]).unwrap();
        assert!(read(dir.path()).unwrap().is_empty(), "what is in the store is not pending any more");
    }

    #[test]
    fn a_damaged_file_is_not_believed() {
        let bytes = encode(&sample());
        for length in 1..bytes.len() {
            // Cut between two partitions it is whole: the file is only ever replaced as one.
            assert!(decode(&bytes[..length]).is_err() || [8, 8 + 2 + 6 + 4 + 4 + sample()[0].1.encode().len()].contains(&length), "{length}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), b"kfpend\0\x02").unwrap();
        assert_eq!(read(dir.path()).unwrap_err().code(), Code::JournalCorrupt);
    }
}
