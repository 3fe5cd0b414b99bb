//! What is Amazon MSK's own: its brokers' names, the principals that belong to a cluster rather than to its users, and what its
//! control plane says of a cluster.

pub mod bootstrap;
mod description;
pub mod scram_secret;

pub use description::{Availability, MskCluster, MskConfiguration, MskKind, configuration_differences, metadata_mode, server_properties};

use super::acl::AclBinding;

/// The parts of a cluster's ARN, `arn:PARTITION:kafka:REGION:ACCOUNT:cluster/NAME/UUID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterArn {
    pub partition: String,
    pub region: String,
    pub account: String,
    pub name: String,
    pub uuid: String,
}

impl ClusterArn {
    /// None where the text is no MSK cluster's ARN.
    pub fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let ("arn", partition, "kafka", region, account) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?) else { return None };
        let (name, uuid) = parts.next()?.strip_prefix("cluster/")?.split_once('/')?;
        Some(Self { partition: partition.into(), region: region.into(), account: account.into(), name: name.into(), uuid: uuid.into() })
    }
}

/// Whether a broker's host bears one of MSK's names, such as `b-1.shop.abc123.c2.kafka.eu-west-1.amazonaws.com`.
pub fn is_msk_host(host: &str) -> bool {
    let inner = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    inner.is_some_and(|inner| inner.split('.').any(|label| label == "kafka" || label == "kafka-serverless"))
}

/// Whether a host bears the name of an MSK Serverless cluster, such as `boot-abc123.c1.kafka-serverless.eu-west-1.amazonaws.com`.
pub fn is_serverless_host(host: &str) -> bool {
    is_msk_host(host) && host.split('.').any(|label| label == "kafka-serverless")
}

/// Why there is no migration to or from MSK Serverless.
pub const SERVERLESS: &str = "which has no metadata mode to leave and takes only some of Kafka's topic settings, neither ACLs nor client quotas, and fewer partitions; \
     kferry copies to and from provisioned clusters";

/// The host of `host:port`.
pub fn host_of(server: &str) -> &str {
    server.rsplit_once(':').map_or(server, |(host, _)| host)
}

/// The Region in a broker's name: `b-1.NAME.ID.c2.kafka.REGION.amazonaws.com`, or with `kafka-serverless`.
pub fn region_of_host(host: &str) -> Option<String> {
    let labels: Vec<&str> = host.split('.').collect();
    let at = labels.iter().rposition(|label| matches!(*label, "kafka" | "kafka-serverless"))?;
    (labels.get(at + 2) == Some(&"amazonaws")).then(|| labels[at + 1].to_owned())
}

/// Whether a cluster is Amazon MSK's: by its ARN, by the bootstrap servers that were given, or by what its brokers call themselves.
pub fn is_msk<'a>(cluster_arn: Option<&str>, mut bootstrap_servers: impl Iterator<Item = &'a str>, mut brokers: impl Iterator<Item = &'a str>) -> bool {
    cluster_arn.is_some_and(|arn| ClusterArn::parse(arn).is_some()) || bootstrap_servers.any(|s| is_msk_host(host_of(s))) || brokers.any(is_msk_host)
}

/// Whether a binding belongs to an MSK cluster itself, where its clients authenticate.
///
/// There `User:ANONYMOUS` is nobody's client: bindings for it let the service in, or are what is left of a time before
/// authentication, and would open the target to whoever does not authenticate. The certificates of the cluster's own brokers
/// (`User:CN=*.shop.abc123.c2.kafka.eu-west-1.amazonaws.com`, granted READ for replication as AWS documents it) name hosts of
/// the source, which the target's brokers are not. Without authentication everybody is `User:ANONYMOUS`, so that its bindings
/// are the users' own; and on clusters that are not MSK's no such principal is known. Both are carried over.
pub fn is_internal(binding: &AclBinding) -> bool {
    binding.principal == "User:ANONYMOUS" || certificate_host(&binding.principal).is_some_and(is_msk_host)
}

fn certificate_host(principal: &str) -> Option<&str> {
    let name = principal.strip_prefix("User:")?;
    name.split(',').map(str::trim).find_map(|part| part.strip_prefix("CN="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::acl::{Operation, PatternType, ResourceType};

    const BROKER: &str = "b-1.shop.abc123.c2.kafka.eu-west-1.amazonaws.com";

    #[test]
    fn msk_is_told_by_arn_or_by_hosts() {
        let none = || std::iter::empty::<&str>();
        assert!(is_msk(Some("arn:aws:kafka:eu-west-1:123456789012:cluster/shop/uuid-1"), none(), none()));
        assert!(is_msk(None, ["b-1.shop.abc123.c2.kafka.eu-west-1.amazonaws.com:9096"].into_iter(), none()));
        assert!(is_msk(None, ["vpce.example:9096"].into_iter(), [BROKER].into_iter()), "behind other names");
        assert!(is_msk(None, none(), ["b-1.shop.abc.c2.kafka.cn-north-1.amazonaws.com.cn"].into_iter()));
        assert!(!is_msk(None, ["ec2-1-2-3-4.eu-west-1.compute.amazonaws.com:9092", "kafka.example.com:9092"].into_iter(), none()));
        assert!(!is_msk(Some("arn:aws:s3:::bucket"), none(), none()));
        assert_eq!(ClusterArn::parse("arn:aws:kafka:eu-west-1:1:cluster/shop/u-1").map(|a| (a.name, a.uuid)), Some(("shop".into(), "u-1".into())));
    }

    #[test]
    fn serverless_is_told_by_its_address() {
        assert!(is_serverless_host("boot-abc123.c1.kafka-serverless.eu-west-1.amazonaws.com"));
        for host in [BROKER, "kafka-serverless.example.com", "boot.c1.kafka-serverless.eu-west-1.example.com"] {
            assert!(!is_serverless_host(host), "{host}");
        }
    }

    #[test]
    fn only_the_clusters_own_principals_are_internal() {
        let of = |principal: &str| is_internal(&AclBinding::allow(principal, ResourceType::Topic, "*", PatternType::Literal, Operation::Read));
        assert!(of("User:ANONYMOUS") && of(&format!("User:CN=*.{}", &BROKER[4..])) && of(&format!("User:CN={BROKER},O=x")));
        assert!(!of("User:CN=shop.example.com") && !of("User:alice") && !of("User:anonymous"));
    }
}
