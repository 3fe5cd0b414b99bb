//! Whether both clusters let librdkafka in, which reads them in the end: it brings a TLS and a SASL of its own.

use crate::config::model::{AuthMode, ClusterConfig, Config};
use crate::domain::finding::{Finding, FindingCode};
use crate::error::{Code, Error, Result};
use crate::kafka::cluster::Side;
use crate::kafka::limits::WITNESS_GREETING_PATIENCE;
use crate::kafka::witness::Witness;

/// Findings of whatever keeps librdkafka out, beside what keeps the copier out.
pub async fn greet(config: &Config) -> Vec<Finding> {
    let (source, target) = futures::join!(look(Side::Source, &config.source), look(Side::Target, &config.target));
    source.into_iter().chain(target).collect()
}

async fn look(side: Side, config: &ClusterConfig) -> Option<Finding> {
    // In plaintext there is nothing to disagree about; a cluster whose brokers could not be looked up is told by its own finding.
    if config.auth.mode == AuthMode::Plaintext || config.bootstrap_servers.is_empty() {
        return None;
    }
    let config = config.clone();
    let greeting = tokio::task::spawn_blocking(move || -> Result<()> { Witness::open(side, &config)?.with_patience(WITNESS_GREETING_PATIENCE).greet() });
    let outcome = greeting.await.unwrap_or_else(|_| Err(Error::new(Code::Bug, "the greeting ended early")));
    let error = outcome.err()?;
    let seen = format!("librdkafka, which reads samples in the end: {}", error.seen());
    Some(Finding::new(FindingCode::of_error(error.code()).unwrap_or(FindingCode::NotProbed), side.to_string(), seen))
}
