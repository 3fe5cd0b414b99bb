//! Logs by chance: whatever two hundred of them hold, and whenever kferry is killed, the target's are the same.
//!
//! `KFERRY_SEED` repeats a run: it makes the same logs and the same kills. `KFERRY_ONLY=17,40` fills but these logs of it, by their
//! numbers. `KFERRY_COMPACTED=1` lets one topic in three be compacted, as it is at full size.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::crash::{seed, step};
use crate::journal;
use crate::lab::proxy::WRITE_TXN_MARKERS;
use crate::lab::{Agent, Commit, Judgement, Load, Options, RandomLog, RandomLogs, Weave};
use crate::migration::{Lab, Migration, full};

/// Topics that are still written to while they are copied.
const LIVE: usize = 4;

/// Differing logs that are told with all their parameters; `logs.jsonl` has the others'.
const TOLD: usize = 10;

/// How a round goes, beside its seed.
struct Round<'a> {
    lab: &'a Lab,
    id: &'a str,
    logs: u32,
    replication: u32,
    kills: u32,
    /// How many bursts the longest log gets.
    waves: u32,
    /// One topic in three is compacted, or was.
    compaction: bool,
    /// Records get other offsets on the target, and groups are translated.
    mapped: bool,
    /// Only coordinators may write markers on the target.
    empty_transactions: bool,
    /// A broker of the target goes and comes back meanwhile.
    bounced: Option<i32>,
}

impl<'a> Round<'a> {
    fn new(lab: &'a Lab, id: &'a str, logs: u32, kills: u32) -> Self {
        let compaction = std::env::var("KFERRY_COMPACTED").is_ok_and(|value| value == "1");
        Self { lab, id, logs, replication: 1, kills, waves: 80, compaction, mapped: false, empty_transactions: false, bounced: None }
    }

    fn at_full_size(lab: &'a Lab, id: &'a str, kills: u32) -> Self {
        assert!(full(), "KFERRY_FULL=1 is not set");
        Self { waves: 150, compaction: true, ..Self::new(lab, id, 200, kills) }
    }

    /// Builds, copies, kills, judges.
    #[track_caller]
    fn run(&self, seed: u64) {
        let (lab, agent, started) = (self.lab, Agent::shared(), Instant::now());
        println!("{}: seed {seed}", self.id);
        let logs = agent.random_logs(&lab.source.bootstrap(), &self.wanted(seed));
        let sum = |of: fn(&RandomLog) -> u64| logs.iter().map(of).sum::<u64>();
        let (aborted, markers) = (sum(|l| l.aborted), sum(|l| l.markers));
        println!(
            "{} logs, {} of them trimmed, with {} records, {aborted} aborted ones and {markers} control records, {} MB, after {:.1?}",
            logs.len(),
            logs.iter().filter(|l| l.log_start > 0).count(),
            sum(|l| l.committed),
            sum(|l| l.bytes) >> 20,
            started.elapsed()
        );
        let topics: BTreeSet<&str> = logs.iter().map(|log| log.topic.as_str()).collect();
        let topics: Vec<&str> = topics.into_iter().collect();

        // Slow enough that the kills hit the copy.
        let rate = format!("{}KiB/s", ((sum(|l| l.bytes) >> 10) / 5).max(1_000));
        let mut setup = lab.setup(self.id).set("seed.rate_limit", &rate).set("seed.segment_max_bytes", "1MiB");
        for (key, value) in [("drain_stable_window", "300ms"), ("freeze_settle_window", "200ms"), ("max_producer_freeze", "15s")] {
            setup = setup.set(&format!("cutover.{key}"), value);
        }
        if self.mapped {
            setup = setup.offsets("mapped");
        }
        if self.empty_transactions {
            setup = setup.target(&lab.target.proxied_bootstrap());
            lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, true));
        }
        let migration = setup.begin();
        let anywhere = self.stand_anywhere(&logs, seed);
        let described: Vec<String> = logs.iter().map(|log| log.row.to_string()).collect();
        std::fs::write(migration.dir().join("logs.jsonl"), described.join("\n")).expect("the logs are written down");
        println!("every log with its parameters: {}", migration.dir().join("logs.jsonl").display());

        let still_written: Vec<&str> = topics.iter().copied().filter(|topic| is_plain(&logs, topic)).take(LIVE).collect();
        self.copy(&migration, &still_written, seed);
        if self.empty_transactions {
            lab.target.proxies().iter().for_each(|proxy| proxy.close_on(WRITE_TXN_MARKERS, false));
        }
        println!("copied after {:.1?}", started.elapsed());

        match self.mapped {
            true => self.judge_mapped(&topics, &anywhere, seed),
            false => {
                migration.expect_acknowledged_on(&lab.target.bootstrap());
                self.judge(&logs, &topics, seed);
            }
        }
        assert!(migration.fact("partition_quarantined").is_none(), "a partition was given up: {:?}", migration.fact("partition_quarantined"));
        assert_eq!(migration.expect_verified()["outcome"], "PASSED");
        let open = agent.offsets(&lab.target.bootstrap()).into_iter().filter(|((topic, _), span)| topic.starts_with(self.id) && span.last_stable != span.log_end);
        assert_eq!(open.count(), 0, "nothing is open on the target");
        println!("judged and verified after {:.1?}", started.elapsed());
        for cluster in [&lab.source, &lab.target] {
            agent.delete_topics(&cluster.bootstrap(), &topics);
        }
    }

    fn wanted(&self, seed: u64) -> RandomLogs {
        let list = std::env::var("KFERRY_ONLY").unwrap_or_default();
        RandomLogs {
            prefix: self.id.into(),
            seed,
            logs: self.logs,
            waves: self.waves,
            replication: self.replication,
            compaction: self.compaction,
            only: list.split(',').filter_map(|number| number.trim().parse().ok()).collect(),
        }
    }

    /// The whole migration, killed again and again, while producers go on in some topics until they are frozen.
    #[track_caller]
    fn copy(&self, migration: &Migration, still_written: &[&str], seed: u64) {
        let (lab, agent, source) = (self.lab, Agent::shared(), self.lab.source.bootstrap());
        migration.webhook.keep(agent.live(&source, still_written, 40.0, &Load::records(0).values(20, 300).seed(seed)));
        let ended = Arc::new(AtomicBool::new(false));
        let weaving = Arc::new(Mutex::new(()));
        // Whoever asks for the freeze waits until the last transactions are decided.
        let (end, woven) = (ended.clone(), weaving.clone());
        migration.webhook.before(move |event| {
            if event == "freeze" {
                end.store(true, Ordering::SeqCst);
                drop(woven.lock());
            }
        });
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut round = 0;
                let load = Load::records(0).values(0, 600).odd_headers().nulls(0.1, 0.1);
                loop {
                    let _weaving = weaving.lock().unwrap();
                    if ended.load(Ordering::SeqCst) || still_written.is_empty() {
                        return;
                    }
                    round += 1;
                    let weave = Weave { producers: 2, ..Weave::new(&format!("{}-woven", self.id), 25) };
                    agent.weave(&source, still_written, &weave, &load.clone().seed(seed + round));
                    drop(_weaving);
                    std::thread::sleep(Duration::from_millis(200));
                }
            });
            if let Some(broker) = self.bounced {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_secs(4));
                    lab.target.kill_broker(broker);
                    std::thread::sleep(Duration::from_secs(12));
                    lab.target.start_broker(broker);
                    lab.target.wait_ready();
                });
            }
            // Ended also where a step panics, or the scope would wait for ever.
            let _end = End(&ended);
            self.kill(migration, seed);
            migration.finish_after_kill();
        });
    }

    /// Runs the next command so many times and kills each at a moment of the seed's: before it copies, when it has begun to, later; the last one in
    /// the cutover.
    #[track_caller]
    fn kill(&self, migration: &Migration, seed: u64) {
        let mut random = seed;
        let mut killed = Vec::new();
        for left in (0..self.kills).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if left == 0 && migration.next_command() == Some("execute") {
                step(migration, "execute", &[]);
            }
            let Some(command) = migration.next_command() else { break };
            let taken = || migration.facts().iter().filter(|fact| fact["fact"] == "partitions_taken").count();
            let before = taken();
            let mut running = migration.spawn(command);
            let (waits, within_ms) = [(false, 3_000), (true, 800), (true, 2_500), (true, 5_000)][(random >> 61) as usize % 4];
            while waits && running.is_running() && taken() == before {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis((random >> 33) % within_ms));
            let outcome = running.kill();
            killed.push((command, migration.state().unwrap_or("none"), outcome.code));
            journal::check_chain(&migration.journal_dir());
        }
        println!("killed in {killed:?}");
    }

    /// Groups that stand at any offset of each log: on records, markers, in holes, before its start and at its end. Each is a group of its own.
    fn stand_anywhere(&self, logs: &[RandomLog], seed: u64) -> Vec<(String, Vec<Commit>)> {
        if !self.mapped {
            return Vec::new();
        }
        let mut random = seed;
        let mut places = |of: &mut dyn FnMut(&RandomLog, i64) -> i64| -> Vec<Commit> {
            let commit = |log: &RandomLog| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                Commit::new(&log.topic, log.partition, of(log, (random >> 33) as i64), "anywhere")
            };
            logs.iter().map(commit).collect()
        };
        let mut groups: Vec<(String, Vec<Commit>)> =
            (0..6).map(|n| (format!("{}-anywhere-{n}", self.id), places(&mut |log, roll| log.log_start + roll % (log.log_end - log.log_start + 1)))).collect();
        groups.push((format!("{}-at-the-end", self.id), places(&mut |log, _| log.log_end)));
        groups.push((format!("{}-before", self.id), places(&mut |log, roll| roll % (log.log_start + 1))));
        for (group, commits) in &groups {
            Agent::shared().commit_group_offsets(&self.lab.source.bootstrap(), group, commits);
        }
        groups
    }

    /// Every committed record of every log once and in order, and each group where it would have read on.
    #[track_caller]
    fn judge_mapped(&self, topics: &[&str], groups: &[(String, Vec<Commit>)], seed: u64) {
        let (agent, source, target) = (Agent::shared(), self.lab.source.bootstrap(), self.lab.target.bootstrap());
        let all: Vec<Commit> = groups.iter().flat_map(|(_, commits)| commits.clone()).collect();
        let (judged, places) = agent.judge_mapped(&source, &target, topics, &all);
        assert!(judged.equal, "seed {seed}, in {:?}: {:#?}", judged.differing(), judged.differences);
        let starts = agent.offsets(&source);
        let mut checked = 0;
        for (group, commits) in groups {
            let seen = agent.group_offsets(&target, group);
            for commit in commits {
                let name = (commit.topic.clone(), commit.partition);
                // What is before the log keeps its distance as far as there is room.
                let expected = match starts[&name].log_start > commit.offset {
                    true => 0,
                    false => places[&(commit.topic.clone(), commit.partition, commit.offset)],
                };
                assert_eq!(seen[&name].offset, expected, "seed {seed}: {group} stood at {} of {name:?}", commit.offset);
                checked += 1;
            }
        }
        println!("{} records are the same, and {checked} committed offsets lie where they have to", judged.records());
    }

    /// Every record of every log at its own offset, as stock consumers of both isolation levels see it.
    #[track_caller]
    fn judge(&self, logs: &[RandomLog], topics: &[&str], seed: u64) {
        let (agent, source, target) = (Agent::shared(), self.lab.source.bootstrap(), self.lab.target.bootstrap());
        // The copied history of such a topic keeps its times and is `CreateTime`.
        let stamped = |topic: &&str| logs.iter().any(|log| log.topic == **topic && log.timestamp_type != "create");
        let (typed, untyped): (Vec<&str>, Vec<&str>) = topics.iter().partition(|topic| !stamped(topic));
        let mut judged = Vec::new();
        if !typed.is_empty() {
            judged.push(agent.judge(&source, &target, &typed));
        }
        if !untyped.is_empty() {
            judged.push(agent.judge_but_timestamp_types(&source, &target, &untyped));
        }
        let differing: BTreeSet<(String, i32)> = judged.iter().flat_map(Judgement::differing).collect();
        for log in logs.iter().filter(|log| differing.contains(&(log.topic.clone(), log.partition))).take(TOLD) {
            println!("{}-{} of seed {seed} differs; KFERRY_ONLY={} builds it alone: {}", log.topic, log.partition, log.row["number"], log.row);
        }
        let differences: Vec<&String> = judged.iter().flat_map(|judgement| &judgement.differences).collect();
        assert!(judged.iter().all(|judgement| judgement.equal), "seed {seed}, in {differing:?}: {differences:#?}");
        let offsets: i64 = logs.iter().map(|log| log.log_end - log.log_start).sum();
        println!("{} records are the same; the logs were built with {offsets} offsets", judged.iter().map(Judgement::records).sum::<u64>());
    }
}

/// Sets the flag when it goes.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn is_plain(logs: &[RandomLog], topic: &str) -> bool {
    logs.iter().any(|log| log.topic == topic && log.timestamp_type == "create" && log.cleanup == "delete")
}

/// Nothing but what a clock stamps differs between two buildings of one seed, nor between a log among others and alone.
#[test]
#[ignore = "what the lab itself can do: tests/full"]
fn one_seed_makes_the_same_logs_again() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, seed) = (lab.source.bootstrap(), seed());
    let wanted = |prefix: &str, only: &[u32]| RandomLogs {
        prefix: prefix.into(),
        seed,
        logs: 40,
        waves: 40,
        replication: 1,
        compaction: false,
        only: only.into(),
    };
    let build = |prefix: &str, only: &[u32]| {
        let logs = agent.random_logs(&source, &wanted(prefix, only));
        let topics: Vec<&str> = logs.iter().map(|log| log.topic.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
        let views = [false, true].map(|committed| agent.dump(&source, &topics, committed));
        let described = logs.iter().map(|log| {
            let mut row = log.row.clone();
            row["topic"] = log.topic.strip_prefix(prefix).into();
            for (name, view) in ["seen", "seen_committed"].into_iter().zip(&views) {
                let dumped = &view[&(log.topic.clone(), log.partition)];
                assert_eq!((dumped.log_start, dumped.log_end), (log.log_start, log.log_end), "{}", log.row);
                let stamped = log.timestamp_type != "create" || row["parameters"]["times"] == "now";
                let digest = if stamped { "" } else { dumped.digest.as_str() };
                row[name] = format!("{} {digest}", dumped.count).into();
            }
            (log.row["number"].as_u64().unwrap() as u32, row)
        });
        let described: Vec<(u32, serde_json::Value)> = described.collect();
        agent.delete_topics(&source, &topics);
        described
    };
    let first = build("sameone", &[]);
    assert_eq!(first.len(), 40);
    assert_eq!(first, build("sametwo", &[]));
    let some = [7, 22, 31];
    let alone: Vec<_> = first.into_iter().filter(|(number, _)| some.contains(number)).collect();
    assert_eq!(alone, build("samethree", &some));
}

#[test]
fn random_logs_are_the_same_on_the_target() {
    Round::new(Lab::shared(), "somechance", 60, 4).run(seed() + 101);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn two_hundred_random_logs_are_the_same_on_the_target() {
    Round::new(Lab::shared(), "chance", 200, 4).run(seed());
}

#[test]
fn mapped_random_logs_hold_every_committed_record_once() {
    Round { mapped: true, ..Round::new(Lab::shared(), "mapchance", 60, 4) }.run(seed() + 301);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn two_hundred_mapped_random_logs_hold_every_committed_record_once() {
    Round { mapped: true, ..Round::at_full_size(Lab::shared(), "moremapchance", 10) }.run(seed() + 401);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn six_hundred_random_logs_of_other_seeds_are_the_same_on_the_target() {
    let first = seed();
    for round in 0..3 {
        Round::at_full_size(Lab::shared(), &format!("chance{round}"), 10).run(first + 1 + round);
    }
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn random_logs_are_the_same_where_only_coordinators_write_markers() {
    // The cleaner takes its time, and each hole an empty transaction where nothing else can fill it.
    let round = Round { empty_transactions: true, compaction: false, ..Round::at_full_size(Lab::shared(), "emptychance", 10) };
    round.run(seed() + 101);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn random_logs_are_the_same_on_three_brokers_of_which_one_is_away_for_a_while() {
    let lab = Lab::start(3, Options::default(), Options::default());
    let round = Round { replication: 3, waves: 60, bounced: Some(2), ..Round::at_full_size(&lab, "threechance", 8) };
    round.run(seed() + 201);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn random_logs_of_a_2_8_source_are_the_same_on_the_target() {
    // Stock clients write a marker by itself to no broker before 2.8.
    let lab = Lab::start(1, Options::default().version("2.8.2"), Options::default());
    Round { compaction: true, ..Round::new(&lab, "agedchance", 60, 4) }.run(seed() + 601);
    Round { mapped: true, compaction: true, ..Round::new(&lab, "agedmapchance", 60, 4) }.run(seed() + 701);
}
