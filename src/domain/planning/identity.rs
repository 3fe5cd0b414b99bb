//! The migration's id.

use super::PlanInput;
use crate::config::model::{Config, StoreConfig};
use crate::domain::topology::ClusterSnapshot;
use sha2::{Digest, Sha256};

/// Letters and digits that cannot be mistaken for one another (Crockford's base 32, lower case).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The id that a migration gets unless one is configured: the same for the same two clusters and prefix, and safe in file names
/// and object keys. A target that is not known yet is marked, since the id changes once it is.
pub fn derive_migration_id(source_cluster_id: &str, target_cluster_id: Option<&str>, prefix: &str) -> String {
    let mut hash = Sha256::new();
    for part in [source_cluster_id, target_cluster_id.unwrap_or(""), prefix] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let name: String = digest.iter().take(10).map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect();
    match target_cluster_id {
        Some(_) => format!("kf-{name}"),
        None => format!("kf-{name}-no-target"),
    }
}

pub(super) fn of(input: &PlanInput) -> String {
    input.migration_id.clone().unwrap_or_else(|| by_configuration(input.config, &input.source, input.target.as_ref()))
}

/// The id that `execute` gives a migration between these two clusters.
pub(crate) fn by_configuration(config: &Config, source: &ClusterSnapshot, target: Option<&ClusterSnapshot>) -> String {
    if let Some(id) = &config.migration_id {
        return id.clone();
    }
    let prefix = match &config.backup {
        StoreConfig::S3 { prefix, .. } => prefix.clone(),
        StoreConfig::Directory { path } => path.to_string_lossy().into_owned(),
    };
    derive_migration_id(&source.cluster_id, target.map(|t| t.cluster_id.as_str()), &prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_depends_on_both_clusters_and_the_prefix_and_marks_an_unknown_target() {
        let id = derive_migration_id("source", Some("target"), "p/");
        assert_eq!(id, derive_migration_id("source", Some("target"), "p/"));
        assert_eq!(id.len(), 13);
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        for other in [("sourc", "etarget", "p/"), ("source", "target", "q/"), ("target", "source", "p/")] {
            assert_ne!(id, derive_migration_id(other.0, Some(other.1), other.2));
        }
        assert!(derive_migration_id("source", None, "p/").ends_with("-no-target"));
    }
}
