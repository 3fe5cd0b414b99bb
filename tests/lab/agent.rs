//! The stock Java clients: one JVM per process, many commands at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cache;
use super::cluster::java;
use super::process::{Process, tail};
use super::workdir::WorkDir;

const ANSWER: Duration = Duration::from_secs(900);

type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Value>>>>>;

/// The Java clients. It can be shared by threads; commands run side by side.
pub struct Agent {
    stdin: Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    log: std::path::PathBuf,
    process: Mutex<Process>,
    dir: WorkDir,
}

/// How transactional producers interleave.
#[derive(Clone, Debug)]
pub struct Weave {
    /// Each producer's own begins with it.
    pub transactional_id: String,
    pub producers: u32,
    /// Bursts and decisions.
    pub steps: u32,
    pub abort_ratio: f64,
    /// Records in one burst at most.
    pub burst: u32,
}

impl Weave {
    pub fn new(transactional_id: &str, steps: u32) -> Self {
        Self { transactional_id: transactional_id.into(), producers: 3, steps, abort_ratio: 0.5, burst: 12 }
    }
}

/// What was woven, in records.
#[derive(Clone, Copy, Debug)]
pub struct Woven {
    pub committed: u64,
    pub aborted: u64,
    pub transactions: u64,
}

/// A topic to create.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub partitions: u32,
    pub replication: u32,
    pub configs: Vec<(String, String)>,
}

impl Topic {
    pub fn new(name: &str, partitions: u32) -> Self {
        Self { name: name.into(), partitions, replication: 1, configs: Vec::new() }
    }

    pub fn replication(mut self, replication: u32) -> Self {
        self.replication = replication;
        self
    }

    pub fn config(mut self, name: &str, value: impl ToString) -> Self {
        self.configs.push((name.into(), value.to_string()));
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID, DELEGATION_TOKEN or USER.
    pub resource_type: String,
    pub name: String,
    /// LITERAL or PREFIXED.
    pub pattern: String,
    pub principal: String,
    pub host: String,
    pub operation: String,
    /// ALLOW or DENY.
    pub permission: String,
}

impl Acl {
    /// ALLOW from every host on a literal name.
    pub fn allow(principal: &str, operation: &str, resource_type: &str, name: &str) -> Self {
        let [resource_type, name, pattern, principal, host, operation, permission] =
            [resource_type, name, "LITERAL", principal, "*", operation, "ALLOW"].map(String::from);
        Self { resource_type, name, pattern, principal, host, operation, permission }
    }

    pub fn prefixed(mut self) -> Self {
        self.pattern = "PREFIXED".into();
        self
    }

    pub fn deny(mut self) -> Self {
        self.permission = "DENY".into();
        self
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    fn json(&self) -> Value {
        json!({"resource_type": self.resource_type, "name": self.name, "pattern": self.pattern, "principal": self.principal,
            "host": self.host, "operation": self.operation, "permission": self.permission})
    }
}

/// A client quota: its entity, and its limits.
pub type QuotaRow = (BTreeMap<String, Option<String>>, BTreeMap<String, Option<f64>>);

/// Where a partition's log starts and ends, and its last stable offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub log_start: i64,
    pub log_end: i64,
    pub last_stable: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Compressible text.
    Json,
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    None,
    /// Duplicate keys, null and empty values, an empty key, a key beyond ASCII.
    Odd,
}

/// What a producer sends. The same arguments make the same records, the clock's timestamps aside.
#[derive(Clone, Debug)]
pub struct Load {
    pub records: u64,
    /// Round robin over all where there is none.
    pub partition: Option<i32>,
    pub first_seq: u64,
    pub value_bytes: (u32, u32),
    pub content: Content,
    /// none, gzip, snappy, lz4 or zstd.
    pub codec: String,
    pub linger_ms: u32,
    /// 0 sends every record in a batch of its own.
    pub batch_bytes: u32,
    pub headers: Headers,
    /// How many different keys there are.
    pub keys: u32,
    /// Every second record has a key of its own, and all others have one in common: compaction leaves every second one.
    pub alternating_keys: bool,
    pub null_key_ratio: f64,
    pub null_value_ratio: f64,
    /// First timestamp and step; the clock's where there is none.
    pub timestamps_ms: Option<(i64, i64)>,
    pub idempotent: bool,
    pub seed: u64,
    pub request_bytes_max: u32,
    pub client_id: String,
    /// Further producer settings; they win.
    pub props: Vec<(String, String)>,
}

impl Load {
    pub fn records(records: u64) -> Self {
        Self {
            records,
            partition: None,
            first_seq: 0,
            value_bytes: (200, 200),
            content: Content::Json,
            codec: "none".into(),
            linger_ms: 20,
            batch_bytes: 64 << 10,
            headers: Headers::None,
            keys: 1_000,
            alternating_keys: false,
            null_key_ratio: 0.0,
            null_value_ratio: 0.0,
            timestamps_ms: None,
            idempotent: true,
            seed: 1,
            request_bytes_max: 12 << 20,
            client_id: "lab-producer".into(),
            props: Vec::new(),
        }
    }

    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    pub fn values(mut self, min: u32, max: u32) -> Self {
        self.value_bytes = (min, max);
        self
    }

    pub fn random(mut self) -> Self {
        self.content = Content::Random;
        self
    }

    pub fn codec(mut self, codec: &str) -> Self {
        self.codec = codec.into();
        self
    }

    pub fn one_record_batches(mut self) -> Self {
        self.batch_bytes = 0;
        self.linger_ms = 0;
        self
    }

    pub fn batches(mut self, bytes: u32, linger_ms: u32) -> Self {
        self.batch_bytes = bytes;
        self.linger_ms = linger_ms;
        self
    }

    pub fn odd_headers(mut self) -> Self {
        self.headers = Headers::Odd;
        self
    }

    pub fn nulls(mut self, keys: f64, values: f64) -> Self {
        self.null_key_ratio = keys;
        self.null_value_ratio = values;
        self
    }

    pub fn timestamps(mut self, base_ms: i64, step_ms: i64) -> Self {
        self.timestamps_ms = Some((base_ms, step_ms));
        self
    }

    pub fn keys(mut self, keys: u32) -> Self {
        self.keys = keys;
        self
    }

    pub fn alternating_keys(mut self) -> Self {
        self.alternating_keys = true;
        self
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub fn not_idempotent(mut self) -> Self {
        self.idempotent = false;
        self
    }

    pub fn prop(mut self, name: &str, value: impl ToString) -> Self {
        self.props.push((name.into(), value.to_string()));
        self
    }

    fn json(&self) -> Value {
        let mut args = json!({
            "records": self.records, "first_seq": self.first_seq,
            "value_bytes_min": self.value_bytes.0, "value_bytes_max": self.value_bytes.1,
            "content": if self.content == Content::Random { "random" } else { "json" },
            "codec": self.codec, "linger_ms": self.linger_ms, "batch_bytes": self.batch_bytes,
            "headers": if self.headers == Headers::Odd { "odd" } else { "none" },
            "keys": self.keys.max(1), "alternating_keys": self.alternating_keys, "null_key_ratio": self.null_key_ratio, "null_value_ratio": self.null_value_ratio,
            "idempotent": self.idempotent, "seed": self.seed, "request_bytes_max": self.request_bytes_max,
            "client_id": self.client_id, "props": pairs(&self.props),
        });
        if let Some(partition) = self.partition {
            args["partition"] = partition.into();
        }
        if let Some((base, step)) = self.timestamps_ms {
            args["timestamp_base_ms"] = base.into();
            args["timestamp_step_ms"] = step.into();
        }
        args
    }
}

/// What a live producer has had acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub acked: u64,
    pub refused: u64,
    pub refusal: Option<String>,
    /// Per topic and partition: count acknowledged, and the highest offset.
    pub partitions: BTreeMap<(String, i32), (u64, i64)>,
}

/// A producer that runs until it is stopped; dropping it stops it.
pub struct Live<'a> {
    agent: &'a Agent,
    name: String,
    stopped: bool,
}

impl Live<'_> {
    /// Stops sending; comes back when everything sent has been answered.
    pub fn pause(&self) -> Totals {
        self.totals_of("live_pause")
    }

    pub fn resume(&self) {
        self.totals_of("live_resume");
    }

    pub fn totals(&self) -> Totals {
        self.totals_of("live_totals")
    }

    pub fn stop(mut self) -> Totals {
        self.stopped = true;
        self.totals_of("live_stop")
    }

    fn totals_of(&self, command: &str) -> Totals {
        let answer = self.agent.call(command, json!({"name": self.name}));
        Totals {
            acked: number(&answer["acked"]) as u64,
            refused: number(&answer["refused"]) as u64,
            refusal: answer["refusal"].as_str().map(String::from),
            partitions: rows(&answer["partitions"])
                .map(|row| (partition_of(row), (number(&row["count"]) as u64, number(&row["last_offset"]))))
                .collect(),
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if !self.stopped {
            let _ = self.agent.try_call("live_stop", json!({"name": self.name}));
        }
    }
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    pub metadata: String,
    /// −1 where there is none.
    pub leader_epoch: i32,
}

/// An offset to commit for a group.
#[derive(Clone, Debug)]
pub struct Commit {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub metadata: String,
}

impl Commit {
    pub fn new(topic: &str, partition: i32, offset: i64, metadata: &str) -> Self {
        Self { topic: topic.into(), partition, offset, metadata: metadata.into() }
    }
}

/// How far a group's member reads before it commits and leaves.
#[derive(Clone, Debug)]
pub struct Consume {
    pub group: String,
    pub topics: Vec<String>,
    pub records_max: Option<u64>,
    pub partition_records_max: Option<u64>,
    pub commit: bool,
    pub metadata: String,
    pub read_committed: bool,
    pub timeout: Duration,
    pub props: Vec<(String, String)>,
}

impl Consume {
    /// To the end of these topics.
    pub fn to_end<S: AsRef<str>>(group: &str, topics: &[S]) -> Self {
        Self {
            group: group.into(),
            topics: topics.iter().map(|t| t.as_ref().to_string()).collect(),
            records_max: None,
            partition_records_max: None,
            commit: true,
            metadata: String::new(),
            read_committed: false,
            timeout: Duration::from_secs(120),
            props: Vec::new(),
        }
    }

    /// At most so many records in all.
    pub fn records(mut self, max: u64) -> Self {
        self.records_max = Some(max);
        self
    }

    /// At most so many records of each partition.
    pub fn records_per_partition(mut self, max: u64) -> Self {
        self.partition_records_max = Some(max);
        self
    }

    pub fn metadata(mut self, metadata: &str) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Further consumer settings; they win.
    pub fn prop(mut self, name: &str, value: impl ToString) -> Self {
        self.props.push((name.into(), value.to_string()));
        self
    }

    /// As a member of the consumer protocol (KIP-848).
    pub fn next_protocol(self) -> Self {
        self.prop("group.protocol", "consumer")
    }

    pub fn without_commit(mut self) -> Self {
        self.commit = false;
        self
    }

    pub fn read_committed(mut self) -> Self {
        self.read_committed = true;
        self
    }

    fn json(&self, bootstrap: &str) -> Value {
        let mut args = json!({
            "bootstrap": bootstrap, "group": self.group, "topics": self.topics, "commit": self.commit,
            "metadata": self.metadata, "timeout_ms": self.timeout.as_millis() as u64, "props": pairs(&self.props),
            "isolation": isolation(self.read_committed),
        });
        if let Some(max) = self.records_max {
            args["records_max"] = max.into();
        }
        if let Some(max) = self.partition_records_max {
            args["partition_records_max"] = max.into();
        }
        args
    }
}

/// What one member read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Offset of the first record it read; −1 where it read none.
    pub first: i64,
    /// What it committed: the next offset to read; −1 where it has no position.
    pub next_offset: i64,
    pub count: u64,
    pub digest: String,
    /// Of every record's digest, whatever the order: what two readers read is put together with [`xor`].
    pub xor: String,
}

/// One partition as a consumer sees it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped {
    pub log_start: i64,
    pub log_end: i64,
    pub count: u64,
    pub digest: String,
    pub xor: String,
}

/// One record of a small topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Over offset, timestamp and its type, key, value and headers.
    pub digest: String,
}

impl Record {
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    pub fn value_text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// One topic on both sides: count of records, and a digest of them and of every partition's ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub topic: String,
    pub equal: bool,
    pub source: (u64, String),
    pub target: (u64, String),
}

/// The comparison of two clusters.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub equal: bool,
    /// The first twenty.
    pub differences: Vec<String>,
    /// Every number and digest, as the Java side gives them.
    pub detail: Value,
}

impl Judgement {
    /// Panics with the first differences unless both sides are the same.
    #[track_caller]
    pub fn expect_equal(&self) -> &Self {
        assert!(self.equal, "the clusters differ:\n{}", self.differences.join("\n"));
        self
    }

    /// Each topic as `read_uncommitted` sees it.
    pub fn topics(&self) -> Vec<Compared> {
        rows(&self.detail["topics"])
            .filter(|row| row["isolation"] == isolation(false))
            .map(|row| {
                let side = |value: &Value| (number(&value["count"]) as u64, text(&value["digest"]));
                Compared { topic: text(&row["topic"]), equal: row["equal"] == true, source: side(&row["source"]), target: side(&row["target"]) }
            })
            .collect()
    }

    /// Records compared as `read_uncommitted` sees them, at the source.
    pub fn records(&self) -> u64 {
        self.topics().iter().map(|topic| topic.source.0).sum()
    }
}

/// Puts together the order-free digests of what several readers read.
pub fn xor<'a>(digests: impl IntoIterator<Item = &'a str>) -> String {
    let mut all = [0u8; 32];
    for digest in digests {
        for (byte, other) in all.iter_mut().zip(unhex(digest)) {
            *byte ^= other;
        }
    }
    all.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Agent {
    /// The agent of this process, started at its first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Agent> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn start() -> Self {
        let dir = WorkDir::new("agent");
        dir.dir("tmp");
        let log = dir.path().join("agent.log");
        let err = File::create(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let mut command = java(dir.path(), "1500m", true, &cache::agent());
        // The clients' own information would drown what matters.
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "Agent"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(err);
        let mut process = Process::spawn("the Java agent", &log, &mut command);
        let stdin = process.take_stdin().expect("standard input is piped");
        let stdout = process.child().stdout.take().expect("standard output is piped");
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let answers = waiting.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(mut answer) = serde_json::from_str::<Value>(&line) else { continue };
                let id = answer["id"].as_u64().unwrap_or(0);
                if let Some(sender) = answers.lock().unwrap().as_mut().and_then(|all| all.remove(&id)) {
                    let _ = sender.send(answer.take());
                }
            }
            // Nobody will answer any more: whoever waits is told by the loss of its sender.
            answers.lock().unwrap().take();
        });
        Self { stdin: Mutex::new(stdin), waiting, next: AtomicU64::new(1), log, process: Mutex::new(process), dir }
    }

    /// One command by its name; a refusal is an error.
    pub fn try_call(&self, command: &str, mut args: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = channel();
        match self.waiting.lock().unwrap().as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(format!("the Java agent is gone\n{}", tail(&self.log, 30))),
        };
        args["id"] = id.into();
        args["cmd"] = command.into();
        {
            let mut stdin = self.stdin.lock().unwrap();
            writeln!(stdin, "{args}").and_then(|()| stdin.flush()).map_err(|e| format!("the Java agent: {e}\n{}", tail(&self.log, 30)))?;
        }
        let mut answer = receiver.recv_timeout(ANSWER).map_err(|e| format!("{command}: no answer ({e})\n{}", tail(&self.log, 30)))?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("{command}: {error}")),
            None => Ok(answer["ok"].take()),
        }
    }

    #[track_caller]
    pub fn call(&self, command: &str, args: Value) -> Value {
        self.try_call(command, args).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn ping(&self) {
        self.call("ping", json!({}));
    }

    #[track_caller]
    pub fn create_topics(&self, bootstrap: &str, topics: &[Topic]) {
        let topics: Vec<Value> = topics
            .iter()
            .map(|t| json!({"name": t.name, "partitions": t.partitions, "replication": t.replication, "configs": pairs(&t.configs)}))
            .collect();
        self.call("create_topics", json!({"bootstrap": bootstrap, "topics": topics}));
    }

    #[track_caller]
    pub fn delete_topics<S: AsRef<str>>(&self, bootstrap: &str, topics: &[S]) {
        self.call("delete_topics", json!({"bootstrap": bootstrap, "topics": names(topics)}));
    }

    #[track_caller]
    pub fn list_topics(&self, bootstrap: &str) -> Vec<String> {
        strings(&self.call("list_topics", json!({"bootstrap": bootstrap}))["topics"])
    }

    /// Leader, replicas and in-sync replicas of every partition, internal topics too: rows of JSON.
    #[track_caller]
    pub fn describe_topics(&self, bootstrap: &str) -> Vec<Value> {
        rows(&self.call("describe_topics", json!({"bootstrap": bootstrap}))["partitions"]).cloned().collect()
    }

    /// Waits until every replica of every partition is in sync again.
    #[track_caller]
    pub fn wait_in_sync(&self, bootstrap: &str, timeout: Duration) {
        let deadline = std::time::Instant::now() + timeout;
        loop {
            let behind: Vec<Value> = self
                .describe_topics(bootstrap)
                .into_iter()
                .filter(|row| rows(&row["isr"]).count() < rows(&row["replicas"]).count() || number(&row["leader"]) < 0)
                .collect();
            if behind.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "not in sync after {timeout:?}: {behind:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Answers the new log start.
    #[track_caller]
    pub fn delete_records(&self, bootstrap: &str, topic: &str, partition: i32, before_offset: i64) -> i64 {
        let args = json!({"bootstrap": bootstrap, "topic": topic, "partition": partition, "before": before_offset});
        number(&self.call("delete_records", args)["log_start"])
    }

    #[track_caller]
    pub fn add_partitions(&self, bootstrap: &str, topic: &str, total: u32) {
        self.call("add_partitions", json!({"bootstrap": bootstrap, "topic": topic, "total": total}));
    }

    #[track_caller]
    pub fn alter_topic_configs(&self, bootstrap: &str, topic: &str, set: &[(&str, &str)], unset: &[&str]) {
        let args = json!({"bootstrap": bootstrap, "topic": topic, "set": pairs(set), "unset": unset});
        self.call("alter_configs", args);
    }

    /// Dynamic settings of one broker, or of all by default with an empty name.
    #[track_caller]
    pub fn alter_broker_configs(&self, bootstrap: &str, broker: &str, set: &[(&str, &str)], unset: &[&str]) {
        self.call("alter_configs", json!({"bootstrap": bootstrap, "broker": broker, "set": pairs(set), "unset": unset}));
    }

    /// The settings that the topic has of its own, and all that are in effect.
    #[track_caller]
    pub fn topic_configs(&self, bootstrap: &str, topic: &str) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let answer = self.call("topic_configs", json!({"bootstrap": bootstrap, "topic": topic}));
        let map = |value: &Value| value.as_object().into_iter().flatten().map(|(n, v)| (n.clone(), text(v))).collect();
        (map(&answer["set"]), map(&answer["effective"]))
    }

    #[track_caller]
    pub fn create_acls(&self, bootstrap: &str, acls: &[Acl]) {
        self.call("create_acls", json!({"bootstrap": bootstrap, "acls": acls.iter().map(Acl::json).collect::<Vec<_>>()}));
    }

    #[track_caller]
    pub fn delete_acls(&self, bootstrap: &str, acls: &[Acl]) {
        self.call("delete_acls", json!({"bootstrap": bootstrap, "acls": acls.iter().map(Acl::json).collect::<Vec<_>>()}));
    }

    /// Every binding there is, sorted.
    #[track_caller]
    pub fn describe_acls(&self, bootstrap: &str) -> Vec<Acl> {
        let answer = self.call("describe_acls", json!({"bootstrap": bootstrap}));
        let mut acls: Vec<Acl> = rows(&answer["acls"])
            .map(|row| Acl {
                resource_type: text(&row["resource_type"]),
                name: text(&row["name"]),
                pattern: text(&row["pattern"]),
                principal: text(&row["principal"]),
                host: text(&row["host"]),
                operation: text(&row["operation"]),
                permission: text(&row["permission"]),
            })
            .collect();
        acls.sort();
        acls
    }

    /// Sets client quotas: entity (`user`, `client-id` or `ip`, with None for the default), limits; a limit of None is removed.
    #[track_caller]
    pub fn alter_quotas(&self, bootstrap: &str, quotas: &[QuotaRow]) {
        let rows: Vec<Value> = quotas.iter().map(|(entity, values)| json!({"entity": entity, "values": values})).collect();
        self.call("alter_quotas", json!({"bootstrap": bootstrap, "quotas": rows}));
    }

    /// Every client quota there is.
    #[track_caller]
    pub fn describe_quotas(&self, bootstrap: &str) -> BTreeMap<BTreeMap<String, Option<String>>, BTreeMap<String, String>> {
        let answer = self.call("describe_quotas", json!({"bootstrap": bootstrap}));
        let entity = |row: &Value| row["entity"].as_object().into_iter().flatten().map(|(kind, name)| (kind.clone(), name.as_str().map(str::to_owned))).collect();
        let values = |row: &Value| row["values"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.to_string())).collect();
        rows(&answer["quotas"]).map(|row| (entity(row), values(row))).collect()
    }

    /// Creates SCRAM users: name and mechanism (`SCRAM-SHA-256` or `SCRAM-SHA-512`).
    #[track_caller]
    pub fn create_scram_users(&self, bootstrap: &str, users: &[(&str, &str)]) {
        let rows: Vec<Value> = users.iter().map(|(user, mechanism)| json!({"user": user, "mechanism": mechanism})).collect();
        self.call("create_scram_users", json!({"bootstrap": bootstrap, "users": rows}));
    }

    /// Of every topic that is not internal.
    #[track_caller]
    pub fn offsets(&self, bootstrap: &str) -> BTreeMap<(String, i32), Span> {
        self.spans(json!({"bootstrap": bootstrap}))
    }

    /// Of these topics: others may be deleted meanwhile.
    #[track_caller]
    pub fn offsets_of(&self, bootstrap: &str, topics: &BTreeSet<String>) -> BTreeMap<(String, i32), Span> {
        self.spans(json!({"bootstrap": bootstrap, "topics": topics}))
    }

    #[track_caller]
    fn spans(&self, arguments: Value) -> BTreeMap<(String, i32), Span> {
        let answer = self.call("offsets", arguments);
        rows(&answer["partitions"])
            .map(|row| {
                let [log_start, log_end, last_stable] = ["log_start", "log_end", "last_stable"].map(|name| number(&row[name]));
                (partition_of(row), Span { log_start, log_end, last_stable })
            })
            .collect()
    }

    /// Sends and waits for every acknowledgement; answers the values' bytes.
    #[track_caller]
    pub fn produce(&self, bootstrap: &str, topic: &str, load: &Load) -> u64 {
        let mut args = load.json();
        args["bootstrap"] = bootstrap.into();
        args["topic"] = topic.into();
        number(&self.call("produce", args)["value_bytes"]) as u64
    }

    /// Sends these records in their order, each to its key's partition; one without a value deletes its key.
    #[track_caller]
    pub fn put<K: AsRef<str>, V: AsRef<str>>(&self, bootstrap: &str, topic: &str, records: &[(K, Option<V>)]) {
        let records: Vec<Value> = records.iter().map(|(key, value)| json!([key.as_ref(), value.as_ref().map(V::as_ref)])).collect();
        self.call("put", json!({"bootstrap": bootstrap, "topic": topic, "records": records}));
    }

    /// Starts a producer over all partitions of these topics; `load.records` does not matter to it.
    #[track_caller]
    pub fn live<S: AsRef<str>>(&self, bootstrap: &str, topics: &[S], records_per_second: f64, load: &Load) -> Live<'_> {
        let name = format!("live-{}", self.next.fetch_add(1, Ordering::SeqCst));
        let mut args = load.json();
        args["name"] = name.clone().into();
        args["bootstrap"] = bootstrap.into();
        args["topics"] = names(topics);
        args["records_per_second"] = records_per_second.into();
        self.call("live_start", args);
        Live { agent: self, name, stopped: false }
    }

    /// Begins a transaction and puts the load in; it stays open until [`Self::end_transaction`].
    #[track_caller]
    pub fn begin_transaction(&self, bootstrap: &str, transactional_id: &str, topic: &str, load: &Load, timeout_ms: u32) {
        let mut args = load.json();
        args["bootstrap"] = bootstrap.into();
        args["transactional_id"] = transactional_id.into();
        args["topic"] = topic.into();
        args["timeout_ms"] = timeout_ms.into();
        self.call("transaction_begin", args);
    }

    /// Transactional ids with a transaction that is open.
    #[track_caller]
    pub fn open_transactions(&self, bootstrap: &str) -> Vec<String> {
        rows(&self.call("open_transactions", json!({"bootstrap": bootstrap}))["transactional_ids"]).map(text).collect()
    }

    /// Every transactional id that the coordinators remember, with its producer id and state, sorted.
    #[track_caller]
    pub fn transactional_ids(&self, bootstrap: &str) -> Vec<String> {
        let mut ids: Vec<String> = rows(&self.call("transactional_ids", json!({"bootstrap": bootstrap}))["transactional_ids"]).map(text).collect();
        ids.sort();
        ids
    }

    /// Interleaves transactional producers and a plain one over these topics; all transactions are decided in the end.
    #[track_caller]
    pub fn weave(&self, bootstrap: &str, topics: &[&str], weave: &Weave, load: &Load) -> Woven {
        let mut args = load.json();
        args["bootstrap"] = bootstrap.into();
        args["topics"] = json!(topics);
        args["transactional_id"] = weave.transactional_id.as_str().into();
        args["producers"] = weave.producers.into();
        args["steps"] = weave.steps.into();
        args["abort_ratio"] = weave.abort_ratio.into();
        args["burst"] = weave.burst.into();
        let answer = self.call("weave", args);
        let count = |name: &str| number(&answer[name]) as u64;
        Woven { committed: count("committed"), aborted: count("aborted"), transactions: count("transactions") }
    }

    #[track_caller]
    pub fn end_transaction(&self, transactional_id: &str, commit: bool) {
        let outcome = if commit { "commit" } else { "abort" };
        self.call("transaction_end", json!({"transactional_id": transactional_id, "outcome": outcome}));
    }

    /// Forgets a transaction's producer: the transaction hangs until the broker times it out.
    #[track_caller]
    pub fn abandon_transaction(&self, transactional_id: &str) {
        self.call("transaction_end", json!({"transactional_id": transactional_id, "outcome": "abandon"}));
    }

    /// Puts a group's offsets into a transaction that is open: they stand once it is committed.
    #[track_caller]
    pub fn transaction_offsets(&self, transactional_id: &str, group: &str, commits: &[Commit]) {
        let args = json!({"transactional_id": transactional_id, "group": group, "offsets": rows_of(commits)});
        self.call("transaction_offsets", args);
    }

    /// Appends a control record that belongs to no data, and that no consumer sees.
    #[track_caller]
    pub fn write_marker(&self, bootstrap: &str, topic: &str, partition: i32) {
        let producer_id = 1_000_000_000 + self.next.load(Ordering::SeqCst);
        self.call("write_marker", json!({"bootstrap": bootstrap, "topic": topic, "partition": partition, "producer_id": producer_id}));
    }

    /// Each group's type, in Kafka's words: `Classic`, `Consumer`, `Share`, `Streams`.
    #[track_caller]
    pub fn group_types(&self, bootstrap: &str) -> BTreeMap<String, String> {
        let answer = self.call("list_groups", json!({"bootstrap": bootstrap}));
        rows(&answer["groups"]).map(|row| (text(&row["group"]), text(&row["type"]))).collect()
    }

    /// The groups' names, sorted.
    #[track_caller]
    pub fn list_groups(&self, bootstrap: &str) -> Vec<String> {
        rows(&self.call("list_groups", json!({"bootstrap": bootstrap}))["groups"]).map(|row| text(&row["group"])).collect()
    }

    /// The group's state, in Kafka's words, and how many members it has.
    #[track_caller]
    pub fn describe_group(&self, bootstrap: &str, group: &str) -> (String, u64) {
        let answer = self.call("describe_group", json!({"bootstrap": bootstrap, "group": group}));
        (text(&answer["state"]), number(&answer["members"]) as u64)
    }

    #[track_caller]
    pub fn group_offsets(&self, bootstrap: &str, group: &str) -> BTreeMap<(String, i32), Committed> {
        let answer = self.call("group_offsets", json!({"bootstrap": bootstrap, "group": group}));
        rows(&answer["offsets"])
            .map(|row| {
                let committed = Committed {
                    offset: number(&row["committed"]),
                    metadata: text(&row["metadata"]),
                    leader_epoch: number(&row["leader_epoch"]) as i32,
                };
                (partition_of(row), committed)
            })
            .collect()
    }

    #[track_caller]
    pub fn commit_group_offsets(&self, bootstrap: &str, group: &str, commits: &[Commit]) {
        self.call("commit_group_offsets", json!({"bootstrap": bootstrap, "group": group, "offsets": rows_of(commits)}));
    }

    #[track_caller]
    pub fn delete_groups<S: AsRef<str>>(&self, bootstrap: &str, groups: &[S]) {
        self.call("delete_groups", json!({"bootstrap": bootstrap, "groups": names(groups)}));
    }

    /// Joins as a member of the group, reads, commits, leaves.
    #[track_caller]
    pub fn consume(&self, bootstrap: &str, consume: &Consume) -> BTreeMap<(String, i32), Consumed> {
        consumed(&self.call("consume", consume.json(bootstrap)))
    }

    /// Reads as somebody in no group who keeps the next offsets outside of Kafka; answers how far it came.
    #[track_caller]
    pub fn read_from(&self, bootstrap: &str, next: &BTreeMap<(String, i32), i64>, partition_records_max: Option<u64>) -> BTreeMap<(String, i32), Consumed> {
        let from: Vec<Value> = next.iter().map(|((topic, partition), next)| json!({"topic": topic, "partition": partition, "next": next})).collect();
        let mut args = json!({"bootstrap": bootstrap, "from": from});
        if let Some(max) = partition_records_max {
            args["partition_records_max"] = max.into();
        }
        consumed(&self.call("read_from", args))
    }

    /// How many records a topic holds, and how many different values.
    #[track_caller]
    pub fn values(&self, bootstrap: &str, topic: &str) -> (u64, u64) {
        let answer = self.call("values", json!({"bootstrap": bootstrap, "topic": topic}));
        (number(&answer["count"]) as u64, number(&answer["different"]) as u64)
    }

    /// Takes records as a member of a share group, and leaves.
    #[track_caller]
    pub fn share_consume(&self, bootstrap: &str, group: &str, topic: &str, records: u64) {
        self.call("share_consume", json!({"bootstrap": bootstrap, "group": group, "topics": [topic], "records": records}));
    }

    /// Keeps a member in a share group that exists, until [`Self::release_share`].
    #[track_caller]
    pub fn hold_share(&self, bootstrap: &str, group: &str, topic: &str) {
        self.call("share_hold_start", json!({"bootstrap": bootstrap, "group": group, "topics": [topic]}));
    }

    #[track_caller]
    pub fn release_share(&self, group: &str) {
        self.call("share_hold_stop", json!({"group": group}));
    }

    /// Runs a Kafka Streams application that copies one topic to another, until it has committed the end.
    #[track_caller]
    pub fn streams_run(&self, bootstrap: &str, application_id: &str, protocol: &str, from: &str, to: &str) {
        self.call("streams_run", json!({"bootstrap": bootstrap, "application_id": application_id, "protocol": protocol, "from": from, "to": to}));
    }

    /// Keeps a member in the group that reads nothing and commits what it is told to, until [`Self::release_group`].
    #[track_caller]
    pub fn hold_group<S: AsRef<str>>(&self, bootstrap: &str, group: &str, topics: &[S]) {
        self.hold_group_with(bootstrap, group, topics, &[]);
    }

    /// The same with settings of its own, such as `group.instance.id`.
    #[track_caller]
    pub fn hold_group_with<S: AsRef<str>>(&self, bootstrap: &str, group: &str, topics: &[S], props: &[(&str, &str)]) {
        self.call("group_hold_start", json!({"bootstrap": bootstrap, "group": group, "topics": names(topics), "props": pairs(props)}));
    }

    /// Commits as the member that is held.
    #[track_caller]
    pub fn commit_as_member(&self, bootstrap: &str, group: &str, commits: &[Commit]) {
        self.call("group_hold_commit", json!({"bootstrap": bootstrap, "group": group, "offsets": rows_of(commits)}));
    }

    #[track_caller]
    pub fn release_group(&self, bootstrap: &str, group: &str) {
        self.call("group_hold_stop", json!({"bootstrap": bootstrap, "group": group}));
    }

    /// Reads topics whole; all that are not internal where none is named.
    #[track_caller]
    pub fn dump<S: AsRef<str>>(&self, bootstrap: &str, topics: &[S], read_committed: bool) -> BTreeMap<(String, i32), Dumped> {
        let mut args = json!({"bootstrap": bootstrap, "isolation": isolation(read_committed)});
        if !topics.is_empty() {
            args["topics"] = names(topics);
        }
        rows(&self.call("dump", args)["partitions"])
            .map(|row| {
                let dumped = Dumped {
                    log_start: number(&row["log_start"]),
                    log_end: number(&row["log_end"]),
                    count: number(&row["count"]) as u64,
                    digest: text(&row["digest"]),
                    xor: text(&row["xor"]),
                };
                (partition_of(row), dumped)
            })
            .collect()
    }

    /// Every record of a small topic, partition by partition.
    #[track_caller]
    pub fn read(&self, bootstrap: &str, topic: &str, read_committed: bool) -> Vec<Record> {
        let answer = self.call("read", json!({"bootstrap": bootstrap, "topic": topic, "isolation": isolation(read_committed)}));
        rows(&answer["records"])
            .map(|row| Record {
                partition: number(&row["partition"]) as i32,
                offset: number(&row["offset"]),
                key: row["key"].as_str().map(unhex),
                value: row["value"].as_str().map(unhex),
                digest: text(&row["digest"]),
            })
            .collect()
    }

    /// Compares every record and both ends of every partition, at both isolation levels; all topics that are not internal where none is named.
    #[track_caller]
    pub fn judge<S: AsRef<str>>(&self, source: &str, target: &str, topics: &[S]) -> Judgement {
        let mut args = json!({"source": source, "target": target});
        if !topics.is_empty() {
            args["topics"] = names(topics);
        }
        self.judgement(args)
    }

    /// As [`Self::judge`], at `read_uncommitted` alone: half the time where there are no transactions.
    #[track_caller]
    pub fn judge_uncommitted<S: AsRef<str>>(&self, source: &str, target: &str, topics: &[S]) -> Judgement {
        let mut args = json!({"source": source, "target": target, "isolation": isolation(false)});
        if !topics.is_empty() {
            args["topics"] = names(topics);
        }
        self.judgement(args)
    }

    /// As [`Self::judge`], save that it does not matter who gave a record its timestamp, the producer or the broker.
    #[track_caller]
    pub fn judge_but_timestamp_types<S: AsRef<str>>(&self, source: &str, target: &str, topics: &[S]) -> Judgement {
        self.judgement(json!({"source": source, "target": target, "topics": names(topics), "timestamp_types": false}))
    }

    /// Compares mapped topics: the target has what `read_committed` consumers see of the source, record after record, at both isolation levels, and
    /// each of the committed offsets lies where the first record does that is not below it. It does not matter who gave a record its timestamp.
    #[track_caller]
    pub fn judge_mapped<S: AsRef<str>>(&self, source: &str, target: &str, topics: &[S], committed: &[Commit]) -> (Judgement, BTreeMap<(String, i32, i64), i64>) {
        let asked: Vec<Value> = committed.iter().map(|c| json!({"topic": c.topic, "partition": c.partition, "offset": c.offset})).collect();
        let judged = self.judgement(json!({"source": source, "target": target, "topics": names(topics), "timestamp_types": false, "mapped": true, "committed": asked}));
        let places = rows(&judged.detail["committed"]).map(|row| {
            let (topic, partition) = partition_of(row);
            ((topic, partition, number(&row["offset"])), number(&row["target"]))
        });
        let places = places.collect();
        (judged, places)
    }

    #[track_caller]
    fn judgement(&self, args: Value) -> Judgement {
        let detail = self.call("judge", args);
        Judgement { equal: detail["equal"] == true, differences: strings(&detail["differences"]), detail }
    }
}

fn rows_of(commits: &[Commit]) -> Value {
    let row = |c: &Commit| json!({"topic": c.topic, "partition": c.partition, "committed": c.offset, "metadata": c.metadata});
    commits.iter().map(row).collect::<Vec<_>>().into()
}

fn consumed(answer: &Value) -> BTreeMap<(String, i32), Consumed> {
    rows(&answer["partitions"])
        .map(|row| {
            let consumed = Consumed {
                first: number(&row["first"]),
                next_offset: number(&row["next"]),
                count: number(&row["count"]) as u64,
                digest: text(&row["digest"]),
                xor: text(&row["xor"]),
            };
            (partition_of(row), consumed)
        })
        .collect()
}

fn isolation(read_committed: bool) -> &'static str {
    if read_committed { "read_committed" } else { "read_uncommitted" }
}

fn names<S: AsRef<str>>(all: &[S]) -> Value {
    all.iter().map(|name| Value::from(name.as_ref())).collect::<Vec<_>>().into()
}

fn pairs<N: AsRef<str>, V: AsRef<str>>(all: &[(N, V)]) -> Value {
    all.iter().map(|(name, value)| (name.as_ref().to_string(), Value::from(value.as_ref()))).collect::<Map<_, _>>().into()
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> Vec<String> {
    rows(value).map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("the Java agent's answer has {value} where a number belongs"))
}

fn partition_of(row: &Value) -> (String, i32) {
    (text(&row["topic"]), number(&row["partition"]) as i32)
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal digits, two to a byte")).collect()
}
