//! Where the evidence goes: the evidence store, with a receipt beside the bundle, and copies of both beside the journal.

use super::progress::{Staged, object_key};
use crate::domain::digest::Digest;
use crate::driver::context::{Context, Interrupt};
use crate::error::{Code, Error, Result};
use crate::evidence::verify;
use crate::journal::Entry;
use crate::machine::fact::{Effect, Fact};
use crate::store::patient::{Patience, put_patiently};
use crate::store::{self, Body, ObjectStore, PutOptions, Receipt};
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const JSON: &str = "application/json";

/// Version of the receipt's shape.
const RECEIPT_VERSION: u32 = 1;

/// What is said of a bundle once it is stored; a function of the journal, so that it is the same when it is written again.
#[derive(Serialize)]
struct BundleReceipt<'a> {
    version: u32,
    migration_id: &'a str,
    location: &'a str,
    key: &'a str,
    version_id: Option<&'a str>,
    /// Of the file as it is stored.
    sha256: &'a str,
    /// The SHA-256 of the raw public key that verifies it.
    key_id: &'a str,
    stored_at: String,
    /// COMPLIANCE retention, where the store was asked for it.
    retain_until: Option<String>,
}

/// The bundle that the journal names.
pub struct Stored {
    pub key: String,
    pub version_id: Option<String>,
    pub sha256: String,
    pub receipt_key: String,
    pub receipt: Vec<u8>,
    pub retain_until: Option<Timestamp>,
    /// The upload's intention, where it is not completed yet.
    pub open_effect: Option<u64>,
}

pub struct Archive {
    store: Arc<dyn ObjectStore>,
    interrupt: Interrupt,
    dir: PathBuf,
    migration_id: String,
    /// None where the store is not asked to keep anything.
    retention: Option<SignedDuration>,
}

impl Archive {
    pub async fn open(context: &Context) -> Result<Self> {
        let evidence = &context.config.evidence;
        Ok(Self {
            store: store::open(&evidence.store).await?,
            interrupt: context.interrupt.clone(),
            dir: context.journal.dir().to_owned(),
            migration_id: context.migration()?.id().to_owned(),
            retention: evidence.object_lock.then(|| SignedDuration::from_hours(24 * i64::from(evidence.retention_days))),
        })
    }

    pub fn location(&self, key: &str) -> String {
        self.store.location(key)
    }

    pub fn bundle_file(&self) -> PathBuf {
        self.dir.join(format!("{}.dsse.json", self.migration_id))
    }

    pub fn receipt_file(&self) -> PathBuf {
        self.dir.join(format!("{}.receipt.json", self.migration_id))
    }

    /// The bundle that an earlier run wrote down for this key, if it is whole, ours, and of this journal.
    pub fn staged(&self, key: &str, entries: &[Entry], signer: &SigningKey) -> Option<Staged> {
        let envelope = fs::read(self.bundle_file()).ok()?;
        let bundle = verify::verify(&envelope, &signer.verifying_key()).ok()?;
        verify::matches_journal(&bundle, entries).ok()?;
        (object_key(&bundle) == key).then(|| Staged::new(&bundle, envelope))
    }

    /// Until when the bundle of this upload is kept: counted from the intention, so that a repeated upload says the same.
    pub fn retain_until(&self, context: &Context, effect_id: u64) -> Result<Option<Timestamp>> {
        let entries = context.journal.entries()?;
        let intended = entries.iter().find(|e| matches!(e.fact, Fact::EffectIntended { id, .. } if id == effect_id));
        Ok(intended.and_then(|entry| self.kept_from(entry.at)))
    }

    fn kept_from(&self, at: Timestamp) -> Option<Timestamp> {
        self.retention.map(|retention| at.checked_add(retention).unwrap_or(Timestamp::MAX))
    }

    /// Stores an object that must not be there yet, unless it is this very one; waits for the store as long as it takes.
    pub async fn put(&self, key: &str, content: &[u8], retain_until: Option<Timestamp>) -> Result<Receipt> {
        let options = PutOptions { if_absent: true, retain_until, content_type: Some(JSON) };
        let put = put_patiently(&*self.store, key, Body::hashed(content.to_vec()), options, cancelled(&self.interrupt), &waits);
        put.await.map_err(|e| Error::from(e).within(self.location(key)))
    }

    /// Writes a file beside the journal, whole or not at all.
    pub fn keep(&self, path: &Path, content: &[u8]) -> Result<()> {
        write_whole(&self.dir, path, content).map_err(|e| Error::new(Code::JournalUnwritable, format!("{}: {e}", path.display())))
    }

    /// Sees to it that the copy beside the journal is the bundle that is stored.
    pub async fn keep_stored(&self, stored: &Stored) -> Result<()> {
        let path = self.bundle_file();
        if fs::read(&path).is_ok_and(|content| Digest::of(content).to_string() == stored.sha256) {
            return Ok(());
        }
        let got = Patience::default().get(&*self.store, &stored.key, 0, cancelled(&self.interrupt), &waits).await;
        let content = got.map_err(|e| Error::from(e).within(self.location(&stored.key)))?;
        let seen = Digest::of(&content).to_string();
        if seen != stored.sha256 {
            let seen = format!("{} hashes to {seen}, but the journal says {}", self.location(&stored.key), stored.sha256);
            return Err(Error::new(Code::StoreCorrupt, seen));
        }
        self.keep(&path, &content)
    }

    /// The bundle that the journal names last, with its receipt.
    pub fn stored(&self, context: &Context) -> Result<Stored> {
        let entries = context.journal.entries()?;
        let last = entries.iter().rev().find_map(|entry| match &entry.fact {
            Fact::BundleStored { key, version_id, sha256, key_id } => Some((entry.at, key, version_id, sha256, key_id)),
            _ => None,
        });
        let Some((stored_at, key, version_id, sha256, key_id)) = last else {
            return Err(Error::new(Code::Bug, "the journal names no bundle"));
        };
        let intended = entries.iter().rev().find_map(|entry| match &entry.fact {
            Fact::EffectIntended { id, effect: Effect::UploadBundle { key: of } } if of == key => Some((*id, entry.at)),
            _ => None,
        });
        let retain_until = intended.and_then(|(_, at)| self.kept_from(at));
        let receipt = BundleReceipt {
            version: RECEIPT_VERSION,
            migration_id: &self.migration_id,
            location: &self.location(key),
            key,
            version_id: version_id.as_deref(),
            sha256,
            key_id,
            stored_at: format!("{stored_at:.3}"),
            retain_until: retain_until.map(|until| format!("{until:.3}")),
        };
        let mut bytes = serde_json::to_vec_pretty(&receipt).map_err(|e| Error::new(Code::Bug, format!("the receipt: {e}")))?;
        bytes.push(b'\n');
        let pending = |id: &u64| context.migration().is_ok_and(|m| m.footprint.is_pending(*id));
        Ok(Stored {
            key: key.clone(),
            version_id: version_id.clone(),
            sha256: sha256.clone(),
            receipt_key: receipt_key(key),
            receipt: bytes,
            retain_until,
            open_effect: intended.map(|(id, _)| id).filter(pending),
        })
    }
}

/// Beside the bundle.
fn receipt_key(bundle_key: &str) -> String {
    format!("{}.receipt.json", bundle_key.strip_suffix(".dsse.json").unwrap_or(bundle_key))
}

async fn cancelled(interrupt: &Interrupt) {
    interrupt.clone().wait().await;
}

fn waits(why: &str) {
    eprintln!("waiting: evidence store: {why}");
}

fn write_whole(dir: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    // A bare name lies in the working directory.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receipt_lies_beside_its_bundle() {
        assert_eq!(receipt_key("m/000012-abcdef01/m.dsse.json"), "m/000012-abcdef01/m.receipt.json");
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.dsse.json");
        for content in ["first", "second"] {
            write_whole(dir.path(), &path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
