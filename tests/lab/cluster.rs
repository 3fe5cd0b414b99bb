//! Kafka clusters: ZooKeeper mode 3.9.1 or older, and KRaft 4.1.1 in combined mode, with one or three brokers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::process::{Process, free_port};
use super::proxy::KafkaProxy;
use super::secured::Door;
use super::workdir::WorkDir;
use super::{cache, wire};

/// A broker that is gone is missed after this long, by ZooKeeper and by the KRaft controller.
const SESSION_MS: u64 = 6_000;
const ARCHIVE: &str = "classes.jsa";
const READY: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    ZooKeeper,
    KRaft,
}

/// What a cluster may be asked for beyond its defaults.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Properties of every broker; they win over the lab's own.
    pub broker_props: Vec<(String, String)>,
    /// Features of a KRaft cluster beyond its version's own, as `name=level`.
    pub features: Vec<String>,
    /// The version whose level of metadata a KRaft cluster is formatted with; its own where none is named.
    pub release: Option<String>,
    /// The version of a ZooKeeper cluster's brokers; 3.9.1 where none is named.
    pub version: Option<&'static str>,
    /// Lets topics of a ZooKeeper cluster have tiered storage, in a directory of the lab.
    pub tiered: bool,
    /// Stores ACLs, while every PLAINTEXT client is a super user.
    pub authorizer: bool,
    /// Gives each broker a listener whose clients are this user, who is no super user.
    pub user: Option<String>,
    /// Enforces ACLs, and gives each broker a listener for each way in.
    pub secured: bool,
    /// Gives each broker a second listener that is advertised as a proxy's address.
    pub proxied: bool,
    /// Full compilation and a larger heap: for the benchmark, at the price of a slower start.
    pub throughput: bool,
}

impl Options {
    pub fn prop(mut self, name: &str, value: impl ToString) -> Self {
        self.broker_props.push((name.into(), value.to_string()));
        self
    }

    /// Share groups and the Streams protocol (KIP-932, KIP-1071), which 4.1 does not switch on by itself.
    pub fn every_kind_of_group(mut self) -> Self {
        self.features = ["share.version=1", "streams.version=1"].map(String::from).into();
        self.prop("group.coordinator.rebalance.protocols", "classic,consumer,share,streams")
            .prop("unstable.api.versions.enable", true)
            .prop("unstable.feature.versions.enable", true)
            .prop("share.coordinator.state.topic.replication.factor", 1)
            .prop("share.coordinator.state.topic.min.isr", 1)
            .prop("share.coordinator.state.topic.num.partitions", 3)
    }

    /// As a cluster is whose upgrade was not finished: `4.0-IV3`, for instance.
    pub fn release(mut self, version: &str) -> Self {
        self.release = Some(version.into());
        self
    }

    /// Brokers of another version in ZooKeeper mode, such as `2.7.2`; one that `tests/lab/README.md` names.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }

    pub fn tiered(mut self) -> Self {
        self.tiered = true;
        self
    }

    pub fn authorizer(mut self) -> Self {
        self.authorizer = true;
        self
    }

    /// With an authorizer, and a listener on which every client is `User:name`; small letters.
    pub fn user(mut self, name: &str) -> Self {
        self.user = Some(name.into());
        self.authorizer()
    }

    pub fn secured(mut self) -> Self {
        self.secured = true;
        self
    }

    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    pub fn throughput(mut self) -> Self {
        self.throughput = true;
        self
    }
}

struct Node {
    id: i32,
    port: u16,
    /// Of the user's listener; 0 without.
    user_port: u16,
    doors: Vec<(Door, u16)>,
    props: PathBuf,
    data: PathBuf,
    log: PathBuf,
    process: Mutex<Option<Process>>,
    killed: Mutex<Option<Instant>>,
}

/// A running cluster. Brokers are named by their ids, 1 and up.
pub struct Cluster {
    mode: Mode,
    options: Options,
    nodes: Vec<Node>,
    proxies: Vec<KafkaProxy>,
    zookeeper: Option<Process>,
    class_path: String,
    archive: PathBuf,
    // Last: what runs in it is dropped before it.
    dir: WorkDir,
}

impl Cluster {
    /// Starts ZooKeeper and brokers of Kafka 3.9.1, or of the version that is asked for, and waits until they are ready.
    pub fn zookeeper(brokers: usize, options: Options) -> Self {
        Self::start(Mode::ZooKeeper, brokers, options)
    }

    /// Starts Kafka 4.1.1 nodes, each broker and controller, and waits until they are ready.
    pub fn kraft(brokers: usize, options: Options) -> Self {
        Self::start(Mode::KRaft, brokers, options)
    }

    pub fn start(mode: Mode, brokers: usize, options: Options) -> Self {
        assert!(brokers == 1 || brokers == 3, "a lab cluster has one broker or three");
        let (name, version, class_path) = match (mode, options.version) {
            (Mode::ZooKeeper, None) => ("zookeeper", "3.9.1", cache::kafka_3_9()),
            (Mode::ZooKeeper, Some(version)) => ("zookeeper", version, cache::kafka_older(version)),
            (Mode::KRaft, None) => ("kraft", "4.1.1", cache::kafka_4_1()),
            (Mode::KRaft, Some(version)) => panic!("the lab has no KRaft brokers of {version}"),
        };
        // Behind the rest: a shared class archive wants the class path that it was made with as a prefix.
        let class_path = if options.secured { format!("{class_path}:{}", cache::guards()) } else { class_path };
        let class_path = match options.user {
            // Behind Kafka's own, so that an archive of its classes still fits.
            Some(_) => format!("{class_path}:{}", cache::listener_principals()),
            None => class_path,
        };
        let archive = cache::class_archive(&format!("{name}-classes-{version}"));
        let dir = WorkDir::new(name);
        dir.dir("tmp");
        dir.file("log4j.properties", LOG4J);
        let zookeeper_port = free_port();
        let controllers: Vec<u16> = (0..brokers).map(|_| free_port()).collect();
        let mut nodes = Vec::new();
        let mut proxies = Vec::new();
        for id in 1..=brokers {
            let port = free_port();
            let mut listeners = format!("PLAINTEXT://127.0.0.1:{port}");
            let mut advertised = listeners.clone();
            if options.proxied {
                let behind = free_port();
                let proxy = KafkaProxy::start(behind);
                write!(listeners, ",PROXIED://127.0.0.1:{behind}").unwrap();
                write!(advertised, ",PROXIED://127.0.0.1:{}", proxy.port()).unwrap();
                proxies.push(proxy);
            }
            let mut user_port = 0;
            if let Some(user) = &options.user {
                user_port = free_port();
                for list in [&mut listeners, &mut advertised] {
                    write!(list, ",{}://127.0.0.1:{user_port}", user_listener(user)).unwrap();
                }
            }
            let data = dir.path().join(format!("data-{id}"));
            let mut props = common(&data, brokers, &options);
            let doors: Vec<(Door, u16)> = if options.secured { Door::ALL.map(|door| (door, free_port())).into() } else { Vec::new() };
            for (door, port) in &doors {
                write!(listeners, ",{}://127.0.0.1:{port}", door.listener()).unwrap();
                write!(advertised, ",{}://127.0.0.1:{port}", door.listener()).unwrap();
                door.props().iter().for_each(|(name, value)| props.set(name, value));
            }
            if options.tiered {
                props.set("remote.log.storage.system.enable", true);
                props.set("remote.log.storage.manager.class.name", "org.apache.kafka.server.log.remote.storage.LocalTieredStorage");
                props.set("remote.log.storage.manager.class.path", cache::tiered_storage());
                props.set("rsm.config.dir", dir.dir("remote").display());
                props.set("remote.log.metadata.manager.listener.name", "PLAINTEXT");
                props.set("rlmm.config.remote.log.metadata.topic.replication.factor", brokers);
                props.set("rlmm.config.remote.log.metadata.topic.num.partitions", 5);
                props.set("remote.log.manager.task.interval.ms", 500);
            }
            match mode {
                Mode::ZooKeeper => {
                    props.set("broker.id", id);
                    props.set("zookeeper.connect", format!("127.0.0.1:{zookeeper_port}"));
                    props.set("zookeeper.session.timeout.ms", SESSION_MS);
                    // Whom ZooKeeper drops while it is still starting hears nothing for a session's length, and has to be let try again.
                    props.set("zookeeper.connection.timeout.ms", 5 * SESSION_MS);
                    if options.authorizer || options.secured {
                        props.set("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer");
                    }
                }
                Mode::KRaft => {
                    write!(listeners, ",CONTROLLER://127.0.0.1:{}", controllers[id - 1]).unwrap();
                    let voters: Vec<String> = controllers.iter().zip(1..).map(|(p, n)| format!("{n}@127.0.0.1:{p}")).collect();
                    props.set("process.roles", "broker,controller");
                    props.set("node.id", id);
                    props.set("controller.listener.names", "CONTROLLER");
                    props.set("controller.quorum.voters", voters.join(","));
                    props.set("broker.session.timeout.ms", SESSION_MS);
                    props.set("broker.heartbeat.interval.ms", 1_000);
                    if options.authorizer || options.secured {
                        props.set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
                    }
                }
            }
            props.set("listeners", listeners);
            props.set("advertised.listeners", advertised);
            for (name, value) in &options.broker_props {
                props.set(name, value);
            }
            nodes.push(Node {
                id: id as i32,
                port,
                user_port,
                doors,
                props: dir.file(&format!("broker-{id}.properties"), &props.text()),
                data,
                log: dir.path().join(format!("broker-{id}.log")),
                process: Mutex::new(None),
                killed: Mutex::new(None),
            });
        }
        let mut cluster = Self { mode, options, nodes, proxies, zookeeper: None, class_path, archive, dir };
        match mode {
            Mode::ZooKeeper => cluster.start_zookeeper(zookeeper_port),
            Mode::KRaft => cluster.format(),
        }
        for node in &cluster.nodes {
            cluster.launch(node);
        }
        cluster.wait_ready();
        cluster
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect::<Vec<_>>().join(",")
    }

    /// Bootstrap servers of the listener on which every client is the cluster's user.
    pub fn user_bootstrap(&self) -> String {
        assert!(self.options.user.is_some(), "the cluster was started without `user`");
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.user_port)).collect::<Vec<_>>().join(",")
    }

    /// Bootstrap servers of the listener on which every address leads through a proxy.
    pub fn proxied_bootstrap(&self) -> String {
        assert!(self.options.proxied, "the cluster was started without `proxied`");
        self.proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())).collect::<Vec<_>>().join(",")
    }

    /// Bootstrap servers of the listeners for one way in.
    pub fn door(&self, door: Door) -> String {
        let port = |node: &Node| node.doors.iter().find(|(d, _)| *d == door).expect("the cluster was started `secured`").1;
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", port(node))).collect::<Vec<_>>().join(",")
    }

    /// The proxies, in the order of the broker ids.
    pub fn proxies(&self) -> &[KafkaProxy] {
        &self.proxies
    }

    pub fn broker_ids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The lab's directory of this cluster: properties, logs, data.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory in which this broker keeps its partitions.
    pub fn log_dir(&self, broker: i32) -> &Path {
        &self.node(broker).data
    }

    /// SIGKILL.
    pub fn kill_broker(&self, broker: i32) {
        let node = self.node(broker);
        if let Some(mut process) = node.process.lock().unwrap().take() {
            process.kill();
            *node.killed.lock().unwrap() = Some(Instant::now());
        }
    }

    /// SIGTERM: the broker hands over its leaderships and leaves.
    pub fn stop_broker(&self, broker: i32) {
        if let Some(mut process) = self.node(broker).process.lock().unwrap().take() {
            process.stop(STOP);
        }
    }

    /// Starts a broker again on its ports and data; does not wait until it is ready.
    pub fn start_broker(&self, broker: i32) {
        let node = self.node(broker);
        let killed = node.killed.lock().unwrap().take();
        if let (Mode::ZooKeeper, Some(killed)) = (self.mode, killed) {
            // Its predecessor's registration must have expired, or ZooKeeper refuses the new one.
            let gone = killed + Duration::from_millis(SESSION_MS + 2_500);
            std::thread::sleep(gone.saturating_duration_since(Instant::now()));
        }
        self.launch(node);
    }

    /// Puts an empty log that begins at this offset in the place of a partition's: as it is where all before it was deleted.
    /// The broker was stopped by `stop_broker`; no other has a replica.
    pub fn begin_log_at(&self, broker: i32, topic: &str, partition: i32, offset: i64) {
        assert!(!self.is_running(broker), "broker {broker} is running");
        let dir = self.log_dir(broker).join(format!("{topic}-{partition}"));
        for path in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|e| ["log", "index", "timeindex", "snapshot"].iter().any(|of_segments| e == *of_segments)) {
                std::fs::remove_file(path).unwrap();
            }
        }
        std::fs::write(dir.join(format!("{offset:020}.log")), "").unwrap();
    }

    pub fn is_running(&self, broker: i32) -> bool {
        self.node(broker).process.lock().unwrap().as_mut().is_some_and(Process::is_running)
    }

    /// Waits until every broker that was started answers and knows all of them.
    pub fn wait_ready(&self) {
        let deadline = Instant::now() + READY;
        let expected: Vec<i32> = self.nodes.iter().filter(|n| n.process.lock().unwrap().is_some()).map(|n| n.id).collect();
        for node in self.nodes.iter().filter(|node| expected.contains(&node.id)) {
            loop {
                let known = wire::metadata(node.port);
                if known.as_ref().is_some_and(|k| k.controller >= 0 && expected.iter().all(|id| k.brokers.contains(id))) {
                    break;
                }
                let mut process = node.process.lock().unwrap();
                let process = process.as_mut().expect("only started brokers are waited for");
                if let Some(status) = process.status() {
                    panic!("broker {} of the {:?} cluster ended: {status}\n{}", node.id, self.mode, process.log_tail());
                }
                assert!(
                    Instant::now() < deadline,
                    "broker {} of the {:?} cluster is not ready after {READY:?}: it knows {known:?}\n{}",
                    node.id,
                    self.mode,
                    process.log_tail()
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// What `kafka-dump-log` says of a segment file, record by record.
    pub fn dump_log(&self, file: &Path) -> String {
        let args = ["--print-data-log", "--deep-iteration", "--files", &file.display().to_string()].map(String::from);
        let output = self.tool("kafka.tools.DumpLogSegments", &args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "dump of {}: {}\n{text}{}", file.display(), output.status, String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs a stock tool of this cluster's version by its class name.
    pub fn tool(&self, class: &str, args: &[String]) -> Output {
        let mut command = self.java("128m");
        command.arg(class).args(args);
        command.output().unwrap_or_else(|e| panic!("run {class}: {e}"))
    }

    fn node(&self, broker: i32) -> &Node {
        self.nodes.iter().find(|node| node.id == broker).unwrap_or_else(|| panic!("no broker {broker} in this cluster"))
    }

    fn launch(&self, node: &Node) {
        let mut process = node.process.lock().unwrap();
        assert!(process.is_none(), "broker {} is running", node.id);
        let mut command = self.java(if self.options.throughput { "1g" } else { "512m" });
        if self.archive.is_file() {
            command.arg(format!("-XX:SharedArchiveFile={}", self.archive.display()));
        } else if node.id == 1 && !self.options.throughput && !self.options.secured && self.options.user.is_none() {
            command.arg(format!("-XX:ArchiveClassesAtExit={}", self.dir.path().join(ARCHIVE).display()));
        }
        command.arg("kafka.Kafka").arg(&node.props);
        *process = Some(Process::start(&format!("broker {}", node.id), &node.log, &mut command));
    }

    fn java(&self, heap: &str) -> Command {
        java(self.dir.path(), heap, self.options.throughput, &self.class_path)
    }

    fn start_zookeeper(&mut self, port: u16) {
        let data = self.dir.dir("zookeeper");
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=1000\nmaxClientCnxns=0\nadmin.enableServer=false\n",
            data.display()
        );
        let props = self.dir.file("zookeeper.properties", &text);
        let mut command = self.java("128m");
        // Its fsync of every transaction is most of its latency and none of what the lab is after.
        command.args(["-Dzookeeper.forceSync=no", "org.apache.zookeeper.server.quorum.QuorumPeerMain"]).arg(props);
        self.zookeeper = Some(Process::start("ZooKeeper", &self.dir.path().join("zookeeper.log"), &mut command));
    }

    /// Formats every node's directory: the stock tool for the first, the same with another node id for the others.
    fn format(&self) {
        let first = &self.nodes[0];
        let cluster_id = random_uuid();
        let mut args = ["format", "-t", &cluster_id, "-c", &first.props.display().to_string()].map(String::from).to_vec();
        args.extend(self.options.features.iter().flat_map(|feature| ["--feature".to_owned(), feature.clone()]));
        args.extend(self.options.release.iter().flat_map(|version| ["--release-version".to_owned(), version.clone()]));
        let output = self.tool("kafka.tools.StorageTool", &args);
        assert!(output.status.success(), "format KRaft storage:\n{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for node in &self.nodes[1..] {
            std::fs::create_dir_all(&node.data).unwrap();
            for entry in std::fs::read_dir(&first.data).unwrap().flatten() {
                let place = node.data.join(entry.file_name());
                if entry.file_name() == "meta.properties" {
                    let text: String = std::fs::read_to_string(entry.path())
                        .unwrap()
                        .lines()
                        .map(|line| match line.split_once('=') {
                            Some(("node.id", _)) => format!("node.id={}\n", node.id),
                            Some(("directory.id", _)) => format!("directory.id={}\n", random_uuid()),
                            _ => format!("{line}\n"),
                        })
                        .collect();
                    std::fs::write(place, text).unwrap();
                } else {
                    std::fs::copy(entry.path(), place).unwrap();
                }
            }
        }
    }
}

impl Drop for Cluster {
    /// The first cluster of its kind on a machine leaves an archive of its classes, so that later ones start sooner.
    fn drop(&mut self) {
        if self.archive.is_file() || self.options.throughput || self.options.secured || self.options.user.is_some() || std::thread::panicking() {
            return;
        }
        self.stop_broker(1);
        let written = self.dir.path().join(ARCHIVE);
        let beside = self.archive.with_extension(format!("{}.part", std::process::id()));
        if std::fs::copy(&written, &beside).is_ok() {
            let _ = std::fs::rename(&beside, &self.archive);
        }
    }
}

/// `java` with the lab's flags and class path; the main class and its arguments are the caller's to add.
pub(super) fn java(dir: &Path, heap: &str, throughput: bool, class_path: &str) -> Command {
    let mut command = Command::new("java");
    command.args([&format!("-Xmx{heap}"), "-Xss512k", "-XX:-UsePerfData", "-Xshare:auto", "-Djava.awt.headless=true"]);
    if throughput {
        command.arg("-XX:+UseParallelGC");
    } else {
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    }
    // The codecs unpack native libraries there, which a SIGKILL would leave behind.
    command.arg(format!("-Djava.io.tmpdir={}", dir.join("tmp").display()));
    command.arg(format!("-Dlog4j.configuration=file:{}", dir.join("log4j.properties").display()));
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-Dorg.slf4j.simpleLogger.showDateTime=true"]);
    command.args(["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", class_path]);
    command
}

pub(super) const LOG4J: &str = "\
log4j.rootLogger=INFO, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=%d{HH:mm:ss.SSS} %p %m (%c{1})%n
";

/// A random id in Kafka's form: sixteen bytes in URL-safe base64. It never begins with a dash, which a tool would take for a flag.
fn random_uuid() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0u8; 22];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").expect("/dev/urandom opens"), &mut bytes).expect("/dev/urandom reads");
    let mut text: String = bytes.iter().map(|byte| DIGITS[usize::from(byte % 62)] as char).collect();
    // Sixteen bytes are 21 digits and two bits.
    text.replace_range(21.., ["A", "Q", "g", "w"][usize::from(bytes[21] % 4)]);
    text
}

struct Props(Vec<(String, String)>);

impl Props {
    fn set(&mut self, name: &str, value: impl ToString) {
        self.0.retain(|(have, _)| have != name);
        self.0.push((name.into(), value.to_string()));
    }

    fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }
}

/// `java/broker/ListenerPrincipals.java` takes the name from it.
fn user_listener(user: &str) -> String {
    format!("USER_{}", user.to_uppercase())
}

/// What both modes share: small, quick to start, quick to notice a dead broker. Retention and limits stay Kafka's own.
fn common(data: &Path, brokers: usize, options: &Options) -> Props {
    let mut props = Props(Vec::new());
    props.set("log.dirs", data.display());
    let doors: String = Door::ALL.iter().map(|door| format!(",{}:{}", door.listener(), door.protocol())).collect();
    let mut protocols = format!("PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT{doors}");
    if let Some(user) = &options.user {
        write!(protocols, ",{}:PLAINTEXT", user_listener(user)).unwrap();
        props.set("principal.builder.class", "ListenerPrincipals");
    }
    props.set("listener.security.protocol.map", protocols);
    props.set("inter.broker.listener.name", "PLAINTEXT");
    props.set("auto.create.topics.enable", false);
    props.set("default.replication.factor", brokers);
    props.set("offsets.topic.num.partitions", 5);
    props.set("offsets.topic.replication.factor", brokers);
    props.set("transaction.state.log.num.partitions", 5);
    props.set("transaction.state.log.replication.factor", brokers);
    props.set("transaction.state.log.min.isr", brokers.min(2));
    props.set("min.insync.replicas", brokers.min(2));
    props.set("group.initial.rebalance.delay.ms", 0);
    props.set("num.network.threads", 2);
    props.set("num.io.threads", 4);
    props.set("num.recovery.threads.per.data.dir", 2);
    props.set("log.cleaner.dedupe.buffer.size", 16 << 20);
    // Compaction looks for work twice a second, so that nobody waits for it.
    props.set("log.cleaner.backoff.ms", 500);
    props.set("controlled.shutdown.retry.backoff.ms", 500);
    if options.secured {
        props.set("super.users", "User:admin");
        props.set("allow.everyone.if.no.acl.found", false);
        props.set("num.network.threads", 1);
        for inner in ["plaintext", "controller"] {
            props.set(&format!("listener.name.{inner}.principal.builder.class"), "Insider");
        }
    } else if options.authorizer {
        props.set("super.users", "User:ANONYMOUS");
    }
    props
}
