//! Licences: a signed file, or the trial; checked offline.

use serde::{Deserialize, Serialize};

/// The right to run a migration's mutating commands, as the journal records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// `license` or `trial`.
    pub kind: String,
    pub licensee: String,
    pub feature: String,
    pub granted_at: String,
    pub expires_at: String,
}
