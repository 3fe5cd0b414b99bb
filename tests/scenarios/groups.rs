//! Consumer groups that stopped at the source go on at the target: every record is read once.

use std::collections::BTreeMap;

use crate::lab::agent::xor;
use crate::lab::{Agent, Commit, Consume, Consumed, Load, Topic};
use crate::migration::Lab;

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
