//! Applications that keep their state in Kafka: stopped at one cluster and started at the other, they go on as if nothing had happened.
//!
//! Kafka Streams has its counts in a changelog and its progress in a group; Kafka Connect its connectors, their offsets and
//! states in three compacted topics; a Schema Registry its schemas in `_schemas`. Nothing of them lies anywhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::lab::{Agent, ConnectWorker, Record, StreamsApp, Topic, WorkDir, differences_by_key};
use crate::migration::Lab;

const SOON: Duration = Duration::from_secs(60);
/// The log cleaner looks every 15 s.
const CLEANED: Duration = Duration::from_secs(60);
const CUSTOMERS: usize = 23;

/// The applications with what goes into them; the id is the prefix of all that they have in Kafka.
struct Apps {
    id: String,
    orders: usize,
    lines: usize,
    streams: StreamsApp,
    connect: ConnectWorker,
    // Last: what runs uses it.
    files: WorkDir,
}

impl Apps {
    /// Creates their topics, starts them and makes the connectors.
    fn start(id: &str, bootstrap: &str) -> Self {
        let (orders, counts, lines) = (format!("{id}-orders"), format!("{id}-counts"), format!("{id}-lines"));
        Agent::shared().create_topics(bootstrap, &[Topic::new(&orders, 3), Topic::new(&counts, 2), Topic::new(&lines, 1)]);
        let streams = StreamsApp::new(&format!("{id}-counter"), &orders, &counts);
        let connect = ConnectWorker::new(&format!("{id}-connect"));
        let mut apps = Self { id: id.into(), orders: 0, lines: 0, streams, connect, files: WorkDir::new("files") };
        apps.write_lines(0);
        apps.start_again(bootstrap);
        assert!(apps.connect.connectors().is_empty(), "a new cluster of workers has connectors");
        apps.connect.create_file_source(&apps.source(), &apps.file_in().display().to_string(), &apps.lines_topic());
        apps.connect.create_file_sink(&apps.sink(), &apps.file_out().display().to_string(), &apps.lines_topic());
        apps
    }

    fn start_again(&mut self, bootstrap: &str) {
        self.streams.start(bootstrap);
        self.connect.start(bootstrap);
    }

    /// Stops both and waits until nobody is left in the consumer groups; what Streams keeps on its disk is lost.
    fn stop(&mut self, bootstrap: &str) {
        self.streams.stop();
        self.streams.forget_state();
        self.connect.stop();
        for group in self.groups() {
            wait_for(SOON, || match Agent::shared().describe_group(bootstrap, &group) {
                (_, 0) => Ok(()),
                (state, members) => Err(format!("{group} is {state} with {members} members")),
            });
        }
    }

    fn orders_topic(&self) -> String {
        format!("{}-orders", self.id)
    }

    fn counts_topic(&self) -> String {
        format!("{}-counts", self.id)
    }

    fn lines_topic(&self) -> String {
        format!("{}-lines", self.id)
    }

    fn source(&self) -> String {
        format!("{}-reader", self.id)
    }

    fn sink(&self) -> String {
        format!("{}-writer", self.id)
    }

    fn file_in(&self) -> PathBuf {
        self.files.path().join("in.txt")
    }

    fn file_out(&self) -> PathBuf {
        self.files.path().join("out.txt")
    }

    /// Those with committed offsets.
    fn groups(&self) -> [String; 2] {
        [self.streams.group().to_owned(), ConnectWorker::sink_group(&self.sink())]
    }

    /// Topics that are not compacted.
    fn plain_topics(&self) -> Vec<String> {
        vec![self.orders_topic(), self.counts_topic(), self.lines_topic(), self.streams.repartition_topic()]
    }

    fn compacted_topics(&self) -> Vec<String> {
        [&[self.streams.changelog_topic()], &self.connect.internal_topics()[..]].concat()
    }

    /// So many orders more and so many lines more.
    fn give(&mut self, bootstrap: &str, orders: usize, lines: usize) {
        let more: Vec<_> = (self.orders..self.orders + orders).map(|i| (format!("order-{i}"), Some(customer(i)))).collect();
        Agent::shared().put(bootstrap, &self.orders_topic(), &more);
        self.orders += orders;
        self.write_lines(lines);
    }

    fn write_lines(&mut self, more: usize) {
        let text: String = (self.lines..self.lines + more).map(|i| format!("line {i}\n")).collect();
        let mut file = std::fs::File::options().create(true).append(true).open(self.file_in()).expect("the file is ours");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("the file is ours");
        self.lines += more;
    }

    /// The connectors are there, and nobody has made them a second time.
    #[track_caller]
    fn expect_connectors(&self) {
        let connectors = self.connect.connectors();
        assert!(connectors.keys().eq([&self.source(), &self.sink()]), "{connectors:?}");
    }

    /// Waits until both have dealt with all that they were given.
    fn wait_done(&mut self, bootstrap: &str) {
        let connectors = [self.source(), self.sink()];
        self.connect.wait_running(&connectors.each_ref().map(String::as_str));
        wait_for(SOON, || {
            self.streams.expect_running();
            self.connect.expect_running();
            let counts = Agent::shared().read(bootstrap, &self.counts_topic(), true).len();
            let lines = read(&self.file_out()).lines().count();
            if counts >= self.orders && lines >= self.lines { Ok(()) } else { Err(format!("{counts} of {} counts, {lines} of {} lines", self.orders, self.lines)) }
        });
    }

    /// Kills Streams in the middle of transactions and starts it again, until some of its counts were aborted.
    fn die_in_transactions(&mut self, bootstrap: &str) {
        let agent = Agent::shared();
        for _ in 0..5 {
            self.give(bootstrap, 2_000, 0);
            let given = Instant::now();
            let counts = self.counts_topic();
            let is_open = || agent.offsets(bootstrap).iter().any(|((topic, _), span)| *topic == counts && span.last_stable < span.log_end);
            while !is_open() && given.elapsed() < Duration::from_secs(5) {}
            self.streams.kill();
            self.streams.start(bootstrap);
            self.wait_done(bootstrap);
            if agent.read(bootstrap, &counts, false).len() > self.orders {
                return;
            }
        }
        panic!("five deaths, and none in a transaction");
    }

    /// Every order was counted once and in order, and every line went once into the topic and once out of it, in order.
    #[track_caller]
    fn expect_each_once(&self, bootstrap: &str) {
        let mut orders_of: BTreeMap<String, usize> = BTreeMap::new();
        (0..self.orders).for_each(|i| *orders_of.entry(customer(i)).or_default() += 1);
        let mut counts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in Agent::shared().read(bootstrap, &self.counts_topic(), true) {
            counts.entry(record.key_text()).or_default().push(record.value_text());
        }
        assert_eq!(counts.len(), orders_of.len(), "customers counted");
        for (customer, orders) in orders_of {
            let expected: Vec<String> = (1..=orders).map(|n| n.to_string()).collect();
            assert_eq!(counts[&customer], expected, "the counts of {customer}");
        }
        let lines: Vec<String> = Agent::shared().read(bootstrap, &self.lines_topic(), false).iter().map(Record::value_text).collect();
        assert_eq!(lines, read(&self.file_in()).lines().collect::<Vec<_>>(), "the lines in the topic");
        assert_eq!(read(&self.file_out()), read(&self.file_in()), "the lines out of the topic");
    }
}

fn customer(order: usize) -> String {
    format!("customer-{}", order * order % CUSTOMERS)
}

/// A file's text; nothing where it is not there yet.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Waits until it holds; what it says is missing in the end is the panic's message.
#[track_caller]
fn wait_for(timeout: Duration, mut holds: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + timeout;
    while let Err(missing) = holds() {
        assert!(Instant::now() < deadline, "after {timeout:?}: {missing}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "what the lab itself can do: tests/full"]
fn the_applications_of_the_lab_go_on_after_a_restart() {
    let source = Lab::shared().source.bootstrap();
    let mut apps = Apps::start("restart", &source);
    apps.give(&source, 500, 50);
    apps.wait_done(&source);
    apps.die_in_transactions(&source);
    apps.stop(&source);
    apps.expect_each_once(&source);

    apps.start_again(&source);
    apps.give(&source, 500, 50);
    apps.wait_done(&source);
    apps.expect_connectors();
    apps.stop(&source);
    apps.expect_each_once(&source);
}

const SCHEMAS: &str = "_schemas";

/// What a Schema Registry writes: schemas, the same changed, one deleted for good, compatibility rules, and no-ops of leaders.
fn schemas() -> Vec<(String, Option<String>)> {
    let noop = (r#"{"keytype":"NOOP","magic":0}"#.to_owned(), None);
    let config = |level: &str| {
        let key = r#"{"keytype":"CONFIG","subject":null,"magic":0}"#.to_owned();
        (key, Some(format!(r#"{{"subject":null,"compatibilityLevel":"{level}"}}"#)))
    };
    let key = |subject: usize, version: usize| format!(r#"{{"keytype":"SCHEMA","subject":"topic-{subject}-value","version":{version},"magic":1}}"#);
    let schema = |subject: usize, version: usize, deleted: bool| {
        let fields: Vec<String> = (0..=version).map(|n| format!(r#"{{\"name\":\"field{n}\",\"type\":\"string\"}}"#)).collect();
        let schema = format!(r#"{{\"type\":\"record\",\"name\":\"Record{subject}\",\"fields\":[{}]}}"#, fields.join(","));
        let id = subject * 10 + version;
        let value = format!(r#"{{"subject":"topic-{subject}-value","version":{version},"id":{id},"schema":"{schema}","deleted":{deleted}}}"#);
        (key(subject, version), Some(value))
    };
    let mut records = vec![noop.clone(), config("BACKWARD")];
    for subject in 0..40 {
        records.extend((1..=3).map(|version| schema(subject, version, false)));
        // Deleted in two steps, as the Schema Registry does it: first marked, then gone.
        if subject % 4 == 0 {
            records.push(schema(subject, 1, true));
        }
        if subject % 8 == 0 {
            records.push((key(subject, 1), None));
        }
        if subject % 10 == 9 {
            records.extend([config(if subject == 19 { "NONE" } else { "FULL" }), noop.clone()]);
        }
    }
    records
}

/// Fills `_schemas` and has the source clean it once, so that there are holes in it.
fn fill_schemas(source: &str) {
    let agent = Agent::shared();
    let topic = Topic::new(SCHEMAS, 1).config("cleanup.policy", "compact");
    agent.create_topics(source, &[topic.config("segment.ms", 500).config("min.cleanable.dirty.ratio", "0.01")]);
    agent.put(source, SCHEMAS, &schemas());
    std::thread::sleep(Duration::from_millis(700));
    // The segment is full by now, and is cleaned once there is another.
    agent.put(source, SCHEMAS, &[(r#"{"keytype":"NOOP","magic":0}"#, None::<&str>)]);
}

fn wait_for_cleaned_schemas(source: &str) {
    let agent = Agent::shared();
    wait_for(CLEANED, || {
        let (left, written) = (agent.read(source, SCHEMAS, false).len(), schemas().len() + 1);
        if left < written { Ok(()) } else { Err(format!("{left} of {written} records are left")) }
    });
    agent.alter_topic_configs(source, SCHEMAS, &[], &["segment.ms", "min.cleanable.dirty.ratio"]);
}

#[test]
fn applications_move_with_nothing_but_the_bootstrap_address_changed() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    fill_schemas(&source);
    let mut apps = Apps::start("apps", &source);
    apps.give(&source, 500, 50);
    wait_for_cleaned_schemas(&source);
    apps.wait_done(&source);

    // They work on while their topics are copied.
    let mut setup = lab.setup("apps").topics(&["apps-*", SCHEMAS]);
    setup.groups.push(ConnectWorker::sink_group("apps-*"));
    let migration = setup.begin();
    let told = migration.precheck();
    for code in ["KF-PRE-STREAMS", "KF-PRE-CONNECT", "KF-PRE-SCHEMA-REGISTRY"] {
        assert!(told.stdout.contains(code), "{code} is not told: {told}");
    }
    assert!(told.stdout.contains("groups of workers: apps-connect, groups of sink connectors: connect-apps-writer") && !told.stdout.contains("KF-PRE-APP-PARTLY"), "{told}");
    let mut running = migration.spawn("execute");
    migration.wait_for_fact(&mut running, "seed_started", SOON);
    apps.give(&source, 0, 50);
    apps.die_in_transactions(&source);
    running.wait(Duration::from_secs(300)).ok();
    migration.expect_state("drain_ready");
    apps.give(&source, 100, 10);
    apps.wait_done(&source);
    apps.stop(&source);
    apps.expect_each_once(&source);
    migration.cutover();
    let compacted = [apps.compacted_topics(), vec![SCHEMAS.into()]].concat();
    migration.expect_same(lab, &apps.plain_topics());
    agent.expect_same_by_key(&source, &target, &compacted);
    for topic in &compacted {
        // A Connect worker does not start on internal topics with another policy.
        assert_eq!(agent.topic_configs(&target, topic).1["cleanup.policy"], "compact", "{topic}");
    }
    for group in apps.groups() {
        let committed = |side| agent.group_offsets(side, &group).into_iter().map(|(p, c)| (p, (c.offset, c.metadata))).collect::<Vec<_>>();
        assert!(!committed(&source).is_empty());
        assert_eq!(committed(&target), committed(&source), "{group}");
    }

    // The address is another one, and that is all.
    apps.start_again(&target);
    apps.give(&target, 1_000, 100);
    apps.wait_done(&target);
    apps.expect_connectors();
    apps.stop(&target);
    apps.expect_each_once(&target);

    migration.run("cutover-ack").ok();
    // The workers' own group has no offset to carry over, and is named as left alone.
    for command in ["validate", "finalize"] {
        let outcome = migration.run(command);
        assert!(matches!(outcome.code, Some(0 | 3)), "{outcome}");
    }
    migration.expect_state("finalized");
    let verified = migration.expect_verified();
    assert_eq!(verified["groups"]["carried_over"], 2, "{verified:#}");
}

#[test]
fn the_judge_by_key_sees_what_cleaning_does_not_explain() {
    let record = |offset: i64, key: &str, value: Option<&str>| Record {
        partition: 0,
        offset,
        key: (!key.is_empty()).then(|| key.as_bytes().to_vec()),
        value: value.map(|v| v.as_bytes().to_vec()),
        digest: format!("{offset} {key} {value:?}"),
    };
    let log = [record(0, "a", Some("1")), record(1, "b", Some("1")), record(2, "a", Some("2")), record(3, "b", None), record(5, "c", Some("1"))];
    let differences = |target: &[Record]| [differences_by_key(&log, target), differences_by_key(target, &log)].concat();
    let without = |offsets: &[i64]| -> Vec<Record> { log.iter().filter(|r| !offsets.contains(&r.offset)).cloned().collect() };
    for cleaned in [&[][..], &[0], &[0, 1], &[0, 1, 3]] {
        assert!(differences(&without(cleaned)).is_empty(), "{:?}", differences(&without(cleaned)));
    }
    let with = |record: Record| -> Vec<Record> { without(&[record.offset]).into_iter().chain([record]).collect() };
    let wrong = [
        without(&[5]),
        without(&[2]),
        // A tombstone is gone before what it deletes.
        without(&[3]),
        with(record(2, "a", Some("3"))),
        with(record(0, "a", Some("other"))),
        with(record(4, "", None)),
        with(record(4, "d", Some("1"))),
        // The same in every key, at another offset.
        [without(&[5]), vec![record(6, "c", Some("1"))]].concat(),
    ];
    for (index, target) in wrong.iter().enumerate() {
        assert!(!differences_by_key(&log, target).is_empty(), "{index}");
        assert!(!differences_by_key(target, &log).is_empty(), "{index} the other way round");
    }
}
