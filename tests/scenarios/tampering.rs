//! What was altered does not verify, and `verify` says what it is.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use kferry::evidence::{bundle, key};

use crate::finished::finished;
use crate::journal;
use crate::migration::Migration;

/// Signs another payload with the migration's own key, as its operator could.
fn resigned(migration: &Migration, name: &str, alter: impl FnOnce(&mut Value)) -> PathBuf {
    let envelope: Value = serde_json::from_slice(&std::fs::read(migration.bundle()).unwrap()).unwrap();
    let mut payload: Value = serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap();
    alter(&mut payload);
    let key = key::read_signing_key(&migration.dir().join("kferry.key")).unwrap();
    let path = migration.dir().join(name);
    std::fs::write(&path, bundle::sign(&serde_json::to_vec(&payload).unwrap(), &key)).unwrap();
    path
}

/// `verify` refuses it with exit code 4 and a message that holds all of these.
#[track_caller]
fn refused(migration: &Migration, file: &Path, more: &[&str], said: &[&str]) {
    let outcome = migration.verify(file, &migration.public_key(), more).expect_code(4);
    assert!(outcome.stderr.contains("KF-BUNDLE-INVALID"), "{outcome}");
    for word in said {
        assert!(outcome.stderr.contains(word), "{word:?} is not said: {outcome}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_bundle() {
    let migration = finished();
    let sound = std::fs::read(migration.bundle()).unwrap();
    let path = migration.dir().join("flipped.dsse.json");
    // In the first bytes, in the payload at several depths, and in the signature at the end.
    let places = [3, sound.len() / 7, sound.len() / 3, sound.len() / 2, sound.len() * 4 / 5, sound.len() - 20];
    for place in places {
        let mut flipped = sound.clone();
        flipped[place] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        refused(migration, &path, &[], &[]);
    }
    let mut flipped = sound.clone();
    let digit = sound.len() / 2;
    flipped[digit] = if flipped[digit] == b'A' { b'B' } else { b'A' };
    std::fs::write(&path, &flipped).unwrap();
    refused(migration, &path, &[], &["signature", "was altered"]);
    let outcome = migration.verify(&path, &migration.public_key(), &["--output", "json"]).expect_code(4);
    // One document, as of every command that fails.
    crate::documents::expect_schema("error", &outcome.json());
    assert_eq!(outcome.json()["error"]["exit_code"], 4, "{outcome}");
    std::fs::write(&path, &sound).unwrap();
    migration.verify(&path, &migration.public_key(), &[]).ok();
}

#[test]
fn a_removed_journal_line_in_a_bundle_that_was_signed_again() {
    let migration = finished();
    let mut lines = 0;
    let unchanged = resigned(migration, "unchanged.dsse.json", |payload| lines = payload["journal"].as_array().unwrap().len());
    migration.verify(&unchanged, &migration.public_key(), &[]).ok();
    for missing in [1, 2, lines / 2, lines - 1] {
        let path = resigned(migration, "removed.dsse.json", |payload| {
            payload["journal"].as_array_mut().unwrap().remove(missing - 1);
        });
        refused(migration, &path, &[], &["line", &missing.to_string()]);
    }
    let path = resigned(migration, "shortened.dsse.json", |payload| {
        payload["journal"].as_array_mut().unwrap().pop();
    });
    refused(migration, &path, &[], &["is missing"]);
}

#[test]
fn a_part_that_is_not_what_the_journal_gives() {
    let migration = finished();
    type Alteration = (&'static str, fn(&mut Value));
    let alterations: [Alteration; 5] = [
        ("statistics", |payload| payload["statistics"]["total"]["records"] = 1.into()),
        ("comparison", |payload| payload["comparison"]["topics"][0]["records"]["predicted"] = 1.into()),
        ("roots", |payload| drop(payload["roots"].as_array_mut().unwrap().pop())),
        ("cutover", |payload| payload["cutover"]["freeze_ms"] = 1.into()),
        ("validation", |payload| payload["validation"]["checks"][0]["reason"] = "because".into()),
    ];
    for (part, alter) in alterations {
        let path = resigned(migration, "altered.dsse.json", alter);
        refused(migration, &path, &[], &[part]);
    }
}

#[test]
fn a_journal_file_that_lost_a_line() {
    let migration = finished();
    let lines = journal::lines(&migration.journal_dir());
    let path = migration.dir().join("short.jsonl");
    let argument = path.display().to_string();
    for missing in [2, lines.len() / 2] {
        let mut left = lines.clone();
        left.remove(missing - 1);
        std::fs::write(&path, left.join("\n") + "\n").unwrap();
        refused(migration, &migration.bundle(), &["--journal", &argument], &["short.jsonl", &missing.to_string()]);
    }
    // Whole, but of another length: the bundle's own lines have to be there.
    std::fs::write(&path, lines[..3].join("\n") + "\n").unwrap();
    refused(migration, &migration.bundle(), &["--journal", &argument], &["has 3 lines"]);
    // A journal that lost a line is not written to either.
    let dir = migration.dir().join("damaged");
    std::fs::create_dir_all(&dir).unwrap();
    let mut left = lines.clone();
    left.remove(4);
    std::fs::write(dir.join("journal.jsonl"), left.join("\n") + "\n").unwrap();
    let outcome = migration.kferry().run(&["finalize", "--config", "kferry.yaml", "--journal-dir", "damaged"]).expect_code(1);
    assert!(outcome.stderr.contains("KF-JOURNAL-CORRUPT") && outcome.stderr.contains("line 5"), "{outcome}");
}

#[test]
fn another_key() {
    let migration = finished();
    let other = migration.dir().join("other.key");
    migration.kferry().run(&["keygen", "--out", &other.display().to_string()]).ok();
    let outcome = migration.verify(&migration.bundle(), &migration.dir().join("other.key.pub"), &[]).expect_code(4);
    assert!(outcome.stderr.contains("key mismatch"), "{outcome}");
}
