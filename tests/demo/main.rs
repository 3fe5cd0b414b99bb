//! The demo: the whole main job on real brokers, every command's output shown, and proof at the end that nothing was lost or doubled.
//!
//! A ZooKeeper cluster with topics, ACLs, a live producer and consumer groups in mid-read is moved to a KRaft cluster.

mod commands;
mod groups;
#[path = "../lab/mod.rs"]
mod lab;
mod live;
mod reading;
mod report;
mod webhook;
mod workload;

use commands::Commands;
use groups::Group;
use lab::{Agent, Cluster, Options};
use live::LiveProducer;
use reading::Content;
use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook::Webhook;

fn main() -> ExitCode {
    if let Err(missing) = lab::check_tools(&[lab::Tool::Java, lab::Tool::Javac, lab::Tool::Maven]) {
        eprintln!("{missing}");
        return ExitCode::FAILURE;
    }
    let started = Instant::now();
    let work = work_dir();
    let report = demo(&work);
    println!("\nkept: {} (configuration, keys, journal, plan, segments, bundle)", work.display());
    println!("took {:.0} s", started.elapsed().as_secs_f32());
    if report.broken.is_empty() {
        println!("everything is as promised");
        return ExitCode::SUCCESS;
    }
    for broken in &report.broken {
        eprintln!("NOT AS PROMISED: {broken}");
    }
    ExitCode::FAILURE
}

fn demo(work: &Path) -> Report {
    let mut report = Report::default();
    heading("Two clusters, topics, ACLs, a live producer, consumer groups in mid-read");
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::zookeeper(1, Options::default().authorizer()));
        let target = scope.spawn(|| Cluster::kraft(1, Options::default().authorizer()));
        scope.spawn(Agent::shared);
        (source.join().expect("the source starts"), target.join().expect("the target starts"))
    });
    let (one, other) = (source.bootstrap(), target.bootstrap());
    println!("source: Kafka 3.9.1 with ZooKeeper at {one}\ntarget: Kafka 4.1.1 with KRaft at {other}");
    workload::create(&one);
    let live = Arc::new(LiveProducer::start(&one, &workload::LIVE_TOPICS));
    println!("a producer writes {} records a second to {}, and will do so all along", live::RECORDS_PER_SECOND, workload::LIVE_TOPICS.join(", "));
    let mut groups = workload::groups();
    groups.iter_mut().for_each(|group| group.read_some(&one));
    report.groups_stand("on the source, stopped in mid-read", &one, &groups);

    let webhook = Webhook::start(live.clone(), &other);
    let kferry = Commands::new(work);
    prepare(work, &kferry, &webhook, &one, &other);
    kferry.run(&["plan", "--config", "kferry.yaml", "--out-dir", "plan"], &[0]);
    // Warnings are no blockers.
    kferry.run(&["precheck", "--config", "kferry.yaml"], &[0, 3]);
    kferry.migrate("execute");
    kferry.migrate("status");
    // The copy stands by; the group reads on at the source, and its place is taken at the cutover, not before.
    groups[0].read_some(&one);
    kferry.migrate("cutover");
    report.check(webhook.has_committed(), "the webhook was told that the cutover stands");
    report.check(live.writes_to() == other, "the producer goes on at the target");
    kferry.migrate("status");

    heading("The consumers move: the same group ids, on the target");
    report.groups_moved(&one, &other, &groups);
    let members: Vec<_> = groups.into_iter().map(|group| group.go_on(&other)).collect();
    kferry.migrate("cutover-ack");
    kferry.migrate("validate");
    kferry.migrate("finalize");
    let bundle = bundle(work);
    kferry.run(&["verify", &bundle.display().to_string(), "--public-key", "kferry.key.pub"], &[0]);

    heading("What happened");
    let acknowledged = live.stop();
    let groups: Vec<Group> = members.into_iter().map(|member| member.stop_at_end()).collect();
    let cutover = report::cutover(&work.join("journal"));
    let (on_source, on_target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Content::read(&one, &workload::names()));
        let target = scope.spawn(|| Content::read(&other, &workload::names()));
        (source.join().expect("the source is read"), target.join().expect("the target is read"))
    });
    report.topics(&on_source, &on_target, &cutover, &acknowledged);
    report.live(&on_target, &acknowledged);
    report.groups(&on_target, &groups);
    report.acls(&one, &other);
    report.cutover(&cutover, &bundle);
    report
}

/// Key, configuration, and the directories that the configuration names.
fn prepare(work: &Path, kferry: &Commands, webhook: &Webhook, one: &str, other: &str) {
    kferry.run(&["keygen", "--out", "kferry.key"], &[0]);
    let config = format!(
        "\
kferry:
  source:
    bootstrap_servers: {one}
  target:
    bootstrap_servers: {other}
  backup:
    directory: segments
  evidence:
    directory: evidence
    signing_key_path: kferry.key
  cutover:
    freeze: webhook
    producer_freeze_webhook: {}
    max_producer_freeze: 60s
    drain_stable_window: 2s       # 30s where a demo need not be over in two minutes
  validation:
    spot_check_records_per_partition: 20
",
        webhook.url()
    );
    heading("kferry.yaml");
    print!("{config}");
    std::fs::write(work.join("kferry.yaml"), config).expect("the work directory can be written");
    for name in ["segments", "evidence"] {
        std::fs::create_dir_all(work.join(name)).expect("the work directory can be written");
    }
}

/// Where the demo's files are kept: a directory that is new.
fn work_dir() -> PathBuf {
    let path = match std::env::var_os("KFERRY_DEMO_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::temp_dir().join(format!("kferry-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let path = path.canonicalize().unwrap_or(path);
    let empty = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
    assert!(empty, "{} is not empty: the demo begins a migration of its own", path.display());
    path
}

/// The signed bundle, wherever below the evidence directory it lies.
fn bundle(work: &Path) -> PathBuf {
    fn find(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => find(&path, found),
                false if path.to_string_lossy().ends_with(".dsse.json") => found.push(path),
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    find(&work.join("evidence"), &mut found);
    assert_eq!(found.len(), 1, "finalize stores one bundle: {found:?}");
    found.remove(0)
}

fn heading(text: &str) {
    println!("\n=== {text}");
}

/// How long anything is waited for that takes moments.
const PATIENCE: Duration = Duration::from_secs(60);
