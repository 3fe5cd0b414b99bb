//! How far an earlier `finalize` came, as the journal tells it: the bundle that it names is the one that is stored.

use crate::domain::digest::Digest;
use crate::evidence::bundle::Bundle;
use crate::journal::Entry;
use crate::machine::fact::{Effect, Fact};

/// A signed bundle that is ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    pub object_key: String,
    pub envelope: Vec<u8>,
    /// Of the envelope, in hexadecimal.
    pub sha256: String,
}

impl Staged {
    pub fn new(bundle: &Bundle, envelope: Vec<u8>) -> Self {
        Self { object_key: object_key(bundle), sha256: Digest::of(&envelope).to_string(), envelope }
    }
}

/// Where a bundle lies in the store: no two bundles share a key, since none is ever overwritten.
pub fn object_key(bundle: &Bundle) -> String {
    let head = bundle.journal_head.to_string();
    format!("{}/{:06}-{}/{}", bundle.migration_id, bundle.journal.len(), &head[..8], bundle.file_name())
}

/// How far an earlier run came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No bundle was sent, or what was sent is out of date.
    Begin,
    /// A bundle was about to be sent, and nothing that belongs into it has happened since.
    Intended { id: u64, key: String },
    /// A bundle is stored, and nothing that belongs into it has happened since.
    Stored,
}

pub fn standing(entries: &[Entry]) -> Standing {
    let mut standing = Standing::Begin;
    for entry in entries {
        match &entry.fact {
            Fact::EffectIntended { id, effect: Effect::UploadBundle { key } } => standing = Standing::Intended { id: *id, key: key.clone() },
            Fact::BundleStored { .. } => standing = Standing::Stored,
            Fact::EffectCompleted { id, .. } => {
                if matches!(&standing, Standing::Intended { id: given_up, .. } if given_up == id) {
                    standing = Standing::Begin;
                }
            }
            // kferry's own bindings go last, when the bundle is stored, and then the clusters may not even be looked at again.
            Fact::EffectIntended { effect: Effect::DeleteAcls { .. }, .. } if standing == Standing::Stored => {}
            // Says nothing new of the clusters or of the copy.
            Fact::AttemptFailed { .. } | Fact::Interrupted { .. } | Fact::GrantRecorded { .. } => {}
            _ if standing != Standing::Begin => standing = out_of_date(standing),
            _ => {}
        }
    }
    standing
}

/// An intention stays open until it is completed, also when its bundle is out of date.
fn out_of_date(standing: Standing) -> Standing {
    match standing {
        // A key that no bundle has: what was staged for it is not taken up.
        Standing::Intended { id, .. } => Standing::Intended { id, key: String::new() },
        Standing::Begin | Standing::Stored => Standing::Begin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample::{entries, planned, validation_report};

    fn after(facts: &[Fact]) -> Standing {
        standing(&entries(std::iter::once(planned()).chain(facts.iter().cloned())))
    }

    #[test]
    fn an_earlier_run_is_taken_up_where_it_ended() {
        let intended = |id, key: &str| Fact::EffectIntended { id, effect: Effect::UploadBundle { key: key.into() } };
        let stored = Fact::BundleStored { key: "k".into(), version_id: None, sha256: "s".into(), key_id: "i".into() };
        let completed = |id| Fact::EffectCompleted { id, outcome: String::new() };
        let failed = Fact::AttemptFailed { code: "KF-STORE-UNAVAILABLE".into(), seen: "x".into(), remedy: "y".into() };
        let validated = Fact::Validated { report: Box::new(validation_report()) };
        let open = |id, key: &str| Standing::Intended { id, key: key.into() };

        assert_eq!(after(&[]), Standing::Begin);
        assert_eq!(after(&[intended(1, "k")]), open(1, "k"));
        assert_eq!(after(&[intended(1, "k"), failed.clone()]), open(1, "k"));
        assert_eq!(after(&[intended(1, "k"), stored.clone()]), Standing::Stored);
        assert_eq!(after(&[intended(1, "k"), stored.clone(), completed(1), failed]), Standing::Stored);
        let own = Fact::EffectIntended { id: 2, effect: Effect::DeleteAcls { bindings: vec![] } };
        assert_eq!(after(&[intended(1, "k"), stored.clone(), completed(1), own.clone(), completed(2)]), Standing::Stored, "kferry's own bindings go last");
        assert_eq!(after(&[intended(1, "k"), own]), open(1, ""), "bindings that go earlier belong into it");
        assert_eq!(after(&[intended(1, "k"), completed(1)]), Standing::Begin, "it was given up");
        assert_eq!(after(&[intended(1, "k"), completed(1), intended(2, "l")]), open(2, "l"));
        assert_eq!(after(&[intended(1, "k"), validated.clone()]), open(1, ""), "validated since, so the bundle lacks it");
        assert_eq!(after(&[intended(1, "k"), stored, completed(1), validated]), Standing::Begin);
    }
}
