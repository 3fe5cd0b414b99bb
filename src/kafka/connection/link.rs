//! What lies behind a connection's handles: the queue of requests, the writer, the reader and the watch over deadlines.

use super::{CallError, PendingRaw};
use crate::kafka::auth::{AuthProblem, tls};
use crate::kafka::limits::{FRAME_BYTES_MAX, LAST_WORDS, READ_BUFFER_BYTES, TIMEOUT_CHECK_INTERVAL, WRITE_GATHER_BYTES_MAX};
use crate::kafka::request::Request;
use crate::kafka::wire::{self, Parts};
use bytes::buf::BufMut;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio_rustls::client::TlsStream;

/// One direction of whatever lies under the protocol.
type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// When a request goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// After all that was sent before it.
    InOrder,
    /// A request of a login: before what is held back.
    Login,
}

/// An open connection; it closes when the last reference to this is gone.
pub(super) struct Handle {
    shared: Arc<Shared>,
    pub(super) request_timeout: Duration,
}

/// What the handles and the tasks of a connection share.
struct Shared {
    address: Arc<str>,
    state: Mutex<State>,
    outgoing_ready: Notify,
    tasks: OnceLock<[AbortHandle; 3]>,
    /// Logs in again before the session ends, where sessions end.
    session: OnceLock<AbortHandle>,
    has_tls: bool,
}

#[derive(Default)]
struct State {
    closed: Option<Arc<str>>,
    /// What the end means, where it tells.
    problem: Option<(AuthProblem, String)>,
    ended_by_broker: bool,
    /// While a login goes on, only its own requests go out.
    held: bool,
    login: VecDeque<Outgoing>,
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

impl Handle {
    pub(super) fn start(address: &str, stream: TcpStream, request_timeout: Duration) -> Self {
        let (reader, writer) = stream.into_split();
        Self::start_over(address, Box::new(reader), Box::new(writer), false, request_timeout)
    }

    pub(super) fn start_tls(address: &str, stream: TlsStream<TcpStream>, request_timeout: Duration) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self::start_over(address, Box::new(reader), Box::new(writer), true, request_timeout)
    }

    fn start_over(address: &str, reader: Box<dyn AsyncRead + Send + Unpin>, writer: Writer, has_tls: bool, request_timeout: Duration) -> Self {
        let shared = Arc::new(Shared {
            address: address.into(),
            state: Mutex::default(),
            outgoing_ready: Notify::new(),
            tasks: OnceLock::new(),
            session: OnceLock::new(),
            has_tls,
        });
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

    pub(super) fn send<R: Request>(self: &Arc<Self>, turn: Turn, timeout: Duration, version: i16, request: &R) -> PendingRaw {
        let unencodable = |e: &dyn fmt::Display| CallError::Protocol(format!("{} v{version} cannot be encoded: {e}", R::NAME).into());
        let frame = request.compute_size(version).map_err(|e| unencodable(&e)).and_then(|size| {
            let mut frame = wire::begin_frame(R::KEY, version, size)?;
            request.encode(&mut frame, version).map_err(|e| unencodable(&e))?;
            Ok(frame)
        });
        Self::enqueue(self, turn, timeout, R::KEY, version, frame, Vec::new())
    }

    pub(super) fn enqueue(
        self: &Arc<Self>,
        turn: Turn,
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
                    let outgoing = Outgoing { parts, expected };
                    match turn {
                        Turn::InOrder => state.outgoing.push_back(outgoing),
                        Turn::Login => state.login.push_back(outgoing),
                    }
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
    pub(super) async fn handshake(self: &Arc<Self>, timeout: Duration) -> std::result::Result<ApiVersionsResponse, CallError> {
        const UNSUPPORTED_VERSION: i16 = 35;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("kferry"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        for version in [3, 0] {
            let mut body = Self::send(self, Turn::InOrder, timeout, version, &request).await?;
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

impl Handle {
    pub(super) fn address(&self) -> &str {
        &self.shared.address
    }

    pub(super) fn is_alive(&self) -> bool {
        self.shared.lock().closed.is_none()
    }

    pub(super) fn close(&self, reason: &str) {
        self.shared.close(reason, None);
    }

    /// Holds back every request but those of a login until `release`; what has been sent is answered meanwhile.
    pub(super) fn hold(&self) {
        self.shared.lock().held = true;
    }

    pub(super) fn release(&self) {
        self.shared.lock().held = false;
        self.shared.outgoing_ready.notify_one();
    }

    /// Ends `session` with the connection.
    pub(super) fn keep_session(&self, session: AbortHandle) {
        let session = self.shared.session.get_or_init(|| session);
        if !self.is_alive() {
            session.abort();
        }
    }

    /// The error that a handshake ended in, as what the connection's end tells of it.
    pub(super) fn explained(&self, error: CallError) -> CallError {
        match &self.shared.lock().problem {
            Some((problem, seen)) => CallError::Auth(*problem, format!("{}: {seen}", self.address()).into()),
            None => match error {
                CallError::Auth(..) => error,
                error => CallError::NotSent(format!("{}: {error}", self.address()).into()),
            },
        }
    }

    /// Whether the broker ended the connection, without a word.
    pub(super) fn was_ended_by_the_broker(&self) -> bool {
        self.shared.lock().ended_by_broker
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
        let (outgoing, login) = (std::mem::take(&mut state.outgoing), std::mem::take(&mut state.login));
        let in_flight = std::mem::take(&mut state.in_flight);
        drop(state);
        for request in login.into_iter().chain(outgoing) {
            let _ = request.expected.reply.send(Err(CallError::NotSent(reason.clone())));
        }
        for request in in_flight {
            let expired = expired_at.is_some_and(|now| request.deadline <= now);
            let error = if expired { CallError::Timeout(reason.clone()) } else { CallError::Lost(reason.clone()) };
            let _ = request.reply.send(Err(error));
        }
        self.tasks.get().into_iter().flatten().chain(self.session.get()).for_each(AbortHandle::abort);
    }

    /// Ends the connection for what was met while reading or writing.
    fn end(&self, ended: Ended) {
        let mut state = self.lock();
        if state.closed.is_none() {
            state.problem = ended.problem;
            state.ended_by_broker = ended.by_broker;
        }
        drop(state);
        self.close(&ended.reason, None);
    }

    /// Takes requests for one write: small ones together, a large one alone. From here on they count as in flight.
    fn take_outgoing(&self) -> Parts {
        let mut state = self.lock();
        let state = &mut *state;
        let queue = if state.held { &mut state.login } else { &mut state.outgoing };
        let mut parts = Parts::default();
        while let Some(next) = queue.front() {
            if parts.has_remaining() && parts.remaining() + next.parts.remaining() > WRITE_GATHER_BYTES_MAX {
                break;
            }
            if let Some(next) = queue.pop_front() {
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

/// Why reading or writing ended.
struct Ended {
    reason: String,
    problem: Option<(AuthProblem, String)>,
    /// The broker closed the connection, and said nothing.
    by_broker: bool,
}

impl From<String> for Ended {
    fn from(reason: String) -> Self {
        Self { reason, problem: None, by_broker: false }
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let problem = tls::problem(&error);
        let reason = match error.kind() {
            UnexpectedEof => "the broker closed the connection".into(),
            _ => error.to_string(),
        };
        Self { reason, problem, by_broker: matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe) }
    }
}

async fn write_requests(shared: Arc<Shared>, mut writer: Writer) {
    loop {
        let mut parts = shared.take_outgoing();
        if !parts.has_remaining() {
            shared.outgoing_ready.notified().await;
            continue;
        }
        let written = match writer.write_all_buf(&mut parts).await {
            // TLS keeps what the socket did not take at once.
            Ok(()) => writer.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            let ended = Ended::from(error);
            if ended.by_broker {
                // What the broker has said before it went is still to be read, and says more: the reader has the last word.
                tokio::time::sleep(LAST_WORDS).await;
            }
            return shared.end(ended);
        }
    }
}

async fn read_responses(shared: Arc<Shared>, reader: Box<dyn AsyncRead + Send + Unpin>) {
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    let mut is_first = true;
    loop {
        let outcome = match read_frame(&mut reader, is_first && !shared.has_tls).await {
            Ok(frame) => shared.answer(frame).map_err(Ended::from),
            Err(mut ended) => {
                if is_first && ended.by_broker && ended.problem.is_none() && !shared.has_tls {
                    let seen = "the broker ends the connection at the first request; the listener may want TLS".to_owned();
                    ended.problem = Some((AuthProblem::TlsExpected, seen));
                }
                Err(ended)
            }
        };
        is_first = false;
        if let Err(ended) = outcome {
            return shared.end(ended);
        }
    }
}

/// Reads one frame without its length, into memory of exactly its size.
async fn read_frame(reader: &mut Reader, may_be_tls: bool) -> std::result::Result<Bytes, Ended> {
    let length = reader.read_i32().await?;
    // A TLS record of an alert or a handshake, and its version. Source: RFC 8446, section 5.1.
    if may_be_tls && matches!(length.to_be_bytes(), [0x15 | 0x16, 0x03, ..]) {
        let seen = "the listener answers in TLS".to_owned();
        return Err(Ended { reason: seen.clone(), problem: Some((AuthProblem::TlsExpected, seen)), by_broker: true });
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| "an answer's length is out of bounds; is this a Kafka listener?".to_owned())?;
    let mut frame = BytesMut::with_capacity(length);
    while frame.len() < length {
        let missing = length - frame.len();
        if reader.read_buf(&mut (&mut frame).limit(missing)).await? == 0 {
            return Err("the broker closed the connection in mid-answer".to_owned().into());
        }
    }
    Ok(frame.freeze())
}

/// Closes the connection once a request is past its deadline, whether anybody awaits its answer or not.
async fn watch_deadlines(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TIMEOUT_CHECK_INTERVAL).await;
        let now = Instant::now();
        let state = shared.lock();
        let waiting = state.login.iter().chain(&state.outgoing).map(|o| &o.expected);
        let expired = state.in_flight.iter().chain(waiting).any(|r| r.deadline <= now);
        drop(state);
        if expired {
            return shared.close("no answer in time", Some(now));
        }
    }
}
