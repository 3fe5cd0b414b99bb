//! What lies behind a connection's handles: the queue of requests, the writer, the reader and the watch over deadlines.

use super::{CallError, PendingRaw};
use crate::kafka::limits::{FRAME_BYTES_MAX, READ_BUFFER_BYTES, TIMEOUT_CHECK_INTERVAL, WRITE_GATHER_BYTES_MAX};
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
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

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

impl Handle {
    pub(super) fn start(address: &str, stream: TcpStream, request_timeout: Duration) -> Self {
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

    pub(super) fn send<R: Request>(self: &Arc<Self>, timeout: Duration, version: i16, request: &R) -> PendingRaw {
        let unencodable = |e: &dyn fmt::Display| CallError::Protocol(format!("{} v{version} cannot be encoded: {e}", R::NAME).into());
        let frame = request.compute_size(version).map_err(|e| unencodable(&e)).and_then(|size| {
            let mut frame = wire::begin_frame(R::KEY, version, size)?;
            request.encode(&mut frame, version).map_err(|e| unencodable(&e))?;
            Ok(frame)
        });
        Self::enqueue(self, timeout, R::KEY, version, frame, Vec::new())
    }

    pub(super) fn enqueue(
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
    pub(super) async fn handshake(self: &Arc<Self>, timeout: Duration) -> std::result::Result<ApiVersionsResponse, CallError> {
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
