//! A producer that writes all along: it pauses for the freeze, and goes on at the target once the cutover stands.

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const RECORDS_PER_SECOND: u32 = 500;

/// A record that a broker has acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub number: u64,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// The key of a live record.
pub fn key(number: u64) -> String {
    format!("live-{number}")
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    WriteTo(String),
    Pause,
    Stop,
}

struct Control {
    wish: Wish,
    /// The wish that is fulfilled.
    done: Wish,
    writes_to: String,
}

struct Shared {
    control: Mutex<Control>,
    changed: Condvar,
    acknowledged: Mutex<Vec<Acknowledged>>,
    refused: Mutex<Option<String>>,
}

pub struct LiveProducer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LiveProducer {
    pub fn start(bootstrap: &str, topics: &'static [&'static str]) -> Self {
        let wish = Wish::WriteTo(bootstrap.into());
        let control = Control { wish: wish.clone(), done: Wish::Pause, writes_to: bootstrap.into() };
        let shared = Arc::new(Shared { control: Mutex::new(control), changed: Condvar::new(), acknowledged: Mutex::default(), refused: Mutex::default() });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || write(&shared, topics)
        });
        let live = Self { shared, thread: Mutex::new(Some(thread)) };
        live.wish(wish);
        live
    }

    /// Stops sending, and returns when everything that was sent is acknowledged.
    pub fn pause(&self) {
        self.wish(Wish::Pause);
    }

    pub fn write_to(&self, bootstrap: &str) {
        self.wish(Wish::WriteTo(bootstrap.into()));
    }

    /// Where it writes, or did before it paused.
    pub fn writes_to(&self) -> String {
        self.shared.control.lock().unwrap().writes_to.clone()
    }

    /// Ends it, and answers what was acknowledged on both clusters.
    pub fn stop(&self) -> Vec<Acknowledged> {
        self.wish(Wish::Stop);
        if let Some(thread) = self.thread.lock().unwrap().take() {
            thread.join().expect("the producer's thread ends well");
        }
        if let Some(refusal) = self.shared.refused.lock().unwrap().take() {
            panic!("a record of the live producer was not acknowledged: {refusal}");
        }
        std::mem::take(&mut self.shared.acknowledged.lock().unwrap())
    }

    fn wish(&self, wish: Wish) {
        let mut control = self.shared.control.lock().unwrap();
        control.wish = wish.clone();
        let waited = self.shared.changed.wait_timeout_while(control, super::PATIENCE, |c| c.done != wish && c.wish == wish);
        let timed_out = waited.unwrap().1.timed_out();
        assert!(!timed_out, "the live producer does not come to {wish:?}");
    }
}

/// Notes down what is acknowledged.
struct Deliveries(Arc<Shared>);

impl ClientContext for Deliveries {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        match result {
            Ok(message) => self.0.acknowledged.lock().unwrap().push(Acknowledged {
                number: *number,
                topic: message.topic().into(),
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((e, _)) => *self.0.refused.lock().unwrap() = Some(e.to_string()),
        }
    }
}

fn producer(shared: &Arc<Shared>, bootstrap: &str) -> BaseProducer<Deliveries> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", "live").set("enable.idempotence", "true");
    config.set("compression.type", "lz4").set("linger.ms", "5");
    config.create_with_context(Deliveries(shared.clone())).expect("librdkafka takes these settings")
}

fn write(shared: &Arc<Shared>, topics: &[&str]) {
    let pace = Duration::from_secs(1) / RECORDS_PER_SECOND;
    let mut open: Option<(String, BaseProducer<Deliveries>)> = None;
    let (mut number, mut due) = (0u64, Instant::now());
    loop {
        let wish = shared.control.lock().unwrap().wish.clone();
        match &wish {
            Wish::WriteTo(bootstrap) if open.as_ref().is_none_or(|(to, _)| to != bootstrap) => {
                open = Some((bootstrap.clone(), producer(shared, bootstrap)));
                due = Instant::now();
            }
            Wish::WriteTo(_) => {}
            Wish::Pause | Wish::Stop => {
                if let Some((_, producer)) = open.take() {
                    // `flush` looks only ten times a second, and others wait meanwhile.
                    let deadline = Instant::now() + super::PATIENCE;
                    while producer.in_flight_count() > 0 {
                        assert!(Instant::now() < deadline, "what was sent is not acknowledged");
                        producer.poll(Duration::from_millis(1));
                    }
                }
            }
        }
        fulfil(shared, &wish);
        if wish == Wish::Stop {
            return;
        }
        let Some((_, producer)) = &open else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let (topic, key, value) = (topics[number as usize % topics.len()], key(number), format!(r#"{{"live":{number}}}"#));
        let record = BaseRecord::with_opaque_to(topic, Box::new(number)).key(&key).payload(&value);
        // A full queue is tried again with the same number.
        if producer.send(record).is_ok() {
            number += 1;
            due += pace;
        }
        producer.poll(due.saturating_duration_since(Instant::now()));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn fulfil(shared: &Shared, wish: &Wish) {
    let mut control = shared.control.lock().unwrap();
    if control.done != *wish {
        control.done = wish.clone();
        if let Wish::WriteTo(bootstrap) = wish {
            control.writes_to = bootstrap.clone();
        }
        shared.changed.notify_all();
    }
}
