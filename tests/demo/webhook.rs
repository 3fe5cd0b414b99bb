//! The receiver of the freeze webhook: a few lines that stop the producer, and let it go again, as `runbooks/freeze-webhook.md` asks.

use crate::live::LiveProducer;
use jiff::Timestamp;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How the latest attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Frozen { attempt: u64 },
    Thawed { attempt: u64 },
    Committed { attempt: u64 },
}

struct Receiver {
    live: Arc<LiveProducer>,
    source: String,
    target: String,
    standing: Mutex<Standing>,
}

pub struct Webhook {
    port: u16,
    receiver: Arc<Receiver>,
}

impl Webhook {
    pub fn start(live: Arc<LiveProducer>, target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let source = live.writes_to();
        let receiver = Arc::new(Receiver { live, source, target: target.into(), standing: Mutex::new(Standing::Thawed { attempt: 0 }) });
        std::thread::spawn({
            let receiver = receiver.clone();
            move || listener.incoming().flatten().for_each(|stream| receiver.clone().serve(stream))
        });
        Self { port, receiver }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/kafka", self.port)
    }

    pub fn has_committed(&self) -> bool {
        matches!(*self.receiver.standing.lock().unwrap(), Standing::Committed { .. })
    }
}

impl Receiver {
    fn serve(self: Arc<Self>, stream: TcpStream) {
        let status = match read(&stream) {
            Some(body) => self.on_event(&body),
            None => 400,
        };
        let reason = if status == 200 { "OK" } else { "No" };
        let _ = write!(&stream, "HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    fn on_event(self: &Arc<Self>, body: &Value) -> u16 {
        let (Some(event), Some(attempt)) = (body["event"].as_str(), body["attempt"].as_u64()) else { return 400 };
        let Some(expires_at) = body["expires_at"].as_str().and_then(|t| t.parse::<Timestamp>().ok()) else { return 400 };
        let started = Instant::now();
        let mut standing = self.standing.lock().unwrap();
        match (event, *standing) {
            // Too late: this attempt is over, or its time is.
            ("freeze", Standing::Committed { .. }) => return 410,
            ("freeze", Standing::Thawed { attempt: over }) if over >= attempt => return 410,
            ("freeze", _) if expires_at <= Timestamp::now() => return 410,
            ("freeze", _) => {
                self.live.pause();
                *standing = Standing::Frozen { attempt };
                self.thaw_at(attempt, expires_at);
                println!("  [webhook] freeze: the producer has stopped after {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
            }
            ("thaw", Standing::Committed { .. }) => {}
            ("thaw", _) => {
                *standing = Standing::Thawed { attempt };
                self.live.write_to(&self.source);
                println!("  [webhook] thaw: the producer goes on at the source ({})", body["reason"].as_str().unwrap_or("no reason is given"));
            }
            ("committed", _) => {
                *standing = Standing::Committed { attempt };
                self.live.write_to(&self.target);
                println!("  [webhook] committed: the producer goes on at the target");
            }
            _ => return 400,
        }
        200
    }

    /// The receiver's own timer: whatever becomes of kferry, producers do not stand still for longer.
    fn thaw_at(self: &Arc<Self>, attempt: u64, expires_at: Timestamp) {
        let receiver = self.clone();
        let left = Duration::try_from(expires_at.duration_since(Timestamp::now())).unwrap_or_default();
        std::thread::spawn(move || {
            std::thread::sleep(left);
            let mut standing = receiver.standing.lock().unwrap();
            if *standing == (Standing::Frozen { attempt }) {
                *standing = Standing::Thawed { attempt };
                receiver.live.write_to(&receiver.source);
                println!("  [webhook] the freeze has run out: the producer goes on at the source");
            }
        });
    }
}

/// Reads one request's body.
fn read(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
