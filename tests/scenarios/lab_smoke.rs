//! The lab itself: what every other scenario stands on is seen to work, and its judge is seen to fail.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::lab::proxy::SLOW_DOWN;
use crate::lab::{Acl, Agent, Cluster, Consume, Fault, FaultProxy, KafkaProxy, Kferry, Load, Options, S3, Topic, agent};

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

    // Each field of a record, by itself, is noticed.
    lab.create_topics(&one, &[Topic::new("fields", 4), Topic::new("types", 1)]);
    lab.create_topics(&other, &[Topic::new("fields", 4), Topic::new("types", 1).config("message.timestamp.type", "LogAppendTime")]);
    let same = Load::records(5).timestamps(1_700_000_000_000, 7).partition(0);
    lab.produce(&one, "types", &same);
    lab.produce(&other, "types", &same);
    let keyless = Load { keys: 1, ..same.clone() };
    let different = [
        ("timestamp", same.clone(), same.clone().timestamps(1_700_000_000_001, 7)),
        ("headers", same.clone(), same.clone().odd_headers()),
        ("key", same.clone(), keyless.clone()),
        ("value", keyless.clone(), keyless.values(199, 199)),
    ];
    for (partition, (_, left, right)) in (0..).zip(&different) {
        lab.produce(&one, "fields", &left.clone().partition(partition));
        lab.produce(&other, "fields", &right.clone().partition(partition));
    }
    let differences = lab.judge_uncommitted(&one, &other, &["fields", "types"]).differences;
    for (partition, (field, _, _)) in different.iter().enumerate() {
        assert!(differences.iter().any(|d| d.starts_with(&format!("fields-{partition} ")) && d.contains(field)), "{field}: {differences:#?}");
    }
    lab.delete_topics(&one, &["fields", "types"]);
    lab.delete_topics(&other, &["fields"]);
    let differences = lab.judge_uncommitted(&one, &other, &["types"]).differences;
    assert!(differences.iter().any(|d| d.contains("missing at the source")), "{differences:#?}");

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

#[test]
#[ignore = "what the lab itself can do: tests/full"]
fn three_and_three_brokers_with_acls_transactions_and_proxies() {
    let started = Instant::now();
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::zookeeper(3, Options::default().authorizer()));
        let target = scope.spawn(|| Cluster::kraft(3, Options::default().authorizer().proxied()));
        scope.spawn(Agent::shared);
        (source.join().unwrap(), target.join().unwrap())
    });
    println!("3 + 3 brokers and the agent are ready after {:.1?}", started.elapsed());
    let (lab, one, other) = (Agent::shared(), source.bootstrap(), target.bootstrap());

    let acls = [
        Acl::allow("User:alice", "WRITE", "TOPIC", "orders").host("127.0.0.1"),
        Acl::allow("User:bob", "READ", "GROUP", "read").prefixed(),
        Acl::allow("User:mallory", "ALL", "CLUSTER", "kafka-cluster").deny(),
    ];
    for bootstrap in [&one, &other] {
        lab.create_acls(bootstrap, &acls);
        let mut expected = acls.to_vec();
        expected.sort();
        assert_eq!(lab.describe_acls(bootstrap), expected);
        lab.create_topics(bootstrap, &[Topic::new("orders", 2).replication(3), Topic::new("control", 1).replication(3)]);
    }

    // A log of control records alone, and one with an aborted, a committed and a hanging transaction.
    let step = Instant::now();
    let few = Load::records(5).partition(0);
    lab.begin_transaction(&one, "t-empty", "control", &Load::records(2), 60_000);
    lab.end_transaction("t-empty", false);
    lab.delete_records(&one, "control", 0, 2);
    for (id, commit) in [("t-commit", true), ("t-abort", false)] {
        lab.begin_transaction(&one, id, "orders", &few, 60_000);
        lab.end_transaction(id, commit);
    }
    lab.begin_transaction(&one, "t-hang", "orders", &few, 60_000);
    lab.abandon_transaction("t-hang");
    let offsets = lab.offsets(&one);
    println!("transactions after {:.1?}: {offsets:?}", step.elapsed());
    assert_eq!((offsets[&("control".into(), 0)].log_start, offsets[&("control".into(), 0)].log_end), (2, 3));
    assert_eq!((offsets[&("orders".into(), 0)].last_stable, offsets[&("orders".into(), 0)].log_end), (12, 17));
    let counts = |read_committed| lab.dump(&one, &[] as &[&str], read_committed).values().map(|d| d.count).collect::<Vec<_>>();
    assert_eq!((counts(false), counts(true)), (vec![0, 15, 0], vec![0, 5, 0]));

    // Through the proxies a real producer gets over lost acknowledgements, a stall and cut connections without doubling anything.
    let step = Instant::now();
    let proxied = target.proxied_bootstrap();
    let live = lab.live(&proxied, &["orders"], 2_000.0, &Load::records(0).prop("request.timeout.ms", 3_000));
    std::thread::sleep(Duration::from_millis(500));
    for proxy in target.proxies() {
        proxy.drop_produce_responses(3);
    }
    std::thread::sleep(Duration::from_millis(500));
    target.proxies()[0].stall(Duration::from_millis(500));
    assert!(target.proxies().iter().map(KafkaProxy::cut).sum::<usize>() > 0);
    std::thread::sleep(Duration::from_millis(500));
    let paused = live.pause();
    assert_eq!(live.totals(), paused);
    live.resume();
    std::thread::sleep(Duration::from_millis(200));
    let totals = live.stop();
    let dropped: u64 = target.proxies().iter().map(KafkaProxy::produce_responses_dropped).sum();
    println!("live producer after {:.1?}: {} acknowledged, {dropped} answers dropped", step.elapsed(), totals.acked);
    assert!(dropped >= 3 && totals.refused == 0 && totals.acked > paused.acked, "{totals:?}");
    for (partition, (count, last_offset)) in &totals.partitions {
        assert_eq!((*last_offset + 1, *count as i64), (lab.offsets(&other)[partition].log_end, lab.offsets(&other)[partition].log_end));
    }

    // A group with a member; a broker of each side goes and comes back.
    lab.hold_group(&other, "held", &["orders"]);
    assert_eq!(lab.describe_group(&other, "held"), ("Stable".into(), 1));
    lab.release_group(&other, "held");
    let step = Instant::now();
    for cluster in [&source, &target] {
        cluster.kill_broker(2);
        lab.produce(&cluster.bootstrap(), "orders", &Load::records(100));
        cluster.start_broker(2);
        cluster.wait_ready();
        lab.wait_in_sync(&cluster.bootstrap(), Duration::from_secs(60));
        cluster.stop_broker(3);
        cluster.start_broker(3);
        cluster.wait_ready();
    }
    println!("brokers killed, stopped and back in sync after {:.1?}", step.elapsed());
    println!("all of it after {:.1?}", started.elapsed());
}

#[test]
fn faults_before_s3() {
    let s3 = S3::launch();
    s3.create_bucket("data");
    let proxy = FaultProxy::start(s3.port());
    // The signature covers the Host header, so the request is signed for the proxy as a client's would be.
    let put = |bytes: usize| s3.try_request_through(proxy.port(), "PUT", "/data/key", &[], &vec![b'x'; bytes]).map(|(status, _)| status);
    assert_eq!(put(1_000), Ok(200));
    proxy.set(SLOW_DOWN);
    assert_eq!(put(1_000_000), Ok(503));
    proxy.set(Fault::Refuse);
    assert!(put(1_000).is_err());
    proxy.set(Fault::CutAfter { upload_bytes: 100_000 });
    assert!(put(1_000_000).is_err());
    assert_eq!(std::fs::metadata(s3.bucket_dir("data").join("key")).unwrap().len(), 1_000, "a cut upload leaves the object as it was");
    proxy.set(Fault::Slow { bytes_per_second: 200_000 });
    let slow = Instant::now();
    assert_eq!(put(200_000), Ok(200));
    assert!(slow.elapsed() > Duration::from_millis(700), "{:?}", slow.elapsed());
    proxy.set(Fault::Pass);
    assert_eq!(put(2_000), Ok(200));
    assert!(proxy.faulted() >= 3);
}

#[test]
fn a_program_is_run_signalled_and_killed() {
    let shell = Kferry::new(&std::env::temp_dir()).env("WORD", "lab").with_binary(Path::new("/bin/sh"));
    let outcome = shell.run(&["-c", "echo out $WORD; echo err >&2; exit 3"]).expect_code(3);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out lab\n", "err\n"));
    assert_eq!(shell.run_with_input(&["-c", "read word; echo got $word"], "typed\n").ok().stdout, "got typed\n");
    let mut trapping = shell.spawn(&["-c", "trap 'exit 5' INT; echo ready; while :; do sleep 0.05; done"]);
    trapping.wait_until(Duration::from_secs(5), |stdout, _| stdout.contains("ready"));
    trapping.interrupt();
    trapping.wait(Duration::from_secs(5)).expect_code(5);
    let running = shell.spawn(&["-c", "exec sleep 60"]);
    assert!(running.usage().is_some());
    assert_eq!(running.kill().code, None);
    assert!(Kferry::new(&std::env::temp_dir()).binary().is_file(), "the binary under test is built along");
}
