//! One TCP connection to one broker: requests go out in call order, answers come back in the same order.
//!
//! A request is enqueued synchronously by `send`; a writer task and a reader task do the rest. What is known of a request
//! when the connection ends is kept apart: one that was never handed to the socket is `NotSent`, every other is in doubt.

use super::limits::{CONNECT_TIMEOUT, FRAME_BYTES_MAX, READ_BUFFER_BYTES, REQUEST_TIMEOUT, TIMEOUT_CHECK_INTERVAL, WRITE_GATHER_BYTES_MAX};
use super::request::Request;
use super::versions::BrokerVersions;
use super::wire::{self, Parts};
use crate::config::model::{AuthMode, ClusterConfig};
use crate::error::{Code, Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use bytes::buf::BufMut;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

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
}

impl CallError {
    /// Whether the request has certainly had no effect.
    pub fn is_certainly_unsent(&self) -> bool {
        matches!(self, CallError::NotSent(_))
    }
}

/// What lies under the protocol. TLS and SASL will have their places here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Plaintext,
}

/// How connections to a cluster are opened.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    transport: Transport,
    /// For TCP, and again for the handshake.
    pub connect_timeout: Duration,
    /// For requests whose caller gives none.
    pub request_timeout: Duration,
}

impl ConnectionOptions {
    /// Takes what `config` asks for.
    ///
    /// Errors: `KF-CONFIG-UNSUPPORTED` for every authentication mode but plaintext.
    pub fn from_config(config: &ClusterConfig) -> Result<Self> {
        let transport = match config.auth.mode {
            AuthMode::Plaintext => Transport::Plaintext,
            mode @ (AuthMode::Tls
            | AuthMode::Mtls
            | AuthMode::Plain
            | AuthMode::ScramSha256
            | AuthMode::ScramSha512
            | AuthMode::Iam) => {
                let seen = format!("authentication mode {mode:?} is asked for; this version speaks plaintext only");
                return Err(Error::new(Code::ConfigUnsupported, seen));
            }
        };
        Ok(Self { transport, connect_timeout: CONNECT_TIMEOUT, request_timeout: REQUEST_TIMEOUT })
    }
}

/// A connection to one broker. Clones share it; it closes when the last clone and the last pending answer are gone.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
    versions: Arc<BrokerVersions>,
}

struct Handle {
    shared: Arc<Shared>,
    request_timeout: Duration,
}

/// What the handles and the tasks of a connection share.
struct Shared {
    address: Arc<str>,
    state: Mutex<State>,
    outgoing_ready: Notify,
    tasks: OnceLock<[AbortHandle; 3]>,
}

#[derive(Default)]
struct State {
    closed: Option<Arc<str>>,
    next_correlation_id: i32,
    /// Not yet handed to the socket.
    outgoing: VecDeque<Outgoing>,
    /// Handed to the socket, at least in part.
    in_flight: VecDeque<InFlight>,
}

struct Outgoing {
    parts: Parts,
    expected: InFlight,
}

struct InFlight {
    correlation_id: i32,
    response_header_version: i16,
    deadline: Instant,
    reply: oneshot::Sender<std::result::Result<Bytes, CallError>>,
}

impl Connection {
    /// Opens a connection to `address` (`host:port`) and asks the broker for its versions.
    ///
    /// Errors: `NotSent` where nobody listens, or the handshake does not end well and in time.
    pub async fn open(address: &str, options: &ConnectionOptions) -> std::result::Result<Self, CallError> {
        let Transport::Plaintext = options.transport;
        let unreachable = |seen: String| CallError::NotSent(format!("{address}: {seen}").into());
        let stream = tokio::time::timeout(options.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| unreachable(format!("no connection within {:?}", options.connect_timeout)))?
            .map_err(|e| unreachable(e.to_string()))?;
        // Requests are written whole, so waiting for more to send only delays them. The buffers' sizes are left to the
        // kernel: set by hand, they would be fixed, and mostly below what it grows them to.
        stream.set_nodelay(true).map_err(|e| unreachable(e.to_string()))?;
        let handle = Arc::new(Handle::start(address, stream, options.request_timeout));
        let response = handle.handshake(options.connect_timeout).await.map_err(|e| unreachable(e.to_string()))?;
        Ok(Self { handle, versions: Arc::new(BrokerVersions::from_response(&response)) })
    }

    /// The broker's address as it was given.
    pub fn address(&self) -> &str {
        &self.handle.shared.address
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
        self.handle.shared.lock().closed.is_none()
    }

    /// Closes the connection; what is under way is answered with `NotSent` or `Lost`.
    pub fn close(&self, reason: &str) {
        self.handle.shared.close(reason, None);
    }

    /// Enqueues a request, in call order, and gives the answer to come; the request goes out whether that is awaited or not.
    pub fn send<R: Request>(&self, version: i16, request: &R) -> Pending<R> {
        self.send_within(self.handle.request_timeout, version, request)
    }

    /// The same with a timeout of its own, counted from now.
    pub fn send_within<R: Request>(&self, timeout: Duration, version: i16, request: &R) -> Pending<R> {
        Pending { raw: Handle::send(&self.handle, timeout, version, request), version, request: PhantomData }
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
        Handle::enqueue(&self.handle, timeout, api_key, version, frame, body)
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

impl Handle {
    fn start(address: &str, stream: TcpStream, request_timeout: Duration) -> Self {
        let shared = Arc::new(Shared {
            address: address.into(),
            state: Mutex::default(),
            outgoing_ready: Notify::new(),
            tasks: OnceLock::new(),
        });
        let (reader, writer) = stream.into_split();
        let tasks = [
            tokio::spawn(read_responses(shared.clone(), reader)).abort_handle(),
            tokio::spawn(write_requests(shared.clone(), writer)).abort_handle(),
            tokio::spawn(watch_deadlines(shared.clone())).abort_handle(),
        ];
        let tasks = shared.tasks.get_or_init(|| tasks);
        if shared.lock().closed.is_some() {
            tasks.iter().for_each(AbortHandle::abort);
        }
        Self { shared, request_timeout }
    }

    fn send<R: Request>(self: &Arc<Self>, timeout: Duration, version: i16, request: &R) -> PendingRaw {
        let unencodable = |e: &dyn fmt::Display| CallError::Protocol(format!("{} v{version} cannot be encoded: {e}", R::NAME).into());
        let frame = request.compute_size(version).map_err(|e| unencodable(&e)).and_then(|size| {
            let mut frame = wire::begin_frame(R::KEY, version, size)?;
            request.encode(&mut frame, version).map_err(|e| unencodable(&e))?;
            Ok(frame)
        });
        Self::enqueue(self, timeout, R::KEY, version, frame, Vec::new())
    }

    fn enqueue(
        self: &Arc<Self>,
        timeout: Duration,
        api_key: i16,
        version: i16,
        frame: std::result::Result<BytesMut, CallError>,
        body: Vec<Bytes>,
    ) -> PendingRaw {
        let (reply, receiver) = oneshot::channel();
        let prepared = frame.and_then(|mut frame| {
            wire::set_length(&mut frame, body.iter().map(Bytes::len).sum())?;
            Ok((frame, wire::response_header_version(api_key, version)?))
        });
        match prepared {
            Ok((mut frame, response_header_version)) => {
                let deadline = Instant::now() + timeout;
                let mut state = self.shared.lock();
                if let Some(reason) = &state.closed {
                    let _ = reply.send(Err(CallError::NotSent(reason.clone())));
                } else {
                    let correlation_id = state.next_correlation_id;
                    state.next_correlation_id = correlation_id.wrapping_add(1);
                    wire::set_correlation_id(&mut frame, correlation_id);
                    let mut parts = Parts::default();
                    parts.push(frame.freeze());
                    body.into_iter().for_each(|part| parts.push(part));
                    let expected = InFlight { correlation_id, response_header_version, deadline, reply };
                    state.outgoing.push_back(Outgoing { parts, expected });
                    drop(state);
                    self.shared.outgoing_ready.notify_one();
                }
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
        PendingRaw { receiver, _open: self.clone() }
    }

    /// Asks for the broker's versions, in v3 and then, of a broker that does not know that, in v0. Source: KIP-511.
    async fn handshake(self: &Arc<Self>, timeout: Duration) -> std::result::Result<ApiVersionsResponse, CallError> {
        const UNSUPPORTED_VERSION: i16 = 35;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("kferry"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        for version in [3, 0] {
            let mut body = Self::send(self, timeout, version, &request).await?;
            // The error is answered in v0 whatever was asked.
            if version > 0 && body.get(..2) == Some(&UNSUPPORTED_VERSION.to_be_bytes()) {
                continue;
            }
            let response = ApiVersionsResponse::decode(&mut body, version)
                .map_err(|e| CallError::Protocol(format!("ApiVersions v{version} cannot be read: {e}").into()))?;
            return match response.error_code {
                0 => Ok(response),
                code => Err(CallError::Protocol(format!("ApiVersions v{version} is answered with error {code}").into())),
            };
        }
        Err(CallError::Protocol("the broker knows neither ApiVersions v3 nor v0".into()))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close("closed by kferry", None);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection and answers everything under way; of these, what is past its deadline at `expired_at` as timed out.
    fn close(&self, reason: &str, expired_at: Option<Instant>) {
        let reason: Arc<str> = format!("{}: {reason}", self.address).into();
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(reason.clone());
        let (outgoing, in_flight) = (std::mem::take(&mut state.outgoing), std::mem::take(&mut state.in_flight));
        drop(state);
        for request in outgoing {
            let _ = request.expected.reply.send(Err(CallError::NotSent(reason.clone())));
        }
        for request in in_flight {
            let expired = expired_at.is_some_and(|now| request.deadline <= now);
            let error = if expired { CallError::Timeout(reason.clone()) } else { CallError::Lost(reason.clone()) };
            let _ = request.reply.send(Err(error));
        }
        self.tasks.get().into_iter().flatten().for_each(AbortHandle::abort);
    }

    /// Takes requests for one write: small ones together, a large one alone. From here on they count as in flight.
    fn take_outgoing(&self) -> Parts {
        let mut state = self.lock();
        let mut parts = Parts::default();
        while let Some(next) = state.outgoing.front() {
            if parts.has_remaining() && parts.remaining() + next.parts.remaining() > WRITE_GATHER_BYTES_MAX {
                break;
            }
            if let Some(next) = state.outgoing.pop_front() {
                parts.append(next.parts);
                state.in_flight.push_back(next.expected);
            }
        }
        parts
    }

    /// Hands an answer to the request that has waited longest.
    fn answer(&self, frame: Bytes) -> std::result::Result<(), String> {
        let Some(correlation_id) = frame.first_chunk::<4>().map(|id| i32::from_be_bytes(*id)) else {
            return Err("an answer is too short".into());
        };
        let mut state = self.lock();
        match state.in_flight.front() {
            Some(expected) if expected.correlation_id == correlation_id => {}
            Some(expected) => {
                return Err(format!("an answer has correlation id {correlation_id} instead of {}", expected.correlation_id));
            }
            None => return Err(format!("an answer to nothing, with correlation id {correlation_id}")),
        }
        if let Some(request) = state.in_flight.pop_front() {
            drop(state);
            let _ = request.reply.send(wire::split_response(frame, request.response_header_version));
        }
        Ok(())
    }
}

async fn write_requests(shared: Arc<Shared>, mut writer: OwnedWriteHalf) {
    loop {
        let mut parts = shared.take_outgoing();
        if !parts.has_remaining() {
            shared.outgoing_ready.notified().await;
            continue;
        }
        if let Err(error) = writer.write_all_buf(&mut parts).await {
            return shared.close(&error.to_string(), None);
        }
    }
}

async fn read_responses(shared: Arc<Shared>, reader: OwnedReadHalf) {
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    loop {
        let outcome = match read_frame(&mut reader).await {
            Ok(frame) => shared.answer(frame),
            Err(error) => Err(error),
        };
        if let Err(reason) = outcome {
            return shared.close(&reason, None);
        }
    }
}

/// Reads one frame without its length, into memory of exactly its size.
async fn read_frame(reader: &mut BufReader<OwnedReadHalf>) -> std::result::Result<Bytes, String> {
    let length = reader.read_i32().await.map_err(describe)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or("an answer's length is out of bounds; is this a Kafka listener without TLS?")?;
    let mut frame = BytesMut::with_capacity(length);
    while frame.len() < length {
        let missing = length - frame.len();
        if reader.read_buf(&mut (&mut frame).limit(missing)).await.map_err(describe)? == 0 {
            return Err("the broker closed the connection in mid-answer".into());
        }
    }
    Ok(frame.freeze())
}

fn describe(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the broker closed the connection".into(),
        _ => error.to_string(),
    }
}

/// Closes the connection once a request is past its deadline, whether anybody awaits its answer or not.
async fn watch_deadlines(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TIMEOUT_CHECK_INTERVAL).await;
        let now = Instant::now();
        let state = shared.lock();
        let expired = state.in_flight.iter().chain(state.outgoing.iter().map(|o| &o.expected)).any(|r| r.deadline <= now);
        drop(state);
        if expired {
            return shared.close("no answer in time", Some(now));
        }
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

#[cfg(test)]
mod tests;
