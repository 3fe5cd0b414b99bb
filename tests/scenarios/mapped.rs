//! Mapped topics: committed records alone, in order, each once, and every group where it would have read on.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Agent, Commit, Consume, Load, Topic, Weave};
use crate::migration::Lab;

const SOON: Duration = Duration::from_secs(60);

/// By pattern, beside a topic that keeps its offsets: transactional, compacted, trimmed and stamped ones, while transactions are open and the source
/// goes on compacting.
#[test]
fn groups_go_on_by_translated_offsets_and_others_by_their_own() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let topics = ["moved-woven", "moved-keys", "moved-late", "moved-stamped"];
    let kept = "moved-kept";
    let eager = Topic::new(topics[1], 2)
        .config("cleanup.policy", "compact")
        .config("min.cleanable.dirty.ratio", 0.001)
        .config("segment.bytes", 20 << 10)
        .config("retention.ms", -1);
    let stamped = Topic::new(topics[3], 1).config("message.timestamp.type", "LogAppendTime");
    agent.create_topics(&source, &[Topic::new(topics[0], 2), eager, Topic::new(topics[2], 1), stamped, Topic::new(kept, 1)]);
    let woven = |seed| agent.weave(&source, &[topics[0], kept], &Weave { burst: 20, ..Weave::new("moved-weave", 120) }, &Load::records(0).values(100, 700).batches(4 << 10, 5).seed(seed));
    woven(1);
    let keyed = |seed| agent.produce(&source, topics[1], &Load::records(4_000).values(50, 400).keys(150).nulls(0.0, 0.15).batches(4 << 10, 5).seed(seed));
    keyed(2);
    agent.produce(&source, topics[2], &Load::records(3_000).values(20, 90).batches(4 << 10, 5));
    agent.delete_records(&source, topics[2], 0, 1_234);
    agent.produce(&source, topics[3], &Load::records(500).one_record_batches());
    let spans = agent.offsets(&source);
    let span = |topic: &str, partition: i32| spans[&(topic.to_owned(), partition)];
    let at = |topic: &str, partition, offset| Commit::new(topic, partition, offset, "");
    let stood = [
        at(topics[0], 0, span(topics[0], 0).log_end / 3),
        at(topics[0], 1, span(topics[0], 1).log_end / 2),
        at(topics[1], 0, span(topics[1], 0).log_end / 4),
        at(topics[2], 0, 1_500),
        at(topics[3], 0, span(topics[3], 0).log_end),
    ];
    agent.commit_group_offsets(&source, "moved-readers", &stood);
    agent.commit_group_offsets(&source, "moved-kept-readers", &[at(kept, 0, span(kept, 0).log_end / 2)]);

    let migration = lab
        .setup("moved")
        .offsets("mapped")
        .set("topics.identical", "[moved-kep?]")
        .set("seed.rate_limit", "400KiB/s")
        .set("seed.segment_max_bytes", "1MiB")
        .begin();
    let plan = migration.run("plan").expect_code(0);
    let plan_json: Value = serde_json::from_str(&std::fs::read_to_string(migration.dir().join("plan/plan.json")).unwrap()).unwrap();
    for topic in plan_json["topics"].as_array().unwrap() {
        let (mode, reason) = if topic["name"] == kept { ("identical", "identical offsets cost") } else { ("mapped", "asked for by `offsets: mapped`") };
        assert!(topic["mode"] == mode && topic["mode_reason"].as_str().unwrap().starts_with(reason), "{topic:#}\n{plan}");
    }
    let outcome = migration.precheck();
    assert!(outcome.stdout.contains("KF-PRE-MAPPED"), "{outcome}");
    agent.begin_transaction(&source, "moved-open", topics[0], &Load::records(200).values(100, 300), 600_000);
    for copied in [400, 1_500] {
        let mut running = migration.spawn("execute");
        migration.wait_until_copied(&mut running, &target, copied, SOON);
        running.kill();
        keyed(10 + copied as u64);
    }
    agent.end_transaction("moved-open", false);
    migration.execute();
    let status = migration.status();
    assert_eq!(status["progress"]["lag_records"], 0, "{status:#}");
    woven(3);
    keyed(4);
    migration.cutover();
    migration.conclude();

    let (judged, places) = agent.judge_mapped(&source, &target, &[topics[0], topics[2], topics[3]], &stood);
    judged.expect_equal();
    // What the cleaner takes on either side by now has a later record of its key.
    agent.expect_same_latest(&source, &target, &[topics[1]]);
    migration.expect_same(lab, &[kept]);
    let committed = agent.group_offsets(&target, "moved-readers");
    for commit in stood.iter().filter(|commit| commit.topic != topics[1]) {
        let name = (commit.topic.clone(), commit.partition);
        assert_eq!(committed[&name].offset, places[&(name.0.clone(), name.1, commit.offset)], "{name:?}");
    }
    let kept_at = agent.group_offsets(&target, "moved-kept-readers")[&(kept.to_owned(), 0)].offset;
    assert_eq!(kept_at, span(kept, 0).log_end / 2);
    // A group reads on at the target what it would have read on the source.
    let rest = |cluster: &str, group: &str| agent.consume(cluster, &Consume::to_end(group, &topics[..1]).read_committed());
    let (here, there) = (rest(&source, "moved-readers"), rest(&target, "moved-readers"));
    let counts = |consumed: &std::collections::BTreeMap<(String, i32), crate::lab::Consumed>| consumed.values().map(|c| c.count).collect::<Vec<_>>();
    assert!(counts(&here).iter().all(|count| *count > 100));
    assert_eq!(counts(&here), counts(&there));

    let verified = migration.expect_verified();
    assert_eq!(verified["outcome"], "PASSED", "{verified:#}");
    assert_eq!((migration.counted("hole_offsets"), migration.fact("partition_quarantined")), (0, None));
    // One record is found by the source's offset, and a marker has none.
    let record = agent.read(&source, topics[0], true).into_iter().filter(|record| record.partition == 1).nth(300).unwrap();
    let prove = |offset: i64, file: &str| {
        let (offset, out) = (offset.to_string(), migration.dir().join(file).display().to_string());
        let words = ["prove", topics[0], "1", &offset, "--of-source", "--config", "kferry.yaml", "--journal-dir", "journal", "--out", &out];
        migration.another_kferry().run(&words)
    };
    let outcome = prove(record.offset, "record.json").ok();
    assert!(outcome.stdout.contains(&format!("on the source at offset {}", record.offset)), "{outcome}");
    let file = migration.dir().join("record.json").display().to_string();
    let proof = migration.verify(&migration.bundle(), &migration.public_key(), &["--proof", &file, "--output", "json"]).ok().json()["proof"].take();
    assert_eq!((&proof["source_offset"], &proof["offset"]), (&record.offset.into(), &300.into()), "{proof:#}");
    let seen: std::collections::BTreeSet<i64> = agent.read(&source, topics[0], false).iter().filter(|r| r.partition == 1).map(|r| r.offset).collect();
    let marker = (0..record.offset).find(|offset| !seen.contains(offset)).unwrap();
    let outcome = prove(marker, "marker.json").expect_code(1);
    assert!(outcome.stderr.contains("KF-PROOF-UNAVAILABLE"), "{outcome}");
}
