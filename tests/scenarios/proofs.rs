//! One record is proved without the rest, offline, and nothing that was altered passes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::finished::finished;
use crate::lab::{Agent, Load, Topic, Weave};
use crate::migration::{Lab, Migration};

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(300);

/// Asks for the proof of one offset, in a file of its own.
fn prove(migration: &Migration, topic: &str, partition: i32, offset: i64, more: &[&str]) -> (crate::lab::Outcome, PathBuf) {
    let path = migration.dir().join(format!("{topic}-{partition}-{offset}{}.proof.json", more.concat()));
    let (partition, offset, out) = (partition.to_string(), offset.to_string(), path.display().to_string());
    let words = ["prove", topic, &partition, &offset, "--config", "kferry.yaml", "--journal-dir", "journal", "--out", &out];
    // Whoever asks for a proof needs no licence.
    let outcome = migration.another_kferry().env("KFERRY_NO_TRIAL", 1).run(&[&words, more].concat());
    (outcome, path)
}

#[track_caller]
fn verified(migration: &Migration, proof: &Path) -> Value {
    let proof = proof.display().to_string();
    migration.verify(&migration.bundle(), &migration.public_key(), &["--proof", &proof, "--output", "json"]).ok().json()["proof"].take()
}

#[track_caller]
fn refused(migration: &Migration, bundle: &Path, proof: &Path, said: &str) {
    let outcome = migration.verify(bundle, &migration.public_key(), &["--proof", &proof.display().to_string()]).expect_code(4);
    assert!(outcome.stderr.contains("KF-PROOF-INVALID") && outcome.stderr.contains(said), "{said:?} is not said: {outcome}");
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Merged tiny batches, plain batches and aborted transactions, killed in the middle and taken up again, twice.
#[test]
fn any_record_is_proved_offline_after_a_migration_that_was_killed() {
    let (lab, agent, id) = (Lab::shared(), Agent::shared(), "proved");
    let source = lab.source.bootstrap();
    let names = ["proved-tiny", "proved-plain", "proved-woven", "proved-known"];
    agent.create_topics(&source, &names.map(|name| Topic::new(name, if name == names[3] { 1 } else { 2 })));
    agent.produce(&source, names[0], &Load::records(6_000).values(20, 60).one_record_batches());
    agent.produce(&source, names[1], &Load::records(50_000).values(200, 900).codec("zstd").random().nulls(0.1, 0.1).odd_headers());
    agent.weave(&source, &names[2..3], &Weave::new("proved-weave", 150), &Load::records(0).values(50, 400).seed(7));
    agent.delete_records(&source, names[1], 1, 700);
    agent.produce(&source, names[3], &Load::records(50).codec("lz4"));
    let migration = lab.setup(id).set("seed.segment_max_bytes", "1MiB").set("seed.rate_limit", "2MiB/s").begin();
    let deadline = Instant::now() + LONG;
    for checkpoints in [1, 2] {
        let mut running = migration.spawn("execute");
        migration.wait_for_fact(&mut running, "partitions_taken", SOON);
        let seen = || migration.facts().iter().filter(|fact| fact["fact"] == "copy_checkpointed").count();
        while seen() < checkpoints && running.is_running() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
        running.kill();
    }
    assert!(migration.fact("drain_ready_reached").is_none(), "it was to be killed in the middle");
    migration.execute();
    let (outcome, early) = prove(&migration, names[0], 0, 1, &[]);
    outcome.ok();
    agent.weave(&source, &[names[0], names[2]], &Weave::new("proved-late", 40), &Load::records(0).values(20, 400).seed(8));
    migration.cutover();
    migration.conclude();
    migration.expect_same(lab, &names);
    let said = migration.expect_verified();
    assert!(said["leaves"].as_str().is_some_and(|place| place.ends_with("/proofs/")), "{said:#}");

    let pending = std::fs::metadata(migration.journal_dir().join("leaves.pending")).unwrap().len();
    assert_eq!(pending, 8, "leaves are left beside the journal that the store should have");
    let ends = agent.offsets(&source);
    let (mut shown, mut kinds) = (std::collections::BTreeMap::<String, u32>::new(), std::collections::BTreeMap::<String, u32>::new());
    for (topic, partitions) in names.iter().map(|name| (*name, if *name == names[3] { 1 } else { 2 })) {
        for partition in 0..partitions {
            let span = &ends[&(topic.to_owned(), partition)];
            let length = span.log_end - span.log_start;
            // The first, the last but the sentinel, the sentinel, and some in between.
            let mut offsets = vec![span.log_start, span.log_end - 2, span.log_end - 1];
            offsets.extend((1..6).map(|n| span.log_start + length * n / 6 + n % 3));
            offsets.sort_unstable();
            offsets.dedup();
            for offset in offsets {
                let (outcome, path) = prove(&migration, topic, partition, offset, &[]);
                outcome.ok();
                let proof = verified(&migration, &path);
                assert_eq!((proof["topic"].as_str(), proof["offset"].as_i64()), (Some(topic), Some(offset)));
                *shown.entry(proof["shown"].as_str().unwrap().to_owned()).or_default() += 1;
                *kinds.entry(proof["leaf"]["kind"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    println!("{shown:?} {kinds:?}");
    assert!(shown["record"] > 30 && shown["control"] >= 7 && kinds["records"] > 5 && kinds["batch"] > 5, "{shown:?} {kinds:?}");

    // What is shown is the record's own.
    let known = agent.read(&source, names[3], false).into_iter().nth(17).expect("a record");
    let (outcome, path) = prove(&migration, names[3], 0, known.offset, &["--without-records"]);
    outcome.ok();
    std::fs::remove_file(path).unwrap();
    let (outcome, path) = prove(&migration, names[3], 0, known.offset, &[]);
    if outcome.code != Some(0) {
        assert!(outcome.stderr.contains("nothing is overwritten"), "{outcome}");
    }
    let record = verified(&migration, &path)["record"].take();
    for (part, bytes) in [("key", &known.key), ("value", &known.value)] {
        let expected = bytes.as_ref().map(|bytes| sha256(bytes));
        assert_eq!(record[part]["sha256"].as_str(), expected.as_deref(), "{part}");
    }
    refused(finished(), &finished().bundle(), &path, "the proof is of migration proved");
    refused(&migration, &migration.bundle(), &early, "the proof is for a tree of");
    let (outcome, path) = prove(&migration, names[3], 0, 1_000_000, &[]);
    assert!(outcome.expect_code(1).stderr.contains("KF-PROOF-UNAVAILABLE") && !path.exists());
}

#[test]
fn what_is_altered_or_of_another_bundle_is_refused() {
    let migration = finished();
    let bundle = migration.bundle();
    let (outcome, path) = prove(migration, "small-orders", 0, 4_321, &[]);
    let said = outcome.ok().stdout;
    assert!(said.contains("small-orders-0, offset 4321") && said.contains("SHA-256"), "{said}");
    assert_eq!(verified(migration, &path)["shown"], "record");
    let text = std::fs::read_to_string(&path).unwrap();
    let altered = migration.dir().join("altered.proof.json");
    let alter = |change: &dyn Fn(&mut Value)| {
        let mut proof: Value = serde_json::from_str(&text).unwrap();
        change(&mut proof);
        std::fs::write(&altered, proof.to_string()).unwrap();
    };
    type Alteration = (&'static str, fn(&mut Value));
    let alterations: [Alteration; 5] = [
        ("is not among those of the leaf", |proof| proof["offset"] = 19_000.into()),
        ("the path does not lead", |proof| proof["path"][1] = proof["path"][0].clone()),
        ("the path does not lead", |proof| proof["leaf"]["digest"] = proof["path"][0].clone()),
        ("the proof is for a tree of", |proof| proof["partition"] = 1.into()),
        ("the batch cannot be read", |proof| {
            let batch = proof["batch"].as_str().unwrap();
            let middle = batch.len() / 2;
            let other = if &batch[middle..=middle] == "A" { "B" } else { "A" };
            proof["batch"] = format!("{}{other}{}", &batch[..middle], &batch[middle + 1..]).into();
        }),
    ];
    for (said, change) in alterations {
        alter(&change);
        refused(migration, &bundle, &altered, said);
    }
    // Another offset's batch, sound in itself.
    let (outcome, other) = prove(migration, "small-orders", 0, 9, &[]);
    outcome.ok();
    let other: Value = serde_json::from_slice(&std::fs::read(other).unwrap()).unwrap();
    let batch = other["batch"].clone();
    alter(&|proof| proof["batch"] = batch.clone());
    refused(migration, &bundle, &altered, "does not digest to the leaf");

    // Without the batch no record is in the file, and less is shown.
    let (outcome, without) = prove(migration, "small-orders", 0, 4_321, &["--without-records"]);
    outcome.ok();
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&without).unwrap()).unwrap()["batch"], Value::Null);
    assert_eq!(verified(migration, &without)["shown"], "leaf_only");

    // Nothing is overwritten, and a bundle that was altered is refused as ever.
    let (outcome, _) = prove(migration, "small-orders", 0, 4_321, &[]);
    outcome.expect_code(2);
    let mut bytes = std::fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 2;
    let damaged = migration.dir().join("damaged.dsse.json");
    std::fs::write(&damaged, bytes).unwrap();
    let outcome = migration.verify(&damaged, &migration.public_key(), &["--proof", &path.display().to_string()]).expect_code(4);
    assert!(outcome.stderr.contains("KF-BUNDLE-INVALID"), "{outcome}");

    // Leaves that are gone or damaged are named.
    let leaves = migration.leaves().join("small-single/0");
    let file = std::fs::read_dir(&leaves).unwrap().flatten().flat_map(|take| std::fs::read_dir(take.path()).unwrap().flatten()).next().expect("a file").path();
    let sound = std::fs::read(&file).unwrap();
    let mut flipped = sound.clone();
    flipped[60] ^= 1;
    std::fs::write(&file, flipped).unwrap();
    let (outcome, _) = prove(migration, "small-single", 0, 3, &[]);
    assert!(outcome.expect_code(1).stderr.contains("KF-STORE-CORRUPT"));
    std::fs::remove_file(&file).unwrap();
    let (outcome, _) = prove(migration, "small-single", 0, 3, &[]);
    assert!(outcome.expect_code(1).stderr.contains("KF-PROOF-UNAVAILABLE"));
    std::fs::write(&file, sound).unwrap();
    let (outcome, _) = prove(migration, "small-single", 0, 3, &[]);
    outcome.ok();
}
