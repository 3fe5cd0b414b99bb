//! The key that licences are checked against.

use crate::error::{Code, Error, Result};
use crate::evidence::key;
use ed25519_dalek::VerifyingKey;

/// The vendor's public key, compiled in; its private half is in no repository.
const VENDOR_PUBLIC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAHDzFkxSiqlP7HPLOraF0nxnEs9BUfn9MjMOzX7WLwdM=
-----END PUBLIC KEY-----
";

/// Names a file with another public key, so that tests can issue licences. A release build does not look at it.
#[cfg(debug_assertions)]
const TEST_KEY_VARIABLE: &str = "KFERRY_LICENSE_PUBLIC_KEY";

/// The key that licences must be signed with.
///
/// **Errors**: KF-BUG where the compiled-in key is not one; in debug builds, KF-KEY-INVALID for the one named by the environment.
pub(super) fn vendor_key() -> Result<VerifyingKey> {
    #[cfg(debug_assertions)]
    if let Some(path) = std::env::var_os(TEST_KEY_VARIABLE).filter(|path| !path.is_empty()) {
        return key::read_public_key(path.as_ref());
    }
    key::parse_public_key(VENDOR_PUBLIC_KEY).map_err(|seen| Error::new(Code::Bug, format!("the vendor's key: {seen}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_key_is_a_key() {
        key::parse_public_key(VENDOR_PUBLIC_KEY).unwrap();
    }
}
