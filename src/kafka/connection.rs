//! One TCP connection to one broker: requests go out in call order, answers come back in the same order.
//!
//! A request is enqueued synchronously by `send`; a writer task and a reader task do the rest. What is known of a request
//! when the connection ends is kept apart: one that was never handed to the socket is `NotSent`, every other is in doubt.

mod link;
mod login;
#[cfg(test)]
mod tests;

use self::link::{Handle, Turn};
use super::auth::sasl::Sasl;
use super::auth::{AuthProblem, tls};
use super::limits::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use super::request::Request;
use super::versions::BrokerVersions;
use super::wire;
use crate::config::model::ClusterConfig;
use crate::error::Result;
use bytes::Bytes;
use kafka_protocol::protocol::Decodable;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Why a request has no answer. The text says what was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No byte of the request was handed to the socket: it has certainly had no effect.
    #[error("not sent: {0}")]
    NotSent(Arc<str>),
    /// The connection ended before the answer: the request may have taken effect, now or later.
    #[error("connection lost: {0}")]
    Lost(Arc<str>),
    /// The answer did not come in time, and the connection was closed: as for `Lost`.
    #[error("timed out: {0}")]
    Timeout(Arc<str>),
    /// The request cannot be expressed, or the answer cannot be read.
    #[error("protocol: {0}")]
    Protocol(Arc<str>),
    /// The broker is there, and it and kferry do not agree on who they are: nothing was sent.
    #[error("{1}")]
    Auth(AuthProblem, Arc<str>),
}

impl CallError {
    /// Whether the request has certainly had no effect.
    pub fn is_certainly_unsent(&self) -> bool {
        matches!(self, CallError::NotSent(_) | CallError::Auth(..))
    }

    /// The error at a cluster that has let us in before: what may pass by itself is an outage there, not another kind of listener.
    pub(super) fn at_a_known_cluster(self) -> Self {
        match self {
            CallError::Auth(problem, seen) if problem.may_pass() => CallError::NotSent(seen),
            error => error,
        }
    }
}

/// How connections to a cluster are opened.
#[derive(Clone)]
pub struct ConnectionOptions {
    tls: Option<Arc<rustls::ClientConfig>>,
    sasl: Option<Arc<Sasl>>,
    /// For TCP, and again for each handshake above it.
    pub connect_timeout: Duration,
    /// For requests whose caller gives none.
    pub request_timeout: Duration,
}

impl ConnectionOptions {
    /// Takes what `config` asks for.
    ///
    /// Errors: `KF-AUTH-FILE` for certificates and keys that cannot be used; `KF-CONFIG-UNSUPPORTED` for IAM in a build without AWS.
    pub fn from_config(config: &ClusterConfig) -> Result<Self> {
        let auth = &config.auth;
        let tls = if auth.security_protocol.has_tls() { Some(tls::client_config(auth)?) } else { None };
        let sasl = Sasl::from_config(auth)?.map(Arc::new);
        Ok(Self { tls, sasl, connect_timeout: CONNECT_TIMEOUT, request_timeout: REQUEST_TIMEOUT })
    }
}

impl fmt::Debug for ConnectionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionOptions").field("tls", &self.tls.is_some()).field("sasl", &self.sasl).finish_non_exhaustive()
    }
}

/// A connection to one broker. Clones share it; it closes when the last clone and the last pending answer are gone.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
    versions: Arc<BrokerVersions>,
    speaks_sasl: bool,
}

impl Connection {
    /// Opens a connection to `address` (`host:port`), authenticates both sides and asks the broker for its versions.
    ///
    /// Errors: `NotSent` where nobody listens, or a handshake does not end in time; `Auth` where one ends in a refusal.
    pub async fn open(address: &str, options: &ConnectionOptions) -> std::result::Result<Self, CallError> {
        let unreachable = |seen: String| CallError::NotSent(format!("{address}: {seen}").into());
        let stream = tokio::time::timeout(options.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| unreachable(format!("no connection within {:?}", options.connect_timeout)))?
            .map_err(|e| unreachable(e.to_string()))?;
        // Requests are written whole, so waiting for more to send only delays them. The buffers' sizes are left to the
        // kernel: set by hand, they would be fixed, and mostly below what it grows them to.
        stream.set_nodelay(true).map_err(|e| unreachable(e.to_string()))?;
        let handle = match &options.tls {
            None => Handle::start(address, stream, options.request_timeout),
            Some(tls) => Handle::start_tls(address, login::encrypt(address, stream, tls, options.connect_timeout).await?, options.request_timeout),
        };
        let handle = Arc::new(handle);
        let ask = async || {
            let response = handle.handshake(options.connect_timeout).await.map_err(|e| handle.explained(e))?;
            Ok(Arc::new(BrokerVersions::from_response(&response)))
        };
        let mut versions = ask().await?;
        if let Some(sasl) = &options.sasl {
            login::log_in(&handle, &versions, sasl, options.connect_timeout).await?;
            // A broker may say more to who has a name.
            versions = ask().await?;
        }
        Ok(Self { handle, versions, speaks_sasl: options.sasl.is_some() })
    }

    /// What it means where the broker ends the connection at the first request: a listener that wants SASL does so.
    pub(super) fn explained(&self, error: CallError) -> CallError {
        match error {
            CallError::Lost(seen) if !self.speaks_sasl && self.handle.was_ended_by_the_broker() => {
                CallError::Auth(AuthProblem::SaslExpected, format!("{seen}; the listener may want SASL").into())
            }
            error => error,
        }
    }

    /// The broker's address as it was given.
    pub fn address(&self) -> &str {
        self.handle.address()
    }

    /// What the broker offers.
    pub fn versions(&self) -> &BrokerVersions {
        &self.versions
    }

    /// The highest version of a request within `min..=max` that both sides know.
    pub fn version_for<R: Request>(&self, min: i16, max: i16) -> Option<i16> {
        self.versions.version_for::<R>(min, max)
    }

    pub fn is_alive(&self) -> bool {
        self.handle.is_alive()
    }

    /// Closes the connection; what is under way is answered with `NotSent` or `Lost`.
    pub fn close(&self, reason: &str) {
        self.handle.close(reason);
    }

    /// Enqueues a request, in call order, and gives the answer to come; the request goes out whether that is awaited or not.
    pub fn send<R: Request>(&self, version: i16, request: &R) -> Pending<R> {
        self.send_within(self.handle.request_timeout, version, request)
    }

    /// The same with a timeout of its own, counted from now.
    pub fn send_within<R: Request>(&self, timeout: Duration, version: i16, request: &R) -> Pending<R> {
        Pending { raw: Handle::send(&self.handle, Turn::InOrder, timeout, version, request), version, request: PhantomData }
    }

    /// Enqueues a request whose body is encoded already, in parts that are not copied, and gives the body of the answer to come.
    ///
    /// The request must be one that is answered (a Produce with acks other than 0).
    pub fn send_frames(&self, api_key: i16, version: i16, body: Vec<Bytes>) -> PendingRaw {
        self.send_frames_within(self.handle.request_timeout, api_key, version, body)
    }

    /// The same with a timeout of its own, counted from now.
    pub fn send_frames_within(&self, timeout: Duration, api_key: i16, version: i16, body: Vec<Bytes>) -> PendingRaw {
        let frame = wire::begin_frame(api_key, version, 0);
        Handle::enqueue(&self.handle, Turn::InOrder, timeout, api_key, version, frame, body)
    }

    /// Sends a request and waits for its answer.
    pub async fn call<R: Request>(&self, version: i16, request: &R) -> std::result::Result<R::Response, CallError> {
        self.send(version, request).await
    }

    /// The same with a timeout of its own.
    pub async fn call_within<R: Request>(
        &self,
        timeout: Duration,
        version: i16,
        request: &R,
    ) -> std::result::Result<R::Response, CallError> {
        self.send_within(timeout, version, request).await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address()).field("alive", &self.is_alive()).finish()
    }
}

/// The answer to come to a request that was sent with encoded parts: the body after the response header.
#[must_use = "the answer says whether the request was carried out"]
pub struct PendingRaw {
    receiver: oneshot::Receiver<std::result::Result<Bytes, CallError>>,
    /// Keeps the connection open until the answer is there.
    _open: Arc<Handle>,
}

impl Future for PendingRaw {
    type Output = std::result::Result<Bytes, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(answer.unwrap_or_else(|_| Err(CallError::Lost("the connection's tasks ended".into()))))
    }
}

/// The answer to come to a request.
#[must_use = "the answer says whether the request was carried out"]
pub struct Pending<R> {
    raw: PendingRaw,
    version: i16,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Future for Pending<R> {
    type Output = std::result::Result<R::Response, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut body = ready!(Pin::new(&mut self.raw).poll(context))?;
        let version = self.version;
        Poll::Ready(R::Response::decode(&mut body, version).map_err(|e| {
            CallError::Protocol(format!("the answer to {} v{version} cannot be read: {e}", R::NAME).into())
        }))
    }
}
