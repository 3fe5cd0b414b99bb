//! What comes before the first request, and again before a session ends: TLS, SASL, and the login that renews it.
//!
//! A broker carries out one request of a connection after the other, so a renewing login goes out behind what is in flight, and
//! whatever is enqueued meanwhile waits behind the login: nothing is lost, and the order stays. Source: KIP-368.

use super::CallError;
use super::link::{Handle, Turn};
use crate::kafka::auth::sasl::{Login, Sasl};
use crate::kafka::auth::{AuthProblem, tls};
use crate::kafka::limits::{LOGIN_INTERVAL_MIN, LOGIN_MESSAGES_MAX, RENEWAL_TIMEOUT};
use crate::kafka::versions::BrokerVersions;
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// How Amazon MSK refuses a login beyond its connections per second, though nothing is wrong with who logs in.
/// Source: aws-msk-iam-auth, issues 28 and 45.
const TOO_MANY_CONNECTS: &str = "Too many connects";

/// A pause before credentials that could not be had are asked for again, while the session lasts.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Puts TLS over a connection and makes sure of the broker's certificate.
pub(super) async fn encrypt(
    address: &str,
    stream: TcpStream,
    config: &Arc<rustls::ClientConfig>,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, CallError> {
    let name = tls::server_name(address).map_err(|seen| CallError::Auth(AuthProblem::HostName, format!("{address}: {seen}").into()))?;
    let handshake = TlsConnector::from(config.clone()).connect(name, stream);
    match tokio::time::timeout(timeout, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match tls::problem(&error).or_else(|| tls::ended(&error)) {
            Some((problem, seen)) => CallError::Auth(problem, format!("{address}: {seen}").into()),
            None => CallError::NotSent(format!("{address}: {error}").into()),
        }),
        Err(_) => Err(CallError::NotSent(format!("{address}: no TLS handshake within {timeout:?}").into())),
    }
}

/// Logs in on a new connection, and sees to it that the session is renewed for as long as the connection is open.
pub(super) async fn log_in(handle: &Arc<Handle>, versions: &Arc<BrokerVersions>, sasl: &Arc<Sasl>, timeout: Duration) -> Result<(), CallError> {
    let refused = |(problem, seen): (AuthProblem, String)| CallError::Auth(problem, format!("{}: {seen}", handle.address()).into());
    let login = sasl.begin(host(handle)).await.map_err(refused)?;
    if let Some(lifetime) = exchange(handle, versions, sasl, login, Turn::InOrder, timeout).await? {
        let session = tokio::spawn(renew(Arc::downgrade(handle), versions.clone(), sasl.clone(), lifetime));
        handle.keep_session(session.abort_handle());
    }
    Ok(())
}

/// Renews the session for as long as the connection is open.
async fn renew(handle: std::sync::Weak<Handle>, versions: Arc<BrokerVersions>, sasl: Arc<Sasl>, mut lifetime: Duration) {
    loop {
        let ends_at = Instant::now() + lifetime;
        tokio::time::sleep(renew_after(lifetime)).await;
        let Some(handle) = handle.upgrade().filter(|handle| handle.is_alive()) else { return };
        // What takes time is got ready before anything is held back.
        let login = loop {
            match sasl.begin(host(&handle)).await {
                Ok(login) => break login,
                Err((_, seen)) if Instant::now() + RETRY_PAUSE < ends_at => {
                    tracing::warn!(broker = handle.address(), seen, "the session cannot be renewed yet");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err((_, seen)) => return handle.close(&format!("the session cannot be renewed: {seen}")),
            }
        };
        handle.hold();
        match exchange(&handle, &versions, &sasl, login, Turn::Login, RENEWAL_TIMEOUT).await {
            Ok(next) => {
                handle.release();
                tracing::debug!(broker = handle.address(), "session renewed");
                match next {
                    Some(next) => lifetime = next,
                    None => return,
                }
            }
            Err(error) => return handle.close(&format!("the session cannot be renewed: {error}")),
        }
    }
}

/// When a session of this length is renewed: at three quarters to seven eighths of it, so that not all connections do it at once.
fn renew_after(lifetime: Duration) -> Duration {
    let eighth = lifetime / 8;
    let random = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    (eighth * 6 + eighth.mul_f64(random)).max(LOGIN_INTERVAL_MIN)
}

/// One login; the time after which the broker wants another, where it does.
async fn exchange(
    handle: &Arc<Handle>,
    versions: &BrokerVersions,
    sasl: &Sasl,
    mut login: Login<'_>,
    turn: Turn,
    timeout: Duration,
) -> Result<Option<Duration>, CallError> {
    let problem = |problem: AuthProblem, seen: String| CallError::Auth(problem, format!("{}: {seen}", handle.address()).into());
    let mechanism = sasl.mechanism();
    let too_old = || problem(AuthProblem::Mechanism, "the broker offers no SASL handshake that kferry speaks".to_owned());
    let handshake_version = versions.version_for::<SaslHandshakeRequest>(1, 1).ok_or_else(too_old)?;
    let version = versions.version_for::<SaslAuthenticateRequest>(0, 2).ok_or_else(too_old)?;
    let unanswered = |error: CallError| handle.explained(error);

    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let mut body = handle.send(turn, timeout, handshake_version, &request).await.map_err(unanswered)?;
    let answer = SaslHandshakeResponse::decode(&mut body, handshake_version).map_err(|e| problem(AuthProblem::Mechanism, format!("SaslHandshake cannot be read: {e}")))?;
    match answer.error_code {
        0 => {}
        UNSUPPORTED_SASL_MECHANISM => {
            let offered: Vec<&str> = answer.mechanisms.iter().map(|m| &**m).collect();
            return Err(problem(AuthProblem::Mechanism, format!("the listener does not offer {mechanism}; it offers {}", offered.join(", "))));
        }
        ILLEGAL_SASL_STATE => return Err(problem(AuthProblem::Mechanism, format!("{mechanism} is asked of a listener without SASL"))),
        code => return Err(problem(AuthProblem::Mechanism, format!("SaslHandshake is answered with error {code}"))),
    }

    let mut message = login.first();
    let mut said = String::new();
    for _ in 0..LOGIN_MESSAGES_MAX {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
        let mut body = handle.send(turn, timeout, version, &request).await.map_err(unanswered)?;
        let answer = SaslAuthenticateResponse::decode(&mut body, version).map_err(|e| problem(sasl.refused(), format!("SaslAuthenticate cannot be read: {e}")))?;
        if answer.error_code != 0 {
            let why = answer.error_message.as_deref().unwrap_or_default();
            let name = if answer.error_code == SASL_AUTHENTICATION_FAILED { "SASL_AUTHENTICATION_FAILED" } else { "an error" };
            if answer.error_code == SASL_AUTHENTICATION_FAILED && why.contains(TOO_MANY_CONNECTS) {
                return Err(CallError::NotSent(format!("{}: \"{why}\"", handle.address()).into()));
            }
            let said = if said.is_empty() { said } else { format!(", {said}") };
            return Err(problem(sasl.refused(), format!("the broker answers {mechanism} with {name} ({}), \"{why}\"{said}", answer.error_code)));
        }
        match login.answer(&answer.auth_bytes).map_err(|(p, seen)| problem(p, seen))? {
            Some(next) => message = next,
            None => {
                let lifetime = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
                return Ok((lifetime > 0).then(|| Duration::from_millis(lifetime)));
            }
        }
        if mechanism == "OAUTHBEARER" {
            // The broker's reason, which it repeats less clearly as an error.
            said = String::from_utf8_lossy(&answer.auth_bytes).into_owned();
        }
    }
    Err(problem(sasl.refused(), format!("{mechanism} does not come to an end")))
}

fn host(handle: &Handle) -> &str {
    let address = handle.address();
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
