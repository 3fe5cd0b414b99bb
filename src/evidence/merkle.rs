//! Merkle tree over leaf digests, kept as a frontier.

use serde::{Deserialize, Serialize};

/// The right edge of a growing Merkle tree (RFC 6962, section 2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    leaves: u64,
    /// Roots of the perfect subtrees, largest first, in hexadecimal.
    nodes: Vec<String>,
}
