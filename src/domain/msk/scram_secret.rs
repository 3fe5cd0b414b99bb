//! The secrets of Secrets Manager that MSK's SCRAM users are kept in.

/// Why a secret cannot be associated with a cluster; None where nothing is known against it.
///
/// What its ARN does not tell (that its key is not the account's default one, that it holds a user and a password) the service
/// itself refuses. **Source**: Amazon MSK developer guide, "Sign-in credentials authentication with AWS Secrets Manager".
pub fn unfit_for(secret_arn: &str, cluster: &super::ClusterArn) -> Option<String> {
    // arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX
    let parts: Vec<&str> = secret_arn.splitn(7, ':').collect();
    let ["arn", _, "secretsmanager", region, account, "secret", name] = parts.as_slice() else {
        return Some("it is no secret of Secrets Manager".to_owned());
    };
    if !name.starts_with(NAME_PREFIX) {
        return Some(format!("its name does not begin with {NAME_PREFIX}"));
    }
    if *region != cluster.region {
        return Some(format!("it lies in Region {region}, the cluster in {}", cluster.region));
    }
    (*account != cluster.account).then(|| format!("it belongs to account {account}, the cluster to {}", cluster.account))
}

/// What the names of such secrets begin with.
pub const NAME_PREFIX: &str = "AmazonMSK_";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::msk::ClusterArn;

    #[test]
    fn what_an_arn_tells_against_a_secret_is_told() {
        let cluster = ClusterArn::parse("arn:aws:kafka:eu-west-1:123456789012:cluster/shop/u-1").unwrap();
        let secret = |region: &str, account: &str, name: &str| unfit_for(&format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}"), &cluster);
        assert_eq!(secret("eu-west-1", "123456789012", "AmazonMSK_alice-AbCdEf"), None);
        assert!(secret("eu-west-1", "123456789012", "alice-AbCdEf").unwrap().contains("AmazonMSK_"));
        assert!(secret("us-east-1", "123456789012", "AmazonMSK_alice-AbCdEf").unwrap().contains("Region us-east-1, the cluster in eu-west-1"));
        assert!(secret("eu-west-1", "210987654321", "AmazonMSK_alice-AbCdEf").unwrap().contains("account 210987654321"));
        assert!(unfit_for("AmazonMSK_alice", &cluster).is_some());
    }
}
