use super::*;
use crate::domain::planning::fixture::{defaults, topic};

fn settings(version: (u32, u32)) -> TargetSettings {
    TargetSettings { defaults: defaults(version).into_iter().map(|(k, v)| (k, Some(v))).collect(), version: Some(version), tiered: false }
}

fn carried(own: &[(&str, &str)]) -> Carried {
    carry(&topic("t", (3, 9), 3, &[(0, 0)], own), 3, Some(&settings((4, 1))))
}

#[test]
fn a_topic_without_settings_gets_only_what_the_targets_defaults_would_change() {
    let plain = carried(&[]);
    assert_eq!(plain.configs, BTreeMap::from([(AFTER_MAX.to_owned(), i64::MAX.to_string())]));
    assert_eq!((plain.unknown.len(), plain.left_out.len(), plain.adjusted.len()), (0, 0, 0));
    let same = carry(&topic("t", (4, 1), 3, &[(0, 0)], &[]), 3, Some(&settings((4, 1))));
    assert_eq!(same, Carried::default());
}

#[test]
fn what_stands_on_the_topic_is_carried_even_where_it_equals_the_default() {
    let c = carried(&[("min.insync.replicas", "2"), ("message.timestamp.type", "CreateTime")]);
    assert_eq!((c.configs["min.insync.replicas"].as_str(), c.configs["message.timestamp.type"].as_str()), ("2", "CreateTime"));
}

#[test]
fn what_the_target_does_not_know_is_listed_where_somebody_chose_it() {
    let c = carried(&[("message.format.version", "2.8-IV1"), ("message.downconversion.enable", "false")]);
    assert_eq!(c.unknown.keys().collect::<Vec<_>>(), ["message.downconversion.enable", "message.format.version"]);
    let mut t = topic("t", (3, 9), 3, &[(0, 0)], &[]);
    t.configs.get_mut("message.format.version").unwrap().source = ConfigSource::Broker;
    assert_eq!(carry(&t, 3, Some(&settings((4, 1)))).unknown.len(), 1);
}

#[test]
fn the_old_limit_on_timestamps_is_carried_by_its_effect() {
    // As 3.9.1 itself resolves it: the old key stands for each new one that is at its default.
    let c = carried(&[(DIFFERENCE_MAX, "5000")]);
    assert_eq!((c.configs[BEFORE_MAX].as_str(), c.configs[AFTER_MAX].as_str()), ("5000", "5000"));
    assert_eq!(c.unknown[DIFFERENCE_MAX], "5000");
    let c = carried(&[(DIFFERENCE_MAX, "5000"), (BEFORE_MAX, "7000")]);
    assert_eq!((c.configs[BEFORE_MAX].as_str(), c.configs[AFTER_MAX].as_str()), ("7000", "5000"));

    let mut older = topic("t", (3, 5), 3, &[(0, 0)], &[]);
    older.configs.remove(BEFORE_MAX);
    older.configs.remove(AFTER_MAX);
    let c = carry(&older, 3, Some(&settings((4, 1))));
    assert_eq!(c.configs[AFTER_MAX], i64::MAX.to_string(), "a broker without the key has no limit");
    assert!(!c.configs.contains_key(BEFORE_MAX));
}

#[test]
fn what_is_bound_to_the_source_is_left_out() {
    let c = carried(&[("leader.replication.throttled.replicas", "0:1"), (REMOTE_STORAGE, "true")]);
    assert_eq!(c.left_out.len(), 2);
    assert!(!c.configs.contains_key(REMOTE_STORAGE));
    let tiered = TargetSettings { tiered: true, ..settings((4, 1)) };
    let c = carry(&topic("t", (3, 9), 3, &[(0, 0)], &[(REMOTE_STORAGE, "true")]), 3, Some(&tiered));
    assert_eq!(c.configs[REMOTE_STORAGE], "true");
}

#[test]
fn values_that_the_target_refuses_are_raised_and_named() {
    let own = [("segment.bytes", "16384"), ("segment.ms", "1000")];
    let c = carried(&own);
    assert_eq!((c.configs["segment.bytes"].as_str(), c.configs["segment.ms"].as_str()), ("1048576", "1000"));
    assert_eq!((c.adjusted.len(), c.adjusted[0].source_value.as_str()), (1, "16384"));
    assert_eq!(carry(&topic("t", (3, 9), 3, &[(0, 0)], &own), 3, Some(&settings((3, 9)))).adjusted, []);
}

#[test]
fn min_insync_replicas_follows_a_replication_factor_that_we_lower() {
    let t = topic("t", (3, 9), 3, &[(0, 0)], &[(MIN_ISR, "3")]);
    let c = carry(&t, 2, Some(&settings((4, 1))));
    assert_eq!((c.configs[MIN_ISR].as_str(), c.adjusted.len()), ("2", 1));
    // A topic that never had enough replicas stays so, but kferry itself must be able to write to it.
    let t = topic("t", (3, 9), 1, &[(0, 0)], &[(MIN_ISR, "2")]);
    assert_eq!(carry(&t, 1, Some(&settings((4, 1)))).configs[MIN_ISR], "2");
    assert_eq!(overrides(&t, 1, 0, 0, false, None)[MIN_ISR], "1");
}

#[test]
fn overrides_keep_everything_and_take_every_batch() {
    let t = topic("t", (3, 9), 3, &[(0, 0)], &[("max.message.bytes", "1000"), ("segment.bytes", "16384"), ("cleanup.policy", "compact")]);
    let o = overrides(&t, 3, 900, 0, false, Some(&settings((4, 1))));
    assert_eq!(o["max.message.bytes"], (1_048_588 + 65_536).to_string(), "room for a batch of fillers");
    assert_eq!((o["cleanup.policy"].as_str(), o["retention.ms"].as_str(), o["segment.bytes"].as_str()), ("delete", "-1", "1048576"));
    assert!(!o.contains_key(DIFFERENCE_MAX));
    assert!(overrides(&t, 3, 0, 0, false, Some(&settings((3, 9)))).contains_key(DIFFERENCE_MAX));
    for (batch, broker) in [(9_000_000, 0), (0, 9_000_000)] {
        assert_eq!(overrides(&t, 3, batch, broker, false, None)["max.message.bytes"], (9_000_000 + 65_536).to_string());
    }
    assert_eq!(overrides(&t, 3, 9_000_000, 0, true, None)["max.message.bytes"], (18_000_000 + 65_536).to_string());
    assert_eq!(overrides(&t, 3, i64::from(i32::MAX), 0, false, None)["max.message.bytes"], i32::MAX.to_string());
}

#[test]
fn spellings_of_one_value_are_equal() {
    assert!(same_value("cleanup.policy", "compact, delete", "delete,compact"));
    assert!(same_value("min.cleanable.dirty.ratio", "0.50", "0.5"));
    assert!(same_value("preallocate", "FALSE", "false"));
    assert!(!same_value("retention.ms", "9223372036854775807", "9223372036854775806"), "not compared as floating-point numbers");
    assert!(!same_value("cleanup.policy", "compact", "compact,delete"));
}

#[test]
fn the_targets_settings_are_read_from_its_topics_where_defaults_are_not_given() {
    let mut target = crate::domain::planning::fixture::target();
    assert_eq!(TargetSettings::of(&target, None), None);
    target.topics = vec![topic("a", (4, 1), 1, &[(0, 0)], &[("retention.ms", "1")]), topic("b", (4, 1), 1, &[(0, 0)], &[("segment.ms", "1")])];
    let read = TargetSettings::of(&target, None).unwrap();
    assert_eq!(read.defaults["retention.ms"].as_deref(), Some("604800000"));
    assert_eq!(read.defaults["segment.ms"].as_deref(), Some("604800000"));
    target.topics.pop();
    assert_eq!(TargetSettings::of(&target, None).unwrap().defaults["retention.ms"], None, "known, but its default is not");
}

#[test]
fn versions_parse() {
    assert_eq!([parse_version("3.9"), parse_version("4.1.1"), parse_version("3.9-IV0"), parse_version("unknown")], [Some((3, 9)), Some((4, 1)), Some((3, 9)), None]);
}
