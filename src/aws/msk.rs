//! The MSK control plane: what a cluster is, by which addresses it is reached, and the secrets that its SCRAM users are kept in.

mod describing;
mod refusal;
mod scram;

use crate::config::model::{AuthMode, ClusterConfig, Network};
use crate::domain::msk::ClusterArn;
use crate::domain::msk::bootstrap::{Offered, WayIn};
use crate::error::{Code, Error, Result};
use crate::kafka::cluster::Side;
use aws_config::AppName;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
pub use scram::{BATCH_MAX, Unprocessed};
use refusal::Asked;
use std::time::Duration;

/// Attempts at one call, the first included. The control plane allows few calls a second, over which all tools of an account share.
const ATTEMPTS_MAX: u32 = 5;
/// The first wait between two attempts at most; it doubles each time.
const BACKOFF_FIRST_MS: u64 = 500;
const BACKOFF_MAX_MS: u64 = 4_000;
const CONNECT_TIMEOUT_MS: u64 = 3_000;
const ATTEMPT_TIMEOUT_MS: u64 = 10_000;
/// One call with all its attempts, and the time that credentials take.
const CALL_TIMEOUT_MS: u64 = 60_000;

/// The control plane of one cluster.
pub struct ControlPlane {
    client: aws_sdk_kafka::Client,
    side: Side,
    arn: ClusterArn,
    cluster_arn: String,
    network: Network,
    mode: AuthMode,
}

impl ControlPlane {
    /// None where the cluster is not given by its ARN. Nothing is asked yet.
    ///
    /// Region from the ARN; credentials of `auth.profile`, else as every AWS tool finds them.
    pub async fn of(side: Side, config: &ClusterConfig) -> Option<Self> {
        let cluster_arn = config.cluster_arn.clone()?;
        let arn = ClusterArn::parse(&cluster_arn)?;
        let shared = super::token_config(Some(arn.region.clone()), config.auth.profile.clone()).await;
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS_MAX)
            .with_initial_backoff(Duration::from_millis(BACKOFF_FIRST_MS))
            .with_max_backoff(Duration::from_millis(BACKOFF_MAX_MS));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS))
            .operation_attempt_timeout(Duration::from_millis(ATTEMPT_TIMEOUT_MS))
            .operation_timeout(Duration::from_millis(CALL_TIMEOUT_MS));
        // AWS_ENDPOINT_URL_KAFKA and the profile's endpoint_url are heeded by `from`.
        let mut builder = aws_sdk_kafka::config::Builder::from(&shared).retry_config(retries).timeout_config(timeouts.build());
        if let Some(url) = &config.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        if let Ok(name) = AppName::new("kferry") {
            builder = builder.app_name(name);
        }
        let client = aws_sdk_kafka::Client::from_conf(builder.build());
        Some(Self { client, side, arn, cluster_arn, network: config.network, mode: config.auth.mode })
    }

    pub fn arn(&self) -> &ClusterArn {
        &self.arn
    }

    /// The bootstrap servers for the configured network and `auth.mode`.
    ///
    /// **Errors**: KF-MSK-….
    pub async fn bootstrap_servers(&self) -> Result<Vec<String>> {
        self.choose(&self.offered().await?)
    }

    fn choose(&self, offered: &Offered) -> Result<Vec<String>> {
        offered.choose(self.network, self.mode).map_err(|seen| Error::new(Code::MskNoBootstrap, format!("{}: {seen}", self.side)))
    }

    async fn offered(&self) -> Result<Offered> {
        let answer = self.client.get_bootstrap_brokers().cluster_arn(&self.cluster_arn).send().await;
        let given = answer.map_err(|e| self.refusal("kafka:GetBootstrapBrokers", e))?;
        let mut offered = Offered::default();
        for (network, way, string) in [
            (Network::Private, WayIn::Plaintext, given.bootstrap_broker_string()),
            (Network::Private, WayIn::Tls, given.bootstrap_broker_string_tls()),
            (Network::Private, WayIn::SaslScram, given.bootstrap_broker_string_sasl_scram()),
            (Network::Private, WayIn::SaslIam, given.bootstrap_broker_string_sasl_iam()),
            (Network::Public, WayIn::Tls, given.bootstrap_broker_string_public_tls()),
            (Network::Public, WayIn::SaslScram, given.bootstrap_broker_string_public_sasl_scram()),
            (Network::Public, WayIn::SaslIam, given.bootstrap_broker_string_public_sasl_iam()),
            (Network::VpcConnectivity, WayIn::Tls, given.bootstrap_broker_string_vpc_connectivity_tls()),
            (Network::VpcConnectivity, WayIn::SaslScram, given.bootstrap_broker_string_vpc_connectivity_sasl_scram()),
            (Network::VpcConnectivity, WayIn::SaslIam, given.bootstrap_broker_string_vpc_connectivity_sasl_iam()),
            (Network::PrivateIpv6, WayIn::Plaintext, given.bootstrap_broker_string_ipv6()),
            (Network::PrivateIpv6, WayIn::Tls, given.bootstrap_broker_string_tls_ipv6()),
            (Network::PrivateIpv6, WayIn::SaslScram, given.bootstrap_broker_string_sasl_scram_ipv6()),
            (Network::PrivateIpv6, WayIn::SaslIam, given.bootstrap_broker_string_sasl_iam_ipv6()),
        ] {
            offered.add(network, way, string);
        }
        Ok(offered)
    }

    fn refusal<E>(&self, action: &'static str, error: aws_sdk_kafka::error::SdkError<E>) -> Error
    where
        E: aws_sdk_kafka::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        refusal::told(&Asked { side: self.side, action, resource: &self.cluster_arn, region: &self.arn.region }, &error)
    }
}
