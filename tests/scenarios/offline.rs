//! The offline verifier: the build without a Kafka or AWS crate verifies a bundle, and says what it cannot do.

use std::path::PathBuf;
use std::process::Command;

use crate::finished::finished;
use crate::migration::full;

#[test]
#[ignore = "slow: tests/full runs it"]
fn a_build_without_features_verifies_a_bundle() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    let migration = finished();
    let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/target").into())).join("offline");
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--no-default-features", "--bin", "kferry", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success());
    let offline = migration.another_kferry().with_binary(&target.join("debug/kferry"));
    let (bundle, key) = (migration.bundle().display().to_string(), migration.public_key().display().to_string());
    let said = offline.run(&["verify", &bundle, "--public-key", &key, "--output", "json"]).ok().json();
    assert_eq!(said, migration.expect_verified());
    let proof = migration.dir().join("offline.proof.json").display().to_string();
    let words = ["prove", "small-orders", "1", "77", "--config", "kferry.yaml", "--journal-dir", "journal", "--out", &proof];
    migration.kferry().run(&words).ok();
    let said = offline.run(&["verify", &bundle, "--public-key", &key, "--proof", &proof, "--output", "json"]).ok().json();
    assert_eq!(said["proof"]["shown"], "record");
    let altered = migration.dir().join("altered.dsse.json");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 2;
    std::fs::write(&altered, bytes).unwrap();
    offline.run(&["verify", &altered.display().to_string(), "--public-key", &key]).expect_code(4);
    let page = offline.run(&["explain", "KF-BUNDLE-INVALID"]).ok().stdout;
    assert!(page.starts_with("# KF-BUNDLE-INVALID: "), "{page}");
    let refused = offline.run(&["execute", "--config", "kferry.yaml", "--journal-dir", "journal"]).expect_code(2);
    assert!(refused.stderr.contains("offline verifier"), "{refused}");
}
