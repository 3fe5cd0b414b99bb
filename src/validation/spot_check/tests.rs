use super::*;

fn facts(n: i32, records: u64) -> DigestFacts {
    DigestFacts {
        partition: TopicPartition::new("orders", n),
        source_log_start: 100,
        end_offset: 100 + records as i64,
        verified_offset: 100 + records as i64,
        source_root: Digest::of(n.to_be_bytes()),
        target_root: Digest::of(n.to_be_bytes()),
        source_leaves: 7,
        target_leaves: 7,
        records,
        compacts: false,
        map: None,
    }
}

fn record(offset: i64) -> SampledRecord {
    SampledRecord {
        offset,
        timestamp_ms: Some(1_700_000_000_000 + offset),
        append_time: false,
        key: Some(Part::of(b"k")),
        value: Some(Part::of(&offset.to_be_bytes())),
        headers: vec![(Part::of(b"h"), None), (Part::of(b"h"), Some(Part::of(b"")))],
    }
}

fn samples(n: i32, offsets: &[i64]) -> PartitionSamples {
    let read: Vec<SampledRecord> = offsets.iter().map(|o| record(*o)).collect();
    PartitionSamples { partition: TopicPartition::new("orders", n), source: read.clone(), target: read, expired: 0, unread: None, compacts: false }
}

#[test]
fn equal_roots_and_equal_samples_pass_with_numbers() {
    let result = check(&[facts(0, 1_234_567), facts(1, 10), facts(2, 0)], &[samples(0, &[100, 200]), samples(1, &[100]), samples(2, &[])]);
    assert_eq!((result.outcome, result.compared, result.differing), (Outcome::Passed, 6, 0), "{result:?}");
    assert_eq!(result.reason, "1,234,577 records in 3 partitions by digest; 3 samples read by librdkafka; 1 partition is empty");
    assert!(result.details.is_empty());
}

#[test]
fn each_part_of_a_record_is_compared_and_named_with_its_place() {
    let cases: [(&str, fn(&mut SampledRecord)); 6] = [
        ("timestamp", |r| r.timestamp_ms = Some(1)),
        ("timestamp type", |r| r.append_time = true),
        ("key", |r| r.key = None),
        ("value", |r| r.value = Some(Part::of(b"other"))),
        ("headers", |r| r.headers.reverse()),
        ("headers", |r| r.headers.truncate(1)),
    ];
    for (part, change) in cases {
        let mut s = samples(0, &[100, 107]);
        change(&mut s.target[1]);
        let result = check(&[facts(0, 10)], &[s]);
        assert_eq!((result.outcome, result.differing), (Outcome::Failed, 1), "{part}");
        assert_eq!(result.details, [format!("orders-0 at 107: the record differs in its {part}")]);
        assert_eq!(result.reason, "0 of 1 partition differ by digest; 1 of 2 samples differ");
    }
}

#[test]
fn a_record_on_one_side_only_is_a_difference() {
    for (side, said) in [(0, "the target has a record where the source has none"), (1, "the source has a record where the target has none")] {
        let mut s = samples(0, &[100, 107]);
        if side == 0 { s.source.pop() } else { s.target.pop() };
        let result = check(&[facts(0, 10)], &[s]);
        assert_eq!((result.outcome, result.details), (Outcome::Failed, vec![format!("orders-0 at 107: {said}")]));
    }
}

#[test]
fn unequal_roots_fail_however_equal_the_samples_are() {
    let mut p = facts(0, 10);
    p.target_root = Digest::of("other");
    let result = check(&[p, facts(1, 10)], &[samples(0, &[100]), samples(1, &[100])]);
    assert_eq!((result.outcome, result.differing), (Outcome::Failed, 1));
    assert!(result.details[0].starts_with("orders-0: 100..110 differ: root "), "{:?}", result.details);
    let fewer = DigestFacts { target_leaves: 6, ..facts(0, 10) };
    assert_eq!(check(&[fewer], &[samples(0, &[100])]).outcome, Outcome::Failed);
}

#[test]
fn a_partition_that_was_not_read_again_to_its_end_does_not_pass() {
    let p = DigestFacts { verified_offset: 109, ..facts(0, 10) };
    let result = check(&[p.clone(), facts(1, 10)], &[samples(0, &[100]), samples(1, &[100])]);
    assert_eq!((result.outcome, result.reason.as_str()), (Outcome::Failed, "1 of 2 partitions were not read again from the target up to their ends"));
    assert_eq!(result.details, ["orders-0: read again from the target up to 109, and the log ends at 110"]);
    assert_eq!(check(&[p], &[]).outcome, Outcome::NotRun);
    assert_eq!(check(&[], &[]).outcome, Outcome::NotRun);
}

#[test]
fn what_has_expired_is_said_and_does_not_fail() {
    let s = PartitionSamples { expired: 4, ..samples(0, &[108]) };
    let result = check(&[facts(0, 10)], &[s]);
    assert_eq!(result.outcome, Outcome::Passed);
    assert_eq!(result.reason, "10 records in 1 partition by digest; 1 sample read by librdkafka; 4 samples had expired on one side and could not be compared");
    assert_eq!(result.details, ["orders-0: 4 samples had expired on one side"]);
}

#[test]
fn a_witness_that_saw_nothing_is_a_warning() {
    let s = PartitionSamples { unread: Some("target: unknown topic".into()), ..samples(0, &[]) };
    let result = check(&[facts(0, 10), facts(1, 10)], &[s, samples(1, &[100])]);
    assert_eq!((result.outcome, result.details), (Outcome::Warning, vec!["orders-0: no sample could be compared: target: unknown topic".to_owned()]));
    for samples in [vec![samples(0, &[])], vec![]] {
        let result = check(&[facts(0, 10)], &samples);
        assert_eq!((result.outcome, result.details), (Outcome::Warning, vec!["orders-0: 10 records, and no sample of them was read".to_owned()]));
    }
}

#[test]
fn what_compaction_has_removed_on_one_side_is_no_difference_and_is_said() {
    let (mut source, target) = (samples(0, &[101, 103, 105]), samples(0, &[101, 104, 105]));
    source.target = target.target;
    let judged = |compacts| check(&[facts(0, 10)], &[PartitionSamples { compacts, ..source.clone() }]);
    assert_eq!(judged(false).outcome, Outcome::Failed);
    let passed = judged(true);
    assert_eq!(passed.outcome, Outcome::Passed, "{passed:?}");
    assert!(passed.reason.contains("2 samples had been compacted away on one side"), "{}", passed.reason);
    // A record that both have is the same record all the same.
    source.target[0].value = Some(Part::of(b"another"));
    assert_eq!(check(&[facts(0, 10)], &[PartitionSamples { compacts: true, ..source }]).outcome, Outcome::Failed);
}
