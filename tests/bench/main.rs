//! What copying costs: the ceiling, kferry's SEED through S3, and MirrorMaker 2, on the same loaded source, side by side.
//!
//! Not part of the tests: machines are noisy, so ratios within one run are what counts.

#[path = "../lab/mod.rs"]
mod lab;

mod ceiling;
mod table;

use lab::{Agent, Cluster, Kferry, Load, MirrorMaker, Options, S3, Topic, Weave, WorkDir};
use std::path::Path;
use std::time::{Duration, Instant};
use table::Row;

const TOPIC: &str = "load";
const PARTITIONS: u32 = 12;
/// Size of the plain shape, in GB, to which the others are compared.
const SHAPE_GB: f64 = 0.4;
const WIDE_PARTITIONS: u32 = 1_000;
const SEGMENT_SUFFIX: &str = ".log";
/// Set in kferry's configuration; the stated constant beside it is in the decisions.
const BUDGET_MIB: u64 = 256;

fn main() {
    // `cargo bench` passes --bench; sizes in GB, or `shapes`, are the only other arguments.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let mut sizes: Vec<f64> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let shapes = arguments.iter().any(|a| a == "shapes");
    if sizes.is_empty() && !shapes {
        sizes = vec![1.0, 4.0];
    }
    if shapes {
        measure_shapes();
    }
    for (index, size) in sizes.iter().enumerate() {
        // The ceiling and MirrorMaker are measured once; a larger size shows that kferry's memory does not grow.
        measure(*size, index == 0);
    }
}

/// Logs of other shapes beside a plain one, each copied by kferry alone.
fn measure_shapes() {
    let agent = Agent::shared();
    let s3 = S3::launch();
    s3.create_bucket("segments");
    s3.create_bucket("evidence");
    let source = Cluster::zookeeper(1, Options::default().throughput());
    let from = source.bootstrap();
    let plain = Load::records(400_000).values(300, 700).codec("lz4").batches(256 << 10, 50);
    load(agent, &source, SHAPE_GB);
    let shapes = [
        ("wide", WIDE_PARTITIONS, plain.clone(), Vec::new(), "1,000 partitions"),
        ("tiny", PARTITIONS, Load::records(200_000).values(300, 700).one_record_batches(), Vec::new(), "one record in each batch, merged"),
        ("stamped", PARTITIONS, plain, vec![("message.timestamp.type", "LogAppendTime")], "append times, encoded anew"),
    ];
    for (name, partitions, load, configs, _) in &shapes {
        let topic = Topic::new(name, *partitions).config("retention.ms", -1);
        agent.create_topics(&from, &[configs.iter().fold(topic, |topic, (key, value)| topic.config(key, value))]);
        agent.produce(&from, name, load);
    }
    agent.create_topics(&from, &[Topic::new("woven", PARTITIONS).config("retention.ms", -1), cleaned_eagerly("keyed")]);
    let weave = Weave { producers: 4, burst: 600, ..Weave::new("woven", 1_200) };
    let woven = agent.weave(&from, &["woven"], &weave, &Load::records(0).values(300, 700).batches(64 << 10, 5));
    agent.produce(&from, "keyed", &Load::records(400_000).values(300, 700).keys(60_000).codec("lz4").batches(64 << 10, 5));
    let (records, offsets) = wait_until_cleaned(&from, "keyed");
    println!("woven: {woven:?}; keyed: {records} records are left at {offsets} offsets");
    let log_dir = source.log_dir(source.broker_ids()[0]);
    println!("\nShapes of logs; one broker a side, all on this machine");
    let others = [("woven", PARTITIONS, "transactions, half of them aborted"), ("keyed", PARTITIONS, "compacted")];
    let produced = shapes.iter().map(|(name, partitions, _, _, what)| (*name, *partitions, *what));
    let all = std::iter::once((TOPIC, PARTITIONS, "plain")).chain(produced).chain(others);
    let rows: Vec<Row> = all
        .map(|(topic, partitions, what)| {
            let bytes = log_bytes(log_dir, topic);
            let what = format!("{what} ({partitions} partitions, {:.2} GB)", bytes as f64 / 1e9);
            on_fresh_target(|target| kferry_seed(&source, target, &s3, topic, &what, bytes))
        })
        .collect();
    table::print(&rows);
}

/// A topic that the broker's cleaner cleans whenever it looks.
fn cleaned_eagerly(name: &str) -> Topic {
    let settings = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.001"), ("segment.bytes", "1048576")];
    settings.iter().fold(Topic::new(name, PARTITIONS), |topic, (key, value)| topic.config(key, value))
}

/// Waits until compaction has nothing more to do: the records that are left, and the offsets.
fn wait_until_cleaned(bootstrap: &str, topic: &str) -> (u64, i64) {
    let left = || {
        let dumped = Agent::shared().dump(bootstrap, &[topic], false);
        dumped.values().fold((0, 0), |(records, offsets), p| (records + p.count, offsets + p.log_end - p.log_start))
    };
    let mut before = left();
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let now = left();
        if now == before {
            return now;
        }
        before = now;
    }
}

fn measure(size_gb: f64, with_peers: bool) {
    let agent = Agent::shared();
    let s3 = S3::launch();
    s3.create_bucket("segments");
    s3.create_bucket("evidence");
    let source = Cluster::zookeeper(1, Options::default().throughput());
    load(agent, &source, size_gb);
    let bytes = log_bytes(source.log_dir(source.broker_ids()[0]), TOPIC);
    let records: i64 = agent.offsets(&source.bootstrap()).iter().filter(|((t, _), _)| t == TOPIC).map(|(_, s)| s.log_end).sum();
    println!("\n{:.2} GB in {records} records, {PARTITIONS} partitions, lz4; one broker a side, all on this machine", bytes as f64 / 1e9);

    let mut rows = Vec::new();
    if with_peers {
        rows.push(on_fresh_target(|target| {
            agent.create_topics(&target.bootstrap(), &[Topic::new(TOPIC, PARTITIONS).config("max.message.bytes", 16 << 20)]);
            ceiling::run(&source.bootstrap(), &target.bootstrap(), TOPIC, PARTITIONS as i32, bytes)
        }));
    }
    rows.push(on_fresh_target(|target| kferry_seed(&source, target, &s3, TOPIC, "(b) kferry execute to the end of SEED, through S3", bytes)));
    if with_peers {
        rows.push(on_fresh_target(|target| mirror(agent, &source, target, records, bytes)));
    }
    table::print(&rows);
}

fn on_fresh_target(run: impl FnOnce(&Cluster) -> Row) -> Row {
    let target = Cluster::kraft(1, Options::default().throughput());
    run(&target)
}

fn load(agent: &Agent, source: &Cluster, size_gb: f64) {
    agent.create_topics(&source.bootstrap(), &[Topic::new(TOPIC, PARTITIONS).config("retention.ms", -1)]);
    let mut seed = 1;
    while (log_bytes(source.log_dir(source.broker_ids()[0]), TOPIC) as f64) < size_gb * 1e9 {
        agent.produce(&source.bootstrap(), TOPIC, &Load::records(400_000).values(300, 700).codec("lz4").batches(256 << 10, 50).seed(seed));
        seed += 1;
    }
}

fn log_bytes(dir: &Path, topic: &str) -> u64 {
    let mut total = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name().to_string_lossy().starts_with(&format!("{topic}-")) {
            for file in std::fs::read_dir(&path).into_iter().flatten().flatten() {
                if file.file_name().to_string_lossy().ends_with(SEGMENT_SUFFIX) {
                    total += file.metadata().map_or(0, |m| m.len());
                }
            }
        }
    }
    total
}

fn kferry_seed(source: &Cluster, target: &Cluster, s3: &S3, topic: &str, what: &str, bytes: u64) -> Row {
    let dir = WorkDir::new("bench");
    let run = Kferry::new(dir.path()).envs(s3.env()).env("HOME", dir.path().display()).env("XDG_STATE_HOME", dir.path().display());
    run.run(&["keygen", "--out", "signing.key"]).ok();
    dir.file(
        "kferry.yaml",
        &format!(
            "kferry:
  source:
    bootstrap_servers: [{}]
  target:
    bootstrap_servers: [{}]
  topics:
    include: [{topic}]
  backup:
    s3_bucket: segments
    s3_prefix: run-{}-{topic}/
    endpoint_url: {endpoint}
    region: us-east-1
  evidence:
    s3_bucket: evidence
    endpoint_url: {endpoint}
    region: us-east-1
    signing_key_path: signing.key
  seed:
    memory_max_bytes: {BUDGET_MIB}MiB
  cutover:
    drain_stable_window: 1s
",
            source.bootstrap(),
            target.bootstrap(),
            std::process::id(),
            endpoint = s3.endpoint(),
        ),
    );
    let mut running = run.spawn(&["execute", "--config", "kferry.yaml", "--journal-dir", "journal"]);
    let mut usage = (Duration::ZERO, 0);
    let mut at_seed_end = None;
    while running.is_running() {
        usage = running.usage().unwrap_or(usage);
        let journal = std::fs::read_to_string(dir.path().join("journal/journal.jsonl")).unwrap_or_default();
        if at_seed_end.is_none() && journal.contains("\"fact\":\"seed_completed\"") {
            at_seed_end = Some(usage);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    running.wait(Duration::from_secs(60)).ok();
    let journal = std::fs::read_to_string(dir.path().join("journal/journal.jsonl")).expect("the journal is there");
    let (cpu, peak) = at_seed_end.unwrap_or(usage);
    let wall = table::between(&journal, "seed_started", "seed_completed");
    Row { what: what.to_owned(), bytes, wall, predicted: Some(table::predicted(&journal)), cpu, peak_rss_bytes: peak.max(usage.1) }
}

fn mirror(agent: &Agent, source: &Cluster, target: &Cluster, records: i64, bytes: u64) -> Row {
    let mut mirror = MirrorMaker::start(source, target, TOPIC);
    let copied = || -> i64 { agent.offsets(&target.bootstrap()).iter().filter(|((t, _), _)| t == TOPIC).map(|(_, s)| s.log_end).sum() };
    // Its start-up is not counted: the clock starts with the first record that arrives.
    while copied() == 0 {
        mirror.expect_running();
        std::thread::sleep(Duration::from_millis(20));
    }
    let (started, cpu_before) = (Instant::now(), lab::kferry::usage(mirror.pid()).map_or(Duration::ZERO, |u| u.0));
    while copied() < records {
        mirror.expect_running();
        assert!(started.elapsed() < Duration::from_secs(900), "MirrorMaker 2 does not get there");
        std::thread::sleep(Duration::from_millis(50));
    }
    let wall = started.elapsed();
    let (cpu, peak) = lab::kferry::usage(mirror.pid()).unwrap_or_default();
    mirror.stop();
    Row { what: "(c) MirrorMaker 2, tuned, start-up not counted".into(), bytes, wall, predicted: None, cpu: cpu.saturating_sub(cpu_before), peak_rss_bytes: peak }
}
