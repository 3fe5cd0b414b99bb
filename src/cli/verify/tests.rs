use super::*;
use crate::evidence::frozen::fixture;

fn args(journal: Option<PathBuf>, output: Output) -> Args {
    Args { bundle: fixture("evidence/bundle.dsse.json"), public_key: fixture("evidence/evidence.pub"), journal, proof: None, output }
}

#[test]
fn the_summary_says_what_was_verified() {
    let bundle = verified(&args(None, Output::Text)).unwrap();
    insta::assert_snapshot!(summary(&bundle, Some(Path::new("journal.jsonl"))), @r"
    verified     signature of key fe812c12f3ab4ce6ac5db69ac352f906cb1b11ef43fb33e252ef7ff552263889
                 28 journal entries, chained without a gap, ending in f0d3e439f0aee95544ec83223da7591c546057d38567d689da43ade3c15c0e13
                 plan 9ff8ee8cfb816d65a875259cd05374aeb6fb9a97f7b18bbf9345b55c1b1f2125, and every part is what the journal gives
                 journal.jsonl begins with the bundle's journal
    migration    m-0123456789
    source       source-cluster (ZooKeeper, version 3.9, brokers: 1)
    target       target-cluster (KRaft, version 3.9, brokers: 1)
    state        finalized since 2026-01-02T03:04:32.000Z
    copied       topics: 1, partitions: 2, records: 22, bytes: 2000
    roots        equal on both sides, partitions: 2, leaves: 22
    groups       carried over: 1, left alone: 1
    cutover      attempt 1, committed at 2026-01-02T04:00:05.000Z, producers frozen (manual) for 5000 ms
    check        topic_parity PASSED: 2 of 2 agree
    check        counts_and_offsets PASSED: 2 of 2 agree
    check        spot_check_records PASSED: 2 of 2 agree
    check        sentinel_presence PASSED: 2 of 2 agree
    check        consumer_group_reconciliation PASSED: 2 of 2 agree
    outcome      PASSED
    not covered  3
                 - topic orders: setting message.format.version=3.0-IV1 is unknown to the target and left out
                 - group share: offsets not carried over: a share group
                 - tiered segments
    ");
}

#[test]
fn the_summary_for_machines_has_the_same_numbers() {
    let bundle = verified(&args(None, Output::Json)).unwrap();
    let json = serde_json::json!(output(&bundle, None));
    assert_eq!((&json["verified"], &json["outcome"], &json["state"]), (&true.into(), &"PASSED".into(), &"finalized".into()));
    assert_eq!((json["topics"].as_u64(), json["partitions"].as_u64(), json["records"].as_u64()), (Some(1), Some(2), Some(22)));
    assert_eq!(json["groups"].to_string(), r#"{"carried_over":1,"left_alone":1}"#);
    assert_eq!(json["not_covered"].as_array().unwrap().len(), 3);
}

#[test]
fn it_ends_with_done_or_names_what_failed() {
    let journey = Some(fixture("journal/journey.jsonl"));
    assert_eq!(run(args(journey, Output::Text)).unwrap(), Exit::Done);
    let other = run(args(Some(fixture("journal/every-fact.jsonl")), Output::Json)).unwrap_err();
    assert_eq!(other.code().exit(), Exit::Check);
    assert!(other.seen().ends_with("line 6 of the journal given differs from the bundle's"), "{other}");
    let wrong_key = Args { public_key: fixture("license/license.key"), ..args(None, Output::Text) };
    assert_eq!(run(wrong_key).unwrap_err().code(), Code::KeyInvalid);
    let missing = Args { bundle: fixture("evidence/none"), ..args(None, Output::Text) };
    assert_eq!(run(missing).unwrap_err().code(), Code::UsageInvalid);
}

#[test]
fn a_journal_that_does_not_hold_fails_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let text = std::fs::read_to_string(fixture("journal/journey.jsonl")).unwrap();
    std::fs::write(&path, text.replacen("\"take\":1", "\"take\":2", 1)).unwrap();
    let error = run(args(Some(path), Output::Text)).unwrap_err();
    assert_eq!(error.code(), Code::BundleInvalid);
    assert!(error.seen().contains("journal line 10: its hash is"), "{error}");
}

#[test]
fn a_bundle_that_is_altered_is_named_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("altered.dsse.json");
    let mut bytes = std::fs::read(fixture("evidence/bundle.dsse.json")).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = run(Args { bundle: path.clone(), ..args(None, Output::Json) }).unwrap_err();
    assert_eq!(error.code(), Code::BundleInvalid);
    assert!(error.seen().starts_with(&path.display().to_string()) && error.seen().contains("does not hold"), "{error}");
}

#[test]
fn a_proof_says_what_it_shows_and_nothing_of_the_content() {
    let proof = RecordProof::read(&std::fs::read(fixture("evidence/proof.json")).unwrap()).unwrap();
    insta::assert_snapshot!(proof_lines(&proof, &proof.check().unwrap(), proof.offset), @r"
    proof        orders-1, offset 12
                 leaf 0 of 7, offsets 10..15, b81be109c91a4ac31506692806f6b7ea2f17f73b84a5eff351c1d2d03cc0b74c
                 3 levels up to root beee2439b9a79f61ef8530290e5ba1d549f8266b5e3c058f59e28e9f69df5b06
    record       in the batch that was compared, timestamp 1002 ms
                 key of 3 bytes, SHA-256 2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683
                 value of 8 bytes, SHA-256 3817baa713a5c0ce290faef96eb8523dbbda99847f9ef4277854c0405933d84a
    ");
    let bare = RecordProof { batch: None, ..proof.clone() };
    assert!(proof_lines(&bare, &bare.check().unwrap(), bare.offset).ends_with("record       left out: that the leaf is this offset's is the proof's word\n"));
    let json = proof_json(&proof, &proof.check().unwrap(), proof.offset);
    assert_eq!((&json["shown"], &json["record"]["key"]["bytes"]), (&"record".into(), &3.into()));
}

#[test]
fn a_proof_that_is_of_another_tree_fails_the_command() {
    let proof = Some(fixture("evidence/proof.json"));
    let error = run(Args { proof, ..args(None, Output::Json) }).unwrap_err();
    assert_eq!(error.code().exit(), Exit::Check);
    assert!(error.seen().contains("proof.json: the proof is for a tree of 7 leaves"), "{error}");
    let missing = run(Args { proof: Some(fixture("evidence/none")), ..args(None, Output::Text) }).unwrap_err();
    assert_eq!(missing.code(), Code::UsageInvalid);
}
