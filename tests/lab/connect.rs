//! A Kafka Connect worker in distributed mode, in a JVM of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cache;
use super::cluster::{LOG4J, java};
use super::process::{Process, free_port};
use super::workdir::WorkDir;

const STOP: Duration = Duration::from_secs(40);
const READY: Duration = Duration::from_secs(90);

/// The only worker of a Connect cluster; connectors of files are at hand, and what they are is kept in Kafka alone.
pub struct ConnectWorker {
    id: String,
    port: u16,
    process: Option<Process>,
    // Last: what runs in it is dropped before it.
    dir: WorkDir,
}

impl ConnectWorker {
    pub fn new(group_id: &str) -> Self {
        let dir = WorkDir::new("connect");
        dir.dir("tmp");
        dir.file("log4j.properties", LOG4J);
        Self { id: group_id.into(), port: free_port(), process: None, dir }
    }

    /// The workers' own group, which has members and never an offset.
    pub fn group(&self) -> &str {
        &self.id
    }

    /// The consumer group of a sink connector.
    pub fn sink_group(connector: &str) -> String {
        format!("connect-{connector}")
    }

    /// Where configurations, source offsets and states are kept: compacted topics.
    pub fn internal_topics(&self) -> [String; 3] {
        ["configs", "offsets", "status"].map(|name| format!("{}-{name}", self.id))
    }

    /// Starts the worker and waits until it answers; nothing but the bootstrap address differs from one start to another.
    pub fn start(&mut self, bootstrap: &str) {
        assert!(self.process.is_none(), "{} is running", self.id);
        let [configs, offsets, status] = self.internal_topics();
        let props = format!(
            "bootstrap.servers={bootstrap}
group.id={}
config.storage.topic={configs}
config.storage.replication.factor=1
offset.storage.topic={offsets}
offset.storage.replication.factor=1
offset.storage.partitions=3
status.storage.topic={status}
status.storage.replication.factor=1
status.storage.partitions=2
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{}
plugin.discovery=service_load
",
            self.id, self.port
        );
        let props = self.dir.file("worker.properties", &props);
        let mut command = java(self.dir.path(), "256m", false, &cache::apps_3_9());
        command.arg("org.apache.kafka.connect.cli.ConnectDistributed").arg(props);
        self.process = Some(Process::start(&self.id, &self.dir.path().join("worker.log"), &mut command));
        // It answers what it knows only once it has read its topics to their ends and joined its group.
        self.wait_until("answers", |worker| worker.request("GET", "/connectors", None).is_ok_and(|(status, _)| status == 200));
    }

    /// SIGTERM: the tasks commit and end, the worker leaves its group.
    pub fn stop(&mut self) {
        self.expect_running();
        let mut process = self.process.take().expect("it is running");
        process.signal(libc::SIGTERM);
        assert!(process.wait(STOP).is_some(), "{} does not end\n{}", self.id, process.log_tail());
    }

    /// Panics with the end of its log if it was not started or has ended by itself.
    #[track_caller]
    pub fn expect_running(&mut self) {
        let process = self.process.as_mut().unwrap_or_else(|| panic!("{} was not started", self.id));
        assert!(process.is_running(), "{} ended\n{}", self.id, process.log_tail());
    }

    /// Reads a file line by line into a topic, as it grows.
    #[track_caller]
    pub fn create_file_source(&self, name: &str, file: &str, topic: &str) {
        self.create(name, json!({"connector.class": "FileStreamSource", "tasks.max": "1", "file": file, "topic": topic}));
    }

    /// Writes a topic's records to the end of a file, a line each.
    #[track_caller]
    pub fn create_file_sink(&self, name: &str, file: &str, topic: &str) {
        self.create(name, json!({"connector.class": "FileStreamSink", "tasks.max": "1", "file": file, "topics": topic}));
    }

    #[track_caller]
    fn create(&self, name: &str, config: Value) {
        let answer = self.request("PUT", &format!("/connectors/{name}/config"), Some(&config));
        assert!(matches!(answer, Ok((201, _))), "create connector {name}: {answer:?}");
    }

    /// The connectors by their names, with their configurations.
    #[track_caller]
    pub fn connectors(&self) -> BTreeMap<String, Value> {
        let (_, all) = self.request("GET", "/connectors?expand=info", None).unwrap_or_else(|e| panic!("the connectors of {}: {e}", self.id));
        all.as_object().into_iter().flatten().map(|(name, of)| (name.clone(), of["info"]["config"].clone())).collect()
    }

    /// Waits until each of these connectors and its task runs.
    #[track_caller]
    pub fn wait_running(&mut self, connectors: &[&str]) {
        self.wait_until("runs its connectors", |worker| {
            connectors.iter().all(|name| {
                let Ok((200, status)) = worker.request("GET", &format!("/connectors/{name}/status"), None) else { return false };
                assert!(!status.to_string().contains("FAILED"), "{status:#}");
                status["connector"]["state"] == "RUNNING" && status["tasks"].as_array().is_some_and(|t| t.len() == 1 && t[0]["state"] == "RUNNING")
            })
        });
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + READY;
        while !holds(self) {
            self.expect_running();
            let log = self.process.as_ref().map(Process::log_tail).unwrap_or_default();
            assert!(Instant::now() < deadline, "{} {what} not after {READY:?}\n{log}", self.id);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// One request to the worker's REST interface; answers status and body.
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        // An answer in HTTP/1.0 comes whole, not in chunks.
        let text = format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let exchange = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            stream.write_all(text.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().map_err(|e| e.to_string())?;
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| format!("it answered {answer:?}"))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }
}
