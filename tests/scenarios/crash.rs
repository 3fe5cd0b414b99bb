//! `kill -9` at every boundary of the journal and at moments of no choice; the next run goes on and the result is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::journal;
use crate::lab::{Agent, Commit, Load, Options, Topic, Weave};
use crate::migration::{Lab, Migration, full};

/// Days old, so that a broker which looks at their timestamps forgets their producer at once.
const OLD: i64 = 5 * 24 * 3_600 * 1_000;

/// Migrations that go side by side where each needs one of its own.
const SIDE_BY_SIDE: usize = 4;

struct Case {
    migration: Migration,
    topics: Vec<String>,
    committed: i64,
}

/// A small migration with one of each: live producer, group, trimmed partition, tiny batches, transactions.
fn case(lab: &Lab, id: &str, live_rate: f64) -> Case {
    let agent = Agent::shared();
    let source = lab.source.bootstrap();
    let names: Vec<String> = ["orders", "trimmed", "single", "woven"].iter().map(|name| format!("{id}-{name}")).collect();
    let topics: Vec<Topic> = names.iter().map(|name| Topic::new(name, if name.ends_with("orders") { 2 } else { 1 }).config("retention.ms", -1)).collect();
    agent.create_topics(&source, &topics);
    let first = jiff::Timestamp::now().as_millisecond() - OLD;
    agent.produce(&source, &names[0], &Load::records(3_000).codec("lz4").timestamps(first, 10));
    agent.produce(&source, &names[1], &Load::records(600).batches(2 << 10, 20).timestamps(first, 10));
    agent.produce(&source, &names[2], &Load::records(120).values(10, 40).one_record_batches().timestamps(first, 10));
    let weave = Weave { producers: 2, abort_ratio: 0.7, ..Weave::new(id, 60) };
    agent.weave(&source, &[&names[3]], &weave, &Load::records(0).values(50, 400).timestamps(first, 10));
    agent.delete_records(&source, &names[1], 0, 211);
    agent.commit_group_offsets(&source, &format!("{id}-readers"), &[Commit::new(&names[0], 1, 321, "a third of it")]);
    let migration = lab.setup(id).set("cutover.drain_stable_window", "300ms").set("cutover.freeze_settle_window", "200ms").set("cutover.max_producer_freeze", "15s").begin();
    if live_rate > 0.0 {
        let load = Load::records(0).values(50, 80).timestamps(first, 3).seed(23);
        migration.webhook.keep(agent.live(&source, &[&names[0]], live_rate, &load));
    }
    Case { migration, topics: names, committed: 321 }
}

/// The outcome is the same however often it was killed.
#[track_caller]
fn expect_sound(lab: &Lab, case: &Case) {
    let migration = &case.migration;
    journal::check_chain(&migration.journal_dir());
    migration.expect_acknowledged_on(&lab.target.bootstrap());
    migration.expect_same(lab, &case.topics);
    let group = format!("{}-readers", migration.id());
    let committed = Agent::shared().group_offsets(&lab.target.bootstrap(), &group);
    let place = &committed[&(case.topics[0].clone(), 1)];
    assert_eq!((place.offset, place.metadata.as_str()), (case.committed, "a third of it"));
    let verified = migration.expect_verified();
    assert_eq!(verified["outcome"], "PASSED", "{verified:#}");
}

/// Codes with which a command that was killed in mid-cutover may end when it is run again: the attempt is given up, nothing else.
const GIVEN_UP: [&str; 4] = ["KF-FREEZE-DEADLINE", "KF-FREEZE-REFUSED", "KF-FREEZE-NOT-PROVEN", "KF-WEBHOOK"];

/// Runs the next command under this environment; whether it was killed.
#[track_caller]
pub fn step(migration: &Migration, command: &str, env: &[(&str, String)]) -> bool {
    let outcome = migration.run_with(command, env);
    match outcome.code {
        None => true,
        Some(0) => false,
        Some(1) if GIVEN_UP.iter().any(|code| outcome.stderr.contains(code)) => {
            migration.expect_state("tail");
            false
        }
        Some(_) => panic!("{outcome}\njournal: {:?}", migration.kinds()),
    }
}

fn kinds(facts: &[Value], from: usize) -> Vec<String> {
    (from..facts.len()).map(|index| format!("{}/{}", journal::state(&facts[..index]).unwrap_or("none"), journal::kind(facts, index))).collect()
}

/// One migration, killed after every kind of entry in every state, once each. A run that is resumed writes some entries
/// anew: what the last run from the same state wrote tells where the next kill belongs, behind those that were seen before.
fn sweep_in_one(lab: &Lab, id: &str) {
    let case = case(lab, id, 40.0);
    let migration = &case.migration;
    let started = Instant::now();
    let mut seen = BTreeSet::new();
    let mut last_from: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    let (mut runs, mut kills) = (0, 0);
    while let Some(command) = migration.next_command() {
        let before = migration.facts();
        let state = journal::state(&before).unwrap_or("none");
        // After the commit runs are short, and each goes on from another place: only a run from the very same place tells.
        let committed = matches!(state, "awaiting_client_switch" | "validating" | "finalized");
        let place = if committed { journal::kind(&before, before.len() - 1) } else { state.to_owned() };
        let last = last_from.entry((command, place)).or_default();
        let skip = last.iter().take_while(|kind| seen.contains(*kind)).count();
        let at = before.len() + 1 + skip;
        let killed = step(migration, command, &[("KFERRY_ABORT_AT_ENTRY", format!("after:{at}"))]);
        journal::check_chain(&migration.journal_dir());
        let after = migration.facts();
        let written = kinds(&after, before.len());
        runs += 1;
        if killed {
            assert_eq!(after.len(), at, "it was killed at another entry");
            kills += 1;
            seen.insert(written.last().unwrap().clone());
        }
        *last = written;
        assert!(runs < 250 && started.elapsed() < Duration::from_secs(900), "no end in sight: {:?}", migration.kinds());
    }
    println!("{kills} kills at {} kinds of boundary in {runs} runs, {:.1?}: {seen:?}", seen.len(), started.elapsed());
    let states: BTreeSet<&str> = seen.iter().filter_map(|kind| kind.split('/').next()).collect();
    for state in ["none", "planned", "precheck", "topology_copy", "seed", "tail", "drain_ready", "cutover", "awaiting_client_switch", "validating"] {
        assert!(states.contains(state), "no kill in {state}: {seen:?}");
    }
    for kind in kinds(&migration.facts(), 0).into_iter().collect::<BTreeSet<_>>() {
        if !seen.contains(&kind) {
            println!("not killed after {kind}");
        }
    }
    expect_sound(lab, &case);
}

#[test]
fn killed_after_every_kind_of_entry_in_every_state() {
    sweep_in_one(Lab::shared(), "sweep");
}

/// A migration for each entry that one makes: killed there, once, and resumed to the end. Several go side by side, since most of
/// their time is spent in waiting.
fn sweep_each(lab: &Lab, prefix: &str, variable: &str, value: &(dyn Fn(usize) -> String + Sync), step_by: usize) {
    let started = Instant::now();
    let turn = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let number = 1 + turn.fetch_add(1, Ordering::Relaxed) * step_by;
                    if !killed_once(lab, &format!("{prefix}{number:03}"), number, (variable, value(number))) {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("{prefix}: {} migrations, {:.1?}", turn.into_inner(), started.elapsed());
}

/// One migration under this environment until it was killed, and without it to the end; whether it was killed.
fn killed_once(lab: &Lab, id: &str, number: usize, env: (&str, String)) -> bool {
    let case = case(lab, id, if number.is_multiple_of(4) { 40.0 } else { 0.0 });
    let mut killed = false;
    while let Some(command) = case.migration.next_command() {
        if step(&case.migration, command, std::slice::from_ref(&env)) {
            killed = true;
            case.migration.finish_after_kill();
        }
    }
    expect_sound(lab, &case);
    let agent = Agent::shared();
    agent.delete_topics(&lab.source.bootstrap(), &case.topics);
    agent.delete_topics(&lab.target.bootstrap(), &case.topics);
    killed
}

impl Migration {
    /// Every command to the end; an attempt at the cutover that was killed may have to be given up first.
    #[track_caller]
    pub fn finish_after_kill(&self) {
        for _ in 0..16 {
            let Some(command) = self.next_command() else { return };
            assert!(!step(self, command, &[]), "it died without being killed");
        }
        panic!("no end in sight; the journal has {:?}", self.kinds());
    }
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn killed_before_every_entry() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    sweep_each(Lab::shared(), "before", "KFERRY_ABORT_AT_ENTRY", &|n| format!("before:{n}"), 1);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn killed_after_every_entry() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    sweep_each(Lab::shared(), "after", "KFERRY_ABORT_AT_ENTRY", &|n| format!("after:{n}"), 1);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn killed_within_every_entry() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    sweep_each(Lab::shared(), "torn", "KFERRY_ABORT_TORN", &|n| n.to_string(), 1);
}

/// The seed of this run; one that can be set, so that a failure can be had again.
pub fn seed() -> u64 {
    let seed = std::env::var("KFERRY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| jiff::Timestamp::now().as_millisecond() as u64);
    println!("KFERRY_SEED={seed}");
    seed
}

fn forgetful() -> Lab {
    let target = Options::default().proxied().prop("producer.id.expiration.check.interval.ms", 1_000).prop("producer.id.expiration.ms", 2_000);
    Lab::start(1, Options::default(), target)
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn killed_everywhere_while_brokers_forget_producers_every_second() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    let lab = forgetful();
    sweep_in_one(&lab, "forgetful");
    killed_at_random(&lab, "forgotten", 12);
    sweep_each(&lab, "old", "KFERRY_ABORT_AT_ENTRY", &|n| format!("after:{n}"), 3);
}

fn killed_at_random(lab: &Lab, id: &str, kills: u32) {
    let agent = Agent::shared();
    let case = case(lab, id, 60.0);
    let first = jiff::Timestamp::now().as_millisecond() - OLD;
    let weave = Weave { producers: 2, abort_ratio: 0.7, burst: 40, ..Weave::new(&format!("{id}-bulk"), 300) };
    agent.weave(&lab.source.bootstrap(), &[&case.topics[3]], &weave, &Load::records(0).values(900, 1_000).random());
    agent.produce(&lab.source.bootstrap(), &case.topics[0], &Load::records(20_000).values(900, 1_000).random().timestamps(first, 1));
    let mut random = seed();
    let mut states = Vec::new();
    for _ in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let Some(command) = case.migration.next_command() else { break };
        let running = case.migration.spawn(command);
        std::thread::sleep(Duration::from_millis(150 + (random >> 33) % 5_000));
        let outcome = running.kill();
        states.push((command, case.migration.state().unwrap_or("none"), outcome.code));
        journal::check_chain(&case.migration.journal_dir());
    }
    println!("killed in {states:?}");
    case.migration.finish_after_kill();
    expect_sound(lab, &case);
}

#[test]
fn killed_at_moments_of_no_choice() {
    killed_at_random(Lab::shared(), "random", 8);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn killed_at_thirty_moments_of_no_choice() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    killed_at_random(Lab::shared(), "thirty", 30);
}
