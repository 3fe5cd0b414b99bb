//! The receiver of the freeze webhook, as an operator would write it: it pauses real producers and lets them go again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::lab::{Live, Totals, process};

/// One call that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    pub event: String,
    pub attempt: u64,
    pub idempotency_id: String,
    pub expires_at: Timestamp,
    pub topics: Vec<String>,
    pub at: Instant,
    /// The status that it was answered with.
    pub status: u16,
}

type Hook = Box<dyn FnMut(&str) + Send>;

#[derive(Default)]
struct State {
    live: Mutex<Vec<Live<'static>>>,
    calls: Mutex<Vec<Call>>,
    /// Attempts that were thawed or committed.
    ended: Mutex<BTreeSet<u64>>,
    committed: AtomicBool,
    /// Says that producers have stopped and lets them go on.
    deaf: AtomicBool,
    /// Events that are answered with 404.
    refused: Mutex<BTreeSet<String>>,
    hook: Mutex<Option<Hook>>,
    stop: AtomicBool,
}

/// A receiver on a port of its own. It follows `runbooks/freeze-webhook.md`.
pub struct Webhook {
    port: u16,
    state: Arc<State>,
}

impl Webhook {
    pub fn start() -> Self {
        let port = process::free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|e| panic!("webhook on port {port}: {e}"));
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/freeze?token=not-for-logs", self.port)
    }

    /// Hands a producer over: it is paused, resumed and in the end stopped here.
    pub fn keep(&self, live: Live<'static>) {
        self.state.live.lock().unwrap().push(live);
    }

    /// Stops every producer; answers what each has had acknowledged.
    pub fn stop_producers(&self) -> Vec<Totals> {
        let all = std::mem::take(&mut *self.state.live.lock().unwrap());
        all.into_iter().map(Live::stop).collect()
    }

    /// What every producer has had acknowledged so far, in all.
    pub fn acknowledged(&self) -> u64 {
        self.state.live.lock().unwrap().iter().map(|live| live.totals().acked).sum()
    }

    /// Runs before each event is acted upon, with the event's name; it may take its time.
    pub fn before(&self, hook: impl FnMut(&str) + Send + 'static) {
        *self.state.hook.lock().unwrap() = Some(Box::new(hook));
    }

    pub fn without_hook(&self) {
        *self.state.hook.lock().unwrap() = None;
    }

    /// From now on `freeze` is answered well and nobody is stopped.
    pub fn deaf(&self, deaf: bool) {
        self.state.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Every call so far; a repetition bears the id of the first.
    /// Whether calls of this event are answered with 404 from now on.
    pub fn refuse(&self, event: &str, refuse: bool) {
        let mut refused = self.state.refused.lock().unwrap();
        if refuse { refused.insert(event.into()) } else { refused.remove(event) };
    }

    pub fn calls(&self) -> Vec<Call> {
        let calls = self.state.calls.lock().unwrap().clone();
        for call in &calls {
            let first = calls.iter().find(|c| (&c.event, c.attempt) == (&call.event, call.attempt)).expect("the call itself");
            assert_eq!(call.idempotency_id, first.idempotency_id, "{} of attempt {} comes under two ids", call.event, call.attempt);
        }
        calls
    }

    /// The events in the order of their arrival.
    pub fn events(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.event).collect()
    }

    #[track_caller]
    pub fn wait_for(&self, event: &str, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while !self.events().iter().any(|e| e == event) {
            assert!(Instant::now() < deadline, "no `{event}` after {timeout:?}; there was {:?}", self.events());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.state.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

fn serve(state: &Arc<State>, stream: TcpStream) {
    let Some((mut stream, body)) = request(stream) else { return };
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let mut call = Call {
        event: text("event"),
        attempt: body["attempt"].as_u64().unwrap_or(0),
        idempotency_id: text("idempotency_id"),
        expires_at: text("expires_at").parse().expect("expires_at is a time"),
        topics: body["topics"].as_array().into_iter().flatten().filter_map(|t| t.as_str().map(String::from)).collect(),
        at: Instant::now(),
        status: 0,
    };
    if let Some(hook) = state.hook.lock().unwrap().as_mut() {
        hook(&call.event);
    }
    call.status = act(state, &call);
    let answer = format!("HTTP/1.1 {} It is so\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", call.status);
    state.calls.lock().unwrap().push(call);
    let _ = stream.write_all(answer.as_bytes());
}

fn act(state: &Arc<State>, call: &Call) -> u16 {
    if state.refused.lock().unwrap().contains(&call.event) {
        return 404;
    }
    match call.event.as_str() {
        "freeze" if state.ended.lock().unwrap().contains(&call.attempt) || call.expires_at < Timestamp::now() => 410,
        "freeze" => {
            if !state.deaf.load(Ordering::SeqCst) {
                state.live.lock().unwrap().iter().for_each(|live| drop(live.pause()));
            }
            let (state, attempt, expires_at) = (state.clone(), call.attempt, call.expires_at);
            std::thread::spawn(move || {
                while Timestamp::now() < expires_at {
                    std::thread::sleep(Duration::from_millis(50));
                }
                if state.ended.lock().unwrap().insert(attempt) {
                    resume(&state);
                }
            });
            200
        }
        "thaw" => {
            state.ended.lock().unwrap().insert(call.attempt);
            resume(state);
            200
        }
        "committed" => {
            state.ended.lock().unwrap().insert(call.attempt);
            state.committed.store(true, Ordering::SeqCst);
            200
        }
        _ => 400,
    }
}

/// Producers never go on at the source once the cutover stands.
fn resume(state: &State) {
    if !state.committed.load(Ordering::SeqCst) {
        state.live.lock().unwrap().iter().for_each(Live::resume);
    }
}

fn request(stream: TcpStream) -> Option<(TcpStream, Value)> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((reader.into_inner(), serde_json::from_slice(&body).ok()?))
}
