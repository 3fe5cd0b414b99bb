//! SCRAM secrets of a cluster, associated and disassociated in batches.

use super::ControlPlane;
use crate::domain::limits::NAMES_SHOWN_MAX;
use crate::error::{Code, Error, Result};
use aws_sdk_kafka::types::UnprocessedScramSecret;

/// Secrets in one call. **Source**: the service's API reference, BatchAssociateScramSecret.
pub const BATCH_MAX: usize = 10;

/// A secret that the service has not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprocessed {
    pub secret_arn: String,
    pub why: String,
}

impl ControlPlane {
    /// Associates at most [`BATCH_MAX`] secrets with the cluster, and answers those that it has not taken.
    ///
    /// **Errors**: KF-MSK-… where none was taken.
    pub async fn associate(&self, secrets: &[String]) -> Result<Vec<Unprocessed>> {
        let call = self.client.batch_associate_scram_secret().cluster_arn(&self.cluster_arn).set_secret_arn_list(Some(secrets.to_vec()));
        let answer = call.send().await.map_err(|e| self.refusal("kafka:BatchAssociateScramSecret", e))?;
        Ok(answer.unprocessed_scram_secrets().iter().map(unprocessed).collect())
    }

    /// Takes at most [`BATCH_MAX`] secrets from the cluster, and answers those that it has kept. The secrets themselves stay.
    ///
    /// **Errors**: KF-MSK-… where none was taken.
    pub async fn disassociate(&self, secrets: &[String]) -> Result<Vec<Unprocessed>> {
        let call = self.client.batch_disassociate_scram_secret().cluster_arn(&self.cluster_arn).set_secret_arn_list(Some(secrets.to_vec()));
        let answer = call.send().await.map_err(|e| self.refusal("kafka:BatchDisassociateScramSecret", e))?;
        Ok(answer.unprocessed_scram_secrets().iter().map(unprocessed).collect())
    }

    /// The error of secrets that were not taken, one by one.
    pub fn unprocessed(&self, what: &str, left: &[Unprocessed]) -> Error {
        let more = left.len().saturating_sub(NAMES_SHOWN_MAX);
        let named: Vec<String> = left.iter().take(NAMES_SHOWN_MAX).map(|u| format!("{} ({})", u.secret_arn, u.why)).collect();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Error::new(Code::MskScramSecrets, format!("{}: {what}: {}{more}", self.side, named.join("; ")))
    }
}

fn unprocessed(secret: &UnprocessedScramSecret) -> Unprocessed {
    let why = [secret.error_code(), secret.error_message()].into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    Unprocessed {
        secret_arn: secret.secret_arn().unwrap_or("a secret without a name").to_owned(),
        why: if why.is_empty() { "without a reason".to_owned() } else { why },
    }
}
