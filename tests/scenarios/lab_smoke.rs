//! The lab itself: what every other scenario stands on is seen to work, and its judge is seen to fail.

use std::time::Instant;

use crate::lab::{Agent, Cluster, Consume, Load, Options, S3, Topic, agent};

#[test]
fn clusters_start_and_the_judge_sees_a_difference() {
    let started = Instant::now();
    let (source, target, s3) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::zookeeper(1, Options::default()));
        let target = scope.spawn(|| Cluster::kraft(1, Options::default()));
        scope.spawn(Agent::shared);
        (source.join().unwrap(), target.join().unwrap(), S3::launch())
    });
    println!("1 + 1 brokers, S3 and the agent are ready after {:.1?}", started.elapsed());
    s3.create_bucket("plain");
    s3.create_locked_bucket("locked");
    let (lab, one, other) = (Agent::shared(), source.bootstrap(), target.bootstrap());

    let step = Instant::now();
    lab.create_topics(&one, &[Topic::new("orders", 3), Topic::new("big", 1).config("max.message.bytes", 6 << 20)]);
    lab.create_topics(&other, &[Topic::new("orders", 3), Topic::new("big", 1).config("max.message.bytes", 6 << 20)]);
    let odd = Load::records(3_000).values(10, 400).odd_headers().nulls(0.1, 0.1).timestamps(1_700_000_000_000, 7).codec("lz4");
    lab.produce(&one, "orders", &odd);
    lab.produce(&one, "big", &Load::records(3).values(5 << 20, 5 << 20).random().timestamps(1_700_000_000_000, 7));
    println!("topics and records after {:.1?}", step.elapsed());

    let step = Instant::now();
    let verdict = lab.judge(&one, &other, &[] as &[&str]);
    println!("judge of an empty target after {:.1?}: {:#?}", step.elapsed(), verdict.differences);
    assert!(!verdict.equal && verdict.records() == 3_003, "an empty target passed: {verdict:?}");

    // The same records again, and the judge is content; one partition trimmed, and it is not.
    lab.produce(&other, "orders", &odd);
    lab.produce(&other, "big", &Load::records(3).values(5 << 20, 5 << 20).random().timestamps(1_700_000_000_000, 7));
    lab.judge(&one, &other, &[] as &[&str]).expect_equal();
    assert_eq!(lab.delete_records(&other, "orders", 1, 17), 17);
    let verdict = lab.judge(&one, &other, &["orders"]);
    assert!(!verdict.equal && verdict.differences[0].contains("log start 0 at the source, 17 at the target"), "{verdict:?}");

    // Two members of one group, one after the other, read every record once.
    let whole = lab.dump(&one, &["orders"], false);
    let before = lab.consume(&one, &Consume::to_end("readers", &["orders"]).records_per_partition(333).metadata("half way"));
    let after = lab.consume(&one, &Consume::to_end("readers", &["orders"]));
    for (partition, dumped) in &whole {
        assert_eq!((before[partition].first, before[partition].next_offset, after[partition].first), (0, 333, 333));
        assert_eq!(before[partition].count + after[partition].count, dumped.count);
        assert_eq!(agent::xor([before[partition].xor.as_str(), after[partition].xor.as_str()]), dumped.xor);
    }

    let step = Instant::now();
    for cluster in [&source, &target] {
        cluster.kill_broker(1);
        assert!(!cluster.is_running(1));
        cluster.start_broker(1);
        cluster.wait_ready();
        lab.produce(&cluster.bootstrap(), "orders", &Load::records(10));
    }
    println!("both brokers killed and back after {:.1?}", step.elapsed());
    assert!(lab.offsets(&one).values().map(|span| span.log_end - span.log_start).sum::<i64>() == 3_013);

    let segment = source.log_dir(1).join("orders-0/00000000000000000000.log");
    assert!(source.dump_log(&segment).contains("baseOffset: 0"), "kafka-dump-log reads the broker's own segment");
    s3.kill();
    s3.start();
    assert_eq!(s3.request("PUT", "/plain/key", &[], b"value").0, 200);
    assert_eq!(s3.request("GET", "/plain/key", &[], b""), (200, "value".into()));
    println!("all of it after {:.1?}", started.elapsed());
}
