//! Consumer groups that stopped at the source go on at the target: every record is read once. So does a reader in no group.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lab::agent::xor;
use crate::lab::{Agent, Commit, Consume, Consumed, Load, Outcome, Topic};
use crate::migration::{Lab, Migration};

const PLAIN: &str = "groups-plain";
const TRIMMED: &str = "groups-trimmed";
const LOG_START: i64 = 1_003;

type Reads = BTreeMap<(String, i32), Consumed>;

/// What a group read before and after is each record that there was to read, once.
#[track_caller]
fn expect_once(name: &str, before: &Reads, after: &Reads, target: &str, topic: &str, lost_to_trimming: bool) {
    for (partition, whole) in Agent::shared().dump(target, &[topic], false) {
        let (one, other) = (&before[&partition], &after[&partition]);
        if lost_to_trimming {
            assert_eq!(other.first, whole.log_start, "{name} {partition:?}: it goes on at the log start");
            assert_eq!((other.count, &other.xor), (whole.count, &whole.xor), "{name} {partition:?}");
            continue;
        }
        assert_eq!(one.count + other.count, whole.count, "{name} {partition:?}: {one:?} {other:?} {whole:?}");
        assert_eq!(xor([one.xor.as_str(), other.xor.as_str()]), whole.xor, "{name} {partition:?}");
        assert!(other.first == -1 || other.first == one.next_offset, "{name} {partition:?}: {one:?} {other:?}");
    }
}

/// Findings of `precheck` by code, each with its subject and what was seen.
fn found(precheck: &Outcome, code: &str) -> Vec<(String, String)> {
    let text = |f: &Value, name: &str| f[name].as_str().unwrap_or_default().to_owned();
    let findings = precheck.json()["findings"].take();
    findings.as_array().into_iter().flatten().filter(|f| f["code"] == code).map(|f| (text(f, "subject"), text(f, "seen"))).collect()
}

/// Why each group was left alone at the cutover; empty where it was carried over.
fn left_alone(migration: &Migration) -> BTreeMap<String, String> {
    let report = migration.expect_fact("cutover_committed")["report"].take();
    let text = |g: &Value, name: &str| g[name].as_str().unwrap_or_default().to_owned();
    report["groups"].as_array().into_iter().flatten().map(|g| (text(g, "group_id"), text(g, "left_alone"))).collect()
}

/// The check of the groups as last journaled: outcome, groups compared, every remark.
fn reconciled(migration: &Migration) -> (String, u64, String) {
    let checks = migration.expect_fact("validated")["report"]["checks"].take();
    let check = checks.as_array().into_iter().flatten().find(|c| c["check"] == "consumer_group_reconciliation").expect("the check has run");
    (check["outcome"].as_str().unwrap_or_default().to_owned(), check["compared"].as_u64().unwrap_or(0), check["details"].to_string())
}

#[track_caller]
fn expect_same_numbers(source: &str, target: &str, groups: &[&str]) {
    for group in groups {
        let (there, here) = (Agent::shared().group_offsets(source, group), Agent::shared().group_offsets(target, group));
        let numbers = |all: &BTreeMap<(String, i32), crate::lab::Committed>| -> Vec<_> { all.iter().map(|(p, c)| (p.clone(), c.offset, c.metadata.clone())).collect() };
        assert!(!there.is_empty(), "{group} has committed nothing on the source");
        assert_eq!(numbers(&here), numbers(&there), "{group}");
    }
}

#[test]
fn groups_go_on_where_they_stopped() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new(PLAIN, 3), Topic::new(TRIMMED, 2)]);
    agent.produce(&source, PLAIN, &Load::records(9_000).codec("lz4").nulls(0.1, 0.1));
    agent.produce(&source, TRIMMED, &Load::records(6_000).codec("gzip").batches(8 << 10, 20));

    // Below the log start: what it has read is gone by the time of the cutover, and so is a stretch that it has not read.
    let below = agent.consume(&source, &Consume::to_end("groups-below", &[TRIMMED]).records_per_partition(100));
    assert_eq!(below[&(TRIMMED.to_owned(), 0)].next_offset, 100);
    for partition in 0..2 {
        assert_eq!(agent.delete_records(&source, TRIMMED, partition, LOG_START), LOG_START);
    }
    let middle = agent.consume(&source, &Consume::to_end("groups-middle", &[PLAIN]).records_per_partition(333).metadata("half way: ½"));
    let end = agent.consume(&source, &Consume::to_end("groups-end", &[PLAIN, TRIMMED]));
    let trimmed = agent.consume(&source, &Consume::to_end("groups-trimmed", &[TRIMMED]).records_per_partition(250));
    let one_only: Vec<Commit> = vec![Commit::new(PLAIN, 1, 17, "one partition only"), Commit::new(PLAIN, 2, 0, "")];
    agent.commit_group_offsets(&source, "groups-partly", &one_only);
    agent.consume(&source, &Consume::to_end("groups-held", &[PLAIN]).records_per_partition(50));

    let migration = lab.setup("groups").begin();
    migration.webhook.keep(agent.live(&source, &[PLAIN, TRIMMED], 100.0, &Load::records(0).seed(9)));
    migration.execute();
    assert!(agent.list_groups(&target).iter().all(|group| !group.starts_with("groups-")), "groups on the target before the cutover");
    agent.hold_group(&target, "groups-held", &[PLAIN]);
    // Somebody has tried the target out: the source knows nothing of partition 0, and has 17 for partition 1.
    agent.commit_group_offsets(&target, "groups-partly", &[Commit::new(PLAIN, 0, 99, ""), Commit::new(PLAIN, 1, 1_000, "")]);
    let outcome = migration.run("cutover");
    assert!(matches!(outcome.code, Some(0 | 3)), "{outcome}");
    migration.expect_state("awaiting_client_switch");

    // The group with a member on the target is left alone, and named with the reason.
    let report = migration.expect_fact("cutover_committed")["report"].take();
    let of_group = |name: &str| report["groups"].as_array().unwrap().iter().find(|g| g["group_id"] == name).unwrap_or_else(|| panic!("{name} is not in {report:#}"));
    assert!(of_group("groups-held")["left_alone"].as_str().unwrap().contains("member"), "{report:#}");
    assert!(outcome.stdout.contains("groups-held") || outcome.stderr.contains("groups-held"), "the group left alone is not named: {outcome}");
    assert!(agent.group_offsets(&target, "groups-held").is_empty());
    agent.release_group(&target, "groups-held");

    for group in ["groups-middle", "groups-end", "groups-trimmed", "groups-below", "groups-partly"] {
        assert_eq!(of_group(group)["left_alone"], "", "{report:#}");
        let (there, here) = (agent.group_offsets(&source, group), agent.group_offsets(&target, group));
        assert_eq!(here.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>(), "{group}");
        for (partition, committed) in &here {
            assert_eq!((committed.offset, &committed.metadata), (there[partition].offset, &there[partition].metadata), "{group} {partition:?}");
            assert_eq!(committed.leader_epoch, -1, "{group} {partition:?}");
        }
    }
    migration.expect_acknowledged_on(&target);
    let go_on = |group: &str, topics: &[&str]| agent.consume(&target, &Consume::to_end(group, topics));
    expect_once("middle", &middle, &go_on("groups-middle", &[PLAIN]), &target, PLAIN, false);
    expect_once("trimmed", &trimmed, &go_on("groups-trimmed", &[TRIMMED]), &target, TRIMMED, false);
    expect_once("below", &below, &go_on("groups-below", &[TRIMMED]), &target, TRIMMED, true);
    let after = go_on("groups-end", &[PLAIN, TRIMMED]);
    expect_once("end", &end, &after, &target, PLAIN, false);
    expect_once("end", &end, &after, &target, TRIMMED, false);
    assert_eq!(go_on("groups-held", &[PLAIN])[&(PLAIN.to_owned(), 0)].first, 0, "a group left alone starts by itself");

    migration.run("cutover-ack").ok();
    let validated = migration.run("validate").expect_code(3);
    assert!(validated.stdout.contains("groups-held") || validated.stderr.contains("groups-held"), "{validated}");
    assert!(matches!(migration.run("finalize").code, Some(0 | 3)));
    migration.expect_state("finalized");
    migration.expect_same(lab, &[PLAIN, TRIMMED]);
    let verified = migration.expect_verified();
    assert_eq!(verified["groups"], serde_json::json!({"carried_over": 5, "left_alone": 1}), "{verified:#}");
    assert!(verified["not_covered"].to_string().contains("groups-held"), "{verified:#}");
}

const MARKED: &str = "places-marked";
const GONE: &str = "places-gone";
const ELSEWHERE: &str = "elsewhere-places";

/// Groups that stand on control records, around them, outside of the log, and on topics that are not selected.
#[test]
fn groups_keep_every_place_that_they_can_stand_in() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new(MARKED, 2), Topic::new(GONE, 1), Topic::new(ELSEWHERE, 1)]);
    // Partition 0: records 0..100, a marker, records 101..201, two markers. Partition 1: nothing but three markers.
    agent.produce(&source, MARKED, &Load::records(100).partition(0));
    agent.write_marker(&source, MARKED, 0);
    agent.produce(&source, MARKED, &Load::records(100).partition(0).seed(2));
    agent.write_marker(&source, MARKED, 0);
    agent.write_marker(&source, MARKED, 0);
    (0..3).for_each(|_| agent.write_marker(&source, MARKED, 1));
    agent.produce(&source, GONE, &Load::records(500));
    assert_eq!(agent.delete_records(&source, GONE, 0, 300), 300);
    agent.produce(&source, ELSEWHERE, &Load::records(10));
    let ends = agent.offsets(&source);
    assert_eq!((ends[&(MARKED.to_owned(), 0)].log_end, ends[&(MARKED.to_owned(), 1)].log_end), (203, 3));

    let places = [
        ("places-first", MARKED, 0, 0), ("places-marker", MARKED, 0, 100), ("places-after-marker", MARKED, 0, 101), ("places-last-record", MARKED, 0, 200),
        ("places-after-last-record", MARKED, 0, 201), ("places-between-markers", MARKED, 0, 202), ("places-end", MARKED, 0, 203),
        ("places-only-markers", MARKED, 1, 1), ("places-before-start", GONE, 0, 10), ("places-at-start", GONE, 0, 300), ("places-beyond-end", GONE, 0, 9_000),
    ];
    for (group, topic, partition, offset) in places {
        agent.commit_group_offsets(&source, group, &[Commit::new(topic, partition, offset, group)]);
    }
    agent.commit_group_offsets(&source, "places-partly", &[Commit::new(MARKED, 0, 7, ""), Commit::new(ELSEWHERE, 0, 3, "")]);
    agent.commit_group_offsets(&source, "places-elsewhere", &[Commit::new(ELSEWHERE, 0, 3, "")]);

    let migration = lab.setup("places").begin();
    let precheck = migration.precheck();
    assert_eq!(found(&precheck, "KF-PRE-GROUP-BEYOND-END"), [("places-beyond-end".to_owned(), format!("its next offset lies beyond the log's end: {GONE}-0 at 9000 of 500"))]);
    assert!(found(&precheck, "KF-PRE-GROUP-PARTLY")[0].1.contains("places-partly (1 of 2)"), "{precheck}");
    migration.execute();
    migration.cutover();
    let alone = left_alone(&migration);
    assert_eq!(alone.iter().filter(|(_, reason)| !reason.is_empty()).map(|(g, _)| g.as_str()).collect::<Vec<_>>(), ["places-elsewhere"], "{alone:?}");
    let names: Vec<&str> = places.iter().map(|(group, ..)| *group).collect();
    expect_same_numbers(&source, &target, &names);
    assert_eq!(agent.group_offsets(&target, "places-partly").keys().collect::<Vec<_>>(), [&(MARKED.to_owned(), 0)]);
    assert!(agent.group_offsets(&target, "places-elsewhere").is_empty());

    // A check that ran before anybody has gone on.
    migration.run("cutover-ack").ok();
    migration.run("validate").expect_code(3);
    let (outcome, compared, details) = reconciled(&migration);
    assert_eq!((outcome.as_str(), compared), ("WARNING", places.len() as u64 + 1), "{details}");
    assert!(details.contains("places-beyond-end: places-gone-0 stands at 9000, beyond the log's end at the cutover (501), as on the source"), "{details}");
    assert!(details.contains("places-elsewhere: left alone, it has no offsets on the topics of this migration"), "{details}");
    assert_eq!(details.matches("places-").count(), 3, "only these two are named: {details}");

    // Each of them reads the same on both clusters.
    for (group, topic, partition, _) in places {
        let read = |side: &str| agent.consume(side, &Consume::to_end(group, &[topic]).without_commit());
        let (there, here) = (read(&source), read(&target));
        assert_eq!(there, here, "{group}");
        let part = &here[&(topic.to_owned(), partition)];
        let expected = match group {
            "places-first" => (200, 0),
            "places-marker" | "places-after-marker" => (100, 101),
            "places-last-record" => (1, 200),
            // Outside of the log `auto.offset.reset` decides, here for the log start.
            "places-before-start" | "places-at-start" | "places-beyond-end" => (200, 300),
            _ => (0, -1),
        };
        assert_eq!((part.count, part.first), expected, "{group}");
    }
    assert!(matches!(migration.run("finalize").code, Some(0 | 3)));
    let verified = migration.expect_verified();
    assert_eq!(verified["groups"], serde_json::json!({"carried_over": places.len() + 1, "left_alone": 1}), "{verified:#}");
    let not_covered = verified["not_covered"].to_string();
    assert!(not_covered.contains("group places-partly: offsets on elsewhere-places-0 are not carried over"), "{not_covered}");
    assert!(not_covered.contains("places-elsewhere"), "{not_covered}");
}

/// A reader that keeps its numbers elsewhere, as Flink and Spark do, stops at the source and goes on at the target with them.
#[test]
fn a_reader_with_numbers_of_its_own_goes_on_with_them() {
    const TOPICS: [&str; 2] = ["external-plain", "external-trimmed"];
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &TOPICS.map(|name| Topic::new(name, 3)));
    agent.produce(&source, TOPICS[0], &Load::records(6_000).codec("zstd").nulls(0.1, 0.1));
    agent.produce(&source, TOPICS[1], &Load::records(6_000).codec("lz4").one_record_batches());
    agent.delete_records(&source, TOPICS[1], 0, 777);
    agent.write_marker(&source, TOPICS[0], 2);
    let start: BTreeMap<(String, i32), i64> =
        agent.offsets(&source).into_iter().filter(|((topic, _), _)| TOPICS.contains(&topic.as_str())).map(|(p, span)| (p, span.log_start)).collect();
    // Each partition stops elsewhere: in the middle of a batch, at the end behind the marker, before the first record.
    let mut before = agent.read_from(&source, &start, Some(431));
    let whole: BTreeMap<_, _> = start.iter().filter(|((_, partition), _)| *partition == 2).map(|(p, next)| (p.clone(), *next)).collect();
    before.extend(agent.read_from(&source, &whole, None));
    assert_eq!(before[&(TOPICS[0].to_owned(), 2)].next_offset, 2_001, "behind the marker");
    let unread = (TOPICS[0].to_owned(), 1);
    before.extend(agent.read_from(&source, &BTreeMap::from([(unread.clone(), 0)]), Some(0)));
    assert_eq!((before[&unread].count, before[&unread].next_offset), (0, 0));

    let migration = lab.setup("external").begin();
    migration.webhook.keep(agent.live(&source, &TOPICS, 100.0, &Load::records(0).seed(5)));
    migration.execute();
    migration.cutover();
    migration.expect_acknowledged_on(&target);
    let kept: BTreeMap<_, _> = before.iter().map(|(partition, read)| (partition.clone(), read.next_offset)).collect();
    let after = agent.read_from(&target, &kept, None);
    for topic in TOPICS {
        expect_once("external", &before, &after, &target, topic, false);
    }
    assert!(after.values().all(|read| read.count > 0), "each partition has gone on: {after:?}");
    migration.conclude();
    migration.expect_same(lab, &TOPICS);
}

/// Members on the source at the cutover: what they have committed by the freeze goes over, they themselves are left in peace.
#[test]
fn groups_with_members_on_the_source_go_over_as_of_the_freeze() {
    const TOPIC: &str = "active-records";
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new(TOPIC, 1), Topic::new("elsewhere-active", 1)]);
    agent.produce(&source, TOPIC, &Load::records(1_000).batches(4 << 10, 20));
    let at = |offset: i64| [Commit::new(TOPIC, 0, offset, "")];
    agent.hold_group(&source, "active-member", &[TOPIC]);
    agent.hold_group(&source, "active-stopping", &[TOPIC]);
    agent.hold_group_with(&source, "active-static", &[TOPIC], &[("group.instance.id", "one")]);
    for group in ["active-member", "active-stopping", "active-static"] {
        agent.commit_as_member(&source, group, &at(120));
    }
    agent.commit_group_offsets(&source, "active-pending", &at(50));
    // Nothing of this transaction lies on a topic of the migration, so that the proof of the freeze does not see it.
    agent.begin_transaction(&source, "active-pending", "elsewhere-active", &Load::records(0), 600_000);
    agent.transaction_offsets("active-pending", "active-pending", &at(400));

    let migration = lab.setup("active").begin();
    let precheck = migration.precheck();
    let active = &found(&precheck, "KF-PRE-ACTIVE-GROUPS")[0].1;
    assert_eq!(active, "3 groups: active-member (1 member), active-static (1 member), active-stopping (1 member)");
    assert_eq!(found(&precheck, "KF-PRE-STATIC-MEMBERS")[0].1, "1 group: active-static (1)");
    migration.execute();

    // As long as nobody knows what the transaction will commit, the cutover does not guess.
    let refused = migration.run("cutover").expect_code(1);
    assert!(refused.stderr.contains("KF-GROUP-REFUSED") && refused.stderr.contains("active-pending") && refused.stderr.contains("UNSTABLE_OFFSET_COMMIT"), "{refused}");
    migration.expect_state("tail");
    assert_eq!(migration.webhook.events().last().map(String::as_str), Some("thaw"));
    agent.end_transaction("active-pending", true);

    // One member commits within the freeze; another stops, as a receiver may have it do.
    let commits = source.clone();
    migration.webhook.before(move |event| {
        if event == "freeze" {
            agent.commit_as_member(&commits, "active-member", &[Commit::new(TOPIC, 0, 200, "")]);
            agent.commit_as_member(&commits, "active-stopping", &[Commit::new(TOPIC, 0, 300, "")]);
            agent.release_group(&commits, "active-stopping");
        }
    });
    migration.cutover();
    migration.webhook.without_hook();
    let report = migration.expect_fact("cutover_committed")["report"].take();
    assert_eq!(report["groups_with_members_on_source"], serde_json::json!(["active-member", "active-static"]));
    assert!(left_alone(&migration).values().all(String::is_empty), "{report:#}");
    let all = ["active-member", "active-pending", "active-static", "active-stopping"];
    expect_same_numbers(&source, &target, &all);
    let placed = all.map(|group| agent.group_offsets(&target, group)[&(TOPIC.to_owned(), 0)].offset);
    assert_eq!(placed, [200, 400, 120, 300]);
    for group in ["active-member", "active-static"] {
        assert_eq!(agent.describe_group(&source, group), ("Stable".to_owned(), 1), "{group} is disturbed");
    }

    // It reads on at the source: that is seen and said, and nobody is moved by it.
    agent.commit_as_member(&source, "active-member", &at(260));
    let acknowledged = migration.run("cutover-ack").ok();
    assert!(acknowledged.stdout.contains("groups with members on the source still: active-member, active-static;"), "{acknowledged}");
    migration.run("validate").expect_code(3);
    let (outcome, compared, details) = reconciled(&migration);
    assert_eq!((outcome.as_str(), compared), ("WARNING", 4), "{details}");
    assert_eq!(details, "[\"active-member: active-records-0 was put at 200, has read on to 260 on the source since, and reads from 200 on at the target\"]");

    // Once they have all moved there is nothing left to say.
    agent.release_group(&source, "active-member");
    agent.release_group(&source, "active-static");
    for (group, first) in [("active-member", 200), ("active-static", 120), ("active-stopping", 300), ("active-pending", 400)] {
        let consume = if group == "active-static" { Consume::to_end(group, &[TOPIC]).prop("group.instance.id", "one") } else { Consume::to_end(group, &[TOPIC]) };
        let read = &agent.consume(&target, &consume)[&(TOPIC.to_owned(), 0)];
        assert_eq!((read.first, read.count), (first, (1_000 - first) as u64), "{group}");
    }
    migration.run("validate").ok();
    assert_eq!(reconciled(&migration), ("PASSED".to_owned(), 4, "[]".to_owned()));
    migration.run("finalize").ok();
    migration.expect_same(lab, &[TOPIC]);
    assert_eq!(migration.expect_verified()["groups"], serde_json::json!({"carried_over": 4, "left_alone": 0}));
}

/// What a source in ZooKeeper mode cannot have: groups of KIP-848, share groups, groups of the Streams protocol.
#[test]
fn groups_of_the_consumer_protocol_go_on_and_other_kinds_are_named() {
    const IN: &str = "kinds-in";
    const OUT: &str = "kinds-out";
    let (lab, agent) = (Lab::kraft(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    agent.create_topics(&source, &[Topic::new(IN, 3), Topic::new(OUT, 2)]);
    agent.produce(&source, IN, &Load::records(3_000).codec("lz4"));
    agent.write_marker(&source, IN, 1);
    let next = |group: &str| Consume::to_end(group, &[IN]).next_protocol();
    let middle = agent.consume(&source, &next("kinds-middle").records_per_partition(333).metadata("half way: ½"));
    let end = agent.consume(&source, &next("kinds-end"));
    let classic = agent.consume(&source, &Consume::to_end("kinds-classic", &[IN]).records_per_partition(77));
    let moved = agent.consume(&source, &next("kinds-moved").records_per_partition(50));
    agent.consume(&source, &next("kinds-held").records_per_partition(10));
    agent.commit_group_offsets(&source, "kinds-taken", &[Commit::new(IN, 0, 5, "")]);
    let member = [("group.protocol", "consumer"), ("group.instance.id", "one")];
    agent.hold_group_with(&source, "kinds-static", &[IN], &member);
    agent.commit_as_member(&source, "kinds-static", &[Commit::new(IN, 0, 40, ""), Commit::new(IN, 1, 41, ""), Commit::new(IN, 2, 42, "")]);
    agent.share_consume(&source, "kinds-share", IN, 100);
    agent.streams_run(&source, "kinds-app", "streams", IN, OUT);
    assert_eq!(agent.values(&source, OUT), (3_000, 3_000));
    let types = agent.group_types(&source);
    let of_type = |kind: &str| types.iter().filter(|(g, k)| g.starts_with("kinds-") && k.as_str() == kind).map(|(g, _)| g.as_str()).collect::<Vec<_>>();
    assert_eq!(of_type("Consumer"), ["kinds-end", "kinds-held", "kinds-middle", "kinds-moved", "kinds-static"]);
    assert_eq!((of_type("Share"), of_type("Streams"), of_type("Classic")), (vec!["kinds-share"], vec!["kinds-app"], vec!["kinds-classic", "kinds-taken"]));
    agent.produce(&source, IN, &Load::records(600).seed(2));

    let migration = lab.setup("kinds").begin();
    migration.webhook.keep(agent.live(&source, &[IN], 100.0, &Load::records(0).seed(9)));
    let precheck = migration.precheck();
    let named: Vec<String> = found(&precheck, "KF-PRE-GROUP-TYPE").into_iter().map(|(group, _)| group).collect();
    assert_eq!(named, ["kinds-app", "kinds-share"], "{precheck}");
    assert_eq!(found(&precheck, "KF-PRE-STATIC-MEMBERS")[0].1, "1 group: kinds-static (1)");
    migration.execute();
    agent.hold_group_with(&target, "kinds-held", &[IN], &[("group.protocol", "consumer")]);
    agent.share_consume(&target, "kinds-taken", IN, 1);
    agent.hold_share(&source, "kinds-share", IN);
    // Two groups that the plan would have carried are left alone: it stands, and somebody has to see to them.
    migration.run("cutover").expect_code(3);
    migration.expect_state("awaiting_client_switch");
    agent.release_share("kinds-share");
    let alone = left_alone(&migration);
    let reason = |group: &str| alone[group].as_str();
    assert!(reason("kinds-share").contains("share groups keep their place per record"), "{alone:?}");
    assert!(reason("kinds-app").contains("streams protocol"), "{alone:?}");
    assert!(reason("kinds-taken").contains("of another kind on the target"), "{alone:?}");
    assert!(reason("kinds-held").contains("members on the target"), "{alone:?}");
    assert_eq!(alone.values().filter(|reason| reason.is_empty()).count(), 5, "{alone:?}");
    assert!(agent.group_offsets(&target, "kinds-held").is_empty() && !agent.list_groups(&target).iter().any(|g| g == "kinds-share" || g == "kinds-app"));
    let report = migration.expect_fact("cutover_committed")["report"].take();
    assert_eq!(report["groups_with_members_on_source"], serde_json::json!(["kinds-share", "kinds-static"]));
    expect_same_numbers(&source, &target, &["kinds-middle", "kinds-end", "kinds-classic", "kinds-moved", "kinds-static"]);
    migration.expect_acknowledged_on(&target);
    agent.release_group(&target, "kinds-held");
    agent.release_group(&source, "kinds-static");

    expect_once("middle", &middle, &agent.consume(&target, &next("kinds-middle")), &target, IN, false);
    expect_once("end", &end, &agent.consume(&target, &next("kinds-end")), &target, IN, false);
    // Either protocol takes up what the other has left, at the target as on one cluster.
    expect_once("classic", &classic, &agent.consume(&target, &next("kinds-classic")), &target, IN, false);
    expect_once("moved", &moved, &agent.consume(&target, &Consume::to_end("kinds-moved", &[IN])), &target, IN, false);
    let going_on = agent.consume(&target, &next("kinds-static").prop("group.instance.id", "one"));
    assert_eq!((0..3).map(|p| going_on[&(IN.to_owned(), p)].first).collect::<Vec<_>>(), [40, 41, 42]);

    migration.run("cutover-ack").ok();
    migration.run("validate").expect_code(3);
    let (outcome, compared, details) = reconciled(&migration);
    assert_eq!((outcome.as_str(), compared, details.matches("left alone").count()), ("WARNING", 5, 4), "{details}");
    migration.run("finalize").expect_code(3);
    migration.expect_same(lab, &[IN, OUT]);
    let verified = migration.expect_verified();
    assert_eq!(verified["groups"], serde_json::json!({"carried_over": 5, "left_alone": 4}), "{verified:#}");
    let not_covered = verified["not_covered"].to_string();
    for group in ["kinds-share", "kinds-app", "kinds-held", "kinds-taken"] {
        assert!(not_covered.contains(&format!("group {group}: ")), "{not_covered}");
    }

    // The application by hand, as KF-PRE-GROUP-TYPE says: its offsets as journaled, and the classic protocol. Every record once.
    let app = report["groups"].as_array().unwrap().iter().find(|g| g["group_id"] == "kinds-app").unwrap();
    let offset = |o: &Value| Commit::new(o["topic"].as_str().unwrap(), o["partition"].as_i64().unwrap() as i32, o["next_offset"].as_i64().unwrap(), "");
    let commits: Vec<Commit> = app["offsets"].as_array().unwrap().iter().map(offset).collect();
    assert_eq!(commits.len(), 3, "{app:#}");
    agent.commit_group_offsets(&target, "kinds-app", &commits);
    agent.streams_run(&target, "kinds-app", "classic", IN, OUT);
    let read: u64 = agent.dump(&target, &[IN], false).values().map(|p| p.count).sum();
    assert_eq!(agent.values(&target, OUT).0, read);
}
