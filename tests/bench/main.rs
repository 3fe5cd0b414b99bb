//! What copying costs: the ceiling, kferry's SEED through S3, and MirrorMaker 2, on the same loaded source, side by side.
//!
//! Not part of the tests: machines are noisy, so ratios within one run are what counts.

#[path = "../lab/mod.rs"]
mod lab;

mod ceiling;
mod table;

use lab::{Agent, Cluster, Kferry, Load, MirrorMaker, Options, S3, Topic, WorkDir};
use std::path::Path;
use std::time::{Duration, Instant};
use table::Row;

const TOPIC: &str = "load";
const PARTITIONS: u32 = 12;
const SEGMENT_SUFFIX: &str = ".log";
/// Set in kferry's configuration; the stated constant beside it is in the decisions.
const BUDGET_MIB: u64 = 256;

fn main() {
    // `cargo bench` passes --bench; sizes in GB are the only other arguments.
    let mut sizes: Vec<f64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1.0, 4.0];
    }
    for (index, size) in sizes.iter().enumerate() {
        // The ceiling and MirrorMaker are measured once; a larger size shows that kferry's memory does not grow.
        measure(*size, index == 0);
    }
}

fn measure(size_gb: f64, with_peers: bool) {
    let agent = Agent::shared();
    let s3 = S3::launch();
    s3.create_bucket("segments");
    s3.create_bucket("evidence");
    let source = Cluster::zookeeper(1, Options::default().throughput());
    load(agent, &source, size_gb);
    let bytes = log_bytes(source.log_dir(source.broker_ids()[0]));
    let records: i64 = agent.offsets(&source.bootstrap()).iter().filter(|((t, _), _)| t == TOPIC).map(|(_, s)| s.log_end).sum();
    println!("\n{:.2} GB in {records} records, {PARTITIONS} partitions, lz4; one broker a side, all on this machine", bytes as f64 / 1e9);

    let mut rows = Vec::new();
    if with_peers {
        rows.push(on_fresh_target(|target| {
            agent.create_topics(&target.bootstrap(), &[Topic::new(TOPIC, PARTITIONS).config("max.message.bytes", 16 << 20)]);
            ceiling::run(&source.bootstrap(), &target.bootstrap(), TOPIC, PARTITIONS as i32)
        }));
    }
    rows.push(on_fresh_target(|target| kferry_seed(&source, target, &s3)));
    if with_peers {
        rows.push(on_fresh_target(|target| mirror(agent, &source, target, records)));
    }
    table::print(&rows, bytes);
}

fn on_fresh_target(run: impl FnOnce(&Cluster) -> Row) -> Row {
    let target = Cluster::kraft(1, Options::default().throughput());
    run(&target)
}

fn load(agent: &Agent, source: &Cluster, size_gb: f64) {
    agent.create_topics(&source.bootstrap(), &[Topic::new(TOPIC, PARTITIONS).config("retention.ms", -1)]);
    let mut seed = 1;
    while (log_bytes(source.log_dir(source.broker_ids()[0])) as f64) < size_gb * 1e9 {
        agent.produce(&source.bootstrap(), TOPIC, &Load::records(400_000).values(300, 700).codec("lz4").batches(256 << 10, 50).seed(seed));
        seed += 1;
    }
}

fn log_bytes(dir: &Path) -> u64 {
    let mut total = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name().to_string_lossy().starts_with(TOPIC) {
            for file in std::fs::read_dir(&path).into_iter().flatten().flatten() {
                if file.file_name().to_string_lossy().ends_with(SEGMENT_SUFFIX) {
                    total += file.metadata().map_or(0, |m| m.len());
                }
            }
        }
    }
    total
}

fn kferry_seed(source: &Cluster, target: &Cluster, s3: &S3) -> Row {
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
    include: [{TOPIC}]
  backup:
    s3_bucket: segments
    s3_prefix: run-{}/
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
    Row { what: "(b) kferry execute to the end of SEED, through S3".into(), wall, cpu, peak_rss_bytes: peak.max(usage.1) }
}

fn mirror(agent: &Agent, source: &Cluster, target: &Cluster, records: i64) -> Row {
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
    Row { what: "(c) MirrorMaker 2, tuned, start-up not counted".into(), wall, cpu: cpu.saturating_sub(cpu_before), peak_rss_bytes: peak }
}
