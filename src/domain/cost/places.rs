//! Where clusters and stores lie, as far as names tell: their Regions and zones.

use crate::config::model::{ClusterConfig, StoreConfig};
use crate::domain::msk::{self, ClusterArn};
use crate::domain::topology::ClusterSnapshot;
use std::collections::BTreeSet;

/// The Region of a cluster, by its ARN, by its brokers' names, or by the zones that they call their racks; None where none tells.
pub fn region_of(config: &ClusterConfig, snapshot: Option<&ClusterSnapshot>) -> Option<String> {
    let by_arn = || config.cluster_arn.as_deref().and_then(ClusterArn::parse).map(|arn| arn.region);
    let brokers = || snapshot.into_iter().flat_map(|s| &s.brokers);
    let servers = || config.bootstrap_servers.iter().map(|s| s.rsplit_once(':').map_or(s.as_str(), |(host, _)| host));
    let by_host = || servers().chain(brokers().map(|b| b.host.as_str())).find_map(region_of_host);
    let by_zone = || brokers().filter_map(|b| b.rack.as_deref()).find_map(region_of_zone);
    by_arn().or_else(by_host).or_else(by_zone)
}

/// `b-1.shop.abc123.c2.kafka.eu-west-1.amazonaws.com`.
fn region_of_host(host: &str) -> Option<String> {
    if !msk::is_msk_host(host) {
        return None;
    }
    let mut labels = host.split('.').skip_while(|label| !label.starts_with("kafka"));
    labels.nth(1).filter(|label| label.contains('-')).map(str::to_owned)
}

/// `eu-west-1a`; None for a zone's id (`euw1-az1`), which shortens its Region's name.
fn region_of_zone(zone: &str) -> Option<String> {
    let region = zone.strip_suffix(|c: char| c.is_ascii_lowercase())?;
    let parts: Vec<&str> = region.split('-').collect();
    let words = |parts: &[&str]| parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase()));
    match parts.split_last() {
        Some((number, rest)) if rest.len() >= 2 && words(rest) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => Some(region.to_owned()),
        _ => None,
    }
}

/// The Region of a bucket at AWS; None for a directory, for another server's bucket, and where only the environment tells.
pub fn region_of_store(store: &StoreConfig) -> Option<&str> {
    match store {
        StoreConfig::S3 { region, endpoint_url: None, .. } => region.as_deref(),
        StoreConfig::S3 { .. } | StoreConfig::Directory { .. } => None,
    }
}

/// How many zones a cluster's brokers lie in; None where one of them does not say.
pub fn zones_of(snapshot: &ClusterSnapshot) -> Option<usize> {
    let racks: Option<BTreeSet<&str>> = snapshot.brokers.iter().map(|b| b.rack.as_deref()).collect();
    racks.map(|racks| racks.len()).filter(|zones| *zones > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    #[test]
    fn a_region_is_told_by_arn_host_or_zone() {
        let (mut config, mut cluster) = (fixture::config().source, fixture::source());
        assert_eq!(region_of(&config, Some(&cluster)), None);
        cluster.brokers[1].rack = Some("ap-southeast-2b".to_owned());
        assert_eq!(region_of(&config, Some(&cluster)).as_deref(), Some("ap-southeast-2"));
        config.bootstrap_servers = vec!["b-1.shop.abc123.c2.kafka.eu-west-1.amazonaws.com:9096".to_owned()];
        assert_eq!(region_of(&config, Some(&cluster)).as_deref(), Some("eu-west-1"));
        config.cluster_arn = Some("arn:aws:kafka:us-west-2:1:cluster/shop/u-1".to_owned());
        assert_eq!(region_of(&config, None).as_deref(), Some("us-west-2"));
        for rack in ["rack-1a", "euw1-az1", "a", "", "us-gov-west-1", "dc-1a"] {
            assert_eq!(region_of_zone(rack), None, "{rack}");
        }
        assert_eq!(region_of_zone("us-gov-west-1a").as_deref(), Some("us-gov-west-1"));
    }

    #[test]
    fn zones_are_known_only_of_brokers_that_all_tell() {
        let mut cluster = fixture::source();
        assert_eq!(zones_of(&cluster), None);
        for (broker, rack) in cluster.brokers.iter_mut().zip(["a", "b", "a"]) {
            broker.rack = Some(rack.to_owned());
        }
        assert_eq!(zones_of(&cluster), Some(2));
        cluster.brokers[0].rack = None;
        assert_eq!(zones_of(&cluster), None);
    }
}
