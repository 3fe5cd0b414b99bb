//! Frozen vectors: files of earlier versions that must stay readable, byte for byte as they were written.
//!
//! They are written where they are missing and `KFERRY_WRITE_VECTORS` is set; a file that exists is never replaced.

use super::bundle::{Bundle, Extra, sign};
use super::envelope;
use super::key;
use super::verify::{matches_journal, verify};
use crate::journal::{Entry, Journal};
use crate::license::{Claims, FEATURE, issue};
use crate::machine::fold::Migration;
use crate::machine::sample;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePublicKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use std::path::PathBuf;
use std::process::Command;

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The bytes of a frozen file, which `made` must still be.
pub fn frozen(name: &str, made: &[u8]) -> Vec<u8> {
    let path = fixture(name);
    if !path.exists() && std::env::var_os("KFERRY_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(bytes == made, "{name} is not what this version writes");
    bytes
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn pem() -> String {
    key().verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

fn lines(entries: &[Entry]) -> Vec<u8> {
    entries.iter().map(|e| format!("{}\n", e.line())).collect::<String>().into_bytes()
}

#[test]
fn journals_are_frozen() {
    for (name, facts) in [("journal/every-fact.jsonl", sample::facts()), ("journal/journey.jsonl", sample::journey())] {
        let made = sample::entries(facts);
        frozen(name, &lines(&made));
        assert!(Journal::read_file(&fixture(name)).unwrap() == made, "{name}");
    }
}

#[test]
fn the_bundle_is_frozen() {
    let entries = Journal::read_file(&fixture("journal/journey.jsonl")).unwrap();
    let extra = Extra { created_at: "2026-01-02T06:00:00Z".parse().unwrap(), leaves: None, not_covered: vec![] };
    let bundle = Bundle::build(&entries, &Migration::fold(&entries).unwrap(), extra);
    // What follows kferry's version would thaw with every release.
    let bundle = Bundle { kferry_version: "0.1.0".into(), ..bundle };
    let envelope = frozen("evidence/bundle.dsse.json", &sign(&bundle.to_bytes(), &key()));
    frozen("evidence/evidence.pub", pem().as_bytes());
    let public_key = key::read_public_key(&fixture("evidence/evidence.pub")).unwrap();
    let verified = verify(&envelope, &public_key).unwrap();
    assert!(*verified == bundle);
    matches_journal(&verified, &entries).unwrap();
}

#[test]
fn the_licence_is_frozen() {
    let claims = Claims {
        id: "L-0001".into(),
        licensee: "A Company".into(),
        features: vec![FEATURE.into()],
        issued_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        expires_at: "2027-01-01T00:00:00Z".parse().unwrap(),
    };
    let bytes = frozen("license/license.key", &issue(&claims, &key()));
    frozen("license/vendor.pub", pem().as_bytes());
    let payload = envelope::open(&bytes, "application/vnd.kferry.license+json", &key().verifying_key()).unwrap();
    assert_eq!(serde_json::from_slice::<Claims>(&payload).unwrap(), claims);
}

/// The shell blocks of the page that tells auditors how to verify without kferry.
fn page_blocks() -> Vec<String> {
    let page = include_str!("../../runbooks/verify-with-openssl.md");
    page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn present(tool: &str) -> bool {
    // Asked of the shell, since OpenSSL 3.0 has no `--version`.
    Command::new("sh").args(["-c", "command -v \"$0\"", tool]).output().is_ok_and(|o| o.status.success())
}

/// Runs a block as the page says, beside the two files that it asks for.
fn follow(block: &str, bundle: &[u8]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bundle.dsse.json"), bundle).unwrap();
    std::fs::write(dir.path().join("evidence.pub"), pem()).unwrap();
    let output = Command::new("sh").arg("-c").arg(block).current_dir(dir.path()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn openssl_verifies_the_bundle_as_the_page_says() {
    if !["openssl", "sha256sum", "base64"].into_iter().all(present) {
        eprintln!("skipped: openssl or coreutils are not on this machine");
        return;
    }
    let [signature, key_id, journal] = <[String; 3]>::try_from(page_blocks()).unwrap();
    let bundle = std::fs::read(fixture("evidence/bundle.dsse.json")).unwrap();
    assert_eq!(follow(&signature, &bundle), (true, "Signature Verified Successfully\n".into()));
    assert!(follow(&key_id, &bundle).1.starts_with(&key::key_id(&key().verifying_key())));
    let mut flipped = bundle.clone();
    flipped[1000] ^= 1;
    assert!(!follow(&signature, &flipped).0, "an altered bundle passes");
    if !present("jq") {
        eprintln!("the journal's part is skipped: jq is not on this machine");
        return;
    }
    let both = format!("{signature}\n{journal}");
    let (holds, said) = follow(&both, &bundle);
    assert!(holds && said.contains(&format!("{} entries hold", sample::journey().len())), "{said}");
    let mut gap = sample::entries(sample::journey());
    let whole = Bundle::build(&gap, &Migration::fold(&gap).unwrap(), Extra { created_at: jiff::Timestamp::UNIX_EPOCH, leaves: None, not_covered: vec![] });
    gap.remove(4);
    let gap = Bundle { journal: gap.iter().map(|e| e.line().to_owned()).collect(), ..whole };
    let (holds, said) = follow(&both, &sign(&gap.to_bytes(), &key()));
    assert!(!holds && said.contains("does not follow: {\"seq\":6"), "{said}");
}

#[test]
fn openssl_reads_and_writes_our_keys() {
    if !present("openssl") {
        eprintln!("skipped: openssl is not on this machine");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ours.key");
    key::write_pair(&path, &key()).unwrap();
    let run = |script: &str| Command::new("sh").args(["-ec", script]).current_dir(dir.path()).output().unwrap();
    let public = run("openssl pkey -in ours.key -pubout");
    assert!(public.status.success(), "{}", String::from_utf8_lossy(&public.stderr));
    assert_eq!(public.stdout, std::fs::read(key::public_path(&path)).unwrap());
    assert_eq!(run("openssl pkey -in ours.key").stdout, std::fs::read(&path).unwrap(), "the form that openssl itself writes");
    assert!(run("openssl genpkey -algorithm ed25519 -out theirs.key && openssl pkey -in theirs.key -pubout -out theirs.key.pub").status.success());
    let theirs = key::read_signing_key(&dir.path().join("theirs.key")).unwrap();
    assert_eq!(key::read_public_key(&dir.path().join("theirs.key.pub")).unwrap(), theirs.verifying_key());
}
