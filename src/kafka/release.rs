//! Which Kafka a broker is, told from what it offers: release and metadata mode.

use super::versions::BrokerVersions;
use crate::domain::topology::MetadataMode;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const UPDATE_METADATA: i16 = 6;
const JOIN_GROUP: i16 = 11;
const LIST_GROUPS: i16 = 16;
const ADD_PARTITIONS_TO_TXN: i16 = 24;
const DESCRIBE_LOG_DIRS: i16 = 35;
const DESCRIBE_QUORUM: i16 = 55;

/// Highest first: a release, and the request version that came with it on ZooKeeper's brokers and KRaft's alike.
/// Source: Kafka's message schemas and their history; `kversion` of franz-go records it by commit.
const MARKERS: &[(&str, i16, i16)] = &[
    ("4.2", LIST_OFFSETS, 11),
    ("4.1", FETCH, 18),
    ("4.0", LIST_OFFSETS, 10),
    ("3.9", FETCH, 17),
    ("3.8", PRODUCE, 11),
    ("3.7", FETCH, 16),
    ("3.6", ADD_PARTITIONS_TO_TXN, 4),
    ("3.5", FETCH, 15),
    // Only on ZooKeeper's brokers; with KRaft 3.4 offers what 3.3 does.
    ("3.4", UPDATE_METADATA, 8),
    ("3.3", DESCRIBE_LOG_DIRS, 4),
    ("3.2", DESCRIBE_LOG_DIRS, 3),
    ("3.1", FETCH, 13),
    ("3.0", LIST_OFFSETS, 7),
    ("2.8", LIST_OFFSETS, 6),
    ("2.7", FETCH, 12),
    ("2.6", LIST_GROUPS, 4),
    ("2.5", JOIN_GROUP, 7),
    ("2.4", PRODUCE, 8),
];

/// The feature `metadata.version` at level 8 is release 3.4. Source: `MetadataVersion.IBP_3_4_IV0`.
const METADATA_VERSION_3_4: i16 = 8;

impl BrokerVersions {
    /// The broker's release, such as `3.9`; `unknown` before 2.4.
    pub fn release(&self) -> &'static str {
        let offered = |api_key, version| self.range(api_key).is_some_and(|(_, max)| max >= version);
        let release = MARKERS.iter().find(|(_, api_key, version)| offered(*api_key, *version)).map_or("unknown", |(name, ..)| name);
        let metadata_version = self.supported_features.get("metadata.version").map_or(0, |(_, max)| *max);
        if release == "3.3" && metadata_version >= METADATA_VERSION_3_4 { "3.4" } else { release }
    }

    /// Where the cluster keeps its metadata, as far as this broker's requests tell it.
    ///
    /// UpdateMetadata is what a ZooKeeper controller sends its brokers: KRaft brokers do not offer it, and all others do, also
    /// while they are being migrated. DescribeQuorum is offered by KRaft brokers only. Source: `listeners` in Kafka's schemas.
    pub fn metadata_mode(&self) -> MetadataMode {
        if self.offers(UPDATE_METADATA) {
            MetadataMode::ZooKeeper
        } else if self.offers(DESCRIBE_QUORUM) || self.finalized_features.contains_key("metadata.version") {
            MetadataMode::Kraft
        } else {
            MetadataMode::Unknown
        }
    }
}

/// Releases in ascending order, so that the lowest of several brokers can be told.
pub(super) fn rank(release: &str) -> usize {
    MARKERS.iter().rev().position(|(name, ..)| *name == release).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(ranges: &[(i16, i16)]) -> BrokerVersions {
        BrokerVersions::of(ranges)
    }

    #[test]
    fn the_release_is_told_by_the_highest_marker() {
        assert_eq!(broker(&[(PRODUCE, 11), (FETCH, 17), (LIST_OFFSETS, 9)]).release(), "3.9");
        assert_eq!(broker(&[(PRODUCE, 13), (FETCH, 18), (LIST_OFFSETS, 10)]).release(), "4.1");
        assert_eq!(broker(&[(FETCH, 12), (LIST_OFFSETS, 5)]).release(), "2.7");
        assert_eq!(broker(&[]).release(), "unknown");
        assert!(rank("3.10") < rank("2.7") && rank("2.7") < rank("3.9") && rank("3.9") < rank("4.0"));
    }

    #[test]
    fn kraft_3_4_is_told_by_its_metadata_version() {
        let mut versions = broker(&[(FETCH, 13), (DESCRIBE_LOG_DIRS, 4), (DESCRIBE_QUORUM, 1)]);
        versions.supported_features.insert("metadata.version".into(), (1, 8));
        assert_eq!((versions.release(), versions.metadata_mode()), ("3.4", MetadataMode::Kraft));
    }

    #[test]
    fn a_broker_that_a_zookeeper_controller_can_speak_to_is_a_zookeeper_broker() {
        assert_eq!(broker(&[(UPDATE_METADATA, 8), (FETCH, 17)]).metadata_mode(), MetadataMode::ZooKeeper);
        assert_eq!(broker(&[(FETCH, 17)]).metadata_mode(), MetadataMode::Unknown);
    }
}
