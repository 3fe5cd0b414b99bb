//! What one broker offers: request versions and the cluster's features.

use super::request::Request;
use kafka_protocol::messages::ApiVersionsResponse;
use std::collections::BTreeMap;

/// A broker's answer to ApiVersions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerVersions {
    /// Lowest and highest version by request key.
    ranges: BTreeMap<i16, (i16, i16)>,
    /// The finalized level of each of the cluster's features, for example `metadata.version`; empty with ZooKeeper.
    pub finalized_features: BTreeMap<String, i16>,
    /// Lowest and highest level of each feature that the broker supports.
    pub supported_features: BTreeMap<String, (i16, i16)>,
    /// Set where a KRaft controller is ready for a migration from ZooKeeper. Source: KIP-866.
    pub zk_migration_ready: bool,
}

impl BrokerVersions {
    pub(super) fn from_response(response: &ApiVersionsResponse) -> Self {
        Self {
            ranges: response.api_keys.iter().map(|k| (k.api_key, (k.min_version, k.max_version))).collect(),
            finalized_features: response
                .finalized_features
                .iter()
                .map(|f| (f.name.to_string(), f.max_version_level))
                .collect(),
            supported_features: response
                .supported_features
                .iter()
                .map(|f| (f.name.to_string(), (f.min_version, f.max_version)))
                .collect(),
            zk_migration_ready: response.zk_migration_ready,
        }
    }

    #[cfg(test)]
    pub(super) fn of(highest: &[(i16, i16)]) -> Self {
        Self { ranges: highest.iter().map(|(key, max)| (*key, (0, *max))).collect(), ..Self::default() }
    }

    /// Lowest and highest version of a request that the broker offers.
    pub fn range(&self, api_key: i16) -> Option<(i16, i16)> {
        self.ranges.get(&api_key).copied()
    }

    pub fn offers(&self, api_key: i16) -> bool {
        self.ranges.contains_key(&api_key)
    }

    /// The highest version of a request within `min..=max` that the broker and this program both know.
    pub fn version_for<R: Request>(&self, min: i16, max: i16) -> Option<i16> {
        let (broker_min, broker_max) = self.range(R::KEY)?;
        let version = broker_max.min(R::VERSIONS.max).min(max);
        (version >= broker_min.max(R::VERSIONS.min).max(min)).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::MetadataRequest;

    #[test]
    fn the_highest_common_version_within_the_range_is_chosen() {
        let versions = BrokerVersions { ranges: [(3, (2, 8))].into(), ..Default::default() };
        assert_eq!(versions.version_for::<MetadataRequest>(0, 99), Some(8));
        assert_eq!(versions.version_for::<MetadataRequest>(0, 5), Some(5));
        assert_eq!(versions.version_for::<MetadataRequest>(0, 1), None);
        assert_eq!(versions.version_for::<MetadataRequest>(9, 12), None);
        assert_eq!(BrokerVersions::default().version_for::<MetadataRequest>(0, 99), None);
    }
}
