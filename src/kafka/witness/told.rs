//! What librdkafka tells beside its calls, above all why it is not let in; and the tokens that it asks for.

use super::super::auth::AuthProblem;
use crate::config::model::Auth;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many of the latest reasons are kept for an error's text.
const REASONS_MAX: usize = 3;

/// Keeps the reasons that librdkafka gives, and makes its tokens.
pub(super) struct Told {
    auth: Auth,
    /// A broker's host, whose name may tell the Region.
    host: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reasons: VecDeque<String>,
    problem: Option<AuthProblem>,
    has_token: bool,
}

impl Told {
    pub fn new(auth: &Auth, bootstrap_servers: &[String]) -> Self {
        let first = bootstrap_servers.first().map_or("", String::as_str);
        let host = first.rsplit_once(':').map_or(first, |(host, _)| host).to_owned();
        Self { auth: auth.clone(), host, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self) {
        let mut state = self.state();
        state.reasons.clear();
        state.problem = None;
    }

    pub fn reasons(&self) -> Vec<String> {
        self.state().reasons.iter().cloned().collect()
    }

    /// What the reasons mean, where they tell that we are not let in.
    pub fn problem(&self) -> Option<AuthProblem> {
        self.state().problem
    }

    pub fn has_token(&self) -> bool {
        self.state().has_token
    }

    fn note(&self, problem: Option<AuthProblem>, reason: &str) {
        let mut state = self.state();
        state.problem = state.problem.or(problem);
        if !state.reasons.iter().any(|known| known == reason) {
            if state.reasons.len() == REASONS_MAX {
                state.reasons.pop_front();
            }
            state.reasons.push_back(reason.to_owned());
        }
    }

    #[cfg(feature = "aws")]
    fn sign(&self) -> Result<OAuthToken, (AuthProblem, String)> {
        use super::super::auth::iam::Signer;
        use std::time::SystemTime;
        let failed = |seen: &str| (AuthProblem::AwsCredentials, seen.to_owned());
        // The callback blocks, and may come on a thread of the runtime, which must not wait for itself.
        let signed = std::thread::scope(|scope| {
            let signing = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e.to_string()))?;
                runtime.block_on(Signer::new(&self.auth).token(&self.host))
            });
            signing.join().unwrap_or_else(|_| Err(failed("signing a token ended early")))
        })?;
        let expires_at = signed.expires_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let lifetime_ms = i64::try_from(expires_at.as_millis()).unwrap_or(i64::MAX);
        Ok(OAuthToken { token: signed.text.reveal().to_owned(), principal_name: "kferry".to_owned(), lifetime_ms })
    }

    #[cfg(not(feature = "aws"))]
    fn sign(&self) -> Result<OAuthToken, (AuthProblem, String)> {
        Err((AuthProblem::AwsCredentials, format!("auth.mode is {} for {}, and this build is without AWS", self.auth.mode.as_str(), self.host)))
    }
}

impl ClientContext for Told {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        self.note(problem(error.rdkafka_error_code(), reason), reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        match self.sign() {
            Ok(token) => {
                self.state().has_token = true;
                Ok(token)
            }
            Err((problem, seen)) => {
                self.note(Some(problem), &seen);
                Err(seen.into())
            }
        }
    }
}

impl ConsumerContext for Told {}

/// What a reason means. librdkafka and OpenSSL have words for it and no codes.
fn problem(code: Option<RDKafkaErrorCode>, reason: &str) -> Option<AuthProblem> {
    let says = |words: &[&str]| words.iter().any(|w| reason.contains(w));
    match code? {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL => {}
        // TLS 1.3 tells of a client certificate after the handshake.
        RDKafkaErrorCode::BrokerTransportFailure if says(&["SSL alert number"]) => {}
        _ => return None,
    }
    Some(if says(&["certificate has expired", "certificate is not yet valid"]) {
        AuthProblem::CertificateExpired
    } else if says(&["hostname mismatch", "IP address mismatch"]) {
        AuthProblem::HostName
    } else if says(&["unable to get local issuer", "self-signed certificate", "self signed certificate", "certificate verify failed"]) {
        AuthProblem::UnknownCa
    } else if says(&["alert", "peer did not return a certificate"]) && says(&["certificate", "unknown ca"]) {
        AuthProblem::ClientCertificate
    } else if says(&["mechanism handshake failed", "mechanism not supported", "Unsupported SASL mechanism"]) {
        AuthProblem::Mechanism
    } else if says(&["OAUTHBEARER", "invalid_token"]) {
        AuthProblem::Token
    } else if says(&["SASL"]) {
        AuthProblem::Credentials
    } else if says(&["wrong version number", "connecting to a PLAINTEXT"]) {
        AuthProblem::NotTls
    } else {
        AuthProblem::Tls
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode::{Authentication, BrokerTransportFailure, SSL};

    #[test]
    fn librdkafkas_reasons_are_told_apart() {
        for (code, reason, expected) in [
            (Authentication, "sasl_ssl://a:1/bootstrap: SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism", Some(AuthProblem::Mechanism)),
            (Authentication, "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512", Some(AuthProblem::Credentials)),
            (Authentication, "SASL authentication error: OAUTHBEARER: {\"status\":\"invalid_token\"}", Some(AuthProblem::Token)),
            (SSL, "SSL handshake failed: certificate verify failed: broker certificate could not be verified, certificate has expired", Some(AuthProblem::CertificateExpired)),
            (SSL, "SSL handshake failed: hostname mismatch: certificate verify failed", Some(AuthProblem::HostName)),
            (SSL, "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified", Some(AuthProblem::UnknownCa)),
            (SSL, "SSL handshake failed: ssl/tls alert bad certificate: client authentication might be required", Some(AuthProblem::ClientCertificate)),
            (BrokerTransportFailure, "Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42", Some(AuthProblem::ClientCertificate)),
            (BrokerTransportFailure, "Connection refused", None),
        ] {
            assert_eq!(problem(Some(code), reason), expected, "{reason}");
        }
    }
}
