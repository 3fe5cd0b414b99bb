//! Clusters with many topics, partitions, groups and bindings: few requests, little memory, and a plan that a person can read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Acl, Agent, Cluster, Commit, Kferry, Load, Options, Topic, WorkDir};

/// How large a cluster is made.
#[derive(Clone, Copy, Debug)]
struct Size {
    topics: usize,
    partitions: u32,
    groups: usize,
    acls: usize,
}

impl Size {
    fn partitions_in_all(self) -> usize {
        self.topics * self.partitions as usize
    }
}

fn topic(index: usize) -> String {
    format!("topic-{index:03}")
}

/// Fills a cluster: a few records in every partition, committed offsets, bindings on every topic.
fn fill(bootstrap: &str, size: Size) {
    let agent = Agent::shared();
    let topics: Vec<Topic> = (0..size.topics).map(|t| Topic::new(&topic(t), size.partitions).config("segment.index.bytes", 4096)).collect();
    // As many as a broker creates well within a request's time, also on a busy machine.
    for chunk in topics.chunks(2) {
        agent.create_topics(bootstrap, chunk);
    }
    let acl = |n: usize| Acl::allow(&format!("User:app-{n}"), ["READ", "DESCRIBE"][n % 2], "TOPIC", &topic(n % size.topics));
    let acls: Vec<Acl> = (0..size.acls).map(acl).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| acls.chunks(500).for_each(|chunk| agent.create_acls(bootstrap, chunk)));
        for worker in 0..4 {
            scope.spawn(move || {
                for t in (worker..size.topics).step_by(4) {
                    let load = Load::records(u64::from(size.partitions) * 10).one_record_batches().values(100, 100);
                    agent.produce(bootstrap, &topic(t), &load.prop("linger.ms", 0));
                }
                for g in (worker..size.groups).step_by(4) {
                    let commits: Vec<Commit> = (0..5).map(|p| Commit::new(&topic(g % size.topics), p % size.partitions as i32, 3, "")).collect();
                    agent.commit_group_offsets(bootstrap, &format!("group-{g:04}"), &commits);
                }
            });
        }
    });
}

/// What one command took.
#[derive(Debug)]
struct Cost {
    took: Duration,
    peak_rss_bytes: u64,
    /// By api key, and the answers' bytes, of both clusters.
    requests: [BTreeMap<i16, u64>; 2],
    answered_bytes: [u64; 2],
    stdout: String,
}

fn measured(kferry: &Kferry, clusters: [&Cluster; 2], args: &[&str]) -> Cost {
    for cluster in clusters {
        cluster.proxies()[0].take_counts();
    }
    let began = Instant::now();
    let mut running = kferry.spawn(args);
    let mut peak_rss_bytes = 0;
    while running.is_running() {
        peak_rss_bytes = running.usage().map_or(peak_rss_bytes, |(_, peak)| peak.max(peak_rss_bytes));
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed();
    let outcome = running.wait(Duration::from_secs(10));
    assert!(matches!(outcome.code, Some(0 | 3)), "{outcome}");
    let counts = clusters.map(|cluster| cluster.proxies()[0].take_counts());
    let answered_bytes = [counts[0].1, counts[1].1];
    Cost { took, peak_rss_bytes, requests: counts.map(|(requests, _)| requests), answered_bytes, stdout: outcome.stdout }
}

fn name(key: i16) -> &'static str {
    match key {
        0 => "Produce",
        1 => "Fetch",
        2 => "ListOffsets",
        3 => "Metadata",
        8 => "OffsetCommit",
        9 => "OffsetFetch",
        10 => "FindCoordinator",
        15 => "DescribeGroups",
        16 => "ListGroups",
        18 => "ApiVersions",
        19 => "CreateTopics",
        21 => "DeleteRecords",
        23 => "OffsetForLeaderEpoch",
        26 => "EndTxn",
        27 => "WriteTxnMarkers",
        29 => "DescribeAcls",
        32 => "DescribeConfigs",
        35 => "DescribeLogDirs",
        44 => "IncrementalAlterConfigs",
        45 => "AlterPartitionReassignments",
        46 => "ListPartitionReassignments",
        47 => "OffsetDelete",
        48 => "DescribeClientQuotas",
        49 => "AlterClientQuotas",
        50 => "DescribeUserScramCredentials",
        55 => "DescribeQuorum",
        60 => "DescribeCluster",
        61 => "DescribeProducers",
        65 => "DescribeTransactions",
        66 => "ListTransactions",
        _ => "another",
    }
}

fn survey(size: Size) -> (Cost, Cost, WorkDir) {
    let (source, target) = std::thread::scope(|scope| {
        let options = || Options::default().authorizer().proxied().throughput();
        let source = scope.spawn(move || Cluster::zookeeper(1, options()));
        let target = scope.spawn(move || Cluster::kraft(1, options()));
        scope.spawn(Agent::shared);
        (source.join().unwrap(), target.join().unwrap())
    });
    let began = Instant::now();
    fill(&source.bootstrap(), size);
    println!("{size:?} made in {:.1?}", began.elapsed());
    let dir = WorkDir::new("large");
    let yaml = format!(
        "kferry:\n  source:\n    bootstrap_servers: \"{}\"\n  target:\n    bootstrap_servers: \"{}\"\n  backup:\n    directory: segments\n  \
         evidence:\n    directory: evidence\n    signing_key_path: kferry.key\n",
        source.proxied_bootstrap(),
        target.proxied_bootstrap()
    );
    dir.file("kferry.yaml", &yaml);
    let kferry = Kferry::new(dir.path()).env("HOME", dir.path().display());
    kferry.run(&["keygen", "--out", "kferry.key"]).ok();
    let plan = measured(&kferry, [&source, &target], &["plan", "--config", "kferry.yaml", "--out-dir", "plan"]);
    let precheck = measured(&kferry, [&source, &target], &["precheck", "--config", "kferry.yaml"]);
    for (what, cost) in [("plan", &plan), ("precheck", &precheck)] {
        println!("{what}: {:.1?}, peak RSS {} MiB, answers of {:?} bytes", cost.took, cost.peak_rss_bytes >> 20, cost.answered_bytes);
        for (side, requests) in ["source", "target"].iter().zip(&cost.requests) {
            let all: Vec<String> = requests.iter().map(|(key, n)| format!("{} {n}", name(*key))).collect();
            println!("  {side}: {} requests: {}", requests.values().sum::<u64>(), all.join(", "));
        }
    }
    println!("{}\n--------\n{}", plan.stdout, precheck.stdout);
    (plan, precheck, dir)
}

fn plan_json(dir: &WorkDir) -> Value {
    serde_json::from_str(&std::fs::read_to_string(dir.path().join("plan/plan.json")).unwrap()).unwrap()
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn ten_thousand_partitions_are_planned_with_few_requests_and_little_memory() {
    let size = Size { topics: 200, partitions: 50, groups: 2_000, acls: 5_000 };
    let (plan, precheck, dir) = survey(size);
    for cost in [&plan, &precheck] {
        let [source, target] = &cost.requests;
        let of = |key: i16| source.get(&key).copied().unwrap_or(0);
        // Fetch, ListOffsets, OffsetFetch, DescribeGroups, DescribeConfigs: none by topic, partition or group.
        assert!(of(1) <= 100 && of(2) <= 60 && of(9) <= 20 && of(15) <= 30 && of(32) <= 4, "{source:?}");
        assert!(source.values().sum::<u64>() <= 250, "{source:?}");
        // A commit, and the removal of one, are tried group by group, since neither request takes several; nothing else grows with the cluster.
        let groups = size.groups as u64;
        assert_eq!((target.get(&8), target.get(&47)), (Some(&groups), Some(&groups)), "{target:?}");
        assert!(target.values().sum::<u64>() <= 2 * groups + 60, "{target:?}");
        assert!(cost.peak_rss_bytes <= 256 << 20, "{} MiB", cost.peak_rss_bytes >> 20);
    }
    let written = plan_json(&dir);
    crate::documents::expect_schema("plan", &written);
    let estimate = &written["estimate"];
    assert_eq!((&estimate["partitions"], &estimate["sampling"]["partitions"]), (&size.partitions_in_all().into(), &size.partitions_in_all().into()));
    assert!(estimate["sampling"]["bytes"].as_u64() <= estimate["sampling"]["bytes_max"].as_u64(), "{estimate:#}");
    // What a person reads stays of a length that is read.
    let runbook = std::fs::read_to_string(dir.path().join("plan/runbook.md")).unwrap();
    for (what, text, lines_max) in [("plan", &plan.stdout, 60), ("precheck", &precheck.stdout, 80), ("runbook.md", &runbook, 400)] {
        assert!(text.lines().count() <= lines_max, "{what} has {} lines:\n{text}", text.lines().count());
        let longest = text.lines().map(str::len).max().unwrap_or(0);
        assert!(longest <= 1_500, "{what} has a line of {longest} bytes");
    }
}
