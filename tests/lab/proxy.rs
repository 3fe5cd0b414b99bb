//! Faults on the wire: a proxy that knows Kafka's frames, and one for anything else that speaks TCP.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::process::free_port;

/// Kafka's api keys of requests that change a log.
pub const PRODUCE: i16 = 0;
pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
pub const END_TXN: i16 = 26;
pub const WRITE_TXN_MARKERS: i16 = 27;
const CHUNK: usize = 64 << 10;

/// Listens until dropped and hands every connection to a thread of its own.
pub(super) struct Listener {
    pub(super) port: u16,
    stop: Arc<AtomicBool>,
}

impl Listener {
    pub(super) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|e| panic!("proxy on port {port}: {e}"));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (stop.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let _ = stream.set_nodelay(true);
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { port, stop }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The open connections of a proxy, so that they can be cut.
#[derive(Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, (TcpStream, TcpStream)>,
}

impl Connections {
    fn add(&mut self, near: &TcpStream, far: &TcpStream) -> io::Result<u64> {
        self.next += 1;
        self.open.insert(self.next, (near.try_clone()?, far.try_clone()?));
        Ok(self.next)
    }

    fn cut(&mut self) -> usize {
        let count = self.open.len();
        for (near, far) in std::mem::take(&mut self.open).into_values() {
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        }
        count
    }
}

#[derive(Default)]
struct KafkaState {
    /// Answers to swallow, by api key.
    drops: Mutex<HashMap<i16, u64>>,
    /// Requests that are never answered: their connections are closed.
    unanswered: Mutex<Vec<i16>>,
    /// Requests that went through, by api key, and the bytes of all answers.
    requests: Mutex<BTreeMap<i16, u64>>,
    answered_bytes: AtomicU64,
    produces_dropped: AtomicU64,
    produces_answered: AtomicU64,
    refusing: AtomicBool,
    stalled_until: Mutex<Option<Instant>>,
    connections: Mutex<Connections>,
}

impl KafkaState {
    fn wait_out_stall(&self) {
        loop {
            let until = *self.stalled_until.lock().unwrap();
            match until.map(|t| t.saturating_duration_since(Instant::now())) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(Duration::from_millis(50))),
                _ => return,
            }
        }
    }

    /// Takes one of the drops that were asked for, if any is left.
    fn take_drop(&self, key: i16) -> bool {
        let mut drops = self.drops.lock().unwrap();
        let left = drops.get_mut(&key).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

/// Stands before one broker's listener. Frames pass unchanged; it only looks at api keys and correlation ids.
pub struct KafkaProxy {
    listener: Listener,
    state: Arc<KafkaState>,
}

impl KafkaProxy {
    /// Leads to a loopback port.
    pub fn start(broker_port: u16) -> Self {
        let state = Arc::new(KafkaState::default());
        let shared = state.clone();
        let listener = Listener::start(move |near| {
            let _ = serve_kafka(&shared, near, broker_port);
        });
        Self { listener, state }
    }

    pub fn port(&self) -> u16 {
        self.listener.port
    }

    /// The next `count` Produce responses are swallowed and their connections closed: the broker has appended, the client does not know.
    pub fn drop_produce_responses(&self, count: u64) {
        self.drop_responses(PRODUCE, count);
    }

    /// The same for any kind of request.
    pub fn drop_responses(&self, key: i16, count: u64) {
        self.state.drops.lock().unwrap().insert(key, count);
    }

    /// How many of the drops that were asked for are still to come.
    pub fn drops_left(&self, key: i16) -> u64 {
        self.state.drops.lock().unwrap().get(&key).copied().unwrap_or(0)
    }

    /// Closes the connection of whoever sends such a request, until told otherwise; the broker never sees it.
    pub fn close_on(&self, key: i16, close: bool) {
        let mut unanswered = self.state.unanswered.lock().unwrap();
        unanswered.retain(|other| *other != key);
        unanswered.extend(close.then_some(key));
    }

    /// Requests since the last call, by api key, and the bytes of all their answers.
    pub fn take_counts(&self) -> (BTreeMap<i16, u64>, u64) {
        (std::mem::take(&mut *self.state.requests.lock().unwrap()), self.state.answered_bytes.swap(0, Ordering::SeqCst))
    }

    pub fn produce_responses_dropped(&self) -> u64 {
        self.state.produces_dropped.load(Ordering::SeqCst)
    }

    /// Produce responses that went through.
    pub fn produce_responses(&self) -> u64 {
        self.state.produces_answered.load(Ordering::SeqCst)
    }

    /// Holds back all traffic, both ways, for so long; nothing is lost.
    pub fn stall(&self, duration: Duration) {
        *self.state.stalled_until.lock().unwrap() = Some(Instant::now() + duration);
    }

    /// Closes every connection; answers how many there were.
    pub fn cut(&self) -> usize {
        self.state.connections.lock().unwrap().cut()
    }

    /// Closes every connection, and every new one at once, until told otherwise.
    pub fn refuse(&self, refuse: bool) {
        self.state.refusing.store(refuse, Ordering::SeqCst);
        if refuse {
            self.cut();
        }
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.cut();
    }
}

fn serve_kafka(state: &Arc<KafkaState>, near: TcpStream, port: u16) -> io::Result<()> {
    if state.refusing.load(Ordering::SeqCst) {
        return near.shutdown(Shutdown::Both);
    }
    let far = TcpStream::connect(("127.0.0.1", port))?;
    far.set_nodelay(true)?;
    let id = state.connections.lock().unwrap().add(&near, &far)?;
    // What was asked under which correlation id; a Produce without acknowledgement stays in it, which costs little.
    let asked: Arc<Mutex<HashMap<i32, i16>>> = Arc::default();
    let (requests, of_requests) = ((near.try_clone()?, far.try_clone()?), (state.clone(), asked.clone()));
    let upward = std::thread::spawn(move || {
        let ((mut from, mut to), (state, asked)) = (requests, of_requests);
        let _ = frames(&mut from, &mut to, &state, |head, _| {
            let (key, correlation) = (i16::from_be_bytes([head[0], head[1]]), i32::from_be_bytes([head[4], head[5], head[6], head[7]]));
            asked.lock().unwrap().insert(correlation, key);
            *state.requests.lock().unwrap().entry(key).or_default() += 1;
            !state.unanswered.lock().unwrap().contains(&key)
        });
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (far, near);
    let _ = frames(&mut from, &mut to, state, |head, bytes| {
        state.answered_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
        let correlation = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let Some(key) = asked.lock().unwrap().remove(&correlation) else { return true };
        let dropped = state.take_drop(key);
        if key == PRODUCE {
            let counter = if dropped { &state.produces_dropped } else { &state.produces_answered };
            counter.fetch_add(1, Ordering::SeqCst);
        }
        !dropped
    });
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    let _ = upward.join();
    state.connections.lock().unwrap().open.remove(&id);
    Ok(())
}

/// Passes length-prefixed frames on until the end, or until `look`, given a frame's first eight bytes (or fewer, zero-filled) and its length, says no.
fn frames(from: &mut TcpStream, to: &mut TcpStream, state: &KafkaState, mut look: impl FnMut(&[u8; 8], usize) -> bool) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut left = u32::from_be_bytes(length) as usize;
        let mut head = [0; 8];
        let (known, bytes) = (left.min(8), left);
        from.read_exact(&mut head[..known])?;
        left -= known;
        state.wait_out_stall();
        if !look(&head, bytes) {
            return Ok(());
        }
        to.write_all(&[&length[..], &head[..known]].concat())?;
        while left > 0 {
            let part = left.min(CHUNK);
            from.read_exact(&mut chunk[..part])?;
            state.wait_out_stall();
            to.write_all(&chunk[..part])?;
            left -= part;
        }
    }
}

/// Answers every request with S3's plea for less.
pub const SLOW_DOWN: Fault = Fault::Answer { on: "", status: "503 Service Unavailable", header: "", code: "SlowDown", message: "Please reduce your request rate." };

/// What a [`FaultProxy`] does with its traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Closes every connection at once.
    Refuse,
    /// Answers requests whose first line has `on` in it with this status, header and error of S3's, and lets the others through.
    Answer { on: &'static str, status: &'static str, header: &'static str, code: &'static str, message: &'static str },
    /// Lets requests whose first line has `on` in it through to nobody, and never answers them.
    Hold { on: &'static str },
    /// Lets so many bytes per second through on each connection, uploads and downloads alike.
    Slow { bytes_per_second: u64 },
    /// Closes each connection when it has carried so many bytes of requests.
    CutAfter { upload_bytes: u64 },
}

struct FaultState {
    fault: Mutex<Fault>,
    connections: Mutex<Connections>,
    accepted: AtomicU64,
    faulted: AtomicU64,
}

/// Stands before S3. It leaves the Host header alone, which the client has signed for this proxy's address.
pub struct FaultProxy {
    listener: Listener,
    state: Arc<FaultState>,
}

impl FaultProxy {
    pub fn start(port: u16) -> Self {
        let state = Arc::new(FaultState {
            fault: Mutex::new(Fault::Pass),
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            faulted: AtomicU64::new(0),
        });
        let shared = state.clone();
        let listener = Listener::start(move |near| {
            shared.accepted.fetch_add(1, Ordering::SeqCst);
            let _ = serve_fault(&shared, near, port);
        });
        Self { listener, state }
    }

    pub fn port(&self) -> u16 {
        self.listener.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Switches; connections that are open are cut for [`Fault::Refuse`], [`Fault::Answer`] and [`Fault::Hold`], and go on under the others.
    pub fn set(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = fault;
        if matches!(fault, Fault::Refuse | Fault::Answer { .. } | Fault::Hold { .. }) {
            self.cut();
        }
    }

    pub fn cut(&self) -> usize {
        self.state.connections.lock().unwrap().cut()
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Connections that were refused, answered with an error or cut by a fault.
    pub fn faulted(&self) -> u64 {
        self.state.faulted.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cut();
    }
}

fn serve_fault(state: &Arc<FaultState>, near: TcpStream, port: u16) -> io::Result<()> {
    let fault = *state.fault.lock().unwrap();
    match fault {
        Fault::Refuse => {
            state.faulted.fetch_add(1, Ordering::SeqCst);
            return near.shutdown(Shutdown::Both);
        }
        Fault::Answer { on, .. } | Fault::Hold { on } => return fault_or_pass(state, (fault, on), near, port),
        Fault::Pass | Fault::Slow { .. } | Fault::CutAfter { .. } => {}
    }
    let far = TcpStream::connect(("127.0.0.1", port))?;
    far.set_nodelay(true)?;
    let id = state.connections.lock().unwrap().add(&near, &far)?;
    let (mut up_from, mut up_to, of_up) = (near.try_clone()?, far.try_clone()?, state.clone());
    let upward = std::thread::spawn(move || {
        let _ = pump(&mut up_from, &mut up_to, &of_up, true);
    });
    let (mut from, mut to) = (far, near);
    let _ = pump(&mut from, &mut to, state, false);
    let _ = upward.join();
    state.connections.lock().unwrap().open.remove(&id);
    Ok(())
}

fn pump(from: &mut TcpStream, to: &mut TcpStream, state: &FaultState, upload: bool) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut carried = 0;
    let result = loop {
        let fault = *state.fault.lock().unwrap();
        let most = match fault {
            Fault::Slow { bytes_per_second } => (bytes_per_second / 20).clamp(1, CHUNK as u64) as usize,
            _ => CHUNK,
        };
        let count = match from.read(&mut chunk[..most]) {
            Ok(0) => break Ok(()),
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => break Err(e),
        };
        // Read again: it may have been switched while this thread waited for bytes.
        match *state.fault.lock().unwrap() {
            Fault::Slow { bytes_per_second } => {
                std::thread::sleep(Duration::from_secs_f64(count as f64 / bytes_per_second.max(1) as f64));
            }
            Fault::CutAfter { upload_bytes } if upload => {
                carried += count as u64;
                if carried > upload_bytes {
                    state.faulted.fetch_add(1, Ordering::SeqCst);
                    let _ = from.shutdown(Shutdown::Both);
                    break Ok(());
                }
            }
            _ => carried = 0,
        }
        if let Err(e) = to.write_all(&chunk[..count]) {
            break Err(e);
        }
    };
    // The end is passed on. After an error, or after an upload was cut, nothing more may come back.
    let _ = to.shutdown(if result.is_ok() && !upload { Shutdown::Write } else { Shutdown::Both });
    if result.is_err() {
        let _ = from.shutdown(Shutdown::Both);
    }
    result
}

/// Serves one request of a connection: as the fault does where that is meant, else with the server's answer. The client comes back for its next one.
fn fault_or_pass(state: &Arc<FaultState>, (fault, on): (Fault, &str), mut near: TcpStream, port: u16) -> io::Result<()> {
    near.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let head_end = loop {
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 2;
        }
        match near.read(&mut chunk)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&chunk[..count]),
        }
    };
    let first_line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if !String::from_utf8_lossy(first_line).contains(on) {
        let far = TcpStream::connect(("127.0.0.1", port))?;
        let id = state.connections.lock().unwrap().add(&near, &far)?;
        // What is not signed may be added.
        (&far).write_all(&[&request[..head_end], b"Connection: close\r\n", &request[head_end..]].concat())?;
        let (mut up_from, mut up_to) = (near.try_clone()?, far.try_clone()?);
        let upward = std::thread::spawn(move || drop(io::copy(&mut up_from, &mut up_to)));
        let _ = io::copy(&mut &far, &mut near);
        let _ = near.shutdown(Shutdown::Both);
        let _ = upward.join();
        state.connections.lock().unwrap().open.remove(&id);
        return Ok(());
    }
    state.faulted.fetch_add(1, Ordering::SeqCst);
    let Fault::Answer { status, header, code, message, .. } = fault else {
        // Until the client goes away.
        near.set_read_timeout(None)?;
        while near.read(&mut chunk)? > 0 {}
        return Ok(());
    };
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let head = format!("HTTP/1.1 {status}\r\n{header}Content-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    near.write_all(format!("{head}{body}").as_bytes())?;
    near.shutdown(Shutdown::Write)?;
    // What is still being uploaded is read to its end, or a reset would overtake the answer.
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline && near.read(&mut chunk)? > 0 {}
    Ok(())
}
