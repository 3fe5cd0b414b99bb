//! The main job, from `plan` to an offline-verified bundle, on everything that a plain topic can hold.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::lab::{Agent, Consume, Headers, Load, Options, Topic};
use crate::migration::{Lab, full};

const LIVE: [&[&str]; 3] = [&["whole-none", "whole-headers", "whole-nulls"], &["whole-lz4", "whole-single"], &["whole-zstd", "whole-trimmed"]];
const MB: u64 = 1 << 20;

fn topics(replication: u32) -> Vec<Topic> {
    [
        ("whole-none", 6),
        ("whole-gzip", 6),
        ("whole-snappy", 6),
        ("whole-lz4", 6),
        ("whole-zstd", 6),
        ("whole-headers", 6),
        ("whole-nulls", 4),
        ("whole-big", 3),
        ("whole-single", 6),
        ("whole-empty", 3),
        ("whole-trimmed", 4),
        ("whole-old", 4),
    ]
    .map(|(name, partitions)| {
        let topic = Topic::new(name, partitions).replication(replication);
        match name {
            "whole-big" => topic.config("max.message.bytes", 6 * MB),
            "whole-old" => topic.config("retention.ms", -1),
            _ => topic,
        }
    })
    .into()
}

/// Fills the topics; answers the values' bytes.
fn load(source: &str, bulk_mb: u64, big_records: u64) -> u64 {
    let lab = Agent::shared();
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let per_codec = bulk_mb * MB / codecs.len() as u64 / 700;
    let mut bytes = 0;
    for (seed, codec) in (1..).zip(codecs) {
        let mut load = Load::records(per_codec).values(400, 1_000).codec(codec).seed(seed).batches(128 << 10, 20);
        if codec == "lz4" {
            load = load.not_idempotent();
        }
        bytes += lab.produce(source, &format!("whole-{codec}"), &load);
    }
    let produce = |topic: &str, load: &Load| lab.produce(source, topic, load);
    bytes += produce("whole-headers", &Load { headers: Headers::Odd, ..Load::records(20_000).values(0, 300).nulls(0.2, 0.2).codec("lz4") });
    bytes += produce("whole-nulls", &Load::records(12_000).values(1, 100).nulls(0.5, 0.5).codec("zstd"));
    bytes += produce("whole-big", &Load::records(big_records).values(5 << 20, 5 << 20).random().batches(1 << 20, 0));
    bytes += produce("whole-single", &Load::records(6_000).values(50, 150).one_record_batches());
    bytes += produce("whole-old", &Load::records(20_000).values(100, 400).codec("snappy").timestamps(1_600_000_000_000, 1_000));
    bytes += produce("whole-trimmed", &Load::records(40_000).values(100, 200).codec("gzip").batches(16 << 10, 20));
    bytes += produce("whole-empty", &Load::records(50).partition(2));
    // Within a batch, to the very end, and not at all; the emptied partition of the quiet topic stays as it is.
    lab.delete_records(source, "whole-trimmed", 0, 1_237);
    lab.delete_records(source, "whole-trimmed", 1, 10_000);
    lab.delete_records(source, "whole-trimmed", 2, 9_999);
    lab.delete_records(source, "whole-empty", 2, 50);
    bytes
}

fn whole_migration(lab: &Lab, replication: u32, bulk_mb: u64, big_records: u64, live_rate: f64) {
    let agent = Agent::shared();
    let (source, target) = (lab.source.bootstrap(), lab.target.bootstrap());
    let started = Instant::now();
    let topics = topics(replication);
    assert!(topics.len() >= 12 && topics.iter().map(|t| t.partitions).sum::<u32>() >= 60);
    agent.create_topics(&source, &topics);
    let bytes = load(&source, bulk_mb, big_records);
    println!("{} MB of values in {} topics after {:.1?}", bytes / MB, topics.len(), started.elapsed());

    agent.consume(&source, &Consume::to_end("whole-readers", &["whole-none", "whole-trimmed"]).records_per_partition(2_000).metadata("half way"));
    let committed = agent.group_offsets(&source, "whole-readers");

    let migration = lab.setup("whole").set("seed.segment_max_bytes", "8MiB").begin();
    for (topics, codec) in LIVE.iter().zip(["none", "lz4", "zstd"]) {
        let mut load = Load::records(0).values(100, 300).codec(codec).seed(77);
        if topics.contains(&"whole-headers") {
            load = load.odd_headers().nulls(0.1, 0.1);
        }
        migration.webhook.keep(agent.live(&source, topics, live_rate, &load));
    }
    let mut before = migration.webhook.acknowledged();
    let mut step = |name: &str, run: &mut dyn FnMut()| {
        let step = Instant::now();
        run();
        let acknowledged = migration.webhook.acknowledged();
        println!("{name}: {:.1?}, {} records produced meanwhile", step.elapsed(), acknowledged - before);
        std::mem::replace(&mut before, acknowledged) < acknowledged
    };
    step("plan", &mut || drop(migration.run("plan").ok()));
    for file in ["plan.json", "runbook.md"] {
        assert!(migration.dir().join("plan").join(file).is_file(), "plan wrote no {file}");
    }
    step("precheck", &mut || drop(migration.precheck()));
    assert!(step("execute", &mut || drop(migration.execute())), "nobody produced through SEED and TAIL");
    step("cutover", &mut || drop(migration.cutover()));
    assert_eq!(migration.webhook.events(), ["freeze", "committed"]);
    assert_eq!(migration.webhook.calls()[0].topics.iter().collect::<BTreeSet<_>>(), topics.iter().map(|t| &t.name).collect());
    step("cutover-ack, validate, finalize", &mut || migration.conclude());

    let acknowledged = migration.expect_acknowledged_on(&target);
    let step = Instant::now();
    let names: Vec<&str> = topics.iter().map(|t| t.name.as_str()).collect();
    let judgement = migration.expect_same(lab, &names);
    println!("judge: {} records equal on both sides after {:.1?}, {acknowledged} of them from live producers", judgement.records(), step.elapsed());
    assert_eq!(agent.group_offsets(&target, "whole-readers").into_iter().map(|(p, c)| (p, (c.offset, c.metadata))).collect::<Vec<_>>(),
        committed.into_iter().map(|(p, c)| (p, (c.offset, c.metadata))).collect::<Vec<_>>());

    let verified = migration.expect_verified();
    assert_eq!((&verified["verified"], &verified["outcome"]), (&true.into(), &"PASSED".into()), "{verified:#}");
    assert_eq!((verified["topics"].as_u64(), verified["partitions"].as_u64()), (Some(12), Some(60)), "{verified:#}");
    assert_eq!(verified["records"].as_u64(), Some(judgement.records()), "the bundle counts other records than the judge");
    println!("frozen for {} ms; all of it after {:.1?}", verified["freeze_ms"], started.elapsed());
}

#[test]
fn a_whole_migration_on_one_and_one_brokers() {
    whole_migration(Lab::shared(), 1, 60, 4, 100.0);
}

#[test]
#[ignore = "slow: tests/full runs it"]
fn a_whole_migration_of_a_gigabyte_on_three_and_three_brokers() {
    assert!(full(), "KFERRY_FULL=1 is not set");
    let lab = Lab::start(3, Options::default(), Options::default());
    whole_migration(&lab, 3, 900, 24, 300.0);
}
