use super::*;
use crate::domain::digest::Digest;
use crate::driver::copier::leaves::put;
use crate::machine::sample::checkpoint;
use crate::store::directory::DirectoryStore;

/// A partition of 11 leaves, one for each offset of `10..21`, in files of two takes.
async fn stored(root: &Path) -> (DirectoryStore, PartitionCheckpoint) {
    let store = DirectoryStore::new(root.to_owned());
    let mut checkpoint = checkpoint(1, 21);
    (checkpoint.source_tree, checkpoint.target_tree) = Default::default();
    let leaf = |n: u64, salt: u8| Leaf { base_offset: 10 + n as i64, next_offset: 11 + n as i64, kind: LeafKind::Batch, digest: Digest::of([n as u8, salt]) };
    for (take, first, last) in [(1, 0, 4), (1, 4, 8), (2, 6, 11)] {
        // Beyond the checkpoint that the second take went on from, the first had leaves of its own.
        let leaves = (first..last).map(|n| leaf(n, if n >= 6 { take as u8 } else { 0 })).collect();
        put(&store, "m", &checkpoint.partition, &LeafFile { take, first, leaves }, &|_| {}).await.unwrap();
    }
    (0..11).for_each(|n| checkpoint.source_tree.push(*leaf(n, if n >= 6 { 2 } else { 0 }).digest.bytes()));
    checkpoint.target_tree = checkpoint.source_tree.clone();
    (store, checkpoint)
}

#[tokio::test]
async fn a_leaf_is_found_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let (store, checkpoint) = stored(dir.path()).await;
    for offset in 10..21 {
        let proof = find(&store, "m", &checkpoint, None, offset).await.unwrap();
        assert_eq!((proof.leaf_number, proof.leaf.base_offset, proof.leaves), (offset as u64 - 10, offset, 11));
        assert_eq!(proof.check().unwrap(), Shown::LeafOnly);
    }
    assert_eq!(find(&store, "m", &checkpoint, None, 21).await.unwrap_err().code(), Code::ProofUnavailable);
}

#[tokio::test]
async fn leaves_that_are_not_the_journals_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut checkpoint) = stored(dir.path()).await;
    let path = dir.path().join("m/proofs/orders/1/000001/00000000000000000004.leaves");
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[60] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let error = find(&store, "m", &checkpoint, None, 12).await.unwrap_err();
    assert!(error.code() == Code::StoreCorrupt && error.seen().ends_with("its checksum does not hold"), "{error}");
    // Whole, but with a leaf that was never compared.
    let mut other = LeafFile::decode(&sound).unwrap();
    other.leaves[0].digest = Digest::ZERO;
    std::fs::write(&path, other.encode()).unwrap();
    let error = find(&store, "m", &checkpoint, None, 12).await.unwrap_err();
    assert!(error.code() == Code::StoreCorrupt && error.seen().contains("which is not the journal's"), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = find(&store, "m", &checkpoint, None, 12).await.unwrap_err();
    assert!(error.code() == Code::ProofUnavailable && error.seen().ends_with("/m/proofs/orders/1/: leaves 4..6 are missing"), "{error}");
    std::fs::write(&path, sound).unwrap();
    checkpoint.source_tree.push([0; 32]);
    assert_eq!(find(&store, "m", &checkpoint, None, 12).await.unwrap_err().code(), Code::ProofUnavailable);
}
