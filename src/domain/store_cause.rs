//! What keeps kferry from using an object store, told apart by what helps.

use super::finding::FindingCode;

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident => $finding:ident;)*) => {
        /// Why a store cannot be used; each has a finding of its own, with a remedy and a page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum StoreCause { $($(#[$doc])* $variant,)* }

        impl StoreCause {
            pub const ALL: &'static [StoreCause] = &[$(StoreCause::$variant,)*];

            /// The finding of a precheck that meets it.
            pub fn finding(self) -> FindingCode { match self { $(StoreCause::$variant => FindingCode::$finding,)* } }
        }
    };
}

causes! {
    /// None of those below.
    Other => StoreUnreachable;
    BucketMissing => StoreBucketMissing;
    /// An action of S3's is not allowed.
    Denied => StoreDenied;
    /// The bucket lies in another Region than the configured one, or none is known.
    Region => StoreRegion;
    /// The host's name cannot be resolved.
    HostName => StoreHostName;
    /// No answer, or half of one.
    Network => StoreNetwork;
    Tls => StoreTls;
    CredentialsMissing => StoreCredentialsMissing;
    CredentialsRefused => StoreCredentialsRefused;
    CredentialsExpired => StoreCredentialsExpired;
    /// This host's clock and the store's are too far apart.
    Clock => StoreClock;
    KeyDisabled => StoreKeyDisabled;
    KeyMissing => StoreKeyMissing;
    /// An action of KMS's is not allowed.
    KeyDenied => StoreKeyDenied;
    /// Retention is asked for in a bucket without Object Lock.
    ObjectLockMissing => ObjectLockMissing;
}

impl StoreCause {
    /// What to do about it; None where only the store's answer can tell.
    pub fn remedy(self) -> Option<&'static str> {
        (self != StoreCause::Other).then(|| self.finding().remedy())
    }
}

/// One thing that stands in the way of using a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFailure {
    pub cause: StoreCause,
    /// What was being done and what the store said.
    pub seen: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Severity;
    use std::collections::BTreeSet;

    #[test]
    fn each_cause_is_a_blocker_of_its_own() {
        let codes: BTreeSet<&str> = StoreCause::ALL.iter().map(|cause| cause.finding().as_str()).collect();
        assert_eq!(codes.len(), StoreCause::ALL.len());
        assert!(StoreCause::ALL.iter().all(|cause| cause.finding().severity() == Severity::Blocker));
    }
}
