use super::*;
use crate::domain::batch::{BatchSpec, ProducerStamp, records_leaf};
use crate::domain::record::Codec;
use crate::evidence::bundle::{Extra, TreeRoot};
use crate::evidence::frozen::frozen;
use crate::evidence::merkle::PathFinder;
use crate::machine::fold::Migration;
use crate::machine::sample::{entries, journey};
use proptest::prelude::*;

fn batch(base_offset: i64, count: i32, codec: Codec) -> Batch {
    let mut plain = Vec::new();
    for delta in 0..count {
        let value = format!("value {}", base_offset + i64::from(delta));
        record::encode(&mut plain, i64::from(delta), delta, Some(b"key"), (delta != 1).then_some(value.as_bytes()), &[("h", None)]);
    }
    let spec = BatchSpec {
        base_offset,
        leader_epoch: 4,
        codec,
        base_timestamp: 1_000,
        max_timestamp: 1_000 + i64::from(count) - 1,
        record_count: count,
    };
    Batch::encode(&spec, &record::compress(codec, &plain).unwrap())
}

/// As it lies on the target: under a producer of ours.
fn appended(batch: &Batch) -> Batch {
    let stamp = ProducerStamp { producer_id: 17, producer_epoch: 2, base_sequence: 40 };
    let mut bytes = [&batch.header_for(stamp)[..], &batch.payload()[..]].concat();
    bytes[..8].copy_from_slice(&batch.base_offset.to_be_bytes());
    batch::split(bytes.into()).unwrap().remove(0)
}

/// A partition's log from offset 10 on: batches as they were, merged ones, control records. Only where the digest does not depend on it are batches
/// compressed: the codecs' output may change with their versions.
fn log() -> Vec<(Batch, Leaf)> {
    let kinds = [LeafKind::Batch, LeafKind::Records, LeafKind::Control, LeafKind::Batch, LeafKind::Records, LeafKind::Batch, LeafKind::Control];
    let mut next = 10;
    let mut log = Vec::new();
    for (kind, codec) in kinds.into_iter().zip([Codec::None, Codec::Lz4, Codec::None, Codec::None, Codec::Zstd, Codec::None, Codec::None]) {
        let batch = match kind {
            LeafKind::Control => Batch::marker(next, 5, false),
            LeafKind::Batch | LeafKind::Records => batch(next, 5, codec),
        };
        let digest = if kind == LeafKind::Records { records_leaf(std::slice::from_ref(&batch)).unwrap() } else { batch.leaf() };
        let leaf = Leaf { base_offset: next, next_offset: batch.next_offset(), kind, digest };
        next = batch.next_offset();
        log.push((appended(&batch), leaf));
    }
    log
}

fn proof(offset: i64) -> RecordProof {
    let (mut finder, mut found) = (PathFinder::default(), None);
    for (number, (batch, leaf)) in log().into_iter().enumerate() {
        let covers = (leaf.base_offset..leaf.next_offset).contains(&offset);
        finder.push(&leaf.digest, covers);
        found = if covers { Some((number as u64, batch, leaf)) } else { found };
    }
    let (leaf_number, batch, leaf) = found.unwrap();
    let (leaves, root, path) = finder.finish();
    let migration_id = "m-0123456789".to_owned();
    let mut proof = RecordProof { version: PROOF_VERSION, migration_id, topic: "orders".into(), partition: 1, offset, leaf, leaf_number, leaves, root, path, batch: None };
    if proof.leaf.kind != LeafKind::Control {
        proof.enclose(&batch);
    }
    proof
}

/// A bundle with this log's roots; its signature and the rest are `verify`'s.
fn bundle() -> Bundle {
    let entries = entries(journey());
    let extra = Extra { created_at: jiff::Timestamp::UNIX_EPOCH, leaves: None, not_covered: vec![] };
    let mut bundle = Bundle::build(&entries, &Migration::fold(&entries).unwrap(), extra);
    let RecordProof { leaves, root, .. } = proof(10);
    bundle.roots[1].source = TreeRoot { leaves, root };
    bundle
}

fn refused(change: impl FnOnce(&mut RecordProof)) -> String {
    let mut altered = proof(12);
    change(&mut altered);
    assert!(altered != proof(12), "the change changes nothing");
    let error = RecordProof::read(&altered.to_bytes()).and_then(|proof| proof.verify(&bundle())).unwrap_err();
    assert_eq!(error.code(), Code::ProofInvalid);
    error.seen().to_owned()
}

#[test]
fn every_offset_is_proved_from_its_batch_to_the_root() {
    for (_, leaf) in log() {
        for offset in leaf.base_offset..leaf.next_offset {
            let shown = RecordProof::read(&proof(offset).to_bytes()).unwrap().verify(&bundle()).unwrap();
            if leaf.kind == LeafKind::Control {
                assert_eq!(shown, Shown::Control);
                continue;
            }
            let delta = offset - leaf.base_offset;
            let value = format!("value {offset}");
            let value = (delta != 1).then_some(BytesDigest::from(value.as_bytes()));
            assert_eq!(shown, Shown::Record(RecordDigests { timestamp: 1_000 + delta, key: Some(BytesDigest::from(&b"key"[..])), value }));
            let without = RecordProof { batch: None, ..proof(offset) };
            assert_eq!(without.verify(&bundle()).unwrap(), Shown::LeafOnly);
        }
    }
}

#[test]
fn the_front_that_the_source_had_let_go_of_is_left_out() {
    let whole = appended(&batch(10, 5, Codec::Lz4));
    let digest = records_leaf_from(std::slice::from_ref(&whole), 12).unwrap();
    let leaf = Leaf { base_offset: 12, next_offset: 15, kind: LeafKind::Records, digest };
    assert!(digests_to(&whole, &leaf).unwrap());
    assert!(!digests_to(&whole, &Leaf { base_offset: 11, ..leaf.clone() }).unwrap());
    assert!(!digests_to(&appended(&batch(10, 6, Codec::Lz4)), &leaf).unwrap());
}

#[test]
fn each_failure_is_named() {
    assert_eq!(refused(|p| p.migration_id = "m-other".into()), "the proof is of migration m-other, the bundle of m-0123456789");
    assert_eq!(refused(|p| p.topic = "other".into()), "the bundle has no roots of other-1");
    assert!(refused(|p| p.partition = 0).contains("but the bundle's of orders-0 has 11 leaves"), "another partition's roots");
    assert!(refused(|p| p.leaves = 8).starts_with("the proof is for a tree of 8 leaves"));
    assert!(refused(|p| p.root = Digest::ZERO).starts_with("the proof is for a tree of 7 leaves with root 000"));
    assert_eq!(refused(|p| p.leaf_number = 1), "the path does not lead from leaf 1 to the root");
    assert_eq!(refused(|p| p.path[0] = Digest::ZERO), "the path does not lead from leaf 0 to the root");
    assert_eq!(refused(|p| p.leaf.digest = Digest::ZERO), "the path does not lead from leaf 0 to the root");
    assert_eq!(refused(|p| p.offset = 15), "offset 15 is not among those of the leaf, 10..15");
    assert_eq!(refused(|p| p.offset = 9), "offset 9 lies before the source's log start, 10");
    assert_eq!(refused(|p| (p.leaf.next_offset, p.offset) = (16, 15)), "the batch of 10..15 does not digest to the leaf");
    assert_eq!(refused(|p| p.leaf.kind = LeafKind::Records), "the batch of 10..15 does not digest to the leaf");
    assert_eq!(refused(|p| p.leaf.kind = LeafKind::Control), "a control record's proof has no batch: its leaf is its place");
    assert_eq!(refused(|p| (p.leaf.kind, p.batch) = (LeafKind::Control, None)), "the leaf is not that of a control record at offset 10");
    assert_eq!(refused(|p| p.enclose(&batch(10, 4, Codec::None))), "the batch of 10..14 does not digest to the leaf");
    assert_eq!(refused(|p| p.batch = Some(STANDARD.encode(appended(&batch(10, 5, Codec::None)).bytes()))), "the batch holds more than what its leaf digests");
    assert_eq!(refused(|p| p.batch = Some(String::new())), "the proof holds 0 batches, not one");
    assert!(refused(|p| p.batch = Some("?".into())).starts_with("the batch is not base64"));
    assert_eq!(refused(|p| p.version = 2), "the proof has version 2; this kferry reads version 1");
    assert!(RecordProof::read(b"{\"version\":1}").unwrap_err().seen().starts_with("it is not a proof"));
}

proptest! {
    /// Whatever bit of the file is changed, it is refused, or it is the sound proof of another offset of the same batch.
    #[test]
    fn a_changed_bit_anywhere_fails(offset in 10i64..35, place in any::<usize>()) {
        let sound = proof(offset);
        let mut bytes = sound.to_bytes();
        let bit = place % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = RecordProof::read(&bytes) && read.verify(&bundle()).is_ok() {
            prop_assert!(read.offset != offset, "bit {}: {}", bit, String::from_utf8_lossy(&bytes));
            prop_assert_eq!(RecordProof { offset, ..read }, sound);
        }
    }
}

#[test]
fn the_proof_is_frozen() {
    let bytes = frozen("evidence/proof.json", &proof(12).to_bytes());
    assert!(matches!(RecordProof::read(&bytes).unwrap().verify(&bundle()).unwrap(), Shown::Record(_)));
}
